"""Saddle: decorators in their order, nested for Saddleries; ``was.g``; startup, shutdown and ``wasc``; preferences."""

from __future__ import annotations

import json
import os

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Shared
from tests.functional.process import ServerTestCase, until
from tests.functional.saddlebox import each, tables

HOOKS = """\
def hooks (part, name, log):
  @part.before_request
  def before (was):
    log (was, name + ".before")
    if "before" in was.request.args:
      if was.request.args ["before"] == name:
        return "stopped by " + name
      if was.request.args ["before"] == name + " raises":
        raise KeyError ("before of " + name)

  @part.finish_request
  def finish (was):
    log (was, name + ".finish")

  @part.failed_request
  def failed (was, exc_info):
    assert isinstance (exc_info, tuple) and len (exc_info) == 3 and issubclass (exc_info [0], Exception), exc_info
    log (was, name + ".failed")
    if was.request.args.get ("answers") == name:
      return was.response ("501 Server Error", "answered by " + name)

  @part.teardown_request
  def teardown (was):
    log (was, name + ".teardown")

  return before, finish, failed, teardown
"""

APP = """\
import json
from hooks import hooks
import outer
from skitai.saddle import Saddle

lines = []

def log (was, text):
  lines.append (text)

outer.setup (log)
app = Saddle (__name__)
app.mount ("/outer", outer, "part")
made = hooks (app, "app", log)

@app.before_request
def second (was):
  log (was, "app.second")

@app.finish_request
def second_finish (was):
  log (was, "app.second_finish")

@app.teardown_request
def second_teardown (was):
  log (was, "app.second_teardown")

@app.route ("/view")
def view (was, **args):
  log (was, "view")
  return "content"

@app.route ("/fails")
def fails (was, **args):
  log (was, "view")
  raise ValueError ("failed")

@app.route ("/takes")
def takes (was, number):
  log (was, "view")
  return "taken"
"""

OUTER = """\
from hooks import hooks
import inner
from skitai.saddle import Saddlery
part = Saddlery ()
part.mount ("/inner", inner, "part")

def setup (log):
  inner.setup (log)
  hooks (part, "outer", log)

  @part.route ("/view")
  def outer_view (was, **args):
    log (was, "view")
    return "content"

  @part.route ("/fails")
  def outer_fails (was, **args):
    log (was, "view")
    raise ValueError ("failed")
"""

INNER = """\
from hooks import hooks
from skitai.saddle import Saddlery
part = Saddlery ()

def setup (log):
  hooks (part, "inner", log)

  @part.route ("/view")
  def inner_view (was, **args):
    log (was, "view")
    return "content"
"""

MAIN = """\
import json
import observed as module
from skitai.saddle import Saddle

reader = Saddle (__name__)

@reader.route ("/lines")
def lines (was):
  taken, module.lines [:] = list (module.lines), []
  return json.dumps (taken)

@reader.route ("/made")
def made (was):
  return json.dumps ([[callable (one), one.__name__] for one in module.made])

other = Saddle (__name__)

@other.route ("/set/<value>")
def set_ (was, value):
  before = hasattr (was.g, "value")
  was.g.value = value
  return json.dumps ([before, was.g.value])

@other.route ("/get")
def get (was):
  return json.dumps (hasattr (was.g, "value"))

@other.teardown_request
def teardown (was):
  if was.request.args.get ("value") == "raise":
    raise ValueError ("raised in teardown")

if __name__ == "__main__":
  import skitai
  skitai.run (mount = {"/": module.app, "/reader": reader, "/other": other})
"""

site = Shared({"app.py": MAIN, "observed.py": APP, "hooks.py": HOOKS, "outer.py": OUTER, "inner.py": INNER})

BEFORE, AFTER = ["app.before", "app.second"], ["app.finish", "app.second_finish"]
END = ["app.teardown", "app.second_teardown"]


