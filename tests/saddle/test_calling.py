"""The way of one request: checks, hooks, view, and what comes of failures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle import Saddle, Saddlery
from tests.saddle.wsgi import Answer, call, get


class Diary:
    """Hooks that note that they were called."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str, result: Any = None) -> Callable[..., Any]:
        """Return a hook that notes ``line`` and returns ``result``."""

        def hook(was: Any, *more: Any) -> Any:
            self.lines.append(line)
            return result

        return hook

    def fail(self, line: str) -> Callable[..., Any]:
        """Return a hook that notes ``line`` and raises."""

        def hook(was: Any, *more: Any) -> Any:
            self.lines.append(line)
            raise ValueError(line)

        return hook

    def note_later(self, line: str) -> Callable[..., Any]:
        """Return a hook that is a coroutine function."""

        async def hook(was: Any, *more: Any) -> None:
            self.lines.append(line)

        return hook


class OrderTests(SynchronousTestCase):
    """Hooks of an application and of Saddleries below it, in the order of the manual."""

    def setUp(self) -> None:
        self.diary = diary = Diary()
        self.app = Saddle(__name__)
        self.part = Saddlery(__name__)
        for owner, name in ((self.app, "app"), (self.part, "part")):
            owner.before_request(diary.note(f"{name}.before"))
            owner.finish_request(diary.note(f"{name}.finish"))
            owner.teardown_request(diary.note(f"{name}.teardown"))
        self.app.mount("/part", self.part)
        self.app.route("/ok")(diary.note("view", "content"))
        self.part.route("/ok")(diary.note("view", "content"))
        self.part.route("/bad")(diary.fail("view"))

    def asked(self, target: str, code: int = 200) -> list[str]:
        self.answer = get(self.app, target)
        self.assertEqual(self.answer.code, code)
        return self.diary.lines

    def test_application_alone(self) -> None:
        self.assertEqual(self.asked("/ok"), ["app.before", "view", "app.finish", "app.teardown"])

    def test_nested(self) -> None:
        expected = "app.before part.before view part.finish part.teardown app.finish app.teardown"
        self.assertEqual(self.asked("/part/ok"), expected.split())

    def test_failure_that_nobody_handles(self) -> None:
        self.part.failed_request(self.diary.note("part.failed"))
        self.app.failed_request(self.diary.note("app.failed"))
        expected = "app.before part.before view part.failed part.teardown app.failed app.teardown"
        self.assertEqual(self.asked("/part/bad", 500), expected.split())

    def test_failure_handled_below_finishes_above(self) -> None:
        self.part.failed_request(self.diary.note("part.failed", "sorry"))
        self.app.failed_request(self.diary.note("app.failed"))
        expected = "app.before part.before view part.failed part.teardown app.finish app.teardown"
        self.assertEqual(self.asked("/part/bad"), expected.split())
        self.assertEqual(self.answer.text, "sorry")

    def test_content_of_before_skips_view_and_finish(self) -> None:
        self.part.before_request(self.diary.note("guard", "no"))
        expected = "app.before part.before guard part.teardown app.finish app.teardown"
        self.assertEqual(self.asked("/part/ok"), expected.split())
        self.assertEqual(self.answer.text, "no")

    def test_several_of_a_kind_run_in_the_order_of_registration(self) -> None:
        for kind in ("before_request", "finish_request", "teardown_request"):
            getattr(self.app, kind)(self.diary.note(f"second {kind}"))
        self.assertEqual(
            self.asked("/ok"),
            [
                "app.before", "second before_request", "view", "app.finish", "second finish_request", "app.teardown",
                "second teardown_request",
            ],
        )  # fmt: skip

    def test_failure_of_before_is_a_failure(self) -> None:
        self.app.before_request(self.diary.fail("broken"))
        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        self.assertEqual(self.asked("/ok"), ["app.before", "broken", "app.failed", "app.teardown"])

    def test_failure_of_finish_is_a_failure_of_the_level_above(self) -> None:
        self.part.finish_request(self.diary.fail("broken"))
        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        self.assertEqual(self.asked("/part/ok")[-4:], ["broken", "part.teardown", "app.failed", "app.teardown"])

    def test_failure_of_teardown_spoils_nothing(self) -> None:
        self.app.teardown_request(self.diary.fail("broken"))
        self.app.teardown_request(self.diary.note("last"))
        self.assertEqual(self.asked("/ok")[-3:], ["app.teardown", "broken", "last"])
        self.assertEqual(self.answer.text, "content")

    def test_what_the_client_did_wrong_is_no_failed_request(self) -> None:
        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        self.assertEqual(self.asked("/ok?x=1", 400), ["app.before", "app.teardown"])

    def test_unknown_paths_have_no_hooks(self) -> None:
        self.assertEqual(self.asked("/nowhere", 404), [])

    def test_failed_request_gets_exc_info(self) -> None:
        seen = []
        self.app.failed_request(lambda was, exc_info: seen.append(exc_info) or "sorry")
        self.asked("/part/bad")
        kind, error, traceback = seen[0]
        self.assertEqual((kind, str(error)), (ValueError, "view"))
        self.assertIsNotNone(traceback)

    def test_failure_is_being_handled_while_hooks_are_asked(self) -> None:
        seen: list[Any] = []
        self.app.failed_request(lambda was, exc_info: seen.append(sys.exc_info()[1] is exc_info[1]) or "sorry")
        self.asked("/part/bad")
        self.assertEqual(seen, [True])

    def test_failure_that_a_hook_answers_is_logged(self) -> None:
        import logging

        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        log = logging.getLogger("skitai.app")
        log.addHandler(handler)
        self.addCleanup(log.removeHandler, handler)
        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        self.asked("/part/bad")
        self.assertEqual(len(records), 1)
        self.assertIn("ValueError: view", records[0].getMessage())

    def test_what_a_failed_view_has_set_is_forgotten(self) -> None:
        @self.app.route("/half")
        def half(was: Any) -> Any:
            was.response("404 Not Found", "x", [("X-Half", "1")])
            raise ValueError

        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        self.asked("/half")
        self.assertIsNone(self.answer.header("X-Half"))

    def test_coroutines_keep_the_order(self) -> None:
        self.app.before_request(self.diary.note_later("later"))

        @self.part.route("/later")
        async def later(was: Any) -> str:
            self.diary.lines.append("view")
            return "content"

        expected = "app.before later part.before view part.finish part.teardown app.finish app.teardown"
        self.assertEqual(self.asked("/part/later"), expected.split())

    def test_failures_of_coroutines(self) -> None:
        self.part.failed_request(self.diary.note_later("part.failed"))
        self.app.failed_request(self.diary.note("app.failed", "sorry"))
        expected = "app.before part.before view part.failed part.teardown app.failed app.teardown"
        self.assertEqual(self.asked("/part/bad"), expected.split())


