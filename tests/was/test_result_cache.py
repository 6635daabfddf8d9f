"""The result cache: what is found, who shares a request, and who is told what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConnectFailed, RequestError
from skitai.was.result_cache import GRACE, Flight, ResultCache, Waiter
from skitai.was.result_store import MemoryStore

KEY = b"key"


class Backend:
    """Makes the requests of flights, and ends them when a test says so."""

    def __init__(self) -> None:
        self.flights: list[Flight[str]] = []
        self.cancelled: list[Flight[str]] = []

    def start(self, flight: Flight[str]) -> Callable[[bool], object]:
        """Make a request."""
        self.flights.append(flight)
        return lambda expired: self.cancelled.append(flight)


class SlowStore(MemoryStore[str]):
    """A store that others share: it answers when a test says so, and has nothing at hand."""

    shared = True

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(100, now)
        self.asked: list[tuple[bytes, Callable[[str | None], object]]] = []

    def peek(self, key: bytes) -> str | None:
        return None

    def fetch(self, key: bytes, done: Callable[[str | None], object]) -> None:
        self.asked.append((key, done))

    def answer(self) -> None:
        """Answer the first that asks."""
        key, done = self.asked.pop(0)
        done(super().peek(key))


class CacheTests(SynchronousTestCase):
    """Common parts."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store: MemoryStore[str] = MemoryStore(100, self.clock.seconds)
        self.cache = ResultCache(self.store, self.clock.seconds)
        self.backend = Backend()
        self.told: list[tuple[str | RequestError, bool]] = []

    def tell(self, result: str | RequestError, kept: bool) -> None:
        self.told.append((result, kept))

    def join(self, key: bytes = KEY, share: bool = False) -> Waiter[str]:
        """Wait for a result that ``told`` shows."""
        return self.cache.join(key, self.tell, self.backend.start, share)

    def know(self) -> None:
        """Have an application keep a result, which is old by now."""
        self.cache.keep(KEY, "old", 1, 1)
        self.clock.advance(1)


class KeepTests(CacheTests):
    """What is kept and found."""

    def test_keeps(self) -> None:
        self.assertIs(self.cache.peek(KEY), None)
        self.assertTrue(self.cache.keep(KEY, "value", 5, 60))
        self.assertEqual(self.cache.peek(KEY), "value")
        self.join()
        self.assertEqual((self.told, self.backend.flights), ([("value", True)], []))
        self.clock.advance(60)
        self.assertIs(self.cache.peek(KEY), None)

    def test_no_time_forgets(self) -> None:
        for seconds in (0, -5.0, float("nan")):
            self.cache.keep(KEY, "value", 5, 60)
            self.assertFalse(self.cache.keep(KEY, "other", 5, seconds))
            self.assertIs(self.cache.peek(KEY), None)

    def test_refresh(self) -> None:
        """What a request without the cache brings takes the place of what was kept, for its own time."""
        self.cache.keep(KEY, "old", 5, 60)
        self.cache.keep(KEY, "new", 5, 90)
        self.clock.advance(80)
        self.assertEqual(self.cache.peek(KEY), "new")

    def test_grows_old_from_when_the_answer_came(self) -> None:
        """Pages that keep what they have found in the cache do not keep it for ever."""
        born = self.clock.seconds()
        for _ in range(3):
            self.assertTrue(self.cache.keep(KEY, "value", 5, 60, born))
            self.clock.advance(19)
        self.clock.advance(3)
        self.assertIs(self.cache.peek(KEY), None)
        self.assertFalse(self.cache.keep(KEY, "value", 5, 60, born))
        self.assertIs(self.cache.peek(KEY), None)

    def test_an_older_answer_does_not_take_the_place_of_a_newer_one(self) -> None:
        self.clock.advance(5)
        self.cache.keep(KEY, "new", 5, 60, 4.0)
        self.assertFalse(self.cache.keep(KEY, "old", 5, 60, 3.0))
        self.assertEqual(self.cache.peek(KEY), "new")

    def test_what_was_forgotten_does_not_come_back(self) -> None:
        self.clock.advance(5)
        self.cache.keep(KEY, "old", 5, 60, 4.0)
        self.cache.expire(KEY)
        self.assertFalse(self.cache.keep(KEY, "old", 5, 60, 4.0), "somebody was slow to look at it")
        self.assertTrue(self.cache.keep(KEY, "new", 5, 60))

    def test_an_answer_of_the_future(self) -> None:
        """Of another machine's clock: it came now."""
        self.cache.keep(KEY, "value", 5, 60, 1000.0)
        self.clock.advance(60)
        self.assertIs(self.cache.peek(KEY), None)

    def test_too_large(self) -> None:
        self.cache.keep(KEY, "old", 5, 60)
        self.assertFalse(self.cache.keep(KEY, "new", 5 * 1024 * 1024 + 1, 60))
        self.assertIs(self.cache.peek(KEY), None)

    def test_apart(self) -> None:
        self.assertTrue(self.cache.is_apart(KEY))
        self.cache.keep(KEY, "a", 1, 1)
        self.assertFalse(self.cache.is_apart(KEY))
        self.clock.advance(2)
        self.assertFalse(self.cache.is_apart(KEY), "it was kept")
        self.assertTrue(self.cache.is_apart(b"other"))
        self.join(b"other", share=True)
        self.assertFalse(self.cache.is_apart(b"other"), "it is on its way")
        self.assertFalse(ResultCache(SlowStore(self.clock.seconds)).is_apart(KEY), "others may have it")

    def test_in_use(self) -> None:
        """Requests need no key before something was kept; with a shared store others may have kept it."""
        self.assertFalse(self.cache.in_use)
        self.cache.expire(KEY)
        self.assertFalse(self.cache.in_use)
        self.cache.keep(KEY, "value", 5, 60)
        self.assertTrue(self.cache.in_use)
        self.assertTrue(ResultCache(SlowStore(self.clock.seconds), self.clock.seconds).in_use)
        nothing: ResultCache[str] = ResultCache(MemoryStore(0, self.clock.seconds), self.clock.seconds)
        nothing.keep(KEY, "value", 5, 60)
        self.assertFalse(nothing.in_use)


