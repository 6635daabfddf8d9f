"""Application threads that are none: jobs run in the thread of the test, at once or one step at a time.

Both have the interface of ``skitai.web.workers.Workers``. They must not know what a job is.

Thread: the one that runs the test.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from skitai.web.workers import Job, Wait


class InlineWorkers:
    """Run every job at once, in the reactor's thread, as a server with ``threads=0`` does.

    An exception that a job lets through is not logged but raised where the job was submitted, so that the test sees it.

    Args:
        clock: Runs what is handed over to the reactor at its next ``advance``.

    Example::

        clock = Clock()
        workers = InlineWorkers(clock)
        assert workers.submit(job)         # has run already
        clock.advance(0)                   # what it left for the reactor has run, too
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def start(self) -> None:
        """Do nothing: there are no threads to start."""

    def stop(self) -> Deferred[None]:
        """Return a Deferred that has fired already."""
        return succeed(None)

    def submit(self, job: Job) -> bool:
        """Run ``job``, with context variables of its own, and return True."""
        self.insist(job)
        return True

    def insist(self, job: Job) -> None:
        """Run ``job``; see ``submit``."""
        contextvars.Context().run(job.run)

    def cancel(self, job: Job) -> bool:
        """Return False: no job ever waits."""
        return False

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` at the next ``advance`` of the clock."""
        self._clock.callLater(0, function, *args)

    def is_quiet(self) -> bool:
        """Return False: in a test the reactor does everything, in the order in which it was asked to."""
        return False

    def in_reactor(self) -> bool:
        """Return True: jobs run in the reactor's thread."""
        return True

    def wait(self, begin: Callable[[Wait], bool], seconds: float) -> bool:
        """Refuse: jobs run in the reactor's thread, which must not wait."""
        raise RuntimeError("the reactor thread must not wait")

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Refuse: jobs run in the reactor's thread, which must not wait."""
        raise RuntimeError("the reactor thread must not wait")

    def release(self) -> None:
        """Do nothing: nobody waits."""

    def busy(self) -> list[tuple[Job, float]]:
        """Return an empty list: nobody looks while a job runs."""
        return []

    @property
    def queued(self) -> int:
        """How many jobs wait: always 0."""
        return 0

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs: nobody looks while one does."""
        return True


class SteppingWorkers:
    """Keep every job until the test lets the next one run, as if a thread had become free for it.

    While a job runs, ``in_reactor`` is false, so that the code under test takes the ways of an application thread.
    There is no second thread though: a job that waits for the reactor waits for ever, unless ``go_on`` works for it.

    Args:
        clock: Runs what is handed over to the reactor at its next ``advance``, and times the jobs.
        max_queued: How many jobs may wait; more are refused.
        go_on: Lets something happen that a job may wait for; returns False where nothing is to come.

    Attributes:
        max_queued: How many jobs may wait.
        blocked: Whether a job waits for the reactor.
        waiting: The jobs that wait, the next one first.

    Example::

        workers = SteppingWorkers(clock, max_queued=1)
        assert workers.submit(first)
        assert not workers.submit(second)  # the queue is full
        workers.step()                     # first runs
    """

    def __init__(self, clock: IReactorTime, max_queued: int = 1000, go_on: Callable[[], bool] | None = None) -> None:
        self._clock = clock
        self.max_queued = max_queued
        self._go_on = go_on
        self.blocked = False
        self._running: tuple[Job, float] | None = None
        self._stopped: Deferred[None] | None = None
        self.waiting: deque[Job] = deque()

    def start(self) -> None:
        """Do nothing: there are no threads to start."""

    def stop(self) -> Deferred[None]:
        """Take no more jobs.

        Returns:
            Fires when the last waiting job has run.
        """
        self._stopped = Deferred()
        self._tell_stopped()
        return self._stopped

    def submit(self, job: Job) -> bool:
        """Queue ``job``; return False when ``max_queued`` are waiting."""
        if len(self.waiting) >= self.max_queued:
            return False
        self.insist(job)
        return True

    def insist(self, job: Job) -> None:
        """Queue ``job``, however many are waiting."""
        self.waiting.append(job)

    def cancel(self, job: Job) -> bool:
        """Take ``job`` out of the queue; return whether it was still there."""
        try:
            self.waiting.remove(job)
        except ValueError:
            return False
        return True

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` at the next ``advance`` of the clock."""
        self._clock.callLater(0, function, *args)

    def is_quiet(self) -> bool:
        """Return False: in a test the reactor does everything, in the order in which it was asked to."""
        return False

    def in_reactor(self) -> bool:
        """Tell whether the caller is not a job."""
        return self._running is None

    def wait(self, begin: Callable[[Wait], bool], seconds: float) -> bool:
        """Wait until the wait that ``begin`` is given has ended, or the time of the clock is over: ``go_on`` works.

        Returns:
            Whether it has ended, and not the time.

        Raises:
            RuntimeError: Neither comes; the job would wait for ever.
        """
        wait, expired = Wait(), Wait()
        if not begin(wait):
            return True
        timer = self._clock.callLater(seconds, expired.callback, None)
        running, self._running = self._running, None  # what it waits for is in the reactor's thread
        self.blocked = True
        try:
            while not (wait.called or expired.called) and self._go_on is not None and self._go_on():
                pass
        finally:
            self._running = running
            self.blocked = False
            if timer.active():
                timer.cancel()
        if not (wait.called or expired.called):
            raise RuntimeError("what the job waits for can not happen: the test has one thread")
        return wait.called

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Call ``function`` and return what its Deferred fires with: at once, or when ``go_on`` has brought it about.

        Raises:
            RuntimeError: It does not fire; the job would wait for ever.
        """
        outcome: list[Any] = []
        running, self._running = self._running, None  # what it calls is in the reactor's thread
        self.blocked = True
        try:
            function(*args).addBoth(outcome.append)
            while not outcome and self._go_on is not None and self._go_on():
                pass
        finally:
            self._running = running
            self.blocked = False
        if not outcome:
            raise RuntimeError("what the job waits for can not happen: the test has one thread")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def release(self) -> None:
        """Do nothing: nobody waits."""

    def busy(self) -> list[tuple[Job, float]]:
        """Return the job that is running and since how many seconds of the clock."""
        if self._running is None:
            return []
        job, since = self._running
        return [(job, self._clock.seconds() - since)]

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self.waiting)

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs."""
        return not self.waiting and self._running is None and not self.blocked

    def step(self) -> bool:
        """Run the next job, with context variables of its own; return False when none waits.

        An exception that the job lets through is raised here.
        """
        if not self.waiting:
            return False
        if self._running is not None or self.blocked:
            raise RuntimeError("step() in a job: it would run two jobs in one thread")
        job = self.waiting.popleft()
        self._running = (job, self._clock.seconds())
        try:
            contextvars.Context().run(job.run)
        finally:
            self._running = None
            self._tell_stopped()
        return True

    def run_all(self) -> int:
        """Run jobs until none waits; return how many there were."""
        count = 0
        while self.step():
            count += 1
        return count

    def _tell_stopped(self) -> None:
        if self._stopped is not None and not self._stopped.called and not self.waiting:
            self._stopped.callback(None)
