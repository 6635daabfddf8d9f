"""``twistd skitai``: its options, made from the option table, its application file, and the service they describe.

    twistd [-n] skitai --app app.py[:name] [--port NUMBER] [--listen ENDPOINT] [--option ...]

Layer 4. It must not know how anything is served; ``skitai.cli`` has what a script and twistd do alike. What is wrong is
said in one line on stderr and ends twistd with status 2, before it becomes a daemon.

Thread: the main thread.
"""

from __future__ import annotations

import ast
import getopt
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from twisted.application.service import IService
from twisted.logger import Logger
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

_APPLICATION: Final = "app"
"""The variable that is mounted where none is named."""

_MAIN: Final = "__main__"

_log = Logger()


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
    """Read the file of ``--app`` and return what it declares.

    One that calls ``skitai.run()`` is run as a script, as ``__main__``: so what it declares under ``if __name__ ==
    "__main__"`` counts, as with ``python app.py``. Any other is imported, for there that is where another server would
    be run. The variable that is named is mounted at "/", without a name ``app`` where nothing is mounted.

    A file that can not be executed is mounted by its path: that mount answers 503, its traceback is logged, and it is
    tried again when the file changes. So is a file with an ``__init__.py`` beside it that is no script: it belongs to a
    package and may have a ``bootstrap()``.

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
    outline = read_outline(path)
    if outline.is_guarded and not outline.is_script:
        _log.info("{path}: it does not call skitai.run(), so what is under its guard is not executed", path=path)
    if not outline.is_script and os.path.isfile(os.path.join(directory, "__init__.py")):
        declaration.add_mount("/", path, name or _APPLICATION)
        return declaration
    try:
        module = _run_script(path, declaration) if outline.is_script else _execute(path)
    except (Exception, SystemExit):
        # What it declared before it failed is worth nothing: the loader of applications reads it again.
        declaration = _renewed(directory)
        declaration.add_mount("/", path, name or _APPLICATION)
        if outline.is_script:
            _log.warn("{path} has failed: it is served by its path, without what it declares: restart it", path=path)
        return declaration
    if name or not (declaration.mounts or declaration.faults):
        _mount_variable(declaration, module, name or _APPLICATION)
    return declaration


def _mount_variable(declaration: Declaration, module: ModuleType, name: str) -> None:
    """Mount a variable of a module at "/", in the place of an application that is mounted there already.

    Raises:
        ConfigError: There is no such variable.
    """
    if not hasattr(module, name):
        raise ConfigError(
            f"{module.__file__} {'' if declaration.mounts else 'mounts nothing and '}has no variable {name!r}"
        )
    target = getattr(module, name)
    base = declaration.base_directory
    place = ("/", None, "app")
    mounts = declaration.mounts
    if any(item.target is target for item in mounts if (item.point, item.host, item.kind(base)) == place):
        return  # with preferences, perhaps
    declaration.mounts = [item for item in mounts if (item.point, item.host, item.kind(base)) != place]
    declaration.add_mount("/", target, name, origin=vars(module))


def _renewed(directory: str) -> Declaration:
    """Have the public functions fill a new declaration."""
    declaration = Declaration(directory, Stage.RECORDED)
    declare.replace(declaration)
    return declaration


def _split(text: str | None) -> tuple[str, str]:
    """Return the absolute path and the variable that "file:variable" stands for, "" where none is named."""
    if not text:
        raise ConfigError("an application file is needed: twistd skitai --app app.py")
    path, colon, name = (text, "", "") if os.path.isfile(text) else text.rpartition(":")
    if not colon:
        path, name = text, ""
    for candidate in (path, path + ".py"):
        if os.path.isfile(candidate):
            return script_path(candidate), name
    raise ConfigError(f"--app: there is no file {path!r}")


class Outline(NamedTuple):
    """What can be told of a file without executing it.

    Attributes:
        is_script: Whether it calls ``skitai.run()`` (or says so, where it can not be read) and may be run by itself.
        is_guarded: Whether part of it is executed as ``__main__`` only.
    """

    is_script: bool
    is_guarded: bool


def read_outline(path: str) -> Outline:
    """Look through the source at ``path``."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError:
        return Outline(False, False)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Outline(b"skitai.run" in source, False)
    nodes = list(ast.walk(tree))
    # "python app.py" can not run a file that imports so.
    relative = any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)
    guards = [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.dump(node.test)]
    return Outline(not relative and _mentions_run(nodes), bool(guards))


def _mentions_run(nodes: Sequence[ast.AST]) -> bool:
    """Tell whether ``skitai.run`` is mentioned, by whatever names the file has imported it."""
    modules, functions = set(), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {
                item.asname or "skitai"
                for item in node.names
                if item.name == "skitai" or (not item.asname and item.name.startswith("skitai."))
            }
        elif isinstance(node, ast.ImportFrom) and node.module == "skitai":
            functions |= {item.asname or "run" for item in node.names if item.name in ("run", "*")}
    return any(
        (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in functions)
        or (
            isinstance(node, ast.Attribute)
            and node.attr == "run"
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        )
        for node in nodes
    )


def _run_script(path: str, declaration: Declaration) -> ModuleType:
    """Run the file at ``path`` as ``python path`` does, and leave its module where that leaves it.

    It stays ``__main__``: there pickle, Flask and multiprocessing look for it while it is served. Its command line is
    the file alone, since twistd's is not for it.
    """
    loader = SourceFileLoader(_MAIN, path)
    module = ModuleType(_MAIN)
    module.__file__ = path
    module.__loader__ = loader
    before, arguments = sys.modules[_MAIN], sys.argv
    sys.modules[_MAIN], sys.argv = module, [path]
    try:
        exec(loader.source_to_code(loader.get_data(path), path), vars(module))
    except SystemExit as end:
        # "sys.exit(skitai.run())" ends well.
        if end.code or not declaration.ran:
            sys.modules[_MAIN] = before
            raise
    except BaseException:
        sys.modules[_MAIN] = before
        raise
    finally:
        sys.argv = arguments
    return module


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
