"""Tests of ``skitai.testing.credentials``; the examples are those of the RFCs."""

from __future__ import annotations

import hashlib
import re

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.credentials import Digest, basic


def parameters(field: str) -> dict[str, str]:
    """Return the parameters of ``Authorization``, unquoted."""
    return {name: bare or text for name, text, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', field)}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class BasicTests(SynchronousTestCase):
    """RFC 7617."""

    def test_examples(self) -> None:
        """Section 2, and section 2.1 for UTF-8."""
        self.assertEqual(basic(("Aladdin", "open sesame")), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        self.assertEqual(basic(("test", "123\xa3")), "Basic dGVzdDoxMjPCow==")


class DigestTests(SynchronousTestCase):
    """RFC 7616."""

    def digest(self, *fields: str) -> Digest:
        digest = Digest.of(fields)
        assert digest is not None
        return digest

    def test_examples(self) -> None:
        """Section 3.9.1, for both algorithms."""
        nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
        for algorithm, response in (
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ):
            challenge = {"realm": "http-auth@example.org", "qop": "auth, auth-int", "nonce": nonce, "opaque": "o"}
            digest = Digest({**challenge, "algorithm": algorithm}, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
            found = parameters(digest.answer(("Mufasa", "Circle of Life"), "GET", "/dir/index.html"))
            self.assertEqual(found["response"], response)
            self.assertEqual((found["uri"], found["nc"], found["qop"]), ("/dir/index.html", "00000001", "auth"))
            self.assertEqual((found["algorithm"], found["nonce"], found["opaque"]), (algorithm, nonce, "o"))

    def test_count(self) -> None:
        """Each answer has the next number."""
        digest = self.digest('Digest realm="r", nonce="n", qop="auth"')
        fields = [parameters(digest.answer(("u", "p"), "GET", "/")) for _ in range(17)]
        self.assertEqual([fields[0]["nc"], fields[16]["nc"]], ["00000001", "00000011"])
        self.assertEqual(len({field["response"] for field in fields}), 17)

    def test_without_qop(self) -> None:
        """A challenge of RFC 2069 gets neither count nor client nonce."""
        found = parameters(self.digest('Digest realm="r", nonce="n"').answer(("u", "p"), "GET", "/"))
        expected = md5(f"{md5('u:r:p')}:n:{md5('GET:/')}")
        self.assertEqual(found, {"username": "u", "realm": "r", "nonce": "n", "uri": "/", "response": expected})

    def test_choice(self) -> None:
        """The first challenge that is understood is answered, however it is written."""
        fields = (
            'Basic realm="r"',
            'Digest realm="r", nonce="a", algorithm=SHA-512',
            'Digest realm="r"',
            'digest  realm="r, \\"q\\"",nonce="b",  algorithm=sha-256',
            'Digest realm="r", nonce="c", algorithm=MD5',
        )
        self.assertIn('nonce="b"', self.digest(*fields).answer(("u", "p"), "GET", "/"))
        self.assertIn(r'realm="r, \"q\""', self.digest(*fields).answer(("u", "p"), "GET", "/"))
        self.assertIsNone(Digest.of(fields[:3]))
        self.assertIsNone(Digest.of([]))

    def test_names(self) -> None:
        """Names are quoted, and in UTF-8."""
        field = self.digest('Digest realm="r", nonce="n"').answer(('\u4e2d"', "p"), "GET", "/")
        self.assertIn('username="\u4e2d\\""', field.encode("latin-1").decode())
