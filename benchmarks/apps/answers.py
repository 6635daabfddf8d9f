"""What the views of Saddle and of Flask answer with: the same for both."""

from __future__ import annotations

from typing import Any


def item() -> dict[str, Any]:
    """Give a small value for JSON, made anew as a view does."""
    return {"id": 4711, "name": "Walnut desk", "price": 249.5, "stock": 12, "tags": ["office", "wood"], "new": True}


UPLOAD_LIMIT = 300_000_000
"""Bytes of a form, and of a file in it, that the applications take."""
