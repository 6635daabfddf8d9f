"""Several requests at once: those to all members of a cluster, and those that a coroutine waits for together.

Layer 3. It must not know what is asked. Thread: any, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from skitai.was.handle import WAIT_TIMEOUT, Handle
from skitai.was.result import Responses


class MapHandle:
    """Requests to all members of a cluster.

    Args:
        handles: One for each, in order.
    """

    def __init__(self, handles: Sequence[Handle]) -> None:
        self._handles = list(handles)

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
        """Wait for all in a coroutine; where that is cancelled, all are. Thread: reactor."""
        found: list[Any] = []
        try:
            for handle in self._handles:
                found.append((yield from handle.__await__()))
        except BaseException:
            for handle in self._handles[len(found) :]:
                handle.give_up()
            raise
        return found
