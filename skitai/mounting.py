"""From what was declared to the mount table that requests are dispatched by.

Layer 4. It must not know how files are served or applications loaded and run, only which is which.

Thread: the main thread, before anything is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skitai.apps import Loader, Mounted
from skitai.config import Settings
from skitai.declare import Declaration
from skitai.was.context import ServerLink, Was, current
from skitai.web.exchange import Exchange
from skitai.web.static import MaxAge, StaticHandler
from skitai.web.vhost import Entry, MountTable
from skitai.web.wsgi import Services, WSGIHandler

if TYPE_CHECKING:
    from skitai.hosting import Host
    from skitai.was.coroutines import Runtime


def dispatcher(
    settings: Settings, declaration: Declaration, services: Services, host: Host | None = None
) -> Callable[[Exchange], object]:
    """Load everything that is mounted and return the function that handles requests.

    Args:
        settings: All options.
        declaration: What is mounted. While they are loaded, applications may mount more.
        services: What applications need of the server.
        host: Is told what is mounted, and calls the hooks of applications; None where nobody does.

    Raises:
        ConfigError: Something mounted can not be used.
    """
    mounted = _load(declaration, host)
    table = _mount_table(settings, declaration, services, mounted)
    if not settings.trusted_proxies:
        return table.dispatch
    from skitai.web.forwarded import TrustedProxies

    apply, dispatch = TrustedProxies(settings.trusted_proxies).apply, table.dispatch

    def _dispatch_forwarded(exchange: Exchange) -> None:
        apply(exchange)
        dispatch(exchange)

    return _dispatch_forwarded


def entering(
    runtime: Runtime | None = None, link: ServerLink | None = None
) -> Callable[[Exchange, dict[str, Any]], Was]:
    """Return what makes ``was`` of a request and has the running code find it.

    Args:
        runtime: Runs the coroutines of applications; None where they can not be run.
        link: The server, for ``was.status()`` and the like; None for the one that was started last.
    """

    def _enter(exchange: Exchange, environ: dict[str, Any]) -> Was:
        """Thread: the one that runs the application."""
        was = Was(exchange, environ, runtime, link)
        current.set(was)
        return was

    return _enter


enter = entering()
"""Makes ``was`` of a request where there is neither server nor runtime."""


def _load(declaration: Declaration, host: Host | None) -> list[Mounted]:
    """Load what is mounted, and check what applications have declared meanwhile."""
    loader = Loader(declaration.base_directory, hooks=None if host is None else host.lifecycle)
    mounted = loader.load_all(declaration.mounts)
    declaration.check()
    if host is not None:
        host.mounted = mounted
    return mounted


def _mount_table(
    settings: Settings, declaration: Declaration, services: Services, mounted: list[Mounted]
) -> MountTable:
    """Make the table."""
    max_age = MaxAge(declaration.max_age)
    entries = []
    for mount, kind, directory, application in mounted:
        if application is not None:
            entries.append(Entry(mount.host, mount.point, kind, WSGIHandler(application, services)))
        else:
            static = StaticHandler(directory, max_age, settings.compression)
            entries.append(Entry(mount.host, mount.point, kind, static))
    return MountTable(entries)
