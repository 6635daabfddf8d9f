"""XML-RPC from views."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.requestbox import FRONT, world
from tests.functional.saddlebox import each, tables


@tables
class Calls(SynchronousTestCase):
    @each(
        ("was.rpc(A + '/rpc2').add(1, 2)", 3),
        ("was.rpc(A + '/rpc2').a.b.c(1)", ["a.b.c", [1]]),
        ("was.rpc(A + '/rpc2').system.listMethods()", ["system.listMethods", []]),
        ("was.rpc(A + '/rpc2/').echo('é<&>')", "\u00e9<&>"),
        ("was.rpc(A + '/rpc2').echo({'a': [1, 2.5, True, 'x']})", {"a": [1, 2.5, True, "x"]}),
        ("was.rpc(A + '/rpc2').echo([])", []),
        ("was.rpc(A + '/rpc2').echo(None)", None),
        ("was.rpc(A + '/rpc2').get(1)", ["get", [1]]),
        ("was.rpc(A + '/rpc2').wait(1)", ["wait", [1]]),
        ("was.rpc(A + '/rpc2').class_.__getattr__('x')()", ["class_.x", []]),
        ("was.rpc.lb('@one/rpc2').add(1, 2)", 3),
        ("was.rpc('@one/rpc2').add(1, 2)", 3),
        ("was.rpc.lb('@mysearch/rpc2').add('a', 'b')", "ab"),
        ("was.rpc(A + '/rpc2', use_cache=False).add(1, 2)", 3),
        ("was.rpc(A + '/rpc2', meta={'a': 1}).add(1, 2)", 3),
        ("was.rpc(A + '/rpc2', filter=lambda n: n * 10).add(1, 2)", 30),
        ("was.rpc(uri=A + '/rpc2', timeout=3).add(1, 2)", 3),
    )
    def test_call(self, request: str, expected: Any) -> None:
        self.assertEqual(FRONT.do(f"r = {request}.getwait(5)\nr.reraise()\nreturn r.data"), expected)

    @each(
        ("r.status", 3),
        ("r.status_code", 200),
        ("r.method", "POST"),
        ("'<int>3</int>' in r.text or '<i4>3</i4>' in r.text", True),
    )
    def test_response(self, expression: str, expected: Any) -> None:
        code = f"r = was.rpc(A + '/rpc2').add(1, 2).getwait(5)\nreturn {expression}"
        self.assertEqual(FRONT.do(code), expected)

    def test_one_proxy_makes_many_calls(self) -> None:
        code = """
            stub = was.rpc(A + '/rpc2')
            calls = [stub.add(n, 1) for n in range(5)]
            return [c.getwait(5).data for c in calls]
        """
        self.assertEqual(FRONT.do(code), [1, 2, 3, 4, 5])

    def test_a_fault(self) -> None:
        _, text = FRONT.error("was.rpc(A + '/rpc2').fault().getwait(5, reraise=True)")
        self.assertIn("seven", text)
        self.assertEqual(FRONT.do("was.rpc(A + '/rpc2').fault().getwait(5).status"), 2)
        _, text = FRONT.error("was.rpc(A + '/rpc2').fault().wait(5)")
        self.assertIn("seven", text)

    def test_what_is_no_answer(self) -> None:
        self.assertEqual(FRONT.do("was.rpc(A + '/badrpc').add(1).getwait(5).status"), 2)

    def test_entities_are_not_expanded(self) -> None:
        code = (
            "start = time.time()\nr = was.rpc(A + '/bombrpc').add(1).getwait(5)\nreturn r.status, time.time() - start"
        )
        status, seconds = FRONT.do(code)
        self.assertEqual(status, 2)
        self.assertLess(seconds, 1)

    def test_an_error_of_http_is_done(self) -> None:
        code = "r = was.rpc(A + '/status/404').add(1).getwait(5)\nreturn r.status, r.status_code"
        self.assertEqual(FRONT.do(code), [3, 404])

    @each("object()", "{1: 2}", "2 ** 70", "'\\x00'", "{'f': len}")
    def test_what_xml_rpc_has_no_type_for_is_an_error_at_the_call(self, value: str) -> None:
        code = f"""
            try:
              was.rpc(A + '/rpc2').echo({value})
            except Exception as error:
              return type(error).__name__
        """
        self.assertIn(FRONT.do(code), ("TypeError", "ValueError", "OverflowError"))

    def test_bytes_and_dates(self) -> None:
        code = """
            import datetime
            given = [bytes([0, 255]), datetime.datetime(2016, 12, 30, 18, 5, 6)]
            data = was.rpc(A + '/rpc2').echo(given).getwait(5).data
            return bytes(getattr(data[0], 'data', data[0])) == given[0], str(data[1])
        """
        same, date = FRONT.do(code)
        self.assertTrue(same)
        self.assertIn(date, ("20161230T18:05:06", "2016-12-30 18:05:06"))

    def test_lb_of_saddle_itself(self) -> None:
        code = "was.rpc(SELF + '/RPC2').add(3, 4).getwait(5).data"
        self.assertEqual(FRONT.do(code), 7)

    def test_map_asks_all_in_order(self) -> None:
        code = """
            results = was.rpc.map('@mysearch/rpc2').search('Mozart').getswait(2)
            every = []
            for result in results:
              every.extend(result.data)
            return every, results.status_code
        """
        ports = [world().ports[name] for name in "ABC"]
        every = [value for port in ports for value in ("Mozart", port)]
        self.assertEqual(FRONT.do(code), [every, [200] * 3])

    def test_getswait_of_one_with_reraise(self) -> None:
        """The manual takes the data of ``getswait`` of a balanced call."""
        code = "s = was.rpc.lb('@one/rpc2').add(1, 2)\ncontent = s.getswait(2, reraise=True).data\nreturn content"
        self.assertIn(FRONT.do(code), (3, [3]))
