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
from skitai.was import context as context_module
from skitai.was.context import NOT_AVAILABLE, OF_FRAMEWORK, Outside, Was, attach, current, detach, is_reserved, registry
from skitai.was.loggers import current_mark
from skitai.was.outgoing import VERBS
from skitai.was.wasc import Wasc
from skitai.web.transaction import fresh_gtxn, handed_on
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


class SettingTests(_WasTestCase):
    """``was`` is a module, which all requests share."""

    def test_what_is_set_is_set_for_the_current_request_alone(self) -> None:
        first = self.enter()
        was.user = "ann"  # type: ignore[attr-defined]
        self.assertEqual((first.user, was.user), ("ann", "ann"))
        self.enter()
        self.assertIsNone(was.user)

    def test_what_was_has_not_can_not_be_set(self) -> None:
        self.assertRaises(AttributeError, setattr, was, "user", "ann")
        self.enter()
        self.assertRaises(AttributeError, setattr, was, "basket", [])


class OutsideTests(_WasTestCase):
    def test_log(self) -> None:
        was.log("starting {with} braces %s")
        self.assertEqual(self.logged(), ["starting {with} braces %s"])

    def test_names_bound_to_a_request(self) -> None:
        for name in ("env", "gtxnid", "ltxnid", "user", "later", "in_thread", "request", "render", "g"):
            with self.subTest(name):
                error = self.assertRaises(RuntimeError, getattr, was, name)
                self.assertIn(f"was.{name} needs a request", str(error))

    def test_not_available(self) -> None:
        for name in ("grpc", "ws", "postgresql", "redis", "email"):
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

    def test_xml(self) -> None:
        self.assertEqual(was.fromxml(was.toxml((1, "é"))), was.fromxml(was.toxml((1, "é"), 1), 1))
        self.assertRaises(ValueError, was.fromxml, "<params>")

    def test_grpc(self) -> None:
        class Message:
            def SerializeToString(self) -> bytes:
                return b"wire"

        self.assertEqual(was.togrpc(Message()), b"wire")
        self.assertRaises(TypeError, was.togrpc, 5)
        self.assertRaises(TypeError, was.fromgrpc, b"wire", 5)

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

    def test_no_two_calls_get_the_same_id(self) -> None:
        """A view, its handlers and its callbacks share one ``was``; here one call overtakes another."""
        context = self.enter((b"x-gtxn-id", b"G"))
        found: list[Any] = []

        def overtaken(exchange: Any) -> Any:
            self.patch(context_module, "handed_on", handed_on)
            found.append(context.next_call_headers())
            return handed_on(exchange)

        self.patch(context_module, "handed_on", overtaken)
        found += [context.next_call_headers() for _ in range(2)]
        self.assertEqual([dict(headers)[b"x-ltxn-id"] for headers in found], [b"2001", b"2002", b"2003"])

    def test_outside_of_a_request_calls_bear_none(self) -> None:
        self.assertEqual(was.next_call_headers(), [])

    def test_the_mark_of_log_lines(self) -> None:
        self.assertEqual(current_mark(), "")
        self.enter((b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"2001"))
        self.assertEqual(current_mark(), "G/2001 ")

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
        self.assertRaises(NotAvailable, getattr, was, "db")
        self.assertRaises(NotAvailable, getattr, context, "db")
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


