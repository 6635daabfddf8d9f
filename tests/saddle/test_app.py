"""A whole application, called as any WSGI server would."""

from __future__ import annotations

import io
import json
import os
import tempfile
import types
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle import BuildError, Saddle, Saddlery
from tests.saddle.wsgi import call, get, post


class RoutingTests(SynchronousTestCase):
    """Paths, methods and media types."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.route("/hello")(lambda was, num=8: num)
        self.app.route("/hello/<int:num>")(lambda was, num: str(num))
        self.app.route("/dir/")(lambda was: "dir")
        self.app.route("/dir/<name>/")(lambda was, name: name)
        self.app.route("/rest/<path>")(lambda was, path: path)
        self.app.route("/one", methods=["GET"])(lambda was: "got")
        self.app.route("/one", methods=["POST"])(lambda was, **form: "posted")
        self.app.route("/xml", methods=["POST"], content_types=["text/xml"])(lambda was: "xml")

    def test_arguments(self) -> None:
        self.assertEqual(get(self.app, "/hello").text, "8")
        self.assertEqual(get(self.app, "/hello?num=100").text, "100")
        self.assertEqual(get(self.app, "/hello/100").text, "100")

    def test_not_found(self) -> None:
        for target in ("/nowhere", "/hello/x", "/hello/", "/hello/5/"):
            self.assertEqual(get(self.app, target).code, 404, target)

    def test_method_not_allowed(self) -> None:
        answer = call(self.app, "DELETE", "/one")
        self.assertEqual((answer.code, answer.header("Allow")), (405, "GET, HEAD, POST"))

    def test_one_rule_for_several_methods(self) -> None:
        self.assertEqual(get(self.app, "/one").text, "got")
        self.assertEqual(post(self.app, "/one", "a=1").text, "posted")
        self.assertEqual(call(self.app, "HEAD", "/one").code, 200)

    def test_media_type(self) -> None:
        self.assertEqual(call(self.app, "POST", "/xml", b"<a/>", CONTENT_TYPE="text/xml; charset=utf-8").text, "xml")
        self.assertEqual(call(self.app, "POST", "/xml", b"{}", CONTENT_TYPE="application/json").code, 415)

    def test_slash_redirect_keeps_the_query_and_the_mount_point(self) -> None:
        answer = get(self.app, "/dir?a=1&b=2", SCRIPT_NAME="/math")
        self.assertEqual((answer.code, answer.header("Location")), (301, "/math/dir/?a=1&b=2"))
        self.assertEqual(get(self.app, "/dir/x").header("Location"), "/dir/x/")

    def test_slash_redirect_stays_on_this_host(self) -> None:
        app = Saddle(__name__)
        app.route("/<a>/<b>/")(lambda was, a, b: a)
        location = get(app, "//evil.example/x").header("Location")
        self.assertFalse((location or "/").startswith("//"), location)

    def test_beyond_ascii(self) -> None:
        self.assertEqual(get(self.app, "/rest/%C3%A9/%20").text, "é/ ")
        self.assertEqual(get(self.app, "/rest/%FF").code, 400)

    def test_registering_late(self) -> None:
        get(self.app, "/hello")
        self.assertRaises(RuntimeError, self.app.route, "/late")
        self.assertRaises(RuntimeError, self.app.before_request, lambda was: None)
        self.assertRaises(RuntimeError, self.app.mount, "/late", Saddlery())

    def test_options_that_do_not_exist(self) -> None:
        self.assertIn("athenticate", str(self.assertRaises(TypeError, self.app.route, "/x", athenticate=True)))

    def test_decorators_return_the_function(self) -> None:
        def view(was: Any) -> str:
            return ""

        self.assertIs(self.app.route("/view")(view), view)
        self.assertIs(self.app.before_request(view), view)

    def test_options(self) -> None:
        self.assertEqual(call(self.app, "OPTIONS", "/one").code, 405)
        answer = call(self.app, "OPTIONS", "/hello")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(call(self.app, "OPTIONS", "/nowhere").code, 404)

    def test_head(self) -> None:
        answer = call(self.app, "HEAD", "/hello")
        self.assertEqual((answer.body, answer.header("Content-Length")), (b"", "1"))

    def test_view_for_options(self) -> None:
        self.app.route("/opt", methods=["OPTIONS"])(lambda was: "mine")
        self.assertEqual(call(self.app, "OPTIONS", "/opt").text, "mine")

    def test_long_and_strange_names_make_one_line_in_the_log(self) -> None:
        with self.assertLogs("skitai.app") as seen:
            get(self.app, "/dir/?a%0A2026.01.01%20%5Binfo%5D%20forged=1")
        self.assertIn("\\n2026", seen.output[0])
        self.assertEqual(len(seen.output[0].splitlines()), 1)


class ArgumentTests(SynchronousTestCase):
    """Query and form."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.route("/form")(lambda was, userid, **form: {"userid": userid, "form": form, "args": was.request.args})
        self.app.route("/two")(lambda was, a, b: a + b)
        self.app.route("/json")(lambda was: was.jstream(was.request.json()))

    def test_form_and_query(self) -> None:
        answer = post(self.app, "/form?x=1", "userid=u&x=2&comment=a+b")
        self.assertEqual(
            json.loads(answer.text),
            {
                "userid": "u",
                "form": {"x": ["1", "2"], "comment": "a b"},
                "args": {"userid": "u", "x": ["1", "2"], "comment": "a b"},
            },
        )

    def test_missing_and_unexpected(self) -> None:
        self.assertIn("missing argument b", get(self.app, "/two?a=1").text)
        self.assertIn("unexpected argument c", get(self.app, "/two?a=1&b=2&c=3").text)
        self.assertEqual(get(self.app, "/two?a=1").code, 400)

    def test_json(self) -> None:
        answer = call(self.app, "POST", "/json", b'{"a": [1]}', CONTENT_TYPE="application/json")
        self.assertEqual((answer.header("Content-Type"), answer.text), ("application/json", '{"a": [1]}'))
        self.assertEqual(call(self.app, "POST", "/json", b"{", CONTENT_TYPE="application/json").code, 400)

    def test_body_of_a_form_is_there_too(self) -> None:
        self.app.route("/both")(lambda was, **form: was.request.body + str(form).encode())
        self.assertEqual(post(self.app, "/both", "a=1").text, "a=1{'a': '1'}")

    def test_body_read_before_the_form(self) -> None:
        self.app.before_request(lambda was: was.request.get_body() and None)
        self.assertEqual(json.loads(post(self.app, "/form", "userid=u").text)["userid"], "u")

    def test_malformed_query(self) -> None:
        self.assertEqual(get(self.app, "/two?a=%ZZ&b=1").code, 400)

    def test_too_large(self) -> None:
        self.app.config.max_post_body_size = 10
        self.assertEqual(post(self.app, "/form", "userid=" + "x" * 20).code, 413)

    def test_upload(self) -> None:
        seen = []

        @self.app.route("/upload")
        def upload(was: Any, file: Any) -> str:
            seen.append(file.path)
            with open(file.path, "rb") as stored:
                return f"{file.name} {file.size} {stored.read()!r}"

        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="../a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
        )
        answer = call(self.app, "POST", "/upload", body, CONTENT_TYPE="multipart/form-data; boundary=b")
        self.assertEqual(answer.text, "a.txt 5 b'hello'")
        self.assertFalse(os.path.exists(seen[0]))


