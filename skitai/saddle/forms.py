"""What a request carries beside its path: the query, the body, and the form in it.

Everything is bounded while it is read: a body that passes its limit is refused with 413 when that comes to light, not
when it has been stored. Files go to temporary files piece by piece, so a large upload costs no memory.

It must not know views or the objects they see. Layer S. Thread: application (reading a body waits for the client).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Final

from skitai.errors import BodyError, BodyTooLarge, PeerError
from skitai.saddle.multipart import (
    MAX_PART_HEAD_SIZE,
    MAX_PARTS,
    MultipartDecoder,
    MultipartEvent,
    PartData,
    PartEnd,
    PartHead,
    parse_boundary,
)
from skitai.saddle.parameters import media_type, parse_parameters, unescape
from skitai.saddle.upload import Upload

MAX_FIELDS: Final = 1000
"""Fields of a query or of an urlencoded body."""

PIECE_SIZE: Final = 1 << 16
"""Bytes read from the server at once."""

# Most bodies in one piece; some streams make room for as much as they are asked for, whatever there is.
_LARGE_PIECE_SIZE: Final = 1 << 20
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_LENGTH_DIGITS: Final = 18
_TEXT_CHARSETS: Final = {
    "": "utf-8",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
}


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How much a client may send; more is answered with 413.

    Args:
        max_post_body_size: Bytes of an urlencoded body, and of all text fields of a multipart body together.
        max_multipart_body_size: Bytes of a multipart body.
        max_upload_file_size: Bytes of each file in it.
        max_parts: Parts of a multipart body.
        max_part_head_size: Bytes of the head of each part.
        max_fields: Fields of an urlencoded body.
    """

    max_post_body_size: int = 5 << 20
    max_multipart_body_size: int = 20 << 20
    max_upload_file_size: int = 20_000_000
    max_parts: int = MAX_PARTS
    max_part_head_size: int = MAX_PART_HEAD_SIZE
    max_fields: int = MAX_FIELDS


class Form:
    """The fields of a form; also a context manager that closes it.

    Attributes:
        values: The fields by name: text is ``str``, a file is an ``Upload``, a name that came several times has the
            list of its values in the order they came.
        uploads: All files.
    """

    __slots__ = ("uploads", "values")

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = {} if values is None else values
        self.uploads: list[Upload] = []

    def close(self) -> None:
        """Remove the temporary files that were not saved. Doing it again does nothing.

        Raises:
            OSError: One can not be removed; the others are.
        """
        failure = None
        for upload in self.uploads:
            try:
                upload.remove()
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure

    def __enter__(self) -> Form:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def parse_query(text: str, max_fields: int = MAX_FIELDS, excess_status: int = 400) -> dict[str, Any]:
    """Return the fields of a query string or of an urlencoded body (WHATWG URL, "application/x-www-form-urlencoded").

    The fields are UTF-8; "+" is a blank, only "&" separates, a field without "=" is empty.

    Args:
        text: As WSGI has it: each character stands for one byte (PEP 3333).
        max_fields: Largest number of fields.
        excess_status: The status that answers more: 400 for a query, 413 for a body.

    Returns:
        The values by name; the list of them, in order, for a name that came several times.

    Raises:
        PeerError: 400, a malformed percent-escape or bytes that are not UTF-8; ``excess_status``, too many fields.
    """
    if not text:
        return {}
    separators = text.count("&")
    # Fields that are empty count little, but they count.
    if separators > max_fields or (separators == max_fields and all(text.split("&"))):
        raise PeerError(excess_status, f"there are more than {max_fields:,} fields")
    if "%" in text or "+" in text or not text.isascii():
        return _parse_escaped(text)
    values: dict[str, Any] = {}
    for field in text.split("&"):
        if field:
            name, _, value = field.partition("=")
            if name in values:
                _add(values, name, value)
            else:
                values[name] = value
    return values


