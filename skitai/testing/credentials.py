"""What a client says of who it is: basic (RFC 7617) and digest authentication (RFC 7616).

It must not know how requests are made. Thread: any.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.request import parse_http_list, parse_keqv_list

Auth: TypeAlias = "tuple[str, str]"
"""User and password."""

_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def basic(auth: Auth) -> str:
    """Return ``Authorization`` for a server that asks for basic authentication."""
    return "Basic " + b64encode(":".join(auth).encode()).decode("ascii")


class Digest:
    """Answers to one challenge; each says how many there have been.

    Args:
        challenge: The parameters of the challenge.
        cnonce: The client's nonce; empty: one that follows from the server's.
    """

    def __init__(self, challenge: dict[str, str], cnonce: str = "") -> None:
        self._challenge = challenge
        self._cnonce = cnonce or self._hash(challenge["nonce"])[:16]
        self._count = 0

    @classmethod
    def of(cls, fields: Iterable[str]) -> Digest | None:
        """Return what answers the first digest challenge that can be, None where there is none.

        Args:
            fields: The values of ``WWW-Authenticate``, one challenge each.
        """
        for field in fields:
            scheme, _, rest = field.strip().partition(" ")
            if scheme.lower() == "digest":
                challenge = parse_keqv_list(parse_http_list(rest))
                name = _HASHES.get(challenge.get("algorithm", "MD5").upper())
                if name in hashlib.algorithms_available and "nonce" in challenge:
                    return cls(challenge)
        return None

    def answer(self, auth: Auth, method: str, uri: str) -> str:
        """Return ``Authorization`` for a request.

        Args:
            auth: User and password.
            method: The method.
            uri: The target, with its query.
        """
        self._count += 1
        challenge, (user, password) = self._challenge, auth
        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        said = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
        secret, action = self._hash(f"{user}:{realm}:{password}"), self._hash(f"{method}:{uri}")
        bare = {"algorithm": challenge["algorithm"]} if "algorithm" in challenge else {}
        if "auth" in [word.strip() for word in challenge.get("qop", "").split(",")]:
            number, cnonce = f"{self._count:08x}", self._cnonce
            said["cnonce"] = cnonce
            bare |= {"qop": "auth", "nc": number}
            said["response"] = self._hash(f"{secret}:{nonce}:{number}:{cnonce}:auth:{action}")  # section 3.4.1
        else:
            said["response"] = self._hash(f"{secret}:{nonce}:{action}")  # of RFC 2069
        if "opaque" in challenge:
            said["opaque"] = challenge["opaque"]
        quoted = [f'{key}="{_escaped(value)}"' for key, value in said.items()]
        text = "Digest " + ", ".join(quoted + [f"{key}={value}" for key, value in bare.items()])
        return text.encode().decode("latin-1")  # names are in UTF-8

    def _hash(self, text: str) -> str:
        name = _HASHES[self._challenge.get("algorithm", "MD5").upper()]
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
