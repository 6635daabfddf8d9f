"""Who may import whom: the layers of ``docs/architecture.rst``, enforced.

Every module under ``skitai/`` belongs to one layer. Its imports are read with ``ast``, wherever they stand: at the
top, in a function, under ``TYPE_CHECKING``. ``breaches`` is the checker; it takes sources, so that the tests can show
it made-up modules.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
MODULE_LINES = 600

THREADS = {
    "callFromThread",
    "callInThread",
    "callInThreadWithCallback",
    "deferToThread",
    "deferToThreadPool",
    "blockingCallFromThread",
}
"""The ways from a thread to the reactor and back."""

WHERE_THREADS_MEET = {
    "skitai.web.workers": THREADS,
    "skitai.signals": {
        "callFromThread"
    },  # a signal handler interrupts the reactor anywhere, even in the middle of its own work
}
"""The modules that may use one of them, and which."""

SANS_IO = frozenset(
    {
        "_thread",
        "asyncio",
        "concurrent",
        "multiprocessing",
        "queue",
        "select",
        "selectors",
        "socket",
        "ssl",
        "subprocess",
        "threading",
    }
)
"""Modules of the standard library that bring a thread or a socket."""

CLOCKS = {
    f"{name}{unit}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
    for unit in ("", "_ns")
} | {"sleep", "localtime"}
"""What of the module ``time`` reads a clock; the rest converts and formats."""

STATED_LAYER = re.compile(r"\bLayer ([0-9A-Z])\b")

HEAVY = ("autobahn", "chameleon", "h2", "jinja2", "sqlite3", "twisted.web")
"""What neither ``import skitai`` nor a plain server may load: it is imported by what needs it, when it does."""


class Layer(NamedTuple):
    """One row of the table.

    Attributes:
        modules: Patterns of the modules that belong to it.
        layers: Names of the layers it may import besides itself.
        packages: Third-party packages it may import.
        forbidden: Modules of the standard library it may not import.
    """

    modules: tuple[str, ...]
    layers: str
    packages: frozenset[str]
    forbidden: frozenset[str] = frozenset()


def _names(text: str, below: str = "") -> tuple[str, ...]:
    """Return the words of ``text``, each with the package ``below`` before it."""
    return tuple(below + name for name in text.split())


def _packages(text: str) -> frozenset[str]:
    return frozenset(text.split())


VALUES = (
    "aliases attributes config constants debugpage declare digests errors fields formats mounts pages reasons registry "
    "reprs schedule settings values xmlreader xmlwriter"
)
ENGINES = """byteranges caches chunked compression conditional errorpage events exchange forwarded headers http1
             http1_writer http2 media_types negotiation start_response transaction"""
ROOT_MODULES = """__main__ apps cli datedlogs hosting imports lifecycle listening logs modules mounting packages
                  preferences programs reload restart server signals sources supervisor tap tls"""
EXCEPTIONS = {("skitai.saddle.app", "skitai.testing")}
"""Imports that breach the table for a reason: ``app.test_client()`` is made of the test kit, and only when called."""

LAYERS = {
    "0": Layer(_names(VALUES, "skitai."), "", frozenset()),
    "1": Layer(("skitai.web", *_names(ENGINES, "skitai.web.")), "0", _packages("httptools h2"), SANS_IO),
    "2": Layer(("skitai.web.*",), "01", _packages("twisted zope autobahn")),
    "3": Layer(
        ("skitai.was", "skitai.was.*"),
        "01",
        _packages(
            "twisted zope httptools h2 txpostgres psycopg2 txredisapi txmongo google brotli idna OpenSSL "
            "service_identity"
        ),
    ),
    "S": Layer(("skitai.saddle", "skitai.saddle.*"), "0", _packages("jinja2 chameleon markupsafe cryptography")),
    "J": Layer(("skitai.jobs", "skitai.jobs.*"), "0", _packages("twisted zope")),
    "D": Layer(("skitai.demo", "skitai.demo.*"), "S", _packages("jinja2 twisted")),
    "4": Layer(
        ("skitai", *_names(ROOT_MODULES, "skitai.")),
        "0123SJD",
        _packages("twisted zope OpenSSL autobahn httptools h2 jinja2"),
    ),
    "T": Layer(
        ("skitai.testing", "skitai.testing.*"), "01234SJ", _packages("twisted zope autobahn httptools h2 jinja2")
    ),
}
"""The table; a module belongs to the first row with a pattern that fits. D is the demonstration, a user's program."""


