"""Packages that an application is to be loaded again with although they are not in its directory.

``app.add_package("corplib")`` says that an application wants to follow edits of ``corplib``, wherever Python finds it.
Its modules have their ordinary names, and are shared by all applications as ever. When one of its files has changed,
whoever follows it gets a fresh copy of the whole package, for its modules refer to each other; applications that do not
follow it go on with the copy they have.

Layer 4, standard library only. It must not know who follows, nor when to reload. Thread: any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final

_FIXED: Final = frozenset({*sys.stdlib_module_names, "skitai", "twisted", "zope"})
"""What the server itself runs on: with a second copy of it nothing would fit together."""


class Packages:
    """Packages by name, and their modules.

    Args:
        spared: Tells of the name of a module that it is to be left alone.
    """

    def __init__(self, spared: Callable[[str], bool]) -> None:
        self._spared = spared
        self.names: frozenset[str] = frozenset()

    def add(self, names: Iterable[str]) -> None:
        """Follow more packages; those of Python and of the server itself are left out."""
        self.names |= {name for name in names if name.partition(".")[0] not in _FIXED}

    def __contains__(self, fullname: object) -> bool:
        return isinstance(fullname, str) and any(
            fullname == name or fullname.startswith(name + ".") for name in self.names
        )

    def loaded(self) -> dict[str, ModuleType]:
        """Return the modules that have been imported and can be so again: those of source, and mere directories."""
        if not self.names:
            return {}
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name in self and not self._spared(name) and (_file(module) or "x.py").endswith(".py")
        }

    def files(self) -> set[str]:
        """Return the source files of these modules."""
        return {path for path in map(_file, self.loaded().values()) if path}

    def touched(self, changed: Iterable[str]) -> bool:
        """Return whether any of these paths is one of the files, or a directory that one is in."""
        if not self.names:
            return False
        files = self.files()
        return not (files | set(map(os.path.dirname, files))).isdisjoint(changed)

    def take_away(self) -> dict[str, ModuleType]:
        """Remove the modules from ``sys.modules`` and return them, by name."""
        return {name: sys.modules.pop(name) for name in self.loaded()}


def put_back(modules: dict[str, ModuleType]) -> None:
    """Have ``sys.modules`` be as before modules were taken away, parents' attributes included."""
    sys.modules.update(modules)
    for name, module in modules.items():
        parent, dot, child = name.rpartition(".")
        # Importing a module again has bound the new one to a parent that was not taken away itself.
        if dot and parent in sys.modules and getattr(sys.modules[parent], child, module) is not module:
            setattr(sys.modules[parent], child, module)


def _file(module: ModuleType) -> str | None:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) else None
