"""``use_reloader`` and ``debug`` of applications, while a developer edits them."""

from __future__ import annotations

import html
import os
import sys

from tests.functional.blackbox import Wire
from tests.functional.process import Server, ServerTestCase, until

APPLICATION = """\
import helper

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["{word} " + helper.WORD]

app.use_reloader = {reload}
app.debug = {debug}
"""

SERVICE = """\
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["{word}"]

app.use_reloader = True
app.debug = True

if __name__ == "__main__":
    with open("runs", "a") as file:
        file.write("run ")
    pref = skitai.pref()
    pref.config.given = "by pref"
    pref.debug = False
    skitai.mount("/", app)
    skitai.mount("/file", __file__, "app")
    skitai.mount("/own", "own/app.py")
    skitai.mount("/fixed", "fixed/app.py")
    skitai.mount("/quiet", "quiet/app.py")
    skitai.mount("/pref", "pref/app.py", "app", pref)
    skitai.run()
"""

PREF = """\
class App:
    use_reloader = debug = True
    def __init__(self):
        self.config = dict(own="{word}")
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [str(sorted(self.config.items())), str(self.debug)]
app = App()
"""


class ReloadTests(ServerTestCase):
    """Edits count from the next request."""

    def setUp(self) -> None:
        super().setUp()
        self.stamp = 0.0

    def edit(self, name: str, text: str) -> None:
        """Write a file so that its time differs from any earlier."""
        path = self.write(name, text)
        self.stamp = max(os.stat(path).st_mtime, self.stamp) + 2
        os.utime(path, (self.stamp, self.stamp))

    def application(self, name: str, word: str, reload: bool = True, debug: bool = True) -> None:
        self.edit(f"{name}/app.py", APPLICATION.format(word=word, reload=reload, debug=debug))

    def serve(self) -> tuple[Server, Wire]:
        for name in ("own", "fixed", "quiet"):
            self.write(f"{name}/helper.py", f"WORD = 'helper of {name}'")
        self.application("own", "one")
        self.application("fixed", "one", reload=False)
        self.application("quiet", "one", debug=False)
        self.edit("pref/app.py", PREF.format(word="one"))
        self.edit("app.py", SERVICE.format(word="one"))
        server = self.start(sys.executable, os.path.join(self.directory, "app.py"), "--port", "0")
        wire = Wire(server.port)
        self.addCleanup(wire.close)
        return server, wire

    def comes(self, wire: Wire, target: str, text: str) -> None:
        until(lambda: wire.ask(target).text == text, f"{text!r} from {target}", 10)

    def test_everything_an_edit_can_be(self) -> None:
        server, wire = self.serve()
        self.assertEqual(wire.ask("/own/").text, "one helper of own")
        self.assertEqual(wire.ask("/fixed/").text, "one helper of fixed")
        self.assertEqual(wire.ask("/pref/").text, "[('given', 'by pref'), ('own', 'one')]False")
        self.assertEqual([wire.ask(path).text for path in ("/", "/file/")], ["one", "one"])

        # good edits, of the file and of what it imports
        self.application("own", "two")
        self.application("fixed", "two", reload=False)
        self.edit("pref/app.py", PREF.format(word="two"))
        self.edit("app.py", SERVICE.format(word="two"))
        self.comes(wire, "/own/", "two helper of own")
        self.comes(wire, "/", "two")
        self.comes(wire, "/file/", "two")
        self.comes(wire, "/pref/", "[('given', 'by pref'), ('own', 'two')]False")
        self.assertEqual(wire.ask("/fixed/").text, "one helper of fixed")
        self.assertEqual(self.read("runs"), "run ")
        self.edit("own/helper.py", "WORD = 'new helper'")
        self.comes(wire, "/own/", "two new helper")

        # broken ones
        self.edit("own/app.py", "def app(:  # <b>broken</b>\n")
        self.edit("quiet/app.py", "import nothing_of_this_name\n")
        until(lambda: "SyntaxError" in wire.ask("/own/").text, "the traceback in the browser", 10)
        page = wire.ask("/own/")
        self.assertGreaterEqual(page.status, 500)
        self.assertNotIn("<b>broken", page.text)
        self.assertIn("<b>broken", html.unescape(page.text))
        self.assertIn("SyntaxError", server.output)
        until(lambda: wire.ask("/quiet/") and "nothing_of_this_name" in server.output, "the traceback in the log", 10)
        self.assertNotIn("nothing_of_this_name", wire.ask("/quiet/").text)
        self.assertEqual(wire.ask("/fixed/").text, "one helper of fixed")

        # and the next good ones
        self.application("own", "three")
        self.application("quiet", "three", debug=False)
        self.comes(wire, "/own/", "three new helper")
        self.comes(wire, "/quiet/", "three helper of quiet")
        self.assertEqual(server.stop(), 0)

    def test_a_main_program_that_breaks_recovers(self) -> None:
        server, wire = self.serve()
        self.edit("app.py", SERVICE.format(word="two").replace("def app(", "def app(,"))
        until(lambda: "SyntaxError" in wire.ask("/").text, "the traceback in the browser", 10)
        self.edit("app.py", SERVICE.format(word="three"))
        self.comes(wire, "/", "three")
        self.assertIsNone(server.process.poll())
