"""Servers in processes of their own, and a client that is as plain as can be.

Nothing here sleeps for a fixed time: everything waits for what it wants to see, until a deadline that only a broken
server reaches.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds after which a server is taken for broken."""

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]

T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Return the first true result of ``look``; fail with ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    never = threading.Event()
    while True:
        result = look()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        never.wait(0.005)


class Response:
    """A response as it came.

    Attributes:
        head: Status line and fields, in lines.
        body: Everything after.
    """

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1").split("\r\n")

    @property
    def status(self) -> int:
        return int(self.head[0].split()[1])

    def field(self, name: str) -> str | None:
        for line in self.head[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


class Connection:
    """A connection to a server."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, target: str, *fields: str, method: str = "GET") -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def receive(self) -> Response:
        """Return the next response, which has a Content-Length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        length = re.search(rb"(?i)content-length: *(\d+)", data)
        assert length is not None, data
        whole = data.index(b"\r\n\r\n") + 4 + int(length[1])
        while len(data) < whole:
            data += self._some()
        return Response(data)

    def rest(self) -> bytes:
        """Return everything until the server closes; b"" also where it resets the connection."""
        data = b""
        try:
            while piece := self.socket.recv(65536):
                data += piece
        except ConnectionResetError:
            pass
        return data

    def close(self) -> None:
        self.socket.close()

    def _some(self) -> bytes:
        data = self.socket.recv(65536)
        assert data, "the server has closed the connection"
        return data


class Server:
    """A process that serves.

    Args:
        arguments: The command line.
        directory: Where it is started.
        environment: Variables added to those of the test.
    """

    def __init__(self, arguments: list[str], directory: str, environment: Mapping[str, str] | None = None) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        # Modules are compiled once, as where a server is installed: else each start takes twice as long.
        python = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}
        variables = {**os.environ, **python, **(environment or {})}
        self.process = subprocess.Popen(
            arguments, cwd=directory, env=variables, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output
        )

    @property
    def output(self) -> str:
        """All that it has written so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Return the first match of ``pattern`` in its output."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            if found is None and self.process.poll() is not None and re.search(pattern, self.output) is None:
                raise AssertionError(f"ended with {self.process.returncode}, saying:\n{self.output}")
            return found

        found = until(look, f"{pattern!r} in:\n{self.output}", seconds)
        assert found is not None
        return found

    @property
    def port(self) -> int:
        """The port it serves at, once it does."""
        return int(self.wait_for(r"serves at https?://[^ ]*?:(\d+)/")[1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s, saying:\n{self.output}") from None

    def stop(self) -> int:
        """Stop it gracefully; return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


class ServerTestCase(TestCase):
    """Starts servers from applications written into a directory of the test's own, and ends them."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)

    def write(self, name: str, text: str | bytes) -> str:
        """Write a file; return its path."""
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def read(self, *names: str) -> str:
        with open(os.path.join(self.directory, *names), encoding="utf-8") as file:
            return file.read()

    def start(self, *arguments: str, **settings: Any) -> Server:
        """Start a command; ``directory`` says where."""
        server = Server(list(arguments), settings.get("directory", self.directory), settings.get("environment"))
        self.addCleanup(server.end)
        return server

    def python(self, path: str, *options: str, **settings: Any) -> Server:
        """Start ``python app.py`` at a free port."""
        return self.start(sys.executable, path, "--port", "0", *options, **settings)

    def twistd(self, path: str, *options: str, **settings: Any) -> Server:
        """Start ``twistd -n skitai`` at a free port."""
        return self.start(*TWISTD, "skitai", "--app", path, "--port", "0", *options, **settings)

    def connect(self, server: Server, context: ssl.SSLContext | None = None) -> Connection:
        connection = Connection(server.port, context)
        self.addCleanup(connection.close)
        return connection

    def get(self, server: Server, target: str) -> Response:
        connection = self.connect(server)
        connection.send(target, "Connection: close")
        return Response(connection.rest())


def refused(port: int) -> bool:
    """Tell whether nobody listens at ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False
