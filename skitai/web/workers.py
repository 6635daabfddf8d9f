"""The one place where threads and the reactor meet.

Application threads are long-running loops in the reactor's thread pool, fed by one queue: handing a job over costs one
append and one token instead of a ``callInThread`` each. What threads have for the reactor is collected, and the reactor
is woken once a batch.

A thread that waits for something on the reactor (``wait``, ``block``) burns no time of the processor, so another one
runs in its place meanwhile. When it goes on there is one thread too many; the next one that would take a job ends
instead, or takes the place of the next one that waits.

When the reactor ends, nothing that a thread waits for can happen any more: ``release`` ends all waits then, and refuses
further ones.

Nothing else in Skitai calls ``callFromThread`` or ``callInThread``. It must not know what a job is.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from skitai.errors import RequestCancelled
from skitai.web.waker import Waker

_log = Logger(namespace="skitai.server")


class Job(Protocol):
    """Work for an application thread. Its ``str`` says in a log line what it is."""

    def run(self) -> None:
        """Do the work. Thread: application."""


class WorkerPool(Protocol):
    """What handlers need of the application threads; ``skitai.testing`` has others than ``Workers``."""

    def submit(self, job: Job) -> bool:
        """Queue ``job``; return False when the queue is full. Thread: reactor."""

    def cancel(self, job: Job) -> bool:
        """Take ``job`` out of the queue; return whether it was still there. Thread: reactor."""

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor. Thread: any."""

    def in_reactor(self) -> bool:
        """Tell whether the caller is the reactor thread. Thread: any."""


