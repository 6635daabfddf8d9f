"""Bodies in memory and in temporary files."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer
from skitai.was.spool import Spool


class SpoolTests(SynchronousTestCase):
    def test_short(self) -> None:
        for pieces in ([], [b"abc"], [b"abc", b"def"]):
            spool = Spool(6, 100)
            for piece in pieces:
                spool.add(piece)
            self.assertEqual(spool.take(), b"".join(pieces))

    def test_long(self) -> None:
        spool = Spool(6, 100)
        for piece in (b"abc", b"def", b"g", b"hi"):
            spool.add(piece)
        file: Any = spool.take()
        self.assertEqual((file.read(), spool.size), (b"abcdefghi", 9))
        spool.discard()
        self.assertFalse(file.closed, "what was taken is the taker's")
        file.close()

    def test_too_long(self) -> None:
        spool = Spool(6, 10)
        spool.add(b"x" * 10)
        self.assertIn("10 bytes", str(self.assertRaises(BadAnswer, spool.add, b"x")))
        file = spool._file
        assert file is not None
        spool.discard()
        self.assertTrue(file.closed)
