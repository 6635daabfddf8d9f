"""Signal handlers and the watchdog, called as the process would call them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai import signals
from skitai.signals import GRACE, Actions, Interrupted, Signals, Watchdog, prepare_exec


class Reactor:
    """Collects what it is asked to call."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.hooks: list[Callable[[], Any]] = []

    def callFromThread(self, function: Callable[[], Any]) -> None:
        self.calls.append(function)

    def callWhenRunning(self, function: Callable[[], Any]) -> None:
        self.hooks.append(function)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class FakeWatchdog(Watchdog):
    def __init__(self) -> None:
        super().__init__(0.0, lambda: None, lambda status: None)
        self.armed = 0

    def arm(self) -> None:
        self.armed += 1


class SignalTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.watchdog = FakeWatchdog()
        self.events: list[object] = []
        self.signals = Signals(
            self.reactor,
            self.watchdog,
            self.actions(lambda: self.events.append("flush")),
            self.events.append,
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def actions(self, flush: Callable[[], object]) -> Actions:
        return Actions(lambda: self.events.append("stop"), lambda: self.events.append("reopen"), flush)


class InstallTests(SignalTestCase):
    def test_waits_until_the_reactor_has_installed_its_own(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        self.signals.startService()
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)
        (hook,) = self.reactor.hooks
        hook()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(signal.getsignal(number), self.signals.on_stop)
        self.assertEqual(signal.getsignal(signal.SIGUSR1), self.signals.on_reopen)

    def test_before_the_start_a_signal_interrupts_what_the_main_thread_does(self) -> None:
        signals.interrupt_start()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertRaises(Interrupted, signal.raise_signal, number)
        self.assertFalse(issubclass(Interrupted, Exception), "applications could catch it by accident")


class StopTests(SignalTestCase):
    def test_the_first_signal_stops_the_server_from_within_the_reactor(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.setUp()
            self.assertFalse(self.signals.came)
            self.signals.on_stop(number)
            self.assertEqual((self.signals.came, self.events), (True, []))
            self.reactor.turn()
            self.assertEqual(self.events, ["stop"])
            self.assertEqual(self.watchdog.armed, 1)

    def test_the_second_signal_flushes_and_ends_the_process(self) -> None:
        self.signals.on_stop(signal.SIGTERM)
        self.signals.on_stop(signal.SIGTERM)
        self.assertEqual(self.events, ["flush", 143])

    def test_the_second_may_be_another_one(self) -> None:
        self.signals.on_stop(signal.SIGTERM)
        self.signals.on_stop(signal.SIGINT)
        self.assertEqual(self.events, ["flush", 130])

    def test_the_second_works_although_the_reactor_is_stuck(self) -> None:
        self.signals.on_stop(signal.SIGTERM)
        self.assertEqual(len(self.reactor.calls), 1)  # not called yet
        self.signals.on_stop(signal.SIGTERM)
        self.assertEqual(self.events[-1], 143)

    def test_the_second_ends_the_process_even_when_flushing_fails(self) -> None:
        left: list[int] = []

        def flush() -> None:
            raise RuntimeError("reentered")

        handler = Signals(self.reactor, self.watchdog, self.actions(flush), left.append)
        handler.on_stop(signal.SIGTERM)
        self.assertRaises(RuntimeError, handler.on_stop, signal.SIGTERM)
        self.assertEqual(left, [143])

    def test_the_first_signal_after_another_kind_of_stop_is_no_second_one(self) -> None:
        """The server restarts, which is to become a stop, as graceful; or it stops already."""
        self.signals.startService()
        self.reactor.hooks[0]()
        self.signals.stopService()
        self.assertEqual((self.watchdog.armed, self.signals.came), (1, False))
        self.signals.on_stop(signal.SIGTERM)
        self.reactor.turn()
        self.assertEqual(self.events, ["stop"])
        self.signals.on_stop(signal.SIGTERM)
        self.assertEqual(self.events, ["stop", "flush", 143])

    def test_a_service_that_never_ran_arms_nothing(self) -> None:
        self.signals.startService()
        self.signals.stopService()
        self.assertEqual(self.watchdog.armed, 0)


class ReopenTests(SignalTestCase):
    def test_usr1_reopens_in_the_reactor(self) -> None:
        self.signals.on_reopen(signal.SIGUSR1)
        self.assertEqual(self.events, [])
        self.reactor.turn()
        self.assertEqual(self.events, ["reopen"])


class ExecTests(SignalTestCase):
    def test_what_comes_before_the_next_program_is_ready(self) -> None:
        self.signals.install()
        prepare_exec()
        self.assertEqual(signal.getsignal(signal.SIGUSR1), signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)


class WatchdogTests(SynchronousTestCase):
    def test_says_its_last_words_and_ends_with_status_zero(self) -> None:
        events: list[object] = []
        Watchdog(1.0, lambda: events.append("words"), events.append).end()
        self.assertEqual(events, ["words", 0])

    def test_ends_although_the_last_words_fail(self) -> None:
        left: list[int] = []

        def fail() -> None:
            raise ValueError

        self.assertRaises(ValueError, Watchdog(1.0, fail, left.append).end)
        self.assertEqual(left, [0])

    def test_waits_a_little_longer_than_the_deadline_in_one_thread_of_its_own(self) -> None:
        slept: list[float] = []
        over = threading.Event()
        self.patch(signals.time, "sleep", slept.append)
        watchdog = Watchdog(10.0, lambda: None, lambda status: over.set())
        watchdog.arm()
        watchdog.arm()
        self.assertTrue(over.wait(10))
        self.assertEqual(slept, [10.0 + GRACE])
