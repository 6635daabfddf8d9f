"""The way out of a connection: order, bounds and wake-ups, with a kernel that takes what the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ClientDisconnected
from skitai.testing.clock import Reactor
from skitai.testing.workers import InlineWorkers, SteppingWorkers
from skitai.web.exchange import DONE, GONE, STARTED, Exchange
from skitai.web.outlet import Outlet
from tests.web.direct import Wire, make_direct
from tests.web.exchanges import make_exchange

TIMEOUT = 10.0


class Owner:
    """The channel: writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outlet: Any = None

    def mark_sent(self, exchange: Exchange) -> None:
        assert self.outlet.lock.locked()
        exchange.phase = DONE
        self.calls.append("marked")

    def was_sent(self, exchange: Exchange) -> None:
        assert not self.outlet.lock.locked()
        self.calls.append("sent")

    def progress(self, exchange: Exchange, count: int) -> None:
        self.calls.append(f"progress {count}")

    def file_ended(self, exchange: Exchange, complete: bool) -> None:
        self.calls.append(f"file {complete}")

    def pauseProducing(self) -> None:
        self.outlet.pause()

    def resumeProducing(self) -> None:
        self.outlet.resume()

    def stopProducing(self) -> None:
        self.calls.append("stopped")


class FunctionJob:
    """A function as a job."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.run = function


class OutletTestCase(SynchronousTestCase):
    """Has an outlet over a wire with room for ``room`` bytes."""

    def outlet(self, room: int, bound: int = 1000, inline: bool = False) -> Outlet:
        self.reactor = Reactor()
        self.workers: Any = (InlineWorkers if inline else SteppingWorkers)(self.reactor)
        self.wire = Wire(room)
        self.transport = make_direct(Protocol(), self.reactor, self.wire)
        self.exchange = make_exchange()
        self.exchange.phase = STARTED
        self.owner = Owner()
        self.transport.registerProducer(self.owner, True)
        self.owner.outlet = outlet = Outlet(self.owner, self.transport, self.workers, bound)
        self.assertIs(outlet.lock, self.transport.lock)
        return outlet

    def in_thread(self, function: Callable[[], object]) -> None:
        """Call ``function`` as in an application thread."""
        self.workers.submit(FunctionJob(function))
        self.workers.step()

    def read(self, count: int) -> None:
        """Let the client read ``count`` bytes."""
        self.wire.room += count
        self.reactor.advance(0)
        while self.transport in self.reactor.writers and (self.wire.room or not self.transport.queued):
            self.transport.doWrite()


class SendTests(OutletTestCase):
    """Bytes on their way."""

    def test_at_once_in_the_callers_thread(self) -> None:
        outlet = self.outlet(100)
        self.in_thread(lambda: outlet.put(self.exchange, b"whole", last=True))
        self.assertEqual((self.wire.taken, self.owner.calls), (b"whole", ["marked", "sent"]))
        self.assertEqual(self.reactor.getDelayedCalls(), [], "the reactor was woken")

    def test_rest_is_sent_by_the_reactor(self) -> None:
        outlet = self.outlet(3)
        self.in_thread(lambda: outlet.put(self.exchange, b"whole", last=True))
        self.assertEqual((self.wire.taken, self.owner.calls), (b"who", []))
        self.assertFalse(outlet.writable)
        self.reactor.advance(0)
        self.assertEqual(self.owner.calls, ["marked", "sent"])
        self.read(2)
        self.assertEqual(self.wire.taken, b"whole")

    def test_pieces_keep_their_order(self) -> None:
        outlet = self.outlet(2)
        for number, piece in enumerate((b"abc", b"def", b"ghi", b"")):
            self.in_thread(lambda piece=piece, number=number: outlet.put(self.exchange, piece, last=number == 3))  # type: ignore[misc]
            self.read(1)
        self.read(100)
        self.assertEqual((self.wire.taken, self.owner.calls), (b"abcdefghi", ["marked", "sent"]))

    def test_thread_does_not_overtake_what_the_reactor_passes_on(self) -> None:
        """Between taking what is pending and queueing it the reactor may be interrupted."""
        outlet = self.outlet(0)
        self.in_thread(lambda: outlet.put(self.exchange, b"first ", last=False))
        write = self.transport.write
        overtakers: list[threading.Thread] = []

        def interrupted(data: bytes) -> None:
            self.wire.room = 1000
            overtaker = threading.Thread(
                target=outlet.put, args=(self.exchange, b"second", False), kwargs={"waits": False}, daemon=True
            )
            self.patch(self.workers, "in_reactor", lambda: False)
            overtaker.start()
            overtaker.join(0.05)
            overtakers.append(overtaker)
            write(data)

        self.patch(self.transport, "write", interrupted)
        outlet.flush()
        self.patch(self.transport, "write", write)
        overtakers[0].join(TIMEOUT)
        self.read(1000)
        self.assertEqual(self.wire.taken, b"first second")

    def test_nothing_is_sent_of_an_exchange_that_is_over(self) -> None:
        for phase in (DONE, GONE):
            outlet = self.outlet(100)
            self.exchange.phase = phase
            outlet.put(self.exchange, b"late", last=True)
            self.assertRaises(ClientDisconnected, outlet.put, self.exchange, b"late", last=False)
            self.assertEqual((self.wire.taken, self.owner.calls, self.exchange.phase), (b"", [], phase))

    def test_phase_tells_that_nothing_may_follow(self) -> None:
        outlet = self.outlet(1)
        self.exchange.phase = 0
        self.in_thread(lambda: outlet.put(self.exchange, b"all", last=True))
        self.assertEqual(self.exchange.phase, STARTED)

    def test_connection_that_goes_with_bytes_queued(self) -> None:
        outlet = self.outlet(1)
        self.in_thread(lambda: outlet.put(self.exchange, b"all", last=True))
        with outlet.lock:
            self.exchange.phase = GONE
            outlet.shut()
        self.transport.connectionLost(Failure(ConnectionLost()))
        self.reactor.advance(0)
        self.assertEqual((self.wire.taken, self.owner.calls), (b"a", ["stopped"]))


class WaitingTests(OutletTestCase):
    """Clients that do not read."""

    def test_paused_outlet_keeps_what_comes(self) -> None:
        outlet = self.outlet(0, inline=True)
        outlet.put(self.exchange, b"x" * 70_000, last=False)  # more than a transport takes without a word
        self.assertFalse(outlet.writable)
        outlet.put(self.exchange, b"y", last=True)
        self.assertEqual(self.owner.calls, [])
        self.read(70_000)
        self.assertEqual(self.owner.calls, ["marked", "sent"])
        self.read(1)
        self.assertEqual(self.wire.taken, b"x" * 70_000 + b"y")

    def put_in_threads(self, outlet: Outlet, *pieces: bytes) -> tuple[threading.Thread, list[object]]:
        """Have a real thread put ``pieces`` while the reactor's side is this one's."""
        done: list[object] = []
        here = threading.get_ident()
        self.patch(self.workers, "in_reactor", lambda: threading.get_ident() == here)

        def put() -> None:
            try:
                for piece in pieces:
                    outlet.put(self.exchange, piece, last=False)
                    done.append(len(piece))
            except ClientDisconnected:
                done.append("gone")

        thread = threading.Thread(target=put, daemon=True)
        thread.start()
        return thread, done

    def wait_until_held(self, outlet: Outlet, thread: threading.Thread) -> None:
        """Return once the thread is made to wait."""
        while outlet._room is None and thread.is_alive():
            thread.join(0.001)
        self.assertIsNotNone(outlet._room)

    def test_thread_waits_for_room(self) -> None:
        outlet = self.outlet(0)
        thread, done = self.put_in_threads(outlet, b"x" * 1000, b"y", b"z")
        self.wait_until_held(outlet, thread)
        self.assertEqual(done, [1000])
        outlet.flush()
        thread.join(TIMEOUT)
        self.assertEqual(done, [1000, 1, 1])

    def test_thread_is_freed_when_the_client_leaves(self) -> None:
        outlet = self.outlet(0)
        thread, done = self.put_in_threads(outlet, b"x" * 1001, b"y")
        self.wait_until_held(outlet, thread)
        with outlet.lock:
            self.exchange.phase = GONE
            outlet.shut()
        thread.join(TIMEOUT)
        self.assertEqual(done, ["gone"])

    def test_interim_responses_never_wait(self) -> None:
        outlet = self.outlet(0, bound=1)
        self.in_thread(lambda: outlet.put(self.exchange, b"HTTP/1.1 100 Continue", last=False, waits=False))
        self.read(100)
        self.assertEqual(self.wire.taken, b"HTTP/1.1 100 Continue")


class FileTests(OutletTestCase):
    """Heads before files; the files themselves need a real socket (test_transport)."""

    def test_unreadable_file_after_a_head_that_has_to_wait(self) -> None:
        path = self.mktemp()
        with open(path, "wb"):
            pass
        outlet = self.outlet(2)
        file = open(path, "rb")  # noqa: SIM115
        outlet.put_file(self.exchange, b"head", file, (0, 10))
        self.assertEqual((self.wire.taken, file.closed), (b"he", False))
        self.read(100)
        self.assertEqual((self.wire.taken, self.owner.calls), (b"head", ["file False"]))
        self.assertTrue(file.closed)
        self.assertIs(self.transport.producer, self.owner)
