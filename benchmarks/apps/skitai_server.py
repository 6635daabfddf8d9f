"""Skitai with an application of this directory, or with a directory of files.

Its settings come from the ``BENCH_*`` variables; ``BENCH_APP`` names the module of the application, "files" stands for
the directory ``BENCH_FILES``.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import skitai


def target() -> Any:
    """Give what ``BENCH_APP`` asks for: an application, or the path of a directory."""
    name = os.environ.get("BENCH_APP", "hello")
    if name == "files":
        return os.environ["BENCH_FILES"]
    return getattr(importlib.import_module(name), os.environ.get("BENCH_CALLABLE", "app"))


if __name__ == "__main__":
    skitai.mount("/", target())
    skitai.set_keep_alive(int(os.environ.get("BENCH_KEEP_ALIVE", "75")))
    skitai.run(
        port=int(os.environ.get("BENCH_PORT", "5000")),
        threads=int(os.environ.get("BENCH_THREADS", "4")),
        logpath=os.environ.get("BENCH_LOGS"),
    )
