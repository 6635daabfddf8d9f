"""Sealed text: only the key, purpose and name it was sealed with open it."""

from __future__ import annotations

import base64
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.sealed import capacity, dumps, loads, make_seal

SEAL = make_seal("a long secret")
TEXT = SEAL.close("session", "SESS_1234", b"some data")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class SealTests(SynchronousTestCase):
    """``Seal``"""

    def test_opens_what_it_closed(self) -> None:
        self.assertEqual(SEAL.open("session", "SESS_1234", TEXT), b"some data")
        self.assertEqual(SEAL.open("p", "n", SEAL.close("p", "n", b"")), b"")

    def test_never_the_same_twice(self) -> None:
        self.assertNotEqual(SEAL.close("session", "SESS_1234", b"some data"), TEXT)

    def test_fits_into_a_cookie_as_it_is(self) -> None:
        self.assertRegex(SEAL.close("p", "n", bytes(range(256))), r"\A[0-9A-Za-z_-]+\Z")

    def test_another_key(self) -> None:
        self.assertIsNone(make_seal("a long secret ").open("session", "SESS_1234", TEXT))

    def test_another_purpose_or_name(self) -> None:
        self.assertIsNone(SEAL.open("mbox", "SESS_1234", TEXT))
        self.assertIsNone(SEAL.open("session", "SESS_1235", TEXT))
        self.assertIsNone(SEAL.open("session\0SESS_1234", "", TEXT))

    def test_any_changed_bit(self) -> None:
        whole = bytearray(base64.urlsafe_b64decode(TEXT + "=" * (-len(TEXT) % 4)))
        for at in range(len(whole)):
            whole[at] ^= 1
            self.assertIsNone(SEAL.open("session", "SESS_1234", base64.urlsafe_b64encode(whole).decode()), at)
            whole[at] ^= 1

    def test_any_cut(self) -> None:
        for length in range(len(TEXT)):
            self.assertIsNone(SEAL.open("session", "SESS_1234", TEXT[:length]), length)
            self.assertIsNone(SEAL.open("session", "SESS_1234", TEXT[length + 1 :]), length)

    def test_too_long(self) -> None:
        text = SEAL.close("p", "n", b"x" * 10_000)
        self.assertIsNone(SEAL.open("p", "n", text))

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(
        st.text(max_size=80) | st.binary(max_size=80).map(lambda data: base64.urlsafe_b64encode(b"\1" + data).decode())
    )
    def test_anything_else(self, text: str) -> None:
        self.assertIsNone(SEAL.open("session", "SESS_1234", text))

    def test_fingerprint(self) -> None:
        self.assertRegex(SEAL.fingerprint, r"\A[0-9a-f]{4}\Z")
        self.assertEqual(make_seal("a long secret").fingerprint, SEAL.fingerprint)
        self.assertEqual(len({make_seal(f"key {number}").fingerprint for number in range(20)}), 20)

    def test_stays_readable(self) -> None:
        """A new version of the program must open what an old one closed: sessions live through an upgrade."""
        self.assertEqual(SEAL.fingerprint, "89f5")
        self.assertEqual(SEAL.open("session", "S", "AUSM3Dmp21OvIvezstFOVPCJ1VAuPzoq9njeu3c5Xy16"), b"data")

    def test_keys_are_derived_once(self) -> None:
        self.assertIs(make_seal("a long secret"), SEAL)

    def test_cached_keys_are_bounded(self) -> None:
        maximum = make_seal.cache_info().maxsize
        self.assertIsNotNone(maximum)

    def test_capacity(self) -> None:
        for size in range(100, 110):
            room = capacity(size)
            self.assertLessEqual(len(SEAL.close("p", "n", b"x" * room)), size)
            self.assertGreater(len(SEAL.close("p", "n", b"x" * (room + 1))), size)


class JsonTests(SynchronousTestCase):
    """``dumps`` and ``loads``"""

    @settings(max_examples=150, derandomize=True, deadline=None)
    @given(JSON)
    def test_round_trip(self, value: Any) -> None:
        back = loads(dumps(value))
        self.assertEqual((back, repr(back)), (value, repr(value)))

    def test_special_numbers(self) -> None:
        self.assertTrue(math.isnan(loads(dumps(math.nan))))
        self.assertEqual(loads(dumps(-math.inf)), -math.inf)

    def test_half_of_a_surrogate_pair(self) -> None:
        self.assertEqual(loads(dumps("\ud800")), "\ud800")

    def test_compact(self) -> None:
        self.assertEqual(dumps({"a": [1, "é"]}), '{"a":[1,"é"]}'.encode())

    def test_tuples_come_back_as_lists(self) -> None:
        self.assertEqual(loads(dumps((1, (2,)))), [1, [2]])

    def test_what_json_has_not(self) -> None:
        circle: list[Any] = []
        circle.append(circle)
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for value in (b"x", {1, 2}, object(), {"a": [b"x"]}, circle, deep, 10**5000):
            with self.assertRaises(TypeError):
                dumps(value)

    def test_keys_that_would_become_text(self) -> None:
        for value in ({1: 2}, [{"a": {None: 1}}]):
            with self.assertRaisesRegex(TypeError, "the key (1|None) of a dictionary is no text"):
                dumps(value)

    def test_no_json(self) -> None:
        for data in (b"", b"{", b"\xff", b"[" * 100_000, b"1 2"):
            self.assertIsNone(loads(data), data[:10])