class _Link:
    """A server that was.status() can ask."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stops = 0

    def facts(self) -> dict[str, Any]:
        return {"Server": {"Name": f"<{self.name}>"}}

    def stop(self) -> None:
        self.stops += 1


class ServerTests(_WasTestCase):
    """What the server is asked for."""

    def attach(self, name: str) -> _Link:
        link = _Link(name)
        attach(link)
        self.addCleanup(detach, link)
        return link

    def test_no_server(self) -> None:
        self.patch(context_module, "_servers", [])
        for name in ("status", "shutdown"):
            error = self.assertRaises(RuntimeError, getattr(was, name))
            self.assertIn(f"was.{name}() needs a server that runs", str(error))

    def test_the_last_one_that_was_started(self) -> None:
        first, second = self.attach("first"), self.attach("second")
        self.assertIn("&lt;second&gt;", was.status())
        was.shutdown()
        detach(second)
        detach(second)
        self.assertIn("&lt;first&gt;", was.status())
        self.assertEqual((first.stops, second.stops), (0, 1))

    def test_that_of_the_request(self) -> None:
        own, other = _Link("own"), self.attach("other")
        current.set(Was(make_exchange(), {}, link=own))
        self.assertIn("&lt;own&gt;", was.status())
        was.shutdown()
        self.assertEqual((own.stops, other.stops), (1, 0))


class FrameworkTests(_WasTestCase):
    """Names that the framework stands behind."""

    def test_without_saddle(self) -> None:
        self.enter()
        for name in ("request", "session", "render", "jstream"):
            error = self.assertRaises(RuntimeError, getattr, was, name)
            self.assertIn(f"was.{name} needs Saddle", str(error))

    def test_with_saddle(self) -> None:
        class Framework:
            request = "the request"
            secret = "not one of the names"

        context = self.enter()
        context.framework = Framework()
        self.assertEqual(was.request, "the request")
        self.assertRaises(AttributeError, getattr, was, "secret")
        self.assertRaises(AttributeError, getattr, was, "session")
        context.framework = None
        self.assertRaises(RuntimeError, getattr, was, "request")

    def test_names_are_either_available_or_not(self) -> None:
        for name in NOT_AVAILABLE | OF_FRAMEWORK:
            self.assertFalse(hasattr(Was, name), name)
        self.assertEqual(NOT_AVAILABLE & OF_FRAMEWORK, frozenset())


class UserTests(_WasTestCase):
    """The user of the request log."""

    def test_user(self) -> None:
        exchange = make_exchange()
        context = Was(exchange, {})
        self.assertIsNone(context.user)
        context.user = "ann"
        self.assertEqual((exchange.user, context.user), ("ann", "ann"))
        context.user = ""
        self.assertIsNone(exchange.user)

    def test_what_is_no_name(self) -> None:
        context = Was(make_exchange(), {})
        error = self.assertRaises(TypeError, setattr, context, "user", b"ann")
        self.assertIn("b'ann'", str(error))


class RuntimeTests(_WasTestCase):
    """Coroutines go to whoever runs them."""

    def test_runtime(self) -> None:
        class Runtime:
            def later(self, coroutine: Any) -> Any:
                return ("later", coroutine)

            def in_thread(self, function: Any, *args: Any) -> Any:
                return ("in_thread", function, args)

        coroutine: Any = object()
        context = Was(make_exchange(), {}, Runtime())
        self.assertEqual(context.later(coroutine), ("later", coroutine))
        self.assertEqual(context.in_thread(len, 1, 2), ("in_thread", len, (1, 2)))  # type: ignore[comparison-overlap]

    def test_none(self) -> None:
        context = self.enter()
        for call in (lambda: context.later(object()), lambda: context.in_thread(len)):  # type: ignore[arg-type]
            self.assertIn("needs a server that runs coroutines", str(self.assertRaises(RuntimeError, call)))


class SharedTests(_WasTestCase):
    """What applications register for each other."""

    def register(self, name: str, value: object) -> None:
        registry.register(name, value)
        self.addCleanup(registry.drop, name, value)

    def test_inside_and_outside(self) -> None:
        self.register("engine_of_test", 5)
        self.assertEqual(was.engine_of_test, 5)
        self.assertEqual(self.enter().engine_of_test, 5)
        self.assertEqual(was.engine_of_test, 5)

    def test_none_is_something(self) -> None:
        self.register("nothing_of_test", None)
        self.assertIsNone(was.nothing_of_test)

    def test_names_that_are_taken(self) -> None:
        taken = ["get", "postform", "rpc", "gather", "redis", "aresponse"]
        taken += ["log", "request", "restart", "env", "later", "user", "framework"]
        taken += ["context", "loggers", "statuspage", "coroutines", "wasc"]  # modules of the package hide everything
        for name in taken:
            error = self.assertRaises(ValueError, registry.register, name, 1)
            self.assertIn(f"was.{name} is something else already", str(error))

    def test_everything_that_was_and_wasc_have_is_taken(self) -> None:
        public = {name for kind in (Outside, Was, Wasc) for name in dir(kind) if not name.startswith("_")}
        names = public | NOT_AVAILABLE | OF_FRAMEWORK | VERBS.keys()
        self.assertEqual([name for name in names if not is_reserved(name)], [])

    def test_the_package_hides_nothing_else(self) -> None:
        """Only its modules and what its annotations need are variables of the package."""
        self.assertTrue(is_reserved("Any"))
        self.assertFalse(is_reserved("current"))
        self.assertFalse(is_reserved("engine"))
