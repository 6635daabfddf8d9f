"""Where log lines go: the three log files under ``logpath``, or the console.

* ``server.log``: what the server has to say, and the tracebacks of its own faults;
* ``app.log``: what applications log, and their tracebacks (events whose namespace is or begins with ``skitai.app``);
* ``request.log``: a line for each request, made by ``skitai.web.accesslog`` and handed over in batches;
* what applications have made with ``wasc.logger.make_logger()``, each in a file of its own beside these.

Everything arrives through ``twisted.logger``, except request lines, which are written as they come. A line looks like
``2016.12.30 18:05:06 [info] message``; further lines of a traceback follow it as they are.

Layer 4. It must not know what is served. ``Logs`` and all it consists of may be used from any thread, and from a signal
handler that interrupted it: files are written with single system calls, and the lock lets the same thread in again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import time
from typing import Any, Final, Protocol

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent, globalLogBeginner, globalLogPublisher
from zope.interface import implementer

from skitai.errors import ConfigError
from skitai.was.loggers import NAMESPACE as NAMED_NAMESPACE

APP_NAMESPACE: Final = "skitai.app"
"""Namespace of events that belong in app.log, alone or as a prefix ("skitai.app.shop")."""

_OWN_PREFIX: Final = "skitai."
_NAMED_PREFIX: Final = NAMED_NAMESPACE + "."
_OF_APPLICATIONS: Final = (APP_NAMESPACE, "skitai.programs", "stdout", "stderr", "warnings")
"""Besides their own namespace: their loading, what they print, where twistd makes it an event, and warnings."""

MAX_PIECE_SIZE: Final = 16 * 1024
"""Characters of a line that ``ErrorStream`` keeps until its end comes; a longer one is logged in pieces."""

_REQUESTS: Final = "skitai.request"
_LEVELS: Final = {"warn": "warning", "critical": "error"}


_request_log = Logger(namespace=_REQUESTS)


class LogOptions(Protocol):
    """What is needed of ``skitai.config.LogSettings``."""

    @property
    def path(self) -> str | None:
        """Directory of the log files; None for the console."""

    @property
    def rotate_size(self) -> int:
        """Bytes after which a file is rotated; 0 for never."""

    @property
    def rotate_keep(self) -> int:
        """How many rotated files are kept."""

    @property
    def verbose(self) -> bool:
        """Whether the console shows everything even when there are files."""


class Sink(Protocol):
    """Something lines are written to."""

    def write(self, data: bytes) -> None:
        """Write whole lines; never raises."""


class Console:
    """The standard error stream.

    Args:
        descriptor: Its file descriptor. Not ``sys.stderr``, which twistd turns into log events.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write lines; what a closed terminal does not take is lost, and one that stands still is waited for."""
        with contextlib.suppress(OSError):
            _write_all(self._descriptor, data)


class Events:
    """The log of whoever runs the process: each line becomes an event of ``twisted.logger``."""

    def write(self, data: bytes) -> None:
        """Log each line."""
        for line in data.decode("utf-8", "backslashreplace").splitlines():
            _request_log.info("{line}", line=line)


class ErrorStream(io.TextIOBase):
    """The stream for ``wsgi.errors`` (PEP 3333, "Input and Error Streams"): what is written to it goes to app.log.

    Args:
        logs: Where to.

    Thread: any; pieces of a line are put together for each thread by itself.
    """

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._pieces = threading.local()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log ``text`` once its line is complete; several lines at once stay together."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        whole = getattr(self._pieces, "text", "") + text
        if whole.endswith("\n") or len(whole) > MAX_PIECE_SIZE:
            self._log(whole)
        else:
            self._pieces.text = whole
        return len(text)

    def flush(self) -> None:
        """Log what there is of an incomplete line."""
        text = getattr(self._pieces, "text", "")
        if text:
            self._log(text)

    def _log(self, text: str) -> None:
        self._pieces.text = ""
        if text.strip():
            self._logs.write_app("error", text.rstrip("\n"))


class LogFile:
    """A file that lines are appended to, rotated by size.

    ``name`` is the current file, ``name.1`` the youngest of the old ones. Every write is one system call at the file's
    end, so processes that share the file do not tear each other's lines. When the disk is full, lines are lost, which
    is said once on the console until a write succeeds again.

    Args:
        path: The file's path.
        rotate_size: Bytes that it may reach; 0 for no bound.
        rotate_keep: How many old files are kept.
        console: Where to say that writing fails.

    Raises:
        OSError: The file can not be opened.
    """

    def __init__(self, path: str, rotate_size: int, rotate_keep: int, console: Sink) -> None:
        self.path = os.path.abspath(path)
        self._rotate_size = rotate_size
        self._rotate_keep = rotate_keep
        self._console = console
        # A signal handler may interrupt the thread that holds it and log something itself.
        self._lock = threading.RLock()
        self._failing = False
        self._torn = False  # the last line may have been written in part
        self._size = 0
        self._descriptor = -1
        self._open()

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        with self._lock:
            if self._rotate_size and self._size and self._size + len(data) > self._rotate_size:
                self._rotate()
            try:
                if self._torn:
                    data = b"\n" + data
                    self._torn = False
                self._size += _write_all(self._descriptor, data)
                self._failing = False
            except OSError as error:
                self._torn = True
                self._report("lines are lost", error)

    def reopen(self) -> None:
        """Open the path again, after another program has moved the file away."""
        with self._lock:
            try:
                self._open()
            except OSError as error:
                self._report("it is not opened again", error)

    def close(self) -> None:
        """Close the file; lines written later are lost."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
            self._failing = True

    def _open(self) -> None:
        opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._size = os.fstat(opened).st_size
        before, self._descriptor = self._descriptor, opened
        if before >= 0:
            os.close(before)

    def _rotate(self) -> None:
        """Begin a new file; where that is not possible, go on with the old one for as much again."""
        try:
            if self._is_current():
                self._move_up()
            self._open()
        except OSError as error:
            self._size = 0
            self._report("it is not rotated", error)

    def _is_current(self) -> bool:
        """Tell whether the path still leads to the open file: another process may have rotated it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _move_up(self) -> None:
        for number in range(self._rotate_keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        if self._rotate_keep:
            os.replace(self.path, f"{self.path}.1")
        else:
            os.unlink(self.path)

    def _report(self, consequence: str, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            text = f"{self.path}: {consequence}: {error.strerror}"
            self._console.write(_stamp(time.time(), "error", text))


@implementer(ILogObserver)
class Logs:
    """The three logs; called with an event of ``twisted.logger``, it fills two of them.

    Args:
        server: Where server events go.
        app: Where events of applications go.
        request: Where request lines go.
        console: The console.
        options: Where applications may open files of their own; None for nowhere.

    Attributes:
        files: Those of them that are files.
    """

    def __init__(
        self,
        server: list[Sink],
        app: list[Sink],
        request: list[Sink],
        console: Sink,
        options: LogOptions | None = None,
    ) -> None:
        self._server = server
        self._app = app
        self._request = request
        self._console = console
        self._options = options
        self._named: dict[str, tuple[str | int, list[Sink]]] = {}
        self.files = [sink for sink in (*server, *app, *request) if isinstance(sink, LogFile)]
        self._last_resort: logging.Handler | None = None

    @property
    def on_console(self) -> bool:
        """Whether server events are shown on the console."""
        return any(not isinstance(sink, LogFile) for sink in self._server)

    def __call__(self, event: LogEvent) -> None:
        """Write an event. Thread: any."""
        sinks = self._sinks(event)
        if sinks:
            line = format_event(event)
            for sink in sinks:
                sink.write(line)

    def write_requests(self, text: str) -> None:
        """Write a batch of request lines, each with its line end. Thread: any."""
        data = text.encode("utf-8", "backslashreplace")
        for sink in self._request:
            sink.write(data)

    def begin(self) -> None:
        """Have all events written from now on; what was logged before comes first.

        Printing stays as it is: an application that prints means the terminal.
        """
        globalLogBeginner.beginLoggingTo([self], redirectStandardIO=False)

    def observe(self) -> None:
        """Have all events written from now on, beside whoever else does so."""
        globalLogPublisher.addObserver(self)

    def take_unhandled(self) -> None:
        """Write the records of ``logging`` that have no handler, as it does itself on the console, to app.log.

        Only the handler of last resort is replaced: one at the root would disable an application's ``basicConfig()``.
        """
        if self._last_resort is None:
            self._last_resort = logging.lastResort
            logging.lastResort = _Unhandled(self)

    def end(self) -> None:
        """Undo ``begin`` and ``take_unhandled``, and close the files."""
        if self._last_resort is not None:
            logging.lastResort, self._last_resort = self._last_resort, None
        globalLogPublisher.removeObserver(self)
        for file in self.files:
            file.close()

    def reopen(self) -> None:
        """Open all files again (signal USR1)."""
        for file in self.files:
            file.reopen()

    def open_log(self, name: str, freq: str | int) -> None:
        """Have the events of a named logger go to a file of their own; where logs are no files, to the console.

        Args:
            name: Name of the logger, which is that of the file without ".log".
            freq: When a new file is begun: "daily", "weekly", "monthly", or a size.

        Raises:
            ValueError: ``freq`` is none of these.
            OSError: The file can not be opened.
        """
        from skitai.datedlogs import open_log_file, parse_freq  # not at the top: it is made of what is here

        freq = parse_freq(freq)
        options = self._options
        before, sinks = self._named.get(name, (None, []))
        if options is None or options.path is None or before == freq:
            return
        file = open_log_file(os.path.join(options.path, f"{name}.log"), freq, options.rotate_keep, self._console)
        self.files.append(file)
        self._named[name] = (freq, [file, *([self._console] if options.verbose else [])])
        for sink in sinks:
            if isinstance(sink, LogFile):
                self.files.remove(sink)
                sink.close()

    def write_app(self, level: str, text: str) -> None:
        """Write a line to app.log that is no event. Thread: any."""
        line = _stamp(time.time(), level, text)
        for sink in self._app:
            sink.write(line)

    def announce(self, text: str) -> None:
        """Write a line of the server to its log, and where that is a file, to the console too."""
        line = _stamp(time.time(), "info", text)
        for sink in [*self._server, *([] if self.on_console else [self._console])]:
            sink.write(line)

    def _sinks(self, event: LogEvent) -> list[Sink]:
        """Tell where an event belongs; of Twisted's own, the chatter about starting and stopping things is dropped."""
        namespace = event.get("log_namespace") or ""
        if namespace == _REQUESTS:
            return []  # it comes from here
        if namespace.startswith(_NAMED_PREFIX):
            name = namespace[len(_NAMED_PREFIX) :]
            return self._request if name == "request" else self._named.get(name, (None, self._app))[1]
        if namespace in _OF_APPLICATIONS or namespace.startswith(APP_NAMESPACE + "."):
            return self._app
        if namespace.startswith(_OWN_PREFIX) or event.get("log_level", LogLevel.info) >= LogLevel.warn:
            return self._server
        return []


