"""The decoder of multipart/form-data, and the header parameters it reads: every rule, and any cut of any bytes."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import PeerError
from skitai.saddle.multipart import (
    FormEnd,
    MultipartDecoder,
    MultipartEvent,
    PartData,
    PartEnd,
    PartHead,
    parse_boundary,
)
from skitai.saddle.parameters import form_text, media_type, parse_parameters, unescape

BOUNDARY = b"xYz"


def examples(count: int) -> Callable[[Any], Any]:
    """Return settings for ``count`` examples, the same ones in each run and with no limit of time."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def part(disposition: bytes, data: bytes, *fields: bytes) -> bytes:
    """Return a part with the delimiter before it."""
    lines = (b"--" + BOUNDARY, b"Content-Disposition: " + disposition, *fields, b"", data)
    return b"\r\n".join(lines) + b"\r\n"


def field(name: bytes, data: bytes) -> bytes:
    return part(b'form-data; name="' + name + b'"', data)


END = b"--" + BOUNDARY + b"--\r\n"


def decode(pieces: Iterable[bytes], **limits: int) -> list[MultipartEvent]:
    """Return the events of a complete body."""
    decoder = MultipartDecoder(BOUNDARY, **limits)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.finish()
    return events


def joined(events: list[MultipartEvent]) -> list[MultipartEvent]:
    """Return the events with each part's data in one."""
    result: list[MultipartEvent] = []
    for event in events:
        if isinstance(event, PartData) and result and isinstance(result[-1], PartData):
            result[-1] = PartData(result[-1].data + event.data)
        else:
            result.append(event)
    return result


def outcome(pieces: Iterable[bytes], **limits: int) -> list[MultipartEvent] | tuple[int, str]:
    """Return the events of a body, or the status and message that refuse it."""
    try:
        return joined(decode(pieces, **limits))
    except PeerError as error:
        return error.status, str(error)


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def contents(data: bytes) -> list[tuple[str, str | None, bytes]]:
    """Return name, filename and data of each part; the body is decoded whole and in single bytes."""
    whole = outcome([data])
    if isinstance(whole, tuple):
        raise AssertionError(whole)
    if outcome(single_bytes(data)) != whole:
        raise AssertionError("single bytes give something else")
    parts: list[tuple[str, str | None, bytes]] = []
    for event in whole:
        if isinstance(event, PartHead):
            parts.append((event.name, event.filename, b""))
        elif isinstance(event, PartData):
            parts[-1] = (*parts[-1][:2], parts[-1][2] + event.data)
    return parts


class DecoderTestCase(SynchronousTestCase):
    def refused(self, data: bytes, status: int, *words: str, **limits: int) -> None:
        """Check that the body is refused however it is cut."""
        for pieces in ([data], single_bytes(data)):
            error = self.assertRaises(PeerError, decode, pieces, **limits)
            self.assertEqual(error.status, status, str(error))
            for word in words:
                self.assertIn(word, str(error))


