"""XML-RPC: what is asked for, what is answered, and what becomes of everything that goes wrong."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from xmlrpc.client import Fault

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.attributes import AttributeDictionary
from skitai.errors import PeerError
from skitai.saddle import xmlrpc as engine
from skitai.saddle.xmlrpc import Call, MethodNotFound, Methods, Report, fault_of, is_call, read, write
from skitai.xmlwriter import MAX_DEPTH
from tests.test_xmlreader import LAUGHS, PIECES

METHODS = {"math.add": "Add numbers.", "echo": ""}


def call_of(method: str, *params: Any) -> bytes:
    return xmlrpc.client.dumps(params, method, allow_none=True).encode()


def multicall_of(*calls: Any) -> bytes:
    return call_of("system.multicall", list(calls))


def one(method: str, *params: Any) -> dict[str, Any]:
    return {"methodName": method, "params": list(params)}


def result_of(document: bytes) -> Any:
    """Return the result as the standard library reads it, or raise its fault."""
    [result], method = xmlrpc.client.loads(document, use_builtin_types=True)
    assert method is None
    return result


def views(method: str, params: tuple[Any, ...]) -> Any:
    """Run a method of a small application."""
    if method == "math.add":
        if len(params) != 2:
            raise PeerError(400, "add takes two numbers")
        return params[0] + params[1]
    if method == "echo":
        return params[0]
    raise MethodNotFound(method)


def answer(
    body: bytes,
    run: Callable[[str, tuple[Any, ...]], Any],
    methods: Methods | None = None,
    debug: bool = False,
    report: Report | None = None,
) -> bytes:
    """Return the answer of a body, running its calls one after another."""
    plan = read(body, methods)
    outcomes: list[object] = []
    for call in plan.calls:
        try:
            outcomes.append(run(call.method, call.params))
        except Exception as error:
            outcomes.append(error)
    return write(plan, outcomes, debug, report)


class EngineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reported: list[tuple[Call, BaseException]] = []

    def report(self, call: Call, error: BaseException) -> None:
        self.reported.append((call, error))

    def ask(self, body: bytes, run: Callable[[str, tuple[Any, ...]], Any] = views, debug: bool = False) -> Any:
        return result_of(answer(body, run, METHODS, debug, self.report))

    def fault(self, body: bytes, run: Callable[[str, tuple[Any, ...]], Any] = views, debug: bool = False) -> Fault:
        fault: Fault = self.assertRaises(Fault, self.ask, body, run, debug)
        return fault


class CallTests(EngineTestCase):
    def test_a_call_is_answered(self) -> None:
        self.assertEqual(self.ask(call_of("math.add", 1, 2)), 3)

    def test_the_document(self) -> None:
        self.assertEqual(
            answer(call_of("echo", "\ud55c&"), views),
            "<?xml version='1.0' encoding='utf-8'?>\n<methodResponse><params><param><value><string>\ud55c&amp;"
            "</string></value></param></params></methodResponse>".encode(),
        )

    def test_parameters_are_values_of_python(self) -> None:
        params = (datetime(2024, 1, 2, 3, 4, 5), b"\0", None, {"a": [1.5, True]}, "x")
        [call] = read(call_of("a.b", *params)).calls
        self.assertEqual(call, Call("a.b", params))

    def test_results_are_values_of_python(self) -> None:
        result = AttributeDictionary(a=(1, None), b=b"\0", c=datetime(2024, 1, 2), d=2**40)
        expected = {"a": [1, None], "b": b"\0", "c": datetime(2024, 1, 2), "d": 2**40}
        self.assertEqual(self.ask(call_of("f"), lambda method, params: result), expected)

    def test_a_call_without_params(self) -> None:
        self.assertEqual(read(b"<methodCall><methodName>f</methodName></methodCall>").calls, (Call("f", ()),))

    def test_the_views_run_between_reading_and_writing(self) -> None:
        plan = read(multicall_of(one("a", 1), one("system.listMethods"), one("b")), METHODS)
        self.assertEqual(plan.calls, (Call("a", (1,)), Call("b", ())))
        first, names, second = result_of(write(plan, ["x", ValueError("y")]))
        self.assertEqual((first, second["faultCode"]), (["x"], -32500))
        self.assertIn("echo", names[0])

    def test_outcomes_that_do_not_fit_the_plan_are_our_mistake(self) -> None:
        for outcomes in ([], [1, 2]):
            self.assertRaises(ValueError, write, read(call_of("f")), outcomes)

    def test_names(self) -> None:
        for name in ("a", "a.b_c", "a:b/c-d", "caf\u00e9", "x" * 255):
            self.assertEqual(read(call_of(name)).calls, (Call(name, ()),))
        for name in ("a b", "a\nb", "x" * 256, "a?b", "<", "%2e"):
            body = call_of(name.replace("<", "&lt;"))
            self.assertEqual(self.fault(body).faultCode, -32600, name)


class FaultTests(EngineTestCase):
    def raising(self, error: BaseException, debug: bool = False) -> Fault:
        def run(method: str, params: tuple[Any, ...]) -> Any:
            raise error

        return self.fault(call_of("f"), run, debug)

    def test_a_fault_of_the_view_is_itself(self) -> None:
        fault = self.raising(Fault(42, "out of <stock>"))
        self.assertEqual((fault.faultCode, fault.faultString), (42, "out of <stock>"))

    def test_no_such_method(self) -> None:
        fault = self.fault(call_of("no.such"))
        self.assertEqual((fault.faultCode, fault.faultString), (-32601, "there is no method 'no.such'"))

    def test_wrong_arguments(self) -> None:
        fault = self.fault(call_of("math.add", 1))
        self.assertEqual((fault.faultCode, fault.faultString), (-32602, "add takes two numbers"))
        self.assertEqual(self.raising(PeerError(422, "x")).faultCode, -32602)

    def test_other_refusals_have_their_status(self) -> None:
        fault = self.raising(PeerError(403, "not yours"))
        self.assertEqual((fault.faultCode, fault.faultString), (403, "not yours"))

    def test_a_failure_keeps_its_text_to_itself(self) -> None:
        error = KeyError("password=1234")
        fault = self.raising(error)
        self.assertEqual((fault.faultCode, fault.faultString), (-32500, "the method failed"))
        self.assertEqual(self.reported, [(Call("f", ()), error)])

    def test_debug_shows_the_text(self) -> None:
        fault = self.raising(ValueError("too \x00 bad"), debug=True)
        self.assertEqual((fault.faultCode, fault.faultString), (-32500, "ValueError: too \ufffd bad"))

    def test_only_failures_of_the_application_are_reported(self) -> None:
        for error in (PeerError(400, "x"), MethodNotFound("x"), Fault(1, "x")):
            self.raising(error)
        self.assertEqual(self.reported, [])

    def test_an_exception_without_a_text(self) -> None:
        class Bad(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        self.assertIn("Bad", self.raising(Bad(), debug=True).faultString)

    def test_a_result_that_can_not_be_sent(self) -> None:
        class Liar(dict[str, Any]):
            def items(self) -> Any:
                raise KeyError("secret")

        result: object
        for result in (object(), {1: 2}, float("nan"), "\0", 2**64, Liar(), iter(())):
            self.reported.clear()
            outcome = result
            fault = self.fault(call_of("f"), lambda method, params: outcome)  # noqa: B023
            self.assertEqual((fault.faultCode, fault.faultString), (-32500, "the method failed"))
            [(call, error)] = self.reported
            self.assertEqual(call, Call("f", ()))
            self.assertIn("what f has returned can not be sent", str(error))

    def test_debug_tells_what_can_not_be_sent(self) -> None:
        fault = self.fault(call_of("f"), lambda method, params: object(), debug=True)
        self.assertIn("object has no form in XML-RPC", fault.faultString)

    def test_a_fault_that_can_not_be_sent(self) -> None:
        codes: list[Any] = [2**64, object(), "404"]
        for code in codes:
            self.assertEqual(self.raising(Fault(code, "x")).faultCode, -32500)
        self.assertEqual(len(self.reported), 3)
        self.assertEqual(self.raising(Fault(1, "a\0b")).faultString, "a\ufffdb")

    def test_an_interruption_is_no_fault(self) -> None:
        def run(method: str, params: tuple[Any, ...]) -> Any:
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, answer, call_of("f"), run)

    def test_codes(self) -> None:
        self.assertEqual(fault_of(MethodNotFound("x")).faultCode, -32601)
        self.assertEqual(MethodNotFound("x").status, 404)


class MulticallTests(EngineTestCase):
    def test_each_succeeds_or_fails_for_itself(self) -> None:
        found = self.ask(
            multicall_of(
                one("math.add", 1, 2), one("no.such"), one("math.add", 1), one("math.add", 1, "a"), one("echo", 5)
            )
        )
        self.assertEqual(found[0], [3])
        self.assertEqual([fault["faultCode"] for fault in found[1:4]], [-32601, -32602, -32500])
        self.assertEqual(found[4], [5])
        self.assertEqual([call for call, error in self.reported], [Call("math.add", (1, "a"))])

    def test_the_client_of_the_standard_library_reads_it(self) -> None:
        found = xmlrpc.client.MultiCallIterator(self.ask(multicall_of(one("echo", [1]), one("no.such"))))
        self.assertEqual(found[0], [1])
        self.assertRaises(Fault, found.__getitem__, 1)

    def test_none_at_all(self) -> None:
        self.assertEqual(self.ask(multicall_of()), [])

    def test_it_can_not_call_itself(self) -> None:
        body = multicall_of(one("system.multicall", [one("echo", 1)]))
        self.assertEqual(read(body).calls, ())
        [fault] = self.ask(body)
        self.assertEqual(fault["faultCode"], -32602)

    def test_malformed_calls_are_faults_of_their_own(self) -> None:
        wrong: tuple[Any, ...] = (1, None, {}, [], "echo", {"methodName": "echo"}, {"methodName": 1, "params": []})
        wrong = (*wrong, {"methodName": "echo", "params": "abc"}, {"methodName": "echo", "params": {}})
        found = self.ask(multicall_of(*wrong, one("echo", 1)))
        self.assertEqual([fault["faultCode"] for fault in found[:-1]], [-32602] * len(wrong))
        self.assertEqual(found[-1], [1])
        [fault] = self.ask(multicall_of(one("a b")))
        self.assertEqual(fault["faultCode"], -32600)

    def test_malformed_as_a_whole(self) -> None:
        wrong: tuple[tuple[Any, ...], ...] = ((), (1,), ([], []), ({},), ("ab",))
        for params in wrong:
            self.assertEqual(self.fault(call_of("system.multicall", *params)).faultCode, -32602)

    def test_their_number_is_bounded(self) -> None:
        asked: list[str] = []

        def run(method: str, params: tuple[Any, ...]) -> int:
            asked.append(method)
            return 1

        self.assertEqual(self.ask(multicall_of(*[one("f")] * engine.MAX_CALLS), run), [[1]] * engine.MAX_CALLS)
        self.assertEqual(len(asked), engine.MAX_CALLS)
        self.assertEqual(self.fault(multicall_of(*[one("f")] * (engine.MAX_CALLS + 1)), run).faultCode, -32602)
        self.assertEqual(len(asked), engine.MAX_CALLS)

    def test_one_result_that_can_not_be_sent_spoils_no_other(self) -> None:
        outcomes = {"a": 1, "b": object(), "c": 3}
        found = self.ask(multicall_of(one("a"), one("b"), one("c")), lambda method, params: outcomes[method])
        self.assertEqual((found[0], found[1]["faultCode"], found[2]), ([1], -32500, [3]))

    def test_depth_counts_from_the_answer_on(self) -> None:
        result: list[Any] = []
        for _ in range(MAX_DEPTH - 1):
            result = [result]
        self.assertEqual(self.ask(call_of("f"), lambda method, params: result), result)
        self.assertEqual(self.ask(multicall_of(one("f")), lambda method, params: result)[0]["faultCode"], -32500)
        self.assertEqual(self.ask(multicall_of(one("f")), lambda method, params: result[0][0]), [[result[0][0]]])

    def test_works_without_introspection(self) -> None:
        self.assertEqual(result_of(answer(multicall_of(one("echo", 1)), views)), [[1]])


class IntrospectionTests(EngineTestCase):
    def test_names(self) -> None:
        names = ["echo", "math.add", "system.listMethods", "system.methodHelp", "system.methodSignature"]
        self.assertEqual(self.ask(call_of("system.listMethods")), [*names, "system.multicall"])

    def test_help(self) -> None:
        self.assertEqual(self.ask(call_of("system.methodHelp", "math.add")), "Add numbers.")
        self.assertEqual(self.ask(call_of("system.methodHelp", "echo")), "")
        self.assertIn("calls", self.ask(call_of("system.methodHelp", "system.multicall")))

    def test_signatures_are_not_declared(self) -> None:
        self.assertEqual(self.ask(call_of("system.methodSignature", "math.add")), "undef")

    def test_unknown_methods(self) -> None:
        for method in ("system.methodHelp", "system.methodSignature"):
            self.assertEqual(self.fault(call_of(method, "no.such")).faultCode, -32601)

    def test_wrong_arguments(self) -> None:
        for body in (
            call_of("system.listMethods", 1),
            call_of("system.methodHelp"),
            call_of("system.methodHelp", 1),
            call_of("system.methodHelp", []),
            call_of("system.methodSignature", "a", "b"),
        ):
            self.assertEqual(self.fault(body).faultCode, -32602)

    def test_other_names_of_system_are_the_application_s(self) -> None:
        self.assertEqual(read(call_of("system.uptime"), METHODS).calls, (Call("system.uptime", ()),))

    def test_without_methods_there_is_none(self) -> None:
        error = self.assertRaises(Fault, result_of, answer(call_of("system.listMethods"), views))
        self.assertEqual(error.faultCode, -32601)

    def test_methods_are_asked_when_needed(self) -> None:
        class Never:
            def __iter__(self) -> Iterator[str]:
                raise AssertionError

            def get(self, name: str, /) -> str | None:
                raise AssertionError

        self.assertEqual(result_of(answer(call_of("echo", 1), views, Never())), 1)


class RefusalTests(EngineTestCase):
    def test_the_reason_is_told_and_no_view_is_asked(self) -> None:
        for body, code in (
            (b"", -32700),
            (b"<methodCall>", -32700),
            (b"<methodCall/>", -32600),
            (b"<params/>", -32600),
            (xmlrpc.client.dumps((1,), methodresponse=True).encode(), -32600),
            (xmlrpc.client.dumps(Fault(1, "x")).encode(), -32600),
            (b"<?xml version='1.0' encoding='euc-kr'?><methodCall/>", -32701),
            (b"\xff\xfe<", -32702),
            (LAUGHS.encode(), -32700),
            (call_of("f", 1).replace(b"<int>1", b"<int>" + b"9" * 100_000), -32600),
        ):
            plan = read(body)
            self.assertEqual(plan.calls, ())
            assert plan.refusal is not None
            self.assertEqual(plan.refusal.faultCode, code, body[:80])
            fault = self.assertRaises(Fault, result_of, write(plan, []))
            self.assertEqual((fault.faultCode, fault.faultString), (code, plan.refusal.faultString))

    def test_what_can_be_run_is_not_refused(self) -> None:
        for body in (call_of("f"), multicall_of(one("a b")), multicall_of(), call_of("system.listMethods")):
            self.assertIsNone(read(body, METHODS).refusal)

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(
        st.binary()
        | st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode())
        | st.tuples(
            st.sampled_from([call_of("math.add", 1, {"a": [b"x"]}), multicall_of(one("echo", 1))]), st.randoms()
        ).map(lambda drawn: _damaged(*drawn))
    )
    def test_any_body_has_an_answer(self, body: bytes) -> None:
        is_call(body)
        try:
            result_of(answer(body, views, METHODS))
        except Fault:
            pass


class SniffTests(SynchronousTestCase):
    def test_calls_are_told_from_other_documents(self) -> None:
        for body in (call_of("f"), LAUGHS.encode(), b"<methodCall>"):
            self.assertTrue(is_call(body))
        for body in (b"", b"<params/>", b"{}", b"<svg><methodCall/></svg>"):
            self.assertFalse(is_call(body))


def _damaged(body: bytes, random: Any) -> bytes:
    """Return a body with some bytes cut out, doubled or replaced."""
    damaged = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(damaged) or 1)
        piece = damaged[at : at + random.randint(0, 30)]
        damaged[at : at + random.randint(0, 30)] = random.choice([b"", piece * 2, bytes([random.randrange(256)])])
    return bytes(damaged)
