"""Who asks: the authentication of requests by the schemes Basic (RFC 7617) and Digest (RFC 7616).

An ``Authenticator`` belongs to an application and its users. It must not know requests, routes or answers: it takes
the field value and returns a ``User``, or raises ``Unauthorized`` with the challenges that the 401 carries.

What is malformed is a 400. An answer that is well formed but not good (another scheme, realm or algorithm than asked
for, a wrong password, a nonce that is too old or used up) is a 401 with new challenges.

Layer S. Thread: any; threads share an authenticator.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from skitai.digests import quoted, user_hash, wire
from skitai.errors import PeerError
from skitai.saddle.digest import (
    TOKEN,
    Nonces,
    algorithm_names,
    decode_text,
    expected_response,
    malformed,
    parse_answer,
    same_target,
)

SCHEMES: Final = ("basic", "digest")

DEFAULT_REALM: Final = "Skitai"

MAX_CREDENTIALS_SIZE: Final = 16384
"""Characters. The answer of Digest repeats the request target, which may be long."""

MIN_SECRET_SIZE: Final = 16
"""Bytes."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MD5_DIGITS: Final = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class User:
    """Who made a request.

    Attributes:
        name: As the client gave it.
        realm: Of the application.
        info: What the application's users have beside the password, None for nothing.
    """

    name: str
    realm: str
    info: Any = None


class Unauthorized(PeerError):
    """A request needs authentication, or another one than it brought.

    Args:
        message: Why, in words that may be shown to the client.
        challenges: The value of one WWW-Authenticate field each, the best first.
    """

    def __init__(self, message: str, challenges: list[str]) -> None:
        self.challenges = challenges
        super().__init__(401, message)


class Users(Protocol):
    """What an application keeps its users in: a dictionary, or anything that can be asked like one."""

    def get(self, name: str, /) -> Any:
        """Return ``(password, encrypted, info)``, ``(password, encrypted)``, ``password``, or None for nobody."""


@dataclass(frozen=True, slots=True)
class _Entry:
    password: str = field(repr=False)  # a page with the variables of a traceback shows none
    encrypted: bool
    info: Any


