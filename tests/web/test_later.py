"""Answers made by coroutines: what is sent, who waits for whom, and how they end when the client leaves."""

from __future__ import annotations

import contextvars
import gc
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ApplicationError, PeerError
from skitai.settings import Limits
from skitai.testing.clock import Reactor
from skitai.testing.workers import InlineWorkers
from skitai.was.context import Was, current
from tests.web.direct import DirectPump
from tests.web.serving import Server, hello, request, split

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def answering(view: Callable[[Was], Any]) -> Callable[..., Any]:
    """Return an application that has ``view`` answer: a coroutine function that returns the iterable."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        was = environ["skitai.was"]

        async def answer() -> Any:
            result = await view(was)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return result

        return was.later(answer())

    return app


class Waiting:
    """A view that waits for a Deferred, and notes what happens to it.

    Attributes:
        deferred: What it waits for, and returns.
        seen: What has happened.
    """

    def __init__(self) -> None:
        self.deferred: Deferred[Any] = Deferred()
        self.seen: list[str] = []

    async def __call__(self, was: Was) -> Any:
        self.seen.append("begun")
        try:
            return await self.deferred
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            self.seen.append("finally")


class Pieces:
    """An iterable that counts what is taken, and notes its end."""

    def __init__(self, count: int, size: int = 10_000) -> None:
        self.left, self.size = count, size
        self.taken = 0
        self.ends: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.left -= 1
        self.taken += 1
        return b"x" * self.size

    def close(self) -> None:
        self.ends.append("close")


class AsyncPieces(Pieces):
    """The same, asynchronous."""

    __iter__ = None  # type: ignore[assignment]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self.ends.append("aclose")


class LaterTestCase(SynchronousTestCase):
    """Helpers, and the assurance that nothing was logged as an error that the test did not expect."""

    def ask(self, view: Callable[[Was], Any], data: bytes = request(), threads: int = 1) -> tuple[Any, Any, bytes]:
        """Return the parts of the answer."""
        return split(Server(answering(view), threads=threads).ask(data))

    def begin(self, view: Callable[[Was], Any], threads: int = 1, **options: Any) -> tuple[Server, Any]:
        """Return a server and a connection on which a request for ``view`` was sent and has begun."""
        server = Server(answering(view), threads=threads, **options)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        return server, pump


class AnswerTests(LaterTestCase):
    """Bodies of every kind."""

    def test_a_coroutine_that_never_waits(self) -> None:
        async def view(was: Was) -> Any:
            return [b"one", b"two"]

        for threads in (0, 1):
            status, fields, body = self.ask(view, threads=threads)
            self.assertEqual((status, fields["content-length"], body), ("HTTP/1.1 200 OK", "6", b"onetwo"))

    def test_while_it_waits_no_thread_is_taken(self) -> None:
        view = Waiting()
        server, pump = self.begin(view)
        self.assertEqual((server.workers.busy(), server.workers.queued), ([], 0))
        self.assertEqual((view.seen, pump.client.take()), (["begun"], b""))
        view.deferred.callback([b"there"])
        pump.flush()
        self.assertEqual(split(pump.client.take())[2], b"there")

    def test_the_connection_goes_on_afterwards(self) -> None:
        async def view(was: Was) -> Any:
            return [was.env["PATH_INFO"].encode()]

        for threads in (0, 1):
            answer = Server(answering(view), threads=threads).ask(request("/a") + request("/b"))
            self.assertEqual([answer.count(b"200 OK"), answer.count(b"/a"), answer.count(b"/b")], [2, 1, 1])

    def test_was_is_the_current_one_across_waits_and_in_what_is_returned(self) -> None:
        gate: Deferred[None] = Deferred()
        seen: list[bool] = []

        async def view(was: Was) -> Any:
            seen.append(current.get() is was)
            await gate
            seen.append(current.get() is was)
            variable.set("by the view")

            def body() -> Iterator[bytes]:
                seen.append(current.get() is was)
                yield variable.get().encode()

            return body()

        _, pump = self.begin(view)
        gate.callback(None)
        pump.flush()
        self.assertEqual(seen, [True, True, True])
        self.assertIn(b"by the view", pump.client.take())
        self.assertIsNone(current.get())

    def test_text_and_no_pieces(self) -> None:
        async def text(was: Was) -> Any:
            return ["caf\u00e9"]

        async def nothing(was: Was) -> Any:
            return iter(())

        self.assertEqual(self.ask(text)[2], "caf\u00e9".encode())
        self.assertEqual(self.ask(nothing)[1]["content-length"], "0")

    def test_file(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        file.write(b"0123456789")
        file.seek(3)

        async def view(was: Was) -> Any:
            return was.env["wsgi.file_wrapper"](file)

        _, fields, body = self.ask(view)
        self.assertEqual((fields["content-length"], body, file.closed), ("7", b"3456789", True))

    def test_a_file_that_is_none_is_closed(self) -> None:
        file = io.BytesIO(b"0123456789")

        async def view(was: Was) -> Any:
            return was.env["wsgi.file_wrapper"](file, 7)

        self.assertEqual(self.ask(view)[2], b"7\r\n0123456\r\n3\r\n789\r\n0\r\n\r\n")
        self.assertTrue(file.closed)

    def test_a_stream_waits_for_a_client_that_does_not_read(self) -> None:
        for pieces in (Pieces(200), AsyncPieces(200)):

            async def view(was: Was, pieces: Any = pieces) -> Any:
                return pieces

            server = Server(answering(view))
            pump = server.connect()
            pump.stop_reading()
            pump.send(request())
            server.work(pump)
            self.assertLess(pieces.taken, 50)
            self.assertEqual(pieces.ends, [])
            pump.resume_reading()
            self.assertEqual(pump.client.take().count(b"x" * 10_000), 200)
            self.assertEqual(len(pieces.ends), 1)

    def test_no_piece_is_asked_for_while_the_client_does_not_keep_up(self) -> None:
        kept_up: list[bool] = []

        def body() -> Iterator[bytes]:
            for _ in range(200):
                kept_up.append(pump.channel.writable())
                yield b"x" * 2000

        async def view(was: Was) -> Any:
            return body()

        server = Server(answering(view))
        pump = DirectPump(server, room=50_000)
        pump.send(request())
        server.work(pump)
        self.assertLess(len(kept_up), 200)
        while len(kept_up) < 200:
            pump.read(50_000)
        self.assertEqual(set(kept_up), {True})

    def test_an_asynchronous_generator(self) -> None:
        gate: Deferred[bytes] = Deferred()
        ends: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                yield await gate
            finally:
                ends.append("finally")

        async def view(was: Was) -> Any:
            return body()

        _, pump = self.begin(view)
        self.assertTrue(pump.client.take().endswith(b"\r\n\r\n3\r\none\r\n"))
        gate.callback(b"two")
        pump.flush()
        self.assertEqual((pump.client.take(), ends), (b"3\r\ntwo\r\n0\r\n\r\n", ["finally"]))

    def test_what_has_only_close_is_closed(self) -> None:
        pieces = AsyncPieces(1)
        pieces.aclose = None  # type: ignore[assignment, method-assign]

        async def view(was: Was) -> Any:
            return pieces

        self.ask(view)
        self.assertEqual(pieces.ends, ["close"])

    def test_head_has_no_body(self) -> None:
        async def view(was: Was) -> Any:
            return [b"abc"]

        _, fields, body = self.ask(view, request(method="HEAD"))
        self.assertEqual((fields["content-length"], body), ("3", b""))

    def test_start_response_may_have_been_called_before(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            start_response("201 Created", [])

            async def answer() -> Any:
                return [b"x"]

            return environ["skitai.was"].later(answer())

        self.assertEqual(split(Server(app).ask(request()))[0], "HTTP/1.1 201 Created")

    def test_a_small_body_may_be_read_by_the_coroutine(self) -> None:
        async def view(was: Was) -> Any:
            return [was.env["wsgi.input"].read()]

        for threads in (0, 1):
            self.assertEqual(self.ask(view, request(method="POST", body=b"hello"), threads)[2], b"hello")

    def test_a_body_that_still_comes_can_not_be_waited_for(self) -> None:
        async def view(was: Was) -> Any:
            return [was.env["wsgi.input"].read()]

        server = Server(answering(view), Limits(body_spool_size=10))
        pump = server.connect()
        pump.send(request("/", "Content-Length: 100", method="POST") + b"x" * 20)
        server.work(pump)
        self.assertIn(b"HTTP/1.1 500", pump.client.take())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class FailureTests(LaterTestCase):
    """Coroutines that raise."""

    async def raising(self, was: Was) -> Any:
        """Raise."""
        raise ZeroDivisionError("<secret>")

    def test_500_without_the_traceback(self) -> None:
        status, _, body = self.ask(self.raising)
        self.assertEqual(status, "HTTP/1.1 500 Internal Server Error")
        self.assertNotIn(b"secret", body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_debug_shows_the_traceback(self) -> None:
        _, pump = self.begin(self.raising, debug=True)
        body = pump.client.take()
        self.assertIn(b"&lt;secret&gt;", body)
        self.assertIn(b"in raising", body)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_page_that_can_not_be_made_cuts_the_connection(self) -> None:
        class Odd:
            def __repr__(self) -> str:
                raise SystemExit("odd")

        async def view(was: Was) -> Any:
            odd = Odd()
            raise ZeroDivisionError(type(odd))

        def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            odd = Odd()
            raise ZeroDivisionError(type(odd))

        for app in (plain, answering(view)):
            server = Server(app, debug=True)
            pump = server.connect()
            pump.send(request())
            server.work(pump)
            self.assertIsNotNone(pump.client.lost)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_after_a_wait(self) -> None:
        view = Waiting()
        _, pump = self.begin(view)
        view.deferred.errback(KeyError("x"))
        pump.flush()
        self.assertIn(b"HTTP/1.1 500", pump.client.take())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_peer_error_has_its_status(self) -> None:
        async def view(was: Was) -> Any:
            raise PeerError(422, "not like this")

        status, _, body = self.ask(view)
        self.assertIn("422", status)
        self.assertIn(b"not like this", body)

    def test_a_broken_rule_is_named(self) -> None:
        async def view(was: Was) -> Any:
            return None

        self.assertIn("500", self.ask(view)[0])
        [failure] = self.flushLoggedErrors(ApplicationError)
        self.assertIn("iterable of bytes, not NoneType", str(failure.value))

    def test_start_response_never_called(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            async def answer() -> Any:
                return [b"x"]

            return environ["skitai.was"].later(answer())

        self.assertIn(b"HTTP/1.1 500", Server(app).ask(request()))
        self.assertEqual(len(self.flushLoggedErrors(ApplicationError)), 1)

    def test_in_mid_stream_the_connection_is_cut(self) -> None:
        ends: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"begun"
                raise ZeroDivisionError
            finally:
                ends.append("finally")

        async def view(was: Was) -> Any:
            return body()

        _, pump = self.begin(view)
        self.assertIsNotNone(pump.client.lost)
        self.assertEqual(ends, ["finally"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_system_exit_does_not_end_the_server(self) -> None:
        async def view(was: Was) -> Any:
            raise SystemExit(3)

        self.assertIn("500", self.ask(view)[0])
        self.flushLoggedErrors(SystemExit)

    def test_a_wait_that_someone_else_has_cancelled_is_a_failure(self) -> None:
        view = Waiting()
        _, pump = self.begin(view)
        view.deferred.cancel()
        pump.flush()
        self.assertIn(b"HTTP/1.1 500", pump.client.take())
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_middleware_can_not_look_into_the_answer(self) -> None:
        async def view(was: Was) -> Any:
            return []

        def middleware(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            yield from answering(view)(environ, start_response)

        self.assertIn(b"HTTP/1.1 500", Server(middleware).ask(request()))
        [failure] = self.flushLoggedErrors(ApplicationError)
        self.assertIn("middleware", str(failure.value))

    def test_a_middleware_may_drop_the_answer(self) -> None:
        async def view(was: Was) -> Any:
            raise AssertionError("never begun")

        def middleware(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            answering(view)(environ, start_response).close()
            return hello(environ, start_response)

        self.assertIn(b"200 OK", Server(middleware).ask(request()))

    def test_later_takes_coroutines_only(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            return environ["skitai.was"].later(hello)

        Server(app).ask(request())
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("takes a coroutine", str(failure.value))


class LeavingTests(LaterTestCase):
    """Clients that leave, and a server that stops. Nothing of it is an error that deserves a traceback."""

    def test_the_wait_is_cancelled(self) -> None:
        for threads in (0, 1):
            view = Waiting()
            server, pump = self.begin(view, threads)
            pump.reset()
            self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])
            self.assertEqual([exchange.status for exchange in server.finished], [499])
            self.assertEqual(server.runner.busy(), [])

    def test_of_several_waits_too(self) -> None:
        first: Deferred[None] = Deferred()

        async def view(was: Was) -> Any:
            await gatherResults([first, Deferred()], consumeErrors=True)

        server, pump = self.begin(view)
        pump.reset()
        self.assertTrue(first.called)
        self.assertEqual(server.runner.busy(), [])

    def test_a_coroutine_may_take_its_time_to_end(self) -> None:
        view, release = Waiting(), Deferred[None]()

        async def careful(was: Was) -> Any:
            try:
                await view(was)
            finally:
                await release
                view.seen.append("released")

        server, pump = self.begin(careful)
        pump.reset()
        self.assertEqual(len(server.runner.busy()), 1)
        idle = server.runner.idle()
        self.assertNoResult(idle)
        release.callback(None)
        self.successResultOf(idle)
        self.assertEqual(view.seen[-1], "released")

    def test_who_does_not_end_when_cancelled_sends_nothing(self) -> None:
        pieces = Pieces(3)

        async def view(was: Was) -> Any:
            try:
                await Deferred()
            except CancelledError:
                return pieces

        server, pump = self.begin(view)
        pump.reset()
        self.assertEqual((pump.client.take(), pieces.ends), (b"", ["close"]))
        self.assertEqual(server.runner.busy(), [])

    def test_what_goes_wrong_in_the_end_is_logged(self) -> None:
        async def view(was: Was) -> Any:
            try:
                await Deferred()
            finally:
                raise KeyError("in finally")

        _, pump = self.begin(view)
        pump.reset()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_in_mid_stream(self) -> None:
        for pieces in (Pieces(200), AsyncPieces(200)):

            async def view(was: Was, pieces: Any = pieces) -> Any:
                return pieces

            server = Server(answering(view))
            pump = server.connect()
            pump.stop_reading()
            pump.send(request())
            server.work(pump)
            pump.reset()
            self.assertEqual(len(pieces.ends), 1)
            self.assertLess(pieces.taken, 50)
            self.assertEqual(server.runner.busy(), [])
            [exchange] = server.finished
            self.assertEqual((exchange.on_gone, exchange.on_writable), (None, None))

    def test_while_an_asynchronous_generator_waits(self) -> None:
        ends: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            try:
                await Deferred()
            finally:
                ends.append("finally")

        async def view(was: Was) -> Any:
            return body()

        _, pump = self.begin(view)
        pump.reset()
        self.assertEqual(ends, ["finally"])

    def test_who_has_closed_its_side_before_anything_was_sent(self) -> None:
        for version in ("1.0", "1.1"):
            view = Waiting()
            server = Server(answering(view), threads=0)
            pump = DirectPump(server)
            pump.send(request(version=version))
            pump.end()
            pump.advance(0.25)
            self.assertEqual(view.seen, ["begun"])
            pump.advance(0.5)
            self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])
            self.assertEqual(server.runner.busy(), [])

    def test_who_has_closed_its_side_in_mid_stream(self) -> None:
        for version in ("1.0", "1.1"):
            ends: list[str] = []

            async def body(ends: list[str] = ends) -> AsyncIterator[bytes]:
                yield b"one"
                try:
                    await Deferred()
                finally:
                    ends.append("finally")

            async def view(was: Was, body: Any = body) -> Any:
                return body()

            server = Server(answering(view), threads=0)
            pump = DirectPump(server)
            pump.send(request(version=version))
            pump.flush()
            self.assertIn(b"one", pump.read())
            pump.end()
            pump.advance(0.25)
            self.assertEqual(ends, [])
            pump.advance(0.5)
            self.assertEqual(ends, ["finally"])
            self.assertEqual(server.runner.busy(), [])
            self.assertTrue(pump.wire.reset)

    def test_while_the_application_was_still_in_its_thread(self) -> None:
        """The coroutine begins, so that it can undo what was done in the thread, and ends at its first wait."""
        view = Waiting()

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            pump.client_transport.abortConnection()
            pump.flush()
            return answering(view)(environ, start_response)

        server = Server(app)
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])

    def test_while_the_coroutine_runs(self) -> None:
        view = Waiting()

        async def leaving(was: Was) -> Any:
            pump.client_transport.abortConnection()
            pump.flush()
            return await view(was)

        server = Server(answering(leaving))
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])

    def test_before_a_thread_was_free(self) -> None:
        view = Waiting()
        server = Server(answering(view))
        pump = server.connect()
        pump.send(request())
        pump.reset()
        server.work(pump)
        self.assertEqual(view.seen, [])

    def test_a_stop_waits_for_coroutines(self) -> None:
        view = Waiting()
        server, pump = self.begin(view)
        drained = server.site.drain()
        pump.advance(60)
        self.assertNoResult(drained)
        view.deferred.callback([b"done"])
        pump.advance(1)
        self.successResultOf(drained)
        self.assertIn(b"done", pump.client.take())

    def test_at_the_deadline_of_the_stop_they_are_cancelled(self) -> None:
        view = Waiting()
        server, pump = self.begin(view)
        [(turn, seconds)] = server.runner.busy()
        self.assertIn("GET / (application tested)", str(turn))
        self.assertGreaterEqual(seconds, 0)
        drained = server.site.drain()
        server.site.abort()
        pump.flush()
        self.successResultOf(drained)
        self.successResultOf(server.runner.idle())
        self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])


class WithoutThreadTests(LaterTestCase):
    """Requests that are known to be answered by a coroutine never see a thread."""

    def server(self, app: Callable[..., Any], **options: Any) -> Server:
        """Return a server whose application is asynchronous, as it says."""
        server = Server(app, **options)
        self.asked: list[tuple[str, str]] = []

        def is_async(method: str, path: str) -> bool:
            self.asked.append((method, path))
            return not path.startswith("/plain")

        server.source.is_async = is_async
        return server

    async def view(self, was: Was) -> Any:
        """Answer."""
        assert current.get() is was
        return [b"by a coroutine"]

    def test_they_are_answered_when_all_threads_are_busy(self) -> None:
        server = self.server(answering(self.view), max_queued=0)
        answer = server.ask(request("/plain") + request())
        self.assertEqual([answer.count(b" 503 "), answer.count(b" 200 "), answer.count(b"by a coroutine")], [1, 1, 1])
        self.assertIsNone(current.get())

    def test_what_is_asked(self) -> None:
        server = self.server(answering(self.view), point="/app")
        server.ask(request("/app/a%20b?c", method="HEAD"))
        self.assertEqual(self.asked, [("HEAD", "/a b")])

    def test_requests_with_a_body_go_through_a_thread(self) -> None:
        server = self.server(answering(self.view))
        pump = server.connect()
        pump.send(request(method="POST", body=b"x"))
        self.assertEqual((server.workers.queued, self.asked), (1, []))
        server.work(pump)
        self.assertIn(b"by a coroutine", pump.client.take())

    def test_one_that_can_not_tell_is_called_in_a_thread(self) -> None:
        server = Server(hello)

        def fail(method: str, path: str) -> bool:
            raise ZeroDivisionError

        server.source.is_async = fail
        self.assertIn(b"200 OK", server.ask(request()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_is_asynchronous_no_more(self) -> None:
        """A thread may load the application again between two looks at it."""

        class Source:
            name, debug = "tested", False

            def __init__(self) -> None:
                self.left: list[Any] = [lambda method, path: False]

            @property
            def is_async(self) -> Any:
                return self.left.pop() if self.left else None

            def current(self) -> Any:
                return hello

        server = Server(hello)
        server.handler.source = Source()  # type: ignore[assignment]
        self.assertIn(b" 200 ", server.ask(request()))

    def test_an_answer_without_a_coroutine(self) -> None:
        self.assertIn(b"200 OK", self.server(hello, max_queued=0).ask(request()))

    def test_a_failure_before_the_coroutine(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            raise ZeroDivisionError

        self.assertIn(b" 500 ", self.server(app, max_queued=0).ask(request()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_stream_without_a_coroutine_waits_for_the_client_too(self) -> None:
        pieces = Pieces(200)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            start_response("200 OK", [])
            return pieces

        server = self.server(app)
        pump = server.connect()
        pump.stop_reading()
        pump.send(request())
        self.assertLess(pieces.taken, 50)
        pump.resume_reading()
        self.assertEqual((pieces.taken, pieces.ends), (200, ["close"]))

    def test_a_client_that_leaves(self) -> None:
        view = Waiting()
        server = self.server(answering(view), max_queued=0)
        pump = server.connect()
        pump.send(request())
        pump.reset()
        self.assertEqual(view.seen, ["begun", "CancelledError", "finally"])

    def test_nothing_is_left_for_the_garbage_collector(self) -> None:
        async def view(was: Was) -> Any:
            await server_pause
            return [b"x"]

        server = self.server(answering(view))
        pump = server.connect()
        for count in (3, 20):
            gc.collect()
            for _ in range(count):
                server_pause: Deferred[None] = Deferred()
                pump.send(request())
                server_pause.callback(None)
                pump.flush()
                self.assertIn(b"200 OK", pump.client.take())
                server.finished.clear()
            gc.disable()
            self.addCleanup(gc.enable)
        self.assertLess(gc.collect(), 20)


class InThreadTests(LaterTestCase):
    """Functions that coroutines call in application threads."""

    def view(self, function: Callable[..., Any], *args: Any) -> Callable[[Was], Any]:
        """Return a view that answers with what a function returns."""

        async def view(was: Was) -> Any:
            return [str(await was.in_thread(function, *args)).encode()]

        return view

    def server(self, function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Server, Any]:
        """Return a server and a connection on which a request has come to the call of a function."""
        server = Server(answering(self.view(function, *args)), **options)
        server.source.is_async = lambda method, path: True
        pump = server.connect()
        pump.send(request())
        return server, pump

    def test_in_a_thread_and_back(self) -> None:
        seen: list[bool] = []

        def function(a: int, b: int) -> int:
            seen.append(server.workers.in_reactor())
            return a + b

        server, pump = self.server(function, 1, 2)
        self.assertEqual((server.workers.queued, pump.client.take()), (1, b""))
        self.assertIn("function (called by a coroutine)", str(server.workers.waiting[0]))
        server.work(pump)
        self.assertEqual((split(pump.client.take())[2], seen), (b"3", [False]))

    def test_at_once_without_threads(self) -> None:
        self.assertEqual(self.ask(self.view(lambda: 5), threads=0)[2], b"5")

    def test_what_it_raises(self) -> None:
        def function() -> None:
            raise ZeroDivisionError

        async def view(was: Was) -> Any:
            try:
                await was.in_thread(function)
            except ZeroDivisionError:
                return [b"caught"]

        self.assertEqual(self.ask(view)[2], b"caught")

    def test_was_is_the_current_one(self) -> None:
        async def view(was: Was) -> Any:
            variable.set("by the view")
            return [await was.in_thread(lambda: variable.get().encode() if current.get() is was else b"another")]

        self.assertEqual(self.ask(view)[2], b"by the view")

    def test_a_full_queue_is_503_with_retry_after(self) -> None:
        for catches in (False, True):

            async def view(was: Was, catches: bool = catches) -> Any:
                try:
                    return [await was.in_thread(lambda: b"never")]
                except PeerError as error:
                    if not catches:
                        raise
                    return [str(error.status).encode()]

            server = Server(answering(view), max_queued=0)
            server.source.is_async = lambda method, path: True
            status, fields, body = split(server.ask(request()))
            if catches:
                self.assertEqual(body, b"503")
            else:
                self.assertEqual((status, fields["retry-after"]), ("HTTP/1.1 503 Service Unavailable", "1"))

    def test_cancelled_in_the_queue_it_is_not_called(self) -> None:
        server, pump = self.server(self.fail)
        self.assertEqual(server.workers.queued, 1)
        pump.reset()
        self.assertEqual((server.workers.queued, server.runner.busy()), (0, []))

    def test_cancelled_later_its_result_is_dropped(self) -> None:
        def function() -> None:
            pump.client_transport.abortConnection()
            pump.flush()

        server, pump = self.server(function)
        server.work(pump)
        self.assertEqual(server.runner.busy(), [])

    def test_cancelled_while_it_runs_it_is_waited_for(self) -> None:
        """So what a coroutine undoes does not meet what it has begun in another thread."""
        seen: list[str] = []

        def function() -> None:
            pump.client_transport.abortConnection()
            pump.flush()
            seen.append("the function ends")
            raise KeyError("dropped")

        async def view(was: Was) -> Any:
            try:
                await was.in_thread(function)
            except CancelledError:
                seen.append("cancelled")
                raise

        server = Server(answering(view))
        server.source.is_async = lambda method, path: True
        pump = server.connect()
        pump.send(request())
        server.work(pump)
        self.assertEqual((seen, server.runner.busy()), (["the function ends", "cancelled"], []))

    def test_cancelled_for_another_reason_it_is_left_to_itself(self) -> None:
        """As by a timeout, whose client still waits."""
        seen: list[str] = []
        calls: list[Any] = []

        def function() -> None:
            calls[0].cancel()
            seen.append("the function ends")

        async def view(was: Was) -> Any:
            calls.append(was.in_thread(function))
            try:
                await calls[0]
            except CancelledError:
                seen.append("cancelled")
            return [b"too slow"]

        server = Server(answering(view))
        server.source.is_async = lambda method, path: True
        self.assertIn(b"too slow", server.ask(request()))
        self.assertEqual(seen, ["cancelled", "the function ends"])

    def test_a_thread_calls_functions_itself(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            return environ["skitai.was"].in_thread(hello)

        self.assertIn(b" 500 ", Server(app).ask(request()))
        [failure] = self.flushLoggedErrors(RuntimeError)
        self.assertIn("call the function", str(failure.value))

    def test_a_function_that_returns_a_deferred(self) -> None:
        self.assertIn(" 500 ", self.ask(self.view(Deferred))[0])
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("Deferred", str(failure.value))


class HoldingWorkers(InlineWorkers):
    """Keeps what is for the reactor until the test lets one call happen."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.held: list[Any] = []

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Keep the call."""
        self.held.append((function, args))

    def turn(self) -> None:
        """Make the calls that are there now."""
        calls, self.held = self.held, []
        for function, args in calls:
            function(*args)


class FairnessTests(LaterTestCase):
    """Streams made on the reactor, with threads=0: to others they leave their turn, and what is theirs stays."""

    def streams(self, *all_pieces: Pieces) -> tuple[HoldingWorkers, list[DirectPump]]:
        """Begin streams to clients that read faster than anyone writes."""
        left = list(all_pieces)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            start_response("200 OK", [])
            return left.pop(0)

        reactor = Reactor()
        workers = HoldingWorkers(reactor)
        server = Server(app, threads=0, workers=workers, reactor=reactor)
        pumps = [DirectPump(server) for _ in all_pieces]
        for pump in pumps:
            pump.send(request())
        return workers, pumps

    def test_streams_take_turns(self) -> None:
        first, second = Pieces(100), Pieces(100)
        workers, _ = self.streams(first, second)
        before = 0
        for _ in range(5):
            self.assertLess(abs(first.taken - second.taken), 10)
            self.assertGreater(first.taken, before)
            before = first.taken
            workers.turn()
        self.assertLess(first.taken, 100)
        while workers.held:
            workers.turn()
        self.assertEqual([first.ends, second.ends], [["close"], ["close"]])

    def test_pieces_of_nothing_are_counted_too(self) -> None:
        pieces = Pieces(10_000, size=0)
        self.streams(pieces)
        self.assertLess(pieces.taken, 100)

    def test_a_client_that_leaves_between_two_turns(self) -> None:
        pieces = Pieces(100)
        workers, [pump] = self.streams(pieces)
        pump.leave()
        self.assertEqual(pieces.ends, ["close"])
        taken = pieces.taken
        workers.turn()
        self.assertEqual((pieces.taken, pieces.ends), (taken, ["close"]))

    def test_was_is_the_current_one_in_every_turn(self) -> None:
        seen: list[bool] = []

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            start_response("200 OK", [])
            try:
                for _ in range(20):
                    seen.append(current.get() is environ["skitai.was"])
                    yield b"x" * 100_000
            finally:
                seen.append(current.get() is not None)

        for leaves in (False, True):
            server = Server(app, threads=0)
            pump = server.connect()
            pump.stop_reading()
            pump.send(request())
            if leaves:
                pump.reset()
            else:
                pump.resume_reading()
            self.assertEqual(set(seen), {True})
            seen.clear()


class LimitTests(LaterTestCase):
    """The limit of a body may depend on its type."""

    def test_body_limit_by_content_type(self) -> None:
        server = Server(hello, Limits(max_post_body_size=20))
        seen: list[bytes | None] = []

        def body_limit(content_type: bytes | None) -> int | None:
            seen.append(content_type)
            return 10 if content_type is None else None

        server.source.body_limit = body_limit  # type: ignore[method-assign]
        body = b"x" * 11
        self.assertIn(b" 413 ", server.ask(request(method="POST", body=body)))
        self.assertIn(b" 200 ", server.ask(request("/", "Content-Type: a/b", method="POST", body=body)))
        self.assertEqual(seen, [None, b"a/b"])
