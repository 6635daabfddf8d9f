"""What requests carry: pieces, sizes, sending it again, and forms as browsers write them."""

from __future__ import annotations

import io
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.forms import FormLimits, read_form
from skitai.saddle.upload import Upload
from skitai.was.payloads import PIECE_SIZE, BytesPayload, FilePayload, MultipartPayload, Payload, flat


class OnlyReads:
    """A file that can nothing but read."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def read(self, size: int) -> Any:
        return self.pieces.pop(0) if self.pieces else b""


class PayloadTestCase(SynchronousTestCase):
    """Has files, and looks at what payloads yield."""

    def path(self, content: bytes, name: str = "file.bin") -> Path:
        path = Path(self.mktemp())
        path.mkdir()
        (path / name).write_bytes(content)
        return path / name

    def content(self, payload: Payload) -> bytes:
        pieces = list(payload.chunks())
        self.assertTrue(all(0 < len(piece) <= PIECE_SIZE for piece in pieces))
        content = b"".join(pieces)
        self.assertEqual(len(content), payload.size)
        return content


class BytesTests(PayloadTestCase):
    """``BytesPayload``."""

    def test_content(self) -> None:
        for size in (0, 1, PIECE_SIZE, PIECE_SIZE + 1, 3 * PIECE_SIZE):
            payload = BytesPayload(b"x" * size, "a/b")
            self.assertEqual(self.content(payload), b"x" * size)
            self.assertEqual(self.content(payload), b"x" * size)
            payload.close()


class FileTests(PayloadTestCase):
    """``FilePayload``."""

    def test_path(self) -> None:
        payload = FilePayload(self.path(b"y" * 100_000, "a.png"))
        self.assertEqual((payload.size, payload.content_type), (100_000, "image/png"))
        self.assertEqual(self.content(payload), b"y" * 100_000)
        payload.close()
        payload.close()

    def test_sent_again(self) -> None:
        payload = FilePayload(self.path(b"abc"))
        self.content(payload)
        self.assertEqual(self.content(payload), b"abc")

    def test_closes_what_it_opened(self) -> None:
        payload = FilePayload(self.path(b"abc"))
        payload.close()
        self.assertRaises(ValueError, list, payload.chunks())

    def test_leaves_open_what_it_was_given(self) -> None:
        with open(self.path(b"abc"), "rb") as file:
            payload = FilePayload(file)
            self.assertEqual(self.content(payload), b"abc")
            payload.close()
            self.assertFalse(file.closed)

    def test_begins_where_the_file_stands(self) -> None:
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        payload = FilePayload(file)
        self.assertEqual(self.content(payload), b"456789")
        self.assertEqual(self.content(payload), b"456789")
        file.seek(100)
        self.assertEqual(FilePayload(file).size, 0)

    def test_what_is_appended_is_not_sent(self) -> None:
        path = self.path(b"abc")
        payload = FilePayload(path)
        with open(path, "ab") as file:
            file.write(b"more")
        self.assertEqual(self.content(payload), b"abc")
        payload.close()

    def test_what_is_cut_meanwhile_is_an_error(self) -> None:
        path = self.path(b"abcdef")
        payload = FilePayload(path)
        os.truncate(path, 3)
        pieces = payload.chunks()
        self.assertEqual(next(pieces), b"abc")
        self.assertIn("shorter", str(self.assertRaises(OSError, next, pieces)))
        payload.close()

    def test_what_gives_more_than_it_was_asked_for(self) -> None:
        """The rest would be the next request, whoever has written it."""

        class Generous(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(None if size is None else size + 5)

        payload = FilePayload(Generous(b"x" * PIECE_SIZE + b"DELETE / HTTP/1.1\r\n\r\n"))
        self.assertIn("more than", str(self.assertRaises(OSError, list, payload.chunks())))

    def test_a_file_that_can_not_seek(self) -> None:
        """It is read at once: what it waits for may be the reactor, which must not wait for it."""
        file = OnlyReads(b"ab", b"c")
        payload = FilePayload(file)  # type: ignore[arg-type]
        self.assertEqual((payload.size, file.pieces), (3, []))
        for _ in range(2):
            self.assertEqual(self.content(payload), b"abc")
        payload.close()
        self.assertRaises(ValueError, list, payload.chunks())

    def test_a_pipe(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"through")
        os.close(writing)
        with open(reading, "rb") as file:
            payload = FilePayload(file)
            self.assertEqual(self.content(payload), b"through")
            payload.close()
            self.assertFalse(file.closed)

    def test_a_file_twice_in_a_form(self) -> None:
        file = io.BytesIO(b"same")
        payload = MultipartPayload({"a": file, "b": file})
        self.assertEqual(self.content(payload).count(b"\r\nsame\r\n"), 2)

    def test_no_bytes(self) -> None:
        self.assertIn("binary", str(self.assertRaises(ValueError, FilePayload, io.StringIO("x"))))
        with open(self.path(b"x"), encoding="utf-8") as text:
            self.assertIn("file.bin", str(self.assertRaises(ValueError, FilePayload, text)))
        self.assertRaises(ValueError, FilePayload, OnlyReads("text"))
        self.assertRaises(OSError, FilePayload, OnlyReads(None))

    def test_no_such_file(self) -> None:
        self.assertRaises(FileNotFoundError, FilePayload, Path(self.mktemp()))


class MultipartTests(PayloadTestCase):
    """``MultipartPayload``."""

    def body(self, fields: dict[str, Any]) -> bytes:
        payload = MultipartPayload(fields, "B")
        self.assertEqual(payload.content_type, "multipart/form-data; boundary=B")
        content = self.content(payload)
        payload.close()
        return content

    def test_fields(self) -> None:
        self.assertEqual(
            self.body({"a": "ä", "b": [1, b"\xff"], "c": None}),
            b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xc3\xa4\r\n'
            b'--B\r\nContent-Disposition: form-data; name="b"\r\n\r\n1\r\n'
            b'--B\r\nContent-Disposition: form-data; name="b"\r\n\r\n\xff\r\n'
            b"--B--\r\n",
        )

    def test_nothing(self) -> None:
        self.assertEqual(self.body({}), b"--B--\r\n")

    def test_values_that_have_a_text(self) -> None:
        moment, key = datetime(2026, 11, 22, 12, 0), UUID(int=5)
        for value in (True, 1.5, 2j, Decimal("1.10"), date(2026, 1, 2), moment, moment.time(), key):
            self.assertIn(f'name="a"\r\n\r\n{value}\r\n'.encode(), self.body({"a": value}))
        for value in (bytearray(b"\xff"), memoryview(b"\xff")):
            self.assertIn(b'name="a"\r\n\r\n\xff\r\n', self.body({"a": value}))

    def test_values_that_have_none(self) -> None:
        for value in (object(), {}, {"b"}, PayloadTestCase):
            error = self.assertRaises(TypeError, MultipartPayload, {"some field": value})
            self.assertIn("'some field'", str(error))

    def test_pairs(self) -> None:
        payload = MultipartPayload([("a", "1"), ("f", ("n", b"2")), ("a", "3")], "B")
        content = self.content(payload)
        self.assertLess(content.index(b'name="f"'), content.rindex(b'name="a"'))
        self.assertEqual(content.count(b'name="a"'), 2)

    def file(self, value: Any) -> bytes:
        """Return what stands between boundary and end for a file named "f"."""
        head, end = b'--B\r\nContent-Disposition: form-data; name="f"; filename=', b"\r\n--B--\r\n"
        body = self.body({"f": value})
        self.assertTrue(body.startswith(head) and body.endswith(end), body)
        return body[len(head) : -len(end)]

    def test_files(self) -> None:
        path = self.path(b"content", "a.txt")
        plain = b'"a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent'
        self.assertEqual(self.file(path), plain)
        with open(path, "rb") as file:
            self.assertEqual(self.file(file), plain)
        self.assertEqual(self.file(("a.txt", b"content")), plain)
        self.assertEqual(self.file(("a.txt", "content")), plain)
        self.assertEqual(self.file(("a.txt", io.BytesIO(b"content"))), plain)
        self.assertEqual(self.file(("b.x", path)), b'"b.x"\r\nContent-Type: application/octet-stream\r\n\r\ncontent')
        self.assertEqual(self.file(("b.x", path, "a/b")), b'"b.x"\r\nContent-Type: a/b\r\n\r\ncontent')
        self.assertEqual(self.file(io.BytesIO(b"c")), b'"f"\r\nContent-Type: application/octet-stream\r\n\r\nc')

    def test_what_a_view_was_sent(self) -> None:
        upload = Upload(str(self.path(b"content", "tmp123")), "né.txt", 7, "text/x")
        self.assertEqual(self.file(upload), '"né.txt"\r\nContent-Type: text/x\r\n\r\ncontent'.encode())

    def test_a_media_type_that_a_view_was_sent_can_not_begin_a_field(self) -> None:
        plain = b'"a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent'
        for made_up in ("text/x\r\nX-Evil: 1", "text/\xe9", None):
            upload = Upload(str(self.path(b"content", "tmp123")), "a.txt", 7, made_up)  # type: ignore[arg-type]
            self.assertEqual(self.file(upload), plain)

    def test_a_text_is_never_a_path(self) -> None:
        path = str(self.path(b"secret"))
        self.assertNotIn(b"secret", self.body({"a": path, "b": ("c", path)}))

    def test_several_files_of_one_name(self) -> None:
        body = self.body({"f": [("a", b"1"), ("b", b"2")]})
        self.assertEqual(body.count(b'name="f"; filename='), 2)

    def test_names_the_browsers_way(self) -> None:
        body = self.body({'a"\r\nb\\': ('"x\r\nContent-Type: evil\\€', b"")})
        self.assertIn(b'; name="a%22%0D%0Ab\\"; filename="%22x%0D%0AContent-Type: evil\\\xe2\x82\xac"\r\n', body)

    def test_wrong_files(self) -> None:
        for value in ((), ("a",), ("a", b"", "b", "c"), (1, b""), ("a", b"", "x\r\ny: z"), ("a", b"", 1), ("a", 1)):
            self.assertIn("'f'", str(self.assertRaises(ValueError, MultipartPayload, {"f": value})), value)
        self.assertRaises(FileNotFoundError, MultipartPayload, {"f": Path(self.mktemp())})

    def test_closes_what_it_opened_when_another_is_wrong(self) -> None:
        opened: list[IO[bytes]] = []
        original = FilePayload.__init__

        def init(payload: FilePayload, source: Any, content_type: str | None = None) -> None:
            original(payload, source, content_type)
            opened.append(payload._file)

        self.patch(FilePayload, "__init__", init)
        self.assertRaises(ValueError, MultipartPayload, {"a": self.path(b""), "b": ("x",)})
        self.assertEqual([file.closed for file in opened], [True])

    def test_sent_again(self) -> None:
        payload = MultipartPayload({"a": "1", "f": self.path(b"z" * 200_000)})
        first = self.content(payload)
        self.assertEqual(self.content(payload), first)
        payload.close()

    def test_a_file_of_unknown_size(self) -> None:
        payload = MultipartPayload({"f": OnlyReads(b"x"), "g": ("n", b"y")})
        content = self.content(payload)
        self.assertIn(b"x\r\n--", content)
        self.assertEqual(payload.size, len(content))
        payload.close()

    def test_boundaries_differ(self) -> None:
        self.assertNotEqual(MultipartPayload({}).content_type, MultipartPayload({}).content_type)

    def test_saddle_reads_it(self) -> None:
        fields = {'q"ä\n': "v\r\n", "f": ('n"\\.txt', b"\r\n--x\r\n" * 1000), "e": [1, 2]}
        payload = MultipartPayload(fields)
        body = self.content(payload)
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": payload.content_type,
            "CONTENT_LENGTH": str(payload.size),
            "wsgi.input": io.BytesIO(body),
        }
        form = read_form(environ, FormLimits(10**6, 10**6, 10**6))
        self.addCleanup(form.close)
        self.assertEqual(form.values['q"ä\n'], "v\r\n")
        self.assertEqual(form.values["e"], ["1", "2"])
        self.assertEqual(form.values["f"].read(), b"\r\n--x\r\n" * 1000)
        self.assertEqual(form.values["f"].original_name, 'n"\\.txt')


class FlatTests(SynchronousTestCase):
    """``flat``."""

    def test_flat(self) -> None:
        fields = {"a": [1, None, 2], 3: (4,), "b": None, "c": []}
        self.assertEqual(list(flat(fields)), [("a", 1), ("a", 2), ("3", 4)])
        self.assertEqual(list(flat(fields, list)), [("a", 1), ("a", 2), ("3", (4,))])
        self.assertEqual(list(flat([("a", 1), ("b", None), ("a", [2, 3])])), [("a", 1), ("a", 2), ("a", 3)])
