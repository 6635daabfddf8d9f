"""The mount table: which handlers a request goes to, by its host and its path.

Layer 2, though it needs nothing of Twisted: whoever answers is behind the ``Handler`` protocol. It must not know what a
handler does, nor where mounts come from.

Theory of operation: everything is computed when the table is built. For each name of a virtual host there is a *site*,
and one more for requests whose host has none. A site knows for every mount point its *route*: all handlers that may
answer there, those of the point itself first (static files, then aliases, then the application) and then those of the
shorter points above it, so that falling through is walking one tuple. A route is found by the first segment of the path
and a few ``startswith``.

Matching is on the decoded path, because that is what applications and files are named by.

Thread: the table is built before serving; ``dispatch`` runs on the reactor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote_from_bytes, unquote_to_bytes

from skitai.errors import ConfigError
from skitai.reasons import reason_of
from skitai.web.caches import remember
from skitai.web.errorpage import respond_error
from skitai.web.events import Response
from skitai.web.exchange import Exchange

Kind: TypeAlias = Literal["static", "alias", "app"]

_ORDER: Final[dict[Kind, int]] = {"static": 0, "alias": 1, "app": 2}
_SERVER_METHODS: Final = b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
_STATIC_METHODS: Final = b"GET, HEAD"
_HOST: Final = re.compile(r"(?:[\w-]+(?:\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::\d+)?", re.ASCII)
_HOW_TO_WRITE: Final = "write it as in 'www.example.com' or '.example.com'"
_MAX_HOST: Final = 253 + len(".:65535")
"""Characters that a Host may have to name a virtual host (RFC 1035 section 2.3.4)."""


def decode_path(raw: str) -> str:
    """Return a raw path as PEP 3333 wants it: percent-decoded, each byte as the character of the same number.

    A percent sign that begins no escape stays as it is.

    Args:
        raw: Path of a request target, or a part of one.
    """
    if "%" not in raw:
        return raw
    return unquote_to_bytes(raw.encode("latin-1")).decode("latin-1")


class MountPoint:
    """Where something is mounted.

    Attributes:
        point: The mount point without the slash at its end: "" for the root, "/pp" otherwise.
        script_name: The same as SCRIPT_NAME (PEP 3333: UTF-8 bytes, each as the character of the same number).
        location: The same percent-encoded, with the slash at its end: where a request for ``point`` itself is sent.
    """

    __slots__ = ("location", "point", "script_name")

    def __init__(self, point: str) -> None:
        stripped = point.strip("/")
        self.point = "/" + stripped if stripped else ""
        encoded = self.point.encode("utf-8")
        self.script_name = encoded.decode("latin-1")
        self.location = quote_from_bytes(encoded + b"/", safe="/:@!$&'()*+,;=~").encode("ascii")

    def __repr__(self) -> str:
        return f"<MountPoint {self.point or '/'}>"


class Handler(Protocol):
    """Whoever answers requests of a mount point."""

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Take the exchange, to answer now or later, and return True; or return False to let the next one try.

        Thread: reactor.
        """


Step: TypeAlias = tuple[Callable[[Exchange, MountPoint], bool], MountPoint]


class Entry(NamedTuple):
    """One row of the table.

    Attributes:
        host: Names of the virtual host, separated by blanks or commas, a leading dot for a whole domain; None for the
            default site.
        point: Mount point as the user wrote it.
        kind: What the handler is; it decides the order at one mount point.
        handler: Who answers. One that leaves methods to others may have a method ``allowed(exchange, mount) -> bool``
            that tells whether it would have answered a GET.
    """

    host: str | None
    point: str
    kind: Kind
    handler: Handler


