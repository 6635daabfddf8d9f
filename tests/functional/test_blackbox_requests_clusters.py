"""Clusters: aliases, balancing, fail-over, members that come back, and asking all."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import ServerTestCase
from tests.functional.requestbox import FRONT, BackEnd, world
from tests.functional.saddlebox import each, tables


def ports(*names: str) -> list[int]:
    return [world().ports[name] for name in names]


@tables
class Addresses(SynchronousTestCase):
    @each(
        ("was.get('@one/echo')", "/echo", ""),
        ("was.get.lb('@one/echo')", "/echo", ""),
        ("was.get('@one')", "/", ""),
        ("was.get('@one/')", "/", ""),
        ("was.get.lb('@pair/a/b?x=1')", "/a/b", "x=1"),
        ("was.get('@pair/a?x=1', {'y': 2})", "/a", "x=1&y=2"),
        ("was.delete.lb('@pair/a', {'y': 2})", "/a", "y=2"),
        ("was.get('@one/é')", "/%C3%A9", ""),
        ("was.get.lb('@mysearch/in/run')", "/in/run", ""),
    )
    def test_cluster_plus_path(self, request: str, path: str, query: str) -> None:
        data = FRONT.do(f"{request}.getwait(5).data")
        self.assertEqual((data["path"], data["query"]), (path, query))
        self.assertEqual(data["headers"]["host"], f"127.0.0.1:{data['port']}")

    @each(
        ("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("options", "OPTIONS"), ("trace", "TRACE"),
        ("delete", "DELETE"), ("postform", "POST"), ("postjson", "POST"), ("putform", "PUT"), ("upload", "POST"),
        ("postxml", "POST"), ("postnvp", "POST"), ("get", "GET"),
    )  # fmt: skip
    def test_every_verb_has_lb_and_map(self, verb: str, method: str) -> None:
        data = "" if verb in ("get", "delete", "options", "trace") else ", {'a': 1}"
        code = f"""
            one = was.{verb}.lb('@pair/echo'{data}).getwait(5)
            every = was.{verb}.map('@pair/echo'{data}).getswait(5)
            return one.data['method'], [r.data['method'] for r in every], every.status_code
        """
        self.assertEqual(FRONT.do(code), [method, [method] * 2, [200, 200]])

    @each("get", "post", "get.lb", "get.map", "rpc", "rpc.lb", "rpc.map", "upload", "postform.lb")
    def test_an_unknown_alias_is_an_error_at_the_call(self, verb: str) -> None:
        call = f"was.{verb}('@unknown/x')" + (".add(1)" if verb.startswith("rpc") else "")
        self.assertIn("@unknown", FRONT.error(call)[1])

    def test_the_url_of_the_answer_names_the_member(self) -> None:
        self.assertTrue(FRONT.do("was.get('@one/echo').getwait(5).url == A + '/echo'"))

    def test_lb_of_a_plain_url_is_a_request(self) -> None:
        self.assertEqual(FRONT.do("was.get.lb(A + '/echo').getwait(5).status_code"), 200)


class Balance(SynchronousTestCase):
    def test_all_members_in_turn(self) -> None:
        code = "return [int(was.get.lb('@three/port').getwait(5).text) for _ in range(12)]"
        self.even(FRONT.do(code), 3)

    def test_without_lb_the_name_balances_too(self) -> None:
        code = "return [int(was.get('@pair/port').getwait(5).text) for _ in range(8)]"
        self.even(FRONT.do(code), 2)

    def even(self, seen: list[object], members: int) -> None:
        """Each member got its share, but for what was still being put away when the next was asked."""
        counts = Counter(seen).values()
        self.assertEqual(len(counts), members)
        self.assertLessEqual(max(counts) - min(counts), 2)

    def test_weights(self) -> None:
        code = "return [int(was.get('@weighted/port').getwait(5).text) for _ in range(16)]"
        seen = Counter(FRONT.do(code))
        self.assertEqual(sum(seen.values()), 16)
        self.assertTrue(11 <= seen[ports("A")[0]] <= 13, seen)

    def test_the_least_busy_first(self) -> None:
        """While slow requests run at one member, the quick ones go to others."""
        code = """
            slow = [was.get('@three/slow/0.4') for _ in range(2)]
            time.sleep(0.1)
            quick = [int(was.get('@three/port').getwait(5).text) for _ in range(6)]
            return [r.getwait(5).data['port'] for r in slow], quick
        """
        slow, quick = FRONT.do(code)
        self.assertEqual(len(set(slow)), 2)
        self.assertEqual(set(quick), set(ports("A", "B", "C")) - set(slow))

    def test_rpc_balances(self) -> None:
        code = "return [was.rpc.lb('@mysearch/rpc2').search('x').getwait(5).data[1] for _ in range(6)]"
        self.even(FRONT.do(code), 3)


@tables
class FailOver(SynchronousTestCase):
    @each("get", "head", "options", "trace", "put", "delete", "post", "patch", "postform", "upload")
    def test_a_member_that_refuses_is_passed_over(self, verb: str) -> None:
        data = "" if verb in ("get", "head", "delete", "options", "trace") else ", {'a': 1}"
        for alias in ("half", "half2"):
            code = f"return [was.{verb}('@{alias}/echo'{data}).getwait(5).status_code for _ in range(4)]"
            self.assertEqual(FRONT.do(code), [200] * 4)

    def test_rpc_is_passed_over(self) -> None:
        code = "return [was.rpc('@half/rpc2').add(1, 2).getwait(5).data for _ in range(4)]"
        self.assertEqual(FRONT.do(code), [3] * 4)

    def test_all_down(self) -> None:
        for _ in range(3):
            code = """
                start = time.time()
                r = was.get('@dead/x').getwait(3)
                return r.status, r.status_code, time.time() - start
            """
            status, number, seconds = FRONT.do(code)
            self.assertEqual((status, number), (2, 701))
            self.assertLess(seconds, 1)

    def test_what_may_have_been_executed_is_not_repeated(self) -> None:
        """Both members close without an answer: POST reaches one, GET both."""
        path = "/fault/close/post"
        status = FRONT.do(f"was.post('@faulty{path}', {{'a': 1}}).getwait(5).status")
        self.assertEqual((status, BackEnd.hits[path]), (2, 1))
        path = "/fault/close/patch"
        FRONT.do(f"was.patch('@faulty{path}', {{'a': 1}}).getwait(5).status")
        self.assertEqual(BackEnd.hits[path], 1)
        path = "/fault/close/rpc"
        FRONT.do(f"was.rpc('@faulty{path}').add(1).getwait(5).status")
        self.assertEqual(BackEnd.hits[path], 1)

    @each("get", "put", "delete", "options", "head")
    def test_what_is_safe_to_repeat_is_tried_elsewhere(self, verb: str) -> None:
        path = f"/fault/close/{verb}"
        data = ", {'a': 1}" if verb == "put" else ""
        self.assertEqual(FRONT.do(f"was.{verb}('@faulty{path}'{data}).getwait(5).status"), 2)
        # A connection that had been kept may have been closed while idle: the same member may be asked once more.
        self.assertIn(BackEnd.hits[path], (2, 3, 4))
        self.assertEqual({port for where, port in BackEnd.seen if where == path}, set(ports("A", "B")))

    def test_an_answer_that_began_is_not_repeated(self) -> None:
        for kind in ("cutbody", "garbage"):
            path = f"/fault/{kind}/began"
            self.assertEqual(FRONT.do(f"was.get('@faulty{path}').getwait(5).status"), 2)
            self.assertEqual(BackEnd.hits[path], 1)

    def test_a_status_is_an_answer(self) -> None:
        path = "/status/503"
        before = BackEnd.hits[path]
        self.assertEqual(FRONT.do(f"was.get('@faulty{path}').getwait(5).status_code"), 503)
        self.assertEqual(BackEnd.hits[path], before + 1)


@tables
class Health(SynchronousTestCase):
    """What is not the fault of a member does not set it aside."""

    @each(
        ("shrunk", "open(HERE + '/up', 'wb').write(b'x' * 30_000_000)\n"
         "r = was.put('@m/size', open(HERE + '/up', 'rb'))\nos.truncate(HERE + '/up', 10)", 2),
        ("redirected", "r = was.get('@m/to/302?' + DEAD)", 2),
        ("looped", "r = was.get('@m/loop')", 2),
        ("cancelled", "r = was.get('@m/slow/0.2')\ntime.sleep(0.02)\nr.cancel()", 2),
        ("filtered", "r = was.get('@m/echo', filter=lambda data: 1 / 0)", 2),
        ("fault", "r = was.rpc('@m/rpc2').fault()", 2),
        ("answered", "r = was.get('@m/status/503')", 3),
    )  # fmt: skip
    def test_a_member_is_well_after(self, name: str, request: str, status: int) -> None:
        code = f"{request}\nreturn r.getwait(5).status".replace("@m", f"@well{name}")
        self.assertEqual([FRONT.do(code) for _ in range(2)], [status] * 2)
        seen = Counter(FRONT.do(f"return [was.get('@well{name}/port').getwait(5).text for _ in range(8)]"))
        self.assertEqual(len(seen), 2)
        self.assertGreaterEqual(min(seen.values()), 3)


class Return(SynchronousTestCase):
    def ask(self, alias: str, count: int = 4) -> Any:
        return FRONT.do(f"return [was.get('{alias}/port').getwait(5).text for _ in range({count})]")

    def test_a_member_that_comes_back_is_in_use_within_ten_seconds(self) -> None:
        port = str(world().ports["R1"])
        self.assertEqual(set(self.ask("@r1")), {str(world().ports["A"])})
        end = BackEnd(int(port))
        self.addCleanup(end.stop)
        self.until(lambda: port in self.ask("@r1"), 10)

    def test_a_member_that_goes_and_comes_back(self) -> None:
        port = str(world().ports["R2"])
        end = BackEnd(int(port))
        self.assertEqual(set(self.ask("@r2")), {str(world().ports["A"]), port})
        end.stop()
        self.assertEqual(set(self.ask("@r2")), {str(world().ports["A"])})
        end = BackEnd(int(port))
        self.addCleanup(end.stop)
        self.until(lambda: port in self.ask("@r2"), 10)

    def test_the_only_member_is_used_as_soon_as_it_is_back(self) -> None:
        self.assertEqual(FRONT.do("was.get('@alone/port').getwait(5).status_code"), 701)
        port = str(world().ports["R5"])
        end = BackEnd(int(port))
        self.addCleanup(end.stop)
        self.assertEqual(self.ask("@alone", 1), [port])

    def until(self, look: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not look():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)


@tables
class Map(SynchronousTestCase):
    @each(
        ("results.status_code", [200, 200, 200]),
        ("[r.status for r in results]", [3, 3, 3]),
        ("len(list(results))", 3),
        ("[r.is_cached for r in results]", [False] * 3),
        ("results.is_cached", False),
        ("[r.meta for r in results]", [{"k": 1}] * 3),
    )
    def test_results(self, expression: str, expected: Any) -> None:
        code = f"results = was.get.map('@three/port', meta={{'k': 1}}).getswait(2)\nreturn {expression}"
        self.assertEqual(FRONT.do(code), expected)

    def test_in_member_order(self) -> None:
        for _ in range(3):
            code = "return [int(r.text) for r in was.get.map('@three/port').getswait(2)]"
            self.assertEqual(FRONT.do(code), ports("A", "B", "C"))

    def test_in_parallel(self) -> None:
        code = "s = time.time()\nr = was.get.map('@three/slow/0.3').getswait(2)\nreturn r.status_code, time.time() - s"
        codes, seconds = FRONT.do(code)
        self.assertEqual(codes, [200] * 3)
        self.assertLess(seconds, 0.7)

    def test_failures_in_their_place(self) -> None:
        code = "r = was.get.map('@halfmap/port').getswait(2)\nreturn r.status_code, [x.status for x in r]"
        self.assertEqual(FRONT.do(code), [[701, 200], [2, 3]])

    def test_timeouts_in_their_place(self) -> None:
        code = "r = was.get.map('@silentmap/port').getswait(0.3)\nreturn r.status_code, [x.status for x in r]"
        self.assertEqual(FRONT.do(code), [[730, 200], [1, 3]])

    def test_timeout_of_the_requests(self) -> None:
        code = "r = was.get.map('@silentmap/port', timeout=0.2).getswait(2)\nreturn r.status_code"
        self.assertEqual(FRONT.do(code), [730, 200])

    def test_reraise(self) -> None:
        self.assertIn("Exception", FRONT.error("was.get.map('@halfmap/port').getswait(2, reraise=True)")[0])
        self.assertEqual(FRONT.do("was.get.map('@pair/port').getswait(2, reraise=True).status_code"), [200, 200])

    def test_wait_and_cancel(self) -> None:
        FRONT.do("req = was.get.map('@pair/port')\nreq.wait(2)\nreturn 1")
        self.assertIn("Exception", FRONT.error("was.get.map('@halfmap/port').wait(2)")[0])
        code = "req = was.get.map('@pair/hang/map')\nreq.cancel()\nreturn req.getswait(2).status_code"
        self.assertEqual(FRONT.do(code), [702, 702])

    def test_filter_of_each(self) -> None:
        code = "return [r.data for r in was.get.map('@pair/echo', filter=lambda d: d['port']).getswait(2)]"
        self.assertEqual(FRONT.do(code), ports("A", "B"))

    def test_a_dead_member_is_asked_every_time(self) -> None:
        code = "return [was.get.map('@halfmap/port').getswait(2).status_code for _ in range(3)]"
        self.assertEqual(FRONT.do(code), [[701, 200]] * 3)


@tables
class Refused(ServerTestCase):
    """A declaration that is wrong: one clear line and exit status 2."""

    @each(
        ('skitai.alias ("@a", skitai.PROTO_HTTP, "host:port")', "port"),
        ('skitai.alias ("@a", skitai.PROTO_HTTP, ["127.0.0.1:80 x"])', "x"),
        ('skitai.alias ("@a", skitai.PROTO_HTTP, ["127.0.0.1:80 0"])', "0"),
        ('skitai.alias ("@a", skitai.PROTO_HTTP, [])', "@a"),
        ('skitai.alias ("@a", skitai.PROTO_HTTP, ["127.0.0.1:80", "127.0.0.1:80/a?b=1"])', "a?b=1"),
        ('skitai.alias ("@a", skitai.PROTO_HTTP, "a..example")', "a..example"),
        ('skitai.alias ("@a", "nonsense", "127.0.0.1:80")', "nonsense"),
        ('skitai.alias ("@a", skitai.PROTO_HTTPS, "127.0.0.1:80", cafile = "/none.pem")', "/none.pem"),
        ("skitai.set_max_rcache (-1)", "-1"),
        ('skitai.set_max_rcache ("many")', "many"),
    )
    def test_declaration(self, line: str, name: str) -> None:
        text = f"""\
import skitai

def app (env, start_response):
  start_response ("200 OK", [])
  return [b""]

if __name__ == "__main__":
  skitai.mount ("/", app)
  {line}
  skitai.run ()
"""
        server = self.python(self.write("app.py", text))
        self.assertEqual(server.wait(), 2, server.output)
        self.assertEqual(len(server.output.strip().split("\n")), 1, server.output)
        self.assertIn(name, server.output)
