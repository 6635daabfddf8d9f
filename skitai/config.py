"""The table of options, and how one set of settings is made of what was said in several places.

Each field of ``Settings`` is one row of the table: its type, default, unit and help. Everything else that knows
options is made from it: the keywords of ``skitai.run()``, the options of ``python app.py`` and of ``twistd skitai``,
and the reference page that ``python -m skitai.config`` prints. To add an option, add a field; where a lower layer
needs it, add it to one of the small values of ``skitai.settings`` too.

What is given on the command line wins over the keywords of ``run()``, those over the public functions, those over the
defaults. It must not know Twisted, nor what any option is good for.

Thread: any; ``Settings`` never change once made.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from skitai.errors import ConfigError
from skitai.settings import CompressionSettings, Limits, LogSettings, PoolSettings
from skitai.values import (
    Address,
    Choice,
    ExistingFile,
    Integer,
    Kind,
    Network,
    Path,
    ProxyKind,
    Seconds,
    Secret,
    Several,
    Size,
    Switch,
    Text,
    suggestion,
)

GROUPS: Final = {
    "serving": "Where and how to serve",
    "limits": "Limits and deadlines",
    "responses": "Responses",
    "tls": "HTTPS",
    "requests": "Requests to other servers",
    "logs": "Logs",
    "files": "Files",
}
"""Titles of the groups of options, in the order of the reference page."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    Attributes:
        name: As keyword of ``run()``; on the command line "_" becomes "-".
        kind: How its value is read.
        default: Its value when nobody says anything; None where that means "none".
        help: One or two sentences.
        unit: What a plain number counts ("seconds", "bytes"), or "".
        group: Key in ``GROUPS``.
        short: One-letter form on the command line, or "".
        command_line: Whether the command line has it; secrets are kept off it, where other users could see them.
        attribute: Its attribute of ``Settings``.
    """

    name: str
    kind: Kind[Any]
    default: Any
    help: str
    unit: str
    group: str
    short: str
    command_line: bool
    attribute: str

    @property
    def flag(self) -> str:
        """Its name on the command line, without the dashes before it."""
        return self.name.replace("_", "-")

    def describe_default(self) -> str:
        """Return the default as a user would write it, "" for none."""
        return "" if self.default is None else self.kind.show(self.default)

    def summary(self) -> str:
        """Return its help with the default behind it, in one line."""
        default = self.describe_default()
        unit = f" {self.unit}" if self.unit == "seconds" else ""
        return f"{self.help} [{default}{unit}]" if default else self.help


def _option(kind: Kind[Any], default: Any, group: str, description: str, **extra: Any) -> Any:
    """Make the field of ``Settings`` that is one row of the table."""
    row = {"unit": "", "short": "", "command_line": True, **extra}
    shown = not isinstance(kind, Secret)
    return dataclasses.field(
        default=default, repr=shown, metadata={"kind": kind, "group": group, "help": description, **row}
    )


# The defaults of what lower layers get stand at their small values.
_LIMITS: Final = Limits()
_POOL: Final = PoolSettings()
_LOG: Final = LogSettings()
_COMPRESSION: Final = CompressionSettings()
_REACTOR: Final = "epoll" if sys.platform.startswith("linux") else "default"
_REACTORS: Final = ("epoll", "asyncio", "poll", "select", "kqueue", "default")


@dataclass(frozen=True, slots=True)
class Settings:
    """The value of every option, checked and frozen; each attribute is the option of that name."""

    address: str = _option(
        Address(), "127.0.0.1", "serving", "IP address to listen at. 0.0.0.0 (or ::) opens the server to the network."
    )
    port: int = _option(Integer(0, 65535), 5000, "serving", "TCP port to listen at; 0 takes any free one.")
    listen: tuple[str, ...] = _option(
        Several(Text("ENDPOINT"), split=False),
        (),
        "serving",
        "Twisted endpoint to listen at instead of address and port (unix:/run/app.sock). May be repeated.",
    )
    backlog: int = _option(
        Integer(1, 65535),
        1024,
        "serving",
        "Connections that the kernel holds until they are accepted.",
        unit="connections",
    )
    threads: int = _option(
        Integer(0, 1000),
        _POOL.threads,
        "serving",
        "Threads that run applications; 0 runs them on the reactor thread.",
        unit="threads",
    )
    workers: int = _option(Integer(1, 256), 1, "serving", "Worker processes that share the port.", unit="processes")
    max_queued: int = _option(
        Integer(0, 1_000_000),
        _POOL.max_queued,
        "serving",
        "Requests that may wait for a thread; past it, the answer is 503 with Retry-After.",
        unit="requests",
    )
    extra_threads: int = _option(
        Integer(0, 1000),
        32,
        "serving",
        "Threads that may run applications in the place of threads that wait for a request of was.",
        unit="threads",
    )
    reactor: str = _option(
        Choice(*_REACTORS), _REACTOR, "serving", "Twisted reactor to run on. asyncio makes asyncio libraries usable."
    )
    trusted_proxies: tuple[Network | str, ...] = _option(
        Several(ProxyKind()),
        (),
        "serving",
        "Addresses and networks of the proxies whose Forwarded and X-Forwarded-* fields are believed; unix for those "
        "that connect through a UNIX socket.",
    )

    keep_alive_timeout: float = _option(
        Seconds(zero=True),
        _LIMITS.keep_alive_timeout,
        "limits",
        "How long an idle connection stays open.",
        unit="seconds",
    )
    head_timeout: float = _option(
        Seconds(),
        _LIMITS.head_timeout,
        "limits",
        "How long a request head may take from its first byte to its last; past it, the answer is 408.",
        unit="seconds",
    )
    body_min_rate: int = _option(
        Size(),
        _LIMITS.body_min_rate,
        "limits",
        "Slowest average rate at which a request body may come; past it, the answer is 408. 0 sets no limit.",
        unit="bytes a second",
    )
    body_min_rate_grace: float = _option(
        Seconds(zero=True),
        _LIMITS.body_min_rate_grace,
        "limits",
        "How long a body may take before body_min_rate is first looked at.",
        unit="seconds",
    )
    drain_timeout: float = _option(
        Seconds(),
        _LIMITS.drain_timeout,
        "limits",
        "How long a client may take nothing of a response that waits for it before it is cut off.",
        unit="seconds",
    )
    graceful_timeout: float = _option(
        Seconds(zero=True),
        10.0,
        "limits",
        "How long running requests may take to finish when the server stops.",
        unit="seconds",
    )
    proxy_timeout: float = _option(
        Seconds(),
        60.0,
        "limits",
        "How long a proxied server may be silent; past it, the answer is 504.",
        unit="seconds",
    )
    max_head_size: int = _option(
        Size(256),
        _LIMITS.max_head_size,
        "limits",
        "Largest request line with its header fields; past it, the answer is 431.",
        unit="bytes",
    )
    max_target_size: int = _option(
        Size(64), _LIMITS.max_target_size, "limits", "Longest request target; past it, the answer is 414.", unit="bytes"
    )
    max_post_body_size: int = _option(
        Size(),
        _LIMITS.max_post_body_size,
        "limits",
        "Largest request body; past it, the answer is 413. Applications may set their own through app.config.",
        unit="bytes",
    )
    body_spool_size: int = _option(
        Size(),
        _LIMITS.body_spool_size,
        "limits",
        "How much of a body is gathered before a thread is taken; the rest is streamed to the application.",
        unit="bytes",
    )
    response_buffer_size: int = _option(
        Size(1024),
        _LIMITS.response_buffer_size,
        "limits",
        "How much of a response may wait for its client before the application is blocked.",
        unit="bytes",
    )

    compression_enabled: bool = _option(
        Switch(),
        _COMPRESSION.enabled,
        "responses",
        "Compress text, JSON, XML, JavaScript and SVG with gzip.",
        name="compression",
    )
    compression_min_size: int = _option(
        Size(), _COMPRESSION.min_size, "responses", "Smallest body that is compressed.", unit="bytes"
    )
    compression_level: int = _option(
        Integer(1, 9), _COMPRESSION.level, "responses", "1 is the fastest, 9 gives the smallest bodies."
    )
    early_hints: bool = _option(
        Switch(), False, "responses", "Send hint_promise() on HTTP/1.1 too, as 103; old clients take it badly."
    )

    certfile: str | None = _option(
        ExistingFile(), None, "tls", "PEM file with the certificate and its chain; turns HTTPS on."
    )
    keyfile: str | None = _option(
        ExistingFile(), None, "tls", "PEM file with the private key, where it is not in certfile."
    )
    passphrase: str | None = _option(Secret(), None, "tls", "Pass phrase of the private key.", command_line=False)

    max_response_size: int = _option(
        Size(1),
        64 * 1024 * 1024,
        "requests",
        "Largest body of an answer to a request of was, after decoding; past it, the request has failed.",
        unit="bytes",
    )
    max_server_connections: int = _option(
        Integer(1, 100_000),
        256,
        "requests",
        "Connections that requests of was may have to one server; further requests wait for one of them.",
        unit="connections",
    )

    logpath: str | None = _option(
        Path(), None, "logs", "Directory for server.log, request.log and app.log; without it logs go to the console."
    )
    verbose: bool = _option(Switch(), False, "logs", "Show logs on the console too when they go to files.", short="v")
    access_log_format: str = _option(
        Choice("text", "json"), "text", "logs", "Format of the request log: lines of text, or a JSON object a line."
    )
    log_rotate_size: int = _option(
        Size(), _LOG.rotate_size, "logs", "Size at which a log file is rotated; 0 never does.", unit="bytes"
    )
    log_rotate_keep: int = _option(
        Integer(0, 10_000), _LOG.rotate_keep, "logs", "Rotated files that are kept of each log.", unit="files"
    )

    varpath: str = _option(
        Path(),
        None,
        "files",
        "Directory for what outlives the process; without it the user's state directory, or /var/tmp/skitai for root.",
    )

    def __post_init__(self) -> None:
        """Fill in the one default that depends on who runs the server."""
        if self.varpath is None:
            object.__setattr__(self, "varpath", default_varpath())

    @property
    def limits(self) -> Limits:
        """What one connection may cost."""
        return Limits(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Limits)})

    @property
    def pool(self) -> PoolSettings:
        """The size of the thread pool and of the queue before it."""
        return PoolSettings(self.threads, self.max_queued)

    @property
    def log(self) -> LogSettings:
        """Where logs go."""
        return LogSettings(
            self.logpath, self.access_log_format, self.log_rotate_size, self.log_rotate_keep, self.verbose
        )

    @property
    def compression(self) -> CompressionSettings:
        """When responses are compressed."""
        return CompressionSettings(self.compression_enabled, self.compression_min_size, self.compression_level)


def default_varpath() -> str:
    """Return the directory for what outlives the process where the user names none."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/tmp/skitai"
    state = os.environ.get("XDG_STATE_HOME", "")
    # A relative XDG_STATE_HOME is to be ignored, says the XDG base directory specification.
    return os.path.join(state if os.path.isabs(state) else os.path.expanduser("~/.local/state"), "skitai")


