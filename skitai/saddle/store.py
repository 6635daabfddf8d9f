"""What sessions and messaging boxes have in common: named stores of data, each sealed in a cookie of its own.

A ``Store`` has one current ``Slot``; ``mount`` makes another the current one for the rest of the request. A slot is
opened when it is first used and written back by the subclass's ``commit``. The text inside the seal is
two lines of JSON: when it was written, in seconds, the address of the client that changed it last, and its timeout; and
the data.

It must not know requests, responses and what the data means. Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

import hmac
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar

from skitai.errors import ConfigError
from skitai.saddle.cookie import MAX_COOKIE_SIZE, Cookie, check_domain, check_path
from skitai.saddle.sealed import Seal, capacity, dumps, loads, make_seal

DEFAULT_TIMEOUT: Final = 1200
"""Seconds without use after which a session ends, where the application names none."""

_MAX_ADDRESS_SIZE: Final = 64
_MAX_KNOWN_KEYS: Final = 1000
_NO_ADDRESS: Final = re.compile(r"[^0-9A-Za-z.:%_-]")
_HEAD_SIZE: Final = _MAX_ADDRESS_SIZE + 40
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}")

Data = TypeVar("Data", bound="dict[str, Any] | list[Any]")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the sessions and messaging boxes of one request depend on.

    Args:
        securekey: The application's secret; None where it has none.
        timeout: Seconds without use after which a session ends; None for ``DEFAULT_TIMEOUT``.
        remote_addr: The client's address.
        secure: Whether the request came over TLS.
        now: Returns the time in seconds since the epoch.
        known_keys: Securekeys that stores were mounted with in earlier requests, by kind and name.
    """

    securekey: str | None = field(repr=False)
    timeout: int | None = None
    remote_addr: str = ""
    secure: bool = False
    now: Callable[[], float] = time.time
    known_keys: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Slot(Generic[Data]):
    """One store in use.

    Attributes:
        cookie_name: The cookie that holds it.
        seal: Seals with its key.
        data: What it holds now.
        path: Path of the cookie; None for the mount point.
        domain: Domain of the cookie.
        secure: Whether the cookie is sent over TLS only.
        http_only: Whether scripts can not read the cookie.
        timeout: Seconds without use after which it ends.
        written: What ``data`` was in the cookie, as JSON text; empty for nothing.
        stamp: When that was written, in seconds since the epoch.
        address: The client that wrote it, or that asks now where there is none.
        claimed: Whether the application put something in.
        emptied: Whether the application said that the cookie is to go.
    """

    cookie_name: str
    seal: Seal
    data: Data
    path: str | None
    domain: str | None
    secure: bool
    http_only: bool
    timeout: int
    address: str
    written: bytes = b""
    stamp: int = 0
    claimed: bool = False
    emptied: bool = False


