"""Saddle: which view answers, parameters in paths, Saddleries, and building URLs, as the manual describes them."""

from __future__ import annotations

import json
import urllib.parse

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.saddlebox import each, tables

APP = """\
import json
import admin
from skitai.saddle import Saddle

app = Saddle (__name__)
app.mount ("/admin", admin, "part")

@app.route ("/")
def index (was, num1 = 0, num2 = 0):
  return "index of " + was.env ["SCRIPT_NAME"]

@app.route ("/hello/<name>")
def hello (was, name = "Hans Roh"):
  return "Hello, %s" % name

@app.route ("/int/<int:n>")
def integer (was, n):
  return "%s %r" % (type (n).__name__, n)

@app.route ("/float/<float:x>")
def floating (was, x):
  return "%s %r" % (type (x).__name__, x)

@app.route ("/files/<path:p>")
def files (was, p):
  return repr (p)

@app.route ("/download/<int:major_ver>/<path>")
def download (was, major_ver, path):
  return "%r %r" % (major_ver, path)

@app.route ("/from/<a>/to/<int:b>")
def between (was, a, b):
  return "%r %r" % (a, b)

@app.route ("/user/<name>")
def user (was, name):
  return "user " + name

@app.route ("/user/me")
def me (was):
  return "me myself"

@app.route ("/user/<name>/edit")
def edit (was, name):
  return "edit " + name

@app.route ("/pick/<int:n>")
def pick_number (was, n):
  return "number %d" % n

@app.route ("/pick/<word>")
def pick_word (was, word):
  return "word " + word

@app.route ("/get", methods = ["GET"])
def only_get (was):
  return "get"

@app.route ("/post", methods = ["POST", "PUT"])
def only_post (was):
  return "post"

@app.route ("/xml", methods = ["GET", "POST"], content_types = ["text/xml"])
def only_xml (was):
  return "xml"

@app.route ("/several", content_types = ["text/csv", "application/json"])
def several_types (was):
  return "several"

@app.route ("/rest", methods = ["GET"])
def read (was):
  return "read"

@app.route ("/rest", methods = ["POST", "DELETE"])
def write (was):
  return "write"

@app.route ("/dir/")
def directory (was, q = ""):
  return "directory " + q

@app.route ("/one")
@app.route ("/two")
@app.route ("/three/<name>")
def many (was, name = "nobody"):
  return "many " + name

@app.route ("/about", methods = ["POST", "OPTIONS", "GET"], content_types = ["text/xml", "text/plain"])
def about (was):
  routable = was.request.routable
  return {"routable": {key: list (routable [key]) for key in ("methods", "content_types")},
    "function": was.request.routed_function.__name__}

@app.route ("/add")
def add (was, num1, num2):
  return int (num1) + int (num2)

@app.route ("/optional")
def optional (was, a, b = 2, c = "x"):
  return "optional"

@app.route ("/built")
def built (was, what):
  return eval (what, {"was": was})

@app.route ("/fails")
def fails (was, what):
  try:
    eval (what, {"was": was})
  except Exception as error:
    return type (error).__name__ + ": " + str (error)
  return "nothing raised"

@app.route ("/late")
def late (was):
  try:
    @app.route ("/new")
    def new (was):
      return "new"
  except Exception as error:
    return "refused: " + str (error)
  return "taken"

@app.route ("/return")
def decorated (was):
  return str (callable (add) and add.__name__ == "add" and callable (many))

if __name__ == "__main__":
  import skitai
  skitai.run (mount = {"/": app, "/math": ("app.py", "app")})
"""

ADMIN = """\
from skitai.saddle import Saddlery
import admin_sub
part = Saddlery ()
part.mount ("/sub", admin_sub, "app")

@part.route ("/<name>")
def greet (was, name):
  # can build other module's method url
  return was.ab ("index", 1, 2)

@part.route ("/")
def top (was):
  return "top of admin, main " + str (was.app.config is not None)

@part.route ("/only/one", methods = ["DELETE"])
def only (was):
  return "deleted"
"""