class PartTests(DecoderTestCase):
    """Well-formed bodies."""

    def test_events(self) -> None:
        body = field(b"a", b"1") + part(
            b'form-data; name="f"; filename="x.png"', b"\x89PNG", b"Content-Type: Image/PNG; q=1"
        )
        self.assertEqual(
            decode([body + END]),
            [
                PartHead("a", None, "", "text/plain"),
                PartData(b"1"),
                PartEnd(),
                PartHead("f", "x.png", "Image/PNG; q=1", "image/png"),
                PartData(b"\x89PNG"),
                PartEnd(),
                FormEnd(),
            ],
        )

    def test_no_parts(self) -> None:
        """Scripts send that for a form without fields."""
        self.assertEqual(decode([END]), [FormEnd()])
        self.assertEqual(decode([b"--xYz--"]), [FormEnd()])

    def test_empty_data(self) -> None:
        self.assertEqual(contents(field(b"a", b"") + field(b"b", b"x") + END), [("a", None, b""), ("b", None, b"x")])

    def test_no_data_at_all(self) -> None:
        """RFC 2046 section 5.1.1: the empty line may be the beginning of the delimiter."""
        body = b'--xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\n--xYz--'
        self.assertEqual(contents(body), [("a", None, b"")])

    def test_data_that_looks_like_a_delimiter(self) -> None:
        for data in (
            b"\r\n",
            b"\r\n--",
            b"\r\n--xY",
            b"x--xYz",
            b"\n--xYz",
            b"\r\r\n--xY",
            b"\r\n-\r\n--x",
            b"\r",
            b"--",
        ):
            self.assertEqual(contents(field(b"a", data) + END), [("a", None, data)], data)

    def test_preamble_and_epilogue(self) -> None:
        body = b"This is\r\na preamble --xYz\r\n" + field(b"a", b"1") + END + b"and --xYz\r\n--xYz\r\nan epilogue"
        self.assertEqual(contents(body), [("a", None, b"1")])

    def test_blanks_after_a_boundary(self) -> None:
        body = (field(b"a", b"1") + END).replace(b"xYz\r\n", b"xYz \t \r\n").replace(b"xYz--", b"xYz-- \t")
        self.assertEqual(contents(body), [("a", None, b"1")])

    def test_repeated_names_stay_in_order(self) -> None:
        body = b"".join(field(b"a", b"%d" % number) for number in range(5)) + END
        self.assertEqual(contents(body), [("a", None, b"%d" % number) for number in range(5)])

    def test_folded_field(self) -> None:
        body = part(b'form-data;\r\n name="a";\r\n\tfilename="b"', b"1") + END
        self.assertEqual(contents(body), [("a", "b", b"1")])

    def test_fields_in_any_case_and_unknown_ones(self) -> None:
        body = b"--xYz\r\nX-Any:\r\nCONTENT-disposition:Form-Data;NAME=a\r\ncontent-TYPE: text/html\r\n\r\n1\r\n" + END
        events = decode([body])
        self.assertEqual(events[0], PartHead("a", None, "text/html", "text/html"))

    def test_default_media_types(self) -> None:
        for content_type in ((), (b"Content-Type: nonsense",), (b"Content-Type:",), (b"Content-Type: ;;=",)):
            for disposition, expected in (
                (b"form-data; name=a", "text/plain"),
                (b"form-data; name=a; filename=b", "application/octet-stream"),
            ):
                head = decode([part(disposition, b"", *content_type) + END])[0]
                assert isinstance(head, PartHead)
                self.assertEqual(head.mimetype, expected)

    def test_identity_encodings(self) -> None:
        for encoding in (b"binary", b"8bit", b"7BIT", b" binary \t"):
            body = part(b"form-data; name=a", b"1", b"Content-Transfer-Encoding: " + encoding) + END
            self.assertEqual(contents(body), [("a", None, b"1")])

    def test_file_of_a_multipart_type(self) -> None:
        """A saved web page is such a file; it is data like any other."""
        body = part(b"form-data; name=a; filename=b.mhtml", b"1", b"Content-Type: multipart/related") + END
        self.assertEqual(contents(body), [("a", "b.mhtml", b"1")])

    def test_nothing_after_the_end_is_looked_at(self) -> None:
        decoder = MultipartDecoder(BOUNDARY)
        decoder.feed(field(b"a", b"1") + END + b"x")
        self.assertEqual(decoder.feed(field(b"b", b"2")), [])
        decoder.finish()


