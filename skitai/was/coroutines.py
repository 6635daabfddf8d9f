"""Coroutines on the reactor, whichever reactor it is.

``start`` runs a coroutine in which Deferreds can be awaited; under the asyncio reactor it is an ``asyncio.Task``, so
that what is built on asyncio works in it, too: ``current_task``, ``wait_for``, ``timeout``, ``gather``, ``TaskGroup``.

Theory of operation. A coroutine gives whatever it waits for to the one that runs it. Without an event loop that is
``_Run``, which takes Deferreds and nothing else. An asyncio task takes futures; so in the tasks of ``start``, and in
all tasks that these begin, ``_Bridge`` stands between the task and the coroutine and waits for Deferreds by futures.

A coroutine always begins before it can be cancelled: its ``finally`` clauses see to what was begun for it elsewhere.

Layer 3. It must not know what coroutines are for. Thread: reactor.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

__all__ = ["Runtime", "foreign_loop", "loop_of", "start", "starter"]

_NEEDS_LOOP: Final = (
    "asyncio works only under Twisted's asyncio reactor: run the server with reactor='asyncio' "
    "(twistd --reactor=asyncio), or await Deferreds instead"
)
_CANCELLING: Final = object()

_bridged: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("skitai.was.coroutines", default=None)
"""The event loop whose tasks that are made now may wait for Deferreds."""


class Runtime(Protocol):
    """What ``was`` needs of who runs coroutines."""

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Return what a WSGI application returns to have ``coroutine`` answer. Thread: any."""

    def in_thread(self, function: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Call ``function`` in an application thread. Thread: reactor."""


def start(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop | None = None) -> Deferred[Any]:
    """Run a coroutine, in a copy of the context variables that are set here.

    Args:
        coroutine: It may await Deferreds and what is made of them.
        loop: The event loop that the reactor runs on, None where there is none. With it the coroutine may await what
            asyncio has, too; without, that raises RuntimeError in it.

    Returns:
        Fires when the coroutine has ended, with what it returned or raised. Cancelling it cancels what the coroutine
        waits for, and waits for what it does then; one that did not catch that fails with Twisted's ``CancelledError``.
    """
    if loop is None:
        return _Run(coroutine).begin()
    return _Task(coroutine, loop).ended


def loop_of(reactor: object) -> asyncio.AbstractEventLoop | None:
    """Return the event loop that ``reactor`` runs on, None for a reactor that is not asyncio's."""
    # Twisted has no public name for it, and asyncio.get_event_loop() would make one where there is none.
    loop = getattr(reactor, "_asyncioEventloop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def starter(reactor: object) -> Callable[[Coroutine[Any, Any, Any]], Deferred[Any]]:
    """Return ``start`` as it is to be called under ``reactor``."""
    loop = loop_of(reactor)
    return start if loop is None else partial(start, loop=loop)


def foreign_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop whose task runs now, where such a task can wait for futures only.

    That is a task that ``start`` has not made, nor one of its tasks: of a framework that runs its own event loop in an
    application thread, of ``asyncio.run``, or made by a startup hook. Thread: any.
    """
    loop = asyncio._get_running_loop()
    if loop is None or _bridged.get() is loop or asyncio.current_task(loop) is None:
        return None
    return loop


class _Ending:
    """The end of a coroutine, as a Deferred that does not fire before it.

    Cancelling a Deferred makes it fire at once. So a second one takes its place then, and the first waits for that.

    Attributes:
        ended: Fires when the coroutine has ended.
    """

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = self._promise()

    def cancel(self) -> None:
        """Throw CancelledError into the coroutine, where it waits."""
        raise NotImplementedError

    def _promise(self) -> Deferred[Any]:
        promise: Deferred[Any] = Deferred(self._asked_to_cancel)
        promise.addCallback(self._unless_cancelled)
        return promise

    def _asked_to_cancel(self, asked: Deferred[Any]) -> None:
        asked.callback(_CANCELLING)
        self.cancel()

    def _unless_cancelled(self, result: Any) -> Any:
        if result is not _CANCELLING:
            return result
        self.ended = self._promise()
        return self.ended


class _Run(_Ending):
    """A coroutine that runs without an event loop."""

    __slots__ = ("_cancelled", "_context", "_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._context = copy_context()
        self._waits_for: Deferred[Any] | None = None
        self._cancelled = False

    def begin(self) -> Deferred[Any]:
        """Run it up to its first wait."""
        ended = self.ended
        self._go_on(None)
        return ended

    def cancel(self) -> None:
        """Cancel what it waits for; where it is running, what it will wait for next."""
        if self._waits_for is not None:
            self._waits_for.cancel()
        else:
            self._cancelled = True

    def _go_on(self, result: object) -> None:
        """Hand over what it has waited for and run it up to the next wait.

        It returns nothing: so the Deferred that calls it has its failure handled. The result of that Deferred stays as
        it is meanwhile, and there ``await`` finds it.
        """
        run, coroutine = self._context.run, self._coroutine
        self._waits_for = None
        while True:
            try:
                if isinstance(result, Failure):
                    throw: Callable[[BaseException], Any] = coroutine.throw
                    waits_for = run(throw, _error_of(result))
                else:
                    waits_for = run(coroutine.send, result)
            except StopIteration as stop:
                self.ended.callback(stop.value)
                return
            except BaseException as error:
                self.ended.errback(_failure(_explained(error)))
                return
            if isinstance(waits_for, Deferred):
                break
            result = _failure(RuntimeError(f"{_NEEDS_LOOP}; this is {waits_for!r}"))
        self._waits_for = waits_for
        waits_for.addBoth(self._go_on)
        if self._cancelled and self._waits_for is waits_for:
            self._cancelled = False
            waits_for.cancel()


def _explained(error: BaseException) -> BaseException:
    """Return the error of a coroutine; where asyncio has missed its event loop, one that says what to do about it."""
    if type(error) is not RuntimeError or str(error) != "no running event loop":
        return error
    explained = RuntimeError(_NEEDS_LOOP)
    explained.__cause__ = error
    return explained


def _failure(error: BaseException) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]


def _error_of(failure: Failure) -> BaseException:
    error: BaseException = failure.value  # type: ignore[assignment]
    return error


class _Task(_Ending):
    """A coroutine that runs as a task of an event loop."""

    __slots__ = ("_loop", "_task")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        if type(loop.get_task_factory()) is not _TaskFactory:
            loop.set_task_factory(_TaskFactory(loop.get_task_factory()))
        context = copy_context()
        context.run(_bridged.set, loop)
        self._loop = loop
        self._task: asyncio.Task[Any] = context.run(loop.create_task, _contained(coroutine))
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel the task, after its first step."""
        coroutine = self._task.get_coro()
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            self._loop.call_soon(self._task.cancel)
        else:
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.ended.errback(CancelledError())
            return
        error = task.exception()
        if error is None:
            self.ended.callback(task.result())
        else:
            self.ended.errback(error)


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine; return as a failure what would end the event loop if it were raised in a task."""
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        return _failure(error)


class _TaskFactory:
    """Makes the tasks of an event loop; those of our coroutines, and of what these begin, may wait for Deferreds.

    Args:
        factory: Made the tasks before, None for asyncio itself.
    """

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        """Make a task."""
        context = options.get("context")
        bridged = _bridged.get() if context is None else context.get(_bridged)
        if bridged is loop and asyncio.iscoroutine(coroutine):
            coroutine = _across(coroutine, loop)
        if self._factory is not None:
            return self._factory(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)


async def _across(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
    """Run a coroutine across a bridge. Libraries look into the coroutine of a task, so it is a native one."""
    return await _Bridge(coroutine, loop)


class _Bridge:
    """Runs a coroutine for a task and turns each Deferred that it waits for into a future."""

    __slots__ = ("_coroutine", "_loop")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._coroutine = coroutine
        self._loop = loop

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        step: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as stop:
                return stop.value
            step, value = coroutine.send, None
            try:
                if isinstance(waits_for, Deferred):
                    yield from _wait(waits_for, self._loop)
                else:
                    value = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                step, value = coroutine.throw, error


def _wait(deferred: Deferred[Any], loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, None]:
    """Wait for a Deferred in a task; raise what it fails with.

    Its result stays in it, because there ``await`` finds it: ``Deferred.asFuture`` would take it away. One that takes
    its time to end when it is cancelled, because a thread works for it, is waited for, unless it is cancelled twice.
    """
    woken: asyncio.Future[Failure | None] = loop.create_future()
    fired = False

    def _fired(result: Any) -> Any:
        nonlocal fired
        fired = True
        failure = result if isinstance(result, Failure) else None
        if not woken.done():
            woken.set_result(failure)
        return result if failure is None else None

    deferred.addBoth(_fired)
    try:
        failure = yield from woken
    except asyncio.CancelledError:
        deferred.cancel()
        if not fired:
            woken = loop.create_future()
            yield from woken
        raise
    if failure is not None:
        raise _error_of(failure)
