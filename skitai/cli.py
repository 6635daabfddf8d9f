"""Running a script: what ``skitai.run()`` does, and the command line it reads.

    python app.py [-v] [-d] [start|stop|restart|status] [--port NUMBER] [--option ...]

Layer 4, the composition root: it puts options, declarations and the server together and turns every fault of theirs
into one line on stderr and exit status 2. It must not know how anything is served.

Thread: the main thread.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, NoReturn, TypeAlias

import skitai.declare as declare
from skitai.config import GROUPS, OPTIONS, Option, Settings, resolve, unknown_option
from skitai.constants import VERSION
from skitai.declare import Declaration, Stage
from skitai.errors import ConfigError, NotAvailable
from skitai.restart import run_again, working_directory
from skitai.values import Switch, suggestion

Server: TypeAlias = Callable[[Settings, Declaration, Callable[[], NoReturn]], int]
"""What serves: it gets what runs the program again, and returns the exit status."""

COMMANDS: Final = {
    "start": "serve as a daemon (also -d)",
    "stop": "end the daemon",
    "restart": "have the daemon run the program as it is now, without losing a request",
    "status": "show whether the daemon runs; the exit status is 3 when it does not",
}

_QUESTIONS: Final = {"-h": "help", "--help": "help", "--version": "version"}

USAGE_STATUS: Final = 2


@dataclass(slots=True)
class CommandLine:
    """What a command line says.

    Attributes:
        options: Texts by name of option; a list where an option may be repeated.
        command: One of ``COMMANDS``, "" for serving in the foreground.
        faults: What is wrong, a sentence each.
        question: "help" or "version" when only that is asked for, else "".
    """

    options: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    faults: list[str] = field(default_factory=list)
    question: str = ""


def run(keywords: Mapping[str, Any], namespace: dict[str, Any]) -> None:
    """Do what ``skitai.run()`` promises.

    Args:
        keywords: Its keywords.
        namespace: Globals of the code that called it.

    Raises:
        SystemExit: The exit status is not 0.
    """
    declaration = declare.current()
    if declaration.stage is Stage.RUNNING:
        declare.warn(f"run() in {namespace.get('__file__', 'the program')} is ignored: the server runs already")
    elif declaration.stage is not Stage.SCRIPT:
        declaration.accept(keywords, namespace)
    else:
        declaration.base_directory = declare.directory_of(namespace)
        declaration.accept(keywords, namespace)
        status = main(declaration, sys.argv)
        if status:
            raise SystemExit(status)


def main(declaration: Declaration, argv: Sequence[str], serve: Server | None = None) -> int:
    """Serve as a script's declaration and command line say.

    Args:
        declaration: With the keywords of ``run()`` and the base directory, which becomes the working directory.
        argv: The command line, the script's name first.
        serve: What serves; ``skitai.server.run`` by default.

    Returns:
        The exit status: 2 when the server could not start, after one line on stderr.
    """
    line = parse(argv[1:])
    if line.question:
        sys.stdout.write(help_text(program_name(argv[0])) if line.question == "help" else f"Skitai {VERSION}\n")
        return 0
    try:
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("skitai.run() must be called in the main thread: no other can handle signals")
        again = run_again(working_directory())
        settings = settle(declaration, line)
        install_reactor(settings.reactor)
        serve = serve or _server()
        return serve(settings, declaration, again)
    except ConfigError as error:
        complain(argv[0], error)
        return USAGE_STATUS


def _server() -> Server:
    """Import the server, and with it the reactor that has been installed."""
    from skitai.server import run

    return run


def settle(declaration: Declaration, line: CommandLine) -> Settings:
    """Make the settings, enter the base directory, and refuse what can not be served.

    Args:
        declaration: With keywords and base directory; it is closed by this.
        line: The command line.

    Raises:
        ConfigError: Naming every fault of options and declarations.
        NotAvailable: There is no fault, but something is not implemented in this version.
    """
    os.chdir(declaration.base_directory)
    faults = list(line.faults)
    settings = Settings()
    try:
        settings = resolve(line.options, declaration.keywords, declaration.options, declaration.base_directory)
    except ConfigError as error:
        faults += error.faults
    faults += declaration.all_faults()
    if faults:
        raise ConfigError(faults)
    missing = [*_missing(settings, line), *declaration.unavailable()]
    if missing:
        raise NotAvailable(missing)
    declaration.stage = Stage.RUNNING
    return settings


def _missing(settings: Settings, line: CommandLine) -> Iterator[str]:
    """Yield what is asked for by options but not implemented in this version."""
    if line.command:
        yield f"the command {line.command!r} is not available yet: the server runs in the foreground without it"
    if settings.workers > 1:
        yield f"workers={settings.workers} is not available yet: there is one process"
    if settings.early_hints:
        yield "early_hints is not available yet"
    if settings.proxy_timeout != Settings().proxy_timeout:
        yield "proxy_timeout is not available yet"


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read a command line.

    An option is written "--name value" or "--name=value"; a switch is "--name" or "--no-name".
    """
    line = CommandLine()
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop()
        if word in _QUESTIONS:
            line.question = _QUESTIONS[word]
        elif word.startswith("-") and word not in ("-", "-d"):
            _read_option(line, word, rest)
        else:
            _set_command(line, "start" if word == "-d" else word)
    return line


