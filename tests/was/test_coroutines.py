"""Coroutines that await Deferreds, without an event loop and as tasks of one, and how both are cancelled.

The event loop is one of the test's own and stands still but for ``settle``: no reactor, no sockets, no time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.coroutines import loop_of, start, starter

variable: ContextVar[str] = ContextVar("variable", default="unset")


class _Waiting:
    """A coroutine that notes what happens to it at a wait.

    Attributes:
        deferred: What it waits for.
        seen: What has happened.
    """

    def __init__(self) -> None:
        self.deferred: Deferred[Any] = Deferred()
        self.seen: list[object] = []

    async def run(self) -> object:
        self.seen.append("begun")
        try:
            result = await self.deferred
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            self.seen.append("finally")
        return result


class BothWays:
    """What holds with and without an event loop."""

    assertEqual: Callable[..., None]
    successResultOf: Callable[..., Any]
    failureResultOf: Callable[..., Any]
    assertNoResult: Callable[..., None]

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        raise NotImplementedError

    def settle(self) -> None:
        """Let everything happen that can."""

    def result(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns that waits for nothing from outside."""
        ended = self.start(coroutine)
        self.settle()
        return self.successResultOf(ended)

    def test_a_coroutine_that_never_waits(self) -> None:
        async def coroutine() -> int:
            return 3

        self.assertEqual(self.result(coroutine()), 3)

    def test_awaiting_deferreds_that_have_fired(self) -> None:
        async def coroutine() -> list[int]:
            return [await succeed(number) for number in range(3)]

        self.assertEqual(self.result(coroutine()), [0, 1, 2])

    def test_many_deferreds_that_fire_at_once_need_no_deep_stack(self) -> None:
        async def coroutine() -> int:
            return sum([await succeed(1) for _ in range(5000)])

        self.assertEqual(self.result(coroutine()), 5000)

    def test_awaiting_a_deferred_that_fires_later(self) -> None:
        waiting = _Waiting()
        ended = self.start(waiting.run())
        self.settle()
        self.assertNoResult(ended)
        waiting.deferred.callback("value")
        self.settle()
        self.assertEqual(self.successResultOf(ended), "value")
        self.assertEqual(waiting.seen, ["begun", "finally"])

    def test_a_deferred_that_fails_is_raised_and_handled(self) -> None:
        waiting = _Waiting()
        ended = self.start(waiting.run())
        self.settle()
        waiting.deferred.errback(ZeroDivisionError("x"))
        self.settle()
        self.failureResultOf(ended, ZeroDivisionError)
        self.assertEqual(waiting.seen, ["begun", "ZeroDivisionError", "finally"])

    def test_going_on_after_a_failure(self) -> None:
        async def coroutine() -> str:
            try:
                await fail(KeyError("x"))
            except KeyError:
                return str(await succeed("second"))
            return ""

        self.assertEqual(self.result(coroutine()), "second")

    def test_several_waits(self) -> None:
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()

        async def coroutine() -> str:
            return await first + await second

        ended = self.start(coroutine())
        self.settle()
        first.callback("a")
        self.settle()
        second.callback("b")
        self.settle()
        self.assertEqual(self.successResultOf(ended), "ab")

    def test_what_it_raises(self) -> None:
        async def coroutine() -> None:
            raise SystemExit(3)

        ended = self.start(coroutine())
        self.settle()
        self.failureResultOf(ended, SystemExit)

    def test_cancelling_cancels_what_it_waits_for(self) -> None:
        waiting = _Waiting()
        cancelled: list[object] = []
        waiting.deferred = Deferred(cancelled.append)
        ended = self.start(waiting.run())
        self.settle()
        ended.cancel()
        self.settle()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(cancelled, [waiting.deferred])
        self.assertEqual(waiting.seen, ["begun", "CancelledError", "finally"])

    def test_cancelling_reaches_the_innermost_wait(self) -> None:
        waiting = _Waiting()

        async def outer() -> object:
            return await waiting.run()

        ended = self.start(outer())
        self.settle()
        ended.cancel()
        self.settle()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(waiting.seen, ["begun", "CancelledError", "finally"])

    def test_a_cancelled_coroutine_may_wait_in_its_finally(self) -> None:
        """Only when that is over has it ended; another cancel() reaches that wait, too."""
        never: Deferred[None] = Deferred()
        release: Deferred[None] = Deferred()
        order: list[str] = []

        async def coroutine() -> None:
            try:
                await never
            finally:
                await release
                order.append("released")

        ended = self.start(coroutine())
        ended.addBoth(lambda result: order.append("ended") or result)  # type: ignore[func-returns-value]
        self.settle()
        ended.cancel()
        self.settle()
        self.assertEqual(order, [])
        release.callback(None)
        self.settle()
        self.assertEqual(order, ["released", "ended"])
        self.failureResultOf(ended, CancelledError)

    def test_what_takes_its_time_to_end_is_waited_for(self) -> None:
        waiting, ended = _Waiting(), Deferred[Any]()
        waiting.deferred = Deferred(lambda deferred: deferred.callback(None))
        waiting.deferred.addCallback(lambda result: ended)
        task = self.start(waiting.run())
        self.settle()
        task.cancel()
        self.settle()
        self.assertEqual(waiting.seen, ["begun"])
        ended.errback(CancelledError())
        self.settle()
        self.assertEqual(waiting.seen, ["begun", "CancelledError", "finally"])
        self.failureResultOf(task, CancelledError)

    def test_cancelled_twice_it_is_not_waited_for(self) -> None:
        waiting, ended = _Waiting(), Deferred[Any]()
        waiting.deferred = Deferred(lambda deferred: deferred.callback(None))
        waiting.deferred.addCallback(lambda result: ended)
        task = self.start(waiting.run())
        self.settle()
        for _ in range(2):
            task.cancel()
            self.settle()
        self.assertEqual(waiting.seen, ["begun", "CancelledError", "finally"])
        self.failureResultOf(task, CancelledError)

    def test_cancelling_twice_reaches_two_waits(self) -> None:
        never: Deferred[None] = Deferred()
        again: Deferred[None] = Deferred()

        async def coroutine() -> None:
            try:
                await never
            finally:
                await again

        ended = self.start(coroutine())
        self.settle()
        ended.cancel()
        self.settle()
        self.assertNoResult(ended)
        ended.cancel()
        self.settle()
        self.failureResultOf(ended, CancelledError)

    def test_a_coroutine_may_survive_being_cancelled(self) -> None:
        never: Deferred[None] = Deferred()

        async def coroutine() -> str:
            try:
                await never
            except BaseException:
                return "survived"
            return ""

        ended = self.start(coroutine())
        self.settle()
        ended.cancel()
        self.settle()
        self.assertEqual(self.successResultOf(ended), "survived")

    def test_cancelled_before_anything_else_it_begins_nevertheless(self) -> None:
        waiting = _Waiting()
        ended = self.start(waiting.run())
        ended.cancel()
        self.settle()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(waiting.seen, ["begun", "CancelledError", "finally"])

    def test_cancelled_while_it_runs_its_next_wait_is(self) -> None:
        waiting = _Waiting()
        gate: Deferred[None] = Deferred()

        async def coroutine() -> object:
            await gate
            ended.cancel()
            waiting.seen.append("runs on")
            return await waiting.run()

        ended = self.start(coroutine())
        self.settle()
        gate.callback(None)
        self.settle()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(waiting.seen, ["runs on", "begun", "CancelledError", "finally"])

    def test_cancelling_after_the_end_does_nothing(self) -> None:
        async def coroutine() -> int:
            return 3

        ended = self.start(coroutine())
        self.settle()
        ended.cancel()
        self.settle()
        self.assertEqual(self.successResultOf(ended), 3)

    def test_context_variables_of_the_caller_are_seen_across_waits(self) -> None:
        gate: Deferred[None] = Deferred()
        seen: list[str] = []

        async def coroutine() -> None:
            seen.append(variable.get())
            await gate
            seen.append(variable.get())

        context = copy_context()
        context.run(variable.set, "caller's")
        ended = context.run(self.start, coroutine())
        self.settle()
        gate.callback(None)  # here it is unset
        self.settle()
        self.successResultOf(ended)
        self.assertEqual(seen, ["caller's", "caller's"])
        self.assertEqual(variable.get(), "unset")

    def test_each_coroutine_has_context_variables_of_its_own(self) -> None:
        gate: Deferred[None] = Deferred()

        async def coroutine(value: str) -> str:
            variable.set(value)
            await gate
            return variable.get()

        ended = [self.start(coroutine(value)) for value in ("a", "b")]
        self.settle()
        gate.callback(None)
        self.settle()
        self.assertEqual([self.successResultOf(each) for each in ended], ["a", "b"])
        self.assertEqual(variable.get(), "unset")

    def test_one_deferred_may_have_a_result_for_others_too(self) -> None:
        """What a coroutine has awaited with success keeps its result, as for ``Deferred.fromCoroutine``."""
        shared: Deferred[int] = Deferred()

        async def coroutine() -> tuple[int, int]:
            await self_started
            return await shared, await shared

        self_started: Deferred[None] = Deferred()
        ended = self.start(coroutine())
        shared.callback(5)
        self_started.callback(None)
        self.settle()
        self.assertEqual(self.successResultOf(ended), (5, 5))


