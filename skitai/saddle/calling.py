"""One request from its endpoint to its answer: checks, hooks, view, and what they return or raise.

Theory of operation. The order of hooks around a view is written down once, in ``steps``, a generator that yields each
function to call and is sent what it returned. ``run`` calls them in the thread of the request; ``run_later`` awaits
coroutine functions on the reactor and has the others called in an application thread. An endpoint is run later when the
view or any of its hooks is a coroutine function.

What a client did wrong (``PeerError``) is no failure of the application: ``failed_request`` hooks are not asked.
XML-RPC has a module of its own (``remotecalls``), which runs each call in the same steps.

Layer S. It must not know how endpoints are found. Thread: the one that answers the request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from functools import partial
from traceback import format_exc
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from skitai.errors import PeerError
from skitai.saddle.answers import BODILESS, Answer, log_failure, make_answer, make_failure, make_page
from skitai.saddle.bodies import AsyncStream, Stream, discard, in_threads, is_async_stream
from skitai.saddle.endpoints import Endpoint
from skitai.saddle.response import Response

if TYPE_CHECKING:
    from skitai.saddle.was import Was

Step: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Steps: TypeAlias = Generator[Step, Any, Any]
StartResponse: TypeAlias = Callable[..., Any]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 section 9.2.1); all others need the token where forms are protected."""


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
        if method == "OPTIONS" or (method == "POST" and request.get_sub_type() == "xml"):
            answered = _respond_without_view(was, start_response)
            if answered is not None:
                return answered
        endpoint, texts = table.select(request)
        enter(was, endpoint, endpoint.path_args(texts) if texts else {})
        if endpoint.is_async:
            request.load()
            start = partial(run_later, was, steps(was, endpoint, partial(arguments_of, was, endpoint)))
            return was.services.later(_respond_later(was, endpoint, start, start_response))
        if endpoint.hooks:
            content = run(steps(was, endpoint, partial(arguments_of, was, endpoint)))
        else:
            content = endpoint.view(was, **arguments_of(was, endpoint))
        body = content.body if type(content) is Response else content
        if hasattr(content, "__await__") or is_async_stream(body):
            # A plain function has returned a coroutine: that of a function it has wrapped, say; or an aresponse.
            return was.services.later(_respond_later(was, endpoint, lambda: content, start_response))
        return send(was, make_answer(was, endpoint, content), start_response)
    except Exception as error:
        return fail(was, endpoint, error, start_response)
    except BaseException:  # sys.exit() in a view
        was.close()
        raise


def _respond_without_view(was: Was, start_response: StartResponse) -> Any:
    """Answer a request that is none for one view, OPTIONS or XML-RPC; return None where it is one."""
    if was.request.method == "OPTIONS":
        found = was.app.table.options(was.request, was.app.authenticate)
        if found is None:
            return None
        fields, endpoint = found
        return send(was, make_answer(was, endpoint, was.response("200 OK", b"", fields)), start_response)
    from skitai.saddle import remotecalls

    return remotecalls.respond(was, start_response) if remotecalls.is_call(was) else None


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
        authenticate(was)
    if _needs_token(was, endpoint):
        from skitai.saddle import csrf

        given = request.get_header(csrf.HEADER_NAME) or request.given.get(csrf.FIELD_NAME)
        if not csrf.verify(was.session, given):
            raise PeerError(403, "the form is not from this site, or it is too old: load it again")


def authenticate(was: Was) -> None:
    """Find out who asks, once for each request: an answer to a challenge of Digest is good for one time.

    Raises:
        PeerError: The client has not said, or what it says is wrong.
    """
    request = was.request
    if request.user is None:
        authorization = was.env.get("HTTP_AUTHORIZATION", "")
        request.user = user = was.app.authenticator.authenticate(request.method, request.uri, authorization)
        was.env["REMOTE_USER"] = was.services.user = user.name


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
    return bool(protected) and was.request.method not in _SAFE


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
            try:
                for hook in hooks.finish:
                    yield hook, (was,), {}
            except Exception:
                discard(content.body if isinstance(content, Response) else content)  # another page takes its place
                raise
        return content
    finally:
        for hook in hooks.teardown:
            try:
                yield hook, (was,), {}
            except Exception:
                was.services.log(f"the teardown of {endpoint} has failed\n{format_exc()}", "error")


def _failed(was: Was, endpoint: Endpoint, hooks: list[Callable[..., Any]], error: Exception) -> Steps:
    """Ask hooks for the content that takes the place of a failed view's, and raise the error again without any."""
    if isinstance(error, PeerError) or is_cancellation(was, error):
        raise error
    was.reset_response()
    exc_info = (type(error), error, error.__traceback__)
    for hook in hooks:
        content = yield _while_handling(hook, error), (was, exc_info), {}
        error.__traceback__ = exc_info[2]
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


def is_cancellation(was: Was, error: Exception) -> bool:
    """Tell whether the view is given up because the client has left.

    Twisted has a class of that name, and ``concurrent.futures`` another one; what the application itself has cancelled
    is a failure like others.
    """
    has_left = was.env.get("skitai.client_disconnected")
    return type(error).__name__ == "CancelledError" and has_left is not None and has_left()


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


def send(was: Was, answer: Answer, start_response: StartResponse, exc_info: Any = None) -> Any:
    """Start a response and return its body."""
    status, headers, body = answer
    if was.request.method == "HEAD" and not was.under_skitai:
        body = _without_body(status, headers, body)
    if exc_info is None:
        start_response(status, headers)
    else:
        start_response(status, headers, exc_info)
    return body


def _without_body(status: str, headers: list[tuple[str, str]], body: Any) -> Any:
    """Close a body that is not sent (RFC 9110 section 9.3.2); some servers would send it."""
    if isinstance(body, AsyncStream):
        body.silent = True
        return body
    if not isinstance(body, list):
        discard(body)
    elif status[:3] not in BODILESS and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(sum(map(len, body)))))
    return []


def fail(was: Was, endpoint: Endpoint | None, error: Exception, start_response: StartResponse) -> Any:
    """Answer a request that something has gone wrong with."""
    try:
        was.reset_response()
        answer = make_failure(was, endpoint, error)
    except Exception as second:
        # Of the session, which is written at the end even of a failed page, or of the failure itself.
        log_failure(was, endpoint, second)
        was.close()
        answer = make_page(was, 500, "", second, show=was.app.debug)
    return send(was, answer, start_response, (type(error), error, error.__traceback__))


async def _respond_later(was: Was, endpoint: Endpoint, start: Callable[[], Any], start_response: StartResponse) -> Any:
    """Await the content of an answer, and answer.

    Args:
        was: The request.
        endpoint: What answers.
        start: Returns the content, or what is awaited for it.
        start_response: As of PEP 3333.
    """
    try:
        content = start()
        while hasattr(content, "__await__"):
            content = await content
        status, headers, body = make_answer(was, endpoint, content)
        if type(body) is Stream and not endpoint.route.is_async:
            # A view that is no coroutine function may wait for the pieces; only its hooks run on the reactor.
            body = AsyncStream(in_threads(body, was.services.in_thread), body.close)
        return send(was, (status, headers, body), start_response)
    except Exception as error:
        if not is_cancellation(was, error):
            return fail(was, endpoint, error, start_response)
        was.close()
        raise
    except BaseException:
        was.close()
        raise
