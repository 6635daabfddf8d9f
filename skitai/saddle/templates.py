"""The templates of an application: one directory, two engines, chosen by the end of a template's name.

Names that end in ``.pt`` or ``.ptal`` are Chameleon page templates, all others Jinja2. Either engine is imported when
its first template is rendered, or for Jinja2 when its environment is asked for.

It must not know requests: ``was`` is one more variable.

Layer S. Thread: application threads render at the same time, on one ``Templates``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import jinja2

    from skitai.saddle.pagetemplates import PageTemplates

CHAMELEON_SUFFIXES: Final = (".pt", ".ptal")
"""How the names of Chameleon's templates end."""


class Templates:
    """The templates in a directory.

    Args:
        directory: Where they are; it need not exist before the first one is rendered.
        auto_reload: Whether a template is read again when its file has changed.
        overlay: Options for ``overlay``, None for none.
    """

    def __init__(self, directory: str, auto_reload: bool = False, overlay: Mapping[str, Any] | None = None) -> None:
        self.directory = directory
        self._auto_reload = auto_reload
        self._options = dict(overlay or {})
        self._lock = threading.Lock()
        self._env: jinja2.Environment | None = None
        self._pages: PageTemplates | None = None

    @property
    def auto_reload(self) -> bool:
        """Whether a template is read again when its file has changed; it may be set at any time."""
        return self._auto_reload

    @auto_reload.setter
    def auto_reload(self, value: bool) -> None:
        with self._lock:
            self._auto_reload = value
            if self._env is not None:
                self._env.auto_reload = value
            if self._pages is not None:
                self._pages.auto_reload = value

    @property
    def env(self) -> jinja2.Environment:
        """The Jinja2 environment, for globals, filters, tests and extensions of the application's own."""
        return self._env if self._env is not None else self._make_env()

    def overlay(self, **options: Any) -> jinja2.Environment:
        """Change how Jinja2 reads templates, mostly its delimiters.

        Where a start and an end string are the same, writing it twice in a template is that string itself: with "#"
        for variables, "##" is "#".

        Args:
            options: Those of ``jinja2.Environment.overlay``: ``variable_start_string``, ``variable_end_string``,
                ``block_start_string``, ``block_end_string``, ``comment_start_string``, ``comment_end_string``,
                ``line_statement_prefix``, ``line_comment_prefix``, ``trim_blocks`` and so on. What is not given stays.

        Returns:
            The environment that is used from now on. Globals, filters and tests are those of the one before.

        Raises:
            ValueError: A delimiter is empty or no string, or two start strings are the same.
            TypeError: Jinja2 has no such option.
        """
        from skitai.saddle.overlay import overlay

        env = overlay(self.env, options)
        with self._lock:
            self._env = env
        return env

    def render(self, was: object, name: str, variables: Mapping[str, Any]) -> str:
        """Return a template with its variables filled in.

        Values are escaped in Chameleon's templates and in Jinja2's that end in .html, .htm, .xml or .xhtml.

        Args:
            was: What the template knows as ``was``.
            name: Path of the template below the directory, with "/".
            variables: What else it knows, by name.

        Raises:
            jinja2.TemplateNotFound: There is no such file in the directory, whichever the engine.
            TypeError: A variable has a name that is taken.
        """
        if "was" in variables:
            raise TypeError("templates have a variable 'was' already: give yours another name")
        if name.endswith(CHAMELEON_SUFFIXES):
            pages = self._pages if self._pages is not None else self._make_pages()
            return pages.render(name, {**variables, "was": was})
        env = self._env if self._env is not None else self._make_env()
        return env.get_template(name).render({**variables, "was": was})

    def _make_env(self) -> jinja2.Environment:
        from skitai.saddle.overlay import make_environment, overlay

        with self._lock:
            if self._env is None:
                env = make_environment(self.directory, self._auto_reload)
                self._env = overlay(env, self._options) if self._options else env
            return self._env

    def _make_pages(self) -> PageTemplates:
        from skitai.saddle.pagetemplates import PageTemplates

        with self._lock:
            if self._pages is None:
                self._pages = PageTemplates(self.directory, self._auto_reload)
            return self._pages
