"""Reason phrases: what a status code is called, in status lines and on error pages.

Layer 0: a table. Thread: any; it never changes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

REASONS: Final[dict[int, str]] = {
    **{int(status): status.phrase for status in HTTPStatus},
    # What the standard library of some supported Python version lacks or names as an older RFC did (RFC 9110 section
    # 15).
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    425: "Too Early",
    # Not registered, but known from other servers' logs: nobody is left to be told.
    499: "Client Closed Request",
}
"""Reason phrases by status code."""

_CLASSES: Final = ("Unknown", "Informational", "Success", "Redirection", "Client Error", "Server Error")


def reason_of(status: int) -> str:
    """Return the reason phrase of a status code, for an unknown one the name of its class."""
    found = REASONS.get(status)
    return found if found is not None else _CLASSES[status // 100 if 100 <= status < 600 else 0]