class AsyncTests(SynchronousTestCase):
    """Coroutine functions under another server run to their end in the thread."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)

    def test_view(self) -> None:
        import asyncio

        @self.app.route("/a/<name>")
        async def view(was: Any, name: str) -> dict[str, str]:
            await asyncio.sleep(0)
            return {"name": name}

        self.assertEqual(get(self.app, "/a/b").text, '{"name": "b"}')

    def test_failure(self) -> None:
        @self.app.route("/a")
        async def view(was: Any) -> str:
            raise ValueError("x")

        self.assertEqual(get(self.app, "/a").code, 500)

    def test_asynchronous_generator(self) -> None:
        @self.app.route("/a")
        async def view(was: Any) -> Any:
            async def generate() -> Any:
                yield "a"
                yield "b"

            return generate()

        self.assertEqual(get(self.app, "/a").text, "ab")

    def test_what_is_left_behind_ends(self) -> None:
        import asyncio

        ended = []

        async def behind() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(1)

        @self.app.route("/a")
        async def view(was: Any) -> str:
            was.g.task = asyncio.create_task(behind())
            await asyncio.sleep(0)
            return "x"

        self.assertEqual(get(self.app, "/a").text, "x")
        self.assertEqual(ended, [1])

    def test_head_closes_what_it_does_not_send(self) -> None:
        closed = []

        class Pieces:
            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> str:
                return "x"

            async def aclose(self) -> None:
                closed.append(1)

        @self.app.route("/a")
        async def view(was: Any) -> Any:
            return Pieces()

        self.assertEqual(call(self.app, "HEAD", "/a").body, b"")
        self.assertEqual(closed, [1])

    def test_plain_function_that_returns_a_coroutine(self) -> None:
        async def inner(was: Any) -> str:
            return "x"

        @self.app.route("/a")
        def view(was: Any) -> Any:
            return inner(was)

        self.assertEqual(get(self.app, "/a").text, "x")


class CheckTests(SynchronousTestCase):
    """What is checked before hooks and view."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)

        @self.app.route("/open")
        def opened(was: Any) -> str:
            return "open"

        @self.app.route("/guarded", authenticate=True)
        def guarded(was: Any) -> str:
            return str(was.request.user.name)

        self.app.authorization = "basic"
        self.app.users = {"ann": "secret"}

    def ask(self, target: str, method: str = "GET", **more: Any) -> Answer:
        return call(self.app, method, target, **more)

    def test_authentication(self) -> None:
        self.assertEqual(self.ask("/open").code, 200)
        answer = self.ask("/guarded")
        self.assertEqual(answer.code, 401)
        self.assertIn("Basic realm=", answer.header("WWW-Authenticate") or "")
        answer = self.ask("/guarded", HTTP_AUTHORIZATION="Basic YW5uOnNlY3JldA==")
        self.assertEqual(answer.text, "ann")

    def test_whole_application(self) -> None:
        self.app.authenticate = True
        self.assertEqual(self.ask("/open").code, 401)

    def test_malformed_authorization(self) -> None:
        self.assertEqual(self.ask("/guarded", HTTP_AUTHORIZATION="Basic ???").code, 400)

    def test_options_never_run_a_view_of_a_protected_application(self) -> None:
        self.app.authenticate = True
        self.app.route("/opt", methods=["OPTIONS"])(lambda was: "ran")
        for more in ({}, {"HTTP_AUTHORIZATION": "Basic YW5uOnNlY3JldA=="}):
            answer = self.ask("/opt", "OPTIONS", **more)
            self.assertEqual((answer.code, answer.body), (200, b""))

    def test_options_never_run_a_protected_view(self) -> None:
        answer = self.ask("/guarded", "OPTIONS")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertIn("GET", answer.header("Allow") or "")


