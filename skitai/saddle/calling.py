"""One request from its endpoint to its answer: checks, hooks, view, and what they return or raise.

Theory of operation. The order of hooks around a view is written down once, in ``steps``, a generator that yields each
function to call and is sent what it returned. ``run`` calls them in the thread of the request; ``run_later`` awaits
coroutine functions on the reactor and has the others called in an application thread. An endpoint is run later when the
view or any of its hooks is a coroutine function.

What a client did wrong (``PeerError``) is no failure of the application: ``failed_request`` hooks are not asked.

Layer S. It must not know how endpoints are found. Thread: the one that answers the request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from functools import partial
from traceback import format_exc
from typing import TYPE_CHECKING, Any, TypeAlias

from skitai.errors import PeerError
from skitai.saddle.answers import Answer, log_failure, make_answer, make_failure, make_page, text_of
from skitai.saddle.bodies import is_async_stream
from skitai.saddle.endpoints import Endpoint
from skitai.saddle.response import Response

if TYPE_CHECKING:
    from skitai.saddle.was import Was

Step: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Steps: TypeAlias = Generator[Step, Any, Any]
StartResponse: TypeAlias = Callable[..., Any]

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def respond(was: Was, start_response: StartResponse) -> Any:
    """Answer a request.

    Args:
        was: The request.
        start_response: As of PEP 3333.

    Returns:
        The WSGI iterable; or what the server has returned for a coroutine that goes on.
    """
    endpoint: Endpoint | None = None
    try:
        request = was.request
        table = was.app.table
        method = request.method
        if method == "OPTIONS":
            found = table.options(request)
            if found is not None:
                fields, endpoint = found
                return _send(was, make_answer(was, endpoint, was.response("200 OK", b"", fields)), start_response)
        elif method == "POST" and request.get_sub_type() == "xml" and _is_remote_call(was):
            return _respond_remote_call(was, start_response)
        endpoint, texts = table.select(request)
        enter(was, endpoint, endpoint.path_args(texts) if texts else {})
        if endpoint.is_async:
            request.load()
            return was.services.later(_respond_later(was, endpoint, start_response))
        if endpoint.hooks:
            content = run(steps(was, endpoint, partial(arguments_of, was, endpoint)))
        else:
            content = endpoint.view(was, **arguments_of(was, endpoint))
        if hasattr(content, "__await__") or is_async_stream(content):
            # A plain function has returned a coroutine: that of a function it has wrapped, say.
            return was.services.later(_send_later(was, endpoint, content, start_response))
        return _send(was, make_answer(was, endpoint, content), start_response)
    except Exception as error:
        return _fail(was, endpoint, error, start_response)


def enter(was: Was, endpoint: Endpoint, path_args: dict[str, Any]) -> None:
    """Make ``was`` that of an endpoint, and let in who may call it.

    Raises:
        PeerError: The client may not.
    """
    app = was.app
    request = was.request
    request.enter(endpoint.route, path_args)
    was.owner = endpoint.owner
    if app.authenticate if endpoint.authenticate is None else endpoint.authenticate:
        user = app.authenticator.authenticate(request.method, request.uri, was.env.get("HTTP_AUTHORIZATION", ""))
        request.user = user
        was.env["REMOTE_USER"] = was.services.user = user.name
    if _needs_token(was, endpoint):
        from skitai.saddle import csrf

        given = request.get_header(csrf.HEADER_NAME) or request.given.get(csrf.FIELD_NAME)
        if not csrf.verify(was.session, given):
            raise PeerError(403, "the form is not from this site, or it is too old: load it again")


def arguments_of(was: Was, endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments for the view.

    Raises:
        ArgumentError: The request's do not fit.
    """
    request = was.request
    given = request.given
    if given and _needs_token(was, endpoint):
        from skitai.saddle import csrf

        # It was for the check; a view that wants it nevertheless names it.
        if csrf.FIELD_NAME not in endpoint.signature.names:
            given.pop(csrf.FIELD_NAME, None)
    return endpoint.signature.bind(request.path_args, given)


def _needs_token(was: Was, endpoint: Endpoint) -> bool:
    """Tell whether the request must hold the token of the session."""
    protected = was.app.csrf_protect if endpoint.csrf is None else endpoint.csrf
    return bool(protected) and was.request.method in _UNSAFE


# -- hooks and view


