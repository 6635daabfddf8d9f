"""A dictionary whose items are attributes too.

It must not know what is kept in it, nor any other module.

Thread: any, as a ``dict``.
"""

from __future__ import annotations

from typing import Any


class AttributeDictionary(dict[str, Any]):
    """A dictionary whose items can be read, set and deleted as attributes.

    ``d.name`` is ``d["name"]``, except that the names of dictionary methods stay methods when read.
    """

    def __getattr__(self, name: str) -> Any:
        """Return the item ``name``.

        Raises:
            AttributeError: There is none.
        """
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no item {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the item ``name``."""
        self[name] = value

    def __delattr__(self, name: str) -> None:
        """Delete the item ``name``.

        Raises:
            AttributeError: There is none.
        """
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"there is no item {name!r}") from None

    def __dir__(self) -> list[str]:
        """List the items beside the methods."""
        return sorted({*super().__dir__(), *self})

    def copy(self) -> AttributeDictionary:
        """Return a shallow copy of the same type."""
        return type(self)(self)


def make_preferences() -> AttributeDictionary:
    """Return an attribute dictionary whose ``config`` is an empty one too."""
    return AttributeDictionary(config=AttributeDictionary())
