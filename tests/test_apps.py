"""``skitai.apps`` and what it is made of: loading, isolation, preferences, reloading."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
from types import ModuleType
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import skitai
from skitai import declare
from skitai.apps import Application, Loader, load
from skitai.attributes import AttributeDictionary, make_preferences
from skitai.declare import Declaration
from skitai.errors import ConfigError, LoadError
from skitai.mounts import Mount
from tests.fixtures import unsub

FIXTURES = os.path.join(os.path.dirname(__file__), "fixtures")

HELLO = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"%s"]
"""
RELOADING = HELLO + "    app.use_reloader = True\n"
DEBUGGING = RELOADING + "    app.debug = True\n"


def call(application: Any) -> str:
    """Call a WSGI application."""
    statuses: list[str] = []
    body = b"".join(application({"PATH_INFO": "/", "SCRIPT_NAME": ""}, lambda status, headers: statuses.append(status)))
    assert statuses == ["200 OK"]
    return body.decode()


class LoadingCase(SynchronousTestCase):
    """A directory for applications, and what clears up behind them."""

    def setUp(self) -> None:
        """Make the directory and watch the log."""
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.clock = Clock()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        path = list(sys.path)
        self.addCleanup(lambda: sys.path.__setitem__(slice(None), path))
        names = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - names if name in self.own()])

    def own(self) -> set[str]:
        """Return the names of modules from the directory."""
        files = {name: str(getattr(module, "__file__", "")) for name, module in list(sys.modules.items())}
        return {name for name, file in files.items() if file.startswith(self.directory)}

    def write(self, path: str, text: str) -> str:
        """Write a file and return its path."""
        whole = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        return whole

    def loader(self, base: str = "") -> Loader:
        """Make a loader for the directory."""
        loader = Loader(base or self.directory, self.clock.seconds)
        self.addCleanup(loader.close)
        return loader

    def load(self, target: Any, appname: str = "app", pref: Any = None, **more: Any) -> Application:
        """Load one application."""
        return self.loader().load(Mount("/", target, appname, pref, **more))

    def load_all(self, *mounts: Mount) -> list[Application]:
        """Load several applications."""
        found = [mounted.application for mounted in self.loader().load_all(list(mounts))]
        return [application for application in found if application is not None]

    def logged(self) -> list[str]:
        """Return the errors and warnings of loading."""
        mine = [event for event in self.events if event["log_namespace"] == "skitai.programs"]
        return [formatEvent(event) for event in mine if event["log_level"].name in ("error", "warn")]

    def refused(self, target: Any, appname: str = "app") -> str:
        """Return why a mount is refused."""
        with self.assertRaises(ConfigError) as caught:
            self.load(target, appname)
        return str(caught.exception)


class BodyTests(LoadingCase):
    """What an application says about request bodies and about being called."""

    def test_limit_by_content_type(self) -> None:
        """Forms with files have a limit of their own, where there is one."""
        cases: tuple[tuple[str, bytes | None, int | None], ...] = (
            ("{}", b"multipart/form-data; boundary=x", None),
            ("{'max_post_body_size': 5}", b"multipart/form-data; boundary=x", 5),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 9}", b"multipart/form-data; boundary=x", 9),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 9}", b" Multipart/Form-DATA ", 9),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 0}", b"multipart/form-data", 0),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 9}", b"multipart/mixed", 5),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 9}", b"application/json", 5),
            ("{'max_post_body_size': 5, 'max_multipart_body_size': 9}", None, 5),
            ("{'max_multipart_body_size': '1K'}", b"multipart/form-data", 1024),
            ("{'max_multipart_body_size': '1K'}", b"text/plain", None),
        )
        for number, (config, content_type, expected) in enumerate(cases):
            self.write(f"sized{number}.py", HELLO % "x" + f"    app.config = {config}")
            found = self.load(f"sized{number}")
            self.assertEqual(found.body_limit(content_type), expected, (config, content_type))

    def test_is_async(self) -> None:
        """Whether it is to be called on the reactor is asked of the application object."""
        self.write("plain.py", HELLO % "x" + "    app.skitai_is_async = 1")
        self.assertIsNone(self.load("plain").is_async)
        self.write("later.py", HELLO % "x" + "    app.skitai_is_async = lambda method, path: path == '/later'")
        is_async = self.load("later").is_async
        assert is_async is not None
        self.assertEqual([is_async("GET", "/later"), is_async("GET", "/now")], [True, False])

    def test_what_is_reloaded_is_not_called_on_the_reactor(self) -> None:
        """Loading again, and what is no more asynchronous then, would hold up everybody."""
        self.write("later.py", HELLO % "x" + "    app.skitai_is_async = lambda *a: True; app.use_reloader = True")
        self.assertIsNone(self.load("later").is_async)


