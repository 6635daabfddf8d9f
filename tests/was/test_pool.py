"""Who gets which connection, when new ones are made, and when old ones are closed."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConnectFailed, NameNotFound, RequestError
from skitai.was.connecting import NEXT_ADDRESS, Dialer
from skitai.was.connection import JUST_FREE
from skitai.was.http1 import Head
from skitai.was.limits import ClientSettings, Target
from skitai.was.names import MAX_LOOKUPS
from skitai.was.outgoing import Outgoing
from skitai.was.pool import Pool
from skitai.was.url import read_url
from tests.was.backends import HANGS, OK, Backend, Message, Network, answer
from tests.was.test_names import Seeker

REQUEST = Outgoing("GET", read_url("http://a.example/")[0])


class Visitor:
    """A waiter that makes one request when it gets a connection. The sink, too."""

    def __init__(self) -> None:
        self.lease: Any = None
        self.reused = False
        self.error: RequestError | None = None
        self.body = b""
        self.ended = False

    def on_lease(self, lease: Any) -> None:
        self.lease = lease
        self.reused = lease.reused
        lease.start(REQUEST, (), self)

    def on_no_lease(self, error: RequestError) -> None:
        self.error = error

    def on_head(self, head: Head) -> None:
        """Nothing is expected of it."""

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended = True

    def on_failure(self, error: RequestError) -> None:
        self.error = error


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.emptied: list[Pool] = []
        self.held: list[Backend] = []

    def pool(self, host: str = "a.example", **settings: Any) -> Pool:
        target = Target("http", host, 80)
        pool = Pool(Dialer(self.network, ClientSettings(**settings)), target, self.emptied.append)
        self.addCleanup(self.check_clean, pool)
        return pool

    def check_clean(self, pool: Pool) -> None:
        pool.close()
        pool._dialer.names.close()
        for backend in self.network.backends:
            backend.transport.abortConnection()
        self.network.flush()
        self.assertEqual(set(pool.counts.values()), {0})
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertTrue(self.emptied)

    def hold(self, backend: Backend, message: Message) -> None:
        """Do not answer until ``reply``."""
        self.held.append(backend)

    def reply(self, data: bytes = OK) -> None:
        self.held.pop(0).transport.write(data)
        self.network.flush()

    def visit(self, pool: Pool, fresh: bool = False) -> Visitor:
        visitor = Visitor()
        pool.acquire(visitor, fresh)
        self.network.flush()
        return visitor


class LeaseTests(Case):
    def test_the_last_one_used_is_taken_first(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool()
        first, second = self.visit(pool), self.visit(pool)
        self.reply()
        self.reply()
        third = self.visit(pool)
        self.assertIs(third.lease, second.lease)
        self.assertEqual((first.reused, third.reused), (False, True))

    def test_the_limit_and_the_order_of_the_queue(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=2)
        visitors = [self.visit(pool) for _ in range(5)]
        self.assertEqual(pool.counts, {"open": 2, "idle": 0, "connecting": 0, "waiting": 3})
        for count in range(1, 6):
            self.reply()
            self.assertEqual([visitor.ended for visitor in visitors], [True] * count + [False] * (5 - count))
        self.assertEqual(len(self.network.links), 2)

    def test_a_connection_that_is_lost_makes_room(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=1)
        first, second = self.visit(pool), self.visit(pool)
        self.held.pop(0).transport.abortConnection()
        self.network.flush()
        self.assertIsInstance(first.error, ConnectFailed)
        self.reply()
        self.assertTrue(second.ended)

    def test_the_queue_has_an_end(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=1, max_waiting=2)
        visitors = [self.visit(pool) for _ in range(4)]
        self.assertEqual([visitor.error is not None for visitor in visitors], [False, False, False, True])
        for visitor in visitors:
            pool.forget(visitor)
        assert visitors[3].error is not None
        self.assertTrue(visitors[3].error.queued)

    def test_an_answer_that_ends_the_connection(self) -> None:
        self.network.serve(lambda backend, message: answer(b"ok", "Connection: close"))
        pool = self.pool()
        self.visit(pool)
        self.assertEqual((self.network.open, len(self.emptied)), (0, 1))

    def test_a_fresh_one_is_not_an_old_one(self) -> None:
        self.network.serve(lambda backend, message: OK)
        pool = self.pool()
        self.visit(pool)
        self.assertFalse(self.visit(pool, fresh=True).reused)

    def test_a_fresh_one_makes_room_where_the_limit_is_reached(self) -> None:
        self.network.serve(lambda backend, message: OK)
        pool = self.pool(max_connections=1)
        self.visit(pool)
        fresh = self.visit(pool, fresh=True)
        self.assertEqual((fresh.ended, fresh.reused, len(self.network.links)), (True, False, 2))

    def test_a_fresh_one_has_its_turn(self) -> None:
        """Where the limit is reached an old connection makes room."""
        self.network.serve(self.hold)
        pool = self.pool(max_connections=1)
        first, fresh, third = self.visit(pool), self.visit(pool, fresh=True), self.visit(pool)
        self.reply()
        self.assertEqual((first.ended, fresh.reused, fresh.lease is None, third.lease), (True, False, False, None))
        self.assertEqual((self.network.open, len(self.network.links)), (1, 2))
        self.reply()
        self.assertEqual((fresh.ended, third.reused), (True, True))
        self.reply()

    def test_others_pass_a_fresh_one_that_is_connecting(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=2)
        self.visit(pool)
        self.network.places[("192.0.2.1", 80)] = HANGS
        fresh, third = self.visit(pool, fresh=True), self.visit(pool)
        self.reply()
        self.assertEqual((fresh.lease, third.reused), (None, True))
        self.reply()
        self.assertEqual((fresh.lease, pool.counts["idle"]), (None, 1))
        pool.forget(fresh)

    def test_fresh_ones_do_not_starve_under_load(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=2)
        for _ in range(2):
            self.visit(pool)
        fresh = [self.visit(pool, fresh=True) for _ in range(3)]
        others = [self.visit(pool) for _ in range(3)]
        for _ in range(8):
            others.append(self.visit(pool))
            self.reply()
        self.assertEqual([visitor.ended for visitor in fresh], [True] * 3)
        self.assertEqual({visitor.reused for visitor in fresh}, {False})
        while self.held:
            self.reply()
        self.assertEqual({visitor.ended for visitor in others}, {True})

    def test_who_waits_because_of_our_own_limits(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=1)
        running, queued = self.visit(pool), self.visit(pool)
        self.assertEqual((pool.holds_back(running), pool.holds_back(queued)), (False, True))
        pool.forget(queued)
        self.assertFalse(pool.holds_back(queued))
        self.reply()

    def test_who_waits_because_of_the_server(self) -> None:
        """It does not accept connections: that others wait as well is no limit of ours."""
        self.network.serve(self.hold)
        pool = self.pool(max_connections=2)
        self.network.places[("192.0.2.1", 80)] = HANGS
        visitors = [self.visit(pool) for _ in range(3)]
        self.assertEqual([pool.holds_back(visitor) for visitor in visitors], [False] * 3)
        for visitor in visitors:
            pool.forget(visitor)

    def test_who_waits_for_a_lookup_to_begin(self) -> None:
        pool = self.pool("last.example")
        names = pool._dialer.names
        for number in range(MAX_LOOKUPS):
            self.network.names[f"dead{number}.example"] = None
            names.ask(f"dead{number}.example", Seeker())
        visitor = self.visit(pool)
        self.assertEqual((pool.holds_back(visitor), names.is_queued("last.example")), (True, True))
        pool.forget(visitor)
        self.assertEqual((names.is_queued("last.example"), pool.counts["connecting"]), (False, 0))


class DeadTests(Case):
    """Connections that the kernel knows more of than the reactor does."""

    def idle(self) -> tuple[Pool, socket.socket]:
        """Return a pool with one idle connection, and the other end of its socket."""
        self.network.serve(lambda backend, message: OK)
        pool = self.pool()
        visitor = self.visit(pool)
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        visitor.lease._socket = ours
        return pool, theirs

    def test_one_that_is_alive_is_used(self) -> None:
        pool, _ = self.idle()
        self.network.wait(1)
        self.assertTrue(self.visit(pool).reused)

    def test_one_that_was_closed_is_not(self) -> None:
        pool, theirs = self.idle()
        theirs.close()
        self.network.wait(1)
        self.assertFalse(self.visit(pool).reused)
        self.assertEqual((self.network.open, len(self.network.links)), (1, 2))

    def test_one_that_was_talked_on_is_not(self) -> None:
        """It would be the answer to the next request."""
        pool, theirs = self.idle()
        theirs.send(b"HTTP/1.1 500 Server Gone\r\nContent-Length: 5\r\n\r\nSTALE")
        self.network.wait(JUST_FREE)
        visitor = self.visit(pool)
        self.assertEqual((visitor.body, visitor.reused), (b"ok", False))

    def test_the_kernel_is_not_asked_about_one_that_was_in_use_just_now(self) -> None:
        pool, theirs = self.idle()
        theirs.close()
        self.network.wait(0.0005)
        self.assertTrue(self.visit(pool).reused)


class ConnectTests(Case):
    def test_all_addresses_in_turn(self) -> None:
        self.network.serve(lambda backend, message: OK)
        self.network.names["a.example"] = ["2001:db8::1", "192.0.2.9", "192.0.2.1"]
        self.assertTrue(self.visit(self.pool()).ended)
        self.assertEqual(self.network.tried, ["2001:db8::1", "192.0.2.9", "192.0.2.1"])

    def test_addresses_that_do_not_answer_take_the_time_of_one_each(self) -> None:
        self.network.serve(lambda backend, message: OK)
        self.network.names["a.example"] = ["192.0.2.9", "192.0.2.1"]
        self.network.places[("192.0.2.9", 80)] = HANGS
        pool = self.pool(connect_timeout=5.0)
        visitor = self.visit(pool)
        self.network.wait(NEXT_ADDRESS - 0.1)
        self.assertFalse(visitor.ended)
        self.network.wait(0.2)
        self.assertTrue(visitor.ended)
        self.assertEqual(self.network.attempts, [])
        self.network.links[0].server_transport.abortConnection()
        self.network.flush()
        self.assertTrue(self.visit(pool).ended, "the one that works comes first")

    def test_the_last_address_has_all_the_time(self) -> None:
        self.network.names["a.example"] = ["192.0.2.9", "192.0.2.1"]
        self.network.places[("192.0.2.9", 80)] = self.network.places[("192.0.2.1", 80)] = HANGS
        visitor = self.visit(self.pool(connect_timeout=5.0))
        self.network.wait(NEXT_ADDRESS)
        self.network.wait(4.9)
        self.assertIsNone(visitor.error)
        self.network.wait(0.2)
        self.assertIn("within 5 s", str(visitor.error))

    def test_an_address_needs_no_lookup(self) -> None:
        for host in ("192.0.2.1", "2001:db8::1"):
            self.network.places[(host, 80)] = lambda: Backend(lambda backend, message: OK)
            self.assertTrue(self.visit(self.pool(host)).ended)
        self.assertEqual(self.network.lookups, [])

    def test_one_lookup_for_all_who_ask_meanwhile(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool()
        visitors = [Visitor() for _ in range(3)]
        for visitor in visitors:
            pool.acquire(visitor)
        self.network.flush()
        self.assertEqual((self.network.lookups, len(self.network.links)), (["a.example"], 3))
        self.visit(pool)
        self.assertEqual(self.network.lookups, ["a.example"])

    def test_a_name_that_is_not_there_is_so_for_all(self) -> None:
        pool = self.pool()
        visitors = [Visitor() for _ in range(3)]
        for visitor in visitors:
            pool.acquire(visitor)
        self.network.flush()
        errors = [visitor.error for visitor in visitors]
        self.assertEqual([type(error) for error in errors], [NameNotFound] * 3)
        self.assertEqual(len({id(error) for error in errors}), 3)

    def test_who_refuses_is_asked_for_each(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        pool = self.pool(max_connections=1)
        visitors = [self.visit(pool) for _ in range(3)]
        for visitor in visitors:
            self.assertIsInstance(visitor.error, ConnectFailed)
            self.assertEqual(str(visitor.error), "the connection is refused")

    def test_who_does_not_answer(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.network.places[("192.0.2.1", 80)] = HANGS
        visitor = self.visit(self.pool(connect_timeout=2.0))
        self.network.wait(2)
        self.assertIn("within 2 s", str(visitor.error))
        self.assertEqual(self.network.attempts, [])

    def test_attempts_that_nobody_waits_for_end(self) -> None:
        """All but one at once, and that one in the time of one address."""
        self.network.names["a.example"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        for address in self.network.names["a.example"] or ():
            self.network.places[(address, 80)] = HANGS
        pool = self.pool(connect_timeout=2.0)
        visitors = [self.visit(pool) for _ in range(3)]
        for left in (2, 1, 1):
            pool.forget(visitors.pop())
            self.assertEqual((pool.counts["connecting"], len(self.network.attempts)), (left, left))
        self.network.wait(1.9)
        self.assertEqual((pool.counts["connecting"], self.emptied), (1, []))
        self.network.wait(0.2)
        self.assertEqual((self.network.attempts, self.emptied), ([], [pool]))

    def test_who_has_little_time_finds_what_the_one_before_has_begun(self) -> None:
        """Connecting takes longer than each of them waits."""
        self.network.serve(lambda backend, message: OK)
        self.network.connect_delay = 0.4
        pool = self.pool()
        for _ in range(3):
            visitor = self.visit(pool)
            self.network.wait(0.3)
            if visitor.ended:
                break
            pool.forget(visitor)
        self.assertEqual((visitor.ended, visitor.reused, len(self.network.links)), (True, False, 1))
        self.network.wait(10)
        self.assertEqual((pool.counts["connecting"], pool.counts["idle"]), (0, 2), "its own was there, too")

    def test_what_an_older_attempt_comes_to_is_not_the_end_of_who_came_later(self) -> None:
        self.network.places[("192.0.2.1", 80)] = HANGS
        self.network.names["a.example"] = ["192.0.2.1"]
        pool = self.pool(connect_timeout=5.0)
        first = self.visit(pool)
        self.network.wait(3)
        pool.forget(first)
        self.network.wait(1.9)
        self.network.serve(lambda backend, message: OK)
        later = self.visit(pool)
        self.network.wait(0.2)
        self.assertIsNone(later.error)
        self.assertTrue(later.ended)

    def test_one_that_has_waited_for_a_request_may_be_dead_too(self) -> None:
        self.network.serve(lambda backend, message: OK)
        self.network.connect_delay = 0.4
        pool = self.pool()
        pool.forget(self.visit(pool))
        self.network.wait(1)
        self.assertTrue(self.visit(pool).reused)

    def test_who_comes_later_has_all_the_time(self) -> None:
        """An attempt that had been given up nearly is its own from then on."""
        self.network.names["a.example"] = ["192.0.2.1", "192.0.2.2"]
        self.network.places[("192.0.2.1", 80)] = HANGS
        self.network.places[("192.0.2.2", 80)] = lambda: Backend(lambda backend, message: OK)
        pool = self.pool(connect_timeout=2.0)
        pool.forget(self.visit(pool))
        self.network.wait(1)
        visitor = self.visit(pool)
        self.network.wait(1.1)
        self.assertTrue(visitor.ended)

    def test_who_has_left_is_not_kept_until_the_lookup_ends(self) -> None:
        self.network.names["a.example"] = None
        pool = self.pool()
        for _ in range(3):
            pool.forget(self.visit(pool))
        self.assertEqual((self.network.lookups, pool.counts["connecting"]), (["a.example"], 1))
        self.network.wait(5)
        self.assertEqual((len(pool._dialer.names), self.emptied), (1, [pool]))
        self.assertEqual([len(lookup.seekers) for lookup in pool._dialer.names._running], [0])

    def test_a_connection_that_came_too_late_is_kept(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool()
        first = self.visit(pool)
        second = Visitor()
        pool.acquire(second)
        self.held.pop(0).transport.write(OK)
        self.network.flush()
        self.assertTrue(first.ended)
        self.assertEqual(pool.counts["open"], 2)
        self.assertEqual(pool.counts["idle"], 1)

    def test_tells_who_it_can_not_trust_to_be_there(self) -> None:
        """A ``cafile`` that can not be used fails the request, not the reactor."""
        from skitai.was.limits import Trust

        target = Target("https", "192.0.2.1", 443, Trust("/nonexistent.pem"))
        pool = Pool(Dialer(self.network, ClientSettings()), target, self.emptied.append)
        self.addCleanup(self.check_clean, pool)
        self.assertIn("/nonexistent.pem", str(self.visit(pool).error))


class IdleTests(Case):
    def test_closed_after_a_while(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(keep_alive_timeout=10.0)
        self.visit(pool)
        self.visit(pool)
        self.reply()
        self.network.wait(6)
        self.reply()
        self.network.wait(4)
        self.assertEqual((pool.counts["idle"], self.network.open), (1, 1))
        self.network.wait(6)
        self.assertEqual((self.network.open, self.emptied), (0, [pool]))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_using_it_begins_the_time_anew(self) -> None:
        self.network.serve(lambda backend, message: OK)
        pool = self.pool(keep_alive_timeout=10.0)
        for _ in range(5):
            self.visit(pool)
            self.network.wait(7)
        self.assertEqual(len(self.network.links), 1)

    def test_sooner_than_the_server_would(self) -> None:
        for stated, kept in (("timeout=5, max=100", 4), ("timeout=1", 0.5), ("timeout=60", 15), ("nonsense", 15)):
            self.network.serve(lambda backend, message, stated=stated: answer(b"", f"Keep-Alive: {stated}"))  # type: ignore[misc]
            pool = self.pool()
            self.visit(pool)
            self.network.wait(kept - 0.1)
            self.assertEqual(self.network.open, 1, stated)
            self.network.wait(0.2)
            self.assertEqual(self.network.open, 0, stated)

    def test_not_used_any_more_before_it_is_closed(self) -> None:
        """What the server has said counts, although the timer is set for a connection that may stay longer."""
        self.network.serve(self.hold)
        pool = self.pool()
        self.visit(pool)
        self.visit(pool)
        self.reply()
        self.network.wait(1)
        self.reply(answer(b"", "Keep-Alive: timeout=3"))
        self.network.wait(2.5)
        last = self.visit(pool)
        self.assertIs(last.lease, next(iter(pool._open - set(self.lost()))))
        self.assertEqual(pool.counts["open"], 1)
        self.reply()

    def lost(self) -> list[Any]:
        return [link.server_transport.protocol for link in self.network.links if link.server_transport.disconnected]

    def test_one_that_a_thread_has_taken(self) -> None:
        """It is nobody else's, and not closed for being idle; with the pool it is, should it never come back."""
        self.network.serve(lambda backend, message: OK)
        pool = self.pool(keep_alive_timeout=10.0)
        self.visit(pool)
        taken = pool.take()
        assert taken is not None
        self.assertIsNone(pool.take())
        self.network.wait(20)
        self.assertEqual((pool.counts["open"], taken.usable), (1, True))
        pool.close()
        self.network.flush()
        self.assertEqual((taken.usable, self.network.open, self.emptied), (False, 0, [pool]))

    def test_one_that_a_thread_takes_meanwhile(self) -> None:
        """The reactor has seen it among the idle ones, and would close it: to tidy up, or to make room."""

        class Raced(dict[Any, None]):
            """A thread takes the first one just when they have been looked at."""

            def __iter__(self) -> Any:
                seen = list(super().__iter__())
                del self[seen[0]]
                return iter(seen)

        self.network.serve(self.hold)
        pool = self.pool(max_connections=2, keep_alive_timeout=10.0)
        self.visit(pool)
        self.visit(pool)
        for _ in range(2):
            self.reply()
        taken, other = pool._idle
        pool._idle = Raced(pool._idle)
        waiter = Visitor()
        pool.acquire(waiter, fresh=True)
        self.network.flush()
        self.assertEqual((taken.usable, other.usable), (True, False))
        self.assertIsNotNone(waiter.lease, "the other one has made room")
        pool._idle = Raced({taken: None})
        self.network.wait(20)
        self.assertEqual((pool.counts["idle"], taken.usable), (0, True))
        pool.free(taken)
        self.reply()

    def test_none_are_kept(self) -> None:
        self.network.serve(lambda backend, message: OK)
        self.visit(self.pool(keep_alive_timeout=0.0))
        self.assertEqual(self.network.open, 0)

    def test_close_lets_what_runs_end(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool()
        running, idle = self.visit(pool), self.visit(pool)
        self.held.pop().transport.write(OK)
        self.network.flush()
        pool.close()
        self.network.flush()
        self.assertEqual((idle.ended, self.network.open, self.emptied), (True, 1, []))
        self.reply()
        self.assertEqual((running.ended, self.network.open, self.emptied), (True, 0, [pool]))
        late = self.visit(pool)
        self.assertIsInstance(late.error, ConnectFailed)
