"""The ``was`` that views and hooks get: one request, its answer, and all services.

Everything is made when it is first asked for. What is not here is asked of ``environ["skitai.was"]``, the services of
the server.

Layer S. It must not know how requests are routed or answered. Thread: the one that answers the request.
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from email.utils import formatdate
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from weakref import ref

from skitai.errors import PeerError
from skitai.formats import tojson
from skitai.saddle.request import Request
from skitai.saddle.response import Fields, Response

if TYPE_CHECKING:
    from markupsafe import Markup

    from skitai.saddle.app import Saddle
    from skitai.saddle.cookie import Cookie
    from skitai.saddle.mbox import MessageBox
    from skitai.saddle.resproxy import ResProxy
    from skitai.saddle.saddlery import Saddlery
    from skitai.saddle.session import Session

_URI_SAFE: Final = "%!#$&'()*+,/:;=?@[]~"


class Namespace(SimpleNamespace):
    """``was.g``: an object for whatever hooks, views and templates share during one request."""


class Was:
    """One request, as views and hooks see it.

    Args:
        app: The application that answers.
        environ: The WSGI environment.
        services: What the server offers; None for Skitai's, which are in ``environ``.

    Attributes:
        app: The application that answers, also in views of a Saddlery.
        env: The WSGI environment.
        request: The request.
        owner: The Saddlery whose view answers.
    """

    __slots__ = (
        "_cookie",
        "_g",
        "_mbox",
        "_proxies",
        "_response",
        "_served",
        "_services",
        "_session",
        "app",
        "env",
        "owner",
        "request",
    )

    def __init__(self, app: Saddle, environ: dict[str, Any], services: Any) -> None:
        # One is made for every request: nothing is computed before it is asked for.
        self.app = app
        self.env = environ
        self._services = services
        # Without a weak reference the two would keep each other alive until the garbage collector comes. In callbacks
        # and handlers, which may run when the request is over, their context keeps them.
        self._served = ref(environ["skitai.was"]) if services is None else None
        self.request = Request(environ, app.form_limits)
        self.owner: Saddlery = app
        self._g: Namespace | None = None
        self._response: Response | None = None
        self._cookie: Cookie | None = None
        self._session: Session | None = None
        self._mbox: MessageBox | None = None
        self._proxies: tuple[ResProxy, ...] = ()

    # -- the parts

    @property
    def g(self) -> Namespace:
        """An object for whatever belongs to this request."""
        if self._g is None:
            self._g = Namespace()
        return self._g

    @property
    def response(self) -> Response:
        """The answer: call it, or set its status and fields."""
        if self._response is None:
            self._response = Response()
        return self._response

    @property
    def cookie(self) -> Cookie:
        """The cookies of the client."""
        if self._cookie is None:
            from skitai.saddle.cookie import Cookie

            environ = self.env
            self._cookie = Cookie(
                environ.get("HTTP_COOKIE", ""), environ.get("SCRIPT_NAME") or "/", environ["wsgi.url_scheme"] == "https"
            )
        return self._cookie

    @property
    def session(self) -> Session:
        """The session of the client: values in an encrypted cookie.

        Raises:
            ConfigError: The application has no securekey.
        """
        if self._session is None:
            from skitai.saddle.session import Session

            self._session = Session(self.cookie, self._store_settings())
        return self._session

    @property
    def mbox(self) -> MessageBox:
        """Messages for the client's next pages.

        Raises:
            ConfigError: The application has no securekey.
        """
        if self._mbox is None:
            from skitai.saddle.mbox import MessageBox

            self._mbox = MessageBox(self.cookie, self._store_settings())
        return self._mbox

    def _store_settings(self) -> Any:
        from skitai.saddle.store import DEFAULT_TIMEOUT, SessionSettings

        app, environ = self.app, self.env
        return SessionSettings(
            securekey=app.securekey,
            timeout=DEFAULT_TIMEOUT if app.session_timeout is None else app.session_timeout,
            remote_addr=environ.get("REMOTE_ADDR", ""),
            secure=environ["wsgi.url_scheme"] == "https",
            now=time.time,
            known_keys=app.known_keys,
        )

    # -- URLs and redirects

    def ab(self, name: Any, /, *args: Any, **kwargs: Any) -> str:
        """Return the URL of a view, by the name of its function.

        Args:
            name: Name of the function, with that of its Saddlery before it where it is not the only one
                ("admin.index"); or a path below the mount point, with a slash before it; or "/point:name" for a view
                of the application mounted at another point.
            args: Arguments of the view in order.
            kwargs: Arguments of the view by name.

        Raises:
            BuildError: There is no such view, or an argument is missing or not taken.
        """
        return self.app.url_of(self.env.get("SCRIPT_NAME", ""), self, name, args, kwargs)

    def redirect(
        self, url: str, status: str | int = "302 Object Moved", body: Any = None, headers: Fields | None = None
    ) -> Response:
        """Return an answer that sends the client to another URL.

        Args:
            url: Where to; what a URI can not hold is percent-encoded.
            status: Status of the answer.
            body: Content for clients that do not go there.
            headers: More header fields.
        """
        response = self.response(status, "" if body is None else body, headers)
        response.set_header("Location", quote(url, safe=_URI_SAFE))
        return response

    # -- templates

    def render(self, template: str, variables: Any = None, /, **kwargs: Any) -> str:
        """Return a template of the application, filled.

        Args:
            template: Path below the directory "templates" of the application; ".pt" and ".ptal" are Chameleon's, all
                others Jinja2's.
            variables: A dictionary of variables.
            kwargs: Variables by name, instead of the dictionary.

        Raises:
            TypeError: Both are given.
        """
        return self.app.templates.render(self, template, _variables(variables, kwargs))

    def render2(self, template: str, variables: Any = None, /, **kwargs: Any) -> str:
        """Return a template of the Saddlery that the view belongs to, filled; else as ``render``."""
        return self.app.templates_of(self.owner).render(self, template, _variables(variables, kwargs))

    # -- shortcuts for answers

    def jstream(self, obj: Any) -> Response:
        """Return an answer that holds a value as JSON."""
        return self.response("200 OK", tojson(obj), [("Content-Type", "application/json")])

    def xstream(self, obj: Any, usedatetime: int = 0) -> Response:
        """Return an answer that holds a value as an XML-RPC document."""
        from skitai.formats import toxml

        return self.response("200 OK", toxml(obj, usedatetime), [("Content-Type", "text/xml")])

    def gstream(self, obj: Any) -> Response:
        """Return an answer that holds a protobuf message."""
        from skitai.formats import togrpc

        return self.response("200 OK", togrpc(obj), [("Content-Type", "application/grpc")])

    def fstream(self, path: str, mimetype: str = "application/octet-stream") -> Response:
        """Return an answer that holds a file.

        Args:
            path: Path of the file.
            mimetype: Its media type.

        Raises:
            PeerError: There is no such file (404).
        """
        try:
            file = open(path, "rb")  # noqa: SIM115  # closed when it has been sent
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as error:
            raise PeerError(404, "there is no such file") from error
        status = os.fstat(file.fileno())
        return self.response(
            "200 OK",
            file,
            [
                ("Content-Type", mimetype),
                ("Content-Length", str(status.st_size)),
                ("Last-Modified", formatdate(status.st_mtime, usegmt=True)),
            ],
        )

    def aresponse(self, response_handler: Any, prolog: Any = None, epilog: Any = None) -> ResProxy:
        """Return a body that is sent while its parts arrive.

        Args:
            response_handler: Called with each response and the proxy, one after the other; it must call
                ``proxy.done()`` at last.
            prolog: Sent before everything.
            epilog: Sent after everything.
        """
        from skitai.saddle.resproxy import ResProxy

        proxy = ResProxy(self, response_handler, prolog, epilog)
        self._proxies += (proxy,)
        return proxy

    # -- cross-site request forgery

    @property
    def csrf_token(self) -> str:
        """The token of the session that forms must send along."""
        from skitai.saddle.csrf import token

        return token(self.session)

    @property
    def csrf_token_input(self) -> Markup:
        """The token as a hidden field of a form."""
        from skitai.saddle.csrf import token_input

        return token_input(self.session)

    # -- inside

    @property
    def under_skitai(self) -> bool:
        """Whether Skitai serves, and not another WSGI server."""
        return self._services is None

    @property
    def has_response(self) -> bool:
        """Whether anything has been set of the answer."""
        return self._response is not None

    @property
    def services(self) -> Any:
        """What the server offers this request.

        Raises:
            RuntimeError: The request is over.
        """
        services = self._services if self._served is None else self._served()
        if services is None:
            raise RuntimeError(
                "the request is over: its was has services left for callbacks and handlers of its own requests only"
            )
        return services

    def commit(self, failed: bool) -> list[str]:
        """Return the values of the Set-Cookie fields that the answer needs.

        Args:
            failed: Whether the page failed, so that its messages were not read.
        """
        if self._session is not None:
            self._session.commit()
        if self._mbox is not None:
            for dropped in self._mbox.commit(failed):
                self.services.log(f"a message did not fit into its cookie and is lost: {dropped.msg!r}", "warning")
        return self._cookie.header_values() if self._cookie is not None else []

    def close(self) -> None:
        """Let go of what the request holds: asynchronous responses that were not sent, uploads that were not saved."""
        proxies, self._proxies = self._proxies, ()
        for proxy in proxies:
            proxy.close()
        try:
            self.request.close()
        except OSError as error:
            self.services.log(f"a temporary file of an upload could not be removed: {error}", "error")

    def reset_response(self) -> None:
        """Forget what the view has set of the answer, since it has failed."""
        if self._response is not None:
            self._response.reset()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"was has no {name!r}", name=name)
        return getattr(self.services, name)


def _variables(variables: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    if variables is None:
        return kwargs
    if kwargs:
        raise TypeError("the variables of a template are one dictionary or keyword arguments, not both")
    return dict(variables)


current: Final[ContextVar[Was | None]] = ContextVar("skitai.saddle", default=None)
"""The ``was`` of the request that the running code answers."""
