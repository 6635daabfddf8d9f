"""Clients over plain sockets for what wrk can not do: idle and silent connections, very large bodies, the first answer.

They run in this process (which ``run.py`` pins to the load core) and know nothing of processes.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

TIMEOUT = 10.0
TRANSFER_TIMEOUT = 120.0
PIECE = 262144
PAUSE_AFTER = 10_000_000
CHUNKED = -1
BOUNDARY = "----form-4e8d2c61f0a94b7d"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, and its body (as sent, chunks and all) or, of a large one, only the number of bytes."""

    status: int
    body: bytes
    size: int


class Connection:
    """One keep-alive HTTP/1.1 connection to a port of the loopback interface.

    Its methods raise OSError when the server closes or is silent for ten seconds, ValueError for a malformed answer.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def get(self, path: str) -> Answer:
        """Ask for a small resource."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return self._answer()

    def post(self, path: str, size: int) -> Answer:
        """Send ``size`` zero bytes."""
        fields = f"Host: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}"
        self.socket.sendall(f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        self._send(bytes(PIECE), size)
        return self._answer()

    def post_form(self, path: str, size: int) -> Answer:
        """Send a form with one file of ``size`` bytes, which have all values."""
        disposition = 'Content-Disposition: form-data; name="file"; filename="large.bin"'
        begin = f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        end = f"\r\n--{BOUNDARY}--\r\n".encode()
        fields = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
        length = len(begin) + size + len(end)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\nContent-Length: {length}\r\n\r\n"
        self.socket.sendall(head.encode() + begin)
        self._send(bytes(range(256)) * (PIECE // 256), size)
        self.socket.sendall(end)
        return self._answer()

    def _send(self, content: bytes, size: int) -> None:
        """Send ``content`` over and over, ``size`` bytes in all."""
        piece = memoryview(content)
        deadline = time.monotonic() + TRANSFER_TIMEOUT
        for start in range(0, size, len(content)):
            _check(deadline)
            self.socket.sendall(piece[: min(len(content), size - start)])

    def download(self, path: str, pause: float) -> Answer:
        """Read a large resource and drop it, not reading for ``pause`` seconds after the first 10 MB."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status, length = self._head()
        if length == CHUNKED:
            raise ValueError("a download without Content-Length")
        received, self._data = len(self._data), b""
        buffer = bytearray(PIECE)
        deadline = time.monotonic() + TRANSFER_TIMEOUT
        while received < length:
            _check(deadline)
            count = self.socket.recv_into(buffer)
            if not count:
                raise ConnectionError(f"closed after {received:,} of {length:,} bytes")
            received += count
            if pause and received > PAUSE_AFTER:
                time.sleep(pause)
                pause = 0.0
        return Answer(status, b"", received)

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def _answer(self) -> Answer:
        status, length = self._head()
        if length == CHUNKED:
            while not self._data.endswith(b"0\r\n\r\n"):
                self._receive()
            length = len(self._data)
        while len(self._data) < length:
            self._receive()
        body, self._data = self._data[:length], self._data[length:]
        return Answer(status, body, length)

    def _head(self) -> tuple[int, int]:
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b":", 1) for line in lines[1:])
        status = int(lines[0].split()[1])
        if b"content-length" in fields:
            return status, int(fields[b"content-length"])
        if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
            return status, CHUNKED
        raise ValueError(f"an answer of unknown length: {lines[0]!r}")

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._data += data


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"the transfer took more than {TRANSFER_TIMEOUT:.0f} s")


def get(port: int, path: str) -> Answer:
    """Ask once, over a connection of its own."""
    with contextlib.closing(Connection(port)) as connection:
        connection.socket.settimeout(TIMEOUT)
        return connection.get(path)


@contextlib.contextmanager
def idle_connections(port: int, count: int, path: str) -> Iterator[list[Connection]]:
    """Hold ``count`` connections, each of which has had one answer."""
    held: list[Connection] = []
    try:
        for _ in range(count):
            held.append(Connection(port))
            if held[-1].get(path).status != 200:
                raise ValueError("an answer other than 200")
        yield held
    finally:
        for connection in held:
            connection.close()


@contextlib.contextmanager
def silent_connections(port: int, count: int) -> Iterator[None]:
    """Hold ``count`` connections that never send a byte."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(socket.create_connection(("127.0.0.1", port), TIMEOUT))
        yield
    finally:
        for silent in held:
            silent.close()