SUB = """\
from skitai.saddle import Saddlery
app = Saddlery ()

@app.route ("/deep/<int:n>")
def deep (was, n):
  return "deep %d %s" % (n, was.ab ("greet", "a b"))
"""

site = Shared({"app.py": APP, "admin.py": ADMIN, "admin_sub.py": SUB})


def get(target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Reply:
    return site.ask(target, *fields, method=method, body=body)


@tables
class PathTests(SynchronousTestCase):
    """Paths and the parameters in them."""

    @each(
        ("/", "index of "),
        ("/math/", "index of /math"),
        ("/hello/Bob", "Hello, Bob"),
        ("/hello/Hans_Roh", "Hello, Hans Roh"),
        ("/hello/a%20b", "Hello, a b"),
        ("/hello/caf%C3%A9", "Hello, caf\xe9"),
        ("/hello/a+b", "Hello, a+b"),
        ("/hello/%3Cb%3E", "Hello, <b>"),
        ("/hello/a.b-c~d", "Hello, a.b-c~d"),
        ("/int/5", "int 5"),
        ("/int/-5", "int -5"),
        ("/int/0", "int 0"),
        ("/int/12345678901234567890", "int 12345678901234567890"),
        ("/float/1.5", "float 1.5"),
        ("/float/-0.25", "float -0.25"),
        ("/float/10.0", "float 10.0"),
        ("/files/a", "'a'"),
        ("/files/a/b/c.txt", "'a/b/c.txt'"),
        ("/files/a_b/c%20d", "'a_b/c d'"),
        ("/download/1/version/1.1/win32", "1 'version/1.1/win32'"),
        ("/from/Rome/to/7", "'Rome' 7"),
        ("/user/me", "me myself"),
        ("/user/you", "user you"),
        ("/user/me/edit", "edit me"),
        ("/one", "many nobody"),
        ("/two", "many nobody"),
        ("/three/Bob", "many Bob"),
        ("/admin/", "top of admin, main True"),
        ("/math/admin/", "top of admin, main True"),
        ("/admin/sub/deep/5", "deep 5 /admin/a_b"),
        ("/math/admin/sub/deep/5", "deep 5 /math/admin/a_b"),
        ("/math/hello/a_b", "Hello, a b"),
        ("/pick/5", "number 5"),
        ("/pick/five", "word five"),
        ("/return", "True"),
    )
    def test_found(self, target: str, text: str) -> None:
        reply = get(target)
        self.assertEqual((reply.status, reply.text), (200, text))

    @each(
        "/nothing", "/hello/a/b", "/hello", "/int/x", "/int/5.5", "/int/5x", "/int/", "/int/--5", "/int/5/6",
        "/float/x",
        "/float/", "/download/x/y", "/from/Rome/to/x", "/from/Rome/to", "/GET", "/math/nothing", "/admin/sub/deep/x",
        "/user/me/other", "/%2e%2e/app.py", "/app.py", "/int/%35%20", "/int/%C2%B2",
    )  # fmt: skip
    def test_not_found(self, target: str) -> None:
        reply = get(target)
        self.assertEqual(reply.status, 404)
        self.assertIn("404", reply.text)
        self.assertIn("GTID-", reply.text)

    @each("/hello/%FF", "/files/%FF%FE", "//hello", "/hello/%00", "/files//a//", "/;", "/hello/" + "a" * 5000, "/%")
    def test_odd(self, target: str) -> None:
        """Whatever comes is answered, and is no fault of the server."""
        self.assertLess(get(target).status, 500)

    def test_no_route_for_long_numbers(self) -> None:
        """A number that Python refuses to read is no fault of the server."""
        self.assertLess(get("/int/" + "9" * 6000).status, 500)


@tables
class MethodTests(SynchronousTestCase):
    """Methods, content types and the slash at the end."""

    @each(
        ("/get", "GET", 200), ("/get", "HEAD", 200), ("/post", "POST", 200), ("/post", "PUT", 200), ("/rest", "GET",
            200),
        ("/rest", "POST", 200), ("/rest", "DELETE", 200), ("/get", "POST", 405), ("/get", "PUT", 405),
        ("/get", "PATCH", 405), ("/get", "DELETE", 405), ("/get", "BREW", 405), ("/post", "GET", 405),
        ("/post", "DELETE", 405), ("/rest", "PUT", 405), ("/admin/only/one", "POST", 405), ("/admin/only/one",
            "DELETE", 200),
    )  # fmt: skip
    def test_methods(self, target: str, method: str, status: int) -> None:
        self.assertEqual(get(target, method=method).status, status)

    @each(
        ("/get", {"GET"}),
        ("/post", {"POST", "PUT"}),
        ("/rest", {"GET", "POST", "DELETE"}),
        ("/admin/only/one", {"DELETE"}),
    )
    def test_allow(self, target: str, methods: set[str]) -> None:
        allowed = {name.strip() for name in get(target, method="PATCH").get("Allow").split(",")}
        self.assertEqual(allowed - {"HEAD", "OPTIONS"}, methods)

    @each(("GET", "read"), ("POST", "write"), ("DELETE", "write"))
    def test_one_rule_several_functions(self, method: str, text: str) -> None:
        self.assertEqual(get("/rest", method=method).text, text)

    @each(
        ("/xml", "text/xml", 200), ("/xml", "text/xml; charset=utf-8", 200), ("/xml", "TEXT/XML", 200),
        ("/xml", "text/plain", 415), ("/xml", "text/xml2", 415), ("/several", "application/json", 200),
        ("/several", "text/csv", 200), ("/several", "text/xml", 415),
    )  # fmt: skip
    def test_content_types(self, target: str, kind: str, status: int) -> None:
        self.assertEqual(get(target, f"Content-Type: {kind}", method="POST", body=b"<a/>").status, status)

    @each(("/dir", "/dir/"), ("/math/dir", "/math/dir/"), ("/dir?q=a%20b", "/dir/?q=a%20b"))
    def test_slash(self, target: str, location: str) -> None:
        reply = get(target)
        self.assertEqual(reply.status, 301)
        parts = urllib.parse.urlsplit(reply.get("Location"))
        self.assertEqual(parts.path + (f"?{parts.query}" if parts.query else ""), location)
        self.assertEqual(get("/dir/?q=a%20b").text, "directory a b")

    @each("//evil.example", "/\\evil.example", "/dir%0d%0aX: y")
    def test_slash_leads_nowhere_else(self, target: str) -> None:
        reply = get(target)
        self.assertFalse(reply.get("Location").startswith(("//", "/\\", "http://evil")), reply.fields)
        self.assertEqual(reply.all("X"), [])

    def test_head(self) -> None:
        with site.connect() as wire:
            reply = wire.ask("/get", method="HEAD")
            self.assertEqual((reply.status, reply.body, reply.get("Content-Length")), (200, b"", "3"))
            self.assertEqual(wire.ask("/get").text, "get")

    def test_routable(self) -> None:
        seen = json.loads(get("/about", "Content-Type: text/plain", method="POST", body=b"x").body)
        self.assertEqual(set(seen["routable"]["methods"]) - {"HEAD"}, {"POST", "OPTIONS", "GET"})
        self.assertEqual(set(seen["routable"]["content_types"]), {"text/xml", "text/plain"})
        self.assertEqual(seen["function"], "about")

    def test_late_registration(self) -> None:
        """Registering after the first request raises."""
        self.assertTrue(get("/late").text.startswith("refused"))
        self.assertEqual(get("/new").status, 404)


@tables
class BuildingTests(SynchronousTestCase):
    """``was.ab``, also known as ``was.app.build_url``."""

    def built(self, expression: str, mount: str = "/math") -> str:
        reply = get(f"{mount}/built?what={urllib.parse.quote(expression)}")
        self.assertEqual(reply.status, 200, reply.text[:300])
        return reply.text

    @each(
        ('was.ab ("add", 10, 40)', "/math/add?num1=10&num2=40"),
        ('was.app.build_url ("add", 10, 40)', "/math/add?num1=10&num2=40"),
        ('was.ab ("add", 10, num2=60)', "/math/add?num1=10&num2=60"),
        ('was.ab ("add", num1=1, num2=60)', "/math/add?num1=1&num2=60"),
        ('was.ab ("hello", "Your Name")', "/math/hello/Your_Name"),
        ('was.ab ("hello", name="Your Name")', "/math/hello/Your_Name"),
        ('was.ab ("hello")', "/math/hello/Hans_Roh"),
        ('was.ab ("integer", 5)', "/math/int/5"),
        ('was.ab ("integer", -5)', "/math/int/-5"),
        ('was.ab ("floating", 1.5)', "/math/float/1.5"),
        ('was.ab ("files", "a/b.txt")', "/math/files/a/b.txt"),
        ('was.ab ("download", 1, "version/1.1/win32")', "/math/download/1/version/1.1/win32"),
        ('was.ab ("between", "Rome", 7)', "/math/from/Rome/to/7"),
        ('was.ab ("me")', "/math/user/me"),
        ('was.ab ("directory")', "/math/dir/"),
        ('was.ab ("directory", "x")', "/math/dir/?q=x"),
        ('was.ab ("greet", "Hans Roh")', "/math/admin/Hans_Roh"),
        ('was.ab ("deep", 5)', "/math/admin/sub/deep/5"),
        ('was.ab ("hello", "caf\\xe9")', "/math/hello/caf%C3%A9"),
        ('was.ab ("hello", "a/b?c#d&e%f")', "/math/hello/a%2Fb%3Fc%23d%26e%25f"),
    )
    def test_urls(self, expression: str, url: str) -> None:
        self.assertEqual(urllib.parse.unquote(self.built(expression)), urllib.parse.unquote(url))

    @each(
        ('was.ab ("add", 10, 40)', "/add?num1=10&num2=40"),
        ('was.ab ("index")', "/"),
        ('was.ab ("greet", "x")', "/admin/x"),
    )
    def test_at_the_root(self, expression: str, url: str) -> None:
        self.assertEqual(self.built(expression, ""), url)

    def test_from_a_saddlery(self) -> None:
        self.assertEqual(get("/admin/Hans_Roh").text, "/?num1=1&num2=2")
        self.assertEqual(get("/math/admin/Hans_Roh").text, "/math/?num1=1&num2=2")

    @each(
        ("a&b=c", "d e"), ("\xe9\u4e2d", "100%"), ("#?/", "+"), ("", '"<>'),
    )  # fmt: skip
    def test_escaping(self, one: str, two: str) -> None:
        url = self.built(f'was.ab ("add", {one!r}, {two!r})')
        self.assertTrue(url.isascii(), url)
        self.assertNotIn(" ", url)
        parts = urllib.parse.urlsplit(url)
        found = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        self.assertEqual((parts.path, found), ("/math/add", {"num1": [one], "num2": [two]}))

    @each("a b", "caf\xe9", "a.b", "100%", "semi;colon", "a+b", "a&b=c", 'quo"te', "#hash", "que?stion")
    def test_round_trip(self, name: str) -> None:
        """What is built for a value gives that value to the view."""
        self.assertEqual(get(self.built(f'was.ab ("hello", {name!r})')).text, f"Hello, {name}")

    def test_defaults(self) -> None:
        """What has a default need not be given."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.built('was.ab ("optional", 1)')).query)
        self.assertEqual(query.pop("a"), ["1"])
        self.assertIn(query, ({}, {"b": ["2"], "c": ["x"]}))

    @each(('was.ab ("no_such")', "no_such"), ('was.ab ("add", 1)', "num2"), ('was.ab ("integer")', "n"))
    def test_errors(self, expression: str, word: str) -> None:
        """An unknown name and a missing argument raise, naming it."""
        text = get(f"/math/fails?what={urllib.parse.quote(expression)}").text
        self.assertNotEqual(text, "nothing raised")
        self.assertIn(word, text)
