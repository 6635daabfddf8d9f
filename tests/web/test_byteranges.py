"""Range requests: parsing, and bodies of several parts."""

from __future__ import annotations

import io
from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.web.byteranges import (
    MAX_RANGES,
    PiecesFile,
    Range,
    content_range,
    multipart,
    parse_ranges,
    unsatisfied_range,
)


class ParseRangesTests(SynchronousTestCase):
    """``parse_ranges`` (RFC 9110 sections 14.1 and 14.2)"""

    def expect(self, value: bytes, size: int, *ranges: tuple[int, int]) -> None:
        self.assertEqual(parse_ranges(value, size), [Range(*pair) for pair in ranges], value)

    def ignored(self, value: bytes, size: int = 10) -> None:
        self.assertIsNone(parse_ranges(value, size), value)

    def test_first_and_last_position(self) -> None:
        self.expect(b"bytes=0-0", 10, (0, 1))
        self.expect(b"bytes=2-5", 10, (2, 4))
        self.expect(b"bytes=0-9", 10, (0, 10))

    def test_open_end(self) -> None:
        self.expect(b"bytes=0-", 10, (0, 10))
        self.expect(b"bytes=9-", 10, (9, 1))

    def test_last_position_beyond_the_end(self) -> None:
        self.expect(b"bytes=5-1000", 10, (5, 5))

    def test_suffix(self) -> None:
        self.expect(b"bytes=-3", 10, (7, 3))
        self.expect(b"bytes=-10", 10, (0, 10))
        self.expect(b"bytes=-1000", 10, (0, 10))

    def test_unsatisfiable(self) -> None:
        for value in (b"bytes=10-", b"bytes=10-20", b"bytes=-0", b"bytes=99-,-0"):
            self.expect(value, 10)

    def test_satisfiable_among_unsatisfiable(self) -> None:
        self.expect(b"bytes=50-, 1-2, -0", 10, (1, 2))

    def test_empty_representation(self) -> None:
        self.expect(b"bytes=0-", 0)
        self.expect(b"bytes=0-0", 0)
        # The last bytes of nothing are nothing, which Content-Range has no way to say.
        self.ignored(b"bytes=-5", 0)

    def test_several_in_the_order_asked_for(self) -> None:
        self.expect(b"bytes=8-9,0-1, 4-4", 10, (8, 2), (0, 2), (4, 1))

    def test_empty_members_and_white_space(self) -> None:
        self.expect(b"bytes=, 0-1 ,,\t5-6,", 10, (0, 2), (5, 2))

    def test_neighbours_stay_apart(self) -> None:
        self.expect(b"bytes=0-4,5-9", 10, (0, 5), (5, 5))

    def test_overlapping_ones_are_joined(self) -> None:
        self.expect(b"bytes=0-5,5-7", 10, (0, 8))
        self.expect(b"bytes=8-8,2-3,6-7,3-6", 10, (8, 1), (2, 6))
        self.expect(b"bytes=0-,0-,0-,-10", 10, (0, 10))

    def test_unit_in_any_case(self) -> None:
        self.expect(b"Bytes=1-2", 10, (1, 2))

    def test_other_unit_is_ignored(self) -> None:
        for value in (b"items=0-1", b"byte=0-1", b"=0-1", b"bytes", b"0-1", b"", b"bytes =0-1", b"bytes:0-1"):
            self.ignored(value)

    def test_malformed_set_is_ignored(self) -> None:
        for value in (
            b"bytes=",
            b"bytes=,",
            b"bytes=-",
            b"bytes=1",
            b"bytes=5-2",
            b"bytes=0-1,5-2",
            b"bytes=a-b",
            b"bytes=0x1-2",
            b"bytes=+1-2",
            b"bytes=1--2",
            b"bytes=--1",
            b"bytes=1 - 2",
            b"bytes=1-2;3-4",
            b"bytes=\xd9\xa1-\xd9\xa2",
            b"bytes=1_0-2_0",
            b"bytes=0-1, bytes=2-3",
        ):
            self.ignored(value)

    def test_huge_numbers(self) -> None:
        self.expect(b"bytes=0-" + b"9" * 20000, 10, (0, 10))
        self.expect(b"bytes=" + b"9" * 20000 + b"-", 10)
        self.expect(b"bytes=-" + b"9" * 20000, 10, (0, 10))
        self.expect(b"bytes=" + b"0" * 20000 + b"1-2", 10, (1, 2))

    def test_too_many_are_ignored(self) -> None:
        most = b"bytes=" + b",".join(b"%d-%d" % (at * 2, at * 2) for at in range(MAX_RANGES))
        self.assertEqual(len(parse_ranges(most, 1000) or ()), MAX_RANGES)
        self.ignored(most + b",900-900", 1000)
        self.ignored(b"bytes=0-0" + b"," * 10000)

    @given(st.binary(max_size=60) | st.text("0123456789-, ", max_size=60).map(str.encode), st.integers(0, 100))
    def test_any_bytes(self, value: bytes, size: int) -> None:
        for field in (value, b"bytes=" + value):
            ranges = parse_ranges(field, size)
            covered: set[int] = set()
            for part in ranges or ():
                self.assertGreater(part.length, 0)
                self.assertTrue(0 <= part.offset < part.end <= size)
                self.assertTrue(covered.isdisjoint(range(part.offset, part.end)))
                covered.update(range(part.offset, part.end))

    @given(
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=MAX_RANGES), st.integers(1, 50)
    )
    def test_exactly_what_was_asked_for(self, pairs: list[tuple[int, int]], size: int) -> None:
        value = b"bytes=" + b",".join(b"%d-%d" % (first, first + more) for first, more in pairs)
        wanted = {at for first, more in pairs for at in range(first, first + more + 1) if at < size}
        got = [at for part in parse_ranges(value, size) or () for at in range(part.offset, part.end)]
        self.assertEqual(sorted(got), sorted(wanted))