class FlightTests(CacheTests):
    """Who shares a request."""

    def test_not_kept_not_shared(self) -> None:
        """Where no application has kept a result, each request is its own."""
        for _ in range(3):
            self.join()
        self.assertEqual((len(self.backend.flights), self.cache.flights), (3, 0))
        self.backend.flights[1].settle("b", 1)
        self.assertEqual(self.told, [("b", False)])
        self.assertIs(self.cache.peek(KEY), None)
        self.backend.flights[0].settle("a", 1)
        self.assertEqual(self.told, [("b", False), ("a", False)])

    def test_a_hundred_misses(self) -> None:
        """All who miss at once wait for one request, and are told in their order."""
        self.know()
        order: list[int] = []
        for number in range(100):
            self.cache.join(KEY, partial(lambda number, result, kept: order.append(number), number), self.backend.start)
        self.join(b"another key")
        self.assertEqual(len(self.backend.flights), 2)
        self.backend.flights[0].settle("value", True)
        self.assertEqual(order, list(range(100)))
        self.assertEqual(self.cache.flights, 0)

    def test_asked_to_share(self) -> None:
        self.join(share=True)
        self.join()
        self.assertEqual(len(self.backend.flights), 1)
        self.backend.flights[0].settle("value")
        self.assertEqual(self.told, [("value", False)] * 2)

    def test_nothing_is_kept_by_itself(self) -> None:
        self.know()
        self.join()
        self.backend.flights[0].settle("value", True)
        self.assertIs(self.cache.peek(KEY), None)

    def test_a_while_to_keep_it(self) -> None:
        """Those who come between the answer and its being kept make one request, too."""
        self.know()
        self.join()
        self.backend.flights[0].settle("value", True)
        self.clock.advance(GRACE - 0.1)
        self.join()
        self.join()
        self.assertEqual((len(self.backend.flights), self.cache.flights), (2, 1))

    def test_nobody_keeps_it_any_more(self) -> None:
        """When an answer has come and was not kept, requests are not shared any more."""
        self.know()
        self.join()
        self.backend.flights[0].settle("value", True)
        self.clock.advance(GRACE)
        self.join()
        self.join()
        self.assertEqual((len(self.backend.flights), self.cache.flights), (3, 0))

    def test_what_fails_says_nothing_about_that(self) -> None:
        self.know()
        self.join()
        self.backend.flights[0].settle("busy")
        self.clock.advance(GRACE)
        self.join()
        self.assertEqual(self.cache.flights, 1)

    def test_forgotten(self) -> None:
        """All want the new one then, and it takes one request; nobody gets what was asked before."""
        self.know()
        self.join()
        self.cache.expire(KEY)
        self.join()
        self.join()
        self.assertEqual((len(self.backend.flights), self.cache.flights), (2, 1))

    def test_still_shared_when_kept(self) -> None:
        self.know()
        for _ in range(3):
            self.join()
            self.backend.flights[-1].settle("value", True)
            self.cache.keep(KEY, "value", 5, 60)
            self.clock.advance(60)
        self.join()
        self.join()
        self.assertEqual((len(self.backend.flights), self.cache.flights), (4, 1))

    def test_what_may_have_an_effect(self) -> None:
        """It is shared only where the request itself says that its answer is to be kept."""
        self.know()
        for _ in range(2):
            self.cache.join(KEY, self.tell, self.backend.start, safe=False)
        self.assertEqual((len(self.backend.flights), self.cache.flights), (2, 0))
        self.cache.join(KEY, self.tell, self.backend.start, True, safe=False)
        self.cache.join(KEY, self.tell, self.backend.start, safe=False)
        self.cache.join(KEY, self.tell, self.backend.start, True, safe=False)
        self.assertEqual((len(self.backend.flights), self.cache.flights), (4, 1))

    def test_known_keys_are_bounded(self) -> None:
        self.cache = ResultCache(self.store, self.clock.seconds, 2)
        for key in (b"a", b"b", b"c"):
            self.cache.keep(key, "value", 1, 1)
        self.clock.advance(1)
        for key, expected in ((b"a", 2), (b"b", 3), (b"c", 4)):
            self.join(key)
            self.join(key)
            self.assertEqual(len(self.backend.flights), expected, key)

    def test_failures(self) -> None:
        """All who wait get it, nobody else does."""
        self.know()
        self.join()
        self.join()
        failure = ConnectFailed("refused")
        self.backend.flights[0].settle(failure, 5)
        self.assertEqual(self.told, [(failure, False)] * 2)
        self.join()
        self.join()
        self.assertEqual((len(self.backend.flights), len(self.told)), (2, 2))

    def test_settled_once(self) -> None:
        self.know()
        self.join()
        flight = self.backend.flights[0]
        flight.settle("value", True)
        flight.settle("late", True)
        self.assertEqual(self.told, [("value", False)])
        self.assertTrue(flight.ended)

    def test_settled_at_once(self) -> None:
        """A request that ends while it is made is not cancelled later."""
        cancelled: list[int] = []

        def start(flight: Flight[str]) -> Callable[[], object]:
            flight.settle("value")
            return lambda: cancelled.append(1)

        self.cache.join(KEY, self.tell, start).leave()
        self.assertEqual((self.told, cancelled), ([("value", False)], []))

    def test_cannot_be_made(self) -> None:
        """An error of ours ends the flight for all, and is seen."""
        self.know()

        def start(flight: Flight[str]) -> None:
            self.join()
            raise ZeroDivisionError("a bug")

        self.assertRaises(ZeroDivisionError, self.cache.join, KEY, self.tell, start)
        self.assertEqual(len(self.told), 2)
        for result, _ in self.told:
            self.assertIn("a bug", str(result))
            self.assertIsInstance(result, RequestError)
        self.assertEqual((self.backend.flights, self.cache.flights), ([], 0))

    def test_a_waiter_fails(self) -> None:
        """The others are told all the same."""
        self.know()

        def fail(result: object, kept: bool) -> None:
            raise ZeroDivisionError

        self.join()
        self.cache.join(KEY, fail, self.backend.start)
        self.join()
        self.assertRaises(ZeroDivisionError, self.backend.flights[0].settle, "value")
        self.assertEqual(len(self.told), 2)

    def test_who_asks_while_others_are_told(self) -> None:
        """The flight has landed: who comes now makes a request."""
        self.know()
        self.cache.join(KEY, lambda result, kept: self.join() and None, self.backend.start)
        self.backend.flights[0].settle("value")
        self.assertEqual((len(self.backend.flights), self.told), (2, []))


