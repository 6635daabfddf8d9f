"""Cookies of one request and its answer (RFC 6265 and its successor, draft-ietf-httpbis-rfc6265bis).

``Cookie`` reads what the browser sent and gathers what it is to be told. A value may be any text: what a cookie can not
hold is percent-encoded UTF-8. Nothing is parsed before it is asked for, and no Cookie field raises, whatever it holds.

It must not know sessions, requests and responses. Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from skitai.saddle.mappings import NamedValues

MAX_COOKIE_SIZE: Final = 4093
"""Bytes of a name and its value together: the least limit of browsers, which silently ignore what is larger."""

MAX_COOKIES: Final = 300
"""Cookies of a request that are looked at: more than any browser keeps for a site."""

MAX_FIELD_SIZE: Final = 65536
"""Characters of a Cookie field that are looked at."""

NEVER: Final = 36500 * 86400
"""The seconds of ``expires="never"``: a hundred years."""

_LAST_DATE: Final = 253402300799
"""The last second of the year 9999: a date has four digits for the year."""

_SAME_SITE: Final = {"strict": "Strict", "lax": "Lax", "none": "None"}
_PREFIXES: Final = ("__secure-", "__host-")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DOMAIN: Final = re.compile(r"\.?[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f;]")
# RFC 6265 section 4.1.1, cookie-octet; the percent sign is ours.
_PLAIN: Final = re.compile(r"[!#$&-+\--:<-\[\]-~]*")
_OCTETS: Final = "".join(sign for sign in map(chr, range(0x21, 0x7F)) if sign not in '"%,;\\')
_PATH_SIGNS: Final = "/%:@!$&'()*+,=[]|"


def check_name(name: str) -> None:
    """Check the name of a cookie.

    Raises:
        ValueError: It is no token (RFC 6265 section 4.1.1).
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} can not be the name of a cookie: it must be ASCII letters, digits and any of !#$%&'*+-.^_`|~"
        )


def check_path(path: str) -> str:
    """Return the path of a cookie as it stands in a field: what no URL may hold is percent-encoded.

    Raises:
        ValueError: It does not begin with a slash, or holds a semicolon or a control character.
    """
    # A browser puts its own guess in the place of a path without a slash (RFC 6265 section 5.2.4).
    if not path.startswith("/") or _CONTROL.search(path):
        raise ValueError(f"{path!r} can not be the path of a cookie: it must begin with / and hold no ; and no newline")
    return quote(path, safe=_PATH_SIGNS)


def check_domain(domain: str) -> None:
    """Check the domain of a cookie.

    Raises:
        ValueError: It is no host name in ASCII.
    """
    if _DOMAIN.fullmatch(domain) is None:
        raise ValueError(
            f"{domain!r} can not be the domain of a cookie: it must be a host name like example.com, in ASCII (IDNA)"
        )


def parse(field: str) -> dict[str, str]:
    """Return the names and encoded values of a Cookie field; of several with one name the first.

    It is as lenient as browsers are (RFC 6265 section 5.4 lists the longest path first, so the first is the closest).

    Args:
        field: The field's value as WSGI gives it, "" for none.
    """
    if len(field) > MAX_FIELD_SIZE:
        # The last one is cut somewhere in its middle.
        field = field[:MAX_FIELD_SIZE].rpartition(";")[0]
    values: dict[str, str] = {}
    for pair in field.split(";", MAX_COOKIES)[:MAX_COOKIES]:
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name and name not in values:
            values[name] = value.strip(" \t")
    return values


def encode(value: str) -> str:
    """Return a text as a cookie can hold it.

    Raises:
        UnicodeEncodeError: It holds half of a surrogate pair.
    """
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_OCTETS)