class AnswerTests(SynchronousTestCase):
    """What views return."""

    def asked(self, content: Any, **more: Any) -> Any:
        app = Saddle(__name__)

        @app.route("/")
        def view(was: Any) -> Any:
            return content(was) if callable(content) else content

        return get(app, "/", checked=True, **more)

    def test_statuses_without_a_body(self) -> None:
        ended: list[int] = []

        class Content:
            def more(self) -> bytes:
                return b"x"

            def close(self) -> None:
                ended.append(1)

        for status in (204, 304):
            for content in ("", "x", {"a": 1}, Content()):
                answer = self.asked(lambda was, s=status, c=content: was.response(s, c))
                self.assertEqual((answer.code, answer.fields, answer.body), (status, [], b""))
        self.assertEqual(ended, [1, 1])

    def test_head_tells_no_length_where_there_is_no_body(self) -> None:
        app = Saddle(__name__)
        app.route("/")(lambda was: was.response(304, ""))
        self.assertIsNone(call(app, "HEAD", "/").header("Content-Length"))

    def test_three_ways_to_say_the_same(self) -> None:
        fields = [("Cache-Control", "max-age=60")]

        def third(was: Any) -> str:
            was.response.set_header("Cache-Control", "max-age=60")
            return "x"

        answers = [
            self.asked(lambda was: was.response("200 OK", "x", fields)),
            self.asked(lambda was: was.response(body="x", headers=fields)),
            self.asked(third),
        ]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[1], answers[2])

    def test_dictionary_is_json(self) -> None:
        answer = self.asked({"a": 1})
        self.assertEqual((answer.header("Content-Type"), answer.text), ("application/json", '{"a": 1}'))

    def test_rows_are_json(self) -> None:
        self.assertEqual(self.asked([{"a": 1}]).text, '[{"a": 1}]')

    def test_status_without_body(self) -> None:
        answer = self.asked(lambda was: was.response("404 Not Found"))
        self.assertEqual(answer.code, 404)
        self.assertIn("404", answer.text)
        self.assertEqual(self.asked(lambda was: was.response("204 No Content")).body, b"")

    def test_none(self) -> None:
        self.assertEqual(self.asked(lambda was: None).code, 500)

    def test_what_can_not_be_sent(self) -> None:
        self.assertEqual(self.asked(lambda was: object()).code, 500)

    def test_redirect(self) -> None:
        answer = self.asked(lambda was: was.redirect("/é?a=b c", status="302 Object Moved"))
        self.assertEqual((answer.status, answer.header("Location")), ("302 Object Moved", "/%C3%A9?a=b%20c"))
        self.assertEqual(self.asked(lambda was: was.redirect("/a\r\nX: y")).header("X"), None)

    def test_file(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(b"movie")
            file.flush()
            answer = self.asked(lambda was: was.fstream(file.name, "video/mp4"))
            self.assertEqual((answer.header("Content-Type"), answer.body), ("video/mp4", b"movie"))
            self.assertEqual(answer.header("Content-Length"), "5")
            with open(file.name, "rb") as opened:
                self.assertEqual(self.asked(opened).body, b"movie")
                self.assertTrue(opened.closed)

    def test_missing_file(self) -> None:
        self.assertEqual(self.asked(lambda was: was.fstream("/nowhere/x")).code, 404)
        self.assertEqual(self.asked(lambda was: was.fstream("/")).code, 404)
        self.assertEqual(self.asked(lambda was: was.fstream("/\0")).code, 404)

    def test_generator_is_closed_when_the_client_leaves(self) -> None:
        ended = []

        def generate() -> Any:
            try:
                yield "a"
                yield "b"
            finally:
                ended.append(1)

        app = Saddle(__name__)
        app.route("/")(lambda was: generate())
        result = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}, lambda *args: None)
        next(iter(result))
        result.close()
        self.assertEqual(ended, [1])

    def test_xml(self) -> None:
        answer = self.asked(lambda was: was.xstream({"a": 1}))
        self.assertEqual(answer.header("Content-Type"), "text/xml")
        self.assertIn("<int>1</int>", answer.text)


