"""Which content coding a client wants, of those in which a file may lie ready (RFC 9110 section 12.5.3).

Layer 1: a pure function and its cache. It must not know where the coded forms come from. Thread: any.
"""

from __future__ import annotations

import re
from typing import Final

from skitai.web.caches import CACHED_LENGTH, remember

CODINGS: Final = (b"br", b"gzip")
"""The codings that are known, the better first: it decides between equal weights."""

_WEIGHT: Final = re.compile(rb"[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")

_cache: dict[bytes, tuple[bytes, ...]] = {}


def preferred_codings(value: bytes) -> tuple[bytes, ...]:
    """Return the codings that the client takes at least as gladly as none, the most wanted first.

    Args:
        value: The Accept-Encoding field.
    """
    found = _cache.get(value)
    if found is None:
        found = _read(value)
        if len(value) <= CACHED_LENGTH:
            remember(_cache, value, found)
    return found


def _read(value: bytes) -> tuple[bytes, ...]:
    weights: dict[bytes, float] = {}
    for member in value.lower().split(b","):
        coding, semicolon, parameters = member.partition(b";")
        weight = 1.0
        if semicolon:
            match = _WEIGHT.fullmatch(semicolon + parameters)
            # What is not a weight is no consent either.
            weight = float(match.group(1)) if match else 0.0
        name = coding.strip(b" \t")
        # RFC 9110 section 8.4.1.3: x-gzip is gzip.
        weights[b"gzip" if name == b"x-gzip" else name] = weight
    anything = weights.get(b"*", 0.0)
    least = weights.get(b"identity", anything)
    wanted = [(weights.get(coding, anything), coding) for coding in CODINGS]
    # Sorting is stable, so equal weights keep the order of CODINGS.
    ranked = sorted((pair for pair in wanted if pair[0] > 0.0 and pair[0] >= least), key=lambda pair: -pair[0])
    return tuple(coding for _, coding in ranked)