class Route:
    """What may answer below one mount point.

    Attributes:
        mount: The mount point.
        exact: Path of the mount point itself, which is redirected; "" for the root, where there is nothing to redirect.
        prefix: What the paths below it begin with.
        steps: Handlers with their mount points, in the order to be asked.
        probes: ``allowed`` methods among them.
    """

    __slots__ = ("exact", "mount", "prefix", "probes", "steps")

    def __init__(self, mount: MountPoint, steps: Iterable[Step] = (), probes: Iterable[Step] = ()) -> None:
        self.mount = mount
        self.exact = mount.script_name
        self.prefix = mount.script_name + "/"
        self.steps = tuple(steps)
        self.probes = tuple(probes)


class Site:
    """The mounts of one virtual host."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        points: dict[str, tuple[MountPoint, list[Entry]]] = {}
        for entry in entries:
            mount = MountPoint(entry.point)
            points.setdefault(mount.point, (mount, []))[1].append(entry)
        longest_first = sorted(points.values(), key=lambda item: -len(item[0].script_name))
        routes = [_route(mount, longest_first) for mount, _ in longest_first]
        self._root = routes.pop() if routes and not routes[-1].exact else Route(MountPoint("/"))
        self._by_segment: dict[str, list[Route]] = {}
        for route in routes:
            self._by_segment.setdefault(route.exact[1:].partition("/")[0], []).append(route)

    def find(self, path: str) -> Route:
        """Return the route of the longest mount point above a decoded path, the root's when there is no other."""
        if self._by_segment:
            end = path.find("/", 1)
            for route in self._by_segment.get(path[1:] if end < 0 else path[1:end], ()):
                # "/ppx" is not below "/pp", but "/pp" itself is a request for that mount point.
                if path.startswith(route.prefix) or path == route.exact:
                    return route
        return self._root


def _route(mount: MountPoint, longest_first: list[tuple[MountPoint, list[Entry]]]) -> Route:
    steps: list[Step] = []
    probes: list[Step] = []
    prefix = mount.script_name + "/"
    for other, entries in longest_first:
        if not prefix.startswith(other.script_name + "/"):
            continue
        for entry in sorted(entries, key=lambda item: _ORDER[item.kind]):
            steps.append((entry.handler.handle, other))
            allowed = getattr(entry.handler, "allowed", None)
            if allowed is not None:
                probes.append((allowed, other))
    return Route(mount, steps, probes)


