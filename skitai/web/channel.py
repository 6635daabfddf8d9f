"""An HTTP/1 connection on the reactor: joins the engine, the exchange that is being answered, and the socket.

Layer 2. One ``HTTPChannel`` a connection, made by a ``ServerFactory``, which also holds what all of them share and
sweeps over their deadlines. It must not know what a handler does with an exchange.

The stages of a connection, and what ``deadline`` means in each, are told in ``skitai.web.connection``.

Threads. The reactor owns everything but the way out of the open exchange (``outlet``), which belongs to the exchange's
owner, perhaps an application thread. When such a thread has sent a whole response itself and nothing else is to be
done, it completes the turn too: the reactor is not woken at all. The outlet's lock guards the engine against the two
meeting.
"""

from __future__ import annotations

from math import inf
from typing import Any, BinaryIO, Final, cast

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import BodyError, ClientDisconnected
from skitai.web.body import IncomingBody
from skitai.web.connection import (
    BODY,
    CLOSED,
    CLOSING,
    HALF,
    HALF_CLOSE_GRACE,
    HALF_CLOSE_SILENCE,
    HEAD,
    IDLE,
    LINGER_TIMEOUT,
    STALLED,
    WORK,
    Site,
)
from skitai.web.events import UNKNOWN_LENGTH, Data, EndOfBody, Event, Refused, Request, Response
from skitai.web.exchange import DONE, GONE, STARTED, WAITING, Exchange, Peers
from skitai.web.http1 import ServerConnection
from skitai.web.http1_writer import CONTINUE, LAST_CHUNK, announced_length, encode_chunk, encode_head, has_body
from skitai.web.outlet import Outlet
from skitai.web.transport import DirectServer, peers_of, unsent

_END: Final = b"\r\n"
_CLOSE: Final = b"Connection: close\r\n\r\n"
_KEEP_ALIVE_10: Final = b"Connection: keep-alive\r\n\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


