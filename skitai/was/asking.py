"""Requests over HTTP: to one server or a cluster, with fail-over, through the result cache.

Theory of operation. An ``HTTPOperation`` is made where the application calls, which has checked everything that can be
wrong with the arguments; there it looks whether a result is at hand. On the reactor it asks a server; of a cluster one
member after the other, as long as nothing says that one of them may have carried it out.

Where several ask the same at once, the first of them asks for all. Its request is then a flight, as
``skitai.was.result_cache`` says, that has no deadline of its own. Each of those who wait has one, the first as well,
and leaves when it has come; the request goes on until the last one has left. A request becomes a flight when it begins,
or on its way, when the application says that it will keep the answer.

``Asker`` holds what all of them share. Layer 3. It must not know how an application waits for an answer. Thread:
reactor, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from skitai.errors import ConnectFailed, RequestCancelled, RequestError, RequestTimeout
from skitai.fields import Headers
from skitai.was.client import HTTPClient
from skitai.was.cluster import Cluster, Clusters
from skitai.was.connection import Connection
from skitai.was.deadlines import Deadlines
from skitai.was.health import may_ask_another
from skitai.was.outgoing import Outgoing
from skitai.was.payloads import BytesPayload
from skitai.was.places import Place, Server
from skitai.was.probing import Prober
from skitai.was.result import Decode, Response
from skitai.was.result_cache import Flight, ResultCache, Waiter
from skitai.was.result_keys import key_of
from skitai.was.result_store import MAX_VALUE_SIZE
from skitai.was.transfer import Answer, Transfer

MAX_RESPONSE_SIZE: Final = 64 * 1024 * 1024
"""Bytes of an answer after decoding, where nobody says otherwise."""

PATIENCE: Final = 1.0
"""Seconds of a wait that is over from which on this counts against the server. A shorter one says more about who waits:
what is nice to have may get little time."""

READ_AT_ONCE: Final = 4096
"""Bytes of an answer that ``decode`` may have on the reactor, for less than a millisecond."""

_UNKNOWN: Final = b"\0"
"""A key that has not been made yet; it is none."""

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that mean no effect (RFC 9110 section 9.2.1): those that ask the same may share one request."""

Extra = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Question:
    """What is asked, wherever it is sent.

    Attributes:
        outgoing: The request; of a cluster it is that to no member in particular.
        url: Where to, for messages.
        timeout: Seconds from now that it may take.
        use_cache: Whether a result that is kept will do.
        decode: Says what the answer means, None for the usual.
        cluster: Name of the cluster, "" for none.
        member: The member, where it must be this one.
        extra: More header fields: the transaction.
    """

    outgoing: Outgoing
    url: str
    timeout: float
    use_cache: bool = True
    decode: Decode | None = None
    cluster: str = ""
    member: str = ""
    extra: Extra = ()

    def key(self) -> bytes | None:
        """Return what the result is kept by, None where it can not be kept.

        Who asks is part of it, or one user would see what another one may.
        """
        outgoing = self.outgoing
        payload = outgoing.payload
        if payload is None:
            body = None
        elif isinstance(payload, BytesPayload):
            body = payload.data
        else:
            return None  # a file
        url = outgoing.url.target if self.cluster else outgoing.url.text
        method = outgoing.method if self.decode is None else f"{outgoing.method} as {self.decode.__module__}"
        # In one piece, which is faster: no field has a line break in it.
        fields = b"\n".join([b"%b:%b" % field for field in outgoing.headers])
        return key_of(method, self.cluster, url, (self.member, outgoing.auth, fields), body)


