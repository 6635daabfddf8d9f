"""Every exception that Skitai raises, in one tree.

    SkitaiError
    ├── ConfigError              a setting, mount or alias that can not be used; ``faults`` lists all of them
    │   └── NotAvailable         declared rightly, but not implemented yet
    ├── LoadError                an application that can not be imported; ``traceback`` is its text
    ├── ApplicationError         a WSGI application broke a rule of PEP 3333
    ├── PeerError                what a client did wrong; ``status`` is the answer it deserves
    │   ├── BodyError            the request body ended other than well (also an OSError, as ``read`` promises)
    │   │   └── BodyTooLarge     the body passed its limit (413)
    │   └── ClientDisconnected   the client left (also a ConnectionError)
    └── RequestError             what became of a request of ``was``; ``status`` and ``code`` are those of its response
        ├── ConnectFailed        nobody answers there, or the connection was lost (701)
        ├── NameNotFound         the name of the server does not resolve (704)
        ├── RequestTimeout       it took too long (730; also a TimeoutError)
        ├── RequestCancelled     the application does not want it any more (702)
        └── BadAnswer            the answer is cut or malformed (705)
            └── BeyondLimit      it is too large, or redirects too often

It must not know Twisted or any other module of Skitai. Exceptions carry fields; their messages name the value and say
what would be right.
"""

from __future__ import annotations

from collections.abc import Iterable


class SkitaiError(Exception):
    """The root of the tree."""


class ConfigError(SkitaiError):
    """One or several settings can not be used.

    Args:
        faults: One sentence for each fault; ``str()`` joins them in one line.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("; ".join(self.faults))


class NotAvailable(ConfigError):
    """A declaration is valid but what it asks for is not implemented in this version."""


class LoadError(SkitaiError):
    """An application can not be imported.

    Args:
        what: The target as the user wrote it.
        traceback: The formatted traceback, or "" where the reason is in ``what``.
    """

    def __init__(self, what: str, traceback: str = "") -> None:
        self.what = what
        self.traceback = traceback
        super().__init__(what)


class ApplicationError(SkitaiError):
    """A WSGI application broke a rule of PEP 3333; the message names the rule."""


class PeerError(SkitaiError):
    """A client did something wrong.

    Args:
        status: The HTTP status that answers it.
        message: What was wrong, in words that may be shown to the client.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class BodyError(PeerError, OSError):
    """A request body did not arrive whole: malformed, too slow, or cut."""


class BodyTooLarge(BodyError):
    """A request body passed its limit of ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(413, f"the request body is larger than {limit:,} bytes")


class ClientDisconnected(PeerError, ConnectionError):
    """The client closed the connection before its answer was delivered."""

    def __init__(self, message: str = "the client has disconnected") -> None:
        super().__init__(499, message)


class RequestError(SkitaiError):
    """A request to another service did not end with an answer.

    Args:
        message: What has happened, with the name of the server.
        sent: Whether any byte of the request may have reached the server.
        answered: Whether any byte of an answer has come.
        queued: Whether it has never left our own queue, so that this says nothing about the server.
    """

    status = 2
    """What ``response.status`` is: 1 for time-outs, 2 for everything else."""
    code = 701
    """What ``response.status_code`` is."""

    def __init__(self, message: str, sent: bool = False, answered: bool = False, queued: bool = False) -> None:
        self.sent = sent
        self.answered = answered
        self.queued = queued
        super().__init__(message)


class ConnectFailed(RequestError):
    """The server can not be reached, refuses, or has closed the connection."""


class NameNotFound(RequestError):
    """The name of the server does not resolve."""

    code = 704


class RequestTimeout(RequestError, TimeoutError):
    """The answer did not come in time."""

    status = 1
    code = 730


class RequestCancelled(RequestError):
    """The application has cancelled the request."""

    code = 702


class BadAnswer(RequestError):
    """The answer is cut, malformed, too large, or redirects without end."""

    code = 705


class BeyondLimit(BadAnswer):
    """The server is well, but its answer is larger than what is taken, or redirects more often."""
