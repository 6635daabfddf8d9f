"""Authentication: Basic and Digest, from challenge to user, with malformed, wrong, old and replayed answers.

The answers of Digest come from clients that others wrote: that of the standard library, and those of requests and httpx
where they are installed. What these can not do comes from ``answer``, which keeps to RFC 7616.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import urllib.request
from collections.abc import Mapping
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skitai.errors import PeerError
from skitai.saddle.auth import MAX_CREDENTIALS_SIZE, Authenticator, Unauthorized, User
from skitai.saddle.digest import NONCE_LIFETIME

SECRET = b"0123456789abcdef"
REALM = "Partner App Area of mysite.com"
HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def encrypted(name: str, password: str, realm: str = REALM) -> str:
    """Return a password as the manual encrypts it."""
    return hashlib.md5(f"{name}:{realm}:{password}".encode()).hexdigest()


USERS: dict[str, Any] = {
    "app": ("iamyourpartnerapp", 0, {"role": "root"}),
    "hidden": (encrypted("hidden", "hush"), 1, "information"),
    "pair": (encrypted("pair", "hush").upper(), True),
    "text": "plain",
    "Jäsøn Doe": "Secret, or not? 日本",
}


class Time:
    """A time that tests set."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Directory:
    """Users that are no dictionary."""

    def __init__(self, users: Mapping[str, Any]) -> None:
        self.users = users
        self.asked: list[str] = []

    def get(self, name: str) -> Any:
        """Return an entry as the manual has it."""
        self.asked.append(name)
        return self.users.get(name)


def make(
    scheme: str = "digest", users: Any = USERS, algorithms: Any = None, realm: str | None = REALM
) -> Authenticator:
    """Return an authenticator whose time stands still."""
    return Authenticator(scheme, realm, users, algorithms, Time(), SECRET)


def parameters(challenge: str) -> dict[str, str]:
    """Return the parameters of a challenge."""
    _, _, rest = challenge.partition(" ")
    return {name: text or token for name, text, token in re.findall(r'(\w+)=(?:"([^"]*)"|([^",]+))', rest)}


def answer(challenge: str, name: str, password: str, method: str = "GET", uri: str = "/", **changes: Any) -> str:
    """Return the Authorization field that answers ``challenge``; a change to None leaves a parameter out."""
    asked = parameters(challenge)
    found: dict[str, Any] = {
        "username": name,
        "realm": asked["realm"],
        "nonce": asked["nonce"],
        "uri": uri,
        "algorithm": asked["algorithm"],
        "opaque": asked["opaque"],
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "abc",
    }
    found.update({key: value for key, value in changes.items() if key != "response"})

    def digest(text: str) -> str:
        return hashlib.new(HASHES.get(asked["algorithm"], "md5"), text.encode()).hexdigest()

    key = digest(f"{name}:{asked['realm']}:{password}")
    middle = f"{found['nonce']}:{found['nc']}:{found['cnonce']}:{found['qop']}"
    found["response"] = digest(f"{key}:{middle}:{digest(f'{method}:{uri}')}")
    found.update(changes)
    text = ", ".join(f'{key}="{value}"' for key, value in found.items() if value is not None)
    return f"Digest {text}".encode().decode("latin-1")


def basic(text: str | bytes) -> str:
    """Return the Authorization field of Basic for ``user:password``."""
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


class Case(SynchronousTestCase):
    """What the tests share."""

    def challenged(self, guard: Authenticator, authorization: str, method: str = "GET", uri: str = "/") -> list[str]:
        """Assert that a request is a 401, and return the challenges."""
        error = self.assertRaises(Unauthorized, guard.authenticate, method, uri, authorization)
        self.assertEqual(error.status, 401)
        return list(error.challenges)

    def malformed(self, guard: Authenticator, authorization: str, wanted: str = "", uri: str = "/") -> None:
        """Assert that a request is a 400 whose message holds ``wanted``."""
        error = self.assertRaises(PeerError, guard.authenticate, "GET", uri, authorization)
        self.assertEqual(error.status, 400, str(error))
        self.assertIn(wanted, str(error))