class FailureTests(SynchronousTestCase):
    """Pages for what went wrong."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)

        @self.app.route("/bad")
        def bad(was: Any) -> str:
            raise ValueError("<script>secret</script>")

        @self.app.route("/none")
        def returns_none(was: Any) -> None:
            """Forget to return anything."""

    def test_without_debug_nothing_is_told(self) -> None:
        answer = get(self.app, "/bad")
        self.assertEqual(answer.code, 500)
        self.assertNotIn("secret", answer.text)

    def test_in_debug_the_traceback_is_shown_escaped(self) -> None:
        self.app.debug = True
        answer = get(self.app, "/bad")
        self.assertEqual(answer.code, 500)
        self.assertIn("&lt;script&gt;secret", answer.text)
        self.assertNotIn("<script>", answer.text)
        self.assertIn("test_calling", answer.text)

    def test_none_names_the_view(self) -> None:
        self.app.debug = True
        self.assertIn("returns_none", get(self.app, "/none").text)

    def test_shown_on_purpose(self) -> None:
        @self.app.route("/shown")
        def shown(was: Any) -> Any:
            try:
                raise ValueError("Test Error")
            except ValueError:
                return was.response("500 Internal Server Error", exc_info=sys.exc_info())

        answer = get(self.app, "/shown")
        self.assertEqual(answer.code, 500)
        self.assertIn("Test Error", answer.text)

    def test_session_without_a_key(self) -> None:
        @self.app.route("/session")
        def session(was: Any) -> str:
            return str(was.session["a"])

        self.app.debug = True
        answer = get(self.app, "/session")
        self.assertEqual(answer.code, 500)
        self.assertIn("securekey", answer.text)

    def test_exceptions_with_header_fields_of_their_own(self) -> None:
        from email.message import Message
        from urllib.error import HTTPError

        @self.app.route("/asks")
        def asks(was: Any) -> str:
            fields = Message()
            fields["X-Of-Another-Server"] = "1"
            raise HTTPError("http://a.example/", 404, "Not Found", fields, None)

        answer = get(self.app, "/asks", checked=True)
        self.assertEqual((answer.code, answer.header("X-Of-Another-Server")), (500, None))

    def test_what_the_application_has_cancelled_is_a_failure(self) -> None:
        from concurrent.futures import CancelledError

        @self.app.route("/cancelled")
        def cancelled(was: Any) -> str:
            raise CancelledError

        self.app.failed_request(lambda was, exc_info: "sorry")
        self.assertEqual(get(self.app, "/cancelled").text, "sorry")

    def test_a_client_that_reads_json_gets_json(self) -> None:
        answer = get(self.app, "/nowhere", HTTP_ACCEPT="application/json")
        self.assertIn('"status": 404', answer.text)


class ClosingTests(SynchronousTestCase):
    """What a request has opened is closed, whatever happens."""

    BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1\r\n--b--\r\n'

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.securekey = "secret"
        self.closed: list[int] = []
        self.paths: list[str] = []

    def content(self) -> Any:
        class Content:
            def more(self) -> bytes:
                return b""

            def close(this) -> None:
                self.closed.append(1)

        return Content()

    def upload(self) -> Answer:
        return call(self.app, "POST", "/", self.BODY, CONTENT_TYPE="multipart/form-data; boundary=b")

    def break_session(self, was: Any) -> None:
        was.session["x"] = []
        was.session["x"].append(object())

    def test_content_of_a_page_whose_session_can_not_be_kept(self) -> None:
        @self.app.route("/")
        def view(was: Any) -> Any:
            self.break_session(was)
            return self.content()

        self.assertEqual(get(self.app, "/").code, 500)
        self.assertEqual(self.closed, [1])

    def test_content_of_a_page_whose_hook_fails(self) -> None:
        @self.app.finish_request
        def finish(was: Any) -> None:
            raise ValueError("broken")

        self.app.route("/")(lambda was: self.content())
        self.app.route("/response")(lambda was: was.response("200 OK", self.content()))
        for target in ("/", "/response"):
            self.assertEqual(get(self.app, target).code, 500)
        self.assertEqual(self.closed, [1, 1])

    def test_upload_where_even_the_error_page_fails(self) -> None:
        @self.app.route("/")
        def view(was: Any, file: Any) -> str:
            self.paths.append(file.path)
            self.break_session(was)
            was.session.mount("another")
            self.break_session(was)
            return "x"

        with self.assertLogs("skitai.app") as seen:
            self.assertEqual(self.upload().code, 500)
        self.assertFalse(os.path.exists(self.paths[0]))
        self.assertEqual(len(seen.output), 2)  # both failures are told

    def test_upload_of_a_view_that_ends_the_process(self) -> None:
        @self.app.route("/")
        def view(was: Any, file: Any) -> str:
            self.paths.append(file.path)
            sys.exit(1)

        self.assertRaises(SystemExit, self.upload)
        self.assertFalse(os.path.exists(self.paths[0]))
