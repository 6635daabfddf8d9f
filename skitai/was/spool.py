"""The body of an answer while it comes: in memory first, in a temporary file when it gets long.

Layer 3. It must not know where the body comes from. Thread: reactor.
"""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from skitai.errors import BeyondLimit


class Spool:
    """A body.

    Args:
        memory_size: How many bytes are kept in memory.
        max_size: How many there may be.
    """

    __slots__ = ("_file", "_max_size", "_memory_size", "_pieces", "size")

    def __init__(self, memory_size: int, max_size: int) -> None:
        self._memory_size = memory_size
        self._max_size = max_size
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append a piece.

        Raises:
            BeyondLimit: The body is too large now.
            OSError: The temporary file can not be written.
        """
        self.size += len(data)
        if self.size > self._max_size:
            raise too_large(self._max_size)
        if self._file is not None:
            self._file.write(data)
            return
        self._pieces.append(data)
        if self.size > self._memory_size:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="skitai-"))  # noqa: SIM115
            self._file.writelines(self._pieces)
            self._pieces = []

    def take(self) -> bytes | BinaryIO:
        """Return the whole body, or a file of it that stands at its beginning and is the caller's to close.

        Raises:
            OSError: The temporary file can not be written.
        """
        if self._file is None:
            return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._file.seek(0)
        file, self._file = self._file, None
        return file

    def discard(self) -> None:
        """Throw away what is there."""
        self._pieces = []
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:  # what is still buffered has no room on the disk
                pass


def too_large(max_size: int) -> BeyondLimit:
    """Return the error for a body of more than ``max_size`` bytes."""
    return BeyondLimit(f"the answer is larger than {max_size:,} bytes", sent=True, answered=True)
