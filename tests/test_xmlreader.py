"""Documents of XML-RPC, as clients send them and as attackers do."""

from __future__ import annotations

import xmlrpc.client
from datetime import datetime, timedelta, timezone
from time import process_time
from typing import Any
from xml.parsers import expat

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai import xmlreader
from skitai.xmlreader import (
    INVALID_CHARACTER,
    NOT_WELL_FORMED,
    NOT_XMLRPC,
    UNSUPPORTED_ENCODING,
    Message,
    XMLError,
    read_xmlrpc,
    root_at,
    starts_as_call,
)
from skitai.xmlwriter import MAX_DEPTH
from tests.test_xmlwriter import VALUES

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE methodCall [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    + "]><methodCall><methodName>&a12;</methodName></methodCall>"
)
BLOWUP = (
    f'<!DOCTYPE methodCall [<!ENTITY a "{"x" * 100_000}">]>'
    f"<methodCall><methodName>{'&a;' * 100_000}</methodName></methodCall>"
)
EXTERNAL = '<!DOCTYPE methodCall [<!ENTITY a SYSTEM "file:///etc/passwd">]><methodCall>&a;</methodCall>'
REMOTE = '<!DOCTYPE methodCall SYSTEM "http://127.0.0.1:9/x.dtd"><methodCall/>'
PARAMETER = '<!DOCTYPE methodCall [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]><methodCall/>'

TAGS = ("methodCall", "methodName", "params", "param", "value", "array", "data", "struct", "member", "name", "int")
PIECES = st.sampled_from(
    [
        *(f"<{tag}>" for tag in TAGS),
        *(f"</{tag}>" for tag in TAGS),
        "<nil/>",
        "<boolean>1</boolean>",
        "<double>1e5</double>",
        "<base64>AA==</base64>",
        "<dateTime.iso8601>20240101T00:00:00</dateTime.iso8601>",
        "<!-- -->",
        "<![CDATA[x]]>",
        "<!DOCTYPE a>",
        "&lt;",
        "&a;",
        "&#0;",
        " ",
        "7",
        "system.multicall",
    ]
)


def value(text: str, usedatetime: bool = True) -> Any:
    """Return what the content of one ``value`` is read as."""
    document = f"<params><param><value>{text}</value></param></params>"
    [only] = read_xmlrpc(document, usedatetime).params
    return only


