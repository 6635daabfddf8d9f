"""Doubles for tests of requests: threads that are none, an operation that the test ends, a server of callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skitai.aliases import Alias
from skitai.was.asking import Asker
from skitai.was.client import HTTPClient
from skitai.was.cluster import Clusters
from skitai.was.limits import ClientSettings
from skitai.was.result import Response
from skitai.was.result_cache import ResultCache
from skitai.was.result_store import MemoryStore
from skitai.web.workers import Wait
from tests.was.backends import Network


class Threads:
    """One thread that is the reactor's or not, as the test says.

    Attributes:
        reactor: Whether it is.
        quiet: Whether nothing waits for the reactor, before what a test does.
        jobs: What was submitted.
        meanwhile: What happens while somebody blocks.
        hops: How often something was sent to the reactor.
    """

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.reactor = False
        self.closed = False
        self.quiet = True
        self.loop = None
        self.jobs: list[Any] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.hops = 0

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        self.hops += 1
        self.clock.callLater(0, self._in_reactor, function, *args)

    def _in_reactor(self, function: Callable[..., Any], *args: object) -> Any:
        before, self.reactor = self.reactor, True
        try:
            return function(*args)
        finally:
            self.reactor = before

    def is_quiet(self) -> bool:
        return self.quiet

    def now(self) -> float:
        return self.clock.seconds()  # type: ignore[no-any-return]

    def in_reactor(self) -> bool:
        return self.reactor

    def in_reactor_call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function as the reactor would, while a thread does something else."""
        return self._in_reactor(function, *args)

    def wait(self, begin: Callable[[Wait], bool], seconds: float) -> bool:
        assert not self.reactor
        wait, start = Wait(), self.clock.seconds()
        if not begin(wait):
            return True
        self.clock.advance(0)
        if not wait.called:
            self._in_reactor(self.meanwhile)
        if not wait.called and self.clock.seconds() - start < seconds:
            raise AssertionError("the thread would wait for ever")
        return wait.called

    def block(self, function: Callable[..., Any], *args: object) -> Any:
        assert not self.reactor
        self.hops += 1
        self.clock.advance(0)
        outcome: list[Any] = []
        self._in_reactor(function, *args).addBoth(outcome.append)
        if not outcome:
            self._in_reactor(self.meanwhile)
        if not outcome:
            raise AssertionError("the thread would wait for ever")
        return outcome[0]

    def insist(self, job: Any) -> None:
        self.jobs.append(job)

    def run_jobs(self) -> None:
        """Do what was submitted, in an application thread."""
        before, self.reactor = self.reactor, False
        while self.jobs:
            self.jobs.pop(0).run()
        self.reactor = before

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> Any:
        return self.clock.callLater(seconds, self._in_reactor, function, *args)


class Asked:
    """An operation that ends when the test says so."""

    method = "GET"
    url = "http://a.example/"
    timeout = 10.0

    def __init__(self, kept: Response | None = None) -> None:
        self.kept = kept
        self.done: Callable[[Response], object] | None = None
        self.cancelled: list[bool] = []
        self.shared = 0
        self.early: list[Callable[[], object]] = []
        self.started = 0

    def peek(self) -> Response | None:
        return self.kept

    def send_early(self, begin: Callable[[], object]) -> None:
        self.early.append(begin)

    def start(self, done: Callable[[Response], object]) -> None:
        self.started += 1
        self.done = done

    def share(self) -> None:
        self.shared += 1

    def cancel(self, expired: bool = False) -> None:
        self.cancelled.append(expired)

    def end(self, response: Response | None = None) -> None:
        assert self.done is not None
        self.done(response or answer())


class Keeper:
    """Remembers what it is to keep."""

    def __init__(self) -> None:
        self.kept: list[tuple[Any, float]] = []

    def keep(self, response: Response, seconds: float) -> None:
        self.kept.append((response, seconds))


class Caller:
    """Somebody who makes requests over a network in memory."""

    def __init__(self, network: Network, *aliases: Alias) -> None:
        self.network = network
        client = HTTPClient(network, ClientSettings(), network)
        self.store: MemoryStore[Response] = MemoryStore(100, network.seconds)
        self.asker = Asker(client, Clusters(aliases), ResultCache(self.store, network.seconds), network)
        self.threads: Any = Threads(network)
        self.threads.reactor = True
        self.calls = 0

    def next_call_headers(self) -> list[tuple[bytes, bytes]]:
        self.calls += 1
        return [(b"x-gtxn-id", b"GTID-1"), (b"x-ltxn-id", b"%d" % (2000 + self.calls))]


def answer(content: bytes = b"{}", content_type: str = "application/json", status: int = 200) -> Response:
    """Return a response."""
    from skitai.fields import Headers

    response = Response("GET", "http://a.example/", status, "OK", content)
    response.headers = Headers([("content-type", content_type)])
    return response
