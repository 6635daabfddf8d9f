"""A request that has been started: wait for it, await it, have it call back, cancel it.

Theory of operation. What is asked is an ``Operation``, which lives on the reactor and tells its handle once what became
of it. Whoever gets there first settles the handle for good: the operation, a wait whose time is up, a cancel. All of
that happens on the reactor, so it needs no lock. Only what is at hand when the request is made, a result that was kept,
settles the handle in the thread that makes it, before anybody else knows it.

Threads wait through ``Threads.block``, coroutines through a Deferred, and neither knows of the other. A filter is
applied by whoever is the first to look at the response, not by the reactor, for it may take its time.

Waits count from when the request was made: three requests that are waited for one after the other, three seconds each,
take three seconds.

Layer 3. It must not know what is asked, nor of whom. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import isnan
from threading import RLock
from time import monotonic
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skitai.errors import RequestCancelled, RequestTimeout
from skitai.was.callbacks import Callback, Threads
from skitai.was.result import Response, Responses

__all__ = ["MAX_WAIT", "WAIT_TIMEOUT", "Callback", "Gathering", "Handle", "MapHandle", "Operation", "Threads"]

WAIT_TIMEOUT: Final = 3.0
"""Seconds that a wait takes at most, from when the request was made, where it does not say otherwise."""

MAX_WAIT: Final = 86_400.0
"""Seconds that a wait takes at most, however long it was meant to."""

_log = Logger(namespace="skitai.app")


class Operation(Protocol):
    """What is asked. Thread: reactor."""

    method: str
    url: str

    def peek(self) -> Response | None:
        """Return the response if it is at hand, so that nothing needs to be started. Thread: any."""

    def start(self, done: Callable[[Response], object]) -> None:
        """Begin; call ``done`` once with what became of it, now or later."""

    def cancel(self, expired: bool = False) -> None:
        """End it, whatever it waits for; ``done`` need not be called any more.

        Args:
            expired: Whether the time of who asks is up, which says something about who is asked.
        """


class Handle:
    """A request on its way.

    Args:
        operation: What is asked.
        threads: The bridge between threads and reactor.
        filter: Applied to the data of the response.
        callback: Called with the response: a function, or a pair of it and more arguments.
        meta: Put into the response.

    Attributes:
        reqid: Name of the request in an asynchronous response, None elsewhere.
        meta: What was given as ``meta``.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_callback",
        "_filter",
        "_keep_for",
        "_lock",
        "_operation",
        "_response",
        "_threads",
        "_waiting",
        "_watching",
        "meta",
        "reqid",
    )

    def __init__(
        self,
        operation: Operation,
        threads: Threads,
        filter: Callable[[Any], Any] | None = None,
        callback: Callback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.reqid: str | None = None
        self.meta: Mapping[str, Any] = meta or {}
        self._operation = operation
        self._threads = threads
        self._filter = filter
        self._lock = None if filter is None else RLock()
        self._callback = callback
        self._begun = monotonic()
        self._response: Response | None = None
        self._waiting: list[Deferred[None]] = []
        self._watching: Callable[[Handle], object] | None = None
        self._keep_for: float | None = None

    def __repr__(self) -> str:
        state = "under way" if self._response is None else repr(self._response)
        return f"<Handle {self._operation.method} {self._operation.url}: {state}>"

    def begin(self) -> Handle:
        """Start the request; return itself. Neither callback nor ``when_done`` runs before that."""
        threads, callback = self._threads, self._callback
        found = self._operation.peek()
        if found is not None:
            self._response = self._marked(found)
            if callback is not None:
                self._callback = None
                threads.to_reactor(callback.queue, self)
        elif callback is None and threads.in_reactor():
            self._start()
        else:
            threads.to_reactor(self._start)
        return self

    # -- for applications

    def wait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = True) -> None:
        """Wait until the request is done.

        Args:
            timeout: Seconds, from when the request was made.
            reraise: Whether to raise why there is no answer.

        Raises:
            RequestError: There is no answer.
            RuntimeError: This is the reactor thread, which must not wait.
        """
        response = self._wait(timeout)
        if reraise:
            response.reraise()

    def getwait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = False) -> Response:
        """Wait for the response; see ``wait``."""
        response = self._wait(timeout)
        return response.reraise() if reraise else response

    def getswait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = False) -> Responses:
        """Wait for the responses, which is one here; see ``wait``."""
        return Responses([self.getwait(timeout, reraise)])

    def cancel(self) -> None:
        """Give the request up; it ends with the status 2 and the code 702."""
        if self._threads.in_reactor():
            self._cancel()
        else:
            self._threads.to_reactor(self._cancel)

    def cache(self, seconds: float) -> Handle:
        """Keep the response, when there is one, for requests like this one; see ``Response.cache``."""
        # ``settle`` looks the other way round: so one of them sees what the other has written.
        self._keep_for = seconds
        if self._response is not None:
            self._response.cache(seconds)
        return self

    def __await__(self) -> Generator[Any, Any, Response]:
        """Wait for the response in a coroutine. Thread: reactor."""
        if self._response is None:
            yield from self._when_settled().__await__()
        return self.response()

    # -- inside

    def when_done(self, function: Callable[[Handle], object]) -> None:
        """Call a function on the reactor when the request is done; only the last one counts. Thread: any."""
        if not self._threads.in_reactor():
            self._threads.to_reactor(self.when_done, function)
        elif self._response is not None:
            function(self)
        else:
            self._watching = function

    @property
    def is_done(self) -> bool:
        """Whether it is known what became of it."""
        return self._response is not None

    def response(self) -> Response:
        """Return the response of a handle that is done, filtered."""
        if self._lock is not None:
            with self._lock:
                self._apply_filter()
        response = self._response
        assert response is not None
        return response

    def _apply_filter(self) -> None:
        """Apply the filter, if nobody has yet. The lock is held."""
        function, self._filter = self._filter, None
        response = self._response
        if function is None or response is None or response.error is not None:
            return
        try:
            response.set_data(function(response.data))
        except Exception as error:
            self._response = self._failure(error)

    def _wait(self, timeout: float) -> Response:
        threads = self._threads
        if threads.in_reactor():
            raise RuntimeError(
                "the reactor thread must not wait: use await, a callback or was.aresponse(), or have threads "
                "(hooks that run when the server starts or stops are called in it, too: a callback is for them)"
            )
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or isnan(timeout):
            raise TypeError(f"timeout must be seconds, not {timeout!r}")
        if self._response is None:
            if threads.closed:
                return self._failure(RequestCancelled(f"{self._operation.url}: the server stops"))
            try:
                threads.block(self._when_settled, timeout, self._begun + min(timeout, MAX_WAIT) - monotonic())
            except RequestCancelled as error:  # the reactor has stopped
                if self._response is None:
                    return self._failure(error)
        return self.response()

    def _start(self) -> None:
        """Begin. Thread: reactor."""
        if self._response is not None:
            return
        try:
            self._operation.start(self.settle)
        except Exception as error:
            _log.failure("the request to {url} could not be made", url=self._operation.url)
            self.settle(self._failure(error))

    def _when_settled(self, timeout: float = 0.0, left: float | None = None) -> Deferred[None]:
        """Return what fires when the request is done. Thread: reactor.

        Args:
            timeout: How long somebody waits for it, for a message.
            left: For how many seconds from now; None for as long as the request takes.
        """
        if self._response is not None:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._given_up)
        self._waiting.append(waiting)
        if left is not None:
            expiry = self._threads.later(max(0.0, left), self._expire, timeout)
            waiting.addBoth(_stop_clock, expiry)
        return waiting

    def _given_up(self, waiting: Deferred[None]) -> None:
        """Who waits is cancelled, and the request with it, unless somebody else wants it."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if not self._waiting and self._callback is None and self._watching is None:
            self._cancel()

    def _expire(self, timeout: float) -> None:
        """The time of a wait is up. Thread: reactor."""
        if self._response is None:
            self._operation.cancel(expired=True)
            url = self._operation.url
            self.settle(self._failure(RequestTimeout(f"{url} has not answered within {timeout:g} seconds")))

    def _cancel(self) -> None:
        if self._response is None:
            self._operation.cancel()
            self.settle(self._failure(RequestCancelled(f"the request to {self._operation.url} was cancelled")))

    def _failure(self, error: Exception) -> Response:
        return self._marked(Response.of_failure(self._operation.method, self._operation.url, error))

    def _marked(self, response: Response) -> Response:
        response.meta = self.meta
        response.reqid = self.reqid
        return response

    def settle(self, response: Response) -> None:
        """Say what became of it; the first to say so has it. Thread: reactor."""
        if self._response is not None:
            return
        self._response = self._marked(response)
        if self._keep_for is not None:
            response.cache(self._keep_for)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)
        callback, self._callback = self._callback, None
        if callback is not None:
            callback.queue(self)
        watching, self._watching = self._watching, None
        if watching is not None:
            watching(self)


class MapHandle:
    """Requests to all members of a cluster.

    Args:
        handles: One for each, in order.
    """

    def __init__(self, handles: Sequence[Handle]) -> None:
        self._handles = list(handles)

    def __repr__(self) -> str:
        return f"<MapHandle {self._handles!r}>"

    def wait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = True) -> None:
        """Wait until all are done; see ``Handle.wait``."""
        self.getswait(timeout, reraise)

    def getswait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = False) -> Responses:
        """Wait for all responses; see ``Handle.wait``."""
        responses = Responses([handle.getwait(timeout) for handle in self._handles])
        return responses.reraise() if reraise else responses

    getwait = getswait

    def cancel(self) -> None:
        """Give them all up."""
        for handle in self._handles:
            handle.cancel()

    def cache(self, seconds: float) -> MapHandle:
        """Keep all responses; see ``Response.cache``."""
        for handle in self._handles:
            handle.cache(seconds)
        return self

    def __await__(self) -> Generator[Any, Any, Responses]:
        """Wait for all responses in a coroutine; where that is cancelled, all are. Thread: reactor."""
        return Responses((yield from Gathering(self._handles).__await__()))


class Gathering:
    """Several handles awaited together: ``await was.gather(one, two)``.

    Args:
        handles: Any handles.
    """

    def __init__(self, handles: Sequence[Handle | MapHandle]) -> None:
        self._handles = handles

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        """Wait for all in a coroutine; where that is cancelled, all are. Thread: reactor."""
        found: list[Any] = []
        try:
            for handle in self._handles:
                found.append((yield from handle.__await__()))
        except BaseException:
            for handle in self._handles[len(found) :]:
                handle.cancel()
            raise
        return found


def _stop_clock(result: Any, expiry: IDelayedCall) -> Any:
    if expiry.active():
        expiry.cancel()
    return result