def decode(value: str) -> str:
    """Return the text of a cookie's value; what is not percent-encoded UTF-8 stays as it is."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if "%" not in value and value.isascii():
        return value
    try:
        # WSGI hands on the bytes of a field as Latin-1; other programs set cookies of bare UTF-8.
        return unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        return value


class Cookie(NamedValues[str]):
    """The cookies of a request, as a dictionary, and the changes that the answer tells the browser.

    A change is seen at once by who reads. ``cookie.username`` reads like ``cookie["username"]`` where there is no
    method of that name and the name does not begin with an underscore.

    Args:
        header: The request's Cookie field, "" for none.
        path: The path of cookies that are set without one: the mount point of the application as WSGI gives it in
            SCRIPT_NAME, "" for the root.
        secure: Whether the request came over TLS.
        now: Returns the time in seconds since the epoch.
    """

    __slots__ = ("_changes", "_header", "_now", "_path", "_secure", "_values")

    def __init__(
        self, header: str, path: str = "/", secure: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self._header = header
        self._path = path or "/"
        self._secure = secure
        self._now = now
        self._values: dict[str, str] | None = None
        self._changes: dict[tuple[str, str, str | None], str] = {}

    def _sent(self) -> dict[str, str]:
        if self._values is None:
            self._values = parse(self._header)
        return self._values

    def __getitem__(self, key: str) -> str:
        """Return the value of the cookie ``key``."""
        return decode(self._sent()[key])

    def __getattr__(self, name: str) -> str:
        """Return the value of the cookie ``name``.

        Raises:
            AttributeError: There is none.
        """
        if not name.startswith("_"):
            value = self._sent().get(name)
            if value is not None:
                return decode(value)
        raise AttributeError(f"there is no cookie {name!r}")

    def __setitem__(self, key: str, val: str | int | float) -> None:
        """Set a cookie that lives until the browser is closed, at the application's mount point."""
        self.set(key, val)

    def __delitem__(self, key: str) -> None:
        """Remove the cookie ``key``, at the application's mount point."""
        if key not in self._sent():
            raise KeyError(key)
        self.remove(key)

    def __contains__(self, key: object) -> bool:
        """Return whether there is a cookie ``key``."""
        return key in self._sent()

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the names."""
        return iter(self._sent())

    def __len__(self) -> int:
        """Return how many cookies there are."""
        return len(self._sent())

    def set(
        self,
        key: str,
        val: str | int | float,
        expires: float | str | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = False,
        same_site: str | None = None,
    ) -> None:
        """Set a cookie.

        Args:
            key: Its name: ASCII letters, digits and ``!#$%&'*+-.^_`|~``.
            val: Any text, or a number.
            expires: Seconds it lives; None until the browser is closed, 0 or "now" removes it, "never" is a hundred
                years (browsers make 400 days of it).
            path: Where it is sent, with all below; None for the mount point of the application.
            domain: The host it is sent to, with all below it; None for this host alone.
            secure: Whether it is sent over TLS only.
            http_only: Whether scripts can not read it.
            same_site: "Strict", "Lax" or "None"; None leaves it to the browser. "None" makes the cookie secure under
                TLS; without TLS it is left out, because browsers refuse a cookie that has it and is not secure.

        Raises:
            TypeError: The value is no text and no number.
            ValueError: A part can not stand in a cookie, or name and value have more than ``MAX_COOKIE_SIZE`` bytes.
        """
        check_name(key)
        if not isinstance(val, (str, int, float)):
            raise TypeError(f"the value of cookie {key!r} must be a text or a number, not {type(val).__name__}")
        try:
            value = encode(str(val))
        except UnicodeEncodeError:
            raise ValueError(f"the value of cookie {key!r} holds half of a surrogate pair") from None
        if len(key) + len(value) > MAX_COOKIE_SIZE:
            raise ValueError(
                f"cookie {key!r} of {len(key) + len(value):,} bytes is too large: browsers keep {MAX_COOKIE_SIZE:,}"
            )
        where = quote(self._path, safe=_PATH_SIGNS, encoding="latin-1") if path is None else check_path(path)
        if domain is not None:
            check_domain(domain)
        seconds = _lifetime(key, expires)
        self._change((key, where, domain), value, seconds, self._attributes(key, secure, http_only, same_site))
        if seconds is not None and seconds <= 0:
            self._sent().pop(key, None)
        else:
            self._sent()[key] = value

    def _attributes(self, key: str, secure: bool, http_only: bool, same_site: str | None) -> str:
        site = ""
        if same_site is not None:
            site = _SAME_SITE.get(same_site.lower(), "")
            if not site:
                raise ValueError(f"same_site of cookie {key!r} is {same_site!r}: it must be Strict, Lax or None")
        # Browsers ignore a cookie of these kinds that is not secure (draft-ietf-httpbis-rfc6265bis section 5.7).
        secure = secure or (site == "None" and self._secure) or key.lower().startswith(_PREFIXES)
        if site == "None" and not secure:
            site = ""
        return f"{'; Secure' * secure}{'; HttpOnly' * http_only}{f'; SameSite={site}' if site else ''}"

    def _change(self, identity: tuple[str, str, str | None], value: str, seconds: int | None, attributes: str) -> None:
        key, path, domain = identity
        text = f"{key}={value}; Path={path}"
        if domain is not None:
            text += f"; Domain={domain}"
        if seconds is not None:
            # Both: Max-Age does not depend on the clock of the browser's machine, Expires is what oldest ones know.
            at = 0 if seconds <= 0 else min(int(self._now()) + seconds, _LAST_DATE)
            text += f"; Expires={formatdate(at, usegmt=True)}; Max-Age={max(seconds, 0)}"
        # The last change is sent last, as the order of the application's calls was.
        self._changes.pop(identity, None)
        self._changes[identity] = text + attributes

    def remove(self, key: str, path: str | None = None, domain: str | None = None) -> None:
        """Tell the browser to forget a cookie, whether or not it sent one.

        Args:
            key: Its name.
            path: The path it was set with; None for the mount point of the application.
            domain: The domain it was set with.
        """
        self.set(key, "", 0, path, domain)

    def clear(self, path: str | None = None, domain: str | None = None) -> None:
        """Tell the browser to forget all cookies that it sent and that have this path and domain.

        Args:
            path: The path they were set with; None for the mount point of the application.
            domain: The domain they were set with.
        """
        for key in list(self._sent()):
            if _NAME.fullmatch(key):
                self.remove(key, path, domain)
        self._sent().clear()

    def header_values(self) -> list[str]:
        """Return the values of the Set-Cookie fields to send, in order: one for each name, path and domain."""
        return list(self._changes.values())


def _lifetime(key: str, expires: float | str | None) -> int | None:
    """Return the seconds that ``expires`` means, None until the browser is closed."""
    if expires is None:
        return None
    if expires == "now":
        return 0
    if expires == "never":
        return NEVER
    if isinstance(expires, str) or not math.isfinite(expires):
        raise ValueError(f"expires of cookie {key!r} is {expires!r}: it must be seconds, 'now', 'never' or None")
    return math.ceil(expires)
