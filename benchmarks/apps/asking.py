"""What all that ask do alike: how long, how many at a time, and what they report."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

AT_ONCE = 64
WARM_UP = 0.3
"""Seconds of the load that are not counted: connections are made, caches filled."""


def backend() -> str:
    """Give the URL that is asked for."""
    return f"http://127.0.0.1:{os.environ.get('BENCH_BACKEND', '5001')}/items/4711"


@dataclass(slots=True)
class Count:
    """Counts requests while time passes: ``while count.goes_on(): ...; count.add(...)``.

    Attributes:
        seconds: How long is counted.
    """

    seconds: float
    _requests: int = 0
    _until: float = 0.0
    _began: tuple[float, float] | None = None
    _ended: tuple[float, float] = field(default=(0.0, 0.0))

    def goes_on(self) -> bool:
        """Tell whether more requests are wanted. The first call begins the warm-up."""
        now = time.perf_counter()
        if not self._until:
            self._until = now + WARM_UP
        if now < self._until:
            return True
        if self._began is None:
            self._requests = 0
            self._began = (now, time.process_time())
            self._until = now + self.seconds
            return True
        self._ended = (now, time.process_time())
        return False

    def add(self, statuses: list[int]) -> None:
        """Count requests by their statuses, each of which has to be 200."""
        if statuses.count(200) != len(statuses):
            raise SystemExit(f"answers other than 200: {sorted(set(statuses))}")
        self._requests += len(statuses)

    def report(self) -> dict[str, float]:
        """Give requests, seconds and the processor time that they took."""
        assert self._began is not None
        (began, used), (ended, used_at_end) = self._began, self._ended
        return {"requests": self._requests, "seconds": ended - began, "cpu": used_at_end - used}
