"""Data that a browser keeps but can neither read nor change: encrypted and authenticated text for a cookie.

The key comes from the application's ``securekey`` through HKDF-SHA256 (RFC 5869), the cipher is AES-256-GCM (RFC
5116). What the data is for and the name of its cookie are authenticated with it, so that no cookie passes for another.
The text is ``version || nonce || ciphertext and tag`` in unpadded base64url. How old it is must stand in the data.

It must not know cookies or sessions. Layer S. Thread: any.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = b"\x01"
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_OVERHEAD: Final = len(_VERSION) + _NONCE_SIZE + _TAG_SIZE
_MAX_TEXT_SIZE: Final = 8192
_CACHED_KEYS: Final = 64
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def capacity(size: int) -> int:
    """Return how many bytes of data a sealed text of ``size`` characters holds."""
    return size * 3 // 4 - _OVERHEAD


class Seal:
    """Seals and opens with the key of one securekey.

    Attributes:
        fingerprint: Four hex digits that tell keys apart and give nothing of them away.
    """

    __slots__ = ("_cipher", "fingerprint")

    def __init__(self, cipher: AESGCM, fingerprint: str) -> None:
        self._cipher = cipher
        self.fingerprint = fingerprint

    def close(self, purpose: str, name: str, data: bytes) -> str:
        """Return ``data`` as a text that only ``open`` with the same key, purpose and name can read.

        Args:
            purpose: What it is for.
            name: The name of the cookie that holds it.
            data: What to seal.
        """
        # A random nonce is good for 2**32 messages with one key (NIST SP 800-38D section 8.3).
        nonce = os.urandom(_NONCE_SIZE)
        whole = _VERSION + nonce + self._cipher.encrypt(nonce, data, _associated(purpose, name))
        return base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii")

    def open(self, purpose: str, name: str, text: str) -> bytes | None:
        """Return the data of a sealed text, None for anything that is not one with this key, purpose and name.

        Args:
            purpose: What it was sealed for.
            name: The name of the cookie that holds it.
            text: What the browser sent.
        """
        if len(text) > _MAX_TEXT_SIZE:
            return None
        try:
            whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        if len(whole) < _OVERHEAD or not whole.startswith(_VERSION):
            return None
        nonce = whole[1 : 1 + _NONCE_SIZE]
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(nonce, whole[1 + _NONCE_SIZE :], _associated(purpose, name))
        except InvalidTag:
            return None


def _associated(purpose: str, name: str) -> bytes:
    return _VERSION + f"{purpose}\0{name}".encode()


@lru_cache(maxsize=_CACHED_KEYS)
def make_seal(securekey: str) -> Seal:
    """Return what seals with a securekey; the last ones are kept.

    Args:
        securekey: A secret text, the longer the better.
    """
    # Who uses no session does not wait for these to load.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret = securekey.encode("utf-8", "surrogatepass")
    material = HKDF(SHA256(), 34, salt=None, info=b"skitai.saddle.sealed 1").derive(secret)
    return Seal(AESGCM(material[:32]), material[32:].hex())


def dumps(value: Any) -> bytes:
    """Return ``value`` as compact JSON text.

    Lists and tuples come back as lists; of everything else ``loads`` makes the same again.

    Raises:
        TypeError: There is something in it that JSON has no form for, or that would come back as something else.
    """
    try:
        text = _ENCODER.encode(value)
        _check_keys(value)
    except (ValueError, RecursionError) as error:
        raise TypeError(str(error)) from None
    return text.encode("utf-8", "surrogatepass")


def _check_keys(value: Any) -> None:
    # json writes numbers as the keys they are not.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} of a dictionary is no text")
            _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_keys(item)


def loads(data: bytes) -> Any:
    """Return the value of JSON text, None where it is none."""
    try:
        return json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
