"""The files of one directory as they are served: found safely, described once, small ones kept in memory.

A request path becomes a path below the directory in ``relative_path``, which refuses everything that could mean
something else than it says. ``FileStore.find`` then gives a ``Representation``: what the header fields say of a file
and, for a small one, its bytes.

Theory of operation: a representation is built once and kept; each use costs one ``stat``, whose identity (device,
inode, both times, size) must be the one it was built from. That is exact, so nothing is ever served after it was
replaced, and at 2 us it is not worth a timer. Whether symbolic links lead out of the directory is looked at when a
representation is built: the same inode can not come to lie elsewhere by a changed link, and another inode is built
anew.

It must not know HTTP messages, nor the reactor: opening and describing local files does not wait.

Thread: reactor.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from skitai.web.compression import compressible
from skitai.web.conditional import format_date
from skitai.web.events import HeaderList
from skitai.web.media_types import media_type

SMALL_FILE_SIZE: Final = 16 * 1024
"""Files up to this many bytes are kept in memory and answered in one piece."""

CACHE_SIZE: Final = 8 * 1024 * 1024
"""Bytes that the kept representations of one directory may take."""

SUFFIXES: Final = {b"br": ".br", b"gzip": ".gz"}
"""What a precompressed neighbour's name ends with, by content coding."""

_ENTRY_SIZE: Final = 1024
# A kernel stamps files with a clock that moves every few milliseconds, some file systems every two seconds. A file
# that changed so lately may change again without a new time, so its bytes are not trusted from memory until then.
_SETTLING_TIME: Final = 2.0
# O_NONBLOCK: a name that became a FIFO since it was looked at must not stop the reactor. O_NOFOLLOW: nor may it
# become a link.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
# Not the file's fault: the caller must not answer that there is no such file.
_SCARCITY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})

Identity: TypeAlias = tuple[int, int, int, int, int]


class Missing(enum.Enum):
    """Why there is no representation."""

    FILE = enum.auto()
    DIRECTORY = enum.auto()


def relative_path(path: str, point: str) -> str | None:
    """Return the decoded path of a file below a mount point, beginning with "/", or None for one that is unsafe.

    Refused are segments that are "." or "..", empty ones (but for the last, of a directory), a backslash, NUL, and an
    encoded slash: RFC 3986 section 2.2 tells it from a plain one, a file system can not.

    Args:
        path: The path of the request target, percent-encoded.
        point: Where the directory is mounted: "" for the root, else without the last slash.
    """
    if "%" in path:
        if "%2f" in path or "%2F" in path:
            return None
        path = os.fsdecode(unquote_to_bytes(path))
    relative = path[len(point) :]
    if not path.startswith(point) or not relative.startswith("/"):
        return None
    if "\\" in relative or "\0" in relative or "//" in relative:
        return None
    if "/." in relative and not {".", ".."}.isdisjoint(relative.split("/")):
        return None
    return relative


class Representation:
    """One form in which a file is sent.

    Attributes:
        name: Path of the file below its directory, without a neighbour's suffix.
        path: Real path of what is sent.
        identity: What must not have changed: device, inode, modification and change time, size.
        modified: Modification time, in seconds since the epoch.
        size: Bytes as sent.
        etag: Strong entity tag.
        content_type: Media type of the file.
        coding: Content coding that was applied, b"" for none.
        content: The bytes, None when they are read from the file.
        settled: Whether ``content`` may be used again while the identity stays.
        max_age: Seconds that it may be kept, 0 to say nothing of it.
        shrinks: Whether compression is worth it for the media type.
        varies: Whether other forms of the file are or may be offered.
    """

    __slots__ = (
        "_fields",
        "_made",
        "coding",
        "content",
        "content_type",
        "etag",
        "identity",
        "max_age",
        "modified",
        "name",
        "path",
        "settled",
        "shrinks",
        "size",
        "varies",
    )

    def __init__(self, name: str, path: str, status: os.stat_result, content: bytes | None) -> None:
        self.name = name
        self.path = path
        self.identity = identity_of(status)
        self.modified = status.st_mtime
        self.content = content
        self.content_type = media_type(name)
        self.shrinks = compressible(self.content_type)
        self.coding = b""
        self.settled = True
        self.max_age = 0
        self.varies = False
        if content is None:
            self.size = status.st_size
            self.etag = b'"%x-%x"' % (status.st_mtime_ns, status.st_size)
        else:
            # Bytes at hand are named by themselves: the tag is right even where times are coarse, and equal on every
            # machine.
            self.size = len(content)
            self.etag = b'"' + hashlib.blake2b(content, digest_size=12).hexdigest().encode() + b'"'
        self._fields: HeaderList = []
        self._made = -1

    def derive(self, coding: bytes, content: bytes) -> Representation:
        """Return the form that is made by applying a content coding to this one."""
        derived = Representation.__new__(Representation)
        derived.path, derived.identity, derived.modified = self.path, self.identity, self.modified
        derived.content, derived.size = content, len(content)
        derived.content_type, derived.coding = self.content_type, coding
        derived.settled, derived.max_age, derived.varies = True, self.max_age, True
        derived.name, derived.shrinks = self.name, False
        derived.etag = self.derived_tag(coding)
        derived._fields, derived._made = [], -1
        return derived

    def derived_tag(self, coding: bytes) -> bytes:
        """Return the entity tag of what ``derive`` makes."""
        return self.etag[:-1] + b"-" + coding + b'"'

    def vary(self) -> None:
        """Say from now on that other forms may be offered."""
        if not self.varies:
            self.varies = True
            self._made = -1

    def fields(self, now: float) -> HeaderList:
        """Return the header fields of a 200 answer, a list of the caller's own."""
        second = int(now)
        if second != self._made:
            self._made = second
            self._fields = self.validator_fields(now)
            self._fields.append((b"accept-ranges", b"bytes"))
            self._fields.append((b"content-type", self.content_type))
            if self.coding:
                self._fields.append((b"content-encoding", self.coding))
        return self._fields.copy()

    def validator_fields(self, now: float) -> HeaderList:
        """Return the fields that a 304 answer repeats (RFC 9110 section 15.4.5)."""
        # A date in the future becomes the present (RFC 9110 section 8.8.2.1).
        fields = [(b"etag", self.etag), (b"last-modified", format_date(min(self.modified, now)))]
        if self.max_age:
            fields.append((b"cache-control", b"max-age=%d" % self.max_age))
            fields.append((b"expires", format_date(now + self.max_age)))
        if self.varies:
            fields.append((b"vary", b"Accept-Encoding"))
        return fields