class Import(NamedTuple):
    """A module that is imported and the line that does it."""

    name: str
    line: int


def imports(module: str, source: str, known: Iterable[str]) -> Iterator[Import]:
    """Yield what ``source`` imports; ``from package import name`` counts as the submodule where ``known`` has one."""
    tree = ast.parse(source)
    package = module.split(".") if module in {name.rpartition(".")[0] for name in known} else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(whole if whole in known or whole == "twisted.internet.reactor" else base, node.lineno)


def layer_of(module: str) -> str | None:
    """Return the name of the layer ``module`` belongs to, None when no row of the table has it."""
    for name, layer in LAYERS.items():
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in layer.modules):
            return name
    return None


def _import_fault(name: str, target: str) -> str | None:
    """Return why a module of layer ``name`` may not import ``target``, None when it may."""
    layer = LAYERS[name]
    top = target.partition(".")[0]
    if target == "twisted.internet.reactor" and name != "4":
        return "imports the global reactor, which only layer 4 may: take reactor, clock or pool as an argument"
    if top == "skitai":
        other = layer_of(target)
        if other is None or other == name or other in layer.layers:
            return None
        if name == "D" and target == "skitai":
            return None
        return f"imports {target} of layer {other}; it may import {', '.join(['its own', *layer.layers])}"
    if top in sys.stdlib_module_names:
        return f"imports {target}: no thread and no socket in a sans-IO module" if top in layer.forbidden else None
    if top in layer.packages or top == "_typeshed":  # the types of the standard library, for type checkers only
        return None
    return f"imports {target}; of other packages it may import {', '.join(sorted(layer.packages)) or 'none'}"


def breaches(sources: dict[str, str]) -> list[str]:
    """Return one line for each breach in ``sources`` (module name to source text)."""
    found = []
    for module, source in sorted(sources.items()):
        name = layer_of(module)
        if name is None:
            found.append(f"{module} is in no layer: add it to the table in tests/test_layering.py")
            continue
        stated = STATED_LAYER.search(ast.get_docstring(ast.parse(source)) or "")
        if stated is not None and stated[1] != name:
            found.append(
                f"{module} says layer {stated[1]} in its docstring, the table in tests/test_layering.py {name}"
            )
        for target, line in imports(module, source, sources):
            fault = None if (module, target) in EXCEPTIONS else _import_fault(name, target)
            if fault is not None:
                found.append(f"{module}:{line} (layer {name}) {fault}")
        if LAYERS[name].forbidden:
            found.extend(
                f"{module}:{line} (layer {name}) reads the clock with {what}: take the time as an argument"
                for what, line in _clock_reads(source)
            )
        found.extend(
            f"{module}:{line} uses {what}: threads and reactor meet in {', '.join(WHERE_THREADS_MEET)} only"
            for what, line in _thread_calls(source)
            if what not in WHERE_THREADS_MEET.get(module, ())
        )
        length = source.count("\n")
        if length > MODULE_LINES:
            found.append(f"{module} has {length} lines, {MODULE_LINES} is the ceiling: split it")
    return list(dict.fromkeys(found))


