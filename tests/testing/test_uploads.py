"""Tests of ``skitai.testing.uploads``: the standard library reads the bodies."""

from __future__ import annotations

import io
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.uploads import encode_upload


def decode(body: bytes, content_type: str) -> list[tuple[str, Any, bytes, str]]:
    """Return name, file name, content and media type of each part."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    assert message.is_multipart() and not message.defects, message.defects
    parts = []
    for part in message.get_payload():
        assert isinstance(part, Message)
        head = dict(part.get_params(header="content-disposition") or [])
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts.append((head["name"], head.get("filename"), content, part["Content-Type"]))
    return parts


class EncodeTests(SynchronousTestCase):
    """Bodies of forms with files."""

    def test_fields_and_files(self) -> None:
        """Fields come first, files with their name and type after them."""
        body, content_type = encode_upload({"a": "é", "n": 5}, {"f": ("x.txt", b"one\r\ntwo", "text/x")})
        self.assertEqual(
            decode(body, content_type),
            [("a", None, "é".encode(), None), ("n", None, b"5", None), ("f", "x.txt", b"one\r\ntwo", "text/x")],
        )

    def test_several_values(self) -> None:
        """Several of one name are a list, for fields also a tuple, which among files is a file with its name."""
        body, content_type = encode_upload({"a": (1, 2), "b": [3, 4]}, {"f": [b"x", ("y.txt", b"y")]})
        self.assertEqual(
            [(name, content) for name, _, content, _ in decode(body, content_type)],
            [("a", b"1"), ("a", b"2"), ("b", b"3"), ("b", b"4"), ("f", b"x"), ("f", b"y")],
        )

    def test_sources(self) -> None:
        """A file is a path, bytes or an open file; what its name and type are is guessed."""
        path = Path(self.mktemp()).with_suffix(".png")
        path.write_bytes(b"\x89PNG")
        with path.open("rb") as file:
            files: dict[str, Any] = {
                "path": path,
                "text": str(path),
                "bytes": b"b",
                "memory": io.BytesIO(b"m"),
                "file": file,
                "pair": ("p.css", path),
                "empty": ("", b""),
            }
            parts = decode(*encode_upload({}, files))
        self.assertEqual(
            parts,
            [
                ("path", path.name, b"\x89PNG", "image/png"),
                ("text", path.name, b"\x89PNG", "image/png"),
                ("bytes", "bytes", b"b", "application/octet-stream"),
                ("memory", "memory", b"m", "application/octet-stream"),
                ("file", path.name, b"\x89PNG", "image/png"),
                ("pair", "p.css", b"\x89PNG", "text/css"),
                ("empty", "", b"", "application/octet-stream"),
            ],
        )

    def test_several(self) -> None:
        """Lists are several parts of one name."""
        parts = decode(*encode_upload({"a": ["1", "2"]}, {"f": [("x", b"1"), ("y", b"2")]}))
        self.assertEqual([part[:3] for part in parts], [
            ("a", None, b"1"), ("a", None, b"2"), ("f", "x", b"1"), ("f", "y", b"2"),
        ])  # fmt: skip

    def test_names(self) -> None:
        """No name leaves its field; those beyond ASCII are UTF-8."""
        body, _ = encode_upload({'a"\r\nX: y': "1"}, {"f": ('é"; x="', b"")})
        self.assertIn(b'name="a%22%0D%0AX: y"\r\n', body)
        self.assertIn('filename="é%22; x=%22"\r\n'.encode(), body)

    def test_boundary(self) -> None:
        """It stands in no content, and is the same each time."""
        first = encode_upload({}, {"f": b"x"})
        self.assertEqual(first, encode_upload({}, {"f": b"x"}))
        self.assertEqual(decode(*encode_upload({"a": first[0].decode()}, {}))[0][2], first[0])

    def test_no_file(self) -> None:
        """What is no file is named."""
        for upload in (5, io.StringIO("text"), ("name",), ("a", b"b", "c", "d"), ("name", None)):
            error = self.assertRaises(ValueError, encode_upload, {}, {"photo": upload})
            self.assertIn("'photo'", str(error))
