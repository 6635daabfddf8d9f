"""Whether a response is compressed, what that does to its head, and that streams stay streams."""

from __future__ import annotations

import gzip
import zlib

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.caches import CACHE_ENTRIES
from skitai.web.compression import Compressor, compress, compressible, negotiate, prepare, vary
from skitai.web.events import HeaderList, Response
from tests.web.exchanges import make_request


class NegotiationTests(SynchronousTestCase):
    def accepts(self, *values: bytes) -> bool:
        return negotiate(make_request([(b"accept-encoding", value) for value in values]))

    def test_accepted(self) -> None:
        for value in (
            b"gzip",
            b"GZIP",
            b"x-gzip",
            b"deflate, gzip;q=0.5, br",
            b"gzip ; q=1.000",
            b"*",
            b"*;q=0.1",
            b"gzip;q=0.5, identity;q=0.5",
            b"gzip;q=0.001, identity;q=0",
            b"identity;q=0, *",
            b"gzip, *;q=0",
        ):
            with self.subTest(value):
                self.assertTrue(self.accepts(value))

    def test_declined(self) -> None:
        for value in (
            b"",
            b"br",
            b"identity",
            b"identity;q=0",
            b"gzip;q=0",
            b"gzip;q=0.000, *",
            b"*;q=0",
            b"gzip;q=0.4, identity;q=0.5",
            b"gzip;q=0.4, *",
            b"gzip;q=x",
            b"gzip;q=2",
            b"gzip;level=9",
            b"gzipped",
        ):
            with self.subTest(value):
                self.assertFalse(self.accepts(value))

    def test_no_field(self) -> None:
        self.assertFalse(negotiate(make_request()))

    def test_several_fields(self) -> None:
        self.assertTrue(self.accepts(b"br", b"gzip"))
        self.assertFalse(self.accepts(b"gzip;q=0", b"br"))


class CompressibleTests(SynchronousTestCase):
    def test_types(self) -> None:
        for value in (
            b"text/html; charset=utf-8",
            b"TEXT/plain",
            b"application/json",
            b"application/problem+json",
            b"application/xml;charset=x",
            b"application/rss+xml",
            b"image/svg+xml",
            b"application/javascript",
            b"text/javascript",
            b"application/wasm",
        ):
            with self.subTest(value):
                self.assertTrue(compressible(value))

    def test_other_types(self) -> None:
        for value in (
            b"",
            b"image/png",
            b"application/zip",
            b"video/mp4",
            b"application/grpc+json",
            b"textual/x",
            b"json",
        ):
            with self.subTest(value):
                self.assertFalse(compressible(value))

    def test_many_types_are_not_remembered_for_ever(self) -> None:
        from skitai.web import compression

        for number in range(CACHE_ENTRIES + 10):
            compressible(b"text/x-%d" % number)
        self.assertLessEqual(len(compression._types), CACHE_ENTRIES)


