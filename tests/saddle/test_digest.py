"""Digest access authentication: parameters, answers, responses, targets and nonces."""

from __future__ import annotations

import threading
from dataclasses import replace
from time import process_time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skitai.digests import quoted, user_hash
from skitai.errors import PeerError
from skitai.saddle.digest import (
    COUNT_WINDOW,
    MAX_PARAMETERS,
    NONCE_LIFETIME,
    Answer,
    Nonces,
    algorithm_names,
    decode_text,
    expected_response,
    parse_answer,
    parse_parameters,
    same_target,
)

SECRET = b"a secret that is long enough"
EXAMPLE = Answer(
    name="Mufasa",
    realm="http-auth@example.org",
    nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    uri="/dir/index.html",
    response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    algorithm="SHA-256",
    cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    nc="00000001",
    opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    userhash=False,
)
"""RFC 7616 section 3.9.1."""

EXAMPLE_TEXT = (
    'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
    'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


PARAMETERS = [
    "username",
    "username*",
    "realm",
    "nonce",
    "uri",
    "response",
    "qop",
    "nc",
    "cnonce",
    "algorithm",
    "userhash",
]


class Time:
    """A time that tests set."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Refusing(SynchronousTestCase):
    """What the tests of malformed input share."""

    def refused(self, wanted: str, function: Any, *args: Any) -> None:
        """Assert that ``function`` raises a 400 whose message holds ``wanted``."""
        error = self.assertRaises(PeerError, function, *args)
        self.assertEqual(error.status, 400)
        self.assertIn(wanted, str(error))


class ParameterTests(Refusing):
    """``parse_parameters`` (RFC 9110 section 11.4)"""

    def test_tokens_and_quoted_strings(self) -> None:
        self.assertEqual(parse_parameters('a=b, C="d e",e="",f=""'), {"a": "b", "c": "d e", "e": "", "f": ""})
        self.assertEqual(parse_parameters(""), {})

    def test_quoted_pairs(self) -> None:
        self.assertEqual(parse_parameters(r'a="\"b\\\c, d=\"", e="f=g,\"h"'), {"a": '"b\\c, d="', "e": 'f=g,"h'})

    def test_blanks_and_empty_elements(self) -> None:
        self.assertEqual(parse_parameters(' ,, a\t= b ,\t, c ="d" , '), {"a": "b", "c": "d"})

    def test_octets_beyond_ascii_stay(self) -> None:
        self.assertEqual(parse_parameters('a="J\xc3\xa4"'), {"a": "J\xc3\xa4"})

    def test_no_parameters(self) -> None:
        for text in (
            "a",
            "=b",
            "a=",
            'a="b',
            'a="b\\"',
            'a="b"c',
            'a="b" c="d"',
            "a=b c=d",
            "a=b;c=d",
            "a=b/c",
            "a=b, Digest c=d",
            'a="b\n"',
            'a="b\\\n"',
            'a="\x00"',
            "a=\xe4",
            'a="b"\n',
            "a=b,\v",
        ):
            self.refused("no parameter at character", parse_parameters, text)

    def test_twice(self) -> None:
        self.refused("a comes twice", parse_parameters, "a=b, A=b")

    def test_too_many(self) -> None:
        many = [f"p{number}=1" for number in range(MAX_PARAMETERS + 1)]
        self.assertEqual(len(parse_parameters(",".join(many[:-1]))), MAX_PARAMETERS)
        self.refused("more than", parse_parameters, ",".join(many))

    def test_hostile_runs_take_linear_time(self) -> None:
        began = process_time()
        for run in (
            "a" * 16000,
            "a" + " " * 16000,
            "a=" + " " * 16000 + "\v",
            'a="' + "\\a" * 8000,
            "," * 16000 + "=",
            "a=b" + " " * 16000 + "c",
            'a="' + "b" * 16000,
            " ," * 8000 + '"',
        ):
            self.assertRaises(PeerError, parse_parameters, run)
        self.assertLess(process_time() - began, 0.5)

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(st.text(alphabet=st.sampled_from('ab=",\\ \t\x00\n\xe4/'), max_size=30))
    def test_nothing_but_peer_errors(self, text: str) -> None:
        try:
            parse_parameters(text)
        except PeerError as error:
            self.assertEqual(error.status, 400)

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
    def test_what_is_quoted_comes_back(self, text: str) -> None:
        found = parse_parameters(f"a={quoted(text)}, b=c")
        self.assertEqual(found["a"].encode("latin-1").decode("utf-8"), text)
        self.assertEqual(found["b"], "c")


class AnswerTests(Refusing):
    """``parse_answer`` (RFC 7616 section 3.4)"""

    def changed(self, name: str, value: str | None, text: str = EXAMPLE_TEXT) -> str:
        """Return the example with one parameter replaced, or without it for None."""
        parameters = [one for one in text.split(", ") if not one.startswith(f"{name}=")]
        return ", ".join([*parameters, *([] if value is None else [f"{name}={value}"])])

    def test_example(self) -> None:
        self.assertEqual(parse_answer(EXAMPLE_TEXT), EXAMPLE)
        self.assertEqual(EXAMPLE.count, 1)

    def test_quoted_where_it_should_not_be(self) -> None:
        text = self.changed("qop", '"auth"', self.changed("nc", '"00000001"', self.changed("algorithm", '"sha-256"')))
        self.assertEqual(parse_answer(text), EXAMPLE)

    def test_missing(self) -> None:
        for name in ("realm", "nonce", "uri", "response", "qop", "nc", "cnonce"):
            self.refused(f"{name} is missing", parse_answer, self.changed(name, None))
            self.refused(f"{name} is missing", parse_answer, self.changed(name, '""'))
        self.refused("either username or username*", parse_answer, self.changed("username", None))

    def test_may_be_missing(self) -> None:
        self.assertIs(parse_answer(self.changed("opaque", None)).opaque, None)
        text = self.changed("response", "8ca523f5e9506fed4657c9700eebdbec", self.changed("algorithm", None))
        self.assertEqual(parse_answer(text).algorithm, "MD5")

    def test_other_quality_of_protection(self) -> None:
        self.refused("qop must be auth", parse_answer, self.changed("qop", "auth-int"))

    def test_illegal_count(self) -> None:
        for nc in ("1", "0000000g", "000000001", "00000000", '"+0000001"', '"0x000001"', '"0000 001"'):
            self.refused("nc must be", parse_answer, self.changed("nc", nc))
        self.assertEqual(parse_answer(self.changed("nc", "fffffFFF")).count, 2**32 - 1)

    def test_illegal_response(self) -> None:
        for response in (EXAMPLE.response[1:], EXAMPLE.response.upper(), "g" * 64, EXAMPLE.response[:32], '"\xe4"'):
            self.refused("response must be 64 hex digits", parse_answer, self.changed("response", response))

    def test_an_unknown_algorithm_is_no_fault(self) -> None:
        self.assertEqual(parse_answer(self.changed("algorithm", "md5-sess")).algorithm, "MD5-SESS")
        self.refused("hex digits", parse_answer, self.changed("algorithm", "X", self.changed("response", "xyz")))

    def test_userhash(self) -> None:
        self.assertTrue(parse_answer(self.changed("userhash", "true")).userhash)
        self.assertFalse(parse_answer(self.changed("userhash", '"false"')).userhash)
        self.refused("userhash must be", parse_answer, self.changed("userhash", "maybe"))

    def test_names_beyond_ascii(self) -> None:
        base = self.changed("username", None)
        for name in (
            "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe",
            "username*=utf-8'en'J%c3%a4s%C3%B8n%20Doe",
            'username="J\xc3\xa4s\xc3\xb8n Doe"',
        ):
            self.assertEqual(parse_answer(f"{base}, {name}").name, "Jäsøn Doe")

    def test_illegal_names(self) -> None:
        base = self.changed("username", None)
        for name, wanted in (
            ("username*=ISO-8859-1''J%E4", "username* must be"),
            ("username*=UTF-8''J%C3%A", "username* must be"),
            ("username*=UTF-8''J%zz", "username* must be"),
            ("username*=J", "username* must be"),
            ("username*=UTF-8''J%E4", "username* is not UTF-8"),
            ("username*=UTF-8''J%0AK", "username* holds control characters"),
            ('username="J\xe4"', "username is not UTF-8"),
            ("username*=UTF-8''J, username=J", "either username or username*"),
        ):
            self.refused(wanted, parse_answer, f"{base}, {name}")

    def test_text(self) -> None:
        self.assertEqual(decode_text(b"J\xc3\xa4", "it"), "Jä")
        self.refused("it is not UTF-8", decode_text, b"\xed\xa0\x80", "it")
        self.refused("it holds control", decode_text, b"a\x7f", "it")

    @settings(derandomize=True, max_examples=200, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(PARAMETERS),
            st.one_of(
                st.sampled_from(["auth", "00000001", "a" * 32, "UTF-8''%C3", "true", "MD5"]), st.text(max_size=8)
            ),
        )
    )
    def test_nothing_but_peer_errors(self, parameters: dict[str, str]) -> None:
        text = ",".join(f"{name}={quoted(value)}" for name, value in parameters.items() if value.isprintable())
        try:
            parse_answer(text)
        except PeerError as error:
            self.assertEqual(error.status, 400)


class ResponseTests(SynchronousTestCase):
    """``user_hash`` and ``expected_response`` with the examples of RFC 7616 section 3.9"""

    def test_sha_256(self) -> None:
        key = user_hash("SHA-256", EXAMPLE.name, EXAMPLE.realm, "Circle of Life")
        self.assertEqual(expected_response(EXAMPLE, key, "GET"), EXAMPLE.response)
        self.assertNotEqual(expected_response(EXAMPLE, key, "POST"), EXAMPLE.response)

    def test_md5(self) -> None:
        key = user_hash("MD5", EXAMPLE.name, EXAMPLE.realm, "Circle of Life")
        answer = replace(EXAMPLE, algorithm="MD5")
        self.assertEqual(expected_response(answer, key, "GET"), "8ca523f5e9506fed4657c9700eebdbec")

    def test_sha_512_256(self) -> None:
        # With the response of erratum 4897: the RFC's own was made with a SHA-512 cut off.
        answer = Answer(
            name="Jäsøn Doe",
            realm="api@example.org",
            nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            uri="/doe.json",
            response="",
            algorithm="SHA-512-256",
            cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            nc="00000001",
            opaque=None,
            userhash=False,
        )
        key = user_hash("SHA-512-256", answer.name, answer.realm, "Secret, or not?")
        self.assertEqual(
            expected_response(answer, key, "GET"), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        )


class AlgorithmTests(SynchronousTestCase):
    """``algorithm_names``"""

    def test_names(self) -> None:
        self.assertEqual(algorithm_names(["sha-512-256", "MD5", "md5"]), ("SHA-512-256", "MD5"))
        self.assertEqual(algorithm_names("SHA-256"), ("SHA-256",))

    def test_unknown(self) -> None:
        names: Any
        for names in (["MD5", "SHA-1"], ["md5-sess"], [None], "SHA256"):
            error = self.assertRaises(ValueError, algorithm_names, names)
            self.assertIn("names among MD5, SHA-256, SHA-512-256, not", str(error))
        self.assertRaises(ValueError, algorithm_names, [])

    def test_a_python_without_it(self) -> None:
        self.patch(__import__("hashlib"), "algorithms_available", {"md5", "sha256"})
        error = self.assertRaises(ValueError, algorithm_names, ["SHA-512-256"])
        self.assertIn("SHA-512-256 is not in the hashlib", str(error))


class TargetTests(SynchronousTestCase):
    """``same_target`` (RFC 7616 section 3.4.6)"""

    def test_same(self) -> None:
        for uri, target in (
            ("/a?b=c", "/a?b=c"),
            ("http://host:80/a?b=c", "/a?b=c"),
            ("/a", "https://host/a"),
            ("http://host", "/"),
            ("http://host?b", "/?b"),
            ("/%7Ea/%c3%a4", "/~a/%C3%A4"),
            ("/\xc3\xa4", "/%C3%A4"),
            ("*", "*"),
            ("/a?", "/a"),
        ):
            self.assertTrue(same_target(uri, target), uri)

    def test_others(self) -> None:
        for uri, target in (
            ("/a", "/b"),
            ("/a", "/a?b"),
            ("/a?b", "/a"),
            ("/a?b=%7E", "/a?b=~"),
            ("/a%3Fb", "/a?b"),
            ("/A", "/a"),
            ("", "/"),
            ("a", "/a"),
            ("http://host/a", "/b"),
            ("//host/a", "/a"),
        ):
            self.assertFalse(same_target(uri, target), uri)


class NonceTests(SynchronousTestCase):
    """``Nonces``"""

    def setUp(self) -> None:
        self.time = Time()
        self.nonces = Nonces(SECRET, self.time)

    def test_each_count_once(self) -> None:
        nonce = self.nonces.issue()
        self.assertEqual(
            [self.nonces.spend(nonce, count) for count in (1, 2, 2, 1, 3)], [True, True, False, False, True]
        )

    def test_any_order_within_the_window(self) -> None:
        nonce = self.nonces.issue()
        order = [5, 1, 3, 9, 2, 4, 8, 7, 6]
        self.assertTrue(all(self.nonces.spend(nonce, count) for count in order))
        self.assertFalse(any(self.nonces.spend(nonce, count) for count in order))

    def test_behind_the_window(self) -> None:
        nonce = self.nonces.issue()
        self.assertTrue(self.nonces.spend(nonce, COUNT_WINDOW + 10))
        self.assertFalse(self.nonces.spend(nonce, 10))
        self.assertTrue(self.nonces.spend(nonce, 11))
        self.assertTrue(self.nonces.spend(nonce, COUNT_WINDOW + 11))
        self.assertFalse(self.nonces.spend(nonce, 11))

    def test_far_jumps(self) -> None:
        nonce = self.nonces.issue()
        for count in (1, 2**32 - 1, 2**32 - 2):
            self.assertTrue(self.nonces.spend(nonce, count))
        for count in (1, 2, 2**32 - 1, 2**32 - 2):
            self.assertFalse(self.nonces.spend(nonce, count))

    def test_nonces_differ_and_count_apart(self) -> None:
        one, other = self.nonces.issue(), self.nonces.issue()
        self.assertNotEqual(one, other)
        self.assertTrue(self.nonces.spend(one, 1))
        self.assertTrue(self.nonces.spend(other, 1))

    def test_lifetime(self) -> None:
        fresh, used = self.nonces.issue(), self.nonces.issue()
        self.assertTrue(self.nonces.spend(used, 1))
        self.time.seconds += NONCE_LIFETIME
        self.assertTrue(self.nonces.spend(fresh, 1))
        self.time.seconds += 0.001
        self.assertFalse(self.nonces.spend(fresh, 2))
        self.assertFalse(self.nonces.spend(used, 2))

    def test_forged(self) -> None:
        nonce = self.nonces.issue()
        digit = "0" if nonce[20] != "0" else "1"
        for forged in (
            nonce[:20] + digit + nonce[21:],
            nonce[:-1] + ("0" if nonce[-1] != "0" else "1"),
            f"{int(nonce[:16], 16) + 1:016x}{nonce[16:]}",
            nonce.replace("0", "O"),
            nonce + "0",
            nonce[1:],
            f" {nonce}",
            "",
            "\xe4" * 72,
            Nonces(SECRET + b"x", self.time).issue(),
        ):
            self.assertFalse(self.nonces.spend(forged, 1), forged)
        self.assertTrue(self.nonces.spend(nonce, 1))

    def test_processes_with_the_same_secret(self) -> None:
        other = Nonces(SECRET, self.time)
        self.assertTrue(self.nonces.spend(other.issue(), 1))

    def test_not_what_was_made_before_the_table(self) -> None:
        nonce = self.nonces.issue()
        self.time.seconds += 0.001
        self.assertFalse(Nonces(SECRET, self.time).spend(nonce, 1))

    def test_from_the_future(self) -> None:
        self.time.seconds += 8
        nonce, later = self.nonces.issue(), None
        self.time.seconds += 8
        later = self.nonces.issue()
        self.time.seconds -= 16
        self.assertTrue(self.nonces.spend(nonce, 1))
        self.assertFalse(self.nonces.spend(later, 1))

    def test_a_full_table_lets_no_replay_through(self) -> None:
        nonces = Nonces(SECRET, self.time, capacity=3)
        made = []
        for _ in range(6):
            made.append(nonces.issue())
            self.time.seconds += 1
        self.assertEqual([nonces.spend(nonce, 1) for nonce in made[:5]], [True] * 5)
        self.assertEqual([nonces.spend(nonce, 1) for nonce in made[:5]], [False] * 5)
        self.assertEqual([nonces.spend(nonce, 2) for nonce in made[:5]], [False, False, True, True, True])
        self.assertTrue(nonces.spend(made[5], 1))

    def test_old_ones_are_dropped(self) -> None:
        nonces = Nonces(SECRET, self.time, lifetime=10, capacity=1000)
        for _ in range(50):
            self.time.seconds += 1
            self.assertTrue(nonces.spend(nonces.issue(), 1))
        self.assertLessEqual(len(nonces._counts), 11)

    def test_a_clock_set_back_lets_no_replay_through(self) -> None:
        nonces = Nonces(SECRET, self.time, lifetime=10)
        nonce = nonces.issue()
        self.assertTrue(nonces.spend(nonce, 1))
        self.time.seconds += 11
        self.assertTrue(nonces.spend(nonces.issue(), 1))
        self.time.seconds -= 11
        self.assertFalse(nonces.spend(nonce, 1))

    def test_threads(self) -> None:
        nonce = self.nonces.issue()
        good: list[int] = []

        def spend() -> None:
            for count in range(1, 200):
                if self.nonces.spend(nonce, count):
                    good.append(count)

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(good), list(range(1, 200)))
