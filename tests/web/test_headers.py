"""Header fields: names, values, hosts and lists, and caches that a peer can not fill."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web import headers
from skitai.web.headers import FIELD_LINE, FIELD_VALUE, is_host, is_token, lower_name, read_host, tokens


class TokenTests(SynchronousTestCase):
    """RFC 9110 section 5.6.2."""

    def test_tokens(self) -> None:
        for token in (b"GET", b"x-y_z", b"!#$%&'*+-.^_`|~09azAZ"):
            self.assertTrue(is_token(token), token)

    def test_no_tokens(self) -> None:
        for text in (b"", b" ", b"a b", b"a:", b"a\n", b"\xe9", b"a\0", b"(", b'"'):
            self.assertFalse(is_token(text), text)

    def test_lists(self) -> None:
        self.assertEqual(tokens(b" Close,\tKeep-Alive ,, x"), [b"close", b"keep-alive", b"x"])
        self.assertEqual(tokens(b" , "), [])


class FieldTests(SynchronousTestCase):
    """RFC 9112 section 5."""

    def test_lines(self) -> None:
        match = FIELD_LINE.match(b"X-One: \tvalue with blanks\t \r\nnext")
        assert match is not None
        self.assertEqual((match.group(1), match.group(2).strip(b" \t")), (b"X-One", b"value with blanks"))

    def test_bad_lines(self) -> None:
        for line in (
            b"X : y\r\n",
            b" X: y\r\n",
            b"X: y\n",
            b"X: a\0b\r\n",
            b"X: a\rb\r\n",
            b": y\r\n",
            b"X\r\n",
            b"X: y",
        ):
            self.assertIsNone(FIELD_LINE.match(line), line)

    def test_values(self) -> None:
        for value in (b"", b"a b\tc", b"caf\xc3\xa9", b"\xff"):
            self.assertIsNotNone(FIELD_VALUE.fullmatch(value), value)
        for value in (b"a\nb", b"a\r", b"\0", b"\x7f", b"\x1b"):
            self.assertIsNone(FIELD_VALUE.fullmatch(value), value)


class HostTests(SynchronousTestCase):
    """RFC 9110 section 7.2."""

    def test_hosts(self) -> None:
        for host in ("", "a", "example.com:80", "example.com:", "[::1]", "[::1]:8000", "1.2.3.4", "a%20b", "x_y"):
            self.assertTrue(is_host(host), host)
            self.assertEqual(read_host(host.encode()), host)

    def test_no_hosts(self) -> None:
        for host in ("a b", "user@host", "a/b", "a:b", "[::1", "a:123456", "a\n", "%zz", "\xe9", "a?b", "a#b"):
            self.assertFalse(is_host(host), host)
            self.assertIsNone(read_host(host.encode("latin-1")))
            self.assertIsNone(read_host(host.encode("latin-1")), "the second time it may be remembered")


class CacheTests(SynchronousTestCase):
    """What is remembered is bounded, in number and in length."""

    def test_equal_names_share_an_object(self) -> None:
        self.assertIs(lower_name(b"X-Shared-Name"), lower_name(b"X-Shared-Name"))
        self.assertEqual(lower_name(b"X-Shared-Name"), b"x-shared-name")

    def test_long_names_are_not_kept(self) -> None:
        name = b"X" * 10_000
        self.assertEqual(lower_name(name), b"x" * 10_000)
        self.assertNotIn(name, headers._lower_names)
        read_host(name)
        self.assertNotIn(name, headers._hosts)

    def test_number(self) -> None:
        self.patch(headers, "_lower_names", {})
        self.patch(headers, "_hosts", {})
        for number in range(3000):
            self.assertEqual(lower_name(b"X%d" % number), b"x%d" % number)
            self.assertEqual(read_host(b"X%d" % number), f"X{number}")
        self.assertLessEqual(max(len(headers._lower_names), len(headers._hosts)), 1024)
