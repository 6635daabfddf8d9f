"""Clients and applications that do their worst, against a real process: it goes on serving, nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.functional.process import Connection, Server, ServerTestCase, until
from tests.test_tls import key_bytes, make_pair

APPLICATION = """\
import os
import threading

never = threading.Event()
state = {"running": 0, "closed": 0, "sent": 0}

class Pieces:
    def __init__(self, size, count):
        self.size, self.count = size, count

    def __iter__(self):
        piece = b"x" * self.size
        for _ in range(self.count):
            state["sent"] += self.size
            yield piece

    def close(self):
        state["closed"] += 1

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/state":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["%(running)d %(closed)d %(sent)d" % state]
    state["running"] += 1
    try:
        return answer(path, environ, start_response)
    finally:
        state["running"] -= 1

def answer(path, environ, start_response):
    if path == "/wait":
        while not environ["skitai.client_disconnected"]():
            never.wait(0.005)
    if path == "/hang":
        never.wait()
    if path == "/raise":
        raise KeyError("hostile")
    if path == "/none":
        return None
    if path == "/numbers":
        start_response("200 OK", [])
        return [1, 2, 3]
    if path == "/split":
        start_response("200 OK", [("X", "a\\r\\nY: b")])
        return [b"x"]
    if path == "/exit":
        raise SystemExit(3)
    if path.startswith("/stream/"):
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return Pieces(65536, int(path[8:]))
    if path.startswith("/fixed/"):
        count = int(path[7:])
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(65536 * count))])
        return Pieces(65536, count)
    if path == "/file":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](open("large.bin", "rb"))
    if path == "/read":
        size = 0
        while piece := environ["wsgi.input"].read(65536):
            size += len(piece)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello World"]

if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run(address="127.0.0.1")
"""

POST = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


class HostileTestCase(ServerTestCase):
    """Has a server of ``APPLICATION``, and looks into its process."""

    def serve(self, *options: str, threads: int = 2) -> Server:
        server = self.python(self.write("app.py", APPLICATION), "--threads", str(threads), *options)
        self.assertEqual(self.get(server, "/").status, 200)
        return server

    def descriptors(self, server: Server) -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    def resident(self, server: Server) -> int:
        """Return the resident memory of the process in bytes."""
        with open(f"/proc/{server.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def state(self, server: Server) -> tuple[int, int, int]:
        """Return how many requests run, how many iterables were closed, and how many bytes were given."""
        running, closed, sent = self.get(server, "/state").body.split()
        return int(running), int(closed), int(sent)

    def raw(self, server: Server, data: bytes = b"", receive_buffer: int = 0) -> socket.socket:
        """Return a connection that has sent ``data``."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(data)
        return connection

    def reset(self, connection: socket.socket) -> None:
        """Leave without a word."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    @contextlib.contextmanager
    def leaves_nothing(self, server: Server) -> Iterator[None]:
        """Check that the process has as many descriptors afterwards, and all its threads."""
        before = self.descriptors(server)
        yield
        until(lambda: self.descriptors(server) <= before, "descriptors stay open")
        until(lambda: self.state(server)[0] == 0, "a thread is held")


def rest(connection: socket.socket) -> bytes:
    """Return everything until the server closes or resets the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


class SilentClientTests(HostileTestCase):
    """Clients that say nothing, or next to nothing."""

    def test_2000_connections_that_send_nothing(self) -> None:
        server = self.serve("--head-timeout", "3", "--keep-alive-timeout", "3")
        with self.leaves_nothing(server):
            connections = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(2000)]
            for connection in connections:
                self.addCleanup(connection.close)
            other = self.connect(server)
            slowest = 0.0
            for _ in range(50):
                start = time.monotonic()
                other.send("/")
                self.assertEqual(other.receive().status, 200)
                slowest = max(slowest, time.monotonic() - start)
            self.assertLess(slowest, 1.0)
            self.assertGreater(self.descriptors(server), 2000, "they were closed too early: this tests nothing")
            for connection in connections:
                connection.settimeout(20)
                self.assertEqual(rest(connection), b"")

    def test_dripping_head_is_cut_at_the_deadline(self) -> None:
        server = self.serve("--head-timeout", "0.5")
        with self.leaves_nothing(server):
            connection = self.raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            start = time.monotonic()
            connection.settimeout(0.05)
            answer = b""
            while not answer and time.monotonic() < start + 20:
                try:
                    answer = connection.recv(1 << 16)
                except TimeoutError:
                    connection.send(b"y")
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
            self.assertLess(time.monotonic() - start, 5)
            connection.close()

    def test_dripping_body_is_cut_at_the_deadline(self) -> None:
        for threads, size in ((1, 1000), (1, 100_000), (0, 1000)):
            server = self.serve("--body-min-rate-grace", "0.5", threads=threads)
            with self.leaves_nothing(server):
                connection = self.raw(server, POST.format("/read", size).encode() + b"x")
                connection.settimeout(0.05)
                answer = b""
                end = time.monotonic() + 20
                while not answer and time.monotonic() < end:
                    try:
                        answer = connection.recv(1 << 16)
                    except TimeoutError:
                        connection.send(b"y")
                self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
                connection.close()
            self.assertEqual(server.stop(), 0)

    def test_200_slow_uploads_do_not_hold_the_only_thread(self) -> None:
        server = self.serve(threads=1)
        with self.leaves_nothing(server):
            slow = [self.raw(server, POST.format("/read", 2000).encode()) for _ in range(200)]
            other = self.connect(server)
            for number in range(10):
                for connection in slow:
                    connection.sendall(b"x" * (200 if number < 9 else 199))
                other.send("/")
                self.assertEqual(other.receive().status, 200)
            self.assertEqual(self.state(server)[0], 0)
            for connection in slow:
                connection.sendall(b"x")
            for connection in slow:
                self.assertTrue(connection.recv(1 << 16).endswith(b"\r\n\r\n2000"))
                connection.close()


