"""What the black-box tests of Saddle share: forms, a browser with cookies, and tables that make a test of each row."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

from skitai.testing import Cookie, Cookies
from tests.functional.blackbox import Reply, Shared

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"

RUN = """

if __name__ == "__main__":
    import skitai
    skitai.run(mount={"/": app})
"""
"""The end of a program with one application at the root."""


def each(*rows: Any) -> Callable[[F], F]:
    """Have ``tables`` make a test of each row; a row that is no tuple is the only argument."""

    def mark(function: F) -> F:
        function.rows = rows  # type: ignore[attr-defined]
        return function

    return mark


def tables(case: C) -> C:
    """Replace each method that ``each`` marks by one test for each row."""
    for name, function in list(vars(case).items()):
        rows = getattr(function, "rows", None)
        if rows is None:
            continue
        delattr(case, name)
        for number, row in enumerate(rows, 1):
            setattr(case, f"{name}_{number:02}", _of_row(function, row if isinstance(row, tuple) else (row,)))
    return case


def _of_row(function: Callable[..., Any], row: tuple[Any, ...]) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        try:
            function(self, *row)
        except self.failureException as error:
            raise self.failureException(f"{repr(row)[:300]}: {error}") from None

    return test


def post(site: Shared, target: str, data: Any, *fields: str, method: str = "POST") -> Reply:
    """Send a form: a dictionary, pairs, or text as it is."""
    text = data if isinstance(data, str) else urllib.parse.urlencode(data, doseq=True)
    return site.ask(target, FORM, *fields, method=method, body=text.encode())


def quoted(value: str) -> str:
    """Return text for a query."""
    return urllib.parse.quote(value, safe="")


class Browser:
    """A client that keeps cookies.

    Attributes:
        cookies: Those kept.
    """

    def __init__(self, site: Shared, *fields: str) -> None:
        self._site, self._fields = site, fields
        self.cookies = Cookies(time.time)

    def ask(self, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Reply:
        said = self.cookies.field("localhost", target.partition("?")[0], "X-Forwarded-Proto: https" in self._fields)
        cookie = [f"Cookie: {said}"] if said else []
        reply = self._site.ask(target, *cookie, *self._fields, *fields, method=method, body=body)
        self.cookies.receive(reply.all("Set-Cookie"), "localhost", target.partition("?")[0])
        return reply

    def text(self, target: str) -> str:
        """Return the body of an answer that is 200."""
        reply = self.ask(target)
        assert reply.status == 200, (reply.status, reply.body[:500])
        return reply.text

    def starting(self, prefix: str) -> Cookie:
        """Return the only cookie whose name starts with ``prefix``."""
        (found,) = [cookie for cookie in self.cookies.all() if cookie.name.startswith(prefix)]
        return found
