"""WSGI applications (PEP 3333): an exchange in, an application called in a thread, its answer out.

Layer 2. It must not know how an application is found or loaded (``ApplicationSource``), nor what carries the exchange,
nor how an answer is sent (``skitai.web.turn``).

Theory of operation. ``WSGIHandler.handle`` runs on the reactor: it waits until a small body is whole, then queues a
``Turn``, which an application thread runs. With ``threads=0`` the turn runs on the reactor: then the whole body is
spooled before. Where it is known before that a coroutine will answer, the turn begins on the reactor, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TextIO, TypeAlias

from twisted.logger import Logger

from skitai.settings import CompressionSettings, Limits
from skitai.web.environ import EnvironMaker
from skitai.web.errorpage import respond_error
from skitai.web.exchange import GONE, WAITING, Exchange
from skitai.web.file_wrapper import FileWrapper
from skitai.web.later import BUSY
from skitai.web.turn import RETRY_AFTER, Turn
from skitai.web.vhost import MountPoint, decode_path
from skitai.web.workers import WorkerPool

WSGIApplication: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_log = Logger(namespace="skitai.app")


class ApplicationSource(Protocol):
    """Where the application of a mount comes from (``skitai.apps``)."""

    @property
    def name(self) -> str:
        """What logs call it."""

    @property
    def debug(self) -> bool:
        """Whether error pages show tracebacks."""

    @property
    def is_async(self) -> Callable[[str, str], bool] | None:
        """Tells of a method and a PATH_INFO whether a coroutine will answer; None: never. Thread: reactor."""

    def body_limit(self, content_type: bytes | None) -> int | None:
        """Return its own limit of request bodies in bytes, None for the server's. Thread: reactor.

        Args:
            content_type: That of the request, None where it says none.
        """

    def current(self) -> WSGIApplication:
        """Return the application, loaded anew where its files have changed. Thread: application.

        Raises:
            LoadError: It can not be loaded.
        """


@dataclass(frozen=True)
class Services:
    """What WSGI handlers need of the server.

    Attributes:
        workers: The application threads.
        limits: What one connection may cost.
        compression: When answers are compressed.
        threads: Number of application threads.
        errors: The stream for ``wsgi.errors``.
        enter: Makes the ``skitai.was`` of a request, in the thread that runs it.
    """

    workers: WorkerPool
    limits: Limits
    compression: CompressionSettings
    threads: int
    errors: TextIO
    enter: Callable[[Exchange, dict[str, Any]], object]


class WSGIHandler:
    """Runs one WSGI application.

    Args:
        source: Where the application comes from.
        services: What is needed of the server.
    """

    def __init__(self, source: ApplicationSource, services: Services) -> None:
        self.source = source
        self.services = services
        self.make_environ = EnvironMaker(services.threads > 0, services.errors, FileWrapper, services.enter).make

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Have the application answer ``exchange``. Thread: reactor."""
        source = self.source
        exchange.debug = source.debug
        turn = Turn(self, exchange, mount)
        body = exchange.body
        if body is None:
            is_async = source.is_async
            if is_async is not None and self._answers_later(is_async, exchange, mount):
                turn.run_here()
            else:
                self._submit(turn)
            return True
        services = self.services
        limit = source.body_limit(exchange.request.header(b"content-type"))
        if limit is None:
            limit = services.limits.max_post_body_size

        def ready(file: BinaryIO | None) -> None:
            """The body is there, or will never be."""
            if file is not None:
                turn.input = file
                self._submit(turn)
            elif body.error is not None and exchange.phase == WAITING:
                respond_error(exchange, body.error.status, str(body.error))

        if services.threads:
            body.gather(limit, services.limits.body_spool_size, ready)
        else:
            body.collect(limit, services.limits.body_spool_size, ready)
        return True

    def _submit(self, turn: Turn) -> None:
        exchange = turn.exchange
        workers = self.services.workers
        if exchange.phase == GONE:
            return
        exchange.on_gone = turn.client_left
        if not workers.submit(turn):
            exchange.on_gone = None
            respond_error(exchange, 503, BUSY, [RETRY_AFTER])

    def _answers_later(self, is_async: Callable[[str, str], bool], exchange: Exchange, mount: MountPoint) -> bool:
        """Tell whether a coroutine will answer; then the request needs no thread and waits for none."""
        path = decode_path(exchange.request.path)[len(mount.script_name) :]
        try:
            return is_async(exchange.request.method, path)
        except Exception:  # in a thread it will fail for that request alone
            _log.failure("application {name}: it can not be told whether it is asynchronous", name=self.source.name)
            return False
