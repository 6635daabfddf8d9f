"""Caches that hostile clients can not fill."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.web.caches import CACHE_ENTRIES, remember


class RememberTests(SynchronousTestCase):
    def test_keeps_and_returns(self) -> None:
        cache: dict[str, int] = {}
        self.assertEqual(remember(cache, "a", 1), 1)
        self.assertEqual(remember(cache, "b", 2), 2)
        self.assertEqual(cache, {"a": 1, "b": 2})

    def test_bound(self) -> None:
        cache: dict[int, int] = {}
        for number in range(3):
            remember(cache, number, number, 2)
        self.assertEqual(cache, {2: 2})
        for number in range(5 * CACHE_ENTRIES):
            remember(cache, number, number)
            self.assertLessEqual(len(cache), CACHE_ENTRIES)
