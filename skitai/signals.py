"""Signals of the process, and its last resort when it does not end by itself.

INT and TERM stop the server gracefully; a second one ends the process at once. Only signals count for that: the first
one that comes while the server stops for another reason changes no more than that it is not started anew then. USR1
reopens the log files. twistd and the reactor have handlers of their own, which make a stop by signal look like a
failure; ours take their place once the reactor runs.

Layer 4. It must not know what stopping means: it is handed functions. Handlers run in the main thread, between any two
of its instructions, so they do no more than pass the matter on.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.logger import Logger

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

GRACE: Final = 1.0
"""Seconds after the deadline of a graceful stop when the process is ended by force: something is stuck."""

_log = Logger(namespace="skitai.server")


class Interrupted(BaseException):
    """A signal has come before anything was served. No application that is being loaded should catch it."""


class SignalReactor(Protocol):
    """What is needed of the reactor."""

    def callFromThread(self, function: Callable[..., Any], /) -> None:
        """Call ``function`` soon. Thread: any, or a signal handler."""

    def callWhenRunning(self, function: Callable[..., Any], /) -> Any:
        """Call ``function`` once the reactor runs."""


class Watchdog:
    """Ends the process when stopping takes too long, whatever is stuck: the reactor, a thread, or a hook at exit.

    Args:
        seconds: Time for the graceful stop, to which ``GRACE`` is added.
        last_words: Called before the end, in a thread of its own; writes what is still to be said.
        leave: Ends the process.
    """

    def __init__(
        self, seconds: float, last_words: Callable[[], object], leave: Callable[[int], object] = os._exit
    ) -> None:
        self._seconds = seconds + GRACE
        self._last_words = last_words
        self._leave = leave
        self._armed = False

    def arm(self) -> None:
        """Begin to count; further calls change nothing. Thread: reactor, or a signal handler."""
        if not self._armed:
            self._armed = True
            # threading.Thread takes locks that the code a signal handler has interrupted may be holding.
            _thread.start_new_thread(self._watch, ())

    def _watch(self) -> None:
        time.sleep(self._seconds)
        self.end()

    def end(self) -> None:
        """Say the last words and end the process, as stopped: with status 0."""
        try:
            self._last_words()
        finally:
            self._leave(0)


@dataclass(frozen=True, slots=True)
class Actions:
    """What signals bring about.

    Attributes:
        stop: Stops the server gracefully, for good; called by the reactor.
        reopen: Reopens log files; called by the reactor.
        flush: Writes what logs still hold; called by the handler of a second signal.
    """

    stop: Callable[[], object]
    reopen: Callable[[], object]
    flush: Callable[[], object]


class Signals(Service):
    """Handles the signals of the process while the reactor runs.

    Args:
        reactor: The reactor that serves.
        watchdog: Guards the stop.
        actions: What signals bring about.
        leave: Ends the process.

    Attributes:
        came: Whether a signal has said that the server is to stop.
    """

    def __init__(
        self,
        reactor: SignalReactor,
        watchdog: Watchdog,
        actions: Actions,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.came = False
        self._reactor = reactor
        self._watchdog = watchdog
        self._actions = actions
        self._leave = leave
        self._installed = False

    def startService(self) -> None:
        """Take over the signals as soon as the reactor has installed its own handlers."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self.install)

    def stopService(self) -> None:
        """Guard a stop that no signal has begun, too. The handlers stay: signals must still work."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._installed:
            self._watchdog.arm()

    def install(self) -> None:
        """Install the handlers. Thread: reactor, which must be the main thread."""
        self._installed = True
        for number in STOP_SIGNALS:
            signal.signal(number, self.on_stop)
        signal.signal(signal.SIGUSR1, self.on_reopen)

    def on_stop(self, number: int, frame: FrameType | None = None) -> None:
        """Handle INT and TERM."""
        if self.came:
            try:
                self._actions.flush()
            finally:
                self._leave(128 + number)
            return
        self.came = True
        self._watchdog.arm()
        self._reactor.callFromThread(lambda: self._stop(number))

    def on_reopen(self, number: int, frame: FrameType | None = None) -> None:
        """Handle USR1."""
        self._reactor.callFromThread(self._actions.reopen)

    def _stop(self, number: int) -> None:
        _log.info("stopping ({signal}); once more to stop at once", signal=signal.Signals(number).name)
        self._actions.stop()


def interrupt_start() -> None:
    """Have INT and TERM raise ``Interrupted`` in the main thread, as long as nothing is served yet."""

    def _leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    for number in STOP_SIGNALS:
        signal.signal(number, _leave)


def prepare_exec() -> None:
    """Let signals be ready for the program that takes the place of this one. Thread: main.

    From now on INT and TERM end the process, which serves nothing. What rotates logs may send USR1 before the program
    handles it; that would end it.
    """
    # Which calls the handlers of those that have come, too.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    # Ignored signals remain ignored in another program, others do what they do by themselves.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
