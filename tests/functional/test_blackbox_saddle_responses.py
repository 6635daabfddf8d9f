"""Saddle: everything a view may return, ``was.response``, shortcuts, error pages and the debug page."""

from __future__ import annotations

import html
import json
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import RUN, each, quoted, tables

APP = """\
import io, os, sys, time
from skitai.saddle import Saddle

app = Saddle (__name__)
closed = []

class Closing:
  def __init__ (self, name):
    self.name = name
  def close (self):
    closed.append (self.name)

class File (Closing):
  def __init__ (self, name, data):
    Closing.__init__ (self, name)
    self.file = io.BytesIO (data)
  def read (self, size):
    return self.file.read (size)

class Iterator (Closing):
  left = 3
  def __iter__ (self):
    return self
  def __next__ (self):
    if not self.left:
      raise StopIteration
    self.left -= 1
    return "piece%d " % self.left

class More (Closing):
  left = 3
  def more (self):
    self.left -= 1
    return b"more%d " % self.left if self.left >= 0 else b""

class Endless (Closing):
  def more (self):
    time.sleep (0.001)
    return b"x" * 10000

def generate (*pieces):
  for piece in pieces:
    yield piece

def failing ():
  yield "first "
  raise KeyError ("halfway")

VALUES = {
  "str": lambda was: "caf\\xe9",
  "bytes": lambda was: b"\\x00\\xff",
  "int": lambda was: 8,
  "zero": lambda was: 0,
  "float": lambda was: 1.5,
  "empty": lambda was: "",
  "dict": lambda was: {"a": [1, None, "\\xe9"]},
  "file": lambda was: open (__file__, "rb"),
  "bytesio": lambda was: io.BytesIO (b"in memory"),
  "ownfile": lambda was: File ("ownfile", b"own file"),
  "generator": lambda was: generate ("one ", "", "two"),
  "bytegenerator": lambda was: generate (b"one ", b"two"),
  "iterator": lambda was: Iterator ("iterator"),
  "iter": lambda was: iter (["a", b"b"]),
  "more": lambda was: More ("more"),
  "list": lambda was: ["a ", b"b ", io.BytesIO (b"c "), generate ("d ", "e "), More ("listed")],
  "tuple": lambda was: ("a", "b"),
  "emptylist": lambda was: [],
  "numbers": lambda was: ["a", 5],
  "response": lambda was: was.response ("201 Created", "made"),
  "none": lambda was: None,
  "object": lambda was: object (),
  "failing": lambda was: failing (),
  "endless": lambda was: Endless ("endless"),
  "big": lambda was: (b"0123456789" * 1000 for _ in range (200)),
}

@app.route ("/value/<kind>")
def view_of_a_kind (was, kind):
  return VALUES [kind] (was)

@app.route ("/closed")
def closed_ones (was):
  return " ".join (closed)

@app.route ("/one")
def one (was):
  return was.response ("200 OK", "hello", [("Cache-Control", "max-age=60")])

@app.route ("/two")
def two (was):
  return was.response (body = "hello", headers = [("Cache-Control", "max-age=60")])

@app.route ("/three")
def three (was):
  was.response.set_header ("Cache-Control", "max-age=60")
  return "hello"

@app.route ("/status")
def status (was, status, body = None):
  if body is None:
    return was.response (status)
  return was.response (status, body)

@app.route ("/set_status")
def set_status (was, status):
  before = was.response.get_status ()
  was.response.set_status (status)
  return "%s, then %s" % (before, was.response.get_status ())

@app.route ("/headers")
def headers (was):
  r = was.response
  r.set_header ("X-One", "1")
  r.set_header ("X-Two", "2")
  r.set_headers ([("X-Three", "3"), ("X-Four", "4")])
  r.set_header ("x-three", "33")
  r.del_header ("X-FOUR")
  names = sorted (k.lower () for k, v in r.get_headers () if k.lower ().startswith ("x-"))
  return "%s %s %s %s" % (r.get_header ("x-three"), r.get_header ("X-Three"), r.get_header ("X-None"), " ".join (names))

@app.route ("/type")
def type_ (was):
  was.response.set_header ("Content-Type", "text/plain")
  return "plain"

@app.route ("/intended")
def raise_exception (was):
  try:
    raise ValueError ("Test Error")
  except:
    return was.response ("500 Internal Server Error", exc_info = sys.exc_info ())

@app.route ("/broken")
def broken (was):
  secret = "hunter2"
  raise ValueError ("<script>secret text</script>")

@app.route ("/inject")
def inject (was, value):
  was.response.set_header ("X-Value", value)
  return "sent"

@app.route ("/inject_status")
def inject_status (was, value):
  was.response.set_status (value)
  return "sent"

@app.route ("/inject_redirect")
def inject_redirect (was, value):
  return was.redirect (value)

@app.route ("/streaming")
def streaming (was):
  return was.response ("200 OK", open (__file__, "rb"), headers = [("Content-Type", "video/mp4")])

@app.route ("/csv")
def build_csv (was):
  def generate():
    for row in [("a", "b"), ("c", "d")]:
      yield ','.join(row) + '\\n'
  return was.response ("200 OK", generate (), headers = [("Content-Type", "text/csv")])

@app.route ("/json")
def getjson (was):
  return was.jstream ({'mydata': 'myvalue'})

@app.route ("/xml")
def getxml (was):
  return was.xstream (({"a": 5},))

@app.route ("/fstream/<filename>")
def getfile (was, filename, mimetype = None):
  path = os.path.join (os.path.dirname (os.path.abspath (__file__)), filename)
  return was.fstream (path, mimetype) if mimetype else was.fstream (path)

@app.route ("/redirect")
def redirect (was, status = None):
  return was.redirect ("/value/str", status = status) if status else was.redirect ("/value/str")

@app.route ("/promise")
def promise (was):
  was.response.hint_promise ('/images/A.png')
  was.response.hint_promise ('/images/B.png')
  return was.response ("200 OK", ('Promise Sent<br><br>' '<img src="/images/A.png">' '<img src="/images/B.png">'))

@app.route ("/moved")
def moved (was):
  return was.response ("301 Moved Permanently", "gone", [("Location", "/there")])

@app.route ("/formats")
def formats (was):
  object = {"a": [1, 2.5, True, None, "\\xe9<&"]}
  assert was.fromjson (was.tojson (object)) == object
  xml = was.toxml (({"a": [1, 2.5, True, "\\xe9<&"]},))
  assert "\\xe9" in str (was.fromxml (xml)) and "<value>" in xml, xml
  single = was.toxml ({"a": 1})
  return "%r %r" % (type (was.tojson ({})).__name__, was.fromxml (single))

@app.route ("/state")
def state (was):
  return was.status ()

@app.route ("/logs")
def logs (was):
  was.log ("called index", "info")
  try:
    raise ValueError ("for the log")
  except:
    was.log ("exception occured", "error")
    was.traceback ()
    was.traceback ("findme")
  was.log ("done index")
  return "logged"
"""

