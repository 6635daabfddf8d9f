"""What connections share: the sweep over deadlines, the Date line, draining."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.settings import Limits
from skitai.testing.clock import Reactor
from skitai.testing.workers import InlineWorkers
from skitai.web.channel import HTTPChannel
from skitai.web.site import SWEEP_PERIOD, ServerFactory


class Channel:
    """A connection with a deadline."""

    def __init__(self, deadline: float, broken: bool = False) -> None:
        self.deadline = deadline
        self.broken = broken
        self.draining = False
        self.calls: list[object] = []

    def expired(self, now: float) -> None:
        self.calls.append(now)
        if self.broken:
            raise ValueError("our own fault")
        self.deadline = now + 1.0

    def drain(self) -> None:
        self.calls.append("drain")

    def abort(self) -> None:
        self.calls.append("abort")
        self.deadline = float("inf")


class SiteTestCase(SynchronousTestCase):
    """Has a factory on a clock that stands still."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.wall = 784111777.25
        self.site: Any = ServerFactory(
            lambda exchange: None, Limits(), self.reactor, InlineWorkers(self.reactor), lambda exchange: None, self.now
        )

    def now(self) -> float:
        return self.wall

    def open(self, *args: Any, **keywords: Any) -> Channel:
        channel = Channel(*args, **keywords)
        self.site.opened(channel)
        return channel


class SweepTests(SiteTestCase):
    """One timer for all deadlines."""

    def test_what_has_expired_is_told_and_nobody_else(self) -> None:
        soon, late = self.open(1.0), self.open(100.0)
        self.reactor.pump([SWEEP_PERIOD] * 3)
        self.assertEqual((soon.calls, late.calls), ([], []))
        self.reactor.advance(SWEEP_PERIOD)
        self.assertEqual((soon.calls, late.calls), ([1.0], []))

    def test_again_and_again(self) -> None:
        channel = self.open(0.0)
        self.reactor.pump([SWEEP_PERIOD] * 20)
        self.assertEqual(channel.calls, [0.25, 1.25, 2.25, 3.25, 4.25])

    def test_no_timer_without_connections(self) -> None:
        channel = self.open(0.0)
        self.site.closed(channel)
        self.reactor.advance(SWEEP_PERIOD)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        again = self.open(0.0)
        self.reactor.advance(SWEEP_PERIOD)
        self.assertEqual(len(again.calls), 1)

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        channels = [self.open(0.0, broken=number % 2 == 0) for number in range(6)]
        self.reactor.advance(SWEEP_PERIOD)
        self.assertEqual([len(channel.calls) for channel in channels], [2, 1, 2, 1, 2, 1])
        self.assertEqual(channels[0].calls[1], "abort")
        self.reactor.pump([SWEEP_PERIOD] * 4)
        self.assertEqual(len(channels[1].calls), 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)


class ConnectionTests(SiteTestCase):
    """Counting connections, and ending them."""

    def test_numbers(self) -> None:
        self.assertEqual([self.site.opened(Channel(1.0)) for _ in range(3)], [1, 2, 3])

    def test_channels_are_made(self) -> None:
        channel = self.site.buildProtocol(None)
        self.assertIsInstance(channel, HTTPChannel)
        self.assertEqual(self.site.channels, set())

    def test_drain(self) -> None:
        first, second = self.open(100.0), self.open(100.0)
        done = self.site.drain()
        self.assertIs(self.site.drain(), done)
        self.assertEqual((first.calls, second.calls), (["drain"], ["drain"]))
        late = self.open(100.0)
        self.assertTrue(late.draining)
        for channel in (first, second):
            self.site.closed(channel)
            self.assertNoResult(done)
        self.site.closed(late)
        self.successResultOf(done)
        self.site.closed(late)

    def test_abort(self) -> None:
        channels = [self.open(100.0) for _ in range(3)]
        self.site.abort()
        self.assertEqual([channel.calls for channel in channels], [["abort"]] * 3)


class DateTests(SiteTestCase):
    """The lines that all responses share."""

    def test_made_anew_when_the_second_is_over(self) -> None:
        first = self.site.common_lines(0.0)
        self.assertEqual(first, b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Skitai\r\n")
        self.wall += 0.7
        self.assertIs(self.site.common_lines(0.7), first)
        self.wall += 0.05
        self.assertIn(b"08:49:38", self.site.common_lines(0.75))
