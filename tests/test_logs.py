"""Log files and console: lines, routing, rotation, failing disks."""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skitai import logs
from skitai.errors import ConfigError
from skitai.logs import Console, ErrorStream, Events, LogFile, Logs, open_logs

LINE = re.compile(rb"\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d \[(\w+)\] (.*)\n")


class Memory:
    """A sink that keeps what it gets, a write an entry."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


@dataclass
class Options:
    path: str | None = None
    rotate_size: int = 0
    rotate_keep: int = 3
    verbose: bool = False


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class LogFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "server.log")
        self.console = Memory()

    def open(self, size: int = 0, keep: int = 3) -> LogFile:
        file = LogFile(self.path, size, keep, self.console)
        self.addCleanup(file.close)
        return file

    def test_lines_are_appended_at_once(self) -> None:
        file = self.open()
        file.write(b"one\n")
        self.assertEqual(read(self.path), b"one\n")
        file.write(b"two\n")
        self.assertEqual(read(self.path), b"one\ntwo\n")

    def test_an_existing_file_is_continued(self) -> None:
        with open(self.path, "wb") as before:
            before.write(b"before\n")
        self.open().write(b"after\n")
        self.assertEqual(read(self.path), b"before\nafter\n")

    def test_a_batch_is_one_system_call(self) -> None:
        calls: list[bytes] = []

        def write(descriptor: int, data: bytes) -> int:
            calls.append(data)
            return len(data)

        file = self.open()
        self.patch(os, "write", write)
        file.write(b"one\ntwo\n")
        self.assertEqual(calls, [b"one\ntwo\n"])

    def test_rotates_before_the_size_is_passed(self) -> None:
        file = self.open(size=10)
        for line in (b"123456789\n", b"abc\n", b"defgh\n"):
            file.write(line)
        self.assertEqual(read(self.path), b"abc\ndefgh\n")
        self.assertEqual(read(self.path + ".1"), b"123456789\n")

    def test_size_counts_what_was_there_before(self) -> None:
        with open(self.path, "wb") as before:
            before.write(b"123456789\n")
        self.open(size=10).write(b"new\n")
        self.assertEqual(read(self.path), b"new\n")

    def test_a_line_larger_than_the_size_is_written_whole(self) -> None:
        file = self.open(size=4)
        file.write(b"longer than four\n")
        file.write(b"next\n")
        self.assertEqual(read(self.path + ".1"), b"longer than four\n")
        self.assertEqual(read(self.path), b"next\n")

    def test_keeps_only_so_many_old_files(self) -> None:
        file = self.open(size=1, keep=2)
        for line in (b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"):
            file.write(line)
        self.assertEqual(sorted(os.listdir(self.directory)), ["server.log", "server.log.1", "server.log.2"])
        self.assertEqual([read(self.path + end) for end in ("", ".1", ".2")], [b"5\n", b"4\n", b"3\n"])

    def test_keeps_no_old_file_when_told_so(self) -> None:
        file = self.open(size=1, keep=0)
        file.write(b"1\n")
        file.write(b"2\n")
        self.assertEqual(os.listdir(self.directory), ["server.log"])
        self.assertEqual(read(self.path), b"2\n")

    def test_size_zero_never_rotates(self) -> None:
        file = self.open()
        for _ in range(50):
            file.write(b"x" * 99 + b"\n")
        self.assertEqual(os.listdir(self.directory), ["server.log"])

    def test_two_processes_that_share_a_file_rotate_it_once(self) -> None:
        first, second = self.open(size=10), self.open(size=10)
        first.write(b"123456789\n")
        second.write(b"abcdefghi\n")  # it does not know of the first line, nor has it to
        first.write(b"new\n")
        second.write(b"too\n")
        self.assertEqual(read(self.path), b"new\ntoo\n")
        self.assertEqual(sorted(os.listdir(self.directory)), ["server.log", "server.log.1"])

    def test_reopen_follows_a_file_that_was_moved_away(self) -> None:
        file = self.open()
        file.write(b"old\n")
        os.rename(self.path, self.path + ".old")
        file.write(b"still old\n")
        file.reopen()
        file.write(b"new\n")
        self.assertEqual(read(self.path + ".old"), b"old\nstill old\n")
        self.assertEqual(read(self.path), b"new\n")

    def test_reopen_that_fails_keeps_the_old_file(self) -> None:
        file = self.open()
        moved = self.directory + "-moved"
        os.rename(self.directory, moved)
        file.reopen()
        file.write(b"line\n")
        self.assertEqual(read(os.path.join(moved, "server.log")), b"line\n")
        self.assertIn(b"is not opened again: No such file", self.console.writes[0])

    def test_a_full_disk_is_reported_once_until_a_line_fits_again(self) -> None:
        file = self.open()
        file.write(b"before\n")
        real = os.write
        full = True

        def write(descriptor: int, data: bytes) -> int:
            if full:
                raise OSError(28, "No space left on device")
            return real(descriptor, data)

        self.patch(os, "write", write)
        file.write(b"lost\n")
        file.write(b"lost too\n")
        self.assertEqual(len(self.console.writes), 1)
        self.assertIn(b"server.log: lines are lost: No space left on device\n", self.console.writes[0])
        full = False
        file.write(b"after\n")
        self.assertEqual(read(self.path), b"before\n\nafter\n")
        full = True
        file.write(b"lost again\n")
        self.assertEqual(len(self.console.writes), 2)

    def test_a_disk_that_fills_up_within_a_line_does_not_glue_it_to_the_next(self) -> None:
        file = self.open()
        real = os.write
        left = [3]

        def write(descriptor: int, data: bytes) -> int:
            if not left[0]:
                raise OSError(28, "No space left on device")
            count = real(descriptor, data[: left[0]])
            left[0] -= count
            return count

        self.patch(os, "write", write)
        file.write(b"torn line\n")
        left[0] = 1000
        file.write(b"whole line\n")
        self.assertEqual(read(self.path), b"tor\nwhole line\n")

    def test_a_rotation_that_fails_goes_on_with_the_file(self) -> None:
        file = self.open(size=4)
        file.write(b"one\n")

        def replace(source: str, target: str) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "replace", replace)
        file.write(b"two\n")
        self.assertEqual(read(self.path), b"one\ntwo\n")
        self.assertIn(b"it is not rotated: Permission denied", self.console.writes[0])

    def test_a_rotation_that_fails_is_not_tried_with_every_line(self) -> None:
        file = self.open(size=8)
        file.write(b"first 8\n")
        allowed = False
        replace = os.replace

        def refuse(source: str, target: str) -> None:
            if not allowed:
                raise PermissionError(13, "Permission denied")
            replace(source, target)

        self.patch(os, "replace", refuse)
        for line in (b"two\n", b"tre\n"):
            file.write(line)
        self.assertEqual(len(self.console.writes), 1, "said once, and not with the next line again")
        allowed = True
        file.write(b"four\n")
        self.assertEqual(read(self.path), b"four\n", "tried again after another 8 bytes")

    def test_a_closed_file_loses_lines_in_silence(self) -> None:
        file = self.open()
        file.close()
        file.write(b"lost\n")
        self.assertEqual(read(self.path), b"")
        self.assertEqual(self.console.writes, [])

    def test_a_handler_that_interrupts_a_write_may_write_too(self) -> None:
        file = self.open()
        real = os.write
        interrupted: list[bool] = []

        def write(descriptor: int, data: bytes) -> int:
            if not interrupted:
                interrupted.append(True)
                file.write(b"from the handler\n")
            return real(descriptor, data)

        self.patch(os, "write", write)
        file.write(b"line\n")
        self.assertEqual(read(self.path), b"from the handler\nline\n")

    def test_threads_do_not_tear_lines(self) -> None:
        file = self.open(size=4000, keep=100)

        def write(number: int) -> None:
            for _ in range(200):
                file.write(b"%d" % number * 20 + b"\n")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = b"".join(read(os.path.join(self.directory, name)) for name in os.listdir(self.directory)).splitlines()
        self.assertEqual(len(lines), 800)
        self.assertEqual(set(lines), {b"%d" % number * 20 for number in range(4)})


class RoutingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server, self.app, self.request = Memory(), Memory(), Memory()
        self.logs = Logs([self.server], [self.app], [self.request], Memory())
        self.publisher = LogPublisher(self.logs)

    def logger(self, namespace: str) -> Logger:
        return Logger(namespace=namespace, observer=self.publisher)

    def failure(self) -> Failure:
        try:
            raise KeyError("missing thing")
        except KeyError:
            return Failure()

    def line(self, sink: Memory) -> tuple[bytes, bytes]:
        self.assertEqual(len(sink.writes), 1, sink.writes)
        found = LINE.match(sink.writes[0])
        assert found is not None, sink.writes
        return found[1], found[2]

    def test_a_server_event_is_one_dated_line(self) -> None:
        self.logger("skitai.server").info("serving at {url}", url="http://127.0.0.1/")
        self.assertEqual(self.line(self.server), (b"info", b"serving at http://127.0.0.1/"))
        self.assertEqual(self.app.writes, [])

    def test_the_date_is_that_of_the_event(self) -> None:
        self.logs({"log_namespace": "skitai.server", "log_format": "hello", "log_time": 86400.0 * 365})
        self.assertTrue(re.match(rb"19(70\.12\.31|71\.01\.0\d) ", self.server.writes[0]), self.server.writes)

    def test_levels_have_their_usual_names(self) -> None:
        log = self.logger("skitai.server")
        log.warn("w")
        log.error("e")
        log.critical("c")
        log.debug("d")
        levels = [match[1] for write in self.server.writes if (match := LINE.match(write))]
        self.assertEqual(levels, [b"warning", b"error", b"error", b"debug"])

    def test_events_of_applications_go_to_their_log(self) -> None:
        self.logger("skitai.app").info("one")
        self.logger("skitai.app.shop").info("two")
        self.logger("skitai.programs").error("can not be loaded")
        self.assertEqual(len(self.app.writes), 3)
        self.assertEqual(self.server.writes, [])

    def test_a_name_that_only_begins_alike_is_the_servers(self) -> None:
        self.logger("skitai.application").info("loaded")
        self.assertEqual(len(self.server.writes), 1)
        self.assertEqual(self.app.writes, [])

    def test_a_traceback_follows_its_line_in_one_write(self) -> None:
        self.logger("skitai.app").failure("GET /x failed", failure=self.failure())
        level, text = self.line(self.app)
        self.assertEqual((level, text), (b"error", b"GET /x failed"))
        self.assertIn(b"Traceback (most recent call last)", self.app.writes[0])
        self.assertIn(b"missing thing", self.app.writes[0])
        self.assertTrue(self.app.writes[0].endswith(b"\n"))

    def test_an_exception_that_can_not_be_shown_does_not_end_the_logging(self) -> None:
        class Broken(Failure):
            def getTraceback(self, *args: Any, **keywords: Any) -> str:
                raise ValueError("no text")

        self.logger("skitai.app").failure("failed", failure=Broken(ValueError()))
        self.assertIn(b"can not be shown", self.app.writes[0])

    def test_twisted_is_heard_only_when_something_is_wrong(self) -> None:
        self.logger("twisted.internet.base").info("Starting factory")
        self.assertEqual(self.server.writes, [])
        self.logger("twisted.internet.base").warn("trouble")
        self.assertEqual(self.line(self.server), (b"warning", b"trouble"))

    def test_what_twistd_makes_of_printing_is_the_applications(self) -> None:
        self.logger("stderr").error("{log_io}", log_io="printed")
        self.assertEqual(self.line(self.app), (b"info", b"printed"))

    def test_text_beyond_utf8_does_not_fail(self) -> None:
        self.logger("skitai.server").info("name {name}", name="a\ud800é")
        self.assertEqual(self.line(self.server)[1], b"name a\\ud800\xc3\xa9")

    def test_request_lines_pass_as_they_are_in_one_write(self) -> None:
        self.logs.write_requests("one\ntwo é\n")
        self.assertEqual(self.request.writes, [b"one\ntwo \xc3\xa9\n"])
        self.assertEqual(self.server.writes + self.app.writes, [])


class UnhandledRecordTests(SynchronousTestCase):
    """Python's ``logging`` where an application has not set it up."""

    def setUp(self) -> None:
        self.app = Memory()
        self.logs = Logs([], [self.app], [], Memory())
        self.before = logging.lastResort
        self.logs.take_unhandled()
        self.addCleanup(self.logs.end)
        root = logging.getLogger()
        self.patch(root, "handlers", [])
        self.logger = logging.getLogger("tests.unhandled")

    def test_a_warning_goes_to_the_application_log(self) -> None:
        self.logger.warning("low on %s", "tea")
        self.assertTrue(self.app.writes[0].endswith(b"[warning] low on tea\n"), self.app.writes)

    def test_information_is_not_shown_as_logging_has_it(self) -> None:
        self.logger.info("nothing")
        self.assertEqual(self.app.writes, [])

    def test_a_traceback_is_shown(self) -> None:
        try:
            raise KeyError("k")
        except KeyError:
            self.logger.exception("failed")
        self.assertIn(b"failed\nTraceback", self.app.writes[0])

    def test_an_application_can_still_set_it_up(self) -> None:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        logging.basicConfig(handlers=[handler])
        self.logger.warning("low")
        self.assertEqual([record.getMessage() for record in records], ["low"])
        self.assertEqual(self.app.writes, [])

    def test_end_restores_what_was(self) -> None:
        self.assertIsNot(logging.lastResort, self.before)
        self.logs.end()
        self.assertIs(logging.lastResort, self.before)