class ReaderTests(SynchronousTestCase):
    def assert_refused(self, document: str | bytes, code: int = NOT_XMLRPC) -> None:
        error = self.assertRaises(XMLError, read_xmlrpc, document)
        self.assertEqual(error.code, code, f"{document[:80]!r}: {error}")
        self.assertLess(len(str(error)), 300)

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(st.lists(VALUES, max_size=3))
    def test_reads_what_the_standard_library_writes(self, values: list[Any]) -> None:
        def kept(value: Any) -> bool:  # the standard library writes neither i8 nor a return that is kept
            text = repr(value)
            return "\\r" not in text and not any(abs(n) >= 2**31 for n in _numbers(value))

        params = tuple(value for value in values if kept(value))
        document = xmlrpc.client.dumps(params, "a.b", allow_none=True)
        self.assertEqual(read_xmlrpc(document), Message("a.b", params))
        self.assertEqual(read_xmlrpc(document.encode()), Message("a.b", params))

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(st.lists(PIECES, max_size=20).map("".join) | st.text() | st.binary())
    def test_anything_is_read_or_refused(self, document: str | bytes) -> None:
        try:
            self.assertIsInstance(read_xmlrpc(document), Message)
        except XMLError:
            pass
        starts_as_call(document if isinstance(document, bytes) else document.encode("utf-8", "replace"))

    def test_scalars(self) -> None:
        for text, expected in (
            ("<int> 7 </int>", 7),
            ("<i4>-7</i4>", -7),
            ("<i1>+7</i1>", 7),
            ("<i8>9223372036854775807</i8>", 2**63 - 1),
            ("<ex:i8 xmlns:ex='u'>-9223372036854775808</ex:i8>", -(2**63)),
            ("<double>-1.5</double>", -1.5),
            ("<double>.5</double>", 0.5),
            ("<float>1e-5</float>", 1e-5),
            ("<boolean>1</boolean>", True),
            ("<nil/>", None),
            ("<ex:nil/>", None),
            ("<base64>\nAP\n8=\n</base64>", b"\0\xff"),
            ("<string> a &lt; <![CDATA[<b>]]></string>", " a < <b>"),
            ("<string/>", ""),
            (" untyped ", " untyped "),
            ("", ""),
            ("<array/>", []),
            ("<array> <data/> </array>", []),
            ("<struct/>", {}),
        ):
            found = value(text)
            self.assertEqual(found, expected, text)
            self.assertIs(type(found), type(expected))

    def test_dates(self) -> None:
        moment = datetime(2024, 2, 29, 1, 2, 3)
        for text in ("20240229T01:02:03", "2024-02-29T01:02:03", " 20240229T010203 ", "20240229T01:02:03.25"):
            self.assertEqual(value(f"<dateTime.iso8601>{text}</dateTime.iso8601>"), moment)
        for zone, hours in (("Z", 0), ("+09:00", 9), ("-0330", -3.5)):
            found = value(f"<dateTime.iso8601>20240229T01:02:03{zone}</dateTime.iso8601>")
            self.assertEqual(found, moment.replace(tzinfo=timezone(timedelta(hours=hours))))
        found = value("<dateTime.iso8601>20240229T01:02:03</dateTime.iso8601>", usedatetime=False)
        self.assertEqual(found, xmlrpc.client.DateTime("20240229T01:02:03"))

    def test_scalars_that_are_none(self) -> None:
        for text in (
            "<int/>",
            "<int>1.5</int>",
            "<int>1_000</int>",
            "<int>\u0661</int>",
            "<i8>9223372036854775808</i8>",
            f"<int>{'9' * 100_000}</int>",
            "<double>nan</double>",
            "<double>inf</double>",
            "<double>1e999</double>",
            "<double>1e99999</double>",
            f"<double>{'9' * 100_000}</double>",
            "<boolean>true</boolean>",
            "<nil>1</nil>",
            "<base64>A</base64>",
            "<base64>\u00e9</base64>",
            "<dateTime.iso8601>20240230T00:00:00</dateTime.iso8601>",
            "<dateTime.iso8601>20240229T00:00:00+99:00</dateTime.iso8601>",
            "<dateTime.iso8601>now</dateTime.iso8601>",
            "<bigdecimal>1e999999999</bigdecimal>",
        ):
            self.assert_refused(f"<params><param><value>{text}</value></param></params>")

    def test_elements_stand_where_they_belong(self) -> None:
        for document in (
            "<methodcall/>",
            "<html/>",
            "<methodCall/>",
            "<methodCall><params/></methodCall>",
            "<methodCall>x<methodName>a</methodName></methodCall>",
            "<methodCall><methodName>a</methodName>x</methodCall>",
            "<methodCall><methodName>a</methodName><params/><params/></methodCall>",
            "<methodCall><methodName><b>a</b></methodName></methodCall>",
            "<methodResponse/>",
            "<methodResponse><params/></methodResponse>",
            "<methodResponse><fault><value>no</value></fault></methodResponse>",
            "<methodResponse><fault><value><struct/></value></fault></methodResponse>",
            "<params><value/></params>",
            "<params><param/></params>",
            "<params><param><int>1</int></param></params>",
            "<params><param><value><int>1</int><int>2</int></value></param></params>",
            "<params><param><value>1<int>1</int></value></param></params>",
            "<params><param><value><int>1</int>1</value></param></params>",
            "<params><param><value><value/></value></param></params>",
            "<params><param><value><array><value/></array></value></param></params>",
            "<params><param><value><array><data/><data/></array></value></param></params>",
            "<params><param><value><struct><value/></struct></value></param></params>",
            "<params><param><value><struct><member/></struct></value></param></params>",
            "<params><param><value><struct><member><name>a</name></member></struct></value></param></params>",
            "<params><param><value><struct><member><value/><name/></member></struct></value></param></params>",
        ):
            self.assert_refused(document)

    def test_a_call_needs_no_params(self) -> None:
        document = "<methodCall>\n <methodName> a.b </methodName>\n</methodCall>\n<!-- end -->"
        self.assertEqual(read_xmlrpc(document), Message("a.b"))

    def test_a_fault(self) -> None:
        fault = read_xmlrpc(xmlrpc.client.dumps(xmlrpc.client.Fault(-1, "<no>"))).fault
        assert fault is not None
        self.assertEqual((fault.faultCode, fault.faultString), (-1, "<no>"))

    def test_what_is_not_well_formed(self) -> None:
        for document in (
            "",
            " ",
            "x",
            "<methodCall>",
            "<params></param>",
            "<params/><params/>",
            "<params>&a;</params>",
        ):
            self.assert_refused(document, NOT_WELL_FORMED)
        for character in ("&#0;", "\0", "&#xFFFE;", "\x08"):
            self.assert_refused(f"<params><param><value>{character}</value></param></params>", NOT_WELL_FORMED)
        self.assert_refused(b"<params><param><value>\xff</value></param></params>", NOT_WELL_FORMED)


