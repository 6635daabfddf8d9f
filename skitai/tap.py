"""``twistd skitai``: its options, made from the option table, and the service they describe.

    twistd [-n] skitai --app app.py[:name] [--port NUMBER] [--listen ENDPOINT] [--option ...]

Layer 4. It must not know how anything is served; ``skitai.cli`` has what a script and twistd do alike. What is wrong is
said in one line on stderr and ends twistd with status 2, before it becomes a daemon.

Thread: the main thread.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, ClassVar, Final, TypeAlias

from twisted.application.service import IService
from twisted.python import usage

import skitai.declare as declare
from skitai.cli import CommandLine, give_up, install_reactor, settle, store
from skitai.config import OPTIONS, Option, Settings, unknown_option
from skitai.constants import VERSION
from skitai.declare import Declaration, Stage
from skitai.errors import ConfigError
from skitai.mounts import script_path
from skitai.values import Switch

ServiceMaker: TypeAlias = Callable[[Settings, Declaration, Any, Mapping[str, Any] | None], IService]

_PROGRAM: Final = "twistd skitai"


def _parameters() -> list[list[Any]]:
    """Return the options that take one value, as ``usage.Options`` wants them."""
    return [
        [option.flag, option.short or None, None, option.summary()]
        for option in OPTIONS
        if option.command_line and not option.kind.repeatable and not isinstance(option.kind, Switch)
    ]


def _flags() -> list[list[Any]]:
    """Return the options that are switches, each with its opposite."""
    flags: list[list[Any]] = []
    for option in OPTIONS:
        if option.command_line and isinstance(option.kind, Switch):
            flags.append([option.flag, option.short or None, option.summary()])
            flags.append([f"no-{option.flag}", None, f"The opposite of --{option.flag}."])
    return flags


class Options(usage.Options):
    """The options of ``twistd skitai``."""

    synopsis = "[--app app.py[:name]] [options]"
    longdesc = "Serves the WSGI applications that an application file holds or mounts."
    optFlags: ClassVar = _flags()
    optParameters: ClassVar = [
        ["app", None, None, "Application file; after a colon the application's variable in it. [app]"],
        *_parameters(),
    ]

    def __init__(self) -> None:
        self.repeated: dict[str, list[str]] = {}
        super().__init__()  # type: ignore[no-untyped-call]

    def opt_version(self) -> None:
        """Display the version of Skitai and exit."""
        sys.stdout.write(f"Skitai {VERSION}\n")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the options; a usage error is one line and status 2, where twistd itself would show all its options."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            give_up(_PROGRAM, _clearer(error))

    def parseArgs(self, *words: str) -> None:
        """Refuse words that are no options."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option; an application file is given as --app {words[0]}")

    def given(self) -> dict[str, Any]:
        """Return what was given, as texts and truth values by name of option."""
        values: dict[str, Any] = dict(self.repeated)
        for option in OPTIONS:
            if isinstance(option.kind, Switch):
                if self.get(option.flag) or self.get(f"no-{option.flag}"):
                    values[option.name] = bool(self.get(option.flag))
            elif self.get(option.flag) is not None:
                values[option.name] = self[option.flag]
        return values


def _repeatable(option: Option) -> Callable[[Options, str], None]:
    """Make the handler of an option that may be given several times."""

    def _handler(self: Options, value: str) -> None:
        store(self.repeated, option, value)

    _handler.__doc__ = option.summary()
    return _handler


for _option in OPTIONS:
    if _option.command_line and _option.kind.repeatable:
        setattr(Options, f"opt_{_option.name}", _repeatable(_option))


def _clearer(error: usage.UsageError) -> Exception:
    """Return ``error``, or where it is an unknown option our own sentence, which names the closest one."""
    cause = error.__context__
    if isinstance(cause, getopt.GetoptError) and "not recognized" in cause.msg:
        return ConfigError(unknown_option(cause.opt, dashes=True))
    return error


def makeService(options: Options) -> IService:
    """Make the service that twistd runs.

    Args:
        options: The options given.

    Raises:
        SystemExit: With status 2, after one line on stderr, when something can not be used.
    """
    try:
        return build(options)
    except ConfigError as error:
        give_up(_PROGRAM, error)


def build(options: Options, make_service: ServiceMaker | None = None) -> IService:
    """Make the service that ``options`` describe, and enter the directory of its application file.

    Args:
        options: The options given.
        make_service: What makes it; ``skitai.server.make_service`` by default.

    Raises:
        ConfigError: Something can not be used.
    """
    declaration = read_application_file(options["app"])
    settings = settle(declaration, CommandLine(options.given()))
    install_reactor(_reactor(options, settings, declaration))
    from twisted.internet import reactor

    make_service = make_service or _service_maker()
    return make_service(settings, declaration, reactor, options.parent)


def _service_maker() -> ServiceMaker:
    from skitai.server import make_service

    return make_service


def _reactor(options: Options, settings: Settings, declaration: Declaration) -> str:
    """Return the reactor to install: twistd's own ``--reactor`` has installed one already and wins over ``run()``."""
    if "reactor" in options.given():
        return settings.reactor
    if "reactor" in declaration.keywords and "twisted.internet.reactor" not in sys.modules:
        return settings.reactor
    return "default"


def read_application_file(text: str | None) -> Declaration:
    """Read the file of ``--app`` as an application file, not as a script, and return what it declares.

    Where it mounts nothing itself, its application is mounted at "/". A file that can not be imported is mounted by its
    path: that mount answers 503, its traceback is logged, and it is tried again when the file changes. So is a file
    with an ``__init__.py`` beside it, which belongs to a package and may have a ``bootstrap()``.

    Args:
        text: "file" or "file:variable".

    Raises:
        ConfigError: There is no such file, or neither mounts nor that variable in it.
    """
    path, name = _split(text)
    directory = os.path.dirname(path)
    declaration = _renewed(directory)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if os.path.isfile(os.path.join(directory, "__init__.py")):
        declaration.add_mount("/", path, name)
        return declaration
    try:
        module = _execute(path)
    except (Exception, SystemExit):
        # What it declared before it failed is worth nothing: the loader of applications reads it again.
        declaration = _renewed(directory)
        declaration.add_mount("/", path, name)
        return declaration
    if not declaration.mounts and not declaration.faults:
        if not hasattr(module, name):
            raise ConfigError(f"{path} mounts nothing and has no variable {name!r}")
        declaration.add_mount("/", getattr(module, name), name, origin=vars(module))
    return declaration


def _renewed(directory: str) -> Declaration:
    """Have the public functions fill a new declaration."""
    declaration = Declaration(directory, Stage.RECORDED)
    declare.replace(declaration)
    return declaration


def _split(text: str | None) -> tuple[str, str]:
    """Return the absolute path and the variable that "file:variable" stands for."""
    if not text:
        raise ConfigError("an application file is needed: twistd skitai --app app.py")
    path, colon, name = (text, "", "") if os.path.isfile(text) else text.rpartition(":")
    if not colon:
        path, name = text, "app"
    for candidate in (path, path + ".py"):
        if os.path.isfile(candidate):
            return script_path(candidate), name
    raise ConfigError(f"--app: there is no file {path!r}")


def _execute(path: str) -> ModuleType:
    """Import the file at ``path`` under its own name, or under another where that name means something else already."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"skitai_app_{name}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--app: {path} is no Python file")
    module = module_from_spec(spec)
    # Flask and pickle look the module up by its name while it is imported.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
