"""The bridge between application threads and the reactor, as requests cross it.

The crossing itself is done by the application threads (``skitai.web.workers``); this adds the clock.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from skitai.was.coroutines import loop_of


class Workers(Protocol):
    """What is needed of the application threads."""

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor. Thread: any."""

    def is_quiet(self) -> bool:
        """Tell whether the reactor has done all that threads have asked it to. Thread: any."""

    def in_reactor(self) -> bool:
        """Tell whether the caller is the reactor thread. Thread: any."""

    def wait(self, begin: Callable[[Any], bool], seconds: float) -> bool:
        """Wait until the object that ``begin`` is given is called back; return False where the time was over before.

        It looks like a Deferred. ``begin`` returns False where there is nothing to wait for any more. Thread: any but
        the reactor's.
        """

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Call ``function`` in the reactor and wait for its Deferred. Thread: any but the reactor's."""

    def insist(self, job: Any) -> None:
        """Queue a job, however many are waiting. Thread: reactor."""


class Threads(Workers, Protocol):
    """What requests need of the application threads and the reactor: what a ``Bridge`` has.

    Attributes:
        closed: Whether the reactor may stop at any time.
        loop: The event loop that the reactor runs on, None for a reactor that is not asyncio's.
        now: Tells seconds of a clock that never goes back. Thread: any.
    """

    now: Callable[[], float]

    @property
    def closed(self) -> bool: ...

    @property
    def loop(self) -> AbstractEventLoop | None: ...

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` after some seconds. Thread: reactor."""


class Bridge:
    """The application threads and the clock of the reactor.

    Args:
        workers: The application threads.
        clock: The reactor.
        now: Tells seconds of a clock that never goes back. Thread: any.

    Attributes:
        closed: Whether the reactor may stop at any time, so that nobody must begin to wait for it.
        loop: The event loop that the reactor runs on, None for a reactor that is not asyncio's.
        now: As given.
    """

    def __init__(self, workers: Workers, clock: IReactorTime, now: Callable[[], float] = monotonic) -> None:
        self.to_reactor = workers.to_reactor
        self.is_quiet = workers.is_quiet
        self.in_reactor = workers.in_reactor
        self.block = workers.block
        self.wait = workers.wait
        self.insist = workers.insist
        self.closed = False
        self.loop = loop_of(clock)
        self.now = now
        self._clock = clock

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` after some seconds. Thread: reactor."""
        return self._clock.callLater(seconds, function, *args)

    def close(self) -> None:
        """Let nobody begin to wait any more. Who waits already is not disturbed. Thread: reactor."""
        self.closed = True
