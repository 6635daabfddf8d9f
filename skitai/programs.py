"""Applications, the programs that they are variables of, and loading them again when files change.

Theory of operation: an *application* is a variable of a *program*, which is an application file. All programs of one
directory share a compartment of modules (``skitai.modules``) and make a *group*: when a file of it changes, all of its
programs that want to are loaded again together. A program that can not be loaded is logged, and its applications raise
``LoadError`` until a file changes and it can. One that was loaded before goes on with its old code, except in debug,
where its applications raise ``LoadError`` too, for the developer to see. Once the server runs, an application's hooks
(``skitai.lifecycle``) are part of loading it: one whose hook raises has not been loaded.

Layer 4. It must not know what mounts look like, nor how requests are served.

Thread: programs are made by the main thread, before serving; ``Application.current`` is called by any.
"""

from __future__ import annotations

import ast
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from traceback import TracebackException
from types import ModuleType
from typing import Any, Final, Protocol

from twisted.logger import Logger

from skitai import imports, lifecycle, modules
from skitai.attributes import make_preferences
from skitai.declare import loading
from skitai.errors import ConfigError, LoadError
from skitai.modules import Compartment
from skitai.preferences import apply_preferences, flag, size

CHECK_INTERVAL: Final = 1.0
"""Seconds between two looks at the files of a group."""

_OWN_FRAMES: Final = frozenset(
    {__file__, modules.__file__, imports.__file__, lifecycle.__file__, importlib.__file__, ast.__file__}
)

_loading: Final = threading.RLock()
"""Held while modules are loaded again: what their names mean then is a matter of the whole process."""

_MULTIPART: Final = b"multipart/form-data"

log = Logger()


class Hooks(Protocol):
    """Who calls the hooks of what is loaded (``skitai.lifecycle``)."""

    def admit(self, changes: Sequence[tuple[Any, Any]]) -> None:
        """Call the hooks of applications that are about to serve, each in the place of another or of None.

        Raises:
            BaseException: What a hook has raised; then none of them may serve.
        """


class Application:
    """One mounted application.

    Attributes:
        name: How logs call it.
        application: The object to call; None while it could not be loaded.
        use_reloader: Whether ``current()`` must be asked before each request; when not, ``application`` may be used as
            it is.
        debug: Whether clients may see tracebacks.
        failure: Why the last attempt to load it failed, as text; None when it did not.
        is_async: Its ``skitai_is_async``, which tells for a method and a path whether it is to be called on the
            reactor; None where it has none, or is reloaded.
        max_multipart_body_size: Bytes that its ``config`` allows for a form with files; None when it says nothing.
        max_post_body_size: Bytes that its ``config`` allows for a request body; None when it says nothing.
        point: Where it is mounted, without a slash at the end; "" for the root.
        appname: Variable that holds it in its file.
        pref: Preferences applied each time it is loaded.
    """

    __slots__ = (
        "_group",
        "application",
        "appname",
        "debug",
        "failure",
        "is_async",
        "max_multipart_body_size",
        "max_post_body_size",
        "name",
        "point",
        "pref",
        "use_reloader",
    )

    def __init__(self, name: str, appname: str, pref: Mapping[str, Any] | None) -> None:
        self.name = name
        self.point = ""
        self.appname = appname
        self.pref = pref
        self.application: Any = None
        self.use_reloader = False
        self.debug = bool(pref and pref.get("debug"))
        self.failure: str | None = None
        self.is_async: Callable[[str, str], bool] | None = None
        self.max_multipart_body_size: int | None = None
        self.max_post_body_size: int | None = None
        self._group: Group | None = None

    def current(self) -> Any:
        """Return the object to call for a request, loaded again if files have changed.

        Raises:
            LoadError: There is none, or in debug, the last attempt to load it again failed.

        Thread: any.
        """
        if self.use_reloader and self._group is not None:
            self._group.refresh()
        application = self.application
        if self.failure is not None and (application is None or self.debug):
            raise LoadError(self.name, self.failure)
        return application

    def body_limit(self, content_type: bytes | None) -> int | None:
        """Return how many bytes a request body may have; None for as many as the server allows.

        Args:
            content_type: Value of its Content-Type field, None where there is none.

        Thread: any.
        """
        if self.max_multipart_body_size is None or content_type is None:
            return self.max_post_body_size
        # RFC 9110 section 8.3.1: type and subtype do not depend on case.
        multipart = content_type.partition(b";")[0].strip().lower() == _MULTIPART
        return self.max_multipart_body_size if multipart else self.max_post_body_size

    def join(self, group: Group) -> None:
        """Be loaded again when files of ``group`` change, if it wants to."""
        self._group = group

    def prepare(self, application: Any) -> None:
        """Apply the preferences to what is about to be served with.

        Raises:
            TypeError: It can not take them.
        """
        if self.pref:
            apply_preferences(application, self.pref)

    def take(self, application: Any) -> None:
        """Serve with ``application``, which has been prepared, from now on."""
        self.application = application
        if self.point and getattr(application, "mount_point", None) == "":
            application.mount_point = self.point  # where URLs begin that are built outside of requests
        self.settle()

    def settle(self) -> None:
        """Read the settings of the application object, which it may have changed when it was started."""
        application = self.application
        is_async = getattr(application, "skitai_is_async", None)
        self.debug = flag(application, "debug")
        self.use_reloader = flag(application, "use_reloader") and self._group is not None
        # With the reloader a thread calls it: loading again takes time, and may end with what is asynchronous no more.
        self.is_async = is_async if callable(is_async) and not self.use_reloader else None
        self.max_multipart_body_size = size(application, "max_multipart_body_size")
        self.max_post_body_size = size(application, "max_post_body_size")

    def refuse(self, error: BaseException) -> None:
        """Do not serve with what was loaded, because its startup has raised; its file may be mended."""
        failure = describe(error)
        log.error("the startup of {name} failed:\n{reason}", name=self.name, reason=failure)
        self.application = None
        self.is_async = None
        self.note(failure)
        if self._group is not None:
            self._group.compartment.watch_directories()

    def note(self, failure: str | None) -> None:
        """Note why the last attempt to load it failed, None where it went well.

        One that never could be loaded is tried again when a file changes, whether it uses the reloader or not.
        """
        self.failure = failure
        if failure is not None and self.application is None:
            self.use_reloader = True


