"""Names that are being looked up: once each, however many ask meanwhile, and few at a time.

The reactor does it in threads of its pool, which application threads come from, too. Those who ask no more do not stop
such a thread. So a name server that does not answer must not take a thread for each of them, nor one for each name:
the names that are too many wait here, and are dropped when nobody asks for them any more.

What was found is good for some seconds, and for longer while too many names wait: services that are asked all the time
do not depend on names that nobody answers for. The address that could be connected to comes first from then on.

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

from skitai.web.caches import remember

MAX_LOOKUPS: Final = 6
"""Names that somebody waits for, and that are looked up at the same time."""

MAX_RUNNING: Final = 9
"""The same with those that nobody waits for any more; the threads for other work are one more."""

FRESH: Final = 10.0
"""Seconds for which found addresses are not looked up again. Twisted does not tell what the name server says of it."""

LOOKUP_TIMEOUT: Final = 60.0
"""Seconds after which a lookup is over, although its thread may go on. The C library gives each of three name servers
5 seconds, twice (resolv.conf)."""

_NOTHING: Final[tuple[list[str], float]] = ([], 0.0)

_log = Logger(namespace="skitai.was")


class Seeker(Protocol):
    """Who wants to know addresses."""

    def resolved(self, addresses: Sequence[str]) -> None:
        """Here they are, none where the name is not found. Who has been told may have others forget it: see to that."""


class Reactor(Protocol):
    """What is needed of the reactor."""

    nameResolver: IHostnameResolver

    def seconds(self) -> float:
        """Return the time."""

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
        self._found: dict[str, tuple[list[str], float]] = {}  # with when it was
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
        addresses, when = self._found.get(host, _NOTHING)
        if addresses and (0.0 <= self._reactor.seconds() - when < FRESH or not self._has_room()):
            seeker.resolved(list(addresses))
        elif lookup is not None:
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
        elif not lookup.seekers:
            self._begin()

    def worked(self, host: str, address: str) -> None:
        """Take note that one of the addresses of ``host`` could be connected to."""
        addresses, _ = self._found.get(host, _NOTHING)
        if address in addresses and addresses[0] != address:
            addresses.remove(address)
            addresses.insert(0, address)

    def failed(self, host: str) -> None:
        """Take note that none of them could: they may be others by now."""
        self._found.pop(host, None)

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
        if lookup.addresses:
            remember(self._found, lookup.host, (self._in_order(lookup), self._reactor.seconds()))
        for seeker in lookup.seekers:
            seeker.resolved(self._in_order(lookup))
        self._begin()

    def _in_order(self, lookup: _Lookup) -> list[str]:
        """Return what was found, the address first that worked."""
        known, _ = self._found.get(lookup.host, _NOTHING)
        return sorted(lookup.addresses, key=lambda address: address not in known[:1])

    def _has_room(self) -> bool:
        """Return whether a lookup may begin."""
        running = self._running
        return len(running) < MAX_RUNNING and sum(1 for one in running if one.seekers) < MAX_LOOKUPS

    def _begin(self) -> None:
        """Begin as many lookups as may run."""
        if self._beginning:  # a resolver that knows at once would have a queue of names end in a stack of calls
            return
        self._beginning = True
        while self._queue and self._has_room():
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
