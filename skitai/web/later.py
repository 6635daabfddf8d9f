"""Answers that coroutines make: they run on the reactor, take no thread, and end when the client leaves.

A WSGI application returns a ``Later`` instead of an iterable; then its thread is free. The coroutine calls
``start_response`` and returns the iterable, perhaps an asynchronous one, which is sent from the reactor.

Theory of operation. One coroutine of ours, ``_answer``, awaits that of the application and sends what it returns; so
iterables run in its context, too, and being cancelled ends whichever of the two waits. A turn is open from ``begin``
until its coroutine has ended, which may be later than its answer, and later than its client has left.

Layer 2. It must not know on what reactor coroutines run, nor how an answer is sent (``Answer``). Thread: reactor, but
for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from time import monotonic
from typing import Any, Final, NoReturn, Protocol, TypeAlias

from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.logger import Logger
from twisted.python.failure import Failure

from skitai.errors import ApplicationError, ClientDisconnected, PeerError
from skitai.web.exchange import GONE, Exchange
from skitai.web.workers import WorkerPool

BUSY: Final = "all application threads are busy and the queue before them is full"
"""What 503 says where it is for want of a thread."""

Start: TypeAlias = Callable[[Coroutine[Any, Any, Any]], "Deferred[Any]"]
"""Runs a coroutine; the Deferred fires when it has ended, and cancelling it cancels what the coroutine waits for."""

_answered: ContextVar[Exchange | None] = ContextVar("skitai.web.later", default=None)
"""The exchange that the running coroutine answers."""

_log = Logger(namespace="skitai.app")


class Answer(Protocol):
    """What a coroutine needs of the turn that it answers (``skitai.web.turn``). Its ``str`` names it in the log."""

    exchange: Exchange

    def take(self, result: Any) -> bool:
        """Send what a WSGI application returns; return False where ``pump`` is to be called after ``room``."""

    def pump(self) -> bool:
        """Send more of the iterable; return False where it is to be called again after ``room``."""

    def send(self, item: Any) -> bool:
        """Send a piece; return False where the next one is to wait for ``room``."""

    def finish(self) -> None:
        """End the answer after its last piece."""

    def room(self) -> Deferred[None]:
        """Return what fires when the client has read, and others have had their turn."""

    def failed(self, error: BaseException) -> None:
        """Log an error, and tell the client as far as possible."""

    def close(self) -> None:
        """Close what was taken, and let go of everything."""


class Later:
    """What a WSGI application returns to have a coroutine answer.

    Args:
        coroutine: It calls ``start_response`` and returns the iterable.
        runner: Runs it.
    """

    __slots__ = ("_context", "_runner", "coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], runner: CoroutineRunner) -> None:
        self.coroutine = coroutine
        self._runner = runner
        self._context: Context = copy_context()

    def begin(self, turn: Answer) -> Deferred[None]:
        """Have the coroutine answer ``turn``.

        Returns:
            Fires when the coroutine has ended, and never fails; cancelling it cancels the coroutine.
        """
        return self._context.run(self._runner.begin, turn, self.coroutine)

    def __iter__(self) -> Iterator[bytes]:
        self.coroutine.close()
        raise ApplicationError(
            "the answer of a coroutine has to be returned to Skitai as it is: a middleware can not iterate over it"
        )

    def close(self) -> None:
        """End a coroutine that has not begun; middlewares call it that drop an answer."""
        self.coroutine.close()


class CoroutineRunner:
    """Runs the coroutines of all applications: the ``Runtime`` behind ``was.later`` and ``was.in_thread``.

    Args:
        workers: The application threads.
        start: Runs a coroutine on the reactor.
    """

    def __init__(self, workers: WorkerPool, start: Start) -> None:
        self._workers = workers
        self._start = start
        self._open: dict[Answer, float] = {}
        self._idle: list[Deferred[None]] = []

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> Later:
        """Return what an application returns to have ``coroutine`` answer, with the context variables set here.

        Raises:
            TypeError: It is no coroutine.

        Thread: any.
        """
        if not isinstance(coroutine, Coroutine):
            raise TypeError(f"was.later() takes a coroutine, which calling an async def gives, not {coroutine!r}")
        return Later(coroutine, self)

    def in_thread(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function in an application thread, with the context variables set here; at once with threads=0.

        Args:
            function: It may wait, and must not use the reactor.
            args: Its arguments.

        Returns:
            Fires with what it returns or raises. Cancelled in the queue, it is not called; cancelled later, its result
            is dropped. Where that is because the client has left, it fails only when the function has ended: what the
            coroutine does to clean up does not meet it in another thread.

        Raises:
            PeerError: All threads are busy and the queue before them is full; the client gets 503.
            RuntimeError: This is an application thread already.
        """
        if not self._workers.in_reactor():
            raise RuntimeError("was.in_thread() is for coroutines; this is a thread already, call the function")
        call = _Call(self._workers, function, args)
        result = call.result
        if not self._workers.submit(call):
            raise PeerError(503, BUSY)
        return result

    def begin(self, turn: Answer, coroutine: Coroutine[Any, Any, Any]) -> Deferred[None]:
        """Have a coroutine answer ``turn``; see ``Later.begin``."""
        self._open[turn] = monotonic()
        ended = self._start(_answer(turn, coroutine))
        ended.addErrback(_failed, turn)
        ended.addBoth(self._ended, turn)
        return ended

    def busy(self) -> list[tuple[Answer, float]]:
        """Return the turns whose coroutines have not ended, and since how many seconds they run. Thread: any."""
        now = monotonic()
        return [(turn, now - since) for turn, since in list(self._open.items())]

    def idle(self) -> Deferred[None]:
        """Return what fires when no coroutine runs, with those counted that begin meanwhile."""
        waiting: Deferred[None] = Deferred()
        if self._open:
            self._idle.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _ended(self, result: object, turn: Answer) -> None:
        if isinstance(result, Failure):
            _log.failure("{turn}: its failure could not be answered", result, turn=turn)
        del self._open[turn]
        if not self._open:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)