class EncodingTests(SynchronousTestCase):
    DOCUMENT = "<?xml version='1.0'{}?><params><param><value>caf\u00e9</value></param></params>"

    def assert_read(self, document: str | bytes) -> None:
        self.assertEqual(read_xmlrpc(document).params, ("caf\u00e9",))

    def test_encodings_that_are_declared(self) -> None:
        for name in ("utf-8", "UTF-8", "iso-8859-1", "windows-1252"):
            document = self.DOCUMENT.format(f' encoding="{name}" standalone="yes"')
            self.assert_read(document.encode(name))

    def test_utf_8_and_utf_16_need_no_declaration(self) -> None:
        document = self.DOCUMENT.format("")
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
            self.assert_read(document.encode(encoding))

    def test_a_text_is_decoded_already(self) -> None:
        self.assert_read(self.DOCUMENT.format(" encoding='utf-16'"))
        self.assert_read(self.DOCUMENT.format(" encoding='no-such'"))

    def test_other_encodings_are_refused(self) -> None:
        for name in ("utf-7", "euc-kr", "no-such", "utf-32", "rot13"):
            error = self.assertRaises(XMLError, read_xmlrpc, self.DOCUMENT.format(f" encoding='{name}'").encode())
            self.assertEqual(error.code, UNSUPPORTED_ENCODING)

    def test_what_the_encoding_has_not(self) -> None:
        for document in (b"\xff\xfe<", b"\xfe\xff\xd8\0\0<", "<params>\ud800</params>"):
            error = self.assertRaises(XMLError, read_xmlrpc, document)
            self.assertEqual(error.code, INVALID_CHARACTER)
        body = self.DOCUMENT.format(" encoding='windows-1252'").encode("latin-1").replace(b"\xe9", b"\x81")
        self.assertEqual(self.assertRaises(XMLError, read_xmlrpc, body).code, INVALID_CHARACTER)


