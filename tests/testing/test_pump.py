"""Tests of ``skitai.testing.pump`` and ``skitai.testing.transport``."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skitai.testing import BytePump, EndlessTalk, FakeClient
from skitai.testing import pump as pump_module
from skitai.testing.transport import WIRE_SIZE


class Recorder(Protocol):
    """Remembers what happens to it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        """Remember ``data``."""
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember ``reason``."""
        self.lost = reason


class Echo(Recorder):
    """Sends everything back."""

    def dataReceived(self, data: bytes) -> None:
        """Send ``data`` back."""
        super().dataReceived(data)
        self.transport.write(data)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """Goes on when the other end has ended its half."""

    ended = False

    def readConnectionLost(self) -> None:
        """Remember it, and answer."""
        self.ended = True
        self.transport.write(b"still here")

    def writeConnectionLost(self) -> None:
        """Never called by Twisted's transports."""


class Repeater(FakeClient):
    """A client that answers everything."""

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        super().dataReceived(data)
        self.transport.write(data)


@implementer(IPushProducer)
class Flood:
    """Writes pieces of 1 KiB until it is paused."""

    def __init__(self, transport: ITransport) -> None:
        self.transport = transport
        self.paused = True
        self.sent = 0

    def resumeProducing(self) -> None:
        """Write until paused, 1 MiB at most."""
        self.paused = False
        while not self.paused and self.sent < 1 << 20:
            self.transport.write(b"x" * 1024)
            self.sent += 1024

    def pauseProducing(self) -> None:
        """Write no more."""
        self.paused = True

    def stopProducing(self) -> None:
        """Write no more."""
        self.paused = True


@implementer(IPullProducer)
class Drops:
    """Writes one byte whenever it is asked, ten times."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.left = 10

    def resumeProducing(self) -> None:
        """Write one byte."""
        self.left -= 1
        self.protocol.transport.write(b"x")
        if not self.left:
            self.protocol.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """Nothing to clean up."""


class TransferTests(SynchronousTestCase):
    """Bytes go to and fro."""

    def test_whole(self) -> None:
        """What is sent at once arrives at once."""
        server = Echo()
        pump = BytePump(server)
        pump.send(b"hello")
        self.assertEqual(server.pieces, [b"hello"])
        self.assertEqual(pump.client.take(), b"hello")
        self.assertEqual(pump.client.take(), b"")

    def test_single_bytes(self) -> None:
        """With a piece size of one everything arrives byte by byte."""
        server = Echo()
        pump = BytePump(server, piece_size=1)
        pump.send(b"hello")
        self.assertEqual(server.pieces, [b"h", b"e", b"l", b"l", b"o"])
        self.assertEqual(pump.client.received, b"hello")

    def test_nothing_before_flush(self) -> None:
        """What a protocol writes stays where it is until the test lets it go."""
        pump = BytePump(Recorder())
        pump.server_transport.write(b"hello")
        self.assertEqual(pump.client.received, b"")
        pump.flush()
        self.assertEqual(pump.client.received, b"hello")

    def test_greeting(self) -> None:
        """What a protocol writes when the connection is made is there at once."""

        class Greeter(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"hi")

        self.assertEqual(BytePump(Greeter()).client.received, b"hi")

    def test_advance(self) -> None:
        """Time passes for the protocols, and what they say then arrives."""
        server = Recorder()
        pump = BytePump(server)
        pump.reactor.callLater(5, pump.server_transport.write, b"late")
        pump.advance(4)
        self.assertEqual(pump.client.received, b"")
        pump.advance(1)
        self.assertEqual(pump.client.received, b"late")

    def test_addresses(self) -> None:
        """Each end sees the other's address as its peer."""
        pump = BytePump(Recorder())
        self.assertEqual(pump.server_transport.getPeer(), pump.client_transport.getHost())
        self.assertEqual(pump.client_transport.getPeer(), pump.server_transport.getHost())

    def test_endless(self) -> None:
        """Two ends that answer each other for ever are found out."""
        self.patch(pump_module, "MAX_TURNS", 50)
        pump = BytePump(Echo(), Repeater())
        self.assertRaises(EndlessTalk, pump.send, b"x")

    def test_long_talk(self) -> None:
        """A transfer of many wires full is no endless talk."""
        server = Recorder()
        pump = BytePump(server)
        pump.send(b"x" * (20 * WIRE_SIZE + 1))
        self.assertEqual(len(b"".join(server.pieces)), 20 * WIRE_SIZE + 1)


