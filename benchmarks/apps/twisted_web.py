"""The peer from Twisted itself: ``twisted.web`` with a WSGIResource or a static.File.

Its settings come from the same ``BENCH_*`` variables as those of the Skitai scripts; ``BENCH_APP`` names the module of
the application.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.web.server import Site
from twisted.web.static import File
from twisted.web.wsgi import WSGIResource

# Typed loosely: no one interface of Twisted has threads, sockets and run().
reactor: Any = global_reactor


def resource() -> Any:
    """Give the resource that ``BENCH_APP`` asks for."""
    name = os.environ.get("BENCH_APP", "hello")
    if name == "files":
        return File(os.environ["BENCH_FILES"])
    application = getattr(importlib.import_module(name), os.environ.get("BENCH_CALLABLE", "app"))
    reactor.suggestThreadPoolSize(int(os.environ.get("BENCH_THREADS", "4")))
    return WSGIResource(reactor, reactor.getThreadPool(), application)


def main() -> None:
    """Serve until a signal comes."""
    log = os.path.join(os.environ["BENCH_LOGS"], "access.log")
    site = Site(resource(), timeout=int(os.environ.get("BENCH_KEEP_ALIVE", "75")), logPath=log.encode())
    reactor.listenTCP(int(os.environ.get("BENCH_PORT", "5000")), site, backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
