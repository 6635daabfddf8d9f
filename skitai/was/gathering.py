"""Several requests at once: those to all members of a cluster, and those that a coroutine waits for together.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from skitai.was.coroutines import foreign_loop
from skitai.was.handle import WAIT_TIMEOUT, Handle
from skitai.was.result import Responses


class MapHandle:
    """Requests to all members of a cluster.

    Args:
        handles: One for each, in order.
    """

    def __init__(self, handles: Sequence[Handle]) -> None:
        self._handles = list(handles)

    @property
    def each(self) -> Sequence[Handle]:
        """The handles, in order."""
        return self._handles

    def __repr__(self) -> str:
        return f"<MapHandle {self._handles!r}>"

    def wait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = True) -> None:
        """Wait until all are done; see ``Handle.wait``."""
        self.getswait(timeout, reraise)

    def getswait(self, timeout: float = WAIT_TIMEOUT, reraise: bool = False) -> Responses:
        """Wait for all responses; see ``Handle.wait``."""
        responses = Responses([handle.getwait(timeout) for handle in self._handles])
        return responses.reraise() if reraise else responses

    getwait = getswait

    def cancel(self) -> None:
        """Give them all up."""
        for handle in self._handles:
            handle.cancel()

    def cache(self, seconds: float) -> MapHandle:
        """Keep all responses; see ``Response.cache``."""
        for handle in self._handles:
            handle.cache(seconds)
        return self

    def give_up(self) -> None:
        """Cancel those that nobody else wants; see ``Handle.give_up``."""
        for handle in self._handles:
            handle.give_up()

    def __await__(self) -> Generator[Any, Any, Responses]:
        """Wait for all responses in a coroutine; where that is cancelled, all are. Thread: reactor."""
        return Responses((yield from Gathering(self._handles).__await__()))


class Gathering:
    """Several handles awaited together: ``await was.gather(one, two)``.

    Args:
        handles: Any handles.

    Raises:
        TypeError: One is none.
    """

    def __init__(self, handles: Sequence[Handle | MapHandle]) -> None:
        for handle in handles:
            if not isinstance(handle, (Handle, MapHandle)):
                raise TypeError(f"was.gather(*handles) takes what was.get() and the like return, not {handle!r}")
        self._handles = handles

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        """Wait for all in a coroutine; where that is cancelled, all are. Thread: as for a handle."""
        found: list[Any] = []
        try:
            if foreign_loop() is None:
                # So it is resumed once, and not for each.
                yield from _Last(self._handles).done.__await__()
            for handle in self._handles:
                found.append((yield from handle.__await__()))
        except BaseException:
            for handle in self._handles[len(found) :]:
                handle.give_up()
            raise
        return found


class _Last:
    """Waits for several handles, to tell when the last one is done. Thread: reactor.

    Args:
        handles: For whom.

    Attributes:
        called: Whether nobody waits for them any more.
        done: Fires then; where it is cancelled, the requests are, unless somebody else wants them.
    """

    __slots__ = ("_handles", "_open", "called", "done")

    def __init__(self, handles: Sequence[Handle | MapHandle]) -> None:
        self.called = False
        self.done: Deferred[None] = Deferred(self._cancelled)
        self._handles: list[Handle] = []
        for handle in handles:
            self._handles += handle.each if isinstance(handle, MapHandle) else (handle,)
        self._open = 1 + sum([handle.tell(self) for handle in self._handles])
        self.callback(None)

    def callback(self, result: None) -> None:
        """One more is done."""
        self._open -= 1
        if not self._open:
            self.called = True
            self._handles = []
            self.done.callback(None)

    def _cancelled(self, done: Deferred[None]) -> None:
        self.called = True
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.tell_no_more(self)
