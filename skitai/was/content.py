"""Content codings of answers, undone: gzip, deflate and br, several in turn (RFC 9110 section 8.4).

A decoder takes the pieces of a body as they come. What comes out is bounded: a bomb ends with an error as soon as it is
past the limit, and has then taken no more memory than that.

It must not know what carries the body, nor what becomes of it. brotli is imported by the first answer that needs it.

Layer 3. Thread: one at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

from skitai.errors import BadAnswer, BeyondLimit
from skitai.web.headers import tokens

ACCEPTED: Final = b"gzip, deflate, br"
"""Value of Accept-Encoding: what can be decoded here."""

_MAX_CODINGS: Final = 5
"""How many layers are undone. One is usual, two are a mistake of some server, more are meant to hurt."""

_SLICE: Final = 16 * 1024
"""How much is decoded at once: the rest of it is copied anew for each of the gzip members in it. Of a bomb this is
hundreds of times as much."""

_MAX_MEMBERS: Final = 2000
"""How many gzip members are taken at least. Tiny ones cost time for nothing."""

_MEMBER_SIZE: Final = 32 * 1024
"""Bytes that members may have on the average where there are more. Those of block formats (BGZF) have 64 KiB."""

_MAX_IGNORED: Final = 64 * 1024
"""How many bytes may follow the coded data."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW = 31, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Decoder(Protocol):
    """Undoes one coding, or several."""

    def feed(self, data: bytes) -> bytes:
        """Return what ``data`` decodes to; b"" when more is needed.

        Raises:
            BadAnswer: It is malformed, or all in all larger than the limit.
        """

    def finish(self) -> bytes:
        """Return what is left when the body has ended.

        Raises:
            BadAnswer: The coded data were cut.
        """


def decoder_for(content_encoding: bytes, max_size: int) -> Decoder | None:
    """Return what undoes the codings of an answer.

    Args:
        content_encoding: Value of Content-Encoding; several fields joined with ",".
        max_size: How many bytes may come out.

    Returns:
        None where nothing can be done: no coding, or one that is not known and so was not asked for. The body is for
        the application then, as it is.

    Raises:
        BadAnswer: There are more codings than any server has a reason for.
    """
    names = [name for name in tokens(content_encoding) if name != b"identity"]
    if not names or not all(name in _DECODERS for name in names):
        return None
    if len(names) > _MAX_CODINGS:
        raise _bad(f"the answer is coded {len(names)} times over")
    # RFC 9110 section 8.4: they are listed in the order in which they were applied.
    stages = [_DECODERS[name](max_size) for name in reversed(names)]
    return stages[0] if len(stages) == 1 else _Chain(stages)


def _bad(message: str) -> BadAnswer:
    return BadAnswer(message, sent=True, answered=True)


class _Chain:
    """Several codings, the last one applied first."""

    __slots__ = ("_stages",)

    def __init__(self, stages: Sequence[Decoder]) -> None:
        self._stages = stages

    def feed(self, data: bytes) -> bytes:
        for stage in self._stages:
            data = stage.feed(data)
        return data

    def finish(self) -> bytes:
        for stage in self._stages:
            stage.finish()  # none holds anything back
        return b""


class _Stage:
    """What the decoders have in common: a limit, and an end."""

    __slots__ = ("_left", "_max_size", "_started")

    name = ""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._left = max_size
        self._started = False

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        self._started = True
        if len(data) <= _SLICE:
            return self._decode(data)
        return b"".join([self._decode(data[at : at + _SLICE]) for at in range(0, len(data), _SLICE)])

    def finish(self) -> bytes:
        # A body of no bytes at all is no coded data cut, but the answer of a server that codes nothing into nothing.
        if self._started and not self._ended():
            raise _bad(f"the {self.name} data of the answer are cut")
        return b""

    def _decode(self, data: bytes) -> bytes:
        raise NotImplementedError

    def _ended(self) -> bool:
        raise NotImplementedError

    def _count(self, decoded: bytes) -> bytes:
        self._left -= len(decoded)
        if self._left < 0:
            message = f"the answer is larger than {self._max_size:,} bytes when decoded"
            raise BeyondLimit(message, sent=True, answered=True)
        return decoded


