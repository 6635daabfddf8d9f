"""``skitai.was.pushed``: an asynchronous response, its requests and its handler."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.errors import SkitaiError
from skitai.was.coroutines import start
from skitai.was.pushed import Pushed
from skitai.was.result import Response
from tests.was.backends import Backend, Message, Network, answer
from tests.was.doubles import Caller


class PushedTestCase(SynchronousTestCase):
    """A view, a handler, and a client that reads when ``read`` is called."""

    def setUp(self) -> None:
        self.network = Network()
        self.network.serve(lambda backend, message: answer(message.target.encode()))
        self.caller = Caller(self.network, make_alias("@one", "http", "192.0.2.1", {}))
        self.threads = self.caller.threads
        self.found: list[Response] = []
        self.failed: list[Exception] = []
        self.handler: Any = lambda response: self.pushed.push(response.content)
        self.pushed: Pushed = Pushed(self.caller, self.handle, self.failed.append)
        self.sent: list[Any] = []
        self.ended = False

    def tearDown(self) -> None:
        self.caller.asker.close()
        self.network.flush()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def handle(self, response: Response) -> None:
        self.found.append(response)
        self.handler(response)

    async def _send(self) -> None:
        try:
            async for piece in self.pushed:
                self.sent.append(piece)
            self.ended = True
        finally:
            await self.pushed.aclose()

    def begin(self) -> Any:
        return start(self._send())

    def go_on(self) -> None:
        """Let everything happen that can."""
        for _ in range(5):
            self.network.flush()
            self.threads.run_jobs()
        self.network.flush()


class HandlingTests(PushedTestCase):
    def test_pieces_are_sent_as_they_are_pushed(self) -> None:
        self.pushed.push("prolog")
        self.pushed.push(None)
        self.pushed.ask("a", "get", "http://a.example/a", meta={"x": 1})
        self.begin()
        self.assertEqual(self.sent, ["prolog"])
        self.handler = lambda response: self.pushed.done(response.text)
        self.go_on()
        self.assertEqual((self.sent, self.ended), (["prolog", "/a"], True))
        self.assertEqual((self.found[0].reqid, self.found[0].meta), ("a", {"x": 1}))

    def test_no_response_is_handled_before_the_view_has_returned(self) -> None:
        seen: list[bool] = []
        self.handler = lambda response: seen.append(self.pushed.all_fetched)
        self.pushed.ask("a", "get", "http://a.example/a")
        self.go_on()
        self.pushed.ask("b", "get", "http://a.example/b")
        self.go_on()
        self.assertEqual(self.found, [])
        self.begin()
        self.go_on()
        self.assertEqual(seen, [False, True])
        self.assertEqual([response.reqid for response in self.found], ["a", "b"])

    def test_nor_on_the_reactor_where_results_are_at_hand(self) -> None:
        self.threads.submit = lambda job: job.run() or True
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.found[0].cache(60)
        self.pushed = Pushed(self.caller, self.handle, self.failed.append)
        self.found.clear()
        seen: list[Any] = []
        self.handler = lambda response: seen.append((response.reqid, response.is_cached, self.pushed.all_fetched))
        for _ in range(2):
            self.pushed.ask("a", "get", "http://a.example/a")
        self.assertEqual(seen, [])
        self.begin()
        self.go_on()
        self.assertEqual(seen, [("a", True, False), ("a", True, True)])

    def test_a_handler_can_ask_for_more(self) -> None:
        def handler(response: Response) -> None:
            if response.reqid == "a":
                self.pushed.ask("b", "get", "http://a.example/b")
            else:
                self.pushed.done("all")

        self.handler = handler
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, len(self.found)), (["all"], 2))

    def test_it_ends_by_itself(self) -> None:
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, self.ended), ([b"/a"], True))

    def test_also_where_nothing_was_asked(self) -> None:
        self.begin()
        self.assertTrue(self.ended)

    def test_it_was_done_before_it_began(self) -> None:
        self.pushed.done("all")
        self.begin()
        self.assertEqual((self.sent, self.ended), (["all"], True))

    def test_failures_are_handled_too(self) -> None:
        self.pushed.ask("a", "get", "http://nowhere.example/")
        self.handler = lambda response: self.pushed.done(str(response.status_code))
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, ["704"])

    def test_a_filter_is_applied_in_the_thread_of_the_handler(self) -> None:
        where: list[bool] = []

        def filtered(data: Any) -> Any:
            where.append(self.threads.in_reactor())
            return "filtered"

        self.handler = lambda response: self.pushed.done(response.data)
        self.pushed.ask("a", "get", "http://a.example/a", filter=filtered)
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, where), (["filtered"], [False]))

    def test_a_handler_that_raises_ends_it(self) -> None:
        for error in (KeyError("gone"), SystemExit()):
            self.setUp()

            def broken(response: object, error: BaseException = error) -> None:
                raise error

            self.handler = broken
            self.pushed.ask("a", "get", "http://a.example/a")
            self.begin()
            self.go_on()
            self.assertTrue(self.ended)
            self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)
            self.assertEqual(self.failed, [error] if isinstance(error, Exception) else [])

    def test_also_when_nobody_can_say_so(self) -> None:
        def broken(response: object) -> None:
            raise KeyError("gone")

        self.handler = broken
        self.pushed = Pushed(self.caller, self.handle, broken)
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.network.flush()
        self.assertRaises(KeyError, self.threads.run_jobs)
        self.threads.reactor = True
        self.network.flush()
        self.assertTrue(self.ended)
        self.flushLoggedErrors(KeyError)

    def test_a_full_queue_delays_it(self) -> None:
        self.threads.room = 0
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.network.flush()
        self.network.wait(1)
        self.threads.room = 1
        self.network.wait(1)
        self.go_on()
        self.assertEqual(self.sent, [b"/a"])

    def test_context_variables_of_the_view(self) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        variable.set("view")
        pushed = self.pushed = Pushed(self.caller, self.handle, self.failed.append)
        variable.set("another")
        self.handler = lambda response: pushed.push(variable.get())
        for _ in range(2):
            self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, ["view", "view"])

    def test_remote_calls(self) -> None:
        handler = self.handler

        def value(backend: Backend, message: Message) -> bytes:
            document = b"<methodResponse><params><param><value><int>7</int></value></param></params></methodResponse>"
            return answer(document, "Content-Type: text/xml")

        self.network.serve(value)
        self.handler = lambda response: self.pushed.push((response.reqid, response.data))
        self.pushed.rpc("sum", "@one/rpc").math.add(3, 4)
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, [("sum", 7)])
        self.assertIsNot(handler, None)


class EndTests(PushedTestCase):
    def test_what_comes_after_the_end_is_ignored(self) -> None:
        self.pushed.done("all")
        self.pushed.push("more")
        self.pushed.done("more")
        self.begin()
        self.assertEqual(self.sent, ["all"])

    def test_no_request_after_the_end(self) -> None:
        self.pushed.done()
        self.assertRaises(SkitaiError, self.pushed.ask, "a", "get", "http://a.example/")
        self.assertRaises(SkitaiError, self.pushed.rpc("a", "http://a.example/").add, 1)
        self.assertEqual(self.caller.calls, 0)

    def test_what_is_still_asked_for_at_the_end_is_given_up(self) -> None:
        self.network.serve(lambda backend, message: None, "b.example", address="192.0.2.2")
        self.pushed.ask("a", "get", "http://a.example/a")
        self.pushed.ask("b", "get", "http://b.example/b")
        self.handler = lambda response: self.pushed.done("enough")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, self.ended), (["enough"], True))
        self.assertEqual(self.caller.asker.client.counts["requests"], 0)

    def test_the_client_leaves(self) -> None:
        self.network.serve(lambda backend, message: None)
        self.pushed.ask("a", "get", "http://a.example/a")
        sending = self.begin()
        self.network.flush()
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.network.flush()
        self.assertEqual(self.caller.asker.client.counts["requests"], 0)
        # A handler that knows nothing of it goes on as if nothing had happened.
        calls = self.caller.calls
        self.pushed.ask("b", "get", "http://a.example/b")
        self.pushed.rpc("c", "http://a.example/").add(1)
        self.pushed.push("more")
        self.pushed.done()
        self.go_on()
        self.assertEqual((self.caller.calls, self.found), (calls, []))

    def test_it_ends_while_a_request_is_being_made(self) -> None:
        from skitai.was.calls import Verb

        handle = Verb(self.caller, "get")("http://a.example/")
        self.pushed.done()
        self.pushed.add("a", handle)
        self.network.flush()
        self.assertEqual(handle.response().status_code, 702)

    def test_a_callback_has_no_place(self) -> None:
        self.assertRaises(TypeError, self.pushed.ask, "a", "get", "http://a.example/", callback=print)
        self.assertRaises(TypeError, self.pushed.rpc, "a", "http://a.example/", callback=print)

    def test_a_broken_argument(self) -> None:
        self.assertRaises(ValueError, self.pushed.ask, "a", "get", "@nobody/")
        self.assertTrue(self.pushed.is_verb("upload"))
        self.assertFalse(self.pushed.is_verb("read"))
