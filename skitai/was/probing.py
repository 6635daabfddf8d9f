"""Probes: connections to members that were set aside, which are closed as soon as they are there.

What ``skitai.was.health`` says about when, happens here. A probe takes the way of a request: the same lookups, and one
address after the other. TLS is left out, for who shows a wrong certificate is there as well.

Layer 3. It must not know requests. Thread: reactor.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from skitai.errors import RequestError
from skitai.was.cluster import Cluster, Probe
from skitai.was.connecting import Attempt, Dialer
from skitai.was.connection import Connection
from skitai.was.health import PROBE_TIMEOUT
from skitai.was.limits import Target

_CLOSE_ENOUGH: Final = 0.01
"""Seconds by which a probe may come late."""


class _Knock(NamedTuple):
    """A probe that is being made."""

    cluster: Cluster
    probe: Probe
    timer: IDelayedCall


class Prober:
    """Makes the probes of all clusters when they are due. It is the owner of their connections.

    Args:
        dialer: What the connections are made with.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._clock = dialer.reactor
        self._calls: dict[Cluster, IDelayedCall] = {}
        self._knocks: dict[Attempt, _Knock] = {}
        self._closed = False

    def watch(self, cluster: Cluster) -> None:
        """Probe the members of ``cluster`` that are set aside; to be called after each request to one of them."""
        due = None if self._closed else cluster.next_probe()
        known = self._calls.get(cluster)
        if known is None:
            if due is None:
                return
        elif due is not None and abs(known.getTime() - due) < _CLOSE_ENOUGH:
            return
        else:
            known.cancel()
            del self._calls[cluster]
        if due is not None:
            delay = max(0.0, due - self._clock.seconds())
            self._calls[cluster] = self._clock.callLater(delay, self._probe, cluster)

    def close(self) -> None:
        """End all probes, and begin none any more."""
        self._closed = True
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        for attempt, knock in self._knocks.items():
            knock.timer.cancel()
            attempt.cancel()
        self._knocks.clear()

    def _probe(self, cluster: Cluster) -> None:
        del self._calls[cluster]
        for probe in cluster.due_probes(self._clock.seconds()):
            member = probe.member
            attempt = Attempt(self._dialer, self, Target("http", member.host, member.port))
            timer = self._clock.callLater(PROBE_TIMEOUT, self._give_up, attempt)
            self._knocks[attempt] = _Knock(cluster, probe, timer)
            attempt.start()
        self.watch(cluster)

    def _give_up(self, attempt: Attempt) -> None:
        attempt.cancel()
        self._told(attempt, False)

    def _told(self, attempt: Attempt, reached: bool) -> None:
        """Note what came of a probe."""
        cluster, probe, timer = self._knocks.pop(attempt)
        if timer.active():
            timer.cancel()
        cluster.probed(probe, reached, self._clock.seconds())
        self.watch(cluster)

    # -- told by attempts and connections

    def connected(self, attempt: Attempt, connection: Connection) -> None:
        """Somebody is there: that is all."""
        connection.abort()
        self._told(attempt, True)

    def not_connected(self, attempt: Attempt, error: RequestError) -> None:
        """Nobody is there."""
        self._told(attempt, False)

    def free(self, connection: Connection) -> None:
        """Do nothing: no request is made."""

    def gone(self, connection: Connection) -> None:
        """Do nothing: it was to be closed."""
