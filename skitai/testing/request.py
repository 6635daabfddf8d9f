"""Requests as a test writes them, and their bytes.

It must not know where the bytes go. Thread: any.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

Fields: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"
Body: TypeAlias = "bytes | str | Mapping[str, object] | Iterable[bytes] | None"

_FORM: Final = "application/x-www-form-urlencoded"
_OF_BODY: Final = frozenset({"content-type", "content-length", "transfer-encoding"})


def encode_request(method: str, path: str, fields: list[tuple[str, str]]) -> bytes:
    """Return a request head.

    Args:
        method: The method.
        path: Path and query; what a URI may not hold is percent-encoded, as UTF-8.
        fields: Header fields; of those that say what the body is, the last one of each name counts. ``Host`` is
            "localhost" where they do not say it.
    """
    target = path if path.isascii() and " " not in path else quote(path, safe="/:?#[]@!$&'()*+,;=%-._~")
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in {name.lower() for name, _ in fields}:
        lines.append("Host: localhost")
    for at, (name, value) in enumerate(fields):
        again = any(other.lower() == name.lower() for other, _ in fields[at + 1 :])
        if not (again and name.lower() in _OF_BODY):
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_body(data: Body, json: Any) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Return the pieces of a body, to be sent one by one, and the fields that say what it is.

    Args:
        data: As for ``Client.request``.
        json: The same.
    """
    if json is not None:
        if data is not None:
            raise ValueError("a request has data or json, not both")
        return _sized(json_module.dumps(json).encode(), "application/json")
    if data is None:
        return [], []
    if isinstance(data, Mapping):
        return _sized(urlencode(data, doseq=True).encode(), _FORM)
    if isinstance(data, str):
        return _sized(data.encode(), "text/plain; charset=utf-8")
    if isinstance(data, bytes):
        return _sized(data, "")
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in data if piece]
    return [*chunks, b"0\r\n\r\n"], [("Transfer-Encoding", "chunked")]


def pairs_of(fields: Fields | None) -> list[tuple[str, str]]:
    """Return header fields, however a test has written them, as pairs."""
    if fields is None:
        return []
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def _sized(body: bytes, content_type: str) -> tuple[list[bytes], list[tuple[str, str]]]:
    fields = [("Content-Length", str(len(body)))]
    if content_type:
        fields.append(("Content-Type", content_type))
    return [body] if body else [], fields