class BasicTests(Case):
    """The scheme Basic (RFC 7617)"""

    def test_challenge(self) -> None:
        self.assertEqual(self.challenged(make("basic"), ""), [f'Basic realm="{REALM}", charset="UTF-8"'])

    def test_the_realm_is_quoted(self) -> None:
        challenges = self.challenged(make("basic", realm='a"b\\c, stale=true Ä'), "")
        self.assertEqual(challenges, ['Basic realm="a\\"b\\\\c, stale=true \xc3\x84", charset="UTF-8"'])

    def test_right(self) -> None:
        guard = make("basic")
        for field, wanted in (
            ("app:iamyourpartnerapp", User("app", REALM, {"role": "root"})),
            ("hidden:hush", User("hidden", REALM, "information")),
            ("pair:hush", User("pair", REALM, None)),
            ("text:plain", User("text", REALM, None)),
            ("Jäsøn Doe:Secret, or not? 日本", User("Jäsøn Doe", REALM, None)),
        ):
            self.assertEqual(guard.authenticate("GET", "/", basic(field)), wanted)
        self.assertEqual(guard.authenticate("GET", "/", basic("text:plain").replace("Basic ", "bASIC   ")).name, "text")

    def test_a_colon_in_the_password(self) -> None:
        guard = make("basic", {"a": "b:c:"})
        self.assertEqual(guard.authenticate("GET", "/", basic("a:b:c:")).name, "a")

    def test_wrong(self) -> None:
        guard = make("basic")
        stored = USERS["hidden"][0]
        for field in (
            "app:",
            "app:iamyourpartnerapp ",
            "nobody:",
            "nobody:x",
            ":",
            f"hidden:{stored}",
            "hidden:",
            "App:iamyourpartnerapp",
        ):
            self.assertEqual(len(self.challenged(guard, basic(field))), 1, field)

    def test_another_scheme(self) -> None:
        for field in ("Bearer abc", "Digest a=b", "Basi abc", "Negotiate " + "a" * 2 * MAX_CREDENTIALS_SIZE):
            self.challenged(make("basic"), field)
        self.assertEqual(len(self.challenged(make(), basic("text:plain"))), 2)

    def test_malformed(self) -> None:
        guard = make("basic")
        for field, wanted in (
            ("Basic", "colon"),
            ("Basic !!!!", "Base64"),
            ("Basic YTpi=", "Base64"),
            ("Basic YTp", "Base64"),
            ("Basic YTp=", "Base64"),
            ("Basic YTo9=", "Base64"),
            ("Basic YTp/x===", "Base64"),
            ("Basic YR==", "Base64"),
            (basic("a:b") + "," + basic("a:b"), "Base64"),
            ("Basic YTpi\xe4", "Base64"),
            ("Basic YTpi日", "octets"),
            (basic("no colon"), "colon"),
            (basic(b"a:\xe4"), "not UTF-8"),
            (basic("a\n:b"), "control characters"),
            (basic("a:\0"), "control characters"),
            ("Basic " + "a" * (MAX_CREDENTIALS_SIZE + 1), "more than 16,384"),
            ("=", "name of a scheme"),
            ("Bas,ic abc", "name of a scheme"),
            ("Basic\tYTpi", "name of a scheme"),
        ):
            self.malformed(guard, field, wanted)

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(
        st.one_of(st.text(max_size=30), st.binary(max_size=20).map(basic), st.text(max_size=20).map("Basic ".__add__))
    )
    @example("Basic \ud800")
    def test_nothing_but_peer_errors(self, authorization: str) -> None:
        self.assertRaises(PeerError, make("basic").authenticate, "GET", "/", authorization)


