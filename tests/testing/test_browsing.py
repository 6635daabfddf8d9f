"""Tests of what ``skitai.testing.Client`` does as a browser would: cookies, redirections, uploads, credentials, TLS."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Client, Cookie, RedirectError, Request

Environ = dict[str, Any]
Start = Callable[..., Any]


def say(start_response: Start, text: str, *fields: tuple[str, str], status: str = "200 OK") -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain"), *fields])
    return [text.encode()]


def shop(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Set cookies as the query says, and tell those that came."""
    fields = [("Set-Cookie", value) for value in parse_qs(environ["QUERY_STRING"]).get("set", [])]
    return say(start_response, environ.get("HTTP_COOKIE", "-"), *fields)


def signpost(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Redirect as the query says, else tell what came."""
    query = parse_qs(environ["QUERY_STRING"])
    if "to" in query:
        fields = [("Location", query["to"][0]), ("Set-Cookie", "seen=1")]
        return say(start_response, "", *fields, status=query.get("status", ["302 Found"])[0])
    seen = [environ["REQUEST_METHOD"], environ["REQUEST_URI"], environ["wsgi.input"].read().decode()]
    for name in ("CONTENT_TYPE", "HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_COOKIE", "wsgi.url_scheme"):
        seen.append(environ.get(name, ""))
    return say(start_response, "|".join(seen))


def letterbox(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Tell the parts of a form, as the standard library reads them."""
    head = b"Content-Type: " + environ["CONTENT_TYPE"].encode() + b"\r\n\r\n"
    parts: Any = message_from_bytes(head + environ["wsgi.input"].read()).get_payload()
    told = [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts]
    return say(start_response, repr(told))


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Club:
    """Lets Ann in, who knows the password; a nonce is good for two requests."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.nonces = 0
        self.left = 0

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Ask for credentials, or say that they are right."""
        said = environ.get("HTTP_AUTHORIZATION", "")
        self.seen.append(said.partition(" ")[0])
        found = dict(re.findall(r'(\w+)="?([^",]*)', said))
        secret, action = md5("ann:club:secret"), md5(f"{environ['REQUEST_METHOD']}:{environ['REQUEST_URI']}")
        middle = ":".join(found.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
        right = found.get("response") == md5(f"{secret}:{middle}:{action}")
        if right and found["nonce"] == f"n{self.nonces}" and self.left:
            self.left -= 1
            return say(start_response, f"welcome {found['nc']}")
        self.nonces, self.left = self.nonces + 1, 2
        challenge = f'Digest realm="club", nonce="n{self.nonces}", qop="auth", algorithm=MD5'
        fields = [("WWW-Authenticate", 'Basic realm="club"'), ("WWW-Authenticate", challenge)]
        return say(start_response, "who are you?", *fields, status="401 Unauthorized")


class CookieTests(SynchronousTestCase):
    """Cookies are kept between requests."""

    def test_kept(self) -> None:
        """What one response sets the next request has."""
        client = Client(shop)
        self.assertEqual(client.get("/?set=a=1&set=b=2").text, "-")
        self.assertEqual(client.get("/").text, "a=1; b=2")
        self.assertEqual(dict(client.cookies), {"a": "1", "b": "2"})

    def test_off(self) -> None:
        """A client need not keep any."""
        client = Client(shop, cookies=False)
        client.get("/?set=a=1")
        client.cookies["b"] = "2"
        self.assertEqual(client.get("/").text, "-")

    def test_set_by_the_test(self) -> None:
        """A test sets and clears cookies; a field of its own takes their place."""
        client = Client(shop)
        client.cookies["a"] = "1"
        client.cookies.add(Cookie("b", "2", path="/p"))
        self.assertEqual(client.get("/").text, "a=1")
        self.assertEqual(client.get("/p/q?x=/").text, "b=2; a=1")
        self.assertEqual(client.get("/", {"cookie": "c=3"}).text, "c=3")
        client.cookies.clear()
        self.assertEqual(client.get("/p").text, "-")

    def test_path_and_query(self) -> None:
        """The default path is that of the request, without its query."""
        client = Client(shop)
        client.get("/p/q?set=a=1&x=/y/z")
        self.assertEqual([client.get(path).text for path in ("/p/r", "/p", "/")], ["a=1", "a=1", "-"])

    def test_host(self) -> None:
        """Hosts have cookies of their own; ports do not count."""
        client = Client(shop)
        client.get("/?set=a=1", {"Host": "One.example:8080"})
        self.assertEqual(client.get("/", {"Host": "one.example"}).text, "a=1")
        self.assertEqual(client.get("/").text, "-")

    def test_expiry(self) -> None:
        """The clock of the client counts."""
        client = Client(shop)
        client.get("/?set=a=1; Max-Age=60".replace(" ", "%20").replace(";", "%3B"))
        client.reactor.advance(59)
        self.assertEqual(client.get("/").text, "a=1")
        client.reactor.advance(1)
        self.assertEqual(client.get("/").text, "-")

    def test_secure(self) -> None:
        """A secure cookie goes over TLS only."""
        client = Client(shop)
        client.get("/?set=a=1%3B%20Secure", secure=True)
        self.assertEqual(client.get("/").text, "-")
        self.assertEqual(client.get("/", secure=True).text, "a=1")


class RedirectTests(SynchronousTestCase):
    """Redirections are followed when the test says so."""

    def setUp(self) -> None:
        self.client = Client([("/", signpost), ("/", shop, "app", None, "shop.example .all.example")], cookies=False)

    def follow(self, method: str, path: str, **more: Any) -> list[str]:
        response = self.client.request(method, path, follow_redirects=True, **more)
        return response.text.split("|")[:3]

    def test_not_followed(self) -> None:
        """It is off by default."""
        response = self.client.get("/?to=/a")
        self.assertEqual((response.status, response.history, response.url), (302, [], "http://localhost/?to=/a"))

    def test_history(self) -> None:
        """The responses on the way are there."""
        response = self.client.get("/?to=/%3Fto%3D/end", follow_redirects=True)
        self.assertEqual((response.status, response.url), (200, "http://localhost/end"))
        self.assertEqual([earlier.status for earlier in response.history], [302, 302])
        self.assertEqual(response.history[1].url, "http://localhost/?to=/end")

    def test_methods(self) -> None:
        """301, 302 and 303 ask for GET without a body, 307 and 308 for the same again."""
        for status in ("301 M", "302 F", "303 S"):
            self.assertEqual(self.follow("POST", f"/?to=/a&status={status}", data={"b": "c"}), ["GET", "/a", ""])
            self.assertEqual(self.follow("PUT", f"/?to=/a&status={status}", data=[b"x"]), ["GET", "/a", ""])
            self.assertEqual(self.client.head(f"/?to=/a&status={status}", follow_redirects=True).status, 200)
        for status in ("307 T", "308 P"):
            self.assertEqual(self.follow("POST", f"/?to=/a&status={status}", data={"b": "c"}), ["POST", "/a", "b=c"])
            self.assertEqual(self.follow("PUT", f"/?to=/a&status={status}", data=iter([b"x"])), ["PUT", "/a", "x"])
        self.assertIn("||localhost||", self.client.post("/?to=/a", b"x", follow_redirects=True).text)

    def test_not_a_redirection(self) -> None:
        """Other statuses, and a missing or foreign target, end it."""
        for status in ("300 M", "304 N", "305 U", "201 C"):
            response = self.client.get(f"/?to=/a&status={status}", follow_redirects=True)
            self.assertEqual((response.status, response.history), (int(status[:3]), []))
        self.assertEqual(self.client.get("/?to=mailto:a@b", follow_redirects=True).status, 302)

    def test_targets(self) -> None:
        """Relative and absolute targets are resolved; a fragment stays at home."""
        for target, uri in (
            ("b", "/p/b"), ("../b", "/b"), ("%3Fq=1", "/p/?q=1"), ("http://localhost", "/"), ("//localhost/b", "/b"),
            ("/a%23f", "/a"), ("/a%20b", "/a%20b"), ("/%25C3%25A9", "/%C3%A9"),
        ):  # fmt: skip
            self.assertEqual(self.follow("GET", f"/p/?to={target}")[1], uri, target)

    def test_too_many(self) -> None:
        """Ten in a row are followed, the eleventh is an error."""
        target = "/end"
        for _ in range(10):
            target = "/?to=" + target.replace("%", "%25").replace("?", "%3F").replace("&", "%26")
        self.assertEqual(len(self.client.get(target, follow_redirects=True).history), 10)
        client = Client(lambda environ, start: say(start, "", ("Location", "/loop"), status="302 Found"))
        error = self.assertRaises(RedirectError, client.get, "/", follow_redirects=True)
        self.assertIn("more than 10 redirections", str(error))
        self.assertEqual(len(error.history), 11)

    def test_hosts(self) -> None:
        """It goes on to hosts that are mounted here, not to others."""
        self.assertEqual(self.follow("GET", "/?to=http://shop.example/"), ["-"])
        self.assertEqual(self.follow("GET", "/?to=http://b.all.example:81/"), ["-"])
        error = self.assertRaises(RedirectError, self.follow, "GET", "/?to=http://elsewhere.example/x")
        self.assertIn("http://elsewhere.example/x leads to a host that is not mounted here", str(error))

    def test_scheme(self) -> None:
        """A redirection to https continues over TLS."""
        response = self.client.get("/?to=https://localhost/a", follow_redirects=True)
        self.assertEqual((response.text.split("|")[-1], response.url), ("https", "https://localhost/a"))

    def test_credentials(self) -> None:
        """Credentials and cookies stay with those whom they were given for."""
        fields = {"Authorization": "Basic x", "Cookie": "a=b"}
        same = self.client.get("/?to=/a", fields, follow_redirects=True).text
        self.assertEqual(same.split("|")[5:7], ["Basic x", "a=b"])
        for more in ({"headers": fields}, {"auth": ("u", "p")}):
            response = self.client.request("GET", "/?to=https://localhost/a", follow_redirects=True, **more)
            self.assertEqual(response.text.split("|")[5:7], ["", ""])

    def test_cookies(self) -> None:
        """What a redirection sets, its target gets."""
        response = Client(signpost).get("/?to=/a", follow_redirects=True)
        self.assertEqual(response.text.split("|")[6], "seen=1")


class UploadTests(SynchronousTestCase):
    """Files are uploaded as by a form."""

    def test_form(self) -> None:
        """Fields and files arrive together."""
        response = Client(letterbox, piece_size=7).post("/", {"a": "b"}, files={"f": ("x.txt", b"content")})
        self.assertEqual(response.text, repr([("a", b"b"), ("f", b"content")]))

    def test_wrong(self) -> None:
        """A body that is no form can not be sent with files."""
        client = Client(letterbox)
        self.assertRaises(ValueError, client.post, "/", b"data", files={"f": b""})
        self.assertRaises(ValueError, client.post, "/", json=1, files={"f": b""})
        self.assertRaises(TypeError, client.post, "/", file={"f": b""})


class CredentialTests(SynchronousTestCase):
    """Users and passwords."""

    def test_basic(self) -> None:
        """Basic credentials go with the request; a field of its own takes their place."""
        expected = "Basic " + b64encode(b"ann:secret").decode()
        client = Client(signpost)
        self.assertEqual(client.get("/", auth=("ann", "secret")).text.split("|")[5], expected)
        self.assertEqual(client.get("/", {"Authorization": "Own"}, auth=("ann", "x")).text.split("|")[5], "Own")
        self.assertEqual(client.get("/").text.split("|")[5], "")

    def test_digest(self) -> None:
        """Once asked, the client answers a digest challenge, and again while the nonce is good."""
        club = Club()
        client = Client(club)
        texts = [client.get("/a?b=c", auth=("ann", "secret")).text for _ in range(3)]
        self.assertEqual(texts, ["welcome 00000001", "welcome 00000002", "welcome 00000001"])
        self.assertEqual(club.seen, ["Basic", "Digest", "Digest", "Digest", "Digest"])

    def test_refused(self) -> None:
        """A wrong password is tried no more than twice."""
        club = Club()
        client = Client(club)
        self.assertEqual(client.get("/", auth=("ann", "wrong")).status, 401)
        self.assertEqual(club.seen, ["Basic", "Digest"])
        self.assertEqual(client.get("/").status, 401)


class OtherTests(SynchronousTestCase):
    """TLS, requests as values, and the end."""

    def test_secure(self) -> None:
        """An application sees https where the client or the request says so."""
        for always, once, scheme in (
            (False, None, "http"), (False, True, "https"), (True, None, "https"), (True, False, "http"),
        ):  # fmt: skip
            response = Client(signpost, secure=always).get("/", secure=once)
            self.assertEqual(response.text.split("|")[-1], scheme)
            self.assertTrue(response.url.startswith(f"{scheme}://"))

    def test_request(self) -> None:
        """A request can be written down and made several times."""
        request = Request("POST", "/a", {"b": "c"}, secure=True)
        client = Client(signpost)
        self.assertEqual(client.perform(request).text, client.perform(request).text)

    def test_close(self) -> None:
        """The end of a block ends the applications once, in the opposite order."""
        ended: list[str] = []
        with Client(shop) as client:
            client._at_close += [lambda: ended.append("first"), lambda: ended.append("second")]
            self.assertEqual(client.get("/").status, 200)
            self.assertEqual(ended, [])
        client.close()
        self.assertEqual(ended, ["second", "first"])