@implementer(IHalfCloseableProtocol, IPushProducer)
class HTTPChannel:
    """One connection. Also the ``Carrier`` of its exchanges and the ``BodySource`` of their bodies.

    Attributes:
        deadline: When ``expired`` is to be called, in seconds of the site's clock.
        draining: Whether the server is stopping: the response that is being made is the last one.
    """

    __slots__ = (
        "_chunked",
        "_closes",
        "_engine",
        "_exchange",
        "_head",
        "_outlet",
        "_peers",
        "_read_ended",
        "_reading_paused",
        "_running",
        "_stage",
        "_window",
        "deadline",
        "draining",
        "number",
        "site",
        "transport",
    )

    def __init__(self, site: Site) -> None:
        self.site = site
        self.transport: Any = None
        self.deadline = inf
        self.draining = False
        self.number = 0
        self._engine = ServerConnection(site.limits.max_head_size, site.limits.max_target_size)
        self._exchange: Exchange | None = None
        self._outlet: Outlet = None  # type: ignore[assignment]  # until the connection is made
        self._peers: Peers | None = None
        self._stage = IDLE
        self._running = False
        self._read_ended = False
        self._reading_paused = False
        self._window = 0
        self._closes = False
        self._chunked = False
        self._head = b""

    # -- the connection, as Twisted calls it (Thread: reactor)

    def makeConnection(self, transport: Any) -> None:
        """The connection is open."""
        self.transport = transport
        self._outlet = Outlet(self, transport, self.site.workers, self.site.limits.response_buffer_size)
        transport.registerProducer(self, True)
        self.number = self.site.opened(self)
        wait = min(self.site.limits.head_timeout, self.site.limits.keep_alive_timeout)
        self.deadline = self.site.seconds() + (0.0 if self.draining else wait)

    def connectionMade(self) -> None:
        """Part of IProtocol; ``makeConnection`` does it all."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        if self._stage >= CLOSING:
            return  # what a closing connection still sends is discarded
        with self._outlet.lock:
            events = self._engine.receive(data)
        if events:
            self._run(events)
        elif self._exchange is None:
            self._look_at_head()
        if self._exchange is not None and self._engine.buffered > self.site.limits.max_head_size:
            self._pause_reading()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone, whoever ended it."""
        with self._outlet.lock:
            self._stage = CLOSED
            exchange, self._exchange = self._exchange, None
            gone = exchange is not None and exchange.phase < DONE
            if exchange is not None and gone:
                exchange.phase = GONE
            self._outlet.shut()
        self.deadline = inf
        self.site.closed(self)
        if exchange is None:
            return
        if exchange.body is not None:
            cast(IncomingBody, exchange.body).fail(ClientDisconnected())
        if gone:
            on_gone, exchange.on_gone = exchange.on_gone, None
            if on_gone is not None:
                on_gone()
            exchange.status = exchange.status or 499
            self.site.record(exchange)

    def readConnectionLost(self) -> None:
        """The client has closed its side: it is gone, or (RFC 9112 section 9.6) still waits for its answer."""
        self._reading_paused = False
        with self._outlet.lock:  # an application thread may be completing the turn
            known, self._read_ended = self._read_ended, True  # known: all of a stream was sent after the end
            if self._stage < CLOSING and self._exchange is not None and self._engine.body_complete:
                self.draining = self.draining or not self._engine.buffered
                if self._stage == WORK:
                    self._await_handler(HALF_CLOSE_SILENCE if known else HALF_CLOSE_GRACE)
                return
        if self._stage >= CLOSING or self._outlet.writable:
            self.transport.loseConnection()
        else:  # loseConnection would wait for ever for the producer that we are
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Part of IHalfCloseableProtocol: what we close for writing is closed."""

    def pauseProducing(self) -> None:
        """The client does not read (called by the transport)."""
        self._outlet.pause()
        if self._stage < CLOSING:
            self._await_reader(STALLED)

    def resumeProducing(self) -> None:
        """The client has read everything (called by the transport)."""
        if self._stage == STALLED:
            self._back_to_work()
        self._outlet.resume()
        exchange = self._exchange
        if exchange is None or not self._outlet.writable:
            return
        if exchange.phase == DONE:
            self._advance(exchange)  # the next request has waited for this
        elif exchange.on_writable is not None:
            exchange.on_writable()

    def stopProducing(self) -> None:
        """The connection is going; ``connectionLost`` follows."""

    def _back_to_work(self) -> None:
        """The client reads again: wait for its next request, or its body, or the handler."""
        exchange = self._exchange
        if exchange is None:
            self._begin_idling(self.site.seconds())
        elif exchange.body is not None and not self._engine.body_complete:
            self._open_window(self.site.seconds(), cast(IncomingBody, exchange.body))
        else:
            self._await_handler(HALF_CLOSE_SILENCE)

    def _await_handler(self, grace: float = HALF_CLOSE_GRACE) -> None:
        """It is the handler's turn; a client that has closed its side is to get something within ``grace``."""
        exchange = self._exchange
        if self._read_ended and exchange is not None:
            self._stage = HALF
            self._window = exchange.body_sent
            self.deadline = self.site.seconds() + grace
        else:
            self._stage = WORK
            self.deadline = inf

    # -- requests come in (Thread: reactor)

    def _run(self, events: list[Event]) -> None:
        """Handle ``events`` and, in a loop instead of by recursion, those of requests pipelined behind them."""
        if self._running:
            return
        self._running = True
        try:
            while events:
                for event in events:
                    if type(event) is Request:
                        self._open(event)
                    else:
                        self._handle(event)
                exchange = self._exchange
                if exchange is None or exchange.phase != DONE:
                    break
                events = self._next_events()
        finally:
            self._running = False

    def _next_events(self) -> list[Event]:
        """Go over to the next request where the last exchange is complete; return what is buffered of it."""
        exchange = self._exchange
        if exchange is None or exchange.phase != DONE or self._stage >= CLOSING:
            return []
        if not self._engine.body_complete:
            return []  # the rest of the body is being discarded
        if self._closes:  # an application thread was so fast that this comes before _advance
            self._close()
            return []
        if not self._outlet.writable:  # what was said has yet to be read
            self._await_reader(STALLED)
            return []
        with self._outlet.lock:
            self._exchange = None
            self._begin_idling(self.site.seconds())
            events = self._engine.next_request()
        if self._engine.buffered <= self.site.limits.max_head_size:
            self._resume_reading()
        if not events:
            self._look_at_head()
        if self._read_ended and not (events and self._engine.buffered):
            self.draining, self.deadline = True, 0.0  # nothing can follow
        return events

    def _look_at_head(self) -> None:
        """Where part of a head has come, give the client its time for the rest."""
        if self._stage == IDLE and not self._engine.between_requests:
            self._stage = HEAD
            self.deadline = self.site.seconds() + self.site.limits.head_timeout

    def _begin_idling(self, now: float) -> None:
        self._stage = IDLE
        self.deadline = 0.0 if self.draining else now + self.site.limits.keep_alive_timeout

    def _handle(self, event: Event) -> None:
        exchange = self._exchange
        body = cast("IncomingBody | None", exchange.body) if exchange is not None else None
        if type(event) is Data and body is not None:
            body.feed(event.data)
        elif type(event) is EndOfBody:
            if self._stage == BODY:
                self._await_handler()
            if body is not None:
                body.end()
        elif type(event) is Refused:
            self._refused(event, body)

    def _open(self, request: Request) -> None:
        """Begin an exchange."""
        exchange = self._make_exchange(request)
        self._closes = False
        if request.content_length:
            body = IncomingBody(self, request.content_length, request.expect_continue)
            exchange.body = body
            self._open_window(exchange.started, body)
        else:
            self._await_handler()
        self.site.dispatch(exchange)

    def _make_exchange(self, request: Request) -> Exchange:
        site = self.site
        site.requests += 1
        if self._peers is None:
            self._peers = peers_of(self.transport, self.number)
        self._exchange = exchange = Exchange(request, self._peers, site.requests, self, site.seconds())
        return exchange

    def _refused(self, event: Refused, body: IncomingBody | None) -> None:
        """Answer a broken request; where it breaks in its body the one who reads the body is told and answers."""
        self._closes = True
        if body is not None:
            body.fail(BodyError(event.status, event.message))
            if self._exchange is not None and self._exchange.phase == DONE:
                self._close()
            return
        exchange = self._make_exchange(Request(event.method, "-", "1.1", []))
        self._await_handler()
        self.site.refuse(exchange, event.status, event.message)

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._stage != CLOSED:
            self._reading_paused = False
            self.transport.resumeProducing()

    # -- the body (BodySource)

    def pause_body(self) -> None:
        """Stop reading: the application does not keep up. Thread: reactor."""
        self._pause_reading()
        if self._stage == BODY:
            self.deadline = inf

    def resume_body(self) -> None:
        """Read again. Thread: any."""
        self.site.workers.to_reactor(self._resume_body)

    def _resume_body(self) -> None:
        exchange = self._exchange
        body = cast("IncomingBody | None", exchange.body) if exchange is not None else None
        if body is not None and body.paused:
            return  # the call was for a body before this one, or has been overtaken
        self._resume_reading()
        if self._stage == BODY and body is not None:
            self._open_window(self.site.seconds(), body)

    def send_continue(self) -> None:
        """Send 100 (Continue) (RFC 9110 section 10.1.1). Thread: any."""
        exchange = self._exchange
        if exchange is not None and exchange.phase == WAITING:
            self._outlet.put(exchange, CONTINUE, last=False, waits=False)
            self.resume_body()  # its time begins now

    def _open_window(self, now: float, body: IncomingBody) -> None:
        """The client owes us its body: begin to measure how fast it sends."""
        self._stage = BODY
        self._window = body.received
        self.deadline = now + self.site.limits.body_min_rate_grace

    # -- responses go out (Carrier; Thread: the exchange's owner)

    def send(self, exchange: Exchange, response: Response, body: bytes) -> None:
        """Send a whole response."""
        allowed = has_body(exchange.request.method, response.status)
        length = None if response.status in (204, 304) else len(body)
        head = self._make_head(exchange, response, length, b"")
        exchange.body_sent = len(body) if allowed else 0
        self._outlet.put(exchange, head + body if body and allowed else head, last=True)

    def send_head(self, exchange: Exchange, response: Response, length: int | None) -> None:
        """Keep the head of a streamed response; it leaves with the first piece."""
        if length is None:
            length = announced_length(response.headers)
        framing = b""
        self._chunked = False
        if length is None and has_body(exchange.request.method, response.status):
            if exchange.request.version == "1.0":
                self._closes = True  # RFC 9112 section 6.3: the end of the connection ends the body
            else:
                self._chunked = True
                framing = _CHUNKED
        self._head = self._make_head(exchange, response, length, framing)
        self._started(exchange, streams=True)

    def send_data(self, exchange: Exchange, data: bytes) -> None:
        """Send a piece of a streamed body."""
        if not has_body(exchange.request.method, exchange.status):
            data = b""
        exchange.body_sent += len(data)
        if self._chunked and data:
            data = encode_chunk(data)
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            self._outlet.put(exchange, data, last=False)

    def send_end(self, exchange: Exchange) -> None:
        """End a streamed body."""
        data = self._head + LAST_CHUNK if self._chunked else self._head
        self._head = b""
        self._outlet.put(exchange, data, last=True)

    def send_file(self, exchange: Exchange, response: Response, file: BinaryIO, offset: int, count: int) -> None:
        """Send a head and a range of a file."""
        try:
            head = self._make_head(exchange, response, None if response.status in (204, 304) else count, b"")
        except ValueError:
            file.close()
            raise
        if not count or not has_body(exchange.request.method, response.status):
            file.close()
            self._outlet.put(exchange, head, last=True)
            return
        self._started(exchange)
        self._in_reactor(self._send_file, exchange, head, file, (offset, count))

    def send_interim(self, exchange: Exchange, response: Response) -> None:
        """Send an informational response; HTTP/1.0 clients do not know them (RFC 9110 section 15.2)."""
        if exchange.request.version != "1.0":
            self._outlet.put(exchange, encode_head(response, None, b"", _END), last=False, waits=False)

    def cut(self, exchange: Exchange) -> None:
        """Close the connection so that the client sees that the response is not complete."""
        self._in_reactor(self._cut, exchange)

    def writable(self) -> bool:
        """Tell whether the client keeps up with what is sent. Thread: reactor."""
        return self._outlet.writable

    def _make_head(self, exchange: Exchange, response: Response, length: int | None, framing: bytes) -> bytes:
        request = exchange.request
        now = self.site.seconds()
        exchange.status = response.status
        exchange.answered = now
        # Now is decided whether the connection ends with this response.
        if self.draining or not request.keep_alive or (request.content_length and self._leaves_much_unread(exchange)):
            self._closes = True
        if self._closes:
            tail = framing + _CLOSE
        elif request.version == "1.0":
            tail = framing + _KEEP_ALIVE_10
        else:
            tail = framing + _END
        return encode_head(response, length, self.site.common_lines(now), tail)

    def _started(self, exchange: Exchange, streams: bool = False) -> None:
        with self._outlet.lock:
            if exchange.phase == WAITING:
                exchange.phase = STARTED
                self._read_ended = self._read_ended or (streams and self._outlet.heard_all())

    def _leaves_much_unread(self, exchange: Exchange) -> bool:
        """Tell whether more of the body is still to come than is worth reading and dropping to keep the connection.

        So it is, too, where the client was never asked for its body and may not send it.
        """
        if self._engine.body_complete:
            return False
        length = exchange.request.content_length
        body = cast(IncomingBody, exchange.body)
        left = length - body.received
        return body.continue_owed or length == UNKNOWN_LENGTH or left > self.site.limits.body_spool_size

    # -- the outlet's owner

    def mark_sent(self, exchange: Exchange) -> None:
        """The response was handed over. Begin the next turn at once where that is all. Thread: any."""
        exchange.phase = DONE
        exchange.on_gone = None
        exchange.finished = now = self.site.seconds()
        busy = self._running or self._closes or self._reading_paused
        if not busy and self._stage == WORK and self._engine.begin_idle():
            self._exchange = None
            self._begin_idling(now)

    def progress(self, exchange: Exchange, count: int) -> None:
        """The client has taken ``count`` more bytes of a file. Thread: reactor."""
        exchange.body_sent += count
        self.deadline = self.site.seconds() + self.site.limits.drain_timeout

    def file_ended(self, exchange: Exchange, complete: bool) -> None:
        """A file has been sent, or could not be. Thread: reactor."""
        if exchange.phase == GONE or self._stage >= CLOSING:
            return
        if not complete:
            self._cut(exchange)
            return
        self._back_to_work()
        with self._outlet.lock:
            self.mark_sent(exchange)
        self.was_sent(exchange)

    def was_sent(self, exchange: Exchange) -> None:
        """Log the exchange and see to what else is to be done. Thread: any."""
        self.site.record(exchange)
        if self._exchange is exchange:
            self._in_reactor(self._advance, exchange)

    def _in_reactor(self, function: Any, *args: Any) -> None:
        workers = self.site.workers
        if workers.in_reactor():
            function(*args)
        else:
            workers.to_reactor(function, *args)

    def _advance(self, exchange: Exchange) -> None:
        """The response of ``exchange`` is complete: close, or go on with the next request."""
        if self._exchange is not exchange or self._stage >= CLOSING:
            return
        if exchange.body is not None:
            cast(IncomingBody, exchange.body).discard()
        if self._closes:
            self._close()
        elif not self._running and self._engine.body_complete:
            self._run(self._next_events())
        elif not self._running:
            self._open_window(self.site.seconds(), cast(IncomingBody, exchange.body))

    def _send_file(self, exchange: Exchange, head: bytes, file: BinaryIO, extent: tuple[int, int]) -> None:
        if exchange.phase == GONE or self._stage >= CLOSING:
            file.close()
            return
        self._await_reader(STALLED)
        self._outlet.put_file(exchange, head, file, extent)

    def _cut(self, exchange: Exchange) -> None:
        if self._exchange is exchange and self._stage < CLOSED:
            self.transport.abortConnection()

    # -- deadlines and the end (Thread: reactor)

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        stage = self._stage
        if stage == IDLE:
            self._close()
        elif stage == HEAD:
            self._refused(Refused(408, "the request head did not arrive in time", self._engine.method), None)
        elif stage == BODY:
            self._look_at_rate(now)
        elif stage == HALF and self._exchange is not None and self._exchange.body_sent > self._window:
            self._await_handler(HALF_CLOSE_SILENCE)  # it was sent something, and has not reset the connection
        elif stage in (STALLED, CLOSING) and unsent(self.transport) < self._window:
            self._await_reader(stage)
        else:
            self.deadline = inf
            if stage in (STALLED, HALF, CLOSING):
                self.transport.abortConnection()

    def _look_at_rate(self, now: float) -> None:
        exchange = self._exchange
        assert exchange is not None
        body = cast(IncomingBody, exchange.body)
        limits = self.site.limits
        enough = body.received - self._window >= limits.body_min_rate * limits.body_min_rate_grace
        if enough or (exchange.phase != DONE and not body.waits_for_client):
            self._open_window(now, body)
            return
        self.deadline = inf
        self._closes = True
        body.fail(BodyError(408, "the request body did not arrive in time"))
        if exchange.phase == DONE:
            self._close()

    def drain(self) -> None:
        """Finish what is open, then close: the server is stopping."""
        with self._outlet.lock:  # an application thread may be completing the turn
            self.draining = True
            if self._stage == IDLE:
                self.deadline = 0.0  # at the next sweep: a request that is in the kernel already is read first
            elif self._stage == HEAD:
                self.deadline = min(self.deadline, self.site.seconds() + LINGER_TIMEOUT)

    def abort(self) -> None:
        """Close at once."""
        if self._stage != CLOSED:
            self.transport.abortConnection()

    def _close(self) -> None:
        """Close once the client has what was sent. Where it may still be sending, let it first see our last words."""
        lingers = not (self._engine.between_requests or (self._engine.body_complete and not self._engine.buffered))
        self._await_reader(CLOSING)
        self._resume_reading()
        transport = self.transport
        transport.unregisterProducer()  # a transport with a producer never closes
        if lingers and isinstance(transport, DirectServer):
            transport.loseWriteConnection()  # type: ignore[no-untyped-call]
        else:
            transport.loseConnection()

    def _await_reader(self, stage: int) -> None:
        """Go to a stage in which the client is to read what is queued: as long as it does, it is not cut off."""
        self._stage = stage
        self._window = unsent(self.transport)
        wait = LINGER_TIMEOUT if stage == CLOSING and not self._window else self.site.limits.drain_timeout
        self.deadline = self.site.seconds() + wait
