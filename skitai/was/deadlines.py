"""One timer for the deadlines of all requests.

A delayed call for each request would have to be made and cancelled for each. Here a request is an entry in a
dictionary; the timer wakes at the earliest deadline that it knew of when it was set, and looks again. Nearly all
entries are gone by then, so that it wakes seldom.

Layer 3. It must not know what has a deadline. Thread: reactor.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

RESOLUTION: Final = 0.01
"""Seconds that the timer waits at least, so that many deadlines close to each other are looked at together."""


_log = Logger(namespace="skitai.was")


class Entry(Protocol):
    """What has a deadline."""

    deadline: float

    def expire(self) -> None:
        """The deadline has come; the entry was taken out before."""


class Deadlines:
    """The entries that wait, and the timer.

    Args:
        clock: Has the time that deadlines are in.
    """

    __slots__ = ("_call", "_clock", "_entries", "_wake")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._entries: dict[Entry, None] = {}
        self._wake = inf
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Have ``entry`` expire at its deadline."""
        self._entries[entry] = None
        if entry.deadline < self._wake:
            self._set(entry.deadline)

    def discard(self, entry: Entry) -> None:
        """Forget ``entry``, whether or not it is there. The timer stays: another entry will need it soon."""
        self._entries.pop(entry, None)

    def entries(self) -> list[Entry]:
        """Return all entries."""
        return list(self._entries)

    def stop(self) -> None:
        """Stop the timer; entries do not expire any more until another one is added."""
        self._wake = inf
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _set(self, wake: float) -> None:
        self._wake = wake
        delay = max(0.0, wake - self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(delay, self._look)
        else:
            self._call.reset(delay)

    def _look(self) -> None:
        self._call = None
        self._wake = inf
        now = self._clock.seconds()
        due = [entry for entry in self._entries if entry.deadline <= now]
        for entry in due:
            # One that expires may have others discarded.
            if entry in self._entries:
                del self._entries[entry]
                try:
                    entry.expire()
                except Exception:
                    _log.failure("{entry!r} could not expire", entry=entry)  # the others do
        earliest = min((entry.deadline for entry in self._entries), default=inf)
        if earliest < self._wake:
            self._set(max(earliest, self._clock.seconds() + RESOLUTION))