def _thread_calls(source: str) -> Iterator[tuple[str, int]]:
    """Yield each use of a way between threads and reactor, and its line. Defining one (a double) is no use."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in THREADS:
            yield node.attr, node.lineno
        elif isinstance(node, ast.Name) and node.id in THREADS:
            yield node.id, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in THREADS)


def _clock_reads(source: str) -> Iterator[tuple[str, int]]:
    """Yield each use of ``time.<clock>`` or ``from time import <clock>``, and its line."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
            and node.attr in CLOCKS
        ):
            yield f"time.{node.attr}", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((f"time.{alias.name}", node.lineno) for alias in node.names if alias.name in CLOCKS)


def read_sources() -> dict[str, str]:
    """Return the text of every module under ``skitai/``, by name."""
    sources = {}
    for path in (ROOT / "skitai").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return sources


class LayeringTests(SynchronousTestCase):
    """The package as it is."""

    def test_keeps_the_layers(self) -> None:
        found = breaches(read_sources())
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_sees_the_package(self) -> None:
        """The checker looks at something: every layer built so far has a module in it."""
        layers = {layer_of(module) for module in read_sources()}
        self.assertLessEqual({"0", "1", "2", "3", "4", "T", "D"}, layers)

    def test_no_package_hides_twisted(self) -> None:
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_starts_light(self) -> None:
        """``import skitai`` and what a plain server needs load nothing heavy."""
        code = "import sys, skitai, skitai.server, skitai.cli; print(*sorted(sys.modules))"
        loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        self.assertIn("skitai.server", loaded)
        self.assertEqual([name for name in loaded if name in HEAVY], [])

    def test_importing_leaves_the_reactor_to_the_user(self) -> None:
        """Importing must not install a reactor: the user chooses it when the server runs."""
        code = "import sys, skitai, skitai.server, skitai.cli; print('twisted.internet.reactor' in sys.modules)"
        answer = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        self.assertEqual(answer.strip(), "False")


