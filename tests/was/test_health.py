"""What failures say about a server, how long it rests, and how it gets back."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import (
    BadAnswer,
    ConnectFailed,
    NameNotFound,
    RequestCancelled,
    RequestError,
    RequestTimeout,
)
from skitai.was.health import LONGEST_REST_UNPROBED, PROBE_TIMEOUT, Health, Outcome, judge, may_ask_another

FAILED, UNKNOWN, WELL = Outcome.FAILED, Outcome.UNKNOWN, Outcome.WELL


class JudgeTests(SynchronousTestCase):
    """What the end of a request says."""

    def test_failures_count(self) -> None:
        for error in (
            ConnectFailed("refused"),
            ConnectFailed("lost", sent=True, answered=True),
            NameNotFound("no such name"),
            BadAnswer("garbage", sent=True, answered=True),
            RequestTimeout("connecting"),
            RequestTimeout("hangs", sent=True),
        ):
            self.assertIs(judge(error), FAILED, error)

    def test_what_says_nothing(self) -> None:
        """An answer on its way is a sign of life; who gives up or is wrong here accuses nobody."""
        for error in (
            RequestTimeout("slow", sent=True, answered=True),
            RequestCancelled("not wanted"),
            RequestCancelled("not wanted", sent=True),
            RequestTimeout("it had no turn", queued=True),
            ConnectFailed("too many wait", queued=True),
            ValueError("our bug"),
        ):
            self.assertIs(judge(error), UNKNOWN, error)

    def test_an_answer(self) -> None:
        self.assertIs(judge(None), WELL)


class AnotherTests(SynchronousTestCase):
    """Whether a failed request may be sent to another server."""

    def test_never_twice(self) -> None:
        """What a server may have done is not done again, unless doing it twice is doing it once."""
        for kind in (ConnectFailed, BadAnswer, RequestError):
            for sent, answered, repeatable, expected in (
                (False, False, False, True),
                (False, False, True, True),
                (True, False, False, False),
                (True, False, True, True),
                (True, True, False, False),
                (True, True, True, False),
            ):
                error = kind("failed", sent, answered)
                self.assertEqual(may_ask_another(error, repeatable), expected, (kind, sent, answered, repeatable))

    def test_nobody_waits_any_more(self) -> None:
        self.assertFalse(may_ask_another(RequestTimeout("over"), True))
        self.assertFalse(may_ask_another(RequestCancelled("not wanted"), True))


class Server:
    """A server and whoever asks it, at times that tests choose."""

    def __init__(self, health: Health | None = None) -> None:
        self.health = health or Health()
        self.now = 100.0

    def ask(self, outcome: Outcome) -> None:
        """Make a request that ends at once."""
        self.health.end(self.health.begin(self.now), outcome, self.now)

    def probe(self, reached: bool) -> None:
        """Make a probe that ends at once."""
        self.health.end_probe(self.health.begin_probe(self.now), reached, self.now)

    def rest(self) -> float:
        """Return how long it still rests."""
        return self.health.rest_left(self.now)


class RestTests(SynchronousTestCase):
    """How long a server rests where nobody probes it."""

    def setUp(self) -> None:
        self.server = Server()

    def test_well(self) -> None:
        self.server.ask(WELL)
        self.server.ask(UNKNOWN)
        self.assertTrue(self.server.health.well)
        self.assertTrue(self.server.health.may_ask(self.server.now))
        self.assertEqual((self.server.rest(), self.server.health.next_probe), (0.0, inf))

    def test_doubles_up_to_a_minute(self) -> None:
        rests = []
        for _ in range(40):
            self.server.ask(FAILED)
            rests.append(self.server.rest())
            self.assertFalse(self.server.health.may_ask(self.server.now + rests[-1] - 0.001))
            self.server.now += rests[-1]
            self.assertTrue(self.server.health.may_ask(self.server.now))
        self.assertEqual(rests, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0] + [60.0] * 34)

    def test_unprobed(self) -> None:
        """Where there are no probes, trials alone have to find a server within 10 seconds."""
        self.server = Server(Health(LONGEST_REST_UNPROBED))
        for _ in range(10):
            self.server.ask(FAILED)
            self.server.now += self.server.rest()
        self.server.ask(FAILED)
        self.assertEqual(self.server.rest(), 8.0)

    def test_an_answer_ends_all(self) -> None:
        for _ in range(5):
            self.server.ask(FAILED)
            self.server.now += self.server.rest()
        self.server.ask(WELL)
        self.assertTrue(self.server.health.well)
        self.assertEqual(self.server.health.next_probe, inf)
        self.server.ask(FAILED)
        self.assertEqual(self.server.rest(), 1.0)

    def test_one_failure_of_many_requests(self) -> None:
        """A hundred requests are under way when the server goes: that is one failure, whenever they end."""
        health = self.server.health
        tickets = [health.begin(100.0) for _ in range(100)]
        for delay, ticket in enumerate(tickets[:50]):
            health.end(ticket, FAILED, 100.0 + delay / 100)
        self.assertEqual(health.rest_left(100.0), 1.0)
        health.end(health.begin(101.5), WELL, 101.5)
        for ticket in tickets[50:]:
            health.end(ticket, FAILED, 110.0)
        self.assertTrue(health.well)

    def test_old_answers_do_not_wake_it(self) -> None:
        """A server that closes its door may still finish what it has begun."""
        early = self.server.health.begin(99.0)
        self.server.ask(FAILED)
        self.server.health.end(early, WELL, 100.5)
        self.assertFalse(self.server.health.may_ask(100.5))

    def test_forced_requests(self) -> None:
        """What is asked of a resting server since no other is left does not prolong its rest, but may end it."""
        self.server.ask(FAILED)
        for _ in range(50):
            self.server.ask(FAILED)
        self.assertEqual(self.server.rest(), 1.0)
        self.server.ask(WELL)
        self.assertTrue(self.server.health.well)

    def test_one_trial(self) -> None:
        """After its rest one request is let through, and the others when it has ended or takes its time."""
        health = self.server.health
        self.server.ask(FAILED)
        trial = health.begin(101.0)
        self.assertFalse(health.may_ask(101.0))
        self.assertFalse(health.may_ask(105.9))
        self.assertTrue(health.may_ask(106.0))
        health.end(trial, UNKNOWN, 103.0)
        self.assertTrue(health.may_ask(103.0))
        health.end(health.begin(103.0), FAILED, 104.0)
        self.assertEqual(health.rest_left(104.0), 2.0)


class ProbeTests(SynchronousTestCase):
    """How probes find a server that has returned."""

    def setUp(self) -> None:
        self.server = Server()

    def wear_down(self, count: int) -> None:
        """Have it fail ``count`` times, and then once more just now."""
        for _ in range(count):
            self.server.ask(FAILED)
            self.server.now += self.server.rest()
        self.server.ask(FAILED)

    def test_when(self) -> None:
        """As soon as a short rest ends, every 5 seconds in a long one."""
        for failures, expected in ((0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (10, 5.0)):
            self.server = Server()
            self.wear_down(failures)
            self.assertEqual(self.server.health.next_probe - self.server.now, expected)

    def test_reached(self) -> None:
        """A connection ends the rest, and one request tries."""
        self.wear_down(10)
        self.server.now += 5.0
        self.assertFalse(self.server.health.may_ask(self.server.now))
        self.server.probe(True)
        self.assertTrue(self.server.health.may_ask(self.server.now))
        self.assertEqual(self.server.health.next_probe, inf)
        self.assertFalse(self.server.health.well)
        self.server.health.begin(self.server.now)
        self.assertFalse(self.server.health.may_ask(self.server.now))

    def test_listens_but_does_not_answer(self) -> None:
        """Where a probe was wrong, the rest has grown, and the next probe comes."""
        self.wear_down(2)
        self.server.now += 4.0
        self.server.probe(True)
        self.server.ask(FAILED)
        self.assertEqual(self.server.rest(), 8.0)
        self.assertEqual(self.server.health.next_probe, self.server.now + 5.0)

    def test_no_request_is_wasted(self) -> None:
        """As long as probes fail in time, no request is let through for a minute."""
        self.server.ask(FAILED)
        for _ in range(50):
            self.server.now = self.server.health.next_probe
            if self.server.now >= 160.0:
                break
            ticket = self.server.health.begin_probe(self.server.now)
            self.assertFalse(self.server.health.may_ask(self.server.now))
            self.server.health.end_probe(ticket, False, self.server.now)
            self.assertFalse(self.server.health.may_ask(self.server.now))
        self.assertEqual(self.server.now, 162.0)

    def test_what_no_probe_reaches_may_be_well(self) -> None:
        """A minute after the last failure a request is a trial, whatever probes say or do not say."""
        for silent in (False, True):
            self.server = Server()
            health = self.server.health
            self.wear_down(3)
            failed = self.server.now
            while self.server.now < failed + 60:
                self.assertFalse(health.may_ask(self.server.now) and not silent)
                self.server.now = health.next_probe
                ticket = health.begin_probe(self.server.now)
                if not silent:
                    health.end_probe(ticket, False, self.server.now + 0.1)
            for _ in range(10):
                self.assertTrue(health.may_ask(self.server.now))
                self.server.now = health.next_probe
                health.end_probe(health.begin_probe(self.server.now), False, self.server.now)
            trial = health.begin(self.server.now)
            self.assertFalse(health.may_ask(self.server.now))
            health.end(trial, FAILED, self.server.now)
            self.assertGreater(self.server.rest(), 10.0)
            self.server.now += 60.0
            self.server.ask(WELL)
            self.assertTrue(health.well)

    def test_a_probe_that_fails_does_not_outweigh_an_answer(self) -> None:
        """A request that was forced upon it, or is a trial that takes long, knows more."""
        self.server.ask(FAILED)
        forced = self.server.health.begin(100.5)
        self.server.now = 101.0
        self.server.probe(False)
        self.server.health.end(forced, WELL, 101.5)
        self.assertTrue(self.server.health.well)

    def test_lost(self) -> None:
        """A probe of which nothing is heard keeps requests away for as long as it may take, no longer."""
        self.server.ask(FAILED)
        self.server.now += 1.0
        self.server.health.begin_probe(self.server.now)
        self.assertFalse(self.server.health.may_ask(self.server.now + PROBE_TIMEOUT - 0.01))
        self.assertTrue(self.server.health.may_ask(self.server.now + PROBE_TIMEOUT))
        self.assertEqual(self.server.health.next_probe, self.server.now + 5.0)

    def test_regular(self) -> None:
        """A probe that takes long to fail does not put off the next one."""
        self.wear_down(10)
        ticket = self.server.health.begin_probe(self.server.now + 5.0)
        self.server.health.end_probe(ticket, False, self.server.now + 9.0)
        self.assertEqual(self.server.health.next_probe, self.server.now + 10.0)

    def test_not_during_a_trial(self) -> None:
        self.server.ask(FAILED)
        self.server.health.begin(101.0)
        self.assertEqual(self.server.health.next_probe, 106.0)

    def test_too_late(self) -> None:
        """What a request has found out meanwhile counts more."""
        for reached in (True, False):
            self.server = Server()
            self.server.ask(FAILED)
            ticket = self.server.health.begin_probe(101.0)
            self.server.ask(WELL)
            self.server.health.end_probe(ticket, reached, 102.0)
            self.assertTrue(self.server.health.well)
        self.server = Server()
        self.server.ask(FAILED)
        ticket = self.server.health.begin_probe(101.0)
        self.server.health.end(self.server.health.begin(101.5), FAILED, 101.5)
        self.server.health.end_probe(ticket, True, 102.0)
        self.assertEqual(self.server.health.rest_left(102.0), 1.5)

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(
        st.floats(0, 300),
        st.floats(0, PROBE_TIMEOUT),
        st.floats(0, 0.9),
        st.lists(st.tuples(st.floats(0, 20), st.sampled_from(Outcome)), max_size=20),
    )
    def test_in_use_again(
        self, down: float, fails_in: float, connects_in: float, forced: list[tuple[float, Outcome]]
    ) -> None:
        """Whoever returns takes requests within 10 seconds, however long and in whatever way it was away."""
        server = Server()
        for pause, outcome in forced:
            if outcome is not WELL:
                server.ask(outcome)
            server.now += pause
        server.ask(FAILED)
        self.assertFalse(server.health.well)
        returns = server.now + down
        while not server.health.may_ask(server.now):
            start = max(server.now, server.health.next_probe)
            ticket = server.health.begin_probe(start)
            reached = start >= returns
            server.now = start + (connects_in if reached else fails_in)
            server.health.end_probe(ticket, reached, server.now)
            self.assertLess(server.now, returns + 10)
        self.assertLess(server.now, returns + 10)
