"""Application threads: real ones, because they are what is tested. Nothing sleeps: every wait is for an event."""

from __future__ import annotations

import contextvars
import select
import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorFromThreads
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer_only

from skitai.errors import RequestCancelled
from skitai.testing.clock import Reactor
from skitai.web.workers import Wait, Workers

TIMEOUT = 10.0


class FunctionJob:
    """A function as a job."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def run(self) -> None:
        """Call it."""
        self.function()

    def __str__(self) -> str:
        return "the job"


@implementer_only(IReactorFromThreads)
class WakingReactor(Reactor):
    """Counts how often it is woken, and tells the test."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0
        self.woken = threading.Event()
        self.waiting: list[Any] = []

    def callFromThread(self, callable: Any, *args: object, **kwargs: object) -> None:
        """Keep the call for ``run_calls``."""
        self.wakes += 1
        self.waiting.append((callable, args))
        self.woken.set()

    def run_calls(self) -> None:
        """Do what threads asked for."""
        self.woken.wait(TIMEOUT)
        self.woken.clear()
        calls, self.waiting = self.waiting, []
        for function, args in calls:
            function(*args)


class WorkersTests(SynchronousTestCase):
    """Queue, threads, and the way back."""

    def setUp(self) -> None:
        self.reactor = WakingReactor()
        self.pool = ThreadPool(0, 8)
        self.pool.start()
        self.addCleanup(self.pool.stop)

    def workers(self, threads: int = 1, max_queued: int = 10, max_extra: int = 0) -> Workers:
        """Return started workers that end with the test."""
        workers = Workers(self.reactor, self.pool, threads, max_queued, max_extra)
        workers.start()
        self.addCleanup(workers.stop)
        return workers

    def block(self, workers: Workers) -> threading.Event:
        """Occupy one thread until the event that is returned is set."""
        running, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def wait() -> None:
            running.set()
            release.wait(TIMEOUT)

        workers.submit(FunctionJob(wait))
        self.assertTrue(running.wait(TIMEOUT))
        return release

    def wait_on_reactor(self, workers: Workers, results: list[object]) -> Deferred[object]:
        """Have a thread wait for the Deferred that is returned, until that has come to the reactor."""
        waiting: Deferred[object] = Deferred()
        asked = threading.Event()

        def ask() -> Deferred[object]:
            asked.set()
            return waiting

        workers.submit(FunctionJob(lambda: results.append(workers.block(ask))))
        while not asked.is_set():
            self.reactor.run_calls()
        return waiting

    def test_quiet(self) -> None:
        """It is not while something waits for the reactor, nor while that does it."""
        workers = self.workers(threads=0)
        self.assertTrue(workers.is_quiet())
        seen: list[bool] = []
        workers.to_reactor(lambda: seen.append(workers.is_quiet()))
        self.assertFalse(workers.is_quiet())
        workers._run_calls()
        self.assertEqual((seen, workers.is_quiet()), ([False], True))

    def test_a_thread_waits_for_the_reactor(self) -> None:
        workers = self.workers()
        results: list[object] = []
        waiting = self.wait_on_reactor(workers, results)
        self.assertEqual(results, [])
        waiting.callback("result")
        self.finish(workers)
        self.assertEqual(results, ["result"])

    def finish(self, workers: Workers) -> None:
        """Return when everything submitted so far has been done by a single thread."""
        done = threading.Event()
        workers.submit(FunctionJob(done.set))
        self.assertTrue(done.wait(TIMEOUT))

    def test_a_failure_is_raised_where_it_was_waited_for(self) -> None:
        workers = self.workers()
        waiting = self.wait_on_reactor(workers, [])
        waiting.errback(ZeroDivisionError())
        self.finish(workers)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_wait_is_over_after_its_time(self) -> None:
        """Whatever the reactor does; who ends it later changes nothing."""
        workers = self.workers()
        waits: list[Wait] = []
        ended: list[bool] = []
        workers.submit(FunctionJob(lambda: ended.append(workers.wait(lambda wait: not waits.append(wait), 0.0))))
        self.finish(workers)
        self.assertEqual(ended, [False])
        waits[0].callback(None)
        waits[0].callback(None)

    def test_nothing_to_wait_for(self) -> None:
        self.assertTrue(self.workers().wait(lambda wait: False, 5.0))

    def test_a_wait_that_ends_before_it_has_begun(self) -> None:
        def begin(wait: Wait) -> bool:
            wait.callback(None)
            return True

        self.assertTrue(self.workers().wait(begin, 5.0))

    def test_another_thread_runs_in_the_place_of_one_that_waits(self) -> None:
        workers = self.workers(max_extra=1)
        results: list[object] = []
        waiting = self.wait_on_reactor(workers, results)
        self.finish(workers)  # by the one in its place
        waiting.callback("result")
        while not results:
            self.finish(workers)

    def test_as_many_as_may(self) -> None:
        workers = self.workers(max_extra=2)
        results: list[object] = []
        waiting = [self.wait_on_reactor(workers, results) for _ in range(3)]
        idle = threading.Event()
        workers.submit(FunctionJob(idle.set))
        self.assertFalse(idle.is_set())
        self.assertEqual(workers.queued, 1)
        for deferred in waiting:
            deferred.callback(None)
        self.assertTrue(idle.wait(TIMEOUT))

    def test_one_too_many_ends_or_waits_in_the_place_of_the_next(self) -> None:
        workers = self.workers(max_extra=1)
        for _ in range(20):
            results: list[object] = []
            waiting = self.wait_on_reactor(workers, results)
            waiting.callback("result")
            while not results:
                self.finish(workers)
        # Of all that ever ran one is left: two jobs are not run at once.
        release = self.block(workers)
        second = threading.Event()
        workers.submit(FunctionJob(second.set))
        self.assertFalse(second.wait(0.05))
        release.set()
        self.assertTrue(second.wait(TIMEOUT))

    def test_no_thread_for_the_place_of_one_that_waits(self) -> None:
        """The wait goes on, the others run, and the stop finds everybody."""
        workers = Workers(self.reactor, self.pool, 1, 10, 4)
        workers.start()
        call = self.pool.callInThread

        def fail(*args: object) -> None:
            raise RuntimeError("can't start new thread")

        results: list[object] = []
        self.patch(self.pool, "callInThread", fail)
        first = self.wait_on_reactor(workers, results)
        first.callback("first")
        self.finish(workers)
        self.patch(self.pool, "callInThread", call)
        second = self.wait_on_reactor(workers, results)
        self.finish(workers)  # by the one in its place
        stopped: list[object] = []
        workers.stop().addCallback(stopped.append)
        self.assertEqual(stopped, [])
        second.callback("second")
        for _ in range(20):
            if not stopped:
                self.reactor.run_calls()
        self.assertEqual((results, stopped), (["first", "second"], [None]))

    def test_nor_while_the_threads_are_told_to_end(self) -> None:
        workers = Workers(self.reactor, self.pool, 1, 10, 4)
        workers.start()
        stopped: list[object] = []

        def stop_then_fail(*args: object) -> None:
            workers.stop().addCallback(stopped.append)
            raise RuntimeError("can't start new thread")

        results: list[object] = []
        self.patch(self.pool, "callInThread", stop_then_fail)
        self.wait_on_reactor(workers, results).callback("result")
        for _ in range(20):
            if not stopped:
                self.reactor.run_calls()
        self.assertEqual((results, stopped), (["result"], [None]))

    def test_one_that_comes_back_when_no_more_may_run_goes_on(self) -> None:
        workers = self.workers(max_extra=1)
        results: list[object] = []
        first, second = (self.wait_on_reactor(workers, results) for _ in range(2))
        second.callback("second")
        self.finish(workers)
        self.assertEqual(results, ["second"])
        first.callback("first")

    def test_stop_while_threads_wait(self) -> None:
        workers = Workers(self.reactor, self.pool, 1, 10, 4)
        workers.start()
        results: list[object] = []
        waiting = [self.wait_on_reactor(workers, results) for _ in range(3)]
        stopped: list[object] = []
        workers.stop().addCallback(stopped.append)
        for deferred in waiting:
            deferred.callback("result")
        while not stopped:
            self.reactor.run_calls()
        self.assertEqual(results, ["result"] * 3)

    def test_release_ends_all_waits_and_refuses_further_ones(self) -> None:
        workers = self.workers()
        caught: list[str] = []
        asked: list[object] = []

        def wait() -> None:
            try:
                workers.block(lambda: asked.append(1) or Deferred())  # type: ignore[func-returns-value]
            except RequestCancelled as error:
                caught.append(str(error))

        threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(asked) < 3:
            self.reactor.run_calls()
        self.assertEqual(caught, [])
        workers.release()
        workers.release()
        for thread in threads:
            thread.join(TIMEOUT)
        wait()  # at once, though no reactor runs
        self.assertEqual(caught, ["the server has stopped"] * 4)

    def test_release_ends_a_wait_that_the_reactor_has_not_seen_yet(self) -> None:
        workers = self.workers()
        caught: list[type] = []
        asked: list[object] = []

        def wait() -> None:
            try:
                workers.block(lambda: asked.append(1) or Deferred())  # type: ignore[func-returns-value]
            except RequestCancelled as error:
                caught.append(type(error))

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        self.assertTrue(self.reactor.woken.wait(TIMEOUT))
        workers.release()
        thread.join(TIMEOUT)
        self.reactor.run_calls()
        self.assertEqual((caught, asked), ([RequestCancelled], []))

    def test_a_function_that_fails_in_the_reactor_fails_the_wait(self) -> None:
        workers = self.workers()
        caught: list[type] = []

        def wait() -> None:
            try:
                workers.block(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
            except ZeroDivisionError as error:
                caught.append(type(error))

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        self.reactor.run_calls()
        thread.join(TIMEOUT)
        self.assertEqual(caught, [ZeroDivisionError])

    def test_a_job_runs_in_another_thread(self) -> None:
        workers = self.workers()
        done = threading.Event()
        seen: list[bool] = []
        workers.submit(FunctionJob(lambda: (seen.append(workers.in_reactor()), done.set())))
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(seen, [False])
        self.assertTrue(workers.in_reactor())

    def test_jobs_run_at_once_in_as_many_threads(self) -> None:
        workers = self.workers(threads=4)
        barrier = threading.Barrier(5)
        for _ in range(4):
            workers.submit(FunctionJob(lambda: barrier.wait(TIMEOUT)))
        barrier.wait(TIMEOUT)

    def test_full_queue_refuses(self) -> None:
        workers = self.workers(max_queued=2)
        self.block(workers)
        accepted = [workers.submit(FunctionJob(lambda: None)) for _ in range(3)]
        self.assertEqual(accepted, [True, True, False])

    def test_who_insists_is_not_refused(self) -> None:
        workers = Workers(self.reactor, self.pool, 1, 1)
        workers.start()
        release = self.block(workers)
        ran: list[str] = []
        self.assertTrue(workers.submit(FunctionJob(lambda: ran.append("submitted"))))
        self.assertFalse(workers.submit(FunctionJob(lambda: ran.append("refused"))))
        workers.insist(FunctionJob(lambda: ran.append("insisted")))
        stopped: Deferred[None] = workers.stop()
        release.set()
        self.reactor.run_calls()
        self.successResultOf(stopped)
        self.assertEqual(ran, ["submitted", "insisted"])

    def test_what_comes_too_late_is_logged(self) -> None:
        workers = Workers(self.reactor, self.pool, 1, 1)
        workers.start()
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        workers.stop()
        workers.insist(FunctionJob(lambda: None))
        self.assertIn("the job came too late", str(formatEvent(events[-1])))

    def test_cancelled_job_never_runs_and_makes_room(self) -> None:
        workers = self.workers(max_queued=1)
        release = self.block(workers)
        ran: list[str] = []
        job = FunctionJob(lambda: ran.append("cancelled"))
        workers.submit(job)
        self.assertTrue(workers.cancel(job))
        self.assertFalse(workers.cancel(job))
        done = threading.Event()
        self.assertTrue(workers.submit(FunctionJob(done.set)))
        release.set()
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(ran, [])

    def test_running_job_can_not_be_cancelled(self) -> None:
        workers = self.workers()
        self.block(workers)
        [(job, _)] = workers.busy()
        self.assertFalse(workers.cancel(job))

    def test_busy_tells_what_runs(self) -> None:
        workers = self.workers()
        self.block(workers)
        [(job, seconds)] = workers.busy()
        self.assertEqual(str(job), "the job")
        self.assertGreaterEqual(seconds, 0)

    def test_idle_is_who_has_nothing_to_do_and_nothing_to_hand_over(self) -> None:
        workers = self.workers()
        self.assertTrue(workers.idle)
        release = self.block(workers)
        self.assertFalse(workers.idle)
        workers.submit(FunctionJob(lambda: workers.to_reactor(int)))
        release.set()
        self.assertTrue(self.reactor.woken.wait(TIMEOUT))
        last = self.block(workers)  # the one before is over
        last.set()
        while workers.busy():
            pass
        self.assertFalse(workers.idle)
        self.reactor.run_calls()
        self.assertTrue(workers.idle)

    def test_job_that_raises_is_logged_and_the_thread_lives(self) -> None:
        workers = self.workers()

        def fail() -> None:
            raise ZeroDivisionError

        done = threading.Event()
        workers.submit(FunctionJob(fail))
        workers.submit(FunctionJob(done.set))
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_context_variables_do_not_leak_into_the_next_job(self) -> None:
        workers = self.workers()
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
        seen: list[str] = []
        done = threading.Event()
        workers.submit(FunctionJob(lambda: variable.set("first")))
        workers.submit(FunctionJob(lambda: (seen.append(variable.get()), done.set())))
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(seen, ["unset"])

    def test_calls_to_the_reactor_keep_their_order_and_share_a_wake_up(self) -> None:
        workers = self.workers()
        done = threading.Event()
        order: list[int] = []

        def call() -> None:
            for number in range(100):
                workers.to_reactor(order.append, number)
            done.set()

        workers.submit(FunctionJob(call))
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(self.reactor.wakes, 1)
        self.reactor.run_calls()
        self.assertEqual(order, list(range(100)))

    def test_a_reactor_that_can_wait_for_a_pipe_is_woken_by_one(self) -> None:
        """Until the threads have ended; what comes later takes the usual way, and nothing is lost between."""
        readers: list[Any] = []
        directlyProvides(self.reactor, IReactorFDSet)
        self.reactor.addReader = readers.append  # type: ignore[attr-defined]
        self.reactor.removeReader = readers.remove  # type: ignore[attr-defined]
        workers = Workers(self.reactor, self.pool, 1, 10)
        workers.start()
        order: list[int] = []
        workers.to_reactor(order.append, 1)
        self.assertEqual((order, self.reactor.wakes), ([], 0))
        readers[0].doRead()
        self.assertEqual(order, [1])
        stopped = workers.stop()
        while not stopped.called:
            self.assertTrue(select.select(readers, [], [], TIMEOUT)[0])
            workers.to_reactor(order.append, 2)
            readers[0].doRead()
        self.reactor.run_calls()
        workers.to_reactor(order.append, 3)
        self.reactor.run_calls()
        self.assertEqual((order[0], order[-1], readers, self.reactor.wakes), (1, 3, [], 2))

    def test_a_call_that_fails_does_not_stop_the_others(self) -> None:
        workers = self.workers()
        order: list[int] = []
        workers.to_reactor(lambda: 1 / 0)
        workers.to_reactor(order.append, 1)
        self.reactor.run_calls()
        self.assertEqual(order, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_without_threads_jobs_run_at_once(self) -> None:
        workers = self.workers(threads=0)
        ran: list[bool] = []
        workers.submit(FunctionJob(lambda: ran.append(workers.in_reactor())))
        workers.insist(FunctionJob(lambda: ran.append(workers.in_reactor())))
        self.assertEqual(ran, [True, True])

    def test_stop_waits_for_what_runs_and_what_is_queued(self) -> None:
        workers = Workers(self.reactor, self.pool, 1, 10)
        workers.start()
        release = self.block(workers)
        ran: list[str] = []
        workers.submit(FunctionJob(lambda: ran.append("queued")))
        stopped: Deferred[None] = workers.stop()
        self.assertNoResult(stopped)
        release.set()
        self.reactor.run_calls()
        self.successResultOf(stopped)
        self.assertEqual(ran, ["queued"])

    def test_idle_threads_count_before_the_queue(self) -> None:
        """What threads are about to take does not wait."""
        workers = Workers(self.reactor, self.pool, 2, 1)  # not started: nothing is taken yet
        job = FunctionJob(lambda: None)
        self.assertEqual([workers.submit(job) for _ in range(5)], [True, True, True, False, False])
