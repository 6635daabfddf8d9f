"""HTTPS: the server's side of TLS, made from PEM files.

The defaults are those a public server wants today: TLS 1.2 and 1.3, forward secrecy and authenticated encryption only,
no compression, no renegotiation. Whoever needs something else puts a proxy in front.

Layer 4. It imports OpenSSL, so it is itself imported only when a certificate is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from skitai.errors import ConfigError

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of TLS 1.3 are all good."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """Makes the TLS side of each connection.

    Args:
        context: Loaded with certificate and key.
        protocols: ALPN names (RFC 7301) that are served, the preferred one first.
    """

    def __init__(self, context: SSL.Context, protocols: Sequence[bytes] = (b"http/1.1",)) -> None:
        self._context = context
        self._protocols = protocols
        context.set_alpn_select_callback(self._select)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return a new connection (called by Twisted)."""
        return SSL.Connection(self._context, None)

    def _select(self, connection: SSL.Connection, offered: list[bytes]) -> Any:
        for name in self._protocols:
            if name in offered:
                return name
        # A client that offers only what is not served here goes on without ALPN: it may know HTTP/1.1 all the same.
        return SSL.NO_OVERLAPPING_PROTOCOLS


def make_context(certfile: str, keyfile: str | None = None, passphrase: str | None = None) -> ServerContext:
    """Load a certificate and its key.

    Args:
        certfile: PEM file with the certificate, and after it those of its authorities.
        keyfile: PEM file with the private key; ``certfile`` when None.
        passphrase: What the key is encrypted with.

    Raises:
        ConfigError: A file can not be read, or is not what it should be, or the key is not the certificate's.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
    # An idle connection then keeps no buffers: 34 KB less.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS)
    # Sessions are resumed with tickets; without this name OpenSSL would not resume those with client certificates.
    context.set_session_id(b"skitai")
    _check_readable("certfile", certfile)
    try:
        context.use_certificate_chain_file(certfile)
    except SSL.Error as error:
        raise ConfigError(f"certfile: {certfile} holds no valid PEM certificate{_reason(error)}") from error
    _load_key(context, keyfile, certfile, passphrase)
    return ServerContext(context)


def wrap_factory(context: ServerContext, factory: IProtocolFactory, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """Return a factory whose connections speak TLS and then what those of ``factory`` speak.

    Args:
        context: The server's side of TLS.
        factory: Makes the protocols inside.
        clock: What is written in one turn of it is encrypted as one.
    """
    return TLSMemoryBIOFactory(context, False, factory, clock=clock)


def _load_key(context: SSL.Context, keyfile: str | None, certfile: str, passphrase: str | None) -> None:
    option, path = ("keyfile", keyfile) if keyfile is not None else ("certfile", certfile)
    _check_readable(option, path)
    asked = False

    def _give_passphrase(size: int, verify: bool, data: object) -> bytes:
        nonlocal asked
        asked = True
        # Without an answer OpenSSL would ask at the terminal.
        return (passphrase or "").encode("utf-8")

    context.set_passwd_cb(_give_passphrase)
    try:
        context.use_privatekey_file(path)
        context.check_privatekey()
    except SSL.Error as error:
        reason = _reason(error)
        if "mismatch" in reason:
            raise ConfigError(f"{option}: the private key in {path} does not belong to {certfile}") from error
        if asked and passphrase is None:
            raise ConfigError(f"passphrase: the private key in {path} is encrypted, so it is needed") from error
        if asked:
            raise ConfigError(f"passphrase: it does not open the private key in {path}") from error
        raise ConfigError(f"{option}: {path} holds no valid PEM private key{reason}") from error


def _check_readable(option: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{option}: {path} can not be read: {error.strerror}") from error


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's own reason, such as " (no start line)"."""
    for entry in error.args[0] if error.args else ():
        if entry[-1]:
            return f" ({entry[-1]})"
    return ""