class Workers:
    """Application threads.

    Args:
        reactor: To be woken when threads have something for it.
        pool: The reactor's thread pool, large enough for ``threads`` more.
        threads: How many loops to run; 0 runs every job at once in the reactor thread.
        max_queued: How many jobs may wait for a thread.
        max_extra: How many more loops may run in the place of threads that wait.
    """

    def __init__(
        self, reactor: IReactorFromThreads, pool: ThreadPool, threads: int, max_queued: int, max_extra: int = 0
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._threads = threads
        self._max_queued = max_queued
        self._max_extra = max_extra
        self._lock = threading.Lock()
        self._extra = 0
        self._running = threads  # loops that do not wait for the reactor
        self._jobs: deque[Job] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._woken = False
        self._calling = False
        self._waker: Waker | None = None
        self._busy: dict[int, tuple[Job, float]] = {}
        self._waits: set[Wait] = set()
        self._released = False
        self._loops = 0
        self._stopped: Deferred[None] | None = None
        self._reactor_thread = threading.get_ident()

    def start(self) -> None:
        """Start the loops. Thread: reactor."""
        self._reactor_thread = threading.get_ident()
        if IReactorFDSet.providedBy(self._reactor):
            self._waker = Waker(self._reactor, self._run_calls)
        self._loops = self._threads
        for _ in range(self._threads):
            self._pool.callInThread(self._loop)

    def stop(self) -> Deferred[None]:
        """End the loops; what is queued still runs before.

        Returns:
            Fires when the last loop has ended; never, when a job never returns.

        Thread: reactor.
        """
        with self._lock:
            stopped: Deferred[None] = Deferred()
            self._stopped = stopped
            loops = self._loops
        if not loops:
            self._all_ended(stopped)
        for _ in range(loops):
            self._tokens.put(False)
        return stopped

    def submit(self, job: Job) -> bool:
        """Queue ``job``; return False when ``max_queued`` are waiting. Thread: reactor."""
        if self._threads and len(self._jobs) >= self._max_queued and not self._has_idle_thread():
            return False
        self.insist(job)
        return True

    def insist(self, job: Job) -> None:
        """Queue ``job``, however many are waiting: something else bounds how many of its kind there are.

        Thread: reactor.
        """
        if not self._threads:
            self._run(job, self._reactor_thread)
            return
        if self._stopped is not None:
            _log.warn("{job} came too late: the application threads have been told to end", job=job)
        self._jobs.append(job)
        self._tokens.put(True)

    def _has_idle_thread(self) -> bool:
        """Tell whether some of what is queued does not wait, but is about to be taken."""
        return len(self._jobs) - self._max_queued < self._threads + self._extra - len(self._busy)

    def cancel(self, job: Job) -> bool:
        """Take ``job`` out of the queue; return whether it was still there. Thread: reactor."""
        while True:
            try:
                self._jobs.remove(job)
            except ValueError:
                return False
            except IndexError:  # a thread took another job while the queue was searched
                continue
            return True

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor, in order; one wake-up serves all that come before it. Thread: any."""
        self._calls.append((function, args))
        if not self._woken:
            self._woken = True
            self._wake()

    def is_quiet(self) -> bool:
        """Tell whether the reactor has done all that threads have asked it to. Thread: any."""
        return not self._calls and not self._calling

    def _wake(self) -> None:
        waker = self._waker
        if waker is not None:
            waker.wake()
        else:  # before the start, after the end, and on a reactor that can wait for no pipe
            self._reactor.callFromThread(self._run_calls)

    def in_reactor(self) -> bool:
        """Tell whether the caller is the reactor thread. Thread: any."""
        return threading.get_ident() == self._reactor_thread

    def wait(self, begin: Callable[[Wait], bool], seconds: float) -> bool:
        """Wait until somebody ends the wait that ``begin`` is given.

        Args:
            begin: Called in this thread, to see to that; returns False where there is nothing to wait for any more.
            seconds: At most; -1 for ever.

        Returns:
            Whether it has ended, and not the time.

        Raises:
            RequestCancelled: The server has stopped, before or meanwhile.

        Thread: any but the reactor's. An application thread has another one run in its place meanwhile.
        """
        wait = Wait()
        with self._lock:
            if self._released:
                raise _stopped()
            self._waits.add(wait)
        counts = False
        try:
            if not begin(wait):
                return True
            counts = threading.get_ident() in self._busy
            if counts:
                self._replace()
            return wait.wait(seconds)
        finally:
            with self._lock:
                self._waits.discard(wait)
                if counts:
                    self._running += 1

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Call ``function`` in the reactor and wait for what its Deferred fires with; see ``wait``.

        Raises:
            RequestCancelled: The server has stopped, before or meanwhile.
        """
        outcome: list[Any] = []

        def begin(wait: Wait) -> bool:
            self.to_reactor(call, wait)
            return True

        def call(wait: Wait) -> None:
            if wait.called:  # the server has stopped
                return
            try:
                function(*args).addBoth(outcome.append).addBoth(wait.callback)
            except Exception:
                outcome.append(Failure())  # type: ignore[no-untyped-call]
                wait.callback(None)

        self.wait(begin, -1.0)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def release(self) -> None:
        """End all waits, those that begin from now on too: the reactor does nothing for them any more.

        Thread: reactor.
        """
        with self._lock:
            self._released = True
            waits = list(self._waits)
        for wait in waits:
            wait.cancel()

    def busy(self) -> list[tuple[Job, float]]:
        """Return the jobs that are running and since how many seconds. Thread: any."""
        now = monotonic()
        return [(job, now - since) for job, since in list(self._busy.values())]

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._jobs)

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs, nor has left anything for the reactor. Thread: reactor.

        For a moment a job neither waits nor runs, since a thread has just taken it: who has to be sure looks again.
        """
        # In this order: what a job leaves for the reactor is there before the job is gone.
        return not self._jobs and not self._busy and not self._calls

    def _replace(self) -> None:
        """Take note that this thread waits; have another one run in its place, unless there must not be more."""
        with self._lock:
            self._running -= 1
            enough = self._running >= self._threads or self._extra >= self._max_extra
            if enough or self._stopped is not None:
                return
            self._running += 1
            self._extra += 1
            self._loops += 1
        try:
            self._pool.callInThread(self._loop)
        except Exception as error:  # the system has no more threads: it goes without
            _log.warn("no thread runs in the place of one that waits: {error}", error=error)
            with self._lock:
                self._running -= 1
                self._extra -= 1
            self.to_reactor(self._loop_ended)

    def _retire(self) -> bool:
        """Tell whether this thread is to end, since there is one too many; if so, the token it took is given back."""
        with self._lock:
            if self._running <= self._threads or self._stopped is not None:
                return False
            self._running -= 1
            self._extra -= 1
            self._tokens.put(True)  # its job is for another one; before those that ``stop`` puts
            return True

    def _run_calls(self) -> None:
        # Cleared before the calls are taken: a call appended after the last is taken then wakes the reactor again.
        self._woken = False
        self._calling = True
        calls = self._calls
        for _ in range(len(calls)):
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception:
                _log.failure("{function} failed in the reactor", function=function)
        self._calling = False

    def _loop(self) -> None:
        thread = threading.get_ident()
        take, next_job = self._tokens.get, self._jobs.popleft
        while take():
            if self._running > self._threads and self._retire():
                break
            try:
                job = next_job()
            except IndexError:  # the job of this token was cancelled
                continue
            self._run(job, thread)
            del job
        self.to_reactor(self._loop_ended)

    def _run(self, job: Job, thread: int) -> None:
        self._busy[thread] = (job, monotonic())
        try:
            # Context variables that an application sets end with its request instead of leaking into the next one.
            contextvars.Context().run(job.run)
        except BaseException:
            _log.failure("{job} failed", job=job)
        self._busy.pop(thread, None)  # on the reactor a job may end inside another

    def _loop_ended(self) -> None:
        with self._lock:
            self._loops -= 1
            done = self._stopped if not self._loops else None
        if done is not None:
            self._all_ended(done)

    def _all_ended(self, done: Deferred[None]) -> None:
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.stop()
            self._reactor.callFromThread(self._run_calls)  # what somebody has woken the pipe for just now
        done.callback(None)


class Wait:
    """A thread that waits. It looks like a Deferred to who ends it.

    Attributes:
        called: Whether it waits no longer.
    """

    __slots__ = ("_cancelled", "_lock", "called")

    def __init__(self) -> None:
        self.called = False
        self._cancelled = False
        # Held until the wait ends; the cheapest of all ways to wait.
        self._lock = threading.Lock()
        self._lock.acquire()

    def callback(self, result: object) -> None:
        """Let the thread go on; only the first call does. Thread: reactor."""
        if not self.called:
            self.called = True
            self._lock.release()

    def cancel(self) -> None:
        """Let it go on with ``RequestCancelled``. Thread: reactor."""
        if not self.called:
            self._cancelled = True
            self.callback(None)

    def wait(self, seconds: float) -> bool:
        """Wait; return whether it was ended. Thread: the one that waits."""
        ended = self._lock.acquire(timeout=seconds)
        if self._cancelled:
            raise _stopped()
        return ended


def _stopped() -> RequestCancelled:
    return RequestCancelled("the server has stopped")