def _parse_escaped(text: str) -> dict[str, Any]:
    found = _BAD_ESCAPE.search(text)
    if found is not None:
        raise PeerError(400, f"{text[found.start() : found.start() + 3]!r} is no percent-escape")
    values: dict[str, Any] = {}
    try:
        for field in text.encode("latin-1").replace(b"+", b" ").split(b"&"):
            if field:
                name, _, value = field.partition(b"=")
                _add(values, unescape(name).decode(), unescape(value).decode())
    except UnicodeError:
        raise PeerError(400, "the fields are not UTF-8") from None
    return values


def _add(values: dict[str, Any], name: str, value: str | Upload) -> None:
    """Add a field; the values of a name become a list when there is a second one."""
    if name not in values:
        values[name] = value
    elif type(values[name]) is list:
        values[name].append(value)
    else:
        values[name] = [values[name], value]


def read_body(environ: dict[str, Any], limit: int) -> bytes:
    """Return the body of a request.

    Args:
        environ: The WSGI environment.
        limit: Largest size in bytes.

    Raises:
        BodyTooLarge: 413, it is larger than ``limit``.
        PeerError: It did not come whole (a ``BodyError``), or its Content-Length is malformed (400).
    """
    pieces = list(read_pieces(environ, limit, _LARGE_PIECE_SIZE))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_pieces(environ: dict[str, Any], limit: int, piece_size: int = PIECE_SIZE) -> Iterator[bytes]:
    """Yield the body of a request as it comes.

    A server that sets ``wsgi.input_terminated`` ends the input where the body ends; on any other nothing is read beyond
    Content-Length, where the next request may begin, and without one there is no body.

    Args:
        environ: The WSGI environment.
        limit: Largest size in bytes.
        piece_size: Largest size of a piece in bytes.

    Raises:
        BodyTooLarge: 413, the body is larger than ``limit``.
        PeerError: It did not come whole (a ``BodyError``), or its Content-Length is malformed (400).
    """
    length = _content_length(environ)
    if length is None and not environ.get("wsgi.input_terminated"):
        return
    if length is not None and length > limit:
        raise BodyTooLarge(limit)
    stream: BinaryIO = environ["wsgi.input"]
    # One byte beyond the limit shows that the limit is passed.
    remaining = limit + 1 if length is None else length
    while remaining:
        try:
            piece = stream.read(min(remaining, piece_size))
        except PeerError:
            raise
        except OSError as error:  # how servers other than ours tell that the client left
            raise BodyError(400, "the request body could not be read") from error
        if not piece:
            if length is not None:
                raise BodyError(400, f"the request body ends {remaining:,} bytes too early")
            return
        remaining -= len(piece)
        if length is None and remaining <= 0:
            raise BodyTooLarge(limit)
        yield piece


def _content_length(environ: dict[str, Any]) -> int | None:
    """Return the Content-Length, None where there is none. A huge one is some number above any limit."""
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise PeerError(400, f"{text[:40]!r} is no Content-Length")
    digits = text.lstrip("0")
    # Huge numbers take long to convert.
    return int(digits or "0") if len(digits) <= _MAX_LENGTH_DIGITS else 10**_MAX_LENGTH_DIGITS


def read_form(environ: dict[str, Any], limits: FormLimits) -> Form:
    """Read the form that a request carries; one of another content type has no fields, and its body is not read.

    A body of no bytes is a form without fields.

    Args:
        environ: The WSGI environment.
        limits: What is allowed.

    Returns:
        The form. The caller closes it when the request is over.

    Raises:
        PeerError: 400, the form is malformed; 413, it passes a limit; 507, a file can not be stored.
        BodyError: The body did not come whole.
    """
    content_type = environ.get("CONTENT_TYPE") or ""
    kind = media_type(content_type)
    if kind == "application/x-www-form-urlencoded":
        text = read_body(environ, limits.max_post_body_size).decode("latin-1")
        return Form(parse_query(text, limits.max_fields, 413))
    if kind == "multipart/form-data":
        return _read_multipart(environ, parse_boundary(content_type), limits)
    return Form()


