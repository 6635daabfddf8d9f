"""Where results are kept: what a store is, and the one in the memory of this process.

A store finds by key and forgets in time. It knows nothing of requests, nor of those who wait for them
(``skitai.was.result_cache``). One that several processes share does the same with its own clock and its own bounds.

Layer 3. It must not know Twisted, nor what a result is. Thread: any, but for ``fetch``: reactor.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

DEFAULT_ENTRIES: Final = 300
"""How many results are kept where ``set_max_rcache()`` does not say."""

MAX_VALUE_SIZE: Final = 5 * 1024 * 1024
"""Bytes of one result that is kept."""

MAX_TOTAL_SIZE: Final = 256 * 1024 * 1024
"""Bytes of all results in the memory of one process."""

Value = TypeVar("Value")


class Store(Protocol[Value]):
    """Where results are kept. It never raises: what fails is not kept, and not found.

    Attributes:
        shared: Whether other processes keep results in it too, so that a miss in this one says nothing.
    """

    shared: bool

    def peek(self, key: bytes) -> Value | None:
        """Return what is at hand without waiting, else None. Thread: any."""

    def fetch(self, key: bytes, done: Callable[[Value | None], object]) -> None:
        """Look for what is kept, and call ``done`` once with it or None, now or later.

        A store that has to ask somebody says None after a while: the request waits for it. Thread: reactor, in which
        ``done`` is called too.
        """

    def put(self, key: bytes, value: Value, size: int, seconds: float) -> bool:
        """Keep a value in the place of the one before; the caller does not change it any more.

        Args:
            key: What to find it by.
            value: The value.
            size: Bytes that it takes, roughly.
            seconds: For how long, more than 0.

        Returns:
            False where it is certain that it is not kept; what was there before is forgotten then.

        Thread: any; it must not wait.
        """

    def expire(self, key: bytes) -> None:
        """Forget a value. Thread: any; it must not wait."""


class _Entry(NamedTuple):
    value: Any
    size: int
    expires: float


class MemoryStore(Generic[Value]):
    """Keeps results in the memory of this process; when it is full the one that was not used for longest goes.

    What has expired goes when it is asked for, or else in the same way: nobody uses it.

    Args:
        max_entries: How many results; 0 keeps none.
        now: Tells seconds of a clock that never goes back. Thread: any.
        max_value_size: Bytes of one.
        max_total_size: Bytes of all.

    Thread: any. A read takes an uncontended lock and a look into a dictionary.
    """

    shared = False

    def __init__(
        self,
        max_entries: int,
        now: Callable[[], float],
        max_value_size: int = MAX_VALUE_SIZE,
        max_total_size: int = MAX_TOTAL_SIZE,
    ) -> None:
        self._max_entries = max_entries
        self._max_value_size = max_value_size
        self._max_total_size = max_total_size
        self._now = now
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return self._size

    def peek(self, key: bytes) -> Value | None:
        """Return what is kept, else None. It has been used now."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.expires <= self._now():
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            value: Value = entry.value
            return value

    def fetch(self, key: bytes, done: Callable[[Value | None], object]) -> None:
        """Call ``done`` at once with what ``peek`` returns."""
        done(self.peek(key))

    def put(self, key: bytes, value: Value, size: int, seconds: float) -> bool:
        """Keep a value; see ``Store.put``."""
        with self._lock:
            self._remove(key)
            # "not >": a NaN keeps nothing either
            if not self._max_entries or size > min(self._max_value_size, self._max_total_size) or not seconds > 0:
                return False
            self._entries[key] = _Entry(value, size, self._now() + seconds)
            self._size += size
            while len(self._entries) > self._max_entries or self._size > self._max_total_size:
                _, oldest = self._entries.popitem(last=False)
                self._size -= oldest.size
            return True

    def expire(self, key: bytes) -> None:
        """Forget a value."""
        with self._lock:
            self._remove(key)

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size
