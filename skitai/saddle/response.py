"""The response as a view sees it: ``was.response``.

It is filled before the view returns: status, header fields, and, where it is called, the body.

Layer S. It must not know how bodies are sent. Thread: the one that answers the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from skitai.reasons import reason_of

_STATUS: Final = re.compile(r"([1-9][0-9]{2})(?: (.*))?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")  # RFC 9110 section 5.5

Fields = Iterable[tuple[str, str]] | Mapping[str, str]


class Response:
    """Status and header fields of the answer, and its body when it is called.

    Example::

        return was.response("404 Not Found", was.render("missing.html"), [("Cache-Control", "no-store")])

    Attributes:
        status: Status line without the version, as "200 OK".
        headers: Names and values of the fields.
        body: What was given when it was called.
        exc_info: The exception whose traceback is to be shown, as of ``sys.exc_info()``.
        promises: URIs of resources that the client will need, as told by ``hint_promise``.
    """

    __slots__ = ("body", "called", "exc_info", "headers", "promises", "status")

    def __init__(self) -> None:
        self.status = "200 OK"
        self.headers: list[tuple[str, str]] = []
        self.body: Any = None
        self.called = False
        self.exc_info: Any = None
        self.promises: list[str] = []

    def __call__(
        self, status: str | int = "200 OK", body: Any = None, headers: Fields | None = None, exc_info: Any = None
    ) -> Response:
        """Set what is to be answered, and return it for the view to return.

        Args:
            status: Code and reason; the usual reason is added to a lone code.
            body: Content; a page that names the status where it is None and the status is an error.
            headers: More header fields; each takes the place of one set before.
            exc_info: An exception whose traceback the page shows, whether the application is in debug or not.

        Raises:
            ValueError: Status or fields break a rule of HTTP.
        """
        self.set_status(status)
        if headers:
            self.set_headers(headers)
        self.body = body
        self.exc_info = exc_info
        self.called = True
        return self

    def set_status(self, status: str | int) -> None:
        """Set the status.

        Raises:
            ValueError: It is none.
        """
        self.status = _status_line(str(status))

    def get_status(self) -> str:
        """Return the status: code and reason."""
        return self.status

    @property
    def status_code(self) -> int:
        """The code of the status."""
        return int(self.status[:3])

    def set_headers(self, headers: Fields) -> None:
        """Set several fields; names that repeat among them are kept all, those set before give way.

        Raises:
            ValueError: A name or a value breaks a rule of HTTP.
        """
        fields = [_checked(*field) for field in (headers.items() if isinstance(headers, Mapping) else headers)]
        if self.headers:
            names = {name.lower() for name, _ in fields}
            fields = [field for field in self.headers if field[0].lower() not in names] + fields
        self.headers = fields

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the fields set so far."""
        return list(self.headers)

    def set_header(self, name: str, value: str) -> None:
        """Set a field; one of the same name gives way.

        Raises:
            ValueError: The name or the value breaks a rule of HTTP.
        """
        self.set_headers([(name, value)])

    def add_header(self, name: str, value: str) -> None:
        """Add a field beside those of the same name, as ``Link`` or ``Set-Cookie`` may need.

        Raises:
            ValueError: The name or the value breaks a rule of HTTP.
        """
        self.headers.append(_checked(name, value))

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field set so far."""
        lowered = name.lower()
        for key, value in self.headers:
            if key.lower() == lowered:
                return value
        return default

    def del_header(self, name: str) -> None:
        """Take a field back; that it is not there is no error."""
        lowered = name.lower()
        self.headers = [field for field in self.headers if field[0].lower() != lowered]

    def hint_promise(self, uri: str) -> None:
        """Tell the client early that it will need a resource; ignored where its protocol has no way to say so.

        Raises:
            ValueError: It is no URI.
        """
        if not _VALUE.fullmatch(uri) or any(character in uri for character in " <>"):
            raise ValueError(f"{uri!r} is no URI")
        self.promises.append(uri)

    def reset(self) -> None:
        """Forget status, fields and body: what set them has failed."""
        self.status = "200 OK"
        self.headers = []
        self.body = self.exc_info = None
        self.called = False


@lru_cache(maxsize=128)
def _status_line(status: str) -> str:
    """Return a status with its reason, that of the code where it has none."""
    match = _STATUS.fullmatch(status)
    if match is None or not _VALUE.fullmatch(match[2] or ""):
        raise ValueError(f"a status is a code and a reason such as '404 Not Found', not {status!r}")
    return f"{match[1]} {match[2] or reason_of(int(match[1]))}"


def _checked(name: str, value: str) -> tuple[str, str]:
    """Return a field as it may be sent, values of other types as text."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header field")
    text = str(value).strip(" \t")
    if not _VALUE.fullmatch(text):
        raise ValueError(f"the value of {name} must be one line without control characters, not {value!r}")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of {name} must be Latin-1 (RFC 9110 section 5.5), not {value!r}") from None
    return name, text
