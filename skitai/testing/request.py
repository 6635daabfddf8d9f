"""Requests as a test writes them, and their bytes.

It must not know where the bytes go. Thread: any.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urldefrag, urlencode, urljoin, urlsplit

from skitai.testing.credentials import Auth
from skitai.testing.uploads import Files, encode_upload
from skitai.web.vhost import normal_host

Fields: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"
Body: TypeAlias = "bytes | str | Mapping[str, object] | Iterable[bytes] | None"

_FORM: Final = "application/x-www-form-urlencoded"
_OF_BODY: Final = frozenset({"content-type", "content-length", "transfer-encoding"})
_SAFE: Final = "/:?#[]@!$&'()*+,;=%-._~"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as a test writes it.

    Attributes:
        method: The method.
        path: Path and query; what a URI may not hold is percent-encoded, as UTF-8.
        data: The body: bytes; text, sent as UTF-8; a dictionary, sent as a form; an iterable of bytes, in chunks.
        headers: More header fields. ``Host`` is "localhost" where they do not say it. ``Cookie`` takes the place of the
            cookies kept.
        json: The body as JSON; not together with ``data``.
        files: Files to upload, together with a dictionary ``data``: for each name of a field a path, bytes, a file
            opened in binary mode, ``(filename, any of these, media type)`` or a list of these.
        auth: User and password; sent as basic authentication, or as digest once the server has asked for that.
        follow_redirects: Whether to go where the response says: up to 10 times, with GET after 301, 302 and 303, and
            with the same method and body after 307 and 308. To other hosts only where a mount names them.
        secure: Whether it comes over TLS, as far as applications see; None for what the client says.
    """

    method: str
    path: str
    data: Body = None
    headers: Fields | None = None
    json: Any = None
    files: Files | None = None
    auth: Auth | None = None
    follow_redirects: bool = False
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request that can be sent, several times if need be.

    Attributes:
        method: The method.
        target: What stands in the request line.
        secure: Whether it comes over TLS.
        fields: Header fields, without ``Host`` if that is "localhost".
        body: The pieces of the body, to be sent one by one.
    """

    method: str
    target: str
    secure: bool
    fields: list[tuple[str, str]]
    body: list[bytes]

    @classmethod
    def of(cls, request: Request, secure: bool) -> Encoded:
        """Encode a request; ``secure`` is what counts where it does not say it."""
        body, fields = encode_body(request.data, request.json, request.files)
        path = request.path
        target = path if path.isascii() and " " not in path else quote(path, safe=_SAFE)
        decided = secure if request.secure is None else request.secure
        return cls(request.method, target, decided, fields + pairs_of(request.headers), body)

    def has(self, name: str) -> bool:
        """Tell whether there is a header field called ``name``, in lower case."""
        return name in {key.lower() for key, _ in self.fields}

    def having(self, name: str, value: str) -> Encoded:
        """Return a request that has a certain header field; an empty value is none at all."""
        return replace(self, fields=[*self.fields, (name, value)]) if value else self

    def without(self, *names: str) -> Encoded:
        """Return a request without the header fields called ``names``, in lower case."""
        return replace(self, fields=[field for field in self.fields if field[0].lower() not in names])

    @property
    def authority(self) -> str:
        """Host and port, as ``Host`` says them."""
        return next((value for key, value in self.fields if key.lower() == "host"), "localhost")

    @property
    def url(self) -> str:
        """The absolute URL."""
        if not self.target.startswith("/"):
            return self.target
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.target}"

    @property
    def host(self) -> str:
        """The host, without port, in lower case."""
        return normal_host(self.authority).strip("[]")

    @property
    def path(self) -> str:
        """The path, without query."""
        return self.target.partition("?")[0]

    def redirected(self, status: int, location: str) -> Encoded | None:
        """Return the request that a redirection asks for (RFC 9110 section 15.4), None where it is none.

        Args:
            status: Status code.
            location: What ``Location`` says.
        """
        if status not in (301, 302, 303, 307, 308) or not location:
            return None
        url = urlsplit(urldefrag(urljoin(self.url, location))[0])
        if url.scheme not in ("http", "https") or not url.netloc:
            return None
        text = (url.path or "/") + (f"?{url.query}" if url.query else "")
        target = quote(text.encode("latin-1"), safe=_SAFE)  # as header fields are read
        following = replace(self.without("host"), target=target, secure=url.scheme == "https")
        if status < 307 and self.method != "HEAD":
            following = replace(following.without(*_OF_BODY), method="GET", body=[])
        following = following.having("Host", url.netloc.rpartition("@")[2])
        if urlsplit(self.url)[:2] != url[:2]:
            return following.without("authorization", "cookie")
        return following

    def head(self) -> bytes:
        """Return the bytes of the head."""
        return encode_request(self.method, self.target, self.fields)


def encode_request(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    """Return a request head.

    Args:
        method: The method.
        target: What stands in the request line.
        fields: Header fields; of those that say what the body is, the last one of each name counts. ``Host`` is
            "localhost" where they do not say it.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in {name.lower() for name, _ in fields}:
        lines.append("Host: localhost")
    for at, (name, value) in enumerate(fields):
        again = any(other.lower() == name.lower() for other, _ in fields[at + 1 :])
        if not (again and name.lower() in _OF_BODY):
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_body(data: Body, json: Any, files: Files | None = None) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Return the pieces of a body, to be sent one by one, and the fields that say what it is.

    Args:
        data: As in ``Request``.
        json: The same.
        files: The same.
    """
    if json is not None:
        if data is not None or files is not None:
            raise ValueError("a request has json or else data and files, not both")
        return _sized(json_module.dumps(json).encode(), "application/json")
    if files is not None:
        if not isinstance(data, (Mapping, type(None))):
            raise ValueError(f"beside files, data must be a dictionary, not {type(data).__name__}")
        return _sized(*encode_upload(data or {}, files))
    if data is None:
        return [], []
    if isinstance(data, Mapping):
        return _sized(urlencode(data, doseq=True).encode(), _FORM)
    if isinstance(data, str):
        return _sized(data.encode(), "text/plain; charset=utf-8")
    if isinstance(data, bytes):
        return _sized(data, "")
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in data if piece]
    return [*chunks, b"0\r\n\r\n"], [("Transfer-Encoding", "chunked")]


def pairs_of(fields: Fields | None) -> list[tuple[str, str]]:
    """Return header fields, however a test has written them, as pairs."""
    if fields is None:
        return []
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def _sized(body: bytes, content_type: str) -> tuple[list[bytes], list[tuple[str, str]]]:
    fields = [("Content-Length", str(len(body)))]
    if content_type:
        fields.append(("Content-Type", content_type))
    return [body] if body else [], fields