class Program:
    """One application file.

    Args:
        compartment: The modules of its directory.
        path: Absolute path of the file.
        hooks: Calls the hooks of its applications; None where nobody does.

    Attributes:
        module_name: Name that its module is known by.
        applications: What is mounted of it.
        failure: Why the last attempt to load it failed, as text.
        fault: The same where the mount is at fault and not the code: such a server is not started.
    """

    def __init__(self, compartment: Compartment, path: str, hooks: Hooks | None = None) -> None:
        self.path = path
        self.module_name = compartment.add(path)
        self.applications: list[Application] = []
        self.failure: str | None = None
        self.fault: str | None = None
        self._compartment = compartment
        self._hooks = hooks
        self._waiting: list[Mapping[str, Any]] = []
        self._pref: Mapping[str, Any] | None = None

    @property
    def due(self) -> bool:
        """Whether it is to be loaded again when a file changes."""
        return any(application.use_reloader for application in self.applications)

    def add(self, application: Application) -> None:
        """Mount one of its variables."""
        if application.pref is None:
            # Several mounts without preferences are bootstrapped once, and share what that leaves.
            self._pref = application.pref = self._pref if self._pref is not None else make_preferences()
        if not any(application.pref is other.pref for other in self.applications):
            self._waiting.append(application.pref)
        self.applications.append(application)

    def bootstrap(self) -> None:
        """Call ``bootstrap(pref)`` of the ``__init__.py`` beside the file, once for each ``pref``."""
        self._try(self._bootstrap, self.applications)

    def load(self) -> bool:
        """Load the file and hand out the applications that are not there yet or are to be loaded again.

        Returns:
            Whether it went well; if not, it has been logged.
        """
        concerned = [item for item in self.applications if item.use_reloader or item.application is None]
        return self._try(lambda: self._load(concerned), concerned)

    def load_first(self) -> None:
        """Load the file if any of its applications is not there yet."""
        concerned = [item for item in self.applications if item.application is None]
        if concerned and self.failure is None:
            self._try(lambda: self._load(concerned), concerned)

    def _try(self, action: Callable[[], None], concerned: Iterable[Application]) -> bool:
        failure: str | None
        try:
            action()
        except (Exception, SystemExit) as error:
            # Whatever the code of an application raises, the others are served.
            failure = describe(error)
            self.fault = failure if isinstance(error, ConfigError) else None
            if failure != self.failure and not self.fault:
                log.error("{path} can not be loaded:\n{reason}", path=self.path, reason=failure)
        else:
            failure = None
            self.fault = None
        self.failure = failure
        for application in concerned:
            application.note(failure)
        return failure is None

    def _bootstrap(self) -> None:
        init = os.path.join(os.path.dirname(self.path), "__init__.py")
        if not self._waiting or not os.path.isfile(init):
            self._waiting.clear()
            return
        with loading(init):
            package = self._compartment.load(self._compartment.prefix)
        function = getattr(package, "bootstrap", None)
        while self._waiting:
            if callable(function):
                # What it declares counts, so this is outside of loading().
                with self._compartment.lending():
                    function(self._waiting[0])
            self._waiting.pop(0)

    def _load(self, concerned: Iterable[Application]) -> None:
        self._bootstrap()
        with loading(self.path):
            module = self._compartment.load(self.module_name)
        found = [(application, _variable(module, application.appname, self.path)) for application in concerned]
        for application, target in found:
            application.prepare(target)
            self._compartment.follow(packages_of(target))
        if self._hooks is not None:
            self._hooks.admit([(target, application.application) for application, target in found])
        # Only now: none of them serves before all of them can.
        for application, target in found:
            application.take(target)


