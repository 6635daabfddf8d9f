"""``twistd skitai``: its options, its application file, and its service."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet import reactor
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

import skitai
from skitai import declare, tap
from skitai.config import OPTIONS, Settings
from skitai.declare import Declaration, Stage
from skitai.errors import ConfigError, NotAvailable
from skitai.values import Switch

PLAIN = "def app(environ, start_response):\n    return []\n\nother = app\n"


class Case(SynchronousTestCase):
    """A test with a directory for application files; imports and working directory are put back."""

    def setUp(self) -> None:
        """Make the directory and remember the rest."""
        self.base = os.path.abspath(self.mktemp())
        os.makedirs(self.base)
        self.addCleanup(os.chdir, os.getcwd())
        self.addCleanup(declare.replace, declare.current())
        self.patch(sys, "path", list(sys.path))
        self.addCleanup(sys.modules.__setitem__, "__main__", sys.modules["__main__"])
        self.addCleanup(self.forget_modules)
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)

    @contextmanager
    def capture(self) -> Iterator[list[LogEvent]]:
        """Give the events that are logged meanwhile."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        try:
            yield events
        finally:
            globalLogPublisher.removeObserver(events.append)

    def forget_modules(self) -> None:
        """Remove the application files from the modules of this process."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(self.base):
                del sys.modules[name]

    def file(self, name: str, content: str) -> str:
        """Write a file and return its path."""
        path = os.path.join(self.base, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path


class OptionsTest(Case):
    """The options are those of the table."""

    def test_given(self) -> None:
        """What was given is told by name of option, as texts."""
        options = tap.Options()
        words = ["--app", "a.py", "--port", "1", "--max-head-size=8K", "--no-compression", "-v"]
        options.parseOptions([*words, "--listen", "tcp:1", "--listen", "unix:/x", "--trusted-proxies", "::1"])
        wanted = {"port": "1", "max_head_size": "8K", "compression": False, "verbose": True}
        wanted |= {"listen": ["tcp:1", "unix:/x"], "trusted_proxies": ["::1"]}
        self.assertEqual(options.given(), wanted)
        self.assertEqual(options["app"], "a.py")

    def test_nothing_given(self) -> None:
        """Defaults are not taken for given: keywords of ``run()`` would never win."""
        options = tap.Options()
        options.parseOptions([])
        self.assertEqual(options.given(), {})

    def test_every_option(self) -> None:
        """Each option of the table is there with its help, but for secrets."""
        text = str(tap.Options())
        for option in OPTIONS:
            self.assertEqual(f"--{option.flag}" in text, option.command_line, option.name)
            if isinstance(option.kind, Switch):
                self.assertIn(f"--no-{option.flag}", text)

    def test_usage_errors(self) -> None:
        """One line on stderr and status 2, without a list of all options."""
        for words, wanted in {
            ("--prot", "5"): "there is no option --prot (did you mean --port?)",
            ("--port",): "option --port requires argument",
            ("app.py",): "'app.py' is no option; an application file is given as --app app.py",
        }.items():
            self.errors.truncate(self.errors.seek(0))
            with self.assertRaises(SystemExit) as caught:
                tap.Options().parseOptions(list(words))
            self.assertEqual(caught.exception.code, 2)
            self.assertEqual(self.errors.getvalue(), f"twistd skitai: {wanted}\n")

    def test_version(self) -> None:
        """It is Skitai's, not Twisted's."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--version"])
        self.assertEqual((caught.exception.code, output.getvalue()), (0, f"Skitai {skitai.__version__}\n"))

    def test_usage_error_is_twisteds(self) -> None:
        """What ``parseArgs`` raises is what twistd knows."""
        self.assertRaises(UsageError, tap.Options().parseArgs, "x")


