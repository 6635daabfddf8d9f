"""The client's side of HTTP/1: requests as bytes; answers whole, byte by byte, malformed, endless and cut."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from httptools import HttpParserError, HttpResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer, RequestError
from skitai.was import http1
from skitai.was.http1 import AnswerLimits, Head, Part, ResponseReader, encode_head
from skitai.was.outgoing import Outgoing, build
from skitai.was.payloads import BytesPayload, FilePayload
from skitai.was.url import read_url
from skitai.web.events import Request
from skitai.web.http1 import ServerConnection

LIMITS = AnswerLimits(max_head_size=2048, max_interim=3)
OK = b"HTTP/1.1 200 OK\r\n"
NOTHING = (None, b"", None)

NAMES = st.sampled_from(
    (
        b"A",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Upgrade",
        b"Set-Cookie",
        b"X-\xe9",
        b"",
        b"X Y",
        b"!~",
    )
)
VALUES = st.one_of(
    st.sampled_from(
        (b"5", b"5, 5", b"+5", b" 5 ", b"chunked", b"gzip, chunked", b"close", b"Upgrade", b"h2c", b"a\r\n b")
    ),
    st.binary(max_size=3),
)
ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))


@dataclass
class Seen:
    """What a stream of bytes came to.

    Attributes:
        heads: Of the final answers.
        bodies: Theirs.
        ends: Of each answer that was complete, whether the connection may be used again.
        failure: What was raised.
    """

    heads: list[Head]
    bodies: list[bytes]
    ends: list[bool]
    failure: RequestError | None = None

    def take(self, part: Part) -> None:
        head, body, reusable = part
        if head is not None:
            self.heads.append(head)
            self.bodies.append(b"")
        if body:
            self.bodies[-1] += body
        if reusable is not None:
            self.ends.append(reusable)


def drive(pieces: list[bytes], methods: tuple[str, ...] = ("GET",), eof: bool = False) -> Seen:
    """Read ``pieces`` as a connection does that sends its next request when an answer has ended."""
    reader = ResponseReader(LIMITS)
    waiting = list(methods)
    seen = Seen([], [], [])
    reader.expect(waiting.pop(0))
    try:
        for piece in pieces:
            part = reader.feed(piece)
            seen.take(part)
            if part[2] and waiting:
                reader.expect(waiting.pop(0))
        if eof and reader.eof():
            seen.ends.append(False)
    except RequestError as error:
        seen.failure = error
    return seen


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield ``data`` whole, in single bytes and in small pieces."""
    for size in (max(1, len(data)), 1, 2, 3, 7):
        yield [data[at : at + size] for at in range(0, len(data), size)]


class ReaderTestCase(SynchronousTestCase):
    """Checks in pieces of several sizes."""

    def good(
        self, data: bytes, body: bytes = b"", method: str = "GET", eof: bool = False, reusable: bool = True
    ) -> Seen:
        """Check that ``data`` are one answer with ``body``, and return it."""
        for pieces in cuts(data):
            seen = drive(pieces, (method,), eof)
            self.assertIsNone(seen.failure, seen)
            self.assertEqual((len(seen.heads), seen.bodies, seen.ends), (1, [body], [reusable]), data)
        return seen

    def bad(self, data: bytes, word: str = "", method: str = "GET", eof: bool = False) -> None:
        """Check that ``data`` are refused, with ``word`` in the message."""
        for pieces in cuts(data):
            seen = drive(pieces, (method,), eof)
            assert isinstance(seen.failure, BadAnswer), (data, pieces, seen)
            self.assertIn(word, str(seen.failure))
            self.assertEqual((seen.failure.code, seen.failure.sent, seen.failure.answered), (705, True, True))
            self.assertEqual(seen.ends, [])


