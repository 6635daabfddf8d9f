"""The stages of an HTTP/1 connection, and what a connection needs of its server.

Layer 2. Values only.

Theory of operation. Requests of a connection are answered one after the other: while an exchange is open the engine
keeps what is pipelined behind it. The stage says whose turn it is, and so what the deadline means:

    IDLE     no byte of a next request yet: at the deadline close in silence
    HEAD     part of a head has come: 408 at the deadline
    BODY     the handler works, the client owes us its body: at the deadline look at the rate
    WORK     the handler works: no deadline
    STALLED  the client does not read: at the deadline abort
    HALF     the client has closed its side while the handler works: at the deadline take it for gone, unless it was
             sent something
    CLOSING  all was said; wait for the client to take it (and discard what it still sends): at the deadline abort
    CLOSED
"""

from __future__ import annotations

from typing import Final, Protocol

from skitai.settings import Limits
from skitai.web.exchange import Exchange
from skitai.web.workers import WorkerPool

IDLE, HEAD, BODY, WORK, STALLED, HALF, CLOSING, CLOSED = range(8)

LINGER_TIMEOUT: Final = 2.0
"""Seconds that a client which still sends is listened to after we have closed for writing (RFC 9112 section 9.6), and
that it has for the rest of a request head when the server stops."""

HALF_CLOSE_GRACE: Final = 0.5
"""Seconds after which a client that has closed its side, and was sent nothing since, is taken for gone. One that has
left and one that reads on can not be told apart without sending; those that leave are by far more."""

HALF_CLOSE_SILENCE: Final = 20.0
"""Seconds of silence that a client which has closed its side is waited for after it was sent something since: one that
had left would have reset the connection, so it reads. It may leave later, which is not seen either, hence a bound. HTML
(section 9.2.7) has streams of events send at least a comment every 15 seconds."""


class Channel(Protocol):
    """An open connection, as its server sees it. Thread: reactor.

    Attributes:
        deadline: When ``expired`` is to be called, in seconds of the site's clock.
        draining: Whether the response that is being made is the last one.
    """

    deadline: float
    draining: bool

    def expired(self, now: float) -> None:
        """The deadline has passed."""

    def drain(self) -> None:
        """Finish what is open, then close."""

    def abort(self) -> None:
        """Close at once."""


class Site(Protocol):
    """What channels share: made by ``skitai.web.site.ServerFactory``."""

    limits: Limits
    workers: WorkerPool
    requests: int

    def seconds(self) -> float:
        """The clock of all deadlines. Thread: any."""

    def common_lines(self, now: float) -> bytes:
        """The Date and Server lines. Thread: any."""

    def dispatch(self, exchange: Exchange) -> None:
        """Have the request handled. Thread: reactor."""

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer a request that broke the protocol. Thread: reactor."""

    def record(self, exchange: Exchange) -> None:
        """The exchange is over: write it to the access log. Thread: any."""

    def opened(self, channel: Channel) -> int:
        """A connection is open; return its number. Thread: reactor."""

    def closed(self, channel: Channel) -> None:
        """A connection is gone. Thread: reactor."""
