"""Tokens against forged requests."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.csrf import FIELD_NAME, HEADER_NAME, token, token_input, verify
from skitai.saddle.session import CSRF_KEY
from tests.saddle.visitor import Visitor

SESSION: dict[str, Any] = {}
TOKEN = token(SESSION)


class CsrfTests(SynchronousTestCase):
    """``token`` and ``verify``"""

    def test_every_token_of_the_session(self) -> None:
        for given_token in (TOKEN, token(SESSION), token(SESSION)):
            self.assertTrue(verify(SESSION, given_token))

    def test_never_the_same_twice(self) -> None:
        self.assertEqual(len({token(SESSION) for _ in range(20)}), 20)

    def test_secret_is_not_in_it(self) -> None:
        self.assertNotIn(SESSION[CSRF_KEY], TOKEN)
        self.assertFalse(verify(SESSION, SESSION[CSRF_KEY]))

    def test_another_session(self) -> None:
        other: dict[str, Any] = {}
        self.assertFalse(verify(other, TOKEN))
        self.assertEqual(other, {})
        token(other)
        self.assertFalse(verify(other, TOKEN))

    def test_any_other_sign(self) -> None:
        for at, sign in enumerate(TOKEN):
            other = "A" if sign != "A" else "B"
            self.assertFalse(verify(SESSION, TOKEN[:at] + other + TOKEN[at + 1 :]), at)

    def test_what_is_no_token(self) -> None:
        for given_token in (None, "", 5, TOKEN.encode(), [TOKEN], TOKEN[:-1], TOKEN + "A", "=" * len(TOKEN), "é" * 48):
            self.assertFalse(verify(SESSION, given_token), given_token)

    @settings(max_examples=150, derandomize=True, deadline=None)
    @given(st.text(max_size=60) | st.text(alphabet="ABCxyz019-_=", min_size=48, max_size=48))
    def test_any_text(self, text: str) -> None:
        self.assertFalse(verify(SESSION, text))

    def test_spoilt_secret(self) -> None:
        for kept in ("", "x", 5, None, "é", "A" * 23):
            session: dict[str, Any] = {CSRF_KEY: kept}
            self.assertFalse(verify(session, TOKEN))
            self.assertTrue(verify(session, token(session)))

    def test_field_of_a_form(self) -> None:
        field = token_input(SESSION)
        self.assertIsInstance(field, Markup)
        self.assertRegex(field, rf'\A<input type="hidden" name="{FIELD_NAME}" value="[\w-]{{48}}">\Z')
        self.assertTrue(verify(SESSION, field.split('"')[5]))
        self.assertEqual((FIELD_NAME, HEADER_NAME), ("csrf_token", "X-CSRF-Token"))

    def test_in_a_session(self) -> None:
        visitor = Visitor()
        with visitor.session() as session:
            first = token(session)
        with visitor.session() as session:
            self.assertTrue(verify(session, first))
            token(session)
        self.assertEqual(visitor.fields, [], "one secret for the whole session")
        with visitor.session() as session:
            session.clear()
        with visitor.session() as session:
            self.assertFalse(verify(session, first))
