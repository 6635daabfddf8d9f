"""What is promised about the repository itself: its two commands, its CI script, and that versions agree."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import skitai
from skitai.constants import VERSION, version_info

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text("utf-8")


class ReadmeTests(SynchronousTestCase):
    """The first command serves the demonstration, the second runs the tests."""

    def setUp(self) -> None:
        self.commands = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)

    def test_two_commands(self) -> None:
        self.assertEqual(len(self.commands), 2)
        self.assertTrue(self.commands[0].endswith(" && .venv/bin/python -m skitai"), self.commands[0])
        self.assertIn(" && .venv/bin/trial --random 0 tests", self.commands[1])

    def test_each_is_one_line_that_needs_nothing(self) -> None:
        for command in self.commands:
            steps = [shlex.split(step) for step in command.split(" && ")]
            self.assertEqual(steps[0], ["python3", "-m", "venv", ".venv"])
            self.assertTrue(all(step[0].startswith(".venv/bin/") for step in steps[1:]), command)


class VersionTests(SynchronousTestCase):
    """One version, wherever it is asked for."""

    def test_number_and_text_agree(self) -> None:
        self.assertTrue(VERSION.startswith(".".join(map(str, version_info))), (VERSION, version_info))
        self.assertEqual(skitai.__version__, VERSION)

    def test_metadata(self) -> None:
        said = subprocess.run(
            [sys.executable, "setup.py", "--quiet", "--name", "--version", "--license"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        self.assertEqual(said, ["txskitai", VERSION, "MIT"])


class ContinuousIntegrationTests(SynchronousTestCase):
    """``.ci/run`` counts what trial says and fails when anything fails. Its tools are doubles here."""

    TOOLS = ("ruff", "mypy", "pip", "sphinx-build", "towncrier")

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        (self.directory / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", self.directory / ".ci" / "run")
        self.bin = self.directory / ".venv" / "bin"
        self.bin.mkdir(parents=True)
        for tool in self.TOOLS:
            self.tool(tool, 0)
        self.readme("    python3 -m venv --help >/dev/null && .venv/bin/trial --random 0 tests\n")

    def readme(self, text: str) -> None:
        (self.directory / "README.rst").write_text(text, "utf-8")

    def tool(self, name: str, status: int, output: str = "") -> None:
        """Put a double of a tool where the script looks for it."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n", "utf-8")
        path.chmod(0o755)

    def assert_outcome(self, passed: bool, last_line: str) -> None:
        ended = subprocess.run(
            ["bash", ".ci/run"], cwd=self.directory, env={**os.environ, "CI": "true"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual((ended.returncode == 0, ended.stdout.splitlines()[-1]), (passed, last_line), ended.stdout)

    def test_all_passed(self) -> None:
        self.tool("trial", 0, "Ran 12 tests in 0.1s\n\nPASSED (successes=12)")
        self.assert_outcome(True, "12 passed, 0 failed")

    def test_skipped(self) -> None:
        self.tool("trial", 0, "PASSED (skips=3, expectedFailures=1, successes=12)")
        self.assert_outcome(True, "13 passed, 0 failed, 3 skipped")

    def test_failed(self) -> None:
        self.tool("trial", 1, "FAILED (skips=1, failures=2, errors=1, unexpectedSuccesses=1, successes=9)")
        self.assert_outcome(False, "9 passed, 4 failed, 1 skipped")

    def test_counts_even_if_the_status_lies(self) -> None:
        self.tool("trial", 0, "FAILED (failures=2, successes=9)")
        self.assert_outcome(False, "9 passed, 2 failed")

    def test_a_status_without_a_count(self) -> None:
        self.tool("trial", 139, "PASSED (successes=9)")
        self.assert_outcome(False, "9 passed, 0 failed")

    def test_no_test_is_a_failure(self) -> None:
        self.tool("trial", 0, "Ran 0 tests in 0.000s\n\nPASSED")
        self.assert_outcome(False, "0 passed, 0 failed")

    def test_each_other_check_counts(self) -> None:
        self.tool("trial", 0, "PASSED (successes=12)")
        for tool in self.TOOLS:
            self.tool(tool, 1)
            self.assert_outcome(False, "12 passed, 0 failed")
            self.tool(tool, 0)

    def test_readme_without_the_command(self) -> None:
        self.tool("trial", 0, "PASSED (successes=12)")
        self.readme("nothing here")
        self.assert_outcome(False, "0 passed, 0 failed")
