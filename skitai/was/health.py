"""Whether a server is worth asking: what its failures say, how long it rests after one, and when it is tried again.

A server that fails rests: 1 second after the first failure, twice as long after each further one, 60 seconds at most.
Nobody asks it then, unless no other server is left. Its rest ends when

* the time is over, or
* a probe has reached it before. A probe is a connection that is made and closed again, with no request on it, because
  a request would show in the logs and counts of a server that nobody has asked anything. While a server rests it is
  probed every 5 seconds, and a probe takes 4 at most: whoever returns is found within 9 seconds, however long its rest.

A connection only says that somebody listens. So what follows is a trial: one request, a real one, is let through. Where
it gets an answer the server is well and all is forgotten; where it fails the server rests for twice as long. A trial
that says nothing for 5 seconds lets the next one through, since it may be a request that takes long by its nature.

What counts. An answer with any status means that the server is well. No answer counts as a failure, and so does one
that is cut or malformed. A time-out counts as long as no byte of an answer has come; after that the application's limit
was too short. That somebody gave up says nothing, nor does a limit of our own that has kept a request here. Many
requests that fail together are one failure: all that began before a server was sent to rest, or that were forced upon
it while it rested, do not prolong it. A probe that fails does, so that no real request is wasted on a server that is
down; but a minute after the last failed request one is let through all the same, for what no probe reaches may be well.

Layer 3: no Twisted, no clock; ``now`` is in seconds of a clock that never goes back. Thread: reactor, but for the
functions, which any may call.
"""

from __future__ import annotations

import enum
from math import inf
from typing import Final

from skitai.errors import BeyondLimit, RequestCancelled, RequestError, RequestTimeout

FIRST_REST: Final = 1.0
"""Seconds that a server rests after its first failure; each further one doubles it."""

LONGEST_REST: Final = 60.0
"""Seconds that a server rests at most."""

LONGEST_REST_UNPROBED: Final = 8.0
"""Seconds that a server rests at most where nothing probes it: it has to be back in use within 10 seconds too."""

PROBE_INTERVAL: Final = 5.0
"""Seconds between two probes of a resting server."""

PROBE_TIMEOUT: Final = 4.0
"""Seconds after which a probe has failed. With the interval, less than the 10 seconds that are promised."""

TRIAL_TIMEOUT: Final = 5.0
"""Seconds for which a trial keeps other requests away."""


class Outcome(enum.Enum):
    """What the end of a request says about the server that was asked."""

    WELL = "it answers"
    FAILED = "it does not"
    UNKNOWN = "nothing"


def judge(error: BaseException | None) -> Outcome:
    """Return what the end of a request says about the server.

    Args:
        error: Why there is no answer, None where there is one, whatever its status. Where an own limit has ended it
            (too large, too many redirects) such a server is well.
    """
    if error is None or isinstance(error, BeyondLimit):
        return Outcome.WELL
    # Of no kind in particular: it could not be sent, or the answer not be written to the disk.
    if not isinstance(error, RequestError) or isinstance(error, RequestCancelled) or type(error) is RequestError:
        return Outcome.UNKNOWN  # what is wrong is on this side
    if error.queued or (isinstance(error, RequestTimeout) and error.answered):
        return Outcome.UNKNOWN
    return Outcome.FAILED


def may_ask_another(error: RequestError, repeatable: bool) -> bool:
    """Return whether a request that has failed may be sent to another server without doing anything twice.

    Args:
        error: Why there is no answer.
        repeatable: Whether the request does the same when it is done twice, and can be sent twice.
    """
    if error.answered or isinstance(error, RequestCancelled | RequestTimeout):
        return False  # the server has acted; nobody wants it any more; no time is left
    return repeatable or not error.sent


class Health:
    """What is known of one server. It begins well.

    Args:
        longest_rest: Seconds that it rests at most.

    Thread: reactor.
    """

    __slots__ = ("_busy_until", "_epoch", "_failures", "_longest_rest", "_probe_at", "_rest_until", "_trial_at")

    def __init__(self, longest_rest: float = LONGEST_REST) -> None:
        self._longest_rest = longest_rest
        self._failures = 0
        self._epoch = 0
        self._rest_until = 0.0
        self._trial_at = 0.0  # whatever probes say, it has rested then
        self._busy_until = 0.0  # a probe or a trial is under way
        self._probe_at = inf

    @property
    def well(self) -> bool:
        """Whether nothing speaks against asking it."""
        return not self._failures

    def may_ask(self, now: float) -> bool:
        """Return whether a request may go there: the server is well, or has rested and nobody is trying it."""
        return not self._failures or (now >= self._rest_until and now >= self._busy_until)

    def rest_left(self, now: float) -> float:
        """Return for how many seconds it still rests; 0 for not at all."""
        return max(0.0, self._rest_until - now) if self._failures else 0.0

    # -- requests

    def begin(self, now: float) -> int:
        """Note that a request goes there.

        Returns:
            A number to give to ``end``.
        """
        if self._failures and now >= self._rest_until:
            self._busy_until = max(self._busy_until, now + TRIAL_TIMEOUT)
        return self._epoch

    def end(self, ticket: int, outcome: Outcome, now: float) -> None:
        """Note how a request ended.

        Args:
            ticket: What ``begin`` returned.
            outcome: What that says.
            now: The time.
        """
        if ticket != self._epoch:
            return  # it was sent before the failure that is known already
        if outcome is Outcome.WELL:
            if self._failures:
                self._failures = 0
                self._probe_at = inf
        elif self._failures and now < self._rest_until:
            return  # forced upon a resting server: it would be away for a minute after a moment of many requests
        elif outcome is Outcome.FAILED:
            self._epoch += 1
            self._trial_at = now + self._longest_rest
            self._rest(now)
        else:
            self._busy_until = now

    def _rest(self, now: float) -> None:
        length = min(FIRST_REST * 2.0 ** min(self._failures, 30), self._longest_rest)
        self._failures += 1
        self._rest_until = min(now + length, self._trial_at)
        self._busy_until = now
        self._probe_at = now + min(length, PROBE_INTERVAL)

    # -- probes

    @property
    def next_probe(self) -> float:
        """When it is to be probed, infinite for never."""
        return max(self._probe_at, self._busy_until)

    def begin_probe(self, now: float) -> int:
        """Note that it is being probed.

        Returns:
            A number to give to ``end_probe``.
        """
        if now < self._trial_at:
            self._busy_until = now + PROBE_TIMEOUT
        self._probe_at = now + PROBE_INTERVAL
        return self._epoch

    def end_probe(self, ticket: int, reached: bool, now: float) -> None:
        """Note how a probe ended.

        Args:
            ticket: What ``begin_probe`` returned.
            reached: Whether there was a connection.
            now: The time.
        """
        if ticket != self._epoch or not self._failures:
            return  # a request has found out meanwhile
        if reached:
            self._rest_until = self._busy_until = now
            self._probe_at = inf  # a trial has to say more
        elif now < self._trial_at:
            regular = self._probe_at  # counted from the begin of this probe, which may have taken long
            self._rest(now)
            self._probe_at = min(self._probe_at, max(regular, now))
