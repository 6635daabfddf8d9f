"""How the same program is run again; ``tests.functional.test_restart`` has real ones."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.restart import end_python, run_again, working_directory


class RunAgainTests(SynchronousTestCase):
    def test_as_it_was_named(self) -> None:
        """A script by its absolute path; but not directories, archives, packages, nor where that says nothing."""
        calls: list[Any] = []
        self.patch(os, "execv", lambda program, arguments: calls.append((program, arguments)))
        for first, name, file, again in (
            (["-X", "dev", "app.py"], "app.py", "/x/app.py", ["-X", "dev", "/x/app.py"]),
            (["app.zip"], "app.zip", "/x/app.zip/__main__.py", ["app.zip"]),
            (["-m", "shop"], "/x/shop/__main__.py", "/x/shop/__main__.py", ["-m", "shop"]),
            (["app.py"], "app.py", "app.py", ["app.py"]),
            (["-c", "pass"], "-c", None, ["-c", "pass"]),
        ):
            self.patch(sys, "orig_argv", ["python", *first, "--port", "1"])
            self.patch(sys, "argv", [name, "--port", "1"])
            self.patch(sys.modules["__main__"], "__file__", file)
            run_again(None)()
            self.assertEqual(calls.pop(), (sys.executable, [sys.executable, *again, "--port", "1"]))

    def test_a_directory_that_is_gone(self) -> None:
        self.patch(os, "execv", lambda *arguments: self.fail("it was run"))
        self.assertRaises(FileNotFoundError, run_again(os.path.abspath(self.mktemp())))

    def test_working_directory(self) -> None:
        self.assertEqual(working_directory(), os.getcwd())

        def gone() -> str:
            raise FileNotFoundError

        self.patch(os, "getcwd", gone)
        self.assertIsNone(working_directory())


class EndTests(SynchronousTestCase):
    def test_all_that_was_written_is_in_its_file(self) -> None:
        """Also where nothing is collected any more, and after what functions of ``atexit`` write."""
        path = self.mktemp()
        with open(path, "w") as file, open(os.devnull, "w") as closed:
            closed.close()
            gc.freeze()
            file.write("before, ")
            self.patch(atexit, "_run_exitfuncs", lambda: file.write("at the end"))
            end_python()
            with open(path) as written:
                self.assertEqual(written.read(), "before, at the end")
