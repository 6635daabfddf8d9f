"""The workloads by name, with the thresholds that they are judged by."""

from __future__ import annotations

import functools
from collections.abc import Callable

from harness import asking, memory, moments, throughput
from harness.plan import Plan
from harness.results import AtLeast, AtMost, Result
from harness.servers import Entrant, Site, alike
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
FLASK_SERVERS = ("waitress", "granian", "granian+log", "gunicorn-gthread", "skitai")
FLASK_JSON = Site("flask_views", probe="/json", needs=("Flask",))

GEVENT = {
    "gevent with urllib3": Site("gevent_pages", "with_urllib3", needs=("urllib3",)),
    "gevent with requests": Site("gevent_pages", "with_requests", needs=("requests",)),
}

LOADED = {
    "hello": Throughput(
        'WSGI "Hello World" with Content-Length',
        ("/",),
        alike(PEERS, Site("hello")),
        (
            AtLeast("twisted.web", 4.0),
            AtLeast("gunicorn-gthread", 3.0),
            AtLeast("waitress", 2.0),
            AtLeast("granian+log", 0.4),
            AtLeast("granian", 0.4),
        ),
    ),
    "hello_unsized": Throughput(
        'WSGI "Hello World" that leaves its length to the server',
        ("/",),
        alike(PEERS, Site("hello", function="unsized")),
    ),
    "static1k": Throughput(
        "a static file of 1 KB",
        ("/1k.txt",),
        alike(("skitai", "twisted.web", "nginx"), Site("files", probe="/1k.txt")),
        (AtLeast("twisted.web", 3.0),),
    ),
    "static10m": Throughput(
        "a static file of 10 MB",
        ("/10m.bin",),
        alike(("skitai", "twisted.web", "nginx"), Site("files", probe="/1k.txt")),
        (AtLeast("nginx", 0.5),),
        by_bytes=True,
    ),
    "post64k": Throughput(
        "64 KiB posted and counted",
        ("/count",),
        alike(PEERS, Site("bodies", probe="/download")),
        post_size=BODY_SIZE,
    ),
    "echo64k": Throughput(
        "64 KiB posted and sent back",
        ("/echo",),
        alike(PEERS, Site("bodies", probe="/download")),
        post_size=BODY_SIZE,
    ),
    "latency": Throughput(
        'latency of WSGI "Hello World" under full load',
        ("/",),
        alike(("skitai", "twisted.web", "waitress", "granian"), Site("hello")),
        spread_limit=3.0,
    ),
    "json": Throughput(
        "a JSON view of Saddle, and the same of Flask",
        ("/json",),
        (
            Entrant("Saddle on skitai", "skitai", Site("saddle_views", probe="/json")),
            *(Entrant(f"Flask on {server}", server, FLASK_JSON) for server in FLASK_SERVERS),
        ),
        (AtLeast("Flask on waitress", 2.0), AtLeast("Flask on granian", 1.0), AtLeast("Flask on granian+log", 1.0)),
    ),
    "routing": Throughput(
        "a view of Saddle among many routes, and among few",
        ("/middle/items/4711/parts/left", "/middle/items/summary"),
        (
            Entrant("500 routes", "skitai", Site("saddle_routes", "many", "/middle/items/summary")),
            Entrant("5 routes", "skitai", Site("saddle_routes", "few", "/middle/items/summary")),
        ),
        (AtLeast("5 routes", 0.9),),
    ),
    "view": Throughput(
        "a view of Saddle that returns a text, and a plain WSGI function",
        ("/",),
        (
            Entrant("Saddle view", "skitai", Site("saddle_views")),
            Entrant("WSGI function", "skitai", Site("hello")),
        ),
        cpu_limits=(AtMost("WSGI function", 1.4),),
    ),
    "fanout": Throughput(
        "a page of three parallel calls to a server that takes 50 ms",
        ("/page",),
        (
            Entrant("view in a thread", "skitai", Site("asking_views")),
            Entrant("async view", "skitai", Site("asking_views"), "/async_page"),
            *(Entrant(name, "gunicorn-gevent", site) for name, site in GEVENT.items()),
        ),
        tuple(AtLeast(name, 1.0) for name in GEVENT),
        other_limits=tuple(("async view", AtLeast(name, 1.5)) for name in GEVENT),
        delay=0.05,
    ),
}

WORKLOADS: dict[str, Callable[[str, Plan], Result]] = {
    **{name: functools.partial(throughput.measure, workload) for name, workload in LOADED.items()},
    "idle": memory.idle,
    **dict.fromkeys(memory.TRANSFERS, memory.transfer),
    "client": asking.client,
    "call": asking.call,
    "startup": moments.startup,
    "silent": moments.silent,
}
