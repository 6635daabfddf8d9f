"""The connections to one server: kept alive, limited in number, handed to those who wait in the order they came.

Theory of operation. Who wants to make a request is a ``Waiter``. It gets an idle connection at once, the last one used
first; else it stands in a queue, and there are never fewer attempts to connect than waiters, up to the limit. Whatever
becomes free first, an old connection or a new one, goes to the first in the queue. An attempt that fails takes the
first waiter with it. Waiters that leave take attempts with them that nobody waits for any more, but for the last one:
it has a while to end, so that those who have less time than it takes find a connection the next time.

A waiter that is ``fresh`` takes a new connection only: an old one has just turned out to be dead, and the others may
be as well. When it is the first in the queue and the limit is reached, an old connection makes room for a new one.

A thread may take an idle connection at any time, so here each is taken out before anything is done with it: the
dictionary gives it to one of them only. What a thread has taken comes back over the reactor, like any other.

Layer 3. It must not know requests nor their deadlines: waiters leave with ``forget``. Thread: reactor, but for
``take``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

from skitai.errors import ConnectFailed, NameNotFound, RequestError
from skitai.was.connecting import Attempt, Dialer
from skitai.was.connection import Connection
from skitai.was.interfaces import Lease
from skitai.was.limits import Target


class Waiter(Protocol):
    """Who wants to make a request."""

    def on_lease(self, lease: Lease) -> None:
        """Here is what to make it with; the connection comes back by itself."""

    def on_no_lease(self, error: RequestError) -> None:
        """There is no connection to be had."""


class Pool:
    """The connections to one server.

    Args:
        dialer: What connections are made with; it has the limits and the time, too.
        target: The server.
        emptied: Called with the pool when nothing is left in it.

    Attributes:
        target: As given.
        open_to_threads: Whether threads can send over its connections.
    """

    def __init__(self, dialer: Dialer, target: Target, emptied: Callable[[Pool], object]) -> None:
        self.target = target
        self.open_to_threads = False
        self._dialer = dialer
        self._settings = dialer.settings
        self._reactor = dialer.reactor
        self._emptied = emptied
        self._seconds = dialer.reactor.seconds
        self._idle: dict[Connection, None] = {}  # in the order in which they became idle
        self._open: set[Connection] = set()
        self._attempts: dict[Attempt, None] = {}
        self._waiters: dict[Waiter, bool] = {}  # to whether it is fresh
        self._reaper: IDelayedCall | None = None
        self._spare: Attempt | None = None  # goes on though who waited has left
        self._left: IDelayedCall | None = None  # ends it
        self._closing = False

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are open and idle, attempts under way, and waiters, by name."""
        return {
            "open": len(self._open),
            "idle": len(self._idle),
            "connecting": len(self._attempts),
            "waiting": len(self._waiters),
        }

    def acquire(self, waiter: Waiter, fresh: bool = False) -> None:
        """Give ``waiter`` a connection, now or later.

        Args:
            waiter: Is told exactly once, unless it is forgotten.
            fresh: Whether it has to be a new one.
        """
        while not fresh:
            connection = self.take()
            if connection is None:
                break
            if connection.is_fit(self._seconds()):
                waiter.on_lease(connection)
                return
            connection.abort()
        if self._closing:
            waiter.on_no_lease(ConnectFailed("no connections are made any more"))
            return
        if len(self._waiters) >= self._settings.max_waiting:
            words = f"{len(self._waiters):,} requests wait for it already"
            waiter.on_no_lease(ConnectFailed(words, queued=True))
            return
        self._waiters[waiter] = fresh
        self._connect()

    def take(self) -> Connection | None:
        """Take out the idle connection that was used last, None where there is none. Thread: any."""
        try:
            return self._idle.popitem()[0]
        except KeyError:
            return None

    def forget(self, waiter: Waiter) -> None:
        """Take ``waiter`` out of the queue, where it is in it."""
        if self._waiters.pop(waiter, None) is None:
            return
        # A name that has not even had its turn is not worth keeping others from theirs.
        spared = self._spare is not None or self._dialer.names.is_queued(self.target.host)
        while self._trying > len(self._waiters):
            if not self._waiters and not spared:
                self._spare = next(iter(self._attempts))
                self._left = self._reactor.callLater(self._settings.connect_timeout, self._give_up)
                break
            attempt = next(reversed(self._attempts))
            del self._attempts[attempt]
            attempt.cancel()
        self._check_empty()

    @property
    def _trying(self) -> int:
        """How many attempts are under way for those who wait."""
        return len(self._attempts) - (self._spare is not None)

    def holds_back(self, waiter: Waiter) -> bool:
        """Return whether ``waiter`` is in the queue because of our own limits, and not because of the server.

        That is so while nobody tries to connect for it, and others have connections.
        """
        if waiter not in self._waiters:
            return False
        if self._dialer.names.is_queued(self.target.host):
            return True
        return bool(self._open) and waiter not in islice(self._waiters, self._trying)

    def close(self) -> None:
        """Close all connections that carry no request, and from now on each that has carried its last one."""
        self._closing = True
        for attempt in list(self._attempts):
            self._ended(attempt)
            attempt.cancel()
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.on_no_lease(ConnectFailed("no connections are made any more"))
        # What a thread has taken but not used comes back in vain; should the thread have been ended, it does not.
        for connection in [connection for connection in self._open if connection.usable]:
            self._idle.pop(connection, None)
            connection.close()
        self._check_empty()

    # -- told by connections and attempts

    def free(self, connection: Connection) -> None:
        """The connection can take another request."""
        if self._closing:
            connection.close()
            return
        if self._waiters:
            for waiter, fresh in self._waiters.items():
                if not fresh:
                    del self._waiters[waiter]
                    waiter.on_lease(connection)
                    return
                if not self._trying:  # it is its turn, but there is no room: ``gone`` connects
                    connection.abort()
                    return
        self._keep(connection)
        if self._waiters:
            self._connect()

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._connect()
        self._check_empty()

    def connected(self, attempt: Attempt, connection: Connection) -> None:
        """An attempt has succeeded."""
        self._ended(attempt)
        self._open.add(connection)
        self.open_to_threads = connection.open_to_threads
        if self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            waiter.on_lease(connection)
        else:
            self._keep(connection)

    def not_connected(self, attempt: Attempt, error: RequestError) -> None:
        """An attempt has failed."""
        # A name that does not exist does so for all. One that nobody waited for began before those who wait came.
        count = len(self._waiters) if isinstance(error, NameNotFound) else int(attempt is not self._spare)
        self._ended(attempt)
        for waiter in list(islice(self._waiters, count)):
            if self._waiters.pop(waiter, None) is not None:
                waiter.on_no_lease(_copy(error))
        self._connect()
        self._check_empty()

    # -- inside

    def _connect(self) -> None:
        """Begin as many attempts as there are waiters, as far as the limit allows."""
        limit = self._settings.max_connections
        while self._trying < len(self._waiters) and not self._closing:
            if len(self._open) + len(self._attempts) >= limit:
                # Waiters beside idle connections are fresh ones; ``gone`` comes here again.
                surplus = len(self._waiters) - self._trying
                for connection in list(self._idle):
                    if surplus > 0 and self._take_out(connection):
                        surplus -= 1
                        connection.abort()  # the end of TLS takes a while
                return
            attempt = Attempt(self._dialer, self, self.target)
            self._attempts[attempt] = None
            attempt.start()

    def _ended(self, attempt: Attempt) -> None:
        """Forget an attempt."""
        self._attempts.pop(attempt, None)
        if attempt is self._spare:
            self._spare = None
            if self._left is not None:
                self._left.cancel()
                self._left = None

    def _give_up(self) -> None:
        """The time of the spare attempt is over."""
        self._left = None
        attempt = self._spare
        if attempt is not None:
            self._ended(attempt)
            attempt.cancel()
        self._check_empty()

    def _keep(self, connection: Connection) -> None:
        """Keep an idle connection for a while."""
        timeout = self._settings.keep_alive_timeout
        stated = connection.keep_alive
        if stated is not None:
            # We close first, so that no request crosses the server's closing.
            timeout = min(timeout, max(stated - 1.0, stated / 2))
        if timeout <= 0:
            connection.close()
            return
        connection.reused = True
        connection.idle_since = now = self._seconds()
        connection.expires = now + timeout
        self._idle[connection] = None
        if self._reaper is None:
            self._reaper = self._reactor.callLater(timeout, self._reap)

    def _reap(self) -> None:
        """Close what was idle for too long, and come again when the next one will have been."""
        self._reaper = None
        now = self._seconds()
        earliest = inf
        for connection in list(self._idle):
            if connection.expires > now:
                earliest = min(earliest, connection.expires)
            elif self._take_out(connection):
                connection.close()
        if earliest < inf:
            self._reaper = self._reactor.callLater(earliest - now, self._reap)

    def _take_out(self, connection: Connection) -> bool:
        """Take a certain idle connection out; return False where a thread was faster."""
        try:
            del self._idle[connection]
        except KeyError:
            return False
        return True

    def _check_empty(self) -> None:
        if self._open or self._attempts or self._waiters:
            return
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        self._emptied(self)


def _copy(error: RequestError) -> RequestError:
    """Return an error of its own for each waiter: what it has sent is not what the others have."""
    return type(error)(*error.args)
