"""One attempt to get a connection to a server: its name, its addresses in turn, TLS.

An attempt tells its owner once: here is a connection that is ready for a request, or none can be had. How long one
address may take, handshake included, is limited; how long it may take in all is the business of those who wait.

Layer 3. It must not know requests, nor who waits for the connection. Thread: reactor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.interfaces import IConnector, IDelayedCall, IHostnameResolver
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from skitai.errors import ConfigError, ConnectFailed, NameNotFound, RequestError
from skitai.was import interfaces
from skitai.was.connection import Connection
from skitai.was.direct_client import connect
from skitai.was.limits import ClientSettings, Target, is_address
from skitai.was.names import Names
from skitai.was.outbox import Outbox

if TYPE_CHECKING:
    from skitai.was.tls import Handshake  # OpenSSL is imported where it is needed

ALPN: Final = (b"http/1.1",)
"""What is offered to servers that speak TLS (RFC 7301)."""


NEXT_ADDRESS: Final = 1.0
"""Seconds that an address has while there are others to try: of a name with several, one may answer nobody."""


class ClientReactor(Protocol):
    """What is needed of the reactor."""

    nameResolver: IHostnameResolver

    def seconds(self) -> float:
        """Return the time."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> IDelayedCall:
        """Call later."""

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory, timeout: float | None = 30, bindAddress: Any = None
    ) -> IConnector:
        """Connect."""


class Owner(interfaces.Owner, Protocol):
    """Who wants the connection; it becomes the owner of the connection, too."""

    def connected(self, attempt: Attempt, connection: Connection) -> None:
        """The connection is ready for a request."""

    def not_connected(self, attempt: Attempt, error: RequestError) -> None:
        """There is none to be had."""


class Dialer:
    """What all connections are made with.

    Args:
        reactor: Connects.
        settings: What connections may cost.

    Attributes:
        names: Finds addresses.
        outbox: Says when requests leave.
    """

    __slots__ = ("names", "outbox", "reactor", "settings")

    def __init__(self, reactor: ClientReactor, settings: ClientSettings) -> None:
        self.reactor = reactor
        self.settings = settings
        self.names = Names(reactor)
        self.outbox = Outbox(reactor)


