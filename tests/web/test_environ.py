"""The environ by itself: what test_wsgi does not see through a server."""

from __future__ import annotations

import io
import tempfile
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from skitai.constants import VERSION
from skitai.web import environ as module
from skitai.web.body import IncomingBody
from skitai.web.environ import EnvironMaker
from skitai.web.events import UNKNOWN_LENGTH, HeaderList
from skitai.web.exchange import Exchange, Peers
from skitai.web.vhost import MountPoint
from tests.web.exchanges import RecordingCarrier, make_exchange, make_request
from tests.web.test_body import Source


class EnvironTestCase(SynchronousTestCase):
    """Makes environs."""

    def setUp(self) -> None:
        self.errors = io.StringIO()
        self.entered: list[tuple[Exchange, dict[str, Any]]] = []

        def enter(exchange: Exchange, environ: dict[str, Any]) -> str:
            self.entered.append((exchange, environ))
            return "was"

        self.make = EnvironMaker(True, self.errors, dict, enter).make

    def environ(self, headers: HeaderList | None = None, target: str = "/", point: str = "/") -> dict[str, Any]:
        return self.make(make_exchange(headers, target), MountPoint(point), None)


class VariableTests(EnvironTestCase):
    """Where values come from."""

    def test_of_the_server(self) -> None:
        environ = self.environ()
        self.assertEqual(environ["SERVER_SOFTWARE"], f"Skitai/{VERSION}")
        self.assertEqual(environ["skitai.version"], VERSION)
        self.assertIs(environ["wsgi.errors"], self.errors)
        self.assertIs(environ["wsgi.file_wrapper"], dict)

    def test_of_the_connection(self) -> None:
        environ = self.environ()
        self.assertEqual((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]), ("192.0.2.7", "1778"))
        self.assertEqual((environ["SERVER_NAME"], environ["SERVER_PORT"]), ("127.0.0.1", "5000"))
        self.assertEqual(environ["wsgi.url_scheme"], "http")
        exchange = Exchange(make_request(), Peers(("", 0), ("", 0), True, 1), 1, RecordingCarrier(), 0.0)
        self.assertEqual(self.make(exchange, MountPoint("/"), None)["wsgi.url_scheme"], "https")

    def test_versions(self) -> None:
        for version, expected in (("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2.0")):
            exchange = make_exchange()
            exchange.request.version = version
            self.assertEqual(self.make(exchange, MountPoint("/"), None)["SERVER_PROTOCOL"], expected)

    def test_was_is_entered_with_the_environ(self) -> None:
        environ = self.environ()
        self.assertEqual(environ["skitai.was"], "was")
        self.assertIs(self.entered[0][1], environ)

    def test_nothing_is_shared_between_requests(self) -> None:
        first = self.environ([(b"x-first", b"1")])
        first["added"] = 1
        second = self.environ()
        self.assertFalse({"HTTP_X_FIRST", "added"} & set(second))

    def test_types(self) -> None:
        """PEP 3333: str, each character a byte."""
        for key, value in self.environ([(b"x", b"\xc3\xa9"), (b"cookie", b"a=b")], "/%C3%A9?q").items():
            if key.isupper():
                self.assertIs(type(value), str, key)
                value.encode("latin-1")

    def test_encoded_mount_point(self) -> None:
        environ = self.environ(None, "/caf%C3%A9/x", "/caf\xe9")
        self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/caf\xc3\xa9", "/x"))


class FieldTests(EnvironTestCase):
    """Header fields."""

    def test_host(self) -> None:
        self.assertEqual(self.environ([(b"host", b"other")])["HTTP_HOST"], "example.com")
        exchange = make_exchange()
        exchange.request.host = ""
        self.assertNotIn("HTTP_HOST", self.make(exchange, MountPoint("/"), None))

    def test_left_out(self) -> None:
        for _ in range(2):
            environ = self.environ([(b"x_user", b"evil"), (b"proxy", b"http://evil"), (b"x-user", b"good")])
            self.assertEqual(environ["HTTP_X_USER"], "good")
            self.assertNotIn("HTTP_PROXY", environ)
            self.assertNotIn("", environ)

    def test_fields_never_replace_other_variables(self) -> None:
        plain = self.environ()
        environ = self.environ(
            [(b"request-method", b"X"), (b"server-name", b"X"), (b"wsgi.input", b"X"), (b"path-info", b"X")]
        )
        for key in ("REQUEST_METHOD", "SERVER_NAME", "PATH_INFO"):
            self.assertEqual(environ[key], plain[key])
        self.assertIsInstance(environ["wsgi.input"], io.BytesIO)

    def test_cache_is_bounded(self) -> None:
        self.patch(module, "_keys", {})
        for number in range(3000):
            self.assertEqual(self.environ([(b"x-%d" % number, b"1")])[f"HTTP_X_{number}"], "1")
        self.assertLessEqual(len(module._keys), 1024)
        self.patch(module, "_keys", {})
        self.environ([(b"x" * 1000, b"1")])
        self.assertEqual(module._keys, {})


class BodyTests(EnvironTestCase):
    """Request bodies."""

    def length(self, file: Any, received: int) -> str | None:
        """Return the CONTENT_LENGTH of a chunked body."""
        exchange = make_exchange([(b"transfer-encoding", b"chunked")], method="POST")
        exchange.body = IncomingBody(Source(), UNKNOWN_LENGTH, False)
        exchange.body.received = received
        environ = self.make(exchange, MountPoint("/"), file)
        self.assertIs(environ["wsgi.input"], file)
        length: str | None = environ.get("CONTENT_LENGTH")
        return length

    def test_none(self) -> None:
        environ = self.environ()
        self.assertEqual(environ["wsgi.input"].read(), b"")
        self.assertNotIn("CONTENT_LENGTH", environ)

    def test_length_of_a_chunked_body_that_is_whole(self) -> None:
        self.assertEqual(self.length(io.BytesIO(b"12345"), 5), "5")
        with tempfile.SpooledTemporaryFile() as file:
            self.assertEqual(self.length(file, 7), "7")

    def test_length_of_a_body_that_still_comes_is_not_known(self) -> None:
        file: BinaryIO = io.BufferedReader(io.BytesIO(b"12345"))  # type: ignore[arg-type]
        self.assertIsNone(self.length(file, 5))
