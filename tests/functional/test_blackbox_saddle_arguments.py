"""Saddle: arguments of views from path, query and form, JSON bodies, and the request object; honest and hostile."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import FORM, JSON, RUN, each, post, tables

APP = """\
import json
from skitai.saddle import Saddle

app = Saddle (__name__)
app.config.max_post_body_size = 100 * 1024

def told (*values):
  return json.dumps (values)

@app.route ("/num")
def hello_num (was, num = 8):
  return num

@app.route ("/num/<int:num>")
def hello_int (was, num = 8):
  return str (num)

@app.route ("/two")
def two (was, a, b):
  return told (a, b)

@app.route ("/none")
def none (was):
  return "none"

@app.route ("/form")
def form (was, **form):
  return told (form)

@app.route ("/post")
def hello (was, **form):
  return "Post %s %s" % (form.get ("userid", ""), form.get ("comment", ""))

@app.route ("/mixed")
def hello_world (was, userid, **form):
  return "Post %s %s" % (userid, form.get ("comment", ""))

@app.route ("/default")
def default (was, a = "A", b = None, **rest):
  return told (a, b, rest)

@app.route ("/keyword")
def keyword (was, *, a, b = "B"):
  return told (a, b)

@app.route ("/path/<name>")
def path (was, name, a = None):
  return told (name, a, was.request.args)

@app.route ("/args")
def args (was, **rest):
  return told (was.request.args, was.request.args.get ("num", 0))

@app.route ("/json", methods = ["GET", "POST", "PUT", "PATCH"])
def json_ (was, a = None):
  return told (was.request.json (), a)

@app.route ("/body", methods = ["GET", "POST", "PUT", "PATCH", "DELETE"])
def body (was):
  body = was.request.get_body ()
  assert body == was.request.body and isinstance (body, bytes)
  return told (len (body), body [:50].decode ("latin-1"))

@app.route ("/ignored", methods = ["POST"])
def ignored (was):
  return "not read"

@app.route ("/request", methods = ["GET", "POST"])
def request (was, **rest):
  r = was.request
  return told ({
    "method": r.method, "command": r.command, "uri": r.uri, "version": r.version, "split": r.split_uri (),
    "header": [r.get_header ("X-Some"), r.get_header ("x-SOME"), r.get_header ("X-Other")],
    "headers": [r.headers ["x-some"], r.headers.get ("X-SOME"), "X-Other" in r.headers],
    "listed": [list (pair) if isinstance (pair, tuple) else pair for pair in r.get_headers ()],
    "scheme": r.get_scheme (), "addr": r.get_remote_addr (), "agent": r.get_user_agent (),
    "types": [r.get_content_type (), r.get_main_type (), r.get_sub_type ()],
    "function": r.routed_function.__name__,
    "env": [was.env.get ("REQUEST_METHOD"), "HTTP_USER_AGENT" in was.env, was.env.get ("CONTENT_TYPE")],
  })
