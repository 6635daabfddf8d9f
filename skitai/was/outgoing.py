"""A request on its way out: what it is, and how it is made of what an application writes.

``build`` checks everything that an application can get wrong, so that it raises where it was called. What is made is
the same for every protocol and never changes; it is sent again, or to another URL, as a copy.

It must not know how anything is sent.

Layer 3. Thread: any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from skitai.constants import VERSION
from skitai.formats import tojson, toxml
from skitai.was.content import ACCEPTED
from skitai.was.payloads import BytesPayload, MultipartPayload, Pairs, Payload, content_of, flat
from skitai.was.url import URL, UserInfo, encode_form, with_query
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.headers import FIELD_VALUE, is_token, lower_name

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Header fields: lower-case names and values, in sending order."""

Credentials: TypeAlias = "tuple[str, str] | str"
"""User and password, or a bearer token."""

REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""The methods that may be sent again when nobody knows whether they were carried out (RFC 9110 section 9.2.2)."""

FETCHING: Final = frozenset(("GET", "HEAD"))
"""The methods that do no more than fetch something: they leave although the server may have gone, and follow where it
redirects to."""

SECRET: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
"""The fields whose values are not remembered, nor sent to another origin."""

ONE_WRITE: Final = 64 * 1024
"""Content up to this size, in bytes, is sent together with its head."""

DEFAULTS: Final[Fields] = (
    (b"accept", b"*/*"),
    (b"accept-encoding", ACCEPTED),
    (b"user-agent", b"Skitai/" + VERSION.encode()),
)
_DEFAULT_NAMES: Final = frozenset(name for name, _ in DEFAULTS)
_CARRIERS_OWN: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"te",
     b"trailer", b"upgrade", b"http2-settings")
)  # fmt: skip

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"

_fields: dict[tuple[str, str], tuple[bytes, bytes]] = {}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request.

    Attributes:
        method: In upper case.
        url: Where to.
        headers: Fields with lower-case names, Content-Type among them. Those that frame or route the message (Host,
            Content-Length, Transfer-Encoding, Connection ...) are made by the engine and must not be here.
        payload: The content, None for none.
        auth: User and password, a bearer token, or None.
        decode: Whether content codings of the answer are undone.
    """

    method: str
    url: URL
    headers: Fields = DEFAULTS
    payload: Payload | None = None
    auth: Credentials | None = None
    decode: bool = True

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again although a server may have carried it out already."""
        return self.method in REPEATABLE


def content_at_once(outgoing: Outgoing) -> bytes | None:
    """Return the content that leaves together with the head of a request, None where it follows."""
    payload = outgoing.payload
    if payload is None:
        return b""
    return payload.data if isinstance(payload, BytesPayload) and payload.size <= ONE_WRITE else None


def build(verb: str, uri: URL, data: object = None, headers: object = None, auth: object = None) -> Outgoing:
    """Make the request of a call such as ``was.postform(uri, data, auth, headers)``.

    A dictionary for a method that has no content by itself joins the query. For ``post``, ``put`` and ``patch`` a
    dictionary or a list is sent as JSON, for ``postform`` and the like as their names say. But for JSON a list of pairs
    will do for a dictionary: there a name may be repeated, or be between others. Texts, bytes, files and
    paths (``os.PathLike``) are the content as it is, whatever the verb; they take the media type of the verb, or of
    what they look like.

    Args:
        verb: "get", "post", "postform", "upload" ...: one of ``VERBS``.
        uri: Where to.
        data: What to send.
        headers: A mapping or pairs of names and values, both texts or bytes; None leaves one out. They win over what is
            made here, and over what the URL says.
        auth: User and password, or a bearer token; ``UserInfo`` where they are those of the URL.

    Raises:
        ValueError: An argument can not be sent; the message names it.
        TypeError: An argument is of a type that has no form in a request.
        OSError: A file can not be opened.
    """
    if verb not in VERBS:
        raise ValueError(f"{verb!r} is no way to make a request; there are {', '.join(VERBS)}")
    method, form = VERBS[verb]
    given = _read_headers(headers)
    credentials = _read_auth(auth)
    if credentials is not None and any(name == b"authorization" for name, _ in given):
        if not isinstance(auth, UserInfo):
            raise ValueError("auth and the header 'Authorization' both say who asks; give one of them")
        credentials = None
    if data is None:
        return Outgoing(method, uri, given, None, credentials)
    if method == "TRACE":
        raise ValueError("a TRACE request can not have data (RFC 9110 section 9.3.8)")
    if form is None and method not in _WITH_CONTENT and isinstance(data, (Mapping, list, tuple)):
        return Outgoing(method, with_query(uri, _pairs(verb, data)), given, None, credentials)
    if form is _upload and any(name == b"content-type" for name, _ in given):
        raise ValueError("an upload makes its own Content-Type, in which the boundary of its parts stands")
    payload = _content(verb, data, form)
    if payload.content_type is not None and not any(name == b"content-type" for name, _ in given):
        given += ((b"content-type", payload.content_type.encode("latin-1")),)
    return Outgoing(method, uri, given, payload, credentials)


def _content(verb: str, data: object, form: _Form | None) -> Payload:
    if form is not _upload:
        content_type = _MEDIA_TYPES.get(form) if form is not None else None
        if isinstance(data, (bytes, bytearray, memoryview)):
            content = bytes(data)
            return BytesPayload(content, content_type or (_JSON if _looks_like_json(content) else _BYTES))
        if isinstance(data, str):
            content = data.encode()
            return BytesPayload(content, content_type or (_JSON if _looks_like_json(content) else _TEXT))
        if isinstance(data, os.PathLike) or hasattr(data, "read"):
            return content_of(data, content_type)
    if form is None and VERBS[verb][0] not in _WITH_CONTENT:
        raise TypeError(f"the data of {verb} must be a dictionary, text, bytes or a file, not {type(data).__name__}")
    if form in _OF_PAIRS:
        data = _pairs(verb, data)
    try:
        return (form or _json)(data)
    except TypeError as error:
        raise TypeError(f"the data of {verb} can not be sent: {error}") from None


def _looks_like_json(content: bytes) -> bool:
    """Tell whether content is meant as JSON: that is what most services take, and texts of it are often made before."""
    return content.lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def _json(data: object) -> Payload:
    return BytesPayload(tojson(data).encode(), _JSON)


def _urlencoded(data: Any) -> Payload:
    return BytesPayload(encode_form(data).encode(), _FORM)


def _xml(data: object) -> Payload:
    return BytesPayload(toxml(data).encode(), _MEDIA_TYPES[_xml])


def _namevalue(data: Any) -> Payload:
    lines = [f"{name}={value}\n" for name, value in flat(data)]
    for line in lines:
        if len(line.splitlines()) > 1:
            raise ValueError(f"a line break in {line[:-1]!r}: postnvp sends a line for each name and value")
    return BytesPayload("".join(lines).encode(), _MEDIA_TYPES[_namevalue])


_Form: TypeAlias = Callable[[Any], Payload]
_upload: Final[_Form] = MultipartPayload

_MEDIA_TYPES: Final[dict[_Form, str]] = {
    _urlencoded: _FORM,
    _json: _JSON,
    _xml: "text/xml; charset=utf-8",
    _namevalue: "text/namevalue; charset=utf-8",
}
_OF_PAIRS: Final = (_urlencoded, _namevalue, _upload)
_WITH_CONTENT: Final = frozenset(("POST", "PUT", "PATCH"))

VERBS: Final[dict[str, tuple[str, _Form | None]]] = {
    **{
        method.lower(): (method, None)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
    },
    **{
        method.lower() + suffix: (method, form)
        for method in ("POST", "PUT", "PATCH")
        for suffix, form in (("form", _urlencoded), ("json", _json), ("xml", _xml), ("nvp", _namevalue))
    },
    "upload": ("POST", _upload),
}
"""The ways to make a request: the method, and what ``data`` is made of where the method does not say it."""


def _pairs(verb: str, data: object) -> Pairs:
    """Check that data are names and values."""
    if isinstance(data, Mapping):
        return data
    if isinstance(data, (list, tuple)) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in data):
        return data
    raise TypeError(f"the data of {verb} must be a dictionary or a list of pairs, not {type(data).__name__}")


def _read_headers(headers: object) -> Fields:
    """Return the fields of a request: those given, and the usual ones that are not among them."""
    if not headers:
        return DEFAULTS
    # Their values are no matter for a message: one may be a secret.
    wrong = f"headers must be a dictionary or pairs of names and values, not {type(headers).__name__}"
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(wrong)
    given: list[tuple[bytes, bytes]] = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise TypeError(f"{wrong} of something else") from None
        if value is None:
            continue
        known = _fields.get((name, value)) if isinstance(name, str) and isinstance(value, str) else None
        given.append(known if known is not None else _read_field(name, value))
    names = {name for name, _ in given}
    if b"range" in names and b"accept-encoding" not in names:
        # RFC 9110 section 14.2: ranges are those of the coded content, of which nobody can decode a part.
        given.append((b"accept-encoding", b"identity"))
        names.add(b"accept-encoding")
    if names.isdisjoint(_DEFAULT_NAMES):
        return (*DEFAULTS, *given)
    return (*[field for field in DEFAULTS if field[0] not in names], *given)


def _read_field(name: Any, value: Any) -> tuple[bytes, bytes]:
    """Check one field.

    Raises:
        ValueError: It would break out of its line, or is not the application's to set.
    """
    text = value if isinstance(value, (str, bytes)) else str(value)
    try:
        raw_name = name if isinstance(name, bytes) else str(name).encode("ascii")
        raw = text if isinstance(text, bytes) else text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the header {name!r} has characters that a field can not hold (ISO 8859-1 it is)") from None
    if not is_token(raw_name):
        raise ValueError(f"{name!r} is no name of a header (RFC 9110 section 5.1)")
    raw = raw.strip(b" \t")
    if not FIELD_VALUE.fullmatch(raw):
        raise ValueError(f"the value of the header {name!r} holds control characters")
    lowered = lower_name(raw_name)
    if lowered in _CARRIERS_OWN:
        raise ValueError(f"the header {name!r} can not be given: it is made from the URL and the data")
    field = (lowered, raw)
    if isinstance(name, str) and isinstance(value, str) and lowered not in SECRET and len(raw) <= CACHED_LENGTH:
        remember(_fields, (name, value), field)
    return field


def _read_auth(auth: Any) -> Credentials | None:
    """Check what a request proves itself with."""
    if auth is None or auth == "":
        return None
    if isinstance(auth, str):
        if not (auth.isascii() and auth.isprintable() and " " not in auth):
            raise ValueError("auth: a bearer token has only visible ASCII characters")
        return auth
    if not (isinstance(auth, (tuple, list)) and len(auth) == 2 and all(isinstance(part, str) for part in auth)):
        raise ValueError("auth must be (user, password) or a bearer token, both as texts")
    user, password = auth
    if ":" in user:
        raise ValueError("auth: a user name can not hold a colon (RFC 7617 section 2)")
    try:
        (user + password).encode()
    except UnicodeEncodeError:
        raise ValueError("auth: user or password has lone surrogates, which are no text") from None
    if any(character < " " or character == "\x7f" for character in user + password):
        raise ValueError("auth: user and password can not hold control characters (RFC 7617 section 2)")
    return user, password
