"""What a program declares with the public functions, until the server starts.

Each function of ``skitai`` fills the current ``Declaration``. Nothing is refused at the call: faults are gathered, so
that the start can name all of them in one line. What later versions implement is read and checked like everything
else, and then refused by ``check()``, never ignored.

It must not know Twisted, nor how anything declared is carried out.

Thread: declarations are filled by the main thread; ``loading()`` may be entered in any thread and counts for that
thread only.
"""

from __future__ import annotations

import enum
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any, Final

from skitai.aliases import Alias, make_alias
from skitai.constants import PROTO_HTTP, PROTO_HTTPS
from skitai.errors import ConfigError, NotAvailable
from skitai.mounts import Mount, locate, make_mount, mounts_from_keyword, script_path
from skitai.schedule import Schedule
from skitai.values import (
    Credentials,
    Integer,
    Key,
    Kind,
    NetworkKind,
    Path,
    Seconds,
    Secret,
    Several,
    Size,
    Switch,
    Text,
)

_FEATURES: Final[Mapping[str, Mapping[str, Kind[Any]]]] = {
    "enable_proxy": {"source": Several(NetworkKind()), "allow_private": Switch(), "credentials": Credentials()},
    "enable_gateway": {"enable_auth": Switch(), "secure_key": Key(), "realm": Text()},
    "enable_cachefs": {"memmax": Size(), "diskmax": Size(), "path": Path()},
    "enable_smtpda": {
        "server": Text(),
        "user": Text(),
        "password": Secret(),
        "ssl": Switch(),
        "max_retry": Integer(0, 10_000),
        "keep_days": Integer(0, 36_500),
    },
}
"""How the arguments of the functions that only switch something on are read."""


ASKABLE: Final = frozenset({PROTO_HTTP, PROTO_HTTPS})
"""Types of aliases that requests can be made to."""


class Stage(enum.Enum):
    """What becomes of a declaration when ``run()`` is called.

    A script's declaration goes from SCRIPT to RUNNING in ``run()``; that of a file loaded by twistd from RECORDED to
    RUNNING once the file has been read. IGNORED stays: it is what ``loading()`` throws away.
    """

    SCRIPT = "run() starts the server"
    RECORDED = "run() only leaves its keywords"
    RUNNING = "the server runs, another run() is ignored with a warning"
    IGNORED = "run() is ignored, the warning comes when the file is loaded"


@dataclass(frozen=True, slots=True)
class Cron:
    """A command and when it runs.

    Attributes:
        schedule: When.
        text: The schedule as written.
        command: What the shell gets.
    """

    schedule: Schedule
    text: str
    command: str