class _Unhandled(logging.Handler):
    """Takes the place of ``logging.lastResort``."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to app.log."""
        try:
            self._logs.write_app(record.levelname.lower(), self.format(record))
        except Exception:  # the record's own fault: arguments that do not fit its text
            self.handleError(record)


def open_logs(options: LogOptions, console: Sink | None = None) -> Logs:
    """Open the logs as the settings say.

    Args:
        options: ``path``, ``rotate_size``, ``rotate_keep`` and ``verbose``.
        console: Takes the place of the console, which is standard error.

    Raises:
        ConfigError: The directory or a file in it can not be made or written.
    """
    console = Console() if console is None else console
    if options.path is None:
        return Logs([console], [console], [console], console, options)
    files: list[LogFile] = []
    try:
        os.makedirs(options.path, exist_ok=True)
        for name in ("server.log", "app.log", "request.log"):
            path = os.path.join(options.path, name)
            files.append(LogFile(path, options.rotate_size, options.rotate_keep, console))
    except OSError as error:
        for file in files:
            file.close()
        raise ConfigError(f"logpath: {error.filename or options.path} can not be written: {error.strerror}") from error
    more: list[Sink] = [console] if options.verbose else []
    server, app, request = files
    return Logs([server, *more], [app, *more], [request, *more], console, options)


