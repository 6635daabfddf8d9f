"""Requests of ``was`` where no request is answered: in hooks, in threads, at import; and what a start refuses."""

from __future__ import annotations

import os
import re

from tests.functional.process import ServerTestCase, until
from tests.functional.test_stop_with_requests import Backend
from tests.was.backends import Authority

APPLICATION = """\
import os, threading
from skitai import was

BACKEND = os.environ["BACKEND"]

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def told(response, name):
    note(f"{name} {response.status_code} {threading.current_thread() is threading.main_thread()}")

def alone():
    response = was.get(BACKEND + "/slow").getwait(9)
    note(f"thread {response.status_code} {response.headers.get('content-length')}")

class App:
    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [was.status().encode()]

    def skitai_startup(self, wasc):
        wasc.get(BACKEND + "/slow", callback=(told, ("wasc",)))
        was.get("@self/slow", callback=(told, ("was",)))
        threading.Thread(target=alone).start()
        try:
            wasc.get(BACKEND + "/slow").getwait()
        except RuntimeError as error:
            note(f"refused {error}")
        try:
            was.gtxnid
        except RuntimeError as error:
            note(f"refused {error}")

    def skitai_shutdown(self, wasc):
        wasc.get(BACKEND + "/slow", callback=(told, ("shutdown",)))

app = App()

try:
    was.get(BACKEND)
except RuntimeError as error:
    note(f"import {error}")

import skitai
skitai.alias("@self", "http", BACKEND[7:])
skitai.mount("/", app)
skitai.run()
"""


class OutsideTests(ServerTestCase):
    """Both ways to run."""

    def setUp(self) -> None:
        super().setUp()
        self.backend = Backend()
        self.backend.go.set()
        self.addCleanup(self.backend.stop)
        self.environment = {"BACKEND": f"http://127.0.0.1:{self.backend.port}"}

    def notes(self) -> list[str]:
        return sorted(self.read("notes").splitlines())

    def test_hooks_and_threads(self) -> None:
        app = self.write("app.py", APPLICATION)
        for start in (self.python, self.twistd):
            server = start(app, environment=self.environment)
            expected = [
                "import was.get() needs a server that runs",
                "refused the reactor thread must not wait",
                "refused was.gtxnid needs a request",
                "thread 200 2",
                "was 200 False",
                "wasc 200 False",
            ]
            self.assertTrue(server.port)
            until(lambda: len(self.notes()) == 6, f"six notes: {self.notes()}")
            for line, beginning in zip(self.notes(), expected, strict=True):
                self.assertTrue(line.startswith(beginning), line)
            page = self.get(server, "/").body.decode()
            place = f"127.0.0.1:{self.backend.port}"
            self.assertRegex(
                page, f"<td>@self</td><td>http</td><td>{re.escape(place)}</td><td>1</td><td>0</td><td>up</td>"
            )
            self.assertRegex(page, f"<td>http://{re.escape(place)}</td><td>[1-4]</td>")
            self.assertEqual(server.stop(), 0)
            self.assertNotIn("Traceback", server.output)
            os.unlink(os.path.join(self.directory, "notes"))

    def test_with_the_reactor_thread_alone(self) -> None:
        """The callbacks of threads=0 run in the reactor's thread, which is the main one."""
        server = self.python(self.write("app.py", APPLICATION), "--threads", "0", environment=self.environment)
        self.assertTrue(server.port)
        until(lambda: "wasc 200 True" in self.notes() and "was 200 True" in self.notes(), "callbacks")
        self.assertEqual(server.stop(), 0)


REFUSED = """\
import skitai

def app(environ, start_response): ...

skitai.alias("@a", "https", "localhost", cafile={cafile!r})
skitai.mount("/", app)
skitai.run()
"""


class AuthoritiesTests(ServerTestCase):
    """What ``cafile`` of an alias names is looked at when the server starts."""

    def test_what_can_not_be_used(self) -> None:
        self.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for cafile, words in (
            ("none.pem", "there is none at"),
            ("garbage.pem", "can not be read"),
            (5, "must be the path"),
        ):
            server = self.python(self.write("app.py", REFUSED.format(cafile=cafile)))
            self.assertEqual(server.wait(), 2)
            lines = server.output.splitlines()
            self.assertEqual(len(lines), 1, server.output)
            self.assertIn("alias '@a'", lines[0])
            self.assertIn(words, lines[0])

    def test_a_good_one(self) -> None:
        cafile = Authority(os.path.join(self.directory, "authority")).cafile
        server = self.python(self.write("app.py", REFUSED.format(cafile=os.path.relpath(cafile, self.directory))))
        self.assertTrue(server.port)
        self.assertEqual(server.stop(), 0)

    def test_an_alias_of_a_database_is_refused(self) -> None:
        text = REFUSED.replace(", cafile={cafile!r}", "").replace('"https"', '"postgresql"')
        server = self.python(self.write("app.py", text))
        self.assertEqual(server.wait(), 2)
        self.assertIn("alias '@a' of postgresql is not available yet", server.output)
