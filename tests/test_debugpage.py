"""The page of an exception: what a developer finds on it, that it is escaped, bounded, and silent about secrets."""

from __future__ import annotations

import builtins
import json
import linecache
import re
import sys
from html.parser import HTMLParser

from twisted.trial.unittest import SynchronousTestCase

from skitai import debugpage
from skitai.debugpage import MAX_EXCEPTIONS, MAX_FRAMES, Report, render
from skitai.reprs import MASK

VOID = {"meta", "br"}
HOSTILE = "<script>alert('1')</script>\" & {0} %s \x1b[2J \x00 \udc80 é"


class Reader(HTMLParser):
    """Reads a page, and insists that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.marked: list[str] = []
        self.frames: list[tuple[bool, str]] = []
        self.in_place = False
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "mark":
            self.marked.append("")
        given = dict(attrs)
        if tag == "details" and (given.get("class") or "").startswith("frame"):
            self.frames.append(("open" in given, ""))
            self.in_place = True

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag
        if tag == "summary":
            self.in_place = False

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "mark" in self.open:
            self.marked[-1] += data
        if self.in_place:
            is_open, place = self.frames[-1]
            self.frames[-1] = (is_open, place + data)


class OldGroup(Exception):
    """What a group is like before Python 3.11."""

    def __init__(self, message: str, members: list[BaseException]) -> None:
        super().__init__(f"{message} ({len(members)} sub-exceptions)")
        self.exceptions = tuple(members)

    def derive(self, members: list[BaseException]) -> OldGroup:
        """Return another."""
        return OldGroup("", members)


def inner(number: int, password: str) -> float:
    """Fail."""
    numerator = {"é": 4711}["é"]
    return numerator + (numerator / number) + len(password)


def view() -> float:
    """Fail a call away."""
    return inner(0, "tr0ub4dor")


def caught(function: object, *args: object) -> BaseException:
    """Return what a function raises."""
    try:
        function(*args)  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class TracebackTests(SynchronousTestCase):
    def test_exception_first(self) -> None:
        page = Reader(render(caught(view)))
        text = page.text.split()
        self.assertEqual(text[:2], ["ZeroDivisionError:", "division"])
        self.assertIn("ZeroDivisionError\ndivision by zero\nin ", page.text)
        self.assertRegex(page.text, r"in \S*test_debugpage\.py, line \d+, in inner\n")

    def test_frames_in_order_with_source_around(self) -> None:
        page = Reader(render(caught(view)))
        self.assertEqual([place.rpartition(" in ")[2] for _, place in page.frames][1:3], ["view", "inner"])
        line = inner.__code__.co_firstlineno + 3
        self.assertIn(f"{line - 1}    numerator = {{", page.text)
        self.assertIn(f"{line}    return numerator + (", page.text)
        self.assertIn(f"{line + 3}def view()", page.text)
        self.assertIn(f'<span class="hot"><i>{line}</i>', render(caught(view)))

    def test_columns(self) -> None:
        page = Reader(render(caught(view)))
        expected = ["function(*args)", 'inner(0, "tr0ub4dor")', "numerator / number"]
        self.assertEqual(page.marked[-2:] if sys.version_info >= (3, 11) else expected[1:], expected[1:])

    def test_columns_after_wide_characters(self) -> None:
        def fails() -> object:
            return "éé" + "日本" + {"a": 1}["é"]  # type: ignore[operator]

        marked = Reader(render(caught(fails))).marked
        self.assertEqual(marked[-1:] if sys.version_info >= (3, 11) else ['{"a": 1}["é"]'], ['{"a": 1}["é"]'])

    def test_application_open_libraries_folded(self) -> None:
        page = Reader(render(caught(json.loads, "{bad")))
        self.assertEqual([is_open for is_open, _ in page.frames], [True] + [False] * (len(page.frames) - 1))
        self.assertIn("json/__init__.py", page.frames[1][1])
        self.assertRegex(page.text, r"in \S*test_debugpage\.py, line \d+, in caught")

    def test_skitai_is_a_library(self) -> None:
        self.assertTrue(debugpage._is_library(debugpage.__file__))
        self.assertFalse(debugpage._is_library(__file__))
        self.assertTrue(debugpage._is_library("/srv/app/.venv/lib/python3.11/site-packages/x.py"))
        self.assertTrue(debugpage._is_library("<frozen importlib._bootstrap>"))
        self.assertTrue(debugpage._is_library("made_up_5ca1ab1e.py"))

    def test_last_frame_is_open_where_all_are_folded(self) -> None:
        error = caught(json.loads, "{bad")
        assert error.__traceback__ is not None
        page = Reader(render(error.with_traceback(error.__traceback__.tb_next)))
        self.assertEqual([is_open for is_open, _ in page.frames][-2:], [False, True])

    def test_source_is_not_to_be_had(self) -> None:
        page = Reader(render(caught(eval, "1 / 0")))
        self.assertIn("no source", page.text)

    def test_source_that_was_edited_is_read_again(self) -> None:
        path = self.mktemp() + ".py"
        for text in ("1 / 0  # old", "1 / 0  # brand new"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            page = render(caught(exec, compile(text, path, "exec"), {}))
            self.assertIn(f"{text[5:]}</span>", page)

    def test_source_that_has_shrunk_since(self) -> None:
        namespace: dict[str, object] = {}
        exec(compile("\n" * 50 + "def f():\n    raise KeyError('k')\n", "/nowhere/shrunk.py", "exec"), namespace)
        linecache.cache["/nowhere/shrunk.py"] = (9, None, ["one line\n"], "/nowhere/shrunk.py")
        self.addCleanup(linecache.cache.pop, "/nowhere/shrunk.py")
        self.assertIn("no source", Reader(render(caught(namespace["f"]))).text)

    def test_no_traceback(self) -> None:
        page = Reader(render(ValueError("never raised")))
        self.assertIn("ValueError\nnever raised\n", page.text)
        self.assertEqual(page.frames, [])

    def test_text_to_copy(self) -> None:
        error = caught(view)
        text = Report(error).text()
        self.assertTrue(text.startswith("Traceback (most recent call last):\n"))
        self.assertTrue(text.endswith("ZeroDivisionError: division by zero\n"))
        self.assertIn(text, Reader(render(error)).text)


class LocalsTests(SynchronousTestCase):
    def test_locals(self) -> None:
        page = render(caught(view))
        self.assertIn("<tr><th>number</th><td>0</td></tr>", page)
        self.assertIn("<tr><th>numerator</th><td>4711</td></tr>", page)

    def test_secrets_are_masked(self) -> None:
        self.assertIn(f"<tr><th>password</th><td>{MASK}</td></tr>", render(caught(view)))

    def test_repr_that_raises(self) -> None:
        class Odd:
            def __repr__(self) -> str:
                raise RuntimeError("no repr")

        def fails() -> None:
            odd = Odd()
            raise ValueError(id(odd))

        self.assertIn("its repr raised RuntimeError", Reader(render(caught(fails))).text)

    def test_class_that_raises(self) -> None:
        """The proxies that Flask has for the request do so where there is none."""

        class Proxy:
            @property
            def __class__(self) -> type:
                raise RuntimeError("no request")

            def __repr__(self) -> str:
                return "<Proxy unbound>"

        def fails() -> None:
            proxy = token = Proxy()
            raise ValueError(id(proxy), id(token))

        page = render(caught(fails))
        self.assertIn("<tr><th>proxy</th><td>&lt;Proxy unbound&gt;</td></tr>", page)
        self.assertIn(f"<tr><th>token</th><td>{MASK}</td></tr>", page)

    def test_number_of_locals_is_bounded(self) -> None:
        namespace: dict[str, object] = {}
        exec("def f():\n" + "".join(f"    name{n} = {n}\n" for n in range(200)) + "    1 / 0\n", namespace)
        page = Reader(render(caught(namespace["f"]))).text
        self.assertIn("name49", page)
        self.assertNotIn("name50", page)
        self.assertIn("and 150 more", page)


class ChainTests(SynchronousTestCase):
    def test_cause(self) -> None:
        def fails() -> None:
            try:
                view()
            except ZeroDivisionError as error:
                raise LookupError("no result") from error

        page = Reader(render(caught(fails))).text
        self.assertLess(
            page.index("LookupError\nno result"), page.index("Caused by ZeroDivisionError\ndivision by zero")
        )

    def test_context(self) -> None:
        def fails() -> None:
            try:
                view()
            except ZeroDivisionError:
                raise LookupError("no result")  # noqa: B904

        self.assertIn("Raised while handling <b>ZeroDivisionError</b>", render(caught(fails)))

    def test_suppressed_context(self) -> None:
        def fails() -> None:
            try:
                view()
            except ZeroDivisionError:
                raise LookupError("no result") from None

        self.assertNotIn("Raised while handling <b>", render(caught(fails)))

    def test_cycle(self) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        page = Reader(render(first)).text
        self.assertEqual(page.count("ValueError\nsecond"), 1)
        self.assertEqual(page.count("ValueError\nfirst"), 1)

    def test_long_chain(self) -> None:
        error = ValueError("0")
        for n in range(1, 100):
            following = ValueError(str(n))
            following.__cause__ = error
            error = following
        page = Reader(render(error)).text
        self.assertEqual(page.count("Caused by"), MAX_EXCEPTIONS - 1)
        self.assertIn("further exceptions are left out", page)

    def test_group(self) -> None:
        members = [caught(view), KeyError("k")]
        kind = getattr(builtins, "ExceptionGroup", OldGroup)
        page = Reader(render(kind("two of them", members))).text
        self.assertRegex(page, r"Group\ntwo of them \(2 sub-exceptions\)")
        self.assertIn("Exception 1 of 2 in the group ZeroDivisionError", page)
        self.assertIn("Exception 2 of 2 in the group KeyError", page)

    def test_notes(self) -> None:
        error = ValueError("x")
        error.__notes__ = ["the first note", 7]  # type: ignore[attr-defined]
        self.assertIn("x\nthe first note\n7\n", Reader(render(error)).text)


class SyntaxErrorTests(SynchronousTestCase):
    def test_text_of_a_string(self) -> None:
        page = Reader(render(caught(compile, "a = 1\nfoo bar\n", "<given>", "exec")))
        self.assertIn("in <given>, line 2\n2foo bar", page.text)
        self.assertIn("bar", page.marked)

    def test_lines_of_a_file(self) -> None:
        path = self.mktemp() + ".py"
        with open(path, "w", encoding="utf-8") as file:
            file.write("before = 1\n(open = 2\nafter = 3\n")
        page = Reader(render(caught(compile, "before = 1\n(open = 2\nafter = 3\n", path, "exec"))).text
        self.assertIn("1before = 1\n2(open = 2\n3after = 3", page)

    def test_made_by_hand(self) -> None:
        for error in (SyntaxError("m"), SyntaxError("m", ("f", 3, -1, None)), SyntaxError("m", (None, 0, 0, "t"))):
            self.assertIn("SyntaxError", Reader(render(error)).text)


class EscapingTests(SynchronousTestCase):
    def test_everything_is_escaped(self) -> None:
        def fails(value: str) -> None:
            local = value
            raise type(value, (Exception,), {})(local)

        def page(value: str) -> Reader:
            error = caught(fails, value)
            error.__notes__ = [value]  # type: ignore[attr-defined]
            return Reader(render(error, {value: {value: value, "b": [value]}}, value))

        hostile, plain = page(HOSTILE.replace("\x00", "").replace("\udc80", "")), page("plain")
        self.assertEqual(hostile.tags, plain.tags)
        self.assertGreaterEqual(hostile.text.count("<script>"), 8)
        self.assertNotIn("\x1b", hostile.text)

    def test_names_of_files(self) -> None:
        code = compile("1 / 0", '<b>"x', "exec")
        self.assertNotIn('<b>"x', render(caught(exec, code)))

    def test_str_that_raises(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no str")

        self.assertIn("(its str() raised RuntimeError)", Reader(render(caught(self.fail_with, Odd()))).text)

    def fail_with(self, error: BaseException) -> None:
        raise error

    def test_no_script_and_nothing_from_elsewhere(self) -> None:
        page = render(caught(view))
        self.assertNotIn("<script", page)
        self.assertEqual(re.findall(r"https?://|url\(|@import| src=| href=| on[a-z]+=", page), [])


class RequestTests(SynchronousTestCase):
    def test_tables(self) -> None:
        page = render(
            caught(view),
            {
                "Request": {"Method": "GET", "URI": "/a?b=1&token=t0p"},
                "Headers": {"Authorization": "Basic eA==", "Accept": "*/*", "Cookie": "sid=t0p"},
                "Arguments": {"b": ["1", "2"], "password": "t0p"},
                "Files": {},
            },
            "GTID-1",
        )
        for row in (
            "<th>Method</th><td>GET</td>",
            f"<th>URI</th><td>/a?b=1&amp;token={MASK}</td>",
            f"<th>Authorization</th><td>{MASK}</td>",
            "<th>Accept</th><td>*/*</td>",
            "<th>b</th><td>[&#39;1&#39;, &#39;2&#39;]</td>",
            f"<th>password</th><td>{MASK}</td>",
        ):
            self.assertIn(row, page)
        self.assertNotIn("t0p", page)
        self.assertNotIn("Files", page)
        self.assertIn("GTID-1", page)

    def test_bounded(self) -> None:
        page = render(caught(view), {"Arguments": {f"a{n}": "x" * 10_000 for n in range(5000)}})
        self.assertLess(len(page), 300_000)
        self.assertIn("and 4900 more", page)


class SizeTests(SynchronousTestCase):
    def test_deep_recursion(self) -> None:
        def dive(depth: int) -> None:
            filler = "x" * 5000
            dive(depth + len(filler) - 4999)

        error = caught(dive, 0)
        page = render(error)
        reader = Reader(page)
        self.assertEqual(len(reader.frames), MAX_FRAMES)
        self.assertRegex(reader.text, r"\d{3,} frames are left out")
        self.assertIn("<td>0</td>", page)  # the first
        self.assertLess(len(page), 300_000)

    def test_many_exceptions_with_much_to_show(self) -> None:
        names = "".join(f"    name{n} = '&' * 1000\n" for n in range(60))
        namespace: dict[str, object] = {}
        exec(f"def f(n):\n{names}    f(n - 1) if n else 1 / 0\n", namespace)
        error = caught(namespace["f"], 45)
        for _ in range(20):
            following = caught(namespace["f"], 45)
            following.__cause__, error = error, following
        self.assertLess(len(render(error)), 2_500_000)

    def test_long_message(self) -> None:
        self.assertLess(len(render(ValueError("<" * 1_000_000))), 200_000)

    def test_long_lines(self) -> None:
        path = self.mktemp() + ".py"
        source = f"x = '{'y' * 100_000}'; 1 / 0\n"
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        page = render(caught(exec, compile(source, path, "exec"), {}))
        self.assertLess(len(page), 60_000)
