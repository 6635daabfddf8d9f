"""Listening: from address and port, or Twisted endpoints, to ports that accept connections.

Whatever keeps a port from being opened is found here, before anything else is started, and said in one sentence.

A server that restarts leaves its sockets open and hands them over to the program that takes its place in the same
process: the kernel goes on to take connections, which wait there until they are accepted. A variable of the environment
says which descriptor is which; they are found again by what the settings call them.

Layer 4. It must not know what is served. Thread: reactor.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port as TCPPort
from twisted.python.failure import Failure

from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.web.transport import Port

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_HANDED_OVER: Final = "SKITAI_LISTENING"
"""Variable of the environment with the process and, for each socket, its descriptor and its name, as JSON."""


def listen(settings: Settings, factory: IProtocolFactory, reactor: Any) -> list[IListeningPort]:
    """Open what the settings name: the endpoints of ``listen``, else ``address`` and ``port``.

    Args:
        settings: Of which ``address``, ``port``, ``backlog`` and ``listen`` are read.
        factory: Makes the protocols of accepted connections.
        reactor: Accepts them once it runs.

    Raises:
        ConfigError: One of them can not be opened; then none is.
    """
    opener = _Opener(reactor, settings.backlog)
    ports: list[IListeningPort] = []
    try:
        if not settings.listen:
            ports.append(opener.listenTCP(settings.port, factory, settings.backlog, settings.address))
        for text in settings.listen:
            ports.append(_listen_at_endpoint(text, factory, opener))
    except CannotListenError as error:
        close_all(ports)
        raise ConfigError(_reason(error)) from error
    except ConfigError:
        close_all(ports)
        raise
    finally:
        opener.close_rest()
    return ports


def can_hand_over(port: IListeningPort) -> bool:
    """Tell whether ``hand_over`` can be called for a port: it is an ordinary TCP or UNIX port."""
    return _name_of(port) is not None


def hand_over(ports: Iterable[IListeningPort]) -> None:
    """Leave ports to the program that takes the place of this one; nothing may be accepted from them any more.

    Thread: any.
    """
    found = []
    for port in ports:
        descriptor: int = port.fileno()  # type: ignore[attr-defined]
        os.set_inheritable(descriptor, True)
        found.append([descriptor, _name_of(port)])
    if found:
        os.environ[_HANDED_OVER] = json.dumps([os.getpid(), found])


def close_all(ports: list[IListeningPort]) -> None:
    """Stop listening."""
    for port in ports:
        port.stopListening()


def url_of(address: IAddress, scheme: str) -> str:
    """Return where a port serves, for people: as a URL, or as "unix:path"."""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", b"")
        return "unix:" + os.fsdecode(name or b"")
    port = getattr(address, "port", 0)
    literal = f"[{host}]" if ":" in host else host
    return f"{scheme}://{literal}/" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{literal}:{port}/"


def _name_of(port: IListeningPort) -> list[Any] | None:
    """Return what the settings call a port, None where it can not be handed over."""
    if isinstance(port, Port):
        return ["tcp", port.interface, port.port]
    path = getattr(port, "_bindPath", None)
    return ["unix", os.fsdecode(path)] if path is not None and isinstance(port, TCPPort) else None


def _handed_over() -> list[tuple[list[Any], socket.socket]]:
    """Return the names and sockets that this program has been left; a second time it is none."""
    process, found = json.loads(os.environ.pop(_HANDED_OVER, "[0, []]"))
    if process != os.getpid():  # another program has started this one, and kept its sockets
        return []
    sockets = []
    for descriptor, name in found:
        try:
            os.set_inheritable(descriptor, False)
            listening = socket.socket(fileno=descriptor)
        except OSError:  # the program has closed all that it does not know
            continue
        listening.setblocking(False)
        sockets.append((name, listening))
    return sockets


class _Opener:
    """A reactor whose TCP ports are those of ``skitai.web.transport``, which answer without a detour.

    Ports that have been handed over are not opened again.

    Args:
        reactor: The real one, which does everything else.
        backlog: Connections that the kernel holds until they are accepted.
    """

    def __init__(self, reactor: Any, backlog: int) -> None:
        self._reactor = reactor
        self._backlog = backlog
        self._handed_over = _handed_over()

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Open a TCP port; an endpoint's own small default of ``backlog`` does not count."""
        listening = Port(port, factory, max(backlog, self._backlog), interface, self._reactor)
        listening._preexistingSocket = self._take(["tcp", interface, port])
        listening.startListening()
        return listening

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        """Open a UNIX port."""
        handed_over = self._take(["unix", os.fspath(address)])
        if handed_over is None:
            opened: IListeningPort = self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
            return opened
        from twisted.internet.unix import Port as UNIXPort
        from twisted.python.lockfile import FilesystemLock

        listening: Any = UNIXPort(os.fsencode(address), factory, backlog, mode, self._reactor)
        listening._preexistingSocket = handed_over
        listening.startListening()
        if wantPID:  # the lock is this process's already, and is to end with the port
            listening.lockFile = FilesystemLock(listening._bindPath + b".lock")  # type: ignore[no-untyped-call]
        unix: IListeningPort = listening
        return unix

    def close_rest(self) -> None:
        """Close what was handed over and is not listened at any more."""
        for name, rest in self._handed_over:
            rest.close()
            if name[0] == "unix":
                for path in (name[1], name[1] + ".lock"):
                    if os.path.lexists(path):
                        os.unlink(path)
        self._handed_over.clear()

    def _take(self, name: list[Any]) -> socket.socket | None:
        for place, (found, listening) in enumerate(self._handed_over):
            if found == name:
                del self._handed_over[place]
                return listening
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def _listen_at_endpoint(text: str, factory: IProtocolFactory, opener: _Opener) -> IListeningPort:
    # Not at the top: it takes as long to import as half of the server, and few need it.
    from twisted.internet.endpoints import serverFromString

    results: list[Any] = []
    try:
        endpoint = serverFromString(opener, text)  # type: ignore[no-untyped-call]
        endpoint.listen(factory).addBoth(results.append)
    except Exception as fault:  # each kind of endpoint has its own ways to say that it does not understand
        reason = str(fault) or type(fault).__name__
        raise ConfigError(f"listen: {text!r} is not an endpoint that can be used: {reason}") from fault
    opened = results[0] if results else None
    error = opened.value if isinstance(opened, Failure) else None
    if isinstance(error, CannotListenError):
        raise error
    if error is not None:
        raise ConfigError(f"listen: {text!r} can not be opened: {_in_words(error)}") from error
    if not IListeningPort.providedBy(opened):
        raise ConfigError(f"listen: {text!r} can not be opened at once, as is needed")
    port: IListeningPort = opened
    return port


def _reason(error: CannotListenError) -> str:
    """Say why a port can not be opened."""
    if isinstance(error.port, int):
        where = f"{error.interface or '0.0.0.0'}:{error.port}"
    else:
        where = os.fsdecode(error.port)  # the path of a UNIX socket
    number = getattr(error.socketError, "errno", None)
    # The lock beside a UNIX socket is held by the process that listens there; then no error comes from the system.
    if number == errno.EADDRINUSE or isinstance(error.socketError, str):
        return f"port in use: another program listens at {where}"
    if number == errno.EACCES:
        return f"no permission to listen at {where}"
    if number == errno.EADDRNOTAVAIL:
        return f"address {error.interface!r} is none of this machine"
    return f"can not listen at {where}: {error.socketError}"


def _in_words(error: BaseException) -> str:
    """Say what went wrong; the numbers and file names that Twisted works with behind the scenes say nothing."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
