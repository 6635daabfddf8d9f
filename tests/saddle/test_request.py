"""``was.request``: everything that the manual lists, by those names."""

from __future__ import annotations

import io
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import PeerError
from skitai.saddle import Saddle
from skitai.saddle.forms import FormLimits
from skitai.saddle.request import Request
from tests.saddle.wsgi import post


def request(**more: Any) -> Request:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/math",
        "PATH_INFO": "/add;v=1",
        "QUERY_STRING": "a=1&a=2",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_USER_AGENT": "test",
        "HTTP_X_TWO_WORDS": "x",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
    }
    environ.update({name.replace("__", "."): value for name, value in more.items()})
    return Request(environ, lambda: FormLimits(100, 1000, 1000))


def with_body(body: bytes, content_type: str) -> Request:
    return request(
        REQUEST_METHOD="POST", wsgi__input=io.BytesIO(body), CONTENT_LENGTH=str(len(body)), CONTENT_TYPE=content_type
    )


class HeadTests(SynchronousTestCase):
    """Line and fields."""

    def test_method(self) -> None:
        asked = request(REQUEST_METHOD="POST")
        self.assertEqual((asked.method, asked.command), ("POST", "post"))

    def test_uri(self) -> None:
        self.assertEqual(request().uri, "/math/add;v=1?a=1&a=2")
        self.assertEqual(request(REQUEST_URI="/math/add%3Bv=1").uri, "/math/add%3Bv=1")
        self.assertEqual(request(PATH_INFO="/\xc3\xa9 x", QUERY_STRING="").uri, "/math/%C3%A9%20x")

    def test_split_uri(self) -> None:
        self.assertEqual(request().split_uri(), ("/math/add", "v=1", "a=1&a=2", ""))
        self.assertEqual(request(REQUEST_URI="/x#f").split_uri(), ("/x", "", "", "f"))

    def test_version(self) -> None:
        self.assertEqual(request().version, "1.1")
        self.assertEqual(request(SERVER_PROTOCOL="HTTP/2.0").version, "2.0")

    def test_where_from(self) -> None:
        asked = request()
        self.assertEqual(
            (asked.get_scheme(), asked.get_remote_addr(), asked.get_user_agent()), ("https", "192.0.2.1", "test")
        )

    def test_fields(self) -> None:
        asked = with_body(b"{}", "application/json; charset=utf-8")
        self.assertEqual(asked.headers["x-two-WORDS"], "x")
        self.assertEqual(asked.get_header("content-type"), "application/json; charset=utf-8")
        self.assertIsNone(asked.get_header("X-None"))
        self.assertEqual(asked.get_header("X-None", "d"), "d")
        self.assertIn("User-Agent", asked.headers)
        self.assertNotIn("X-None", asked.headers)
        self.assertRaises(KeyError, lambda: asked.headers["X-None"])
        names = {name for name, _ in asked.get_headers()}
        self.assertEqual(names, {"User-Agent", "X-Two-Words", "Content-Type", "Content-Length"})
        self.assertEqual(len(asked.headers), 4)

    def test_media_type(self) -> None:
        asked = with_body(b"", "Text/XML; charset=utf-8")
        self.assertEqual(
            (asked.get_content_type(), asked.get_main_type(), asked.get_sub_type()), ("text/xml", "text", "xml")
        )
        self.assertEqual(request().get_content_type(), "")

    def test_path_beyond_ascii(self) -> None:
        self.assertEqual(request(PATH_INFO="/\xc3\xa9").path, "/é")
        self.assertRaises(PeerError, request(PATH_INFO="/\xff").check_path)


class BodyTests(SynchronousTestCase):
    """Bodies and forms."""

    def test_body(self) -> None:
        asked = with_body(b"abc", "text/plain")
        self.assertEqual((asked.body, asked.get_body(), asked.body), (b"abc", b"abc", b"abc"))
        self.assertEqual(request().body, b"")

    def test_json(self) -> None:
        self.assertEqual(with_body(b'{"a": 1}', "application/json").json(), {"a": 1})
        for body in (b"{", b"", b"\xff", b"[" * 90):
            self.assertEqual(self.assertRaises(PeerError, with_body(body, "application/json").json).status, 400)

    def test_too_large(self) -> None:
        self.assertEqual(self.assertRaises(PeerError, lambda: with_body(b"x" * 101, "text/plain").body).status, 413)

    def test_args(self) -> None:
        asked = with_body(b"b=3&a=4", "application/x-www-form-urlencoded")
        self.assertEqual(asked.args, {"a": ["1", "2", "4"], "b": "3"})
        self.assertEqual(request().args, {"a": ["1", "2"]})

    def test_json_makes_no_arguments(self) -> None:
        self.assertEqual(with_body(b'{"b": 1}', "application/json").args, {"a": ["1", "2"]})

    def test_body_of_several_parts_is_not_kept(self) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n'
        asked = with_body(body, "multipart/form-data; boundary=b")
        self.assertEqual(asked.form, {"x": "1"})
        self.assertEqual(asked.body, b"")
        asked.close()

    def test_body_of_several_parts_that_was_read_before(self) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n'
        asked = with_body(body, "multipart/form-data; boundary=b")
        self.assertEqual(asked.body, body)
        self.assertEqual(asked.form, {"x": "1"})

    def test_what_is_wrong_stays_wrong(self) -> None:
        asked = with_body(b"--b\r\nbroken", "multipart/form-data; boundary=b")
        first = self.assertRaises(PeerError, lambda: asked.args)
        self.assertIs(self.assertRaises(PeerError, lambda: asked.form), first)
        self.assertIs(self.assertRaises(PeerError, lambda: asked.body), first)

    def test_loading_reads_everything(self) -> None:
        asked = with_body(b"abc", "text/plain")
        asked.load()
        self.assertEqual(asked.environ["wsgi.input"].read(), b"")
        self.assertEqual(asked.body, b"abc")


class RouteTests(SynchronousTestCase):
    """What is known of the route."""

    def test_route(self) -> None:
        app = Saddle(__name__)
        seen = []

        @app.route("/x/<int:n>", methods=["POST", "OPTIONS"], content_types=["text/xml"])
        def view(was: Any, n: int) -> str:
            seen.extend([was.request.routed_function, was.request.routable, was.request.args])
            return "x"

        self.assertEqual(post(app, "/x/5", CONTENT_TYPE="text/xml").code, 200)
        self.assertEqual(seen, [view, {"methods": ["POST", "OPTIONS"], "content_types": ["text/xml"]}, {"n": 5}])
