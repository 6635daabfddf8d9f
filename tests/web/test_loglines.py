"""Lines of the request log: the manual's line, what is missing, what is hostile, what is secret."""

from __future__ import annotations

import base64
import json
import os
import shlex
import time
from types import SimpleNamespace
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.events import HeaderList
from skitai.web.exchange import Exchange, RequestBody
from skitai.web.loglines import JSONLines, TextLines, abbreviated, public_host, public_target
from skitai.web.transaction import fresh_gtxn
from tests.web.exchanges import make_exchange

MOMENT = 1483121106.0
"""2016.12.30 18:05:06 UTC."""

FIREFOX = b"Mozilla/5.0 (Windows NT 6.1;) Gecko/20100101 Firefox/50.0"
FIELDS = 18
"""Fields of a text line once split as a shell does."""


def finished(headers: HeaderList | None = None, **more: Any) -> Exchange:
    """Return an exchange that was handled in 4 ms and delivered in 3."""
    exchange = make_exchange(headers, **more)
    exchange.status, exchange.body_sent = 200, 32970
    exchange.answered, exchange.finished = 1.004, 1.007
    return exchange


def basic(credentials: bytes) -> HeaderList:
    """Return the field that carries user and password."""
    return [(b"authorization", b"Basic " + base64.b64encode(credentials))]


class _UTCTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        before = os.environ.get("TZ")
        self.addCleanup(self.set_zone, before)
        self.set_zone("UTC")

    def set_zone(self, zone: str | None) -> None:
        if zone is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = zone
        time.tzset()