class OpenLogsTests(SynchronousTestCase):
    def open(self, **options: Any) -> tuple[Logs, Memory]:
        console = Memory()
        opened = open_logs(Options(**options), console)
        self.addCleanup(opened.end)
        return opened, console

    def write_all(self, opened: Logs) -> None:
        publisher = LogPublisher(opened)
        Logger(namespace="skitai.server", observer=publisher).info("server line")
        Logger(namespace="skitai.app", observer=publisher).info("app line")
        opened.write_requests("request line\n")

    def test_without_a_path_all_goes_to_the_console(self) -> None:
        opened, console = self.open()
        self.write_all(opened)
        self.assertEqual([write.split()[-2] for write in console.writes], [b"server", b"app", b"request"])
        self.assertTrue(opened.on_console)

    def test_with_a_path_each_goes_to_its_file_and_nothing_to_the_console(self) -> None:
        path = os.path.join(self.mktemp(), "deep")
        opened, console = self.open(path=path)
        self.write_all(opened)
        for name in ("server", "app", "request"):
            self.assertTrue(read(os.path.join(path, name + ".log")).endswith(b"%s line\n" % name.encode()))
        self.assertEqual(console.writes, [])
        self.assertFalse(opened.on_console)

    def test_verbose_has_both(self) -> None:
        path = self.mktemp()
        opened, console = self.open(path=path, verbose=True)
        self.write_all(opened)
        self.assertEqual(len(console.writes), 3)
        self.assertIn(b"app line", read(os.path.join(path, "app.log")))
        self.assertTrue(opened.on_console)

    def test_an_announcement_is_shown_on_the_console_whatever_the_settings(self) -> None:
        for options in ({}, {"path": self.mktemp()}, {"path": self.mktemp(), "verbose": True}):
            opened, console = self.open(**options)
            opened.announce("serving")
            self.assertEqual(len(console.writes), 1, options)
            if options:
                self.assertTrue(read(opened.files[0].path).endswith(b"[info] serving\n"))

    def test_reopen_opens_all_files(self) -> None:
        path = self.mktemp()
        opened, _ = self.open(path=path)
        for name in os.listdir(path):
            os.rename(os.path.join(path, name), os.path.join(path, name + ".old"))
        opened.reopen()
        self.write_all(opened)
        for name in ("server", "app", "request"):
            self.assertIn(b"line", read(os.path.join(path, name + ".log")))

    def test_rotation_is_as_the_options_say(self) -> None:
        path = self.mktemp()
        opened, _ = self.open(path=path, rotate_size=10, rotate_keep=1)
        for number in range(4):
            opened.write_requests(f"request {number}\n")
        self.assertEqual(
            sorted(name for name in os.listdir(path) if "request" in name), ["request.log", "request.log.1"]
        )

    def test_a_path_that_is_a_file_is_a_fault(self) -> None:
        path = self.mktemp()
        with open(path, "w"):
            pass
        error = self.assertRaises(ConfigError, open_logs, Options(path=path))
        self.assertIn("logpath", str(error))
        self.assertIn(path, str(error))

    def test_a_file_that_can_not_be_opened_is_a_fault_naming_it(self) -> None:
        path = self.mktemp()
        os.makedirs(os.path.join(path, "request.log"))
        error = self.assertRaises(ConfigError, open_logs, Options(path=path))
        self.assertIn("request.log can not be written: Is a directory", str(error))


