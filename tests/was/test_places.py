"""Where questions are sent, and what is noted about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.errors import ConnectFailed
from skitai.was.calls import Verb
from skitai.was.cluster import Cluster
from skitai.was.limits import DEFAULT_TRUST, Trust
from skitai.was.places import Balanced, Server
from skitai.was.url import read_url
from tests.was.backends import Network
from tests.was.doubles import Caller


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watched: list[Cluster] = []
        self.cluster = self.make("a", "b.example:81/api")

    def make(self, *members: str, **extra: Any) -> Cluster:
        return Cluster(make_alias("@c", "http", members, extra))

    def now(self) -> float:
        return 0.0

    def watch(self, cluster: Cluster) -> None:
        self.watched.append(cluster)

    def outstanding(self) -> list[int]:
        return [line["outstanding"] for line in self.cluster.describe(0.0)]

    def states(self) -> list[str]:
        return [line["state"] for line in self.cluster.describe(0.0)]

    def test_one_server(self) -> None:
        url = read_url("http://a.example/")[0]
        place = Server(url)
        self.assertEqual([place.next(), place.next(), place.several], [(url, DEFAULT_TRUST), None, False])

    def test_each_member_in_turn(self) -> None:
        place = Balanced(self, self.cluster, "/x?y")
        self.assertTrue(place.several)
        for expected in ("http://a/x?y", "http://b.example:81/api/x?y"):
            where = place.next()
            assert where is not None
            self.assertEqual(where[0].text, expected)
            place.end(ConnectFailed("refused"))
        self.assertIsNone(place.next())
        self.assertEqual((self.states(), self.watched), (["down", "down"], [self.cluster] * 2))

    def test_one_member(self) -> None:
        for member in self.cluster.members:
            place = Balanced(self, self.cluster, "", member)
            where = place.next()
            assert where is not None
            self.assertEqual((where[0].host, place.several), (member.host, False))
            self.assertEqual(self.outstanding()[member.index], 1)
            place.end(None)
            self.assertIsNone(place.next())
        self.assertEqual(self.outstanding(), [0, 0])

    def test_ends_once(self) -> None:
        """Whoever ends it twice, or before it has begun, does not count somebody else's request."""
        for place in (Balanced(self, self.cluster, "", self.cluster.members[0]), Balanced(self, self.cluster, "")):
            place.end(ConnectFailed("too early"))
            place.next()
            place.end(None)
            place.end(ConnectFailed("too late"))
        self.assertEqual((self.outstanding(), self.states()), ([0, 0], ["up", "up"]))

    def test_whom_to_trust(self) -> None:
        cluster = self.make("a", ssl=True, verify=False)
        where = Balanced(self, cluster, "").next()
        assert where is not None
        self.assertEqual((where[0].text, where[1]), ("https://a/", Trust(None, False)))


class LimitTests(SynchronousTestCase):
    """What is noted about a member that was not even asked."""

    def check(self, state: str, code: int, **limits: int) -> None:
        """Make two requests to a server that takes its time, the second with less time than the first."""
        network = Network()
        network.serve(lambda backend, message: None)
        caller: Any = Caller(network, make_alias("@c", "http", ["a.example"], {}))
        dialer = caller.asker.client.dialer
        dialer.settings = replace(dialer.settings, **limits)
        Verb(caller, "get")("@c/", timeout=30)
        network.flush()
        late = Verb(caller, "get")("@c/", timeout=3)
        network.wait(3.1)
        self.assertEqual(late.response().status_code, code)
        [cluster] = caller.asker.clusters
        self.assertEqual([member["state"] for member in cluster.describe(network.seconds())], [state])
        caller.asker.close()

    def test_a_request_that_was_sent_counts(self) -> None:
        self.check("down", 730, max_connections=2)

    def test_one_that_had_no_turn_does_not(self) -> None:
        self.check("up", 730, max_connections=1)

    def test_one_that_found_too_many_before_it_does_not(self) -> None:
        self.check("up", 701, max_connections=1, max_waiting=0)