@tables
class OrderTests(SynchronousTestCase):
    """Method decorators."""

    def lines(self, target: str) -> tuple[int, str, list[str]]:
        site.ask("/reader/lines")
        reply = site.ask(target)
        return reply.status, reply.text, json.loads(site.ask("/reader/lines").body)

    def check(self, target: str, status: int, text: str, lines: list[str]) -> None:
        found = self.lines(target)
        self.assertEqual((found[0], found[2]), (status, lines))
        if text:
            self.assertEqual(found[1], text)

    def test_view(self) -> None:
        """Several of a kind run in the order of their registration."""
        self.check("/view", 200, "content", [*BEFORE, "view", *AFTER, *END])

    def test_before_that_answers(self) -> None:
        """The view and ``finish_request`` are skipped, teardown is not."""
        self.check("/view?before=app", 200, "stopped by app", ["app.before", *END])

    def test_failure(self) -> None:
        self.check("/fails", 500, "", [*BEFORE, "view", "app.failed", *END])

    def test_failure_that_is_answered(self) -> None:
        self.check("/fails?answers=app", 501, "answered by app", [*BEFORE, "view", "app.failed", *END])

    def test_before_that_fails(self) -> None:
        self.check("/view?before=app%20raises", 500, "", ["app.before", "app.failed", *END])
        self.check("/view?before=app%20raises&answers=app", 501, "answered by app", ["app.before", "app.failed", *END])

    def test_nested(self) -> None:
        self.check("/outer/view", 200, "content",
            [*BEFORE, "outer.before", "view", "outer.finish", "outer.teardown", *AFTER, *END])  # fmt: skip

    def test_nested_twice(self) -> None:
        self.check("/outer/inner/view", 200, "content",
            [*BEFORE, "outer.before", "inner.before", "view", "inner.finish", "inner.teardown", "outer.finish",
                "outer.teardown",
             *AFTER, *END])  # fmt: skip

    def test_nested_failure(self) -> None:
        self.check("/outer/fails", 500, "",
            [*BEFORE, "outer.before", "view", "outer.failed", "outer.teardown", "app.failed", *END])  # fmt: skip

    def test_nested_failure_that_the_saddlery_answers(self) -> None:
        """For the application all went well."""
        self.check("/outer/fails?answers=outer", 501, "answered by outer",
            [*BEFORE, "outer.before", "view", "outer.failed", "outer.teardown", *AFTER, *END])  # fmt: skip

    def test_nested_failure_that_the_application_answers(self) -> None:
        self.check("/outer/fails?answers=app", 501, "answered by app",
            [*BEFORE, "outer.before", "view", "outer.failed", "outer.teardown", "app.failed", *END])  # fmt: skip

    def test_nested_before_that_answers(self) -> None:
        status, text, lines = self.lines("/outer/view?before=outer")
        self.assertEqual((status, text), (200, "stopped by outer"))
        self.assertNotIn("view", lines)
        self.assertNotIn("outer.finish", lines)
        self.assertEqual(lines[:3] + lines[-2:], [*BEFORE, "outer.before", *END])
        self.assertIn("outer.teardown", lines)

    def test_outer_before_that_answers(self) -> None:
        """What lies inside is not begun, so it need not be torn down."""
        status, text, lines = self.lines("/outer/view?before=app")
        self.assertEqual((status, text), (200, "stopped by app"))
        self.assertEqual(lines, ["app.before", *END])

    def test_missing_argument(self) -> None:
        """It is 400 whatever the decorators do; teardown follows each before."""
        status, _, lines = self.lines("/takes")
        self.assertEqual(status, 400)
        self.assertNotIn("view", lines)
        self.assertEqual("app.before" in lines, "app.teardown" in lines)

    def test_they_return_the_function(self) -> None:
        names = json.loads(site.ask("/reader/made").body)
        self.assertEqual(names, [[True, name] for name in ("before", "finish", "failed", "teardown")])

    def test_g(self) -> None:
        """``was.g`` is new for each request."""
        for value in ("a", "b"):
            self.assertEqual(json.loads(site.ask(f"/other/set/{value}").body), [False, value])
            self.assertIs(json.loads(site.ask("/other/get").body), False)

    def test_teardown_that_fails(self) -> None:
        """It is logged; the server lives on."""
        self.assertIn(site.ask("/other/set/raise").status, (200, 500))
        until(lambda: "raised in teardown" in site.server.output, "the traceback in the log")
        self.assertEqual(site.ask("/other/get").status, 200)


