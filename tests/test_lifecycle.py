"""When the hooks of applications are called, with what, and what becomes of those that raise."""

from __future__ import annotations

import sys
import threading
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skitai.apps import Application, Loader
from skitai.attributes import AttributeDictionary
from skitai.errors import LoadError, NotAvailable
from skitai.lifecycle import Lifecycle
from skitai.mounts import Mount
from skitai.was.context import Outside, current, registry
from skitai.was.loggers import Loggers
from skitai.was.wasc import Wasc
from tests.test_apps import HELLO, LoadingCase, call


def make_lifecycle() -> Lifecycle:
    return Lifecycle(Wasc(Loggers(lambda name, freq: None), {"port": 5000}, 4))


class Hooked:
    """An application that notes the calls of its hooks."""

    def __init__(self, name: str, calls: list[str], fails: str = "") -> None:
        self.name = name
        self.calls = calls
        self.fails = fails

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    def _note(self, hook: str) -> None:
        self.calls.append(f"{self.name} {hook}")
        if self.fails == hook:
            raise ValueError(f"{self.name} can not {hook}")
        if self.fails == f"exit in {hook}":
            raise SystemExit(3)

    def skitai_startup(self, wasc: Wasc) -> None:
        self._note("startup")

    def skitai_reload(self, wasc: Wasc) -> None:
        self._note("reload")

    def skitai_shutdown(self, wasc: Wasc) -> None:
        self._note("shutdown")