def steps(was: Was, endpoint: Endpoint, arguments: Callable[[], dict[str, Any]], level: int = 0) -> Steps:
    """Yield what is to be called for a request, in the order that the manual gives; return its content.

    Args:
        was: The request.
        endpoint: What answers.
        arguments: Returns the arguments of the view, asked when it is its turn.
        level: How many of the endpoint's levels of hooks are left out.
    """
    if level == len(endpoint.hooks):
        return (yield endpoint.view, (was,), arguments())
    hooks = endpoint.hooks[level]
    try:
        try:
            for hook in hooks.before:
                content = yield hook, (was,), {}
                if content:
                    return content
            content = yield from steps(was, endpoint, arguments, level + 1)
        except Exception as error:
            content = yield from _failed(was, endpoint, hooks.failed, error)
        else:
            for hook in hooks.finish:
                yield hook, (was,), {}
        return content
    finally:
        for hook in hooks.teardown:
            try:
                yield hook, (was,), {}
            except Exception:
                was.services.log(f"the teardown of {endpoint} has failed\n{format_exc()}", "error")


def _failed(was: Was, endpoint: Endpoint, hooks: list[Callable[..., Any]], error: Exception) -> Steps:
    """Ask hooks for the content that takes the place of a failed view's, and raise the error again without any."""
    if isinstance(error, PeerError) or _is_cancellation(error):
        raise error
    was.reset_response()
    exc_info = (type(error), error, error.__traceback__)
    for hook in hooks:
        content = yield _while_handling(hook, error), (was, exc_info), {}
        if content is not None:
            log_failure(was, endpoint, error)
            return content
    raise error


def _while_handling(hook: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """Return a hook that is called while ``error`` is being handled, so that ``was.traceback()`` finds it."""
    if inspect.iscoroutinefunction(hook):

        async def call_later(*args: Any) -> Any:
            try:
                raise error
            except Exception:
                return await hook(*args)

        return call_later

    def call(*args: Any) -> Any:
        try:
            raise error
        except Exception:
            return hook(*args)

    return call


def _is_cancellation(error: BaseException) -> bool:
    """Tell whether the client has left and the view is given up; Twisted and asyncio have a class each for it."""
    return type(error).__name__ == "CancelledError"


def run(sequence: Steps) -> Any:
    """Call what a generator yields, here and now; return what it returns."""
    try:
        function, args, kwargs = next(sequence)
        while True:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                function, args, kwargs = sequence.throw(error)
            else:
                function, args, kwargs = sequence.send(result)
    except StopIteration as stop:
        return stop.value


async def run_later(was: Was, sequence: Steps) -> Any:
    """Await what a generator yields; what is no coroutine function is called in an application thread."""
    try:
        function, args, kwargs = next(sequence)
        while True:
            try:
                if inspect.iscoroutinefunction(function):
                    result = await function(*args, **kwargs)
                else:
                    result = await was.services.in_thread(partial(function, *args, **kwargs))
                    if hasattr(result, "__await__"):
                        result = await result
            except BaseException as error:
                function, args, kwargs = sequence.throw(error)
            else:
                function, args, kwargs = sequence.send(result)
    except StopIteration as stop:
        return stop.value


# -- sending


def _send(was: Was, answer: Answer, start_response: StartResponse, exc_info: Any = None) -> Any:
    status, headers, body = answer
    if was.request.method == "HEAD" and not was.under_skitai:
        body = _without_body(headers, body)
    if exc_info is None:
        start_response(status, headers)
    else:
        start_response(status, headers, exc_info)
    return body


def _without_body(headers: list[tuple[str, str]], body: Any) -> list[bytes]:
    """Close a body that is not sent (RFC 9110 section 9.3.2); some servers would send it."""
    if isinstance(body, list):
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(sum(map(len, body)))))
    elif hasattr(body, "close"):
        body.close()
    return []


def _fail(was: Was, endpoint: Endpoint | None, error: Exception, start_response: StartResponse) -> Any:
    """Answer a request that something has gone wrong with."""
    try:
        was.reset_response()
        answer = make_failure(was, endpoint, error)
    except Exception as second:
        # Of the session, which is written at the end even of a failed page, or of the failure itself.
        answer = make_page(was, 500, "", second)
    return _send(was, answer, start_response, (type(error), error, error.__traceback__))


