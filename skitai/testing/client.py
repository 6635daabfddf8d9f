"""A client whose requests go through the real server without a socket: connection, mount table, handlers and WSGI.

It puts the same parts together as ``skitai.server`` does, with doubles for what has sockets, threads and time.

Thread: the one that runs the test.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast
from weakref import WeakSet

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from skitai import declare
from skitai.config import resolve
from skitai.hosting import Host
from skitai.mounting import dispatcher
from skitai.testing.backends import Network
from skitai.testing.cookies import Cookies
from skitai.testing.credentials import Auth, Digest, basic
from skitai.testing.pump import BytePump
from skitai.testing.request import Body, Encoded, Fields, Request
from skitai.testing.response import NoResponse, RedirectError, Response, read_response
from skitai.testing.workers import InlineWorkers, SteppingWorkers
from skitai.was.coroutines import start
from skitai.web.accesslog import AccessLog
from skitai.web.later import CoroutineRunner
from skitai.web.site import ServerFactory
from skitai.web.vhost import host_names
from skitai.web.wsgi import Services

EPOCH: Final = 1_500_000_000.0
"""UNIX time at which every test begins (2017-07-14 02:40:00 UTC); it passes with the reactor's clock."""

MAX_REDIRECTS: Final = 10
"""How many redirections in a row are followed."""


