"""``skitai.was.pushed``: an asynchronous response, its requests and its handler."""

from __future__ import annotations

import gc
import sys
from contextvars import ContextVar
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.errors import PeerError, RequestCancelled, SkitaiError
from skitai.was.context import Was, current
from skitai.was.coroutines import start
from skitai.was.pushed import BUFFER_SIZE, Pushed
from skitai.was.result import Response
from tests.was.backends import Backend, Message, Network, answer
from tests.was.doubles import Caller
from tests.web.exchanges import make_exchange


class Meta(dict[str, int]):
    """What a request is given, and its response has."""


class Owner:
    """Has a response that calls it."""

    def __init__(self, caller: Any, handler: Any) -> None:
        self.handler = handler
        self.pushed = Pushed(caller, self.handle, self.failed)

    def handle(self, response: Response) -> None:
        self.handler(response)

    def failed(self, error: Exception) -> None:
        raise error


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
        self.pushed.push(b"prolog")
        self.pushed.push(b"")
        self.pushed.ask("a", "get", "http://a.example/a", meta={"x": 1})
        self.begin()
        self.assertEqual(self.sent, [b"prolog"])
        self.handler = lambda response: self.pushed.done(response.content)
        self.go_on()
        self.assertEqual((self.sent, self.ended), ([b"prolog", b"/a"], True))
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
        self.threads.insist = lambda job: job.run()
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
                self.pushed.done(b"all")

        self.handler = handler
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, len(self.found)), ([b"all"], 2))

    def test_it_ends_by_itself(self) -> None:
        self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, self.ended), ([b"/a"], True))

    def test_also_where_nothing_was_asked(self) -> None:
        self.begin()
        self.assertTrue(self.ended)

    def test_it_was_done_before_it_began(self) -> None:
        self.pushed.done(b"all")
        self.begin()
        self.assertEqual((self.sent, self.ended), ([b"all"], True))

    def test_the_last_piece_comes_however_it_ends(self) -> None:
        def broken(response: object) -> None:
            raise KeyError("gone")

        def done(response: object) -> None:
            self.pushed.done(b"all")

        def nothing(response: object) -> None:
            pass

        for handler, sent in ((broken, [b"sorry", b"last"]), (done, [b"all", b"last"]), (nothing, [b"last"])):
            self.setUp()
            self.pushed = Pushed(self.caller, self.handle, lambda error: self.pushed.push(b"sorry"), b"last")
            self.handler = handler
            self.pushed.ask("a", "get", "http://a.example/a")
            self.begin()
            self.go_on()
            self.assertEqual((self.sent, self.ended), (sent, True))
        self.flushLoggedErrors(KeyError)
        self.pushed = Pushed(self.caller, self.handle, self.failed.append, b"last")
        self.sent.clear()
        self.begin()
        self.assertEqual(self.sent, [b"last"])

    def test_failures_are_handled_too(self) -> None:
        self.pushed.ask("a", "get", "http://nowhere.example/")
        self.handler = lambda response: self.pushed.done(b"%d" % response.status_code)
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, [b"704"])

    def test_a_filter_is_applied_in_the_thread_of_the_handler(self) -> None:
        where: list[bool] = []

        def filtered(data: Any) -> Any:
            where.append(self.threads.in_reactor())
            return b"filtered"

        self.handler = lambda response: self.pushed.done(response.data)
        self.pushed.ask("a", "get", "http://a.example/a", filter=filtered)
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, where), ([b"filtered"], [False]))

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

    def test_what_has_been_handled_is_not_kept(self) -> None:
        kept: list[Any] = []

        def handler(response: Response) -> None:
            kept.append(ref(response.meta))
            if len(kept) < 10:
                self.pushed.ask("next", "get", "http://a.example/a", meta=Meta(x=1))
            else:
                self.pushed.done(b"%d" % sum(meta() is not None for meta in kept))

        self.pushed = Pushed(self.caller, handler, self.failed.append)
        self.pushed.ask("first", "get", "http://a.example/a", meta=Meta(x=1))
        self.begin()
        for _ in range(10):
            self.go_on()
        self.assertEqual(self.sent, [b"1"])

    def test_what_goes_wrong_is_logged_with_the_ids_of_the_request(self) -> None:
        def broken(response: object) -> None:
            raise KeyError("gone")

        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.addCleanup(current.set, current.get())
        current.set(Was(make_exchange([(b"x-gtxn-id", b"G"), (b"x-ltxn-id", b"2001")]), {}))
        for handler in (broken, lambda response: None):
            self.handler = handler
            self.pushed = Pushed(self.caller, self.handle, self.failed.append)
            self.pushed.ask("a", "get", "http://a.example/a")
            self.begin()
            self.go_on()
        self.begin_empty()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(
            [formatEvent(event) for event in events if event["log_namespace"] == "skitai.app"],
            [
                "G/2001 the handler of an asynchronous response to 1 requests failed",
                "G/2001 an asynchronous response to 1 requests has none left, and its handler has not called done(): "
                "ended now",
                "G/2001 an asynchronous response to 0 requests has made none, and nobody has called done(): ended now",
            ],
        )

    def begin_empty(self) -> None:
        self.pushed = Pushed(self.caller, self.handle, self.failed.append)
        self.begin()

    def test_context_variables_of_the_view(self) -> None:
        variable: ContextVar[bytes] = ContextVar("variable")
        variable.set(b"view")
        pushed = self.pushed = Pushed(self.caller, self.handle, self.failed.append)
        variable.set(b"another")
        self.handler = lambda response: pushed.push(variable.get())
        for _ in range(2):
            self.pushed.ask("a", "get", "http://a.example/a")
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, [b"view", b"view"])

    def test_remote_calls(self) -> None:
        handler = self.handler

        def value(backend: Backend, message: Message) -> bytes:
            document = b"<methodResponse><params><param><value><int>7</int></value></param></params></methodResponse>"
            return answer(document, "Content-Type: text/xml")

        self.network.serve(value)
        self.handler = lambda response: self.pushed.push(f"{response.reqid} {response.data}".encode())
        self.pushed.rpc("sum", "@one/rpc").math.add(3, 4)
        self.begin()
        self.go_on()
        self.assertEqual(self.sent, [b"sum 7"])
        self.assertIsNot(handler, None)