LIFE = """\
import json
import skitai
from . import parted
from skitai.saddle import Saddle

def write (text):
  with open (skitai.joinpath ("life.txt"), "a") as f:
    f.write (text + "\\n")

class Engine:
  def __init__ (self, logger = None):
    self.logger, self.count = logger, 0
  def get_user_info (self):
    self.count += 1
    return "user %d" % self.count
  def close (self):
    write ("closed")

app = Saddle (__name__)
app.mount ("/part", parted, "part")
part = parted.part
app.config.own = "app"

@part.startup
def part_startup (wasc):
  wasc.register ("ofpart", Engine ())

@part.shutdown
def part_shutdown (wasc):
  write ("part shut down")

@part.route ("/")
def of_part (was):
  return "%s %s" % (was.ofpart.get_user_info (), was.app is app)
app.config.both = "app"

@app.startup
def startup (wasc):
  logger = wasc.logger.get ("app")
  logger ("started", "info")
  login = wasc.logger.make_logger ("login", "daily")
  login ("a login", "info")
  config = wasc.config
  wasc.register ("loginengine", Engine (login))
  wasc.register ("searcher", Engine (logger))
  write ("startup %r %s %s" % (isinstance (wasc.numthreads, int), app.config.own, app.config.both))

@app.onreload
def onreload (wasc):
  write ("onreload")

@app.shutdown
def shutdown (wasc):
  write ("shutdown")
  wasc.searcher.close ()
  wasc.unregister ("loginengine")
  wasc.unregister ("searcher")
  write ("still there" if hasattr (wasc, "searcher") else "gone")

@app.route ("/")
def index (was):
  return was.loginengine.get_user_info ()

@app.route ("/config")
def config (was):
  return json.dumps ([was.app.config.own, was.app.config.both, was.app.debug, was.app.config.get ("made")])

@app.route ("/refused")
def refused (was):
  try:
    was.nothing_of_this_name
  except AttributeError as error:
    return str (error)
"""

BOOTSTRAP = """\
def bootstrap (pref):
  pref.config.made = "by bootstrap"
"""

OTHER = """\
from skitai.saddle import Saddle
app = Saddle (__name__)

@app.route ("/")
def index (was):
  return was.loginengine.get_user_info () + " " + was.searcher.get_user_info ()

@app.route ("/register")
def register (was, name):
  return "ok"

@app.startup
def startup (wasc):
  for name in ("request", "get", "app", "render"):
    try:
      wasc.register (name, object ())
    except Exception as error:
      pass
    else:
      raise AssertionError (name + " was registered")
"""

RUN_LIFE = """\
import skitai
pref = skitai.pref ()
pref.debug = True
pref.config.both = "pref"
skitai.mount ("/", "life/app.py", "app", pref)
skitai.mount ("/other", "other.py", "app")
skitai.run ()
"""


class LifeTests(ServerTestCase):
    """Application decorators, ``wasc`` and preferences."""

    def test_life(self) -> None:
        self.write("life/app.py", LIFE)
        self.write("life/__init__.py", BOOTSTRAP)
        self.write("life/parted.py", "from skitai.saddle import Saddlery\npart = Saddlery ()\n")
        self.write("other.py", OTHER)
        server = self.python(self.write("run.py", RUN_LIFE))
        until(lambda: server.port and os.path.exists(os.path.join(self.directory, "life.txt")), "startup")
        self.assertEqual(self.read("life.txt"), "startup True app pref\n")
        self.assertEqual(self.text(server, "/config"), json.dumps(["app", "pref", True, "by bootstrap"]))
        # what one application registers all have
        self.assertEqual(
            [self.text(server, path) for path in ("/", "/other/", "/")], ["user 1", "user 2 user 1", "user 3"]
        )
        self.assertIn("nothing_of_this_name", self.text(server, "/refused"))
        self.assertEqual(self.text(server, "/part/"), "user 1 True")
        self.assertIn("started", server.output)
        self.assertIn("a login", server.output)
        self.assertNotIn("was registered", server.output)
        self.assertEqual(server.stop(), 0)
        lines = self.read("life.txt").split()
        self.assertEqual(sorted(lines[4:]), ["closed", "down", "gone", "part", "shut", "shutdown"])
        self.assertLess(lines.index("shutdown"), lines.index("closed"))

    def text(self, server: object, target: str) -> str:
        response = self.get(server, target)  # type: ignore[arg-type]
        self.assertEqual(response.status, 200, response.body[:500])
        body = response.body
        if "chunked" in (response.field("Transfer-Encoding") or ""):
            body = body.split(b"\r\n")[1]
        return body.decode()


LATE = """\
from skitai.saddle import Saddle

def make (decorator):
  app = Saddle (__name__)
  @app.route ("/")
  def view (was):
    try:
      @eval ("app." + decorator)
      def late (was):
        return "late"
    except Exception as error:
      return "refused"
    return "taken"
  return app

import skitai
skitai.run (mount = {"/" + name.split (" ") [0]: make (name) for name in
  ("route ('/new')", "before_request", "startup", "teardown_request", "failed_request")})
"""
late = Shared({"app.py": LATE})


@tables
class LateTests(SynchronousTestCase):
    """Registering after the first request raises."""

    @each("route", "before_request", "startup", "teardown_request", "failed_request")
    def test_registration(self, decorator: str) -> None:
        late.ask(f"/{decorator}/")
        self.assertEqual(late.ask(f"/{decorator}/").text, "refused")
