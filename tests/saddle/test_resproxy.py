"""``skitai.saddle.resproxy``: what handlers of asynchronous responses have in their hands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from markupsafe import Markup
from twisted.trial.unittest import SynchronousTestCase

from skitai.saddle.bodies import discard, is_async_stream, is_stream, whole
from skitai.saddle.resproxy import ResProxy


class Body:
    """Stands for ``skitai.was.pushed.Pushed``."""

    def __init__(self, handle: Any, failed: Any, last: bytes) -> None:
        self.handle, self.failed, self.last = handle, failed, last
        self.asked: list[Any] = []
        self.pieces: list[Any] = []
        self.ended = False
        self.all_fetched = False

    def is_verb(self, name: str) -> bool:
        return name in ("get", "postform")

    def ask(self, *args: Any, **kwargs: Any) -> None:
        self.asked.append((*args, kwargs))

    def rpc(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append((*args, kwargs))
        return SimpleNamespace(add=lambda *params: self.asked.append(params))

    def push(self, content: Any) -> None:
        self.pieces.append(content)

    def done(self, content: Any) -> None:
        self.pieces.append(content)
        self.ended = True

    def close(self) -> None:
        self.pieces.append("closed")


class ResProxyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rendered: list[Any] = []
        was: Any = SimpleNamespace(
            app=SimpleNamespace(debug=False),
            services=SimpleNamespace(pushed=Body),
            render=lambda template, variables=None, **kwargs: self.rendered.append((template, variables, kwargs)),
        )
        self.was: Any = was
        self.handled: list[Any] = []
        self.proxy: Any = ResProxy(was, lambda *args: self.handled.append(args), "prolog", "epilog")
        self.body: Any = self.proxy.__aiter__()

    def test_requests_have_a_name_first(self) -> None:
        self.proxy.get("a", "http://a.example/", {"q": 1}, timeout=3)
        self.proxy.get.lb("b", "@b/")
        self.proxy.postform(None, uri="@c/")
        self.assertEqual(
            self.body.asked,
            [
                ("a", "get", "http://a.example/", {"q": 1}, {"timeout": 3}),
                ("b", "get", "@b/", {}),
                (None, "postform", "@c/", {}),
            ],
        )

    def test_remote_calls(self) -> None:
        self.proxy.rpc("a", "@a/rpc", timeout=3).add(1, 2)
        self.proxy.rpc.lb("b", "@a/rpc").add(3)
        self.assertEqual(self.body.asked, [("a", "@a/rpc", {"timeout": 3}), (1, 2), ("b", "@a/rpc", {}), (3,)])

    def test_map_is_refused(self) -> None:
        self.assertRaises(TypeError, self.proxy.get.map, "a", "@a/")
        self.assertRaises(TypeError, self.proxy.rpc.map, "a", "@a/")

    def test_it_is_no_other_kind_of_content(self) -> None:
        self.assertTrue(is_async_stream(self.proxy))
        self.assertFalse(is_stream(self.proxy))
        self.assertIsNone(whole(self.proxy))
        for name in ("read", "more", "nonsense", "__iter__", "_missing"):
            self.assertIn(name, str(self.assertRaises(AttributeError, getattr, self.proxy, name)))
        self.assertTrue(self.proxy)  # though it has no parts yet

    def test_the_handler_gets_both(self) -> None:
        self.body.handle("response")
        self.assertEqual(self.handled, [("response", self.proxy)])
        self.assertRaises(TypeError, ResProxy, self.was, None)
        self.body.all_fetched = True
        self.assertTrue(self.proxy.fetched_all())

    def test_prolog_and_epilog(self) -> None:
        self.proxy.push("a")
        self.proxy.done("b")
        self.assertEqual((self.body.pieces, self.body.ended), ([b"prolog", b"a", b"b"], True))
        self.assertEqual(self.body.last, b"epilog")

    def test_what_can_be_pushed(self) -> None:
        for content in ("\u00e9", b"\xff", 5, None, Markup("<b>"), ["a", b"b"]):
            self.proxy.push(content)
        self.proxy.done()
        self.assertEqual(self.body.pieces[1:], [b"\xc3\xa9", b"\xff", b"5", b"", b"<b>", b"ab", b""])
        for call in (self.proxy.push, self.proxy.done):
            self.assertIn("not dict", str(self.assertRaises(TypeError, call, {"a": 1})))
        self.assertRaises(TypeError, ResProxy, self.was, print, None, object())

    def test_what_is_not_sent_is_closed(self) -> None:
        discard(self.proxy)
        self.assertEqual(self.body.pieces, [b"prolog", "closed"])

    def test_parts_are_html(self) -> None:
        self.proxy["a"] = "<b>"
        self.proxy["n"] = 5
        self.assertEqual(
            (self.proxy["a"], len(self.proxy), "a" in self.proxy, "b" in self.proxy), ("<b>", 2, True, False)
        )
        self.proxy.render_all("page.html", {"x": "<i>"}, y="<u>")
        [(template, variables, _)] = self.rendered
        self.assertEqual((template, variables["n"], variables["x"], variables["y"]), ("page.html", 5, "<i>", "<u>"))
        self.assertEqual([hasattr(variables[name], "__html__") for name in ("a", "x", "y")], [True, False, False])
        self.assertNotIsInstance(self.proxy["a"] + "<script>", type(variables["a"]))

    def test_render(self) -> None:
        self.proxy.render("part.html", {"a": 1})
        self.proxy.render("part.html", a=1)
        self.assertEqual(self.rendered, [("part.html", {"a": 1}, {}), ("part.html", None, {"a": 1})])

    def test_a_failure_shows_in_debug_only(self) -> None:
        error = KeyError("<gone>")
        self.body.failed(error)
        self.assertEqual(self.body.pieces, [b"prolog"])
        self.was.app.debug = True
        self.body.failed(error)
        self.assertIn("KeyError: &#x27;&lt;gone&gt;", self.body.pieces[1].decode().replace("&#39;", "&#x27;"))
