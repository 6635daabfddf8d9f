"""From what a view returns to the pieces of a body.

Text is sent as UTF-8. What gives its content piece by piece is asked for the next piece when the client has read enough
of what was sent before, and closed at the end, however that comes.

Layer S. It must not know status and header fields. Thread: the one that answers the request; an ``AsyncStream`` runs on
the reactor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

PIECE_SIZE: Final = 64 * 1024
"""Bytes read of a file at once."""

_NUMBERS: Final = (int, float, complex, Decimal, Fraction)


def whole(content: Any) -> bytes | None:
    """Return content that is there already as bytes, None for what must be asked for it."""
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)  # of bytes that is the object itself
    if isinstance(content, _NUMBERS):
        return str(content).encode("ascii")
    if isinstance(content, (list, tuple)):
        pieces = [whole(item) for item in content]
        found = [piece for piece in pieces if piece is not None]
        return b"".join(found) if len(found) == len(pieces) else None
    return None


def is_stream(content: Any) -> bool:
    """Tell whether content can be asked for its pieces."""
    if isinstance(content, (list, tuple)):
        return all(whole(item) is not None or is_stream(item) for item in content)
    if isinstance(content, Mapping):
        return False
    return any(hasattr(content, name) for name in ("read", "more", "__next__", "next", "__iter__"))


def is_async_stream(content: Any) -> bool:
    """Tell whether content gives its pieces only on the reactor."""
    return hasattr(content, "__aiter__")


class Stream:
    """The pieces of a body, one after the other.

    Args:
        content: What ``is_stream`` says yes to.
        finish: Called once when it is closed.
    """

    __slots__ = ("_closed", "_content", "_finish", "_pieces")

    def __init__(self, content: Any, finish: Callable[[], object]) -> None:
        self._content = content
        self._finish = finish
        self._pieces = _pieces(content)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Close everything that gives pieces; the server calls it at the end, and when the client has left."""
        if not self._closed:
            self._closed = True
            try:
                self._pieces.close()
                _close(self._content)
            finally:
                self._finish()


class AsyncStream:
    """The pieces of a body that come from an asynchronous generator.

    Args:
        content: The generator, or another asynchronous iterable.
        finish: Called when it is closed.

    Attributes:
        silent: Whether it has no pieces, but is closed all the same: so HEAD is answered.
    """

    __slots__ = ("_finish", "_iterator", "silent")

    def __init__(self, content: Any, finish: Callable[[], object]) -> None:
        self._finish = finish
        self._iterator = aiter(content)
        self.silent = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.silent:
            raise StopAsyncIteration
        return _piece(await anext(self._iterator))

    async def aclose(self) -> None:
        """Close the generator; the server calls it at the end, and when the client has left."""
        try:
            close = getattr(self._iterator, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._finish()


async def in_threads(stream: Stream, call: Callable[..., Any]) -> AsyncIterator[bytes]:
    """Yield the pieces of a stream on the reactor, each asked for in an application thread; in the end close it there.

    Args:
        stream: Asking it for a piece may wait.
        call: ``was.in_thread``.
    """
    try:
        while (piece := await call(next, stream, None)) is not None:
            yield piece
    finally:
        await call(stream.close)


def discard(content: Any) -> None:
    """Close content that will not be sent; that this fails concerns nobody."""
    try:
        _close(content)
    except Exception:
        pass


def _pieces(content: Any) -> Generator[bytes, None, None]:
    """Yield the pieces of content; an empty one is left out."""
    if isinstance(content, (list, tuple)):
        for item in content:
            data = whole(item)
            if data is None:
                yield from _pieces(item)
            elif data:
                yield data
    elif hasattr(content, "read"):
        yield from _until_empty(lambda: content.read(PIECE_SIZE))
    elif hasattr(content, "more"):
        yield from _until_empty(content.more)
    elif hasattr(content, "__iter__"):
        yield from map(_piece, content)
    else:
        advance = content.__next__ if hasattr(content, "__next__") else content.next
        while True:
            try:
                item = advance()
            except StopIteration:
                return
            yield _piece(item)


def _until_empty(ask: Callable[[], Any]) -> Iterator[bytes]:
    while data := ask():
        yield _piece(data)


def _piece(item: Any) -> bytes:
    data = whole(item)
    if data is None:
        raise TypeError(f"a piece of a body is text or bytes, not {type(item).__name__}")
    return data


def _close(content: Any) -> None:
    """Call ``close`` of content, and of all that a list holds, even where one fails."""
    if isinstance(content, (list, tuple)):
        items = list(content)
        while items:
            try:
                while items:
                    _close(items.pop(0))
            except Exception:
                _close(items)
                raise
        return
    close = getattr(content, "close", None)
    if close is not None and whole(content) is None:
        close()
