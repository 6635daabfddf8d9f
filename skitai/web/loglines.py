"""What a request looks like in the request log, as text and as JSON.

What a client sent is hostile: in a line of text, whatever is not printable ASCII, and quotes, backslashes and (outside
of quotes) spaces become ``\\xHH``, so that a request is always one line and its fields can be told apart. Of
credentials a line holds at most the user's name and the first four characters of a token.

Layer 2, for the calendar it needs; no Twisted, no file. Thread: any; what is remembered is stored whole, and a lost
store only costs time.
"""

from __future__ import annotations

import base64
import re
import time
from json.encoder import encode_basestring_ascii
from typing import Final, Protocol, TypeVar

from skitai.web.caches import remember
from skitai.web.events import PROTOCOLS
from skitai.web.exchange import Exchange
from skitai.web.transaction import fresh_gtxn, gtxn_of

MAX_FIELD_SIZE: Final = 1024
"""Longest host, user or agent that is logged whole, in characters; what is cut off ends in "..."."""

_TOKEN_SHOWN: Final = 4

# Apostrophes too: who splits lines as a shell does takes them for quotes.
_UNSAFE: Final = re.compile(r"[^!#-&(-\[\]-~]")
_UNSAFE_QUOTED: Final = re.compile(r"[^ !#-\[\]-~]")
# A target worth a second look: it has what must be escaped, or may have userinfo or a token.
_UNUSUAL: Final = re.compile(r"[^!#-&(-?A-\[\]-~]|oken=|OKEN=")
_USERINFO: Final = re.compile(r"\A((?:[a-z][a-z0-9+.-]*:)?//)?[^/?#]*@", re.IGNORECASE)
# RFC 6750 section 2.3, and what is usual beside it.
_QUERY_TOKEN: Final = re.compile(r"([?&](?:access_|id_|refresh_)?token=)([^&#]*)", re.IGNORECASE)
_DIGEST_USER: Final = re.compile(rb'(?:\A|[\s,])username="((?:[^"\\]|\\.)+)"', re.IGNORECASE)
_ESCAPED: Final = re.compile(rb"\\(.)")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_Key = TypeVar("_Key")


class LineFormat(Protocol):
    """Makes the line of a finished exchange, its line feed included."""

    def __call__(self, exchange: Exchange, offset: float) -> str:
        """Return the line; ``offset`` is the wall clock minus the clock of the exchange's times, in seconds."""


class _Lines:
    """What both formats remember: the date of the second, and hosts and agents as they are written."""

    def __init__(self) -> None:
        self._date = (-1, "")
        self._hosts: dict[str, str] = {}
        self._agents: dict[bytes, str] = {}


