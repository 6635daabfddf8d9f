"""Saddle applications that differ in nothing but the number of their routes: ``few`` has 5 of them, ``many`` 500.

Routes come in pairs, one without a parameter and one with it. Those of the pair in the middle are called the same in
both applications, so that the same paths can be asked for.
"""

from __future__ import annotations

from typing import Any

from skitai.saddle import Saddle


def application(count: int) -> Saddle:
    """Give an application with so many routes."""
    app = Saddle(__name__)
    for index in range(count):
        area = "middle" if index // 2 == count // 4 else f"area{index // 2}"
        if index % 2:
            app.route(f"/{area}/items/<int:number>/parts/<name>")(part)
        else:
            app.route(f"/{area}/items/summary")(summary)
    return app


def summary(was: Any) -> str:
    """Answer with text."""
    return "summary"


def part(was: Any, number: int, name: str) -> str:
    """Answer with the parameters."""
    return f"{number} {name}"


few = application(5)
many = application(500)
