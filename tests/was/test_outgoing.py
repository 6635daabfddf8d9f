"""What the calls of applications become, and which arguments are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.constants import VERSION
from skitai.was import outgoing as module
from skitai.was.outgoing import VERBS, Outgoing, build
from skitai.was.payloads import BytesPayload, FilePayload
from skitai.was.url import UserInfo, read_url

URL = read_url("http://host/path?x=y")[0]


def content(outgoing: Outgoing) -> bytes:
    """Return what a request carries."""
    assert outgoing.payload is not None
    return b"".join(outgoing.payload.chunks())


def content_type(outgoing: Outgoing) -> str:
    """Return the one Content-Type."""
    [value] = [value.decode() for name, value in outgoing.headers if name == b"content-type"]
    return value


class VerbTests(SynchronousTestCase):
    """What ``data`` becomes."""

    def body(self, verb: str, data: Any, media_type: str) -> bytes:
        outgoing = build(verb, URL, data)
        self.assertEqual(content_type(outgoing), media_type)
        assert outgoing.payload is not None
        self.assertEqual(outgoing.payload.size, len(body := content(outgoing)))
        return body

    def test_methods(self) -> None:
        for verb in ("get", "post", "put", "patch", "delete", "options", "head", "trace"):
            outgoing = build(verb, URL)
            self.assertEqual((outgoing.method, outgoing.url, outgoing.payload), (verb.upper(), URL, None))
        for verb in ("post", "put", "patch"):
            for form in ("form", "json", "xml", "nvp"):
                self.assertEqual(build(verb + form, URL).method, verb.upper())
        self.assertEqual(build("upload", URL).method, "POST")
        self.assertEqual(len(VERBS), 8 + 12 + 1)

    def test_a_dictionary_joins_the_query(self) -> None:
        for verb in ("get", "delete", "head", "options"):
            outgoing = build(verb, URL, {"a": [1, "ä"]})
            self.assertEqual(outgoing.url.target, "/path?x=y&a=1&a=%C3%A4")
            self.assertIsNone(outgoing.payload)

    def test_a_dictionary_is_json(self) -> None:
        for verb in ("post", "put", "patch", "postjson", "putjson", "patchjson"):
            data = {"a": [1, "ä", None]}
            self.assertEqual(json.loads(self.body(verb, data, "application/json")), data)
        self.assertEqual(self.body("post", [], "application/json"), b"[]")
        self.assertEqual(self.body("post", {}, "application/json"), b"{}")
        self.assertEqual(self.body("postjson", 0, "application/json"), b"0")

    def test_form(self) -> None:
        media_type = "application/x-www-form-urlencoded"
        self.assertEqual(self.body("postform", {"a": ["b c", "€"], "d": None}, media_type), b"a=b+c&a=%E2%82%AC")
        self.assertEqual(self.body("putform", "a=b", media_type), b"a=b")

    def test_pairs(self) -> None:
        """A list of them keeps the order, and repeats names, where a dictionary can not."""
        pairs = [("a", 1), ("b", "2"), ["a", "3"], ("c", None)]
        for verb in ("get", "delete"):
            self.assertEqual(build(verb, URL, pairs).url.target, "/path?x=y&a=1&b=2&a=3")
        self.assertEqual(build("get", URL, []).url.target, "/path?x=y")
        media_type = "application/x-www-form-urlencoded"
        self.assertEqual(self.body("postform", pairs, media_type), b"a=1&b=2&a=3")
        self.assertEqual(self.body("postform", tuple(pairs), media_type), b"a=1&b=2&a=3")
        self.assertEqual(self.body("postnvp", pairs, "text/namevalue; charset=utf-8"), b"a=1\nb=2\na=3\n")
        self.assertEqual(json.loads(self.body("post", pairs, "application/json")), [list(pair) for pair in pairs])
        upload = content(build("upload", URL, pairs))
        self.assertEqual(upload.count(b'name="a"'), 2)
        self.assertLess(upload.index(b'name="b"'), upload.rindex(b'name="a"'))

    def test_xml(self) -> None:
        media_type = "text/xml; charset=utf-8"
        body = self.body("postxml", (1, "ä"), media_type)
        self.assertIn("<string>ä</string>".encode(), body)
        self.assertEqual(body.count(b"<param>"), 2)
        self.assertIn(b"<struct>", self.body("postxml", {"a": 1}, media_type))
        self.assertEqual(self.body("putxml", "<a/>", media_type), b"<a/>")

    def test_nvp(self) -> None:
        media_type = "text/namevalue; charset=utf-8"
        self.assertEqual(self.body("postnvp", {"a": 1, "b": ["ä", "="]}, media_type), "a=1\nb=ä\nb==\n".encode())
        for bad in ({"a": "x\ny"}, {"a\r": "x"}, {"a": "x\u2028y"}):
            self.assertIn("line break", str(self.assertRaises(ValueError, build, "postnvp", URL, bad)))

    def test_upload(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"of a file")
        outgoing = build("upload", URL, {"title": "x", "file": path})
        self.assertRegex(content_type(outgoing), r"\Amultipart/form-data; boundary=----form[0-9a-f]{32}\Z")
        self.assertIn(b"\r\n\r\nof a file\r\n--", content(outgoing))
        assert outgoing.payload is not None
        outgoing.payload.close()

    def test_what_is_content_already(self) -> None:
        self.assertEqual(self.body("post", "ä", "text/plain; charset=utf-8"), b"\xc3\xa4")
        self.assertEqual(self.body("post", b"\xff", "application/octet-stream"), b"\xff")
        self.assertEqual(self.body("put", bytearray(b"x"), "application/octet-stream"), b"x")
        self.assertEqual(self.body("patch", ' {"a": 1}', "application/json"), b' {"a": 1}')
        self.assertEqual(self.body("post", b"[1]", "application/json"), b"[1]")
        self.assertEqual(self.body("delete", "x", "text/plain; charset=utf-8"), b"x")
        self.assertEqual(self.body("post", "", "text/plain; charset=utf-8"), b"")

    def test_files(self) -> None:
        path = Path(self.mktemp() + ".csv")
        path.write_bytes(b"1;2")
        outgoing = build("put", URL, path)
        self.assertEqual((content_type(outgoing), content(outgoing)), ("text/csv", b"1;2"))
        assert outgoing.payload is not None
        outgoing.payload.close()
        outgoing = build("post", URL, io.BytesIO(b"stream"))
        self.assertEqual((content_type(outgoing), content(outgoing)), ("application/octet-stream", b"stream"))
        self.assertEqual(content_type(build("postjson", URL, io.BytesIO(b"{}"))), "application/json")

    def test_what_is_in_memory_is_taken_at_once(self) -> None:
        """So it can go to several servers."""
        file = io.BytesIO(b"stream")
        file.seek(2)
        for _ in range(2):
            outgoing = build("post", URL, file)
            self.assertIsInstance(outgoing.payload, BytesPayload)
            self.assertEqual((content_type(outgoing), content(outgoing)), ("application/octet-stream", b"ream"))
        file.name = "/tmp/a.csv"  # type: ignore[attr-defined]
        self.assertEqual(content_type(build("post", URL, file)), "text/csv")
        file.close()
        self.assertRaises(ValueError, build, "post", URL, file)

    def test_faults(self) -> None:
        for verb, data, error, *words in (
            ("brew", None, ValueError, "'brew'", "postform"),
            ("GET", None, ValueError, "'GET'"),
            ("trace", "x", ValueError, "TRACE"),
            ("trace", {"a": 1}, ValueError, "TRACE"),
            ("get", [1], TypeError, "get", "list"),
            ("post", object(), TypeError, "post", "object"),
            ("postform", [1], TypeError, "postform", "list"),
            ("postnvp", 3, TypeError, "postnvp", "int"),
            ("upload", "x", TypeError, "upload", "str"),
            ("upload", {"f": (1,)}, ValueError, "'f'"),
            ("upload", {"f": object()}, TypeError, "upload", "'f'", "object"),
            ("upload", {"f": {"a": 1}}, TypeError, "upload", "'f'", "dict"),
            ("get", [("a", 1), "bc"], TypeError, "get", "pairs"),
            ("postform", ["ab"], TypeError, "postform", "pairs"),
            ("postxml", object(), TypeError, "postxml"),
            ("post", io.StringIO(), ValueError, "binary"),
            ("post", Path("/nowhere/at/all"), OSError, "/nowhere"),
            ("post", "\ud800", ValueError, "surrogates"),
        ):
            raised = self.assertRaises(error, build, verb, URL, data)
            for word in words:
                self.assertIn(word, str(raised))


class HeaderTests(SynchronousTestCase):
    """``headers``."""

    def setUp(self) -> None:
        self.addCleanup(module._fields.update, dict(module._fields))
        module._fields.clear()

    def fields(self, headers: Any, data: Any = None) -> list[tuple[bytes, bytes]]:
        return list(build("post", URL, data, headers).headers)

    def test_defaults(self) -> None:
        usual = [
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"user-agent", b"Skitai/" + VERSION.encode()),
        ]
        for nothing in (None, {}, [], ()):
            self.assertEqual(self.fields(nothing), usual)
        self.assertEqual(self.fields({"X-A": "b"}), [*usual, (b"x-a", b"b")])

    def test_the_callers_win(self) -> None:
        names = [name for name, _ in self.fields({"ACCEPT": "a/b", "user-agent": "me"})]
        self.assertEqual(names, [b"accept-encoding", b"accept", b"user-agent"])
        self.assertEqual(content_type(build("post", URL, {"a": 1}, {"Content-Type": "a/b"})), "a/b")

    def test_none_leaves_one_out(self) -> None:
        self.assertEqual(self.fields({"X-A": None, "X-B": "1"})[3:], [(b"x-b", b"1")])
        self.assertEqual(self.fields([("X-A", None), (b"User-Agent", None)]), self.fields(None))

    def test_a_part_of_coded_content_is_not_asked_for(self) -> None:
        """Nobody could decode it."""
        fields = dict(self.fields({"Range": "bytes=5-"}))
        self.assertEqual((fields[b"range"], fields[b"accept-encoding"]), (b"bytes=5-", b"identity"))
        fields = dict(self.fields({"Range": "bytes=5-", "Accept-Encoding": "br"}))
        self.assertEqual(fields[b"accept-encoding"], b"br")

    def test_forms(self) -> None:
        expected = [(b"x-a", b"1"), (b"x-b", b"\xe9"), (b"x-a", b"c")]
        for _ in range(2):  # the second time they are remembered
            self.assertEqual(self.fields([("X-A", 1), ("X-B", " é\t"), (b"X-A", b"c")])[3:], expected)
        self.assertEqual(self.fields({"X-A": "1"})[3:], [(b"x-a", b"1")])
        self.assertEqual(self.fields(iter([("X-A", "1")]))[3:], [(b"x-a", b"1")])

    def test_injection(self) -> None:
        for name, value in (
            ("X", "a\r\nY: b"),
            ("X", "a\nb"),
            ("X", "a\rb"),
            ("X", "a\0b"),
            (b"X", b"a\r\nY: b"),
            ("X: a\r\nY", "b"),
            ("X ", "b"),
            ("", "b"),
            ("X:", "b"),
            ("Ä", "b"),
            ("X", "€"),
        ):
            error = self.assertRaises(ValueError, self.fields, {name: value})
            self.assertIn(repr(name), str(error))
            self.assertRaises(ValueError, self.fields, [(name, value)])
        self.assertEqual(module._fields, {})

    def test_fields_of_the_carrier(self) -> None:
        for name in ("Host", "content-LENGTH", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Keep-Alive"):
            self.assertIn(repr(name), str(self.assertRaises(ValueError, self.fields, {name: "1"})))

    def test_an_upload_has_its_own_type(self) -> None:
        error = self.assertRaises(ValueError, build, "upload", URL, {}, {"Content-Type": "multipart/form-data"})
        self.assertIn("boundary", str(error))

    def test_wrong_types(self) -> None:
        for headers in ("X: y", b"X: y", 3, [1], ["abc"], [("geheim", "b", "c")]):
            error = self.assertRaises(TypeError, self.fields, headers)
            self.assertIn(type(headers).__name__, str(error))
            self.assertNotIn("geheim", str(error))
        self.assertRaises(ValueError, self.fields, [(["a"], "b")])

    def test_secrets_are_not_remembered(self) -> None:
        self.fields({"Authorization": "Bearer x", "Cookie": "a=b", "X": "y" * 300, "Y": "z"})
        self.assertEqual(list(module._fields), [("Y", "z")])

    def test_memory_is_bounded(self) -> None:
        for number in range(3000):
            self.fields({"X": str(number)})
        self.assertLessEqual(len(module._fields), 1024)


class AuthTests(SynchronousTestCase):
    """``auth``."""

    def test_kinds(self) -> None:
        self.assertEqual(build("get", URL, auth=("user", "pässword")).auth, ("user", "pässword"))
        self.assertEqual(build("get", URL, auth=["user", ""]).auth, ("user", ""))
        self.assertEqual(build("get", URL, auth="abc.DEF-_~+/=").auth, "abc.DEF-_~+/=")
        self.assertIsNone(build("get", URL, auth=None).auth)
        self.assertIsNone(build("get", URL, auth="").auth)

    def test_faults(self) -> None:
        for auth in (
            ("a",),
            ("a", "b", "c"),
            ("a", 1),
            5,
            "a b",
            "a\r\nb",
            "é",
            ("a\n", "b"),
            ("a", "b\x7f"),
            {"a": "b"},
        ):
            self.assertIn("auth", str(self.assertRaises(ValueError, build, "get", URL, auth=auth)), auth)

    def test_the_header_is_another_way_to_say_it(self) -> None:
        """Two fields would be sent, and every server takes another one."""
        headers = {"authorization": "Bearer geheim"}
        for auth in (("user", "password"), "token"):
            error = self.assertRaises(ValueError, build, "get", URL, None, headers, auth)
            self.assertIn("auth", str(error))
            self.assertIn("'Authorization'", str(error))
            self.assertNotIn("geheim", str(error))
        self.assertIsNone(build("get", URL, None, headers, "").auth)

    def test_the_header_wins_over_the_url(self) -> None:
        given = UserInfo("user", "password")
        self.assertEqual(build("get", URL, auth=given).auth, ("user", "password"))
        outgoing = build("get", URL, None, [(b"AUTHORIZATION", b"Bearer x")], given)
        self.assertIsNone(outgoing.auth)
        self.assertIn((b"authorization", b"Bearer x"), outgoing.headers)

    def test_a_fault_does_not_tell_the_secret(self) -> None:
        pairs = ("user", "geheim\n"), ("user", "geheim", 1), ("u:", "geheim"), ("\ud800", "geheim")
        for auth in ("geheim geheim", *pairs):
            self.assertNotIn("geheim", str(self.assertRaises(ValueError, build, "get", URL, auth=auth)))


class RepeatableTests(SynchronousTestCase):
    """What may be sent again."""

    def test_methods(self) -> None:
        for verb in ("get", "head", "options", "trace", "put", "delete", "putform"):
            self.assertTrue(build(verb, URL).repeatable, verb)
        for verb in ("post", "patch", "upload", "postform"):
            self.assertFalse(build(verb, URL).repeatable, verb)

    def test_payloads(self) -> None:
        self.assertTrue(Outgoing("PUT", URL, (), FilePayload(io.BytesIO(b"x"))).repeatable)
        self.assertFalse(Outgoing("POST", URL, (), BytesPayload(b"x")).repeatable)
