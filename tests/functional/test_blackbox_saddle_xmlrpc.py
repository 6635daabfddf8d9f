"""Saddle: views as methods of XML-RPC, for the client of the standard library and for hostile ones."""

from __future__ import annotations

import datetime
import time
import xmlrpc.client
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import each, tables

APP = """\
import datetime
from skitai.saddle import Saddle

app = Saddle (__name__)
app.config.max_post_body_size = 200 * 1024

@app.route ("/add")
def index (was, num1, num2):
  return num1 + num2

@app.route ("/calc/times")
def times (was, a, b = 2):
  return a * b

@app.route ("/a/b/c")
def deep (was):
  return "deep"

@app.route ("/echo")
def echo (was, value):
  return value

@app.route ("/types")
def types (was):
  return {"i": 5, "f": 1.5, "t": True, "s": "<\\xe9&>", "l": [1, "a", []], "d": {"x": {}}}

@app.route ("/nothing")
def nothing (was):
  return None

@app.route ("/unsendable")
def unsendable (was):
  return object ()

@app.route ("/fails")
def fails (was):
  raise ValueError ("secret reason")

@app.route ("/refuses")
def refuses (was):
  return was.response ("403 Forbidden", "no")

@app.route ("/post", methods = ["POST"])
def post (was):
  return "posted"

@app.route ("/get", methods = ["GET"])
def get (was):
  return "got"

@app.route ("/hidden", authenticate = True)
def hidden (was):
  return "hidden"

@app.route ("/who")
def who (was):
  return was.request.get_content_type () + " " + was.request.method

app.authorization = "basic"
app.realm = "r"
app.users = {"a": "b"}

if __name__ == "__main__":
  import skitai
  skitai.run (mount = {"/": app, "/second": ("app.py", "app")})
"""

site = Shared({"app.py": APP})
CALL = "<?xml version='1.0'?><methodCall><methodName>{}</methodName><params>{}</params></methodCall>"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 10))
    + "]><methodCall><methodName>echo</methodName><params><param><value>&lol9;</value></param></params></methodCall>"
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><methodCall><methodName>echo</methodName>'
    "<params><param><value><string>&f;</string></value></param></params></methodCall>"
)


def proxy(path: str = "/") -> Any:
    return xmlrpc.client.ServerProxy(
        f"http://127.0.0.1:{site.server.port}{path}", allow_none=True, use_builtin_types=True
    )


def post(body: str | bytes, kind: str = "text/xml", target: str = "/") -> Reply:
    data = body if isinstance(body, bytes) else body.encode()
    return site.ask(target, f"Content-Type: {kind}", method="POST", body=data)


@tables
class CallTests(SynchronousTestCase):
    """Calls."""

    def fault(self, method: str, *args: object) -> xmlrpc.client.Fault:
        return self.assertRaises(xmlrpc.client.Fault, getattr(proxy(), method), *args)

    def test_manual(self) -> None:
        self.assertEqual(proxy("/rpc").add(10000, 5000), 15000)

    @each("/", "/rpc", "/rpc/", "/RPC2", "/rpc/what/ever", "/nothing/here", "/second/", "/second/rpc")
    def test_path_does_not_matter(self, path: str) -> None:
        self.assertEqual(proxy(path).add(1, 2), 3)

    @each("text/xml", "application/xml", "text/xml; charset=utf-8", "TEXT/XML")
    def test_types_of_content(self, kind: str) -> None:
        reply = post(xmlrpc.client.dumps((1, 2), "add"), kind)
        self.assertEqual((reply.status, reply.get("Content-Type").split(";")[0]), (200, "text/xml"))
        self.assertEqual(xmlrpc.client.loads(reply.body)[0], (3,))

    def test_dots(self) -> None:
        self.assertEqual(proxy().calc.times(3, 4), 12)
        self.assertEqual(proxy().calc.times(3), 6)
        self.assertEqual(proxy().a.b.c(), "deep")

    @each(
        5, -5, 1.5, "text", "", "<\xe9&\u4e2d>", True, False, [], [1, [2, ["x"]]], {}, {"a": {"b": [1]}}, b"\x00\xff",
        datetime.datetime(2017, 4, 5, 6, 7, 8), 2**31 - 1, -(2**31), "a\nb", " ",
    )  # fmt: skip
    def test_values(self, value: object) -> None:
        self.assertEqual(proxy().echo(value), value)

    def test_results(self) -> None:
        self.assertEqual(
            proxy().types(), {"i": 5, "f": 1.5, "t": True, "s": "<\xe9&>", "l": [1, "a", []], "d": {"x": {}}}
        )
        self.assertEqual(proxy().post(), "posted")
        self.assertTrue(proxy().who().lower().startswith("text/xml"))

    @each(
        ("missing",),
        ("calc.nothing",),
        ("add", 1),
        ("add", 1, 2, 3),
        ("fails",),
        ("unsendable",),
        ("refuses",),
        ("get",),
        ("add", 1, "a"),
    )
    def test_faults(self, method: str, *args: object) -> None:
        """Whatever goes wrong is a fault, with status 200."""
        self.fault(method, *args)
        self.assertEqual(post(xmlrpc.client.dumps(args, method)).status, 200)

    def test_faults_say_what(self) -> None:
        self.assertIn("num2", self.fault("add", 1).faultString)
        self.assertIn("missing", self.fault("missing").faultString)

    def test_faults_keep_secrets(self) -> None:
        self.assertNotIn("secret reason", self.fault("fails").faultString)
        until(lambda: "secret reason" in site.server.output, "the traceback in the log")

    def test_protected(self) -> None:
        """Credentials are needed as everywhere."""
        try:
            result = proxy().hidden()
        except (xmlrpc.client.Fault, xmlrpc.client.ProtocolError):
            result = None
        self.assertNotEqual(result, "hidden")
        allowed = xmlrpc.client.ServerProxy(f"http://a:b@127.0.0.1:{site.server.port}/")
        self.assertEqual(allowed.hidden(), "hidden")

    def test_private_names(self) -> None:
        for name in ("__class__", "was", "_private", "..", "a..b", "", ".", "/add", "static.x", "add.__call__"):
            reply = post(CALL.format(name, ""))
            self.assertLess(reply.status, 500, name)
            self.assertNotIn("<params>", reply.text, name)


