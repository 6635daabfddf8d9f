"""``skitai.was.result``: what became of a request, as applications see it."""

from __future__ import annotations

import tempfile
import threading
from typing import Any, BinaryIO, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer, ConnectFailed, RequestCancelled, RequestError, RequestTimeout
from skitai.was.result import Response, Responses
from tests.was.doubles import Keeper, answer


def in_file(content: bytes) -> BinaryIO:
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
    file.write(content)
    file.seek(0)
    return file


class FailureTests(SynchronousTestCase):
    def test_statuses(self) -> None:
        for error, status, code in (
            (ConnectFailed("x"), 2, 701),
            (RequestCancelled("x"), 2, 702),
            (RequestTimeout("x"), 1, 730),
            (BadAnswer("x"), 2, 705),
            (KeyError("x"), 2, 705),
        ):
            response = Response.of_failure("GET", "http://a.example/", error)
            self.assertEqual((response.status, response.status_code), (status, code))
            self.assertIsNone(response.data)
            self.assertEqual((response.content, response.text), (b"", ""))

    def test_reraise_raises_the_error_with_a_traceback_of_its_own(self) -> None:
        error = RequestTimeout("too late", True)
        response = Response.of_failure("GET", "http://a.example/", error)
        raised = [self.assertRaises(RequestTimeout, response.reraise) for _ in range(2)]
        self.assertIsNot(raised[0], raised[1])
        self.assertEqual((str(raised[0]), raised[0].sent), ("too late", True))
        self.assertIsInstance(raised[0], TimeoutError)
        self.assertIsNone(error.__traceback__)

    def test_an_error_that_can_not_be_copied_is_raised_itself(self) -> None:
        class Odd(Exception):
            def __init__(self, one: int, two: int) -> None:
                super().__init__(one)

        odd = Odd(1, 2)
        response = Response.of_failure("GET", "http://a.example/", odd)
        self.assertIs(self.assertRaises(Odd, response.reraise), odd)

    def test_reraise_tells_where_a_filter_has_failed(self) -> None:
        response = answer()
        try:
            {}["a"]  # type: ignore[index]
        except KeyError as error:
            response.fail(error)
        raised = self.assertRaises(KeyError, response.reraise)
        self.assertIs(raised.__cause__, response.error)

    def test_an_answer_is_returned_whatever_it_says(self) -> None:
        response = answer(status=404)
        self.assertIs(response.reraise(), response)
        self.assertEqual(response.status, 3)


class ContentTests(SynchronousTestCase):
    def test_data(self) -> None:
        self.assertEqual(answer(b'{"a": 1}').data, {"a": 1})
        self.assertEqual(answer(b'{"a": 1}', "application/problem+json; charset=utf-8").data, {"a": 1})
        self.assertEqual(answer(b'{"a": 1}', "text/plain").data, b'{"a": 1}')
        self.assertEqual(answer(b"{", "application/json").data, b"{")
        self.assertEqual(answer(b"[" * 100_000).data, b"[" * 100_000)
        self.assertRaises(ValueError, answer(b"[" * 100_000).json)

    def test_text(self) -> None:
        self.assertEqual(answer("é".encode("latin-1"), "text/plain; charset=ISO-8859-1").text, "é")
        self.assertEqual(answer("é".encode(), "text/plain").text, "é")
        self.assertEqual(answer(b"\xff", "text/plain").text, "\ufffd")

    def test_text_in_a_charset_that_is_none(self) -> None:
        for charset in ("nonsense", "hex", "idna", "undefined", "punycode", '"a\0b"', ""):
            self.assertEqual(answer("é".encode(), f"text/plain; charset={charset}").text, "é", charset)

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(st.text(st.characters(max_codepoint=255), max_size=60), st.binary(max_size=20))
    def test_whatever_the_content_type_is(self, parameters: str, content: bytes) -> None:
        self.assertIsInstance(answer(content, f"text/plain; {parameters}").text, str)

    def test_data_is_read_once(self) -> None:
        response = answer(b'{"a": 1}')
        self.assertIs(response.data, response.data)

    def test_read_with(self) -> None:
        response = answer(b"12", "text/plain")
        response.read_with(lambda response: int(response.content))
        self.assertEqual((response.data, response.status), (12, 3))

    def test_read_with_what_can_not_read_it(self) -> None:
        response = answer(b"no number", "text/plain")
        response.read_with(lambda response: int(response.content))
        self.assertEqual((response.status, response.status_code, response.data), (2, 705, None))
        self.assertRaises(ValueError, response.reraise)
        self.assertEqual(response.content, b"no number")


    def test_read_later(self) -> None:
        response = answer(b"no number", "text/plain")
        response.read_with(lambda response: int(response.content), at_once=False)
        self.assertEqual((response.status, response.unread), (3, True))
        response.read()
        self.assertEqual((response.status, response.unread, response.data), (2, False, None))


