"""What the hooks of applications get."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai import was
from skitai.errors import NotAvailable
from skitai.was.context import registry
from skitai.was.loggers import Loggers
from skitai.was.wasc import Options, Wasc


class OptionsTests(SynchronousTestCase):
    """Options, to be read."""

    def setUp(self) -> None:
        self.values: dict[str, Any] = {"port": 5000, "max_queued": 7, "items": "an option like a method"}
        self.options = Options(self.values)

    def test_items_and_attributes(self) -> None:
        self.assertEqual((self.options.port, self.options["max_queued"], self.options.get("port")), (5000, 7, 5000))
        self.assertEqual((len(self.options), list(self.options)), (3, ["port", "max_queued", "items"]))
        self.assertIn("port", self.options)
        self.assertEqual(dict(self.options), self.values)

    def test_unknown(self) -> None:
        error = self.assertRaises(AttributeError, getattr, self.options, "prot")
        self.assertIn("no option 'prot'; did you mean 'port'?", str(error))
        self.assertRaises(KeyError, self.options.__getitem__, "prot")
        self.assertFalse(hasattr(self.options, "_hidden"))

    def test_nothing_can_be_changed(self) -> None:
        self.assertIn("skitai.run()", str(self.assertRaises(AttributeError, setattr, self.options, "port", 1)))
        self.assertRaises(AttributeError, delattr, self.options, "port")
        self.assertRaises(AttributeError, setattr, self.options, "_values", {})
        with self.assertRaises(TypeError):
            self.options["port"] = 1  # type: ignore[index]
        self.values["port"] = 1
        self.assertEqual(self.options.port, 5000)


class WascTests(SynchronousTestCase):
    """Registering, and the services of ``was``."""

    def setUp(self) -> None:
        self.wasc = Wasc(Loggers(lambda name, freq: None), {"port": 5000}, 4)
        self.addCleanup(self.wasc.unregister_all)

    def test_what_the_manual_names(self) -> None:
        self.assertEqual((self.wasc.numthreads, self.wasc.config.port), (4, 5000))
        self.assertIs(self.wasc.logger.get("app"), self.wasc.logger.get())
        self.assertEqual(self.wasc.fromjson(self.wasc.tojson([1])), [1])
        self.assertRaises(NotAvailable, getattr, self.wasc, "ajob")
        self.assertRaises(RuntimeError, getattr, self.wasc, "request")

    def test_registered_is_seen_by_all(self) -> None:
        engine = object()
        self.wasc.register("engine_of_test", engine)
        self.assertIs(self.wasc.engine_of_test, engine)
        self.assertIs(was.engine_of_test, engine)
        self.wasc.unregister("engine_of_test")
        self.assertRaises(AttributeError, getattr, was, "engine_of_test")
        self.assertRaises(KeyError, self.wasc.unregister, "engine_of_test")

    def test_anybody_may_unregister(self) -> None:
        other = Wasc(Loggers(lambda name, freq: None), {}, 0)
        self.wasc.register("engine_of_test", 1)
        other.unregister("engine_of_test")
        self.wasc.unregister_all()
        self.assertNotIn("engine_of_test", registry)

    def test_names_that_are_taken(self) -> None:
        for name in ("config", "logger", "register", "log", "request"):
            self.assertRaises(ValueError, self.wasc.register, name, 1)
        self.assertNotIn("config", registry)
