"""One connection: how a request leaves, how its answer is handed over, and what is told when."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import BadAnswer, ConnectFailed, RequestError
from skitai.testing.clock import Reactor
from skitai.testing.pump import BytePump
from skitai.testing.transport import CLIENT_ADDRESS, SERVER_ADDRESS, MemoryTransport
from skitai.was.connection import JUST_FREE, LINGER, Connection
from skitai.was.http1 import AnswerLimits, Head
from skitai.was.outbox import CLOSELY, Outbox
from skitai.was.outgoing import ONE_WRITE, Outgoing, build
from skitai.was.payloads import BytesPayload
from skitai.was.url import read_url
from tests.was.backends import OK

URL = read_url("http://a.example/")[0]
GET = build("get", URL)


class Recorder:
    """Opener, owner and sink in one: remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.connection: Connection | None = None
        self.give_up_at = ""

    def tell(self, word: str, detail: object = None) -> None:
        self.told.append(word if detail is None else (word, detail))
        if word == self.give_up_at and self.connection is not None:
            self.connection.abort()

    def made(self, connection: Connection) -> None:
        self.connection = connection

    def ready(self, connection: Connection) -> None:
        connection.owner = self
        self.tell("ready")

    def failed(self, reason: Failure, words: str = "") -> None:
        self.tell("failed", words)

    def free(self, connection: Connection) -> None:
        self.tell("free")

    def gone(self, connection: Connection) -> None:
        self.tell("gone")

    def on_head(self, head: Head) -> None:
        self.tell("head", head.status)

    def on_data(self, data: bytes) -> None:
        self.tell("data", data)

    def on_end(self) -> None:
        self.tell("end")

    def on_failure(self, error: RequestError) -> None:
        self.tell("failure", error)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.recorder = Recorder()
        self.connection = Connection(self.recorder, None, AnswerLimits(), self.reactor, Outbox(self.reactor))
        self.pump = BytePump(self.connection, reactor=self.reactor)
        self.server = self.pump.client

    def start(self, outgoing: Outgoing = GET) -> None:
        self.connection.start(outgoing, (), self.recorder)
        self.recorder.told.clear()
        self.pump.flush()

    def failure(self) -> RequestError:
        errors = [told[1] for told in self.recorder.told if told[0] == "failure"]
        self.assertEqual(len(errors), 1, self.recorder.told)
        return errors[0]  # type: ignore[no-any-return]


