"""Finding sources: the modules of a directory, the package that it is, the file that an application object comes from.

It must not import anything that is not imported already, nor know what is done with the answer.

Layer 4, standard library only. Thread: any.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from typing import Any, Final, NamedTuple

from skitai.mounts import script_path

_OWN: Final = __name__.partition(".")[0]
_LIBRARIES: Final = frozenset({"site-packages", "dist-packages"})


def is_of_library(path: str) -> bool:
    """Return whether a file belongs to an installed library."""
    return not _LIBRARIES.isdisjoint(path.split(os.sep))


class Source(NamedTuple):
    """Where an application object comes from.

    Attributes:
        path: Absolute path of the file.
        variable: Name of the global variable that holds it.
        declared_there: Whether it is the file that called ``mount()``.
    """

    path: str
    variable: str
    declared_there: bool


class Package(NamedTuple):
    """A directory that is a package.

    Attributes:
        name: Its dotted name.
        root: The directory that must be in ``sys.path`` for that name to be found.
        importable: Whether the name means this directory to everybody, once ``root`` is there.
    """

    name: str
    root: str
    importable: bool


def package_of(directory: str) -> Package | None:
    """Return which package a directory is, by the ``__init__.py`` in it and above; None where it is none.

    One that is called like a library is none: nobody can have meant it by that name.
    """
    parts: list[str] = []
    root = directory
    while os.path.isfile(os.path.join(root, "__init__.py")) and os.path.basename(root).isidentifier():
        parts.insert(0, os.path.basename(root))
        root = os.path.dirname(root)
    if not parts or parts[0] in sys.stdlib_module_names:
        return None
    found = PathFinder.find_spec(parts[0], sys.path)
    there = found.origin if found is not None and found.origin else ""
    importable = not there or os.path.realpath(there) == os.path.realpath(os.path.join(root, parts[0], "__init__.py"))
    if not importable and is_of_library(there):
        return None
    return Package(".".join(parts), root, importable)


def source_of(application: object, origin: Mapping[str, Any] | None) -> Source | None:
    """Return where an application object comes from, None where that can not be told.

    It is the file of the module that the object names as its own, when it is a global variable there, else the file
    that called ``mount()``. Files of installed libraries do not count.

    Args:
        application: The object.
        origin: Globals of the code that called ``mount()``.
    """
    for namespace in _namespaces(application, origin):
        path = namespace.get("__file__")
        if not isinstance(path, str) or not os.path.isfile(path) or is_of_library(path):
            continue
        for name, value in list(namespace.items()):
            if value is application and not name.startswith("__"):
                return Source(script_path(path), name, namespace is origin)
    return None


def _namespaces(application: object, origin: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    # Functions say where they are from, so do Flask's objects; of other objects the first names the class's module.
    for attribute in ("__module__", "import_name"):
        name = getattr(application, attribute, None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is not None and vars(module) is not origin:
            yield vars(module)
    if origin is not None:
        yield origin


def loaded_files(directory: str) -> list[str]:
    """Return the source files below a directory that modules have been imported from, libraries' apart."""
    prefix = os.path.join(directory, "")
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py"):
            continue
        path = os.path.abspath(path)
        if path.startswith(prefix) and not is_of_library(path):
            found.add(path)
    return sorted(found)


def local_names(directory: str) -> Iterator[str]:
    """Yield the names of the modules in a directory; a mere directory counts when there are modules in it."""
    try:
        found = list(os.scandir(directory))
    except OSError:
        return
    for item in found:
        stem = item.name.removesuffix(".py")
        if not stem.isidentifier() or stem in (_OWN, "__init__", *sys.builtin_module_names):
            continue
        if stem != item.name or (item.is_dir() and _holds_modules(item.path)):
            yield stem


def _holds_modules(directory: str, depth: int = 1) -> bool:
    """Return whether there are modules in a directory or right below; deeper there may be too much to look at."""
    try:
        found = list(os.scandir(directory))
    except OSError:
        return False
    if any(item.name.endswith(".py") for item in found):
        return True
    return depth > 0 and any(_holds_modules(item.path, depth - 1) for item in found if item.is_dir())


def is_mere_directory(path: str) -> bool:
    """Return whether a module at ``path`` (without ".py") would be no more than a directory."""
    return not os.path.isfile(path + ".py") and not os.path.isfile(os.path.join(path, "__init__.py"))


def is_elsewhere(name: str, places: set[str]) -> bool:
    """Return whether a module of this name is found outside of ``places``; mere directories do not count."""
    if name in sys.stdlib_module_names:
        return True
    real_places = {os.path.realpath(place) for place in places}
    spec = PathFinder.find_spec(name, [place for place in sys.path if os.path.realpath(place) not in real_places])
    return spec is not None and spec.origin is not None


def is_taken(name: str, path: str) -> bool:
    """Return whether another application's module of this name has been imported from somewhere else than ``path``."""
    module = sys.modules.get(name)
    paths = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    if module is None or name in sys.stdlib_module_names or any(map(is_of_library, paths)):
        return False
    real = os.path.realpath(path)
    return not any(os.path.realpath(item) in (real, real + ".py", os.path.join(real, "__init__.py")) for item in paths)
