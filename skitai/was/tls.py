"""HTTPS, the client's side of TLS: whom to trust, and whether a certificate is the server's.

Contexts are made once for each set of options and shared by all servers: loading the authorities takes many
milliseconds. So what belongs to one server, its name, is not in the context but in a ``Handshake``, and the name is
checked by ``Handshake.check`` when the handshake is over, before the first byte of a request leaves.

Layer 3. It imports OpenSSL, so it is itself imported only when a request goes to an ``https`` URL. It must not know
connections. Thread: reactor.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from service_identity.exceptions import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from skitai.errors import ConfigError
from skitai.was.limits import is_address

FAULTS: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "an authority that is not trusted has signed it",
    20: "an authority that is not trusted has signed it",
    21: "its authority is missing",
    23: "it was revoked",
    24: "its issuer is no authority",
    26: "it is not for servers",
}
"""What X509_verify_cert (OpenSSL's x509_vfy.h) finds, by its number, in words."""

_CONTEXTS: Final = 64
"""Contexts that are kept: one for each ``cafile`` in use, and two."""


@implementer(IOpenSSLClientConnectionCreator)
class Handshake:
    """One handshake with one server.

    Args:
        context: Shared by many.
        host: Name of the server in ASCII, or its address.
        verify: Whether its certificate counts.

    Attributes:
        fault: What is wrong with the certificate, "" for nothing so far.
    """

    __slots__ = ("_address", "_context", "_host", "_verify", "fault")

    def __init__(self, context: SSL.Context, host: str, verify: bool) -> None:
        self._context = context
        self._host = host
        self._address = is_address(host)
        self._verify = verify
        self.fault = ""

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return a new connection (called by Twisted)."""
        connection = SSL.Connection(self._context, None)
        _handshakes[connection] = self
        if not self._address:  # RFC 6066 section 3 knows names only
            connection.set_tlsext_host_name(self._host.rstrip(".").encode("ascii"))
        return connection

    def check(self, connection: SSL.Connection) -> bool:
        """Return whether the certificate of ``connection`` is for the host (RFC 9110 section 4.3.4)."""
        if not self._verify:
            return True
        try:
            if self._address:
                verify_ip_address(connection, self._host)
            else:
                verify_hostname(connection, self._host.rstrip("."))
        except (VerificationError, CertificateError, ValueError):
            self.fault = f"it is not for {self._host}"
            return False
        return True

    def describe(self, error: BaseException) -> str:
        """Return in words why the handshake ended with ``error``."""
        if self.fault:
            return f"the certificate is not accepted: {self.fault}"
        if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
            reasons = [str(entry[-1]) for entry in error.args[0] if entry[-1]]
            if reasons:
                return f"the TLS handshake failed: {reasons[0]}"
        return "the connection was closed during the TLS handshake"


# Twisted has the application data of connections for itself.
_handshakes: WeakKeyDictionary[SSL.Connection, Handshake] = WeakKeyDictionary()


def make_context(cafile: str | None, verify: bool, alpn: tuple[bytes, ...]) -> SSL.Context:
    """Return a context; the same one for the same arguments.

    Args:
        cafile: PEM file with the authorities that count; None for OpenSSL's default store.
        verify: Whether certificates are verified at all.
        alpn: Names of the protocols that are offered, the preferred one first (RFC 7301).

    Raises:
        ConfigError: ``cafile`` can not be read or holds no certificate.
    """
    environ = os.environ
    return _make_context(cafile, verify, alpn, (environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")))


@lru_cache(maxsize=_CONTEXTS)
def _make_context(
    cafile: str | None, verify: bool, alpn: tuple[bytes, ...], store: tuple[str | None, str | None]
) -> SSL.Context:
    """Make a context; ``store`` is where OpenSSL looks, so that a change of it makes another one."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if alpn:
        context.set_alpn_protos(list(alpn))
    if not verify:
        context.set_verify(SSL.VERIFY_NONE, _accept)
        return context
    context.set_verify(SSL.VERIFY_PEER, _note_fault)
    if cafile is None:
        context.set_default_verify_paths()
        return context
    try:
        context.load_verify_locations(cafile)
    except SSL.Error as error:
        raise ConfigError(f"cafile: {cafile} can not be read, or holds no PEM certificate") from error
    return context


def _accept(connection: SSL.Connection, certificate: Any, number: int, depth: int, good: int) -> bool:
    return True


def _note_fault(connection: SSL.Connection, certificate: Any, number: int, depth: int, good: int) -> bool:
    handshake = _handshakes.get(connection)
    if not good and handshake is not None:
        handshake.fault = FAULTS.get(number, f"error {number} of OpenSSL")
    return bool(good)
