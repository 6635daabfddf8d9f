"""What may stand between the slashes of a routing rule: ``/v<int:major>/<name>/<path>``.

A rule is read into segments once, when it is registered. Each parameter has a converter, which turns text of a URL into
an argument and back.

Layer S. It must not know which function a rule leads to. Thread: any; nothing here changes after it is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

MAX_NUMBER_LENGTH: Final = 300
"""Characters of a number in a URL; a longer one is no number, for turning it into one takes quadratic time."""

_SAFE: Final = "!$'()*+,:;=@~"
"""What a path segment may hold beside letters, digits and ``-._`` (RFC 3986 section 3.3), but "&", for HTML."""

_PARAMETER: Final = re.compile(r"<([^<>]*)>")


def quote_path(text: str) -> str:
    """Percent-encode what a path may not hold; slashes stay."""
    return quote(text, safe=_SAFE + "/")


@dataclass(frozen=True, slots=True)
class Converter:
    """How one type of parameter is read and written.

    Attributes:
        name: As written before the colon of a parameter.
        pattern: Regular expression of the text, without groups.
        read: Makes the argument from the text.
        write: Makes the text of a URL from an argument; raises ValueError for what it is no text of.
    """

    name: str
    pattern: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _read_text(text: str) -> str:
    return text.replace("_", " ") if "_" in text else text


def _write_text(value: Any) -> str:
    text = str(value).replace(" ", "_")
    if text in ("", ".", ".."):
        raise ValueError(f"{value!r} makes no segment of a path")
    return quote(text, safe=_SAFE)


def _write_integer(value: Any) -> str:
    return str(int(value))


def _write_float(value: Any) -> str:
    text = format(Decimal(repr(float(value))), "f")  # without an exponent, and without losing a digit
    if not re.fullmatch(FLOAT.pattern, text):
        raise ValueError(f"{value!r} is no number that a path can have")
    return text


def _write_path(value: Any) -> str:
    text = str(value).lstrip("/")
    if not text:
        raise ValueError(f"{value!r} is no path")
    return quote_path(text)


TEXT: Final = Converter("string", r"[^/]+", _read_text, _write_text)
INTEGER: Final = Converter("int", rf"[+-]?[0-9]{{1,{MAX_NUMBER_LENGTH}}}", int, _write_integer)
FLOAT: Final = Converter(
    "float", rf"[+-]?[0-9]{{1,{MAX_NUMBER_LENGTH}}}(?:\.[0-9]{{0,{MAX_NUMBER_LENGTH}}})?", float, _write_float
)
PATH: Final = Converter("path", r".+", str, _write_path)

CONVERTERS: Final[Mapping[str, Converter]] = {
    "": TEXT,
    "str": TEXT,
    "string": TEXT,
    "int": INTEGER,
    "float": FLOAT,
    "path": PATH,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a rule: the name of the argument and its converter."""

    name: str
    converter: Converter


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes.

    Attributes:
        text: As written.
        parts: Text and parameters in turn; a lone text is a literal segment, a lone parameter a typed one.
    """

    text: str
    parts: tuple[str | Parameter, ...]

    @property
    def literal(self) -> str | None:
        """The segment where it has no parameter, else None."""
        return self.text if not self.parameters else None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters in order."""
        return tuple(part for part in self.parts if isinstance(part, Parameter))

    @property
    def converter(self) -> Converter | None:
        """The converter where the segment is one parameter and nothing else, else None."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first.converter if isinstance(first, Parameter) else None

    def pattern(self) -> re.Pattern[str]:
        """Return the regular expression of a segment that mixes text and parameters, a group for each."""
        return re.compile(
            "".join(re.escape(part) if isinstance(part, str) else f"({part.converter.pattern})" for part in self.parts)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, read.

    Attributes:
        text: As written, with a slash before it.
        segments: Between the slashes; the last is empty where the rule ends with a slash.
    """

    text: str
    segments: tuple[Segment, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters in order."""
        return tuple(parameter for segment in self.segments for parameter in segment.parameters)

    def build(self, values: Mapping[str, Any]) -> str:
        """Return the path that leads here with these arguments.

        Raises:
            KeyError: An argument is missing.
            ValueError: An argument has no text that a path can hold.
        """
        segments = []
        for segment in self.segments:
            pieces = [
                quote_path(part) if isinstance(part, str) else part.converter.write(values[part.name])
                for part in segment.parts
            ]
            segments.append("".join(pieces))
        return "/" + "/".join(segments)


def read_rule(text: str) -> Rule:
    """Read a rule such as ``/download/<int:major>/<path>``.

    Raises:
        ValueError: It is no rule; the message says why.
    """
    if not isinstance(text, str):
        raise ValueError(f"a rule is a string such as '/hello/<name>', not {text!r}")
    rule = text if text.startswith("/") else "/" + text
    segments = tuple(_read_segment(piece, rule) for piece in rule[1:].split("/"))
    for segment in segments[:-1]:
        if any(parameter.converter is PATH for parameter in segment.parameters):
            raise ValueError(f"{text!r}: a path takes the rest, so nothing can follow it")
    names = [parameter.name for segment in segments for parameter in segment.parameters]
    if len(set(names)) != len(names):
        raise ValueError(f"{text!r} has two parameters of one name")
    return Rule(rule, segments)


def _read_segment(text: str, rule: str) -> Segment:
    parts: list[str | Parameter] = []
    position = 0
    for match in _PARAMETER.finditer(text):
        if match.start() > position:
            parts.append(text[position : match.start()])
        elif parts and isinstance(parts[-1], Parameter):
            raise ValueError(f"{rule!r}: two parameters need a text between them")
        parts.append(_read_parameter(match[1], rule))
        position = match.end()
    if position < len(text) or not parts:
        parts.append(text[position:])
    if any(isinstance(part, str) and ("<" in part or ">" in part) for part in parts):
        raise ValueError(f"{rule!r}: a parameter is written <name> or <type:name>")
    segment = Segment(text, tuple(parts))
    if len(parts) > 1 and any(parameter.converter is PATH for parameter in segment.parameters):
        raise ValueError(f"{rule!r}: a path is a segment of its own")
    return segment


def _read_parameter(text: str, rule: str) -> Parameter:
    kind, colon, name = (piece.strip() for piece in text.rpartition(":"))
    if not colon and name == "path":
        kind = "path"
    converter = CONVERTERS.get(kind)
    if converter is None:
        raise ValueError(f"{rule!r}: {kind!r} is no type of a parameter; there are int, float, path and string")
    if not name.isidentifier():
        raise ValueError(f"{rule!r}: {name!r} is no name of an argument")
    return Parameter(name, converter)
