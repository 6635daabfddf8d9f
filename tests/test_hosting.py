"""What the server is to applications: hooks, status and shutdown, through requests."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from skitai import was
from skitai.aliases import make_alias
from skitai.config import Settings
from skitai.constants import VERSION
from skitai.declare import Declaration
from skitai.errors import ConfigError
from skitai.hosting import Host, public_options, reactor_stopper
from skitai.mounting import dispatcher
from skitai.testing import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.workers import InlineWorkers, SteppingWorkers
from skitai.was import context
from skitai.was.context import Was, current, registry
from skitai.web.site import ServerFactory
from skitai.web.wsgi import Services
from tests.was.backends import OK, Authority, Network, answer
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
        self.assertEqual((facts["Aliases"], facts["Connections to other servers"]), ([], []))
        self.assertIn("engine_of_test", facts["Registered objects"])
        self.assertEqual((facts["Options"]["threads"], facts["Options"]["log_rotate_size"]), ("0", "64M"))
        self.assertIsNone(facts["Options"]["logpath"])
        self.assertIn("Mount point", was.status())

    def test_facts_of_requests(self) -> None:
        """Whom they go to, how many there are, and which members are well."""
        network = Network()
        network.serve(lambda backend, message: None, "a.example", 8080)
        network.names["b.example"] = ["192.0.2.2"]
        aliases = [
            make_alias("@c", "http", ["a.example:8080 2", "b.example"], {}),
            make_alias("@d", "http", "c.example/x", {}),
        ]
        host = Host(Settings(), InlineWorkers(network), lambda: None)
        host.open(network, aliases, 5)
        host.start()
        self.addCleanup(host.end)
        network.advance(1)
        for _ in range(2):
            was.get("@c/slow")
            network.wait(0)
        facts = host.facts()
        self.assertEqual(facts["Server"]["Requests to other servers under way"], 2)
        self.assertEqual(facts["Server"]["Results kept"], 0)
        rows = [tuple(row.values()) for row in facts["Aliases"]]
        self.assertEqual(
            rows,
            [
                ("@c", "http", "a.example:8080", 2, 2, "up", None),
                ("@c", "http", "b.example:80", 1, 0, "down", "1 s"),
                ("@d", "http", "c.example:80", 1, 0, "up", None),
            ],
        )
        self.assertEqual(
            facts["Connections to other servers"],
            [{"server": "http://a.example:8080", "open": 2, "idle": 0, "connecting": 0, "waiting": 0}],
        )
        self.assertIn("<td>b.example:80</td><td>1</td><td>0</td><td>down</td><td>1 s</td>", was.status())
        self.assertNotIn("None", was.status())

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


class RequestTests(SynchronousTestCase):
    """Requests of was, as the server makes them possible and ends them."""

    def host(self, network: Network, *aliases: Any, **settings: Any) -> Host:
        host = Host(Settings(**settings), InlineWorkers(network), lambda: None)
        host.open(network, aliases, None)
        host.start()
        self.addCleanup(host.end)
        return host

    def test_a_hook_can_ask_but_not_wait(self) -> None:
        """It runs in the main thread, which is to be the reactor's; what it begins is done when that runs."""
        heard: list[Any] = []
        faults: list[str] = []

        class Asking:
            def __call__(self, environ: Any, start_response: Any) -> Any: ...

            def skitai_startup(self, wasc: Any) -> None:
                handle = wasc.get("http://a.example/", callback=lambda response: heard.append(response.status_code))
                was.get("http://a.example/", callback=(lambda response, name: heard.append(name), ("second",)))
                try:
                    handle.getwait()
                except RuntimeError as error:
                    faults.append(str(error))

        network = Network()
        network.serve(lambda backend, message: OK)
        host = Host(Settings(), InlineWorkers(network), lambda: None)
        declaration = Declaration("/")
        declaration.add_mount("/", Asking(), origin={})
        settings = Settings(threads=0)
        services = Services(InlineWorkers(network), settings.limits, settings.compression, 0, io.StringIO(), host.enter)
        dispatcher(settings, declaration, services, host)
        host.open(network, (), None)
        host.start()
        self.addCleanup(host.end)
        self.assertEqual(heard, [])
        network.wait(0)
        self.assertEqual(heard, [200, "second"])
        self.assertIn("hooks that run when the server starts or stops are called in it, too", faults[0])

    def test_before_the_server_is_there_and_after(self) -> None:
        self.patch(context, "_servers", [])  # other tests may have left some
        error = self.assertRaises(RuntimeError, lambda: was.get("http://a.example/"))
        self.assertIn("needs a server that runs", str(error))
        network = Network()
        host = self.host(network)
        host.end()
        error = self.assertRaises(RuntimeError, lambda: was.get("http://a.example/"))
        self.assertIn("needs a server that runs", str(error))
        self.assertEqual(network.getDelayedCalls(), [])

    def test_release_ends_all_requests(self) -> None:
        network = Network()
        network.serve(lambda backend, message: None)
        host = self.host(network)
        heard: list[Any] = []
        for _ in range(3):
            was.get("http://a.example/", callback=lambda response: heard.append(response.status_code))
        network.wait(0)
        settled = host.settled()
        self.assertNoResult(settled)
        host.release()
        self.assertEqual(heard, [702] * 3)
        late = was.get("http://a.example/", callback=lambda response: heard.append("late"))
        network.wait(0.1)
        self.successResultOf(settled)
        self.assertEqual((heard[3:], late.response().status_code, network.open), (["late"], 702, 0))
        self.assertEqual(network.getDelayedCalls(), [])

    def test_the_end_releases_threads(self) -> None:
        """First those whose requests can be told to have ended, then all others."""
        network = Network()
        network.serve(lambda backend, message: None)
        host = self.host(network)
        calls: list[Any] = []
        handle = was.get("http://a.example/")
        self.patch(host._workers, "release", lambda: calls.append(handle.is_done))
        host.end()
        self.assertEqual(calls, [True])

    def look(self, network: Network) -> None:
        """Let the time go on until nothing has been under way for two looks."""
        for _ in range(3):
            network.wait(0.1)

    def test_settled_when_nothing_is_asked(self) -> None:
        network = Network()
        host = self.host(network)
        settled = host.settled()
        self.look(network)
        self.successResultOf(settled)
        self.successResultOf(Host(Settings(), InlineWorkers(network), lambda: None).settled())
        self.assertEqual(network.getDelayedCalls(), [])

    def test_settled_waits_for_all_requests(self) -> None:
        """Those that begin meanwhile, too."""
        network = Network()
        network.serve(lambda backend, message: None)
        host = self.host(network)
        was.get("http://a.example/", timeout=5)
        settled = host.settled()
        network.wait(4)
        self.assertEqual(host.under_way, 1)
        was.get("http://a.example/", timeout=5)
        network.wait(4.9)
        self.assertNoResult(settled)
        self.look(network)
        self.successResultOf(settled)

    def test_settled_waits_for_what_callbacks_ask(self) -> None:
        """However often it looks between the response, the callback and the next request."""
        network = Network()
        network.serve(lambda backend, message: OK)
        workers = SteppingWorkers(network)
        host = Host(Settings(), workers, lambda: None)
        host.open(network, (), None)
        host.start()
        self.addCleanup(host.end)
        heard: list[int] = []

        def called(response: Any, left: int) -> None:
            heard.append(response.status_code)
            if left:
                was.get("http://a.example/", callback=(called, (left - 1,)))

        was.get("http://a.example/", callback=(called, (2,)))
        settled = host.settled()
        for number in range(3):
            network.wait(1)
            self.assertNoResult(settled)
            self.assertEqual((len(heard), workers.queued), (number, 1))
            workers.step()
        self.assertNoResult(settled)
        self.look(network)
        self.successResultOf(settled)
        self.assertEqual(heard, [200] * 3)

    def test_settled_waits_for_coroutines(self) -> None:
        network = Network()
        running = [object()]

        class Runtime:
            def busy(self) -> list[object]:
                return running

        runtime: Any = Runtime()
        host = Host(Settings(), InlineWorkers(network), lambda: None, runtime=runtime)
        host.open(network, (), None)
        settled = host.settled()
        network.wait(1)
        self.assertNoResult(settled)
        running.clear()
        self.look(network)
        self.successResultOf(settled)

    def test_time_is_as_told(self) -> None:
        """Of the cache, and of waits."""
        network = Network()
        network.serve(lambda backend, message: OK)
        host = Host(Settings(), InlineWorkers(network), lambda: None)
        host.open(network, (), None, network.seconds)
        host.start()
        self.addCleanup(host.end)
        self.assertEqual((host.threads.now(), host.asker.cache.now()), (network.seconds(), network.seconds()))
        network.advance(5)
        self.assertEqual((host.threads.now(), host.asker.cache.now()), (network.seconds(), network.seconds()))
        handle = was.get("http://a.example/").cache(5)
        network.wait(0)
        self.assertEqual(handle.response().status_code, 200)
        self.assertTrue(was.get("http://a.example/").response().is_cached)
        network.advance(6)
        self.assertFalse(was.get("http://a.example/").is_done)

    def test_no_probe_begins_after_release(self) -> None:
        """A member rests, which begins probes; the request that ends with the server begins no others."""
        network = Network()
        network.names["a.example"] = ["192.0.2.1"]
        network.serve(lambda backend, message: None, "b.example", 80, "192.0.2.2")
        host = self.host(network, make_alias("@c", "http", ["a.example", "b.example"], {}))
        was.get("@c/")
        network.wait(0)
        self.assertEqual(network.open, 1)
        host.release()
        network.wait(0)
        self.assertEqual(network.getDelayedCalls(), [])

    def test_options_count(self) -> None:
        network = Network()
        network.serve(lambda backend, message: answer(b"x" * 2000))
        self.host(network, max_response_size=1999, max_server_connections=2)
        handles = [was.get(f"http://a.example/{number}") for number in range(5)]
        network.wait(0)
        self.assertEqual({handle.response().status_code for handle in handles}, {705})
        network.serve(lambda backend, message: None)
        for number in range(5):
            was.get(f"http://a.example/{number}")
        network.wait(0)
        self.assertEqual(network.open, 2)

    def test_the_authorities_of_an_alias_are_read_at_the_start(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("no certificate")
        host = Host(Settings(), InlineWorkers(Network()), lambda: None)
        error = self.assertRaises(
            ConfigError, host.open, Network(), [make_alias("@a", "https", "h", {"cafile": path})], None
        )
        self.assertIn(f"alias '@a': cafile: {path} can not be read", str(error))
        cafile = Authority(self.mktemp()).cafile
        host.open(Network(), [make_alias("@a", "https", "h", {"cafile": cafile})], None)


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


class RestartTests(SynchronousTestCase):
    """``was.restart()``."""

    def test_stops_the_server_for_who_starts_it_anew(self) -> None:
        served = Served(("/", answering(lambda was: was.restart())))
        served.host.can_restart = True
        served.get("/")
        served.reactor.advance(0)
        self.assertEqual((served.stops, served.host.restarting), (["stop"], True))

    def course(self, *calls: str) -> tuple[list[str], bool]:
        """Return how often the reactor was told to stop, and whether it is a restart, when ``Host`` was told so."""
        served = Served(("/", answering(lambda was: "")))
        served.host.can_restart = True
        served.host.restart_is_off = lambda: served.stops.append("off")
        for call in calls:
            getattr(served.host, call)()
        served.reactor.advance(0)
        return served.stops, served.host.restarting

    def test_whoever_is_first_counts_and_a_stop_counts_more(self) -> None:
        """``stops`` says that it stops for a reason of somebody else."""
        self.assertEqual(self.course("restart", "restart", "stops"), (["stop"], True))
        self.assertEqual(self.course("stop", "restart"), (["stop"], False))
        self.assertEqual(self.course("restart", "stop", "restart", "stop"), (["stop", "off"], False))
        self.assertEqual(self.course("stops", "restart"), ([], False))
        self.assertEqual(self.course("restart", "stops", "stop"), (["stop", "off"], False))

    def test_who_stops_it_is_told_whether_it_is_a_restart(self) -> None:
        served = Served(("/", answering(lambda was: "")))
        served.host.can_restart = True
        self.assertFalse(served.host.stops())
        served = Served(("/", answering(lambda was: "")))
        served.host.can_restart = True
        served.host.restart()
        self.assertTrue(served.host.stops())

    def test_is_refused_where_somebody_else_starts_it(self) -> None:
        served = Served(("/", answering(lambda was: was.restart())))
        status, _ = served.get("/")
        self.assertIn("500", status)
        self.assertEqual((served.stops, served.host.restarting), ([], False))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
