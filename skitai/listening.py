"""Listening: from address and port, or Twisted endpoints, to ports that accept connections.

Whatever keeps a port from being opened is found here, before anything else is started, and said in one sentence.

Layer 4. It must not know what is served. Thread: reactor.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.web.transport import Port

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


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
    return ports


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


class _Opener:
    """A reactor whose TCP ports are those of ``skitai.web.transport``, which answer without a detour.

    Args:
        reactor: The real one, which does everything else.
        backlog: Connections that the kernel holds until they are accepted.
    """

    def __init__(self, reactor: Any, backlog: int) -> None:
        self._reactor = reactor
        self._backlog = backlog

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Open a TCP port; an endpoint's own small default of ``backlog`` does not count."""
        listening = Port(port, factory, max(backlog, self._backlog), interface, self._reactor)
        listening.startListening()
        return listening

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
