"""Views of Saddle that ask another server: as many requests as they can, one after the other, three for a page."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from asking import AT_ONCE, Count, backend

from skitai.saddle import Saddle

app = Saddle(__name__)
CALLS = 2000
WARM_CALLS = 200


@app.route("/")
def ready(was: Any) -> str:
    """Answer at once."""
    return "ready"


@app.route("/load")
async def load(was: Any, seconds: float) -> dict[str, float]:
    """Ask, always so many at a time, and report."""
    url, count = backend(), Count(float(seconds))
    while count.goes_on():
        answers = await was.gather(*[was.get(url) for _ in range(AT_ONCE)])
        count.add([answer.status_code for answer in answers if answer.content])
    return count.report()


@app.route("/calls")
def calls(was: Any) -> dict[str, list[float]]:
    """Time calls, and round trips over a plain connection to the same server, in turn."""
    url, port = backend(), int(os.environ["BENCH_BACKEND"])
    request = f"GET /items/4711 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    timed: dict[str, list[float]] = {"call": [], "network": []}
    with socket.create_connection(("127.0.0.1", port), 10.0) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for turn in range(WARM_CALLS + CALLS):
            start = time.perf_counter()
            plain.sendall(request)
            plain.recv(65536)
            middle = time.perf_counter()
            answer = was.get(url).getwait()
            end = time.perf_counter()
            if answer.status_code != 200:
                raise RuntimeError(f"{answer!r}")
            if turn >= WARM_CALLS:
                timed["network"].append(middle - start)
                timed["call"].append(end - middle)
    return timed


@app.route("/page")
def page(was: Any) -> dict[str, int]:
    """Make a page of three parts; wait for each in the thread."""
    url = backend()
    parts = [was.get(url) for _ in range(3)]
    return {part["name"]: part["stock"] for part in [part.getwait().json() for part in parts]}


@app.route("/async_page")
async def async_page(was: Any) -> dict[str, int]:
    """Make the same page in a coroutine."""
    url = backend()
    parts = await was.gather(*[was.get(url) for _ in range(3)])
    return {part["name"]: part["stock"] for part in [part.json() for part in parts]}
