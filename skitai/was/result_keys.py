"""The key that a result is kept by: a digest of everything that tells questions apart.

It is the same in every process and on every machine, since they may share what is kept. So it never depends on hash
seeds, on addresses, nor on the order of a dictionary.

Layer 3. It must not know what is kept, nor where. Thread: any.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from types import MappingProxyType
from typing import Final
from uuid import UUID

_KEY_SIZE: Final = 20
_MAX_DEPTH: Final = 32

_AS_TEXT: Final = (Decimal, Fraction, UUID, date, time, timedelta)
"""Types whose text, with their name, tells two values apart; ``date`` has ``datetime`` below it."""

_BINARY: Final = (bytes, bytearray, memoryview)
_NUMBERS: Final = (bool, int, float, complex)

_MAPPINGS: Final = (dict, OrderedDict, defaultdict, MappingProxyType)
"""Types whose items are all that is in them. Those below them may hold more than they show: several values a name."""


def key_of(method: str, cluster: str, url: str, params: object = None, body: object = None) -> bytes | None:
    """Return the key of a question, the same in every process and on every machine.

    Args:
        method: The verb, or the name of the procedure.
        cluster: Name of the cluster, "" for none. Its members give the same answers; for ``.map``, they do not, so
            the member goes into it.
        url: The URL or what else is asked.
        params: Values of any common type, in any depth. Who asks belongs here where the answer depends on it: the
            credentials.
        body: The body, bytes as a rule.

    Returns:
        20 bytes; None where a part has no content to compare (a file, an object of the application), so that the
        result can not be kept.
    """
    digest = blake2b(digest_size=_KEY_SIZE, person=b"skitai.rcache.1")
    pieces: list[bytes] = []
    try:
        for part in (method, cluster, url, params, body):
            _write(part, pieces, 0)
    except _NoContent:
        return None
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


class _NoContent(Exception):
    """A value has no content that could be compared."""


def _write(value: object, pieces: list[bytes], depth: int) -> None:
    """Write a value so that no other value is written alike: a word for its type, its length, its content."""
    if isinstance(value, str):
        _write_bytes(b"s", value.encode("utf-8", "surrogatepass"), pieces)
    elif isinstance(value, _BINARY):
        _write_bytes(b"b", bytes(value), pieces)
    elif value is None or isinstance(value, _NUMBERS):
        # True, 1 and 1.0 are equal in Python, but not in a query.
        # Of a large one, decimal digits are too many for Python to write.
        text = hex(value) if isinstance(value, int) else repr(value)
        _write_bytes(type(value).__name__.encode(), text.encode(), pieces)
    elif isinstance(value, _AS_TEXT):
        _write_bytes(type(value).__name__.encode(), str(value).encode(), pieces)
    elif depth >= _MAX_DEPTH:
        raise _NoContent  # it may contain itself
    elif isinstance(value, _MAPPINGS):
        if type(value) not in _MAPPINGS:
            raise _NoContent
        items = [(_written(name, depth + 1), item) for name, item in value.items()]
        pieces.append(b"m %d:" % len(items))
        for name, item in sorted(items, key=_first):
            pieces.append(name)
            _write(item, pieces, depth + 1)
    elif isinstance(value, Sequence):
        pieces.append(b"l %d:" % len(value))
        for item in value:
            _write(item, pieces, depth + 1)
    elif isinstance(value, Set):
        pieces.append(b"u %d:" % len(value))
        pieces.extend(sorted(_written(item, depth + 1) for item in value))
    else:
        raise _NoContent


def _write_bytes(kind: bytes, content: bytes, pieces: list[bytes]) -> None:
    pieces.append(b"%b %d:" % (kind, len(content)))
    pieces.append(content)


def _written(value: object, depth: int) -> bytes:
    pieces: list[bytes] = []
    _write(value, pieces, depth)
    return b"".join(pieces)


def _first(pair: tuple[bytes, object]) -> bytes:
    return pair[0]