def _rows() -> Iterator[Option]:
    for field in dataclasses.fields(Settings):
        row = {"name": field.name, **field.metadata}
        yield Option(default=field.default, attribute=field.name, **row)


OPTIONS: Final[tuple[Option, ...]] = tuple(_rows())
"""The table, in the order of the reference page."""

BY_NAME: Final[Mapping[str, Option]] = {option.name: option for option in OPTIONS}

DECLARING_KEYWORDS: Final = ("mount", "clusters")
"""Keywords of ``run()`` that are no options: ``skitai.declare`` reads them."""


def resolve(
    command_line: Mapping[str, Any], keywords: Mapping[str, Any], declared: Mapping[str, Any], base_directory: str = ""
) -> Settings:
    """Make one set of settings of what was said on the command line, in ``run()`` and by the public functions.

    Args:
        command_line: Texts by name of option.
        keywords: The keywords of ``run()``.
        declared: What ``set_keep_alive()`` and the like recorded, by name of option.
        base_directory: What relative paths are relative to; the working directory by default.

    Returns:
        The settings; an option whose value is None in all three is at its default.

    Raises:
        ConfigError: Naming every fault of every source.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    # Later sources win, but the faults of all of them count: a wrong value is wrong where it is overridden too.
    for source, dashes in ((declared, False), (keywords, False), (command_line, True)):
        if source.get("certfile") is not None:
            values.pop("keyfile", None)  # the key of another certificate, which a lesser source has named
        for name, raw in source.items():
            option = BY_NAME.get(name)
            if option is None and name not in DECLARING_KEYWORDS:
                faults.append(unknown_option(name, dashes))
            if option is None or raw is None:
                continue
            try:
                values[option.attribute] = _read(option, raw, base_directory)
            except ValueError as error:
                faults.append(f"{'--' + option.flag if dashes else option.name} {error}")
    settings = Settings(**values)
    # Whether good values fit together can not be told while some are missing.
    faults = faults or list(_conflicts(settings))
    if faults:
        raise ConfigError(faults)
    return settings


def unknown_option(name: str, dashes: bool) -> str:
    """Return the sentence that says that there is no option ``name``, with the closest name there is.

    Args:
        name: As the user wrote it, without dashes before it.
        dashes: Whether it was written on the command line.
    """
    if not dashes:
        return f"there is no option {name!r}{suggestion(name, [*BY_NAME, *DECLARING_KEYWORDS])}"
    known = ["--" + option.flag for option in OPTIONS if option.command_line]
    return f"there is no option --{name}{suggestion('--' + name.replace('_', '-'), known)}"


def _read(option: Option, raw: Any, base_directory: str) -> Any:
    value = option.kind.parse(raw)
    if option.kind.is_path:
        value = os.path.abspath(os.path.join(base_directory, value))
        if isinstance(option.kind, ExistingFile) and not os.path.isfile(value):
            raise ValueError(f"must be a file, but there is none at {value!r}")
    return value


def _conflicts(settings: Settings) -> Iterator[str]:
    """Yield what is wrong between options that are right each by itself."""
    if settings.certfile is None:
        for name in ("keyfile", "passphrase"):
            if getattr(settings, name) is not None:
                yield f"{name} needs certfile"
    if settings.max_target_size > settings.max_head_size:
        yield (
            f"max_target_size ({settings.max_target_size}) must not be larger than max_head_size "
            f"({settings.max_head_size}), which it is part of"
        )


def reference() -> str:
    """Return the reference page of all options, in reStructuredText."""
    lines = ["=======", "Options", "=======", ""]
    for group, title in GROUPS.items():
        lines += [title, "-" * len(title), ""]
        for option in OPTIONS:
            if option.group == group:
                lines += [*_entry(option), ""]
    return "\n".join(lines)


def _entry(option: Option) -> Iterator[str]:
    spellings = [f"``{option.name}``"]
    if option.command_line:
        spellings.append(f"``--{option.flag}{' ' + option.kind.metavar if option.kind.metavar else ''}``")
        if option.short:
            spellings.append(f"``-{option.short}``")
        if isinstance(option.kind, Switch):
            spellings.append(f"``--no-{option.flag}``")
    yield ", ".join(spellings)
    yield f"    {option.help}"
    default = option.describe_default()
    facts = [f"Default: ``{default}``" if default else "Default: none"]
    if option.unit:
        facts.append(f"unit: {option.unit}")
    yield ""
    yield f"    {'; '.join(facts)}."


if __name__ == "__main__":
    sys.stdout.write(reference())
