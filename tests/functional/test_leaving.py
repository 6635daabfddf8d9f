"""Clients that close their side of a connection, or all of it, while their answer is being made: real sockets.

Both look the same to the server, which is sent but the end of what the client says.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

from tests.functional.process import PATIENCE, Server, ServerTestCase, until

SOON: Final = 3.0
"""Seconds within which it is noticed that a client has left: a sixth of it is the grace."""

APPLICATION = """\
import asyncio
import os
import threading
from skitai.saddle import Saddle

app = Saddle(__name__)
never = threading.Event()

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

@app.route("/pushed")
def pushed(was, prolog=None):
    proxy = was.aresponse(lambda response, proxy: proxy.done("answered"), prolog=prolog)
    proxy.get("slow", "http://127.0.0.1:%s/" % os.environ["BACKEND"], timeout=60)
    return proxy

@app.route("/thread")
def thread(was, prolog=None):
    gone = was.env["skitai.client_disconnected"]

    def pieces():
        if prolog:
            yield prolog
        for _ in range(4000):
            if gone():
                note("gone")
                return
            never.wait(0.005)
        note("not gone")

    return pieces()

@app.route("/upload", methods=["POST"])
def upload(was, **form):
    return thread(was)

@app.route("/slow")
def slow(was):
    def pieces():
        for number in range(3):
            yield "piece %d " % number
            never.wait(0.8)

    return pieces()

@app.route("/quick")
def quick(was):
    return "quick"

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""


class LeavingTests(ServerTestCase):
    """A client closes, and the answer is given up; it closes its side only, and has everything."""

    def setUp(self) -> None:
        super().setUp()
        self.backend = socket.create_server(("127.0.0.1", 0))
        self.backend.settimeout(PATIENCE)
        self.addCleanup(self.backend.close)

    def serve(self) -> Server:
        port = str(self.backend.getsockname()[1])
        return self.python(self.write("app.py", APPLICATION), environment={"BACKEND": port})

    def ask(self, server: Server, target: str, version: str, behind: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.addCleanup(client.close)
        client.sendall(f"GET {target} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode() + behind)
        return client

    def noted(self, note: str) -> None:
        path = os.path.join(self.directory, "notes")
        until(lambda: os.path.exists(path), "that the client has left", SOON)
        until(lambda: self.read("notes") == note + "\n", note, SOON)
        os.unlink(path)

    def test_requests_of_an_asynchronous_response_are_cancelled(self) -> None:
        server = self.serve()
        for version in ("1.0", "1.1"):
            for target in ("/pushed", "/pushed?prolog=begun"):
                client = self.ask(server, target, version)
                asked, _ = self.backend.accept()
                self.addCleanup(asked.close)
                asked.settimeout(SOON)
                self.assertTrue(asked.recv(65536).endswith(b"\r\n\r\n"))
                if "prolog" in target:
                    self.assertTrue(client.recv(65536))
                client.close()
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(asked.recv(1), b"")  # the server has given it up
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)

    def test_threads_are_told(self) -> None:
        server = self.serve()
        for version in ("1.0", "1.1"):
            for target in ("/thread", "/thread?prolog=begun"):
                client = self.ask(server, target, version)
                if "prolog" in target:
                    self.assertTrue(client.recv(65536))
                client.close()
                self.noted("gone")
        self.assertEqual(server.stop(), 0)

    def test_pipelined_request(self) -> None:
        """It is begun after the client has left."""
        server = self.serve()
        self.ask(server, "/quick", "1.1", b"GET /thread HTTP/1.1\r\nHost: localhost\r\n\r\n").shutdown(socket.SHUT_WR)
        self.noted("gone")

    def test_upload(self) -> None:
        """The client closes behind its body."""
        server = self.serve()
        body = b"text=" + b"x" * 300_000
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.addCleanup(client.close)
        head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.close()
        self.noted("gone")

    def test_who_reads_on_gets_everything(self) -> None:
        """Even slowly: silence is borne once something was sent."""
        server = self.serve()
        for version in ("1.0", "1.1"):
            client = self.ask(server, "/slow", version)
            client.shutdown(socket.SHUT_WR)
            data = b""
            while piece := client.recv(65536):
                data += piece
            for number in range(3):
                self.assertIn(b"piece %d " % number, data)
