"""Properties of the HTTP/1 engine that hold for every stream of bytes, however it is split.

Streams are valid ones, mutated ones, sequences of telling fragments and arbitrary bytes. The examples are derived from
the test itself, so that each run checks the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.web.events import UNKNOWN_LENGTH, Data, EndOfBody, Event, Refused, Request
from skitai.web.http1 import ServerConnection
from tests.web.corpus import REFUSED
from tests.web.corpus_accepted import ACCEPTED
from tests.web.driver import complete, drive, flat, requests, single_bytes

HEAD_LIMIT = 300
TARGET_LIMIT = 40

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcXYZ"
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=6).map(str.encode)
targets = st.text("/?a%20.:@", max_size=12).map(lambda rest: b"/" + rest.encode())
values = st.text(" \t,;=ab1\xe9", max_size=10).map(lambda text: text.encode("latin-1"))
fields = st.lists(st.tuples(tokens.map(lambda name: b"X-" + name), values), max_size=3)
bodies = st.binary(max_size=30)
extensions = st.sampled_from([b"", b"", b";a", b";a=b", b' ; a="b;c"'])


def joined(items: list[tuple[bytes, bytes]]) -> bytes:
    """Return field lines."""
    return b"".join(name + b": " + value + b"\r\n" for name, value in items)


@st.composite
def valid_request(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a request and its body."""
    start = draw(st.sampled_from([b"GET", b"POST", b"get", b"M-X"])) + b" " + draw(targets) + b" HTTP/1.1\r\n"
    head = start + b"Host: a\r\n" + joined(draw(fields))
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        return head + b"\r\n", b""
    if framing == "length":
        body = draw(bodies)
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, body
    pieces = draw(st.lists(bodies.filter(bool), max_size=3))
    coded = b"".join(b"%x" % len(piece) + draw(extensions) + b"\r\n" + piece + b"\r\n" for piece in pieces)
    coded += b"0\r\n" + joined(draw(fields)) + b"\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + coded, b"".join(pieces)


def stream_of(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return the requests of ``valid_request`` pairs behind one another."""
    return b"".join(request for request, _ in pairs)


valid_pairs = st.lists(valid_request(), min_size=1, max_size=3)
valid_streams = valid_pairs.map(stream_of)

FRAGMENTS = [
    b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"GET /", b"Host: a\r\n", b"Host:",
    b"X: y\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b"a" * 50, b"a" * 400, b"\xff",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"hello", b"0\r\n\r\n", b"5\r\n", b";ext=1",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Expect: x\r\n",
]  # fmt: skip
fragment_streams = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(b"".join)
corpus_streams = st.sampled_from([row.data for row in [*REFUSED, *ACCEPTED] if len(row.data) < 600])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a good or bad stream with some bytes changed, put in, doubled or taken out."""
    data = bytearray(draw(st.one_of(valid_streams, corpus_streams)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 3))
        new = draw(st.one_of(st.binary(max_size=2), st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"0", b","])))
        data[at : at + length] = new if draw(st.booleans()) else bytes(data[at : at + length]) + new
    return bytes(data)


any_stream = st.one_of(
    valid_streams,
    mutated(),
    corpus_streams,
    fragment_streams,
    st.binary(max_size=80),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return ``data`` in pieces, cut at ``places`` (taken modulo its size)."""
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(marks)]


def small(pieces: list[bytes]) -> list[Event]:
    """Drive an engine with the limits of these tests."""
    return drive(pieces, HEAD_LIMIT, TARGET_LIMIT)


def answered_late(data: bytes) -> list[Event]:
    """Feed all of ``data`` before the first request is answered, one byte at a time."""
    engine = ServerConnection(HEAD_LIMIT, TARGET_LIMIT)
    events: list[Event] = []
    for piece in single_bytes(data):
        events += engine.receive(piece)
    new = events
    while complete(new) and requests(events)[-1].keep_alive:
        new = engine.next_request()
        events = events + new
    return events


def examples(count: int) -> Callable[[Any], Any]:
    """Return settings for ``count`` examples, the same ones in each run and with no limit of time."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


class SplitTests(SynchronousTestCase):
    """The split of a stream does not change its meaning."""

    @examples(600)
    @given(any_stream, st.lists(st.integers(0, 2000), max_size=6))
    def test_any_split(self, data: bytes, places: list[int]) -> None:
        """Any split of any stream gives the events of the whole."""
        self.assertEqual(flat(small(cut(data, places))), flat(small([data])))

    @examples(300)
    @given(any_stream)
    def test_single_bytes(self, data: bytes) -> None:
        """Any stream means the same one byte at a time."""
        self.assertEqual(flat(small(single_bytes(data))), flat(small([data])))

    @examples(300)
    @given(any_stream)
    def test_late_answer(self, data: bytes) -> None:
        """When a request is answered does not change how the next one is read."""
        self.assertEqual(flat(answered_late(data)), flat(small([data])))


class SequenceTests(SynchronousTestCase):
    """The events of any stream follow the grammar of the vocabulary."""

    @examples(600)
    @given(any_stream, st.lists(st.integers(0, 2000), max_size=6))
    def test_grammar(self, data: bytes, places: list[int]) -> None:
        """Bodies belong to a request and have the length announced; a refusal is the last event."""
        expected: int | None = None
        for event in (events := small(cut(data, places))):
            if isinstance(event, Refused):
                self.assertIs(event, events[-1])
                self.assertIn(event.status, (400, 414, 417, 431, 501, 505))
            elif isinstance(event, Request):
                self.assertIsNone(expected, "a request inside of a body")
                self.check_head(event)
                expected = event.content_length or None
            elif isinstance(event, Data):
                self.assertTrue(event.data, "an empty piece")
                self.assertIsNotNone(expected, "a body that nobody announced")
                if expected != UNKNOWN_LENGTH:
                    expected -= len(event.data)  # type: ignore[operator]
                    self.assertGreaterEqual(expected, 0)
            else:
                self.assertIsInstance(event, EndOfBody)
                self.assertIn(expected, (UNKNOWN_LENGTH, 0))
                expected = None

    def check_head(self, request: Request) -> None:
        """Check what later layers rely on: nothing in a head can break a line or leave ASCII."""
        for text in (request.method, request.target, request.path, request.query, request.host):
            self.assertTrue(text.isascii() and (text == "" or text.isprintable()) and " " not in text, text)
        self.assertIn(request.version, ("1.0", "1.1"))
        for name, value in request.headers:
            self.assertEqual(name, name.lower().strip())
            self.assertEqual(value, value.strip(b" \t"))
            self.assertFalse(set(value) & {0, 10, 13}, value)

    @examples(300)
    @given(valid_pairs, st.lists(st.integers(0, 2000), max_size=6))
    def test_valid(self, pairs: list[tuple[bytes, bytes]], places: list[int]) -> None:
        """Valid requests are all seen, with their bodies."""
        events = drive(cut(stream_of(pairs), places), 4096, 1024)
        self.assertEqual(len(requests(events)), len(pairs), events)
        seen = b"".join(event.data for event in events if isinstance(event, Data))
        self.assertEqual(seen, b"".join(pair[1] for pair in pairs))
        self.assertTrue(complete(events))