class TextLines(_Lines):
    """The text format.

    ``date time [info] client:port host method target protocol status request-bytes response-bytes GTID LTID "user"
    token "agent" handling delivery``, with ``-`` for what is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._targets: dict[str, str] = {}
        self._clients: dict[tuple[str, int], str] = {}

    def __call__(self, exchange: Exchange, offset: float) -> str:
        """Return the line of an exchange."""
        request, body = exchange.request, exchange.body
        fields = dict(request.headers)
        gtxn = exchange.gtxn or _find_ids(exchange, fields)
        if b"x-gtxn-id" in fields:
            gtxn = _bare(gtxn)
        second = int(exchange.finished + offset)
        made, date = self._date
        if second != made:
            date = time.strftime("%Y.%m.%d %H:%M:%S [info]", time.localtime(second))
            self._date = (second, date)
        host = self._hosts.get(request.host) or self._new_host(request.host)
        agent_value = fields.get(b"user-agent", b"")
        agent = self._agents.get(agent_value) or self._new_agent(agent_value)
        who = "- -"
        if exchange.user is not None or b"authorization" in fields:
            who = _text_identity(exchange, fields.get(b"authorization"))
        target = self._targets.get(request.target) or self._new_target(request.target)
        client = self._clients.get(exchange.peers.client) or self._new_client(exchange.peers.client)
        method = request.method
        if method not in _METHODS:
            method = _bare(method) or "-"
        return (
            f"{date} {client} {host} {method} {target} "
            f"{PROTOCOLS.get(request.version, '-')} {exchange.status or '-'} {0 if body is None else body.received} "
            f"{exchange.body_sent} {gtxn} {exchange.ltxn} {who} {agent} {_times(exchange)}\n"
        )

    def _new_target(self, target: str) -> str:
        shown = target
        if _UNUSUAL.search(target) is not None:
            # The ellipsis of a token stays one; a target itself, of one character a byte, can hold none.
            shown = "…".join(map(_bare, public_target(target).split("…")))
        return _kept(self._targets, target, shown or "-")

    def _new_client(self, client: tuple[str, int]) -> str:
        return remember(self._clients, client, _client(client))

    def _new_host(self, host: str) -> str:
        return _kept(self._hosts, host, _bare(_cut(public_host(host))) or "-")

    def _new_agent(self, agent: bytes) -> str:
        return _kept(self._agents, agent, _quoted(_cut(agent.decode("latin-1"))) if agent else "-")


class JSONLines(_Lines):
    """The JSON format: an object a line, null for what is missing, ``\\xHH`` for bytes that are not UTF-8.

    The time is UTC; times taken are milliseconds.
    """

    def __call__(self, exchange: Exchange, offset: float) -> str:
        """Return the line of an exchange."""
        # Put together by hand: the encoder takes three times as long for the same.
        request, body = exchange.request, exchange.body
        fields = dict(request.headers)
        gtxn = exchange.gtxn or _find_ids(exchange, fields)
        wall = exchange.finished + offset
        second = int(wall)
        made, date = self._date
        if second != made:
            date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._date = (second, date)
        address, port = exchange.peers.client
        host = self._hosts.get(request.host) or self._new_host(request.host)
        agent_value = fields.get(b"user-agent", b"")
        agent = self._agents.get(agent_value) or self._new_agent(agent_value)
        who = '"user":null,"token":null'
        if exchange.user is not None or b"authorization" in fields:
            user, token = identity(exchange, fields.get(b"authorization"))
            who = f'"user":{_json(_cut(user or ""))},"token":{_json(token or "")}'
        return (
            f'{{"time":"{date}.{int((wall - second) * 1000):03d}Z","level":"info","client":{_json(address)},'
            f'"client_port":{port or "null"},"host":{host},"method":{_json(request.method)},'
            f'"uri":{_json(public_target(request.target))},"protocol":{_json(PROTOCOLS.get(request.version, ""))},'
            f'"status":{exchange.status or "null"},"request_bytes":{0 if body is None else body.received},'
            f'"response_bytes":{exchange.body_sent},"gtid":{_json(gtxn)},"ltid":{exchange.ltxn},{who},"agent":{agent},'
            f"{_json_times(exchange)}}}\n"
        )

    def _new_host(self, host: str) -> str:
        return _kept(self._hosts, host, _json(_cut(public_host(host))))

    def _new_agent(self, agent: bytes) -> str:
        return _kept(self._agents, agent, _json(_cut(agent.decode("utf-8", "backslashreplace"))))


def identity(exchange: Exchange, authorization: bytes | None) -> tuple[str | None, str | None]:
    """Return the user and the abbreviated token of a request, None for what is missing.

    Args:
        exchange: The request; the user whom an application told has precedence.
        authorization: Value of its Authorization field.
    """
    user, token = exchange.user, None
    if authorization is not None:
        scheme, _, credentials = authorization.partition(b" ")
        scheme = scheme.lower()
        if scheme == b"bearer":
            token = abbreviated(credentials.strip().decode("utf-8", "backslashreplace"))
        elif scheme == b"basic" and user is None:
            user = _basic_user(credentials.strip())
        elif scheme == b"digest" and user is None:
            user = _digest_user(credentials)
    return user, token


def abbreviated(token: str) -> str | None:
    """Return the first four characters of a token and an ellipsis; of a short one at most half, None for none."""
    if not token:
        return None
    return token[: _TOKEN_SHOWN if len(token) > _TOKEN_SHOWN else len(token) // 2] + "…"


def public_host(host: str) -> str:
    """Return a host without userinfo: it has no place there, but a password that stands there is one."""
    return host.rpartition("@")[2]


def public_target(target: str) -> str:
    """Return a request target without userinfo and with the tokens in its query abbreviated."""
    if "@" in target and not target.startswith("/"):
        # Absolute-form and authority-form (RFC 9112 section 3.2).
        target = _USERINFO.sub(lambda found: found[1] or "", target, count=1)
    if "oken=" in target or "OKEN=" in target:
        target = _QUERY_TOKEN.sub(lambda found: found[1] + (abbreviated(found[2]) or ""), target)
    return target


def _find_ids(exchange: Exchange, fields: dict[bytes, bytes]) -> str:
    if b"x-gtxn-id" in fields or b"x-ltxn-id" in fields:
        return gtxn_of(exchange)
    # What ``gtxn_of`` would come to, without another walk through the header.
    exchange.gtxn = found = fresh_gtxn(exchange.peers.number, exchange.number)
    return found


def _basic_user(credentials: bytes) -> str | None:
    try:
        user, colon, _ = base64.b64decode(credentials, validate=True).partition(b":")
    except ValueError:
        return None
    # Without a colon it is no user (RFC 7617 section 2), and may well be a secret.
    return user.decode("utf-8", "backslashreplace") if colon and user else None


def _digest_user(credentials: bytes) -> str | None:
    # RFC 7616 section 3.4; of the extended notation (username*) an application can tell the user itself.
    found = _DIGEST_USER.search(credentials)
    return _ESCAPED.sub(rb"\1", found[1]).decode("utf-8", "backslashreplace") if found is not None else None


def _text_identity(exchange: Exchange, authorization: bytes | None) -> str:
    user, token = identity(exchange, authorization)
    shown_user = "-" if user is None else _quoted(_wire(_cut(user)))
    shown_token = "-" if token is None else _bare(token[:-1]) + "…"
    return f"{shown_user} {shown_token}"


def _client(client: tuple[str, int]) -> str:
    address, port = client
    if not address:
        return "-"
    if ":" in address:
        address = f"[{address}]"
    # A trusted proxy may have told the address alone.
    return f"{address}:{port or '-'}"


def _times(exchange: Exchange) -> str:
    answered = exchange.answered
    if not answered:
        return "- -"
    # The clock may have been set back meanwhile.
    handling, delivery = answered - exchange.started, exchange.finished - answered
    if handling < 0.0 or delivery < 0.0:
        handling, delivery = max(handling, 0.0), max(delivery, 0.0)
    if handling < 0.0005 and delivery < 0.0005:
        return "0ms 0ms"
    return f"{int(handling * 1000 + 0.5)}ms {int(delivery * 1000 + 0.5)}ms"


def _json(text: str) -> str:
    # A request whose head was refused has "-" for what could not be read.
    return "null" if text in ("", "-") else encode_basestring_ascii(text)


def _json_times(exchange: Exchange) -> str:
    answered = exchange.answered
    if not answered:
        return '"handling_ms":null,"delivery_ms":null'
    handling, delivery = max(answered - exchange.started, 0.0), max(exchange.finished - answered, 0.0)
    return f'"handling_ms":{handling * 1000:.3f},"delivery_ms":{delivery * 1000:.3f}'


def _cut(text: str) -> str:
    return text if len(text) <= MAX_FIELD_SIZE else text[:MAX_FIELD_SIZE] + "..."


def _wire(text: str) -> str:
    """Return text as its UTF-8 bytes, one character each, as a field value is decoded."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("latin-1")


def _bare(text: str) -> str:
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(_hexadecimal, _wire(text))


def _quoted(text: str) -> str:
    """Return text of one character a byte in quotes."""
    return f'"{_UNSAFE_QUOTED.sub(_hexadecimal, text)}"'


def _hexadecimal(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _kept(cache: dict[_Key, str], key: _Key, text: str) -> str:
    return remember(cache, key, text) if len(text) <= MAX_FIELD_SIZE else text
