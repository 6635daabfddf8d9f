"""PEP 3333 and what goes beyond it, errors, and compression, as applications and clients see them."""

from __future__ import annotations

import gzip
import html
import json
import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Case, Reply, Shared
from tests.functional.process import until

APPLICATION = """\
import io
import json
import os
import sys
import threading
import time
from wsgiref.validate import validator

closed = []
TEXT = [("Content-Type", "text/plain; charset=utf-8")]
HTML = [("Content-Type", "text/html")]

class Body:
    def __init__(self, name, pieces, fail=None, length=None):
        self.name, self.pieces, self.fail = name, iter(pieces), fail
    def __iter__(self):
        return self
    def __next__(self):
        try:
            return next(self.pieces)
        except StopIteration:
            if self.fail:
                raise self.fail
            raise
    def close(self):
        closed.append(self.name)

class Sized(Body):
    def __len__(self):
        return 1

def environment(environ):
    answer = {}
    for key, value in environ.items():
        answer[key] = value if isinstance(value, (str, bool, int, list, tuple)) else type(value).__name__
    answer["types"] = [key for key, value in environ.items() if "." not in key and type(value) is not str]
    answer["keys"] = [type(environ) is dict]
    answer["gone"] = environ["skitai.client_disconnected"]()
    answer["cwd"] = os.getcwd()
    return json.dumps(answer).encode()

def plain(environ, start_response):
    path = environ["PATH_INFO"]
    query = environ["QUERY_STRING"]
    if path == "/environ":
        body = environment(environ)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/closed":
        start_response("200 OK", TEXT)
        return [",".join(closed)]
    if path == "/write":
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]
    if path == "/write-length":
        write = start_response("200 OK", TEXT + [("Content-Length", "7")])
        write(b"one ")
        return [b"two"]
    if path == "/text":
        start_response("200 OK", TEXT)
        return ["caf\\xe9 ", b"and ", "\\u4e2d"]
    if path == "/empty":
        start_response("200 OK", TEXT)
        return []
    if path == "/tuple":
        start_response("200 OK", TEXT)
        return (b"a", b"b")
    if path == "/late":
        def pieces():
            start_response("201 Created", TEXT)
            yield b"late"
        return pieces()
    if path == "/lazy":
        def pieces():
            yield b""
            yield b""
            start_response("200 OK", TEXT)
            yield b"lazy"
        return pieces()
    if path == "/stepwise":
        def pieces():
            yield b"first"
            while not os.path.exists(query):
                time.sleep(0.002)
            yield b"second"
        start_response("200 OK", TEXT)
        return pieces()
    if path == "/exc-info":
        start_response("200 OK", TEXT)
        try:
            raise ValueError("changed its mind")
        except ValueError:
            start_response("409 Conflict", TEXT + [("X-New", "yes")], sys.exc_info())
        return [b"conflict"]
    if path == "/exc-info-late":
        def pieces():
            yield b"sent"
            try:
                raise ValueError("too late to change")
            except ValueError:
                start_response("500 Oh", TEXT, sys.exc_info())
            yield b"never"
        start_response("200 OK", TEXT)
        return pieces()
    if path == "/body":
        start_response("200 OK", TEXT)
        return Body("body" + query, [b"a", b"b"])
    if path == "/sized":
        start_response("200 OK", TEXT)
        return Sized("sized", [b"one piece"])
    if path == "/fails-before":
        raise KeyError("<script>fault</script>")
    if path == "/fails-after-start":
        start_response("200 OK", TEXT + [("X-Lost", "1")])
        raise KeyError("after start_response")
    if path == "/fails-first":
        start_response("200 OK", TEXT)
        return Body("first", [], KeyError("before the first piece"))
    if path == "/fails-later":
        start_response("200 OK", TEXT)
        return Body("later", [b"some"], KeyError("after the first piece"))
    if path == "/fails-later-length":
        start_response("200 OK", TEXT + [("Content-Length", "10")])
        return Body("later-length", [b"some"], KeyError("after the first piece"))
    if path == "/exits":
        sys.exit(3)
    if path == "/short":
        start_response("200 OK", TEXT + [("Content-Length", "10")])
        return Body("short", [b"short"])
    if path == "/long":
        start_response("200 OK", TEXT + [("Content-Length", "4")])
        return Body("long", [b"lo", b"nger", b" than said"])
    if path == "/none":
        start_response("200 OK", TEXT)
        return None
    if path == "/number":
        start_response("200 OK", TEXT)
        return [1]
    if path == "/unstarted":
        return [b"no start_response"]
    if path == "/twice":
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"twice"]
    if path == "/string":
        start_response("200 OK", TEXT)
        return "a string"
    if path == "/file":
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](open("data.bin", "rb"), 8192)
    if path == "/file-length":
        file = open("data.bin", "rb")
        file.seek(10)
        start_response("200 OK", TEXT + [("Content-Length", "1000")])
        return environ["wsgi.file_wrapper"](file)
    if path == "/file-like":
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"like " * 1000), 100)
    if path == "/file-object":
        start_response("200 OK", TEXT)
        return open("data.bin", "rb")
    if path == "/status":
        start_response(bytes.fromhex(query).decode("latin-1"), TEXT)
        return [b"status"]
    if path == "/header":
        name, value = json.loads(bytes.fromhex(query))
        start_response("200 OK", TEXT + [(name, value)])
        return [b"header"]
    if path == "/headers":
        start_response("200 OK", eval(bytes.fromhex(query)))
        return [b"headers"]
    if path == "/cookies":
        start_response("200 OK", TEXT + [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "\\xe9")])
        return [b"cookies"]
    if path == "/compress":
        kind, size, extra = json.loads(bytes.fromhex(query))
        start_response("200 OK", [("Content-Type", kind)] + [tuple(pair) for pair in extra])
        return [b"compress me" * (size // 11 + 1)]
    if path == "/stream":
        def pieces():
            for n in range(5):
                yield b"%d" % n * 2000
        start_response("200 OK", HTML)
        return pieces()
    if path == "/304":
        start_response("304 Not Modified", [])
        return [b"a body that must not be"]
    if path == "/204":
        start_response("204 No Content", TEXT)
        return [b"a body that must not be"]
    if path == "/date":
        start_response("200 OK", TEXT + [("Date", "Mon, 01 Jan 2001 00:00:00 GMT"), ("Server", "own")])
        return [b"date"]
    if path == "/1xx":
        start_response("100 Continue", TEXT)
        return [b""]
    start_response("404 Not Found", TEXT)
    return [b"own 404"]

def debugged(environ, start_response):
    return plain(environ, start_response)
debugged.debug = True

def simple(environ, start_response):
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.errors"].write("")
    body = b"valid " + data
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

if __name__ == "__main__":
    import skitai
    skitai.mount("/", plain)
    skitai.mount("/debug", debugged)
    skitai.mount("/valid", validator(simple))
    skitai.run()
"""

