"""The body of an asynchronous response: requests are made, and whoever handles their responses pushes pieces.

Theory of operation. Responses are handled one after the other, in the order in which they come, in an application
thread (on the reactor with ``threads=0``): a handler never runs beside itself, so it may count and collect without a
lock. Handling begins when the body is being sent, which is after the view has returned: so the view can make all its
requests before the first response is handled, and the number of requests is known by then.

What is pushed is queued until the client has read what came before. While more than ``BUFFER_SIZE`` bytes wait, the
thread that pushes waits too, and another one runs in its place. On the reactor, and in the view, before whose end
nobody reads, nobody can wait: there the response fails when more than ``MAX_SIZE`` are queued.

A response goes from state to state: ``COLLECTING`` while the view makes requests; then ``IDLE`` and ``HANDLING`` in
turn, whenever responses have arrived and are handled; last ``ENDED`` when its last piece was pushed, or ``LEFT`` when
it was given up. When everything asked for has been handled and nobody has said that this was all, it ends by itself: a
client is not left waiting for what nobody will send. However it ends, the same piece is the last one.

Layer 3. It must not know what handlers do, nor what is rendered. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from skitai.errors import PeerError, RequestCancelled, SkitaiError
from skitai.was.calls import Caller, RemoteCalls, Stub, Verb
from skitai.was.handle import Handle
from skitai.was.loggers import current_mark
from skitai.was.outgoing import VERBS
from skitai.was.result import Response

BUFFER_SIZE: Final = 1024 * 1024
"""Bytes that may wait for the client before a thread that pushes more waits too: some parts of a large page.

