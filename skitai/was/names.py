"""Names that are being looked up: once each, however many ask meanwhile, and few at a time.

The reactor does it in threads of its pool, which application threads come from, too. Those who ask no more do not stop
such a thread. So a name server that does not answer must not take a thread for each of them, nor one for each name:
the names that are too many wait here, and are dropped when nobody asks for them any more.

Each lookup comes to an end, or its name could not be asked until the next start: ``_careful`` mends what Twisted's
resolver does not tell, and what takes longer than any answer would is over.

Layer 3. It must not know what addresses are for. Thread: reactor.
"""

from __future__ import annotations

from collections.abc import Sequence
from socket import EAI_FAIL, gaierror
from typing import Any, Final, Protocol

from twisted.internet._resolver import GAIResolver
from twisted.internet.interfaces import IAddress, IDelayedCall, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.logger import Logger
from zope.interface import implementer

MAX_LOOKUPS: Final = 6
"""Names that are looked up at the same time."""

LOOKUP_TIMEOUT: Final = 60.0
"""Seconds after which a lookup is over, although its thread may go on. The C library gives each of three name servers
5 seconds, twice (resolv.conf)."""

_log = Logger(namespace="skitai.was")


class Seeker(Protocol):
    """Who wants to know addresses."""

    def resolved(self, addresses: Sequence[str]) -> None:
        """Here they are, none where the name is not found. Who has been told may have others forget it: see to that."""


class Reactor(Protocol):
    """What is needed of the reactor."""

    nameResolver: IHostnameResolver

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> IDelayedCall:
        """Call later."""


class Names:
    """The lookups that run, and those that wait.

    Args:
        reactor: Has the resolver and the time.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._lookups: dict[str, _Lookup] = {}
        self._running: dict[_Lookup, IDelayedCall] = {}
        self._queue: dict[_Lookup, None] = {}
        self._beginning = False

    def __len__(self) -> int:
        """How many names are being looked up, also those that nobody asks for any more."""
        return len(self._running)

    def is_queued(self, host: str) -> bool:
        """Return whether ``host`` is asked for, but its lookup has not begun."""
        lookup = self._lookups.get(host)
        return lookup is not None and lookup in self._queue

    def ask(self, host: str, seeker: Seeker) -> None:
        """Have ``seeker.resolved`` called with the addresses of ``host``, now or later."""
        lookup = self._lookups.get(host)
        if lookup is not None:
            lookup.seekers[seeker] = None
        else:
            self._lookups[host] = lookup = _Lookup(self, host)
            lookup.seekers[seeker] = None
            self._queue[lookup] = None
            self._begin()

    def forget(self, host: str, seeker: Seeker) -> None:
        """Do not call ``seeker.resolved`` any more."""
        lookup = self._lookups.get(host)
        if lookup is None:
            return
        lookup.seekers.pop(seeker, None)
        if not lookup.seekers and lookup in self._queue:
            del self._queue[lookup], self._lookups[host]

    def close(self) -> None:
        """Let no timer run any more. What runs is counted until it ends."""
        for timer in self._running.values():
            if timer.active():
                timer.cancel()

    def ended(self, lookup: _Lookup) -> None:
        """Tell those who have asked, and let the next name have its turn."""
        timer = self._running.pop(lookup, None)
        if timer is None:  # its time was up before
            return
        if timer.active():
            timer.cancel()
        del self._lookups[lookup.host]
        for seeker in lookup.seekers:
            seeker.resolved(list(lookup.addresses))
        self._begin()

    def _begin(self) -> None:
        """Begin as many lookups as may run."""
        if self._beginning:  # a resolver that knows at once would have a queue of names end in a stack of calls
            return
        self._beginning = True
        while self._queue and len(self._running) < MAX_LOOKUPS:
            lookup = next(iter(self._queue))
            del self._queue[lookup]
            self._running[lookup] = self._reactor.callLater(LOOKUP_TIMEOUT, self.ended, lookup)
            try:
                _careful(self._reactor).resolveHostName(lookup, lookup.host)
            except Exception as error:
                _note(lookup.host, error)
                self.ended(lookup)
        self._beginning = False


@implementer(IResolutionReceiver)
class _Lookup:
    """One name, its addresses so far, and who asks for them."""

    def __init__(self, names: Names, host: str) -> None:
        self.host = host
        self.seekers: dict[Seeker, None] = {}
        self.addresses: dict[str, None] = {}
        self._names = names

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """The lookup has begun (called by Twisted)."""

    def addressResolved(self, address: IAddress) -> None:
        """Keep one address (called by Twisted)."""
        host = getattr(address, "host", None)
        if isinstance(host, str):
            self.addresses[host] = None

    def resolutionComplete(self) -> None:
        """All addresses are there (called by Twisted)."""
        self._names.ended(self)


def _careful(reactor: Any) -> IHostnameResolver:
    """Return the resolver of the reactor, or one in its place that ends every lookup.

    For Twisted's own nothing but ``gaierror`` is an end. Where the system raises anything else, because no file can be
    opened or a label is too long, who has asked is never told.
    """
    resolver: Any = reactor.nameResolver
    if type(resolver) is not GAIResolver:
        return resolver  # type: ignore[no-any-return]
    look_up = resolver._getaddrinfo

    def end(host: str, *args: Any) -> Any:  # in a thread of the reactor's pool
        try:
            return look_up(host, *args)
        except gaierror:
            raise
        except Exception as error:
            _note(host, error)
            raise gaierror(EAI_FAIL, str(error)) from error

    careful: Any = end  # its type has a name for each argument
    return GAIResolver(reactor, resolver._getThreadPool, careful)


def _note(host: str, error: Exception) -> None:
    _log.warn("{host} can not be looked up: {error!r}", host=host, error=error)
