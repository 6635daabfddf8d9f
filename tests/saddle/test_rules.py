"""Rules and their parameters, read and written."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.rules import FLOAT, INTEGER, PATH, TEXT, read_rule


class ReadingTests(SynchronousTestCase):
    """A rule is read into segments."""

    def names(self, rule: str) -> list[tuple[str, str]]:
        return [(parameter.name, parameter.converter.name) for parameter in read_rule(rule).parameters]

    def test_literal(self) -> None:
        rule = read_rule("/a/b")
        self.assertEqual([segment.literal for segment in rule.segments], ["a", "b"])
        self.assertEqual(rule.parameters, ())

    def test_slash_at_the_end_is_an_empty_segment(self) -> None:
        self.assertEqual([segment.literal for segment in read_rule("/a/").segments], ["a", ""])

    def test_slash_at_the_beginning_may_be_left_out(self) -> None:
        self.assertEqual(read_rule("a/b").text, "/a/b")

    def test_types(self) -> None:
        self.assertEqual(
            self.names("/<int:a>/<float:b>/<c>/<string:d>/<path:e>"),
            [("a", "int"), ("b", "float"), ("c", "string"), ("d", "string"), ("e", "path")],
        )

    def test_bare_path_is_the_rest(self) -> None:
        self.assertEqual(self.names("/download/<int:major_ver>/<path>"), [("major_ver", "int"), ("path", "path")])

    def test_text_around_a_parameter(self) -> None:
        segment = read_rule("/v<int:major>.<int:minor>").segments[0]
        self.assertIsNone(segment.literal)
        self.assertIsNone(segment.converter)
        match = segment.pattern().fullmatch("v1.20")
        assert match is not None
        self.assertEqual(match.groups(), ("1", "20"))

    def refused(self, rule: Any, *words: str) -> None:
        message = str(self.assertRaises(ValueError, read_rule, rule))
        for word in words:
            self.assertIn(word, message)

    def test_unknown_type(self) -> None:
        self.refused("/<uuid:x>", "uuid", "int", "path")

    def test_name_that_is_none(self) -> None:
        self.refused("/<int:1x>", "1x")
        self.refused("/<>", "''")

    def test_unbalanced_brackets(self) -> None:
        self.refused("/<name", "<name>")
        self.refused("/name>", "<name>")

    def test_nothing_follows_a_path(self) -> None:
        self.refused("/<path:p>/more", "rest")

    def test_path_mixed_with_text(self) -> None:
        self.refused("/x<path:p>", "segment of its own")

    def test_same_name_twice(self) -> None:
        self.refused("/<a>/<a>", "two parameters of one name")

    def test_parameters_side_by_side(self) -> None:
        self.refused("/<a><b>", "between")

    def test_no_text(self) -> None:
        self.refused(5, "5")


class ConverterTests(SynchronousTestCase):
    """Text of a URL to arguments and back."""

    def test_underscores_are_spaces(self) -> None:
        self.assertEqual(TEXT.read("Hans_Roh"), "Hans Roh")
        self.assertEqual(TEXT.write("Hans Roh"), "Hans_Roh")

    def test_path_keeps_underscores_and_slashes(self) -> None:
        self.assertEqual(PATH.read("a_b/c"), "a_b/c")
        self.assertEqual(PATH.write("a b/c"), "a%20b/c")

    def test_text_can_not_escape_from_its_segment(self) -> None:
        self.assertEqual(TEXT.write("a/b?c#d"), "a%2Fb%3Fc%23d")
        for text in ("", ".", ".."):
            self.assertRaises(ValueError, TEXT.write, text)

    def test_text_beyond_ascii(self) -> None:
        self.assertEqual(TEXT.write("é"), "%C3%A9")

    def test_numbers(self) -> None:
        self.assertEqual(INTEGER.read("-5"), -5)
        self.assertEqual(INTEGER.write("12"), "12")
        self.assertEqual(FLOAT.read("2.50"), 2.5)
        self.assertEqual(FLOAT.write(2), "2.0")
        self.assertEqual(FLOAT.write(1e-7), "0.0000001")

    def test_numbers_that_are_none(self) -> None:
        self.assertRaises(ValueError, INTEGER.write, "x")
        self.assertRaises(ValueError, FLOAT.write, float("nan"))
        self.assertRaises(ValueError, FLOAT.write, float("inf"))
        self.assertRaises(ValueError, PATH.write, "")


class BuildingTests(SynchronousTestCase):
    """A path from arguments."""

    def test_builds(self) -> None:
        rule = read_rule("/v<int:n>/<name>/<path>")
        self.assertEqual(rule.build({"n": 2, "name": "a b", "path": "x/y"}), "/v2/a_b/x/y")

    def test_missing_argument(self) -> None:
        self.assertRaises(KeyError, read_rule("/<name>").build, {})

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(st.integers(-(10**30), 10**30))
    def test_integers_come_back(self, number: int) -> None:
        self.assertEqual(INTEGER.read(INTEGER.write(number)), number)
