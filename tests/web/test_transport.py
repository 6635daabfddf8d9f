"""TCP connections that threads may send to: real sockets, because the kernel is what is tested."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.clock import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.transport import MemoryTransport
from skitai.web.transport import FILE_TURN_SIZE, DirectServer, FileSender, Port, peers_of, unsent
from tests.web.direct import Wire, make_direct

TIMEOUT = 10.0


class SocketTestCase(SynchronousTestCase):
    """Has a ``DirectServer`` over one end of a real TCP connection."""

    def connect(self, send_buffer: int = 0) -> DirectServer:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.client = socket.create_connection(listening.getsockname())
        self.addCleanup(self.client.close)
        self.client.settimeout(TIMEOUT)
        ours, address = listening.accept()
        self.addCleanup(ours.close)
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.reactor: Any = Reactor()
        self.transport = DirectServer(ours, Protocol(), address, None, 1, self.reactor)
        return self.transport

    def fill(self) -> int:
        """Send until the kernel takes no more; return how much it took."""
        size = 0
        while sent := self.transport.send_now(b"x" * 100_000):
            size += sent
        return size

    def receive(self, count: int) -> bytes:
        """Return ``count`` bytes that the client gets, having the server write whenever it wants to."""
        data = b""
        self.client.settimeout(0.01)
        while len(data) < count:
            if self.transport in self.reactor.writers:
                self.transport.doWrite()
            try:
                data += self.client.recv(min(1 << 20, count - len(data)))
            except TimeoutError:
                self.assertIn(self.transport, self.reactor.writers, f"only {len(data)} bytes came")
        return data


class SendNowTests(SocketTestCase):
    """Bytes that do not wait for the reactor."""

    def test_bytes_go_to_the_kernel(self) -> None:
        self.assertEqual(self.connect().send_now(b"hello"), 5)
        self.assertEqual(self.client.recv(100), b"hello")
        self.assertEqual(self.reactor.writers, set())

    def test_full_kernel_takes_a_part_and_then_nothing(self) -> None:
        transport = self.connect(1 << 16)
        self.assertGreater(self.fill(), 0)
        self.assertEqual(transport.send_now(b"more"), 0)

    def test_never_ahead_of_what_is_queued(self) -> None:
        transport = self.connect(1 << 16)
        size = self.fill()
        transport.write(b"queued")
        self.assertEqual(transport.queued, 6)
        self.receive(size)
        transport.doWrite()
        self.assertEqual(transport.queued, 0)
        self.assertEqual(transport.send_now(b" sent"), 5)
        self.assertEqual(self.receive(11), b"queued sent")

    def test_queue_is_counted_exactly(self) -> None:
        transport = self.connect(1 << 16)
        transport.write(b"y" * 3_000_000)
        transport.write(b"z" * 1_000_000)
        self.assertEqual((transport.queued, unsent(transport)), (4_000_000, 4_000_000))
        transport.doWrite()
        self.assertEqual(transport.queued, unsent(transport))
        self.assertLess(transport.queued, 4_000_000)
        self.receive(4_000_000)
        self.assertEqual((transport.queued, unsent(transport)), (0, 0))

    def test_nothing_is_counted_that_is_not_queued(self) -> None:
        transport = self.connect()
        transport.loseWriteConnection()  # type: ignore[no-untyped-call]
        transport.doWrite()
        transport.write(b"too late")
        self.assertEqual(transport.queued, 0)

    def test_client_that_has_gone(self) -> None:
        transport = self.connect()
        self.client.close()
        while transport.send_now(b"x" * 1000):  # the first may still be taken, the answer to it is a reset
            pass
        self.assertEqual(transport.send_now(b"x"), 0)


class HeardAllTests(SocketTestCase):
    """Looking whether the client has closed its side, before the reactor reads that."""

    def test_end(self) -> None:
        transport = self.connect()
        self.assertFalse(transport.heard_all())
        self.client.sendall(b"more")
        self.client.shutdown(socket.SHUT_WR)
        self.assertFalse(transport.heard_all())
        transport.socket.recv(4)
        self.assertTrue(transport.heard_all())
        self.assertEqual(transport.send_now(b"hello"), 5)

    def test_closed(self) -> None:
        transport = self.connect()
        self.client.close()
        transport.connectionLost(Failure(ConnectionLost()))
        self.assertFalse(transport.heard_all())


class ClosingTests(SocketTestCase):
    """A descriptor is never sent to after it was closed: by then it may be another client's."""

    def test_nothing_is_sent_after_closing(self) -> None:
        transport = self.connect()
        transport.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(transport.send_now(b"late"), 0)
        self.assertEqual(self.client.recv(100), b"")

    def test_closing_waits_for_the_thread_that_sends(self) -> None:
        transport = self.connect()
        closing, closed = threading.Event(), threading.Event()

        def close() -> None:
            closing.set()
            transport.connectionLost(Failure(ConnectionLost()))
            closed.set()

        with transport.lock:
            thread = threading.Thread(target=close, daemon=True)
            thread.start()
            self.assertTrue(closing.wait(TIMEOUT))
            self.assertFalse(closed.wait(0.02))
            self.assertEqual(transport.send_now(b"in time"), 7)
        self.assertTrue(closed.wait(TIMEOUT))
        self.assertEqual(self.client.recv(100), b"in time")

    def test_descriptor_that_another_client_has_got(self) -> None:
        """Threads send all the time while connections close and new ones get their descriptors."""
        for _ in range(20):
            transport = self.connect()
            number = transport.fileno()
            stop = threading.Event()

            def send(transport: DirectServer = transport, stop: threading.Event = stop) -> None:
                while not stop.is_set():
                    with transport.lock:
                        transport.send_now(b"secret")

            thread = threading.Thread(target=send, daemon=True)
            thread.start()
            self.assertEqual(self.client.recv(6), b"secret")
            transport.connectionLost(Failure(ConnectionLost()))
            pair = socket.socketpair()
            numbers = {end.fileno() for end in pair}
            pair[1].setblocking(False)
            pair[0].setblocking(False)
            stop.set()
            thread.join(TIMEOUT)
            self.assertIn(number, numbers, "the descriptor was not given to another: this tests nothing")
            for end in pair:
                self.addCleanup(end.close)
                self.assertRaises(BlockingIOError, end.recv, 100)