class ApplicationFileTest(Case):
    """What ``--app`` makes of a file."""

    def test_variable(self) -> None:
        """Without mounts the variable ``app`` is mounted at "/", or the one that is named."""
        path = self.file("plain_site.py", PLAIN)
        for text, name in {path: "app", path[:-3]: "app", f"{path}:other": "other"}.items():
            (mount,) = tap.read_application_file(text).mounts
            self.assertEqual((mount.point, mount.appname), ("/", name))
            self.assertIs(mount.target, mount.origin and mount.origin[name])

    def test_own_mounts(self) -> None:
        """What the file mounts itself is used, and ``run()`` only leaves its keywords."""
        path = self.file(
            "own_site.py",
            "import skitai\n"
            + PLAIN
            + "skitai.mount('/a', app)\nskitai.run(port=7, mount=('/b', other))\nafter = True\n",
        )
        declaration = tap.read_application_file(path)
        self.assertEqual([mount.point for mount in declaration.mounts], ["/a", "/b"])
        self.assertEqual(declaration.keywords["port"], 7)
        self.assertEqual(declaration.base_directory, self.base)
        self.assertIs(declaration.stage, Stage.RECORDED)
        self.assertIs(declare.current(), declaration)
        self.assertTrue(declaration.mounts[0].origin and declaration.mounts[0].origin["after"])

    def test_not_main(self) -> None:
        """The file is no script: what it keeps for being one is not run."""
        path = self.file("guarded_site.py", PLAIN + "if __name__ == '__main__':\n    raise ZeroDivisionError\n")
        (mount,) = tap.read_application_file(path).mounts
        self.assertEqual(mount.origin and mount.origin["__name__"], "guarded_site")
        self.assertIn("guarded_site", sys.modules)

    def test_not_main_of_another_server(self) -> None:
        """What another server's ``run()`` stands under is not run, and the log says so."""
        for number, body in enumerate(("app.run()", "import skitai\n    server.run()", "skitai = 5\n    run()")):
            path = self.file(f"flask_site{number}.py", PLAIN + f"if __name__ == '__main__':\n    {body}\n")
            with self.capture() as events:
                (mount,) = tap.read_application_file(path).mounts
            self.assertEqual(mount.appname, "app")
            (event,) = events
            self.assertIn("it does not call skitai.run()", formatEvent(event))

    def test_name_that_is_taken(self) -> None:
        """A file called like a module of Python's does not replace it."""
        import colorsys

        path = self.file("colorsys.py", PLAIN)
        (mount,) = tap.read_application_file(path).mounts
        self.assertEqual(mount.origin and mount.origin["__name__"], "skitai_app_colorsys")
        self.assertIs(sys.modules["colorsys"], colorsys)

    def test_neighbours(self) -> None:
        """Modules beside the file can be imported, as in a script."""
        self.file("neighbour_of_site.py", "value = 5\n")
        path = self.file("importing_site.py", "import neighbour_of_site\n" + PLAIN)
        (mount,) = tap.read_application_file(path).mounts
        self.assertEqual(mount.appname, "app")
        self.assertIsNot(mount.origin, None)

    def test_broken(self) -> None:
        """A file that can not be imported is mounted by its path; what it declared before it broke does not count."""
        for number, last in enumerate(["1 / 0", "def", "raise SystemExit(1)"]):
            path = self.file(f"broken{number}.py", f"import skitai\n{PLAIN}skitai.mount('/x', app)\n{last}\n")
            declaration = tap.read_application_file(f"{path}:other")
            (mount,) = declaration.mounts
            self.assertEqual((mount.point, mount.target, mount.appname), ("/", path, "other"))
            self.assertIs(declare.current(), declaration)
            self.assertNotIn(f"broken{number}", sys.modules)

    def test_package(self) -> None:
        """A file in a package is mounted by its path, for its ``bootstrap()`` and relative imports."""
        self.file("__init__.py", "def bootstrap(pref):\n    pass\n")
        path = self.file("packaged_site.py", "raise ZeroDivisionError\n")
        (mount,) = tap.read_application_file(path).mounts
        self.assertEqual(mount.target, path)

    def test_faults(self) -> None:
        """No file, no such file, no such variable."""
        path = self.file("without_site.py", "x = 1\n")
        for text, wanted in {
            None: "an application file is needed: twistd skitai --app app.py",
            path + "x": f"--app: there is no file {path + 'x'!r}",
            self.base: f"--app: there is no file {self.base!r}",
            path: f"{path} mounts nothing and has no variable 'app'",
            f"{path}:y": f"{path} mounts nothing and has no variable 'y'",
        }.items():
            error = self.assertRaises(ConfigError, tap.read_application_file, text)
            self.assertEqual(str(error), wanted)


