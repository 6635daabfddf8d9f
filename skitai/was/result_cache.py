"""The result cache: what applications keep of the answers to their requests, and one request for all who miss at once.

What is kept is found by a key of everything that tells questions apart (``skitai.was.result_keys``). A store holds it
(``skitai.was.result_store``): the memory of this process, or one that several processes share.

A flight is a request that several wait for. A request may be shared when an application has said that an older answer
is good enough: that it will keep the answer, said while it is on its way (``adopt``, ``share``), or by having kept an
earlier one. All who ask the same meanwhile get the one answer. When an answer has come and nobody keeps it any more,
this ends. Requests whose results nobody keeps are never shared, since they may well be meant to be several. Each waiter
gets what becomes of a flight, failures too; but failures are never kept.

A waiter that leaves does not disturb the others; when the last one leaves, the request is cancelled. Each has its own
deadline, so the request itself should have none: a waiter whose time is up leaves. Nobody joins a flight that somebody
has waited for in vain: it may never land.

What is kept grows old from when its answer came, whoever keeps it again; and an older answer never takes the place of a
newer one, nor that of one that was forgotten: who was slow to look at it does not bring it back.

Applications say how long to keep a result when they have seen it. So a key is known for a second more when an answer
has come, but forgotten when nobody has kept that one.

Layer 3. It must not know Twisted, nor what a result is, nor how it is fetched. Thread: what only reads, keeps and
forgets may be called by any; flights belong to the reactor. Two locks are held for a few steps each and never while
anything foreign is called, but for ``Store``, whose ``put`` and ``expire`` must not wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final, Generic, TypeVar

from skitai.errors import RequestError
from skitai.was.result_store import Store

GRACE: Final = 1.0
"""Seconds that applications have to keep an answer that has come, until its key is one of those that nobody keeps."""

MAX_KNOWN: Final = 4096
"""How many keys that were kept once are remembered, where nobody says; each takes some 200 bytes."""

Value = TypeVar("Value")

Done = Callable[[Value | RequestError, bool], object]
"""Gets what became of a flight, and whether that was kept already."""

Cancel = Callable[[bool], object]
"""Cancels a request; gets whether the time of the last one who waited for it was up."""

Start = Callable[["Flight[Value]"], Cancel | None]
"""Makes the request of a flight, which is to be settled, now or later; returns what cancels it, None for nothing."""


class Waiter(Generic[Value]):
    """One who waits for a flight.

    Attributes:
        flight: What for.
        done: What is called.

    Thread: reactor.
    """

    __slots__ = ("done", "flight")

    def __init__(self, flight: Flight[Value], done: Done[Value]) -> None:
        self.flight = flight
        self.done = done

    def leave(self, expired: bool = False) -> None:
        """Wait no longer: ``done`` is not called any more. The last one to leave cancels the request.

        Args:
            expired: Whether it has waited in vain, so that nobody else begins to.
        """
        self.flight.leave(self, expired)


class Flight(Generic[Value]):
    """A request on its way that one or several wait for. ``ResultCache.join`` makes it.

    Thread: reactor.
    """

    __slots__ = ("_cache", "_cancel", "_ended", "_key", "_waiters")

    def __init__(self, cache: ResultCache[Value], key: bytes) -> None:
        self._cache = cache
        self._key = key
        self._waiters: dict[Waiter[Value], None] = {}
        self._cancel: Cancel | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it was settled, or everybody has left."""
        return self._ended

    def join(self, done: Done[Value]) -> Waiter[Value]:
        """Wait for it too."""
        waiter = Waiter(self, done)
        self._waiters[waiter] = None
        return waiter

    def cancel_with(self, cancel: Cancel) -> None:
        """Say what cancels the request, which is on its way already."""
        self._cancel = cancel

    def begin(self, start: Start[Value]) -> None:
        """Make the request, unless everybody has left meanwhile."""
        if self._ended:
            return
        try:
            cancel = start(self)
        except Exception as error:
            failure = RequestError(f"the request could not be made: {error}")
            failure.__cause__ = error
            self.settle(failure)
            raise  # to the log: it is no fault of a server
        if not self._ended:  # else nothing is to keep the request alive
            self._cancel = cancel

    def settle(self, result: Value | RequestError, good: bool = False) -> None:
        """Say what became of it; the second time nothing happens.

        Args:
            result: The answer, or why there is none.
            good: Whether it is an answer that an application is likely to keep.
        """
        if not self._ended:
            self._cache.landed(self, self._key, good)
            self.deliver(result, False)

    def deliver(self, result: Value | RequestError, kept: bool) -> None:
        """End it and tell all who wait, in the order of their coming; an error of one reaches the caller at last."""
        self._ended = True
        self._cancel = None
        fault: Exception | None = None
        while self._waiters:  # who leaves while others are told is no longer in there
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            try:
                waiter.done(result, kept)
            except Exception as error:
                fault = fault or error
        if fault is not None:
            raise fault

    def leave(self, waiter: Waiter[Value], expired: bool) -> None:
        """Take somebody off; see ``Waiter.leave``."""
        self._waiters.pop(waiter, None)
        if self._ended:
            return
        self._ended = not self._waiters
        if expired or self._ended:
            self._cache.abandoned(self, self._key)
        if self._ended:
            cancel, self._cancel = self._cancel, None
            if cancel is not None:
                cancel(expired)


