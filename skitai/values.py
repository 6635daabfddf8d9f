"""How the value of an option is read: one ``Kind`` for each sort of value.

A kind takes what a user wrote, as text from a command line or as an object from ``skitai.run()``, and returns the
value proper or raises ``ValueError`` whose message goes on from the option's name ("must be ..."). It must not know
which options there are, nor any other module of Skitai.

Thread: any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

Network: TypeAlias = "IPv4Network | IPv6Network"

UNIX: Final = "unix"
"""Among networks: whoever connects through a UNIX socket."""

T = TypeVar("T")

_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE | re.ASCII)
_SECONDS: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", re.IGNORECASE | re.ASCII)
_FACTORS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_PERIODS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_YES: Final = ("1", "on", "true", "yes")
_NO: Final = ("0", "off", "false", "no")


class Kind(Generic[T]):
    """One sort of value.

    Attributes:
        metavar: What stands for a value in help texts.
        repeatable: Whether the option may be given several times, to add up.
        is_path: Whether relative values are relative to the base directory.
    """

    metavar = "TEXT"
    repeatable = False
    is_path = False

    def parse(self, value: Any) -> T:
        """Return the value proper.

        Raises:
            ValueError: ``value`` can not be read; the message goes on from the option's name.
        """
        raise NotImplementedError

    def show(self, value: T) -> str:
        """Return ``value`` as a user would write it."""
        return str(value)


def _fault(wanted: str, value: object) -> ValueError:
    return ValueError(f"must be {wanted}, not {value!r}")


class Text(Kind[str]):
    """Any text that is not empty."""

    def __init__(self, metavar: str = "TEXT") -> None:
        self.metavar = metavar

    def parse(self, value: Any) -> str:
        """Return ``value``, which must be a text."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise _fault("a text", value)
        return value


class Secret(Text):
    """A text that no message may repeat."""

    def parse(self, value: Any) -> str:
        """Return ``value``, which must be a text."""
        try:
            return super().parse(value)
        except ValueError:
            raise ValueError("must be a text") from None


class Key(Kind[bytes]):
    """A secret key, of bytes or text; no message may repeat it."""

    def parse(self, value: Any) -> bytes:
        """Return ``value`` as bytes."""
        if not isinstance(value, bytes | str) or not value:
            raise ValueError("must be bytes or a text")
        return value.encode() if isinstance(value, str) else value


class Credentials(Kind[tuple[str, str]]):
    """A user's name and password; no message may repeat them."""

    def parse(self, value: Any) -> tuple[str, str]:
        """Return ``value``, which must be a pair of texts."""
        if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(part, str) for part in value):
            raise ValueError("must be a pair of user and password")
        return value[0], value[1]


class Path(Kind[str]):
    """The path of a file or directory; "~" is the user's home."""

    metavar = "PATH"
    is_path = True

    def parse(self, value: Any) -> str:
        """Return ``value`` with "~" replaced."""
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise _fault("a path", value)
        return os.path.expanduser(value)


class ExistingFile(Path):
    """The path of a file; the caller checks that it is there, when it knows the base directory."""


class Integer(Kind[int]):
    """A whole number within bounds."""

    metavar = "NUMBER"

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def parse(self, value: Any) -> int:
        """Return ``value`` as a number."""
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise _fault(f"a number from {self.least} to {self.most}", value)
        return value


class Seconds(Kind[float]):
    """A time in seconds; "5m" and "2h" are minutes and hours."""

    metavar = "SECONDS"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def parse(self, value: Any) -> float:
        """Return ``value`` in seconds."""
        found = _SECONDS.fullmatch(value) if isinstance(value, str) else None
        number: Any = float(found[1]) * _PERIODS[found[2].lower()] if found else value
        wanted = "a time in seconds" + (" (0 or more)" if self.zero else " above 0")
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _fault(wanted, value)
        # NaN compares false with everything and infinity can not be waited for.
        if not (0 if self.zero else 1e-3) <= number <= 1e9:
            raise _fault(wanted, value)
        return float(number)

    def show(self, value: float) -> str:
        """Return ``value`` without a useless fraction."""
        return f"{value:g}"


