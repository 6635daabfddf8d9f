"""What tests of applications and of the server itself need: no sockets, no threads, no waiting.

* ``Reactor`` and ``Clock``: time passes when the test says so;
* ``BytePump`` and ``FakeClient``: a connection through memory, whole or one byte at a time;
* ``InlineWorkers`` and ``SteppingWorkers``: application threads that are none;
* ``Client``: requests to applications through the real server, with cookies, redirections, uploads and credentials.

Not imported by the server.
"""

from __future__ import annotations

from skitai.fields import Headers
from skitai.testing.client import Client
from skitai.testing.clock import Clock, Reactor
from skitai.testing.cookies import Cookie, Cookies
from skitai.testing.pump import BytePump, EndlessTalk, FakeClient
from skitai.testing.request import Request
from skitai.testing.response import NoResponse, RedirectError, Response, read_response
from skitai.testing.transport import MemoryTransport
from skitai.testing.workers import InlineWorkers, SteppingWorkers

__all__ = [
    "BytePump",
    "Client",
    "Clock",
    "Cookie",
    "Cookies",
    "EndlessTalk",
    "FakeClient",
    "Headers",
    "InlineWorkers",
    "MemoryTransport",
    "NoResponse",
    "Reactor",
    "RedirectError",
    "Request",
    "Response",
    "SteppingWorkers",
    "read_response",
]
