"""``wasc``: what the hooks of an application get when it starts, is loaded again or ends.

It is ``was`` outside of requests, and beside that has what is set up once for all of them: objects that applications
share, loggers, the options of the server.

Layer 3. It must not know when hooks are called, nor the server. Thread: any; hooks run in the main thread, those of an
application that is loaded again in an application thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from skitai.was.context import Outside, ServerLink, registry
from skitai.was.loggers import Loggers

_CLOSED: Final = "wasc.config can not be changed: options are given to skitai.run() or on the command line"


class Options(Mapping[str, Any]):
    """The options of the server, as items and as attributes, to be read only.

    Args:
        values: By name; without secrets, whoever makes it sees to that.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, name: str) -> Any:
        """Return an option.

        Raises:
            KeyError: There is none of that name.
        """
        values: dict[str, Any] = self._values
        return values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        """Return an option.

        Raises:
            AttributeError: There is none of that name.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._values, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"wasc.config has no option {name!r}{hint}", name=name) from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(_CLOSED)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(_CLOSED)

    def __repr__(self) -> str:
        return f"<options {self._values!r}>"


class Wasc(Outside):
    """``wasc`` of one server. What is registered is an attribute of it, as it is of ``was``.

    Args:
        loggers: Its loggers.
        config: Its options, without secrets.
        numthreads: How many application threads it has; 0 where applications run on the reactor thread.
        link: The server.

    Attributes:
        logger: The loggers: ``logger.get("app")``, ``logger.make_logger("login", "daily")``.
        config: The options, to be read: ``config.port``.
        numthreads: How many application threads there are.
    """

    __slots__ = ("_given_link", "_registered", "config", "logger", "numthreads")

    def __init__(
        self, loggers: Loggers, config: Mapping[str, Any], numthreads: int, link: ServerLink | None = None
    ) -> None:
        self.logger = loggers
        self.config = Options(config)
        self.numthreads = numthreads
        self._given_link = link
        self._registered: dict[str, Any] = {}

    @property
    def _link(self) -> ServerLink | None:
        return self._given_link or super()._link

    def register(self, name: str, object: Any) -> None:
        """Have all applications find an object as ``was.<name>``, from now on.

        Args:
            name: The name. One that is registered already stands for the new object from now on.
            object: Anything that threads may share.

        Raises:
            ValueError: ``was`` has something else by that name, or it is no name.
        """
        registry.register(name, object)
        self._registered[name] = object

    def unregister(self, name: str) -> None:
        """Undo ``register``.

        Raises:
            KeyError: Nothing is registered by that name.
        """
        registry.unregister(name)
        self._registered.pop(name, None)

    def unregister_all(self) -> None:
        """Undo every ``register`` that has not been undone; what others have registered since stays."""
        while self._registered:
            registry.drop(*self._registered.popitem())
