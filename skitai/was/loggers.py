"""The loggers that ``wasc.logger`` gives to applications: those of the server, and files of their own.

What a logger is told becomes an event of ``twisted.logger`` like everything else that is logged; where that is written
is up to whoever observes the events. So an application's loggers work the same in a test, under twistd's log and with
files.

Layer 3. It must not know how files are written: ``OpenLog`` does it. Thread: any.
"""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from twisted.logger import Logger, LogLevel

NAMESPACE: Final = "skitai.log"
"""Namespace of what loggers are told that have a file of their own, before the logger's name ("skitai.log.login")."""

SERVER_LOGS: Final = {"app": "skitai.app", "server": "skitai.server", "request": f"{NAMESPACE}.request"}
"""The server's own logs and the namespaces of what goes to them."""

LEVELS: Final = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warn": LogLevel.warn,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
    "critical": LogLevel.critical,
    "fatal": LogLevel.critical,
}
"""Levels by the words that applications use for them; another word is written before the message."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

OpenLog: TypeAlias = Callable[[str, "str | int"], object]
"""Opens the file of a logger: its name, and when the file is rotated; a ``ValueError`` says why that can not be."""


class NamedLogger:
    """What writes to one log.

    Calling it is the same as ``log``: ``logger("signed in", "info")``.

    Args:
        name: Name of the log.
        namespace: Namespace of its events.
    """

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self._log = Logger(namespace=namespace)

    def log(self, msg: object, category: str = "info") -> None:
        """Write a message.

        Args:
            msg: The message.
            category: debug, info, warning, error or critical; another word is written before the message.
        """
        level, text = leveled(msg, category)
        self._log.emit(level, "{text}", text=text)

    __call__ = log

    def traceback(self, id: str = "") -> None:
        """Write the traceback of the exception that is being handled.

        Args:
            id: What to find it by.
        """
        text = current_traceback(f"traceback() of logger {self.name!r}")
        self._log.emit(LogLevel.error, "{text}", text=f"{id} {text}" if id else text)

    def debug(self, msg: object) -> None:
        """Write a message of level debug."""
        self.log(msg, "debug")

    def info(self, msg: object) -> None:
        """Write a message of level info."""
        self.log(msg, "info")

    def warning(self, msg: object) -> None:
        """Write a message of level warning."""
        self.log(msg, "warning")

    warn = warning

    def error(self, msg: object) -> None:
        """Write a message of level error."""
        self.log(msg, "error")

    def critical(self, msg: object) -> None:
        """Write a message of level critical, which the log calls an error."""
        self.log(msg, "critical")

    def __repr__(self) -> str:
        return f"<logger {self.name!r}>"


class Loggers:
    """All loggers of a server, by name: what ``wasc.logger`` is.

    Args:
        open_log: Opens the file of a new logger.
    """

    def __init__(self, open_log: OpenLog) -> None:
        self._open_log = open_log
        self._lock = threading.Lock()
        self._loggers = {name: NamedLogger(name, namespace) for name, namespace in SERVER_LOGS.items()}

    def get(self, name: str = "app") -> NamedLogger:
        """Return a logger: "app", "server", "request", or one that has been made.

        Raises:
            KeyError: There is none of that name.
        """
        try:
            return self._loggers[name]
        except KeyError:
            known = ", ".join(sorted(self._loggers))
            raise KeyError(f"there is no logger {name!r}; there are {known}, make_logger() makes more") from None

    def make_logger(self, prefix: str, freq: str | int = "daily") -> NamedLogger:
        """Return a logger that writes ``<prefix>.log`` beside the other logs, or to the console where they do.

        The same name is the same logger again.

        Args:
            prefix: Its name: letters, digits, and ``_ . -``.
            freq: When a new file is begun: "daily" (at local midnight), "weekly" (on Mondays) or "monthly", or the size
                that it may reach: "10M", or in bytes. Of the old files as many are kept as ``log_rotate_keep`` says.

        Raises:
            ValueError: The name or ``freq`` can not be used; the message says why.
            OSError: The file can not be opened.
        """
        if not isinstance(prefix, str) or not _NAME.fullmatch(prefix):
            raise ValueError(
                f"{prefix!r} is no name for a logger: it may have up to 64 letters, digits, '_', '.' and '-', and must "
                "not begin with a '.'"
            )
        if prefix in SERVER_LOGS:
            raise ValueError(f"{prefix}.log is the server's own: logger.get({prefix!r}) writes to it")
        with self._lock:
            self._open_log(prefix, freq)
            return self._loggers.setdefault(prefix, NamedLogger(prefix, f"{NAMESPACE}.{prefix}"))


def leveled(message: object, category: str) -> tuple[Any, str]:
    """Return the level and the text of a message.

    Args:
        message: The message; bytes are read as UTF-8.
        category: A key of ``LEVELS``, or another word to write before the message.
    """
    text = message.decode("utf-8", "backslashreplace") if isinstance(message, bytes) else str(message)
    level = LEVELS.get(category)
    return (LogLevel.info, f"{category}: {text}") if level is None else (level, text)


def current_mark() -> str:
    """Return what begins the log lines of the running code: the ids of its request and a space, nothing outside."""
    from skitai.was.context import current  # which imports this module

    was = current.get()
    return "" if was is None else f"{was.gtxnid}/{was.ltxnid} "


def current_traceback(what: str) -> str:
    """Return the traceback of the exception that is being handled.

    Args:
        what: What was called, for the case that there is none.
    """
    text = traceback.format_exc().rstrip("\n")
    return f"{what} was called while no exception is handled" if text == "NoneType: None" else text
