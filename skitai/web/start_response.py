"""What applications give to ``start_response``, checked and made ready to send (PEP 3333, "The start_response()
Callable").

Layer 1: pure functions and caches. Thread: any; a store into a cache is atomic, and a lost one only costs time.
"""

from __future__ import annotations

import re
from typing import Final

from skitai.errors import ApplicationError
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.events import HeaderList
from skitai.web.headers import FIELD_VALUE, is_token, lower_name

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields that belong to the server (PEP 3333, "Other HTTP Features"; RFC 9110 section 7.6.1)."""

_STATUS: Final = re.compile(r"([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)", re.DOTALL)
_CACHE_ENTRIES: Final = 2048
_statuses: dict[str, tuple[int, str]] = {}
_fields: dict[tuple[str, str], tuple[bytes, bytes]] = {}


def parse_status(status: str) -> tuple[int, str]:
    """Take apart a status such as "200 OK".

    Raises:
        ApplicationError: It is none.
    """
    try:
        return _statuses[status]
    except (KeyError, TypeError):
        pass
    if type(status) is not str:
        raise ApplicationError(f"the status is a str such as '200 OK', not {type(status).__name__}")
    match = _STATUS.fullmatch(status if len(status) != 3 else status + " ")
    if match is None:
        raise ApplicationError(
            f"the status is three digits, a blank and a reason without control characters, not {status!r}"
        )
    if match.group(1) < "200":
        raise ApplicationError(f"the status of a response is 200 or more, not {status!r} (RFC 9110 section 15.2)")
    parsed = (int(match.group(1)), match.group(2))
    if len(status) <= CACHED_LENGTH:
        remember(_statuses, status, parsed, _CACHE_ENTRIES)
    return parsed


def parse_headers(headers: list[tuple[str, str]]) -> tuple[HeaderList, int | None]:
    """Return header fields as they are sent, names in lower case, and the value of Content-Length among them, if any.

    Raises:
        ApplicationError: The list or a field of it breaks a rule.
    """
    if type(headers) is not list:
        raise ApplicationError(f"the headers are a list of (name, value) tuples, not {type(headers).__name__}")
    parsed: HeaderList = []
    length: int | None = None
    for field in headers:
        try:
            pair = _fields.get(field)
        except TypeError:
            pair = None
        if pair is None:
            pair = _parse_field(field)
        if pair[0] == b"content-length":
            if length is not None:
                raise ApplicationError("Content-Length is given twice")
            length = int(pair[1])
        parsed.append(pair)
    return parsed, length


def _parse_field(field: object) -> tuple[bytes, bytes]:
    if type(field) is not tuple or len(field) != 2:
        raise ApplicationError(f"a header is a tuple (name, value), not {field!r}")
    name, value = field
    if not isinstance(name, str) or not isinstance(value, str):
        raise ApplicationError(f"name and value of a header are str: {field!r}")
    try:
        raw_name, raw_value = name.encode("ascii"), value.encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raise ApplicationError(
            f"a header holds only characters of ISO-8859-1, its name only ASCII: {field!r}"
        ) from None
    if not is_token(raw_name):
        raise ApplicationError(f"{name!r} is not a header name (RFC 9110 section 5.1)")
    if not FIELD_VALUE.fullmatch(raw_value):
        raise ApplicationError(
            f"the value of the header {name!r} holds control characters: {value!r} (RFC 9110 section 5.5)"
        )
    lowered = lower_name(raw_name)
    if lowered in HOP_BY_HOP:
        raise ApplicationError(f"the header {name!r} is hop-by-hop and belongs to the server (PEP 3333)")
    if lowered == b"content-length" and not raw_value.isdigit():
        raise ApplicationError(f"Content-Length is a number of bytes, not {value!r}")
    pair = (lowered, raw_value)
    if len(name) + len(value) <= CACHED_LENGTH:
        remember(_fields, (name, value), pair, _CACHE_ENTRIES)
    return pair
