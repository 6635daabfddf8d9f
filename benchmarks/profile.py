"""Show where a server spends its time under load: its functions by own time, the reactor and the threads apart.

    python benchmarks/profile.py [workload] [--seconds N] [--top N] [--server NAME] [--cumulative]
                                    [--wall | --sample [--gil] [--lines]]

Without ``--sample`` every call is counted by cProfile in each thread, on the processor time of the thread
(``--wall``: on the clock, waiting included). That makes calls dearer than they are: it says what is called how
often rather than what it costs. ``--sample`` looks from outside with py-spy (which must be installed): the costs
are true, the calls are not counted; a thread that waits may count too, unless ``--gil`` is given, which leaves out
system calls. Python 3.12 and later profile one thread only: there, use ``--sample``.

Nothing here may import ``cProfile``: it would find this file in place of the standard library's ``profile``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import operator
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.load import Sample, Target, run_wrk
from harness.plan import make_files
from harness.processes import Cores, NotMeasured, Process, choose_cores, ended_by_signals
from harness.results import markdown
from harness.servers import BENCHMARKS, SERVERS, serving
from harness.workloads import LOADED

SAMPLES_A_SECOND = 250
PROFILED = BENCHMARKS / "harness" / "profiled.py"
SCRIPTS = ("skitai", "twisted.web", "waitress")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Show where a server spends its time under load.")
    parser.add_argument(
        "workload", nargs="?", default="hello", choices=LOADED, help="what is asked for (default hello)"
    )
    parser.add_argument("--seconds", type=int, default=5, help="length of the load (default 5)")
    parser.add_argument("--top", type=int, default=30, help="functions shown (default 30)")
    parser.add_argument("--server", default="skitai", choices=SCRIPTS, help="which server (default skitai)")
    parser.add_argument("--wall", action="store_true", help="count on the clock rather than on processor time")
    parser.add_argument("--sample", action="store_true", help="sample with py-spy instead of counting every call")
    parser.add_argument("--gil", action="store_true", help="with --sample: only threads that hold the interpreter lock")
    parser.add_argument("--lines", action="store_true", help="with --sample: lines rather than whole functions")
    parser.add_argument("--cumulative", action="store_true", help="sort by the time with callees")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def loaded(options: argparse.Namespace, cores: Cores, through: Sequence[str]) -> Iterator[tuple[Process, Target]]:
    """Run the server of the workload, the first entrant that it stands behind; give its process and what to load."""
    workload = LOADED[options.workload]
    entrant = next((one for one in workload.entrants if one.server == options.server), None)
    if entrant is None:
        raise NotMeasured(f"it takes no part in {options.workload}")
    with tempfile.TemporaryDirectory(prefix="bench-files-") as folder:
        make_files(Path(folder))
        site = dataclasses.replace(entrant.site, files=Path(folder))
        with serving(options.server, site, cores, through) as (process, port, _):
            yield process, Target(port, workload.paths, workload.post_size)


def count_calls(options: argparse.Namespace, cores: Cores) -> None:
    """Print the tables of cProfile."""
    if sys.version_info >= (3, 12):
        raise NotMeasured("this Python profiles only one thread at a time; use --sample")
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        clock = "perf_counter" if options.wall else "thread_time"
        with loaded(options, cores, (str(PROFILED), folder, clock)) as (process, target):
            os.kill(process.pid, signal.SIGUSR2)
            sample = run_wrk(process, target, options.seconds, cores)
            # Requests that the load left behind: twisted.web hangs at stop while a thread waits for the reactor.
            time.sleep(1.0)
        _print_rate(sample, "under cProfile")
        profiles = sorted(Path(folder).glob("*.prof"))
        for title, files in (
            ("main thread", [path for path in profiles if path.name == "main.prof"]),
            ("other threads", [path for path in profiles if path.name != "main.prof"]),
        ):
            table = _calls_table(files, sample.requests, options) if files else "no profile was written"
            print(f"\n## {title}\n\n{table}")


def _print_rate(sample: Sample, how: str) -> None:
    faults = f"; faults: {sample.faults}" if sample.faults else ""
    print(f"{sample.rate:,.0f} requests/s {how}, {sample.cpu * 1e6:.1f} µs of CPU a request{faults}")


def _calls_table(files: Sequence[Path], requests: int, options: argparse.Namespace) -> str:
    rows: list[tuple[float, float, int, str]] = []
    total = 0.0
    stats = pstats.Stats(*map(str, files)).stats  # type: ignore[attr-defined]
    for (path, line, name), (_, calls, own, cumulative, _) in stats.items():
        total += own
        rows.append((own, cumulative, calls, _where(path, line, name)))
    rows.sort(key=operator.itemgetter(1 if options.cumulative else 0), reverse=True)
    table = markdown(
        ("function", "own µs/request", "with callees", "calls/request"),
        [
            (where, f"{own / requests * 1e6:.2f}", f"{cumulative / requests * 1e6:.2f}", f"{calls / requests:.2f}")
            for own, cumulative, calls, where in rows[: options.top]
        ],
    )
    return f"{table}\n\n{total / requests * 1e6:.1f} µs a request in all"


def _where(path: str, line: int, name: str) -> str:
    if path == "~":
        return name
    parts = Path(path).parts
    return f"{'/'.join(parts[-2:])}:{line} {name}"


def take_samples(options: argparse.Namespace, cores: Cores) -> None:
    """Print the tables of py-spy."""
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise NotMeasured("py-spy is not installed: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        output = Path(folder, "stacks.txt")
        with loaded(options, cores, ()) as (process, target):
            command = [
                program,
                "record",
                "--pid",
                str(process.pid),
                "--duration",
                str(options.seconds),
                "--format",
                "raw",
            ]
            command += ["--rate", str(SAMPLES_A_SECOND), "--nonblocking", "--threads", "--output", str(output)]
            command += [] if options.lines else ["--function"]
            command += ["--gil"] if options.gil else []
            spy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                sample = run_wrk(process, target, options.seconds, cores)
                said, _ = spy.communicate(timeout=30)
            finally:
                spy.kill()
                spy.wait()
        if not output.exists():
            raise NotMeasured(f"py-spy: {said.decode(errors='replace').strip()[-200:]}")
        stacks = output.read_text(errors="replace").splitlines()
    _print_rate(sample, "under py-spy")
    groups: dict[str, list[tuple[list[str], int]]] = {"main thread": [], "other threads": []}
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        thread, *stack = frames.split(";")
        groups["main thread" if "MainThread" in thread else "other threads"].append((stack, int(count)))
    everything = sum(count for group in groups.values() for _, count in group)
    for title, group in groups.items():
        print(f"\n## {title}\n\n{_samples_table(group, everything, options)}")


def _samples_table(group: Iterable[tuple[list[str], int]], everything: int, options: argparse.Namespace) -> str:
    own: collections.Counter[str] = collections.Counter()
    cumulative: collections.Counter[str] = collections.Counter()
    for stack, count in group:
        if stack:
            own[stack[-1]] += count
            for frame in set(stack):
                cumulative[frame] += count
    if not own:
        return "no sample"
    shown = (cumulative if options.cumulative else own).most_common(options.top)
    rows = [(frame, f"{own[frame] / everything:.1%}", f"{cumulative[frame] / everything:.1%}") for frame, _ in shown]
    return f"{markdown(('where', 'own', 'with callees'), rows)}\n\n{sum(own.values()) / everything:.1%} of all samples"


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; give the exit status."""
    options = parse(arguments)
    cores = choose_cores(0, 1)
    try:
        with ended_by_signals():
            (take_samples if options.sample else count_calls)(options, cores)
    except NotMeasured as reason:
        print(f"{SERVERS[options.server].name}: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
