"""Tests of ``skitai.testing.workers``."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Clock, InlineWorkers, SteppingWorkers
from skitai.web.workers import WorkerPool, Workers

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Task:
    """A job."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def run(self) -> None:
        """Do it."""
        self.action()


def fail() -> None:
    """Raise."""
    raise LookupError("a job failed")


class BothTests(SynchronousTestCase):
    """What both pools have in common with the real one."""

    def test_interface(self) -> None:
        """They have every public name that the real one has."""
        names = {name for name in vars(Workers) if not name.startswith("_")}
        for pool in (InlineWorkers, SteppingWorkers):
            self.assertEqual(names - set(dir(pool)), set())
        pools: list[WorkerPool] = [InlineWorkers(Clock()), SteppingWorkers(Clock())]
        self.assertEqual([pool.in_reactor() for pool in pools], [True, True])

    def test_to_reactor(self) -> None:
        """What is handed over runs at the next turn, in order."""
        for make in (InlineWorkers, SteppingWorkers):
            clock = Clock()
            done: list[int] = []
            pool = make(clock)
            pool.to_reactor(done.append, 1)
            pool.to_reactor(done.append, 2)
            self.assertEqual(done, [])
            clock.advance(0)
            self.assertEqual(done, [1, 2])

    def test_context(self) -> None:
        """Jobs see no context variables of others and leave none."""
        seen: list[str] = []

        def job() -> None:
            seen.append(variable.get())
            variable.set("job")

        token = variable.set("test")
        self.addCleanup(variable.reset, token)
        inline, stepping = InlineWorkers(Clock()), SteppingWorkers(Clock())
        for pool in (inline, stepping):
            pool.submit(Task(job))
            pool.submit(Task(job))
        stepping.run_all()
        self.assertEqual(seen, ["unset"] * 4)
        self.assertEqual(variable.get(), "test")


class InlineTests(SynchronousTestCase):
    """Jobs run at once."""

    def test_runs(self) -> None:
        """A submitted job has run; there is nothing left to cancel."""
        done: list[int] = []
        pool = InlineWorkers(Clock())
        pool.start()
        job = Task(lambda: done.append(1))
        self.assertTrue(pool.submit(job))
        self.assertEqual(done, [1])
        self.assertFalse(pool.cancel(job))
        self.assertEqual((pool.queued, pool.busy()), (0, []))
        self.successResultOf(pool.stop())

    def test_error(self) -> None:
        """What a job lets through reaches the test."""
        self.assertRaises(LookupError, InlineWorkers(Clock()).submit, Task(fail))


class SteppingTests(SynchronousTestCase):
    """Jobs run when the test says so."""

    def test_order(self) -> None:
        """Jobs run one by one, in the order submitted."""
        done: list[int] = []
        pool = SteppingWorkers(Clock())
        for number in range(3):
            self.assertTrue(pool.submit(Task(lambda number=number: done.append(number))))  # type: ignore[misc]
        self.assertEqual((done, pool.queued), ([], 3))
        self.assertTrue(pool.step())
        self.assertEqual((done, pool.queued), ([0], 2))
        self.assertEqual(pool.run_all(), 2)
        self.assertEqual(done, [0, 1, 2])
        self.assertFalse(pool.step())

    def test_bound(self) -> None:
        """The queue has a bound."""
        pool = SteppingWorkers(Clock(), max_queued=1)
        self.assertTrue(pool.submit(Task(fail)))
        self.assertFalse(pool.submit(Task(fail)))
        self.assertEqual(pool.queued, 1)

    def test_who_insists(self) -> None:
        """The bound does not count for jobs that must not be refused."""
        done: list[int] = []
        pool = SteppingWorkers(Clock(), max_queued=1)
        for number in range(3):
            pool.insist(Task(lambda number=number: done.append(number)))  # type: ignore[misc]
        self.assertEqual((pool.run_all(), done), (3, [0, 1, 2]))
        InlineWorkers(Clock()).insist(Task(lambda: done.append(3)))
        self.assertEqual(done, [0, 1, 2, 3])

    def test_cancel(self) -> None:
        """A cancelled job never runs; only one that waits can be cancelled."""
        pool = SteppingWorkers(Clock())
        job = Task(fail)
        pool.submit(job)
        self.assertTrue(pool.cancel(job))
        self.assertFalse(pool.cancel(job))
        self.assertFalse(pool.step())

    def test_in_thread(self) -> None:
        """While a job runs, it is not the reactor's turn, and the pool is busy with it."""
        clock = Clock()
        pool = SteppingWorkers(clock)
        seen: list[object] = []

        def action() -> None:
            clock.advance(3)
            seen.append(pool.in_reactor())
            seen.append(pool.busy())

        job = Task(action)
        pool.submit(job)
        pool.step()
        self.assertEqual(seen, [False, [(job, 3)]])
        self.assertTrue(pool.in_reactor())
        self.assertEqual(pool.busy(), [])

    def test_error(self) -> None:
        """What a job lets through reaches the test, and the pool goes on."""
        pool = SteppingWorkers(Clock())
        pool.submit(Task(fail))
        self.assertRaises(LookupError, pool.step)
        self.assertTrue(pool.in_reactor())

    def test_nested(self) -> None:
        """A job can not run another one in its own thread."""
        pool = SteppingWorkers(Clock())
        pool.submit(Task(pool.step))
        pool.submit(Task(fail))
        self.assertRaises(RuntimeError, pool.step)

    def test_stop(self) -> None:
        """It has stopped once what waits has run."""
        pool = SteppingWorkers(Clock())
        done: list[int] = []
        pool.submit(Task(lambda: done.append(1)))
        stopped = pool.stop()
        self.assertNoResult(stopped)
        pool.step()
        self.successResultOf(stopped)
        self.assertEqual(done, [1])
        self.successResultOf(SteppingWorkers(Clock()).stop())
