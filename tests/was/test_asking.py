"""``skitai.was.asking``, ``places`` and ``probing``: questions over a network in memory; fail-over, flights, probes."""

from __future__ import annotations

import gc
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.aliases import make_alias
from skitai.was import calls as calls_module
from skitai.was.calls import RemoteCalls, Verb
from skitai.was.gathering import MapHandle
from skitai.was.handle import Handle
from skitai.was.outgoing import ONE_WRITE
from tests.openfiles import open_files
from tests.was.backends import Backend, Message, Network, answer
from tests.was.doubles import Caller

A, B = ("192.0.2.1", 80), ("192.0.2.2", 80)


class AskingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.seen: list[Message] = []
        self.caller = Caller(self.network, make_alias("@two", "http", ["192.0.2.1", "192.0.2.2"], {}))

    def tearDown(self) -> None:
        """Nothing is left: no request, no connection, no timer."""
        closed = self.caller.asker.close()
        self.network.flush()
        self.successResultOf(closed)
        self.assertEqual(self.network.open, 0)
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(len(self.caller.asker.deadlines), 0)

    def serve(self, reply: Any = b"1", place: tuple[str, int] = A, name: str = "a.example") -> None:
        """Have a server that answers with ``reply``, or not with None."""

        def handler(backend: Backend, message: Message) -> bytes | None:
            self.seen.append(message)
            made = reply(backend, message) if callable(reply) else reply
            return answer(made, "Content-Type: application/json") if made is not None else None

        self.network.serve(handler, name, place[1], place[0])

    def ask(self, uri: str = "http://a.example/", verb: str = "get", *args: Any, **kwargs: Any) -> Handle:
        handle = Verb(self.caller, verb)(uri, *args, **kwargs)
        self.network.flush()
        return handle

    def map(self, uri: str, *args: Any, verb: str = "get", **kwargs: Any) -> MapHandle:
        handles = Verb(self.caller, verb).map(uri, *args, **kwargs)
        self.network.flush()
        return handles

    def answer_later(self, body: bytes = b"1") -> None:
        for backend in self.network.backends:
            backend.transport.write(answer(body, "Content-Type: application/json"))
        self.network.flush()


def hang_up(backend: Backend, message: Message) -> None:
    backend.transport.loseConnection()


