"""What both sides of basic and digest access authentication compute (RFC 7617, RFC 7616).

It must not know credentials that are stored, nonces, or requests.

Layer 0. Thread: any.
"""

from __future__ import annotations

import hashlib
from typing import Final

ALGORITHMS: Final = {"MD5": ("md5", 32), "SHA-256": ("sha256", 64), "SHA-512-256": ("sha512_256", 64)}
"""By their name in the IANA registry: the name that ``hashlib`` has for it, and the number of hex digits."""


def digest(algorithm: str, octets: bytes) -> str:
    """Return the digest of ``octets`` by one of ``ALGORITHMS``, in hex digits."""
    # MD5 is what old peers have; saying that it is no security lets it work where a policy forbids it otherwise.
    return hashlib.new(ALGORITHMS[algorithm][0], octets, usedforsecurity=False).hexdigest()


def available(algorithm: str) -> bool:
    """Return whether ``algorithm`` is one of ``ALGORITHMS`` and in the hashlib of this Python."""
    return algorithm in ALGORITHMS and ALGORITHMS[algorithm][0] in hashlib.algorithms_available


def user_hash(algorithm: str, name: str, realm: str, password: str) -> str:
    """Return H(A1) (RFC 7616 section 3.4.2) in hex digits; with MD5 that is how the manual stores passwords."""
    return digest(algorithm, f"{name}:{realm}:{password}".encode())


def request_digest(algorithm: str, key: str, method: str, uri: str, nonce: str) -> str:
    """Return the response of a digest answer (RFC 7616 section 3.4.1).

    Args:
        algorithm: One of ``ALGORITHMS``.
        key: H(A1) in hex digits.
        method: The request method.
        uri: The request target, one character a byte.
        nonce: What stands between H(A1) and H(A2): the nonce alone (RFC 2069), or with count, client nonce and "auth",
            separated by colons, one character a byte.
    """
    request = digest(algorithm, f"{method}:{uri}".encode("latin-1"))
    return digest(algorithm, f"{key}:{nonce}:{request}".encode("latin-1"))


def wire(text: str) -> str:
    """Return ``text`` in UTF-8, one character a byte as WSGI has the values of fields."""
    return text if text.isascii() else text.encode("utf-8").decode("latin-1")


def quoted(text: str) -> str:
    """Return ``text`` as a quoted-string in UTF-8 (RFC 9110 section 5.6.4), one character a byte as WSGI wants it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{wire(escaped)}"'
