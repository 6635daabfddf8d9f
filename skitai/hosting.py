"""What the server is to the applications that it runs: ``wasc``, the ``was`` of each request, status and shutdown.

Layer 4. It must not know how requests are served or applications loaded.

Thread: the main thread makes, starts and stops it; ``facts`` and ``stop`` are called by any, ``enter`` by the one that
runs the application.
"""

from __future__ import annotations

import enum
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning

from skitai.config import BY_NAME, OPTIONS, Settings
from skitai.constants import VERSION
from skitai.datedlogs import parse_freq
from skitai.errors import ConfigError
from skitai.lifecycle import Lifecycle
from skitai.mounting import entering
from skitai.values import Secret
from skitai.was.bridge import Workers
from skitai.was.context import Was, attach, detach, registry
from skitai.was.coroutines import Runtime
from skitai.was.loggers import Loggers, OpenLog
from skitai.was.result import Response
from skitai.was.wasc import Wasc

if TYPE_CHECKING:
    from skitai.aliases import Alias
    from skitai.apps import Mounted
    from skitai.was.asking import Asker
    from skitai.was.bridge import Bridge
    from skitai.was.result_store import MemoryStore
    from skitai.web.exchange import Exchange


_LOOK_AGAIN: Final = 0.05
"""Seconds between two looks at what a stop waits for."""


class _Course(enum.IntEnum):
    """What the server is about. It only ever goes on to a later one: whoever has said first that it is to stop counts,
    and a stop counts more than a restart."""

    RUNNING = enum.auto()
    RESTARTING = enum.auto()
    STOPPING = enum.auto()


