"""What stands for Skitai when a Saddle application runs under another WSGI server.

Logs go to ``logging``, coroutines run to their end in the thread; what only Skitai can do says so.

Layer S. It must not know what serves. Thread: any; each ``Standalone`` belongs to one request.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, NoReturn

from skitai import formats
from skitai.attributes import AttributeDictionary
from skitai.registry import Registry

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}

_log = logging.getLogger("skitai.app")

registry: Final = Registry(lambda name: hasattr(Standalone, name))
"""What applications have registered in this process."""


class Shared:
    """``wasc`` without Skitai: given to the functions decorated with ``startup`` and ``shutdown``."""

    numthreads = 0
    """How many threads there are is known to the server only."""

    def __init__(self) -> None:
        self.config = AttributeDictionary()
        self.logger = Loggers()
        self.register = registry.register
        self.unregister = registry.unregister

    def __getattr__(self, name: str) -> Any:
        return _registered(name, "wasc")


class Loggers:
    """``wasc.logger`` without Skitai: loggers of the standard library."""

    def get(self, name: str = "app") -> AppLogger:
        """Return the logger of a name."""
        return AppLogger(logging.getLogger(f"skitai.{name}"))

    def make_logger(self, name: str, freq: str = "daily") -> AppLogger:
        """Return the logger of a name; where it writes is up to ``logging``."""
        return self.get(name)


class AppLogger:
    """A logger as Skitai has them: ``logger("text", "info")``.

    Args:
        log: Where it goes.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def __call__(self, msg: object, category: str = "info") -> None:
        """Write a message."""
        self._log.log(_LEVELS.get(category, logging.INFO), "%s", msg)

    log = __call__

    def traceback(self, id: str = "") -> None:
        """Write the traceback of the exception that is being handled."""
        self._log.error("%s\n%s", id, traceback.format_exc())

    def __getattr__(self, name: str) -> Callable[[object], None]:
        if name not in _LEVELS:
            raise AttributeError(f"a logger has no {name!r}", name=name)
        return lambda msg: self(msg, name)


class Standalone:
    """``environ["skitai.was"]`` without Skitai.

    Attributes:
        user: Who has authenticated himself.
        gtxnid: Global transaction id: there is none.
        ltxnid: Local transaction id.
    """

    gtxnid = ""
    ltxnid = 1000

    def __init__(self) -> None:
        self.user: str | None = None

    def log(self, msg: object, category: str = "info") -> None:
        """Write a message to the logger "skitai.app"."""
        _log.log(_LEVELS.get(category, logging.INFO), "%s", msg)

    def traceback(self, id: str = "") -> None:
        """Write the traceback of the exception that is being handled."""
        _log.error("%s\n%s", id, traceback.format_exc())

    tojson = staticmethod(formats.tojson)
    fromjson = staticmethod(formats.fromjson)
    toxml = staticmethod(formats.toxml)
    fromxml = staticmethod(formats.fromxml)
    togrpc = staticmethod(formats.togrpc)
    fromgrpc = staticmethod(formats.fromgrpc)

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, in an event loop of its own, and return its result."""
        loop = asyncio.new_event_loop()
        try:
            result = loop.run_until_complete(coroutine)
        except BaseException:
            _end(loop)
            raise
        if hasattr(result, "__aiter__"):
            return _Pulled(loop, result)
        _end(loop)
        return result

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function where the coroutine runs: that is a thread."""
        return function(*args)

    def __getattr__(self, name: str) -> Any:
        return _registered(name, "was")


class _Pulled:
    """The pieces of an asynchronous iterator, pulled by a thread.

    Args:
        loop: The event loop it belongs to; closed with it.
        pieces: The iterator.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pieces: Any) -> None:
        self._loop = loop
        self._pieces: AsyncIterator[bytes] = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._loop.run_until_complete(anext(self._pieces))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the iterator and the loop."""
        if self._loop.is_closed():
            return
        try:
            self._loop.run_until_complete(self._pieces.aclose())  # type: ignore[attr-defined]
        finally:
            _end(self._loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop; what a view has begun in it and left ends first."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _registered(name: str, owner: str) -> Any:
    try:
        return registry[name]
    except KeyError:
        _refuse(name, owner)


def _refuse(name: str, owner: str) -> NoReturn:
    raise AttributeError(
        f"{owner}.{name} needs Skitai: run the application with skitai.run() or twistd skitai; nothing of that name has"
        " been registered either",
        name=name,
    )
