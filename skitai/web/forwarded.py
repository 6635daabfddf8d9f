"""What trusted proxies say of the client they forward for.

A server behind proxies sees their addresses. Each proxy adds to ``Forwarded`` (RFC 7239), or to ``X-Forwarded-For`` and
its kin, at the right whom it got the request from; what stands to the left it was told by others. So the fields are
walked from right to left, one step for each address that is trusted, beginning with the peer of the connection: the
last step names the client, and tells the scheme and host that it asked for. What is malformed ends the walk; what an
untrusted peer says is never looked at.

``Forwarded`` is preferred. A proxy that knows only the one field hands a client's forgery of the other on untouched, so
where both are there but name different clients neither is believed.

Layer 1: no Twisted, no clock. Thread: any. Import it only where proxies are trusted: it needs ``ipaddress``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from skitai.values import UNIX, Network, NetworkKind
from skitai.web.caches import remember
from skitai.web.events import Request
from skitai.web.exchange import Exchange, Peers

MAX_HOPS: Final = 32
"""Longest chain of proxies that is followed."""

_CONSIDERED: Final = 2048
"""Characters at the end of a field that are looked at; no honest chain is longer, and a hostile one costs no more."""

_FIELDS: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
)
_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}
_DEFAULT_PORTS: Final = {True: "443", False: "80"}

# RFC 7239 section 4; colons and brackets should be quoted but often are not.
_PAIR: Final = r"""[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")"""
_LAST_ELEMENT: Final = re.compile(rf"(?:^|,)[ \t]*({_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*)$")
_EACH_PAIR: Final = re.compile(r"""([^=;\s]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))""")
_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:([0-9]{1,5})|_[0-9A-Za-z._-]+))?")
# RFC 7239 section 6: "unknown" or an obfuscated identifier.
_NAMELESS: Final = re.compile(r"unknown|_[0-9A-Za-z._-]+", re.IGNORECASE)
# RFC 4007 section 11; the standard library would take any text for a zone, and this goes into logs.
_ZONE: Final = re.compile(r"[0-9A-Za-z._~-]{1,32}")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(:[0-9]{1,5})?")

_HAS_PORT: Final = re.compile(r":[0-9]*$")


class Origin(NamedTuple):
    """Who a request really comes from.

    Attributes:
        client: Address and port, 0 where only the address is known.
        secure: Whether the client used TLS.
        host: Host, and port if any, that it asked for.
    """

    client: tuple[str, int]
    secure: bool
    host: str


class _Hop(NamedTuple):
    """What one proxy says; None for what it does not."""

    client: tuple[str, int] | None
    secure: bool | None
    host: str | None


class TrustedProxies:
    """The proxies whose word counts.

    Args:
        networks: Addresses and networks, IPv4 or IPv6, parsed or as text, and "unix".

    Raises:
        ConfigError: A text is no network.
    """

    def __init__(self, networks: Iterable[Network | str]) -> None:
        given = list(networks)
        kind = NetworkKind()
        self._unix = UNIX in given
        self._networks = [kind.parse(network) for network in given if network != UNIX]
        self._known: dict[str, bool] = {}

    def apply(self, exchange: Exchange) -> None:
        """Give an exchange the client, the scheme and the host that trusted proxies tell.

        It must come before anything looks at them: the virtual host depends on it.
        """
        origin = self.resolve(exchange.peers, exchange.request)
        if origin is not None:
            exchange.peers = exchange.peers._replace(client=origin.client, secure=origin.secure)
            exchange.request.host = origin.host

    def resolve(self, peers: Peers, request: Request) -> Origin | None:
        """Return what trusted proxies tell of a request, None when there is nothing to believe."""
        if not self._trusts(peers.client[0]):
            return None
        found: dict[bytes, str] = {}
        for name, value in request.headers:
            if name in _FIELDS:
                text = value.decode("latin-1")
                found[name] = f"{found[name]},{text}" if name in found else text
        if not found:
            return None
        hops = self._believed(found)
        if not hops:
            return None
        client, secure, host = peers.client, peers.secure, request.host
        for hop in hops:
            # Each field as the farthest proxy has it that tells it at all.
            client = hop.client if hop.client is not None else client
            secure = hop.secure if hop.secure is not None else secure
            host = hop.host if hop.host is not None else host
        port = _port(found.get(b"x-forwarded-port", ""), len(hops))
        if b"forwarded" not in found and port and port != _DEFAULT_PORTS[secure] and not _HAS_PORT.search(host):
            host = f"{host}:{port}"
        return Origin(client, secure, host)

    def _believed(self, found: dict[bytes, str]) -> list[_Hop]:
        """Return the hops that trusted proxies tell, the nearest first."""
        hops = self._walk(_forwarded_hops(found.get(b"forwarded", "")))
        if found.keys() == {b"forwarded"}:
            return hops
        others = self._walk(_x_forwarded_hops(found))
        if hops and others and others[0].client is not None and others[0].client[0] != _address(hops[0]):
            return []
        return hops or others

    def _walk(self, hops: Iterator[_Hop]) -> list[_Hop]:
        """Return hops up to the first that is not trusted itself: nobody vouches for what follows."""
        taken: list[_Hop] = []
        for hop in hops:
            taken.append(hop)
            if hop.client is None or not self._trusts(hop.client[0]) or len(taken) == MAX_HOPS:
                break
        return taken

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._unix
        found = self._known.get(address)
        if found is None:
            found = remember(self._known, address, self._looked_up(address))
        return found

    def _looked_up(self, address: str) -> bool:
        parsed = _parse_address(address.partition("%")[0])
        return parsed is not None and any(parsed in network for network in self._networks)


