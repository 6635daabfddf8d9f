"""How requests are spread over the members of a cluster, and what members are read from."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.errors import ConfigError
from skitai.was.cluster import Attempts, Cluster, Clusters, Member, read_members, split_reference
from skitai.was.health import Outcome

FAILED, UNKNOWN, WELL = Outcome.FAILED, Outcome.UNKNOWN, Outcome.WELL


def cluster(*members: str, ctype: str = "http", **extra: Any) -> Cluster:
    """Make a cluster."""
    return Cluster(make_alias("@c", ctype, list(members), extra))


def member(text: str, ctype: str = "http", **extra: Any) -> Member:
    """Read a member."""
    return read_members(make_alias("@c", ctype, text, extra))[0]


class MemberTests(SynchronousTestCase):
    """Members as users write them."""

    def test_http(self) -> None:
        for text, expected in {
            "h": ("h", 80, 1, ""),
            "h:8080": ("h", 8080, 1, ""),
            "h 3": ("h", 80, 3, ""),
            "h:8080 12": ("h", 8080, 12, ""),
            "  h:8080/   2 ": ("h", 8080, 2, ""),
            "h:8080/api/v1": ("h", 8080, 1, "/api/v1"),
            "h/api/ 4": ("h", 80, 4, "/api"),
            "[::1]": ("::1", 80, 1, ""),
            "[2001:db8::7]:81/x 2": ("2001:db8::7", 81, 2, "/x"),
            "[2001:0DB8::0:7]": ("2001:db8::7", 80, 1, ""),
            "bücher.Example/café/%7e 2": ("xn--bcher-kva.example", 80, 2, "/caf%C3%A9/%7e"),
            "A.example:443": ("a.example", 443, 1, ""),
            "10.0.0.1:81": ("10.0.0.1", 81, 1, ""),
        }.items():
            found = member(text)
            self.assertEqual((found.host, found.port, found.weight, found.path), expected, text)
            self.assertEqual((found.database, found.user, found.password), ("", "", ""))

    def test_http_that_can_not_be_asked(self) -> None:
        """All of an alias, and of all aliases, in one message."""
        bad = ("h?x=1", "h/a#top", "a..example", "a" * 70, "[1:2]", "127.1", "ü_!.example")
        for text in bad:
            error = self.assertRaises(ConfigError, member, text)
            self.assertIn(f"alias '@c': member {text!r}: ", str(error))
        error = self.assertRaises(ConfigError, cluster, "h", *bad, ssl=True)
        self.assertEqual(len(error.faults), len(bad))
        aliases = [make_alias(name, "http", ["h", *bad], {}) for name in ("@a", "@b")]
        self.assertEqual(len(self.assertRaises(ConfigError, Clusters, aliases).faults), 2 * len(bad))

    def test_ports(self) -> None:
        for ctype, extra, expected in (
            ("http", {}, 80),
            ("http", {"ssl": True}, 443),
            ("https", {}, 443),
            ("ws", {}, 80),
            ("wss", {}, 443),
            ("postgresql", {}, 5432),
            ("postgresql", {"ssl": True}, 5432),
            ("redis", {}, 6379),
            ("mongodb", {}, 27017),
        ):
            self.assertEqual(member("h", ctype, **extra).port, expected, (ctype, extra))

    def test_databases(self) -> None:
        for text, expected in {
            "h:5432/mydb/joe/secret": ("mydb", "joe", "secret"),
            "h/mydb/joe/sec/ret/ 2": ("mydb", "joe", "sec/ret/"),
            "h/0//secret": ("0", "", "secret"),
            "h//joe": ("", "joe", ""),
            "h/mydb": ("mydb", "", ""),
            "h/": ("", "", ""),
            "h:1 3": ("", "", ""),
        }.items():
            for ctype in ("postgresql", "redis", "mongodb"):
                found = member(text, ctype)
                self.assertEqual((found.database, found.user, found.password), expected, text)
                self.assertEqual((found.host, found.path), ("h", ""))

    def test_sqlite(self) -> None:
        """A path is a path, whatever is in it."""
        found = member("/var/tmp/my db 3", "sqlite3")
        self.assertEqual((found.path, found.host, found.port, found.weight), ("/var/tmp/my db 3", "", 0, 1))
        self.assertEqual(str(found), "/var/tmp/my db 3")

    def test_no_password_is_shown(self) -> None:
        found = member("h:1/mydb/joe/hush", "postgresql")
        several = cluster("h:1/mydb/joe/hush", ctype="postgresql")
        for text in (repr(found), str(found), repr(several), repr(several.describe(0.0))):
            self.assertIn("h", text)
            self.assertNotIn("hush", text)

    def test_names(self) -> None:
        self.assertEqual((str(member("h:81/api")), member("[::1]:81").authority), ("h:81", "[::1]:81"))

    def test_never_equal(self) -> None:
        """A server that is named twice has two places."""
        one, two = cluster("h:1", "h:1").members
        self.assertNotEqual(one, two)
        self.assertNotEqual(member("h"), member("h"))
        self.assertEqual((one.index, two.index), (0, 1))

    def test_targets(self) -> None:
        for text, rest, expected in (
            ("h", "", "/"),
            ("h", "/rpc2", "/rpc2"),
            ("h", "?a=b", "/?a=b"),
            ("h/api", "", "/api"),
            ("h/api/", "/rpc2?a=b", "/api/rpc2?a=b"),
            ("h/api", "?a=b", "/api?a=b"),
            ("h", "//evil/x", "//evil/x"),
        ):
            self.assertEqual(member(text).target(rest), expected, (text, rest))


class ReferenceTests(SynchronousTestCase):
    """What names a cluster and a path."""

    def test_split(self) -> None:
        for text, expected in {
            "@mysearch/rpc2": ("@mysearch", "/rpc2"),
            "@db": ("@db", ""),
            "@a.b-c_1/": ("@a.b-c_1", "/"),
            "@a?x=1": ("@a", "?x=1"),
            "@a/b?x=/#top": ("@a", "/b?x=/"),
            "@a#top": ("@a", ""),
            "@a/@b": ("@a", "/@b"),
        }.items():
            self.assertEqual(split_reference(text), expected)

    def test_refused(self) -> None:
        for text in ("", "@", "@/x", "a/b", "@a b/c", " @a", "@a:80/x", "http://@a/"):
            error = self.assertRaises(ValueError, split_reference, text)
            self.assertIn(repr(text), str(error))

    def test_find(self) -> None:
        clusters = Clusters([make_alias("mysearch", "http", "h", {}), make_alias("@db", "redis", "h", {})])
        found, rest = clusters.find("@mysearch/rpc2?x")
        self.assertEqual((found.name, found.alias.type, rest), ("@mysearch", "http", "/rpc2?x"))
        self.assertIs(clusters.find("@mysearch")[0], found)
        self.assertEqual([each.name for each in clusters], ["@mysearch", "@db"])

    def test_unknown(self) -> None:
        clusters = Clusters([make_alias("@mysearch", "http", "h", {})])
        error = self.assertRaises(ValueError, clusters.find, "@mysaerch/rpc2")
        self.assertEqual(str(error), "there is no alias '@mysaerch' (did you mean @mysearch?)")
        self.assertIn("no alias '@x'", str(self.assertRaises(ValueError, Clusters().find, "@x")))


class Load:
    """Requests to a cluster, in flight until tests end them."""

    def __init__(self, target: Cluster) -> None:
        self.cluster = target
        self.now = 0.0
        self.flying: list[tuple[Member, int]] = []

    def start(self) -> int:
        """Send a request; return the index of its member."""
        chosen = self.cluster.pick(self.now)
        assert chosen is not None
        self.flying.append((chosen, self.cluster.begin(chosen, self.now)))
        return chosen.index

    def finish(self, place: int = 0, outcome: Outcome = WELL) -> None:
        """End a request."""
        chosen, ticket = self.flying.pop(place)
        self.cluster.end(chosen, ticket, outcome, self.now)

    def once(self, outcome: Outcome = WELL) -> int:
        """Send a request that ends at once; return the index of its member."""
        index = self.start()
        self.finish(-1, outcome)
        return index

    def down(self, *indexes: int) -> None:
        """Have members fail."""
        for index in indexes:
            chosen = self.cluster.members[index]
            self.cluster.end(chosen, self.cluster.begin(chosen, self.now), FAILED, self.now)


class BalanceTests(SynchronousTestCase):
    """Which member a request goes to while all are well."""

    def test_members_in_order(self) -> None:
        self.assertEqual([each.host for each in cluster("b", "a 3", "c", "a").members], ["b", "a", "c", "a"])

    def test_turns(self) -> None:
        load = Load(cluster("a", "b", "c"))
        self.assertEqual([load.once() for _ in range(7)], [0, 1, 2, 0, 1, 2, 0])

    def test_weighted_turns_are_spread(self) -> None:
        load = Load(cluster("a 3", "b 1"))
        self.assertEqual([load.once() for _ in range(8)], [0, 0, 1, 0, 0, 0, 1, 0])

    def test_fewest_outstanding(self) -> None:
        """A slow member gets no more while another has less to do."""
        load = Load(cluster("a", "b", "c"))
        self.assertEqual([load.start() for _ in range(3)], [0, 1, 2])
        load.finish(1)
        self.assertEqual(load.start(), 1)
        load.finish(0)
        self.assertEqual([load.once() for _ in range(5)], [0] * 5)

    def test_a_member_that_hangs(self) -> None:
        load = Load(cluster("a", "b"))
        self.assertEqual(load.start(), 0)
        self.assertEqual([load.once() for _ in range(10)], [1] * 10)

    def test_outstanding_by_weight(self) -> None:
        """Members that are kept busy are so by weight."""
        load = Load(cluster("a 3", "b 1", "c 2"))
        self.assertEqual(Counter(load.start() for _ in range(60)), {0: 30, 1: 10, 2: 20})

    def test_one_member(self) -> None:
        load = Load(cluster("a 5"))
        self.assertEqual([load.start() for _ in range(3)], [0, 0, 0])

    def test_nothing_is_counted_by_choosing(self) -> None:
        target = cluster("a", "b")
        self.assertEqual([target.pick(0.0) for _ in range(4)], [*target.members, *target.members])
        self.assertEqual([line["outstanding"] for line in target.describe(0.0)], [0, 0])

    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4))
    def test_shares(self, weights: list[int], rounds: int) -> None:
        """One after the other, members get exactly their shares in each round."""
        load = Load(cluster(*[f"h{index} {weight}" for index, weight in enumerate(weights)]))
        for _ in range(rounds):
            counts = Counter(load.once() for _ in range(sum(weights)))
            self.assertEqual([counts[index] for index in range(len(weights))], weights)

    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(1, 9), min_size=2, max_size=5),
        st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=120),
    )
    def test_loads(self, weights: list[int], steps: list[int | None]) -> None:
        """However requests come and go, a new one goes to a member with the lowest load in relation to its weight."""
        load = Load(cluster(*[f"h{index} {weight}" for index, weight in enumerate(weights)]))
        for step in steps:
            if step is not None and load.flying:
                load.finish(step % len(load.flying))
                continue
            counts = Counter(flying.index for flying, _ in load.flying)
            levels = [counts[index] * min(weights) // weight for index, weight in enumerate(weights)]
            self.assertEqual(levels[load.start()], min(levels))
        outstanding = [line["outstanding"] for line in load.cluster.describe(0.0)]
        self.assertEqual(sum(outstanding), len(load.flying))


class FailureTests(SynchronousTestCase):
    """Which member a request goes to while some are not well."""

    def setUp(self) -> None:
        self.load = Load(cluster("a", "b", "c"))

    def take(self, count: int) -> set[int]:
        """Return which members ``count`` requests go to that end well."""
        return {self.load.once() for _ in range(count)}

    def test_set_aside(self) -> None:
        self.load.down(1)
        self.assertEqual(self.take(6), {0, 2})

    def test_back_after_its_rest(self) -> None:
        """One request tries it; when that is answered it takes its share."""
        self.load.down(1)
        self.load.now = 1.0
        trial = [self.load.start() for _ in range(6)]
        self.assertEqual((trial.count(1), sorted(Counter(trial).values())), (1, [1, 2, 3]))
        for _ in trial:
            self.load.finish()
        self.assertEqual(Counter(self.load.once() for _ in range(9)), {0: 3, 1: 3, 2: 3})

    def test_all_down(self) -> None:
        """Then all are tried, and one that answers is used at once."""
        self.load.down(0, 1, 2)
        self.assertEqual([self.load.once(FAILED) for _ in range(6)], [0, 1, 2, 0, 1, 2])
        self.assertEqual(self.load.once(WELL), 0)
        self.assertEqual(self.take(6), {0})

    def test_down_for_long_and_back(self) -> None:
        """A member that has rested for minutes is in use within 10 seconds after it has returned."""
        target = self.load.cluster
        self.load.down(1)
        returns = 600.25
        wasted = 0
        while self.load.now < 700:
            when = target.next_probe()
            assert when is not None
            self.load.now = max(when, self.load.now)
            for probe in target.due_probes(self.load.now):
                self.assertEqual(probe.member.index, 1)
                reached = self.load.now >= returns
                self.load.now += 0.05 if reached else 4.0
                target.probed(probe, reached, self.load.now)
            asked = []
            for _ in range(3):
                asked.append(self.load.start())
                self.load.finish(0, FAILED if asked[-1] == 1 and self.load.now < returns else WELL)
            if 1 in asked and self.load.now >= returns:
                break
            wasted += asked.count(1)
        self.assertGreaterEqual(self.load.now, returns)
        self.assertLess(self.load.now, returns + 10)
        self.assertIn(wasted, (8, 9, 10))  # one a minute, for what no probe reaches may be well
        self.assertIs(target.next_probe(), None)
        self.assertEqual(Counter(self.load.once() for _ in range(9)), {0: 3, 1: 3, 2: 3})

    def test_probes(self) -> None:
        """They are due one by one, once each, and only for those that rest."""
        target = self.load.cluster
        self.assertIs(target.next_probe(), None)
        self.assertEqual(target.due_probes(1000.0), [])
        self.load.down(2)
        self.load.now = 0.5
        self.load.down(0)
        self.assertEqual(target.next_probe(), 1.0)
        self.assertEqual(target.due_probes(0.9), [])
        (probe,) = target.due_probes(1.0)
        self.assertIs(probe.member, target.members[2])
        self.assertEqual(target.next_probe(), 1.5)
        self.assertEqual([each.member.index for each in target.due_probes(1.5)], [0])
        self.assertEqual(target.due_probes(1.5), [])
        target.probed(probe, False, 1.5)
        self.assertEqual(target.describe(1.5)[2], {
            "member": "c:80", "weight": 1, "outstanding": 0, "state": "down", "rests": 2.0,
        })  # fmt: skip

    def test_files_are_not_probed(self) -> None:
        self.load = Load(cluster("/a", "/b", ctype="sqlite3"))
        for _ in range(9):
            self.load.down(0)
            self.load.now += 8.0
        self.assertIs(self.load.cluster.next_probe(), None)
        self.assertEqual(self.load.cluster.due_probes(self.load.now), [])
        self.assertEqual(self.take(4), {0, 1})

    def test_exclude(self) -> None:
        """Excluded ones are not asked; a resting one is better than none."""
        a, b, c = self.load.cluster.members
        pick = self.load.cluster.pick
        self.assertEqual({pick(0.0, [a]) for _ in range(4)}, {b, c})
        self.load.down(1)
        self.assertIs(pick(0.0, {a}), c)
        self.assertIs(pick(0.0, [a, c]), b)
        self.assertIs(pick(0.0, [a, b, c]), None)


class AttemptsTests(SynchronousTestCase):
    """One request, at one member after the other."""

    def setUp(self) -> None:
        self.cluster = cluster("a", "b 2", "c")

    def outstanding(self) -> int:
        return sum(line["outstanding"] for line in self.cluster.describe(0.0))

    def test_no_member_twice(self) -> None:
        attempts = Attempts(self.cluster)
        asked = []
        while (chosen := attempts.next(0.0)) is not None:
            self.assertIs(attempts.member, chosen)
            self.assertEqual(self.outstanding(), 1)
            asked.append(chosen)
            attempts.end(FAILED, 0.0)
        self.assertEqual(sorted(each.index for each in asked), [0, 1, 2])
        self.assertEqual((self.outstanding(), attempts.member), (0, None))
        self.assertEqual({line["state"] for line in self.cluster.describe(0.0)}, {"down"})

    def test_resting_members_come_last(self) -> None:
        load = Load(self.cluster)
        load.down(1)
        attempts = Attempts(self.cluster)
        asked = []
        for _ in range(3):
            chosen = attempts.next(0.0)
            assert chosen is not None
            asked.append(chosen.index)
            attempts.end(FAILED, 0.0)
        self.assertEqual(asked[2], 1)

    def test_ends_once(self) -> None:
        attempts = Attempts(self.cluster)
        attempts.end(FAILED, 0.0)
        attempts.next(0.0)
        attempts.end(WELL, 0.0)
        attempts.end(FAILED, 0.0)
        self.assertEqual(self.outstanding(), 0)
        self.assertEqual({line["state"] for line in self.cluster.describe(0.0)}, {"up"})

    def test_only_one(self) -> None:
        only = self.cluster.members[1]
        attempts = Attempts(self.cluster, only)
        self.assertEqual([attempts.next(0.0), self.outstanding(), attempts.next(0.0)], [only, 1, None])
        self.assertEqual(self.outstanding(), 0)

    def test_going_on_leaves_nothing_behind(self) -> None:
        attempts = Attempts(self.cluster)
        attempts.next(0.0)
        attempts.next(0.0)
        self.assertEqual(self.outstanding(), 1)

    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(st.lists(st.lists(st.sampled_from(Outcome), min_size=1, max_size=3), max_size=25), st.floats(0.1, 20))
    def test_always_somebody(self, stories: list[list[Outcome]], pause: float) -> None:
        """Whatever has happened, a new request finds a member, none twice, and nothing stays counted."""
        target = cluster("a", "b 2", "c")
        now = 0.0
        for story in stories:
            attempts = Attempts(target)
            asked = []
            for outcome in story:
                asked.append(attempts.next(now))
                now += pause / 3
                attempts.end(outcome, now)
            self.assertNotIn(None, asked)
            self.assertEqual(len(set(asked)), len(story))
            now += pause
        self.assertEqual(sum(line["outstanding"] for line in target.describe(now)), 0)
