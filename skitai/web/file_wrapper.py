"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling").

Layer 2. It must not know how files are sent. Thread: application.
"""

from __future__ import annotations

import io
from typing import Any, Final, cast

SENDABLE: Final = (io.FileIO, io.BufferedReader, io.BufferedRandom)
"""Types whose ``read`` gives just what their descriptor does, so that the kernel may read instead. A ``GzipFile`` has a
descriptor too, but gives something else."""


class FileWrapper:
    """``wsgi.file_wrapper``: an iterable over a file that the server may send by itself.

    Args:
        filelike: An object with ``read``, perhaps with ``close``.
        block_size: Bytes of one piece where it is iterated over.
    """

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data = self.filelike.read(self.block_size)
        if data:
            return cast(bytes, data)
        raise StopIteration
