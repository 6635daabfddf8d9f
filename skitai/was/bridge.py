"""The bridge between application threads and the reactor, as requests cross it.

The crossing itself is done by the application threads (``skitai.web.workers``); this adds the clock.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Workers(Protocol):
    """What is needed of the application threads."""

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor. Thread: any."""

    def in_reactor(self) -> bool:
        """Tell whether the caller is the reactor thread. Thread: any."""

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Call ``function`` in the reactor and wait for its Deferred. Thread: any but the reactor's."""

    def insist(self, job: Any) -> None:
        """Queue a job, however many are waiting. Thread: reactor."""


class Threads(Workers, Protocol):
    """What requests need of the application threads and the reactor: what a ``Bridge`` has.

    Attributes:
        closed: Whether the reactor may stop at any time.
    """

    @property
    def closed(self) -> bool: ...

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` after some seconds. Thread: reactor."""


class Bridge:
    """The application threads and the clock of the reactor.

    Args:
        workers: The application threads.
        clock: The reactor.

    Attributes:
        closed: Whether the reactor may stop at any time, so that nobody must begin to wait for it.
    """

    def __init__(self, workers: Workers, clock: IReactorTime) -> None:
        self.to_reactor = workers.to_reactor
        self.in_reactor = workers.in_reactor
        self.block = workers.block
        self.insist = workers.insist
        self.closed = False
        self._clock = clock

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` after some seconds. Thread: reactor."""
        return self._clock.callLater(seconds, function, *args)

    def close(self) -> None:
        """Let nobody begin to wait any more. Who waits already is not disturbed. Thread: reactor."""
        self.closed = True
