"""Skitai: a fast WSGI application server on Twisted.

A program mounts its applications and runs them::

    import skitai

    skitai.mount("/", app)
    skitai.run(port=5000)

Nothing here does more than note what is wanted; ``run()`` checks all of it at once and starts the server. Importing
this module is light: it loads neither Twisted nor anything that serves.

Thread: the main thread declares; ``was`` works in every thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skitai import declare as _declare
from skitai.constants import (
    DB_MONGODB,
    DB_PGSQL,
    DB_REDIS,
    DB_SQLITE3,
    PROTO_HTTP,
    PROTO_HTTPS,
    PROTO_WS,
    PROTO_WSS,
    VERSION,
    WEBSOCKET_DEDICATE_THREADSAFE,
    WEBSOCKET_GROUPCHAT,
    WEBSOCKET_REQDATA,
    WS_DEDICATE,
    WS_EVT_CLOSE,
    WS_EVT_INIT,
    WS_EVT_OPEN,
    WS_GROUPCHAT,
    WS_MSG_JSON,
    WS_MSG_XMLRPC,
    WS_SIMPLE,
    version_info,
)

if TYPE_CHECKING:
    from skitai import was as was
    from skitai.attributes import AttributeDictionary

__version__ = VERSION

__all__ = [
    "mount",
    "vmount",
    "pref",
    "alias",
    "cron",
    "getswd",
    "joinpath",
    "set_keep_alive",
    "set_max_age",
    "set_max_rcache",
    "enable_proxy",
    "enable_ssl",
    "enable_gateway",
    "enable_cachefs",
    "enable_smtpda",
    "run",
    "was",
    "version_info",
    "PROTO_HTTP",
    "PROTO_HTTPS",
    "PROTO_WS",
    "PROTO_WSS",
    "DB_PGSQL",
    "DB_SQLITE3",
    "DB_REDIS",
    "DB_MONGODB",
    "WS_SIMPLE",
    "WS_GROUPCHAT",
    "WS_DEDICATE",
    "WEBSOCKET_REQDATA",
    "WEBSOCKET_DEDICATE_THREADSAFE",
    "WEBSOCKET_GROUPCHAT",
    "WS_EVT_INIT",
    "WS_EVT_OPEN",
    "WS_EVT_CLOSE",
    "WS_MSG_JSON",
    "WS_MSG_XMLRPC",
]


def mount(point: str, target: Any, appname: str = "app", pref: Any = None, host: str | None = None) -> None:
    """Mount an application, a directory or an alias.

    Args:
        point: Where, as "/" or "/path". The longest mount point that fits a request wins.
        target: An application object (any WSGI callable), an application file (".py" may be left away), a directory
            with static files, ``"@alias"``, a module that exports an application, or ``(module, "app_v1.py")``.
            Relative paths are relative to the directory of the script that calls ``run()``.
        appname: The application's variable in its file.
        pref: What ``pref()`` returned; its properties override the application's.
        host: Name of a virtual host, or several in one text; a leading dot means a domain and all below it. Without
            it the target belongs to the default site.
    """
    _declare.current().add_mount(point, target, appname, pref, host, origin=sys._getframe(1).f_globals)


def vmount(host: str, point: str, target: Any, appname: str = "app", pref: Any = None) -> None:
    """Mount an application, a directory or an alias at a virtual host.

    Args:
        host: Its name, or several in one text; a leading dot means a domain and all below it.
        point: As for ``mount()``.
        target: As for ``mount()``.
        appname: As for ``mount()``.
        pref: As for ``mount()``.
    """
    _declare.current().add_mount(point, target, appname, pref, host, origin=sys._getframe(1).f_globals)


def pref() -> AttributeDictionary:
    """Make preferences for an application that is to be mounted.

    Returns:
        An attribute dictionary; ``config`` in it is one too. Its properties override the application's, and its
        ``config`` is merged into ``app.config``.
    """
    from skitai.attributes import make_preferences

    return make_preferences()


def alias(
    name: str,
    ctype: str,
    members: str | Sequence[str],
    role: str = "",
    source: str | Sequence[str] = "",
    ssl: bool = False,
    cafile: str | None = None,
    verify: bool = True,
) -> None:
    """Give the servers of a cluster a name.

    Args:
        name: The name, as "@members".
        ctype: ``PROTO_HTTP``, ``PROTO_HTTPS``, ``PROTO_WS``, ``PROTO_WSS``, ``DB_PGSQL``, ``DB_SQLITE3``,
            ``DB_REDIS`` or ``DB_MONGODB``, or its plain word ("https", "postgresql").
        members: A server or a list of servers, each "host:port", "host:port/path" or
            "host:port/database/user/password". A number after a space is the server's weight.
        role: What clients of the gateway must have; "" is any that is authenticated.
        source: Networks the gateway lets in, as "172.30.1.0/24,192.168.1/24"; "" is all.
        ssl: Whether to ask over TLS; ``PROTO_HTTPS`` and ``PROTO_WSS`` always do.
        cafile: PEM file of the authorities that may have signed the members' certificates, None for the system's.
        verify: Whether these certificates are verified.
    """
    extra = {"role": role, "source": source, "ssl": ssl, "cafile": cafile, "verify": verify}
    _declare.current().add_alias(name, ctype, members, extra)


def cron(schedule: str, command: str) -> None:
    """Run a command regularly.

    Args:
        schedule: The five fields of crontab: minute, hour, day, month, weekday.
        command: What the shell is to run, in the directory of the script that calls ``run()``.
    """
    _declare.current().add_cron(schedule, command)


def getswd() -> str:
    """Return Skitai's working directory: the script's that calls ``run()``, absolute and without symbolic links."""
    return _declare.base_directory()


def joinpath(*parts: str) -> str:
    """Return the absolute path of a file in Skitai's working directory.

    Args:
        parts: Names to join to it.
    """
    return os.path.abspath(os.path.join(_declare.base_directory(), *parts))


def set_keep_alive(timeout: float = 2) -> None:
    """Set how long idle connections stay open.

    Args:
        timeout: Seconds.
    """
    _declare.current().options["keep_alive_timeout"] = timeout


def set_max_age(path: str, max_age: int = 300) -> None:
    """Set for how long static files may be cached.

    Args:
        path: Files whose path begins with it; the longest such path counts.
        max_age: Seconds; 0 sends no Cache-Control and Expires.
    """
    _declare.current().set_max_age(path, max_age)


def set_max_rcache(objmax: int = 300) -> None:
    """Set how many results of ``was`` requests are cached.

    Args:
        objmax: Results; the least recently used goes first.
    """
    _declare.current().set_max_rcache(objmax)


def enable_proxy(
    source: str | Sequence[str] | None = None, allow_private: bool = False, credentials: tuple[str, str] | None = None
) -> None:
    """Be a forward proxy.

    Args:
        source: Networks that may use it; None is this machine only.
        allow_private: Whether loopback, private and link-local addresses may be asked.
        credentials: User and password that clients must give, None for none.
    """
    arguments = {"source": source, "allow_private": allow_private, "credentials": credentials}
    _declare.current().add_feature("enable_proxy", arguments)


def enable_ssl(certfile: str, keyfile: str | None = None, passphrase: str | None = None) -> None:
    """Serve HTTPS.

    Args:
        certfile: PEM file with the certificate and its chain.
        keyfile: PEM file with the private key, None where it is in ``certfile``.
        passphrase: Pass phrase of the key, None for none.
    """
    _declare.current().options.update(certfile=certfile, keyfile=keyfile, passphrase=passphrase)


def enable_gateway(
    enable_auth: bool = False, secure_key: str | bytes | None = None, realm: str = "Skitai API Gateway"
) -> None:
    """Be an API gateway for the aliases that are mounted.

    Args:
        enable_auth: Whether clients must authenticate with a bearer token.
        secure_key: Secret that JSON web tokens are signed with.
        realm: What WWW-Authenticate calls this server.
    """
    arguments = {"enable_auth": enable_auth, "secure_key": secure_key, "realm": realm}
    _declare.current().add_feature("enable_gateway", arguments)


def enable_cachefs(memmax: int | str = 0, diskmax: int | str = 0, path: str | None = None) -> None:
    """Cache what ``was``, the proxy and the reverse proxy fetch.

    Args:
        memmax: Bytes kept in memory; also "64M".
        diskmax: Bytes kept on disk.
        path: Directory for them.
    """
    _declare.current().add_feature("enable_cachefs", {"memmax": memmax, "diskmax": diskmax, "path": path})


def enable_smtpda(
    server: str | None = None,
    user: str | None = None,
    password: str | None = None,
    ssl: bool = False,
    max_retry: int = 10,
    keep_days: int = 3,
) -> None:
    """Deliver the mails that ``was.email()`` makes.

    Args:
        server: "host:port" of the SMTP server for mails that name none.
        user: Who to log in as, None for no login.
        password: The password.
        ssl: Whether the connection begins with TLS.
        max_retry: How often a mail is tried.
        keep_days: Days for which an undeliverable mail is kept.
    """
    arguments = {
        "server": server,
        "user": user,
        "password": password,
        "ssl": ssl,
        "max_retry": max_retry,
        "keep_days": keep_days,
    }
    _declare.current().add_feature("enable_smtpda", arguments)


def run(**settings: Any) -> None:
    """Start the server and serve until it is told to stop.

    The script's own command line is read too and wins over the keywords, which win over the other functions. The
    working directory becomes that of the script. Under ``twistd`` this only notes the keywords, and in a file that is
    mounted by another it does nothing but warn.

    Args:
        settings: Options by name, such as ``address``, ``port`` and ``threads``; ``mount`` takes a tuple of what
            ``mount()`` takes, a list of such tuples or a dictionary; ``clusters`` a dictionary of name and ``(type,
            members)``.

    Raises:
        SystemExit: The server could not start (status 2, the reason is on stderr) or did not end well.
    """
    from skitai import cli

    cli.run(settings, sys._getframe(1).f_globals)


def __getattr__(name: str) -> Any:
    """Import ``skitai.was`` when it is first asked for."""
    if name == "was":
        from importlib import import_module

        return import_module("skitai.was")
    raise AttributeError(f"module 'skitai' has no attribute {name!r}")
