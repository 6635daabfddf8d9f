"""A page made of the answers of four services, and the timeline of its calls.

The services are slow views of this very program, asked over HTTP as if they were elsewhere. Each says when it began and
ended; all of them read the same clock, since they run in one process.

Layer D. Thread: application; ``as_coroutine`` runs on the reactor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skitai.saddle import Saddlery
from skitai.saddle.was import Was

PAUSES: Final = {"weather": 0.15, "news": 0.3, "prices": 0.45, "shop": 0.1, "stock": 0.2}
"""Seconds that each service works."""
ASKED: Final = ("weather", "news", "prices", "shop")
ASKS: Final = {"shop": "stock"}
"""What a service asks in its turn."""

part: Final = Saddlery(__name__)


@dataclass(frozen=True, slots=True)
class Bar:
    """A call on the page.

    Attributes:
        name: The service.
        ltxnid: Local transaction id of the call.
        left: Where it begins, in percent of the time of the page.
        width: How long it took, in the same.
        text: What is to be said about it.
        depth: 0 for the page's own calls, 1 for those of the services it calls.
    """

    name: str
    ltxnid: int
    left: float
    width: float
    text: str
    depth: int


@part.route("/service/<name>", methods=["GET"])
def service(was: Was, name: str) -> Any:
    """Work for a while, ask another service where that is needed, and tell about it."""
    if name not in PAUSES:
        return was.response("404 Not Found")
    began = time.monotonic()
    time.sleep(PAUSES[name])
    inner = [ask(was, ASKS[name]).getwait(reraise=True).data] if name in ASKS else []
    return {"name": name, "ltxnid": was.ltxnid, "began": began, "ended": time.monotonic(), "inner": inner}


def ask(was: Was, name: str) -> Any:
    """Start a request to a service; return its handle."""
    host, port = was.env["SERVER_NAME"], was.env["SERVER_PORT"]
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return was.get(f"{was.env['wsgi.url_scheme']}://{authority}{was.ab('service', name)}")


@part.route("/", methods=["GET"])
def in_thread(was: Was) -> str:
    """Start all calls, then wait for one after the other: this thread does, and another one runs in its place."""
    began = time.monotonic()
    calls = [ask(was, name) for name in ASKED]
    return show(was, began, [call.getwait() for call in calls])


@part.route("/coroutine", methods=["GET"])
async def as_coroutine(was: Was) -> str:
    """The same without a thread."""
    began = time.monotonic()
    calls = [ask(was, name) for name in ASKED]
    return show(was, began, await was.gather(*calls))


def show(was: Was, began: float, responses: Sequence[Any]) -> str:
    """Return the page; ``began`` is the time at which its first call was made."""
    took = time.monotonic() - began
    bars = [bar for response in responses if response.status_code == 200 for bar in bars_of(response.data, began, took)]
    return was.render(
        "timeline.html",
        bars=bars,
        failures=[response for response in responses if response.status_code != 200],
        took=milliseconds(took),
        one_by_one=milliseconds(sum(PAUSES.values())),
        coroutine=was.request.routed_function is as_coroutine,
    )


def bars_of(call: dict[str, Any], began: float, took: float, depth: int = 0) -> Iterator[Bar]:
    """Yield the bar of a call, and those of the calls that were made for it."""
    start, length = call["began"] - began, call["ended"] - call["began"]
    text = f"{milliseconds(start)} to {milliseconds(start + length)} ms"
    left, width = (round(100 * share / took, 2) for share in (start, length))
    yield Bar(call["name"], call["ltxnid"], left, width, text, depth)
    for inner in call["inner"]:
        yield from bars_of(inner, began, took, depth + 1)


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(1000 * seconds)
