"""Jinja2 with other delimiters: the manual's, the same string for start and end, doubled to mean itself."""

from __future__ import annotations

from typing import Any

import jinja2
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.lexer import Lexer
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.overlay import make_environment, overlay

MANUAL = {
    "variable_start_string": "{{",
    "variable_end_string": "}}",
    "block_start_string": "{%",
    "block_end_string": "%}",
    "comment_start_string": "{#",
    "comment_end_string": "#}",
    "line_statement_prefix": "%",
    "line_comment_prefix": "%%",
}
HASH = {"variable_start_string": "#", "variable_end_string": "#"}


def render(source: str, options: dict[str, Any], **variables: object) -> str:
    """Return a rendered template."""
    return overlay(make_environment(".", False), options).from_string(source).render(**variables)


class ManualTests(SynchronousTestCase):
    def test_the_manuals_options(self) -> None:
        source = (
            "%% not shown\n% for x in (1, 2)\n{{ x }}{# nor this #}{% if x == 1 %}!{% endif %}\n% endfor\n100 % sure"
        )
        self.assertEqual(render(source, MANUAL), "\n1!\n2\n100 % sure")

    def test_line_statements_are_off_by_default(self) -> None:
        self.assertEqual(render("% for\n%% x", {}), "% for\n%% x")

    def test_mustaches_are_left_to_vue(self) -> None:
        options = {"variable_start_string": "[[", "variable_end_string": "]]"}
        self.assertEqual(
            render('<p :a="{b: 1}">{{ mine }} [[ yours ]]</p>', options, yours=7), '<p :a="{b: 1}">{{ mine }} 7</p>'
        )

    def test_delimiters_of_three_kinds(self) -> None:
        options = {
            "variable_start_string": "<<",
            "variable_end_string": ">>",
            "block_start_string": "<?",
            "block_end_string": "?>",
            "comment_start_string": "<!",
            "comment_end_string": "!>",
        }
        self.assertEqual(render("<? set a = 1 ?><< a >><! no !>{{ {% {#", options), "1{{ {% {#")

    def test_environments_without_equal_delimiters_have_jinjas_lexer(self) -> None:
        self.assertIs(type(overlay(make_environment(".", False), MANUAL).lexer), Lexer)


class DoublingTests(SynchronousTestCase):
    def test_variables(self) -> None:
        for source, expected in (
            ("#a#", "1"),
            ("##", "#"),
            ("C## is #a#", "C# is 1"),
            ("####", "##"),
            ("###a###", "#1#"),
            ("#a##b#", "12"),
            ("#a# ## #b#", "1 # 2"),
            ("<a href='##top'>#b#</a>", "<a href='#top'>2</a>"),
            ("##\n#a#\n##\n", "#\n1\n#"),
            ("{% if a %}##{% endif %}", "#"),
            ("{# ## #}x", "x"),
            ("{% raw %}##{% endraw %}", "##"),
        ):
            with self.subTest(source):
                self.assertEqual(render(source, HASH, a=1, b=2), expected)

    def test_strings_inside_expressions_are_what_they_are(self) -> None:
        self.assertEqual(render('#"##" ~ "#"#', HASH), "###")
        self.assertEqual(render('{% set x = "##" %}#x#', HASH), "##")

    def test_longer_delimiters(self) -> None:
        options = {"variable_start_string": "$$", "variable_end_string": "$$"}
        self.assertEqual(render("$$a$$ $$$$ $ $$a$$$$a$$", options, a=1), "1 $$ $ 11")

    def test_blocks(self) -> None:
        options = {"block_start_string": "@", "block_end_string": "@"}
        self.assertEqual(render("@if a@me@@x.org@endif@{{ a }}", options, a=1), "me@x.org1")

    def test_comments(self) -> None:
        options = {"comment_start_string": "~", "comment_end_string": "~"}
        self.assertEqual(render("a~ not shown ~b~~c", options), "ab~c")

    def test_several_kinds(self) -> None:
        options = {
            **HASH,
            "block_start_string": "@",
            "block_end_string": "@",
            "comment_start_string": "~",
            "comment_end_string": "~",
        }
        self.assertEqual(render("@if a@## @@ ~~#a#~x~@endif@", options, a=1), "# @ ~1")

    def test_with_line_statements(self) -> None:
        options = {**HASH, "line_statement_prefix": "%", "line_comment_prefix": "%%"}
        self.assertEqual(render('% for x in ("##", 2)\n###x#\n% endfor\n', {**options}), "###\n#2\n")

    def test_trimmed_blocks_keep_the_line_after_an_escape(self) -> None:
        options = {"block_start_string": "@", "block_end_string": "@", "trim_blocks": True}
        self.assertEqual(render("@if 1@\na@@\nb@endif@\n", options), "a@\nb")

    def test_an_empty_expression_is_still_an_error(self) -> None:
        for source in ("# #", "#-#", "#"):
            with self.subTest(source):
                self.assertRaises(jinja2.TemplateSyntaxError, render, source, HASH)

    def test_errors_have_the_right_line(self) -> None:
        for source, line in (("##\n##\n#a b#", 3), ("a\n##\n#\n1 +\n#", 5), ("##\n@\nfor", 3)):
            with self.subTest(source):
                options = {**HASH, "block_start_string": "@", "block_end_string": "@"}
                error = self.assertRaises(jinja2.TemplateSyntaxError, render, source, options)
                self.assertEqual(error.lineno, line)

    def test_change_in_place_before_the_first_template(self) -> None:
        env = make_environment(".", False)
        for delimiter in ("#", "$"):
            env.variable_start_string = env.variable_end_string = delimiter
            self.assertEqual(env.from_string(f"{delimiter * 2} {delimiter}a{delimiter}").render(a=1), f"{delimiter} 1")

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(st.text(alphabet="#a \n{%}-", max_size=12))
    def test_doubled_text_is_that_text(self, text: str) -> None:
        source = text.replace("#", "##").replace("{%", "{ %").replace("{#", "{ #")
        expected = text.replace("{%", "{ %").replace("{#", "{ #").replace("{##", "{ #")
        if source.endswith("\n"):
            expected = expected[:-1]
        self.assertEqual(render(source, HASH), expected)


class OptionTests(SynchronousTestCase):
    def test_bad_ones_are_named(self) -> None:
        for options, words in (
            ({"variable_start_string": ""}, "variable_start_string"),
            ({"block_end_string": None}, "block_end_string"),
            ({"line_statement_prefix": ""}, "line_statement_prefix"),
            ({"comment_start_string": 7}, "comment_start_string"),
            ({"variable_start_string": "{%"}, "must differ"),
            ({"variable_start_string": "{#"}, "must differ"),
        ):
            with self.subTest(options):
                error = self.assertRaises(ValueError, overlay, make_environment(".", False), options)
                self.assertIn(words, str(error))

    def test_unknown_ones_are_named(self) -> None:
        error = self.assertRaises(TypeError, overlay, make_environment(".", False), {"variable_star_string": "x"})
        self.assertIn("variable_star_string", str(error))

    def test_globals_are_shared(self) -> None:
        env = make_environment(".", False)
        other = overlay(env, HASH)
        env.globals["answer"] = 42
        self.assertEqual(other.from_string("#answer#").render(), "42")
