"""What start_response takes and refuses, each rule by itself (PEP 3333)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ApplicationError
from skitai.web import start_response
from skitai.web.start_response import HOP_BY_HOP, parse_headers, parse_status


class StatusTests(SynchronousTestCase):
    """Statuses."""

    def test_good(self) -> None:
        for status, parsed in (
            ("200 OK", (200, "OK")),
            ("404 Not Found", (404, "Not Found")),
            ("200", (200, "")),
            ("200 ", (200, "")),
            ("299 caf\xe9", (299, "caf\xe9")),
            ("999 x", (999, "x")),
        ):
            self.assertEqual([parse_status(status), parse_status(status)], [parsed, parsed])

    def test_bad(self) -> None:
        bad: list[Any] = [
            "", "20 OK", "2000 OK", "OK", "200OK", "200  \n", "200 a\rb", "200 \0", "099 x", "100 Continue", "199 x",
            "200 \u20ac", " 200 OK", 200, b"200 OK", None, ["200 OK"], ("200 OK",),
        ]  # fmt: skip
        for status in bad:
            for _ in range(2):
                self.assertRaises(ApplicationError, parse_status, status)

    def test_cache_is_bounded(self) -> None:
        self.patch(start_response, "_statuses", {})
        for number in range(5000):
            self.assertEqual(parse_status(f"200 {number}"), (200, str(number)))
        self.assertLessEqual(len(start_response._statuses), 2048)
        self.patch(start_response, "_statuses", {})
        parse_status("200 " + "x" * 1000)
        self.assertEqual(start_response._statuses, {})


class HeaderTests(SynchronousTestCase):
    """Header lists."""

    def test_good(self) -> None:
        given = [("Content-Type", "text/plain"), ("X-One", " 1\t"), ("SET-COOKIE", "a"), ("Set-Cookie", "caf\xe9")]
        expected = [
            (b"content-type", b"text/plain"),
            (b"x-one", b"1"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"caf\xe9"),
        ]
        for _ in range(2):
            self.assertEqual(parse_headers(given), (expected, None))
        self.assertEqual(parse_headers([]), ([], None))

    def test_length(self) -> None:
        self.assertEqual(parse_headers([("Content-Length", "12")]), ([(b"content-length", b"12")], 12))
        for value in ("", "-1", "+1", "1.0", "0x1", "1,1", "a", "\xb2"):
            self.assertRaises(ApplicationError, parse_headers, [("Content-Length", value)])
        self.assertRaises(ApplicationError, parse_headers, [("Content-Length", "1"), ("content-length", "1")])
        self.assertRaises(ApplicationError, parse_headers, [("Content-Length", "0"), ("content-length", "0")])

    def test_bad(self) -> None:
        lists: list[Any] = [
            (), None, "X: y", iter([]), {"a": "b"}, [["X", "y"]], ["ab"], [("X",)], [("X", "y", "z")], [("X", 1)],
            [(b"X", "y")], [("X", b"y")], [(1, "y")], [("", "y")], [("X Y", "y")], [("X:", "y")], [("X\n", "y")],
            [("\xe9", "y")], [("X", "a\r\nb")], [("X", "a\nb")], [("X", "a\0b")], [("X", "\x7f")], [("X", "\u20ac")],
            [(["X"], "y")], [None],
        ]  # fmt: skip
        for headers in lists:
            for _ in range(2):
                self.assertRaises(ApplicationError, parse_headers, headers)

    def test_hop_by_hop(self) -> None:
        for name in HOP_BY_HOP:
            self.assertRaises(ApplicationError, parse_headers, [(name.decode().title(), "x")])

    def test_message_names_the_rule(self) -> None:
        error = self.assertRaises(ApplicationError, parse_headers, [("X-Split", "a\r\nb")])
        self.assertIn("X-Split", str(error))
        self.assertIn("RFC 9110 section 5.5", str(error))

    def test_cache_is_bounded(self) -> None:
        self.patch(start_response, "_fields", {})
        for number in range(5000):
            parse_headers([("X", str(number))])
        self.assertLessEqual(len(start_response._fields), 2048)
        self.patch(start_response, "_fields", {})
        parse_headers([("X", "y" * 1000)])
        self.assertEqual(start_response._fields, {})