class Mounted:
    """What the lifecycle needs of a mounted application."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.settled = 0
        self.refused: BaseException | None = None

    def settle(self) -> None:
        self.settled += 1

    def refuse(self, error: BaseException) -> None:
        self.refused = error


class LifecycleTests(SynchronousTestCase):
    """The order of hooks."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.lifecycle = make_lifecycle()

    def app(self, name: str, fails: str = "") -> Hooked:
        return Hooked(name, self.calls, fails)

    def start(self, *applications: Any) -> list[Mounted]:
        mounted = [Mounted(application) for application in applications]
        self.lifecycle.start(mounted)
        return mounted

    def test_started_in_order_and_ended_in_reverse(self) -> None:
        self.start(self.app("a"), self.app("b"))
        self.lifecycle.stop()
        self.assertEqual(self.calls, ["a startup", "b startup", "b shutdown", "a shutdown"])
        self.lifecycle.stop()
        self.assertEqual(len(self.calls), 4)

    def test_mounted_twice_is_started_once(self) -> None:
        app = self.app("a")
        mounted = self.start(app, app)
        self.lifecycle.stop()
        self.assertEqual(self.calls, ["a startup", "a shutdown"])
        self.assertEqual([item.settled for item in mounted], [1, 1])

    def test_identity_counts_not_equality(self) -> None:
        class Same(Hooked):
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = None  # type: ignore[assignment]

        self.start(Same("a", self.calls), Same("b", self.calls))
        self.assertEqual(self.calls, ["a startup", "b startup"])

    def test_applications_without_hooks(self) -> None:
        [mounted] = self.start(len)
        self.assertEqual((mounted.settled, mounted.refused), (1, None))
        self.lifecycle.stop()

    def test_what_is_not_there_is_not_started(self) -> None:
        [mounted] = self.start(None)
        self.assertEqual((mounted.settled, mounted.refused), (0, None))

    def test_one_that_fails_is_refused_wherever_it_is_mounted_and_the_others_are_started(self) -> None:
        for fails in ("startup", "exit in startup"):
            self.calls.clear()
            bad = self.app("bad", fails)
            first, second, good = self.start(bad, bad, self.app("good"))
            self.assertIsInstance(first.refused, ValueError if fails == "startup" else SystemExit)
            self.assertIs(first.refused, second.refused)
            self.assertEqual((first.settled, second.settled, good.settled), (0, 0, 1))
            self.lifecycle.stop()
            self.assertEqual(self.calls, ["bad startup", "good startup", "good shutdown"])
            self.lifecycle = make_lifecycle()

    def test_what_interrupts_the_process_is_not_caught_and_what_was_started_can_be_ended(self) -> None:
        class Interrupting(Hooked):
            def skitai_startup(self, wasc: Wasc) -> None:
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, self.start, self.app("a"), Interrupting("b", self.calls))
        self.lifecycle.stop()
        self.assertEqual(self.calls, ["a startup", "a shutdown"])

    def test_a_failing_shutdown_is_logged_and_stops_nothing(self) -> None:
        for fails in ("shutdown", "exit in shutdown"):
            self.calls.clear()
            self.events.clear()
            self.lifecycle = make_lifecycle()
            self.start(self.app("a"), self.app("bad", fails))
            self.lifecycle.stop()
            self.assertEqual(self.calls[2:], ["bad shutdown", "a shutdown"])
            [event] = self.events
            self.assertIn("the shutdown of bad failed", formatEvent(event))
            self.assertEqual(event["log_namespace"], "skitai.app")
            self.flushLoggedErrors(ValueError, SystemExit)

    def test_nothing_is_called_before_the_start(self) -> None:
        self.lifecycle.admit([(self.app("a"), None)])
        self.assertEqual(self.calls, [])

    def test_late_ones_are_started_and_reloaded_ones_told_so(self) -> None:
        first, second = self.app("first"), self.app("second")
        self.start(self.app("a"))
        self.lifecycle.admit([(first, None)])
        self.lifecycle.admit([(second, first), (second, first)])
        self.lifecycle.stop()
        self.assertEqual(self.calls, ["a startup", "first startup", "second reload", "second shutdown", "a shutdown"])

    def test_a_reloaded_one_keeps_its_place(self) -> None:
        old = self.app("old")
        self.start(old, self.app("b"))
        self.lifecycle.admit([(self.app("new"), old)])
        self.lifecycle.stop()
        self.assertEqual(self.calls[2:], ["new reload", "b shutdown", "new shutdown"])

    def test_the_same_object_is_not_told_again(self) -> None:
        app = self.app("a")
        self.start(app)
        self.lifecycle.admit([(app, app)])
        self.assertEqual(self.calls, ["a startup"])

    def test_a_failing_reload_leaves_the_old_one(self) -> None:
        one, two = self.app("one"), self.app("two")
        self.start(one, two)
        changes = [(self.app("new one"), one), (self.app("new two", "reload"), two)]
        self.assertRaises(ValueError, self.lifecycle.admit, changes)
        self.lifecycle.stop()
        self.assertEqual(self.calls[-2:], ["two shutdown", "one shutdown"])

    def test_what_takes_the_place_of_one_that_was_never_started_is_started(self) -> None:
        bad = self.app("bad", "startup")
        self.start(bad)
        self.lifecycle.admit([(self.app("good"), bad)])
        self.assertEqual(self.calls[-1], "good startup")

    def test_one_that_is_started_while_the_server_ends_is_ended_too(self) -> None:
        class Stopping(Hooked):
            def skitai_startup(hooked, wasc: Wasc) -> None:
                hooked._note("startup")
                self.lifecycle.stop()

        self.start()
        self.lifecycle.admit([(Stopping("late", self.calls), None)])
        self.assertEqual(self.calls, ["late startup", "late shutdown"])

    def test_hooks_run_outside_of_any_request(self) -> None:
        seen: list[Any] = []

        class Looking(Hooked):
            def skitai_startup(self, wasc: Wasc) -> None:
                seen.append(current.get())
                current.set("left behind")  # type: ignore[arg-type]

        before = current.set("a request")  # type: ignore[arg-type]
        self.addCleanup(current.reset, before)
        self.start(Looking("a", []))
        self.assertEqual(seen, [None])
        self.assertEqual(current.get(), "a request")

    def test_what_hooks_have_registered_is_forgotten_at_the_end(self) -> None:
        class Registering(Hooked):
            def skitai_startup(self, wasc: Wasc) -> None:
                wasc.register("engine_of_test", self.name)
                wasc.register("other_of_test", self.name)

            def skitai_shutdown(self, wasc: Wasc) -> None:
                self.calls.append(wasc.engine_of_test)
                wasc.unregister("engine_of_test")

        self.start(Registering("a", self.calls))
        self.assertEqual(registry["other_of_test"], "a")
        registry.register("other_of_test", "of somebody else")
        self.addCleanup(registry.unregister, "other_of_test")
        self.lifecycle.stop()
        self.assertEqual(self.calls, ["a"])
        self.assertNotIn("engine_of_test", registry)
        self.assertEqual(registry["other_of_test"], "of somebody else")

    def test_wasc_is_was_outside_of_requests(self) -> None:
        self.assertIsInstance(self.lifecycle.wasc, Outside)
        self.assertRaises(NotAvailable, getattr, self.lifecycle.wasc, "ajob")