class WithoutLoopTests(BothWays, SynchronousTestCase):
    """Under any reactor but asyncio's."""

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return start(coroutine)

    def test_it_runs_up_to_its_first_wait_at_once(self) -> None:
        waiting = _Waiting()
        start(waiting.run())
        self.assertEqual(waiting.seen, ["begun"])
        waiting.deferred.callback(None)

    def test_awaiting_a_future_says_which_reactor_is_needed(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def coroutine() -> None:
            await loop.create_future()

        failure = self.failureResultOf(start(coroutine()), RuntimeError)
        self.assertIn("reactor='asyncio'", str(failure.value))

    def test_that_error_can_be_caught_where_it_is_awaited(self) -> None:
        async def coroutine() -> str:
            try:
                await asyncio.sleep(0)
            except RuntimeError:
                return str(await succeed("went on"))
            return ""

        self.assertEqual(self.successResultOf(start(coroutine())), "went on")

    def test_what_asks_for_the_event_loop_says_it_too(self) -> None:
        for call in (lambda: asyncio.sleep(1), lambda: asyncio.wait_for(Deferred(), 1)):

            async def coroutine(call: Any = call) -> None:
                await call()

            failure = self.failureResultOf(start(coroutine()), RuntimeError)
            self.assertIn("reactor='asyncio'", str(failure.value))
            self.assertEqual(str(failure.value.__cause__), "no running event loop")

    def test_other_runtime_errors_stay_as_they_are(self) -> None:
        async def coroutine() -> None:
            raise RuntimeError("mine")

        self.assertEqual(str(self.failureResultOf(start(coroutine()), RuntimeError).value), "mine")

    def test_nothing_is_left_for_the_garbage_collector(self) -> None:
        async def coroutine(deferred: Deferred[int]) -> int:
            return await deferred

        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(20):
            deferred: Deferred[int] = Deferred()
            start(coroutine(deferred))
            deferred.callback(1)
        del deferred
        self.assertLess(gc.collect(), 20)


class WithLoopTests(BothWays, SynchronousTestCase):
    """Under the asyncio reactor."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.end)
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, complaint: self.complaints.append(complaint))

    def end(self) -> None:
        """Close the loop; it must have had nothing to complain of."""
        gc.collect()
        self.settle()
        self.loop.close()
        self.assertEqual(self.complaints, [])

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return start(coroutine, self.loop)

    def settle(self) -> None:
        for _ in range(20):  # each is one turn of the loop
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def test_it_is_a_task(self) -> None:
        async def coroutine() -> bool:
            task = asyncio.current_task()
            await succeed(None)
            return task is not None and task is asyncio.current_task()

        self.assertTrue(self.result(coroutine()))

    def test_futures_and_deferreds_in_one_coroutine(self) -> None:
        deferred: Deferred[str] = Deferred()
        future: asyncio.Future[str] = self.loop.create_future()

        async def coroutine() -> str:
            await asyncio.sleep(0)
            return await deferred + await future

        ended = self.start(coroutine())
        self.settle()
        deferred.callback("a")
        self.settle()
        future.set_result("b")
        self.settle()
        self.assertEqual(self.successResultOf(ended), "ab")

    def test_tasks_that_it_begins_may_await_deferreds(self) -> None:
        deferreds: list[Deferred[int]] = [Deferred(), Deferred()]

        async def inner(deferred: Deferred[int]) -> int:
            return await deferred

        async def coroutine() -> list[int]:
            return list(await asyncio.gather(*[inner(deferred) for deferred in deferreds]))

        ended = self.start(coroutine())
        self.settle()
        for number, deferred in enumerate(deferreds):
            deferred.callback(number)
        self.settle()
        self.assertEqual(self.successResultOf(ended), [0, 1])

    def test_gather_takes_deferreds_themselves(self) -> None:
        async def coroutine() -> list[int]:
            return list(await asyncio.gather(succeed(1), succeed(2)))

        self.assertEqual(self.result(coroutine()), [1, 2])

    def test_wait_for_cancels_a_deferred(self) -> None:
        cancelled: list[object] = []
        never: Deferred[None] = Deferred(cancelled.append)

        async def coroutine() -> str:
            try:
                await asyncio.wait_for(never, 1e-9)
            except asyncio.TimeoutError:
                return "timeout"
            return ""

        self.assertEqual(self.result(coroutine()), "timeout")
        self.assertEqual(cancelled, [never])

    def test_cancelling_cancels_a_future(self) -> None:
        future: asyncio.Future[None] = self.loop.create_future()

        async def coroutine() -> None:
            await future

        ended = self.start(coroutine())
        self.settle()
        ended.cancel()
        self.settle()
        self.failureResultOf(ended, CancelledError)
        self.assertTrue(future.cancelled())

    def test_asynchronous_generators(self) -> None:
        deferred: Deferred[int] = Deferred()

        async def numbers() -> Any:
            yield 1
            yield await deferred

        async def coroutine() -> list[int]:
            return [number async for number in numbers()]

        ended = self.start(coroutine())
        self.settle()
        deferred.callback(2)
        self.settle()
        self.assertEqual(self.successResultOf(ended), [1, 2])

    def test_tasks_of_others_are_left_as_they_are(self) -> None:
        async def nothing() -> None:
            pass

        self.result(nothing())  # from now on the loop has our factory
        other = nothing()
        task = self.loop.create_task(other)
        self.assertIs(task.get_coro(), other)
        self.settle()

    def test_the_factory_of_another_still_makes_the_tasks(self) -> None:
        made: list[asyncio.Task[Any]] = []

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
            made.append(asyncio.Task(coroutine, loop=loop, **options))
            return made[-1]

        self.loop.set_task_factory(factory)

        async def coroutine() -> int:
            return int(await succeed(2))

        self.assertEqual([self.result(coroutine()), self.result(coroutine())], [2, 2])
        self.assertEqual(len(made), 2)


class ReactorTests(SynchronousTestCase):
    """Which reactor has an event loop."""

    def test_loop_of(self) -> None:
        class Asyncio:
            _asyncioEventloop = asyncio.new_event_loop()

        self.addCleanup(Asyncio._asyncioEventloop.close)
        self.assertIs(loop_of(Asyncio()), Asyncio._asyncioEventloop)
        self.assertIsNone(loop_of(object()))

    def test_starter(self) -> None:
        async def coroutine() -> int:
            return 3

        self.assertEqual(self.successResultOf(starter(object())(coroutine())), 3)

        class Asyncio:
            _asyncioEventloop = asyncio.new_event_loop()

        loop = Asyncio._asyncioEventloop
        self.addCleanup(loop.close)
        ended = starter(Asyncio())(coroutine())
        self.assertNoResult(ended)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.call_soon(loop.stop)
        loop.run_forever()
        self.assertEqual(self.successResultOf(ended), 3)