class EndTests(PushedTestCase):
    def test_what_comes_after_the_end_is_ignored(self) -> None:
        self.pushed.done(b"all")
        self.pushed.push(b"more")
        self.pushed.done(b"more")
        self.begin()
        self.assertEqual(self.sent, [b"all"])

    def test_no_request_after_the_end(self) -> None:
        self.pushed.done()
        self.assertRaises(SkitaiError, self.pushed.ask, "a", "get", "http://a.example/")
        self.assertRaises(SkitaiError, self.pushed.rpc("a", "http://a.example/").add, 1)
        self.assertEqual(self.caller.calls, 0)

    def test_what_is_still_asked_for_at_the_end_is_given_up(self) -> None:
        self.network.serve(lambda backend, message: None, "b.example", address="192.0.2.2")
        self.pushed.ask("a", "get", "http://a.example/a")
        self.pushed.ask("b", "get", "http://b.example/b")
        self.handler = lambda response: self.pushed.done(b"enough")
        self.begin()
        self.go_on()
        self.assertEqual((self.sent, self.ended), ([b"enough"], True))
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
        self.pushed.push(b"more")
        self.pushed.done()
        self.go_on()
        self.assertEqual((self.caller.calls, self.found), (calls, []))

    def test_the_client_leaves_while_a_response_is_handled(self) -> None:
        seen: list[Any] = []

        def handler(response: Response) -> None:
            self.threads.in_reactor_call(sending.cancel)
            seen.append(self.pushed.all_fetched)

        self.handler = handler
        for name in "ab":
            self.pushed.ask(name, "get", "http://a.example/a")
        sending = self.begin()
        self.go_on()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual((seen, len(self.found)), ([False], 1))

    def test_it_is_given_up_before_it_is_sent(self) -> None:
        self.network.serve(lambda backend, message: None)
        self.pushed.ask("a", "get", "http://a.example/a")
        self.pushed.push(b"prolog")
        self.network.flush()
        self.threads.reactor = False
        self.pushed.close()
        self.pushed.close()
        self.assertEqual(self.caller.asker.client.counts["requests"], 1)  # it goes on until the reactor hears of it
        self.network.flush()
        self.assertEqual(self.caller.asker.client.counts["requests"], 0)
        self.pushed.ask("b", "get", "http://a.example/b")
        self.begin()
        self.assertEqual((self.sent, self.ended, self.found), ([], True, []))

    def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        for end in (lambda response: self.pushed.done(), lambda response: None):
            self.setUp()
            owner = Owner(self.caller, end)
            self.pushed = owner.pushed
            self.pushed.ask("a", "get", "http://a.example/a")
            self.begin()
            self.go_on()
            self.assertTrue(self.ended)
            gone = ref(owner)
            del owner, self.pushed
            self.assertIsNone(gone())

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