DATA = bytes(range(256)) * 4000
site = Shared({"app.py": APPLICATION, "data.bin": DATA})
single = Shared({"app.py": APPLICATION, "data.bin": DATA}, "--threads", "0")
get = site.ask


def coded(value: str) -> str:
    return value.encode("latin-1").hex()


def environ(reply: Reply) -> dict[str, Any]:
    result = json.loads(reply.body)
    assert isinstance(result, dict)
    return result


class EnvironTests(SynchronousTestCase):
    """What applications are told."""

    def test_required(self) -> None:
        with site.connect() as wire:
            wire.request("/environ?a=b&c", "Content-Type: a/b", method="POST", body=b"abc")
            here = wire.socket.getsockname()
            seen = environ(wire.receive())
        expected = {
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/environ", "QUERY_STRING": "a=b&c",
            "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "3", "SERVER_PORT": str(site.server.port),
            "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": here[0], "HTTP_HOST": "localhost",
            "wsgi.version": [1, 0], "wsgi.url_scheme": "http", "wsgi.multithread": True, "wsgi.run_once": False,
            "wsgi.multiprocess": False, "wsgi.input_terminated": True, "RAW_URI": "/environ?a=b&c",
            "REQUEST_URI": "/environ?a=b&c", "types": [], "keys": [True], "gone": False,
            "cwd": site.directory,
        }  # fmt: skip
        self.assertEqual({key: seen.get(key) for key in expected}, expected)
        self.assertTrue(seen["SERVER_NAME"])
        for key in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "skitai.was", "skitai.version"):
            self.assertIn(key, seen)
        self.assertRegex(seen["skitai.version"], r"^\d+\.\d+")

    def test_threads_0_is_not_multithreaded(self) -> None:
        self.assertEqual(environ(single.ask("/environ"))["wsgi.multithread"], False)

    def test_targets(self) -> None:
        for target in ("/%65nviron", "/environ?", "/environ?a%20b=%zz", "/environ?x=y?z/../"):
            seen = environ(get(target))
            query = target.partition("?")[2]
            self.assertEqual((seen["RAW_URI"], seen["REQUEST_URI"], seen["QUERY_STRING"]), (target, target, query))
            self.assertEqual(seen["PATH_INFO"], "/environ")
        seen = environ(get("/debug/environ"))
        self.assertEqual((seen["SCRIPT_NAME"], seen["PATH_INFO"]), ("/debug", "/environ"))
        self.assertEqual(seen["REQUEST_URI"], "/debug/environ")

    def test_forwarded_fields_are_not_believed_from_anybody(self) -> None:
        seen = environ(
            get("/environ", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil",
                "Forwarded: for=1.2.3.4;proto=https;host=evil")
        )  # fmt: skip
        self.assertEqual(
            (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["HTTP_HOST"]), ("127.0.0.1", "http", "localhost")
        )


