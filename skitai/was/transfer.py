"""One request from the first connection to the last byte of the last answer.

Theory of operation. A ``Transfer`` waits for a lease (``Pool``), sends (``Connection``), and takes the answer, which it
collects; or it throws the answer away and begins anew: at the URL of a redirect, or with the credentials that a
401 asks for. A request that failed on a connection that had been idle, or got 408 there, is repeated once on a new one
where that is safe: a server may close an idle connection at any time, so that this says nothing about the server.
Everything else that fails is for the caller to judge, who may know another server.

What fails below tells what, and is told on with the name of the server here, the one place where that is put in. Each
transfer ends once, by ``_finish``, which gives back whatever it holds: lease, place in the queue, deadline,
temporary file. The payload is the caller's, who may send it elsewhere next.

Layer 3. It must not know clusters, caches, threads, nor who asks. Thread: reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, Protocol, TypeAlias

from skitai.errors import BadAnswer, BeyondLimit, RequestCancelled, RequestError, RequestTimeout
from skitai.was.challenges import Credentials
from skitai.was.connection import Connection
from skitai.was.content import Decoder, decoder_for
from skitai.was.deadlines import Deadlines
from skitai.was.http1 import Head
from skitai.was.interfaces import Lease
from skitai.was.limits import DEFAULT_TRUST, ClientSettings, Trust
from skitai.was.outgoing import FETCHING, SECRET, Outgoing
from skitai.was.pool import Pool
from skitai.was.spool import Spool, too_large
from skitai.was.url import URL
from skitai.web.caches import remember

REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
DISCARDED_SIZE: Final = 64 * 1024
"""Bytes of an answer that are read although nobody wants them, so that its connection can be used again."""
MAX_DIGESTS: Final = 2
"""How often one request is repeated because of 401: with Digest, and with a newer nonce."""

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

_names: dict[bytes, str] = {}


@dataclass(slots=True)
class Answer:
    """What a server has answered.

    Attributes:
        status: 200 to 999.
        reason: The reason phrase, "" for none.
        version: "1.0" or "1.1".
        headers: Names in lower case and values, as received.
        body: Decoded; a temporary file that stands at its beginning where it is long, the receiver's to close.
        url: Of the request that was answered at last.
        method: Of the request.
        history: How many redirects were followed.
    """

    status: int
    reason: str
    version: str
    headers: Sequence[tuple[str, str]]
    body: bytes | BinaryIO
    url: str
    method: str
    history: int


Done: TypeAlias = Callable[["Answer | RequestError"], object]
Extra: TypeAlias = Callable[[URL], Fields]
"""Gives further fields, such as transaction ids and cookies, for each request that goes to the URL."""


class Client(Protocol):
    """Whose request it is (``skitai.was.client``).

    Attributes:
        settings: What requests may cost.
        deadlines: The requests that run.
        credentials: What servers have asked for.
    """

    settings: ClientSettings
    deadlines: Deadlines
    credentials: Credentials

    def pool(self, url: URL, trust: Trust) -> Pool:
        """Return the connections to the server of ``url``."""

    def finished(self, transfer: Transfer, done: Done, outcome: Answer | RequestError) -> None:
        """Tell who has asked."""


class Transfer:
    """One request; what ``HTTPClient.request`` returns.

    Attributes:
        deadline: In the time of the client's clock.
        timeout: Seconds that who asks has given, for the message; the deadline may be nearer where others were asked
            before.
        returned: Whether who asked has this object, and so can be told of the outcome.
    """

    __slots__ = (
        "_body",
        "_client",
        "_decoder",
        "_digests",
        "_discarded",
        "_done",
        "_encoding",
        "_extra",
        "_first",
        "_head",
        "_history",
        "_lease",
        "_max_size",
        "_next",
        "_outgoing",
        "_pool",
        "_sent",
        "_trust",
        "deadline",
        "returned",
        "timeout",
    )

    def __init__(
        self, client: Client, outgoing: Outgoing, limits: tuple[float, int], done: Done, extra: Extra | None
    ) -> None:
        self._client = client
        self._outgoing = outgoing
        self.timeout, self._max_size = limits
        self._done: Done | None = done
        self._extra = extra
        self._trust = DEFAULT_TRUST
        self._lease: Lease | None = None
        self._pool: Pool | None = None
        self._head: Head | None = None
        self._first = b""
        self._body: Spool | None = None
        self._decoder: Decoder | None = None
        self._encoding = b""
        self._next: Outgoing | None = None
        self._discarded = 0
        self._history = 0
        self._digests = 0
        self._sent = False
        self.deadline = 0.0
        self.returned = False

    # -- from outside

    @property
    def moved(self) -> bool:
        """Whether it was redirected, so that its end says nothing about the server that was asked first."""
        return self._history > 0

    @property
    def sent(self) -> bool:
        """Whether any byte of it may have reached a server."""
        lease = self._lease
        return self._sent or self._history > 0 or self._digests > 0 or (lease is not None and lease.sent)

    def cancel(self) -> None:
        """End the request; ``done`` gets ``RequestCancelled`` at once, unless it has been called before."""
        self._give_up(RequestCancelled(f"the request to {self._outgoing.url.text} was cancelled"))

    def expire(self) -> None:
        """The deadline has come."""
        # Rounded: what is left of a time is never what somebody has given.
        where, seconds, pool = self._outgoing.url.authority, round(self.timeout, 3), self._pool
        queued = pool is not None and pool.holds_back(self)
        self._give_up(RequestTimeout(f"{where} has not answered within {seconds:g} seconds", queued=queued))

    def start(self, trust: Trust, early: Connection | None) -> None:
        """Begin, or go on with what a thread has sent (called by the client)."""
        self._trust = trust
        if early is None:
            self._acquire()
        elif early.adopt(self._outgoing, self):
            self._lease = early
        else:
            early.abort()
            self._acquire()

    # -- a connection

    def _acquire(self, fresh: bool = False) -> None:
        self._pool = pool = self._client.pool(self._outgoing.url, self._trust)
        pool.acquire(self, fresh)

    def on_lease(self, lease: Lease) -> None:
        """Send the request."""
        self._pool = None
        outgoing = self._outgoing
        if lease.reused and outgoing.method not in FETCHING and not lease.alive():
            lease.abort()
            self._acquire(fresh=True)
            return
        try:
            lease.start(outgoing, self._fields(outgoing), self)
        except Exception as error:  # a field that can not be sent, which is a mistake of the caller's
            lease.abort()
            self._give_up(RequestError(f"the request to {outgoing.url.text} can not be sent: {error}"))
            return
        self._lease = lease

    def on_no_lease(self, error: RequestError) -> None:
        """There is no connection."""
        self._pool = None
        self._fail(error)

    def _fields(self, outgoing: Outgoing) -> Fields:
        """Return what goes along with a request besides its own fields."""
        auth, extra, url = outgoing.auth, self._extra, outgoing.url
        fields: Fields = () if extra is None else extra(url)
        if auth is None:
            return fields
        value = self._client.credentials.authorization(auth, url.origin, outgoing.method, url.target)
        return [*fields, (b"authorization", value)]

    # -- the answer

    def on_head(self, head: Head) -> None:
        """Decide what the answer means."""
        status = head.status
        lease = self._lease
        if status == 408 and lease is not None and lease.reused and self._outgoing.repeatable:
            # RFC 9110 section 15.5.9: the server was tired of the idle connection when the request was on its way.
            self._lease = None
            lease.abort()
            self._acquire(fresh=True)
            return
        if status == 401 and self._outgoing.auth is not None:
            self._next = self._with_digest(head)
        elif status in REDIRECTS and self._outgoing.method in FETCHING:
            try:
                self._next = self._redirected(head)
            except BadAnswer as error:
                self._fail(error)
                return
        if self._next is not None:
            # The rest is only read where that saves the connection.
            if not head.keep_alive or (head.length or 0) > DISCARDED_SIZE:
                self._proceed()
            return
        self._head = head
        if self._outgoing.decode:
            self._encoding = b",".join([value for name, value in head.headers if name == b"content-encoding"])
        if not self._encoding and (head.length or 0) > self._max_size:
            self._fail(too_large(self._max_size))

    def on_data(self, data: bytes) -> None:
        """Keep some of the body."""
        if self._next is not None:
            self._discarded += len(data)
            if self._discarded > DISCARDED_SIZE:
                self._proceed()
            return
        body = self._body
        if body is None and not self._first and not self._encoding and len(data) <= self._max_size:
            self._first = data  # of most answers it is all
            return
        try:
            if body is None:
                # Not before: an answer to HEAD names a coding, too, and has no data to be decoded.
                self._body = body = Spool(self._client.settings.spool_size, self._max_size)
                if self._first:
                    body.add(self._first)
                if self._encoding:
                    self._decoder = decoder_for(self._encoding, self._max_size)
            if self._decoder is not None:
                data = self._decoder.feed(data)
            if data:
                body.add(data)
        except BadAnswer as error:
            self._fail(error)
        except OSError as error:
            self._fail(_unwritten(error))

    def on_end(self) -> None:
        """The answer is complete; the connection has gone back to the pool."""
        self._lease = None
        if self._next is not None:
            self._proceed()
            return
        head, body = self._head, self._body
        assert head is not None
        content: bytes | BinaryIO = self._first
        try:
            if body is not None:
                if self._decoder is not None:
                    rest = self._decoder.finish()
                    if rest:
                        body.add(rest)
                content = body.take()
        except BadAnswer as error:
            self._fail(error)
            return
        except OSError as error:
            self._fail(_unwritten(error))
            return
        headers = head.texts
        if headers is None:
            head.texts = headers = tuple(
                [(_names.get(name) or _text(name), value.decode("latin-1")) for name, value in head.headers]
            )
        outgoing = self._outgoing
        self._finish(
            Answer(
                head.status,
                head.reason,
                head.version,
                headers,
                content,
                outgoing.url.text,
                outgoing.method,
                self._history,
            )
        )

    def on_failure(self, error: RequestError) -> None:
        """The answer will not be complete; the connection is closed.

        A request that was lost because an idle connection was dead is repeated, over a new one, so only once.
        """
        lease, self._lease = self._lease, None
        if self._next is not None:  # nobody wants the rest
            self._proceed()
            return
        self._sent = self._sent or error.sent
        reused = lease is not None and lease.reused
        if reused and not error.answered and (not error.sent or self._outgoing.repeatable):
            self._acquire(fresh=True)
        else:
            self._fail(error)

    # -- answers that are not the last

    def _redirected(self, head: Head) -> Outgoing | None:
        """Return the request that a redirect asks for (RFC 9110 section 15.4), None where it names no place.

        Raises:
            BadAnswer: It names one that can not be asked, or there were too many.
        """
        location = next((value for name, value in head.headers if name == b"location"), None)
        if location is None:
            return None
        outgoing = self._outgoing
        if self._history >= self._client.settings.max_redirects:
            raise BeyondLimit(f"more than {self._history} redirects, the last one from {outgoing.url.text}")
        try:
            # Octets beyond ASCII are UTF-8 where they are, as browsers take them.
            url = outgoing.url.join(location.decode("utf-8", "surrogateescape"))
        except ValueError as error:
            raise BadAnswer(f"{outgoing.url.target} redirects to what can not be asked: {error}") from error
        self._history += 1
        if url.origin == outgoing.url.origin:
            return replace(outgoing, url=url)
        # Credentials are for whom they were given to; so is the trust in own authorities.
        self._trust = DEFAULT_TRUST
        self._digests = 0
        headers = tuple([field for field in outgoing.headers if field[0] not in SECRET])
        return replace(outgoing, url=url, headers=headers, auth=None)

    def _with_digest(self, head: Head) -> Outgoing | None:
        """Return the request with the credentials that a 401 asks for, None where there are no other ones."""
        outgoing = self._outgoing
        assert outgoing.auth is not None
        values = [value for name, value in head.headers if name == b"www-authenticate"]
        origin = outgoing.url.origin
        if self._digests >= MAX_DIGESTS or not self._client.credentials.answers(
            outgoing.auth, origin, values, self._digests > 0
        ):
            return None
        self._digests += 1
        return outgoing

    def _proceed(self) -> None:
        """Make the next request."""
        outgoing, self._next = self._next, None
        assert outgoing is not None
        self._outgoing = outgoing
        self._discarded = 0
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.abort()
        self._acquire()

    # -- the end

    def _fail(self, error: RequestError) -> None:
        """End with what has failed below."""
        message = f"{self._outgoing.url.authority}: {error}"
        self._give_up(type(error)(message, error.sent, error.answered, error.queued))

    def _give_up(self, error: RequestError) -> None:
        lease = self._lease
        error.answered |= self._history > 0 or self._digests > 0 or (lease is not None and lease.answered)
        error.sent |= error.answered or self._sent or (lease is not None and lease.sent)
        self._finish(error)

    def _finish(self, outcome: Answer | RequestError) -> None:
        """Give back everything and tell who asked."""
        done, self._done = self._done, None
        if done is None:
            return
        self._client.deadlines.discard(self)
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.forget(self)
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.abort()
        if self._body is not None:
            self._body.discard()
        self._client.finished(self, done, outcome)


def _text(name: bytes) -> str:
    return remember(_names, name, name.decode("latin-1"))


def _unwritten(error: OSError) -> RequestError:
    return RequestError(f"the answer can not be written to a temporary file: {error}", sent=True, answered=True)
