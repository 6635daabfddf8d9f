"""Keeping the modules of one application directory apart from those of all others.

Python knows one module by each name, but two directories may both have an ``app.py`` and a ``helper.py``. So each
directory that application files are in gets a *compartment*, which decides by what names its modules are known:

* Those beside the main script have the names that they have anyway: ``helper``.
* Those of a package have the names that they have in it: ``shop.web.helper``.
* Those of any other directory have private names: ``shop_1a2b3c4d.helper``. So do further copies of a directory, and
  one whose names are taken by another.

Whatever the names are, an application file may say ``import helper`` or ``from . import helper`` (``skitai.imports``
sees to it), and applications in one directory share its modules. Everything outside of the directory is imported as
ever.

What private names cost: they are seen in ``__name__``, in pickles and in the names of loggers (they depend on nothing
but the directory). Modules imported by name at run time (``importlib.import_module("config")``, Flask's
``from_object("config")``) are found while the application is being loaded; later that works too, but there the first
application that asks for a name decides what it means for the process. A framework that goes by ``__module__``, as
Django does, wants its project beside the main script or in packages. Extension modules, and modules without source, are
imported as ever.

The source is always compiled: byte code caches go by whole seconds and miss quick edits.

Packages elsewhere that an application wants to be loaded again with (``skitai.packages``) keep their names; they are
imported through the finder here, so that what is read of them is watched.

Layer 4, standard library only. It must not know what an application is, nor when to reload.

Thread: any for imports; ``load`` and ``renew`` by one thread at a time.
"""

from __future__ import annotations

import importlib
import importlib.abc
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import NamedTuple

from skitai.imports import compile_source
from skitai.packages import Packages, put_back
from skitai.reload import Watch
from skitai.sources import Package, is_elsewhere, is_mere_directory, is_taken, local_names


class Place(NamedTuple):
    """A directory of modules.

    Attributes:
        directory: Its absolute path.
        base_directory: That of the main script.
        prefix: What the names of its modules begin with, the package; "" for plain names.
        private: Whether they have these names only here.
        real_name: Its dotted name as a package, even if its modules are known by private names; None when it is none.
    """

    directory: str
    base_directory: str
    prefix: str
    private: bool
    real_name: str | None


