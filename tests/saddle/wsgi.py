"""Calling a WSGI application as a server would, without one: what tests of Saddle's core use.

It is another server than Skitai: ``environ`` has no ``skitai.was`` unless a test puts one there.
"""

from __future__ import annotations

import io
import logging
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

logging.getLogger("skitai.app").addHandler(logging.NullHandler())  # else tracebacks go to the console
logging.getLogger("skitai.app").propagate = False


class Answer(NamedTuple):
    """What an application has answered."""

    status: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> int:
        """Code of the status."""
        return int(self.status[:3])

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def header(self, name: str) -> str | None:
        """Return the value of a field, the last of several."""
        return next((value for key, value in reversed(self.fields) if key.lower() == name.lower()), None)


def call(app: Any, method: str, target: str, body: bytes = b"", checked: bool = False, **more: Any) -> Answer:
    """Make a request.

    Args:
        app: The application.
        method: The method.
        target: Path and query, percent-encoded.
        body: The body.
        checked: Whether ``wsgiref.validate`` looks on.
        more: More keys of the environ; names with "__" stand for those with a dot ("wsgi__url_scheme").
    """
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    setup_testing_defaults(environ)
    environ.update({name.replace("__", "."): value for name, value in more.items()})
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda data: None

    result = (validator(app) if checked else app)(environ, start_response)
    try:
        received = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, fields = started[-1]
    return Answer(status, fields, received)


def get(app: Any, target: str, **more: Any) -> Answer:
    """Make a GET request."""
    return call(app, "GET", target, **more)


def post(app: Any, target: str, form: str = "", **more: Any) -> Answer:
    """Post an urlencoded form."""
    more.setdefault("CONTENT_TYPE", "application/x-www-form-urlencoded")
    return call(app, "POST", target, form.encode(), **more)
