"""The built-in pages for everything that is not a success, as bytes: the server and Saddle answer with the same ones.

A page names the status and the request's transaction id, so that a user's report finds the line in the log. Everything
in it is escaped. It is HTML, or JSON or plain text where the client's Accept prefers that.

Layer 0: text in, bytes out. It must not know requests, nor why one failed: the caller says what may be shown.
Thread: any.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from skitai.reasons import reason_of

Headers: TypeAlias = list[tuple[str, str]]

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

_ACCEPT_SIZE: Final = 1024
"""Characters of an Accept field that are looked at: an error costs no more than the request it answers."""

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

_CONTENT_SECURITY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

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


class Detail(Protocol):
    """What a developer is shown of a failure (``skitai.debugpage.Report``)."""

    def html(self, gtxn: str) -> str:
        """Return a whole page of its own."""

    def text(self) -> str:
        """Return the traceback as text."""


def error_page(
    status: int, message: str, gtxn: str, accept: str | None, detail: str | Detail | None = None
) -> tuple[Headers, bytes]:
    """Return the page that answers a request, in the form its client likes best.

    The page of an error is not to be stored: it names this one request.

    Args:
        status: Status code; one whose answer has a body.
        message: What more there is to say, in words that may be shown to the client; "" for nothing.
        gtxn: Global transaction id of the request.
        accept: The request's Accept field, None or "" for none.
        detail: In debug a formatted traceback, or what makes a page of its own; it is shown to the client.

    Returns:
        The fields of the answer (Content-Type and what keeps the page harmless; no Content-Length), and its body.
    """
    media_type = preferred_type(accept)
    headers = [("Content-Type", media_type), ("X-Content-Type-Options", "nosniff")]
    if media_type is HTML:
        headers.append(("Content-Security-Policy", _CONTENT_SECURITY))
    if status >= 400:
        headers.append(("Cache-Control", "no-store"))
    if detail is None or isinstance(detail, str):
        return headers, _FORMATS[media_type](status, message, gtxn, detail)
    if media_type is HTML:
        return headers, encode(detail.html(gtxn))
    return headers, _FORMATS[media_type](status, message, gtxn, detail.text())


def render(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return the page in HTML, every argument escaped.

    Args:
        status: Status code.
        message: What more there is to say, "" for nothing.
        gtxn: Global transaction id of the request.
        traceback: A formatted traceback to show, None for none.
    """
    details = f"<p>{escape(message)}</p>\n" if message else ""
    if traceback:
        details += f"<pre>{escape(traceback)}</pre>\n"
    return encode(_PAGE.format(status=status, reason=escape(reason_of(status)), details=details, gtxn=escape(gtxn)))


def render_json(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return what ``render`` says as a JSON object."""
    fields = {"status": status, "reason": reason_of(status), "message": message, "gtid": gtxn}
    if traceback:
        fields["traceback"] = traceback
    return json.dumps(fields).encode("ascii") + b"\n"


def render_text(status: int, message: str, gtxn: str, traceback: str | None = None) -> bytes:
    """Return what ``render`` says as plain text."""
    lines = [f"{status} {reason_of(status)}", message, traceback, gtxn]
    return encode("\n".join(line for line in lines if line).translate(_CONTROLS) + "\n")


_FORMATS: Final[dict[str, Callable[[int, str, str, str | None], bytes]]] = {
    HTML: render,
    JSON: render_json,
    TEXT: render_text,
}


def preferred_type(accept: str | None) -> str:
    """Return the Content-Type of the page that suits an Accept field best (RFC 9110 section 12.5.1).

    HTML where the client has no preference, or wants what there is not: an error is no occasion for a second one.
    """
    if not accept or accept == "*/*":
        return HTML
    ranges = [_media_range(element) for element in accept[:_ACCEPT_SIZE].lower().split(",")]
    best, chosen = (0.0, -1), HTML
    for media_type, content_type in _OFFERED:
        # Of several ranges that fit, the most specific one tells the weight.
        specificity, weight = max(((_fits(name, media_type), weight) for name, weight in ranges), default=(-1, 0.0))
        if specificity >= 0 and weight > 0 and (weight, specificity) > best:
            best, chosen = (weight, specificity), content_type
    return chosen


def escape(text: str) -> str:
    """Return ``text`` for the content and the quoted attribute values of HTML; control characters become U+FFFD."""
    return text.translate(_ESCAPES)


def encode(text: str) -> bytes:
    """Return a page as UTF-8; what UTF-8 can not say is written as an escape.

    A traceback may quote file names that are not UTF-8 (PEP 383).
    """
    return text.encode("utf-8", "backslashreplace")


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
