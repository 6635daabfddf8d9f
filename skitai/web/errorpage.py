"""Answers an exchange with a built-in page (``skitai.pages``): everything the server itself says that is no success.

A traceback is shown only in debug.

Layer 1: no Twisted, no clock. It must not know why a request failed: the caller says what may be shown.
Thread: the owner of the exchange.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from skitai import pages
from skitai.reasons import reason_of
from skitai.web.events import HeaderList, Response
from skitai.web.exchange import Exchange
from skitai.web.transaction import gtxn_of

_BODILESS: Final = frozenset({204, 205, 304})


def respond_error(
    exchange: Exchange,
    status: int,
    message: str = "",
    headers: Iterable[tuple[bytes, bytes]] = (),
    traceback: str | None = None,
    *,
    error: BaseException | None = None,
) -> None:
    """Answer a request with a built-in page.

    The page of an error is not to be stored: it names this one request. A Cache-Control among ``headers`` has its way.

    Args:
        exchange: The request, nothing of whose answer has been sent.
        status: Status code.
        message: What more there is to say, in words that may be shown to the client.
        headers: Further fields, names lower-case.
        traceback: A formatted traceback; it is shown only when the exchange is in debug.
        error: The exception itself, of which debug makes a page for developers; ``traceback`` is not needed then.
    """
    fields = list(headers)
    if status in _BODILESS:
        exchange.respond(Response(status, fields, reason_of(status)), b"")
        return
    detail: str | pages.Detail | None = None
    if exchange.debug:
        detail = traceback if error is None else _report(exchange, error)
    accept = exchange.request.header(b"accept")
    preferred = accept.decode("latin-1") if accept is not None else None
    described, body = pages.error_page(status, message, gtxn_of(exchange), preferred, detail)
    exchange.respond(Response(status, _merge(described, fields), reason_of(status)), body)


def _merge(described: pages.Headers, fields: HeaderList) -> HeaderList:
    """Return the page's fields as bytes, and behind them the caller's, which alone may say how long to keep it."""
    merged = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in described]
    if any(name == b"cache-control" for name, _ in fields):
        merged = [field for field in merged if field[0] != b"cache-control"]
    return merged + fields


def _report(exchange: Exchange, error: BaseException) -> pages.Detail:
    from skitai import debugpage  # only failures in debug need it

    request = exchange.request
    about: dict[str, object] = {
        "Method": request.method,
        "Target": request.target,
        "Host": request.host,
        "Protocol": f"HTTP/{request.version}",
        "Client": exchange.peers.client[0],
    }
    headers: dict[str, object] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return debugpage.Report(error, {"Request": about, "Header": headers})
