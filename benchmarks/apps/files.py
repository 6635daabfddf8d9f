"""The script that serves a directory (``BENCH_FILES``) with Skitai."""

from __future__ import annotations

import os

if __name__ == "__main__":
    import skitai

    skitai.mount("/", os.environ["BENCH_FILES"])
    skitai.set_keep_alive(int(os.environ.get("BENCH_KEEP_ALIVE", "75")))
    skitai.run(
        port=int(os.environ.get("BENCH_PORT", "5000")),
        threads=int(os.environ.get("BENCH_THREADS", "4")),
        logpath=os.environ.get("BENCH_LOGS"),
    )
