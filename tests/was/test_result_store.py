"""The store in memory: what it keeps, for how long, and what goes first."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from math import inf, nan

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.result_store import MemoryStore

KEYS = [b"a", b"b", b"c", b"d", b"e"]


class StoreTests(SynchronousTestCase):
    """Keeping and forgetting."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store: MemoryStore[str] = MemoryStore(3, self.clock.seconds, max_value_size=10, max_total_size=20)

    def put(self, key: bytes, size: int = 1, seconds: float = 60.0) -> bool:
        return self.store.put(key, key.decode().upper(), size, seconds)

    def kept(self) -> list[bytes]:
        """Return what is kept, without using it."""
        return [key for key in KEYS if key in self.store._entries]

    def test_keeps(self) -> None:
        self.assertIs(self.store.peek(b"a"), None)
        self.assertTrue(self.put(b"a"))
        self.assertEqual(self.store.peek(b"a"), "A")
        found: list[str | None] = []
        self.store.fetch(b"a", found.append)
        self.store.fetch(b"b", found.append)
        self.assertEqual(found, ["A", None])
        self.assertFalse(self.store.shared)

    def test_expires(self) -> None:
        self.put(b"a", seconds=1.5)
        self.clock.advance(1.4)
        self.assertEqual(self.store.peek(b"a"), "A")
        self.clock.advance(0.1)
        self.assertIs(self.store.peek(b"a"), None)
        self.assertEqual((len(self.store), self.store.size), (0, 0))

    def test_reading_does_not_prolong(self) -> None:
        self.put(b"a", seconds=2)
        for _ in range(4):
            self.clock.advance(0.5)
            last = self.store.peek(b"a")
        self.assertIs(last, None)

    def test_for_ever(self) -> None:
        self.put(b"a", seconds=inf)
        self.clock.advance(1e9)
        self.assertEqual(self.store.peek(b"a"), "A")

    def test_expire(self) -> None:
        self.put(b"a", 4)
        self.store.expire(b"a")
        self.store.expire(b"b")
        self.assertEqual((self.store.peek(b"a"), self.store.size), (None, 0))

    def test_replaces(self) -> None:
        self.put(b"a", 4, 1)
        self.store.put(b"a", "new", 5, 60)
        self.clock.advance(2)
        self.assertEqual((self.store.peek(b"a"), self.store.size), ("new", 5))

    def test_not_kept(self) -> None:
        """No time or too much to keep; what was there is old then, and goes."""
        for size, seconds in ((1, 0), (1, -1), (1, nan), (11, 60)):
            self.put(b"a")
            self.assertFalse(self.put(b"a", size, seconds), (size, seconds))
            self.assertIs(self.store.peek(b"a"), None, (size, seconds))
        self.assertTrue(self.put(b"a", 10))

    def test_entries(self) -> None:
        """The one that was not used for longest goes."""
        for key in KEYS[:3]:
            self.put(key)
        self.store.peek(b"a")
        self.put(b"d")
        self.assertEqual(self.kept(), [b"a", b"c", b"d"])
        self.put(b"c")
        self.put(b"e")
        self.assertEqual(self.kept(), [b"c", b"d", b"e"])

    def test_total_size(self) -> None:
        for key in KEYS[:3]:
            self.put(key, 6)
        self.put(b"d", 9)
        self.assertEqual((self.kept(), self.store.size), ([b"c", b"d"], 15))

    def test_none(self) -> None:
        self.store = MemoryStore(0, self.clock.seconds)
        self.assertFalse(self.put(b"a"))
        self.assertIs(self.store.peek(b"a"), None)

    def test_one_thread_at_a_time(self) -> None:
        """The clock is asked in the middle of each step, where no other thread may come in."""
        entered: list[bool] = []

        def now() -> float:
            free = store._lock.acquire(blocking=False)
            if free:
                store._lock.release()
            entered.append(free)
            return 1.0

        store: MemoryStore[str] = MemoryStore(3, now)
        store.put(b"a", "A", 1, 60)
        store.peek(b"a")
        self.assertEqual(entered, [False, False])

    def test_threads(self) -> None:
        """Many threads at once leave nothing behind that does not add up."""
        store: MemoryStore[int] = MemoryStore(8, self.clock.seconds)
        faults: list[object] = []

        def use(number: int) -> None:
            try:
                for step in range(600):
                    key = b"%d" % ((number * 7 + step * 3) % 20)
                    store.put(key, step, step % 5, 60)
                    store.peek(b"%d" % (step % 20))
                    if step % 4 == 0:
                        store.expire(key)
            except Exception as error:
                faults.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        finally:
            sys.setswitchinterval(interval)
        self.assertEqual(faults, [])
        self.assertLessEqual(len(store), 8)
        self.assertEqual(store.size, sum(entry.size for entry in store._entries.values()))

    def test_any_sequence(self) -> None:
        """Whatever is done in whatever order, a plain model of the rules does the same."""
        run_state_machine_as_test(
            StoreMachine,
            settings=settings(derandomize=True, max_examples=50, stateful_step_count=40, deadline=None, database=None),
        )


class StoreMachine(RuleBasedStateMachine):
    """A store beside a model: an ordered dictionary of value, size and time, the least used first."""

    @initialize(entries=st.integers(0, 4), total=st.integers(5, 30))
    def begin(self, entries: int, total: int) -> None:
        self.entries = entries
        self.total = total
        self.clock = Clock()
        self.store: MemoryStore[int] = MemoryStore(entries, self.clock.seconds, 10, total)
        self.model: OrderedDict[bytes, tuple[int, int, float]] = OrderedDict()
        self.count = 0

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, 12), seconds=st.integers(-1, 9))
    def put(self, key: bytes, size: int, seconds: int) -> None:
        self.count += 1
        self.model.pop(key, None)
        fits = seconds > 0 and size <= 10 and size <= self.total and self.entries > 0
        if fits:
            self.model[key] = (self.count, size, self.clock.seconds() + seconds)
        while len(self.model) > self.entries or sum(size for _, size, _ in self.model.values()) > self.total:
            self.model.popitem(last=False)
        assert self.store.put(key, self.count, size, seconds) == fits

    @rule(key=st.sampled_from(KEYS))
    def peek(self, key: bytes) -> None:
        expected = None
        if key in self.model:
            value, _, expires = self.model[key]
            if expires > self.clock.seconds():
                expected = value
                self.model.move_to_end(key)
            else:
                del self.model[key]
        assert self.store.peek(key) == expected

    @rule(key=st.sampled_from(KEYS))
    def expire(self, key: bytes) -> None:
        self.model.pop(key, None)
        self.store.expire(key)

    @rule(seconds=st.integers(0, 5))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "store"):
            assert len(self.store) == len(self.model) <= self.entries
            assert self.store.size == sum(size for _, size, _ in self.model.values()) <= self.total