class _Known:
    """A key of which a result was kept: when its answer came, and until when it counts though none is kept any more."""

    __slots__ = ("born", "until")

    def __init__(self, born: float) -> None:
        self.born = born
        self.until = inf


class ResultCache(Generic[Value]):
    """What is kept, and what is on its way.

    A request with a key first looks with ``peek``, in whatever thread it is made; on the reactor it calls ``join``. One
    that must not get a kept result (``use_cache=False``) does neither; ``keep`` then replaces what others get.

    Args:
        store: Where results are kept.
        now: Tells seconds of a clock that never goes back. Thread: any.
        max_known: How many keys are remembered; as many as the store has places, to share all requests.

    Attributes:
        now: As given.

    Thread: any, but for ``join``, ``adopt``, ``share``, ``landed`` and ``abandoned``: reactor.
    """

    def __init__(self, store: Store[Value], now: Callable[[], float] = monotonic, max_known: int = MAX_KNOWN) -> None:
        self.now = now
        self._store = store
        self._max_known = max_known
        self._flights: dict[bytes, Flight[Value]] = {}
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def in_use(self) -> bool:
        """Whether anything can be found at all; as long as not, a request needs no key. Thread: any."""
        return bool(self._known or self._flights) or self._store.shared

    @property
    def flights(self) -> int:
        """How many requests are on their way that others could share."""
        return len(self._flights)

    def peek(self, key: bytes) -> Value | None:
        """Return a kept result that is at hand, else None. Thread: any."""
        return self._store.peek(key)

    def is_apart(self, key: bytes) -> bool:
        """Return whether a request is nobody else's business: nothing of its key is kept or shared. Thread: any."""
        with self._lock:
            return not (self._store.shared or key in self._flights or self._is_kept(key))

    def keep(self, key: bytes, value: Value, size: int, seconds: float, born: float | None = None) -> bool:
        """Keep a result, in the place of an older one.

        Args:
            key: The key of its question.
            value: The result; nobody changes it any more.
            size: Bytes that it takes, roughly.
            seconds: For how long from ``born``; 0 or less forgets what is kept.
            born: When the answer came, in the time of ``now``; None for just now.

        Returns:
            Whether it is kept, as far as known.

        Thread: any.
        """
        if not seconds > 0:
            self.expire(key)
            return False
        now = self.now()
        born = now if born is None else min(born, now)
        left = born + seconds - now
        with self._lock:
            known = self._known.get(key)
            if left <= 0 or (known is not None and born < known.born):
                return False
            # Who asks from now on finds this one; what is on its way may be older, and must not take its place.
            self._flights.pop(key, None)
            kept = self._store.put(key, value, size, left)
            if kept:
                self._remember(key, born)
        return kept

    def expire(self, key: bytes) -> None:
        """Forget what is kept; who asks from now on does not share a request that is on its way either. Thread: any."""
        with self._lock:
            self._flights.pop(key, None)
            self._store.expire(key)
            known = self._known.get(key)
            if known is not None:
                known.born = self.now()  # what is older is not to come back

    def join(
        self, key: bytes, done: Done[Value], start: Start[Value], share: bool = False, safe: bool = True
    ) -> Waiter[Value]:
        """Get a result from whatever has it: the store, a request that is on its way, or a new one.

        Args:
            key: The key of the question.
            done: Called once with the outcome, now or later; not after ``Waiter.leave``.
            start: Makes the request, where one is needed.
            share: Whether the result will be kept, so that others may wait for it, though none of this key ever was.
            safe: Whether others may wait for it because a result of this key was kept before. Not so where each request
                may be meant to have an effect.

        Returns:
            What to leave by.

        Thread: reactor.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and (share or safe):
                return flight.join(done)
            flight = Flight(self, key)
            if share or (safe and self._is_kept(key)):
                self._flights[key] = flight
        waiter = flight.join(done)
        own = flight

        def looked(kept: Value | None) -> None:
            if kept is None:
                own.begin(start)
            else:
                self._found(own, key, kept)

        self._store.fetch(key, looked)
        return waiter

    def adopt(self, key: bytes, done: Done[Value]) -> Waiter[Value] | None:
        """Let others wait for a request that is on its way and was nobody else's so far.

        Args:
            key: The key of the question.
            done: Called once with the outcome; see ``join``.

        Returns:
            What to leave by; its flight is to be settled, and to be told what cancels the request. None where another
            request of this key is shared already.

        Thread: reactor.
        """
        with self._lock:
            if key in self._flights:
                return None
            flight = self._flights[key] = Flight(self, key)
        return flight.join(done)

    def share(self, flight: Flight[Value], key: bytes) -> None:
        """Let others wait for a flight that nobody could join so far, unless there is another one. Thread: reactor."""
        with self._lock:
            if not flight.ended:
                self._flights.setdefault(key, flight)

    def _found(self, flight: Flight[Value], key: bytes, value: Value) -> None:
        with self._lock:
            self._forget(flight, key)
            if key not in self._known:
                # Another process has kept it: from now on it is known here too.
                self._remember(key, -inf)
        flight.deliver(value, True)

    def landed(self, flight: Flight[Value], key: bytes, good: bool) -> None:
        """Note that a flight is settled. Only ``Flight`` calls it."""
        with self._lock:
            known = self._known.get(key) if self._forget(flight, key) and good else None
            if known is not None:
                known.until = min(known.until, self.now() + GRACE)

    def abandoned(self, flight: Flight[Value], key: bytes) -> None:
        """Note that nobody waits for a flight any more. Only ``Flight`` calls it."""
        with self._lock:
            self._forget(flight, key)

    def _forget(self, flight: Flight[Value], key: bytes) -> bool:
        """Let nobody join a flight any more; return whether somebody could. The lock is held."""
        if self._flights.get(key) is not flight:
            return False
        del self._flights[key]
        return True

    def _is_kept(self, key: bytes) -> bool:
        """Return whether applications keep the results of this key. The lock is held."""
        known = self._known.get(key)
        return known is not None and self.now() < known.until

    def _remember(self, key: bytes, born: float) -> None:
        """Note that a result of this key is kept, and since when. The lock is held."""
        self._known[key] = _Known(born)
        self._known.move_to_end(key)
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)
