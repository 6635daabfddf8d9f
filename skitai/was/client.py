"""The HTTP client: what makes requests, and keeps the connections to all servers.

It holds what requests share: connections by server, deadlines, what servers want to know of who asks, names that are
looked up. ``done`` is never called before ``HTTPClient.request`` has returned.

Layer 3. It must not know clusters, caches, nor who asks. Thread: reactor, but for what says otherwise.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from skitai.errors import RequestError
from skitai.was.challenges import Credentials
from skitai.was.connecting import ClientReactor, Dialer
from skitai.was.connection import Connection
from skitai.was.deadlines import Deadlines
from skitai.was.limits import DEFAULT_TRUST, ClientSettings, Target, Trust
from skitai.was.outgoing import Outgoing, content_at_once
from skitai.was.pool import Pool
from skitai.was.transfer import Answer, Done, Extra, Transfer
from skitai.was.url import URL

_log = Logger(namespace="skitai.was")


class HTTPClient:
    """Makes requests, and keeps the connections.

    Args:
        reactor: Connects.
        settings: What requests may cost.
        clock: Measures deadlines.

    Attributes:
        settings: As given.
        deadlines: The requests that run.
        credentials: What servers have asked for.
        dialer: What connections are made with.
    """

    def __init__(self, reactor: ClientReactor, settings: ClientSettings, clock: IReactorTime) -> None:
        self.settings = settings
        self._clock = clock
        self.deadlines = Deadlines(clock)
        self.credentials = Credentials()
        self.dialer = Dialer(reactor, settings)
        self._pools: dict[Any, Pool] = {}
        self._closed: Deferred[None] | None = None

    def request(
        self,
        outgoing: Outgoing,
        limits: tuple[float, int],
        done: Done,
        extra: Extra | None = None,
        trust: Trust = DEFAULT_TRUST,
    ) -> Transfer:
        """Make a request.

        Args:
            outgoing: The request. Its payload stays the caller's: until ``done`` is called nobody else may use it, then
                it may be sent again, and the caller has to close it.
            limits: Seconds that it may take in all, and bytes of a body, after decoding.
            done: Called once with the answer, or with what has become of the request; not before this returns.
            extra: Gives further fields for each request that is made on the way.
            trust: Whose certificates are accepted, until a redirect leads to another origin.

        Returns:
            What can be cancelled.
        """
        return self._begin(Transfer(self, outgoing, limits, done, extra), trust, None)

    def take(self, outgoing: Outgoing) -> Connection | None:
        """Take an idle connection that a thread can send a request over by itself, None where there is none.

        The reactor has to go on with it: ``resume``. Thread: any.
        """
        # Credentials are the reactor's business, as servers may ask for Digest.
        if outgoing.auth is not None or content_at_once(outgoing) is None:
            return None
        pool = self._pools.get(outgoing.url.origin)
        return pool.take() if pool is not None and pool.open_to_threads else None

    def resume(
        self, early: Connection, outgoing: Outgoing, limits: tuple[float, int], done: Done, extra: Extra | None = None
    ) -> Transfer:
        """Go on with a request that a thread was to send; see ``request``. Where it has not, it is made anew."""
        return self._begin(Transfer(self, outgoing, limits, done, extra), DEFAULT_TRUST, early)

    def _begin(self, transfer: Transfer, trust: Trust, early: Connection | None) -> Transfer:
        transfer.deadline = self._clock.seconds() + transfer.timeout
        if self._closed is None:
            self.deadlines.add(transfer)
            transfer.start(trust, early)
        else:
            transfer.cancel()
            if early is not None:
                early.abort()
        transfer.returned = True
        return transfer

    def close(self) -> Deferred[None]:
        """End all requests with ``RequestCancelled`` and close all connections.

        Returns:
            Fires when all sockets are closed.
        """
        if self._closed is None:
            self._closed = Deferred()
            for transfer in self.deadlines.entries():
                if isinstance(transfer, Transfer):
                    transfer.cancel()
            self.deadlines.stop()
            for pool in list(self._pools.values()):
                pool.close()
            self.dialer.names.close()
            self._check_closed()
        closed: Deferred[None] = Deferred()
        self._closed.addCallback(_fire, closed)
        return closed

    @property
    def counts(self) -> dict[str, int]:
        """How many requests run, and the sums of ``Pool.counts`` over all servers, by name."""
        counts = {"requests": len(self.deadlines), "open": 0, "idle": 0, "connecting": 0, "waiting": 0}
        for pool in self._pools.values():
            for name, count in pool.counts.items():
                counts[name] += count
        return counts

    @property
    def lookups(self) -> int:
        """How many names are being looked up, which threads of the reactor do; nothing ends them."""
        return len(self.dialer.names)

    def describe(self) -> list[dict[str, str | int]]:
        """Return a line for each server that there are connections to, for the status page. Thread: any."""
        return [{"server": str(pool.target), **pool.counts} for pool in list(self._pools.values())]

    # -- for transfers

    def pool(self, url: URL, trust: Trust) -> Pool:
        """Return the connections to the server of ``url``."""
        # Whose certificates are accepted says nothing about a server without any, and is dear to look up.
        key: Any = url.origin if url.scheme == "http" else (url.origin, trust)
        pool = self._pools.get(key)
        if pool is None:
            pool = Pool(self.dialer, Target(*url.origin, trust), partial(self._emptied, key))
            self._pools[key] = pool
        return pool

    def finished(self, transfer: Transfer, done: Done, outcome: Answer | RequestError) -> None:
        """Tell who has asked."""
        if transfer.returned:
            _tell(done, outcome)
        else:
            self._clock.callLater(0, _tell, done, outcome)

    def _emptied(self, key: Any, pool: Pool) -> None:
        if self._pools.get(key) is pool:
            del self._pools[key]
        self._check_closed()

    def _check_closed(self) -> None:
        if self._closed is not None and not self._pools and not self._closed.called:
            self._closed.callback(None)


def _tell(done: Done, outcome: Answer | RequestError) -> None:
    try:
        done(outcome)
    except Exception:
        _log.failure("{done} failed", done=done)


def _fire(result: None, closed: Deferred[None]) -> None:
    closed.callback(None)
