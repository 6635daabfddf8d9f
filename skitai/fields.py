"""Header fields as applications and tests see them: text, names whatever their case.

Layer 0. It must not know where they come from. Thread: any; they never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """Header fields: names whatever their case, several values of one name kept.

    Args:
        fields: Names and values in the order received.

    Example::

        headers = Headers([("Vary", "a"), ("vary", "b")])
        assert headers["VARY"] == "a, b"
        assert headers.get_all("vary") == ["a", "b"]
    """

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.fields = tuple(fields)

    def __getitem__(self, name: str) -> str:
        """Return the value of a field, several joined with ", " (RFC 9110 section 5.3)."""
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self.fields))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self.fields})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __repr__(self) -> str:
        return f"Headers({self.fields!r})"

    def get_all(self, name: str) -> list[str]:
        """Return all values of a field in the order received, as for ``Set-Cookie``, which can not be joined."""
        lowered = name.lower()
        return [value for key, value in self.fields if key.lower() == lowered]
