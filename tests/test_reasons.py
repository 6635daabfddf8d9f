"""Reason phrases."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.reasons import reason_of


class ReasonTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        for status, reason in (
            (200, "OK"),
            (413, "Content Too Large"),
            (414, "URI Too Long"),
            (422, "Unprocessable Content"),
            (431, "Request Header Fields Too Large"),
            (499, "Client Closed Request"),
            (505, "HTTP Version Not Supported"),
            (299, "Success"),
            (499, "Client Closed Request"),
            (599, "Server Error"),
            (999, "Unknown"),
            (7, "Unknown"),
        ):
            with self.subTest(status):
                self.assertEqual(reason_of(status), reason)
