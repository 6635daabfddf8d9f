"""From what a view returns to the pieces of a body."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.bodies import PIECE_SIZE, AsyncStream, Stream, discard, is_async_stream, is_stream, whole


class More:
    """Gives its pieces one by one when asked for more."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)
        self.closed = 0

    def more(self) -> Any:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed += 1


class Old:
    """An iterator as Python 2 had them."""

    def __init__(self) -> None:
        self.left = 2

    def next(self) -> str:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return "x"


class WholeTests(SynchronousTestCase):
    """What is there already."""

    def test_text_is_utf8(self) -> None:
        self.assertEqual(whole("é"), b"\xc3\xa9")

    def test_bytes(self) -> None:
        for data in (b"a", bytearray(b"a"), memoryview(b"a")):
            self.assertEqual(whole(data), b"a")

    def test_numbers_are_text(self) -> None:
        for number, text in ((8, b"8"), (1.5, b"1.5"), (Decimal("2.50"), b"2.50"), (True, b"True")):
            self.assertEqual(whole(number), text)

    def test_lists(self) -> None:
        self.assertEqual(whole(["a", b"b", 3, ("c",)]), b"ab3c")
        self.assertEqual(whole([]), b"")

    def test_what_must_be_asked(self) -> None:
        for content in (None, {}, iter(()), io.BytesIO(), ["a", io.BytesIO()]):
            self.assertIsNone(whole(content))

    def test_kinds(self) -> None:
        for content in (io.BytesIO(), iter(()), More(), Old(), ["a", io.BytesIO()], range(3)):
            self.assertTrue(is_stream(content), content)
        for content in (None, object(), [{}]):
            self.assertFalse(is_stream(content), content)


class StreamTests(SynchronousTestCase):
    """What gives its content piece by piece."""

    def pieces(self, content: Any) -> list[bytes]:
        return list(Stream(content, lambda: None))

    def test_file(self) -> None:
        data = bytes(PIECE_SIZE + 5)
        self.assertEqual([len(piece) for piece in self.pieces(io.BytesIO(data))], [PIECE_SIZE, 5])

    def test_text_file(self) -> None:
        self.assertEqual(self.pieces(io.StringIO("é")), ["é".encode()])

    def test_generator(self) -> None:
        self.assertEqual(self.pieces(item for item in ("a", b"b", 3)), [b"a", b"b", b"3"])

    def test_more(self) -> None:
        self.assertEqual(self.pieces(More("a", b"b")), [b"a", b"b"])

    def test_old_iterator(self) -> None:
        self.assertEqual(self.pieces(Old()), [b"x", b"x"])

    def test_list_of_everything(self) -> None:
        self.assertEqual(
            self.pieces(["<", io.BytesIO(b"f"), "", More("m"), [">", iter("g")]]), [b"<", b"f", b"m", b">", b"g"]
        )

    def test_a_piece_that_is_none(self) -> None:
        self.assertIn("dict", str(self.assertRaises(TypeError, self.pieces, iter([{}]))))

    def test_nothing_is_asked_for_before_its_turn(self) -> None:
        asked = []

        def generate() -> Iterator[str]:
            asked.append(1)
            yield "a"

        stream = Stream(generate(), lambda: None)
        self.assertEqual(asked, [])
        next(stream)
        self.assertEqual(asked, [1])

    def test_close_closes_everything_once(self) -> None:
        first, second, finished = More("a"), More("b"), []
        stream = Stream([first, [second]], lambda: finished.append(1))
        next(stream)
        stream.close()
        stream.close()
        self.assertEqual((first.closed, second.closed, finished), (1, 1, [1]))

    def test_close_of_a_generator_runs_its_finally(self) -> None:
        ended = []

        def generate() -> Iterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                ended.append(1)

        stream = Stream(generate(), lambda: None)
        next(stream)
        stream.close()
        self.assertEqual(ended, [1])

    def test_one_that_can_not_be_closed_does_not_keep_the_others_open(self) -> None:
        class Broken(More):
            def close(self) -> None:
                raise ValueError("broken")

        second, finished = More(), []
        stream = Stream([Broken(), second], lambda: finished.append(1))
        self.assertRaises(ValueError, stream.close)
        self.assertEqual((second.closed, finished), (1, [1]))


class DiscardTests(SynchronousTestCase):
    """What will not be sent."""

    def test_closes(self) -> None:
        first, second = More(), More()
        discard([first, "x", second])
        self.assertEqual((first.closed, second.closed), (1, 1))

    def test_failures_concern_nobody(self) -> None:
        class Broken(More):
            def close(self) -> None:
                super().close()
                raise ValueError("broken")

        broken = Broken()
        discard(broken)
        discard(None)
        self.assertEqual(broken.closed, 1)


class AsyncStreamTests(SynchronousTestCase):
    """What gives its pieces on the reactor."""

    def test_pieces_and_close(self) -> None:
        finished: list[str] = []

        async def generate() -> AsyncIterator[Any]:
            try:
                yield "a"
                yield 2
            finally:
                finished.append("generator")

        async def read() -> list[bytes]:
            stream = AsyncStream(generate(), lambda: finished.append("stream"))
            found = [await anext(stream)]
            await stream.aclose()
            return found

        self.assertTrue(is_async_stream(generate()))
        try:
            read().send(None)
        except StopIteration as stop:
            self.assertEqual(stop.value, [b"a"])
        self.assertEqual(finished, ["generator", "stream"])
