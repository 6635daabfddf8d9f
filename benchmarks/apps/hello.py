"""The WSGI "Hello World" that every server runs.

``app`` states the length of its body, as frameworks do; ``unsized`` leaves that to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BODY = b"Hello World"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
UNSIZED = [("Content-Type", "text/plain")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with "Hello World" and its length."""
    start_response("200 OK", HEADERS[:])
    return [BODY]


def unsized(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with "Hello World" as the manual's first example does."""
    start_response("200 OK", UNSIZED[:])
    return [BODY]
