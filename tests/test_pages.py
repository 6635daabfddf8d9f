"""The built-in error pages: what they name, what they escape, which form a client gets."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from skitai import pages

HOSTILE = "<script>alert('1')</script>\" & {status} %s \x1b[2J \x00 \udc80 é"


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
        reader = self.read(pages.render(404, "nothing here", "GTID-1"))
        self.assertIn("404 Not Found", reader.text)
        self.assertIn("nothing here", reader.text)
        self.assertIn("GTID-1", reader.text)
        self.assertNotIn("pre", reader.tags)

    def test_everything_is_escaped(self) -> None:
        plain = self.read(pages.render(500, "m", "g", "t"))
        hostile = self.read(pages.render(500, HOSTILE, HOSTILE, HOSTILE))
        self.assertEqual(hostile.tags, plain.tags)
        self.assertEqual(
            hostile.text.count("<script>alert('1')</script>\" & {status} %s \ufffd[2J \ufffd \\udc80 é"), 3
        )

    def test_text_obeys_no_terminal(self) -> None:
        page = pages.render_text(500, HOSTILE, "g").decode()
        self.assertTrue(page.startswith("500 Internal Server Error\n<script>"))
        self.assertNotIn("\x1b", page)

    def test_small(self) -> None:
        self.assertLess(len(pages.render(503, "try again later", "GTID-1")), 1500)


class _Detail:
    def html(self, gtxn: str) -> str:
        return f"<p>a page of its own for {gtxn} \udc80"

    def text(self) -> str:
        return "a traceback"


class ErrorPageTests(SynchronousTestCase):
    def test_html(self) -> None:
        headers, body = pages.error_page(404, "nothing here", "GTID-1", None)
        self.assertEqual(
            dict(headers),
            {
                "Content-Type": "text/html; charset=utf-8",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
                "Cache-Control": "no-store",
            },
        )
        self.assertEqual(body, pages.render(404, "nothing here", "GTID-1"))

    def test_form_that_the_client_prefers(self) -> None:
        headers, body = pages.error_page(413, "too much", "G", "application/json")
        self.assertEqual(dict(headers)["Content-Type"], "application/json")
        self.assertNotIn("Content-Security-Policy", dict(headers))
        self.assertEqual(
            json.loads(body), {"status": 413, "reason": "Content Too Large", "message": "too much", "gtid": "G"}
        )
        headers, body = pages.error_page(413, "too much", "G", "text/plain")
        self.assertEqual(dict(headers)["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(body, b"413 Content Too Large\ntoo much\nG\n")

    def test_redirect_may_be_stored(self) -> None:
        self.assertNotIn("Cache-Control", dict(pages.error_page(308, "", "G", None)[0]))

    def test_detail(self) -> None:
        self.assertIn(b"<pre>a text</pre>", pages.error_page(500, "", "G", None, "a text")[1])
        self.assertEqual(pages.error_page(500, "", "G", None, _Detail())[1], b"<p>a page of its own for G \\udc80")
        self.assertEqual(
            json.loads(pages.error_page(500, "", "G", pages.JSON, _Detail())[1])["traceback"], "a traceback"
        )
        self.assertIn(b"\na traceback\nG\n", pages.error_page(500, "", "G", "text/plain", _Detail())[1])


class PreferredTypeTests(SynchronousTestCase):
    def test_preferences(self) -> None:
        for accept, expected in (
            (None, pages.HTML),
            ("", pages.HTML),
            ("*/*", pages.HTML),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", pages.HTML),
            ("application/json, text/plain, */*", pages.JSON),
            ("application/json", pages.JSON),
            ("Application/JSON;charset=utf-8 ; q=1", pages.JSON),
            ("text/plain", pages.TEXT),
            ("text/*", pages.HTML),
            ("text/*, text/html;q=0", pages.TEXT),
            ("text/html;q=0.5, application/json;q=0.6", pages.JSON),
            ("*/*;q=0.1, text/plain;q=0.2", pages.TEXT),
            ("image/png", pages.HTML),
            ("application/json;q=0", pages.HTML),
            ("application/json;q=junk, text/plain", pages.TEXT),
            (";,;;q=\xff,", pages.HTML),
        ):
            with self.subTest(accept):
                self.assertIs(pages.preferred_type(accept), expected)

    def test_only_the_beginning_of_a_long_field_counts(self) -> None:
        self.assertIs(pages.preferred_type("a/b," * 256 + "text/plain"), pages.HTML)
        self.assertIs(pages.preferred_type("a/b," * 200 + "text/plain"), pages.TEXT)
