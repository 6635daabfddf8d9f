"""What the black-box tests of requests share: fronts, which run the code of a test and call the back ends.

A front is a server in a process of its own, shared by all modules. A test hands it the body of a view and compares what
that returns.
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

from tests.functional.backends import BackEnd, world
from tests.functional.blackbox import STARTING, Reply, Shared
from tests.functional.process import Server
from tests.functional.saddlebox import JSON

__all__ = ["FRONT", "SADDLE", "SINGLE", "BackEnd", "Front", "world"]

DOING = """\
import asyncio, io, json, os, threading, time, traceback
import skitai

PORTS = json.loads (os.environ ["PORTS"])
NAMES = {name: "http://127.0.0.1:%d" % port for name, port in PORTS.items ()}
for name in ("T", "EXPIRED", "WRONG", "OWN"):
  NAMES [name] = "https://localhost:%d" % PORTS [name]
HERE = os.path.dirname (os.path.abspath (__file__))
KEPT = {}

def space ():
  return dict (NAMES, PORTS = PORTS, HERE = HERE, KEPT = KEPT, skitai = skitai, asyncio = asyncio, io = io, json = json,
    os = os, threading = threading, time = time)

def view_of (text):
  names = space ()
  exec (compile (text, "<test>", "exec"), names)
  return names ["view"]

def plain (value):
  if isinstance (value, bytes):
    return value.decode ("latin-1")
  if isinstance (value, (set, tuple)):
    return list (value)
  return repr (value)

def failure (error):
  return json.dumps ({"raised": [kind.__name__ for kind in type (error).__mro__], "text": str (error),
    "trace": traceback.format_exc ()})

def answer (was, text):
  try:
    return json.dumps ({"result": view_of (text) (was)}, default = plain)
  except Exception as error:
    return failure (error)

async def aanswer (was, text):
  try:
    return json.dumps ({"result": await view_of (text) (was)}, default = plain)
  except Exception as error:
    return failure (error)
"""

SADDLE = """\
import os
import doing, skitai
from skitai.saddle import Saddle

app = Saddle (__name__)
app.debug = os.environ.get ("DEBUG") == "1"

@app.route ("/do")
def do (was):
  return doing.answer (was, was.request.json () ["code"])

@app.route ("/ado")
async def ado (was):
  return await doing.aanswer (was, was.request.json () ["code"])

@app.route ("/stream")
def stream (was):
  return doing.view_of (was.request.json () ["code"]) (was)

@app.route ("/chain")
def chain (was, depth = 0):
  mine = [was.request.get_header ("x-gtxn-id"), was.request.get_header ("x-ltxn-id")]
  depth = int (depth)
  if depth:
    url = "http://127.0.0.1:" + was.env ["SERVER_PORT"] + "/chain"
    requests = [was.get (url, {"depth": depth - 1}) for _ in range (2)]
    return {"ids": mine, "inner": [r.getwait (5).data for r in requests]}
  return {"ids": mine}

@app.route ("/add")
def add (was, a, b):
  return a + b

