"""TCP connections to servers that a thread may send over.

Twisted's transports belong to the reactor, which may close a socket at any time. Between the moment in which another
thread has looked a descriptor up and the one in which the kernel does, it may be closed and be somebody else's. So
there is a lock: held while a thread sends, and before the socket is closed.

Layer 3. It must not know what is sent. Thread: reactor, but for ``send_now``.
"""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure


class DirectClient(tcp.Client):
    """The client's end of a connection, with ``send_now``.

    Attributes:
        lock: Guards the socket against being closed while a thread sends. Never held for longer than one ``send``.
    """

    def __init__(self, *args: Any) -> None:
        self.lock = threading.Lock()
        self._open = True
        super().__init__(*args)  # type: ignore[no-untyped-call]

    def send_now(self, data: bytes) -> int:
        """Send what the kernel takes; the caller holds ``lock``, and knows that nothing is queued.

        Returns:
            The number of bytes sent; 0 where the connection is gone, or takes none.

        Thread: any.
        """
        if not self._open:
            return 0
        try:
            return self.socket.send(data)
        except OSError:  # the peer has gone, which the reactor will find out
            return 0

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket once no thread is sending."""
        with self.lock:
            self._open = False
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Connector(tcp.Connector):
    """Connects with a ``DirectClient``."""

    def _makeTransport(self) -> DirectClient:
        return DirectClient(self.host, self.port, self.bindAddress, self, self.reactor)


def connect(reactor: Any, host: str, port: int, factory: ClientFactory) -> IConnector:
    """Connect without a limit of time, as ``reactor.connectTCP`` does.

    Where that is made of the reactor's own transports, threads can send over the connection.
    """
    if not isinstance(reactor, PosixReactorBase):
        return reactor.connectTCP(host, port, factory, timeout=None)  # type: ignore[no-any-return]
    connector: Any = _Connector(host, port, factory, None, None, reactor)  # type: ignore[arg-type]
    connector.connect()
    return connector  # type: ignore[no-any-return]
