"""Loading what is mounted: from mounts as declared to what is to be served.

What an application is, is up to the application: anything that can be called. It may be an object, a variable of a
file, or what a module exports; a directory is served as it is.

Layer 4. It must not know how requests are served.

Thread: the main thread, before serving.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Final, NamedTuple

from skitai.errors import ConfigError
from skitai.modules import Compartments
from skitai.mounts import EXPORT, Kind, Mount, locate
from skitai.preferences import flag
from skitai.programs import Application, Group, Hooks, log, packages_of
from skitai.sources import Package, loaded_files, package_of, source_of

__all__ = ["Application", "Loader", "Mounted", "load"]

_APPLICATION_SUFFIXES: Final = (".py", ".pyw", ".wsgi")


def load(mount: Mount, base_directory: str, clock: Callable[[], float] = time.monotonic) -> Application:
    """Load one application.

    Args:
        mount: As declared.
        base_directory: Directory of the main script.
        clock: Seconds, for the intervals between looking at files.

    Raises:
        ConfigError: It is not there, or no application.
    """
    return Loader(base_directory, clock).load(mount)


class Mounted(NamedTuple):
    """What is to be served at a mount point.

    Attributes:
        mount: The mount as declared.
        kind: What it is.
        directory: Absolute path of a directory of static files, "" for anything else. One named without a slash at its
            end is the application file beside it instead, where there is one ("app_v1" and "app_v1.py").
        application: The application, None for anything else.
    """

    mount: Mount
    kind: Kind
    directory: str = ""
    application: Application | None = None


class Loader:
    """Loads what is mounted.

    Args:
        base_directory: Directory of the main script; modules in it can be imported by all applications.
        clock: Seconds, for the intervals between looking at files.
        hooks: Calls the hooks of applications that are loaded while the server runs; None where nobody does.
    """

    def __init__(
        self, base_directory: str, clock: Callable[[], float] = time.monotonic, hooks: Hooks | None = None
    ) -> None:
        self._base_directory = os.path.abspath(base_directory)
        self._clock = clock
        self._hooks = hooks
        self._compartments = Compartments(self._base_directory)
        self._groups: dict[str, list[Group]] = {}
        self._added_paths: list[str] = []
        if self._base_directory not in map(os.path.abspath, sys.path):
            sys.path.insert(0, self._base_directory)
            self._added_paths.append(self._base_directory)

    def load_all(self, mounts: list[Mount]) -> list[Mounted]:
        """Load all mounts.

        Args:
            mounts: As declared. It may grow meanwhile: ``bootstrap()`` of an application may mount more.

        Raises:
            ConfigError: Mounts that are not there, or are no applications; it names all of them.
        """
        found: list[Mounted] = []
        faults: list[str] = []
        for mount in mounts:  # what is appended meanwhile is seen too
            try:
                found.append(self._prepare(mount))
            except ConfigError as error:
                faults += error.faults
        for group in (group for groups in self._groups.values() for group in groups):
            faults += group.load_first()
        if faults:
            raise ConfigError(faults)
        return found

    def load(self, mount: Mount) -> Application:
        """Load one application.

        Raises:
            ConfigError: It is not there, or no application.
        """
        application = self.load_all([mount])[0].application
        if application is None:
            raise ConfigError(f"{mount.describe()}: {mount.target!r} is no application")
        return application

    def close(self) -> None:
        """Forget all modules of applications; nothing more is loaded."""
        self._compartments.close()
        for path in self._added_paths:
            if path in sys.path:
                sys.path.remove(path)
        self._added_paths.clear()

    def _prepare(self, mount: Mount) -> Mounted:
        try:
            path = locate(mount.target, self._base_directory)
        except ValueError as error:
            raise ConfigError(f"{mount.describe()}: {error}") from error
        if path is None:
            if isinstance(mount.target, str):
                return Mounted(mount, "alias")
            return Mounted(mount, "app", application=self._object(mount))
        if os.path.isdir(path):
            # "app_v1" where there is a file app_v1.py too: serving the directory would show the world its source.
            if mount.target.endswith("/") or not os.path.isfile(path + ".py"):
                return Mounted(mount, "static", directory=path)
            path += ".py"
        if not path.endswith(_APPLICATION_SUFFIXES):
            raise ConfigError(f"{mount.describe()}: {path!r} is neither a directory nor a Python file")
        return Mounted(mount, "app", application=self._file(mount, path))

    def _file(self, mount: Mount, path: str) -> Application:
        name = f"{os.path.relpath(path, self._base_directory)}:{mount.appname}"
        application = Application(name, mount.appname, mount.pref)
        application.point = mount.point.rstrip("/")
        group = self._group(path, mount.appname, mount)
        program = group.program(path)
        program.add(application)
        application.join(group)
        if program.failure is None:
            program.bootstrap()
        else:
            application.note(program.failure)
        return application

    def _object(self, mount: Mount) -> Application:
        target = mount.target
        if not callable(target):
            raise ConfigError(f"{mount.describe()}: {target!r} is no application, for it can not be called")
        name = getattr(target, "__name__", None)
        application = Application(name if isinstance(name, str) else type(target).__name__, "", mount.pref)
        application.point = mount.point.rstrip("/")
        try:
            application.prepare(target)
        except TypeError as error:
            raise ConfigError(f"{mount.describe()}: {error}") from error
        application.take(target)
        if flag(target, "use_reloader"):
            self._make_reloadable(application, mount)
        return application

    def _make_reloadable(self, application: Application, mount: Mount) -> None:
        source = source_of(mount.target, mount.origin)
        if source is None:
            log.warn(
                "{mount}: {name} will not be reloaded, because it is no global variable of the file that mounts it",
                mount=mount.describe(),
                name=application.name,
            )
            return
        application.appname = source.variable
        if not source.declared_there:
            # The file that mounts it may have set this, and is not executed again.
            application.pref = {"use_reloader": True, **(mount.pref or {})}
        group = self._group(source.path, source.variable, mount)
        for path in (source.path, *loaded_files(os.path.dirname(source.path))):
            group.compartment.watch.add(path)
        program = group.program(source.path)
        program.applications.append(application)
        application.join(group)
        application.settle()
        group.compartment.follow(packages_of(mount.target))

    def _group(self, path: str, appname: str, mount: Mount) -> Group:
        """Return the group of an application; one with other preferences than its namesake has modules of its own."""
        directory = os.path.dirname(path)
        groups = self._groups.setdefault(directory, [])
        for group in groups:
            if group.claims.setdefault((path, appname), mount.pref) is mount.pref:
                return group
        package = _exporting_package(mount.target) or self._package(directory)
        group = Group(self._compartments.open(directory, package, len(groups)), self._clock, self._hooks)
        group.claims[path, appname] = mount.pref
        groups.append(group)
        return group

    def _package(self, directory: str) -> Package | None:
        package = package_of(directory)
        if package is not None and package.root not in map(os.path.abspath, sys.path):
            # "mysite/wsgi.py" of a Django project imports its neighbours in the project by name.
            sys.path.append(package.root)
            self._added_paths.append(package.root)
        return package


def _exporting_package(target: object) -> Package | None:
    """Return the directory that a module exports applications from, as a package."""
    module = target[0] if isinstance(target, tuple) else target
    if not isinstance(module, ModuleType):
        return None
    return Package(".".join([module.__name__, *EXPORT]), "", importable=True)