class ProtocolTests(SynchronousTestCase):
    """start_response, write and iterables."""

    def both(self, target: str, status: int, body: bytes | None = None, method: str = "GET") -> list[Reply]:
        replies = []
        for served in (site, single):
            with Case(target), served.connect() as wire:
                reply = wire.ask(target, method=method)
                self.assertEqual(reply.status, status, target)
                if body is not None:
                    self.assertEqual(reply.body, body, target)
                self.assertNotEqual(wire.ask("/date").status, 500, target)
                replies.append(reply)
        return replies

    def test_bodies(self) -> None:
        self.both("/write", 200, b"one two three")
        for reply in self.both("/write-length", 200, b"one two"):
            self.assertEqual(reply.get("content-length"), "7")
        self.both("/text", 200, "caf\xe9 and \u4e2d".encode())
        for reply in self.both("/empty", 200, b""):
            self.assertEqual(reply.get("content-length"), "0")
        self.both("/tuple", 200, b"ab")
        self.both("/late", 201, b"late")
        self.both("/lazy", 200, b"lazy")
        self.both("/exc-info", 409, b"conflict")
        self.both("/body", 200, b"ab")
        self.both("/204", 204, b"")
        self.both("/304", 304, b"")
        self.both("/nothing", 404, b"own 404")
        self.both("/sized", 200, b"one piece")

    def test_validator(self) -> None:
        for served in (site, single):
            self.assertEqual(served.ask("/valid/").body, b"valid ")
            self.assertEqual(served.ask("/valid/x?y", method="POST", body=b"abc").body, b"valid abc")
            self.assertEqual(served.ask("/valid/", "Accept-Encoding: gzip", method="PUT", body=b"a").body, b"valid a")
            self.assertEqual(served.ask("/valid/", method="HEAD").status, 200)

    def test_iterables_are_streamed_as_they_come(self) -> None:
        with site.connect() as wire:
            wire.request("/stepwise?go-on")
            reply = wire._head()
            self.assertEqual(reply.get("transfer-encoding"), "chunked")
            self.assertEqual(wire._exactly(10), b"5\r\nfirst\r\n")
            self.assertTrue(wire.silent(0.02))
            open(f"{site.directory}/go-on", "w").close()
            self.assertEqual(wire._exactly(16), b"6\r\nsecond\r\n0\r\n\r\n")

    def test_close_is_always_called(self) -> None:
        for path in ("/body?1", "/fails-first", "/fails-later", "/fails-later-length", "/short", "/long", "/sized"):
            with site.connect() as wire:
                wire.request(path)
                wire.rest() if "later" in path or path == "/short" else wire.receive()
        with site.connect() as wire:
            wire.ask("/body?head", method="HEAD")
        expected = {"body1", "first", "later", "later-length", "short", "long", "sized", "bodyhead"}
        until(lambda: expected <= set(get("/closed").text.split(",")), "close() of each")

    def test_cookies_and_own_fields(self) -> None:
        reply = get("/cookies")
        self.assertEqual(reply.all("set-cookie"), ["a=1", "b=2"])
        self.assertEqual(reply.get("x-latin"), "\xe9")
        self.assertEqual(get("/date").get("date"), "Mon, 01 Jan 2001 00:00:00 GMT")
        self.assertEqual(get("/date").get("server"), "own")

    def test_file_wrapper(self) -> None:
        for served in (site, single):
            self.assertEqual(served.ask("/file").body, DATA)
            self.assertEqual(served.ask("/file-length").body, DATA[10:1010])
            self.assertEqual(served.ask("/file-like").body, b"like " * 1000)
            self.assertEqual(served.ask("/file-object").body, DATA)
            self.assertEqual(served.ask("/file", method="HEAD").status, 200)
            with served.connect() as wire:
                self.assertEqual([wire.ask("/file").body == DATA for _ in range(3)], [True] * 3)