def _set_command(line: CommandLine, word: str) -> None:
    if word not in COMMANDS:
        line.faults.append(f"there is no command {word!r}{suggestion(word, COMMANDS)}")
    elif line.command not in ("", word):
        line.faults.append(f"{line.command} and {word} can not be had together")
    else:
        line.command = word


def _read_option(line: CommandLine, word: str, rest: list[str]) -> None:
    """Read the option ``word``, and its value from ``rest`` (reversed) where it has one."""
    spelling, equals, value = word.partition("=")
    option, on = find(spelling)
    if option is None:
        long = spelling.startswith("--")
        line.faults.append(unknown_option(spelling[2:], dashes=True) if long else f"there is no option {spelling}")
        # Most likely it has a value: that is no command then, and not a second fault.
        if not equals and rest and not rest[-1].startswith("-") and rest[-1] not in COMMANDS:
            rest.pop()
    elif isinstance(option.kind, Switch):
        if equals and not on:
            line.faults.append(f"{spelling} takes no value")
        line.options[option.name] = value if equals else on
    elif not equals and not rest:
        line.faults.append(f"{spelling} needs a value")
    else:
        store(line.options, option, value if equals else rest.pop())


def store(options: dict[str, Any], option: Option, value: str) -> None:
    """Put a value that was read into ``options``, beside earlier ones where the option may be repeated."""
    if option.kind.repeatable:
        options.setdefault(option.name, []).append(value)
    else:
        options[option.name] = value


def find(spelling: str) -> tuple[Option | None, bool]:
    """Return the option that "--name", "--no-name" or "-n" stands for, and False where "no" was said."""
    name = spelling[2:].replace("-", "_") if spelling.startswith("--") else ""
    for option in OPTIONS:
        if option.command_line:
            if option.name == name or (option.short and spelling == "-" + option.short):
                return option, True
            if isinstance(option.kind, Switch) and name == "no_" + option.name:
                return option, False
    return None, True


def program_name(path: str) -> str:
    """Return how messages call the program at ``path``."""
    name = os.path.basename(path)
    if name == "__main__.py":  # "python -m package"
        return f"-m {os.path.basename(os.path.dirname(path))}"
    return name or "skitai"


def help_text(program: str) -> str:
    """Return what ``--help`` shows."""
    lines = [f"Usage: python {program} [-v] [-d] [{'|'.join(COMMANDS)}] [--option ...]", ""]
    lines += [f"  {command:<10} {text}" for command, text in COMMANDS.items()]
    for group, title in GROUPS.items():
        lines += ["", title + ":"]
        for option in OPTIONS:
            if option.group == group and option.command_line:
                lines += _help_entry(option)
    return "\n".join(
        [*lines, "", "Sizes are in bytes or such as 64K, 10M, 1G; times in seconds or such as 5m, 2h.", ""]
    )


def _help_entry(option: Option) -> Iterator[str]:
    spelling = f"--{'[no-]' if isinstance(option.kind, Switch) else ''}{option.flag} {option.kind.metavar}".rstrip()
    yield f"  {f'-{option.short}, ' if option.short else ''}{spelling}"
    yield f"      {option.summary()}"


_REACTOR_MODULES: Final = {
    "epoll": "twisted.internet.epollreactor",
    "asyncio": "twisted.internet.asyncioreactor",
    "poll": "twisted.internet.pollreactor",
    "select": "twisted.internet.selectreactor",
    "kqueue": "twisted.internet.kqreactor",
    "default": "twisted.internet.default",
}


def install_reactor(name: str) -> None:
    """Install a reactor, before anything imports it.

    Args:
        name: A value of the option ``reactor``.

    Raises:
        ConfigError: It does not work on this machine, or the program has already imported another one.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is not None:
        if name != "default" and type(installed).__module__ != _REACTOR_MODULES[name]:
            raise ConfigError(
                f"reactor {name!r} can not be installed: the program has imported twisted.internet.reactor before, "
                f"which made it {type(installed).__name__}"
            )
        return
    try:
        import_module(_REACTOR_MODULES[name]).install()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"reactor {name!r} does not work on this machine: {error}") from None


def complain(program: str, error: Exception) -> None:
    """Say in one line on stderr why the program does not start."""
    message = " ".join(str(error).split())
    sys.stderr.write(f"{program_name(program)}: {message}\n")


def give_up(program: str, error: Exception) -> NoReturn:
    """Say in one line on stderr why the program does not start, and end with status 2."""
    complain(program, error)
    raise SystemExit(USAGE_STATUS)
