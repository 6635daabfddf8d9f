"""``from skitai import was`` in Flask, Bottle, Django, plain WSGI, a startup hook and a script's own thread."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import until
from tests.functional.requestbox import BackEnd, Front
from tests.functional.saddlebox import each, tables

APP = """\
import json, os, sys, threading, time
import doing, skitai
from skitai import was
from skitai.saddle import Saddle
import bottle, flask
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

OWN = {}

def own ():
  # A thread of the script, begun before the server.
  OWN ["ready"].wait (20)
  r = was.get (doing.NAMES ["A"] + "/echo/own-thread").getwait (5)
  doing.KEPT ["thread"] = [r.status, r.status_code, r.data ["headers"].get ("x-ltxn-id")]
  try:
    was.request.method
  except Exception as error:
    doing.KEPT ["nowhere"] = [type (error).__name__, str (error)]

OWN ["ready"] = threading.Event ()

fl = flask.Flask (__name__)

@fl.route ("/do", methods = ["POST"])
def do_ ():
  return doing.answer (was, flask.request.get_json () ["code"])

@fl.route ("/ado", methods = ["POST"])
async def ado_ ():
  return await doing.aanswer (was, flask.request.get_json () ["code"])

bo = bottle.Bottle ()

@bo.route ("/do", method = "POST")
def do__ ():
  return doing.answer (was, bottle.request.json ["code"])

@csrf_exempt
def do___ (request):
  return HttpResponse (doing.answer (was, json.loads (request.body) ["code"]))

@csrf_exempt
async def ado___ (request):
  return HttpResponse (await doing.aanswer (was, json.loads (request.body) ["code"]))

settings.configure (ROOT_URLCONF = __name__, ALLOWED_HOSTS = ["*"], SECRET_KEY = "x", DEBUG = True)
urlpatterns = [path ("do", do___), path ("ado", ado___)]
django.setup ()
dj = get_wsgi_application ()

def plain (env, start_response):
  code = json.loads (env ["wsgi.input"].read (int (env ["CONTENT_LENGTH"]))) ["code"]
  body = doing.answer (was, code).encode ()
  start_response ("200 OK", [("Content-Type", "application/json")])
  return [body]

def of_environ (env, start_response):
  code = json.loads (env ["wsgi.input"].read (int (env ["CONTENT_LENGTH"]))) ["code"]
  body = doing.answer (env ["skitai.was"], code).encode ()
  start_response ("200 OK", [("Content-Type", "application/json")])
  return [body]

def late (env, start_response):
  start_response ("200 OK", [("Content-Type", "text/plain")])
  for number in range (3):
    yield was.get (doing.NAMES ["A"] + "/echo").getwait (5).data ["headers"] ["x-ltxn-id"].encode () + b" "

sa = Saddle (__name__)

@sa.startup
def startup (wasc):
  r = was.get (doing.NAMES ["A"] + "/echo/startup-fire")
  doing.KEPT ["fired"] = type (r).__name__
  try:
    doing.KEPT ["hook"] = was.request.method
  except Exception as error:
    doing.KEPT ["hook"] = [type (error).__name__, str (error)]
  OWN ["ready"].set ()

@sa.route ("/do")
def do (was):
  return doing.answer (was, was.request.json () ["code"])

@sa.route ("/imported")
def imported (_was):
  return doing.answer (was, _was.request.json () ["code"])

if __name__ == "__main__":
  at = lambda *names: ["127.0.0.1:%d" % doing.PORTS [name] for name in names]
  skitai.alias ("@pair", skitai.PROTO_HTTP, at ("A", "B"))
  skitai.mount ("/flask", fl)
  skitai.mount ("/bottle", bo)
  skitai.mount ("/django", dj)
  skitai.mount ("/plain", plain)
  skitai.mount ("/environ", of_environ)
  skitai.mount ("/late", late)
  skitai.mount ("/saddle", sa)
  threading.Thread (target = own, daemon = True).start ()
  skitai.run ()