class NamedLogTests(SynchronousTestCase):
    """Logs that applications have for themselves."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.console = Memory()

    def open(self, **options: Any) -> Logs:
        opened = open_logs(Options(**options), self.console)
        self.addCleanup(opened.end)
        return opened

    def log(self, opened: Logs, name: str, text: str) -> None:
        Logger(namespace=f"skitai.log.{name}", observer=LogPublisher(opened)).info("{text}", text=text)

    def test_a_file_of_its_own(self) -> None:
        opened = self.open(path=self.path)
        opened.open_log("login", "daily")
        self.log(opened, "login", "signed in")
        found = LINE.fullmatch(read(os.path.join(self.path, "login.log")))
        assert found is not None
        self.assertEqual(found.groups(), (b"info", b"signed in"))
        for name in ("app.log", "server.log", "request.log"):
            self.assertEqual(read(os.path.join(self.path, name)), b"")
        self.assertEqual(self.console.writes, [])

    def test_verbose_has_both(self) -> None:
        opened = self.open(path=self.path, verbose=True)
        opened.open_log("login", "daily")
        self.log(opened, "login", "signed in")
        self.assertEqual(self.console.writes, [read(os.path.join(self.path, "login.log"))])

    def test_without_a_path_the_console(self) -> None:
        opened = self.open()
        opened.open_log("login", "daily")
        self.log(opened, "login", "signed in")
        self.assertTrue(self.console.writes[0].endswith(b"[info] signed in\n"))
        self.assertRaises(ValueError, opened.open_log, "login", "hourly")

    def test_the_request_log(self) -> None:
        opened = self.open(path=self.path)
        self.log(opened, "request", "a note")
        self.assertTrue(read(os.path.join(self.path, "request.log")).endswith(b"[info] a note\n"))

    def test_one_that_nobody_has_opened_is_the_applications(self) -> None:
        opened = self.open(path=self.path)
        self.log(opened, "login", "signed in")
        self.assertTrue(read(os.path.join(self.path, "app.log")).endswith(b"[info] signed in\n"))

    def test_opened_again_is_the_same(self) -> None:
        opened = self.open(path=self.path)
        opened.open_log("login", "daily")
        files = list(opened.files)
        opened.open_log("login", "daily")
        self.assertEqual(opened.files, files)

    def test_opened_in_another_way_goes_on_in_the_same_file(self) -> None:
        opened = self.open(path=self.path)
        opened.open_log("login", "daily")
        self.log(opened, "login", "one")
        opened.open_log("login", "1K")
        self.log(opened, "login", "two")
        self.assertEqual(len(opened.files), 4)
        self.assertEqual(read(os.path.join(self.path, "login.log")).count(b"\n"), 2)

    def test_reopened_and_closed_like_the_others(self) -> None:
        opened = self.open(path=self.path)
        opened.open_log("login", "weekly")
        name = os.path.join(self.path, "login.log")
        os.rename(name, name + ".moved")
        opened.reopen()
        self.log(opened, "login", "new")
        self.assertTrue(read(name).endswith(b"new\n"))
        opened.end()
        self.log(opened, "login", "lost")
        self.assertFalse(read(name).endswith(b"lost\n"))

    def test_what_can_not_be_opened(self) -> None:
        opened = self.open(path=self.path)
        os.mkdir(os.path.join(self.path, "login.log"))
        self.assertRaises(OSError, opened.open_log, "login", "daily")
        self.log(opened, "login", "all the same")
        self.assertTrue(read(os.path.join(self.path, "app.log")).endswith(b"all the same\n"))


class ConsoleTests(SynchronousTestCase):
    def test_a_console_that_is_gone_is_no_error(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        self.addCleanup(os.close, writing)
        Console(writing).write(b"line\n")  # EPIPE

    def test_writes_to_the_descriptor(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        Console(writing).write(b"line\n")
        self.assertEqual(os.read(reading, 100), b"line\n")


class ErrorStreamTests(SynchronousTestCase):
    """What applications write to wsgi.errors."""

    def setUp(self) -> None:
        self.app = Memory()
        self.stream = ErrorStream(Logs([], [self.app], [], Memory()))

    def texts(self) -> list[bytes]:
        return [write.partition(b"] ")[2] for write in self.app.writes]

    def test_a_line_is_a_line(self) -> None:
        self.stream.write("trouble\n")
        self.assertEqual(self.texts(), [b"trouble\n"])
        self.assertIn(b" [error] ", self.app.writes[0])

    def test_pieces_wait_for_the_end_of_their_line(self) -> None:
        print("low on", "tea", file=self.stream)
        self.assertEqual(self.texts(), [b"low on tea\n"])

    def test_flush_does_not_wait(self) -> None:
        self.stream.write("half")
        self.assertEqual(self.texts(), [])
        self.stream.flush()
        self.stream.flush()
        self.assertEqual(self.texts(), [b"half\n"])

    def test_a_line_without_end_is_cut(self) -> None:
        for _ in range(3 * logs.MAX_PIECE_SIZE // 1000):
            self.stream.write("." * 1000)
        self.assertGreaterEqual(len(self.app.writes), 2)
        self.assertLess(max(map(len, self.app.writes)), logs.MAX_PIECE_SIZE + 2000)

    def test_several_lines_at_once_stay_together(self) -> None:
        self.stream.writelines(["Traceback\n  in f\nKeyError\n"])
        self.assertEqual(self.texts(), [b"Traceback\n  in f\nKeyError\n"])

    def test_threads_do_not_mix_their_lines(self) -> None:
        self.stream.write("mine, ")
        other = threading.Thread(target=self.stream.write, args=("other\n",))
        other.start()
        other.join()
        self.stream.write("whole\n")
        self.assertEqual(self.texts(), [b"other\n", b"mine, whole\n"])

    def test_bytes_are_refused(self) -> None:
        self.assertRaises(TypeError, self.stream.write, b"bytes")


class EventsTests(SynchronousTestCase):
    def test_each_request_line_is_an_event_of_the_one_who_runs_the_process(self) -> None:
        events: list[Any] = []
        self.patch(logs, "_request_log", Logger(namespace="skitai.request", observer=events.append))
        open_logs(Options(), Events()).write_requests("one {a}\ntwo\n")
        self.assertEqual([formatEvent(event) for event in events], ["one {a}", "two"])

    def test_such_an_event_is_not_written_again(self) -> None:
        memory = Memory()
        publisher = LogPublisher(Logs([memory], [memory], [memory], memory))
        Logger(namespace="skitai.request", observer=publisher).info("line")
        self.assertEqual(memory.writes, [])
