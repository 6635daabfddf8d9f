"""What applications register for each other."""

from __future__ import annotations

import copy
import threading

from twisted.trial.unittest import SynchronousTestCase

from skitai.registry import Registry


class RegistryTests(SynchronousTestCase):
    """Names and what they stand for."""

    def setUp(self) -> None:
        self.registry = Registry(frozenset({"log", "request"}).__contains__)

    def test_what_is_registered_is_item_and_attribute(self) -> None:
        engine = object()
        self.registry.register("engine", engine)
        self.assertIs(self.registry.engine, engine)
        self.assertIs(self.registry["engine"], engine)
        self.assertIn("engine", self.registry)
        self.assertEqual((list(self.registry), len(self.registry)), (["engine"], 1))

    def test_none_is_an_object_too(self) -> None:
        self.registry.register("nothing", None)
        self.assertIsNone(self.registry.nothing)
        self.assertEqual((self.registry.get("nothing", 1), self.registry.get("other", 1)), (None, 1))

    def test_registering_again_replaces(self) -> None:
        self.registry.register("engine", 1)
        self.registry.register("engine", 2)
        self.assertEqual(self.registry.engine, 2)

    def test_unregister(self) -> None:
        self.registry.register("engine", 1)
        self.registry.register("other", 2)
        self.registry.unregister("engine")
        self.assertNotIn("engine", self.registry)
        self.assertEqual(self.registry.other, 2)

    def test_what_is_not_there_is_named_beside_what_is(self) -> None:
        self.registry.register("engine", 1)
        for error in (
            self.assertRaises(KeyError, self.registry.unregister, "motor"),
            self.assertRaises(KeyError, self.registry.__getitem__, "motor"),
            self.assertRaises(AttributeError, getattr, self.registry, "motor"),
        ):
            self.assertIn("'motor' is not registered; registered: engine", str(error))

    def test_drop_only_what_it_stands_for(self) -> None:
        first, second = object(), object()
        self.registry.register("engine", first)
        self.registry.drop("engine", second)
        self.assertIs(self.registry.engine, first)
        self.registry.drop("engine", first)
        self.assertNotIn("engine", self.registry)
        self.registry.drop("engine", first)

    def test_reserved_names_are_refused(self) -> None:
        for name in ("log", "request"):
            error = self.assertRaises(ValueError, self.registry.register, name, 1)
            self.assertIn(f"was.{name} is something else already", str(error))

    def test_what_is_no_name_is_refused(self) -> None:
        names: tuple[object, ...] = ("", "two words", "a.b", "9lives", "class", "é!", None, 3, b"bytes")
        for name in names:
            error = self.assertRaises(ValueError, self.registry.register, name, 1)
            self.assertIn(f"{name!r} can not be registered: it must be a name", str(error))

    def test_private_names_are_refused(self) -> None:
        for name in ("_hidden", "__class__"):
            error = self.assertRaises(ValueError, self.registry.register, name, 1)
            self.assertIn("not public", str(error))

    def test_names_of_any_language(self) -> None:
        self.registry.register("größe", 1)
        self.assertEqual(self.registry.größe, 1)

    def test_iterating_is_not_disturbed(self) -> None:
        for name in "abc":
            self.registry.register(name, name)
        seen = []
        for name in self.registry:
            seen.append(name)
            self.registry.unregister(name)
        self.assertEqual(seen, ["a", "b", "c"])
        self.assertEqual(len(self.registry), 0)

    def test_threads_lose_nothing(self) -> None:
        def register(prefix: str) -> None:
            for number in range(200):
                self.registry.register(f"{prefix}{number}", number)

        threads = [threading.Thread(target=register, args=(prefix,)) for prefix in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(self.registry), 800)

    def test_python_may_ask_for_anything(self) -> None:
        """An object that is not made yet, as while it is copied, does not ask for ever."""
        self.assertFalse(hasattr(Registry.__new__(Registry), "__deepcopy__"))
        self.assertRaises(TypeError, copy.deepcopy, self.registry)
