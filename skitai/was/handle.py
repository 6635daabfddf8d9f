"""A request that has been started: wait for it, await it, have it call back, cancel it.

Theory of operation. What is asked is an ``Operation``, which lives on the reactor and tells its handle once what became
of it. Whoever gets there first settles the handle for good: the operation, a wait whose time is up, a cancel. All of
that happens on the reactor, so it needs no lock. Only what is at hand when the request is made, a result that was kept,
settles the handle in the thread that makes it, before anybody else knows it.

The reactor starts a request, or a thread that begins to wait for it before the reactor has come to that: it burns no
time then until the reactor does something, and can do so itself. ``_starting`` is a lock that whoever starts it takes,
for good. What a thread has sent is the reactor's from then on, like everything else. Where something waits for the
reactor already there is no such lock: a thread that writes and then reads wants them to leave in that order.

Threads wait through ``Threads.wait``, coroutines through a Deferred, tasks of an event loop that is not the reactor's
through a future of theirs, and none knows of the others. A long document is read, and a filter applied, by whoever is
the first to look at the response, not by the reactor, for it may take its time.

Waits count from when the request was made: three requests that are waited for one after the other, three seconds each,
take three seconds.

Layer 3. It must not know what is asked, nor of whom. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, sleep
from collections.abc import Callable, Generator, Mapping
from math import isnan
from threading import Lock, RLock
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from skitai.errors import RequestCancelled, RequestTimeout
from skitai.was.bridge import Threads
from skitai.was.callbacks import Callback
from skitai.was.coroutines import foreign_loop
from skitai.was.interfaces import Operation, Waiting
from skitai.was.result import Response, Responses, check_seconds

WAIT_TIMEOUT: Final = 3.0
"""Seconds that a wait takes at most, from when the request was made, where it does not say otherwise."""

MAX_WAIT: Final = 86_400.0
"""Seconds that a wait takes at most, however long it was meant to."""

HELD_UP: Final = 2.0
"""Seconds after which a wait that is over ends although the reactor, which should end it, does nothing: with
``threads=0`` an ``async def`` view of another framework may hold it up by waiting for itself."""

_MUST_NOT_WAIT: Final = (
    "the reactor thread must not wait: use await, a callback or was.aresponse(), or have threads "
    "(hooks that run when the server starts or stops are called in it, too: a callback is for them)"
)
_PAUSE: Final = 0.01

_log = Logger(namespace="skitai.app")


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
        "_started",
        "_starting",
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
        self._begun = threads.now()
        self._response: Response | None = None
        self._waiting: list[Waiting] = []
        self._watching: Callable[[Handle], object] | None = None
        self._keep_for: float | None = None
        self._starting: Lock | None = None
        self._started = False

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
            self._go_on()
        elif threads.is_quiet():
            self._starting = starting = Lock()
            threads.to_reactor(self._start, starting)
        else:
            threads.to_reactor(self._go_on)  # not before what is to leave first
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
        try:
            if self._starting is not None:
                self._starting.acquire(blocking=False)  # one that has not begun does not any more
        finally:
            self._on_reactor(self._cancel)

    def cache(self, seconds: float) -> Handle:
        """Keep the response, when there is one, for requests like this one; see ``Response.cache``.

        Said while the request is on its way, others who ask the same from now on wait for this one.

        Raises:
            TypeError: That is no number of seconds.
        """
        check_seconds(seconds)
        # ``settle`` looks the other way round: so one of them sees what the other has written.
        self._keep_for = seconds
        if self._response is not None:
            self.response().cache(seconds)
        elif seconds > 0:
            self._on_reactor(self._operation.share)
        return self

    def __await__(self) -> Generator[Any, Any, Response]:
        """Wait for the response in a coroutine. Thread: reactor; in a task of an event loop: that loop's."""
        loop = foreign_loop()
        threads = self._threads
        if self._response is None and threads.closed and loop is not None:
            return self._failure(RequestCancelled(f"{self._operation.url}: the server stops"))
        if self._response is None and loop is not None:
            if loop is not threads.loop and threads.in_reactor():
                raise RuntimeError(_MUST_NOT_WAIT)
            yield from self._wait_in(loop)
        elif self._response is None:
            if not threads.in_reactor():
                raise RuntimeError("a request can be awaited on the reactor and in tasks of asyncio; use getwait()")
            yield from self._when_settled().__await__()
        while self._lock is not None and not self._lock.acquire(blocking=False):
            # A thread applies the filter, which takes its time: nobody must wait for that here.
            yield from (sleep(_PAUSE) if loop is not None else self._pause()).__await__()
        try:
            return self.response()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _pause(self) -> Deferred[None]:
        pause: Deferred[None] = Deferred()
        self._threads.later(_PAUSE, pause.callback, None)
        return pause

    def _wait_in(self, loop: AbstractEventLoop) -> Generator[Any, Any, None]:
        """Wait in a task of an event loop that may run in another thread."""
        future: Future[None] = loop.create_future()
        waits: list[Deferred[None]] = []
        self._threads.to_reactor(self._tell, loop, future, waits)
        held_up = loop.call_later(self._operation.timeout + HELD_UP, _fire, future)
        try:
            yield from future
        except BaseException:
            self._threads.to_reactor(_cancel_all, waits)
            raise
        finally:
            held_up.cancel()
        if self._response is None:
            self._response = self._failure(RequestTimeout(f"{self._operation.url}: the reactor is held up"))

    def _tell(self, loop: AbstractEventLoop, future: Future[None], waits: list[Deferred[None]]) -> None:
        """Have a future fire when the request is done. Thread: reactor."""
        waits.append(self._when_settled())
        waits[0].addBoth(_fire_in, loop, future)

    # -- inside

    def when_done(self, function: Callable[[Handle], object]) -> None:
        """Call a function on the reactor when the request is done; only the last one counts. Thread: any."""
        if not self._threads.in_reactor():
            self._threads.to_reactor(self.when_done, function)
        elif self._response is not None:
            function(self)
        else:
            self._watching = function

    def tell(self, waiting: Waiting) -> bool:
        """Have ``waiting`` called when the request is done; return False where it is. Thread: any."""
        # ``settle`` does it the other way round: who is not called sees the response.
        self._waiting.append(waiting)
        return self._response is None

    def tell_no_more(self, waiting: Waiting) -> None:
        """Take back ``tell``; cancel the request unless somebody else wants it. Thread: reactor."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        self._unless_wanted()

    def give_up(self) -> None:
        """Take note that somebody who waited does so no more: cancel it, unless somebody else wants it. Thread: any."""
        self._on_reactor(self._unless_wanted)

    def _on_reactor(self, function: Callable[[], object]) -> None:
        """Call a function on the reactor: now where this is its thread, else soon."""
        if self._threads.in_reactor():
            function()
        else:
            self._threads.to_reactor(function)

    @property
    def is_done(self) -> bool:
        """Whether it is known what became of it."""
        return self._response is not None

    def response(self) -> Response:
        """Return the response of a handle that is done, read and filtered. Thread: any."""
        response = self._response
        assert response is not None
        if self._lock is not None:
            with self._lock:
                self._read(response)
                return self._filtered(response)
        self._read(response)
        return response

    def _read(self, response: Response) -> None:
        """Find out what a long document says, and keep it if it is worth that."""
        if response.unread:
            response.read()
            if self._keep_for is not None:
                self._keep(response, self._keep_for)

    def _filtered(self, response: Response) -> Response:
        """Apply the filter, if nobody has yet; return what the response is then. The lock is held."""
        function, self._filter = self._filter, None
        if function is not None and response.error is None:
            try:
                response.set_data(function(response.data))
            except Exception as error:
                _log.failure("the filter of the request to {url} failed", url=self._operation.url)
                self._response = self._failure(error)
            except BaseException:  # the thread is to end: who looks next tries again
                self._filter = function
                raise
        return self._response or response

    def _wait(self, timeout: float) -> Response:
        threads = self._threads
        if threads.in_reactor():
            raise RuntimeError(_MUST_NOT_WAIT)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or isnan(timeout):
            raise TypeError(f"timeout must be seconds, not {timeout!r}")
        if self._response is None:
            if threads.closed:
                return self._failure(RequestCancelled(f"{self._operation.url}: the server stops"))
            try:
                self._wait_here(timeout, self._begun + min(timeout, MAX_WAIT) - threads.now())
            except RequestCancelled as error:  # the reactor has stopped
                if self._response is None:
                    return self._failure(error)
        return self.response()

    def _wait_here(self, timeout: float, left: float) -> None:
        """Wait in a thread for at most ``left`` seconds; then the request is given up, by the reactor.

        Raises:
            RequestCancelled: The reactor has stopped.
        """
        threads = self._threads
        if left > 0:
            # One whose answer is to be kept is for the reactor, where those who ask the same meet.
            if self._starting is not None and not self._keep_for:
                self._send_early(self._starting)
            if threads.wait(self.tell, left):
                return
        threads.to_reactor(self._expire, timeout)
        if not threads.wait(self.tell, HELD_UP):
            words = f"{self._operation.url} has not answered within {timeout:g} seconds, and the reactor is held up"
            self._response = self._response or self._failure(RequestTimeout(words))

    def _send_early(self, starting: Lock) -> None:
        """Begin in this thread, unless the reactor does."""
        mine = False
        try:
            mine = starting.acquire(blocking=False)
            if mine:
                self._operation.send_early(self._go_on)
        finally:
            if mine:
                self._threads.to_reactor(self._go_on)

    def _start(self, starting: Lock) -> None:
        """Begin, unless a thread does. Thread: reactor."""
        if starting.acquire(blocking=False):
            self._go_on()

    def _go_on(self) -> None:
        """Begin, or go on with what a thread has begun; the second time nothing happens. Thread: reactor."""
        if self._started:
            return
        self._started = True
        if self._response is not None:
            self._operation.cancel()
            return
        try:
            self._operation.start(self.settle)
        except Exception as error:
            _log.failure("the request to {url} could not be made", url=self._operation.url)
            self.settle(self._failure(error))

    def _when_settled(self) -> Deferred[None]:
        """Return what fires when the request is done. Thread: reactor."""
        if self._response is not None:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self.tell_no_more)
        self._waiting.append(waiting)
        return waiting

    def _unless_wanted(self) -> None:
        """Cancel the request unless somebody wants it. Thread: reactor."""
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

    def _keep(self, response: Response, seconds: float) -> None:
        try:
            response.cache(seconds)
        except Exception:  # no memory, no room on the disk: those who wait have their answer all the same
            _log.failure("the answer of {url} could not be kept", url=self._operation.url)

    def settle(self, response: Response) -> None:
        """Say what became of it; the first to say so has it. Thread: reactor."""
        if self._response is not None:
            return
        self._response = self._marked(response)
        if self._keep_for is not None and not response.unread:
            self._keep(response, self._keep_for)
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


def _cancel_all(waits: list[Deferred[None]]) -> None:
    for waiting in waits:
        waiting.cancel()


def _fire_in(result: object, loop: AbstractEventLoop, future: Future[None]) -> None:
    """Have a future fire in the thread of its loop, which may have been closed. Thread: reactor."""
    try:
        loop.call_soon_threadsafe(_fire, future)
    except RuntimeError:
        pass


def _fire(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
