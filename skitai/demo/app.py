"""A Saddle application that shows what the server does for one.

Each section of the page asks a view here. It must not know Skitai, but what it is given in ``was``.

Layer D. Thread: application; ``wait`` and ``ring`` are coroutines and run on the reactor.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from skitai.demo import timeline
from skitai.saddle import Saddle
from skitai.saddle.response import Response
from skitai.saddle.was import Was

HERE: Final = Path(__file__).parent
STREAM_LINES: Final = 20
STREAM_PAUSE: Final = 0.1
"""Seconds between two lines of the streamed answer."""
PIECE_SIZE: Final = 64 * 1024

app: Final = Saddle(__name__)
app.debug = True
app.securekey = secrets.token_hex(32)
app.csrf_protect = True
app.config.max_post_body_size = 1 << 30
app.config.max_upload_file_size = app.config.max_multipart_body_size = 1 << 28
app.mount("/timeline", timeline, "part")

_bells: Final[set[Deferred[None]]] = set()
"""Of those who wait; only the reactor's thread touches it."""


@app.finish_request
def forbid_caching(was: Was) -> None:
    """Have no answer kept by the browser: the page is about what happens now."""
    was.response.set_header("Cache-Control", "no-store")


@app.route("/", methods=["GET"])
def index(was: Was) -> str:
    """Show the page."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return was.render("page.html", python=python, thread=threading.current_thread().name)


@app.route("/hello/<name>", methods=["GET"])
def hello(was: Was, name: str = "World") -> dict[str, Any]:
    """Show what a route makes of a path, and a path of a route."""
    return {"name": name, "url": was.ab("hello", name), "with the default": was.ab("hello")}


@app.route("/stream", methods=["GET"])
def stream(was: Was) -> Response:
    """Answer line by line, with a pause between two."""
    return was.response("200 OK", _lines(), [("Content-Type", "text/plain; charset=utf-8")])


def _lines() -> Iterator[str]:
    for number in range(1, STREAM_LINES + 1):
        yield f"line {number:2} of {STREAM_LINES}\n"
        time.sleep(STREAM_PAUSE)


@app.route("/upload", methods=["POST", "PUT"], csrf=False)
def upload(was: Was) -> dict[str, Any]:
    """Read a body of any size in pieces, as it comes, and tell its size and digest."""
    digest, size, began = hashlib.sha256(), 0, time.monotonic()
    while piece := was.env["wsgi.input"].read(PIECE_SIZE):
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest(), "seconds": round(time.monotonic() - began, 3)}


@app.route("/form", methods=["POST"])
def form(was: Was, **fields: Any) -> dict[str, Any]:
    """Tell what a form holds; its files are removed with the end of the request."""
    return {name: repr(value) for name, value in fields.items() if name != "csrf_token"}


@app.route("/visits", methods=["GET"])
def visits(was: Was) -> dict[str, Any]:
    """Count the visits of a session; the number is in the browser's cookie, encrypted."""
    was.session["visits"] = was.session.get("visits", 0) + 1
    return {"visits": was.session["visits"], "bytes of the cookies": len(was.env.get("HTTP_COOKIE", ""))}


@app.route("/wait", methods=["GET"])
async def wait(was: Was) -> dict[str, Any]:
    """Wait until somebody rings; no thread is taken meanwhile, and who leaves is forgotten."""
    bell: Deferred[None] = Deferred()
    began = time.monotonic()
    _bells.add(bell)
    try:
        await bell
    finally:
        _bells.discard(bell)
    return {"waited": round(time.monotonic() - began, 3), "thread": threading.current_thread().name}


@app.route("/ring", methods=["POST"], csrf=False)
async def ring(was: Was) -> dict[str, Any]:
    """Answer all who wait."""
    waiting = list(_bells)
    for bell in waiting:
        bell.callback(None)
    return {"woken": len(waiting)}


@app.route("/echo", methods=["GET", "POST", "PUT"], csrf=False)
def echo(was: Was, **anything: Any) -> dict[str, Any]:
    """Show the environ as the application gets it."""
    return {key: value if isinstance(value, str) else repr(value) for key, value in sorted(was.env.items())}


@app.route("/download", methods=["GET"])
def download(was: Was) -> Response:
    """Send a file, which the kernel does by itself where it can."""
    was.response.set_header("Content-Disposition", 'attachment; filename="app.py"')
    return was.fstream(str(HERE / "app.py"), "text/x-python; charset=utf-8")


@app.route("/error", methods=["GET"])
def error(was: Was) -> str:
    """Raise, for the page that shows it to whoever develops."""
    raise RuntimeError("this view always fails: <b>its message</b> is text, not markup")