class TargetTests(LoadingCase):
    """What can be mounted."""

    def test_size_in_config(self) -> None:
        cases = (("'2K'", 2048), ("5e6", 5_000_000), ("0", 0), ("True", None), ("'many'", None), ("1e999", None))
        for number, (written, expected) in enumerate(cases):
            self.write(f"sized{number}.py", HELLO % "x" + f"    app.config = {{'max_post_body_size': {written}}}")
            self.assertEqual(self.load(f"sized{number}").max_post_body_size, expected, written)

    def test_object(self) -> None:
        """An object is served as it is."""
        found = self.load(len)
        self.assertIs(found.current(), len)
        self.assertFalse(found.use_reloader or found.debug)

    def test_file(self) -> None:
        """ ".py" is optional, the path may be relative or absolute, the variable has any name."""
        path = self.write("sub/shop.py", HELLO % "hello" + "    other = lambda environ, start_response: []")
        for target in ("sub/shop", "sub/shop.py", path, "./sub/../sub/shop"):
            found = self.load(target)
            self.assertEqual(call(found.current()), "hello", target)
            self.assertEqual(found.name, os.path.join("sub", "shop.py") + ":app")
        self.assertEqual(self.load("sub/shop", "other").current()({}, None), [])

    def test_file_name_that_is_no_module_name(self) -> None:
        """Files of any name are loaded, and told apart."""
        self.write("my-app.v1.py", HELLO % "dots")
        self.write("my-app_v1.py", HELLO % "underscore")
        self.write("app.wsgi", HELLO % "wsgi")
        mounts = [Mount(f"/{n}", name) for n, name in enumerate(["my-app.v1", "my-app_v1.py", "app.wsgi"])]
        self.assertEqual([call(item.current()) for item in self.load_all(*mounts)], ["dots", "underscore", "wsgi"])

    def test_directory(self) -> None:
        """A directory is static."""
        os.mkdir(os.path.join(self.directory, "static"))
        [mounted] = self.loader().load_all([Mount("/", "static")])
        self.assertEqual((mounted.kind, mounted.directory), ("static", os.path.join(self.directory, "static")))
        self.assertIsNone(mounted.application)

    def test_directory_and_file_of_one_name(self) -> None:
        """The file is meant, for the directory is likely to hold source; a slash at the end says otherwise."""
        self.write("app_v1/app.py", "")
        self.write("app_v1.py", HELLO % "file")
        self.assertEqual(call(self.load("app_v1").current()), "file")
        [mounted] = self.loader().load_all([Mount("/", "app_v1/")])
        self.assertEqual(mounted.kind, "static")

    def test_module(self) -> None:
        """A module gives what it exports, in the file named or app.py."""
        for target in (unsub, (unsub, "app.py"), (unsub, "app_v1.py"), (unsub, "app_v1")):
            self.assertEqual(call(self.load(target).current()), "['from bootstrap']", target)

    def test_package_file(self) -> None:
        """An application may be in the __init__.py of its package."""
        self.write("shop/__init__.py", "from .views import app\nNAME = __name__")
        self.write("shop/views.py", HELLO % "package")
        self.assertEqual(call(self.load("shop/__init__.py").current()), "package")

    def test_main_script_file(self) -> None:
        """What a script does under its guard is not done; what it does without is ignored."""
        self.write(
            "service.py",
            HELLO % "served"
            + """
    import skitai
    skitai.mount("/more", "nothing")
    skitai.run(port=0)
    if __name__ == "__main__":
        raise SystemExit("run as a script")
    """,
        )
        declaration = Declaration(self.directory)
        self.addCleanup(declare.replace, declare.replace(declaration))
        with self.assertLogs("skitai", "WARNING") as warnings:
            self.assertEqual(call(self.load("service.py").current()), "served")
        self.assertIn("service.py", warnings.output[0])
        self.assertEqual(declaration.mounts, [])

    def test_refused(self) -> None:
        """What is not there is named, with what would be near."""
        self.write("shop.py", HELLO % "x" + "    number = 5")
        self.write("page.html", "")
        self.assertIn("nothing_here", self.refused("nothing_here"))
        self.assertIn("did you mean 'app'", self.refused("shop.py", "apq"))
        self.assertIn("can not be called", self.refused("shop.py", "number"))
        self.assertIn("can not be called", self.refused(5))
        self.assertIn("page.html", self.refused("page.html"))
        self.assertIn("export", self.refused((unsub, "app_v9.py")))
        self.assertIn("export", self.refused(textwrap))
        self.assertIn("no application", self.refused("@alias"))

    def test_all_faults_at_once(self) -> None:
        """Every mount that can not be used is named."""
        self.write("shop.py", HELLO % "x")
        mounts = [Mount("/1", "one"), Mount("/2", "shop", "nope"), Mount("/3", "shop"), Mount("/4", "four")]
        with self.assertRaises(ConfigError) as caught:
            self.load_all(*mounts)
        self.assertEqual(len(caught.exception.faults), 3, caught.exception.faults)

    def test_load(self) -> None:
        """The short form, for tests of applications."""
        found = load(Mount("/", os.path.join(FIXTURES, "left", "app")), self.directory)
        self.assertEqual(call(found.current())[:4], "left")
        with self.assertRaises(ConfigError):
            load(Mount("/", FIXTURES), self.directory)


