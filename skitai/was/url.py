"""URLs of requests: read, checked, brought into the form that goes on the wire, and resolved (RFC 3986).

What a user writes is taken as browsers take it: characters that a URL can not hold are percent-encoded as UTF-8,
international names of hosts are encoded (IDNA). What two programs could read as two different hosts is refused.

It must not know who asks nor how. User and password are handed out beside the URL and are never part of one.

Layer 3. Thread: any; a ``URL`` never changes.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote, urlencode

from skitai.was.payloads import Pairs, flat
from skitai.web.caches import CACHED_LENGTH, remember

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
"""The schemes that can be asked, with the ports that need not be written."""

_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_ABSOLUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_RELATIVE: Final = re.compile(r"([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
# Not only names of RFC 952: those of containers and of Windows have underscores.
_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,63}(?:\.[A-Za-z0-9_\-]{1,63})*\.?")
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_UNSAFE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")
# Up to the last "@": a password with a slash in it makes a URL of another meaning, and is a password still.
_PASSWORD: Final = re.compile(r"(?<=//).*@", re.DOTALL)

_urls: dict[str, URL] = {}
_servers: dict[tuple[str, str], tuple[str, int]] = {}


@dataclass(frozen=True, slots=True)
class URL:
    """Where a request goes.

    Attributes:
        scheme: "http" or "https".
        host: Lower-case ASCII; an IPv6 address without brackets.
        port: 1 to 65535.
        target: Path and query as they stand in the request line; begins with "/".
        authority: Value of the Host field: the host, and the port where it is not the scheme's own.
        text: The URL as text, for logs and for ``response.url``.
    """

    scheme: str
    host: str
    port: int
    target: str
    # Made once: every request needs each of them several times, and those asked often share a URL.
    authority: str = field(init=False, repr=False, compare=False)
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if DEFAULT_PORTS[self.scheme] == self.port else f"{host}:{self.port}"
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "text", f"{self.scheme}://{authority}{self.target}")

    @property
    def origin(self) -> tuple[str, str, int]:
        """What connections, credentials and cookies belong to (RFC 6454 section 4)."""
        return self.scheme, self.host, self.port

    def join(self, location: str) -> URL:
        """Return what a reference means that was found here (RFC 3986 section 5.2), such as the value of Location.

        Credentials and the fragment in it are dropped.

        Args:
            location: An absolute or a relative reference.

        Raises:
            ValueError: It is malformed or has another scheme than http and https.
        """
        location = location.strip(" ")
        if _SCHEME.match(location):
            url = read_url(location)[0]
        elif location.startswith("//"):
            url = read_url(f"{self.scheme}:{location}")[0]
        else:
            _check_characters(location)
            found = _RELATIVE.fullmatch(location)
            assert found is not None
            own, mark, query = self.target.partition("?")
            path = found[1]
            if not path:
                path, given = own, found[2] if found[2] is not None else mark + query
            else:
                path, given = path if path[0] == "/" else own[: own.rfind("/") + 1] + path, found[2] or ""
            url = URL(self.scheme, self.host, self.port, _encoded(path + given))
        path, mark, query = url.target.partition("?")
        return URL(url.scheme, url.host, url.port, _without_dots(path) + mark + query)


class UserInfo(NamedTuple):
    """Who asks, as a URL had it: what the application says besides wins over it."""

    user: str
    password: str


def read_url(text: str) -> tuple[URL, UserInfo | None]:
    """Read what a user gave as a URL.

    Args:
        text: An absolute http or https URL. Blanks around it and the fragment are dropped.

    Returns:
        The URL, and user and password where it had them.

    Raises:
        ValueError: It can not be asked; the message says why, and does not tell the password.
    """
    known = _urls.get(text)
    if known is not None:
        return known, None
    url, credentials = _read(text)
    if credentials is None and len(text) <= CACHED_LENGTH:
        remember(_urls, text, url)
    return url, credentials


def with_query(url: URL, params: Pairs) -> URL:
    """Return ``url`` with parameters behind those it has.

    Args:
        url: The URL; its query stays.
        params: Names and values. A list or a tuple of values gives a name several times, None leaves it out.
    """
    query = encode_form(params)
    if not query:
        return url
    target = url.target
    joint = "?" if "?" not in target else "" if target[-1] in "?&" else "&"
    return URL(url.scheme, url.host, url.port, f"{target}{joint}{query}")


def encode_form(params: Pairs) -> str:
    """Return names and values as a query, or as the body of a form, has them: percent-encoded UTF-8.

    Raises:
        ValueError: A text is no Unicode (it has lone surrogates).
    """
    return urlencode([(name, value if isinstance(value, bytes) else str(value)) for name, value in flat(params)])


def _read(text: str) -> tuple[URL, UserInfo | None]:
    try:
        text = text.strip(" ")
        _check_characters(text)
        match = _ABSOLUTE.fullmatch(text)
        scheme = match[1].lower() if match is not None else _scheme_of(text)
        if scheme not in DEFAULT_PORTS:
            raise ValueError(f"only http and https can be asked, not {scheme!r}")
        if match is None:
            raise ValueError("it must be like http://host/path")
        if "\\" in match[2]:
            raise ValueError("it has a backslash before its path, which browsers read as a slash")
        userinfo, at, server = match[2].rpartition("@")
        known = _servers.get((scheme, server))
        host, port = known if known is not None else _read_server(scheme, server)
        target = _encoded(match[3])
        if target[:1] != "/":
            target = "/" + target
        return URL(scheme, host, port, target), _read_userinfo(userinfo) if at else None
    except ValueError as error:
        shown = _PASSWORD.sub("…@", text)[:200]
        raise ValueError(f"the URL {shown!r} can not be used: {error}") from None


def _scheme_of(text: str) -> str:
    """Return the scheme of what has not the form of a URL with a host."""
    match = _SCHEME.match(text)
    # "localhost:5000/path" has no scheme, whatever RFC 3986 makes of it; "mailto:someone" has.
    if match is None or text[match.end() : match.end() + 1].isdigit():
        raise ValueError("it has no scheme; it must be like http://host/path")
    return match[1].lower()


def _check_characters(text: str) -> None:
    """Refuse what would split a request, or has no form in UTF-8."""
    bad = _CONTROL.search(text)
    if bad is not None:
        raise ValueError(f"it holds the control character {bad[0]!r}")


def _read_server(scheme: str, server: str) -> tuple[str, int]:
    """Read host and port. Those seen often are read once, as queries differ and servers do not."""
    match = _AUTHORITY.fullmatch(server)
    if match is None:
        raise ValueError("host and port must be like name:80, 192.0.2.1:80 or [2001:db8::1]:80")
    port = int(match[2]) if match[2] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"the port {port} is not between 1 and 65535")
    pair = _read_host(match[1]), port
    return remember(_servers, (scheme, server), pair) if len(server) <= CACHED_LENGTH else pair


def _read_host(host: str) -> str:
    if not host:
        raise ValueError("it names no host")
    if host[0] == "[":
        try:
            return str(ipaddress.IPv6Address(host[1:-1] if "%" not in host else ""))
        except ValueError:
            raise ValueError(f"{host} is no IPv6 address") from None
    if not host.isascii():
        host = _international(host)
    if _NAME.fullmatch(host) is None or len(host.rstrip(".")) > 253:
        raise ValueError(f"{host!r} is no name of a host")
    if _NUMERIC.fullmatch(host):
        # "127.1" and "0x7f000001" are addresses to some programs and names to others.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{host!r} is no IPv4 address") from None
    return host.lower()


def _international(host: str) -> str:
    """Return the ASCII form of an international name, as browsers make it (UTS #46)."""
    import idna  # rarely needed, and its tables take 10 ms to load

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no name of a host ({error})") from None


def _read_userinfo(userinfo: str) -> UserInfo:
    user, _, password = userinfo.partition(":")
    try:
        pair = UserInfo(unquote(user, errors="strict"), unquote(password, errors="strict"))
    except UnicodeDecodeError:
        raise ValueError("user and password must be percent-encoded UTF-8") from None
    if _CONTROL.search("".join(pair)):
        raise ValueError("user or password holds a control character")
    return pair


def _encoded(target: str) -> str:
    """Percent-encode what can not stand in a request target; what is encoded stays."""
    return _UNSAFE.sub(lambda match: "".join([f"%{byte:02X}" for byte in match[0].encode()]), target)


def _without_dots(path: str) -> str:
    """Remove the segments "." and ".." (RFC 3986 section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
