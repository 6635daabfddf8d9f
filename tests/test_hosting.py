"""What the server is to applications: hooks, status and shutdown, through requests."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from skitai import was
from skitai.config import Settings
from skitai.constants import VERSION
from skitai.declare import Declaration
from skitai.hosting import Host, public_options, reactor_stopper
from skitai.mounting import dispatcher
from skitai.testing import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.workers import InlineWorkers
from skitai.was.context import Was, current, registry
from skitai.web.site import ServerFactory
from skitai.web.wsgi import Services
from tests.web.exchanges import make_exchange
from tests.web.serving import request, split

Start = Callable[..., Any]


class Served:
    """One server in memory, put together as ``skitai.server`` does."""

    def __init__(self, *mounts: Any, **settings: Any) -> None:
        self.reactor = Reactor()
        self.stops: list[str] = []
        self.settings = Settings(threads=0, **settings)
        workers = InlineWorkers(self.reactor)
        declaration = Declaration("/")
        for mount in mounts:
            declaration.add_mount(*mount, origin={})
        self.host = Host(self.settings, workers, lambda: self.stops.append("stop"))
        services = Services(workers, self.settings.limits, self.settings.compression, 0, io.StringIO(), self.host.enter)
        dispatch = dispatcher(self.settings, declaration, services, self.host)
        self.factory = ServerFactory(dispatch, self.settings.limits, self.reactor, workers, lambda exchange: None)
        self.host.traffic = self.factory

    def get(self, path: str) -> tuple[str, str]:
        """Return status line and body of the answer to one request."""
        pump = BytePump(self.factory.buildProtocol(None), None, self.reactor)
        pump.send(request(path, "Connection: close"))
        status, _, body = split(pump.client.take())
        pump.close()
        return status, body.decode()


def answering(answer: Callable[[Was], object]) -> Any:
    """Return an application that answers with what a function makes of ``was``."""

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [str(answer(environ["skitai.was"])).encode()]

    return app


class Shop:
    """An application with hooks."""

    debug = True

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def __call__(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        return answering(lambda was: was.engine_of_test)(environ, start_response)  # type: ignore[no-any-return]

    def skitai_startup(self, wasc: Any) -> None:
        if self.fails:
            raise ValueError("no <engine>")
        wasc.register("engine_of_test", f"engine at port {wasc.config.port}")


class Running:
    """Runs two coroutines."""

    def busy(self) -> list[object]:
        return [object(), object()]


class HostTests(SynchronousTestCase):
    """Requests to applications that have hooks."""

    def served(self, *mounts: Any, **settings: Any) -> Served:
        made = Served(*mounts, **settings)
        made.host.start()
        self.addCleanup(made.host.end)
        return made

    def test_what_one_registers_all_see(self) -> None:
        """In requests, and outside of any."""
        served = self.served(("/shop", Shop()), ("/other", answering(lambda _: was.engine_of_test)), port=5001)
        for path in ("/shop/", "/other/"):
            self.assertEqual(served.get(path), ("HTTP/1.1 200 OK", "engine at port 5001"))
        self.assertEqual(was.engine_of_test, "engine at port 5001")
        served.host.end()
        self.assertNotIn("engine_of_test", registry)

    def test_a_failing_startup_is_503_and_the_others_serve(self) -> None:
        served = self.served(("/bad", Shop(True)), ("/good", answering(lambda _: "fine")))
        status, body = served.get("/bad/")
        self.assertEqual(status, "HTTP/1.1 503 Service Unavailable")
        self.assertIn("no &lt;engine&gt;", body)
        self.assertEqual(served.get("/good/")[1], "fine")

    def test_was_knows_its_server(self) -> None:
        served = self.served(("/", answering(lambda was: was.status())), max_queued=31)
        other = self.served(("/", answering(lambda _: "other")), max_queued=32)
        self.assertIn("<td>31</td>", served.get("/")[1])
        self.assertIn("<td>32</td>", was.status())
        other.host.end()
        self.assertIn("<td>31</td>", was.status())

    def test_status_counts_what_runs(self) -> None:
        served = self.served(("/", answering(lambda was: was.status())))
        served.host._runtime = Running()  # type: ignore[assignment]
        page = served.get("/")[1]
        self.assertIn("<tr><th>Requests answered by coroutines</th><td>2</td></tr>", page)
        self.assertIn("<tr><th>Calls in threads</th><td>0</td></tr>", page)

    def test_shutdown(self) -> None:
        """The answer is on its way before the server is told."""
        served = self.served(("/", answering(lambda was: [was.shutdown(), was.shutdown(), served.stops])))
        self.assertEqual(served.get("/")[1], "[None, None, []]")
        served.reactor.advance(0)
        self.assertEqual(served.stops, ["stop"])
        was.shutdown()
        served.reactor.advance(0)
        self.assertEqual(served.stops, ["stop"])

    def test_runtime(self) -> None:
        class Runtime:
            def later(self, coroutine: Any) -> Any:
                return ("later", coroutine)

            def in_thread(self, function: Any, *args: Any) -> Any: ...

        host = Host(Settings(), InlineWorkers(Reactor()), lambda: None, runtime=Runtime())
        coroutine: Any = 5
        self.addCleanup(current.set, current.get())
        self.assertEqual(host.enter(make_exchange(), {}).later(coroutine), ("later", 5))

    def test_loggers(self) -> None:
        opened: list[Any] = []
        workers = InlineWorkers(Reactor())
        host = Host(Settings(), workers, lambda: None, lambda name, freq: opened.append((name, freq)))
        host.wasc.logger.make_logger("login", "daily")
        self.assertEqual(opened, [("login", "daily")])
        host = Host(Settings(), workers, lambda: None)
        host.wasc.logger.make_logger("login", "daily")
        self.assertRaises(ValueError, host.wasc.logger.make_logger, "login", "hourly")


class StatusTests(SynchronousTestCase):
    """What was.status() tells."""

    def test_facts(self) -> None:
        served = Served(("/", Shop(True)), ("/a", "/tmp"), ("/b", answering(lambda was: ""), "app", None, "x.com"))
        served.host.aliases = ["@db"]
        served.host.start()
        self.addCleanup(served.host.end)
        registry.register("engine_of_test", 1)
        self.addCleanup(registry.drop, "engine_of_test", 1)
        served.get("/")
        facts = served.host.facts()
        self.assertEqual(facts["Server"]["Skitai"], VERSION)
        self.assertEqual((facts["Server"]["Requests served"], facts["Server"]["Open connections"]), (1, 0))
        self.assertRegex(facts["Server"]["Running for"], r"^0:00:\d\d$")
        keys = ("Mount point", "Host", "Target", "Kind", "Debug", "State")
        self.assertEqual(
            [tuple(mount[key] for key in keys) for mount in facts["Mounts"]],
            [
                ("/", "any", "Shop", "app", True, "failed"),
                ("/a", "any", "/tmp", "static", None, "serving"),
                ("/b", "x.com", "app", "app", False, "serving"),
            ],
        )
        self.assertEqual(facts["Aliases"], ["@db"])
        self.assertIn("engine_of_test", facts["Registered objects"])
        self.assertEqual((facts["Options"]["threads"], facts["Options"]["log_rotate_size"]), ("0", "64M"))
        self.assertIsNone(facts["Options"]["logpath"])
        self.assertIn("Mount point", was.status())

    def test_no_secrets(self) -> None:
        settings = Settings(passphrase="open sesame")
        host = Host(settings, InlineWorkers(Reactor()), lambda: None)
        self.assertNotIn("passphrase", dict(public_options(settings)))
        self.assertNotIn("passphrase", host.wasc.config)
        for text in (repr(host.facts()), repr(host.wasc.config)):
            self.assertNotIn("sesame", text)

    def test_config_has_every_other_option_by_its_name(self) -> None:
        config = Host(Settings(port=7), InlineWorkers(Reactor()), lambda: None).wasc.config
        self.assertEqual((config.port, config.compression, config.logpath), (7, True, None))


class ReactorStopperTests(SynchronousTestCase):
    """Stopping a reactor at any time."""

    def test_once_it_runs(self) -> None:
        reactor = Reactor()
        stops: list[str] = []
        self.patch(reactor, "stop", lambda: stops.append("stop"))
        reactor_stopper(reactor)()
        for function, arguments, keywords in reactor.whenRunningHooks:
            function(*arguments, **keywords)
        self.assertEqual(stops, ["stop"])

    def test_when_it_stops_already(self) -> None:
        class Stopping:
            def callWhenRunning(self, function: Callable[[], object]) -> None:
                function()

            def stop(self) -> None:
                raise ReactorNotRunning

        reactor_stopper(Stopping())()
