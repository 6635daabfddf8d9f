"""``skitai.saddle.was`` and what a request leaves behind: callbacks, handlers, and asynchronous responses not sent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skitai import was as shared
from skitai.saddle import Saddle
from skitai.testing import Client


class BackendTestCase(SynchronousTestCase):
    """An application that asks a server which answers at once, or when the test says so, or never."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.answers: list[Deferred[str]] = []
        self.cancelled = 0
        backend = Saddle(__name__)
        backend.route("/now")(lambda was: "now")

        @backend.route("/later")
        async def later(was: Any) -> str:
            waiting: Deferred[str] = Deferred()
            self.answers.append(waiting)
            try:
                return await waiting
            except BaseException:
                self.cancelled += 1
                raise

        self.backends = {"http://b.example": backend}

    def client(self, workers: str | None = None) -> Client:
        client = Client(self.app, workers, backends=self.backends)
        self.addCleanup(client.close)
        return client

    def logged(self) -> list[Any]:
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        return events


class AfterwardsTests(BackendTestCase):
    """Code that runs when its request is over."""

    def test_a_callback_when_the_view_has_ended(self) -> None:
        found: list[Any] = []

        def use(was: Any) -> None:
            was.log("heard")
            found.append((was.gtxnid, was.request.path, was.tojson([1]), was.get("http://b.example/now") is not None))
            found.append((shared.gtxnid, shared.request.path))

        @self.app.route("/")
        def view(was: Any) -> str:
            was.get("http://b.example/later", callback=lambda response: use(was))
            return "started"

        for workers in ("inline", "stepping"):
            client = self.client(workers)
            pump = client.connect()
            pump.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Gtxn-Id: G\r\n\r\n")
            client.run_waiting(pump)
            self.assertIn(b"started", pump.client.take())
            pump.close()
            self.assertEqual(found, [])
            self.answers.pop().callback("answer")
            client.run_waiting(pump)
            self.assertEqual(found, [("G", "/", "[1]", True), ("G", "/")])
            found.clear()
            client.close()

    def test_a_handler_whose_client_has_left(self) -> None:
        found: list[Any] = []

        def handler(response: Any, proxy: Any) -> None:
            pump.close()
            client.reactor.settle()
            proxy.was.log("goes on")
            proxy.push("nobody reads this")
            proxy.get("more", "http://b.example/now")
            found.append((proxy.was.gtxnid, proxy.fetched_all()))
            proxy.done()

        @self.app.route("/")
        def view(was: Any) -> Any:
            proxy = was.aresponse(handler, "prolog")
            proxy.__dict__["was"] = was
            for name in "ab":
                proxy.get(name, "http://b.example/now")
            return proxy

        client = self.client("stepping")
        pump = client.connect()
        pump.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Gtxn-Id: G\r\n\r\n")
        client.run_waiting(pump)
        self.assertEqual(found, [("G", False)])

    def test_anybody_else_is_told_that_it_is_over(self) -> None:
        kept: list[Any] = []
        self.app.route("/")(lambda was: kept.append(was) or "kept")  # type: ignore[func-returns-value]
        self.assertEqual(self.client("stepping").get("/").text, "kept")
        [was] = kept
        self.assertEqual(was.request.path, "/")
        for name in ("get", "log", "gtxnid"):
            self.assertIn("the request is over", str(self.assertRaises(RuntimeError, getattr, was, name)))


class UnsentTests(BackendTestCase):
    """Asynchronous responses that come to nothing end with their request, and so do theirs."""

    def ask(self, path: str, status: int) -> None:
        for workers in ("inline", "stepping"):
            self.cancelled = 0
            self.answers.clear()
            client = self.client(workers)
            self.assertEqual(client.get(path).status, status)
            while client.reactor.settle():
                pass
            deadlines = client._asker.client.deadlines
            self.assertEqual((len(deadlines), self.cancelled), (0, len(self.answers)), workers)
            client.close()

    def route(self, view: Any) -> None:
        def ask_first(was: Any) -> Any:
            proxy = was.aresponse(lambda response, proxy: proxy.done())
            proxy.get("a", "http://b.example/later", timeout=1000)
            if not was.services.threads.in_reactor():
                # While this waits, the other request arrives.
                was.get("http://b.example/now").getwait(60)
                self.assertEqual(len(self.answers), 1)
            return view(was, proxy)

        self.app.route("/")(ask_first)

    def test_the_view_returns_something_else(self) -> None:
        self.route(lambda was, proxy: "something else")
        self.ask("/", 200)

    def test_the_view_raises(self) -> None:
        def fail(was: Any, proxy: Any) -> None:
            raise KeyError("gone")

        self.route(fail)
        self.ask("/", 500)

    def test_the_answer_has_no_body(self) -> None:
        self.route(lambda was, proxy: was.response("204 No Content", proxy))
        self.ask("/", 204)

    def test_the_answer_can_not_be_made(self) -> None:
        self.app.securekey = "secret"

        def fail(was: Any, proxy: Any) -> Any:
            was.session["x"] = object()
            return proxy

        self.route(fail)
        self.ask("/", 500)

    def test_a_hook_fails_afterwards(self) -> None:
        @self.app.finish_request
        def finish(was: Any) -> None:
            raise KeyError("gone")

        self.route(lambda was, proxy: proxy)
        self.ask("/", 500)


class PageTests(BackendTestCase):
    """Pages that are sent while their parts arrive, from their request to their end."""

    def page(self, handler: Any, workers: str) -> Any:
        app = self.app = Saddle(__name__)

        @app.route("/")
        def view(was: Any) -> Any:
            proxy = was.aresponse(handler, "<html>", "</html>")
            proxy.get("a", "http://b.example/now")
            return proxy

        return self.client(workers).get("/")

    def test_the_epilog_comes_however_it_ends(self) -> None:
        def broken(response: Any, proxy: Any) -> None:
            raise KeyError("gone")

        handlers: list[Any] = [lambda response, proxy: proxy.done("done"), lambda response, proxy: None, broken]
        for workers in ("inline", "stepping"):
            pages = [self.page(handler, workers).text for handler in handlers]
            self.assertEqual(pages, ["<html>done</html>", "<html></html>", "<html></html>"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_a_large_page(self) -> None:
        def handler(response: Any, proxy: Any) -> None:
            for _ in range(8):
                proxy.push(b"x" * 1_000_000)

        for workers in ("inline", "stepping"):
            self.assertEqual(len(self.page(handler, workers).body), 8_000_000 + len("<html></html>"))

    def test_what_fails_is_logged_with_the_ids_of_the_request(self) -> None:
        events = self.logged()

        def broken(response: Any, proxy: Any) -> None:
            raise KeyError("gone")

        self.page(broken, "stepping")
        self.page(lambda response, proxy: None, "stepping")
        lines = [str(formatEvent(event)) for event in events if event["log_namespace"] == "skitai.app"]
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"^GTID-\S+/1000 the handler of an asynchronous response to 1 requests failed$")
        self.assertRegex(lines[1], r"^GTID-\S+/1000 an asynchronous response .* has not called done\(\): ended now$")
        self.flushLoggedErrors(KeyError)
