"""What arguments a view takes, and giving them to it.

A view is a function whose first parameter is ``was``. The others are filled by name from the path, the query and the
form; what it does not take, and what it misses, is the client's mistake. Path parameters that the view does not take
are no mistake of anybody: they are in ``was.request.args``.

Layer S. It must not know where arguments come from. Thread: any; nothing here changes after it is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from skitai.errors import PeerError

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SHOWN: Final = 10
"""Names of unexpected arguments that an error lists; a client may send thousands."""
_SHOWN_LENGTH: Final = 60


class ArgumentError(PeerError):
    """The arguments of a request do not fit the view (400).

    Attributes:
        missing: Names of arguments that the view needs.
        unexpected: Names of arguments that it does not take.
    """

    def __init__(self, missing: Iterable[str], unexpected: Iterable[str]) -> None:
        self.missing = tuple(missing)
        self.unexpected = tuple(unexpected)
        parts = []
        if self.missing:
            parts.append(f"missing {_list(self.missing)}")
        if self.unexpected:
            parts.append(f"unexpected {_list(self.unexpected)}")
        super().__init__(400, " and ".join(parts))


class Signature:
    """The parameters of a view after ``was``.

    Args:
        view: The function.

    Attributes:
        names: Names that can be given, in order.
        defaults: Values of those that have one.
        required: Names of those that have none.
        takes_any: Whether it has ``**form``.

    Raises:
        TypeError: It takes no ``was``, or has parameters that can not be given by name.
    """

    __slots__ = ("_first", "_known", "defaults", "names", "required", "takes_any")

    def __init__(self, view: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(view).parameters.values())
        name = getattr(view, "__qualname__", repr(view))
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if not parameters or parameters[0].kind not in positional:
            raise TypeError(f"{name}() must take was as its first parameter")
        others = parameters[1:]
        for parameter in others:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                raise TypeError(f"{name}(): {parameter.name} can not be given by name")
        self._first = parameters[0].name
        self.names = tuple(parameter.name for parameter in others if parameter.kind in _NAMED)
        self.defaults: Mapping[str, Any] = {
            parameter.name: parameter.default
            for parameter in others
            if parameter.kind in _NAMED and parameter.default is not parameter.empty
        }
        self._known = frozenset(self.names)
        self.required = tuple(name for name in self.names if name not in self.defaults)
        self.takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in others)

    def bind(self, path: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments for a call of the view.

        Args:
            path: Arguments from the path, which count before others of the same name.
            given: Arguments from query and form.

        Raises:
            ArgumentError: Some are missing or unexpected.
        """
        if not (path or given or self.required):
            return {}
        arguments = {**given, **path}
        unexpected: list[str] = []
        if self.takes_any:
            unexpected = [self._first] if self._first in arguments else []
        elif not self._known.issuperset(arguments):
            known = self._known
            arguments = {name: value for name, value in arguments.items() if name in known or name not in path}
            unexpected = [name for name in arguments if name not in known]
        missing = [name for name in self.required if name not in arguments]
        if missing or unexpected:
            raise ArgumentError(missing, unexpected)
        return arguments

    def bind_positions(self, values: Iterable[Any]) -> dict[str, Any]:
        """Return the arguments for a call of the view with values in the order of its parameters.

        Raises:
            ArgumentError: There are too few, or too many.
        """
        values = tuple(values)
        arguments = dict(zip(self.names, values, strict=False))
        missing = [name for name in self.required if name not in arguments]
        unexpected = [f"number {number}" for number in range(len(self.names) + 1, len(values) + 1)]
        if missing or unexpected:
            raise ArgumentError(missing, unexpected)
        return arguments


def _list(names: tuple[str, ...]) -> str:
    kind = "argument" if len(names) == 1 else "arguments"
    shown = [name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "..." for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{kind} {', '.join(shown)}{more}"
