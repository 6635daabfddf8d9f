"""The servers that an application under test asks with ``was``: applications in memory, behind the real client.

A reactor whose network leads to them. Names resolve, connections are made and bytes move, but there is no socket; what
waits for an answer lets the clock go on to whatever comes next, so a time-out takes no time.

It must not know how requests are made. Thread: the one that runs the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionRefusedError
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from skitai.aliases import make_alias
from skitai.declare import Declaration
from skitai.testing.clock import Reactor
from skitai.testing.pump import MAX_TURNS, BytePump, EndlessTalk
from skitai.testing.workers import SteppingWorkers
from skitai.was.cluster import Cluster
from skitai.was.url import read_url

if TYPE_CHECKING:
    from skitai.testing.client import Client

_NETWORK: Final = "192.0.2."
"""Addresses for documentation (RFC 5737), which nobody has."""


class _Place(NamedTuple):
    """A server, and whether it speaks TLS, as far as applications see."""

    server: Client
    secure: bool


class _Link(BytePump):
    """A connection whose bytes the network moves."""

    def flush(self) -> None:
        """Do nothing."""

    @property
    def ended(self) -> bool:
        """Whether both ends know that it is over."""
        return bool(self.server_transport.disconnected and self.client_transport.disconnected)


class _Connector:
    """One attempt to connect."""

    def __init__(self, network: Network, host: str, port: int, factory: Any) -> None:
        # TLS would only hide the bytes: the connection goes without.
        if isinstance(factory, TLSMemoryBIOFactory):
            factory = factory.wrappedFactory
            factory._handshake = None
        self._network = network
        self._place = network.places.get((host, port))
        self._factory = factory
        network.callLater(0, self._connect)

    def disconnect(self) -> None:
        """Give up."""
        self._factory = None

    def _connect(self) -> None:
        factory, place = self._factory, self._place
        if factory is None:
            return
        if place is None:
            factory.clientConnectionFailed(self, Failure(ConnectionRefusedError()))  # type: ignore[no-untyped-call]
            return
        server, secure = place
        self._network.connect(server.factory.buildProtocol(None), factory.buildProtocol(None), secure)


class Network(Reactor):
    """A reactor with the servers that applications ask.

    Args:
        targets: What is served by whom: see ``skitai.testing.Client``.
        piece_size: Most bytes that arrive at once, 0 for all.

    Attributes:
        places: Whoever listens, by address and port.
    """

    def __init__(self, targets: Mapping[str, Any], piece_size: int = 0) -> None:
        super().__init__()
        self.nameResolver: Any = self
        self.places: dict[tuple[str, int], _Place] = {}
        self._targets = targets
        self._piece_size = piece_size
        self._addresses: dict[str, str] = {}
        self._servers: dict[str, Client] = {}
        self._links: list[_Link] = []

    def open(self, make: Callable[[Any], Client]) -> None:
        """Start the servers; ``make`` makes one of what is to be mounted there."""
        for name, target in self._targets.items():
            if not name.startswith("@"):
                url, _ = read_url(name)
                if url.target != "/":
                    raise ValueError(f"backends: {name!r} must be a server, without a path")
            self._servers[name] = make(target)
            if not name.startswith("@"):
                self._place(url.host, url.port, name, url.scheme == "https")

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            server.close()

    def declare(self, declaration: Declaration) -> None:
        """Have the servers stand for the members of the clusters they are named after, which are made where missing."""
        for name in [name for name in self._targets if name.startswith("@")]:
            alias = declaration.aliases.setdefault(name, make_alias(name, "http", f"{name[1:]}.invalid", {}))
            for member in Cluster(alias).members:
                self._place(member.host, member.port, name, alias.ssl)

    def _place(self, host: str, port: int, name: str, secure: bool) -> None:
        if name in self._servers:
            address = self._addresses.setdefault(host, _address(host) or f"{_NETWORK}{len(self._addresses) + 1}")
            self.places[(address, port)] = _Place(self._servers[name], secure)

    def resolveHostName(self, receiver: Any, hostName: str, *args: Any, **kwargs: Any) -> Any:
        """Look up a name (called by the client)."""
        address = self._addresses.get(hostName)
        self.callLater(0, self._resolved, receiver, address)

    def _resolved(self, receiver: Any, address: str | None) -> None:
        if address is not None:
            receiver.addressResolved((IPv6Address if ":" in address else IPv4Address)("TCP", address, 0))
        receiver.resolutionComplete()

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> Any:
        """Connect (called by the client)."""
        return _Connector(self, host, port, factory)

    def connect(self, server: Any, client: Any, secure: bool) -> None:
        """Join both ends of a connection."""
        self._links.append(_Link(server, client, self, self._piece_size, secure))

    # -- what happens

    def settle(self) -> bool:
        """Let everything happen that can happen now; return whether anything did.

        Raises:
            EndlessTalk: It does not end.
        """
        for turns in range(MAX_TURNS):
            self.advance(0)
            busy = [link.turn() for link in list(self._links)]
            busy += [_step(server.workers) for server in self._servers.values()]
            self._links = [link for link in self._links if not link.ended]
            if not any(busy) and not any(call.getTime() <= self.seconds() for call in self.getDelayedCalls()):
                return turns > 0
        raise EndlessTalk(f"servers still talk after {MAX_TURNS:,} turns")

    def go_on(self) -> bool:
        """Let the next thing happen, and the time pass until then; return False where nothing is to come."""
        if not self.settle():
            calls = self.getDelayedCalls()
            if not calls:
                return False
            self.advance(max(0.0, min(call.getTime() for call in calls) - self.seconds()))
        return True


def _step(workers: Any) -> bool:
    """Run a job, unless one waits for what is done here: there is one thread."""
    return isinstance(workers, SteppingWorkers) and not workers.blocked and workers.step()


def _address(host: str) -> str | None:
    try:
        ip_address(host)
    except ValueError:
        return None
    return host
