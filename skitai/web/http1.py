"""HTTP/1.0 and HTTP/1.1, the server's side: bytes in, events out (RFC 9112).

Layer 1: no Twisted, no clock, no thread. Field lines are parsed by httptools (llhttp); the request line, the framing
rules and what must be refused are decided here, strictly: a request that two parties could read differently is refused
and nothing that follows it on the connection is looked at (RFC 9112 section 11.2).

The caller's duties:

* hand over every received byte with ``receive`` and handle the events in order;
* when the response to a ``Request`` is complete, call ``next_request``, which parses what was pipelined meanwhile;
  until then bytes behind the request are only kept (``buffered`` tells how many: stop reading when they grow);
* after ``Refused``, answer when nothing was answered yet, and close.

Theory of operation: HEAD -> LENGTH or CHUNKED -> COMPLETE -> HEAD ..., REFUSED from each but COMPLETE. A head is only
parsed when it is whole, so an idle connection costs no parser.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from skitai.errors import PeerError
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.chunked import ChunkedDecoder
from skitai.web.events import UNKNOWN_LENGTH, Data, EndOfBody, Event, HeaderList, Refused, Request
from skitai.web.headers import FIELD_LINE, TOKEN, is_host, is_token, lower_name, read_host, tokens

_REQUEST_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/([0-9])\.([0-9])\r\n")
_METHOD: Final = re.compile(rb"(" + TOKEN.removesuffix(b"+") + rb"{1,32}) ")
_ABSOLUTE_FORM: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?]*)([^?]*)(?:\?(.*))?", re.ASCII)
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0")
_FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
_NOT_PLAIN: Final = (_FRAMING - {b"host"}) | {b"cookie", b"authorization", b"proxy-authorization"}
_SYNTHETIC_LINE: Final = b"GET / HTTP/1.1\r\n"


class _State(enum.Enum):
    HEAD = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    COMPLETE = enum.auto()
    REFUSED = enum.auto()


# Looking a member up in its class takes three times as long, which counts on the way of every request.
_HEAD, _LENGTH, _CHUNKED, _COMPLETE, _REFUSED = _State


class _Line(NamedTuple):
    """A request line; ``version`` is None for one that is not served, ``path`` empty where the target is no path."""

    method: str
    target: str
    version: str | None
    path: str
    query: str


_lines: dict[bytes, _Line] = {}
_plain_sections: dict[bytes, tuple[HeaderList, str]] = {}
"""Field sections that were found good before, with their fields and the host that they name. Programs that ask again
and again send the same ones; only those are here in which a Host is all that concerns the framing of the message."""


class _FieldLines:
    """Receives the fields of one head from httptools. One parser a head: a kept one remembers ``Connection: close``."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: HeaderList = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one field (httptools does not strip a trailing tab)."""
        self.headers.append((lower_name(name), value.rstrip(b" \t")))


def _parse_fields(fields: bytes) -> HeaderList:
    """Split field lines and the empty line behind them.

    Raises:
        HttpParserError: They are malformed.
    """
    lines = _FieldLines()
    try:
        # The request line was judged before: llhttp knows a fixed list of methods, and is laxer about blanks.
        HttpRequestParser(lines).feed_data(_SYNTHETIC_LINE + fields)
    except HttpParserUpgrade:
        pass
    return lines.headers


