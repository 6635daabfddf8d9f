"""Transaction ids: one global id (GTID) for all that a client's request sets off, one local id (LTID) for each step.

A request that comes without ids gets ``GTID-<instance>-C<connection>-R<request>`` and 1000. A request that a Skitai
application sent carries both in ``X-Gtxn-Id`` and ``X-Ltxn-Id``. The n-th call that a request with LTID x makes carries
x + 1000 + n, so the first digit is the depth and the rest counts calls: 1000 calls 2001 and 2002, 2001 calls 3002, 2002
calls 3003.

Ids are read when somebody asks for them: most requests need theirs only in the access log, off the hot path. The result
depends on the exchange alone, so that two threads that ask at once get the same.

The W3C trace context (``traceparent`` and ``tracestate``) is checked and handed on unchanged: Skitai records no spans
of its own, and a parent id that nobody recorded would tear the tree of those who do.

Layer 1: no Twisted, no clock. Thread: any.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from skitai.web.events import HeaderList
from skitai.web.exchange import Exchange

FIRST_LTXN: Final = 1000
"""Local id of a request that no other request caused."""

MAX_GTXN_SIZE: Final = 128
"""Longest global id that is kept as received, in characters."""

_LTXN_STEP: Final = 1000
_MAX_LTXN_DIGITS: Final = 18
"""More digits than any chain of calls makes; it keeps a hostile number from growing the log and the next header."""

# Printable ASCII (RFC 20): from space to tilde.
_PRINTABLE: Final = re.compile(rb"[ -~]{1,%d}" % MAX_GTXN_SIZE)
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class _Instance:
    """The name of this process among all that may write the same GTID."""

    __slots__ = ("name", "prefix")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Take a fresh random name."""
        self.name = os.urandom(3).hex()
        self.prefix = f"GTID-{self.name}-C"


_instance: Final = _Instance()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    # Forked workers number their connections alike, only this name tells them apart.
    os.register_at_fork(after_in_child=_instance.renew)


def instance_name() -> str:
    """Return the six hexadecimal digits that stand for this process in its global ids."""
    return _instance.name


def fresh_gtxn(connection: int, request: int) -> str:
    """Make a global id.

    Args:
        connection: Running number of the connection in this process.
        request: Running number of the request in this process.
    """
    return f"{_instance.prefix}{connection}-R{request}"


def gtxn_of(exchange: Exchange) -> str:
    """Return the global id of a request, as received or made here.

    Thread: any.
    """
    found = exchange.gtxn
    if found is None:
        read_ids(exchange)
        found = exchange.gtxn
        assert found is not None
    return found


def ltxn_of(exchange: Exchange) -> int:
    """Return the local id of a request.

    Thread: any.
    """
    if exchange.gtxn is None:
        read_ids(exchange)
    return exchange.ltxn


def read_ids(exchange: Exchange) -> None:
    """Read both ids of a request from its header and keep them in the exchange.

    Of repeated fields the first counts.
    """
    gtxn = ltxn = None
    for name, value in exchange.request.headers:
        if name == b"x-gtxn-id" and gtxn is None:
            gtxn = value
        elif name == b"x-ltxn-id" and ltxn is None:
            ltxn = value
    # The local id first: a thread that sees a global id takes both for read.
    if ltxn is not None:
        exchange.ltxn = parse_ltxn(ltxn)
    if gtxn is not None and _PRINTABLE.fullmatch(gtxn):
        exchange.gtxn = gtxn.decode("ascii")
    else:
        exchange.gtxn = fresh_gtxn(exchange.peers.number, exchange.number)


def parse_ltxn(value: bytes) -> int:
    """Return the local id in a field value, ``FIRST_LTXN`` when it is not a number."""
    if value.isdigit() and len(value) <= _MAX_LTXN_DIGITS:
        return int(value)
    return FIRST_LTXN


def child_ltxn(ltxn: int, call: int) -> int:
    """Return the local id of an outgoing call.

    Args:
        ltxn: Local id of the request that makes it.
        call: Its running number in that request, from 1.
    """
    return ltxn + _LTXN_STEP + call


def handed_on(exchange: Exchange) -> HeaderList:
    """Return what is the same in ``child_headers`` of all calls of a request: all but X-Ltxn-Id."""
    return [(b"x-gtxn-id", gtxn_of(exchange).encode("ascii")), *trace_headers(exchange.request.headers)]


def child_headers(exchange: Exchange, call: int, same: HeaderList) -> HeaderList:
    """Return the fields that hand a request's transaction on to a call it makes.

    Args:
        exchange: The request that makes the call.
        call: Running number of the call in that request, from 1.
        same: What ``handed_on`` returned for the request.

    Returns:
        X-Gtxn-Id and X-Ltxn-Id, then the trace context when the request came with a valid one.
    """
    gtxn, *trace = same
    return [gtxn, (b"x-ltxn-id", b"%d" % child_ltxn(exchange.ltxn, call)), *trace]


class TraceParent(NamedTuple):
    """A ``traceparent`` field (W3C Trace Context).

    Attributes:
        trace_id: Id of the whole trace, 32 lower-case hexadecimal digits.
        parent_id: Id of the caller's span, 16 digits.
        flags: Eight bits, of which 1 means "sampled".
    """

    trace_id: str
    parent_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded the trace."""
        return bool(self.flags & 1)

    def format(self) -> str:
        """Return the field value, in version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"


def parse_traceparent(value: bytes) -> TraceParent | None:
    """Read a ``traceparent`` field, None when it is not valid."""
    matched = _TRACEPARENT.fullmatch(value)
    if matched is None:
        return None
    version, trace_id, parent_id, flags, rest = matched.groups()
    # Version ff is forbidden; 00 ends after the flags, a later version may go on (W3C Trace Context section 3.2.2).
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    if not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return None
    return TraceParent(trace_id.decode("ascii"), parent_id.decode("ascii"), int(flags, 16))


def trace_headers(headers: HeaderList) -> HeaderList:
    """Return the trace context of a request as fields for its outgoing calls, none when it is missing or not valid."""
    parents = [value for name, value in headers if name == b"traceparent"]
    # More than one is as good as none (W3C Trace Context section 3.2), and tracestate means nothing without it (3.3).
    if len(parents) != 1 or parse_traceparent(parents[0]) is None:
        return []
    states = [value for name, value in headers if name == b"tracestate" and value]
    found = [(b"traceparent", parents[0])]
    if states:
        found.append((b"tracestate", b",".join(states)))
    return found
