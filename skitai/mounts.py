"""What a mount is, as users write it, and where on the disk it is.

A target is an application object, a directory, an application file (".py" may be left away), "@alias", a module that
exports an application, or ``(module, "file.py")``. It must not know how applications are loaded or requests dispatched.

Thread: any; a ``Mount`` never changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["static", "alias", "app"]

EXPORT = ("export", "skitai")
"""Where a package keeps the application files that it exports."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount, as declared.

    Attributes:
        point: "/" or "/path", without a slash at its end.
        target: What is mounted; a path is a text.
        appname: Variable of the application in its file.
        pref: Preferences for the application, None for none.
        host: Host names in one text, None for the default site.
        origin: Globals of the code that declared it: the variable of an application object is found there.
    """

    point: str
    target: Any
    appname: str = "app"
    pref: Any = None
    host: str | None = None
    origin: dict[str, Any] | None = None

    def kind(self, base_directory: str) -> Kind:
        """Return what sort of target it is; a path that is not there counts as an application."""
        if not isinstance(self.target, str):
            return "app"
        if self.target.startswith("@"):
            return "alias"
        return "static" if os.path.isdir(os.path.join(base_directory, self.target)) else "app"

    def describe(self) -> str:
        """Return the mount as it is named in messages."""
        return f"mount {self.point!r}" + (f" of {self.host!r}" if self.host else "")


def make_mount(point: Any, target: Any, *rest: Any, origin: dict[str, Any] | None = None) -> Mount:
    """Return the mount that a user described.

    Args:
        point: The mount point.
        target: The target, or ``(file, appname)``.
        rest: ``appname``, ``pref`` and ``host``, as far as given.
        origin: Globals of the code that declares it.

    Raises:
        ValueError: A part is not what it should be; the message names the mount.
    """
    if not isinstance(point, str) or not point.startswith("/") or set(point) & set("?#\0\\ "):
        raise ValueError(f"mount point {point!r} must be a path that starts with '/'")
    defaults: tuple[Any, ...] = ("app", None, None)
    appname, pref, host = rest + defaults[len(rest) :]
    if isinstance(target, tuple | list) and len(target) == 2 and _is_path(target[0]):
        target, appname = target
    if isinstance(target, list):
        target = tuple(target)
    if _is_path(target):
        itself = origin is not None and target == origin.get("__file__")
        target = script_path(os.fspath(target)) if itself else os.path.expanduser(os.fspath(target))
    mount = Mount("/" + point.strip("/"), target, appname, pref, host, origin)
    fault = _fault(mount)
    if fault:
        raise ValueError(f"{mount.describe()}: {fault}")
    return mount


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _fault(mount: Mount) -> str:
    """Return what is wrong with the parts of ``mount``, "" for nothing."""
    target = mount.target
    if isinstance(target, tuple):
        good = len(target) == 2 and isinstance(target[0], ModuleType) and isinstance(target[1], str)
    elif isinstance(target, str):
        good = bool(target.strip()) and "\0" not in target
    else:
        good = isinstance(target, ModuleType) or callable(target)
    if not good:
        return f"{target!r} is no application, file, directory, module or @alias"
    if not isinstance(mount.appname, str) or not mount.appname.isidentifier():
        return f"the application's name must be that of a variable, not {mount.appname!r}"
    if mount.host is not None and (not isinstance(mount.host, str) or not mount.host.strip()):
        return f"the host must be a name, or several in one text, not {mount.host!r}"
    if mount.pref is not None and not hasattr(mount.pref, "items"):
        return "the preferences must come from skitai.pref() or be a dictionary"
    return ""


def mounts_from_keyword(value: Any, origin: dict[str, Any] | None) -> Iterator[Mount | str]:
    """Yield what the keyword ``mount`` of ``run()`` holds: mounts, and sentences that say why one can not be used.

    Args:
        value: One tuple of what ``mount()`` takes, a list of such, or a dictionary from mount point to target.
        origin: Globals of the code that called ``run()``.
    """
    if isinstance(value, Mapping):
        entries: Any = list(value.items())
    elif isinstance(value, tuple) and value and isinstance(value[0], str):
        entries = [value]
    else:
        entries = value
    if not isinstance(entries, tuple | list):
        yield f"mount must be a tuple, a list of tuples or a dictionary, not {value!r}"
        return
    for entry in entries:
        if not isinstance(entry, tuple | list) or not 2 <= len(entry) <= 5:
            yield f"mount: {entry!r} must be a tuple of mount point and target"
            continue
        try:
            yield make_mount(*entry, origin=origin)
        except ValueError as error:
            yield str(error)


def script_path(filename: str) -> str:
    """Return the real path of a program's file: Python takes the modules beside a script from there, too."""
    return os.path.realpath(filename)


def locate(target: Any, base_directory: str) -> str | None:
    """Return the absolute path of the file or directory that ``target`` names, None where it names none.

    Args:
        target: The target of a ``Mount``.
        base_directory: What relative paths are relative to.

    Raises:
        ValueError: There is nothing at that path; the message is a whole sentence.
    """
    if isinstance(target, str):
        if target.startswith("@"):
            return None
        path = os.path.abspath(os.path.join(base_directory, target))
    elif isinstance(target, ModuleType):
        path = _exported(target, "app.py")
    elif isinstance(target, tuple):
        path = _exported(*target)
    else:
        return None
    for candidate in (path, path + ".py"):
        if os.path.isfile(candidate) or (os.path.isdir(candidate) and isinstance(target, str)):
            return candidate
    raise ValueError(f"there is no file or directory {path!r}")


def _exported(module: ModuleType, filename: str) -> str:
    """Return the path of an application file that ``module`` exports."""
    places = list(getattr(module, "__path__", ()))
    if not places:
        if not getattr(module, "__file__", None):
            raise ValueError(f"module {module.__name__!r} has no directory to export from")
        places = [os.path.dirname(os.path.abspath(str(module.__file__)))]
    return os.path.join(places[0], *EXPORT, filename)
