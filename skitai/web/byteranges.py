"""Range requests (RFC 9110 section 14): which bytes are asked for, and bodies of several parts.

What a request can cost is bounded: overlapping ranges are joined, so that no byte is sent twice, and there are at most
``MAX_RANGES`` of them.

Layer 1: no Twisted, no clock. It must not know where a file lies; ``PiecesFile`` reads from one that is open. Thread:
any.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from typing import BinaryIO, Final, NamedTuple

MAX_RANGES: Final = 32
"""A request for more ranges gets the whole representation: RFC 9110 section 14.2 warns of many small ones."""

_MAX_DIGITS: Final = 18
_BEYOND: Final = 10**_MAX_DIGITS
_RANGE: Final = re.compile(rb"([0-9]*)-([0-9]*)")


class Range(NamedTuple):
    """``length`` bytes from ``offset`` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


def parse_ranges(value: bytes, size: int) -> list[Range] | None:
    """Return the bytes that a Range field asks for (RFC 9110 section 14.2).

    Ranges that overlap are joined, so that never more than the whole is sent; otherwise the order is the client's.

    Args:
        value: The field value.
        size: Size of the representation in bytes.

    Returns:
        The satisfiable ranges, none of them empty; an empty list when there are none (416); None when the field is to
        be ignored: another unit, malformed, more than ``MAX_RANGES``, or the end of an empty representation.
    """
    unit, _, specification = value.partition(b"=")
    if unit.lower() != b"bytes" or specification.count(b",") > 4 * MAX_RANGES:
        return None
    members = [stripped for member in specification.split(b",") if (stripped := member.strip(b" \t"))]
    if not members or len(members) > MAX_RANGES:
        return None
    ranges: list[Range] = []
    for member in members:
        match = _RANGE.fullmatch(member)
        if match is None or member == b"-":
            return None
        first, last = _number(match[1]), _number(match[2])
        if first is None:
            # The last bytes; all of them where there are fewer (section 14.1.2).
            count = min(last or 0, size)
            if last and not size:
                return None
            first = size - count
        else:
            if last is not None and last < first:
                return None
            count = size - first if last is None else min(last + 1, size) - first
        if count > 0:
            _add(ranges, Range(first, count))
    return ranges


def _number(digits: bytes) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip(b"0")
    # No file is that large, and huge numbers take long to convert.
    return int(digits or b"0") if len(digits) <= _MAX_DIGITS else _BEYOND


def _add(ranges: list[Range], new: Range) -> None:
    """Add ``new`` to disjoint ranges; those that overlap it become one with it, in the place of the first."""
    touched = [at for at, old in enumerate(ranges) if old.offset < new.end and new.offset < old.end]
    if not touched:
        ranges.append(new)
        return
    start = min(new.offset, *(ranges[at].offset for at in touched))
    end = max(new.end, *(ranges[at].end for at in touched))
    ranges[touched[0]] = Range(start, end - start)
    for at in reversed(touched[1:]):
        del ranges[at]


def content_range(part: Range, size: int) -> bytes:
    """Return the Content-Range of a part (RFC 9110 section 14.4)."""
    return b"bytes %d-%d/%d" % (part.offset, part.end - 1, size)


def unsatisfied_range(size: int) -> bytes:
    """Return the Content-Range of a 416 answer."""
    return b"bytes */%d" % size


def multipart(ranges: list[Range], size: int, content_type: bytes, boundary: bytes) -> list[bytes | Range]:
    """Return the pieces of a multipart/byteranges body (RFC 9110 section 14.6): bytes, and ranges to be filled in.

    Args:
        ranges: The parts in sending order.
        size: Size of the whole representation in bytes.
        content_type: Its media type.
        boundary: A word that does not occur in it; the Content-Type of the response names it.
    """
    pieces: list[bytes | Range] = []
    delimiter = b"--" + boundary
    for part in ranges:
        pieces.append(
            delimiter
            + b"\r\nContent-Type: "
            + content_type
            + b"\r\nContent-Range: "
            + content_range(part, size)
            + b"\r\n\r\n"
        )
        pieces.append(part)
        delimiter = b"\r\n--" + boundary
    pieces.append(b"\r\n--" + boundary + b"--\r\n")
    return pieces


class PiecesFile(io.RawIOBase):
    """A read-only file that is put together from bytes and ranges of another file, which is closed with it.

    It has no descriptor: who sends it must read.

    Args:
        file: Where the ranges are read from.
        pieces: Bytes as they are, and ranges of ``file``.
    """

    def __init__(self, file: BinaryIO, pieces: list[bytes | Range]) -> None:
        super().__init__()
        self._file = file
        self._pieces = pieces
        self._starts: list[int] = []
        self._position = 0
        self.size = 0
        for piece in pieces:
            self._starts.append(self.size)
            self.size += piece.length if isinstance(piece, Range) else len(piece)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in bytes."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, all for a negative one; fewer only at the end, or when the file is shorter."""
        wanted = max(0, self.size - self._position)
        if 0 <= size < wanted:
            wanted = size
        parts: list[bytes] = []
        while wanted:
            data = self._read_piece(wanted)
            if not data:
                break
            parts.append(data)
            wanted -= len(data)
            self._position += len(data)
        return b"".join(parts)

    def _read_piece(self, wanted: int) -> bytes:
        at = bisect_right(self._starts, self._position) - 1
        piece, skipped = self._pieces[at], self._position - self._starts[at]
        if isinstance(piece, Range):
            self._file.seek(piece.offset + skipped)
            return self._file.read(min(piece.length - skipped, wanted))
        return piece[skipped : skipped + wanted]

    def close(self) -> None:
        """Close this and the other file."""
        self._file.close()
        super().close()
