"""URLs as users write them, as they go on the wire, and what references in answers mean."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.was import url as module
from skitai.was.url import URL, encode_form, read_url, with_query


class ReadTests(SynchronousTestCase):
    """``read_url``."""

    def target(self, text: str) -> str:
        return read_url(f"http://h{text}")[0].target

    def refused(self, text: str, *words: str) -> str:
        error = self.assertRaises(ValueError, read_url, text)
        for word in words:
            self.assertIn(word, str(error))
        return str(error)

    def test_parts(self) -> None:
        url, credentials = read_url("HTTPS://Example.COM:8443/a/b?c=d#e")
        self.assertEqual(url, URL("https", "example.com", 8443, "/a/b?c=d"))
        self.assertIsNone(credentials)
        self.assertEqual(url.origin, ("https", "example.com", 8443))
        self.assertEqual(url.authority, "example.com:8443")
        self.assertEqual(url.text, "https://example.com:8443/a/b?c=d")

    def test_the_same_twice(self) -> None:
        self.assertIs(read_url("http://twice/")[0], read_url("http://twice/")[0])

    def test_default_ports_are_left_out(self) -> None:
        for text, authority in (
            ("http://a/", "a"),
            ("http://a:80/", "a"),
            ("http://a:/", "a"),
            ("https://a:443/", "a"),
            ("https://a:80/", "a:80"),
            ("http://a:443/", "a:443"),
        ):
            self.assertEqual(read_url(text)[0].authority, authority, text)

    def test_no_path(self) -> None:
        self.assertEqual(self.target(""), "/")
        self.assertEqual(self.target("?a=b"), "/?a=b")
        self.assertEqual(self.target("#x"), "/")

    def test_what_a_url_can_not_hold_is_encoded(self) -> None:
        self.assertEqual(self.target("/ä b/€?q=日本"), "/%C3%A4%20b/%E2%82%AC?q=%E6%97%A5%E6%9C%AC")
        self.assertEqual(self.target('/"<>\\^`{|}'), "/%22%3C%3E%5C%5E%60%7B%7C%7D")

    def test_what_is_encoded_stays(self) -> None:
        self.assertEqual(self.target("/a%2Fb%e4?c=%20+%26"), "/a%2Fb%e4?c=%20+%26")
        self.assertEqual(self.target("/100%/%zz%4"), "/100%25/%25zz%254")
        self.assertEqual(self.target("/a[]=(1);v=2,3'!*~@:&$"), "/a[]=(1);v=2,3'!*~@:&$")

    def test_dots_are_the_callers(self) -> None:
        self.assertEqual(self.target("/a/../b/./c"), "/a/../b/./c")

    def test_blanks_around_it(self) -> None:
        self.assertEqual(read_url("  http://a/b ")[0].text, "http://a/b")

    def test_addresses(self) -> None:
        self.assertEqual(read_url("http://127.0.0.1:81/")[0].authority, "127.0.0.1:81")
        url = read_url("http://[2001:DB8:0::1]:81/")[0]
        self.assertEqual((url.host, url.authority), ("2001:db8::1", "[2001:db8::1]:81"))
        self.assertEqual(read_url("https://[::1]/")[0].text, "https://[::1]/")

    def test_what_some_take_for_an_address_is_refused(self) -> None:
        for host in ("127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "1.2.3.4.5", "256.1.1.1", "010.0.0.1", "a.1"):
            self.refused(f"http://{host}/", host, "IPv4")
        self.assertEqual(read_url("http://1.example/")[0].host, "1.example")

    def test_names_of_containers(self) -> None:
        self.assertEqual(read_url("http://my_service-1:80/")[0].host, "my_service-1")

    def test_international_names(self) -> None:
        self.assertEqual(read_url("http://Bücher.example/")[0].host, "xn--bcher-kva.example")
        self.assertEqual(read_url("http://straße.de/")[0].host, "xn--strae-oqa.de")
        self.refused("http://a\u2044b/", "name of a host")
        # U+FF0F becomes "/" when mapped: there would be another host than the one that was read.
        self.refused("http://evil\uff0fgood.com/", "name of a host")

    def test_credentials_come_beside_it(self) -> None:
        url, credentials = read_url("http://us%40er:p%C3%A4:ss@host/a")
        self.assertEqual(credentials, ("us@er", "pä:ss"))
        self.assertEqual(url.text, "http://host/a")
        self.assertNotIn("ss", repr(url))
        self.assertEqual(read_url("http://user@host/")[1], ("user", ""))
        self.assertEqual(read_url("http://@host/")[1], ("", ""))
        self.assertEqual(read_url("http://a@b@host/")[0].host, "host")

    def test_credentials_are_not_remembered(self) -> None:
        read_url("http://user:hidden@remembered/")
        self.assertFalse([text for text in module._urls if "hidden" in text])

    def test_faults(self) -> None:
        for text, *words in (
            ("", "no scheme"),
            ("/path", "no scheme"),
            ("localhost:5000/a", "no scheme"),
            ("example.com", "no scheme"),
            ("ftp://a/", "'ftp'", "http"),
            ("file:///etc/passwd", "'file'"),
            ("javascript:alert", "'javascript'"),
            ("http:/a", "http://host/path"),
            ("http:a", "http://host/path"),
            ("http://", "no host"),
            ("http:///a", "no host"),
            ("http://:80/", "no host"),
            ("http://user@/", "no host"),
            ("http://a:0/", "port 0"),
            ("http://a:65536/", "65536"),
            ("http://a:123456/", "host and port"),
            ("http://a:b/", "host and port"),
            ("http://a:\uff180/", "host and port"),
            ("http://a:80:80/", "host and port"),
            ("http://[::1/", "host and port"),
            ("http://::1/", "host and port"),
            ("http://[::1]a/", "host and port"),
            ("http://[1.2.3.4]/", "IPv6"),
            ("http://[fe80::1%25eth0]/", "IPv6"),
            ("http://a b/", "name of a host"),
            ("http://a%2eb/", "name of a host"),
            ("http://good.com\\@evil.com/", "backslash"),
            ("http://good.com\\.evil.com/", "backslash"),
            ("http://a..b/", "name of a host"),
            ("http://.a/", "name of a host"),
            ("http://" + "a" * 64 + "/", "name of a host"),
            ("http://" + "a." * 127 + "aa/", "name of a host"),
            ("http://a/\r\nX: y", "control", "'\\r'"),
            ("http://a/\0", "control"),
            ("http://a/\x85", "control"),
            ("http://a/\ud800", "control"),
            ("http://a\n/", "control"),
            ("http://a%00:b%0d@h/", "control"),
            ("http://%ff:b@h/", "UTF-8"),
        ):
            self.refused(text, *words)

    def test_a_fault_does_not_tell_the_password(self) -> None:
        for text in (
            "http://user:geheim@host:0/",
            "ftp://user:geheim@host/",
            "http://user:ge/heim@host:0/",
            "http://user:geheim\n@host/",
            "http://user:" + "geheim" * 100 + "@ho st/",
            "http://user:geheim%ff@host/",
            "http://user:geheim@",
        ):
            self.assertNotIn("heim", self.refused(text))

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("/?#@:[]%.\\ \r\n"))), st.booleans())
    def test_anything_is_a_clean_url_or_a_value_error(self, text: str, whole: bool) -> None:
        try:
            url, _ = read_url(text if whole else "http://" + text)
        except ValueError:
            return
        self.assertRegex(url.target, r"\A/[!$-~]*\Z")
        self.assertNotIn("#", url.target)
        self.assertRegex(url.authority, r"\A[a-z0-9_.:\[\]-]+\Z")
        self.assertEqual(read_url(url.text)[0], url)


class QueryTests(SynchronousTestCase):
    """``with_query`` and ``encode_form``."""

    def joined(self, target: str, params: dict[str, object]) -> str:
        return with_query(URL("http", "h", 80, target), params).target

    def test_joins_what_is_there(self) -> None:
        self.assertEqual(self.joined("/a", {"b": 1}), "/a?b=1")
        self.assertEqual(self.joined("/a?x=y", {"b": 1, "c": "d"}), "/a?x=y&b=1&c=d")
        self.assertEqual(self.joined("/a?", {"b": 1}), "/a?b=1")
        self.assertEqual(self.joined("/a?x&", {"b": 1}), "/a?x&b=1")

    def test_pairs(self) -> None:
        url = with_query(read_url("http://h/?x=1")[0], [("a", 1), ("b", 2), ("a", [3, 4])])
        self.assertEqual(url.target, "/?x=1&a=1&b=2&a=3&a=4")

    def test_nothing_to_join(self) -> None:
        self.assertEqual(self.joined("/a", {}), "/a")
        self.assertEqual(self.joined("/a?x", {"b": None, "c": []}), "/a?x")

    def test_values(self) -> None:
        self.assertEqual(encode_form({"a": ["x", 2], "b": ("y",), "c": None}), "a=x&a=2&b=y")
        self.assertEqual(encode_form({"ä&": "a b&=+/€", "b": b"\xff\0"}), "%C3%A4%26=a+b%26%3D%2B%2F%E2%82%AC&b=%FF%00")
        self.assertEqual(encode_form({"a": "x\r\ny"}), "a=x%0D%0Ay")
        self.assertRaises(ValueError, encode_form, {"a": "\ud800"})


class JoinTests(SynchronousTestCase):
    """``URL.join``: the examples of RFC 3986 section 5.4 and what redirects are made of."""

    def joined(self, location: str, base: str = "http://a/b/c/d;p?q") -> str:
        return read_url(base)[0].join(location).text

    def test_normal_examples(self) -> None:
        for location, expected in (
            ("g", "/b/c/g"), ("./g", "/b/c/g"), ("g/", "/b/c/g/"), ("/g", "/g"), ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"), ("#s", "/b/c/d;p?q"), ("g#s", "/b/c/g"), ("g?y#s", "/b/c/g?y"), (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"), ("", "/b/c/d;p?q"), (".", "/b/c/"), ("./", "/b/c/"), ("..", "/b/"), ("../", "/b/"),
            ("../g", "/b/g"), ("../..", "/"), ("../../", "/"), ("../../g", "/g"),
        ):  # fmt: skip
            self.assertEqual(self.joined(location), "http://a" + expected, location)

    def test_abnormal_examples(self) -> None:
        for location, expected in (
            ("../../../g", "/g"), ("../../../../g", "/g"), ("/./g", "/g"), ("/../g", "/g"), ("g.", "/b/c/g."),
            (".g", "/b/c/.g"), ("g..", "/b/c/g.."), ("..g", "/b/c/..g"), ("./../g", "/b/g"), ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"), ("g/../h", "/b/c/h"), ("g;x=1/./y", "/b/c/g;x=1/y"), ("g?y/../x", "/b/c/g?y/../x"),
        ):  # fmt: skip
            self.assertEqual(self.joined(location), "http://a" + expected, location)

    def test_other_servers(self) -> None:
        self.assertEqual(self.joined("//g/x/../y"), "http://g/y")
        self.assertEqual(self.joined("//g:1", "https://a/"), "https://g:1/")
        self.assertEqual(self.joined("https://g/x#y"), "https://g/x")
        self.assertEqual(self.joined(" http://g "), "http://g/")

    def test_credentials_are_dropped(self) -> None:
        self.assertEqual(self.joined("http://user:password@g/x"), "http://g/x")

    def test_is_encoded(self) -> None:
        self.assertEqual(self.joined("/ä b"), "http://a/%C3%A4%20b")

    def test_faults(self) -> None:
        for location in (
            "file:///etc/passwd",
            "ftp://a/",
            "javascript:x",
            "g:h",
            "http:g",
            "http://",
            "//",
            "/a\r\nX: y",
        ):
            self.assertRaises(ValueError, self.joined, location)

    @settings(max_examples=200, derandomize=True, database=None, deadline=None)
    @given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("/?#@:.\\ \r\n"))))
    def test_anything_is_a_clean_url_or_a_value_error(self, location: str) -> None:
        try:
            url = read_url("http://a/b?c")[0].join(location)
        except ValueError:
            return
        self.assertRegex(url.target, r"\A/[!$-~]*\Z")
        self.assertNotIn("..", url.target.partition("?")[0].split("/"))
