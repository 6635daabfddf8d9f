"""Responses as a test sees them, and how they are read from the bytes of a connection.

The reading is done by the standard library, not by what the server is made of: no fault of the server can hide itself
here. It must not know where the bytes come from. Thread: any.
"""

from __future__ import annotations

import json
from email.message import Message
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any

from skitai.fields import Headers


class NoResponse(AssertionError):
    """There is no complete response.

    Args:
        message: Why.
        received: What the client has received instead.
    """

    def __init__(self, message: str, received: bytes) -> None:
        self.received = received
        super().__init__(f"{message}; received: {received[:200]!r}")


class RedirectError(AssertionError):
    """A redirection can not be followed.

    Args:
        message: Why.
        history: The responses that led there.
    """

    def __init__(self, message: str, history: list[Response]) -> None:
        self.history = history
        super().__init__(f"{message}; on the way: {', '.join(response.url for response in history)}")


class Response:
    """The response to one request.

    Attributes:
        status: Status code.
        reason: Reason phrase.
        headers: Header fields.
        body: The body after the transfer coding is taken off, but with its content coding (gzip).
        interim: Status and fields of the informational responses (1xx) that came before.
        error: The exception that the application let through, None for none.
        url: What was asked for, after all redirections.
        history: The responses that led here, with ``follow_redirects``.
    """

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.interim: list[tuple[int, Headers]] = []
        self.error: BaseException | None = None
        self.url = ""
        self.history: list[Response] = []

    @property
    def text(self) -> str:
        """The body as text, in the charset that Content-Type names, else UTF-8."""
        message = Message()
        message["Content-Type"] = self.headers.get("Content-Type", "")
        return self.body.decode(str(message.get_param("charset", "utf-8")))

    def json(self) -> Any:
        """Return what the body, a JSON text, says."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}, {len(self.body)} bytes>"


class _Bytes(BytesIO):
    """What ``HTTPResponse`` needs of a socket, and of a file, which it closes although more may follow."""

    def makefile(self, mode: str) -> _Bytes:
        """Return the file to read from."""
        return self

    def close(self) -> None:
        """Stay open."""


def read_response(received: bytes, method: str = "GET", closed: bool = True) -> tuple[Response, bytes]:
    """Read one response, and the informational ones before it.

    Args:
        received: Bytes from the server.
        method: Method of the request: it decides whether there is a body (RFC 9112 section 6.3).
        closed: Whether the server has closed the connection, which ends a body of unknown length.

    Returns:
        The response and the bytes behind it.

    Raises:
        NoResponse: It is not complete, or is none.
    """
    interim: list[tuple[int, Headers]] = []
    rest = received
    while True:
        end = rest.find(b"\r\n\r\n") + 4
        if end < 4:
            raise NoResponse("there is no complete response head", received)
        if rest[9:10] != b"1" or rest[9:12] == b"101":
            break  # 101 (Switching Protocols) is the last of its connection
        interim.append((int(rest[9:12]), _fields_of(rest[:end])))
        rest = rest[end:]
    wire = _Bytes(rest)
    try:
        response = HTTPResponse(wire, method=method)  # type: ignore[arg-type]
        response.begin()
        if response.length is None and not response.chunked and not closed:
            raise NoResponse("the connection must be closed to end the body, but it is open", received)
        body = response.read()
    except HTTPException as error:
        raise NoResponse(f"the response can not be read: {error!r}", received) from error
    found = Response(response.status, response.reason, Headers(response.getheaders()), body)
    found.interim = interim
    return found, wire.read()


def _fields_of(head: bytes) -> Headers:
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    pairs = (line.partition(":") for line in lines)
    return Headers([(name, value.strip()) for name, _, value in pairs])
