"""TCP connections to servers that a thread may send over.

Twisted's transports belong to the reactor, which may close a socket at any time. Between the moment in which another
thread has looked a descriptor up and the one in which the kernel does, it may be closed and be somebody else's. So
there is a lock: held while a thread uses the socket, and before it is closed.

The reactor may also be reading just then: it has taken something out of the kernel already and waits to say so. So it
leaves word before it reads.

Layer 3. It must not know what is sent. Thread: reactor, but for what says otherwise.
"""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

_read: Final = tcp.Client.doRead  # the shortest way there, as it is gone for each answer


class DirectClient(tcp.Client):
    """The client's end of a connection, over which threads can send.

    Attributes:
        lock: Guards the socket against being closed while a thread uses it. A thread holds it for two calls of the
            kernel that do not wait, and for as long as others keep it from going on after them.
        heard: Whether the reactor has begun to read anything since the user of the connection took this back.
    """

    def __init__(self, *args: Any) -> None:
        self.lock = threading.Lock()
        self.heard = False
        self._open = True
        super().__init__(*args)  # type: ignore[no-untyped-call]

    def is_quiet(self, sure: bool) -> bool:
        """Return whether the other side has neither closed the connection nor sent anything that was not asked for.

        The caller holds ``lock``. Thread: any.

        Args:
            sure: Whether the kernel is asked; else only what the reactor knows counts.
        """
        if not self._open:
            return False
        if sure and not has_nothing_to_read(self.socket):
            return False
        return not self.heard  # after the kernel: what is not there any more the reactor has

    def send_now(self, data: bytes) -> int:
        """Send what the kernel takes. The caller holds ``lock``, and knows that nothing is queued. Thread: any.

        Returns:
            The number of bytes sent; 0 where the connection is gone, or takes none.
        """
        if not self._open:
            return 0
        try:
            return self.socket.send(data)
        except OSError:  # the peer has gone, which the reactor will find out
            return 0

    def doRead(self) -> Any:
        """Read (called by the reactor)."""
        self.heard = True
        return _read(self)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket once no thread is sending."""
        with self.lock:
            self._open = False
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Connector(tcp.Connector):
    """Connects with a ``DirectClient``."""

    def _makeTransport(self) -> DirectClient:
        return DirectClient(self.host, self.port, self.bindAddress, self, self.reactor)


def has_nothing_to_read(open_socket: socket.socket) -> bool:
    """Return whether the other side has neither closed nor sent anything, as far as the kernel knows. Thread: any."""
    try:
        open_socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def connect(reactor: Any, host: str, port: int, factory: ClientFactory) -> IConnector:
    """Connect without a limit of time, as ``reactor.connectTCP`` does.

    Where that is made of the reactor's own transports, threads can send over the connection.
    """
    if not isinstance(reactor, PosixReactorBase):
        return reactor.connectTCP(host, port, factory, timeout=None)  # type: ignore[no-any-return]
    connector: Any = _Connector(host, port, factory, None, None, reactor)  # type: ignore[arg-type]
    connector.connect()
    return connector  # type: ignore[no-any-return]