class UrlTests(SynchronousTestCase):
    """``was.ab``."""

    def test_with_mount_point_and_saddleries(self) -> None:
        app, part = Saddle(__name__), Saddlery()
        module = types.ModuleType("admin")
        module.part = part  # type: ignore[attr-defined]
        app.mount("/admin", module, "part")

        @app.route("/")
        def index(was: Any, num1: Any, num2: Any) -> Any:
            return was.ab("hello", "Hans Roh") + " " + was.app.build_url("hello", "x")

        @part.route("/<name>")
        def hello(was: Any) -> Any:
            return was.ab("index", 1, 2)

        self.assertEqual(get(app, "/?num1=1&num2=2", SCRIPT_NAME="/m").text, "/m/admin/Hans_Roh /m/admin/x")
        self.assertEqual(get(app, "/admin/Hans_Roh").text, "/?num1=1&num2=2")

    def test_unknown(self) -> None:
        self.assertRaises(BuildError, Saddle(__name__).build_url, "nowhere")


class CorsTests(SynchronousTestCase):
    """Cross-origin requests."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.access_control_allow_origin = "https://a.example"
        self.app.access_control_max_age = 3600
        self.app.route("/post", methods=["POST", "OPTIONS"])(lambda was: "x")
        self.app.route("/any", methods=["GET", "OPTIONS"], access_control_allow_origin="*")(lambda was: "x")

    def test_preflight(self) -> None:
        answer = call(
            self.app, "OPTIONS", "/post", HTTP_ORIGIN="https://a.example", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST"
        )
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.header("Access-Control-Allow-Origin"), "https://a.example")
        self.assertEqual(answer.header("Access-Control-Max-Age"), "3600")
        self.assertIn("POST", answer.header("Access-Control-Allow-Methods") or "")

    def test_another_origin_gets_no_field(self) -> None:
        answer = call(self.app, "POST", "/post", HTTP_ORIGIN="https://b.example")
        self.assertEqual(answer.code, 200)
        self.assertIsNone(answer.header("Access-Control-Allow-Origin"))

    def test_error_pages_have_the_fields(self) -> None:
        answer = get(self.app, "/nowhere", HTTP_ORIGIN="https://a.example")
        self.assertEqual(answer.header("Access-Control-Allow-Origin"), "https://a.example")

    def test_error_pages_have_those_of_the_route(self) -> None:
        self.app.route("/dir/", access_control_allow_origin="*")(lambda was: "x")
        for method, target, code in (("POST", "/any", 405), ("GET", "/dir", 301), ("GET", "/any?x=1", 400)):
            answer = call(self.app, method, target, HTTP_ORIGIN="https://b.example")
            self.assertEqual((answer.code, answer.header("Access-Control-Allow-Origin")), (code, "*"))

    def test_route_goes_first(self) -> None:
        self.assertEqual(
            get(self.app, "/any", HTTP_ORIGIN="https://b.example").header("Access-Control-Allow-Origin"), "*"
        )


class StoreTests(SynchronousTestCase):
    """Cookies, sessions and messages reach the client."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.securekey = "a secret"

        @self.app.route("/count")
        def count(was: Any) -> str:
            was.session["n"] = was.session.get("n", 0) + 1
            return str(was.session["n"])

    def cookies_of(self, answer: Any) -> str:
        return "; ".join(value.partition(";")[0] for name, value in answer.fields if name == "Set-Cookie")

    def test_session(self) -> None:
        answer = get(self.app, "/count")
        self.assertEqual(get(self.app, "/count", HTTP_COOKIE=self.cookies_of(answer)).text, "2")

    def test_session_is_kept_when_the_answer_is_a_stream(self) -> None:
        @self.app.route("/stream")
        def stream(was: Any) -> Any:
            was.session["n"] = 41
            return iter("a")

        answer = get(self.app, "/stream")
        self.assertEqual(get(self.app, "/count", HTTP_COOKIE=self.cookies_of(answer)).text, "42")

    def test_message_survives_a_failed_page(self) -> None:
        @self.app.route("/send")
        def send(was: Any) -> str:
            was.mbox.send("hello", "flash")
            return ""

        @self.app.route("/fail")
        def fail(was: Any) -> str:
            was.mbox.get()
            raise ValueError

        @self.app.route("/read")
        def read(was: Any) -> str:
            return " ".join(message[4] for message in was.mbox.get())

        cookies = self.cookies_of(get(self.app, "/send"))
        failed = get(self.app, "/fail", HTTP_COOKIE=cookies)
        self.assertEqual(failed.code, 500)
        self.assertEqual(get(self.app, "/read", HTTP_COOKIE=self.cookies_of(failed) or cookies).text, "hello")

    def test_csrf(self) -> None:
        self.app.csrf_protect = True
        self.app.route("/named")(lambda was, a: a)
        self.app.route("/form")(
            lambda was, **form: str(was.csrf_token_input) if was.request.method == "GET" else "done"
        )
        self.assertEqual(post(self.app, "/form", "a=1").code, 403)
        page = get(self.app, "/form")
        token = page.text.split('value="')[1].split('"')[0]
        cookies = self.cookies_of(page)
        self.assertEqual(post(self.app, "/form", f"csrf_token={token}", HTTP_COOKIE=cookies).text, "done")
        self.assertEqual(post(self.app, "/named", f"a=1&csrf_token={token}", HTTP_COOKIE=cookies).text, "1")
        self.assertEqual(call(self.app, "POST", "/form", HTTP_X_CSRF_TOKEN=token, HTTP_COOKIE=cookies).text, "done")
        self.assertEqual(call(self.app, "PURGE", "/form").code, 403)


