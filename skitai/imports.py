"""Making an application's imports of its own modules find them by the names they are known by.

The module ``helper`` beside an application file may be known as ``shop_1a2b3c4d.helper``, so that another directory can
have a ``helper`` of its own. The code still says ``import helper``. So its syntax tree is changed before it is
compiled, for example

    import helper                  import shop_1a2b3c4d.helper as helper
    from package.views import x    from shop_1a2b3c4d.package.views import x

and from there on everything is ordinary Python: no hook is called, and imports inside functions work at any time in any
thread. It must not know where modules come from: a ``Scope`` tells which names are known by others.

Layer 4, standard library only. Thread: any.
"""

from __future__ import annotations

import ast
from types import CodeType
from typing import Protocol


class Place(Protocol):
    """The directory that a module is in."""

    @property
    def prefix(self) -> str:
        """The package that its modules are known in; "" when they are known by plain names."""

    @property
    def private(self) -> bool:
        """Whether that package is known only here."""

    @property
    def real_name(self) -> str | None:
        """Its dotted name as a package, None when it is none."""


class Scope(Protocol):
    """What the names mean in a directory."""

    @property
    def place(self) -> Place:
        """The directory."""

    def known_name(self, name: str) -> str | None:
        """Return the name by which the module is known that ``name`` means here, None for ``name`` itself."""


def compile_source(source: bytes, path: str, package: str, scope: Scope) -> CodeType:
    """Compile a module's source.

    Args:
        source: Content of the file, in the encoding that it declares.
        path: Path of the file, for tracebacks.
        package: Name of the package that the module is in, "" for none.
        scope: What names mean in its directory.

    Returns:
        A code object.

    Raises:
        SyntaxError: It is no Python.
    """
    tree = ast.parse(source, path)
    tree.body = _Rewriter(package, scope).block(tree.body)
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)
    return code


class _Rewriter:
    """Changes the import statements of one module."""

    def __init__(self, package: str, scope: Scope) -> None:
        below = package[len(scope.place.prefix) :].strip(".")
        self._depth = below.count(".") + 1 if below else 0
        self._scope = scope

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Return ``statements`` with the imports in them changed, however deep. Expressions can hold no imports."""
        changed: list[ast.stmt] = []
        for statement in statements:
            if isinstance(statement, ast.Import):
                changed += self._import(statement)
            elif isinstance(statement, ast.ImportFrom):
                changed += self._import_from(statement)
            else:
                self._descend(statement)
                changed.append(statement)
        return changed

    def _descend(self, node: ast.AST) -> None:
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                setattr(node, field, self.block(inner))
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            self._descend(part)

    def _import(self, node: ast.Import) -> list[ast.stmt]:
        names: list[ast.alias] = []
        for alias in node.names:
            names += self._alias(alias)
        return [ast.copy_location(ast.Import(names=[alias]), node) for alias in names]

    def _alias(self, alias: ast.alias) -> list[ast.alias]:
        known = self._scope.known_name(alias.name)
        if known is None:
            return [alias]
        if alias.asname:
            return [_named(known, alias.asname, alias)]
        top, dot, rest = alias.name.partition(".")
        if not known.endswith(dot + rest):
            # Own code by its real dotted name ("import shop.web.views"): what it binds ("shop") is not private.
            return [alias]
        # "import a.b" loads a.b and binds a: here in two steps, of which the second has the last word.
        loaded = [_named(known, top, alias)] if rest else []
        return [*loaded, _named(known[: len(known) - len(dot + rest)], top, alias)]

    def _import_from(self, node: ast.ImportFrom) -> list[ast.stmt]:
        if node.level == 0:
            name = self._scope.known_name(node.module or "")
            return [node] if name is None else [_from(name, node)]
        above = node.level - 1 - self._depth
        if above == 0 and not self._scope.place.prefix:
            # Python knows no package here, but a plain directory of modules is as good as one.
            if node.module:
                return [_from(node.module, node)]
            if all(alias.name != "*" for alias in node.names):
                names = [_named(alias.name, alias.asname or alias.name, alias) for alias in node.names]
                return [ast.copy_location(ast.Import(names=names), node)]
        outside = self._outside(node, above) if above > 0 else None
        return [node] if outside is None else [_from(outside, node)]

    def _outside(self, node: ast.ImportFrom, above: int) -> str | None:
        """Return the real name of what a relative import means outside of a directory with a private name."""
        place = self._scope.place
        if not place.private or place.real_name is None:
            return None
        parts = place.real_name.split(".")[:-above]
        return ".".join([*parts, *([node.module] if node.module else [])]) if parts else None


def _from(name: str, node: ast.ImportFrom) -> ast.stmt:
    return ast.copy_location(ast.ImportFrom(module=name, names=node.names, level=0), node)


def _named(name: str, asname: str, like: ast.alias) -> ast.alias:
    return ast.copy_location(ast.alias(name=name, asname=asname), like)
