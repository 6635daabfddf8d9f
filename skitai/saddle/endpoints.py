"""Finding what answers a request: the routes of an application, ready to be called.

When the first request comes, each route of a Saddle and of all Saddleries below it becomes an ``Endpoint``, which knows
the whole rule, the hooks around its view and what must be checked before. ``Table`` holds them all.

Layer S. It must not know how an endpoint is called. Thread: built by one, then only read, by any.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from skitai.errors import PeerError
from skitai.saddle.building import Builder, Place
from skitai.saddle.cors import CorsPolicy
from skitai.saddle.request import Request
from skitai.saddle.routing import Router
from skitai.saddle.rules import quote_path, read_rule
from skitai.saddle.saddlery import Hooks, Route, Saddlery

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What ``Allow`` names for a route that takes all methods."""


class Refusal(PeerError):
    """Nothing answers the request, for a reason that is none of the application's.

    Args:
        status: Status of the answer.
        message: What to say.
        headers: More header fields.
        endpoint: What would have answered, None for nothing.
    """

    def __init__(
        self, status: int, message: str, headers: Iterable[tuple[str, str]] = (), endpoint: Endpoint | None = None
    ) -> None:
        super().__init__(status, message)
        self.headers = list(headers)
        self.endpoint = endpoint


class Endpoint:
    """A route with all that surrounds it.

    Args:
        route: The route.
        prefix: Path of the Saddlery it belongs to, below the mount point of the application.
        chain: The application, and the Saddleries down to that one.

    Attributes:
        route: The route.
        rule: The whole rule.
        methods: As of the route.
        content_types: As of the route.
        view: The function.
        names: Names that URLs are built by.
        owner: The Saddlery that the route belongs to.
        hooks: Of the application and the Saddleries down to the owner, only those that have any.
        is_async: Whether the view or one of the hooks is a coroutine function.
        cors: What pages of other origins may do.
        authenticate: Whether clients must authenticate themselves, None: as the application says.
        csrf: Whether forms must hold the token of the session, None: as the application says.
    """

    __slots__ = (
        "authenticate",
        "content_types",
        "cors",
        "csrf",
        "hooks",
        "is_async",
        "methods",
        "names",
        "owner",
        "readers",
        "route",
        "rule",
        "signature",
        "view",
    )

    def __init__(self, route: Route, prefix: str, chain: tuple[Saddlery, ...]) -> None:
        self.route = route
        self.rule = read_rule(prefix + route.rule.text)
        self.methods = route.methods
        self.content_types = route.content_types
        self.view: Callable[..., Any] = route.view
        self.signature = route.signature
        self.owner = chain[-1]
        self.names = (f"{self.owner.name}.{route.name}", route.name) if self.owner.name else (route.name,)
        self.hooks: tuple[Hooks, ...] = tuple(part.hooks for part in chain if part.hooks.of_requests)
        self.is_async = route.is_async or any(hooks.any_async for hooks in self.hooks)
        policy = CorsPolicy.of(chain[0], route.options)
        self.cors = policy if policy.allow_origin is not None else None
        self.authenticate: bool | None = route.options.get("authenticate")
        self.csrf: bool | None = route.options.get("csrf")
        self.readers = tuple((parameter.name, parameter.converter) for parameter in self.rule.parameters)

    def __str__(self) -> str:
        view = self.view
        return f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', self.route.name)}"

    def path_args(self, texts: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments from the texts of a path."""
        return {name: converter.read(text) for (name, converter), text in zip(self.readers, texts, strict=True)}

    def takes(self, method: str) -> bool:
        """Tell whether the route takes a method."""
        return self.methods is None or method in self.methods

    def is_guarded(self, by_default: bool) -> bool:
        """Tell whether clients must authenticate themselves.

        Args:
            by_default: Whether they must where the route does not say.
        """
        return by_default if self.authenticate is None else self.authenticate

    def takes_type(self, content_type: str) -> bool:
        """Tell whether the route takes bodies of a media type."""
        return self.content_types is None or content_type in self.content_types


class Table:
    """All endpoints of an application.

    Args:
        app: The application.
    """

    def __init__(self, app: Saddlery) -> None:
        self.endpoints = [
            Endpoint(route, prefix, chain) for prefix, chain in app.levels() for route in chain[-1].routes
        ]
        self.router = Router(self.endpoints)  # type: ignore[arg-type]  # lists are invariant
        self.builder = Builder(
            Place(endpoint.rule, endpoint.view, endpoint.names, endpoint.signature) for endpoint in self.endpoints
        )
        self.cors = CorsPolicy.of(app)
        self._method_names: dict[str, str] | None = None

    def select(self, request: Request) -> tuple[Endpoint, tuple[str, ...]]:
        """Return the endpoint that answers a request, and the texts of its path parameters.

        Raises:
            Refusal: There is none: 301 where the slash at the end is missing, else 404, 405 or 415.
            PeerError: The path is no text (400).
        """
        if not request.path.isascii():
            request.check_path()
        best = self.router.best(request.path)
        if best is not None:
            endpoint = cast(Endpoint, best.routes[0])
            # What nearly all requests find, without looking for anything else.
            if endpoint.content_types is None and endpoint.takes(request.method):
                return endpoint, best.texts
        return self._select_another(request)

    def _select_another(self, request: Request) -> tuple[Endpoint, tuple[str, ...]]:
        """Return the first of all endpoints on the path that takes the method and the type of the body."""
        method = request.method
        allowed: set[str] = set()
        refused: Endpoint | None = None
        for routes, texts in self.router.find(request.path):
            for target in routes:
                endpoint = cast(Endpoint, target)
                if not endpoint.takes(method):
                    allowed |= endpoint.methods or set()
                elif endpoint.content_types is None or endpoint.takes_type(request.get_content_type()):
                    return endpoint, texts
                else:
                    refused = endpoint
        if refused is not None:
            types = ", ".join(sorted(refused.content_types or ()))
            raise Refusal(415, f"this takes {types}", endpoint=refused)
        if allowed:
            fields = [("Allow", ", ".join(sorted(allowed)))]
            raise Refusal(405, f"{method} is not allowed here", fields, self._first(request.path))
        self._redirect(request)
        raise Refusal(404, "")

    def _first(self, path: str) -> Endpoint | None:
        found = self.router.best(path)
        return cast(Endpoint, found.routes[0]) if found is not None else None

    def _redirect(self, request: Request) -> None:
        endpoint = None if request.path.endswith("/") else self._first(request.path + "/")
        if endpoint is not None:
            url = quote_path(request.decoded_script_name + request.path) + "/"
            query = request.environ.get("QUERY_STRING")
            # Two slashes at the beginning would name a host (RFC 3986 section 4.2).
            location = "/" + url.lstrip("/") + (f"?{query}" if query else "")
            raise Refusal(301, "", [("Location", location)], endpoint)

    def options(self, request: Request, guarded: bool) -> tuple[list[tuple[str, str]], Endpoint] | None:
        """Return what answers an OPTIONS request: header fields, and the endpoint they speak of.

        Args:
            request: The request.
            guarded: Whether clients must authenticate themselves where routes do not say otherwise.

        Returns:
            None where a view answers, because its route takes OPTIONS and nothing else, from everybody.

        Raises:
            Refusal: No route takes OPTIONS.
        """
        endpoints = [cast(Endpoint, item) for found in self.router.find(request.path) for item in found.routes]
        taking = [endpoint for endpoint in endpoints if endpoint.takes("OPTIONS")]
        if not taking:
            self.select(request)  # raises the refusal
            raise Refusal(404, "")
        if taking[0].methods == frozenset({"OPTIONS"}) and not taking[0].is_guarded(guarded):
            return None
        allowed = set(METHODS) if any(item.methods is None for item in endpoints) else set()
        allowed.update(*(item.methods or () for item in endpoints))
        fields = [("Allow", ", ".join(sorted(allowed)))]
        wanted = request.get_header("Access-Control-Request-Method")
        endpoint = next((item for item in endpoints if wanted and item.takes(wanted)), taking[0])
        if wanted and endpoint.cors is not None:
            asked = request.get_header("Access-Control-Request-Headers")
            fields += endpoint.cors.preflight(request.get_header("Origin"), wanted, asked, sorted(allowed))
        return fields, endpoint

    def by_method_name(self, name: str, content_type: str) -> Endpoint | None:
        """Return the endpoint of an XML-RPC method, None for none: "a.b" is the route "/a/b" or "/a/b/".

        Args:
            name: Name of the method.
            content_type: Media type of the request.
        """
        path = "/" + name.replace(".", "/")
        for found in (self.router.best(path), self.router.best(path + "/")):
            for target in found.routes if found is not None and not found.texts else ():
                endpoint = cast(Endpoint, target)
                if endpoint.takes("POST") and endpoint.takes_type(content_type):
                    return endpoint
        return None

    @property
    def method_names(self) -> dict[str, str]:
        """The names of all XML-RPC methods and what they do: those of routes without parameters."""
        if self._method_names is None:
            self._method_names = self._read_method_names()
        return self._method_names

    def _read_method_names(self) -> dict[str, str]:
        names = {}
        for endpoint in self.endpoints:
            rule = endpoint.rule
            if rule.parameters or rule.text == "/" or not endpoint.takes("POST"):
                continue
            if endpoint.takes_type("text/xml") or endpoint.takes_type("application/xml"):
                names[rule.text.strip("/").replace("/", ".")] = inspect.getdoc(endpoint.view) or ""
        return names

    def is_async(self, method: str, path: str, waits: Callable[[Endpoint], bool]) -> bool:
        """Tell whether nothing but coroutines answers a request without a body.

        Args:
            method: The method.
            path: Below the mount point, as in an environ.
            waits: Tells whether what is checked before an endpoint is run may wait for something.
        """
        found = self.router.best(path if path.isascii() else _decoded(path))
        if found is None or method == "OPTIONS":
            return False
        endpoints = [endpoint for item in found.routes if (endpoint := cast(Endpoint, item)).takes(method)]
        return bool(endpoints) and all(endpoint.is_async and not waits(endpoint) for endpoint in endpoints)


def _decoded(path: str) -> str:
    try:
        return path.encode("latin-1").decode("utf-8")
    except ValueError:
        return ""