class LeaveTests(CacheTests):
    """Who does not wait any more."""

    def setUp(self) -> None:
        super().setUp()
        self.know()

    def test_one_of_several(self) -> None:
        first, second = self.join(), self.join()
        first.leave()
        first.leave()
        self.assertEqual(self.backend.cancelled, [])
        self.backend.flights[0].settle("value")
        self.assertEqual(self.told, [("value", False)])
        second.leave()
        self.assertEqual(self.backend.cancelled, [])

    def test_the_last(self) -> None:
        """The request is cancelled, and the next one begins anew."""
        waiters = [self.join() for _ in range(3)]
        for waiter in waiters:
            waiter.leave()
        self.assertEqual(self.backend.cancelled, self.backend.flights)
        self.assertEqual(self.cache.flights, 0)
        self.join()
        self.assertEqual(len(self.backend.flights), 2)
        self.backend.flights[0].settle("late", True)
        self.assertEqual((self.told, self.cache.peek(KEY)), ([], None))
        waiters[0].leave()
        self.assertEqual(len(self.backend.cancelled), 1)

    def test_nobody_joins_what_somebody_has_waited_for_in_vain(self) -> None:
        """It may never land, and as long as somebody waited for it, all would wait with him."""
        first, second = self.join(), self.join()
        first.leave(expired=True)
        self.join()
        self.assertEqual((len(self.backend.flights), self.backend.cancelled), (2, []))
        self.backend.flights[0].settle("late")
        self.assertEqual(self.told, [("late", False)])
        self.assertTrue(second.flight.ended)
        self.backend.flights[1].settle("value")
        self.assertEqual(len(self.told), 2)

    def test_the_request_learns_why_the_last_one_left(self) -> None:
        told: list[bool] = []
        for expired in (False, True):
            self.cache.join(KEY, self.tell, lambda flight: told.append).leave(expired)
        self.assertEqual(told, [False, True])

    def test_while_others_are_told(self) -> None:
        waiters: list[Waiter[str]] = []
        self.cache.join(KEY, lambda result, kept: waiters[0].leave(), self.backend.start)
        waiters.append(self.join())
        self.join()
        self.backend.flights[0].settle("value")
        self.assertEqual((self.told, self.backend.cancelled), ([("value", False)], []))


