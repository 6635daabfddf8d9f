"""A Saddle: an application made of routes and hooks, which any WSGI server can run.

Layer S. It must not know which server runs it; under Skitai the services of ``environ["skitai.was"]`` are richer.
Thread: it is made and filled by the thread that imports it; requests come in any.
"""

from __future__ import annotations

import atexit
import hashlib
import hmac
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from skitai.attributes import AttributeDictionary
from skitai.saddle.building import BuildError
from skitai.saddle.calling import respond
from skitai.saddle.endpoints import Table
from skitai.saddle.forms import FormLimits
from skitai.saddle.saddlery import Saddlery
from skitai.saddle.was import Was, current

if TYPE_CHECKING:
    import jinja2

    from skitai.saddle.auth import Authenticator
    from skitai.saddle.endpoints import Endpoint
    from skitai.saddle.templates import Templates

LimitValues: TypeAlias = tuple[Any, Any, Any]

_DEFAULT_PACKAGES: Final = ("package", "contrib")


class Saddle(Saddlery):
    """An application.

    Args:
        import_name: ``__name__`` of the module that makes it: templates and resources are looked for beside its file.

    Example::

        app = Saddle(__name__)

        @app.route("/hello/<name>")
        def hello(was, name="World"):
            return f"Hello, {name}"

    Attributes:
        debug: Whether error pages show tracebacks, and templates are read anew when they change.
        use_reloader: Whether the server loads the application again when its files change.
        config: Settings, as items and as attributes. Saddle's own: ``max_post_body_size`` (bytes of a body),
            ``max_multipart_body_size`` (bytes of a form with files), ``max_upload_file_size`` (bytes of one file),
            ``max_cache_size``.
        securekey: Secret that sessions and messages are encrypted with; None: there are none.
        session_timeout: Seconds without a request after which a session ends.
        authorization: "digest" or "basic".
        authenticate: Whether all routes need an authenticated user, where they do not say otherwise.
        realm: Name of what users authenticate themselves for.
        users: Dictionary, or object with a method ``get(name)``, of ``(password, encrypted, info)``,
            ``(password, encrypted)`` or ``password``.
        digest_algorithms: Names of algorithms, best first, of "SHA-256", "SHA-512-256" and "MD5"; None: as the stored
            passwords allow.
        csrf_protect: Whether forms must hold the token of the session, where routes do not say otherwise.
        access_control_allow_origin: Origins whose pages may read answers: "*", one or several; None: none.
        access_control_allow_methods: Methods that they may use; those of the route when None.
        access_control_allow_headers: Fields that they may send; what they ask for when None.
        access_control_allow_credentials: Whether they may use cookies and the like.
        access_control_expose_headers: Fields of answers that they may read.
        access_control_max_age: Seconds for which browsers may remember that.
    """

    def __init__(self, import_name: str | None = None) -> None:
        super().__init__(import_name)
        self.debug = False
        self.use_reloader = False
        self.config = AttributeDictionary(
            max_post_body_size=5 * 1024 * 1024,
            max_cache_size=5 * 1024 * 1024,
            max_multipart_body_size=20 * 1024 * 1024,
            max_upload_file_size=20_000_000,
        )
        self.securekey: str | None = None
        self.session_timeout: int | None = None
        self.authorization = "digest"
        self.authenticate = False
        self.realm: str | None = None
        self.users: Any = {}
        self.digest_algorithms: Any = None
        self.csrf_protect = False
        self.access_control_allow_origin: Any = None
        self.access_control_allow_methods: Any = None
        self.access_control_allow_headers: Any = None
        self.access_control_allow_credentials: bool | None = None
        self.access_control_expose_headers: Any = None
        self.access_control_max_age: int | None = None
        self.mount_point: str = ""
        self.known_keys: dict[tuple[str, str], str] = {}
        self._packages: tuple[str, ...] = _DEFAULT_PACKAGES
        self._overlay: dict[str, Any] | None = None
        self._templates: dict[str, Templates] = {}
        self._table: Table | None = None
        self._limits: tuple[LimitValues, FormLimits] | None = None
        self._authenticator: tuple[tuple[Any, ...], Authenticator] | None = None
        self._secret = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._started = False

    def __repr__(self) -> str:
        return f"<Saddle {self.import_name or 'without a name'}>"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer a request (PEP 3333). Thread: application, or reactor where coroutines answer."""
        services = environ.get("skitai.was")
        if self._table is None:
            self._open(services)
        if services is None:
            from skitai.saddle.services import Standalone

            was = Was(self, environ, Standalone())
        else:
            was = Was(self, environ, None)
            services.framework = was
        current.set(was)
        answer = respond(was, start_response)
        if services is None and type(answer) is list:
            current.set(None)  # the thread would keep the request alive until it gets another one
        return answer

    # -- settings

    def add_package(self, *names: str) -> None:
        """Have modules of more packages loaded again when they change; "package" and "contrib" are anyway.

        Args:
            names: Of packages or modules.
        """
        self._packages += tuple(name for name in names if name not in self._packages)

    def get_resource(self, *parts: str) -> str:
        """Return the path of a file in the directory "resources" of the application.

        Args:
            parts: Of the path, as ``os.path.join`` takes them.
        """
        return os.path.join(self.directory, "resources", *parts)

    @property
    def jinja_env(self) -> jinja2.Environment:
        """The environment of Jinja2 templates, to add globals and filters to."""
        return self.templates.env

    def jinja_overlay(self, **options: Any) -> None:
        """Have templates written with other delimiters.

        Args:
            options: ``variable_start_string``, ``variable_end_string``, ``block_start_string``, ``block_end_string``,
                ``comment_start_string``, ``comment_end_string``, ``line_statement_prefix``, ``line_comment_prefix``,
                and what else Jinja2's ``Environment`` takes. Where a construct begins and ends with the same text,
                that text is written twice to stand for itself.
        """
        for templates in {self.templates, *self._templates.values()}:
            templates.overlay(**options)
        self._overlay = {**(self._overlay or {}), **options}

    @property
    def templates(self) -> Templates:
        """The templates of the application."""
        return self.templates_of(self)

    def templates_of(self, part: Saddlery) -> Templates:
        """Return the templates beside the module of a Saddlery."""
        directory = os.path.join(part.directory, "templates")
        found = self._templates.get(directory)
        if found is None:
            from skitai.saddle.templates import Templates

            with self._lock:
                found = self._templates.get(directory)
                if found is None:
                    found = Templates(directory, overlay=self._overlay)
                    self._templates[directory] = found
        if found.auto_reload != (self.debug or self.use_reloader):
            found.auto_reload = self.debug or self.use_reloader
        return found

    # -- URLs

    def build_url(self, name: Any, /, *args: Any, **kwargs: Any) -> str:
        """Return the URL of a view: see ``was.ab``.

        Outside of a request the application's first mount point is taken.
        """
        was = current.get()
        inside = was is not None and was.app is self
        prefix = was.env.get("SCRIPT_NAME", "") if was is not None and inside else self.mount_point
        return self.url_of(prefix, was if inside else None, name, args, kwargs)

    def url_of(
        self, script_name: str, was: Was | None, name: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """Return the URL of a view of this application, or of another one where ``name`` says so.

        Args:
            script_name: Mount point of this application, as in an environ; without a request decoded.
            was: The request that asks, None outside of any.
            name: As for ``was.ab``.
            args: Arguments of the view in order.
            kwargs: Arguments of the view by name.

        Raises:
            BuildError: There is no such view, or the arguments do not fit it.
        """
        if isinstance(name, str) and name.startswith("/") and ":" in name:
            point, _, name = name.rpartition(":")
            other = was.services.application_at(point) if was is not None and was.under_skitai else None
            if not isinstance(other, Saddle):
                raise BuildError(f"no Saddle application is mounted at {point!r}")
            return other.table.builder.build(point.rstrip("/"), name, args, kwargs)
        if was is not None and not script_name.isascii():
            script_name = script_name.encode("latin-1").decode("utf-8", "replace")
        return self.table.builder.build(script_name, name, args, kwargs)

    # -- testing

    def test_client(self, point: str = "/", **options: Any) -> Any:
        """Return a client that makes requests to the application through Skitai, without a socket.

        Relative paths start from the directory of the application.

        Args:
            point: Where to mount the application.
            options: As for ``skitai.testing.Client``.
        """
        from skitai.testing import Client

        module = sys.modules.get(self.import_name or "")
        return Client({point: self}, origin=vars(module) if module is not None else {}, **options)

    # -- what requests need

    @property
    def table(self) -> Table:
        """All endpoints; with the first use nothing more can be registered."""
        if self._table is None:
            with self._lock:
                if self._table is None:
                    self.close()
                    self._table = Table(self)
        return self._table

    def form_limits(self) -> FormLimits:
        """Return how large bodies may be, as ``config`` says now."""
        config = self.config
        values = (config.max_post_body_size, config.max_multipart_body_size, config.max_upload_file_size)
        if self._limits is None or self._limits[0] != values:
            self._limits = (values, FormLimits(*(int(value) for value in values)))
        return self._limits[1]

    @property
    def authenticator(self) -> Authenticator:
        """What authenticates users, as the settings say now."""
        settings = (self.authorization, self.realm, self.users, self.digest_algorithms, self.securekey)
        known = self._authenticator
        if known is None or any(one is not other for one, other in zip(known[0], settings, strict=True)):
            with self._lock:
                known = self._authenticator
                if known is None or any(one is not other for one, other in zip(known[0], settings, strict=True)):
                    self._authenticator = known = (settings, self._make_authenticator())
        return known[1]

    def _make_authenticator(self) -> Authenticator:
        from skitai.saddle.auth import Authenticator

        secret = self._secret
        if self.securekey:
            # All processes that share the key know each other's nonces.
            secret = hmac.digest(self.securekey.encode(), b"skitai authentication", hashlib.sha256)
        return Authenticator(self.authorization, self.realm, self.users, self.digest_algorithms, time.time, secret)

    # -- what the server calls

    @property
    def skitai_packages(self) -> tuple[str, ...]:
        """Names of packages to load again when they change."""
        return self._packages

    @property
    def skitai_is_async(self) -> Callable[[str, str], bool] | None:
        """Tells by method and path whether coroutines answer a request; None where none ever do."""
        parts = self._parts()
        if any(part.hooks.any_async or any(route.is_async for route in part.routes) for part in parts):
            return self._is_async
        return None

    def skitai_startup(self, wasc: Any) -> None:
        """Call the ``startup`` hooks, those of the application first. Thread: main."""
        for part in self._parts():
            for hook in part.hooks.startup:
                hook(wasc)
        Table(self)  # what can not be served is told now, and not with the first request
        self._started = True

    def skitai_reload(self, wasc: Any) -> None:
        """Call the ``onreload`` hooks in the place of ``startup``. Thread: application."""
        for part in self._parts():
            for hook in part.hooks.onreload:
                hook(wasc)
        Table(self)
        self._started = True

    def skitai_shutdown(self, wasc: Any) -> None:
        """Call the ``shutdown`` hooks, those of the application last. Thread: main.

        All are called, even where one fails; what the last of these has raised is raised in the end.
        """
        with ExitStack() as stack:
            for part in self._parts():
                for hook in reversed(part.hooks.shutdown):
                    stack.callback(hook, wasc)

    def _parts(self) -> list[Saddlery]:
        """Return the application and what is mounted below it, each once, though it may be mounted at several paths."""
        return list(dict.fromkeys(self.below()))

    def _is_async(self, method: str, path: str) -> bool:
        return self.table.is_async(method, path, self._may_ask_users)

    def _may_ask_users(self, endpoint: Endpoint) -> bool:
        """Tell whether authentication may wait for what ``users`` does: that is nothing for the reactor."""
        return endpoint.is_guarded(self.authenticate) and not isinstance(self.users, dict)

    def _open(self, services: Any) -> None:
        """Be ready for the first request; under another server than Skitai this is the start."""
        with self._lock:
            if services is None and not self._started:
                from skitai.saddle.services import Shared

                wasc = Shared()
                self.skitai_startup(wasc)
                atexit.register(self.skitai_shutdown, wasc)
            _ = self.table
