"""HTTP/1.x as a client sees it: heads, connections, pipelines."""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Case, Reply, Shared

APPLICATION = """\
import json
seen = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/seen":
        body = json.dumps([path[:40] for path in seen]).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    seen.append(path)
    if path == "/unread":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        return [b"unread"]
    if path == "/stream":
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/x-any")])
        return (piece for piece in (b"one", b"", b"two", b"three"))
    if path == "/204":
        start_response("204 No Content", [])
        return []
    if path == "/304":
        start_response("304 Not Modified", [("ETag", '"x"')])
        return []
    if path == "/close":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
        return [b"closing"]
    if path == "/slow":
        import time
        time.sleep(float(environ["QUERY_STRING"]))
    data = environ["wsgi.input"].read()
    answer = {k: v for k, v in environ.items() if isinstance(v, str)}
    answer["body"] = data.decode("latin-1")
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""

site = Shared({"app.py": APPLICATION}, "--no-compression")
brief = Shared(
    {"app.py": APPLICATION},
    *("--keep-alive-timeout", "0.5", "--head-timeout", "0.4", "--max-head-size", "2K", "--max-target-size", "1K"),
)

GET = "GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST / HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def environ(reply: Reply) -> dict[str, str]:
    result = json.loads(reply.body)
    assert isinstance(result, dict)
    return result


class HeadTests(SynchronousTestCase):
    """Heads that break the grammar are refused, and nothing after them is a request."""

    def refused(self, status: int, data: str, served: Shared = site) -> Reply:
        """Send ``data`` with a request behind it; assert that one error answers and the connection closes."""
        with served.raw(data + SMUGGLED) as wire:
            try:
                reply = wire.receive()
            except (EOFError, ConnectionResetError) as error:
                self.fail(f"{data[:200]!r}: {error!r}")
            self.assertEqual(reply.status, status, data[:200])
            self.assertEqual(reply.get("connection"), "close", data[:200])
            self.assertEqual(wire.rest(), b"", data[:200])
        self.assertNotIn("/smuggled", served.ask("/seen").text)
        return reply

    def test_malformed_heads_are_400(self) -> None:
        for data in (
            GET + " obs: fold\r\n\r\n",
            GET + "A: b\r\n folded\r\n\r\n",
            GET + "A: b\r\n\tfolded\r\n\r\n",
            GET + "A: b\rc\r\n\r\n",
            GET + "A: b\x00c\r\n\r\n",
            GET + "A\x00: b\r\n\r\n",
            GET + "A : b\r\n\r\n",
            GET + ": b\r\n\r\n",
            GET + "no colon\r\n\r\n",
            GET + "A b: c\r\n\r\n",
            GET + "A(b): c\r\n\r\n",
            "GET / HTTP/1.1\nHost: localhost\n\n",
            "GET / HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n",
            "GET /\r\nHost: localhost\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / a HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
            "GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / http/1.1\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.10\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/11\r\nHost: localhost\r\n\r\n",
            "GET / HTTX/1.1\r\nHost: localhost\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            GET.replace("\r\nHost", "\r\n Host") + "\r\n",
        ):
            self.refused(400, data)

    def test_hosts_that_are_missing_or_two_are_400(self) -> None:
        for data in (
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        ):
            self.refused(400, data)

    def test_lengths_that_conflict_are_400(self) -> None:
        for fields in (
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 3, 3",
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Content-Length: -3",
            "Content-Length: +3",
            "Content-Length: 0x3",
            "Content-Length: 3 3",
            "Content-Length: three",
            "Content-Length:",
            "Content-Length: 99999999999999999999999999",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding:",
        ):
            data = f"{POST}{fields}\r\n\r\n"
            with Case(fields), site.raw(data + "abc" + SMUGGLED) as wire:
                reply = wire.receive()
                # A coding that is not the last one may be called unknown as well.
                allowed = (400, 501) if "Transfer" in fields else (400, 413) if "9999" in fields else (400,)
                self.assertIn(reply.status, allowed, fields)
                self.assertEqual(wire.rest(), b"", fields)
        self.assertNotIn("/smuggled", site.ask("/seen").text)

    def test_unknown_transfer_codings_are_501(self) -> None:
        for coding in ("gzip, chunked", "foo", "gzip", "xchunked", "identity"):
            self.refused(501, f"{POST}Transfer-Encoding: {coding}\r\n\r\n")

    def test_transfer_coding_of_http_1_0_is_no_request(self) -> None:
        self.refused(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    def test_unknown_versions_are_505(self) -> None:
        for version in ("2.0", "1.2", "3.0", "0.9", "9.9"):
            with Case(version), site.raw(f"GET / HTTP/{version}\r\nHost: localhost\r\n\r\n") as wire:
                # A higher minor version is served as the highest known one (RFC 9110 2.5), or refused.
                self.assertIn(wire.receive().status, (200, 505) if version == "1.2" else (505,), version)

    def test_bad_chunks_are_400(self) -> None:
        head = POST + "Transfer-Encoding: chunked\r\n\r\n"
        for body in (
            "g\r\n", "-1\r\na\r\n", "0x1\r\na\r\n", "+1\r\na\r\n", "\r\n", " 1\r\na\r\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n", "1\na\n0\n\n", "1\r\na0\r\n\r\n", "ffffffffffffffffff\r\na",
            "1;a\rb\r\na\r\n0\r\n\r\n", "1;\x00\r\na\r\n0\r\n\r\n", "1_0\r\n", "0\r\nA b: c\r\n\r\n",
            "0\r\nbad\r\n\r\n",
        ):  # fmt: skip
            with Case(body), site.raw(head + body + SMUGGLED) as wire:
                reply = wire.receive()
                self.assertIn(reply.status, (400, 413) if body.startswith("ff") else (400,), body)
                self.assertEqual(wire.rest(), b"", body)
        self.assertNotIn("/smuggled", site.ask("/seen").text)

    def test_too_long_targets_are_414(self) -> None:
        self.refused(414, f"GET /{'a' * 17000} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.refused(414, f"GET /{'a' * 1100} HTTP/1.1\r\nHost: localhost\r\n\r\n", brief)
        self.assertEqual(site.ask("/" + "a" * 16000).status, 200)
        self.assertEqual(brief.ask("/" + "a" * 1000).status, 200)

    def test_a_target_that_never_ends_is_refused_before_its_end(self) -> None:
        with site.raw("GET /" + "a" * 20000) as wire:
            self.assertEqual(wire.receive().status, 414)
            self.assertEqual(wire.rest(), b"")

    def test_too_large_heads_are_431(self) -> None:
        self.refused(431, GET + f"A: {'a' * 66000}\r\n\r\n")
        self.refused(431, GET + "".join(f"A{n}: {'a' * 100}\r\n" for n in range(700)) + "\r\n")
        self.refused(431, GET + f"A: {'a' * 2100}\r\n\r\n", brief)
        self.assertEqual(site.ask("/", "A: " + "a" * 60000).status, 200)

    def test_a_head_that_never_ends_is_refused_before_its_end(self) -> None:
        with site.raw(GET + "A: " + "a" * 70000) as wire:
            self.assertEqual(wire.receive().status, 431)
            self.assertEqual(wire.rest(), b"")

    def test_a_slow_head_is_408(self) -> None:
        with brief.raw("GET / HTTP/1.1\r\nHost: loc") as wire:
            reply = wire.receive()
            self.assertEqual((reply.status, reply.get("connection")), (408, "close"))
            self.assertEqual(wire.rest(), b"")
        with brief.raw(SMUGGLED.replace("smuggled", "fine") + "GET / HT") as wire:
            self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.receive().status, 408)

    def test_error_pages_name_the_status_and_the_transaction(self) -> None:
        reply = self.refused(400, GET + "A : b\r\n\r\n")
        self.assertIn("400", reply.text)
        self.assertRegex(reply.text, r"GTID-[0-9a-f]{6}-C\d+-R\d+")
        self.assertIn("text/html", reply.get("content-type"))

    def subTest_(self, value: object) -> Note:
        return Note(value)


class Note:
    """Names the case in whatever goes wrong inside."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is not None and not isinstance(error, AssertionError):
            raise AssertionError(f"{self._value!r}: {error!r}") from error


