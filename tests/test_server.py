"""The composition root: what a start checks, what is put together, and the phases of a stop.

The reactor stands still here; ``tests.functional.test_running`` has real processes.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import Application, IService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skitai import declare, listening, server
from skitai.config import Settings, resolve
from skitai.declare import Declaration
from skitai.errors import ConfigError, NotAvailable
from skitai.listening import listen, url_of
from skitai.logs import Logs
from skitai.server import OTHER_THREADS, Parts, Server, WebService, assemble, make_service
from skitai.testing import Reactor
from skitai.was.coroutines import start
from skitai.web.later import CoroutineRunner
from skitai.web.transport import Port


class Memory:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text += data.decode()


class PoolReactor(Reactor):
    """With a thread pool, which is never started."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pool = ThreadPool(0, 10, "test")

    def getThreadPool(self) -> ThreadPool:
        return self.pool

    def suggestThreadPoolSize(self, size: int) -> None:
        self.pool.adjustPoolsize(maxthreads=size)

    def hooks(self) -> None:
        """Do what waits until the reactor runs."""
        for function, arguments, keywords in self.whenRunningHooks:
            function(*arguments, **keywords)


@implementer(IListeningPort)
class FakePort:
    def __init__(self, address: Any = None) -> None:
        self.address = address or IPv4Address("TCP", "127.0.0.1", 5000)
        self.listening = True

    def startListening(self) -> None: ...

    def stopListening(self) -> None:
        self.listening = False

    def getHost(self) -> Any:
        return self.address


class FakeFactory:
    """Connections that go when the test says so."""

    def __init__(self, connections: int) -> None:
        self.channels = set(range(connections))
        self.calls: list[str] = []
        self.drained: Deferred[None] = Deferred()

    def drain(self) -> Deferred[None]:
        self.calls.append("drain")
        if not self.channels:
            self.drained.callback(None)
        return self.drained

    def abort(self) -> None:
        self.calls.append("abort")

    def gone(self) -> None:
        self.channels.clear()
        self.drained.callback(None)


class FakeWorkers:
    def __init__(self, *jobs: tuple[str, float]) -> None:
        self.jobs = list(jobs)
        self.calls: list[str] = []
        self.ended: Deferred[None] = Deferred()

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        return self.ended

    def busy(self) -> list[tuple[str, float]]:
        return self.jobs


class FakeAccessLog:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def flush(self) -> None:
        self.calls.append("flush")


class FakeHost:
    """Applications; ``now`` tells what else has happened when one of them is started or ended."""

    def __init__(self, now: Callable[[], list[str]]) -> None:
        self.now = now
        self.calls: list[tuple[str, list[str]]] = []
        self.releases: list[list[str]] = []
        self.requests: Deferred[None] = succeed(None)
        self.lookups = 0
        self.under_way = 0
        self.restarting = False
        self.restart_is_off: Callable[[], object] = lambda: None

    def stops(self) -> bool:
        return self.restarting

    def start(self) -> None:
        self.calls.append(("start", self.now()))

    def settled(self) -> Deferred[None]:
        return self.requests

    def release(self) -> None:
        self.releases.append(self.now())

    def end(self) -> None:
        self.calls.append(("end", self.now()))


class FakeTurn:
    """A turn whose client is gone."""

    exchange: Any = None

    def take(self, result: Any) -> bool:
        return True

    def close(self) -> None: ...


class LoggedTestCase(SynchronousTestCase):
    """Keeps what the server logs."""

    def setUp(self) -> None:
        self.console = Memory()
        self.logs = Logs([self.console], [self.console], [self.console], self.console)
        globalLogPublisher.addObserver(self.logs)
        self.addCleanup(self.logs.end)

    def lines(self, word: str) -> list[str]:
        """Return the lines logged that contain ``word``, without their dates."""
        return [line.partition(" [")[2] for line in self.console.text.splitlines() if word in line]