class NameTests(DecoderTestCase):
    """Names of fields and files, as clients write them."""

    def names(self, disposition: bytes) -> tuple[str, str | None]:
        ((name, filename, _),) = contents(part(b"form-data; " + disposition, b"") + END)
        return name, filename

    def test_plain(self) -> None:
        self.assertEqual(self.names(b"name=a; filename=b c.txt"), ("a", "b c.txt"))

    def test_quoted(self) -> None:
        self.assertEqual(self.names(b'name="a b" ;filename = "c; d=\'e\'.txt";'), ("a b", "c; d='e'.txt"))

    def test_empty(self) -> None:
        self.assertEqual(self.names(b'name=""; filename=""'), ("", ""))

    def test_utf_8(self) -> None:
        self.assertEqual(self.names('name="이름"; filename="보고서 ü.pdf"'.encode()), ("이름", "보고서 ü.pdf"))

    def test_backslash_escapes(self) -> None:
        self.assertEqual(self.names(rb'name="a\"b\\c"; filename="\"\\\""'), ('a"b\\c', '"\\"'))

    def test_percent_escapes_of_browsers(self) -> None:
        self.assertEqual(self.names(b'name="a%22b"; filename="%0D%0A%22.txt"'), ('a"b', '\r\n".txt'))

    def test_other_percent_signs_stay(self) -> None:
        self.assertEqual(self.names(b'name="100%"; filename="50%25%20%0a.txt"'), ("100%", "50%25%20%0a.txt"))

    def test_windows_path(self) -> None:
        self.assertEqual(self.names(rb'name="a"; filename="C:\dir\new.txt"'), ("a", r"C:\dir\new.txt"))

    def test_backslash_at_the_end(self) -> None:
        """Browsers do not escape it, so the quote behind it ends the name."""
        self.assertEqual(self.names(b'name="a\\"; filename="b\\"'), ("a\\", "b\\"))

    def test_extended(self) -> None:
        self.assertEqual(self.names(b"name=a; filename=x; filename*=UTF-8'en'%e2%82%ac.txt"), ("a", "\u20ac.txt"))
        self.assertEqual(self.names(b"name*=utf-8''a%20b; filename*=iso-8859-1''%fc"), ("a b", "\u00fc"))

    def test_malformed_extended(self) -> None:
        for value in (
            b"x",
            b"utf-8'x",
            b"''x",
            b"utf-16''x",
            b"utf-8''%ff",
            b"utf-8''%4",
            b"utf-8''%zz",
            b"utf-8''\xc3\xbc",
        ):
            self.refused(part(b"form-data; name=a; filename*=" + value, b"") + END, 400, "malformed")

    def test_continued(self) -> None:
        for value in (b"filename*0=a; filename*1=b", b"filename*0*=utf-8''a"):
            self.refused(part(b"form-data; name=a; " + value, b"") + END, 400, "continued")

    def test_repeated_parameter(self) -> None:
        self.refused(part(b"form-data; name=a; NAME=b", b"") + END, 400, "twice")
        self.refused(part(b"form-data; name=a; filename=a; filename=b", b"") + END, 400, "twice")

    def test_malformed_parameters(self) -> None:
        for value in (
            b'name="a',
            b'name="a"b',
            b"name",
            b"name=a; =b",
            b'name=a"b"',
            b"name=a; file name=b",
            b'name="a" x',
        ):
            self.refused(part(b"form-data; " + value, b"") + END, 400, "malformed header field value")

    def test_not_utf_8(self) -> None:
        self.refused(part(b'form-data; name="\xff"', b"") + END, 400, "UTF-8")