class IsolationTests(LoadingCase):
    """Modules of one directory and of another."""

    def test_equal_names(self) -> None:
        """Two directories with the same names of files, helpers and packages are two applications, by every import."""
        left, right = self.load_all(*[Mount(f"/{n}", os.path.join(FIXTURES, n, "app.py")) for n in ("left", "right")])
        self.assertEqual(call(left.current()), "left left left left left")
        self.assertEqual(call(right.current()), "right right right right right")
        self.assertNotIn("helper", sys.modules)
        self.assertNotIn("package", sys.modules)

    def test_late_import_in_threads(self) -> None:
        """Imports at request time find the right module in any thread."""
        apps = self.load_all(*[Mount(f"/{n}", os.path.join(FIXTURES, n, "app.py")) for n in ("left", "right")])
        answers: dict[int, str] = {}

        def serve(number: int) -> None:
            answers[number] = call(apps[number % 2].current())[:4]

        threads = [threading.Thread(target=serve, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([answers[number] for number in range(8)], ["left", "righ"] * 4)

    def test_one_directory_shares(self) -> None:
        """Two files of one directory see the same helper, and one file is executed once."""
        self.write("store.py", "items = []")
        for name in ("one", "two"):
            text = f"import store\nstore.items.append('{name}')\ndef app(*a): return store.items\nother = app"
            self.write(f"{name}.py", text)
        apps = self.load_all(Mount("/1", "one"), Mount("/2", "two"), Mount("/3", "one", "other"))
        self.assertEqual([item.current()() for item in apps], [["one", "two"]] * 3)

    def test_shared_with_the_main_script(self) -> None:
        """A module that the main script has imported of its directory is the application's too."""
        self.write("store_of_main.py", "items = []")
        text = "import store_of_main\nfrom . import store_of_main as again\ndef app(*a): return again.items"
        self.write("shop.py", text)
        sys.path.insert(0, self.directory)
        import store_of_main  # type: ignore[import-not-found]

        spec = store_of_main.__spec__
        self.assertIs(self.load("shop").current()(), store_of_main.items)
        self.assertIs(store_of_main.__spec__, spec)

    def test_base_directory_is_importable(self) -> None:
        """Applications anywhere can import what is beside the main script, and all get the same."""
        self.write("common_store.py", "items = []")
        for name in ("a", "b"):
            self.write(f"{name}/app.py", "import common_store\ndef app(*a): return common_store.items")
        one, two = self.load_all(Mount("/a", "a/app"), Mount("/b", "b/app"))
        self.assertIs(one.current()(), two.current()())

    def test_own_package_by_name(self) -> None:
        """In a package, its own name means itself; what is above it is imported as ever."""
        self.write("outer_shop/__init__.py", "")
        self.write("outer_shop/core.py", "items = []")
        self.write("outer_shop/web/__init__.py", "")
        self.write("outer_shop/web/model.py", "items = []")
        self.write(
            "outer_shop/web/app.py",
            """
            import logging
            from . import model
            from .. import core
            from ..core import items
            from outer_shop.web import model as same
            import outer_shop.web.model as same_too
            import outer_shop.core
            import model as sibling
            assert model is same is same_too is sibling
            assert core is outer_shop.core
            def app(*a): return core.__name__, model.__name__, logging.__name__
            """,
        )
        self.write("outer_shop/web/logging.py", "")
        core, model, logging = self.load("outer_shop/web/app.py").current()()
        self.assertEqual((core, logging), ("outer_shop.core", "logging"))
        self.assertEqual(model, "outer_shop.web.model")

    def test_neighbour_hides_library(self) -> None:
        """Beside a plain application file, a file hides a library, as for a script; a mere directory does not."""
        self.write("sub/colorsys.py", "HERE = True")
        self.write("sub/wave/data.txt", "")
        self.write("sub/zoneinfo/data.py", "")
        self.write("sub/app.py", "import colorsys, wave, zoneinfo, sys\ndef app(*a): return colorsys, wave, zoneinfo")
        colors, wave, zone = self.load("sub/app").current()()
        self.assertTrue(colors.HERE)
        self.assertTrue(hasattr(wave, "open") and hasattr(zone, "ZoneInfo"))
        import colorsys

        self.assertFalse(hasattr(colorsys, "HERE"))

    def test_import_forms(self) -> None:
        """Every form of the import statement, wherever it stands, binds what it says."""
        self.write("forms/__init__.py", "")
        self.write("sub/pack/__init__.py", "")
        self.write("sub/pack/inner.py", "VALUE = 1")
        self.write("sub/plain.py", "__all__ = ['STAR']\nSTAR = 2")
        self.write(
            "sub/app.py",
            '''
            """Documented."""
            from __future__ import annotations
            import os, pack.inner, plain as renamed, json as j
            import pack.inner as inner
            from pack import inner as again
            from plain import *
            class Holder:
                import plain
            try:
                import no_such_module_at_all
            except ImportError:
                import plain as fallback
            else:
                raise AssertionError
            with open(os.devnull):
                if True:
                    while True:
                        for _ in "x":
                            import plain as deep
                        break
            match 1:
                case _:
                    import plain as matched
            def app(*a):
                global late
                import pack.inner as late
                from . import plain as relative
                plains = renamed, Holder.plain, fallback, deep, matched, relative
                return pack.inner is inner is again is late, len(set(plains))
            assert STAR == 2 and j.loads and __doc__ == "Documented."
            ''',
        )
        self.assertEqual(self.load("sub/app").current()(), (True, 1))

    def test_import_by_name(self) -> None:
        """A library that imports by name for an application, as Flask's from_object, gets that application's module."""
        self.write("settings_by_name.py", "SIDE = 'base'")
        library = ModuleType("importing_library")
        exec("import importlib\ndef find(name): return importlib.import_module(name).SIDE", vars(library))
        sys.modules["importing_library"] = library
        self.addCleanup(sys.modules.pop, "importing_library")
        for name in ("one", "two"):
            self.write(f"{name}/settings_by_name.py", f"SIDE = '{name}'")
            self.write(f"{name}/pack_by_name/deep.py", f"SIDE = 'deep {name}'")
            self.write(
                f"{name}/app.py",
                """
                import importing_library
                found = importing_library.find("settings_by_name"), importing_library.find("pack_by_name.deep")
                import settings_by_name, pack_by_name.deep
                def app(*a): return found + (settings_by_name.SIDE, pack_by_name.deep.SIDE)
                """,
            )
        sys.path.insert(0, self.directory)
        import settings_by_name  # type: ignore[import-not-found]

        one, two = self.load_all(Mount("/1", "one/app"), Mount("/2", "two/app"))
        self.assertEqual(one.current()(), ("one", "deep one", "one", "deep one"))
        self.assertEqual(two.current()(), ("two", "deep two", "two", "deep two"))
        self.assertIs(sys.modules["settings_by_name"], settings_by_name)
        self.assertNotIn("pack_by_name", sys.modules)

    def test_circular_imports(self) -> None:
        """Modules that import the application file get the one application, in every sort of directory."""
        text = "runs = []\nruns.append(1)\ndef app(*a): return runs, views.app is app\n"
        self.write("plain_base.py", "from plain_base import app as itself\n" + text + "import views_of_base as views")
        self.write("views_of_base.py", "from plain_base import app")
        self.write("sub/app.py", text + "import views")
        self.write("sub/views.py", "from app import app")
        self.write("circular_shop/__init__.py", "")
        self.write("circular_shop/app.py", text + "from . import views")
        self.write("circular_shop/views.py", "from .app import app\nfrom circular_shop.app import app as same")
        self.write("plain_base.py", text + "import views_of_base as views")
        for target in ("plain_base", "sub/app", "circular_shop/app"):
            self.assertEqual(self.load(target).current()(), ([1], True), target)

    def test_relative_imports_without_package(self) -> None:
        """They mean the directory of the file beside the main script too, where Python itself knows no package."""
        self.write("sibling_a.py", "NAME = 'a'")
        inner = "from .. import sibling_a\nfrom ..sibling_a import NAME\nfrom . import other"
        self.write("pack_of_base/inner.py", inner)
        self.write("pack_of_base/other.py", "")
        self.write(
            "shop.py",
            """
            from . import sibling_a, pack_of_base as p
            from .pack_of_base import inner
            from .sibling_a import NAME
            def app(*a): return sibling_a, inner.sibling_a, p.inner is inner, NAME, inner.NAME
            """,
        )
        one, other, same, *names = self.load("shop").current()()
        self.assertIs(one, other)
        self.assertEqual((one.__name__, same, names), ("sibling_a", True, ["a", "a"]))

    def test_packages_of_one_name(self) -> None:
        """Two packages that are called alike are two, also by their name."""
        for name in ("one", "two"):
            self.write(f"{name}/twin_shop/__init__.py", "")
            self.write(f"{name}/twin_shop/model.py", f"NAME = {name!r}")
            self.write(
                f"{name}/twin_shop/app.py",
                """
                from twin_shop import model
                from . import model as same
                import twin_shop.model
                import model as s
                def app(*a): return model.NAME, same is model is twin_shop.model is s
                """,
            )
        one, two = self.load_all(Mount("/1", "one/twin_shop/app"), Mount("/2", "two/twin_shop/app"))
        self.assertEqual((one.current()(), two.current()()), (("one", True), ("two", True)))

    def test_names_are_taken(self) -> None:
        """Where a module has been imported from elsewhere, this directory has its own all the same."""
        answers = []
        for name in ("first", "second"):
            self.write(f"{name}/taken_helper.py", f"NAME = {name!r}")
            self.write(f"{name}/shop.py", "import taken_helper, importlib\ndef app(*a): return taken_helper.NAME")
            loader = self.loader(os.path.join(self.directory, name))
            answers.append(loader.load(Mount("/", "shop")).current()())
        self.assertEqual(answers, ["first", "second"])

    def test_application_file_called_like_a_library(self) -> None:
        """It is loaded, and the library is what it was."""
        import colorsys

        self.write("colorsys.py", "import colorsys\ndef app(*a): return colorsys")
        self.assertIs(self.load("colorsys").current()(), colorsys)

    def test_skitai_is_never_private(self) -> None:
        """An application file in a checkout of Skitai gets the Skitai that serves it."""
        self.write("skitai/__init__.py", "")
        self.write("app.py", "import skitai\ndef app(*a): return skitai")
        self.assertIs(self.load("app").current()(), skitai)

    def test_flask(self) -> None:
        """Flask finds its directories, and takes preferences in its own config."""
        self.write("sub/app.py", "from flask import Flask\napp = Flask(__name__)\napp.config.from_object('config')")
        self.write("sub/config.py", "COLOR = 'red'")
        pref = make_preferences()
        pref.debug = 1
        pref.config.SIZE = 3
        found = self.load("sub/app", pref=pref)
        flask = found.current()
        self.assertEqual(flask.root_path, os.path.join(self.directory, "sub"))
        self.assertEqual(flask.instance_path, os.path.join(self.directory, "sub", "instance"))
        self.assertEqual((flask.config["COLOR"], flask.config["SIZE"]), ("red", 3))
        self.assertTrue(found.debug and flask.debug)


class PreferenceTests(LoadingCase):
    """``pref`` and ``bootstrap``."""

    def test_merged(self) -> None:
        """Properties override attributes, config is merged; an application without config gets one."""
        self.write("shop.py", HELLO % "x" + "    app.color = 'red'\n    app.size = 1")
        self.write("dict.py", HELLO % "x" + "    app.config = {'a': 1, 'b': 1, 'max_post_body_size': 10}")
        self.write("space.py", HELLO % "x" + "    import types\n    app.config = types.SimpleNamespace(a=1, b=1)")
        pref = make_preferences()
        pref.color = "blue"
        pref.config.b = 2
        apps = [self.load(name, pref=pref).current() for name in ("shop", "dict", "space")]
        self.assertEqual([item.color for item in apps], ["blue"] * 3)
        self.assertEqual(apps[0].size, 1)
        self.assertEqual(apps[0].config.b, 2)
        self.assertEqual(apps[1].config, {"a": 1, "b": 2, "max_post_body_size": 10})
        self.assertEqual((apps[2].config.a, apps[2].config.b), (1, 2))
        self.assertEqual(self.load("dict").max_post_body_size, 10)
        self.assertIsNone(self.load("shop").max_post_body_size)

    def test_size_in_config(self) -> None:
        cases = (("'2K'", 2048), ("5e6", 5_000_000), ("0", 0), ("True", None), ("'many'", None), ("1e999", None))
        for number, (written, expected) in enumerate(cases):
            self.write(f"sized{number}.py", HELLO % "x" + f"    app.config = {{'max_post_body_size': {written}}}")
            self.assertEqual(self.load(f"sized{number}").max_post_body_size, expected, written)

    def test_object(self) -> None:
        """Preferences count for an object too; one that can take none is refused."""

        def app(*a: Any) -> None: ...

        self.load(app, pref={"color": "blue", "config": {"a": 1}})
        self.assertEqual((app.color, app.config["a"]), ("blue", 1))  # type: ignore[attr-defined]
        with self.assertRaises(ConfigError):
            self.load(len, pref={"color": "blue"})

    def test_same_file_different_preferences(self) -> None:
        """They are two applications."""
        self.write("shop.py", "count = []\ndef app(*a): return app.color, count")
        blue, red = AttributeDictionary(color="blue"), AttributeDictionary(color="red")
        mounts = [Mount("/1", "shop", "app", blue), Mount("/2", "shop", "app", red), Mount("/3", "shop", "app", blue)]
        one, two, three = (item.current()() for item in self.load_all(*mounts))
        self.assertEqual((one[0], two[0], three[0]), ("blue", "red", "blue"))
        self.assertIsNot(one[1], two[1])
        self.assertIs(one[1], three[1])

    def test_bootstrap(self) -> None:
        """It is called before the application is loaded, with its pref, and may mount more."""
        pref = make_preferences()
        pref.config.urls = ["mine"]
        pref.config.log_directory = self.directory
        declaration = Declaration(self.directory)
        self.addCleanup(declare.replace, declare.replace(declaration))
        declaration.mounts.append(Mount("/", unsub, "app", pref))
        first, second = self.loader().load_all(declaration.mounts)
        assert first.application is not None
        self.assertEqual(call(first.application.current()), "['from bootstrap', 'mine']")
        self.assertEqual((second.mount.point, second.kind, second.directory), ("/log", "static", self.directory))
        self.assertEqual(os.path.basename(pref.cronjob), "cronjob.py")
        self.assertEqual(first.application.current().cronjob, pref.cronjob)

    def test_bootstrap_once_for_each_pref(self) -> None:
        """Several mounts of a file without pref are one; each pref has its own call."""
        self.write("sub/__init__.py", "calls = []\ndef bootstrap(pref): calls.append(pref.get('color'))")
        self.write("sub/app.py", "from . import calls\ndef app(*a): return calls\nother = app")
        red = AttributeDictionary(color="red")
        mounts = [Mount("/1", "sub/app"), Mount("/2", "sub/app", "other"), Mount("/3", "sub/app")]
        apps = self.load_all(*mounts, Mount("/5", "sub/app", "app", red))
        self.assertEqual(apps[0].current()(), [None])
        self.assertEqual(apps[-1].current()(), ["red"])

    def test_bootstrap_fails(self) -> None:
        """The application can not be loaded; it is tried again when a file changes."""
        init = self.write("sub/__init__.py", "calls = 1/0")
        self.write("sub/app.py", HELLO % "at last")
        found = self.load("sub/app")
        with self.assertRaises(LoadError) as caught:
            found.current()
        self.assertIn("ZeroDivisionError", caught.exception.traceback)
        self.assertEqual(len(self.logged()), 1)
        self.write("sub/__init__.py", "def bootstrap(pref): pref.seen = len(missing)")
        self.clock.advance(1)
        with self.assertRaises(LoadError) as caught:
            found.current()
        self.assertIn("missing", caught.exception.traceback)
        self.write("sub/__init__.py", "def bootstrap(pref): pref.seen = True")
        self.clock.advance(1)
        self.assertTrue(found.current().seen)
        self.assertIn(init, self.logged()[0])


class FailureTests(LoadingCase):
    """An application that can not be imported."""

    def test_others_serve(self) -> None:
        """Its traceback is logged once, without our frames; others are loaded."""
        path = self.write("bad.py", "import shop\ndef f(): raise ValueError('broken here')\nf()")
        self.write("shop.py", HELLO % "fine")
        bad, again, good = self.load_all(Mount("/1", "bad"), Mount("/2", "bad"), Mount("/3", "shop"))
        self.assertEqual(call(good.current()), "fine")
        for item in (bad, again):
            with self.assertRaises(LoadError) as caught:
                item.current()
            self.assertIn("broken here", caught.exception.traceback)
        [line] = self.logged()
        self.assertIn(path, line)
        self.assertIn("broken here", line)
        for own in ("modules.py", "programs.py", "importlib"):
            self.assertNotIn(own, line)

    def test_every_kind_of_failure(self) -> None:
        """Bad syntax, a missing module, an exit, a null byte: the server lives."""
        cases = {
            "def (:": "SyntaxError",
            "import no_such_module": "ModuleNotFoundError",
            "raise SystemExit(3)": "SystemExit",
            "app = 1\0": "null byte",
            "# coding: nonsense\napp = 1": "nonsense",
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E": "E",
        }
        for number, (text, expected) in enumerate(cases.items()):
            self.write(f"bad{number}.py", text)
            with self.assertRaises(LoadError) as caught:
                self.load(f"bad{number}").current()
            self.assertIn(expected, caught.exception.traceback, text)

    def test_recovers_without_reloader(self) -> None:
        """It is tried again when its file changes, at most once a second, and then not watched any more."""
        self.write("shop.py", "1/0")
        found = self.load("shop")
        self.assertRaises(LoadError, found.current)
        self.write("shop.py", HELLO % "mended")
        self.assertRaises(LoadError, found.current)
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "mended")
        self.assertFalse(found.use_reloader)
        self.write("shop.py", HELLO % "not seen")
        self.clock.advance(5)
        self.assertEqual(call(found.current()), "mended")

    def test_mended_by_a_new_file(self) -> None:
        """A module that was missing is seen when it appears."""
        self.write("shop.py", "import missing_helper\n" + textwrap.dedent(HELLO % "complete"))
        found = self.load("shop")
        self.assertRaises(LoadError, found.current)
        self.write("missing_helper.py", "")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "complete")

    def test_debug_of_what_never_loaded(self) -> None:
        """Whether its traceback may be shown is what its preferences say."""
        self.write("shop.py", "1/0")
        self.assertFalse(self.load("shop").debug)
        self.assertTrue(self.load("shop", pref=AttributeDictionary(debug=1)).debug)


