"""The HTTP/1 engine against the corpus: every row whole and one byte at a time."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.events import Data, Event, Refused, Request
from skitai.web.http1 import ServerConnection
from tests.web.corpus import HEAD_LIMIT, REFUSED, TARGET_LIMIT, Case, chunked, get
from tests.web.corpus_accepted import ACCEPTED, Seen, Valid
from tests.web.driver import complete, drive, flat, requests, single_bytes


class RefusedTests(SynchronousTestCase):
    """What must be refused is, with the right status, however it arrives."""

    def check(self, case: Case, events: list[Event]) -> None:
        """Check that ``events`` are those of ``case``: its good requests, then one refusal."""
        note = f"{case.name} ({case.section}): {events}"
        self.assertTrue(events, f"{note}: nothing happens, a client would wait for the timeout")
        last = events[-1]
        self.assertIsInstance(last, Refused, note)
        self.assertEqual(last.status, case.status, note)  # type: ignore[union-attr]
        self.assertEqual(len([event for event in events if isinstance(event, Refused)]), 1, note)
        seen = requests(events)
        self.assertEqual(len(seen), case.requests, note)
        self.assertFalse([request for request in seen if "smuggled" in request.target], note)


class AcceptedTests(SynchronousTestCase):
    """What is odd but valid is taken, however it arrives."""

    def check(self, case: Valid, events: list[Event]) -> None:
        """Check that ``events`` are exactly the requests of ``case``."""
        note = f"{case.name} ({case.section}): {events}"
        self.assertFalse([event for event in events if isinstance(event, Refused)], note)
        seen = requests(events)
        self.assertEqual(len(seen), len(case.seen), note)
        bodies = [b""] * len(seen)
        at = -1
        for event in events:
            if isinstance(event, Request):
                at += 1
            elif isinstance(event, Data):
                bodies[at] += event.data
        for request, body, expected in zip(seen, bodies, case.seen, strict=True):
            self.assertEqual(self.shape(request, body, expected.host is None), expected, note)
        self.assertTrue(complete(events), note)

    def shape(self, request: Request, body: bytes, any_host: bool) -> Seen:
        """Return what a row of the corpus says of a request."""
        return Seen(
            method=request.method,
            path=request.path,
            query=request.query,
            host=None if any_host else request.host,
            body=body,
            version=request.version,
            keep_alive=request.keep_alive,
            expect_continue=request.expect_continue,
        )


def _refused_test(case: Case) -> Callable[[RefusedTests], None]:
    def test(self: RefusedTests) -> None:
        whole = drive([case.data])
        self.check(case, whole)
        self.assertEqual(flat(drive(single_bytes(case.data))), flat(whole), case.name)

    test.__doc__ = f"{case.name}: {case.status}, {case.section}."
    return test


def _accepted_test(case: Valid) -> Callable[[AcceptedTests], None]:
    def test(self: AcceptedTests) -> None:
        whole = drive([case.data])
        self.check(case, whole)
        self.assertEqual(flat(drive(single_bytes(case.data))), flat(whole), case.name)

    test.__doc__ = f"{case.name}: {case.section}."
    return test


for _case in REFUSED:
    setattr(RefusedTests, f"test_{_case.name}", _refused_test(_case))
for _valid in ACCEPTED:
    setattr(AcceptedTests, f"test_{_valid.name}", _accepted_test(_valid))


class CorpusTests(SynchronousTestCase):
    """The corpus itself."""

    def test_names(self) -> None:
        """No row hides another one, and none is lost on the way to a test."""
        for table in (REFUSED, ACCEPTED):
            names = [row.name for row in table]  # type: ignore[attr-defined]
            self.assertEqual(sorted(names), sorted(set(names)))
            self.assertTrue(all(name.isidentifier() for name in names))
        self.assertGreaterEqual(len(REFUSED), 150)
        self.assertGreaterEqual(len(ACCEPTED), 40)

    def test_sections(self) -> None:
        """Every row names its section."""
        for row in [*REFUSED, *ACCEPTED]:
            self.assertRegex(row.section, r"\ARFC \d+ \d+(\.\d+)*\Z", row.name)


class IsolationTests(SynchronousTestCase):
    """What one connection sends does not change how another one is read."""

    def test_after_each_case(self) -> None:
        """A plain request on a fresh connection is read the same after every row."""
        plain = flat(drive([get(b"X-A: b")]))
        for row in [*REFUSED, *ACCEPTED]:
            drive([row.data])
            self.assertEqual(flat(drive([get(b"X-A: b")])), plain, row.name)

    def test_interleaved(self) -> None:
        """Rows of the corpus that arrive byte by byte in turns are read as each alone."""
        rows = [row for row in [*REFUSED, *ACCEPTED] if len(row.data) < 200]
        engines = [ServerConnection(HEAD_LIMIT, TARGET_LIMIT) for _ in rows]
        events: list[list[Event]] = [[] for _ in rows]
        for at in range(200):
            for engine, row, seen in zip(engines, rows, events, strict=True):
                seen.extend(engine.receive(row.data[at : at + 1]) if at < len(row.data) else [])
        for row, seen in zip(rows, events, strict=True):
            alone = ServerConnection(HEAD_LIMIT, TARGET_LIMIT)
            self.assertEqual(flat(seen), flat(alone.receive(row.data)), row.name)


class KeptBytesTests(SynchronousTestCase):
    """Bytes behind a request wait until its response is done."""

    def test_nothing_before_next_request(self) -> None:
        """Not one event of what is pipelined comes before ``next_request``, good or bad."""
        for row in [*REFUSED, *ACCEPTED]:
            engine = ServerConnection(HEAD_LIMIT, TARGET_LIMIT)
            self.assertEqual(len(engine.receive(get())), 1, row.name)
            self.assertEqual(engine.receive(row.data), [], row.name)
            self.assertEqual(engine.buffered, len(row.data), row.name)

    def test_silent_after_refusal(self) -> None:
        """Nothing that follows a refusal means anything any more."""
        for case in REFUSED:
            engine = ServerConnection(HEAD_LIMIT, TARGET_LIMIT)
            events = engine.receive(case.data)
            while complete(events):
                events = engine.next_request()
            self.assertTrue(events and isinstance(events[-1], Refused), case.name)
            self.assertEqual(engine.receive(get()), [], case.name)
            self.assertEqual(engine.buffered, 0, case.name)

    def test_over_long_method(self) -> None:
        """A method that never ends is refused, whatever the status says of it (RFC 9112 section 3)."""
        for pieces in ([b"A" * 2 * HEAD_LIMIT], single_bytes(b"A" * 2 * HEAD_LIMIT)):
            events = drive(pieces)
            self.assertEqual(len(events), 1)
            self.assertIn(events[0].status, (400, 414, 431, 501))  # type: ignore[union-attr]

    def test_endless_blank_lines(self) -> None:
        """Blank lines before a request are skipped without being kept, or refused at some point."""
        for pieces in ([b"\r\n" * 2 * HEAD_LIMIT], single_bytes(b"\r\n" * 2 * HEAD_LIMIT)):
            engine = ServerConnection(HEAD_LIMIT, TARGET_LIMIT)
            for piece in pieces:
                engine.receive(piece)
            self.assertLess(engine.buffered, 3)


class CostTests(SynchronousTestCase):
    """Hostile bytes cost no more than good ones.

    Each of these takes a few hundredths of a second of CPU time where the work is proportional to the bytes, and ten
    seconds or hours where it is not, so that the bound tells the two apart on any machine.
    """

    bound = 2.0

    def check(self, pieces: list[bytes], before: bytes = b"") -> None:
        """Check the CPU time that ``pieces`` cost an engine that has got ``before``."""
        engine = ServerConnection(1 << 16, 1 << 14)
        engine.receive(before)
        start = process_time()
        for piece in pieces:
            engine.receive(piece)
        self.assertLess(process_time() - start, self.bound)

    def test_blanks_in_a_bad_field(self) -> None:
        """Thousands of blanks before a forbidden byte."""
        self.check([b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" " * 3000 + b"\x01\r\n\r\n"])

    def test_blanks_in_a_bad_trailer(self) -> None:
        """Thousands of blanks before a forbidden byte, in a trailer."""
        self.check([b"0\r\nX:" + b" " * 3000 + b"\x01\r\n\r\n"], chunked(b""))

    def test_blanks_in_a_bad_extension(self) -> None:
        """Thousands of blanks in a chunk extension."""
        self.check([b"5;a" + b" " * 3000 + b"\x01\r\n"], chunked(b""))

    def test_dripping_trailers(self) -> None:
        """Trailers that come a few bytes at a time."""
        self.check([b"X:ab\r\n"] * 10_000, chunked(b"0\r\n"))

    def test_dripping_head(self) -> None:
        """A head that comes a few bytes at a time."""
        self.check([b"X:ab\r\n"] * 10_000, b"GET / HTTP/1.1\r\nHost: a\r\n")

    def test_blank_lines(self) -> None:
        """Thousands of blank lines before a request, in one piece."""
        self.check([b"\r\n" * (1 << 20)])

    def test_tiny_chunks(self) -> None:
        """A body in chunks of one byte, in one piece."""
        self.check([b"1\r\nx\r\n" * 20_000], chunked(b""))