class EarlyTests(AskingTestCase):
    """Requests that the thread which waits for them has sent before the reactor comes to them."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.ask()  # so that there is a connection
        self.seen.clear()

    def wait(self, verb: str = "get", uri: str = "http://a.example/", *args: Any, **options: Any) -> tuple[int, bool]:
        """Make a request in a thread and wait for it; return the status code, and whether the thread has sent it."""
        self.caller.threads.reactor = False
        handle = Verb(self.caller, verb)(uri, *args, **options)
        sent: list[bool] = []

        def wait(begin: object, seconds: float) -> bool:
            sent.append(any(link.server_transport.wire for link in self.network.links))
            self.caller.threads.reactor = True
            self.network.flush()
            return handle.is_done

        self.caller.threads.wait = wait
        return handle.getwait().status_code, sent[0]

    def test_by_the_thread(self) -> None:
        self.assertEqual(self.wait(), (200, True))
        self.assertEqual(self.wait(), (200, True))
        self.assertEqual([message.target for message in self.seen], ["/", "/"])
        self.assertEqual(len(self.network.links), 1)

    def test_with_content_fields_and_transaction(self) -> None:
        self.assertEqual(self.wait("postform", "http://a.example/", {"a": "1"}, headers={"X-A": "b"}), (200, True))
        message = self.seen[0]
        fields = message.headers
        self.assertEqual((message.body, fields["x-a"], fields["x-gtxn-id"]), (b"a=1", "b", "GTID-1"))

    def test_by_the_reactor_where_nobody_is_connected(self) -> None:
        self.serve(place=B, name="b.example")
        self.assertEqual(self.wait(uri="http://b.example/"), (200, False))

    def test_by_the_reactor_where_something_is_to_be_found_out(self) -> None:
        self.serve(place=B, name="b.example")
        self.ask("@two/")
        self.assertEqual(self.wait(uri="@two/"), (200, False), "a cluster")
        self.assertEqual(self.wait(auth=("user", "secret")), (200, False), "credentials")
        self.assertEqual(self.wait("post", "http://a.example/", b"x" * (ONE_WRITE + 1)), (200, False), "long content")

    def test_the_cache_comes_first(self) -> None:
        self.ask().response().cache(60)
        self.seen.clear()
        self.assertEqual(self.wait(uri="http://a.example/other"), (200, True), "no business of others")
        self.network.wait(61)
        self.ask("http://a.example/other")
        self.assertEqual(self.wait(), (200, False), "others may ask the same, since it was kept before")
        self.assertEqual(self.wait(use_cache=False), (200, True), "not whoever wants it for itself")

    def test_a_dead_connection(self) -> None:
        """The thread sends; nobody is there any more: it is asked anew, as after any connection that was idle."""
        self.network.backends[0].transport.loseConnection()
        self.assertEqual(self.wait(), (200, True))
        self.assertEqual((len(self.seen), len(self.network.links)), (1, 2))

    def test_it_redirects(self) -> None:
        self.serve(lambda backend, message: b"2", B, "b.example")

        def handler(backend: Backend, message: Message) -> bytes:
            return answer(b"", "Location: http://b.example/", status="302 Found")

        for backend in self.network.backends:
            backend.handler = handler
        self.assertEqual(self.wait(), (200, True))
        self.assertEqual(len(self.network.links), 2)
        self.assertEqual(self.seen[0].headers["x-gtxn-id"], "GTID-1", "still of the same transaction")

    def test_a_connection_of_no_use(self) -> None:
        """The thread does not send; the reactor does, over another one, and this one is not left open."""
        self.network.links[0].server_transport.heard = True
        self.assertEqual(self.wait(), (200, False))
        self.assertEqual((len(self.network.links), self.network.open), (2, 1))

    def test_said_that_it_will_be_kept_while_a_thread_sends(self) -> None:
        self.caller.threads.reactor = False
        handle = Verb(self.caller, "get")("http://a.example/")
        operation: Any = handle._operation
        operation.send_early(lambda: None)
        operation.share()
        operation.start(handle.settle)
        self.caller.threads.reactor = True
        other = Verb(self.caller, "get")("http://a.example/")
        self.network.flush()
        self.assertEqual((len(self.seen), other.response().status_code, handle.response().status_code), (1, 200, 200))

    def test_the_server_stops(self) -> None:
        """What was sent is not the reactor's yet when all is closed."""
        for backend in self.network.backends:
            backend.handler = lambda backend, message: None
        self.caller.threads.reactor = False
        handle = Verb(self.caller, "get")("http://a.example/")

        def wait(begin: object, seconds: float) -> bool:
            self.assertTrue(self.network.links[0].server_transport.wire, "it was sent")
            self.caller.asker.close()
            self.network.flush()
            return handle.is_done

        self.caller.threads.wait = wait
        self.assertEqual((handle.getwait().status_code, self.network.open), (702, 0))

    def test_not_when_it_has_stopped(self) -> None:
        self.caller.asker.close()
        self.assertEqual(self.wait(), (702, False))


