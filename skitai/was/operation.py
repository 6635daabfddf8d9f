"""What a handle knows of what is asked, and of who waits for it.

Layer 3. Thread: reactor, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from skitai.was.result import Response


class Operation(Protocol):
    """What is asked. Thread: reactor.

    Attributes:
        method: For messages.
        url: For messages.
        timeout: Seconds that it takes at most.
    """

    method: str
    url: str
    timeout: float

    def peek(self) -> Response | None:
        """Return the response if it is at hand, so that nothing needs to be started. Thread: any."""

    def send_early(self, begin: Callable[[], object]) -> None:
        """Send it by this thread, where that is possible at once. ``start`` follows.

        Args:
            begin: Calls ``start``; called in the reactor where it can not wait until that is called anyhow.

        Thread: any but the reactor's.
        """

    def start(self, done: Callable[[Response], object]) -> None:
        """Begin; call ``done`` once with what became of it, now or later."""

    def share(self) -> None:
        """Others who ask the same may have its answer, since that will be kept."""

    def cancel(self, expired: bool = False) -> None:
        """End it, whatever it waits for; ``done`` need not be called any more.

        Args:
            expired: Whether the time of who asks is up, which says something about who is asked.
        """


class Waiting(Protocol):
    """Who waits for requests: a Deferred, or what looks like one.

    Attributes:
        called: Whether it waits no longer.
    """

    called: bool

    def callback(self, result: None) -> object:
        """The request is done."""
