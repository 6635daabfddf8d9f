"""One call of a WSGI application, from the call to the last byte of its answer.

Layer 2. It must not know what carries the exchange, nor when it is called (``skitai.web.wsgi``).

Theory of operation. A turn runs in an application thread, which waits where the client does not keep up. On the
reactor, with ``threads=0``, the iterable is asked for more only when the client has read what it gave, and others had
their turn.

A turn whose application returns a ``Later`` moves to the reactor and is answered there by a coroutine
(``skitai.web.later``).

How the answer goes out depends on what is known when the first bytes are there: a list, or a first piece as long as the
Content-Length, leaves as one write; else head and pieces leave as they come.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skitai.errors import ApplicationError, ClientDisconnected, LoadError, PeerError
from skitai.web.compression import Compressor, compress, prepare
from skitai.web.errorpage import respond_error
from skitai.web.events import Response
from skitai.web.exchange import GONE, WAITING, Exchange
from skitai.web.file_wrapper import SENDABLE, FileWrapper
from skitai.web.http1_writer import has_body
from skitai.web.later import Later
from skitai.web.loglines import public_target
from skitai.web.start_response import parse_headers, parse_status
from skitai.web.transaction import gtxn_of, ltxn_of

if TYPE_CHECKING:
    from skitai.web.vhost import MountPoint
    from skitai.web.wsgi import WSGIHandler

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]

_TURN_SIZE: Final = 1 << 16
"""Bytes that one answer may send from the reactor before others have their turn."""

_PIECE_COST: Final = 1024
"""Bytes that every piece counts for besides its own: making small ones takes time, too."""

RETRY_AFTER: Final = (b"retry-after", b"1")
"""The field that goes with 503 where all threads are busy."""

_log = Logger(namespace="skitai.app")


class Turn:
    """One call of an application. A job for the application threads, and what a coroutine answers (``Answer``).

    Args:
        handler: Has the application, and what is needed of the server.
        exchange: The request.
        mount: Where the application is mounted.

    Attributes:
        handler: The same.
        exchange: The same.
        mount: The same.
        input: The body of the request, None for none.
    """

    __slots__ = (
        "_answered",
        "_budget",
        "_compressor",
        "_context",
        "_declared",
        "_environ",
        "_inline",
        "_iterator",
        "_over",
        "_response",
        "_result",
        "_sent",
        "_task",
        "exchange",
        "handler",
        "input",
        "mount",
    )

    def __init__(self, handler: WSGIHandler, exchange: Exchange, mount: MountPoint) -> None:
        self.handler = handler
        self.exchange = exchange
        self.mount = mount
        self.input: BinaryIO | None = None
        self._response: Response | None = None
        self._declared: int | None = None
        self._environ: dict[str, Any] = {}
        self._sent = 0
        self._over = False
        self._answered = False
        self._compressor: Compressor | None = None
        self._result: Iterable[Any] | None = None
        self._iterator: Iterator[Any] | None = None
        self._inline = not handler.services.threads  # whether it is the reactor that runs it
        self._budget = _TURN_SIZE
        self._context: Context | None = None  # in which to go on, while it waits for the client
        self._task: Deferred[None] | None = None  # the coroutine that answers

    def __str__(self) -> str:
        exchange = self.exchange
        request = exchange.request
        ids = f"{gtxn_of(exchange)}/{ltxn_of(exchange)}"
        return f"{ids} {request.method} {public_target(request.target)} (application {self.handler.source.name})"

    def run(self) -> None:
        """Call the application and send its answer. Thread: application, or reactor with threads=0."""
        if self.exchange.phase == GONE:
            self.close()
        else:
            self._drive(self._call)

    def run_here(self) -> None:
        """Run it on the reactor, although there are threads. Thread: reactor."""
        self._inline = True
        self.exchange.on_gone = self.client_left
        Context().run(self.run)

    def _drive(self, step: Callable[[], bool]) -> None:
        """Take a step of the answer; let go of everything when that was the last, or failed."""
        try:
            if not step():
                return
        except ClientDisconnected:
            pass
        except BaseException as error:
            self.failed(error)
        self.close()

    def _call(self) -> bool:
        """Call the application; return whether its answer is complete."""
        application = self.handler.source.current()
        self._environ = environ = self.handler.make_environ(self.exchange, self.mount, self.input)
        result: Any = application(environ, self.start_response)
        if type(result) is Later:
            return self._postpone(result)
        return self.take(result) or self._pause()

    def client_left(self) -> None:
        """The client has gone: do not begin, or in the reactor give up. Thread: reactor."""
        if self._task is not None:
            self._task.cancel()
        elif not self.handler.services.workers.cancel(self) and self._context is not None:
            context, self._context = self._context, None
            context.run(self.close)

    # -- on the reactor

    def _postpone(self, later: Later) -> bool:
        """Have a coroutine answer; the thread is free for others."""
        if type(self.input) is io.BufferedReader:
            self.input.close()  # reading the rest could wait for the client, which nobody may do on the reactor
        self._inline = True
        workers = self.handler.services.workers
        if workers.in_reactor():
            self._begin_later(later)
        else:
            workers.to_reactor(self._begin_later, later)
        return False

    def _begin_later(self, later: Later) -> None:
        self._task = task = later.begin(self)
        if self.exchange.phase == GONE:
            task.cancel()  # not before it has begun: what the application did before may have to be undone

    def _pause(self) -> bool:
        """Go on when there is room; return False."""
        self._context = copy_context()
        self._when_room(self._resume)
        return False

    def _resume(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.run(self._drive, self._go_on)

    def _go_on(self) -> bool:
        return self.pump() or self._pause()

    def room(self) -> Deferred[None]:
        """Return what fires when the client has read, and others have had their turn."""
        waiting: Deferred[None] = Deferred()

        def there_is() -> None:
            if not waiting.called:
                waiting.callback(None)

        self._when_room(there_is)
        return waiting

    def _when_room(self, go_on: Callable[[], None]) -> None:
        exchange = self.exchange
        if self._answered or exchange.carrier.writable():
            self.handler.services.workers.to_reactor(go_on)
            return

        def writable() -> None:
            exchange.on_writable = None
            go_on()

        exchange.on_writable = writable

    # -- what the application calls

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers (PEP 3333, "The start_response() Callable").

        Raises:
            ApplicationError: A rule is broken; the message names it.
        """
        if exc_info is not None:
            try:
                if self.exchange.phase != WAITING:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._response is not None:
            raise ApplicationError("start_response() was called a second time without exc_info")
        code, reason = parse_status(status)
        fields, self._declared = parse_headers(headers)
        self._response = Response(code, fields, reason)
        return self._write

    def _write(self, data: bytes) -> None:
        """The ``write`` callable: send ``data`` before anything of the iterable."""
        if type(data) is not bytes:
            raise ApplicationError(f"write() takes bytes, not {type(data).__name__}")
        if data:
            self._send_piece(data)

    # -- sending

    def take(self, result: Any) -> bool:
        """Send what the application has returned; return False where it must wait, on the reactor."""
        self._result = result
        kind = type(result)
        if (kind is list or kind is tuple) and self.exchange.phase == WAITING:
            self._send_whole(_join(result))
            return True
        if kind is FileWrapper and self._send_file(result):
            return True
        self._iterator = iter(_checked(result))
        return self.pump()

    def pump(self) -> bool:
        """Send what the iterable gives; return False where it must wait, on the reactor."""
        assert self._iterator is not None
        for item in self._iterator:
            if not self.send(item):
                return False
        self.finish()
        return True

    def send(self, item: Any) -> bool:
        """Send a piece; return False where the next must wait, on the reactor."""
        exchange = self.exchange
        piece = item if type(item) is bytes else _as_bytes(item)
        if not piece:
            if exchange.phase == GONE:
                raise ClientDisconnected()
        elif exchange.phase == WAITING and self._declared == len(piece):
            self._send_whole(piece)
        else:
            self._send_piece(piece)
        if not self._inline:
            return True
        self._budget -= len(piece) + _PIECE_COST
        if self._budget > 0 and (self._answered or exchange.carrier.writable()):
            return True
        self._budget = _TURN_SIZE
        return False

    def finish(self) -> None:
        """End the answer after its last piece."""
        if self.exchange.phase == WAITING:
            self._send_whole(b"")
        elif not self._answered:
            self._end()

    def _send_whole(self, body: bytes) -> None:
        response = self._response or self._started_response()
        request = self.exchange.request
        self._sent = len(body)
        if not body and self._declared is None and request.method == "HEAD":
            self._answered = True  # how long the answer to GET is was not said
            self.exchange.begin(response, None)
            self.exchange.finish()
            return
        if self._declared is not None and self._declared != len(body) and has_body(request.method, response.status):
            raise ApplicationError(f"Content-Length is {self._declared} but the body has {len(body)} bytes")
        settings = self.handler.services.compression
        length = len(body) if body or self._declared is None else self._declared
        if length >= settings.min_size and settings.enabled and prepare(request, response, length, settings.min_size):
            body = compress(body, settings.level) if body else b""
        self._answered = True
        self.exchange.respond(response, body)

    def _send_piece(self, data: bytes) -> None:
        """Send a piece, after the head where it is the first. Never more than Content-Length says."""
        exchange = self.exchange
        if exchange.phase == WAITING:
            self._begin()
        if self._declared is not None and self._sent + len(data) > self._declared:
            if not self._over and has_body(exchange.request.method, self._started_response().status):
                self._over = True
                _log.error(
                    "{turn}: the body is longer than its Content-Length of {size}", turn=self, size=self._declared
                )
            data = data[: self._declared - self._sent]
        self._sent += len(data)
        if not self._answered:
            exchange.write(self._compressor.compress(data) if self._compressor is not None else data)

    def _begin(self) -> None:
        response = self._started_response()
        settings = self.handler.services.compression
        length = self._declared
        if settings.enabled and prepare(self.exchange.request, response, length, settings.min_size):
            self._compressor = Compressor(settings.level)
            length = None
        self.exchange.begin(response, length)

    def _end(self) -> None:
        exchange = self.exchange
        if self._compressor is not None:
            exchange.write(self._compressor.finish())
        short = self._declared is not None and self._sent < self._declared
        if short and has_body(exchange.request.method, self._started_response().status):
            _log.error(
                "{turn}: the body has {sent} bytes, its Content-Length says {size}",
                turn=self,
                sent=self._sent,
                size=self._declared,
            )
            exchange.abort()
        else:
            exchange.finish()

    def _send_file(self, wrapper: Any) -> bool:
        """Hand a real file over to the carrier; return False where it must be iterated over."""
        file = wrapper.filelike
        if self.exchange.phase != WAITING or type(file) not in SENDABLE:
            return False
        response = self._started_response()
        try:
            status = os.fstat(file.fileno())
            offset = file.tell()
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        left = max(0, status.st_size - offset)
        count = left if self._declared is None else self._declared
        settings = self.handler.services.compression
        if count > left or (settings.enabled and prepare(self.exchange.request, response, count, settings.min_size)):
            if count <= left:
                self._compressor = Compressor(settings.level)
                self.exchange.begin(response, None)
            return False
        self._result = None  # the carrier closes the file
        self.exchange.send_file(response, file, offset, count)
        return True

    def _started_response(self) -> Response:
        if self._response is None:
            raise ApplicationError("start_response() was not called before the first bytes of the body")
        return self._response

    # -- the end

    def close(self) -> None:
        """Call ``close`` of the iterable, whatever has happened, and let go of what refers to each other.

        Garbage in cycles waits for the collector, whose pauses would be the slowest answers of all.
        """
        result, self._result, self._iterator = self._result, None, None
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException:
                _log.failure("{turn}: close() failed", turn=self)
        if self.input is not None:
            self.input.close()
        self._environ.pop("skitai.was", None)
        if self._inline:
            self.exchange.on_writable = None

    def failed(self, error: BaseException) -> None:
        """The application raised: log it, and tell the client as far as possible."""
        try:
            self._answer_failure(error)
        except BaseException:  # of the application's objects, which a page for developers shows
            _log.failure("{turn}: its failure could not be answered", turn=self)
            self.exchange.abort()

    def _answer_failure(self, error: BaseException) -> None:
        exchange = self.exchange
        if exchange.phase == GONE and isinstance(error, OSError):
            return
        if isinstance(error, LoadError):
            respond_error(exchange, 503, "the application can not be loaded", traceback=error.traceback)
            return
        if isinstance(error, PeerError):
            _log.warn("{turn}: {error}", turn=self, error=error)
            status, message = error.status, str(error)
        else:
            _log.failure("{turn} failed", Failure(error), turn=self)  # type: ignore[no-untyped-call]
            status, message = 500, ""
        if exchange.phase == WAITING:
            headers = [RETRY_AFTER] if status == 503 else []
            respond_error(exchange, status, message, headers, error=error if status == 500 else None)
        elif not self._answered:
            exchange.abort()


def _join(pieces: Any) -> bytes:
    """Make one body of a list of pieces."""
    if len(pieces) == 1:
        piece = pieces[0]
        return piece if type(piece) is bytes else _as_bytes(piece)
    return b"".join([piece if type(piece) is bytes else _as_bytes(piece) for piece in pieces])


def _as_bytes(piece: object) -> bytes:
    """Return a piece of a body as bytes; beyond PEP 3333 text is sent as UTF-8."""
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise ApplicationError(f"the iterable of an application yields bytes, not {type(piece).__name__}")


def _checked(result: Any) -> Iterable[Any]:
    if result is None or isinstance(result, bytes):
        raise ApplicationError(f"an application returns an iterable of bytes, not {type(result).__name__}")
    return (result,) if isinstance(result, str) else cast("Iterable[Any]", result)
