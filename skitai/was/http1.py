"""HTTP/1.0 and HTTP/1.1, the client's side: a request as bytes, the bytes of an answer as its parts (RFC 9112).

The reader is as strict as the server's engine: an answer that two parties could read differently is refused, and the
connection with it. Tolerated is what RFC 9112 asks of user agents: folded lines, a Content-Length repeated with the
same value, a status line without a reason. A line that ends with a bare LF, which a recipient may take (section 2.2),
is refused: who can put a line feed into a value must not be able to begin a new field.

Field lines are parsed by httptools (llhttp), as in the server's engine; what that does not take is looked at line by
line, and is tolerated, or the message names the field. Status line, framing and body are read here, chunks by the
server's decoder. Measured on CPython 3.11 for a small answer with a field that is never the same: 6.9 us; with own
regular expressions and remembered lines 5.8 us; with all of the answer read by one kept httptools parser, without the
checks, 3.3 us. That is not done: such a parser remembers ``Connection: close``, goes on to the next message by itself,
so that nobody learns what came behind an answer, and knows neither limits nor HEAD. And a head that came before, which
is what most services send for a second at least, takes 1.3 us here and 4.4 us there.

No clock, no connection. The caller's duties:

* call ``expect`` before the request is sent, and ``feed`` every byte that is received;
* when the answer is complete, go on with ``expect`` where it says that the connection may be used again, else close;
* call ``eof`` when the peer has closed its side; a body without a length ends with it. A connection that was lost (a
  reset, TLS without its closing alert) is no end: fail the request instead;
* close after ``BadAnswer``. What belongs to the same bytes is lost with it.

Theory of operation: IDLE -> HEAD -> LENGTH, CHUNKED or UNTIL_CLOSE -> IDLE, or CLOSED where nothing more can follow.
Interim answers stay in HEAD and are passed over, as trailers are. A head is only parsed when it is whole; one that came
before is known: services answer many requests alike.

Layer 3. Thread: one at a time.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from skitai.errors import BadAnswer
from skitai.was.events import Head, Part
from skitai.was.outgoing import DEFAULTS, SECRET, Fields, Outgoing
from skitai.was.url import URL
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.chunked import ChunkedDecoder
from skitai.web.events import HeaderList
from skitai.web.headers import FIELD_LINE, FIELD_VALUE, is_token, lower_name, tokens
from skitai.web.http1_writer import has_body

__all__ = ["AnswerLimits", "Head", "Part", "ResponseReader", "encode_head"]

_CACHED_HEAD: Final = 512
"""Longest head that is remembered whole."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FOLD: Final = re.compile(rb"[ \t]*\r\n[ \t]+")
_PROTOCOL: Final = b"HTTP/1."
_SYNTHETIC_LINE: Final = b"HTTP/1.1 200 OK\r\n"
_SECRET_ANSWERS: Final = frozenset((b"set-cookie", b"set-cookie2", b"authentication-info", b"www-authenticate"))
_NOTABLE: Final = _SECRET_ANSWERS | {b"content-length", b"transfer-encoding", b"connection"}
_ONE_CHUNK_END: Final = b"\r\n0\r\n\r\n"
_ONE_CHUNK_ROOM: Final = 2 + len(_ONE_CHUNK_END)
_TELLS_LENGTH: Final = frozenset(("POST", "PUT", "PATCH"))
_NOTHING: Final[Part] = (None, b"", None)


