"""HTTP/1 connections: turns, deadlines, bodies, and clients that leave, on a clock that stands still."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ClientDisconnected
from skitai.settings import Limits
from skitai.testing.clock import Reactor
from tests.web.direct import DirectPump, HastyWorkers
from tests.web.serving import Server, hello, request, split

LIMITS = Limits(
    keep_alive_timeout=2.0,
    head_timeout=30.0,
    body_min_rate=100,
    body_min_rate_grace=5.0,
    drain_timeout=60.0,
    body_spool_size=1000,
    max_post_body_size=100_000,
    response_buffer_size=10_000,
    max_head_size=4096,
    max_target_size=1024,
)


def reading(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with the length of the body."""
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % size]


class TurnTests(SynchronousTestCase):
    """One request after the other."""

    def test_answer_whole_and_byte_by_byte(self) -> None:
        data = request("/a", method="POST", body=b"abc") + request("/b")
        whole = Server(hello).ask(data)
        self.assertEqual(whole.count(b"HTTP/1.1 200 OK\r\n"), 2)
        self.assertEqual(Server(hello).ask(data, piece_size=1), whole)

    def test_common_fields(self) -> None:
        status, fields, body = split(Server(hello).ask(request("/x")))
        self.assertEqual((status, body), ("HTTP/1.1 200 OK", b"/x"))
        self.assertEqual(
            fields,
            {
                "content-type": "text/plain",
                "date": "Sun, 06 Nov 1994 08:49:37 GMT",
                "server": "Skitai",
                "content-length": "2",
            },
        )

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        answer = Server(hello).ask(request("/1") + request("/2") + request("/3"))
        places = [answer.index(path) for path in (b"\r\n\r\n/1", b"\r\n\r\n/2", b"\r\n\r\n/3")]
        self.assertEqual(places, sorted(places))

    def test_pipelined_request_waits_for_its_turn(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request("/1") + request("/2"))
        self.assertEqual(server.workers.queued, 1)
        server.workers.step()
        pump.flush()
        self.assertEqual(pump.client.take().count(b"HTTP/1.1"), 1)
        self.assertEqual(server.workers.queued, 1)

    def test_many_pipelined_requests_do_not_recurse(self) -> None:
        server = Server(hello, threads=0)
        answer = server.ask(request() * 3000)
        self.assertEqual(answer.count(b"200 OK"), 3000)

    def test_reading_stops_while_too_much_is_pipelined(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request("/first"))
        pump.send(request("/more") * 400)
        self.assertFalse(pump.server_transport.wants_to_read())
        server.work(pump)
        self.assertTrue(pump.server_transport.wants_to_read())
        self.assertEqual(pump.client.take().count(b"200 OK"), 401)

    def test_connection_close_is_honoured(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request("/", "Connection: close") + request("/smuggled"))
        server.work(pump)
        answer = pump.client.take()
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertEqual(split(answer)[1]["connection"], "close")
        self.assertIsNotNone(pump.client.lost)

    def test_http10_closes(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request(version="1.0"))
        server.work(pump)
        self.assertEqual(split(pump.client.take())[1]["connection"], "close")
        self.assertIsNotNone(pump.client.lost)

    def test_http10_keep_alive(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request("/", "Connection: keep-alive", version="1.0"))
        server.work(pump)
        self.assertEqual(split(pump.client.take())[1]["connection"], "keep-alive")
        self.assertIsNone(pump.client.lost)

    def test_head_has_length_but_no_body(self) -> None:
        _, fields, body = split(Server(hello).ask(request("/abc", method="HEAD")))
        self.assertEqual((fields["content-length"], body), ("4", b""))

    def test_malformed_request_is_refused_with_a_page_and_closed(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(b"GET / HTTP/1.1\r\n\r\n" + request("/never"))
        status, fields, body = split(pump.client.take())
        self.assertEqual((status, fields["connection"]), ("HTTP/1.1 400 Bad Request", "close"))
        self.assertIn(b"no Host field", body)
        self.assertEqual(server.workers.queued, 0)
        self.assertEqual([exchange.status for exchange in server.finished], [400])

    def test_second_pipelined_request_malformed(self) -> None:
        server = Server(hello)
        answer = server.ask(request("/good") + b"bad\r\n\r\n")
        self.assertEqual([answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 400")], [1, 1])

    def test_finished_exchanges_are_recorded(self) -> None:
        server = Server(hello)
        server.ask(request("/12345"))
        [exchange] = server.finished
        self.assertEqual((exchange.status, exchange.body_sent, exchange.request.target), (200, 6, "/12345"))


class DeadlineTests(SynchronousTestCase):
    """What happens when time passes."""

    def test_idle_connection_closes_after_keep_alive_timeout(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        pump.advance(1.75)
        self.assertIsNone(pump.client.lost)
        pump.advance(0.5)
        self.assertIsNotNone(pump.client.lost)
        self.assertEqual(server.site.channels, set())

    def test_keep_alive_timer_never_cuts_a_request_in_work(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request())
        for _ in range(100):
            pump.advance(10)
        server.work(pump)
        self.assertIn(b"200 OK", pump.client.take())

    def test_slow_head_is_408(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyy":
            pump.send(bytes([byte]))
            pump.advance(0.9)
        self.assertIn(b"408 Request Timeout", pump.client.take())
        self.assertIsNotNone(pump.client.lost)

    def silence(self, limits: Limits, seconds: float) -> None:
        """A connection that sends nothing closes after ``seconds`` without a word."""
        pump = Server(hello, limits).connect()
        pump.advance(seconds - 0.5)
        self.assertIsNone(pump.client.lost)
        pump.advance(1)
        self.assertIsNotNone(pump.client.lost)
        self.assertEqual(pump.client.take(), b"")

    def test_silent_connection_closes_like_an_idle_one(self) -> None:
        self.silence(LIMITS, 2)

    def test_silent_connection_stays_no_longer_than_a_head_may_take(self) -> None:
        self.silence(replace(LIMITS, keep_alive_timeout=300.0), 30)

    def test_slow_small_body_is_408_before_a_thread_is_taken(self) -> None:
        server = Server(reading, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 500", method="POST"))
        for _ in range(30):
            pump.send(b"x")
            pump.advance(0.25)
        self.assertIn(b"408 Request Timeout", pump.client.take())
        self.assertEqual(server.workers.queued, 0)

    def test_body_above_the_least_rate_is_not_cut(self) -> None:
        server = Server(reading, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 900", method="POST"))
        for _ in range(9):
            pump.send(b"x" * 100)
            pump.advance(0.9)
        server.work(pump)
        self.assertEqual(split(pump.client.take())[2], b"900")

    def test_client_that_does_not_read_is_cut_off(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return [b"x" * 1_000_000]

        server = Server(app, LIMITS)
        pump = DirectPump(server, room=1000)
        pump.send(request())
        server.work(pump)
        pump.advance(59)
        self.assertEqual(len(server.site.channels), 1)
        pump.advance(2)
        self.assertEqual(server.site.channels, set())


class BodyTests(SynchronousTestCase):
    """Bodies that come, and those that do not."""

    def test_small_body_is_whole_before_a_job_is_queued(self) -> None:
        server = Server(reading, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 10", method="POST") + b"12345")
        self.assertEqual(server.workers.queued, 0)
        pump.send(b"67890")
        self.assertEqual(server.workers.queued, 1)

    def test_large_body_is_handed_over_at_once_and_held_back(self) -> None:
        server = Server(reading, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 50000", method="POST"))
        self.assertEqual(server.workers.queued, 1)
        pump.send(b"x" * 5000)
        self.assertFalse(pump.server_transport.wants_to_read())
        pump.advance(1000)  # it is the application that is slow
        self.assertIsNone(pump.client.lost)

    def test_chunked_body_becomes_a_content_length_when_small(self) -> None:
        seen: list[dict[str, Any]] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            seen.append(environ)
            return reading(environ, start_response)

        data = request("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
        self.assertEqual(split(Server(app).ask(data))[2], b"5")
        self.assertEqual(seen[0]["CONTENT_LENGTH"], "5")

    def test_announced_length_over_the_limit_is_413_at_once(self) -> None:
        server = Server(reading, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 100001", "Expect: 100-continue", method="POST"))
        answer = pump.client.take()
        self.assertIn(b"413 ", answer)
        self.assertNotIn(b"100 Continue", answer)
        self.assertEqual(server.workers.queued, 0)

    def test_unread_small_rest_is_dropped_and_the_connection_kept(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request("/1", "Content-Length: 1500", method="POST") + b"x" * 700)
        server.work(pump)
        pump.send(b"y" * 800 + request("/2"))
        server.work(pump)
        answer = pump.client.take()
        self.assertEqual(answer.count(b"200 OK"), 2)

    def test_early_answer_to_a_large_body_closes(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request("/1", "Content-Length: 90000", method="POST"))
        server.work(pump)
        self.assertEqual(split(pump.client.take())[1]["connection"], "close")

    def test_continue_is_sent_when_the_application_reads(self) -> None:
        steps: list[str] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            steps.append("called")
            start_response("200 OK", [])
            return [b"never read"]

        server = Server(app, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        self.assertEqual(pump.client.take(), b"")
        server.work(pump)
        answer = pump.client.take()
        self.assertNotIn(b"100 Continue", answer)
        self.assertEqual(split(answer)[1]["connection"], "close")

    def test_continue_with_threads_0(self) -> None:
        server = Server(reading, LIMITS, threads=0)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        self.assertEqual(pump.client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        pump.send(b"12345")
        self.assertEqual(split(pump.client.take())[2], b"5")

    def test_broken_chunk_is_400_and_nothing_behind_it_is_a_request(self) -> None:
        server = Server(reading, LIMITS)
        data = request("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n" + request("/smuggled")
        answer = server.ask(data)
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertIn(b"400 Bad Request", answer)


class StreamTests(SynchronousTestCase):
    """Answers that go out piece by piece."""

    def test_unknown_length_is_chunked(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            return iter([b"hello", b"", b"world!"])

        _, fields, body = split(Server(app).ask(request()))
        self.assertEqual(fields["transfer-encoding"], "chunked")
        self.assertEqual(body, b"5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n")

    def test_unknown_length_in_http10_ends_with_the_connection(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            return iter([b"hello", b"world!"])

        server = Server(app)
        pump = server.connect()
        pump.send(request("/", "Connection: keep-alive", version="1.0"))
        server.work(pump)
        _, fields, body = split(pump.client.take())
        self.assertEqual((fields["connection"], body), ("close", b"helloworld!"))
        self.assertIsNotNone(pump.client.lost)

    def test_reactor_producer_is_paced_by_the_client(self) -> None:
        given: list[int] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            for number in range(1000):
                given.append(number)
                yield b"x" * 10_000

        server = Server(app, LIMITS, threads=0)
        pump = server.connect()
        pump.stop_reading()
        pump.send(request())
        self.assertLess(len(given), 40)
        pump.resume_reading()
        self.assertEqual(len(given), 1000)
        self.assertTrue(pump.client.take().endswith(b"0\r\n\r\n"))


class LeavingTests(SynchronousTestCase):
    """Clients that go away."""

    def test_while_queued_the_job_is_dropped(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request())
        self.assertEqual(server.workers.queued, 1)
        pump.client_transport.abortConnection()
        pump.flush()
        self.assertEqual(server.workers.queued, 0)
        self.assertEqual([exchange.status for exchange in server.finished], [499])

    def test_while_running_the_application_can_see_it(self) -> None:
        seen: list[bool] = []
        server: Server

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            gone = environ["skitai.client_disconnected"]
            seen.append(gone())
            pump.client_transport.abortConnection()
            pump.flush()
            seen.append(gone())
            return hello(environ, start_response)

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.workers.step()
        self.assertEqual(seen, [False, True])
        self.assertEqual(len(server.finished), 1)

    def test_while_streaming_close_is_called(self) -> None:
        closed: list[str] = []

        class Pieces:
            def __iter__(self) -> Any:
                yield b"one"
                pump.client_transport.abortConnection()
                pump.flush()
                yield b"two"
                closed.append("went on")
                yield b"three"

            def close(self) -> None:
                closed.append("closed")

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            return Pieces()

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.workers.step()
        self.assertEqual(closed, ["closed"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_while_sending_the_body(self) -> None:
        errors: list[BaseException] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                errors.append(error)
                raise
            return hello(environ, start_response)

        server = Server(app, LIMITS)
        pump = server.connect()
        pump.send(request("/", "Content-Length: 50000", method="POST") + b"x" * 100)
        pump.client_transport.abortConnection()
        pump.flush()
        server.work(pump)
        self.assertEqual(server.workers.queued, 0)
        self.assertEqual([exchange.status for exchange in server.finished], [499])
        self.assertTrue(all(isinstance(error, ClientDisconnected) for error in errors))

    def test_half_closed_client_gets_a_quick_answer(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request("/quick"))
        pump.client_transport.loseWriteConnection()
        pump.flush()
        server.work(pump)
        self.assertTrue(pump.client.take().endswith(b"/quick"))
        pump.advance(1)
        self.assertIsNotNone(pump.client.lost)

    def test_half_closed_client_is_gone_after_a_grace(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request("/slow"))
        pump.client_transport.loseWriteConnection()
        pump.flush()
        pump.advance(0.25)
        self.assertEqual(server.workers.queued, 1)
        pump.advance(0.5)
        self.assertEqual(server.workers.queued, 0)


class HalfClosedTests(SynchronousTestCase):
    """Clients that have closed their side: whether they are gone or read on is not seen until something is sent."""

    def setUp(self) -> None:
        self.seen: list[str] = []

    def app(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer with the pieces that the query names; a number is so many seconds of silence."""
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self.pieces(environ)

    def pieces(self, environ: dict[str, Any]) -> Any:
        gone = environ["skitai.client_disconnected"]
        self.seen.append(environ["PATH_INFO"])
        try:
            for item in environ["QUERY_STRING"].split(","):
                if not item.replace(".", "").isdigit():
                    yield item.encode()
                    continue
                for _ in range(int(float(item) * 4)):
                    self.pump.advance(0.25)
                    if gone():
                        self.seen.append("gone")
                        break
        finally:
            self.seen.append("closed")

    def ask(self, data: bytes, end: bool = True) -> bytes:
        """Return what comes back to a client that sends ``data`` and closes its side, at once or where a piece says."""
        self.server = Server(self.app, LIMITS)
        self.pump = DirectPump(self.server)
        self.pump.send(data)
        if end:
            self.pump.end()
        self.server.work(self.pump)
        return self.pump.read()

    def test_gone_before_anything_was_sent(self) -> None:
        for version in ("1.0", "1.1"):
            self.assertEqual(self.ask(request("/?3,late", version=version)), b"")
            self.assertEqual(self.seen, ["/", "gone", "closed"])
            self.assertTrue(self.pump.wire.reset)
            self.assertEqual([exchange.status for exchange in self.server.finished], [499])
            self.seen.clear()

    def test_gone_after_something_was_sent(self) -> None:
        """It has closed in mid-stream, and nothing follows."""

        def leaving(environ: dict[str, Any]) -> Any:
            yield b"first"
            self.pump.end()
            yield from HalfClosedTests.pieces(self, environ)

        self.patch(self, "pieces", leaving)
        for version in ("1.0", "1.1"):
            answer = self.ask(request("/?3,late", version=version), end=False)
            self.assertIn(b"first", answer)
            self.assertNotIn(b"late", answer)
            self.assertEqual(self.seen, ["/", "gone", "closed"])
            self.assertTrue(self.pump.wire.reset)
            self.seen.clear()

    def test_who_takes_what_comes_is_waited_for(self) -> None:
        """Nothing was reset by what was sent after the end, so somebody reads: longer silence is borne."""
        for version in ("1.0", "1.1"):
            answer = self.ask(request("/?one,15,two,15,three", version=version))
            body = answer.partition(b"\r\n\r\n")[2]
            for piece in (b"one", b"two", b"three"):
                self.assertIn(piece, body)
            self.assertEqual(self.seen, ["/", "closed"])
            self.pump.advance(1)
            self.assertTrue(self.pump.wire.closed)
            self.assertFalse(self.pump.wire.reset)
            self.seen.clear()

    def test_end_that_the_reactor_has_yet_to_read(self) -> None:
        """A thread is often faster than the reactor, which reads the end of what the client says by itself."""

        def hasty(environ: dict[str, Any]) -> Any:
            yield b"first"
            self.pump.end()
            yield from HalfClosedTests.pieces(self, environ)

        self.patch(self, "pieces", hasty)
        self.server = Server(self.app, LIMITS)
        self.pump = DirectPump(self.server)
        self.pump.send(request("/?15,two,60,three"))
        self.pump.wire.heard_all = True
        self.server.work(self.pump)
        answer = self.pump.read()
        self.assertIn(b"two", answer)
        self.assertNotIn(b"three", answer)

    def test_who_takes_what_comes_is_not_waited_for_for_ever(self) -> None:
        answer = self.ask(request("/?one,60,two"))
        self.assertIn(b"one", answer)
        self.assertNotIn(b"two", answer)
        self.assertEqual(self.seen, ["/", "gone", "closed"])

    def test_who_keeps_getting_is_served_to_the_end(self) -> None:
        """However long it takes as a whole."""
        items = ",".join(["a", "0.25"] * 100)
        answer = self.ask(request(f"/?{items},end", version="1.0"))
        self.assertTrue(answer.endswith(b"a" * 100 + b"end"))

    def test_pipelined_request_is_waited_for_no_longer(self) -> None:
        """The second one is opened after the end."""
        answer = self.ask(request("/1?one") + request("/2?3,late"))
        self.assertIn(b"one", answer)
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertEqual(self.seen, ["/1", "closed", "/2", "gone", "closed"])

    def test_pipelined_request_in_its_queue(self) -> None:
        self.server = Server(self.app, LIMITS)
        self.pump = DirectPump(self.server)
        self.pump.send(request("/1?one") + request("/2?two"))
        self.pump.end()
        self.server.workers.step()
        self.pump.flush()
        self.assertEqual(self.server.workers.queued, 1)
        self.pump.advance(0.75)
        self.assertEqual(self.server.workers.queued, 0)
        self.assertTrue(self.pump.wire.reset)

    def test_closed_behind_its_upload(self) -> None:
        self.assertEqual(self.ask(request("/?3,late", method="POST", body=b"x" * 500)), b"")
        self.assertEqual(self.seen, ["/", "gone", "closed"])

    def test_closed_behind_a_pipelined_upload(self) -> None:
        """Its body is found complete after the end."""
        upload = request("/2?3,late", method="POST", body=b"x" * 500)
        self.assertIn(b"one", self.ask(request("/1?one") + upload))
        self.assertEqual(self.seen, ["/1", "closed", "/2", "gone", "closed"])

    def test_closed_while_it_did_not_read(self) -> None:
        """Who has read what was queued is there; how long it is waited for begins then."""
        for silence, end in ((15, ["late"]), (60, ["gone"])):
            self.assertEqual(self.read_late(silence), end)

    def read_late(self, silence: float) -> list[str]:
        seen: list[str] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            pump.end()
            yield b"x" * 300_000
            pump.advance(30)
            pump.read()
            pump.advance(silence)
            pump.advance(0.25)
            if environ["skitai.client_disconnected"]():
                seen.append("gone")
            yield b"late"
            seen.append("late")

        server = Server(app, replace(LIMITS, response_buffer_size=1_000_000))
        pump = DirectPump(server, 1000)
        pump.send(request())
        server.work(pump)
        return seen


class DrainTests(SynchronousTestCase):
    """The server stops."""

    def test_idle_connections_close(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        done = server.site.drain()
        self.assertNoResult(done)
        pump.advance(0.5)
        self.successResultOf(done)
        self.assertIsNotNone(pump.client.lost)

    def test_running_request_finishes_and_says_close(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(request())
        done = server.site.drain()
        pump.advance(5)
        self.assertNoResult(done)
        server.work(pump)
        status, fields, _ = split(pump.client.take())
        self.assertEqual((status, fields["connection"]), ("HTTP/1.1 200 OK", "close"))
        self.successResultOf(done)

    def test_part_of_a_head_does_not_hold_the_stop_for_long(self) -> None:
        server = Server(hello)
        pump = server.connect()
        pump.send(b"GET / HT")
        done = server.site.drain()
        pump.advance(1)
        self.assertNoResult(done)
        pump.advance(1.5)
        self.assertIn(b"408 Request Timeout", pump.client.take())
        pump.advance(2.5)
        self.successResultOf(done)

    def test_without_connections_it_is_over_at_once(self) -> None:
        self.successResultOf(Server(hello).site.drain())

    def test_abort_closes_everything(self) -> None:
        server = Server(hello)
        pumps = [server.connect() for _ in range(3)]
        server.site.abort()
        for pump in pumps:
            pump.flush()
        self.assertEqual(server.site.channels, set())


def large(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with a megabyte."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"x" * 1_000_000]


def streaming(environ: dict[str, Any], start_response: Any) -> Any:
    """Answer with 100 pieces, of a megabyte all together."""
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "1000000")])
    for _ in range(100):
        yield b"x" * 10_000


def hasty(application: Any) -> Server:
    """Return a server whose threads are faster than its reactor."""
    reactor = Reactor()
    return Server(application, LIMITS, workers=HastyWorkers(reactor), reactor=reactor)


class SlowReaderTests(SynchronousTestCase):
    """Clients that read slowly, or not at all, while application threads send to their sockets."""

    def connect(self, application: Any, data: bytes, room: int = 1000, threads: int = 1) -> DirectPump:
        server = Server(application, LIMITS, threads)
        pump = DirectPump(server, room)
        pump.send(data)
        server.work(pump)
        self.server = server
        return pump

    def test_close_follows_once_everything_is_read(self) -> None:
        pump = self.connect(large, request("/", "Connection: close"))
        self.assertFalse(pump.wire.closed)
        self.assertTrue(pump.read().endswith(b"x" * 1000))
        self.assertTrue(pump.wire.closed)
        self.assertFalse(pump.wire.reset)
        self.assertEqual(self.server.site.channels, set())

    def test_who_reads_slowly_is_not_cut_off(self) -> None:
        for fields in ([], ["Connection: close"]):
            pump = self.connect(large, request("/", *fields))
            size = 0
            while size < 1_000_000 and not pump.wire.closed:
                pump.advance(20)
                size += len(pump.read(20_000))
            self.assertGreater(size, 1_000_000)

    def test_who_does_not_read_is_cut_off_where_requests_are_pipelined(self) -> None:
        pump = self.connect(large, request("/1") + request("/2") + request("/3"))
        for _ in range(7):
            pump.advance(10)
            self.server.work(pump)
        self.assertTrue(pump.wire.reset)
        self.assertEqual(len(self.server.finished), 1)

    def test_pipelined_request_waits_until_the_last_answer_is_read(self) -> None:
        pump = self.connect(large, request("/1") + request("/2"))
        self.assertEqual((self.server.workers.queued, len(self.server.finished)), (0, 1))
        pump.read()
        self.assertEqual(self.server.workers.queued, 1)
        self.server.work(pump)
        pump.read()
        self.assertEqual(len(self.server.finished), 2)
        pump.advance(3)
        self.assertTrue(pump.wire.closed)

    def test_body_that_is_dropped_while_the_answer_is_not_read(self) -> None:
        pump = self.connect(large, request("/", "Content-Length: 1500", method="POST") + b"x" * 1000)
        pump.send(b"x" * 500)
        for _ in range(7):
            pump.advance(10)
        self.assertTrue(pump.wire.reset)

    def test_half_closed_client_that_does_not_read_is_cut_off(self) -> None:
        reset: list[bool] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            pump.end()
            yield b"x" * 300_000
            pump.advance(1)
            reset.append(pump.wire.reset)
            for _ in range(7):
                pump.advance(10)
            reset.append(pump.wire.reset)

        server = Server(app, Limits(response_buffer_size=1_000_000))
        pump = DirectPump(server, 1000)
        pump.send(request())
        server.work(pump)
        self.assertEqual(reset, [False, True])

    def test_half_closed_client_that_stops_reading_is_cut_off(self) -> None:
        server = Server(large, LIMITS)
        pump = DirectPump(server, 1000)
        pump.send(request())
        pump.end()
        server.work(pump)
        self.assertFalse(pump.wire.closed)
        for _ in range(7):
            pump.advance(10)
        self.assertTrue(pump.wire.reset)

    def test_half_closed_client_gets_everything(self) -> None:
        for application in (large, streaming):
            pump = self.connect(application, request(), threads=0)
            pump.end()
            self.assertEqual(len(split(pump.read())[2]), 1_000_000)
            pump.advance(1)
            self.assertTrue(pump.wire.closed)
            self.assertFalse(pump.wire.reset)

    def test_half_closed_client_gets_all_pipelined_answers_and_then_the_end(self) -> None:
        for behind, closed in ((b"", "close"), (b"GET /par", None)):
            server = Server(hello, Limits(keep_alive_timeout=300.0))
            pump = DirectPump(server)
            pump.send(request("/1") + request("/2") + request("/3") + behind)
            pump.end()
            server.work(pump)
            pump.advance(0.5)
            pump.advance(2.5)
            answers = pump.read().split(b"HTTP/1.1 ")[1:]
            self.assertEqual([answer[:3] for answer in answers[:3]], [b"200"] * 3)
            self.assertEqual(split(answers[2])[1].get("connection"), closed)
            self.assertTrue(pump.wire.closed)

    def test_half_closed_client_while_the_server_stops(self) -> None:
        server = Server(hello, LIMITS)
        pump = DirectPump(server)
        pump.send(request("/1") + request("/2"))
        server.site.drain()
        pump.end()
        server.work(pump)
        self.assertEqual(pump.read().count(b"HTTP/1.1"), 1)
        pump.advance(2.5)
        self.assertTrue(pump.wire.closed)

    def test_client_that_closes_in_its_body_while_it_does_not_read(self) -> None:
        pump = self.connect(large, request("/", "Content-Length: 1500", method="POST") + b"x" * 1000)
        pump.end()
        self.assertTrue(pump.wire.closed)

    def test_lingering_ends_soon_after_everything_is_read(self) -> None:
        pump = self.connect(large, request("/", "Connection: close") + b"more")
        self.assertFalse(pump.wire.ended)
        pump.read()
        self.assertTrue(pump.wire.ended)
        self.assertFalse(pump.wire.closed)
        pump.advance(60.25)
        pump.advance(2.25)
        self.assertTrue(pump.wire.closed)

    def test_two_files_one_after_the_other(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"f" * 300_000)

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            return [b"y" * 300_000] if environ["PATH_INFO"] == "/y" else environ["wsgi.file_wrapper"](open(path, "rb"))

        server = Server(app, LIMITS)
        pump = server.connect()
        pump.stop_reading()
        pump.send(request("/y") + request("/f") + request("/y") + request("/f"))
        server.work(pump)
        pump.resume_reading()
        server.work(pump)
        self.assertEqual(len(pump.client.take()), 4 * 300_000 + len(self.heads(app)))

    def heads(self, app: Any) -> bytes:
        """Return the heads of the four answers."""
        answers = [Server(app, LIMITS).ask(request(path)) for path in ("/y", "/f")]
        return b"".join(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for answer in answers) * 2


class HastyThreadTests(SynchronousTestCase):
    """Threads that have answered before the reactor goes on."""

    def test_connection_is_closed_after_the_answer(self) -> None:
        pump = DirectPump(hasty(hello))
        pump.send(request("/", "Connection: close") + request("/smuggled"))
        answer = pump.read()
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertTrue(pump.wire.ended)

    def test_connection_without_keep_alive_is_closed_at_once(self) -> None:
        pump = DirectPump(hasty(hello))
        pump.send(request("/", version="1.0"))
        self.assertTrue(pump.wire.closed)

    def test_pipelined_requests(self) -> None:
        server = hasty(hello)
        pump = DirectPump(server)
        pump.send(request("/1") + request("/2", method="POST", body=b"abc") + request("/3"))
        answer = pump.read()
        places = [answer.index(path) for path in (b"\r\n\r\n/1", b"\r\n\r\n/2", b"\r\n\r\n/3")]
        self.assertEqual(places, sorted(places))
        self.assertEqual(len(server.finished), 3)
        pump.advance(2.5)
        self.assertTrue(pump.wire.closed)


class PartialHeadTests(SynchronousTestCase):
    """A part of the next head that has come before the answer was complete."""

    def test_it_has_the_time_of_a_head(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(request("/1") + b"GET /2 HT")
        server.work(pump)
        self.assertEqual(pump.client.take().count(b"200 OK"), 1)
        pump.advance(25)
        self.assertIsNone(pump.client.lost)
        pump.advance(6)
        self.assertIn(b"408 Request Timeout", pump.client.take())

    def test_slow_head_of_head_has_no_content(self) -> None:
        server = Server(hello, LIMITS)
        pump = server.connect()
        pump.send(b"HEAD / HTTP/1.1\r\nHo")
        pump.advance(31)
        status, fields, body = split(pump.client.take())
        self.assertEqual((status, body), ("HTTP/1.1 408 Request Timeout", b""))
        self.assertNotEqual(fields["content-length"], "0")

    def test_refused_head_has_no_content(self) -> None:
        for data in (
            request("/" + "a" * 2000, method="HEAD"),
            b"HEAD / HTTP/1.1\r\n\r\n",
            b"HEAD / HTTP/3.0\r\nHost: a\r\n\r\n",
            request("/", "X : y", method="HEAD"),
        ):
            status, _, body = split(Server(hello, LIMITS).ask(data))
            self.assertIn(status.split()[1], ("400", "414", "505"))
            self.assertEqual(body, b"", data)


class DroppedBodyTests(SynchronousTestCase):
    """Bodies that nobody reads any more."""

    def test_refused_body_that_never_comes_is_not_waited_for(self) -> None:
        server = Server(reading, Limits(max_post_body_size=100, body_min_rate_grace=5.0))
        pump = DirectPump(server)
        pump.send(request("/", "Content-Length: 500", method="POST"))
        self.assertIn(b" 413 ", pump.read())
        pump.advance(5.25)
        pump.advance(5.25)
        self.assertTrue(pump.wire.ended)

    def test_connection_goes_on_after_a_large_body_that_was_not_read(self) -> None:
        for connect in (Server.connect, DirectPump):
            server = Server(hello, LIMITS)
            pump: Any = connect(server)
            pump.send(request("/1", method="POST", body=b"x" * 3000))
            server.work(pump)
            pump.send(request("/2"))
            server.work(pump)
            answer = pump.read() if isinstance(pump, DirectPump) else pump.client.take()
            self.assertEqual(answer.count(b"200 OK"), 2)
            reads = pump.reading if isinstance(pump, DirectPump) else pump.server_transport.wants_to_read()
            self.assertTrue(reads)

    def test_resuming_for_an_old_body_does_not_resume_a_new_one(self) -> None:
        server = Server(hello, LIMITS)
        pump = DirectPump(server)
        first = request("/1", "Content-Length: 3000", method="POST") + b"x" * 3000
        pump.send(first + request("/2", "Content-Length: 50000", method="POST") + b"y" * 3000)
        self.assertFalse(pump.reading)
        server.workers.step()
        pump.flush()
        self.assertEqual(server.workers.queued, 1)
        self.assertFalse(pump.reading)

    def test_the_time_for_a_body_begins_with_100_continue(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            pump.advance(4.9)
            self.assertEqual(pump.read(), b"")
            hook.append(server.reactor.callLater(0.6, pump.channel.dataReceived, b"12345"))
            waits = environ["wsgi.input"].raw._body._changed
            self.patch(waits, "wait", lambda: pump.advance(0.25))
            return reading(environ, start_response)

        hook: list[Any] = []
        server = Server(app, LIMITS)
        pump = DirectPump(server)
        pump.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        server.work(pump)
        self.assertTrue(pump.read().endswith(b"\r\n\r\n5"))


class DrainRaceTests(SynchronousTestCase):
    """Connections that come while the server stops."""

    def test_late_connection_is_closed_at_once(self) -> None:
        server = Server(hello, LIMITS)
        first = DirectPump(server)
        first.send(request())
        done = server.site.drain()
        late = DirectPump(server)
        late.advance(0.5)
        self.assertTrue(late.wire.closed)
        server.work(first)
        first.advance(0.5)
        self.successResultOf(done)

    def test_connection_that_becomes_idle_while_stopping_closes_at_once(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            yield b"before"
            server.site.drain()
            yield b"after"

        server = Server(app, Limits(keep_alive_timeout=1000.0))
        pump = DirectPump(server)
        pump.send(request())
        server.work(pump)
        pump.advance(0.5)
        self.assertTrue(pump.wire.closed)
