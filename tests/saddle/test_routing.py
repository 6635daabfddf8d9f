"""The automaton that finds routes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.routing import MAX_MIXED_LENGTH, MAX_SEGMENTS, Router, Target
from skitai.saddle.rules import Rule, read_rule


@dataclass
class Stand:
    """A route for the automaton."""

    text: str
    methods: frozenset[str] | None = None
    content_types: frozenset[str] | None = None
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        self.rule = read_rule(self.text)


def router(*rules: str) -> Router:
    routes: list[Target] = [Stand(rule) for rule in rules]
    return Router(routes)


class FindingTests(SynchronousTestCase):
    """From a path to a rule and the texts of its parameters."""

    def assert_finds(self, automaton: Router, path: str, rule: str | None, *texts: str) -> None:
        found = automaton.best(path)
        if rule is None:
            self.assertIsNone(found)
            return
        assert found is not None, path
        self.assertEqual((found.routes[0].rule.text, found.texts), (rule, texts))

    def test_literal(self) -> None:
        automaton = router("/", "/a", "/a/b")
        self.assert_finds(automaton, "/", "/")
        self.assert_finds(automaton, "/a", "/a")
        self.assert_finds(automaton, "/a/b", "/a/b")
        self.assert_finds(automaton, "/b", None)
        self.assert_finds(automaton, "/a/b/c", None)

    def test_types(self) -> None:
        automaton = router("/<name>", "/<int:n>", "/<float:x>", "/x", "/v<int:n>")
        self.assert_finds(automaton, "/x", "/x")
        self.assert_finds(automaton, "/v7", "/v<int:n>", "7")
        self.assert_finds(automaton, "/-7", "/<int:n>", "-7")
        self.assert_finds(automaton, "/7.5", "/<float:x>", "7.5")
        self.assert_finds(automaton, "/7a", "/<name>", "7a")

    def test_wrong_type_is_not_found(self) -> None:
        automaton = router("/<int:n>")
        for path in ("/x", "/1x", "/", "/1/", "/1.0", "/٣", "/1_000", "/ 1", "/" + "9" * 5000):
            self.assert_finds(automaton, path, None)

    def test_goes_back_where_a_better_segment_led_nowhere(self) -> None:
        automaton = router("/a/b/c", "/<name>/b/d", "/<path>")
        self.assert_finds(automaton, "/a/b/c", "/a/b/c")
        self.assert_finds(automaton, "/a/b/d", "/<name>/b/d", "a")
        self.assert_finds(automaton, "/a/b/e", "/<path>", "a/b/e")

    def test_nearest_rest_wins(self) -> None:
        automaton = router("/<path>", "/files/<path>")
        self.assert_finds(automaton, "/files/a/b", "/files/<path>", "a/b")
        self.assert_finds(automaton, "/file/a/b", "/<path>", "file/a/b")

    def test_rest_is_not_empty(self) -> None:
        self.assert_finds(router("/files/<path>"), "/files/", None)

    def test_rest_keeps_its_slashes(self) -> None:
        self.assert_finds(router("/files/<path>"), "/files//a//", "/files/<path>", "/a//")

    def test_empty_segments_are_no_text(self) -> None:
        self.assert_finds(router("/<a>/b"), "//b", None)

    def test_names_may_differ_at_one_place(self) -> None:
        automaton = router("/<int:a>/x", "/<int:b>/y")
        self.assert_finds(automaton, "/1/x", "/<int:a>/x", "1")
        self.assert_finds(automaton, "/1/y", "/<int:b>/y", "1")

    def test_several_routes_of_one_rule_are_found_together(self) -> None:
        found = router("/a", "/a").best("/a")
        assert found is not None
        self.assertEqual(len(found.routes), 2)

    def test_all_that_fit_come_in_order(self) -> None:
        automaton = router("/<path>", "/<name>", "/<int:n>", "/5")
        rules = [found.routes[0].rule.text for found in automaton.find("/5")]
        self.assertEqual(rules, ["/5", "/<int:n>", "/<name>", "/<path>"])

    def test_very_deep_paths(self) -> None:
        automaton = router("/a", "/<path>")
        deep = "/" + "a/" * (MAX_SEGMENTS * 3)
        self.assert_finds(automaton, deep, "/<path>", deep[1:])
        self.assert_finds(router("/a"), deep, None)

    def test_slash_at_the_end(self) -> None:
        automaton = router("/x/", "/y", "/<int:n>/z/")
        self.assert_finds(automaton, "/x", None)
        self.assert_finds(automaton, "/x/", "/x/")
        self.assert_finds(automaton, "/y/", None)
        self.assert_finds(automaton, "/5/z/", "/<int:n>/z/", "5")

    def test_long_segments_are_not_tried_in_every_way(self) -> None:
        """Three parameters in one segment take a time that grows with the cube of its length."""
        automaton = router("/<a>-<b>_<c>.html")
        self.assert_finds(automaton, "/a-b_c.html", "/<a>-<b>_<c>.html", "a", "b", "c")
        self.assert_finds(automaton, "/" + "-" * MAX_MIXED_LENGTH + "_c.html", None)

    @settings(derandomize=True, max_examples=300, deadline=None)
    @given(st.text(alphabet="/ab1.<>", max_size=30))
    def test_finds_what_a_linear_scan_of_rules_finds(self, path: str) -> None:
        """The oracle: a regular expression for each rule, tried in the order of how exact they are."""
        import re

        rules = {
            "/a/b": r"/a/b",
            "/a/<int:n>": r"/a/[0-9]+",
            "/a/<name>": r"/a/[^/]+",
            "/<name>/b": r"/[^/]+/b",
            "/a1/<path>": r"/a1/(?s:.+)",
        }
        expected = next((rule for rule, pattern in rules.items() if re.fullmatch(pattern, "/" + path)), None)
        found = router(*reversed(rules)).best("/" + path)
        self.assertEqual(found.routes[0].rule.text if found else None, expected)