class ReloadTests(LoadingCase):
    """Reloading between requests."""

    def edit(self, path: str, text: str) -> None:
        """Change a file and let a second pass."""
        self.write(path, text)
        self.clock.advance(1)

    def test_others_serve_meanwhile(self) -> None:
        """While one thread loads it again, however long that takes, others go on with the old code."""
        self.write("shop.py", RELOADING % "one")
        found = self.load("shop")
        answers: list[str] = []

        def look() -> None:
            self.clock.advance(5)
            other = threading.Thread(target=lambda: answers.append(call(found.current())), daemon=True)
            other.start()
            other.join(5)

        sys.look_while_loading = look  # type: ignore[attr-defined]
        self.addCleanup(delattr, sys, "look_while_loading")
        self.write("shop.py", "import sys\nsys.look_while_loading()\n" + textwrap.dedent(RELOADING % "two"))
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")
        self.assertEqual(answers, ["one"])

    def test_one_after_the_other(self) -> None:
        """Applications of different directories that change together do not get into each other's names."""
        self.write("one/shop.py", RELOADING % "one")
        self.write("two/shop.py", RELOADING % "two")
        first, second = self.load_all(Mount("/1", "one/shop"), Mount("/2", "two/shop"))
        order: list[str] = []
        other = threading.Thread(target=second.current, daemon=True)

        def look() -> None:
            other.start()
            other.join(0.2)
            order.append("one")

        sys.look_while_loading = look  # type: ignore[attr-defined]
        sys.note_loading = order.append  # type: ignore[attr-defined]
        self.addCleanup(delattr, sys, "look_while_loading")
        self.addCleanup(delattr, sys, "note_loading")
        self.write("one/shop.py", "import sys\nsys.look_while_loading()\n" + textwrap.dedent(RELOADING % "1"))
        self.write("two/shop.py", "import sys\nsys.note_loading('two')\n" + textwrap.dedent(RELOADING % "2"))
        self.clock.advance(1)
        first.current()
        other.join(5)
        self.assertEqual(order, ["one", "two"])

    def test_edit(self) -> None:
        """A change is seen, at most a second later, also one of the same size in the same instant."""
        self.write("shop.py", RELOADING % "one")
        found = self.load("shop")
        self.assertEqual(call(found.current()), "one")
        self.write("shop.py", RELOADING % "two")
        self.assertEqual(call(found.current()), "one")
        self.clock.advance(0.99)
        self.assertEqual(call(found.current()), "one")
        self.clock.advance(0.01)
        self.assertEqual(call(found.current()), "two")
        current = found.current()
        self.clock.advance(10)
        self.assertIs(found.current(), current)

    def test_same_size_and_times(self) -> None:
        """Neither byte code nor the times of the file hide an edit."""
        for text in ("one", "two", "six"):
            path = self.write("shop.py", RELOADING % text)
            os.utime(path, (1_700_000_000, 1_700_000_000))
            if text == "one":
                found = self.load("shop")
            self.clock.advance(1)
            self.assertEqual(call(found.current()), text)
        self.assertFalse(os.path.exists(os.path.join(self.directory, "__pycache__")))

    def test_not_asked_for(self) -> None:
        """Without use_reloader nothing is watched."""
        self.write("shop.py", HELLO % "one")
        found = self.load("shop")
        self.edit("shop.py", HELLO % "two")
        self.assertEqual(call(found.current()), "one")

    def test_helpers(self) -> None:
        """Modules it imported from its own directory tree count, those imported at request time too; others do not."""
        self.write("beside.py", "VALUE = 'outside'")
        self.write("sub/helper.py", "VALUE = 'helper 1'")
        self.write("sub/package/deep.py", "VALUE = 'deep 1'")
        self.write("sub/late.py", "VALUE = 'late 1'")
        self.write("sub/unused.py", "")
        self.write(
            "sub/app.py",
            """
            import helper, beside
            from package.deep import VALUE
            def app(*a):
                import late
                return helper.VALUE, VALUE, late.VALUE, beside.VALUE
            app.use_reloader = True
            """,
        )
        found = self.load("sub/app")
        self.assertEqual(found.current()(), ("helper 1", "deep 1", "late 1", "outside"))
        self.edit("sub/helper.py", "VALUE = 'helper 2'")
        self.assertEqual(found.current()(), ("helper 2", "deep 1", "late 1", "outside"))
        self.edit("sub/package/deep.py", "VALUE = 'deep 2'")
        self.edit("sub/late.py", "VALUE = 'late 2'")
        self.assertEqual(found.current()(), ("helper 2", "deep 2", "late 2", "outside"))
        before = found.current()
        self.edit("sub/unused.py", "VALUE = 2")
        self.edit("beside.py", "VALUE = 'changed'")
        self.assertIs(found.current(), before)

    def test_broken_edit(self) -> None:
        """The old code goes on serving, the traceback is logged once, the next good edit counts."""
        self.write("shop.py", RELOADING % "one")
        found = self.load("shop")
        self.edit("shop.py", "def (")
        for _ in range(3):
            self.assertEqual(call(found.current()), "one")
            self.clock.advance(1)
        self.assertIn("SyntaxError", found.failure or "")
        self.assertEqual(len(self.logged()), 1)
        self.edit("shop.py", "1/0")
        self.assertEqual(call(found.current()), "one")
        self.assertEqual(len(self.logged()), 2)
        self.edit("shop.py", RELOADING % "two")
        self.assertEqual(call(found.current()), "two")
        self.assertIsNone(found.failure)

    def test_broken_edit_in_debug(self) -> None:
        """The traceback is there for the browser until it is mended; undoing the edit mends it too."""
        self.write("shop.py", DEBUGGING % "one")
        found = self.load("shop")
        for good in ("two", "one"):
            self.edit("shop.py", "1/0")
            for _ in range(2):
                with self.assertRaises(LoadError) as caught:
                    found.current()
                self.assertIn("ZeroDivisionError", caught.exception.traceback)
                self.clock.advance(1)
            self.edit("shop.py", DEBUGGING % good)
            self.assertEqual(call(found.current()), good)

    def test_broken_helper(self) -> None:
        """Old code goes on with its old helper, also when it imports it anew."""
        self.write("helper.py", "VALUE = 1")
        text = "import helper\ndef app(*a):\n    import helper\n    return helper.VALUE\napp.use_reloader = True"
        self.write("shop.py", text)
        found = self.load("shop")
        self.edit("helper.py", "VALUE = 2\n1/0")
        self.assertEqual(found.current()(), 1)
        self.edit("helper.py", "VALUE = 3")
        self.assertEqual(found.current()(), 3)

    def test_variable_vanishes(self) -> None:
        """That is a broken edit like any other, as is a file that is gone."""
        path = self.write("shop.py", RELOADING % "one")
        found = self.load("shop")
        self.edit("shop.py", "other = 1")
        self.assertEqual(call(found.current()), "one")
        self.assertIn("no variable 'app'", found.failure or "")
        os.remove(path)
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "one")
        self.edit("shop.py", RELOADING % "two")
        self.assertEqual(call(found.current()), "two")

    def test_preferences_again(self) -> None:
        """They are applied at every reload, and bootstrap is not called again."""
        self.write("sub/__init__.py", "def bootstrap(pref): pref.config.calls = pref.config.get('calls', 0) + 1")
        self.write("sub/app.py", HELLO % "one")
        pref = make_preferences()
        pref.use_reloader = 1
        pref.config.color = "blue"
        found = self.load("sub/app", pref=pref)
        more = "    app.config = {'color': 'red', 'size': 1}\n    app.use_reloader = False"
        self.edit("sub/app.py", HELLO % "two" + more)
        self.assertEqual(call(found.current()), "two")
        self.assertEqual(found.current().config, {"color": "blue", "size": 1, "calls": 1})
        self.assertTrue(found.use_reloader)

    def test_attributes_are_read_again(self) -> None:
        """debug and use_reloader are what the new code says."""
        self.write("shop.py", RELOADING % "one")
        found = self.load("shop")
        self.edit("shop.py", DEBUGGING % "two")
        found.current()
        self.assertTrue(found.debug)
        self.edit("shop.py", HELLO % "three")
        self.assertEqual(call(found.current()), "three")
        self.assertFalse(found.debug or found.use_reloader)

    def test_two_programs(self) -> None:
        """Programs of a directory are reloaded together and share the new helper; one that does not want to stays."""
        self.write("store.py", "items = []")
        for name in ("one", "two", "three"):
            wants = "" if name == "three" else "app.use_reloader = True"
            self.write(f"{name}.py", f"import store\ndef app(*a): return store.items\n{wants}")
        one, two, three = self.load_all(Mount("/1", "one"), Mount("/2", "two"), Mount("/3", "three"))
        old = three.current()()
        self.edit("store.py", "items = ['new']")
        self.assertIs(one.current()(), two.current()())
        self.assertEqual(one.current()(), ["new"])
        self.assertIs(three.current()(), old)
        self.edit("two.py", "1/0")
        self.assertEqual(two.current()(), ["new"])
        self.edit("two.py", "import store\ndef app(*a): return store.items")
        self.assertIs(two.current()(), one.current()())

    def test_shared_module_is_reloaded(self) -> None:
        """What the main script had imported is loaded afresh when it changes, by whatever name it is asked for."""
        self.write("store_to_reload.py", "items = ['old']")
        self.write(
            "shop.py",
            """
            import importlib, store_to_reload
            def app(*a): return store_to_reload.items, importlib.import_module("store_to_reload").items
            app.use_reloader = True
            """,
        )
        sys.path.insert(0, self.directory)
        __import__("store_to_reload")
        found = self.load("shop")
        self.assertEqual(found.current()(), (["old"], ["old"]))
        self.edit("store_to_reload.py", "items = ['new']")
        statement, by_name = found.current()()
        self.assertEqual(statement, ["new"])
        self.assertIs(statement, by_name)


