"""``was``, the services that Skitai offers to the applications it runs.

This package is the object that applications use: ``from skitai import was``, then ``was.log("called")``. Each name is
looked up in the context of the request that the calling code belongs to, so one import serves every thread and every
``async def``. So no module in here may bear the name of a service.

Layer 3: what is in here reaches the outside world for applications, and knows nothing of the server. Thread: any.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from skitai.was import context as _context


class _Services(ModuleType):
    """The class of this package: what code sets is set at its own request, and never for all of them."""

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # Python itself: the submodules, for one
            super().__setattr__(name, value)
        else:
            context = _context.current.get()
            setattr(_context.OUTSIDE if context is None else context, name, value)


sys.modules[__name__].__class__ = _Services


def __getattr__(name: str) -> Any:
    """Return what ``name`` is to the current request.

    Raises:
        RuntimeError: It needs a request and there is none, or a framework that answers it.
        NotAvailable: The manual has the name, this version has not.
        AttributeError: There is no such name.
    """
    if name.startswith("__"):
        # Python itself asks (__path__, __wrapped__ ...): that is never a service.
        raise AttributeError(f"module 'skitai.was' has no attribute {name!r}", name=name)
    context = _context.current.get()
    return getattr(_context.OUTSIDE if context is None else context, name)
