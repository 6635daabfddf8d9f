"""The cache of results."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.requestbox import FRONT, SINGLE, BackEnd
from tests.functional.saddlebox import each, tables

numbers = itertools.count()


def path() -> str:
    """Return a path at which nobody has counted."""
    return f"/count/c{next(numbers)}"


@tables
class Cache(SynchronousTestCase):
    @each(
        "r = req.getwait(5); r.cache(60)",
        "req.wait(5); req.cache(60)",
        "req.getwait(5, reraise=True); req.cache(60)",
        "req.getwait(5).cache(seconds=60)",
        "req.getwait(5).cache(0.5)",
    )
    def test_cached(self, store: str) -> None:
        code = f"""
            url = A + '{path()}'
            req = was.get(url)
            {store}
            first, second = req.getwait(1), was.get(url).getwait(5)
            return first.text, first.is_cached, second.text, second.is_cached, second.status, second.status_code
        """
        self.assertEqual(FRONT.do(code), ["1", False, "1", True, 3, 200])

    def test_keeping_it_again_does_not_prolong_it(self) -> None:
        """A page that calls ``cache`` whatever it got, as the manual has it, gets a new answer when the old is old."""
        code = f"""
            url, seen = A + '{path()}', []
            for _ in range(5):
                r = was.get(url).getwait(5)
                r.cache(1)
                seen.append(r.text)
                time.sleep(0.4)
            return seen
        """
        seen = FRONT.do(code)
        self.assertEqual(seen[:2], ["1", "1"])
        self.assertIn("2", seen)

    @each(FRONT, SINGLE)
    def test_a_hundred_at_once_make_one_request_from_the_first_time_on(self, front: Any) -> None:
        code = f"""
            url = A + '{path()}'
            found = await was.gather(*[was.get(url).cache(60) for _ in range(100)])
            return {{r.text for r in found}}, (await was.get(url)).is_cached
        """
        self.assertEqual(front.ado(code), [["1"], True])

    def test_those_that_are_not_to_be_kept_are_not_shared(self) -> None:
        code = f"return len({{r.text for r in await was.gather(*[was.get(A + '{path()}') for _ in range(100)])}})"
        self.assertGreater(FRONT.ado(code), 20)  # the back end counts without a lock

    @each("'60'", "None", "True", "object()")
    def test_a_time_that_is_none(self, seconds: str) -> None:
        for code in (
            f"was.get(A + '/slow/0.1').cache({seconds})",
            f"was.get(A + '/echo').getwait(3).cache({seconds})",
            f"was.get.map('@pair/echo').cache({seconds})",
        ):
            raised, text = FRONT.error(code)
            self.assertIn("TypeError", raised)
            self.assertIn("seconds", text)

    def test_a_cached_answer_is_whole(self) -> None:
        code = f"""
            url = A + '{path()}?x=1'
            one = was.get(url).getwait(5)
            one.cache(60)
            two = was.get(url, meta={{'m': 1}}, filter=lambda data: ('f', data)).getwait(5)
            same = [getattr(one, n) == getattr(two, n) for n in ('content', 'url', 'version', 'reason', 'text')]
            kinds = one.get_header('content-type') == two.get_header('content-type')
            return [*same, kinds, two.meta, two.data, two.method]
        """
        self.assertEqual(FRONT.do(code), [True] * 6 + [{"m": 1}, ["f", "1"], "GET"])

    @each(
        ("1", "r.cache(0.2); time.sleep(0.3)", ["2", False]),
        ("2", "r.cache(60); r.cache(0)", ["2", False]),
        ("3", "r.cache(60); r.cache(-1)", ["2", False]),
        ("4", "pass", ["2", False]),
        ("5", "r.cache(60)", ["1", True]),
        ("6", "r.cache(60); was.get(url).getwait(5).cache(0)", ["2", False]),
    )
    def test_how_long(self, number: str, then: str, expected: list[Any]) -> None:
        code = f"""
            url = A + '/count/long{number}'
            r = was.get(url).getwait(5)
            {then}
            r = was.get(url).getwait(5)
            return r.text, r.is_cached
        """
        self.assertEqual(FRONT.do(code), expected)

    @each(
        ("was.get(url)", "was.get(url, {'a': 1})"),
        ("was.get(url, {'a': 1})", "was.get(url, {'a': 2})"),
        ("was.get(url)", "was.get(url + '?a=1')"),
        ("was.get(url)", "was.get(url + '/more')"),
        ("was.get(url)", "was.post(url, {})"),
        ("was.get(url)", "was.options(url)"),
        ("was.post(url, {'a': 1})", "was.post(url, {'a': 2})"),
        ("was.post(url, {'a': 1})", "was.put(url, {'a': 1})"),
        ("was.post(url, b'a')", "was.post(url, b'b')"),
        ("was.get(url)", "was.get(url.replace(A, B))"),
        ("was.get.lb('@one' + url[len(A):])", "was.get.lb('@pair' + url[len(A):])"),
    )
    def test_other_requests_are_others(self, one: str, two: str) -> None:
        code = f"url = A + '{path()}'\n{one}.getwait(5).cache(60)\nreturn {two}.getwait(5).is_cached"
        self.assertFalse(FRONT.do(code))

    @each(
        ("was.get(url, {'a': 1})", "was.get(url, {'a': 1})"),
        ("was.post(url, {'a': 1})", "was.post(url, {'a': 1})"),
        ("was.get.lb('@pair' + url[len(A):])", "was.get('@pair' + url[len(A):])"),
        ("was.rpc(A + '/rpc2').echo(url)", "was.rpc(A + '/rpc2').echo(url)"),
        ("was.get(url)", "was.get(url, timeout=3)"),
    )
    def test_the_same_request(self, one: str, two: str) -> None:
        code = (
            f"url = A + '{path()}'\n{one}.getwait(5).cache(60)\nr = {two}.getwait(5)\nreturn r.is_cached, bool(r.data)"
        )
        self.assertEqual(FRONT.do(code), [True, True])

    def test_rpc_with_other_arguments_is_another(self) -> None:
        code = """
            stub = was.rpc(A + '/rpc2')
            stub.echo('cache').getwait(5).cache(60)
            return stub.echo('other').getwait(5).is_cached, stub.search('cache').getwait(5).is_cached
        """
        self.assertEqual(FRONT.do(code), [False, False])

    @each("/fault/cutbody", "/encoded/false", "/hang/head")
    def test_failures_are_not_cached(self, bad: str) -> None:
        code = f"""
            r = was.get(A + '{bad}', timeout=0.3).getwait(3)
            r.cache(60)
            again = was.get(A + '{bad}', timeout=0.3).getwait(3)
            return r.status != 3, again.is_cached, again.status == r.status
        """
        self.assertEqual(FRONT.do(code), [True, False, True])

    def test_a_404_may_be_cached(self) -> None:
        """The status is 3: the application decides."""
        code = """
            was.get(A + '/status/404').getwait(5).cache(60)
            r = was.get(A + '/status/404').getwait(5)
            return r.is_cached, r.status_code
        """
        self.assertEqual(FRONT.do(code), [True, 404])
        FRONT.do("was.get(A + '/status/404').getwait(5).cache(0)\nreturn 1")

    def test_use_cache_false_skips_and_a_later_cache_refreshes(self) -> None:
        code = f"""
            url = A + '{path()}'
            was.get(url).getwait(5).cache(60)
            skipped = was.get(url, use_cache=False).getwait(5)
            before = was.get(url).getwait(5)
            skipped.cache(60)
            after = was.get(url).getwait(5)
            return [(r.text, r.is_cached) for r in (skipped, before, after)]
        """
        self.assertEqual(FRONT.do(code), [["2", False], ["1", True], ["2", True]])

    def test_use_cache_of_rpc(self) -> None:
        code = """
            was.rpc.lb('@one/rpc2').getinfo().getwait(5).cache(60)
            cached = was.rpc.lb('@one/rpc2', use_cache=True).getinfo().getwait(5).is_cached
            return cached, was.rpc.lb('@one/rpc2', use_cache=False).getinfo().getwait(5).is_cached
        """
        self.assertEqual(FRONT.do(code), [True, False])

    def test_map(self) -> None:
        code = f"""
            where = '@three{path()}'
            results = was.get.map(where).getswait(5)
            if results.status_code == [200, 200, 200]:
              results.cache(60)
            again = was.get.map(where).getswait(5)
            return results.is_cached, again.is_cached, [r.is_cached for r in again], again.status_code
        """
        self.assertEqual(FRONT.do(code), [False, True, [True] * 3, [200] * 3])

    def test_map_of_the_manual(self) -> None:
        code = """
            s = was.rpc.map("@mysearch/rpc2", meta = {}).getinfo ()
            results = s.getswait (2)
            if results.status_code == [200, 200, 200]:
              s.cache (60)
            return was.rpc.map("@mysearch/rpc2").getinfo ().getswait (2).is_cached
        """
        self.assertTrue(FRONT.do(code))

    def test_cached_results_cost_no_request(self) -> None:
        where = path()
        FRONT.do(f"was.get(A + '{where}').getwait(5).cache(60)\nreturn 1")
        FRONT.do(f"return [was.get(A + '{where}').getwait(5).text for _ in range(50)]")
        self.assertEqual(BackEnd.hits[where], 1)

    def test_a_callback_gets_the_cached_result(self) -> None:
        code = f"""
            url, done, seen = A + '{path()}', threading.Event(), []
            was.get(url).getwait(5).cache(60)
            was.get(url, callback=lambda r: (seen.append(r.is_cached), done.set()))
            done.wait(3)
            return seen
        """
        self.assertEqual(FRONT.do(code), [True])

    def test_changing_data_does_not_change_what_is_cached(self) -> None:
        code = """
            url = A + '/echo/changed'
            r = was.get(url).getwait(5)
            r.cache(60)
            r.data['path'] = 'changed'
            return was.get(url).getwait(5).data['path']
        """
        self.assertEqual(FRONT.do(code), "/echo/changed")

    def test_simultaneous_misses_make_one_request(self) -> None:
        """Twenty pages miss together what was kept before and is no more."""
        where = path()
        FRONT.do(f"was.get(A + '{where}?slow=0.3').getwait(5).cache(0.05)\nreturn 1")
        time.sleep(0.1)
        code = f"""
            req = was.get(A + '{where}?slow=0.3')
            r = req.getwait(5)
            r.cache(30)
            return r.text
        """
        seen: list[str] = []
        threads = [threading.Thread(target=lambda: seen.append(FRONT.do(code))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, ["2"] * 20)
        self.assertEqual(BackEnd.hits[where], 2)

    def test_what_nobody_keeps_is_asked_as_often_as_called(self) -> None:
        where = path()
        FRONT.do(f"return [r.getwait(5).text for r in [was.get(A + '{where}?slow=0.1') for _ in range(5)]]")
        self.assertEqual(BackEnd.hits[where], 5)

    def test_set_max_rcache_bounds_it_by_least_recent_use(self) -> None:
        code = """
            urls = [A + '/count/bound%d' % n for n in range(4)]
            seen = []
            for url in urls[:3]:
              (await was.get(url)).cache(60)
            await was.get(urls[0])
            (await was.get(urls[3])).cache(60)
            for url in (urls[0], urls[2], urls[3], urls[1]):
              seen.append((await was.get(url)).is_cached)
            return seen
        """
        self.assertEqual(SINGLE.ado(code), [True, True, True, False])
