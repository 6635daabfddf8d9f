"""The cookies that a test client keeps, as a browser does (RFC 6265).

It must not know how requests are made: it takes the values of ``Set-Cookie`` and gives that of ``Cookie``. It knows no
list of public suffixes ("co.uk"), so a server may set a cookie for all below one.

Thread: the one that runs the test.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from http.cookiejar import http2time  # type: ignore[attr-defined]  # its stub lacks it, its manual has it
from typing import Final, cast

_NUMBER: Final = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie and where it belongs.

    Attributes:
        name: Its name.
        value: Its value as sent, with the quotes if there are any.
        domain: The host that it is sent to, and all hosts below it unless ``host_only``.
        path: The path that it is sent to, with all below it.
        host_only: Whether only ``domain`` itself gets it.
        secure: Whether it is sent over TLS only.
        http_only: Whether scripts may not read it.
        same_site: What ``SameSite`` said, "" where it was not there; the client does not act on it.
        expires: UNIX time of its end, None for "with the browser".
    """

    name: str
    value: str
    domain: str = "localhost"
    path: str = "/"
    host_only: bool = True
    secure: bool = False
    http_only: bool = False
    same_site: str = ""
    expires: float | None = None


class Cookies(MutableMapping[str, str]):
    """All cookies of a client; a mapping from names to values.

    Where several cookies share a name, the mapping has the one that was set last. ``cookies[name] = value`` sets one
    for all paths of "localhost"; ``add`` takes one for another place.

    Args:
        now: UNIX time; what has expired by it is not there.

    Example::

        client.get("/sign-in")
        assert client.cookies["session"]
        assert client.cookies.find("session").http_only
        client.cookies.add(Cookie("theme", "dark", path="/shop"))
        client.cookies.clear()
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[tuple[str, str, str], Cookie] = {}
        self._order: dict[tuple[str, str, str], int] = {}
        self._count = 0

    def __getitem__(self, name: str) -> str:
        return self.find(name).value

    def __setitem__(self, name: str, value: str) -> None:
        self.add(Cookie(name, value))

    def __delitem__(self, name: str) -> None:
        keys = [key for key in self._kept if key[0] == name]
        if not keys:
            raise KeyError(name)
        for key in keys:
            del self._kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(cookie.name for cookie in self.all()))

    def __len__(self) -> int:
        return len({cookie.name for cookie in self.all()})

    def __repr__(self) -> str:
        return f"<Cookies {dict(self)!r}>"

    def all(self) -> list[Cookie]:
        """Return all cookies, the one set last at the end."""
        now = self._now()
        return [cookie for cookie in self._kept.values() if cookie.expires is None or cookie.expires > now]

    def find(self, name: str, path: str = "") -> Cookie:
        """Return the cookie called ``name`` that was set last, of those at ``path`` if it is given.

        Raises:
            KeyError: There is none.
        """
        for cookie in reversed(self.all()):
            if cookie.name == name and path in ("", cookie.path):
                return cookie
        raise KeyError(name)

    def add(self, cookie: Cookie) -> None:
        """Keep a cookie; it takes the place of the one with the same name, domain and path."""
        key = (cookie.name, cookie.domain, cookie.path)
        if self._kept.pop(key, None) is None:  # one that is only changed keeps its place in requests: 5.3 step 11.3
            self._count += 1
            self._order[key] = self._count
        self._kept[key] = cookie

    def clear(self) -> None:
        """Forget all cookies."""
        self._kept.clear()

    def receive(self, values: Iterable[str], host: str, path: str) -> None:
        """Keep what a response sets.

        Args:
            values: Those of its ``Set-Cookie`` fields.
            host: The host that sent it, without port.
            path: The path of the request.
        """
        for value in values:
            cookie = parse(value, host, path, self._now())
            if cookie is not None:
                self.add(cookie)

    def field(self, host: str, path: str, secure: bool) -> str:
        """Return the value of ``Cookie`` for a request, "" for none."""
        fitting = [
            cookie
            for cookie in self.all()
            if (cookie.domain == host or (not cookie.host_only and _is_below(host, cookie.domain)))
            and _path_matches(path, cookie.path)
            and (secure or not cookie.secure)
        ]
        # Longer paths first, then those that were there earlier: section 5.4 step 2.
        fitting.sort(key=lambda cookie: (-len(cookie.path), self._order[cookie.name, cookie.domain, cookie.path]))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)


def parse(value: str, host: str, path: str, now: float) -> Cookie | None:
    """Return the cookie that a value of ``Set-Cookie`` describes, None for what has to be ignored (section 5.2, 5.3).

    Args:
        value: The value.
        host: The host that sent it, without port.
        path: The path of the request.
        now: UNIX time.
    """
    pair, *attributes = value.split(";")
    name, equals, text = pair.partition("=")
    if not equals or not name.strip():
        return None
    found: dict[str, str] = {}
    for attribute in attributes:
        key, _, said = attribute.partition("=")
        found[key.strip().lower()] = said.strip()
    domain = found.get("domain", "").removeprefix(".").lower()
    if domain and domain != host and not _is_below(host, domain):
        return None  # not the server's to set
    cookie = Cookie(name.strip(), text.strip(), domain or host, _path_of(found.get("path", ""), path))
    return replace(
        cookie,
        host_only=not domain,
        secure="secure" in found,
        http_only="httponly" in found,
        same_site=found.get("samesite", ""),
        expires=_expiry(found, now),
    )


def _expiry(attributes: dict[str, str], now: float) -> float | None:
    """Return when a cookie ends: Max-Age counts before Expires."""
    age = attributes.get("max-age", "")
    if _NUMBER.fullmatch(age):
        seconds = int(age[:12])
        return now + seconds if seconds > 0 else 0.0
    if "expires" not in attributes:
        return None
    return cast("float | None", http2time(attributes["expires"]))


def _path_of(said: str, path: str) -> str:
    """Return what ``Path`` said, or else the directory of the request's path (section 5.1.4)."""
    if said.startswith("/"):
        return said
    return (path.rpartition("/")[0] or "/") if path.startswith("/") else "/"


def _path_matches(path: str, prefix: str) -> bool:
    """Tell whether a request's path is at or below that of a cookie (section 5.1.4)."""
    return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))


def _is_below(host: str, domain: str) -> bool:
    """Tell whether a host is a name below ``domain`` (section 5.1.3); addresses are below nothing."""
    if not host.endswith(f".{domain}"):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
