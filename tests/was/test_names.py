"""Lookups of names: how many at a time, for whom, and that each comes to an end whatever the resolver does."""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable, Sequence
from socket import EAI_NONAME, gaierror, getaddrinfo
from typing import Any

from twisted.internet._resolver import GAIResolver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.names import FRESH, LOOKUP_TIMEOUT, MAX_LOOKUPS, MAX_RUNNING, Names
from tests.was.backends import Network


class Seeker:
    """Asks for a name, and counts what it is told.

    Args:
        then: Is called when it is told.
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.told: list[Sequence[str]] = []
        self.then = then

    def resolved(self, addresses: Sequence[str]) -> None:
        self.told.append(list(addresses))
        self.then()


class Inline:
    """A pool of threads that does at once what it is given."""

    def callInThreadWithCallback(self, told: Any, function: Callable[..., Any], *args: Any) -> None:
        try:
            result = function(*args)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.names = Names(self.network)
        self.addCleanup(self.check_clean)

    def check_clean(self) -> None:
        self.names.close()
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(len(self.names._lookups), len(self.names._running) + len(self.names._queue))

    def ask(self, host: str) -> Seeker:
        seeker = Seeker()
        self.names.ask(host, seeker)
        return seeker


class ShareTests(Case):
    def test_once_for_all_who_ask_meanwhile(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
        seekers = [self.ask("a.example") for _ in range(3)]
        self.assertEqual(len(self.names), 1)
        self.network.flush()
        self.assertEqual([seeker.told for seeker in seekers], [[["192.0.2.1", "2001:db8::1"]]] * 3)
        self.assertEqual((self.network.lookups, len(self.names)), (["a.example"], 0))
        self.network.wait(FRESH - 0.1)
        self.assertEqual(self.ask("a.example").told, [["192.0.2.1", "2001:db8::1"]])
        self.assertEqual(self.network.lookups, ["a.example"])
        self.network.wait(0.2)
        self.ask("a.example")
        self.network.flush()
        self.assertEqual(self.network.lookups, ["a.example"] * 2)

    def test_the_address_that_works_comes_first(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        self.names.worked("a.example", "192.0.2.3")  # nobody has asked
        self.ask("a.example")
        self.network.flush()
        self.names.worked("a.example", "192.0.2.2")
        self.names.worked("a.example", "192.0.2.9")
        expected = ["192.0.2.2", "192.0.2.1", "192.0.2.3"]
        self.assertEqual(self.ask("a.example").told, [expected])
        self.network.wait(FRESH + 1)
        later = self.ask("a.example")
        self.network.flush()
        self.assertEqual((later.told, len(self.network.lookups)), ([expected], 2))

    def test_where_none_works_they_are_looked_up_again(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.ask("a.example")
        self.network.flush()
        self.names.failed("a.example")
        self.names.failed("b.example")
        self.ask("a.example")
        self.network.flush()
        self.assertEqual(self.network.lookups, ["a.example"] * 2)

    def test_who_has_left_is_not_told(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        seekers = [self.ask("a.example") for _ in range(2)]
        self.names.forget("a.example", seekers[0])
        self.names.forget("b.example", seekers[0])
        self.network.flush()
        self.assertEqual([len(seeker.told) for seeker in seekers], [0, 1])

    def test_who_is_told_may_ask_again(self) -> None:
        again = Seeker()
        self.names.ask("a.example", Seeker(lambda: self.names.ask("a.example", again)))
        self.network.flush()
        self.assertEqual((again.told, self.network.lookups), ([[]], ["a.example"] * 2))


class BoundTests(Case):
    def fill(self) -> list[Seeker]:
        """Have as many lookups run as may, none of which ends."""
        hosts = [f"dead{number}.example" for number in range(MAX_LOOKUPS)]
        self.network.names.update(dict.fromkeys(hosts))
        return [self.ask(host) for host in hosts]

    def test_the_others_have_their_turn_when_one_ends(self) -> None:
        self.fill()
        self.network.names["a.example"] = self.network.names["b.example"] = ["192.0.2.1"]
        seekers = [self.ask("a.example"), self.ask("b.example"), self.ask("a.example")]
        self.network.flush()
        self.assertEqual((len(self.names), len(self.network.lookups)), (MAX_LOOKUPS, MAX_LOOKUPS))
        queued = [host for host in ("a.example", "dead1.example", "c.example") if self.names.is_queued(host)]
        self.assertEqual(queued, ["a.example"])
        self.network.hanging.pop().resolutionComplete()
        self.network.flush()
        self.assertEqual([len(seeker.told) for seeker in seekers], [1, 1, 1])
        self.assertEqual(self.network.lookups[MAX_LOOKUPS:], ["a.example", "b.example"])
        self.assertEqual(len(self.names), MAX_LOOKUPS - 1)

    def test_what_was_found_once_needs_no_turn(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.ask("a.example")
        self.network.flush()
        self.network.wait(FRESH + 1)
        self.fill()
        self.assertEqual(self.ask("a.example").told, [["192.0.2.1"]])

    def test_those_that_nobody_waits_for_make_room_up_to_a_bound(self) -> None:
        seekers = self.fill()
        self.network.names["a.example"] = ["192.0.2.1"]
        told = []
        for number in range(MAX_RUNNING - MAX_LOOKUPS):
            self.names.forget(f"dead{number}.example", seekers[number])
            self.network.names[f"more{number}.example"] = None
            seeker = self.ask(f"more{number}.example")
            self.names.forget(f"more{number}.example", seeker)
            told.append(len(self.names))
        self.assertEqual(told, [7, 8, 9])
        last = self.ask("a.example")
        self.network.flush()
        self.assertEqual((last.told, len(self.names)), ([], MAX_RUNNING))
        self.network.hanging.pop().resolutionComplete()
        self.network.flush()
        self.assertEqual(last.told, [["192.0.2.1"]])

    def test_names_that_nobody_waits_for_lose_their_place(self) -> None:
        self.fill()
        for number in range(200):
            seekers = [self.ask(f"more{number}.example") for _ in range(2)]
            for seeker in seekers:
                self.names.forget(f"more{number}.example", seeker)
        self.assertEqual((len(self.names), len(self.names._lookups)), (MAX_LOOKUPS, MAX_LOOKUPS))
        last = self.ask("a.example")
        self.network.hanging.pop().resolutionComplete()
        self.network.flush()
        self.assertEqual((last.told, self.network.lookups[MAX_LOOKUPS:]), ([[]], ["a.example"]))

    def test_who_asks_no_more_does_not_end_what_runs(self) -> None:
        """The thread goes on, so it counts."""
        [first, *_] = self.fill()
        self.names.forget("dead0.example", first)
        self.assertEqual(len(self.names), MAX_LOOKUPS)
        late = self.ask("dead0.example")
        self.assertEqual(self.network.lookups.count("dead0.example"), 1)
        self.network.hanging[0].resolutionComplete()
        self.assertEqual((first.told, late.told), ([], [[]]))

    def test_none_is_for_ever(self) -> None:
        seekers = self.fill()
        self.network.names["a.example"] = ["192.0.2.1"]
        last = self.ask("a.example")
        self.network.wait(LOOKUP_TIMEOUT - 0.1)
        self.assertEqual([seeker.told for seeker in [*seekers, last]], [[]] * (MAX_LOOKUPS + 1))
        self.network.wait(0.2)
        self.assertEqual([seeker.told for seeker in seekers], [[[]]] * MAX_LOOKUPS)
        self.assertEqual((last.told, len(self.names)), ([["192.0.2.1"]], 0))
        for receiver in self.network.hanging:  # too late
            receiver.resolutionComplete()
        self.assertEqual([seeker.told for seeker in seekers], [[[]]] * MAX_LOOKUPS)

    def test_a_resolver_that_knows_at_once(self) -> None:
        """However many names wait."""
        seekers = self.fill() + [self.ask(f"more{number}.example") for number in range(5000)]
        at_once = Network()
        at_once.resolveHostName = lambda receiver, host, *args: receiver.resolutionComplete()  # type: ignore[method-assign]
        self.network.nameResolver = at_once
        self.network.hanging.pop().resolutionComplete()
        self.assertEqual(sum(len(seeker.told) for seeker in seekers), 5001)

    def test_what_runs_is_counted_after_the_end(self) -> None:
        self.fill()
        self.names.close()
        self.assertEqual((len(self.names), self.network.getDelayedCalls()), (MAX_LOOKUPS, []))
        self.network.hanging[0].resolutionComplete()
        self.assertEqual(len(self.names), MAX_LOOKUPS - 1)


class FaultTests(Case):
    """A resolver that fails, with Twisted's own in between."""

    def resolve_with(self, function: Callable[..., Any]) -> None:
        pool: Any = Inline()
        self.network.nameResolver = GAIResolver(self.network, lambda: pool, function)

    def check_told(self, host: str) -> None:
        """Ask twice: it is over both times, with one line in the log and not a word about a bug."""
        for _ in range(2):
            seeker = self.ask(host)
            self.network.flush()
            self.assertEqual((seeker.told, len(self.names)), ([[]], 0), host)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_names_that_are_none_for_the_system(self) -> None:
        """For these ``getaddrinfo`` raises UnicodeError."""
        self.resolve_with(getaddrinfo)
        for host in ("a..example", "a" * 70 + ".example", ".example"):
            self.check_told(host)

    def test_what_twisted_takes_for_a_bug(self) -> None:
        """The system has no file left to ask a name server with; then it has."""

        def fail(*args: Any) -> Any:
            raise OSError(errno.EMFILE, "too many open files")

        self.resolve_with(fail)
        self.check_told("a.example")
        self.resolve_with(lambda *args: [(2, 1, 6, "", ("192.0.2.1", 0))])
        again = self.ask("a.example")
        self.network.flush()
        self.assertEqual(again.told, [["192.0.2.1"]])

    def test_a_name_that_is_not_there(self) -> None:
        def fail(*args: Any) -> Any:
            raise gaierror(EAI_NONAME, "no such name")

        self.resolve_with(fail)
        self.check_told("a.example")

    def test_a_resolver_that_raises(self) -> None:
        broken = Network()
        broken.resolveHostName = lambda *args: 1 / 0  # type: ignore[assignment,method-assign,return-value]
        self.network.nameResolver = broken
        seekers = [self.ask("a.example") for _ in range(2)]
        self.assertEqual([seeker.told for seeker in seekers], [[[]]] * 2)
        self.assertEqual(len(self.names), 0)
