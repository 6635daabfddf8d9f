"""The server that applications ask: it answers every request with the same, at once or after ``BENCH_DELAY`` seconds.

It is as fast as Python allows, so that what is measured is who asks: it does not read requests beyond the empty line
that ends each of them, which have no content.
"""

from __future__ import annotations

import collections
import os
import select
import socket
import time

BODY = b'{"id": 4711, "name": "Walnut desk", "price": 249.5, "stock": 12, "tags": ["office", "wood"], "new": true}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
HEAD_END = b"\r\n\r\n"


class Backend:
    """One thread, all connections.

    Args:
        port: Where it listens.
        delay: Seconds that it takes for each answer.
    """

    def __init__(self, port: int, delay: float) -> None:
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        # The delay is the same for all, so that answers are due in the order of the requests.
        self._due: collections.deque[tuple[float, int, socket.socket, int]] = collections.deque()

    def run(self) -> None:
        """Serve for ever."""
        listening = self._listener.fileno()
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for number, _ in self._poll.poll(wait):
                if number == listening:
                    self._accept()
                else:
                    self._read(number)
            self._answer_due()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)

    def _read(self, number: int) -> None:
        connection = self._connections[number]
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._close(number)
            return
        data = self._rests.pop(number, b"") + data
        if not data.endswith(HEAD_END):
            self._rests[number] = data[data.rfind(HEAD_END) + len(HEAD_END) :] if HEAD_END in data else data
        count = data.count(HEAD_END)
        if count and self._delay:
            self._due.append((time.monotonic() + self._delay, number, connection, count))
        elif count:
            self._answer(number, count)

    def _answer_due(self) -> None:
        now = time.monotonic() if self._due else 0.0
        while self._due and self._due[0][0] <= now:
            _, number, connection, count = self._due.popleft()
            if self._connections.get(number) is connection:
                self._answer(number, count)

    def _answer(self, number: int, count: int) -> None:
        try:
            self._connections[number].send(ANSWER * count)
        except OSError:
            self._close(number)

    def _close(self, number: int) -> None:
        self._rests.pop(number, None)
        connection = self._connections.pop(number)
        self._poll.unregister(connection)
        connection.close()


if __name__ == "__main__":
    Backend(int(os.environ.get("BENCH_PORT", "5001")), float(os.environ.get("BENCH_DELAY", "0"))).run()
