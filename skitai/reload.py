"""Noticing that source files have changed, for reloading during development.

A ``Watch`` remembers what each file was like when it was read, and tells later whether any is different. Nothing runs
in the background: somebody asks, between requests.

Layer 4, standard library only. It must not know what the files are for.

Theory of operation: a file is the same as long as its times, size and inode are. The time of a file moves in steps of
some milliseconds (of two seconds on some file systems), so a file read right after it was written may be written again
without a visible trace. Such a file is *unsettled*: it is read and compared too, until its time of modification is far
enough in the past. Byte code caches, which go by whole seconds and size, are no evidence of anything here.

Thread: any may read files; looking for changes and adding other watches' files is for one thread at a time.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Final

_SETTLED_AFTER: Final = 3_000_000_000
"""Nanoseconds after which a write is sure to change the time of modification: FAT counts in steps of two seconds."""


class _Stamp:
    """What a file was like."""

    __slots__ = ("checksum", "identity", "settled")

    def __init__(self, identity: tuple[int, ...] | None, content: bytes, settled: bool) -> None:
        self.identity = identity
        self.checksum = _checksum(content)
        self.settled = settled


class Watch:
    """Files, and whether any has changed since it was read.

    Args:
        now: Wall clock that the times of files go by, in nanoseconds.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._stamps: dict[str, _Stamp] = {}
        self._directories: dict[str, tuple[int, ...] | None] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files watched."""
        return tuple(self._stamps)

    def __contains__(self, path: str) -> bool:
        return path in self._stamps

    def read(self, path: str) -> bytes:
        """Return the content of a file, and watch it from now on, also when it can not be read.

        Raises:
            OSError: It can not be read.
        """
        # Looked at before it is read: what is written in between is then seen as a change, not missed.
        identity, modified = _identity(path)
        self._stamps[path] = _Stamp(identity, b"", True)
        with open(path, "rb") as file:
            content = file.read()
        self._stamps[path] = _Stamp(identity, content, self._now() - modified > _SETTLED_AFTER)
        return content

    def add(self, path: str) -> None:
        """Watch a file that somebody else has read; that it may be gone is no error."""
        try:
            self.read(path)
        except OSError:
            pass

    def add_directory(self, path: str) -> None:
        """Watch a directory for files that appear in it or go."""
        self._directories[path] = _identity(path)[0]

    def keep(self, other: Watch) -> None:
        """Watch also what ``other`` watches, as it is now."""
        for path in other.files:
            if path not in self._stamps:
                self.add(path)
        for path in other._directories:
            self._directories.setdefault(path, _identity(path)[0])

    def inherit(self, other: Watch, paths: Iterable[str]) -> None:
        """Watch files that ``other`` watches, as they were when it read them."""
        self._stamps.update({path: other._stamps[path] for path in paths if path in other._stamps})

    def changed(self) -> list[str]:
        """Return the paths of what is not as it was."""
        # Copies, for a module that is imported by another thread meanwhile adds its file.
        found = [path for path, stamp in list(self._stamps.items()) if self._differs(path, stamp)]
        found += [path for path, identity in list(self._directories.items()) if _identity(path)[0] != identity]
        return found

    def _differs(self, path: str, stamp: _Stamp) -> bool:
        identity, modified = _identity(path)
        if identity != stamp.identity:
            return True
        if stamp.settled:
            return False
        settled = self._now() - modified > _SETTLED_AFTER
        try:
            with open(path, "rb") as file:
                if _checksum(file.read()) != stamp.checksum:
                    return True
        except OSError:
            return True
        stamp.settled = settled
        return False


def _identity(path: str) -> tuple[tuple[int, ...] | None, int]:
    """Return what tells one state of a file from another, None where there is no file, and its last change in ns."""
    try:
        status = os.stat(path)
    except OSError:
        return None, 0
    identity = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
    return identity, max(status.st_mtime_ns, status.st_ctime_ns)


def _checksum(content: bytes) -> int:
    return zlib.crc32(content)
