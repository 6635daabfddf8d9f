"""Exchanges that no connection carries, for the tests of what looks at them or answers them."""

from __future__ import annotations

from typing import BinaryIO

from skitai.web.events import HeaderList, Request, Response
from skitai.web.exchange import Exchange, Peers


class RecordingCarrier:
    """Keeps the whole responses it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[Response, bytes]] = []

    def send(self, exchange: Exchange, response: Response, body: bytes) -> None:
        """Keep a response."""
        self.sent.append((response, body))

    def send_head(self, exchange: Exchange, response: Response, length: int | None) -> None:
        """Nobody tested here streams."""
        raise AssertionError("a stream was begun")

    def send_data(self, exchange: Exchange, data: bytes) -> None:
        """Nobody tested here streams."""
        raise AssertionError("a stream was begun")

    def send_end(self, exchange: Exchange) -> None:
        """Nobody tested here streams."""
        raise AssertionError("a stream was begun")

    def send_file(self, exchange: Exchange, response: Response, file: BinaryIO, offset: int, count: int) -> None:
        """Nobody tested here sends files."""
        raise AssertionError("a file was sent")

    def send_interim(self, exchange: Exchange, response: Response) -> None:
        """Nobody tested here sends 1xx."""
        raise AssertionError("an interim response was sent")

    def writable(self) -> bool:
        """Tell that the client keeps up."""
        return True

    def cut(self, exchange: Exchange) -> None:
        """Nobody tested here gives up."""
        raise AssertionError("the connection was cut")


def make_request(headers: HeaderList | None = None, target: str = "/", method: str = "GET") -> Request:
    """Return the head of a request to example.com."""
    request = Request(method, target, "1.1", headers or [])
    request.host = "example.com"
    request.path, _, request.query = target.partition("?")
    return request


def make_exchange(
    headers: HeaderList | None = None,
    target: str = "/",
    method: str = "GET",
    client: tuple[str, int] = ("192.0.2.7", 1778),
) -> Exchange:
    """Return a request, the fifth of its process on the third connection, begun at second 1."""
    peers = Peers(client, ("127.0.0.1", 5000), False, 3)
    return Exchange(make_request(headers, target, method), peers, 5, RecordingCarrier(), 1.0)


def sent(exchange: Exchange) -> tuple[Response, dict[bytes, bytes], bytes]:
    """Return the one response to an exchange: its head, its fields by name, its body."""
    carrier = exchange.carrier
    assert isinstance(carrier, RecordingCarrier)
    [(response, body)] = carrier.sent
    return response, dict(response.headers), body
