"""What became of a request: ``Response``, and ``Responses`` where all members of a cluster were asked.

A response has a status of its own beside that of HTTP: 1 when the time was up, 2 when there is no answer, 3 when there
is one, whatever it says.

Layer 3. It must not know how requests are made. Thread: any; one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from email.message import Message
from typing import Any, BinaryIO, Final, NoReturn, Protocol

from skitai.errors import BadAnswer, RequestError
from skitai.fields import Headers
from skitai.formats import fromjson

TIMED_OUT: Final = 1
FAILED: Final = 2
DONE: Final = 3

_NO_FIELDS: Final = Headers(())

Decode = Callable[["Response"], Any]
"""Returns what an answer means, where that is not plain from its media type; raises where it means nothing."""


def check_seconds(seconds: object) -> None:
    """Check for how long a response is to be kept.

    Raises:
        TypeError: It is no number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds:
        raise TypeError(f"cache(seconds) takes a number of seconds, not {seconds!r}")


class Keeper(Protocol):
    """What keeps responses."""

    def keep(self, response: Response, seconds: float) -> object:
        """Keep a response for some seconds, or forget what is kept. Thread: any."""


class LongBody:
    """A body in a temporary file, which is closed when nobody holds the body any more.

    It is read without moving the position of the file, so that several threads and several responses may share it.

    Args:
        file: The file. It belongs to this object from now on.
    """

    __slots__ = ("_file", "size")

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        at = 0
        while at < self.size:
            piece = os.pread(self._file.fileno(), self.size - at, at)
            if not piece:
                break
            pieces.append(piece)
            at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()


