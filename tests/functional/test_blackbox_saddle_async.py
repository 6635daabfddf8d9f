"""Saddle: views and hooks that are coroutines."""

from __future__ import annotations

import json
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import JSON, each, post, tables

APP = """\
import json
import threading
from twisted.internet import defer, reactor, task
from twisted.python import threadable
from skitai.saddle import Saddle
import skitai

app = Saddle (__name__)
app.securekey = "key of these tests"
lines = []

def sleep (seconds):
  return task.deferLater (reactor, seconds, lambda: None)

@app.before_request
async def before (was):
  await sleep (0)
  was.g.before = "before"
  if was.request.args.get ("stop"):
    return "stopped"

@app.finish_request
async def finish (was):
  await sleep (0)
  lines.append ("finish")

@app.failed_request
async def failed (was, exc_info):
  await sleep (0)
  lines.append ("failed")
  if was.request.args.get ("answer"):
    return was.response ("501 Oh", "answered " + exc_info [0].__name__)

@app.teardown_request
async def teardown (was):
  await sleep (0)
  lines.append ("teardown")

@app.route ("/hello/<name>")
async def hello (was, name, **rest):
  await sleep (0.01)
  return "Hello %s, %s" % (name, was.g.before)

@app.route ("/at-once")
async def at_once (was):
  return "at once"

@app.route ("/where")
async def where (was):
  before = threadable.isInIOThread ()
  await sleep (0)
  return json.dumps ([before, threadable.isInIOThread ()])

@app.route ("/plain")
def plain (was):
  return json.dumps (threadable.isInIOThread ())

@app.route ("/slow")
async def slow (was):
  await sleep (0.3)
  return "slept"

@app.route ("/fails")
async def fails (was, **rest):
  await sleep (0)
  raise ValueError ("failed in a coroutine")

@app.route ("/gathered")
async def gathered (was):
  results = await defer.gatherResults ([task.deferLater (reactor, 0.01, str, n) for n in range (5)])
  return " ".join (results)

@app.route ("/values/<kind>")
async def values (was, kind):
  await sleep (0)
  return {"str": lambda: "text", "bytes": lambda: b"bytes", "dict": lambda: {"a": 1}, "int": lambda: 5,
    "list": lambda: ["a", b"b"], "none": lambda: None, "generator": lambda: (piece for piece in ("a", "b")),
    "response": lambda: was.response ("201 Created", "made"), "redirect": lambda: was.redirect ("/there")} [kind] ()

@app.route ("/form")
async def form (was, a, b = "B"):
  await sleep (0)
  return a + b

@app.route ("/json", methods = ["POST"])
async def json_ (was):
  await sleep (0)
  return was.jstream (was.request.json ())

@app.route ("/session")
async def session (was):
  was.session ["n"] = was.session.get ("n", 0) + 1
  await sleep (0)
  was.cookie ["c"] = "v"
  return str (was.session ["n"])

@app.route ("/context/<n>")
async def context (was, n):
  await sleep (0.02)
  return "%s %s" % (skitai.was.request.args ["n"], skitai.was.gtxnid == was.gtxnid)

@app.route ("/left")
async def left (was):
  lines.append ("left begun")
  try:
    await sleep (30)
  except BaseException as error:
    lines.append ("left ended by " + type (error).__name__)
    raise
  return "never"

@app.route ("/lines")
def lines_ (was):
  return json.dumps (lines)

@app.route ("/template")
async def template (was):
  await sleep (0)
  return was.render ("page.html", a = "<b>")

if __name__ == "__main__":
  skitai.run (mount = {"/": app}, threads = 1)
"""

site = Shared({"app.py": APP, "templates/page.html": "{{ a }} {{ was.request.method }}"})
reactor_only = Shared({"app.py": APP.replace("threads = 1", "threads = 0"), "templates/page.html": "{{ a }}"})


def get(target: str, *fields: str) -> Reply:
    return site.ask(target, *fields)


