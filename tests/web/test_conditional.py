"""Conditional requests."""

from __future__ import annotations

import calendar
import locale
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.web.conditional import (
    FIELDS,
    Fields,
    format_date,
    gather,
    names_tag,
    parse_date,
    precondition,
    range_applies,
)

MODIFIED = calendar.timegm((1994, 11, 6, 8, 49, 37))
NOW = calendar.timegm((2024, 2, 29, 12, 0, 0))
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = b"Sun, 06 Nov 1994 08:49:38 GMT"


class GatherTests(SynchronousTestCase):
    """``gather``"""

    def test_only_what_is_named(self) -> None:
        headers = [(b"host", b"a"), (b"range", b"bytes=0-1"), (b"if-match", b"*")]
        self.assertEqual(gather(headers, FIELDS), {b"range": b"bytes=0-1", b"if-match": b"*"})
        self.assertEqual(gather([(b"host", b"a")], FIELDS), {})

    def test_repeated_fields_are_one_list(self) -> None:
        headers = [(b"if-none-match", b'"a"'), (b"x", b"y"), (b"if-none-match", b'"b"')]
        self.assertEqual(gather(headers, FIELDS), {b"if-none-match": b'"a", "b"'})


class DateTests(SynchronousTestCase):
    """``format_date`` and ``parse_date`` (RFC 9110 section 5.6.7)"""

    def test_format(self) -> None:
        self.assertEqual(format_date(MODIFIED), DATE)
        self.assertEqual(format_date(MODIFIED + 0.99), DATE)
        self.assertEqual(format_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT")

    def test_format_at_the_limits(self) -> None:
        self.assertEqual(format_date(-5), b"Thu, 01 Jan 1970 00:00:00 GMT")
        self.assertEqual(format_date(10**15), b"Fri, 31 Dec 9999 23:59:59 GMT")

    def test_three_forms(self) -> None:
        for value in (DATE, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
            self.assertEqual(parse_date(value, NOW), MODIFIED, value)
        self.assertEqual(parse_date(b"Wed Nov 16 08:49:37 1994", NOW), MODIFIED + 10 * 86400)

    def test_two_digit_year_more_than_50_years_ahead_is_past(self) -> None:
        for digits, year in ((b"24", 2024), (b"74", 2074), (b"75", 1975), (b"99", 1999), (b"00", 2000)):
            expected = calendar.timegm((year, 1, 1, 0, 0, 0))
            self.assertEqual(parse_date(b"Monday, 01-Jan-" + digits + b" 00:00:00 GMT", NOW), expected, digits)

    def test_leap_second(self) -> None:
        self.assertEqual(parse_date(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW), calendar.timegm((2016, 12, 31, 23, 59, 59)))

    def test_no_dates(self) -> None:
        for value in (
            b"",
            b"0",
            b"-1",
            b"784111777",
            b"06 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 08:49:37",
            b"Sun, 06 Nov 1994 08:49:37 UTC",
            b"Sun, 06 Nov 1994 08:49:37 +0000",
            b"Sun, 6 Nov 1994 08:49:37 GMT",
            b"Sun, 31 Feb 1994 08:49:37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:49:37 GMT",
            b"Sun, 06 Nov 1994 08:60:37 GMT",
            b"Sun, 06 Nov 1994 08:49:61 GMT",
            b"Sun, 06 Nov 0000 08:49:37 GMT",
            b"Sun, 06 Xxx 1994 08:49:37 GMT",
            DATE + b", " + DATE,
            DATE + b"\n",
            b"Sun Nov 6 08:49:37 1994",
        ):
            self.assertIsNone(parse_date(value, NOW), value)

    def test_independent_of_the_locale(self) -> None:
        old = locale.setlocale(locale.LC_TIME)
        self.addCleanup(locale.setlocale, locale.LC_TIME, old)
        for name in locale.locale_alias:
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            break
        self.assertEqual(format_date(MODIFIED), DATE)

    @given(st.integers(0, 253402300799))
    def test_round_trip(self, seconds: int) -> None:
        self.assertEqual(parse_date(format_date(seconds), NOW), seconds)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, value: bytes) -> None:
        parse_date(value, NOW)


class NamesTagTests(SynchronousTestCase):
    """``names_tag`` (RFC 9110 section 8.8.3.2)"""

    def test_table_of_the_rfc(self) -> None:
        for first, second, strong, weak in (
            (b'W/"1"', b'W/"1"', False, True),
            (b'W/"1"', b'W/"2"', False, False),
            (b'W/"1"', b'"1"', False, True),
            (b'"1"', b'W/"1"', False, True),
            (b'"1"', b'"1"', True, True),
        ):
            self.assertEqual(names_tag(first, second), strong, (first, second))
            self.assertEqual(names_tag(first, second, weakly=True), weak, (first, second))

    def test_asterisk(self) -> None:
        self.assertTrue(names_tag(b"*", b'"a"'))
        self.assertFalse(names_tag(b'"*"', b'"a"'))

    def test_list(self) -> None:
        for value in (b'"x", "a"', b'"x","a","y"', b' "a" ', b'W/"x",\t"a"', b',, "a",'):
            self.assertTrue(names_tag(value, b'"a"'), value)
        self.assertFalse(names_tag(b'"x", "y"', b'"a"'))

    def test_comma_inside_a_tag(self) -> None:
        self.assertFalse(names_tag(b'"x,"a",y"', b'"a"'))
        self.assertTrue(names_tag(b'"x,y", "a"', b'"a"'))
        self.assertTrue(names_tag(b'"x,y"', b'"x,y"'))

    def test_malformed_lists_match_nothing(self) -> None:
        for value in (b"a", b'"x" "a"', b'x, "a"', b'w/"a"', b'"a', b'a"', b'"x\x01", "a"', b'*, "a"', b"\n", b'"x"\n'):
            self.assertFalse(names_tag(value, b'"a"'), value)

    def test_long_hostile_list(self) -> None:
        self.assertFalse(names_tag(b'W/"' * 20000, b'"a"'))
        self.assertFalse(names_tag(b'"x",' * 20000, b'"a"'))

    def test_blanks_cost_no_more_than_other_bytes(self) -> None:
        """Some 30 s where blanks are looked at again and again, a thousandth of one where they are not."""
        start = process_time()
        self.assertFalse(names_tag(b'"x",' + b" " * 60_000 + b"y", b'"a"'))
        self.assertFalse(names_tag(b'"x"' + b" " * 60_000 + b"y", b'"a"'))
        self.assertTrue(names_tag(b'"x" ,' + b" \t" * 30_000 + b'"a"', b'"a"'))
        self.assertLess(process_time() - start, 2.0)

    @given(st.lists(st.tuples(st.booleans(), st.text("abc!,/W", max_size=4).map(str.encode)), min_size=1, max_size=6))
    def test_finds_each_member(self, members: list[tuple[bool, bytes]]) -> None:
        value = b", ".join((b"W/" if weak else b"") + b'"' + opaque + b'"' for weak, opaque in members)
        for _, opaque in members:
            self.assertTrue(names_tag(value, b'"' + opaque + b'"', weakly=True))
            strong = any(other == opaque and not weak for weak, other in members)
            self.assertEqual(names_tag(value, b'"' + opaque + b'"'), strong)
        self.assertFalse(names_tag(value, b'"absent"', weakly=True))

    @given(st.binary(max_size=60))
    def test_any_bytes(self, value: bytes) -> None:
        names_tag(value, b'"a"', weakly=True)


class PreconditionTests(SynchronousTestCase):
    """``precondition`` (RFC 9110 sections 13.1 and 13.2)"""

    def evaluate(self, method: str = "GET", **fields: bytes) -> int:
        given_fields: Fields = {name.replace("_", "-").encode(): value for name, value in fields.items()}
        return precondition(given_fields, method, b'"a"', MODIFIED + 0.5, NOW)

    def test_none(self) -> None:
        self.assertEqual(self.evaluate(), 0)

    def test_if_match(self) -> None:
        self.assertEqual(self.evaluate(if_match=b'"a"'), 0)
        self.assertEqual(self.evaluate(if_match=b"*"), 0)
        self.assertEqual(self.evaluate(if_match=b'"b"'), 412)
        self.assertEqual(self.evaluate(if_match=b'W/"a"'), 412)
        self.assertEqual(self.evaluate("PUT", if_match=b'"b"'), 412)

    def test_if_unmodified_since(self) -> None:
        self.assertEqual(self.evaluate(if_unmodified_since=DATE), 0)
        self.assertEqual(self.evaluate(if_unmodified_since=AFTER), 0)
        self.assertEqual(self.evaluate(if_unmodified_since=BEFORE), 412)
        self.assertEqual(self.evaluate(if_unmodified_since=b"yesterday"), 0)

    def test_if_match_goes_before_if_unmodified_since(self) -> None:
        self.assertEqual(self.evaluate(if_match=b'"a"', if_unmodified_since=BEFORE), 0)
        self.assertEqual(self.evaluate(if_match=b'"b"', if_unmodified_since=AFTER), 412)

    def test_if_none_match(self) -> None:
        for method, status in (("GET", 304), ("HEAD", 304), ("PUT", 412)):
            for value in (b'"a"', b'W/"a"', b'"b", "a"', b"*"):
                self.assertEqual(self.evaluate(method, if_none_match=value), status)
            self.assertEqual(self.evaluate(method, if_none_match=b'"b"'), 0)

    def test_if_modified_since(self) -> None:
        self.assertEqual(self.evaluate(if_modified_since=DATE), 304)
        self.assertEqual(self.evaluate(if_modified_since=AFTER), 304)
        self.assertEqual(self.evaluate(if_modified_since=BEFORE), 0)
        self.assertEqual(self.evaluate("HEAD", if_modified_since=DATE), 304)

    def test_if_modified_since_is_ignored(self) -> None:
        self.assertEqual(self.evaluate("POST", if_modified_since=DATE), 0)
        self.assertEqual(self.evaluate(if_modified_since=b"yesterday"), 0)
        self.assertEqual(self.evaluate(if_modified_since=DATE + b", " + DATE), 0)

    def test_if_none_match_goes_before_if_modified_since(self) -> None:
        self.assertEqual(self.evaluate(if_none_match=b'"b"', if_modified_since=DATE), 0)
        self.assertEqual(self.evaluate(if_none_match=b'"a"', if_modified_since=BEFORE), 304)

    def test_failure_goes_before_not_modified(self) -> None:
        self.assertEqual(self.evaluate(if_match=b'"b"', if_none_match=b'"a"'), 412)
        self.assertEqual(self.evaluate(if_unmodified_since=BEFORE, if_none_match=b'"a"'), 412)
        self.assertEqual(self.evaluate(if_match=b'"a"', if_none_match=b'"a"'), 304)


class RangeAppliesTests(SynchronousTestCase):
    """``range_applies`` (RFC 9110 section 13.1.5)"""

    def applies(self, value: bytes, etag: bytes = b'"a"') -> bool:
        return range_applies({b"range": b"bytes=0-1", b"if-range": value}, etag, MODIFIED + 0.5, NOW)

    def test_without_if_range(self) -> None:
        self.assertTrue(range_applies({b"range": b"bytes=0-1"}, b'"a"', MODIFIED, NOW))

    def test_entity_tag_matches_strongly(self) -> None:
        self.assertTrue(self.applies(b'"a"'))
        self.assertFalse(self.applies(b'"b"'))
        self.assertFalse(self.applies(b'W/"a"'))
        self.assertFalse(self.applies(b'W/"a"', b'W/"a"'))

    def test_no_list_and_no_asterisk(self) -> None:
        self.assertFalse(self.applies(b'"a", "b"'))
        self.assertFalse(self.applies(b"*"))

    def test_date_matches_exactly(self) -> None:
        self.assertTrue(self.applies(DATE))
        self.assertFalse(self.applies(BEFORE))
        self.assertFalse(self.applies(AFTER))
        self.assertFalse(self.applies(b"yesterday"))
