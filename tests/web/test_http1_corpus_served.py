"""The corpus against the whole server: what a client is told, and what an application gets to see.

The connection, the mount table and the WSGI handler are the real ones; socket, threads and time are doubles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import Client, read_response
from tests.web.corpus import FIRST, HEAD_LIMIT, REFUSED, SMUGGLED, TARGET_LIMIT, Case
from tests.web.corpus_accepted import ACCEPTED, Valid


class Witness:
    """An application that notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Read the body, answer with nothing to speak of."""
        note = (environ["REQUEST_METHOD"], environ["RAW_URI"], environ["wsgi.input"].read())
        self.seen.append(note)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"seen"]


def exchange(data: bytes, workers: str, piece_size: int) -> tuple[list[int], Witness, bool]:
    """Send ``data`` to a server of its own.

    Returns:
        The statuses of the responses, what the application saw, and whether the server closed the connection.
    """
    witness = Witness()
    client = Client(witness, workers, piece_size, max_head_size=HEAD_LIMIT, max_target_size=TARGET_LIMIT)
    pump = client.connect()
    pump.send(data)
    client.run_waiting(pump)
    received = pump.client.take()
    statuses: list[int] = []
    methods = [method for method, _, _ in witness.seen]
    while received:
        method = "HEAD" if methods[len(statuses) : len(statuses) + 1] == ["HEAD"] else "GET"
        response, received = read_response(received, method)
        statuses.append(response.status)
    return statuses, witness, pump.client.lost is not None


WAYS = [("inline", 0), ("inline", 1), ("stepping", 0), ("stepping", 1)]


class RefusedTests(SynchronousTestCase):
    """A client that breaks the rules is told so once, and then is alone."""

    def check(self, case: Case) -> None:
        """Check one row in every way."""
        for way in WAYS:
            note = f"{case.name} {way}"
            statuses, witness, closed = exchange(case.data, *way)
            self.assertEqual(statuses[-1:], [case.status], note)
            self.assertEqual([status for status in statuses[:-1] if status != 200], [], note)
            self.assertTrue(closed, note)
            self.assertEqual([seen for seen in witness.seen if "smuggled" in seen[1]], [], note)
            self.assertLessEqual(len(witness.seen), case.requests, note)
            # Where the fault comes in a body, the request before it is the one that is answered with it.
            self.assertLessEqual(len(statuses), case.requests + 1, note)


class AcceptedTests(SynchronousTestCase):
    """A client that keeps the rules gets an answer to each request."""

    def check(self, case: Valid) -> None:
        """Check one row in every way."""
        for way in WAYS:
            note = f"{case.name} {way}"
            statuses, witness, closed = exchange(case.data, *way)
            self.assertEqual(len(statuses), len(case.seen), note)
            self.assertEqual(closed, not case.seen[-1].keep_alive, note)
            for_application = [seen for seen in case.seen if seen.path not in ("", "*")]
            self.assertEqual(
                [(method, body) for method, _, body in witness.seen],
                [(seen.method, seen.body) for seen in for_application],
                note,
            )
            self.assertEqual([seen for seen in witness.seen if seen[1].startswith("/smuggled")], [], note)


class WitnessTests(SynchronousTestCase):
    """The witness would see a smuggled request."""

    def test_sees(self) -> None:
        """A second request that is no smuggled one gets through."""
        for way in WAYS:
            statuses, witness, closed = exchange(FIRST + SMUGGLED, *way)
            self.assertEqual(statuses, [200, 200])
            self.assertEqual([target for _, target, _ in witness.seen], ["/first", "/smuggled"])
            self.assertFalse(closed)


def _test(case: Any) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        self.check(case)

    test.__doc__ = f"{case.name}: {case.section}."
    return test


for _case in REFUSED:
    setattr(RefusedTests, f"test_{_case.name}", _test(_case))
for _valid in ACCEPTED:
    setattr(AcceptedTests, f"test_{_valid.name}", _test(_valid))