"""

site = Shared({"app.py": APP + RUN})


def get(target: str, *fields: str) -> Reply:
    return site.ask(target, *fields)


class Checks(SynchronousTestCase):
    """What these tests share."""

    def check(self, reply: Reply, *values: Any) -> None:
        self.assertEqual(reply.status, 200, reply.text[:300])
        self.assertEqual(json.loads(reply.body), list(values))

    def refused(self, reply: Reply, *words: str) -> None:
        self.assertEqual(reply.status, 400, reply.text[:300])
        for word in words:
            self.assertIn(word, reply.text)


@tables
class QueryTests(Checks):
    """Queries."""

    @each(
        ("/num", "8"), ("/num?num=100", "100"), ("/num/100", "100"), ("/none", "none"), ("/none?", "none"),
        ("/mixed?userid=hansroh&comment=hi", "Post hansroh hi"), ("/mixed?userid=hansroh", "Post hansroh "),
        ("/post?comment=x&userid=y", "Post y x"), ("/post", "Post  "),
    )  # fmt: skip
    def test_manual(self, target: str, text: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text), (200, text))

    @each(
        ("a=1&b=2", "1", "2"), ("b=2&a=1", "1", "2"), ("a=1&a=2&b=3", ["1", "2"], "3"),
        ("a=x&b=1&a=y&a=z", ["x", "y", "z"], "1"), ("a=&b=", "", ""), ("a=a+b%20c&b=%2B", "a b c", "+"),
        ("a=caf%C3%A9&b=%E4%B8%AD", "caf\xe9", "\u4e2d"), ("a=%26%3D&b=%3Cb%3E", "&=", "<b>"), ("a=1=2&b=3", "1=2",
            "3"),
        ("a=1;2&b=3", "1;2", "3"), ("&a=1&&b=2&", "1", "2"), ("%61=1&b=2", "1", "2"),
    )  # fmt: skip
    def test_values(self, query: str, a: object, b: object) -> None:
        self.check(get(f"/two?{query}"), a, b)

    @each(
        ("/default", "A", None, {}), ("/default?b=2", "A", "2", {}), ("/default?c=3&a=1", "1", None, {"c": "3"}),
        ("/keyword?a=1", "1", "B"), ("/keyword?b=2&a=1", "1", "2"),
    )  # fmt: skip
    def test_defaults(self, target: str, *values: object) -> None:
        self.check(get(target), *values)

    @each(
        ("/two", "a"), ("/two?a=1", "b"), ("/two?b=1", "a"), ("/two?a=1&b=2&extra=3", "extra"), ("/none?odd=1", "odd"),
        ("/mixed?comment=x", "userid"), ("/num/5?other=1", "other"), ("/keyword", "a"), ("/keyword?a=1&c=2", "c"),
    )  # fmt: skip
    def test_missing_and_unexpected(self, target: str, word: str) -> None:
        """They are named."""
        self.refused(get(target), word)

    def test_unexpected_is_escaped(self) -> None:
        reply = get("/none?%3Cscript%3Ealert(1)=1")
        self.refused(reply)
        self.assertNotIn("<script>", reply.text)

    @each("was=1", "self=1", "was=1&was=2", "__class__=1", "=1", "%00=1", "a.b=1", "a[]=1", "1=2")
    def test_odd_names(self, query: str) -> None:
        """No name of an argument breaks a view."""
        for target in ("/form", "/none", "/default"):
            self.assertIn(get(f"{target}?{query}").status, (200, 400), target)

    @each("a=%zz", "a=%", "a=%f", "a=%FF", "%FF=1", "a=%C3", "a=%ED%A0%80")
    def test_malformed(self, query: str) -> None:
        self.refused(get(f"/form?{query}"))

    def test_too_many(self) -> None:
        self.assertIn(get("/form?" + "a&" * 8000).status, (200, 400))

    def test_path(self) -> None:
        """What is in the path is an argument like others."""
        self.check(get("/path/Bob_B?a=1"), "Bob B", "1", {"name": "Bob B", "a": "1"})

    def test_path_counts_before_the_query(self) -> None:
        reply = get("/path/Bob?name=Al")
        if reply.status != 400:
            name, _, args = json.loads(reply.body)
            self.assertIn(name, ("Bob", ["Bob", "Al"]))
            self.assertEqual(args["name"], name)

    def test_args(self) -> None:
        self.check(get("/args?x=1&x=2&y=3"), {"x": ["1", "2"], "y": "3"}, 0)
        self.check(get("/args?num=5"), {"num": "5"}, "5")


@tables
class FormTests(Checks):
    """Forms."""

    @each(
        ("/post", {"userid": "hansroh", "comment": "x y"}, "Post hansroh x y"),
        ("/mixed", {"userid": "hansroh"}, "Post hansroh "),
        ("/num", {"num": "5"}, "5"),
        ("/num/7", {}, "7"),
    )
    def test_manual(self, target: str, data: dict[str, str], text: str) -> None:
        reply = post(site, target, data)
        self.assertEqual((reply.status, reply.text), (200, text))

    @each("POST", "PUT", "PATCH")
    def test_methods(self, method: str) -> None:
        self.check(post(site, "/two", {"a": "1", "b": "\xe9"}, method=method), "1", "\xe9")

    def test_values(self) -> None:
        self.check(
            post(site, "/form", [("a", "1"), ("b", "x"), ("a", "2"), ("c", "")]), {"a": ["1", "2"], "b": "x", "c": ""}
        )

    def test_charset_in_the_type(self) -> None:
        reply = site.ask("/form", FORM + "; charset=UTF-8", method="POST", body=b"a=%C3%A9")
        self.check(reply, {"a": "\xe9"})

    def test_with_a_query(self) -> None:
        """Both count, that of the query first."""
        self.check(post(site, "/two?a=1", {"b": "2"}), "1", "2")
        self.check(post(site, "/form?a=1", {"a": "2"}), {"a": ["1", "2"]})

    def test_chunked(self) -> None:
        wire = site.connect()
        wire.send(
            f"POST /form HTTP/1.1\r\nHost: a\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n"
        )
        self.check(wire.receive(), {"a": "1", "b": "2"})
        wire.close()

    def test_missing_and_unexpected(self) -> None:
        self.refused(post(site, "/two", {"a": "1"}), "b")
        self.refused(post(site, "/two", {"a": "1", "b": "2", "surplus": "3"}), "surplus")

    @each("a=%zz", "a=%FF", "%", "\xff=1", "a=\xff", "a=\x00%00%")
    def test_malformed(self, body: str) -> None:
        self.refused(site.ask("/form", FORM, method="POST", body=body.encode("latin-1")))

    def test_empty(self) -> None:
        self.check(post(site, "/form", ""), {})
        self.check(site.ask("/form", "Content-Length: 0", method="POST"), {})

    def test_many_fields(self) -> None:
        self.assertIn(post(site, "/form", "a&" * 40_000).status, (400, 413))

    @each(100 * 1024 + 1, 3_000_000)
    def test_too_large(self, size: int) -> None:
        """The bound is the application's own."""
        for target in ("/form", "/body"):
            self.assertEqual(site.ask(target, FORM, method="POST", body=b"a=" + b"x" * (size - 2)).status, 413, target)

    def test_too_large_in_chunks(self) -> None:
        wire = site.connect()
        wire.send(f"POST /form HTTP/1.1\r\nHost: a\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(11):
                wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            wire.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(wire.receive().status, 413)
        wire.close()

    def test_largest(self) -> None:
        self.assertEqual(post(site, "/form", "a=" + "x" * (100 * 1024 - 2)).status, 200)

    def test_not_read(self) -> None:
        """A view that looks at no form does not fail because of one of another kind."""
        self.assertEqual(
            site.ask("/ignored", "Content-Type: image/png", method="POST", body=b"\x89PNG").text, "not read"
        )


@tables
class BodyTests(Checks):
    """Bodies that are no forms."""

    @each(
        ({"a": 1}, None), ([1, 2.5, None, True, "\xe9"], None), ("text", None), (0, None), ({}, None),
    )  # fmt: skip
    def test_json(self, value: object, a: object) -> None:
        self.check(site.ask("/json", JSON, method="POST", body=json.dumps(value).encode()), value, a)

    def test_json_is_no_argument(self) -> None:
        self.check(site.ask("/json?a=x", JSON, method="PUT", body=b'{"a": "y"}'), {"a": "y"}, "x")
        reply = site.ask("/two", JSON, method="POST", body=b'{"a": "1", "b": "2"}')
        self.refused(reply, "a")

    @each(
        b"", b"{", b"nonsense", b'{"a": 1}}', b"\xff\xfe", b'"\xff"', b"{'a': 1}", b"[" * 50_000, b'{"a":' * 10_000,
        b"1" * 50_000, b"[1,]", b"\x00", b'{"a": "\n"}',
    )  # fmt: skip
    def test_invalid_json(self, body: bytes) -> None:
        self.assertEqual(site.ask("/json", JSON, method="POST", body=body).status, 400, body[:20])

    @each("POST", "PUT", "PATCH", "DELETE")
    def test_body(self, method: str) -> None:
        self.check(site.ask("/body", "Content-Type: x/y", method=method, body=b"\x00\xff"), 2, "\x00\xff")

    def test_no_body(self) -> None:
        self.check(get("/body"), 0, "")

    def test_body_of_a_form(self) -> None:
        self.assertEqual(post(site, "/body", "").status, 200)

    def test_a_refused_request_is_logged(self) -> None:
        site.ask("/json?mark=logged", JSON, method="POST", body=b"{")
        until(lambda: "/json?mark=logged HTTP/1.1 400" in site.server.output, "the line of the request log")
        self.assertNotIn("JSONDecodeError", site.server.output)


class RequestTests(Checks):
    """The request object, by the names of the manual."""

    def seen(self, target: str, *fields: str, **more: Any) -> dict[str, Any]:
        reply = site.ask(target, "X-Some: value", "User-Agent: tester/1", *fields, **more)
        self.assertEqual(reply.status, 200, reply.text[:300])
        (seen,) = json.loads(reply.body)
        assert isinstance(seen, dict)
        return seen

    def test_line(self) -> None:
        seen = self.seen("/request?a=b%20c", method="POST")
        self.assertEqual((seen["method"], seen["command"]), ("POST", "post"))
        self.assertEqual((seen["uri"], str(seen["version"])), ("/request?a=b%20c", "1.1"))
        self.assertEqual(seen["function"], "request")

    def test_split_uri(self) -> None:
        script, param, query, fragment = self.seen("/request?a=b")["split"]
        self.assertEqual((script, query.lstrip("?")), ("/request", "a=b"))
        self.assertFalse(param or fragment)
        self.assertFalse(any(self.seen("/request")["split"][1:]))

    def test_headers(self) -> None:
        seen = self.seen("/request")
        self.assertEqual((seen["header"], seen["headers"]), (["value", "value", None], ["value", "value", False]))
        self.assertIn("x-some", json.dumps(seen["listed"]).lower())

    def test_peer(self) -> None:
        seen = self.seen("/request")
        self.assertEqual((seen["scheme"], seen["addr"], seen["agent"]), ("http", "127.0.0.1", "tester/1"))

    def test_types(self) -> None:
        seen = self.seen("/request", "Content-Type: Text/Plain; charset=x", method="POST", body=b"x")
        self.assertEqual([kind.lower() for kind in seen["types"]], ["text/plain", "text", "plain"])
        self.assertEqual(seen["env"], ["POST", True, "Text/Plain; charset=x"])

    def test_no_type(self) -> None:
        self.assertFalse(any(self.seen("/request")["types"]))
