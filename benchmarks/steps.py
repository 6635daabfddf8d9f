"""What each step of a request costs, in one process without sockets: ``python benchmarks/steps.py``.

The figures of docs/architecture.rst come from here. They are those of warm caches: in a server that also does system
calls each step takes about twice as long, so it is their proportions that count. The collector is off, as it has next
to nothing to do.
"""

from __future__ import annotations

import contextvars
import gc
import io
import threading
import time
import timeit
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from skitai.mounting import enter
from skitai.saddle import Saddle
from skitai.settings import CompressionSettings, Limits
from skitai.web.accesslog import AccessLog
from skitai.web.events import Response
from skitai.web.exchange import Exchange, Peers
from skitai.web.http1 import ServerConnection
from skitai.web.http1_writer import encode_head
from skitai.web.site import ServerFactory
from skitai.web.start_response import parse_headers, parse_status
from skitai.web.transport import DirectServer
from skitai.web.vhost import Entry, MountPoint, MountTable
from skitai.web.workers import Workers
from skitai.web.wsgi import Services, WSGIHandler

SHORT = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n"
BROWSER = (
    b"GET /path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n"
    b"Cookie: a=b; c=d; session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\r\n"
)
HEADERS = [("Content-Type", "text/plain")]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Greet."""
    start_response("200 OK", HEADERS)
    return [b"Hello World"]


saddle = Saddle(__name__)


@saddle.route("/")
def text(was: Any) -> str:
    """Greet."""
    return "Hello World"


@saddle.route("/json")
def json(was: Any) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": 4711, "name": "Walnut desk", "price": 249.5, "stock": 12, "tags": ["office", "wood"], "new": True}


@saddle.route("/items/<int:number>")
def arguments(was: Any, number: int, order: str = "") -> str:
    """Answer with arguments."""
    return f"{number} {order}"


class Source:
    """An application that needs no loading."""

    name = "hello"
    debug = False
    is_async = None

    def __init__(self, application: Any) -> None:
        self.application = application

    def current(self) -> Any:
        """Return it."""
        return self.application

    def body_limit(self, content_type: bytes | None) -> None:
        """Return None: that of the server counts."""


class NoSocket:
    """Takes everything at once."""

    def send(self, data: bytes) -> int:
        """Return how much was sent: all."""
        return len(data)


class Connection(DirectServer):
    """A connection without a socket."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queued = 0
        self.open = True
        self.socket = NoSocket()  # type: ignore[assignment]

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing ever waits."""

    def getPeer(self) -> Any:
        """Return an end without address."""

    getHost = getPeer


class RunningClock(Clock):
    """The time of the day, and calls that never come."""

    def seconds(self) -> float:
        """Return seconds."""
        return time.monotonic()


def measure(name: str, function: Callable[[], object], count: int = 20_000) -> None:
    """Print the least time of a call among several turns, in microseconds."""
    best = min(timeit.repeat(function, number=count, repeat=9)) / count
    print(f"{name:32} {best * 1e6:6.2f} µs")


def main() -> None:
    """Measure."""
    gc.disable()
    clock = RunningClock()
    workers = Workers(clock, None, 0, 1000)  # type: ignore[arg-type]  # runs jobs inline
    services = Services(workers, Limits(), CompressionSettings(), 0, io.StringIO(), enter)
    handler = WSGIHandler(Source(hello), services)
    log = AccessLog(lambda text: None, clock)

    def connect(handler: WSGIHandler) -> Any:
        table = MountTable([Entry(None, "/", "app", handler)])
        site = ServerFactory(table.dispatch, Limits(), clock, workers, log.record)
        channel = site.buildProtocol(None)
        channel.makeConnection(Connection())
        return channel

    channel, saddled = connect(handler), connect(WSGIHandler(Source(saddle), services))
    engine = ServerConnection(65536, 16384)

    def parse(head: bytes) -> Callable[[], object]:
        def step() -> None:
            engine.receive(head)
            engine.begin_idle()

        return step

    def make_exchange(head: bytes) -> Exchange:
        request: Any = engine.receive(head)[0]
        engine.begin_idle()
        return Exchange(request, Peers(("127.0.0.1", 1), ("127.0.0.1", 5000), False, 1), 1, channel, 1.0)

    mount = MountPoint("/")

    def call(application: Callable[..., Any], target: bytes) -> Callable[[], object]:
        environ = handler.make_environ(make_exchange(SHORT.replace(b"/", target, 1)), mount, None)
        return lambda: application(environ, _ignore)

    exchange = make_exchange(BROWSER)
    exchange.answered = exchange.finished = 1.0
    table = MountTable([Entry(None, "/", "app", _Taking())])
    response = Response(200, parse_headers(HEADERS)[0], "OK")
    measure("engine, 1 field", parse(SHORT))
    measure("engine, 11 fields", parse(BROWSER))
    measure("exchange", lambda: Exchange(exchange.request, exchange.peers, 1, channel, 1.0))
    measure("mount table", lambda: table.dispatch(exchange))
    measure("context of the thread", lambda: contextvars.Context().run(int))
    measure("environ, 11 fields", lambda: handler.make_environ(exchange, mount, None))
    measure("WSGI function", call(hello, b"/"))
    measure("Saddle view, text", call(saddle, b"/"))
    measure("Saddle view, JSON", call(saddle, b"/json"))
    measure("Saddle view, arguments", call(saddle, b"/items/4711?order=name"))
    measure("start_response", lambda: (parse_status("200 OK"), parse_headers(HEADERS)))
    measure("head of the response", lambda: encode_head(response, 11, channel.site.common_lines(0.0), b"\r\n"))
    measure("log line", lambda: log.record(exchange))
    log.flush()
    for name, step in (
        ("all of it, 1 field", lambda: channel.dataReceived(SHORT)),
        ("all of it, 11 fields", lambda: channel.dataReceived(BROWSER)),
        ("all of it, Saddle view, 1 field", lambda: saddled.dataReceived(SHORT)),
    ):
        measure(name, step, 5000)
        log.flush()


def _ignore(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
    """Take status and headers as ``start_response`` does."""


class _Taking:
    """Takes every exchange and does nothing."""

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Take it."""
        return True


if __name__ == "__main__":
    main()
