"""Tests of ``skitai.testing.clock``."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Clock, Reactor


class ReactorTests(SynchronousTestCase):
    """The reactor that stands still."""

    def test_time(self) -> None:
        """Time passes only in ``advance``."""
        reactor = Reactor()
        done: list[str] = []
        reactor.callLater(30, done.append, "late")
        reactor.advance(29)
        self.assertEqual(done, [])
        reactor.advance(1)
        self.assertEqual(done, ["late"])
        self.assertEqual(reactor.seconds(), 30)

    def test_calls_from_threads(self) -> None:
        """Calls from threads wait for the next turn and keep their order."""
        reactor = Reactor()
        done: list[object] = []
        reactor.callFromThread(done.append, 1)
        reactor.callFromThread(lambda *args, **kwargs: done.append((args, kwargs)), 2, key=3)
        self.assertEqual(done, [])
        reactor.advance(0)
        self.assertEqual(done, [1, ((2,), {"key": 3})])

    def test_interfaces(self) -> None:
        """It can be handed to whatever takes a clock or a reactor that threads wake."""
        self.assertTrue(IReactorTime.providedBy(Reactor()))
        self.assertTrue(IReactorFromThreads.providedBy(Reactor()))
        self.assertTrue(IReactorTime.providedBy(Clock()))

    def test_system_event(self) -> None:
        """Triggers run in the order of their phases, those of other events do not."""
        reactor = Reactor()
        done: list[str] = []
        for phase in ("after", "before", "during"):
            reactor.addSystemEventTrigger(phase, "shutdown", done.append, phase)
        reactor.addSystemEventTrigger("before", "startup", done.append, "other")
        reactor.fireSystemEvent("shutdown")
        self.assertEqual(done, ["before", "during", "after"])