class FileSenderTests(SocketTestCase):
    """Files that the kernel sends."""

    def send(self, content: bytes, extent: tuple[int, int], send_buffer: int = 0) -> FileSender:
        """Begin to send a part of a file with ``content``."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115
        self.addCleanup(self.file.close)
        self.moved = 0
        self.done: list[bool] = []
        if not hasattr(self, "transport"):
            self.connect(send_buffer)

        def moved(count: int) -> None:
            self.moved += count

        return FileSender(self.transport, self.file, extent, moved, self.done.append)

    def test_small_file_leaves_at_once(self) -> None:
        self.send(b"0123456789", (2, 5)).start()
        self.assertEqual((self.done, self.moved, self.file.closed), ([True], 5, True))
        self.assertEqual(self.client.recv(100), b"23456")
        self.assertIsNone(self.transport.producer)

    def test_large_file_goes_as_the_client_reads(self) -> None:
        content = os.urandom(1000) * 5000
        self.send(content, (1, 4_999_000), 1 << 16).start()
        self.assertEqual(self.done, [])
        self.assertEqual(self.receive(4_999_000), content[1:4_999_001])
        self.assertEqual((self.done, self.moved, self.file.closed), ([True], 4_999_000, True))
        self.assertIsNone(self.transport.producer)

    def test_behind_what_is_queued(self) -> None:
        self.connect(1 << 16)
        size = self.fill()
        self.transport.write(b"head")
        self.send(b"file", (0, 4)).start()
        self.assertEqual(self.receive(size + 8)[-8:], b"headfile")
        self.assertEqual(self.done, [True])

    def test_others_have_their_turn(self) -> None:
        self.connect()
        calls: list[int] = []

        def sendfile(out: int, file: int, offset: int, count: int) -> int:
            calls.append(count)
            return count

        self.patch(os, "sendfile", sendfile)
        sender = self.send(b"", (0, 3 * FILE_TURN_SIZE))
        sender.start()
        self.assertEqual(sum(calls), 2 * FILE_TURN_SIZE)  # one of start, one as a producer
        self.assertEqual(self.done, [])
        self.transport.doWrite()
        self.assertEqual(self.done, [True])

    def test_file_that_is_shorter_than_promised(self) -> None:
        self.send(b"short", (0, 10)).start()
        self.assertEqual((self.done, self.moved, self.file.closed), ([False], 5, True))

    def test_file_that_is_cut_while_it_is_sent(self) -> None:
        self.send(b"x" * 20_000_000, (0, 20_000_000), 1 << 16).start()
        os.truncate(self.path, 0)
        while not self.done:
            self.client.recv(1 << 20)
            self.transport.doWrite()
        self.assertEqual((self.done, self.file.closed), ([False], True))

    def test_client_that_leaves(self) -> None:
        self.send(b"x" * 20_000_000, (0, 20_000_000), 1 << 16).start()
        self.transport.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.done, self.file.closed), ([False], True))

    def test_client_that_resets(self) -> None:
        self.send(b"x" * 20_000_000, (0, 20_000_000), 1 << 16).start()
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.client.close()
        self.transport.doWrite()
        if not self.done:  # the error was the write's, the reactor closes the connection then
            self.transport.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.done, self.file.closed), ([False], True))

    def test_file_that_is_closed_already(self) -> None:
        sender = self.send(b"x", (0, 1))
        self.file.close()
        sender.start()
        self.assertEqual(self.done, [False])

    def test_in_pieces_where_the_transport_is_not_tcp(self) -> None:
        pump = BytePump(Protocol())
        self.transport = pump.server_transport  # type: ignore[assignment]
        for content, extent, complete in ((b"x" * 200_000, (5, 199_990), True), (b"short", (0, 10), False)):
            self.send(content, extent).start()
            pump.flush()
            self.assertEqual((self.done, self.file.closed), ([complete], True))
            self.assertEqual(pump.client.take(), content[extent[0] : extent[0] + extent[1]])


class PortTests(SynchronousTestCase):
    """Listening."""

    def test_connections_are_direct_and_without_delay(self) -> None:
        protocols: list[Any] = []

        class Kept(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                protocols.append(Protocol())
                return protocols[-1]

        reactor = Reactor()
        port = Port(0, Kept(), 10, "127.0.0.1", reactor)
        port.startListening()
        self.addCleanup(port.socket.close)
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as client:
            client.settimeout(TIMEOUT)
            while not protocols:
                port.doRead()
            transport = protocols[0].transport
            self.addCleanup(transport.socket.close)
            self.assertIsInstance(transport, DirectServer)
            self.assertTrue(transport.getTcpNoDelay())
            peers = peers_of(transport, 7)
            self.assertEqual(peers.client, client.getsockname())
            self.assertEqual(peers.server, client.getpeername())
            self.assertEqual((peers.secure, peers.number), (False, 7))

    def test_peers_without_addresses(self) -> None:
        class Unix:
            def getPeer(self) -> object:
                return object()

            getHost = getPeer

        self.assertEqual(peers_of(Unix(), 1), (("", 0), ("", 0), False, 1))


class UnsentTests(SynchronousTestCase):
    """What waits for the client, whatever the transport."""

    def test_below_tls(self) -> None:
        transport = make_direct(Protocol(), Reactor(), Wire(0))
        transport.write(b"12345")

        class Layer:
            def __init__(self, transport: object) -> None:
                self.transport = transport

        self.assertEqual(unsent(Layer(Layer(transport))), 5)
        self.assertEqual(unsent(Layer(None)), 0)

    def test_in_memory(self) -> None:
        pump = BytePump(Protocol())
        transport: MemoryTransport = pump.server_transport
        transport.write(b"12345")  # type: ignore[no-untyped-call]
        self.assertEqual(unsent(transport), 5)
