"""URLs from names of views and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.arguments import Signature
from skitai.saddle.building import Builder, BuildError, Place
from skitai.saddle.rules import read_rule


def add(was: Any, num1: Any, num2: Any) -> None:
    """Take two, without a path."""


def hello(was: Any, name: str = "Hans Roh") -> None:
    """Take one in the path, with a default."""


def form(was: Any, userid: str, **form: Any) -> None:
    """Take all."""


def optional(was: Any, name: Any = None) -> None:
    """Take one in the path, or none."""


def nothing(was: Any) -> None:
    """Take none."""


def place(rule: str, view: Callable[..., Any], *names: str) -> Place:
    return Place(read_rule(rule), view, (*names, view.__name__), Signature(view))


class BuildingTests(SynchronousTestCase):
    """The examples of the manual, and what can go wrong."""

    def setUp(self) -> None:
        self.builder = Builder(
            [
                place("/add", add),
                place("/hello/<name>", hello),
                place("/form", form),
                place("/o/<name>", optional),
                place("/o/", optional),
                place("/n", nothing),
                place("/n/<int:n>", nothing),
                place("/admin/x", lambda was: None, "admin.other"),
            ]
        )

    def build(self, name: Any, /, *args: Any, **kwargs: Any) -> str:
        return self.builder.build("/math", name, args, kwargs)

    def refused(self, name: Any, /, *args: Any, words: tuple[str, ...], **kwargs: Any) -> None:
        message = str(self.assertRaises(BuildError, self.build, name, *args, **kwargs))
        for word in words:
            self.assertIn(word, message)

    def test_arguments_of_no_path_make_a_query(self) -> None:
        self.assertEqual(self.build("add", 10, 40), "/math/add?num1=10&num2=40")
        self.assertEqual(self.build("add", 10, num2=60), "/math/add?num1=10&num2=60")

    def test_arguments_of_the_path(self) -> None:
        self.assertEqual(self.build("hello", "Your Name"), "/math/hello/Your_Name")
        self.assertEqual(self.build("hello", name="a/b"), "/math/hello/a%2Fb")

    def test_default_of_a_path_argument(self) -> None:
        self.assertEqual(self.build("hello"), "/math/hello/Hans_Roh")

    def test_default_of_none_is_no_text(self) -> None:
        self.assertEqual(self.build("optional"), "/math/o/")
        self.assertEqual(self.build("optional", "x"), "/math/o/x")

    def test_form_takes_any_name(self) -> None:
        self.assertEqual(self.build("form", "x", y="1 2", z=["a", "b"]), "/math/form?userid=x&y=1+2&z=a&z=b")

    def test_the_rule_that_takes_most_arguments(self) -> None:
        self.assertEqual(self.build("nothing"), "/math/n")
        self.assertEqual(self.build("nothing", 5), "/math/n/5")

    def test_functions_are_names_too(self) -> None:
        self.assertEqual(self.build(hello, "x"), "/math/hello/x")

    def test_paths_are_taken_as_they_are(self) -> None:
        self.assertEqual(self.build("/static/a b.png"), "/math/static/a%20b.png")

    def test_paths_stay_on_this_host(self) -> None:
        self.assertEqual(self.builder.build("", "//evil.example/a", (), {}), "/evil.example/a")

    def test_names_of_saddleries(self) -> None:
        self.assertEqual(self.build("admin.other"), "/math/admin/x")

    def test_none_is_not_given(self) -> None:
        self.refused("add", 1, None, words=("num2",))

    def test_unknown_name(self) -> None:
        self.refused("helo", words=("helo", "'hello'"))

    def test_missing(self) -> None:
        self.refused("add", 1, words=("add", "num2"))

    def test_unexpected(self) -> None:
        self.refused("add", 1, 2, x=3, words=("add", "x"))
        self.refused("add", 1, 2, 3, words=("add", "3"))
        self.refused("add", 1, num1=3, words=("add", "num1", "twice"))

    def test_argument_of_the_wrong_type(self) -> None:
        self.refused("nothing", "x", words=("nothing", "x"))

    def test_mount_point_is_quoted(self) -> None:
        self.assertEqual(self.builder.build("/é", "nothing", (), {}), "/%C3%A9/n")
