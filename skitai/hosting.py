"""What the server is to the applications that it runs: ``wasc``, the ``was`` of each request, status and shutdown.

Layer 4. It must not know how requests are served or applications loaded.

Thread: the main thread makes, starts and stops it; ``facts`` and ``stop`` are called by any, ``enter`` by the one that
runs the application.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ReactorNotRunning

from skitai.config import BY_NAME, OPTIONS, Settings
from skitai.constants import VERSION
from skitai.datedlogs import parse_freq
from skitai.lifecycle import Lifecycle
from skitai.mounting import entering
from skitai.values import Secret
from skitai.was.context import Was, attach, detach, registry
from skitai.was.coroutines import Runtime
from skitai.was.loggers import Loggers, OpenLog
from skitai.was.wasc import Wasc

if TYPE_CHECKING:
    from skitai.apps import Mounted
    from skitai.web.exchange import Exchange


class Pool(Protocol):
    """What is needed of the application threads."""

    @property
    def queued(self) -> int:
        """How many jobs wait."""

    def busy(self) -> Sequence[object]:
        """Return the jobs that run."""

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor. Thread: any."""


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
        stop: Stops the reactor; called once, in the reactor.
        open_log: Opens the files of loggers that applications make; None where logs are no files.
        runtime: Runs coroutines; None where they can not be run.

    Attributes:
        enter: Makes the ``was`` of a request: what ``skitai.web.wsgi.Services`` gets.
        lifecycle: Calls the hooks of applications.
        wasc: What hooks get.
        mounted: What is served, for the status page.
        aliases: Names of the aliases, for the status page.
        traffic: What knows the connections, for the status page; None before there is one.
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
        self.aliases: Sequence[str] = ()
        self.traffic: Traffic | None = None
        self._settings = settings
        self._workers = workers
        self._runtime = runtime
        self._stop = stop
        self._lock = threading.Lock()
        self._stopping = False
        self._began = time.monotonic()

    def start(self) -> None:
        """Start the applications: nothing has been served yet."""
        self._began = time.monotonic()
        attach(self)
        self.lifecycle.start([item.application for item in self.mounted if item.application is not None])

    def end(self) -> None:
        """End the applications: nothing is served any more. Further calls do nothing."""
        self.lifecycle.stop()
        detach(self)

    def stop(self) -> None:
        """Stop the server gracefully; further calls change nothing. Thread: any."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        # Not at once, even in the reactor: what called this is to go on undisturbed.
        self._workers.to_reactor(self._stop)

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
            "Aliases": list(self.aliases),
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
