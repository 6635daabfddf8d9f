"""Saddle served by Skitai, through the test client: what it gets from the server."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skitai import was as shared
from skitai.saddle import Saddle, Saddlery
from skitai.testing import Client


class ServedTests(SynchronousTestCase):
    """Requests through connection, mount table and WSGI handler."""

    def client(self, *apps: Saddle, **more: Any) -> Client:
        client = Client({("/" if not n else f"/m{n}"): app for n, app in enumerate(apps)}, **more)
        self.addCleanup(client.close)
        return client

    def test_client_of_an_application(self) -> None:
        app = Saddle(__name__)
        app.route("/<name>")(lambda was, name: was.ab("<lambda>", name))
        with app.test_client("/math") as client:
            self.assertEqual(client.get("/math/Hans_Roh").text, "/math/Hans_Roh")

    def test_the_imported_was_is_that_of_the_view(self) -> None:
        app = Saddle(__name__)
        app.securekey = "secret"

        @app.route("/")
        def view(was: Any) -> Any:
            shared.g.x = 1
            shared.session["y"] = 2
            return {"request": shared.request is was.request, "x": was.g.x, "y": was.session["y"]}

        response = self.client(app).get("/")
        self.assertEqual(response.json(), {"request": True, "x": 1, "y": 2})

    def test_urls_of_another_application(self) -> None:
        first, second = Saddle(__name__), Saddle(__name__)

        @first.route("/")
        def index(was: Any) -> Any:
            return was.ab("/m1:item", 5)

        @second.route("/item/<int:n>")
        def item(was: Any, n: int) -> Any:
            return was.ab("/:index")

        client = self.client(first, second)
        self.assertEqual(client.get("/").text, "/m1/item/5")
        self.assertEqual(client.get("/m1/item/5").text, "/")

    def test_urls_outside_of_requests(self) -> None:
        app = Saddle(__name__)
        app.route("/x")(lambda was: "x")
        with app.test_client("/math"):
            self.assertEqual(app.build_url("<lambda>"), "/math/x")

    def test_url_of_an_application_that_is_not_there(self) -> None:
        app = Saddle(__name__)
        app.debug = True
        app.route("/")(lambda was: was.ab("/nowhere:index"))
        self.assertIn("/nowhere", self.client(app).get("/").text)

    def test_hooks_and_shared_objects(self) -> None:
        first, second = Saddle(__name__), Saddle(__name__)
        part = Saddlery()
        first.mount("/part", part)
        seen: list[Any] = []

        @part.startup
        def startup(wasc: Any) -> None:
            wasc.register("test_engine", "engine")
            seen.append(wasc.config["port"])

        @part.shutdown
        def shutdown(wasc: Any) -> None:
            seen.append(wasc.test_engine)
            wasc.unregister("test_engine")

        second.route("/")(lambda was: was.test_engine)
        client = self.client(first, second)
        self.assertEqual(client.get("/m1/").text, "engine")
        client.close()
        self.assertEqual(seen, [5000, "engine"])

    def test_user_is_logged(self) -> None:
        app = Saddle(__name__)
        app.authenticate, app.authorization, app.users = True, "basic", {"ann": "secret"}
        app.route("/")(lambda was: was.request.user.name)
        client = self.client(app)
        self.assertEqual(client.get("/").status, 401)
        self.assertEqual(client.request("GET", "/", auth=("ann", "secret")).text, "ann")
        self.assertIn('"ann"', client.log[-1])

    def test_limit_of_a_form_with_files(self) -> None:
        app = Saddle(__name__)
        app.config.max_post_body_size = 1000
        app.route("/", methods=["POST"])(lambda was, **form: str(len(form)))
        client = self.client(app)
        self.assertEqual(client.post("/", data="x" * 2000).status, 413)
        self.assertEqual(client.request("POST", "/", files={"f": ("a.txt", b"x" * 2000)}).text, "1")

    def test_session_is_kept_by_the_client(self) -> None:
        app = Saddle(__name__)
        app.securekey = "secret"

        @app.route("/")
        def view(was: Any) -> str:
            was.session["n"] = was.session.get("n", 0) + 1
            return str(was.session["n"])

        client = self.client(app)
        self.assertEqual([client.get("/").text for _ in range(3)], ["1", "2", "3"])

    def test_coroutine_waits_on_the_reactor(self) -> None:
        app = Saddle(__name__)
        waiting: list[Deferred[str]] = []

        @app.route("/slow")
        async def slow(was: Any) -> str:
            waiting.append(Deferred())
            return await waiting[0] + was.request.path

        client = self.client(app, workers="stepping")
        pump = client.connect()
        pump.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(len(waiting), 1)  # it needed no thread
        waiting[0].callback("done ")
        pump.flush()
        self.assertIn(b"done /slow", pump.client.take())

    def test_coroutine_is_cancelled_when_the_client_leaves(self) -> None:
        app = Saddle(__name__)
        seen: list[str] = []
        app.failed_request(lambda was, exc_info: seen.append("failed"))
        app.teardown_request(lambda was: seen.append("teardown"))

        @app.route("/slow")
        async def slow(was: Any) -> str:
            try:
                return await Deferred()
            finally:
                seen.append("finally")

        client = self.client(app)
        pump = client.connect()
        pump.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(seen, [])
        pump.close()
        client.reactor.advance(5)
        self.assertEqual(seen, ["finally", "teardown"])

    def test_what_the_application_cancels_itself_is_a_failure(self) -> None:
        app = Saddle(__name__)
        app.failed_request(lambda was, exc_info: "sorry")

        @app.route("/slow")
        async def slow(was: Any) -> str:
            waiting: Deferred[str] = Deferred()
            waiting.cancel()
            return await waiting

        self.assertEqual(self.client(app).get("/slow").text, "sorry")

    def test_users_that_may_wait_are_not_asked_on_the_reactor(self) -> None:
        class Users:
            def get(self, name: str) -> str:
                raise AssertionError("asked")

        app = Saddle(__name__)
        app.authorization = "basic"

        @app.route("/")
        async def view(was: Any) -> str:
            return str(was.request.user.name)

        @app.route("/open", authenticate=False)
        async def opened(was: Any) -> str:
            return "open"

        app.authenticate, app.users = True, {"ann": "secret"}
        is_async = app.skitai_is_async
        assert is_async is not None
        self.assertTrue(is_async("GET", "/"))
        app.users = Users()
        self.assertFalse(is_async("GET", "/"))
        self.assertTrue(is_async("GET", "/open"))

    def test_pieces_of_a_plain_view_are_asked_for_in_a_thread(self) -> None:
        app = Saddle(__name__)
        seen: list[bool] = []

        @app.before_request
        async def before(was: Any) -> None:
            """Have the request answered on the reactor."""

        @app.route("/")
        def view(was: Any) -> Any:
            def generate() -> Any:
                try:
                    for piece in "ab":
                        seen.append(client.workers.in_reactor())
                        yield piece
                finally:
                    seen.append(client.workers.in_reactor())

            return generate()

        client = self.client(app, workers="stepping")
        self.assertEqual(client.get("/").text, "ab")
        self.assertEqual(seen, [False, False, False])

    def test_a_plain_view_beside_a_coroutine_gets_a_thread(self) -> None:
        app = Saddle(__name__)
        app.route("/")(lambda was: "plain")

        @app.route("/", methods=["POST"])
        async def posted(was: Any) -> str:
            return "posted"

        @app.route("/")
        async def never(was: Any) -> str:
            return "never"

        is_async = app.skitai_is_async
        assert is_async is not None
        self.assertFalse(is_async("GET", "/"))
        self.assertEqual(self.client(app).get("/").text, "plain")

    def test_remote_call_whose_session_can_not_be_kept(self) -> None:
        """The page is that of the application, also where a coroutine has answered."""
        app = Saddle(__name__)
        app.securekey, app.access_control_allow_origin = "secret", "*"

        @app.route("/broken")
        async def view(was: Any) -> int:
            was.session["x"] = []
            was.session["x"].append(object())
            return 1

        body = xmlrpc.client.dumps((), "broken").encode()
        answer = self.client(app).request("POST", "/", data=body, headers={"Content-Type": "text/xml"})
        self.assertEqual((answer.status, answer.headers.get("Access-Control-Allow-Origin")), (500, "*"))

    def test_template_that_fails_halfway_cuts_the_answer(self) -> None:
        app = Saddle(__name__)

        @app.route("/")
        def view(was: Any) -> Any:
            def generate() -> Any:
                yield "x" * 10
                raise ValueError("halfway")

            return generate()

        client = self.client(app)
        received = client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertNotIn(b"0\r\n\r\n", received)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_status_page(self) -> None:
        app = Saddle(__name__)
        app.securekey = "do not tell"
        app.route("/")(lambda was: was.status())
        page = self.client(app).get("/").text
        self.assertIn("Skitai", page)
        self.assertNotIn("do not tell", page)