class TextTests(_UTCTestCase):
    def line(self, exchange: Exchange) -> str:
        return TextLines()(exchange, MOMENT - 1.007)

    def fields(self, exchange: Exchange) -> list[str]:
        line = self.line(exchange)
        self.assertEqual(len(line.splitlines()), 1, line)
        self.assertTrue(line.endswith("\n"))
        found = shlex.split(line)
        self.assertEqual(len(found), FIELDS, line)
        return found

    def test_the_manuals_line(self) -> None:
        headers = [(b"host", b"x"), (b"user-agent", FIREFOX), (b"x-gtxn-id", b"GTID-C3-R8")]
        exchange = finished(headers, client=("127.0.0.1", 1778))
        exchange.request.host = "127.0.0.1:5000"
        self.assertEqual(
            self.line(exchange),
            "2016.12.30 18:05:06 [info] 127.0.0.1:1778 127.0.0.1:5000 GET / HTTP/1.1 200 0 32970 GTID-C3-R8 1000 - - "
            '"Mozilla/5.0 (Windows NT 6.1;) Gecko/20100101 Firefox/50.0" 4ms 3ms\n',
        )

    def test_local_time(self) -> None:
        self.set_zone("XXX-9")
        self.assertTrue(self.line(finished()).startswith("2016.12.31 03:05:06 [info] "))

    def test_date_follows_the_request(self) -> None:
        lines, exchange = TextLines(), finished()
        begin = [lines(exchange, offset)[:19] for offset in (MOMENT, MOMENT + 1, MOMENT + 0.9, MOMENT)]
        self.assertEqual([moment[-2:] for moment in begin], ["07", "08", "07", "07"])

    def test_all_fields(self) -> None:
        headers = [
            (b"x-ltxn-id", b"2001"),
            (b"authorization", b"Bearer 12345678-1234-123456"),
            (b"user-agent", b"curl/8"),
        ]
        exchange = finished(headers, target="/a?b=c", method="POST", client=("::1", 40000))
        exchange.body = cast(RequestBody, SimpleNamespace(received=12))
        exchange.user = "hansroh"
        exchange.request.version = "2"
        self.assertEqual(
            self.line(exchange)[27:],
            f"[::1]:40000 example.com POST /a?b=c HTTP/2.0 200 12 32970 {fresh_gtxn(3, 5)} 2001 "
            '"hansroh" 1234… "curl/8" 4ms 3ms\n',
        )

    def test_what_is_missing(self) -> None:
        exchange = make_exchange(client=("", 0), method="-", target="-")
        exchange.request.host = ""
        exchange.finished = 1.5
        self.assertEqual(self.line(exchange)[27:], f"- - - - HTTP/1.1 - 0 0 {fresh_gtxn(3, 5)} 1000 - - - - -\n")
        exchange.request.method = exchange.request.target = exchange.request.version = ""
        self.assertEqual(self.line(exchange)[27:], f"- - - - - - 0 0 {fresh_gtxn(3, 5)} 1000 - - - - -\n")

    def test_missing_values_are_not_remembered_wrongly(self) -> None:
        lines = TextLines()
        for number in range(3000):
            exchange = finished([(b"user-agent", b"%d" % number)])
            exchange.request.host = str(number)
            self.assertEqual(lines(exchange, 0.0).split()[4], str(number))
        self.assertIn(" - - - 4ms 3ms", lines(finished(), 0.0))
        self.assertLessEqual(len(lines._hosts), 1024)
        self.assertLessEqual(len(lines._agents), 1024)

    def test_port_that_a_proxy_did_not_tell(self) -> None:
        self.assertEqual(self.fields(finished(client=("192.0.2.1", 0)))[3], "192.0.2.1:-")

    def test_clock_set_back(self) -> None:
        exchange = finished()
        exchange.answered, exchange.finished = 0.5, 0.4
        self.assertTrue(self.line(exchange).endswith(" 0ms 0ms\n"))

    def test_times_are_rounded(self) -> None:
        exchange = finished()
        exchange.answered, exchange.finished = 1.0004, 13.3459
        self.assertTrue(self.line(exchange).endswith(" 0ms 12346ms\n"))

    def test_hostile_bytes(self) -> None:
        hostile = bytes(range(256))
        text = hostile.decode("latin-1")
        headers = [(b"user-agent", hostile), (b"x-gtxn-id", b'G "1"'), *basic(hostile.replace(b":", b"") + b":x")]
        exchange = finished(headers, method="GET\n", target="/" + text)
        exchange.request.host = text.replace("@", "")
        fields = self.fields(exchange)
        self.assertEqual(fields[5], "GETx0a")  # shlex takes the backslash
        self.assertTrue(self.line(exchange).replace("…", "").isascii())
        self.assertTrue(self.line(exchange).rstrip("\n").isprintable())
        self.assertIn(r" G\x20\x221\x22 ", self.line(exchange))

    def test_escapes_are_bytes(self) -> None:
        exchange = finished([(b"user-agent", "é\\".encode())], target="/é\\")
        exchange.user = "é\x1b \udc80"
        line = self.line(exchange)
        self.assertIn(r'"\xc3\xa9\x5c"', line)
        self.assertIn(r"/\xc3\xa9\x5c ", line)
        self.assertIn(r'"\xc3\xa9\x1b \x5cudc80"', line)

    def test_long_fields_are_cut(self) -> None:
        exchange = finished([(b"user-agent", b"\xff" * 60000)])
        exchange.request.host = exchange.user = "x" * 60000
        self.assertLess(len(self.line(exchange)), 8000)

    def test_user_and_token(self) -> None:
        for headers, expected in (
            (basic(b"aladdin:open sesame"), ['"aladdin"', "-"]),
            (basic(b"two words:x"), ['"two words"', "-"]),
            (basic(b"-:x"), ['"-"', "-"]),
            (basic(b":password"), ["-", "-"]),
            (basic(b"no-colon-so-perhaps-a-secret"), ["-", "-"]),
            ([(b"authorization", b"Basic !!!")], ["-", "-"]),
            ([(b"authorization", b'Digest realm="username=x", username="a \\"b\\""')], [r'"a \x22b\x22"', "-"]),
            ([(b"authorization", b'Digest username="", response="secret"')], ["-", "-"]),
            ([(b"authorization", b"Digest username*=UTF-8''x, response=secret")], ["-", "-"]),
            ([(b"authorization", b"bEARER   abcdefgh")], ["-", "abcd…"]),
            ([(b"authorization", b"Bearer abcde")], ["-", "abcd…"]),
            ([(b"authorization", b"Bearer abcd")], ["-", "ab…"]),
            ([(b"authorization", b"Bearer a")], ["-", "…"]),
            ([(b"authorization", b"Bearer ")], ["-", "-"]),
            ([(b"authorization", b"Bearer")], ["-", "-"]),
            ([(b"authorization", b'Bearer "\x1b x')], ["-", r"\x22\x1b…"]),
            ([(b"authorization", b"abcdefgh")], ["-", "-"]),
            ([(b"authorization", b'Digest username="me", response="secret"')], ['"me"', "-"]),
        ):
            with self.subTest(headers):
                line = self.line(finished(headers))
                user, token = line.partition(" 1000 ")[2].rsplit(" ", 4)[0], line.rsplit(" ", 4)[1]
                self.assertEqual([user, token], expected)

    def test_users_told_by_the_application_win(self) -> None:
        exchange = finished(basic(b"aladdin:x"))
        exchange.user = "jasmine"
        self.assertEqual(self.fields(exchange)[13], "jasmine")


