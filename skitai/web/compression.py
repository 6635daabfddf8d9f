"""Compression of response bodies with gzip: whether, and how.

``prepare`` decides on the head of a response and changes it; ``compress`` does a whole body and ``Compressor`` a
stream. What was decided for a header value is remembered: clients send few different ones.

Layer 1: no Twisted, no clock; it knows the head of a request and of a response, and nothing of who sends them.
Thread: any.
"""

from __future__ import annotations

import zlib
from typing import Final

from skitai.web.caches import remember
from skitai.web.events import HeaderList, Request, Response
from skitai.web.negotiation import preferred_codings

_GZIP_WINDOW: Final = 31
"""zlib's name for "32 KiB window, gzip header"; that header's time stays 0, so that equal bodies give equal bytes."""

# 1xx, 204 and 304 have no body (RFC 9110 section 6.4.1), 205 none either (15.3.6); the ranges of a 206 are cut from the
# uncompressed bytes (14.4).
_UNTOUCHED_STATUSES: Final = frozenset({204, 205, 206, 304})

# A body that was encoded already, is a part, or whose digest the application has taken (RFC 9530) stays as it is.
_UNTOUCHED_WITH: Final = frozenset(
    {b"content-encoding", b"content-range", b"content-digest", b"content-md5", b"digest", b"repr-digest"}
)

_COMPRESSIBLE: Final = frozenset(
    {
        b"application/ecmascript",
        b"application/javascript",
        b"application/json",
        b"application/wasm",
        b"application/x-javascript",
        b"application/x-ndjson",
        b"application/xml",
    }
)

_types: dict[bytes, bool] = {}


def negotiate(request: Request) -> bool:
    """Return whether the client takes gzip, and not less gladly than no coding.

    A request without Accept-Encoding gets none: it would be allowed (RFC 9110 section 12.5.3), but who sends nothing is
    a simple client that rarely can decode it.
    """
    value = request.header(b"accept-encoding")
    return value is not None and b"gzip" in preferred_codings(value)


def compressible(content_type: bytes) -> bool:
    """Return whether bodies of a media type shrink: text, JSON, XML, JavaScript, SVG and WebAssembly do."""
    found = _types.get(content_type)
    if found is None:
        found = _shrinks(content_type.partition(b";")[0].strip().lower())
        remember(_types, content_type, found)
    return found


def prepare(request: Request, response: Response, length: int | None, min_size: int) -> bool:
    """Decide whether the body of a response is to be compressed, and change its head accordingly.

    Where it could be compressed, Vary is set also when this client does not take it: a cache must not hand the one form
    to who asked for the other. Where it will be, Content-Encoding is set, Content-Length goes, and a strong ETag
    becomes weak, because it names other bytes than these (RFC 9110 section 8.8.3.3). A HEAD request changes the head
    like GET; when its body is left out, no Content-Length may be made up from that.

    Args:
        request: The head of the request.
        response: The head of the response; its ``headers`` are changed in place.
        length: Size of the body in bytes, None for a stream whose length is not known.
        min_size: Smallest body worth it, in bytes.

    Returns:
        Whether the body must be compressed now.
    """
    if (length is not None and length < min_size) or response.status < 200 or response.status in _UNTOUCHED_STATUSES:
        return False
    headers = response.headers
    if not _may_change(headers):
        return False
    vary(headers)
    if not negotiate(request):
        return False
    headers[:] = [
        (name, _weak(value) if name == b"etag" else value) for name, value in headers if name != b"content-length"
    ]
    headers.append((b"content-encoding", b"gzip"))
    return True


def vary(headers: HeaderList) -> None:
    """Add Accept-Encoding to what a response varies on, once, in place."""
    last = -1
    for index, (name, value) in enumerate(headers):
        if name == b"vary":
            members = [member.strip().lower() for member in value.split(b",")]
            if b"*" in members or b"accept-encoding" in members:
                return
            last = index
    if last < 0:
        headers.append((b"vary", b"Accept-Encoding"))
    else:
        value = headers[last][1]
        headers[last] = (b"vary", value + b", Accept-Encoding" if value.strip() else b"Accept-Encoding")


def compress(body: bytes, level: int) -> bytes:
    """Compress a whole body; the same body gives the same bytes.

    Args:
        body: What to compress.
        level: Effort from 1 to 9.
    """
    engine = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)
    return engine.compress(body) + engine.flush()


class Compressor:
    """Compress a stream piece by piece, so that a client can read each piece when it comes.

    Args:
        level: Effort from 1 to 9.
    """

    __slots__ = ("_engine",)

    def __init__(self, level: int) -> None:
        self._engine = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)

    def compress(self, data: bytes) -> bytes:
        """Return everything that ``data`` amounts to; b"" for b""."""
        if not data:
            return b""
        return self._engine.compress(data) + self._engine.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """Return the end of the stream; nothing may be compressed afterwards."""
        return self._engine.flush()


def _shrinks(media_type: bytes) -> bool:
    if media_type in _COMPRESSIBLE or media_type.startswith(b"text/"):
        return True
    # gRPC compresses its messages itself and knows no Content-Encoding.
    return media_type.endswith((b"+json", b"+xml")) and not media_type.startswith(b"application/grpc")


def _may_change(headers: HeaderList) -> bool:
    """Return whether the head of a response leaves its body to us, and names a type that is worth it."""
    worth_it = False
    for name, value in headers:
        if name in _UNTOUCHED_WITH:
            return False
        if name == b"content-type":
            worth_it = compressible(value)
        elif name == b"cache-control" and b"no-transform" in value.lower():
            # RFC 9110 section 7.7
            return False
    return worth_it


def _weak(etag: bytes) -> bytes:
    return etag if etag.startswith(b"W/") else b"W/" + etag
