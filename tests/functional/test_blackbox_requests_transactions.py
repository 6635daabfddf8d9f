"""Transaction ids: made, kept, counted, forwarded and logged."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.requestbox import FRONT, SINGLE, Front
from tests.functional.saddlebox import each, tables

GTID = r"GTID-[0-9a-f]{6}-C\d+-R\d+"
IDS = "[[h['x-gtxn-id'], h['x-ltxn-id']] for h in (r.getwait(5).data['headers'] for r in requests)]"


def three(*fields: str) -> Any:
    """Return the ids of three calls of a page asked for with ``fields``."""
    return FRONT.do(f"requests = [was.get(A + '/echo') for _ in range(3)]\nreturn {IDS}", *fields)


@tables
class Ids(SynchronousTestCase):
    def test_a_fresh_request(self) -> None:
        ids = three()
        self.assertRegex(ids[0][0], f"^{GTID}$")
        self.assertEqual([local for _, local in ids], ["2001", "2002", "2003"])
        self.assertEqual(len({glob for glob, _ in ids}), 1)
        self.assertNotEqual(three()[0][0], ids[0][0])

    @each(
        ("1000", ["2001", "2002", "2003"]),
        ("2001", ["3002", "3003", "3004"]),
        ("2002", ["3003", "3004", "3005"]),
        ("3005", ["4006", "4007", "4008"]),
        ("x", ["2001", "2002", "2003"]),
        ("", ["2001", "2002", "2003"]),
        ("-5", ["2001", "2002", "2003"]),
        ("1e3", ["2001", "2002", "2003"]),
    )
    def test_received(self, received: str, expected: list[str]) -> None:
        ids = three("X-Gtxn-Id: GTID-mine-1", f"X-Ltxn-Id: {received}")
        self.assertEqual([local for _, local in ids], expected)
        self.assertEqual({glob for glob, _ in ids}, {"GTID-mine-1"})

    @each(
        ("GTID-C4676-R67", True),
        ("anything at all!", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("caf\xe9", False),
        ("a\tb", False),
    )
    def test_what_is_kept(self, received: str, kept: bool) -> None:
        ids = three(f"X-Gtxn-Id: {received}", "X-Ltxn-Id: 2001")
        if kept:
            self.assertEqual(ids[0][0], received)
        else:
            self.assertRegex(ids[0][0], f"^{GTID}$")

    def test_a_local_id_alone(self) -> None:
        ids = three("X-Ltxn-Id: 2001")
        self.assertRegex(ids[0][0], f"^{GTID}$")

    def test_a_chain(self) -> None:
        """A is asked, it asks B twice, each of which asks twice again."""
        reply = FRONT.ask("/chain?depth=2")
        top = json.loads(reply.body)
        self.assertEqual([one["ids"][1] for one in top["inner"]], ["2001", "2002"])
        self.assertEqual(
            [[two["ids"][1] for two in one["inner"]] for one in top["inner"]], [["3002", "3003"], ["3003", "3004"]]
        )
        glob = top["inner"][0]["ids"][0]
        self.assertRegex(glob, f"^{GTID}$")
        for local in ("1000", "2001", "2002", "3002", "3003", "3004"):
            FRONT.server.wait_for(rf"(GET|POST) /chain\S* HTTP/1.1 200 \d+ \d+ {re.escape(glob)} {local} ", 5)

    @each(
        "was.get(A + '/echo')",
        "was.post(A + '/echo', {'a': 1})",
        "was.get.lb('@pair/echo')",
        "was.get('@tls/echo')",
        "was.upload(A + '/echo', {'a': 1})",
        "was.get(A + '/to/302?/echo')",
        "was.delete(A + '/echo')",
    )
    def test_every_call_carries_them(self, request: str) -> None:
        headers = FRONT.do(f"{request}.getwait(5).data['headers']", "X-Gtxn-Id: G", "X-Ltxn-Id: 2005")
        self.assertEqual((headers["x-gtxn-id"], headers["x-ltxn-id"]), ("G", "3006"))

    def test_rpc_counts_too(self) -> None:
        code = """
            was.rpc(A + '/rpc2').add(1, 2).wait(5)
            return was.get(A + '/echo').getwait(5).data['headers']['x-ltxn-id']
        """
        self.assertEqual(FRONT.do(code), "2002")

    def test_map_numbers_each(self) -> None:
        code = "return sorted(r.data['headers']['x-ltxn-id'] for r in was.get.map('@three/echo').getswait(5))"
        self.assertEqual(FRONT.do(code), ["2001", "2002", "2003"])

    def test_from_a_callback(self) -> None:
        code = """
            seen, done = [], threading.Event()
            def back(r):
                h = was.get(A + '/echo').getwait(5).data['headers']
                seen.append([h['x-gtxn-id'], h['x-ltxn-id']])
                done.set()
            was.get(A + '/slow/0.1', callback=back)
            done.wait(5)
            return seen
        """
        self.assertEqual(FRONT.do(code, "X-Gtxn-Id: CB", "X-Ltxn-Id: 2001"), [["CB", "3003"]])

    def test_skitai_was_in_a_callback(self) -> None:
        code = """
            seen, done = [], threading.Event()
            def back(r):
                h = skitai.was.get(A + '/echo').getwait(5).data['headers']
                seen.append(h['x-gtxn-id'])
                done.set()
            was.get(A + '/slow/0.1', callback=back)
            done.wait(5)
            return seen
        """
        self.assertEqual(FRONT.do(code, "X-Gtxn-Id: CB2"), ["CB2"])

    @each(FRONT, SINGLE)
    def test_in_coroutines_at_the_same_time(self, front: Front) -> None:
        code = """
            out = []
            for _ in range(3):
                h = (await skitai.was.get(A + '/slow/0.05')).data['headers']
                out.append([h['x-gtxn-id'], h['x-ltxn-id']])
            return out
        """
        seen: dict[str, Any] = {}

        def ask(name: str) -> None:
            seen[name] = front.ado(code, f"X-Gtxn-Id: {name}")

        names = [f"co-{number}" for number in range(6)]
        threads = [threading.Thread(target=ask, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, {name: [[name, "2001"], [name, "2002"], [name, "2003"]] for name in names})

    def test_ids_given_by_the_caller_do_not_double(self) -> None:
        code = "was.get(A + '/echo', headers={'X-Gtxn-Id': 'own'}).getwait(5).data['fields']"
        names = [name.lower() for name, _ in FRONT.do(code)]
        self.assertEqual(names.count("x-gtxn-id"), 1)

    def test_they_are_logged(self) -> None:
        FRONT.ask("/chain", "X-Gtxn-Id: LOGGED", "X-Ltxn-Id: 2007")
        FRONT.server.wait_for(r"GET /chain HTTP/1.1 200 \d+ \d+ LOGGED 2007 ", 5)


@tables
class Trace(SynchronousTestCase):
    ID = "0af7651916cd43dd8448eb211c80319c"

    def sent(self, *fields: str) -> dict[str, str]:
        headers: dict[str, str] = FRONT.do("was.get(A + '/echo').getwait(5).data['headers']", *fields)
        return headers

    def test_passed_on(self) -> None:
        headers = self.sent(f"traceparent: 00-{self.ID}-b7ad6b7169203331-01")
        self.assertRegex(headers["traceparent"], rf"^00-{self.ID}-[0-9a-f]{{16}}-01$")

    def test_tracestate_too(self) -> None:
        headers = self.sent(f"traceparent: 00-{self.ID}-b7ad6b7169203331-00", "tracestate: a=b,c=d")
        self.assertRegex(headers["traceparent"], rf"^00-{self.ID}-[0-9a-f]{{16}}-00$")
        self.assertEqual(headers.get("tracestate"), "a=b,c=d")

    @each(
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "garbage",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    )
    def test_what_is_not_valid_is_not_passed_on(self, value: str) -> None:
        headers = self.sent(f"traceparent: {value}")
        self.assertNotEqual(headers.get("traceparent"), value)

    def test_none_is_not_made_up_from_nothing(self) -> None:
        value = self.sent().get("traceparent")
        self.assertTrue(value is None or re.match(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$", value), value)
