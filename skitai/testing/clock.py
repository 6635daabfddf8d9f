"""A reactor that stands still: no sockets, no threads, and time passes only when the test says so.

It must not know anything of the server. Thread: the one that runs the test.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

__all__ = ["Clock", "Reactor"]


@implementer(IReactorFromThreads)
class Reactor(MemoryReactorClock):
    """Twisted's memory reactor with a clock, and with the call that other threads make.

    What is to happen "soon" happens at the next ``advance``, also ``advance(0)``. Everything that
    ``twisted.internet.testing.MemoryReactor`` records (``tcpServers``, ``triggers`` ...) is there.

    Example::

        reactor = Reactor()
        done = []
        reactor.callLater(30, done.append, "late")
        reactor.advance(30)
        assert done == ["late"]
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call ``callable`` at the next ``advance``, in the order of the calls."""
        self.callLater(0, callable, *args, **kwargs)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run what waits for a system event such as "shutdown": the triggers before, during and after it.

        Deferreds that triggers return are not waited for.
        """
        for phase in ("before", "during", "after"):
            for function, args, kwargs in self.triggers.get(phase, {}).get(eventType, []):
                function(*args, **kwargs)
