"""Functions of applications that get a response.

They are queued however many jobs wait: there are no more of them than the requests that they belong to.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from typing import Any, Protocol

from twisted.logger import Logger

from skitai.was.bridge import Threads
from skitai.was.loggers import current_mark
from skitai.was.result import Response

_log = Logger(namespace="skitai.app")


class Settled(Protocol):
    """A handle whose response is there."""

    def response(self) -> Response:
        """Return the response."""


def read_callback(callback: Any) -> tuple[Callable[..., object], Sequence[Any]]:
    """Return the function of a callback, and its arguments behind the response.

    Args:
        callback: A function, or a pair of it and more arguments.

    Raises:
        TypeError: It is no function, or a coroutine function, which a thread can not run.
    """
    function, args = callback, ()
    if isinstance(callback, (tuple, list)) and len(callback) == 2:
        function, args = callback
    if not callable(function):
        raise TypeError(f"callback must be a function, or (function, arguments), not {function!r}")
    check_plain(function, "callback")
    return function, args if isinstance(args, (tuple, list)) else (args,)


def check_plain(function: object, name: str) -> None:
    """Refuse a coroutine function where a thread calls it.

    Raises:
        TypeError: It is one.
    """
    if iscoroutinefunction(function):
        raise TypeError(f"{name} can not be async: it is called in an application thread; await the request instead")


class Callback:
    """A function that gets the response, in an application thread. A job for the application threads.

    Args:
        function: The function, or a pair of it and more arguments; see ``read_callback``.
        threads: Where it runs.

    Raises:
        TypeError: It is no function.
    """

    __slots__ = ("_args", "_context", "_function", "_handle", "_threads")

    def __init__(self, function: Any, threads: Threads) -> None:
        self._function, self._args = read_callback(function)
        self._threads = threads
        self._context: Context = copy_context()
        self._handle: Settled | None = None

    def __str__(self) -> str:
        return f"callback {getattr(self._function, '__qualname__', self._function)!r} of {self._handle}"

    def queue(self, handle: Settled) -> None:
        """Have it called. Thread: reactor."""
        self._handle = handle
        self._threads.insist(self)

    def run(self) -> None:
        """Call it. Thread: application, or reactor with threads=0."""
        handle, self._handle = self._handle, None
        assert handle is not None
        self._context.run(self._call, handle)

    def _call(self, handle: Settled) -> None:
        try:
            self._function(handle.response(), *self._args)
        except Exception:
            self._handle = handle
            _log.failure("{mark}{callback} failed", mark=current_mark(), callback=str(self))
