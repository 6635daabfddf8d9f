"""What a request carries: bytes, a file, or a form with files, handed out in pieces.

A payload is made in the thread of the application, where a file that is not there raises at once, and read on the
reactor while it is sent. Files are read piece by piece, so a large one takes no memory. What can not seek, such as a
pipe or the body of a request that is still coming, is copied when the payload is made: waiting for it would hold up the
reactor, on which it may wait itself.

Who has made a payload closes it; those who send it do not, as they may have to do so several times.

It must not know what protocol carries it.

Layer 3. Thread: one at a time.
"""

from __future__ import annotations

import io
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from numbers import Number
from typing import IO, Any, Final, Protocol, TypeAlias
from uuid import UUID

from skitai.web.headers import FIELD_VALUE
from skitai.web.media_types import media_type

PIECE_SIZE: Final = 64 * 1024
"""Longest piece that is handed out, in bytes."""

Pairs: TypeAlias = "Mapping[Any, Any] | Sequence[tuple[Any, Any]]"
"""Names and values: a dictionary, or a list of pairs where order matters or names are repeated."""

_AS_TEXT: Final = (str, Number, date, time, UUID)  # bool is a number, and so is Decimal; datetime is a date


class Payload(Protocol):
    """The content of a request.

    Attributes:
        size: In bytes.
        content_type: Value of Content-Type, None to send none.
    """

    @property
    def size(self) -> int: ...

    @property
    def content_type(self) -> str | None: ...

    def chunks(self) -> Iterator[bytes]:
        """Yield the content from its beginning, as often as it is sent: pieces of 1 to ``PIECE_SIZE`` bytes, ``size``
        in all.

        Raises:
            OSError: It can not be read, or is not as long as ``size``.
            ValueError: The file was closed, or gives no bytes.
        """

    def close(self) -> None:
        """Close what the payload has opened itself, if that was not done. Nothing is read from it afterwards."""


class BytesPayload:
    """Content that is there already.

    Args:
        data: The content.
        content_type: Its media type.
    """

    __slots__ = ("content_type", "data", "size")

    def __init__(self, data: bytes, content_type: str | None = None) -> None:
        self.data = data
        self.size = len(data)
        self.content_type = content_type

    def chunks(self) -> Iterator[bytes]:
        """Yield the content."""
        data = self.data
        if len(data) <= PIECE_SIZE:
            return iter((data,) if data else ())
        return (data[at : at + PIECE_SIZE] for at in range(0, len(data), PIECE_SIZE))

    def close(self) -> None:
        """Nothing is open."""


class FilePayload:
    """A file, from where it stands to its end as it is now: what is appended later is not sent.

    Args:
        source: A path, which is opened here and closed by ``close``; or a file open for reading bytes, which stays the
            caller's, and open until the request has ended. One that can not seek is read here until it ends.
        content_type: Its media type; None for the one that belongs to the suffix of its name.

    Raises:
        OSError: It can not be opened, or not be copied.
        ValueError: The file is open as text.
    """

    __slots__ = ("_file", "_owned", "_start", "content_type", "size")

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], content_type: str | None = None) -> None:
        self._owned = isinstance(source, (str, os.PathLike))
        file: IO[bytes] = open(source, "rb") if isinstance(source, (str, os.PathLike)) else source  # noqa: SIM115
        if isinstance(file, io.TextIOBase):
            raise ValueError(f"the file {name_of(file) or file!r} is open as text; open it in binary mode")
        self.content_type = content_type if content_type is not None else _media_type(name_of(file))
        try:
            self._start = file.tell()
            self.size = max(0, file.seek(0, os.SEEK_END) - self._start)
            file.seek(self._start)
        except (OSError, AttributeError, TypeError):  # a pipe, a socket, or an object that has only read()
            try:
                copy = _copy(file)
            finally:
                if self._owned:
                    file.close()
            self._owned = True
            self._start = 0
            self.size = copy.tell()
            file = copy
        self._file = file

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, read when it is asked for."""
        remaining = self.size
        while remaining > 0:
            size = min(PIECE_SIZE, remaining)
            self._file.seek(self._start + self.size - remaining)  # another request may send the same file
            data = self._file.read(size)
            if not data:
                raise OSError(f"the file {name_of(self._file)!r} has become shorter")
            if not isinstance(data, bytes):
                raise ValueError(f"the file {name_of(self._file)!r} gives {type(data).__name__}, not bytes")
            if len(data) > size:
                # The server would take the rest for another request.
                raise OSError(f"the file {name_of(self._file)!r} gives more than it was asked for")
            remaining -= len(data)
            yield data

    def close(self) -> None:
        """Close the file where it was opened here."""
        if self._owned:
            self._file.close()


class MultipartPayload:
    """A form with files, ``multipart/form-data`` (RFC 7578).

    Args:
        fields: Names and values. A file is a path (``os.PathLike``), a file open for reading bytes, or ``(file name,
            path or file or bytes or text)`` with the media type as a third item where the suffix does not tell it. A
            list sends a name several times, None leaves it out. Numbers, dates and the like are sent as text, ``bytes``
            as they are.
        boundary: What parts are separated by; made up where it is not given.

    Raises:
        OSError: A file can not be opened.
        ValueError: Something is no file; the message names the field.
        TypeError: A value is of a type that has no form there; the message names the field.
    """

    __slots__ = ("_segments", "content_type", "size")

    def __init__(self, fields: Pairs, boundary: str | None = None) -> None:
        # 128 random bits: nobody's file holds them, so no file need be searched (RFC 2046 section 5.1.1).
        boundary = boundary or "----form" + secrets.token_hex(16)
        self.content_type: str | None = f"multipart/form-data; boundary={boundary}"
        self._segments: list[BytesPayload | FilePayload] = []
        try:
            self._fill(fields, boundary.encode("ascii"))
        except BaseException:
            self.close()
            raise
        self.size = sum(segment.size for segment in self._segments)

    def _fill(self, fields: Pairs, boundary: bytes) -> None:
        """Make the segments: what lies between two files is one piece."""
        text: list[bytes] = []
        for name, value in flat(fields, list):
            upload = _read_upload(name, value)
            text.append(b"--%b\r\nContent-Disposition: form-data; name=%b" % (boundary, _quoted(name)))
            if upload is None:
                text.append(b"\r\n\r\n%b\r\n" % _plain(name, value))
                continue
            filename, content, content_type = upload
            text.append(b"; filename=%b\r\nContent-Type: %b\r\n\r\n" % (_quoted(filename), content_type.encode()))
            self._segments += [BytesPayload(b"".join(text)), content]
            text = [b"\r\n"]
        self._segments.append(BytesPayload(b"%b--%b--\r\n" % (b"".join(text), boundary)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the parts one after the other."""
        for segment in self._segments:
            yield from segment.chunks()

    def close(self) -> None:
        """Close the files that were given as paths."""
        for segment in self._segments:
            segment.close()