class AdoptTests(CacheTests):
    """Requests that become a flight on their way, since an application says that it will keep the answer."""

    def test_adopted(self) -> None:
        cancelled: list[bool] = []
        own = self.cache.adopt(KEY, self.tell)
        assert own is not None
        own.flight.cancel_with(cancelled.append)
        self.assertTrue(self.cache.in_use)
        other = self.join()
        self.assertIs(other.flight, own.flight)
        self.assertEqual(self.backend.flights, [])
        own.leave()
        self.assertEqual(cancelled, [])
        own.flight.settle("value", True)
        self.assertEqual(self.told, [("value", False)])

    def test_another_one_is_under_way(self) -> None:
        first = self.cache.adopt(KEY, self.tell)
        self.assertIs(self.cache.adopt(KEY, self.tell), None)
        assert first is not None
        first.leave()
        self.assertIsNot(self.cache.adopt(KEY, self.tell), None)

    def test_a_flight_of_one(self) -> None:
        waiter = self.join()
        self.assertEqual(self.cache.flights, 0)
        self.cache.share(waiter.flight, KEY)
        self.assertIs(self.join().flight, waiter.flight)
        self.cache.share(self.cache.join(b"other", self.tell, self.backend.start).flight, KEY)
        self.assertIs(self.join().flight, waiter.flight)

    def test_one_that_has_ended(self) -> None:
        waiter = self.join()
        self.backend.flights[0].settle("value")
        self.cache.share(waiter.flight, KEY)
        self.assertEqual(self.cache.flights, 0)


class ExpireTests(CacheTests):
    """What is on its way when a result is forgotten or another one is kept."""

    def test_expired(self) -> None:
        """Who asks after the data have changed does not get what was asked before."""
        self.know()
        self.join()
        self.cache.expire(KEY)
        self.join()
        self.assertEqual(len(self.backend.flights), 2)
        self.backend.flights[0].settle("before", True)
        self.backend.flights[1].settle("after", True)
        self.assertEqual(self.told, [("before", False), ("after", False)])

    def test_a_newer_one_is_kept(self) -> None:
        self.know()
        self.join()
        self.cache.keep(KEY, "newer", 5, 60)
        self.backend.flights[0].settle("older", True)
        self.assertEqual((self.told, self.cache.peek(KEY)), ([("older", False)], "newer"))


