"""Requests leave together: the first at once, those that follow it closely at the end of the turn."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.outbox import CLOSELY, Outbox


class Sender:
    def __init__(self, name: str, log: list[str], then: Callable[[], object] | None = None) -> None:
        self.name = name
        self.log = log
        self.dead = False
        self.then = then

    def transmit(self, data: bytes) -> bool:
        if not self.dead:
            self.log.append(f"{self.name} {data.decode()}")
        return not self.dead

    def not_transmitted(self) -> None:
        self.log.append(f"{self.name} is dead")
        if self.then is not None:
            self.then()


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outbox = Outbox(self.clock)
        self.log: list[str] = []

    def post(self, name: str, data: bytes = b"1", at_once: bool = False) -> Sender:
        sender = Sender(name, self.log)
        self.outbox.post(sender, data, at_once)
        return sender

    def test_the_first_leaves_at_once(self) -> None:
        self.post("a")
        self.assertEqual(self.log, ["a 1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_that_follow_leave_at_the_end_of_the_turn_in_order(self) -> None:
        for name in "abc":
            self.post(name)
        self.assertEqual(self.log, ["a 1"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.log, ["a 1", "b 1", "c 1"])
        self.assertEqual(len(self.outbox), 0)

    def test_closely_counts_from_the_last_that_left(self) -> None:
        self.post("a")
        self.post("b")
        self.clock.advance(CLOSELY)
        self.post("c")  # b has left just now
        self.assertEqual(self.log, ["a 1", "b 1"])
        self.clock.advance(CLOSELY)
        self.clock.advance(CLOSELY)
        self.post("d")
        self.assertEqual(self.log, ["a 1", "b 1", "c 1", "d 1"])

    def test_none_overtakes_those_that_wait(self) -> None:
        self.post("a")
        self.post("b")
        self.clock.rightNow += 1  # a turn that takes long
        self.post("c")
        self.clock.advance(0)
        self.assertEqual(self.log, ["a 1", "b 1", "c 1"])

    def test_at_once(self) -> None:
        self.post("a")
        self.post("b")
        self.post("c", at_once=True)
        self.assertEqual(self.log, ["a 1", "c 1"])

    def test_a_clock_that_was_set_back(self) -> None:
        self.clock.rightNow = 1000.0
        self.post("a")
        self.clock.rightNow = 10.0
        self.post("b")
        self.assertEqual(self.log, ["a 1", "b 1"])

    def test_a_dead_one_is_told_afterwards(self) -> None:
        sender = Sender("a", self.log)
        sender.dead = True
        self.outbox.post(sender, b"1")
        self.assertEqual(self.log, [])
        self.clock.advance(0)
        self.assertEqual(self.log, ["a is dead"])

    def test_one_that_is_told_may_post_and_withdraw(self) -> None:
        other = Sender("c", self.log)

        def then() -> None:
            self.outbox.withdraw(other)
            self.outbox.post(Sender("d", self.log), b"1")

        self.post("a")
        dead = Sender("b", self.log, then)
        dead.dead = True
        self.outbox.post(dead, b"1")
        self.outbox.post(other, b"1")
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.log, ["a 1", "b is dead", "d 1"])

    def test_one_that_raises_does_not_hold_up_the_others(self) -> None:
        def fail(data: bytes) -> bool:
            raise RuntimeError("a fault of ours")

        self.post("a")
        self.post("b").transmit = fail  # type: ignore[method-assign]
        self.post("c")
        self.clock.advance(0)
        self.assertEqual(self.log, ["a 1", "c 1"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(1)
        self.post("d")
        self.assertEqual((self.log[-1], self.clock.getDelayedCalls()), ("d 1", []))

    def test_withdrawn(self) -> None:
        self.post("a")
        self.outbox.withdraw(self.post("b"))
        self.outbox.withdraw(Sender("c", self.log))
        self.clock.advance(0)
        self.assertEqual(self.log, ["a 1"])
