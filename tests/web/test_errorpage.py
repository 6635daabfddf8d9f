"""Answering an exchange with a built-in page: its fields, and what only debug shows."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.errorpage import respond_error
from skitai.web.transaction import fresh_gtxn
from tests.web.exchanges import make_exchange, sent

SECRET = "Traceback ...\nValueError: the secret\n"


def raised() -> ValueError:
    """Return an exception with a traceback."""
    try:
        raise ValueError("the secret")
    except ValueError as error:
        return error


class RespondTests(SynchronousTestCase):
    def test_page(self) -> None:
        exchange = make_exchange()
        respond_error(exchange, 503, "the queue is full", [(b"retry-after", b"1")])
        response, fields, body = sent(exchange)
        self.assertEqual((response.status, response.reason), (503, "Service Unavailable"))
        self.assertEqual(fields[b"content-type"], b"text/html; charset=utf-8")
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
        self.assertEqual(fields[b"content-type"], b"application/json")
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

    def test_exception_makes_a_page_in_debug_only(self) -> None:
        for debug in (False, True):
            with self.subTest(debug=debug):
                exchange = make_exchange(
                    [(b"authorization", b"Basic eA=="), (b"x-a", b"1"), (b"x-a", b"2")], "/p?token=t0p"
                )
                exchange.debug = debug
                respond_error(exchange, 500, error=raised())
                response, fields, body = sent(exchange)
                self.assertEqual((response.status, fields[b"cache-control"]), (500, b"no-store"))
                self.assertIn(b"style-src", fields[b"content-security-policy"])
                self.assertEqual(b"the secret" in body, debug)
                self.assertEqual(b"/p?token=********" in body, debug)
                self.assertEqual(b"<td>1, 2</td>" in body, debug)
                self.assertIn(fresh_gtxn(3, 5).encode(), body)
                self.assertNotIn(b"eA==", body)
                self.assertNotIn(b"t0p", body)

    def test_exception_as_text_for_who_prefers_that(self) -> None:
        exchange = make_exchange([(b"accept", b"application/json")])
        exchange.debug = True
        respond_error(exchange, 500, error=raised())
        told = json.loads(sent(exchange)[2])
        self.assertTrue(told["traceback"].startswith("Traceback (most recent call last):\n"))
        self.assertTrue(told["traceback"].endswith("ValueError: the secret\n"))
