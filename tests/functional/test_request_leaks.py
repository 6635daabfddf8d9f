"""Bad servers, asked a thousand times each through real sockets: every request ends as it should, and nothing is left.

Three processes: the server under test, whose views make the requests and count what it holds; the bad servers; and the
test. What is held is counted after a first round, which fills caches and pools, and again after the thousand. Half of
the requests are waited for in a thread, half in a coroutine.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, Final
from urllib.parse import urlencode

from tests.functional.process import Server, ServerTestCase, until
from tests.was.backends import Authority

TIMES: Final = 1000
WARM_TIMES: Final = 150
SOON: Final = 3.0
"""Seconds until everything is gone."""

SLACK: Final = {"objects": 250, "timers": 2}
"""So many more than before are caches and the like; one for each request would be five hundred."""

APPLICATION = """\
import dataclasses
import gc
import os
import threading
from skitai.saddle import Saddle

app = Saddle(__name__)
AT_ONCE = 100
MAX_SIZE = 50_000

asker = None

def begin(was, url, options):
    global asker
    if asker is None:
        asker = was.get("http://127.0.0.1:1/")._operation._asker
        asker.max_response_size = MAX_SIZE
        # Idle connections are no leak, nor is an attempt to connect that nobody waits for; so they go soon.
        dialer = asker.client.dialer
        dialer.settings = dataclasses.replace(dialer.settings, keep_alive_timeout=0.2, connect_timeout=1.0)
    return was.get(url, **options)

def options_of(seconds, user):
    return {"timeout": float(seconds), **({"auth": (user, "secret")} if user else {})}

def note(outcomes, responses):
    for response in responses:
        said = response.content.decode("latin-1")[:60]
        key = f"{response.status} {response.status_code} {said}".strip()
        outcomes[key] = outcomes.get(key, 0) + 1

def batches(times):
    return [min(AT_ONCE, times - begun) for begun in range(0, times, AT_ONCE)]

@app.route("/thread")
def in_thread(was, url, times, seconds="10", wait="30", user=""):
    outcomes = {}
    for count in batches(int(times)):
        handles = [begin(was, url, options_of(seconds, user)) for _ in range(count)]
        note(outcomes, [handle.getwait(float(wait)) for handle in handles])
    return outcomes

@app.route("/coroutine")
async def in_coroutine(was, url, times, seconds="10", wait="", user=""):
    outcomes = {}
    for count in batches(int(times)):
        note(outcomes, await was.gather(*[begin(was, url, options_of(seconds, user)) for _ in range(count)]))
    return outcomes

@app.route("/cancelled")
def cancelled(was, url, times):
    outcomes = {}
    for count in batches(int(times)):
        handles = [begin(was, url, {}) for _ in range(count)]
        for handle in handles:
            handle.cancel()
        note(outcomes, [handle.getwait(30) for handle in handles])
    return outcomes

@app.route("/abandoned")
def abandoned(was, url, times):
    for count in batches(int(times)):
        for _ in range(count):
            begin(was, url, {"timeout": 0.05})
        was.get(url, timeout=0.2).getwait()
    return {"abandoned": int(times)}

@app.route("/injected")
def injected(was, url, times):
    outcomes = {}
    for _ in range(int(times)):
        for arguments in (
            {"headers": {"X-A": "a\\r\\nX-B: b"}}, {"headers": {"X-A\\r\\nX-B": "a"}}, {"headers": {"X-A": "a\\0"}},
            {"auth": "token\\r\\nX-B: b"}, {"uri": url + "/\\r\\nX-B: b"}, {"headers": [("X-A", "a\\nX-B: b")]},
        ):
            try:
                was.get(**{"uri": url, **arguments})
            except ValueError:
                outcomes["refused"] = outcomes.get("refused", 0) + 1
    return outcomes

@app.route("/held")
def held(was):
    from twisted.internet import reactor
    gc.collect()
    counts = asker.client.counts
    return {
        "connections": counts["open"] + counts["connecting"],
        "requests": counts["requests"] + counts["waiting"],
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "timers": len(reactor.getDelayedCalls()),
        "objects": len(gc.get_objects()),
    }

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run(port=0, threads=4)
"""

BACKENDS = """\
import asyncio
import gzip
import json
import socket
import ssl
import struct
import sys

BOMB = gzip.compress(bytes(500_000))
FOREVER = 3600

async def request(reader):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    return head.decode("latin-1")