class RefusalTests(DecoderTestCase):
    """Malformed bodies, and those beyond a limit."""

    def test_truncated_anywhere(self) -> None:
        body = field(b"a", b"1") + part(b"form-data; name=f; filename=g", b"data\r\n--xY") + b"--xYz--"
        for length in range(len(body)):
            self.refused(body[:length], 400, "ends before")
        decode([body])

    def test_text_behind_a_boundary(self) -> None:
        """RFC 2046 section 5.1.1: a line that begins with the boundary is a delimiter, whatever follows."""
        for junk in (b"0\r\n", b" x\r\n", b"\n", b"\rx", b"-\r\n", b" --\r\n"):
            self.refused(field(b"a", b"1") + b"--xYz" + junk + END, 400, "followed by something else")

    def test_endless_blanks_behind_a_boundary(self) -> None:
        contents(b"--xYz" + b" " * 256 + field(b"a", b"1")[5:] + END)
        self.refused(b"--xYz" + b" " * 257 + field(b"a", b"1")[5:] + END, 400, "followed by something else")

    def test_wrong_boundary(self) -> None:
        self.refused(b"--other\r\n\r\n--other--\r\n", 400, "ends before")

    def test_bare_line_feeds(self) -> None:
        self.refused((field(b"a", b"1") + END).replace(b"\r\n", b"\n"), 400)
        self.refused(b"--xYz\r\nContent-Disposition: form-data; name=a\nX: y\r\n\r\n\r\n" + END, 400, "malformed")

    def test_control_characters_in_a_head(self) -> None:
        for byte in (b"\0", b"\r", b"\n"):
            self.refused(part(b"form-data; name=a" + byte + b"b", b"") + END, 400, "malformed")

    def test_malformed_field_lines(self) -> None:
        for line in (b"no colon", b": no name", b"blank : before", b"\xff: x"):
            self.refused(part(b"form-data; name=a", b"", line) + END, 400, "malformed")

    def test_folding_without_a_field(self) -> None:
        self.refused(b"--xYz\r\n folded: x\r\n\r\n\r\n" + END, 400, "malformed")

    def test_repeated_field(self) -> None:
        self.refused(part(b"form-data; name=a", b"", b"content-disposition: form-data; name=b") + END, 400, "twice")

    def test_no_disposition(self) -> None:
        self.refused(b"--xYz\r\n\r\ndata\r\n" + END, 400, "not form-data")
        self.refused(b"--xYz\r\nContent-Type: text/plain\r\n\r\ndata\r\n" + END, 400, "not form-data")
        self.refused(part(b"attachment; name=a", b"") + END, 400, "not form-data")

    def test_no_name(self) -> None:
        for disposition in (b"form-data", b"form-data; filename=a", b"form-data;"):
            self.refused(part(disposition, b"") + END, 400, "no name")

    def test_nested(self) -> None:
        for disposition in (b"form-data; name=a", b"form-data; name=a; filename=b"):
            body = part(disposition, b"--in--", b"Content-Type: Multipart/Mixed; boundary=in") + END
            self.refused(body, 400, "'a'", "multipart")
        self.refused(part(b"form-data; name=a", b"", b"Content-Type: multipart/related") + END, 400, "multipart")

    def test_transfer_encoding(self) -> None:
        self.refused(part(b"form-data; name=a", b"MQ==", b"Content-Transfer-Encoding: base64") + END, 400, "base64")

    def test_too_many_parts(self) -> None:
        body = field(b"a", b"") * 10
        decode([body + END], max_parts=10)
        self.refused(body + field(b"a", b"") + END, 413, "more than 10 parts", max_parts=10)

    def test_ten_thousand_parts(self) -> None:
        error = self.assertRaises(PeerError, decode, [field(b"a", b"") * 10_000 + END])
        self.assertEqual((error.status, str(error)), (413, "the form has more than 1,000 parts"))

    def test_large_head(self) -> None:
        disposition = b"form-data; name="
        most = 500 - len(b"Content-Disposition: " + disposition)
        body = part(disposition + b"n" * most, b"") + END
        for pieces in ([body], single_bytes(body)):
            events = decode(pieces, max_part_head_size=500)
            self.assertEqual(events[0], PartHead("n" * most, None, "", "text/plain"))
        for excess in (1, 2, 3, 4, 5, 1000):
            body = part(disposition + b"n" * (most + excess), b"") + END
            self.refused(body, 413, "larger than 500 bytes", max_part_head_size=500)

    def test_endless_head(self) -> None:
        self.refused(b"--xYz\r\n" + b"x" * 600, 413, "larger than 500 bytes", max_part_head_size=500)

    def test_too_many_fields(self) -> None:
        body = part(b"form-data; name=a", b"", *(b"X-%d: y" % number for number in range(31))) + END
        decode([body])
        body = part(b"form-data; name=a", b"", *(b"X-%d: y" % number for number in range(32))) + END
        self.refused(body, 413, "more than 32 fields")


