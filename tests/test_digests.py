"""What clients and servers compute alike; the examples are those of the RFCs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skitai.digests import ALGORITHMS, available, digest, quoted, request_digest, user_hash, wire

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


class DigestsTests(SynchronousTestCase):
    def test_examples_of_rfc_7616(self) -> None:
        """Section 3.9.1."""
        for algorithm, response in (
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ):
            key = user_hash(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")
            between = f"{NONCE}:00000001:{CNONCE}:auth"
            self.assertEqual(request_digest(algorithm, key, "GET", "/dir/index.html", between), response)

    def test_texts_beyond_ascii_are_utf_8(self) -> None:
        self.assertEqual(user_hash("MD5", "ä", "ö", "ü"), digest("MD5", "ä:ö:ü".encode()))
        self.assertEqual((wire("ä"), wire("a")), ("\xc3\xa4", "a"))

    def test_lengths(self) -> None:
        for name, (_, digits) in ALGORITHMS.items():
            self.assertTrue(available(name))
            self.assertEqual(len(digest(name, b"")), digits)
        self.assertFalse(available("SHA-1"))

    def test_quoted(self) -> None:
        self.assertEqual(quoted('a "b" \\ ä'), '"a \\"b\\" \\\\ \xc3\xa4"')
