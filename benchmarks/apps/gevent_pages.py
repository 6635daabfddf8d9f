"""The page of ``asking_views`` as it is made with gevent: plain WSGI, three greenlets, requests or urllib3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import requests
import requests.adapters
import urllib3
from asking import backend

CONNECTIONS = 200
"""Connections that are kept: by default both would throw away most of them."""

_pool = urllib3.PoolManager(maxsize=CONNECTIONS)
_session = requests.Session()
_session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))


def _with_urllib3(url: str) -> Any:
    return json.loads(_pool.request("GET", url).data)


def _with_requests(url: str) -> Any:
    return _session.get(url).json()


def _page(ask: Callable[[str], Any], environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    url = backend()
    jobs = [gevent.spawn(ask, url) for _ in range(3)] if environ["PATH_INFO"] != "/" else []
    gevent.joinall(jobs, raise_error=True)
    body = json.dumps({part["name"]: part["stock"] for part in [job.value for job in jobs]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def with_urllib3(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the page; at "/" at once."""
    return _page(_with_urllib3, environ, start_response)


def with_requests(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the page; at "/" at once."""
    return _page(_with_requests, environ, start_response)