class FaultTests(SynchronousTestCase):
    """Applications that break."""

    def test_uncaught_exceptions_are_500(self) -> None:
        for served in (site, single):
            for path in ("/fails-before", "/fails-after-start", "/fails-first", "/exits"):
                with served.connect() as wire:
                    reply = wire.ask(path)
                    self.assertEqual(reply.status, 500, path)
                    self.assertEqual(reply.all("x-lost"), [])
                    self.assertIn("500", reply.text)
                    self.assertRegex(reply.text, r"GTID-[0-9a-f]{6}-C\d+-R\d+")
                    self.assertNotIn("Traceback", reply.text)
                    self.assertNotIn("fault", reply.text)
                self.assertEqual(served.ask("/date").status, 200)

    def test_a_traceback_only_when_debug_and_escaped(self) -> None:
        reply = get("/debug/fails-before")
        self.assertEqual(reply.status, 500)
        self.assertIn("Traceback", reply.text)
        self.assertIn("KeyError", reply.text)
        self.assertNotIn("<script>fault", reply.text)
        self.assertIn("<script>fault</script>", html.unescape(reply.text))
        self.assertIn("app.py", reply.text)

    def test_a_transaction_in_an_error_page_is_escaped(self) -> None:
        for target in ("/fails-before", "/debug/fails-before"):
            reply = get(target, "X-Gtxn-Id: <script>id</script>")
            self.assertNotIn("<script>id", reply.text)
        self.assertIn("my-own-id", get("/fails-before", "X-Gtxn-Id: my-own-id").text)

    def test_head_of_an_error(self) -> None:
        with site.connect() as wire:
            self.assertEqual(wire.ask("/fails-before", method="HEAD").status, 500)
            self.assertEqual(wire.ask("/date").status, 200)

    def test_failing_after_bytes_were_sent_never_looks_complete(self) -> None:
        for path in ("/fails-later", "/fails-later-length", "/exc-info-late", "/short"):
            for served in (site, single):
                with served.connect() as wire:
                    wire.request(path)
                    raw = wire.rest()
                    self.assertTrue(raw.startswith(b"HTTP/1.1 200"), (path, raw))
                    self.assertFalse(raw.endswith(b"0\r\n\r\n"), (path, raw))
                    self.assertNotIn(b"HTTP/1.1 500", raw)

    def test_more_than_content_length_is_not_sent(self) -> None:
        with site.connect() as wire:
            wire.request("/long")
            raw = wire.socket.recv(10000)
            self.assertTrue(raw.endswith((b"\r\n\r\nlo", b"\r\n\r\nlong")) or b" 500 " in raw, raw)
            self.assertNotIn(b"longer", raw)

    def test_junk_is_500(self) -> None:
        for path in ("/none", "/number", "/unstarted", "/twice", "/1xx"):
            for served in (site, single):
                reply = served.ask(path)
                self.assertEqual(reply.status, 500, path)
        self.assertIn(get("/string").status, (200, 500))

    def test_statuses_that_break_the_rules(self) -> None:
        for status in ("200", "OK", "", "200 OK\r\nX-Evil: 1", "20 OK", "2000 OK", "abc OK", "200 O\x00K", "200 O\nK"):
            if status == "200":
                continue
            reply = get(f"/status?{coded(status)}")
            self.assertEqual(reply.status, 500, status)
            self.assertEqual(reply.all("x-evil"), [])
        for status, number in (("299 Something new", 299), ("599 X", 599), ("418 I'm a teapot", 418)):
            self.assertEqual(get(f"/status?{coded(status)}").status, number)

    def test_headers_that_break_the_rules(self) -> None:
        for name, value in (
            ("X-A", "b\r\nX-Evil: 1"), ("X-A", "b\nX-Evil: 1"), ("X-A", "b\rX-Evil: 1"), ("X-A\r\nX-Evil", "1"),
            ("X A", "b"), ("X:A", "b"), ("", "b"), ("X-A", "b\x00"), ("X-\u00e9", "b"), ("X-A", "\u4e2d"),
            ("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"), ("Upgrade", "x"), ("Keep-Alive", "x"),
            ("Content-Length", "abc"), ("Content-Length", "-1"), ("X-A", "b\x7f"), ("X-A", 1), (1, "x"), ("X-A", None),
        ):  # fmt: skip
            reply = get(f"/header?{json.dumps([name, value]).encode().hex()}")
            self.assertEqual(reply.status, 500, (name, value))
            self.assertEqual(reply.all("x-evil"), [])
        for headers in ("None", "[('A', 'b', 'c')]", "(('Content-Type', 'a/b'),)", "{'A': 'b'}", "[(b'A', b'b')]"):
            self.assertEqual(get(f"/headers?{coded(headers)}").status, 500, headers)

    def test_the_rule_is_named(self) -> None:
        reply = get(f"/debug/header?{json.dumps(['X-Abc', 'b' + chr(10)]).encode().hex()}")
        self.assertEqual(reply.status, 500)
        self.assertIn("X-Abc", reply.text)