class _Zlib(_Stage):
    """What zlib decodes."""

    __slots__ = ("_ignored", "_zlib")

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        self._zlib: zlib._Decompress | None = None
        self._ignored = 0

    def _inflate(self, data: bytes, window: int) -> bytes:
        """Decode up to the end of the stream, or up to one byte past the limit."""
        if self._zlib is None:
            self._zlib = zlib.decompressobj(window)
        try:
            return self._count(self._zlib.decompress(data, self._left + 1))
        except zlib.error as error:
            raise _bad(f"the answer is no {self.name} data ({error})") from None

    def _ignore(self, data: bytes) -> None:
        """Take what follows the coded data."""
        self._ignored += len(data)
        if self._ignored > _MAX_IGNORED:
            raise _bad(f"more than {_MAX_IGNORED:,} bytes follow the {self.name} data of the answer")

    def _ended(self) -> bool:
        return self._zlib is not None and self._zlib.eof


class _Gzip(_Zlib):
    """One or several members (RFC 1952 section 2.2).

    What follows a member and is none is ignored, as browsers do: zeros that fill a block, or a line end that some
    script has printed behind its output.
    """

    __slots__ = ("_after", "_ignoring", "_members")

    name = "gzip"

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        self._after = b""
        self._ignoring = False
        self._members = 0

    def _decode(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        while data:
            if self._ignoring:
                self._ignore(data)
                break
            if self._zlib is not None and self._zlib.eof:
                data = self._after + data
                if len(data) < 2 and _GZIP_MAGIC.startswith(data):
                    self._after = data
                    break
                self._after = b""
                self._ignoring = not data.startswith(_GZIP_MAGIC)
                if self._ignoring:
                    continue
                self._zlib = None
                self._members += 1
                if self._members >= max(_MAX_MEMBERS, self._max_size // _MEMBER_SIZE):
                    raise _bad(f"the answer has more than {self._members:,} gzip members")
            pieces.append(self._inflate(data, _GZIP))
            assert self._zlib is not None
            data = self._zlib.unused_data
        return b"".join(pieces)


class _Deflate(_Zlib):
    """The zlib format (RFC 1950), as RFC 9110 section 8.4.1.2 has it, or the bare stream that some servers send."""

    __slots__ = ("_head", "_window")

    name = "deflate"

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        self._head = b""
        self._window = 0

    def _decode(self, data: bytes) -> bytes:
        if self._window == 0:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            # RFC 1950 section 2.2: method 8, and both bytes are a multiple of 31. No encoder begins a bare stream so:
            # it would be a stored block whose padding is not zero.
            zlib_format = data[0] & 0x8F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._window = _ZLIB if zlib_format else _RAW
        elif self._ended():
            self._ignore(data)  # as behind gzip; zlib would collect it
            return b""
        return self._inflate(data, self._window)


class _Brotli(_Stage):
    """Brotli (RFC 7932)."""

    __slots__ = ("_brotli", "_error")

    name = "br"

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        import brotli  # type: ignore[import-untyped]  # has no types of its own

        self._brotli: Any = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def _decode(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        decompressor = self._brotli
        try:
            pieces.append(self._count(decompressor.process(data, output_buffer_limit=self._left + 1)))
            while not (decompressor.is_finished() or decompressor.can_accept_more_data()):
                pieces.append(self._count(decompressor.process(b"", output_buffer_limit=self._left + 1)))
        except self._error:
            raise _bad("the answer is no br data, or something follows them") from None
        return b"".join(pieces)

    def _ended(self) -> bool:
        return bool(self._brotli.is_finished())


_DECODERS: Final[dict[bytes, type[_Stage]]] = {
    b"gzip": _Gzip,
    b"x-gzip": _Gzip,  # RFC 9110 section 8.4.1.3
    b"deflate": _Deflate,
    b"br": _Brotli,
}
