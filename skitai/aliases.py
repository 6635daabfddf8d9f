"""What an alias is: a name for the servers of a cluster, as users write it.

It must not know how members are asked or balanced.

Thread: any; an ``Alias`` never changes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skitai.constants import (
    ALIAS_TYPE_SYNONYMS,
    ALIAS_TYPES,
    DB_SQLITE3,
    PROTO_HTTP,
    PROTO_HTTPS,
    PROTO_WS,
    PROTO_WSS,
)
from skitai.values import Network, NetworkKind, Several, suggestion

_NAME: Final = re.compile(r"@?([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_WITH_PATHS: Final = frozenset({PROTO_HTTP, PROTO_HTTPS, PROTO_WS, PROTO_WSS})
"""Types whose members have a path behind the host, not a database and a password."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MEMBER: Final = re.compile(
    r"(?P<host>[^\s/:@\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d+))?(?:/\S*)?(?:\s+(?P<weight>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias.

    Attributes:
        name: With its "@".
        type: One of ``constants.ALIAS_TYPES``.
        members: As written: "host:port/path 3" with an optional weight, or the path of an SQLite file.
        role: What a client of the gateway must have, "" for nothing special.
        source: Networks the gateway lets in, () for all.
        ssl: Whether members are asked over TLS.
        cafile: PEM file of the authorities that members' certificates must come from, as written; None for the
            system's.
        verify: Whether these certificates are verified.
    """

    name: str
    type: str
    members: tuple[str, ...]
    role: str = ""
    source: tuple[Network, ...] = ()
    ssl: bool = False
    cafile: str | None = None
    verify: bool = True


def make_alias(name: Any, ctype: Any, members: Any, extra: Mapping[str, Any]) -> Alias:
    """Return the alias that a user described.

    Args:
        name: With or without "@".
        ctype: A constant or its word.
        members: One or several.
        extra: ``role``, ``source``, ``ssl``, ``cafile`` and ``verify``, as far as given.

    Raises:
        ValueError: A part is not what it should be; the message names the alias.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if not found:
        raise ValueError(f"alias {name!r}: the name must be letters, digits, '_', '.' and '-' after '@'")
    full_name = "@" + found[1]
    try:
        kind = _read_type(ctype)
        rest = dict(extra)
        rest["source"] = _read_source(rest.get("source"))
        rest["ssl"] = bool(rest.get("ssl")) or kind in (PROTO_HTTPS, PROTO_WSS)
        if not isinstance(rest.get("role", ""), str):
            raise ValueError(f"the role must be a text, not {rest['role']!r}")
        rest["cafile"] = _read_cafile(rest.get("cafile"))
        if not isinstance(rest.get("verify", True), bool):
            raise ValueError(f"verify must be True or False, not {rest['verify']!r}")
        return Alias(full_name, kind, _read_members(kind, members), **rest)
    except ValueError as error:
        raise ValueError(f"alias {full_name!r}: {error}") from None


def _read_type(ctype: Any) -> str:
    word = ctype.lower() if isinstance(ctype, str) else ctype
    kind = ALIAS_TYPE_SYNONYMS.get(word, word) if isinstance(word, str) else word
    if kind not in ALIAS_TYPES:
        hint = suggestion(word, ALIAS_TYPES) if isinstance(word, str) else ""
        raise ValueError(f"the type must be one of {', '.join(ALIAS_TYPES)}, not {ctype!r}{hint}")
    return str(kind)


def _read_source(source: Any) -> tuple[Network, ...]:
    if not source:
        return ()
    try:
        return Several(NetworkKind()).parse(source)
    except ValueError as error:
        raise ValueError(f"source {error}") from None


def _read_cafile(cafile: Any) -> str | None:
    if cafile is None:
        return None
    path = os.fspath(cafile) if isinstance(cafile, os.PathLike) else cafile
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"cafile must be the path of a file, not {cafile!r}")
    return path


def _read_members(kind: str, members: Any) -> tuple[str, ...]:
    several = (members,) if isinstance(members, str) else members
    if not isinstance(several, tuple | list) or not several:
        raise ValueError("it needs at least one member")
    for member in several:
        if not isinstance(member, str) or not member.strip() or "\0" in member:
            raise ValueError(f"a member must be a text, not {type(member).__name__}")
        if kind != DB_SQLITE3:
            _check_member(kind, member.strip())
    return tuple(member.strip() for member in several)


def _check_member(kind: str, member: str) -> None:
    scheme = _SCHEME.match(member)
    if scheme:
        raise ValueError(
            f"member {_without_secrets(kind, scheme[0], member)!r} must be written without {scheme[0]!r}: "
            f"the type of the alias, here {kind!r}, says how it is asked"
        )
    found = _MEMBER.fullmatch(member)
    # What follows the host may hold a password: no message shows it.
    shown = member.partition("/")[0]
    if not found or "://" in member:
        raise ValueError(
            f"member {shown!r} must look like 'host:port' or 'host:port/path', with a weight after a space"
        )
    if found["port"] and not 0 < int(found["port"]) < 65536:
        raise ValueError(f"member {shown!r} has no port from 1 to 65535")
    if found["weight"] and int(found["weight"]) == 0:
        raise ValueError(f"member {shown!r} has a weight of 0")


def _without_secrets(kind: str, scheme: str, member: str) -> str:
    """Return a member that was written as a URL, without what may be a password: before "@", or behind a database."""
    authority, slash, path = member[len(scheme) :].partition("/")
    user, at, host = authority.rpartition("@")
    shown = scheme + ("..." if user else "") + at + host
    return shown + slash + path if kind in _WITH_PATHS else shown
