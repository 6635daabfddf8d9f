"""Requests with bodies, credentials and redirects: what the back end receives."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
import xmlrpc.client
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.requestbox import FRONT, world
from tests.functional.saddlebox import each, tables


def parts_of(data: dict[str, Any]) -> list[tuple[str, str | None, str | None, Any]]:
    """Return name, file name, media type and content of each part of a form as echoed."""
    head = f"Content-Type: {data['headers']['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + data["body"].encode("latin-1"), policy=HTTP)
    found = []
    for part in message.iter_parts():
        disposition = str(part["Content-Disposition"])
        name = re.search(r'; name="([^"]*)"', disposition)
        file = re.search(r'filename="([^"]*)"', disposition)
        kind = part["Content-Type"]
        content = part.get_payload(decode=True)
        found.append((name[1] if name else "", file[1] if file else None, kind and str(kind), content))
    return found


@tables
class Bodies(SynchronousTestCase):
    def sent(self, request: str) -> tuple[str, str, dict[str, Any]]:
        data = FRONT.do(f"{request}.getwait(5).data")
        return data["body"], data["headers"].get("content-type", ""), data

    @each("post", "put", "patch", "postjson", "putjson", "patchjson")
    def test_a_dictionary_is_json(self, verb: str) -> None:
        body, kind, data = self.sent(f"was.{verb}(A + '/echo?x=1', {{'user': 'Hans é', 'n': [1, None]}})")
        self.assertEqual(json.loads(body.encode("latin-1")), {"user": "Hans \u00e9", "n": [1, None]})
        self.assertEqual(kind.split(";")[0], "application/json")
        self.assertEqual(data["headers"]["content-length"], str(len(body)))
        self.assertEqual((data["query"], data["method"].lower()), ("x=1", verb.replace("json", "")))

    @each("postform", "putform", "patchform")
    def test_a_form(self, verb: str) -> None:
        body, kind, data = self.sent(f"was.{verb}(A + '/echo', {{'a': 'x y&é', 'n': 1, 'l': [1, 2]}})")
        self.assertEqual(urllib.parse.parse_qsl(body), [("a", "x y&\u00e9"), ("n", "1"), ("l", "1"), ("l", "2")])
        self.assertEqual(kind.split(";")[0], "application/x-www-form-urlencoded")
        self.assertEqual(data["method"].lower(), verb.replace("form", ""))

    @each(
        ("post", "'text é'", "text \u00e9"),
        ("post", "b'\\x00\\xff'", "\x00\xff"),
        ("put", "b'bytes'", "bytes"),
        ("patch", "'text'", "text"),
        ("post", "bytearray(b'x')", "x"),
        ("post", "io.BytesIO(b'file')", "file"),
        ("put", "open(HERE + '/doing.py', 'rb')", None),
        ("postform", "'a=1&b=2'", "a=1&b=2"),
        ("post", "b''", ""),
        ("post", "''", ""),
        ("post", "None", ""),
        ("post", "{}", "{}"),
        ("post", "[1, 2]", "[1, 2]"),
        ("delete", "None", ""),
    )
    def test_other_data(self, verb: str, data: str, expected: str | None) -> None:
        body, kind, seen = self.sent(f"was.{verb}(A + '/echo', {data})")
        if expected is None:
            self.assertIn("def view_of", body)
        elif expected[:1] == "[":
            self.assertEqual(json.loads(body), [1, 2])
        else:
            self.assertEqual(body.encode("latin-1").decode("utf-8" if "é" in data else "latin-1"), expected)
        if body:
            self.assertTrue(kind)
        elif verb == "post":
            self.assertEqual(seen["headers"].get("content-length"), "0")

    @each(
        ("was.post(A + '/echo', b'x', headers={'Content-Type': 'image/png'})", "image/png"),
        ("was.post(A + '/echo', 'x', None, {'content-type': 'text/x'})", "text/x"),
        ("was.post(A + '/echo', {'a': 1}, headers=[('Content-Type', 'application/vnd.api+json')])",
         "application/vnd.api+json"),
    )  # fmt: skip
    def test_a_content_type_given_wins(self, request: str, kind: str) -> None:
        data = FRONT.do(f"{request}.getwait(5).data")
        self.assertEqual([v for n, v in data["fields"] if n.lower() == "content-type"], [kind])

    @each("Host: x", "Content-Length: 5", "Transfer-Encoding: chunked")
    def test_framing_is_not_the_caller_s(self, field: str) -> None:
        """A field of framing is refused, or one right one is sent."""
        name, _, value = field.partition(": ")
        code = f"""
            try:
              return was.post(A + '/echo', b'xyz', headers={{{name!r}: {value!r}}}).getwait(3).data
            except ValueError as error:
              return str(error)
        """
        data = FRONT.do(code)
        if isinstance(data, str):
            self.assertIn(name.lower(), data.lower())
        else:
            self.assertEqual(data["body"], "xyz")
            self.assertLessEqual(len([n for n, _ in data["fields"] if n.lower() == name.lower()]), 1)

    def test_postxml(self) -> None:
        for value in ("(1, 'é')", "{'a': 1}"):
            body, kind, _ = self.sent(f"was.postxml(A + '/echo', {value})")
            params, method = xmlrpc.client.loads(body.encode("latin-1"))
            self.assertEqual(params, (1, "\u00e9") if value[0] == "(" else ({"a": 1},))
            self.assertIsNone(method)
            self.assertEqual(kind.split(";")[0], "text/xml")

    def test_postnvp(self) -> None:
        body, kind, _ = self.sent("was.postnvp(A + '/echo', {'a': 1, 'b': 'two'})")
        self.assertEqual(kind.split(";")[0], "text/namevalue")
        self.assertEqual(body.split(), ["a=1", "b=two"])

    def test_upload_of_fields_and_files(self) -> None:
        code = """
            with open(HERE + '/up.txt', 'wb') as f:
              f.write(b'from a path')
            return was.upload(A + '/echo', {'field': 'é', 'n': 5, 'file': open(HERE + '/up.txt', 'rb')}).getwait(5).data
        """
        data = FRONT.do(code)
        self.assertEqual(data["method"], "POST")
        self.assertTrue(data["headers"]["content-type"].startswith("multipart/form-data"))
        parts = parts_of(data)
        self.assertEqual([(name, file, content) for name, file, _, content in parts], [
            ("field", None, "\u00e9".encode()), ("n", None, b"5"), ("file", "up.txt", b"from a path")
        ])  # fmt: skip
        self.assertEqual(parts[2][2], "text/plain")

    def test_upload_of_names_that_would_break_out(self) -> None:
        code = """
            path = HERE + '/a"\\r\\nb.bin'
            with open(path, 'wb') as f:
              f.write(b'x')
            return was.upload(A + '/echo', {'q"\\r\\nX: y': 'v', 'f': open(path, 'rb')}).getwait(5).data
        """
        data = FRONT.do(code)
        self.assertEqual(len(parts_of(data)), 2)
        self.assertNotIn("\r\nX: y", data["body"])
        self.assertNotIn('a"\r\n', data["body"])

    def test_a_large_upload_is_streamed(self) -> None:
        size = 30_000_000
        digest = hashlib.sha256(b"0123456789" * (size // 10)).hexdigest()
        code = f"""
            with open(HERE + '/large.bin', 'wb') as f:
              f.write(b'0123456789' * {size // 10})
            return was.put(A + '/size', open(HERE + '/large.bin', 'rb')).getwait(9).data
        """
        self.assertEqual(FRONT.do(code)[:2], [size, digest])
        length, _, coded = FRONT.do("was.upload(A + '/size', {'f': open(HERE + '/large.bin', 'rb')}).getwait(9).data")
        self.assertEqual(coded, "")
        self.assertTrue(size < length < size + 1000, length)

    def test_a_file_is_sent_from_where_it_stands(self) -> None:
        code = "f = io.BytesIO(b'0123456789')\nf.seek(4)\nreturn was.post(A + '/echo', f).getwait(5).data['body']"
        self.assertIn(FRONT.do(code), ("456789",))

    def test_a_failed_upload_is_a_status(self) -> None:
        code = "r = was.upload(DEAD, {'f': io.BytesIO(b'x' * 1000)}).getwait(5)\nreturn r.status, r.status_code"
        self.assertEqual(FRONT.do(code), [2, 701])

    def test_the_data_is_read_at_the_call(self) -> None:
        """A dictionary changed after the call is sent as it was."""
        code = "d = {'a': 1}\nr = was.post(A + '/echo', d)\nd['a'] = 2\nreturn r.getwait(5).data['body']"
        self.assertEqual(json.loads(FRONT.do(code)), {"a": 1})


@tables
class Credentials(SynchronousTestCase):
    @each(
        ("was.get(A + '/basic', auth=('ann', 'sécret'))", 200),
        ("was.get(A + '/basic', auth=['ann', 'sécret'])", 200),
        ("was.get(A + '/basic', None, ('ann', 'sécret'))", 200),
        ("was.get(A + '/basic', auth=('ann', 'wrong'))", 401),
        ("was.get(A + '/basic')", 401),
        ("was.get(A.replace('//', '//ann:s%C3%A9cret@') + '/basic')", 200),
        ("was.get(A + '/digest/MD5', auth=('ann', 'secret'))", 200),
        ("was.get(A + '/digest/SHA-256', auth=('ann', 'secret'))", 200),
        ("was.get(A + '/digest/MD5?q=1', auth=('ann', 'secret'))", 200),
        ("was.get(A + '/digest/MD5', auth=('ann', 'wrong'))", 401),
        ("was.post(A + '/digest/MD5', {'a': 1}, auth=('ann', 'secret'))", 200),
        ("was.put(A + '/digest/MD5', io.BytesIO(b'again'), auth=('ann', 'secret'))", 200),
        ("was.get(A + '/digest/MD5', auth='token')", 401),
    )
    def test_credentials(self, request: str, number: int) -> None:
        self.assertEqual(FRONT.do(f"{request}.getwait(5).status_code"), number)

    def test_a_token(self) -> None:
        field = "was.get(A + '/echo', auth='to.ken').getwait(5).data['headers']['authorization']"
        self.assertEqual(FRONT.do(field), "Bearer to.ken")

    def test_credentials_are_not_shown(self) -> None:
        code = """
            req = was.get(A.replace('//', '//ann:hidden@') + '/echo', auth=None)
            r = req.getwait(5)
            return repr(req), repr(r), r.url, str(was.get(DEAD, auth=('ann', 'hidden')).getwait(3).reason)
        """
        self.assertNotIn("hidden", str(FRONT.do(code)))

    def test_they_are_gone_at_another_origin(self) -> None:
        for name in ("auth=('ann', 'x')", "auth='token'", "headers={'Authorization': 'Basic eDp5', 'Cookie': 'c=1'}"):
            data = FRONT.do(f"was.get(A + '/to/302?' + B + '/echo', {name}).getwait(5).data")
            self.assertEqual(data["port"], world().ports["B"])
            self.assertNotIn("authorization", data["headers"], name)
            self.assertNotIn("cookie", data["headers"], name)

    def test_they_stay_at_the_same_origin(self) -> None:
        data = FRONT.do("was.get(A + '/to/302?/echo', auth='token', headers={'Cookie': 'c=1'}).getwait(5).data")
        self.assertEqual(data["headers"].get("authorization"), "Bearer token")

    def test_a_challenge_of_another_origin_gets_no_proof(self) -> None:
        for path in ("/digest/MD5", "/basic"):
            code = f"was.get(A + '/to/302?' + B + '{path}', auth=('ann', 'secret')).getwait(5).status_code"
            self.assertEqual(FRONT.do(code), 401)

    def test_cookies_do_not_stay_between_requests(self) -> None:
        code = "was.get(A + '/fields').wait(5)\nreturn 'cookie' in was.get(A + '/echo').getwait(5).data['headers']"
        self.assertFalse(FRONT.do(code))


@tables
class Redirects(SynchronousTestCase):
    @each(301, 302, 303, 307, 308)
    def test_get_follows(self, number: int) -> None:
        code = f"""
            r = was.get(A + '/to/{number}?/echo/there').getwait(5)
            return r.status_code, r.data['path'], r.url == A + '/echo/there'
        """
        self.assertEqual(FRONT.do(code), [200, "/echo/there", True])

    @each(301, 302, 303, 307, 308)
    def test_head_follows_as_head(self, number: int) -> None:
        code = f"""
            r = was.head(A + '/to/{number}?/big/100').getwait(5)
            return r.status_code, r.content, r.get_header('content-length')
        """
        self.assertEqual(FRONT.do(code), [200, "", "100"])

    @each("post", "put", "patch", "delete", "options")
    def test_others_do_not(self, verb: str) -> None:
        code = (
            f"r = was.{verb}(A + '/to/302?/echo').getwait(5)\nreturn r.status, r.status_code, r.get_header('location')"
        )
        self.assertEqual(FRONT.do(code), [3, 302, "/echo"])

    @each(
        ("/to/302?./../echo2", "/echo2"),
        ("/to/302?/echo%3Fa=1", "/echo"),
        ("/to/302?../echo/up", "/echo/up"),
        ("/to/302?%3Fecho", None),
    )
    def test_relative(self, path: str, expected: str | None) -> None:
        code = f"r = was.get(A + '{path}').getwait(5)\nreturn r.status, r.data['path'] if r.status == 3 else None"
        if expected is not None:
            self.assertEqual(FRONT.do(code), [3, expected])
        else:
            self.assertEqual(FRONT.do(code)[0], 2)

    def test_ten_are_followed_and_no_more(self) -> None:
        code = "return [was.get(A + '/down/%d' % n).getwait(5).status for n in (1, 10, 11)]"
        self.assertEqual(FRONT.do(code), [3, 3, 2])

    def test_to_tls_and_back(self) -> None:
        code = """
            requests = [was.get(A + '/to/302?' + T + '/port'), was.get(T + '/to/302?' + A + '/port')]
            return [r.getwait(5).text for r in requests]
        """
        self.assertEqual(FRONT.do(code), [str(world().ports["T"]), str(world().ports["A"])])

    def test_a_300_or_304_or_302_without_location_is_an_answer(self) -> None:
        self.assertEqual(FRONT.do("was.get(A + '/status/302').getwait(5).status_code"), 302)
        self.assertEqual(FRONT.do("was.get(A + '/status/300').getwait(5).status_code"), 300)


@tables
class TLS(SynchronousTestCase):
    @each(
        "was.get(T + '/echo')",
        "was.get(T.replace('localhost', '127.0.0.1') + '/echo')",
        "was.get('@tls/echo')",
        "was.get.lb('@tls/echo')",
        "was.get('@ssl/echo')",
        "was.get('@own/echo')",
        "was.get('@unverified/echo')",
        "was.post('@own/echo', {'a': 1})",
        "was.rpc('@own/rpc2').add(1, 2)",
    )
    def test_trusted(self, request: str) -> None:
        self.assertEqual(FRONT.do(f"r = {request}.getwait(5)\nreturn r.status, r.status_code, r.reason")[:2], [3, 200])

    def test_a_stranger_is_not(self) -> None:
        for request in ("was.get('@stranger/echo')", "was.post('@stranger/echo', {})", "was.get(OWN + '/echo')"):
            result = FRONT.do(f"r = {request}.getwait(5)\nreturn r.status, r.status_code, r.reason")
            self.assertEqual(result[0], 2)
            self.assertIn(result[1], (701, 705))
            self.assertIn("certificate", result[2].lower())
