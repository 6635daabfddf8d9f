"""Objects that applications share by name: what ``wasc.register()`` registers, everybody finds as ``was.<name>``.

It must not know Twisted, nor what the objects are good for. Layer 0.

Thread: any. Looking a name up takes no lock: it is done for every request that uses a shared object.
"""

from __future__ import annotations

import keyword
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Registry:
    """Objects by name, as items and as attributes.

    Args:
        reserved: Tells whether a name is one that ``was`` has itself: what is registered by it could not be reached.
    """

    __slots__ = ("_lock", "_objects", "_reserved")

    def __init__(self, reserved: Callable[[str], bool]) -> None:
        self._reserved = reserved
        self._objects: dict[str, Any] = {}
        self._lock = threading.Lock()

    def register(self, name: str, object: Any) -> None:
        """Register an object; one that has the name already is replaced, as on reload.

        Args:
            name: By what name ``was`` has it.
            object: Anything.

        Raises:
            ValueError: The name can not be an attribute of ``was``.
        """
        self._check(name)
        with self._lock:
            # A new dictionary, so that whoever iterates over the old one is not disturbed.
            self._objects = {**self._objects, name: object}

    def unregister(self, name: str) -> None:
        """Forget a name.

        Raises:
            KeyError: Nothing is registered by that name.
        """
        with self._lock:
            if name not in self._objects:
                raise KeyError(self._missing(name))
            self._objects = {known: other for known, other in self._objects.items() if known != name}

    def drop(self, name: str, object: Any) -> None:
        """Forget a name as long as it still stands for ``object``; nothing happens where it does not."""
        with self._lock:
            if name in self._objects and self._objects[name] is object:
                self._objects = {known: other for known, other in self._objects.items() if known != name}

    def get(self, name: str, default: Any = None) -> Any:
        """Return what is registered by a name, ``default`` where nothing is."""
        return self._objects.get(name, default)

    def __getitem__(self, name: str) -> Any:
        """Return what is registered by a name.

        Raises:
            KeyError: Nothing is.
        """
        try:
            return self._objects[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __getattr__(self, name: str) -> Any:
        """Return what is registered by a name.

        Raises:
            AttributeError: Nothing is.
        """
        if name.startswith("__"):
            # Python itself asks, maybe before __init__ (copy, pickle).
            raise AttributeError(name)
        try:
            return self._objects[name]
        except KeyError:
            raise AttributeError(self._missing(name), name=name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def _check(self, name: str) -> None:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} can not be registered: it must be a name, as was.{name} is to be Python")
        if name.startswith("_"):
            raise ValueError(f"{name!r} can not be registered: names that begin with '_' are not public")
        if self._reserved(name):
            raise ValueError(f"{name!r} can not be registered: was.{name} is something else already")

    def _missing(self, name: str) -> str:
        known = ", ".join(sorted(self._objects)) or "nothing"
        return f"{name!r} is not registered; registered: {known}"
