"""The vocabulary that protocol engines and exchanges share, the same for HTTP/1 and HTTP/2.

Layer 1: no Twisted, no clock, no thread. An engine turns received bytes into ``Request``, ``Data``, ``EndOfBody`` and
``Refused``; the other way an exchange is answered with a ``Response`` and bytes.

Names of header fields are lower-case ``bytes`` (RFC 9110 section 5.1: they are case-insensitive), values are ``bytes``
as received without the white space around them. Pieces of the start line are ``str``: they are ASCII once validated.

The classes are plain and slotted instead of frozen dataclasses: one of each is made for every request, and a frozen
dataclass costs three times as much to create. Nobody changes them after the engine has handed them out.
"""

from __future__ import annotations

from typing import Final, TypeAlias

HeaderList: TypeAlias = list[tuple[bytes, bytes]]

UNKNOWN_LENGTH: Final = -1
"""``Request.content_length`` of a body whose length is not announced (chunked, or an HTTP/2 stream)."""

PROTOCOLS: Final = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2.0"}
"""How logs and applications are told the protocol, by ``Request.version``."""


class Request:
    """The head of a request.

    Attributes:
        method: Method token, case kept ("GET").
        target: The request target as received (RFC 9112 section 3.2).
        path: The raw path of the target, not percent-decoded; "*" for the asterisk-form, "" for CONNECT.
        query: What follows the first "?", without it.
        host: Host and port the client asked for: of an absolute-form target, else of the Host field; "" when there is
            none.
        version: "1.0", "1.1" or "2".
        headers: All fields in the order received, names lower-case.
        content_length: Body size in bytes, 0 for none, ``UNKNOWN_LENGTH`` when not announced.
        keep_alive: Whether the client lets the connection persist.
        expect_continue: Whether it waits for 100 (Continue) before it sends the body.
    """

    __slots__ = (
        "content_length",
        "expect_continue",
        "headers",
        "host",
        "keep_alive",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    def __init__(self, method: str, target: str, version: str, headers: HeaderList) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.path = ""
        self.query = ""
        self.host = ""
        self.content_length = 0
        self.keep_alive = True
        self.expect_continue = False

    def header(self, name: bytes) -> bytes | None:
        """Return the value of the field ``name`` (lower-case), several joined with ", ", or None.

        RFC 9110 section 5.3 allows the joining for every list-valued field.
        """
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values) if values else None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target} HTTP/{self.version}>"


class Data:
    """A piece of the request body, never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<Data {len(self.data)} bytes>"


class EndOfBody:
    """The request body is complete; only follows a ``Request`` whose ``content_length`` is not 0."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: HeaderList) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return f"<EndOfBody {self.trailers!r}>"


class Refused:
    """The bytes received break the protocol: answer with ``status`` (where nothing was answered yet) and close.

    No event follows it on the connection.

    Attributes:
        status: Status code of the answer.
        message: What is wrong, for people.
        method: The method as far as it is known, else "-": the answer to HEAD has no content.
    """

    __slots__ = ("message", "method", "status")

    def __init__(self, status: int, message: str, method: str = "-") -> None:
        self.status = status
        self.message = message
        self.method = method

    def __repr__(self) -> str:
        return f"<Refused {self.status} {self.message}>"


Event: TypeAlias = Request | Data | EndOfBody | Refused


class Response:
    """The head of a response.

    Attributes:
        status: Three-digit status code.
        reason: Reason phrase (HTTP/1 only).
        headers: Fields in sending order. Framing fields (Content-Length apart) are the carrier's business and must not
            be here.
    """

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, headers: HeaderList, reason: str = "") -> None:
        self.status = status
        self.headers = headers
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"
