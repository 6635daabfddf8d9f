"""Compare Skitai with other servers, in one run on this machine.

    python benchmarks/run.py [workload ...] [--seconds N] [--rounds N] [--servers a,b] [--write] [--list]

Servers run on one core and the load on another; rounds go through the servers in turn, so that noise hits all alike;
ratios are the median of the rounds' ratios. Exit status: 0 when every threshold was kept, 1 when one was not.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.load import CONNECTIONS, check_wrk
from harness.plan import Plan, make_files
from harness.processes import NotMeasured, choose_cores, ended_by_signals
from harness.results import Result, render, render_checks
from harness.servers import BENCHMARKS, OPTIONAL, SERVERS
from harness.workloads import WORKLOADS

FILE_LIMIT = 12_000


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare Skitai with other servers on this machine.")
    parser.add_argument("workloads", nargs="*", metavar="workload", help="names of workloads; default all of them")
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (default 3)")
    parser.add_argument(
        "--servers",
        default="",
        help="names of the servers that take part, separated by commas; default all but the optional",
    )
    parser.add_argument("--server-core", type=int, default=0, help="core of the servers (default 0)")
    parser.add_argument("--load-core", type=int, default=1, help="core of the load (default 1)")
    parser.add_argument("--write", action="store_true", help="write the report to benchmarks/RESULTS.md too")
    parser.add_argument("--list", action="store_true", help="list workloads and servers, and measure nothing")
    options = parser.parse_args(arguments)
    options.workloads = options.workloads or list(WORKLOADS)
    options.servers = (
        options.servers.split(",") if options.servers else [name for name in SERVERS if name not in OPTIONAL]
    )
    for names, known in ((options.workloads, list(WORKLOADS)), (options.servers, list(SERVERS))):
        for name in names:
            if name not in known:
                parser.error(f"{name} is not one of {', '.join(known)}")
    if min(options.seconds, options.rounds) < 1:
        parser.error("--seconds and --rounds are at least 1")
    return options


def listing() -> str:
    """Give the workloads and the servers, one a line."""
    lines = ["workloads: " + " ".join(WORKLOADS), "servers:"]
    for name, server in SERVERS.items():
        try:
            state = server.version()
        except NotMeasured as reason:
            state = f"skipped: {reason}"
        lines.append(f"  {name:18} {state}{' (optional)' if name in OPTIONAL else ''}; {server.note}")
    return "\n".join(lines)


def machine(plan: Plan, arguments: Sequence[str]) -> str:
    """Give what is to be known of this run: machine, versions, date, command."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = f"{platform.python_implementation()} {platform.python_version()}"
    try:
        wrk = check_wrk()
    except NotMeasured as reason:
        wrk = str(reason)
    cores = plan.cores
    pinned = "not pinned" if cores.load is None else f"servers on core {cores.server}, load on core {cores.load}"
    lines = [
        f"command: `{' '.join(['python benchmarks/run.py', *arguments])}`",
        f"date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"machine: {os.cpu_count()} cores, {model}, {memory:.0f} GB, Linux {platform.release()}; {python}",
        f"load: {wrk}, 1 thread, {CONNECTIONS} keep-alive connections; {pinned}",
        f"rounds: {plan.rounds} of {plan.seconds} s; load average {os.getloadavg()[0]:.1f} at the start",
        "figures: medians of the rounds; `... / it` is the median of the rounds' ratios (of bytes/s for 10 MB)",
    ]
    return "\n".join(f"- {line}" for line in lines)


def say(line: str) -> None:
    """Show a line of progress."""
    print(line, file=sys.stderr, flush=True)


def measure(names: Sequence[str], plan: Plan) -> list[Result]:
    """Run the workloads, and show each table as soon as it is complete."""
    results = []
    for name in names:
        result = WORKLOADS[name](name, plan)
        print(render(result), end="\n\n", flush=True)
        results.append(result)
    return results


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; give the exit status."""
    options = parse(arguments)
    if options.list:
        print(listing())
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILE_LIMIT if hard == resource.RLIM_INFINITY else hard, hard))
    cores = choose_cores(options.server_core, options.load_core)
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="bench-files-") as folder:
        make_files(Path(folder))
        plan = Plan(options.seconds, options.rounds, cores, options.servers, Path(folder), say)
        head = f"# Results\n\n{machine(plan, arguments)}"
        results = measure(options.workloads, plan)
    checks = f"## Thresholds\n\n{render_checks(results)}"
    print(checks)
    if options.write:
        report = "\n\n".join([head, checks, *(render(result) for result in results)])
        (BENCHMARKS / "RESULTS.md").write_text(report + "\n", encoding="utf-8")
    return int(any(check.passed is False for result in results for check in result.checks))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