async def _respond_later(was: Was, endpoint: Endpoint, start_response: StartResponse) -> Any:
    """Run an endpoint on the reactor and answer."""
    try:
        content = await run_later(was, steps(was, endpoint, partial(arguments_of, was, endpoint)))
        return _send(was, make_answer(was, endpoint, content), start_response)
    except Exception as error:
        if _is_cancellation(error):
            was.close()
            raise
        return _fail(was, endpoint, error, start_response)
    except BaseException:
        was.close()
        raise


async def _send_later(was: Was, endpoint: Endpoint, content: Any, start_response: StartResponse) -> Any:
    """Await the content that a plain function has returned, and answer."""
    try:
        while hasattr(content, "__await__"):
            content = await content
        return _send(was, make_answer(was, endpoint, content), start_response)
    except Exception as error:
        if _is_cancellation(error):
            was.close()
            raise
        return _fail(was, endpoint, error, start_response)


# -- XML-RPC


def _is_remote_call(was: Was) -> bool:
    if was.request.get_content_type() not in ("text/xml", "application/xml"):
        return False
    from skitai.saddle import xmlrpc

    return xmlrpc.is_call(was.request.body)


def _respond_remote_call(was: Was, start_response: StartResponse) -> Any:
    from skitai.saddle import xmlrpc

    table = was.app.table
    plan = xmlrpc.read(was.request.body, table.method_names)
    if plan.refusal is not None:
        was.services.log(f"XML-RPC: {plan.refusal.faultString}", "warning")
    endpoints = [table.by_method_name(call.method) for call in plan.calls]
    if any(endpoint is not None and endpoint.is_async for endpoint in endpoints):
        return was.services.later(_answer_calls_later(was, plan, endpoints, start_response))
    outcomes: list[Any] = []
    for call, endpoint in zip(plan.calls, endpoints, strict=True):
        try:
            outcomes.append(_unpacked(run(_call_steps(was, endpoint, call))))
        except Exception as error:
            outcomes.append(_outcome(was, call.method, error))
    return _send_outcomes(was, plan, outcomes, start_response)


async def _answer_calls_later(was: Was, plan: Any, endpoints: list[Endpoint | None], start_response: Any) -> Any:
    outcomes: list[Any] = []
    try:
        for call, endpoint in zip(plan.calls, endpoints, strict=True):
            try:
                outcomes.append(_unpacked(await run_later(was, _call_steps(was, endpoint, call))))
            except Exception as error:
                if _is_cancellation(error):
                    raise
                outcomes.append(_outcome(was, call.method, error))
        return _send_outcomes(was, plan, outcomes, start_response)
    except PeerError as error:
        return _fail(was, None, error, start_response)


def _call_steps(was: Was, endpoint: Endpoint | None, call: Any) -> Steps:
    """Yield what is to be called for one XML-RPC call."""
    from skitai.saddle import xmlrpc

    if endpoint is None or not endpoint.takes("POST"):
        raise xmlrpc.MethodNotFound(call.method)
    enter(was, endpoint, {})
    arguments = endpoint.signature.bind_positions(call.params)
    return (yield from steps(was, endpoint, lambda: arguments))


def _outcome(was: Was, method: str, error: Exception) -> Exception:
    """Return an exception as the outcome of a call; raise it where it is that of the whole request."""
    if hasattr(error, "challenges"):
        raise error  # a client that must authenticate itself is told so by HTTP
    if isinstance(error, PeerError):
        was.services.log(f"XML-RPC method {method}: {error}", "warning")
    return error


def _unpacked(content: Any) -> Any:
    """Return the value that a view has answered an XML-RPC call with.

    Raises:
        PeerError: It has answered with the status of an error.
    """
    if not isinstance(content, Response):
        return content
    if content.status_code >= 400:
        raise PeerError(content.status_code, content.status[4:])
    return content.body


def _send_outcomes(was: Was, plan: Any, outcomes: list[Any], start_response: StartResponse) -> Any:
    from skitai.saddle import xmlrpc

    def _report(call: Any, error: BaseException) -> None:
        was.services.log(f"the XML-RPC method {call.method} has failed\n{text_of(error)}", "error")

    body = xmlrpc.write(plan, outcomes, was.app.debug, _report)
    response = was.response("200 OK", body, [("Content-Type", "text/xml")])
    return _send(was, make_answer(was, None, response), start_response)
