"""The request log, transaction ids and trusted proxies, as they are read and sent."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until

APPLICATION = """\
import json
import sys
import time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise KeyError("the application's own fault")
    if path == "/errors":
        environ["wsgi.errors"].write("told to wsgi.errors\\n")
    if path == "/sleep":
        time.sleep(0.03)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "application/x")])
        return iter([b"one", b"two"])
    if path == "/slowstream":
        def pieces():
            yield b"one"
            time.sleep(0.03)
            yield b"two"
        start_response("200 OK", [("Content-Type", "application/x")])
        return pieces()
    environ["wsgi.input"].read()
    body = json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()
    if path == "/large":
        body = b"text " * 1000
    if path == "/hello":
        body = b"Hello World"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

if __name__ == "__main__":
    import os
    import skitai
    os.makedirs("static", exist_ok=True)
    with open("static/file.txt", "w") as file:
        file.write("x" * 500)
    skitai.mount("/", app)
    skitai.mount("/", "static")
    skitai.run()
"""

LINE = re.compile(
    r"(?P<date>\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d) \[info\] (?P<client>\S+:\d+|-) (?P<host>\S+) "
    r"(?P<method>\S+) (?P<uri>\S+) (?P<version>HTTP/\d\.\d|-) (?P<status>\d{3}) (?P<received>\d+) (?P<sent>\d+) "
    r'(?P<gtid>\S+) (?P<ltid>\d+) (?P<user>-|".*?") (?P<token>-|\S+) (?P<agent>-|"(?:[^"\\]|\\.)*") '
    r"(?P<handling>\d+)ms (?P<delivery>\d+)ms"
)

texts = Shared({"app.py": APPLICATION}, "--logpath", "logs")
objects = Shared({"app.py": APPLICATION}, "--logpath", "logs", "--access-log-format", "json")
behind = Shared(
    {"app.py": APPLICATION},
    *("--logpath", "logs", "--trusted-proxies", "127.0.0.1", "--trusted-proxies", "10.0.0.0/8"),
)


def lines(served: Shared, name: str = "request.log") -> list[str]:
    path = Path(served.directory, "logs", name)
    return path.read_text("utf-8").splitlines() if path.exists() else []


def line_of(served: Shared, mark: str) -> str:
    """Return the one line of the request log with ``mark``, once it is there."""

    def look() -> list[str]:
        return [line for line in lines(served) if mark in line]

    found = until(look, f"a line with {mark!r} in {lines(served)}")
    assert len(found) == 1, found
    return found[0]


class TextTests(SynchronousTestCase):
    """One line a request, with the fields of the manual."""

    def logged(self, mark: str) -> dict[str, str]:
        line = line_of(texts, mark)
        found = LINE.fullmatch(line)
        assert found is not None, line
        return found.groupdict()

    def test_every_field(self) -> None:
        agent = "Mozilla/5.0 (Windows NT 6.1;) Gecko/20100101 Firefox/50.0"
        with texts.connect() as wire:
            here = "{}:{}".format(*wire.socket.getsockname())
            wire.ask("/hello?mark=every", f"User-Agent: {agent}", method="POST", body=b"abcde", host="example.org:80")
        seen = self.logged("mark=every")
        date = seen.pop("date")
        self.assertRegex(date, r"^20\d\d\.")
        self.assertRegex(seen.pop("gtid"), r"^GTID-[0-9a-f]{6}-C\d+-R\d+$")
        self.assertLess(int(seen.pop("handling")) + int(seen.pop("delivery")), 5000)
        self.assertEqual(
            seen,
            {
                "client": here, "host": "example.org:80", "method": "POST", "uri": "/hello?mark=every",
                "version": "HTTP/1.1", "status": "200", "received": "5", "sent": "11", "ltid": "1000", "user": "-",
                "token": "-", "agent": f'"{agent}"',
            },
        )  # fmt: skip

    def test_statuses_and_sizes(self) -> None:
        with texts.connect() as wire:
            for target, fields, method, body, status, received, sent in (
                ("/stream?m1", (), "GET", b"", 200, 0, 6),
                ("/hello?m2", (), "HEAD", b"", 200, 0, 0),
                ("/file.txt?m3", (), "GET", b"", 200, 0, 500),
                ("/file.txt?m4", ("Range: bytes=0-9",), "GET", b"", 206, 0, 10),
                ("/file.txt?m5", ("If-None-Match: *",), "GET", b"", 304, 0, 0),
                ("/hello?m6", (), "PUT", b"x" * 100_000, 200, 100_000, 11),
            ):
                reply = wire.ask(target, *fields, method=method, body=body)
                seen = self.logged(target[-3:])
                self.assertEqual(
                    (reply.status, seen["method"], seen["status"], int(seen["received"]), int(seen["sent"])),
                    (status, method, str(status), received, sent), target,
                )  # fmt: skip
            reply = wire.ask("/large?m7", "Accept-Encoding: gzip")
            self.assertEqual(int(self.logged("?m7")["sent"]), int(reply.get("content-length")))
            reply = wire.ask("/fails?m8")
            seen = self.logged("?m8")
            self.assertEqual((seen["status"], seen["sent"]), ("500", str(len(reply.body))))
        with texts.raw("GET /hello?m9 HTTP/1.0\r\n\r\n") as wire:
            wire.receive()
        seen = self.logged("?m9")
        self.assertEqual((seen["version"], seen["host"], seen["agent"]), ("HTTP/1.0", "-", "-"))

    def test_times(self) -> None:
        texts.ask("/sleep?t1")
        texts.ask("/slowstream?t2")
        self.assertGreaterEqual(int(self.logged("?t1")["handling"]), 29)
        self.assertLess(int(self.logged("?t2")["handling"]), 29)
        self.assertGreaterEqual(int(self.logged("?t2")["delivery"]), 29)

    def test_pipelined_requests_have_ids_of_one_connection(self) -> None:
        with texts.raw("".join(f"GET /hello?p{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(3))) as wire:
            for _ in range(3):
                wire.receive()
        ids = [self.logged(f"?p{n}")["gtid"] for n in range(3)]
        self.assertEqual(len({gtid.split("-R")[0] for gtid in ids}), 1)
        self.assertEqual(len(set(ids)), 3)

    def test_refused_requests_are_logged(self) -> None:
        with texts.raw("GET /refused?r1 HTTP/1.1\r\nHost: a\r\nBad : b\r\n\r\n") as wire:
            gtid = re.search(r"GTID-\S+?-R\d+", wire.receive().text)
        assert gtid is not None
        found = LINE.fullmatch(line_of(texts, gtid[0]))
        assert found is not None, line_of(texts, gtid[0])
        self.assertEqual(found["status"], "400")

    def test_transactions(self) -> None:
        for gtid, ltid, logged in (
            ("GTID-C4676-R67", "2001", ("GTID-C4676-R67", "2001")), ("own-id.1:2/3", "3002", ("own-id.1:2/3", "3002")),
            ("x" * 128, "1000", ("x" * 128, "1000")), ("y" * 129, "2001", (None, "2001")),
            ("z\xe9", "2001", (None, "2001")), ("good-1", "", ("good-1", "1000")),
            ("good-2", "abc", ("good-2", "1000")),
            ("good-3", "-5", ("good-3", "1000")), ("good-4", None, ("good-4", "1000")), (None, None, (None, "1000")),
            ("", "2001", (None, None)),
        ):  # fmt: skip
            mark = f"tx{abs(hash((gtid, ltid)))}"
            fields = [f"X-Gtxn-Id: {gtid}"] * (gtid is not None) + [f"X-Ltxn-Id: {ltid}"] * (ltid is not None)
            texts.ask(f"/hello?{mark}", *fields)
            seen = self.logged(mark)
            if logged[0] is None:
                self.assertRegex(seen["gtid"], r"^GTID-[0-9a-f]{6}-C\d+-R\d+$", gtid)
            else:
                self.assertEqual(seen["gtid"], logged[0])
            if logged[1] is not None:
                self.assertEqual(seen["ltid"], logged[1], (gtid, ltid))

    def test_an_id_can_not_break_the_line(self) -> None:
        texts.ask("/hello?tb", "X-Gtxn-Id: a b c", "X-Ltxn-Id: 2001")
        line = line_of(texts, "?tb")
        self.assertIsNotNone(LINE.fullmatch(line), line)

    def test_credentials_are_never_logged(self) -> None:
        secret = base64.b64encode(b"alice:password").decode()
        texts.ask("/hello?c1", f"Authorization: Basic {secret}")
        texts.ask("/hello?c2", "Authorization: Bearer abcdefghijklmnop")
        texts.ask("/hello?c3", "Authorization: Bearer abc")
        texts.ask("/hello?c4", 'Authorization: Digest username="bob", response="fedcba9876543210"')
        self.assertEqual(self.logged("?c1")["user"], '"alice"')
        self.assertEqual(self.logged("?c2")["token"], "abcd\u2026")
        self.assertNotEqual(self.logged("?c3")["token"], "abc")
        self.assertEqual(self.logged("?c4")["user"], '"bob"')
        text = "\n".join(lines(texts)) + texts.server.output
        for word in (secret, "password", "abcdefg", "fedcba98"):
            self.assertNotIn(word, text)

    def test_nothing_forges_a_line(self) -> None:
        texts.ask("/hello?f1%0aforged", 'User-Agent: a"b\\c \xe9')
        credentials = base64.b64encode(b"al ice\nforged:p").decode()
        texts.ask("/hello?f2", f"Authorization: Basic {credentials}")
        line = line_of(texts, "?f1")
        self.assertIsNotNone(LINE.fullmatch(line), line)
        line = line_of(texts, "?f2")
        self.assertIsNotNone(re.search(r'1000 ".*" - - \d+ms \d+ms$', line), line)
        self.assertFalse([line for line in lines(texts) if line.startswith("forged")])

    def test_the_other_logs(self) -> None:
        texts.ask("/errors")
        texts.ask("/fails?other")
        until(lambda: "told to wsgi.errors" in "\n".join(lines(texts, "app.log")), "wsgi.errors in app.log")
        until(lambda: "the application's own fault" in "\n".join(lines(texts, "app.log")), "the fault in app.log")
        self.assertIn("Traceback", "\n".join(lines(texts, "app.log")))
        gtid = self.logged("/fails?other")["gtid"]
        self.assertIn(gtid, "\n".join(lines(texts, "app.log")))
        self.assertTrue(lines(texts, "server.log"))
        self.assertNotIn("GET /errors", texts.server.output)

    def test_usr1_reopens(self) -> None:
        served = Shared({"app.py": APPLICATION}, "--logpath", "logs")
        self.addCleanup(served.end)
        served.ask("/hello?before")
        line_of(served, "?before")
        log = Path(served.directory, "logs", "request.log")
        os.rename(log, log.with_name("moved.log"))
        served.server.signal(signal.SIGUSR1)
        until(log.exists, "a new file")
        served.ask("/hello?after")
        line_of(served, "?after")
        self.assertEqual(served.server.stop(), 0)
        self.assertNotIn("?after", log.with_name("moved.log").read_text())

    def test_the_last_lines_are_written_at_stop(self) -> None:
        served = Shared({"app.py": APPLICATION}, "--logpath", "logs")
        self.addCleanup(served.end)
        for n in range(20):
            served.ask(f"/hello?last{n}")
        self.assertEqual(served.server.stop(), 0)
        self.assertEqual(sum("?last" in line for line in lines(served)), 20)


class ConsoleTests(SynchronousTestCase):
    """Without a logpath, and with ``-v``."""

    def test_console(self) -> None:
        for options, there in ((), True), (("--logpath", "logs"), False), (("-v", "--logpath", "logs"), True):
            served = Shared({"app.py": APPLICATION}, *options)
            self.addCleanup(served.end)
            served.ask("/hello?console")
            served.ask("/fails?x")
            self.assertEqual(served.server.stop(), 0)
            self.assertEqual("/hello?console" in served.server.output, there, options)
            self.assertEqual("own fault" in served.server.output, there, options)
            if options:
                line_of(served, "?console")


class JsonTests(SynchronousTestCase):
    """``access_log_format="json"``."""

    def logged(self, mark: str) -> dict[str, Any]:
        result = json.loads(line_of(objects, mark))
        assert isinstance(result, dict)
        return result

    def test_fields(self) -> None:
        objects.ask("/hello?j1", 'User-Agent: a"b', "X-Gtxn-Id: my-id", "X-Ltxn-Id: 2001", method="POST", body=b"abc")
        seen = self.logged("?j1")
        values = list(seen.values())
        for value in ("POST", "/hello?j1", 200, 3, 11, "my-id", 2001, 'a"b', "localhost"):
            self.assertIn(value, [*values, *map(str, values)] if not isinstance(value, int) else values, seen)

    def test_odd_bytes_are_valid_json(self) -> None:
        objects.ask('/hello?j2%e9"', "User-Agent: \xff\xfe\t\\")
        self.assertEqual(self.logged("?j2")["status"], 200)


class TrustedTests(SynchronousTestCase):
    """Behind proxies."""

    def seen(self, *fields: str) -> tuple[str, str, str]:
        reply: Reply = behind.ask("/", *fields)
        environ = json.loads(reply.body)
        return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]

    def test_believed_right_to_left(self) -> None:
        for fields, expected in (
            ((), ("127.0.0.1", "http", "localhost")),
            (("X-Forwarded-For: 1.2.3.4",), ("1.2.3.4", "http", "localhost")),
            (("X-Forwarded-For: 6.6.6.6, 1.2.3.4",), ("1.2.3.4", "http", "localhost")),
            (("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1",), ("1.2.3.4", "http", "localhost")),
            (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"), ("1.2.3.4", "http", "localhost")),
            (("X-Forwarded-For: 10.2.2.2, 10.1.1.1",), ("10.2.2.2", "http", "localhost")),
            (("X-Forwarded-For: 2001:db8::1",), ("2001:db8::1", "http", "localhost")),
            (("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"),
             ("1.2.3.4", "https", "shop.example")),
            (("Forwarded: for=1.2.3.4;proto=https;host=shop.example",), ("1.2.3.4", "https", "shop.example")),
            (('Forwarded: for=6.6.6.6, for="1.2.3.4:99";proto=https',), ("1.2.3.4", "https", "localhost")),
            (('Forwarded: For="[2001:db8::1]:99"',), ("2001:db8::1", "http", "localhost")),
        ):  # fmt: skip
            self.assertEqual(self.seen(*fields), expected, fields)

    def test_nonsense_is_not_believed(self) -> None:
        for fields in (
            ("X-Forwarded-For: nonsense",), ("X-Forwarded-For: ",), ("Forwarded: ;;;",), ("Forwarded: for=unknown",),
            ("X-Forwarded-Proto: javascript",), ("X-Forwarded-Host: a b",), ("X-Forwarded-Host: a\"<>",),
        ):  # fmt: skip
            address, scheme, host = self.seen(*fields)
            self.assertEqual((scheme, host), ("http", "localhost"), fields)
            self.assertNotIn("nonsense", address)

    def test_the_log_names_the_client(self) -> None:
        behind.ask("/hello?b1", "X-Forwarded-For: 1.2.3.4")
        self.assertRegex(line_of(behind, "?b1"), r"\[info\] 1\.2\.3\.4(:\S+)? ")
