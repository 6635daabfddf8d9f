"""Run a script with every thread under cProfile: ``python profiled.py FOLDER CLOCK SCRIPT [argument ...]``.

Threads are profiled from their start, the main thread from SIGUSR2 on, so that start-up is left out. Each thread's
profile is written to FOLDER when the thread ends. CLOCK is a function of ``time``: by "thread_time" waiting counts
nothing (nor does waiting for the interpreter lock), "perf_counter" is much cheaper to read.

It runs inside the server's process and must not import anything of the harness.
"""

from __future__ import annotations

import cProfile
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


def profile_threads(folder: Path, clock: Callable[[], float]) -> None:
    """Put every thread that starts from now on under a profile of its own."""
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread) -> None:
        profile = cProfile.Profile(clock)
        profile.enable()
        try:
            run(thread)
        finally:
            profile.disable()
            profile.dump_stats(folder / f"thread-{thread.ident}.prof")

    threading.Thread.run = profiled_run  # type: ignore[method-assign,assignment]


def main(folder: Path, clock: Callable[[], float], arguments: list[str]) -> None:
    """Run the script ``arguments[0]`` as if it had been started with ``arguments``."""
    profile = cProfile.Profile(clock)
    # The handler runs in the main thread, and so it is that thread that the profile watches.
    signal.signal(signal.SIGUSR2, lambda number, frame: profile.enable())
    # As a server that has no handler for it would end without a trace of the profile; Twisted puts its own in place.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    profile_threads(folder, clock)
    sys.argv[:] = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    finally:
        profile.disable()
        profile.dump_stats(folder / "main.prof")


if __name__ == "__main__":
    main(Path(sys.argv[1]), getattr(time, sys.argv[2]), sys.argv[3:])
