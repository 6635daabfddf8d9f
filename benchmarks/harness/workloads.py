"""The workloads by name, with the thresholds that they are judged by."""

from __future__ import annotations

import functools
from collections.abc import Callable

from harness import memory, moments, throughput
from harness.plan import Plan
from harness.results import AtLeast, Result
from harness.servers import Site
from harness.throughput import Throughput

PEERS = (
    "skitai",
    "twisted.web",
    "gunicorn-gthread",
    "gunicorn-gevent",
    "waitress",
    "granian",
    "granian+log",
    "uvicorn",
    "hypercorn",
)
BODY_SIZE = 65536

LOADED = {
    "hello": Throughput(
        'WSGI "Hello World" with Content-Length',
        Site("hello"),
        "/",
        PEERS,
        (
            AtLeast("twisted.web", 4.0),
            AtLeast("gunicorn-gthread", 3.0),
            AtLeast("waitress", 2.0),
            AtLeast("granian+log", 0.4),
            AtLeast("granian", 0.4),
        ),
    ),
    "hello_unsized": Throughput(
        'WSGI "Hello World" that leaves its length to the server', Site("hello", function="unsized"), "/", PEERS
    ),
    "static1k": Throughput(
        "a static file of 1 KB",
        Site("files", probe="/1k.txt"),
        "/1k.txt",
        ("skitai", "twisted.web", "nginx"),
        (AtLeast("twisted.web", 3.0),),
    ),
    "static10m": Throughput(
        "a static file of 10 MB",
        Site("files", probe="/1k.txt"),
        "/10m.bin",
        ("skitai", "twisted.web", "nginx"),
        (AtLeast("nginx", 0.5),),
        by_bytes=True,
    ),
    "post64k": Throughput(
        "64 KiB posted and counted", Site("bodies", probe="/download"), "/count", PEERS, post_size=BODY_SIZE
    ),
    "echo64k": Throughput(
        "64 KiB posted and sent back", Site("bodies", probe="/download"), "/echo", PEERS, post_size=BODY_SIZE
    ),
    "latency": Throughput(
        'latency of WSGI "Hello World" under full load',
        Site("hello"),
        "/",
        ("skitai", "twisted.web", "waitress", "granian"),
        spread_limit=3.0,
    ),
}

WORKLOADS: dict[str, Callable[[str, Plan], Result]] = {
    **{name: functools.partial(throughput.measure, workload) for name, workload in LOADED.items()},
    "idle": memory.idle,
    **dict.fromkeys(memory.TRANSFERS, memory.transfer),
    "startup": moments.startup,
    "silent": moments.silent,
}
