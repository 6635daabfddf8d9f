"""Cross-origin resource sharing: which pages of other origins may read answers (Fetch standard, "CORS protocol").

A ``CorsPolicy`` is the sum of the ``access_control_*`` settings of an application and a route. A refusal is no error:
the answer just lacks the fields without which a browser does not let the page read it. It must not know requests,
routes or answers.

Layer S. Thread: any.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

Fields: TypeAlias = "list[tuple[str, str]]"

PREFIX: Final = "access_control_"

MAX_ORIGIN_SIZE: Final = 1024
"""Characters; a longer origin is nobody's."""

MAX_REQUESTED_SIZE: Final = 4096
"""Characters; a preflight that asks for more gets nothing of it."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Serialized origins (RFC 6454 section 6.2): nothing after the port. Other schemes than HTTP's are those of browser
# extensions and applications made of web pages. No host has a "*": in a setting it would be meant as a pattern.
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+\-.]*)://"
    r"(?P<host>[A-Za-z0-9\-._~!$&'()+;=%]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PAGE_SCHEMES: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Who of other origins may ask what, and see the answer.

    Lists may be lists, tuples, sets, or texts with commas.

    Attributes:
        allow_origin: None: nobody, and no field is ever sent. "*": everybody. Else one origin, or several; "null"
            stands for pages without one.
        allow_methods: For preflights; None: those of the route.
        allow_headers: Fields that a request may carry; None or "*": whatever a preflight asks for.
        allow_credentials: Whether requests with cookies and passwords may be read too. This goes with origins that are
            named only: browsers refuse "*" then, and an echo of any origin would open the users' sessions to the world.
        expose_headers: Fields of the answer that a page may read.
        max_age: Seconds for which a browser may remember a preflight.

    Raises:
        ValueError: One of them can not be used, or they do not go together.
    """

    allow_origin: str | Iterable[str] | None = None
    allow_methods: str | Iterable[str] | None = None
    allow_headers: str | Iterable[str] | None = None
    allow_credentials: bool | None = None
    expose_headers: str | Iterable[str] | None = None
    max_age: int | None = None
    _origins: frozenset[str] = field(init=False, repr=False, compare=False)
    _shared: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check everything, and prepare what does not depend on a request."""
        put = object.__setattr__
        put(self, "allow_origin", _origin_setting(self.allow_origin))
        put(self, "allow_methods", _tokens("allow_methods", self.allow_methods, upper=True))
        put(self, "allow_headers", _tokens("allow_headers", self.allow_headers))
        put(self, "expose_headers", _tokens("expose_headers", self.expose_headers))
        if self.allow_credentials not in (None, True, False):
            raise _fault("allow_credentials", "True or False", self.allow_credentials)
        put(self, "allow_credentials", bool(self.allow_credentials))
        if self.max_age is not None and (type(self.max_age) is not int or self.max_age < 0):
            raise _fault("max_age", "a whole number of seconds from 0 on", self.max_age)
        if self.allow_credentials and self.allow_origin == "*":
            raise ValueError(
                f'{PREFIX}allow_credentials does not go with {PREFIX}allow_origin = "*": name the origins that may '
                "use the credentials of your users"
            )
        if self.allow_credentials and "*" in (self.expose_headers or ()):
            # It would be the name of a field then (Fetch standard, "CORS protocol and credentials").
            raise ValueError(f'{PREFIX}expose_headers = "*" does not go with credentials: name the fields')
        named = self.allow_origin if isinstance(self.allow_origin, tuple) else ()
        put(self, "_origins", frozenset(_normal(origin) or "" for origin in named))
        put(self, "_shared", self._shared_fields())

    @classmethod
    def of(cls, app: object, options: Mapping[str, Any] | None = None) -> CorsPolicy:
        """Return the policy of an application, or of one of its routes.

        Args:
            app: Has the settings as attributes ``access_control_*``; those it lacks have their defaults.
            options: Of the route. Those called ``access_control_*`` go before the application's, one by one, None too;
                the others are ignored.

        Raises:
            ValueError: One is unknown, can not be used, or they do not go together.
        """
        names = [PREFIX + field.name for field in fields(cls) if field.init]
        settings = {name: getattr(app, name) for name in names if hasattr(app, name)}
        for name, value in (options or {}).items():
            if not name.startswith(PREFIX):
                continue
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                raise ValueError(f"there is no option {name}" + (f": did you mean {near[0]}?" if near else ""))
            settings[name] = value
        return cls(**{name.removeprefix(PREFIX): value for name, value in settings.items()})

    def allows(self, origin: str | None) -> bool:
        """Return whether pages of ``origin``, the value of that field, may read answers."""
        if origin is None or self.allow_origin is None:
            return False
        return self.allow_origin == "*" or origin in self._origins or _normal(origin) in self._origins

    def headers(self, origin: str | None) -> Fields:
        """Return the fields that every answer gets, those to errors too, except a preflight's.

        ``Vary`` is to be added to what the answer has of it. It is there for requests without and with a refused
        origin too, lest a cache gives their answer to an allowed one.

        Args:
            origin: The value of the field Origin, None for none.
        """
        if self.allow_origin is None:
            return []
        if self.allow_origin == "*":
            return list(self._shared)
        if not self.allows(origin):
            return [("Vary", "Origin")]
        return [("Access-Control-Allow-Origin", origin or ""), *self._shared, ("Vary", "Origin")]

    def preflight(
        self, origin: str | None, requested_method: str, requested_headers: str | None, allowed_methods: Iterable[str]
    ) -> Fields:
        """Return the fields of the answer to a preflight.

        One is an OPTIONS request with the fields Origin and Access-Control-Request-Method. Methods that are not allowed
        are answered with those that are: the browser then names what is wrong.

        Args:
            origin: The value of the field Origin.
            requested_method: That of Access-Control-Request-Method.
            requested_headers: That of Access-Control-Request-Headers, None for none.
            allowed_methods: Those of the route.
        """
        if self.allow_origin is None:
            return []
        varies = [] if self.allow_origin == "*" else ["Origin"]
        if not self.allows(origin):
            return [("Vary", "Origin")] if varies else []
        answer: Fields = [("Access-Control-Allow-Origin", "*" if not varies else origin or "")]
        if self.allow_credentials:
            answer.append(("Access-Control-Allow-Credentials", "true"))
        if methods := self._methods(requested_method, allowed_methods, varies):
            answer.append(("Access-Control-Allow-Methods", methods))
        if names := self._names(requested_headers, varies):
            answer.append(("Access-Control-Allow-Headers", names))
        if self.max_age is not None:
            answer.append(("Access-Control-Max-Age", str(self.max_age)))
        if varies:
            answer.append(("Vary", ", ".join(varies)))
        return answer

    def _methods(self, requested: str, allowed: Iterable[str], varies: list[str]) -> str:
        """Return the methods to answer with; add to ``varies`` the field they depend on."""
        if self.allow_methods is None:
            return ", ".join(dict.fromkeys(allowed))
        if "*" not in self.allow_methods:
            return ", ".join(self.allow_methods)
        varies.append("Access-Control-Request-Method")
        return _echoed(requested) if "," not in requested else ""

    def _names(self, requested: str | None, varies: list[str]) -> str:
        """Return the names of fields to answer with; add to ``varies`` the field they depend on."""
        if self.allow_headers is not None and "*" not in self.allow_headers:
            return ", ".join(self.allow_headers)
        # Not "*": that covers nothing at all with credentials, and Authorization never ("CORS non-wildcard
        # request-header name" in the Fetch standard).
        varies.append("Access-Control-Request-Headers")
        return _echoed(requested)

    def _shared_fields(self) -> tuple[tuple[str, str], ...]:
        shared = []
        if self.allow_origin == "*":
            shared.append(("Access-Control-Allow-Origin", "*"))
        if self.allow_credentials:
            shared.append(("Access-Control-Allow-Credentials", "true"))
        if self.expose_headers:
            shared.append(("Access-Control-Expose-Headers", ", ".join(self.expose_headers)))
        return tuple(shared)


def same_origin(origin: str, scheme: str, host: str) -> bool:
    """Return whether ``origin`` is that of the server itself, as a WebSocket handshake wants to know.

    Args:
        origin: The value of the field Origin.
        scheme: Of the request: "http", "https", "ws" or "wss".
        host: The value of the field Host.
    """
    own = _normal(f"{_PAGE_SCHEMES.get(scheme, scheme)}://{host}")
    return own is not None and _normal(origin) == own


def _normal(origin: str) -> str | None:
    """Return a serialized origin in lower case and without a default port, "null" as it is, None for anything else."""
    if origin == "null":
        return origin
    match = _ORIGIN.fullmatch(origin) if len(origin) <= MAX_ORIGIN_SIZE else None
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if match["port"] is None or int(match["port"]) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(match['port'])}"


def _fault(name: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{PREFIX}{name} must be {wanted}, not {value!r}")


def _origin_setting(value: Any) -> str | tuple[str, ...] | None:
    if value is None:
        return None
    origins = _items("allow_origin", value)
    if "*" in origins:
        return "*"
    for origin in origins:
        if _normal(origin) is None:
            bare = origin.rstrip("/")
            hint = f" (nothing after the host and port: {bare!r})" if _normal(bare) is not None else ""
            raise _fault("allow_origin", f'"*", "null" or like "https://example.com:8443"{hint}', origin)
    return origins


def _tokens(name: str, value: Any, upper: bool = False) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = _items(name, value)
    for item in items:
        if _TOKEN.fullmatch(item) is None:
            raise _fault(name, "names of methods" if upper else "names of fields", item)
    return tuple(item.upper() for item in items) if upper else items


def _items(name: str, value: Any) -> tuple[str, ...]:
    """Return the texts of a setting that may be one text with commas, or several."""
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
        if not value:
            raise _fault(name, "a text, a list of texts or None", "")
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(isinstance(item, str) for item in value):
        raise _fault(name, "a text, a list of texts or None", value)
    # A set has no order: the same field value for every process.
    return tuple(dict.fromkeys(sorted(value) if isinstance(value, (set, frozenset)) else value))


def _echoed(requested: str | None) -> str:
    """Return what a preflight asks for to send back, "" where it is no list of names."""
    if not requested or len(requested) > MAX_REQUESTED_SIZE:
        return ""
    names = [name.strip(" \t") for name in requested.split(",")]
    names = [name for name in names if name]
    return ", ".join(names) if all(_TOKEN.fullmatch(name) for name in names) else ""
