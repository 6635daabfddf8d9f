"""A server's connection with ``send_now``, over a socket that takes and gives as many bytes as the test says."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure

from skitai.testing.clock import Reactor
from skitai.testing.workers import SteppingWorkers
from skitai.web.channel import HTTPChannel
from skitai.web.transport import DirectServer
from skitai.web.workers import Job
from tests.web.serving import Server


class Wire:
    """What a connection needs of a socket.

    Attributes:
        room: How many more bytes the kernel takes.
        taken: What it has taken.
        heard_all: Whether the client has closed its side.
        ended: Whether the sending side is closed.
        closed: Whether the socket is.
        reset: Whether closing it was a reset.
    """

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.taken = b""
        self.heard_all = False
        self.ended = False
        self.closed = False
        self.reset = False

    def send(self, data: Any) -> int:
        if self.closed:
            raise AssertionError("sent to a closed socket")
        if self.ended:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")
        if not self.room and data:
            raise BlockingIOError(errno.EAGAIN, "it would block")
        piece = bytes(data[: self.room])
        self.room -= len(piece)
        self.taken += piece
        return len(piece)

    def recv(self, size: int, flags: int) -> bytes:
        assert flags == socket.MSG_PEEK
        if not self.heard_all:
            raise BlockingIOError(errno.EAGAIN, "it would block")
        return b""

    def fileno(self) -> int:
        return -1

    def setblocking(self, blocking: bool) -> None:
        """It never blocks."""

    def shutdown(self, how: int) -> None:
        self.ended = True

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.reset = True  # only closing sets an option: SO_LINGER with a time of 0

    def close(self) -> None:
        self.closed = self.ended = True


def make_direct(protocol: Any, reactor: Reactor, wire: Wire) -> DirectServer:
    """Return the connection of ``protocol`` over ``wire``."""
    return DirectServer(wire, protocol, ("192.0.2.7", 1778), None, 1, reactor)


class DirectPump:
    """A connection to a server, like ``BytePump``, but one that application threads may send to.

    Attributes:
        wire: The socket.
        transport: The connection.
        channel: The protocol.
    """

    def __init__(self, server: Server, room: int = 1 << 30) -> None:
        self.reactor = server.reactor
        self.wire = Wire(room)
        self.channel = HTTPChannel(server.site)
        self.transport: Any = make_direct(self.channel, self.reactor, self.wire)
        self.transport.getHost = self.transport.getPeer = lambda: None
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send ``data`` from the client."""
        self.channel.dataReceived(data)
        self.flush()

    def end(self) -> None:
        """Close the client's side."""
        self.wire.heard_all = True
        self.transport.stopReading()
        IHalfCloseableProtocol(self.channel).readConnectionLost()
        self.flush()

    def leave(self) -> None:
        """Reset the connection from the client's side."""
        self.transport.connectionLost(Failure(ConnectionLost()))

    def flush(self) -> None:
        """Do what the reactor would."""
        self.reactor.advance(0)
        while self.transport in self.reactor.writers and (self.wire.room or not self.transport.queued):
            reason = self.transport.doWrite()
            if reason is not None:
                self.transport.connectionLost(Failure(ConnectionDone()))
            self.reactor.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.reactor.advance(seconds)
        self.flush()

    def read(self, count: int = 1 << 30) -> bytes:
        """Make room for ``count`` more bytes; return all that has come so far and was not taken yet."""
        self.wire.room += count
        self.flush()
        taken, self.wire.taken = self.wire.taken, b""
        return taken

    @property
    def reading(self) -> bool:
        """Whether the server reads."""
        return self.transport in self.reactor.readers


class HastyWorkers(SteppingWorkers):
    """Application threads so fast that a job has run before ``submit`` returns."""

    def submit(self, job: Job) -> bool:
        """Run the job as another thread would."""
        return super().submit(job) and self.step()
