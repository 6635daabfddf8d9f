"""The WSGI "Hello World" that every server runs, and the script that serves it with Skitai.

``app`` states the length of its body, as frameworks do; ``unsized`` leaves that to the server.
"""

from __future__ import annotations

import os
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


if __name__ == "__main__":
    import skitai

    skitai.mount("/", unsized if os.environ.get("BENCH_CALLABLE") == "unsized" else app)
    skitai.set_keep_alive(int(os.environ.get("BENCH_KEEP_ALIVE", "75")))
    skitai.run(
        port=int(os.environ.get("BENCH_PORT", "5000")),
        threads=int(os.environ.get("BENCH_THREADS", "4")),
        logpath=os.environ.get("BENCH_LOGS"),
    )
