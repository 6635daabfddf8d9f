"""XML-RPC through the views of an application."""

from __future__ import annotations

import re
import xmlrpc.client
from hashlib import md5
from typing import Any
from xmlrpc.client import Fault

from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle import Saddle
from tests.saddle.wsgi import Answer, call


class RemoteCallTests(SynchronousTestCase):
    """XML-RPC through the same views."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.route("/add")(lambda was, a, b: a + b)
        self.app.route("/x/y")(lambda was: {"z": [None, True]})

        @self.app.route("/later")
        async def later(was: Any, a: Any) -> Any:
            return a

        @self.app.route("/guarded", authenticate=True)
        def guarded(was: Any) -> int:
            return 1

    def ask(self, method: str, *params: Any) -> Any:
        body = xmlrpc.client.dumps(params, method, allow_none=True).encode()
        self.answer = call(self.app, "POST", "/anywhere", body, CONTENT_TYPE="text/xml")
        return xmlrpc.client.loads(self.answer.body.decode())[0][0]

    def test_calls(self) -> None:
        self.assertEqual(self.ask("add", 10000, 5000), 15000)
        self.assertEqual(self.ask("x.y"), {"z": [None, True]})
        self.assertEqual(self.ask("later", "a"), "a")

    def test_multicall(self) -> None:
        calls = [{"methodName": "add", "params": [1, 2]}, {"methodName": "later", "params": [7]}]
        self.assertEqual(self.ask("system.multicall", calls), [[3], [7]])

    def test_introspection(self) -> None:
        self.assertIn("x.y", self.ask("system.listMethods"))

    def test_the_route_that_takes_calls(self) -> None:
        self.app.route("/both", methods=["GET"])(lambda was: "got")
        self.app.route("/both", methods=["POST"])(lambda was: "posted")
        self.app.route("/dir/")(lambda was: "dir")
        self.app.route("/get", methods=["GET"])(lambda was: "got")
        self.app.route("/json", content_types=["application/json"])(lambda was: "json")
        self.app.route("/xml", content_types=["text/xml"])(lambda was: "xml")
        self.assertEqual([self.ask(name) for name in ("both", "dir", "xml")], ["posted", "dir", "xml"])
        for name in ("get", "json"):
            self.assertEqual(self.assertRaises(Fault, self.ask, name).faultCode, -32601)
        listed = set(self.ask("system.listMethods"))
        self.assertEqual(listed & {"both", "dir", "xml", "get", "json"}, {"both", "dir", "xml"})

    def test_what_a_view_says_of_its_own_body_is_dropped(self) -> None:
        @self.app.route("/fields")
        def view(was: Any) -> Any:
            return was.response("201 Created", "x", [("Content-Length", "1"), ("X-Own", "kept")])

        self.assertEqual(self.ask("fields"), "x")
        self.assertIsNone(self.answer.header("Content-Length"))
        self.assertEqual((self.answer.code, self.answer.header("X-Own")), (200, "kept"))

    def test_files_can_not_be_sent_but_are_closed(self) -> None:
        opened: list[Any] = []

        @self.app.route("/file")
        def view(was: Any) -> Any:
            response = was.fstream(__file__)
            opened.append(response.body)
            return response

        self.assertEqual(self.assertRaises(Fault, self.ask, "file").faultCode, -32500)
        self.assertTrue(opened[0].closed)

    def test_faults(self) -> None:
        for method, params, code in (("nowhere", (), -32601), ("add", (1,), -32602), ("add", (1, "a"), -32500)):
            fault = self.assertRaises(Fault, self.ask, method, *params)
            self.assertEqual((fault.faultCode, self.answer.code), (code, 200))

    def test_authentication_is_that_of_http(self) -> None:
        body = xmlrpc.client.dumps((), "guarded").encode()
        self.assertEqual(call(self.app, "POST", "/", body, CONTENT_TYPE="text/xml").code, 401)

    def test_other_xml_is_a_request_like_others(self) -> None:
        self.app.route("/xml")(lambda was: was.request.body)
        self.assertEqual(call(self.app, "POST", "/xml", b"<a/>", CONTENT_TYPE="text/xml").text, "<a/>")


class GuardTests(SynchronousTestCase):
    """Calls of views that not everybody may call."""

    def setUp(self) -> None:
        self.app = Saddle(__name__)
        self.app.authenticate, self.app.realm, self.app.users = True, "r", {"ann": "secret"}
        self.app.digest_algorithms = "MD5"
        self.app.route("/add")(lambda was, a, b: a + b)
        self.app.route("/who")(lambda was: was.request.user.name)
        self.app.route("/open", authenticate=False)(lambda was: "open")

    def ask(self, method: str, *params: Any, **more: Any) -> Answer:
        body = xmlrpc.client.dumps(params, method).encode()
        return call(self.app, "POST", "/RPC", body, CONTENT_TYPE="text/xml", **more)

    def credentials(self) -> str:
        challenge = self.ask("add", 1, 2).header("WWW-Authenticate") or ""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        key, target = (md5(text.encode()).hexdigest() for text in ("ann:r:secret", "POST:/RPC"))
        response = md5(f"{key}:{fields['nonce']}:00000001:c:auth:{target}".encode()).hexdigest()
        return (
            f'Digest username="ann", realm="r", nonce="{fields["nonce"]}", uri="/RPC", algorithm=MD5, qop=auth, '
            f'nc=00000001, cnonce="c", response="{response}", opaque="{fields["opaque"]}"'
        )

    def test_one_answer_of_digest_is_good_for_all_calls_of_a_request(self) -> None:
        calls = [{"methodName": "add", "params": [1, 2]}, {"methodName": "who", "params": []}]
        credentials = self.credentials()
        answer = self.ask("system.multicall", calls, HTTP_AUTHORIZATION=credentials)
        self.assertEqual(xmlrpc.client.loads(answer.body.decode())[0][0], [[3], ["ann"]])
        self.assertEqual(self.ask("add", 1, 2, HTTP_AUTHORIZATION=credentials).code, 401)

    def test_methods_are_not_told_to_everybody(self) -> None:
        self.assertEqual(self.ask("system.listMethods").code, 401)
        calls = [{"methodName": "open", "params": []}, {"methodName": "system.listMethods", "params": []}]
        self.assertEqual(self.ask("system.multicall", calls).code, 401)
        self.assertEqual(self.ask("open").code, 200)
        self.assertEqual(self.ask("system.listMethods", HTTP_AUTHORIZATION=self.credentials()).code, 200)
