"""Transaction ids: BEHAVIOUR's worked example, hostile ids, and the W3C trace context."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.transaction import (
    TraceParent,
    child_headers,
    child_ltxn,
    fresh_gtxn,
    gtxn_of,
    handed_on,
    instance_name,
    ltxn_of,
    parse_ltxn,
    parse_traceparent,
    trace_headers,
)
from tests.web.exchanges import make_exchange

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class IdTests(SynchronousTestCase):
    def test_fresh(self) -> None:
        exchange = make_exchange()
        self.assertEqual(gtxn_of(exchange), f"GTID-{instance_name()}-C3-R5")
        self.assertEqual(ltxn_of(exchange), 1000)
        self.assertRegex(instance_name(), "^[0-9a-f]{6}$")

    def test_received(self) -> None:
        exchange = make_exchange([(b"host", b"a"), (b"x-gtxn-id", b"GTID-C3-R8"), (b"x-ltxn-id", b"2001")])
        self.assertEqual(ltxn_of(exchange), 2001)
        self.assertEqual(gtxn_of(exchange), "GTID-C3-R8")
        self.assertEqual((exchange.gtxn, exchange.ltxn), ("GTID-C3-R8", 2001))

    def test_first_of_repeated(self) -> None:
        exchange = make_exchange(
            [(b"x-gtxn-id", b"one"), (b"x-gtxn-id", b"two"), (b"x-ltxn-id", b"2001"), (b"x-ltxn-id", b"2002")]
        )
        self.assertEqual((gtxn_of(exchange), ltxn_of(exchange)), ("one", 2001))

    def test_local_id_without_global(self) -> None:
        exchange = make_exchange([(b"x-ltxn-id", b"3002")])
        self.assertEqual((gtxn_of(exchange), ltxn_of(exchange)), (fresh_gtxn(3, 5), 3002))

    def test_hostile_global_id(self) -> None:
        for value in (b"", b"a\tb", b"caf\xc3\xa9", b"\x1b[2J", b"a\x7f", b"x" * 129, b"a\n"):
            with self.subTest(value):
                self.assertEqual(gtxn_of(make_exchange([(b"x-gtxn-id", value)])), fresh_gtxn(3, 5))

    def test_longest_global_id(self) -> None:
        value = "~ " + "x" * 126
        self.assertEqual(gtxn_of(make_exchange([(b"x-gtxn-id", value.encode())])), value)

    def test_not_a_number(self) -> None:
        for value in (b"", b"x", b"-1", b"+1", b"1.5", b"1_000", b" 7", b"\xb2", b"0x10", b"9" * 19, b"9" * 5000):
            with self.subTest(value):
                self.assertEqual(parse_ltxn(value), 1000)
        self.assertEqual(parse_ltxn(b"0"), 0)
        self.assertEqual(parse_ltxn(b"9" * 18), 10**18 - 1)

    def test_forked_process_has_its_own_name(self) -> None:
        read_end, write_end = os.pipe()
        child = os.fork()
        if not child:
            os.write(write_end, instance_name().encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write_end)
        self.addCleanup(os.close, read_end)
        self.assertNotEqual(os.read(read_end, 6).decode(), instance_name())


class ChildTests(SynchronousTestCase):
    def test_worked_example(self) -> None:
        self.assertEqual([child_ltxn(1000, call) for call in (1, 2)], [2001, 2002])
        self.assertEqual(child_ltxn(2001, 1), 3002)
        self.assertEqual(child_ltxn(2002, 1), 3003)

    def test_headers(self) -> None:
        exchange = make_exchange([(b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"2001")])
        self.assertEqual(
            child_headers(exchange, 1, handed_on(exchange)), [(b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"3002")]
        )

    def test_headers_of_fresh(self) -> None:
        exchange = make_exchange()
        self.assertEqual(
            child_headers(exchange, 2, handed_on(exchange)),
            [(b"x-gtxn-id", fresh_gtxn(3, 5).encode()), (b"x-ltxn-id", b"2002")],
        )

    def test_trace_context_is_handed_on(self) -> None:
        headers = [(b"tracestate", b"a=1"), (b"traceparent", PARENT), (b"tracestate", b"b=2")]
        passed = [(b"traceparent", PARENT), (b"tracestate", b"a=1,b=2")]
        exchange = make_exchange(headers)
        self.assertEqual(child_headers(exchange, 1, handed_on(exchange))[2:], passed)


class TraceContextTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        parsed = parse_traceparent(PARENT)
        self.assertEqual(parsed, TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1))
        assert parsed is not None
        self.assertTrue(parsed.sampled)
        self.assertFalse(parsed._replace(flags=2).sampled)
        self.assertEqual(parsed.format().encode(), PARENT)

    def test_later_version(self) -> None:
        for value in (b"cc" + PARENT[2:], b"cc" + PARENT[2:] + b"-what-will-be"):
            with self.subTest(value):
                self.assertEqual(parse_traceparent(value), parse_traceparent(PARENT))

    def test_malformed(self) -> None:
        for value in (
            b"",
            b"ff" + PARENT[2:],
            PARENT + b"-",
            PARENT + b"0",
            b"cc" + PARENT[2:] + b"x",
            PARENT.upper(),
            PARENT.replace(b"-", b"_"),
            PARENT[:-1],
            PARENT + b"\n",
            b"00-" + b"0" * 32 + PARENT[35:],
            PARENT[:36] + b"0" * 16 + b"-01",
        ):
            with self.subTest(value):
                self.assertIsNone(parse_traceparent(value))
                self.assertEqual(trace_headers([(b"traceparent", value), (b"tracestate", b"a=1")]), [])

    def test_repeated(self) -> None:
        self.assertEqual(trace_headers([(b"traceparent", PARENT), (b"traceparent", PARENT)]), [])

    def test_state_alone(self) -> None:
        self.assertEqual(trace_headers([(b"tracestate", b"a=1")]), [])
