"""Threads that send requests by themselves, through real sockets, to a server that hangs up whenever it likes."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.requestbox import SADDLE, Front

COUNTING: Final = """\
import doing
from skitai.was.direct_client import DirectClient

doing.KEPT ["sent"] = 0
send_now = DirectClient.send_now

def counted (self, data):
  sent = send_now (self, data)
  doing.KEPT ["sent"] += sent > 0
  return sent

DirectClient.send_now = counted
"""

FRONT = Front({"counting.py": COUNTING, "app.py": "import counting\n" + SADDLE})
"""It counts what threads have sent."""

PAGES: Final = 60
AT_ONCE: Final = 6
CALLS: Final = 20


class Moody:
    """A server that closes each connection after a few answers without saying so, in the middle of the next request.

    Attributes:
        received: How often each target was asked for, however that ended.
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self._random = random.Random(4711)
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close everything."""
        self._listening.shutdown(socket.SHUT_RDWR)  # ``close`` would not end the call
        self._listening.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # its thread closes it
            except OSError:
                pass

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            answers, asks = self._random.randint(1, 8), self._random.random() < 0.5
        with connection, connection.makefile("rb") as lines:
            for _ in range(answers):
                target = self._read(lines)
                if not target:
                    return
                body = target.encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if asks:  # it has the next request before it closes
                self._read(lines)

    def _read(self, lines: Any) -> str:
        """Read a request; return its target."""
        line: bytes = lines.readline()
        if not line:
            return ""
        length = 0
        while (field := lines.readline()) not in (b"\r\n", b""):
            if field.lower().startswith(b"content-length:"):
                length = int(field.split(b":")[1])
        lines.read(length)
        target = line.split()[1].decode()
        with self._lock:
            self.received[target] += 1
        return target


class EarlyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Moody()
        self.addCleanup(self.server.stop)

    def ask(self, verb: str) -> Counter[str]:
        """Have pages make requests; return how often each outcome was: its code, and whether it is its own answer."""

        def page(number: int) -> list[list[object]]:
            code = f"""
                outcomes = []
                for call in range({CALLS}):
                    target = "/{number}/%d" % call
                    answer = was.{verb}("http://127.0.0.1:{self.server.port}" + target).getwait(5)
                    outcomes.append([answer.status_code, answer.content.decode() == target])
                return outcomes
            """
            return FRONT.do(code)  # type: ignore[no-any-return]

        before = FRONT.do("KEPT['sent']")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = Counter(json.dumps(outcome) for outcomes in pool.map(page, range(PAGES)) for outcome in outcomes)
        self.assertGreater(FRONT.do("KEPT['sent']") - before, PAGES, "threads have sent by themselves")
        return done

    def test_each_gets_its_own_answer(self) -> None:
        """What may be asked twice is, where a connection turns out to be dead."""
        outcomes = self.ask("get")
        self.assertEqual(outcomes, {json.dumps([200, True]): PAGES * CALLS})

    def test_what_must_not_be_done_twice_is_not(self) -> None:
        outcomes = self.ask("post")
        self.assertEqual(max(self.server.received.values()), 1)
        good, lost = json.dumps([200, True]), json.dumps([701, False])
        self.assertEqual(set(outcomes) | {good, lost}, {good, lost})
        self.assertGreater(outcomes[good], outcomes[lost])
        self.assertGreater(outcomes[lost], 0, "the server has hung up while it had a request")
