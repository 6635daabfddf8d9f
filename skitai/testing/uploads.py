"""Bodies of ``multipart/form-data`` (RFC 7578), as a browser makes them of a form with files.

It must not know how requests are made. Thread: any.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any, TypeAlias

Upload: TypeAlias = "bytes | str | os.PathLike[str] | IO[bytes] | tuple[Any, ...]"
"""What may be sent as a file: its path, its content, an open file, or ``(filename, any of these, media type)``."""

Files: TypeAlias = "Mapping[str, Upload | list[Upload]]"


def encode_upload(data: Mapping[str, object], files: Files) -> tuple[bytes, str]:
    """Return a body and its media type.

    Args:
        data: The other fields of the form; a list or tuple is sent as several of one name.
        files: The files by the names of their fields; a list is sent as several of one name.

    Raises:
        ValueError: Something is no file.
    """
    fields = _flat({name: list(value) if isinstance(value, tuple) else value for name, value in data.items()})
    parts = [b"%b\r\n\r\n%b\r\n" % (_disposition(name), str(value).encode()) for name, value in fields]
    for name, upload in _flat(files):
        filename, content, mimetype = _opened(name, upload)
        head = _disposition(name, filename)
        parts.append(b"%b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (head, mimetype.encode("latin-1"), content))
    # One that follows from the content is the same in every run of a test.
    boundary = b"boundary-" + hashlib.sha256(b"".join(parts)).hexdigest()[:32].encode()
    body = b"".join(b"--%b\r\n%b" % (boundary, part) for part in parts)
    return b"%b--%b--\r\n" % (body, boundary), f"multipart/form-data; boundary={boundary.decode()}"


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values, those of a name with several one by one."""
    for name, value in fields.items():
        several = value if isinstance(value, list) else [value]
        for one in several:
            yield name, one


def _opened(name: str, upload: Any) -> tuple[str, bytes, str]:
    """Return file name, content and media type of something to upload."""
    filename, mimetype = "", ""
    if isinstance(upload, tuple):
        if not 2 <= len(upload) <= 3:
            raise ValueError(f"the file {name!r} must be (filename, content) or (filename, content, media type)")
        filename, source, mimetype = (*upload, "")[:3]
    else:
        source = upload
    if isinstance(source, (str, os.PathLike)):
        filename = filename or os.path.basename(source)
        with open(source, "rb") as file:
            content: Any = file.read()
    elif isinstance(source, (bytes, bytearray)):
        content = bytes(source)
    elif hasattr(source, "read"):
        filename = filename or os.path.basename(str(getattr(source, "name", "")))
        content = source.read()
    else:
        content = None
    if not isinstance(content, bytes):
        raise ValueError(f"the file {name!r} must be a path, bytes or a file opened in binary mode, not {source!r}")
    filename = filename if isinstance(upload, tuple) else filename or name
    return filename, content, mimetype or mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _disposition(name: str, filename: str | None = None) -> bytes:
    """Return the field that names a part; quotes and line breaks as browsers write them, beyond RFC 7578 section 2."""
    text = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        text += f'; filename="{_quoted(filename)}"'
    return text.encode()


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
