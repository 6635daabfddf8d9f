"""A visitor for tests of what lives in cookies: a browser's memory, an address and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skitai.saddle.cookie import Cookie
from skitai.saddle.mbox import MessageBox
from skitai.saddle.session import Session, SessionSettings


class Visitor:
    """Makes requests one after another and keeps the cookies, whatever their path.

    Attributes:
        kept: Values of the cookies the browser has.
        fields: The Set-Cookie fields of the last answer.
        now: The time in seconds since the epoch.
        address: The address that requests come from.
        securekey: What the application has.
        timeout: What the application has.
        tls: Whether requests come over TLS.
        dropped: The messages that the last answer had no room for.
    """

    def __init__(self, securekey: str | None = "the application's secret") -> None:
        self.kept: dict[str, str] = {}
        self.fields: list[str] = []
        self.now = 1_000_000_000.5
        self.address = "192.0.2.1"
        self.securekey = securekey
        self.timeout: int | None = None
        self.tls = False
        self.dropped: list[object] = []

    def cookie(self) -> Cookie:
        header = "; ".join(f"{name}={value}" for name, value in self.kept.items())
        return Cookie(header, "/app", self.tls, lambda: self.now)

    def settings(self) -> SessionSettings:
        return SessionSettings(self.securekey, self.timeout, self.address, self.tls, lambda: self.now)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Make a request whose view uses its session."""
        cookie = self.cookie()
        session = Session(cookie, self.settings())
        yield session
        session.commit()
        self.keep(cookie)

    @contextmanager
    def mbox(self, failed: bool = False) -> Iterator[MessageBox]:
        """Make a request whose view uses its messaging box."""
        cookie = self.cookie()
        box = MessageBox(cookie, self.settings())
        yield box
        self.dropped = list(box.commit(failed))
        self.keep(cookie)

    def keep(self, cookie: Cookie) -> None:
        """Do what the Set-Cookie fields of an answer say."""
        self.fields = cookie.header_values()
        for field in self.fields:
            name, _, value = field.partition(";")[0].partition("=")
            if "; Max-Age=0" in field:
                self.kept.pop(name, None)
            else:
                self.kept[name] = value
