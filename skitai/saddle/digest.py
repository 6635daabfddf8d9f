"""Digest access authentication (RFC 7616): algorithms, the client's answer, and nonces with a lifetime and a count.

What is offered and accepted is ``qop=auth`` with MD5, SHA-256 and SHA-512-256. ``auth-int`` would need the whole body
before the view runs, the ``-sess`` algorithms bring nothing without a third party that keeps the passwords, and the
``qop``-less form of RFC 2069 can be replayed; none of them is offered, so an answer that uses them is no answer to a
challenge of ours. Texts are those of WSGI: one character for each byte.

It must not know users, challenges as a whole, or the clock, which ``Nonces`` is given.

Layer S. Thread: any; ``Nonces`` has a lock.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from skitai.digests import ALGORITHMS, available, request_digest
from skitai.errors import PeerError

MAX_PARAMETERS: Final = 32
"""An answer has at most twelve; the rest is for what extensions may add."""

NONCE_LIFETIME: Final = 300.0
"""Seconds a nonce can be used. A browser gets the next one without asking its user again."""

NONCE_CAPACITY: Final = 16384
"""Nonces in use that are remembered, about 5 MB when full."""

COUNT_WINDOW: Final = 256
"""How far a nonce count may lie behind the highest one: a browser's parallel requests arrive in any order."""