class ObjectReloadTests(LoadingCase):
    """Reloading an application object that the main script mounts."""

    def script(self, text: str, name: str = "service.py") -> dict[str, Any]:
        """Execute a main script and return its globals."""
        path = self.write(name, text)
        namespace: dict[str, Any] = {"__name__": "__main__", "__file__": path, "__builtins__": __builtins__}
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), namespace)
        return namespace

    def edit(self, path: str, text: str) -> None:
        """Change a file and let a second pass."""
        self.write(path, text)
        self.clock.advance(1)

    def test_reloads_from_the_script(self) -> None:
        """The object itself is served until the script changes; then it is executed, but not as the main script."""
        guarded = DEBUGGING + "    if __name__ == '__main__':\n        ran = True\n    app.ran = 'ran' in globals()"
        origin = self.script(guarded % "one")
        found = self.load(origin["app"], origin=origin)
        self.assertIs(found.current(), origin["app"])
        self.assertTrue(found.debug and found.use_reloader)
        self.clock.advance(1)
        self.assertIs(found.current(), origin["app"])
        self.edit("service.py", guarded % "two")
        self.assertEqual(call(found.current()), "two")
        self.assertFalse(found.current().ran)
        self.edit("service.py", "1/0")
        self.assertRaises(LoadError, found.current)
        self.edit("service.py", guarded % "three")
        self.assertEqual(call(found.current()), "three")

    def test_helper_of_the_script(self) -> None:
        """A module that the script had imported is watched from the start."""
        self.write("helper_of_script.py", "VALUE = 1")
        sys.path.insert(0, self.directory)
        text = "import helper_of_script\nweb = lambda *a: helper_of_script.VALUE\nweb.use_reloader = 1"
        origin = self.script(text)
        found = self.load(origin["web"], origin=origin)
        self.assertEqual(found.current()(), 1)
        self.edit("helper_of_script.py", "VALUE = 2")
        self.assertEqual(found.current()(), 2)

    def test_defined_elsewhere(self) -> None:
        """An object imported from a module comes from there; that the script made it reload is kept."""
        self.write("defined_elsewhere.py", HELLO % "one")
        sys.path.insert(0, self.directory)
        text = "if __name__ == '__main__':\n    from defined_elsewhere import app\n    app.use_reloader = True"
        origin = self.script(text)
        found = self.load(origin["app"], origin=origin)
        for answer in ("two", "three"):
            self.edit("defined_elsewhere.py", HELLO % answer)
            self.assertEqual(call(found.current()), answer)

    def test_no_source(self) -> None:
        """An object that nobody can find again is served, with one warning."""

        def app(*a: Any) -> str:
            return "served"

        app.use_reloader = True  # type: ignore[attr-defined]
        found = self.load(app, origin={"__name__": "__main__"})
        self.assertFalse(found.use_reloader)
        self.assertEqual(found.current()(), "served")
        self.assertEqual(len([line for line in self.events if "will not be reloaded" in formatEvent(line)]), 1)

    def test_beside_a_file_mount(self) -> None:
        """The object is served as it is though its file is mounted as well."""
        origin = self.script(RELOADING % "one" + "    other = app")
        by_object, by_file = self.load_all(Mount("/", origin["app"], origin=origin), Mount("/f", "service.py", "other"))
        self.assertIs(by_object.current(), origin["app"])
        self.assertIsNot(by_file.current(), origin["app"])
        self.edit("service.py", RELOADING % "two" + "    other = app")
        self.assertEqual((call(by_object.current()), call(by_file.current())), ("two", "two"))

    def test_methods_are_no_flags(self) -> None:
        """An attribute ``debug`` that is a method shows no tracebacks to clients."""

        class Site:
            use_reloader = debug = print

            def __call__(self, *a: Any) -> None: ...

        found = self.load(Site())
        self.assertFalse(found.debug or found.use_reloader)


