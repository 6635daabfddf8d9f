"""``was.aresponse``: a page that is sent while its parts arrive.

Layer S. It must not know how requests are made: ``was.services.pushed`` does. Thread: the view's, then that of the
handler, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from skitai.saddle.bodies import whole

if TYPE_CHECKING:
    from skitai.saddle.was import Was

Handler = Callable[[Any, "ResProxy"], object]


class Ask:
    """One way to make a request: the name of the request first, else as ``was`` has it.

    Args:
        ask: Makes it.
    """

    __slots__ = ("_make",)

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._make = ask

    def __call__(self, reqid: str | None, uri: str, *args: Any, **kwargs: Any) -> Any:
        """Start a request.

        Args:
            reqid: What the response is known by, None for nothing.
            uri: Where to.
            args: Further arguments, as those of ``was``.
            kwargs: The same by name.
        """
        return self._make(reqid, uri, *args, **kwargs)

    lb = __call__

    def map(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: each request has one response here.

        Raises:
            TypeError: Always.
        """
        raise TypeError("an asynchronous response can not ask all members of a cluster: make a request for each")


class ResProxy:
    """The body of an asynchronous response. An asynchronous iterable.

    It makes requests as ``was`` does, with a name first: ``proxy.get("news", "https://a.example/")``. What a handler
    stores in it, ``proxy["news"] = "<div>...</div>"``, is HTML, and known to the template of ``render_all`` by that
    name.

    Args:
        was: The request that is answered.
        handler: Called with each response and this.
        prolog: Sent before everything.
        epilog: Sent after everything.
    """

    def __init__(self, was: Was, handler: Handler, prolog: Any = None, epilog: Any = None) -> None:
        if not callable(handler):
            raise TypeError(f"the handler must be a function of a response and the proxy, not {handler!r}")
        if iscoroutinefunction(handler):
            raise TypeError("the handler can not be async: it is called in an application thread")
        self._was = was
        self._handler = handler
        self._parts: dict[str, Any] = {}
        self._pushed = was.services.pushed(self._handle, self._failed, _bytes_of(epilog))
        self.push(prolog)

    # -- requests

    def __getattr__(self, name: str) -> Ask:
        # Whoever asks what kind of content this is must not take a request for an answer.
        if name.startswith("_") or not self._pushed.is_verb(name):
            raise AttributeError(f"an asynchronous response has no {name!r}", name=name)
        return Ask(partial(self._ask, name))

    @property
    def rpc(self) -> Ask:
        """XML-RPC services: ``proxy.rpc("sum", uri).add(1, 2)``."""
        return Ask(self._pushed.rpc)

    def _ask(self, verb: str, reqid: str | None, uri: str, *args: Any, **kwargs: Any) -> None:
        self._pushed.ask(reqid, verb, uri, *args, **kwargs)

    def fetched_all(self) -> bool:
        """Tell whether the response that is being handled is the last one."""
        return bool(self._pushed.all_fetched)

    # -- parts

    def __setitem__(self, name: str, content: Any) -> None:
        self._parts[name] = content

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True

    def render(self, template: str, variables: Any = None, /, **kwargs: Any) -> str:
        """Return a template, filled; see ``was.render``."""
        return self._was.render(template, variables, **kwargs)

    def render_all(self, template: str, variables: Any = None, /, **kwargs: Any) -> str:
        """Return a template, filled with all parts by their names; see ``was.render``."""
        # What was stored is HTML: only here it is marked as such, for handlers join it with text of their own.
        parts = {name: Markup(part) if isinstance(part, str) else part for name, part in self._parts.items()}
        return self._was.render(template, {**parts, **dict(variables or {}), **kwargs})

    # -- sending

    def push(self, content: Any) -> None:
        """Send a piece: text, bytes or a number. A thread waits here for a client that does not keep up.

        Raises:
            TypeError: It is none of these.
        """
        self._pushed.push(_bytes_of(content))

    def done(self, content: Any = None) -> None:
        """Send the last piece, and the epilog; what comes later is ignored. See ``push``."""
        self._pushed.done(_bytes_of(content))

    def close(self) -> None:
        """Give it up: what it has asked for is cancelled. A proxy that is not returned is closed with the request.

        Thread: any.
        """
        self._pushed.close()

    def __aiter__(self) -> Any:
        return self._pushed

    # -- inside

    def _handle(self, response: Any) -> None:
        self._handler(response, self)

    def _failed(self, error: Exception) -> None:
        """The handler has failed: it was logged; in debug the page shows it."""
        if self._was.app.debug:
            from skitai.debugpage import format_text
            from skitai.pages import escape

            self.push(f"<pre>{escape(format_text(error))}</pre>")


def _bytes_of(content: Any) -> bytes:
    """Return a piece of a body, that of None is empty."""
    data = b"" if content is None else whole(content)
    if data is None:
        raise TypeError(f"a piece of a body is text or bytes, not {type(content).__name__}")
    return data
