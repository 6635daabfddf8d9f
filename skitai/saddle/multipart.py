"""Decoder of multipart/form-data: bytes in, events out (RFC 2046 section 5.1, RFC 7578).

It reads no stream and writes no file: whoever has the bytes feeds them as they come, in pieces of any size, and the
same bytes give the same events however they are cut (data may come in more or fewer pieces). At most the head of one
part, or as much as could be the beginning of a delimiter, waits inside; data goes out in slices as large as what was
fed.

Theory of operation: PREAMBLE -> DELIMITER -> HEAD -> DATA -> DELIMITER ... -> EPILOGUE. A delimiter begins with the
line break before it, which is why the input is read as if one stood before its first byte, and why the line break that
ends a head is still there when its data begins: data of no bytes may have no other one.

What two programs could read differently is refused: line breaks other than CRLF in a head, a repeated field, text
behind a boundary. Parts that are multipart themselves (RFC 2388 section 4.2, which RFC 7578 section 4.3 gave up) are
refused; a file of such a type is data like any other, except multipart/mixed.

Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from skitai.errors import PeerError
from skitai.saddle.parameters import form_text, media_type, parse_parameters

MAX_PARTS: Final = 1000
MAX_PART_HEAD_SIZE: Final = 8192
MAX_PART_FIELDS: Final = 32
"""Header fields of one part; browsers send two."""

# RFC 2046 section 5.1.1: up to 70 characters, the last no blank.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]", re.ASCII)
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*)", re.DOTALL)
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_BROKEN: Final = re.compile(rb"[\r\n\0]")
_IDENTITY: Final = ("7bit", "8bit", "binary")
_MAX_PADDING: Final = 256


class _State(enum.Enum):
    PREAMBLE = enum.auto()
    DELIMITER = enum.auto()
    HEAD = enum.auto()
    DATA = enum.auto()
    EPILOGUE = enum.auto()


@dataclass(frozen=True, slots=True)
class PartHead:
    """A part begins.

    Attributes:
        name: Name of the form field.
        filename: Name of the file as the client gave it, not safe for anything; None when the part is no file.
        content_type: The part's Content-Type as received, "" when there is none.
        mimetype: Its media type in lower case without parameters; where there is none or a malformed one "text/plain",
            or "application/octet-stream" for a file.
    """

    name: str
    filename: str | None
    content_type: str
    mimetype: str


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part, at least one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


@dataclass(frozen=True, slots=True)
class FormEnd:
    """The form is complete; what is fed from now on is ignored."""


MultipartEvent: TypeAlias = PartHead | PartData | PartEnd | FormEnd


def parse_boundary(content_type: str) -> bytes:
    """Return the boundary that a Content-Type value names.

    Raises:
        PeerError: 400, there is none, or it is longer or of other characters than RFC 2046 section 5.1.1 allows.
    """
    boundary = parse_parameters(content_type)[1].get("boundary")
    if boundary is None:
        raise PeerError(400, "the Content-Type of a multipart body has no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise PeerError(400, f"{boundary[:100]!r} is not a boundary of a multipart body")
    return boundary.encode()


class MultipartDecoder:
    """The decoder of one body.

    Args:
        boundary: As ``parse_boundary`` returns it.
        max_parts: Largest number of parts; more is 413.
        max_part_head_size: Largest size of the head of a part in bytes; more is 413.
    """

    def __init__(
        self, boundary: bytes, max_parts: int = MAX_PARTS, max_part_head_size: int = MAX_PART_HEAD_SIZE
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._max_parts = max_parts
        self._max_head_size = max_part_head_size
        self._state = _State.PREAMBLE
        self._parts = 0
        self._buffer = b"\r\n"
        self._position = 0
        self._skip = 0
        self._events: list[MultipartEvent] = []

    def feed(self, data: bytes) -> list[MultipartEvent]:
        """Take some bytes and return what they bring about.

        Raises:
            PeerError: 400, the body is malformed; 413, it passes a limit. The decoder is of no use afterwards.
        """
        if self._state is _State.EPILOGUE:
            return []
        self._buffer = self._buffer + data if self._buffer else data
        self._position = 0
        while self._step():
            pass
        if self._position:
            self._buffer = self._buffer[self._position :]
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Say that there are no more bytes.

        Raises:
            PeerError: 400, the body is not complete.
        """
        if self._state is not _State.EPILOGUE:
            raise PeerError(400, "the multipart body ends before its last boundary")

    def _step(self) -> bool:
        """Go on in the buffer; return whether there may be more to do in it."""
        if self._state is _State.DATA or self._state is _State.PREAMBLE:
            return self._read_data()
        if self._state is _State.DELIMITER:
            return self._read_delimiter()
        return self._state is _State.HEAD and self._read_head()

    def _read_data(self) -> bool:
        """Hand out data up to the next delimiter, or up to what could be the beginning of one."""
        buffer, start = self._buffer, self._position
        found = end = buffer.find(self._delimiter, start)
        if found < 0:
            # Only CR begins a delimiter and there is no other one in it, so the last CR alone can begin a cut one.
            end = buffer.rfind(b"\r", max(start, len(buffer) - len(self._delimiter) + 1))
            if end < 0 or not self._delimiter.startswith(buffer[end:]):
                end = len(buffer)
        is_part = self._state is _State.DATA
        if end > start:
            data = buffer[start + self._skip : end]
            self._skip = 0
            if is_part and data:
                self._events.append(PartData(data))
        self._position = end
        if found < 0:
            return False
        if is_part:
            self._events.append(PartEnd())
        self._skip = 0
        self._position += len(self._delimiter)
        self._state = _State.DELIMITER
        return True

    def _read_delimiter(self) -> bool:
        """Read what follows a boundary: "--" at the end, else blanks (RFC 2046 section 5.1.1) and CRLF."""
        buffer, start = self._buffer, self._position
        mark = buffer[start : start + 2]
        if mark == b"--":
            self._state = _State.EPILOGUE
            self._events.append(FormEnd())
            return False
        if mark == b"-":
            return False
        rest = buffer[start : start + _MAX_PADDING + 2].lstrip(b" \t")
        if rest.startswith(b"\r\n"):
            self._parts += 1
            if self._parts > self._max_parts:
                raise PeerError(413, f"the form has more than {self._max_parts:,} parts")
            # The line break stays: in an empty head it is the first half of the empty line.
            self._position = buffer.index(b"\r", start)
            self._state = _State.HEAD
            return True
        if rest not in (b"", b"\r") or len(buffer) - start >= _MAX_PADDING + 2:
            raise PeerError(400, "a boundary of the multipart body is followed by something else")
        return False

    def _read_head(self) -> bool:
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\r\n\r\n", start, start + self._max_head_size + 6)
        if end < 0:
            # The lines with their ends, and the line break before them.
            if len(buffer) - start >= self._max_head_size + 6:
                raise PeerError(413, f"the head of a part is larger than {self._max_head_size:,} bytes")
            return False
        self._events.append(read_part_head(buffer[start + 2 : end]))
        # The second line break is skipped unless a delimiter begins with it.
        self._position = end + 2
        self._skip = 2
        self._state = _State.DATA
        return True