class BoundaryTests(SynchronousTestCase):
    """``parse_boundary`` (RFC 2046 section 5.1.1)"""

    def test_found(self) -> None:
        for value, expected in (
            ("multipart/form-data; boundary=----WebKitFormBoundaryAbc123", b"----WebKitFormBoundaryAbc123"),
            ('Multipart/Form-Data;charset=utf-8;Boundary="a b:c=d/e?f(g),h"', b"a b:c=d/e?f(g),h"),
            ("multipart/form-data; boundary===1==", b"==1=="),
            ("multipart/form-data; boundary=" + 70 * "x", 70 * b"x"),
        ):
            self.assertEqual(parse_boundary(value), expected)

    def test_missing(self) -> None:
        for value in ("multipart/form-data", "multipart/form-data;", "multipart/form-data; charset=x", ""):
            self.assertEqual(self.assertRaises(PeerError, parse_boundary, value).status, 400)

    def test_illegal(self) -> None:
        for boundary in (
            "",
            '""',
            '"a "',
            71 * "x",
            "a@b",
            '"a\r\nb"',
            "\u00fc",
            "\uff11",
            "a\\b",
            '"x',
            "a; boundary=b",
        ):
            error = self.assertRaises(PeerError, parse_boundary, "multipart/form-data; boundary=" + boundary)
            self.assertEqual(error.status, 400, boundary)


class ParameterTests(SynchronousTestCase):
    """``parse_parameters`` and ``media_type``, for other field values than those of parts"""

    def test_value_without_parameters(self) -> None:
        self.assertEqual(parse_parameters(" Text/HTML "), ("text/html", {}))
        self.assertEqual(parse_parameters(""), ("", {}))

    def test_empty_parameters(self) -> None:
        self.assertEqual(parse_parameters("a;; ; b=c ;"), ("a", {"b": "c"}))

    def test_media_type(self) -> None:
        for value, expected in (
            ("Text/HTML; charset=utf-8", "text/html"),
            ("image/svg+xml", "image/svg+xml"),
            ("image", ""),
            ("a/b/c", ""),
            ("a b/c", ""),
            ("", ""),
        ):
            self.assertEqual(media_type(value), expected)

    def test_form_text_without_the_parameter(self) -> None:
        self.assertIsNone(form_text({"other": "x"}, "name"))

    def test_unescape(self) -> None:
        self.assertEqual(unescape(b"%41%42c%43%4"), b"ABcC%4")

    def test_hostile_values_take_no_time(self) -> None:
        """What takes quadratic or exponential time here would take minutes or for ever."""
        started = time.perf_counter()
        for value in (
            'a; b="' + "\\" * 100_001,
            'a; b="' + "\\x" * 50_000,
            "a" + "; " * 50_000,
            "a;" + " " * 100_000 + "=",
            'a; b="' + 'c\\"' * 30_000 + '" d',
            "a; b*=" + "%41" * 30_000 + "%",
        ):
            try:
                form_text(parse_parameters(value)[1], "b")
            except PeerError:
                pass
        self.assertLess(time.perf_counter() - started, 5)


