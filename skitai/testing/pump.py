"""Joins a protocol to a fake client in memory and moves the bytes between them, whole or in small pieces.

It must not know HTTP. Thread: the one that runs the test.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IProtocol, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from skitai.testing.clock import Reactor
from skitai.testing.transport import CLIENT_ADDRESS, SERVER_ADDRESS, MemoryTransport

MAX_TURNS: Final = 20_000
"""How often the two ends may take turns before ``BytePump.flush`` gives up."""


class EndlessTalk(AssertionError):
    """The two ends of a connection never fall silent."""


class FakeClient(Protocol):
    """A client that does what the test tells it to, and remembers what it gets.

    Attributes:
        received: All bytes received so far and not taken.
        lost: Why the connection ended; None while it is open.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        """Remember ``data``."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember that, and why, the connection is gone."""
        self.lost = reason

    def take(self) -> bytes:
        """Return what was received since the last call."""
        received, self.received = self.received, b""
        return received


class BytePump:
    """A connection between a server's protocol and a client, through memory.

    Bytes move only in ``flush`` (and in ``send`` and ``advance``, which call it), so that a test decides when.
    Back-pressure is as on a real connection: what an end that does not read leaves on the wire stops the other one.

    Args:
        server: The protocol under test.
        client: Its counterpart, a ``FakeClient`` when None.
        reactor: Its clock, which ``flush`` lets run what is due now; a new one when None.
        piece_size: Most bytes handed to a protocol at once: 1 for one byte at a time, 0 for as many as there are.
        secure: Whether the server takes the connection for TLS; the bytes are what TLS would carry.

    Attributes:
        client: The counterpart.
        reactor: The reactor.
        server_transport: The transport that the server's protocol was given.
        client_transport: The transport of the client.

    Example::

        pump = BytePump(Echo(), piece_size=1)
        pump.send(b"hello")
        assert pump.client.take() == b"hello"
        pump.close()
    """

    client: FakeClient

    def __init__(
        self,
        server: IProtocol,
        client: FakeClient | None = None,
        reactor: Reactor | None = None,
        piece_size: int = 0,
        secure: bool = False,
    ) -> None:
        self.reactor = reactor = Reactor() if reactor is None else reactor
        self.client = FakeClient() if client is None else client
        self.piece_size = piece_size
        self.server_transport = MemoryTransport(server, reactor, SERVER_ADDRESS, CLIENT_ADDRESS)
        self.client_transport = MemoryTransport(self.client, reactor, CLIENT_ADDRESS, SERVER_ADDRESS)
        if secure:
            alsoProvides(self.server_transport, ISSLTransport)
        self.server_transport.open()
        self.client_transport.open()
        self.flush()

    def send(self, data: bytes) -> None:
        """Send ``data`` from the client and let both ends talk until they are silent."""
        self.client_transport.write(data)
        self.flush()

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and both ends talk about it."""
        self.reactor.advance(seconds)
        self.flush()

    def stop_reading(self) -> None:
        """Let the client read nothing any more: the wire fills up."""
        self.client_transport.pauseProducing()  # type: ignore[no-untyped-call]

    def resume_reading(self) -> None:
        """Let the client read again, and take what has piled up."""
        self.client_transport.resumeProducing()  # type: ignore[no-untyped-call]
        self.flush()

    def close(self) -> None:
        """Close the connection from the client's side, once everything it sent is on the wire."""
        self.client_transport.loseConnection()  # type: ignore[no-untyped-call]
        self.flush()

    def reset(self) -> None:
        """Cut the connection from the client's side, as a client that crashes does."""
        self.client_transport.abortConnection()
        self.flush()

    def flush(self) -> None:
        """Move bytes to and fro until both ends are silent.

        Raises:
            EndlessTalk: They never are.
        """
        for _ in range(MAX_TURNS):
            self.reactor.advance(0)
            if not self.turn():
                return
        last = self.client.received[-80:]
        raise EndlessTalk(f"client and server still talk after {MAX_TURNS:,} turns; last heard: {last!r}")

    def turn(self) -> bool:
        """Move what there is to move; return whether anything happened."""
        moved = self._move(self.client_transport, self.server_transport)
        return self._move(self.server_transport, self.client_transport) or moved

    def _move(self, source: MemoryTransport, sink: MemoryTransport) -> bool:
        """Move what ``source`` has to say now; return whether anything happened."""
        moved = source.write_ready()
        data = bytes(source.wire)
        size = self.piece_size or len(data)
        at = 0
        while at < len(data) and sink.wants_to_read():
            piece = data[at : at + size]
            at += len(piece)
            del source.wire[: len(piece)]
            sink.deliver(piece)
            if self.piece_size:
                self.reactor.advance(0)
        if sink.disconnected:
            source.wire.clear()  # nobody is there to take it
        if source.aborted:
            return sink.deliver_end(reset=True) or at > 0 or moved
        if source.ended and not source.wire and sink.wants_to_read():
            return sink.deliver_end(reset=False) or at > 0 or moved
        return at > 0 or moved