DEBUG = """\
from skitai.saddle import Saddle
debugged = Saddle (__name__)
debugged.debug = True

@debugged.route ("/broken")
def broken (was, text = ""):
  raise ValueError ("<script>" + text)

@debugged.route ("/none")
def gives_nothing (was):
  return None

@debugged.route ("/chained")
def chained (was):
  try:
    {} ["inner key"]
  except KeyError as error:
    raise RuntimeError ("outer") from error
"""

site = Shared(
    {
        "app.py": APP + RUN.replace('{"/": app}', '{"/": app, "/debug": ("debugged.py", "debugged")}'),
        "debugged.py": DEBUG,
    }
)


def get(target: str, *fields: str, method: str = "GET") -> Reply:
    return site.ask(target, *fields, method=method)


@tables
class ValueTests(SynchronousTestCase):
    """What a view may return."""

    @each(
        ("str", "caf\xe9".encode()), ("bytes", b"\x00\xff"), ("int", b"8"), ("zero", b"0"), ("float", b"1.5"),
        ("empty", b""), ("bytesio", b"in memory"), ("ownfile", b"own file"), ("generator", b"one two"),
        ("bytegenerator", b"one two"), ("iterator", b"piece2 piece1 piece0 "), ("iter", b"ab"),
        ("more", b"more2 more1 more0 "), ("list", b"a b c d e more2 more1 more0 "), ("tuple", b"ab"), ("emptylist",
            b""),
        ("numbers", b"a5"), ("big", b"0123456789" * 200_000),
    )  # fmt: skip
    def test_values(self, kind: str, body: bytes) -> None:
        reply = get(f"/value/{kind}")
        self.assertEqual((reply.status, reply.body), (200, body))
        self.assertEqual(reply.get("Content-Type").replace(" ", "").lower(), "text/html;charset=utf-8")

    @each("str", "generator", "more", "list", "dict")
    def test_head(self, kind: str) -> None:
        with site.connect() as wire:
            self.assertEqual(wire.ask(f"/value/{kind}", method="HEAD").status, 200)
            self.assertEqual(wire.ask("/one").text, "hello")

    def test_dictionary(self) -> None:
        reply = get("/value/dict")
        self.assertEqual(json.loads(reply.body), {"a": [1, None, "\xe9"]})
        self.assertTrue(reply.get("Content-Type").startswith("application/json"))

    def test_file(self) -> None:
        self.assertIn(b"view_of_a_kind", get("/value/file").body)

    def test_response(self) -> None:
        reply = get("/value/response")
        self.assertEqual((reply.status, reply.reason, reply.text), (201, "Created", "made"))

    def test_none_is_an_error_that_names_the_view(self) -> None:
        self.assertEqual(get("/value/none").status, 500)
        until(lambda: "view_of_a_kind" in site.server.output, "the name of the view in the log")
        self.assertIn("gives_nothing", html.unescape(get("/debug/none").text))

    def test_what_can_not_be_sent(self) -> None:
        self.assertEqual(get("/value/object").status, 500)

    @each("ownfile", "iterator", "more", "list")
    def test_close_at_the_end(self, kind: str) -> None:
        name = {"list": "listed"}.get(kind, kind)
        count = get("/closed").text.split().count(name)
        get(f"/value/{kind}")
        until(lambda: get("/closed").text.split().count(name) == count + 1, f"close() of {kind}")

    def test_close_when_the_client_leaves(self) -> None:
        wire = site.connect(buffer=4096)
        wire.request("/value/endless")
        wire.socket.recv(1000)
        wire.socket.shutdown(socket.SHUT_RDWR)
        wire.close()
        until(lambda: "endless" in get("/closed").text, "close() after the client has left")

    def test_failure_halfway(self) -> None:
        """A stream that fails ends so that the client sees it, and is logged."""
        with site.raw("GET /value/failing HTTP/1.1\r\nHost: a\r\n\r\n") as wire:
            data = wire.rest()
        self.assertFalse(data.endswith(b"0\r\n\r\n") and b" 200 " in data.partition(b"\r\n")[0], data)
        until(lambda: "halfway" in site.server.output, "the traceback")

    @each("generator", "more", "big")
    def test_to_an_old_client(self, kind: str) -> None:
        with site.raw(f"GET /value/{kind} HTTP/1.0\r\n\r\n") as wire:
            head, _, body = wire.rest().partition(b"\r\n\r\n")
        self.assertNotIn(b"chunked", head.lower())
        self.assertEqual(body, get(f"/value/{kind}").body)


