"""Log files by day, week and month."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.datedlogs import DatedLogFile, open_log_file, parse_freq, span
from skitai.logs import LogFile
from tests.test_logs import Memory, read

DAY = 86400
FRIDAY = 1483056000  # 2016-12-30 00:00:00 UTC


class ZoneTestCase(SynchronousTestCase):
    """With a time zone that the test chooses."""

    def zone(self, name: str) -> None:
        before = os.environ.get("TZ")

        def restore() -> None:
            if before is None:
                os.environ.pop("TZ", None)
            else:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = name
        time.tzset()


class SpanTests(ZoneTestCase):
    """When days, weeks and months begin and end."""

    def test_by_the_local_clock(self) -> None:
        cases: tuple[tuple[str, str, float, str, float], ...] = (
            ("UTC0", "daily", FRIDAY, "2016-12-30", FRIDAY + DAY),
            ("UTC0", "daily", FRIDAY + DAY - 0.1, "2016-12-30", FRIDAY + DAY),
            ("UTC0", "daily", FRIDAY - 0.1, "2016-12-29", FRIDAY),
            ("UTC0", "weekly", FRIDAY, "2016-12-26", FRIDAY + 3 * DAY),
            ("UTC0", "weekly", FRIDAY + 3 * DAY, "2017-01-02", FRIDAY + 10 * DAY),
            ("UTC0", "monthly", FRIDAY, "2016-12", FRIDAY + 2 * DAY),
            ("UTC0", "monthly", FRIDAY + 33 * DAY, "2017-02", FRIDAY + 61 * DAY),
            ("KST-9", "daily", FRIDAY - 9 * 3600, "2016-12-30", FRIDAY + 15 * 3600),
            ("EST5", "daily", FRIDAY, "2016-12-29", FRIDAY + 5 * 3600),
        )
        for zone, period, moment, label, end in cases:
            self.zone(zone)
            self.assertEqual(span(period, moment), (label, end), (zone, period, moment))

    def test_every_month_has_a_next_one(self) -> None:
        self.zone("UTC0")
        moment, labels = float(FRIDAY), []
        for _ in range(13):
            label, moment = span("monthly", moment)
            labels.append(label)
        self.assertEqual(labels, ["2016-12", *(f"2017-{month:02}" for month in range(1, 13))])

    def test_a_day_without_midnight(self) -> None:
        """Where clocks go forward at midnight, the day begins at one o'clock, and no earlier."""
        self.zone("TST3TDT,M10.3.0/0,M2.3.0/0")
        saturday = time.mktime((2016, 10, 15, 12, 0, 0, 0, 0, -1))
        label, end = span("daily", saturday)
        self.assertEqual((label, time.localtime(end)[2:5]), ("2016-10-15", (16, 1, 0)))
        self.assertEqual(span("daily", end)[0], "2016-10-16")
        self.assertEqual(span("daily", end - 1)[0], "2016-10-15")

    def test_a_system_that_takes_the_hour_before_for_that_midnight(self) -> None:
        self.zone("TST3TDT,M10.3.0/0,M2.3.0/0")
        saturday = time.mktime((2016, 10, 15, 12, 0, 0, 0, 0, -1))
        end = span("daily", saturday)[1]
        self.patch(time, "mktime", lambda parts: end - 3600)
        self.assertEqual(span("daily", saturday)[1], end)

    def test_long_and_short_days(self) -> None:
        self.zone("EST5EDT,M3.2.0,M11.1.0")
        for month, day, hours in ((3, 13, 23), (11, 6, 25)):
            midnight = time.mktime((2016, month, day, 0, 0, 0, 0, 0, -1))
            self.assertEqual(span("daily", midnight)[1] - midnight, hours * 3600)


class FreqTests(SynchronousTestCase):
    """What an application may say."""

    def test_parse(self) -> None:
        cases: tuple[tuple[object, object], ...] = (("daily", "daily"), ("monthly", "monthly"), ("1K", 1024), (5, 5))
        for given, expected in cases:
            self.assertEqual(parse_freq(given), expected)

    def test_nonsense(self) -> None:
        for given in ("hourly", "", None, 0, -1, True, 1.5, ["daily"], {}):
            error = self.assertRaises(ValueError, parse_freq, given)
            self.assertIn("'daily', 'weekly', 'monthly' or a size", str(error))
            self.assertIn(repr(given), str(error))


