"""The values that say where requests go, whom they trust, and what they may cost.

Layer 3. Thread: any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from skitai.was.http1 import AnswerLimits


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust of the servers that speak TLS.

    Attributes:
        cafile: PEM file with the authorities; None for OpenSSL's default store, for which ``SSL_CERT_FILE`` and
            ``SSL_CERT_DIR`` count.
        verify: False takes every certificate.
    """

    cafile: str | None = None
    verify: bool = True


DEFAULT_TRUST: Final = Trust()


@dataclass(frozen=True, slots=True)
class Target:
    """Where connections of one pool go.

    Attributes:
        scheme: "http" or "https".
        host: Name in ASCII, or address without brackets.
        port: TCP port.
        trust: Counts for "https".
    """

    scheme: str
    host: str
    port: int
    trust: Trust = DEFAULT_TRUST

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What requests to other servers may cost.

    Attributes:
        max_connections: Connections to one server.
        max_waiting: Requests that may wait for one of them.
        keep_alive_timeout: Seconds an idle connection is kept.
        connect_timeout: Seconds that one address of a server has to connect, TLS included.
        max_redirects: How many are followed.
        spool_size: Bytes of an answer that are kept in memory; a longer one goes to a temporary file.
        answer_limits: What the heads of answers may cost.
    """

    max_connections: int = 256
    max_waiting: int = 10_000
    keep_alive_timeout: float = 15.0
    connect_timeout: float = 5.0
    max_redirects: int = 10
    spool_size: int = 1024 * 1024
    answer_limits: AnswerLimits = field(default_factory=AnswerLimits)


def is_address(host: str) -> bool:
    """Return whether ``host`` is an address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