class Authenticator:
    """The guard of one application.

    Encrypted passwords are the hex digits of the MD5 of ``user:realm:password``, so they answer to Basic and to Digest
    with MD5; nobody can verify them against another algorithm.

    Args:
        scheme: "basic" or "digest".
        realm: Name of what is guarded, which browsers show; None for "Skitai". It may hold quotes and backslashes, but
            some clients of Digest can not cope with them.
        users: The users; for Digest a dictionary is counted anew when its size changes.
        algorithms: Of Digest, names among "MD5", "SHA-256" and "SHA-512-256", the best first. None: SHA-256 and MD5, or
            MD5 alone where ``users`` is a dictionary in which all are encrypted.
        now: Returns the time in seconds since the epoch.
        secret: At least 16 bytes; signs the nonces. Processes that serve the same clients should share it.

    Raises:
        ValueError, TypeError: One of them can not be used.
    """

    def __init__(
        self,
        scheme: str,
        realm: str | None,
        users: Users,
        algorithms: str | Iterable[str] | None,
        now: Callable[[], float],
        secret: bytes,
    ) -> None:
        self._scheme = scheme.lower() if isinstance(scheme, str) else ""
        if self._scheme not in SCHEMES:
            raise ValueError(f"authorization must be 'basic' or 'digest', not {scheme!r}")
        self.realm = DEFAULT_REALM if realm is None else _checked_realm(realm)
        if not callable(getattr(users, "get", None)):
            raise TypeError(f"users must be a dictionary or have a method get(username), not be {type(users).__name__}")
        if len(secret) < MIN_SECRET_SIZE:
            raise ValueError(f"the secret must have at least {MIN_SECRET_SIZE} bytes, not {len(secret)}")
        self._users = users
        self._secret = secret
        self._algorithms = None if algorithms is None else algorithm_names(algorithms)
        self._counted: tuple[int, tuple[str, ...]] = (-1, ())
        self._nobody = _Entry(secrets.token_hex(16), False, None)
        self._realm_on_wire = wire(self.realm)
        self._opaque = self._keyed(f"opaque:{self.realm}")[:32]
        self._nonces = Nonces(secret, now)
        self.algorithms()  # so that an entry of a dictionary that can not be used is found now

    def algorithms(self) -> tuple[str, ...]:
        """Return the algorithms of Digest that are offered, the best first."""
        if self._algorithms is not None:
            return self._algorithms
        if not isinstance(self._users, Mapping):
            return ("SHA-256", "MD5")
        size = len(self._users)
        if self._counted[0] != size:
            # A list at once: another thread may add a user meanwhile.
            entries = [_read_entry(name, found) for name, found in list(self._users.items())]
            encrypted = [entry.encrypted for entry in entries if entry is not None]
            self._counted = (size, ("MD5",) if encrypted and all(encrypted) else ("SHA-256", "MD5"))
        return self._counted[1]

    def challenges(self, stale: bool = False) -> list[str]:
        """Return the values of the WWW-Authenticate fields that ask for authentication, one challenge each.

        Args:
            stale: Tells the client that its password was right but its nonce was not, so that it asks no user again.
        """
        realm = quoted(self.realm)
        if self._scheme == "basic":
            return [f'Basic realm={realm}, charset="UTF-8"']
        # All share the nonce, the realm comes first, and all have the same parameters: clients that read the fields as
        # one long challenge then find one that holds together.
        rest = f'nonce="{self._nonces.issue()}", opaque="{self._opaque}", charset=UTF-8{", stale=true" * stale}'
        return [f'Digest realm={realm}, qop="auth", algorithm={name}, {rest}' for name in self.algorithms()]

    def authenticate(self, method: str, uri: str, authorization: str) -> User:
        """Return who makes a request.

        Args:
            method: The request method.
            uri: Path and query of the request target, undecoded, as in ``REQUEST_URI``.
            authorization: The value of its Authorization field, "" for none.

        Raises:
            Unauthorized: It brings no credentials, or such as are not good.
            PeerError: 400, its credentials are malformed.
        """
        scheme, _, credentials = authorization.strip(" \t").partition(" ")
        if scheme.lower() != self._scheme:
            if scheme and TOKEN.fullmatch(scheme) is None:
                raise malformed("it does not begin with the name of a scheme")
            raise Unauthorized("authentication is required", self.challenges())
        if len(credentials) > MAX_CREDENTIALS_SIZE:
            raise malformed(f"it has more than {MAX_CREDENTIALS_SIZE:,} characters")
        try:
            octets = credentials.strip(" ").encode("latin-1")
        except UnicodeEncodeError:
            raise malformed("it holds characters that are no octets") from None
        if self._scheme == "basic":
            return self._basic(octets)
        return self._digest(method, uri, octets.decode("latin-1"))

    def _basic(self, credentials: bytes) -> User:
        try:
            octets = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            octets = None
        # Decoders overlook surplus padding and bits; how much depends on the version of Python.
        if octets is None or base64.b64encode(octets) != credentials:
            raise malformed("it is not Base64")
        name, colon, password = decode_text(octets, "the text in Base64").partition(":")
        if not colon:
            raise malformed("there is no colon between user and password")
        entry = self._entry(name)
        # Everything is computed for everybody, so that the time tells nothing about the user. Hashes have one length.
        given, stored = self._keyed(password), self._keyed(entry.password)
        given_hash, stored_hash = user_hash("MD5", name, self.realm, password), entry.password.lower()
        right = hmac.compare_digest(given_hash, stored_hash) if entry.encrypted else hmac.compare_digest(given, stored)
        if not right or entry is self._nobody:
            raise self._wrong()
        return User(name, self.realm, entry.info)

    def _digest(self, method: str, uri: str, credentials: str) -> User:
        answer = parse_answer(credentials)
        if not same_target(answer.uri, uri):
            # RFC 7616 section 3.4.6: a 400, as it may be an attack.
            raise malformed("uri is not the target of the request")
        if answer.algorithm not in self.algorithms() or answer.realm != self._realm_on_wire or answer.userhash:
            raise Unauthorized("this is no answer to the challenge", self.challenges())
        entry = self._entry(answer.name)
        # Computed for everybody, so that the time tells nothing about the user.
        key = user_hash(answer.algorithm, answer.name, self.realm, entry.password)
        if entry.encrypted:
            key = entry.password.lower()
        right = hmac.compare_digest(expected_response(answer, key, method), answer.response)
        if not right or entry is self._nobody or (entry.encrypted and answer.algorithm != "MD5"):
            raise self._wrong()
        # The opaque text may be left out, for it carries nothing; another one is from another challenge.
        if answer.opaque not in (None, self._opaque) or not self._nonces.spend(answer.nonce, answer.count):
            raise Unauthorized("the nonce is too old or was used before", self.challenges(stale=True))
        return User(answer.name, self.realm, entry.info)

    def _entry(self, name: str) -> _Entry:
        return _read_entry(name, self._users.get(name)) or self._nobody

    def _keyed(self, text: str) -> str:
        return hmac.new(self._secret, text.encode("utf-8"), "sha256").hexdigest()

    def _wrong(self) -> Unauthorized:
        return Unauthorized("the user is unknown or the password is wrong", self.challenges())


def _checked_realm(realm: str) -> str:
    if not isinstance(realm, str) or not realm:
        raise ValueError(f"realm must be a text, not {realm!r}")
    if _CONTROL.search(realm) is not None:
        raise ValueError(f"realm must be a text without control characters, not {realm!r}")
    return realm


def _read_entry(name: str, found: Any) -> _Entry | None:
    """Return what ``users.get(name)`` found; messages do not repeat it, as it is a secret."""
    if found is None:
        return None
    if isinstance(found, str):
        return _Entry(found, False, None)
    if not isinstance(found, (tuple, list)) or len(found) not in (2, 3) or not isinstance(found[0], str):
        raise TypeError(
            f"users.get({name!r}) must be (password, encrypted, info), (password, encrypted), password or None; "
            f"it is {type(found).__name__}"
        )
    entry = _Entry(found[0], bool(found[1]), found[2] if len(found) == 3 else None)
    if entry.encrypted and _MD5_DIGITS.fullmatch(entry.password) is None:
        raise ValueError(
            f"users.get({name!r}) says that its password is encrypted, but it is not the 32 hex digits of "
            "md5(user:realm:password)"
        )
    return entry