@tables
class ResponseTests(SynchronousTestCase):
    """``was.response``."""

    @each("/one", "/two", "/three")
    def test_three_ways(self, target: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.reason, reply.text), (200, "OK", "hello"))
        self.assertEqual(reply.get("Cache-Control"), "max-age=60")
        self.assertTrue(reply.get("Content-Type").startswith("text/html"))

    @each(
        ("404 Not Found", 404), ("503 Service Unavailable", 503), ("403 Forbidden", 403), ("500 Oh", 500),
    )  # fmt: skip
    def test_default_page(self, status: str, number: int) -> None:
        reply = get(f"/status?status={quoted(status)}")
        self.assertEqual((reply.status, reply.reason), (number, status[4:]))
        self.assertIn(str(number), reply.text)

    @each(("404 Not Found", 404), ("200 Fine", 200), ("501 Server Error", 501))
    def test_own_page(self, status: str, number: int) -> None:
        reply = get(f"/status?status={quoted(status)}&body=own+page")
        self.assertEqual((reply.status, reply.reason, reply.text), (number, status[4:], "own page"))

    @each("204 No Content", "304 Not Modified")
    def test_without_a_body(self, status: str) -> None:
        with site.connect() as wire:
            reply = wire.ask(f"/status?status={quoted(status)}")
            self.assertEqual((reply.status, reply.body), (int(status[:3]), b""))
            self.assertEqual(wire.ask("/one").text, "hello")

    def test_set_status(self) -> None:
        reply = get("/set_status?status=202+Accepted")
        self.assertEqual((reply.status, reply.reason, reply.text), (202, "Accepted", "200 OK, then 202 Accepted"))

    def test_headers(self) -> None:
        reply = get("/headers")
        self.assertEqual(reply.text, "33 33 None x-one x-three x-two")
        self.assertEqual([reply.get(f"X-{name}") for name in ("One", "Two", "Three", "Four")], ["1", "2", "33", ""])

    def test_content_type(self) -> None:
        reply = get("/type")
        self.assertTrue(reply.get("Content-Type").startswith("text/plain"))
        self.assertEqual(get("/streaming").get("Content-Type"), "video/mp4")
        self.assertTrue(get("/csv").get("Content-Type").startswith("text/csv"))
        self.assertEqual(get("/csv").text, "a,b\nc,d\n")

    def test_location(self) -> None:
        reply = get("/moved")
        self.assertEqual((reply.status, reply.get("Location"), reply.text), (301, "/there", "gone"))

    def test_hint_promise(self) -> None:
        reply = get("/promise")
        self.assertEqual((reply.status, reply.interim), (200, []))
        self.assertTrue(reply.text.startswith("Promise Sent"))

    @each("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\x00b")
    def test_nothing_is_smuggled_into_a_field(self, value: str) -> None:
        """A header that breaks the rules is an error, not bytes on the wire."""
        reply = get(f"/inject?value={quoted(value)}")
        self.assertEqual((reply.status, reply.all("X-Evil")), (500, []))

    @each("200 OK\r\nX-Evil: 1", "2000 OK", "OK", "")
    def test_nothing_is_smuggled_into_the_status(self, value: str) -> None:
        reply = get(f"/inject_status?value={quoted(value)}")
        self.assertEqual((reply.status, reply.all("X-Evil")), (500, []))

    def test_nothing_is_smuggled_into_a_redirection(self) -> None:
        reply = get(f"/inject_redirect?value={quoted(chr(13) + chr(10) + 'X-Evil: 1')}")
        self.assertEqual(reply.all("X-Evil"), [])


