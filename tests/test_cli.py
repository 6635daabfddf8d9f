"""Running a script: its command line, what happens before the server starts, and how faults are told."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import types
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import skitai
from skitai import cli, declare
from skitai.config import OPTIONS, Settings
from skitai.declare import Declaration, Stage
from skitai.errors import ConfigError, NotAvailable
from skitai.values import Switch


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Stand for an application; never called."""
    return []


class ParseTest(SynchronousTestCase):
    """Reading a command line."""

    def test_spellings(self) -> None:
        """A value follows its option or an equals sign; dashes and underscores are the same."""
        line = cli.parse(["--port", "5001", "--max-head-size=8K", "--head_timeout", "5", "-v"])
        wanted = {"port": "5001", "max_head_size": "8K", "head_timeout": "5", "verbose": True}
        self.assertEqual((line.options, line.command, line.faults), (wanted, "", []))

    def test_switches(self) -> None:
        """A switch has an opposite and may have a value."""
        for words, wanted in {
            ("--compression",): True,
            ("--no-compression",): False,
            ("--compression=off",): "off",
        }.items():
            self.assertEqual(cli.parse(words).options, {"compression": wanted}, words)
        self.assertEqual(cli.parse(["--no-compression=1"]).faults, ["--no-compression takes no value"])

    def test_repeated(self) -> None:
        """An option that may be repeated adds up, of another the last counts."""
        line = cli.parse(["--listen", "tcp:1", "--listen=unix:/x", "--port", "1", "--port", "2"])
        self.assertEqual(line.options, {"listen": ["tcp:1", "unix:/x"], "port": "2"})

    def test_commands(self) -> None:
        """A command may stand anywhere; -d is start."""
        for words, command in {
            ("start",): "start",
            ("-d",): "start",
            ("-d", "start"): "start",
            ("--port", "5", "stop"): "stop",
            ("restart", "-v"): "restart",
            ("status",): "status",
        }.items():
            line = cli.parse(words)
            self.assertEqual((line.command, line.faults), (command, []), words)

    def test_faults(self) -> None:
        """Each is one sentence that names the word."""
        for words, wanted in {
            ("strat",): "there is no command 'strat' (did you mean start?)",
            ("start", "stop"): "start and stop can not be had together",
            ("--prot", "5"): "there is no option --prot (did you mean --port?)",
            ("--prot=5",): "there is no option --prot (did you mean --port?)",
            ("--zzzzzzz",): "there is no option --zzzzzzz",
            ("-x",): "there is no option -x",
            ("--port",): "--port needs a value",
            ("--passphrase", "hush"): "there is no option --passphrase",
            ("-",): "there is no command '-'",
        }.items():
            self.assertEqual(cli.parse(words).faults, [wanted], words)

    def test_negative_value(self) -> None:
        """What follows an option is its value, whatever it looks like."""
        self.assertEqual(cli.parse(["--port", "-1"]).options, {"port": "-1"})

    def test_every_option(self) -> None:
        """Each option of the table can be given, but for secrets."""
        for option in OPTIONS:
            words = [f"--{option.flag}"] if isinstance(option.kind, Switch) else [f"--{option.flag}", "x"]
            line = cli.parse(words)
            self.assertEqual(bool(line.faults), not option.command_line, option.name)
            self.assertEqual(option.name in line.options, option.command_line, option.name)

    def test_help(self) -> None:
        """Help names every command and option with its default."""
        text = cli.help_text("app.py")
        for word in ("python app.py", "restart", "-v, --[no-]verbose", "--max-head-size SIZE", "[64K]", "[30 seconds]"):
            self.assertIn(word, text)
        for option in OPTIONS:
            self.assertEqual(f"{option.flag}" in text, option.command_line, option.name)


class Case(SynchronousTestCase):
    """A test with a declaration, a base directory, and stderr caught."""

    def setUp(self) -> None:
        """Make them; the working directory is put back afterwards."""
        self.base = os.path.abspath(self.mktemp())
        os.makedirs(self.base)
        self.addCleanup(os.chdir, os.getcwd())
        self.declaration = Declaration(self.base)
        self.addCleanup(declare.replace, declare.replace(self.declaration))
        self.errors = io.StringIO()
        self.output = io.StringIO()
        self.patch(sys, "stderr", self.errors)
        self.patch(sys, "stdout", self.output)
        self.patch(cli, "install_reactor", lambda name: None)
        self.served: list[tuple[Settings, Declaration]] = []

    def serve(self, settings: Settings, declaration: Declaration, again: Any) -> int:
        """Stand for the server."""
        self.served.append((settings, declaration))
        return 0

    def main(self, *words: str) -> int:
        """Run the script with these words on its command line."""
        return cli.main(self.declaration, ["/x/app.py", *words], self.serve)

    def refused(self, *words: str) -> str:
        """Check that the script ends with status 2 and one line on stderr, and return it."""
        self.errors.truncate(self.errors.seek(0))
        self.assertEqual(self.main(*words), 2)
        self.assertEqual(self.served, [])
        text = self.errors.getvalue()
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("app.py: ") and text.endswith("\n"), text)
        return text[len("app.py: ") : -1]


