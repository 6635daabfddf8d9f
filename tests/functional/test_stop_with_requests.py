"""A stop while requests of ``was`` are on their way: in threads, in coroutines, for nobody, and outside of requests."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

from tests.functional.process import PATIENCE, Server, ServerTestCase, until

APPLICATION = """\
import os, socket, threading, time

def look_up(host, *args, **kwargs):
    if host == "slow.invalid":
        time.sleep(60)
    return getaddrinfo(host, *args, **kwargs)

getaddrinfo, socket.getaddrinfo = socket.getaddrinfo, look_up

from skitai import was

BACKEND = os.environ["BACKEND"]

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def wait(path):
    return was.get(BACKEND + path, timeout=60).getwait(50)

def told(response):
    note(f"callback {response.status} {response.status_code}")

def ask_again(response, left):
    told(response)
    if left:
        was.get(BACKEND + "/slow", callback=(ask_again, (left - 1,)))

async def answer(start_response, handle):
    response = await handle
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{response.status} {response.status_code}".encode()]

def alone():
    for _ in range(3):
        try:
            response = was.get(BACKEND + "/hang", timeout=60).getwait(50)
            note(f"alone {response.status} {response.status_code}")
        except Exception as error:
            note(f"alone {type(error).__name__} {error}")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/coroutine":
        handle = was.get(BACKEND + "/" + environ["QUERY_STRING"], timeout=60)
        return was.later(answer(start_response, handle))
    body = "ok"
    if path == "/thread":
        response = wait("/" + environ["QUERY_STRING"])
        body = f"{response.status} {response.status_code}"
    elif path == "/name":
        response = was.get("http://slow.invalid/", timeout=0.2).getwait()
        body = f"{response.status} {response.status_code}"
    elif path == "/nobody":
        was.get(BACKEND + "/slow", callback=told)
    elif path == "/chain":
        was.get(BACKEND + "/slow", callback=(ask_again, (int(environ["QUERY_STRING"]),)))
    elif path == "/alone":
        threading.Thread(target=alone, daemon=False).start()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Backend:
    """Answers /slow when the test says so, and /hang never.

    Attributes:
        asked: The targets so far.
        closed: How many connections have been closed by the client.
        go: Lets the slow answers go.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0
        self.go = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    target = data.split(b" ")[1].decode()
                    self.asked.append(target)
                    if target == "/slow" and self.go.wait(PATIENCE):
                        connection.sendall(ANSWER)
            except OSError:
                pass
        self.closed += 1

    def stop(self) -> None:
        self.go.set()
        self._listener.close()


class StopTests(ServerTestCase):
    """Both where requests end in time and where they do not."""

    def setUp(self) -> None:
        super().setUp()
        self.app = self.write("app.py", APPLICATION)
        self.backend = Backend()
        self.addCleanup(self.backend.stop)

    def server(self, *options: str) -> Server:
        environment = {"BACKEND": f"http://127.0.0.1:{self.backend.port}"}
        return self.python(self.app, *options, environment=environment)

    def ask(self, server: Server, target: str) -> Any:
        """Make a request whose view asks the backend; return the connection when the backend was asked."""
        asked = len(self.backend.asked)
        connection = self.connect(server)
        connection.send(target)
        until(lambda: len(self.backend.asked) > asked, "the backend is asked")
        return connection

    def notes(self) -> list[str]:
        return self.read("notes").splitlines() if os.path.exists(os.path.join(self.directory, "notes")) else []

    def test_running_requests_may_finish(self) -> None:
        server = self.server("--threads", "1")
        connections = [self.ask(server, target) for target in ("/thread?slow", "/coroutine?slow", "/thread?slow")]
        server.signal(signal.SIGTERM)
        until(lambda: self.refuses(server), "no new connections")
        self.backend.go.set()
        self.assertEqual([connection.receive().body for connection in connections], [b"3 200"] * 3)
        self.assertEqual(server.wait(), 0)
        self.assertNotIn("aborted", server.output)
        until(lambda: self.backend.closed == 3, "the connections to the backend are closed")

    def refuses(self, server: Server) -> bool:
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        except OSError:
            return True
        return False

    def test_at_the_deadline_all_waits_end(self) -> None:
        both, coroutine = ("/thread?hang", "/coroutine?hang"), ("/coroutine?hang",)
        kinds = (("--threads=1", both), ("--threads=0", coroutine), ("--reactor=asyncio", both))
        for option, targets in kinds:
            for target in targets:
                server = self.server(option, "--graceful-timeout", "0.5")
                connection = self.ask(server, target)
                begun = time.monotonic()
                self.assertEqual(server.stop(), 0)
                self.assertLess(time.monotonic() - begun, 5)
                pattern = f"aborted at the deadline of the stop: .* GET {target.partition('?')[0]}"
                self.assertRegex(server.output, pattern)
                self.assertNotIn("Traceback", server.output)
                self.assertNotIn("did not end by itself", server.output)
                connection.rest()
        until(lambda: self.backend.closed == 5, "the connections to the backend are closed")

    def test_a_second_signal_waits_for_nobody(self) -> None:
        server = self.server("--graceful-timeout", "60")
        self.ask(server, "/thread?hang")
        self.ask(server, "/coroutine?hang")
        server.signal(signal.SIGTERM)
        server.wait_for("once more to stop at once")
        server.signal(signal.SIGTERM)
        server.wait(5)

    def test_a_name_server_that_does_not_answer(self) -> None:
        """The lookup goes on in a thread when its request has failed long ago; the stop does not wait for it."""
        server = self.server("--graceful-timeout", "5")
        self.assertEqual(self.get(server, "/name").body, b"1 730")
        begun = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - begun, 3)
        self.assertNotIn("did not end by itself", server.output)

    def test_what_nobody_waits_for_is_done_and_called_back(self) -> None:
        server = self.server()
        self.ask(server, "/nobody").receive()
        server.signal(signal.SIGTERM)
        until(lambda: self.refuses(server), "no new connections")
        self.assertIsNone(server.process.poll())
        self.backend.go.set()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(self.notes(), ["callback 3 200"])

    def test_what_callbacks_ask_is_done_too(self) -> None:
        for threads in ("1", "0"):
            server = self.server("--threads", threads)
            self.ask(server, "/chain?20").receive()
            server.signal(signal.SIGTERM)
            until(lambda server=server: self.refuses(server), "no new connections")  # type: ignore[misc]
            self.assertIsNone(server.process.poll())
            self.backend.go.set()
            self.assertEqual(server.wait(), 0)
            self.assertEqual(self.notes(), ["callback 3 200"] * 21)
            self.backend.go.clear()
            os.unlink(os.path.join(self.directory, "notes"))

    def test_but_not_for_ever(self) -> None:
        server = self.server("--graceful-timeout", "0.5")
        self.backend.go.set()
        self.ask(server, "/chain?1000000000").receive()
        begun = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertNotIn("did not end by itself", server.output)
        self.assertNotIn("Traceback", server.output)
        self.assertGreater(len(self.notes()), 10)

    def test_a_thread_of_the_application_is_released(self) -> None:
        """It is no daemon, so the process would not end while it waits."""
        server = self.server("--graceful-timeout", "0.5")
        self.ask(server, "/alone").receive()
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("did not end by itself", server.output)
        notes = self.notes()
        self.assertEqual((notes[0], len(notes)), ("alone 2 702", 3))
        for note in notes[1:]:
            self.assertRegex(note, r"^alone (2 702|RuntimeError was\.get\(\) needs a server that runs)$")