@tables
class ShortcutTests(SynchronousTestCase):
    """Shortcuts for responses, and the utility methods."""

    def test_jstream(self) -> None:
        reply = get("/json")
        self.assertEqual(
            (reply.get("Content-Type").split(";")[0], json.loads(reply.body)),
            ("application/json", {"mydata": "myvalue"}),
        )

    def test_xstream(self) -> None:
        reply = get("/xml")
        self.assertEqual(reply.get("Content-Type").split(";")[0], "text/xml")
        self.assertIn("<int>5</int>", reply.text)

    def test_fstream(self) -> None:
        reply = get("/fstream/debugged.py")
        self.assertEqual((reply.get("Content-Type"), reply.text), ("application/octet-stream", DEBUG))
        self.assertTrue(get("/fstream/debugged.py?mimetype=text/plain").get("Content-Type").startswith("text/plain"))

    def test_fstream_of_nothing(self) -> None:
        self.assertIn(get("/fstream/nothing").status, (404, 500))

    @each(
        (None, 302, None),
        ("301 Moved Permanently", 301, "Moved Permanently"),
        ("302 Object Moved", 302, "Object Moved"),
        ("303 See Other", 303, "See Other"),
    )
    def test_redirect(self, status: str | None, number: int, reason: str | None) -> None:
        reply = get("/redirect" + (f"?status={quoted(status)}" if status else ""))
        self.assertEqual((reply.status, reply.get("Location")), (number, "/value/str"))
        if reason:
            self.assertEqual(reply.reason, reason)

    def test_formats(self) -> None:
        reply = get("/formats")
        self.assertEqual(reply.status, 200, reply.text)
        self.assertIn("{'a': 1}", reply.text)

    def test_status(self) -> None:
        reply = get("/state", "Authorization: Basic dG9wOnNlY3JldA==")
        self.assertEqual(reply.status, 200)
        self.assertIn("<", reply.text)
        self.assertNotIn("dG9wOnNlY3JldA", reply.text)

    def test_logs(self) -> None:
        self.assertEqual(get("/logs", "X-Gtxn-Id: GTID-abc-C1-R9").text, "logged")
        until(lambda: "done index" in site.server.output, "the last line of the log")
        output = site.server.output
        for text in ("called index", "exception occured", "ValueError: for the log", "findme", "GTID-abc-C1-R9/1000"):
            self.assertIn(text, output)


