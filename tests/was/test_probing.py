"""Probes: that they reach what requests reach, what they cost, and that they end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.was.cluster import Cluster
from skitai.was.connecting import Dialer
from skitai.was.health import PROBE_TIMEOUT, Outcome
from skitai.was.limits import ClientSettings
from skitai.was.probing import Prober
from tests.was.backends import HANGS, OK, Network

A, B = "192.0.2.1", "192.0.2.2"


class ProbeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.dialer = Dialer(self.network, ClientSettings())
        self.prober = Prober(self.dialer)
        self.cluster = Cluster(make_alias("@c", "http", ["a.example", B], {}))
        self.addCleanup(self.check_clean)

    def check_clean(self) -> None:
        self.prober.close()
        self.dialer.names.close()
        self.network.flush()
        self.assertEqual((self.network.open, self.network.attempts), (0, []))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def set_aside(self) -> None:
        """Have a request to the first member fail."""
        member, now = self.cluster.members[0], self.network.seconds()
        self.cluster.end(member, self.cluster.begin(member, now), Outcome.FAILED, now)
        self.prober.watch(self.cluster)

    def rests(self) -> bool:
        return bool(self.cluster.describe(self.network.seconds())[0]["rests"])

    def wear_down(self) -> None:
        """Have it fail until it rests for long."""
        for _ in range(5):
            self.set_aside()
            self.network.wait(self.cluster.describe(self.network.seconds())[0]["rests"])
        self.set_aside()
        self.assertTrue(self.rests())

    def test_a_connection_and_nothing_on_it(self) -> None:
        self.network.serve(lambda backend, message: OK)
        self.wear_down()
        made = len(self.network.backends)
        self.network.wait(5)
        self.assertFalse(self.rests())
        self.assertEqual((len(self.network.backends), self.network.open), (made + 1, 0))
        self.assertEqual({backend.received for backend in self.network.backends}, {b""})

    def test_all_addresses_of_whatever_sort(self) -> None:
        self.network.serve(lambda backend, message: OK)
        for addresses in (["2001:db8::1"], ["192.0.2.9", A], ["2001:db8::1", "2001:db8::2", A]):
            self.network.places[("2001:db8::1" if len(addresses) < 2 else A, 80)] = self.network.places[(A, 80)]
            self.network.names["a.example"] = addresses
            self.wear_down()
            self.network.wait(5)
            self.assertFalse(self.rests(), addresses)
            self.network.places.pop(("2001:db8::1", 80), None)

    def test_one_lookup_however_long_it_takes(self) -> None:
        self.network.names["a.example"] = None
        self.set_aside()
        for _ in range(9):
            self.network.wait(1)
        self.assertEqual((self.network.lookups, len(self.dialer.names)), (["a.example"], 1))

    def test_ends_in_time(self) -> None:
        self.network.names["a.example"] = [A]
        self.network.places[(A, 80)] = HANGS
        self.set_aside()
        self.network.wait(1)
        self.assertEqual(len(self.network.attempts), 1)
        self.network.wait(PROBE_TIMEOUT)
        self.assertEqual(self.network.attempts, [])
        self.assertTrue(self.rests())

    def test_a_name_that_is_none(self) -> None:
        self.cluster = Cluster(make_alias("@c", "redis", ["a..example", B], {}))
        self.set_aside()
        self.network.wait(1)
        self.assertTrue(self.rests())

    def test_the_end_of_one_under_way(self) -> None:
        self.network.names["a.example"] = [A]
        self.network.places[(A, 80)] = HANGS
        self.set_aside()
        self.network.wait(1)
        self.prober.close()
        self.assertEqual((self.network.attempts, self.network.getDelayedCalls()), ([], []))
        self.prober.watch(self.cluster)
        self.assertEqual(self.network.getDelayedCalls(), [])
