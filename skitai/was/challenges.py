"""What a client says of who it is, and what it answers when a server wants it said otherwise (RFC 7617, RFC 7616).

User and password go as Basic with the first request. Where the server answers 401 and offers Digest, the request is
repeated with that, and the server's nonce is remembered: the next requests begin with Digest, without the detour.

It must not know how requests are sent. Fields are bytes, as the engine has them.

Layer 3. Thread: reactor.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from skitai.digests import available, digest, quoted, request_digest, user_hash

MAX_CHALLENGES: Final = 16
"""How many challenges of one answer are looked at."""

MAX_REMEMBERED: Final = 256
"""How many servers' nonces are kept."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME: Final = re.compile(rb"[ \t,]*(" + _TOKEN + rb")(?![ \t]*=)(?: +|(?=[,\t])|\Z)")
_PARAMETER: Final = re.compile(
    rb"[ \t,]*(" + _TOKEN + rb")[ \t]*=[ \t]*(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*)")[ \t]*(?=,|\Z)', re.DOTALL
)
_TOKEN68: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_SESSION: Final = "-SESS"

Origin = tuple[str, str, int]


class Challenge(NamedTuple):
    """What a server asks for: a scheme in lower case, and its parameters by their names in lower case."""

    scheme: str
    parameters: dict[str, str]


def read_challenges(values: Iterable[bytes]) -> list[Challenge]:
    """Return the challenges in the values of WWW-Authenticate fields (RFC 9110 section 11.6.1).

    A field may hold several. What is malformed ends its field; nothing is raised for it.
    """
    found: list[Challenge] = []
    for value in values:
        position = 0
        while len(found) < MAX_CHALLENGES:
            scheme = _SCHEME.match(value, position)
            if scheme is None:
                break
            position = scheme.end()
            parameters: dict[str, str] = {}
            token68 = _TOKEN68.match(value, position)
            if token68 is not None:
                position = token68.end()
            while (parameter := _PARAMETER.match(value, position)) is not None:
                name, token, text = parameter.groups()
                content = token.decode() if token is not None else _QUOTED_PAIR.sub(r"\1", text.decode("latin-1"))
                parameters.setdefault(name.decode().lower(), content)
                position = parameter.end()
            found.append(Challenge(scheme[1].decode().lower(), parameters))
    return found


def basic(user: str, password: str) -> bytes:
    """Return the value of Authorization for the scheme Basic, in UTF-8."""
    return b"Basic " + b64encode(f"{user}:{password}".encode())


def bearer(token: str) -> bytes:
    """Return the value of Authorization for a bearer token (RFC 6750 section 2.1)."""
    return b"Bearer " + token.encode("latin-1")


class Digest:
    """Answers to one digest challenge, counted (RFC 7616 section 3.4).

    Args:
        parameters: Those of the challenge; ``usable`` has said yes to them.
        user: The user.
        password: Is not kept, but its digest is.
        cnonce: The client's nonce.
    """

    __slots__ = ("_algorithm", "_cnonce", "_count", "_key", "_parameters", "_user")

    def __init__(self, parameters: dict[str, str], user: str, password: str, cnonce: str) -> None:
        self._parameters = parameters
        self._user = user
        self._cnonce = cnonce
        self._count = 0
        name = parameters.get("algorithm", "MD5").upper()
        self._algorithm = name.removesuffix(_SESSION)
        # The realm came as octets; UTF-8 is what both sides hash (section 4).
        realm = parameters["realm"].encode("latin-1").decode("utf-8", "replace")
        self._key = user_hash(self._algorithm, user, realm, password)
        if name.endswith(_SESSION):
            self._key = digest(self._algorithm, f"{self._key}:{parameters['nonce']}:{cnonce}".encode("latin-1"))

    @staticmethod
    def usable(challenge: Challenge) -> bool:
        """Return whether ``challenge`` can be answered."""
        parameters = challenge.parameters
        if challenge.scheme != "digest" or not parameters.get("nonce") or "realm" not in parameters:
            return False
        if "qop" in parameters and "auth" not in _words(parameters["qop"]):
            return False  # auth-int is the digest of a body that may be a stream
        return available(parameters.get("algorithm", "MD5").upper().removesuffix(_SESSION))

    def authorization(self, method: str, target: str) -> bytes:
        """Return the value of Authorization for a request; the nonce count rises with each.

        Args:
            method: The request method.
            target: Path and query, as in the request line.
        """
        self._count += 1
        given = self._parameters
        nonce = between = given["nonce"]
        # What a server said is repeated as it came: one character a byte, quoted anew.
        fields = [f"username={quoted(self._user)}", f"realm={_again(given['realm'])}", f"nonce={_again(nonce)}"]
        fields.append(f'uri="{target}"')
        if "algorithm" in given:
            fields.append(f"algorithm={given['algorithm']}")
        if "opaque" in given:
            fields.append(f"opaque={_again(given['opaque'])}")
        if "qop" in given:
            count = f"{self._count:08x}"
            fields.append(f'qop=auth, nc={count}, cnonce="{self._cnonce}"')
            between = f"{nonce}:{count}:{self._cnonce}:auth"
        response = request_digest(self._algorithm, self._key, method, target, between)
        fields.append(f'response="{response}"')
        return ("Digest " + ", ".join(fields)).encode("latin-1")


class Credentials:
    """What is known of how servers want to be told who asks.

    Args:
        make_cnonce: Makes a client's nonce.
    """

    def __init__(self, make_cnonce: Callable[[], str] = lambda: secrets.token_hex(8)) -> None:
        self._make_cnonce = make_cnonce
        self._digests: dict[tuple[Origin, str, str], Digest] = {}

    def authorization(self, auth: tuple[str, str] | str, origin: Origin, method: str, target: str) -> bytes:
        """Return the value of Authorization for a request to ``origin``.

        Args:
            auth: User and password, or a bearer token.
            origin: Scheme, host and port.
            method: The request method.
            target: Path and query.
        """
        if isinstance(auth, str):
            return bearer(auth)
        known = self._digests.get((origin, *auth))
        return basic(*auth) if known is None else known.authorization(method, target)

    def answers(self, auth: tuple[str, str] | str, origin: Origin, values: Sequence[bytes], again: bool) -> bool:
        """Take note of the challenges of a 401; return whether the request may be made again.

        Args:
            auth: What the request was made with.
            origin: Scheme, host and port.
            values: Those of its WWW-Authenticate fields, in order.
            again: Whether the request has been made with Digest already: then it is repeated only where the server
                says that nothing but the nonce was wrong.
        """
        if isinstance(auth, str):
            return False
        key = (origin, *auth)
        self._digests.pop(key, None)
        for challenge in read_challenges(values):
            if not Digest.usable(challenge):
                continue
            if again and challenge.parameters.get("stale", "").lower() != "true":
                return False
            while len(self._digests) >= MAX_REMEMBERED:
                del self._digests[next(iter(self._digests))]
            self._digests[key] = Digest(challenge.parameters, *auth, self._make_cnonce())
            return True
        return False


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",")]


def _again(octets: str) -> str:
    escaped = octets.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
