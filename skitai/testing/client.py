"""A client whose requests go through the real server without a socket: connection, mount table, handlers and WSGI.

It puts the same parts together as ``skitai.server`` does, with doubles for what has sockets, threads and time.

Thread: the one that runs the test.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from skitai import declare
from skitai.config import resolve
from skitai.mounting import dispatcher, enter
from skitai.testing.clock import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.request import Body, Fields, encode_body, encode_request, pairs_of
from skitai.testing.response import NoResponse, Response, read_response
from skitai.testing.workers import InlineWorkers, SteppingWorkers
from skitai.web.accesslog import AccessLog
from skitai.web.site import ServerFactory
from skitai.web.wsgi import Services

EPOCH: Final = 1_500_000_000.0
"""UNIX time at which every test begins (2017-07-14 02:40:00 UTC); it passes with the reactor's clock."""


class Client:
    """Make requests to applications as a server would get them.

    Args:
        target: What to mount at "/": an application object, an application file, a directory or a module; or several
            mounts as for the keyword ``mount`` of ``skitai.run()``, such as a dictionary from mount point to target.
        workers: "inline" calls applications at once, "stepping" as ``SteppingWorkers`` does; while ``request`` waits,
            it takes the steps itself.
        piece_size: Most bytes that the server gets, and the client gets, at once: 1 for one byte at a time, 0 for all.
        settings: Options of the server by name, as for ``skitai.run()``.

    Relative paths are relative to the directory of the file that makes the client.

    Attributes:
        reactor: The reactor, whose clock the test may advance.
        workers: The application threads that are none.
        settings: All options of the server.
        factory: The server's side of all connections.
        errors: What applications have written to ``wsgi.errors``.

    Raises:
        ConfigError: Something mounted, or an option, can not be used.

    Example::

        client = Client(app)
        response = client.post("/sign-in", {"name": "Ann"})
        assert response.status == 303
        assert response.headers["Location"] == "/home"

        client = Client({"/": "static", "/api": api}, max_post_body_size="1M")
        assert client.get("/api/items").json() == []
    """

    def __init__(self, target: Any, workers: str = "inline", piece_size: int = 0, **settings: Any) -> None:
        origin = sys._getframe(1).f_globals
        self.piece_size = piece_size
        self.reactor = Reactor()
        self.reactor.advance(1)  # 0.0 stands for "not yet" in an exchange
        self.workers: InlineWorkers | SteppingWorkers
        if workers == "inline":
            # On the reactor's thread nobody may wait for the rest of a body, so applications get it whole.
            self.workers, settings["threads"] = InlineWorkers(self.reactor), 0
        elif workers == "stepping":
            self.workers = SteppingWorkers(self.reactor)
        else:
            raise ValueError(f"workers must be 'inline' or 'stepping', not {workers!r}")
        self.errors = io.StringIO()
        self._log: list[str] = []
        declaration = declare.Declaration(declare.directory_of(origin), declare.Stage.RUNNING)
        declaration.accept({**settings, "mount": target if _is_mounts(target) else {"/": target}}, origin)
        self.settings = resolve({}, declaration.keywords, declaration.options, declaration.base_directory)
        if isinstance(self.workers, SteppingWorkers):
            self.workers.max_queued = self.settings.max_queued
        services = Services(
            self.workers,
            self.settings.limits,
            self.settings.compression,
            self.settings.threads,
            self.errors,
            enter,
        )
        log_format: Any = self.settings.access_log_format
        self._access_log = AccessLog(self._log.append, self.reactor, log_format, self._now)
        before = declare.replace(declaration)
        try:
            dispatch = dispatcher(self.settings, declaration, services)
        finally:
            declare.replace(before)
        self.factory = ServerFactory(
            dispatch, self.settings.limits, self.reactor, self.workers, self._access_log.record, self._now
        )

    # -- requests

    def request(
        self, method: str, path: str, data: Body = None, headers: Fields | None = None, json: Any = None
    ) -> Response:
        """Make one request on a connection of its own.

        Args:
            method: The method.
            path: Path and query; what a URI may not hold is percent-encoded, as UTF-8.
            data: The body: bytes; text, sent as UTF-8; a dictionary, sent as a form; an iterable of bytes, in chunks.
            headers: More header fields. ``Host`` is "localhost" where they do not say it.
            json: The body as JSON; not together with ``data``.

        Raises:
            NoResponse: The server does not answer, or not completely, before the test advances its clock.
        """
        body, fields = encode_body(data, json)
        pump = self.connect()
        with self._failures() as failures:
            pump.send(encode_request(method, path, fields + pairs_of(headers)))
            for piece in body:
                if pump.client.lost is None:
                    pump.send(piece)
            try:
                response = self._wait(pump, method)
            finally:
                pump.close()
        response.error = failures[0] if failures else None
        return response

    def get(self, path: str, headers: Fields | None = None) -> Response:
        """Make a GET request."""
        return self.request("GET", path, headers=headers)

    def head(self, path: str, headers: Fields | None = None) -> Response:
        """Make a HEAD request."""
        return self.request("HEAD", path, headers=headers)

    def options(self, path: str, headers: Fields | None = None) -> Response:
        """Make an OPTIONS request."""
        return self.request("OPTIONS", path, headers=headers)

    def delete(self, path: str, headers: Fields | None = None) -> Response:
        """Make a DELETE request."""
        return self.request("DELETE", path, headers=headers)

    def post(self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None) -> Response:
        """Make a POST request."""
        return self.request("POST", path, data, headers, json)

    def put(self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None) -> Response:
        """Make a PUT request."""
        return self.request("PUT", path, data, headers, json)

    def patch(self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None) -> Response:
        """Make a PATCH request."""
        return self.request("PATCH", path, data, headers, json)

    # -- closer to the wire

    def connect(self) -> BytePump:
        """Open a connection, for requests that the test makes byte by byte.

        Example::

            pump = client.connect()
            pump.send(b"GET / HTTP/1.1\\r\\n")
            pump.advance(client.settings.head_timeout + 1)
            assert b"408" in pump.client.take()
        """
        return BytePump(self.factory.buildProtocol(None), None, self.reactor, self.piece_size)

    def send(self, data: bytes) -> bytes:
        """Send ``data`` on a connection of its own and return all that comes back, up to silence."""
        pump = self.connect()
        pump.send(data)
        self.run_waiting(pump)
        received = pump.client.take()
        pump.close()
        return received

    def run_waiting(self, pump: BytePump) -> None:
        """Let applications run that wait for a thread, with stepping workers, and ``pump`` bring their answers."""
        while isinstance(self.workers, SteppingWorkers) and self.workers.step():
            pump.flush()

    @property
    def log(self) -> list[str]:
        """The lines of the request log so far."""
        self._access_log.flush()
        return "".join(self._log).splitlines()

    # -- inside

    def _now(self) -> float:
        return EPOCH + self.reactor.seconds() - 1

    def _wait(self, pump: BytePump, method: str) -> Response:
        self.run_waiting(pump)
        received = pump.client.received
        if not received:
            closed = "the server has closed the connection" if pump.client.lost else "the server does not answer"
            raise NoResponse(closed, received)
        return read_response(received, method, pump.client.lost is not None)[0]

    @contextmanager
    def _failures(self) -> Iterator[list[BaseException]]:
        """Gather the exceptions that are logged meanwhile."""
        failures: list[BaseException] = []

        def _observe(event: LogEvent) -> None:
            if "log_failure" in event:
                failures.append(event["log_failure"].value)

        observer = cast(ILogObserver, _observe)
        globalLogPublisher.addObserver(observer)
        try:
            yield failures
        finally:
            globalLogPublisher.removeObserver(observer)


def _is_mounts(target: Any) -> bool:
    """Tell whether ``target`` is what the keyword ``mount`` takes, and not one thing to mount."""
    if isinstance(target, (Mapping, list)):
        return True
    return isinstance(target, tuple) and bool(target) and (
        isinstance(target[0], tuple) or (isinstance(target[0], str) and target[0].startswith("/"))
    )
