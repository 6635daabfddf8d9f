"""Cookies: reading what browsers send, and the Set-Cookie fields of an answer."""

from __future__ import annotations

from http.cookies import SimpleCookie

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.cookie import MAX_COOKIE_SIZE, MAX_COOKIES, MAX_FIELD_SIZE, Cookie, decode, encode, parse

NOON = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


def make(header: str = "", path: str = "/", secure: bool = False) -> Cookie:
    return Cookie(header, path, secure, lambda: NOON)


class ReadingTests(SynchronousTestCase):
    """What a browser sends"""

    def expect(self, header: str, **values: str) -> None:
        self.assertEqual(dict(make(header)), values, header)

    def test_none(self) -> None:
        self.expect("")

    def test_several(self) -> None:
        self.expect("a=1; b=2;c=3 ;\td = 4 ", a="1", b="2", c="3", d="4")

    def test_value_with_equals_signs(self) -> None:
        self.expect("a=b=c==", a="b=c==")

    def test_empty_value(self) -> None:
        self.expect("a=; b=1", a="", b="1")

    def test_quoted(self) -> None:
        self.expect('a="x y"; b="; c="1', a="x y", b='"', c='"1')

    def test_first_of_several(self) -> None:
        self.expect("a=1; a=2; b=3", a="1", b="3")

    def test_pieces_that_are_no_cookies(self) -> None:
        self.expect("a; =x; ; b=1;;", b="1")

    def test_percent_encoded(self) -> None:
        self.expect("a=%EA%B0%80%20b; c=100%; d=%zz", a="가 b", c="100%", d="%zz")

    def test_not_utf8(self) -> None:
        self.expect("a=%FF; b=\xff", a="%FF", b="\xff")

    def test_bare_utf8(self) -> None:
        self.expect("a=" + "é".encode().decode("latin-1"), a="é")

    def test_many(self) -> None:
        header = "; ".join(f"n{number}=1" for number in range(MAX_COOKIES + 50))
        self.assertEqual(len(make(header)), MAX_COOKIES)

    def test_huge_field_loses_the_cookie_that_is_cut(self) -> None:
        header = "a=1; b=" + "x" * MAX_FIELD_SIZE
        self.expect(header, a="1")

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(st.text(alphabet=st.one_of(st.sampled_from('a=;"% \t,\\\x00\xff'), st.characters()), max_size=60))
    def test_nothing_raises(self, header: str) -> None:
        cookie = make(header)
        for name, value in cookie.items():
            self.assertIsInstance(name, str)
            self.assertIsInstance(value, str)
        cookie.clear()
        self.assertEqual(len(cookie), 0)

    def test_parsed_when_first_used(self) -> None:
        class Header(str):
            read = 0

            def split(self, *args: object) -> list[str]:
                Header.read += 1
                return []

        cookie = make(Header("a=1"))
        self.assertEqual(cookie.header_values(), [])
        self.assertEqual(Header.read, 0)
        self.assertNotIn("a", cookie)
        self.assertNotIn("b", cookie)
        self.assertEqual(Header.read, 1)


class DictionaryTests(SynchronousTestCase):
    """The methods of a dictionary, and those of the manual"""

    def test_manual(self) -> None:
        cookie = make("a=1; b=2")
        self.assertTrue(cookie.has_key("a"))
        self.assertFalse(cookie.has_key("c"))
        self.assertEqual(list(cookie.keys()), ["a", "b"])
        self.assertEqual(list(cookie.values()), ["1", "2"])
        self.assertEqual(list(cookie.items()), [("a", "1"), ("b", "2")])
        self.assertEqual(list(cookie.iterkeys()), ["a", "b"])
        self.assertEqual(list(cookie.iterkyes()), ["a", "b"])
        self.assertEqual(list(cookie.kyes()), ["a", "b"])
        self.assertEqual(list(cookie.itervalues()), ["1", "2"])
        self.assertEqual(list(cookie.iteritems()), [("a", "1"), ("b", "2")])

    def test_items(self) -> None:
        cookie = make("a=1")
        cookie["b"] = "2"
        self.assertEqual((cookie["a"], cookie["b"], len(cookie)), ("1", "2", 2))
        self.assertEqual(cookie.get("c"), None)
        self.assertEqual(cookie.get("c", "x"), "x")
        del cookie["a"]
        self.assertNotIn("a", cookie)
        with self.assertRaises(KeyError):
            cookie["a"]
        with self.assertRaises(KeyError):
            del cookie["a"]

    def test_attributes(self) -> None:
        cookie = make("username=me; keys=x; _ga=1")
        self.assertEqual(cookie.username, "me")
        self.assertTrue(callable(cookie.keys))
        for name in ("nobody", "_ga"):
            with self.assertRaisesRegex(AttributeError, name):
                getattr(cookie, name)

    def test_numbers(self) -> None:
        cookie = make()
        cookie["n"] = 5
        cookie.set("f", 1.5)
        self.assertEqual((cookie["n"], cookie["f"]), ("5", "1.5"))