class EncodeTests(SynchronousTestCase):
    """``encode_head``, and what follows it."""

    def encode(self, outgoing: Outgoing, *extra: tuple[bytes, bytes]) -> bytes:
        return encode_head(outgoing, extra)

    def test_get(self) -> None:
        url = read_url("http://host:81/a b?c=ä")[0]
        for _ in range(2):
            self.assertEqual(
                self.encode(Outgoing("GET", url, ((b"accept", b"*/*"), (b"x-a", b"\xe9"))), (b"x-gtxn-id", b"G1")),
                b"GET /a%20b?c=%C3%A4 HTTP/1.1\r\nHost: host:81\r\nAccept: */*\r\nX-A: \xe9\r\nX-Gtxn-Id: G1\r\n\r\n",
            )

    def test_host(self) -> None:
        for text, host in (("https://a:443/", b"a"), ("http://[::1]/", b"[::1]"), ("https://a:80/", b"a:80")):
            self.assertIn(b"\r\nHost: %b\r\n" % host, self.encode(Outgoing("GET", read_url(text)[0])))

    def test_how_the_content_ends(self) -> None:
        url = read_url("http://h/")[0]
        for method, payload, line in (
            ("GET", None, b""),
            ("DELETE", None, b""),
            ("POST", None, b"Content-Length: 0\r\n"),
            ("PUT", None, b"Content-Length: 0\r\n"),
            ("PATCH", None, b"Content-Length: 0\r\n"),
            ("POST", BytesPayload(b""), b"Content-Length: 0\r\n"),
            ("POST", BytesPayload(b"abc"), b"Content-Length: 3\r\n"),
            ("GET", BytesPayload(b"abc"), b"Content-Length: 3\r\n"),
            ("POST", FilePayload(io.BytesIO(b"abcd")), b"Content-Length: 4\r\n"),
        ):
            head = self.encode(Outgoing(method, url, (), payload))
            self.assertEqual(head, b"%b / HTTP/1.1\r\nHost: h\r\n%b\r\n" % (method.encode(), line))

    def test_nothing_breaks_out_of_its_line(self) -> None:
        outgoing = Outgoing("GET", read_url("http://h/")[0])
        for name, value in (
            (b"x", b"a\r\nb: c"),
            (b"x", b"a\nb"),
            (b"x", b"\0"),
            (b"x\r\ny", b"a"),
            (b"x:", b"a"),
            (b"", b""),
        ):
            self.assertRaises(ValueError, self.encode, outgoing, (name, value))
            self.assertRaises(ValueError, self.encode, Outgoing("GET", outgoing.url, ((name, value),)))

    def test_secrets_are_not_remembered(self) -> None:
        self.encode(Outgoing("GET", read_url("http://h/")[0], ((b"cookie", b"geheim"),)), (b"authorization", b"geheim"))
        self.assertNotIn(b"geheim", repr((http1._sections, http1._lines)).encode())

    def test_memory_is_bounded(self) -> None:
        self.addCleanup(http1._sections.clear)
        self.addCleanup(http1._lines.clear)
        self.addCleanup(http1._targets.clear)
        for number in range(2000):
            self.encode(Outgoing("GET", read_url(f"http://h/{number}")[0], ((b"x-%d" % number, b""),)))
        self.assertLessEqual(max(len(http1._sections), len(http1._lines), len(http1._targets)), 1024)
        long = read_url("http://h/" + "x" * 1000)[0]
        self.assertEqual(self.encode(Outgoing("GET", long)), self.encode(Outgoing("GET", long)))
        self.assertNotIn(("GET", long.text), http1._targets)

    def test_the_server_reads_it(self) -> None:
        """Our two engines understand each other."""
        url = read_url("http://h:5000/p?q")[0]
        file = FilePayload(io.BytesIO(b"of a file"))
        for outgoing in (build("postjson", url, {"a": 1}), build("upload", url, {"f": ("n", b"x")}), build("get", url),
                         Outgoing("POST", url, (), file)):  # fmt: skip
            server = ServerConnection(65536, 16384)
            events: list[Any] = server.receive(encode_head(outgoing))
            for piece in outgoing.payload.chunks() if outgoing.payload is not None else ():
                events += server.receive(piece)
            self.assertIsInstance(events[0], Request)
            self.assertEqual((events[0].method, events[0].target, events[0].host), (outgoing.method, "/p?q", "h:5000"))
            self.assertTrue(server.body_complete)


