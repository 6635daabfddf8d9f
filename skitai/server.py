"""The server put together: from settings and declaration to a service that serves.

``run`` is what ``python app.py`` comes to, ``make_service`` what ``twistd skitai`` does; both start the same service.

Layer 4, the composition root. It must not know how anything is done that it puts together. Thread: the reactor's, which
is the main thread.

Theory of operation. All that can fail is done while the service is made, ports first: nothing is half-started, and an
error is one line. Applications are started with the service, in the process that serves. Stopping has phases: ports are
closed; open requests are finished, idle connections closed; requests of ``was`` end that nobody waits for; the
application threads end, and then the applications. What is not done after ``graceful_timeout`` is aborted and named in
the log; who waits for a request of ``was`` is told that it was cancelled; threads are daemons and left behind. When
even that does not end the process, ``skitai.signals.Watchdog`` does.

A restart is a stop after which the same program takes the place of this one in the same process. Its ports stay open
meanwhile, so that who connects has to wait but is not refused. Whatever else says that the server is to stop, before or
until then, makes it a stop like any other.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn, TextIO, cast

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port as TCPPort
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.threadpool import ThreadPool

from skitai.config import Settings
from skitai.constants import VERSION
from skitai.declare import Declaration
from skitai.errors import ConfigError
from skitai.hosting import Host, reactor_stopper
from skitai.listening import can_hand_over, close_all, hand_over, listen, url_of
from skitai.logs import ErrorStream, Events, Logs, open_logs
from skitai.mounting import dispatcher
from skitai.restart import end_python
from skitai.signals import Actions, Interrupted, Signals, Watchdog, interrupt_start, prepare_exec
from skitai.was.coroutines import starter
from skitai.web.accesslog import AccessLog
from skitai.web.exchange import Exchange
from skitai.web.later import CoroutineRunner
from skitai.web.site import ServerFactory
from skitai.web.workers import Workers
from skitai.web.wsgi import Services

OTHER_THREADS: Final = 10
"""Threads of the reactor's pool besides those of applications, for name resolution and the like: Twisted's default."""

UNDO_TIMEOUT: Final = 1.0
"""Seconds that cancelled coroutines have at the end of a stop for what they have to undo."""

_log = Logger(namespace="skitai.server")


@dataclass(frozen=True, slots=True)
class Parts:
    """What serving consists of.

    Attributes:
        reactor: Runs all of it.
        pool: The reactor's thread pool.
        workers: The application threads in it.
        runner: Runs the coroutines of applications.
        access_log: Gets every finished request.
        factory: Makes the connections.
        ports: Accept them.
        secure: Whether they speak TLS.
        host: Is told when to start and end the applications.
    """

    reactor: Any
    pool: ThreadPool
    workers: Workers
    access_log: AccessLog
    factory: ServerFactory
    ports: list[IListeningPort]
    secure: bool
    host: Host
    runner: CoroutineRunner


class WebService(Service):
    """Serves until it is stopped, and then stops in phases.

    Args:
        parts: What it consists of.
        graceful_timeout: Seconds for open requests to finish.
        announce: Called with a line of text once it serves.

    Attributes:
        kept: Ports that are not closed at the stop, since the program that takes the place of this one gets them.
    """

    def __init__(self, parts: Parts, graceful_timeout: float, announce: Callable[[str], object]) -> None:
        self.parts = parts
        self._graceful_timeout = graceful_timeout
        self._announce = announce
        self.kept: list[IListeningPort] = []
        self._drained_all = False
        parts.host.restart_is_off = self._close_kept
        self._deadline: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self._given_up = False
        self._reported = False
        self._threads_stopped = False

    def startService(self) -> None:
        """Start the applications and their threads. Connections are accepted as soon as the reactor runs."""
        super().startService()  # type: ignore[no-untyped-call]
        self.parts.host.start()
        # What is there now stays: the collector need not look at it again and again while requests wait.
        gc.freeze()
        self.parts.workers.start()
        self.parts.access_log.start()
        self.parts.reactor.callWhenRunning(self._started)

    def stopService(self) -> Deferred[None]:
        """Stop in phases.

        Returns:
            Fires when nothing is running any more, or has been given up.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._stopped is None:
            stopped: Deferred[None] = Deferred()
            self._stopped = stopped
            restarting = self.parts.host.stops()
            if restarting:
                _log.info("restarting")
            for port in self.parts.ports:
                if restarting and can_hand_over(port):
                    port.stopReading()  # type: ignore[attr-defined]
                    self.kept.append(port)
                else:
                    self._stop_accepting(port)
            self._deadline = self.parts.reactor.callLater(self._graceful_timeout, self._give_up)
            self.parts.factory.drain().addCallback(self._drained)
            return stopped
        return self._stopped

    def report_hung(self) -> None:
        """Log what is still running, a line each; only the first call does. Thread: any."""
        if self._reported:
            return
        self._reported = True
        for job, seconds in [*self.parts.workers.busy(), *self.parts.runner.busy()]:
            _log.error(
                "aborted at the deadline of the stop: {job}, running for {seconds:.1f} s", job=job, seconds=seconds
            )

    def _started(self) -> None:
        scheme = "https" if self.parts.secure else "http"
        urls = " and ".join(url_of(port.getHost(), scheme) for port in self.parts.ports)
        self._announce(f"Skitai {VERSION} serves at {urls}")

    def _stop_accepting(self, port: IListeningPort) -> None:
        """Close a port. Connections that the kernel has made already are accepted first: closing would reset them."""
        if isinstance(port, TCPPort) and not self._drained_all:
            before = -1
            while before < len(self.parts.factory.channels):
                before = len(self.parts.factory.channels)
                port.doRead()  # type: ignore[no-untyped-call]
        port.stopListening()

    def _close_kept(self) -> None:
        """Close what was kept for a program that is not to be run any more."""
        kept, self.kept = self.kept, []
        for port in kept:
            self._stop_accepting(port)

    def _drained(self, result: object) -> None:
        """The last connection is gone."""
        self._drained_all = True
        if self._given_up:
            self._end_soon()
            return
        # A coroutine may outlive its connection for a moment, and may need a thread in that.
        ended: Deferred[Any] = self.parts.runner.idle()
        # What was asked for and not waited for is done too, and its callbacks are called.
        ended.addCallback(lambda idle: self.parts.host.settled())
        ended.addCallback(lambda settled: self._stop_threads())
        # The last jobs of threads may have left coroutines, whose clients are gone.
        ended.addCallback(lambda ended: self._end_soon())

    def _give_up(self) -> None:
        """The time is over."""
        self._given_up = True
        self.report_hung()
        requests = self.parts.host.under_way
        if requests:
            _log.warn("{left} requests to other servers were not done at the deadline of the stop", left=requests)
        self.parts.host.release()
        left = len(self.parts.factory.channels)
        if left:
            _log.warn("{left} connections were not done at the deadline of the stop and are cut", left=left)
            self.parts.factory.abort()
        else:
            self._end_soon()

    def _end_soon(self) -> None:
        """All coroutines are cancelled: leave them a moment for what they have to undo."""

        def end(result: object) -> None:
            self._stop_threads()
            self._finish()

        idle: Deferred[Any] = self.parts.runner.idle()
        idle.addTimeout(UNDO_TIMEOUT, self.parts.reactor)
        idle.addBoth(end)

    def _stop_threads(self) -> Deferred[None] | None:
        """End the application threads; what fires when they have ended, None where that was begun before."""
        if self._threads_stopped:
            return None
        self._threads_stopped = True
        return self.parts.workers.stop()

    def _finish(self) -> None:
        parts = self.parts
        if self._given_up or parts.host.lookups:
            # The pool would wait for ever for a thread that hangs, or for a name server that does not answer. Being
            # daemons, they do not keep the process.
            parts.pool.threads.clear()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        parts.host.end()
        parts.access_log.stop()
        stopped = self._stopped
        if stopped is not None and not stopped.called:
            _log.info("stopped")
            stopped.callback(None)


