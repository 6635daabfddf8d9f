"""What ``was`` is to one request: its environment, its transaction ids, the log of the application, and small helpers.

``current`` holds the ``Was`` of the request that the running code belongs to: whoever runs an application sets it
before, in the thread (or the ``contextvars`` context) that runs it, and sets None afterwards. Code that belongs to no
request has ``Outside``, which can log but knows no request.

What ``was`` has comes from four places: services of our own; ``framework``, where the framework that answers the
request puts what it has for views; ``registry``, what applications share; and, for a few names, the server, which is
reached through a ``ServerLink``.

Layer 3. It must not know who serves the request, nor which framework answers it. Thread: any; each object belongs to
whoever owns its exchange.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from twisted.logger import Logger, LogLevel

from skitai import formats
from skitai.errors import NotAvailable
from skitai.registry import Registry
from skitai.was.calls import Verb
from skitai.was.loggers import current_traceback, leveled
from skitai.was.outgoing import VERBS
from skitai.web.events import HeaderList
from skitai.web.exchange import Exchange
from skitai.web.transaction import child_headers, gtxn_of, handed_on, ltxn_of

if TYPE_CHECKING:
    from skitai.was.asking import Asker
    from skitai.was.bridge import Threads
    from skitai.was.calls import RemoteCalls
    from skitai.was.coroutines import Runtime
    from skitai.was.gathering import Gathering, MapHandle
    from skitai.was.handle import Handle
    from skitai.was.pushed import Pushed
    from skitai.was.result import Response

NOT_AVAILABLE: Final = frozenset(
    [
        "grpc",
        "ws",
        "wss",
        "db",
        "mongodb",
        "postgresql",
        "redis",
        "sqlite3",
        "ajob",
        "email",
        "websocket",
        "wsclient",
        "wsclosed",
        "wsconfig",
        "wshasevent",
        "wsinit",
        "wsopened",
    ]
)
"""Names of the manual that nothing stands behind yet."""

OF_FRAMEWORK: Final = frozenset(
    {
        "ab",
        "app",
        "aresponse",
        "cookie",
        "fstream",
        "g",
        "gstream",
        "jstream",
        "mbox",
        "redirect",
        "render",
        "render2",
        "request",
        "response",
        "session",
        "xstream",
    }
)
"""Names that the framework of the request stands behind, which is Saddle."""

REQUEST_BOUND: Final = frozenset({"env", "framework", "gtxnid", "in_thread", "later", "ltxnid", "user", *OF_FRAMEWORK})
"""Names that mean something only while a request is answered."""

OF_WASC: Final = frozenset({"config", "logger", "numthreads", "register", "unregister", "unregister_all"})
"""Names that ``wasc`` has beside those of ``was``."""

_NOTHING: Final = object()

_log = Logger(namespace="skitai.app")


class ServerLink(Protocol):
    """What ``was`` needs of the server."""

    def facts(self) -> Mapping[str, Any]:
        """Return what the server is and does, for ``was.status()``; no secrets. Thread: any."""

    def application_at(self, point: str) -> Any:
        """Return the application object that is mounted at a point, None where there is none. Thread: any."""

    @property
    def asker(self) -> Asker:
        """What makes requests."""

    @property
    def threads(self) -> Threads:
        """The bridge between threads and reactor."""

    def restart(self) -> None:
        """Stop the server and start it anew; see ``was.restart``. Thread: any."""

    def stop(self) -> None:
        """Stop the server gracefully, open requests first; further calls change nothing. Thread: any."""


class Outside:
    """``was`` for code that belongs to no request: at import, in ``bootstrap``, in threads of its own."""

    __slots__ = ()

    @property
    def _link(self) -> ServerLink | None:
        """The server; of several in this process, the one that was started last."""
        return _servers[-1] if _servers else None

    def log(self, msg: object, category: str = "info") -> None:
        """Write a message to the application log.

        Args:
            msg: The message.
            category: debug, info, warning, error or critical; another word is written before the message.

        Thread: any.
        """
        self._emit(*leveled(msg, category))

    def traceback(self, id: str = "") -> None:
        """Write the traceback of the exception that is being handled to the application log.

        Args:
            id: What to find it by; the transaction ids of the request when empty.

        Thread: any.
        """
        self._emit(LogLevel.error, current_traceback("was.traceback()"), id)

    def tojson(self, value: Any) -> str:
        """Return a value as JSON (``skitai.formats.tojson``)."""
        return formats.tojson(value)

    def fromjson(self, text: str | bytes) -> Any:
        """Return the value of a JSON text (``skitai.formats.fromjson``)."""
        return formats.fromjson(text)

    def toxml(self, object: Any, usedatetime: int = 0) -> str:
        """Return values as the parameters of an XML-RPC call (``skitai.formats.toxml``)."""
        return formats.toxml(object, usedatetime)

    def fromxml(self, string: str | bytes, usedatetime: int = 0) -> Any:
        """Return the values of an XML-RPC document (``skitai.formats.fromxml``)."""
        return formats.fromxml(string, usedatetime)

    def togrpc(self, obj: Any) -> bytes:
        """Return a protobuf message as bytes (``skitai.formats.togrpc``)."""
        return formats.togrpc(obj)

    def fromgrpc(self, message: bytes, obj: Any) -> Any:
        """Read a protobuf message into ``obj`` and return it (``skitai.formats.fromgrpc``)."""
        return formats.fromgrpc(message, obj)

    def status(self) -> str:
        """Return a page that tells what the server is and does, in HTML. It names no secrets.

        Raises:
            RuntimeError: No server runs.

        Thread: any.
        """
        from skitai.was import statuspage

        return statuspage.render(self._server("status").facts())

    def shutdown(self) -> None:
        """Stop the server gracefully: what has been asked is answered before, the running request included.

        Raises:
            RuntimeError: No server runs.

        Thread: any.
        """
        self._server("shutdown").stop()

    def restart(self) -> None:
        """Stop the server gracefully and start it anew, with new code and the same arguments.

        Raises:
            RuntimeError: No server runs, or it is one that others start (twistd).

        Thread: any.
        """
        self._server("restart").restart()

    @property
    def rpc(self) -> RemoteCalls:
        """XML-RPC services: ``was.rpc(url).method(arguments)``."""
        from skitai.was.calls import RemoteCalls

        return RemoteCalls(self)

    def gather(self, *handles: Handle | MapHandle) -> Gathering:
        """Return what waits for several requests in a coroutine: ``await was.gather(one, two)``."""
        from skitai.was.gathering import Gathering

        return Gathering(handles)

    @property
    def asker(self) -> Asker:
        """What makes requests."""
        return self._server("get").asker

    @property
    def threads(self) -> Threads:
        """The bridge between threads and reactor."""
        return self._server("get").threads

    def next_call_headers(self) -> HeaderList:
        """Return the fields that the next outgoing call carries its transaction in: none outside of requests."""
        return []

    def pushed(
        self, handle: Callable[[Response], object], failed: Callable[[Exception], object], last: bytes = b""
    ) -> Pushed:
        """Return the body of an asynchronous response; see ``skitai.was.pushed.Pushed``."""
        from skitai.was.pushed import Pushed

        return Pushed(self, handle, failed, last)

    def application_at(self, point: str) -> Any:
        """Return the application object that is mounted at a point, None where there is none.

        Args:
            point: The mount point, such as "/shop".

        Thread: any.
        """
        return self._server("application_at").application_at(point)

    def _server(self, name: str) -> ServerLink:
        link = self._link
        if link is None:
            raise RuntimeError(f"was.{name}() needs a server that runs")
        return link

    def _emit(self, level: Any, text: str, mark: str = "") -> None:
        if mark:
            _log.emit(level, "{mark} {text}", mark=mark, text=text)
        else:
            _log.emit(level, "{text}", text=text)

    def __getattr__(self, name: str) -> Any:
        """Return what is registered by a name that is not our own."""
        if name in REQUEST_BOUND:
            raise RuntimeError(f"was.{name} needs a request: it can be used only by code that is answering one")
        return Verb(self, name) if name in VERBS else shared(name)


class Was(Outside):
    """``was`` for one request.

    Args:
        exchange: The request and its response.
        environ: The WSGI environment; ``env`` is the same dictionary.
        runtime: Runs coroutines; None where they can not be run.
        link: The server; None for the one that was started last.

    Attributes:
        env: The WSGI environment.
        framework: What the framework that answers the request has for ``request``, ``session`` and the like; the
            framework sets it, and sets it back to None when it is done.
    """

    __slots__ = ("__weakref__", "_calls", "_exchange", "_given_link", "_handed_on", "_runtime", "env", "framework")

    def __init__(
        self,
        exchange: Exchange,
        environ: dict[str, Any],
        runtime: Runtime | None = None,
        link: ServerLink | None = None,
    ) -> None:
        # One is made for every request: nothing is computed before it is asked for.
        self._exchange = exchange
        self._calls = count(1)
        self._handed_on: HeaderList | None = None
        self._runtime = runtime
        self._given_link = link
        self.env = environ
        self.framework: Any = None

    @property
    def _link(self) -> ServerLink | None:
        return self._given_link or super()._link

    @property
    def asker(self) -> Asker:
        """What makes requests."""
        link = self._given_link  # each request looks here, so not the long way
        return super().asker if link is None else link.asker

    @property
    def threads(self) -> Threads:
        """The bridge between threads and reactor."""
        link = self._given_link
        return super().threads if link is None else link.threads

    @property
    def user(self) -> str | None:
        """The authenticated user, as the request log names it; None for nobody."""
        return self._exchange.user

    @user.setter
    def user(self, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"was.user must be the name of a user or None, not {name!r}")
        self._exchange.user = name or None

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Return what a WSGI application returns to have a coroutine finish its answer on the reactor.

        Args:
            coroutine: It calls ``start_response`` and returns the iterable. Until it has, no thread is taken.

        Raises:
            RuntimeError: Whoever serves the request runs no coroutines.
        """
        return self._runs_coroutines("later").later(coroutine)

    def in_thread(self, function: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Call a function in an application thread; to be awaited by a coroutine.

        Raises:
            RuntimeError: Whoever serves the request runs no coroutines.
        """
        return self._runs_coroutines("in_thread").in_thread(function, *args)

    def _runs_coroutines(self, name: str) -> Runtime:
        if self._runtime is None:
            raise RuntimeError(f"was.{name}() needs a server that runs coroutines, as Skitai's does")
        return self._runtime

    @property
    def gtxnid(self) -> str:
        """The global transaction id of the request."""
        return gtxn_of(self._exchange)

    @property
    def ltxnid(self) -> int:
        """The local transaction id of the request."""
        return ltxn_of(self._exchange)

    def next_call_headers(self) -> HeaderList:
        """Return the fields that the next outgoing call of this request carries its transaction in. Thread: any."""
        # Views, handlers and callbacks of one request make calls at the same time: none may get the number of another.
        same = self._handed_on
        if same is None:
            self._handed_on = same = handed_on(self._exchange)
        return child_headers(self._exchange, next(self._calls), same)

    def _emit(self, level: Any, text: str, mark: str = "") -> None:
        gtxn, ltxn = self.gtxnid, self.ltxnid
        _log.emit(level, "{mark} {text}", mark=mark or f"{gtxn}/{ltxn}", text=text, gtxn=gtxn, ltxn=ltxn)

    def __getattr__(self, name: str) -> Any:
        """Return what the framework or the registry has by a name that is not our own."""
        if name in VERBS:
            return Verb(self, name)
        if name not in OF_FRAMEWORK:
            return shared(name)
        framework = self.framework
        if framework is None:
            raise RuntimeError(f"was.{name} needs Saddle: the application that answers this request is none")
        return getattr(framework, name)


def shared(name: str) -> Any:
    """Return what is registered by a name.

    Raises:
        NotAvailable: Nothing is; the manual has the name, this version has not.
        AttributeError: Nobody has it.
    """
    found = registry.get(name, _NOTHING)
    if found is _NOTHING:
        refuse(name)
    return found


def refuse(name: str) -> NoReturn:
    """Raise what asking ``was`` for a name that it does not have deserves.

    Raises:
        NotAvailable: The manual has the name, this version has not.
        AttributeError: Nobody has it.
    """
    if name in NOT_AVAILABLE:
        raise NotAvailable(f"was.{name} is not available in this version yet")
    raise AttributeError(f"was has no {name!r}", name=name)


def is_reserved(name: str) -> bool:
    """Return whether ``was`` or ``wasc`` has a name already, or will have it in a later version."""
    if name in NOT_AVAILABLE or name in REQUEST_BOUND or name in OF_WASC or name in VERBS or hasattr(Was, name):
        return True
    # ``was`` is also a package: what is a variable or a module of it can not be anything else.
    package = __name__.rpartition(".")[0]
    modules = (module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)]))
    return name in vars(sys.modules[package]) or name in modules


registry: Final = Registry(is_reserved)
"""What applications share, in this process."""

_servers: Final[list[ServerLink]] = []


def attach(server: ServerLink) -> None:
    """Have ``was`` know a server that runs now. Thread: main."""
    _servers.append(server)


def detach(server: ServerLink) -> None:
    """Have ``was`` forget a server, if it knows it. Thread: main."""
    if server in _servers:
        _servers.remove(server)


OUTSIDE: Final = Outside()

current: ContextVar[Was | None] = ContextVar("skitai.was", default=None)
"""The ``was`` of the request that is being answered, None outside of any."""
