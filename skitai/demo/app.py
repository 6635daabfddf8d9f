"""A WSGI application that shows what the server does for one.

Each section of the page is a view here: a function of the environ that returns a ``Reply``. It must not know Skitai.

Thread: application; nothing here is shared between requests but the page's text.
"""

from __future__ import annotations

import hashlib
import html
import json
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HERE: Final = Path(__file__).parent
STREAM_LINES: Final = 20
STREAM_PAUSE: Final = 0.1
"""Seconds between two lines of the streamed answer."""
PIECE_SIZE: Final = 64 * 1024


class Reply(NamedTuple):
    """What a view answers.

    Attributes:
        status: Status line without the version.
        content_type: Media type of the body.
        body: Pieces of the body, or an open file that the server may send by itself.
        headers: Further header fields.
    """

    status: str
    content_type: str
    body: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


def index(environ: WSGIEnvironment) -> Reply:
    """Show the page."""
    page = Template((HERE / "page.html").read_text("utf-8")).substitute(
        version=html.escape(environ.get("SERVER_SOFTWARE", "a WSGI server")),
        python=html.escape(f"{platform.python_implementation()} {platform.python_version()}"),
        protocol=html.escape(environ["SERVER_PROTOCOL"]),
        thread=html.escape(threading.current_thread().name),
        client=html.escape(environ.get("REMOTE_ADDR", "")),
        agent=html.escape(environ.get("HTTP_USER_AGENT", "-")),
    )
    return Reply("200 OK", "text/html; charset=utf-8", [page.encode()])


def stream(environ: WSGIEnvironment) -> Reply:
    """Answer line by line, with a pause between two."""
    return Reply("200 OK", "text/plain; charset=utf-8", _lines())


def _lines() -> Iterator[bytes]:
    for number in range(1, STREAM_LINES + 1):
        yield f"line {number:2} of {STREAM_LINES}\n".encode()
        time.sleep(STREAM_PAUSE)


def upload(environ: WSGIEnvironment) -> Reply:
    """Read a body of any size in pieces and tell its size and digest."""
    digest, size, began = hashlib.sha256(), 0, time.monotonic()
    while piece := environ["wsgi.input"].read(PIECE_SIZE):
        digest.update(piece)
        size += len(piece)
    seconds = time.monotonic() - began
    return _json({"bytes": size, "sha256": digest.hexdigest(), "seconds": round(seconds, 3)})


def echo(environ: WSGIEnvironment) -> Reply:
    """Show the environ as the application gets it."""
    return _json({key: value if isinstance(value, str) else repr(value) for key, value in sorted(environ.items())})


def download(environ: WSGIEnvironment) -> Reply:
    """Send a file through ``wsgi.file_wrapper``, which lets the kernel do the work where it can."""
    file: BinaryIO = (HERE / "app.py").open("rb")
    wrapper: Callable[[BinaryIO, int], Iterable[bytes]] = environ["wsgi.file_wrapper"]
    disposition = ("Content-Disposition", 'attachment; filename="app.py"')
    return Reply("200 OK", "text/x-python; charset=utf-8", wrapper(file, PIECE_SIZE), (disposition,))


def error(environ: WSGIEnvironment) -> Reply:
    """Raise, for the server to show how it tells."""
    raise RuntimeError("this view always fails: <b>its message</b> is text, not markup")


def _json(value: dict[str, Any]) -> Reply:
    return Reply("200 OK", "application/json", [json.dumps(value, indent=2).encode()], (("Cache-Control", "no-store"),))


def _failed(status: str, why: str, *headers: tuple[str, str]) -> Reply:
    return Reply(status, "text/plain; charset=utf-8", [why.encode()], headers)


ROUTES: Final[dict[str, tuple[tuple[str, ...], Callable[[WSGIEnvironment], Reply]]]] = {
    "/": (("GET", "HEAD"), index),
    "/stream": (("GET", "HEAD"), stream),
    "/upload": (("POST", "PUT"), upload),
    "/echo": (("GET", "HEAD", "POST", "PUT"), echo),
    "/download": (("GET", "HEAD"), download),
    "/error": (("GET",), error),
}


def respond(environ: WSGIEnvironment) -> Reply:
    """Find the view of a request and ask it."""
    path = environ.get("PATH_INFO") or "/"
    if path not in ROUTES:
        return _failed("404 Not Found", "There is no such page here.\n")
    methods, view = ROUTES[path]
    if environ["REQUEST_METHOD"] not in methods:
        return _failed("405 Method Not Allowed", f"{path} takes {', '.join(methods)}.\n", ("Allow", ", ".join(methods)))
    return view(environ)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request: the WSGI application."""
    reply = respond(environ)
    start_response(reply.status, [("Content-Type", reply.content_type), *reply.headers])
    return reply.body


app.debug = True  # type: ignore[attr-defined]
