"""Header fields: names, values, and the few fields that frame a message.

Layer 1: pure functions and tables. No Twisted, no clock, no thread; the caches may be filled by any thread.
"""

from __future__ import annotations

import re
from typing import Final

from skitai.web.caches import CACHED_LENGTH, remember

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""A token (RFC 9110 section 5.6.2), as a piece of a regular expression."""

FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
"""A field value or a reason phrase (RFC 9110 section 5.5): visible octets, blanks, tabs and obs-text."""

FIELD_LINE: Final = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)\r\n")
"""A field line with its line end (RFC 9112 section 5): no white space before the colon, no folding.

The value is with the blanks around it: a pattern that leaves them out takes cubic time for many of them.
"""

_TOKEN_ONLY: Final = re.compile(TOKEN)
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?", re.ASCII
)
_lower_names: dict[bytes, bytes] = {}
_hosts: dict[bytes, str] = {}


def is_token(name: bytes) -> bool:
    """Tell whether ``name`` is a token, as methods and field names are."""
    return _TOKEN_ONLY.fullmatch(name) is not None


def lower_name(name: bytes) -> bytes:
    """Return ``name`` in lower case; equal names share one object, whose hash is computed once."""
    lowered = _lower_names.get(name)
    if lowered is None:
        lowered = name.lower()
        if len(name) <= CACHED_LENGTH:
            remember(_lower_names, name, lowered)
    return lowered


def is_host(value: str) -> bool:
    """Tell whether ``value`` is a host with an optional port (RFC 9110 section 7.2, RFC 3986 section 3.2).

    User information ("user@host") is refused: RFC 9110 section 4.2.4 calls it an error.
    """
    return _HOST.fullmatch(value) is not None


def read_host(value: bytes) -> str | None:
    """Return the value of a Host field as text, None where it is malformed. Good ones are remembered."""
    host = _hosts.get(value)
    if host is None:
        host = value.decode("latin-1")
        if not is_host(host):
            return None
        if len(value) <= CACHED_LENGTH:
            remember(_hosts, value, host)
    return host


def tokens(value: bytes) -> list[bytes]:
    """Split a comma-separated list such as that of ``Connection`` into lower-case members, empty ones left out."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]
