"""From the path of a request to the function that answers it: an automaton over the segments of paths.

Theory of operation. Each node has a dictionary of literal segments and one child for each type of parameter, so a path
is followed segment by segment, and how many routes there are does not matter. Where several children take a segment
they are tried in this order: literal, mixed with text (``v<int:n>``), int, float, text; last a rest of the path, the
nearest one. Rules without parameters are found with one look-up in a dictionary.

Layer S. It must not know what a route does. Thread: built by one, then only read, by any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from skitai.saddle.rules import FLOAT, INTEGER, PATH, TEXT, Converter, Rule

MAX_SEGMENTS: Final = 256
"""Segments that are looked at one by one; a path with more of them can only be a rest."""

MAX_MIXED_LENGTH: Final = 512
"""Characters of a segment that mixes text and parameters: of several parameters each length may have to be tried."""

_TYPED: Final = (INTEGER, FLOAT, TEXT)
_PATTERNS: Final = {converter.name: re.compile(converter.pattern) for converter in (INTEGER, FLOAT)}


class Target(Protocol):
    """What the automaton needs of a route."""

    @property
    def rule(self) -> Rule:
        """The rule that leads to it."""

    @property
    def methods(self) -> frozenset[str] | None:
        """Methods it takes, None for all."""

    @property
    def content_types(self) -> frozenset[str] | None:
        """Media types it takes, lower-case, None for all."""


class Found(NamedTuple):
    """What a path leads to.

    Attributes:
        routes: The routes of one rule, or of several that differ in nothing but names, in order of registration.
        texts: The texts of the parameters.
    """

    routes: list[Target]
    texts: tuple[str, ...]


class _Node:
    """What can follow a beginning of a path."""

    __slots__ = ("literals", "mixed", "rest", "routes", "typed")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.mixed: list[tuple[re.Pattern[str], _Node]] = []
        self.typed: list[tuple[Converter, _Node]] = []
        self.rest: list[Target] = []
        self.routes: list[Target] = []

    def typed_child(self, converter: Converter) -> _Node:
        """Return the child for one type of parameter, made when it is not there."""
        for known, node in self.typed:
            if known is converter:
                return node
        node = _Node()
        self.typed.append((converter, node))
        self.typed.sort(key=lambda item: _TYPED.index(item[0]))
        return node

    def mixed_child(self, pattern: re.Pattern[str]) -> _Node:
        """Return the child for segments of a pattern, made when it is not there."""
        for known, node in self.mixed:
            if known.pattern == pattern.pattern:
                return node
        node = _Node()
        self.mixed.append((pattern, node))
        return node


class Router:
    """All routes of an application.

    Args:
        routes: In order of registration.
    """

    def __init__(self, routes: list[Target]) -> None:
        self._root = _Node()
        self._fixed: dict[str, Found] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Target) -> None:
        node = self._root
        rule = route.rule
        for segment in rule.segments:
            literal = segment.literal
            converter = segment.converter
            if literal is not None:
                node = node.literals.setdefault(literal, _Node())
            elif converter is PATH:
                node.rest.append(route)
                return
            elif converter is not None:
                node = node.typed_child(converter)
            else:
                node = node.mixed_child(segment.pattern())
        node.routes.append(route)
        if not rule.parameters:
            self._fixed[rule.text] = Found(node.routes, ())

    def find(self, path: str) -> Iterator[Found]:
        """Yield what a path leads to, the best first.

        Args:
            path: Below the mount point, decoded; it begins with a slash.
        """
        fixed = self._fixed.get(path)
        if fixed is not None:
            yield fixed
        for found in self._walk(path):
            if fixed is None or found.routes is not fixed.routes:
                yield found

    def _walk(self, path: str) -> Iterator[Found]:
        return _walk(self._root, path[1:].split("/", MAX_SEGMENTS), 0, ())

    def best(self, path: str) -> Found | None:
        """Return the first that ``find`` yields, None for nothing."""
        return self._fixed.get(path) or next(self._walk(path), None)


def _walk(node: _Node, segments: list[str], depth: int, texts: tuple[str, ...]) -> Iterator[Found]:
    # As long as there is only one way, it is followed without a generator for each segment.
    while depth < len(segments) and not (node.typed or node.mixed or node.rest):
        child = node.literals.get(segments[depth])
        if child is None:
            return
        node = child
        depth += 1
    if depth == len(segments):
        if node.routes:
            yield Found(node.routes, texts)
        return
    segment = segments[depth]
    child = node.literals.get(segment)
    if child is not None:
        yield from _walk(child, segments, depth + 1, texts)
    for pattern, child in node.mixed:
        match = pattern.fullmatch(segment) if len(segment) <= MAX_MIXED_LENGTH else None
        if match is not None:
            yield from _walk(child, segments, depth + 1, texts + match.groups())
    if segment:
        for converter, child in node.typed:
            if converter is TEXT or _PATTERNS[converter.name].fullmatch(segment):
                yield from _walk(child, segments, depth + 1, (*texts, segment))
    if node.rest:
        rest = "/".join(segments[depth:])
        if rest:
            yield Found(node.rest, (*texts, rest))