class AcceptedTests(SynchronousTestCase):
    """What is odd and right all the same."""

    def test_methods(self) -> None:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X-Own"):
            reply = site.ask("/m", method=method)
            self.assertEqual((reply.status, environ(reply)["REQUEST_METHOD"]), (200, method))

    def test_head_has_the_fields_of_get(self) -> None:
        with site.connect() as wire:
            for path in ("/", "/stream", "/unread"):
                get = wire.ask(path, "X-Gtxn-Id: same")
                head = wire.ask(path, "X-Gtxn-Id: same", method="HEAD")
                self.assertEqual(head.status, 200)
                self.assertEqual(head.body, b"")
                if path == "/unread":
                    self.assertEqual(head.get("content-length"), "6")
                self.assertEqual(head.get("content-type"), get.get("content-type"))
            self.assertEqual(wire.ask("/").status, 200)  # nothing of a body was left between

    def test_errors_without_body_for_head(self) -> None:
        with site.raw("HEAD /" + "a" * 17000 + " HTTP/1.1\r\nHost: a\r\n\r\n") as wire:
            self.assertEqual(wire.receive("HEAD").status, 414)
            self.assertEqual(wire.rest(), b"")

    def test_responses_without_body(self) -> None:
        with site.connect() as wire:
            for path in ("/204", "/304"):
                reply = wire.ask(path)
                self.assertEqual(reply.status, int(path[1:]))
                self.assertEqual(reply.get("transfer-encoding"), "")
                if path == "/204":
                    self.assertEqual(reply.get("content-length"), "")
            self.assertEqual(wire.ask("/").status, 200)

    def test_absolute_form(self) -> None:
        reply = site.ask("http://other.example:81/a%20b?c=d", host="localhost")
        seen = environ(reply)
        self.assertEqual(seen["PATH_INFO"], "/a b")
        self.assertEqual(seen["HTTP_HOST"], "other.example:81")
        self.assertEqual(seen["QUERY_STRING"], "c=d")
        self.assertEqual(seen["RAW_URI"], "http://other.example:81/a%20b?c=d")
        self.assertEqual(seen["REQUEST_URI"], "/a%20b?c=d")
        self.assertEqual(environ(site.ask("http://other.example"))["PATH_INFO"], "/")
        self.assertEqual(environ(site.ask("http://other.example?q"))["QUERY_STRING"], "q")
        self.assertEqual(environ(site.ask("HTTP://OTHER.example/"))["PATH_INFO"], "/")

    def test_asterisk_form(self) -> None:
        self.assertLess(site.ask("*", method="OPTIONS").status, 400)
        with site.raw("GET * HTTP/1.1\r\nHost: a\r\n\r\n") as wire:
            self.assertEqual(wire.receive().status, 400)

    def test_connect_never_succeeds(self) -> None:
        with site.raw("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n") as wire:
            self.assertGreaterEqual(wire.receive().status, 400)
        self.assertNotIn("localhost:80", site.ask("/seen").text)

    def test_empty_lines_before_a_request(self) -> None:
        with site.raw("\r\n\r\n" + GET + "\r\n") as wire:
            self.assertEqual(wire.receive().status, 200)

    def test_empty_line_after_a_body(self) -> None:
        with site.raw(POST + "Content-Length: 3\r\n\r\nabc\r\n" + GET + "\r\n") as wire:
            self.assertEqual(environ(wire.receive())["body"], "abc")
            self.assertEqual(wire.receive().status, 200)

    def test_fields(self) -> None:
        seen = environ(
            site.ask(
                "/", "A:b", "C: \t d \t", "E:", "F: 1", "F: 2", "Cookie: a=1", "Cookie: b=2", "Latin: \xe9", "X-A-B: 1",
                "Content-Type: text/x; a=b",
            )
        )  # fmt: skip
        self.assertEqual(seen["HTTP_A"], "b")
        self.assertEqual(seen["HTTP_C"], "d")
        self.assertEqual(seen["HTTP_E"], "")
        self.assertEqual(seen["HTTP_F"].replace(" ", ""), "1,2")
        self.assertEqual(seen["HTTP_COOKIE"], "a=1; b=2")
        self.assertEqual(seen["HTTP_LATIN"], "\xe9")
        self.assertEqual(seen["HTTP_X_A_B"], "1")
        self.assertEqual(seen["CONTENT_TYPE"], "text/x; a=b")
        self.assertNotIn("HTTP_CONTENT_TYPE", seen)

    def test_underscores_never_pass_for_hyphens(self) -> None:
        seen = environ(site.ask("/", "X-User: right", "X_User: forged", "X_Only: forged", "Content_Length: 7"))
        self.assertEqual(seen["HTTP_X_USER"], "right")
        self.assertNotIn("forged", str(seen))
        self.assertEqual(seen.get("CONTENT_LENGTH", ""), "")

    def test_a_date_is_always_there(self) -> None:
        pattern = r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT$"
        self.assertRegex(site.ask("/").get("date"), pattern)
        with site.raw(GET + "A : b\r\n\r\n") as wire:
            self.assertRegex(wire.receive().get("date"), pattern)

    def test_byte_by_byte(self) -> None:
        with site.connect() as wire:
            data = POST + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
            for letter in data:
                wire.send(letter)
            self.assertEqual(environ(wire.receive())["body"], "abcde")


