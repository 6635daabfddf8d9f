"""Server processes: started on a core of their own, watched through /proc, stopped by pid.

It knows nothing of what the servers are or how they are loaded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT = 3.0
TICKS = os.sysconf("SC_CLK_TCK")


class NotMeasured(Exception):
    """A server or a tool that can not be used here; the message is the reason shown in the table."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the servers run on and which one the load comes from; None where there is only one core."""

    server: int | None
    load: int | None

    def pin(self, core: int | None, command: Sequence[str]) -> list[str]:
        """Give ``command`` as it has to be started to stay on ``core``."""
        return [*command] if core is None else ["taskset", "-c", str(core), *command]


def choose_cores(server: int, load: int) -> Cores:
    """Give the two cores, or none where this machine or process does not have both (or no ``taskset``)."""
    if shutil.which("taskset") and {server, load} <= os.sched_getaffinity(0):
        return Cores(server, load)
    return Cores(None, None)


def free_port() -> int:
    """Give a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A server that runs.

    Args:
        command: What to start.
        environment: Variables beside those of this process.
        folder: An existing directory for its output.
        directory: Its working directory.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, directory: Path) -> None:
        self.output = folder / "output.log"
        self.started = time.perf_counter()
        with self.output.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=directory,
                # Modules are compiled once, as where a server is installed; those of the peers are already.
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def check_alive(self) -> None:
        """Raise NotMeasured when it has ended, with the last line that it wrote."""
        code = self._popen.poll()
        if code is not None:
            raise NotMeasured(f"ended with status {code}: {self.last_line()}")

    def last_line(self) -> str:
        """Give the last line of its output."""
        lines = self.output.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "(no output)")[:200]

    def pids(self) -> list[int]:
        """Give its process id and those of all its descendants."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found.extend(int(child) for child in task.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """Give the processor time that it and its descendants have used."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def resident_size(self) -> int:
        """Give the private memory that it and its descendants hold now, in bytes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith(("Private_Clean:", "Private_Dirty:")):
                        total += int(line.split()[1]) * 1024
        return total

    def reset_peak(self) -> int:
        """Forget the peak of resident memory so far; give the resident memory now, in bytes."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self._status("VmRSS:")

    def peak_size(self) -> int:
        """Give the peak of resident memory since ``reset_peak``, in bytes."""
        return self._status("VmHWM:")

    def _status(self, field: str) -> int:
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(field):
                        total += int(line.split()[1]) * 1024
        return total

    def wait(self, seconds: float) -> None:
        """Wait until it ends by itself; NotMeasured when it does not, or fails, with the last line that it wrote."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"has not ended within {seconds:.0f} s") from None
        if code:
            raise NotMeasured(f"ended with status {code}: {self.last_line()}")

    def stop(self) -> None:
        """Ask it to end; after three seconds end it and what it left in its own session."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_TIMEOUT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn TERM and HUP into SystemExit, so that every ``finally`` runs and no server is left behind."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
