"""Every step of the tutorial's guest book does what ``docs/tutorial-guestbook.rst`` says.

Each test works on a copy of the step, so that its files are left as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Client, Response
from tests.functional.process import PATIENCE, ROOT, Server

GUESTBOOK = ROOT / "examples" / "guestbook"
DOCS = ROOT / "docs"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PASSWORD = "open sesame"


def token_in(page: str) -> str:
    """Return the token that the forms of a page hold."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


class StepTestCase(SynchronousTestCase):
    """One step, in a directory of its own.

    Attributes:
        step: Name of its directory.
    """

    step = ""

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "GUESTBOOK_PASSWORD": PASSWORD, "GUESTBOOK_KEY": "k" * 64})
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        shutil.copytree(GUESTBOOK / self.step, self.directory, dirs_exist_ok=True)
        self.client = Client([("/", str(self.directory / "static")), ("/", str(self.directory / "app.py"))])
        self.addCleanup(self.client.close)

    def page(self, path: str, status: int = 200) -> str:
        """GET a page; return its text."""
        response = self.client.get(path)
        self.assertEqual(response.status, status, response.text)
        return response.text

    def submit(self, page: str, path: str, data: dict[str, Any] | None = None, **more: Any) -> Response:
        """Send the form of a page, as a browser does."""
        fields = {**(data or {}), "csrf_token": token_in(self.page(page))}
        return self.client.post(path, fields, follow_redirects=True, **more)


class RoutesAndTemplatesTests(StepTestCase):
    step = "step1"

    def test_values_are_escaped(self) -> None:
        page = self.page("/")
        self.assertIn("May I write in &lt;b&gt;bold&lt;/b&gt;?", page)
        self.assertNotIn("<b>", page)

    def test_a_space_is_an_underscore_in_a_path(self) -> None:
        self.assertIn('href="/by/Ann_Lee"', self.page("/"))
        page = self.page("/by/Ann_Lee")
        self.assertIn("What a nice place!", page)
        self.assertNotIn("Bob", page)

    def test_nobody_and_nothing(self) -> None:
        self.page("/by/Nobody", 404)
        self.page("/nothing", 404)

    def test_files_come_first(self) -> None:
        self.assertIn('href="/style.css"', self.page("/"))
        self.assertEqual(self.client.get("/style.css").headers["Content-Type"].partition(";")[0], "text/css")


class FormTests(StepTestCase):
    step = "step2"

    def test_sign(self) -> None:
        self.assertIn("Nobody has written anything yet.", self.page("/"))
        response = self.client.post("/", {"name": " Ann ", "message": "<i>Hello</i>"})
        self.assertEqual((response.status, response.headers["Location"]), (303, "/"))
        page = self.page("/")
        self.assertIn("&lt;i&gt;Hello&lt;/i&gt;", page)
        self.assertIn('<a href="/by/Ann">Ann</a>', page)

    def test_entries_stay(self) -> None:
        self.client.post("/", {"name": "Ann", "message": "Hello"})
        with Client(str(self.directory / "app.py")) as another:
            self.assertIn("Hello", another.get("/").text)
        self.assertTrue((self.directory / "resources" / "guestbook.db").exists())

    def test_fields_that_do_not_fit(self) -> None:
        for data, named in ({"name": "Ann"}, "message"), ({"name": "Ann", "message": "Hi", "age": "7"}, "age"):
            response = self.client.post("/", data)
            self.assertEqual(response.status, 400)
            self.assertIn(named, response.text)

    def test_empty_field(self) -> None:
        response = self.client.post("/", {"name": "Ann", "message": " "})
        self.assertEqual(response.status, 422)
        self.assertIn("Please fill in both fields.", response.text)

    def test_field_that_is_sent_twice(self) -> None:
        self.assertEqual(self.client.post("/", {"name": ["a", "b"], "message": "Hi"}).status, 303)


