"""Saddle: edits of an application, of its packages and of its templates, while it serves."""

from __future__ import annotations

import os
import threading

from tests.functional.blackbox import Wire
from tests.functional.process import Server, ServerTestCase, until

APPLICATION = """\
from skitai.saddle import Saddle
from package import model
from contrib import tool
from mylib import shelf
import helper

app = Saddle (__name__)
app.use_reloader = True
app.debug = True
app.add_package ("mylib", "corplib")
app.config.own = "{word}"

@app.startup
def startup (wasc):
  note ("startup {word}")

@app.onreload
def onreload (wasc):
  note ("onreload {word}")

@app.shutdown
def shutdown (wasc):
  note ("shutdown {word}")

def note (text):
  with open ("notes", "a") as f:
    f.write (text + "\\n")

@app.route ("/")
def index (was):
  return "{word} %s %s %s %s" % (model.NAME, tool.NAME, shelf.NAME, helper.NAME)

@app.route ("/template")
def template (was):
  return was.render ("page.html")

@app.route ("/config")
def config (was):
  return "%s %s" % (was.app.config.own, was.app.config.given)

@app.route ("/{word}")
def named (was):
  return "here"
"""

FIXED = """\
from skitai.saddle import Saddle
app = Saddle (__name__)
@app.route ("/")
def index (was):
  return "{word}"
"""

RUN = """\
import skitai
pref = skitai.pref ()
pref.config.given = "given"
skitai.mount ("/", "app.py", "app", pref)
skitai.mount ("/fixed", "fixed.py")
skitai.run ()
"""


class ReloadTests(ServerTestCase):
    """``use_reloader``."""

    def setUp(self) -> None:
        super().setUp()
        self.stamp = 0.0
        for package in ("package", "contrib", "mylib"):
            self.write(f"{package}/__init__.py", "")
        for name in ("package/model.py", "contrib/tool.py", "mylib/shelf.py", "helper.py"):
            self.edit(name, f"NAME = '{name.partition('/')[0].partition('.')[0]}'")
        self.edit("templates/page.html", "first page")
        self.edit("app.py", APPLICATION.format(word="one"))
        self.edit("fixed.py", FIXED.format(word="one"))
        self.server: Server = self.python(self.write("run.py", RUN))
        self.wire = Wire(self.server.port)
        self.addCleanup(self.wire.close)

    def edit(self, name: str, text: str) -> None:
        """Write a file so that its time differs from any earlier."""
        path = self.write(name, text)
        self.stamp = max(os.stat(path).st_mtime, self.stamp) + 2
        os.utime(path, (self.stamp, self.stamp))

    def comes(self, target: str, text: str) -> None:
        until(lambda: self.wire.ask(target).text == text, f"{text!r} from {target}", 10)

    def test_all_of_it(self) -> None:
        self.comes("/", "one package contrib mylib helper")
        self.assertEqual(self.wire.ask("/one").text, "here")
        # the file itself
        self.edit("app.py", APPLICATION.format(word="two"))
        self.edit("fixed.py", FIXED.format(word="two"))
        self.comes("/", "two package contrib mylib helper")
        self.assertEqual((self.wire.ask("/one").status, self.wire.ask("/two").text), (404, "here"))
        self.assertEqual(self.wire.ask("/config").text, "two given")
        self.assertEqual(self.wire.ask("/fixed/").text, "one")
        self.assertEqual(self.read("notes").split("\n")[:2], ["startup one", "onreload two"])
        # modules of packages
        for name in ("package/model.py", "contrib/tool.py", "mylib/shelf.py"):
            self.edit(name, f"NAME = 'new {name.partition('/')[0]}'")
        self.comes("/", "two new package new contrib new mylib helper")
        # templates
        self.assertEqual(self.wire.ask("/template").text, "first page")
        self.edit("templates/page.html", "second page")
        self.comes("/template", "second page")
        self.assertNotIn("startup two", self.read("notes"))

    def test_broken_edits(self) -> None:
        """The traceback is logged and, with debug, shown; the next good edit counts, whatever it adds."""
        self.comes("/", "one package contrib mylib helper")
        self.edit("app.py", "def broken (: # <b>\n")
        until(lambda: "SyntaxError" in self.wire.ask("/").text, "the traceback in the browser", 10)
        self.assertNotIn("# <b>", self.wire.ask("/").text)
        self.assertIn("SyntaxError", self.server.output)
        added = "\n@app.route ('/added')\ndef added (was):\n  return 'added'\n"
        self.edit("app.py", APPLICATION.format(word="two").replace("app.debug = True", "") + added)
        self.comes("/added", "added")
        # without debug the old code serves on
        self.edit("package/model.py", "NAME = nothing_of_this_name")
        until(
            lambda: (self.wire.ask("/"), "nothing_of_this_name" in self.server.output)[1],
            "the traceback in the log",
            10,
        )
        self.assertEqual(self.wire.ask("/").text, "two package contrib mylib helper")
        self.edit("package/model.py", "NAME = 'mended'")
        self.comes("/", "two mended contrib mylib helper")
        self.assertIsNone(self.server.process.poll())

    def test_no_request_is_lost(self) -> None:
        """Requests that come during a reload are answered, by the old code or by the new."""
        self.comes("/", "one package contrib mylib helper")
        seen: set[str] = set()
        done = threading.Event()

        def ask() -> None:
            with Wire(self.server.port) as wire:
                while not done.is_set():
                    seen.add(wire.ask("/").text)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(2):
                self.edit("app.py", APPLICATION.format(word=f"edit{number}"))
                self.comes("/", f"edit{number} package contrib mylib helper")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        words = {text.partition(" ")[0] for text in seen}
        self.assertLessEqual(words, {"one", "edit0", "edit1"})
        self.assertIn("edit1", words)
