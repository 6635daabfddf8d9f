"""Running the same program again in the place of itself: what has to be known from the start, and done at the end.

Layer 4. It must not know what is served. Thread: the main thread, but for what says otherwise.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

_WITH_BUFFERS: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
"""The files that keep for a while what is written to them."""


def working_directory() -> str | None:
    """Return the working directory, None where it has been deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def run_again(directory: str | None) -> Callable[[], NoReturn]:
    """Return what runs the same program with the same arguments in this process, with the code of then.

    Args:
        directory: Where it was started: the path of the script, and of a package that ``-m`` names, may be relative.
    """
    arguments = sys.orig_argv[1:]
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    # A script may have gone elsewhere before it called run(); Python has made its path absolute before.
    if sys.argv[0] in arguments and script and os.path.isabs(script):
        place = arguments.index(sys.argv[0])
        # Not where a directory or an archive is run.
        if os.path.basename(script) == os.path.basename(arguments[place]):
            arguments[place] = script

    def _again() -> NoReturn:
        if directory is not None:
            os.chdir(directory)
        os.execv(sys.executable, [sys.executable, *arguments])

    return _again


def end_python() -> None:
    """Do what Python does at its end, and would not when another program takes its place."""
    atexit._run_exitfuncs()
    gc.unfreeze()
    for file in gc.get_objects():
        if issubclass(type(file), _WITH_BUFFERS):
            try:
                file.flush()
            except Exception:  # it is closed, or nobody reads it
                pass
