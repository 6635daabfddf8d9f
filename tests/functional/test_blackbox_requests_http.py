"""Requests over HTTP: verbs, arguments, handles and responses, as the manual and its settlement have them."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import until
from tests.functional.requestbox import FRONT, SADDLE, BackEnd, Front
from tests.functional.saddlebox import each, tables

GET = "r = was.get(A + '/echo').getwait(5)\nreturn "


@tables
class Verbs(SynchronousTestCase):
    @each("get", "post", "put", "patch", "delete", "options", "trace")
    def test_method(self, verb: str) -> None:
        self.assertEqual(FRONT.do(f"was.{verb}(A + '/echo').getwait(5).data['method']"), verb.upper())

    def test_head(self) -> None:
        code = (
            "r = was.head(A + '/big/1000').getwait(5)\nreturn r.status_code, r.content, r.get_header('content-length')"
        )
        self.assertEqual(FRONT.do(code), [200, "", "1000"])

    @each(
        ("was.get(A + '/echo', {'a': 1, 'b': 'x y'})", "a=1&b=x+y"),
        ("was.get(A + '/echo?z=0', {'a': 1})", "z=0&a=1"),
        ("was.get(A + '/echo?z=0')", "z=0"),
        ("was.get(A + '/echo', {'a': [1, 2]})", "a=1&a=2"),
        ("was.get(A + '/echo', {'a': 'é&='})", "a=%C3%A9%26%3D"),
        ("was.get(A + '/echo', {})", ""),
        ("was.delete(A + '/echo', {'a': 1})", "a=1"),
        ("was.get(A + '/echo?q=é')", "q=%C3%A9"),
        ("was.get(A + '/echo#part', {'a': 1})", "a=1"),
        ("was.get(uri=A + '/echo', data={'a': 1})", "a=1"),
    )
    def test_query(self, request: str, query: str) -> None:
        data = FRONT.do(f"{request}.getwait(5).data")
        self.assertEqual(data["query"].replace("%20", "+"), query)
        self.assertEqual(data["body"], "")

    @each(
        ("/echo/é", "/echo/%C3%A9"),
        ("/echo/한", "/echo/%ED%95%9C"),
        ("/echo/a%20b", "/echo/a%20b"),
        ("/echo/a b", "/echo/a%20b"),
        ("", "/"),
    )
    def test_path(self, path: str, sent: str) -> None:
        self.assertEqual(FRONT.do(f"was.get(A + {path!r}).getwait(5).data['path']"), sent)

    @each(
        ("{'X-One': '1'}", [["x-one", "1"]]),
        ("[('X-One', '1'), ('X-One', '2')]", [["x-one", "1"], ["x-one", "2"]]),
        ("(('X-One', '1'),)", [["x-one", "1"]]),
        ("{'User-Agent': 'me'}", [["user-agent", "me"]]),
        ("{'accept': 'text/x'}", [["accept", "text/x"]]),
        ("{'Cookie': 'a=b'}", [["cookie", "a=b"]]),
    )
    def test_headers(self, headers: str, expected: list[list[str]]) -> None:
        fields = FRONT.do(f"was.get(A + '/echo', headers={headers}).getwait(5).data['fields']")
        names = {name for name, _ in expected}
        self.assertEqual([[name.lower(), value] for name, value in fields if name.lower() in names], expected)

    def test_defaults_of_a_request(self) -> None:
        headers = FRONT.do(GET + "r.data['headers'], A")
        self.assertTrue(headers[1].endswith(headers[0]["host"]))
        self.assertIn("gzip", headers[0]["accept-encoding"])
        self.assertIn("skitai", headers[0]["user-agent"].lower())
        self.assertNotIn("content-length", headers[0])

    @each(
        "was.get('ftp://localhost/')",
        "was.get('file:///etc/passwd')",
        "was.get('localhost/x')",
        "was.get('/x')",
        "was.get('')",
        "was.get(None)",
        "was.get('http://')",
        "was.get('http://localhost:99999/')",
        "was.get('http://localhost:x/')",
        "was.get(A + '/\\r\\nX: y')",
        "was.get(A + '/', headers={'X': 'a\\r\\nY: b'})",
        "was.get(A + '/', headers={'X\\r\\nY': 'b'})",
        "was.get(A + '/', headers={'X: Y': 'b'})",
        "was.get(A + '/', headers={'X': 'a\\0'})",
        "was.get(A + '/', headers={'': 'a'})",
        "was.get(A + '/', headers=5)",
        "was.get(A + '/', auth=5)",
        "was.get(A + '/', auth=('a', 'b', 'c'))",
        "was.get(A + '/', auth='to\\r\\nken')",
        "was.get(A + '/', timeout='soon')",
        "was.get(A + '/', callback=5)",
        "was.get(A + '/', filter=5)",
        "was.get()",
        "was.get(A + '/', nonsense=1)",
        "was.post(A + '/', object())",
    )
    def test_a_broken_argument_is_an_exception_at_the_call(self, request: str) -> None:
        code = f"""
            try:
              r = {request}
            except (ValueError, TypeError) as error:
              return type(error).__name__, str(error)
            return "no error", r.getwait(1).status_code
        """
        name, text = FRONT.do(code)
        self.assertIn(name, ("ValueError", "TypeError"), text)
        self.assertTrue(text)

    @each(
        ("was.get('ftp://localhost/')", "ftp"),
        ("was.get(A + '/', headers={'X-Bad': 'a\\r\\nY: b'})", "X-Bad"),
        ("was.get(A + '/', nonsense=1)", "nonsense"),
        ("was.get('@nobody/x')", "@nobody"),
        ("was.get.lb('@nobody/x')", "@nobody"),
        ("was.get.map('@nobody/x')", "@nobody"),
        ("was.rpc('@nobody/x').add(1)", "@nobody"),
    )
    def test_the_error_names_the_value(self, request: str, name: str) -> None:
        self.assertIn(name.lower(), FRONT.error(request)[1].lower())


@tables
class Responses(SynchronousTestCase):
    @each(
        ("r.status", 3),
        ("r.status_code", 200),
        ("r.method", "GET"),
        ("r.url == A + '/echo'", True),
        ("r.version in ('1.1', 'HTTP/1.1')", True),
        ("r.reason", "Fine"),
        ("r.get_header('content-type')", "application/json"),
        ("r.get_header('Content-Type')", "application/json"),
        ("r.get_header('x-none')", None),
        ("r.get_header('x-none', 'd')", "d"),
        ("isinstance(r.content, bytes)", True),
        ("isinstance(r.text, str)", True),
        ("json.loads(r.content) == r.data", True),
        ("json.loads(r.text) == r.json()", True),
        ("r.meta", {}),
        ("r.reqid", None),
        ("r.is_cached", False),
        ("bool(r.headers)", True),
        ("(r.reraise(), 1)[1]", 1),
    )
    def test_attribute(self, expression: str, expected: Any) -> None:
        self.assertEqual(FRONT.do(GET + expression), expected)

    @each(201, 204, 301, 304, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 599)
    def test_any_status_code_is_done(self, number: int) -> None:
        code = f"r = was.get(A + '/status/{number}').getwait(5)\nr.reraise()\nreturn r.status, r.status_code, r.reason"
        self.assertEqual(FRONT.do(code), [3, number, "Such Is Life"])

    @each(
        ("application/json", '{"a": [1, null, "\u00e9"]}', {"a": [1, None, "\u00e9"]}),
        ("application/json; charset=utf-8", "[1]", [1]),
        ("text/plain", "[1]", "[1]"),
        ("application/octet-stream", "\\x00", "\\x00"),
    )
    def test_data(self, kind: str, body: str, expected: Any) -> None:
        code = f"was.post(A + '/type?{kind.replace(' ', '')}', {body.encode()!r}).getwait(5).data"
        self.assertEqual(FRONT.do(code), expected)

    @each(
        ("text/plain;charset=utf-8", b"caf\xc3\xa9", "caf\u00e9"),
        ("text/plain;charset=iso-8859-1", b"caf\xe9", "caf\u00e9"),
        ("text/html", b"plain", "plain"),
        ("text/plain;charset=nonsense", b"plain", "plain"),
        ("text/plain;charset=utf-8", b"a\xff", "a\ufffd"),
    )
    def test_text(self, kind: str, body: bytes, expected: str) -> None:
        self.assertEqual(FRONT.do(f"was.post(A + '/type?{kind}', {body!r}).getwait(5).text"), expected)

    def test_json_of_what_is_none_raises(self) -> None:
        raised, _ = FRONT.error("was.post(A + '/type?text/plain', b'{').getwait(5).json()")
        self.assertIn("ValueError", raised)

    def test_repeated_fields_of_an_answer(self) -> None:
        code = (
            "r = was.get(A + '/fields').getwait(5)\nreturn r.get_header('x-one'), r.get_header('x-two'), str(r.headers)"
        )
        one, two, headers = FRONT.do(code)
        self.assertEqual(one, "1")
        self.assertIn(two, ("a", "b", "a, b"))
        self.assertIn("a=1", headers)
        self.assertIn("b=2", headers)

    @each(
        ("/chunked", "four-th"),
        ("/unbounded", "until the end"),
        ("/old", "old"),
        ("/hints", "after"),
        ("/farewell", "bye"),
        ("/encoded/gzip", "encoded " * 400),
        ("/encoded/deflate", "encoded " * 400),
        ("/encoded/rawdeflate", "encoded " * 400),
        ("/encoded/br", "encoded " * 400),
        ("/encoded/identity", "encoded " * 400),
        ("/encoded/twice", "encoded " * 400),
    )
    def test_every_form_of_body(self, path: str, body: str) -> None:
        self.assertEqual(FRONT.do(f"was.get(A + '{path}').getwait(5).text"), body)

    def test_after_each_farewell_the_next_request_finds_a_connection(self) -> None:
        code = "return [was.get(A + '/farewell').getwait(5).text for _ in range(10)]"
        self.assertEqual(FRONT.do(code), ["bye"] * 10)

    @each(10, 100_000, 3_000_000, 20_000_000)
    def test_size(self, size: int) -> None:
        code = f"r = was.get(A + '/big/{size}').getwait(9)\nreturn r.status, len(r.content), r.content[-3:]"
        self.assertEqual(FRONT.do(code), [3, size, "789"])

    def test_connections_are_kept(self) -> None:
        code = "return [was.get(B + '/echo').getwait(5).data['peer'] for _ in range(6)]"
        self.assertEqual(len(set(FRONT.do(code))), 1)

    @each(
        ("meta={'k': 1}", "r.meta['k']", 1),
        ("meta=None", "r.meta", {}),
        ("filter=lambda data: data['method'].lower()", "r.data", "get"),
        ("use_cache=False", "r.status", 3),
        ("timeout=5", "r.status", 3),
        ("None, None, {'X-A': '1'}, {'m': 2}", "[r.data['headers']['x-a'], r.meta]", ["1", {"m": 2}]),
    )
    def test_keyword(self, argument: str, expression: str, expected: Any) -> None:
        self.assertEqual(FRONT.do(f"r = was.get(A + '/echo', {argument}).getwait(5)\nreturn {expression}"), expected)

    def test_a_filter_that_raises_is_a_failure(self) -> None:
        code = "r = was.get(A + '/echo', filter=lambda data: 1 / 0).getwait(5)\nreturn r.status"
        self.assertEqual(FRONT.do(code), 2)
        code = "was.get(A + '/echo', filter=lambda data: 1 / 0).getwait(5, reraise=True)"
        self.assertIn("ZeroDivisionError", FRONT.error(code)[0])

    def test_a_filter_is_applied_once(self) -> None:
        code = """
            calls = []
            req = was.get(A + '/echo', filter=lambda data: calls.append(1) or len(calls))
            return req.getwait(5).data, req.getwait(5).data, len(calls)
        """
        self.assertEqual(FRONT.do(code), [1, 1, 1])


@tables
class Handles(SynchronousTestCase):
    @each(
        ("req.getwait().status_code", 200),
        ("req.getwait(timeout=5).status_code", 200),
        ("req.getwait(5, True).status_code", 200),
        ("req.getwait(5, reraise=True).status_code", 200),
        ("(req.wait(), req.getwait().status_code)[1]", 200),
        ("(req.wait(5), req.getwait().status_code)[1]", 200),
        ("(req.wait(timeout=5, reraise=True), req.getwait().status_code)[1]", 200),
        ("req.getwait() is req.getwait() or req.getwait().data == req.getwait().data", True),
        ("(req.getwait(), req.cache(0), req.getwait().status)[2]", 3),
    )
    def test_waiting(self, expression: str, expected: Any) -> None:
        self.assertEqual(FRONT.do(f"req = was.get(A + '/echo')\nreturn {expression}"), expected)

    def test_a_request_starts_when_called(self) -> None:
        path = "/echo/starts-when-called"
        FRONT.do(f"KEPT['starts'] = was.get(A + '{path}')\nreturn 1")
        until(lambda: BackEnd.hits[path], "a request that nobody waits for")

    def test_three_slow_calls_take_the_time_of_one(self) -> None:
        code = """
            start = time.time()
            requests = [was.get(A + '/slow/0.3') for _ in range(3)]
            return [r.getwait(3).status_code for r in requests], time.time() - start
        """
        codes, seconds = FRONT.do(code)
        self.assertEqual(codes, [200] * 3)
        self.assertLess(seconds, 0.8)

    def test_work_goes_on_while_a_request_runs(self) -> None:
        code = """
            start = time.time()
            request = was.get(A + '/slow/0.3')
            time.sleep(0.3)
            return request.getwait(3).status_code, time.time() - start
        """
        status, seconds = FRONT.do(code)
        self.assertEqual(status, 200)
        self.assertLess(seconds, 0.55)

    def test_fifty_at_once_from_one_view(self) -> None:
        code = """
            requests = [was.get(A + '/echo', {'n': n}) for n in range(50)]
            return [r.getwait(5).data['query'] for r in requests]
        """
        self.assertEqual(FRONT.do(code), [f"n={n}" for n in range(50)])

    def test_timeout_of_getwait(self) -> None:
        code = """
            start = time.time()
            req = was.get(A + '/slow/0.5')
            first = req.getwait(0.1)
            seconds = time.time() - start
            time.sleep(0.6)
            second = req.getwait(1)
            return first.status, first.status_code, seconds, second.status, second.status_code
        """
        status, number, seconds, status2, number2 = FRONT.do(code)
        self.assertEqual((status, number, status2, number2), (1, 730, 1, 730))
        self.assertLess(seconds, 0.4)

    def test_timeout_of_the_request_itself(self) -> None:
        code = """
            start = time.time()
            r = was.get(A + '/slow/1', timeout=0.2).getwait(5)
            return r.status, r.status_code, time.time() - start
        """
        status, number, seconds = FRONT.do(code)
        self.assertEqual((status, number), (1, 730))
        self.assertLess(seconds, 0.6)

    def test_timeouts_count_from_the_call(self) -> None:
        code = """
            r = was.get(A + '/slow/1', timeout=0.3)
            time.sleep(0.3)
            start = time.time()
            return r.getwait(5).status_code, time.time() - start
        """
        number, seconds = FRONT.do(code)
        self.assertEqual(number, 730)
        self.assertLess(seconds, 0.2)

    @each(
        "was.get(A + '/slow/1').wait(0.1)",
        "was.get(A + '/slow/1').getwait(0.1, reraise=True)",
        "was.get(A + '/slow/1').getwait(0.1, True)",
        "was.get(A + '/slow/1').getwait(0.1).reraise()",
        "was.get(A + '/slow/1', timeout=0.1).wait(2)",
        "was.get(DEAD).wait(2)",
        "was.get(DEAD).getwait(2, reraise=True)",
        "was.get(DEAD).getwait(2).reraise()",
        "was.get('http://nobody.invalid/').wait(9)",
        "(lambda r: (r.cancel(), r.wait(1)))(was.get(A + '/slow/1'))",
    )
    def test_reraise(self, code: str) -> None:
        raised, text = FRONT.error(code)
        self.assertIn("Exception", raised)
        self.assertTrue(text)

    @each(
        "was.get(A + '/slow/1').wait(0.1, reraise=False)",
        "was.get(A + '/slow/1').wait(0.1, False)",
        "was.get(DEAD).wait(2, reraise=False)",
        "was.get(A + '/slow/1').getwait(0.1)",
        "was.get(DEAD).getwait(2)",
    )
    def test_no_reraise(self, code: str) -> None:
        FRONT.do(code + "\nreturn 1")

    def test_cancel(self) -> None:
        code = """
            req = was.get(A + '/hang/cancel')
            time.sleep(0.1)
            req.cancel()
            req.cancel()
            r = req.getwait(2)
            return r.status, r.status_code
        """
        self.assertEqual(FRONT.do(code), [2, 702])
        until(lambda: BackEnd.left["/hang/cancel"], "the connection of a cancelled request closed", 3)

    def test_cancel_of_what_is_done_changes_nothing(self) -> None:
        code = "req = was.get(A + '/echo')\nreq.wait(5)\nreq.cancel()\nreturn req.getwait(1).status_code"
        self.assertEqual(FRONT.do(code), 200)

    def test_cancel_releases_a_waiter(self) -> None:
        code = """
            req = was.get(A + '/hang/head', timeout=20)
            threading.Timer(0.1, req.cancel).start()
            start = time.time()
            return req.getwait(10).status_code, time.time() - start
        """
        number, seconds = FRONT.do(code)
        self.assertEqual(number, 702)
        self.assertLess(seconds, 1)

    def test_two_threads_may_wait_for_one_request(self) -> None:
        code = """
            req, seen = was.get(A + '/slow/0.2'), []
            threads = [threading.Thread(target=lambda: seen.append(req.getwait(3).status_code)) for _ in range(3)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            return seen
        """
        self.assertEqual(FRONT.do(code), [200] * 3)

    def test_extra_threads_while_pages_wait(self) -> None:
        """Forty pages of 0.3 s on four threads need a few rounds, not ten."""
        seen: list[int] = []

        def ask() -> None:
            seen.append(FRONT.do("was.get(C + '/slow/0.3').getwait(9).status_code"))

        FRONT.do("1")
        start = time.monotonic()
        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [200] * 40)
        self.assertLess(time.monotonic() - start, 2.0)


@tables
class Callbacks(SynchronousTestCase):
    CODE = """
        seen, done = [], threading.Event()
        def back(*args):
            r = args[0]
            seen.append([r.status, r.status_code, threading.get_ident() == mine, len(args), list(args[1:]),
              threading.current_thread() is threading.main_thread()])
            done.set()
        mine = threading.get_ident()
        req = REQUEST
        done.wait(5)
        time.sleep(0.05)
        return seen
    """

    @each(
        ("was.get(A + '/echo', callback=back)", [3, 200], []),
        ("was.get(A + '/status/404', callback=back)", [3, 404], []),
        ("was.get(A + '/echo', callback=(back, (1, 'two')))", [3, 200], [1, "two"]),
        ("was.post(A + '/echo', {'a': 1}, callback=back)", [3, 200], []),
        ("was.get(DEAD, callback=back)", [2, 701], []),
        ("was.get('http://nobody.invalid/', callback=back)", [2, 704], []),
        ("was.get(A + '/hang/head', timeout=0.1, callback=back)", [1, 730], []),
        ("was.rpc(A + '/rpc2', callback=back).add(1, 2)", [3, 200], []),
        ("was.get.lb('@pair/echo', callback=back)", [3, 200], []),
    )
    def test_a_callback_runs_once_in_a_pool_thread(self, request: str, status: list[int], more: list[Any]) -> None:
        seen = FRONT.do(self.CODE.replace("REQUEST", request))
        self.assertEqual(seen, [[*status, False, 1 + len(more), more, False]])

    def test_a_callback_for_a_cancelled_request(self) -> None:
        code = self.CODE.replace("REQUEST", "was.get(A + '/hang/head', callback=back); req.cancel()")
        self.assertEqual([row[:2] for row in FRONT.do(code)], [[2, 702]])

    def test_a_callback_that_raises_is_logged(self) -> None:
        code = "was.get(A + '/echo', callback=lambda r: 1 / 0).getwait(5)\ntime.sleep(0.1)\nreturn 1"
        FRONT.do(code)
        FRONT.server.wait_for("ZeroDivisionError", 5)

    def test_a_callback_may_request(self) -> None:
        code = """
            seen, done = [], threading.Event()
            def back(r):
                seen.append(was.get(A + '/port').getwait(5).status_code)
                done.set()
            was.get(A + '/echo', callback=back)
            done.wait(5)
            return seen
        """
        self.assertEqual(FRONT.do(code), [200])


@tables
class Edges(SynchronousTestCase):
    @each(
        ("was.head(A + '/encoded/gzip')", 200),
        ("was.get(A + '/rawto')", 200),
        ("was.get(A + '/to/302?//' + A[7:] + '/echo')", 200),
        ("was.get(A + '/to/302?HTTP://' + A[7:] + '/echo')", 200),
        ("was.get(A + '/to/302?/echo%23part')", 200),
        ("was.get('HTTP://LOCALHOST:%d/echo' % PORTS['A'])", 200),
        ("was.get('http://[::1]:%d/' % PORTS['DEAD'])", 701),
        ("was.get(A + '/echo?' + 'x' * 30000)", 200),
        ("was.get(A + '/status/404')", 404),
        ("was.get(DEAD, filter=lambda data: 1 / 0)", 701),
    )
    def test_code(self, request: str, number: int) -> None:
        self.assertEqual(FRONT.do(f"{request}.getwait(5).status_code"), number)

    @each("was.get(A + '/status/404')", "was.get(A + '/status/500')", "was.get(A + '/status/304')")
    def test_what_is_done_is_not_raised(self, request: str) -> None:
        FRONT.do(f"{request}.wait(5)\nreturn {request}.getwait(5, reraise=True).status")

    def test_a_connection_closed_while_idle_is_not_used(self) -> None:
        code = """
            seen = []
            for _ in range(5):
              was.get(B + '/farewell').wait(5)
              time.sleep(0.03)
              seen.append(was.post(B + '/echo', {'a': 1}).getwait(5).status_code)
            return seen
        """
        self.assertEqual(FRONT.do(code), [200] * 5)

    def test_a_server_that_leaves_at_the_second_request(self) -> None:
        """GET is repeated on a new connection; POST, which may have been executed, is not."""
        code = """
            was.get(C + '/leave').wait(5)
            get = was.get(C + '/leave').getwait(5).status_code
            was.get(C + '/leave').wait(5)
            post = was.post(C + '/leave', {'a': 1}).getwait(5)
            return get, post.status
        """
        get, post = FRONT.do(code)
        self.assertEqual(get, 200)
        self.assertIn(post, (2, 3))

    def test_broken_json_is_still_an_answer(self) -> None:
        code = "r = was.post(A + '/type?application/json', b'{broken').getwait(5)\nreturn r.status, r.text"
        self.assertEqual(FRONT.do(code), [3, "{broken"])

    def test_waiting_no_time(self) -> None:
        code = "r = was.get(A + '/slow/0.3').getwait(0)\nreturn r.status, r.status_code"
        self.assertEqual(FRONT.do(code), [1, 730])

    def test_three_seconds_are_the_default(self) -> None:
        code = """
            start = time.time()
            first, second = was.get(A + '/hang/head'), was.get(A + '/hang/head')
            code = first.getwait().status_code
            seconds = time.time() - start
            try:
              second.wait()
            except Exception:
              return code, seconds, time.time() - start
        """
        number, seconds, both = FRONT.do(code)
        self.assertEqual(number, 730)
        self.assertTrue(2.8 < seconds < 3.5, seconds)
        self.assertLess(both, 6.5)

    def test_a_slow_callback_does_not_hold_others(self) -> None:
        code = """
            start, done = time.time(), threading.Event()
            was.get(A + '/echo', callback=lambda r: done.wait(5))
            number = was.get(A + '/echo').getwait(5).status_code
            seconds = time.time() - start
            done.set()
            return number, seconds
        """
        number, seconds = FRONT.do(code)
        self.assertEqual(number, 200)
        self.assertLess(seconds, 1)

    def test_status_shows_no_secret(self) -> None:
        self.assertNotIn(
            "hidden-secret", FRONT.do("os.environ['API_TOKEN'] = 'hidden-secret'\nreturn str(was.status())")
        )


@tables
class Threads(SynchronousTestCase):
    """The pool and those that run in the place of who waits."""

    def at_once(self, front: Front, count: int, path: str) -> tuple[list[int], float]:
        seen: list[int] = []
        code = f"was.get(C + '{path}').getwait(9).status_code"
        threads = [threading.Thread(target=lambda: seen.append(front.do(code))) for _ in range(count)]
        front.do("1")
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen, time.monotonic() - start

    @each((0, 6, 0.85, 2.5), (2, 12, 0.75, 2.0), (32, 12, 0.2, 0.9))
    def test_extra_threads(self, extra: int, pages: int, least: float, most: float) -> None:
        """Two threads and some extra: rounds of 0.3 s."""
        front = Front({"app.py": SADDLE.replace("threads =", f"extra_threads = {extra}, threads =")}, THREADS="2")
        self.addCleanup(front.end)
        seen, seconds = self.at_once(front, pages, "/slow/0.3")
        self.assertEqual(seen, [200] * pages)
        self.assertTrue(least < seconds < most, seconds)

    def test_pages_that_ask_their_own_server(self) -> None:
        """Without a thread to spare each waits in vain, and only as long as it said."""
        front = Front({"app.py": SADDLE.replace("threads =", "extra_threads = 0, threads =")}, THREADS="1")
        self.addCleanup(front.end)
        front.do("1")
        self.assertEqual(front.do("was.get(SELF + '/chain').getwait(0.3).status_code"), 730)
        self.assertEqual(front.do("1"), 1)
        front = Front({"app.py": SADDLE}, THREADS="1")
        self.addCleanup(front.end)
        front.do("1")
        self.assertEqual(front.do("was.get(SELF + '/chain?depth=2').getwait(5).status_code"), 200)
