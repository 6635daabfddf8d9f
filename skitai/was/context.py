"""What ``was`` is to one request: its environment, its transaction ids, the log of the application, and small helpers.

``current`` holds the ``Was`` of the request that the running code belongs to: whoever runs an application sets it
before, in the thread (or the ``contextvars`` context) that runs it, and sets None afterwards. Code that belongs to no
request has ``Outside``, which can log but knows no request.

Layer 3. It must not know who serves the request, nor which framework answers it. Thread: any; each object belongs to
whoever owns its exchange.
"""

from __future__ import annotations

import json
import traceback
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from twisted.logger import Logger, LogLevel

from skitai.errors import NotAvailable
from skitai.web.events import HeaderList
from skitai.web.exchange import Exchange
from skitai.web.transaction import child_headers, gtxn_of, ltxn_of

_LEVELS: Final = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warn": LogLevel.warn,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
    "critical": LogLevel.critical,
    "fatal": LogLevel.critical,
}

_VERBS: Final = "delete get head options patch post put trace"
_BODIES: Final = " ".join(
    f"{verb}{body}" for verb in ("patch", "post", "put") for body in ("form", "json", "nvp", "xml")
)

NOT_AVAILABLE: Final = frozenset(
    f"""
    {_VERBS} {_BODIES} upload rpc grpc ws wss db mongodb postgresql redis sqlite3
    ajob email restart shutdown status fromgrpc fromxml togrpc toxml
    ab app aresponse cookie fstream g gstream jstream mbox redirect render render2 request response session xstream
    websocket wsclient wsclosed wsconfig wshasevent wsinit wsopened
    """.split()
)
"""Names of the manual that nothing stands behind yet."""

REQUEST_BOUND: Final = frozenset({"env", "gtxnid", "ltxnid", "next_call_headers"})
"""Names that mean something only while a request is answered."""

_log = Logger(namespace="skitai.app")


class Outside:
    """``was`` for code that belongs to no request: at import, in ``bootstrap``, in threads of its own."""

    __slots__ = ()

    def log(self, msg: object, category: str = "info") -> None:
        """Write a message to the application log.

        Args:
            msg: The message.
            category: debug, info, warning, error or critical; another word is written before the message.

        Thread: any.
        """
        level = _LEVELS.get(category)
        text = _text(msg)
        if level is None:
            level, text = LogLevel.info, f"{category}: {text}"
        self._emit(level, text)

    def traceback(self, id: str = "") -> None:
        """Write the traceback of the exception that is being handled to the application log.

        Args:
            id: What to find it by; the transaction ids of the request when empty.

        Thread: any.
        """
        text = traceback.format_exc().rstrip("\n")
        if text == "NoneType: None":
            text = "was.traceback() was called while no exception is handled"
        self._emit(LogLevel.error, text, id)

    def tojson(self, value: Any) -> str:
        """Return a value as JSON.

        Raises:
            TypeError: It holds what JSON has no form for.
        """
        return json.dumps(value)

    def fromjson(self, text: str | bytes) -> Any:
        """Return the value of a JSON text.

        Raises:
            ValueError: The text is no JSON.
        """
        return json.loads(text)

    def _emit(self, level: Any, text: str, mark: str = "") -> None:
        if mark:
            _log.emit(level, "{mark} {text}", mark=mark, text=text)
        else:
            _log.emit(level, "{text}", text=text)

    def __getattr__(self, name: str) -> NoReturn:
        if name in REQUEST_BOUND:
            raise RuntimeError(f"was.{name} needs a request: it can be used only by code that is answering one")
        refuse(name)


class Was(Outside):
    """``was`` for one request.

    Args:
        exchange: The request and its response.
        environ: The WSGI environment; ``env`` is the same dictionary.
    """

    __slots__ = ("_calls", "_exchange", "env")

    def __init__(self, exchange: Exchange, environ: dict[str, Any]) -> None:
        # One is made for every request: nothing is computed before it is asked for.
        self._exchange = exchange
        self._calls = 0
        self.env = environ

    @property
    def gtxnid(self) -> str:
        """The global transaction id of the request."""
        return gtxn_of(self._exchange)

    @property
    def ltxnid(self) -> int:
        """The local transaction id of the request."""
        return ltxn_of(self._exchange)

    def next_call_headers(self) -> HeaderList:
        """Return the fields that the next outgoing call of this request carries its transaction in."""
        self._calls += 1
        return child_headers(self._exchange, self._calls)

    def _emit(self, level: Any, text: str, mark: str = "") -> None:
        gtxn, ltxn = self.gtxnid, self.ltxnid
        _log.emit(level, "{mark} {text}", mark=mark or f"{gtxn}/{ltxn}", text=text, gtxn=gtxn, ltxn=ltxn)

    def __getattr__(self, name: str) -> NoReturn:
        refuse(name)


def refuse(name: str) -> NoReturn:
    """Raise what asking ``was`` for a name that it does not have deserves.

    Raises:
        NotAvailable: The manual has the name, this version has not.
        AttributeError: Nobody has it.
    """
    if name in NOT_AVAILABLE:
        raise NotAvailable(f"was.{name} is not available in this version yet")
    raise AttributeError(f"was has no {name!r}", name=name)


OUTSIDE: Final = Outside()

current: ContextVar[Was | None] = ContextVar("skitai.was", default=None)
"""The ``was`` of the request that is being answered, None outside of any."""


def _text(message: object) -> str:
    return message.decode("utf-8", "backslashreplace") if isinstance(message, bytes) else str(message)