"""

FRONT = Front({"app.py": APP})

KINDS = ("/flask/do", "/bottle/do", "/django/do", "/plain/do", "/environ/do", "/saddle/do", "/saddle/imported")

CODES: list[tuple[str, Any]] = [
    ("was.get(A + '/echo', {'a': 1}).getwait(5).data['query']", "a=1"),
    ("was.post(A + '/echo', {'a': 1}).getwait(5).status_code", 200),
    ("was.get.lb('@pair/echo').getwait(5).status_code", 200),
    ("was.get.map('@pair/echo').getswait(5).status_code", [200, 200]),
    ("was.rpc(A + '/rpc2').add(1, 2).getwait(5).data", 3),
    ("was.rpc('@pair/rpc2').add(1, 2).getwait(5).data", 3),
    ("was.get(DEAD).getwait(5).status_code", 701),
    ("was.get(A + '/slow/1', timeout=0.1).getwait(5).status_code", 730),
    ("[was.get(A + '/echo').getwait(5).data['headers']['x-ltxn-id'] for _ in range(2)]", ["2001", "2002"]),
    ("was.tojson({'a': 1}).replace(' ', '')", '{"a":1}'),
    ("was.fromjson('[1]')", [1]),
    ("was.fromxml(was.toxml((1, 'x')))", None),
    ("'Traceback' in was.status() or len(was.status()) > 100", True),
    ("callable(was.log) and callable(was.traceback) and callable(was.restart) and callable(was.shutdown)", True),
    ("(was.log('one line from a page'), 1)[1]", 1),
]


@tables
class Frameworks(SynchronousTestCase):
    @each(*[(kind, code, expected) for kind in KINDS for code, expected in CODES])
    def test_service(self, kind: str, code: str, expected: Any) -> None:
        value = FRONT.do(code, path=kind)
        if expected is not None:
            self.assertEqual(value, expected)
        else:
            self.assertIn("x", str(value))

    @each(*KINDS)
    def test_parallel(self, kind: str) -> None:
        code = """
            start = time.time()
            requests = [was.get(A + '/slow/0.3') for _ in range(3)]
            return [r.getwait(2).status_code for r in requests], time.time() - start
        """
        codes, seconds = FRONT.do(code, path=kind)
        self.assertEqual(codes, [200] * 3)
        self.assertLess(seconds, 0.8)

    @each(*KINDS)
    def test_callback(self, kind: str) -> None:
        code = """
            done, seen = threading.Event(), []
            was.get(A + '/echo', callback=lambda r: (seen.append(r.status_code), done.set()))
            done.wait(5)
            return seen
        """
        self.assertEqual(FRONT.do(code, path=kind), [200])

    @each(*KINDS)
    def test_cache(self, kind: str) -> None:
        code = f"""
            url = A + '/count{kind}/cache'
            was.get(url).getwait(5).cache(60)
            return was.get(url).getwait(5).is_cached
        """
        self.assertTrue(FRONT.do(code, path=kind))

    @each(*KINDS)
    def test_ids(self, kind: str) -> None:
        code = "h = was.get(A + '/echo').getwait(5).data['headers']\nreturn h['x-gtxn-id'], h['x-ltxn-id']"
        self.assertEqual(FRONT.do(code, "X-Gtxn-Id: FW", "X-Ltxn-Id: 2001", path=kind), ["FW", "3002"])

    @each(*KINDS)
    def test_log(self, kind: str) -> None:
        mark = "mark" + kind.replace("/", "-")
        code = f"was.log('{mark}')\ntry:\n  1 / 0\nexcept ZeroDivisionError:\n  was.traceback()\nreturn 1"
        FRONT.do(code, path=kind)
        FRONT.server.wait_for(mark, 5)
        FRONT.server.wait_for("ZeroDivisionError", 5)

    def test_waits_in_all_do_not_block_the_pool(self) -> None:
        seen: list[int] = []
        code = "return was.get(C + '/slow/0.3').getwait(5).status_code"
        threads = [
            threading.Thread(target=lambda kind=kind: seen.append(FRONT.do(code, path=kind)))
            for kind in KINDS
            for _ in range(4)
        ]
        FRONT.do("1", path="/plain/do")
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [200] * len(threads))
        self.assertLess(time.monotonic() - start, 1.8)

    def test_requests_while_an_iterable_is_sent(self) -> None:
        self.assertEqual(FRONT.ask("/late/").text, "2001 2002 2003 ")

    @each("/flask/ado", "/django/ado")
    def test_async_views_of_other_frameworks(self, path: str) -> None:
        """They run on an event loop of their own, in an application thread."""
        code = """
            start = time.time()
            one = was.get(A + '/slow/0.3')
            some = await was.gather(was.get(A + '/slow/0.3'), was.get.map('@pair/echo'))
            all = [await one, *await asyncio.gather(was.get(A + '/slow/0.3'), asyncio.sleep(0.01))]
            return some[0].status_code, some[1].status_code, all[0].status_code, all[1].status_code, time.time() - start
        """
        *statuses, seconds = FRONT.do(code, path=path, kind="async def")
        self.assertEqual(statuses, [200, [200, 200], 200, 200])
        self.assertLess(seconds, 0.85)


class Outside(SynchronousTestCase):
    def kept(self, name: str) -> Any:
        until(lambda: FRONT.do(f"{name!r} in KEPT", path="/plain/do"), f"{name} in KEPT", 8)
        return FRONT.do(f"KEPT[{name!r}]", path="/plain/do")

    def test_a_request_in_a_startup_hook(self) -> None:
        self.kept("fired")
        until(lambda: BackEnd.hits["/echo/startup-fire"], "the request of the hook", 5)

    def test_no_request_in_a_startup_hook(self) -> None:
        _, text = self.kept("hook")
        self.assertIn("request", text)

    def test_a_script_s_own_thread(self) -> None:
        status, number, _ = self.kept("thread")
        self.assertEqual((status, number), (3, 200))

    def test_no_request_in_a_script_s_own_thread(self) -> None:
        _, text = self.kept("nowhere")
        self.assertIn("request", text)

    def test_a_thread_begun_by_a_page(self) -> None:
        code = """
            seen = []
            thread = threading.Thread(target=lambda: seen.append(skitai.was.get(A + '/echo').getwait(5).status_code))
            thread.start()
            thread.join()
            return seen
        """
        self.assertEqual(FRONT.do(code, path="/flask/do"), [200])
