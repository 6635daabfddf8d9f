"""Conditional requests (RFC 9110 section 13): entity tags, dates, and whether a request is to be carried out.

A caller gathers the fields it needs once (``gather``), asks ``precondition`` how to answer and, for a GET with a Range,
``range_applies`` whether to honour it; ``skitai.web.byteranges`` does that.

Layer 1: pure functions over field values. It must not know files, Twisted or the clock; where a date matters the time
is an argument. Thread: any.
"""

from __future__ import annotations

import calendar
import datetime
import re
import time
from collections.abc import Mapping
from typing import Final, TypeAlias

from skitai.web.events import HeaderList

Fields: TypeAlias = Mapping[bytes, bytes]

FIELDS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range"}
)
"""The fields that this module reads."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name.encode(): number for number, name in enumerate(_MONTHS, 1)}
_LAST_DATE: Final = 253402300799
"""The last second of the year 9999: a date has four digits for the year."""

_MONTH: Final = rb"(?P<month>" + "|".join(_MONTHS).encode() + rb")"
_TIME: Final = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES: Final = (
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT"
    ),
    re.compile(
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{2})-"
        + _MONTH
        + rb"-(?P<year>[0-9]{2}) "
        + _TIME
        + rb" GMT"
    ),
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" (?P<day>[0-9 ][0-9]) " + _TIME + rb" (?P<year>[0-9]{4})"
    ),
)
# Blanks stand in no two places that could share a run of them: finding out that they can not takes quadratic time.
_ENTITY_TAG: Final = re.compile(
    rb'[ \t]*(?:(?P<weak>W/)?(?P<opaque>"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|\Z)',
)


def gather(headers: HeaderList, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the fields called ``names`` in one pass, repeated ones joined with ", " (RFC 9110 section 5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in names:
            fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def format_date(seconds: float) -> bytes:
    """Return a time as IMF-fixdate (RFC 9110 section 5.6.7), whatever the locale.

    Args:
        seconds: Since the epoch; what lies outside the years 1970 to 9999 becomes their first or last second.
    """
    at = time.gmtime(min(max(int(seconds), 0), _LAST_DATE))
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT".encode()


def parse_date(value: bytes, now: float) -> int | None:
    """Return the seconds since the epoch of a date in one of the three forms of RFC 9110 section 5.6.7, or None.

    Args:
        value: The field value.
        now: The time, which tells the century of a date with a two-digit year.
    """
    for form in _DATES:
        match = form.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        this_year = time.gmtime(now).tm_year
        year += this_year - this_year % 100
        # More than 50 years ahead is the most recent such year in the past.
        if year > this_year + 50:
            year -= 100
    try:
        # A leap second is valid, and the same as the second before it to us.
        moment = datetime.datetime(
            year,
            _MONTH_NUMBERS[match["month"]],
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            59 if match["second"] == b"60" else int(match["second"]),
        )
    except ValueError:
        return None
    return calendar.timegm(moment.timetuple())


def names_tag(value: bytes, etag: bytes, weakly: bool = False) -> bool:
    """Return whether a list of entity tags holds ``etag``, or is ``*`` (RFC 9110 sections 8.8.3.2 and 13.1.1).

    Args:
        value: If-Match or If-None-Match.
        etag: The current entity tag, with its quotes.
        weakly: Compare weakly; strong comparison never matches a weak tag.
    """
    if value == etag:
        return weakly or not etag.startswith(b"W/")
    if value == b"*":
        return True
    current_weak, opaque = etag.startswith(b"W/"), etag.removeprefix(b"W/")
    position = 0
    while position < len(value):
        match = _ENTITY_TAG.match(value, position)
        if match is None:
            # Not a list of entity tags: what follows the fault is no safe reading of it.
            return False
        if match["opaque"] == opaque and (weakly or not (current_weak or match["weak"])):
            return True
        position = match.end()
    return False


def precondition(fields: Fields, method: str, etag: bytes, modified: float, now: float) -> int:
    """Evaluate the preconditions of a request to an existing representation in the order of RFC 9110 section 13.2.2.

    Args:
        fields: The request's conditional fields, from ``gather``.
        method: The request method.
        etag: Entity tag of the selected representation.
        modified: When it was last modified, in seconds since the epoch.
        now: The time, in seconds since the epoch.

    Returns:
        0 to carry the request out, 304 or 412 to answer with instead.
    """
    reading = method in ("GET", "HEAD")
    # Step 1, else step 2
    if (value := fields.get(b"if-match")) is not None:
        if not names_tag(value, etag):
            return 412
    elif (value := fields.get(b"if-unmodified-since")) is not None:
        date = parse_date(value, now)
        if date is not None and int(modified) > date:
            return 412
    # Step 3, else step 4
    if (value := fields.get(b"if-none-match")) is not None:
        if names_tag(value, etag, weakly=True):
            return 304 if reading else 412
    elif reading and (value := fields.get(b"if-modified-since")) is not None:
        date = parse_date(value, now)
        if date is not None and int(modified) <= date:
            return 304
    return 0


def range_applies(fields: Fields, etag: bytes, modified: float, now: float) -> bool:
    """Return whether If-Range, if there is one, lets the Range be honoured (RFC 9110 section 13.1.5).

    An entity tag must match strongly, a date exactly.
    """
    value = fields.get(b"if-range")
    if value is None:
        return True
    if value.endswith(b'"'):
        return value == etag and not etag.startswith(b"W/")
    return parse_date(value, now) == int(modified)
