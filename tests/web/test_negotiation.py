"""Content codings that a client wants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.web import negotiation
from skitai.web.caches import CACHE_ENTRIES
from skitai.web.negotiation import CODINGS, preferred_codings


class PreferredCodingsTests(SynchronousTestCase):
    """``preferred_codings``"""

    def expect(self, value: bytes, *codings: bytes) -> None:
        self.assertEqual(preferred_codings(value), codings, value)

    def test_plain_lists(self) -> None:
        self.expect(b"gzip", b"gzip")
        self.expect(b"br", b"br")
        self.expect(b"deflate, zstd")
        self.expect(b"")

    def test_better_coding_wins_between_equal_weights(self) -> None:
        self.expect(b"gzip, deflate, br", b"br", b"gzip")
        self.expect(b"gzip;q=0.5, br;q=0.5, identity;q=0.1", b"br", b"gzip")

    def test_weights_order(self) -> None:
        self.expect(b"br;q=0.2, gzip;q=0.8, identity;q=0.1", b"gzip", b"br")

    def test_weight_zero_is_a_refusal(self) -> None:
        self.expect(b"gzip;q=0, br;q=0.000")
        self.expect(b"*, gzip;q=0", b"br")

    def test_asterisk(self) -> None:
        self.expect(b"*", b"br", b"gzip")
        self.expect(b"*;q=0")
        self.expect(b"*;q=0, gzip", b"gzip")

    def test_coding_less_wanted_than_none(self) -> None:
        self.expect(b"identity, gzip;q=0.5")
        self.expect(b"identity;q=0.5, gzip;q=0.5", b"gzip")

    def test_case_white_space_and_old_names(self) -> None:
        self.expect(b" GZip ;Q=1.0 ,\tBR\t;\tq=0.9", b"gzip", b"br")
        self.expect(b"x-gzip", b"gzip")

    def test_broken_weight_is_no_consent(self) -> None:
        for weight in (b"q=2", b"q=-1", b"q=", b"q=0.1234", b"q=nan", b"q=1e-1", b"level=9", b""):
            self.expect(b"gzip;" + weight)

    def test_memory_is_bounded(self) -> None:
        for number in range(CACHE_ENTRIES + 10):
            preferred_codings(b"gzip, x%d" % number)
        preferred_codings(b"br," + b" " * 10000)
        self.assertLessEqual(len(negotiation._cache), CACHE_ENTRIES)
        self.assertLess(max(map(len, negotiation._cache)), 1000)

    @given(st.binary(max_size=60) | st.text("gzipbr;q=01.*, x", max_size=40).map(str.encode))
    def test_any_bytes(self, value: bytes) -> None:
        found = preferred_codings(value)
        self.assertLessEqual(set(found), set(CODINGS))
        self.assertEqual(len(found), len(set(found)))
