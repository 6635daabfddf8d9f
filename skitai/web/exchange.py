"""One request and its response, whatever carries them.

Layer 1: no Twisted, no clock, no thread. A *handler* gets an ``Exchange``, looks at ``request``, and answers with
exactly one of

* ``respond(response, body)``                       the whole response at once,
* ``begin(response, length)``, ``write(data)`` ..., ``finish()``   a stream,
* ``send_file(response, file, offset, count)``      bytes of an open file,
* ``abort()``                                       nothing more: the connection (or stream) is cut.

What happens on the wire is up to the ``Carrier``: an HTTP/1 connection or an HTTP/2 stream. An exchange never asks
which.

Theory of operation: ``phase`` goes WAITING -> STARTED -> DONE (or WAITING -> DONE for ``respond``); GONE may follow any
of the first two when the client has left, from then on output is dropped in silence and ``disconnected`` is true.

Thread: an exchange is owned by one thread at a time: the reactor until it hands the exchange to a pool thread, then
that thread until it has finished the response or handed the exchange back. The owner alone calls the methods here;
``disconnected`` may be read by anyone.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol

from skitai.errors import ApplicationError, ClientDisconnected, PeerError
from skitai.web.events import Request, Response


class Phase(enum.IntEnum):
    """How far the response is."""

    WAITING = 0
    STARTED = 1
    DONE = 2
    GONE = 3


WAITING, STARTED, DONE, GONE = Phase


class Peers(NamedTuple):
    """The two ends of a connection: one value for all its requests.

    Attributes:
        client: Address and port of the client; ("", 0) for a UNIX socket.
        server: Address and port that it connected to.
        secure: Whether the connection is TLS.
        number: Running number of the connection in this process.
    """

    client: tuple[str, int]
    server: tuple[str, int]
    secure: bool
    number: int


class RequestBody(Protocol):
    """The body of a request, as a handler sees it (``skitai.web.body.IncomingBody``).

    Attributes:
        received: Bytes received so far, after the transfer coding is taken off.
    """

    received: int
    error: PeerError | None

    def collect(self, limit: int, spool_size: int, done: Callable[[BinaryIO | None], None]) -> None:
        """Call ``done`` when the body has come whole. Thread: reactor."""

    def gather(self, limit: int, spool_size: int, done: Callable[[BinaryIO | None], None]) -> None:
        """Call ``done`` when a small body is whole, or at once with a file that gives a large one. Thread: reactor."""


class Carrier(Protocol):
    """What an exchange needs of the connection or stream that carries it. Called by the exchange's owner."""

    def send(self, exchange: Exchange, response: Response, body: bytes) -> None:
        """Send a whole response; it is the last call for this exchange."""

    def send_head(self, exchange: Exchange, response: Response, length: int | None) -> None:
        """Start a streamed response whose body has ``length`` bytes (None: not known)."""

    def send_data(self, exchange: Exchange, data: bytes) -> None:
        """Send a piece of the body; in an application thread this blocks while too much is unread by the client."""

    def send_end(self, exchange: Exchange) -> None:
        """End a streamed body; it is the last call for this exchange."""

    def send_file(self, exchange: Exchange, response: Response, file: BinaryIO, offset: int, count: int) -> None:
        """Send a head and ``count`` bytes of ``file``, then close the file; it is the last call for this exchange."""

    def send_interim(self, exchange: Exchange, response: Response) -> None:
        """Send an informational (1xx) response."""

    def writable(self) -> bool:
        """Tell whether the client keeps up with what is sent. Thread: reactor."""

    def cut(self, exchange: Exchange) -> None:
        """Cut the connection or reset the stream: the response can not be completed."""


class Exchange:
    """One request and its response.

    Attributes:
        request: The head of the request.
        peers: The connection's two ends.
        number: Running number of the request in this process.
        body: The request body.
        phase: How far the response is.
        status: Status code sent; 0 before.
        body_sent: Response body bytes handed to the carrier, as sent (after compression).
        started: When the head was complete, in seconds of the server's clock.
        answered: When the response began.
        finished: When its last byte was handed to the kernel, 0.0 before.
        debug: Whether the application asked for debug pages.
        on_gone: Called in the reactor when the client leaves before its answer is complete.
        on_writable: Called in the reactor when the client has read what was sent, for who produces in the reactor.
        user: Authenticated user for the access log, None for nobody.
        gtxn: Global transaction id as received, None for "make one".
        ltxn: Local transaction id.
    """

    __slots__ = (
        "answered",
        "body",
        "body_sent",
        "carrier",
        "debug",
        "finished",
        "gtxn",
        "ltxn",
        "number",
        "on_gone",
        "on_writable",
        "peers",
        "phase",
        "request",
        "started",
        "status",
        "user",
    )

    def __init__(self, request: Request, peers: Peers, number: int, carrier: Carrier, started: float) -> None:
        self.request = request
        self.peers = peers
        self.number = number
        self.carrier = carrier
        self.started = started
        self.answered = 0.0
        self.finished = 0.0
        self.body: RequestBody | None = None
        self.phase: int = WAITING
        self.status = 0
        self.body_sent = 0
        self.debug = False
        self.user: str | None = None
        self.gtxn: str | None = None
        self.ltxn = 1000
        self.on_gone: Callable[[], object] | None = None
        self.on_writable: Callable[[], object] | None = None

    @property
    def disconnected(self) -> bool:
        """Whether the client has left before its answer was complete. Thread: any."""
        return self.phase == GONE

    def client_disconnected(self) -> bool:
        """Tell whether the client has left: what applications get as ``skitai.client_disconnected``. Thread: any."""
        return self.phase == GONE

    def respond(self, response: Response, body: bytes = b"") -> None:
        """Answer with a whole response; the body is dropped where the method or the status allows none."""
        if self.phase == WAITING:
            self.carrier.send(self, response, body)
        elif self.phase != GONE:
            raise ApplicationError("the response has begun already")

    def begin(self, response: Response, length: int | None = None) -> None:
        """Begin a streamed response whose body has ``length`` bytes (None: not known).

        The head leaves with the first piece of the body.
        """
        if self.phase == WAITING:
            self.carrier.send_head(self, response, length)
        elif self.phase != GONE:
            raise ApplicationError("the response has begun already")

    def write(self, data: bytes) -> None:
        """Send a piece of the body. In an application thread this waits while too much is unread by the client.

        Raises:
            ClientDisconnected: The client has left.
        """
        if self.phase == STARTED:
            if data:
                self.carrier.send_data(self, data)
        elif self.phase == GONE:
            raise ClientDisconnected()
        else:
            raise ApplicationError("write() before the response has begun or after its end")

    def finish(self) -> None:
        """End the streamed response."""
        if self.phase == STARTED:
            self.carrier.send_end(self)
        elif self.phase != GONE:
            raise ApplicationError("finish() before the response has begun or after its end")

    def send_file(self, response: Response, file: BinaryIO, offset: int, count: int) -> None:
        """Answer with ``count`` bytes of ``file`` from ``offset`` on; the file is closed, whatever happens."""
        if self.phase == WAITING:
            self.carrier.send_file(self, response, file, offset, count)
            return
        file.close()
        if self.phase != GONE:
            raise ApplicationError("the response has begun already")

    def abort(self) -> None:
        """Cut the connection: the response can not be completed, and the client must see that."""
        if self.phase in (WAITING, STARTED):
            self.carrier.cut(self)
