"""Building URLs from the names of views and their arguments: ``was.ab("add", 10, num2=60)``.

Layer S. It must not know which request asks. Thread: any; nothing here changes after it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus

from skitai.errors import SkitaiError
from skitai.saddle.arguments import Signature
from skitai.saddle.rules import Rule, quote_path


class BuildError(SkitaiError, ValueError):
    """No URL can be built: the name is unknown, or arguments are missing or unexpected."""


class Place:
    """One route as URLs are built for it.

    Args:
        rule: The whole rule, with the mount points of Saddleries.
        view: The function.
        names: Names it is known by: of the function, and with that of its Saddlery before it.
        signature: The parameters of the function.
    """

    __slots__ = ("names", "rule", "signature", "view")

    def __init__(self, rule: Rule, view: Callable[..., Any], names: tuple[str, ...], signature: Signature) -> None:
        self.rule = rule
        self.view = view
        self.names = names
        self.signature = signature


class Builder:
    """Builds URLs of one application.

    Args:
        places: In the order of registration, those of the application itself first: where several views have one
            name, the first has it alone, and the others need the name of their Saddlery ("admin.index").
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._places: dict[Any, list[Place]] = {}
        for place in places:
            self._places.setdefault(place.view, []).append(place)
            for name in place.names:
                known = self._places.setdefault(name, [])
                if not known or known[0].signature is place.signature or known[0].view is place.view:
                    known.append(place)
                elif place.names[-1] == known[0].names[-1]:
                    known.append(place)  # the function has been defined anew under its name, with another rule

    def build(self, prefix: str, name: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return a path with its query.

        Args:
            prefix: Mount point of the application, decoded, without a slash at the end.
            name: Name of a view, or the function; a path below the mount point is taken as it is.
            args: Arguments in the order of the parameters of the view.
            kwargs: Arguments by name.

        Raises:
            BuildError: There is no such view, or the arguments do not fit it.
        """
        base = quote_path(prefix)
        if isinstance(name, str) and name.startswith("/"):
            # Two slashes at the beginning would name a host (RFC 3986 section 4.2).
            return base + (quote_path(name) if base else "/" + quote_path(name.lstrip("/"))) + _query(kwargs)
        places = self._places.get(name)
        if places is None:
            raise BuildError(f"there is no view {name!r}{self._hint(name)}")
        faults = []
        best: tuple[int, str] | None = None
        for place in places:
            try:
                used, url = _build(place, args, kwargs)
            except BuildError as error:
                faults.append(error)
                continue
            # Of several rules of a view that which takes most of the arguments into the path; of these the first.
            if best is None or used > best[0]:
                best = (used, url)
        if best is None:
            raise faults[-1] if args or kwargs else faults[0]
        return base + best[1]

    def _hint(self, name: Any) -> str:
        import difflib

        names = [known for known in self._places if isinstance(known, str)]
        near = difflib.get_close_matches(str(name), names, 1)
        return f"; did you mean {near[0]!r}?" if near else ""


def _build(place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, str]:
    signature = place.signature
    given = _given(place, args, kwargs)
    values: dict[str, Any] = {}
    used = 0
    for parameter in place.rule.parameters:
        name = parameter.name
        if name in given:
            values[name] = given.pop(name)
            used += 1
        elif signature.defaults.get(name) is not None:
            values[name] = signature.defaults[name]
        else:
            raise BuildError(f"{place.names[0]}: the argument {name} of the path {place.rule.text} is missing")
    missing = [name for name in signature.required if name not in values and name not in given]
    if missing:
        raise BuildError(f"{place.names[0]}: missing {', '.join(missing)}")
    try:
        path = place.rule.build(values)
    except (ValueError, TypeError) as error:
        raise BuildError(f"{place.names[0]}: {place.rule.text} can not be built: {error}") from error
    return used, path + _query(given)


def _given(place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments by name; None is as good as not given."""
    signature = place.signature
    # A path argument that the view does not take can still be given.
    extra = tuple(parameter.name for parameter in place.rule.parameters if parameter.name not in signature.names)
    names = (*signature.names, *extra)
    if len(args) > len(names):
        raise BuildError(f"{place.names[0]} takes {len(names)} arguments, but {len(args)} were given")
    given = dict(zip(names, args, strict=False))
    twice = sorted(given.keys() & kwargs.keys())
    if twice:
        raise BuildError(f"{place.names[0]}: {', '.join(twice)} was given twice")
    unexpected = [name for name in kwargs if name not in names]
    if unexpected and not signature.takes_any:
        raise BuildError(f"{place.names[0]} does not take {', '.join(unexpected)}")
    return {name: value for name, value in {**given, **kwargs}.items() if value is not None}


def _query(values: Mapping[str, Any]) -> str:
    pairs = []
    for name, value in values.items():
        several = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [f"{quote_plus(name)}={quote_plus(_text(item))}" for item in several]
    return "?" + "&".join(pairs) if pairs else ""


def _text(value: Any) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)