class Group:
    """The programs of one compartment, which are loaded again together.

    Args:
        compartment: The modules.
        clock: Seconds.
        hooks: Calls the hooks of applications; None where nobody does.
    """

    def __init__(self, compartment: Compartment, clock: Callable[[], float], hooks: Hooks | None = None) -> None:
        self.compartment = compartment
        self.claims: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self.programs: dict[str, Program] = {}
        self._clock = clock
        self._hooks = hooks
        self._lock = threading.Lock()
        self._next_check = 0.0

    def program(self, path: str) -> Program:
        """Return the program of a file."""
        if path not in self.programs:
            self.programs[path] = Program(self.compartment, path, self._hooks)
        return self.programs[path]

    def load_first(self) -> list[str]:
        """Load what is not there yet.

        Returns:
            What is wrong with the mounts themselves.
        """
        for program in self.programs.values():
            program.load_first()
        if any(program.failure is not None for program in self.programs.values()):
            self.compartment.watch_directories()
        return [program.fault for program in self.programs.values() if program.fault]

    def refresh(self) -> None:
        """Load again what wants to be if a file has changed, looking at most once in ``CHECK_INTERVAL``.

        While one thread does so, others go on with the old code.

        Thread: any.
        """
        now = self._clock()
        if now < self._next_check or not self._lock.acquire(blocking=False):
            return
        try:
            if now < self._next_check:
                return
            self._next_check = now + CHECK_INTERVAL
            changed = self.compartment.watch.changed()
            if changed:
                self._load_again(changed)
        finally:
            self._lock.release()

    def _load_again(self, changed: Sequence[str]) -> None:
        due = {program.module_name: program for program in self.programs.values() if program.due}
        if due:
            log.info("loading again because of {changed}", changed=", ".join(changed))
            with _loading:
                self.compartment.renew(list(due), lambda name: due[name].load(), changed)


def _variable(module: ModuleType, name: str, path: str) -> Any:
    """Return the application that a module holds.

    Raises:
        ConfigError: There is none of that name, or it can not be called.
    """
    try:
        application = getattr(module, name)
    except AttributeError:
        candidates = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        import difflib

        near = difflib.get_close_matches(name, candidates, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{path} has no variable {name!r}{hint}") from None
    if not callable(application):
        raise ConfigError(f"{name!r} in {path} is no application, for it can not be called: {application!r}")
    return application


def packages_of(application: Any) -> tuple[str, ...]:
    """Return the names of the packages that an application wants to be loaded again with."""
    names = getattr(application, "skitai_packages", ())
    if callable(names):
        names = names()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, tuple | list) else ()


def describe(error: BaseException) -> str:
    """Return the traceback of an error, without the frames of importing."""
    if isinstance(error, ConfigError):
        return str(error)
    report = TracebackException.from_exception(error)
    _trim(report)
    return "".join(report.format())


def _trim(report: TracebackException) -> None:
    report.stack[:] = [
        frame
        for frame in report.stack
        if frame.filename not in _OWN_FRAMES and not frame.filename.startswith("<frozen importlib")
    ]
    for inner in (report.__cause__, report.__context__):
        if inner is not None:
            _trim(inner)