SCRIPT = (
    PLAIN
    + """
import sys
seen = [__name__, __file__, sys.argv, sys.modules["__main__"].app is app]

if __name__ == "__main__":
    import skitai

    pref = skitai.pref()
    skitai.alias("@shop", skitai.PROTO_HTTP, "127.0.0.1:5002")
    skitai.set_max_rcache(7)
    skitai.mount("/", app, pref=pref)
    skitai.mount("/other", other)
    skitai.run(port=7, clusters={"@news": ("http", "127.0.0.1:5001")})
    seen.append("behind run()")
"""
)


class ScriptTest(Case):
    """A file that calls ``skitai.run()`` is run as a script, so that what it declares as one is not lost."""

    def test_everything_that_is_declared(self) -> None:
        path = self.file("script_site.py", SCRIPT)
        argv = list(sys.argv)
        declaration = tap.read_application_file(path)
        self.assertEqual([mount.point for mount in declaration.mounts], ["/", "/other"])
        self.assertEqual(set(declaration.aliases), {"@shop", "@news"})
        self.assertEqual((declaration.max_rcache, declaration.keywords["port"]), (7, 7))
        self.assertIs(declaration.stage, Stage.RECORDED)
        self.assertEqual(sys.argv, argv)
        origin = declaration.mounts[0].origin
        assert origin is not None
        self.assertEqual(origin["seen"], ["__main__", path, [path], True, "behind run()"])

    def test_it_stays_the_main_module(self) -> None:
        """As with ``python app.py``: pickles, Flask and multiprocessing look there later."""
        path = self.file("pickling_site.py", SCRIPT + "class Item:\n    pass\n")
        tap.read_application_file(path)
        main = sys.modules["__main__"]
        self.assertEqual((main.__file__, main.__spec__), (path, None))
        item = pickle.loads(pickle.dumps(main.__dict__["Item"]()))
        self.assertIs(type(item), main.__dict__["Item"])

    def test_ways_to_call_run(self) -> None:
        for number, body in enumerate(
            (
                "import skitai as server\n    server.mount('/x', app)\n    server.run ()",
                "from skitai import mount, run\n    mount('/x', app)\n    run()",
                "from skitai import mount, run as serve\n    mount('/x', app)\n    serve()",
                "from skitai import *\n    mount('/x', app)\n    run()",
                "import skitai\n    main = lambda: skitai.run(mount=('/x', app))\n    main()",
                "import sys, skitai\n    skitai.mount('/x', app)\n    sys.exit(skitai.run())",
            )
        ):
            path = self.file(f"calling_site{number}.py", PLAIN + f"if __name__ == '__main__':\n    {body}\n")
            (mount,) = tap.read_application_file(path).mounts
            self.assertEqual(mount.point, "/x", body)

    def test_variable(self) -> None:
        """One that is named takes the place of the application at "/"; what else is declared stays."""
        path = self.file("naming_site.py", SCRIPT + "def third(environ, start_response):\n    return []\n")
        declaration = tap.read_application_file(f"{path}:third")
        self.assertEqual([mount.point for mount in declaration.mounts], ["/other", "/"])
        self.assertEqual(declaration.mounts[1].appname, "third")
        self.assertEqual(set(declaration.aliases), {"@shop", "@news"})
        declaration = tap.read_application_file(f"{path}:app")
        self.assertEqual([mount.point for mount in declaration.mounts], ["/", "/other"])
        self.assertIsNot(declaration.mounts[0].pref, None)
        error = self.assertRaises(ConfigError, tap.read_application_file, f"{path}:nix")
        self.assertEqual(str(error), f"{path} has no variable 'nix'")

    def test_nothing_mounted(self) -> None:
        """The variable ``app`` is mounted, as where there is no ``run()``."""
        path = self.file("bare_site.py", PLAIN + "import skitai\nskitai.run(port=8)\n")
        declaration = tap.read_application_file(path)
        self.assertEqual([(mount.point, mount.appname) for mount in declaration.mounts], [("/", "app")])
        self.assertEqual(declaration.keywords, {"port": 8})

    def test_broken(self) -> None:
        """It is mounted by its path, with a warning: what it declares is lost until it is started again."""
        main, argv = sys.modules["__main__"], list(sys.argv)
        for number, last in enumerate(["1 / 0", "def", "raise SystemExit(1)", "raise SystemExit('no')"]):
            path = self.file(f"broken_script{number}.py", SCRIPT + last + "\n")
            with self.capture() as events:
                declaration = tap.read_application_file(path)
            ((mount),) = declaration.mounts
            self.assertEqual((mount.point, mount.target, mount.appname), ("/", path, "app"))
            self.assertEqual(declaration.aliases, {})
            self.assertIs(sys.modules["__main__"], main)
            self.assertEqual(sys.argv, argv)
            (event,) = events
            self.assertIn("without what it declares", formatEvent(event))

    def test_package(self) -> None:
        """In a package too, unless it imports as only a module of a package can."""
        self.file("__init__.py", "")
        self.file("beside_site.py", "")
        path = self.file("packaged_script.py", SCRIPT)
        self.assertEqual(len(tap.read_application_file(path).mounts), 2)
        path = self.file("relative_script.py", "from . import beside_site\n" + SCRIPT)
        (mount,) = tap.read_application_file(path).mounts
        self.assertEqual(mount.target, path)

    def test_encoding(self) -> None:
        """The file is read as Python reads it."""
        text = "# -*- coding: latin-1 -*-\nword = 'caf\xe9'\n" + SCRIPT
        path = os.path.join(self.base, "latin_site.py")
        with open(path, "wb") as file:
            file.write(text.encode("latin-1"))
        mount = tap.read_application_file(path).mounts[0]
        self.assertEqual(mount.origin and mount.origin["word"], "caf\xe9")


