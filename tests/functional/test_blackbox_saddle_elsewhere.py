"""Saddle under a WSGI server that knows nothing of Skitai: that of the standard library, with its validator between."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.credentials import basic
from skitai.testing.uploads import encode_upload
from tests.functional.blackbox import Wire, write
from tests.functional.process import Response, Server, until
from tests.functional.saddlebox import FORM, JSON, each, tables

APP = """\
import asyncio, io, json
from skitai.saddle import Saddle

app = Saddle (__name__)
app.securekey = "key of these tests"
app.authorization = "basic"
app.realm = "r"
app.users = {"ann": "secret"}
app.access_control_allow_origin = "*"

@app.route ("/hello/<name>")
def hello (was, name, extra = ""):
  return "Hello, " + name + extra

@app.route ("/values/<kind>")
def values (was, kind):
  return {"list": ["a", b"b"], "file": io.BytesIO (b"file"), "generator": (c for c in "abc"), "none": None} [kind]

@app.route ("/page")
def page (was):
  return was.render ("page.html")

@app.route ("/session")
def session (was):
  was.session ["n"] = was.session.get ("n", 0) + 1
  was.mbox.send ("text", "x")
  return str (was.session ["n"])

@app.route ("/form")
def form (was, a, file = None):
  return a + (file.name if file else "")

@app.route ("/json", methods = ["POST"])
def json_ (was):
  return was.jstream (was.request.json ())

@app.route ("/url")
def url (was):
  return was.ab ("hello", "Your Name")

@app.route ("/closed", authenticate = True)
def closed (was):
  return was.request.user.name

@app.route ("/fails")
def fails (was):
  raise ValueError ("broken here")

@app.route ("/async")
async def async_ (was):
  was.g.seen = 1
  return "from a coroutine"

@app.route ("/log")
def log (was):
  was.log ("a line of the log", "info")
  return was.tojson (was.fromjson ("[1]"))

@app.route ("/missing")
def missing (was):
  try:
    was.get ("http://127.0.0.1/")
  except Exception as error:
    return str (error)
  return "served"

if __name__ == "__main__":
  import sys
  from wsgiref.simple_server import make_server
  from wsgiref.validate import validator
  with make_server ("127.0.0.1", 0, validator (app)) as server:
    print ("serves at http://127.0.0.1:%d/" % server.server_port, flush = True)
    server.serve_forever ()
"""


@cache
def server() -> Server:
    directory = os.path.realpath(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory, True)
    write(directory, "templates/page.html", "{{ was.request.method }} {{ was.ab ('hello', 'x') }} {{ '<' }}")
    running = Server([sys.executable, write(directory, "app.py", APP)], directory)
    atexit.register(running.end)
    return running


def ask(target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Response:
    """Make a request of HTTP/1.0, with the length of its body and a type, which the validator wants."""
    with Wire(server().port) as wire:
        lines = [f"{method} {target} HTTP/1.0", f"Content-Length: {len(body)}", *fields, "", ""]
        wire.send("\r\n".join(lines).encode() + body)
        return Response(wire.rest())


@tables
class ElsewhereTests(SynchronousTestCase):
    """Everything that does not need Skitai works."""

    @each(
        ("/hello/Bob_B", b"Hello, Bob B"), ("/hello/x?extra=y", b"Hello, xy"), ("/values/list", b"ab"),
        ("/values/file", b"file"), ("/values/generator", b"abc"), ("/page", b"GET /hello/x &lt;"), ("/session", b"1"),
        ("/url", b"/hello/Your_Name"), ("/async", b"from a coroutine"), ("/log", b"[1]"),
    )  # fmt: skip
    def test_answers(self, target: str, body: bytes) -> None:
        response = ask(target)
        self.assertEqual((response.status, response.body), (200, body))

    @each(("/nothing", 404), ("/fails", 500), ("/values/none", 500), ("/form", 400), ("/closed", 401), ("/json", 405))
    def test_errors(self, target: str, status: int) -> None:
        response = ask(target)
        self.assertEqual(response.status, status)
        self.assertIn(str(status).encode(), response.body)
        self.assertNotIn(b"broken here", response.body)

    def test_head(self) -> None:
        response = ask("/hello/x", method="HEAD")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_session(self) -> None:
        response = ask("/session")
        cookies = "; ".join(
            line.partition(": ")[2].partition(";")[0]
            for line in response.head
            if line.lower().startswith("set-cookie:")
        )
        self.assertEqual(ask("/session", f"Cookie: {cookies}").body, b"2")

    def test_bodies(self) -> None:
        self.assertEqual(ask("/form", FORM, method="POST", body=b"a=1").body, b"1")
        self.assertEqual(json.loads(ask("/json", JSON, method="POST", body=b"[5]").body), [5])
        self.assertEqual(ask("/json", JSON, method="POST", body=b"[").status, 400)
        body, kind = encode_upload({"a": "1"}, {"file": ("x.txt", b"x" * 100_000)})
        self.assertEqual(ask("/form", f"Content-Type: {kind}", method="POST", body=body).body, b"1x.txt")

    def test_authentication(self) -> None:
        self.assertEqual(ask("/closed", f"Authorization: {basic(('ann', 'secret'))}").body, b"ann")

    def test_cors(self) -> None:
        self.assertEqual(ask("/hello/x", "Origin: http://a.example").field("Access-Control-Allow-Origin"), "*")

    def test_what_needs_skitai(self) -> None:
        """The error says so."""
        text = ask("/missing").body.decode()
        self.assertNotEqual(text, "served")
        self.assertIn("Skitai", text)

    def test_traceback(self) -> None:
        ask("/fails")
        until(lambda: "ValueError: broken here" in server().output, "the traceback")
        self.assertNotIn("AssertionError", server().output)