class PrepareTests(SynchronousTestCase):
    def prepared(
        self, headers: HeaderList, status: int = 200, length: int | None = 5000, accept: bytes = b"gzip"
    ) -> bool:
        self.response = Response(status, [(b"content-type", b"text/plain"), *headers])
        return prepare(make_request([(b"accept-encoding", accept)]), self.response, length, 1024)

    def assert_untouched(self, headers: HeaderList, status: int = 200, length: int | None = 5000) -> None:
        self.assertFalse(self.prepared(headers, status, length))
        self.assertEqual(self.response.headers, [(b"content-type", b"text/plain"), *headers])

    def test_head_is_changed(self) -> None:
        self.assertTrue(self.prepared([(b"content-length", b"5000"), (b"etag", b'"a"'), (b"set-cookie", b"c")]))
        self.assertEqual(
            self.response.headers,
            [
                (b"content-type", b"text/plain"),
                (b"etag", b'W/"a"'),
                (b"set-cookie", b"c"),
                (b"vary", b"Accept-Encoding"),
                (b"content-encoding", b"gzip"),
            ],
        )

    def test_weak_etag_stays(self) -> None:
        self.assertTrue(self.prepared([(b"etag", b'W/"a"')]))
        self.assertIn((b"etag", b'W/"a"'), self.response.headers)

    def test_stream(self) -> None:
        self.assertTrue(self.prepared([], length=None))

    def test_size(self) -> None:
        self.assert_untouched([], length=1023)
        self.assertTrue(self.prepared([], length=1024))

    def test_vary_also_for_who_does_not_take_it(self) -> None:
        self.assertFalse(self.prepared([(b"etag", b'"a"'), (b"content-length", b"5000")], accept=b"br"))
        self.assertEqual(
            self.response.headers[1:], [(b"etag", b'"a"'), (b"content-length", b"5000"), (b"vary", b"Accept-Encoding")]
        )

    def test_untouched(self) -> None:
        for name, value in (
            (b"content-encoding", b"br"),
            (b"content-encoding", b"identity"),
            (b"content-range", b"bytes 0-1/2"),
            (b"cache-control", b"max-age=5, No-Transform"),
            (b"content-md5", b"x"),
            (b"repr-digest", b"x"),
        ):
            with self.subTest(name):
                self.assert_untouched([(name, value)])

    def test_statuses(self) -> None:
        for status in (101, 204, 205, 206, 304):
            with self.subTest(status):
                self.assert_untouched([], status)
        for status in (201, 404, 500):
            with self.subTest(status):
                self.assertTrue(self.prepared([], status))

    def test_types(self) -> None:
        for headers in ([], [(b"content-type", b"image/png")]):
            response = Response(200, headers)
            self.assertFalse(prepare(make_request([(b"accept-encoding", b"gzip")]), response, 5000, 0))
            self.assertNotIn(b"vary", dict(response.headers))

    def test_never_twice(self) -> None:
        self.assertTrue(self.prepared([]))
        before = list(self.response.headers)
        self.assertFalse(prepare(make_request([(b"accept-encoding", b"gzip")]), self.response, 5000, 1024))
        self.assertEqual(self.response.headers, before)


class VaryTests(SynchronousTestCase):
    def varied(self, *values: bytes) -> list[bytes]:
        headers = [(b"vary", value) for value in values]
        vary(headers)
        return [value for _, value in headers]

    def test_merged(self) -> None:
        self.assertEqual(self.varied(), [b"Accept-Encoding"])
        self.assertEqual(self.varied(b"Cookie"), [b"Cookie, Accept-Encoding"])
        self.assertEqual(self.varied(b"Cookie", b"Origin"), [b"Cookie", b"Origin, Accept-Encoding"])
        self.assertEqual(self.varied(b""), [b"Accept-Encoding"])
        self.assertEqual(self.varied(b"X-Accept-Encoding"), [b"X-Accept-Encoding, Accept-Encoding"])

    def test_there_already(self) -> None:
        for values in ((b"*",), (b"Cookie, ACCEPT-encoding",), (b"accept-encoding", b"Cookie")):
            with self.subTest(values):
                self.assertEqual(self.varied(*values), list(values))


class CompressTests(SynchronousTestCase):
    def test_whole(self) -> None:
        body = b"Hello, world. " * 100
        self.assertEqual(gzip.decompress(compress(body, 6)), body)
        self.assertLess(len(compress(body, 6)), 100)

    def test_deterministic(self) -> None:
        # The time in the header (RFC 1952 section 2.3) would make every answer another one.
        self.assertEqual(compress(b"x" * 2000, 6)[4:8], bytes(4))

    def test_each_piece_can_be_read_when_it_comes(self) -> None:
        compressor, reader = Compressor(6), zlib.decompressobj(31)
        for piece in (b"first ", b"second ", b"x" * 100_000):
            self.assertEqual(reader.decompress(compressor.compress(piece)), piece)
        self.assertEqual(compressor.compress(b""), b"")
        self.assertFalse(reader.eof)
        self.assertEqual(reader.decompress(compressor.finish()), b"")
        self.assertTrue(reader.eof)

    def test_empty_stream(self) -> None:
        self.assertEqual(gzip.decompress(Compressor(1).finish()), b"")
