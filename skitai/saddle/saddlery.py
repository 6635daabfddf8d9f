"""A Saddlery: routes and hooks that can be mounted on a Saddle, or on another Saddlery.

Layer S. It must not know how requests are answered. Thread: the one that imports the application; nothing can be
registered any more once the first request has come.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, TypeVar

from skitai.saddle.arguments import Signature
from skitai.saddle.rules import Rule, read_rule

Function = TypeVar("Function", bound=Callable[..., Any])

_CORS_OPTIONS: Final = (
    "allow_origin",
    "allow_methods",
    "allow_headers",
    "allow_credentials",
    "expose_headers",
    "max_age",
)

ROUTE_OPTIONS: Final = frozenset({"authenticate", "csrf", *(f"access_control_{name}" for name in _CORS_OPTIONS)})
"""What else ``route()`` takes."""

_METHOD_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")


class Route:
    """One rule and the view it leads to.

    Attributes:
        rule: The rule, below the mount point of its owner.
        view: The function.
        name: Its name, which URLs are built by.
        methods: Methods it takes, upper-case, with HEAD where GET is; None for all.
        content_types: Media types of request bodies it takes, lower-case; None for all.
        routable: Both as they were given.
        options: What else was given to ``route()``.
        signature: The parameters of the view.
        is_async: Whether the view is a coroutine function.
    """

    __slots__ = ("content_types", "is_async", "methods", "name", "options", "routable", "rule", "signature", "view")

    def __init__(
        self,
        rule: Rule,
        view: Callable[..., Any],
        methods: tuple[str, ...] | None,
        content_types: tuple[str, ...] | None,
        options: Mapping[str, Any],
    ) -> None:
        self.rule = rule
        self.view = view
        self.name = getattr(view, "__name__", type(view).__name__)
        self.methods = frozenset((*methods, "HEAD") if "GET" in methods else methods) if methods else None
        self.content_types = frozenset(content_types) if content_types else None
        self.routable = {"methods": list(methods or ()), "content_types": list(content_types or ())}
        self.options = options
        self.signature = Signature(view)
        self.is_async = inspect.iscoroutinefunction(view)


class Hooks:
    """The decorated functions of one Saddlery, by kind, in the order of registration."""

    __slots__ = ("before", "failed", "finish", "onreload", "shutdown", "startup", "teardown")

    def __init__(self) -> None:
        self.before: list[Callable[..., Any]] = []
        self.finish: list[Callable[..., Any]] = []
        self.failed: list[Callable[..., Any]] = []
        self.teardown: list[Callable[..., Any]] = []
        self.startup: list[Callable[..., Any]] = []
        self.onreload: list[Callable[..., Any]] = []
        self.shutdown: list[Callable[..., Any]] = []

    @property
    def of_requests(self) -> bool:
        """Whether there are any that concern requests."""
        return bool(self.before or self.finish or self.failed or self.teardown)

    @property
    def any_async(self) -> bool:
        """Whether any that concerns requests is a coroutine function."""
        return any(map(inspect.iscoroutinefunction, (*self.before, *self.finish, *self.failed, *self.teardown)))


class Saddlery:
    """Routes and hooks that are mounted on a Saddle or another Saddlery.

    Args:
        import_name: ``__name__`` of the module that makes it; needed for templates of its own (``was.render2``).

    Example::

        part = Saddlery(__name__)

        @part.route("/<name>")
        def hello(was, name):
            return f"Hello, {name}"

    Attributes:
        name: Name of the module, the last part; URLs may be built by ``name.function``.
        directory: Absolute path of the directory of the module.
        routes: What was registered with ``route()``.
        hooks: The decorated functions.
        mounted: Paths and what is mounted there.
    """

    def __init__(self, import_name: str | None = None) -> None:
        self.import_name = import_name
        module = sys.modules.get(import_name) if import_name else None
        path = getattr(module, "__file__", None)
        self.directory = os.path.dirname(os.path.abspath(path)) if path else os.getcwd()
        self.name = _short_name(import_name, path)
        self.routes: list[Route] = []
        self.mounted: list[tuple[str, Saddlery]] = []
        self.hooks = Hooks()
        self._closed = False

    # -- registering

    def route(
        self,
        rule: str,
        methods: Iterable[str] | None = None,
        content_types: Iterable[str] | None = None,
        **options: Any,
    ) -> Callable[[Function], Function]:
        """Have the decorated function answer requests for a path.

        Args:
            rule: The path below the mount point, with parameters: ``"/hello/<name>"``, ``"/v<int:major>/<path>"``.
            methods: Methods that it takes, all when None; HEAD comes with GET. Others are answered with 405.
            content_types: Media types of bodies that it takes, all when None. Others are answered with 415.
            options: ``authenticate``: whether clients must authenticate themselves, as the application says when
                not given; ``csrf``: whether the form must hold the token of the session; ``access_control_*``: the
                same as the attributes of the application, for this route.

        Returns:
            A decorator that returns the function as it is.

        Raises:
            ValueError: The rule, a method or a media type can not be used.
            TypeError: There is no such option, or the function can not be a view.
            RuntimeError: The application has answered requests already.
        """
        self._check_open(f"route({rule!r})")
        unknown = sorted(options.keys() - ROUTE_OPTIONS)
        if unknown:
            raise TypeError(f"route({rule!r}): there is no option {', '.join(unknown)}")
        read = read_rule(rule)
        taken = _methods(methods)
        types = _content_types(content_types)

        def _register(function: Function) -> Function:
            self._check_open(f"route({rule!r})")
            self.routes.append(Route(read, function, taken, types, options))
            return function

        return _register

    def mount(self, point: str, target: ModuleType | Saddlery, appname: str = "app") -> None:
        """Mount a Saddlery.

        Args:
            point: Path below this one's mount point.
            target: The Saddlery, or the module that holds it.
            appname: Variable of the module.

        Raises:
            TypeError: The target is no Saddlery.
            ValueError: It is mounted below itself.
        """
        self._check_open(f"mount({point!r})")
        part = getattr(target, appname, None) if isinstance(target, ModuleType) else target
        if not isinstance(part, Saddlery):
            raise TypeError(f"mount({point!r}): {target!r} has no Saddlery {appname!r}, but {part!r}")
        if part is self or self in part.below():
            raise ValueError(f"mount({point!r}): a Saddlery can not be mounted below itself")
        self.mounted.append(("/" + point.strip("/") if point.strip("/") else "", part))

    def before_request(self, function: Function) -> Function:
        """Call the function with ``was`` before each view; content that it returns is the answer."""
        return self._hook(self.hooks.before, function)

    def finish_request(self, function: Function) -> Function:
        """Call the function with ``was`` after each view that did not fail."""
        return self._hook(self.hooks.finish, function)

    def failed_request(self, function: Function) -> Function:
        """Call the function with ``was`` and ``sys.exc_info()`` after each view that failed; it may return content."""
        return self._hook(self.hooks.failed, function)

    def teardown_request(self, function: Function) -> Function:
        """Call the function with ``was`` at the end of each request, whatever has happened."""
        return self._hook(self.hooks.teardown, function)

    def startup(self, function: Function) -> Function:
        """Call the function with ``wasc`` when the server starts."""
        return self._hook(self.hooks.startup, function, plain=True)

    def onreload(self, function: Function) -> Function:
        """Call the function with ``wasc`` when the application has been loaded again."""
        return self._hook(self.hooks.onreload, function, plain=True)

    def shutdown(self, function: Function) -> Function:
        """Call the function with ``wasc`` when the server stops."""
        return self._hook(self.hooks.shutdown, function, plain=True)

    # -- inside

    def _hook(self, hooks: list[Callable[..., Any]], function: Function, plain: bool = False) -> Function:
        name = getattr(function, "__name__", repr(function))
        self._check_open(name)
        if not callable(function):
            raise TypeError(f"a hook must be a function, not {function!r}")
        if plain and inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}() can not be async: it runs while nothing is served")
        hooks.append(function)
        return function

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise RuntimeError(f"{what} comes too late: the application has begun to answer requests")

    def close(self) -> None:
        """Register nothing more, here and below."""
        self._closed = True
        for _, part in self.mounted:
            part.close()

    def below(self) -> Iterator[Saddlery]:
        """Yield this one and everything mounted below it, each before what is mounted on it."""
        yield self
        for _, part in self.mounted:
            yield from part.below()

    def levels(self, prefix: str = "", above: tuple[Saddlery, ...] = ()) -> Iterator[tuple[str, tuple[Saddlery, ...]]]:
        """Yield, for this one and all below, its path and the chain of those it is mounted on, itself last."""
        chain = (*above, self)
        yield prefix, chain
        for point, part in self.mounted:
            yield from part.levels(prefix + point, chain)


def _short_name(import_name: str | None, path: str | None) -> str:
    if import_name == "__main__" and path:
        return os.path.splitext(os.path.basename(path))[0]
    return import_name.rpartition(".")[2] if import_name else ""


def _methods(methods: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return methods in upper case; a single one may be given as it is."""
    if methods is None:
        return None
    found = [method.upper() for method in ([methods] if isinstance(methods, str) else methods)]
    wrong = [method for method in found if not method or not _METHOD_CHARACTERS.issuperset(method)]
    if wrong or not found:
        raise ValueError(f"methods must name methods such as 'GET', not {wrong or methods!r}")
    return tuple(dict.fromkeys(found))


def _content_types(content_types: Iterable[str] | None) -> tuple[str, ...] | None:
    if content_types is None:
        return None
    given = [content_types] if isinstance(content_types, str) else content_types
    found = [content_type.partition(";")[0].strip().lower() for content_type in given]
    if not found or any("/" not in content_type for content_type in found):
        raise ValueError(f"content_types must name media types such as 'text/xml', not {content_types!r}")
    return tuple(dict.fromkeys(found))