class Server(MultiService):
    """All services of the process.

    Args:
        web: Serves.
        logs: Where log lines go.

    Attributes:
        web: Serves.
        logs: Where log lines go. They stay open when it is stopped: whoever made the service ends them.
        observes: Whether the log of an application that it becomes part of is to be ours.
        signals: Handles the signals of the process; None as long as others do.
    """

    def __init__(self, web: WebService, logs: Logs) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.web = web
        self.logs = logs
        self.observes = True
        self.signals: Signals | None = None
        web.setServiceParent(self)  # type: ignore[no-untyped-call]

    def setServiceParent(self, parent: Any) -> None:
        """Become part of an application; twistd takes its log from there."""
        if isinstance(parent, Componentized) and self.observes:
            parent.setComponent(ILogObserver, self.logs)  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Have files of our own take what is logged, where twistd has a log of its own too."""
        if self.logs.files and not self.observes:
            self.logs.observe()
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    @property
    def restarts(self) -> bool:
        """Whether it is to be started anew, now that it has stopped. Thread: any."""
        # A signal that comes when the reactor has ended is known to nobody else.
        return self.web.parts.host.restarting and not (self.signals is not None and self.signals.came)

    def handle_signals(self, reactor: Any, graceful_timeout: float, leave: Callable[[int], object] = os._exit) -> None:
        """Handle the signals of the process, which must be ours alone.

        Args:
            reactor: Runs in the main thread.
            graceful_timeout: Seconds that a graceful stop may take.
            leave: Ends the process when a stop takes too long.
        """
        parts = self.web.parts
        watchdog = Watchdog(graceful_timeout, self._last_words, leave)
        actions = Actions(parts.host.stop, self._reopen, parts.access_log.flush)
        self.signals = signals = Signals(reactor, watchdog, actions)
        # The handlers are there before it is said that it serves: who reads that may send a signal at once.
        self.web.disownServiceParent()  # type: ignore[no-untyped-call]
        signals.setServiceParent(self)  # type: ignore[no-untyped-call]
        self.web.setServiceParent(self)  # type: ignore[no-untyped-call]

    def _reopen(self) -> None:
        self.web.parts.access_log.flush()
        self.logs.reopen()
        _log.info("log files reopened")

    def _last_words(self) -> None:
        self.web.report_hung()
        self.web.parts.access_log.flush()
        _log.warn("the process did not end by itself and is ended")


def make_service(
    settings: Settings, declaration: Declaration, reactor: Any, twistd: Mapping[str, Any] | None = None
) -> Server:
    """Return the service of a process of its own, as twistd runs it.

    Args:
        settings: All options.
        declaration: What is mounted, and the base directory, which is the working directory.
        reactor: Will run it.
        twistd: twistd's own options: where its ``--logfile`` and the like say where logs go, they count.

    Raises:
        ConfigError: It can not be started; nothing is left open.
    """
    # A daemon has no console: without files of ours the log is twistd's.
    theirs = twistd is not None and (
        any(twistd.get(name) for name in ("logfile", "logger", "syslog"))
        or not (twistd.get("nodaemon") or settings.logpath)
    )
    logs = open_logs(settings.log, Events() if theirs else None)
    # Now, and not when the service starts: applications log while they are imported, too.
    logs.take_unhandled()
    try:
        service = assemble(settings, declaration, reactor, logs)
    except BaseException:
        logs.end()
        raise
    service.observes = not theirs
    service.handle_signals(reactor, settings.graceful_timeout)
    return service


def run(settings: Settings, declaration: Declaration, again: Callable[[], NoReturn]) -> int:
    """Serve until somebody says to stop.

    Args:
        settings: All options.
        declaration: What is mounted, and the base directory, which is the working directory.
        again: Has the program take the place of this one, from the start.

    Returns:
        The exit status; nothing returns where the program is run again.

    Raises:
        ConfigError: It can not be started, or not be run again; nothing is left open.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    interrupt_start()
    logs = open_logs(settings.log)
    logs.begin()
    logs.take_unhandled()
    service = None
    try:
        service = assemble(settings, declaration, reactor, logs)
        service.web.parts.host.can_restart = True
        service.handle_signals(reactor, settings.graceful_timeout, partial(_leave, service, again))
        service.privilegedStartService()
        service.startService()  # type: ignore[no-untyped-call]
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        reactor.run()
    except Interrupted:
        if service is not None:
            service.web.parts.host.end()  # some may have been started
        return 0
    finally:
        logs.end()
    if service.restarts:
        end_python()
        prepare_exec()
        if service.restarts:
            try:
                _restart(service, again)
            except OSError as error:
                raise ConfigError(f"was.restart() can not run the program again: {error}") from error
    return 0


