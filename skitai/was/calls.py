"""The services that make requests, as applications call them: ``was.get(uri)``, ``was.post.lb("@name/path")`` ...

Each verb is an object: called it asks one server; its ``lb`` asks one member of a cluster, its ``map`` all of them. A
name that begins with "@" is a cluster whichever is called.

A broken argument is an exception here, in the call. Whatever happens afterwards is a status of the response.

Layer 3. It must not know how requests are made. Thread: any.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from skitai.constants import PROTO_HTTP, PROTO_HTTPS
from skitai.was.asking import Asker, HTTPOperation, Question
from skitai.was.bridge import Threads
from skitai.was.callbacks import Callback, check_plain, read_callback
from skitai.was.cluster import Cluster, Member
from skitai.was.gathering import MapHandle
from skitai.was.handle import Handle
from skitai.was.outgoing import DEFAULTS, Outgoing, build
from skitai.was.payloads import BytesPayload
from skitai.was.places import Balanced, Place, Server, member_url
from skitai.was.result import Decode
from skitai.was.url import read_url
from skitai.was.xmlrpc import decode, encode
from skitai.web.caches import CACHED_LENGTH, remember

REQUEST_TIMEOUT: Final = 10.0
"""Seconds that a request may take, where the call does not say otherwise."""

MAX_TIMEOUT: Final = 86_400.0
"""Seconds that a request may take at most."""

_plain: dict[tuple[str, str], Outgoing] = {}
"""Requests that are nothing but a URL: they never change, and are made again and again."""

_NOWHERE: Final = "http://cluster.invalid"
"""Stands for the member that will be asked, while arguments are checked."""


class Caller(Protocol):
    """On whose behalf requests are made (``skitai.was.context``)."""

    @property
    def asker(self) -> Asker:
        """What makes requests."""

    @property
    def threads(self) -> Threads:
        """The bridge between threads and reactor."""

    def next_call_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields that the next request carries its transaction in."""


