"""The loggers of ``wasc.logger``."""

from __future__ import annotations

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.loggers import Loggers


class LoggersTests(SynchronousTestCase):
    """Which there are, what they log, and how they are made."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.opened: list[tuple[str, str | int]] = []
        self.loggers = Loggers(lambda name, freq: self.opened.append((name, freq)))

    def logged(self) -> list[tuple[str, LogLevel, str]]:
        return [(event["log_namespace"], event["log_level"], formatEvent(event)) for event in self.events]

    def test_those_of_the_server(self) -> None:
        for name, namespace in (("app", "skitai.app"), ("server", "skitai.server"), ("request", "skitai.log.request")):
            self.loggers.get(name)("{text} %s")
            self.assertEqual(self.logged()[-1], (namespace, LogLevel.info, "{text} %s"))

    def test_none_of_that_name(self) -> None:
        error = self.assertRaises(KeyError, self.loggers.get, "login")
        self.assertIn("no logger 'login'; there are app, request, server", str(error))

    def test_made(self) -> None:
        made = self.loggers.make_logger("login", "weekly")
        self.assertEqual(self.opened, [("login", "weekly")])
        self.assertIs(self.loggers.get("login"), made)
        self.assertIs(self.loggers.make_logger("login", "10M"), made)
        self.assertEqual(self.opened[1:], [("login", "10M")])
        made.log("signed in")
        self.assertEqual(self.logged(), [("skitai.log.login", LogLevel.info, "signed in")])
        self.assertEqual(repr(made), "<logger 'login'>")

    def test_daily_by_default(self) -> None:
        self.loggers.make_logger("login")
        self.assertEqual(self.opened, [("login", "daily")])

    def test_ways_to_log(self) -> None:
        logger = self.loggers.get()
        logger("called", "warn")
        logger.log(b"caf\xc3\xa9", "sale")
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
        logger.warn("w")
        logger.error("e")
        logger.critical("c")
        self.assertEqual(
            [(level, text) for _, level, text in self.logged()],
            [
                (LogLevel.warn, "called"),
                (LogLevel.info, "sale: café"),
                (LogLevel.debug, "d"),
                (LogLevel.info, "i"),
                (LogLevel.warn, "w"),
                (LogLevel.warn, "w"),
                (LogLevel.error, "e"),
                (LogLevel.critical, "c"),
            ],
        )

    def test_traceback(self) -> None:
        logger = self.loggers.make_logger("login")
        try:
            raise ValueError("{wrong}")
        except ValueError:
            logger.traceback()
            logger.traceback("order 7")
        (_, level, first), (_, _, second) = self.logged()
        self.assertEqual(level, LogLevel.error)
        self.assertTrue(first.startswith("Traceback (most recent call last):\n"))
        self.assertTrue(first.endswith("\nValueError: {wrong}"))
        self.assertEqual(second, f"order 7 {first}")

    def test_traceback_of_nothing(self) -> None:
        self.loggers.get("app").traceback()
        self.assertEqual(self.logged()[0][2], "traceback() of logger 'app' was called while no exception is handled")

    def test_names_that_can_not_be(self) -> None:
        names: tuple[object, ...] = ("", "../x", "a/b", "a\\b", ".hidden", "-x", "a\0b", "a\n", "ü", "x" * 65, None, 5)
        for name in names:
            error = self.assertRaises(ValueError, self.loggers.make_logger, name)
            self.assertIn(f"{name!r} is no name for a logger", str(error))
        for name in ("app", "server", "request"):
            error = self.assertRaises(ValueError, self.loggers.make_logger, name)
            self.assertIn(f"logger.get({name!r})", str(error))
        self.assertEqual(self.opened, [])

    def test_a_file_that_can_not_be_opened_leaves_no_logger(self) -> None:
        def fail(name: str, freq: str | int) -> None:
            raise OSError("full")

        loggers = Loggers(fail)
        self.assertRaises(OSError, loggers.make_logger, "login")
        self.assertRaises(KeyError, loggers.get, "login")