class MainTest(Case):
    """From the command line to the server."""

    def test_serves(self) -> None:
        """The server gets settings of all sources, in the base directory."""
        skitai.set_keep_alive(7)
        skitai.mount("/", application)
        self.declaration.accept({"threads": 2, "port": 1}, None)
        self.assertEqual(self.main("--port", "5001"), 0)
        ((settings, declaration),) = self.served
        self.assertEqual((settings.port, settings.threads, settings.keep_alive_timeout), (5001, 2, 7.0))
        self.assertIs(declaration, self.declaration)
        self.assertIs(declaration.stage, Stage.RUNNING)
        self.assertEqual(os.getcwd(), os.path.realpath(self.base))
        self.assertEqual(self.errors.getvalue(), "")

    def test_status_of_the_server(self) -> None:
        """The server's exit status is the script's."""
        skitai.mount("/", application)
        self.assertEqual(cli.main(self.declaration, ["a"], lambda settings, declaration, again: 5), 5)

    def test_the_program_is_run_again_from_where_it_was_started(self) -> None:
        """By the absolute path of the script, since that may have gone elsewhere itself."""
        calls: list[Any] = []
        skitai.mount("/", application)
        self.patch(sys, "orig_argv", ["python", "-X", "dev", "app.py", "--port", "1", "app.py"])
        self.patch(sys, "argv", ["app.py", "--port", "1", "app.py"])
        self.patch(sys.modules["__main__"], "__file__", "/x/app.py")
        self.patch(os, "execv", lambda *arguments: calls.append((os.getcwd(), *arguments)))
        before = os.getcwd()
        cli.main(self.declaration, ["a"], lambda settings, declaration, again: again())
        [(directory, program, arguments)] = calls
        self.assertEqual((directory, program), (before, sys.executable))
        self.assertEqual(arguments, [sys.executable, "-X", "dev", "/x/app.py", "--port", "1", "app.py"])

    def test_all_faults_in_one_line(self) -> None:
        """Those of command line, keywords, functions and mounts together."""
        skitai.set_keep_alive(-1)
        skitai.mount("/", "nix")
        skitai.cron("x", "y")
        self.declaration.accept({"prot": 1}, None)
        text = self.refused("--threads", "x", "strat")
        for part in ("'strat'", "'prot'", "--threads must be", "keep_alive_timeout must be", "mount '/'", "cron 'x'"):
            self.assertIn(part, text)
        self.assertEqual(len(text.split("; ")), 6)

    def test_nothing_mounted(self) -> None:
        """It says what to do."""
        self.assertEqual(self.refused(), "nothing is mounted: call skitai.mount('/', app) before skitai.run()")

    def test_not_available(self) -> None:
        """What a later version brings is refused by name, in one line."""
        skitai.mount("/", application)
        self.assertIn("the command 'start' is not available yet", self.refused("-d"))
        self.assertIn("the command 'status' is not available yet", self.refused("status"))
        self.assertIn("workers=2 is not available yet", self.refused("--workers", "2"))
        self.assertIn("early_hints is not available yet", self.refused("--early-hints"))
        self.assertIn("proxy_timeout is not available yet", self.refused("--proxy-timeout", "5"))
        skitai.enable_proxy()
        skitai.cron("* * * * *", "x")
        text = self.refused("--workers=2")
        for part in ("workers=2", "enable_proxy()", "cron '* * * * *'"):
            self.assertIn(part, text)

    def test_fault_of_the_server(self) -> None:
        """What the server finds, such as a port in use, is told the same way; line breaks are not."""

        def serve(settings: Settings, declaration: Declaration, again: Any) -> int:
            raise ConfigError("port 5000\nis in use")

        skitai.mount("/", application)
        self.assertEqual(cli.main(self.declaration, ["/x/app.py"], serve), 2)
        self.assertEqual(self.errors.getvalue(), "app.py: port 5000 is in use\n")

    def test_not_our_business(self) -> None:
        """A bug is not taken for a fault of the configuration."""

        def serve(settings: Settings, declaration: Declaration, again: Any) -> int:
            raise ZeroDivisionError

        skitai.mount("/", application)
        self.assertRaises(ZeroDivisionError, cli.main, self.declaration, ["a"], serve)

    def test_questions(self) -> None:
        """Help and version go to stdout, even where nothing could be served."""
        self.assertEqual(self.main("--help"), 0)
        self.assertIn("Usage: python app.py", self.output.getvalue())
        self.assertEqual(cli.main(self.declaration, ["/x/skitai/__main__.py", "-h"]), 0)
        self.assertIn("Usage: python -m skitai [-v]", self.output.getvalue())
        self.assertEqual(self.main("--version"), 0)
        self.assertTrue(self.output.getvalue().endswith(f"\nSkitai {skitai.__version__}\n"))
        self.assertEqual((self.served, self.errors.getvalue()), ([], ""))

    def test_main_thread(self) -> None:
        """In another thread it is refused before anything has happened."""
        skitai.mount("/", application)
        statuses: list[int] = []
        thread = threading.Thread(target=lambda: statuses.append(self.main()))
        thread.start()
        thread.join()
        self.assertEqual((statuses, self.served), ([2], []))
        self.assertIn("must be called in the main thread", self.errors.getvalue())

    def test_relative_paths(self) -> None:
        """They start at the base directory."""
        skitai.mount("/", application)
        self.main("--logpath", "logs")
        self.assertEqual(self.served[0][0].logpath, os.path.join(self.base, "logs"))


