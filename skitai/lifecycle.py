"""The hooks of applications: startup, reload and shutdown.

An application object may have methods that are called with ``wasc``: ``skitai_startup`` once, before it gets its first
request; ``skitai_reload`` instead, where it takes the place of one that has been started; ``skitai_shutdown`` when the
server ends. What is mounted several times is one application object all the same.

Theory of operation. Applications are loaded while the server is made, which may be in another process (twistd makes a
daemon in between), so nothing is started then. ``start`` calls the hooks of all that are there. From then on whoever
loads an application calls ``admit`` with it before it gets requests; when that raises, the application is not used.
``stop`` calls the hooks in reverse order.

Layer 4. It must not know how applications are loaded, nor what their hooks do.

Thread: ``start`` and ``stop`` are called by the main thread, ``admit`` by any.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from twisted.logger import Logger

from skitai.was.wasc import Wasc

STARTUP: Final = "skitai_startup"
RELOAD: Final = "skitai_reload"
SHUTDOWN: Final = "skitai_shutdown"

_log = Logger(namespace="skitai.app")


class Startable(Protocol):
    """A mounted application (``skitai.programs.Application``)."""

    @property
    def application(self) -> Any:
        """The application object, None while there is none."""

    def settle(self) -> None:
        """Read the object's settings, which its hook may have changed."""

    def refuse(self, error: BaseException) -> None:
        """Do not serve with the object, because its hook has raised ``error``."""


class Lifecycle:
    """Calls the hooks of the applications of one server.

    Args:
        wasc: What hooks get.

    Attributes:
        wasc: What hooks get.
    """

    def __init__(self, wasc: Wasc) -> None:
        self.wasc = wasc
        self._lock = threading.Lock()
        self._started: list[Any] = []
        self._running = False
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether hooks are called for what is loaded."""
        return self._running

    def start(self, applications: Iterable[Startable]) -> None:
        """Start the applications, in their order. One whose hook raises is refused, the others are started."""
        # Before the hooks are called: an application that loads another has that started too.
        self._running = True
        failures: dict[int, BaseException] = {}
        for item in applications:
            application = item.application
            if application is None:
                continue
            error = failures.get(id(application))
            if error is None:
                try:
                    self.admit([(application, None)])
                except (Exception, SystemExit) as raised:
                    error = failures[id(application)] = raised
            if error is None:
                item.settle()
            else:
                item.refuse(error)

    def admit(self, changes: Sequence[tuple[Any, Any]]) -> None:
        """Call the hooks of applications that are about to serve: those for a reload, or those for a start.

        Args:
            changes: Application objects, each with the one whose place it takes, or None where there is none.

        Raises:
            BaseException: Whatever a hook has raised; then none of them counts as started.
        """
        if not self._running:
            return
        started: list[tuple[Any, Any]] = []
        for application, before in changes:
            if self._is_started(application) or any(application is other for other, _ in started):
                continue
            again = before is not None and self._is_started(before)
            self._call(application, RELOAD if again else STARTUP)
            started.append((application, before if again else None))
        with self._lock:
            for application, before in started:
                if before is None:
                    self._started.append(application)
                else:
                    # In the place of the other, so that the order in which they end stays.
                    self._started = [application if item is before else item for item in self._started]
            late = self._stopped
        if late:
            self._end_all()

    def stop(self) -> None:
        """End all that has been started, the last one first, and forget what they have registered.

        What a hook raises is logged, and the others are called. Further calls do nothing.
        """
        self._running = False
        with self._lock:
            self._stopped = True
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            ending, self._started = self._started[::-1], []
        for application in ending:
            self._end(application)
        self.wasc.unregister_all()

    def _is_started(self, application: Any) -> bool:
        # By identity: what applications make of "==" is their business.
        return any(item is application for item in self._started)

    def _end(self, application: Any) -> None:
        try:
            self._call(application, SHUTDOWN)
        except (Exception, SystemExit):
            _log.failure("the shutdown of {application} failed", application=_name(application))

    def _call(self, application: Any, name: str) -> None:
        hook = getattr(application, name, None)
        if callable(hook):
            # A context of its own: there is no request here, even where a thread in the middle of one reloads.
            contextvars.Context().run(hook, self.wasc)


def _name(application: Any) -> str:
    for attribute in ("name", "__name__"):
        name = getattr(application, attribute, None)
        if isinstance(name, str):
            return name
    return type(application).__name__
