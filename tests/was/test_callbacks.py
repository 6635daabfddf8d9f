"""``skitai.was.callbacks``: functions that get a response, with the threads of a server."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skitai.testing import SteppingWorkers
from skitai.was.bridge import Bridge
from skitai.was.callbacks import Callback
from skitai.was.context import Was, current
from skitai.was.result import Response
from tests.was.doubles import answer
from tests.web.exchanges import make_exchange


class Settled:
    """A handle whose response is there."""

    def response(self) -> Response:
        return answer()


class Task:
    """A job that does nothing."""

    def run(self) -> None:
        pass


class CallbackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.workers = SteppingWorkers(self.clock, max_queued=1)
        self.threads = Bridge(self.workers, self.clock)

    def test_a_full_queue_does_not_keep_it_out(self) -> None:
        """Nothing is tried again later, when the threads may have been stopped."""
        found: list[Any] = []
        self.workers.submit(Task())
        self.assertFalse(self.workers.submit(Task()))
        Callback(found.append, self.threads).queue(Settled())
        stopped = self.workers.stop()
        self.assertEqual(self.workers.run_all(), 2)
        self.successResultOf(stopped)
        self.assertEqual((len(found), self.clock.getDelayedCalls()), (1, []))

    def test_one_that_raises_is_logged_with_the_ids_of_its_request(self) -> None:
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.addCleanup(current.set, current.get())

        def broken(response: object) -> None:
            raise KeyError("gone")

        for was in (Was(make_exchange([(b"x-gtxn-id", b"{G}")]), {}), None):
            current.set(was)
            Callback(broken, self.threads).queue(Settled())
        self.workers.run_all()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        lines = [str(formatEvent(event)) for event in events if event["log_namespace"] == "skitai.app"]
        self.assertRegex(lines[0], r"^\{G\}/1000 callback '.*broken' of .* failed$")
        self.assertRegex(lines[1], r"^callback '.*broken' of .* failed$")