class PackageTests(LoadingCase):
    """Packages that are loaded again with an application."""

    def setUp(self) -> None:
        """Make a place for packages that is not the application's."""
        super().setUp()
        self.elsewhere = os.path.join(self.directory, "elsewhere")
        os.mkdir(self.elsewhere)
        sys.path.append(self.elsewhere)

    def edit(self, path: str, text: str) -> None:
        """Change a file and let a second pass."""
        self.write(path, text)
        self.clock.advance(1)

    def shop(self, path: str = "sub/shop.py", packages: str = "('corplib',)", reloads: str = "True") -> str:
        """Write an application that answers with what is in ``corplib.words`` and return its path."""
        return self.write(
            path,
            f"""
            from corplib import words

            def app(environ, start_response):
                start_response("200 OK", [])
                return [words.WORD.encode()]

            app.use_reloader = {reloads}
            app.skitai_packages = {packages}
            """,
        )

    def corplib(self, word: str, name: str = "elsewhere/corplib") -> None:
        """Write the package."""
        self.write(f"{name}/__init__.py", "")
        self.write(f"{name}/words.py", f"WORD = {word!r}")

    def test_package_of_its_own(self) -> None:
        """Modules of "package" in the application's directory are loaded again, with __init__.py or without."""
        for number, init in enumerate((True, False)):
            base = f"app{number}"
            if init:
                self.write(f"{base}/package/__init__.py", "")
            self.write(f"{base}/package/model.py", "WORD = 'one'")
            self.write(
                f"{base}/shop.py",
                """
                from package import model

                def app(environ, start_response):
                    start_response("200 OK", [])
                    return [model.WORD.encode()]

                app.use_reloader = True
                app.skitai_packages = ("package", "contrib")
                """,
            )
            found = self.load(f"{base}/shop.py")
            self.assertEqual(call(found.current()), "one")
            self.edit(f"{base}/package/model.py", "WORD = 'two'")
            self.assertEqual(call(found.current()), "two")

    def test_package_beside_the_main_script(self) -> None:
        """The same where modules have their plain names."""
        self.write("package/__init__.py", "")
        self.write("package/model.py", "WORD = 'one'")
        self.write("shop.py", RELOADING.replace('b"%s"', "model.WORD.encode()") + "    from package import model\n")
        found = self.load("shop")
        self.assertEqual(call(found.current()), "one")
        self.edit("package/model.py", "WORD = 'two'")
        self.assertEqual(call(found.current()), "two")

    def test_package_elsewhere(self) -> None:
        """One that was named is loaded again with the application, also for an edit of the same size at once."""
        self.corplib("one")
        found = self.load(self.shop())
        self.assertEqual(call(found.current()), "one")
        for word in ("two", "six"):
            self.corplib(word)
            self.clock.advance(1)
            self.assertEqual(call(found.current()), word)
        current = found.current()
        self.clock.advance(5)
        self.assertIs(found.current(), current, "it is loaded again without a change")

    def test_byte_code_hides_no_edit(self) -> None:
        """What Python has cached goes by whole seconds and sizes."""
        self.patch(sys, "dont_write_bytecode", False)
        self.corplib("one")
        path = os.path.join(self.elsewhere, "corplib", "words.py")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        found = self.load(self.shop())
        self.assertEqual(call(found.current()), "one")
        self.assertTrue(os.listdir(os.path.join(self.elsewhere, "corplib", "__pycache__")), "there is nothing cached")
        self.corplib("two")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_not_named(self) -> None:
        """One that was not named stays as it is, also when the application is loaded again."""
        self.corplib("one")
        path = self.shop(packages="('package', 'contrib')")
        found = self.load(path)
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "one")
        with open(path, "a", encoding="utf-8") as file:
            file.write("# edited")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "one")

    def test_stays_when_only_the_application_has_changed(self) -> None:
        """What others may share is not loaded again without need, and goes on being watched."""
        self.corplib("one")
        path = self.shop()
        found = self.load(path)
        package = sys.modules["corplib"]
        with open(path, "a", encoding="utf-8") as file:
            file.write("# edited")
        self.clock.advance(1)
        current = found.current()
        self.assertIs(sys.modules["corplib"], package)
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")
        self.assertIsNot(found.current(), current)
        self.assertIsNot(sys.modules["corplib"], package)

    def test_imported_while_a_request_is_answered(self) -> None:
        """A module that was imported late is watched from then on."""
        self.corplib("one")
        self.write(
            "sub/shop.py",
            """
            import corplib

            def app(environ, start_response):
                from corplib.words import WORD
                start_response("200 OK", [])
                return [WORD.encode()]

            app.use_reloader = True
            app.skitai_packages = ("corplib",)
            """,
        )
        found = self.load("sub/shop.py")
        self.assertEqual(call(found.current()), "one")
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_broken_edit(self) -> None:
        """The old code of package and application goes on, until the package is mended."""
        self.corplib("one")
        found = self.load(self.shop())
        module = sys.modules["corplib.words"]
        self.edit("elsewhere/corplib/words.py", "1/0")
        self.assertEqual(call(found.current()), "one")
        self.assertIs(sys.modules["corplib.words"], module)
        self.assertIs(sys.modules["corplib"].words, module)
        self.assertIn("ZeroDivisionError", self.logged()[0])
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_broken_edit_of_a_nested_one(self) -> None:
        """A package within one that is not named is put back into it."""
        self.write("elsewhere/corp/__init__.py", "")
        self.corplib("one", "elsewhere/corp/lib")
        path = self.shop(packages="('corp.lib',)")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.write("sub/shop.py", text.replace("from corplib", "from corp.lib"))
        found = self.load(path)
        parent, module = sys.modules["corp"], sys.modules["corp.lib"]
        self.edit("elsewhere/corp/lib/words.py", "1/0")
        self.assertEqual(call(found.current()), "one")
        self.assertIs(sys.modules["corp"], parent)
        self.assertIs(parent.lib, module)
        self.corplib("two", "elsewhere/corp/lib")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_shared_by_two(self) -> None:
        """Each application that follows it sees the edit, whichever is asked first; one that does not keeps its own."""
        self.corplib("one")
        first, second, third = self.load_all(
            Mount("/1", self.shop("a/shop.py")),
            Mount("/2", self.shop("b/shop.py")),
            Mount("/3", self.shop("c/shop.py", "()")),
        )
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual([call(item.current()) for item in (second, first, third)], ["two", "two", "one"])
        self.corplib("six")
        self.clock.advance(1)
        self.assertEqual([call(item.current()) for item in (first, third, second)], ["six", "one", "six"])

    def test_that_of_another_application(self) -> None:
        """A package beside the main script, which an application there has too: both see edits, in either order."""
        for number in range(2):
            base = os.path.join(self.directory, f"base{number}")
            self.corplib("one", f"base{number}/corplib")
            self.shop(f"base{number}/main.py", "()")
            self.shop(f"base{number}/sub/shop.py")
            loader = self.loader(base)
            mounted = loader.load_all([Mount("/", "main"), Mount("/sub", "sub/shop")])
            found = [item.application for item in mounted if item.application is not None]
            self.assertEqual([call(item.current()) for item in found], ["one", "one"])
            self.corplib("two", f"base{number}/corplib")
            self.clock.advance(1)
            order = found[::-1] if number else found
            self.assertEqual([call(item.current()) for item in order], ["two", "two"])
            loader.close()

    def test_what_the_server_runs_on(self) -> None:
        """The standard library, Twisted and Skitai itself are never loaded again."""
        self.corplib("one")
        found = self.load(self.shop(packages="['json', 'twisted', 'skitai.errors', 'os', 'corplib', 5]"))
        before = {name: sys.modules[name] for name in ("json", "twisted", "skitai.errors", "os")}
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")
        for name, module in before.items():
            self.assertIs(sys.modules[name], module)

    def test_said_in_other_ways(self) -> None:
        """The names may come from a method; what is no list of names is none."""
        self.corplib("one")
        found = self.load(self.shop(packages="lambda: ['corplib']"))
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")
        for number, packages in enumerate(("None", "'corplib'", "5")):
            self.load(self.shop(f"odd{number}/shop.py", packages=packages))

    def test_object(self) -> None:
        """An application object that the main script mounts follows packages too."""
        self.corplib("one")
        path = self.shop("main.py")
        namespace: dict[str, Any] = {"__file__": path, "__name__": "__main__"}
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), namespace)
        found = self.load(namespace["app"], origin=namespace)
        self.assertEqual(call(found.current()), "one")
        self.corplib("two")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_edited_while_the_application_is_loaded_again(self) -> None:
        """An edit just then is seen at the next look."""
        self.corplib("one")
        path = self.shop()
        found = self.load(path)
        sys.edit_of_test = lambda: self.corplib("two")  # type: ignore[attr-defined]
        self.addCleanup(delattr, sys, "edit_of_test")
        with open(path, "a", encoding="utf-8") as file:
            file.write("import sys\nsys.edit_of_test()\n")
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "one")
        sys.edit_of_test = lambda: None  # type: ignore[attr-defined]
        self.clock.advance(1)
        self.assertEqual(call(found.current()), "two")

    def test_mended_by_a_new_file_in_the_package(self) -> None:
        """A module that an edit of the package missed is seen when it appears."""
        self.corplib("one")
        found = self.load(self.shop())
        self.edit("elsewhere/corplib/words.py", "from corplib.more import WORD")
        self.assertEqual(call(found.current()), "one")
        self.edit("elsewhere/corplib/more.py", "WORD = 'more'")
        self.assertEqual(call(found.current()), "more")
