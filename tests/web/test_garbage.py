"""Requests leave nothing behind that only the garbage collector could free."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skitai.mounting import enter
from skitai.settings import CompressionSettings, Limits
from skitai.web.wsgi import Services, WSGIHandler
from tests.web.serving import Server, hello, request


class GarbageTests(SynchronousTestCase):
    """Reference cycles, counted."""

    def garbage_of(self, server: Server, data: bytes) -> int:
        """Return how many objects the collector finds after twenty requests on one connection."""
        services = Services(server.workers, Limits(), CompressionSettings(), server.threads, server.errors, enter)
        server.handler.make_environ = WSGIHandler(server.source, services).make_environ
        pump = server.connect()
        for _ in range(3):
            pump.send(data)
            server.work(pump)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(20):
            pump.send(data)
            server.work(pump)
            pump.client.take()
            server.finished.clear()
        return gc.collect()

    def test_plain_request(self) -> None:
        self.assertLess(self.garbage_of(Server(hello), request()), 20)

    def test_request_with_a_body(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            environ["wsgi.input"].read()
            return hello(environ, start_response)

        self.assertLess(self.garbage_of(Server(app), request(method="POST", body=b"x" * 100)), 20)

    def test_stream(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response("200 OK", [])
            yield b"one"
            yield b"two"

        self.assertLess(self.garbage_of(Server(app), request()), 20)

    def test_on_the_reactor(self) -> None:
        self.assertLess(self.garbage_of(Server(hello, threads=0), request()), 20)
