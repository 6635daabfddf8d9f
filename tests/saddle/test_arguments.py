"""Giving a view its arguments."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.arguments import ArgumentError, Signature


def plain(was: Any, a: str, b: str = "2") -> None:
    """Take two."""


def open_ended(was: Any, a: str, **form: Any) -> None:
    """Take one, and all others."""


class BindingTests(SynchronousTestCase):
    """Arguments by name."""

    def test_from_the_query(self) -> None:
        self.assertEqual(Signature(plain).bind({}, {"a": "1"}), {"a": "1"})

    def test_path_counts_first(self) -> None:
        self.assertEqual(Signature(plain).bind({"a": 1}, {"a": "x", "b": "3"}), {"a": 1, "b": "3"})
        self.assertEqual(Signature(open_ended).bind({"a": 1}, {"a": "x"}), {"a": 1})

    def test_path_argument_that_the_view_does_not_take(self) -> None:
        self.assertEqual(Signature(plain).bind({"name": "x"}, {"a": "1"}), {"a": "1"})

    def test_all_others(self) -> None:
        self.assertEqual(Signature(open_ended).bind({}, {"a": "1", "c": "3"}), {"a": "1", "c": "3"})

    def test_missing_are_named(self) -> None:
        error = self.assertRaises(ArgumentError, Signature(plain).bind, {}, {})
        self.assertEqual((error.status, error.missing, error.unexpected), (400, ("a",), ()))
        self.assertIn("missing argument a", str(error))

    def test_unexpected_are_named(self) -> None:
        error = self.assertRaises(ArgumentError, Signature(plain).bind, {}, {"a": "1", "x": "", "y": ""})
        self.assertEqual(error.unexpected, ("x", "y"))
        self.assertIn("unexpected arguments x, y", str(error))

    def test_the_name_of_was_itself(self) -> None:
        for view in (plain, open_ended):
            error = self.assertRaises(ArgumentError, Signature(view).bind, {}, {"a": "1", "was": "x"})
            self.assertEqual(error.unexpected, ("was",))

    def test_both(self) -> None:
        error = self.assertRaises(ArgumentError, Signature(plain).bind, {}, {"x": ""})
        self.assertEqual(str(error), "missing argument a and unexpected argument x")

    def test_thousands_of_names_make_a_short_message(self) -> None:
        error = self.assertRaises(
            ArgumentError, Signature(plain).bind, {}, {"n" * 500 + str(n): "" for n in range(999)}
        )
        self.assertLess(len(str(error)), 1000)
        self.assertIn("and 989 more", str(error))

    def test_positions(self) -> None:
        signature = Signature(plain)
        self.assertEqual(signature.bind_positions([1]), {"a": 1})
        self.assertEqual(signature.bind_positions([1, 2]), {"a": 1, "b": 2})
        self.assertIn("a", str(self.assertRaises(ArgumentError, signature.bind_positions, [])))
        self.assertIn("number 3", str(self.assertRaises(ArgumentError, signature.bind_positions, [1, 2, 3])))


class ViewTests(SynchronousTestCase):
    """What a view must look like."""

    def test_without_was(self) -> None:
        self.assertIn("was", str(self.assertRaises(TypeError, Signature, lambda: None)))

    def test_positional_only(self) -> None:
        def view(was: Any, a: str, /) -> None:
            """Take an argument that has no name."""

        self.assertIn("a", str(self.assertRaises(TypeError, Signature, view)))

    def test_keyword_only(self) -> None:
        def view(was: Any, *, a: str) -> None:
            """Take a keyword."""

        self.assertEqual(Signature(view).bind({}, {"a": "1"}), {"a": "1"})

    def test_methods_and_callable_objects(self) -> None:
        class View:
            def __call__(self, was: Any, a: str) -> None:
                """Take one."""

        self.assertEqual(Signature(View()).names, ("a",))
