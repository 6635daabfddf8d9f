"""Probes: connections to members that were set aside, which are closed as soon as they are there.

What ``skitai.was.health`` says about when, happens here. Layer 3. It must not know requests. Thread: reactor.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from skitai.was.cluster import Cluster, Probe
from skitai.was.health import PROBE_TIMEOUT

_CLOSE_ENOUGH: Final = 0.01
"""Seconds by which a probe may come late."""


class Prober:
    """Makes the probes of all clusters when they are due.

    Args:
        reactor: Connects, and knows the time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor: Any = reactor
        self._clock: IReactorTime = reactor
        self._calls: dict[Cluster, IDelayedCall] = {}
        self._knocks: set[_Knock] = set()
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

    def _probe(self, cluster: Cluster) -> None:
        del self._calls[cluster]
        for probe in cluster.due_probes(self._clock.seconds()):
            knock = _Knock(self, cluster, probe)
            self._knocks.add(knock)
            knock.connect(self._reactor)
        self.watch(cluster)

    def told(self, knock: _Knock, cluster: Cluster, probe: Probe, reached: bool) -> None:
        """Note what came of a probe."""
        self._knocks.discard(knock)
        cluster.probed(probe, reached, self._clock.seconds())
        self.watch(cluster)

    def close(self) -> None:
        """End all probes, and begin none any more."""
        self._closed = True
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        for knock in list(self._knocks):
            knock.give_up()


class _Knock(Factory):
    """One connection to a member, which is closed as soon as it is there.

    Args:
        prober: Is told.
        cluster: Of the member.
        probe: Whom to try.
    """

    noisy = False

    def __init__(self, prober: Prober, cluster: Cluster, probe: Probe) -> None:
        self._prober = prober
        self._cluster = cluster
        self._probe = probe
        self._connector: Any = None

    def connect(self, reactor: Any) -> None:
        """Try."""
        member = self._probe.member
        self._connector = reactor.connectTCP(member.host, member.port, self, timeout=PROBE_TIMEOUT)

    def give_up(self) -> None:
        """Try no more."""
        self._connector.disconnect()

    def startedConnecting(self, connector: Any) -> None:
        """Do nothing."""

    def buildProtocol(self, addr: Any) -> Protocol:
        """Return what closes the connection at once."""
        return _Hello(self)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        """Nobody is there."""
        self.told(False)

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        """Do nothing: it was closed."""

    def told(self, reached: bool) -> None:
        """Tell what was found."""
        self._prober.told(self, self._cluster, self._probe, reached)


class _Hello(Protocol):
    def __init__(self, knock: _Knock) -> None:
        self._knock = knock

    def connectionMade(self) -> None:
        """Somebody is there: that is all."""
        self._knock.told(True)
        self.transport.abortConnection()  # type: ignore[union-attr]