def _forwarded_hops(value: str) -> Iterator[_Hop]:
    """Yield what the elements of a Forwarded field say, from the right, up to the first that is malformed."""
    rest = value[-_CONSIDERED:]
    while True:
        # Empty list elements are ignored (RFC 9110 section 5.6.1.2).
        rest = rest.rstrip(" \t,")
        # An unbalanced quote in what a client sent can not swallow what the proxies added: the search wants one
        # well-formed element at the end, whatever is before its comma.
        last = _LAST_ELEMENT.search(rest)
        if last is None:
            return
        parameters: dict[str, str] = {}
        for pair in _EACH_PAIR.finditer(last[1]):
            name = pair[1].lower()
            if name in parameters:
                return  # RFC 7239 section 4: not more than once
            parameters[name] = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
        hop = _hop(parameters.get("for"), parameters.get("proto"), parameters.get("host"))
        if hop is None:
            return
        yield hop
        rest = rest[: last.start()]


def _x_forwarded_hops(found: dict[bytes, str]) -> Iterator[_Hop]:
    """Yield what the X-Forwarded fields say, from the right, up to what is malformed.

    Proxies append to the lists or set one value; so the n-th value from the right belongs to the n-th hop, and the
    leftmost to all that are farther.
    """
    clients: list[str | None] = [*_members(found.get(b"x-forwarded-for", ""))] or [None]
    schemes = _members(found.get(b"x-forwarded-proto", ""))
    hosts = _members(found.get(b"x-forwarded-host", ""))
    for number, client in enumerate(reversed(clients), 1):
        hop = _hop(client, _nth(schemes, number), _nth(hosts, number))
        if hop is None:
            return
        yield hop


def _hop(client: str | None, scheme: str | None, host: str | None) -> _Hop | None:
    """Return what one proxy says, None when a part of it is malformed."""
    node = None
    if client is not None and not _NAMELESS.fullmatch(client):
        node = _parse_node(client)
        if node is None:
            return None
    secure = None
    if scheme is not None:
        secure = _SECURE.get(scheme.lower())
        if secure is None:
            return None
    if host is not None and not _HOST.fullmatch(host):
        return None
    return _Hop(node, secure, host)


def _parse_node(text: str) -> tuple[str, int] | None:
    """Return address and port of a node (RFC 7239 section 6), also of an IPv6 address without brackets."""
    matched = _NODE.fullmatch(text)
    if matched is not None:
        address, port = matched[1] or matched[2], int(matched[3] or 0)
    else:
        address, port = text, 0
    _, percent, zone = address.partition("%")
    if port > 65535 or (percent and not _ZONE.fullmatch(zone)):
        return None
    parsed = _parse_address(address)
    return None if parsed is None else (str(parsed), port)


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        # A socket that serves both families shows IPv4 clients so.
        return parsed.ipv4_mapped
    return parsed


def _members(value: str) -> list[str]:
    if len(value) > _CONSIDERED:
        # The first of what is left may be torn.
        value = value[-_CONSIDERED:].partition(",")[2]
    return [member.strip() for member in value.split(",") if member.strip()]


def _nth(members: list[str], number: int) -> str | None:
    return members[-min(number, len(members))] if members else None


def _port(value: str, number: int) -> str | None:
    port = _nth(_members(value), number)
    return port if port is not None and re.fullmatch("[1-9][0-9]{0,4}", port) and int(port) <= 65535 else None


def _address(hop: _Hop) -> str | None:
    return None if hop.client is None else hop.client[0]