class MountTable:
    """Hand each request to the handler that is mounted for it.

    Args:
        entries: The rows, in any order.

    Raises:
        ConfigError: Two applications, or two aliases, have the same host and mount point; all of them are named.

    Thread: reactor.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        rows: dict[str, list[Entry]] = {}
        default: list[Entry] = []
        for entry in entries:
            if entry.host is None:
                default.append(entry)
            else:
                for name in host_names(entry.host):
                    rows.setdefault(name, []).append(entry)
        faults = [fault for name, group in [("", default), *rows.items()] for fault in _collisions(name, group)]
        if faults:
            raise ConfigError(faults)
        self._default = Site(default)
        self._exact = {name: Site(group) for name, group in rows.items() if not name.startswith(".")}
        self._domains = {name: Site(group) for name, group in rows.items() if name.startswith(".")}
        self._has_hosts = bool(rows)
        self._cache: dict[str, Site] = {}

    def dispatch(self, exchange: Exchange) -> None:
        """Let the first handler that wants the exchange have it; answer with a redirect or an error where none does."""
        request = exchange.request
        path = request.path
        if "%" in path:
            path = decode_path(path)
        elif not path.startswith("/") and self._answer_odd_target(exchange):
            return
        site = self._default
        if self._has_hosts:
            site = self._cache.get(request.host) or self.site(request.host)
        route = site.find(path)
        if path == route.exact and path:
            location = route.mount.location + (b"?" + request.query.encode("latin-1") if request.query else b"")
            exchange.respond(_redirect(location))
            return
        for handle, mount in route.steps:
            if handle(exchange, mount):
                return
        self._refuse(exchange, route)

    def site(self, host: str) -> Site:
        """Return the site of a request.

        Args:
            host: Host and port as the client sent them.
        """
        found = self._cache.get(host)
        if found is None:
            if len(host) > _MAX_HOST:
                return self._default
            found = remember(self._cache, host, self._look_up(normal_host(host)))
        return found

    def _look_up(self, name: str) -> Site:
        found = self._exact.get(name)
        domain = "." + name
        while found is None and domain:
            found = self._domains.get(domain)
            dot = domain.find(".", 1)
            domain = domain[dot:] if dot > 0 else ""
        return self._default if found is None else found

    def _answer_odd_target(self, exchange: Exchange) -> bool:
        """Answer what is not meant for any resource; False for a path that is just empty."""
        request = exchange.request
        if request.method == "CONNECT":
            # RFC 9110 section 9.3.6: whoever is no proxy may refuse it; 405 comes with the methods there are (15.5.6).
            respond_error(exchange, 405, "this server is not a proxy", [(b"allow", _SERVER_METHODS)])
        elif request.path == "*" and request.method == "OPTIONS":
            # RFC 9110 section 9.3.7: a "ping" of the server as a whole.
            exchange.respond(Response(204, [(b"allow", _SERVER_METHODS)], reason_of(204)))
        elif request.path:
            # RFC 9112 section 3.2.4: the asterisk-form is for OPTIONS alone; nothing else begins without a slash.
            respond_error(exchange, 400, "the request target is not a path")
        else:
            return False
        return True

    def _refuse(self, exchange: Exchange, route: Route) -> None:
        if exchange.request.method not in ("GET", "HEAD"):
            for allowed, mount in route.probes:
                if allowed(exchange, mount):
                    respond_error(exchange, 405, "a file can only be read", [(b"allow", _STATIC_METHODS)])
                    return
        respond_error(exchange, 404)


def normal_host(host: str) -> str:
    """Return the name in a Host field: lower-case, without port and without the dot that may end a domain name.

    An IPv6 address keeps its brackets.
    """
    if host.startswith("["):
        return host[: host.find("]") + 1].lower() or host.lower()
    name = host.partition(":")[0].lower()
    return name.removesuffix(".")


def host_names(text: str) -> list[str]:
    """Return the names that one ``host`` argument lists, normalised; names beyond ASCII as IDNA (RFC 3490).

    Args:
        text: Names separated by blanks or commas.

    Raises:
        ConfigError: It lists none, or one that can be no name.
    """
    names = []
    for word in text.replace(",", " ").split():
        dot, name = ("." if word.startswith(".") else ""), word.removeprefix(".")
        if name.count(":") > 1 and not name.startswith("["):
            name = f"[{name}]"
        try:
            name = name if name.isascii() else name.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
        if not _HOST.fullmatch(name):
            raise ConfigError(f"virtual host {word!r} is not a host name; {_HOW_TO_WRITE}")
        names.append(dot + normal_host(name))
    if not names:
        raise ConfigError(f"virtual host {text!r} names no host; {_HOW_TO_WRITE}")
    return list(dict.fromkeys(names))


def _collisions(name: str, entries: list[Entry]) -> list[str]:
    """Name the mount points that have more than one handler of a kind that never falls through."""
    seen: set[tuple[str, Kind]] = set()
    faults = []
    for entry in entries:
        key = (MountPoint(entry.point).point, entry.kind)
        if entry.kind != "static" and key in seen:
            what = "applications" if entry.kind == "app" else "aliases"
            at_host = f" of host {name!r}" if name else ""
            faults.append(f"two {what} are mounted at {key[0] or '/'!r}{at_host}; the second would never be asked")
        seen.add(key)
    return faults


def _redirect(location: bytes) -> Response:
    # RFC 9110 section 15.4.9: 308 keeps method and body. The location is made from the mount point, never from the
    # target, so that no spelling of the target ("//elsewhere") can send a client to another host.
    return Response(308, [(b"location", location)], reason_of(308))