def _restart(service: Server, again: Callable[[], NoReturn]) -> NoReturn:
    """Have the program take the place of this one."""
    hand_over(service.web.kept)
    again()


def _leave(service: Server, again: Callable[[], NoReturn], status: int) -> None:
    """End a process that does not stop by itself, or run the program again where that is meant. Thread: any."""
    try:
        if service.restarts:
            _restart(service, again)
    finally:
        os._exit(status)


def assemble(settings: Settings, declaration: Declaration, reactor: Any, logs: Logs) -> Server:
    """Make the service, with its ports open.

    Args:
        settings: All options.
        declaration: What is mounted.
        reactor: Will run it.
        logs: Where log lines go.

    Raises:
        ConfigError: It can not be started; its ports are closed again.
    """
    secure = settings.certfile is not None
    pool = _thread_pool(reactor, settings.threads + settings.extra_threads)
    workers = Workers(reactor, pool, settings.threads, settings.max_queued, settings.extra_threads)
    access_log = AccessLog(logs.write_requests, reactor, "json" if settings.access_log_format == "json" else "text")
    factory = ServerFactory(_not_yet, settings.limits, reactor, workers, access_log.record)
    ports = listen(settings, _with_tls(settings, factory, reactor) if secure else factory, reactor)
    runner = CoroutineRunner(workers, starter(reactor))
    host = Host(settings, workers, reactor_stopper(reactor), logs.open_log, runner)
    host.traffic = factory
    services = Services(
        workers, settings.limits, settings.compression, settings.threads, cast(TextIO, ErrorStream(logs)), host.enter
    )
    try:
        factory.dispatch = dispatcher(settings, declaration, services, host)
        host.open(reactor, declaration.clusters(), declaration.max_rcache)
    except BaseException:
        close_all(ports)
        raise
    parts = Parts(reactor, pool, workers, access_log, factory, ports, secure, host, runner)
    return Server(WebService(parts, settings.graceful_timeout, logs.announce), logs)


def _not_yet(exchange: Exchange) -> None:
    """Stand for the mount table until the applications are loaded; no connection is accepted before."""
    raise AssertionError("the reactor runs although nothing is mounted yet")


def _with_tls(settings: Settings, factory: ServerFactory, reactor: Any) -> IProtocolFactory:
    # It takes as long to import as everything else together.
    from skitai.tls import make_context, wrap_factory

    assert settings.certfile is not None
    return wrap_factory(make_context(settings.certfile, settings.keyfile, settings.passphrase), factory, reactor)


def _thread_pool(reactor: Any, threads: int) -> ThreadPool:
    """Make room for the application threads in the reactor's pool. All its threads become daemons.

    An ordinary thread that hangs would keep the process from ending, whatever the reactor does.
    """
    pool: ThreadPool = reactor.getThreadPool()
    pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
    reactor.suggestThreadPoolSize(threads + OTHER_THREADS)
    return pool
