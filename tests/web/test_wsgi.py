"""WSGI applications: every rule of PEP 3333 that a server has to keep, and what comes back when one is broken."""

from __future__ import annotations

import io
import os
import tempfile
import wsgiref.validate
from collections.abc import Callable, Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ApplicationError, LoadError
from skitai.settings import Limits
from tests.web.direct import DirectPump
from tests.web.serving import Server, hello, request, split

Headers = list[tuple[str, str]]


def answering(result: Any, status: Any = "200 OK", headers: Any = None) -> Callable[..., Any]:
    """Return an application that always answers the same."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, [] if headers is None else headers)
        return result

    return app


def collecting(seen: list[dict[str, Any]]) -> Callable[..., Any]:
    """Return an application that keeps every environ."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    return app


class WSGITestCase(SynchronousTestCase):
    """Helpers for broken applications."""

    def assertBroken(self, app: Callable[..., Any], words: str) -> None:
        """The application gets 500, the log the reason; the client does not."""
        status, _, body = split(Server(app).ask(request()))
        self.assertEqual(status, "HTTP/1.1 500 Internal Server Error")
        [failure] = self.flushLoggedErrors(ApplicationError)
        self.assertIn(words, str(failure.value))
        self.assertNotIn(words.encode(), body)


class EnvironTests(SynchronousTestCase):
    """What the application is given."""

    def environ(self, data: bytes, point: str = "/") -> dict[str, Any]:
        """Return the environ of one request."""
        seen: list[dict[str, Any]] = []
        Server(collecting(seen), point=point).ask(data)
        return seen[0]

    def test_cgi_variables(self) -> None:
        environ = self.environ(
            request("/a%20b/%C3%A9?x=%20y", "X-One: 1", "Content-Type: text/x", method="POST", body=b"hi")
        )
        expected = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b/\xc3\xa9",
            "QUERY_STRING": "x=%20y",
            "CONTENT_TYPE": "text/x",
            "CONTENT_LENGTH": "2",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "50000",
            "HTTP_HOST": "example.com",
            "HTTP_X_ONE": "1",
            "RAW_URI": "/a%20b/%C3%A9?x=%20y",
            "REQUEST_URI": "/a%20b/%C3%A9?x=%20y",
        }
        self.assertEqual({key: environ[key] for key in expected}, expected)
        self.assertNotIn("HTTP_CONTENT_TYPE", environ)
        self.assertNotIn("HTTP_CONTENT_LENGTH", environ)

    def test_wsgi_variables(self) -> None:
        environ = self.environ(request())
        self.assertIs(type(environ), dict)
        self.assertEqual(environ["wsgi.version"], (1, 0))
        self.assertEqual(environ["wsgi.url_scheme"], "http")
        self.assertEqual(environ["wsgi.input"].read(), b"")
        self.assertIs(environ["wsgi.multithread"], True)
        self.assertIs(environ["wsgi.multiprocess"], False)
        self.assertIs(environ["wsgi.run_once"], False)
        self.assertIs(environ["wsgi.input_terminated"], True)
        self.assertIs(environ["skitai.client_disconnected"](), False)

    def test_mount_point_goes_to_script_name(self) -> None:
        environ = self.environ(request("/app/x%2Fy"), point="/app/")
        self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/app", "/x/y"))

    def test_absolute_target(self) -> None:
        environ = self.environ(request("http://other.example:81/p?q"))
        self.assertEqual(environ["RAW_URI"], "http://other.example:81/p?q")
        self.assertEqual(environ["REQUEST_URI"], "/p?q")
        self.assertEqual(environ["HTTP_HOST"], "other.example:81")

    def test_repeated_fields_are_joined(self) -> None:
        environ = self.environ(request("/", "X-A: 1", "X-A: 2", "Cookie: a=1", "Cookie: b=2"))
        self.assertEqual((environ["HTTP_X_A"], environ["HTTP_COOKIE"]), ("1,2", "a=1; b=2"))

    def test_names_with_underscores_are_left_out(self) -> None:
        for _ in range(2):  # the second time the name is known
            environ = self.environ(request("/", "X_User: evil", "Content_Length: 99"))
            self.assertNotIn("HTTP_X_USER", environ)
            self.assertNotIn("HTTP_CONTENT_LENGTH", environ)
            self.assertNotIn("", environ)

    def test_every_request_has_its_own_environ(self) -> None:
        seen: list[dict[str, Any]] = []
        server = Server(collecting(seen))
        server.ask(request("/1", "X-Only: first"))
        server.ask(request("/2"))
        self.assertNotIn("HTTP_X_ONLY", seen[1])