class HTTPOperation:
    """One question over HTTP.

    Args:
        asker: Asks.
        question: What is asked.
        place: Where.

    Attributes:
        method: The method, for messages.
        url: Where, for messages.
        timeout: Seconds that it may take.
        deadline: When its time is up.
    """

    __slots__ = (
        "_asker",
        "_done",
        "_early",
        "_error",
        "_flight",
        "_key",
        "_place",
        "_question",
        "_shared",
        "_transfer",
        "_waiter",
        "deadline",
        "method",
        "timeout",
        "url",
    )

    def __init__(self, asker: Asker, question: Question, place: Place) -> None:
        self.method = question.outgoing.method
        self.url = question.url
        self.timeout = question.timeout
        self.deadline = asker.now() + question.timeout
        self._asker = asker
        self._question = question
        self._place = place
        self._done: Callable[[Response], object] | None = None
        self._transfer: Transfer | None = None
        self._early: Connection | None = None
        self._waiter: Waiter[Response] | None = None
        self._flight: Flight[Response] | None = None
        self._error: RequestError | None = None
        self._key: bytes | None = _UNKNOWN
        self._shared = False

    # -- see ``skitai.was.interfaces.Operation``

    def peek(self) -> Response | None:
        """Return a result that is kept and at hand. Thread: any."""
        cache = self._asker.cache
        if not self._question.use_cache or not cache.in_use:
            return None
        key = self.key()
        found = None if key is None else cache.peek(key)
        return None if found is None else self._own(found, True)

    def send_early(self, begin: Callable[[], object]) -> None:
        """Send it by this thread where a server is asked that is connected, and nobody can have the answer too.

        Thread: any but the reactor's.
        """
        asker, question = self._asker, self._question
        if not isinstance(self._place, Server):
            return
        if question.use_cache and asker.cache.in_use:
            key = self.key()
            if key is not None and not asker.cache.is_apart(key):
                return
        self._early = early = asker.client.take(question.outgoing)
        if early is not None:
            early.send_early(question.outgoing, question.extra, begin)

    def start(self, done: Callable[[Response], object]) -> None:
        """Begin."""
        self._done = done
        asker = self._asker
        if asker.closed:
            self._close()
            self._fail(RequestCancelled(f"{self.url}: the server stops"))
            return
        if self._early is not None:
            self._ask()
            if self._shared:  # somebody has said so meanwhile
                self.share()
            return
        key = self.key() if self._question.use_cache and (self._shared or asker.cache.in_use) else None
        if key is None:
            self._ask()
            return
        self._join(key)

    def _join(self, key: bytes) -> None:
        waiter = self._asker.cache.join(key, self._found, self._fly, self._shared, self.method in _SAFE)
        if self._done is not None:
            self._wait(waiter)

    def share(self) -> None:
        """Let others who ask the same wait for this request."""
        self._shared = True
        cache = self._asker.cache
        key = self.key() if self._question.use_cache else None
        if key is None:
            return
        if self._waiter is not None:
            cache.share(self._waiter.flight, key)
        elif self._transfer is not None:
            waiter = cache.adopt(key, self._found)
            if waiter is not None:
                self._transfer.deadline = inf  # those who wait have one
                self._flight = waiter.flight
                waiter.flight.cancel_with(self._stop)
                self._wait(waiter)
            elif not self._transfer.sent:
                # Somebody else was first: of a burst of threads, the reactor hears of requests before what they say.
                done, self._done = self._done, None
                self._stop(expired=False)
                self._done = done
                self._join(key)

    def cancel(self, expired: bool = False) -> None:
        """Give it up."""
        self._done = None
        if self._waiter is not None:
            self._leave(expired)
        elif self._transfer is not None:
            self._stop(expired)
        elif self._flight is None:
            self._close()

    # -- through the cache

    def key(self) -> bytes | None:
        """Return what the result is kept by, None where it can not be kept. Thread: any."""
        if self._key is _UNKNOWN:
            self._key = self._question.key()
        return self._key

    def keep(self, response: Response, seconds: float) -> None:
        """Keep a response, or forget what is kept; see ``skitai.was.result.Keeper``. Thread: any."""
        key = self.key()
        if key is not None:
            self._asker.cache.keep(key, response.copy(MAX_VALUE_SIZE), response.size, seconds, response.born)

    def expire(self) -> None:
        """The time of one who waits for a flight is up; see ``skitai.was.deadlines.Entry``."""
        self._leave(expired=True)
        self._fail(RequestTimeout(f"{self.url} has not answered within {self.timeout:g} seconds"))

    def _wait(self, waiter: Waiter[Response]) -> None:
        self._waiter = waiter
        self._asker.deadlines.add(self)

    def _leave(self, expired: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._asker.deadlines.discard(self)
            waiter.leave(expired)

    def _fly(self, flight: Flight[Response]) -> Callable[[bool], object]:
        """Ask for everybody who asks the same."""
        self._flight = flight
        self._ask()
        return self._stop

    def _found(self, result: Response | RequestError, kept: bool) -> None:
        """Take what became of a flight."""
        if self._waiter is not None:
            self._waiter = None
            self._asker.deadlines.discard(self)
        if isinstance(result, RequestError):
            self._fail(result)
        else:
            self._tell(self._own(result, kept))

    def _own(self, response: Response, kept: bool) -> Response:
        """Return a response of another request as one of this."""
        own = response.copy()
        own.is_cached = kept
        own.kept_by(self)
        return own

    # -- asking

    def _ask(self) -> None:
        """Send it to the next place."""
        where = self._place.next()
        if where is None:
            # Of several members that failed, what the last one did says more than that there is none left.
            self._end(self._error or ConnectFailed(f"{self.url} has no member to ask"))
            return
        url, trust = where
        asker, question = self._asker, self._question
        outgoing, extra = question.outgoing, question.extra
        if url is not outgoing.url:
            outgoing = Outgoing(
                outgoing.method, url, outgoing.headers, outgoing.payload, outgoing.auth, outgoing.decode
            )
        timeout = inf if self._flight is not None else max(0.001, self.deadline - asker.now())
        limits = (timeout, asker.max_response_size)
        more = (lambda url: extra) if extra else None
        early, self._early = self._early, None
        if early is None:
            self._transfer = asker.client.request(outgoing, limits, self._answered, more, trust)
        else:
            self._transfer = asker.client.resume(early, outgoing, limits, self._answered, more)
        self._transfer.timeout = question.timeout

    def _stop(self, expired: bool) -> None:
        """End the request; ``expired`` says that nobody would wait any longer, and not that nobody wants it."""
        transfer, self._transfer = self._transfer, None
        if transfer is None:
            return
        waited = self._asker.now() - self.deadline + self.timeout
        if expired and waited >= min(PATIENCE, self.timeout):
            transfer.expire()
        else:
            transfer.cancel()

    def _answered(self, outcome: Answer | RequestError) -> None:
        transfer, self._transfer = self._transfer, None
        stopped = transfer is None
        error = outcome if isinstance(outcome, RequestError) else None
        # One that has redirected has answered, whatever came after.
        self._place.end(None if transfer is not None and transfer.moved else error)
        again = error is not None and not stopped and self._place.several
        if again and error is not None and may_ask_another(error, self._question.outgoing.repeatable):
            self._error = error
            self._ask()
        else:
            self._end(outcome)

    def _end(self, outcome: Answer | RequestError) -> None:
        self._close()
        flight = self._flight
        if isinstance(outcome, RequestError):
            if flight is not None:
                flight.settle(outcome)
            else:
                self._fail(outcome)
            return
        response = response_of(outcome)
        response.born = self._asker.cache.now()
        if self._question.decode is not None:
            response.read_with(self._question.decode, response.size <= READ_AT_ONCE)
        if flight is not None:
            good = response.error is None and not response.unread and response.status_code < 400
            flight.settle(response.copy(MAX_VALUE_SIZE), good)
        else:
            response.kept_by(self)
            self._tell(response)

    def _close(self) -> None:
        """Close the files of the request: it is not sent any more."""
        early, self._early = self._early, None
        if early is not None:
            early.abort()
        payload = self._question.outgoing.payload
        if payload is not None:
            payload.close()

    def _fail(self, error: RequestError) -> None:
        self._tell(Response.of_failure(self.method, self.url, error))

    def _tell(self, response: Response) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(response)


class Asker:
    """Everything that requests of one server process share.

    Args:
        client: Makes HTTP requests.
        clusters: The clusters by name.
        cache: The results that are kept.
        reactor: Knows the time.
        max_response_size: Bytes of an answer after decoding.

    Attributes:
        closed: Whether no more requests are made.
        deadlines: Of those who wait for a flight.
    """

    def __init__(
        self,
        client: HTTPClient,
        clusters: Clusters,
        cache: ResultCache[Response],
        reactor: Any,
        max_response_size: int = MAX_RESPONSE_SIZE,
    ) -> None:
        self.client = client
        self.clusters = clusters
        self.cache = cache
        self.max_response_size = max_response_size
        self.closed = False
        self.deadlines = Deadlines(reactor)
        self._clock: IReactorTime = reactor
        self._prober = Prober(client.dialer)

    def now(self) -> float:
        """Return the time of the reactor. Thread: any."""
        return self._clock.seconds()

    def watch(self, cluster: Cluster) -> None:
        """Probe members that are set aside, so that they are asked again soon after they are back."""
        self._prober.watch(cluster)

    def close(self) -> Deferred[None]:
        """End all requests and close all connections; what fires when that is done."""
        self.closed = True
        self._prober.close()
        closed = self.client.close()
        self.deadlines.stop()
        return closed


def response_of(answer: Answer) -> Response:
    """Return an answer as applications see it."""
    response = Response(answer.method, answer.url, answer.status, answer.reason, answer.body)
    response.version = answer.version
    response.headers = Headers(answer.headers)
    return response
