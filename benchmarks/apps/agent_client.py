"""The peer from Twisted itself: ``twisted.web.client.Agent`` with a pool that keeps all connections.

With the argument "alone" it has none, as by default: each request makes a connection.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from typing import Any

from asking import AT_ONCE, Count, backend
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool, readBody


@inlineCallbacks
def fetch(agent: Agent, url: bytes) -> Generator[Deferred[Any], Any, int]:
    """Ask once, read the answer."""
    response = yield agent.request(b"GET", url)
    body = yield readBody(response)
    return response.code if body else 0


@inlineCallbacks
def main(reactor: Any) -> Generator[Deferred[Any], Any, None]:
    """Ask, always so many at a time, and report."""
    url, count = backend().encode(), Count(float(os.environ["BENCH_SECONDS"]))
    pool = HTTPConnectionPool(reactor, persistent="alone" not in sys.argv)
    pool.maxPersistentPerHost = AT_ONCE
    agent = Agent(reactor, pool=pool)
    while count.goes_on():
        count.add((yield gatherResults([fetch(agent, url) for _ in range(AT_ONCE)])))
    print(json.dumps(count.report()))
    yield pool.closeCachedConnections()


if __name__ == "__main__":
    react(main)
