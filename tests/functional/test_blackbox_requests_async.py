"""Requests where no thread may wait, and in ``async def`` views."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import until
from tests.functional.requestbox import FRONT, SADDLE, SINGLE, BackEnd, Front, world
from tests.functional.saddlebox import each, tables

AWAITED = [
    ("(await was.get(A + '/echo')).status_code", 200),
    ("(await was.post(A + '/echo', {'a': 1})).data['body']", '{"a": 1}'),
    ("(await was.get.lb('@pair/echo')).status_code", 200),
    ("(await was.rpc(A + '/rpc2').add(1, 2)).data", 3),
    ("(await was.get(A + '/status/404')).status_code", 404),
    ("(lambda r: [r.status, r.status_code])(await was.get(DEAD))", [2, 701]),
    ("(lambda r: [r.status, r.status_code])(await was.get('http://nobody.invalid/'))", [2, 704]),
    ("(lambda r: [r.status, r.status_code])(await was.get(A + '/slow/1', timeout=0.1))", [1, 730]),
    ("[r.status_code for r in await was.gather(was.get(A + '/echo'), was.get(B + '/echo'))]", [200, 200]),
    ("[r.status_code for r in await was.gather(was.get(DEAD), was.get(B + '/status/404'))]", [701, 404]),
    ("list(await was.gather())", []),
    ("(await was.get.map('@three/port')).status_code", [200] * 3),
    ("[int(r.text) for r in await was.get.map('@three/port')]", None),
    ("[r.data for r in await was.rpc.map('@three/rpc2').add(1, 1)]", [2] * 3),
    ("(await was.upload(A + '/size', {'f': io.BytesIO(b'x' * 200000)})).data[0] > 200000", True),
    ("(await was.get(A + '/encoded/gzip')).text[:7]", "encoded"),
    ("(await was.get(A + '/digest/MD5', auth=('ann', 'secret'))).status_code", 200),
    ("(await was.get('@tls/echo')).status_code", 200),
    ("len((await was.get(A + '/big/5000000')).content)", 5_000_000),
    ("(await was.get(A + '/echo', filter=lambda d: d['path'])).data", "/echo"),
    ("(await was.get(A + '/down/3')).text", "ground"),
]


@tables
class Await(SynchronousTestCase):
    def check(self, front: Front, expression: str, expected: Any) -> None:
        if expected is None:
            expected = [world().ports[name] for name in "ABC"]
        value = front.ado(expression)
        if isinstance(expected, str) and expected.startswith("{"):
            value = value.replace('":1', '": 1')
        self.assertEqual(value, expected)

    @each(*AWAITED)
    def test_with_threads(self, expression: str, expected: Any) -> None:
        self.check(FRONT, expression, expected)

    @each(*AWAITED)
    def test_without_threads(self, expression: str, expected: Any) -> None:
        self.check(SINGLE, expression, expected)

    @each(FRONT, SINGLE)
    def test_one_after_the_other_is_as_long_as_the_slowest(self, front: Front) -> None:
        code = """
            start = time.time()
            requests = [was.get(A + '/slow/0.3') for _ in range(3)]
            codes = [(await r).status_code for r in requests]
            return codes, time.time() - start
        """
        codes, seconds = front.ado(code)
        self.assertEqual(codes, [200] * 3)
        self.assertLess(seconds, 0.8)

    @each(FRONT, SINGLE)
    def test_gather(self, front: Front) -> None:
        code = """
            start = time.time()
            found = await was.gather(*[was.get(A + '/slow/0.%d' % n) for n in (3, 1, 2)])
            return [r.data['path'] for r in found], time.time() - start
        """
        paths, seconds = front.ado(code)
        self.assertEqual(paths, ["/slow/0.3", "/slow/0.1", "/slow/0.2"])
        self.assertLess(seconds, 0.55)

    @each(FRONT, SINGLE)
    def test_awaited_twice(self, front: Front) -> None:
        code = "req = was.get(A + '/echo')\na = await req\nb = await req\nreturn a.status_code, b.status_code"
        self.assertEqual(front.ado(code), [200, 200])

    @each(FRONT, SINGLE)
    def test_cancelled(self, front: Front) -> None:
        code = "req = was.get(A + '/hang/head')\nreq.cancel()\nr = await req\nreturn r.status, r.status_code"
        self.assertEqual(front.ado(code), [2, 702])

    @each(FRONT, SINGLE)
    def test_reraise(self, front: Front) -> None:
        code = "return (await was.get(DEAD)).reraise()"
        self.assertIn("Exception", front.error(code, "/ado", "async def")[0])

    @each(FRONT, SINGLE)
    def test_cache(self, front: Front) -> None:
        code = f"""
            url = A + '/count/async{id(front)}'
            (await was.get(url)).cache(60)
            r = await was.get(url)
            (await was.get(url)).cache(0)
            return r.is_cached, r.text
        """
        self.assertEqual(front.ado(code), [True, "1"])

    @each(FRONT, SINGLE)
    def test_an_unknown_alias(self, front: Front) -> None:
        self.assertIn("@unknown", front.error("was.get('@unknown/x')", "/ado", "async def")[1])

    def test_many_pages_at_once_without_threads(self) -> None:
        code = "return (await was.get(C + '/slow/0.3')).status_code"
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.append(SINGLE.ado(code))) for _ in range(30)]
        SINGLE.do("1")  # it has started
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [200] * 30)
        self.assertLess(time.monotonic() - start, 1.5)

    def test_three_hundred_at_once(self) -> None:
        for front in (FRONT, SINGLE):
            code = "return {r.status_code for r in await was.gather(*[was.get(C + '/echo') for _ in range(300)])}"
            self.assertEqual(front.ado(code), [200])

    def test_nothing_leaks_without_threads(self) -> None:
        fail = """
            urls = (DEAD, A + '/fault/cutbody', A + '/fault/garbage', A + '/hang/head', A + '/encoded/short', SILENT)
            return [r.status for r in await was.gather(*[was.get(url, timeout=0.3) for url in urls for _ in range(5)])]
        """
        SINGLE.ado(fail)
        before = SINGLE.do("len(os.listdir('/proc/self/fd'))")
        for _ in range(4):
            self.assertEqual(sorted(SINGLE.ado(fail)), [1] * 10 + [2] * 20)
        self.assertLessEqual(SINGLE.do("len(os.listdir('/proc/self/fd'))"), before + 5)


@tables
class Refused(SynchronousTestCase):
    """What would stop the reactor is an error that says what to use."""

    @each("wait()", "wait(1)", "getwait()", "getwait(1)", "getswait()", "getwait(timeout=0.1, reraise=True)")
    def test_waiting_without_threads(self, wait: str) -> None:
        for path, kind in (("/do", "def"), ("/ado", "async def")):
            raised, text = SINGLE.error(f"was.get(A + '/echo').{wait}", path, kind)
            self.assertIn("RuntimeError", raised)
            for word in ("await", "callback", "aresponse"):
                self.assertIn(word, text)

    @each("wait()", "getwait(1)", "getswait(1)")
    def test_waiting_in_an_async_view_with_threads(self, wait: str) -> None:
        """A coroutine runs on the reactor where there are threads, too."""
        raised, text = FRONT.error(f"was.get(A + '/echo').{wait}", "/ado", "async def")
        self.assertIn("RuntimeError", raised)
        self.assertIn("await", text)

    def test_map_and_rpc(self) -> None:
        for request in ("was.get.map('@pair/echo').getswait(1)", "was.rpc(A + '/rpc2').add(1, 1).getwait(1)"):
            self.assertIn("RuntimeError", SINGLE.error(request)[0])

    def test_the_server_goes_on(self) -> None:
        SINGLE.error("was.get(A + '/hang/head').getwait(5)")
        self.assertEqual(SINGLE.do("1"), 1)


@tables
class Callbacks(SynchronousTestCase):
    @each(
        ("was.get(A + '/port', callback=back)", [3, 200]),
        ("was.get(A + '/port', callback=(back, (5, 6)))", [3, 200, 5, 6]),
        ("was.get(DEAD, callback=back)", [2, 701]),
        ("was.get(A + '/hang/head', timeout=0.1, callback=back)", [1, 730]),
        ("was.rpc(A + '/rpc2', callback=back).add(1, 2)", [3, 200]),
        ("was.get('http://nobody.invalid/', callback=back)", [2, 704]),
    )
    def test_on_the_reactor(self, request: str, expected: list[Any]) -> None:
        mark = f"seen{abs(hash(request))}"
        code = f"""
            def back(r, *args):
                KEPT['{mark}'] = [r.status, r.status_code, *args], threading.get_ident()
            {request}
            return threading.get_ident()
        """
        mine = SINGLE.do(code)
        until(lambda: SINGLE.do(f"'{mark}' in KEPT"), "a callback", 5)
        self.assertEqual(SINGLE.do(f"KEPT['{mark}']"), [expected, mine])

    def test_one_that_raises_is_logged(self) -> None:
        SINGLE.do("was.get(A + '/echo', callback=lambda r: 1 / 0)\nreturn 1")
        SINGLE.server.wait_for("ZeroDivisionError", 5)

    def test_a_request_that_nobody_waits_for_is_sent(self) -> None:
        SINGLE.do("was.get(A + '/echo/nobody-waits')\nreturn 1")
        until(lambda: BackEnd.hits["/echo/nobody-waits"], "the request", 5)


ASYNCIO = Front({"app.py": SADDLE.replace("threads =", 'reactor = "asyncio", threads =')})


@tables
class Asyncio(SynchronousTestCase):
    """Handles are awaitables of asyncio where the reactor is that of asyncio."""

    @each(
        ("[r.status_code for r in await asyncio.gather(was.get(A + '/echo'), was.get(B + '/echo'))]", [200, 200]),
        ("(await asyncio.wait_for(was.get(A + '/echo'), 3)).status_code", 200),
        ("(await asyncio.ensure_future(was.get(A + '/echo'))).status_code", 200),
        ("[r.status_code for r in await was.gather(was.get(A + '/echo'), was.get(DEAD))]", [200, 701]),
        ("(await was.get(A + '/echo')).status_code", 200),
        ("(await asyncio.gather(was.rpc(A + '/rpc2').add(1, 2), asyncio.sleep(0.01)))[0].data", 3),
    )
    def test_awaited(self, expression: str, expected: Any) -> None:
        self.assertEqual(ASYNCIO.ado(expression), expected)

    def test_a_wait_that_is_given_up_cancels_the_request(self) -> None:
        code = """
            try:
              await asyncio.wait_for(was.get(A + '/hang/asyncio'), 0.1)
            except asyncio.TimeoutError:
              return "up"
        """
        self.assertEqual(ASYNCIO.ado(code), "up")
        until(lambda: BackEnd.left["/hang/asyncio"], "the connection closed", 5)

    def test_threads_wait_as_ever(self) -> None:
        self.assertEqual(ASYNCIO.do("was.get(A + '/echo').getwait(3).status_code"), 200)


PAGE = """
    async def page():
        one = await was.get(A + '/echo')
        some = await was.gather(was.get(A + '/echo'), was.get(B + '/status/404'))
        more = await asyncio.gather(was.get(A + '/echo'), was.rpc(A + '/rpc2').add(1, 2))
        each = await was.get.map('@three/echo')
        try:
            await asyncio.wait_for(was.get(A + '/hang/head'), 0.1)
        except asyncio.TimeoutError:
            return [r.status_code for r in (one, *some, *more, *each)]
"""


@tables
class Elsewhere(SynchronousTestCase):
    """Handles in tasks of event loops that the server has not begun."""

    @each(FRONT, ASYNCIO)
    def test_asyncio_run_in_a_thread(self, front: Front) -> None:
        self.assertEqual(front.do(PAGE + "\n    return asyncio.run(page())"), [200, 200, 404, 200, 200, 200, 200, 200])

    @each(
        "asyncio.run_coroutine_threadsafe(page(), loop).result(5)",
        "(loop.call_soon_threadsafe(begin), time.sleep(1), made[0].result())[-1]",
    )
    def test_a_task_that_a_thread_makes_on_the_loop_of_the_reactor(self, expression: str) -> None:
        code = PAGE + f"""
    from twisted.internet import reactor
    loop, made = reactor._asyncioEventloop, []
    begin = lambda: made.append(loop.create_task(page()))
    return {expression}
"""
        self.assertEqual(ASYNCIO.do(code), [200, 200, 404, 200, 200, 200, 200, 200])

    def test_what_is_no_handle(self) -> None:
        raised, text = FRONT.error("was.gather([was.get(A + '/echo')])")
        self.assertIn("TypeError", raised)
        self.assertIn("was.gather(*handles)", text)
