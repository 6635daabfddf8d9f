"""Every program in ``examples/`` runs as it stands, and so does the demonstration."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import xmlrpc.client
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from skitai.demo import timeline
from tests.functional.process import PATIENCE, ROOT, Server, until

EXAMPLES = ROOT / "examples"


class Answer:
    """A response, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.text = self.body.decode("utf-8", "replace")


class ExampleTestCase(SynchronousTestCase):
    """Runs one program and asks it.

    Attributes:
        program: What follows "python" on the command line, in the root of the repository.
    """

    program: tuple[str, ...] = ()

    def setUp(self) -> None:
        if self.program:
            self.start(*self.program)

    def start(self, *arguments: str, directory: str = str(ROOT)) -> None:
        """Start a program at a free port."""
        self.server = Server([sys.executable, *arguments, "--port", "0"], directory)
        self.addCleanup(self.server.end)

    def connect(self) -> http.client.HTTPConnection:
        """Make a connection; the standard library's client gives a second opinion on what is HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = self.connect()
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())

    def get(self, path: str, **headers: str) -> Answer:
        """GET ``path``; "_" in the names of header fields stands for "-"."""
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def assert_answer(self, path: str, text: str, status: int = 200, **headers: str) -> None:
        answer = self.get(path, **headers)
        self.assertEqual((answer.status, answer.text), (status, text))


class CompletenessTests(SynchronousTestCase):
    """No example is forgotten here."""

    def test_every_example_is_run(self) -> None:
        tested = {Path(case.program[0]).name for case in ExampleTestCase.__subclasses__() if case.program}
        programs = {path.name for path in EXAMPLES.glob("*.py")}
        self.assertEqual(programs - tested, {"hello.py", "test_applications.py"})  # run by the two classes that follow


class HelloTests(ExampleTestCase):
    """The first example of the manual, copied to where nothing else is and started from elsewhere."""

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        shutil.copy(EXAMPLES / "hello.py", directory / "app.py")
        self.start(str(directory / "app.py"), directory="/")

    def test_serves_and_stops(self) -> None:
        answer = self.get("/")
        self.assertEqual((answer.status, answer.text), (200, "Hello World"))
        self.assertEqual(answer.headers["Content-Type"], "text/plain")
        self.assertEqual(answer.headers["Content-Length"], "11")
        self.assertEqual(self.server.stop(), 0)


class TestingTests(SynchronousTestCase):
    """The tests among the examples pass, run as their docstring says."""

    def test_pass(self) -> None:
        command = [sys.executable, "-m", "unittest", "test_applications"]
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, cwd=EXAMPLES, env=variables, capture_output=True, text=True, check=False)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("Ran 4 tests", ended.stderr)


class FlaskTests(ExampleTestCase):
    program = ("examples/flask_app.py",)

    def test_urls_have_the_mount_point(self) -> None:
        self.assert_answer("/flaskapp/", '<a href="/flaskapp/hello/you">hello</a>')
        self.assertEqual(json.loads(self.get("/flaskapp/hello/J%C3%BCrg").body), {"hello": "Jürg"})

    def test_form(self) -> None:
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.request("POST", "/flaskapp/count", b"text=abc", fields)
        self.assertEqual(json.loads(answer.body), {"letters": 3})

    def test_mount_point_without_its_slash(self) -> None:
        answer = self.get("/flaskapp?a=b")
        self.assertEqual((answer.status, answer.headers["Location"].rpartition("/flaskapp")[2]), (308, "/?a=b"))


class DjangoTests(ExampleTestCase):
    program = ("examples/django_app.py",)

    def test_view(self) -> None:
        answer = self.get("/")
        self.assertEqual((answer.status, answer.text[:17]), (200, "Hello from Django"))

    def test_stream(self) -> None:
        self.assert_answer("/numbers", "".join(f"{number}\n" for number in range(10)))

    def test_not_found(self) -> None:
        self.assertEqual(self.get("/nothing").status, 404)


class BottleTests(ExampleTestCase):
    program = ("examples/bottle_app.py",)

    def test_view(self) -> None:
        self.assert_answer("/hello/you", "Hello you")

    def test_upload(self) -> None:
        content = b"x" * 300_000
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--b--\r\n"
        )
        answer = self.request("POST", "/upload", body, {"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(json.loads(answer.body), {"name": "a.bin", "size": 300_000})


class StaticSiteTests(ExampleTestCase):
    program = ("examples/static_site.py",)

    def test_index(self) -> None:
        answer = self.get("/")
        self.assertEqual((answer.status, answer.body), (200, (EXAMPLES / "site" / "index.html").read_bytes()))
        self.assertEqual(answer.headers["Cache-Control"], "max-age=300")

    def test_longest_path_gives_the_age(self) -> None:
        self.assertEqual(self.get("/images/dot.svg").headers["Cache-Control"], "max-age=3600")

    def test_not_modified(self) -> None:
        tag = self.get("/style.css").headers["ETag"]
        self.assert_answer("/style.css", "", 304, If_None_Match=tag)

    def test_range(self) -> None:
        whole = (EXAMPLES / "site" / "style.css").read_text("utf-8")
        self.assert_answer("/style.css", whole[:4], 206, Range="bytes=0-3")

    def test_no_way_out(self) -> None:
        self.assertEqual(self.get("/%2e%2e/hello.py").status, 404)


class SeveralAppsTests(ExampleTestCase):
    program = ("examples/several_apps.py",)

    def test_mounts(self) -> None:
        self.assert_answer("/t1/", "Hello World")
        self.assert_answer("/t2/", "Hello Flask")

    def test_versions_have_modules_of_their_own(self) -> None:
        self.assert_answer("/v1/", "Hello World (version 1)")
        self.assert_answer("/v2/", "Hello, wide world (version 2)")

    def test_files_beside_applications(self) -> None:
        self.assert_answer("/v1/about.txt", "files of version 1\n")
        self.assert_answer("/v2/about.txt", "files of version 2\n")
        self.assertIn("A site of files", self.get("/").text)


class VirtualHostTests(ExampleTestCase):
    program = ("examples/virtual_hosts.py",)

    def test_names(self) -> None:
        self.assert_answer("/", "jeans", Host="www.jeans.example")
        self.assert_answer("/", "jeans", Host="JEANS.example:8080")
        self.assert_answer("/", "cars", Host="cars.example")
        self.assert_answer("/", "cars", Host="old.cars.example")

    def test_default_site(self) -> None:
        self.assert_answer("/", "no site is called elsewhere.example", Host="elsewhere.example")

    def test_files_of_one_site(self) -> None:
        self.assertIn("A site of files", self.get("/files/", Host="cars.example").text)
        self.assertEqual(self.get("/files/index.html", Host="jeans.example").text, "jeans")


class PreferencesTests(ExampleTestCase):
    program = ("examples/preferences.py",)

    def test_bootstrap_and_preferences(self) -> None:
        self.assert_answer("/v1/", "Hello")
        self.assert_answer("/v1/?language=Korean", "안녕하세요")
        self.assert_answer("/v1/?language=Latin", "no greeting in Latin", 404)


class HttpsTests(ExampleTestCase):
    program = ("examples/https.py",)

    def connect(self) -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=PATIENCE, context=context)
        self.addCleanup(connection.close)
        return connection

    def test_serves(self) -> None:
        answer = self.get("/")
        self.assertEqual((answer.status, answer.text), (200, "Hello World over https"))


class SaddleHelloTests(ExampleTestCase):
    program = ("examples/saddle_hello.py",)

    def test_routes(self) -> None:
        self.assert_answer("/", '<a href="/hello/you_and_me">hello</a>')
        self.assertEqual(json.loads(self.get("/hello/you_and_me").body), {"hello": "you and me"})
        self.assert_answer("/square/-12", "144")
        self.assertEqual(self.get("/square/twelve").status, 404)

    def test_media_type(self) -> None:
        self.assertEqual(self.get("/").headers["Content-Type"], "text/html; charset=utf-8")


class SaddleInterfaceTests(ExampleTestCase):
    program = ("examples/saddle_api.py",)
    origin = "https://tasks.example"

    def post(self, body: bytes, content_type: str = "application/json") -> Answer:
        return self.request("POST", "/api/tasks", body, {"Content-Type": content_type, "Origin": self.origin})

    def test_tasks(self) -> None:
        self.assertEqual(json.loads(self.get("/api/tasks").body), {"tasks": []})
        answer = self.post(b'{"title": "write"}')
        self.assertEqual((answer.status, answer.headers["Location"]), (201, "/api/tasks/1"))
        self.assertEqual(json.loads(self.get("/api/tasks/1").body), {"id": 1, "title": "write"})
        self.assertEqual(self.request("DELETE", "/api/tasks/1").status, 204)
        self.assertEqual(self.get("/api/tasks/1").status, 404)

    def test_bad_bodies(self) -> None:
        self.assertEqual(self.post(b"{").status, 400)
        self.assertEqual(self.post(b'{"title": 1}').status, 422)
        self.assertEqual(self.post(b"title=write", "application/x-www-form-urlencoded").status, 415)

    def test_origins(self) -> None:
        answer = self.get("/api/tasks", Origin=self.origin)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], self.origin)
        self.assertNotIn("Access-Control-Allow-Origin", self.get("/api/tasks", Origin="https://else.example").headers)

    def test_preflight(self) -> None:
        fields = {"Origin": self.origin, "Access-Control-Request-Method": "DELETE"}
        answer = self.request("OPTIONS", "/api/tasks/1", headers=fields)
        self.assertEqual(answer.status, 200)
        self.assertIn("DELETE", answer.headers["Access-Control-Allow-Methods"])
        self.assertEqual(answer.headers["Access-Control-Max-Age"], "3600")


class SaddleUploadTests(ExampleTestCase):
    program = ("examples/saddle_upload.py",)

    def upload(self, *files: tuple[str, bytes]) -> Answer:
        parts = [(f'name="files"; filename="{name}"', content) for name, content in files]
        body = b"".join(
            b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
            for head, content in [('name="title"', b"Cats"), *parts]
        )
        return self.request("POST", "/", body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})

    def test_files(self) -> None:
        answer = self.upload(("a.txt", b"1"), ("../a.txt", b"2" * 300_000))
        self.assertEqual(json.loads(answer.body), {"title": "Cats", "files": ["a.txt", "a-1.txt"]})
        self.assert_answer("/files/a.txt", "1")
        self.assertEqual(len(self.get("/files/a-1.txt").body), 300_000)
        self.assertEqual(self.get("/files/%2e%2e/a.txt").status, 404)

    def test_no_file(self) -> None:
        self.assertEqual(json.loads(self.upload(("", b"")).body), {"title": "Cats", "files": []})

    def test_too_large(self) -> None:
        self.assertEqual(self.upload(("a.bin", bytes(10_000_001))).status, 413)


class SaddleCoroutineTests(ExampleTestCase):
    program = ("examples/saddle_async.py",)

    def test_waits(self) -> None:
        self.assertEqual(json.loads(self.get("/wait/0.01").body), {"waited": 0.01})

    def test_streams(self) -> None:
        self.assert_answer("/count", "0\n1\n2\n")

    def test_asks_a_thread(self) -> None:
        self.assertIn("at", json.loads(self.get("/blocking").body))


class AsyncioTests(SaddleCoroutineTests):
    """The same on the reactor of asyncio."""

    program = ("examples/saddle_async.py", "--reactor", "asyncio")


class SaddleXMLRPCTests(ExampleTestCase):
    program = ("examples/saddle_xmlrpc.py",)

    def test_calls(self) -> None:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{self.server.port}/rpc/") as server:
            self.assertEqual(server.add(1, 2), 3)
            self.assertEqual(server.text.upper("abc"), "ABC")
            self.assertIn("text.upper", server.system.listMethods())
            self.assertEqual(server.system.methodHelp("add"), "Return the sum of two numbers.")
            several = xmlrpc.client.MultiCall(server)
            several.add(2, 3)
            several.nothing()
            results = several()
            self.assertEqual(results[0], 5)
            self.assertRaises(xmlrpc.client.Fault, lambda: results[1])

    def test_the_same_without(self) -> None:
        self.assert_answer("/rpc/add?a=1&b=2", "3")


class DemonstrationTests(ExampleTestCase):
    """``python -m skitai``."""

    program = ("-m", "skitai")

    def test_page_needs_nothing_from_elsewhere(self) -> None:
        answer = self.get("/", User_Agent="<script>alert(1)</script>")
        self.assertEqual(answer.status, 200)
        self.assertNotIn("<script>alert", answer.text)
        self.assertNotRegex(answer.text, r"(?:src|href)=.?https?://")
        for path in re.findall(r'(?:src|href)="(static/[^"]+)"', answer.text):
            self.assertEqual(self.get(f"/{path}").status, 200, path)

    def test_compressed(self) -> None:
        answer = self.get("/", Accept_Encoding="gzip")
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertEqual(self.get("/").headers["Content-Encoding"], None)

    def test_streams(self) -> None:
        """The first line is there long before the last: the head and it come while the application goes on."""
        connection = self.connect()
        connection.request("GET", "/stream")
        response = connection.getresponse()
        self.assertEqual(response.headers["Transfer-Encoding"], "chunked")
        self.assertEqual(response.read1(1000), b"line  1 of 20\n")
        response.read1(1000)

    def test_upload(self) -> None:
        body = bytes(range(256)) * 4096
        answer = json.loads(self.request("POST", "/upload", body).body)
        self.assertEqual((answer["bytes"], answer["sha256"]), (len(body), hashlib.sha256(body).hexdigest()))

    def test_routes(self) -> None:
        answer = json.loads(self.get("/hello/you_and_me").body)
        self.assertEqual(answer, {"name": "you and me", "url": "/hello/you_and_me", "with the default": "/hello/World"})

    def test_session_counts(self) -> None:
        answer = self.get("/visits")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        self.assertEqual(json.loads(answer.body)["visits"], 1)
        self.assertEqual(json.loads(self.get("/visits", Cookie=cookie).body)["visits"], 2)
        self.assertEqual(json.loads(self.get("/visits", Cookie=cookie[:-3] + "AAA").body)["visits"], 1)

    def test_form_needs_its_token(self) -> None:
        page = self.get("/")
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.request("POST", "/form", b"text=abc", fields).status, 403)
        fields["Cookie"] = page.headers["Set-Cookie"].partition(";")[0]
        answer = self.request("POST", "/form", f"text=abc&csrf_token={found[1]}".encode(), fields)
        self.assertEqual(json.loads(answer.body), {"text": "'abc'"})

    def test_coroutines_wait_for_each_other(self) -> None:
        answers: list[Answer] = []
        waiting = threading.Thread(target=lambda: answers.append(self.get("/wait")), daemon=True)
        waiting.start()
        # The request of the other thread may take its time to arrive.
        until(lambda: json.loads(self.request("POST", "/ring").body)["woken"], "somebody waits for the bell")
        waiting.join(PATIENCE)
        self.assertEqual(answers[0].status, 200)
        self.assertGreaterEqual(json.loads(answers[0].body)["waited"], 0)

    def assert_timeline(self, path: str) -> None:
        """The page has a bar for each call, the one of another call indented, and takes less than they do together."""
        answer = self.get(path)
        self.assertEqual(answer.status, 200)
        rows = re.findall(r'<li class="depth-(\d)"><span class="name">(\w+) <small>(\d+)<', answer.text)
        self.assertEqual([row[:2] for row in rows], [("0", name) for name in timeline.ASKED] + [("1", "stock")])
        self.assertEqual([row[2] for row in rows[:4]], ["2001", "2002", "2003", "2004"])
        self.assertRegex(rows[4][2], "^30")
        bars = [tuple(map(float, bar)) for bar in re.findall(r"margin-left: ([\d.]+)%; width: ([\d.]+)%", answer.text)]
        self.assertEqual(len(bars), 5)
        for left, width in bars:
            self.assertGreater(width, 0)
            self.assertLessEqual(left + width, 100.1)
        # Whatever the machine is doing: all four were at work when the first one ended.
        self.assertLess(max(left for left, _ in bars[:4]), min(left + width for left, width in bars[:4]))
        gtxn = re.search(r"<code>(GTID-[^<]+)</code>", answer.text)
        assert gtxn is not None
        for number in ("2001", "2002", "2003", "2004", rows[4][2]):
            self.server.wait_for(rf"GET /timeline/service/\w+ HTTP/1.1 200 .* {gtxn[1]} {number} ")

    def test_timeline_of_a_thread(self) -> None:
        self.assert_timeline("/timeline/")

    def test_timeline_of_a_coroutine(self) -> None:
        self.assert_timeline("/timeline/coroutine")

    def test_timeline_asks_no_other_host(self) -> None:
        """Who sends another name of the host does not choose whom the demonstration asks."""
        self.assertIn(">weather <", self.get("/timeline/", Host="elsewhere.example:1").text)

    def test_service_that_is_not_there(self) -> None:
        self.assertEqual(self.get("/timeline/service/nothing").status, 404)

    def test_echo(self) -> None:
        answer = json.loads(self.get("/echo?a=%20b", X_Anything="at all").body)
        self.assertEqual(answer["HTTP_X_ANYTHING"], "at all")
        self.assertEqual(answer["RAW_URI"], "/echo?a=%20b")

    def test_download(self) -> None:
        answer = self.get("/download")
        self.assertEqual(answer.body, (ROOT / "skitai" / "demo" / "app.py").read_bytes())

    def test_error_page_is_escaped(self) -> None:
        answer = self.get("/error")
        self.assertEqual(answer.status, 500)
        self.assertIn("Traceback", answer.text)
        self.assertIn("&lt;b&gt;its message", answer.text)
        self.assertNotIn("<b>its message", answer.text)

    def test_wrong_method(self) -> None:
        answer = self.request("DELETE", "/echo")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, POST, PUT"))

    def test_stops(self) -> None:
        self.get("/")
        self.assertEqual(self.server.stop(), 0)
