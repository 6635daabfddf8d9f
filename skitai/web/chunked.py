"""The chunked transfer coding (RFC 9112 section 7.1), decoded.

Layer 1: bytes in, bytes out; no Twisted, no clock, no thread. Strict on purpose: every tolerance here was once a
request smuggling hole somewhere. One decoder serves one body.

Theory of operation: SIZE -> DATA -> DATA_END -> SIZE ... -> TRAILERS -> DONE. A line is only looked at when its CRLF is
there, so the result does not depend on how the bytes were split.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from skitai.errors import BodyError, PeerError
from skitai.web.events import HeaderList
from skitai.web.headers import FIELD_LINE, TOKEN, lower_name

MAX_LINE_SIZE: Final = 4096
"""A chunk-size line with its extensions, in bytes. Extensions are ignored, so nobody needs more."""

_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})"
    rb"(?:[ \t]*;[ \t]*"
    + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*'
)
# Between two chunks, as nearly all senders write it: one step for three, which counts where chunks are small.
_NEXT_CHUNK: Final = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0")
_NOT_IN_TRAILERS: Final = frozenset(
    (b"transfer-encoding", b"content-length", b"host", b"content-encoding", b"content-type", b"content-range",
     b"trailer", b"authorization", b"cookie", b"connection", b"expect", b"te", b"upgrade")
)  # fmt: skip


class _State(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILERS = enum.auto()
    DONE = enum.auto()


class ChunkedDecoder:
    """Decodes one chunked body.

    Attributes:
        trailers: Trailer fields that may be merged or logged; fields that frame or route a message are dropped (RFC
            9110 section 6.5.1).
        fault: What is wrong with the body, None as long as nothing is; nothing more is decoded after it.
    """

    __slots__ = ("fault", "_buffer", "_max_trailers", "_remaining", "_scanned", "_state", "trailers")

    def __init__(self, max_trailers_size: int) -> None:
        self._state = _State.SIZE
        self._buffer = b""
        self._remaining = 0
        self._scanned = 0
        self._max_trailers = max_trailers_size
        self.trailers: HeaderList = []
        self.fault: PeerError | None = None

    @property
    def done(self) -> bool:
        """Whether the body has ended well."""
        return self._state is _State.DONE

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Decode what has arrived.

        Returns:
            The decoded bytes and, once ``done``, the bytes that follow the body. Where the coding is malformed (status
            400) or the trailers are too large (431), ``fault`` is set and the bytes decoded before it are returned.
        """
        pieces: list[bytes] = []
        try:
            rest = self._receive(data, pieces)
        except PeerError as error:
            self.fault, rest = error, b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), rest

    def _receive(self, data: bytes, pieces: list[bytes]) -> bytes:
        buffer = self._buffer + data if self._buffer else data
        self._buffer = b""
        at = 0
        while self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = buffer[at : at + self._remaining]
                if piece:
                    pieces.append(piece)
                    at += len(piece)
                    self._remaining -= len(piece)
                if self._remaining:
                    return b""
                match = _NEXT_CHUNK.match(buffer, at)
                if match is not None:
                    at = match.end()
                    self._remaining = int(match[1], 16)
                    if not self._remaining:
                        self._state = _State.TRAILERS
                    continue
                self._state = _State.DATA_END
            step = self._trailers(buffer, at) if self._state is _State.TRAILERS else self._line(buffer, at)
            if step < 0:
                self._buffer = buffer[at:]
                return b""
            at = step
        return buffer[at:]

    def _line(self, buffer: bytes, at: int) -> int:
        """Read the end of a chunk or a chunk-size line at ``at``; return where it ends, -1 when it is not complete."""
        if self._state is _State.DATA_END:
            if buffer[at : at + 2] == b"\r\n":
                self._state = _State.SIZE
                return at + 2
            if len(buffer) - at >= 2 or buffer[at : at + 1] not in (b"", b"\r"):
                raise BodyError(400, "a chunk is longer than its size says")
            return -1
        end = buffer.find(b"\r\n", at, at + MAX_LINE_SIZE + 2)
        bare = _BARE.search(buffer, at, end + 1 if end >= 0 else min(len(buffer), at + MAX_LINE_SIZE))
        if bare is not None:
            raise BodyError(400, "a bare CR, a bare LF or a NUL in a chunk-size line")
        if end < 0:
            if len(buffer) - at >= MAX_LINE_SIZE + 2:
                raise BodyError(400, f"a chunk-size line is longer than {MAX_LINE_SIZE:,} bytes")
            return -1
        match = _SIZE_LINE.fullmatch(buffer, at, end)
        if match is None:
            raise BodyError(400, "a malformed chunk-size line")
        self._remaining = int(match.group(1), 16)
        self._state = _State.DATA if self._remaining else _State.TRAILERS
        return end + 2

    def _trailers(self, buffer: bytes, at: int) -> int:
        """Read the trailer section at ``at``; return where it ends, -1 when it is not complete."""
        if buffer[at : at + 2] == b"\r\n":
            self._state = _State.DONE
            return at + 2
        scanned = at + self._scanned
        end = buffer.find(b"\r\n\r\n", scanned, at + self._max_trailers)
        bare = _BARE.search(buffer, scanned, end + 1 if end >= 0 else min(len(buffer), at + self._max_trailers))
        if bare is not None:
            raise BodyError(400, "a bare CR, a bare LF or a NUL in the trailers")
        if end < 0:
            if len(buffer) - at >= self._max_trailers:
                raise PeerError(431, f"the trailers are larger than {self._max_trailers:,} bytes")
            self._scanned = max(0, len(buffer) - at - 3)
            return -1
        while at < end + 2:
            match = FIELD_LINE.match(buffer, at, end + 2)
            if match is None:
                raise BodyError(400, "a malformed trailer field")
            name = lower_name(match.group(1))
            if name not in _NOT_IN_TRAILERS:
                self.trailers.append((name, match.group(2).strip(b" \t")))
            at = match.end()
        self._state = _State.DONE
        return end + 4