class RequestTests(Case):
    def test_ready_at_once_without_tls(self) -> None:
        self.assertEqual(self.recorder.told, ["ready"])

    def test_sent_at_once(self) -> None:
        """It is on the wire without a turn of the reactor."""
        self.connection.start(GET, ((b"x-a", b"1"),), self.recorder)
        wire = bytes(self.pump.server_transport.wire)
        self.assertTrue(wire.startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n"), wire)
        self.assertIn(b"X-A: 1\r\n", wire)

    def test_one_at_a_time(self) -> None:
        self.connection.start(GET, (), self.recorder)
        self.assertIn("BUSY", str(self.assertRaises(RuntimeError, self.connection.start, GET, (), self.recorder)))
        self.connection.abort()
        self.assertIn("CLOSED", str(self.assertRaises(RuntimeError, self.connection.start, GET, (), self.recorder)))
        self.pump.flush()

    def test_what_the_kernel_does_not_take_follows(self) -> None:
        content = b"x" * ONE_WRITE
        self.connection.start(Outgoing("PUT", URL, payload=BytesPayload(content)), (), self.recorder)
        self.assertLess(len(self.pump.server_transport.wire), ONE_WRITE + 10)
        self.pump.flush()
        self.assertTrue(self.server.take().endswith(b"\r\n\r\n" + content))
        self.pump.send(OK)
        self.reactor.advance(CLOSELY)
        self.connection.start(GET, (), self.recorder)
        self.assertTrue(self.pump.server_transport.wire.startswith(b"GET"), "not at once any more")

    def test_the_next_one_leaves_at_the_end_of_the_turn(self) -> None:
        self.start()
        self.pump.send(OK)
        self.server.take()
        self.connection.start(GET, (), self.recorder)
        self.assertFalse(self.connection.sent)
        self.assertEqual(bytes(self.pump.server_transport.wire), b"")
        self.pump.flush()
        self.assertTrue(self.connection.sent)
        self.assertTrue(self.server.take().startswith(b"GET"))

    def test_a_dead_connection_says_that_nothing_was_sent(self) -> None:
        self.pump.server_transport.writeSomeData = lambda data: ConnectionLost()  # type: ignore[method-assign]
        self.connection.start(GET, (), self.recorder)
        self.assertEqual(self.recorder.told, ["ready"], "not while it is made")
        self.reactor.advance(0)
        self.assertEqual((self.failure().sent, self.failure().answered), (False, False))

    def test_an_answer_to_nothing_before_the_request_has_left(self) -> None:
        """A server may say 408 and close just when the connection is used again."""
        self.start()
        self.pump.send(OK)
        self.recorder.told.clear()
        self.connection.start(GET, (), self.recorder)
        self.connection.dataReceived(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((self.failure().sent, self.failure().answered), (False, False))

    def test_lost_before_the_request_has_left(self) -> None:
        self.start()
        self.pump.send(OK)
        self.recorder.told.clear()
        self.connection.start(GET, (), self.recorder)
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.failure().sent)

    def test_given_up_before_the_request_has_left(self) -> None:
        self.start()
        self.pump.send(OK)
        self.server.take()
        self.connection.start(GET, (), self.recorder)
        self.connection.abort()
        self.pump.flush()
        self.assertEqual(self.server.take(), b"")


class AnswerTests(Case):
    def test_handed_over_in_order_and_free_before_the_end(self) -> None:
        """Who is told of the end may make the next request at once, with this connection."""
        self.start()
        self.pump.send(OK)
        self.assertEqual(self.recorder.told, [("head", 200), ("data", b"ok"), "free", "end"])
        self.assertTrue(self.connection.reused)

    def test_not_free_where_the_server_closes(self) -> None:
        self.start()
        self.pump.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.recorder.told, [("head", 200), "end", "gone"])

    def test_interim_answers_are_passed_over(self) -> None:
        self.start()
        self.pump.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        self.assertEqual((self.recorder.told, self.connection.answered), ([], True))
        self.pump.send(OK)
        self.assertEqual(self.recorder.told[-1], "end")

    def test_nothing_more_after_giving_up(self) -> None:
        self.start()
        self.recorder.give_up_at = "head"
        self.pump.send(OK)
        self.assertEqual(self.recorder.told, [("head", 200), "gone"])

    def test_bad_answers(self) -> None:
        self.start()
        self.pump.send(b"nonsense\r\n\r\n")
        self.assertIsInstance(self.failure(), BadAnswer)
        self.assertTrue(self.pump.client.lost)


