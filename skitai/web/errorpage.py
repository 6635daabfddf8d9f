"""The built-in pages for everything that is not a success.

A page names the status and the request's transaction id, so that a user's report finds the line in the log. Everything
in it is escaped. It is HTML, or JSON or plain text where the client's Accept prefers that. A traceback is shown only in
debug.

Layer 1: no Twisted, no clock. It must not know why a request failed: the caller says what may be shown.
Thread: the owner of the exchange.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from skitai.web.events import HeaderList, Response
from skitai.web.exchange import Exchange
from skitai.web.reasons import reason_of
from skitai.web.transaction import gtxn_of

_BODILESS: Final = frozenset({204, 205, 304})

HTML: Final = b"text/html; charset=utf-8"
JSON: Final = b"application/json"
TEXT: Final = b"text/plain; charset=utf-8"

_ACCEPT_SIZE: Final = 1024
"""Bytes of an Accept field that are looked at: an error costs no more than the request it answers."""

# In the order of preference where the client has none.
_OFFERED: Final = (("text/html", HTML), ("application/json", JSON), ("text/plain", TEXT))

# HTML has no way to write these (HTML Standard section 13.2.3.5), and a terminal might obey them.
_CONTROLS: Final = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160)], "\ufffd")
_ESCAPES: Final = {
    **_CONTROLS,
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&#39;",
}

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {reason}</title>
<style>
body {{ margin: 12vh auto; max-width: 44rem; padding: 0 1.5rem; font: 1rem/1.5 system-ui, sans-serif; color: #222 }}
h1 {{ margin: 0 0 .5rem; font-weight: 600 }}
h1 span {{ color: #b3261e }}
pre {{ padding: 1rem; overflow-x: auto; font-size: .85rem; background: #f5f4f2; border-radius: 4px }}
footer {{ margin-top: 2rem; font: .8rem ui-monospace, monospace; color: #777; overflow-wrap: anywhere }}
@media (prefers-color-scheme: dark) {{
body {{ color: #ddd; background: #1c1b1f }} pre {{ background: #28272b }} h1 span {{ color: #f2867e }}
}}
</style>
</head>
<body>
<h1><span>{status}</span> {reason}</h1>
{details}<footer>{gtxn}</footer>
</body>
</html>
"""


def respond_error(
    exchange: Exchange,
    status: int,
    message: str = "",
    headers: Iterable[tuple[bytes, bytes]] = (),
    traceback: str | None = None,
) -> None:
    """Answer a request with a built-in page.

    The page of an error is not to be stored: it names this one request. A Cache-Control among ``headers`` has its way.

    Args:
        exchange: The request, nothing of whose answer has been sent.
        status: Status code.
        message: What more there is to say, in words that may be shown to the client.
        headers: Further fields, names lower-case.
        traceback: A formatted traceback; it is shown only when the exchange is in debug.
    """
    fields = list(headers)
    if status in _BODILESS:
        exchange.respond(Response(status, fields, reason_of(status)), b"")
        return
    media_type = preferred_type(exchange.request.header(b"accept"))
    shown = traceback if exchange.debug else None
    body = _FORMATS[media_type](status, message, gtxn_of(exchange), shown)
    exchange.respond(Response(status, _page_headers(media_type, status, fields), reason_of(status)), body)


def render(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return the page in HTML, every argument escaped.

    Args:
        status: Status code.
        message: What more there is to say, "" for nothing.
        gtxn: Global transaction id of the request.
        traceback: A formatted traceback to show, None for none.
    """
    details = f"<p>{_escape(message)}</p>\n" if message else ""
    if traceback:
        details += f"<pre>{_escape(traceback)}</pre>\n"
    page = _PAGE.format(status=status, reason=_escape(reason_of(status)), details=details, gtxn=_escape(gtxn))
    return _encode(page)


def render_json(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return what ``render`` says as a JSON object."""
    fields = {"status": status, "reason": reason_of(status), "message": message, "gtid": gtxn}
    if traceback:
        fields["traceback"] = traceback
    return json.dumps(fields).encode("ascii") + b"\n"


def render_text(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return what ``render`` says as plain text."""
    lines = [f"{status} {reason_of(status)}", message, traceback, gtxn]
    return _encode("\n".join(line for line in lines if line).translate(_CONTROLS) + "\n")


_FORMATS: Final = {HTML: render, JSON: render_json, TEXT: render_text}


def preferred_type(accept: bytes | None) -> bytes:
    """Return the Content-Type of the page that suits an Accept field best (RFC 9110 section 12.5.1).

    HTML where the client has no preference, or wants what there is not: an error is no occasion for a second one.
    """
    if not accept or accept == b"*/*":
        return HTML
    ranges = [_media_range(element) for element in accept[:_ACCEPT_SIZE].decode("latin-1").lower().split(",")]
    best, chosen = (0.0, -1), HTML
    for media_type, content_type in _OFFERED:
        # Of several ranges that fit, the most specific one tells the weight.
        specificity, weight = max(((_fits(name, media_type), weight) for name, weight in ranges), default=(-1, 0.0))
        if specificity >= 0 and weight > 0 and (weight, specificity) > best:
            best, chosen = (weight, specificity), content_type
    return chosen


def _media_range(element: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in element.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


def _fits(media_range: str, media_type: str) -> int:
    """Return how well a media range names a media type: 2 in full, 1 its first half, 0 as anything, -1 not at all."""
    if media_range == media_type:
        return 2
    if media_range == media_type.partition("/")[0] + "/*":
        return 1
    return 0 if media_range == "*/*" else -1


def _page_headers(media_type: bytes, status: int, fields: HeaderList) -> HeaderList:
    found = [(b"content-type", media_type), (b"x-content-type-options", b"nosniff")]
    if media_type is HTML:
        found.append(
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
        )
    if status >= 400 and not any(name == b"cache-control" for name, _ in fields):
        found.append((b"cache-control", b"no-store"))
    return found + fields


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


def _encode(text: str) -> bytes:
    # A traceback may quote file names that are not UTF-8 (PEP 383).
    return text.encode("utf-8", "backslashreplace")