class HostileTests(SynchronousTestCase):
    """Each is refused, and quickly: the bound is far above what it takes, far below what expanding would."""

    def assert_refused_quickly(self, document: str | bytes, code: int) -> None:
        begin = process_time()
        error = self.assertRaises(XMLError, read_xmlrpc, document)
        self.assertLess(process_time() - begin, 2.0)
        self.assertEqual(error.code, code, error)

    def test_no_entity_is_declared(self) -> None:
        for document in (LAUGHS, BLOWUP, EXTERNAL, REMOTE, PARAMETER):
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be"):
                self.assert_refused_quickly(document.encode(encoding), NOT_WELL_FORMED)
                self.assert_refused_quickly(f"<!-- > -->\n<?a ?><?b <?>{document}".encode(encoding), NOT_WELL_FORMED)
            self.assert_refused_quickly(document, NOT_WELL_FORMED)

    def test_the_refusal_names_the_doctype(self) -> None:
        for document in (LAUGHS, f" <!---->{LAUGHS.partition('?>')[2]}"):
            self.assertIn("DOCTYPE", str(self.assertRaises(XMLError, read_xmlrpc, document)))

    def test_a_doctype_is_refused_before_expat_sees_it(self) -> None:
        self.patch(expat, "ParserCreate", None)
        self.assert_refused_quickly(LAUGHS, NOT_WELL_FORMED)

    def test_expat_refuses_it_too(self) -> None:
        self.patch(xmlreader, "root_at", len)
        for document in (EXTERNAL, REMOTE, PARAMETER, "<!DOCTYPE params><params/>"):
            self.assert_refused_quickly(document, NOT_WELL_FORMED)

    def test_deep_nesting(self) -> None:
        for opening in ("<value><array><data>", "<value><struct><member><name>a</name>"):
            document = "<methodCall><methodName>a</methodName><params><param>" + opening * 100_000
            self.assert_refused_quickly(document, NOT_XMLRPC)
        self.assert_refused_quickly("<params>" * 1_000_000, NOT_XMLRPC)
        self.assert_refused_quickly("<params>" + "<a>" * 1_000_000, NOT_XMLRPC)

    def test_depth_is_the_same_for_reading_and_writing(self) -> None:
        for opening, closing in (
            ("<value><array><data>", "</data></array></value>"),
            ("<value><struct><member><name>a</name>", "</member></struct></value>"),
        ):

            def document(depth: int, opening: str = opening, closing: str = closing) -> str:
                inner = f"{opening * depth}<value><int>1</int></value>{closing * depth}"
                return f"<methodResponse><params><param>{inner}</param></params></methodResponse>"

            self.assertEqual(len(read_xmlrpc(document(MAX_DEPTH)).params), 1)
            self.assert_refused_quickly(document(MAX_DEPTH + 1), NOT_XMLRPC)
            empty = document(MAX_DEPTH).replace("<int>1</int>", "<array><data/></array>")
            self.assert_refused_quickly(empty, NOT_XMLRPC)

    def test_endless_prologs(self) -> None:
        for piece in ("<!---->", "<?a?>", "<!--", "<?", " ", "<!", "<?xml "):
            document = (piece * (5_000_000 // len(piece))).encode()
            begin = process_time()
            self.assertRaises(XMLError, read_xmlrpc, document)
            self.assertFalse(starts_as_call(document))
            self.assertLess(process_time() - begin, 0.5, piece)

    def test_long_winded_prologs(self) -> None:
        self.assertEqual(read_xmlrpc("<!--->-->" * 99 + "<params/>"), Message())
        self.assertEqual(root_at(b"<?a?> " * 101 + b"<params/>"), 101 * 6 + 9)

    def test_many_attributes(self) -> None:
        document = "<params " + " ".join(f"a{n}='1'" for n in range(50_000)) + "/>"
        self.assertEqual(read_xmlrpc(document), Message())


class SniffTests(SynchronousTestCase):
    def test_calls(self) -> None:
        for document in (
            "<methodCall><methodName>a</methodName></methodCall>",
            "<?xml version='1.0'?>\r\n<!-- <a> --> <?pi?>\n<methodCall >",
            "<methodCall",
            "<methodCall/>",
            "<x:methodCall>",
            LAUGHS,
            "<!DOCTYPE lolz []><methodCall>",
        ):
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
                self.assertTrue(starts_as_call(document.encode(encoding)), (document, encoding))

    def test_anything_else(self) -> None:
        for document in (
            "",
            "methodCall",
            "<methodCalls>",
            "<methodResponse/>",
            "<a><methodCall/></a>",
            "<!-- <methodCall> -->",
            "<!-- <methodCall>",
            "<!--><methodCall/>-->",
            "<!DOCTYPE html><html/>",
            "text <methodCall>",
        ):
            for encoding in ("utf-8", "utf-16"):
                self.assertFalse(starts_as_call(document.encode(encoding)), (document, encoding))
        self.assertFalse(starts_as_call(b"\0\0\0\0"))


def _numbers(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) else []
