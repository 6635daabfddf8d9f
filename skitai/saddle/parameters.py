"""Header fields with parameters, as forms have them: ``form-data; name="a"; filename="b.txt"``.

Clients disagree on how a quote is written inside quotes. Browsers percent-encode it and leave backslashes alone (HTML,
"multipart form data"); others escape both with a backslash (RFC 2045 section 5.1); very old browsers send whole Windows
paths. The readings here are chosen so that all three come out as they were meant, and so that there is always one
reading: what could mean two things to two programs (a repeated parameter, text behind a closing quote) is refused.

It must not know bodies or requests. Layer S. Thread: any.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from skitai.errors import PeerError

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_END: Final = r"(?=[ \t]*(?:;|\Z))"
# A quoted text first, with escapes. Where that reading runs beyond its parameter, a name that ends with a backslash was
# meant, as browsers send it: the text up to the next quote. Each text has one way through, so a failure costs no more
# than a match.
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ \t]*(?:(?P<name>" + _TOKEN + r")[ \t]*=[ \t]*"
    r'(?:"(?P<escaped>[^"\\]*(?:\\.[^"\\]*)*)"' + _END + r'|"(?P<raw>[^"]*)"' + _END + r'|(?P<plain>[^";]*)))?',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r'\\(["\\])')
_MEDIA_TYPE: Final = re.compile(_TOKEN + "/" + _TOKEN)
_EXTENDED: Final = re.compile(r"([A-Za-z0-9_.\-]*)'[A-Za-z0-9\-]*'((?:[ -$&(-~]|%[0-9A-Fa-f]{2})*)", re.ASCII)
_ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_CHARSETS: Final = {"utf-8": "utf-8", "iso-8859-1": "latin-1", "us-ascii": "ascii"}


def _refuse(value: str) -> NoReturn:
    raise PeerError(400, f"malformed header field value {value[:100]!r}")


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Take a field value apart (RFC 9110 section 5.6.6, and what browsers make of it).

    Args:
        value: The field value.

    Returns:
        What stands before the first ";", in lower case, and the parameters by their name in lower case.

    Raises:
        PeerError: 400, a parameter is malformed or there twice.
    """
    end = value.find(";")
    if end < 0:
        return value.strip(" \t").lower(), {}
    first = value[:end].strip(" \t").lower()
    parameters: dict[str, str] = {}
    while end < len(value):
        match = _PARAMETER.match(value, end)
        if match is None:
            if value[end:].strip(" \t"):
                _refuse(value)
            break
        end = match.end()
        if match["name"] is None:
            continue
        name = match["name"].lower()
        if name in parameters:
            raise PeerError(400, f"the parameter {name!r} is there twice in {value[:100]!r}")
        if match["escaped"] is not None:
            # A backslash before anything else is one: Windows paths have them.
            parameters[name] = _ESCAPE.sub(r"\1", match["escaped"])
        else:
            parameters[name] = match["raw"] if match["raw"] is not None else match["plain"].strip(" \t")
    return first, parameters


def media_type(value: str) -> str:
    """Return the media type of a Content-Type value, in lower case and without parameters; "" for a malformed one."""
    found = value.partition(";")[0].strip(" \t").lower()
    return found if _MEDIA_TYPE.fullmatch(found) else ""


def form_text(parameters: dict[str, str], name: str) -> str | None:
    """Return the parameter ``name`` of a part of a form as the client meant it, None when there is none.

    Browsers write a quote, CR and LF as ``%22``, ``%0D`` and ``%0A``, and nothing else so (HTML, "multipart form
    data"). ``name*`` (RFC 5987, RFC 2231), which RFC 7578 section 4.2 forbids and clients send, wins over ``name``
    (RFC 6266 section 4.3).

    Raises:
        PeerError: 400, ``name*`` is malformed, in an unknown charset, or continued in several parameters.
    """
    extended = parameters.get(name + "*")
    if extended is not None:
        return _decode_extended(extended)
    if any(key.startswith(name + "*") for key in parameters):
        raise PeerError(400, f"the parameter {name!r} is continued (RFC 2231 section 3), which is not supported")
    text = parameters.get(name)
    if text is not None and "%" in text:
        text = text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    return text


def _decode_extended(value: str) -> str:
    """Return the text of an ``ext-value`` (RFC 5987 section 3.2)."""
    match = _EXTENDED.fullmatch(value)
    charset = _CHARSETS.get(match[1].lower()) if match else None
    if match is None or charset is None:
        _refuse(value)
    try:
        return unescape(match[2].encode()).decode(charset)
    except UnicodeDecodeError:
        _refuse(value)


def unescape(data: bytes) -> bytes:
    """Return ``data`` with its percent-escapes decoded; what is no escape stays."""
    if b"%" not in data:
        return data
    return _ESCAPES.sub(lambda run: bytes.fromhex(run[0].replace(b"%", b"").decode()), data)