async def _answer(turn: Answer, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Await the coroutine of an application and send what it returns."""
    _answered.set(turn.exchange)
    try:
        result = await coroutine
        if hasattr(type(result), "__aiter__"):
            await _send_asynchronous(turn, result)
            return
        complete = turn.take(result)
        while not complete:
            await turn.room()
            complete = turn.pump()
    finally:
        turn.close()


async def _send_asynchronous(turn: Answer, result: Any) -> None:
    """Send the pieces of an asynchronous iterable as fast as the client reads, and close it whatever happens."""
    try:
        async for piece in result:
            if not turn.send(piece):
                await turn.room()
        turn.finish()
    finally:
        aclose = getattr(result, "aclose", None)
        if aclose is not None:
            await aclose()
        elif hasattr(result, "close"):
            result.close()


def _failed(failure: Failure, turn: Answer) -> None:
    """Answer for a coroutine that has raised. That it was cancelled because its client has left is no error."""
    error: Any = failure.value
    cause = error
    while isinstance(cause, FirstError):  # of several Deferreds that were awaited together
        cause = cause.subFailure.value
    if isinstance(cause, ClientDisconnected) or (isinstance(cause, CancelledError) and turn.exchange.phase == GONE):
        return
    turn.failed(error)


class _Call:
    """A function that a coroutine calls in an application thread. A job."""

    __slots__ = ("_args", "_cancelled", "_context", "_function", "_workers", "result")

    def __init__(self, workers: WorkerPool, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._workers = workers
        self._function = function
        self._args = args
        self._context = copy_context()
        self.result: Deferred[Any] = Deferred(self._cancel)
        self.result.addCallback(self._unless_cancelled)
        self._cancelled: Deferred[Any] | None = None  # takes the place of the result, and fails when the function ends

    def __str__(self) -> str:
        name = getattr(self._function, "__qualname__", None) or repr(self._function)
        return f"{name} (called by a coroutine)"

    def run(self) -> None:
        """Call the function. Thread: application, or reactor with threads=0."""
        result: Any
        try:
            result = self._context.run(self._function, *self._args)
            if isinstance(result, Deferred):
                _refuse_deferred(self)
        except BaseException as error:
            result = Failure(error)  # type: ignore[no-untyped-call]
        if self._workers.in_reactor():
            self._deliver(result)
        else:
            self._workers.to_reactor(self._deliver, result)

    def _cancel(self, result: Deferred[Any]) -> None:
        exchange = self._context.get(_answered)
        if not self._workers.cancel(self) and exchange is not None and exchange.phase == GONE:
            self._cancelled = Deferred()
            result.callback(None)

    def _unless_cancelled(self, result: Any) -> Any:
        return result if self._cancelled is None else self._cancelled

    def _deliver(self, result: Any) -> None:
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is None:
            if not self.result.called:
                self.result.callback(result)
        elif not cancelled.called:  # or it was cancelled twice
            cancelled.errback(CancelledError())


def _refuse_deferred(call: _Call) -> NoReturn:
    raise TypeError(f"{call} has returned a Deferred, which belongs to the reactor: await it instead")
