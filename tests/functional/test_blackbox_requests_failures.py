"""Requests to back ends that fail at every stage: each ends with a status, in time, and others go on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.process import until
from tests.functional.requestbox import FRONT, SADDLE, BackEnd, Front
from tests.functional.saddlebox import each, tables

CODE = """
    start = time.time()
    r = REQUEST.getwait(4)
    return r.status, r.status_code, time.time() - start, bool(r.reason)
"""


@tables
class Failures(SynchronousTestCase):
    def check(self, request: str, status: int, number: int | None, limit: float = 3) -> None:
        result = FRONT.do(CODE.replace("REQUEST", request))
        self.assertEqual(result[0], status, result)
        if number is not None:
            self.assertEqual(result[1], number, result)
        self.assertGreaterEqual(result[1], 700)
        self.assertLess(result[2], limit)
        self.assertTrue(result[3], "a reason")

    @each(
        ("was.get(DEAD)", 701),
        ("was.post(DEAD, {'a': 1})", 701),
        ("was.get('http://nobody.invalid/')", 704),
        ("was.get('http://a.nobody.invalid:81/x')", 704),
        ("was.post('http://nobody.invalid/', {})", 704),
        ("was.rpc(DEAD).add(1, 2)", 701),
        ("was.rpc('http://nobody.invalid/').add(1, 2)", 704),
    )
    def test_no_connection(self, request: str, number: int) -> None:
        self.check(request, 2, number)

    @each(
        "was.get(SILENT, timeout=0.2)",
        "was.get(SILENT.replace('http', 'https'), timeout=0.2)",
        "was.get(A + '/hang/head', timeout=0.2)",
        "was.get(A + '/hang/status', timeout=0.2)",
        "was.get(A + '/hang/fields', timeout=0.2)",
        "was.get(A + '/hang/body', timeout=0.2)",
        "was.get(A + '/hang/chunk', timeout=0.2)",
        "was.post(A + '/hang/head', {'a': 1}, timeout=0.2)",
        "was.post(SILENT, b'x' * 30_000_000, timeout=0.3)",
        "was.get(A + '/drip', timeout=0.3)",
        "was.get(A + '/to/302?/hang/head', timeout=0.2)",
        "was.rpc(A + '/rpc2', timeout=0.2).slow(1)",
    )
    def test_a_hang_is_a_timeout(self, request: str) -> None:
        self.check(request, 1, 730, 1)

    @each(
        "close", "cuthead", "cutbody", "cutchunk", "nolastchunk", "garbage", "badlength", "lengths", "negative",
        "badchunk", "both", "version", "number", "http09", "header", "fields",
    )  # fmt: skip
    def test_a_broken_answer(self, kind: str) -> None:
        self.check(f"was.get(A + '/fault/{kind}')", 2, None)

    @each("false", "short", "bomb")
    def test_a_broken_coding(self, kind: str) -> None:
        self.check(f"was.get(A + '/encoded/{kind}')", 2, None)

    @each("/loop", "/down/11", "/to/302?file:///etc/passwd", "/to/302?ftp://localhost/", "/to/302?http://",
          "/to/302?gopher://x/", "/to/302?http://a:b:c/", "/to/301?data:,x")  # fmt: skip
    def test_a_redirect_that_leads_nowhere(self, path: str) -> None:
        self.check(f"was.get(A + '{path}')", 2, None)

    def test_a_redirect_to_nobody(self) -> None:
        self.check("was.get(A + '/to/302?' + DEAD)", 2, 701)
        self.check("was.get(A + '/to/302?http://nobody.invalid/')", 2, 704)

    @each("EXPIRED", "WRONG", "OWN", "A.replace('http', 'https')", "T.replace('localhost', '127.0.0.2')")
    def test_tls_that_is_not_to_be_trusted(self, url: str) -> None:
        self.check(f"was.get({url} + '/echo')", 2, None)

    def test_tls_spoken_to_plainly(self) -> None:
        self.check("was.get(T.replace('https', 'http') + '/echo')", 2, None)

    def test_more_than_the_limit_is_a_failure(self) -> None:
        self.check("was.get(A + '/big/80000000')", 2, None, 4)

    def test_a_failed_request_gives_its_connection_back_to_nobody(self) -> None:
        """After every failure the next request gets its own answer."""
        for kind in ("cutbody", "lengths", "both", "badchunk"):
            FRONT.do(f"was.get(C + '/fault/{kind}').getwait(4).status")
            self.assertEqual(FRONT.do("was.get(C + '/echo', {'n': 1}).getwait(4).data['query']"), "n=1")

    def test_a_timed_out_request_leaves(self) -> None:
        before = BackEnd.left["/hang/body"]
        FRONT.do("was.get(B + '/hang/body', timeout=0.1).getwait(3).status")
        until(lambda: BackEnd.left["/hang/body"] > before, "the connection closed", 3)

    def test_others_go_on_while_one_hangs(self) -> None:
        code = """
            hanging = [was.get(A + '/hang/head', timeout=0.5) for _ in range(5)]
            start = time.time()
            well = was.get(A + '/echo').getwait(3).status_code
            return well, time.time() - start, [r.getwait(3).status_code for r in hanging]
        """
        well, seconds, codes = FRONT.do(code)
        self.assertEqual((well, codes), (200, [730] * 5))
        self.assertLess(seconds, 0.4)

    def test_nothing_leaks(self) -> None:
        """After many failures there are as many descriptors and threads as after the first."""
        count = "len(os.listdir('/proc/self/fd')), threading.active_count()"
        fail = """
            requests = [was.get(url, timeout=0.3) for url in (DEAD, A + '/fault/cutbody', A + '/fault/garbage',
              A + '/hang/head', A + '/encoded/short', SILENT) for _ in range(5)]
            return [r.getwait(3).status for r in requests]
        """
        FRONT.do(fail)
        time.sleep(0.2)
        files, threads = FRONT.do(count)
        for _ in range(5):
            FRONT.do(fail)
        time.sleep(0.2)
        more_files, more_threads = FRONT.do(count)
        self.assertLessEqual(more_files, files + 5)
        self.assertLessEqual(more_threads, threads + 5)


class Stop(SynchronousTestCase):
    def test_a_server_that_stops_releases_those_who_wait(self) -> None:
        front = Front({"app.py": SADDLE.replace("threads =", "graceful_timeout = 1, threads =")})
        self.addCleanup(front.end)
        hits = BackEnd.hits["/hang/head"]
        thread = threading.Thread(target=self.hang, args=(front,))
        front.do("1")
        thread.start()
        until(lambda: BackEnd.hits["/hang/head"] > hits, "the request at the back end")
        start = time.monotonic()
        front.server.signal(signal.SIGTERM)
        self.assertEqual(front.server.wait(8), 0)
        self.assertLess(time.monotonic() - start, 4)
        thread.join(5)
        self.assertFalse(thread.is_alive())

    def test_a_server_without_threads_stops_too(self) -> None:
        front = Front({"app.py": SADDLE.replace("threads =", "graceful_timeout = 1, threads =")}, THREADS="0")
        self.addCleanup(front.end)
        front.do("1")
        path = "/hang/head/async"
        code = f"(await was.get(A + '{path}', timeout=30)).status"
        stream = f"p = was.aresponse(lambda r, p: p.done())\np.get('a', A + '{path}', timeout=30)\nreturn p"
        threads = [
            threading.Thread(target=self.quietly, args=(lambda: front.ado(code),)),
            threading.Thread(target=self.quietly, args=(lambda: front.send("/stream", stream),)),
        ]
        for thread in threads:
            thread.start()
        until(lambda: BackEnd.hits[path] == 2, "the requests at the back end")
        start = time.monotonic()
        front.server.signal(signal.SIGTERM)
        self.assertEqual(front.server.wait(8), 0)
        self.assertLess(time.monotonic() - start, 4)
        for thread in threads:
            thread.join(5)
            self.assertFalse(thread.is_alive())

    def quietly(self, ask: Callable[[], object]) -> None:
        try:
            ask()
        except (AssertionError, EOFError, OSError):
            pass

    def hang(self, front: Front) -> None:
        try:
            front.do("was.get(A + '/hang/head', timeout=30).getwait(30).status")
        except (AssertionError, EOFError, OSError):
            pass

    def test_a_server_stops_gracefully_after_requests_that_end(self) -> None:
        front = Front({"app.py": SADDLE})
        self.addCleanup(front.end)
        seen: list[int] = []
        hits = BackEnd.hits["/slow/0.5"]
        front.do("1")
        code = "was.get(A + '/slow/0.5').getwait(5).status_code"
        thread = threading.Thread(target=lambda: seen.append(front.do(code)))
        thread.start()
        until(lambda: BackEnd.hits["/slow/0.5"] > hits, "the request at the back end")
        self.assertEqual(front.server.stop(), 0)
        thread.join(5)
        self.assertEqual(seen, [200])