class ValidatorTests(SynchronousTestCase):
    """wsgiref.validate has nothing to say."""

    def validated(self, app: Callable[..., Any], data: bytes, threads: int = 1) -> bytes:
        """Return the answer of an application under the validator."""
        answer = Server(wsgiref.validate.validator(app), threads=threads).ask(data)
        self.assertEqual(self.flushLoggedErrors(), [])
        return answer

    def test_get(self) -> None:
        answer = self.validated(answering([b"x"], headers=[("Content-Type", "text/plain")]), request())
        self.assertIn(b"200 OK", answer)

    def test_reading_in_every_way(self) -> None:
        read: list[Any] = []

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            source = environ["wsgi.input"]
            read.extend([source.read(2), source.readline(), source.readlines(), list(source), source.read(1)])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"x"]

        self.validated(app, request("/", method="POST", body=b"abc\ndef\nghi"))
        self.assertEqual(read, [b"ab", b"c\n", [b"def\n", b"ghi"], [], b""])

    def test_write_and_errors(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            environ["wsgi.errors"].write("complaint\n")
            environ["wsgi.errors"].flush()
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"one")
            return [b"two"]

        _, _, body = split(self.validated(app, request()))
        self.assertEqual(body, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    def test_on_the_reactor(self) -> None:
        answer = self.validated(answering([b"x"], headers=[("Content-Type", "text/plain")]), request(), threads=0)
        self.assertIn(b"200 OK", answer)


class AnswerTests(SynchronousTestCase):
    """Bodies of every kind."""

    def body(self, app: Callable[..., Any], *fields: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
        """Return the parts of the answer."""
        return split(Server(app).ask(request("/", *fields, method=method)))

    def test_list_gets_its_length(self) -> None:
        _, fields, body = self.body(answering([b"one", b"", b"two"]))
        self.assertEqual((fields["content-length"], body), ("6", b"onetwo"))

    def test_empty_list(self) -> None:
        _, fields, body = self.body(answering([]))
        self.assertEqual((fields["content-length"], body), ("0", b""))

    def test_text_is_sent_as_utf8(self) -> None:
        _, _, body = self.body(answering(["Hello ", "W\u00f6rld"]))
        self.assertEqual(body, "Hello W\u00f6rld".encode())

    def test_a_bare_text_is_one_piece(self) -> None:
        self.assertEqual(self.body(answering("Hello"))[2], b"5\r\nHello\r\n0\r\n\r\n")

    def test_generator_that_starts_late(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            yield b""
            start_response("201 Created", [("X-Late", "yes")])
            yield b"x"

        status, fields, body = self.body(app)
        self.assertEqual((status, fields["x-late"], body), ("HTTP/1.1 201 Created", "yes", b"1\r\nx\r\n0\r\n\r\n"))

    def test_declared_length_is_not_chunked(self) -> None:
        _, fields, body = self.body(answering(iter([b"12", b"34"]), headers=[("Content-Length", "4")]))
        self.assertEqual((fields["content-length"], body), ("4", b"1234"))
        self.assertNotIn("transfer-encoding", fields)

    def test_first_piece_as_long_as_declared_leaves_whole(self) -> None:
        _, fields, body = self.body(answering(iter([b"1234"]), headers=[("Content-Length", "4")]))
        self.assertEqual((fields["content-length"], body), ("4", b"1234"))

    def test_no_content(self) -> None:
        status, fields, body = self.body(answering([b""], "204 No Content"))
        self.assertEqual((status, body), ("HTTP/1.1 204 No Content", b""))
        self.assertNotIn("content-length", fields)
        self.assertNotIn("transfer-encoding", fields)

    def test_not_modified_streamed_has_no_body(self) -> None:
        _, fields, body = self.body(answering(iter([b"oops"]), "304 Not Modified", [("ETag", '"1"')]))
        self.assertEqual((fields["etag"], body), ('"1"', b""))
        self.assertNotIn("transfer-encoding", fields)

    def test_head_of_a_stream(self) -> None:
        _, fields, body = self.body(answering(iter([b"abc"]), headers=[("Content-Length", "3")]), method="HEAD")
        self.assertEqual((fields["content-length"], body), ("3", b""))

    def test_head_with_declared_length_and_no_body(self) -> None:
        _, fields, body = self.body(answering([], headers=[("Content-Length", "1234")]), method="HEAD")
        self.assertEqual((fields["content-length"], body), ("1234", b""))

    def test_several_cookies_stay_apart(self) -> None:
        answer = Server(answering([b""], headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])).ask(request())
        self.assertEqual(answer.count(b"Set-Cookie: "), 2)

    def test_own_date_and_server_win(self) -> None:
        answer = Server(answering([b""], headers=[("Date", "today"), ("Server", "mine")])).ask(request())
        self.assertEqual([answer.count(b"Date: "), answer.count(b"Server: ")], [1, 1])
        self.assertIn(b"Date: today\r\n", answer)

    def test_close_is_called_once_after_the_last_piece(self) -> None:
        calls: list[str] = []

        class Result:
            def __iter__(self) -> Iterator[bytes]:
                yield b"x"
                calls.append("last")

            def close(self) -> None:
                calls.append("close")

        self.body(answering(Result()))
        self.assertEqual(calls, ["last", "close"])

    def test_close_that_raises_is_logged(self) -> None:
        class Result(list[bytes]):
            def close(self) -> None:
                raise ZeroDivisionError

        status, _, _ = self.body(answering(Result([b"x"])))
        self.assertEqual(status, "HTTP/1.1 200 OK")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_compression(self) -> None:
        app = answering([b"a" * 2000], headers=[("Content-Type", "text/plain"), ("ETag", '"x"')])
        _, fields, body = split(Server(app, compression=True).ask(request("/", "Accept-Encoding: gzip")))
        import gzip

        self.assertEqual(gzip.decompress(body), b"a" * 2000)
        self.assertEqual(fields["content-encoding"], "gzip")
        self.assertEqual(fields["vary"], "Accept-Encoding")
        self.assertEqual(fields["content-length"], str(len(body)))

    def test_compression_of_a_stream(self) -> None:
        app = answering(iter([b"a" * 2000, b"b"]), headers=[("Content-Type", "text/plain")])
        _, fields, _ = split(Server(app, compression=True).ask(request("/", "Accept-Encoding: gzip")))
        self.assertEqual((fields["content-encoding"], fields["transfer-encoding"]), ("gzip", "chunked"))

    def test_compression_leaves_an_encoded_body_alone(self) -> None:
        app = answering([b"a" * 2000], headers=[("Content-Type", "text/plain"), ("Content-Encoding", "br")])
        _, fields, body = split(Server(app, compression=True).ask(request("/", "Accept-Encoding: gzip")))
        self.assertEqual((fields["content-encoding"], len(body)), ("br", 2000))


class FileWrapperTests(SynchronousTestCase):
    """``wsgi.file_wrapper``."""

    def wrapped(self, filelike: Any, headers: Headers | None = None) -> tuple[dict[str, str], bytes]:
        """Return fields and body of an answer that is a wrapped file."""

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            start_response("200 OK", headers or [])
            return environ["wsgi.file_wrapper"](filelike, 7)

        _, fields, body = split(Server(app).ask(request()))
        return fields, body

    def real_file(self) -> io.BufferedRandom:
        """Return an open temporary file with 20 bytes."""
        descriptor, path = tempfile.mkstemp()
        self.addCleanup(os.unlink, path)
        file = os.fdopen(descriptor, "w+b")
        file.write(b"0123456789abcdefghij")
        file.seek(0)
        return file

    def test_real_file_has_a_length_and_is_closed(self) -> None:
        file = self.real_file()
        fields, body = self.wrapped(file)
        self.assertEqual((fields["content-length"], body), ("20", b"0123456789abcdefghij"))
        self.assertTrue(file.closed)

    def test_from_where_the_file_stands(self) -> None:
        file = self.real_file()
        file.seek(15)
        self.assertEqual(self.wrapped(file)[1], b"fghij")

    def test_no_more_than_declared(self) -> None:
        fields, body = self.wrapped(self.real_file(), [("Content-Length", "3")])
        self.assertEqual((fields["content-length"], body), ("3", b"012"))

    def test_a_gzip_file_is_read_not_sent_as_it_lies(self) -> None:
        import gzip

        path = self.mktemp()
        with gzip.open(path, "wb") as file:
            file.write(b"plain")
        _, body = self.wrapped(gzip.open(path, "rb"))  # noqa: SIM115
        self.assertIn(b"plain", body)

    def test_any_object_with_read(self) -> None:
        source = io.BytesIO(b"0123456789")
        _, body = self.wrapped(source)
        self.assertEqual(body, b"7\r\n0123456\r\n3\r\n789\r\n0\r\n\r\n")
        self.assertTrue(source.closed)


class BrokenTests(WSGITestCase):
    """Applications that break a rule: an error that names it, and nothing on the wire."""

    def test_status_without_reason_space(self) -> None:
        self.assertBroken(answering([b""], "OK"), "three digits")

    def test_status_with_line_break(self) -> None:
        self.assertBroken(answering([b""], "200 OK\r\nX: y"), "three digits")

    def test_status_as_number(self) -> None:
        self.assertBroken(answering([b""], 200), "the status is a str")

    def test_interim_status(self) -> None:
        self.assertBroken(answering([b""], "100 Continue"), "200 or more")

    def test_headers_not_a_list(self) -> None:
        self.assertBroken(answering([b""], headers=(("A", "b"),)), "list of (name, value) tuples")

    def test_header_not_a_tuple(self) -> None:
        self.assertBroken(answering([b""], headers=[["A", "b"]]), "tuple (name, value)")

    def test_header_value_splits_the_response(self) -> None:
        self.assertBroken(answering([b""], headers=[("A", "b\r\nSet-Cookie: c")]), "control characters")

    def test_header_value_with_nul(self) -> None:
        self.assertBroken(answering([b""], headers=[("A", "b\0")]), "control characters")

    def test_header_name_with_colon(self) -> None:
        self.assertBroken(answering([b""], headers=[("A:", "b")]), "not a header name")

    def test_header_value_beyond_latin1(self) -> None:
        self.assertBroken(answering([b""], headers=[("A", "\u20ac")]), "ISO-8859-1")

    def test_header_value_of_another_type(self) -> None:
        self.assertBroken(answering([b""], headers=[("Content-Length", 5)]), "are str")

    def test_hop_by_hop_header(self) -> None:
        for name in ("Connection", "Transfer-Encoding", "Keep-Alive", "Upgrade"):
            self.assertBroken(answering([b""], headers=[(name, "x")]), "hop-by-hop")

    def test_two_lengths(self) -> None:
        self.assertBroken(answering([b"x"], headers=[("Content-Length", "1"), ("Content-Length", "1")]), "twice")

    def test_length_that_is_no_number(self) -> None:
        self.assertBroken(answering([b"x"], headers=[("Content-Length", "-1")]), "number of bytes")

    def test_list_longer_than_declared(self) -> None:
        self.assertBroken(answering([b"12345"], headers=[("Content-Length", "4")]), "Content-Length is 4")

    def test_start_response_never_called(self) -> None:
        self.assertBroken(lambda environ, start_response: [b"x"], "start_response() was not called")

    def test_start_response_twice(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response("200 OK", [])
            start_response("200 OK", [])
            return [b""]

        self.assertBroken(app, "second time")

    def test_returns_none(self) -> None:
        self.assertBroken(answering(None), "iterable of bytes, not NoneType")

    def test_returns_bytes(self) -> None:
        self.assertBroken(answering(b"abc"), "iterable of bytes, not bytes")

    def test_yields_numbers(self) -> None:
        self.assertBroken(answering([1]), "yields bytes, not int")

    def test_returns_something_not_iterable(self) -> None:
        status, _, _ = split(Server(answering(5)).ask(request()))
        self.assertEqual(status, "HTTP/1.1 500 Internal Server Error")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class RaisingTests(SynchronousTestCase):
    """Applications that raise."""

    def raising(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Raise."""
        raise ZeroDivisionError("<secret>")

    def test_500_without_the_traceback(self) -> None:
        status, _, body = split(Server(self.raising).ask(request()))
        self.assertEqual(status, "HTTP/1.1 500 Internal Server Error")
        self.assertNotIn(b"secret", body)
        self.assertIn(b"GTID-", body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_debug_shows_the_traceback_escaped(self) -> None:
        _, _, body = split(Server(self.raising, debug=True).ask(request()))
        self.assertIn(b"ZeroDivisionError: &lt;secret&gt;", body)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_the_log_names_the_request_but_no_token_of_it(self) -> None:
        from twisted.logger import globalLogPublisher

        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        Server(self.raising).ask(request("/x?access_token=0123456789"))
        [turn] = [str(event["turn"]) for event in events if "turn" in event]
        self.assertIn("GET /x?access_token=0123…", turn)
        self.assertNotIn("456789", turn)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_connection_survives(self) -> None:
        server = Server(self.raising)
        answer = server.ask(request() + request())
        self.assertEqual(answer.count(b"HTTP/1.1 500"), 2)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_after_start_response(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response("200 OK", [("X-Lost", "1")])
            raise ZeroDivisionError

        status, fields, _ = split(Server(app).ask(request()))
        self.assertEqual(status, "HTTP/1.1 500 Internal Server Error")
        self.assertNotIn("x-lost", fields)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_in_mid_stream_the_connection_is_cut(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"begun"
            raise ZeroDivisionError

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertNotIn(b"0\r\n\r\n", pump.client.take())
        self.assertIsNotNone(pump.client.lost)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_stream_shorter_than_declared_is_cut(self) -> None:
        server = Server(answering(iter([b"12"]), headers=[("Content-Length", "4")]))
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertIsNotNone(pump.client.lost)

    def test_stream_longer_than_declared_is_cut_to_size(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Length", "4")])
            yield b"12"
            yield b"345"

        answer = Server(app).ask(request() + request())
        self.assertEqual(answer.count(b"\r\n\r\n1234"), 2)
        self.assertNotIn(b"5HTTP", answer)

    def test_exc_info_replaces_the_head(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            import sys

            start_response("200 OK", [])
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                start_response("503 Oops", [], sys.exc_info())
            return [b"sorry"]

        status, _, body = split(Server(app).ask(request()))
        self.assertEqual((status, body), ("HTTP/1.1 503 Oops", b"sorry"))

    def test_exc_info_after_the_head_was_sent_is_raised(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            import sys

            start_response("200 OK", [])
            yield b"begun"
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                start_response("500 Oops", [], sys.exc_info())

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertIsNotNone(pump.client.lost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_system_exit_does_not_end_the_server(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            raise SystemExit(3)

        self.assertIn(b"HTTP/1.1 500", Server(app).ask(request()))
        self.flushLoggedErrors(SystemExit)

    def test_application_that_can_not_be_loaded(self) -> None:
        server = Server(hello)

        def fail() -> Any:
            raise LoadError("app.py", "Traceback ...")

        server.source.current = fail  # type: ignore[method-assign]
        self.assertIn(b"HTTP/1.1 503", server.ask(request()))


class QueueTests(SynchronousTestCase):
    """The queue before the threads."""

    def test_full_queue_is_503_with_retry_after(self) -> None:
        server = Server(hello, max_queued=2)
        pumps = [server.connect() for _ in range(3)]
        for pump in pumps:
            pump.send(request())
        status, fields, _ = split(pumps[2].client.take())
        self.assertEqual((status, fields["retry-after"]), ("HTTP/1.1 503 Service Unavailable", "1"))
        for pump in pumps[:2]:
            server.work(pump)
            self.assertIn(b"200 OK", pump.client.take())

    def test_a_client_that_left_makes_room(self) -> None:
        server = Server(hello, max_queued=1)
        first = server.connect()
        first.send(request())
        first.client_transport.abortConnection()
        first.flush()
        second = server.connect()
        second.send(request())
        server.work(second)
        self.assertIn(b"200 OK", second.client.take())

    def test_body_limit_of_the_application(self) -> None:
        server = Server(hello, Limits(max_post_body_size=1000))
        server.source.max_post_body_size = 10
        self.assertIn(b"HTTP/1.1 413", server.ask(request(method="POST", body=b"x" * 11)))
        self.assertIn(b"HTTP/1.1 200", server.ask(request(method="POST", body=b"x" * 10)))


class HostilePairTests(SynchronousTestCase):
    """Applications and clients that are each other's undoing."""

    def test_heartbeats_end_when_the_client_has_left(self) -> None:
        beats: list[int] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            for number in range(1000):
                beats.append(number)
                if number == 10:
                    pump.client_transport.abortConnection()
                    pump.flush()
                yield b""

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.workers.step()
        self.assertEqual(len(beats), 11)

    def test_failure_behind_a_whole_answer_does_not_cut_it(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [("Content-Length", "300000")])
            yield b"x" * 300_000
            raise ValueError("too late to matter")

        server = Server(app)
        pump = DirectPump(server, room=1000)
        pump.send(request())
        server.work(pump)
        self.assertEqual(len(split(pump.read())[2]), 300_000)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_body_that_is_read_after_the_answer(self) -> None:
        errors: list[BaseException] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [("Content-Length", "2")])
            yield b"ok"
            server.reactor.advance(0)
            try:
                environ["wsgi.input"].read()
            except ApplicationError as error:
                errors.append(error)

        server = Server(app, Limits(body_spool_size=1000))
        pump = DirectPump(server)
        pump.send(request("/", "Content-Length: 2000", method="POST") + b"x" * 1500)
        server.work(pump)
        self.assertEqual(len(errors), 1)

    def test_head_of_an_empty_list_says_nothing_of_a_length(self) -> None:
        """What GET would be answered with is not known; a Content-Length of 0 would be a lie."""

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return []

        server = Server(app)
        answer = server.ask(request(method="HEAD") + request())
        first, second = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
        self.assertNotIn(b"Content-Length", first)
        self.assertNotIn(b"Transfer-Encoding", first)
        self.assertIn(b"Content-Length: 0\r\n", second)

    def test_no_content_with_a_length(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("204 No Content", [("Content-Length", "0")])
            return [] if environ["PATH_INFO"] == "/" else environ["wsgi.file_wrapper"](open(__file__, "rb"))

        for path in ("/", "/file"):
            answer = Server(app).ask(request(path))
            self.assertNotIn(b"Content-Length", answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n"))