def answer(body, *fields, status="200 OK", length=None):
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\\r\\n".join(lines).encode() + body

def says(data, then="close"):
    async def serve(reader, writer):
        while True:
            await request(reader)
            writer.write(data)
            if then == "hang":
                await asyncio.sleep(FOREVER)
            if then == "close":
                return
    return serve

def redirects(location):
    return says(answer(b"", f"Location: {location}", status="302 Found"), "go on")

async def hangs(reader, writer):
    await asyncio.sleep(FOREVER)

async def resets(reader, writer):
    await request(reader)
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

async def endless_head(reader, writer):
    await request(reader)
    writer.write(b"HTTP/1.1 200 OK\\r\\n")
    while True:
        writer.write(b"X-More: and more\\r\\n" * 500)
        await writer.drain()

async def endless_body(reader, writer):
    await request(reader)
    writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    while True:
        writer.write(b"2000\\r\\n" + bytes(0x2000) + b"\\r\\n")
        await writer.drain()

async def interims(reader, writer):
    await request(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\\r\\n\\r\\n" * 10)
        await writer.drain()

async def credentials(reader, writer):
    while True:
        head = await request(reader)
        writer.write(answer(b"credentials" if "authorization:" in head.lower() else b"no credentials"))

KINDS = {
    "fine": says(answer(b"fine"), "go on"),
    "hangs": hangs,
    "head_hangs": says(b"HTTP/1.1 200 OK\\r\\nContent-", "hang"),
    "body_hangs": says(answer(b"some", length=100), "hang"),
    "closes": says(b""),
    "resets": resets,
    "head_cut": says(b"HTTP/1.1 200 OK\\r\\nContent-"),
    "body_cut": says(answer(b"some", length=100)),
    "garbage": says(bytes(range(255, 0, -1)) * 20),
    "length_malformed": says(answer(b"some", length="4x")),
    "two_lengths": says(answer(b"some", "Content-Length: 5")),
    "too_much": says(answer(b"fine, and then some", length=4), "go on"),
    "endless_head": endless_head,
    "endless_body": endless_body,
    "endless_interims": interims,
    "bad_gzip": says(answer(b"this is no gzip", "Content-Encoding: gzip"), "go on"),
    "cut_gzip": says(answer(gzip.compress(b"x" * 1000)[:20], "Content-Encoding: gzip"), "go on"),
    "gzip_bomb": says(answer(BOMB, "Content-Encoding: gzip"), "go on"),
    "redirect_loop": redirects("/again"),
    "redirect_to_file": redirects("file:///etc/hostname"),
    "redirect_to_other": redirects("gopher://localhost/"),
    "credentials": credentials,
}

def quiet(serve):
    async def run(reader, writer):
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
    return run

def full():
    # Its queue is full: who connects gets no answer.
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    return listener, waiting

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    ports, kept = {}, [full()]
    ports["connect_hangs"] = kept[0][0].getsockname()[1]
    async def listen(name, serve, context=None):
        server = await asyncio.start_server(quiet(serve), "127.0.0.1", 0, ssl=context, backlog=1000)
        kept.append(server)
        ports[name] = server.sockets[0].getsockname()[1]
    for name, serve in KINDS.items():
        await listen(name, serve)
    await listen("redirect_elsewhere", redirects(f"http://localhost:{ports['credentials']}/"))
    for pair in sys.argv[1:]:
        name, _, path = pair.partition("=")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        await listen("tls_" + name, says(answer(b"fine"), "go on"), context)
    print("PORTS", json.dumps(ports), flush=True)
    await asyncio.sleep(FOREVER)

asyncio.run(main())
"""

FINE = "3 200 fine"
TIMED_OUT = "1 730"
NOT_CONNECTED = "2 701"
NO_NAME = "2 704"
CANCELLED = "2 702"
BAD = "2 705"


class LeakTests(ServerTestCase):
    """Each test has one server for all kinds, so that what one leaves behind is seen in the next as well."""

    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        authority, stranger = (Authority(os.path.join(self.directory, name)) for name in ("known", "unknown"))
        certificates = {
            "fine": authority.issue("localhost"),
            "expired": authority.issue("localhost", days=-1),
            "other_host": authority.issue("elsewhere.example"),
            "unknown": stranger.issue("localhost"),
        }
        pairs = [f"{name}={path}" for name, path in certificates.items()]
        backends = self.start(sys.executable, self.write("backends.py", BACKENDS), *pairs)
        self.server: Server = self.python(
            self.write("app.py", APPLICATION), environment={"SSL_CERT_FILE": authority.cafile}
        )
        self.ports: dict[str, int] = json.loads(backends.wait_for(r"PORTS (\{.*\})")[1])
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.ports["refuses"] = unused.getsockname()[1]

    def ask(self, view: str, **arguments: Any) -> Any:
        """Return what a view answers."""
        response = self.get(self.server, f"/{view}?{urlencode(arguments)}")
        self.assertEqual(response.status, 200, self.server.output[-3000:])
        return json.loads(response.body)

    def url(self, kind: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.ports[kind]}/"

    def settled(self) -> dict[str, int]:
        """Return what is held when all connections are gone."""
        counts: dict[str, int] = {}

        def closed() -> bool:
            counts.update(self.ask("held"))
            return not counts["connections"]

        until(closed, "connections are closed", SOON)
        return counts

    def check(self, outcome: str, url: str, times: int = TIMES, **options: str) -> None:
        """Ask half of the times in a thread and half in a coroutine."""
        for view in ("thread", "coroutine"):
            self.check_view(view, {outcome: times // 2}, url, times // 2, **options)

    def check_view(self, view: str, outcomes: dict[str, int], url: str, times: int, **options: str) -> None:
        """Ask in one way; compare the outcomes, and what is held with what was before."""
        self.ask(view, url=url, times=WARM_TIMES, **options)
        before = self.settled()
        self.assertEqual(self.ask(view, url=url, times=times, **options), outcomes, f"{view} {url}")
        after: dict[str, int] = {}

        def settled() -> bool:
            after.update(self.settled())
            return all(count <= before[name] + SLACK.get(name, 0) for name, count in after.items())

        try:
            until(settled, "", SOON)
        except AssertionError:
            self.fail(f"{view} {url}: there were {before}, and now there are {after}")

    def test_connecting(self) -> None:
        """Nobody is there, or does not accept, or there is no such name."""
        self.check(NOT_CONNECTED, self.url("refuses"))
        self.check(TIMED_OUT, self.url("connect_hangs"), seconds="0.1")
        self.check(NO_NAME, "http://nowhere.invalid/")

    def test_silence(self) -> None:
        """The server hangs, wherever that is."""
        for kind in ("hangs", "head_hangs", "body_hangs"):
            self.check(TIMED_OUT, self.url(kind), seconds="0.1")
        self.check_view("thread", {TIMED_OUT: TIMES}, self.url("hangs"), TIMES, wait="0.1")
        self.check_view("cancelled", {CANCELLED: TIMES}, self.url("body_hangs"), TIMES)
        self.check_view("abandoned", {"abandoned": TIMES}, self.url("body_hangs"), TIMES)

    def test_cut(self) -> None:
        """The server closes early."""
        for kind in ("closes", "resets"):
            self.check(NOT_CONNECTED, self.url(kind))
        for kind in ("head_cut", "body_cut"):
            self.check(BAD, self.url(kind))

    def test_malformed(self) -> None:
        """The answer can not be understood, or is too much."""
        for kind in ("garbage", "length_malformed", "two_lengths", "bad_gzip", "cut_gzip", "gzip_bomb"):
            self.check(BAD, self.url(kind))
        for kind in ("endless_head", "endless_body", "endless_interims"):
            self.check(BAD, self.url(kind))
        self.check(FINE, self.url("too_much"))
        self.check(FINE, self.url("fine"))

    def test_redirects(self) -> None:
        """The answer leads astray; credentials stay where they belong."""
        for kind in ("redirect_loop", "redirect_to_file", "redirect_to_other"):
            self.check(BAD, self.url(kind))
        self.check("3 200 credentials", self.url("credentials"), user="somebody")
        self.check("3 200 no credentials", self.url("redirect_elsewhere"), user="somebody")

    def test_tls(self) -> None:
        """The certificate is not the server's, or the handshake does not end."""
        for kind in ("expired", "other_host", "unknown"):
            self.check(NOT_CONNECTED, self.url(f"tls_{kind}", "https", "localhost"))
        self.check(TIMED_OUT, self.url("hangs", "https", "localhost"), seconds="0.1")
        self.check(FINE, self.url("tls_fine", "https", "localhost"))

    def test_injection(self) -> None:
        """What would split a request is refused where it is given."""
        self.ask("thread", url=self.url("fine"), times=1)
        self.check_view("injected", {"refused": 6 * TIMES}, self.url("fine"), TIMES)