def content_of(source: Any, content_type: str | None = None) -> BytesPayload | FilePayload:
    """Return what a path or an open file holds; see ``FilePayload``.

    What is in memory is taken at once: so it may go to several servers at the same time.
    """
    if type(source) is io.BytesIO:
        content_type = content_type if content_type is not None else _media_type(name_of(source))
        return BytesPayload(source.getvalue()[source.tell() :], content_type)
    return FilePayload(source, content_type)


def flat(fields: Pairs, several: type[Any] | tuple[type[Any], ...] = (list, tuple)) -> Iterator[tuple[str, Any]]:
    """Yield names and values: those of a list one by one, None not at all.

    Args:
        fields: Names, and for each a value or a list of values.
        several: What counts as a list.
    """
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        values: Iterable[Any] = value if isinstance(value, several) else (value,)
        for one in values:
            if one is not None:
                yield str(name), one


def name_of(file: object) -> str:
    """Return the last segment of the name of an open file, "" where it has none."""
    name = getattr(file, "name", "")
    return os.path.basename(name) if isinstance(name, str) else ""


def _read_upload(field: str, value: Any) -> tuple[str, BytesPayload | FilePayload, str] | None:
    """Return file name, content and media type of a value that is a file; None for any other."""
    filename: Any = None
    given: Any = None
    if isinstance(value, tuple):
        if not 2 <= len(value) <= 3:
            raise ValueError(f"the file {field!r} must be (file name, file) or (file name, file, media type)")
        filename, value, given = (*value, None)[:3]
        if not isinstance(filename, str) or not (given is None or _is_media_type(given)):
            raise ValueError(f"the file {field!r} must have a text as its name, and a media type such as 'text/plain'")
        if isinstance(value, (str, bytes)):
            content = value if isinstance(value, bytes) else value.encode()
            return filename, BytesPayload(content), given or _media_type(filename)
    elif hasattr(value, "original_name") and hasattr(value, "path"):
        # A file that a view of Saddle was sent: it goes on under the name that it had.
        filename, given, value = value.original_name, value.mimetype, os.fspath(value.path)
        if not _is_media_type(given):
            given = None  # whoever sent it has made it up
    if filename is None and not isinstance(value, os.PathLike) and not hasattr(value, "read"):
        return None
    if isinstance(value, (str, os.PathLike)):
        filename = filename or os.path.basename(os.fspath(value))
    elif not hasattr(value, "read"):
        raise ValueError(f"the file {field!r} must be a path, a file open for reading, bytes or text, not {value!r}")
    filename = str(filename or name_of(value) or field)
    return filename, content_of(value), given or _media_type(filename)


def _plain(field: str, value: Any) -> bytes:
    """Return a value that is no file."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, _AS_TEXT):
        raise TypeError(
            f"the field {field!r} must be text, bytes, a number, a date or a file, not {type(value).__name__}"
        )
    return str(value).encode()


def _copy(file: IO[bytes]) -> IO[bytes]:
    """Return a temporary file with all that ``file`` gives, which stands at its end."""
    copy = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115
    try:
        while data := file.read(PIECE_SIZE):
            if not isinstance(data, bytes):
                raise ValueError(f"the file {name_of(file)!r} gives {type(data).__name__}, not bytes")
            copy.write(data)
        if data is None:
            raise OSError(f"the file {name_of(file)!r} has nothing to read yet")
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy


def _media_type(filename: str) -> str:
    # Without its charset: nobody has looked at what is in the file.
    return media_type(filename).partition(b";")[0].decode()


def _is_media_type(text: Any) -> bool:
    """Tell whether ``text`` can stand in a head of a part; what is wrong beyond that concerns the receiver."""
    return isinstance(text, str) and text.isascii() and FIELD_VALUE.fullmatch(text.encode()) is not None


def _quoted(text: str) -> bytes:
    """Return a name as browsers send it (HTML, "multipart form data"), beyond RFC 7578 section 2."""
    return b'"%b"' % text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()
