"""TLS and plain TCP over real sockets: whose certificates are accepted, and what becomes of the other requests."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from skitai.errors import BadAnswer, ConfigError, ConnectFailed, NameNotFound, RequestError, RequestTimeout
from skitai.tls import make_context as make_server_context
from skitai.tls import wrap_factory
from skitai.was.client import HTTPClient
from skitai.was.limits import DEFAULT_TRUST, ClientSettings, Trust
from skitai.was.outgoing import Outgoing, build
from skitai.was.payloads import BytesPayload
from skitai.was.tls import make_context
from skitai.was.transfer import Answer
from skitai.was.url import read_url
from tests.was.backends import Authority, Backend, Handler, Message, RealServer, answer

reactor: Any = _reactor


class Real(TestCase):
    """A client and servers on the real reactor. What is left open makes trial fail."""

    settings = ClientSettings(connect_timeout=1.0)

    def setUp(self) -> None:
        self.client = HTTPClient(reactor, self.settings, reactor)
        self.addCleanup(self.client.close)

    def serve(self, protocol: Any, pem: str | None = None) -> int:
        """Start a server; return its port."""
        wrap = None
        if pem is not None:
            context = make_server_context(pem)
            wrap = lambda factory: wrap_factory(context, factory, reactor)  # noqa: E731
        server = RealServer(reactor, protocol, wrap)
        self.addCleanup(server.stop)
        return server.number

    def backend(self, handler: Handler, pem: str | None = None) -> int:
        return self.serve(lambda: Backend(handler), pem)

    def ask(self, url: str, trust: Trust = DEFAULT_TRUST, timeout: float = 5.0, **options: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        outgoing = options.pop("outgoing", None) or build("get", read_url(url)[0])
        self.client.request(outgoing, (timeout, 1 << 26), result.callback, None, trust)
        return result

    def assert_failed(self, outcome: Any, kind: type[RequestError], *words: str) -> None:
        self.assertIsInstance(outcome, kind, outcome)
        for word in words:
            self.assertIn(word, str(outcome))
        self.assertEqual(self.client.counts["requests"], 0)


def hello(backend: Backend, message: Message) -> bytes:
    return answer(f"{message.method} {message.headers['host']} {len(message.body)}".encode())


class Certificates(Real):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.mktemp())
        self.trust = Trust(self.authority.cafile)

    async def test_accepted_and_kept_alive(self) -> None:
        port = self.backend(hello, self.authority.issue("localhost", "127.0.0.1"))
        for _ in range(3):
            got: Answer = await self.ask(f"https://localhost:{port}/", self.trust)
            self.assertEqual(got.body, f"GET localhost:{port} 0".encode())
        self.assertEqual(self.client.counts["open"], 1)
        got = await self.ask(f"https://127.0.0.1:{port}/", self.trust)
        self.assertEqual(got.status, 200)

    async def test_long_content_both_ways(self) -> None:
        content = os.urandom(1 << 20)
        seen: list[bytes] = []

        def echo(backend: Backend, message: Message) -> bytes:
            seen.append(message.body)
            return answer(message.body)

        port = self.backend(echo, self.authority.issue("localhost"))
        url = f"https://localhost:{port}/"
        outgoing = Outgoing("PUT", read_url(url)[0], payload=BytesPayload(content))
        got = await self.ask(url, self.trust, outgoing=outgoing)
        self.assertEqual((got.body, seen), (content, [content]))

    async def test_of_an_unknown_authority(self) -> None:
        port = self.backend(hello, self.authority.issue("localhost"))
        self.assert_failed(await self.ask(f"https://localhost:{port}/"), ConnectFailed, "authority", "not trusted")

    async def test_for_another_host(self) -> None:
        port = self.backend(hello, self.authority.issue("other.example", "127.0.0.2"))
        for host in ("localhost", "127.0.0.1"):
            outcome = await self.ask(f"https://{host}:{port}/", self.trust)
            self.assert_failed(outcome, ConnectFailed, f"not for {host}")
            self.assertFalse(outcome.sent)

    async def test_nothing_of_the_request_leaves_before_the_certificate_is_checked(self) -> None:
        seen: list[bytes] = []

        class Listener(Protocol):
            def dataReceived(self, data: bytes) -> None:
                seen.append(data)

        port = self.serve(Listener, self.authority.issue("other.example"))
        await self.ask(f"https://localhost:{port}/", self.trust)
        self.assertEqual(seen, [])

    async def test_that_has_expired(self) -> None:
        port = self.backend(hello, self.authority.issue("localhost", days=-1))
        self.assert_failed(await self.ask(f"https://localhost:{port}/", self.trust), ConnectFailed, "expired")

    async def test_any_where_none_is_verified(self) -> None:
        port = self.backend(hello, self.authority.issue("other.example", days=-1))
        got = await self.ask(f"https://localhost:{port}/", Trust(verify=False))
        self.assertEqual(got.status, 200)
        # Who verifies does not get a connection of who does not.
        self.assert_failed(await self.ask(f"https://localhost:{port}/", self.trust), ConnectFailed)

    async def test_of_the_store_that_the_environment_names(self) -> None:
        self.patch(os, "environ", {**os.environ, "SSL_CERT_FILE": self.authority.cafile})
        os.putenv("SSL_CERT_FILE", self.authority.cafile)
        self.addCleanup(os.unsetenv, "SSL_CERT_FILE")
        port = self.backend(hello, self.authority.issue("localhost"))
        self.assertEqual((await self.ask(f"https://localhost:{port}/")).status, 200)

    async def test_trust_in_an_own_authority_ends_with_its_origin(self) -> None:
        pem = self.authority.issue("localhost")
        other = self.backend(hello, pem)
        location = f"Location: https://localhost:{other}/"
        port = self.backend(lambda backend, message: answer(b"", location, status="302 Found"), pem)
        outcome = await self.ask(f"https://localhost:{port}/", self.trust)
        self.assert_failed(outcome, ConnectFailed, str(other), "not trusted")

    async def test_a_file_of_authorities_that_is_none(self) -> None:
        outcome = await self.ask("https://127.0.0.1:9/", Trust("/nonexistent.pem"))
        self.assert_failed(outcome, ConnectFailed, "/nonexistent.pem")

    async def test_cut_without_the_closing_alert(self) -> None:
        """Anybody on the way can end a TCP connection; only the server can end TLS."""

        def handle(backend: Backend, message: Message) -> None:
            backend.transport.write(b"HTTP/1.1 200 OK\r\n\r\nuntil here")
            reactor.callLater(0.05, backend.transport.transport.loseConnection)

        port = self.backend(handle, self.authority.issue("localhost"))
        self.assert_failed(await self.ask(f"https://localhost:{port}/", self.trust), BadAnswer)

    async def test_ended_with_the_closing_alert(self) -> None:
        def handle(backend: Backend, message: Message) -> None:
            backend.transport.write(b"HTTP/1.1 200 OK\r\n\r\nuntil here")
            backend.transport.loseConnection()

        port = self.backend(handle, self.authority.issue("localhost"))
        self.assertEqual((await self.ask(f"https://localhost:{port}/", self.trust)).body, b"until here")

    async def test_a_post_after_the_server_has_closed(self) -> None:
        """Neither the reactor nor TLS know yet, but the kernel does."""
        backends: list[Backend] = []

        def make() -> Backend:
            backends.append(Backend(hello))
            return backends[-1]

        port = self.serve(make, self.authority.issue("localhost"))
        url = f"https://localhost:{port}/"
        post = build("post", read_url(url)[0], "x")
        for _ in range(2):
            self.assertEqual((await self.ask(url, self.trust, outgoing=post)).status, 200)
        self.assertEqual(len(backends), 1)
        backends[0].transport.transport.socket.shutdown(2)
        got = await self.ask(url, self.trust, outgoing=post)
        self.assertEqual((got.status, len(backends)), (200, 2))


class Handshakes(Real):
    async def test_that_hangs(self) -> None:
        port = self.serve(Protocol)
        outcome = await self.ask(f"https://127.0.0.1:{port}/", timeout=0.2)
        self.assert_failed(outcome, RequestTimeout)
        outcome = await self.ask(f"https://127.0.0.1:{port}/")
        self.assert_failed(outcome, ConnectFailed, "within 1 s")

    async def test_with_what_does_not_speak_tls(self) -> None:
        class Plain(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[union-attr]

        port = self.serve(Plain)
        self.assert_failed(await self.ask(f"https://127.0.0.1:{port}/"), ConnectFailed, "TLS handshake failed")

    async def test_that_the_server_ends(self) -> None:
        class Closing(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()  # type: ignore[union-attr]

        port = self.serve(Closing)
        self.assert_failed(await self.ask(f"https://127.0.0.1:{port}/"), ConnectFailed, "during the TLS handshake")


class AddressTests(Real):
    """A name with two addresses, and a good server at the second one only."""

    def setUp(self) -> None:
        super().setUp()
        authority = Authority(self.mktemp())
        self.trust = Trust(authority.cafile)
        self.pem = authority.issue("two.example")
        self.port = self.backend(hello, self.pem)
        self.wrong = authority.issue("other.example")
        self.addCleanup(reactor.installNameResolver, reactor.installNameResolver(Two()))

    def serve_first(self, factory: Any) -> None:
        self.addCleanup(reactor.listenTCP(self.port, factory, interface="127.0.0.2").stopListening)

    async def test_closed_in_the_handshake(self) -> None:
        class Closing(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()  # type: ignore[union-attr]

        factory: Any = Factory.forProtocol(Closing)
        factory.noisy = False
        self.serve_first(factory)
        got = await self.ask(f"https://two.example:{self.port}/", self.trust)
        self.assertEqual(got.status, 200, got)

    async def test_refused(self) -> None:
        got = await self.ask(f"https://two.example:{self.port}/", self.trust)
        self.assertEqual(got.status, 200, got)

    async def test_a_certificate_that_is_not_accepted(self) -> None:
        """Then nobody else is tried: it is not for the client to find one that is."""
        seen: list[Any] = []
        context = make_server_context(self.wrong)
        factory: Any = Factory.forProtocol(Protocol)
        factory.noisy = False
        self.serve_first(wrap_factory(context, factory, reactor))
        self.patch(reactor, "connectTCP", _noting(reactor.connectTCP, seen))
        outcome = await self.ask(f"https://two.example:{self.port}/", self.trust)
        self.assert_failed(outcome, ConnectFailed, "not for two.example")
        self.assertEqual(seen, ["127.0.0.2"])


class Two:
    """A resolver by which every name has the same two addresses."""

    def resolveHostName(self, receiver: Any, host: str, *args: Any) -> None:
        for address in ("127.0.0.2", "127.0.0.1"):
            receiver.addressResolved(IPv4Address("TCP", address, 0))
        receiver.resolutionComplete()


def _noting(function: Any, seen: list[Any]) -> Any:
    def called(host: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(host)
        return function(host, *args, **kwargs)

    return called


class PlainTests(Real):
    async def test_names_are_found_and_all_addresses_tried(self) -> None:
        """localhost may be ::1 first, where nobody listens."""
        port = self.backend(hello)
        self.assertEqual((await self.ask(f"http://localhost:{port}/")).status, 200)

    async def test_name_that_is_not_there(self) -> None:
        self.assert_failed(await self.ask("http://no-such-name.invalid/"), NameNotFound, "no-such-name.invalid")

    async def test_refused(self) -> None:
        port = self.backend(hello)
        closed = reactor.listenTCP(0, self._factory(), interface="127.0.0.1")
        number = closed.getHost().port
        await closed.stopListening()
        self.assert_failed(await self.ask(f"http://127.0.0.1:{number}/"), ConnectFailed, "refused")
        self.assertNotEqual(port, number)

    def _factory(self) -> Any:
        factory = Factory()
        factory.noisy = False  # type: ignore[attr-defined]
        return factory

    async def test_a_post_after_the_server_has_closed(self) -> None:
        """The reactor does not know yet, but the kernel does."""

        def handle(backend: Backend, message: Message) -> bytes:
            return hello(backend, message)

        backends: list[Backend] = []

        def make() -> Backend:
            backends.append(Backend(handle))
            return backends[-1]

        port = self.serve(make)
        url = f"http://127.0.0.1:{port}/"
        await self.ask(url)
        # Close the server's side behind the back of both, and ask in the same turn of the reactor.
        backends[0].transport.socket.shutdown(2)
        got = await self.ask(url, outgoing=build("post", read_url(url)[0], "x"))
        self.assertEqual((got.status, len(backends)), (200, 2))

    async def test_sixty_four_at_once_and_again(self) -> None:
        port = self.backend(hello)
        for _ in range(2):
            for waiting in [self.ask(f"http://127.0.0.1:{port}/") for _ in range(64)]:
                self.assertEqual((await waiting).status, 200)
        counts = self.client.counts
        self.assertEqual((counts["requests"], counts["waiting"], counts["idle"]), (0, 0, counts["open"]))
        self.assertLessEqual(counts["open"], 64)


class ContextTests(SynchronousTestCase):
    def test_made_once(self) -> None:
        first = make_context(None, True, (b"http/1.1",))
        self.assertIs(make_context(None, True, (b"http/1.1",)), first)
        self.assertIsNot(make_context(None, False, (b"http/1.1",)), first)

    def test_bad_files(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("no PEM")
        for bad in (path, "/nonexistent.pem"):
            self.assertIn(bad, str(self.assertRaises(ConfigError, make_context, bad, True, (b"h2",))))
