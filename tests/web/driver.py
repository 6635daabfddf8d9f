"""Drives the HTTP/1 engine in tests as a server does, and makes its events comparable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skitai.web.events import Data, EndOfBody, Event, Request
from skitai.web.http1 import ServerConnection
from tests.web.corpus import HEAD_LIMIT, TARGET_LIMIT


def complete(events: list[Event]) -> bool:
    """Tell whether the request that ``events`` end with is whole."""
    if not events:
        return False
    last = events[-1]
    return isinstance(last, EndOfBody) or (isinstance(last, Request) and last.content_length == 0)


def drive(pieces: Iterable[bytes], head_limit: int = HEAD_LIMIT, target_limit: int = TARGET_LIMIT) -> list[Event]:
    """Feed ``pieces`` to a fresh engine as a server does that answers each request at once.

    Like that server it does not look at anything behind a request that ends the connection.
    """
    engine = ServerConnection(head_limit, target_limit)
    events: list[Event] = []
    keep_alive = True
    for piece in pieces:
        new = engine.receive(piece)
        events += new
        while complete(new):
            keep_alive = [event for event in events if isinstance(event, Request)][-1].keep_alive
            new = engine.next_request() if keep_alive else []
            events += new
    return events


def single_bytes(data: bytes) -> list[bytes]:
    """Return ``data`` in pieces of one byte."""
    return [data[at : at + 1] for at in range(len(data))]


def flat(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """Return ``events`` as comparable tuples, neighbouring pieces of a body joined."""
    result: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event, Data) and result and result[-1][0] == "Data":
            result[-1] = ("Data", result[-1][1] + event.data)
        else:
            result.append((type(event).__name__, *(getattr(event, name) for name in type(event).__slots__)))
    return result


def requests(events: Iterable[Event]) -> list[Request]:
    """Return the heads among ``events``."""
    return [event for event in events if isinstance(event, Request)]