class Declaration:
    """All that a program has declared.

    Attributes:
        mounts: In the order declared. Applications' ``bootstrap()`` may add more while they are loaded.
        aliases: By name, with "@".
        crons: In the order declared.
        max_age: Seconds for which a static file may be cached, by path prefix.
        max_rcache: Results that ``was`` keeps at most, None where nothing was said.
        options: What ``set_keep_alive()`` and the like say about options, by name of option.
        features: Arguments of the ``enable_*`` functions that later versions implement, by name of function.
        keywords: Of ``run()``.
        base_directory: What relative paths are relative to.
        faults: What can not be used, a sentence each.
        stage: What becomes of it when ``run()`` is called.
        ran: Whether ``run()`` was called.
    """

    def __init__(self, base_directory: str = "", stage: Stage = Stage.SCRIPT) -> None:
        self.mounts: list[Mount] = []
        self.aliases: dict[str, Alias] = {}
        self.crons: list[Cron] = []
        self.max_age: dict[str, int] = {}
        self.max_rcache: int | None = None
        self.options: dict[str, Any] = {}
        self.features: dict[str, Mapping[str, Any]] = {}
        self.keywords: dict[str, Any] = {}
        self.base_directory = base_directory
        self.faults: list[str] = []
        self.stage = stage
        self.ran = False

    def add_mount(self, *parts: Any, origin: dict[str, Any] | None = None) -> None:
        """Add a mount; ``parts`` are point, target, appname, pref and host."""
        with self._gathering():
            self.mounts.append(make_mount(*parts, origin=origin))

    def add_alias(self, name: Any, ctype: Any, members: Any, extra: Mapping[str, Any]) -> None:
        """Add an alias."""
        with self._gathering():
            alias = make_alias(name, ctype, members, extra)
            if alias.name in self.aliases:
                raise ValueError(f"alias {alias.name!r} is given twice")
            self.aliases[alias.name] = alias

    def add_cron(self, schedule: Any, command: Any) -> None:
        """Add a command and when it runs."""
        with self._gathering():
            if not isinstance(command, str) or not command.strip() or "\0" in command:
                raise ValueError(f"cron {schedule!r}: the command must be a text, not {command!r}")
            if not isinstance(schedule, str):
                raise ValueError(f"cron {schedule!r}: the schedule must be a text")
            try:
                self.crons.append(Cron(Schedule.parse(schedule), schedule, command))
            except ValueError as error:
                raise ValueError(f"cron {schedule!r}: {error}") from None

    def add_feature(self, function: str, arguments: Mapping[str, Any]) -> None:
        """Note that ``function`` was called with ``arguments``; None stands for nothing given."""
        kinds = _FEATURES[function]
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            if value is not None:
                with self._gathering(f"{function}: {name} "):
                    values[name] = kinds[name].parse(value)
        self.features[function] = values

    def set_max_age(self, path: Any, max_age: Any) -> None:
        """Note for how many seconds static files under ``path`` may be cached."""
        with self._gathering("set_max_age: "):
            if not isinstance(path, str) or not path.startswith("/"):
                raise ValueError(f"path must start with '/', not {path!r}")
            with self._gathering(f"set_max_age: max_age of {path!r} "):
                self.max_age[path] = int(Seconds(zero=True).parse(max_age))

    def set_max_rcache(self, objmax: Any) -> None:
        """Note how many results ``was`` keeps."""
        with self._gathering("set_max_rcache: objmax "):
            self.max_rcache = Integer(0, 1_000_000_000).parse(objmax)

    def accept(self, keywords: Mapping[str, Any], origin: dict[str, Any] | None) -> None:
        """Take the keywords of ``run()``; what ``mount`` and ``clusters`` say wins over the functions.

        Args:
            keywords: The keywords.
            origin: Globals of the code that called ``run()``.
        """
        self.ran = True
        self.keywords = dict(keywords)
        if keywords.get("mount") is not None:
            self._accept_mounts(keywords["mount"], origin)
        if keywords.get("clusters") is not None:
            self._accept_clusters(keywords["clusters"])

    def _accept_mounts(self, value: Any, origin: dict[str, Any] | None) -> None:
        added = []
        for mount in mounts_from_keyword(value, origin):
            if isinstance(mount, str):
                self.faults.append(mount)
            else:
                added.append(mount)
        replaced = {self._place(mount) for mount in added}
        self.mounts = [mount for mount in self.mounts if self._place(mount) not in replaced] + added

    def _place(self, mount: Mount) -> tuple[str | None, str, str]:
        """Return what only one application can have: the host, the point, and what sort of target it is."""
        return mount.host, mount.point, mount.kind(self.base_directory)

    def _accept_clusters(self, clusters: Any) -> None:
        if not isinstance(clusters, Mapping):
            self.faults.append(f"clusters must be a dictionary of name and (type, members), not {clusters!r}")
            return
        for name, entry in clusters.items():
            if not isinstance(entry, tuple | list) or not 2 <= len(entry) <= 5:
                self.faults.append(f"clusters: {name!r} must have a tuple (type, members)")
                continue
            with self._gathering():
                extra = dict(zip(("role", "source", "ssl"), entry[2:], strict=False))
                alias = make_alias(name, entry[0], entry[1], extra)
                self.aliases[alias.name] = alias

    @contextmanager
    def _gathering(self, prefix: str = "") -> Iterator[None]:
        """Make a fault of a ``ValueError``."""
        try:
            yield
        except ValueError as error:
            self.faults.append(f"{prefix}{error}")

    def describe(self) -> str:
        """Return the names of the functions that were called, as far as they left anything; "" for none."""
        called = {
            "run()": self.ran,
            "mount()": self.mounts,
            "alias()": self.aliases,
            "cron()": self.crons,
            "set_*()": self.options or self.max_age or self.max_rcache is not None,
            "other declarations": self.faults,
        }
        return ", ".join([name for name, left in called.items() if left] + [f"{name}()" for name in self.features])

    def all_faults(self) -> list[str]:
        """Return everything that is wrong, mounts that are not there included."""
        return [*self.faults, *self._mount_faults(), *self._alias_faults()]

    def clusters(self) -> list[Alias]:
        """Return the aliases, the paths of their files absolute."""
        return [
            alias if alias.cafile is None else replace_fields(alias, cafile=self._path(alias.cafile))
            for alias in self.aliases.values()
        ]

    def _path(self, path: str) -> str:
        return os.path.abspath(os.path.join(self.base_directory, path))

    def _alias_faults(self) -> Iterator[str]:
        for alias in self.clusters():
            if alias.cafile is not None and not os.path.isfile(alias.cafile):
                yield f"alias {alias.name!r}: cafile must be a file, but there is none at {alias.cafile!r}"

    def _mount_faults(self) -> Iterator[str]:
        if not self.mounts and not self.faults:
            yield "nothing is mounted: call skitai.mount('/', app) before skitai.run()"
        places = set()
        for mount in self.mounts:
            kind = self._place(mount)[2]
            if kind == "alias" and mount.target not in self.aliases:
                yield f"{mount.describe()}: there is no alias {mount.target!r}"
            try:
                locate(mount.target, self.base_directory)
            except ValueError as error:
                yield f"{mount.describe()}: {error}"
            # Several directories at one point are searched in turn; a second application could never be reached.
            if kind != "static" and self._place(mount) in places:
                yield f"{mount.describe()} is given twice"
            places.add(self._place(mount))

    def unavailable(self) -> list[str]:
        """Return a sentence for each thing that is declared but not implemented in this version."""
        named = [f"alias {name!r} of {alias.type}" for name, alias in self.aliases.items() if alias.type not in ASKABLE]
        proxied = [mount for mount in self.mounts if self._place(mount)[2] == "alias"]
        named += [f"{mount.describe()} of {mount.target!r}" for mount in proxied]
        named += [f"cron {cron.text!r}" for cron in self.crons]
        named += [f"{function}()" for function in self.features]
        return [f"{name} is not available yet" for name in named]

    def check(self) -> None:
        """Refuse what can not be used.

        To be called again when applications have been loaded, because their ``bootstrap()`` may declare more.

        Raises:
            ConfigError: Naming all faults.
            NotAvailable: There is none, but something is not implemented in this version; it names each.
        """
        faults = self.all_faults()
        if faults:
            raise ConfigError(faults)
        sentences = self.unavailable()
        if sentences:
            raise NotAvailable(sentences)


