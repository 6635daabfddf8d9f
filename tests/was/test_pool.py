"""Who gets which connection, when new ones are made, and when old ones are closed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.errors import ConnectFailed, NameNotFound, RequestError
from skitai.was.connecting import Dialer
from skitai.was.http1 import Head
from skitai.was.limits import ClientSettings, Target
from skitai.was.outgoing import Outgoing
from skitai.was.pool import Pool
from skitai.was.url import read_url
from tests.was.backends import HANGS, OK, Backend, Message, Network, answer

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

    def test_a_fresh_one_waits_while_others_pass(self) -> None:
        self.network.serve(self.hold)
        pool = self.pool(max_connections=1)
        first, fresh, third = self.visit(pool), self.visit(pool, fresh=True), self.visit(pool)
        self.reply()
        self.assertEqual((first.ended, fresh.lease, third.reused), (True, None, True))
        self.reply()
        self.assertFalse(fresh.reused)
        self.reply()
        self.assertTrue(fresh.ended)


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
        visitor = self.visit(self.pool(connect_timeout=2.0))
        self.network.wait(1.9)
        self.assertFalse(visitor.ended)
        self.network.wait(0.2)
        self.assertTrue(visitor.ended)
        self.assertEqual(self.network.attempts, [])

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
        self.assertEqual(self.network.lookups, ["a.example"] * 2)

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
            self.assertIn("http://a.example:80: the connection is refused", str(visitor.error))

    def test_who_does_not_answer(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.network.places[("192.0.2.1", 80)] = HANGS
        visitor = self.visit(self.pool(connect_timeout=2.0))
        self.network.wait(2)
        self.assertIn("within 2 s", str(visitor.error))
        self.assertEqual(self.network.attempts, [])

    def test_attempts_that_nobody_waits_for_end(self) -> None:
        self.network.names["a.example"] = ["192.0.2.1"]
        self.network.places[("192.0.2.1", 80)] = HANGS
        pool = self.pool()
        visitors = [self.visit(pool) for _ in range(3)]
        for left in (2, 1, 0):
            pool.forget(visitors.pop())
            self.assertEqual((pool.counts["connecting"], len(self.network.attempts)), (left, left))
        self.assertEqual(self.emptied, [pool])

    def test_who_has_left_is_not_kept_until_the_lookup_ends(self) -> None:
        self.network.names["a.example"] = None
        pool = self.pool()
        for _ in range(3):
            pool.forget(self.visit(pool))
        self.assertEqual(self.network.lookups, ["a.example"])
        self.assertEqual(pool._dialer.names._asking, {"a.example": []})

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
