"""A WSGI application that takes and gives large bodies.

``POST /count`` answers with the number of bytes received, ``POST /echo`` with the bytes themselves, ``GET /download?N``
with N bytes in blocks. None of them holds more than one block, except ``/echo`` that holds the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

BLOCK_SIZE = 65536
BLOCK = bytes(BLOCK_SIZE)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by path; anything unknown is counted."""
    if environ["PATH_INFO"] == "/download":
        size = int(environ["QUERY_STRING"] or 0)
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
        return _blocks(size)
    if environ["PATH_INFO"] == "/echo":
        answer = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    else:
        answer = b"%d" % _count(environ)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(answer)))])
    return [answer]


def _count(environ: dict[str, Any]) -> int:
    remaining = length = int(environ.get("CONTENT_LENGTH") or 0)
    read = environ["wsgi.input"].read
    while remaining > 0:
        data = read(min(BLOCK_SIZE, remaining))
        if not data:
            break
        remaining -= len(data)
    return length - remaining


def _blocks(size: int) -> Iterator[bytes]:
    for _ in range(size // BLOCK_SIZE):
        yield BLOCK
    if size % BLOCK_SIZE:
        yield BLOCK[: size % BLOCK_SIZE]