class FileStore:
    """The representations of the files below one directory.

    Args:
        directory: Path of the directory; it may be a link that is changed later.
        wall_clock: Seconds since the epoch.
        complete: Sets what does not come from the file (``max_age``, ``vary()``) in a representation just built.
        capacity: Bytes that may be kept in memory.
    """

    def __init__(
        self,
        directory: str,
        wall_clock: Callable[[], float],
        complete: Callable[[Representation], None],
        capacity: int = CACHE_SIZE,
    ) -> None:
        self._directory = os.path.abspath(directory)
        self._wall_clock = wall_clock
        self._complete = complete
        self._capacity = capacity
        self._weight = 0
        self._kept: OrderedDict[tuple[str, bytes], Representation] = OrderedDict()

    def find(self, relative: str, coding: bytes = b"") -> Representation | Missing:
        """Return the file at a path, or its precompressed neighbour for ``coding``.

        Args:
            relative: A path from ``relative_path``.
            coding: A key of ``SUFFIXES``, b"" for the file itself.

        Raises:
            OSError: The system can not tell now (no descriptor, memory or disk).
        """
        key = (relative, coding)
        path = self._directory + relative + SUFFIXES[coding] if coding else self._directory + relative
        try:
            status = os.stat(path)
            kept = self._kept.get(key)
            if kept is not None and kept.settled and kept.identity == identity_of(status):
                self._kept.move_to_end(key)
                return kept
            if stat.S_ISDIR(status.st_mode):
                return Missing.DIRECTORY
            built = self._build(relative, path) if stat.S_ISREG(status.st_mode) else None
        except OSError as error:
            if error.errno in _SCARCITY:
                raise
            built = None
        if built is None:
            self._drop(key)
            return Missing.FILE
        self._complete(built)
        if coding:
            built.coding = coding
            built.vary()
            # Neighbours might have been made in one go, with one time and by chance one size.
            built.etag = built.etag[:-1] + SUFFIXES[coding].replace(".", "-").encode() + b'"'
        elif any(self.has(relative + suffix) for suffix in SUFFIXES.values()):
            built.vary()
        self.keep(key, built)
        return built

    def has(self, relative: str) -> bool:
        """Return whether anything bears the name (a cheap look, without the checks that ``find`` makes)."""
        return os.access(self._directory + relative, os.F_OK)

    def open(self, representation: Representation) -> BinaryIO | None:
        """Open the file of a representation; None when it is no longer the same.

        Raises:
            OSError: The system can not open any file now.
        """
        try:
            descriptor = os.open(representation.path, _OPEN_FLAGS)
        except OSError as error:
            if error.errno in _SCARCITY:
                raise
            return None
        if identity_of(os.fstat(descriptor)) != representation.identity:
            os.close(descriptor)
            return None
        return open(descriptor, "rb", buffering=0)

    def kept(self, key: tuple[str, bytes]) -> Representation | None:
        """Return what ``keep`` was given for a key, unless it was displaced."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: tuple[str, bytes], representation: Representation) -> None:
        """Keep a representation, in the place of those used longest ago when there is no room."""
        self._drop(key)
        self._kept[key] = representation
        self._weight += _weight(representation)
        while self._weight > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self._weight -= _weight(oldest)

    def _drop(self, key: tuple[str, bytes]) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._weight -= _weight(dropped)

    def _build(self, name: str, path: str) -> Representation | None:
        """Describe a file, read it when it is small; None when it is no regular file inside the directory."""
        real, root = os.path.realpath(path, strict=True), os.path.realpath(self._directory, strict=True)
        if not real.startswith(root if root.endswith("/") else root + "/"):
            return None
        with open(os.open(real, _OPEN_FLAGS), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            content = _read_all(file) if status.st_size <= SMALL_FILE_SIZE else None
            if content is not None and len(content) > SMALL_FILE_SIZE:
                # It grew meanwhile.
                content, status = None, os.fstat(file.fileno())
        built = Representation(name, real, status, content)
        built.settled = content is None or (
            len(content) == status.st_size and self._wall_clock() - status.st_ctime > _SETTLING_TIME
        )
        return built


def identity_of(status: os.stat_result) -> Identity:
    """Return what tells one state of one file from any other."""
    # The change time is there because the modification time can be set at will.
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_dev)


def _read_all(file: BinaryIO) -> bytes:
    """Return the bytes of a small file, or one more than ``SMALL_FILE_SIZE`` of one that is not."""
    pieces, wanted = [], SMALL_FILE_SIZE + 1
    while wanted and (piece := file.read(wanted)):
        pieces.append(piece)
        wanted -= len(piece)
    return b"".join(pieces)


def _weight(representation: Representation) -> int:
    return _ENTRY_SIZE + (len(representation.content) if representation.content is not None else 0)
