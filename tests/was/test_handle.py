"""``skitai.was.handle`` and ``callbacks``: waiting, awaiting, calling back and giving up."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConnectFailed, RequestCancelled, RequestTimeout
from skitai.was import handle as handle_module
from skitai.was.callbacks import Callback
from skitai.was.coroutines import start
from skitai.was.gathering import Gathering, MapHandle
from skitai.was.handle import Handle
from skitai.was.result import Response
from tests.was.doubles import Asked, Keeper, Threads, answer


def failure() -> Response:
    return Response.of_failure("GET", "http://a.example/", ConnectFailed("nobody is there"))


class HandleTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.threads: Any = Threads(self.clock)
        self.asked = Asked()

    def make(self, asked: Asked | None = None, callback: Any = None, **options: Any) -> Handle:
        made = None if callback is None else Callback(callback, self.threads)
        return Handle(asked or self.asked, self.threads, callback=made, **options).begin()

    def make_in_reactor(self, asked: Asked | None = None, **options: Any) -> Handle:
        self.threads.reactor = True
        return self.make(asked, **options)


class WaitTests(HandleTestCase):
    def test_the_response(self) -> None:
        handle = self.make(meta={"a": 1})
        self.threads.meanwhile = lambda: self.asked.end(answer(b"1"))
        response = handle.getwait()
        self.assertEqual((response.data, response.meta), (1, {"a": 1}))
        self.assertIs(handle.getwait(), response)
        self.assertEqual(list(handle.getswait()), [response])
        handle.wait()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_time_counts_from_the_call(self) -> None:
        handle = self.make()
        self.clock.advance(2.5)
        self.threads.meanwhile = lambda: self.clock.advance(0.4)
        self.assertRaises(AssertionError, handle.getwait, 3)
        self.threads.meanwhile = lambda: self.clock.advance(0.11)
        response = handle.getwait(3)
        self.assertEqual((response.status, response.status_code), (1, 730))
        self.assertIn("http://a.example/ has not answered within 3 seconds", response.reason)
        self.assertEqual(self.asked.cancelled, [True])

    def test_when_the_time_is_over_already(self) -> None:
        handle = self.make()
        self.clock.advance(5)
        self.threads.meanwhile = lambda: self.clock.advance(0)
        self.assertEqual(handle.getwait(3).status, 1)

    def test_a_late_result_does_not_replace_a_time_out(self) -> None:
        handle = self.make()
        self.threads.meanwhile = lambda: self.clock.advance(3)
        self.assertEqual(handle.getwait().status, 1)
        self.asked.end()
        self.assertEqual(handle.getwait().status, 1)
        self.assertRaises(RequestTimeout, handle.wait)
        self.assertRaises(TimeoutError, handle.getwait, reraise=True)
        self.assertRaises(TimeoutError, handle.getswait, reraise=True)
        handle.wait(reraise=False)

    def test_a_wait_that_is_over_does_not_leave_its_clock(self) -> None:
        handle = self.make()
        self.threads.meanwhile = lambda: self.asked.end(failure())
        self.assertRaises(ConnectFailed, handle.wait, 9)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_reactor_must_not_wait_even_for_what_is_there(self) -> None:
        handle = self.make_in_reactor()
        for _ in range(2):
            for wait in (handle.wait, handle.getwait, handle.getswait):
                self.assertIn("await", str(self.assertRaises(RuntimeError, wait)))
            self.asked.end()

    def test_a_timeout_that_is_none(self) -> None:
        handle = self.make()
        for timeout in ("3", None, float("nan"), True):
            self.assertIn("timeout", str(self.assertRaises(TypeError, handle.getwait, timeout)))

    def test_an_endless_timeout_is_bounded(self) -> None:
        handle = self.make()
        self.threads.meanwhile = lambda: self.clock.advance(86_401)
        self.assertEqual(handle.getwait(float("inf")).status, 1)

    def test_nobody_waits_for_a_reactor_that_stops(self) -> None:
        handle = self.make()
        self.threads.closed = True
        self.assertEqual(handle.getwait().status_code, 702)
        self.assertRaises(RequestCancelled, handle.wait)

    def test_a_wait_that_the_stop_has_ended(self) -> None:
        def wait(begin: object, seconds: float) -> bool:
            raise RequestCancelled("the server has stopped")

        handle = self.make()
        self.threads.wait = wait
        self.assertEqual(handle.getwait().reason, "the server has stopped")
        self.clock.advance(0)
        self.asked.end()
        self.assertEqual(handle.getwait().status, 3)

    def test_a_wait_for_a_reactor_that_is_held_up(self) -> None:
        """With ``threads=0`` by a view that waits in another thread, for one."""
        waited: list[float] = []

        def wait(begin: object, seconds: float) -> bool:
            waited.append(seconds)
            return False

        handle = self.make()
        self.threads.wait = wait
        response = handle.getwait(3)
        self.assertEqual((response.status, response.status_code, waited), (1, 730, [3, handle_module.HELD_UP]))
        self.clock.advance(0)
        self.assertIsNone(self.asked.done, "it is too late to begin")
        self.assertIs(handle.getwait(3), response)

    def test_an_operation_that_can_not_begin(self) -> None:
        def broken(done: object) -> None:
            raise KeyError("gone")

        self.asked.start = broken  # type: ignore[method-assign]
        self.assertEqual(self.make().getwait().status, 2)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_what_is_at_hand_needs_no_reactor(self) -> None:
        called: list[Any] = []
        handle = self.make(Asked(answer(b"1")))
        self.assertEqual(handle.getwait().data, 1)
        self.assertEqual(self.threads.hops, 0)
        self.make(Asked(answer(b"1")), callback=called.append)
        self.assertEqual(called, [])
        self.clock.advance(0)
        self.threads.run_jobs()
        self.assertEqual(called[0].data, 1)


class EarlyTests(HandleTestCase):
    """A thread that waits sends the request itself, where the reactor has not come to it."""

    def test_who_waits_sends(self) -> None:
        handle = self.make()
        self.threads.meanwhile = self.asked.end
        self.assertEqual(handle.getwait().status, 3)
        self.assertEqual((len(self.asked.early), self.asked.started), (1, 1))

    def test_not_what_the_reactor_has_begun(self) -> None:
        handle = self.make()
        self.clock.advance(0)
        self.threads.meanwhile = self.asked.end
        handle.getwait()
        self.assertEqual((len(self.asked.early), self.asked.started), (0, 1))

    def test_the_server_may_be_heard_of_before_the_reactor_comes_to_it(self) -> None:
        handle = self.make()

        def send(begin: Any) -> None:
            self.threads.in_reactor_call(begin)
            self.asked.end()

        self.asked.send_early = send  # type: ignore[method-assign]
        self.assertEqual(handle.getwait().status, 3)
        self.clock.advance(0)
        self.assertEqual(self.asked.started, 1)

    def test_not_what_is_to_be_kept(self) -> None:
        """Others may have asked the same, which only the reactor knows."""
        for seconds, early in ((60, 0), (0, 1)):
            asked = Asked()
            handle = self.make(asked).cache(seconds)
            self.threads.meanwhile = asked.end
            handle.getwait()
            self.assertEqual((len(asked.early), asked.started), (early, 1))

    def test_not_past_what_waits_for_the_reactor(self) -> None:
        """A thread that writes, does not wait for that, and reads, wants them to leave in that order."""
        self.threads.quiet = False
        handle = self.make()
        self.threads.meanwhile = self.asked.end
        self.assertEqual(handle.getwait().status, 3)
        self.assertEqual((len(self.asked.early), self.asked.started), (0, 1))

    def test_interrupted_while_it_sends(self) -> None:
        """The reactor goes on with it all the same."""

        def send_early(begin: object) -> None:
            raise KeyboardInterrupt

        self.asked.send_early = send_early  # type: ignore[method-assign]
        handle = self.make()
        self.assertRaises(KeyboardInterrupt, handle.getwait)
        self.clock.advance(0)
        self.assertEqual(self.asked.started, 1)

    def test_not_what_was_given_up(self) -> None:
        handle = self.make()
        handle.cancel()
        self.assertEqual(handle.getwait().status_code, 702)
        self.assertEqual((len(self.asked.early), self.asked.started), (0, 0))

    def test_not_when_the_time_is_over(self) -> None:
        handle = self.make()
        self.threads.meanwhile = lambda: self.clock.advance(0)
        handle.getwait(0)
        self.assertEqual(self.asked.early, [])

    def test_given_up_before_the_reactor_comes_to_it(self) -> None:
        """What the thread has sent must not stay: the operation is told."""
        handle = self.make()
        self.asked.send_early = lambda begin: handle._expire(3)  # type: ignore[method-assign]
        handle.getwait()
        self.clock.advance(0)
        self.assertEqual((self.asked.started, self.asked.cancelled), (0, [True, False]))

    def test_once_however_many_threads_wait(self) -> None:
        handle = self.make()
        self.threads.meanwhile = lambda: self.clock.advance(3)
        handle.getwait()
        handle.getwait()
        self.assertEqual((len(self.asked.early), self.asked.started), (1, 1))


class CancelTests(HandleTestCase):
    def test_from_a_thread(self) -> None:
        handle = self.make()
        handle.cancel()
        self.assertEqual(handle.getwait().status_code, 702)
        self.assertEqual(self.asked.cancelled, [False])

    def test_from_the_reactor_and_too_late(self) -> None:
        handle = self.make_in_reactor()
        handle.cancel()
        handle.cancel()
        self.asked.end()
        self.assertEqual(handle.response().status_code, 702)
        self.assertEqual(self.asked.cancelled, [False])
        other = self.make(Asked())
        other._operation.end()  # type: ignore[attr-defined]
        other.cancel()
        self.assertEqual(other.response().status, 3)


class AwaitTests(HandleTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.threads.reactor = True

    async def fetch(self, awaited: Any) -> Any:
        return await awaited

    def test_the_response(self) -> None:
        handle = self.make()
        fetched = [start(self.fetch(handle)), start(self.fetch(handle))]
        self.assertNoResult(fetched[0])
        self.asked.end()
        self.assertIs(self.successResultOf(fetched[0]), self.successResultOf(fetched[1]))
        self.assertEqual(self.successResultOf(start(self.fetch(handle))).status, 3)

    def test_cancelling_the_coroutine_cancels_both(self) -> None:
        handle = self.make()
        fetched: Deferred[Any] = start(self.fetch(handle))
        fetched.cancel()
        self.failureResultOf(fetched, CancelledError)
        self.assertEqual(self.asked.cancelled, [False])
        self.assertEqual(handle.response().status_code, 702)

    def test_a_request_that_somebody_else_wants_goes_on(self) -> None:
        handle = self.make()
        one, two = start(self.fetch(handle)), start(self.fetch(handle))
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual(self.asked.cancelled, [])
        self.asked.end()
        self.assertEqual(self.successResultOf(two).status, 3)

    def test_so_does_one_with_a_callback(self) -> None:
        handle = self.make(callback=lambda response: None)
        self.clock.advance(0)
        fetched = start(self.fetch(handle))
        fetched.cancel()
        self.failureResultOf(fetched, CancelledError)
        self.assertEqual(self.asked.cancelled, [])

    def test_together(self) -> None:
        asked = [Asked(), Asked()]
        handles = [self.make(one) for one in asked]
        gathered = start(self.fetch(Gathering([handles[0], MapHandle([handles[1]])])))
        asked[1].end(failure())
        self.assertNoResult(gathered)
        asked[0].end()
        one, several = self.successResultOf(gathered)
        self.assertEqual((one.status, several.status), (3, [2]))

    def test_with_asyncio(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        asked = [Asked(), Asked()]

        async def page() -> list[Any]:
            return await asyncio.gather(*[self.make(one) for one in asked])

        def turn() -> None:
            for _ in range(10):
                loop.run_until_complete(asyncio.sleep(0))

        ended = start(page(), loop)
        turn()
        for one in asked:
            one.end()
        turn()
        self.assertEqual([response.status for response in self.successResultOf(ended)], [3, 3])
        ended = start(page(), loop)
        turn()
        ended.cancel()
        turn()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual([one.cancelled for one in asked], [[False], [False]])

    def run_elsewhere(self, coroutine: Any, meanwhile: Any) -> Any:
        """Run a coroutine as a task that the reactor knows nothing of; the reactor works for it in between."""
        self.threads.reactor = False
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        task = loop.create_task(coroutine)
        for step in (*meanwhile, lambda: None):
            for _ in range(5):
                loop.run_until_complete(asyncio.sleep(0))
                self.clock.advance(0)
            self.threads._in_reactor(step)
        return loop.run_until_complete(asyncio.wait_for(task, 5))

    def test_in_a_task_of_another_loop(self) -> None:
        """``asyncio.run`` in a thread, an ``async def`` view of Flask or Django, a task of a startup hook."""
        handle = self.make()
        self.assertEqual(self.run_elsewhere(self.fetch(handle), [self.asked.end]).status, 3)
        self.assertEqual(self.run_elsewhere(self.fetch(handle), []).status, 3)

    def test_together_in_a_task_of_another_loop(self) -> None:
        asked = [Asked(), Asked()]
        handles = [self.make(one) for one in asked]

        async def page() -> list[Any]:
            return [*await Gathering(handles), *await asyncio.gather(*handles)]

        found = self.run_elsewhere(page(), [asked[1].end, asked[0].end])
        self.assertEqual([response.status for response in found], [3] * 4)

    def test_cancelled_in_a_task_of_another_loop(self) -> None:
        handle = self.make()

        async def impatient() -> None:
            try:
                await asyncio.wait_for(handle, 0.001)
            except asyncio.TimeoutError:
                return
            raise AssertionError("it was answered")

        self.run_elsewhere(impatient(), [lambda: time.sleep(0.01)])
        self.clock.advance(0)
        self.assertEqual(self.asked.cancelled, [False])

    def test_a_loop_that_holds_the_reactor_up(self) -> None:
        """The reactor thread runs it, or waits for it."""
        handle = self.make()
        self.threads.reactor = True
        error = self.assertRaises(RuntimeError, asyncio.run, self.fetch(handle))
        self.assertIn("must not wait", str(error))
        self.threads.reactor = False
        self.asked.timeout = 0.001 - handle_module.HELD_UP
        self.assertEqual(asyncio.run(self.fetch(handle)).status_code, 730)

    def test_the_loop_of_the_reactor(self) -> None:
        handle = self.make()
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        self.threads.loop = loop
        task = loop.create_task(self.fetch(handle))
        loop.run_until_complete(asyncio.sleep(0))
        self.clock.advance(0)
        self.asked.end()
        self.assertEqual(loop.run_until_complete(task).status, 3)

    def test_who_awaits_does_not_wait_for_a_thread_that_filters(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(data: Any) -> Any:
            begun.set()
            go_on.wait(10)
            return "filtered"

        handle = self.make(filter=slow)
        self.asked.end(answer(b"1"))
        thread = threading.Thread(target=handle.response)
        thread.start()
        begun.wait(10)
        fetched = start(self.fetch(handle))
        self.clock.advance(1)
        self.assertNoResult(fetched)
        go_on.set()
        thread.join()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(fetched).data, "filtered")

    def test_a_loop_that_was_closed_meanwhile(self) -> None:
        handle = self.make()
        self.threads.reactor = False
        loop = asyncio.new_event_loop()
        task = loop.create_task(self.fetch(handle))
        loop.run_until_complete(asyncio.sleep(0))
        self.clock.advance(0)
        loop.close()
        self.threads._in_reactor(self.asked.end)
        self.assertEqual(handle.response().status, 3)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def test_neither_on_the_reactor_nor_in_a_task(self) -> None:
        handle = self.make()
        self.threads.reactor = False
        error = self.assertRaises(RuntimeError, handle.__await__().send, None)
        self.assertIn("getwait", str(error))

    def test_together_takes_handles(self) -> None:
        for other in ([self.make()], 5, None):
            error = self.assertRaises(TypeError, Gathering, [other])
            self.assertIn("was.gather(*handles)", str(error))

    def test_together_cancelled_leaves_what_others_want(self) -> None:
        asked = [Asked(), Asked()]
        handles = [self.make(one) for one in asked]
        other = start(self.fetch(handles[1]))
        gathered = start(self.fetch(Gathering(handles)))
        gathered.cancel()
        self.failureResultOf(gathered, CancelledError)
        self.assertEqual([one.cancelled for one in asked], [[False], []])
        asked[1].end()
        self.assertEqual(self.successResultOf(other).status, 3)

    def test_together_cancelled(self) -> None:
        for awaited in (Gathering, MapHandle):
            asked = [Asked(), Asked(), Asked()]
            gathered = start(self.fetch(awaited([self.make(one) for one in asked])))
            asked[0].end()
            gathered.cancel()
            self.failureResultOf(gathered, CancelledError)
            self.assertEqual([one.cancelled for one in asked], [[], [False], [False]])


class CallbackTests(HandleTestCase):
    def test_it_gets_the_response_in_a_thread(self) -> None:
        found: list[Any] = []
        self.make(callback=lambda response: found.append(response))
        self.make(callback=(lambda response, *more: found.append((response.status, *more)), (1, 2)))
        self.make(callback=[lambda response, more: found.append(more), "one"])
        self.clock.advance(0)
        self.asked.end(failure())
        self.assertEqual(found, [])
        self.threads.run_jobs()
        self.assertEqual(found, ["one"])

    def test_each_form(self) -> None:
        found: list[Any] = []
        for callback in (
            lambda response: found.append(response.status),
            (lambda response, *more: found.append(more), (1, 2)),
            [lambda response, more: found.append(more), "one"],
        ):
            asked = Asked()
            self.make(asked, callback=callback)
            self.clock.advance(0)
            asked.end(failure())
            self.threads.run_jobs()
        self.assertEqual(found, [2, (1, 2), "one"])

    def test_coroutine_functions(self) -> None:
        async def back(response: Response) -> None: ...

        for callback in (back, (back, (1,))):
            error = self.assertRaises(TypeError, self.make, callback=callback)
            self.assertIn("async", str(error))

    def test_what_is_none(self) -> None:
        for callback in (1, "f", (1, 2), (print, 1, 2), ()):
            self.assertIn("callback", str(self.assertRaises(TypeError, Callback, callback, self.threads)))

    def test_one_that_raises_is_logged_with_its_name(self) -> None:
        def broken(response: object) -> None:
            raise KeyError("gone")

        self.make(callback=broken)
        self.clock.advance(0)
        self.asked.end()
        self.threads.run_jobs()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_it_names_itself_and_the_request(self) -> None:
        callback = Callback(print, self.threads)
        handle = Handle(self.asked, self.threads, callback=callback)
        callback.queue(handle)
        self.assertIn("callback 'print' of <Handle GET http://a.example/: under way>", str(callback))

    def test_context_variables_follow(self) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        found: list[str] = []
        variable.set("request")
        self.make(callback=lambda response: found.append(variable.get()))
        variable.set("another")
        self.clock.advance(0)
        self.asked.end()
        self.threads.run_jobs()
        self.assertEqual(found, ["request"])

    def test_it_is_called_once_after_the_call_even_on_the_reactor(self) -> None:
        found: list[Any] = []
        self.threads.insist = lambda job: job.run()
        asked = Asked()
        asked.start = lambda done: done(answer())  # type: ignore[method-assign,assignment]
        self.make_in_reactor(asked, callback=found.append)
        self.make_in_reactor(Asked(answer()), callback=found.append)
        self.assertEqual(found, [])
        self.clock.advance(0)
        self.assertEqual(len(found), 2)

    def test_when_done(self) -> None:
        found: list[Any] = []
        handle = self.make()
        handle.when_done(found.append)
        self.clock.advance(0)
        self.assertEqual(found, [])
        self.asked.end()
        self.assertEqual(found, [handle])
        handle.when_done(found.append)
        self.clock.advance(0)
        self.assertEqual(found, [handle, handle])


class FilterTests(HandleTestCase):
    def test_it_changes_the_data_once(self) -> None:
        handle = self.make(filter=lambda data: [data])
        self.clock.advance(0)
        self.asked.end(answer(b"1"))
        self.assertEqual(handle.getwait().data, [1])
        self.assertEqual(handle.getwait().data, [1])

    def test_failures_have_nothing_to_filter(self) -> None:
        handle = self.make(filter=lambda data: data + 1)
        self.clock.advance(0)
        self.asked.end(failure())
        self.assertEqual(handle.getwait().status_code, 701)

    def test_one_that_raises(self) -> None:
        handle = self.make(filter=lambda data: data["no"], meta={"a": 1})
        self.clock.advance(0)
        self.asked.end(answer())
        response = handle.getwait()
        self.assertEqual((response.status, response.meta), (2, {"a": 1}))
        self.assertIn("KeyError", response.reason)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertRaises(KeyError, handle.wait)
        self.assertIs(handle.getwait(), response)

    def test_one_that_ends_the_thread(self) -> None:
        """It does not let the unfiltered data through to who looks next."""
        ends = [SystemExit(), None]

        def function(data: Any) -> Any:
            end = ends.pop(0)
            if end is not None:
                raise end
            return "filtered"

        handle = self.make(filter=function)
        self.clock.advance(0)
        self.asked.end(answer(b"1"))
        self.assertRaises(SystemExit, handle.getwait)
        self.assertEqual(handle.getwait().data, "filtered")

    def test_a_long_document_is_read_once_and_then_filtered(self) -> None:
        handle = self.make(filter=len)
        self.clock.advance(0)
        response = answer(b"12345")
        response.read_with(lambda response: list(response.content), at_once=False)
        self.asked.end(response)
        self.assertEqual([handle.getwait().data, handle.getwait().data], [5, 5])

    def test_two_threads_get_the_same(self) -> None:
        calls: list[Any] = []

        def slow(data: Any) -> Any:
            calls.append(data)
            time.sleep(0.02)
            return "filtered"

        handle = self.make(filter=slow)
        self.clock.advance(0)
        self.asked.end(answer(b"1"))
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(handle.response().data)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((found, calls), (["filtered"] * 4, [1]))


class CacheTests(HandleTestCase):
    def test_a_time_that_is_none(self) -> None:
        for handle in (self.make(), MapHandle([self.make()])):
            for seconds in ("60", None, True, float("nan")):
                error = self.assertRaises(TypeError, handle.cache, seconds)
                self.assertIn(repr(seconds), str(error))

    def test_what_can_not_be_kept_reaches_who_waits(self) -> None:
        class Full(Keeper):
            def keep(self, response: Response, seconds: float) -> None:
                raise OSError("no room")

        handle = self.make_in_reactor().cache(60)
        fetched = start(self.fetch(handle))
        response = answer()
        response.kept_by(Full())
        self.asked.end(response)
        self.assertIs(self.successResultOf(fetched), response)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def fetch(self, awaited: Any) -> Any:
        return await awaited

    def test_a_long_document_is_kept_when_it_has_been_read(self) -> None:
        for content, kept in ((b"12", 1), (b"no number", 0)):
            keeper, asked = Keeper(), Asked()
            handle = self.make_in_reactor(asked).cache(60)
            response = answer(content)
            response.kept_by(keeper)
            response.read_with(lambda response: int(response.content), at_once=False)
            asked.end(response)
            self.assertEqual(keeper.kept, [])
            handle.response()
            self.assertEqual(len(keeper.kept), kept)

    def test_others_may_wait_for_what_is_to_be_kept(self) -> None:
        handle = self.make()
        handle.cache(0)
        handle.cache(60)
        self.assertEqual(self.asked.shared, 0, "not in this thread")
        self.clock.advance(0)
        self.assertEqual(self.asked.shared, 1)
        self.threads.reactor = True
        handle.cache(60)
        self.assertEqual(self.asked.shared, 2)

    def test_before_the_end_and_after(self) -> None:
        keeper = Keeper()
        handle = self.make()
        self.assertIs(handle.cache(60), handle)
        self.clock.advance(0)
        response = answer()
        response.kept_by(keeper)
        self.asked.end(response)
        self.assertEqual(keeper.kept, [(response, 60)])
        handle.cache(0)
        self.assertEqual(keeper.kept[1:], [(response, 0)])


class MapTests(HandleTestCase):
    def test_failures_stand_in_their_place(self) -> None:
        asked = [Asked(), Asked(), Asked()]
        handles = MapHandle([self.make(one) for one in asked])
        self.clock.advance(0)
        asked[2].end(answer(b"3"))
        asked[0].end(failure())
        self.threads.meanwhile = lambda: self.clock.advance(3)
        self.assertEqual(handles.getwait().status_code, [701, 730, 200])
        self.assertEqual(handles.getswait().data, [None, None, 3])
        self.assertRaises(ConnectFailed, handles.wait)
        self.assertRaises(ConnectFailed, handles.getswait, reraise=True)
        handles.wait(reraise=False)

    def test_cancel_and_cache(self) -> None:
        keeper = Keeper()
        asked = [Asked(), Asked()]
        handles = MapHandle([self.make(one) for one in asked])
        self.clock.advance(0)
        self.assertIs(handles.cache(60), handles)
        response = answer()
        response.kept_by(keeper)
        asked[0].end(response)
        handles.cancel()
        self.assertEqual(handles.getswait().status_code, [200, 702])
        self.assertEqual(keeper.kept, [(response, 60)])
        self.assertIn("MapHandle", repr(handles))