class Verb:
    """One way to make a request.

    Args:
        caller: On whose behalf.
        name: "get", "postform" ...: one of ``VERBS``.
    """

    __slots__ = ("_caller", "_name")

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self._name = name

    def __call__(
        self,
        uri: str,
        data: Any = None,
        auth: Any = None,
        headers: Any = None,
        meta: Mapping[str, Any] | None = None,
        use_cache: bool = True,
        filter: Callable[[Any], Any] | None = None,
        callback: Any = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Handle:
        """Start a request.

        Args:
            uri: Where to: a URL, or "@name/path" for one member of a cluster.
            data: What to send; see ``skitai.was.outgoing.build``.
            auth: User and password, or a bearer token.
            headers: More header fields, a dictionary or pairs.
            meta: Put into the response as ``meta``.
            use_cache: Whether a result that is kept will do.
            filter: Applied to the data of the response.
            callback: Called with the response in an application thread: a function, or a pair of it and its further
                arguments.
            timeout: Seconds that the request may take in all.

        Returns:
            The request, which is on its way.

        Raises:
            ValueError, TypeError: An argument can not be used.
        """
        if data is None and auth is None and headers is None and type(uri) is str:
            known = _plain.get((self._name, uri))
            plain = meta is None and filter is None and callback is None and timeout is REQUEST_TIMEOUT
            if known is not None and plain:
                return _again(self._caller, known, use_cache)
        call = _Call(self._caller, timeout, use_cache, filter, callback, meta)
        call.aim(uri, self._name, data, auth, headers)
        return call.one()

    lb = __call__

    def map(
        self,
        uri: str,
        data: Any = None,
        auth: Any = None,
        headers: Any = None,
        meta: Mapping[str, Any] | None = None,
        use_cache: bool = True,
        filter: Callable[[Any], Any] | None = None,
        callback: Any = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> MapHandle:
        """Start a request to each member of a cluster.

        The arguments are those of a call; ``callback`` is called with each of the responses, ``filter`` too. A file is
        given by its path, since all members read it at the same time; ``io.BytesIO`` will do, too.
        """
        call = _Call(self._caller, timeout, use_cache, filter, callback, meta)
        call.aim(uri, self._name, data, auth, headers)
        return call.each()


def _again(caller: Caller, outgoing: Outgoing, use_cache: bool) -> Handle:
    """Ask once more what has been asked in the very same words, so that there is nothing to check."""
    question = Question(outgoing, outgoing.url.text, REQUEST_TIMEOUT, use_cache)
    question.extra = caller.next_call_headers()
    return Handle(HTTPOperation(caller.asker, question, Server(outgoing.url)), caller.threads).begin()


class _Call:
    """A call: its arguments are checked, in an order in which nothing is opened before all is well.

    Args:
        caller: On whose behalf.
        timeout: Seconds that the request may take.
        use_cache: Whether a result that is kept will do.
        filter: Applied to the data of the response.
        callback: Called with the response.
        meta: Put into the response.

    Raises:
        ValueError, TypeError: An argument can not be used.
    """

    __slots__ = (
        "_arguments",
        "_callback",
        "_caller",
        "_cluster",
        "_filter",
        "_meta",
        "_outgoing",
        "_rest",
        "_timeout",
        "_uri",
        "_use_cache",
    )

    def __init__(self, caller: Caller, timeout: float, use_cache: bool, filter: Any, callback: Any, meta: Any) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= MAX_TIMEOUT:
            raise ValueError(f"timeout must be seconds, above 0 and at most {MAX_TIMEOUT:,.0f}, not {timeout!r}")
        if filter is not None and not callable(filter):
            raise TypeError(f"filter must be a function, not {filter!r}")
        if filter is not None:
            check_plain(filter, "filter")
        if callback is not None:
            read_callback(callback)
        if meta is not None and not isinstance(meta, Mapping):
            raise TypeError(f"meta must be a dictionary, not {meta!r}")
        self._caller = caller
        self._timeout = float(timeout)
        self._use_cache = use_cache
        self._filter = filter
        self._callback = callback
        self._meta: Mapping[str, Any] | None = meta
        self._cluster: Cluster | None = None
        self._rest = ""

    def aim(self, uri: Any, verb: str, data: Any, auth: Any, headers: Any) -> None:
        """Say where it goes, and what is sent."""
        if not isinstance(uri, str):
            raise TypeError(f"uri must be a URL or '@name/path', not {uri!r}")
        if type(uri) is not str:
            uri = str.__str__(uri)  # what is remembered must not be of a class that compares in its own way
        self._uri = uri
        plain = data is None and headers is None and auth is None
        known = _plain.get((verb, uri)) if plain else None
        if known is not None:
            self._outgoing = known
            return
        rest = ""
        if uri.startswith("@"):
            self._cluster, rest = find_cluster(self._caller, uri)
            # The path is checked now, though not even the scheme is known yet.
            url, given = read_url(_NOWHERE + rest)
        else:
            url, given = read_url(uri)
        self._arguments = (verb, url, data, headers, auth or given)
        self._outgoing = outgoing = build(*self._arguments)
        if self._cluster is not None:
            target = outgoing.url.target
            self._rest = target if rest.startswith("/") else target[1:]
        elif plain and given is None and len(uri) <= CACHED_LENGTH:
            remember(_plain, (verb, uri), outgoing)

    def one(self, decode: Decode | None = None) -> Handle:
        """Ask one server."""
        cluster = self._cluster
        outgoing = self._outgoing
        if cluster is None:
            place: Place = Server(outgoing.url)
        else:
            place = Balanced(self._caller.asker, cluster, self._rest)
        return self._begin(outgoing, place, None, decode)

    def each(self, decode: Decode | None = None) -> MapHandle:
        """Ask all members."""
        cluster = self._cluster
        if cluster is None:
            raise ValueError(f"{self._uri!r} is no cluster: .map takes '@name/path'")
        first = self._outgoing
        shared = first.payload is None or isinstance(first.payload, BytesPayload)
        if not shared and len(cluster.members) > 1 and _has_open_file(self._arguments[2]):
            raise ValueError("data: an open file can not be sent to several servers; give its path")
        asker = self._caller.asker
        handles = []
        for index, member in enumerate(cluster.members):
            outgoing = first if shared or index == 0 else build(*self._arguments)
            handles.append(self._begin(outgoing, Balanced(asker, cluster, self._rest, member), member, decode))
        return MapHandle(handles)

    def _begin(self, outgoing: Outgoing, place: Place, member: Member | None, decode: Decode | None) -> Handle:
        caller, cluster = self._caller, self._cluster
        name, index, url = "", "", outgoing.url.text
        if cluster is not None:
            name, url = cluster.name, self._uri
            if member is not None:
                index, url = str(member.index), member_url(cluster, member, self._rest).text
        question = Question(outgoing, url, self._timeout, self._use_cache, decode, name, index)
        question.extra = _transaction(caller, outgoing)
        threads = caller.threads
        callback = None if self._callback is None else Callback(self._callback, threads)
        operation = HTTPOperation(caller.asker, question, place)
        return Handle(operation, threads, self._filter, callback, self._meta).begin()


def _transaction(caller: Caller, outgoing: Outgoing) -> Sequence[tuple[bytes, bytes]]:
    """Return the fields of the transaction, but for those that the application has given itself."""
    if outgoing.headers is DEFAULTS:
        return caller.next_call_headers()
    given = {name for name, _ in outgoing.headers}
    if b"x-ltxn-id" in given:
        return ()
    return [field for field in caller.next_call_headers() if field[0].lower() not in given]


def _has_open_file(data: Any) -> bool:
    """Tell whether data holds a file that is open, at any depth that ``build`` takes."""
    if isinstance(data, Mapping):
        return any(map(_has_open_file, data.values()))
    if isinstance(data, (list, tuple)):
        return any(map(_has_open_file, data))
    return hasattr(data, "read") and type(data) is not io.BytesIO  # whose bytes are taken when the request is made


def find_cluster(caller: Caller, uri: str) -> tuple[Cluster, str]:
    """Return the cluster of HTTP servers that "@name/path" names, and what follows its name.

    Raises:
        ValueError: There is none.
    """
    cluster, rest = caller.asker.clusters.find(uri)
    kind = cluster.alias.type
    if kind not in (PROTO_HTTP, PROTO_HTTPS):
        raise ValueError(f"the alias {cluster.name!r} is of the type {kind!r}; a request needs one of {PROTO_HTTP!r}")
    return cluster, rest


class Stub:
    """Calls methods of an XML-RPC service: ``was.rpc(url).name(arguments)``.

    Args:
        start: Starts a call, given the name of a method and its parameters.
        method: Name of the method so far.
    """

    __slots__ = ("_method", "_start")

    def __init__(self, start: Callable[[str, tuple[Any, ...]], Any], method: str = "") -> None:
        self._start = start
        self._method = method

    def __getattr__(self, name: str) -> Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(self._start, f"{self._method}.{name}" if self._method else name)

    def __call__(self, *params: Any) -> Any:
        """Start a call of the method.

        Returns:
            A ``Handle``; of ``was.rpc.map`` a ``MapHandle``.

        Raises:
            TypeError, ValueError: A parameter has no form in XML-RPC.
        """
        if not self._method:
            raise TypeError("was.rpc(url) has methods: was.rpc(url).name(arguments)")
        return self._start(self._method, params)


class RemoteCalls:
    """``was.rpc``: stubs of XML-RPC services.

    Args:
        caller: On whose behalf.
        around: Called with what starts a call, when a method is called; None where that simply starts.
    """

    _OPTIONS: Final = frozenset(("auth", "headers", "meta", "use_cache", "filter", "callback", "timeout"))

    def __init__(self, caller: Caller, around: Callable[[Callable[[], Any]], Any] | None = None) -> None:
        self._caller = caller
        self._around = around

    def __call__(self, uri: str, data: None = None, auth: Any = None, **options: Any) -> Stub:
        """Return a stub of a service.

        Args:
            uri: Its URL, or "@name/path" for one member of a cluster.
            data: Nothing; it has its place so that the arguments are those of ``was.get``.
            auth: User and password, or a bearer token.
            options: ``headers``, ``meta``, ``use_cache``, ``filter``, ``callback`` and ``timeout`` as for ``was.get``.

        Raises:
            TypeError: There is no such option.
            ValueError: The service can not be asked.
        """
        return self._stub(uri, data, {**options, "auth": auth}, several=False)

    lb = __call__

    def map(self, uri: str, data: None = None, auth: Any = None, **options: Any) -> Stub:
        """Return a stub whose methods are called at all members of a cluster; see ``__call__``."""
        return self._stub(uri, data, {**options, "auth": auth}, several=True)

    def _stub(self, uri: Any, data: Any, options: Mapping[str, Any], several: bool) -> Stub:
        unknown = sorted(options.keys() - self._OPTIONS)
        if unknown:
            raise TypeError(f"was.rpc() has no argument {', '.join(unknown)}")
        if data is not None:
            raise TypeError("was.rpc() sends no data: the arguments are those of the method")
        if not isinstance(uri, str):
            raise TypeError(f"uri must be a URL or '@name/path', not {uri!r}")
        if uri.startswith("@"):
            find_cluster(self._caller, uri)
        elif several:
            raise ValueError(f"{uri!r} is no cluster: .map takes '@name/path'")
        else:
            read_url(uri)
        return Stub(partial(self._call, uri, options, several))

    def _call(self, uri: str, options: Mapping[str, Any], several: bool, method: str, params: tuple[Any, ...]) -> Any:
        """Start a call of a method, through ``around``."""
        start = partial(self._start, uri, options, several, encode(method, params))
        return start() if self._around is None else self._around(start)

    def _start(self, uri: str, options: Mapping[str, Any], several: bool, document: Any) -> Handle | MapHandle:
        call = _Call(
            self._caller,
            options.get("timeout", REQUEST_TIMEOUT),
            options.get("use_cache", True),
            options.get("filter"),
            options.get("callback"),
            options.get("meta"),
        )
        call.aim(uri, "postxml", document, options.get("auth"), options.get("headers"))
        return call.each(decode) if several else call.one(decode)