class SystemTests(SynchronousTestCase):
    """``system.*``."""

    def test_multicall(self) -> None:
        calls = xmlrpc.client.MultiCall(proxy())
        calls.add(1, 2)
        calls.calc.times(3, 4)
        self.assertEqual(list(calls()), [3, 12])

    def test_multicall_with_faults(self) -> None:
        """One that fails does not spoil the others."""
        given = [
            {"methodName": name, "params": params} for name, params in (("add", [1]), ("add", [1, 2]), ("missing", []))
        ]
        first, second, third = proxy().system.multicall(given)
        self.assertIn("faultCode", first)
        self.assertEqual(second, [3])
        self.assertIn("faultCode", third)

    def test_multicall_in_itself(self) -> None:
        nested = [{"methodName": "system.multicall", "params": [[{"methodName": "add", "params": [1, 2]}]]}]
        (answer,) = proxy().system.multicall(nested)
        self.assertIn("faultCode", answer)

    def test_multicall_of_nonsense(self) -> None:
        for given in ([1], [{}], [{"methodName": 5, "params": []}], [{"methodName": "add", "params": 5}], "x", {}):
            try:
                answers = proxy().system.multicall(given)
            except xmlrpc.client.Fault:
                continue
            self.assertTrue(all("faultCode" in answer for answer in answers), given)

    def test_list_methods(self) -> None:
        names = proxy().system.listMethods()
        self.assertLessEqual({"add", "calc.times", "a.b.c", "system.listMethods", "system.multicall"}, set(names))


@tables
class HostileTests(SynchronousTestCase):
    """What is no call."""

    @each(
        "", "nonsense", "<", "<methodCall>", CALL.format("add", "")[:-5], "<methodCall></methodCall>", "<methodCall/>",
        "<methodCall><methodName></methodName></methodCall>", CALL.format("echo",
            "<param><value><int>x</int></value></param>"),
        CALL.format("echo", "<param><value><boolean>7</boolean></value></param>"),
        CALL.format("echo", "<param><value><dateTime.iso8601>never</dateTime.iso8601></value></param>"),
        CALL.format("echo", "<param><value><unknown>1</unknown></value></param>"),
        CALL.format("echo", "<param><value><struct><member></member></struct></value></param>"),
        CALL.format("echo", "<param>" + "<value><array><data>" * 3000), CALL.format("echo",
            "<param><value>" + "&#0;" + "</value></param>"),
        "<?xml version='1.0' encoding='nonsense'?><methodCall/>", "<methodCall>" * 10_000,
    )  # fmt: skip
    def test_malformed(self, body: str) -> None:
        """Nothing of it is our fault, and nothing of it is a result."""
        reply = post(body)
        self.assertLess(reply.status, 500)
        self.assertNotIn("<params>", reply.text)

    def test_deep(self) -> None:
        depth = 2000
        value = "<value><array><data>" * depth + "<value>x</value>" + "</data></array></value>" * depth
        reply = post(CALL.format("echo", f"<param>{value}</param>"))
        self.assertLess(reply.status, 500)

    @each(BOMB, EXTERNAL, "<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/x.dtd'>" + CALL.format("add", ""))
    def test_entities(self, body: str) -> None:
        """Nothing is expanded, nothing fetched, and it does not take long."""
        started = time.monotonic()
        reply = post(body)
        self.assertLess(time.monotonic() - started, 5)
        self.assertLess(reply.status, 500)
        self.assertNotIn("lollol", reply.text)
        self.assertNotIn("root:", reply.text)

    @each(
        b"\xff\xfe<\x00m\x00",
        b"\x00" * 100,
        b"<?xml version='1.0' encoding='utf-16'?><methodCall/>",
        b"<methodCall>\xff</methodCall>",
    )
    def test_encodings(self, body: bytes) -> None:
        self.assertLess(post(body).status, 500)

    def test_utf16(self) -> None:
        body = (
            xmlrpc.client.dumps((1, 2), "add")
            .replace("version='1.0'", "version='1.0' encoding='utf-16'")
            .encode("utf-16")
        )
        self.assertLess(post(body).status, 500)

    def test_too_large(self) -> None:
        self.assertEqual(post(xmlrpc.client.dumps(("x" * 300_000,), "echo")).status, 413)

    def test_large_number(self) -> None:
        self.assertLess(post(CALL.format("echo", f"<param><value><int>{'9' * 6000}</int></value></param>")).status, 500)

    def test_other_documents(self) -> None:
        """XML that is no call is for the view of its path."""
        self.assertEqual(post("<other/>", target="/who").text, "text/xml POST")

    def test_get(self) -> None:
        self.assertEqual(site.ask("/get", "Content-Type: text/xml").text, "got")
