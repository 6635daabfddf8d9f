"""Clusters: the servers behind an alias, which of them a request goes to, and in what order it tries the others.

A request goes to the member with the fewest requests under way; among equals, members take turns by weight. A member of
weight 3 counts as equal with one of weight 1 while it has fewer than three times as many. Members that rest after a
failure (``skitai.was.health``) are left out; when none but these is left, they are asked all the same. No request asks
a member twice.

Who asks says so: ``begin`` and ``end``, or ``Attempts`` which calls them. The network side also makes the probes:
``next_probe`` says when, ``due_probes`` which, ``probed`` takes what came of it. When all members are well there is
nothing to wait for, so no timer runs.

Layer 3. It must not know what is asked, nor Twisted, nor a clock; ``now`` is in seconds of a clock that never goes
back. Thread: reactor, but for ``Clusters``, ``Member`` and ``Cluster.members``, which never change: any.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, NamedTuple

from skitai.aliases import Alias
from skitai.constants import DB_MONGODB, DB_PGSQL, DB_REDIS, DB_SQLITE3
from skitai.errors import ConfigError
from skitai.values import suggestion
from skitai.was.health import LONGEST_REST, LONGEST_REST_UNPROBED, Health, Outcome
from skitai.was.url import read_url

_PORTS: Final = {DB_PGSQL: 5432, DB_REDIS: 6379, DB_MONGODB: 27017}
_REFERENCE: Final = re.compile(r"(@[A-Za-z0-9_.-]+)((?:[/?#].*)?)", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One server of a cluster. Two members are never equal, even where they are written alike.

    Attributes:
        index: Its place in the cluster, from 0.
        host: Name or address, IPv6 without brackets; "" for a file.
        port: The port; 0 for a file.
        weight: Its share of the requests, in relation to the others'.
        path: What stands before the path of each HTTP request: "" or "/path"; for SQLite the file.
        database: Of a database server: name or number, "" for none given.
        user: Of a database server: who logs in, "" for none given.
        password: Of a database server, "" for none given. No log and no ``repr`` shows it.
    """

    index: int
    host: str
    port: int
    weight: int = 1
    path: str = ""
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def target(self, rest: str) -> str:
        """Return the target of an HTTP request.

        Args:
            rest: What follows the name of the cluster: "", "/path", "/path?query" or "?query".
        """
        return self.path + rest if rest.startswith("/") else (self.path or "/") + rest

    def __str__(self) -> str:
        return self.authority if self.host else self.path


def read_members(alias: Alias) -> tuple[Member, ...]:
    """Return the members of an alias, in order.

    Args:
        alias: One that ``make_alias`` has checked.

    Raises:
        ConfigError: There are some that can not be asked.
    """
    members, faults = [], []
    for index, text in enumerate(alias.members):
        try:
            members.append(_read_member(alias, index, text))
        except ValueError as error:
            faults.append(f"alias {alias.name!r}: member {text!r}: {error}")
    if faults:
        raise ConfigError(faults)
    return tuple(members)


def _read_member(alias: Alias, index: int, text: str) -> Member:
    if alias.type == DB_SQLITE3:
        return Member(index, "", 0, path=text)
    words = text.split()
    weight = int(words[1]) if len(words) > 1 else 1
    if alias.type not in _PORTS:
        return _read_http(alias, index, words[0], weight)
    address, _, rest = words[0].partition("/")
    host, bracket, port = address.rpartition("]")
    if bracket:
        host, port = host[1:], port[1:]
    else:
        host, _, port = address.partition(":")
    # A password may have a slash in it; nothing follows it.
    database, user, password = (*rest.split("/", 2), "", "")[:3]
    number = int(port) if port else _PORTS[alias.type]
    return Member(index, host, number, weight, database=database, user=user, password=password)