class BuildTest(Case):
    """From options to a service."""

    def setUp(self) -> None:
        """Stand in for the server."""
        super().setUp()
        self.made: list[tuple[Settings, Declaration, Any]] = []

    def make_service(self, settings: Settings, declaration: Declaration, on: Any, twistd: Any) -> IService:
        """Stand for ``server.make_service``."""
        self.made.append((settings, declaration, on))
        return Service()

    def build(self, *words: str) -> IService:
        """Make the service of these options."""
        options = tap.Options()
        options.parseOptions(list(words))
        return tap.build(options, self.make_service)

    def test_service(self) -> None:
        """Options win over ``run()``; the working directory is that of the file; the reactor is the one there is."""
        path = self.file(
            "service_site.py", "import skitai\n" + PLAIN + "skitai.mount('/', app)\nskitai.run(port=7, threads=2)\n"
        )
        service = self.build("--app", path, "--port", "8", "--listen", "tcp:1")
        self.assertTrue(IService.providedBy(service))
        ((settings, declaration, on),) = self.made
        self.assertEqual((settings.port, settings.threads, settings.listen), (8, 2, ("tcp:1",)))
        self.assertIs(on, reactor)
        self.assertIs(declaration.stage, Stage.RUNNING)
        self.assertEqual(os.getcwd(), os.path.realpath(self.base))

    def test_faults(self) -> None:
        """Those of options, keywords and mounts come together."""
        path = self.file("faulty_site.py", "import skitai\nskitai.mount('/', 'nix')\nskitai.run(prot=7)\n")
        error = self.assertRaises(ConfigError, self.build, "--app", path, "--threads", "x")
        self.assertEqual(len(error.faults), 3)
        self.assertEqual(self.made, [])

    def test_not_available(self) -> None:
        """The same is refused as for a script."""
        path = self.file("refused_site.py", "import skitai\nskitai.cron('* * * * *', 'x')\n" + PLAIN)
        error = self.assertRaises(NotAvailable, self.build, "--app", path, "--workers", "2")
        self.assertEqual(len(error.faults), 2)

    def test_other_reactor(self) -> None:
        """A reactor asked for when another is installed is a fault; one that ``run()`` asks for is overruled."""
        path = self.file("reactor_site.py", "import skitai\n" + PLAIN + "skitai.run(reactor='kqueue')\n")
        self.build("--app", path)
        error = self.assertRaises(ConfigError, self.build, "--app", path, "--reactor", "kqueue")
        self.assertIn("reactor 'kqueue' can not be installed", str(error))

    def test_make_service(self) -> None:
        """A fault ends twistd with one line and status 2."""
        options = tap.Options()
        options.parseOptions(["--app", os.path.join(self.base, "nix.py")])
        with self.assertRaises(SystemExit) as caught:
            tap.makeService(options)
        self.assertEqual(caught.exception.code, 2)
        path = os.path.join(self.base, "nix.py")
        self.assertEqual(self.errors.getvalue(), f"twistd skitai: --app: there is no file {path!r}\n")


