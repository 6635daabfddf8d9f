"""Tests of ``skitai.testing.client`` and ``skitai.testing.request``, on applications made here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.testing import Client, NoResponse

Environ = dict[str, Any]
Start = Callable[..., Any]


def mirror(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Answer with what was asked, as JSON."""
    body = environ["wsgi.input"].read()
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps({**seen, "body": body.decode("latin-1")}).encode()]


def broken(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Raise."""
    raise LookupError("broken on purpose")


def streaming(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Answer piece by piece."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    yield b"two"


class Naming:
    """An application that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Answer with the name and the path below the mount point."""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{self.name} {environ['PATH_INFO']}".encode()]


class RequestTests(SynchronousTestCase):
    """Requests reach the application as they were meant."""

    def setUp(self) -> None:
        self.client = Client(mirror)

    def test_get(self) -> None:
        """A plain request and its response."""
        response = self.client.get("/a/b?c=d")
        self.assertEqual((response.status, response.reason), (200, "OK"))
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers.get_all("set-cookie"), ["a=1", "b=2"])
        seen = response.json()
        self.assertEqual((seen["REQUEST_METHOD"], seen["PATH_INFO"], seen["QUERY_STRING"]), ("GET", "/a/b", "c=d"))
        self.assertEqual((seen["HTTP_HOST"], seen["body"]), ("localhost", ""))
        self.assertIsNone(response.error)

    def test_path(self) -> None:
        """What a URI may not hold is encoded, what is encoded already is left alone."""
        self.assertEqual(self.client.get("/a b/\xe9").json()["PATH_INFO"], "/a b/\xc3\xa9")
        self.assertEqual(self.client.get("/%20%2f").json()["REQUEST_URI"], "/%20%2f")

    def test_headers(self) -> None:
        """Fields come from dictionaries and from pairs."""
        self.assertEqual(self.client.get("/", {"X-A": "b"}).json()["HTTP_X_A"], "b")
        seen = self.client.get("/", [("Accept", "a"), ("Accept", "b"), ("Host", "c")]).json()
        self.assertIn(seen["HTTP_ACCEPT"], ("a, b", "a,b"))
        self.assertEqual(seen["HTTP_HOST"], "c")

    def test_methods(self) -> None:
        """Each method has a function; any other one goes through ``request``."""
        for method in ("get", "delete", "options", "post", "put", "patch"):
            self.assertEqual(getattr(self.client, method)("/").json()["REQUEST_METHOD"], method.upper())
        self.assertEqual(self.client.request("BREW", "/").json()["REQUEST_METHOD"], "BREW")
        response = self.client.head("/")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_body_bytes(self) -> None:
        """Bytes are sent as they are, with their length and no type."""
        seen = self.client.post("/", b"\x00\xff").json()
        self.assertEqual((seen["body"], seen["CONTENT_LENGTH"]), ("\x00\xff", "2"))
        self.assertEqual(seen.get("CONTENT_TYPE", ""), "")
        self.assertEqual(self.client.post("/", b"").json()["CONTENT_LENGTH"], "0")

    def test_body_text(self) -> None:
        """Text is sent as UTF-8; the caller's type wins."""
        seen = self.client.put("/", "\xe9").json()
        self.assertEqual((seen["body"], seen["CONTENT_TYPE"]), ("\xc3\xa9", "text/plain; charset=utf-8"))
        self.assertEqual(self.client.put("/", "x", {"content-type": "text/x"}).json()["CONTENT_TYPE"], "text/x")

    def test_body_form(self) -> None:
        """A dictionary is sent as a form."""
        seen = self.client.post("/", {"a": "b c", "d": ["1", "2"]}).json()
        self.assertEqual((seen["body"], seen["CONTENT_TYPE"]), ("a=b+c&d=1&d=2", "application/x-www-form-urlencoded"))

    def test_body_json(self) -> None:
        """JSON is sent as such, and not together with other data."""
        seen = self.client.patch("/", json=[1, None]).json()
        self.assertEqual((seen["body"], seen["CONTENT_TYPE"]), ("[1, null]", "application/json"))
        self.assertRaises(ValueError, self.client.post, "/", b"x", json=1)

    def test_body_chunks(self) -> None:
        """An iterable is sent in chunks, empty pieces left out."""
        seen = self.client.post("/", [b"he", b"", b"llo"]).json()
        self.assertEqual(seen["body"], "hello")
        self.assertEqual(seen["HTTP_TRANSFER_ENCODING"], "chunked")

    def test_large_body(self) -> None:
        """A body larger than the wire and the spool arrives whole."""
        self.assertEqual(len(self.client.post("/", b"x" * 1_000_000).json()["body"]), 1_000_000)


class ServerTests(SynchronousTestCase):
    """It is the real server that answers."""

    def test_ways(self) -> None:
        """The same answer inline and stepping, whole and byte by byte."""
        bodies = set()
        for workers in ("inline", "stepping"):
            for piece_size in (0, 1):
                client = Client(streaming, workers, piece_size)
                response = client.post("/", b"hello")
                self.assertEqual(response.headers.get("transfer-encoding"), "chunked")
                bodies.add(response.body)
        self.assertEqual(bodies, {b"one two"})
        self.assertRaises(ValueError, Client, mirror, "threads")

    def test_mounts(self) -> None:
        """Mounts are given as for ``skitai.run``."""
        for mounts in (
            {"/": Naming("root"), "/a": Naming("a")},
            [("/", Naming("root")), ("/a", Naming("a"))],
            (("/", Naming("root")), ("/a", Naming("a"))),
        ):
            client = Client(mounts)
            self.assertEqual(client.get("/x").text, "root /x")
            self.assertEqual(client.get("/a/x").text, "a /x")
            self.assertEqual(client.get("/a").status, 308)
        self.assertEqual(Client(("/a", Naming("a"))).get("/b").status, 404)

    def test_virtual_host(self) -> None:
        """Virtual hosts count."""
        client = Client([("/", Naming("default")), ("/", Naming("other"), "app", None, "other.example")])
        self.assertEqual(client.get("/", {"Host": "other.example:5000"}).text, "other /")
        self.assertEqual(client.get("/").text, "default /")

    def test_directory(self) -> None:
        """A directory is served, a path relative to this file's directory."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "a.txt").write_bytes(b"x" * 100_000)
        client = Client(str(directory.absolute()))
        self.assertEqual(client.get("/a.txt").body, b"x" * 100_000)
        self.assertEqual(client.get("/b.txt").status, 404)
        relative = os.path.relpath(directory, Path(__file__).parent)
        self.assertEqual(Client(relative).get("/a.txt", {"Range": "bytes=-3"}).body, b"xxx")

    def test_settings(self) -> None:
        """Options are those of the server."""
        client = Client(mirror, max_post_body_size=3)
        self.assertEqual(client.post("/", b"abc").status, 200)
        self.assertEqual(client.post("/", b"abcd").status, 413)
        self.assertRaises(ConfigError, Client, mirror, no_such_option=1)
        self.assertRaises(ConfigError, Client, "/no/such/file")

    def test_error(self) -> None:
        """What an application lets through is a 500 and can be looked at."""
        response = Client(broken).get("/")
        self.assertEqual(response.status, 500)
        self.assertIsInstance(response.error, LookupError)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_log(self) -> None:
        """Requests are logged, at a time that does not depend on the day of the test."""
        client = Client(mirror)
        client.get("/a")
        client.reactor.advance(3600)
        client.get("/b")
        first, second = client.log
        self.assertIn("GET /a HTTP/1.1 200", first)
        self.assertTrue(first.startswith(("2017.07.13", "2017.07.14")), first)
        self.assertIn("GET /b HTTP/1.1 200", second)
        self.assertEqual(client.get("/").headers["Date"], "Fri, 14 Jul 2017 03:40:00 GMT")

    def test_errors_stream(self) -> None:
        """``wsgi.errors`` can be read."""

        def complaining(environ: Environ, start_response: Start) -> Iterable[bytes]:
            environ["wsgi.errors"].write("oh dear\n")
            start_response("204 No Content", [])
            return []

        client = Client(complaining)
        self.assertEqual(client.get("/").status, 204)
        self.assertEqual(client.errors.getvalue(), "oh dear\n")

    def test_no_connection_is_left(self) -> None:
        """Each request closes its connection."""
        client = Client(mirror)
        client.get("/")
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.factory.channels, set())

    def test_queue_full(self) -> None:
        """The bound of the queue is the option."""
        client = Client(mirror, "stepping", max_queued=1)
        one, two = client.connect(), client.connect()
        for pump in (one, two):
            pump.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((one.client.take()[:12], two.client.take()[:12]), (b"", b"HTTP/1.1 503"))


class WireTests(SynchronousTestCase):
    """Closer to the wire."""

    def test_send(self) -> None:
        """Bytes go out as they are, and all responses come back."""
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for workers in ("inline", "stepping"):
            received = Client(Naming("x"), workers).send(request * 2 + b"nonsense\r\n\r\n")
            self.assertEqual([part[:3] for part in received.split(b"HTTP/1.1 ")], [b"", b"200", b"200", b"400"])

    def test_connect(self) -> None:
        """A connection on which the test takes its time."""
        client = Client(mirror, head_timeout=30)
        pump = client.connect()
        pump.send(b"GET / HTTP/1.1\r\n")
        pump.advance(29)
        self.assertEqual(pump.client.received, b"")
        pump.advance(2)
        self.assertEqual(pump.client.take()[:12], b"HTTP/1.1 408")

    def test_no_answer(self) -> None:
        """A server that says nothing is told apart from one that answers."""
        client = Client(mirror)
        error = self.assertRaises(NoResponse, client.post, "/", None, {"Content-Length": "5"})
        self.assertEqual(error.received, b"")
        self.assertIn("does not answer", str(error))
