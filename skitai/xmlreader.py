"""Documents of XML-RPC read into values of Python, from whoever sends them.

A document is brought into UTF-8 and looked at up to its root element before expat reads it: one with a DOCTYPE is
refused, so that no entity is ever declared, expanded or fetched. Only the elements of XML-RPC are accepted, in their
order, nested ``MAX_DEPTH`` deep at most. The size of a document is bounded by whoever received it.

It must not know what the document is for.

Layer 0. Thread: any.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, NoReturn
from xml.parsers import expat

from skitai.xmlwriter import MAX_DEPTH

if TYPE_CHECKING:
    from xmlrpc.client import Fault

# "Specification for Fault Code Interoperability" of 2001, which XML-RPC libraries share.
NOT_WELL_FORMED: Final = -32700
UNSUPPORTED_ENCODING: Final = -32701
INVALID_CHARACTER: Final = -32702
NOT_XMLRPC: Final = -32600


class XMLError(ValueError):
    """A document can not be read.

    Args:
        code: The code of the fault that says so in XML-RPC.
        message: What is wrong, in words that may be shown to the sender.
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Message:
    """A document of XML-RPC.

    Attributes:
        method: The name of the method of a call, None for an answer and for bare parameters.
        params: The parameters, or the one result.
        fault: The fault that an answer holds instead of a result.
    """

    method: str | None = None
    params: tuple[Any, ...] = ()
    fault: Fault | None = None


def read_xmlrpc(document: str | bytes, usedatetime: bool = True) -> Message:
    """Read a ``methodCall``, ``methodResponse`` or ``params`` document.

    Args:
        document: Bytes in UTF-8, UTF-16, or the ASCII, ISO 8859-1 or Windows-1252 that it declares; or a text.
        usedatetime: Whether dates are ``datetime`` objects, not ``xmlrpc.client.DateTime``.

    Raises:
        XMLError: It is none of these, has a DOCTYPE, or is nested too deep.
    """
    encoded = _utf8(document)
    root = root_at(encoded)
    if encoded.startswith(b"<!", root):
        raise XMLError(NOT_WELL_FORMED, "a document with a DOCTYPE is not accepted")
    reader = _Reader(usedatetime)
    parser = expat.ParserCreate("utf-8")  # whatever the document declares: it is UTF-8 by now
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text.append
    # Never reached, unless expat and root_at() disagree where the root element begins.
    parser.StartDoctypeDeclHandler = _refuse_declaration
    parser.EntityDeclHandler = _refuse_declaration
    try:
        parser.Parse(encoded, True)
    except expat.ExpatError as error:
        raise XMLError(NOT_WELL_FORMED, f"the XML is not well formed: {error}") from None
    [found] = reader.children[0]
    return found if isinstance(found, Message) else Message(params=found)


def root_at(document: bytes) -> int:
    """Return where the root element or the DOCTYPE begins, after declaration, comments and instructions.

    Where the document ends before, or is too long-winded, it is the length of the document.
    """
    at = 3 if document.startswith(b"\xef\xbb\xbf") else 0
    for _ in range(100):
        at = _SPACES.match(document, at).end()  # type: ignore[union-attr]  # it matches nothing as well
        opening, closing = (b"<!--", b"-->") if document.startswith(b"<!--", at) else (b"<?", b"?>")
        if not document.startswith(opening, at):
            return at
        end = document.find(closing, at + len(opening))
        if end < 0:
            break
        at = end + len(closing)
    return len(document)


