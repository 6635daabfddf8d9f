"""Requests that are made more than once: after a dead connection, a redirect, or a demand for credentials."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from skitai.digests import request_digest, user_hash
from skitai.errors import (
    BadAnswer,
    ConnectFailed,
    RequestTimeout,
)
from skitai.was.outgoing import Outgoing, build
from skitai.was.url import read_url
from tests.was.backends import OK, Backend, Message, answer
from tests.was.cases import URL, Case, Payload, get


class StaleConnectionTests(Case):
    """A server may close an idle connection at any time, also when a request is on its way."""

    def setUp(self) -> None:
        super().setUp()
        self.count = 0

    def prepare(self, *later: bytes | str) -> None:
        """Make an idle connection; what it, and the next ones, do with further requests is ``later``."""
        actions = [OK, *later]

        def handle(backend: Backend, message: Message) -> bytes | None:
            self.count += 1
            action = actions.pop(0) if actions else OK
            if isinstance(action, bytes):
                return action
            getattr(backend.transport, action)()
            return None

        self.serve(handle)
        self.request()
        self.answered()

    def test_closed_while_idle(self) -> None:
        self.prepare()
        self.network.backends[0].transport.loseConnection()
        self.network.flush()
        self.assertEqual(self.client.counts["idle"], 0)
        self.request(build("post", read_url(URL)[0], "x"))
        self.answered()
        self.assertEqual(len(self.network.links), 2)

    def test_said_something_while_idle(self) -> None:
        self.prepare()
        self.network.backends[0].transport.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.network.flush()
        self.assertEqual(self.network.open, 0)

    def test_a_get_is_repeated_once(self) -> None:
        self.prepare("loseConnection")
        self.request()
        self.answered()
        self.assertEqual((self.count, len(self.network.links)), (3, 2))

    def test_a_put_is_repeated_from_its_beginning(self) -> None:
        self.prepare("abortConnection")
        payload = Payload([b"abc"], 3)
        self.request(Outgoing("PUT", read_url(URL)[0], payload=payload))
        self.answered()
        self.assertEqual([message.body for message in self.network.backends[1].messages], [b"abc"])
        self.assertEqual(payload.begun, 2)

    def test_a_post_is_not(self) -> None:
        self.prepare("loseConnection")
        self.request(build("post", read_url(URL)[0], "x"))
        error = self.failure(ConnectFailed, "without an answer")
        self.assertEqual((error.sent, error.answered, self.count), (True, False, 2))

    def test_a_timeout_of_the_idle_connection_is_no_answer(self) -> None:
        self.prepare(answer(b"", "Connection: close", status="408 Request Timeout"))
        self.request()
        self.answered()
        self.assertEqual((self.count, len(self.network.links)), (3, 2))

    def test_a_timeout_is_an_answer_to_a_post_and_on_a_new_connection(self) -> None:
        tired = answer(b"", "Connection: close", status="408 Request Timeout")
        self.prepare(tired)
        self.request(build("post", read_url(URL)[0], "x"))
        self.answered(408)
        self.serve(tired)
        self.request()
        self.answered(408)

    def test_not_a_second_time(self) -> None:
        self.prepare("loseConnection", "loseConnection")
        self.request()
        self.failure(ConnectFailed)
        self.assertEqual(self.count, 3)

    def test_not_when_an_answer_has_begun(self) -> None:
        self.prepare(b"HTTP/1.1 200 OK\r\nContent-Le", OK)
        self.request()
        self.network.flush()
        self.network.backends[0].transport.loseConnection()
        self.failure(BadAnswer)
        self.assertEqual(self.count, 2)

    def test_not_on_a_new_connection(self) -> None:
        self.serve(lambda backend, message: backend.transport.loseConnection())
        self.request()
        self.failure(ConnectFailed)
        self.assertEqual(len(self.network.links), 1)

    def test_not_among_other_idle_connections(self) -> None:
        """Where one has died, the others of the same age are probably dead as well."""
        held: list[Backend] = []

        def handle(backend: Backend, message: Message) -> bytes | None:
            self.count += 1
            if self.count <= 2:
                held.append(backend)
                return None
            if backend in held:
                backend.transport.loseConnection()
                return None
            return OK

        self.serve(handle)
        self.request()
        self.request()
        self.network.flush()
        for backend in list(held):
            backend.transport.write(OK)
        self.answered()
        self.answered()
        self.assertEqual(self.client.counts["idle"], 2)
        self.request()
        self.answered()
        self.assertEqual(len(self.network.links), 3)

    def test_a_post_goes_again_where_nothing_was_sent(self) -> None:
        self.prepare()
        link = self.network.links[0]
        link.server_transport.writeSomeData = lambda data: ConnectionError()  # type: ignore[method-assign]
        self.request(build("post", read_url(URL)[0], "x"))
        self.answered()
        self.assertEqual([message.body for message in self.network.backends[1].messages], [b"x"])

    def test_nor_where_a_long_one_was_to_begin(self) -> None:
        self.prepare()
        link = self.network.links[0]
        link.server_transport.writeSomeData = lambda data: ConnectionError()  # type: ignore[method-assign]
        payload = Payload([b"x" * 65536] * 3, 3 * 65536)
        self.request(Outgoing("POST", read_url(URL)[0], payload=payload))
        self.answered()
        self.assertEqual([len(message.body) for message in self.network.backends[1].messages], [3 * 65536])

    def test_a_post_leaves_while_it_is_known_that_the_connection_is_alive(self) -> None:
        """At the end of a long turn nobody knows, and it must not be sent twice."""
        self.prepare()
        self.network.advance(0)
        connection = next(iter(next(iter(self.client._pools.values()))._idle))
        connection._outbox._last = self.network.seconds()
        self.request(build("post", read_url(URL)[0], "x"))
        self.assertTrue(connection.sent)
        self.answered()

    def test_one_that_waits_to_leave_is_not_lost_with_its_connection(self) -> None:
        """It has not left, whatever the server says before it closes."""
        for farewell in (b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"):
            self.setUp()
            self.prepare()
            self.network.advance(0)
            connection = next(iter(next(iter(self.client._pools.values()))._idle))
            connection._outbox._last = self.network.seconds()
            self.request(build("put", read_url(URL)[0], "x"))
            self.assertFalse(connection.sent)
            if farewell:
                connection.dataReceived(farewell)
            else:
                connection.transport.connectionLost(Failure(ConnectionDone()))
            self.answered()
            self.assertEqual(self.count, 2)
            self.assertEqual([message.body for message in self.network.backends[1].messages], [b"x"])

    def test_a_post_does_not_go_over_a_connection_that_the_kernel_knows_is_closed(self) -> None:
        self.prepare()
        connection = next(iter(self.client._pools.copy().popitem()[1]._idle))
        connection.alive = lambda: False  # type: ignore[method-assign]
        self.request(build("post", read_url(URL)[0], "x"))
        self.answered()
        self.assertEqual(len(self.network.links), 2)


class RedirectTests(Case):
    def redirects(self, table: dict[str, str], status: str = "302 Found") -> list[tuple[str, Message]]:
        """Serve a.example and b.example; redirect by host and path, else tell what was asked."""
        seen: list[tuple[str, Message]] = []

        def handle(backend: Backend, message: Message) -> bytes:
            host = message.headers["host"]
            seen.append((host, message))
            to = table.get(host + message.target)
            return OK if to is None else answer(b"moved", f"Location: {to}", status=status)

        self.serve(handle)
        self.network.serve(handle, "b.example", 80, "192.0.2.2")
        return seen

    def test_followed(self) -> None:
        for status in ("301 x", "302 x", "303 x", "307 x", "308 x"):
            self.redirects({"a.example/path?q=1": "/two", "a.example/two": "three?x=ü"}, status)
            self.request()
            got = self.answered()
            self.assertEqual((got.url, got.history, got.body), ("http://a.example/three?x=%C3%BC", 2, b"ok"))
            self.assertEqual(self.client.counts["open"], 1)

    def test_only_get_and_head(self) -> None:
        seen = self.redirects({"a.example/path?q=1": "/two"})
        self.request(build("post", read_url(URL)[0], "x"))
        self.assertEqual(self.answered(302).body, b"moved")
        self.request(build("head", read_url(URL)[0]))
        self.network.flush()
        self.assertEqual(seen[-1][1].method, "HEAD")

    def test_no_location_is_an_answer(self) -> None:
        self.serve(answer(b"where?", status="302 Found"))
        self.request()
        self.assertEqual(self.answered(302).body, b"where?")

    def test_a_loop(self) -> None:
        seen = self.redirects({"a.example/path?q=1": "/path?q=1"})
        self.request()
        self.failure(BadAnswer, "more than 10 redirects")
        self.assertEqual(len(seen), 11)

    def test_to_another_scheme(self) -> None:
        for place in ("file:///etc/passwd", "ftp://a.example/", "javascript:alert(1)", "http://", "http://[::1", "//"):
            self.redirects({"a.example/path?q=1": place})
            self.request()
            self.failure(BadAnswer, "redirects to what can not be asked")

    def secrets(self, place: str) -> Message:
        seen = self.redirects({"a.example/path?q=1": place})
        headers = {"Cookie": "a=b", "X-Mine": "1", "Proxy-Authorization": "x"}
        self.request(get(headers=headers, auth=("user", "password")))
        self.answered()
        return seen[-1][1]

    def test_secrets_stay_with_the_origin(self) -> None:
        headers = self.secrets("/two").headers
        self.assertEqual((headers["cookie"], headers["x-mine"], headers["authorization"][:5]), ("a=b", "1", "Basic"))

    def test_secrets_do_not_go_to_another_origin(self) -> None:
        headers = self.secrets("http://b.example/").headers
        self.assertEqual(headers["x-mine"], "1")
        for name in ("cookie", "authorization", "proxy-authorization"):
            self.assertNotIn(name, headers)

    def test_nor_in_a_header_of_the_caller_nor_to_another_port(self) -> None:
        seen = self.redirects({"a.example/path?q=1": "http://a.example:8080/"})
        self.network.places[("192.0.2.1", 8080)] = self.network.places[("192.0.2.1", 80)]
        self.request(get(headers={"Authorization": "Bearer abc"}))
        self.answered()
        self.assertEqual(seen[-1][0], "a.example:8080")
        self.assertNotIn("authorization", seen[-1][1].headers)

    def test_nor_come_back(self) -> None:
        seen = self.redirects({"a.example/path?q=1": "http://b.example/", "b.example/": "http://a.example/end"})
        self.request(get(auth=("user", "password")))
        self.answered()
        self.assertEqual(seen[-1][1].target, "/end")
        self.assertNotIn("authorization", seen[-1][1].headers)

    def test_credentials_in_a_location_are_not_used(self) -> None:
        seen = self.redirects({"a.example/path?q=1": "http://user:pw@b.example/"})
        self.request()
        self.assertEqual(self.answered().url, "http://b.example/")
        self.assertNotIn("authorization", seen[-1][1].headers)

    def test_a_redirect_with_an_endless_body(self) -> None:
        def handle(backend: Backend, message: Message) -> bytes:
            if message.target == "/end":
                return OK
            return b"HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\n" + b"x" * 300_000

        self.serve(handle)
        self.request()
        self.answered()
        self.assertEqual(len(self.network.links), 2)

    def test_the_rest_is_not_read_where_the_connection_ends_with_it(self) -> None:
        for rest in ("\r\nbody that never ends", "Content-Length: 50\r\nConnection: close\r\n\r\nbody"):
            moved = f"HTTP/1.1 302 Found\r\nLocation: /end\r\n{rest}".encode()
            self.serve(lambda backend, message, moved=moved: OK if message.target == "/end" else moved)  # type: ignore[misc]
            self.request()
            self.assertEqual(self.answered().history, 1)
            self.drop_idle()

    def test_a_redirect_whose_body_is_cut(self) -> None:
        def handle(backend: Backend, message: Message) -> bytes | None:
            if message.target == "/end":
                return OK
            backend.transport.write(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 9\r\n\r\nx")
            backend.transport.loseConnection()
            return None

        self.serve(handle)
        self.request()
        self.answered()

    def test_the_deadline_is_that_of_all_together(self) -> None:
        def handle(backend: Backend, message: Message) -> None:
            self.network.callLater(1, backend.transport.write, answer(b"", "Location: /x", status="302 Found"))

        self.serve(handle)
        self.request(timeout=3.5)
        for _ in range(40):
            self.network.wait(0.1)
        error = self.failure(RequestTimeout)
        self.assertTrue(error.answered)
        self.network.wait(1)  # the server's own timer


class AuthTests(Case):
    def guard(self, handle: Any) -> list[str]:
        """Serve with ``handle(authorization, message)``; return the Authorization fields seen."""
        seen: list[str] = []

        def handler(backend: Backend, message: Message) -> bytes:
            seen.append(message.headers.get("authorization", ""))
            return handle(seen[-1], message)  # type: ignore[no-any-return]

        self.serve(handler)
        return seen

    def digest(self, nonces: list[str], password: str = "sesame") -> Any:
        """Return a handler that wants Digest with the first of ``nonces``, which then is the only one that is good."""

        def handle(authorization: str, message: Message) -> bytes:
            stale = ""
            if authorization.startswith("Digest "):
                fields = dict(part.split("=", 1) for part in authorization[7:].split(", "))
                given = {name: value.strip('"') for name, value in fields.items()}
                key = user_hash("SHA-256", "user", "here", password)
                between = f"{given['nonce']}:{given['nc']}:{given['cnonce']}:auth"
                right = given["response"] == request_digest("SHA-256", key, message.method, message.target, between)
                if right and given["nonce"] == nonces[0]:
                    return answer(f"{given['nc']} {message.body.decode()}".encode())
                stale = ", stale=true" * right
            challenge = f'Digest realm="here", qop="auth", algorithm=SHA-256, nonce="{nonces[0]}"{stale}'
            return answer(b"", f"WWW-Authenticate: {challenge}", status="401 Unauthorized")

        return handle

    def test_basic_goes_at_once(self) -> None:
        seen = self.guard(lambda authorization, message: OK)
        self.request(get(auth=("üser", "pass:word")))
        self.answered()
        self.assertEqual(b64decode(seen[0][6:]).decode(), "üser:pass:word")

    def test_bearer(self) -> None:
        seen = self.guard(lambda authorization, message: answer(b"", status="401 Unauthorized"))
        self.request(get(auth="abc.def"))
        self.answered(401)
        self.assertEqual(seen, ["Bearer abc.def"])

    def test_basic_that_is_wrong_is_not_repeated(self) -> None:
        seen = self.guard(
            lambda authorization, message: answer(b"no", 'WWW-Authenticate: Basic realm="x"', status="401 No")
        )
        self.request(get(auth=("user", "wrong")))
        self.assertEqual(self.answered(401).body, b"no")
        self.assertEqual(len(seen), 1)

    def test_digest_on_challenge_and_then_at_once(self) -> None:
        seen = self.guard(self.digest(["n1"]))
        for count, requests in (("00000001 x", 2), ("00000002 x", 3)):
            self.request(build("post", read_url(URL)[0], "x", None, ("user", "sesame")))
            self.assertEqual(self.answered().body.decode(), count)  # type: ignore[union-attr]
            self.assertEqual(len(seen), requests)
        self.assertEqual(len(self.network.links), 1)

    def test_digest_with_a_wrong_password(self) -> None:
        seen = self.guard(self.digest(["n1"]))
        self.request(get(auth=("user", "wrong")))
        self.answered(401)
        self.assertEqual(len(seen), 2)

    def test_a_nonce_that_has_become_stale(self) -> None:
        nonces = ["n1"]
        seen = self.guard(self.digest(nonces))
        self.request(get(auth=("user", "sesame")))
        self.answered()
        nonces[0] = "n2"
        self.request(get(auth=("user", "sesame")))
        self.answered()
        self.assertEqual(len(seen), 4)

    def test_a_server_that_always_says_stale(self) -> None:
        challenge = 'WWW-Authenticate: Digest realm="here", qop="auth", nonce="n", stale=true'
        seen = self.guard(lambda authorization, message: answer(b"", challenge, status="401 No"))
        self.request(get(auth=("user", "sesame")))
        self.answered(401)
        self.assertEqual(len(seen), 3)

    def test_the_rest_of_a_401_is_not_read_where_the_connection_ends_with_it(self) -> None:
        challenge = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="here", qop="auth", nonce="n"\r\n\r\nbody'
        seen = self.guard(lambda authorization, message: OK if authorization[:6] == "Digest" else challenge)
        self.request(get(auth=("user", "sesame")))
        self.answered()
        self.assertEqual((len(seen), len(self.network.links)), (2, 2))
