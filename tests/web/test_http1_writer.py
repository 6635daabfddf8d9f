"""Response heads as bytes, and the rules for bodies (RFC 9112 sections 4 to 7)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web import http1_writer
from skitai.web.events import HeaderList, Response
from skitai.web.http1_writer import encode_chunk, encode_head, has_body

COMMON = b"Date: now\r\nServer: Skitai\r\n"


def head(
    status: int, headers: HeaderList, length: int | None = None, reason: str = "", common: bytes = COMMON
) -> bytes:
    """Return a head that ends with an empty line."""
    return encode_head(Response(status, headers, reason), length, common, b"\r\n")


class HeadTests(SynchronousTestCase):
    """Heads of good responses."""

    def test_order(self) -> None:
        self.assertEqual(
            head(200, [(b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2")], 5),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\n"
            b"Date: now\r\nServer: Skitai\r\nContent-Length: 5\r\n\r\n",
        )

    def test_the_same_the_second_time(self) -> None:
        fields = [(b"x-cached", b"1")]
        self.assertEqual(head(200, fields), head(200, fields))

    def test_reasons(self) -> None:
        for status, reason, line in (
            (404, "", b"404 Not Found"),
            (404, "Gone Fishing", b"404 Gone Fishing"),
            (299, "", b"299 Success"),
            (599, "", b"599 Server Error"),
            (200, "caf\xe9", b"200 caf\xe9"),
        ):
            self.assertTrue(head(status, [], reason=reason).startswith(b"HTTP/1.1 " + line + b"\r\n"))

    def test_spelling_of_names(self) -> None:
        made = head(200, [(b"etag", b'"1"'), (b"www-authenticate", b"Basic"), (b"X-oDD", b"1")])
        for line in (b'\r\nETag: "1"\r\n', b"\r\nWWW-Authenticate: Basic\r\n", b"\r\nX-Odd: 1\r\n"):
            self.assertIn(line, made)

    def test_own_length_date_and_server_win(self) -> None:
        made = head(200, [(b"content-length", b"3")], 5)
        self.assertEqual(made.count(b"Content-Length"), 1)
        self.assertIn(b"Content-Length: 3\r\n", made)
        for name in (b"Date", b"Server"):
            made = head(200, [(name.lower(), b"mine")])
            self.assertEqual((made.count(name + b": "), made.count(b": mine")), (1, 1))

    def test_no_length_where_none_may_be(self) -> None:
        """RFC 9110 section 8.6."""
        made = head(204, [(b"content-length", b"0"), (b"x", b"1")])
        self.assertNotIn(b"Content-Length", made)
        self.assertIn(b"X: 1\r\n", made)

    def test_interim(self) -> None:
        made = head(103, [(b"link", b"</a>; rel=preload"), (b"date", b"mine")], common=b"")
        self.assertEqual(made, b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nDate: mine\r\n\r\n")


class RefusedTests(SynchronousTestCase):
    """What would be other bytes on the wire than was meant."""

    def test_values_names_and_reasons(self) -> None:
        for field in ((b"x", b"a\r\nY: b"), (b"x", b"a\0"), (b"x y", b"1"), (b"", b"1"), (b"x:", b"1"), (b"x\n", b"1")):
            self.assertRaises(ValueError, head, 200, [field])
        for reason in ("a\r\nb", "\u20ac", "\0"):
            self.assertRaises(ValueError, head, 200, [], None, reason)

    def test_fields_of_the_connection(self) -> None:
        for name in (b"connection", b"Transfer-Encoding", b"keep-alive", b"UPGRADE"):
            self.assertRaises(ValueError, head, 200, [(name, b"x")])


class BodyTests(SynchronousTestCase):
    """Which responses have one, and how it is framed."""

    def test_has_body(self) -> None:
        for method, status, expected in (
            ("GET", 200, True), ("POST", 500, True), ("HEAD", 200, False), ("GET", 204, False), ("GET", 304, False),
            ("GET", 103, False), ("HEAD", 404, False), ("GET", 206, True),
        ):  # fmt: skip
            self.assertIs(has_body(method, status), expected, (method, status))

    def test_chunks(self) -> None:
        self.assertEqual(encode_chunk(b"x" * 26), b"1a\r\n" + b"x" * 26 + b"\r\n")


class CacheTests(SynchronousTestCase):
    """What is remembered is bounded, in number and in length."""

    def test_number_and_length(self) -> None:
        self.patch(http1_writer, "_field_lines", {})
        self.patch(http1_writer, "_status_lines", {})
        for number in range(5000):
            self.assertIn(b"X: %d\r\n" % number, head(200, [(b"x", b"%d" % number)], reason=f"r{number}"))
        self.assertLessEqual(max(len(http1_writer._field_lines), len(http1_writer._status_lines)), 2048)
        self.patch(http1_writer, "_field_lines", {})
        self.assertIn(b"y" * 1000, head(200, [(b"x", b"y" * 1000)]))
        self.assertEqual(http1_writer._field_lines, {})