class StopTests(LoggedTestCase):
    """The phases of a stop, on a clock."""

    def make(self, connections: int, *jobs: tuple[str, float]) -> WebService:
        self.reactor = PoolReactor()
        self.factory: Any = FakeFactory(connections)
        self.workers: Any = FakeWorkers(*jobs)
        self.access_log: Any = FakeAccessLog()
        self.port: Any = FakePort()
        self.said: list[str] = []
        self.host: Any = FakeHost(lambda: [*self.workers.calls, *self.factory.calls, *self.access_log.calls])
        parts = Parts(
            self.reactor,
            self.reactor.pool,
            self.workers,
            self.access_log,
            self.factory,
            [self.port],
            False,
            self.host,
            CoroutineRunner(self.workers, start),
        )
        service = WebService(parts, 10.0, self.said.append)
        service.startService()
        return service

    def stop(self, service: WebService) -> Deferred[None]:
        stopped = service.stopService()
        self.assertFalse(self.port.listening, "it listens although it is being stopped")
        return stopped

    def test_says_where_it_serves_once_the_reactor_runs(self) -> None:
        self.make(0)
        self.assertEqual(self.said, [])
        self.reactor.hooks()
        self.assertEqual(len(self.said), 1)
        self.assertTrue(self.said[0].endswith("serves at http://127.0.0.1:5000/"))
        self.assertEqual((self.workers.calls, self.access_log.calls), (["start"], ["start"]))

    def test_waits_for_connections_then_for_threads_then_writes_the_log(self) -> None:
        stopped = self.stop(self.make(2))
        self.assertEqual(self.factory.calls, ["drain"])
        self.assertEqual(self.workers.calls, ["start"], "the threads end while connections are open")
        self.factory.gone()
        self.assertEqual(self.workers.calls, ["start", "stop"])
        self.assertNoResult(stopped)
        self.assertEqual(self.access_log.calls, ["start"])
        self.workers.ended.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.access_log.calls, ["start", "stop"])
        self.assertEqual(self.factory.calls, ["drain"])
        self.assertEqual(self.lines("stopped"), ["info] stopped"])

    def test_applications_are_started_before_anything_and_ended_when_their_requests_are_done(self) -> None:
        stopped = self.stop(self.make(1))
        self.assertEqual(self.host.calls, [("start", [])])
        self.factory.gone()
        self.assertEqual(len(self.host.calls), 1, "ended while threads run")
        self.workers.ended.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.host.calls[1:], [("end", ["start", "stop", "drain", "start"])])

    def test_threads_end_when_requests_have_that_nobody_waits_for(self) -> None:
        service = self.make(1)
        self.host.requests = Deferred()
        stopped = self.stop(service)
        self.factory.gone()
        self.assertEqual(self.workers.calls, ["start"], "callbacks could not be called any more")
        self.host.requests.callback(None)
        self.assertEqual(self.workers.calls, ["start", "stop"])
        self.workers.ended.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.host.releases, [])

    def test_the_pool_does_not_wait_for_names_that_are_looked_up(self) -> None:
        for lookups in (0, 1):
            service = self.make(0)
            self.host.lookups = lookups
            thread: Any = object()
            self.reactor.pool.threads.append(thread)
            stopped = self.stop(service)
            self.workers.ended.callback(None)
            self.successResultOf(stopped)
            self.assertEqual(self.reactor.pool.threads, [] if lookups else [thread])

    def test_requests_are_ended_at_the_deadline(self) -> None:
        service = self.make(0)
        self.host.requests = Deferred()
        stopped = self.stop(service)
        self.reactor.advance(9.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.2)
        self.assertEqual(self.host.releases, [["start", "drain", "start"]])
        self.successResultOf(stopped)
        self.host.requests.callback(None)
        self.assertEqual([name for name, _ in self.host.calls], ["start", "end", "end"])

    def test_applications_are_ended_at_the_deadline_too(self) -> None:
        stopped = self.stop(self.make(1, ("GET /a", 12.0)))
        self.reactor.advance(10.1)
        self.assertEqual(len(self.host.calls), 1)
        self.factory.gone()
        self.successResultOf(stopped)
        self.assertEqual([name for name, _ in self.host.calls], ["start", "end"])

    def test_a_coroutine_that_the_last_job_of_a_thread_has_left_may_end(self) -> None:
        for ends in (True, False):
            service = self.make(1)
            stopped = self.stop(service)
            self.factory.gone()
            undone: Deferred[None] = Deferred()

            async def undo(undone: Deferred[None] = undone) -> None:
                await undone

            service.parts.runner.begin(cast(Any, FakeTurn()), undo())
            self.workers.ended.callback(None)
            self.assertEqual(len(self.host.calls), 1, "ended while a coroutine runs")
            if ends:
                undone.callback(None)
            else:
                self.reactor.advance(1.1)
            self.successResultOf(stopped)
            self.assertEqual([name for name, _ in self.host.calls], ["start", "end"])
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nothing_is_left_on_the_clock(self) -> None:
        stopped = self.stop(self.make(0))
        self.workers.ended.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_at_the_deadline_what_runs_is_named_and_cut(self) -> None:
        stopped = self.stop(self.make(1, ("GET /a (application app)", 12.34), ("POST /b (application app)", 3.0)))
        self.reactor.advance(9.9)
        self.assertEqual(self.factory.calls, ["drain"])
        self.assertEqual(self.lines("aborted"), [])
        self.reactor.advance(0.2)
        self.assertEqual(self.factory.calls, ["drain", "abort"])
        self.assertEqual(
            self.lines("aborted"),
            [
                "error] aborted at the deadline of the stop: GET /a (application app), running for 12.3 s",
                "error] aborted at the deadline of the stop: POST /b (application app), running for 3.0 s",
            ],
        )
        self.assertNoResult(stopped)
        self.factory.gone()
        self.successResultOf(stopped)
        self.assertEqual(self.workers.calls, ["start", "stop"], "idle threads are not ended")
        self.assertEqual(self.access_log.calls[-1], "stop")

    def test_a_thread_that_hangs_for_nobody_is_named_at_the_deadline(self) -> None:
        stopped = self.stop(self.make(0, ("GET /gone", 20.0)))
        self.reactor.advance(10.1)
        self.successResultOf(stopped)
        self.assertEqual(len(self.lines("GET /gone")), 1)
        self.assertEqual(self.factory.calls, ["drain"], "there is nothing to cut")

    def test_the_pool_does_not_wait_for_threads_that_were_given_up(self) -> None:
        service = self.make(0, ("GET /gone", 20.0))
        thread: Any = object()
        self.reactor.pool.threads.append(thread)
        self.stop(service)
        self.reactor.advance(10.1)
        self.assertEqual(self.reactor.pool.threads, [])

    def test_the_pool_waits_for_its_threads_after_a_clean_stop(self) -> None:
        service = self.make(0)
        thread: Any = object()
        self.reactor.pool.threads.append(thread)
        self.stop(service)
        self.workers.ended.callback(None)
        self.assertEqual(self.reactor.pool.threads, [thread])

    def test_what_hangs_is_named_once_whoever_asks(self) -> None:
        service = self.make(0, ("GET /gone", 20.0))
        service.report_hung()
        self.stop(service)
        self.reactor.advance(10.1)
        self.assertEqual(len(self.lines("GET /gone")), 1)

    def test_stopping_twice_is_stopping_once(self) -> None:
        service = self.make(0)
        first, second = self.stop(service), service.stopService()
        self.assertIs(first, second)
        self.assertEqual(self.factory.calls, ["drain"])

    def test_threads_that_end_after_they_were_given_up_change_nothing(self) -> None:
        stopped = self.stop(self.make(0, ("GET /late", 20.0)))
        self.reactor.advance(10.1)
        self.workers.ended.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(len(self.lines("stopped")), 1)

    def test_requests_that_are_cut_are_counted(self) -> None:
        service = self.make(0)
        self.host.under_way = 3
        self.stop(service)
        self.assertEqual(self.lines("3 requests"), [])
        self.reactor.advance(10.1)
        self.assertEqual(
            self.lines("3 requests"), ["warning] 3 requests to other servers were not done at the deadline of the stop"]
        )

    def restarting(self) -> WebService:
        """Return a service that restarts, with a port that can be handed over and one that can not."""
        service = self.make(1)
        self.host.restarting = True
        other, self.port = self.port, Port(0, Factory(), 50, "127.0.0.1", self.reactor)
        self.port.factory.noisy = False
        self.port.startListening()
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(self.port.stopListening)
        service.parts.ports.append(self.port)
        service.stopService()
        self.assertFalse(other.listening)
        return service

    def test_a_restart_keeps_its_ports_without_accepting(self) -> None:
        service = self.restarting()
        self.reactor.advance(0)
        self.assertEqual(service.kept, [self.port])
        self.assertTrue(self.port.connected)
        self.assertNotIn(self.port, self.reactor.getReaders())
        self.assertEqual(self.lines("restarting"), ["info] restarting"])

    def test_until_it_is_off(self) -> None:
        """Then who has connected is served, unless it is too late for that."""
        for late in (False, True):
            service = self.restarting()
            accepted: list[Any] = []
            self.patch(self.port, "doRead", lambda accepted=accepted: accepted.append(1))
            if late:
                self.factory.gone()
            self.host.restart_is_off()
            self.reactor.advance(0)
            self.assertEqual((service.kept, self.port.connected), ([], False))
            self.assertEqual(accepted, [] if late else [1])

    def test_what_the_kernel_has_accepted_is_served_before_the_port_is_closed(self) -> None:
        service = self.make(0)
        accepted: list[Any] = []

        class Accepting(Factory):
            noisy = False

            def buildProtocol(factory, addr: Any) -> None:
                accepted.append(addr)
                self.factory.channels.add(addr)

        self.port = Port(0, Accepting(), 50, "127.0.0.1", self.reactor)
        self.port.startListening()
        self.port.listening = True
        self.port.numberAccepts = 1
        service.parts.ports[:] = [self.port]
        clients = [socket.create_connection(("127.0.0.1", self.port.getHost().port)) for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
        service.stopService()
        self.reactor.advance(0)
        self.assertEqual(len(accepted), 3)
        self.assertTrue(self.port.disconnecting or self.port.disconnected)


def declaration(*mounts: Any) -> Declaration:
    made = Declaration(os.getcwd())
    for mount in mounts:
        made.add_mount(*mount, origin={})
    return made


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class AssembleTests(LoggedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = PoolReactor()

    def assemble(self, declared: Declaration, **settings: Any) -> Server:
        made = assemble(Settings(port=0, **settings), declared, self.reactor, self.logs)
        self.addCleanup(self.close, made)
        return made

    def close(self, made: Server) -> None:
        for port in made.web.parts.ports:
            port.stopListening()
        self.reactor.advance(0)

    def test_listens_before_it_is_started(self) -> None:
        made = self.assemble(declaration(("/", hello)))
        (port,) = made.web.parts.ports
        client = socket.create_connection(("127.0.0.1", port.getHost().port))  # type: ignore[attr-defined]
        client.close()

    def test_requests_are_dispatched_to_what_is_mounted(self) -> None:
        made = self.assemble(declaration(("/", hello)), threads=0)
        protocol = made.web.parts.factory.buildProtocol(None)
        from twisted.internet.testing import StringTransport

        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.reactor.advance(0)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 200 OK\r\n"), transport.value())
        self.assertTrue(transport.value().endswith(b"hello"))
        made.web.parts.access_log.flush()
        self.assertIn("GET / HTTP/1.1 200 0 5", self.console.text)

    def test_applications_are_started_with_the_service_and_ended_with_it(self) -> None:
        calls: list[str] = []

        class App:
            def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
                return [environ["skitai.was"].status().encode()]

            def skitai_startup(self, wasc: Any) -> None:
                calls.append(f"startup {wasc.config.max_queued} {wasc.numthreads}")

            def skitai_shutdown(self, wasc: Any) -> None:
                calls.append("shutdown")

        made = self.assemble(declaration(("/", App())), threads=0, max_queued=77)
        self.assertEqual(calls, [])
        made.web.startService()
        self.assertEqual(calls, ["startup 77 0"])
        stopped = made.web.stopService()
        for _ in range(2):
            self.reactor.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(calls, ["startup 77 0", "shutdown"])

    def test_an_application_may_stop_the_reactor(self) -> None:
        made = self.assemble(declaration(("/", hello)), threads=0)
        stops: list[str] = []
        self.patch(self.reactor, "stop", lambda: stops.append("stop"))
        made.web.parts.host.stop()
        made.web.parts.host.stop()
        self.assertEqual(stops, [])
        self.reactor.advance(0)
        self.reactor.hooks()
        self.assertEqual(stops, ["stop"])

    def test_threads_are_daemons_and_there_are_some_more(self) -> None:
        self.assemble(declaration(("/", hello)), threads=7)
        self.assertEqual(self.reactor.pool.max, 7 + 32 + OTHER_THREADS)
        self.assemble(declaration(("/", hello)), threads=7, extra_threads=3)
        self.assertEqual(self.reactor.pool.max, 7 + 3 + OTHER_THREADS)
        self.assertTrue(self.reactor.pool.threadFactory(target=int).daemon)

    def test_a_mount_that_is_not_there_is_refused_and_the_port_closed(self) -> None:
        opened: list[Any] = []
        real = listen

        def listen_and_keep(*arguments: Any) -> Any:
            opened.extend(real(*arguments))
            return opened

        self.patch(server, "listen", listen_and_keep)
        error = self.assertRaises(ConfigError, self.assemble, declaration(("/", "no/such/file")))
        self.assertIn("no/such/file", str(error))
        self.reactor.advance(0)
        self.assertEqual(len(opened), 1)
        self.assertFalse(opened[0].connected)

    def test_what_bootstrap_declares_is_refused_where_it_is_not_available(self) -> None:
        directory = os.path.abspath(self.mktemp())
        os.makedirs(directory)
        with open(os.path.join(directory, "__init__.py"), "w") as file:
            file.write("import skitai\ndef bootstrap(pref):\n    skitai.cron('* * * * *', 'true')\n")
        with open(os.path.join(directory, "app.py"), "w") as file:
            file.write("def app(environ, start_response): pass\n")
        declared = declaration(("/", os.path.join(directory, "app.py")))
        self.addCleanup(declare.replace, declare.current())
        declare.replace(declared)
        error = self.assertRaises(NotAvailable, self.assemble, declared)
        self.assertIn("cron '* * * * *' is not available yet", str(error))

    def test_certificates_are_loaded_before_anything_is_opened(self) -> None:
        self.patch(server, "listen", lambda *arguments: self.fail("a port was opened"))
        path = self.mktemp()
        with open(path, "w"):
            pass
        error = self.assertRaises(ConfigError, self.assemble, declaration(("/", hello)), certfile=path)
        self.assertIn("certfile", str(error))

    def test_forwarded_fields_count_where_proxies_are_trusted(self) -> None:
        from twisted.internet.testing import StringTransport

        seen: list[str] = []

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            seen.append(environ["REMOTE_ADDR"])
            return hello(environ, start_response)

        tcp, unix = IPv4Address("TCP", "192.168.1.1", 54321), UNIXAddress("")
        for peer, option in ((tcp, ()), (tcp, "192.168.1.1"), (unix, "192.168.1.1"), (unix, "unix, 192.168.1.1")):
            trusted = resolve({}, {"trusted_proxies": option}, {}).trusted_proxies
            made = self.assemble(declaration(("/", app)), threads=0, trusted_proxies=trusted)
            protocol = made.web.parts.factory.buildProtocol(None)
            protocol.makeConnection(StringTransport(hostAddress=peer, peerAddress=peer))
            protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
        self.assertEqual(seen, ["192.168.1.1", "203.0.113.9", "", "203.0.113.9"])


class MakeServiceTests(SynchronousTestCase):
    """What twistd gets."""

    def make(self, twistd: dict[str, Any] | None = None, **settings: Any) -> Server:
        reactor = PoolReactor()
        made = make_service(Settings(port=0, **settings), declaration(("/", hello)), reactor, twistd)

        def close() -> None:
            for port in made.web.parts.ports:
                port.stopListening()
            reactor.advance(0)
            made.logs.end()

        self.addCleanup(close)
        return made

    def test_signals_are_handled_before_it_says_that_it_serves(self) -> None:
        made = self.make()
        self.assertIsInstance(made, Server)
        self.assertEqual([type(service).__name__ for service in made], ["Signals", "WebService"])

    def test_the_log_of_the_application_is_ours(self) -> None:
        made = self.make({"nodaemon": True})
        application = Application("test")
        made.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), made.logs)
        self.assertIn(made, list(IService(application)))

    def test_or_that_of_twistd_where_it_has_one(self) -> None:
        table: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
            ({"nodaemon": True, "logfile": None}, {}, True),
            ({"nodaemon": False, "logfile": None}, {}, False),
            ({"nodaemon": False}, {"logpath": self.mktemp()}, True),
            ({"nodaemon": True, "logfile": "twistd.log"}, {}, False),
            ({"nodaemon": True, "syslog": True}, {}, False),
            ({"nodaemon": True, "logger": "some.logger"}, {"logpath": self.mktemp()}, False),
        ]
        for twistd, settings, ours in table:
            made = self.make(twistd, **settings)
            application = Application("test")
            made.setServiceParent(application)
            observer = application.getComponent(ILogObserver, None)
            self.assertEqual(observer is made.logs, ours, twistd)

    def test_what_an_application_logs_while_it_is_imported_is_in_its_log(self) -> None:
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        path = os.path.join(directory, "talkative.py")
        with open(path, "w") as file:
            file.write("import logging\nlogging.getLogger('tests.talkative').warning('imported')\n")
            file.write("def app(environ, start_response): ...\n")
        self.patch(logging.getLogger(), "handlers", [])
        settings = Settings(port=0, logpath=directory)
        reactor = PoolReactor()
        made = make_service(settings, declaration(("/", path)), reactor)
        self.addCleanup(made.logs.end)
        self.addCleanup(reactor.advance, 0)
        self.addCleanup(listening.close_all, made.web.parts.ports)
        with open(os.path.join(directory, "app.log")) as file:
            self.assertTrue(file.read().endswith(" [warning] imported\n"))

    def test_a_failing_start_closes_the_logs(self) -> None:
        path = self.mktemp()
        ended: list[Any] = []
        self.patch(logging, "lastResort", logging.lastResort)
        self.patch(Logs, "end", lambda logs: ended.append(logs))
        self.assertRaises(
            ConfigError, make_service, Settings(port=0, logpath=path), declaration(("/", "nothing")), PoolReactor()
        )
        self.assertEqual(len(ended), 1)


class ListenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = PoolReactor()
        self.factory = Factory()
        self.factory.noisy = False

    def listen(self, **settings: Any) -> list[IListeningPort]:
        ports = listen(Settings(**{"port": 0, **settings}), self.factory, self.reactor)
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(listening.close_all, ports)
        return ports

    def test_tcp_ports_are_the_fast_ones(self) -> None:
        (port,) = self.listen(backlog=77)
        self.assertIsInstance(port, Port)
        self.assertEqual(port.backlog, 77)  # type: ignore[attr-defined]

    def test_so_are_those_of_endpoints(self) -> None:
        ports = self.listen(listen=("tcp:0:interface=127.0.0.1", "tcp6:0:interface=\\:\\:1"))
        self.assertEqual([type(port) for port in ports], [Port, Port])
        self.assertEqual(ports[0].backlog, 1024)  # type: ignore[attr-defined]

    def test_an_address_of_ipv6(self) -> None:
        (port,) = self.listen(address="::1")
        self.assertEqual(port.getHost().host, "::1")  # type: ignore[attr-defined]

    def test_a_port_in_use_is_named_and_the_others_closed(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        number = taken.getsockname()[1]
        opened: list[Any] = []
        self.patch(listening, "Port", lambda *arguments: opened.append(Port(*arguments)) or opened[-1])
        error = self.assertRaises(
            ConfigError,
            self.listen,
            listen=("tcp:0:interface=127.0.0.1", f"tcp:{number}:interface=127.0.0.1"),
        )
        self.assertEqual(str(error), f"port in use: another program listens at 127.0.0.1:{number}")
        self.reactor.advance(0)
        self.assertFalse(opened[0].connected)

    def test_reasons_in_words(self) -> None:
        table = [
            (errno.EADDRINUSE, "port in use: another program listens at 127.0.0.1:80"),
            (errno.EACCES, "no permission to listen at 127.0.0.1:80"),
            (errno.EADDRNOTAVAIL, "address '127.0.0.1' is none of this machine"),
            (errno.ENOBUFS, "can not listen at 127.0.0.1:80: [Errno 105] No buffer space available"),
        ]
        for number, text in table:

            class Failing:
                def __init__(self, *arguments: Any) -> None: ...

                def startListening(self, number: int = number) -> None:
                    raise CannotListenError("127.0.0.1", 80, OSError(number, os.strerror(number)))

            self.patch(listening, "Port", Failing)
            self.assertEqual(str(self.assertRaises(ConfigError, self.listen)), text)

    def test_an_endpoint_that_is_none(self) -> None:
        for text in ("nonsense:1", "tcp:port", "tcp", "ssl:1:privateKey=/no/such/file"):
            error = self.assertRaises(ConfigError, self.listen, listen=(text,))
            self.assertIn(f"listen: {text!r} is not an endpoint that can be used", str(error))

    def test_a_unix_socket_that_can_not_be(self) -> None:
        table: list[tuple[Exception, str]] = [
            (FileNotFoundError(2, "No such file"), "listen: 'unix:/x/s' can not be opened: No such file"),
            # What Twisted says when the lock beside the socket is held.
            (CannotListenError(None, "/x/s", "Cannot acquire lock"), "port in use: another program listens at /x/s"),
        ]
        for failure, text in table:

            def listen_unix(*arguments: Any, failure: Exception = failure, **keywords: Any) -> IListeningPort:
                raise failure

            self.patch(self.reactor, "listenUNIX", listen_unix)
            error = self.assertRaises(ConfigError, self.listen, listen=("unix:/x/s",))
            self.assertEqual(str(error), text)

    def hand_over(self, ports: list[Any]) -> None:
        """Leave ports to another ``listen``, which has descriptors of its own as another program would."""
        self.addCleanup(os.environ.pop, "SKITAI_LISTENING", None)
        for port in ports:
            self.assertTrue(listening.can_hand_over(port))
            descriptor = os.dup(port.fileno())
            self.patch(port, "fileno", lambda descriptor=descriptor: descriptor)
        listening.hand_over(ports)
        for port in ports:
            self.assertTrue(os.get_inheritable(port.fileno()))

    def test_what_was_handed_over_is_not_opened_again(self) -> None:
        """It is found by what the settings say, even where they left the number to the system."""
        kept = ("tcp:0:interface=127.0.0.1", "tcp6:0:interface=\\:\\:1", "tcp:0:interface=127.0.0.1")
        first = self.listen(listen=kept)
        self.hand_over(first)
        second = self.listen(listen=(*kept, "tcp:0:interface=127.0.0.1"))
        self.assertEqual([port.getHost() for port in second[:3]], [port.getHost() for port in first])
        self.assertNotIn(second[3].getHost(), [port.getHost() for port in first])
        self.assertEqual([type(port) for port in second], [Port] * 4)
        for port in second:
            self.assertFalse(os.get_inheritable(port.fileno()))  # type: ignore[attr-defined]
            self.assertFalse(os.get_blocking(port.fileno()))  # type: ignore[attr-defined]
        self.assertNotIn("SKITAI_LISTENING", os.environ)
        third = self.listen(listen=kept)
        self.assertNotEqual([port.getHost() for port in third], [port.getHost() for port in first])

    def test_what_is_not_listened_at_any_more_is_closed(self) -> None:
        first = self.listen(listen=("tcp:0:interface=127.0.0.1",))
        self.hand_over(first)
        descriptor = first[0].fileno()  # type: ignore[attr-defined]
        self.listen(address="::1")
        self.assertRaises(OSError, os.fstat, descriptor)

    def test_sockets_of_another_process_are_none_of_ours(self) -> None:
        (port,) = self.listen(address="127.0.0.1")
        self.hand_over([port])
        descriptor = port.fileno()  # type: ignore[attr-defined]
        self.addCleanup(os.close, descriptor)
        os.environ["SKITAI_LISTENING"] = os.environ["SKITAI_LISTENING"].replace(f"[{os.getpid()}", "[1")
        (other,) = self.listen(address="127.0.0.1")
        self.assertNotEqual(other.getHost(), port.getHost())
        os.fstat(descriptor)

    def test_nor_are_descriptors_that_the_program_has_closed(self) -> None:
        (port,) = self.listen(address="127.0.0.1")
        self.hand_over([port])
        os.close(port.fileno())  # type: ignore[attr-defined]
        (other,) = self.listen(address="127.0.0.1")
        self.assertNotEqual(other.getHost(), port.getHost())

    def test_ports_that_others_make_can_not_be_handed_over(self) -> None:
        self.assertFalse(listening.can_hand_over(FakePort()))

    def test_urls(self) -> None:
        table = [
            (IPv4Address("TCP", "127.0.0.1", 5000), "http", "http://127.0.0.1:5000/"),
            (IPv4Address("TCP", "127.0.0.1", 80), "http", "http://127.0.0.1/"),
            (IPv4Address("TCP", "127.0.0.1", 80), "https", "https://127.0.0.1:80/"),
            (IPv4Address("TCP", "0.0.0.0", 443), "https", "https://0.0.0.0/"),
            (IPv6Address("TCP", "::1", 5000), "http", "http://[::1]:5000/"),
            (UNIXAddress(b"/run/app.sock"), "http", "unix:/run/app.sock"),
        ]
        for address, scheme, url in table:
            self.assertEqual(url_of(address, scheme), url)
