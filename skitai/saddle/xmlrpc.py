"""XML-RPC: calls read from a document, and the answer written from what the views have returned.

The engine runs no view. ``read`` turns a body into a ``Plan`` that lists the calls to make; whoever has the views runs
them, in their order, in a thread or as coroutines, and ``write`` makes the answer of what came of them::

    plan = xmlrpc.read(body, methods)
    outcomes = []
    for call in plan.calls:
        try:
            outcomes.append(await run(call.method, call.params))
        except Exception as error:
            outcomes.append(error)
    answer = xmlrpc.write(plan, outcomes, debug=debug, report=log)

Whatever the body is, the answer is a ``methodResponse``; its HTTP status is 200 and its content type ``text/xml``.
Faults have the codes of the "Specification for Fault Code Interoperability": what a view raises becomes one as
``fault_of`` says. ``system.multicall`` and the introspection are answered here; ``system.multicall`` is up to 1,000
calls that succeed or fail each for itself.

It must not know how a method finds its view, nor WSGI.

Layer S. Thread: any; a plan belongs to one request.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from xmlrpc.client import Fault

from skitai.errors import PeerError
from skitai.xmlreader import XMLError, read_xmlrpc, starts_as_call
from skitai.xmlwriter import dump_value, without_bad_characters

MAX_CALLS: Final = 1000
"""How many calls one ``system.multicall`` may hold."""

NOT_XMLRPC: Final = -32600
UNKNOWN_METHOD: Final = -32601
INVALID_PARAMETERS: Final = -32602
APPLICATION_ERROR: Final = -32500

_CODES: Final = {400: INVALID_PARAMETERS, 422: INVALID_PARAMETERS}
_METHOD: Final = re.compile(r"[\w.:/-]{1,255}")  # the characters of the specification, and letters of other scripts
_HEAD: Final = "<?xml version='1.0' encoding='utf-8'?>\n"


class MethodNotFound(PeerError):
    """No view answers to the name of a method: what runs the views raises it."""

    def __init__(self, method: str) -> None:
        super().__init__(404, f"there is no method {method!r}")


class Methods(Protocol):
    """The methods that introspection tells of; a dictionary of name to description is one."""

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""

    def get(self, name: str, /) -> str | None:
        """Return what a method does, "" where nobody has said so, None when there is no such method."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method.

    Attributes:
        method: Its name.
        params: Its parameters; dates are ``datetime``, base64 is ``bytes``, nil None.
    """

    method: str
    params: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """The result of a call that needs no view."""

    value: Any


Step: TypeAlias = "Call | Known | Fault"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a body asks for.

    Attributes:
        steps: The calls, some of which are answered already.
        is_multicall: Whether the answer is the list of their outcomes.
        calls: Those that are still to be made, in order.
    """

    steps: tuple[Step, ...]
    is_multicall: bool
    calls: tuple[Call, ...]

    @property
    def refusal(self) -> Fault | None:
        """Why the whole body is answered by a fault without any view being asked, for the log; or None."""
        first = self.steps[0] if self.steps and not self.is_multicall else None
        return first if isinstance(first, Fault) else None


Report: TypeAlias = Callable[[Call, BaseException], object]
"""Told of each call that failed for a reason that is not the client's: the call and the exception."""


def is_call(body: bytes) -> bool:
    """Return whether a body looks like an XML-RPC call, so that ``read`` should have it: its root is ``methodCall``.

    It is cheap, and true as well for a call that is cut off, or forbidden for its DOCTYPE.
    """
    return starts_as_call(body)


def read(body: bytes, methods: Methods | None = None) -> Plan:
    """Return what a body asks for; a body that can not be read is a plan whose answer is a fault.

    Args:
        body: The body, whose size was bounded.
        methods: What introspection tells of; None: there is no introspection.
    """
    try:
        message = read_xmlrpc(body)
    except XMLError as error:
        return _plan([Fault(error.code, str(error))])
    if message.method is None:
        return _plan([Fault(NOT_XMLRPC, "the document is no methodCall")])
    if message.method == "system.multicall":
        return _read_multicall(message.params, methods)
    return _plan([_step(message.method, message.params, methods)])


def write(plan: Plan, outcomes: Sequence[object], debug: bool = False, report: Report | None = None) -> bytes:
    """Return the answer of a plan.

    Args:
        plan: What was asked for.
        outcomes: For each of ``plan.calls`` what it has returned, or the exception that it has raised.
        debug: Whether the client is told what went wrong in the application.
        report: Told of each call that failed for a reason that is not the client's, or returned what can not be sent.

    Raises:
        ValueError: There are more outcomes than calls, or fewer.
    """
    if len(outcomes) != len(plan.calls):
        raise ValueError(f"{len(plan.calls)} calls have {len(outcomes)} outcomes")
    writer = _Writer(debug, report, depth=2 if plan.is_multicall else 0)
    remaining = iter(outcomes)
    pieces = [writer.write(step, next(remaining) if isinstance(step, Call) else step) for step in plan.steps]
    if plan.is_multicall:
        # A result stands in an array of its own, so that it can be told from the struct of a fault.
        items = [value if failed else f"<value><array><data>{value}</data></array></value>" for value, failed in pieces]
        pieces = [(f"<value><array><data>{''.join(items)}</data></array></value>", False)]
    [(value, failed)] = pieces
    body = f"<fault>{value}</fault>" if failed else f"<params><param>{value}</param></params>"
    return f"{_HEAD}<methodResponse>{body}</methodResponse>".encode()


