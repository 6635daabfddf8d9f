"""Request bodies between the carrier that feeds them and the handler or the thread that reads them."""

from __future__ import annotations

import threading
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ApplicationError, BodyError, BodyTooLarge, ClientDisconnected
from skitai.web.body import UNCLAIMED_SIZE, IncomingBody
from skitai.web.events import UNKNOWN_LENGTH

TIMEOUT = 10.0


class Source:
    """Writes down what a body asks of its connection."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_body(self) -> None:
        self.calls.append("pause")

    def resume_body(self) -> None:
        self.calls.append("resume")

    def send_continue(self) -> None:
        self.calls.append("continue")


class BodyTestCase(SynchronousTestCase):
    """Has a body and its source."""

    def body(self, length: int = UNKNOWN_LENGTH, expect_continue: bool = False) -> IncomingBody:
        self.source = Source()
        self.files: list[BinaryIO | None] = []
        return IncomingBody(self.source, length, expect_continue)

    def content(self) -> bytes:
        """Return what is in the one file that was handed over."""
        [file] = self.files
        assert file is not None
        with file:
            return file.read()


class CollectTests(BodyTestCase):
    """Bodies that are wanted whole."""

    def test_in_memory_and_in_a_file(self) -> None:
        for length, spool_size in ((10, 100), (10, 4), (UNKNOWN_LENGTH, 100), (UNKNOWN_LENGTH, 4)):
            body = self.body(length)
            body.collect(1000, spool_size, self.files.append)
            for piece in (b"01234", b"56789"):
                body.feed(piece)
            self.assertEqual(self.files, [])
            body.end()
            self.assertEqual(self.content(), b"0123456789")
            self.assertEqual(body.received, 10)

    def test_what_came_before(self) -> None:
        body = self.body(6)
        body.feed(b"abc")
        body.collect(1000, 100, self.files.append)
        body.feed(b"def")
        body.end()
        self.assertEqual(self.content(), b"abcdef")

    def test_whole_before(self) -> None:
        body = self.body(3)
        body.feed(b"abc")
        body.end()
        body.collect(1000, 100, self.files.append)
        self.assertEqual(self.content(), b"abc")

    def test_announced_size_over_the_limit(self) -> None:
        body = self.body(1001, expect_continue=True)
        body.collect(1000, 100, self.files.append)
        self.assertEqual((self.files, self.source.calls), ([None], []))
        self.assertIsInstance(body.error, BodyTooLarge)

    def test_size_over_the_limit_comes_to_light(self) -> None:
        body = self.body()
        body.collect(5, 100, self.files.append)
        body.feed(b"12345")
        self.assertEqual(self.files, [])
        body.feed(b"6")
        body.feed(b"7")
        body.end()
        self.assertEqual(self.files, [None])
        self.assertIsInstance(body.error, BodyTooLarge)

    def test_too_large_and_whole_before(self) -> None:
        for take in ("collect", "gather"):
            body = self.body()
            body.feed(b"123456")
            body.end()
            getattr(body, take)(5, 100, self.files.append)
            self.assertEqual(self.files, [None])
            self.assertIsInstance(body.error, BodyTooLarge)

    def test_100_continue_is_sent_once_and_only_where_nothing_came(self) -> None:
        body = self.body(3, expect_continue=True)
        body.collect(1000, 100, self.files.append)
        self.assertEqual(self.source.calls, ["continue"])
        body = self.body(3, expect_continue=True)
        body.feed(b"a")
        body.collect(1000, 100, self.files.append)
        self.assertEqual(self.source.calls, [])

    def test_failure_closes_the_file(self) -> None:
        body = self.body()
        body.collect(1000, 2, self.files.append)
        body.feed(b"on the disk")
        spool: Any = body._spool
        body.fail(ClientDisconnected())
        self.assertEqual(self.files, [None])
        self.assertTrue(spool.closed)

    def test_full_disk(self) -> None:
        body = self.body()
        body.feed(b"early")
        body.feed(b"later")

        class Full:
            def write(self, data: bytes) -> int:
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                """Part of a file."""

        self.patch(body, "_ask", lambda: setattr(body, "_spool", Full()))
        body.collect(1000, 2, self.files.append)
        body.feed(b"more")
        body.end()
        self.assertEqual(self.files, [None])
        assert body.error is not None
        self.assertEqual(body.error.status, 507)


class GatherTests(BodyTestCase):
    """Bodies that are handed over when small, or large."""

    def test_small(self) -> None:
        body = self.body()
        body.gather(1000, 100, self.files.append)
        body.feed(b"abc")
        self.assertEqual(self.files, [])
        body.feed(b"def")
        body.end()
        self.assertEqual(self.content(), b"abcdef")

    def test_whole_before(self) -> None:
        body = self.body()
        body.feed(b"abc")
        body.end()
        body.gather(1000, 100, self.files.append)
        self.assertEqual(self.content(), b"abc")

    def test_announced_as_large_is_handed_over_at_once(self) -> None:
        body = self.body(101)
        body.gather(1000, 100, self.files.append)
        self.assertEqual(len(self.files), 1)

    def test_who_waits_for_100_continue_gets_it_from_the_reader(self) -> None:
        body = self.body(3, expect_continue=True)
        body.gather(1000, 100, self.files.append)
        self.assertEqual((len(self.files), self.source.calls), (1, []))
        self.assertTrue(body.continue_owed)
        self.patch(body._changed, "wait", lambda: (body.feed(b"abc"), body.end()))
        self.assertEqual(self.content(), b"abc")
        self.assertEqual(self.source.calls, ["continue"])

    def test_turns_out_to_be_large(self) -> None:
        body = self.body()
        body.gather(1000, 5, self.files.append)
        body.feed(b"12345")
        self.assertEqual(self.files, [])
        body.feed(b"6")
        self.assertEqual(len(self.files), 1)
        body.feed(b"789")
        self.assertEqual(self.source.calls, ["pause"])
        body.end()
        self.assertEqual(self.content(), b"123456789")

    def test_error_before(self) -> None:
        body = self.body()
        body.gather(1000, 100, self.files.append)
        body.fail(BodyError(400, "broken"))
        body.fail(BodyError(400, "broken again"))
        self.assertEqual(self.files, [None])
        self.assertEqual(str(body.error), "broken")


class BackPressureTests(BodyTestCase):
    """No more than a bounded number of bytes waits for the reader."""

    def stream(self) -> tuple[IncomingBody, Any]:
        body = self.body(100_000)
        body.gather(1_000_000, 1000, self.files.append)
        [file] = self.files
        return body, file

    def test_paused_until_half_is_read(self) -> None:
        body, _ = self.stream()
        body.feed(b"x" * 1000)
        self.assertEqual(self.source.calls, [])
        body.feed(b"x")
        body.feed(b"x")
        self.assertEqual(self.source.calls, ["pause"])
        self.assertTrue(body.paused)
        self.assertFalse(body.waits_for_client)
        body.read_some(501)
        self.assertEqual(self.source.calls, ["pause"])
        body.read_some(1)
        self.assertEqual(self.source.calls, ["pause", "resume"])
        self.assertTrue(body.waits_for_client)

    def test_nobody_has_claimed_it_yet(self) -> None:
        for take in ("collect", "gather"):
            body = self.body(3 * UNCLAIMED_SIZE)
            body.feed(b"x" * UNCLAIMED_SIZE)
            self.assertEqual(self.source.calls, [])
            body.feed(b"x")
            self.assertEqual(self.source.calls, ["pause"])
            getattr(body, take)(4 * UNCLAIMED_SIZE, 1000, self.files.append)
            self.assertEqual(self.source.calls, ["pause", "resume"])

    def test_discarding_reads_on(self) -> None:
        body, _ = self.stream()
        body.feed(b"x" * 2000)
        body.discard()
        self.assertEqual(self.source.calls, ["pause", "resume"])
        body.feed(b"x" * 2000)
        self.assertEqual(body.received, 4000)
        self.assertEqual(self.source.calls, ["pause", "resume"])

    def test_time_is_counted_only_while_it_is_the_clients_turn(self) -> None:
        body = self.body(10, expect_continue=True)
        self.assertFalse(body.waits_for_client)
        body.feed(b"a")
        self.assertTrue(body.waits_for_client)
        body.end()
        self.assertFalse(body.waits_for_client)


class ReadingTests(BodyTestCase):
    """What a thread gets that reads a large body."""

    def stream(self) -> tuple[IncomingBody, Any]:
        body = self.body(100_000)
        body.gather(1_000_000, 1000, self.files.append)
        return body, self.files[0]

    def test_in_every_way(self) -> None:
        body, file = self.stream()
        body.feed(b"one\ntwo\nthree")
        body.feed(b" and four\nrest")
        body.end()
        self.assertEqual(file.read(2), b"on")
        self.assertEqual(file.readline(), b"e\n")
        self.assertEqual(next(iter(file)), b"two\n")
        self.assertEqual(file.readline(5), b"three")
        self.assertEqual(file.read(), b" and four\nrest")
        self.assertEqual((file.read(), file.read(1), file.readline()), (b"", b"", b""))

    def test_everything_at_once(self) -> None:
        body, file = self.stream()
        body.feed(b"a" * 5000)
        body.feed(b"b" * 70_000)
        body.end()
        self.assertEqual(file.read(), b"a" * 5000 + b"b" * 70_000)

    def test_error_comes_after_what_was_received(self) -> None:
        body, file = self.stream()
        body.feed(b"abc")
        body.fail(ClientDisconnected())
        self.assertEqual(body.read_some(2), b"ab")
        self.assertEqual(body.read_some(2), b"c")
        self.assertRaises(ClientDisconnected, body.read_some, 2)
        self.assertRaises(ClientDisconnected, file.read)

    def test_after_the_answer(self) -> None:
        """What was dropped is not passed off as the end of the body."""
        body, _ = self.stream()
        body.feed(b"abc")
        body.discard()
        self.assertRaises(ApplicationError, body.read_some, 1)
        body.end()
        self.assertRaises(ApplicationError, body.read_some, 1)

    def test_after_the_answer_where_all_was_read(self) -> None:
        body, _ = self.stream()
        body.feed(b"abc")
        body.end()
        body.read_some(3)
        body.discard()
        self.assertEqual(body.read_some(1), b"")

    def wait_in_thread(self, body: IncomingBody) -> tuple[threading.Thread, list[object]]:
        """Begin to read in a thread; return once it waits."""
        got: list[object] = []
        waits = threading.Event()
        wait = body._changed.wait

        def note() -> None:
            waits.set()
            wait(TIMEOUT)

        self.patch(body._changed, "wait", note)

        def read() -> None:
            try:
                got.append(body.read_some(10))
            except (OSError, ApplicationError) as error:
                got.append(type(error))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self.assertTrue(waits.wait(TIMEOUT))
        return thread, got

    def test_whatever_happens_wakes_the_reader(self) -> None:
        for happens, expected in (
            (lambda body: body.feed(b"abc"), b"abc"),
            (lambda body: body.end(), b""),
            (lambda body: body.fail(ClientDisconnected()), ClientDisconnected),
            (lambda body: body.discard(), ApplicationError),
        ):
            body, _ = self.stream()
            thread, got = self.wait_in_thread(body)
            happens(body)
            thread.join(TIMEOUT)
            self.assertEqual(got, [expected])
