"""The request log: lines of finished exchanges are gathered and written in batches.

``record`` makes the line, in whatever thread finished the exchange and after its answer has left. To keep the exchange
and format it later takes twice as long: by then it has been pushed out of the processor's caches, and has kept others
out. The reactor writes what has gathered in one piece: every ``BUSY_PERIOD`` seconds while there is something, less and
less often, down to every ``IDLE_PERIOD``, while there is nothing. A thread other than the reactor's can start no timer
and need not wake the reactor for a line in a log; that is why the timer never rests altogether.

Layer 2. It knows nothing of files: ``write`` gets text. What a line looks like is ``skitai.web.loglines``' business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from skitai.web.exchange import Exchange
from skitai.web.loglines import JSONLines, LineFormat, TextLines

BUSY_PERIOD: Final = 0.02
"""Seconds between two batches while requests come."""

IDLE_PERIOD: Final = 0.25
"""Seconds between two looks, at most, while none come: how long a line may be late."""

Format: TypeAlias = Literal["text", "json"]

_log = Logger(namespace="skitai.web.accesslog")


class AccessLog:
    """Gather finished exchanges and write their lines.

    Args:
        write: Takes whole lines, several at once; it is called by whoever calls ``flush``.
        clock: The clock that the times of exchanges were taken from.
        format: "text" or "json".
        now: Returns seconds since the epoch.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        clock: IReactorTime,
        format: Format = "text",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._clock = clock
        self._now = now
        self._line: LineFormat = JSONLines() if format == "json" else TextLines()
        self._pending: list[str] = []
        self._offset = now() - clock.seconds()
        self._timer: IDelayedCall | None = None
        self._period = BUSY_PERIOD
        self._failing = False

    def record(self, exchange: Exchange) -> None:
        """Make the line of a finished exchange.

        Thread: any.
        """
        try:
            if not exchange.finished:
                # The client was gone before the end: this is when we were done with it.
                exchange.finished = self._clock.seconds()
            self._pending.append(self._line(exchange, self._offset))
        except Exception:
            _log.failure("a request can not be logged: {exchange!r}", exchange=exchange.request)

    def start(self) -> None:
        """Begin to write from time to time.

        Thread: reactor.
        """
        if self._timer is None:
            self._period = BUSY_PERIOD
            self._timer = self._clock.callLater(self._period, self._turn)

    def stop(self) -> None:
        """Write what has gathered and let the timer go; ``flush`` still works.

        Thread: reactor.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        self.flush()

    def flush(self) -> None:
        """Write what has gathered.

        Thread: reactor; when the process is ended by force, whichever thread does so.
        """
        pending = self._pending
        count = len(pending)
        if not count:
            return
        # Others only ever append, so the first ``count`` are ours to take without a lock.
        text = "".join(pending[:count])
        del pending[:count]
        try:
            self._write(text)
        except Exception:
            # A full disk must not stop the server; nor need the log be told of every batch that is lost.
            if not self._failing:
                _log.failure("the request log can not be written; lines are lost until it can")
            self._failing = True
        else:
            self._failing = False

    def _turn(self) -> None:
        self._offset = self._now() - self._clock.seconds()  # the wall clock may have been set
        busy = bool(self._pending)
        self._period = BUSY_PERIOD if busy else min(self._period * 2, IDLE_PERIOD)
        self._timer = self._clock.callLater(self._period, self._turn)
        self.flush()
