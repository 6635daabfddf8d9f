"""``skitai.was.xmlrpc``: the documents of calls and of their answers."""

from __future__ import annotations

import datetime
import xmlrpc.client
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer
from skitai.was.xmlrpc import decode, encode
from tests.was.doubles import answer

VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF))
    | st.binary(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text("abc<&", max_size=4), values, max_size=4),
    max_leaves=12,
)


class EncodeTests(SynchronousTestCase):
    def test_what_others_read(self) -> None:
        when = datetime.datetime(2020, 1, 2, 3, 4, 5)
        document = encode("math.add", (1, "a<&b", [True, 1.5], {"a": b"\0\xff"}, when))
        params, method = xmlrpc.client.loads(document.decode(), use_builtin_types=True)
        self.assertEqual(method, "math.add")
        self.assertEqual(params, (1, "a<&b", [True, 1.5], {"a": b"\0\xff"}, when))

    def test_no_parameters(self) -> None:
        self.assertEqual(xmlrpc.client.loads(encode("now", ()).decode()), ((), "now"))

    def test_a_name_can_not_break_out(self) -> None:
        document = encode("</methodName><x>&", ())
        self.assertEqual(xmlrpc.client.loads(document.decode())[1], "</methodName><x>&")
        for name in ("a\0b", "a\r\nb", "a b", "a\ufffe"):
            error = self.assertRaises(ValueError, encode, name, ())
            self.assertIn(repr(name), str(error))

    def test_what_has_no_form(self) -> None:
        for value in (object(), {1: 2}, [object()]):
            self.assertRaises((TypeError, ValueError), encode, "add", (value,))


class DecodeTests(SynchronousTestCase):
    def decode(self, document: str | bytes, status: int = 200) -> Any:
        content = document.encode() if isinstance(document, str) else document
        return decode(answer(content, "text/xml", status))

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(VALUES)
    def test_what_others_write(self, value: Any) -> None:
        document = xmlrpc.client.dumps((value,), methodresponse=True, encoding="utf-8", allow_none=True)
        self.assertEqual(self.decode(document), value)

    def test_a_fault(self) -> None:
        document = xmlrpc.client.dumps(xmlrpc.client.Fault(4, "too many"))
        self.assertEqual(self.assertRaises(xmlrpc.client.Fault, self.decode, document).faultCode, 4)

    def test_what_is_none(self) -> None:
        call = xmlrpc.client.dumps((1,), "add")
        for document in ("", "<", call, "<params></params>", "<methodResponse><params/></methodResponse>"):
            self.assertIn("a.example", str(self.assertRaises(BadAnswer, self.decode, document)))

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(st.binary(max_size=200))
    def test_garbage(self, content: bytes) -> None:
        self.assertRaises(BadAnswer, self.decode, content)

    def test_another_status(self) -> None:
        self.assertEqual(self.decode(b"nobody", 404), b"nobody")