APPLICATION = """
    import sys

    class App:
        version = %r
        use_reloader = True
        debug = %r

        def __init__(self):
            self.config = {}

        def __call__(self, environ, start_response):
            start_response("200 OK", [])
            return [str(self.version).encode()]

        def skitai_startup(self, wasc):
            self.note(wasc, "startup")

        def skitai_reload(self, wasc):
            self.note(wasc, "reload")

        def skitai_shutdown(self, wasc):
            self.note(wasc, "shutdown")

        def note(self, wasc, hook):
            sys.hooks_of_test.append((hook, self.version, getattr(self, "flavour", None)))
            if self.version == "fails in " + hook:
                raise ValueError(self.version)

    app = App()
    other = app
"""


class LoadedTests(LoadingCase):
    """Hooks of application files, at the start and when the files change."""

    def setUp(self) -> None:
        super().setUp()
        self.calls: list[tuple[str, str, object]] = []
        sys.hooks_of_test = self.calls  # type: ignore[attr-defined]
        self.addCleanup(delattr, sys, "hooks_of_test")
        self.lifecycle = make_lifecycle()

    def edit(self, version: str, debug: bool = False) -> None:
        """Write the application anew and let a second pass."""
        self.write("shop.py", APPLICATION % (version, debug))
        self.clock.advance(1)

    def serve(self, *mounts: Mount) -> list[Application]:
        """Load and start, as a server does."""
        loader = Loader(self.directory, self.clock.seconds, self.lifecycle)
        self.addCleanup(loader.close)
        found = [item.application for item in loader.load_all(list(mounts)) if item.application is not None]
        self.assertEqual(self.calls, [], "a hook was called while the server is made")
        self.lifecycle.start(found)
        return found

    def failure(self, application: Application) -> str:
        """Return why an application does not serve."""
        with self.assertRaises(LoadError) as caught:
            application.current()
        return caught.exception.traceback

    def test_start_reload_shutdown(self) -> None:
        """A startup once, after preferences are applied; a reload for each edit, before requests; one shutdown."""
        self.edit("1")
        pref = AttributeDictionary(flavour="mint")
        [found] = self.serve(Mount("/", "shop", "app", pref))
        self.assertEqual(self.calls, [("startup", "1", "mint")])
        self.edit("2")
        self.assertEqual(call(found.current()), "2")
        self.assertEqual(self.calls[1:], [("reload", "2", "mint")])
        self.lifecycle.stop()
        self.assertEqual(self.calls[2:], [("shutdown", "2", "mint")])

    def test_mounted_several_times(self) -> None:
        """One application object is started, reloaded and ended once, however often it is mounted."""
        self.edit("1")
        found = self.serve(Mount("/1", "shop"), Mount("/2", "shop"), Mount("/3", "shop", "other"))
        self.edit("2")
        self.assertEqual([call(item.current()) for item in found], ["2", "2", "2"])
        self.lifecycle.stop()
        self.assertEqual([hook for hook, _, _ in self.calls], ["startup", "reload", "shutdown"])

    def test_failing_startup(self) -> None:
        """Its mount is out of order, the others serve; it is tried again when the file changes."""
        self.edit("fails in startup")
        self.write("fine.py", HELLO % "fine")
        bad, good = self.serve(Mount("/", "shop"), Mount("/fine", "fine"))
        self.assertEqual(call(good.current()), "fine")
        self.assertIn("ValueError: fails in startup", self.failure(bad))
        [line] = self.logged()
        self.assertIn("the startup of shop.py:app failed:\nTraceback", line)
        self.assertNotIn("lifecycle.py", line)
        self.clock.advance(5)
        self.failure(bad)
        self.assertEqual(len(self.calls), 1, "tried again although nothing has changed")
        self.edit("2")
        self.assertEqual(call(bad.current()), "2")
        self.assertEqual(self.calls[1:], [("startup", "2", None)])

    def test_failing_startup_of_what_does_not_reload(self) -> None:
        """It is tried again when its file changes all the same, and then not watched any more."""
        source = APPLICATION.replace("use_reloader = True", "use_reloader = False")
        self.write("shop.py", source % ("fails in startup", False))
        [found] = self.serve(Mount("/", "shop"))
        self.failure(found)
        self.write("shop.py", source % ("2", False))
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "2")
        self.assertFalse(found.use_reloader)

    def test_failing_startup_is_mended_by_a_new_file(self) -> None:
        """What it did not find may appear."""
        self.write(
            "shop.py",
            """
            class App:
                def __call__(self, environ, start_response):
                    start_response("200 OK", [])
                    return [b"found"]
                def skitai_startup(self, wasc):
                    import needed_of_test
            app = App()
            """,
        )
        [found] = self.serve(Mount("/", "shop"))
        self.assertIn("needed_of_test", self.failure(found))
        self.write("needed_of_test.py", "")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "found")

    def test_failing_startup_of_an_object(self) -> None:
        """It stays out of order: there is no file that could change."""
        bad = Hooked("bad", [], "startup")
        [found] = self.serve(Mount("/", bad))
        self.clock.advance(5)
        self.assertIn("bad can not startup", self.failure(found))

    def test_failing_reload(self) -> None:
        """The old code goes on serving, and is still the one that is ended."""
        self.edit("1")
        [found] = self.serve(Mount("/", "shop"))
        self.edit("fails in reload")
        self.assertEqual(call(found.current()), "1")
        self.assertEqual(self.calls[1:], [("reload", "fails in reload", None)])
        [line] = self.logged()
        self.assertIn("ValueError: fails in reload", line)
        self.edit("3")
        self.assertEqual(call(found.current()), "3")
        self.assertEqual(self.calls[2:], [("reload", "3", None)])
        self.edit("fails in reload")
        found.current()
        self.lifecycle.stop()
        self.assertEqual(self.calls[-1], ("shutdown", "3", None))

    def test_failing_reload_in_debug(self) -> None:
        """The developer sees the traceback."""
        self.edit("1", True)
        [found] = self.serve(Mount("/", "shop"))
        self.edit("fails in reload", True)
        self.assertIn("ValueError: fails in reload", self.failure(found))

    def test_broken_at_the_start_and_mended(self) -> None:
        """It is started when it is loaded for the first time."""
        self.write("shop.py", "1/0")
        [found] = self.serve(Mount("/", "shop"))
        self.failure(found)
        self.assertEqual(self.calls, [])
        self.edit("1")
        self.assertEqual(call(found.current()), "1")
        self.assertEqual(self.calls, [("startup", "1", None)])

    def test_broken_edit(self) -> None:
        """No hook is called for what can not be loaded."""
        self.edit("1")
        [found] = self.serve(Mount("/", "shop"))
        self.write("shop.py", "1/0")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "1")
        self.assertEqual(len(self.calls), 1)

    def test_settings_made_by_startup(self) -> None:
        """Limits and switches that the hook has set count."""
        hook = "self.config['max_post_body_size'] = '2K'; self.debug = True"
        self.write("shop.py", (APPLICATION % ("1", False)).replace('self.note(wasc, "startup")', hook))
        [found] = self.serve(Mount("/", "shop"))
        self.assertEqual(found.max_post_body_size, 2048)
        self.assertTrue(found.debug)

    def test_requests_go_on_while_the_hook_runs(self) -> None:
        """Nobody waits for a slow reload, and nobody meets an application that is not ready."""
        self.edit("1")
        [found] = self.serve(Mount("/", "shop"))
        answers: list[str] = []

        class Looking(list[Any]):
            def append(hooks, entry: Any) -> None:
                self.clock.advance(5)
                other = threading.Thread(target=lambda: answers.append(call(found.current())), daemon=True)
                other.start()
                other.join(5)

        sys.hooks_of_test = Looking()  # type: ignore[attr-defined]
        self.edit("2")
        self.assertEqual(call(found.current()), "2")
        self.assertEqual(answers, ["1"])
