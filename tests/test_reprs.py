"""Bounded representations: short, never raising, cheap for huge values, silent about secrets."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.reprs import MASK, MAX_SIZE, brief, clip, looks_secret, public_text


class _Raises:
    def __repr__(self) -> str:
        raise ZeroDivisionError("no")


class _Endless:
    def __init__(self) -> None:
        self.read = 0

    def __repr__(self) -> str:
        self.read += 1
        return "x" * 10_000


class _RaisesInside(list):  # type: ignore[type-arg]
    def __len__(self) -> int:
        raise ValueError("no length")


class BriefTests(SynchronousTestCase):
    def test_small_values_as_they_are(self) -> None:
        for value in (None, 7, 1.5, "a'b", b"\x00", (1,), [1, [2]], {"a": {"b": 1}}, {1, 2}, range(3), Exception("x")):
            with self.subTest(value=value):
                self.assertEqual(brief(value), repr(value))

    def test_long_ones_lose_their_middle(self) -> None:
        for value in ("a" * 10_000, b"a" * 10_000, bytearray(10_000), _Endless(), ["ab" * 50] * 1000):
            with self.subTest(type(value)):
                text = brief(value)
                self.assertLessEqual(len(text), MAX_SIZE)
                self.assertIn("...", text)

    def test_containers_are_read_no_further_than_is_shown(self) -> None:
        part = _Endless()
        for value in ([part] * 100_000, dict.fromkeys(range(100_000), part), (part,) * 100_000):
            part.read = 0
            brief(value)
            self.assertTrue(0 < part.read <= 30, part.read)

    def test_recursion_ends(self) -> None:
        value: list[object] = []
        value.append(value)
        self.assertIn("[...]", brief(value))

    def test_repr_that_raises(self) -> None:
        self.assertRegex(brief(_Raises()), r"^<_Raises at 0x[0-9a-f]+, its repr raised ZeroDivisionError>$")
        self.assertRegex(brief([1, _Raises()]), r"^\[1, <_Raises at .* its repr raised ZeroDivisionError>\]$")
        self.assertIn("raised ValueError", brief(_RaisesInside()))

    def test_class_with_the_name_of_a_container(self) -> None:
        named = type("list", (), {"__repr__": lambda self: "mine"})
        self.assertEqual(brief(named()), "mine")

    def test_secret_by_name(self) -> None:
        self.assertEqual(brief("x", "password"), MASK)
        self.assertEqual(brief(7, "api_key"), MASK)
        self.assertEqual(brief("x", "name"), "'x'")

    def test_that_there_is_none_is_no_secret(self) -> None:
        for value in (None, "", b"", True):
            self.assertEqual(brief(value, "token"), repr(value))

    def test_secrets_inside(self) -> None:
        value = {
            "user": "a",
            "nested": [{"HTTP_AUTHORIZATION": "s3cret"}],
            "pairs": [("Cookie", "s3cret"), (b"cookie", b"s3cret")],
        }
        self.assertNotIn("s3cret", brief(value))
        self.assertIn("'user': 'a'", brief(value))

    def test_other_dictionaries_keep_their_repr(self) -> None:
        self.assertEqual(brief(OrderedDict(a=1)), repr(OrderedDict(a=1)))

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(st.recursive(st.none() | st.binary() | st.text() | st.floats(), lambda e: st.lists(e) | st.tuples(e, e)))
    def test_always_short(self, value: object) -> None:
        self.assertLessEqual(len(brief(value)), MAX_SIZE)


class NameTests(SynchronousTestCase):
    def test_names(self) -> None:
        for name in (
            "password", "PASSWORD2", "db_passwd", "client_secret", "csrf_token", "key", "apiKey", "securekey", "keys",
            "Authorization", "authorisation", "HTTP_COOKIE", "Set-Cookie", "credentials", "auth", "x-auth", b"cookie",
        ):  # fmt: skip
            self.assertTrue(looks_secret(name), name)
        for name in ("name", "author", "keyword", "keyboard", "authentic", "", 7, None, b"accept", "passenger"):
            self.assertFalse(looks_secret(name), name)


class PublicTextTests(SynchronousTestCase):
    def test_parameters(self) -> None:
        self.assertEqual(public_text("/a?b=1&token=x&c=2#d"), f"/a?b=1&token={MASK}&c=2#d")
        self.assertEqual(public_text("password=x&b=1"), f"password={MASK}&b=1")
        self.assertEqual(public_text("/a?b=token"), "/a?b=token")

    def test_userinfo(self) -> None:
        self.assertEqual(public_text("http://u:p@h/a"), f"http://{MASK}@h/a")
        self.assertEqual(public_text("http://h/a@b"), "http://h/a@b")

    def test_by_name(self) -> None:
        self.assertEqual(public_text("Basic eA==", "authorization"), MASK)

    def test_bounded(self) -> None:
        self.assertLess(len(public_text("?token" * 100_000)), 3000)


class ClipTests(SynchronousTestCase):
    def test_clip(self) -> None:
        self.assertEqual(clip("abc", 3), "abc")
        self.assertEqual(clip("abcdefgh", 7), "ab...gh")
        self.assertEqual(len(clip("a" * 1000)), MAX_SIZE)
