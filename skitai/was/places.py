"""Where a question is sent: one server, the best member of a cluster, or a certain one of them.

Layer 3. It must not know how anything is sent. Thread: reactor.
"""

from __future__ import annotations

from typing import Protocol

from skitai.errors import RequestError
from skitai.was.cluster import Attempts, Cluster, Member
from skitai.was.health import judge
from skitai.was.limits import DEFAULT_TRUST, Trust
from skitai.was.url import URL


class Place(Protocol):
    """Where a question is sent.

    Attributes:
        several: Whether there may be another place when one has failed.
    """

    several: bool

    def next(self) -> tuple[URL, Trust] | None:
        """Return where to send it next, None when there is nowhere left."""

    def end(self, error: RequestError | None) -> None:
        """Note what came of it there."""


class Watcher(Protocol):
    """What knows the time, and sees after members that are set aside."""

    def now(self) -> float:
        """Return the time."""

    def watch(self, cluster: Cluster) -> None:
        """Probe members that are set aside."""


class Server:
    """One server, whoever it is.

    Args:
        url: Where to.
    """

    __slots__ = ("_url",)

    several = False

    def __init__(self, url: URL) -> None:
        self._url: URL | None = url

    def next(self) -> tuple[URL, Trust] | None:
        """Return the URL once."""
        url, self._url = self._url, None
        return None if url is None else (url, DEFAULT_TRUST)

    def end(self, error: RequestError | None) -> None:
        """Do nothing: there is no choice another time."""


class Balanced:
    """The members of a cluster, the best one first.

    Args:
        watcher: Is told when one has failed.
        cluster: The cluster.
        rest: What follows its name.
        only: The one that it must be, as ``.map`` asks each.
    """

    __slots__ = ("_attempts", "_cluster", "_rest", "_watcher", "several")

    def __init__(self, watcher: Watcher, cluster: Cluster, rest: str, only: Member | None = None) -> None:
        self.several = only is None and len(cluster.members) > 1
        self._watcher = watcher
        self._cluster = cluster
        self._rest = rest
        self._attempts = Attempts(cluster, only)

    def next(self) -> tuple[URL, Trust] | None:
        """Return the URL at the next member."""
        member = self._attempts.next(self._watcher.now())
        return None if member is None else (member_url(self._cluster, member, self._rest), trust_of(self._cluster))

    def end(self, error: RequestError | None) -> None:
        """Note whether the member is well."""
        self._attempts.end(judge(error), self._watcher.now())
        self._watcher.watch(self._cluster)


def member_url(cluster: Cluster, member: Member, rest: str) -> URL:
    """Return the URL of a member with what follows the name of its cluster."""
    return URL(cluster.scheme, member.host, member.port, member.target(rest))


def trust_of(cluster: Cluster) -> Trust:
    """Return whose certificates the members of a cluster may have."""
    alias = cluster.alias
    return Trust(alias.cafile, alias.verify) if alias.ssl else DEFAULT_TRUST
