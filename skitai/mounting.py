"""From what was declared to the mount table that requests are dispatched by.

Layer 4. It must not know how files are served or applications loaded and run, only which is which.

Thread: the main thread, before anything is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skitai.apps import Loader
from skitai.config import Settings
from skitai.declare import Declaration
from skitai.was.context import Was, current
from skitai.web.exchange import Exchange
from skitai.web.static import MaxAge, StaticHandler
from skitai.web.vhost import Entry, MountTable
from skitai.web.wsgi import Services, WSGIHandler


def dispatcher(settings: Settings, declaration: Declaration, services: Services) -> Callable[[Exchange], object]:
    """Load everything that is mounted and return the function that handles requests.

    Args:
        settings: All options.
        declaration: What is mounted. While they are loaded, applications may mount more.
        services: What applications need of the server.

    Raises:
        ConfigError: Something mounted can not be used.
    """
    table = _mount_table(settings, declaration, services)
    if not settings.trusted_proxies:
        return table.dispatch
    from skitai.web.forwarded import TrustedProxies

    apply, dispatch = TrustedProxies(settings.trusted_proxies).apply, table.dispatch

    def _dispatch_forwarded(exchange: Exchange) -> None:
        apply(exchange)
        dispatch(exchange)

    return _dispatch_forwarded


def enter(exchange: Exchange, environ: dict[str, Any]) -> Was:
    """Make ``was`` of a request and have the running code find it. Thread: the one that runs the application."""
    was = Was(exchange, environ)
    current.set(was)
    return was


def _mount_table(settings: Settings, declaration: Declaration, services: Services) -> MountTable:
    """Load what is mounted, check what applications have declared meanwhile, and make the table."""
    mounted = Loader(declaration.base_directory).load_all(declaration.mounts)
    declaration.check()
    max_age = MaxAge(declaration.max_age)
    entries = []
    for mount, kind, directory, application in mounted:
        if application is not None:
            entries.append(Entry(mount.host, mount.point, kind, WSGIHandler(application, services)))
        else:
            static = StaticHandler(directory, max_age, settings.compression)
            entries.append(Entry(mount.host, mount.point, kind, static))
    return MountTable(entries)
