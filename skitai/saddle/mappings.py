"""A dictionary with the method names that the manual lists beside Python's own.

``Cookie`` and ``Session`` are two of them. It must not know what is kept in it, nor any other module.

Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, KeysView, MutableMapping
from typing import TypeVar

Value = TypeVar("Value")


class NamedValues(MutableMapping[str, Value]):
    """A mutable mapping of texts to values with ``has_key``, ``iteritems`` and the like."""

    __slots__ = ()

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete the item ``key``; nothing happens where there is none."""

    def has_key(self, key: str) -> bool:
        """Return whether there is an item ``key``."""
        return key in self

    def iterkeys(self) -> Iterator[str]:
        """Return an iterator over the keys."""
        return iter(self)

    def itervalues(self) -> Iterator[Value]:
        """Return an iterator over the values."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[str, Value]]:
        """Return an iterator over the pairs of key and value."""
        return iter(self.items())

    # The manual spells these two so.
    def kyes(self) -> KeysView[str]:
        """Return the keys."""
        return self.keys()

    def iterkyes(self) -> Iterator[str]:
        """Return an iterator over the keys."""
        return iter(self)