class EarlyTests(Case):
    """A thread sends; the reactor hears of it later, from the thread or from the server."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.expires = 100.0
        self.recorder.told.clear()
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1
        self.assertTrue(self.connection.adopt(GET, self.recorder))

    def send(self, outgoing: Outgoing = GET, extra: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
        self.connection.send_early(outgoing, extra, self.begin)
        return bytes(self.pump.server_transport.wire)

    def test_the_answer_after_it_was_adopted(self) -> None:
        self.assertTrue(self.send(extra=((b"x-a", b"1"),)).startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n"))
        self.assertFalse(self.connection.usable)
        self.begin()
        self.pump.send(OK)
        self.assertEqual(self.recorder.told, [("head", 200), ("data", b"ok"), "free", "end"])
        self.assertTrue(self.connection.usable)

    def test_the_answer_before(self) -> None:
        self.send()
        self.pump.send(OK)
        self.assertEqual((self.begun, self.recorder.told), (1, [("head", 200), ("data", b"ok"), "free", "end"]))
        self.assertFalse(self.connection.adopt(GET, self.recorder), "not a second time")

    def test_content_goes_with_it(self) -> None:
        outgoing = Outgoing("POST", URL, payload=BytesPayload(b"x=1"))
        self.assertTrue(self.send(outgoing).endswith(b"Content-Length: 3\r\n\r\nx=1"))

    def test_what_the_kernel_does_not_take_follows(self) -> None:
        content = b"x" * ONE_WRITE
        self.assertEqual(len(self.send(Outgoing("PUT", URL, payload=BytesPayload(content)))), ONE_WRITE)
        self.assertTrue(self.connection.adopt(GET, self.recorder))
        self.pump.flush()
        self.assertTrue(self.server.take().endswith(b"\r\n\r\n" + content))
        self.pump.send(OK)
        self.assertTrue(self.connection.usable, "all of it was sent")

    def test_an_answer_before_all_was_sent_ends_the_connection(self) -> None:
        self.send(Outgoing("PUT", URL, payload=BytesPayload(b"x" * ONE_WRITE)))
        self.connection.dataReceived(OK)
        self.assertEqual(self.recorder.told, [("head", 200), ("data", b"ok"), "end"])
        self.assertFalse(self.connection.usable)
        self.pump.flush()

    def test_lost_before_it_was_adopted(self) -> None:
        self.send()
        self.pump.close()
        self.assertEqual((self.begun, self.recorder.told[0]), (1, "gone"))
        self.assertEqual((self.failure().sent, self.failure().answered), (True, False))

    def test_nobody_adopts_it(self) -> None:
        """What began it has failed; the connection is of no use."""
        self.connection.send_early(GET, (), lambda: None)
        self.pump.send(OK)
        self.assertEqual(self.recorder.told, ["gone"])

    def test_given_up_before_it_was_adopted(self) -> None:
        self.send()
        self.connection.abort()
        self.pump.flush()
        self.assertEqual((self.begun, self.recorder.told), (0, ["gone"]))

    def test_not_over_one_that_has_ended(self) -> None:
        self.pump.close()
        self.assertEqual(self.send(), b"")
        self.assertFalse(self.connection.adopt(GET, self.recorder))

    def test_not_over_one_that_may_be_closed_by_now(self) -> None:
        self.connection.expires = 0.0
        self.assertEqual(self.send(), b"")

    def test_not_over_one_that_takes_nothing(self) -> None:
        self.pump.server_transport.writeSomeData = lambda data: ConnectionLost()  # type: ignore[method-assign]
        self.assertEqual(self.send(), b"")
        self.assertFalse(self.connection.adopt(GET, self.recorder))

    def test_not_after_the_server_has_said_something(self) -> None:
        """The thread has taken the connection, but not sent yet when that comes."""
        self.pump.send(OK)
        self.assertEqual(self.send(), b"")
        self.assertEqual(self.recorder.told, ["gone"])

    def test_the_kernel_is_asked_where_a_request_must_not_be_sent_twice(self) -> None:
        self.pump.server_transport.is_quiet = lambda sure: not sure  # type: ignore[method-assign]
        self.assertEqual(self.send(Outgoing("POST", URL)), b"", "it is dead")
        self.assertNotEqual(self.send(), b"")

    def test_the_kernel_is_asked_about_one_that_is_idle_for_a_while(self) -> None:
        self.pump.server_transport.is_quiet = lambda sure: not sure  # type: ignore[method-assign]
        self.reactor.advance(JUST_FREE)
        self.assertEqual(self.send(), b"")

    def test_not_while_the_reactor_reads(self) -> None:
        """What it has in its hands is no answer; a connection that was used is as good as new."""
        self.send()
        self.begin()
        self.pump.send(OK)
        self.connection.expires = 100.0
        self.pump.server_transport.heard = True
        self.assertEqual(self.send(), b"")
        self.pump.server_transport.heard = False
        self.assertNotEqual(self.send(), b"")

    def test_the_socket_is_locked_meanwhile(self) -> None:
        """Else the reactor could close it, and its number be that of another one."""
        transport = self.pump.server_transport
        locked: list[bool] = []
        is_quiet, send_now = transport.is_quiet, transport.send_now
        transport.is_quiet = lambda sure: locked.append(transport.lock.locked()) or is_quiet(sure)  # type: ignore
        transport.send_now = lambda data: locked.append(transport.lock.locked()) or send_now(data)  # type: ignore
        self.assertNotEqual(self.send(), b"")
        self.assertEqual(locked, [True, True])

    def test_the_reactor_drops_it_while_a_thread_is_about_to_send(self) -> None:
        connection = self.connection

        class Lock:
            def __enter__(self) -> None: ...

            def __exit__(self, *args: object) -> None:
                if connection._lock is self:
                    connection._lock = threading.Lock()
                    connection.send_early(GET, (), lambda: None)

        connection._lock = Lock()
        connection.dataReceived(OK)
        self.assertEqual(bytes(self.pump.server_transport.wire), b"")
        self.pump.flush()
        self.assertEqual(self.recorder.told, ["gone"])

    def test_interrupted_while_it_sends(self) -> None:
        """Nobody knows how much has left: it is not sent again, and ends as what was lost on the way."""

        def send_now(data: bytes) -> int:
            raise KeyboardInterrupt

        self.pump.server_transport.send_now = send_now  # type: ignore[method-assign]
        self.assertRaises(KeyboardInterrupt, self.send)
        self.begin()
        self.pump.flush()
        self.assertEqual((self.failure().sent, self.failure().answered), (True, False))

    def test_interrupted_when_all_was_sent(self) -> None:
        """The answer counts; the connection, about which nobody knows enough, carries nothing more."""
        send_now = self.pump.server_transport.send_now

        def interrupted(data: bytes) -> int:
            send_now(data)
            raise KeyboardInterrupt

        self.pump.server_transport.send_now = interrupted  # type: ignore[method-assign]
        self.assertRaises(KeyboardInterrupt, self.send)
        self.connection.dataReceived(OK)
        self.assertEqual(self.recorder.told, [("head", 200), ("data", b"ok"), "end"])
        self.assertFalse(self.connection.usable)
        self.pump.flush()
        self.assertEqual(self.recorder.told[3:], ["gone"])

    def test_what_is_given_up_is_not_sent(self) -> None:
        """Neither in the moment in which a thread has looked and will send: that is all under the lock."""
        connection = self.connection
        seen: list[bool] = []

        class Lock:
            def __enter__(self) -> None: ...

            def __exit__(self, *args: object) -> None:
                seen.append(connection.usable)

        for shut in (connection.abort, connection.close):
            self.setUp()
            connection = self.connection
            connection._lock = Lock()
            getattr(connection, shut.__name__)()
            self.assertEqual(self.send(), b"")
            self.pump.flush()
        self.assertEqual(seen, [False] * 4)

    def test_a_field_that_can_not_be_sent(self) -> None:
        self.assertEqual(self.send(extra=((b"x-a", b"1\r\nX-B: 2"),)), b"")
        self.assertTrue(self.connection.usable)

    def test_not_over_tls(self) -> None:
        self.assertTrue(self.connection.open_to_threads)
        self.recorder.told.clear()
        secure: Any = SimpleNamespace(check=lambda handle: True, describe=str)
        connection = Connection(self.recorder, secure, AnswerLimits(), self.reactor, Outbox(self.reactor))
        transport: Any = BytePump(connection, reactor=self.reactor).server_transport
        transport.getHandle = lambda: None
        connection.handshakeCompleted()
        self.assertEqual(self.recorder.told, ["ready"])
        self.assertFalse(connection.open_to_threads)


class EndTests(Case):
    def lose(self, error: Exception) -> None:
        self.pump.server_transport.connectionLost(Failure(error))

    def test_without_an_answer(self) -> None:
        self.start()
        self.lose(ConnectionDone())
        self.assertEqual(self.recorder.told[0], "gone")
        error = self.failure()
        self.assertEqual((type(error), error.sent, error.answered), (ConnectFailed, True, False))

    def test_in_the_middle(self) -> None:
        for reason in (ConnectionDone(), ConnectionLost()):
            self.setUp()
            self.start()
            self.pump.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
            self.lose(reason)
            error = self.failure()
            self.assertEqual((type(error), error.sent, error.answered), (BadAnswer, True, True))

    def test_which_is_the_end_of_the_answer(self) -> None:
        self.start()
        self.pump.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        self.lose(ConnectionDone())
        self.assertEqual(self.recorder.told[-2:], ["gone", "end"])

    def test_while_idle(self) -> None:
        self.lose(ConnectionDone())
        self.assertEqual(self.recorder.told, ["ready", "gone"])
        self.assertFalse(self.connection.usable)

    def test_something_comes_while_idle(self) -> None:
        self.pump.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertEqual(self.recorder.told, ["ready", "gone"])

    def test_close_is_orderly(self) -> None:
        self.connection.close()
        self.connection.close()
        self.assertFalse(self.connection.usable)
        self.pump.flush()
        assert self.server.lost is not None
        self.assertIsInstance(self.server.lost.value, ConnectionDone)


class AliveTests(Case):
    """The kernel is asked, so these need a socket, but no reactor."""

    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.connection._socket = ours
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)

    def test_quiet(self) -> None:
        self.assertTrue(self.connection.alive())

    def test_closed(self) -> None:
        self.theirs.close()
        self.assertFalse(self.connection.alive())

    def test_something_came(self) -> None:
        self.theirs.send(b"x")
        self.assertFalse(self.connection.alive())


class UnsentTests(Case):
    """An answer that comes while plain TCP still holds some of its request."""

    def test_the_connection_is_cut(self) -> None:
        """Closed in order it would be kept until the server reads what it has no use for any more."""
        for pending, told in ((b"rest", ["head", "data", "end", "gone"]), (b"", ["head", "data", "free", "end"])):
            self.setUp()
            self.start()
            transport: Any = self.connection.transport
            transport.dataBuffer, transport.offset, transport._tempDataLen = pending, 0, 0
            self.connection._direct = self.connection._queued = True
            self.pump.send(OK)
            self.assertEqual([word if isinstance(word, str) else word[0] for word in self.recorder.told], told)


class SecureTests(SynchronousTestCase):
    """With a stand-in for TLS: the real one is in ``test_tls``."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.recorder = Recorder()
        self.good = True
        connection = Connection(self.recorder, self, AnswerLimits(), self.reactor, Outbox(self.reactor))  # type: ignore[arg-type]
        self.connection = connection
        self.pump = BytePump(connection, reactor=self.reactor)
        transport: Any = self.pump.server_transport
        transport.getHandle = lambda: "the handle"

    def check(self, connection: Any) -> bool:
        self.assertEqual(connection, "the handle")
        return self.good

    def describe(self, error: BaseException) -> str:
        return f"because of {type(error).__name__}"

    def test_ready_when_the_handshake_is_over(self) -> None:
        self.assertEqual(self.recorder.told, [])
        self.connection.handshakeCompleted()
        self.assertEqual(self.recorder.told, ["ready"])

    def test_the_kernel_is_asked_below_tls(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.setblocking(False)
        transport: Any = self.pump.server_transport
        transport.transport = SimpleNamespace(socket=ours)
        self.connection.handshakeCompleted()
        self.assertTrue(self.connection.alive())
        theirs.close()
        self.assertFalse(self.connection.alive())

    def test_an_answer_while_some_of_the_request_is_encrypted_but_not_sent(self) -> None:
        """Behind it nothing else would be read."""
        for pending, last in ((b"ciphertext", "end"), (b"", "free")):
            self.setUp()
            below = MemoryTransport(Protocol(), self.reactor, CLIENT_ADDRESS, SERVER_ADDRESS)
            transport: Any = self.pump.server_transport
            transport.transport = below
            self.connection.handshakeCompleted()
            self.connection.start(GET, (), self.recorder)
            self.pump.flush()
            below.dataBuffer = pending
            self.recorder.told.clear()
            self.pump.send(OK)
            self.assertEqual(self.recorder.told[2:3], [last])
            self.assertEqual(self.connection.usable, last == "free")

    def test_not_with_a_false_certificate(self) -> None:
        self.good = False
        self.connection.handshakeCompleted()
        self.pump.flush()
        self.assertEqual(self.recorder.told, [("failed", "because of ConnectionAborted")])

    def test_lost_before_it_is_ready(self) -> None:
        self.pump.close()
        self.assertEqual(self.recorder.told, [("failed", "because of ConnectionDone")])

    def test_a_server_that_does_not_end_tls_is_cut_off(self) -> None:
        self.connection.handshakeCompleted()
        self.pump.server_transport.loseConnection = lambda: None  # type: ignore[method-assign]
        self.connection.close()
        self.pump.advance(LINGER - 0.1)
        self.assertIsNone(self.pump.client.lost)
        self.pump.advance(0.2)
        self.assertIsNotNone(self.pump.client.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
