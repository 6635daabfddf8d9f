"""Requests leave together: those that one turn of the reactor makes are sent one right after the other.

A kernel that has to wake who receives takes five times as long for a send as one that finds it awake; between two
machines a virtual processor or a network card is woken instead. A coroutine that makes 64 requests would pay that for
each, for by the time the next one is made the server has long answered the one before and sleeps again. So the first
request leaves at once, whoever makes it, and what follows it closely waits for the end of the turn. A profile of
the view that ``python benchmarks/run.py client`` loads, on a virtual machine with the server on the other core: 55 us a
send before, 9 us so.

A request that can not be sent is told in the same way, and never while it is made. One that fails otherwise, which is a
fault of ours, is logged; the others leave.

Layer 3. It must not know what is sent, nor how. Thread: reactor.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

CLOSELY: Final = 0.0002
"""Seconds after a send within which the next one waits for more. A thread that asks, waits and asks again takes longer,
so it never has to wait."""


_log = Logger(namespace="skitai.was")


class Clock(Protocol):
    """What is needed of the reactor."""

    def seconds(self) -> float:
        """Return the time."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> IDelayedCall:
        """Call later."""


class Sender(Protocol):
    """What can send."""

    def transmit(self, data: bytes) -> bool:
        """Send; return False where the connection is dead, and nothing was sent."""

    def not_transmitted(self) -> None:
        """It is dead: tell who is waiting."""


class Outbox:
    """The beginnings of requests that are to leave.

    Args:
        clock: Ends the turn.
    """

    __slots__ = ("_clock", "_last", "_waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = -inf
        self._waiting: dict[Sender, bytes] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def post(self, sender: Sender, data: bytes, at_once: bool = False) -> None:
        """Send now or at the end of this turn; ``sender`` is told of a failure then.

        Args:
            sender: Sends; it has nothing else here, and takes it back with ``withdraw`` when it is closed.
            data: What is to be sent.
            at_once: Whether it must not wait, since more will be written behind it.
        """
        now = self._clock.seconds()
        if at_once or (not self._waiting and not 0.0 <= now - self._last < CLOSELY):
            self._last = now
            if sender.transmit(data):
                return
        if not self._waiting:
            self._clock.callLater(0, self._flush)
        self._waiting[sender] = data

    def withdraw(self, sender: Sender) -> None:
        """Do not send what ``sender`` has here."""
        self._waiting.pop(sender, None)

    def _flush(self) -> None:
        waiting = self._waiting
        while waiting:  # who is told of a failure may close others, and make requests
            sender = next(iter(waiting))
            try:
                if not sender.transmit(waiting.pop(sender)):
                    sender.not_transmitted()
            except Exception:
                _log.failure("a request could not be sent")
        self._last = self._clock.seconds()