class BodyTests(ReaderTestCase):
    """Where bodies end (RFC 9112 section 6.3)."""

    def test_length(self) -> None:
        seen = self.good(OK + b"Content-Type: a/b\r\nContent-Length: 5\r\n\r\nhello", b"hello")
        [head] = seen.heads
        self.assertEqual(
            (head.status, head.reason, head.version, head.keep_alive, head.length), (200, "OK", "1.1", True, 5)
        )
        self.assertEqual(head.headers, [(b"content-type", b"a/b"), (b"content-length", b"5")])
        self.good(OK + b"Content-Length: 0\r\n\r\n")
        self.good(OK + b"Content-Length: 000\r\n\r\n")

    def test_a_length_repeated(self) -> None:
        self.good(OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"hello")
        self.good(OK + b"Content-Length: 5, 5\r\n\r\nhello", b"hello")

    def test_chunked(self) -> None:
        head = OK + b"Transfer-Encoding: Chunked\r\n\r\n"
        for body, coded in (
            (b"hello", b"5\r\nhello\r\n0\r\n\r\n"),
            (b"hello", b"05\r\nhello\r\n0\r\n\r\n"),
            (b"hello", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
            (b"hello", b"2\r\nhe\r\n3;x\r\nllo\r\n000\r\n\r\n"),
            (b"", b"0\r\n\r\n"),
            (b"x" * 171, b"aB\r\n" + b"x" * 171 + b"\r\n0\r\n\r\n"),
            (b"\r\n0\r\n\r\n", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ):
            seen = self.good(head + coded, body)
            self.assertEqual(
                (seen.heads[0].length, seen.heads[0].chunked, seen.heads[0].keep_alive), (None, True, True)
            )

    def test_trailers(self) -> None:
        """They are dropped."""
        coded = b"1\r\nx\r\n0\r\nX-Sum:  1 \r\nContent-Length: 5\r\n\r\n"
        seen = self.good(OK + b"Transfer-Encoding: chunked\r\n\r\n" + coded, b"x")
        self.assertEqual(seen.heads[0].headers, [(b"transfer-encoding", b"chunked")])

    def test_until_the_connection_ends(self) -> None:
        for head in (OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: keep-alive\r\n"):
            for body in (b"", b"all of it\r\n\r\n"):
                seen = self.good(head + b"\r\n" + body, body, eof=True, reusable=False)
                self.assertEqual(
                    (seen.heads[0].length, seen.heads[0].chunked, seen.heads[0].keep_alive), (None, False, False)
                )

    def test_none_whatever_the_head_says(self) -> None:
        length, chunked, both = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: x\r\n"
        for framing in (b"", length, chunked, both, length + chunked):
            self.good(OK + framing + b"\r\n", method="HEAD")
            self.good(b"HTTP/1.1 204 No Content\r\n" + framing + b"\r\n")
            self.good(b"HTTP/1.1 304 Not Modified\r\n" + framing + b"\r\n")
        seen = self.good(OK + length + b"\r\n", method="HEAD")
        self.assertEqual((seen.heads[0].length, seen.heads[0].headers), (0, [(b"content-length", b"5")]))

    def test_the_same_head_for_another_method(self) -> None:
        """A head is not remembered without what decides about it."""
        head = OK + b"Content-Length: 3\r\nX-Same: 1\r\n\r\n"
        for _ in range(2):
            self.good(head, method="HEAD")
            self.good(head + b"abc", b"abc")

    def test_interim_answers(self) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        seen = self.good(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + hints + OK + b"Content-Length: 1\r\n\r\nx", b"x")
        self.assertEqual([head.status for head in seen.heads], [200])

    def test_one_after_the_other(self) -> None:
        reader = ResponseReader(LIMITS)
        for number in range(5):
            reader.expect("GET")
            self.assertFalse(reader.answered)
            reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * LIMITS.max_interim)  # counted anew for each
            self.assertTrue(reader.answered)
            self.assertEqual(reader.feed(OK + b"Content-Length: 1\r\n\r\n%d" % number)[1:], (b"%d" % number, True))

    def test_a_short_head_after_a_long_one(self) -> None:
        """Where the last head was searched up to says nothing about the next."""
        reader = ResponseReader(LIMITS)
        reader.expect("GET")
        *pieces, last = [b"%c" % byte for byte in OK + b"X: " + b"a" * 200 + b"\r\nContent-Length: 0\r\n\r\n"]
        for piece in pieces:
            self.assertEqual(reader.feed(piece), NOTHING)
        self.assertEqual(reader.feed(last)[1:], (b"", True))
        reader.expect("GET")
        self.assertEqual(reader.feed(OK + b"Content-Length: 0\r\n\r\n")[1:], (b"", True))

    def test_a_small_answer_is_one_part(self) -> None:
        reader = ResponseReader(LIMITS)
        for framed in (b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"):
            reader.expect("GET")
            self.assertEqual(reader.feed(OK + framed)[1:], (b"hi", True))


class KeepAliveTests(ReaderTestCase):
    """Whether the connection may be used again (RFC 9112 section 9.3)."""

    def test_persistence(self) -> None:
        for version, options, reusable in (
            (b"1.1", b"", True),
            (b"1.1", b"Connection: close\r\n", False),
            (b"1.1", b"Connection: x, CLOSE\r\n", False),
            (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
            (b"1.1", b"Connection: keep-alive\r\n", True),
            (b"1.1", b"Connection: closed\r\n", True),
            (b"1.0", b"", False),
            (b"1.0", b"Connection: Keep-Alive\r\n", True),
            (b"1.0", b"Connection: keep-alive, close\r\n", False),
            (b"1.7", b"", True),
        ):
            head = b"HTTP/%b 200 OK\r\n%bContent-Length: 1\r\n\r\n" % (version, options)
            seen = self.good(head + b"x", b"x", reusable=reusable)
            self.assertEqual(seen.heads[0].keep_alive, reusable)
            self.good(head, method="HEAD", reusable=reusable)

    def test_data_after_the_end(self) -> None:
        """What comes with the answer ends the connection, what comes later is refused."""
        for framed in (b"Content-Length: 1\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"):
            for behind in (b"\r\n", b"x", OK, b"0\r\n\r\n"):
                seen = drive([OK + framed + behind])
                self.assertEqual((seen.bodies, seen.ends, seen.failure), ([b"x"], [False], None))
                seen = drive([OK + framed, behind])
                self.assertEqual((seen.bodies, seen.ends), ([b"x"], [True]))
                self.assertIsInstance(seen.failure, BadAnswer)
        seen = drive([OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n"])
        self.assertEqual((seen.bodies, seen.ends), ([b""], [False]))
        seen = drive([OK + b"Content-Length: 1\r\n\r\nx"], ("HEAD",))
        self.assertEqual((seen.bodies, seen.ends), ([b""], [False]))

    def test_an_answer_is_not_taken_for_the_next_request(self) -> None:
        answer = OK + b"Content-Length: 1\r\n\r\nx"
        seen = drive([answer + answer, answer], ("GET", "GET"))
        self.assertEqual((len(seen.heads), seen.ends), (1, [False]))

    def test_expect_out_of_turn(self) -> None:
        reader = ResponseReader(LIMITS)
        reader.expect("GET")
        self.assertRaises(RuntimeError, reader.expect, "GET")
        reader.feed(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertRaises(RuntimeError, reader.expect, "GET")
        self.assertEqual((reader.feed(b"more"), reader.eof()), (NOTHING, False))

    def test_nothing_more_after_a_failure(self) -> None:
        reader = ResponseReader(LIMITS)
        reader.expect("GET")
        self.assertRaises(BadAnswer, reader.feed, b"garbage")
        self.assertEqual((reader.feed(OK), reader.eof()), (NOTHING, False))
        self.assertRaises(RuntimeError, reader.expect, "GET")


class HeadTests(ReaderTestCase):
    """Heads that are odd, but good."""

    def head(self, head: bytes) -> Head:
        return self.good(head + b"Content-Length: 0\r\n\r\n").heads[0]

    def test_reasons(self) -> None:
        for line, status, reason in (
            (b"HTTP/1.1 200 ", 200, ""),
            (b"HTTP/1.1 200", 200, ""),
            (b"HTTP/1.1 404 Not  \t Found", 404, "Not  \t Found"),
            (b"HTTP/1.1 200 \xe9", 200, "é"),
        ):
            head = self.head(line + b"\r\n")
            self.assertEqual((head.status, head.reason), (status, reason))

    def test_statuses_without_a_meaning(self) -> None:
        """RFC 9110 section 15: those out of range are server errors, and framed as such."""
        for status in (299, 599, 600, 999):
            self.assertEqual(self.head(b"HTTP/1.1 %d X\r\n" % status).status, status)

    def test_fields(self) -> None:
        head = self.head(OK + b"X-A:b\r\nx-a: \t c d\t \r\nEmpty:\r\nSet-Cookie: a=b; Path=/\r\nLatin: \xe9\r\n")
        self.assertEqual(
            head.headers[:-1],
            [(b"x-a", b"b"), (b"x-a", b"c d"), (b"empty", b""), (b"set-cookie", b"a=b; Path=/"), (b"latin", b"\xe9")],
        )

    def test_an_offer_to_upgrade_is_declined(self) -> None:
        """Apache makes one with every answer (RFC 9110 section 7.8)."""
        for upgrade in (
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"Upgrade: h2c\r\nConnection: Upgrade, keep-alive\r\n",
        ):
            self.good(OK + upgrade + b"Content-Length: 5\r\n\r\nhello", b"hello")
            head = self.head(OK + upgrade + b"X-After: 1\r\n")
            self.assertEqual(head.headers[2], (b"x-after", b"1"))

    def test_folded_lines(self) -> None:
        """RFC 9112 section 5.2: a user agent replaces a fold by blanks before it interprets the value."""
        head = self.head(OK + b"X: a\r\n b\r\n\t  c\r\nY: d\r\nZ:\r\n e\r\nV: f\r\n \r\n")
        self.assertEqual(head.headers[:4], [(b"x", b"a b c"), (b"y", b"d"), (b"z", b"e"), (b"v", b"f")])
        self.good(OK + b"Content-Length:\r\n 2\r\n\r\nab", b"ab")

    def test_the_largest_head(self) -> None:
        head = OK + b"Content-Length: 0\r\nX: "
        head += b"a" * (LIMITS.max_head_size - len(head) - 4)
        self.good(head + b"\r\n\r\n")
        self.bad(head + b"a\r\n\r\n", "larger than 2,048 bytes")

    def test_secrets_are_not_remembered(self) -> None:
        self.good(OK + b"Set-Cookie: session=geheim\r\nContent-Length: 0\r\n\r\n")
        self.good(OK + b"WWW-Authenticate: Digest nonce=geheim\r\nContent-Length: 0\r\n\r\n")
        self.assertNotIn(b"geheim", repr((http1._heads, http1._starts)).encode())

    def test_memory_is_bounded(self) -> None:
        for cache in (http1._heads, http1._starts):
            self.addCleanup(cache.clear)  # type: ignore[attr-defined]
        reader = ResponseReader(LIMITS)
        for number in range(3000):
            reader.expect("GET")
            reader.feed(b"HTTP/1.1 200 %d\r\nX: %d\r\nContent-Length: 0\r\n\r\n" % (number, number))
        self.assertLessEqual(max(map(len, (http1._heads, http1._starts))), 1024)  # type: ignore[arg-type]


BAD_HEADS: dict[bytes, str] = {
    b"<html><body>hello</body></html>": "not HTTP/1",  # HTTP/0.9
    b"SSH-2.0-OpenSSH_9.2\r\n": "not HTTP/1",
    b"\x15\x03\x01\x00\x02\x02\x16": "not HTTP/1",  # a TLS alert
    b"\0\0\x12\x04\0\0\0\0\0": "not HTTP/1",  # HTTP/2
    b"HTTP/2 200 OK\r\n\r\n": "",
    b"HTTP/2.0 200 OK\r\n\r\n": "",
    b"HTTP/0.9 200 OK\r\n\r\n": "",
    b"HTTP/1.10 200 OK\r\n\r\n": "status line",
    b"http/1.1 200 OK\r\n\r\n": "",
    b"ICY 200 OK\r\n\r\n": "",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n": "",
    b" HTTP/1.1 200 OK\r\n\r\n": "",
    b"GET / HTTP/1.1\r\n\r\n": "",
    b"HTTP/1.1\r\n\r\n": "status line",
    b"HTTP/1.1 \r\n\r\n": "status line",
    b"HTTP/1.1 99 Low\r\n\r\n": "status line",
    b"HTTP/1.1 1000 High\r\n\r\n": "status line",
    b"HTTP/1.1 20 OK\r\n\r\n": "status line",
    b"HTTP/1.1 2x0 OK\r\n\r\n": "status line",
    b"HTTP/1.1 -20 OK\r\n\r\n": "status line",
    b"HTTP/1.1 200OK\r\n\r\n": "status line",
    b"HTTP/1.1  200 OK\r\n\r\n": "status line",
    b"HTTP/1.1\t200 OK\r\n\r\n": "status line",
    b"HTTP/1.1 200 O\0K\r\n\r\n": "status line",
    b"HTTP/1.1 200 O\rK\r\n\r\n": "status line",
    b"HTTP/1.1 099 Low\r\n\r\n": "status 099",
    b"HTTP/1.1 000 None\r\n\r\n": "status 000",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n": "status 101",
    b"HTTP/1.1 200 OK\n\nbody": "bare LF",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n": "bare LF",
    OK + b"X: a\nY: b\r\n\r\n": "",
    OK + b"X: a\n\r\n": "",
    OK + b"X: a\rY: b\r\n\r\n": "malformed field",
    OK + b"X: a\0b\r\n\r\n": "malformed field",
    OK + b"X: a\x0bb\r\n\r\n": "malformed field",
    OK + b"X : a\r\n\r\n": "malformed field",
    OK + b"X\r\n\r\n": "malformed field",
    OK + b": a\r\n\r\n": "malformed field",
    OK + b"X Y: a\r\n\r\n": "malformed field",
    OK + b"\xe9: a\r\n\r\n": "malformed field",
    OK + b" X: a\r\n\r\n": "malformed field",  # RFC 9112 section 2.2: white space behind the status line
    OK + b"\t\r\nX: a\r\n\r\n": "malformed field",
    OK + b"HTTP/1.1 200 OK\r\n\r\n": "malformed field",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 5, 6\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 5,\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 5\r\nContent-Length:\r\n\r\n": "Content-Length",
    OK + b"Content-Length:\r\n\r\n": "Content-Length",
    OK + b"Content-Length: -5\r\n\r\n": "Content-Length",
    OK + b"Content-Length: +5\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 0x5\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 5 5\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 1_0\r\n\r\n": "Content-Length",
    OK + b"Content-Length: \xb2\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 9999999999999999999\r\n\r\n": "Content-Length",
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n": "together",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n": "together",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": "HTTP/1.0",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: gzip\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: identity\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: xchunked\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding:\r\n\r\n": "transfer coding",
    OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n": "malformed field",
}
"""Heads that are refused, and a word of the reason where it does not depend on how the bytes come."""

BAD_CHUNKS = (
    b"\r\n", b"x\r\n", b"-1\r\nx\r\n", b"0x1\r\nx\r\n", b" 1\r\nx\r\n", b"1 \r\nx\r\n", b"1\nx\r\n", b"1\rx\r\n",
    b"1\r\nxy", b"1\r\nx\n", b"1;\0\r\nx\r\n", b"1_0\r\nx", b"1" * 16 + b"\r\nx", b"1\r\nx\r\n0\r\nX : a\r\n\r\n",
    b"1\r\nx\r\n0\r\nX: a\nY: b\r\n\r\n", b"1\r\nx\r\n0\r\n a\r\n\r\n", b"1;" + b"a" * 5000,
    b"0\r\nX: " + b"a" * 2100, b"0\r\n" + b"X: a\r\n" * 400 + b"\r\n", b"1\r\nx\r\n0\r\n\rx",
)  # fmt: skip


class BadTests(ReaderTestCase):
    """What is refused."""

    def test_heads(self) -> None:
        for data, word in BAD_HEADS.items():
            self.bad(data, word)

    def test_refused_ones_are_refused_again(self) -> None:
        """Nothing of them is remembered."""
        for data, word in BAD_HEADS.items():
            self.bad(data, word, method="POST")

    def test_chunks(self) -> None:
        for data in BAD_CHUNKS:
            self.bad(OK + b"Transfer-Encoding: chunked\r\n\r\n" + data, "malformed: ")

    def test_garbage_is_refused_at_once(self) -> None:
        for data, least in ((b"<", 1), (b"HTTX", 4), (b"HTTP/1.1 200 OK\nX", 16), (b"HTTP/3", 6)):
            seen = drive([data[at : at + 1] for at in range(least)])
            self.assertIsInstance(seen.failure, BadAnswer, data)

    def test_endless_heads(self) -> None:
        self.bad(OK + b"X: " + b"a" * 3000, "larger")
        self.bad(OK + b"X: a\r\n" * 1000, "larger")
        self.bad(OK + b"X: a\r\n \r\n" + b" \r\n" * 1000, "larger")
        self.bad(b"HTTP/1.1 200 " + b"a" * 3000, "larger")

    def test_endless_interim_answers(self) -> None:
        self.bad(b"HTTP/1.1 100 Continue\r\n\r\n" * 4, "more than 3 interim")
        self.bad(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, "more than 3 interim")

    def test_cut(self) -> None:
        for whole in (
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        ):
            for size in range(1, len(whole)):
                seen = drive([whole[:size]], eof=True)
                self.assertIsInstance(seen.failure, BadAnswer, whole[:size])
                self.assertIn("cut", str(seen.failure))
                self.assertEqual(seen.ends, [])
            self.assertIsNone(drive([whole], eof=True).failure)

    def test_no_answer_at_all(self) -> None:
        reader = ResponseReader(LIMITS)
        reader.expect("GET")
        reader.feed(b"")
        self.assertFalse(reader.answered)
        self.assertRaises(BadAnswer, reader.eof)

    def test_closed_while_idle(self) -> None:
        self.assertFalse(ResponseReader(LIMITS).eof())

    def test_something_before_the_request(self) -> None:
        self.assertRaises(BadAnswer, ResponseReader(LIMITS).feed, OK)
        self.assertEqual(ResponseReader(LIMITS).feed(b""), NOTHING)

    def test_a_message_does_not_tell_values(self) -> None:
        seen = drive([OK + b"Set-Cookie : geheim\r\n\r\n"])
        self.assertNotIn("geheim", str(seen.failure))


FRAGMENTS = [
    OK, b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 304 X\r\n", b"HTTP/1.1 ", b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X: y\r\n", b" fold\r\n",
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b":", b"hello", b"5\r\nhello\r\n", b"5\r\n", b"0\r\n\r\n", b"0\r\n",
    b"a" * 900,
]  # fmt: skip
streams = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=10).map(b"".join),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3)), max_size=8).map(
        lambda more: OK + b"".join(more)
    ),
    st.binary(max_size=60),
)


class AnythingTests(SynchronousTestCase):
    """Whatever comes, however it is cut."""

    @settings(max_examples=600, derandomize=True, database=None, deadline=None)
    @given(streams, st.lists(st.integers(0, 2000), max_size=5), st.sampled_from(["GET", "HEAD"]), st.booleans())
    def test_means_the_same_however_it_is_cut(self, data: bytes, places: list[int], method: str, eof: bool) -> None:
        marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
        whole = drive([data], (method,), eof)
        pieces = drive([data[start:end] for start, end in pairwise(marks)], (method,), eof)
        if True in pieces.ends and pieces.failure is not None and False in whole.ends:
            # Behind a complete answer: with it they spoil the connection, later they are refused.
            return
        self.assertEqual(type(whole.failure), type(pieces.failure))
        if whole.failure is None:
            self.assertEqual(whole.ends, pieces.ends)
            self.assertEqual(whole.bodies, pieces.bodies)
            self.assertEqual([head.headers for head in whole.heads], [head.headers for head in pieces.heads])
        for head, body in zip(pieces.heads, pieces.bodies, strict=True):
            self.assertTrue(200 <= head.status <= 999)
            for name, value in head.headers:
                self.assertEqual((name, value), (name.lower().strip(), value.strip(b" \t")))
                self.assertFalse(set(value) & {0, 10, 13})
            if pieces.ends and head.length is not None:
                self.assertEqual(len(body), head.length)

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(st.lists(st.tuples(NAMES, st.sampled_from((b":", b": ", b":\t", b" :")), VALUES, ENDS), max_size=4))
    def test_httptools_takes_nothing_that_the_lines_alone_would_not_give(self, parts: list[tuple[bytes, ...]]) -> None:
        fields = b"".join(b"".join(part) for part in parts)
        if b"\r\n\r\n" in fields or not fields.endswith(b"\r\n"):
            return  # it would not be one section
        lines = http1._FieldLines()
        try:
            HttpResponseParser(lines).feed_data(http1._SYNTHETIC_LINE + fields + b"\r\n")
        except HttpParserError:
            return
        self.assertEqual(ResponseReader(LIMITS)._read_lines(fields), lines.headers)