def _read_multipart(environ: dict[str, Any], boundary: bytes, limits: FormLimits) -> Form:
    decoder = MultipartDecoder(boundary, limits.max_parts, limits.max_part_head_size)
    collector = _Collector(limits)
    empty = True
    try:
        for piece in read_pieces(environ, limits.max_multipart_body_size):
            empty = False
            for event in decoder.feed(piece):
                collector.take(event)
        if not empty:
            decoder.finish()
    except BaseException:
        collector.abandon()
        raise
    return collector.form


class _Collector:
    """Puts the parts of a multipart body into a form: text in memory, files in temporary files.

    Args:
        limits: What is allowed.
    """

    def __init__(self, limits: FormLimits) -> None:
        self.form = Form()
        self._limits = limits
        self._text_size = 0
        self._head: PartHead | None = None
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._upload: Upload | None = None

    def take(self, event: MultipartEvent) -> None:
        """Take an event of the decoder."""
        if isinstance(event, PartData):
            if self._upload is not None:
                self._store(self._upload, event.data)
            elif self._head is not None and self._head.filename is None:
                self._keep(event.data)
        elif isinstance(event, PartHead):
            self._head = event
            # A file with an empty name is what browsers send when none was chosen.
            if event.filename:
                self._begin_file(event, event.filename)
        elif isinstance(event, PartEnd):
            self._end_part()

    def abandon(self) -> None:
        """Remove the files: nobody gets the form."""
        try:
            self._close_file()
        except OSError:  # the disk is full: what did not get there goes anyway
            pass
        self.form.close()

    def _keep(self, data: bytes) -> None:
        self._text_size += len(data)
        limit = self._limits.max_post_body_size
        if self._text_size > limit:
            raise PeerError(413, f"the text fields of the form are larger than {limit:,} bytes")
        self._text += data

    def _begin_file(self, head: PartHead, filename: str) -> None:
        try:
            descriptor, path = tempfile.mkstemp(prefix="skitai-", suffix=".upload")
        except OSError as error:
            raise _not_stored(error) from error
        self._upload = Upload(path, filename, 0, head.mimetype)
        self.form.uploads.append(self._upload)
        self._file = open(descriptor, "wb")  # noqa: SIM115

    def _store(self, upload: Upload, data: bytes) -> None:
        assert self._file is not None
        upload.size += len(data)
        limit = self._limits.max_upload_file_size
        if upload.size > limit:
            raise PeerError(413, f"the file {upload.name!r} is larger than {limit:,} bytes")
        try:
            self._file.write(data)
        except OSError as error:  # the disk is full
            raise _not_stored(error) from error

    def _end_part(self) -> None:
        assert self._head is not None
        value: str | Upload
        if self._upload is not None:
            try:
                self._close_file()
            except OSError as error:
                raise _not_stored(error) from error
            value, self._upload = self._upload, None
        else:
            value = _decode_text(self._head, self._text)
            self._text = bytearray()
        _add(self.form.values, self._head.name, value)
        self._head = None

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _decode_text(head: PartHead, data: bytearray) -> str:
    """Return the text of a part: UTF-8 unless its Content-Type says otherwise (RFC 7578 section 5.1.2)."""
    charset = ""
    if ";" in head.content_type and data:
        charset = parse_parameters(head.content_type)[1].get("charset", "").lower()
    codec = _TEXT_CHARSETS.get(charset)
    if codec is None:
        raise PeerError(400, f"the field {head.name!r} is in charset {charset[:40]!r}, which is not supported")
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        raise PeerError(400, f"the field {head.name!r} is not {charset or 'utf-8'}") from None


def _not_stored(error: OSError) -> PeerError:
    return PeerError(507, f"an upload can not be stored: {error.strerror}")
