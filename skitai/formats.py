"""Values as text and back: JSON, the values of XML-RPC, and protobuf messages.

These are the utilities of ``was`` by these names, shared by Saddle and by ``skitai.was``. How a value is written in
XML-RPC is in ``xmlwriter``, what is read and what is refused in ``xmlreader``.

It must not know who asks, nor import protobuf: a message has the two methods it needs.

Layer 0. Thread: any.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time
from typing import Any, Final, NoReturn, Protocol, TypeVar

from skitai.xmlreader import read_xmlrpc
from skitai.xmlwriter import common_form, dump_value


def tojson(value: Any) -> str:
    """Return a value as JSON.

    It is written as ``json.dumps`` does. Beyond that, dates and times become ISO 8601 texts, ``Decimal`` and ``UUID``
    texts, sets arrays (sorted where their items can be).

    Raises:
        TypeError: It holds what JSON has no form for.
        ValueError: It holds itself, or a number that is none (NaN, infinite).
    """
    try:
        return _encode(value)
    except ValueError:
        # Only later Pythons name the number: it is found in what would have been written.
        json.loads(_encode_all(value), parse_constant=_refuse_number)
        raise


def fromjson(text: str | bytes) -> Any:
    """Return the value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: The text is no JSON, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        # A body of "[[[[..." must be the sender's fault, as any other text that is no JSON.
        raise ValueError("the JSON text is nested too deep") from None


def _json_form(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes have no form in JSON: decode them to a text, or write them in base64")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return common_form(value, "JSON")


def _refuse_number(name: str) -> NoReturn:
    raise ValueError(f"{float(name)!r} has no form in JSON") from None


# ASCII only costs nothing for most texts, and is right in any charset, in a script, and with lone surrogates.
_encode: Final = json.JSONEncoder(default=_json_form, allow_nan=False).encode
_encode_all: Final = json.JSONEncoder(default=_json_form).encode


def toxml(object: Any, usedatetime: int = 0) -> str:
    """Return values as the parameters of XML-RPC, a ``params`` document.

    Args:
        object: A tuple of parameters, or one value.
        usedatetime: Of no effect here, it stands beside that of ``fromxml``: a datetime is always written as one.

    Raises:
        TypeError: A value has no form in XML-RPC.
        ValueError: It is out of bounds, holds itself, or characters that XML can not.
    """
    values = object if type(object) is tuple else (object,)
    return f"<params>{''.join([f'<param>{dump_value(value)}</param>' for value in values])}</params>"


def fromxml(string: str | bytes, usedatetime: int = 0) -> Any:
    """Return the values of an XML-RPC document: a call, an answer or bare parameters.

    Args:
        string: The document.
        usedatetime: Whether dates are ``datetime`` objects, not ``xmlrpc.client.DateTime``.

    Returns:
        The value when there is one; a tuple of them when there are none or several.

    Raises:
        ValueError: It is no document of XML-RPC (``XMLError``).
        xmlrpc.client.Fault: It is the answer of a call that failed.
    """
    message = read_xmlrpc(string, bool(usedatetime))
    if message.fault is not None:
        raise message.fault
    return message.params[0] if len(message.params) == 1 else message.params


class ProtobufMessage(Protocol):
    """A message of protobuf, as far as needed here."""

    def SerializeToString(self) -> bytes:
        """Return the message in the wire format."""

    def ParseFromString(self, serialized: bytes, /) -> Any:
        """Fill the message from the wire format."""


M = TypeVar("M", bound=ProtobufMessage)


def togrpc(obj: ProtobufMessage) -> bytes:
    """Return a protobuf message as bytes.

    Raises:
        TypeError: It is none.
    """
    _check_message(obj, "togrpc", "SerializeToString")
    return bytes(obj.SerializeToString())


def fromgrpc(message: bytes, obj: M) -> M:
    """Read a protobuf message into ``obj`` and return ``obj``.

    Raises:
        TypeError: ``obj`` is no message.
        google.protobuf.message.DecodeError: The bytes are no message of this type.
    """
    _check_message(obj, "fromgrpc", "ParseFromString")
    obj.ParseFromString(message)
    return obj


def _check_message(obj: object, function: str, method: str) -> None:
    if isinstance(obj, type):
        raise TypeError(f"{function} takes a protobuf message, not its class: {obj.__name__}()")
    if not hasattr(obj, method):
        raise TypeError(f"{function} takes a protobuf message, not {type(obj).__qualname__}")
