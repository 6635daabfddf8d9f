"""XML-RPC as a client: calls into documents, answers into results.

Layer 3. It must not know how documents travel. Thread: any.
"""

from __future__ import annotations

from typing import Any

from skitai.errors import BadAnswer
from skitai.was.result import Response
from skitai.xmlreader import XMLError, read_xmlrpc
from skitai.xmlwriter import dump_value


def encode(method: str, params: tuple[Any, ...]) -> bytes:
    """Return the document of a call.

    Raises:
        TypeError, ValueError: A parameter has no form in XML-RPC, or the name of the method is none.
    """
    if not method.isprintable() or " " in method:
        raise ValueError(f"{method!r} is no name of a method")
    name = method.replace("&", "&amp;").replace("<", "&lt;")
    values = "".join(f"<param>{dump_value(value)}</param>" for value in params)
    return (
        f"<?xml version='1.0'?>\n<methodCall><methodName>{name}</methodName><params>{values}</params></methodCall>"
    ).encode()


def decode(response: Response) -> Any:
    """Return what an answer means: the result; of one that is not 200, the body.

    Raises:
        Fault: The service has answered with a fault.
        BadAnswer: The answer is none of XML-RPC.
    """
    if response.status_code != 200:
        return response.content
    try:
        message = read_xmlrpc(response.content)
    except XMLError as error:
        raise BadAnswer(f"{response.url} has not answered as XML-RPC does: {error}", True, True) from error
    if message.fault is not None:
        raise message.fault
    if message.method is not None or len(message.params) != 1:
        raise BadAnswer(f"{response.url} has not answered as XML-RPC does: it is no methodResponse", True, True)
    return message.params[0]