@tables
class ErrorTests(SynchronousTestCase):
    """Exceptions of views."""

    def test_without_debug(self) -> None:
        """The page says nothing of the inside; the log has everything."""
        reply = get("/broken")
        self.assertEqual(reply.status, 500)
        for word in ("secret text", "hunter2", "ValueError", "Traceback", "app.py"):
            self.assertNotIn(word, reply.text)
        self.assertIn("500", reply.text)
        self.assertIn("GTID-", reply.text)
        until(lambda: "ValueError: <script>secret text" in site.server.output, "the traceback in the log")

    def test_debug(self) -> None:
        """The page shows the traceback, escaped."""
        reply = get(f"/debug/broken?text={quoted('</pre><b>&amp;')}")
        self.assertEqual(reply.status, 500)
        self.assertNotIn("<script></pre>", reply.text)
        self.assertNotIn("</pre><b>", reply.text)
        page = html.unescape(reply.text)
        for word in (
            "ValueError",
            "<script></pre><b>&amp;",
            "debugged.py",
            'raise ValueError ("<script>" + text)',
            "broken",
        ):
            self.assertIn(word, page)

    def test_debug_escapes_locals_and_the_request(self) -> None:
        reply = get("/debug/broken?text=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "User-Agent: <img src=y>")
        self.assertNotIn("<img src=x", reply.text)
        self.assertNotIn("<img src=y", reply.text)

    def test_debug_chain(self) -> None:
        page = html.unescape(get("/debug/chained").text)
        self.assertIn("inner key", page)
        self.assertIn("RuntimeError", page)

    def test_intended(self) -> None:
        """``exc_info`` shows the traceback in spite of debug being off."""
        reply = get("/intended")
        self.assertEqual(reply.status, 500)
        self.assertIn("Test Error", html.unescape(reply.text))
        self.assertIn("ValueError", html.unescape(reply.text))

    def test_pages_have_a_type(self) -> None:
        for target in ("/broken", "/nothing", "/status?status=404+Not+Found", "/debug/broken"):
            self.assertTrue(get(target).get("Content-Type").startswith("text/html"), target)
