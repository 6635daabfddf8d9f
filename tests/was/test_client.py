"""The HTTP client: when it tells, what it shares, how it ends; and that bad servers leave nothing behind.

What one request may meet is in ``test_transfer``.
"""

from __future__ import annotations

import gc
import gzip
from typing import Any

from skitai.errors import (
    BadAnswer,
    ConnectFailed,
    NameNotFound,
    RequestCancelled,
    RequestError,
    RequestTimeout,
)
from skitai.was.url import URL as Url
from tests.openfiles import open_files
from tests.was.backends import HANGS, OK, Backend, Message, answer
from tests.was.cases import URL, Case, get


class RequestTests(Case):
    def test_one_connection_for_many_requests(self) -> None:
        self.serve(OK)
        for _ in range(5):
            self.request()
            self.answered()
        self.assertEqual(len(self.network.links), 1)
        self.assertEqual(self.client.counts["idle"], 1)

    def test_done_is_not_called_before_request_returns(self) -> None:
        closed = self.client.close()
        self.request()
        self.assertEqual(self.outcomes, [])
        self.failure(RequestCancelled)
        self.successResultOf(closed)

    def test_done_may_make_the_next_request_with_the_same_connection(self) -> None:
        self.serve(OK)
        self.client.request(get(), (10, 100), lambda first: self.request())
        self.answered()
        self.assertEqual(len(self.network.links), 1)

    def test_done_that_raises_is_logged_and_harms_nobody(self) -> None:
        self.serve(OK)
        self.client.request(get(), (10, 100), lambda first: 1 / 0)  # type: ignore[arg-type]
        self.network.flush()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.client.counts["idle"], 1)

    def test_nor_where_another_request_ends_and_begins_meanwhile(self) -> None:
        self.serve(b"")
        first = self.client.request(get(), (10, 100), lambda outcome: self.request(timeout=1))
        self.network.flush()

        def extra(url: Url) -> Any:
            first.cancel()
            raise ValueError("no fields for you")

        self.serve(OK, port=81)
        self.request(get("http://a.example:81/"))
        self.answered()
        self.request(get("http://a.example:81/"), extra=extra)  # over a connection that is there already
        self.assertEqual(self.outcomes, [])
        self.failure(RequestError, "no fields for you")
        self.network.wait(1.1)
        self.failure(RequestError, "within 1 seconds")


class CloseTests(Case):
    def test_close_ends_what_runs(self) -> None:
        self.serve(b"")
        self.network.names["b.example"] = None
        for url in (URL, URL, "http://b.example/"):
            self.request(get(url))
        self.network.flush()
        closed = self.client.close()
        for _ in range(3):
            self.failure(RequestCancelled)
        self.successResultOf(closed)
        self.successResultOf(self.client.close())

    def test_done_may_not_begin_anew(self) -> None:
        """Who fails over when a request is cancelled is cancelled again, and does not keep the client open."""
        self.serve(b"")
        self.client.request(get(), (10, 100), lambda outcome: self.request())
        self.network.flush()
        closed = self.client.close()
        self.failure(RequestCancelled)
        self.successResultOf(closed)


class ManyTests(Case):
    """Each bad server a thousand times; what is left over is counted by ``check_clean``, and files here."""

    TIMES = 1000

    def ask(self, kind: type[RequestError], url: str = URL) -> None:
        gc.collect()  # what other tests have left open is not closed in between
        files = open_files()
        for _ in range(self.TIMES):
            self.request(get(url), timeout=1, max_response_size=3_000_000)
        self.network.wait(1.1)
        self.assertEqual([outcome for outcome in self.outcomes if not isinstance(outcome, kind)], [])
        self.assertEqual(len(self.outcomes), self.TIMES)
        self.outcomes.clear()
        counts = self.client.counts
        self.assertEqual((counts["requests"], counts["open"]), (0, counts["idle"]))
        self.assertLessEqual(counts["connecting"], 1)
        self.network.wait(5)
        self.drop_idle()
        self.assertEqual(open_files(), files)

    def test_who_does_not_connect(self) -> None:
        self.ask(NameNotFound)
        self.network.names["a.example"] = ["192.0.2.1", "192.0.2.2"]
        self.ask(ConnectFailed)
        self.network.places[("192.0.2.1", 80)] = self.network.places[("192.0.2.2", 80)] = HANGS
        self.ask(RequestTimeout)
        self.network.names["a.example"] = None
        self.ask(RequestTimeout)

    def test_who_hangs(self) -> None:
        for begun in (b"", b"HTTP/1.1 200 O", answer(b"x", length=9)):
            self.serve(begun)
            self.ask(RequestTimeout)

    def test_who_talks_nonsense(self) -> None:
        endless = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000
        false = answer(b"no gzip", "Content-Encoding: gzip")
        bomb = answer(gzip.compress(bytes(3_000_001)), "Content-Encoding: gzip")
        two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
        for reply in (b"nonsense\r\n\r\n", endless, false, two):
            self.serve(reply)
            self.ask(BadAnswer)
        self.TIMES = 50  # it takes its time to undo each of them
        self.serve(bomb)
        self.ask(BadAnswer)

    def test_who_leads_nowhere(self) -> None:
        for location in ("file:///etc/passwd", "gopher://a.example/", URL):
            self.serve(answer(b"", f"Location: {location}", status="302 Found"))
            self.ask(BadAnswer)

    def test_who_breaks_off(self) -> None:
        def handle(backend: Backend, message: Message) -> None:
            backend.transport.write(answer(b"x" * 10, length=90))
            backend.transport.loseConnection()

        self.serve(handle)
        self.ask(BadAnswer)
        self.serve(lambda backend, message: backend.transport.abortConnection())
        self.ask(ConnectFailed)

    def test_who_breaks_off_when_there_is_a_file_already(self) -> None:
        def handle(backend: Backend, message: Message) -> None:
            backend.transport.write(answer(b"x" * 1_100_000, length=2_000_000))
            backend.transport.loseConnection()

        self.TIMES = 50
        self.serve(handle)
        self.ask(BadAnswer)