_CLOCK_SKEW: Final = 10.0
"""Seconds that a nonce may come from the future, made by another host with the same secret."""

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 11.2. No two blanks meet, so that a failed match takes linear time.
_PARAMETER: Final = re.compile(
    rf"({TOKEN.pattern})[ \t]*=[ \t]*"
    rf'(?:({TOKEN.pattern})|"([^"\\\x00-\x08\x0a-\x1f\x7f]*(?:\\[^\x00-\x08\x0a-\x1f\x7f][^"\\\x00-\x08\x0a-\x1f\x7f]*)*)")'
    r"[ \t]*(?:,|\Z)"
)
_BETWEEN: Final = re.compile(r"[ \t,]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# RFC 8187 section 3.2.1, of which RFC 7616 section 3.4 allows UTF-8 alone.
_EXTENDED: Final = re.compile(r"UTF-8'[A-Za-z0-9\-]*'((?:[!#$&+\-.^_`|~0-9A-Za-z]|%[0-9A-Fa-f]{2})*)", re.IGNORECASE)
_COUNT: Final = re.compile(r"[0-9a-fA-F]{8}")
_HEX: Final = re.compile(r"[0-9a-f]+")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*://[^/?]*")
_NONCE: Final = re.compile(r"[0-9a-f]{72}")
_STAMP_DIGITS: Final = 16
_SIGNED_DIGITS: Final = 40


def malformed(what: str) -> PeerError:
    """Return the error for an Authorization field that can not be read."""
    return PeerError(400, f"the Authorization field can not be used: {what}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client answers to a challenge.

    Attributes:
        name: The user, decoded.
        realm: As the client repeats it.
        nonce: As the client repeats it.
        uri: The request target by the client's account.
        response: Hex digits of the digest.
        algorithm: In capitals, "MD5" where it says none; not necessarily one of ``ALGORITHMS``.
        cnonce: The client's own nonce.
        nc: The nonce count as it was written, which is how it is hashed.
        opaque: As the client repeats it, None for none.
        userhash: Whether ``name`` is a hash.
    """

    name: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    cnonce: str
    nc: str
    opaque: str | None
    userhash: bool

    @property
    def count(self) -> int:
        """The nonce count."""
        return int(self.nc, 16)


def algorithm_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the algorithms called ``names``, as the IANA registry writes them, in the order given.

    Raises:
        ValueError: One is unknown or missing in this Python, or there is none.
    """
    known: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        proper = name.upper() if isinstance(name, str) else ""
        if proper not in ALGORITHMS:
            raise ValueError(f"digest_algorithms must be names among {', '.join(ALGORITHMS)}, not {name!r}")
        if not available(proper):
            raise ValueError(f"digest_algorithms: {proper} is not in the hashlib of this Python")
        if proper not in known:
            known.append(proper)
    if not known:
        raise ValueError(f"digest_algorithms must name at least one of {', '.join(ALGORITHMS)}")
    return tuple(known)


def parse_parameters(text: str) -> dict[str, str]:
    """Return the parameters of credentials by their name in lower case (RFC 9110 section 11.4).

    Raises:
        PeerError: They are no list of parameters, too many, or one comes twice.
    """
    found: dict[str, str] = {}
    position = _end_of_gap(text, 0)
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise malformed(f"no parameter at character {position}")
        name = match[1].lower()
        if name in found:
            raise malformed(f"{name} comes twice")
        if len(found) == MAX_PARAMETERS:
            raise malformed(f"more than {MAX_PARAMETERS} parameters")
        found[name] = match[2] if match[3] is None else _QUOTED_PAIR.sub(r"\1", match[3])
        position = _end_of_gap(text, match.end())
    return found


def _end_of_gap(text: str, position: int) -> int:
    # Elements of a list may be empty (RFC 9110 section 5.6.1.2).
    match = _BETWEEN.match(text, position)
    return match.end() if match is not None else position


def parse_answer(text: str) -> Answer:
    """Return what the credentials of the scheme Digest say (RFC 7616 section 3.4).

    ``qop``, ``nc`` and ``algorithm`` may be quoted, as widespread clients do.

    Raises:
        PeerError: They are malformed, or something that our challenge asks for is missing.
    """
    found = parse_parameters(text)
    for name in ("realm", "nonce", "uri", "response", "qop", "nc", "cnonce"):
        if not found.get(name):
            # The name of a realm may be empty, though we never have such a one.
            raise malformed(f"{name} is missing")
    if found["qop"].lower() != "auth":
        raise malformed("qop must be auth")
    if _COUNT.fullmatch(found["nc"]) is None or found["nc"] == "00000000":
        raise malformed("nc must be eight hex digits, counting from 00000001")
    algorithm = found.get("algorithm", "MD5").upper()
    digits = ALGORITHMS[algorithm][1] if algorithm in ALGORITHMS else len(found["response"])
    if _HEX.fullmatch(found["response"]) is None or len(found["response"]) != digits:
        raise malformed(f"response must be {digits} hex digits in lower case")
    userhash = found.get("userhash", "false").lower()
    if userhash not in ("true", "false"):
        raise malformed("userhash must be true or false")
    return Answer(
        name=_user_name(found),
        realm=found["realm"],
        nonce=found["nonce"],
        uri=found["uri"],
        response=found["response"],
        algorithm=algorithm,
        cnonce=found["cnonce"],
        nc=found["nc"],
        opaque=found.get("opaque"),
        userhash=userhash == "true",
    )


def _user_name(found: dict[str, str]) -> str:
    plain, extended = found.get("username"), found.get("username*")
    if (plain is None) == (extended is None):
        raise malformed("either username or username* must be there")
    if extended is not None:
        match = _EXTENDED.fullmatch(extended)
        if match is None:
            raise malformed("username* must be UTF-8'' and percent-encoded text")
        return decode_text(unquote_to_bytes(match[1]), "username*")
    return decode_text((plain or "").encode("latin-1"), "username")


def decode_text(octets: bytes, what: str) -> str:
    """Return ``octets`` as text.

    Args:
        octets: UTF-8 as our challenges ask for it.
        what: Its name in the message.

    Raises:
        PeerError: It is not UTF-8, or holds control characters (RFC 7617 section 2; a log would take them literally).
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(f"{what} is not UTF-8") from None
    if _CONTROL.search(text) is not None:
        raise malformed(f"{what} holds control characters")
    return text


def same_target(uri: str, target: str) -> bool:
    """Return whether the ``uri`` of an answer names what is requested (RFC 7616 section 3.4.6).

    The absolute form counts as its path and query: a proxy may have rewritten the request line. Paths that decode to
    the same octets are the same, as WSGI can not tell them apart; queries are compared as they are.

    Args:
        uri: By the client's account.
        target: Path and query of the request, as in ``REQUEST_URI``.
    """
    return uri == target or _resource(uri) == _resource(target)


def _resource(target: str) -> tuple[bytes, str]:
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        target = target[absolute.end() :]
        if not target.startswith("/"):
            target = f"/{target}"
    path, _, query = target.partition("?")
    return unquote_to_bytes(path.encode("latin-1", "backslashreplace")), query


def expected_response(answer: Answer, key: str, method: str) -> str:
    """Return the response that is right (RFC 7616 section 3.4.1).

    Args:
        answer: Gives all but the response; its algorithm is one of ``ALGORITHMS``.
        key: H(A1) of the user in hex digits.
        method: The request method.
    """
    between = f"{answer.nonce}:{answer.nc}:{answer.cnonce}:auth"
    return request_digest(answer.algorithm, key, method, answer.uri, between)


class Nonces:
    """Nonces that are signed, so that one need not be remembered before somebody has answered it rightly.

    A nonce is the microsecond of its making, random digits and a signature. Those in use are kept in a table with the
    counts seen: each count is good once, in any order within ``COUNT_WINDOW``. What is dropped from the full table is
    not accepted again, nor is anything older, so that no replay gets through: under heavy load nonces live shorter. Nor
    is what was made before the table, as a former one may have counted it.

    The table is the process's own. Processes with the same secret take each other's nonces, and a replay is good once
    in each of them; with different secrets a client that moves to another process is challenged again.

    Args:
        secret: Signs the nonces.
        now: Returns the time in seconds since the epoch.
        lifetime: Of a nonce, in seconds.
        capacity: How many are remembered.

    Thread: any.
    """

    def __init__(
        self,
        secret: bytes,
        now: Callable[[], float],
        lifetime: float = NONCE_LIFETIME,
        capacity: int = NONCE_CAPACITY,
    ) -> None:
        self._secret = secret
        self._now = now
        self._lifetime = _microseconds(lifetime)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}  # nonce -> highest count, bits of it and those before it
        self._floor = _microseconds(now()) - 1

    def issue(self) -> str:
        """Return a new nonce."""
        signed = f"{_microseconds(self._now()):0{_STAMP_DIGITS}x}{secrets.token_hex(12)}"
        return signed + self._sign(signed)

    def spend(self, nonce: str, count: int) -> bool:
        """Return whether ``nonce`` may be used with ``count``, which it then may not again.

        To be called for right responses only: it is they who fill the table.
        """
        if _NONCE.fullmatch(nonce) is None:
            return False
        if not hmac.compare_digest(self._sign(nonce[:_SIGNED_DIGITS]), nonce[_SIGNED_DIGITS:]):
            return False
        now, made = _microseconds(self._now()), _made(nonce)
        if not -_microseconds(_CLOCK_SKEW) <= now - made <= self._lifetime:
            return False
        with self._lock:
            seen = self._counts.get(nonce)
            if seen is None:
                if made <= self._floor:
                    return False
                self._make_room(now)
                self._counts[nonce] = (count, 1)
                return True
            fresh = _counted(seen, count)
            if fresh is not None:
                self._counts[nonce] = fresh
            return fresh is not None

    def _make_room(self, now: int) -> None:
        while self._counts:
            oldest = next(iter(self._counts))
            made = _made(oldest)
            if len(self._counts) < self._capacity and now - made <= self._lifetime:
                break
            del self._counts[oldest]
            # Even where its time has passed: the clock may be set back.
            self._floor = max(self._floor, made)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, b"digest nonce:" + text.encode(), "sha256").hexdigest()[:32]


def _counted(seen: tuple[int, int], count: int) -> tuple[int, int] | None:
    """Return ``seen`` with ``count``, None where it was seen or lies too far back."""
    highest, bits = seen
    ahead = count - highest
    if ahead > 0:
        return count, ((bits << ahead) & ((1 << COUNT_WINDOW) - 1) if ahead < COUNT_WINDOW else 0) | 1
    if -ahead >= COUNT_WINDOW or bits >> -ahead & 1:
        return None
    return highest, bits | 1 << -ahead


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _made(nonce: str) -> int:
    return int(nonce[:_STAMP_DIGITS], 16)
