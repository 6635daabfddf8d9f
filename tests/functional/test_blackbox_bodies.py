"""Request bodies: lengths, limits, 100-continue, slow and vanishing clients."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until

APPLICATION = """\
import hashlib
import json
import os
import threading
import time

state = {"started": 0, "gone": 0, "ended": 0, "errors": []}

def answer(start_response, **values):
    body = json.dumps(values).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

class Endless:
    def __init__(self, environ):
        self.gone = environ["skitai.client_disconnected"]
        self.sent = 0
    def __iter__(self):
        return self
    def __next__(self):
        self.sent += 1
        state["sent"] = self.sent
        return b"x" * 65536
    def close(self):
        state["ended"] += 1

def app(environ, start_response):
    path, query, input = environ["PATH_INFO"], environ["QUERY_STRING"], environ["wsgi.input"]
    if path == "/state":
        return answer(start_response, **state)
    if path == "/whole":
        data = input.read()
    elif path == "/sized":
        data = input.read(int(environ["CONTENT_LENGTH"]))
    elif path == "/pieces":
        data = b"".join(iter(lambda: input.read(int(query)), b""))
    elif path == "/lines":
        lines = list(input)
        return answer(start_response, lines=[line.decode() for line in lines])
    elif path == "/readline":
        lines = [input.readline(), input.readline(3), input.readlines(), input.readline(), input.read(), input.read(5)]
        lines[2] = b"|".join(lines[2])
        return answer(start_response, lines=[line.decode() for line in lines])
    elif path == "/odd":
        first = input.read(2)
        nothing, rest, end = input.read(0), input.read(-1), input.read()
        return answer(start_response, data=[first.decode(), nothing.decode(), rest.decode(), end.decode()])
    elif path == "/none":
        data = b""
    elif path == "/early":
        body = b"early"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [body]
    elif path == "/drip":
        state["started"] += 1
        try:
            data = input.read()
        except Exception as error:
            state["errors"].append(type(error).__mro__[-3].__name__)
            raise
        finally:
            state["ended"] += 1
    elif path == "/gone":
        gone = environ["skitai.client_disconnected"]
        state["started"] += 1
        deadline = time.monotonic() + 15
        while not gone() and time.monotonic() < deadline:
            time.sleep(0.005)
        state["gone"] += gone()
        return answer(start_response)
    elif path == "/endless":
        start_response("200 OK", [("Content-Type", "application/x")])
        return Endless(environ)
    elif path == "/echo":
        def pieces():
            while data := input.read(4096):
                yield data
        start_response("200 OK", [("Content-Type", "application/x")])
        return pieces()
    length = environ.get("CONTENT_LENGTH")
    return answer(start_response, size=len(data), md5=hashlib.md5(data).hexdigest(), length=length,
                  terminated=environ.get("wsgi.input_terminated"), thread=threading.current_thread().name)

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""

site = Shared({"app.py": APPLICATION})
single = Shared({"app.py": APPLICATION}, "--threads", "0")
limited = Shared(
    {"app.py": APPLICATION},
    *("--max-post-body-size", "10K", "--body-min-rate", "100000", "--body-min-rate-grace", "0.3", "--threads", "2"),
)


def told(reply: Reply) -> dict[str, Any]:
    result = json.loads(reply.body)
    assert isinstance(result, dict)
    return result


def state(served: Shared) -> dict[str, Any]:
    return told(served.ask("/state"))