class SizeTests(SynchronousTestCase):
    """Large files."""

    def test_memory_stays_flat(self) -> None:
        piece = bytes(range(256)) * 256
        decoder = MultipartDecoder(b"-" * 60 + b"1")
        decoder.feed(b"--" + b"-" * 60 + b"1\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        size = 0
        for _ in range(320):  # 20 MB
            for event in decoder.feed(piece):
                assert isinstance(event, PartData)
                size += len(event.data)
        self.assertEqual(size, 320 * len(piece))
        self.assertLess(tracemalloc.get_traced_memory()[1], 300_000)

    def test_large_slices(self) -> None:
        """Data is not cut where it need not be; a line break at the end waits for what follows."""
        decoder = MultipartDecoder(BOUNDARY)
        decoder.feed(b"--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n")
        lines = b"line\r\n--x\r\n" * 1000
        self.assertEqual(decoder.feed(lines), [PartData(lines[:-2])])
        self.assertEqual(decoder.feed(b"x" * 1000), [PartData(b"\r\n" + b"x" * 1000)])


LUMPS = (
    b"\r\n",
    b"\r",
    b"\n",
    b"--",
    b"-",
    b"--xYz",
    b"xYz",
    b"\r\n--xYz\r\n",
    b"\r\n--xYz--",
    b"Content-Disposition: form-data; name=a",
    b'Content-Disposition: form-data; name="b"; filename="c"',
    b"Content-Type: text/plain",
    b"\r\n\r\n",
    b'"',
    b"\\",
    b";",
    b" ",
    b"\0",
    b"\xff",
    b"x" * 50,
)
any_body = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(LUMPS), st.binary(max_size=3)), max_size=30).map(b"".join),
    st.lists(
        st.tuples(st.sampled_from((b"a", b"b%22", b"c\\")), st.lists(st.sampled_from(LUMPS), max_size=5)), max_size=5
    ).map(lambda parts: b"".join(field(name, b"".join(data)) for name, data in parts) + END),
)
LIMITS = {"max_parts": 5, "max_part_head_size": 120}


class SplitTests(SynchronousTestCase):
    """The same bytes mean the same however they are cut, and nothing but ``PeerError`` comes of any."""

    @examples(200)
    @given(any_body)
    def test_single_bytes(self, data: bytes) -> None:
        self.assertEqual(outcome(single_bytes(data), **LIMITS), outcome([data], **LIMITS))

    @examples(200)
    @given(any_body, st.lists(st.integers(0, 600), max_size=6))
    def test_any_split(self, data: bytes, places: list[int]) -> None:
        cuts = [0, *sorted(place for place in places if place < len(data)), len(data)]
        pieces = [data[start:end] for start, end in itertools.pairwise(cuts)]
        self.assertEqual(outcome(pieces, **LIMITS), outcome([data], **LIMITS))

    @examples(200)
    @given(st.text(max_size=60))
    def test_any_parameters(self, value: str) -> None:
        for text in (value, "a; name=" + value, 'a; name="' + value, "a; name*=utf-8''" + value):
            try:
                form_text(parse_parameters(text)[1], "name")
                parse_boundary(text)
            except PeerError as error:
                self.assertEqual(error.status, 400)


def browser_quoted(name: str) -> bytes:
    """Write a name as the HTML standard says."""
    return b'"' + name.encode().replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22") + b'"'


def mime_quoted(name: str) -> bytes:
    """Write a name as RFC 2045 says."""
    return b'"' + name.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


some_name = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12).filter(
    lambda name: not any(escape in name for escape in ("%22", "%0D", "%0A"))
)
browser_name = some_name.filter(lambda name: "\\" not in name)
some_part = st.tuples(some_name, st.none() | some_name, st.binary(max_size=60))


class RoundTripTests(SynchronousTestCase):
    """What a client encodes arrives as it was."""

    def check(self, parts: list[tuple[str, str | None, bytes]], quote: Callable[[str], bytes]) -> None:
        body = b""
        for name, filename, data in parts:
            disposition = b"form-data; name=" + quote(name)
            if filename is not None:
                disposition += b"; filename=" + quote(filename)
            body += part(disposition, data)
        self.assertEqual(contents(body + END), parts)

    @examples(100)
    @given(st.lists(some_part, max_size=4))
    def test_mime(self, parts: list[tuple[str, str | None, bytes]]) -> None:
        self.check(parts, mime_quoted)

    @examples(100)
    @given(st.lists(st.tuples(browser_name, st.none() | browser_name, st.binary(max_size=60)), max_size=4))
    def test_browser(self, parts: list[tuple[str, str | None, bytes]]) -> None:
        self.check(parts, browser_quoted)