class Store(ABC, Generic[Data]):
    """Named stores of a request.

    Args:
        cookie: The cookies that they are read from and written to.
        settings: What they depend on.
    """

    noun: ClassVar[str]
    """What one is called in messages; it is authenticated with the data, so that one kind can not pass for another."""
    prefix: ClassVar[str]
    """The beginning of the cookies' names."""

    def __init__(self, cookie: Cookie, settings: SessionSettings) -> None:
        self._cookie = cookie
        self._settings = settings
        # Bounded, so that the room for data does not depend on the client.
        self._address = _NO_ADDRESS.sub("", settings.remote_addr)[:_MAX_ADDRESS_SIZE]
        self._name: str | None = None
        self._slots: dict[str | None, Slot[Data]] = {}

    @abstractmethod
    def _restore(self, data: Any, slot: Slot[Data]) -> Data | None:
        """Return what a cookie held as the data of ``slot``, None where it is not valid or not any more."""

    @abstractmethod
    def _nothing(self) -> Data:
        """Return the data of an empty store."""

    def _holds(self, data: Data) -> bool:
        """Return whether a store with this data exists."""
        return bool(data)

    def _judge_age(self, slot: Slot[Data]) -> None:
        """Empty ``slot`` where what came in its cookie is older than its timeout, which has just changed."""

    def exists(self, name: str | None = None) -> bool:
        """Return whether a store holds anything: it came with the request and is valid, or was filled since.

        Args:
            name: Its name; None for the default one. The securekey of a named one is that which the application has
                mounted it with, in this request or an earlier one of this process; else its own. The timeout is that
                which it was written with.
        """
        slot = self._slots.get(name)
        if slot is None:
            known = self._settings.known_keys.get((self.noun, name)) if name is not None else None
            slot = self._open(name, self._key(name, known))
            if name is None:
                self._slots[None] = slot
        return self._holds(slot.data)

    def source_verified(self) -> bool:
        """Return whether the client has the address of the one that changed the store last."""
        return self._slot().address == self._address

    def _slot(self) -> Slot[Data]:
        """Return the current store, opened."""
        slot = self._slots.get(self._name)
        if slot is None:
            # A named one was opened by mount.
            slot = self._slots[None] = self._open(None, self._key(None, None))
        return slot

    def _mount(
        self,
        name: str | None,
        securekey: str | None,
        path: str | None,
        domain: str | None,
        secure: bool | None,
        http_only: bool | None,
        timeout: int | None,
    ) -> None:
        """Make a store the current one; None leaves an option as it is, or at its default."""
        if path is not None:
            check_path(path)
        if domain is not None:
            check_domain(domain)
        if timeout is not None and timeout <= 0:
            raise ValueError(f"session_timeout is {timeout!r}: it must be seconds above 0")
        key = self._key(name, securekey)
        slot = self._slots.get(name)
        if slot is None:
            slot = self._open(name, key, timeout)
        elif securekey is not None and slot.seal is not make_seal(key):
            raise ValueError(f"the {self.noun} {name!r} is mounted in this request with another securekey")
        slot.path = slot.path if path is None else path
        slot.domain = slot.domain if domain is None else domain
        slot.secure = slot.secure if secure is None else secure
        slot.http_only = slot.http_only if http_only is None else http_only
        if timeout is not None:
            slot.timeout = timeout
            self._judge_age(slot)
        self._slots[name] = slot
        self._name = name
        known = self._settings.known_keys
        if name is not None and len(known) < _MAX_KNOWN_KEYS:
            known[self.noun, name] = key

    def _key(self, name: str | None, securekey: str | None) -> str:
        """Return the securekey of a store.

        Raises:
            ConfigError: There is none.
            ValueError: The name can not be one, or the default store is given another key than the application's.
        """
        if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
            raise ValueError(
                f"{name!r} can not be the {self.noun}'s name: it must be 1 to 64 letters, digits and any of _.-"
            )
        own = self._settings.securekey
        if name is None and securekey is not None and own and not _equal(securekey, own):
            raise ValueError(f"the securekey of the default {self.noun} must be the one of the application")
        key = own if name is None or securekey is None else securekey
        if not key:
            raise ConfigError(f"the {self.noun} needs a securekey: set app.securekey to a long random text")
        if not isinstance(key, str):
            raise ConfigError(f"the securekey must be a text, not {type(key).__name__}")
        return key

    def _open(self, name: str | None, key: str, timeout: int | None = None) -> Slot[Data]:
        """Read a store from its cookie; one that is missing, forged or no longer valid is empty.

        Without ``timeout`` a named one keeps that which it was written with: not all who use it know it.
        """
        seal = make_seal(key)
        settings = self._settings
        slot = Slot(
            cookie_name=self.prefix + (seal.fingerprint if name is None else "_" + name),
            seal=seal,
            data=self._nothing(),
            path="/" if name is None else None,
            domain=None,
            secure=settings.secure,
            http_only=True,
            timeout=timeout or settings.timeout or DEFAULT_TIMEOUT,
            address=self._address,
        )
        text = self._cookie.get(slot.cookie_name)
        opened = None if text is None else seal.open(self.noun, slot.cookie_name, text)
        if opened is not None:
            # What opens is what this version wrote.
            head, _, written = opened.partition(b"\n")
            slot.stamp, address, kept = loads(head)
            if timeout is None and name is not None:
                slot.timeout = kept
            data = self._restore(loads(written), slot)
            if data is not None:
                slot.data, slot.written, slot.address = data, written, address
        return slot

    def _write(self, slot: Slot[Data], text: bytes, address: str, expires: int | str) -> None:
        """Seal JSON text into the cookie of ``slot``.

        Args:
            slot: The store.
            text: Its data.
            address: The address that counts from now on.
            expires: Seconds that the browser keeps the cookie, or "never".
        """
        now = int(self._settings.now())
        sealed = slot.seal.close(self.noun, slot.cookie_name, dumps([now, address, slot.timeout]) + b"\n" + text)
        slot.written, slot.stamp, slot.address, slot.claimed = text, now, address, False
        self._cookie.set(
            slot.cookie_name, sealed, expires, slot.path, slot.domain, slot.secure, slot.http_only, same_site="Lax"
        )

    def _erase(self, slot: Slot[Data]) -> None:
        """Remove the cookie of an empty store, where the browser has one that is ours or is to go anyway."""
        # One that can not be opened is left alone: it may belong to another key.
        if (slot.written or slot.emptied) and slot.cookie_name in self._cookie:
            self._cookie.remove(slot.cookie_name, slot.path, slot.domain)
        slot.written, slot.claimed, slot.emptied = b"", False, False

    def _room(self, slot: Slot[Data]) -> int:
        """Return how many bytes of JSON text fit into the cookie of ``slot``."""
        return capacity(MAX_COOKIE_SIZE - len(slot.cookie_name)) - _HEAD_SIZE


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
