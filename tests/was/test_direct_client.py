"""``skitai.was.direct_client``: a thread may send over a connection of the reactor's, never over somebody else's."""

from __future__ import annotations

import select
import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from skitai.was.direct_client import DirectClient, connect
from tests.was.backends import RealServer


class Ours(Protocol):
    """The client's end."""

    def __init__(self) -> None:
        self.made: Deferred[DirectClient] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.made.callback(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Theirs(Protocol):
    """The server's end: sends back what it gets, and remembers that."""

    def __init__(self, received: bytearray, heard: list[Deferred[None]]) -> None:
        self._received = received
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        self._received.extend(data)
        self._heard.pop(0).callback(None)


class SendTests(TestCase):
    def setUp(self) -> Deferred[Any]:
        self.received = bytearray()
        self.heard: list[Deferred[None]] = []
        self.server = server = RealServer(reactor, lambda: Theirs(self.received, self.heard))
        self.addCleanup(server.stop)
        self.ours = ours = Ours()
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda address: ours  # type: ignore[method-assign, assignment]
        self.connector = connect(reactor, "127.0.0.1", server.number, factory)
        self.addCleanup(lambda: ours.lost)
        self.addCleanup(self.connector.disconnect)
        return ours.made.addCallback(self._made)

    def _made(self, transport: DirectClient) -> None:
        self.transport = transport

    def send(self, data: bytes) -> int:
        with self.transport.lock:
            return self.transport.send_now(data)

    @inlineCallbacks
    def test_by_another_thread(self) -> Any:
        heard: Deferred[None] = Deferred()
        self.heard.append(heard)
        sent = yield deferToThread(self.send, b"hello")
        yield heard
        self.assertEqual((sent, bytes(self.received)), (5, b"hello"))

    def is_quiet(self, sure: bool = True) -> bool:
        with self.transport.lock:
            return self.transport.is_quiet(sure)

    @inlineCallbacks
    def test_what_has_come(self) -> Any:
        """The kernel has it, or the reactor has."""
        heard, back = [Deferred(), Deferred()], Deferred()
        self.heard += heard
        self.ours.dataReceived = lambda data: back.callback(None)  # type: ignore[method-assign]
        self.transport.heard = False
        self.assertTrue(self.is_quiet())
        self.transport.stopReading()
        self.send(b"hello")
        yield heard[0]
        theirs = next(iter(self.server.open))
        theirs.transport.write(b"stray")  # type: ignore[union-attr]
        yield deferToThread(select.select, [self.transport.socket], [], [], 10)
        self.assertEqual((self.is_quiet(), self.is_quiet(sure=False)), (False, True))
        self.transport.startReading()
        yield back
        self.assertEqual((self.is_quiet(), self.is_quiet(sure=False)), (False, False), "the kernel has nothing")
        self.transport.heard = False
        self.assertTrue(self.is_quiet())

    @inlineCallbacks
    def test_word_is_left_before_anything_is_read(self) -> Any:
        """What the reactor has taken out of the kernel but not told anybody a thread can not see otherwise."""
        word: list[bool] = []
        self.transport.heard = False
        self.transport._dataReceived = lambda data: word.append(self.transport.heard)  # type: ignore[method-assign]
        read = self.transport.socket.recv

        class Socket:
            def recv(inner, *args: Any) -> bytes:
                word.append(self.transport.heard)
                return read(*args)

            def __getattr__(inner, name: str) -> Any:
                return getattr(ours, name)

        ours, self.transport.socket = self.transport.socket, Socket()  # type: ignore[assignment]
        theirs = next(iter(self.server.open))
        theirs.transport.write(b"stray")  # type: ignore[union-attr]
        while not word:
            yield deferToThread(select.select, [ours], [], [], 10)
            yield deferLater(reactor, 0)  # type: ignore[arg-type]
        self.assertEqual(word[0], True)

    @inlineCallbacks
    def test_what_the_kernel_does_not_take(self) -> Any:
        self.heard += [Deferred() for _ in range(1000)]
        self.assertGreater(self.send(b"x" * (1 << 24)), 0)
        self.assertEqual(self.send(b"x" * (1 << 24)), 0, "it is full")
        self.transport.abortConnection()
        yield self.ours.lost

    @inlineCallbacks
    def test_nothing_once_it_is_closed(self) -> Any:
        self.transport.abortConnection()
        yield self.ours.lost
        self.assertEqual((self.send(b"hello"), self.is_quiet()), (0, False))

    @inlineCallbacks
    def test_a_peer_that_has_closed(self) -> Any:
        self.transport.stopReading()
        next(iter(self.server.open)).transport.abortConnection()  # type: ignore[union-attr]
        yield deferToThread(select.select, [self.transport.socket], [], [], 10)
        self.assertFalse(self.is_quiet())
        self.assertTrue(self.is_quiet(sure=False))
        self.transport.startReading()
        yield self.ours.lost

    @inlineCallbacks
    def test_it_is_not_closed_while_a_thread_sends(self) -> Any:
        """The reactor, too, waits for the lock."""
        sending, closing, gone = threading.Event(), threading.Event(), threading.Event()

        def hold() -> list[bool]:
            with self.transport.lock:
                sending.set()
                closing.wait(10)
                gone.wait(0.2)  # it would be by then
                return [gone.is_set(), self.transport.socket.fileno() >= 0]

        lost = self.transport.connectionLost

        def connection_lost(reason: Failure) -> None:
            closing.set()
            lost(reason)
            gone.set()

        self.transport.connectionLost = connection_lost  # type: ignore[method-assign]
        held = deferToThread(hold)
        yield deferToThread(sending.wait, 10)
        self.transport.abortConnection()
        yield self.ours.lost
        self.assertEqual((yield held), [False, True])


class OtherReactorTests(SynchronousTestCase):
    def test_connects_in_its_own_way(self) -> None:
        memory: Any = MemoryReactorClock()  # type: ignore[no-untyped-call]
        connect(memory, "192.0.2.1", 80, ClientFactory())
        self.assertEqual([attempt[:2] for attempt in memory.tcpClients], [("192.0.2.1", 80)])
