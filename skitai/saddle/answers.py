"""From what a view returned, or raised, to status, header fields and body.

Layer S. It must not know how views are called. Thread: the one that answers the request.
"""

from __future__ import annotations

import io
import traceback
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from skitai.errors import ApplicationError, PeerError
from skitai.formats import tojson
from skitai.pages import error_page
from skitai.reasons import reason_of
from skitai.saddle.bodies import PIECE_SIZE, AsyncStream, Stream, discard, is_async_stream, is_stream, whole
from skitai.saddle.response import Response

if TYPE_CHECKING:
    from skitai.saddle.endpoints import Endpoint
    from skitai.saddle.was import Was

Headers: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = tuple[str, Headers, Any]

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"

BODILESS: Final = frozenset({"204", "205", "304"})
"""Codes of answers that have no body (RFC 9110 sections 6.4.1 and 15.3.6)."""

_FILES: Final = (io.BufferedReader, io.FileIO, io.BufferedRandom)
_MAX_LOGGED: Final = 200
"""Characters of a path that a log line quotes."""


def make_answer(was: Was, endpoint: Endpoint | None, content: Any) -> Answer:
    """Return the answer that a view's content makes.

    Args:
        was: The request.
        endpoint: What has answered.
        content: What it has returned.

    Raises:
        ApplicationError: It can not be sent.
    """
    if isinstance(content, Response):
        if content.body is None:
            return _answer_without_body(was, endpoint, content)
        response: Response | None = content
        content = content.body
    else:
        response = was.response if was.has_response else None
    if response is not None and response.status[:3] in BODILESS:
        discard(content)
        return _answer_without_body(was, endpoint, response)
    status = "200 OK" if response is None else response.status
    fields: Headers = [] if response is None else list(response.headers)
    body, content_type = _body_of(was, endpoint, content)
    if response is None or response.get_header("Content-Type") is None:
        fields.insert(0, ("Content-Type", content_type))
    try:
        _complete(was, endpoint, fields, failed=status[0] == "5")
    except Exception:
        discard(content)  # of the session, say: another page is sent instead
        raise
    if type(body) is bytes:
        was.close()
        return status, fields, [body]
    return status, fields, body


def _answer_without_body(was: Was, endpoint: Endpoint | None, response: Response) -> Answer:
    code = response.status_code
    if code >= 400 or response.exc_info is not None:
        error = response.exc_info[1] if response.exc_info else None
        _, fields, body = make_page(was, code, "", error, show=error is not None)
        names = {name.lower() for name, _ in response.headers}
        fields = [field for field in fields if field[0].lower() not in names] + response.headers
        if error is not None:
            log_failure(was, endpoint, error)
    else:
        fields, body = list(response.headers), [b""]
        if response.status[:3] not in BODILESS and response.get_header("Content-Type") is None:
            fields.insert(0, ("Content-Type", HTML))
    _complete(was, endpoint, fields, failed=code >= 500)
    was.close()
    return response.status, fields, body


def _body_of(was: Was, endpoint: Endpoint | None, content: Any) -> tuple[Any, str]:
    """Return the body that content makes, and its media type where nobody has set another."""
    if isinstance(content, dict):
        return tojson(content).encode(), JSON
    data = whole(content)
    if data is not None:
        return data, HTML
    if isinstance(content, _FILES) and "wsgi.file_wrapper" in was.env:
        was.close()
        return was.env["wsgi.file_wrapper"](content, PIECE_SIZE), HTML
    if is_stream(content):
        return Stream(content, was.close), HTML
    if is_async_stream(content):
        return AsyncStream(content, was.close), HTML
    if isinstance(content, (list, tuple)):
        return tojson(content).encode(), JSON
    what = "None" if content is None else f"a {type(content).__name__}, which can not be sent"
    raise ApplicationError(f"the view {endpoint} has returned {what}")


def _complete(was: Was, endpoint: Endpoint | None, fields: Headers, failed: bool) -> None:
    """Add the fields of cookies and of cross-origin sharing."""
    cookies = was.commit(failed)
    if cookies:
        fields += [("Set-Cookie", cookie) for cookie in cookies]
    cors = endpoint.cors if endpoint is not None else was.app.table.cors
    if cors is not None and cors.allow_origin is not None:
        _merge(fields, cors.headers(was.env.get("HTTP_ORIGIN")))


def _merge(fields: Headers, more: Any) -> None:
    """Add fields; those that the view has set itself stay, but for Vary, to which is added."""
    names = {name.lower() for name, _ in fields}
    fields += [field for field in more if field[0] == "Vary" or field[0].lower() not in names]


def make_failure(was: Was, endpoint: Endpoint | None, error: Exception) -> Answer:
    """Return the answer to a request that something has gone wrong with, and log what it was.

    Args:
        was: The request.
        endpoint: What should have answered, None where nothing was found.
        error: What it was.
    """
    app = was.app
    headers: Headers = []
    if isinstance(error, PeerError):
        status, message = error.status, str(error)
        headers += getattr(error, "headers", ())
        challenges = getattr(error, "challenges", None) or ()
        headers += [("WWW-Authenticate", challenge) for challenge in challenges]
        if message and not hasattr(error, "headers"):
            where = f"{was.request.method} {was.request.path[:_MAX_LOGGED]!r}"
            # Each digest handshake begins with a 401: that is nothing to warn of.
            was.services.log(f"{where}: {status} {one_line(message)}", "info" if status == 401 else "warning")
        line, fields, body = make_page(was, status, message)
        endpoint = getattr(error, "endpoint", None) or endpoint
    else:
        log_failure(was, endpoint, error)
        status = 500
        line, fields, body = make_page(was, status, "", error, show=app.debug)
    fields += headers
    _complete(was, endpoint, fields, failed=True)
    was.close()
    return line, fields, body


def make_page(was: Was, status: int, message: str, error: BaseException | None = None, show: bool = False) -> Answer:
    """Return the page for a status.

    Args:
        was: The request.
        status: Code of the status.
        message: What to say.
        error: What has gone wrong.
        show: Whether the client is shown the traceback.
    """
    detail: Any = None
    if show and error is not None:
        from skitai.debugpage import Report

        detail = Report(error, _tables(was))
    fields, body = error_page(status, message, was.services.gtxnid, was.env.get("HTTP_ACCEPT"), detail)
    return f"{status} {reason_of(status)}", list(fields), [body]


def _tables(was: Was) -> dict[str, dict[str, Any]]:
    request = was.request
    return {
        "Request": {"method": request.method, "uri": request.uri, "from": request.get_remote_addr()},
        "Arguments": dict(request.loaded_args),
        "Header fields": dict(request.get_headers()),
    }


def log_failure(was: Was, endpoint: Endpoint | None, error: BaseException) -> None:
    """Log that a view has failed, with its traceback."""
    request = was.request
    where = f" ({endpoint})" if endpoint is not None else ""
    line = f"{request.method} {request.path[:_MAX_LOGGED]!r}{where} has failed"
    was.services.log(f"{line}\n{text_of(error)}", "error")


def one_line(text: str) -> str:
    """Return a text that a client may have had a part in as one line, so that it can not look like others of a log."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def text_of(error: BaseException) -> str:
    """Return the traceback of an exception as text."""
    return "".join(traceback.format_exception(error))
