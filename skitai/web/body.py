"""Request bodies on their way from the reactor to whoever reads them.

Layer 2. The carrier feeds an ``IncomingBody`` as bytes arrive; a handler takes it in one of two ways:

* ``collect``: called back when the body is whole, in memory or in a temporary file when it is larger than that;
* ``gather``: called back when a small body is whole, so that no thread is held while a slow client sends it; a large
  one becomes a file that an application thread reads while the body still comes. No more than a bounded number of bytes
  waits for the reader; then the connection is not read until half of them are gone.

Theory of operation: a body is UNCLAIMED until a handler chooses, then COLLECTING, or GATHERING and perhaps STREAMING,
and DISCARDED when the response is over before the body is. Its end is one of: whole, or an error that the reader gets
(``BodyError``, ``ClientDisconnected``).
"""

from __future__ import annotations

import enum
import io
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Final, Protocol, cast

from skitai.errors import ApplicationError, BodyTooLarge, PeerError

UNCLAIMED_SIZE: Final = 1 << 16
"""Bytes of a body that are kept before a handler says what it wants with it; then reading stops."""


class BodySource(Protocol):
    """What a body needs of the connection or stream it comes from."""

    def pause_body(self) -> None:
        """Stop reading from the client. Thread: reactor."""

    def resume_body(self) -> None:
        """Read again. Thread: any."""

    def send_continue(self) -> None:
        """Ask the client for the body with 100 (Continue). Thread: any."""


class _Mode(enum.Enum):
    UNCLAIMED = enum.auto()
    COLLECTING = enum.auto()
    GATHERING = enum.auto()
    STREAMING = enum.auto()
    DISCARDED = enum.auto()


