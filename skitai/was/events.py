"""What an engine of ``was`` tells of an answer, the same for every version of HTTP.

Layer 3: no Twisted, no clock. Thread: any.
"""

from __future__ import annotations

from typing import TypeAlias

from skitai.web.events import HeaderList


class Head:
    """The head of an answer. Equal ones share an object: nobody changes it.

    Attributes:
        status: 200 to 999.
        reason: The reason phrase, "" for none.
        version: "1.0" or "1.1".
        headers: All fields in the order received, names lower-case.
        keep_alive: Whether the server lets the connection persist.
        length: Size of the body that follows in bytes; 0 where none does, whatever Content-Length says (HEAD, 204,
            304); None where only its end tells.
        chunked: Whether that end is in the body, not that of the connection.
        texts: The fields as text, once somebody has made them.
    """

    __slots__ = ("chunked", "headers", "keep_alive", "length", "reason", "status", "texts", "version")

    def __init__(self, status: int, reason: str, version: str, headers: HeaderList) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers
        self.keep_alive = version == "1.1"
        self.length: int | None = None
        self.chunked = False
        self.texts: tuple[tuple[str, str], ...] | None = None

    def __repr__(self) -> str:
        return f"<Head {self.status} {self.reason}>"


Part: TypeAlias = "tuple[Head | None, bytes, bool | None]"
"""What some bytes of an answer come to, in this order: its head; some of its body, b"" for none; and, where it is
complete, whether the connection may carry another request as far as the answer is concerned (the request must have been
sent whole, too)."""