class RunTest(Case):
    """``skitai.run()`` in a script."""

    def setUp(self) -> None:
        """Stand in for the server and the command line."""
        super().setUp()
        stand_in = types.ModuleType("skitai.server")
        stand_in.run = self.serve  # type: ignore[attr-defined]
        self.patch_module("skitai.server", stand_in)
        self.patch(sys, "argv", ["/x/app.py", "--threads", "3"])

    def patch_module(self, name: str, module: types.ModuleType) -> None:
        """Have ``from skitai import server`` give ``module`` during the test."""
        before = sys.modules.get(name)
        attribute = name.rpartition(".")[2]
        had = vars(skitai).get(attribute)
        sys.modules[name] = module
        setattr(skitai, attribute, module)

        def restore() -> None:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
            if had is None:
                delattr(skitai, attribute)
            else:
                setattr(skitai, attribute, had)

        self.addCleanup(restore)

    def test_run(self) -> None:
        """It reads the command line and its keywords, and serves from the script's directory."""
        script = {"__file__": os.path.join(self.base, "app.py"), "skitai": skitai, "app": application}
        exec("skitai.run(port=8000, mount=('/', app))", script)
        ((settings, declaration),) = self.served
        self.assertEqual((settings.port, settings.threads), (8000, 3))
        self.assertEqual(declaration.base_directory, self.base)
        self.assertIs(declaration.mounts[0].origin, script)

    def test_exit_status(self) -> None:
        """It ends the program with status 2 when it can not start, and returns when all went well."""
        with self.assertRaises(SystemExit) as caught:
            exec("skitai.run()", {"__file__": os.path.join(self.base, "app.py"), "skitai": skitai})
        self.assertEqual(caught.exception.code, 2)
        self.assertIn("nothing is mounted", self.errors.getvalue())


class ReactorTest(SynchronousTestCase):
    """Choosing the reactor, each in a process of its own."""

    def python(self, code: str) -> str:
        """Run ``code`` and return what it prints."""
        root = os.path.dirname(os.path.dirname(os.path.abspath(skitai.__file__)))
        code = f"from skitai.cli import install_reactor\nfrom skitai.errors import ConfigError\n{code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode().strip()

    def test_installs(self) -> None:
        """The reactor asked for is the one that is imported afterwards."""
        for name, wanted in {"asyncio": "AsyncioSelectorReactor", "select": "SelectReactor"}.items():
            shown = self.python(
                f"install_reactor({name!r})\nfrom twisted.internet import reactor\nprint(type(reactor).__name__)"
            )
            self.assertEqual(shown, wanted)

    def test_nothing_imported_before(self) -> None:
        """Reading command line and options imports no reactor, which would install the default one."""
        code = "import sys, skitai.cli, skitai.declare\nprint('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(self.python(code), "False")

    def test_too_late(self) -> None:
        """A program that has imported another reactor is told so."""
        shown = self.python(
            "from twisted.internet import selectreactor; selectreactor.install()\n"
            "install_reactor('select'); install_reactor('default')\n"
            "try:\n    install_reactor('asyncio')\n"
            "except ConfigError as error:\n    print(error)"
        )
        self.assertIn("reactor 'asyncio' can not be installed", shown)
        self.assertIn("SelectReactor", shown)

    def test_not_there(self) -> None:
        """A reactor of another system is one clear line."""
        shown = self.python(
            "import sys; sys.modules['twisted.internet.kqreactor'] = None\n"
            "try:\n    install_reactor('kqueue')\n"
            "except ConfigError as error:\n    print(error)"
        )
        self.assertIn("reactor 'kqueue' does not work on this machine", shown)


class ErrorsTest(SynchronousTestCase):
    """The tree of errors the start relies on."""

    def test_not_available_is_a_configuration_error(self) -> None:
        """So that one handler tells both."""
        self.assertTrue(issubclass(NotAvailable, ConfigError))
