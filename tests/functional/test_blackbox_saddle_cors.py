"""Saddle: cross origin resource sharing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.saddlebox import JSON, each, tables

APP = """\
import skitai
from skitai.saddle import Saddle

def make (**settings):
  app = Saddle (__name__)
  for name, value in settings.items ():
    setattr (app, name, value)

  @app.route ("/post", methods = ["POST", "OPTIONS"])
  def post (was):
    args = was.request.json ()
    return was.jstream ({"got": args})

  @app.route ("/get", methods = ["GET"])
  def get (was, a):
    return "got " + a

  @app.route ("/broken")
  def broken (was):
    raise ValueError ("broken")

  @app.route ("/own", methods = ["POST", "OPTIONS"], access_control_allow_origin = "http://own.example",
    access_control_max_age = 60)
  def own (was):
    return "own"

  @app.route ("/everyone", methods = ["POST", "OPTIONS"], access_control_allow_origin = "*",
      access_control_max_age = 3600,
    access_control_allow_credentials = False)
  def everyone (was):
    return was.jstream ({})

  @app.route ("/ran")
  def ran (was):
    return "ran"

  return app

anyone = make (access_control_allow_origin = "*", access_control_max_age = 3600)
listed = make (access_control_allow_origin = ["http://a.example", "https://b.example:8443"],
    access_control_allow_credentials = True,
  access_control_allow_headers = ["X-Token", "Content-Type"], access_control_expose_headers = ["X-Total"])
single = make (access_control_allow_origin = "http://a.example")
closed = make ()
secret = make (access_control_allow_origin = "*", authorization = "digest", realm = "r", users = {"a": "b"},
    authenticate = True)

if __name__ == "__main__":
  skitai.run (mount = {"/anyone": anyone, "/listed": listed, "/single": single, "/closed": closed, "/secret": secret})
"""

A, B, EVIL = "http://a.example", "https://b.example:8443", "http://evil.example"
site = Shared({"app.py": APP})


def ask(target: str, origin: str, *fields: str, method: str = "POST", body: bytes = b"{}") -> Reply:
    origins = [f"Origin: {origin}"] if origin else []
    return site.ask(target, JSON, *origins, *fields, method=method, body=body)


def preflight(target: str, origin: str, method: str = "POST", *fields: str) -> Reply:
    return site.ask(target, f"Origin: {origin}", f"Access-Control-Request-Method: {method}", *fields, method="OPTIONS")


def allowed(reply: Reply) -> str:
    return reply.get("Access-Control-Allow-Origin")


@tables
class SimpleTests(SynchronousTestCase):
    """Requests with an origin."""

    @each(
        ("/anyone/post", A, "*"), ("/anyone/post", "null", "*"), ("/listed/post", A, A), ("/listed/post", B, B),
        ("/listed/post", EVIL, ""), ("/listed/post", "https://b.example", ""), ("/listed/post", A + ".evil.example",
            ""),
        ("/listed/post", "https://a.example", ""), ("/listed/post", "null", ""), ("/listed/post", "", ""),
        ("/single/post", A, A),
        ("/single/post", EVIL, ""), ("/closed/post", A, ""), ("/closed/everyone", A, "*"), ("/anyone/own", A, ""),
        ("/anyone/own", "http://own.example", "http://own.example"), ("/closed/own", EVIL, ""),
    )  # fmt: skip
    def test_origin(self, target: str, origin: str, answer: str) -> None:
        """Only an allowed origin gets the field; the request itself is served."""
        reply = ask(target, origin)
        self.assertEqual(reply.status, 200)
        self.assertIn(allowed(reply), (answer, origin) if answer == "*" else (answer,))

    def test_vary(self) -> None:
        """Where the answer depends on the origin, caches are told so."""
        for origin in (A, EVIL):
            self.assertIn("origin", ask("/listed/post", origin).get("Vary").lower())

    def test_credentials(self) -> None:
        reply = ask("/listed/post", A)
        self.assertEqual(reply.get("Access-Control-Allow-Credentials"), "true")
        self.assertEqual(ask("/listed/post", EVIL).get("Access-Control-Allow-Credentials"), "")
        self.assertEqual(ask("/anyone/post", A).get("Access-Control-Allow-Credentials"), "")

    def test_exposed(self) -> None:
        self.assertEqual(ask("/listed/post", A).get("Access-Control-Expose-Headers"), "X-Total")

    @each(
        ("/anyone/get", "GET", 400),
        ("/anyone/nothing", "GET", 404),
        ("/anyone/broken", "GET", 500),
        ("/anyone/get", "DELETE", 405),
        ("/anyone/post", "POST", 400),
        ("/secret/get", "GET", 401),
    )
    def test_error_pages(self, target: str, method: str, status: int) -> None:
        """They carry the same fields."""
        reply = ask(target, A, method=method, body=b"{" if method == "POST" else b"")
        self.assertEqual((reply.status, allowed(reply)), (status, "*"))

    @each(("/listed/get", "GET"), ("/listed/post", "POST"))
    def test_error_pages_for_others(self, target: str, method: str) -> None:
        reply = ask(target, EVIL, method=method, body=b"{" if method == "POST" else b"")
        self.assertEqual((reply.status, allowed(reply)), (400, ""))


@tables
class PreflightTests(SynchronousTestCase):
    """What browsers ask before."""

    @each("/anyone/post", "/anyone/everyone", "/closed/everyone")
    def test_allowed(self, target: str) -> None:
        reply = preflight(target, A)
        self.assertIn(reply.status, (200, 204))
        self.assertIn(allowed(reply), ("*", A))
        self.assertIn("POST", reply.get("Access-Control-Allow-Methods"))
        self.assertEqual(reply.get("Access-Control-Max-Age"), "3600")
        self.assertNotIn("got", reply.text)

    def test_the_route_counts_before_the_application(self) -> None:
        reply = preflight("/anyone/own", "http://own.example")
        self.assertEqual((allowed(reply), reply.get("Access-Control-Max-Age")), ("http://own.example", "60"))
        self.assertEqual(allowed(preflight("/anyone/own", A)), "")

    @each("/listed/post", "/single/post", "/closed/post")
    def test_others(self, target: str) -> None:
        """They are not refused, they just get no header."""
        reply = preflight(target, EVIL)
        self.assertLess(reply.status, 400)
        self.assertEqual(allowed(reply), "")

    def test_headers(self) -> None:
        reply = preflight("/listed/post", A, "POST", "Access-Control-Request-Headers: x-token")
        names = {name.strip().lower() for name in reply.get("Access-Control-Allow-Headers").split(",")}
        self.assertLessEqual({"x-token", "content-type"}, names)
        self.assertEqual(reply.get("Access-Control-Allow-Credentials"), "true")

    def test_protected(self) -> None:
        """A preflight has no credentials; it is answered nevertheless and runs no view."""
        reply = preflight("/secret/post", A)
        self.assertIn(reply.status, (200, 204))
        self.assertIn("POST", reply.get("Access-Control-Allow-Methods"))

    @each("a\x00b", "x" * 5000, "<script>", "http://a.example, http://b.example", "*", "http://a.example\xff")
    def test_odd_origins(self, origin: str) -> None:
        reply = preflight("/listed/post", origin)
        self.assertLess(reply.status, 500)
        self.assertEqual(allowed(reply), "")
