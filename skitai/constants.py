"""The constants of the public interface, and the version.

They are plain words, so that a constant and its word mean the same wherever a user writes one (``alias("@db",
"postgresql", ...)``). It must not know any other module.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "1.0.0.dev0"
version_info: Final = (1, 0, 0)
"""Major, minor and micro number of this version of Skitai."""

PROTO_HTTP: Final = "http"
PROTO_HTTPS: Final = "https"
PROTO_WS: Final = "ws"
PROTO_WSS: Final = "wss"

DB_PGSQL: Final = "postgresql"
DB_SQLITE3: Final = "sqlite3"
DB_REDIS: Final = "redis"
DB_MONGODB: Final = "mongodb"

WS_SIMPLE: Final = "simple"
"""One call of the application for each message; its return value is the answer."""
WS_GROUPCHAT: Final = "groupchat"
"""Sockets share a room; every returned message goes to all its members."""
WS_DEDICATE: Final = "dedicate"
"""A thread of its own for each socket."""

WEBSOCKET_REQDATA: Final = WS_SIMPLE
WEBSOCKET_GROUPCHAT: Final = WS_GROUPCHAT
WEBSOCKET_DEDICATE_THREADSAFE: Final = WS_DEDICATE

WS_EVT_INIT: Final = "init"
"""The handshake is in progress: configure the socket now."""
WS_EVT_OPEN: Final = "open"
"""The socket has just been opened."""
WS_EVT_CLOSE: Final = "close"
"""The client has gone."""

WS_MSG_JSON: Final = "json"
WS_MSG_XMLRPC: Final = "xmlrpc"

ALIAS_TYPES: Final = (PROTO_HTTP, PROTO_HTTPS, PROTO_WS, PROTO_WSS, DB_PGSQL, DB_SQLITE3, DB_REDIS, DB_MONGODB)
"""Every type an alias may have."""

ALIAS_TYPE_SYNONYMS: Final = {
    "postresql": DB_PGSQL,
    "postgres": DB_PGSQL,
    "pgsql": DB_PGSQL,
    "sqlite": DB_SQLITE3,
    "mongo": DB_MONGODB,
}
"""Other spellings of alias types; the first is the one older programs use."""
