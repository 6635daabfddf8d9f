"""Saddle: basic and digest authentication, with clients of the standard library, of others, and hostile ones."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing.credentials import Digest, basic
from tests.functional.blackbox import Reply, Shared
from tests.functional.process import until
from tests.functional.saddlebox import each, tables

APP = """\
import json
from hashlib import md5
import skitai
from skitai.saddle import Saddle

ran = []

def make (authorization, users, everywhere = True, **more):
  app = Saddle (__name__)
  app.authorization = authorization
  app.realm = "Partner App Area of mysite.com"
  app.users = users
  app.authenticate = everywhere
  for name, value in more.items ():
    setattr (app, name, value)

  @app.route ("/hello/<name>", methods = ["GET", "POST", "OPTIONS"])
  def hello (was, name = "Hans Roh"):
    ran.append (was.request.method)
    return "Hello, %s" % name

  @app.route ("/who")
  def who (was):
    user = was.request.user
    return json.dumps ([user.name, user.realm, user.info])

  @app.route ("/closed", authenticate = True)
  def closed (was):
    return "closed " + was.request.user.name

  @app.route ("/ran")
  def times (was):
    return json.dumps (ran)

  return app

class Directory:
  def get (self, name):
    if name == "ann":
      return "secret"

def encrypted (username, password, realm = "Partner App Area of mysite.com"):
  return md5 (("%s:%s:%s" % (username, realm, password)).encode ("utf8")).hexdigest ()

digest = make ("digest", {"app": ("iamyourpartnerapp", 0, {'role': 'root'}), "short": ("two", False), "plain": "text",
  "caf\\xe9": "\\xfcber"})
secrets = make ("digest", {"enc": (encrypted ("enc", "hidden"), True, {"n": 1}), "enc2": (encrypted ("enc2", "x"), 1)})
mixed = make ("digest", {"enc": (encrypted ("enc", "hidden"), True), "plain": "text"})
basics = make ("basic", {"app": ("iamyourpartnerapp", 0, {'role': 'root'}), "short": ("two", False), "plain": "te:xt",
  "caf\\xe9": "\\xfcber", "empty": ""})
directory = make ("basic", Directory ())
digestdirectory = make ("digest", Directory ())
some = make ("digest", {"app": "pw"}, False)
md5only = make ("digest", {"app": "pw"}, digest_algorithms = ("MD5",))
app = Saddle (__name__)

if __name__ == "__main__":
  skitai.run (mount = {"/": app,
      "/digest": digest, "/secrets": secrets, "/mixed": mixed, "/basic": basics, "/some": some,
    "/directory": directory, "/digestdirectory": digestdirectory, "/md5": md5only})