_SPACES: Final = re.compile(rb"[ \t\r\n]*")
_DECLARED: Final = re.compile(rb"""\s*<\?xml\s[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ENCODINGS: Final = {"utf-8": "", "utf8": "", "us-ascii": "", "ascii": "", "iso-8859-1": "latin-1"} | {
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}
_MARKS: Final = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def _utf8(document: str | bytes) -> bytes:
    """Return the document in UTF-8 (not yet checked, where it came so)."""
    try:
        if isinstance(document, str):
            return document.encode()
        encoding = next((encoding for mark, encoding in _MARKS if document.startswith(mark)), "")
        declared = None if encoding else _DECLARED.match(document)
        if declared is not None:
            name = declared[1].decode("ascii").lower()
            if name not in _ENCODINGS:
                raise XMLError(UNSUPPORTED_ENCODING, f"the encoding {name} is not supported: send UTF-8")
            encoding = _ENCODINGS[name]
        return document.decode(encoding).encode() if encoding else document
    except UnicodeError:
        raise XMLError(INVALID_CHARACTER, "the document holds bytes or characters that its encoding has not") from None


def starts_as_call(document: bytes) -> bool:
    """Return whether a document looks like a ``methodCall``, well formed or not."""
    if b"\0" in document[:4]:
        try:
            document = _utf8(document)
        except XMLError:
            return False
    root = root_at(document)
    if document.startswith(b"<!", root):
        # It will be refused, but as the call that it wants to be.
        return _CALL.search(document, root) is not None
    return _CALL.match(document, root) is not None


_CALL: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,63}:)?methodCall(?=[\s/>]|$)")


def _refuse_declaration(*ignored: object) -> NoReturn:
    raise XMLError(NOT_WELL_FORMED, "a document with a DOCTYPE is not accepted")


_TYPES: Final = frozenset(("nil", "boolean", "int", "i1", "i2", "i4", "i8", "double", "float", "string", "base64"))
_REPEATED: Final = {"params": frozenset(("param",)), "data": frozenset(("value",)), "struct": frozenset(("member",))}
"""Elements that hold any number of others, and which."""

_SEQUENCES: Final = {
    "": (frozenset(("methodCall", "methodResponse", "params")),),
    "methodCall": (frozenset(("methodName",)), frozenset(("params",))),
    "methodResponse": (frozenset(("params", "fault")),),
    "fault": (frozenset(("value",)),),
    "param": (frozenset(("value",)),),
    "value": (_TYPES | {"dateTime.iso8601", "array", "struct"},),
    "array": (frozenset(("data",)),),
    "member": (frozenset(("name",)), frozenset(("value",))),
}
"""Elements that hold a sequence of others: what may stand first, second."""

_NOTHING: Final[frozenset[str]] = frozenset()


class _Reader:
    """The handlers of expat: checks where each element stands and makes the values from the inside out.

    Attributes:
        path: The elements that are open.
        children: For each of them what its children have become, for the document first.
        text: The pieces of text since the last tag.
    """

    __slots__ = ("children", "path", "text", "usedatetime")

    def __init__(self, usedatetime: bool) -> None:
        self.usedatetime = usedatetime
        self.path = [""]
        self.children: list[list[Any]] = [[]]
        self.text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Check that the element may stand here; attributes mean nothing, nor the prefix of an extension."""
        tag = tag[tag.rfind(":") + 1 :]
        parent = self.path[-1]
        allowed = _REPEATED.get(parent)
        if allowed is None:
            sequence, done = _SEQUENCES.get(parent, ()), len(self.children[-1])
            allowed = sequence[done] if done < len(sequence) else _NOTHING
        if tag not in allowed:
            raise XMLError(NOT_XMLRPC, f"an element {tag[:40]!r} can not stand here, in {parent!r}")
        if self.text:
            self.take_space(parent)
        # An array or struct is three elements deep: value, array, data or value, struct, member.
        if len(self.path) > 3 * MAX_DEPTH + 5:
            raise XMLError(NOT_XMLRPC, f"the values are nested deeper than {MAX_DEPTH}")
        self.path.append(tag)
        self.children.append([])

    def end(self, tag: str) -> None:
        """Make the value of the element."""
        tag = self.path.pop()
        children = self.children.pop()
        value: Any
        read = _LEAVES.get(tag)
        if read is not None:
            text = "".join(self.text)
            self.text.clear()
            try:
                value = read(text)
            except (ValueError, OverflowError):
                raise XMLError(NOT_XMLRPC, f"{text[:40]!r} is no {tag} of XML-RPC") from None
            if tag == "dateTime.iso8601" and not self.usedatetime:
                value = _client_datetime(text)
        elif tag == "value" and not children:
            value = "".join(self.text)  # without a type it is a string
            self.text.clear()
        else:
            if self.text:
                self.take_space(tag)
            value = _CONTAINERS[tag](children)
        self.children[-1].append(value)

    def take_space(self, tag: str) -> None:
        """Forget the space between elements; text does not belong there."""
        if not "".join(self.text).isspace():
            raise XMLError(NOT_XMLRPC, f"the element {tag!r} holds text between its elements")
        self.text.clear()


def _client_datetime(text: str) -> Any:
    from xmlrpc.client import DateTime

    return DateTime(text.strip())


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,25}")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,1100})?|\.[0-9]{1,1100})(?:[eE][+-]?[0-9]{1,5})?")
_MOMENT: Final = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})T([0-9]{2}):?([0-9]{2}):?([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text.strip())
    if found is None:
        raise ValueError("does not match")
    return found


def _read_nil(text: str) -> None:
    if text.strip():
        raise ValueError("not empty")


def _read_boolean(text: str) -> bool:
    return ("0", "1").index(text.strip()) == 1


def _read_int(text: str) -> int:
    number = int(_matched(_INTEGER, text)[0])
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("beyond 64 bits")
    return number


def _read_double(text: str) -> float:
    number = float(_matched(_DOUBLE, text)[0])
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _read_datetime(text: str) -> datetime:
    """Return the date as it stands; one with a time zone, which some clients send, is aware."""
    *parts, zone = _matched(_MOMENT, text).groups()
    tzinfo = None
    if zone:
        minutes = 0 if zone == "Z" else int(zone[1:3]) * 60 + int(zone[-2:])
        tzinfo = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    year, month, day, hour, minute, second = map(int, parts)
    return datetime(year, month, day, hour, minute, second, tzinfo=tzinfo)


def _read_base64(text: str) -> bytes:
    return binascii.a2b_base64(text)


def _make_array(children: list[Any]) -> list[Any]:
    values: list[Any] = children[0] if children else []
    return values


def _make_struct(members: list[Any]) -> dict[str, Any]:
    return dict(members)


def _make_member(children: list[Any]) -> tuple[Any, Any]:
    if len(children) != 2:
        raise XMLError(NOT_XMLRPC, "a member needs a name and a value")
    return children[0], children[1]


def _make_fault(children: list[Any]) -> Fault:
    from xmlrpc.client import Fault

    match children:
        case [{"faultCode": int(code), "faultString": str(text)}]:
            return Fault(code, text)
    raise XMLError(NOT_XMLRPC, "a fault needs a faultCode and a faultString")


def _make_call(children: list[Any]) -> Message:
    if not children:
        raise XMLError(NOT_XMLRPC, "a methodCall needs a methodName")
    return Message(children[0], children[1] if len(children) > 1 else ())


def _make_response(children: list[Any]) -> Message:
    match children:
        case [(value,)]:
            return Message(params=(value,))
        case [BaseException() as fault]:
            return Message(fault=fault)  # type: ignore[arg-type]  # the only exception that stands here
    raise XMLError(NOT_XMLRPC, "a methodResponse needs one param or a fault")


def _only(children: list[Any]) -> Any:
    if len(children) != 1:
        raise XMLError(NOT_XMLRPC, "an element lacks its value")
    return children[0]


_LEAVES: Final[dict[str, Callable[[str], Any]]] = {
    "nil": _read_nil,
    "boolean": _read_boolean,
    **dict.fromkeys(("int", "i1", "i2", "i4", "i8"), _read_int),
    **dict.fromkeys(("double", "float"), _read_double),
    "string": str,
    "dateTime.iso8601": _read_datetime,
    "base64": _read_base64,
    "name": str,
    "methodName": str.strip,
}
_CONTAINERS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "value": _only,
    "array": _make_array,
    "data": list,
    "struct": _make_struct,
    "member": _make_member,
    "param": _only,
    "params": tuple,
    "fault": _make_fault,
    "methodCall": _make_call,
    "methodResponse": _make_response,
}
