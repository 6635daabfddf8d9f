"""Functions of applications that get a response, and the bridge that they and who waits for a response cross.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skitai.was.result import Response

_RETRY_AFTER: Final = 0.05
"""Seconds after which a callback that found the queue of the application threads full is queued again."""

_log = Logger(namespace="skitai.app")


class Settled(Protocol):
    """A handle whose response is there."""

    def response(self) -> Response:
        """Return the response."""


class Threads(Protocol):
    """What is needed of the application threads and the reactor.

    Attributes:
        closed: Whether the reactor may stop at any time.
    """

    @property
    def closed(self) -> bool: ...

    def to_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon in the reactor. Thread: any."""

    def in_reactor(self) -> bool:
        """Tell whether the caller is the reactor thread. Thread: any."""

    def block(self, function: Callable[..., Deferred[Any]], *args: object) -> Any:
        """Call ``function`` in the reactor and wait for its Deferred. Thread: any but the reactor's."""

    def submit(self, job: Any) -> bool:
        """Queue a job for an application thread; return False when the queue is full. Thread: reactor."""

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` after some seconds. Thread: reactor."""


class Callback:
    """A function that gets the response, in an application thread. A job for the application threads.

    Args:
        function: The function, or a pair of it and more arguments.
        threads: Where it runs.

    Raises:
        TypeError: It is no function.
    """

    __slots__ = ("_args", "_context", "_function", "_handle", "_threads")

    def __init__(self, function: Any, threads: Threads) -> None:
        self._args: Sequence[Any] = ()
        if isinstance(function, (tuple, list)) and len(function) == 2:
            function, args = function
            self._args = args if isinstance(args, (tuple, list)) else (args,)
        if not callable(function):
            raise TypeError(f"callback must be a function, or (function, arguments), not {function!r}")
        self._function = function
        self._threads = threads
        self._context: Context = copy_context()
        self._handle: Settled | None = None

    def __str__(self) -> str:
        return f"callback {getattr(self._function, '__qualname__', self._function)!r} of {self._handle}"

    def queue(self, handle: Settled) -> None:
        """Have it called. Thread: reactor."""
        self._handle = handle
        if not self._threads.submit(self):
            self._threads.later(_RETRY_AFTER, self.queue, handle)

    def run(self) -> None:
        """Call it. Thread: application, or reactor with threads=0."""
        handle, self._handle = self._handle, None
        assert handle is not None
        try:
            self._context.run(self._call, handle)
        except Exception:
            self._handle = handle
            _log.failure("{callback} failed", callback=str(self))

    def _call(self, handle: Settled) -> None:
        self._function(handle.response(), *self._args)
