"""HTTP/1 responses as bytes: status line, fields, and how the body ends (RFC 9112 sections 4 to 7).

Layer 1: pure functions and caches. No Twisted, no clock. Thread: any; a store into a cache is atomic, and a lost one
only costs time.
"""

from __future__ import annotations

from typing import Final

from skitai.reasons import reason_of
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.events import HeaderList, Response
from skitai.web.headers import FIELD_VALUE, is_token, lower_name

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_CACHE_ENTRIES: Final = 2048
_LENGTH, _DATE, _SERVER = 1, 2, 4
_FLAGS: Final = {b"content-length": _LENGTH, b"date": _DATE, b"server": _SERVER}
_SPELLED: Final = {
    b"etag": b"ETag",
    b"www-authenticate": b"WWW-Authenticate",
    b"content-md5": b"Content-MD5",
    b"te": b"TE",
}
_CARRIERS_OWN: Final = frozenset((b"connection", b"transfer-encoding", b"keep-alive", b"upgrade"))
_status_lines: dict[tuple[int, str], bytes] = {}
_field_lines: dict[tuple[bytes, bytes], tuple[bytes, int]] = {}


def has_body(method: str, status: int) -> bool:
    """Tell whether a response may carry content (RFC 9110 section 6.4.1)."""
    return status >= 200 and status not in (204, 304) and method != "HEAD"


def encode_head(response: Response, length: int | None, common: bytes, tail: bytes) -> bytes:
    """Make the head of a response.

    Args:
        response: Status and fields; the carrier's own fields in it are an error.
        length: Value of Content-Length, None to send none. A Content-Length among the fields wins.
        common: The Date and Server lines, each sent unless the response has its own.
        tail: Further lines (Connection, Transfer-Encoding), then the empty line.

    Raises:
        ValueError: A name, a value or the reason phrase holds bytes that would split the response.
    """
    key = (response.status, response.reason)
    line = _status_lines.get(key)
    parts = [line if line is not None else _status_line(key)]
    flags = 0
    for field in response.headers:
        cached = _field_lines.get(field)
        if cached is None:
            cached = _field_line(field)
        parts.append(cached[0])
        flags |= cached[1]
    if not flags:
        parts.append(common)
    else:
        if flags & _LENGTH and response.status == 204:  # RFC 9110 section 8.6: it must not be sent there
            parts = [part for part in parts if not part.startswith(b"Content-Length:")]
        _add_common(parts, flags, common)
    if length is not None and not flags & _LENGTH:
        parts.append(b"Content-Length: %d\r\n" % length)
    parts.append(tail)
    return b"".join(parts)


def encode_chunk(data: bytes) -> bytes:
    """Make a chunk of ``data``, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def announced_length(headers: HeaderList) -> int | None:
    """Return the value of a Content-Length among ``headers``, None where there is none."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def _add_common(parts: list[bytes], flags: int, common: bytes) -> None:
    if not common:  # an interim response has none
        return
    date, server = common.split(b"\r\n", 1)
    if not flags & _DATE:
        parts.append(date + b"\r\n")
    if not flags & _SERVER:
        parts.append(server)


def _status_line(key: tuple[int, str]) -> bytes:
    status, reason = key
    phrase = (reason or reason_of(status)).encode("latin-1")
    if not FIELD_VALUE.fullmatch(phrase):
        raise ValueError(f"the reason phrase {reason!r} holds control characters")
    line = b"HTTP/1.1 %d %b\r\n" % (status, phrase)
    if len(line) <= CACHED_LENGTH:
        remember(_status_lines, key, line, _CACHE_ENTRIES)
    return line


def _field_line(field: tuple[bytes, bytes]) -> tuple[bytes, int]:
    name, value = field
    if not is_token(name):
        raise ValueError(f"{name!r} is not a field name (RFC 9110 section 5.1)")
    if not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"the value of {name!r} holds control characters (RFC 9110 section 5.5)")
    lowered = lower_name(name)
    if lowered in _CARRIERS_OWN:
        raise ValueError(f"{name!r} is the server's business")
    made = (b"%b: %b\r\n" % (_SPELLED.get(lowered) or lowered.title(), value), _FLAGS.get(lowered, 0))
    if len(made[0]) <= CACHED_LENGTH:
        remember(_field_lines, field, made, _CACHE_ENTRIES)
    return made
