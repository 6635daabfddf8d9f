"""The body of an asynchronous response: requests are made, and whoever handles their responses pushes pieces.

Theory of operation. Responses are handled one after the other, in the order in which they come, in an application
thread (on the reactor with ``threads=0``): a handler never runs beside itself, so it may count and collect without a
lock. Handling begins when the body is being sent, which is after the view has returned: so the view can make all its
requests before the first response is handled, and the number of requests is known by then.

What is pushed is queued until the client has read what came before; the thread that pushes does not wait for it. When
everything asked for has been handled and nobody has said that this was all, it ends by itself: a client is not left
waiting for what nobody will send.

Layer 3. It must not know what handlers do, nor what is rendered. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skitai.errors import SkitaiError
from skitai.was.calls import Caller, RemoteCalls, Stub, Verb
from skitai.was.handle import Handle
from skitai.was.outgoing import VERBS
from skitai.was.result import Response

_RETRY_AFTER: Final = 0.05
"""Seconds after which a handler that found the queue of the application threads full is queued again."""

_log = Logger(namespace="skitai.app")


class Pushed:
    """Pieces of a body that are pushed. An asynchronous iterator. A job for the application threads.

    Args:
        caller: On whose behalf requests are made.
        handle: Called with each response.
        failed: Called with what ``handle`` has raised; the body ends then.
    """

    def __init__(
        self, caller: Caller, handle: Callable[[Response], object], failed: Callable[[Exception], object]
    ) -> None:
        self._caller = caller
        self._threads = caller.threads
        self._handle: Callable[[Response], object] = handle
        self._failed: Callable[[Exception], object] = failed
        self._context: Context = copy_context()
        self._lock = threading.Lock()
        self._handles: list[Handle] = []
        self._arrived: deque[Handle] = deque()
        self._handled = 0
        self._begun = False
        self._running = False
        self._ended = False
        self._left = False
        self._pieces: deque[Any] = deque()
        self._waiting: Deferred[None] | None = None

    def __str__(self) -> str:
        return f"asynchronous response to {len(self._handles)} requests"

    # -- asking

    def is_verb(self, name: str) -> bool:
        """Tell whether ``ask`` takes a verb."""
        return name in VERBS

    def ask(self, name: str | None, verb: str, uri: str, *args: Any, **kwargs: Any) -> None:
        """Start a request whose response is to be handled; when the client has left, nothing.

        Args:
            name: What the response is known by.
            verb: "get", "postform" ...
            uri: Where to.
            args: Further arguments of the verb.
            kwargs: The same by name, but for ``callback``.

        Raises:
            ValueError, TypeError: An argument can not be used.
            SkitaiError: The response has ended.
        """
        _refuse_callback(kwargs)
        if self._is_open():
            self.add(name, Verb(self._caller, verb)(uri, *args, **kwargs))

    def rpc(self, name: str | None, uri: str, *args: Any, **kwargs: Any) -> Named:
        """Return a stub of an XML-RPC service, the responses to whose methods are to be handled."""
        _refuse_callback(kwargs)
        return Named(self, name, RemoteCalls(self._caller)(uri, *args, **kwargs))

    def call(self, name: str | None, stub: Stub, params: tuple[Any, ...]) -> None:
        """Start the call of a method whose response is to be handled; see ``ask``."""
        if self._is_open():
            self.add(name, stub(*params))

    def add(self, name: str | None, handle: Handle) -> None:
        """Have the response to a request handled that is on its way."""
        handle.reqid = name
        with self._lock:
            ended = self._ended
            if not ended:
                self._handles.append(handle)
        if ended:
            handle.cancel()  # it has ended between
        else:
            handle.when_done(self._arrive)

    def _is_open(self) -> bool:
        """Tell whether requests can be made.

        Raises:
            SkitaiError: No more: the handler has said that this was all.
        """
        if self._ended and not self._left:
            raise SkitaiError("the asynchronous response has ended: no more requests can be made")
        return not self._ended

    @property
    def all_fetched(self) -> bool:
        """Whether the response that is being handled is the last one of those asked for."""
        return self._handled >= len(self._handles)

    # -- pushing

    def push(self, content: Any) -> None:
        """Send a piece."""
        if content is not None and not self._ended:
            self._pieces.append(content)
            self._wake()

    def done(self, content: Any = None) -> None:
        """Send the last piece; what comes later is ignored."""
        if content is not None and not self._ended:
            self._pieces.append(content)
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        # Who begins to wait looks for pieces afterwards, so that none is overlooked.
        if self._waiting is None:
            return
        if self._threads.in_reactor():
            self._resume()
        else:
            self._threads.to_reactor(self._resume)

    def _resume(self) -> None:
        """Let who waits for a piece go on. Thread: reactor."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    # -- handling

    def _begin(self) -> None:
        """Begin to handle responses: the view has returned. Thread: reactor."""
        with self._lock:
            self._begun = True
            run = self._take_turn()
            nothing = not self._handles and not self._ended
        if run:
            self._submit()
        elif nothing:
            _log.warn("an {what} has made none, and nobody has called done(): ended now", what=str(self))
            self.done()

    def _arrive(self, handle: Handle) -> None:
        """Have a response handled. Thread: reactor."""
        with self._lock:
            self._arrived.append(handle)
            run = self._take_turn()
        if run:
            self._submit()

    def _take_turn(self) -> bool:
        """Return whether ``run`` is to be called, which it is once at a time. The lock is held."""
        if not self._begun or self._running or self._ended or not self._arrived:
            return False
        self._running = True
        return True

    def _submit(self) -> None:
        if not self._ended and not self._threads.submit(self):
            self._threads.later(_RETRY_AFTER, self._submit)

    def run(self) -> None:
        """Handle what has come. Thread: application, or reactor with threads=0."""
        # A copy: the one before may just be about to leave its own.
        self._context.copy().run(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._arrived or self._ended:
                    self._running = False
                    all_handled = bool(self._handled) and self.all_fetched and not self._ended
                    break
                handle = self._arrived.popleft()
                self._handled += 1
            self._handle_one(handle)
        if all_handled:
            _log.warn("the handler of an {what} has not called done(): ended now", what=str(self))
            self.done()

    def _handle_one(self, handle: Handle) -> None:
        try:
            response = handle.response()
            response.reqid = handle.reqid
            self._handle(response)
        except BaseException as error:
            _log.failure("the handler of an {what} failed", what=str(self))
            try:
                if isinstance(error, Exception):
                    self._failed(error)
            finally:
                self.done()

    # -- being sent

    def __aiter__(self) -> Pushed:
        return self

    async def __anext__(self) -> Any:
        """Return the next piece when there is one. Thread: reactor."""
        if not self._begun:
            self._begin()
        while not self._pieces:
            if self._ended and not self._pieces:  # it ends after its last piece
                raise StopAsyncIteration
            waiting: Deferred[None] = Deferred()
            self._waiting = waiting
            if self._pieces or self._ended:  # pushed by a thread just now
                self._waiting = None
                continue
            await waiting
        return self._pieces.popleft()

    async def aclose(self) -> None:
        """Give up what is still asked for. Thread: reactor."""
        with self._lock:
            self._left = not self._ended or self._left
            self._ended = True
            handles, self._handles = self._handles, []
            self._arrived.clear()
        self._pieces.clear()
        for handle in handles:
            handle.cancel()


def _refuse_callback(options: dict[str, Any]) -> None:
    if options.get("callback") is not None:
        raise TypeError("an asynchronous response has a handler; its requests take no callback")


class Named:
    """A stub whose calls belong to an asynchronous response.

    Args:
        pushed: The response.
        name: What the responses are known by.
        stub: The stub.
    """

    __slots__ = ("_name", "_pushed", "_stub")

    def __init__(self, pushed: Pushed, name: str | None, stub: Stub) -> None:
        self._pushed = pushed
        self._name = name
        self._stub = stub

    def __getattr__(self, name: str) -> Named:
        return Named(self._pushed, self._name, getattr(self._stub, name))

    def __call__(self, *params: Any) -> None:
        """Start a call of the method."""
        self._pushed.call(self._name, self._stub, params)
