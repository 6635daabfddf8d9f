"""The phases of an exchange: which calls each allows, and what reaches the carrier."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ApplicationError, ClientDisconnected
from skitai.web.events import Response
from skitai.web.exchange import DONE, GONE, STARTED, WAITING, Exchange, Peers
from tests.web.exchanges import make_request

OK = Response(200, [])


class Carrier:
    """Writes down what it is told; moves the phase as carriers do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(exchange: Exchange, *args: Any) -> None:
            self.calls.append(name)
            exchange.phase = STARTED if name in ("send_head", "send_data") else DONE

        return call


class PhaseTests(SynchronousTestCase):
    """Every call in every phase."""

    def exchange(self, phase: int = WAITING) -> Exchange:
        self.carrier: Any = Carrier()
        exchange = Exchange(make_request(), Peers(("", 0), ("", 0), False, 1), 1, self.carrier, 0.0)
        exchange.phase = phase
        return exchange

    def test_whole(self) -> None:
        exchange = self.exchange()
        exchange.respond(OK, b"x")
        self.assertEqual(self.carrier.calls, ["send"])
        self.assertRaises(ApplicationError, exchange.respond, OK)
        self.assertRaises(ApplicationError, exchange.begin, OK)

    def test_stream(self) -> None:
        exchange = self.exchange()
        self.assertRaises(ApplicationError, exchange.write, b"x")
        self.assertRaises(ApplicationError, exchange.finish)
        exchange.begin(OK)
        exchange.write(b"x")
        exchange.write(b"")  # an empty chunk would end the body
        self.assertRaises(ApplicationError, exchange.begin, OK)
        self.assertRaises(ApplicationError, exchange.respond, OK)
        exchange.finish()
        self.assertRaises(ApplicationError, exchange.write, b"x")
        self.assertRaises(ApplicationError, exchange.finish)
        self.assertEqual(self.carrier.calls, ["send_head", "send_data", "send_end"])

    def test_file_is_closed_when_it_can_not_be_sent(self) -> None:
        for phase in (STARTED, DONE):
            file = io.BytesIO(b"x")
            self.assertRaises(ApplicationError, self.exchange(phase).send_file, OK, file, 0, 1)
            self.assertTrue(file.closed)
        file = io.BytesIO(b"x")
        self.exchange(GONE).send_file(OK, file, 0, 1)
        self.assertTrue(file.closed)
        self.assertEqual(self.carrier.calls, [])

    def test_file(self) -> None:
        file = io.BytesIO(b"x")
        self.exchange().send_file(OK, file, 0, 1)
        self.assertEqual((self.carrier.calls, file.closed), (["send_file"], False))

    def test_client_has_left(self) -> None:
        exchange = self.exchange(GONE)
        exchange.respond(OK)
        exchange.begin(OK)
        exchange.finish()
        exchange.abort()
        self.assertRaises(ClientDisconnected, exchange.write, b"x")
        self.assertEqual(self.carrier.calls, [])
        self.assertTrue(exchange.disconnected)
        self.assertTrue(exchange.client_disconnected())

    def test_abort(self) -> None:
        for phase, calls in ((WAITING, ["cut"]), (STARTED, ["cut"]), (DONE, []), (GONE, [])):
            self.exchange(phase).abort()
            self.assertEqual(self.carrier.calls, calls)

    def test_client_is_there(self) -> None:
        for phase in (WAITING, STARTED, DONE):
            self.assertFalse(self.exchange(phase).client_disconnected())
