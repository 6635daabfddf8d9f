"""The way out of a connection: bytes of one response, from whichever thread makes it, in order and bounded.

Layer 2. It must not know HTTP.

Theory of operation. Where nothing is queued, bytes go to the socket at once, in the caller's thread (``DirectServer``).
What the kernel does not take is kept in ``_pending``; the reactor passes it to the transport, and goes on when the
transport says that the client has read. While ``_pending`` holds more than ``bound`` bytes, the application thread that
brings more waits in ``put``. So one client costs at most ``bound`` and one piece here, and as much again in the
transport.

``lock`` guards the fields here, the phase of the exchange, and the socket against being closed while a thread sends.
"""

from __future__ import annotations

import threading
from typing import Any, BinaryIO, Protocol

from twisted.internet.interfaces import ITransport

from skitai.errors import ClientDisconnected
from skitai.web.exchange import DONE, GONE, STARTED, Exchange
from skitai.web.transport import DirectServer, FileSender
from skitai.web.workers import WorkerPool


class Owner(Protocol):
    """The channel that an outlet belongs to."""

    def mark_sent(self, exchange: Exchange) -> None:
        """The last byte of the response has been handed over. The lock is held. Thread: any."""

    def progress(self, exchange: Exchange, count: int) -> None:
        """The client has taken ``count`` more bytes of a file. Thread: reactor."""

    def file_ended(self, exchange: Exchange, complete: bool) -> None:
        """A file has been sent, or could not be. Thread: reactor."""

    def was_sent(self, exchange: Exchange) -> None:
        """The same, after the lock was released. Thread: any."""


class Outlet:
    """The way out of one connection.

    Args:
        owner: The channel.
        transport: The connection.
        workers: To reach the reactor.
        bound: How many bytes may wait for the client before the application thread must.

    Attributes:
        lock: See the module.
    """

    __slots__ = (
        "_bound",
        "_direct",
        "_last",
        "_owner",
        "_paused",
        "_pending",
        "_room",
        "_size",
        "_transport",
        "_workers",
        "lock",
    )

    def __init__(self, owner: Owner, transport: ITransport, workers: WorkerPool, bound: int) -> None:
        self._owner = owner
        self._transport: Any = transport
        self._workers = workers
        self._bound = bound
        self._direct = transport if isinstance(transport, DirectServer) else None
        self.lock = self._direct.lock if self._direct is not None else threading.Lock()
        self._pending: list[bytes] = []
        self._size = 0
        self._last: Exchange | None = None
        self._paused = False
        self._room: threading.Event | None = None

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with what is sent. Thread: reactor."""
        return not self._paused and not self._pending

    def heard_all(self) -> bool:
        """Tell whether the client has closed its side, also where the reactor has yet to read that. The lock is held.

        Thread: any.
        """
        return self._direct is not None and self._direct.heard_all()

    def put(self, exchange: Exchange, data: bytes, last: bool, waits: bool = True) -> None:
        """Send ``data`` behind whatever is queued; in an application thread wait while too much is (unless told not
        to).

        Args:
            exchange: Whose response they belong to.
            data: The bytes; may be empty where ``last``.
            last: Whether the response ends with them.
            waits: Whether the caller may be made to wait.

        Raises:
            ClientDisconnected: There is nobody to send to, and more was to follow.

        Thread: the owner of the exchange.
        """
        direct = self._direct
        room: threading.Event | None = None
        with self.lock:
            if exchange.phase >= DONE:
                if last:
                    return
                raise ClientDisconnected()
            if last:
                exchange.phase = STARTED  # nothing else may be sent, though this may have to wait
            if direct is not None and not self._pending:
                sent = direct.send_now(data)
                if sent:
                    data = data[sent:] if sent < len(data) else b""
            complete = last and direct is not None and not data and not self._pending
            if complete:
                self._owner.mark_sent(exchange)
            elif data or last:
                self._pending.append(data)
                self._size += len(data)
                self._last = exchange if last else None
                if waits and not last and self._size > self._bound:
                    room = self._room = threading.Event()
        if complete:
            self._owner.was_sent(exchange)
        elif self._workers.in_reactor():
            self.flush()
        elif self._pending:
            self._workers.to_reactor(self.flush)
            if room is not None:
                room.wait()
                if exchange.phase == GONE:
                    raise ClientDisconnected()

    def put_file(self, exchange: Exchange, head: bytes, file: BinaryIO, extent: tuple[int, int]) -> None:
        """Send a head and the bytes of ``file`` from ``extent[0]`` on, ``extent[1]`` of them; the owner hears of the
        end.

        Thread: reactor.
        """
        with self.lock:
            sent = self._direct.send_now(head) if self._direct is not None else 0
        if sent < len(head):
            self._transport.write(head[sent:])
        self._transport.unregisterProducer()

        def moved(count: int) -> None:
            """A piece was taken."""
            self._owner.progress(exchange, count)

        def done(complete: bool) -> None:
            """It is over."""
            if not self._transport.disconnecting:
                self._transport.registerProducer(self._owner, True)
            self._owner.file_ended(exchange, complete)

        FileSender(self._transport, file, extent, moved, done).start()

    def pause(self) -> None:
        """The client does not read. Thread: reactor."""
        self._paused = True

    def resume(self) -> None:
        """The client has read everything. Thread: reactor."""
        self._paused = False
        self.flush()

    def flush(self) -> None:
        """Pass what is pending to the transport, unless the client does not read. Thread: reactor."""
        with self.lock:
            if self._paused or not self._pending:
                return
            pieces, self._pending = self._pending, []
            self._size = 0
            exchange, self._last = self._last, None
            self._release_room()
            if self._direct is not None:
                # With the lock: an application thread would find the way free and overtake them.
                self._pass_on(pieces)
        if self._direct is None:
            self._pass_on(pieces)
        if exchange is not None:
            with self.lock:
                if exchange.phase == GONE:
                    return
                self._owner.mark_sent(exchange)
            self._owner.was_sent(exchange)

    def _pass_on(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if piece:
                self._transport.write(piece)

    def shut(self) -> None:
        """The connection is gone: drop what is pending and let nobody wait. The lock is held. Thread: reactor."""
        self._pending = []
        self._size = 0
        self._last = None
        self._release_room()

    def _release_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()
