"""The request log: when it writes, how often, and that nothing it meets stops it."""

from __future__ import annotations

import json
import threading

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skitai.web.accesslog import BUSY_PERIOD, IDLE_PERIOD, AccessLog
from skitai.web.exchange import Exchange
from tests.web.exchanges import make_exchange

MOMENT = 1483121106.0


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1)
        self.written: list[str] = []
        self.log = AccessLog(self.written.append, self.clock, now=lambda: MOMENT + self.clock.seconds())

    def finished(self, target: str = "/") -> Exchange:
        exchange = make_exchange(target=target)
        exchange.status = 200
        exchange.answered = exchange.finished = self.clock.seconds()
        return exchange

    def test_nothing_is_written_when_recorded(self) -> None:
        self.log.record(self.finished())
        self.assertEqual(self.written, [])
        self.log.flush()
        self.assertEqual(len(self.written), 1)

    def test_one_write_a_batch_in_order(self) -> None:
        for number in range(3):
            self.log.record(self.finished(f"/{number}"))
        self.log.flush()
        [text] = self.written
        self.assertEqual([line.split()[6] for line in text.splitlines()], ["/0", "/1", "/2"])
        self.log.flush()
        self.assertEqual(len(self.written), 1)

    def test_any_thread(self) -> None:
        thread = threading.Thread(target=self.log.record, args=(self.finished(),))
        thread.start()
        thread.join()
        self.log.flush()
        self.assertEqual(len(self.written), 1)

    def test_what_is_recorded_meanwhile_waits(self) -> None:
        def write(text: str) -> None:
            self.written.append(text)
            if len(self.written) == 1:
                log.record(self.finished("/later"))

        log = AccessLog(write, self.clock)
        log.record(self.finished("/now"))
        log.flush()
        self.assertEqual(len(self.written), 1)
        log.flush()
        self.assertIn("/later", self.written[1])

    def test_writes_soon_while_requests_come(self) -> None:
        self.log.start()
        for count in range(1, 4):
            self.log.record(self.finished())
            self.clock.advance(BUSY_PERIOD)
            self.assertEqual(len(self.written), count)

    def test_looks_less_often_while_none_come(self) -> None:
        self.log.start()
        looks = 0
        for _ in range(1000):
            before = self.clock.getDelayedCalls()
            self.clock.advance(0.01)
            looks += self.clock.getDelayedCalls() != before
        # Ten seconds.
        self.assertLess(looks, 10 / IDLE_PERIOD + 10)
        self.log.record(self.finished())
        self.clock.advance(IDLE_PERIOD)
        self.assertEqual(len(self.written), 1)
        self.log.record(self.finished())
        self.clock.advance(BUSY_PERIOD)
        self.assertEqual(len(self.written), 2)

    def test_stop(self) -> None:
        self.log.start()
        self.log.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.log.record(self.finished())
        self.log.stop()
        self.assertEqual(len(self.written), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.log.record(self.finished())
        self.log.stop()
        self.assertEqual(len(self.written), 2)

    def test_starts_again(self) -> None:
        self.log.start()
        self.log.stop()
        self.log.start()
        self.log.record(self.finished())
        self.clock.advance(BUSY_PERIOD)
        self.assertEqual(len(self.written), 1)

    def test_line_bears_the_time_of_the_end(self) -> None:
        log = AccessLog(self.written.append, self.clock, "json", now=lambda: MOMENT + self.clock.seconds())
        log.record(self.finished())
        self.clock.advance(30)
        log.record(self.finished())
        log.flush()
        first, second = (json.loads(line)["time"] for line in self.written[0].splitlines())
        self.assertEqual((first, second), ("2016-12-30T18:05:07.000Z", "2016-12-30T18:05:37.000Z"))

    def test_request_that_was_never_finished(self) -> None:
        exchange = make_exchange()
        exchange.status = 499
        self.log.record(exchange)
        self.log.flush()
        self.assertIn(" 499 0 0 ", self.written[0])
        self.assertTrue(self.written[0].endswith(" - -\n"))

    def test_one_bad_exchange_spoils_no_batch(self) -> None:
        bad = self.finished("/bad")
        bad.request.headers = [("not", "pairs", "of bytes")]  # type: ignore[list-item]
        for exchange in (self.finished("/a"), bad, self.finished("/b")):
            self.log.record(exchange)
        self.log.flush()
        self.assertEqual(len(self.written[0].splitlines()), 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_broken_disk_is_reported_once_until_it_is_well(self) -> None:
        full: set[str] = {"disk"}

        def write(text: str) -> None:
            if full:
                raise OSError(28, "No space left on device")
            self.written.append(text)

        log = AccessLog(write, self.clock)
        log.start()
        for disks, expected in (({"disk"}, 1), ({"disk"}, 0), (set[str](), 0), ({"disk"}, 1)):
            full.clear()
            full.update(disks)
            log.record(self.finished())
            self.clock.advance(BUSY_PERIOD)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), expected)
        self.assertEqual(len(self.written), 1)