class BackPressureTests(SynchronousTestCase):
    """An end that does not read stops the other."""

    def test_push_producer(self) -> None:
        """A producer is paused when the client does not read, and resumed when it does."""
        pump = BytePump(Recorder())
        flood = Flood(pump.server_transport)
        pump.stop_reading()
        pump.server_transport.registerProducer(flood, True)
        flood.resumeProducing()
        pump.flush()
        self.assertTrue(flood.paused)
        self.assertLess(flood.sent, 4 * WIRE_SIZE)
        self.assertEqual(pump.client.received, b"")
        pump.resume_reading()
        self.assertEqual(len(pump.client.received), 1 << 20)

    def test_pull_producer(self) -> None:
        """A pull producer is asked again whenever its bytes have gone."""
        server = Recorder()
        pump = BytePump(server)
        server.transport.registerProducer(Drops(server), False)
        pump.flush()
        self.assertEqual(pump.client.received, b"x" * 10)

    def test_server_does_not_read(self) -> None:
        """A paused server gets nothing, and everything later."""
        server = Recorder()
        pump = BytePump(server)
        pump.server_transport.pauseProducing()
        pump.send(b"hello")
        self.assertEqual(server.pieces, [])
        pump.server_transport.resumeProducing()
        pump.flush()
        self.assertEqual(server.pieces, [b"hello"])

    def test_paused_between_single_bytes(self) -> None:
        """A server that pauses in the middle gets no further byte."""

        class Pausing(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                if data == b"l":
                    self.transport.pauseProducing()

        server = Pausing()
        pump = BytePump(server, piece_size=1)
        pump.send(b"hello")
        self.assertEqual(server.pieces, [b"h", b"e", b"l"])


class ClosingTests(SynchronousTestCase):
    """Connections end as they do in the kernel."""

    def check_lost(self, lost: Failure | None, error: type[BaseException]) -> None:
        """Check why a connection was lost."""
        assert lost is not None
        self.assertTrue(lost.check(error), lost)

    def test_server_closes(self) -> None:
        """What was written before arrives; both ends learn of the end."""
        server = Recorder()
        pump = BytePump(server)
        pump.server_transport.write(b"x" * 3 * WIRE_SIZE)
        pump.server_transport.loseConnection()
        pump.flush()
        self.assertEqual(len(pump.client.received), 3 * WIRE_SIZE)
        self.check_lost(pump.client.lost, ConnectionDone)
        self.check_lost(server.lost, ConnectionDone)

    def test_client_closes(self) -> None:
        """What the client sent before arrives; both ends learn of the end."""
        server = Recorder()
        pump = BytePump(server)
        pump.client_transport.write(b"bye")
        pump.close()
        self.assertEqual(server.pieces, [b"bye"])
        self.check_lost(server.lost, ConnectionDone)
        self.check_lost(pump.client.lost, ConnectionDone)

    def test_client_resets(self) -> None:
        """The server sees a connection that was lost, and what was on the wire is gone."""
        server = Recorder()
        pump = BytePump(server)
        pump.client_transport.write(b"lost")
        pump.reset()
        self.assertEqual(server.pieces, [])
        self.check_lost(server.lost, ConnectionLost)
        self.check_lost(pump.client.lost, ConnectionAborted)

    def test_server_aborts(self) -> None:
        """The client sees a reset; the server is told later, not in its own call."""
        server = Recorder()
        pump = BytePump(server)
        pump.server_transport.abortConnection()
        self.assertIsNone(server.lost)
        pump.flush()
        self.check_lost(server.lost, ConnectionAborted)
        self.check_lost(pump.client.lost, ConnectionLost)

    def test_half_close(self) -> None:
        """An end that can go on after the other has ended its half does."""
        server = HalfCloseable()
        pump = BytePump(server)
        pump.client_transport.loseWriteConnection()
        pump.flush()
        self.assertTrue(server.ended)
        self.assertIsNone(server.lost)
        self.assertEqual(pump.client.received, b"still here")

    def test_half_close_unknown(self) -> None:
        """An end that knows nothing of halves is closed."""
        server = Recorder()
        pump = BytePump(server)
        pump.client_transport.loseWriteConnection()
        pump.flush()
        self.check_lost(server.lost, ConnectionDone)

    def test_told_once(self) -> None:
        """Each end is told once, whatever comes together."""
        told: list[Failure] = []

        class Counting(Protocol):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                told.append(reason)

        pump = BytePump(Counting())
        pump.server_transport.loseConnection()
        pump.client_transport.loseConnection()
        pump.flush()
        pump.reset()
        pump.server_transport.abortConnection()
        pump.flush()
        self.assertEqual(len(told), 1)

    def test_write_after_end(self) -> None:
        """Writing to a closed connection does nothing."""
        pump = BytePump(Recorder())
        pump.close()
        pump.server_transport.write(b"x")
        pump.flush()
        self.assertEqual(pump.client.received, b"")
