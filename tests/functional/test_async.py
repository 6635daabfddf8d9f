"""Coroutines in servers of their own: on the usual reactor and on that of asyncio, started in both ways.

The application is plain WSGI: what it does with ``was.later`` and ``was.in_thread`` is what frameworks do.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
from collections.abc import Callable

from tests.functional.process import TWISTD, Connection, Response, Server, ServerTestCase, until

APPLICATION = """\
import asyncio
import os
import threading
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from skitai import was as current

seen = []
waiting = []
event = threading.Event()

def pause(seconds=0.01):
    from twisted.internet import reactor
    return deferLater(reactor, seconds)

async def file_named(name):
    while not os.path.exists(name):
        await pause()

async def hello(was):
    return [b"hello"]

async def wait(was):
    seen.append("begun")
    deferred = Deferred()
    waiting.append(deferred)
    try:
        return [await deferred]
    finally:
        seen.append("ended")

async def release(was):
    woken, waiting[:] = waiting[:], []
    for deferred in woken:
        deferred.callback(b"released")
    return [str(len(woken)).encode()]

async def events(was):
    return [",".join(seen).encode()]

async def same(was):
    await pause()
    return [str(current.env is was.env).encode()]

async def thread(was):
    def function():
        return f"{threading.current_thread() is threading.main_thread()} {current.env is was.env}".encode()
    return [await was.in_thread(function)]

async def file(was):
    await file_named("release")
    return [b"done"]

async def never(was):
    try:
        await Deferred()
    finally:
        await pause()
        open("undone", "w").close()

async def stream(was):
    async def body():
        try:
            for number in range(3):
                yield str(number)
                await pause()
        finally:
            seen.append("closed")
    return body()

async def flood(was):
    async def body():
        try:
            while True:
                seen.append("piece")
                yield b"x" * 100_000
        finally:
            seen.append("closed")
    return body()

async def sleep(was):
    await asyncio.sleep(0.001)
    return [b"slept"]

async def tasks(was):
    async def inner(number):
        await pause()
        return number
    numbers = await asyncio.gather(inner(1), inner(2), pause())
    try:
        await asyncio.wait_for(Deferred(), 0.01)
    except asyncio.TimeoutError:
        numbers.append(type(asyncio.current_task()).__name__)
    return [str(numbers)]

async def fail(was):
    await pause()
    raise KeyError("in a coroutine")

def app(environ, start_response):
    name = environ["PATH_INFO"].rpartition("/")[2]
    if name == "hang":
        seen.append("hanging")
        event.wait()
    if name == "go":
        event.set()
    was = environ["skitai.was"]
    if name not in globals():
        start_response("200 OK", [])
        return [b"plain"]

    async def answer():
        result = await globals()[name](was)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return result

    return was.later(answer())

app.skitai_is_async = lambda method, path: path.startswith("/async/")

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""