class Pool(Workers, Protocol):
    """What is needed of the application threads."""

    @property
    def queued(self) -> int:
        """How many jobs wait."""

    def busy(self) -> Sequence[object]:
        """Return the jobs that run."""

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs, nor has left anything for the reactor. Thread: reactor."""

    def release(self) -> None:
        """End all waits of threads, now and from now on. Thread: reactor."""


class Runner(Runtime, Protocol):
    """What is needed of who runs coroutines."""

    def busy(self) -> Sequence[object]:
        """Return the requests that coroutines answer. Thread: any."""


class Traffic(Protocol):
    """What is needed of the factory of connections."""

    @property
    def channels(self) -> set[Any]:
        """The open connections."""

    @property
    def requests(self) -> int:
        """How many requests have come."""


class Host:
    """The server as applications know it.

    Args:
        settings: All options.
        workers: The application threads.
        stop: Stops the reactor, unless it stops already; called in the reactor.
        open_log: Opens the files of loggers that applications make; None where logs are no files.
        runtime: Runs coroutines; None where they can not be run.

    Attributes:
        enter: Makes the ``was`` of a request: what ``skitai.web.wsgi.Services`` gets.
        lifecycle: Calls the hooks of applications.
        wasc: What hooks get.
        mounted: What is served, for the status page.
        traffic: What knows the connections, for the status page; None before there is one.
        can_restart: Whether who started the server can start it anew.
        restart_is_off: Called in the reactor when a restart that has begun has become a stop.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Pool,
        stop: Callable[[], object],
        open_log: OpenLog | None = None,
        runtime: Runner | None = None,
    ) -> None:
        self.wasc = Wasc(Loggers(open_log or _open_no_log), dict(public_options(settings)), settings.threads, self)
        self.lifecycle = Lifecycle(self.wasc)
        self.enter: Callable[[Exchange, dict[str, Any]], Was] = entering(runtime, self)
        self.mounted: Sequence[Mounted] = ()
        self.traffic: Traffic | None = None
        self._asker: Asker | None = None
        self._threads: Bridge | None = None
        self._store: MemoryStore[Response] | None = None
        self._settings = settings
        self._workers = workers
        self._runtime = runtime
        self._stop = stop
        self._lock = threading.Lock()
        self._course = _Course.RUNNING
        self.can_restart = False
        self.restart_is_off: Callable[[], object] = lambda: None
        self._began = time.monotonic()

    def open(
        self,
        reactor: Any,
        aliases: Iterable[Alias],
        max_results: int | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be ready to make requests.

        Args:
            reactor: Makes connections.
            aliases: The clusters.
            max_results: How many results the cache keeps; None for the usual number.
            now: Tells the time, in seconds, that results are kept and waits take. Thread: any.

        Raises:
            ConfigError: Certificates of an alias can not be used.
        """
        from skitai.was.asking import Asker
        from skitai.was.bridge import Bridge
        from skitai.was.client import HTTPClient
        from skitai.was.cluster import Clusters
        from skitai.was.limits import ClientSettings
        from skitai.was.result_cache import MAX_KNOWN, ResultCache
        from skitai.was.result_store import DEFAULT_ENTRIES, MemoryStore

        aliases = list(aliases)
        for alias in aliases:
            _check_trust(alias)
        settings = self._settings
        entries = DEFAULT_ENTRIES if max_results is None else max_results
        self._store = store = MemoryStore[Response](entries, now)
        client = HTTPClient(reactor, ClientSettings(max_connections=settings.max_server_connections), reactor)
        self._threads = Bridge(self._workers, reactor, now)
        cache = ResultCache(store, now, max(entries, MAX_KNOWN))
        self._asker = Asker(client, Clusters(aliases), cache, reactor, settings.max_response_size)

    @property
    def asker(self) -> Asker:
        """What makes requests.

        Raises:
            RuntimeError: ``open`` was not called.
        """
        if self._asker is None:
            raise RuntimeError("requests can be made when the server has started")
        return self._asker

    @property
    def threads(self) -> Bridge:
        """The bridge between threads and reactor; see ``asker``."""
        if self._threads is None:
            raise RuntimeError("requests can be made when the server has started")
        return self._threads

    def settled(self) -> Deferred[None]:
        """Return what fires when nothing is under way any more, or after ``release``. Thread: reactor.

        What a callback asks in its turn counts too, and what is asked by the callback of that.
        """
        settled: Deferred[None] = Deferred()
        self._look(settled, False)
        return settled

    def _look(self, settled: Deferred[None], quiet: bool) -> None:
        """Look every now and then whether anything is under way: this is done but once, at the stop.

        Args:
            settled: Fires when nothing is, twice in a row: for a moment a job neither waits nor runs.
            quiet: Whether nothing was when this was looked at last.
        """
        threads = self._threads
        if threads is None or threads.closed:
            settled.callback(None)
            return
        jobs = not self._workers.idle or (self._runtime is not None and self._runtime.busy())
        now_quiet = not jobs and not self.under_way
        if quiet and now_quiet:
            settled.callback(None)
        else:
            threads.later(_LOOK_AGAIN, self._look, settled, now_quiet)

    @property
    def under_way(self) -> int:
        """How many requests to other servers are under way."""
        return 0 if self._asker is None else len(self._asker.client.deadlines)

    @property
    def lookups(self) -> int:
        """How many names of servers are being looked up, in threads that nothing ends."""
        return 0 if self._asker is None else self._asker.client.lookups

    def release(self) -> None:
        """End all requests that are on their way, so that no thread waits for one any more. Thread: reactor."""
        if self._asker is not None and self._threads is not None:
            self._threads.close()  # first: who is told that its request has ended is not to wait for another one
            self._asker.close()

    def start(self) -> None:
        """Start the applications: nothing has been served yet."""
        self._began = time.monotonic()
        attach(self)
        self.lifecycle.start([item.application for item in self.mounted if item.application is not None])

    def end(self) -> None:
        """End the applications: nothing is served any more. Further calls do nothing."""
        self.lifecycle.stop()
        self.release()
        detach(self)
        self._workers.release()

    def restart(self) -> None:
        """Stop the server gracefully, and have it started anew; nothing happens where it stops already. Thread: any.

        Raises:
            RuntimeError: Who started it can not do that.
        """
        if not self.can_restart:
            raise RuntimeError("was.restart() works where the program runs the server itself: python app.py")
        self._end_as(_Course.RESTARTING)

    def stop(self) -> None:
        """Stop the server gracefully, for good; further calls change nothing. Thread: any."""
        self._end_as(_Course.STOPPING)

    def stops(self) -> bool:
        """Take note that the server stops now, whoever has said so; return whether it is a restart. Thread: reactor."""
        with self._lock:
            if self._course is _Course.RUNNING:
                self._course = _Course.STOPPING
            return self._course is _Course.RESTARTING

    @property
    def restarting(self) -> bool:
        """Whether the server is started anew when it has stopped. Thread: any."""
        return self._course is _Course.RESTARTING

    def _end_as(self, course: _Course) -> None:
        with self._lock:
            before = self._course
            if course <= before:
                return
            self._course = course
        # Not at once, even in the reactor: what called this is to go on undisturbed.
        self._workers.to_reactor(self._stop if before is _Course.RUNNING else self.restart_is_off)

    def application_at(self, point: str) -> Any:
        """Return the application object that is mounted at a point, None where there is none.

        Of several, on hosts of their own, that of the default site comes first. Thread: any.
        """
        found = [item for item in self.mounted if item.mount.point.strip("/") == point.strip("/") and item.application]
        found.sort(key=lambda item: bool(item.mount.host))
        return found[0].application.application if found and found[0].application is not None else None

    def facts(self) -> Mapping[str, Any]:
        """Return what the server is and does, without secrets. Thread: any."""
        return {
            "Server": self._server_facts(),
            "Mounts": [_mount_facts(item) for item in list(self.mounted)],
            "Aliases": list(self._alias_facts()),
            "Connections to other servers": [] if self._asker is None else self._asker.client.describe(),
            "Registered objects": sorted(registry),
            "Options": dict(_shown_options(self._settings)),
        }

    def _server_facts(self) -> dict[str, Any]:
        traffic = self.traffic
        return {
            "Skitai": VERSION,
            "Twisted": version("twisted"),
            "Python": f"{platform.python_implementation()} {platform.python_version()}",
            "Platform": platform.platform(),
            "Executable": sys.executable,
            "Process": os.getpid(),
            "Running for": _duration(time.monotonic() - self._began),
            "Application threads": self.wasc.numthreads,
            "Calls in threads": len(self._workers.busy()),
            "Requests answered by coroutines": 0 if self._runtime is None else len(self._runtime.busy()),
            "Requests waiting for a thread": self._workers.queued,
            "Open connections": None if traffic is None else len(traffic.channels),
            "Requests served": None if traffic is None else traffic.requests,
            "Requests to other servers under way": None if self._asker is None else self.under_way,
            "Results kept": None if self._store is None else len(self._store),
        }

    def _alias_facts(self) -> Iterator[dict[str, Any]]:
        """Yield a line for each member of each cluster."""
        asker = self._asker
        if asker is None:
            return
        for cluster in asker.clusters:
            for member in cluster.describe(asker.now()):
                yield {
                    "Alias": cluster.name,
                    "Type": cluster.alias.type,
                    "Member": member["member"],
                    "Weight": member["weight"],
                    "Requests under way": member["outstanding"],
                    "State": member["state"],
                    "Rests for": f"{member['rests']:g} s" if member["rests"] else None,
                }


def public_options(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every option that is no secret."""
    for option in OPTIONS:
        if not isinstance(option.kind, Secret):
            yield option.name, getattr(settings, option.attribute)


def _shown_options(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Yield the same as a user would write it."""
    for name, value in public_options(settings):
        yield name, None if value is None else BY_NAME[name].kind.show(value)


def reactor_stopper(reactor: Any) -> Callable[[], None]:
    """Return what stops a reactor, whether that has begun to run or to stop or not."""

    def _stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass  # it stops already

    return lambda: reactor.callWhenRunning(_stop)


def _check_trust(alias: Alias) -> None:
    """Raise ConfigError where the file with the authorities of an alias can not be used."""
    if alias.cafile is None:
        return
    # It takes as long to import as everything else together.
    from skitai.was.tls import make_context

    try:
        make_context(alias.cafile, alias.verify, ())
    except ConfigError as error:
        raise ConfigError([f"alias {alias.name!r}: {fault}" for fault in error.faults]) from error


def _open_no_log(name: str, freq: str | int) -> None:
    parse_freq(freq)  # what is wrong with files is wrong without


def _mount_facts(item: Mounted) -> dict[str, Any]:
    application = item.application
    target = item.directory or (item.mount.target if application is None else application.name)
    return {
        "Mount point": item.mount.point,
        "Host": item.mount.host or "any",
        "Target": target,
        "Kind": item.kind,
        "Debug": None if application is None else application.debug,
        "Reloader": None if application is None else application.use_reloader,
        "State": "failed" if application is not None and application.failure is not None else "serving",
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{rest:02}" if days else f"{hours}:{minutes:02}:{rest:02}"
