"""Values of Python written as values of XML-RPC.

=====================  ============================================================================================
``None``               ``nil``
``bool`` ``float``     ``boolean``, ``double``; NaN and infinity are refused
``int``                ``int`` where 32 bits do; the extension ``i8``, which most clients know, up to 64; no more
``str``                ``string``; characters that XML 1.0 can not hold are refused
``bytes``              ``base64``
``datetime`` ``date``  ``dateTime.iso8601``, without fraction; it has no time zone, so an aware one is written in UTC
``list`` ``tuple``     ``array``, also ``set`` and ``frozenset``
``dict``               ``struct``; keys must be texts
the rest               ``Decimal``, ``UUID`` and ``time`` are ``string``; anything else is refused
=====================  ============================================================================================

A subclass is written as its base. It must not know what document a value goes into.

Layer 0. Thread: any.
"""

from __future__ import annotations

import binascii
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Final, TypeAlias

MAX_DEPTH: Final = 100
"""How deep arrays and structs may be nested, when read and when written."""

_Write: TypeAlias = Callable[[str], object]
_Writer: TypeAlias = Callable[[Any, _Write, int], object]

_MOMENT: Final = "<value><dateTime.iso8601>{}</dateTime.iso8601></value>"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def dump_value(value: Any, depth: int = 0) -> str:
    """Return one value as a ``value`` element.

    Args:
        value: The value.
        depth: How deep it will stand in arrays and structs of the caller.

    Raises:
        TypeError: It has no form in XML-RPC.
        ValueError: It is out of bounds, holds itself, or characters that XML can not.
    """
    pieces: list[str] = []
    _dump(value, pieces.append, depth)
    return "".join(pieces)


def without_bad_characters(text: str) -> str:
    """Return a text with U+FFFD for each character that XML can not hold."""
    return _NOT_XML.sub("\ufffd", text)


def _dump(value: Any, write: _Write, depth: int) -> None:
    (_WRITERS.get(type(value)) or _writer_for(value))(value, write, depth)


def _writer_for(value: object) -> _Writer:
    """Return how to write a value of a class that is not in the table itself."""
    for parent in type(value).__mro__:
        if parent in _WRITERS:
            return _WRITERS[parent]
    # Who has a value of these classes has imported them; whoever has not need not pay for it.
    client = sys.modules.get("xmlrpc.client")
    if client is not None and isinstance(value, client.Binary):
        return lambda binary, write, depth: _dump_bytes(binary.data, write, depth)
    if client is not None and isinstance(value, client.DateTime):
        return lambda moment, write, depth: write(_MOMENT.format(_escape(moment.value)))
    return lambda other, write, depth: _dump(common_form(other, "XML-RPC"), write, depth)


def _dump_none(value: None, write: _Write, depth: int) -> None:
    write("<value><nil/></value>")


def _dump_bool(value: bool, write: _Write, depth: int) -> None:
    write(f"<value><boolean>{value:d}</boolean></value>")


def _dump_int(value: int, write: _Write, depth: int) -> None:
    if -0x80000000 <= value <= 0x7FFFFFFF:
        write(f"<value><int>{int(value)}</int></value>")
    elif value.bit_length() <= 63 or value == -(1 << 63):
        write(f"<value><i8>{int(value)}</i8></value>")
    else:
        raise ValueError("a number beyond 64 bits has no form in XML-RPC: write it as a text")


def _dump_float(value: float, write: _Write, depth: int) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{float(value)!r} has no form in XML-RPC")
    write(f"<value><double>{float.__repr__(value)}</double></value>")


def _dump_str(value: str, write: _Write, depth: int) -> None:
    write(f"<value><string>{_escape(value)}</string></value>")


def _escape(text: str) -> str:
    bad = _NOT_XML.search(text)
    if bad is not None:
        raise ValueError(f"the character U+{ord(bad[0]):04X} can not be in XML: send the text as bytes")
    # The replace of str itself: that of Markup would escape what it puts in. XML 1.0, section 2.11: a carriage return
    # that is not written as a reference is read as a line feed.
    plain = str.replace(text, "&", "&amp;")
    return plain.replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _dump_bytes(value: bytes | bytearray | memoryview, write: _Write, depth: int) -> None:
    write(f"<value><base64>{binascii.b2a_base64(value, newline=False).decode('ascii')}</base64></value>")


def _dump_datetime(value: datetime, write: _Write, depth: int) -> None:
    offset = value.utcoffset()
    if offset is not None:
        try:
            value = value.replace(tzinfo=None) - offset
        except OverflowError:
            raise ValueError(f"{value.isoformat()} is out of bounds in UTC") from None
    _dump_date(value, write, depth)


def _dump_date(value: date, write: _Write, depth: int) -> None:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    text = moment.replace(tzinfo=None).isoformat(timespec="seconds").replace("-", "")
    write(_MOMENT.format(text))


def _dump_time(value: time, write: _Write, depth: int) -> None:
    _dump_str(value.isoformat(), write, depth)


def _dump_array(values: Iterable[Any], write: _Write, depth: int) -> None:
    write("<value><array><data>")
    depth = _deeper(depth)
    for value in values:
        _dump(value, write, depth)
    write("</data></array></value>")


def _dump_struct(values: Mapping[Any, Any], write: _Write, depth: int) -> None:
    write("<value><struct>")
    depth = _deeper(depth)
    for name, value in values.items():
        if not isinstance(name, str):
            raise TypeError(f"a key of a struct of XML-RPC must be a text, not {type(name).__qualname__}")
        write(f"<member><name>{_escape(name)}</name>")
        _dump(value, write, depth)
        write("</member>")
    write("</struct></value>")


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise ValueError(f"a value for XML-RPC is nested deeper than {MAX_DEPTH}, or holds itself")
    return depth + 1


_WRITERS: Final[dict[type, _Writer]] = {
    type(None): _dump_none,
    bool: _dump_bool,
    int: _dump_int,
    float: _dump_float,
    str: _dump_str,
    bytes: _dump_bytes,
    bytearray: _dump_bytes,
    memoryview: _dump_bytes,
    datetime: _dump_datetime,
    date: _dump_date,
    time: _dump_time,
    list: _dump_array,
    tuple: _dump_array,
    dict: _dump_struct,
}


def common_form(value: object, format: str) -> object:
    """Return what stands for a value that neither JSON nor XML-RPC knows: a text or a list.

    Args:
        value: The value.
        format: The name of the format, for the message.

    Raises:
        TypeError: Nothing does.
    """
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, Decimal | UUID):
        return str(value)  # a float would not be the same number
    if isinstance(value, set | frozenset):
        try:
            return sorted(value)
        except TypeError:
            return list(value)
    raise TypeError(f"a value of type {type(value).__qualname__} has no form in {format}")
