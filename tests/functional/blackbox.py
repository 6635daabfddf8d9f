"""Servers shared by the tests of a module, and a client that reads every form of response to its last byte.

A server is started by the first test that asks for it and ended with the test run; tests only read from it, or use
paths of their own, so that their order does not matter.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Mapping

from tests.functional.process import PATIENCE, Server


class Reply:
    """A response, read whole.

    Attributes:
        version: "HTTP/1.1".
        status: Its number.
        fields: Names in lower case and values, in order.
        body: Without transfer coding.
        chunks: Pieces of a chunked body; None where it is not chunked.
        interim: Statuses of the 1xx responses before it.
    """

    def __init__(self, line: str, fields: list[tuple[str, str]]) -> None:
        self.version, _, rest = line.partition(" ")
        number, _, self.reason = rest.partition(" ")
        self.status = int(number)
        self.fields = fields
        self.body = b""
        self.chunks: list[bytes] | None = None
        self.interim: list[int] = []

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str, default: str = "") -> str:
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else default

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Wire:
    """A connection that is written to byte by byte and read response by response."""

    def __init__(
        self, port: int, context: ssl.SSLContext | None = None, name: str = "localhost", buffer: int = 0
    ) -> None:
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=name) if context is not None else plain
        self._data = b""

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def request(
        self, target: str, *fields: str, method: str = "GET", body: bytes = b"", host: str | None = "localhost"
    ) -> None:
        """Send a request of HTTP/1.1, with a Content-Length where it has a body."""
        lines = [f"{method} {target} HTTP/1.1", *fields]
        if host is not None:
            lines.insert(1, f"Host: {host}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def receive(self, method: str = "GET") -> Reply:
        """Return the next final response."""
        interim: list[int] = []
        while True:
            reply = self._head()
            if reply.status >= 200:
                break
            interim.append(reply.status)
        reply.interim = interim
        if method == "HEAD" or reply.status in (204, 304):
            return reply
        if reply.get("Transfer-Encoding"):
            self._chunked(reply)
        elif length := reply.get("Content-Length"):
            reply.body = self._exactly(int(length))
        else:
            reply.body = self.rest()
        return reply

    def receive_interim(self) -> Reply:
        """Return the next response, of which the head is all."""
        return self._head()

    def ask(
        self, target: str, *fields: str, method: str = "GET", body: bytes = b"", host: str | None = "localhost"
    ) -> Reply:
        """Send a request and return its response."""
        self.request(target, *fields, method=method, body=body, host=host)
        return self.receive(method)

    def rest(self) -> bytes:
        """Return everything until the server closes, or resets."""
        data, self._data = self._data, b""
        try:
            while piece := self.socket.recv(65536):
                data += piece
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        return data

    def closed(self) -> bool:
        """Wait until the server closes; tell whether it did without another byte."""
        return self.rest() == b""

    def silent(self, seconds: float = 0.15) -> bool:
        """Tell whether nothing comes, not even the end, for a while."""
        if self._data:
            return False
        self.socket.settimeout(seconds)
        try:
            self._data = self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"closed after {self._data!r}")
        self._data += piece

    def _until(self, end: bytes) -> bytes:
        while end not in self._data:
            self._more()
        data, _, self._data = self._data.partition(end)
        return data

    def _exactly(self, count: int) -> bytes:
        pieces, size = [self._data], len(self._data)
        while size < count:
            self._data = b""
            self._more()
            pieces.append(self._data)
            size += len(self._data)
        data = b"".join(pieces)
        self._data = data[count:]
        return data[:count]

    def _head(self) -> Reply:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon, lines
            fields.append((name.lower(), value.strip()))
        return Reply(lines[0], fields)

    def _chunked(self, reply: Reply) -> None:
        reply.chunks = []
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            reply.chunks.append(self._exactly(size))
            assert self._exactly(2) == b"\r\n"
        while self._until(b"\r\n"):
            pass
        reply.body = b"".join(reply.chunks)


STARTING = threading.RLock()
"""Held while a shared server starts: a test may begin with many threads that ask it."""


class Shared:
    """A server that the tests of a module share.

    Args:
        files: Texts by name; "app.py" is what is run.
        options: Of the command line.
        environment: Variables added to those of the test.
    """

    def __init__(
        self, files: Mapping[str, str | bytes], *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._files, self._options, self._environment = files, options, environment
        self._server: Server | None = None
        self.directory = ""

    @property
    def server(self) -> Server:
        with STARTING:
            if self._server is None:
                self.directory = os.path.realpath(tempfile.mkdtemp())
                atexit.register(shutil.rmtree, self.directory, True)
                for name, text in self._files.items():
                    write(self.directory, name, text)
                command = [sys.executable, os.path.join(self.directory, "app.py"), "--port", "0", *self._options]
                self._server = Server(command, self.directory, self._environment)
                atexit.register(self._server.end)
            return self._server

    def end(self) -> None:
        """End the server, where a test does not share it after all."""
        if self._server is not None:
            self._server.end()

    def connect(self, context: ssl.SSLContext | None = None, buffer: int = 0) -> Wire:
        return Wire(self.server.port, context, buffer=buffer)

    def ask(
        self, target: str, *fields: str, method: str = "GET", body: bytes = b"", host: str | None = "localhost"
    ) -> Reply:
        """Return the response to a request on a connection of its own."""
        with self.connect() as wire:
            return wire.ask(target, *fields, method=method, body=body, host=host)

    def raw(self, data: bytes | str, end: bool = False) -> Wire:
        """Return a connection over which ``data`` has been sent; ``end`` closes its sending side."""
        wire = self.connect()
        wire.send(data)
        if end:
            wire.half_close()
        return wire


class Case:
    """Names the case of a table in whatever goes wrong inside."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, AssertionError):
            raise AssertionError(f"{self._value!r}: {error!r}") from error


def write(directory: str, name: str, text: str | bytes) -> str:
    """Write a file; return its path."""
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path