class DatedLogFileTests(ZoneTestCase):
    """Files that are renamed when their time is over."""

    def setUp(self) -> None:
        self.zone("UTC0")
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "login.log")
        self.console = Memory()
        self.moment = FRIDAY + 1.0

    def open(self, period: str = "daily", keep: int = 3) -> DatedLogFile:
        file = DatedLogFile(self.path, period, keep, self.console, lambda: self.moment)
        self.addCleanup(file.close)
        return file

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def test_a_new_file_at_midnight(self) -> None:
        file = self.open()
        file.write(b"one\n")
        self.moment = FRIDAY + DAY - 0.1
        file.write(b"two\n")
        self.moment = FRIDAY + DAY
        file.write(b"three\n")
        self.assertEqual(read(self.path), b"three\n")
        self.assertEqual(read(self.path + ".2016-12-30"), b"one\ntwo\n")

    def test_named_by_the_day_it_began_with(self) -> None:
        file = self.open()
        file.write(b"one\n")
        self.moment += 5 * DAY
        file.write(b"two\n")
        self.assertEqual(self.names(), ["login.log", "login.log.2016-12-30"])

    def test_nothing_to_keep(self) -> None:
        file = self.open()
        self.moment += 5 * DAY
        file.write(b"one\n")
        self.assertEqual(self.names(), ["login.log"])

    def test_what_an_earlier_process_has_left(self) -> None:
        with open(self.path, "wb") as before:
            before.write(b"before\n")
        os.utime(self.path, (FRIDAY - 3 * DAY, FRIDAY - 3 * DAY))
        self.open().write(b"now\n")
        self.assertEqual(read(self.path + ".2016-12-27"), b"before\n")
        self.assertEqual(read(self.path), b"now\n")

    def test_what_an_earlier_process_has_left_today(self) -> None:
        with open(self.path, "wb") as before:
            before.write(b"before\n")
        os.utime(self.path, (FRIDAY, FRIDAY))
        self.open().write(b"now\n")
        self.assertEqual(read(self.path), b"before\nnow\n")

    def test_keeps_only_so_many(self) -> None:
        for name in ("login.log.1", "login.log.2016-12-01x", "login.logs.2016-12-01", "other.log.2016-12-01"):
            with open(os.path.join(self.directory, name), "w"):
                pass
        others = self.names()
        file = self.open(keep=2)
        for _ in range(5):
            file.write(b"line\n")
            self.moment += DAY
        self.assertEqual(
            [name for name in self.names() if name not in others],
            ["login.log", "login.log.2017-01-01", "login.log.2017-01-02"],
        )
        self.assertLessEqual(set(others), set(self.names()))

    def test_keeps_none(self) -> None:
        file = self.open(keep=0)
        for line in (b"one\n", b"two\n"):
            file.write(line)
            self.moment += DAY
        self.assertEqual((self.names(), read(self.path)), (["login.log"], b"two\n"))

    def test_weeks_and_months(self) -> None:
        for period, label in (("weekly", "2016-12-26"), ("monthly", "2016-12")):
            self.moment = FRIDAY + 1.0
            file = self.open(period)
            file.write(b"old\n")
            self.moment = FRIDAY + 3 * DAY
            file.write(b"new\n")
            self.assertEqual(read(f"{self.path}.{label}"), b"old\n")
            os.unlink(self.path)

    def test_two_processes_that_share_a_file(self) -> None:
        first, second = self.open(), self.open()
        first.write(b"one\n")
        second.write(b"two\n")
        self.moment += DAY
        first.write(b"three\n")
        second.write(b"four\n")
        self.assertEqual(read(self.path), b"three\nfour\n")
        self.assertEqual(read(self.path + ".2016-12-30"), b"one\ntwo\n")

    def test_two_processes_that_keep_nothing(self) -> None:
        first, second = self.open(keep=0), self.open(keep=0)
        first.write(b"one\n")
        self.moment += DAY
        first.write(b"two\n")
        second.write(b"three\n")
        self.assertEqual(read(self.path), b"two\nthree\n")

    def test_nothing_is_written_over(self) -> None:
        """When the clock has been set back, a day may end twice."""
        with open(self.path + ".2016-12-30", "wb") as kept:
            kept.write(b"kept\n")
        file = self.open()
        file.write(b"again\n")
        self.moment += DAY
        file.write(b"next\n")
        self.assertEqual(read(self.path + ".2016-12-30"), b"kept\n")
        self.assertEqual(read(self.path), b"again\nnext\n")

    def test_reopen(self) -> None:
        file = self.open()
        file.write(b"old\n")
        os.rename(self.path, self.path + ".moved")
        file.reopen()
        file.write(b"new\n")
        self.assertEqual(read(self.path), b"new\n")

    def test_what_can_not_be_renamed_goes_on(self) -> None:
        file = self.open()
        file.write(b"one\n")

        def rename(*arguments: Any) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "rename", rename)
        self.moment += DAY
        for line in (b"two\n", b"three\n"):
            file.write(line)
        self.assertEqual(read(self.path), b"one\ntwo\nthree\n")
        self.assertEqual(len(self.console.writes), 1)
        self.assertIn(b"login.log: it is not rotated: Permission denied", self.console.writes[0])

    def test_closed(self) -> None:
        file = self.open()
        file.write(b"one\n")
        file.close()
        self.moment += DAY
        file.write(b"lost\n")
        self.assertEqual((self.names(), self.console.writes), (["login.log"], []))

    def test_by_size(self) -> None:
        file = open_log_file(self.path, 10, 3, self.console)
        self.addCleanup(file.close)
        self.assertIs(type(file), LogFile)
        for line in (b"123456789\n", b"new\n"):
            file.write(line)
        self.assertEqual((read(self.path), read(self.path + ".1")), (b"new\n", b"123456789\n"))

    def test_by_date(self) -> None:
        file = open_log_file(self.path, "daily", 3, self.console)
        self.addCleanup(file.close)
        self.assertIs(type(file), DatedLogFile)