class Compartment:
    """The modules of one application directory.

    Args:
        place: The directory.
        owner: Returns the compartment that a module of some name belongs to.

    Attributes:
        watch: The source files that were read.
        packages: What is elsewhere and loaded again with it.
        renewing: Whether its modules are being loaded again.
        borrowed: Plain names under which code of others has got modules with private names.
    """

    def __init__(self, place: Place, owner: Callable[[str], Compartment | None]) -> None:
        self.place = place
        self.watch = Watch()
        self.packages = Packages(self._spares)
        self.renewing = False
        self.borrowed: set[str] = set()
        self._owner = owner
        self._entries: dict[str, str] = {}
        self._is_package = os.path.isfile(os.path.join(place.directory, "__init__.py"))
        self._scan()

    @property
    def prefix(self) -> str:
        """What the names of modules begin with, "" for plain names."""
        return self.place.prefix

    @property
    def private(self) -> bool:
        """Whether modules have private names."""
        return self.place.private

    def _scan(self) -> None:
        """See which modules there are."""
        importlib.invalidate_caches()
        names = set(local_names(self.place.directory))
        places = {self.place.directory, self.place.base_directory}
        self._elsewhere = frozenset(name for name in names if is_elsewhere(name, places))
        mere = {name for name in self._elsewhere if is_mere_directory(os.path.join(self.place.directory, name))}
        self._names = frozenset(names - mere)

    def known_name(self, name: str) -> str | None:
        """Return the name by which the module is known that ``name`` means here, None for ``name`` itself."""
        prefix, real_name = self.place.prefix, self.place.real_name
        # In a package absolute imports mean what they mean everywhere, so a neighbour hides nothing (PEP 328).
        if prefix and self._has(name) and not (self._is_package and name.partition(".")[0] in self._elsewhere):
            return f"{prefix}.{name}"
        if self.private and real_name and (name == real_name or name.startswith(real_name + ".")):
            return prefix + name[len(real_name) :]
        return None

    def _has(self, name: str) -> bool:
        return name.partition(".")[0] in self._names

    def lends(self, name: str) -> bool:
        """Return whether code of others, called by the application, means a module here when it asks for ``name``."""
        return self._has(name) and name.partition(".")[0] not in self._elsewhere

    def owns(self, name: str) -> bool:
        """Return whether a module known by ``name`` is one of this directory."""
        if name in self._entries:
            return True
        if not self.prefix:
            return self.lends(name)
        return name == self.prefix or name.startswith(self.prefix + ".")

    def add(self, path: str) -> str:
        """Make a file known as an application file, whatever it is called.

        Returns:
            The name of its module.
        """
        stem = os.path.basename(path).removesuffix(".py")
        if stem == "__init__":
            return self._note(self.prefix, path)
        plain = re.sub(r"\W", "_", stem)
        name = f"{self.prefix}.{plain}" if self.prefix else plain
        if not self.prefix and (stem != plain or not self.lends(plain)):
            name = _private_name(plain, path)  # a module that others have a right to may be called like that
        while self._entries.get(name, path) != path:
            name += "_"  # "my-app.py" beside "my_app.py"
        return self._note(name, path)

    def _note(self, name: str, path: str) -> str:
        self._entries[name] = path
        return name

    def spec(self, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return the spec of a module here, None when there is no such file."""
        directory = self.place.directory
        if fullname == self.prefix:
            if self._is_package:
                return self._source_spec(fullname, os.path.join(directory, "__init__.py"))
            return ModuleSpec(fullname, _BareLoader(directory), origin=os.path.join(directory, "."))
        if fullname in self._entries:
            return self._source_spec(fullname, self._entries[fullname])
        spec = PathFinder.find_spec(fullname, [directory] if path is None else path)
        if spec is not None and spec.origin and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.origin, self)
        return spec

    def _source_spec(self, fullname: str, path: str) -> ModuleSpec:
        spec = ModuleSpec(fullname, _Loader(fullname, path, self), origin=path)
        spec.has_location = True
        if fullname == self.prefix:
            spec.submodule_search_locations = [self.place.directory]
        return spec

    def load(self, name: str) -> ModuleType:
        """Import the module that is known by ``name``.

        Raises:
            BaseException: Whatever the module raised.
        """
        with self.lending():
            module = importlib.import_module(name)
        self._watch_loaded()
        return module

    def follow(self, names: Iterable[str]) -> None:
        """Load these packages again too when their files change; those in the directory here are anyway.

        What the server itself runs on is left out.
        """
        self.packages.add(name for name in names if self.known_name(name) is None and not self.owns(name))
        self._watch_loaded()

    def _watch_loaded(self) -> None:
        """Watch what was not read here: the main script, or another application, may have imported it before."""
        paths = {getattr(module, "__file__", None) for module in self._loaded().values()} | self.packages.files()
        for path in paths:
            if path is not None and path not in self.watch:
                self.watch.add(path)

    def _spares(self, name: str) -> bool:
        """Return whether a module of a package elsewhere is to be left alone: it is an application file."""
        owner = self._owner(name)
        return owner is not None and (owner is self or name in owner._entries)

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Have plain names mean the modules here, for code that imports by name at run time."""
        if not self.private:
            yield
            return
        aside = {name: sys.modules.pop(name) for name in list(sys.modules) if self.lends(name)}
        try:
            yield
        finally:
            for name in self.borrowed:
                sys.modules.pop(name, None)
            self.borrowed.clear()
            sys.modules.update(aside)

    def renew(self, names: Sequence[str], attempt: Callable[[str], bool], changed: Iterable[str] = ()) -> None:
        """Load modules again, with fresh copies of all that they import of this directory.

        Args:
            names: Those of the application files concerned; other application files stay as they are.
            attempt: Called with each name; it loads the module and returns whether that went well. What did not is as
                it was before.
            changed: Paths that have changed. Packages elsewhere are loaded again where they are concerned.
        """
        with_packages = self.packages.touched(changed)
        old = self._take_away(names)
        before, self.watch = self.watch, Watch()
        if with_packages:
            old.update(self.packages.take_away())
        else:
            self.watch.inherit(before, self.packages.files())
        self._scan()
        self.renewing = True
        try:
            failed = [name for name in names if not attempt(name)]
        finally:
            self.renewing = False
        if len(failed) == len(names):
            self._take_away(names)
            if with_packages:
                self.packages.take_away()
            put_back(old)
        else:
            sys.modules.update({name: old[name] for name in failed if name in old})
        if failed or len(names) < len(self._entries):
            self.watch.keep(before)
        if failed:
            self.watch_directories()

    def watch_directories(self) -> None:
        """Watch for files that appear: what is broken may be mended by adding one."""
        for directory in {self.place.directory, *map(os.path.dirname, self.watch.files)}:
            self.watch.add_directory(directory)

    def _loaded(self) -> dict[str, ModuleType]:
        """Return the modules of this directory that have been imported, by the names they are known by."""
        prefix = os.path.join(self.place.directory, "")
        return {
            name: module
            for name, module in list(sys.modules.items())
            if self._owner(name) is self and (getattr(module, "__file__", None) or prefix).startswith(prefix)
        }

    def _take_away(self, names: Sequence[str]) -> dict[str, ModuleType]:
        """Remove the modules of this directory from ``sys.modules``, by whatever name, but for other programs."""
        others = self._entries.keys() - set(names)
        mine = {id(module) for name, module in self._loaded().items() if name not in others}
        found = [name for name, module in list(sys.modules.items()) if id(module) in mine]
        return {name: sys.modules.pop(name) for name in found}

    def forget(self) -> None:
        """Remove all modules of this directory from ``sys.modules``."""
        self._take_away(list(self._entries))


class Compartments:
    """All compartments: the finder that makes ``import`` know them.

    Args:
        base_directory: Directory of the main script.
    """

    def __init__(self, base_directory: str) -> None:
        self._base_directory = base_directory
        self._known: list[Compartment] = []

    def open(self, directory: str, package: Package | None, variant: int = 0) -> Compartment:
        """Make the compartment of a directory.

        Args:
            directory: Absolute path.
            package: Which package it is.
            variant: Number of the copy; those after the first have private names.
        """
        prefix: str | None = None
        if not variant and package is not None and package.importable and not is_taken(package.name, directory):
            prefix = package.name
        if not variant and package is None and directory == self._base_directory and not self._plain_names_taken():
            prefix = ""
        private = prefix is None
        if prefix is None:
            prefix = _private_name(os.path.basename(directory), directory) + (f"_{variant}" if variant else "")
        real_name = package.name if package is not None else None
        compartment = Compartment(Place(directory, self._base_directory, prefix, private, real_name), self.owner)
        # The longest first: a package in the main script's directory may have a compartment of its own.
        self._known = sorted([*self._known, compartment], key=lambda item: -len(item.prefix))
        if self not in sys.meta_path:
            # First, because plain names must be looked for here before they are looked for in sys.path.
            sys.meta_path.insert(0, self)
        return compartment

    def _plain_names_taken(self) -> bool:
        return any(
            is_taken(name, os.path.join(self._base_directory, name)) for name in local_names(self._base_directory)
        )

    def owner(self, fullname: str) -> Compartment | None:
        """Return the compartment that the module known by a name belongs to."""
        return next((item for item in self._known if item.owns(fullname)), None)

    def close(self) -> None:
        """Forget everything. Code that was loaded goes on working, but can import no more of its own modules."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for compartment in self._known:
            compartment.forget()
        self._known.clear()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of an application directory, whatever it is called; called by ``import``."""
        parent, dot, tail = fullname.rpartition(".")
        if dot:
            real = getattr(sys.modules.get(parent), "__name__", parent)
            if real != parent and self.owner(str(real)) is not None:
                return _alias_spec(fullname, f"{real}.{tail}", self.owner(str(real)))
        else:
            lender = self._lender(fullname)
            if lender is not None:
                return _alias_spec(fullname, f"{lender.prefix}.{fullname}", lender)
        owner = self.owner(fullname)
        followers = [item for item in self._known if fullname in item.packages and item is not owner]
        if owner is None and not followers:
            return None
        spec = owner.spec(fullname, path) if owner is not None else PathFinder.find_spec(fullname, path)
        if followers and spec is not None and spec.origin and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.origin, owner, followers)
        return spec

    def _lender(self, name: str) -> Compartment | None:
        """Find which application asks for the plain name of a module, however indirectly: the nearest caller."""
        lenders = {item.prefix: item for item in self._known if item.private and item.lends(name)}
        frame = sys._getframe(2) if lenders else None
        while frame is not None:
            module_name = frame.f_globals.get("__name__")
            lender = lenders.get(module_name.partition(".")[0]) if isinstance(module_name, str) else None
            if lender is not None:
                return lender
            frame = frame.f_back
        return None