class OneServerTests(AskingTestCase):
    def test_an_answer(self) -> None:
        self.serve(b'{"a": 1}')
        response = self.ask("http://a.example/x?y=1#z", "get", {"q": "é"}).response()
        self.assertEqual((response.status, response.status_code, response.data), (3, 200, {"a": 1}))
        self.assertEqual((response.url, response.method), ("http://a.example/x?y=1&q=%C3%A9", "GET"))
        self.assertEqual((response.version, response.get_header("content-TYPE")), ("1.1", "application/json"))

    def test_failures(self) -> None:
        self.network.names["away.example"] = ["192.0.2.9"]
        self.assertEqual(self.ask("http://away.example/").response().status_code, 701)
        self.assertEqual(self.ask("http://nowhere.example/").response().status_code, 704)
        self.serve(hang_up)
        self.assertEqual(self.ask().response().status, 2)

    def test_its_own_timeout(self) -> None:
        self.serve(None)
        handle = self.ask(timeout=4)
        self.network.wait(3.9)
        self.assertFalse(handle.is_done)
        self.network.wait(0.2)
        self.assertEqual((handle.response().status, handle.response().status_code), (1, 730))

    def test_cancelled(self) -> None:
        self.serve(None)
        handle = self.ask()
        handle.cancel()
        self.network.flush()
        self.assertEqual((handle.response().status_code, self.network.open), (702, 0))

    def test_after_the_end(self) -> None:
        self.caller.asker.close()
        self.assertEqual(self.ask().response().status_code, 702)

    def test_the_end_settles_all(self) -> None:
        self.serve(None)
        self.caller.store.put(b"any", None, 1, 60)  # type: ignore[arg-type]
        handles = [self.ask(), self.ask(use_cache=False), self.ask("@two/")]
        self.caller.asker.close()
        self.network.flush()
        self.assertEqual([handle.response().status_code for handle in handles], [702, 702, 702])

    def test_the_fields_of_the_transaction_once_and_after_a_redirect_the_same(self) -> None:
        def handler(backend: Backend, message: Message) -> bytes:
            self.seen.append(message)
            if message.target == "/":
                return answer(b"", "Location: /there", status="302 Found")
            return answer(b"1")

        self.network.serve(handler)
        self.ask()
        self.ask("http://a.example/there")
        self.assertEqual([message.headers["x-ltxn-id"] for message in self.seen], ["2001", "2001", "2002"])
        self.ask("http://a.example/there", headers={"X-Ltxn-Id": "7"})
        self.assertEqual((self.seen[-1].headers["x-ltxn-id"], self.caller.calls), ("7", 2))

    def test_the_files_of_a_request_are_closed_whatever_happens(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"content")
        self.serve()
        gc.collect()  # what other tests have left open is not closed in between
        before = open_files()
        self.ask("http://a.example/", "upload", {"file": os.fspath(path), "path": _Path(path)})
        self.ask("http://nowhere.example/", "post", _Path(path))
        self.caller.threads.reactor = False
        handle = Verb(self.caller, "post")("http://a.example/", _Path(path))
        handle.cancel()
        self.network.flush()
        self.assertEqual(handle.response().status_code, 702)
        handle = Verb(self.caller, "post")("http://a.example/", _Path(path))
        self.caller.threads.reactor = True
        handle.cancel()  # before it has begun
        self.network.flush()
        for broken in ({"timeout": 0}, {"callback": 1}, {"filter": 1}, {"meta": 1}):
            self.assertRaises((ValueError, TypeError), Verb(self.caller, "post"), "@two/", _Path(path), **broken)
        self.assertEqual(open_files(), before)


class _Path(os.PathLike[str]):
    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


