"""Bounded memory for what was worked out before: plain dictionaries, and how they are filled.

Clients choose many of the keys, so there must be a bound. A full dictionary is cleared: only a hostile client fills it,
and counting uses would cost every other one.

Layer 1: no Twisted, no clock. Thread: any; each store is atomic, and a lost one only costs time.
"""

from __future__ import annotations

from typing import Final, TypeVar

CACHE_ENTRIES: Final = 1024
"""How many values a cache holds, where its user does not say."""

CACHED_LENGTH: Final = 256
"""Longest text or bytes worth a place in a cache: what a peer makes up must not fill the memory."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(cache: dict[_Key, _Value], key: _Key, value: _Value, entries: int = CACHE_ENTRIES) -> _Value:
    """Put a value into a cache and return it.

    Args:
        cache: Where to.
        key: What to find it by.
        value: What to find.
        entries: How many the cache may hold.

    Thread: any.
    """
    if len(cache) >= entries:
        cache.clear()
    cache[key] = value
    return value
