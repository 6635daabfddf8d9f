"""What the HTTP/1 engine remembers: heads that were judged before are judged alike again.

What it accepts and refuses is the matter of ``test_http1_corpus`` and ``test_http1_property``.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web import http1
from skitai.web.events import Refused, Request
from skitai.web.http1 import ServerConnection


def ask(head: bytes) -> Request | Refused:
    """Return the one event of a head on a new connection."""
    [event] = ServerConnection(65536, 16384).receive(head)
    assert isinstance(event, Request | Refused)
    return event


def shown(event: Request | Refused) -> object:
    """Return all that an event says."""
    return [(name, getattr(event, name)) for name in type(event).__slots__]


class RememberedTests(SynchronousTestCase):
    """The second time is like the first."""

    def setUp(self) -> None:
        for cache in (http1._lines, http1._plain_sections):
            before = dict(cache)  # type: ignore[call-overload]
            cache.clear()
            self.addCleanup(cache.update, before)

    def test_the_same_head_twice(self) -> None:
        for head in (
            b"GET /a?b=c HTTP/1.1\r\nHost: x:1\r\nUser-Agent: y\r\n\r\n",
            b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET http://other/a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nX: y\r\n\r\n",
        ):
            self.assertEqual(shown(ask(head)), shown(ask(head)), head)

    def test_a_section_known_from_http11_means_what_it_means_in_http10(self) -> None:
        fields = b"Host: x\r\nX: y\r\n\r\n"
        ask(b"GET / HTTP/1.1\r\n" + fields)
        event = ask(b"GET / HTTP/1.0\r\n" + fields)
        assert isinstance(event, Request)
        self.assertEqual((event.version, event.keep_alive, event.host), ("1.0", False, "x"))

    def test_a_section_known_is_judged_with_another_line(self) -> None:
        fields = b"Host: x\r\n\r\n"
        ask(b"GET / HTTP/1.1\r\n" + fields)
        event = ask(b"GET http://other/ HTTP/1.1\r\n" + fields)
        assert isinstance(event, Request)
        self.assertEqual(event.host, "other")
        refused = ask(b"GET * HTTP/1.1\r\n" + fields)
        assert isinstance(refused, Refused)
        self.assertEqual(refused.status, 400)

    def test_what_frames_a_message_or_is_secret_is_not_remembered(self) -> None:
        for field in (
            b"Content-Length: 0",
            b"Connection: close",
            b"Cookie: a=b",
            b"Authorization: Basic x",
            b"X: " + b"y" * 300,
        ):
            ask(b"GET / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")
        self.assertEqual(http1._plain_sections, {})
        ask(b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n")
        self.assertEqual(len(http1._plain_sections), 1)

    def test_memory_is_bounded(self) -> None:
        for number in range(3000):
            ask(b"GET /%d HTTP/1.1\r\nHost: x%d\r\n\r\n" % (number, number))
        self.assertLessEqual(len(http1._plain_sections), 1024)
        self.assertLessEqual(len(http1._lines), 1024)
