"""Content codings: what they decode to, however it is cut, and what is refused."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import brotli  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer
from skitai.was import content
from skitai.was.content import decoder_for

TEXT = b"".join(b"line %d of a text\n" % number for number in range(300))
NOISE = random.Random(4).randbytes(3000)
MEGABYTE = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    """Return a bare stream of RFC 1951."""
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


CODED = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"GZip": gzip.compress,
    b"deflate": zlib.compress,
    b"deflate, identity": raw_deflate,
    b"br": brotli.compress,
}


def decode(coding: bytes, data: bytes, piece_size: int = 0, max_size: int = MEGABYTE) -> bytes:
    """Decode ``data`` in pieces."""
    decoder = decoder_for(coding, max_size)
    assert decoder is not None
    piece_size = piece_size or max(1, len(data))
    decoded = [decoder.feed(data[at : at + piece_size]) for at in range(0, len(data), piece_size)]
    return b"".join(decoded) + decoder.finish()


class ContentTestCase(SynchronousTestCase):
    """Checks in pieces of several sizes."""

    def good(self, coding: bytes, data: bytes, expected: bytes) -> None:
        for piece_size in (0, 1, 2, 7, 100):
            self.assertEqual(decode(coding, data, piece_size), expected, (coding, piece_size))

    def bad(self, coding: bytes, data: bytes, word: str, max_size: int = MEGABYTE) -> None:
        for piece_size in (0, 1, 7, 100):
            error = self.assertRaises(BadAnswer, decode, coding, data, piece_size, max_size)
            self.assertIn(word, str(error))
            self.assertEqual((error.code, error.sent, error.answered), (705, True, True))


class GoodTests(ContentTestCase):
    """Bodies as they should be."""

    def test_each_coding(self) -> None:
        for coding, encode in CODED.items():
            for body in (b"", b"x", TEXT, NOISE):
                self.good(coding, encode(body), body)

    def test_several_in_turn(self) -> None:
        self.good(b"gzip, br", brotli.compress(gzip.compress(TEXT)), TEXT)
        self.good(b"deflate,identity, gzip ,", gzip.compress(zlib.compress(TEXT)), TEXT)
        self.good(b"br, br, br, br, br", self.five_times(), b"x")

    def five_times(self) -> bytes:
        data = b"x"
        for _ in range(5):
            data = brotli.compress(data)
        return data

    def test_nothing_to_decode(self) -> None:
        for coding in (b"", b"identity", b" , ", b"Identity, identity"):
            self.assertIsNone(decoder_for(coding, 10))

    def test_what_is_not_known_is_left_to_the_application(self) -> None:
        for coding in (b"zstd", b"gzip, zstd", b"utf-8", b"\xff"):
            self.assertIsNone(decoder_for(coding, 10))

    def test_no_body_at_all(self) -> None:
        for coding in CODED:
            self.assertEqual(decode(coding, b""), b"")
        self.assertEqual(decode(b"gzip, br", b""), b"")

    def test_members(self) -> None:
        """RFC 1952 section 2.2: a gzip file is a series of members."""
        self.good(b"gzip", gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(TEXT), b"a" + TEXT)

    def test_what_follows_is_ignored(self) -> None:
        for behind in (b"\0", b"\0" * 600, b"\n", b"\x1f", b"\x1fx", b"x\x1f\x8b"):
            self.good(b"gzip", gzip.compress(TEXT) + behind, TEXT)
            self.good(b"deflate", zlib.compress(TEXT) + behind, TEXT)
            self.good(b"deflate", raw_deflate(TEXT) + behind, TEXT)

    def test_exactly_the_limit(self) -> None:
        for coding, encode in CODED.items():
            self.assertEqual(decode(coding, encode(TEXT), 0, len(TEXT)), TEXT)
            self.assertEqual(decode(coding, encode(TEXT), 1, len(TEXT)), TEXT)

    def test_bare_streams_that_look_like_the_other_format(self) -> None:
        """Two bytes that are a multiple of 31 are not enough of a sign."""
        bodies = [b"%d" % number * 9 for number in range(300)]
        alike = [body for body in bodies if int.from_bytes(raw_deflate(body)[:2], "big") % 31 == 0]
        self.assertGreater(len(alike), 1)
        for body in alike:
            self.good(b"deflate", raw_deflate(body), body)

    def test_what_has_arrived_can_be_used(self) -> None:
        """A stream that its sender flushes is not held back."""
        coder = zlib.compressobj(wbits=31)
        decoder = decoder_for(b"gzip", 1000)
        assert decoder is not None
        self.assertEqual(decoder.feed(coder.compress(b"now") + coder.flush(zlib.Z_SYNC_FLUSH)), b"now")


class BadTests(ContentTestCase):
    """What is refused."""

    def test_garbage(self) -> None:
        for coding in (b"gzip", b"deflate", b"br", b"gzip, gzip"):
            self.bad(coding, b"\xff<html>this is not coded at all</html>", "no ")

    def test_one_coding_in_place_of_another(self) -> None:
        self.bad(b"gzip", zlib.compress(TEXT), "no gzip data")
        self.bad(b"deflate", gzip.compress(TEXT), "no deflate data")

    def test_cut(self) -> None:
        for coding, encode in CODED.items():
            data = encode(TEXT)
            for size in (1, 2, len(data) // 2, len(data) - 1):
                self.bad(coding, data[:size], "cut")

    def test_cut_in_a_later_member(self) -> None:
        self.bad(b"gzip", gzip.compress(TEXT) + gzip.compress(TEXT)[:-3], "cut")
        self.bad(b"gzip", gzip.compress(TEXT) + b"\x1f\x8b", "cut")

    def test_cut_within_another(self) -> None:
        self.bad(b"gzip, br", brotli.compress(gzip.compress(TEXT)[:-1]), "gzip data of the answer are cut")
        self.bad(b"gzip, br", brotli.compress(gzip.compress(TEXT))[:-1], "cut")

    def test_a_false_checksum(self) -> None:
        data = bytearray(gzip.compress(TEXT))
        data[-5] ^= 1
        self.bad(b"gzip", bytes(data), "no gzip data")

    def test_something_behind_br(self) -> None:
        self.bad(b"br", brotli.compress(TEXT) + b"x", "no br data")

    def test_too_large(self) -> None:
        for coding, encode in CODED.items():
            self.bad(coding, encode(TEXT), f"{len(TEXT) - 1:,} bytes", len(TEXT) - 1)
            self.bad(coding, encode(b"x"), "0 bytes", 0)

    def test_too_large_in_many_members(self) -> None:
        self.bad(b"gzip", gzip.compress(TEXT) * 4, "larger", 3 * len(TEXT))

    def test_too_many_members(self) -> None:
        """Tiny ones cost time, whatever comes out of them."""
        self.patch(content, "_MAX_MEMBERS", 3)
        self.assertEqual(decode(b"gzip", gzip.compress(b"a") * 3), b"aaa")
        self.bad(b"gzip", gzip.compress(b"a") * 4, "more than 3 gzip members", max_size=3 * 32768)
        self.assertEqual(decode(b"gzip", gzip.compress(b"a") * 4, max_size=4 * 32768), b"aaaa")

    def test_too_much_behind(self) -> None:
        self.patch(content, "_MAX_IGNORED", 5)
        for coding in (b"gzip", b"deflate"):
            data = CODED[coding](TEXT)
            self.assertEqual(decode(coding, data + bytes(5), 1), TEXT)
            self.assertEqual(decode(coding, data + bytes(5)), TEXT)
        for piece_size in (0, 1, 7):
            error = self.assertRaises(BadAnswer, decode, b"gzip", gzip.compress(TEXT) + bytes(6), piece_size)
            self.assertIn("more than 5 bytes follow the gzip data", str(error))
        # What comes in one piece with the end of deflate is dropped with it.
        error = self.assertRaises(BadAnswer, decode, b"deflate", zlib.compress(TEXT) + bytes(6), 1)
        self.assertIn("more than 5 bytes follow the deflate data", str(error))

    def test_too_many_codings(self) -> None:
        self.assertRaises(BadAnswer, decoder_for, b", ".join([b"gzip"] * 6), 10)


class BombTests(ContentTestCase):
    """Small bodies that would be very large."""

    def bomb(self, coding: bytes) -> bytes:
        """Return 64 MiB of zeros, coded."""
        if coding == b"br":
            return bytes(brotli.compress(bytes(64 * MEGABYTE), quality=4))
        coder = zlib.compressobj(level=9, wbits=31 if coding == b"gzip" else 15)
        return b"".join([coder.compress(bytes(MEGABYTE)) for _ in range(64)]) + coder.flush()

    def test_bombs_end_at_the_limit_and_take_no_more_memory(self) -> None:
        for coding in (b"gzip", b"deflate", b"br"):
            bomb = self.bomb(coding)
            self.assertGreater(64 * MEGABYTE, 900 * len(bomb), "no bomb")
            for data in (bomb, bomb[: 60 * 1024]):
                tracemalloc.start()
                self.addCleanup(tracemalloc.stop)
                error = self.assertRaises(BadAnswer, decode, coding, data, 0, MEGABYTE)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                self.assertIn("1,048,576", str(error))
                self.assertLess(peak, 5 * MEGABYTE, coding)

    def test_a_bomb_in_a_bomb(self) -> None:
        inner = gzip.compress(gzip.compress(bytes(8 * MEGABYTE)))
        self.assertRaises(BadAnswer, decode, b"gzip, gzip", inner, 0, MEGABYTE)


class AnythingTests(SynchronousTestCase):
    """Whatever comes."""

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(
        st.sampled_from([b"gzip", b"deflate", b"br", b"gzip, deflate"]),
        st.sampled_from([b"", *(encode(TEXT) for encode in CODED.values()), gzip.compress(b"a") * 3]),
        st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3),
        st.integers(1, 60),
    )
    def test_decodes_or_refuses_alike_however_it_is_cut(
        self, coding: bytes, data: bytes, changes: list[tuple[int, bytes]], piece_size: int
    ) -> None:
        for at, new in changes:
            data = data[:at] + new + data[at + 1 :]
        outcomes = []
        for size in (0, piece_size):
            try:
                outcomes.append(decode(coding, data, size, 2 * len(TEXT)))
            except BadAnswer:
                outcomes.append(None)  # type: ignore[arg-type]
        self.assertEqual(outcomes[0], outcomes[1])