if __name__ == "__main__":
  p = doing.PORTS
  at = lambda *names: ["127.0.0.1:%d" % p [name] for name in names]
  skitai.alias ("@one", skitai.PROTO_HTTP, at ("A") [0])
  skitai.alias ("@pair", skitai.PROTO_HTTP, at ("A", "B"))
  skitai.alias ("@faulty", skitai.PROTO_HTTP, at ("A", "B"))
  skitai.alias ("@three", "http", at ("A", "B", "C"))
  skitai.alias ("@weighted", skitai.PROTO_HTTP, [at ("A") [0] + " 3", at ("B") [0]])
  skitai.alias ("@half", skitai.PROTO_HTTP, at ("DEAD", "A"))
  skitai.alias ("@half2", skitai.PROTO_HTTP, at ("DEAD", "A", "DEAD2", "B"))
  skitai.alias ("@halfmap", skitai.PROTO_HTTP, at ("DEAD", "A"))
  skitai.alias ("@dead", skitai.PROTO_HTTP, at ("DEAD", "DEAD2"))
  skitai.alias ("@silentmap", skitai.PROTO_HTTP, at ("SILENT", "A"))
  for name in ("shrunk", "redirected", "looped", "cancelled", "filtered", "fault", "answered"):
    skitai.alias ("@well" + name, skitai.PROTO_HTTP, at ("A", "B"))
  for number in "12345":
    skitai.alias ("@r" + number, skitai.PROTO_HTTP, at ("R" + number, "A"))
  skitai.alias ("@alone", skitai.PROTO_HTTP, at ("R5") [0])
  skitai.alias ("@tls", skitai.PROTO_HTTPS, "localhost:%d" % p ["T"])
  skitai.alias ("@own", skitai.PROTO_HTTPS, "localhost:%d" % p ["OWN"], cafile = os.environ ["OWN_CA"])
  skitai.alias ("@unverified", "https", "localhost:%d" % p ["OWN"], verify = False)
  skitai.alias ("@ssl", skitai.PROTO_HTTP, "localhost:%d" % p ["T"], ssl = True)
  skitai.alias ("@stranger", skitai.PROTO_HTTPS, "localhost:%d" % p ["OWN"])
  for number in os.environ.get ("RCACHE", "").split ():
    skitai.set_max_rcache (int (number))
  skitai.run (
    mount = [("/", app)], threads = int (os.environ.get ("THREADS", "4")),
    clusters = {"@mysearch": ("http", at ("A", "B", "C"))}
  )
"""

TEMPLATES = {
    "templates/part.html": "<div>{{ r.url }}</div><div>{{ r.text }}</div>",
    "templates/whole.html": "<p>{{ a }}</p><hr>{{ b }}<i>{{ was.request.args.get('x', '') }}</i>",
    "templates/named.html": "<b>{{ name }}</b>",
}


class Front(Shared):
    """A server that runs the code of tests.

    Args:
        files: Texts by name, beside those of every front.
        settings: Variables of its environment.
    """

    def __init__(self, files: dict[str, str | bytes], **settings: str) -> None:
        super().__init__({"doing.py": DOING, **TEMPLATES, **files}, environment=settings)
        self._settings = settings

    @property
    def server(self) -> Server:
        with STARTING:
            if self._server is None:
                here = world()
                self._environment = {
                    "PORTS": json.dumps(here.ports),
                    "SSL_CERT_FILE": here.authority,
                    "OWN_CA": here.own,
                    **self._settings,
                }
            return super().server

    def send(self, path: str, code: str, *fields: str, kind: str = "def") -> Reply:
        """Return the response to a view of this code; an expression is what it returns."""
        code = textwrap.dedent(code).strip()
        if "\n" not in code and not code.startswith(("return ", "raise ")):
            code = "return " + code
        code = code.replace("SELF", f"'http://127.0.0.1:{self.server.port}'")
        text = f"{kind} view (was):\n" + textwrap.indent(code, "  ")
        return self.ask(path, JSON, *fields, method="POST", body=json.dumps({"code": text}).encode())

    def do(self, code: str, *fields: str, path: str = "/do", kind: str = "def") -> Any:
        """Return what a view of this code returned."""
        reply = self.send(path, code, *fields, kind=kind)
        assert reply.status == 200, (reply.status, reply.body[:1000])
        value = json.loads(reply.body)
        assert "result" in value, (code, value.get("trace"))
        return value["result"]

    def error(self, code: str, path: str = "/do", kind: str = "def") -> tuple[list[str], str]:
        """Return the classes and the text of what a view of this code raised."""
        reply = self.send(path, code, kind=kind)
        assert reply.status == 200, (reply.status, reply.body[:1000])
        value = json.loads(reply.body)
        assert "raised" in value, (code, value)
        return value["raised"], value["text"]

    def ado(self, code: str, *fields: str) -> Any:
        """Return what an ``async`` view of this code returned."""
        return self.do(code, *fields, path="/ado", kind="async def")


FRONT = Front({"app.py": SADDLE})
"""Four threads."""
SINGLE = Front({"app.py": SADDLE}, THREADS="0", DEBUG="1", RCACHE="3")
"""No threads; in debug; keeps three results."""
