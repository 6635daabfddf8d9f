"""The built-in error pages: what they name, what they escape, what they keep to themselves."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.errorpage import HTML, JSON, TEXT, preferred_type, render, render_text, respond_error
from skitai.web.transaction import fresh_gtxn
from tests.web.exchanges import make_exchange, sent

HOSTILE = "<script>alert('1')</script>\" & {status} %s \x1b[2J \x00 \udc80 é"
SECRET = "Traceback ...\nValueError: the secret\n"


class _Reader(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


class RenderTests(SynchronousTestCase):
    def read(self, page: bytes) -> _Reader:
        reader = _Reader()
        reader.feed(page.decode("utf-8"))
        return reader

    def test_names_status_and_transaction(self) -> None:
        reader = self.read(render(404, "nothing here", "GTID-1"))
        self.assertIn("404 Not Found", reader.text)
        self.assertIn("nothing here", reader.text)
        self.assertIn("GTID-1", reader.text)
        self.assertNotIn("pre", reader.tags)

    def test_everything_is_escaped(self) -> None:
        plain = self.read(render(500, "m", "g", "t"))
        hostile = self.read(render(500, HOSTILE, HOSTILE, HOSTILE))
        self.assertEqual(hostile.tags, plain.tags)
        self.assertEqual(
            hostile.text.count("<script>alert('1')</script>\" & {status} %s \ufffd[2J \ufffd \\udc80 é"), 3
        )

    def test_text_obeys_no_terminal(self) -> None:
        page = render_text(500, HOSTILE, "g").decode()
        self.assertTrue(page.startswith("500 Internal Server Error\n<script>"))
        self.assertNotIn("\x1b", page)

    def test_small(self) -> None:
        self.assertLess(len(render(503, "try again later", "GTID-1")), 1500)


class RespondTests(SynchronousTestCase):
    def test_page(self) -> None:
        exchange = make_exchange()
        respond_error(exchange, 503, "the queue is full", [(b"retry-after", b"1")])
        response, fields, body = sent(exchange)
        self.assertEqual((response.status, response.reason), (503, "Service Unavailable"))
        self.assertEqual(fields[b"content-type"], HTML)
        self.assertEqual(fields[b"retry-after"], b"1")
        self.assertEqual(fields[b"cache-control"], b"no-store")
        self.assertIn(b"the queue is full", body)
        self.assertIn(fresh_gtxn(3, 5).encode(), body)

    def test_caller_may_allow_storing(self) -> None:
        exchange = make_exchange()
        respond_error(exchange, 404, headers=[(b"cache-control", b"max-age=5")])
        values = [value for name, value in sent(exchange)[0].headers if name == b"cache-control"]
        self.assertEqual(values, [b"max-age=5"])

    def test_traceback_only_in_debug(self) -> None:
        for accept in (b"text/html", b"application/json", b"text/plain"):
            for debug in (False, True):
                with self.subTest(accept=accept, debug=debug):
                    exchange = make_exchange([(b"accept", accept)])
                    exchange.debug = debug
                    respond_error(exchange, 500, traceback=SECRET)
                    self.assertEqual(b"the secret" in sent(exchange)[2], debug)

    def test_json(self) -> None:
        exchange = make_exchange([(b"accept", b"application/json"), (b"x-gtxn-id", b'a"b')])
        respond_error(exchange, 413, "too much")
        _, fields, body = sent(exchange)
        self.assertEqual(fields[b"content-type"], JSON)
        self.assertEqual(
            json.loads(body), {"status": 413, "reason": "Content Too Large", "message": "too much", "gtid": 'a"b'}
        )

    def test_statuses_without_body(self) -> None:
        exchange = make_exchange()
        respond_error(exchange, 304, headers=[(b"etag", b'"a"')])
        response, _, body = sent(exchange)
        self.assertEqual((response.headers, body), ([(b"etag", b'"a"')], b""))

    def test_redirect_may_be_stored(self) -> None:
        exchange = make_exchange()
        respond_error(exchange, 308, headers=[(b"location", b"/a/")])
        _, fields, body = sent(exchange)
        self.assertNotIn(b"cache-control", fields)
        self.assertIn(b"Permanent Redirect", body)


class PreferredTypeTests(SynchronousTestCase):
    def test_preferences(self) -> None:
        for accept, expected in (
            (None, HTML),
            (b"", HTML),
            (b"*/*", HTML),
            (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
            (b"application/json, text/plain, */*", JSON),
            (b"application/json", JSON),
            (b"Application/JSON;charset=utf-8 ; q=1", JSON),
            (b"text/plain", TEXT),
            (b"text/*", HTML),
            (b"text/*, text/html;q=0", TEXT),
            (b"text/html;q=0.5, application/json;q=0.6", JSON),
            (b"*/*;q=0.1, text/plain;q=0.2", TEXT),
            (b"image/png", HTML),
            (b"application/json;q=0", HTML),
            (b"application/json;q=junk, text/plain", TEXT),
            (b";,;;q=\xff,", HTML),
        ):
            with self.subTest(accept):
                self.assertIs(preferred_type(accept), expected)