class SharedStoreTests(CacheTests):
    """A store that has to be asked."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = SlowStore(self.clock.seconds)
        self.cache = ResultCache(self.slow, self.clock.seconds)

    def test_found(self) -> None:
        """What another process has kept is found, and from then on known to be kept."""
        self.slow.put(KEY, "theirs", 6, 10)
        self.join()
        self.assertEqual(self.told, [])
        self.slow.answer()
        self.assertEqual((self.told, self.backend.flights), ([("theirs", True)], []))
        self.clock.advance(10)
        self.join()
        self.join()
        self.assertEqual((len(self.slow.asked), self.cache.flights), (1, 1))

    def test_not_found(self) -> None:
        self.join()
        self.assertEqual(self.backend.flights, [])
        self.slow.answer()
        self.assertEqual(len(self.backend.flights), 1)
        self.backend.flights[0].settle("value")
        self.assertEqual(self.told, [("value", False)])

    def test_left_meanwhile(self) -> None:
        """Who leaves while the store is asked makes no request, whatever it says."""
        self.slow.put(KEY, "theirs", 6, 10)
        for key in (KEY, b"another key"):
            self.join(key).leave()
            self.slow.answer()
        self.assertEqual((self.told, self.backend.flights, self.backend.cancelled), ([], [], []))


class AnySequenceTests(SynchronousTestCase):
    """Flights under whatever comes."""

    def test_any_sequence(self) -> None:
        run_state_machine_as_test(
            FlightMachine,
            settings=settings(derandomize=True, max_examples=50, stateful_step_count=40, deadline=None, database=None),
        )


class FlightMachine(RuleBasedStateMachine):
    """Waiters come, leave and are told; none is told twice or after leaving, and no request is left alone."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.cache: ResultCache[str] = ResultCache(MemoryStore(2, self.clock.seconds), self.clock.seconds)
        self.backend = Backend()
        self.told: dict[int, int] = {}
        self.left: set[int] = set()
        self.waiters: list[Waiter[str]] = []

    @rule(key=st.sampled_from([b"a", b"b"]), share=st.booleans(), safe=st.booleans())
    def join(self, key: bytes, share: bool, safe: bool) -> None:
        number = len(self.waiters)

        def tell(result: str | RequestError, kept: bool) -> None:
            self.told[number] = self.told.get(number, 0) + 1

        self.waiters.append(self.cache.join(key, tell, self.backend.start, share, safe))

    @rule(place=st.integers(0, 1000), expired=st.booleans())
    def leave(self, place: int, expired: bool) -> None:
        if self.waiters:
            number = place % len(self.waiters)
            if number not in self.told:
                self.left.add(number)
            self.waiters[number].leave(expired)

    @rule(place=st.integers(0, 1000))
    def share(self, place: int) -> None:
        if self.waiters:
            flight = self.waiters[place % len(self.waiters)].flight
            self.cache.share(flight, flight._key)

    @rule(place=st.integers(0, 1000), good=st.booleans(), worth=st.booleans())
    def settle(self, place: int, good: bool, worth: bool) -> None:
        if self.backend.flights:
            flight = self.backend.flights[place % len(self.backend.flights)]
            flight.settle("value" if good else ConnectFailed("refused"), good and worth)

    @rule(key=st.sampled_from([b"a", b"b"]), seconds=st.integers(-1, 3))
    def keep(self, key: bytes, seconds: int) -> None:
        self.cache.keep(key, "kept", 1, seconds)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "waiters"):
            return
        assert set(self.told.values()) <= {1}
        assert not self.left & set(self.told)
        for number, waiter in enumerate(self.waiters):
            assert waiter.flight.ended or number in self.left or number not in self.told
            assert not waiter.flight.ended or number in self.told or number in self.left
        cancelled = set(map(id, self.backend.cancelled))
        for flight in self.backend.flights:
            waits = any(
                waiter.flight is flight and number not in self.left for number, waiter in enumerate(self.waiters)
            )
            assert (id(flight) in cancelled) == (not waits), "cancelled when nobody waits, and only then"
        assert self.cache.flights <= 2
