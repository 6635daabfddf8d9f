"""Chameleon as Saddle sets it up: page templates of one directory, those that they load included.

Attributes of other namespaces (``v-on:click``, ``@click``) are left alone, so that Vue.js and Chameleon can share a
page. The values that an error message lists are reduced to their types: the message goes to the log.

Theory of operation. All templates of the directory are in one cache; one is read and compiled under its lock, rendered
without. A ``load:`` expression looks beside its template, then at the top of the directory, and gets what is there from
the same cache.

Layer S. Only ``skitai.saddle.templates`` imports it, when the first page template is rendered. Thread: any.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from chameleon import PageTemplateFile
from chameleon.loader import TemplateLoader

from skitai.errors import PeerError
from skitai.saddle.overlay import not_found

CACHE_SIZE: Final = 400
"""How many templates are kept compiled."""

_RESERVED: Final = frozenset({"self", "encoding", "translate", "target_language", "repeat", "template", "macros"})


class PageTemplates:
    """The page templates in a directory.

    Args:
        directory: Where they are.
        auto_reload: Whether a template is read again when its file has changed.
    """

    def __init__(self, directory: str, auto_reload: bool) -> None:
        self.directory = os.path.abspath(directory)
        self.auto_reload = auto_reload
        self._lock = threading.RLock()
        self._cache: dict[str, PageTemplateFile] = {}

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return a template with its variables filled in.

        Raises:
            jinja2.TemplateNotFound: There is no such file in the directory.
            TypeError: A variable has a name that Chameleon uses.
        """
        if not _RESERVED.isdisjoint(variables):
            taken = ", ".join(sorted(_RESERVED.intersection(variables)))
            raise TypeError(f"page templates use {taken} themselves: give your variable another name")
        try:
            return self.get(name).render(**variables)
        except PeerError as error:
            # Chameleon raises a copy whose message tells the template's source; this one is for the client to read.
            if isinstance(error.__context__, PeerError):
                raise error.__context__ from None
            raise

    def get(self, name: str, beside: Sequence[str] = ()) -> PageTemplateFile:
        """Return a template, compiled.

        Args:
            name: Its path, with "/".
            beside: Directories to look into before that of all templates.
        """
        for place in (*beside, self.directory):
            path = os.path.normpath(os.path.join(place, name))
            # A name from a request must not reach other files.
            if path.startswith(os.path.join(self.directory, "")) and not os.path.isabs(name):
                found = self._read(path)
                if found is not None:
                    return found
        raise not_found(name, self.directory)

    def _read(self, path: str) -> PageTemplateFile | None:
        found = self._cache.get(path)
        if found is not None and not self.auto_reload:
            return found
        with self._lock:
            if not os.path.isfile(path):
                self._cache.pop(path, None)
                return None
            found = self._cache.get(path) or self._make(path)
            found.auto_reload = self.auto_reload
            # Out of the cache meanwhile: others must not get one that is half made, and compile it a second time.
            self._cache.pop(path, None)
            found.cook_check()
            if len(self._cache) >= CACHE_SIZE:
                del self._cache[next(iter(self._cache))]
            self._cache[path] = found
            return found

    def _make(self, path: str) -> PageTemplateFile:
        return PageTemplateFile(
            path,
            auto_reload=self.auto_reload,
            encoding="utf-8",
            loader_class=cast("type[TemplateLoader]", partial(_Loader, self)),
            restricted_namespace=False,
            value_repr=_kind,
        )


class _Loader(TemplateLoader):
    """What a ``load:`` expression asks: the cache of the directory."""

    def __init__(self, templates: PageTemplates, search_path: Sequence[str], **config: Any) -> None:
        super().__init__(search_path)
        self._templates = templates

    def load(self, spec: str, cls: Any = None) -> Any:
        """Return the template that a ``load:`` expression names."""
        return self._templates.get(spec.strip(), self.search_path)


def _kind(value: object) -> str:
    return type(value).__name__