"""

REALM = "Partner App Area of mysite.com"
APP_USER = ("app", "iamyourpartnerapp")

site = Shared({"app.py": APP})


def get(target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Reply:
    return site.ask(target, *fields, method=method, body=body)


def challenges(target: str) -> list[str]:
    return get(target).all("WWW-Authenticate")


def signed(target: str, auth: tuple[str, str], algorithm: str = "", method: str = "GET") -> Reply:
    """Make a request with an answer to the challenge for ``algorithm``."""
    found = [text for text in challenges(target) if f"algorithm={algorithm}".lower() in text.lower().replace('"', "")]
    digest = Digest.of(found)
    assert digest is not None, challenges(target)
    return get(target, "Authorization: " + digest.answer(auth, method, target), method=method)


@tables
class BasicTests(SynchronousTestCase):
    """Basic authentication."""

    def test_challenge(self) -> None:
        reply = get("/basic/who")
        self.assertEqual(reply.status, 401)
        (challenge,) = reply.all("WWW-Authenticate")
        self.assertTrue(challenge.startswith("Basic "), challenge)
        self.assertIn(f'realm="{REALM}"', challenge)
        self.assertIn("401", reply.text)

    @each(
        (APP_USER, {"role": "root"}), (("short", "two"), None), (("plain", "te:xt"), None), (("caf\xe9", "\xfcber"),
            None),
    )  # fmt: skip
    def test_right(self, auth: tuple[str, str], info: object) -> None:
        reply = get("/basic/who", f"Authorization: {basic(auth)}")
        self.assertEqual(reply.status, 200, reply.text[:200])
        self.assertEqual(json.loads(reply.body), [auth[0], REALM, info])

    @each(
        ("app", "wrong"), ("app", ""), ("app", "iamyourpartnerapp "), ("App", "iamyourpartnerapp"), ("nobody", "x"),
        ("", ""), ("", "x"), ("plain", "te"), ("app", "IAMYOURPARTNERAPP"), ("app:iamyourpartnerapp", ""),
    )  # fmt: skip
    def test_wrong(self, name: str, password: str) -> None:
        reply = get("/basic/who", f"Authorization: {basic((name, password))}")
        self.assertEqual((reply.status, len(reply.all("WWW-Authenticate"))), (401, 1))

    @each(
        "Basic", "Basic ", "Basic !!!", "Basic YQ", "Basic " + base64.b64encode(b"no colon").decode(), "Basic \xff",
        "Basic " + "A" * 20_000, "Basic " + base64.b64encode(b"a\x00:b").decode(), "Basic a b c",
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    )  # fmt: skip
    def test_malformed(self, field: str) -> None:
        """What can not be read is 400; what merely is nobody may be 401."""
        self.assertIn(get("/basic/who", f"Authorization: {field}").status, (400, 401))

    @each("Basic !!!", "Basic " + base64.b64encode(b"no colon").decode())
    def test_plainly_malformed(self, field: str) -> None:
        self.assertEqual(get("/basic/who", f"Authorization: {field}").status, 400)

    @each("Bearer abc", "Negotiate x", 'Digest username="app"')
    def test_another_scheme(self, field: str) -> None:
        self.assertIn(get("/basic/who", f"Authorization: {field}").status, (400, 401))

    def test_case_of_the_scheme(self) -> None:
        field = basic(APP_USER).replace("Basic", "bAsIc")
        self.assertEqual(get("/basic/who", f"Authorization: {field}").status, 200)

    def test_collection(self) -> None:
        """Whatever has ``get`` will do."""
        self.assertEqual(get("/directory/who", f"Authorization: {basic(('ann', 'secret'))}").status, 200)
        self.assertEqual(get("/directory/who", f"Authorization: {basic(('bob', 'secret'))}").status, 401)
        self.assertEqual(signed("/digestdirectory/who", ("ann", "secret"), "SHA-256").status, 200)

    def test_log(self) -> None:
        """The request log has the user, and no password."""
        get("/basic/who?mark=user", f"Authorization: {basic(APP_USER)}")
        line = until(lambda: re.search(r".*/basic/who\?mark=user .*", site.server.output), "the line of the log")
        assert line is not None
        self.assertIn("app", line[0].partition("GTID-")[2])
        self.assertNotIn(basic(APP_USER)[6:], site.server.output)
        self.assertNotIn("iamyourpartnerapp", site.server.output)


@tables
class DigestTests(SynchronousTestCase):
    """Digest authentication."""

    def test_challenges(self) -> None:
        """One field a challenge, SHA-256 first and MD5 beside it."""
        found = challenges("/digest/who")
        algorithms = [re.findall(r'algorithm="?([\w-]+)', text) for text in found]
        self.assertEqual(algorithms[0], ["SHA-256"])
        self.assertIn(["MD5"], algorithms)
        for text in found:
            self.assertTrue(text.startswith("Digest "), text)
            self.assertIn(f'realm="{REALM}"', text)
            self.assertRegex(text, r'nonce="[^"]+"')
            self.assertRegex(text, r'qop="[^"]*auth')

    @each(("/secrets/who", ["MD5"]), ("/md5/who", ["MD5"]))
    def test_md5_alone(self, target: str, names: list[str]) -> None:
        found = [name for text in challenges(target) for name in re.findall(r'algorithm="?([\w-]+)', text) or ["MD5"]]
        self.assertEqual(found, names)

    @each(
        (APP_USER, "MD5", {"role": "root"}), (APP_USER, "SHA-256", {"role": "root"}), (("short", "two"), "SHA-256",
            None),
        (("plain", "text"), "MD5", None), (("plain", "text"), "SHA-256", None), (("caf\xe9", "\xfcber"), "SHA-256",
            None),
    )  # fmt: skip
    def test_right(self, auth: tuple[str, str], algorithm: str, info: object) -> None:
        reply = signed("/digest/who", auth, algorithm)
        self.assertEqual(reply.status, 200, reply.text[:300])
        self.assertEqual(json.loads(reply.body), [auth[0], REALM, info])

    @each(
        ("/secrets/who", ("enc", "hidden")),
        ("/secrets/who", ("enc2", "x")),
        ("/mixed/who", ("enc", "hidden")),
        ("/md5/who", ("app", "pw")),
    )
    def test_encrypted(self, target: str, auth: tuple[str, str]) -> None:
        self.assertEqual(signed(target, auth, "MD5").status, 200)

    @each(("app", "wrong"), ("nobody", "x"), ("", ""), ("APP", "iamyourpartnerapp"))
    def test_wrong(self, name: str, password: str) -> None:
        for algorithm in ("MD5", "SHA-256"):
            self.assertEqual(signed("/digest/who", (name, password), algorithm).status, 401)

    def test_the_stored_hash_is_no_password(self) -> None:
        stored = hashlib.md5(f"enc:{REALM}:hidden".encode()).hexdigest()
        self.assertEqual(signed("/secrets/who", ("enc", stored), "MD5").status, 401)

    def test_standard_library(self) -> None:
        handler = urllib.request.HTTPDigestAuthHandler()
        url = f"http://127.0.0.1:{site.server.port}/md5/hello/Bob"
        handler.add_password(REALM, url, "app", "pw")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        with opener.open(url) as answer:
            self.assertEqual(answer.read(), b"Hello, Bob")

    def test_other_clients(self) -> None:
        for module in ("httpx", "requests.auth"):
            try:
                client = __import__(module)
            except ImportError:
                continue
            url = f"http://127.0.0.1:{site.server.port}/digest/who"
            if module == "httpx":
                reply = client.get(url, auth=client.DigestAuth(*APP_USER), trust_env=False)
            else:
                session = client.Session()
                session.trust_env = False
                reply = session.get(url, auth=client.auth.HTTPDigestAuth(*APP_USER))
            self.assertEqual(reply.status_code, 200, module)

    def answered(self, target: str = "/digest/who", method: str = "GET") -> str:
        digest = Digest.of(challenges(target))
        assert digest is not None
        return digest.answer(APP_USER, method, target)

    def test_count(self) -> None:
        """A nonce serves several requests, each with the next number; none twice."""
        digest = Digest.of(challenges("/digest/who"))
        assert digest is not None
        fields = [digest.answer(APP_USER, "GET", "/digest/who") for _ in range(3)]
        self.assertEqual([get("/digest/who", f"Authorization: {field}").status for field in fields], [200, 200, 200])
        self.assertEqual(get("/digest/who", f"Authorization: {fields[1]}").status, 401)
        self.assertEqual(get("/digest/who", f"Authorization: {fields[2]}").status, 401)

    @each(
        ("response=\"", 'response="0', 401), ('nonce="', 'nonce="A', 401), ('uri="/digest/who', 'uri="/digest/other',
            400),
        ('username="app"', 'username="short"', 401), (f'realm="{REALM}"', 'realm="other"', 401), ("nc=00000001",
            "nc=00000002", 401),
        ("nc=00000001", "nc=1", 400), ("nc=00000001", "nc=zzzzzzzz", 400), ("qop=auth", "qop=auth-int", 401),
        ("qop=auth", "qop=nonsense", 400), ('cnonce="', 'cnonce="x', 401), ("algorithm=SHA-256", "algorithm=MD5", 401),
        ("algorithm=SHA-256", "algorithm=CRC32", 401),
    )  # fmt: skip
    def test_changed(self, old: str, new: str, status: int) -> None:
        """An answer in which anything was changed is refused: 401 or, where it makes no sense, 400."""
        field = self.answered()
        self.assertIn(old, field)
        reply = get("/digest/who", f"Authorization: {field.replace(old, new, 1)}")
        self.assertIn(reply.status, (400, 401))

    def test_of_another_request(self) -> None:
        field = self.answered()
        self.assertIn(get("/digest/hello/Bob", f"Authorization: {field}").status, (400, 401))
        field = self.answered()
        self.assertIn(get("/digest/hello/Bob", f"Authorization: {field}", method="POST").status, (400, 401))

    def test_nonce_of_our_own(self) -> None:
        digest = Digest({"realm": REALM, "nonce": "f00d" * 10, "qop": "auth", "algorithm": "SHA-256"})
        field = digest.answer(APP_USER, "GET", "/digest/who")
        self.assertEqual(get("/digest/who", f"Authorization: {field}").status, 401)

    def test_nonces_differ(self) -> None:
        nonces = {re.findall(r'nonce="([^"]*)"', text)[0] for _ in range(5) for text in challenges("/digest/who")[:1]}
        self.assertEqual(len(nonces), 5)

    @each(
        "Digest", "Digest ", "Digest nonsense", 'Digest username="app', "Digest username=app, realm", "Digest =,=,=",
        'Digest username="app", username="ann"', "Digest " + "a=b, " * 1500, 'Digest username="' + "x" * 20_000 + '"',
        "Digest \xff\xfe", 'Digest username="app", realm="r", nonce="n", uri="/", response="x"',
    )  # fmt: skip
    def test_malformed(self, field: str) -> None:
        self.assertIn(get("/digest/who", f"Authorization: {field}").status, (400, 401))

    @each("Digest nonsense", 'Digest username="app', "Digest =,=,=")
    def test_plainly_malformed(self, field: str) -> None:
        self.assertEqual(get("/digest/who", f"Authorization: {field}").status, 400)

    def test_basic_instead(self) -> None:
        """A password that is sent in the clear does not open what asks for digest."""
        self.assertIn(get("/digest/who", f"Authorization: {basic(APP_USER)}").status, (400, 401))

    def test_query(self) -> None:
        self.assertEqual(signed("/digest/hello/Bob?", APP_USER, "SHA-256").status, 200)

    def test_post(self) -> None:
        digest = Digest.of(challenges("/digest/hello/Bob"))
        assert digest is not None
        field = digest.answer(APP_USER, "POST", "/digest/hello/Bob")
        self.assertEqual(get("/digest/hello/Bob", f"Authorization: {field}", method="POST").text, "Hello, Bob")


@tables
class RouteTests(SynchronousTestCase):
    """What is protected."""

    def test_some_routes(self) -> None:
        self.assertEqual(get("/some/hello/Hans_Roh").text, "Hello, Hans Roh")
        self.assertEqual(get("/some/closed").status, 401)
        self.assertEqual(signed("/some/closed", ("app", "pw"), "SHA-256").text, "closed app")

    @each("/digest/hello/Bob", "/digest/closed", "/digest/ran")
    def test_all_routes(self, target: str) -> None:
        self.assertEqual(get(target).status, 401)

    @each("GET", "POST", "HEAD")
    def test_methods(self, method: str) -> None:
        self.assertEqual(get("/digest/hello/Bob", method=method).status, 401)

    def test_options(self) -> None:
        """OPTIONS never runs a protected view."""
        for fields in ((), ("Origin: http://a.example", "Access-Control-Request-Method: POST")):
            reply = get("/digest/hello/Bob", *fields, method="OPTIONS")
            self.assertNotIn("Hello", reply.text)
            self.assertLess(reply.status, 500)
        self.assertNotIn("OPTIONS", json.loads(get("/some/ran").body))

    def test_not_found(self) -> None:
        self.assertIn(get("/digest/nothing").status, (401, 404))
