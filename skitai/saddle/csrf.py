"""Tokens against forged requests: a form carries one, and a page of another site can not know it.

The session keeps a secret; each token is that secret under a mask of its own, so that a compressed page gives nothing
of it away by its size (BREACH). Any token of a session is good as long as the session lives, and ``session.clear()``
ends them all.

It must not know requests and where a token is looked for. Layer S. Thread: any, one at a time.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import MutableMapping
from typing import Any, Final

from markupsafe import Markup

from skitai.saddle.session import CSRF_KEY

FIELD_NAME: Final = "csrf_token"
"""The form field that carries a token."""

HEADER_NAME: Final = "X-CSRF-Token"
"""The header field that carries a token where there is no form."""

_SIZE: Final = 18
"""Bytes of the secret: 24 characters with no padding."""


def token(session: MutableMapping[str, Any]) -> str:
    """Return a new token of a session; the first one puts the secret into it.

    Args:
        session: The session, or any dictionary that lasts.
    """
    secret = _secret(session)
    if secret is None:
        secret = secrets.token_bytes(_SIZE)
        session[CSRF_KEY] = base64.urlsafe_b64encode(secret).decode("ascii")
    mask = secrets.token_bytes(_SIZE)
    return base64.urlsafe_b64encode(mask + _mask(secret, mask)).decode("ascii")


def token_input(session: MutableMapping[str, Any]) -> Markup:
    """Return the hidden field with a token, for a form in a template.

    Args:
        session: The session, or any dictionary that lasts.
    """
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD_NAME, token(session))


def verify(session: MutableMapping[str, Any], given: object) -> bool:
    """Return whether ``given`` is a token of this session, in a time that does not depend on how much of it is right.

    Args:
        session: The session, or any dictionary that lasts.
        given: What the client sent; whatever is no text is no token.
    """
    secret = _secret(session)
    if secret is None or not isinstance(given, str):
        return False
    whole = _decode(given)
    if len(whole) != 2 * _SIZE:
        return False
    return hmac.compare_digest(_mask(whole[_SIZE:], whole[:_SIZE]), secret)


def _secret(session: MutableMapping[str, Any]) -> bytes | None:
    kept = session.get(CSRF_KEY)
    secret = _decode(kept) if isinstance(kept, str) else b""
    return secret if len(secret) == _SIZE else None


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _mask(data: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, mask, strict=True))
