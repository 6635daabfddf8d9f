"""An uploaded file, and the names under which such files may be saved.

The client chooses the name of the file it sends, so the name may be a path, an attack or nonsense; ``safe_name`` makes
a plain base name of anything. The contents are in a temporary file from the beginning; saving moves it.

It must not know how the file came here. Layer S. Thread: application; an ``Upload`` is used by one at a time.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from typing import BinaryIO, Final

MAX_NAME_SIZE: Final = 255
"""Bytes that common file systems allow for one name."""

_MAX_EXTENSION_SIZE: Final = 32
_COUNTED_NAMES: Final = 100
_NO_NAME: Final = "file"

# Control characters, what reorders text (a name that ends with "gpj.exe" shown the other way round), and surrogates,
# which no file system can store.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED_CHARACTERS: Final = re.compile(r'[<>:"|?*]')
# Leading dots hide a file or make it "..", Windows drops trailing ones together with blanks.
_TRIMMED: Final = ". \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def safe_name(name: str) -> str:
    """Make a base name of ``name`` that can be created in a directory and nowhere else, on any system.

    What is before the last slash or backslash goes, and so do a drive letter, control characters, dots at the
    beginning, dots and blanks at the end; characters that Windows reserves become "_", and its device names get one in
    front. It has at most 255 bytes in UTF-8; what is too long loses the end of its stem, not its extension. When
    nothing is left it is "file".
    """
    # Invisible characters first: a dot and a dot must not come together after the dots were looked at.
    name = _INVISIBLE.sub("", name).replace("\\", "/").rpartition("/")[2].strip(_TRIMMED)
    name = _RESERVED_CHARACTERS.sub("_", _DRIVE.sub("", name, count=1) if _DRIVE.match(name) else name).strip(_TRIMMED)
    # Windows takes "nul.txt" and "nul .txt" for the device as well.
    if _DEVICES.fullmatch(name.partition(".")[0].rstrip(_TRIMMED)):
        name = "_" + name
    return _shorten(name) or _NO_NAME


def _shorten(name: str, addition: str = "") -> str:
    """Return ``name`` with ``addition`` before its extension, cut to what a file system allows."""
    stem, extension = os.path.splitext(name)
    extension = _cut(extension, _MAX_EXTENSION_SIZE)
    stem = _cut(stem, MAX_NAME_SIZE - len(extension.encode()) - len(addition))
    return (stem + addition + extension).rstrip(_TRIMMED)


def _cut(text: str, size: int) -> str:
    # A character whose bytes do not all fit goes as a whole.
    return text.encode()[:size].decode("utf-8", "ignore")


class Upload:
    """A file that the client sent.

    It is removed at the end of the request unless it was saved.

    Args:
        path: Full path of the temporary file that holds it.
        original_name: Its name as the client gave it.
        size: Its size in bytes.
        mimetype: Its media type, as the client says.

    Attributes:
        path: Full path of the temporary file; once saved, of the saved file.
        name: Its name, reduced to a base name that is safe to create (see ``safe_name``).
        original_name: Its name as the client gave it. It may be anything; show it, but open nothing by it.
        size: Its size in bytes.
        mimetype: Its media type in lower case, without parameters. The client's word is no proof.
        saved: Whether it was saved.
    """

    __slots__ = ("mimetype", "name", "original_name", "path", "saved", "size")

    def __init__(self, path: str, original_name: str, size: int, mimetype: str) -> None:
        self.path = path
        self.name = safe_name(original_name)
        self.original_name = original_name
        self.size = size
        self.mimetype = mimetype
        self.saved = False

    def __repr__(self) -> str:
        return f"<Upload {self.name!r} {self.mimetype} {self.size:,} bytes>"

    def open(self) -> BinaryIO:
        """Open the file for reading, at its start; the caller closes it.

        Raises:
            FileNotFoundError: It was removed, as it is when the request is over.
        """
        try:
            return open(self.path, "rb")
        except FileNotFoundError:
            raise FileNotFoundError(
                errno.ENOENT, "the upload was removed, as it is after the request: save() what is to stay", self.path
            ) from None

    def read(self) -> bytes:
        """Return all of the file.

        Raises:
            FileNotFoundError: It was removed.
        """
        with self.open() as file:
            return file.read()

    def remove(self) -> None:
        """Remove the temporary file; a saved one stays. Doing it again does nothing."""
        if not self.saved:
            _remove(self.path)

    def save(self, into: str | os.PathLike[str], name: str | None = None, mkdir: bool = False, dup: str = "u") -> str:
        """Save the file in a directory.

        It appears there whole, or not at all, with the permissions that the umask gives. It can be saved several times.

        Args:
            into: The directory.
            name: Its name there, reduced like that of the client (see ``safe_name``); None for ``self.name``.
            mkdir: Make the directory, and those above it, when it is not there.
            dup: What to do where there is a file of that name: "u" adds a number to the name to make it unique, "o"
                overwrites.

        Returns:
            The full path of the saved file.

        Raises:
            ValueError: ``dup`` is something else.
            FileNotFoundError: There is no such directory, or the upload was removed.
            OSError: It can not be saved there.
        """
        if dup not in ("u", "o"):
            raise ValueError(f'dup must be "u" (make the name unique) or "o" (overwrite), not {dup!r}')
        directory = _directory(into, mkdir)
        name = self.name if name is None else safe_name(name)
        target = os.path.join(directory, name)
        if dup == "o" and os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, "a directory has the name of the file to save", target)
        staged = self._stage(directory)
        claimed = None
        try:
            if dup == "u":
                target = claimed = _claim(directory, name)
            os.replace(staged, target)
        except BaseException:
            self._unstage(staged)
            if claimed is not None:
                _remove(claimed)
            raise
        self.path = target
        self.saved = True
        return target

    def _stage(self, directory: str) -> str:
        """Bring the contents into ``directory``, under a name that nobody knows; from there, renaming is atomic."""
        with self.open() as source:
            staged = os.path.join(directory, f".{secrets.token_hex(16)}.upload")
            descriptor = _create(staged)
            try:
                with open(descriptor, "wb") as target:
                    mode = os.fstat(descriptor).st_mode & 0o777
                    moved = not self.saved and _move(self.path, staged)
                    if not moved:
                        shutil.copyfileobj(source, target, 1 << 18)
                if moved:
                    self.path = staged
                    os.chmod(staged, mode)  # a temporary file is its owner's alone
                elif not self.saved:
                    _remove(self.path)
                    self.path = staged
            except BaseException:
                self._unstage(staged)
                raise
        return staged

    def _unstage(self, staged: str) -> None:
        """Remove a copy that can not be saved; the temporary file stays where it is now, to be removed or saved."""
        if self.path != staged:
            _remove(staged)


def _directory(into: str | os.PathLike[str], mkdir: bool) -> str:
    path = os.path.abspath(into)
    if mkdir:
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, "no directory to save an upload in; mkdir=True makes it", path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, "an upload can only be saved in a directory", path)
    return path


def _create(path: str) -> int:
    """Create a file that was not there, with the permissions that the umask gives; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _claim(directory: str, name: str) -> str:
    """Create an empty file under the first name that is free, and return its path.

    The name is ours from then on: asking first whether it is free would let another thread take it meanwhile.
    """
    for candidate in _candidates(name):
        path = os.path.join(directory, candidate)
        try:
            os.close(_create(path))
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _candidates(name: str) -> Iterator[str]:
    yield name
    for number in range(1, _COUNTED_NAMES):
        yield _shorten(name, f"-{number}")
    # Who saves thousands of files of one name would wait longer for each.
    for _ in itertools.count():
        yield _shorten(name, f"-{secrets.token_hex(8)}")


def _move(source: str, target: str) -> bool:
    """Rename ``source``; return False where that does not do: to another file system, or an open file on Windows."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno == errno.EXDEV or isinstance(error, PermissionError):
            return False
        raise
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