class _Loader(SourceFileLoader):
    """Loads a module from its source.

    Args:
        fullname: Its name.
        path: Its file.
        owner: The compartment that it belongs to; None for a module of a package elsewhere.
        followers: Compartments that are loaded again with the package.
    """

    def __init__(
        self, fullname: str, path: str, owner: Compartment | None, followers: Sequence[Compartment] = ()
    ) -> None:
        super().__init__(fullname, path)
        self._owner = owner
        self._readers = [*([] if owner is None else [owner]), *followers]

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source as it is now."""
        content = self._read()
        if self._owner is None:
            code: CodeType = self.source_to_code(content, self.path)
            return code
        package = fullname if os.path.basename(self.path) == "__init__.py" else fullname.rpartition(".")[0]
        return compile_source(content, self.path, package, self._owner)

    def _read(self) -> bytes:
        """Read the file for the one that loads it again. Others go on watching it as it was when they read it."""
        reader = next((item for item in self._readers if item.renewing), self._readers[0])
        for other in self._readers:
            if other is not reader and self.path not in other.watch:
                other.watch.add(self.path)
        return reader.watch.read(self.path)


class _BareLoader(importlib.abc.Loader):
    """Makes the package of a directory that has no ``__init__.py``.

    Its spec is that of a module and not of a package, so that Flask looks for its instance folder in the directory.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module object."""
        module = ModuleType(spec.name)
        module.__path__ = [self._directory]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is no code."""


class _AliasLoader(importlib.abc.Loader):
    """Gives a module that has another name already."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module, imported if need be."""
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system does to every module: its spec stays the one that it was loaded by."""
        module.__spec__ = self._spec


def _alias_spec(fullname: str, name: str, lender: Compartment | None) -> ModuleSpec:
    if lender is not None:
        lender.borrowed.add(fullname)
    return ModuleSpec(fullname, _AliasLoader(name))


def _private_name(label: str, path: str) -> str:
    return f"{re.sub(r'[^0-9A-Za-z_]', '_', label) or 'root'}_{zlib.crc32(os.fsencode(path)):08x}"
