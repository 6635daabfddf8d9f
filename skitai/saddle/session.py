"""Sessions: a dictionary of JSON values for each visitor, kept in a cookie that only the application can read.

A session is opened when it is first used. It ends after a time without use: a request that uses it renews it, at most
once a minute so that few answers carry the cookie. Nothing about it is kept on the server, so requests at the same time
overwrite each other's changes, and a copy of the cookie is good until its time is over.

It must not know requests and responses. Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from skitai.saddle.mappings import NamedValues
from skitai.saddle.sealed import dumps, loads
from skitai.saddle.store import SessionSettings, Slot, Store

__all__ = ["CSRF_KEY", "RENEWAL_INTERVAL", "Session", "SessionSettings"]

RENEWAL_INTERVAL: Final = 60
"""Seconds for which a session that is only read is not written again."""

CSRF_KEY: Final = "csrf_token"
"""The item that ``skitai.saddle.csrf`` keeps. With nothing else a session does not exist: nobody has signed in."""


class Session(Store[dict[str, Any]], NamedValues[Any]):
    """The session of a visitor, as a dictionary, and named ones beside it.

    Values are what JSON has: text, numbers, True, False, None, lists and dictionaries of them. Whatever it does needs
    the application's securekey and raises ``ConfigError`` without one.

    Args:
        cookie: The cookies that sessions are read from and written to.
        settings: What they depend on.
    """

    noun: ClassVar[str] = "session"
    prefix: ClassVar[str] = "SESS_"

    def mount(
        self,
        name: str | None = None,
        securekey: str | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool | None = None,
        http_only: bool | None = None,
        session_timeout: int | None = None,
    ) -> None:
        """Make another session the current one for the rest of the request. ``mount()`` goes back to the default one.

        Mount a session with the same arguments wherever it is used: nobody else knows its key, path and timeout.

        Args:
            name: Its name, of letters, digits and ``_.-``; None for the default one.
            securekey: Its secret; None for the application's.
            path: Path of its cookie; None for the mount point of the application, and "/" for the default session.
            domain: Domain of its cookie; None for this host alone.
            secure: Whether the cookie is sent over TLS only; None for yes where the request came over TLS.
            http_only: Whether scripts can not read the cookie; None for yes.
            session_timeout: Seconds without use after which it ends; None for what it was written with, else the
                application's.

        Raises:
            ConfigError: There is no securekey.
            ValueError: An argument can not be used; the message names it.
        """
        self._mount(name, securekey, path, domain, secure, http_only, session_timeout)

    def __getitem__(self, key: str) -> Any:
        """Return the value of ``key``."""
        return self._slot().data[key]

    def __setitem__(self, key: str, val: Any) -> None:
        """Set a value.

        Raises:
            TypeError: The key is no text, or the value has something that JSON has not.
            ValueError: The session would not fit into a cookie.
        """
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} of a session must be a text")
        slot = self._slot()
        # The text is made only to raise here, in the line at fault, and not when the answer is sent.
        self._text(slot, {**slot.data, key: val})
        slot.data[key] = val
        slot.claimed = True

    def __delitem__(self, key: str) -> None:
        """Delete the item ``key``."""
        del self._slot().data[key]

    def __contains__(self, key: object) -> bool:
        """Return whether there is an item ``key``."""
        return key in self._slot().data

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the keys."""
        return iter(self._slot().data)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._slot().data)

    def set(self, key: str, val: Any) -> None:
        """Set a value, as ``session[key] = val`` does."""
        self[key] = val

    def getv(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key`` where ``source_verified()``, else ``default``."""
        return self.get(key, default) if self.source_verified() else default

    def remove(self, key: str) -> None:
        """Delete the item ``key``; nothing happens where there is none."""
        self._slot().data.pop(key, None)

    def clear(self) -> None:
        """Delete all items, and the cookie."""
        slot = self._slot()
        slot.data.clear()
        slot.emptied = True
        slot.address = self._address

    def commit(self) -> None:
        """Write the sessions that have changed or are to be renewed to their cookies. Called once, before the head.

        Raises:
            TypeError: A value was changed to something that JSON has not.
            ValueError: A session does not fit into a cookie.
        """
        for slot in self._slots.values():
            try:
                self._commit(slot)
            except (TypeError, ValueError):
                # The page that tells of it is an answer too: it must not fail for the same reason.
                slot.data = loads(slot.written) if slot.written else {}
                raise

    def _commit(self, slot: Slot[dict[str, Any]]) -> None:
        if not slot.data:
            self._erase(slot)
            return
        text = self._text(slot, slot.data)
        if text != slot.written or (slot.claimed and slot.address != self._address):
            self._write(slot, text, self._address, slot.timeout)
        elif self._settings.now() - slot.stamp >= min(RENEWAL_INTERVAL, slot.timeout / 2):
            # Only a change makes its author the source: else one request with a stolen cookie would verify the next.
            self._write(slot, text, slot.address, slot.timeout)

    def _text(self, slot: Slot[dict[str, Any]], data: dict[str, Any]) -> bytes:
        """Return the JSON text of ``data``, which ``slot`` is to hold."""
        try:
            text = dumps(data)
        except TypeError:
            for key, value in data.items():
                try:
                    dumps(value)
                except TypeError as error:
                    raise TypeError(f"the value of {key!r} can not be kept in a session: {error}") from None
            raise
        room = self._room(slot)
        if len(text) > room:
            raise ValueError(f"a session of {len(text):,} bytes does not fit into a cookie, which holds {room:,}")
        return text

    def _holds(self, data: dict[str, Any]) -> bool:
        return len(data) > (CSRF_KEY in data)

    def _nothing(self) -> dict[str, Any]:
        return {}

    def _restore(self, data: Any, slot: Slot[dict[str, Any]]) -> dict[str, Any] | None:
        return data if isinstance(data, dict) and not self._is_over(slot) else None

    def _is_over(self, slot: Slot[dict[str, Any]]) -> bool:
        return self._settings.now() - slot.stamp >= slot.timeout

    def _judge_age(self, slot: Slot[dict[str, Any]]) -> None:
        if slot.written and self._is_over(slot):
            slot.data, slot.written, slot.address = {}, b"", self._address