def fault_of(error: BaseException, debug: bool = False) -> Fault:
    """Return the fault that an exception is answered with.

    A ``Fault`` is itself; ``MethodNotFound`` has the code -32601; a ``PeerError`` with status 400 or 422, as wrong
    arguments have, -32602; any other one its HTTP status, and its message. Anything else is -32500 without a word of
    its text, unless ``debug``.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, MethodNotFound):
        return Fault(UNKNOWN_METHOD, str(error))
    if isinstance(error, PeerError):
        return Fault(_CODES.get(error.status, error.status), str(error))
    if debug:
        return Fault(APPLICATION_ERROR, "".join(traceback.format_exception_only(type(error), error)).strip())
    return Fault(APPLICATION_ERROR, "the method failed")


def _plan(steps: Sequence[Step], is_multicall: bool = False) -> Plan:
    return Plan(tuple(steps), is_multicall, tuple(step for step in steps if isinstance(step, Call)))


def _step(method: str, params: tuple[Any, ...], methods: Methods | None) -> Step:
    if _METHOD.fullmatch(method) is None:
        return Fault(NOT_XMLRPC, "the name of the method is empty, too long, or has characters that no name has")
    if methods is not None and method in _INTROSPECTION:
        return _introspect(method, params, methods)
    return Call(method, params)


def _read_multicall(params: tuple[Any, ...], methods: Methods | None) -> Plan:
    match params:
        case [[*wanted]]:
            if len(wanted) > MAX_CALLS:
                return _plan([Fault(INVALID_PARAMETERS, f"system.multicall takes {MAX_CALLS:,} calls at most")])
            return _plan([_read_one(struct, methods) for struct in wanted], is_multicall=True)
    return _plan([Fault(INVALID_PARAMETERS, "system.multicall takes one array of structs")])


def _read_one(struct: object, methods: Methods | None) -> Step:
    match struct:
        case {"methodName": "system.multicall"}:
            return Fault(INVALID_PARAMETERS, "system.multicall can not call itself")
        case {"methodName": str(method), "params": [*params]}:
            return _step(method, tuple(params), methods)
    return Fault(INVALID_PARAMETERS, "a call in system.multicall is a struct of methodName and params")


_INTROSPECTION: Final = {
    "system.listMethods": "Return the names of all methods.",
    "system.methodHelp": "Return what a method does.",
    "system.methodSignature": 'Return the types that a method takes and returns, "undef" as they are not declared.',
    "system.multicall": "Make several calls at once; return a list of [result] or fault for each.",
}


def _introspect(method: str, params: tuple[Any, ...], methods: Methods) -> Step:
    match method, params:
        case "system.listMethods", []:
            return Known(sorted({*methods, *_INTROSPECTION}))
        case (("system.methodHelp" | "system.methodSignature"), [str(name)]):
            text = _INTROSPECTION.get(name) or methods.get(name)
            if text is None:
                return Fault(UNKNOWN_METHOD, f"there is no method {name!r}")
            return Known(text if method == "system.methodHelp" else "undef")
    wanted = "no parameters" if method == "system.listMethods" else "one parameter, the name of a method"
    return Fault(INVALID_PARAMETERS, f"{method} takes {wanted}")


class _Writer:
    """Writes outcomes, and tells of those that the application should know of."""

    __slots__ = ("debug", "depth", "report")

    def __init__(self, debug: bool, report: Report | None, depth: int) -> None:
        self.debug = debug
        self.report = report
        self.depth = depth

    def write(self, step: Step, outcome: object) -> tuple[str, bool]:
        """Return a ``value`` element, and whether it is a fault's."""
        if isinstance(outcome, Known):
            outcome = outcome.value
        if not isinstance(outcome, BaseException):
            try:
                return dump_value(outcome, self.depth), False
            except Exception as error:  # also that of a class of the application with methods of its own
                return self.write(step, _unsendable(step, error))
        if isinstance(outcome, Fault):
            try:
                return _dump_fault(outcome), True
            except Exception as error:
                return self.write(step, _unsendable(step, error))
        if self.report is not None and isinstance(step, Call) and not isinstance(outcome, PeerError):
            self.report(step, outcome)
        return _dump_fault(fault_of(outcome, self.debug)), True


def _dump_fault(fault: Fault) -> str:
    if not isinstance(fault.faultCode, int):
        raise TypeError(f"the code of a fault must be a number, not {type(fault.faultCode).__qualname__}")
    text = without_bad_characters(str(fault.faultString))
    return dump_value({"faultCode": int(fault.faultCode), "faultString": text})


def _unsendable(step: Step, error: Exception) -> TypeError:
    name = step.method if isinstance(step, Call) else "the method"
    problem = TypeError(f"what {name} has returned can not be sent by XML-RPC: {error}")
    problem.__cause__ = error
    return problem
