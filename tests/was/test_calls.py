"""``skitai.was.calls``: the arguments of calls, and what is wrong with them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from xmlrpc.client import Fault

from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.was.calls import RemoteCalls, Verb
from skitai.was.gathering import MapHandle
from tests.was.backends import Backend, Message, Network, answer
from tests.was.doubles import Caller


class CallTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.seen: list[Message] = []
        self.reply = answer(b"ok")
        self.network.serve(self.handle)
        self.caller = Caller(
            self.network,
            make_alias("@one", "http", "192.0.2.1", {}),
            make_alias("@below", "http", ["192.0.2.1/api", "192.0.2.1/api"], {}),
            make_alias("@rows", "postgresql", "192.0.2.1/base/user/secret", {}),
        )

    def handle(self, backend: Backend, message: Message) -> bytes:
        self.seen.append(message)
        return self.reply

    def tearDown(self) -> None:
        self.caller.asker.close()
        self.network.flush()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def call(self, uri: Any, *args: Any, verb: str = "get", **kwargs: Any) -> Any:
        handle = Verb(self.caller, verb)(uri, *args, **kwargs)
        self.network.flush()
        return handle


class WhereTests(CallTestCase):
    def test_targets(self) -> None:
        for uri, data, target in (
            ("http://a.example", None, "/"),
            ("http://a.example/a b", {"q": "é"}, "/a%20b?q=%C3%A9"),
            ("@one", None, "/"),
            ("@one/x?y#z", None, "/x?y"),
            ("@one?y", {"q": 1}, "/?y&q=1"),
            ("@below", None, "/api"),
            ("@below?y", None, "/api?y"),
            ("@below", {"q": 1}, "/api?q=1"),
            ("@below/", None, "/api/"),
            ("@below/x", {"q": 1}, "/api/x?q=1"),
        ):
            self.call(uri, data)
            self.assertEqual(self.seen[-1].target, target, uri)

    def test_lb_is_the_same(self) -> None:
        Verb(self.caller, "get").lb("@one/x", {"q": 1}, timeout=3)
        self.network.flush()
        self.assertEqual(self.seen[0].target, "/x?q=1")

    def test_what_is_no_place(self) -> None:
        for uri, word in (
            ("ftp://a.example/", "ftp"),
            ("a.example", "a.example"),
            ("@nobody/x", "@nobody"),
            ("@onne/x", "@one"),
            ("@", "'@'"),
            ("@rows/x", "postgresql"),
            ("http://a.example/\r\nX: y", ""),
            ("@one/\r\nX: y", ""),
        ):
            self.assertIn(word, str(self.assertRaises(ValueError, self.call, uri)), uri)
        for thing in (None, 5, b"http://a.example/"):
            self.assertIn("uri", str(self.assertRaises(TypeError, self.call, thing)))
        self.assertEqual(self.seen, [])
        self.assertNotIn("secret", str(self.assertRaises(ValueError, self.call, "@rows/x")))

    def test_credentials_in_a_url_are_sent_and_never_shown(self) -> None:
        handle = self.call("http://me:secret@a.example/x")
        self.assertEqual(self.seen[0].headers["authorization"], "Basic bWU6c2VjcmV0")
        self.assertNotIn("secret", repr(handle) + handle.response().url)
        self.call("http://me:secret@a.example/x", auth="token")
        self.assertEqual(self.seen[1].headers["authorization"], "Bearer token")
        error = self.assertRaises(ValueError, self.call, "http://me:secret@a.example:99999/x")
        self.assertNotIn("secret", str(error))

    def test_map_needs_a_cluster(self) -> None:
        error = self.assertRaises(ValueError, Verb(self.caller, "get").map, "http://a.example/")
        self.assertIn("http://a.example/", str(error))


class ArgumentTests(CallTestCase):
    def test_headers_can_not_be_injected(self) -> None:
        for headers in ({"A": "b\r\nc: d"}, {"A\r\nb": "c"}, [("A", "b\0")], {"Host": "b"}, {"Content-Length": "5"}):
            self.assertRaises(ValueError, self.call, "http://a.example/", headers=headers)
        self.assertRaises(TypeError, self.call, "http://a.example/", headers="A: b")
        self.assertEqual(self.seen, [])

    def test_headers_are_sent(self) -> None:
        self.call("http://a.example/", headers=[("A", "b"), ("User-Agent", "me")])
        self.assertEqual((self.seen[0].headers["a"], self.seen[0].headers["user-agent"]), ("b", "me"))

    def test_timeouts(self) -> None:
        for timeout in (0, -1, float("nan"), float("inf"), 86_401, True, "3", None):
            error = self.assertRaises(ValueError, self.call, "http://a.example/", timeout=timeout)
            self.assertIn("timeout", str(error))
        self.call("http://a.example/", timeout=86_400)

    def test_what_is_no_function(self) -> None:
        for name in ("filter", "callback"):
            error = self.assertRaises(TypeError, self.call, "http://a.example/", **{name: "f"})
            self.assertIn(name, str(error))
        self.assertIn("meta", str(self.assertRaises(TypeError, self.call, "http://a.example/", meta=[1])))

    def test_asked_again_in_the_same_words(self) -> None:
        """Nothing of a URL that is known is checked again; everything else is, and counts."""
        url = "http://a.example/again"
        for _ in range(2):
            self.assertEqual(self.call(url).response().text, "ok")
        other = self.call(url, meta={"n": 1}, filter=len, timeout=5).response()
        self.assertEqual((other.data, other.meta), (2, {"n": 1}))
        called: list[Any] = []
        self.call(url, callback=called.append)
        self.caller.threads.run_jobs()
        self.assertEqual(len(called), 1)
        self.call(url, {"q": 1}, headers={"X-A": "b"})
        self.call(url, auth="token")
        self.call(url, verb="delete")
        self.assertEqual([message.target for message in self.seen], ["/again"] * 4 + ["/again?q=1"] + ["/again"] * 2)
        self.assertEqual([message.headers["x-ltxn-id"] for message in self.seen], [str(2001 + n) for n in range(7)])
        self.assertEqual((self.seen[4].headers["x-a"], self.seen[6].method), ("b", "DELETE"))
        self.assertEqual(self.seen[5].headers["authorization"], "Bearer token")
        for timeout in (0, True, "1", Decimal(10)):
            self.assertRaises(ValueError, self.call, url, timeout=timeout)
        for name in ("meta", "filter", "callback"):
            self.assertRaises((TypeError, ValueError), self.call, url, **{name: 5})

        class Text(str):
            __hash__ = str.__hash__

            def __eq__(self, other: object) -> bool:
                raise AssertionError("it is not to be compared")

        self.assertEqual(self.call(Text(url)).response().text, "ok")
        self.call(url).cache(60)
        self.network.flush()
        self.assertTrue(self.call(url).response().is_cached)
        self.assertFalse(self.call(url, use_cache=False).response().is_cached)

    def test_meta_and_filter(self) -> None:
        handle = self.call("http://a.example/", meta={"a": 1}, filter=len)
        self.assertEqual((handle.response().meta, handle.response().data), ({"a": 1}, 2))

    def test_a_callback_gets_each_response_of_map(self) -> None:
        found: list[Any] = []
        Verb(self.caller, "get").map("@below", callback=(lambda response, more: found.append(more), "more"))
        self.network.flush()
        self.caller.threads.run_jobs()
        self.assertEqual(found, ["more", "more"])

    def test_each_call_has_a_number_also_those_of_map(self) -> None:
        self.call("http://a.example/")
        Verb(self.caller, "get").map("@below/")
        self.network.flush()
        self.assertEqual([message.headers["x-ltxn-id"] for message in self.seen], ["2001", "2002", "2003"])


def result(value: str) -> bytes:
    document = f"<methodResponse><params><param><value>{value}</value></param></params></methodResponse>"
    return answer(document.encode(), "Content-Type: text/xml")


class RemoteCallTests(CallTestCase):
    def rpc(self, uri: Any = "http://a.example/rpc", *args: Any, **kwargs: Any) -> Any:
        return RemoteCalls(self.caller)(uri, *args, **kwargs)

    def test_a_call(self) -> None:
        self.reply = result("<int>7</int>")
        handle = self.rpc(meta={"a": 1}, filter=lambda data: data + 1, headers={"A": "b"}).math.add(3, 4)
        self.network.flush()
        response = handle.response()
        self.assertEqual((response.status, response.data, response.meta), (3, 8, {"a": 1}))
        [message] = self.seen
        self.assertEqual((message.method, message.target, message.headers["a"]), ("POST", "/rpc", "b"))
        self.assertEqual(message.headers["content-type"], "text/xml; charset=utf-8")
        self.assertIn(b"<methodName>math.add</methodName>", message.body)

    def test_a_content_type_of_ones_own(self) -> None:
        self.rpc(headers={"Content-Type": "application/xml"}).add(1)
        self.network.flush()
        self.assertEqual(self.seen[0].headers["content-type"], "application/xml")

    def test_a_fault(self) -> None:
        fault = (
            b"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>4</int></value></member>"
            b"<member><name>faultString</name><value><string>too many</string></value></member></struct></value>"
            b"</fault></methodResponse>"
        )
        self.reply = answer(fault, "Content-Type: text/xml")
        handle = self.rpc().add(1)
        self.network.flush()
        response = handle.response()
        self.assertEqual((response.status, response.data), (2, None))
        self.assertIn("too many", response.reason)
        raised = self.assertRaises(Fault, response.reraise)
        self.assertEqual((raised.faultCode, raised.faultString), (4, "too many"))

    def test_answers_that_are_none(self) -> None:
        for body in (b"", b"<html>", b"<methodResponse/>", b"<!DOCTYPE x><methodResponse/>", b"\xff\xfe"):
            self.reply = answer(body, "Content-Type: text/xml")
            handle = self.rpc().add(1)
            self.network.flush()
            self.assertEqual((handle.response().status, handle.response().status_code), (2, 705), body)

    def test_another_status_is_an_answer(self) -> None:
        self.reply = answer(b"nobody", "Content-Type: text/html", status="404 Not Found")
        handle = self.rpc().add(1)
        self.network.flush()
        response = handle.response()
        self.assertEqual((response.status, response.status_code, response.data), (3, 404, b"nobody"))

    def test_results_are_kept(self) -> None:
        self.reply = result("<array><data><value><int>1</int></value></data></array>")
        stub = self.rpc("@one/rpc")
        handle = stub.list("a")
        self.network.flush()
        handle.response().data.append(2)
        handle.response().cache(60)
        kept = stub.list("a").response()
        self.assertEqual((kept.data, kept.is_cached), ([1], True))
        posted = self.call("@one/rpc", self.seen[0].body, verb="postxml").response()
        self.assertFalse(posted.is_cached)
        other = stub.list("b")
        self.network.flush()
        self.assertFalse(other.response().is_cached)

    def test_map_and_lb(self) -> None:
        self.reply = result("<int>7</int>")
        handles = RemoteCalls(self.caller).map("@below/rpc").add(3, 4)
        self.assertIsInstance(handles, MapHandle)
        RemoteCalls(self.caller).lb("@below/rpc").add(3, 4)
        self.network.flush()
        self.assertEqual([message.target for message in self.seen], ["/api/rpc"] * 3)

    def test_what_is_wrong(self) -> None:
        for uri in ("@nobody", "@rows", "ftp://a.example/", "a.example"):
            self.assertRaises(ValueError, self.rpc, uri)
        self.assertRaises(TypeError, self.rpc, None)
        self.assertIn("tiemout", str(self.assertRaises(TypeError, self.rpc, tiemout=3)))
        self.assertIn("data", str(self.assertRaises(TypeError, self.rpc, "http://a.example/", {"a": 1})))
        self.assertRaises(ValueError, RemoteCalls(self.caller).map, "http://a.example/")
        self.assertRaises(TypeError, self.rpc())
        self.assertRaises(TypeError, self.rpc().add, object())
        self.assertRaises(ValueError, self.rpc(timeout=0).add, 1)
        self.assertRaises(AttributeError, getattr, self.rpc(), "__wrapped__")
        self.assertEqual(self.seen, [])
