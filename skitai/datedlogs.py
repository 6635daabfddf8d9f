"""Log files that applications have for themselves: a new file begins each day, week or month, or at some size.

``login.log`` is the current file of a dated log. When its time is over it is renamed by the day that it began with,
``login.log.2016-12-30`` (``login.log.2016-12`` for a month), and the oldest are removed. Days begin at local midnight,
weeks on Monday.

Layer 4, standard library only. It must not know what is logged. Thread: any, as ``skitai.logs.LogFile``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from skitai.logs import LogFile, Sink
from skitai.values import Size

PERIODS: Final = ("daily", "weekly", "monthly")

_DATED: Final = re.compile(r"\d{4}-\d\d(-\d\d)?")


def parse_freq(freq: object) -> str | int:
    """Return when a new file is begun: one of ``PERIODS``, or a size in bytes.

    Raises:
        ValueError: It is neither.
    """
    if freq in PERIODS:
        return str(freq)
    try:
        return Size(1).parse(freq)
    except ValueError:
        raise ValueError(
            f"freq must be {', '.join(map(repr, PERIODS))} or a size such as '10M', not {freq!r}"
        ) from None


def open_log_file(path: str, freq: str | int, rotate_keep: int, console: Sink) -> LogFile:
    """Open the file of a log of its own.

    Args:
        path: The file's path.
        freq: As ``parse_freq`` returns it.
        rotate_keep: How many old files are kept.
        console: Where to say that writing fails.

    Raises:
        OSError: The file can not be opened.
    """
    if isinstance(freq, int):
        return LogFile(path, freq, rotate_keep, console)
    return DatedLogFile(path, freq, rotate_keep, console)


class DatedLogFile(LogFile):
    """A file that lines are appended to, renamed when its day, week or month is over.

    Args:
        path: The file's path.
        period: One of ``PERIODS``.
        rotate_keep: How many old files are kept.
        console: Where to say that writing fails.
        now: UNIX time.

    Raises:
        OSError: The file can not be opened.
    """

    def __init__(
        self, path: str, period: str, rotate_keep: int, console: Sink, now: Callable[[], float] = time.time
    ) -> None:
        self._period = period
        self._now = now
        self._keep = rotate_keep
        try:
            status = os.stat(path)
            # What an earlier process has left belongs to the time when it was written.
            began = status.st_mtime if status.st_size else now()
        except OSError:
            began = now()
        self._label, self._until = span(period, began)
        super().__init__(path, 0, rotate_keep, console)

    def write(self, data: bytes) -> None:
        """Append whole lines, to a new file where the time of the old one is over."""
        with self._lock:
            now = self._now()
            if now >= self._until:
                self._turn(now)
            super().write(data)

    def _turn(self, now: float) -> None:
        label, (self._label, self._until) = self._label, span(self._period, now)
        dated = f"{self.path}.{label}"
        try:
            # Another process that shares the file may have renamed it already; and nothing is ever written over.
            if self._is_current() and os.fstat(self._descriptor).st_size and not os.path.exists(dated):
                if self._keep:
                    os.rename(self.path, dated)
                else:
                    os.unlink(self.path)
            self._open()
            self._remove_old()
        except OSError as error:
            self._report("it is not rotated", error)

    def _remove_old(self) -> None:
        directory, name = os.path.split(self.path)
        start = name + "."
        old = [
            item for item in os.listdir(directory) if item.startswith(start) and _DATED.fullmatch(item[len(start) :])
        ]
        for item in sorted(old)[: max(0, len(old) - self._keep)]:
            os.unlink(os.path.join(directory, item))


def span(period: str, moment: float) -> tuple[str, float]:
    """Return the name of the day, week or month that a moment is in, and when it ends.

    Args:
        period: One of ``PERIODS``.
        moment: UNIX time.

    Returns:
        The date, "2016-12-30" or "2016-12", and the UNIX time of the next one's beginning, by the local clock.
    """
    local = time.localtime(moment)
    first = date(local.tm_year, local.tm_mon, local.tm_mday)
    if period == "weekly":
        first -= timedelta(local.tm_wday)
    elif period == "monthly":
        first = first.replace(day=1)
    days = {"daily": 1, "weekly": 7, "monthly": 31}[period]
    following = first + timedelta(days)
    if period == "monthly":
        following = following.replace(day=1)
    return first.isoformat()[: 7 if period == "monthly" else 10], _beginning(following)


def _beginning(day: date) -> float:
    moment = time.mktime((day.year, day.month, day.day, 0, 0, 0, 0, 0, -1))
    # Where clocks go forward at midnight there is none, and what stands for it may be an hour of the day before.
    return moment if time.localtime(moment)[:3] == (day.year, day.month, day.day) else moment + 3600
