"""The names of the ways to make a request: ``was.get``, ``was.postform`` ...

They stand apart so that ``was`` knows its own names before anything that makes requests is imported. What each does is
in ``outgoing``.

Layer 3. Thread: any.
"""

from __future__ import annotations

from typing import Final

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
"""Each is a verb in lower case."""

WITH_CONTENT: Final = ("POST", "PUT", "PATCH")
"""The methods whose content has a form, which a verb may name."""

FORMS: Final = ("form", "json", "xml", "nvp")
"""What follows the method in the name of such a verb."""

UPLOAD: Final = "upload"

NAMES: Final = frozenset(
    (*map(str.lower, METHODS), *[method.lower() + form for method in WITH_CONTENT for form in FORMS], UPLOAD)
)
"""All verbs."""
