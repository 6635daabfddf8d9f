"""The same file, without a change, as ``python app.py`` and under ``twistd -n skitai --app app.py``."""

from __future__ import annotations

import http.server
import json
import os
import re
import textwrap
import threading
from typing import Any

from tests.functional.process import ROOT, ServerTestCase, until


class Backend:
    """A service that answers with what it was asked, as JSON, and its name."""

    def __init__(self, name: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                size = int(handler.headers.get("Content-Length") or 0)
                said = handler.rfile.read(size).decode()
                body = json.dumps({"by": name, "path": handler.path, "said": said}).encode()
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def readme_example(title: str) -> str:
    """Return the program of a section of README.rst."""
    text = (ROOT / "README.rst").read_text("utf-8")
    section = text.partition(f"\n{title}\n---")[2]
    found = re.search(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", section)
    assert found is not None, title
    return textwrap.dedent(found[1])


SCRIPT = """\
import os
import pickle
import sys

arguments = list(sys.argv)

class Item:
    pass

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    was = environ["skitai.was"]
    said = was.get("@news/x").getwait().data["by"]
    copy = pickle.loads(pickle.dumps(Item()))
    return [f"{said} {type(copy) is Item} {arguments == [os.path.abspath(__file__)]} FIRST".encode()]

app.use_reloader = True

if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.mount("/files", "files")
    skitai.set_max_age("/files", 77)
    skitai.run(port=1, threads=2, clusters={"@news": ("http", os.environ["NEWS"])})
"""


class SameFileTests(ServerTestCase):
    """What a file declares as a script counts under twistd too."""

    def backend(self, name: str) -> Backend:
        backend = Backend(name)
        self.addCleanup(backend.stop)
        return backend

    def test_readme(self) -> None:
        """The example that asks other services as it stands, but for the ports of the services."""
        text = readme_example("Ask other services")
        for port, name in (("5001", "first"), ("5002", "shop"), ("5003", "shop")):
            self.assertIn(f":{port}", text)
            text = text.replace(f":{port}", f":{self.backend(name).port}")
        path = self.write("app.py", text)
        for start in (self.python, self.twistd):
            server = start(path)
            page = self.get(server, "/")
            self.assertEqual(page.status, 200, server.output)
            data = json.loads(page.body)
            self.assertEqual(data["weather"]["path"], "/weather?city=Seoul")
            self.assertEqual((data["news"]["path"], data["news"]["by"]), ("/news", "first"))
            self.assertEqual((data["stock"]["by"], data["stock"]["said"]), ("shop", '{"item": "hat"}'))
            self.assertEqual(server.stop(), 0)

    def test_everything(self) -> None:
        """Aliases, files, options; the command line wins; the file is loaded again, and what it declared stays."""
        os.makedirs(os.path.join(self.directory, "files"))
        self.write("files/a.txt", "a file")
        news = self.backend("news")
        for start in (self.python, self.twistd):
            path = self.write("app.py", SCRIPT)
            server = start(path, environment={"NEWS": f"127.0.0.1:{news.port}"})
            # twistd's command line is not for the file; that of "python app.py" has "--port 0", too.
            alone = b"True" if start == self.twistd else b"False"
            self.assertEqual(self.get(server, "/").body, b"news True %b FIRST" % alone)
            self.assertNotEqual(server.port, 1)
            self.assertEqual(self.get(server, "/files/a.txt").field("Cache-Control"), "max-age=77")
            self.write("app.py", SCRIPT.replace("FIRST", "THE SECOND"))

            def changed(server: Any = server) -> bool:
                return b"THE SECOND" in self.get(server, "/").body

            until(changed, "the new code")
            self.assertTrue(self.get(server, "/").body.startswith(b"news "))
            self.assertEqual(server.stop(), 0)

    def test_script_that_fails(self) -> None:
        """It is served once it is mended, and the log says what is missing."""
        path = self.write("app.py", SCRIPT + "1 / 0\n")
        server = self.twistd(path, environment={"NEWS": "127.0.0.1:1"})
        self.assertEqual(self.get(server, "/").status, 503)
        server.wait_for(r"app\.py has failed: it is served by its path, without what it declares")
        server.wait_for("ZeroDivisionError")
        self.write("app.py", SCRIPT.replace('was.get("@news/x").getwait().data["by"]', '"mended"'))
        until(lambda: b"mended" in self.get(server, "/").body, "the mended file")
        self.assertEqual(self.get(server, "/files/a.txt").body[:6], b"mended")

    def test_server_of_another_kind(self) -> None:
        """What is under its guard would be another server."""
        text = readme_example("Flask").partition("if __name__")[0] + 'if __name__ == "__main__":\n    app.run(port=1)\n'
        server = self.twistd(self.write("app.py", text))
        self.assertEqual(self.get(server, "/").body, b"Hello World")
        server.wait_for(r"app\.py: it does not call skitai.run\(\), so what is under its guard is not executed")

    def test_child_processes(self) -> None:
        """multiprocessing finds functions of the file where it looks for them: in ``__main__``."""
        path = self.write(
            "app.py",
            "import multiprocessing\n\n"
            "def double(number):\n    return 2 * number\n\n"
            "def app(environ, start_response):\n"
            "    start_response('200 OK', [])\n"
            "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
            "        return [b'%d' % pool.apply(double, (21,))]\n\n"
            "if __name__ == '__main__':\n    import skitai\n    skitai.mount('/', app)\n    skitai.run()\n",
        )
        for start in (self.python, self.twistd):
            server = start(path)
            self.assertEqual(self.get(server, "/").body, b"42", server.output)
            server.end()

    def test_examples(self) -> None:
        """They run as they stand."""
        for name in ("flask_app.py", "several_apps.py", "saddle_hello.py"):
            path = str(ROOT / "examples" / name)
            answers = []
            for start in (self.python, self.twistd):
                server = start(path)
                answer = self.get(server, "/")
                answers.append((answer.status, answer.field("Content-Type")))
                server.end()
            self.assertEqual(answers[0], answers[1], name)