class ChallengeTests(Case):
    """What Digest asks for (RFC 7616 section 3.3)"""

    def algorithms(self, guard: Authenticator) -> list[str]:
        """Return the algorithms of the challenges."""
        return [parameters(challenge)["algorithm"] for challenge in guard.challenges()]

    def test_two_fields(self) -> None:
        challenges = self.challenged(make(), "")
        nonce, opaque = (parameters(challenges[0])[name] for name in ("nonce", "opaque"))
        self.assertEqual(
            challenges,
            [
                f'Digest realm="{REALM}", qop="auth", algorithm={name}, nonce="{nonce}", opaque="{opaque}", '
                "charset=UTF-8"
                for name in ("SHA-256", "MD5")
            ],
        )
        self.assertNotEqual(nonce, parameters(self.challenged(make(), "")[0])["nonce"])

    def test_every_entry_encrypted(self) -> None:
        users = {"a": (encrypted("a", "b"), True), "c": [encrypted("c", "d"), 1, None]}
        self.assertEqual(self.algorithms(make(users=users)), ["MD5"])
        self.assertEqual(self.algorithms(make(users={**users, "e": "f"})), ["SHA-256", "MD5"])
        self.assertEqual(self.algorithms(make(users={})), ["SHA-256", "MD5"])

    def test_a_dictionary_that_is_filled_later(self) -> None:
        users: dict[str, Any] = {}
        guard = make(users=users)
        users["a"] = (encrypted("a", "b"), True)
        self.assertEqual(self.algorithms(guard), ["MD5"])
        users["c"] = "d"
        self.assertEqual(self.algorithms(guard), ["SHA-256", "MD5"])

    def test_users_that_are_no_dictionary(self) -> None:
        directory = Directory({"a": (encrypted("a", "b"), True)})
        self.assertEqual(self.algorithms(make(users=directory)), ["SHA-256", "MD5"])
        self.assertEqual(self.algorithms(make(users=directory, algorithms=["MD5"])), ["MD5"])
        self.assertEqual(directory.asked, [])

    def test_as_the_application_says(self) -> None:
        self.assertEqual(self.algorithms(make(algorithms=("sha-512-256", "MD5"))), ["SHA-512-256", "MD5"])
        self.assertRaises(ValueError, make, algorithms=("SHA-512",))

    def test_the_realm(self) -> None:
        self.assertTrue(make(realm=None).challenges()[0].startswith('Digest realm="Skitai", '))
        self.assertTrue(make(realm='a"b').challenges()[0].startswith('Digest realm="a\\"b", '))
        self.assertTrue(make(realm="Ä").challenges()[0].startswith('Digest realm="\xc3\x84", '))


