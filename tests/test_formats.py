"""The formats of ``was``: JSON, XML-RPC parameters and protobuf messages, there and back."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xmlrpc.client
from collections import namedtuple
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.attributes import AttributeDictionary
from skitai.formats import fromgrpc, fromjson, fromxml, togrpc, tojson, toxml
from skitai.xmlreader import XMLError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class JsonTests(SynchronousTestCase):
    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(PLAIN)
    def test_plain_values_are_written_as_json_does(self, value: Any) -> None:
        self.assertEqual(tojson(value), json.dumps(value))
        self.assertEqual(fromjson(tojson(value)), value)

    def test_dates_and_times_are_iso_8601(self) -> None:
        moment = datetime(2024, 2, 29, 12, 30, 5, 250000, timezone.utc)
        self.assertEqual(tojson(moment), '"2024-02-29T12:30:05.250000+00:00"')
        self.assertEqual(tojson([date(2024, 2, 29), time(12, 30)]), '["2024-02-29", "12:30:00"]')

    def test_exact_numbers_and_ids_are_texts(self) -> None:
        self.assertEqual(tojson(Decimal("1.10")), '"1.10"')
        self.assertEqual(tojson(UUID(int=1)), '"00000000-0000-0000-0000-000000000001"')

    def test_sets_and_tuples_are_arrays(self) -> None:
        self.assertEqual(tojson({3, 1, 2}), "[1, 2, 3]")
        self.assertEqual(tojson(frozenset(("b", "a"))), '["a", "b"]')
        self.assertEqual(sorted(fromjson(tojson({1, "a"})), key=str), [1, "a"])
        self.assertEqual(tojson((1, (2,))), "[1, [2]]")

    def test_attribute_dictionaries_are_objects(self) -> None:
        self.assertEqual(tojson(AttributeDictionary(a=AttributeDictionary(b=1))), '{"a": {"b": 1}}')

    def test_text_stays_in_ascii(self) -> None:
        self.assertEqual(tojson("\u2028\ud55c"), '"\\u2028\\ud55c"')

    def test_bytes_are_refused_with_what_to_do(self) -> None:
        for value in (b"x", bytearray(b"x"), memoryview(b"x"), {"deep": [b"x"]}):
            error = self.assertRaises(TypeError, tojson, value)
            self.assertIn("decode", str(error))

    def test_what_has_no_form_is_named(self) -> None:
        error = self.assertRaises(TypeError, tojson, [object()])
        self.assertEqual(str(error), "a value of type object has no form in JSON")

    def test_a_value_that_holds_itself_is_refused(self) -> None:
        value: list[Any] = []
        value.append(value)
        self.assertRaises(ValueError, tojson, value)

    def test_numbers_that_are_none_are_refused(self) -> None:
        for value, name in ((math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")):
            for whole in (value, [1.5, {"NaN": value}], {value}):
                error = self.assertRaises(ValueError, tojson, whole)
                self.assertEqual(str(error), f"{name} has no form in JSON")
            self.assertRaises(ValueError, tojson, {value: 1})

    def test_no_json_is_a_value_error(self) -> None:
        for text in ("", "{", b"\xff\xfe\xfd", b'"\xe9"', "[1,]", "1" * 5000 + "x", "[" * 200_000, '{"a":' * 200_000):
            self.assertRaises(ValueError, fromjson, text)

    def test_bytes_are_decoded(self) -> None:
        for encoding in ("utf-8", "utf-16", "utf-32"):
            self.assertEqual(fromjson('"\ud55c"'.encode(encoding)), "\ud55c")


class XmlTests(SynchronousTestCase):
    def test_a_tuple_is_the_parameters(self) -> None:
        self.assertEqual(xmlrpc.client.loads(toxml((1, "a", [2]))), ((1, "a", [2]), None))
        self.assertEqual(xmlrpc.client.loads(toxml(())), ((), None))

    def test_anything_else_is_one_parameter(self) -> None:
        for value in (1, "a", [1, 2], {"a": 1}):
            self.assertEqual(xmlrpc.client.loads(toxml(value)), ((value,), None))
        row = namedtuple("row", "a b")(1, 2)
        self.assertEqual(xmlrpc.client.loads(toxml(row)), (([1, 2],), None))

    def test_one_value_comes_back_as_itself_several_as_a_tuple(self) -> None:
        self.assertEqual(fromxml(toxml([1, 2])), [1, 2])
        self.assertEqual(fromxml(toxml(([1, 2],))), [1, 2])
        self.assertEqual(fromxml(toxml((1, 2))), (1, 2))
        self.assertEqual(fromxml(toxml(())), ())

    def test_bytes_and_text_are_read(self) -> None:
        self.assertEqual(fromxml(toxml("\ud55c")), "\ud55c")
        self.assertEqual(fromxml(toxml("\ud55c").encode()), "\ud55c")

    def test_dates_as_asked(self) -> None:
        moment = datetime(2024, 2, 29, 12, 30, 5)
        text = toxml(moment)
        self.assertEqual(fromxml(text, usedatetime=1), moment)
        self.assertIsInstance(fromxml(text), xmlrpc.client.DateTime)
        self.assertEqual(fromxml(text), moment)
        self.assertEqual(toxml(moment, 1), text)

    def test_calls_and_answers_are_read_too(self) -> None:
        self.assertEqual(fromxml(xmlrpc.client.dumps((1, 2), "add")), (1, 2))
        self.assertEqual(fromxml(xmlrpc.client.dumps((3,), methodresponse=True)), 3)

    def test_a_fault_is_raised(self) -> None:
        fault = self.assertRaises(xmlrpc.client.Fault, fromxml, xmlrpc.client.dumps(xmlrpc.client.Fault(4, "no")))
        self.assertEqual((fault.faultCode, fault.faultString), (4, "no"))

    def test_anything_else_is_a_value_error(self) -> None:
        for text in ("", "x", "<a/>", "<params>", '<!DOCTYPE params [<!ENTITY a "b">]><params/>', b"\xff"):
            self.assertRaises(XMLError, fromxml, text)
        self.assertTrue(issubclass(XMLError, ValueError))


class FakeMessage:
    """What protobuf generates, as far as needed."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def SerializeToString(self) -> bytes:
        return self.text.encode()

    def ParseFromString(self, serialized: bytes, /) -> int:
        self.text = serialized.decode()
        return len(serialized)


class GrpcTests(SynchronousTestCase):
    def test_a_message_becomes_bytes_and_back(self) -> None:
        self.assertEqual(togrpc(FakeMessage("abc")), b"abc")
        message = FakeMessage()
        self.assertIs(fromgrpc(b"abc", message), message)
        self.assertEqual(message.text, "abc")

    def test_what_is_no_message_is_named(self) -> None:
        self.assertIn("not dict", str(self.assertRaises(TypeError, togrpc, {})))
        self.assertIn("not dict", str(self.assertRaises(TypeError, fromgrpc, b"", {})))

    def test_a_class_is_no_message(self) -> None:
        self.assertIn("FakeMessage()", str(self.assertRaises(TypeError, fromgrpc, b"", FakeMessage)))
        self.assertIn("FakeMessage()", str(self.assertRaises(TypeError, togrpc, FakeMessage)))


class LightnessTests(SynchronousTestCase):
    def test_importing_takes_no_client_and_no_protobuf(self) -> None:
        code = "import sys, skitai.formats as f; f.fromxml(f.toxml({'a': [1]})); print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual({"xmlrpc.client", "google.protobuf", "decimal", "uuid"} & set(loaded), set())
