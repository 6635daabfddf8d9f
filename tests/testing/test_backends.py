"""Applications that ask other ones with ``was``, all of them in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skitai import was
from skitai.saddle import Saddle
from skitai.testing import Client
from skitai.was import context

App = Callable[[dict[str, Any], Any], Any]


def answering(answer: Callable[[dict[str, Any]], object]) -> App:
    """Return an application that answers with what a function makes of the environment, as JSON."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer(environ)).encode()]

    return app


def got(handle: Any, timeout: float = 3) -> tuple[int, int, Any]:
    """Wait for a response; return what it says."""
    response = handle.getwait(timeout)
    return response.status, response.status_code, response.data


def about(environ: dict[str, Any]) -> list[str]:
    return [environ["wsgi.url_scheme"], environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]]


class BackendTests(SynchronousTestCase):
    """``Client(app, backends=...)``."""

    def ask(self, view: Callable[[], object], backends: dict[str, Any], **settings: Any) -> Any:
        """Return what a view makes of its backends."""
        with Client(answering(lambda environ: view()), backends=backends, **settings) as client:
            response = client.get("/")
            self.assertEqual(response.status, 200, response.error)
            return response.json()

    def test_a_thread_waits(self) -> None:
        found = self.ask(
            lambda: got(was.get("http://api.example/items", {"a": 1})), {"http://api.example": answering(about)}
        )
        self.assertEqual(found, [3, 200, ["http", "api.example", "/items", "a=1"]])

    def test_one_request_after_the_other(self) -> None:
        counts: list[int] = []
        backends = {"@b": answering(lambda environ: [counts.append(1), len(counts), got(was.get("@c/"))[2]])}
        view = answering(lambda environ: [got(was.get("@b/"))[2], got(was.get("@b/"))[2]])
        with Client(view, backends={**backends, "@c": answering(lambda environ: "c")}) as client:
            for first in (1, 3):
                self.assertEqual(client.get("/").json(), [[None, first, "c"], [None, first + 1, "c"]])

    def test_ports_and_tls(self) -> None:
        backends = {
            "https://api.example": answering(about),
            "http://api.example:8080": answering(lambda environ: "other"),
            "http://192.0.2.77": answering(lambda environ: "address"),
        }
        found = self.ask(
            lambda: [
                got(was.get(url))[2]
                for url in ("https://api.example/", "http://api.example:8080/", "http://192.0.2.77/")
            ],
            backends,
        )
        self.assertEqual(found, [["https", "api.example", "/", ""], "other", "address"])

    def test_bodies_in_small_pieces(self) -> None:
        echo = answering(lambda environ: len(environ["wsgi.input"].read()))
        found = self.ask(
            lambda: got(was.post("http://a.example/", b"x" * 3000))[2], {"http://a.example": echo}, piece_size=7
        )
        self.assertEqual(found, 3000)

    def test_a_cluster_that_is_declared_nowhere(self) -> None:
        found = self.ask(lambda: got(was.get("@users/7")), {"@users": answering(lambda environ: environ["PATH_INFO"])})
        self.assertEqual(found, [3, 200, "/7"])

    def test_a_cluster_that_is_declared(self) -> None:
        backends = {"@users": answering(about)}
        clusters = {"@users": ("https", ["one.example:8443/v1", "two.example"])}
        found = self.ask(lambda: was.get.map("@users/7").getswait().data, backends, clusters=clusters)
        hosts = [["https", "one.example:8443", "/v1/7", ""], ["https", "two.example", "/7", ""]]
        self.assertEqual(found, hosts)

    def test_nobody_there(self) -> None:
        backends = {"http://a.example:81": answering(about)}
        found = self.ask(
            lambda: [got(was.get(url))[:2] for url in ("http://a.example/", "http://b.example/")], backends
        )
        self.assertEqual(found, [[2, 701], [2, 704]])

    def test_one_that_fails(self) -> None:
        def failing(environ: dict[str, Any], start_response: Any) -> Any:
            raise ZeroDivisionError

        found = self.ask(lambda: got(was.get("http://b.example/"))[:2], {"http://b.example": failing})
        self.assertEqual(found, [3, 500])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_servers_ask_each_other(self) -> None:
        backends = {
            "http://b.example": answering(lambda environ: ["b", got(was.get("@c/"))[2]]),
            "@c": answering(lambda environ: ["c", environ["HTTP_X_LTXN_ID"]]),
        }
        self.assertEqual(self.ask(lambda: got(was.get("http://b.example/"))[2], backends), ["b", ["c", "3002"]])

    def test_the_time_of_a_timeout_passes_at_once(self) -> None:
        """Who asks himself waits for the only thread there is."""
        backends = {"@b": answering(lambda environ: got(was.get("@b/", timeout=200), 100)[:2])}
        before = time.monotonic()
        found = self.ask(lambda: got(was.get("@b/", timeout=200), 200)[2], backends)
        self.assertEqual(found, [1, 730])
        self.assertLess(time.monotonic() - before, 50)

    def test_what_is_kept_grows_old_by_the_clock_of_the_test(self) -> None:
        def view(environ: dict[str, Any]) -> bool:
            return was.get("@b/").cache(5).getwait().is_cached

        with Client(answering(view), backends={"@b": answering(about)}) as client:
            found = []
            for seconds in (0, 4, 2):
                client.reactor.advance(seconds)
                found.append(client.get("/").json())
        self.assertEqual(found, [False, True, False])

    def test_waits_count_from_the_request_by_the_clock_of_the_test(self) -> None:
        """Two that hang are over at the same time, though they are waited for one after the other."""

        async def never(start_response: Any) -> Any:
            await Deferred()

        def view() -> list[float]:
            before = client.reactor.seconds()
            handles = [was.get("@b/", timeout=60) for _ in range(2)]
            return [*[handle.getwait(3).status_code for handle in handles], client.reactor.seconds() - before]

        backend: Any = lambda environ, start_response: was.later(never(start_response))  # noqa: E731
        with Client(answering(lambda environ: view()), backends={"@b": backend}) as client:
            first, second, seconds = client.get("/").json()
        self.assertEqual((first, second), (730, 730))
        self.assertAlmostEqual(seconds, 3, delta=0.5)

    def test_coroutines_and_callbacks(self) -> None:
        app = Saddle(__name__)
        heard: list[int] = []

        @app.route("/both")
        async def both(was: Any) -> Any:
            one, two = await was.gather(was.get("http://b.example/1"), was.get("http://b.example/2"))
            return [one.data, two.data]

        @app.route("/called")
        def called(was: Any) -> Any:
            was.get("http://b.example/1", callback=lambda response: heard.append(response.status_code))
            return "started"

        backends = {"http://b.example": answering(lambda environ: environ["PATH_INFO"])}
        for workers in (None, "inline", "stepping"):
            with Client(app, workers, backends=backends) as client:
                self.assertEqual(client.get("/both").text, "/1/2")
                self.assertEqual(client.get("/called").text, "started")
        self.assertEqual(heard, [200] * 3)

    def test_a_coroutine_waits_until_the_time_is_up(self) -> None:
        app = Saddle(__name__)

        @app.route("/")
        async def slow(was: Any) -> Any:
            return [(await was.get("@b/", timeout=60)).status_code]

        async def never(start_response: Any) -> Any:
            await Deferred()

        backend: Any = lambda environ, start_response: was.later(never(start_response))  # noqa: E731
        with Client(app, backends={"@b": backend}) as client:
            before = client.reactor.seconds()
            self.assertEqual(client.get("/").text, "730")
            self.assertAlmostEqual(client.reactor.seconds() - before, 60, delta=1)

    def test_on_the_reactor_thread_nobody_waits(self) -> None:
        backends = {"http://b.example": answering(about)}
        with Client(
            answering(lambda environ: got(was.get("http://b.example/"))), "inline", backends=backends
        ) as client:
            response = client.get("/")
        self.assertEqual(response.status, 500)
        self.assertIn("the reactor thread must not wait", str(response.error))
        self.flushLoggedErrors(RuntimeError)

    def test_without_backends_there_is_no_server(self) -> None:
        with Client(answering(lambda environ: got(was.get("http://b.example/"))), "stepping") as client:
            self.assertEqual(client.get("/").json()[:2], [2, 704])

    def test_what_is_no_server(self) -> None:
        for name, message in (("http://b.example/path", "without a path"), ("ftp://b.example", "ftp"), ("@", "alias")):
            error = self.assertRaises(ValueError, Client, answering(about), backends={name: answering(about)})
            self.assertIn(message, str(error))

    def test_the_end(self) -> None:
        """The servers end with the client, each by its hooks."""
        self.patch(context, "_servers", [])  # other tests may have left some
        ended: list[str] = []

        class Hooked:
            def __init__(self, name: str) -> None:
                self.name = name

            def __call__(self, environ: Any, start_response: Any) -> Any: ...

            def skitai_shutdown(self, wasc: Any) -> None:
                ended.append(self.name)

        client = Client(Hooked("a"), backends={"http://b.example": Hooked("b"), "@c": Hooked("c")})
        self.assertEqual(ended, [])
        client.close()
        client.close()
        self.assertEqual(ended, ["a", "b", "c"])
        error = self.assertRaises(RuntimeError, lambda: was.get("http://b.example/"))
        self.assertIn("needs a server that runs", str(error))