def chunked(data: bytes, size: int) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class InputTests(SynchronousTestCase):
    """Applications get every byte, in whatever way they read."""

    served = site

    def test_every_way_of_reading(self) -> None:
        with self.served.connect() as wire:
            for size in (0, 1, 1000, 65535, 65536, 65537, 300_000):
                data = os.urandom(size)
                for path in ("/whole", "/pieces?1000", "/pieces?65536", "/pieces?1000000") + ("/sized",) * bool(size):
                    got = told(wire.ask(path, method="POST", body=data))
                    self.assertEqual((got["size"], got["md5"]), (size, hashlib.md5(data).hexdigest()), (path, size))
                    self.assertEqual(got["length"] or "0", str(size))
                    self.assertEqual(got["terminated"], True)

    def test_chunked(self) -> None:
        with self.served.connect() as wire:
            for size, chunk in ((1, 1), (1000, 7), (300_000, 4096), (300_000, 300_000)):
                data = os.urandom(size)
                for path in (b"/whole", b"/pieces?1000"):
                    wire.send(b"POST %s HTTP/1.1\r\n" % path + CHUNKED + chunked(data, chunk))
                    got = told(wire.receive())
                    self.assertEqual((got["size"], got["md5"]), (size, hashlib.md5(data).hexdigest()))

    def test_lines(self) -> None:
        with self.served.connect() as wire:
            body = b"one\ntwo\r\n\nthree"
            self.assertEqual(
                told(wire.ask("/lines", method="POST", body=body))["lines"], ["one\n", "two\r\n", "\n", "three"]
            )
            self.assertEqual(
                told(wire.ask("/readline", method="POST", body=body))["lines"],
                ["one\n", "two", "\r\n|\n|three", "", "", ""],
            )
            got = told(wire.ask("/odd", method="POST", body=b"abcdef"))
            self.assertEqual(got["data"], ["ab", "", "cdef", ""])

    def test_lines_of_a_large_body(self) -> None:
        lines = [f"{n}\n" for n in range(30_000)]
        reply = self.served.ask("/lines", method="POST", body="".join(lines).encode())
        self.assertEqual(told(reply)["lines"], lines)

    def test_a_body_with_get(self) -> None:
        self.assertEqual(told(self.served.ask("/whole", method="GET", body=b"abc"))["size"], 3)

    def test_a_large_body_that_is_left(self) -> None:
        with self.served.connect() as wire:
            wire.request("/early", method="POST", body=b"x" * 300_000)
            self.assertEqual(wire.receive().body, b"early")
            try:
                self.assertEqual(wire.ask("/whole").status, 200)
            except (EOFError, OSError):
                pass  # the server may close instead of reading what nobody wants

    def test_streams_both_ways_at_once(self) -> None:
        with self.served.connect() as wire:
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8192000\r\n\r\n"
            data = os.urandom(8192) * 1000
            sender = threading.Thread(target=wire.send, args=(head + data,))
            sender.start()
            reply = wire.receive()
            sender.join()
            self.assertEqual(reply.body, data)

    def test_small_bodies_wait_for_no_thread(self) -> None:
        """Clients that are slow with small bodies hold no threads."""
        slow = [limited.raw(b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab") for _ in range(8)]
        self.assertEqual(limited.ask("/whole", method="POST", body=b"abc").status, 200)
        for wire in slow:
            wire.send(b"cdefghij")
        for wire in slow:
            self.assertEqual(told(wire.receive())["size"], 10)
            wire.close()


class ContinueTests(SynchronousTestCase):
    """``Expect: 100-continue``."""

    served = site

    HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"

    def test_sent_when_the_application_reads(self) -> None:
        with self.served.raw(self.HEAD % (b"/whole", 3)) as wire:
            self.assertEqual(wire.receive_interim().status, 100)
            wire.send(b"abc")
            self.assertEqual(told(wire.receive())["size"], 3)
            wire.send(self.HEAD.replace(b"100-c", b"100-C") % (b"/pieces?2", 200_000))
            self.assertEqual(wire.receive_interim().status, 100)
            wire.send(b"x" * 200_000)
            reply = wire.receive()
            self.assertEqual((told(reply)["size"], reply.interim), (200_000, []))

    def test_chunked(self) -> None:
        with self.served.raw(b"POST /whole HTTP/1.1\r\nExpect: 100-continue\r\n" + CHUNKED) as wire:
            self.assertEqual(wire.receive_interim().status, 100)
            wire.send(chunked(b"abc", 2))
            self.assertEqual(told(wire.receive())["size"], 3)

    def test_not_sent_where_the_body_is_there_already(self) -> None:
        with self.served.raw(self.HEAD % (b"/whole", 3) + b"abc") as wire:
            self.assertEqual(told(wire.receive())["size"], 3)

    def test_not_sent_to_http_1_0(self) -> None:
        with self.served.raw(self.HEAD.replace(b"1.1", b"1.0") % (b"/whole", 3)) as wire:
            self.assertTrue(wire.silent())
            wire.send(b"abc")
            reply = wire.receive()
            self.assertEqual((told(reply)["size"], reply.interim), (3, []))

    def test_413_instead_where_it_is_too_large(self) -> None:
        with limited.raw(self.HEAD % (b"/whole", 20_000)) as wire:
            reply = wire.receive()
            self.assertEqual((reply.status, reply.interim), (413, []))
            self.assertEqual(wire.rest(), b"")

    def test_other_expectations_are_refused(self) -> None:
        with self.served.raw(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n") as wire:
            self.assertIn(wire.receive().status, (200, 417))


class EarlyTests(SynchronousTestCase):
    """Answers before the body; without threads applications run when the body is there."""

    def test_the_answer_may_start_before_the_body_has_come(self) -> None:
        with site.raw(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000) as wire:
            self.assertEqual(wire.receive().body, b"early")

    def test_not_sent_when_it_does_not_read(self) -> None:
        for path in (b"/none", b"/early"):
            with site.raw(ContinueTests.HEAD % (path, 3)) as wire:
                reply = wire.receive()
                self.assertEqual((reply.status, reply.interim), (200, []), path)
                # Whether the body will come is unknown: the connection can only be closed (RFC 9110 10.1.1).
                self.assertEqual(reply.get("connection"), "close")
                self.assertEqual(wire.rest(), b"")


class SingleInputTests(InputTests):
    """The same without threads."""

    served = single


class SingleContinueTests(ContinueTests):
    """The same without threads."""

    served = single


class LimitTests(SynchronousTestCase):
    """Bodies that are too large or too slow."""

    def test_a_length_beyond_the_limit_is_413(self) -> None:
        with limited.raw(b"POST /drip HTTP/1.1\r\nHost: a\r\nContent-Length: 10241\r\n\r\n") as wire:
            reply = wire.receive()
            self.assertEqual(reply.status, 413)
            self.assertIn("413", reply.text)
            self.assertEqual(wire.rest(), b"")
        with limited.connect() as wire:
            self.assertEqual(wire.ask("/drip", method="POST", body=b"x" * 10_241).status, 413)
        self.assertEqual(told(limited.ask("/whole", method="POST", body=b"x" * 10_240))["size"], 10_240)

    def test_413_is_read_by_clients_that_send_all_first(self) -> None:
        with limited.connect() as wire:
            try:
                wire.send(b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
            except OSError:
                pass
            self.assertEqual(wire.receive().status, 413)

    def test_chunks_beyond_the_limit_are_413(self) -> None:
        with limited.raw(b"POST /whole HTTP/1.1\r\n" + CHUNKED + chunked(b"x" * 10_241, 1000)) as wire:
            self.assertEqual(wire.receive().status, 413)
            self.assertEqual(wire.rest(), b"")

    def test_too_slow_a_body_is_408(self) -> None:
        with limited.raw(b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc") as wire:
            reply = wire.receive()
            self.assertEqual((reply.status, reply.get("connection")), (408, "close"))
            self.assertEqual(wire.rest(), b"")

    def test_dripping_does_not_help(self) -> None:
        with limited.raw(b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n") as wire:
            for _ in range(300):
                wire.send(b"x")
                if not wire.silent(0.01):
                    break
            self.assertEqual(wire.receive().status, 408)

    def test_a_body_that_ends_early_reaches_no_application(self) -> None:
        before = state(site)["started"]
        for head in (b"Host: a\r\nContent-Length: 10\r\n\r\nabc", CHUNKED + b"a\r\nabc", CHUNKED + b"3\r\nabc\r\n"):
            with site.raw(b"POST /drip HTTP/1.1\r\n" + head, end=True) as wire:
                reply = wire.rest()
                self.assertTrue(reply == b"" or reply.startswith(b"HTTP/1.1 400"), reply)
        self.assertEqual(state(site)["started"], before)

    def test_a_streamed_body_that_ends_early_raises_in_the_application(self) -> None:
        served = Shared({"app.py": APPLICATION}, "--body-spool-size", "1K")
        self.addCleanup(served.end)
        before = state(served)
        with served.raw(b"POST /drip HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000) as wire:
            until(lambda: state(served)["started"] > before["started"], "the application")
            self.assertTrue(wire.silent(0.01))
        until(lambda: state(served)["ended"] > before["ended"], "the end of reading")
        self.assertEqual(state(served)["errors"], ["Exception"])
        self.assertEqual(served.server.stop(), 0)


class VanishingTests(SynchronousTestCase):
    """Clients that leave."""

    def test_the_application_is_told(self) -> None:
        before = state(site)
        with site.raw(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n"):
            until(lambda: state(site)["started"] > before["started"], "the application")
        until(lambda: state(site)["gone"] > before["gone"], "the news")

    def test_a_reader_that_stops_blocks_the_application_at_a_bounded_size(self) -> None:
        served = Shared({"app.py": APPLICATION}, "--threads", "2")
        self.addCleanup(served.end)
        with served.connect(buffer=4096) as wire:
            wire.request("/endless")
            looks: list[int] = []

            def blocked() -> bool:
                looks.append(state(served).get("sent", 0))
                return looks[-1] > 0 and looks[-50:] == looks[-1:] * 50

            until(blocked, "an application that stopped")
            self.assertLess(looks[-1], 200)
        until(lambda: state(served)["ended"] == 1, "close()")
        self.assertEqual(served.server.stop(), 0)

    def test_one_who_takes_nothing_is_cut_off(self) -> None:
        served = Shared({"app.py": APPLICATION}, "--threads", "1", "--drain-timeout", "0.3")
        self.addCleanup(served.end)
        with served.connect(buffer=4096) as wire:
            wire.request("/endless")
            self.assertEqual(state(served)["ended"], 1)
        self.assertEqual(served.server.stop(), 0)


class QueueTests(SynchronousTestCase):
    """The queue before the threads."""

    APPLICATION = """\
import os
import threading
import time
ran = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    ran.append(path)
    if path == "/wait":
        deadline = time.monotonic() + 20
        while not os.path.exists("release") and time.monotonic() < deadline:
            time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [",".join(ran).encode()]

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run(threads=1, max_queued=2)
"""

    def test_full_is_503_and_the_work_of_those_who_left_is_dropped(self) -> None:
        served = Shared({"app.py": self.APPLICATION})
        self.addCleanup(served.end)
        running = served.raw("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(running.silent(0.1))
        first = served.raw("GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        second = served.raw("GET /stayed HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(second.silent(0.1))
        reply = served.ask("/refused")
        self.assertEqual(reply.status, 503)
        self.assertRegex(reply.get("retry-after"), r"^\d+$")
        self.assertIn("503", reply.text)
        first.close()

        def queued() -> bool:
            with served.raw("GET /third HTTP/1.1\r\nHost: a\r\n\r\n") as wire:
                return wire.silent(0.05)

        until(queued, "the place of the one who left")
        open(os.path.join(served.directory, "release"), "w").close()
        self.assertEqual(running.receive().status, 200)
        self.assertEqual(second.receive().text, "/wait,/stayed")
        served.server.signal(signal.SIGTERM)
        self.assertEqual(served.server.wait(), 0)

    def test_static_files_need_no_thread(self) -> None:
        text = self.APPLICATION.replace('skitai.mount("/", app)', 'skitai.mount("/", app); skitai.mount("/", "s")')
        served = Shared({"app.py": text, "s/a.txt": "file"})
        self.addCleanup(served.end)
        running = served.raw("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(running.silent(0.1))
        self.assertEqual(served.ask("/a.txt").body, b"file")
        open(os.path.join(served.directory, "release"), "w").close()
        running.receive()
        self.assertEqual(served.server.stop(), 0)