class Base(ServerTestCase):
    """Starts a server."""

    def serve(self, *options: str) -> Server:
        """Start the server under test."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.app = self.write("app.py", APPLICATION)

    def begin(self, server: Server, target: str) -> Connection:
        """Send a request and return its connection."""
        connection = self.connect(server)
        connection.send(target)
        return connection

    def seen(self, server: Server) -> list[str]:
        """Return what coroutines have noted."""
        return self.get(server, "/async/events").body.decode().split(",")


class EveryReactor:
    """What holds on every reactor."""

    serve: Callable[..., Server]
    begin: Callable[[Server, str], Connection]
    get: Callable[[Server, str], Response]
    seen: Callable[[Server], list[str]]
    write: Callable[[str, str], str]
    assertEqual: Callable[..., None]
    assertLess: Callable[..., None]
    assertIn: Callable[..., None]
    assertTrue: Callable[..., None]
    directory: str

    def test_answers_of_every_kind(self) -> None:
        server = self.serve()
        for directory in ("/async/", "/in-thread-first/"):
            for name, body in (
                ("hello", b"hello"),
                ("same", b"True"),
                ("thread", b"False True"),
                ("stream", b"1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n"),
            ):
                self.assertEqual(self.get(server, directory + name).body, body, name)
        self.assertEqual(self.seen(server), ["closed", "closed"])
        response = self.get(server, "/async/fail")
        self.assertEqual(response.status, 500)
        server.wait_for(r"KeyError: .*in a coroutine")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(re.findall(r"Unhandled.*", server.output), [])

    def test_many_wait_and_take_no_thread(self) -> None:
        server = self.serve("--threads", "1")
        hanging = self.begin(server, "/hang")
        until(lambda: "hanging" in self.seen(server), "a request that takes the only thread")
        connections = [self.begin(server, "/async/wait") for _ in range(50)]
        until(lambda: self.seen(server).count("begun") == 50, "50 coroutines")
        self.assertEqual(self.get(server, "/async/release").body, b"50")
        for connection in connections:
            self.assertEqual(connection.receive().body, b"released")
        self.assertEqual(self.seen(server).count("ended"), 50)
        self.assertEqual(self.get(server, "/async/go").body, b"plain")
        self.assertEqual(hanging.receive().body, b"plain")

    def test_a_client_that_leaves(self) -> None:
        server = self.serve()
        for reset in (False, True):
            connection = self.begin(server, "/async/wait")
            until(lambda: self.seen(server)[-1] == "begun", "a coroutine that waits")
            if reset:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            until(lambda: self.seen(server)[-1] == "ended", "its end")
        self.assertEqual(self.get(server, "/async/hello").body, b"hello")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(re.findall(r"\[(?:warn|error|critical)\].*|Unhandled.*|Traceback.*", server.output), [])

    def test_a_stream_goes_as_fast_as_it_is_read(self) -> None:
        server = self.serve()
        connection = self.begin(server, "/async/flood")
        before, now = -1, 0
        while before != now or not now:
            before, now = now, self.seen(server).count("piece")
        self.assertLess(now, 200)
        for _ in range(300):
            connection.socket.recv(1 << 20)
        until(lambda: self.seen(server).count("piece") > now, "more pieces")
        connection.close()
        until(lambda: self.seen(server)[-1] == "closed", "the end of the stream")

    def test_a_stop_waits_for_coroutines(self) -> None:
        server = self.serve()
        connection = self.begin(server, "/async/file")
        self.assertEqual(self.get(server, "/async/hello").body, b"hello")
        idle = self.begin(server, "/async/hello")
        idle.receive()
        server.signal(signal.SIGTERM)
        self.assertEqual(idle.rest(), b"")
        self.write("release", "")
        self.assertEqual(connection.receive().body, b"done")
        self.assertEqual(server.wait(), 0)

    def test_at_the_deadline_they_are_named_and_cancelled(self) -> None:
        server = self.serve("--graceful-timeout", "0.3")
        connection = self.begin(server, "/async/never")
        self.assertEqual(self.get(server, "/async/hello").body, b"hello")
        server.stop()
        self.assertEqual(connection.rest(), b"")
        self.assertIn("GET /async/never", server.output)
        self.assertTrue(os.path.exists(os.path.join(self.directory, "undone")), server.output)


class UsualReactorTests(EveryReactor, Base):
    """``python app.py`` on the reactor that Skitai chooses."""

    def serve(self, *options: str) -> Server:
        return self.python(self.app, *options)

    def test_what_asyncio_has_is_refused_with_a_hint(self) -> None:
        server = self.serve()
        for name in ("sleep", "tasks"):
            self.assertEqual(self.get(server, f"/async/{name}").status, 500)
        server.wait_for(r"RuntimeError: asyncio works only under .*reactor='asyncio'")


class AsyncioTests(EveryReactor, Base):
    """``python app.py`` on the reactor of asyncio."""

    def serve(self, *options: str) -> Server:
        return self.python(self.app, "--reactor", "asyncio", *options)

    def test_what_asyncio_has(self) -> None:
        server = self.serve()
        self.assertEqual(self.get(server, "/async/sleep").body, b"slept")
        self.assertEqual(self.get(server, "/async/tasks").body, b"[1, 2, None, 'Task']")


class TwistdTests(AsyncioTests):
    """``twistd --reactor=asyncio``."""

    def serve(self, *options: str) -> Server:
        return self.start(*TWISTD, "--reactor=asyncio", "skitai", "--app", self.app, "--port", "0", *options)
