"""What all connections of a server share: limits, handler, clock, log, and the sweep over their deadlines.

Layer 2. It must not know how requests are handled: ``dispatch`` is the mount table's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from skitai.settings import Limits
from skitai.web.channel import HTTPChannel
from skitai.web.conditional import format_date
from skitai.web.connection import Channel
from skitai.web.errorpage import respond_error
from skitai.web.exchange import Exchange
from skitai.web.workers import WorkerPool

SWEEP_PERIOD: Final = 0.25
"""Seconds between two looks at the deadlines. One timer for all: arming one a request costs more than serving it."""

_log = Logger(namespace="skitai.server")


class ServerFactory(Factory):
    """Makes the channels of one server, for all its ports.

    Args:
        dispatch: Handles an exchange (the mount table's).
        limits: What one connection may cost.
        clock: The clock of all deadlines.
        workers: The application threads.
        record: Takes each finished exchange (the access log's); any thread.
        wall: UNIX time, for the Date field.

    Attributes:
        channels: The open connections.
        requests: How many requests have come.
    """

    noisy = False

    def __init__(
        self,
        dispatch: Callable[[Exchange], object],
        limits: Limits,
        clock: IReactorTime,
        workers: WorkerPool,
        record: Callable[[Exchange], object],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.dispatch: Any = dispatch
        self.limits = limits
        self.workers = workers
        self.record: Any = record
        self.seconds: Any = clock.seconds
        self.channels: set[Channel] = set()
        self.requests = 0
        self._clock = clock
        self._wall = wall
        self._connections = 0
        self._common = b""
        self._common_until = 0.0
        self._sweep: IDelayedCall | None = None
        self._draining: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the channel of a new connection."""
        return HTTPChannel(self)

    def opened(self, channel: Channel) -> int:
        """A connection is open; return its number. Thread: reactor."""
        self._connections += 1
        self.channels.add(channel)
        if self._draining is not None:
            channel.draining = True
        if self._sweep is None:
            self._sweep = self._clock.callLater(SWEEP_PERIOD, self._look_at_deadlines)
        return self._connections

    def closed(self, channel: Channel) -> None:
        """A connection is gone. Thread: reactor."""
        self.channels.discard(channel)
        if self._draining is not None and not self.channels and not self._draining.called:
            self._draining.callback(None)

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer a request that broke the protocol. Thread: reactor."""
        respond_error(exchange, status, message)

    def common_lines(self, now: float) -> bytes:
        """Return the Date and Server lines, made anew once a second. Thread: any."""
        if now >= self._common_until:
            wall = self._wall()
            self._common = b"Date: %b\r\nServer: Skitai\r\n" % format_date(wall)
            self._common_until = now + 1.0 - wall % 1.0
        return self._common

    def drain(self) -> Deferred[None]:
        """Finish open requests and close every connection; listening has stopped before.

        Returns:
            Fires when the last connection is gone.

        Thread: reactor.
        """
        if self._draining is None:
            self._draining = Deferred()
            for channel in list(self.channels):
                channel.drain()
            if not self.channels:
                self._draining.callback(None)
        return self._draining

    def abort(self) -> None:
        """Close every connection at once. Thread: reactor."""
        for channel in list(self.channels):
            channel.abort()

    def _look_at_deadlines(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        for channel in [channel for channel in self.channels if channel.deadline <= now]:
            try:
                channel.expired(now)
            except Exception:  # the others have deadlines, too
                _log.failure("the deadline of a connection could not be handled")
                channel.abort()
        if self.channels:
            self._sweep = self._clock.callLater(SWEEP_PERIOD, self._look_at_deadlines)
