"""Values written as XML-RPC, read back by the standard library's reader and by ours."""

from __future__ import annotations

import enum
import xmlrpc.client
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from twisted.trial.unittest import SynchronousTestCase

from skitai.attributes import AttributeDictionary
from skitai.formats import fromxml
from skitai.xmlwriter import MAX_DEPTH, dump_value, without_bad_characters

TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r<&>")
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.binary(max_size=100)
    | st.datetimes().map(lambda moment: moment.replace(microsecond=0))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
Pair = namedtuple("Pair", "left right")


class Color(enum.IntEnum):
    RED = 7


def back(value: Any) -> Any:
    """Return a value as the standard library reads what was written."""
    document = f"<params><param>{dump_value(value)}</param></params>"
    return xmlrpc.client.loads(document, use_builtin_types=True)[0][0]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class WriterTests(SynchronousTestCase):
    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(VALUES)
    def test_everyone_reads_what_was_written(self, value: Any) -> None:
        document = f"<params><param>{dump_value(value)}</param></params>"
        self.assertEqual(fromxml(document, usedatetime=1), value)
        self.assertEqual(back(value), value)

    def test_types_survive(self) -> None:
        for value in (True, 1, 1.0, "1", b"1", None):
            self.assertIs(type(back(value)), type(value))

    def test_numbers_beyond_32_bits_are_i8(self) -> None:
        self.assertEqual(dump_value(2**31 - 1), "<value><int>2147483647</int></value>")
        self.assertEqual(dump_value(-(2**31)), "<value><int>-2147483648</int></value>")
        self.assertEqual(dump_value(2**31), "<value><i8>2147483648</i8></value>")
        self.assertEqual(dump_value(-(2**31) - 1), "<value><i8>-2147483649</i8></value>")

    def test_numbers_beyond_64_bits_are_refused(self) -> None:
        self.assertEqual(back(2**63 - 1), 2**63 - 1)
        self.assertEqual(back(-(2**63)), -(2**63))
        for value in (2**63, -(2**63) - 1, 10**5000):
            self.assertIn("64 bits", str(self.assertRaises(ValueError, dump_value, value)))

    def test_what_is_no_number_is_refused(self) -> None:
        for value in (float("nan"), float("inf"), float("-inf")):
            self.assertRaises(ValueError, dump_value, [value])

    def test_characters_that_xml_can_not_hold_are_refused(self) -> None:
        for text in ("\0", "a\x08", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"):
            error = self.assertRaises(ValueError, dump_value, text)
            self.assertIn(f"U+{ord(text[-1]):04X}", str(error))
            self.assertRaises(ValueError, dump_value, {text: 1})
            self.assertEqual(without_bad_characters(text)[-1], "\ufffd")

    def test_markup_is_escaped_as_any_text(self) -> None:
        self.assertEqual(dump_value(Markup("<b>&amp;</b>")), dump_value("<b>&amp;</b>"))
        self.assertEqual(back({Markup("<k>"): Markup("]]>")}), {"<k>": "]]>"})

    def test_a_carriage_return_stays_one(self) -> None:
        self.assertEqual(back("a\r\nb\rc"), "a\r\nb\rc")

    def test_subclasses_are_their_bases(self) -> None:
        self.assertEqual(back(Color.RED), 7)
        self.assertEqual(back(Pair(1, 2)), [1, 2])
        self.assertEqual(back(AttributeDictionary(a=AttributeDictionary(b=None))), {"a": {"b": None}})

    def test_bytes_of_any_kind(self) -> None:
        for value in (b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff"), xmlrpc.client.Binary(b"\0\xff")):
            self.assertEqual(back(value), b"\0\xff")

    def test_dates(self) -> None:
        self.assertEqual(back(datetime(1, 2, 3, 4, 5, 6, 700000)), datetime(1, 2, 3, 4, 5, 6))
        self.assertEqual(back(date(2024, 2, 29)), datetime(2024, 2, 29))
        self.assertEqual(back(xmlrpc.client.DateTime("20240229T01:02:03")), datetime(2024, 2, 29, 1, 2, 3))

    def test_a_date_with_a_zone_is_written_in_utc(self) -> None:
        seoul = timezone(timedelta(hours=9))
        self.assertEqual(back(datetime(2024, 3, 1, 8, 0, tzinfo=seoul)), datetime(2024, 2, 29, 23, 0))
        self.assertRaises(ValueError, dump_value, datetime(1, 1, 1, tzinfo=seoul))

    def test_the_rest_are_texts_and_arrays(self) -> None:
        self.assertEqual(back(Decimal("1.10")), "1.10")
        self.assertEqual(back(UUID(int=1)), str(UUID(int=1)))
        self.assertEqual(back(time(1, 2)), "01:02:00")
        self.assertEqual(back({"b", "a"}), ["a", "b"])
        self.assertEqual(back(frozenset((1,))), [1])

    def test_keys_must_be_texts(self) -> None:
        error = self.assertRaises(TypeError, dump_value, {1: 2})
        self.assertIn("must be a text, not int", str(error))

    def test_objects_do_not_show_their_attributes(self) -> None:
        class User:
            def __init__(self) -> None:
                self.password = "secret"

        self.assertIn("User has no form in XML-RPC", str(self.assertRaises(TypeError, dump_value, User())))

    def test_depth_has_a_bound(self) -> None:
        self.assertEqual(back(nested(MAX_DEPTH)), nested(MAX_DEPTH))
        self.assertRaises(ValueError, dump_value, nested(MAX_DEPTH + 1))
        self.assertRaises(ValueError, dump_value, nested(MAX_DEPTH), depth=1)
        self.assertRaises(ValueError, dump_value, nested(500_000 // 100))

    def test_a_value_that_holds_itself_is_refused(self) -> None:
        array: list[Any] = []
        array.append({"again": array})
        self.assertIn("holds itself", str(self.assertRaises(ValueError, dump_value, array)))