class IncomingBody:
    """The body of one request.

    Args:
        source: Where it comes from.
        length: Announced length in bytes, or ``UNKNOWN_LENGTH``.
        expect_continue: Whether the client waits for 100 (Continue).

    Attributes:
        received: Bytes received so far.
        error: Why the body ended other than well, None otherwise.
    """

    def __init__(self, source: BodySource, length: int, expect_continue: bool) -> None:
        self.received = 0
        self.error: PeerError | None = None
        self._source = source
        self._length = length
        self._continue_owed = expect_continue
        self._mode = _Mode.UNCLAIMED
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._limit = -1
        self._high_water = UNCLAIMED_SIZE
        self._paused = False
        self._ended = False
        self._lost = False
        self._changed = threading.Condition()
        self._spool: io.BytesIO | tempfile.SpooledTemporaryFile[bytes] | None = None
        self._done: Callable[[BinaryIO | None], None] | None = None

    @property
    def continue_owed(self) -> bool:
        """Whether the client still waits for 100 (Continue), and may never send the body. Thread: any."""
        return self._continue_owed

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn: the body is not complete and nothing here holds it up. Thread: reactor."""
        return not (self._ended or self._paused or self._continue_owed)

    @property
    def paused(self) -> bool:
        """Whether reading is to stop because too much waits for the reader. Thread: any."""
        return self._paused

    def collect(self, limit: int, spool_size: int, done: Callable[[BinaryIO | None], None]) -> None:
        """Call ``done`` when the body has come whole.

        Args:
            limit: Largest size in bytes; more is ``BodyTooLarge``.
            spool_size: Bytes kept in memory; a larger body goes to a temporary file.
            done: Gets a file at its start; None when the body failed, ``error`` then says why.

        Thread: reactor.
        """
        self._claim(_Mode.COLLECTING)
        self._limit = limit
        self._done = done
        if self._is_too_large():
            return
        in_memory = 0 <= self._length <= spool_size
        self._spool = io.BytesIO() if in_memory else tempfile.SpooledTemporaryFile(max_size=spool_size)  # noqa: SIM115
        self._ask()
        early, self._chunks = self._chunks, deque()
        for piece in early:
            self._store(piece)
        if self._ended:
            self._tell()

    def gather(self, limit: int, spool_size: int, done: Callable[[BinaryIO | None], None]) -> None:
        """Call ``done`` when a small body has come whole, or at once when it is a large one.

        Args:
            limit: Largest size in bytes; more is ``BodyTooLarge``, which reading raises when it comes to light that
            late.
            spool_size: Largest size of a small body, and how many bytes of a large one may wait for the reader.
            done: Gets a file, to be read by one application thread; None when the body failed before, ``error`` then
            says why.

        Thread: reactor.
        """
        self._claim(_Mode.GATHERING)
        self._limit = limit
        self._high_water = spool_size
        self._done = done
        if self._is_too_large():
            return
        if self._ended:
            self._tell()
        elif self._continue_owed or self._length > spool_size:
            # Whoever waits for 100 (Continue) gets it when the application reads, so the application must run first.
            self._begin_stream()

    def _claim(self, mode: _Mode) -> None:
        self._mode = mode
        if self._paused:
            self._paused = False
            self._source.resume_body()

    def _is_too_large(self) -> bool:
        """Refuse a body that is known to exceed the limit; return whether it does."""
        if self._length <= self._limit and self.received <= self._limit:
            return False
        self._ended = False  # whole, but not taken
        self.fail(BodyTooLarge(self._limit))
        return True

    def _begin_stream(self) -> None:
        self._mode = _Mode.STREAMING
        done, self._done = self._done, None
        if done is not None:
            done(cast(BinaryIO, io.BufferedReader(_BodyReader(self), 1 << 16)))

    def discard(self) -> None:
        """Drop what has come and what still comes: the response is complete. Thread: reactor."""
        with self._changed:
            self._lost = bool(self._chunks) or not self._ended
            self._mode = _Mode.DISCARDED
            self._chunks.clear()
            self._waiting = 0
            resume, self._paused = self._paused, False
            self._changed.notify()
        if resume:
            self._source.resume_body()

    def feed(self, data: bytes) -> None:
        """Take a piece from the carrier. Thread: reactor."""
        self.received += len(data)
        self._continue_owed = False
        if self._mode is _Mode.DISCARDED or self.error is not None:
            return
        if 0 <= self._limit < self.received:
            self.fail(BodyTooLarge(self._limit))
            return
        if self._mode is _Mode.COLLECTING:
            self._store(data)
            return
        with self._changed:
            self._chunks.append(data)
            self._waiting += len(data)
            self._changed.notify()
            pause = self._mode is not _Mode.GATHERING and self._waiting > self._high_water and not self._paused
            if pause:
                self._paused = True
        if pause:
            self._source.pause_body()
        elif self._mode is _Mode.GATHERING and self._waiting > self._high_water:
            self._begin_stream()

    def end(self) -> None:
        """The body is complete. Thread: reactor."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._tell()

    def fail(self, error: PeerError) -> None:
        """The body will never be complete; whoever reads it gets ``error``. Thread: reactor."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self.error = error
            self._changed.notify()
        self._tell()

    def read_some(self, size: int) -> bytes:
        """Return up to ``size`` bytes, waiting for the first; b"" at the end.

        Raises:
            BodyError, ClientDisconnected: The body ended other than well.
            ApplicationError: The response is complete: what was not read until then is dropped.

        Thread: application.
        """
        with self._changed:
            if not self._chunks and not self._ended:
                self._ask()
                while not self._chunks and not self._ended and self._mode is not _Mode.DISCARDED:
                    self._changed.wait()
            if not self._chunks:
                if self._lost and self.error is None:
                    raise ApplicationError("the body of a request can not be read after its response is complete")
                if self.error is not None:
                    raise self.error
                return b""
            piece = self._chunks.popleft()
            if len(piece) > size:
                self._chunks.appendleft(piece[size:])
                piece = piece[:size]
            self._waiting -= len(piece)
            resume = self._paused and self._waiting <= self._high_water // 2
            if resume:
                self._paused = False
        if resume:
            self._source.resume_body()
        return piece

    def _ask(self) -> None:
        if self._continue_owed:
            self._continue_owed = False
            if not self.received:
                self._source.send_continue()

    def _store(self, data: bytes) -> None:
        if self._spool is None:  # a piece before this one could not be stored
            return
        try:
            self._spool.write(data)
        except OSError as error:  # the disk is full
            self.fail(PeerError(507, f"the request body can not be stored: {error.strerror}"))

    def _tell(self) -> None:
        """Tell the handler that waits for a whole body that the body has ended."""
        done, self._done = self._done, None
        spool, self._spool = self._spool, None
        if done is None:
            return
        if self.error is not None:
            if spool is not None:
                spool.close()
            done(None)
        elif self._mode is _Mode.GATHERING:
            done(io.BytesIO(b"".join(self._chunks)))
            self._chunks.clear()
        else:
            assert spool is not None
            spool.seek(0)
            done(cast(BinaryIO, spool))


class _BodyReader(io.RawIOBase):
    """The raw side of a streamed body; ``io.BufferedReader`` makes the rest of it. Thread: application."""

    def __init__(self, body: IncomingBody) -> None:
        self._body = body

    def readable(self) -> bool:
        """Part of RawIOBase."""
        return True

    def readall(self) -> bytes:
        """Return all the rest."""
        return b"".join(iter(lambda: self._body.read_some(sys.maxsize), b""))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as there is something; return how far."""
        piece = self._body.read_some(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