def _read_http(alias: Alias, index: int, address: str, weight: int) -> Member:
    """Read a member as a URL is read, so that both mean the same.

    Raises:
        ValueError: It can not be asked.
    """
    if "?" in address or "#" in address:
        raise ValueError("what follows '?' or '#' belongs to each request")
    url, _ = read_url(f"{_scheme_of(alias)}://{address}")
    return Member(index, url.host, url.port, weight, path=url.target.rstrip("/"))


def _scheme_of(alias: Alias) -> str:
    return "https" if alias.ssl else "http"


def split_reference(text: str) -> tuple[str, str]:
    """Return the two parts of what names a cluster: "@name" and the rest, which is "" or begins with "/" or "?".

    Raises:
        ValueError: It has no name.
    """
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} must look like '@name' or '@name/path'")
    return found[1], found[2].partition("#")[0]  # a fragment is never sent


class Probe(NamedTuple):
    """A connection that is to be made to find out whether somebody listens, and closed again.

    Attributes:
        member: Where.
        ticket: What the cluster knows it by.
    """

    member: Member
    ticket: int


class _Seat:
    """What changes of a member."""

    __slots__ = ("health", "member", "outstanding", "turn")

    def __init__(self, member: Member, longest_rest: float) -> None:
        self.member = member
        self.health = Health(longest_rest)
        self.outstanding = 0
        self.turn = 0