class SettingTests(SynchronousTestCase):
    """What an application is made with."""

    def test_defaults_of_the_manual(self) -> None:
        config = Saddle(__name__).config
        self.assertEqual(
            (config.max_post_body_size, config.max_cache_size, config["max_multipart_body_size"]),
            (5 * 1024 * 1024, 5 * 1024 * 1024, 20 * 1024 * 1024),
        )
        self.assertEqual(config.max_upload_file_size, 20_000_000)

    def test_resources_are_beside_the_module(self) -> None:
        here = os.path.dirname(os.path.abspath(__file__))
        self.assertEqual(
            Saddle(__name__).get_resource("db", "sqlite3.db"), os.path.join(here, "resources", "db", "sqlite3.db")
        )

    def test_packages(self) -> None:
        app = Saddle(__name__)
        app.add_package("mylib", "corplib")
        self.assertEqual(app.skitai_packages, ("package", "contrib", "mylib", "corplib"))

    def test_attributes_of_your_own(self) -> None:
        app = Saddle(__name__)
        app.cache = {}  # type: ignore[attr-defined]
        self.assertEqual(app.cache, {})  # type: ignore[attr-defined]

    def test_templates(self) -> None:
        app = Saddle(__name__)
        app.directory = self.mktemp()
        os.makedirs(os.path.join(app.directory, "templates"))
        with open(os.path.join(app.directory, "templates", "a.html"), "w") as file:
            file.write("{{ was.g.x }} {{ y }} {{ was.ab('view') }}")

        @app.route("/view")
        def view(was: Any) -> Any:
            was.g.x = "<1>"
            return was.render("a.html", y=2)

        self.assertEqual(get(app, "/view").text, "&lt;1&gt; 2 /view")

    def test_startup_under_another_server(self) -> None:
        app = Saddle(__name__)
        seen = []

        @app.startup
        def startup(wasc: Any) -> None:
            wasc.register("test_app_engine", "engine")
            wasc.logger.get("app")("started")
            seen.append(wasc.numthreads)

        app.route("/")(lambda was: was.test_app_engine)
        self.assertEqual(get(app, "/").text, "engine")
        self.assertEqual(get(app, "/").text, "engine")
        self.assertEqual(seen, [0])

    def test_startup_that_fails_is_tried_again(self) -> None:
        app = Saddle(__name__)
        faults, started = [ValueError("no database")], []

        @app.startup
        def startup(wasc: Any) -> None:
            if faults:
                raise faults.pop()
            started.append(1)

        app.route("/")(lambda was: "x")
        self.assertRaises(ValueError, get, app, "/")
        self.assertEqual([get(app, "/").text, get(app, "/").text], ["x", "x"])
        self.assertEqual(started, [1])

    def test_startup_of_a_saddlery_that_is_mounted_twice(self) -> None:
        app, part = Saddle(__name__), Saddlery()
        app.mount("/a", part)
        app.mount("/b", part)
        seen: list[str] = []
        for kind in ("startup", "onreload", "shutdown"):
            getattr(part, kind)(lambda wasc, kind=kind: seen.append(kind))
        app.skitai_startup(None)
        app.skitai_reload(None)
        app.skitai_shutdown(None)
        self.assertEqual(seen, ["startup", "onreload", "shutdown"])

    def test_shutdown_goes_on_where_a_hook_fails(self) -> None:
        app, part = Saddle(__name__), Saddlery()
        app.mount("/part", part)
        seen: list[str] = []

        @part.shutdown
        def fail(wasc: Any) -> None:
            seen.append("part")
            raise ValueError("broken")

        app.shutdown(lambda wasc: seen.append("first"))
        app.shutdown(lambda wasc: seen.append("second"))
        self.assertRaises(ValueError, app.skitai_shutdown, None)
        self.assertEqual(seen, ["part", "first", "second"])

    def test_url_outside_of_a_request(self) -> None:
        app = Saddle(__name__)
        app.route("/x")(lambda was: "")
        app.mount_point = "/é"
        self.assertEqual(app.build_url("<lambda>"), "/%C3%A9/x")

    def test_what_needs_skitai_says_so(self) -> None:
        app = Saddle(__name__)
        app.debug = True
        app.route("/")(lambda was: was.status())
        app.route("/get")(lambda was: was.get("http://a.example/"))
        for target in ("/", "/get"):
            self.assertIn("needs Skitai", get(app, target).text)

    def test_hooks_of_the_server_are_plain_functions(self) -> None:
        async def startup(wasc: Any) -> None:
            """Never run."""

        self.assertRaises(TypeError, Saddle(__name__).startup, startup)

    def test_mounting_what_is_no_saddlery(self) -> None:
        app = Saddle(__name__)
        self.assertRaises(TypeError, app.mount, "/x", types.ModuleType("m"), "part")
        self.assertRaises(ValueError, app.mount, "/x", app)

    def test_wsgi_input_is_not_read_without_need(self) -> None:
        app = Saddle(__name__)
        app.route("/")(lambda was: "x")
        source = io.BytesIO(b"abc")
        call(app, "POST", "/", b"abc", wsgi__input=source, CONTENT_TYPE="application/octet-stream")
        self.assertEqual(source.tell(), 0)
