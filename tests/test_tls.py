"""Certificates and keys: what is refused, and what a client sees of the rest."""

from __future__ import annotations

import datetime
import os
import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConfigError
from skitai.tls import make_context, wrap_factory


def make_pair() -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    """Return a certificate for localhost, in PEM, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1000)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key


def key_bytes(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """Return a key in PEM, encrypted where there is a passphrase."""
    encryption: Any = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


CERTIFICATE, KEY = make_pair()


class Files(SynchronousTestCase):
    def write(self, content: bytes) -> str:
        path = os.path.abspath(self.mktemp()) + ".pem"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path


class LoadTests(Files):
    def test_certificate_and_key_in_one_file(self) -> None:
        make_context(self.write(CERTIFICATE + key_bytes(KEY)))

    def test_key_in_a_file_of_its_own(self) -> None:
        make_context(self.write(CERTIFICATE), self.write(key_bytes(KEY)))

    def test_encrypted_key(self) -> None:
        make_context(self.write(CERTIFICATE), self.write(key_bytes(KEY, b"sesam \xc3\xb6ffne")), "sesam öffne")

    def test_faults_are_one_sentence_that_names_option_and_file(self) -> None:
        good, key = self.write(CERTIFICATE), self.write(key_bytes(KEY))
        encrypted = self.write(key_bytes(KEY, b"sesame"))
        other = self.write(key_bytes(make_pair()[1]))
        junk = self.write(b"no PEM")
        missing = os.path.abspath(self.mktemp())
        table = [
            ((junk, key, None), f"certfile: {junk} holds no valid PEM certificate"),
            ((missing, key, None), f"certfile: {missing} can not be read: No such file or directory"),
            ((good, missing, None), f"keyfile: {missing} can not be read: No such file or directory"),
            ((good, junk, None), f"keyfile: {junk} holds no valid PEM private key"),
            ((good, None, None), f"certfile: {good} holds no valid PEM private key"),
            ((good, other, None), f"keyfile: the private key in {other} does not belong to {good}"),
            ((good, encrypted, None), f"passphrase: the private key in {encrypted} is encrypted"),
            ((good, encrypted, "wrong"), f"passphrase: it does not open the private key in {encrypted}"),
        ]
        for arguments, message in table:
            error = self.assertRaises(ConfigError, make_context, *arguments)
            self.assertEqual(str(error)[: len(message)], message)
            self.assertNotIn("\n", str(error))

    def test_a_wrong_passphrase_is_not_repeated(self) -> None:
        encrypted = self.write(key_bytes(KEY, b"sesame"))
        error = self.assertRaises(ConfigError, make_context, self.write(CERTIFICATE), encrypted, "my secret")
        self.assertNotIn("my secret", str(error))


class HandshakeTests(Files):
    """A client over memory: the standard library's ``ssl``, with BIOs."""

    def connect(self, **settings: Any) -> tuple[ssl.SSLObject, bytes]:
        """Shake hands, send "hello" and return the client's side and what the server answers."""
        context = make_context(self.write(CERTIFICATE + key_bytes(KEY)))

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"echo " + data)

        clock = Clock()
        server = wrap_factory(context, Factory.forProtocol(Echo), clock).buildProtocol(None)
        assert server is not None
        transport = StringTransport()
        server.makeConnection(transport)
        client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_context.load_verify_locations(cadata=CERTIFICATE.decode())
        for name, value in settings.items():
            if callable(getattr(client_context, name)):
                getattr(client_context, name)(value)
            else:
                setattr(client_context, name, value)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def pump() -> None:
            server.dataReceived(outgoing.read())
            clock.advance(0)
            incoming.write(transport.value())
            transport.clear()

        for _ in range(10):
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                pump()
            else:
                break
        client.write(b"hello")
        pump()
        return client, client.read(100)

    def test_bytes_go_through_and_the_certificate_is_trusted(self) -> None:
        client, answer = self.connect()
        self.assertEqual(answer, b"echo hello")
        self.assertEqual(client.version(), "TLSv1.3")

    def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(self) -> None:
        client, answer = self.connect(maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(answer, b"echo hello")
        name = client.cipher()[0]  # type: ignore[index]
        self.assertTrue(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name), name)
        self.assertIsNone(client.compression())

    def test_http_1_1_is_chosen_of_what_a_client_offers(self) -> None:
        client, _ = self.connect(set_alpn_protocols=["h2", "http/1.1"])
        self.assertEqual(client.selected_alpn_protocol(), "http/1.1")

    def test_a_client_that_offers_only_others_goes_on_without(self) -> None:
        client, answer = self.connect(set_alpn_protocols=["spdy/3"])
        self.assertIsNone(client.selected_alpn_protocol())
        self.assertEqual(answer, b"echo hello")

    def test_tls_1_1_is_refused(self) -> None:
        context: Any = make_context(self.write(CERTIFICATE + key_bytes(KEY)))
        server = context.serverConnectionForTLS(None)
        server.set_accept_state()
        old = SSL.Context(SSL.TLS_CLIENT_METHOD)
        old.set_max_proto_version(SSL.TLS1_1_VERSION)
        old.set_cipher_list(b"ALL:@SECLEVEL=0")
        client = SSL.Connection(old, None)
        client.set_connect_state()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        server.bio_write(client.bio_read(65536))
        self.assertRaises(SSL.Error, server.do_handshake)
