"""Applying what ``pref`` says to an application, and reading an application's settings.

Applications are anybody's: a function with attributes, a Flask object whose ``config`` is a dictionary, a Saddle whose
``config`` is an attribute dictionary. It must not know where they come from.

Layer 4, standard library only. Thread: whichever loads the application.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from skitai.attributes import AttributeDictionary
from skitai.values import Size


def apply_preferences(application: Any, pref: Mapping[str, Any]) -> None:
    """Set the application's attributes to the properties of ``pref``, and merge ``pref["config"]`` into its ``config``.

    Args:
        application: The application object.
        pref: What ``skitai.pref()`` returned, or any dictionary.

    Raises:
        TypeError: The application takes no attributes, as a bound method.
    """
    for name, value in pref.items():
        if name == "config":
            if value:
                _merge(application, value)
        else:
            _set(application, name, value)


def _merge(application: Any, values: Mapping[str, Any]) -> None:
    config = getattr(application, "config", None)
    if config is None:
        _set(application, "config", AttributeDictionary(values))
    elif isinstance(config, MutableMapping):
        config.update(values)
    else:
        for name, value in values.items():
            _set(config, name, value)


def _set(owner: Any, name: str, value: Any) -> None:
    try:
        setattr(owner, name, value)
    except AttributeError as error:
        raise TypeError(f"{owner!r} can not take the preference {name!r}: {error}") from error


def flag(application: Any, name: str) -> bool:
    """Return a yes-or-no attribute; anything but a truth value or a number, such as a method, means no."""
    value = getattr(application, name, False)
    return isinstance(value, int) and bool(value)


def size(application: Any, name: str) -> int | None:
    """Return a size of the application's ``config`` in bytes; None where it says nothing usable.

    Written as options are: a number, or such as "64M".
    """
    config = getattr(application, "config", None)
    value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    try:
        return Size().parse(int(value) if isinstance(value, float) else value)
    except (OverflowError, ValueError):
        return None
