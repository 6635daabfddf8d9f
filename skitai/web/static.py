"""The handler for static files: which form of a file a request gets, and which part of it.

A file lies in up to three forms: as it is, compressed in a neighbour (``style.css.gz``, ``style.css.br``), or
compressed here once and kept in memory. Each has an entity tag of its own. Preconditions and ranges count for the
form that was selected, so the selection comes first (RFC 9110 section 13.2.1).

Layer 2. It must not know the mount table, nor how bytes reach the client: small forms are handed to the exchange
whole, larger ones as an open file.

Thread: reactor.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import BinaryIO, Final, cast
from urllib.parse import quote_from_bytes

from skitai.settings import CompressionSettings
from skitai.web.byteranges import PiecesFile, Range, content_range, multipart, parse_ranges, unsatisfied_range
from skitai.web.compression import compress
from skitai.web.conditional import FIELDS, Fields, gather, precondition, range_applies
from skitai.web.errorpage import respond_error
from skitai.web.events import HeaderList, Response
from skitai.web.exchange import Exchange
from skitai.web.files import SUFFIXES, FileStore, Missing, Representation, relative_path
from skitai.web.negotiation import preferred_codings
from skitai.web.vhost import MountPoint

METHODS: Final = ("GET", "HEAD")
"""What may be done with a static file."""

INDEX_FILES: Final = ("index.html", "index.htm")
"""What a directory is answered with, the first that is there."""

MAX_COMPRESSED_SIZE: Final = 1024 * 1024
"""Bytes up to which a file is compressed here: more would keep the reactor for too long."""

_MULTIPART_MEMORY: Final = 256 * 1024
_SELECTING: Final = FIELDS | {b"accept-encoding"}
# A file that is replaced between being looked at and being opened is looked at again; nothing is replaced so often
# for long.
_ATTEMPTS: Final = 4
_PATH_SAFE: Final = "/:@!$&'()*+,;=-._~"


class MaxAge:
    """How long files may be kept by clients, by URL path.

    Args:
        prefixes: Seconds by path; a path counts for itself and all below it, 0 means that nothing is said.
    """

    def __init__(self, prefixes: Mapping[str, int] | None = None) -> None:
        self._prefixes = {"/" + prefix.strip("/"): seconds for prefix, seconds in (prefixes or {}).items()}

    def of(self, path: str) -> int:
        """Return the seconds of the longest prefix of ``path``, 0 where there is none."""
        if not self._prefixes:
            return 0
        prefix = "/" + path.strip("/")
        while prefix:
            seconds = self._prefixes.get(prefix)
            if seconds is not None:
                return seconds
            prefix = prefix.rpartition("/")[0]
        return self._prefixes.get("/", 0)


class StaticHandler:
    """Serves the files of a directory.

    Args:
        directory: Its path.
        max_age: How long clients may keep the files.
        compression: Whether and how files are compressed; None for never.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        directory: str,
        max_age: MaxAge,
        compression: CompressionSettings | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = os.path.abspath(directory)
        self._max_age = max_age
        self._compression = compression if compression is not None and compression.enabled else None
        self._wall_clock = wall_clock
        self._stores: dict[str, FileStore] = {}

    def handle(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Answer a request with a file.

        Returns:
            False when there is no such file, or nothing but GET and HEAD would be right: the exchange was not touched.
        """
        if exchange.request.method not in METHODS:
            return False
        point = mount.point
        relative = relative_path(exchange.request.path, point)
        if relative is None:
            return False
        store = self._store(point)
        fields = gather(exchange.request.headers, _SELECTING)
        try:
            found: Representation | Missing | _Answer = _locate(store, relative)
            if isinstance(found, Representation) and (fields or found.content is None):
                found = self._choose(store, found, exchange.request.method, fields)
        except OSError:
            # Out of descriptors or memory: saying that there is no such file would be false.
            respond_error(exchange, 503, headers=[(b"retry-after", b"1")])
            return True
        if isinstance(found, Representation):
            # The usual case in few steps: a small file and nothing to decide.
            exchange.respond(Response(200, found.fields(self._wall_clock())), found.content or b"")
        elif isinstance(found, _Answer):
            found.send(exchange, self._wall_clock())
        elif found is Missing.DIRECTORY:
            self._redirect(exchange, point + relative)
        else:
            return False
        return True

    def allowed(self, exchange: Exchange, mount: MountPoint) -> bool:
        """Return whether the path is that of a file, whatever the method.

        When nothing else took a request, the answer is 405 with ``METHODS`` in Allow (RFC 9110 section 15.5.6)
        instead of 404.
        """
        relative = relative_path(exchange.request.path, mount.point)
        if relative is None:
            return False
        try:
            return isinstance(_locate(self._store(mount.point), relative), Representation)
        except OSError:
            return False

    def _store(self, point: str) -> FileStore:
        store = self._stores.get(point)
        if store is None:
            store = self._stores[point] = FileStore(self._directory, self._wall_clock, partial(self._complete, point))
        return store

    def _complete(self, point: str, built: Representation) -> None:
        built.max_age = self._max_age.of(point + built.name)
        if self._may_compress(built):
            built.vary()

    def _choose(self, store: FileStore, original: Representation, method: str, fields: Fields) -> _Answer | Missing:
        """Select the form of a file and decide on the answer; open the file where it is needed.

        Raises:
            OSError: The system can not tell now.
        """
        for _ in range(_ATTEMPTS):
            selected = self._select(store, original, method, fields) if fields else original
            answer = _Answer(selected, method, fields, self._wall_clock())
            if not answer.needs_file or answer.take(store.open(selected)):
                return answer
            found = store.find(original.name)
            if isinstance(found, Missing):
                return Missing.FILE
            original = found
        raise BlockingIOError(f"{original.name!r} is replaced again and again")

    def _select(self, store: FileStore, original: Representation, method: str, fields: Fields) -> Representation:
        """Return the form of a file that suits the client best (RFC 9110 section 12.1).

        A range is one of the plain file, unless If-Range or If-Match names a compressed form: whoever asks for bytes
        0 to 99 and accepts gzip by default does not mean a hundred bytes of gzip.
        """
        accepted = fields.get(b"accept-encoding")
        codings = preferred_codings(accepted) if accepted else ()
        named = b""
        if method == "GET" and b"range" in fields:
            named = fields.get(b"if-range") or fields.get(b"if-match") or b""
            if not named:
                return original
        form = self._coded(store, original, codings) if codings else None
        if form is None or (named and form.etag not in named):
            return original
        return form

    def _coded(self, store: FileStore, original: Representation, codings: tuple[bytes, ...]) -> Representation | None:
        """Return the first of the compressed forms that there is."""
        for coding in codings:
            if store.has(original.name + SUFFIXES[coding]):
                form = store.find(original.name, coding)
                # An older neighbour was made of other content. Whole seconds: some tools copy the time no finer.
                if isinstance(form, Representation) and int(form.modified) >= int(original.modified):
                    original.vary()
                    return form
        return self._compress(store, original) if b"gzip" in codings and self._may_compress(original) else None

    def _may_compress(self, original: Representation) -> bool:
        settings = self._compression
        return settings is not None and original.shrinks and settings.min_size <= original.size <= MAX_COMPRESSED_SIZE

    def _compress(self, store: FileStore, original: Representation) -> Representation | None:
        """Return the file compressed with gzip, from memory if it was made before; None when it gets no smaller."""
        key = (original.name, b"made")
        made = store.kept(key)
        if made is None or made.etag != original.derived_tag(b"gzip"):
            content = original.content if original.content is not None else _read(store, original)
            if content is None or self._compression is None:
                return None
            packed = compress(content, self._compression.level)
            # That it does not pay is kept too, as a form without content.
            made = original.derive(b"gzip", packed if len(packed) < len(content) else b"")
            store.keep(key, made)
        return made if made.content else None

    def _redirect(self, exchange: Exchange, path: str) -> None:
        """Send the client to the same path with its slash; relative links of the index would go wrong without it."""
        location = quote_from_bytes(os.fsencode(path), safe=_PATH_SAFE) + "/"
        if exchange.request.query:
            location += "?" + exchange.request.query
        respond_error(exchange, 301, headers=[(b"location", location.encode("latin-1", "replace"))])


def _locate(store: FileStore, relative: str) -> Representation | Missing:
    """Return the file of a path; ``Missing.DIRECTORY`` where the path of a directory with an index lacks its slash."""
    if relative.endswith("/"):
        return _index(store, relative)
    found = store.find(relative)
    if found is Missing.DIRECTORY and isinstance(_index(store, relative + "/"), Missing):
        # A directory that has nothing to show falls through where it stands: a redirect would hide what else is
        # mounted there.
        return Missing.FILE
    return found


def _index(store: FileStore, directory: str) -> Representation | Missing:
    for name in INDEX_FILES:
        found = store.find(directory + name)
        if isinstance(found, Representation):
            return found
    return Missing.FILE


def _read(store: FileStore, original: Representation) -> bytes | None:
    file = store.open(original)
    if file is None:
        return None
    with file:
        content = file.read(original.size)
    return content if len(content) == original.size else None


class _Answer:
    """What to answer, decided before anything is sent.

    Args:
        representation: The selected form of the file.
        method: The request method.
        fields: The request's conditional fields.
        now: The time, in seconds since the epoch.
    """

    __slots__ = ("_file", "_ranges", "_representation", "_status")

    def __init__(self, representation: Representation, method: str, fields: Fields, now: float) -> None:
        self._representation = representation
        self._file: BinaryIO | None = None
        self._ranges: list[Range] | None = None
        self._status = 200
        if not fields:
            return
        etag, modified = representation.etag, min(representation.modified, now)
        refusal = precondition(fields, method, etag, modified, now)
        if refusal:
            self._status = refusal
        elif method == "GET" and b"range" in fields and range_applies(fields, etag, modified, now):
            self._ranges = parse_ranges(fields[b"range"], representation.size)
            if self._ranges is not None:
                self._status = 206 if self._ranges else 416

    @property
    def needs_file(self) -> bool:
        """Whether bytes are sent that are not in memory."""
        return self._representation.content is None and self._status in (200, 206)

    def take(self, file: BinaryIO | None) -> bool:
        """Take the open file; return False when there is none."""
        self._file = file
        return file is not None

    def send(self, exchange: Exchange, now: float) -> None:
        """Answer."""
        representation = self._representation
        size = representation.size
        if self._status == 304:
            return exchange.respond(Response(304, representation.validator_fields(now)))
        if self._status == 412:
            return respond_error(exchange, 412)
        if self._status == 416:
            refusal = [(b"content-range", unsatisfied_range(size)), (b"accept-ranges", b"bytes")]
            return respond_error(exchange, 416, headers=refusal)
        fields = representation.fields(now)
        if not self._ranges:
            return self._send_part(exchange, Response(200, fields), Range(0, size))
        if len(self._ranges) > 1:
            return self._send_parts(exchange, fields, self._ranges)
        fields.append((b"content-range", content_range(self._ranges[0], size)))
        return self._send_part(exchange, Response(206, fields), self._ranges[0])

    def _send_part(self, exchange: Exchange, response: Response, part: Range) -> None:
        content = self._representation.content
        if content is not None:
            whole = part.length == len(content)
            exchange.respond(response, content if whole else content[part.offset : part.end])
        elif self._file is not None:
            exchange.send_file(response, self._file, part.offset, part.length)

    def _send_parts(self, exchange: Exchange, fields: HeaderList, ranges: list[Range]) -> None:
        """Send several ranges (RFC 9110 section 15.3.7.2)."""
        representation = self._representation
        # Random, so that nobody can prepare a file that holds it.
        boundary = os.urandom(16).hex().encode()
        pieces = multipart(ranges, representation.size, representation.content_type, boundary)
        fields = [field for field in fields if field[0] != b"content-type"]
        fields.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
        source = self._file if self._file is not None else io.BytesIO(representation.content or b"")
        body = PiecesFile(source, pieces)
        if body.size > _MULTIPART_MEMORY:
            exchange.send_file(Response(206, fields), cast(BinaryIO, body), 0, body.size)
            return
        with body:
            exchange.respond(Response(206, fields), body.read())
