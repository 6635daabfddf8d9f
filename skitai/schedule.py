"""Cron expressions.

``Schedule.parse("*/10 9-17 * * mon-fri")`` reads the five fields as crontab(5) has them. It must not know who runs
what then, what time it is, nor any other module of Skitai.

Thread: any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, word: str) -> int:
        """Return the number that ``word`` stands for; names count from ``least``."""
        if word in self.names:
            return self.names.index(word) + self.least
        if not re.fullmatch(r"\d{1,2}", word, re.ASCII) or not self.least <= int(word) <= self.most:
            raise ValueError(f"{word!r} is not a {self.name} ({self.least} to {self.most})")
        return int(word)

    def numbers(self, part: str) -> range:
        """Return what one item of a list, such as "*/5", "1-7/2" or "9", stands for."""
        span, slash, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.least, self.most
        else:
            low = self.number(first)
            # "a/n" means from a to the end, as "a-end/n".
            high = self.number(last) if dash else (self.most if slash else low)
        if low > high:
            raise ValueError(f"{span!r} runs backwards")
        if slash and (not re.fullmatch(r"\d{1,3}", step_text, re.ASCII) or int(step_text) == 0):
            raise ValueError(f"{step_text!r} is not a step")
        return range(low, high + 1, int(step_text) if slash else 1)

    def parse(self, text: str) -> frozenset[int]:
        """Return all numbers the field stands for."""
        return frozenset(number for part in text.lower().split(",") for number in self.numbers(part))


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a command is to run, in local time.

    Attributes:
        minutes: 0 to 59.
        hours: 0 to 23.
        days: Days of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 0 (Sunday) to 6.
        any_day: Whether it is enough that a day fits ``days`` or ``weekdays``: as POSIX has it for two restrictions.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Return the schedule that ``text`` describes.

        Raises:
            ValueError: It is no cron expression; the message says which part is wrong.
        """
        words = text.split()
        if len(words) != len(_FIELDS):
            raise ValueError(f"a schedule has five fields (minute hour day month weekday), not {len(words)}")
        minutes, hours, days, months, weekdays = (field.parse(word) for field, word in zip(_FIELDS, words, strict=True))
        any_day = not words[2].startswith("*") and not words[4].startswith("*")
        return cls(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), any_day)