def format_event(event: LogEvent) -> bytes:
    """Return the line, and the traceback under it, of an event."""
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}\n{_traceback(failure)}" if text else _traceback(failure)
    level = event.get("log_level", LogLevel.info).name
    if event.get("log_namespace") == "stderr":
        level = "info"  # what an application prints is no error because of where it is printed
    return _stamp(event.get("log_time", 0.0) or time.time(), _LEVELS.get(level, level), text)


def _traceback(failure: Any) -> str:
    try:
        text: str = failure.getTraceback()
    except Exception as error:  # an exception whose own __str__ raises must not end the logging
        text = f"(the traceback can not be shown: {error!r})"
    return text.rstrip("\n")


_second = (0, "")


def _stamp(moment: float, level: str, text: str) -> bytes:
    global _second
    second = int(moment)
    known, stamp = _second
    if known != second:
        stamp = time.strftime("%Y.%m.%d %H:%M:%S", time.localtime(second))
        _second = (second, stamp)  # one assignment: threads read either pair whole
    return f"{stamp} [{level}] {text}\n".encode("utf-8", "backslashreplace")


def _write_all(descriptor: int, data: bytes) -> int:
    """Write ``data`` in one call where the kernel takes it whole; return its size.

    Raises:
        OSError: Not all of it could be written.
    """
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])
    return written