class CrowdTests(PushedTestCase):
    """A client that does not keep up: it reads a piece when ``read`` is called."""

    def setUp(self) -> None:
        super().setUp()
        self.reads: Deferred[None] = Deferred()
        self.log: list[Any] = []
        self.pushed.ask("a", "get", "http://a.example/a")

    async def _send(self) -> None:
        try:
            async for piece in self.pushed:
                self.sent.append(piece)
                await self.reads
                self.reads = Deferred()
            self.ended = True
        finally:
            await self.pushed.aclose()

    def read(self) -> None:
        self.reads.callback(None)

    def flood(self, count: int, piece: bytes = b"x" * (BUFFER_SIZE // 2)) -> None:
        """Have the handler push pieces and note how many it has been rid of."""

        def handler(response: Response) -> None:
            for number in range(count):
                self.pushed.push(piece)
                self.log.append(number)

        self.handler = handler

    def test_a_thread_waits_until_there_is_room(self) -> None:
        self.flood(5)

        def meanwhile() -> None:
            self.log.append("waits")
            self.read()

        self.threads.meanwhile = meanwhile
        self.begin()
        self.go_on()
        # One is with the client, two are within the bound.
        self.assertEqual(self.log, [0, 1, 2, "waits", 3, "waits", 4])
        self.assertEqual(len(self.sent), 3)
        for _ in range(3):
            self.assertFalse(self.ended)
            self.read()
        self.assertTrue(self.ended)

    def test_it_does_not_wait_once_the_client_has_left(self) -> None:
        self.flood(5)
        sending = None

        def meanwhile() -> None:
            self.log.append("waits")
            sending.cancel()

        self.threads.meanwhile = meanwhile
        sending = self.begin()
        self.go_on()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual(self.log, [0, 1, 2, "waits", 3, 4])

    def test_nor_where_the_client_leaves_before_the_reactor_hears_of_it(self) -> None:
        self.flood(4)
        block = self.threads.block
        sending = None

        def leave_first(function: Any) -> Any:
            self.threads.in_reactor_call(sending.cancel)
            return block(function)

        self.threads.block = leave_first
        sending = self.begin()
        self.go_on()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual(self.log, [0, 1, 2, 3])

    def test_nor_when_the_server_has_stopped(self) -> None:
        self.flood(5)
        blocked: list[Any] = []

        def stopped(function: Any) -> Any:
            blocked.append(function)
            raise RequestCancelled("the server has stopped")

        self.threads.block = stopped
        self.begin()
        self.go_on()
        self.assertEqual((self.log, len(blocked)), ([0, 1, 2, 3, 4], 1))
        self.assertEqual((self.sent, self.ended), ([], True))

    def test_another_thread_that_waits_goes_on_at_the_end(self) -> None:
        self.flood(4)
        self.threads.meanwhile = lambda: (self.log.append("waits"), self.pushed.done())
        self.begin()
        self.go_on()
        self.assertEqual(self.log, [0, 1, 2, "waits", 3])
        for _ in range(4):
            self.read()
        self.assertEqual((len(self.sent), self.ended), (4, True))

    def test_the_view_can_not_wait(self) -> None:
        self.threads.reactor = False
        for _ in range(5):
            self.pushed.push(b"x" * BUFFER_SIZE)
        self.handler = lambda response: self.pushed.done()
        self.threads.reactor = True
        self.begin()
        self.go_on()
        for _ in range(5):
            self.read()
        self.assertEqual((len(self.sent), self.ended), (5, True))

    def test_where_nobody_can_wait_it_fails_in_the_end(self) -> None:
        self.patch(sys.modules[Pushed.__module__], "MAX_SIZE", BUFFER_SIZE * 2)
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.threads.insist = lambda job: job.run()
        self.flood(20)
        sending = self.begin()
        self.go_on()
        self.assertEqual(self.log, list(range(20)))
        lines = [formatEvent(event) for event in events if event["log_namespace"] == "skitai.app"]
        self.assertEqual(len(lines), 1)
        self.assertIn("to 1 requests has failed: more than 2,097,152 bytes were pushed", str(lines[0]))
        self.assertRaises(SkitaiError, self.pushed.ask, "b", "get", "http://a.example/")
        self.read()
        self.assertEqual((self.failureResultOf(sending, PeerError).value.status, len(self.sent)), (500, 1))
