"""Queries, bodies and forms: what they mean, how large they may be, and that no file stays behind."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import SkipTest, mock
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BodyError, BodyTooLarge, ClientDisconnected, PeerError
from skitai.saddle.forms import Form, FormLimits, parse_query, read_body, read_form, read_pieces
from skitai.saddle.upload import Upload

BOUNDARY = "xYz"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
URLENCODED = "application/x-www-form-urlencoded"
same_examples = settings(
    max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


class Input:
    """A ``wsgi.input`` that gives pieces as they are and remembers how much was asked for.

    Args:
        pieces: Bytes, or exceptions to raise.
    """

    def __init__(self, pieces: Iterable[bytes | Exception]) -> None:
        self.pieces = list(pieces)
        self.asked = 0
        self.given = 0

    def read(self, size: int) -> bytes:
        self.asked = max(self.asked, self.given + size)
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
            piece = piece[:size]
        self.given += len(piece)
        return piece


def environ(body: bytes = b"", content_type: str = "", **more: Any) -> dict[str, Any]:
    """Return the environment of a request with a body and its length."""
    made: dict[str, Any] = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    if content_type:
        made["CONTENT_TYPE"] = content_type
    return {**made, **more}


def chunked(pieces: Iterable[bytes | Exception], content_type: str = "") -> dict[str, Any]:
    """Return the environment of a request without a length, under a server that ends the input."""
    return {"wsgi.input": Input(pieces), "wsgi.input_terminated": True, "CONTENT_TYPE": content_type}


def part(disposition: str, data: bytes, content_type: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + data + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class ParseQueryTests(SynchronousTestCase):
    """``parse_query``"""

    def expect(self, text: str, **values: Any) -> None:
        self.assertEqual(parse_query(text), values, text)

    def refused(self, text: str, *words: str) -> None:
        error = self.assertRaises(PeerError, parse_query, text)
        self.assertEqual(error.status, 400)
        for word in words:
            self.assertIn(word, str(error))

    def test_nothing(self) -> None:
        self.expect("")

    def test_fields(self) -> None:
        self.expect("a=1&b=&c", a="1", b="", c="")

    def test_equals_sign_in_a_value(self) -> None:
        self.expect("a=b=c&d==", a="b=c", d="=")

    def test_empty_fields(self) -> None:
        self.expect("&&a=1&&", a="1")

    def test_empty_name(self) -> None:
        self.assertEqual(parse_query("=x&=%41"), {"": ["x", "A"]})

    def test_repeated_names_make_a_list(self) -> None:
        self.expect("a=1&b=2&a=3&a=", a=["1", "3", ""], b="2")
        self.expect("a=%31&b=2&a=3&a=", a=["1", "3", ""], b="2")

    def test_plus_is_a_blank(self) -> None:
        self.expect("a=b+c&d=+%2B+", a="b c", d=" + ")
        self.assertEqual(parse_query("a+b=1"), {"a b": "1"})

    def test_percent_escapes(self) -> None:
        self.expect("a=%26%3D%25&b=%ed%95%9C", a="&=%", b="\ud55c")
        self.assertEqual(parse_query("%61%62=1"), {"ab": "1"})

    def test_semicolon_separates_nothing(self) -> None:
        self.expect("a=1;b=2", a="1;b=2")

    def test_bytes_that_are_not_escaped(self) -> None:
        """WSGI has each byte as a character; the bytes are UTF-8."""
        self.expect("a=\ud55c".encode().decode("latin-1"), a="\ud55c")

    def test_malformed_escapes(self) -> None:
        for text in ("a=%", "a=%4", "a=%4g", "a=%%41", "%=1", "a=1&b=%u1234", "a=%-1"):
            self.refused(text, "percent-escape")

    def test_not_utf_8(self) -> None:
        for text in ("a=%ff", "%c3=1", "a=\xff", "a=%ed%a0%80", "a=\ud55c", "a=%c3&b=%bc"):
            self.refused(text, "UTF-8")

    def test_many_fields(self) -> None:
        self.assertEqual(len(parse_query("&".join(f"a{n}=1" for n in range(1000)))), 1000)
        self.assertEqual(len(parse_query("&".join(f"a{n}=1" for n in range(1000)) + "&")), 1000)
        self.refused("&".join(f"a{n}=1" for n in range(1001)), "1,000")
        self.refused("&" * 1001, "1,000")

    def test_status_of_too_many_fields(self) -> None:
        error = self.assertRaises(PeerError, parse_query, "a&b&c", 2, 413)
        self.assertEqual((error.status, str(error)), (413, "there are more than 2 fields"))

    @same_examples
    @given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=10)), max_size=6))
    def test_round_trip(self, fields: list[tuple[str, str]]) -> None:
        fields = [(name, value) for name, value in fields if (name + value).isprintable()]
        expected: dict[str, list[str]] = {}
        for name, value in fields:
            expected.setdefault(name, []).append(value)
        found = parse_query(urlencode(fields))
        self.assertEqual({k: v if isinstance(v, list) else [v] for k, v in found.items()}, expected)

    @same_examples
    @given(
        st.text(st.characters(max_codepoint=255), max_size=60) | st.text("%&=+aF4;\xc3\xbc", max_size=40) | st.text()
    )
    def test_any_text(self, text: str) -> None:
        try:
            values = parse_query(text)
        except PeerError as error:
            self.assertEqual(error.status, 400)
        else:
            for value in values.values():
                self.assertIsInstance(value, str | list)

    def test_hostile_text_takes_no_time(self) -> None:
        started = time.perf_counter()
        for text in ("a=" + "%41a" * 300_000, "a=" + "+" * 2_000_000, "=" * 2_000_000, "%41" * 500_000 + "%"):
            try:
                parse_query(text)
            except PeerError:
                pass
        self.assertLess(time.perf_counter() - started, 10)


class ReadBodyTests(SynchronousTestCase):
    """``read_body`` and ``read_pieces``"""

    def test_whole(self) -> None:
        self.assertEqual(read_body(environ(b"data"), 4), b"data")

    def test_no_body(self) -> None:
        """Without a length and a server that ends the input nothing may be read: it could block for ever."""
        source = Input([b"the next request"])
        for length in ({}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}):
            self.assertEqual(read_body({"wsgi.input": source, **length}, 100), b"")
        self.assertEqual(source.asked, 0)

    def test_nothing_beyond_the_length(self) -> None:
        source = Input([b"data", b"the next request"])
        self.assertEqual(read_body({"wsgi.input": source, "CONTENT_LENGTH": "6"}, 100), b"datath")
        self.assertEqual(source.asked, 6)

    def test_short_reads(self) -> None:
        source = Input([b"d", b"a", b"ta"])
        self.assertEqual(read_body({"wsgi.input": source, "CONTENT_LENGTH": "4"}, 100), b"data")

    def test_large_pieces_are_bounded(self) -> None:
        """Some streams make room for as much as they are asked for."""
        source = Input([b"x" * 3_000_000])
        self.assertEqual(len(read_body({"wsgi.input": source, "CONTENT_LENGTH": "3000000"}, 1 << 30)), 3_000_000)
        source = Input([b"x"])
        read_body({"wsgi.input": source, "wsgi.input_terminated": True}, 1 << 30)
        self.assertLessEqual(source.asked, 1 << 21)

    def test_too_large_by_its_length(self) -> None:
        source = Input([b"12345"])
        error = self.assertRaises(BodyTooLarge, read_body, {"wsgi.input": source, "CONTENT_LENGTH": "5"}, 4)
        self.assertEqual((error.status, error.limit, source.asked), (413, 4, 0))

    def test_huge_length(self) -> None:
        for length in ("9" * 5000, "1" + "0" * 18):
            self.assertRaises(BodyTooLarge, read_body, environ(b"", CONTENT_LENGTH=length), 1 << 40)

    def test_malformed_length(self) -> None:
        for length in ("-1", "+1", "1.0", "0x1", "\uff11", "1 ", "\xb2"):
            error = self.assertRaises(PeerError, read_body, environ(b"1", CONTENT_LENGTH=length), 4)
            self.assertEqual(error.status, 400, length)

    def test_leading_zeros(self) -> None:
        self.assertEqual(read_body(environ(b"1234", CONTENT_LENGTH="0" * 50 + "4"), 4), b"1234")

    def test_ends_early(self) -> None:
        error = self.assertRaises(BodyError, read_body, environ(b"data", CONTENT_LENGTH="5"), 10)
        self.assertEqual(error.status, 400)
        self.assertIn("1 bytes too early", str(error))

    def test_without_length(self) -> None:
        self.assertEqual(read_body(chunked([b"da", b"ta"]), 4), b"data")
        self.assertEqual(read_body(chunked([]), 4), b"")

    def test_without_length_too_large(self) -> None:
        for pieces in ([b"12345"], [b"1", b"2", b"3", b"4", b"5"]):
            request = chunked(pieces)
            self.assertEqual(self.assertRaises(BodyTooLarge, read_body, request, 4).limit, 4)
            self.assertLessEqual(request["wsgi.input"].asked, 5)

    def test_limit_of_nothing(self) -> None:
        self.assertEqual(read_body(chunked([]), 0), b"")
        self.assertRaises(BodyTooLarge, read_body, chunked([b"1"]), 0)
        self.assertRaises(BodyTooLarge, read_body, environ(b"1"), 0)

    def test_errors_of_the_server(self) -> None:
        for error in (BodyError(408, "too slow"), BodyTooLarge(7), ClientDisconnected()):
            self.assertIs(self.assertRaises(type(error), read_body, chunked([b"d", error]), 100), error)

    def test_errors_of_other_servers(self) -> None:
        error = self.assertRaises(BodyError, read_body, chunked([b"d", ConnectionResetError("gone")]), 100)
        self.assertEqual(error.status, 400)

    def test_pieces(self) -> None:
        source = Input([b"x" * 100_000, b"y"])
        pieces = list(read_pieces({"wsgi.input": source, "CONTENT_LENGTH": "100001"}, 200_000))
        self.assertEqual([len(piece) for piece in pieces], [65536, 34464, 1])


class FormTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """Have temporary files in a directory of the test."""
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.patch(tempfile, "tempdir", self.directory)

    def left(self) -> list[str]:
        """Return the names of the temporary files."""
        return os.listdir(self.directory)

    def form(self, body: bytes, content_type: str = MULTIPART, **limits: int) -> Form:
        form = read_form(environ(body, content_type), FormLimits(**limits))
        self.addCleanup(form.close)
        return form

    def refused(self, status: int, body: bytes, content_type: str = MULTIPART, **limits: int) -> PeerError:
        """Check that the form is refused, and that no file is left."""
        error = self.assertRaises(PeerError, read_form, environ(body, content_type), FormLimits(**limits))
        self.assertEqual(error.status, status, str(error))
        self.assertEqual(self.left(), [])
        return error


class UrlencodedTests(FormTestCase):
    """application/x-www-form-urlencoded"""

    def test_values(self) -> None:
        form = self.form(b"a=1&b=x+y&a=%ED%95%9C", URLENCODED)
        self.assertEqual(form.values, {"a": ["1", "\ud55c"], "b": "x y"})

    def test_media_type_with_parameters_in_any_case(self) -> None:
        self.assertEqual(self.form(b"a=1", "Application/X-WWW-form-urlencoded ; charset=UTF-8").values, {"a": "1"})

    def test_raw_utf_8(self) -> None:
        self.assertEqual(self.form("a=\ud55c".encode(), URLENCODED).values, {"a": "\ud55c"})

    def test_empty(self) -> None:
        self.assertEqual(self.form(b"", URLENCODED).values, {})

    def test_malformed(self) -> None:
        self.refused(400, b"a=%4", URLENCODED)
        self.refused(400, b"a=\xff", URLENCODED)

    def test_too_large(self) -> None:
        self.assertEqual(self.form(b"a=12345", URLENCODED, max_post_body_size=7).values, {"a": "12345"})
        self.refused(413, b"a=123456", URLENCODED, max_post_body_size=7)

    def test_too_many_fields(self) -> None:
        self.refused(413, b"a=1&" * 1001, URLENCODED)
        self.refused(413, b"a=1&b=2&c=3", URLENCODED, max_fields=2)


class OtherTypeTests(FormTestCase):
    """Bodies that are no forms"""

    def test_is_not_read(self) -> None:
        for content_type in ("application/json", "", "nonsense", "multipart/mixed; boundary=x", "text/plain"):
            source = Input([b"{}"])
            request = {"wsgi.input": source, "CONTENT_LENGTH": "2", "CONTENT_TYPE": content_type}
            form = read_form(request, FormLimits())
            self.assertEqual((form.values, form.uploads, source.asked), ({}, [], 0))

    def test_no_content_type(self) -> None:
        self.assertEqual(read_form({"wsgi.input": io.BytesIO()}, FormLimits()).values, {})


class MultipartTests(FormTestCase):
    """multipart/form-data"""

    def test_text(self) -> None:
        form = self.form(multipart(part("name=a", "\ud55c\r\n".encode()), part("name=b", b""), part("name=a", b"2")))
        self.assertEqual(form.values, {"a": ["\ud55c\r\n", "2"], "b": ""})
        self.assertEqual(self.left(), [])

    def test_file(self) -> None:
        form = self.form(multipart(part('name=f; filename="../a b.PNG"', b"\x89PNG", "Image/PNG; x=y")))
        upload = form.values["f"]
        self.assertIsInstance(upload, Upload)
        self.assertEqual((upload.name, upload.original_name), ("a b.PNG", "../a b.PNG"))
        self.assertEqual((upload.size, upload.mimetype, upload.read()), (4, "image/png", b"\x89PNG"))
        self.assertEqual(self.left(), [os.path.basename(upload.path)])
        self.assertEqual(os.path.dirname(upload.path), self.directory)
        self.assertEqual(stat.S_IMODE(os.stat(upload.path).st_mode), 0o600)

    def test_example_of_the_manual(self) -> None:
        form = self.form(
            multipart(
                part('name="submit-hidden"', b"Genious"),
                part('name="submit-name"', b"Hans Roh"),
                part('name="file"; filename="x.txt"', b"1", "text/plain"),
            )
        ).values
        self.assertEqual((form.get("submit-hidden"), form.get("submit-name")), ("Genious", "Hans Roh"))
        file = form.get("file")
        self.assertTrue(file)
        into = os.path.join(self.directory, "upload")
        self.assertEqual(file.save(into, mkdir=True, dup="o"), os.path.join(into, "x.txt"))

    def test_several_files_of_one_name(self) -> None:
        form = self.form(multipart(*(part(f"name=f; filename=f{n}", b"%d" % n) for n in range(3))))
        self.assertEqual(
            [(upload.name, upload.read()) for upload in form.values["f"]], [("f0", b"0"), ("f1", b"1"), ("f2", b"2")]
        )
        self.assertEqual(len(self.left()), 3)

    def test_empty_file(self) -> None:
        upload = self.form(multipart(part("name=f; filename=x", b""))).values["f"]
        self.assertEqual((upload.size, upload.read()), (0, b""))

    def test_no_file_chosen(self) -> None:
        """A file part with an empty name is an empty field."""
        body = multipart(part('name=f; filename=""', b"", "application/octet-stream"), part("name=a", b"1"))
        self.assertEqual(self.form(body).values, {"f": "", "a": "1"})
        body = multipart(part('name=f; filename=""', b"ignored", "application/octet-stream"))
        self.assertEqual(self.form(body).values, {"f": ""})
        self.assertEqual(self.left(), [])

    def test_charsets(self) -> None:
        for content_type, data, expected in (
            ("text/plain; charset=UTF-8", b"\xc3\xbc", "\u00fc"),
            ("text/plain; charset=iso-8859-1", b"\xfc", "\u00fc"),
            ("text/plain; charset=us-ascii", b"u", "u"),
            ("text/plain", b"\xc3\xbc", "\u00fc"),
        ):
            self.assertEqual(self.form(multipart(part("name=a", data, content_type))).values, {"a": expected})

    def test_undecodable_text(self) -> None:
        for content_type, data in (
            ("", b"\xff"),
            ("text/plain; charset=us-ascii", b"\xc3\xbc"),
            ("text/plain; charset=shift_jis", b"a"),
            ("text/plain; charset=\u00fc", b"a"),
            ("text/plain; charset=a; charset=b", b"a"),
        ):
            self.refused(400, multipart(part("name=a", data, content_type)))

    def test_short_reads(self) -> None:
        body = multipart(part("name=f; filename=x", b"data\r\n--"), part("name=a", b"1"))
        form = read_form(chunked([body[at : at + 1] for at in range(len(body))], MULTIPART), FormLimits())
        self.addCleanup(form.close)
        self.assertEqual((form.values["f"].read(), form.values["a"]), (b"data\r\n--", "1"))

    def test_no_body(self) -> None:
        self.assertEqual(self.form(b"").values, {})
        self.assertEqual(read_form(chunked([], MULTIPART), FormLimits()).values, {})

    def test_epilogue_is_read(self) -> None:
        """What is not read would stay in the way of the next request on some servers."""
        request = environ(multipart(part("name=a", b"1")) + b"x" * 100_000, MULTIPART)
        self.assertEqual(read_form(request, FormLimits()).values, {"a": "1"})
        self.assertEqual(request["wsgi.input"].read(), b"")


class CloseTests(FormTestCase):
    """The end of the temporary files."""

    def test_close(self) -> None:
        form = self.form(multipart(part("name=f; filename=x", b"1"), part("name=f; filename=x", b"2")))
        self.assertEqual(len(self.left()), 2)
        form.close()
        form.close()
        self.assertEqual(self.left(), [])

    def test_saved_files_stay(self) -> None:
        form = self.form(multipart(part("name=f; filename=x", b"1"), part("name=g; filename=y", b"2")))
        into = os.path.abspath(self.mktemp())
        path = form.values["f"].save(into, mkdir=True)
        form.close()
        self.assertEqual(self.left(), [])
        self.assertEqual(Path(path).read_bytes(), b"1")

    def test_removed_by_the_application(self) -> None:
        form = self.form(multipart(part("name=f; filename=x", b"1")))
        form.values["f"].remove()
        form.close()

    def test_context_manager(self) -> None:
        with self.form(multipart(part("name=f; filename=x", b"1"))) as form:
            self.assertEqual(form.values["f"].read(), b"1")
        self.assertEqual(self.left(), [])

    def test_one_that_can_not_be_removed(self) -> None:
        form = self.form(multipart(part("name=f; filename=x", b"1"), part("name=g; filename=y", b"2")))
        with mock.patch.object(form.uploads[0], "path", self.directory):
            self.assertRaises(OSError, form.close)
        self.assertEqual(self.left(), [os.path.basename(form.uploads[0].path)])


class LimitTests(FormTestCase):
    """Malformed and oversized multipart bodies leave no file behind."""

    FILE = part("name=f; filename=x", b"12345")

    def test_boundary(self) -> None:
        for content_type in (
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=" + "x" * 71,
        ):
            self.refused(400, multipart(self.FILE), content_type)

    def test_missing_boundary_without_a_body(self) -> None:
        self.refused(400, b"", "multipart/form-data")

    def test_truncated_anywhere(self) -> None:
        body = multipart(self.FILE, part("name=a", b"1")).rstrip()
        for length in range(1, len(body)):
            self.refused(400, body[:length])

    def test_input_ends_early(self) -> None:
        body = multipart(self.FILE)
        request = environ(body, MULTIPART, CONTENT_LENGTH=str(len(body) + 1))
        self.assertEqual(self.assertRaises(BodyError, read_form, request, FormLimits()).status, 400)
        self.assertEqual(self.left(), [])

    def test_input_fails(self) -> None:
        for length in (10, 60, 72, 90):
            error = ClientDisconnected()
            request = chunked([multipart(self.FILE, self.FILE)[:length], error], MULTIPART)
            self.assertIs(self.assertRaises(ClientDisconnected, read_form, request, FormLimits()), error)
            self.assertEqual(self.left(), [])

    def test_malformed_part_after_a_file(self) -> None:
        self.refused(400, multipart(self.FILE, part("other=a", b"")))

    def test_body_too_large(self) -> None:
        body = multipart(self.FILE)
        self.form(body, max_multipart_body_size=len(body)).close()
        error = self.refused(413, body, max_multipart_body_size=len(body) - 1)
        self.assertIsInstance(error, BodyTooLarge)

    def test_body_too_large_without_a_length(self) -> None:
        body = multipart(self.FILE)
        request = chunked([body[at : at + 50] for at in range(0, len(body), 50)], MULTIPART)
        limits = FormLimits(max_multipart_body_size=len(body) - 1)
        self.assertEqual(self.assertRaises(BodyTooLarge, read_form, request, limits).limit, len(body) - 1)
        self.assertEqual(self.left(), [])

    def test_file_too_large(self) -> None:
        self.form(multipart(self.FILE, self.FILE), max_upload_file_size=5).close()
        error = self.refused(
            413, multipart(self.FILE, part("name=f; filename=large", b"123456")), max_upload_file_size=5
        )
        self.assertEqual(str(error), "the file 'large' is larger than 5 bytes")

    def test_file_too_large_is_not_read_to_its_end(self) -> None:
        body = multipart(part("name=f; filename=x", b"x" * 1_000_000))
        source = Input([body])
        request = {"wsgi.input": source, "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": MULTIPART}
        self.assertRaises(PeerError, read_form, request, FormLimits(max_upload_file_size=1000))
        self.assertLess(source.given, 100_000)

    def test_text_too_large(self) -> None:
        """The text fields count together, files do not."""
        body = multipart(part("name=a", b"123"), self.FILE, part("name=b", b"45"))
        self.form(body, max_post_body_size=5).close()
        self.refused(413, body, max_post_body_size=4)

    def test_too_many_parts(self) -> None:
        self.form(multipart(self.FILE, self.FILE), max_parts=2).close()
        self.refused(413, multipart(self.FILE, self.FILE, self.FILE), max_parts=2)
        self.refused(413, multipart(*[part("name=a", b"")] * 1001))

    def test_head_too_large(self) -> None:
        self.refused(413, multipart(self.FILE, part("name=" + "a" * 8192, b"")))

    def test_no_temporary_file(self) -> None:
        self.patch(tempfile, "mkstemp", mock.Mock(side_effect=OSError(28, "No space left on device")))
        self.assertIn("No space left", str(self.refused(507, multipart(self.FILE))))

    def test_disk_is_full(self) -> None:
        """Small data is written when the file is closed, large data at once."""
        if not os.path.exists("/dev/full"):
            raise SkipTest("there is no /dev/full here")
        for size in (1, 100_000):
            _, path = tempfile.mkstemp()
            full = os.open("/dev/full", os.O_WRONLY)
            with mock.patch.object(tempfile, "mkstemp", mock.Mock(return_value=(full, path))):
                body = multipart(part("name=f; filename=x", b"x" * size))
                self.assertIn("No space left", str(self.refused(507, body)))

    @same_examples
    @given(
        st.lists(
            st.sampled_from(
                (
                    b"--xYz\r\n",
                    b"--xYz--",
                    b"\r\n",
                    b"Content-Disposition: form-data; name=a\r\n\r\n",
                    b"Content-Disposition: form-data; name=f; filename=x\r\n\r\n",
                    b"Content-Type: text/plain; charset=latin-1\r\n",
                    b"\xff",
                    b"data",
                )
            ),
            max_size=20,
        ).map(b"".join)
    )
    def test_any_body(self, body: bytes) -> None:
        try:
            with read_form(environ(body, MULTIPART), FormLimits()) as form:
                self.assertEqual(len(self.left()), len(form.uploads))
        except PeerError as error:
            self.assertEqual(error.status, 400)
        self.assertEqual(self.left(), [])
