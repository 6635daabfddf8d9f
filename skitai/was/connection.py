"""The Twisted protocol of one connection to an HTTP/1 server: one request at a time, its answer to a ``Sink``.

Theory of operation. OPENING (TCP is there, TLS perhaps not yet) -> IDLE -> BUSY -> IDLE ...; each may become CLOSED.
``opener`` is told when OPENING ends, ``owner`` (the pool) whenever BUSY ends with a connection that can be used again,
and when it is gone. Whatever a server sends while nothing was asked makes the connection useless.
The sink gets exactly one of ``on_end`` and ``on_failure``, unless the exchange was given up with ``abort``, and never
before ``start`` or ``adopt`` has returned. A request on a connection that is not IDLE raises.

A thread that has taken an idle connection out of the pool may send a request by itself: IDLE -> AHEAD, under the lock
of the transport. The reactor, which does not know of it yet, makes that BUSY with ``adopt``; should the server be heard
of before, it is told to do so first.

Where it is plain TCP and the queue of the transport is empty, a request goes past that queue, which saves two calls of
the kernel; when is the business of the ``Outbox``. Until then nothing was asked, whatever the server sends.

Layer 3. It must not know why a request is made, nor what becomes of its answer. Thread: reactor, but for
``send_early``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import BadAnswer, ConnectFailed, RequestError
from skitai.was.direct_client import has_nothing_to_read
from skitai.was.http1 import AnswerLimits, ResponseReader, encode_head
from skitai.was.interfaces import Handshake, Opener, Owner, Sink
from skitai.was.outbox import Clock, Outbox
from skitai.was.outgoing import FETCHING, Outgoing, content_at_once

LINGER: Final = 2.0
"""Seconds that a server has to agree to the end of TLS."""

JUST_FREE: Final = 0.01
"""Seconds for which an idle connection is taken to be alive without asking the kernel, which takes 4 us. The reactor
has heard of what is older, or is just reading it, unless its turn takes longer than that."""


class _State(enum.Enum):
    OPENING = enum.auto()
    IDLE = enum.auto()
    AHEAD = enum.auto()
    BUSY = enum.auto()
    CLOSED = enum.auto()


# Looking a member up in its class takes three times as long, which counts on the way of every request.
_OPENING, _IDLE, _AHEAD, _BUSY, _CLOSED = _State

_KEEP_ALIVE: Final = re.compile(rb"timeout *= *\"?([0-9]{1,6})", re.IGNORECASE)


@implementer(IHandshakeListener, IPushProducer)
class Connection(TwistedProtocol):
    """One connection. A ``Lease``.

    Args:
        opener: Is told when the connection is ready.
        handshake: The TLS side, None for plain TCP.
        limits: What heads of answers may cost.
        clock: For how long the end of TLS may take.
        outbox: Says when requests leave.

    Attributes:
        owner: The pool, None before the connection is ready.
        reused: Whether it has carried a request before, or has waited for one: the server may have closed it.
        sent: Whether any byte of the current request may have left.
        expires: Until when it may stay idle, in the time of the clock; for the pool.
        idle_since: Since when it is idle, for the pool.
        keep_alive: For how many seconds the server says that it keeps an idle connection, None where it does not.
    """

    transport: Any

    def __init__(
        self, opener: Opener, handshake: Handshake | None, limits: AnswerLimits, clock: Clock, outbox: Outbox
    ) -> None:
        self._opener: Opener | None = opener
        self._handshake = handshake
        self._clock = clock
        self._outbox = outbox
        self._reader = ResponseReader(limits)
        self._state = _OPENING
        self._sink: Sink | None = None
        self._chunks: Iterator[bytes] | None = None
        self._may_write = False
        self._direct = False
        self._tcp: Any = None
        self._socket: Any = None
        self._queued = False
        self._lock: Any = None  # of the transport, where threads can send over it
        self._begin: Callable[[], object] | None = None
        self._rest: bytes | None = b""
        self._known = False  # what the server says of itself
        self._linger: IDelayedCall | None = None
        self.owner: Owner | None = None
        self.reused = False
        self.sent = False
        self.expires = 0.0
        self.idle_since = 0.0
        self.keep_alive: float | None = None

    # -- opening

    def connectionMade(self) -> None:
        """TCP has connected (called by Twisted)."""
        transport = self.transport
        transport.setTcpNoDelay(True)
        opener = self._opener
        assert opener is not None
        opener.made(self)
        if self._handshake is None:
            self._direct = isinstance(transport, FileDescriptor)
            self._ready(opener, transport)

    def handshakeCompleted(self) -> None:
        """TLS is agreed upon (called by Twisted): whether we talk to whom we want to is the question."""
        opener, handshake = self._opener, self._handshake
        if opener is None or handshake is None or self._state is not _OPENING:
            return
        if not handshake.check(self.transport.getHandle()):
            self.transport.abortConnection()
            return
        self._ready(opener, getattr(self.transport, "transport", None))

    def _ready(self, opener: Opener, tcp: Any) -> None:
        """Take requests; ``tcp`` is the transport, with TLS the one below it."""
        self._opener = self._handshake = None
        self._tcp = tcp if isinstance(tcp, FileDescriptor) else None
        self._socket = getattr(tcp, "socket", None)
        self._lock = getattr(tcp, "lock", None) if self._direct else None
        self._state = _IDLE
        opener.ready(self)

    # -- asking

    @property
    def open_to_threads(self) -> bool:
        """Whether threads can send over it."""
        return self._lock is not None

    @property
    def usable(self) -> bool:
        """Whether the connection can take a request, as far as is known here."""
        return self._state is _IDLE

    def is_fit(self, now: float) -> bool:
        """Return whether an idle connection can take a request."""
        return self._state is _IDLE and self.expires > now and (now - self.idle_since < JUST_FREE or self.alive())

    @property
    def answered(self) -> bool:
        """Whether any byte of the answer to the last request has come."""
        return self._reader.answered

    def alive(self) -> bool:
        """Return whether the other side has neither closed the connection nor sent anything, asking the kernel.

        The reactor knows in its next turn only, which is too late for a request that must not be sent twice. With TLS
        the end of a connection is some bytes, too; should they be a session ticket, a new connection does no harm.
        """
        return self._state is not _CLOSED and (self._socket is None or has_nothing_to_read(self._socket))

    def start(self, outgoing: Outgoing, extra: Sequence[tuple[bytes, bytes]], sink: Sink) -> None:
        """Send a request, now or at the end of this turn of the reactor.

        Raises:
            ValueError: A field can not be sent. Nothing was.
        """
        if self._state is not _IDLE:
            raise RuntimeError(f"a request on a connection that is {self._state.name}")
        payload = outgoing.payload
        head = encode_head(outgoing, extra)
        content = content_at_once(outgoing)
        if content:
            head += content
        self._reader.expect(outgoing.method)
        self._state = _BUSY
        self._sink = sink
        if self._direct:
            self.sent = False
            # A request that must not be sent twice leaves while it is known that the connection is alive.
            self._outbox.post(self, head, at_once=content is None or not outgoing.repeatable)
        else:
            self.sent = self._queued = True
            self.transport.write(head)
        if content is None and payload is not None:
            self._queued = True
            self._chunks = payload.chunks()
            self._may_write = True
            self.transport.registerProducer(self, True)
            # Not at once: reading may fail, and the sink is told after ``start`` only.
            self._clock.callLater(0, self.resumeProducing)

    def send_early(self, outgoing: Outgoing, extra: Sequence[tuple[bytes, bytes]], begin: Callable[[], object]) -> None:
        """Send a request that fits one write, unless the connection turns out to be of no use.

        Args:
            outgoing: The request.
            extra: More fields.
            begin: Called in the reactor where the server is heard of before ``adopt``, which it has to call. Else that
                has to be called soon after this, in any case.

        Thread: the one that has taken the connection out of the pool.
        """
        try:
            message = encode_head(outgoing, extra) + (content_at_once(outgoing) or b"")
        except ValueError:  # whoever adopts it begins anew, and is told then
            return
        transport = self.transport
        with self._lock:
            now = self._clock.seconds()
            sure = outgoing.method not in FETCHING or now - self.idle_since >= JUST_FREE
            if self._state is not _IDLE or self.expires <= now or not transport.is_quiet(sure):
                return
            # First: a thread may be interrupted behind each step, and what was sent must not be sent again.
            self.sent, self._rest, self._begin, self._state = True, None, begin, _AHEAD
            count = transport.send_now(message)
            if count:
                self._rest = message[count:]
            else:
                self._state, self._begin = _IDLE, None

    def adopt(self, outgoing: Outgoing, sink: Sink) -> bool:
        """Go on with what a thread has sent; return False where it has not, and the connection is of no use."""
        if self._state is not _AHEAD:
            return False
        rest, self._begin = self._rest, None
        self._rest = None if rest is None else b""
        self._reader.expect(outgoing.method)
        self._state = _BUSY
        self._sink = sink
        if rest is None:  # nobody knows how much has left
            self.transport.abortConnection()
        elif rest:
            self._queued = True
            self.transport.write(rest)
        return True

    def _heard_early(self) -> Sink | None:
        """The server is heard of while the reactor has asked nothing; return the sink if a thread has."""
        if self._lock is not None:
            with self._lock:
                begin = self._begin
                self.expires = -inf  # a thread that is about to send does not any more
            if begin is not None:
                begin()
        return self._sink

    def transmit(self, data: bytes) -> bool:
        """Send the beginning of a request; return False where the connection is dead (called by the outbox)."""
        transport = self.transport
        sent = transport.writeSomeData(data)
        if not isinstance(sent, int):
            return False
        self.sent = True
        if sent != len(data):
            self._queued = True
            transport.write(data[sent:])
        return True

    def not_transmitted(self) -> None:
        """The connection turned out to be dead (called by the outbox)."""
        self._fail(ConnectFailed("the server has closed the connection"))

    def _unsent(self) -> bool:
        """Return whether some of what was written is still here; of TLS what is encrypted already."""
        tcp = self._tcp
        self._queued = tcp is not None and len(tcp.dataBuffer) - tcp.offset + tcp._tempDataLen > 0
        return self._queued

    def abort(self) -> None:
        """Give up and close the connection at once; the sink is told nothing more."""
        self._sink = self._begin = None
        self._stop_sending()
        if self._shut():
            self._outbox.withdraw(self)
            self.transport.abortConnection()

    def close(self) -> None:
        """Close the connection in order; nothing is going on."""
        if not self._shut():
            return
        if not self._direct:
            self._linger = self._clock.callLater(LINGER, self._cut)
        self.transport.loseConnection()

    def _shut(self) -> bool:
        """Take no more requests, of threads either; return False where that is so already."""
        if self._state is _CLOSED:
            return False
        if self._lock is None:
            self._state = _CLOSED
        else:
            with self._lock:
                self._state = _CLOSED
        return True

    def _cut(self) -> None:
        self._linger = None
        self.transport.abortConnection()

    # -- sending a payload

    def resumeProducing(self) -> None:
        """Send of the payload what the transport takes (called by Twisted, and to begin with)."""
        self._may_write = True
        while self._may_write and self._chunks is not None:
            try:
                piece = next(self._chunks, b"")
            except Exception as error:  # a file object of the application's may raise anything
                words = error if isinstance(error, OSError | ValueError) else repr(error)
                self._fail(RequestError(f"what was to be sent can not be read: {words}"))
            else:
                if piece:
                    self.transport.write(piece)
                else:
                    self._stop_sending()

    def pauseProducing(self) -> None:
        """Send no more for now (called by Twisted)."""
        self._may_write = False

    def stopProducing(self) -> None:
        """Send no more at all (called by Twisted when the connection is gone)."""
        self._chunks = None

    def _stop_sending(self) -> None:
        if self._chunks is not None:
            self._chunks = None
            if self._state is not _CLOSED:
                self.transport.unregisterProducer()

    # -- the answer

    def dataReceived(self, data: bytes) -> None:
        """Take what has come (called by Twisted)."""
        sink = self._sink
        if sink is None:
            sink = self._heard_early()
        if sink is None:
            # Nothing was asked: an answer to nothing, such as 408, before the connection is closed.
            self.abort()
            return
        if not self.sent:
            self.not_transmitted()  # the same, while the request is about to leave
            return
        try:
            head, body, reusable = self._reader.feed(data)
        except BadAnswer as error:
            self._fail(error)
            return
        if head is not None:
            if not self._known:
                self._known = True
                self.keep_alive = _read_keep_alive(head.headers)
            sink.on_head(head)
            if self._sink is not sink:  # it has given up
                return
        if body:
            sink.on_data(body)
            if self._sink is not sink:
                return
        if reusable is not None:
            self._complete(sink, reusable)

    def _complete(self, sink: Sink, reusable: bool) -> None:
        self._sink = None
        self.reused = True
        if self._state is _CLOSED:
            pass
        elif self._chunks is not None or self._rest is None or (self._queued and self._unsent()):
            self.abort()  # answered before all was sent, as far as known: the server may never read the rest
        else:
            self._state = _IDLE
            if self._lock is not None:
                self.transport.heard = False  # whatever is read from now on was not asked for
            if reusable and self.owner is not None:
                self.owner.free(self)
            else:
                self.close()
        sink.on_end()

    def _fail(self, error: RequestError) -> None:
        sink = self._sink
        error.sent = self.sent
        error.answered = self.answered
        self.abort()
        if sink is not None:
            sink.on_failure(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is closed (called by Twisted)."""
        if self._state is _AHEAD:
            self._heard_early()
        self._state = _CLOSED
        self._outbox.withdraw(self)
        self._tcp = self._socket = None
        self._chunks = self._begin = None
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        opener, handshake = self._opener, self._handshake
        self._opener = self._handshake = None
        if opener is not None:
            assert reason.value is not None
            opener.failed(reason, handshake.describe(reason.value) if handshake is not None else "")
            return
        if self.owner is not None:
            self.owner.gone(self)
        sink = self._sink
        if sink is not None:
            self._cut_off(sink, reason)

    def _cut_off(self, sink: Sink, reason: Failure) -> None:
        """Tell the sink, for whom the end of the connection may be that of the answer (RFC 9112 section 6.3)."""
        if not self.answered:
            error: RequestError = ConnectFailed("the server has closed the connection without an answer")
        elif not isinstance(reason.value, ConnectionDone):
            error = BadAnswer("the connection was lost in the middle of the answer")
        else:
            try:
                self._reader.eof()
            except BadAnswer as cut:
                error = cut
            else:
                self._complete(sink, False)
                return
        self._fail(error)


def _read_keep_alive(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Return for how many seconds the server says that it keeps an idle connection."""
    for name, value in headers:
        if name == b"keep-alive":
            match = _KEEP_ALIVE.search(value)
            return float(match[1]) if match is not None else None
    return None