class ClusterTests(AskingTestCase):
    def test_members_take_turns(self) -> None:
        self.serve(b"1")
        self.serve(b"2", B, "b.example")
        self.assertEqual({self.ask("@two/x").response().data for _ in range(2)}, {1, 2})
        self.assertEqual({message.target for message in self.seen}, {"/x"})

    def test_one_that_refuses_is_left_for_another(self) -> None:
        self.serve(b"2", B)
        for verb in ("get", "post", "get", "post"):
            self.assertEqual(self.ask("@two/", verb).response().data, 2)

    def test_what_may_have_been_carried_out_is_not_repeated(self) -> None:
        self.serve(hang_up)
        self.serve(hang_up, B, "b.example")
        self.assertEqual(self.ask("@two/", "post", b"x").response().status, 2)
        self.assertEqual(len(self.seen), 1)
        self.assertEqual(self.ask("@two/", "put", b"x").response().status, 2)
        self.assertEqual([message.body for message in self.seen[1:]], [b"x", b"x"])

    def test_a_file_is_sent_again_to_another_one(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 100_000)
        self.serve(hang_up)
        self.serve(b"2", B, "b.example")
        for _ in range(2):
            self.assertEqual(self.ask("@two/", "put", _Path(path)).response().data, 2)
            self.network.wait(5.1)  # it was set aside, and a probe has found it
        self.assertGreater(len(self.seen), 2)
        self.assertEqual({message.body for message in self.seen}, {b"x" * 100_000})

    def test_nobody_is_left(self) -> None:
        response = self.ask("@two/").response()
        self.assertEqual((response.status, response.status_code), (2, 701))
        self.assertIn("192.0.2.", response.reason)

    def test_nothing_is_tried_after_the_time_is_up_or_nobody_wants_it(self) -> None:
        self.serve(None)
        self.serve(None, B, "b.example")
        handle = self.ask("@two/", timeout=1)
        self.network.wait(1.1)
        self.assertEqual((handle.response().status, len(self.seen)), (1, 1))
        handle = self.ask("@two/")
        handle.cancel()
        self.network.flush()
        self.assertEqual(len(self.seen), 2)

    def test_a_wait_that_is_over_counts_against_the_member(self) -> None:
        self.serve(None)
        self.serve(None, B, "b.example")
        handle = self.ask("@two/")
        self.caller.threads.reactor = False
        self.caller.threads.meanwhile = lambda: self.network.wait(3)
        self.assertEqual(handle.getwait(3).status, 1)
        [cluster] = self.caller.asker.clusters
        states = sorted(member["state"] for member in cluster.describe(self.network.seconds()))
        self.assertEqual(states, ["down", "up"])

    def test_a_short_wait_says_nothing_about_the_member(self) -> None:
        """What is nice to have gets little time, and the others get what they ask for."""
        self.serve(None)
        self.serve(None, B, "b.example")
        handle = self.ask("@two/")
        self.caller.threads.reactor = False
        self.caller.threads.meanwhile = lambda: self.network.wait(0.1)
        self.assertEqual(handle.getwait(0.1).status, 1)
        [cluster] = self.caller.asker.clusters
        states = [member["state"] for member in cluster.describe(self.network.seconds())]
        self.assertEqual(states, ["up", "up"])

    def test_an_answer_that_is_too_large_does_not_count_against_the_member(self) -> None:
        self.serve(b"x" * 200)
        self.serve(b"x" * 200, B, "b.example")
        self.caller.asker.max_response_size = 100
        self.assertEqual(self.ask("@two/").response().status_code, 705)
        [cluster] = self.caller.asker.clusters
        states = [member["state"] for member in cluster.describe(self.network.seconds())]
        self.assertEqual((states, len(self.seen)), (["up", "up"], 1))

    def test_map_asks_all_in_order(self) -> None:
        self.serve(b"1")
        responses = self.map("@two/x")
        self.assertEqual([handle.response().status_code for handle in responses._handles], [200, 701])

    def test_map_sends_a_file_to_each(self) -> None:
        path = self.mktemp()
        content = b"".join(b"%6d" % number for number in range(100_000))
        with open(path, "wb") as file:
            file.write(content)
        self.serve(b"1")
        self.serve(b"2", B, "b.example")
        self.map("@two/", _Path(path), verb="post")
        self.assertEqual([message.body for message in self.seen], [content] * 2)
        with open(path, "rb") as file:
            self.assertIn("path", str(self.assertRaises(ValueError, self.map, "@two/", file, verb="post")))
            self.assertRaises(ValueError, self.map, "@two/", {"a": [("name", file)]}, verb="upload")

    def test_a_member_that_is_back_is_found_by_a_probe(self) -> None:
        self.serve(b"1")
        for _ in range(4):
            self.ask("@two/")
        self.serve(b"2", B, "b.example")
        for _ in range(10):
            self.network.wait(1)
        self.assertEqual({self.ask("@two/").response().data for _ in range(3)}, {1, 2})
        self.assertEqual(self.network.open, 2)  # probes are closed

    def test_the_end_of_a_probe_under_way(self) -> None:
        self.serve(b"1")
        for _ in range(2):
            self.ask("@two/")
        from tests.was.backends import HANGS

        self.network.places[B] = HANGS
        self.network.wait(1.1)
        self.assertEqual(len(self.network.attempts), 1)
        self.caller.asker.close()
        self.network.flush()
        self.assertEqual(len(self.network.attempts), 0)


