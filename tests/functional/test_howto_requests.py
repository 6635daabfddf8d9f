"""The programs of the how-to pages about requests, ``examples/requests/``, do what these pages say.

Each runs as a process of its own and asks others: ``service.py``, as the pages have it, or a service of the test that
answers when the test wants it to.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import PATIENCE, ROOT, Connection, Response, Server, until

PROGRAMS = ROOT / "examples" / "requests"
DOCS = ROOT / "docs"


class Together:
    """A service that answers nobody before a number of requests is there: who asks one by one waits in vain.

    Args:
        size: The number.
    """

    def __init__(self, size: int) -> None:
        barrier = threading.Barrier(size)
        self.paths: list[str] = []
        self.fields: list[dict[str, str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.paths.append(handler.path)
                self.fields.append(dict(handler.headers.items()))
                try:
                    barrier.wait(PATIENCE)
                except threading.BrokenBarrierError:
                    return
                body = json.dumps({"path": handler.path}).encode()
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ProgramTestCase(SynchronousTestCase):
    """Runs one program, and what it asks.

    Attributes:
        program: Its name.
    """

    program = ""

    def start(self, program: str, **environment: str) -> Server:
        """Start a program at a free port."""
        command = [sys.executable, str(PROGRAMS / program), "--port", "0"]
        server = Server(command, str(ROOT), environment)
        self.addCleanup(server.end)
        return server

    def serve(self, url: str = "") -> None:
        """Start the program of the test; ``url`` is what it asks, else ``service.py``."""
        if not url:
            self.service = self.start("service.py")
            url = f"http://127.0.0.1:{self.service.port}"
        self.server = self.start(self.program, SERVICE=url)

    def together(self, size: int) -> Together:
        """Start the program, and a service that answers when ``size`` requests are there."""
        service = Together(size)
        self.addCleanup(service.close)
        self.serve(service.url)
        return service

    def ask(self, path: str, method: str = "GET", body: str = "") -> Response:
        connection = Connection(self.server.port)
        self.addCleanup(connection.close)
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if body:
            head += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
        connection.socket.sendall("\r\n".join([*head, "", body]).encode())
        return Response(connection.rest())

    def data(self, path: str, status: int = 200, **more: str) -> Any:
        """Return the JSON that is answered."""
        response = self.ask(path, **more)
        self.assertEqual(response.status, status, self.server.output)
        return json.loads(response.body)

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        return self.server.wait_for(pattern)


class DocumentationTests(SynchronousTestCase):
    def test_every_program_is_run(self) -> None:
        tested = {case.program for case in _cases()} | {"service.py"}
        self.assertEqual({path.name for path in PROGRAMS.glob("*.py")}, tested)

    def test_every_program_is_shown(self) -> None:
        pages = "".join(path.read_text("utf-8") for path in (DOCS / "howto").glob("*.rst"))
        shown = set(re.findall(r"literalinclude:: .*/examples/requests/(\S+)", pages))
        for directory, pattern in ((PROGRAMS, "*.py"), (PROGRAMS / "templates", "*.html")):
            names = {str(path.relative_to(PROGRAMS)) for path in directory.glob(pattern)}
            self.assertLessEqual(names, shown)

    def test_every_module_is_explained(self) -> None:
        """The table of modules in the page about the architecture has those that there are."""
        page = (DOCS / "architecture.rst").read_text("utf-8")
        rows = page.partition("module of ``skitai/was/``")[2].partition("\n\n")[0]
        named = {name for row in rows.splitlines() for name in re.findall(r"``(\w+)``", row[:52])}
        self.assertEqual(named, {path.stem for path in (ROOT / "skitai" / "was").glob("*.py")} - {"__init__"})


class PageTests(ProgramTestCase):
    """The page of three answers, whatever makes it."""

    ECHOED: ClassVar = {
        "weather": [{"path": "/weather?city=Seoul"}, {"path": "/weather?city=Oslo"}],
        "news": {"path": "/news"},
    }
    """What it is when the service of the test has answered."""

    def pages(self) -> None:
        self.serve()
        expected = {
            "weather": [{"city": "Seoul", "degrees": 15}, {"city": "Oslo", "degrees": 14}],
            "news": {"headline": "Nothing <happened>"},
        }
        self.assertEqual(self.data("/"), expected)

    def parallel(self) -> None:
        """All three are asked at once; each has its own place in the transaction of the page."""
        service = self.together(3)
        self.assertEqual(self.data("/"), self.ECHOED)
        self.assertEqual(len(service.paths), 3)
        gtxn = {fields["X-Gtxn-Id"] for fields in service.fields}
        self.assertEqual(sorted(fields["X-Ltxn-Id"] for fields in service.fields), ["2001", "2002", "2003"])
        self.assertEqual({self.wait_for_log(r"GET / HTTP/1.1 200.*(GTID-\S+) 1000")[1]}, gtxn)


class FlaskPageTests(PageTests):
    program = "flask_page.py"

    def test_page(self) -> None:
        self.pages()

    def test_parallel(self) -> None:
        self.parallel()

    def test_order(self) -> None:
        self.serve()
        form = urlencode({"item": "Hüte"})
        order = self.data("/order", 201, method="POST", body=form)
        self.assertEqual(order, {"number": 1, "item": "Hüte", "pieces": 2})

    def test_order_without_a_service(self) -> None:
        self.serve(f"http://127.0.0.1:{_free_port()}")
        self.assertEqual(self.data("/order", 503, method="POST", body="item=hat"), {"error": "try again later"})
        self.wait_for_log(r"GTID-\S+/1000 no order: 701 .*refused")

    def test_no_answer_in_time(self) -> None:
        self.serve()
        self.assertEqual(self.data("/brief"), {"news": None, "weather": {"city": "Seoul", "degrees": 15}})

    def test_remote_call(self) -> None:
        self.serve()
        self.assertEqual(self.data("/sum"), {"sum": 42})

    def test_more_pages_than_threads(self) -> None:
        """A page that waits keeps no thread from another one: 8 pages wait together, in 4 threads."""
        self.together(24)
        answers: list[Any] = []
        pages = [threading.Thread(target=lambda: answers.append(self.data("/"))) for _ in range(8)]
        for page in pages:
            page.start()
        for page in pages:
            page.join(PATIENCE)
        self.assertEqual(answers, [self.ECHOED] * 8)


class SaddlePageTests(PageTests):
    program = "saddle_page.py"

    def test_page(self) -> None:
        self.pages()

    def test_parallel(self) -> None:
        self.parallel()

    def test_one(self) -> None:
        self.serve()
        self.assertEqual(self.data("/one"), {"city": "Seoul", "degrees": 15})

    def test_one_without_a_service(self) -> None:
        self.serve(f"http://127.0.0.1:{_free_port()}")
        self.assertEqual(self.ask("/one").status, 503)


class BalancedTests(ProgramTestCase):
    program = "balanced.py"

    def setUp(self) -> None:
        self.services = [self.start("service.py") for _ in range(3)]
        members = [f"127.0.0.1:{service.port}" for service in self.services]
        members[1] += " 2"
        self.server = self.start(self.program, SERVERS=", ".join(members))
        self.numbers = [service.process.pid for service in self.services]

    def found(self, path: str = "/") -> list[int]:
        """Return the numbers of the processes that have answered."""
        return [int(text.rpartition(" ")[2]) for text in self.data(path)["found"]]

    def test_all_take_part_by_weight(self) -> None:
        answered = [self.found()[0] for _ in range(8)]
        self.assertEqual([answered.count(number) for number in self.numbers], [2, 4, 2])

    def test_all(self) -> None:
        """Answers are in the order of the members."""
        self.assertEqual(self.found("/all?q=dogs"), self.numbers)

    def test_one_is_down(self) -> None:
        self.services[1].end()
        answered = {self.found()[0] for _ in range(6)}
        self.assertEqual(answered, {self.numbers[0], self.numbers[2]})
        self.assertEqual(self.data("/all")["status"], [200, 701, 200])

    def test_back_again(self) -> None:
        port = self.services[1].port
        self.services[1].end()
        self.data("/all")  # so that it is known
        again = self.start_at(port)
        until(lambda: again.process.pid in self.found(), "the one that is back is asked")

    def start_at(self, port: int) -> Server:
        server = Server([sys.executable, str(PROGRAMS / "service.py"), "--port", str(port)], str(ROOT))
        self.addCleanup(server.end)
        server.wait_for("serves at")
        return server

    def test_remote_call(self) -> None:
        self.assertEqual(self.data("/add?a=40&b=2"), {"sum": 42})


class CachedTests(ProgramTestCase):
    program = "cached.py"

    def setUp(self) -> None:
        self.serve()

    def rates(self, path: str = "/") -> tuple[int, bool]:
        """Return how often the service was asked, and whether the answer was kept."""
        data = self.data(path)
        return data["rates"]["asked"], data["kept"]

    def test_kept(self) -> None:
        self.assertEqual([self.rates() for _ in range(3)], [(1, False), (1, True), (1, True)])

    def test_refreshed(self) -> None:
        self.rates()
        self.assertEqual([self.rates("/refresh"), self.rates()], [(2, False), (2, True)])

    def test_forgotten(self) -> None:
        self.rates()
        self.assertEqual(self.ask("/forget").body, b"forgotten")
        self.assertEqual(self.rates(), (2, False))

    def test_many_miss_at_once(self) -> None:
        """Of a result that was kept before, one request is made for all."""
        self.rates()
        self.ask("/forget")
        answers: list[tuple[int, bool]] = []
        pages = [threading.Thread(target=lambda: answers.append(self.rates())) for _ in range(12)]
        for page in pages:
            page.start()
        for page in pages:
            page.join(PATIENCE)
        self.assertEqual([asked for asked, _ in answers], [2] * 12)

    def test_failures_are_not_kept(self) -> None:
        port = self.service.port
        self.service.end()
        self.assertEqual(self.data("/"), {"rates": None, "kept": False})
        again = Server([sys.executable, str(PROGRAMS / "service.py"), "--port", str(port)], str(ROOT))
        self.addCleanup(again.end)
        again.wait_for("serves at")
        self.assertEqual(self.rates(), (1, False))


class StreamedTests(ProgramTestCase):
    program = "streamed.py"

    def chunks(self, path: str) -> Sequence[bytes]:
        """Return the chunks of an answer as they came."""
        body = self.ask(path).body
        chunks = []
        while body:
            size, _, rest = body.partition(b"\r\n")
            chunks.append(rest[: int(size, 16)])
            body = rest[int(size, 16) + 2 :]
        self.assertEqual(chunks.pop(), b"")
        return chunks

    def test_parts_in_the_order_they_come(self) -> None:
        self.serve()
        page = b"".join(self.chunks("/")).decode()
        self.assertRegex(page, r"(?s)^<!doctype html>.*<p>Nothing &lt;happened&gt;</p>.*<p>Seoul: 15°</p>.*all.</p>\n$")

    def test_begins_before_anything_is_there(self) -> None:
        """The prolog comes while the service has not answered yet: it does when a third one asks it."""
        service = self.together(3)
        connection = Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.send("/", "Connection: close")
        begin = b""
        while b"<h1>Today</h1>" not in begin:
            begin += connection.socket.recv(65536)
        self.assertNotIn(b"<p>", begin)
        third = Connection(int(service.url.rpartition(":")[2]))
        self.addCleanup(third.close)
        third.send("/")
        self.assertIn(b"That is all.", connection.rest())

    def test_service_is_down(self) -> None:
        self.serve(f"http://127.0.0.1:{_free_port()}")
        page = b"".join(self.chunks("/")).decode()
        self.assertIn("<p>No news: ", page)
        self.assertIn("<p>No weather: ", page)
        self.assertTrue(page.endswith("<p>That is all.</p>\n"), page)

    def test_ordered(self) -> None:
        self.serve()
        self.assertEqual(self.ask("/ordered").field("Cache-Control"), "no-store")
        page = b"".join(self.chunks("/ordered")).decode()
        self.assertRegex(page, r"(?s)<p>Nothing &lt;happened&gt;</p>\n<p>Seoul: 15°</p>")

    def test_lines(self) -> None:
        self.serve()
        lines = b"".join(self.chunks("/lines")).decode().splitlines()
        self.assertEqual([json.loads(line)["city"] for line in lines], ["Seoul", "Oslo"])


def _cases() -> list[type[ProgramTestCase]]:
    """Return the classes that run a program."""
    found: list[type[ProgramTestCase]] = []
    waiting = ProgramTestCase.__subclasses__()
    while waiting:
        case = waiting.pop()
        waiting += case.__subclasses__()
        if case.program:
            found.append(case)
    return found


def _free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