class CheckerTests(SynchronousTestCase):
    """The checker catches what it is there for."""

    def check(self, module: str, source: str) -> list[str]:
        others = dict.fromkeys(
            (
                "skitai",
                "skitai.errors",
                "skitai.server",
                "skitai.web",
                "skitai.web.events",
                "skitai.web.channel",
                "skitai.saddle",
                "skitai.was",
                "skitai.was.backends",
                "skitai.testing",
                "skitai.jobs",
            ),
            "",
        )
        return breaches({**others, module: source})

    def assert_breach(self, module: str, source: str, *words: str) -> None:
        found = self.check(module, source)
        self.assertEqual(len(found), 1, found)
        for word in (module, *words):
            self.assertIn(word, found[0])

    def test_allows_what_is_allowed(self) -> None:
        for module, source in (
            ("skitai.config", "import os\nfrom skitai import errors\nfrom skitai.errors import ConfigError\n"),
            ("skitai.web.http1", "import re\nimport httptools\nfrom .events import Request\nfrom .. import errors\n"),
            ("skitai.web.proxy", "from twisted.internet import protocol\nfrom skitai.web.events import Request\n"),
            ("skitai.web.workers", "def f(r):\n    r.callFromThread(f)\n"),
            ("skitai.server", "from twisted.internet import reactor\nfrom skitai.web import channel\n"),
            ("skitai.saddle.app", "import jinja2\nfrom skitai.saddle import routing\n"),
            ("skitai.testing.clock", "class C:\n    def callFromThread(self): ...\n"),
        ):
            self.assertEqual(self.check(module, source), [], module)

    def test_layer_0_takes_the_standard_library_only(self) -> None:
        self.assert_breach("skitai.config", "import twisted\n", ":1", "layer 0", "twisted", "none")

    def test_no_twisted_in_an_engine(self) -> None:
        self.assert_breach("skitai.web.http1", "\nfrom twisted.internet import protocol\n", ":2", "layer 1")

    def test_no_clock_in_an_engine(self) -> None:
        self.assert_breach("skitai.web.http1", "from time import gmtime, monotonic\n", ":1", "time.monotonic")
        self.assert_breach("skitai.web.http1", "import time\nnow = time.time()\n", ":2", "time.time")
        self.assertEqual(self.check("skitai.web.http1", "import time\ndef f(at):\n    return time.gmtime(at)\n"), [])

    def test_no_thread_in_an_engine_even_inside_a_function(self) -> None:
        self.assert_breach("skitai.web.http1", "def f():\n    import threading\n", ":2", "sans-IO")
        self.assert_breach("skitai.web.http1", "from concurrent.futures import Future\n", "sans-IO")

    def test_engine_must_not_know_the_edge(self) -> None:
        self.assert_breach("skitai.web.http1", "from skitai.web import channel\n", "skitai.web.channel", "layer 2")
        self.assert_breach("skitai.web.http1", "from .channel import Channel\n", "skitai.web.channel", "layer 2")

    def test_serving_must_not_know_asking_nor_the_root(self) -> None:
        self.assert_breach("skitai.web.proxy", "from skitai import was\n", "layer 3")
        self.assert_breach("skitai.web.proxy", "import skitai\n", "layer 4")
        self.assert_breach("skitai.web.proxy", "from skitai import mount\n", "layer 4")

    def test_asking_must_not_know_serving(self) -> None:
        self.assert_breach("skitai.was.pool", "from skitai.web.channel import Channel\n", "layer 2")

    def test_relative_imports_of_a_package_are_its_own(self) -> None:
        self.assert_breach("skitai.was", "from ..web import channel\n", "skitai.web.channel")
        self.assertEqual(self.check("skitai.was", "from .backends import redis\n"), [])

    def test_saddle_knows_no_twisted(self) -> None:
        self.assert_breach("skitai.saddle.app", "import twisted.internet.defer\n", "layer S")

    def test_type_checking_imports_count(self) -> None:
        self.assert_breach(
            "skitai.web.proxy", "if TYPE_CHECKING:\n    from skitai.server import Server\n", ":2", "layer 4"
        )

    def test_nobody_imports_the_test_kit(self) -> None:
        self.assert_breach("skitai.server", "from skitai.testing import Client\n", "layer T")

    def test_only_the_root_has_the_global_reactor(self) -> None:
        self.assert_breach("skitai.web.proxy", "from twisted.internet import reactor\n", "global reactor")
        self.assert_breach(
            "skitai.web.proxy", "def f():\n    import twisted.internet.reactor\n", ":2", "global reactor"
        )
        self.assert_breach("skitai.testing.clock", "from twisted.internet import reactor as r\n", "global reactor")

    def test_threads_meet_the_reactor_in_one_place(self) -> None:
        self.assert_breach("skitai.server", "def f(r):\n    r.callFromThread(f)\n", ":2", "callFromThread", "workers")
        self.assert_breach("skitai.was.bridge", "def f(r):\n    go = r.callInThread\n", "callInThread")
        self.assert_breach(
            "skitai.was.bridge", "from twisted.internet.threads import deferToThread as d\n", "deferToThread"
        )
        self.assert_breach("skitai.signals", "def f(r):\n    r.callInThread(f)\n", "callInThread")
        self.assertEqual(self.check("skitai.signals", "def f(r):\n    r.callFromThread(f)\n"), [])

    def test_modules_stay_short(self) -> None:
        self.assertEqual(self.check("skitai.web.long", "\n" * MODULE_LINES), [])
        self.assert_breach("skitai.web.long", "\n" * (MODULE_LINES + 1), "601 lines")

    def test_docstrings_tell_the_truth(self) -> None:
        self.assert_breach("skitai.web.http1", '"""An engine. Layer 2: ..."""\n', "layer 2")
        self.assertEqual(self.check("skitai.web.http1", '"""An engine. Layer 1: ..."""\n'), [])

    def test_an_unknown_module_is_a_breach(self) -> None:
        self.assert_breach("skitai.helpers", "", "no layer")