class Cluster:
    """The servers of an alias, balanced.

    Args:
        alias: The alias.

    Attributes:
        alias: The alias: its type, and how TLS is done.
        name: Its name, with "@".
        members: In order; ``.map`` asks them all.
        scheme: Of the URLs that HTTP members have.

    Raises:
        ConfigError: It has members that can not be asked.

    Thread: reactor.
    """

    def __init__(self, alias: Alias) -> None:
        self.alias = alias
        self.name = alias.name
        self.members = read_members(alias)
        self.scheme = _scheme_of(alias)
        # A file can not be connected to.
        self._probed = alias.type != DB_SQLITE3
        longest = LONGEST_REST if self._probed else LONGEST_REST_UNPROBED
        self._seats = [_Seat(member, longest) for member in self.members]
        self._by_member = {seat.member: seat for seat in self._seats}
        self._lightest = min(member.weight for member in self.members)

    def __repr__(self) -> str:
        return f"<Cluster {self.name}: {', '.join(map(str, self.members))}>"

    # -- choosing

    def pick(self, now: float, exclude: Collection[Member] = ()) -> Member | None:
        """Choose the member that a request goes to. It only counts once ``begin`` is called.

        Args:
            now: The time.
            exclude: Members that the request was sent to before.

        Returns:
            The member, None when all are excluded.
        """
        seats = [seat for seat in self._seats if seat.member not in exclude] if exclude else self._seats
        willing = [seat for seat in seats if seat.health.may_ask(now)] or seats
        if len(willing) < 2:
            return willing[0].member if willing else None
        levels = [seat.outstanding * self._lightest // seat.member.weight for seat in willing]
        lowest = min(levels)
        return _take_turns([seat for seat, level in zip(willing, levels, strict=True) if level == lowest]).member

    def begin(self, member: Member, now: float) -> int:
        """Note that a request goes to ``member``; each one must come to its ``end``.

        Returns:
            A number to give to ``end``.
        """
        seat = self._by_member[member]
        seat.outstanding += 1
        return seat.health.begin(now)

    def end(self, member: Member, ticket: int, outcome: Outcome, now: float) -> None:
        """Note that a request has ended.

        Args:
            member: Where it went.
            ticket: What ``begin`` returned.
            outcome: What its end says about the member; ``skitai.was.health.judge`` knows.
            now: The time.
        """
        seat = self._by_member[member]
        seat.outstanding -= 1
        seat.health.end(ticket, outcome, now)

    # -- probing

    def next_probe(self) -> float | None:
        """Return when ``due_probes`` is to be asked again, None for not before a request has failed.

        It may become sooner when a request or a probe has ended, at no other time.
        """
        soonest = min(seat.health.next_probe for seat in self._seats) if self._probed else inf
        return None if soonest == inf else soonest

    def due_probes(self, now: float) -> list[Probe]:
        """Return the probes to be made now. One that ``probed`` hears nothing of in 4 seconds may come again."""
        if not self._probed:
            return []
        due = [seat for seat in self._seats if now >= seat.health.next_probe]
        return [Probe(seat.member, seat.health.begin_probe(now)) for seat in due]

    def probed(self, probe: Probe, reached: bool, now: float) -> None:
        """Note what came of a probe.

        Args:
            probe: The probe.
            reached: Whether there was a connection within ``PROBE_TIMEOUT``.
            now: The time.
        """
        self._by_member[probe.member].health.end_probe(probe.ticket, reached, now)

    def describe(self, now: float) -> list[dict[str, Any]]:
        """Return a line for each member, for the status page; it holds no secrets."""
        return [
            {
                "member": str(seat.member),
                "weight": seat.member.weight,
                "outstanding": seat.outstanding,
                "state": "up" if seat.health.well else "down",
                "rests": round(seat.health.rest_left(now), 1),
            }
            for seat in self._seats
        ]


def _take_turns(seats: list[_Seat]) -> _Seat:
    """Return the seat whose turn it is: as often as its weight says, and as evenly spread as that allows.

    Each seat gains its weight, and the one that is chosen pays what all have gained; so the sum stays 0 and what is
    owed is made good, also when the candidates are not always the same.
    """
    total = 0
    chosen = seats[0]
    for seat in seats:
        weight = seat.member.weight
        total += weight
        seat.turn += weight
        if seat.turn > chosen.turn:
            chosen = seat
    chosen.turn -= total
    return chosen


class Attempts:
    """The members that one request is sent to, one after the other, none twice.

    Args:
        cluster: Where they are from.
        only: The one that it may be sent to, None for all.

    Attributes:
        member: Where the request is now, None for nowhere.

    Thread: reactor.
    """

    __slots__ = ("_cluster", "_only", "_ticket", "_tried", "member")

    def __init__(self, cluster: Cluster, only: Member | None = None) -> None:
        self._cluster = cluster
        self._only = only
        self._tried: list[Member] = []
        self._ticket = 0
        self.member: Member | None = None

    def next(self, now: float) -> Member | None:
        """Send the request to a member that it was not sent to yet; return None when there is none."""
        self.end(Outcome.UNKNOWN, now)
        only = self._only
        if only is None:
            member = self._cluster.pick(now, self._tried)
        else:
            member = None if self._tried else only
        if member is not None:
            self._tried.append(member)
            self._ticket = self._cluster.begin(member, now)
            self.member = member
        return member

    def end(self, outcome: Outcome, now: float) -> None:
        """Note what came of the request at the member where it is; the second call does nothing."""
        member, self.member = self.member, None
        if member is not None:
            self._cluster.end(member, self._ticket, outcome, now)


class Clusters:
    """All clusters, by name. It never changes.

    Args:
        aliases: The aliases of this server.

    Raises:
        ConfigError: Some have members that can not be asked.

    Thread: any.
    """

    def __init__(self, aliases: Iterable[Alias] = ()) -> None:
        self._clusters: dict[str, Cluster] = {}
        faults: list[str] = []
        for alias in aliases:
            try:
                self._clusters[alias.name] = Cluster(alias)
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._clusters.values())

    def find(self, reference: str) -> tuple[Cluster, str]:
        """Return what "@name/path" names.

        Returns:
            The cluster, and the rest after its name: "" or what begins with "/" or "?".

        Raises:
            ValueError: There is no such cluster, or the text is no reference to one.
        """
        name, rest = split_reference(reference)
        cluster = self._clusters.get(name)
        if cluster is None:
            raise ValueError(f"there is no alias {name!r}{suggestion(name, self._clusters)}")
        return cluster, rest