class ServerConnection:
    """The server's end of one HTTP/1 connection.

    Args:
        max_head_size: Limit of a request head, and of trailers, in bytes; past it 431.
        max_target_size: Limit of a request target in bytes; past it 414.
    """

    __slots__ = ("_buffer", "_chunks", "_max_head", "_max_target", "_remaining", "_scanned", "_state")

    def __init__(self, max_head_size: int, max_target_size: int) -> None:
        self._max_head = max_head_size
        self._max_target = max_target_size
        self._state = _HEAD
        self._buffer = b""
        self._scanned = 0
        self._remaining = 0
        self._chunks: ChunkedDecoder | None = None

    @property
    def buffered(self) -> int:
        """How many bytes are kept: a partial head, or what was pipelined behind a request that is being answered."""
        return len(self._buffer)

    @property
    def between_requests(self) -> bool:
        """Whether no byte of a next request has come yet."""
        return self._state is _HEAD and not self._buffer

    @property
    def body_complete(self) -> bool:
        """Whether the current request has arrived whole."""
        return self._state is _COMPLETE

    @property
    def method(self) -> str:
        """The method of the head of which a part has come; "-" as long as it is not known."""
        match = _METHOD.match(self._buffer) if self._state is _HEAD else None
        return match.group(1).decode() if match is not None else "-"

    def receive(self, data: bytes) -> list[Event]:
        """Take received bytes and return what they mean.

        Never raises for anything a peer can send.
        """
        state = self._state
        if state is _HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            return self._head()
        if state is _LENGTH:
            return self._length(data)
        if state is _CHUNKED:
            return self._chunked(data)
        if state is _COMPLETE:
            self._buffer += data
        return []

    def begin_idle(self) -> bool:
        """Go over to the next request where the last one is complete and nothing has come yet; return whether it did.

        ``next_request`` for the hot path.
        """
        if self._state is not _COMPLETE or self._buffer:
            return False
        self._state = _HEAD
        self._scanned = 0
        return True

    def next_request(self) -> list[Event]:
        """Begin with the next request: the response to the last one is complete."""
        if self._state is not _COMPLETE:
            raise RuntimeError(f"next_request() while the engine is in state {self._state.name}")
        self._state = _HEAD
        self._scanned = 0
        return self._head() if self._buffer else []

    def _refuse(self, status: int, message: str, method: str = "") -> list[Event]:
        refused = Refused(status, message, method or self.method)
        self._state = _REFUSED
        self._buffer = b""
        self._chunks = None
        return [refused]

    def _head(self) -> list[Event]:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0 or buffer[0] == 13:
            # RFC 9112 section 2.2: empty lines before a request line are ignored.
            if buffer.startswith(b"\r\n"):
                blank = _EMPTY_LINES.match(buffer)
                buffer = self._buffer = buffer[blank.end() if blank is not None else 0 :]
                self._scanned = 0
            end = buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                return self._incomplete()
        line_end = buffer.find(b"\r\n") + 2
        line = _lines.get(buffer[:line_end]) or self._read_line(buffer[:line_end])
        if line is None or end + 4 > self._max_head or len(line.target) > self._max_target:
            return self._unreadable(end)
        fields = buffer[line_end : end + 4]
        known = _plain_sections.get(fields)
        try:
            headers = _parse_fields(fields) if known is None else known[0]
        except HttpParserError:
            return self._unreadable_fields(buffer[: end + 4], fields)
        if line.version is None:
            return self._refuse(505, "only HTTP/1.0 and HTTP/1.1 are served here")
        self._buffer = buffer[end + 4 :]
        self._scanned = 0
        request = Request(line.method, line.target, line.version, headers)
        request.path = line.path
        request.query = line.query
        if known is not None and line.path and line.version == "1.1":
            request.host = known[1]
            self._state = _COMPLETE
            return [request]
        try:
            _read_framing(request)
            if not line.path:
                _read_target(request)
        except PeerError as error:
            return self._refuse(error.status, str(error), request.method)
        if request.content_length:
            return self._request(request)
        self._state = _COMPLETE
        if len(fields) <= CACHED_LENGTH and line.version == "1.1" and line.path:
            _remember_section(fields, request)
        return [request]

    def _read_line(self, data: bytes) -> _Line | None:
        """Read a request line, None where it is malformed. Those seen often are read once."""
        match = _REQUEST_LINE.fullmatch(data)
        if match is None:
            return None
        method, target, major, minor = match.groups()
        version = None if major != b"1" else "1.0" if minor == b"0" else "1.1"
        path = query = ""
        if target.startswith(b"/") and method != b"CONNECT":
            path, _, query = target.decode().partition("?")
        line = _Line(method.decode(), target.decode(), version, path, query)
        return remember(_lines, data, line) if len(data) <= CACHED_LENGTH else line

    def _request(self, request: Request) -> list[Event]:
        """Begin with a request that has a body."""
        length = request.content_length
        rest = self._buffer
        self._buffer = b""
        events: list[Event] = [request]
        if length == UNKNOWN_LENGTH:
            self._state = _CHUNKED
            self._chunks = ChunkedDecoder(self._max_head)
            if rest:
                events += self._chunked(rest)
        else:
            self._state = _LENGTH
            self._remaining = length
            if rest:
                events += self._length(rest)
        return events

    def _length(self, data: bytes) -> list[Event]:
        remaining = self._remaining
        if len(data) < remaining:
            self._remaining = remaining - len(data)
            return [Data(data)] if data else []
        self._state = _COMPLETE
        self._buffer = data[remaining:]
        return [Data(data[:remaining] if self._buffer else data), EndOfBody([])]

    def _chunked(self, data: bytes) -> list[Event]:
        chunks = self._chunks
        assert chunks is not None
        decoded, rest = chunks.receive(data)
        events: list[Event] = [Data(decoded)] if decoded else []
        if chunks.fault is not None:
            events += self._refuse(chunks.fault.status, str(chunks.fault))
        elif chunks.done:
            self._state = _COMPLETE
            self._buffer = rest
            self._chunks = None
            events.append(EndOfBody(chunks.trailers))
        return events

    def _incomplete(self) -> list[Event]:
        """Refuse a head that can not become a good one; otherwise wait for the rest."""
        buffer = self._buffer
        refused = self._first_fault(buffer, len(buffer), self._scanned)
        self._scanned = max(0, len(buffer) - 3)
        return refused

    def _first_fault(self, buffer: bytes, end: int, scanned: int = 0) -> list[Event]:
        """Find the first byte of ``buffer[:end]`` that no request head can contain, or that is one too many.

        The position decides, so that the answer does not depend on how the bytes were split.
        """
        faults: list[tuple[int, int, str]] = []
        if end > self._max_head:
            faults.append((self._max_head, 431, f"the request head is larger than {self._max_head:,} bytes"))
        line = buffer.find(b"\r", 0, end)
        blank = buffer.find(b" ", 0, end if line < 0 else line)
        if blank >= 0:
            last = buffer.find(b" ", blank + 1, end if line < 0 else line)
            target_end = last if last >= 0 else (end if line < 0 else line)
            if target_end - blank - 1 > self._max_target:
                place = blank + 1 + self._max_target
                faults.append((place, 414, f"the request target is longer than {self._max_target:,} bytes"))
        bare = _BARE.search(buffer, max(0, scanned - 1), end)
        if bare is not None:
            faults.append((bare.start(), 400, "a bare CR, a bare LF or a NUL in the request head"))
        return self._refuse(*min(faults)[1:]) if faults else []

    def _unreadable(self, end: int) -> list[Event]:
        """Say why the head that ends at ``end`` was not taken: its request line is wrong, or something too large."""
        refused = self._first_fault(self._buffer, end + 4)
        if refused:
            return refused
        return self._refuse(400, "a malformed request line")

    def _unreadable_fields(self, head: bytes, fields: bytes) -> list[Event]:
        """Say why ``fields`` were refused by the parser: the status depends on it."""
        refused = self._first_fault(head, len(head))
        if refused:
            return refused
        at, lengths = 0, 0
        codings: list[bytes] = []
        while not fields.startswith(b"\r\n", at):
            match = FIELD_LINE.match(fields, at)
            if match is None:
                return self._refuse(400, "a malformed header field")
            name = lower_name(match.group(1))
            if name == b"transfer-encoding":
                codings.append(match.group(2).strip(b" \t"))
            elif name == b"content-length":
                lengths += 1
            at = match.end()
        if codings and not lengths:
            try:
                _check_codings(b",".join(codings))
            except PeerError as error:
                return self._refuse(error.status, str(error))
        if codings:
            return self._refuse(
                400, "Content-Length and Transfer-Encoding in one request, or a malformed Transfer-Encoding"
            )
        return self._refuse(400, "a malformed or repeated Content-Length" if lengths else "a malformed header field")


