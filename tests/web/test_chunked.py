"""The chunked coding, whole and byte by byte: what it means, and what is refused (RFC 9112 section 7.1)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.chunked import MAX_LINE_SIZE, ChunkedDecoder
from skitai.web.events import HeaderList

MAX_TRAILERS = 1000


def decode(data: bytes, piece_size: int) -> tuple[ChunkedDecoder, bytes, bytes]:
    """Decode ``data`` in pieces; return the decoder, the body, and what follows it."""
    decoder = ChunkedDecoder(MAX_TRAILERS)
    body = b""
    for at in range(0, len(data), piece_size):
        decoded, rest = decoder.receive(data[at : at + piece_size])
        body += decoded
        if decoder.done:
            return decoder, body, rest + data[at + piece_size :]
        if decoder.fault is not None:
            break
    return decoder, body, b""


class ChunkedTestCase(SynchronousTestCase):
    """Checks in pieces of several sizes."""

    def good(self, data: bytes, body: bytes, trailers: HeaderList | None = None, rest: bytes = b"") -> None:
        for piece_size in (1, 2, 3, 7, len(data) + len(rest)):
            decoder, decoded, behind = decode(data + rest, piece_size)
            self.assertIsNone(decoder.fault)
            self.assertTrue(decoder.done)
            self.assertEqual((decoded, behind, decoder.trailers), (body, rest, trailers or []))

    def bad(self, data: bytes, status: int = 400, body: bytes = b"") -> None:
        for piece_size in (1, 2, 3, 7, len(data)):
            decoder, decoded, rest = decode(data, piece_size)
            assert decoder.fault is not None, (data, piece_size)
            self.assertEqual((decoder.fault.status, decoded, rest), (status, body, b""))
            self.assertFalse(decoder.done)


class GoodTests(ChunkedTestCase):
    """Bodies as they should be."""

    def test_chunks(self) -> None:
        self.good(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world")

    def test_empty(self) -> None:
        self.good(b"0\r\n\r\n", b"")
        self.good(b"000\r\n\r\n", b"")

    def test_size_in_hexadecimal(self) -> None:
        self.good(b"a\r\n0123456789\r\n00B\r\n01234567890\r\n0\r\n\r\n", b"012345678901234567890")

    def test_many_small_ones(self) -> None:
        self.good(
            b"1\r\na\r\n02\r\nbc\r\nA;x=y\r\n0123456789\r\n1\r\nd\r\n0\r\nx-a: 1\r\n\r\n",
            b"abc0123456789d",
            [(b"x-a", b"1")],
        )
        self.good(b"1\r\n\r\r\n1\r\n\n\r\n" * 50 + b"00\r\n\r\n", b"\r\n" * 50)

    def test_content_that_looks_like_framing(self) -> None:
        self.good(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n")

    def test_next_request_behind_it(self) -> None:
        self.good(b"1\r\nx\r\n0\r\n\r\n", b"x", rest=b"GET / HTTP/1.1\r\n\r\n")

    def test_extensions_are_ignored(self) -> None:
        for extension in (b";a", b";a=b", b' ; a = "q\\"\tr"', b";a;b=c", b'; x="\xe9"'):
            self.good(b"1" + extension + b"\r\nx\r\n0" + extension + b"\r\n\r\n", b"x")

    def test_trailers(self) -> None:
        self.good(b"0\r\nX-One:  1 \r\nX-Two: 2\r\n\r\n", b"", [(b"x-one", b"1"), (b"x-two", b"2")], b"rest")

    def test_trailers_that_may_not_be_there_are_dropped(self) -> None:
        for name in (b"Content-Length", b"transfer-encoding", b"HOST", b"Cookie", b"Authorization", b"Trailer"):
            self.good(b"0\r\n" + name + b": 1\r\nX: 2\r\n\r\n", b"", [(b"x", b"2")])


class BadTests(ChunkedTestCase):
    """Bodies that two parties could read differently."""

    def test_size(self) -> None:
        for line in (
            b"",
            b" 1",
            b"1 ",
            b"+1",
            b"-1",
            b"0x1",
            b"g",
            b"1_0",
            b"1;",
            b"1;=a",
            b'1;a="',
            b"1;a=\x01",
            b"1" * 16,
        ):
            self.bad(line + b"\r\nx\r\n0\r\n\r\n")

    def test_line_ends(self) -> None:
        self.bad(b"1\nx\r\n0\r\n\r\n")
        self.bad(b"1\rx\r\n0\r\n\r\n")
        self.bad(b"1;a\nb\r\nx\r\n0\r\n\r\n")
        self.bad(b"1\0\r\nx\r\n")

    def test_chunk_longer_than_its_size(self) -> None:
        self.bad(b"1\r\nxy\r\n0\r\n\r\n", body=b"x")
        self.bad(b"1\r\nx\n0\r\n\r\n", body=b"x")
        self.bad(b"1\r\nx\r0\r\n\r\n", body=b"x")

    def test_what_came_before_the_fault_is_kept(self) -> None:
        self.bad(b"3\r\nabc\r\nzz\r\n", body=b"abc")

    def test_a_fault_behind_some_chunks(self) -> None:
        for line in (
            b"1\n",
            b"1\r",
            b" 1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b"1_0\r\n",
            b"1 \r\n",
            b"\r\n",
            b"1" * 16 + b"\r\n",
        ):
            self.bad(b"1\r\na\r\n1\r\nb\r\n" + line + b"x\r\n0\r\n\r\n", body=b"ab")

    def test_endless_size_line(self) -> None:
        self.bad(b"1;" + b"a" * MAX_LINE_SIZE + b"\r\n")
        self.bad(b"1;" + b"a" * 3 * MAX_LINE_SIZE)

    def test_trailers(self) -> None:
        for line in (
            b"X : 1\r\n",
            b" X: 1\r\n",
            b"X\r\n",
            b"X: 1\n",
            b"X: \x01\r\n",
            b"X: \0\r\n",
            b"X: 1\r\n folded\r\n",
        ):
            self.bad(b"0\r\n" + line + b"\r\n")

    def test_too_many_trailers(self) -> None:
        self.bad(b"0\r\n" + b"X: 1\r\n" * 200 + b"\r\n", 431)
        self.bad(b"0\r\nX: " + b"1" * 2000, 431)


class PartialTests(SynchronousTestCase):
    """Bodies of which a part has come."""

    def test_content_does_not_wait_for_the_end_of_its_chunk(self) -> None:
        decoder = ChunkedDecoder(MAX_TRAILERS)
        self.assertEqual(decoder.receive(b"a\r\n01234"), (b"01234", b""))
        self.assertEqual(decoder.receive(b"5"), (b"5", b""))
        self.assertFalse(decoder.done)

    def test_nothing_is_decoded_after_the_end(self) -> None:
        decoder = ChunkedDecoder(MAX_TRAILERS)
        self.assertEqual(decoder.receive(b"0\r\n\r\n1\r\nx"), (b"", b"1\r\nx"))
        self.assertTrue(decoder.done)