class LongBodyTests(SynchronousTestCase):
    def test_copies_share_the_file_and_none_closes_it(self) -> None:
        file = in_file(b"x" * 100_000)
        response = Response("GET", "http://a.example/", 200, "OK", file)
        copy = response.copy()
        self.assertEqual((response.size, copy.size), (100_000, 100_000))
        del response
        self.assertEqual(copy.content, b"x" * 100_000)
        self.assertEqual(copy.content, b"x" * 100_000)
        del copy
        self.assertTrue(file.closed)

    def test_a_short_one_can_be_copied_into_memory(self) -> None:
        file = in_file(b"x" * 100)
        response = Response("GET", "http://a.example/", 200, "OK", file)
        copy = response.copy(100)
        longer = response.copy(99)
        del response
        self.assertFalse(file.closed)
        del longer
        self.assertTrue(file.closed)
        self.assertEqual(copy.content, b"x" * 100)

    def test_two_threads_read_at_once(self) -> None:
        content = bytes(range(256)) * 8000
        response = Response("GET", "http://a.example/", 200, "OK", in_file(content))
        found: list[bool] = []

        def read() -> None:
            found.extend(response.content == content for _ in range(20))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [True] * 80)

    def test_a_file_that_was_cut(self) -> None:
        file = in_file(b"x" * 100)
        response = Response("GET", "http://a.example/", 200, "OK", file)
        file.truncate(10)
        self.assertEqual(response.content, b"x" * 10)


class CopyTests(SynchronousTestCase):
    def test_who_changes_its_data_changes_nobody_elses(self) -> None:
        response = answer(b'{"a": []}')
        response.data["a"].append(1)
        copy = response.copy()
        self.assertEqual(copy.data, {"a": []})

    def test_what_a_filter_made_stays_with_the_one(self) -> None:
        response = answer(b"1")
        response.set_data("filtered")
        self.assertEqual(response.copy().data, 1)

    def test_the_way_to_read_it_stays(self) -> None:
        response = answer(b"12", "text/plain")
        response.read_with(lambda response: [int(response.content)])
        copy = response.copy()
        self.assertTrue(copy.unread)
        copy.read()
        self.assertEqual(copy.data, [12])
        self.assertIsNot(copy.data, response.data)

    def test_failures_too(self) -> None:
        copy = Response.of_failure("GET", "http://a.example/", ConnectFailed("x")).copy()
        self.assertEqual((copy.status, copy.status_code, copy.reason, copy.data), (2, 701, "x", None))
        self.assertRaises(ConnectFailed, copy.reraise)

    def test_what_belongs_to_the_one_who_asked_does_not_go_along(self) -> None:
        response = answer()
        response.meta, response.reqid, response.is_cached, response.born = {"a": 1}, "a", True, 5.0
        copy = response.copy()
        self.assertEqual(copy.born, 5.0)
        self.assertEqual((copy.meta, copy.reqid, copy.is_cached), ({}, None, False))
        self.assertEqual(copy.headers, response.headers)


class CacheTests(SynchronousTestCase):
    def test_a_time_that_is_none(self) -> None:
        for seconds in ("60", None, True, float("nan"), object()):
            error = self.assertRaises(TypeError, answer().cache, seconds)
            self.assertIn(repr(seconds), str(error))

    def test_answers_are_kept_and_failures_not(self) -> None:
        keeper = Keeper()
        response = answer(status=404)
        response.kept_by(keeper)
        self.assertIs(response.cache(60), response)
        failure = Response.of_failure("GET", "http://a.example/", ConnectFailed("x"))
        failure.kept_by(keeper)
        failure.cache(60)
        answer().cache(60)  # nobody keeps it
        self.assertEqual(keeper.kept, [(response, 60)])


class ResponsesTests(SynchronousTestCase):
    def test_all_of_them(self) -> None:
        failure = Response.of_failure("GET", "http://a.example/", ConnectFailed("x"))
        responses = Responses([answer(b"1"), failure, answer(b"3", status=404)])
        self.assertEqual(responses.status_code, [200, 701, 404])
        self.assertEqual(responses.status, [3, 2, 3])
        self.assertEqual(responses.data, [1, None, 3])
        self.assertEqual((len(responses), responses[1]), (3, failure))
        self.assertEqual([response.data for response in responses], [1, None, 3])
        self.assertRaises(RequestError, responses.reraise)

    def test_they_are_cached_when_all_are(self) -> None:
        responses: list[Any] = [answer(), answer()]
        responses[0].is_cached = True
        self.assertFalse(Responses(responses).is_cached)
        responses[1].is_cached = True
        self.assertTrue(Responses(responses).is_cached)
        self.assertFalse(Responses([]).is_cached)

    def test_all_are_kept(self) -> None:
        keeper = Keeper()
        responses = [answer(), answer()]
        for response in responses:
            response.kept_by(keeper)
        self.assertEqual(len(Responses(responses).cache(9)), 2)
        self.assertEqual(keeper.kept, [(response, 9) for response in responses])