class LeavingClientTests(HostileTestCase):
    """Clients that vanish at each stage."""

    def leave_everywhere(self, server: Server, threads: int) -> None:
        stages = {
            "head": b"GET / HT",
            "body": POST.format("/read", 1000).encode() + b"x" * 10,
            "large body": POST.format("/read", 1_000_000).encode() + b"x" * 100_000,
            "streaming": b"GET /stream/100000 HTTP/1.1\r\nHost: a\r\n\r\n",
            "writing": b"GET /fixed/100 HTTP/1.1\r\nHost: a\r\n\r\n",
            "file": b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        }
        if threads:
            stages["running"] = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
        for stage, data in stages.items():
            for orderly in (False, True):
                with self.leaves_nothing(server):
                    connection = self.raw(server, data, receive_buffer=4096)
                    if stage in ("streaming", "writing", "file"):
                        self.assertTrue(connection.recv(100), stage)
                    if stage == "running":
                        until(lambda: self.state(server)[0] == 1, "the request runs")
                    if orderly:
                        connection.close()
                    else:
                        self.reset(connection)

    def test_application_threads(self) -> None:
        self.write("large.bin", b"x" * 30_000_000)
        server = self.serve()
        self.leave_everywhere(server, 2)
        self.assertEqual(self.state(server)[1], 4, "close() was not called")
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)

    def test_on_the_reactor(self) -> None:
        self.write("large.bin", b"x" * 30_000_000)
        server = self.serve(threads=0)
        self.leave_everywhere(server, 0)
        self.assertEqual(self.state(server)[1], 4, "close() was not called")
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)

    def test_queued(self) -> None:
        server = self.serve(threads=1)
        with self.leaves_nothing(server):
            running = self.raw(server, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            queued = [self.raw(server, b"GET /fixed/1 HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(100)]
            last = self.raw(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for connection in queued:
                self.reset(connection)
            until(lambda: server.output.count("GET /fixed/1 ") == 100, "those that left while queued are logged")
            self.reset(running)
            self.assertIn(b"200 OK", last.recv(1 << 16))
            last.close()
        self.assertEqual(self.state(server)[1], 0, "the application ran for a client that had left")

    def test_hundreds_leave_in_the_middle_of_everything(self) -> None:
        server = self.serve()
        chance = random.Random(7)
        with self.leaves_nothing(server):
            for _ in range(300):
                data = b"GET /fixed/20 HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + POST.format("/read", 200_000).encode()
                connection = self.raw(server, (data + b"x" * 1000)[: chance.randrange(1, len(data) + 1000)], 4096)
                if chance.random() < 0.5:
                    connection.settimeout(0.001)
                    with contextlib.suppress(OSError):
                        connection.recv(chance.randrange(1, 100_000))
                self.reset(connection)
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)


class StallingClientTests(HostileTestCase):
    """Clients that do not read, and transfers larger than the memory they may take."""

    def test_application_stops_at_a_bounded_number_of_bytes(self) -> None:
        for threads in (1, 0):
            server = self.serve("--drain-timeout", "1", threads=threads)
            if threads:
                self.check_bound_from_outside(server)
            else:
                connection = self.raw(server, b"GET /stream/100000 HTTP/1.1\r\nHost: a\r\n\r\n", 4096)
                _, _, sent = self.settled(server)
                self.assertLess(sent, 16_000_000)
                self.wait_for_close(server)
                connection.close()

    def wait_for_close(self, server: Server) -> None:
        until(lambda: self.state(server)[1] == 1, "close() is called once the client is cut off")

    def settled(self, server: Server) -> tuple[int, int, int]:
        """Return the state once it does not change any more."""
        seen = [self.state(server)]

        def same() -> bool:
            seen.append(self.state(server))
            return seen[-1] == seen[-2] and seen[-1][2] > 0

        until(same, "the application stops")
        return seen[-1]

    def check_bound_from_outside(self, server: Server) -> None:
        """The only thread is held: it is the memory that tells, and then what has come."""
        before = self.resident(server)
        connection = self.raw(server, b"GET /stream/100000 HTTP/1.1\r\nHost: a\r\n\r\n", 4096)
        self.assertTrue(connection.recv(1))
        waiting = self.raw(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        # The one who waits is served when the other has been cut off, after drain_timeout.
        self.assertIn(b"200 OK", waiting.recv(1 << 16))
        self.assertLess(self.resident(server) - before, 30_000_000)
        _, closed, sent = self.state(server)
        self.assertEqual(closed, 1)
        self.assertLess(sent, 16_000_000)

    def test_large_download(self) -> None:
        self.write("large.bin", b"")
        os.truncate(os.path.join(self.directory, "large.bin"), 256 << 20)
        server = self.serve()
        for path, length in (("/file", 256 << 20), ("/fixed/4096", 256 << 20)):
            before = self.resident(server)
            connection = self.raw(server, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            size, most = self.drain(connection, server)
            self.assertGreater(size, length)
            self.assertLess(most - before, 30_000_000, path)

    def drain(self, connection: socket.socket, server: Server) -> tuple[int, int]:
        """Read to the end; return how much it was, and the most memory seen meanwhile."""
        size, turn, most = 0, 0, 0
        buffer = bytearray(1 << 20)
        while count := connection.recv_into(buffer):
            size += count
            turn += 1
            if turn % 50 == 0:
                most = max(most, self.resident(server))
        return size, most

    def test_large_upload(self) -> None:
        for threads in (1, 0):
            server = self.serve(threads=threads)
            before = self.resident(server)
            piece = b"x" * (1 << 20)
            connection = self.raw(server, POST.format("/read", 256 << 20).encode())
            most = 0
            for number in range(256):
                connection.sendall(piece)
                if number % 10 == 0:
                    most = max(most, self.resident(server))
            self.assertTrue(connection.recv(1 << 16).endswith(b"\r\n\r\n%d" % (256 << 20)))
            self.assertLess(max(most, self.resident(server)) - before, 30_000_000, f"threads={threads}")
            connection.close()
            self.assertEqual(server.stop(), 0)

    def test_upload_that_is_not_read_stops(self) -> None:
        server = self.serve()
        before = self.resident(server)
        connection = self.raw(server, POST.format("/hang", 1 << 30).encode())
        connection.settimeout(0.3)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 28:
                sent += connection.send(b"x" * (1 << 20))
        self.assertLess(sent, 1 << 25)
        self.assertLess(self.resident(server) - before, 10_000_000)
        self.reset(connection)


class GarbageTests(HostileTestCase):
    """Bytes without sense, and more of them than are welcome."""

    def test_pipelined_bursts(self) -> None:
        for threads in (2, 0):
            server = self.serve(threads=threads)
            with self.leaves_nothing(server):
                request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
                connection = self.raw(server)
                writer = threading.Thread(target=connection.sendall, args=(request * 5000,), daemon=True)
                writer.start()
                count = 0
                tail = b""
                while count < 5000:
                    tail += connection.recv(1 << 20)
                    count += tail.count(b"Hello World")
                    tail = tail[tail.rfind(b"Hello World") + 11 :] if b"Hello World" in tail else tail
                self.assertEqual((count, tail), (5000, b""))
                writer.join(20)
                connection.close()

    def test_pipelined_requests_of_a_client_that_does_not_read(self) -> None:
        server = self.serve("--drain-timeout", "1")
        before = self.resident(server)
        with self.leaves_nothing(server):
            connection = self.raw(server, receive_buffer=4096)
            connection.settimeout(0.5)
            with contextlib.suppress(OSError):
                for _ in range(2000):
                    connection.sendall(b"GET /fixed/1 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            self.assertLess(self.resident(server) - before, 20_000_000)
            connection.settimeout(20)
            rest(connection)

    def test_random_bytes(self) -> None:
        server = self.serve("--head-timeout", "1", "--body-min-rate-grace", "1")
        chance = random.Random(11)
        parts = [
            b"GET", b"POST", b" ", b"/", b" HTTP/1.1", b"\r\n", b"\r", b"\n", b"\0", b"Host: a", b"Content-Length: 5",
            b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close", b"5\r\nhello\r\n",
            b"0\r\n\r\n", b"\r\n\r\n", b"\xff" * 9, b"hello", b": ", b"x" * 300, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]  # fmt: skip
        with self.leaves_nothing(server):
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                data = b"".join(chance.choices(parts, k=chance.randrange(1, 30)))
                if chance.random() < 0.3:
                    data = chance.randbytes(chance.randrange(1, 500))
                connection = self.raw(server, data)
                how = chance.randrange(3)
                if how == 0:
                    self.reset(connection)
                elif how == 1:
                    connection.close()
                else:
                    connection.shutdown(socket.SHUT_WR)
                    for head in re.findall(rb"HTTP/1\.1 (\d+)", rest(connection)):
                        self.assertIn(int(head), (100, 200, 400, 408, 413, 414, 417, 431, 501, 505))
                    connection.close()
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)


class HostileApplicationTests(HostileTestCase):
    """Applications that break every rule."""

    def test_junk(self) -> None:
        for threads in (1, 0):
            server = self.serve(threads=threads)
            with self.leaves_nothing(server):
                for path in ("/raise", "/none", "/numbers", "/split", "/exit"):
                    answer = self.get(server, path)
                    self.assertEqual((path, answer.status), (path, 500))
                    self.assertNotIn(b"Traceback", answer.body)
                self.assertEqual(self.get(server, "/").body, b"Hello World")
            self.assertEqual(server.stop(), 0)

    def test_stop_names_the_request_that_hangs(self) -> None:
        for threads in (1, 0):
            server = self.serve("--graceful-timeout", "0.5", threads=threads)
            self.raw(server, b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
            if threads:
                self.raw(server, b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n")
            self.wait_until_asleep(server)
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            server.wait(10)
            self.assertLess(time.monotonic() - start, 8)
            self.assertIn("GET /hang", server.output)

    def wait_until_asleep(self, server: Server) -> None:
        """Wait until the process has read all that was sent to it."""
        port = f":{server.port:04X}"

        def look() -> bool:
            with open("/proc/net/tcp") as file:
                lines = [line.split() for line in file]
            mine = [line for line in lines if line[1].endswith(port) and line[3] == "01"]
            return bool(mine) and all(line[4].endswith(":00000000") for line in mine)

        until(look, "the requests are read")

    def test_many_clients_at_once(self) -> None:
        server = self.serve(threads=3)

        def one(number: int) -> int:
            connection = Connection(server.port)
            try:
                right = 0
                for turn in range(20):
                    if (number + turn) % 3:
                        connection.send("/")
                        right += connection.receive().body == b"Hello World"
                    else:
                        connection.send("/fixed/3")
                        right += len(connection.receive().body) == 3 * 65536
                return right
            finally:
                connection.close()

        with self.leaves_nothing(server), ThreadPoolExecutor(20) as pool:
            self.assertEqual(sum(pool.map(one, range(20))), 400)


class SecureTests(HostileTestCase):
    """The same over TLS, where bytes take other ways."""

    def setUp(self) -> None:
        super().setUp()
        certificate, key = make_pair()
        self.certificate = self.write("certificate.pem", certificate)
        self.key = self.write("key.pem", key_bytes(key))
        self.context = ssl.create_default_context(cafile=self.certificate)
        self.write("large.bin", b"x" * 20_000_000)

    def serve(self, *options: str, threads: int = 2) -> Server:
        return super().serve("--certfile", self.certificate, "--keyfile", self.key, *options, threads=threads)

    def connect(self, server: Server, context: ssl.SSLContext | None = None) -> Connection:
        return super().connect(server, context or self.context)

    def test_everything_arrives_and_then_the_end(self) -> None:
        server = self.serve()
        with self.leaves_nothing(server):
            for path, size in (("/file", 20_000_000), ("/fixed/300", 300 * 65536), ("/stream/300", 300 * 65536)):
                start = time.monotonic()
                connection = self.connect(server)
                connection.send(path, "Connection: close")
                self.assertGreaterEqual(len(connection.rest()), size)
                connection.close()
                self.assertLess(time.monotonic() - start, 8, path)

    def test_clients_that_leave(self) -> None:
        server = self.serve()
        for path in ("/file", "/stream/100000", "/fixed/300"):
            with self.leaves_nothing(server):
                connection = self.connect(server)
                connection.send(path)
                self.assertTrue(connection.socket.recv(100))
                self.reset(connection.socket)
        until(lambda: self.state(server)[1] == 2, "close() is called")
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.output)

    def test_client_that_does_not_read_is_cut_off(self) -> None:
        server = self.serve("--drain-timeout", "0.5", threads=1)
        with self.leaves_nothing(server):
            for path in ("/stream/100000", "/file"):
                connection = self.connect(server)
                connection.send(path)
                self.assertTrue(connection.socket.recv(1))
                self.assertEqual(self.get(server, "/").status, 200)  # the only thread is free again
            until(lambda: "GET /file " in server.output, "the other is cut off, too")