class ContentRangeTests(SynchronousTestCase):
    """``content_range`` and ``unsatisfied_range`` (RFC 9110 section 14.4)"""

    def test_part(self) -> None:
        self.assertEqual(content_range(Range(0, 1), 10), b"bytes 0-0/10")
        self.assertEqual(content_range(Range(5, 5), 10), b"bytes 5-9/10")

    def test_unsatisfied(self) -> None:
        self.assertEqual(unsatisfied_range(10), b"bytes */10")


class MultipartTests(SynchronousTestCase):
    """``multipart`` and ``PiecesFile``"""

    content = bytes(range(256)) * 4

    def body(self, *ranges: Range) -> PiecesFile:
        pieces = multipart(list(ranges), len(self.content), b"text/plain", b"limit")
        return PiecesFile(io.BytesIO(self.content), pieces)

    def test_exact_bytes(self) -> None:
        self.assertEqual(
            self.body(Range(65, 3), Range(97, 2)).read(),
            b"--limit\r\nContent-Type: text/plain\r\nContent-Range: bytes 65-67/1024\r\n\r\nABC"
            b"\r\n--limit\r\nContent-Type: text/plain\r\nContent-Range: bytes 97-98/1024\r\n\r\nab"
            b"\r\n--limit--\r\n",
        )

    def test_readable_by_a_mime_parser(self) -> None:
        body = self.body(Range(65, 5), Range(48, 2)).read()
        message = message_from_bytes(b"Content-Type: multipart/byteranges; boundary=limit\r\n\r\n" + body)
        parts = message.get_payload()
        assert isinstance(parts, list)
        self.assertEqual([part.get_payload() for part in parts], ["ABCDE", "01"])
        self.assertEqual([part["Content-Range"] for part in parts], ["bytes 65-69/1024", "bytes 48-49/1024"])

    def test_size_is_known_beforehand(self) -> None:
        body = self.body(Range(0, 100), Range(200, 1), Range(300, 7))
        self.assertEqual(body.size, len(body.read()))

    @given(st.integers(1, 40), st.integers(0, 300), st.integers(-1, 300))
    def test_read_in_pieces_from_anywhere(self, step: int, start: int, size: int) -> None:
        whole = self.body(Range(10, 50), Range(100, 60)).read()
        body = self.body(Range(10, 50), Range(100, 60))
        pieces = []
        while piece := body.read(step):
            self.assertLessEqual(len(piece), step)
            pieces.append(piece)
        self.assertEqual(b"".join(pieces), whole)
        body.seek(start)
        self.assertEqual(body.read(size), whole[start:] if size < 0 else whole[start : start + size])

    def test_position(self) -> None:
        body = self.body(Range(0, 10), Range(20, 10))
        self.assertTrue(body.readable() and body.seekable())
        self.assertEqual(body.seek(5), 5)
        self.assertEqual(body.seek(5, io.SEEK_CUR), 10)
        self.assertEqual(body.seek(-1, io.SEEK_END), body.size - 1)
        self.assertEqual((body.read(), body.tell()), (b"\n", body.size))

    def test_shorter_file_ends_the_reading(self) -> None:
        body = PiecesFile(io.BytesIO(b"abc"), [b"<", Range(1, 10), b">"])
        self.assertEqual(body.read(), b"<bc")
        self.assertEqual(body.read(5), b"")

    def test_has_no_descriptor(self) -> None:
        self.assertRaises(io.UnsupportedOperation, self.body(Range(0, 1)).fileno)

    def test_close_closes_the_file(self) -> None:
        file = io.BytesIO(b"abc")
        with PiecesFile(file, [Range(0, 1)]):
            pass
        self.assertTrue(file.closed)