class Client:
    """Make requests to applications as a server would get them.

    Args:
        target: What to mount at "/": an application object, an application file, a directory or a module; or several
            mounts as for the keyword ``mount`` of ``skitai.run()``, such as a dictionary from mount point to target.
        workers: "inline" calls applications at once, as with ``threads=0``; "stepping" as ``SteppingWorkers`` does,
            where they may wait for their requests; while ``request`` waits, it takes the steps itself. None is
            "stepping" where there are ``backends``, else "inline".
        piece_size: Most bytes that the server gets, and the client gets, at once: 1 for one byte at a time, 0 for all.
        cookies: Whether cookies that applications set are kept and sent with later requests, as a browser does.
        secure: Whether requests come over TLS, as far as applications see (``wsgi.url_scheme`` is "https").
        origin: Globals of the module whose directory relative paths start from; those of the caller when None.
        backends: Who answers the requests that applications make with ``was``: applications, or whatever may be a
            ``target``, by the URL of the server ("https://api.example:8443") or the name of a cluster ("@api", which
            is declared where it is not). They may ask each other. Requests that go elsewhere find no server. While
            something waits for an answer the clock goes on by itself.
        settings: Options of the server by name, as for ``skitai.run()``.

    Relative paths are relative to the directory of the file that makes the client. ``close()``, or the end of a
    ``with`` block, ends the applications.

    Attributes:
        cookies: The cookies kept.
        reactor: The reactor, whose clock the test may advance.
        workers: The application threads that are none.
        settings: All options of the server.
        runner: Runs the coroutines of applications.
        factory: The server's side of all connections.
        errors: What applications have written to ``wsgi.errors``.

    Raises:
        ConfigError: Something mounted, or an option, can not be used.

    Example::

        client = Client(app)
        response = client.post("/sign-in", {"name": "Ann"})
        assert response.status == 303
        assert response.headers["Location"] == "/home"

        with Client({"/": "static", "/api": api}, max_post_body_size="1M") as client:
            assert client.get("/api/items", auth=("ann", "secret")).json() == []
            response = client.post("/upload", {"title": "Cat"}, files={"photo": "cat.jpg"}, follow_redirects=True)
            assert [earlier.status for earlier in response.history] == [303]

        with Client(app, backends={"http://weather.example": weather, "@users": users}) as client:
            assert client.get("/tomorrow").json() == {"ann": "rain"}
    """

    def __init__(
        self,
        target: Any,
        workers: str | None = None,
        piece_size: int = 0,
        cookies: bool = True,
        secure: bool = False,
        origin: dict[str, Any] | None = None,
        backends: Mapping[str, Any] | Network | None = None,
        **settings: Any,
    ) -> None:
        origin = sys._getframe(1).f_globals if origin is None else origin
        self.piece_size = piece_size
        self.cookies = Cookies(self._now)
        self._keeps_cookies = cookies
        self._secure = secure
        self._digests: dict[Auth, Digest] = {}
        self._at_close: list[Callable[[], object]] = []  # what ends the applications; the last one goes first
        self._pumps: WeakSet[BytePump] = WeakSet()
        self.reactor = network = self._network(backends, origin)
        workers = workers or ("stepping" if backends else "inline")
        self.workers: InlineWorkers | SteppingWorkers
        if workers == "inline":
            # On the reactor's thread nobody may wait for the rest of a body, so applications get it whole.
            self.workers, settings["threads"] = InlineWorkers(self.reactor), 0
        elif workers == "stepping":
            self.workers = SteppingWorkers(network, go_on=self._go_on)
        else:
            raise ValueError(f"workers must be 'inline' or 'stepping', not {workers!r}")
        self.errors = io.StringIO()
        self._log: list[str] = []
        declaration = declare.Declaration(declare.directory_of(origin), declare.Stage.RUNNING)
        declaration.accept({**settings, "mount": target if _is_mounts(target) else {"/": target}}, origin)
        self.settings = resolve({}, declaration.keywords, declaration.options, declaration.base_directory)
        if isinstance(self.workers, SteppingWorkers):
            self.workers.max_queued = self.settings.max_queued
        self.runner = CoroutineRunner(self.workers, start)
        self._start(declaration)

    # -- requests

    def request(
        self, method: str, path: str, data: Body = None, headers: Fields | None = None, json: Any = None, **more: Any
    ) -> Response:
        """Make one request on a connection of its own, and what redirections and authentication ask for.

        Args:
            method: The method.
            path: Path and query.
            data: The body.
            headers: More header fields.
            json: The body as JSON.
            more: ``files``, ``auth``, ``follow_redirects``, ``secure``: see ``Request``, as for all of these.

        Raises:
            NoResponse: The server does not answer, or not completely, before the test advances its clock.
            RedirectError: Redirections do not end, or lead to another server.
        """
        return self.perform(Request(method, path, data, headers, json, **more))

    def perform(self, request: Request) -> Response:
        """Make a request that is written down already; see ``request``."""
        asked = Encoded.of(request, self._secure)
        response = self._authenticated(asked, request.auth)
        history: list[Response] = []
        auth = request.auth
        while request.follow_redirects:
            following = asked.redirected(response.status, response.headers.get("Location", ""))
            if following is None:
                break
            history.append(response)
            self._check_redirection(asked, following, history)
            if (following.secure, following.authority) != (asked.secure, asked.authority):
                auth = None  # credentials are for those whom they were given for
            asked, response = following, self._authenticated(following, auth)
        response.history = history
        return response

    def get(self, path: str, headers: Fields | None = None, **more: Any) -> Response:
        """Make a GET request."""
        return self.request("GET", path, headers=headers, **more)

    def head(self, path: str, headers: Fields | None = None, **more: Any) -> Response:
        """Make a HEAD request."""
        return self.request("HEAD", path, headers=headers, **more)

    def options(self, path: str, headers: Fields | None = None, **more: Any) -> Response:
        """Make an OPTIONS request."""
        return self.request("OPTIONS", path, headers=headers, **more)

    def delete(self, path: str, headers: Fields | None = None, **more: Any) -> Response:
        """Make a DELETE request."""
        return self.request("DELETE", path, headers=headers, **more)

    def post(
        self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None, **more: Any
    ) -> Response:
        """Make a POST request."""
        return self.request("POST", path, data, headers, json, **more)

    def put(
        self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None, **more: Any
    ) -> Response:
        """Make a PUT request."""
        return self.request("PUT", path, data, headers, json, **more)

    def patch(
        self, path: str, data: Body = None, headers: Fields | None = None, json: Any = None, **more: Any
    ) -> Response:
        """Make a PATCH request."""
        return self.request("PATCH", path, data, headers, json, **more)

    # -- closer to the wire

    def connect(self, secure: bool | None = None) -> BytePump:
        """Open a connection, for requests that the test makes byte by byte.

        Args:
            secure: Whether the server takes it for TLS; None for what the client says.

        Example::

            pump = client.connect()
            pump.send(b"GET / HTTP/1.1\\r\\n")
            pump.advance(client.settings.head_timeout + 1)
            assert b"408" in pump.client.take()
        """
        decided = self._secure if secure is None else secure
        pump = BytePump(self.factory.buildProtocol(None), None, self.reactor, self.piece_size, decided)
        self._pumps.add(pump)
        return pump

    def send(self, data: bytes) -> bytes:
        """Send ``data`` on a connection of its own and return all that comes back, up to silence."""
        pump = self.connect()
        pump.send(data)
        self.run_waiting(pump)
        received = pump.client.take()
        pump.close()
        return received

    def _go_on(self) -> bool:
        """Let clients read, or else the next thing happen; return False where nothing is to come."""
        self.reactor.advance(0)
        moved = [pump.turn() for pump in list(self._pumps)]
        return any(moved) or self.reactor.go_on()

    def run_waiting(self, pump: BytePump) -> None:
        """Let applications run that wait for a thread, with stepping workers, and ``pump`` bring their answers."""
        happened = True
        while happened:
            stepped = isinstance(self.workers, SteppingWorkers) and self.workers.step()
            pump.flush()
            happened = self.reactor.settle() or stepped

    @property
    def log(self) -> list[str]:
        """The lines of the request log so far."""
        self._access_log.flush()
        return "".join(self._log).splitlines()

    # -- the end

    def close(self) -> None:
        """End the applications; a second call does nothing."""
        while self._at_close:
            self._at_close.pop()()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- inside

    def _start(self, declaration: declare.Declaration) -> None:
        """Put the server together as ``skitai.server`` does, and start the applications."""
        host = Host(self.settings, self.workers, self.close, runtime=self.runner)
        services = Services(
            self.workers,
            self.settings.limits,
            self.settings.compression,
            self.settings.threads,
            self.errors,
            host.enter,
        )
        log_format: Any = self.settings.access_log_format
        self._access_log = AccessLog(self._log.append, self.reactor, log_format, self._now)
        before = declare.replace(declaration)
        try:
            dispatch = dispatcher(self.settings, declaration, services, host)
        finally:
            declare.replace(before)
        hosts = [mount.host for mount in declaration.mounts if mount.host]
        self._hosts = [name for host in hosts for name in host_names(host)]
        self.factory = ServerFactory(
            dispatch, self.settings.limits, self.reactor, self.workers, self._access_log.record, self._now
        )
        host.traffic = self.factory
        self.reactor.declare(declaration)
        host.open(self.reactor, declaration.clusters(), declaration.max_rcache, self.reactor.seconds)
        host.start()
        self._at_close.append(host.end)
        self._asker = host.asker

    def _network(self, backends: Mapping[str, Any] | Network | None, origin: dict[str, Any]) -> Network:
        """Return the network, which the servers on it share with those who ask them."""
        if isinstance(backends, Network):
            return backends
        network = Network(backends or {}, self.piece_size)
        network.advance(1)  # 0.0 stands for "not yet" in an exchange
        self._at_close.append(network.close)
        network.open(lambda target: Client(target, "stepping", origin=origin, backends=network))
        return network

    def _now(self) -> float:
        return EPOCH + self.reactor.seconds() - 1

    def _authenticated(self, asked: Encoded, auth: Auth | None) -> Response:
        """Make a request with credentials, again where the server wants them in another way."""
        if auth is None or asked.has("authorization"):
            return self._exchange(asked)
        digest = self._digests.get(auth)
        said = basic(auth) if digest is None else digest.answer(auth, asked.method, asked.target)
        response = self._exchange(asked.having("Authorization", said))
        digest = Digest.of(response.headers.get_all("WWW-Authenticate")) if response.status == 401 else None
        if digest is None:
            return response
        self._digests[auth] = digest
        return self._exchange(asked.having("Authorization", digest.answer(auth, asked.method, asked.target)))

    def _exchange(self, asked: Encoded) -> Response:
        """Make exactly one request."""
        sent = asked
        if self._keeps_cookies and not asked.has("cookie"):
            sent = asked.having("Cookie", self.cookies.field(asked.host, asked.path, asked.secure))
        pump = self.connect(asked.secure)
        with self._failures() as failures:
            pump.send(sent.head())
            for piece in sent.body:
                if pump.client.lost is None:
                    pump.send(piece)
            try:
                response = self._wait(pump, asked.method)
            finally:
                pump.close()
        response.error = failures[0] if failures else None
        response.url = asked.url
        if self._keeps_cookies:
            self.cookies.receive(response.headers.get_all("Set-Cookie"), asked.host, asked.path)
        return response

    def _check_redirection(self, asked: Encoded, following: Encoded, history: list[Response]) -> None:
        if len(history) > MAX_REDIRECTS:
            raise RedirectError(f"more than {MAX_REDIRECTS} redirections, the last one to {following.url}", history)
        host = following.host
        if host != asked.host and not any(
            host == name or (name.startswith(".") and f".{host}".endswith(name)) for name in self._hosts
        ):
            raise RedirectError(f"the redirection to {following.url} leads to a host that is not mounted here", history)

    def _wait(self, pump: BytePump, method: str) -> Response:
        self.run_waiting(pump)
        while True:
            received = pump.client.received
            try:
                if not received:
                    lost = pump.client.lost
                    raise NoResponse(
                        f"the server {'has closed the connection' if lost else 'does not answer'}", received
                    )
                return read_response(received, method, pump.client.lost is not None)[0]
            except NoResponse:
                # The answer may wait for a request of the application.
                if not self._asker.client.deadlines or not self.reactor.go_on():
                    raise
            self.run_waiting(pump)

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
    return (
        isinstance(target, tuple)
        and bool(target)
        and (isinstance(target[0], tuple) or (isinstance(target[0], str) and target[0].startswith("/")))
    )
