"""Messaging boxes: what one page has to tell the visitor and this page or the next one shows.

A message without a time of validity is shown once: it is gone when a page that got it has succeeded. What such a page
also sent never reaches the cookie; the rest waits there, sealed like a session. What does not fit is dropped.

It must not know requests, responses and templates. Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

from skitai.saddle.cookie import Cookie
from skitai.saddle.sealed import dumps, loads
from skitai.saddle.store import SessionSettings, Slot, Store


class Message(NamedTuple):
    """A message in a box.

    Attributes:
        message_id: Tells it from the others of its box.
        category: The application's word for its kind.
        created: When it was sent, in seconds since the epoch.
        valid: Seconds for which every page shows it; 0 for once.
        msg: What it says.
        extra: The other keywords it was sent with.
    """

    message_id: int
    category: str
    created: float
    valid: float
    msg: Any
    extra: dict[str, Any]

    def is_over(self, now: float) -> bool:
        """Return whether its time is over."""
        return bool(self.valid) and now >= self.created + self.valid


class MessageBox(Store[list[Message]]):
    """The messaging box of a visitor, and named ones beside it.

    Whatever it does needs the application's securekey and raises ``ConfigError`` without one.

    Args:
        cookie: The cookies that boxes are read from and written to.
        settings: What they depend on.
    """

    noun: ClassVar[str] = "mbox"
    prefix: ClassVar[str] = "MBOX_"

    def __init__(self, cookie: Cookie, settings: SessionSettings) -> None:
        super().__init__(cookie, settings)
        self._got: set[tuple[str, int]] = set()

    def mount(
        self,
        name: str | None = None,
        securekey: str | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool | None = None,
        http_only: bool | None = None,
    ) -> None:
        """Make another box the current one for the rest of the request. ``mount()`` goes back to the default one.

        Mount a box with the same arguments wherever it is used: nobody else knows its key and path.

        Args:
            name: Its name, of letters, digits and ``_.-``; None for the default one.
            securekey: Its secret; None for the application's.
            path: Path of its cookie; None for the mount point of the application, and "/" for the default box.
            domain: Domain of its cookie; None for this host alone.
            secure: Whether the cookie is sent over TLS only; None for yes where the request came over TLS.
            http_only: Whether scripts can not read the cookie; None for yes.

        Raises:
            ConfigError: There is no securekey.
            ValueError: An argument can not be used; the message names it.
        """
        self._mount(name, securekey, path, domain, secure, http_only, None)

    def send(
        self, msg: Any, category: str, valid: float = 0, *, valid_seconds: float | None = None, **extra: Any
    ) -> int:
        """Put a message into the box.

        Args:
            msg: What it says: text, or another value that JSON has.
            category: A word for its kind, to choose by and to style with.
            valid: Seconds for which every page shows it; 0 for once, whenever that is.
            valid_seconds: Another name of ``valid``.
            extra: What else is to go with it; JSON values too.

        Returns:
            Its message id.

        Raises:
            TypeError: The message has something in it that JSON has not.
            ValueError: The seconds are no number from 0 on.
        """
        seconds = valid if valid_seconds is None else valid_seconds
        if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            raise ValueError(f"valid is {seconds!r}: it must be seconds from 0 on")
        slot = self._slot()
        now = round(self._settings.now(), 3)
        # An id that was once given is not given again: a link may still name it.
        message_id = max([int(now * 1000), *(message.message_id + 1 for message in slot.data)])
        try:
            # A page shows the same now as it would from the cookie.
            message = Message(*loads(dumps((message_id, category, now, seconds, msg, extra))))
        except TypeError as error:
            raise TypeError(f"the message {msg!r} can not be kept in an mbox: {error}") from None
        slot.data.append(message)
        return message_id

    def get(self, key: str | None = None, value: Any = None) -> list[Message]:
        """Return messages, oldest first; those without a validity are gone when this page has succeeded.

        Args:
            key: A category; or with a value, the keyword that the messages were sent with. None for all messages.
            value: What that keyword was; or a second category, where no message was sent with such a keyword.
        """
        slot = self._slot()
        found = self._find(slot, key, value)
        if value is not None and not any(key in message.extra for message in slot.data):
            # The manual's page for news asks for two categories in this way: get("notice", "news").
            found = [message for message in self._find(slot, None, None) if message.category in (key, value)]
        self._got.update((slot.cookie_name, message.message_id) for message in found if not message.valid)
        return found

    def getv(self, key: str | None = None, value: Any = None) -> list[Message]:
        """Return what ``get`` returns where ``source_verified()``, else nothing."""
        return self.get(key, value) if self.source_verified() else []

    def search(self, key: str, val: Any = None) -> list[int]:
        """Return the ids of messages; it does not count as showing them.

        Args:
            key: A category; or with a value, the keyword that the messages were sent with.
            val: What that keyword was.
        """
        return [message.message_id for message in self._find(self._slot(), key, val)]

    def remove(self, message_id: int | str) -> None:
        """Delete a message; nothing happens where there is none with this id.

        Args:
            message_id: The number, or its digits as a form sends them.
        """
        slot = self._slot()
        slot.data = [message for message in slot.data if str(message.message_id) != str(message_id)]

    def commit(self, failed: bool) -> list[Message]:
        """Write the boxes that have changed to their cookies. Called once, before the head of the answer is sent.

        Args:
            failed: Whether the page is an error: then what it got is still to be shown.

        Returns:
            Messages that had to be dropped because the cookie has no room for them: too large ones, and the oldest.
        """
        dropped: list[Message] = []
        now = self._settings.now()
        for slot in self._slots.values():
            waiting = [
                message
                for message in slot.data
                if not message.is_over(now) and (failed or (slot.cookie_name, message.message_id) not in self._got)
            ]
            slot.data = self._fitting(slot, waiting)
            if len(slot.data) < len(waiting):
                dropped.extend(message for message in waiting if message not in slot.data)
            self._commit(slot, now)
        return dropped

    def _commit(self, slot: Slot[list[Message]], now: float) -> None:
        if not slot.data:
            self._erase(slot)
            return
        text = dumps(slot.data)
        if text != slot.written:
            lasting = all(message.valid for message in slot.data)
            last = max(message.created + message.valid for message in slot.data)
            self._write(slot, text, self._address, math.ceil(last - now) if lasting else "never")

    def _fitting(self, slot: Slot[list[Message]], messages: list[Message]) -> list[Message]:
        """Return the messages that fit into the cookie: the newest ones, in their order."""
        room = self._room(slot) - len(b"[]")
        fitting: list[Message] = []
        for message in reversed(messages):
            size = len(dumps(message)) + len(b",")
            if size <= room:
                room -= size
                fitting.append(message)
        return fitting[::-1]

    def _find(self, slot: Slot[list[Message]], key: str | None, value: Any) -> list[Message]:
        now = self._settings.now()
        return [message for message in slot.data if not message.is_over(now) and _fits(message, key, value)]

    def _nothing(self) -> list[Message]:
        return []

    def _restore(self, data: Any, slot: Slot[list[Message]]) -> list[Message] | None:
        now = self._settings.now()
        messages = [Message(*entry) for entry in data]
        return [message for message in messages if not message.is_over(now)]


def _fits(message: Message, key: str | None, value: Any) -> bool:
    if key is None:
        return True
    if value is None:
        return message.category == key
    return key in message.extra and bool(message.extra[key] == value)
