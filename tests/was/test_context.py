"""``was`` inside and outside of requests."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skitai import was
from skitai.errors import NotAvailable
from skitai.was.context import Was, current
from skitai.web.transaction import fresh_gtxn
from tests.web.exchanges import make_exchange


@implementer(ILogObserver)
class _AppEvents:
    """Collects what applications log."""

    def __init__(self) -> None:
        self.seen: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "skitai.app":
            self.seen.append(event)


class _WasTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(current.set, current.get())
        current.set(None)
        observer = _AppEvents()
        self.events = observer.seen
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def logged(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def enter(self, *headers: tuple[bytes, bytes], **environ: Any) -> Was:
        context = Was(make_exchange(list(headers)), environ)
        current.set(context)
        return context


class OutsideTests(_WasTestCase):
    def test_log(self) -> None:
        was.log("starting {with} braces %s")
        self.assertEqual(self.logged(), ["starting {with} braces %s"])

    def test_names_bound_to_a_request(self) -> None:
        for name in ("env", "gtxnid", "ltxnid"):
            with self.subTest(name):
                error = self.assertRaises(RuntimeError, getattr, was, name)
                self.assertIn(f"was.{name} needs a request", str(error))

    def test_not_available(self) -> None:
        for name in ("get", "postjson", "postgresql", "status", "request"):
            with self.subTest(name):
                error = self.assertRaises(NotAvailable, getattr, was, name)
                self.assertIn(f"was.{name} is not available", str(error))

    def test_unknown(self) -> None:
        self.assertFalse(hasattr(was, "gett"))
        self.assertFalse(hasattr(was, "__wrapped__"))

    def test_json(self) -> None:
        self.assertEqual(was.fromjson(was.tojson({"a": [1, None, "é"]})), {"a": [1, None, "é"]})
        self.assertRaises(TypeError, was.tojson, object())
        self.assertRaises(ValueError, was.fromjson, "{")

    def test_traceback_without_exception(self) -> None:
        was.traceback()
        self.assertEqual(self.logged(), ["was.traceback() was called while no exception is handled"])


class InsideTests(_WasTestCase):
    def test_environment(self) -> None:
        context = self.enter(REQUEST_METHOD="GET")
        self.assertIs(was.env, context.env)
        self.assertEqual(was.env["REQUEST_METHOD"], "GET")

    def test_ids(self) -> None:
        self.enter()
        self.assertEqual((was.gtxnid, was.ltxnid), (fresh_gtxn(3, 5), 1000))
        self.enter((b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"2001"))
        self.assertEqual((was.gtxnid, was.ltxnid), ("G", 2001))

    def test_outgoing_calls_are_counted(self) -> None:
        self.enter((b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"2001"))
        self.assertEqual([dict(was.next_call_headers())[b"x-ltxn-id"] for _ in range(3)], [b"3002", b"3003", b"3004"])

    def test_log_bears_the_ids(self) -> None:
        self.enter((b"x-gtxn-id", b"{G}"))
        was.log("called {index}")
        self.assertEqual(self.logged(), ["{G}/1000 called {index}"])

    def test_categories(self) -> None:
        self.enter((b"x-gtxn-id", b"G"))
        for category in ("debug", "info", "warn", "warning", "error", "critical", "fatal", "sale"):
            was.log(b"caf\xc3\xa9 \xff", category)
        levels = [event["log_level"] for event in self.events]
        self.assertEqual(
            levels,
            [
                LogLevel.debug,
                LogLevel.info,
                LogLevel.warn,
                LogLevel.warn,
                LogLevel.error,
                LogLevel.critical,
                LogLevel.critical,
                LogLevel.info,
            ],
        )
        self.assertEqual(self.logged()[0], "G/1000 café \\xff")
        self.assertEqual(self.logged()[-1], "G/1000 sale: café \\xff")

    def test_traceback(self) -> None:
        self.enter((b"x-gtxn-id", b"G"))
        for mark in ("", "look-here"):
            try:
                raise ValueError("{braces}")
            except ValueError:
                was.traceback(mark)
        first, second = self.logged()
        self.assertTrue(first.startswith("G/1000 Traceback (most recent call last):\n"))
        self.assertTrue(first.endswith("\nValueError: {braces}"))
        self.assertTrue(second.startswith("look-here Traceback"))
        self.assertEqual({event["log_level"] for event in self.events}, {LogLevel.error})

    def test_not_available(self) -> None:
        context = self.enter()
        self.assertRaises(NotAvailable, getattr, was, "get")
        self.assertRaises(NotAvailable, getattr, context, "get")
        self.assertRaises(AttributeError, getattr, context, "gett")

    def test_each_context_has_its_own(self) -> None:
        self.enter((b"x-gtxn-id", b"outer"))
        other = contextvars.copy_context()
        other.run(self.enter, (b"x-gtxn-id", b"inner"))
        self.assertEqual((was.gtxnid, other.run(getattr, was, "gtxnid")), ("outer", "inner"))

    def test_another_thread_is_outside(self) -> None:
        self.enter()
        caught: list[bool] = []
        thread = threading.Thread(target=lambda: caught.append(current.get() is None))
        thread.start()
        thread.join()
        self.assertEqual(caught, [True])

    def test_nothing_is_computed_before_it_is_asked_for(self) -> None:
        exchange = make_exchange()
        Was(exchange, {})
        self.assertIsNone(exchange.gtxn)
