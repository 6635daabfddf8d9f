"""Jinja2 as Saddle sets it up: the environment, the loader, and delimiters that are escaped by writing them twice.

Theory of operation. Where the start and the end of a variable (a block, a comment) are the same string, say "#", Jinja2
reads "##" as a variable with nothing in it, which is good for nothing. ``DoublingLexer`` lets Jinja2 read, and turns
just that - a start with its end right behind it - into text. So the escape counts in text alone: inside expressions,
their strings, ``raw`` blocks and comments "##" is what it ever was, two expressions may touch (``#a##b#``), and lines
keep their numbers.

Layer S. Only ``skitai.saddle.templates`` imports it, when Jinja2 is needed. Thread: any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jinja2
from jinja2.lexer import Lexer

CACHE_SIZE: Final = 400
"""How many templates are kept compiled."""

ESCAPED: Final = ("html", "htm", "xml", "xhtml")
"""Suffixes of templates whose values are escaped."""

_KINDS: Final = ("variable", "block", "comment")
_DELIMITERS: Final = tuple(f"{kind}_{end}_string" for kind in _KINDS for end in ("start", "end"))
_PREFIXES: Final = ("line_statement_prefix", "line_comment_prefix")


class Loader(jinja2.FileSystemLoader):
    """Reads templates of one directory, and says where it looked for one that is missing."""

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        """Return text, path and a test of freshness.

        Raises:
            jinja2.TemplateNotFound: There is no such file, or the name leads out of the directory.
            ValueError: It is not UTF-8.
        """
        if template.endswith("/"):
            # Jinja2 drops it when it looks for the file, not when it looks whether the suffix is one to escape for.
            raise not_found(template, self.searchpath[0])
        try:
            return super().get_source(environment, template)
        except jinja2.TemplateNotFound:
            raise not_found(template, self.searchpath[0]) from None
        except UnicodeDecodeError as error:
            raise ValueError(f"template {template!r} is not UTF-8: {error}") from error


class DoublingLexer(Lexer):
    """A lexer that takes a doubled delimiter in the text for the delimiter itself.

    With ``lstrip_blocks`` the white space that indents such a doubled block or comment delimiter is lost.
    """

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self._doubled: dict[str, tuple[str, str]] = {}
        for kind in _KINDS:
            start = getattr(environment, f"{kind}_start_string")
            if start == getattr(environment, f"{kind}_end_string"):
                self._doubled[f"{kind}_begin"] = (start, f"{kind}_end")

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """Yield line number, kind and text of each token."""
        begin: tuple[int, str, str] | None = None
        for token in super().tokeniter(source, name, filename, state):
            _, kind, text = token
            if begin is not None:
                start, end = self._doubled[begin[1]]
                # What the end takes with it, a line break (trim_blocks), was text as well.
                if kind == end and text.startswith(start):
                    yield begin[0], "data", text
                    begin = None
                    continue
                yield begin
                begin = None
            # One that strips ("#-") is a delimiter and no text.
            if kind in self._doubled and text == self._doubled[kind][0]:
                begin = token
            else:
                yield token
        if begin is not None:
            yield begin


class Environment(jinja2.Environment):
    """A Jinja2 environment in which delimiters can be escaped."""

    _own_lexer: tuple[tuple[str, ...], Lexer] | None = None

    @property
    def lexer(self) -> Lexer:
        """The lexer, made anew when delimiters have changed (Jinja2 allows that before the first template)."""
        if not any(getattr(self, f"{kind}_start_string") == getattr(self, f"{kind}_end_string") for kind in _KINDS):
            return super().lexer
        key = tuple(str(getattr(self, name)) for name in (*_DELIMITERS, *_PREFIXES, "trim_blocks", "lstrip_blocks"))
        key = (*key, self.newline_sequence, str(self.keep_trailing_newline))
        own = self._own_lexer
        if own is None or own[0] != key:
            own = self._own_lexer = (key, DoublingLexer(self))
        return own[1]


def make_environment(directory: str, auto_reload: bool) -> jinja2.Environment:
    """Return an environment for the templates of a directory."""
    return Environment(
        loader=Loader(directory),
        autoescape=jinja2.select_autoescape(ESCAPED),
        auto_reload=auto_reload,
        cache_size=CACHE_SIZE,
    )


def overlay(env: jinja2.Environment, options: Mapping[str, Any]) -> jinja2.Environment:
    """Return an environment like ``env`` with some options changed (``Templates.overlay``).

    Raises:
        ValueError: A delimiter is empty or no string, or two start strings are the same.
        TypeError: Jinja2 has no such option.
    """
    for name in (*_DELIMITERS, *_PREFIXES):
        value = options.get(name, getattr(env, name))
        if not (isinstance(value, str) and value) and not (value is None and name in _PREFIXES):
            raise ValueError(f"{name} is a string of at least one character, not {value!r}")
    starts = [options.get(f"{kind}_start_string", getattr(env, f"{kind}_start_string")) for kind in _KINDS]
    if len(set(starts)) < len(starts):
        raise ValueError(
            "variable_start_string, block_start_string and comment_start_string must differ, not be"
            f" {starts[0]!r}, {starts[1]!r} and {starts[2]!r}"
        )
    return env.overlay(**options)


def not_found(name: str, directory: str) -> jinja2.TemplateNotFound:
    """Return the exception for a template that is not there; it says why and where it was looked for."""
    where = os.path.abspath(directory)
    if not os.path.isdir(where):
        return jinja2.TemplateNotFound(name, f"template {name!r}: there is no directory {where}")
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        return jinja2.TemplateNotFound(name, f"template {name!r} is not below {where}: names of templates stay there")
    return jinja2.TemplateNotFound(name, f"there is no template {name!r} in {where}")