def read_part_head(block: bytes) -> PartHead:
    """Return what the header fields of a part say.

    Args:
        block: The lines, without the end of the last one.

    Raises:
        PeerError: 400, it is not the head of a part of a form; 413, it has too many fields.
    """
    fields = _read_fields(block)
    disposition, parameters = parse_parameters(fields.get("content-disposition", ""))
    if disposition != "form-data":
        raise PeerError(400, "a part of the multipart body is not form-data")
    name, filename = form_text(parameters, "name"), form_text(parameters, "filename")
    if name is None:
        raise PeerError(400, "a part of the multipart body has no name")
    content_type = fields.get("content-type", "")
    mimetype = media_type(content_type)
    if mimetype == "multipart/mixed" or (filename is None and mimetype.startswith("multipart/")):
        raise PeerError(400, f"the field {name!r} is a multipart body itself, which is not supported")
    # RFC 7578 section 4.7: nobody sends encoded parts any more; taken as they are, they would be garbage.
    encoding = fields.get("content-transfer-encoding", "binary").lower()
    if encoding not in _IDENTITY:
        raise PeerError(400, f"the field {name!r} is encoded as {encoding[:40]!r}, which is not supported")
    default = "text/plain" if filename is None else "application/octet-stream"
    return PartHead(name, filename, content_type, mimetype or default)


def _read_fields(block: bytes) -> dict[str, str]:
    lines = _FOLD.sub(b" ", block).split(b"\r\n", MAX_PART_FIELDS) if block else []
    if len(lines) > MAX_PART_FIELDS:
        raise PeerError(413, f"the head of a part has more than {MAX_PART_FIELDS} fields")
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None or _BROKEN.search(line):
            raise PeerError(400, "the head of a part of the multipart body is malformed")
        name = match[1].decode().lower()
        if name in fields:
            raise PeerError(400, f"the head of a part has the field {name!r} twice")
        try:
            # Field and file names are sent as they are, in UTF-8 (RFC 7578 section 5.1).
            fields[name] = match[2].rstrip(b" \t").decode()
        except UnicodeDecodeError:
            raise PeerError(400, "the head of a part of the multipart body is not UTF-8") from None
    return fields