class CompressionTests(SynchronousTestCase):
    """gzip on the way out."""

    def compress(self, kind: str = "text/html", size: int = 4000, *fields: str, extra: object = ()) -> Reply:
        query = json.dumps([kind, size, extra]).encode().hex()
        return get(f"/compress?{query}", *(fields or ("Accept-Encoding: gzip, deflate, br",)))

    def test_compressible_types(self) -> None:
        for kind in ("text/plain", "text/html; charset=utf-8", "text/css", "application/json", "application/xml",
                     "text/xml", "application/javascript", "text/javascript", "image/svg+xml", "TEXT/HTML",
                     "application/ld+json", "application/atom+xml"):  # fmt: skip
            reply = self.compress(kind)
            self.assertEqual(reply.get("content-encoding"), "gzip", kind)
            self.assertTrue(gzip.decompress(reply.body).startswith(b"compress me"))
            self.assertIn("accept-encoding", reply.get("vary").lower())
            self.assertEqual(reply.get("content-length") or str(len(reply.body)), str(len(reply.body)))
        for kind in ("image/png", "application/octet-stream", "application/zip", "video/mp4", "application/pdf"):
            self.assertEqual(self.compress(kind).get("content-encoding"), "", kind)

    def test_only_when_accepted(self) -> None:
        for value in ("identity", "gzip;q=0", "deflate, br", "", "*;q=0", "gzip;q=0.0, *"):
            reply = self.compress("text/html", 4000, f"Accept-Encoding: {value}")
            self.assertEqual(reply.get("content-encoding"), "", value)
            self.assertIn("accept-encoding", reply.get("vary").lower())
        self.assertEqual(self.compress("text/html", 4000, "X: y").get("content-encoding"), "")
        for value in ("gzip;q=0.1", "GZIP", "br;q=1, gzip;q=0.5", "*"):
            reply = self.compress("text/html", 4000, f"Accept-Encoding: {value}")
            self.assertEqual(reply.get("content-encoding"), "gzip", value)

    def test_only_over_1_kib(self) -> None:
        self.assertEqual(self.compress(size=900).get("content-encoding"), "")
        self.assertEqual(self.compress(size=1100).get("content-encoding"), "gzip")

    def test_never_twice(self) -> None:
        for coding in ("gzip", "br", "identity"):
            reply = self.compress(extra=[("Content-Encoding", coding)])
            self.assertEqual(reply.all("content-encoding"), [coding])
            self.assertTrue(reply.body.startswith(b"compress me"))

    def test_fields_of_the_application(self) -> None:
        reply = self.compress(extra=[("Vary", "Cookie"), ("ETag", '"strong"')])
        self.assertEqual(reply.get("content-encoding"), "gzip")
        vary = ", ".join(reply.all("vary")).lower()
        self.assertIn("cookie", vary)
        self.assertIn("accept-encoding", vary)
        self.assertNotEqual(reply.get("etag"), '"strong"')  # RFC 9110 8.8.3: another representation, another tag
        reply = self.compress(extra=[("Cache-Control", "no-transform")])
        self.assertEqual(reply.get("content-encoding"), "")

    def test_with_a_length(self) -> None:
        size = (4000 // 11 + 1) * 11
        reply = self.compress(extra=[("Content-Length", str(size))])
        self.assertEqual(reply.get("content-encoding"), "gzip")
        self.assertEqual(len(gzip.decompress(reply.body)), size)

    def test_streams_are_flushed_piece_by_piece(self) -> None:
        reply = get("/stream", "Accept-Encoding: gzip")
        self.assertEqual(reply.get("content-encoding"), "gzip")
        self.assertEqual(gzip.decompress(reply.body), b"".join(b"%d" % n * 2000 for n in range(5)))
        with site.connect() as wire:
            wire.request("/stepwise?go-on-compressed", "Accept-Encoding: gzip")
            reply = wire._head()
            if reply.get("content-encoding") == "gzip":
                decoder = zlib.decompressobj(31)
                seen = b""
                while seen != b"first":
                    size = int(wire._until(b"\r\n"), 16)
                    seen += decoder.decompress(wire._exactly(size + 2)[:-2])
            open(f"{site.directory}/go-on-compressed", "w").close()

    def test_partial_content_and_empty_answers_are_left(self) -> None:
        self.assertEqual(get("/204", "Accept-Encoding: gzip").get("content-encoding"), "")
        self.assertEqual(get("/empty", "Accept-Encoding: gzip").get("content-encoding"), "")

    def test_head(self) -> None:
        with site.connect() as wire:
            query = json.dumps(["text/html", 4000, []]).encode().hex()
            reply = wire.ask(f"/compress?{query}", "Accept-Encoding: gzip", method="HEAD")
            self.assertEqual(reply.status, 200)
            self.assertIn("accept-encoding", reply.get("vary").lower())
            self.assertEqual(wire.ask("/date").status, 200)

    def test_http_1_0(self) -> None:
        query = json.dumps(["text/html", 4000, []]).encode().hex()
        with site.raw(f"GET /compress?{query} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n") as wire:
            reply = wire.receive()
            self.assertIn(reply.get("content-encoding"), ("gzip", ""))
            self.assertEqual(reply.get("transfer-encoding"), "")
