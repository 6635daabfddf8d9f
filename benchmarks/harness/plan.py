"""How a run is done, handed to every workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.processes import Cores

LARGE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is done.

    Attributes:
        seconds: Length of one measurement.
        rounds: How often each server's turn comes.
        cores: Where servers and load run.
        servers: Names of the servers that may take part.
        files: The directory that is served where a workload is about files.
        say: Called with a line of progress.
    """

    seconds: int
    rounds: int
    cores: Cores
    servers: Sequence[str]
    files: Path
    say: Callable[[str], None]


def make_files(folder: Path) -> None:
    """Write what the static workloads ask for: 1 KB, 10 MB and (sparse, it takes no room) 1 GB."""
    (folder / "1k.txt").write_bytes(b"static text, x\n" * 68 + b"end\n")
    (folder / "10m.bin").write_bytes(bytes(10_000_000))
    with (folder / "1g.bin").open("wb") as large:
        large.truncate(LARGE)