class _State(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    CLOSED = enum.auto()


# Looking a member up in its class takes three times as long, which counts on the way of every answer.
_IDLE, _HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _CLOSED = _State


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """What an answer may take.

    Attributes:
        max_head_size: Of a head, and of trailers, in bytes.
        max_interim: How many interim answers may come before the final one.
    """

    max_head_size: int = 64 * 1024
    max_interim: int = 20


_heads: dict[bytes, Head] = {}
_starts: dict[bytes, tuple[int, str, str]] = {}
_targets: dict[tuple[str, str], bytes] = {}
_sections: dict[Fields, bytes] = {}
_lines: dict[tuple[bytes, bytes], bytes] = {}
_prefixes: dict[bytes, bytes] = {}


def encode_head(outgoing: Outgoing, extra: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Make the head of a request: request line, Host, fields, and how the content ends.

    Args:
        outgoing: The request.
        extra: Further fields, such as Authorization and transaction ids.

    Raises:
        ValueError: A name or a value holds bytes that would split the request.
    """
    headers = outgoing.headers
    lines = [
        _targets.get((outgoing.method, outgoing.url.text)) or _target(outgoing.method, outgoing.url),
        _DEFAULT_SECTION if headers is DEFAULTS else _sections.get(headers) or _section(headers),
    ]
    for field in extra:
        lines.append(_lines.get(field) or _field_line(*field))
    payload = outgoing.payload
    if payload is not None:
        lines.append(b"Content-Length: %d\r\n" % payload.size)
    elif outgoing.method in _TELLS_LENGTH:  # RFC 9110 section 8.6: where content would be expected
        lines.append(b"Content-Length: 0\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _target(method: str, url: URL) -> bytes:
    start = f"{method} {url.target} HTTP/1.1\r\nHost: {url.authority}\r\n".encode("ascii")
    return remember(_targets, (method, url.text), start) if len(start) <= CACHED_LENGTH else start


def _section(headers: Fields) -> bytes:
    section = b"".join([_field_line(name, value) for name, value in headers])
    if len(section) <= CACHED_LENGTH and not any(name in SECRET for name, _ in headers):
        remember(_sections, headers, section)
    return section


def _field_line(name: bytes, value: bytes) -> bytes:
    prefix = _prefixes.get(name)
    if prefix is None:
        if not is_token(name):
            raise ValueError(f"{name!r} is not a field name (RFC 9110 section 5.1)")
        prefix = name.title() + b": "
        if len(name) <= CACHED_LENGTH:
            remember(_prefixes, name, prefix)
    if value.isdigit():  # ids of transactions, each of which is another one
        return prefix + value + b"\r\n"
    if not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"the value of {name!r} holds control characters (RFC 9110 section 5.5)")
    line = prefix + value + b"\r\n"
    if len(line) <= CACHED_LENGTH and name not in SECRET:  # the calls of a page have most of them in common
        remember(_lines, (name, value), line)
    return line


_DEFAULT_SECTION: Final = _section(DEFAULTS)


class _FieldLines:
    """Receives the fields of one head from httptools, which does not strip a trailing tab."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: HeaderList = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one field."""
        self.headers.append((lower_name(name), value.rstrip(b" \t")))


class ResponseReader:
    """Reads the answers that come over one connection, one at a time.

    Args:
        limits: What an answer may take.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_current",
        "_interims",
        "_limits",
        "_method",
        "_remaining",
        "_scanned",
        "_state",
    )

    def __init__(self, limits: AnswerLimits) -> None:
        self._limits = limits
        self._state = _IDLE
        self._method = ""
        self._buffer = b""
        self._scanned = 0
        self._interims = 0
        self._remaining = 0
        self._current: Head | None = None
        self._chunks: ChunkedDecoder | None = None

    def expect(self, method: str) -> None:
        """Begin with an answer.

        Args:
            method: That of the request, whose answer this is: it decides whether a body follows.
        """
        if self._state is not _IDLE:
            raise RuntimeError(f"expect() while the engine is in state {self._state.name}")
        self._state = _HEAD
        self._method = method
        self._interims = 0

    @property
    def answered(self) -> bool:
        """Whether any byte of the answer that is expected, or was the last one, has come, an interim one included."""
        return self._state is not _HEAD or bool(self._buffer) or self._interims > 0

    def feed(self, data: bytes) -> Part:
        """Take received bytes and return what they mean.

        Raises:
            BadAnswer: They break the protocol, or a limit.
        """
        state = self._state
        if state is _HEAD:
            return self._feed_head(self._buffer + data if self._buffer else data)
        if state is _LENGTH:
            return self._feed_length(data)
        if state is _CHUNKED:
            return self._feed_chunked(data)
        if state is _UNTIL_CLOSE:
            return None, data, None
        if state is _IDLE and data:
            raise self._bad("the server has sent something that nothing asked for")
        return _NOTHING

    def eof(self) -> bool:
        """Take notice that the peer sends no more; return whether the answer ends with that.

        Raises:
            BadAnswer: It has not come whole.
        """
        state = self._state
        if state in (_HEAD, _LENGTH, _CHUNKED):
            raise self._bad("the answer is cut: the server has closed the connection in the middle")
        self._state = _CLOSED
        return state is _UNTIL_CLOSE

    def _bad(self, message: str) -> BadAnswer:
        self._state = _CLOSED
        self._buffer = b""
        self._chunks = None
        return BadAnswer(message, sent=True, answered=True)

    def _feed_head(self, buffer: bytes) -> Part:
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._check_incomplete(buffer)
            return _NOTHING
        section = buffer[: end + 2]
        rest = buffer[end + 4 :]
        if end + 4 > self._limits.max_head_size:
            raise self._too_large()
        # Whether a body follows the head of an answer to HEAD, the head does not say.
        known = None if self._method == "HEAD" else _heads.get(section)
        head = self._read_head(section) if known is None else known
        self._buffer = b""
        self._scanned = 0
        if head.status < 200:
            self._interims += 1
            if self._interims > self._limits.max_interim:
                raise self._bad(f"more than {self._limits.max_interim} interim answers, and no final one")
            return self._feed_head(rest) if rest else _NOTHING
        length = head.length
        if length == 0:
            return head, b"", self._end(head, rest)
        if length is not None and len(rest) == length:  # the hot path: a small answer in one piece
            return head, rest, self._end(head, b"")
        return self._begin_body(head, rest)

    def _begin_body(self, head: Head, rest: bytes) -> Part:
        self._current = head
        if head.length is not None:
            self._remaining = head.length
            self._state = _LENGTH
        elif head.chunked:
            size = rest.find(b"\r\n", 0, 10) if rest.endswith(_ONE_CHUNK_END) else -1
            if 0 < size < 8 and rest[0] != 48 and rest[:size].lower() == b"%x" % (len(rest) - size - _ONE_CHUNK_ROOM):
                # All of a small answer in one chunk, as most servers send it.
                return head, rest[size + 2 : -len(_ONE_CHUNK_END)], self._end(head, b"")
            self._chunks = ChunkedDecoder(self._limits.max_head_size)
            self._state = _CHUNKED
        else:
            self._state = _UNTIL_CLOSE
        return (head, *self.feed(rest)[1:])

    def _feed_length(self, data: bytes) -> Part:
        remaining = self._remaining
        if len(data) < remaining:
            self._remaining = remaining - len(data)
            return None, data, None
        rest = data[remaining:]
        assert self._current is not None
        return None, data[:remaining] if rest else data, self._end(self._current, rest)

    def _feed_chunked(self, data: bytes) -> Part:
        chunks = self._chunks
        assert chunks is not None and self._current is not None
        decoded, rest = chunks.receive(data)
        if chunks.fault is not None:
            raise self._bad(f"the answer is malformed: {chunks.fault}")
        if not chunks.done:
            return None, decoded, None
        self._chunks = None
        return None, decoded, self._end(self._current, rest)

    def _end(self, head: Head, rest: bytes) -> bool:
        """Return whether the connection may be used again."""
        self._current = None
        # What follows the answer belongs to no request: nobody knows what else the server takes for an answer.
        if head.keep_alive and not rest:
            self._state = _IDLE
            return True
        self._state = _CLOSED
        return False

    def _check_incomplete(self, buffer: bytes) -> None:
        """Refuse at once what can not become a head any more, rather than wait for its end."""
        if buffer[: len(_PROTOCOL)] != _PROTOCOL[: len(buffer)]:
            raise self._bad("the answer is not HTTP/1")
        if len(buffer) >= self._limits.max_head_size:
            raise self._too_large()
        line_feed = buffer.find(b"\n", self._scanned)
        while line_feed >= 0:
            if buffer[line_feed - 1] != 13:
                raise self._bad("a line in the head of the answer ends with a bare LF")
            line_feed = buffer.find(b"\n", line_feed + 1)
        self._buffer = buffer
        self._scanned = max(0, len(buffer) - 3)

    def _too_large(self) -> BadAnswer:
        return self._bad(f"the head of the answer is larger than {self._limits.max_head_size:,} bytes")

    def _read_head(self, section: bytes) -> Head:
        """Read a head: the lines without the empty one."""
        start, _, fields = section.partition(b"\r\n")
        status, reason, version = _starts.get(start) or self._read_start(start)
        lines = _FieldLines()
        try:
            # The status line is read here: what llhttp makes of it must not matter.
            HttpResponseParser(lines).feed_data(_SYNTHETIC_LINE + fields + b"\r\n")
        except HttpParserError:
            lines.headers = self._read_lines(fields)
        head = Head(status, reason, version, lines.headers)
        notable = [field for field in lines.headers if field[0] in _NOTABLE]
        self._read_framing(head, notable)
        secret = any(name in _SECRET_ANSWERS for name, _ in notable)
        if len(section) <= _CACHED_HEAD and status >= 200 and not secret and self._method != "HEAD":
            remember(_heads, section, head)
        return head

    def _read_start(self, start: bytes) -> tuple[int, str, str]:
        """Read a status line: status, reason and version."""
        match = _STATUS_LINE.fullmatch(start)
        if match is None:
            raise self._bad(f"a malformed status line: {start[:80]!r}")
        status = int(match[2])
        if status < 100 or status == 101:
            # RFC 9110 section 15.2.2: nothing here ever asks for another protocol.
            raise self._bad(f"an answer with the status {match[2].decode()}, which nothing asked for")
        line = (status, (match[3] or b"").decode("latin-1"), "1.0" if match[1] == b"0" else "1.1")
        return remember(_starts, start, line) if len(start) <= CACHED_LENGTH else line

    def _read_lines(self, fields: bytes) -> HeaderList:
        """Read field lines that httptools does not take: to tolerate them, or to say which is wrong."""
        headers: HeaderList = []
        for line in _FOLD.sub(b" ", fields).split(b"\r\n")[:-1]:  # RFC 9112 section 5.2
            match = FIELD_LINE.fullmatch(line + b"\r\n")
            if match is None:
                raise self._bad(f"a malformed field in the head of the answer: {line.partition(b':')[0][:80]!r}")
            headers.append((lower_name(match[1]), match[2].strip(b" \t")))
        return headers

    def _read_framing(self, head: Head, notable: HeaderList) -> None:
        """Find out how the body ends, and whether the connection does (RFC 9112 sections 6.3 and 9.3)."""
        method = self._method
        head.keep_alive = head.version == "1.1"
        lengths: list[bytes] = []
        codings: list[bytes] = []
        options: list[bytes] = []
        for name, value in notable:
            if name == b"content-length":
                lengths += [value] if value.isdigit() else [part.strip(b" \t") for part in value.split(b",")]
            elif name == b"transfer-encoding":
                codings.append(value)
            elif name == b"connection":
                options += tokens(value)
        if options:
            head.keep_alive = b"close" not in options and (head.keep_alive or b"keep-alive" in options)
        if not has_body(method, head.status):
            head.length = 0
        elif codings:
            # RFC 9112 section 6.1: with a length too it is an attempt at smuggling, in HTTP/1.0 the framing is faulty.
            if lengths or head.version == "1.0":
                raise self._bad("Transfer-Encoding together with Content-Length, or in HTTP/1.0")
            if tokens(b",".join(codings)) != [b"chunked"]:
                raise self._bad(f"the transfer coding {codings[0][:80]!r} was not asked for; only chunked is known")
            head.chunked = True
        elif lengths:
            if len(set(lengths)) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
                raise self._bad(f"a malformed Content-Length, or two that differ: {b', '.join(lengths)[:80]!r}")
            head.length = int(lengths[0])
        else:
            head.keep_alive = False
