"""Pages that stream while their parts arrive, with threads and without."""

from __future__ import annotations

import json
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply
from tests.functional.requestbox import FRONT, SINGLE, BackEnd, Front, world
from tests.functional.saddlebox import JSON, each, tables

JOIN = """
    def handler(resp, proxy):
        proxy[resp.reqid] = '<b>%s %s %s</b>' % (resp.reqid, resp.status, resp.status_code)
        if proxy.fetched_all():
            proxy.done(proxy['a'] + '|' + proxy['b'])
"""


def two(*requests: str) -> str:
    """Return the code of a page that joins what came of the requests ``a`` and ``b``."""
    return JOIN + "".join(f"    {line}\n" for line in ("p = was.aresponse(handler)", *requests, "return p"))


class Both(SynchronousTestCase):
    """Every test with threads; the class below repeats it without."""

    front: Front = FRONT

    def stream(self, code: str, status: int = 200) -> Reply:
        reply = self.front.send("/stream", code)
        self.assertEqual(reply.status, status, reply.body[:2000])
        return reply

    def page(self, code: str) -> str:
        return self.stream(code).text

    def test_example_of_the_manual(self) -> None:
        code = """
            def response_handler(response, proxy):
                proxy.done(response.content)
            proxy = was.aresponse(response_handler)
            proxy.get(None, A + '/port')
            return proxy
        """
        self.assertEqual(self.page(code), str(world().ports["A"]))

    def test_two_parts(self) -> None:
        code = two("p.get('a', A + '/slow/0.2')", "p.get('b', A + '/echo')")
        reply = self.stream(code)
        self.assertEqual(reply.text, "<b>a 3 200</b>|<b>b 3 200</b>")
        self.assertTrue(reply.get("Content-Type").startswith("text/html"))
        self.assertIsNotNone(reply.chunks)

    def test_failures_reach_the_handler(self) -> None:
        code = two("p.get('a', DEAD)", "p.get('b', A + '/hang/head', timeout=0.2)")
        self.assertEqual(self.page(code), "<b>a 2 701</b>|<b>b 1 730</b>")

    def test_404_reaches_the_handler(self) -> None:
        code = two("p.get('a', A + '/status/404')", "p.get('b', 'http://nobody.invalid/')")
        self.assertEqual(self.page(code), "<b>a 3 404</b>|<b>b 2 704</b>")

    def test_prolog_comes_first_and_at_once(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.done('|middle|')
            p = was.aresponse(handler, '<html>', '</html>')
            p.get('a', A + '/slow/0.4')
            return p
        """
        self.assertEqual(self.page(code), "<html>|middle|</html>")
        with self.front.connect() as wire:
            body = json.dumps({"code": "def view(was):\n" + code}).encode()
            wire.request("/stream", JSON, method="POST", body=body)
            head = wire.receive_interim()
            self.assertEqual(head.status, 200)
            start = time.monotonic()
            self.assertFalse(wire.silent(0.3), "the prolog before the answer of 0.4 s")
            self.assertLess(time.monotonic() - start, 0.3)

    def test_prolog_as_keywords(self) -> None:
        code = """
            p = was.aresponse(lambda resp, proxy: proxy.done(), prolog='(', epilog=')')
            p.get('a', A + '/echo')
            return p
        """
        self.assertEqual(self.page(code), "()")

    def test_push_and_meta(self) -> None:
        code = """
            def handler(response, proxy):
                due = time.time() - response.meta['created']
                proxy.push(response.content)
                proxy.push('\\n\\nFetch in %2.3f seconds' % due)
                proxy.done()
            p = was.aresponse(handler)
            p.get('req_0', A + '/port', meta={'created': time.time()})
            return was.response('200 OK', p, [('Content-Type', 'text/plain')])
        """
        reply = self.stream(code)
        self.assertRegex(reply.text, r"^\d+\n\nFetch in \d\.\d+ seconds$")
        self.assertEqual(reply.get("Content-Type"), "text/plain")

    def test_pushes_arrive_while_others_run(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.push(resp.reqid)
                if proxy.fetched_all():
                    proxy.done('!')
            p = was.aresponse(handler)
            p.get('slow', A + '/slow/0.3')
            p.get('quick', A + '/echo')
            return p
        """
        reply = self.stream(code)
        self.assertEqual(reply.text, "quickslow!")
        self.assertGreater(len(reply.chunks or []), 1)

    def test_render_and_render_all(self) -> None:
        code = """
            def handler(resp, proxy):
                if resp.status_code == 200:
                    proxy[resp.reqid] = proxy.render('part.html', r=resp)
                else:
                    proxy[resp.reqid] = '<div>Error in %s</div>' % resp.reqid
                if proxy.fetched_all():
                    proxy.done(proxy.render_all('whole.html'))
            p = was.aresponse(handler)
            p.post('a', A + '/type?text/plain', b'<x>')
            p.get('b', A + '/status/404')
            return p
        """
        page = self.page(code)
        self.assertIn("<p><div>http://127.0.0.1:", page)
        self.assertIn("<div>&lt;x&gt;</div></p><hr><div>Error in b</div>", page)

    def test_render_with_one_dictionary(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.done(proxy.render('named.html', {'name': '<n>'}) + proxy.render('named.html', name='k'))
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            return p
        """
        self.assertEqual(self.page(code), "<b>&lt;n&gt;</b><b>k</b>")

    def test_the_requests_start_with_the_call(self) -> None:
        path = f"/echo/begun-{type(self).__name__}"
        code = f"""
            p = was.aresponse(lambda resp, proxy: proxy.done('x'))
            p.get('a', A + '{path}')
            await was.get(A + '/slow/0.2')
            return 'not the proxy'
        """
        self.assertEqual(self.front.ado(code), "not the proxy")
        self.assertEqual(BackEnd.hits[path], 1)

    def test_every_verb(self) -> None:
        code = """
            names = ['get', 'post', 'put', 'patch', 'delete', 'options', 'postform', 'putform', 'postjson', 'upload']
            def handler(resp, proxy):
                proxy[resp.reqid] = '%s=%s ' % (resp.reqid, resp.data['method'])
                if proxy.fetched_all():
                    proxy.done(''.join(proxy[name] for name in names))
            p = was.aresponse(handler)
            for name in names:
                getattr(p, name)(name, A + '/echo', {'a': 1} if name not in ('options',) else None)
            return p
        """
        expected = "get=GET post=POST put=PUT patch=PATCH delete=DELETE options=OPTIONS "
        self.assertEqual(self.page(code), expected + "postform=POST putform=PUT postjson=POST upload=POST ")

    def test_rpc_and_lb(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy[resp.reqid] = str(resp.data if resp.reqid == 'a' else resp.status_code)
                if proxy.fetched_all():
                    proxy.done(proxy['a'] + ' ' + proxy['b'])
            p = was.aresponse(handler)
            p.rpc('a', A + '/rpc2').add(1, 2)
            p.get.lb('b', '@pair/echo')
            return p
        """
        self.assertEqual(self.page(code), "3 200")

    def test_requests_from_the_handler(self) -> None:
        """The first answer leads to a second request."""
        code = """
            def handler(resp, proxy):
                if resp.reqid == 'a':
                    proxy.push('first ')
                    proxy.get('b', A + '/echo')
                else:
                    proxy.done('second')
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            return p
        """
        self.assertEqual(self.page(code), "first second")

    def test_was_in_the_handler(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.done(was.request.method + ' ' + was.request.uri.split('?')[0])
            p = was.aresponse(handler)
            p.get('a', A + '/slow/0.1')
            return p
        """
        self.assertEqual(self.page(code), "POST /stream")

    def test_text_and_bytes(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.push('é')
                proxy.push('é'.encode())
                proxy.push('')
                proxy.done(None)
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            return p
        """
        self.assertEqual(self.page(code), "\u00e9\u00e9")

    def test_a_handler_that_raises_is_logged_and_the_page_ends(self) -> None:
        mark = f"broken-{type(self).__name__}"
        code = f"""
            def handler(resp, proxy):
                proxy.push('before')
                raise KeyError('{mark}')
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            p.get('b', A + '/hang/head')
            return p
        """
        start = time.monotonic()
        page = self.raised(code)
        self.assertLess(time.monotonic() - start, 3)
        self.assertTrue(page.startswith("before"), page[:200])
        self.front.server.wait_for(mark, 5)
        self.assertEqual(mark in page, self.front is SINGLE)

    def raised(self, code: str) -> str:
        """Return what came of a page that may be cut short."""
        try:
            return self.page(code)
        except EOFError as error:
            return str(error).partition("b'")[2].replace("6\\r\\nbefore", "before")

    def test_a_view_that_raises_after_a_request_is_500(self) -> None:
        code = """
            p = was.aresponse(lambda resp, proxy: proxy.done('x'))
            p.get('a', A + '/echo')
            raise KeyError('view')
        """
        self.stream(code, 500)

    def test_done_in_the_view(self) -> None:
        code = "p = was.aresponse(lambda resp, proxy: None, '(', ')')\np.push('a')\np.done('b')\nreturn p"
        self.assertEqual(self.page(code), "(ab)")

    def test_what_comes_after_the_end_changes_nothing(self) -> None:
        code = """
            def handler(resp, proxy):
                proxy.done(resp.reqid)
                proxy.push('more')
                proxy.done('again')
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            p.get('b', A + '/slow/0.2')
            return p
        """
        self.assertEqual(self.page(code), "a")

    def test_two_pages_at_once_do_not_mix(self) -> None:
        pages: list[str] = []
        code = """
            p = was.aresponse(lambda resp, proxy: proxy.done(resp.data['query'] * 100))
            p.get('a', A + '/slow/0.1', {'n': 'NUMBER'})
            return p
        """
        threads = [
            threading.Thread(target=lambda n=n: pages.append(self.page(code.replace("NUMBER", str(n)))))
            for n in range(10, 20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(pages), [f"n={n}" * 100 for n in range(10, 20)])

    def test_a_large_page(self) -> None:
        code = """
            def handler(resp, proxy):
                for _ in range(100):
                    proxy.push('x' * 50000)
                proxy.done()
            p = was.aresponse(handler)
            p.get('a', A + '/echo')
            return p
        """
        self.assertEqual(len(self.page(code)), 5_000_000)

    def test_an_unknown_alias_is_an_error_at_the_call(self) -> None:
        self.stream("p = was.aresponse(lambda r, p: p.done())\np.get('a', '@unknown/x')\nreturn p", 500)

    def test_a_client_that_leaves(self) -> None:
        """What still runs for it comes to nothing; the server goes on."""
        code = """
            p = was.aresponse(lambda resp, proxy: proxy.done('x'), 'prolog')
            p.get('a', A + '/slow/0.3')
            return p
        """
        body = json.dumps({"code": "def view(was):\n" + code}).encode()
        for _ in range(5):
            with self.front.connect() as wire:
                wire.request("/stream", JSON, method="POST", body=body)
                self.assertEqual(wire.receive_interim().status, 200)
        self.assertEqual(self.page(code), "prologx")


class Single(Both):
    """The same without threads, in debug."""

    front = SINGLE


@tables
class Threads(SynchronousTestCase):
    def test_the_thread_goes_back_to_the_pool(self) -> None:
        """Sixty pages of 0.4 s with four threads take little more than one: no thread waits."""
        code = """
            p = was.aresponse(lambda resp, proxy: proxy.done(str(resp.status_code)))
            p.get('a', C + '/slow/0.4')
            return p
        """
        seen: list[str] = []
        threads = [threading.Thread(target=lambda: seen.append(FRONT.send("/stream", code).text)) for _ in range(60)]
        FRONT.do("1")  # it has started
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, ["200"] * 60)
        self.assertLess(time.monotonic() - start, 2)

    @each(FRONT, SINGLE)
    def test_fetched_all(self, front: Front) -> None:
        code = """
            seen = []
            def handler(resp, proxy):
                seen.append(proxy.fetched_all())
                if len(seen) == 3:
                    proxy.done(str(seen))
            p = was.aresponse(handler)
            for n in range(3):
                p.get('r%d' % n, A + '/slow/0.%d' % n)
            return p
        """
        self.assertEqual(front.send("/stream", code).text, "[False, False, True]")
