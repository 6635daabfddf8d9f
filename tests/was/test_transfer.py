"""Requests from the call to the answer, over connections in memory: what becomes of good and of bad servers.

Each test ends with nothing left over: no request, connection, attempt, timer nor temporary file.
"""

from __future__ import annotations

import gzip
import io
import os
from typing import Any

from skitai.errors import (
    BadAnswer,
    ConnectFailed,
    NameNotFound,
    RequestCancelled,
    RequestError,
    RequestTimeout,
)
from skitai.was.limits import ClientSettings
from skitai.was.outgoing import Outgoing, build
from skitai.was.payloads import FilePayload
from skitai.was.transfer import Transfer
from skitai.was.url import read_url
from tests.was.backends import HANGS, OK, Backend, Message, answer
from tests.was.cases import URL, Case, Payload


class AnswerTests(Case):
    def test_all_that_an_answer_has(self) -> None:
        self.serve(b"HTTP/1.1 404 Not here\r\nX-One: 1\r\nX-One: \xe9\r\nContent-Length: 3\r\n\r\nnix")
        self.request()
        got = self.answered(404)
        self.assertEqual((got.reason, got.version, got.body), ("Not here", "1.1", b"nix"))
        self.assertEqual(list(got.headers), [("x-one", "1"), ("x-one", "é"), ("content-length", "3")])
        self.assertEqual((got.url, got.method, got.history), (URL, "GET", 0))

    def test_byte_by_byte(self) -> None:
        self.network.piece_size = 1
        self.serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        self.request()
        self.assertEqual(self.answered().body, b"abcde")

    def test_head_of_something_compressed(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n")
        self.request(build("head", read_url(URL)[0]))
        self.assertEqual(self.answered().body, b"")
        self.assertEqual(self.client.counts["idle"], 1)

    def test_extra_fields_for_each_url(self) -> None:
        asked: list[str] = []
        self.serve(lambda backend, message: answer(message.headers["x-ltxn-id"].encode()))

        def extra(url: Any) -> list[tuple[bytes, bytes]]:
            asked.append(url.text)
            return [(b"x-ltxn-id", b"2001")]

        self.request(extra=extra)
        self.assertEqual(self.answered().body, b"2001")
        self.assertEqual(asked, [URL])

    def test_an_extra_field_that_can_not_be_sent(self) -> None:
        self.serve(OK)
        self.request(extra=lambda url: [(b"x-a", b"1\r\nx-b: 2")])
        self.failure(RequestError, "x-a")
        self.assertEqual([backend.messages for backend in self.network.backends], [[]])

    def test_decoded(self) -> None:
        content = b"hello " * 1000
        for coding, body in (("gzip", gzip.compress(content)), ("identity", content)):
            self.serve(answer(body, f"Content-Encoding: {coding}"))
            self.request()
            self.assertEqual(self.answered().body, content)
            self.drop_idle()

    def test_not_decoded_where_it_is_not_wanted(self) -> None:
        body = gzip.compress(b"hello")
        self.serve(answer(body, "Content-Encoding: gzip"))
        self.request(Outgoing("GET", read_url(URL)[0], decode=False))
        self.assertEqual(self.answered().body, body)

    def test_a_long_answer_is_a_file(self) -> None:
        body = os.urandom(1 << 16) * 17
        self.serve(answer(body))
        self.request()
        file: Any = self.answered().body
        self.assertEqual(file.read(), body)
        file.close()

    def test_an_answer_of_just_one_mebibyte_is_not(self) -> None:
        self.serve(answer(b"x" * (1 << 20)))
        self.request()
        self.assertEqual(self.answered().body, b"x" * (1 << 20))


class BadServerTests(Case):
    def test_refuses(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.request()
        error = self.failure(ConnectFailed, "a.example", "refused")
        self.assertEqual((error.sent, error.answered), (False, False))

    def test_has_no_name(self) -> None:
        self.request()
        error = self.failure(NameNotFound, "a.example")
        self.assertEqual((error.sent, error.answered), (False, False))

    def test_name_is_looked_up_without_end(self) -> None:
        self.network.names["a.example"] = None
        self.request(timeout=3)
        self.network.wait(2.9)
        self.assertEqual(self.outcomes, [])
        self.network.wait(0.2)
        self.failure(RequestTimeout, "3 seconds")

    def test_does_not_connect(self) -> None:
        self.serve(OK)
        self.network.places[("192.0.2.1", 80)] = HANGS
        self.request(timeout=3)
        self.network.wait(3)
        error = self.failure(RequestTimeout, "a.example")
        self.assertEqual((error.sent, error.answered), (False, False))

    def test_a_failure_names_the_server_once(self) -> None:
        for handler in (lambda backend, message: backend.transport.loseConnection(), b"nonsense\r\n\r\n"):
            self.serve(handler)
            self.request()
            error = self.failure(RequestError)
            self.assertTrue(str(error).startswith("a.example: "), error)
            self.assertEqual(str(error).count("a.example"), 1)
            self.assertEqual(len(error.args), 1)
            self.drop_idle()

    def test_the_time_is_told_as_it_was_given(self) -> None:
        """What is left of it when the request leaves is a bit less."""
        self.serve(b"")
        for timeout, words in ((0.999981, "within 1 seconds"), (0.25, "within 0.25 seconds"), (2.9999, "within 3 s")):
            self.request(timeout=timeout)
            self.network.wait(3)
            self.failure(RequestTimeout, words)
        transfer = self.request(timeout=1.5)
        transfer.timeout = 10.0  # others were asked before
        self.network.wait(2)
        self.failure(RequestTimeout, "within 10 seconds")

    def test_time_that_was_spent_in_our_own_queue(self) -> None:
        """It says nothing about the server."""
        self.client.dialer.settings = ClientSettings(max_connections=1)
        self.serve(b"")
        self.request(timeout=1.0)
        self.network.flush()
        self.request(timeout=1.0)
        self.network.wait(2)
        self.assertEqual([(error.sent, error.queued) for error in self.outcomes], [(True, False), (False, True)])  # type: ignore[union-attr]
        self.outcomes.clear()

    def test_does_not_answer(self) -> None:
        self.serve(b"")
        self.request(timeout=3)
        self.network.wait(3)
        error = self.failure(RequestTimeout, "a.example")
        self.assertEqual((error.sent, error.answered), (True, False))

    def test_stops_in_the_head_and_in_the_body(self) -> None:
        for beginning in (b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"):
            self.serve(beginning)
            self.request(timeout=3)
            self.network.wait(3)
            error = self.failure(RequestTimeout)
            self.assertEqual((error.sent, error.answered), (True, True))
            self.assertEqual(self.network.open, 0)

    def test_drips(self) -> None:
        """An answer that always goes on ends with the deadline all the same."""
        self.serve(b"HTTP/1.1 200 OK\r\n")
        self.request(timeout=3)
        for _ in range(30):
            self.network.wait(0.1)
            if self.network.open:
                self.network.backends[0].transport.write(b"X-A: b\r\n")
        self.network.wait(0.1)
        self.failure(RequestTimeout)

    def closes(self, beginning: bytes, reset: bool = False) -> None:
        def handle(backend: Backend, message: Message) -> bytes | None:
            backend.transport.write(beginning)
            self.network.callLater(0, backend.transport.abortConnection if reset else backend.transport.loseConnection)
            return None

        self.serve(handle)
        self.request()

    def test_closes_without_an_answer(self) -> None:
        self.closes(b"")
        error = self.failure(ConnectFailed, "a.example", "without an answer")
        self.assertEqual((error.sent, error.answered), (True, False))

    def test_closes_in_the_head_and_in_the_body(self) -> None:
        for beginning in (
            b"HTTP/1.1 2",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ):
            self.closes(beginning)
            error = self.failure(BadAnswer, "a.example")
            self.assertEqual((error.sent, error.answered, error.code), (True, True, 705))

    def test_the_end_of_the_connection_is_that_of_the_answer(self) -> None:
        self.closes(b"HTTP/1.1 200 OK\r\n\r\nuntil here")
        self.assertEqual(self.answered().body, b"until here")

    def test_a_reset_is_no_end(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\n\r\nuntil here")
        self.request()
        self.network.flush()
        self.network.backends[0].transport.abortConnection()
        self.failure(BadAnswer, "middle")

    def test_sends_garbage(self) -> None:
        for garbage in (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\0\1\2\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"):
            self.serve(garbage)
            self.request()
            error = self.failure(BadAnswer)
            self.assertTrue(error.answered)
            self.assertEqual(self.network.open, 0)

    def test_sends_too_much(self) -> None:
        self.serve(answer(b"abcdef", length=3))
        self.request()
        got = self.outcome()
        self.assertTrue(isinstance(got, BadAnswer) or got.body == b"abc", got)
        self.assertEqual(self.network.open, 0)

    def test_sends_an_endless_head(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000)
        self.request()
        self.failure(BadAnswer)

    def test_sends_an_endless_body(self) -> None:
        for encoding in ("", "Transfer-Encoding: chunked\r\n"):
            piece = b"400\r\n" + b"x" * 1024 + b"\r\n" if encoding else b"x" * 1024
            self.serve(f"HTTP/1.1 200 OK\r\n{encoding}\r\n".encode() + piece * 3000)
            self.request(max_response_size=2_000_000)
            error = self.failure(BadAnswer, "2,000,000 bytes")
            self.assertEqual(self.network.open, 0)
            self.assertTrue(error.answered)

    def test_announces_too_much(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
        self.request(max_response_size=1000)
        self.failure(BadAnswer, "1,000 bytes")

    def test_sends_a_bomb(self) -> None:
        self.serve(answer(gzip.compress(b"\0" * 5_000_000), "Content-Encoding: gzip"))
        self.request(max_response_size=1_000_000)
        self.failure(BadAnswer)

    def test_sends_false_and_cut_gzip(self) -> None:
        for body in (b"no gzip at all", gzip.compress(b"hello" * 100)[:-9]):
            self.serve(answer(body, "Content-Encoding: gzip"))
            self.request()
            self.failure(BadAnswer)
            self.drop_idle()

    def test_temporary_file_that_can_not_be_written(self) -> None:
        def full(*args: Any, **options: Any) -> Any:
            raise OSError(28, "No space left on device")

        self.patch(__import__("tempfile"), "TemporaryFile", full)
        self.serve(answer(b"x" * 2_000_000))
        self.request()
        self.failure(RequestError, "No space left")


class CancelTests(Case):
    def cancel(self, transfer: Transfer) -> RequestError:
        self.network.flush()
        transfer.cancel()
        self.assertEqual(len(self.outcomes), 1)
        transfer.cancel()
        error = self.failure(RequestCancelled)
        self.assertEqual(self.network.open, 0)
        self.assertEqual(self.outcomes, [])
        return error

    def test_while_the_name_is_looked_up(self) -> None:
        self.network.names["a.example"] = None
        self.cancel(self.request())

    def test_while_it_connects(self) -> None:
        self.serve(OK)
        self.network.places[("192.0.2.1", 80)] = HANGS
        self.cancel(self.request())

    def test_while_the_server_thinks(self) -> None:
        self.serve(b"")
        error = self.cancel(self.request())
        self.assertEqual((error.sent, error.answered), (True, False))

    def test_in_the_body(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 2_000_000)
        transfer = self.request()
        self.network.flush()
        assert transfer._body is not None
        file = transfer._body._file
        assert file is not None
        self.cancel(transfer)
        self.assertTrue(file.closed)

    def test_while_it_sends(self) -> None:
        payload = Payload([b"x" * 65536] * 100, 6553600)
        self.serve(b"")
        transfer = self.request(Outgoing("PUT", read_url(URL)[0], payload=payload))
        self.network.flush()
        self.cancel(transfer)
        asked = payload.asked
        self.network.flush()
        self.assertEqual(payload.asked, asked)

    def test_in_the_queue(self) -> None:
        self.client.settings = ClientSettings(max_connections=1)
        self.serve(b"")
        first, second = self.request(), self.request()
        self.network.flush()
        second.cancel()
        self.failure(RequestCancelled)
        self.assertEqual(self.client.counts["open"], 1)
        self.cancel(first)

    def test_after_the_end_changes_nothing(self) -> None:
        self.serve(OK)
        transfer = self.request()
        self.answered()
        transfer.cancel()
        self.network.flush()
        self.assertEqual(self.outcomes, [])
        self.assertEqual(self.client.counts["idle"], 1)


class UploadTests(Case):
    def put(self, payload: Any, method: str = "PUT") -> None:
        self.request(Outgoing(method, read_url(URL)[0], payload=payload))

    def echo(self, backend: Backend, message: Message) -> bytes:
        return answer(b"%d" % len(message.body))

    def test_in_pieces(self) -> None:
        self.serve(self.echo)
        for _ in range(2):
            self.put(Payload([b"x" * 50_000] * 10, 500_000))
            self.assertEqual(self.answered().body, b"500000")
        self.assertEqual(len(self.network.links), 1)

    def test_no_more_is_read_than_the_server_takes(self) -> None:
        self.serve(self.echo)
        payload = Payload([b"x" * 65536] * 100, 6553600)
        self.network.advance(0)
        self.put(payload)
        for _ in range(4):
            self.network.advance(0)
        self.network.links[0].stop_reading()
        self.network.flush()
        self.assertLess(payload.asked, 8)
        self.network.links[0].resume_reading()
        self.assertEqual(self.answered().body, b"6553600")

    def test_a_payload_that_fails(self) -> None:
        def pieces() -> Any:
            yield b"abc"
            raise OSError("the disk is gone")

        def others() -> Any:
            yield b"abc"
            raise KeyError("a fault of the application's")

        self.serve(self.echo)
        for broken, words in ((pieces, "the disk is gone"), (others, "a fault of")):
            payload = Payload(broken(), 10)
            self.put(payload)
            error = self.failure(RequestError, words)
            self.assertEqual((error.sent, self.network.open), (True, 0))

    def test_answered_before_all_is_sent(self) -> None:
        class Early(Backend):
            def dataReceived(self, data: bytes) -> None:
                if not self.received:
                    self.received = data
                    self.transport.write(answer(b"too much", status="413 Too large"))

        self.network.names["a.example"] = ["192.0.2.1"]
        self.network.places[("192.0.2.1", 80)] = lambda: Early(self.echo)
        payload = Payload([b"x" * 65536] * 1000, 65536000)
        self.put(payload)
        self.assertEqual(self.answered(413).body, b"too much")
        self.assertEqual(self.network.open, 0)
        self.assertLess(payload.asked, 100)

    def test_a_file_again_and_again(self) -> None:
        """Who fails over to another server hands the same content to the next request."""
        self.serve(self.echo)
        payload = FilePayload(io.BytesIO(b"y" * 200_000))
        for _ in range(3):
            self.put(payload)
            self.assertEqual(self.answered().body, b"200000")