class PersistenceTests(SynchronousTestCase):
    """Connections live as long as both want."""

    def test_http_1_1_stays(self) -> None:
        with site.connect() as wire:
            for _ in range(5):
                reply = wire.ask("/")
                self.assertEqual((reply.version, reply.status), ("HTTP/1.1", 200))
                self.assertNotEqual(reply.get("connection").lower(), "close")

    def test_close_is_honoured(self) -> None:
        for value in ("close", "Close", "foo, close"):
            with site.connect() as wire:
                self.assertEqual(wire.ask("/", f"Connection: {value}").get("connection").lower(), "close")
                self.assertEqual(wire.rest(), b"")

    def test_close_of_the_application_is_honoured_or_refused(self) -> None:
        with site.connect() as wire:
            reply = wire.ask("/close")
            self.assertIn(reply.status, (200, 500))  # PEP 3333: hop-by-hop fields are forbidden

    def test_http_1_0_closes(self) -> None:
        with site.raw("GET / HTTP/1.0\r\n\r\n") as wire:
            reply = wire.receive()
            self.assertEqual(reply.status, 200)
            self.assertEqual(wire.rest(), b"")
            self.assertEqual(environ(reply)["SERVER_PROTOCOL"], "HTTP/1.0")

    def test_http_1_0_with_keep_alive_stays(self) -> None:
        with site.raw("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") as wire:
            self.assertEqual(wire.receive().get("connection").lower(), "keep-alive")
            wire.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            self.assertEqual(wire.receive().status, 200)
            wire.send("GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.rest(), b"")

    def test_a_stream_for_http_1_0_ends_with_the_connection(self) -> None:
        with site.raw("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") as wire:
            reply = wire.receive()
            self.assertEqual(reply.get("transfer-encoding"), "")
            self.assertNotEqual(reply.get("connection").lower(), "keep-alive")
            self.assertEqual(reply.body, b"onetwothree")

    def test_a_stream_for_http_1_1_is_chunked_and_the_connection_stays(self) -> None:
        with site.connect() as wire:
            reply = wire.ask("/stream")
            self.assertEqual(reply.get("transfer-encoding").lower(), "chunked")
            self.assertEqual(reply.get("content-length"), "")
            self.assertEqual(reply.body, b"onetwothree")
            self.assertEqual(wire.ask("/").status, 200)

    def test_an_idle_connection_closes_silently(self) -> None:
        with brief.connect() as wire:
            self.assertTrue(wire.closed())
        with brief.connect() as wire:
            wire.ask("/")
            self.assertTrue(wire.closed())

    def test_the_timer_never_cuts_a_request_in_work(self) -> None:
        with brief.connect() as wire:
            self.assertEqual(wire.ask("/slow?0.8").status, 200)
            self.assertEqual(wire.ask("/").status, 200)

    def test_the_timer_starts_anew_after_each_request(self) -> None:
        with brief.connect() as wire:
            for _ in range(3):
                self.assertEqual(wire.ask("/slow?0.3").status, 200)

    def test_a_client_that_closes_its_half_gets_its_answer(self) -> None:
        with site.raw(GET + "\r\n", end=True) as wire:
            self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.rest(), b"")
        with site.raw((GET + "\r\n") * 3, end=True) as wire:
            for _ in range(3):
                self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.rest(), b"")