class SessionTests(StepTestCase):
    step = "step3"

    def test_thanks_are_shown_once(self) -> None:
        page = self.submit("/", "/", {"name": "Ann", "message": "Hello"}).text
        self.assertIn('<p class="thanks">Thank you, Ann!</p>', page)
        self.assertNotIn("Thank you", self.page("/"))

    def test_complaint_is_shown_at_once(self) -> None:
        response = self.submit("/", "/", {"name": "Ann", "message": " "})
        self.assertEqual(response.status, 422)
        self.assertIn('<p class="error">Please fill in both fields.</p>', response.text)
        self.assertNotIn("Please fill in", self.page("/"))

    def test_name_is_remembered_for_an_hour(self) -> None:
        signed = self.submit("/", "/", {"name": 'Ann "A." Lee', "message": "Hello"}).history[0]
        self.assertTrue(any("Max-Age=3600" in cookie for cookie in signed.headers.get_all("Set-Cookie")))
        self.assertIn('value="Ann &#34;A.&#34; Lee"', self.page("/"))
        self.client.cookies.clear()
        self.assertIn('value=""', self.page("/"))

    def test_token(self) -> None:
        self.assertEqual(self.client.post("/", {"name": "Ann", "message": "Hello"}).status, 403)
        self.assertNotIn("Hello", self.page("/"))


class PictureTests(StepTestCase):
    step = "step4"
    entry = {"name": "Ann", "message": "Look"}

    def test_picture_is_shown(self) -> None:
        page = self.submit("/", "/", self.entry, files={"picture": ("../../a.html", PNG, "text/html")}).text
        self.assertIn('<img src="/picture/1"', page)
        response = self.client.get("/picture/1")
        self.assertEqual((response.status, response.body), (200, PNG))
        self.assertEqual(response.headers["Content-Type"], "image/png")
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(os.listdir(self.directory / "resources" / "pictures"), ["1"])

    def test_entry_without_a_picture(self) -> None:
        self.assertNotIn("<img", self.submit("/", "/", self.entry, files={"picture": ("", b"")}).text)
        self.page("/picture/1", 404)
        self.page("/picture/2", 404)
        self.page(f"/picture/{10**30}", 404)

    def test_what_is_no_picture(self) -> None:
        response = self.submit("/", "/", self.entry, files={"picture": ("a.png", b"<script>", "image/png")})
        self.assertEqual(response.status, 422)
        self.assertIn("must be a PNG, JPEG or GIF", response.text)

    def test_too_large(self) -> None:
        self.assertEqual(
            self.submit("/", "/", self.entry, files={"picture": ("a.png", PNG + bytes(2_000_000))}).status, 413
        )


class AdministratorTests(StepTestCase):
    step = "step5"

    def sign_in(self, password: str = PASSWORD) -> Response:
        return self.submit("/admin/login", "/admin/login", {"password": password})

    def test_strangers_are_sent_to_sign_in(self) -> None:
        response = self.client.get("/admin/")
        self.assertEqual((response.status, response.headers["Location"]), (303, "/admin/login"))
        token = token_in(self.page("/"))
        response = self.client.post("/admin/delete/1", {"csrf_token": token})
        self.assertEqual((response.status, response.headers["Location"]), (303, "/admin/login"))

    def test_wrong_password(self) -> None:
        self.assertIn("That is not the password.", self.sign_in("guess").text)
        self.assertEqual(self.client.get("/admin/").status, 303)

    def test_delete(self) -> None:
        files = {"picture": ("a.png", PNG)}
        self.submit("/", "/", {"name": "Bob", "message": "Buy this"}, files=files)
        page = self.sign_in()
        self.assertEqual((page.status, page.url), (200, "http://localhost/admin/"))
        self.assertIn("Buy this", page.text)
        self.assertIn("The entry of Bob is gone.", self.submit("/admin/", "/admin/delete/1").text)
        self.assertNotIn("Buy this", self.page("/"))
        self.assertEqual(os.listdir(self.directory / "resources" / "pictures"), [])

    def test_sign_out(self) -> None:
        self.sign_in()
        self.assertEqual(self.submit("/admin/", "/admin/logout").url, "http://localhost/")
        self.assertEqual(self.client.get("/admin/").status, 303)

    def test_export_asks_for_a_digest(self) -> None:
        response = self.client.get("/export")
        self.assertEqual(response.status, 401)
        self.assertTrue(response.headers["WWW-Authenticate"].startswith('Digest realm="Guest book"'))
        self.assertEqual(self.client.get("/export", auth=("admin", "guess")).status, 401)
        self.assertEqual(self.client.get("/export", auth=("admin", PASSWORD)).json(), {"entries": [], "for": "admin"})

    def test_nobody_without_the_variable(self) -> None:
        self.patch(os, "environ", {**os.environ, "GUESTBOOK_PASSWORD": ""})
        with Client(str(self.directory / "app.py")) as self.client:
            self.assertIn("That is not the password.", self.sign_in("").text)
            self.assertEqual(self.client.get("/export", auth=("admin", "")).status, 401)


