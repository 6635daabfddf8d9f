"""What is said of who asks; the examples are those of the RFCs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.was.challenges import MAX_CHALLENGES, MAX_REMEMBERED, Challenge, Credentials, Digest, read_challenges

ORIGIN = ("http", "a.example", 80)
USER = ("Mufasa", "Circle of Life")


class ReadTests(SynchronousTestCase):
    def test_table(self) -> None:
        table: list[tuple[bytes, list[tuple[str, dict[str, str]]]]] = [
            (b'Basic realm="x"', [("basic", {"realm": "x"})]),
            (b"BASIC Realm=x", [("basic", {"realm": "x"})]),
            (b'Digest realm="a, \\"b\\"", nonce=abc', [("digest", {"realm": 'a, "b"', "nonce": "abc"})]),
            # RFC 9110 section 11.6.1
            (
                b'Newauth realm="apps", type=1,  title="Login to \\"apps\\"", Basic realm="simple"',
                [
                    ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
                    ("basic", {"realm": "simple"}),
                ],
            ),
            (b"Negotiate", [("negotiate", {})]),
            (b"Negotiate abc==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
            (b"Negotiate, , Basic realm=x,", [("negotiate", {}), ("basic", {"realm": "x"})]),
            (b"", []),
            (b'Basic realm="x', [("basic", {})]),
            (b"=", []),
        ]
        for value, expected in table:
            self.assertEqual([tuple(one) for one in read_challenges([value])], expected, value)

    def test_several_fields(self) -> None:
        self.assertEqual([one.scheme for one in read_challenges([b"Digest a=b", b"Basic a=b"])], ["digest", "basic"])

    def test_bounded(self) -> None:
        self.assertEqual(len(read_challenges([b"Basic a=b, " * 1000])), MAX_CHALLENGES)

    @settings(derandomize=True, max_examples=300, deadline=1000)
    @given(
        st.lists(
            st.sampled_from([b"Digest", b" ", b",", b"=", b'"', b"\\", b"a", b"\xff", b"realm=", b"x=y"]), max_size=60
        )
    )
    def test_anything_may_come(self, parts: list[bytes]) -> None:
        for challenge in read_challenges([b"".join(parts)]):
            if Digest.usable(challenge):
                Digest(challenge.parameters, "user", "password", "c").authorization("GET", "/")


class DigestTests(SynchronousTestCase):
    def parameters(self, algorithm: str = "SHA-256") -> dict[str, str]:
        """Return the challenge of RFC 7616 section 3.9.1."""
        return {
            "realm": "http-auth@example.org",
            "qop": "auth, auth-int",
            "algorithm": algorithm,
            "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
        }

    def authorize(self, parameters: dict[str, str], auth: tuple[str, str] = USER) -> str:
        answers = Digest(parameters, *auth, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
        return answers.authorization("GET", "/dir/index.html").decode("latin-1")

    def test_examples_of_rfc_7616(self) -> None:
        for algorithm, response in (
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ):
            value = self.authorize(self.parameters(algorithm))
            self.assertIn(f'response="{response}"', value)
            for part in (
                'username="Mufasa"',
                "qop=auth,",
                "nc=00000001",
                f"algorithm={algorithm}",
                'uri="/dir/index.html"',
            ):
                self.assertIn(part, value)
            self.assertIn('opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"', value)

    def test_example_of_rfc_2069(self) -> None:
        """Without qop, as RFC 2069 had it (the response is that of its errata)."""
        parameters = {
            "realm": "testrealm@host.com",
            "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
        }
        value = self.authorize(parameters, ("Mufasa", "CircleOfLife"))
        self.assertIn('response="1949323746fe6a43ef61f9606e7febea"', value)
        self.assertNotIn("nc=", value)

    def test_counts(self) -> None:
        answers = Digest(self.parameters(), *USER, "c")
        first, second = (answers.authorization("GET", "/") for _ in range(2))
        self.assertIn(b"nc=00000001", first)
        self.assertIn(b"nc=00000002", second)

    def test_session_algorithm(self) -> None:
        """H(A1) holds both nonces then."""
        self.assertNotEqual(
            self.authorize(self.parameters("MD5-sess"))[-33:], self.authorize(self.parameters("MD5"))[-33:]
        )
        self.assertTrue(Digest.usable(Challenge("digest", self.parameters("MD5-sess"))))

    def test_names_beyond_ascii(self) -> None:
        value = self.authorize(self.parameters(), ("Jäsøn", "x"))
        self.assertIn('username="Jäsøn"'.encode().decode("latin-1"), value)

    def test_what_can_not_be_answered(self) -> None:
        for change in (
            {"qop": "auth-int"},
            {"algorithm": "SHA-1"},
            {"nonce": ""},
        ):
            self.assertFalse(Digest.usable(Challenge("digest", {**self.parameters(), **change})), change)
        self.assertFalse(Digest.usable(Challenge("basic", self.parameters())))
        self.assertFalse(Digest.usable(Challenge("digest", {"nonce": "x"})))


class CredentialsTests(SynchronousTestCase):
    CHALLENGE = b'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'

    def setUp(self) -> None:
        self.credentials = Credentials(lambda: "cnonce")

    def say(self, auth: tuple[str, str] | str = USER, origin: tuple[str, str, int] = ORIGIN) -> bytes:
        return self.credentials.authorization(auth, origin, "GET", "/")

    def test_basic_until_digest_is_asked_for(self) -> None:
        self.assertEqual(self.say(("Aladdin", "open sesame")), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        self.assertTrue(self.credentials.answers(USER, ORIGIN, [b'Basic realm="r"', self.CHALLENGE], False))
        self.assertTrue(self.say().startswith(b"Digest "))

    def test_only_for_this_origin_and_this_user(self) -> None:
        self.credentials.answers(USER, ORIGIN, [self.CHALLENGE], False)
        self.assertTrue(self.say(USER, ("https", "a.example", 443)).startswith(b"Basic "))
        self.assertTrue(self.say(("Mufasa", "other")).startswith(b"Basic "))

    def test_the_first_that_can_be_answered(self) -> None:
        unknown = b'Digest realm="r", nonce="n", algorithm=SHA-999'
        self.credentials.answers(USER, ORIGIN, [unknown, self.CHALLENGE, b'Digest realm="r", nonce="n"'], False)
        self.assertIn(b"algorithm=SHA-256", self.say())

    def test_nothing_to_answer(self) -> None:
        self.assertFalse(self.credentials.answers(USER, ORIGIN, [b'Basic realm="r"'], False))
        self.assertFalse(self.credentials.answers("token", ORIGIN, [self.CHALLENGE], False))

    def test_again_only_where_the_nonce_was_stale(self) -> None:
        self.credentials.answers(USER, ORIGIN, [self.CHALLENGE], False)
        self.assertTrue(self.credentials.answers(USER, ORIGIN, [self.CHALLENGE + b", stale=TRUE"], True))
        self.assertFalse(self.credentials.answers(USER, ORIGIN, [self.CHALLENGE], True))
        self.assertTrue(self.say().startswith(b"Basic "), "a wrong password is not remembered")

    def test_bounded(self) -> None:
        for number in range(MAX_REMEMBERED + 10):
            self.credentials.answers(USER, ("http", "a.example", number), [self.CHALLENGE], False)
        self.assertEqual(len(self.credentials._digests), MAX_REMEMBERED)