class Attempt:
    """One attempt to connect.

    Args:
        dialer: What the connection is made with.
        owner: Is told what became of it.
        target: Where to.
    """

    def __init__(self, dialer: Dialer, owner: Owner, target: Target) -> None:
        self._dialer = dialer
        self._target = target
        self._owner: Owner | None = owner
        self._addresses: list[str] = []
        self._address = ""
        self._timeout = 0.0
        self._timer: IDelayedCall | None = None
        self._factory: _Factory | None = None
        self._connector: IConnector | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Begin; the owner is told later, or now."""
        host = self._target.host
        if is_address(host):
            self.resolved([host])
        else:
            self._dialer.names.ask(host, self)

    def cancel(self) -> None:
        """Give up; the owner is not told."""
        self._owner = None
        self._dialer.names.forget(self._target.host, self)
        self._drop()

    def resolved(self, addresses: Sequence[str]) -> None:
        """Go on with the addresses of the host, of which there may be none."""
        if self._owner is None:  # cancelled by what another attempt for the same name has led to
            return
        if not addresses:
            self._fail(NameNotFound("there is no such name"))
            return
        self._addresses = list(reversed(addresses))
        self._next()

    def _next(self) -> None:
        """Try the next address."""
        dialer, target = self._dialer, self._target
        self._address = address = self._addresses.pop()
        timeout = dialer.settings.connect_timeout
        self._timeout = timeout = min(timeout, NEXT_ADDRESS) if self._addresses else timeout
        self._timer = dialer.reactor.callLater(timeout, self._timed_out)
        try:
            handshake = _handshake(target)
        except ConfigError as error:
            self._fail(ConnectFailed(str(error)))
            return
        self._factory = factory = _Factory(self, handshake, dialer)
        outer: Any = factory
        if handshake is not None:
            creator: Any = handshake  # mypy does not see the interface behind the protocol
            clock: Any = dialer.reactor
            outer = TLSMemoryBIOFactory(creator, True, factory, clock=clock)
            outer.noisy = False
        # The timer is ours, as it counts for the handshake, too.
        if handshake is None:
            connector = connect(dialer.reactor, address, target.port, outer)
        else:
            connector = dialer.reactor.connectTCP(address, target.port, outer, timeout=None)
        if self._factory is factory:  # else it has failed at once
            self._connector = connector

    def made(self, connection: Connection) -> None:
        """The transport is there; with TLS the handshake begins."""
        self._connection = connection

    def ready(self, connection: Connection) -> None:
        """The connection can take a request."""
        owner, self._owner = self._owner, None
        self._stop_timer()
        self._factory = self._connector = self._connection = None
        if owner is None:  # it was cancelled meanwhile
            connection.abort()
            return
        self._dialer.names.worked(self._target.host, self._address)
        connection.owner = owner
        owner.connected(self, connection)

    def failed(self, reason: Failure, words: str, final: bool) -> None:
        """One address did not work.

        Args:
            reason: Why.
            words: The same in words, "" where the reason says enough.
            final: Whether the others need not be tried.
        """
        self._factory = self._connector = self._connection = None
        self._stop_timer()
        if self._owner is None:
            return
        if self._addresses and not final:
            self._next()
            return
        self._fail(ConnectFailed(words or _in_words(reason.value)))

    def _timed_out(self) -> None:
        self._timer = None
        self._drop()
        if self._addresses:
            self._next()
        else:
            self._fail(ConnectFailed(f"no connection within {self._timeout:g} s"))

    def _fail(self, error: RequestError) -> None:
        owner, self._owner = self._owner, None
        self._stop_timer()
        self._dialer.names.failed(self._target.host)
        if owner is not None:
            owner.not_connected(self, error)

    def _drop(self) -> None:
        """Close what there is, without being told of it."""
        self._stop_timer()
        connection, self._connection = self._connection, None
        connector, self._connector = self._connector, None
        if self._factory is not None:
            self._factory.attempt = None
            self._factory = None
        if connection is not None:
            connection.abort()
        elif connector is not None:
            connector.disconnect()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Factory(ClientFactory):
    """Makes the connection of one attempt at one address.

    Attributes:
        attempt: Is told; None once it does not want to know any more.
    """

    noisy = False

    def __init__(self, attempt: Attempt, handshake: Handshake | None, dialer: Dialer) -> None:
        self.attempt: Attempt | None = attempt
        self._handshake = handshake
        self._dialer = dialer

    def buildProtocol(self, addr: object) -> Connection:
        """Make the connection (called by Twisted when TCP has connected)."""
        dialer = self._dialer
        return Connection(self, self._handshake, dialer.settings.answer_limits, dialer.reactor, dialer.outbox)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """TCP could not connect (called by Twisted)."""
        self.failed(reason)

    def made(self, connection: Connection) -> None:
        """The transport is there; with TLS the handshake begins."""
        if self.attempt is not None:
            self.attempt.made(connection)

    def ready(self, connection: Connection) -> None:
        """The connection can take a request."""
        if self.attempt is not None:
            self.attempt.ready(connection)
        else:
            connection.abort()

    def failed(self, reason: Failure, words: str = "") -> None:
        """There will be no connection."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            # Who shows a wrong certificate is not who is asked for; where it is only closed, another one may be well.
            attempt.failed(reason, words, self._handshake is not None and self._handshake.fault != "")


def _handshake(target: Target) -> Handshake | None:
    """Return the handshake that connections to ``target`` begin with.

    Raises:
        ConfigError: Its ``cafile`` can not be used.
    """
    if target.scheme != "https":
        return None
    from skitai.was.tls import Handshake, make_context

    trust = target.trust
    return Handshake(make_context(trust.cafile, trust.verify, ALPN), target.host, trust.verify)


def _in_words(error: BaseException | None) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    if isinstance(error, (TimeoutError, TCPTimedOutError)):
        return "it does not answer"
    if isinstance(error, NoRouteError):
        return "there is no route to it"
    if isinstance(error, (ConnectionDone, ConnectionLost)):
        return "the connection was closed at once"
    text = str(error.osError) if isinstance(error, ConnectError) and error.osError else str(error)
    return f"there is no connection: {text}"
