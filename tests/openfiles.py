"""Which files this process has open, for tests of what must not be left open."""

from __future__ import annotations

import os


def open_files(below: str = "/") -> list[str]:
    """Return the paths of open files below a directory, deleted ones too.

    Sockets do not count: servers that other tests share run in threads of this process, and open and close some at any
    time.
    """
    paths = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # it is closed by now, such as that of the directory itself
            continue
        if path.startswith(below):
            paths.append(path)
    return sorted(paths)
