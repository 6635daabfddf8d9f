"""Servers to ask: in memory on a clock, or real ones; well-behaved or not. And certificates for them."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionRefusedError, UserError
from twisted.internet.interfaces import IConnector, IHostnameResolver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.testing.clock import Reactor
from skitai.testing.pump import MAX_TURNS, BytePump, EndlessTalk, FakeClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(body: bytes = b"", *fields: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return an answer."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\r\n".join(lines).encode() + body


class Message(NamedTuple):
    """A request as a backend got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[["Backend", Message], "bytes | None"]


class Backend(FakeClient):
    """The server's end of one connection; reads requests and lets ``handler`` answer them.

    Attributes:
        messages: The requests so far.
    """

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.messages: list[Message] = []
        self.transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while True:
            message = self._message()
            if message is None:
                return
            self.messages.append(message)
            reply = self.handler(self, message)
            if reply:
                self.transport.write(reply)

    def _message(self) -> Message | None:
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, separator, rest = rest.partition(b"\r\n")
                length = int(size or b"0", 16)
                if not separator or len(rest) < length + 2:
                    return None
                body += rest[:length]
                rest = rest[length + 2 :]
                if not length:
                    break
        else:
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return None
            body, rest = rest[:length], rest[length:]
        self.received = rest
        method, target, _ = line.split(" ")
        return Message(method, target, headers, body)


class Link(BytePump):
    """A connection in memory; the network moves its bytes."""

    def flush(self) -> None:
        """Do nothing: see ``Network.flush``."""

    def turn(self) -> bool:
        """Move what there is to move; return whether anything happened."""
        out = self._move(self.server_transport, self.client_transport)
        return self._move(self.client_transport, self.server_transport) or out


@implementer(IConnector)
class Connector:
    """One attempt of ``connectTCP``."""

    def __init__(self, network: Network, host: str, port: int, factory: Any) -> None:
        self.network = network
        self.place = (host, port)
        self.factory = factory
        self.state = "connecting"
        self.link: Link | None = None

    def disconnect(self) -> None:
        if self.state == "connecting":
            self.fail(UserError())

    def fail(self, error: Exception) -> None:
        self.state = "disconnected"
        self.network.attempts.remove(self)
        self.factory.clientConnectionFailed(self, Failure(error))

    def go(self) -> None:
        if self.state != "connecting":
            return
        server = self.network.places.get(self.place)
        if server is HANGS:
            return
        if server is None:
            self.fail(ConnectionRefusedError())
            return
        self.network.attempts.remove(self)
        self.state = "connected"
        backend = server()
        self.network.backends.append(backend)
        protocol = self.factory.buildProtocol(None)
        self.link = Link(protocol, backend, self.network, self.network.piece_size)
        self.network.links.append(self.link)


def HANGS() -> Backend:
    """Stands for a place that does not answer when it is connected to."""
    raise AssertionError


@implementer(IHostnameResolver)
class Network(Reactor):
    """A reactor with servers in memory; time and bytes move when the test says so.

    Attributes:
        places: By address and port what makes a ``Backend``; nothing: refused.
        names: By name the addresses; None for names whose lookup does not end.
        lookups: The names that were looked up.
        hanging: Who waits for lookups that do not end.
        connect_delay: Seconds that it takes to connect.
        attempts: Connections that are being made.
        backends: All backends ever connected to.
        links: All connections ever made.
    """

    def __init__(self, piece_size: int = 0) -> None:
        super().__init__()
        self.nameResolver: Any = self
        self.piece_size = piece_size
        self.places: dict[tuple[str, int], Callable[[], Backend]] = {}
        self.names: dict[str, list[str] | None] = {}
        self.lookups: list[str] = []
        self.hanging: list[Any] = []
        self.connect_delay = 0.0
        self.attempts: list[Connector] = []
        self.tried: list[str] = []
        self.backends: list[Backend] = []
        self.links: list[Link] = []

    def serve(self, handler: Handler, name: str = "a.example", port: int = 80, address: str = "192.0.2.1") -> None:
        """Have a server at ``address`` called ``name``."""
        self.names[name] = [address]
        self.places[(address, port)] = lambda: Backend(handler)

    def resolveHostName(
        self, receiver: Any, hostName: str, portNumber: int = 0, addressTypes: Any = None, transportSemantics: str = ""
    ) -> Any:
        self.lookups.append(hostName)
        addresses = self.names.get(hostName, [])
        if addresses is not None:
            self.callLater(0, self._resolved, receiver, addresses)
        else:
            self.hanging.append(receiver)

    def _resolved(self, receiver: Any, addresses: list[str]) -> None:
        for address in addresses:
            receiver.addressResolved((IPv6Address if ":" in address else IPv4Address)("TCP", address, 0))
        receiver.resolutionComplete()

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = 30, bindAddress: Any = None
    ) -> Connector:
        connector = Connector(self, host, port, factory)
        self.attempts.append(connector)
        self.tried.append(host)
        self.callLater(self.connect_delay, connector.go)
        return connector

    def flush(self) -> None:
        """Move bytes until all are silent."""
        for _ in range(MAX_TURNS):
            Reactor.advance(self, 0)
            busy = [link.turn() for link in list(self.links)]
            if not any(busy) and not any(call.getTime() <= self.seconds() for call in self.calls):
                return
        raise EndlessTalk("they still talk")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.flush()
        self.advance(seconds)
        self.flush()

    @property
    def open(self) -> int:
        """How many connections the client's side has open."""
        return sum(not link.server_transport.disconnected for link in self.links)


class RealServer:
    """A server on a real port of the real reactor.

    Args:
        reactor: The reactor.
        protocol: Makes the server's end of each connection.
        wrap: Puts TLS around its factory.
    """

    def __init__(
        self, reactor: Any, protocol: Callable[[], Protocol], wrap: Callable[[Any], Any] | None = None
    ) -> None:
        self.open: set[Protocol] = set()
        factory: Any = Factory()
        factory.noisy = False

        def build(address: object) -> Protocol:
            made = protocol()
            made.factory = factory
            self.open.add(made)
            lost = made.connectionLost

            def gone(reason: Failure = connectionDone) -> None:
                self.open.discard(made)
                lost(reason)

            made.connectionLost = gone  # type: ignore[method-assign]
            return made

        factory.buildProtocol = build
        self.port = reactor.listenTCP(0, factory if wrap is None else wrap(factory), interface="127.0.0.1")
        self.number: int = self.port.getHost().port

    def stop(self) -> Any:
        """Close the port and all connections."""
        for protocol in list(self.open):
            if protocol.transport is not None:
                protocol.transport.abortConnection()  # type: ignore[attr-defined]
        return self.port.stopListening()


class Authority:
    """An authority that signs certificates, in a directory of its own."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        certificate = self._build(self._name, self._key, 3650, None)
        self.cafile = self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *hosts: str, days: int = 3650) -> str:
        """Return the path of a PEM file with a certificate for ``hosts`` and its key; negative days: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        pem = self._build(name, key, days, hosts).public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{hosts[0]}{days}.pem", pem)

    def _build(self, name: x509.Name, key: Any, days: int, hosts: tuple[str, ...] | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = now - datetime.timedelta(days=3650)
        builder = x509.CertificateBuilder(
            self._name, name, key.public_key(), x509.random_serial_number(), begin, now + datetime.timedelta(days=days)
        )
        builder = builder.add_extension(x509.BasicConstraints(hosts is None, None), critical=True)
        if hosts is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> str:
        path = os.path.abspath(os.path.join(self._directory, name))
        with open(path, "wb") as file:
            file.write(content)
        return path


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
