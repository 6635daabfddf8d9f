"""What an engine of ``was`` tells of an answer, the same for every version of HTTP.

In order: any number of ``Interim``, one ``Head``, pieces of the body as ``Data`` (that of ``skitai.web.events``),
perhaps ``Trailers``, and ``End``. The classes are plain and slotted, as those of the server are, and for the same
reason: some of each are made for every request. Nobody changes them after the engine has handed them out, and equal
ones may be the same object.

Layer 3: no Twisted, no clock. Thread: any.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from skitai.web.events import Data, HeaderList


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
        self.texts: list[tuple[str, str]] | None = None

    def __repr__(self) -> str:
        return f"<Head {self.status} {self.reason}>"


class Interim:
    """An interim answer, 100 or 102 to 199: the final one is still to come."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: HeaderList) -> None:
        self.status = status
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Interim {self.status}>"


class Trailers:
    """Fields behind a chunked body; those that would frame or route the message are dropped."""

    __slots__ = ("headers",)

    def __init__(self, headers: HeaderList) -> None:
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Trailers {self.headers!r}>"


class End:
    """The answer is complete.

    Attributes:
        reusable: Whether the connection may carry another request, as far as the answer is concerned: the request must
            have been sent whole, too.
    """

    __slots__ = ("reusable",)

    def __init__(self, reusable: bool) -> None:
        self.reusable = reusable

    def __repr__(self) -> str:
        return f"<End reusable={self.reusable}>"


AnswerEvent: TypeAlias = Head | Interim | Data | Trailers | End

# What most answers end with, made once.
END_REUSABLE: Final = End(True)
END: Final = End(False)