class DigestTests(Case):
    """Answers to Digest"""

    def setUp(self) -> None:
        self.time = Time()
        self.guard = Authenticator("Digest", REALM, USERS, None, self.time, SECRET)
        self.sha, self.md5 = self.guard.challenges()

    def test_right(self) -> None:
        for challenge in (self.sha, self.md5):
            for name, password in (
                ("app", "iamyourpartnerapp"),
                ("text", "plain"),
                ("Jäsøn Doe", "Secret, or not? 日本"),
            ):
                field = answer(
                    challenge, name, password, "POST", "/a?b=c", cnonce=name[:1] + "x", nc=f"{self.number():08x}"
                )
                user = self.guard.authenticate("POST", "/a?b=c", field)
                self.assertEqual(user, User(name, REALM, {"role": "root"} if name == "app" else None))

    def number(self) -> int:
        """Return the next nonce count."""
        self.count = getattr(self, "count", 0) + 1
        return self.count

    def test_an_encrypted_password_answers_to_md5_alone(self) -> None:
        self.assertEqual(self.guard.authenticate("GET", "/", answer(self.md5, "hidden", "hush")).info, "information")
        field = answer(self.guard.challenges()[1], "pair", "hush")
        self.assertEqual(self.guard.authenticate("GET", "/", field).info, None)
        challenges = self.challenged(self.guard, answer(self.sha, "hidden", "hush"))
        self.assertNotIn("stale", challenges[0])

    def test_the_stored_hash_is_no_key_for_sha_256(self) -> None:
        stored = USERS["hidden"][0]
        field = answer(self.sha, "hidden", "hush", response=None)
        asked = parameters(self.sha)
        request = hashlib.sha256(b"GET:/").hexdigest()
        response = hashlib.sha256(f"{stored}:{asked['nonce']}:00000001:abc:auth:{request}".encode()).hexdigest()
        self.challenged(self.guard, f'{field}, response="{response}"')

    def test_sha_512_256(self) -> None:
        guard = make(algorithms=["SHA-512-256"])
        field = answer(guard.challenges()[0], "text", "plain")
        self.assertEqual(guard.authenticate("GET", "/", field), User("text", REALM))

    def test_wrong(self) -> None:
        for name, password in (
            ("app", "x"),
            ("app", ""),
            ("nobody", ""),
            ("nobody", "x"),
            ("hidden", USERS["hidden"][0]),
        ):
            for challenge in (self.sha, self.md5):
                for fresh in self.challenged(self.guard, answer(challenge, name, password)):
                    self.assertNotIn("stale", fresh)
        self.challenged(self.guard, answer(self.md5, "text", "plain", "POST"))

    def test_wrong_answers_use_nothing_up(self) -> None:
        self.challenged(self.guard, answer(self.sha, "text", "wrong"))
        self.guard.authenticate("GET", "/", answer(self.sha, "text", "plain"))

    def test_username_star(self) -> None:
        field = answer(self.sha, "Jäsøn Doe", "Secret, or not? 日本", username=None)
        user = self.guard.authenticate("GET", "/", field + ", username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, userhash=false")
        self.assertEqual(user.name, "Jäsøn Doe")

    def test_replayed(self) -> None:
        field = answer(self.sha, "text", "plain")
        self.guard.authenticate("GET", "/", field)
        challenges = self.challenged(self.guard, field)
        self.assertTrue(all(challenge.endswith(", stale=true") for challenge in challenges), challenges)
        self.guard.authenticate("GET", "/", answer(challenges[0], "text", "plain"))

    def test_counts_in_any_order(self) -> None:
        for count in (1, 4, 3, 2, 5):
            self.guard.authenticate("GET", "/", answer(self.sha, "text", "plain", nc=f"{count:08x}"))

    def test_too_old(self) -> None:
        self.time.seconds += NONCE_LIFETIME + 1
        self.assertIn("stale=true", self.challenged(self.guard, answer(self.sha, "text", "plain"))[0])
        # Whoever does not know the password learns nothing of the nonce.
        self.assertNotIn("stale", self.challenged(self.guard, answer(self.sha, "text", "wrong"))[0])
        self.assertNotIn("stale", self.challenged(self.guard, answer(self.sha, "nobody", "plain"))[0])

    def test_a_nonce_of_another_process(self) -> None:
        other = Authenticator("digest", REALM, USERS, None, self.time, SECRET[::-1])
        self.assertIn("stale=true", self.challenged(other, answer(self.sha, "text", "plain"))[0])
        same = Authenticator("digest", REALM, USERS, None, self.time, SECRET)
        self.assertEqual(same.authenticate("GET", "/", answer(self.sha, "text", "plain")).name, "text")

    def test_opaque(self) -> None:
        self.guard.authenticate("GET", "/", answer(self.sha, "text", "plain", opaque=None))
        self.assertIn(
            "stale=true", self.challenged(self.guard, answer(self.sha, "text", "plain", opaque="x", nc="00000002"))[0]
        )

    def test_no_answer_to_the_challenge(self) -> None:
        for changes in (
            {"realm": "another"},
            {"algorithm": "SHA-512-256"},
            {"algorithm": "SHA-256-sess"},
            {"userhash": "true"},
        ):
            self.challenged(self.guard, answer(self.sha, "text", "plain", **changes))
        md5_alone = make(algorithms=["MD5"])
        challenge = md5_alone.challenges()[0].replace("MD5", "SHA-256")
        self.challenged(md5_alone, answer(challenge, "text", "plain"))

    def test_another_target(self) -> None:
        field = answer(self.sha, "text", "plain", uri="/a?b=c")
        for target in ("/a", "/a?b=d", "/b?b=c", "/"):
            self.malformed(self.guard, field, "uri is not the target", target)
        self.guard.authenticate("GET", "/a?b=c", field)
        field = answer(self.sha, "text", "plain", uri="http://example.com/%7Ea", nc="00000002")
        self.guard.authenticate("GET", "/~a", field)

    def test_malformed(self) -> None:
        for field, wanted in (
            ("Digest", "realm is missing"),
            ("Digest x", "no parameter"),
            (answer(self.sha, "text", "plain", nc=None), "nc is missing"),
            (answer(self.sha, "text", "plain", qop=None), "qop is missing"),
            (answer(self.sha, "text", "plain", cnonce=None), "cnonce is missing"),
            (answer(self.sha, "text", "plain", nc="1"), "nc must be"),
            (answer(self.sha, "text", "plain") + ', NC="00000001"', "nc comes twice"),
            (answer(self.sha, "text", "plain") + ", " + answer(self.sha, "text", "plain"), "no parameter"),
            (answer(self.sha, "text", "plain", cnonce="c" * MAX_CREDENTIALS_SIZE), "more than"),
            (answer(self.sha, "text", "plain", response="0"), "response must be"),
            ("Digest \u20ac", "octets"),
        ):
            self.malformed(self.guard, field, wanted)

    @settings(derandomize=True, max_examples=150, deadline=None)
    @given(st.data())
    def test_nothing_but_peer_errors(self, data: st.DataObject) -> None:
        whole = answer(self.sha, "text", "plain")
        start = data.draw(st.integers(7, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        field = whole[:start] + data.draw(st.text(max_size=20)) + whole[end:]
        method, uri = data.draw(st.sampled_from(["GET", "\xe4"])), data.draw(st.sampled_from(["/", "*", "/%zz?\xe4"]))
        try:
            user = self.guard.authenticate(method, uri, field)
        except PeerError as error:
            self.assertIn(error.status, (400, 401))
        else:
            self.assertEqual(user.name, "text")


class ClientTests(Case):
    """Digest as other people's clients do it"""

    def test_the_standard_library(self) -> None:
        guard = make(algorithms=["MD5"], users={"app": (encrypted("app", "password"), True)})
        passwords = urllib.request.HTTPPasswordMgr()
        passwords.add_password(REALM, "http://example.com/", "app", "password")
        handler = urllib.request.AbstractDigestAuthHandler(passwords)
        for _ in range(3):
            challenge = guard.challenges()[0].removeprefix("Digest ")
            asked = urllib.request.parse_keqv_list(urllib.request.parse_http_list(challenge))
            request = urllib.request.Request("http://example.com/a?b=c")
            field = handler.get_authorization(request, asked)
            self.assertEqual(guard.authenticate("GET", "/a?b=c", f"Digest {field}").name, "app")

    def test_requests(self) -> None:
        try:
            from requests.auth import HTTPDigestAuth
            from requests.utils import parse_dict_header
        except ImportError:
            raise SkipTest("requests is not installed") from None
        for algorithms in (None, ["SHA-256"], ["MD5"]):
            guard = make(algorithms=algorithms)
            client = HTTPDigestAuth("app", "iamyourpartnerapp")
            client.init_per_thread_state()
            # As it reads them: several fields as one, the last of several parameters of a name.
            client._thread_local.chal = parse_dict_header(", ".join(guard.challenges()).replace("Digest ", "", 1))
            for _ in range(3):
                field = client.build_digest_header("GET", "http://example.com/a?b=c")
                self.assertEqual(guard.authenticate("GET", "/a?b=c", field).name, "app")

    def test_httpx(self) -> None:
        try:
            import httpx
        except ImportError:
            raise SkipTest("httpx is not installed") from None
        for algorithms in (None, ["SHA-256"], ["MD5"]):
            guard = make(algorithms=algorithms, realm="a, b=c" if algorithms is None else REALM)
            client = httpx.DigestAuth("text", "plain")
            for _ in range(3):
                request = httpx.Request("PUT", "http://example.com/%C3%A4?b=c")
                flow = client.auth_flow(request)
                next(flow)
                if "authorization" not in request.headers:
                    fields = [("WWW-Authenticate", challenge) for challenge in guard.challenges()]
                    request = flow.send(httpx.Response(401, headers=fields, request=request))
                self.assertEqual(
                    guard.authenticate("PUT", "/%C3%A4?b=c", request.headers["authorization"]).name, "text"
                )


class SettingsTests(SynchronousTestCase):
    """What an application sets"""

    def test_can_not_be_used(self) -> None:
        refused: tuple[tuple[type[Exception], str, dict[str, Any]], ...] = (
            (ValueError, "'basic' or 'digest', not 'bearer'", {"scheme": "bearer"}),
            (ValueError, "'basic' or 'digest', not None", {"scheme": None}),
            (ValueError, "realm must be a text, not ''", {"realm": ""}),
            (ValueError, "without control characters", {"realm": "a\r\nSet-Cookie: b=c"}),
            (TypeError, "have a method get(username), not be NoneType", {"users": None}),
            (TypeError, "not be list", {"users": []}),
            (TypeError, "users.get('a') must be (password, encrypted, info)", {"users": {"a": 7}}),
            (TypeError, "users.get('a') must be", {"users": {"a": ("b",)}}),
            (TypeError, "users.get('a') must be", {"users": {"a": (None, False)}}),
            (ValueError, "users.get('a') says that its password is encrypted", {"users": {"a": ("secret", True)}}),
        )
        for kind, wanted, field in refused:
            error = self.assertRaises(kind, make, **field)
            self.assertIn(wanted, str(error))
            self.assertNotIn("secret", str(error))
        self.assertRaises(ValueError, Authenticator, "basic", None, {}, None, Time(), b"short")

    def test_an_entry_that_is_found_later(self) -> None:
        guard = make("basic", Directory({"a": ("secret", True), "b": {}}))
        self.assertRaises(ValueError, guard.authenticate, "GET", "/", basic("a:secret"))
        self.assertRaises(TypeError, guard.authenticate, "GET", "/", basic("b:secret"))

    def test_users_that_are_no_dictionary(self) -> None:
        directory = Directory(USERS)
        self.assertEqual(make("basic", directory).authenticate("GET", "/", basic("text:plain")).name, "text")
        guard = make(users=directory)
        guard.authenticate("GET", "/", answer(guard.challenges()[0], "text", "plain"))
        self.assertEqual(directory.asked, ["text", "text"])

    def test_nobody_has_no_password(self) -> None:
        self.patch(secrets, "token_hex", lambda size: "00" * size)
        self.assertRaises(Unauthorized, make("basic").authenticate, "GET", "/", basic("nobody:" + "00" * 16))
        guard = make()
        field = answer(guard.challenges()[0], "nobody", "00" * 16)
        self.assertRaises(Unauthorized, guard.authenticate, "GET", "/", field)

    def test_a_password_is_in_no_variable_that_is_shown(self) -> None:
        from skitai.saddle.auth import _read_entry

        self.assertNotIn("plain", repr(_read_entry("text", "plain")))
