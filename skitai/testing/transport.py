"""The end of a connection that goes through memory instead of a socket.

Buffers, producers, half-closing and closing are Twisted's own (``FileDescriptor``): only what the kernel does is
replaced here. It must not know what is transported. Thread: the one that runs the test.
"""

from __future__ import annotations

import threading
from typing import Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure

from skitai.testing.clock import Reactor

SERVER_ADDRESS: Final = IPv4Address("TCP", "127.0.0.1", 5000)
CLIENT_ADDRESS: Final = IPv4Address("TCP", "127.0.0.1", 50000)

WIRE_SIZE: Final = 1 << 16
"""How many bytes may be under way from one end to the other, like the kernel's socket buffers."""


def _failure(error: BaseException) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]


class MemoryTransport(FileDescriptor):
    """One end of a connection.

    Args:
        protocol: Who uses it.
        reactor: Knows which ends want to read and to write.
        host: The address of this end.
        peer: The address of the other one.

    Attributes:
        wire: Bytes on their way to the other end.
        ended: Whether the other end sees the end of the stream after ``wire``.
        aborted: Whether the other end sees a reset.
        lock: Held while ``is_quiet`` and ``send_now`` are called.
        heard: Whether anything has come since the protocol took this back.
    """

    def __init__(self, protocol: IProtocol, reactor: Reactor, host: IPv4Address, peer: IPv4Address) -> None:
        super().__init__(reactor)
        self.protocol = protocol
        self.wire = bytearray()
        self.ended = False
        self.aborted = False
        self.lock = threading.Lock()
        self.heard = False
        self._host = host
        self._peer = peer
        self._read_ended = False

    def open(self) -> None:
        """Tell the protocol that the connection is made."""
        self.connected = 1
        self.startReading()  # type: ignore[no-untyped-call]
        self.protocol.makeConnection(self)

    # -- what the kernel does

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """Put on the wire what it has room for (called by ``doWrite``)."""
        taken = bytes(data[: max(0, WIRE_SIZE - len(self.wire))])
        self.wire += taken
        return len(taken)

    def is_quiet(self, sure: bool) -> bool:
        """Tell whether the other end can still be talked to, for threads: what it has sent, the protocol has."""
        return not self.disconnected and not self.heard

    def send_now(self, data: bytes) -> int:
        """Put on the wire what it has room for, past what waits, as threads may (``skitai.was.direct_client``)."""
        sent = 0 if self.disconnected else self.writeSomeData(data)
        return sent if isinstance(sent, int) else 0

    def wants_to_read(self) -> bool:
        """Tell whether bytes may be delivered to this end."""
        return bool(self.connected) and self in self.reactor.readers  # type: ignore[attr-defined]

    def write_ready(self) -> bool:
        """Put on the wire what is waiting for it; return whether anything happened."""
        if self.disconnected or self not in self.reactor.writers or len(self.wire) >= WIRE_SIZE:  # type: ignore[attr-defined]
            return False
        reason = self.doWrite()  # type: ignore[no-untyped-call]
        if isinstance(reason, BaseException):
            self.connectionLost(_failure(reason))
        return True

    def deliver(self, data: bytes) -> None:
        """Hand bytes from the other end to the protocol."""
        self.heard = True
        self.protocol.dataReceived(data)

    def deliver_end(self, reset: bool) -> bool:
        """Tell the protocol that the other end has closed, or reset, the connection; return whether that was news."""
        if self.disconnected or self._read_ended:
            return False
        self._read_ended = True
        half_closeable = IHalfCloseableProtocol(self.protocol, None)
        if reset:
            self.connectionLost(_failure(ConnectionLost()))
        elif half_closeable is not None and not self._writeDisconnected:
            self.stopReading()  # type: ignore[no-untyped-call]
            half_closeable.readConnectionLost()
        else:
            self.connectionLost(_failure(ConnectionDone()))
        return True

    # -- what the protocol asks for

    def abortConnection(self) -> None:
        """Reset the connection; what is not on the wire is lost."""
        if self.disconnected or self.aborted:
            return
        self.aborted = True
        self.wire.clear()
        self.stopReading()  # type: ignore[no-untyped-call]
        self.stopWriting()  # type: ignore[no-untyped-call]
        self.reactor.callLater(0, self.connectionLost, _failure(ConnectionAborted()))  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure) -> None:
        """End this end of the connection."""
        if self.disconnected:
            return
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.ended = True
        self.protocol.connectionLost(reason)

    def getHost(self) -> IPv4Address:
        """Return the address of this end."""
        return self._host

    def getPeer(self) -> IPv4Address:
        """Return the address of the other end."""
        return self._peer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Part of ITCPTransport: the wire has no delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Part of ITCPTransport: the wire is never idle for long."""

    def _closeWriteConnection(self) -> None:
        # Called by ``doWrite`` after loseWriteConnection, once everything is on the wire.
        self.ended = True
