"""A server in memory for tests: the real channel and WSGI handler, a clock and threads that the test moves."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from skitai.settings import CompressionSettings, Limits
from skitai.testing.clock import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.workers import InlineWorkers, SteppingWorkers
from skitai.was.context import Was, current
from skitai.was.coroutines import start
from skitai.web.channel import HTTPChannel
from skitai.web.exchange import Exchange
from skitai.web.later import CoroutineRunner
from skitai.web.site import ServerFactory
from skitai.web.vhost import MountPoint
from skitai.web.wsgi import Services, WSGIApplication, WSGIHandler

WALL = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the moment at which these servers stand still."""


class Source:
    """An application that needs no loading."""

    name = "tested"
    max_post_body_size: int | None = None
    is_async: Callable[[str, str], bool] | None = None

    def __init__(self, application: WSGIApplication, debug: bool = False) -> None:
        self.application = application
        self.debug = debug

    def current(self) -> WSGIApplication:
        """Return the application."""
        return self.application

    def body_limit(self, content_type: bytes | None) -> int | None:
        """Return its own limit, whatever the type."""
        return self.max_post_body_size


class Server:
    """One server with one application at its root.

    Attributes:
        reactor: The clock.
        workers: The application threads: ``step`` runs one job.
        site: The factory of channels.
        runner: Runs the coroutines of applications.
        finished: The exchanges that are over, as the access log gets them.
        errors: What applications wrote to ``wsgi.errors``.
    """

    def __init__(
        self,
        application: WSGIApplication,
        limits: Limits | None = None,
        threads: int = 1,
        compression: bool = False,
        max_queued: int = 1000,
        debug: bool = False,
        point: str = "/",
        workers: Any = None,
        reactor: Reactor | None = None,
    ) -> None:
        self.reactor = reactor or Reactor()
        if workers is None:
            workers = SteppingWorkers(self.reactor, max_queued) if threads else InlineWorkers(self.reactor)
        self.workers: Any = workers
        self.errors = io.StringIO()
        self.finished: list[Exchange] = []
        limits = limits or Limits()
        self.source = Source(application, debug)
        self.runner = runner = CoroutineRunner(self.workers, start)

        def enter(exchange: Exchange, environ: dict[str, Any]) -> Was:
            was = Was(exchange, environ, runner)
            current.set(was)
            return was

        services = Services(
            self.workers, limits, CompressionSettings(compression, 1024, 6), threads, self.errors, enter
        )
        self.threads = threads
        self.handler = handler = WSGIHandler(self.source, services)
        mount = MountPoint(point)

        def dispatch(exchange: Exchange) -> None:
            handler.handle(exchange, mount)

        self.site = ServerFactory(dispatch, limits, self.reactor, self.workers, self.finished.append, lambda: WALL)

    def connect(self, piece_size: int = 0) -> BytePump:
        """Return a new connection to the server."""
        return BytePump(HTTPChannel(self.site), reactor=self.reactor, piece_size=piece_size)

    def ask(self, data: bytes, piece_size: int = 0) -> bytes:
        """Send ``data`` on a new connection, run every job, and return all that comes back."""
        pump = self.connect(piece_size)
        pump.send(data)
        self.work(pump)
        return pump.client.take()

    def work(self, pump: Any) -> None:
        """Run jobs until none waits, and move what they send (``pump`` has a ``flush`` for that)."""
        pump.flush()
        while self.workers.queued:
            self.workers.step()
            pump.flush()


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with the path."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]


def request(path: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/{version}", "Host: example.com", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def split(response: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return status line, fields by lower-case name and the rest of the first response in ``response``."""
    head, _, rest = response.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    return status, fields, rest