class InterfaceTests(StepTestCase):
    step = "step6"

    def test_write_and_read(self) -> None:
        response = self.client.post("/api/entries", json={"name": "Ann", "message": "Hello"})
        self.assertEqual((response.status, response.headers["Location"]), (201, "/api/entries/1"))
        self.assertEqual(self.client.get("/api/entries/1").json()["message"], "Hello")
        self.assertEqual([entry["name"] for entry in self.client.get("/api/entries?by=Ann").json()["entries"]], ["Ann"])
        self.assertEqual(self.client.get("/api/entries?by=Bob").json(), {"entries": []})
        self.assertEqual(self.client.get("/api/entries/2").status, 404)

    def test_who_may_read_and_who_may_not_write(self) -> None:
        origin = {"Origin": "https://elsewhere.example"}
        self.assertEqual(self.client.get("/api/entries", origin).headers["Access-Control-Allow-Origin"], "*")
        asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        self.assertNotIn("Access-Control-Allow-Headers", self.client.options("/api/entries", asked).headers)

    def test_bad_bodies(self) -> None:
        self.assertEqual(self.client.post("/api/entries", {"name": "Ann", "message": "Hello"}).status, 415)
        self.assertEqual(self.client.post("/api/entries", b"{", {"Content-Type": "application/json"}).status, 400)
        self.assertEqual(self.client.post("/api/entries", json={"name": "Ann", "message": 7}).status, 422)


class WholeProgramTests(SynchronousTestCase):
    """The last step as a user has it: its own tests, and a process that serves."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        shutil.copytree(GUESTBOOK / "step6", self.directory, dirs_exist_ok=True)

    def test_its_tests_pass(self) -> None:
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "unittest"]
        ended = subprocess.run(command, cwd=self.directory, env=variables, capture_output=True, text=True, check=False)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("Ran 7 tests", ended.stderr)
        self.assertFalse((self.directory / "resources").exists(), "tests must leave the guest book alone")

    def test_serves(self) -> None:
        command = [sys.executable, str(self.directory / "app.py"), "--port", "0"]
        server = Server(command, "/", {"GUESTBOOK_PASSWORD": PASSWORD})
        self.addCleanup(server.end)
        url = f"http://127.0.0.1:{server.port}"
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

        def ask(path: str, **fields: str) -> str:
            data = urlencode(fields).encode() if fields else None
            with browser.open(url + path, data, PATIENCE) as response:
                text: str = response.read().decode()
                return text

        fields = {"name": "Ann", "message": "Hello", "csrf_token": token_in(ask("/"))}
        self.assertIn("Thank you, Ann!", ask("/", **fields))
        self.assertIn('"message": "Hello"', ask("/api/entries"))
        self.assertIn("margin", ask("/style.css"))
        token = token_in(ask("/admin/login"))
        self.assertIn("Delete", ask("/admin/login", password=PASSWORD, csrf_token=token))
        self.assertIn("Hello", ask("/admin/logout", csrf_token=token))
        self.assertEqual(server.stop(), 0)


class CompletenessTests(SynchronousTestCase):
    def test_every_step_is_tested(self) -> None:
        steps = {path.name for path in GUESTBOOK.iterdir() if path.is_dir()}
        self.assertEqual(steps, {case.step for case in StepTestCase.__subclasses__()})

    def test_every_step_is_in_the_text(self) -> None:
        text = (DOCS / "tutorial-guestbook.rst").read_text("utf-8")
        for case in StepTestCase.__subclasses__():
            self.assertIn(f"guestbook/{case.step}/app.py", text)

    def test_code_in_the_text_compiles(self) -> None:
        """What stands in the pages themselves, and not in a file that is run, is Python at least."""
        count = 0
        for name in ("howto/saddle.rst", "howto/flask.rst"):
            text = (DOCS / name).read_text("utf-8")
            for block in re.findall(r"^( *)\.\. code-block:: python\n((?:\1    .*\n|\n)+)", text, re.MULTILINE):
                lines = [line[len(block[0]) + 4 :] for line in block[1].splitlines()]
                code = "\n".join(lines).replace('@app.route("/pay", csrf=True)', "pass")
                compile("def page():\n" + "".join(f" {line}\n" for line in code.splitlines()), name, "exec")
                count += 1
        self.assertGreater(count, 10)
