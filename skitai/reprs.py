"""What a developer may be shown of any value: a ``repr`` that is short, that never raises, and that tells no secrets.

Secrets are known by their names only: of a variable, of a key in a dictionary, of the first half of a pair (as header
fields are kept). A secret in a string of another name is shown.

Layer 0: pure functions. Thread: any.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

MASK: Final = "********"
"""What stands for a secret."""

MAX_SIZE: Final = 500
"""Longest text for one value, in characters."""

_MAX_ITEMS: Final = 30
_MAX_NAME: Final = 100
_SECRET: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|key(?!word|board|error|stroke|frame)|authori[sz]ation|credential|cookie"
    r"|(?:^|[_-])auth(?:$|[_-])",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(r"((?:^|[?&;])([^=&;?]{1,100})=)([^&;#\s]+)")
_USERINFO: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#@]*@")


def looks_secret(name: object) -> bool:
    """Return whether a value of this name is better not shown; ``name`` may be of any type."""
    if isinstance(name, bytes):
        name = name[:_MAX_NAME].decode("latin-1")
    return isinstance(name, str) and _SECRET.search(name[:_MAX_NAME]) is not None


def brief(value: object, name: object = "") -> str:
    """Return ``repr(value)`` in at most ``MAX_SIZE`` characters, masked where ``name`` looks secret.

    A ``__repr__`` that raises is told as that.
    """
    if _hidden(name, value):
        return MASK
    try:
        text = _reprs.repr(value)
    except Exception as error:  # in the length or the iteration of some odd container
        text = _raised(value, error)
    return clip(text)


def public_text(text: str, name: object = "") -> str:
    """Return text of a request for a page: masked where ``name`` looks secret, so are such parameters of a query."""
    if _hidden(name, text):
        return MASK
    text = _USERINFO.sub(lambda found: f"{found[1] or ''}//{MASK}@", clip(text, 4 * MAX_SIZE))
    return _PARAMETER.sub(lambda found: found[1] + MASK if looks_secret(found[2]) else found[0], text)


def clip(text: str, size: int = MAX_SIZE) -> str:
    """Return ``text``, its middle left out where it is longer than ``size`` characters."""
    if len(text) <= size:
        return text
    half = (size - 3) // 2
    return f"{text[: size - 3 - half]}...{text[-half:]}"


def _hidden(name: object, value: object) -> bool:
    # That there is none is worth knowing, and no secret. By its type: isinstance would run code of the application.
    is_none = value is None or type(value) is bool or (type(value) in (str, bytes) and not value)
    return not is_none and looks_secret(name)


def _raised(value: object, error: BaseException) -> str:
    return f"<{type(value).__name__} at {id(value):#x}, its repr raised {type(error).__name__}>"


class _Reprs(reprlib.Repr):
    """Goes through containers no further than is shown, so that a list of a million costs no more than one of 30."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = _MAX_ITEMS
        self.maxstring = self.maxother = MAX_SIZE
        self._shapes: dict[object, Any] = {
            dict.__repr__: self.repr_dict,
            list.__repr__: self.repr_list,
            tuple.__repr__: self.repr_tuple,
            set.__repr__: self.repr_set,
            frozenset.__repr__: self.repr_frozenset,
            str.__repr__: self.repr_str,
            bytes.__repr__: self.repr_bytes,
            bytearray.__repr__: self.repr_bytes,
        }

    def repr1(self, x: Any, level: int) -> str:
        # By what would be run, where reprlib goes by the name of the class, which others may bear too.
        shape = self._shapes.get(type(x).__repr__)
        return str(shape(x, level)) if shape is not None else self.repr_instance(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            return clip(repr(x), self.maxother)
        except Exception as error:
            return _raised(x, error)

    def repr_bytes(self, x: bytes | bytearray, level: int) -> str:
        """Return the ends of a byte string: a body may have a gigabyte."""
        half = self.maxother // 2
        return clip(repr(x if len(x) <= 2 * half else x[:half] + b"..." + x[-half:]), self.maxother)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if not x or level <= 0:
            return "{...}" if x else "{}"
        items = [
            f"{self.repr1(key, level - 1)}: {MASK if _hidden(key, value) else self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join([*items, *self._rest(x, self.maxdict)]) + "}"

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        if len(x) == 2 and isinstance(x[0], (str, bytes)) and _hidden(x[0], x[1]):
            return f"({self.repr1(x[0], level - 1)}, {MASK})"
        return super().repr_tuple(x, level)

    @staticmethod
    def _rest(items: Iterable[Any], shown: int) -> list[str]:
        return ["..."] if len(items) > shown else []  # type: ignore[arg-type]


_reprs: Final = _Reprs()
