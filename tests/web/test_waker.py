"""The pipe that wakes the reactor: read by whoever waits for it, full or not, as long as it is wanted."""

from __future__ import annotations

import gc
import os
import select
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from skitai.web.waker import Waker


@implementer(IReactorFDSet)
class Reactor:
    """Reads what is readable, when a test says so."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def turn(self) -> int:
        """Let the readers read that can; return how many that were."""
        readable, _, _ = select.select(self.readers, [], [], 0)
        for reader in readable:
            reader.doRead()
        return len(readable)


class WakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = Reactor()
        self.calls: list[int] = []
        self.waker = Waker(self.reactor, lambda: self.calls.append(1))

    def test_several_wakes_are_one_call(self) -> None:
        self.assertEqual(self.reactor.turn(), 0)
        self.waker.wake()
        self.waker.wake()
        self.assertEqual((self.reactor.turn(), self.reactor.turn(), len(self.calls)), (1, 0, 1))
        self.waker.wake()
        self.reactor.turn()
        self.assertEqual(len(self.calls), 2)

    def test_a_full_pipe_is_awake_already(self) -> None:
        for _ in range(100_000):
            self.waker.wake()
        while self.reactor.turn():
            pass
        self.assertGreater(len(self.calls), 0)
        self.waker.wake()
        self.assertEqual(self.reactor.turn(), 1)

    def test_nothing_to_read(self) -> None:
        self.assertIsNone(self.waker.doRead())
        self.assertEqual(self.calls, [])

    def test_a_thread_that_is_late_writes_into_nobody_elses_file(self) -> None:
        """The pipe stays open as long as somebody may write."""
        self.waker.stop()
        wake = self.waker.wake
        self.waker.connectionLost(Failure(CONNECTION_DONE))
        wake()
        self.assertEqual((self.reactor.turn(), self.calls), (0, []))

    def test_closed_with_the_object(self) -> None:
        self.waker.stop()
        number = self.waker.fileno()
        del self.waker
        gc.collect()
        self.assertRaises(OSError, os.fstat, number)

    def test_what_reactors_want(self) -> None:
        self.assertTrue(verifyObject(IReadDescriptor, self.waker))
        self.assertEqual(self.waker.logPrefix(), "waker")