class PipelineTests(SynchronousTestCase):
    """Requests sent ahead are answered in order."""

    def test_order(self) -> None:
        with site.raw("".join(f"GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(50))) as wire:
            for n in range(50):
                self.assertEqual(environ(wire.receive())["PATH_INFO"], f"/{n}")

    def test_a_slow_one_comes_first(self) -> None:
        with site.raw("GET /slow?0.2 HTTP/1.1\r\nHost: a\r\n\r\n" + GET + "\r\n") as wire:
            self.assertEqual(environ(wire.receive())["PATH_INFO"], "/slow")
            self.assertEqual(environ(wire.receive())["PATH_INFO"], "/")

    def test_other_connections_do_not_wait(self) -> None:
        with site.raw("GET /slow?0.7 HTTP/1.1\r\nHost: a\r\n\r\n") as slow:
            self.assertEqual(site.ask("/").status, 200)
            self.assertTrue(slow.silent(0.01))
            self.assertEqual(slow.receive().status, 200)

    def test_bodies_between(self) -> None:
        data = (
            POST + "Content-Length: 3\r\n\r\nabc" + POST + "Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
            "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n" + POST + "Content-Length: 0\r\n\r\n" + GET + "\r\n"
        )
        with site.raw(data) as wire:
            self.assertEqual(environ(wire.receive())["body"], "abc")
            self.assertEqual(environ(wire.receive())["body"], "def")
            self.assertEqual(wire.receive("HEAD").status, 200)
            self.assertEqual(environ(wire.receive())["body"], "")
            self.assertEqual(environ(wire.receive())["body"], "")

    def test_a_body_that_the_application_leaves(self) -> None:
        request = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
        with site.raw(request * 3 + GET + "\r\n") as wire:
            for _ in range(3):
                self.assertEqual(wire.receive().body, b"unread")
            self.assertEqual(environ(wire.receive())["PATH_INFO"], "/")

    def test_nothing_after_close_is_answered(self) -> None:
        with site.raw(GET + "Connection: close\r\n\r\n" + SMUGGLED) as wire:
            self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.rest(), b"")
        self.assertNotIn("/smuggled", site.ask("/seen").text)

    def test_a_malformed_one_is_answered_in_its_turn(self) -> None:
        slow = "GET /slow?0.2 HTTP/1.1\r\nHost: a\r\n\r\n"
        with site.raw(slow + GET + "A : b\r\n\r\n" + SMUGGLED) as wire:
            self.assertEqual(wire.receive().status, 200)
            self.assertEqual(wire.receive().status, 400)
            self.assertEqual(wire.rest(), b"")

    def test_connections_and_requests_are_counted(self) -> None:
        with site.raw(GET + "A : b\r\n\r\n") as first, site.raw(GET + "\r\n" + GET + "A : b\r\n\r\n") as second:
            one = re.search(r"C(\d+)-R(\d+)", first.receive().text)
            second.receive()
            two = re.search(r"C(\d+)-R(\d+)", second.receive().text)
            assert one is not None and two is not None
            self.assertNotEqual(one[1], two[1])
