"""The request as a view sees it: ``was.request``.

Everything is worked out when it is first asked for. What the client has written wrong raises ``PeerError`` there.

Layer S. It must not know how a request is answered. Thread: the one that answers the request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.errors import PeerError
from skitai.saddle.forms import Form, FormLimits, parse_query, read_body, read_form

if TYPE_CHECKING:
    from skitai.saddle.auth import User
    from skitai.saddle.saddlery import Route

Read = TypeVar("Read")

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Headers(Mapping[str, str]):
    """The header fields of a request; names are case-insensitive.

    Args:
        environ: The WSGI environment.
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        environ = self._environ
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH") and environ.get(key):
            return str(environ[key])
        return str(environ["HTTP_" + key])

    def __iter__(self) -> Iterator[str]:
        for key in self._environ:
            if key.startswith("HTTP_"):
                yield key[5:].replace("_", "-").title()
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and self._environ[key]:
                yield key.replace("_", "-").title()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


class Request:
    """A request.

    Args:
        environ: The WSGI environment.
        limits: How large bodies may be.

    Attributes:
        environ: The WSGI environment.
        method: Method, upper-case.
        path: Path below the mount point, decoded.
        headers: Header fields.
        user: Who has authenticated himself, None for nobody.
    """

    __slots__ = (
        "_args",
        "_body",
        "_fault",
        "_form",
        "_limits",
        "_route",
        "environ",
        "method",
        "path",
        "path_args",
        "user",
    )

    def __init__(self, environ: dict[str, Any], limits: Callable[[], FormLimits]) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self._limits = limits
        self._args: dict[str, Any] | None = None
        self._body: bytes | None = None
        self._form: Form | None = None
        self._fault: PeerError | None = None
        self._route: Route | None = None
        self.path_args: dict[str, Any] = {}
        self.user: User | None = None
        path = environ.get("PATH_INFO") or "/"
        self.path = path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")

    # -- the head

    @property
    def command(self) -> str:
        """Method, lower-case."""
        return self.method.lower()

    @property
    def uri(self) -> str:
        """Path and query as the client wrote them."""
        uri = self.environ.get("REQUEST_URI")
        if uri:
            return str(uri)
        from skitai.saddle.rules import quote_path

        query = self.environ.get("QUERY_STRING")
        return quote_path(self.decoded_script_name + self.path) + (f"?{query}" if query else "")

    @property
    def decoded_script_name(self) -> str:
        """Mount point of the application, decoded, "" for the root."""
        return _decode(self.environ.get("SCRIPT_NAME", ""))

    @property
    def version(self) -> str:
        """HTTP version: 1.0, 1.1 or 2.0."""
        return str(self.environ["SERVER_PROTOCOL"]).rpartition("/")[2]

    @property
    def headers(self) -> Headers:
        """Header fields; names are case-insensitive."""
        return Headers(self.environ)

    @property
    def routed_function(self) -> Callable[..., Any] | None:
        """The view that answers, None before it is found."""
        return self._route.view if self._route is not None else None

    @property
    def routable(self) -> dict[str, list[str]]:
        """Methods and media types that the route takes, as they were given; empty lists stand for all."""
        return self._route.routable if self._route is not None else {"methods": [], "content_types": []}

    def split_uri(self) -> tuple[str, str, str, str]:
        """Return path, parameters after ";", query and fragment of the URI, "" for what is not there."""
        rest, _, fragment = self.uri.partition("#")
        rest, _, query = rest.partition("?")
        script, _, param = rest.partition(";")
        return script, param, query, fragment

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a header field."""
        return self.headers.get(name, default)

    def get_headers(self) -> list[tuple[str, str]]:
        """Return all header fields."""
        return list(self.headers.items())

    def get_scheme(self) -> str:
        """Return http or https."""
        return str(self.environ["wsgi.url_scheme"])

    def get_remote_addr(self) -> str:
        """Return the client's address."""
        return str(self.environ.get("REMOTE_ADDR", ""))

    def get_user_agent(self) -> str:
        """Return what the client calls itself, "" where it says nothing."""
        return str(self.environ.get("HTTP_USER_AGENT", ""))

    def get_content_type(self) -> str:
        """Return the media type of the body without parameters, lower-case, "" where it is not given."""
        return str(self.environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()

    def get_main_type(self) -> str:
        """Return the first half of the media type: "text" of "text/xml"."""
        return self.get_content_type().partition("/")[0]

    def get_sub_type(self) -> str:
        """Return the second half of the media type: "xml" of "text/xml"."""
        return self.get_content_type().partition("/")[2]

    # -- the body

    @property
    def has_body(self) -> bool:
        """Whether there is, or may be, a body."""
        environ = self.environ
        length = environ.get("CONTENT_LENGTH")
        return bool(length and length != "0") or "HTTP_TRANSFER_ENCODING" in environ

    @property
    def body(self) -> bytes:
        """The body; empty once a form of several parts has been read from it.

        Raises:
            PeerError: It is too large, or did not come whole.
        """
        if self._body is None:
            if self._form is not None or not self.has_body:
                self._body = b""
            else:
                self._body = self._once(lambda: read_body(self.environ, self._limits().max_post_body_size))
        return self._body

    def get_body(self) -> bytes:
        """Return the body."""
        return self.body

    def json(self) -> Any:
        """Return the value of the body, a JSON text.

        Raises:
            PeerError: It is none (400).
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise PeerError(400, f"the body is no JSON: {error}") from error

    @property
    def form(self) -> dict[str, Any]:
        """What the form says: text, files, and lists of these where names repeat; empty where there is no form."""
        return self._read_form().values

    @property
    def args(self) -> dict[str, Any]:
        """All arguments: of the path, the query and the form."""
        if self._args is None:
            self._args = {**self.given, **self.path_args}
        return self._args

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of query and form; names that repeat make lists."""
        query = self.environ.get("QUERY_STRING")
        values = parse_query(query) if query else {}
        if self.has_body and self.get_content_type() in _FORMS:
            for name, value in self.form.items():
                values[name] = _both(values[name], value) if name in values else value
        return values

    @property
    def loaded_args(self) -> dict[str, Any]:
        """The arguments as far as they have been read: nothing is read for this."""
        if self._args is not None:
            return self._args
        return {**(self._form.values if self._form is not None else {}), **self.path_args}

    def _read_form(self) -> Form:
        if self._form is None:
            environ = self.environ
            # The body of a form of several parts is read into memory for who has asked for it before, and nobody else.
            if self._body is not None or self.get_content_type() != _FORMS[1]:
                body = self.body
                environ = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
            self._form = self._once(lambda: read_form(environ, self._limits()))
        return self._form

    def _once(self, read: Callable[[], Read]) -> Read:
        """Read the input; what was wrong with it stays so for everybody who asks again."""
        if self._fault is not None:
            raise self._fault
        try:
            return read()
        except PeerError as fault:
            self._fault = fault
            raise

    def load(self) -> None:
        """Read what there is of a body, so that nobody waits for it later."""
        if self.has_body:
            if self.get_content_type() == _FORMS[1]:
                self._read_form()
            else:
                self.body  # noqa: B018

    def check_path(self) -> None:
        """Check that the path is text.

        Raises:
            PeerError: It is not UTF-8 (400).
        """
        if not self.path.isascii():
            _decode(self.environ["PATH_INFO"])

    def enter(self, route: Route, path_args: dict[str, Any]) -> None:
        """Note the route that answers, and its arguments from the path."""
        self._route = route
        self.path_args = path_args
        self._args = None

    def close(self) -> None:
        """Remove the temporary files of uploads that were not saved."""
        if self._form is not None:
            self._form.close()


def _decode(path: str) -> str:
    """Return a path of an environ, whose characters are bytes (PEP 3333), as text.

    Raises:
        PeerError: It is not UTF-8 (400).
    """
    try:
        return path.encode("latin-1").decode("utf-8")
    except ValueError as error:
        raise PeerError(400, "the path is not UTF-8") from error


def _both(first: Any, second: Any) -> list[Any]:
    return [*(first if isinstance(first, list) else [first]), *(second if isinstance(second, list) else [second])]