_current = Declaration()
_thread = threading.local()


def current() -> Declaration:
    """Return the declaration that the public functions fill."""
    stack: list[Declaration] = getattr(_thread, "stack", [])
    return stack[-1] if stack else _current


def replace(declaration: Declaration) -> Declaration:
    """Have the public functions fill ``declaration`` from now on, in all threads.

    Returns:
        The declaration that they filled before.
    """
    global _current
    before, _current = _current, declaration
    return before


@contextmanager
def loading(filename: str) -> Iterator[None]:
    """Ignore what an application file declares while it is imported as a mount, and warn once if it does.

    A file that calls ``skitai.run()`` without ``if __name__ == "__main__"`` would otherwise start a second server. Its
    ``bootstrap()`` is called outside of this, for what that declares counts.

    Args:
        filename: The file, for the warning.

    Thread: any; other threads are not affected.
    """
    stack: list[Declaration] = _thread.__dict__.setdefault("stack", [])
    ignored = Declaration(os.path.dirname(filename), Stage.IGNORED)
    stack.append(ignored)
    try:
        yield
    finally:
        stack.pop()
        names = ignored.describe()
        if names:
            warn(f"{filename} is mounted, so its {names} had no effect; guard it with 'if __name__ == \"__main__\":'")


def warn(message: str) -> None:
    """Log a warning about how the program uses these functions."""
    import logging

    logging.getLogger("skitai").warning(message)


def base_directory() -> str:
    """Return what relative paths are relative to, before ``run()`` is called too: the main script's directory."""
    return _current.base_directory or directory_of(vars(sys.modules["__main__"]))


def directory_of(namespace: Mapping[str, Any]) -> str:
    """Return the directory of the file whose globals ``namespace`` is; the working directory where it has none."""
    filename = namespace.get("__file__")
    if not filename:
        return os.getcwd()
    return os.path.dirname(script_path(str(filename)))
