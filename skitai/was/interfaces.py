"""Who takes part in a request, as the others see them: of what is asked, and of a connection.

Layer 3. Thread: reactor, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure

from skitai.errors import RequestError
from skitai.was.http1 import Head
from skitai.was.outgoing import Outgoing
from skitai.was.result import Response

if TYPE_CHECKING:
    from skitai.was.connection import Connection


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


class Sink(Protocol):
    """Who gets the answer."""

    def on_head(self, head: Head) -> None:
        """The head of the answer has come."""

    def on_data(self, data: bytes) -> None:
        """Some of its body has come."""

    def on_end(self) -> None:
        """It is complete; the connection takes another request already."""

    def on_failure(self, error: RequestError) -> None:
        """It will not be complete."""


class Lease(Protocol):
    """Leave to make one request: a connection, or one stream of many on it.

    Attributes:
        reused: Whether the connection has carried a request before, so that it may be dead without our knowing.
        sent: Whether any byte of the request may have left.
        answered: Whether any byte of the answer has come.
    """

    reused: bool
    sent: bool

    @property
    def answered(self) -> bool: ...

    def start(self, outgoing: Outgoing, extra: Sequence[tuple[bytes, bytes]], sink: Sink) -> None:
        """Send a request, now or at the end of this turn of the reactor.

        Raises:
            ValueError: A field can not be sent. Nothing was.
        """

    def alive(self) -> bool:
        """Return whether the other side has neither closed the connection nor sent anything, asking the kernel."""

    def abort(self) -> None:
        """Give up: the sink is told nothing more."""


class Opener(Protocol):
    """Who opens the connection."""

    def made(self, connection: Connection) -> None:
        """The transport is there; with TLS the handshake begins."""

    def ready(self, connection: Connection) -> None:
        """The connection can take a request."""

    def failed(self, reason: Failure, words: str = "") -> None:
        """It was lost before it was ready; ``words`` say why where the reason is TLS."""


class Owner(Protocol):
    """Who owns the connection once it is open."""

    def free(self, connection: Connection) -> None:
        """The connection can take another request."""

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""


class Handshake(Protocol):
    """The TLS side of one connection (``skitai.was.tls``)."""

    def check(self, connection: Any) -> bool:
        """Return whether the certificate is the server's."""

    def describe(self, error: BaseException) -> str:
        """Return in words why the handshake ended."""
