"""TCP connections that an application thread may write to.

Twisted sends what is written in the next turn of the reactor: two more system calls and, from another thread, a
wake-up. Here bytes go to the socket at once when nothing is queued before them, from whichever thread has them.
``lock`` makes that safe: it is held while a thread sends, and before the reactor closes the socket, so that a
descriptor is never sent to after it was closed (and perhaps given to another client by the kernel).

Layer 2. ``send_now`` is for any thread, everything else for the reactor.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPullProducer, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.web.exchange import Peers

FILE_TURN_SIZE: Final = 1 << 20
"""Bytes of a file that one connection may send before others have their turn."""

_READ_SIZE: Final = 1 << 16


class DirectServer(tcp.Server):
    """A server's connection with ``send_now``.

    Attributes:
        lock: Guards the socket against being closed while another thread sends. Never held for longer than one
        ``send``.
        queued: Bytes written but not yet taken by the kernel.
        open: False from the moment the socket is about to be closed.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()
        self.queued = 0
        self.open = True

    def send_now(self, data: bytes) -> int:
        """Send what the kernel takes at once; the caller holds ``lock``.

        Returns:
            The number of bytes sent; 0 where something is queued before them or the connection is gone.

        Thread: any.
        """
        if self.queued or not self.open:
            return 0
        try:
            return self.socket.send(data)
        except OSError:  # it would block; or the peer has gone, which the reactor will find out
            return 0

    def heard_all(self) -> bool:
        """Tell whether the next thing to be read is the end: the client has closed its side.

        The caller holds ``lock``. Thread: any.
        """
        try:
            return self.open and not self.socket.recv(1, socket.MSG_PEEK)
        except OSError:  # it would block; or the peer has gone, which the reactor will find out
            return False

    def write(self, data: bytes) -> None:
        """Queue ``data`` for the reactor to send."""
        if self.connected and not self._writeDisconnected:
            self.queued += len(data)
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """Send part of the queue (called by the reactor)."""
        sent = super().writeSomeData(data)
        if isinstance(sent, int) and sent > 0:
            self.queued -= sent
        return sent

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket once no thread is sending."""
        with self.lock:
            self.open = False
        super().connectionLost(reason)


class Port(tcp.Port):
    """A listening port whose connections are ``DirectServer``."""

    transport = DirectServer  # type: ignore[assignment]

    def createInternetSocket(self) -> socket.socket:
        """Make the listening socket; what it accepts inherits TCP_NODELAY."""
        listening: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening


def unsent(transport: Any) -> int:
    """Return how many bytes wait until the client reads; of TLS, those of the connection below. Thread: reactor."""
    while transport is not None and not isinstance(transport, FileDescriptor):
        transport = getattr(transport, "transport", None)
    if transport is None:
        return 0
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def peers_of(transport: Any, number: int) -> Peers:
    """Return the two ends of a connection.

    Args:
        transport: The connection.
        number: Its running number in this process.
    """
    client, server = transport.getPeer(), transport.getHost()
    return Peers(
        (getattr(client, "host", ""), getattr(client, "port", 0)),
        (getattr(server, "host", ""), getattr(server, "port", 0)),
        ISSLTransport.providedBy(transport),
        number,
    )


def _has_descriptor(file: BinaryIO) -> bool:
    """Tell whether the kernel can read ``file`` by itself; some that are made up of pieces have no descriptor."""
    try:
        file.fileno()
    except (OSError, ValueError):
        return False
    return True


@implementer(IPullProducer)
class FileSender:
    """Sends a range of a file: with sendfile(2) where the transport is plain TCP, else by reading pieces.

    Args:
        transport: Where to; nothing else may be written meanwhile.
        file: An open file, closed at the end whatever happens.
        extent: First byte and number of bytes.
        moved: Called with the number of bytes after each piece.
        done: Called once with whether all was sent: False when the file is shorter or can not be read.

    Thread: reactor.
    """

    def __init__(
        self,
        transport: Any,
        file: BinaryIO,
        extent: tuple[int, int],
        moved: Callable[[int], None],
        done: Callable[[bool], None],
    ) -> None:
        self._transport = transport
        self._file = file
        self._offset, self._left = extent
        self._moved = moved
        self._done = done
        self._registered = False
        self._over = False
        self._direct = isinstance(transport, DirectServer) and _has_descriptor(file)

    def start(self) -> None:
        """Send what goes at once and the rest whenever the client has read some."""
        if self._direct and not self._transport.queued and self._sendfile():
            return
        self._registered = True
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send the next piece (called by the transport when its queue is empty)."""
        if self._direct:
            # registerProducer calls this at once, even with the head still queued; the transport calls again when it
            # has gone.
            if not self._transport.queued and not self._sendfile():
                self._transport.startWriting()
            return
        try:
            self._file.seek(self._offset)
            piece = self._file.read(min(self._left, _READ_SIZE))
        except (OSError, ValueError):
            piece = b""
        if self._count(len(piece)):
            self._transport.write(piece)
        if not piece or not self._left:
            self._finish(not self._left)

    def stopProducing(self) -> None:
        """Give up: the connection is gone."""
        self._finish(False)

    def _sendfile(self) -> bool:
        """Send up to FILE_TURN_SIZE bytes; return whether it is over."""
        turn = FILE_TURN_SIZE
        while turn > 0 and self._left:
            try:
                sent = os.sendfile(self._transport.fileno(), self._file.fileno(), self._offset, min(self._left, turn))
            except BlockingIOError:
                return False
            except (OSError, ValueError):
                sent = 0
            if not self._count(sent):
                self._finish(False)
                return True
            turn -= sent
        if self._left:
            return False
        self._finish(True)
        return True

    def _count(self, sent: int) -> int:
        self._offset += sent
        self._left -= sent
        if sent:
            self._moved(sent)
        return sent

    def _finish(self, complete: bool) -> None:
        if self._over:
            return
        self._over = True
        self._file.close()
        if self._registered:
            self._transport.unregisterProducer()
        self._done(complete)
