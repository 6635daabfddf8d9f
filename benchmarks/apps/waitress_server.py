"""The peer waitress. It has no access log; its warning for every request that waits for a thread is switched off."""

from __future__ import annotations

import importlib
import logging
import os

import waitress


def main() -> None:
    """Serve until a signal comes."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    module = importlib.import_module(os.environ.get("BENCH_APP", "hello"))
    waitress.serve(
        getattr(module, os.environ.get("BENCH_CALLABLE", "app")),
        listen="127.0.0.1:" + os.environ.get("BENCH_PORT", "5000"),
        threads=int(os.environ.get("BENCH_THREADS", "4")),
        connection_limit=10_000,
        channel_timeout=int(os.environ.get("BENCH_KEEP_ALIVE", "75")),
        asyncore_use_poll=True,
    )


if __name__ == "__main__":
    main()
