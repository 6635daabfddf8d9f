"""XML-RPC through the same views: each call of a request is run in the steps of its endpoint.

The protocol is in ``xmlrpc``, which knows no views. A call gets its arguments by position, and passes the same checks
and hooks as any other request for the view.

Layer S. It must not know how documents are read and written. Thread: the one that answers the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.errors import PeerError
from skitai.saddle import xmlrpc
from skitai.saddle.answers import make_answer, one_line, text_of
from skitai.saddle.bodies import discard
from skitai.saddle.calling import (
    StartResponse,
    Steps,
    authenticate,
    enter,
    fail,
    is_cancellation,
    run,
    run_later,
    send,
    steps,
)
from skitai.saddle.endpoints import Endpoint
from skitai.saddle.response import Response

if TYPE_CHECKING:
    from skitai.saddle.was import Was

_MEDIA_TYPES = ("text/xml", "application/xml")


def is_call(was: Was) -> bool:
    """Tell whether a POST request holds an XML-RPC call."""
    return was.request.get_content_type() in _MEDIA_TYPES and xmlrpc.is_call(was.request.body)


def respond(was: Was, start_response: StartResponse) -> Any:
    """Answer an XML-RPC request.

    Args:
        was: The request.
        start_response: As of PEP 3333.

    Raises:
        PeerError: The client must authenticate itself.
    """
    table = was.app.table
    plan = xmlrpc.read(was.request.body, table.method_names)
    if plan.refusal is not None:
        was.services.log(f"XML-RPC: {one_line(plan.refusal.faultString)}", "warning")
    if was.app.authenticate and len(plan.calls) < len(plan.steps):
        authenticate(was)  # what methods there are is told to nobody else
    endpoints = [table.by_method_name(call.method, was.request.get_content_type()) for call in plan.calls]
    if any(endpoint is not None and endpoint.is_async for endpoint in endpoints):
        return was.services.later(_respond_later(was, plan, endpoints, start_response))
    outcomes: list[Any] = []
    for call, endpoint in zip(plan.calls, endpoints, strict=True):
        try:
            outcomes.append(_unpacked(run(_steps(was, endpoint, call))))
        except Exception as error:
            outcomes.append(_outcome(was, call.method, error))
    return _send(was, plan, outcomes, start_response)


async def _respond_later(
    was: Was, plan: xmlrpc.Plan, endpoints: list[Endpoint | None], start_response: StartResponse
) -> Any:
    outcomes: list[Any] = []
    try:
        for call, endpoint in zip(plan.calls, endpoints, strict=True):
            try:
                outcomes.append(_unpacked(await run_later(was, _steps(was, endpoint, call))))
            except Exception as error:
                if is_cancellation(was, error):
                    raise
                outcomes.append(_outcome(was, call.method, error))
        return _send(was, plan, outcomes, start_response)
    except Exception as error:
        if is_cancellation(was, error):
            raise
        return fail(was, None, error, start_response)


def _steps(was: Was, endpoint: Endpoint | None, call: xmlrpc.Call) -> Steps:
    """Yield what is to be called for one call; return its content."""
    if endpoint is None:
        raise xmlrpc.MethodNotFound(call.method)
    enter(was, endpoint, {})
    arguments = endpoint.signature.bind_positions(call.params)
    return (yield from steps(was, endpoint, lambda: arguments))


def _outcome(was: Was, method: str, error: Exception) -> Exception:
    """Return an exception as the outcome of a call; raise it where it is that of the whole request."""
    if isinstance(error, PeerError):
        if hasattr(error, "challenges"):
            raise error  # a client that must authenticate itself is told so by HTTP
        was.services.log(f"XML-RPC method {method}: {one_line(str(error))}", "warning")
    return error


def _unpacked(content: Any) -> Any:
    """Return the value that a view has answered a call with.

    Raises:
        PeerError: It has answered with the status of an error.
    """
    if not isinstance(content, Response):
        return content
    if content.status_code >= 400:
        raise PeerError(content.status_code, content.status[4:])
    return content.body


def _send(was: Was, plan: xmlrpc.Plan, outcomes: list[Any], start_response: StartResponse) -> Any:
    def _report(call: xmlrpc.Call, error: BaseException) -> None:
        was.services.log(f"the XML-RPC method {call.method} has failed\n{text_of(error)}", "error")

    body = xmlrpc.write(plan, outcomes, was.app.debug, _report)
    for outcome in outcomes:
        discard(outcome)  # a file can not be sent so, but it was opened
    response = was.response
    for name, _ in response.get_headers():
        # What views have said of their own bodies does not fit this one.
        if name.lower().startswith("content-"):
            response.del_header(name)
    response("200 OK", body, [("Content-Type", "text/xml")])
    return send(was, make_answer(was, None, response), start_response)
