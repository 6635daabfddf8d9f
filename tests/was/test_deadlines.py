"""One timer for many deadlines: nobody expires too early, nor much too late, nor twice."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.deadlines import RESOLUTION, Deadlines


class Entry:
    def __init__(self, deadline: float, log: list[float], then: Callable[[], object] = lambda: None) -> None:
        self.deadline = deadline
        self.log = log
        self.then = then

    def expire(self) -> None:
        self.log.append(self.deadline)
        self.then()


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.log: list[float] = []

    def add(self, deadline: float, then: Callable[[], object] = lambda: None) -> Entry:
        entry = Entry(deadline, self.log, then)
        self.deadlines.add(entry)
        return entry

    def test_in_time_whatever_the_order(self) -> None:
        for deadline in (5.0, 1.0, 3.0, 0.0):
            self.add(deadline)
        for now, expired in ((0.0, 1), (0.9, 1), (1.0, 2), (2.9, 2), (3.0, 3), (5.0, 4)):
            self.clock.advance(now - self.clock.seconds())
            self.assertEqual(len(self.log), expired, now)
        self.assertEqual((self.log, len(self.deadlines)), ([0.0, 1.0, 3.0, 5.0], 0))

    def test_discarded(self) -> None:
        entry = self.add(1.0)
        self.deadlines.discard(entry)
        self.deadlines.discard(entry)
        self.clock.advance(2)
        self.assertEqual(self.log, [])

    def test_one_timer_for_many_that_come_and_go(self) -> None:
        for number in range(1000):
            self.deadlines.discard(self.add(10.0 + number / 1000))
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_ones_are_looked_at_together(self) -> None:
        for number in range(100):
            self.add(1.0 + number * RESOLUTION / 100)
        looks = 0
        while self.deadlines:
            self.clock.advance(self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds())
            looks += 1
        self.assertLessEqual(looks, 3)
        self.assertLessEqual(self.clock.seconds(), 1.0 + 2 * RESOLUTION)

    def test_expiring_may_discard_and_add_others(self) -> None:
        late = self.add(9.0)
        self.add(1.0, lambda: (self.deadlines.discard(second), self.deadlines.discard(late), self.add(2.0)))
        second = self.add(1.0)
        self.clock.advance(1)
        self.assertEqual(self.log, [1.0])
        self.clock.advance(1)
        self.assertEqual(self.log, [1.0, 2.0])
        self.clock.advance(10)
        self.assertEqual(self.log, [1.0, 2.0])

    def test_one_that_raises_does_not_keep_the_others(self) -> None:
        self.add(1.0, lambda: 1 / 0)
        self.add(1.0)
        self.add(2.0)
        self.clock.advance(1)
        self.assertEqual(self.log, [1.0, 1.0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(1)
        self.assertEqual(self.log, [1.0, 1.0, 2.0])

    def test_stop(self) -> None:
        self.add(1.0)
        self.deadlines.stop()
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.add(2.0)
        self.clock.advance(3)
        self.assertEqual(len(self.log), 2)
