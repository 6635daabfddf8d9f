"""Tests of ``skitai.testing.cookies``: what RFC 6265 says of keeping and sending cookies."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Cookie, Cookies
from skitai.testing.cookies import parse

NOW = 1_500_000_000.0


class ParseTests(SynchronousTestCase):
    """Values of ``Set-Cookie``."""

    def parse(self, value: str, host: str = "a.example", path: str = "/x/y") -> Cookie:
        cookie = parse(value, host, path, NOW)
        assert cookie is not None
        return cookie

    def test_plain(self) -> None:
        """A cookie goes back to its host, to the directory it came from, and lives as long as the browser."""
        self.assertEqual(self.parse(" a = b=c "), Cookie("a", "b=c", "a.example", "/x"))

    def test_attributes(self) -> None:
        """Attributes have any case; unknown ones do not matter."""
        cookie = self.parse("a=b; SECURE; httponly; SameSite=Lax; path=/q; DOMAIN=.Example; Unknown=1; Priority")
        self.assertEqual(cookie, Cookie("a", "b", "example", "/q", False, True, True, "Lax"))

    def test_ignored(self) -> None:
        """What has no name or no "=", or is for strangers, is ignored."""
        for value in ("", "a", "=b", " =b; Path=/", "a=b; Domain=example.org", "a=b; Domain=b.a.example"):
            self.assertIsNone(parse(value, "a.example", "/", NOW), value)
        self.assertIsNone(parse("a=b; Domain=0.0.1", "127.0.0.1", "/", NOW))
        self.assertIsNone(parse("a=b; Domain=ample", "a.example", "/", NOW))

    def test_domain(self) -> None:
        """A domain above the host takes in all below it; that of an address is itself."""
        self.assertFalse(self.parse("a=b; Domain=a.example").host_only)
        self.assertTrue(self.parse("a=b; Domain=").host_only)
        self.assertEqual(self.parse("a=b; Domain=127.0.0.1", "127.0.0.1").domain, "127.0.0.1")

    def test_path(self) -> None:
        """What is no absolute path is the directory of the request."""
        for path, directory in (("/", "/"), ("/x", "/"), ("/x/", "/x"), ("/x/y/z", "/x/y"), ("*", "/")):
            self.assertEqual(self.parse("a=b", path=path).path, directory)
        self.assertEqual(self.parse("a=b; Path=x").path, "/x")
        self.assertEqual(self.parse("a=b; Path=/one; Path=/two").path, "/two")

    def test_expiry(self) -> None:
        """Max-Age counts before Expires; what can not be read counts as not there."""
        for attributes, end in (
            ("Max-Age=10", NOW + 10),
            ("Max-Age=0", 0.0),
            ("Max-Age=-1", 0.0),
            ("Max-Age=soon", None),
            (f"Max-Age={'9' * 5000}", NOW + 999_999_999_999),
            ("Max-Age=", None),
            ("Expires=Fri, 14 Jul 2017 02:40:05 GMT", NOW + 5),
            ("Expires=Fri, 14-Jul-17 02:40:05 GMT", NOW + 5),
            ("Expires=whenever", None),
            ("Expires=Fri, 14 Jul 2017 02:40:05 GMT; Max-Age=60", NOW + 60),
        ):
            self.assertEqual(self.parse(f"a=b; {attributes}").expires, end, attributes)


class CookiesTests(SynchronousTestCase):
    """The cookies of a client."""

    def setUp(self) -> None:
        self.now = NOW
        self.cookies = Cookies(lambda: self.now)

    def receive(self, *values: str, host: str = "a.example", path: str = "/") -> None:
        self.cookies.receive(values, host, path)

    def test_mapping(self) -> None:
        """A test reads, sets and removes by name."""
        self.cookies["a"] = "1"
        self.cookies["a"] = "2"
        self.cookies.add(Cookie("a", "3", path="/p"))
        self.assertEqual((dict(self.cookies), len(self.cookies)), ({"a": "3"}, 1))
        self.assertEqual(self.cookies.field("localhost", "/", False), "a=2")
        self.assertIn("a", self.cookies)
        del self.cookies["a"]
        self.assertEqual((dict(self.cookies), self.cookies.get("a")), ({}, None))
        self.assertRaises(KeyError, self.cookies.__delitem__, "a")
        self.cookies["b"] = "1"
        self.cookies.clear()
        self.assertEqual((len(self.cookies), self.cookies.field("localhost", "/", True)), (0, ""))

    def test_find(self) -> None:
        """Attributes can be looked at."""
        self.receive("a=1; Path=/p; HttpOnly", "a=2; Path=/q")
        self.assertFalse(self.cookies.find("a").http_only)
        self.assertTrue(self.cookies.find("a", "/p").http_only)
        self.assertRaises(KeyError, self.cookies.find, "a", "/r")

    def test_host(self) -> None:
        """A cookie without domain is for one host, one with a domain for all below it."""
        self.receive("one=1", "all=2; Domain=example", "wide=3; Domain=a.example")
        for host, field in (
            ("a.example", "one=1; all=2; wide=3"),
            ("b.example", "all=2"),
            ("b.a.example", "all=2; wide=3"),
            ("notexample", ""),
        ):
            self.assertEqual(self.cookies.field(host, "/", False), field)

    def test_path(self) -> None:
        """A cookie is for its path and below."""
        self.receive("a=1; Path=/p")
        for path, sent in (("/p", True), ("/p/", True), ("/p/q", True), ("/pq", False), ("/", False), ("/P", False)):
            self.assertEqual(self.cookies.field("a.example", path, False) != "", sent, path)
        self.receive("b=2; Path=/d/")
        self.assertEqual(self.cookies.field("a.example", "/d/e", False), "b=2")
        self.assertEqual(self.cookies.field("a.example", "/d", False), "")

    def test_secure(self) -> None:
        """A secure cookie needs TLS."""
        self.receive("a=1; Secure")
        self.assertEqual(self.cookies.field("a.example", "/", False), "")
        self.assertEqual(self.cookies.field("a.example", "/", True), "a=1")

    def test_order(self) -> None:
        """Longer paths come first, then older cookies; one that changes keeps its place."""
        self.receive("a=1", "b=2", "c=3; Path=/p", "a=4")
        self.assertEqual(self.cookies.field("a.example", "/p", False), "c=3; a=4; b=2")

    def test_expiry(self) -> None:
        """The clock decides; an end in the past removes a cookie."""
        self.receive("a=1; Max-Age=10", "b=2")
        self.now += 9
        self.assertEqual(list(self.cookies), ["a", "b"])
        self.now += 1
        self.assertEqual((list(self.cookies), self.cookies.field("a.example", "/", False)), (["b"], "b=2"))
        self.receive("b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
        self.assertEqual(list(self.cookies), [])