class Response:
    """The outcome of one request.

    Attributes:
        status: 1 the time was up, 2 there is no answer, 3 there is one; 0 does not occur, since it is made at the end.
        status_code: That of HTTP; 701 and above where there is no answer.
        reason: That of HTTP, or why there is no answer.
        version: HTTP version of the answer: "1.1"; "" for none.
        headers: Header fields of the answer; names are case-insensitive.
        url: Where the answer comes from, after redirections.
        method: The method of the request.
        meta: What was given as ``meta`` with the request.
        reqid: Name of the request in an asynchronous response, None elsewhere.
        is_cached: Whether it comes from the result cache.
        born: When the answer came, in seconds of the cache's clock: what is kept grows old from then on.
        error: Why there is no answer, None when there is one.
        unread: Whether ``read`` still has to be called.
    """

    __slots__ = (
        "_content",
        "_data",
        "_decode",
        "_has_data",
        "_keeper",
        "born",
        "error",
        "headers",
        "is_cached",
        "meta",
        "method",
        "reason",
        "reqid",
        "status",
        "status_code",
        "unread",
        "url",
        "version",
    )

    def __init__(self, method: str, url: str, status_code: int, reason: str, content: bytes | BinaryIO = b"") -> None:
        # Several threads may have it: what is written here later is written once, or the same each time.
        self.status = DONE
        self.method = method
        self.url = url
        self.status_code = status_code
        self.reason = reason
        self.version = ""
        self.headers = _NO_FIELDS
        self.meta: Mapping[str, Any] = {}
        self.reqid: str | None = None
        self.is_cached = False
        self.born = 0.0
        self.error: Exception | None = None
        self.unread = False
        self._content: bytes | LongBody = content if isinstance(content, bytes) else LongBody(content)
        self._data: Any = None
        self._has_data = False
        self._decode: Decode | None = None
        self._keeper: Keeper | None = None

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.url}: {self.status_code} {self.reason}>"

    @classmethod
    def of_failure(cls, method: str, url: str, error: Exception) -> Response:
        """Make the response for a request that has no answer."""
        response = cls(method, url, 0, "")
        response.fail(error)
        return response

    @property
    def content(self) -> bytes:
        """The body, decoded of gzip and the like; empty where nothing has come."""
        content = self._content
        return content if isinstance(content, bytes) else content.read()

    @property
    def size(self) -> int:
        """Length of the body in bytes."""
        content = self._content
        return len(content) if isinstance(content, bytes) else content.size

    @property
    def text(self) -> str:
        """The body as text, in the charset that it names, else UTF-8; what is wrong becomes U+FFFD."""
        content = self.content
        try:
            message = Message()
            message["Content-Type"] = self.headers.get("Content-Type", "")
            return content.decode(message.get_content_charset("utf-8"), "replace")
        except (LookupError, ValueError):  # a charset that nobody knows, or that is none of texts
            return content.decode("utf-8", "replace")

    @property
    def data(self) -> Any:
        """What the answer means: the value of JSON, the result of a remote call; else the body."""
        if not self._has_data:
            self._data = self._read_data()
            self._has_data = True
        return self._data

    def _read_data(self) -> Any:
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.status == DONE and (media_type == "application/json" or media_type.endswith("+json")):
            try:
                return fromjson(self.content)
            except ValueError:
                return self.content  # what calls itself JSON and is none
        return self.content if self.status == DONE else None

    def set_data(self, data: Any) -> None:
        """Say what the answer means, in the place of its body."""
        self._data = data
        self._has_data = True

    def read_with(self, decode: Decode, at_once: bool = True) -> None:
        """Have ``decode`` say what the answer means; where it raises, there is no answer.

        Args:
            decode: Says it.
            at_once: Whether it does so now; else ``read`` is to be called before anybody looks at the response.
        """
        self._decode = decode
        self.unread = True
        if at_once:
            self.read()

    def read(self) -> None:
        """Find out what the answer means. Two may do so at once: they find the same."""
        if self._decode is not None:
            try:
                self.set_data(self._decode(self))
            except Exception as error:
                self.fail(error)
        self.unread = False

    def json(self) -> Any:
        """Return the value of the body, a JSON text.

        Raises:
            ValueError: It is none.
        """
        return fromjson(self.content)

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a header field."""
        found: str | None = self.headers.get(name, default)
        return found

    def cache(self, seconds: float) -> Response:
        """Keep the response for requests like this one.

        Args:
            seconds: For how long, from when the answer came: who is given what is kept and keeps it again does not make
                it last longer. 0 or less forgets what is kept. Without an answer nothing happens.

        Raises:
            TypeError: That is no number.
        """
        check_seconds(seconds)
        if self._keeper is not None and self.status == DONE:
            self._keeper.keep(self, seconds)
        return self

    def fail(self, error: Exception) -> None:
        """Say that there is no answer, or none that can be understood."""
        known = error if isinstance(error, RequestError) else BadAnswer(f"{type(error).__name__}: {error}")
        self.status, self.status_code, self.reason, self.error = known.status, known.code, str(known), error
        self._data, self._has_data = None, True

    def kept_by(self, keeper: Keeper) -> None:
        """Say what keeps it in the result cache."""
        self._keeper = keeper

    def reraise(self) -> Response:
        """Raise why there is no answer; return itself when there is one.

        Raises:
            RequestError: There is none.
        """
        if self.error is not None:
            _raise(self.error)
        return self

    def copy(self, in_memory: int = 0) -> Response:
        """Return another response with the same answer, for somebody else who asked the same.

        What the answer means is read anew: whoever has it may change it.

        Args:
            in_memory: Bytes of a body in a file that the copy has in memory instead.
        """
        other = Response(self.method, self.url, self.status_code, self.reason)
        content = self._content
        other._content = content.read() if isinstance(content, LongBody) and content.size <= in_memory else content
        other.status, other.error = self.status, self.error
        other.version, other.headers, other.born = self.version, self.headers, self.born
        other._decode = self._decode
        other.unread = self._decode is not None and self.error is None
        other._has_data = self.error is not None
        return other


class Responses(Sequence[Response]):
    """The outcomes of a request to all members of a cluster, in their order.

    Args:
        responses: One for each member.
    """

    def __init__(self, responses: Sequence[Response]) -> None:
        self._responses = list(responses)

    def __getitem__(self, index: Any) -> Any:
        return self._responses[index]

    def __len__(self) -> int:
        return len(self._responses)

    def __iter__(self) -> Iterator[Response]:
        return iter(self._responses)

    def __repr__(self) -> str:
        return f"<Responses {self._responses!r}>"

    @property
    def status(self) -> list[int]:
        """Of each."""
        return [response.status for response in self._responses]

    @property
    def status_code(self) -> list[int]:
        """Of each."""
        return [response.status_code for response in self._responses]

    @property
    def data(self) -> list[Any]:
        """Of each."""
        return [response.data for response in self._responses]

    @property
    def is_cached(self) -> bool:
        """Whether all come from the result cache."""
        return bool(self._responses) and all(response.is_cached for response in self._responses)

    def cache(self, seconds: float) -> Responses:
        """Keep all that have an answer."""
        for response in self._responses:
            response.cache(seconds)
        return self

    def reraise(self) -> Responses:
        """Raise why the first that has no answer has none.

        Raises:
            RequestError: One has none.
        """
        for response in self._responses:
            response.reraise()
        return self


def _raise(error: Exception) -> NoReturn:
    # Several threads may wait for one request, and a traceback grows with each raise: so each gets its own.
    try:
        own = copy(error)
    except Exception:  # one that can not be made of its arguments
        own = error
    if own is not error and error.__traceback__ is not None:
        raise own.with_traceback(None) from error  # where it was raised in the application: by a filter
    raise own.with_traceback(None)