It comes on top of ``response_buffer_size``, which bounds what has been handed to the connection.
"""

MAX_SIZE: Final = 64 * 1024 * 1024
"""Bytes that may wait where nobody can: as much as one answer of a server may have."""

_log = Logger(namespace="skitai.app")


class _State(enum.Enum):
    COLLECTING = enum.auto()
    IDLE = enum.auto()
    HANDLING = enum.auto()
    ENDED = enum.auto()
    LEFT = enum.auto()


_OPEN: Final = frozenset((_State.COLLECTING, _State.IDLE, _State.HANDLING))
"""The states in which pieces can be pushed and requests made."""


class Pushed:
    """Pieces of a body that are pushed. An asynchronous iterator. A job for the application threads.

    Args:
        caller: On whose behalf requests are made.
        handle: Called with each response.
        failed: Called with what ``handle`` has raised; the body ends then.
        last: The last piece, however the body ends.
    """

    def __init__(
        self,
        caller: Caller,
        handle: Callable[[Response], object],
        failed: Callable[[Exception], object],
        last: bytes = b"",
    ) -> None:
        self._caller = caller
        self._threads = caller.threads
        self._handle: Callable[[Response], object] = handle
        self._failed: Callable[[Exception], object] = failed
        self._context: Context = copy_context()
        self._last = last
        self._lock = threading.Lock()
        self._state = _State.COLLECTING
        self._asked = 0
        self._handled = 0
        self._handles: dict[Handle, None] = {}  # whose responses have not been handled
        self._arrived: deque[Handle] = deque()
        self._pieces: deque[bytes] = deque()
        self._size = 0  # of the pieces
        self._fault: PeerError | None = None
        self._waiting: Deferred[None] | None = None  # for a piece
        self._crowd: list[Deferred[None]] = []  # for room

    def __str__(self) -> str:
        return f"asynchronous response to {self._asked} requests"

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
        self._start(name, partial(Verb(self._caller, verb), uri, *args, **kwargs))

    def rpc(self, name: str | None, uri: str, *args: Any, **kwargs: Any) -> Stub:
        """Return a stub of an XML-RPC service, the responses to whose methods are to be handled; see ``ask``."""
        _refuse_callback(kwargs)
        return RemoteCalls(self._caller, partial(self._start, name))(uri, *args, **kwargs)

    def _start(self, name: str | None, start: Callable[[], Handle]) -> None:
        """Start a request, unless nobody wants it any more."""
        state = self._state
        if state is _State.ENDED:
            raise SkitaiError("the asynchronous response has ended: no more requests can be made")
        if state is not _State.LEFT:
            self.add(name, start())

    def add(self, name: str | None, handle: Handle) -> None:
        """Have the response to a request handled that is on its way."""
        handle.reqid = name
        with self._lock:
            is_open = self._state in _OPEN
            if is_open:
                self._asked += 1
                self._handles[handle] = None
        if is_open:
            handle.when_done(self._arrive)
        else:
            handle.cancel()  # it has ended between

    @property
    def all_fetched(self) -> bool:
        """Whether the response that is being handled is the last one of those asked for."""
        return self._handled >= self._asked

    # -- pushing

    def push(self, content: bytes) -> None:
        """Send a piece; in a thread of an application, wait while too many are to be read by the client before it."""
        with self._lock:
            if self._state not in _OPEN:
                return
            overflown = self._size > MAX_SIZE
            if overflown:
                self._fail()
            else:
                self._append(content)
            waits = self._size > BUFFER_SIZE and self._state is not _State.COLLECTING
        self._wake()
        if overflown:
            _log.error("{mark}an {what} has failed: {fault}", mark=current_mark(), what=str(self), fault=self._fault)
        elif waits and not self._threads.in_reactor():
            try:
                self._threads.block(self._when_room)
            except RequestCancelled:  # the server has stopped
                self.close()

    def done(self, content: bytes = b"") -> None:
        """Send the last piece of the handler; what comes later is ignored."""
        with self._lock:
            if self._state not in _OPEN:
                return
            self._append(content)
            self._append(self._last)
            self._state = _State.ENDED
        self._wake()

    def _append(self, content: bytes) -> None:
        """Queue a piece. The lock is held."""
        if content:
            self._pieces.append(content)
            self._size += len(content)

    def _fail(self) -> None:
        """End, so that the client sees that something is missing. The lock is held."""
        self._state = _State.ENDED
        self._fault = PeerError(500, f"more than {MAX_SIZE:,} bytes were pushed where nobody can wait for the client")
        self._pieces.clear()
        self._size = 0

    def _wake(self) -> None:
        """Let who waits for a piece, or for room, look again."""
        if self._waiting is None and not self._crowd:
            return
        if self._threads.in_reactor():
            self._resume()
        else:
            self._threads.to_reactor(self._resume)

    def _resume(self) -> None:
        """Let who waits for a piece go on, and where there is room those who wait for that. Thread: reactor."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)
        self._let_in()

    def _when_room(self) -> Deferred[None]:
        """Return what fires when the client has read enough. Thread: reactor."""
        if not self._is_crowded():
            return succeed(None)
        room: Deferred[None] = Deferred()
        self._crowd.append(room)
        return room

    def _is_crowded(self) -> bool:
        return self._size > BUFFER_SIZE and self._state in _OPEN

    def _let_in(self) -> None:
        """Let those go on who wait for room. Thread: reactor."""
        if self._crowd and not self._is_crowded():
            crowd, self._crowd = self._crowd, []
            for room in crowd:
                room.callback(None)

    # -- handling

    def _begin(self) -> None:
        """Begin to handle responses: the view has returned. Thread: reactor."""
        with self._lock:
            if self._state is not _State.COLLECTING:
                return
            self._state = _State.IDLE
            run = self._take_turn()
            nothing = not self._asked
        if run:
            self._threads.insist(self)
        elif nothing:
            self._warn("has made none, and nobody has called done()")
            self.done()

    def _arrive(self, handle: Handle) -> None:
        """Have a response handled. Thread: reactor."""
        with self._lock:
            if self._state not in _OPEN:
                return
            self._arrived.append(handle)
            run = self._take_turn()
        if run:
            # However long the queue is: there is one job at most for each response that is sent.
            self._threads.insist(self)

    def _take_turn(self) -> bool:
        """Return whether ``run`` is to be called, which it is once at a time. The lock is held."""
        if self._state is not _State.IDLE or not self._arrived:
            return False
        self._state = _State.HANDLING
        return True

    def run(self) -> None:
        """Handle what has come. Thread: application, or reactor with threads=0."""
        # A copy: the one before may just be about to leave its own.
        self._context.copy().run(self._run)

    def _run(self) -> None:
        while (handle := self._next()) is not None:
            self._handle_one(handle)

    def _next(self) -> Handle | None:
        """Return the next response to handle; None where there is none for now."""
        with self._lock:
            if self._state is not _State.HANDLING:
                return None
            if self._arrived:
                handle = self._arrived.popleft()
                self._handled += 1
                self._handles.pop(handle, None)
                return handle
            self._state = _State.IDLE
            all_handled = self.all_fetched
        if all_handled:
            self._warn("has none left, and its handler has not called done()")
            self.done()
        return None

    def _handle_one(self, handle: Handle) -> None:
        try:
            response = handle.response()
            response.reqid = handle.reqid
            self._handle(response)
        except BaseException as error:
            _log.failure("{mark}the handler of an {what} failed", mark=current_mark(), what=str(self))
            try:
                if isinstance(error, Exception):
                    self._failed(error)
            finally:
                self.done()

    def _warn(self, why: str) -> None:
        _log.warn("{mark}an {what} {why}: ended now", mark=current_mark(), what=str(self), why=why)

    # -- being sent

    def __aiter__(self) -> Pushed:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece when there is one. Thread: reactor."""
        self._begin()
        while True:
            with self._lock:
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._size -= len(piece)
                    break
                if self._fault is not None:
                    raise self._fault
                if self._state not in _OPEN:
                    raise StopAsyncIteration
                self._waiting = waiting = Deferred[None]()
            await waiting
        self._let_in()
        return piece

    async def aclose(self) -> None:
        """Give it up; see ``close``. Thread: reactor."""
        self.close()

    def close(self) -> None:
        """Give up what is still asked for, and what has not been sent. Further calls do nothing. Thread: any."""
        with self._lock:
            if self._state in _OPEN:
                self._state = _State.LEFT
            handles, self._handles = self._handles, {}
            self._arrived.clear()
            self._pieces.clear()
            self._size = 0
        # Their owner has this: without them nobody is left to the garbage collector.
        self._handle = self._failed = _nothing
        self._wake()
        for handle in handles:
            handle.cancel()


def _nothing(given: object) -> None:
    """Handle what nobody wants any more."""


def _refuse_callback(options: dict[str, Any]) -> None:
    if options.get("callback") is not None:
        raise TypeError("an asynchronous response has a handler; its requests take no callback")