class CacheTests(AskingTestCase):
    """What is kept, and one request for all who miss at once."""

    def keep(self, seconds: float = 60, **kwargs: Any) -> None:
        self.ask(**kwargs).response().cache(seconds)

    def expire(self) -> None:
        self.network.wait(61)
        self.seen.clear()

    def test_what_is_kept_is_found_without_a_hop(self) -> None:
        self.serve(b"[]")
        self.keep()
        self.seen.clear()
        hops = self.caller.threads.hops
        self.caller.threads.reactor = False
        handle = Verb(self.caller, "get")("http://a.example/", meta={"a": 1})
        response = handle.getwait()
        self.assertEqual((response.data, response.is_cached, response.meta), ([], True, {"a": 1}))
        self.assertEqual((self.caller.threads.hops, self.seen), (hops, []))
        response.data.append(1)
        self.assertEqual(self.ask().response().data, [])

    def test_time_passes(self) -> None:
        self.serve()
        self.keep(5)
        self.network.wait(4)
        self.assertTrue(self.ask().response().is_cached)
        self.network.wait(2)
        self.assertFalse(self.ask().response().is_cached)

    def test_what_tells_questions_apart(self) -> None:
        self.serve()
        self.keep()
        for other in (
            self.ask("http://a.example/?a"),
            self.ask("http://a.example/", "options"),
            self.ask(auth=("a", "b")),
            self.ask(headers={"Cookie": "a"}),
            self.ask("http://a.example/", "get", {"a": 1}),
            self.ask("@two/"),
        ):
            self.assertFalse(other.response().is_cached)

    def test_bodies_are_part_of_it(self) -> None:
        self.serve()
        self.ask("http://a.example/", "post", {"a": 1}).response().cache(60)
        self.assertTrue(self.ask("http://a.example/", "post", {"a": 1}).response().is_cached)
        self.assertFalse(self.ask("http://a.example/", "post", {"a": 2}).response().is_cached)

    def test_without_the_cache_and_then_into_it(self) -> None:
        self.serve(b"1")
        self.keep()
        self.serve(b"2")
        self.network.links[0].server_transport.abortConnection()
        self.network.flush()
        fresh = self.ask(use_cache=False)
        self.assertEqual((fresh.response().data, self.ask().response().data), (2, 1))
        fresh.cache(60)
        self.assertEqual(self.ask().response().data, 2)
        fresh.cache(0)
        self.assertFalse(self.ask().response().is_cached)

    def test_a_cached_response_can_be_forgotten(self) -> None:
        self.serve()
        self.keep()
        cached = self.ask().response()
        cached.cache(-1)
        self.assertFalse(self.ask().response().is_cached)

    def test_map(self) -> None:
        self.serve(b"1")
        self.serve(b"2", B, "b.example")
        self.map("@two/").cache(60)
        handles = self.map("@two/")
        self.caller.threads.reactor = False
        responses = handles.getswait()
        self.assertEqual((responses.data, responses.is_cached), ([1, 2], True))

    def test_a_hundred_at_once_make_one_request(self) -> None:
        self.serve(b"[]")
        self.keep()
        self.expire()
        self.serve(None)
        self.network.links[0].server_transport.abortConnection()
        self.network.flush()
        handles = [self.ask() for _ in range(100)]
        self.assertEqual(len(self.seen), 1)
        self.answer_later(b"[]")
        responses = [handle.response() for handle in handles]
        self.assertEqual({response.status_code for response in responses}, {200})
        responses[0].data.append(1)
        self.assertEqual(responses[1].data, [])

    def test_a_hundred_that_are_to_be_kept_make_one_request_from_the_first_time_on(self) -> None:
        self.serve(None)
        handles = [self.ask().cache(60) for _ in range(100)]
        self.assertEqual(len(self.seen), 1)
        self.answer_later(b"[]")
        self.assertEqual({handle.response().status_code for handle in handles}, {200})
        self.assertTrue(self.ask().response().is_cached)
        self.assertEqual(len(self.seen), 1)

    def test_those_of_threads_too(self) -> None:
        self.serve(None)
        self.caller.threads.reactor = False
        handles = []
        for _ in range(3):
            handles.append(Verb(self.caller, "get")("http://a.example/").cache(60))
            self.network.flush()
        self.assertEqual(len(self.seen), 1)
        self.answer_later(b"[]")
        self.assertEqual({handle.response().status_code for handle in handles}, {200})

    def test_threads_whose_requests_have_begun_before_they_say_it(self) -> None:
        """The reactor may hear of several requests before the first of them says that it is to be kept."""
        self.serve(None)
        self.network.connect_delay = 0.1
        self.caller.threads.reactor = False
        handles = [Verb(self.caller, "get")("http://a.example/") for _ in range(5)]
        self.network.advance(0)
        for handle in handles:
            handle.cache(60)
        self.network.wait(0.2)
        self.assertEqual(len(self.seen), 1)
        self.answer_later(b"[]")
        self.assertEqual({handle.response().status_code for handle in handles}, {200})

    def test_what_may_have_an_effect_is_not_shared_without_a_word(self) -> None:
        self.serve()
        self.ask("http://a.example/", "post", b"x").response().cache(5)
        self.expire()
        self.serve(None)
        self.network.links[0].server_transport.abortConnection()
        self.network.flush()
        for _ in range(2):
            self.ask("http://a.example/", "post", b"x")
        self.assertEqual(len(self.seen), 2)
        self.answer_later()

    def test_not_those_that_want_no_kept_answer(self) -> None:
        self.serve(None)
        for _ in range(2):
            self.ask(use_cache=False).cache(60)
        self.assertEqual(len(self.seen), 2)
        self.answer_later()

    def test_one_that_became_shared_on_its_way_keeps_its_deadline(self) -> None:
        self.serve(None)
        first = self.ask(timeout=2).cache(60)
        other = self.ask(timeout=20)
        self.network.wait(2.1)
        self.assertEqual((first.response().status, other.is_done, len(self.seen)), (1, False, 1))
        self.network.wait(18)
        self.assertEqual((other.response().status, self.network.open), (1, 0))

    def test_keeping_what_was_found_does_not_prolong_it(self) -> None:
        self.serve()
        self.keep(2)
        for cached in (True, False):
            self.network.wait(1.1)
            response = self.ask().response()
            self.assertEqual(response.is_cached, cached)
            response.cache(2)

    def test_a_server_that_hangs_once_does_not_hold_up_all(self) -> None:
        """Who comes after one has waited in vain asks anew."""
        first, other = self.flights(1, 20)
        self.network.wait(1.05)
        self.assertEqual(first.response().status, 1)
        self.serve(b"2")
        self.assertEqual((self.ask().response().data, len(self.seen)), (2, 2))
        self.assertFalse(other.is_done)
        other.cancel()
        self.network.flush()

    def test_a_long_document_is_read_by_who_looks_at_it(self) -> None:
        calls: list[Any] = []
        for size in (10, 100_000):
            self.serve(b"x" * size)
            call = RemoteCalls(self.caller)("http://a.example/")
            self.patch(calls_module, "decode", lambda response: calls.append(response) or "read")
            handle = call.method()
            self.network.flush()
            self.network.links[0].server_transport.abortConnection()
            self.network.flush()
            calls.append(size)
            self.assertEqual(handle.response().data, "read")
        self.assertEqual([size for size in calls if isinstance(size, int)], [10, 100_000])
        self.assertEqual([isinstance(call, int) for call in calls], [False, True, True, False])

    def flights(self, *timeouts: float) -> list[Handle]:
        """Return handles that wait for one request, with these timeouts."""
        self.serve(b"1")
        self.keep()
        self.expire()
        self.network.links[0].server_transport.abortConnection()
        self.network.flush()
        self.serve(None)
        handles = [self.ask(timeout=timeout) for timeout in timeouts]
        self.assertEqual(len(self.seen), 1)
        return handles

    def test_each_has_its_own_deadline(self) -> None:
        first, short, long = self.flights(2, 1, 20)
        self.network.wait(1.05)
        self.assertEqual([short.is_done, first.is_done, long.is_done], [True, False, False])
        self.assertEqual(short.response().status, 1)
        self.assertIn("within 1 seconds", short.response().reason)
        self.network.wait(1)  # the time of the one who has asked for all
        self.assertEqual(first.response().status, 1)
        self.network.wait(10)
        self.answer_later()
        self.assertEqual(long.response().data, 1)

    def test_the_one_who_asks_for_all_leaves(self) -> None:
        first, other = self.flights(5, 5)
        first.cancel()
        self.network.flush()
        self.assertEqual((first.response().status_code, other.is_done), (702, False))
        self.answer_later()
        self.assertEqual(other.response().data, 1)

    def test_the_last_one_ends_the_request(self) -> None:
        handles = self.flights(5, 5, 5)
        for handle in handles[:2]:
            handle.cancel()
        self.network.flush()
        self.assertEqual(self.caller.asker.client.counts["requests"], 1)
        self.network.wait(5.1)
        self.assertEqual(handles[2].response().status, 1)
        self.assertEqual((self.caller.asker.client.counts["requests"], self.network.open), (0, 0))

    def test_failures_reach_all(self) -> None:
        handles = self.flights(5, 5)
        self.network.links[-1].client_transport.loseConnection()
        self.network.flush()
        self.assertEqual([handle.response().status for handle in handles], [2, 2])

    def test_a_long_body_is_kept_in_memory(self) -> None:
        self.serve(b'"' + b"x" * 2_000_000 + b'"')
        self.keep()
        response = self.ask().response()
        self.assertTrue(response.is_cached)
        self.assertIsInstance(response._content, bytes)
        self.assertEqual(len(response.data), 2_000_000)