class SettingTests(SynchronousTestCase):
    """The Set-Cookie fields (RFC 6265 section 4.1)"""

    def field(self, *args: object, header: str = "", path: str = "/", tls: bool = False, **options: object) -> str:
        cookie = make(header, path, tls)
        cookie.set(*args, **options)  # type: ignore[arg-type]
        (value,) = cookie.header_values()
        return value

    def test_until_the_browser_is_closed(self) -> None:
        self.assertEqual(self.field("a", "1"), "a=1; Path=/")

    def test_seconds(self) -> None:
        expected = "a=1; Path=/; Expires=Sun, 09 Sep 2001 01:47:40 GMT; Max-Age=60"
        self.assertEqual(self.field("a", "1", 60), expected)
        self.assertEqual(self.field("a", "1", 59.5), expected)

    def test_now(self) -> None:
        for expires in (0, "now", -5):
            self.assertEqual(
                self.field("a", "1", expires), "a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
            )

    def test_never(self) -> None:
        self.assertIn("; Max-Age=3153600000", self.field("a", "1", "never"))
        self.assertIn("2101 01:46:40 GMT", self.field("a", "1", "never"))

    def test_beyond_the_last_year(self) -> None:
        self.assertIn("Expires=Fri, 31 Dec 9999 23:59:59 GMT", self.field("a", "1", 10**15))

    def test_expires_that_is_none(self) -> None:
        for expires in ("soon", "60", float("nan"), float("inf")):
            with self.assertRaisesRegex(ValueError, r"expires of cookie 'a'.*'never'"):
                self.field("a", "1", expires)

    def test_path_of_the_mount_point(self) -> None:
        self.assertEqual(self.field("a", "1", path="/admin"), "a=1; Path=/admin")
        self.assertEqual(self.field("a", "1", None, "/", path="/admin"), "a=1; Path=/")
        self.assertEqual(self.field("a", "1", path=""), "a=1; Path=/")

    def test_path_as_browsers_compare_it(self) -> None:
        self.assertEqual(self.field("a", "1", None, "/é x%20y"), "a=1; Path=/%C3%A9%20x%20y")
        # WSGI gives the bytes of the mount point as Latin-1.
        self.assertEqual(self.field("a", "1", path="/é;x".encode().decode("latin-1")), "a=1; Path=/%C3%A9%3Bx")

    def test_attributes(self) -> None:
        self.assertEqual(
            self.field("a", "1", None, "/x", "example.com", True, True, "lax"),
            "a=1; Path=/x; Domain=example.com; Secure; HttpOnly; SameSite=Lax",
        )

    def test_same_site_none_is_secure(self) -> None:
        expected = "a=1; Path=/; Secure; SameSite=None"
        self.assertEqual(self.field("a", "1", same_site="None", tls=True), expected)
        self.assertEqual(self.field("a", "1", secure=True, same_site="none"), expected)
        self.assertEqual(self.field("a", "1", same_site="None"), "a=1; Path=/")
        with self.assertRaisesRegex(ValueError, "'sometimes'.*Strict, Lax or None"):
            self.field("a", "1", same_site="sometimes")

    def test_prefixed_names_are_secure(self) -> None:
        self.assertEqual(self.field("__Host-a", "1"), "__Host-a=1; Path=/; Secure")
        self.assertEqual(self.field("__Secure-a", "", 0)[-8:], "; Secure")

    def test_value_that_needs_encoding(self) -> None:
        self.assertEqual(self.field("a", 'x; Path=/y\r\n"é,\\%'), "a=x%3B%20Path=/y%0D%0A%22%C3%A9%2C%5C%25; Path=/")

    def test_read_at_once(self) -> None:
        cookie = make("a=1")
        cookie.set("a", "ü;")
        self.assertEqual(cookie["a"], "ü;")
        cookie.set("a", "2", 0)
        self.assertNotIn("a", cookie)

    def test_last_change_wins(self) -> None:
        cookie = make()
        cookie.set("a", "1")
        cookie.set("b", "1")
        cookie.set("a", "2")
        cookie.set("a", "3", path="/x")
        cookie.set("a", "4", domain="example.com")
        self.assertEqual(
            cookie.header_values(), ["b=1; Path=/", "a=2; Path=/", "a=3; Path=/x", "a=4; Path=/; Domain=example.com"]
        )

    def test_remove(self) -> None:
        cookie = make("a=1")
        cookie.remove("a")
        cookie.remove("b", "/x", "example.com")
        self.assertNotIn("a", cookie)
        gone = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
        self.assertEqual(cookie.header_values(), [f"a=; Path=/; {gone}", f"b=; Path=/x; Domain=example.com; {gone}"])

    def test_clear(self) -> None:
        cookie = make("a=1; b=2; (bad)=3")
        cookie.clear("/x")
        self.assertEqual(len(cookie), 0)
        self.assertEqual([value[:10] for value in cookie.header_values()], ["a=; Path=/", "b=; Path=/"])

    def test_names_that_are_none(self) -> None:
        for name in ("", "a b", "a=b", "a;b", "a\r\nb", "a\n", "é", None, 5):
            with self.assertRaisesRegex(ValueError, "name of a cookie.*ASCII"):
                self.field(name, "1")

    def test_paths_that_are_none(self) -> None:
        for path in ("", "x", "/;Secure", "/\r\nX: y", "/\n", "/\x00"):
            with self.assertRaisesRegex(ValueError, "path of a cookie.*begin with /"):
                self.field("a", "1", None, path)

    def test_domains_that_are_none(self) -> None:
        for domain in ("", "a;b", "a\r\nb", "a.b\n", "é.com", "a..b", "a b"):
            with self.assertRaisesRegex(ValueError, "domain of a cookie.*host name"):
                self.field("a", "1", None, None, domain)

    def test_values_that_are_none(self) -> None:
        for value in (None, b"x", ["x"]):
            with self.assertRaisesRegex(TypeError, "cookie 'a' must be a text or a number"):
                self.field("a", value)
        with self.assertRaisesRegex(ValueError, "cookie 'a' holds half of a surrogate"):
            self.field("a", "\ud800")

    def test_too_large(self) -> None:
        self.assertIn("x; Path", self.field("a", "x" * (MAX_COOKIE_SIZE - 1)))
        with self.assertRaisesRegex(ValueError, r"'a' of 4,094 bytes is too large"):
            self.field("a", "x" * MAX_COOKIE_SIZE)

    def test_refused_change_changes_nothing(self) -> None:
        cookie = make("a=1")
        for arguments in (("a", "2", "soon"), ("a", "2", None, "x"), ("a", "2", None, None, "x y")):
            with self.assertRaises(ValueError):
                cookie.set(*arguments)
        self.assertEqual((cookie["a"], cookie.header_values()), ("1", []))


class RoundTripTests(SynchronousTestCase):
    """What is set comes back"""

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
    def test_any_text(self, text: str) -> None:
        encoded = encode(text)
        self.assertRegex(encoded, r"\A[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\Z")
        self.assertEqual(decode(encoded), text)
        self.assertEqual(decode(parse(f"x=1; a={encoded}; y=2")["a"]), text)

    def test_another_parser_reads_it(self) -> None:
        cookie = make()
        cookie.set("a", "x y", 60, "/z", "example.com", True, True, "Strict")
        morsel = SimpleCookie(cookie.header_values()[0])["a"]
        self.assertEqual(
            (morsel.value, morsel["path"], morsel["domain"], morsel["max-age"], morsel["samesite"]),
            ("x%20y", "/z", "example.com", "60", "Strict"),
        )
        self.assertTrue(morsel["secure"] and morsel["httponly"])