def _remember_section(fields: bytes, request: Request) -> None:
    """Remember a field section that frames nothing and tells no secret."""
    if not any(name in _NOT_PLAIN for name, _ in request.headers):
        remember(_plain_sections, fields, (request.headers, request.host))


def _check_codings(value: bytes) -> None:
    """Accept "chunked" alone (RFC 9112 section 6.1).

    Raises:
        PeerError: 501 for a coding that is not known, 400 where the body has no certain end.
    """
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [b"chunked"]:
        return
    if not all(is_token(coding) for coding in codings) or b"chunked" in codings[:-1]:
        raise PeerError(
            400,
            "a malformed Transfer-Encoding, or one in which chunked is not the last coding and the only of its kind",
        )
    unknown = next(coding for coding in codings if coding != b"chunked")
    raise PeerError(501, f"the transfer coding {unknown.decode()!r} is not known; only chunked is")


def _read_framing(request: Request) -> None:
    """Read the fields that frame the message and name its host.

    Raises:
        PeerError: They contradict each other or the version.
    """
    http10 = request.version == "1.0"
    if http10:
        request.keep_alive = False
    host: bytes | None = None
    length: bytes | None = None
    codings: bytes | None = None
    for name, value in request.headers:
        if name not in _FRAMING:
            continue
        if name == b"host":
            if host is not None:
                raise PeerError(400, "more than one Host field")
            host = value
        elif name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > 18:
                raise PeerError(400, "a malformed or repeated Content-Length")
            length = value
        elif name == b"transfer-encoding":
            codings = value if codings is None else codings + b"," + value
        elif name == b"connection":
            members = tokens(value)
            if b"close" in members:
                request.keep_alive = False
            elif http10 and b"keep-alive" in members:
                request.keep_alive = True
        elif value.lower() != b"100-continue":
            raise PeerError(417, "the only expectation that can be met is 100-continue")
        elif not http10:  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
            request.expect_continue = True
    if codings is not None:
        if length is not None or http10:
            # RFC 9112 section 6.1: both are an attempt at smuggling; in HTTP/1.0 the framing is faulty.
            raise PeerError(400, "Transfer-Encoding together with Content-Length, or in HTTP/1.0")
        _check_codings(codings)
        request.content_length = UNKNOWN_LENGTH
    elif length is not None:
        request.content_length = int(length)
    if host is None:
        if not http10:
            raise PeerError(400, "no Host field")  # RFC 9112 section 3.2
        return
    asked = read_host(host)
    if asked is None:
        raise PeerError(400, "a malformed Host field")
    request.host = asked


def _read_target(request: Request) -> None:
    """Take a request target apart that does not begin with a slash (RFC 9112 section 3.2).

    Raises:
        PeerError: It has none of the forms, or one that the method does not allow.
    """
    target = request.target
    if request.method == "CONNECT":
        host, colon, port = target.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) < 65536 and is_host(target)):
            raise PeerError(400, "the target of CONNECT is host:port")
        request.host = target
    elif target == "*":
        if request.method != "OPTIONS":
            raise PeerError(400, "the target * is for OPTIONS only")
        request.path = "*"
    else:
        match = _ABSOLUTE_FORM.fullmatch(target)
        if match is None or match.group(1)[:1] in ("", ":") or not is_host(match.group(1)):
            raise PeerError(400, "a malformed request target")
        # RFC 9112 section 3.2.2: the target's host replaces that of the Host field.
        request.host = match.group(1)
        request.path = match.group(2) or ("*" if request.method == "OPTIONS" and match.group(3) is None else "/")
        request.query = match.group(3) or ""
