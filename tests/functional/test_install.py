"""Installed from a wheel or in place, Skitai is a command of ``twistd``; uninstalled, Twisted is as it was.

Each test has a virtual environment of its own with a copy of Twisted in it, for that is what a careless package would
damage. The rest of what is needed comes from the environment that runs the tests, so nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted
from tests.functional.process import PATIENCE, ROOT

SHIPPED = ("skitai", "twisted", "setup.py", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE", "CHANGES.rst")


def files_below(directory: Path) -> set[str]:
    """Return the relative paths of all files of a package, what Python caches apart."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class InstallTestCase(SynchronousTestCase):
    """A copy of the source and an environment to install it into."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.source = self.directory / "source"
        self.source.mkdir()
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache")
                )
            else:
                shutil.copy(ROOT / name, self.source / name)
        venv.create(self.directory / "env", symlinks=True, with_pip=False)
        self.python = self.directory / "env" / "bin" / "python"
        self.packages = Path(self.run_python("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        self.twisted = self.packages / "twisted"
        shutil.copytree(
            Path(twisted.__file__).parent, self.twisted, ignore=shutil.ignore_patterns("test", "dropin.cache")
        )
        (self.packages / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")

    def run_python(self, code: str, *arguments: str) -> str:
        """Run code in the new environment, away from the source, and return what it prints."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        ended = subprocess.run(
            [str(self.python), "-c", code, *arguments], cwd=self.directory, env=clean, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        return ended.stdout

    def pip(self, *arguments: str) -> None:
        """Run the tests' pip for the new environment, without the network."""
        subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.python), *arguments],
            cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=8 * PATIENCE, check=True,
        )  # fmt: skip

    def install(self, *arguments: str) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile", *arguments)

    def twistd_help(self) -> str:
        return self.run_python(
            "import sys; from twisted.scripts.twistd import run; sys.argv = ['twistd', '--help']; run()"
        )

    def files_of_twisted(self) -> dict[str, str]:
        """Return the digest of every file of the environment's Twisted; what Python and Twisted cache apart."""
        return {
            str(path.relative_to(self.twisted)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.twisted.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
        }

    def assert_command(self, present: bool) -> None:
        """Check whether ``twistd skitai`` is there, and that Twisted's own commands are."""
        commands = {line.split()[0] for line in self.twistd_help().splitlines() if line.startswith("    ")}
        self.assertIn("web", commands)
        self.assertEqual("skitai" in commands, present, commands)

    def look_around(self) -> None:
        """Check more about the environment while Skitai is installed."""

    def check(self, *what: str) -> None:
        before = self.files_of_twisted()
        self.assert_command(False)
        self.install(*what)
        self.assert_command(True)
        where = self.run_python("import twisted, skitai; print(twisted.__file__, skitai.__file__)").split()
        self.assertEqual(where[0], str(self.twisted / "__init__.py"))
        self.assertTrue(where[1].startswith(str(self.directory)), where)
        self.look_around()
        self.pip("uninstall", "-y", "txskitai")
        self.assert_command(False)
        self.assertEqual(self.files_of_twisted(), before)


class WheelTests(InstallTestCase):
    """``pip install txskitai``."""

    def test_install_and_uninstall(self) -> None:
        self.check(str(self.source))

    def look_around(self) -> None:
        shipped = files_below(self.source / "skitai")
        self.assertIn("demo/templates/page.html", shipped)
        self.assertEqual(files_below(self.packages / "skitai"), shipped)
        self.assertFalse((self.packages / "tests").exists())


class EditableTests(InstallTestCase):
    """``pip install -e .``."""

    def test_install_and_uninstall(self) -> None:
        self.check("-e", str(self.source))
