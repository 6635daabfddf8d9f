"""The environ of a WSGI request (PEP 3333, "environ Variables").

Layer 2, because it is tuned for the hot path: everything that does not depend on the request is made once. Thread: the
one that will run the application.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, Final, TextIO

from skitai.constants import VERSION
from skitai.web.caches import CACHED_LENGTH, remember
from skitai.web.events import PROTOCOLS
from skitai.web.exchange import Exchange
from skitai.web.vhost import MountPoint, decode_path

_OF_THE_REQUEST: Final = (
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI", "SERVER_NAME",
    "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST", "wsgi.input",
    "skitai.client_disconnected", "skitai.was",
)  # fmt: skip
_WITHOUT_PREFIX: Final = (b"content-type", b"content-length")
_keys: dict[bytes, str] = {}


class EnvironMaker:
    """Makes environ dictionaries for one application.

    Args:
        multithread: Whether several threads may run the application at once.
        errors: The stream for ``wsgi.errors``.
        file_wrapper: The class for ``wsgi.file_wrapper``.
        enter: Makes ``skitai.was``.
    """

    def __init__(
        self,
        multithread: bool,
        errors: TextIO,
        file_wrapper: type,
        enter: Callable[[Exchange, dict[str, Any]], object],
    ) -> None:
        self._enter = enter
        # A copy of a dictionary that has all keys already is filled in a third of the time that a display takes.
        self._base: dict[str, Any] = {
            **dict.fromkeys(_OF_THE_REQUEST, ""),
            "SERVER_SOFTWARE": f"Skitai/{VERSION}",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": errors,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": file_wrapper,
            "wsgi.input_terminated": True,
            "skitai.version": VERSION,
        }

    def make(self, exchange: Exchange, mount: MountPoint, body: BinaryIO | None) -> dict[str, Any]:
        """Make the environ of ``exchange``.

        Args:
            exchange: The request.
            mount: Where the application is mounted.
            body: Its body, None for none.
        """
        request = exchange.request
        client, server, secure, _ = exchange.peers
        script_name = mount.script_name
        path = decode_path(request.path)
        environ = self._base.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["SCRIPT_NAME"] = script_name
        environ["PATH_INFO"] = path[len(script_name) :] if script_name else path
        environ["QUERY_STRING"] = request.query
        environ["RAW_URI"] = environ["REQUEST_URI"] = target = request.target
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1])
        environ["SERVER_PROTOCOL"] = PROTOCOLS[request.version]
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
        environ["wsgi.input"] = io.BytesIO() if body is None else body
        environ["skitai.client_disconnected"] = exchange.client_disconnected
        if secure:
            environ["wsgi.url_scheme"] = "https"
        for name, value in request.headers:
            key = _keys.get(name)
            if key is None:
                key = _environ_key(name)
                if not key:
                    continue
            text = value.decode("latin-1")
            if key in environ and key != "HTTP_HOST":
                environ[key] = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
            else:
                environ[key] = text
        if target[0] != "/":
            environ["REQUEST_URI"] = f"{request.path}?{request.query}" if request.query else request.path
        # That of the target, or of a trusted proxy, goes before the field.
        if request.host:
            environ["HTTP_HOST"] = request.host
        else:
            del environ["HTTP_HOST"]
        if body is not None and type(body) is not io.BufferedReader and exchange.body is not None:
            environ["CONTENT_LENGTH"] = str(exchange.body.received)  # it is whole, though it may have come in chunks
        environ["skitai.was"] = self._enter(exchange, environ)
        return environ


def _environ_key(name: bytes) -> str:
    """Return the key of a header field, "" for one that is left out.

    That is a name with "_", which would pass for another with "-", and Proxy, which libraries would take for the
    environment variable HTTP_PROXY (CVE-2016-5385).
    """
    if b"_" in name or name == b"proxy":
        return ""
    key = ("" if name in _WITHOUT_PREFIX else "HTTP_") + name.decode("latin-1").upper().replace("-", "_")
    return remember(_keys, name, key) if len(name) <= CACHED_LENGTH else key