class JSONTests(_UTCTestCase):
    def record(self, exchange: Exchange) -> dict[str, Any]:
        line = JSONLines()(exchange, MOMENT + 0.25 - 1.007)
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.isascii())
        found: dict[str, Any] = json.loads(line)
        return found

    def test_all_fields(self) -> None:
        headers = [(b"x-gtxn-id", b'G "1"'), (b"authorization", b"Bearer 12345678"), (b"user-agent", b'a\xff"\n')]
        exchange = finished(headers, target="/é", client=("::1", 40000))
        exchange.user = "é"
        self.assertEqual(
            self.record(exchange),
            {
                "time": "2016-12-30T18:05:06.250Z",
                "level": "info",
                "client": "::1",
                "client_port": 40000,
                "host": "example.com",
                "method": "GET",
                "uri": "/é",
                "protocol": "HTTP/1.1",
                "status": 200,
                "request_bytes": 0,
                "response_bytes": 32970,
                "gtid": 'G "1"',
                "ltid": 1000,
                "user": "é",
                "token": "1234…",
                "agent": 'a\\xff"\n',
                "handling_ms": 4.0,
                "delivery_ms": 3.0,
            },
        )

    def test_what_is_missing(self) -> None:
        exchange = make_exchange(client=("", 0), method="-", target="-")
        exchange.request.host = ""
        record = self.record(exchange)
        present = {name for name, value in record.items() if value is not None}
        self.assertEqual(present, {"time", "level", "protocol", "request_bytes", "response_bytes", "gtid", "ltid"})

    def test_secrets(self) -> None:
        exchange = finished(basic(b"aladdin:open sesame"), target="http://me:secret@example.com/?access_token=secrets")
        exchange.request.host = "me:secret@example.com"
        record = self.record(exchange)
        self.assertEqual(record["user"], "aladdin")
        self.assertEqual(record["uri"], "http://example.com/?access_token=secr…")
        self.assertEqual(record["host"], "example.com")


class SecretTests(SynchronousTestCase):
    def test_targets(self) -> None:
        for target, expected in (
            ("/a@b", "/a@b"),
            ("*", "*"),
            ("http://u:p@h/x@y?z=@", "http://h/x@y?z=@"),
            ("HTTP://u:p@q@h", "HTTP://h"),
            ("http://h/?next=a@b", "http://h/?next=a@b"),
            ("u:p@h:443", "h:443"),
            ("//u:p@h/", "//u:p@h/"),
            ("/?access_token=12345678&x=1", "/?access_token=1234…&x=1"),
            ("/?x=1&TOKEN=12345678", "/?x=1&TOKEN=1234…"),
            ("/?id_token=&refresh_token=ab", "/?id_token=&refresh_token=a…"),
            ("/?pageToken=12345678", "/?pageToken=12345678"),
            ("/token=12345678", "/token=12345678"),
        ):
            with self.subTest(target):
                self.assertEqual(public_target(target), expected)

    def test_text_line(self) -> None:
        for target in ("http://me:secret@h/", "/?token=secret-secret", "/?TOKEN=secret-secret"):
            with self.subTest(target):
                line = TextLines()(finished(target=target), 0.0)
                self.assertNotIn("secret", line)
        line = TextLines()(finished(target="/?token=secret-secret&x=\x80"), 0.0)
        self.assertIn(" /?token=secr…&x=\\x", line)

    def test_host(self) -> None:
        self.assertEqual(public_host("u:p@h:1"), "h:1")
        self.assertEqual(public_host("h:1"), "h:1")

    def test_never_the_whole_token(self) -> None:
        for size in range(1, 50):
            shown = abbreviated("x" * size)
            assert shown is not None
            self.assertLess(len(shown) - 1, size)
            self.assertLessEqual(len(shown) - 1, 4)
        self.assertIsNone(abbreviated(""))