class Size(Kind[int]):
    """A size in bytes; "64K", "1.5M" and "1G" are multiples of 1,024."""

    metavar = "SIZE"

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def parse(self, value: Any) -> int:
        """Return ``value`` in bytes."""
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        try:
            number: Any = int(float(found[1]) * _FACTORS[found[2].lower()]) if found else value
        except OverflowError:
            number = None
        if isinstance(number, bool) or not isinstance(number, int) or number < self.least:
            raise _fault(f'a size in bytes, or such as "64M", of at least {self.least}', value)
        return number

    def show(self, value: int) -> str:
        """Return ``value`` with the largest unit that divides it."""
        for unit in "tgmk":
            if value and value % _FACTORS[unit] == 0:
                return f"{value // _FACTORS[unit]}{unit.upper()}"
        return str(value)


class Switch(Kind[bool]):
    """On or off."""

    metavar = ""

    def parse(self, value: Any) -> bool:
        """Return ``value`` as a truth value."""
        if isinstance(value, str) and value.lower() in _YES + _NO:
            return value.lower() in _YES
        if not isinstance(value, int) or value not in (0, 1):
            raise _fault("on or off", value)
        return bool(value)

    def show(self, value: bool) -> str:
        """Return "on" or "off"."""
        return "on" if value else "off"


class Choice(Kind[str]):
    """One of several words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.metavar = "|".join(words)

    def parse(self, value: Any) -> str:
        """Return ``value``, which must be one of the words."""
        if value not in self.words:
            raise _fault(f"one of {', '.join(self.words)}", value)
        return str(value)


class Address(Kind[str]):
    """An IP address to listen at; "localhost" is 127.0.0.1."""

    metavar = "ADDRESS"

    def parse(self, value: Any) -> str:
        """Return ``value`` as an IP address."""
        if isinstance(value, str):
            if value == "localhost":
                return "127.0.0.1"
            literal = value[1:-1] if value.startswith("[") and value.endswith("]") else value
            if is_ip_address(literal):
                return literal
        raise _fault("an IP address", value)


class Several(Kind[tuple[T, ...]]):
    """Any number of values of another kind: a sequence, or a text with commas between them."""

    repeatable = True

    def __init__(self, item: Kind[T], split: bool = True) -> None:
        self.item = item
        self.split = split
        self.metavar = item.metavar

    def parse(self, value: Any) -> tuple[T, ...]:
        """Return the values."""
        return tuple(self.item.parse(part) for part in self._parts(value))

    def _parts(self, value: Any) -> Iterable[Any]:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [part for item in value for part in self._parts(item)]
        if isinstance(value, str) and self.split:
            return [part.strip() for part in value.split(",") if part.strip()]
        return [value]

    def show(self, value: tuple[T, ...]) -> str:
        """Return the values with commas between them."""
        return ", ".join(self.item.show(item) for item in value)


class NetworkKind(Kind[Network]):
    """An address or network, such as 10.0.0.0/8, 192.168.1/24 or ::1."""

    metavar = "NETWORK"

    def parse(self, value: Any) -> Network:
        """Return ``value`` as a network."""
        import ipaddress

        if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
            return value
        if isinstance(value, str):
            address, slash, mask = value.strip().partition("/")
            if re.fullmatch(r"\d+(\.\d+){0,2}", address, re.ASCII):
                # The short form of older programs leaves the last numbers away.
                address += ".0" * (3 - address.count("."))
                mask = mask if slash else str(8 * (value.count(".") + 1))
                slash = "/"
            try:
                return ipaddress.ip_network(address + slash + mask, strict=False)
            except ValueError:
                pass
        raise _fault('an address or network such as "10.0.0.0/8"', value)


class ProxyKind(Kind["Network | str"]):
    """Where a proxy connects from: an address or network, or "unix" for a UNIX socket."""

    metavar = "NETWORK"

    def parse(self, value: Any) -> Network | str:
        """Return ``value`` as a network, or ``UNIX``."""
        try:
            return UNIX if value == UNIX else NetworkKind().parse(value)
        except ValueError:
            raise _fault('an address or network such as "10.0.0.0/8", or "unix"', value) from None


def is_ip_address(text: str) -> bool:
    """Return whether ``text`` is an IPv4 or IPv6 address."""
    if re.fullmatch(r"(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})", text, re.ASCII):
        return all(int(part) < 256 for part in text.split("."))
    if ":" not in text:
        return False
    import ipaddress

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the known word closest to ``word``, or "" where none is close."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""