@tables
class AsyncTests(SynchronousTestCase):
    """Coroutines as views and hooks."""

    @each(
        ("/hello/Bob_B", 200, "Hello Bob B, before"), ("/at-once", 200, "at once"), ("/values/str", 200, "text"),
        ("/values/bytes", 200, "bytes"), ("/values/int", 200, "5"), ("/values/list", 200, "ab"),
        ("/values/generator", 200, "ab"), ("/values/response", 201, "made"), ("/gathered", 200, "0 1 2 3 4"),
        ("/form?a=1", 200, "1B"), ("/where", 200, "[true, true]"), ("/plain", 200, "false"),
        ("/hello/x?stop=1", 200, "stopped"), ("/fails?answer=1", 501, "answered ValueError"), ("/template", 200,
            "&lt;b&gt; GET"),
    )  # fmt: skip
    def test_answers(self, target: str, status: int, text: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text), (status, text))

    def test_dictionary(self) -> None:
        self.assertEqual(json.loads(get("/values/dict").body), {"a": 1})
        self.assertEqual(get("/values/redirect").status, 302)

    def test_bodies(self) -> None:
        self.assertEqual(post(site, "/form", {"a": "1", "b": "2"}).text, "12")
        self.assertEqual(json.loads(site.ask("/json", JSON, method="POST", body=b'{"a": [1]}').body), {"a": [1]})
        self.assertEqual(site.ask("/json", JSON, method="POST", body=b"{").status, 400)
        large = json.dumps(["x" * 300_000]).encode()
        self.assertEqual(len(site.ask("/json", JSON, method="POST", body=large).body), len(large))

    def test_missing(self) -> None:
        reply = get("/form")
        self.assertEqual(reply.status, 400)
        self.assertIn("a", reply.text)

    def test_none(self) -> None:
        self.assertEqual(get("/values/none").status, 500)
        until(lambda: "values" in site.server.output, "the name of the view")

    def test_failure(self) -> None:
        reply = get("/fails")
        self.assertEqual(reply.status, 500)
        self.assertNotIn("failed in a coroutine", reply.text)
        until(lambda: "ValueError: failed in a coroutine" in site.server.output, "the traceback in the log")
        self.assertEqual(json.loads(get("/lines").body)[-2:], ["failed", "teardown"])

    def test_no_thread(self) -> None:
        """Thirty at once take as long as one, though there is but one thread."""
        wires = [site.connect() for _ in range(30)]
        started = time.monotonic()
        for wire in wires:
            wire.request("/slow")
        self.assertEqual(get("/plain").text, "false")
        self.assertEqual({wire.receive().text for wire in wires}, {"slept"})
        self.assertLess(time.monotonic() - started, 3)
        for wire in wires:
            wire.close()

    def test_context(self) -> None:
        """``skitai.was`` is that of the request, however many run at once."""
        wires = [site.connect() for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.request(f"/context/{number}")
        self.assertEqual([wire.receive().text for wire in wires], [f"{number} True" for number in range(20)])
        for wire in wires:
            wire.close()

    def test_session(self) -> None:
        reply = get("/session")
        self.assertEqual(reply.text, "1")
        cookies = "; ".join(field.partition(";")[0] for field in reply.all("Set-Cookie"))
        self.assertIn("c=v", cookies)
        self.assertEqual(get("/session", f"Cookie: {cookies}").text, "2")

    def test_cancelled(self) -> None:
        """It ends when the client leaves."""
        wire = site.connect()
        wire.request("/left")
        until(lambda: "left begun" in json.loads(get("/lines").body), "the beginning")
        wire.socket.shutdown(socket.SHUT_RDWR)
        wire.close()
        until(lambda: any(line.startswith("left ended by") for line in json.loads(get("/lines").body)), "the end")

    def test_pipelined(self) -> None:
        with site.connect() as wire:
            for name in ("a", "b", "c"):
                wire.request(f"/hello/{name}")
            self.assertEqual([wire.receive().text for _ in range(3)], [f"Hello {name}, before" for name in "abc"])

    def test_head(self) -> None:
        with site.connect() as wire:
            self.assertEqual(wire.ask("/at-once", method="HEAD").status, 200)
            self.assertEqual(wire.ask("/at-once").text, "at once")

    def test_without_threads(self) -> None:
        """With ``threads=0`` all is the same."""
        for target, text in (
            ("/hello/Bob", "Hello Bob, before"),
            ("/where", "[true, true]"),
            ("/plain", "true"),
            ("/form?a=1", "1B"),
        ):
            self.assertEqual(reactor_only.ask(target).text, text)
        self.assertEqual(post(reactor_only, "/form", {"a": "1"}).text, "1B")
        self.assertEqual(reactor_only.ask("/fails").status, 500)
