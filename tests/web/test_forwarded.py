"""What is believed of Forwarded and X-Forwarded-*: from whom, how far, and what a forger gains."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.web.exchange import Peers
from skitai.web.forwarded import Origin, TrustedProxies
from tests.web.exchanges import make_exchange, make_request

PROXY = "10.0.0.9"
REAL = "203.0.113.7"


class _ForwardedTestCase(SynchronousTestCase):
    networks: tuple[str, ...] = ("10.0.0.0/8", "2001:db8::/32", "unix")

    def resolve(self, peer: str = PROXY, **fields: str | list[str]) -> Origin | None:
        """Resolve a request from ``peer`` to example.com with the ``fields``, with underscores for hyphens."""
        headers = [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, values in fields.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        peers = Peers((peer, 1234 if peer else 0), ("127.0.0.1", 5000), False, 3)
        return TrustedProxies(self.networks).resolve(peers, make_request(headers))

    def client(self, peer: str = PROXY, **fields: str | list[str]) -> str:
        """Return the address that is believed."""
        origin = self.resolve(peer, **fields)
        return peer if origin is None else origin.client[0]


class TrustTests(_ForwardedTestCase):
    def test_never_from_untrusted(self) -> None:
        for peer in ("192.0.2.1", "11.0.0.1", "::1", "2001:db9::1", "fe80::1%eth0"):
            with self.subTest(peer):
                self.assertIsNone(self.resolve(peer, forwarded="for=1.2.3.4", x_forwarded_for="1.2.3.4"))

    def test_trusted(self) -> None:
        for peer in (PROXY, "2001:db8::5", "::ffff:10.1.2.3", ""):
            with self.subTest(peer):
                self.assertEqual(self.client(peer, x_forwarded_for=REAL), REAL)

    def test_unix_only_when_listed(self) -> None:
        self.networks = ("10.0.0.0/8",)
        self.assertIsNone(self.resolve("", x_forwarded_for=REAL))

    def test_nobody(self) -> None:
        self.networks = ()
        self.assertIsNone(self.resolve(x_forwarded_for=REAL))

    def test_networks_as_settings_hold_them(self) -> None:
        proxies = TrustedProxies([ip_network("10.0.0.0/8"), "192.168.1/24"])
        for peer in (PROXY, "192.168.1.77"):
            peers = Peers((peer, 1), ("127.0.0.1", 5000), False, 3)
            self.assertIsNotNone(proxies.resolve(peers, make_request([(b"x-forwarded-for", b"1.2.3.4")])))

    def test_no_network(self) -> None:
        with self.assertRaises((ConfigError, ValueError)) as caught:
            TrustedProxies(["10.0.0.0/99"])
        self.assertIn("10.0.0.0/99", str(caught.exception))

    def test_no_fields(self) -> None:
        self.assertIsNone(self.resolve(host="x"))

    def test_many_peers_are_not_remembered_for_ever(self) -> None:
        proxies = TrustedProxies(["10.0.0.0/8"])
        for number in range(3000):
            peers = Peers((f"192.0.{number // 256}.{number % 256}", 1), ("127.0.0.1", 5000), False, 3)
            self.assertIsNone(proxies.resolve(peers, make_request()))
        self.assertLessEqual(len(proxies._known), 1024)


class ForwardedTests(_ForwardedTestCase):
    def test_all_of_it(self) -> None:
        self.assertEqual(
            self.resolve(forwarded=f'For="{REAL}:4711";Proto=HTTPS;Host="shop.example:8443";by=10.0.0.9'),
            Origin((REAL, 4711), True, "shop.example:8443"),
        )

    def test_what_is_not_told_stays(self) -> None:
        self.assertEqual(self.resolve(forwarded=f"for={REAL}"), Origin((REAL, 0), False, "example.com"))
        self.assertEqual(self.resolve(forwarded="proto=https"), Origin((PROXY, 1234), True, "example.com"))

    def test_nodes(self) -> None:
        for node, client in (
            ('"[2001:db9::17]:4711"', ("2001:db9::17", 4711)),
            ('"[2001:DB9:0::17]"', ("2001:db9::17", 0)),
            ("[2001:db9::17]", ("2001:db9::17", 0)),
            (f'"{REAL}:_hidden"', (REAL, 0)),
            ("::ffff:203.0.113.7", (REAL, 0)),
            ("unknown", (PROXY, 1234)),
            ("_gazonk", (PROXY, 1234)),
        ):
            with self.subTest(node):
                self.assertEqual(self.resolve(forwarded=f"for={node}"), Origin(client, False, "example.com"))

    def test_zones(self) -> None:
        """The zone of an address may be the name of an interface (RFC 4007 section 11) and no other text."""
        self.assertEqual(self.client(x_forwarded_for="fe80::1%eth0"), "fe80::1%eth0")
        for text in ("fe80::1%a b", 'fe80::1%"', "fe80::1%[x]", "fe80::1%\xe9", "fe80::1%" + "x" * 100):
            with self.subTest(text):
                self.assertEqual(self.client(x_forwarded_for=text), PROXY)

    def test_walks_over_trusted_addresses_only(self) -> None:
        self.assertEqual(self.client(forwarded=f"for=1.1.1.1, for={REAL}, for=10.0.0.1"), REAL)
        self.assertEqual(self.client(forwarded=[f"for=1.1.1.1, for={REAL}", "for=10.0.0.1"]), REAL)
        self.assertEqual(self.client(forwarded="for=10.0.0.2, for=10.0.0.1"), "10.0.0.2")

    def test_farthest_trusted_word_counts(self) -> None:
        origin = self.resolve(
            forwarded=f"for=1.1.1.1;host=evil;proto=http, for={REAL};proto=https;host=a, for=10.0.0.1;proto=http"
        )
        self.assertEqual(origin, Origin((REAL, 0), True, "a"))

    def test_malformed_ends_the_walk(self) -> None:
        for element in (
            "for=1.1.1.999",
            'for="1.1.1.1',
            "for=1.1.1.1:99999",
            "for=1.1.1.1;for=2.2.2.2",
            "for=1.1.1.1;proto=gopher",
            'for=1.1.1.1;host="a b"',
            'for=1.1.1.1;host="a/b"',
            "for=1.1.1.1;host=\x80",
            "for 1.1.1.1",
            "1.1.1.1",
        ):
            with self.subTest(element):
                self.assertEqual(self.client(forwarded=f"{element}, for=10.0.0.1"), "10.0.0.1")
                self.assertIsNone(self.resolve(forwarded=element))

    def test_a_quote_left_open_swallows_nothing(self) -> None:
        for forged in ('for="', 'for=1.1.1.1;host="x', 'for="\\', 'a="x\\"', '"'):
            with self.subTest(forged):
                self.assertEqual(self.client(forwarded=f'{forged}, for={REAL};by="_p"'), REAL)
                self.assertEqual(self.client(forwarded=f'{forged}, for="{REAL}:1"'), REAL)

    def test_quoted_comma_is_no_border(self) -> None:
        self.assertEqual(self.client(forwarded=f'for={REAL};x="a, for=1.1.1.1"'), REAL)

    def test_empty_elements(self) -> None:
        self.assertEqual(self.client(forwarded=f", ,for={REAL}, ,"), REAL)

    def test_endless_chain(self) -> None:
        self.assertTrue(self.client(forwarded="for=10.0.0.1," * 5000).startswith("10."))


class XForwardedTests(_ForwardedTestCase):
    def test_all_of_it(self) -> None:
        self.assertEqual(
            self.resolve(
                x_forwarded_for=REAL,
                x_forwarded_proto="https",
                x_forwarded_host="shop.example",
                x_forwarded_port="8443",
            ),
            Origin((REAL, 0), True, "shop.example:8443"),
        )

    def test_walks_over_trusted_addresses_only(self) -> None:
        self.assertEqual(self.client(x_forwarded_for=f"1.1.1.1, {REAL}, 10.0.0.1"), REAL)
        self.assertEqual(self.client(x_forwarded_for=["1.1.1.1", REAL, "10.0.0.1"]), REAL)
        self.assertEqual(self.client(x_forwarded_for=f"{REAL}:4711"), REAL)
        self.assertEqual(self.client(x_forwarded_for="2001:db9::17,10.0.0.1"), "2001:db9::17")
        self.assertEqual(self.client(x_forwarded_for="[2001:db9::17]:80"), "2001:db9::17")

    def test_malformed_ends_the_walk(self) -> None:
        self.assertEqual(self.client(x_forwarded_for="1.1.1.1, junk, 10.0.0.1"), "10.0.0.1")
        self.assertEqual(self.client(x_forwarded_for="1.1.1.1, unknown, 10.0.0.1"), "10.0.0.1")
        self.assertIsNone(self.resolve(x_forwarded_for="junk", x_forwarded_proto="https"))
        self.assertIsNone(self.resolve(x_forwarded_for=REAL, x_forwarded_host="a b"))

    def test_lists_are_aligned_from_the_right(self) -> None:
        forged_and_real = self.resolve(x_forwarded_for=f"1.1.1.1, {REAL}", x_forwarded_proto="https, http")
        self.assertEqual(forged_and_real, Origin((REAL, 0), False, "example.com"))
        two_proxies = self.resolve(
            x_forwarded_for=f"{REAL}, 10.0.0.1", x_forwarded_proto="https, http", x_forwarded_host="a, b"
        )
        self.assertEqual(two_proxies, Origin((REAL, 0), True, "a"))
        one_value = self.resolve(x_forwarded_for=f"{REAL}, 10.0.0.1", x_forwarded_proto="https")
        self.assertEqual(one_value, Origin((REAL, 0), True, "example.com"))

    def test_without_address(self) -> None:
        self.assertEqual(self.resolve(x_forwarded_proto="wss"), Origin((PROXY, 1234), True, "example.com"))

    def test_ports(self) -> None:
        for scheme, host, port, expected in (
            ("https", "a", "443", "a"),
            ("http", "a", "80", "a"),
            ("https", "a", "80", "a:80"),
            ("https", "a:1", "8443", "a:1"),
            ("https", "[::1]", "8443", "[::1]:8443"),
            ("https", "a", "junk", "a"),
            ("https", "a", "0", "a"),
            ("https", "a", "65536", "a"),
        ):
            with self.subTest((scheme, host, port)):
                origin = self.resolve(x_forwarded_proto=scheme, x_forwarded_host=host, x_forwarded_port=port)
                assert origin is not None
                self.assertEqual(origin.host, expected)


class BothTests(_ForwardedTestCase):
    def test_forwarded_is_preferred(self) -> None:
        origin = self.resolve(
            forwarded=f"for={REAL};proto=https;host=a", x_forwarded_for=REAL, x_forwarded_host="b", x_forwarded_port="1"
        )
        self.assertEqual(origin, Origin((REAL, 0), True, "a"))

    def test_forged_one_makes_both_worthless(self) -> None:
        self.assertIsNone(self.resolve(forwarded="for=127.0.0.1", x_forwarded_for=REAL))
        self.assertIsNone(self.resolve(forwarded=f"for={REAL}", x_forwarded_for="127.0.0.1"))

    def test_malformed_one_counts_for_nothing(self) -> None:
        self.assertEqual(self.client(forwarded="junk", x_forwarded_for=REAL), REAL)
        self.assertEqual(self.client(forwarded=f"for={REAL}", x_forwarded_for="junk"), REAL)


class ApplyTests(SynchronousTestCase):
    def test_applied(self) -> None:
        headers = [(b"x-forwarded-for", REAL.encode()), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"a")]
        exchange = make_exchange(headers, client=(PROXY, 1))
        TrustedProxies([PROXY]).apply(exchange)
        self.assertEqual(exchange.peers, Peers((REAL, 0), ("127.0.0.1", 5000), True, 3))
        self.assertEqual(exchange.request.host, "a")

    def test_not_applied(self) -> None:
        exchange = make_exchange([(b"x-forwarded-for", b"1.2.3.4")])
        peers = exchange.peers
        TrustedProxies([PROXY]).apply(exchange)
        self.assertIs(exchange.peers, peers)
