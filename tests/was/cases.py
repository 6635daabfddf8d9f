"""A client on a network in memory, for tests of requests; each ends with nothing left over."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import RequestError
from skitai.was.client import HTTPClient
from skitai.was.limits import ClientSettings
from skitai.was.outgoing import Outgoing, build
from skitai.was.transfer import Answer, Transfer
from skitai.was.url import read_url
from tests.was.backends import Handler, Network

URL = "http://a.example/path?q=1"


def get(url: str = URL, **options: Any) -> Outgoing:
    return build("get", read_url(url)[0], **options)


class Payload:
    """Content whose pieces and size the test decides; nobody but who has made it may close it."""

    content_type = None

    def __init__(self, pieces: Any, size: int) -> None:
        self.pieces = pieces
        self.size = size
        self.begun = 0
        self.asked = 0

    def chunks(self) -> Any:
        self.begun += 1
        for piece in self.pieces:
            self.asked += 1
            yield piece

    def close(self) -> None:
        raise AssertionError("the client has closed what is not its own")


class Case(SynchronousTestCase):
    settings = ClientSettings()

    def setUp(self) -> None:
        self.network = Network()
        self.client = HTTPClient(self.network, self.settings, self.network)
        self.outcomes: list[Answer | RequestError] = []
        self.addCleanup(self.check_clean)

    def check_clean(self) -> None:
        """Close the client; nothing must be left."""
        self.assertEqual(self.client.counts["requests"], 0)
        self.assertEqual(self.client.counts["waiting"], 0)
        # One attempt that nobody waits for may go on for a while.
        self.assertLessEqual(self.client.counts["connecting"], len(self.client._pools))
        closed = self.client.close()
        self.network.flush()
        self.successResultOf(closed)
        self.assertEqual(self.network.open, 0)
        self.assertEqual(self.network.attempts, [])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def request(self, outgoing: Outgoing | None = None, timeout: float = 10.0, **options: Any) -> Transfer:
        size = options.pop("max_response_size", 1 << 26)
        return self.client.request(outgoing or get(), (timeout, size), self.outcomes.append, **options)

    def serve(self, handler: Handler | bytes, **place: Any) -> None:
        self.network.serve((lambda backend, message: handler) if isinstance(handler, bytes) else handler, **place)

    def drop_idle(self) -> None:
        """Close idle connections, so that the next request makes a new one."""
        for backend in self.network.backends:
            backend.transport.loseConnection()
        self.network.flush()
        self.assertEqual(self.client._pools, {})

    def outcome(self) -> Any:
        """Return what became of the one request, or of the next one, after all bytes are where they belong."""
        self.network.flush()
        self.assertTrue(self.outcomes, "the request has not ended")
        return self.outcomes.pop(0)

    def failure(self, kind: type[RequestError], *words: str) -> RequestError:
        error = self.outcome()
        self.assertIsInstance(error, kind, error)
        for word in words:
            self.assertIn(word, str(error))
        return error  # type: ignore[no-any-return]

    def answered(self, status: int = 200) -> Answer:
        got = self.outcome()
        self.assertIsInstance(got, Answer, got)
        self.assertEqual(got.status, status)
        return got  # type: ignore[no-any-return]
