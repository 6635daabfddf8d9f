"""Tests of ``skitai.testing.response``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Headers, NoResponse, read_response

OK = b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n\r\nhi"


class HeadersTests(SynchronousTestCase):
    """Header fields."""

    headers = Headers([("Vary", "a"), ("Set-Cookie", "x=1"), ("vary", "b"), ("set-cookie", "y=2")])

    def test_lookup(self) -> None:
        """Names are found whatever their case; several values are joined or listed."""
        self.assertEqual(self.headers["VARY"], "a, b")
        self.assertEqual(self.headers.get_all("Set-Cookie"), ["x=1", "y=2"])
        self.assertEqual(self.headers.get("Age"), None)
        self.assertEqual(self.headers.get_all("Age"), [])
        self.assertRaises(KeyError, self.headers.__getitem__, "Age")

    def test_mapping(self) -> None:
        """Each name counts once."""
        self.assertEqual(list(self.headers), ["vary", "set-cookie"])
        self.assertEqual(len(self.headers), 2)
        self.assertIn("SET-COOKIE", self.headers)
        self.assertNotIn("Age", self.headers)
        self.assertEqual(dict(Headers([("A", "1")])), {"a": "1"})


class ReadTests(SynchronousTestCase):
    """Reading responses."""

    def test_length(self) -> None:
        """A body of announced length, and what follows it."""
        response, rest = read_response(OK + b"more")
        self.assertEqual((response.status, response.reason, response.body), (200, "Fine", b"hi"))
        self.assertEqual(response.headers.get_all("Set-Cookie"), ["a=b", "c=d"])
        self.assertEqual(rest, b"more")

    def test_chunked(self) -> None:
        """The transfer coding is taken off."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        response, rest = read_response(head + b"2\r\nhi\r\n3;x\r\n ho\r\n0\r\n\r\nmore")
        self.assertEqual((response.body, rest), (b"hi ho", b"more"))

    def test_until_close(self) -> None:
        """A body that the end of the connection ends."""
        data = b"HTTP/1.0 200 OK\r\n\r\nhi"
        self.assertEqual(read_response(data, closed=True)[0].body, b"hi")
        self.assertRaises(NoResponse, read_response, data, closed=False)

    def test_no_body(self) -> None:
        """Responses that have no body, whatever their fields say."""
        for status, method in ((204, "GET"), (304, "GET"), (200, "HEAD")):
            head = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
            response, rest = read_response(head + b"HTTP/", method, closed=False)
            self.assertEqual((response.status, response.body, rest), (status, b"", b"HTTP/"))

    def test_interim(self) -> None:
        """Informational responses are told apart from the final one."""
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        response, _ = read_response(early + OK)
        self.assertEqual(response.status, 200)
        self.assertEqual([status for status, _ in response.interim], [100, 103])
        self.assertEqual(response.interim[1][1]["link"], "</a>, </b>")

    def test_switching(self) -> None:
        """101 is a final response."""
        response, rest = read_response(b"HTTP/1.1 101 X\r\nUpgrade: y\r\n\r\nrest")
        self.assertEqual((response.status, response.interim, rest), (101, [], b"rest"))

    def test_incomplete(self) -> None:
        """What is cut short, or nonsense, is no response; the error shows what came."""
        for data in (
            b"",
            OK[:20],
            OK[:-1],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            error = self.assertRaises(NoResponse, read_response, data)
            self.assertEqual(error.received, data)

    def test_text(self) -> None:
        """Text is in the charset of its type."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=%b\r\nContent-Length: 1\r\n\r\n\xe9"
        self.assertEqual(read_response(head % b"ISO-8859-1")[0].text, "\xe9")
        plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xc3\xa9"
        self.assertEqual(read_response(plain)[0].text, "\xe9")

    def test_json(self) -> None:
        """JSON is read."""
        self.assertEqual(read_response(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')[0].json(), {"a": 1})