class PluginTest(Case):
    """What twistd itself finds."""

    def twistd(self, *words: str) -> tuple[int, str, str]:
        """Run twistd in a process of its own and return status, stdout and stderr."""
        root = os.path.dirname(os.path.dirname(os.path.abspath(skitai.__file__)))
        done = subprocess.run(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *words],
            capture_output=True,
            cwd=self.base,
            env={**os.environ, "PYTHONPATH": root},
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_listed(self) -> None:
        """twistd lists the command and shows its options."""
        status, output, _ = self.twistd("skitai", "--help")
        self.assertEqual(status, 0)
        self.assertIn("--app=", output)
        self.assertIn("--max-head-size=", output)

    def test_usage_error(self) -> None:
        """A usage error is one line and status 2 there too, and leaves no pid file."""
        status, output, errors = self.twistd("-n", "skitai", "--bad")
        self.assertEqual((status, output), (2, ""))
        self.assertEqual(errors, "twistd skitai: there is no option --bad\n")
        self.assertEqual(os.listdir(self.base), [])

    def test_fault(self) -> None:
        """So is a fault of the configuration."""
        self.file("site_of_twistd.py", PLAIN)
        status, output, errors = self.twistd("-n", "skitai", "--app", "site_of_twistd.py", "--port", "x")
        self.assertEqual((status, output), (2, ""))
        self.assertEqual(errors, "twistd skitai: --port must be a number from 0 to 65535, not 'x'\n")

    def test_light(self) -> None:
        """The plugin itself imports nothing of Skitai."""
        root = os.path.dirname(os.path.dirname(os.path.abspath(skitai.__file__)))
        plugin = os.path.join(root, "twisted", "plugins", "skitai_plugin.py")
        if not os.path.exists(plugin):
            # Installed from a wheel it is where Twisted keeps its own.
            import twisted.plugins

            plugin = os.path.join(next(iter(twisted.plugins.__path__)), "skitai_plugin.py")
        code = (
            f"import runpy, sys; runpy.run_path({plugin!r}); print([n for n in sys.modules if n.startswith('skitai')])"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=self.base)
        self.assertEqual(shown.stdout.strip(), b"[]")
