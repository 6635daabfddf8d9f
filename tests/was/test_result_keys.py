"""Keys: the same for the same question, in every process, and never the same for two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.result_keys import key_of

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([0.0, -0.0, 1.0, 0.5]),
    st.text("s1: é", max_size=4),
    st.binary(max_size=3),
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab1", max_size=2), inner))
)


def exactly(value: Any) -> Any:
    """Return a value that is equal to another only where both are of the same types in the same places."""
    if isinstance(value, dict):
        return ("dict", frozenset((name, exactly(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(exactly(item) for item in value))
    return (type(value).__name__, repr(value))


class KeyTests(SynchronousTestCase):
    """What goes into a key."""

    def test_every_part(self) -> None:
        parts: list[Any] = ["get", "@c", "/path", {"a": 1}, b"body"]
        keys = {key_of(*parts)}
        for index, other in enumerate(("post", "@d", "/path/", {"a": 2}, b"bodz")):
            changed = list(parts)
            changed[index] = other
            keys.add(key_of(*changed))
        self.assertEqual(len(keys), 6)
        self.assertEqual({len(key or b"") for key in keys}, {20})

    def test_borders(self) -> None:
        """What moves from one part into the next is another question."""
        self.assertNotEqual(key_of("get", "@ab", "c"), key_of("get", "@a", "bc"))
        self.assertNotEqual(key_of("get", "@asb", "c"), key_of("get", "@a", "bsc"))
        self.assertNotEqual(key_of("get", "", "/", ["ab"]), key_of("get", "", "/", ["a", "b"]))
        nested = (["a", "b"], [["a"], "b"], ["a", ["b"]], [["a", "b"]], [["a"], ["b"]], [["a", ["b"]]], [[["a"], "b"]])
        self.assertEqual(len({key_of("get", "", "/", value) for value in nested}), len(nested))

    def test_order(self) -> None:
        """The order of a dictionary or a set says nothing; that of a list does."""
        self.assertEqual(key_of("", "", "", {"a": 1, "b": 2}), key_of("", "", "", OrderedDict(b=2, a=1)))
        self.assertEqual(key_of("", "", "", {"ab", "b", "c"}), key_of("", "", "", frozenset(["c", "b", "ab"])))
        self.assertNotEqual(key_of("", "", "", [1, 2]), key_of("", "", "", [2, 1]))
        self.assertEqual(key_of("", "", "", [1, 2]), key_of("", "", "", (1, 2)))

    def test_types(self) -> None:
        """What Python holds for equal may be different in a query."""
        noon = datetime(2020, 1, 2, 12)
        different: list[Any] = [
            None, "None", "", b"", 0, False, 0.0, -0.0, 1, True, 1.0, "1", b"1", Decimal("1"), Decimal("1.0"), 1j,
            noon, noon.replace(tzinfo=timezone.utc), date(2020, 1, 2), "2020-01-02", timedelta(1), [], {}, set(),
            UUID(int=1), [None], {None: None}, {"": ""}, 10**5000, 10**5000 + 1, "\udc80",
        ]  # fmt: skip
        self.assertEqual(len({key_of("", "", "", value) for value in different} - {None}), len(different))
        self.assertEqual(key_of("", "", "", bytearray(b"x")), key_of("", "", "", memoryview(b"x")))

    def test_no_content(self) -> None:
        """What can not be compared by content has no key, however deep it is hidden."""

        class Several(dict[str, str]):
            """Like the dictionaries of forms, which show only the first value of a name."""

        endless: list[Any] = []
        endless.append(endless)
        for value in (object(), len, iter(()), endless, Several(a="1"), [{"a": (object(),)}], {object(): 1}):
            self.assertIs(key_of("get", "", "/", value), None)
            self.assertIs(key_of("get", "", "/", None, value), None)

    def test_every_process(self) -> None:
        """Hashes of texts differ from process to process, keys do not."""
        code = (
            "from skitai.was.result_keys import key_of\n"
            "print(key_of('get', '@c', '/', {'a': {'x', 'y', 'z'}, 'b': 1.5}, b'body').hex())"
        )
        found = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout.decode()
            for seed in ("1", "2")
        }
        key = key_of("get", "@c", "/", {"b": 1.5, "a": {"z", "y", "x"}}, b"body")
        assert key is not None
        self.assertEqual(found, {key.hex() + os.linesep})

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(values, values)
    def test_same_and_different(self, one: Any, other: Any) -> None:
        """Keys are equal where values are, types included, and nowhere else."""
        same = exactly(one) == exactly(other)
        self.assertEqual(key_of("get", "", "/", one) == key_of("get", "", "/", other), same)
