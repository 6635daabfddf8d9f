"""Hooks of applications in real servers: when and in which process they are called, and how an application stops it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from tests.functional.process import TWISTD, Server, ServerTestCase, until

APPLICATION = """\
import os, time

class App:
    use_reloader = True

    def __call__(self, environ, start_response):
        was = environ["skitai.was"]
        path = environ["PATH_INFO"]
        if path == "/shutdown":
            was.shutdown()
        if path == "/status":
            body = was.status()
        elif path == "/log":
            was.note("noted")
            body = "logged"
        else:
            body = f"version 1 {was.started_by}"
        start_response("200 OK", [("Content-Type", "text/html")])
        return [body.encode()]

    def skitai_startup(self, wasc):
        wasc.register("started_by", os.getpid())
        wasc.register("note", wasc.logger.make_logger("login", "daily"))
        self.write(f"startup {os.getpid()} {wasc.numthreads} {wasc.config.max_queued}")

    def skitai_reload(self, wasc):
        self.write("reload")

    def skitai_shutdown(self, wasc):
        self.write("shutdown")
        if os.path.exists("hang"):
            time.sleep(60)

    def write(self, text):
        with open("hooks", "a") as file:
            file.write(text + "\\n")

app = App()

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""


class LifecycleTests(ServerTestCase):
    """Both ways to run."""

    def setUp(self) -> None:
        super().setUp()
        self.app = self.write("app.py", APPLICATION)

    def hooks(self) -> list[str]:
        return self.read("hooks").splitlines() if os.path.exists(os.path.join(self.directory, "hooks")) else []

    def both(self, *options: str) -> Iterator[Server]:
        """Start one server of each kind, the second when the first has ended: they write into the same file."""
        for start in (self.python, self.twistd):
            yield start(self.app, *options)
            os.unlink(os.path.join(self.directory, "hooks"))

    def test_started_by_the_process_that_serves_and_ended_by_a_signal(self) -> None:
        for server in self.both("--threads", "2", "--max-queued", "9"):
            pid = server.process.pid
            self.assertEqual(self.get(server, "/").body.decode(), f"version 1 {pid}")
            self.assertEqual(self.hooks(), [f"startup {pid} 2 9"])
            self.assertEqual(server.stop(), 0)
            self.assertEqual(self.hooks()[1:], ["shutdown"])

    def test_a_daemon_starts_its_applications_itself(self) -> None:
        launcher = self.start(
            *TWISTD[:3], "--pidfile=twistd.pid", "--logfile=twistd.log", "skitai", "--app", self.app, "--port", "0"
        )
        self.assertEqual(launcher.wait(), 0, launcher.output)
        path = os.path.join(self.directory, "twistd.pid")
        text = until(lambda: os.path.exists(path) and self.read("twistd.pid"), "a pid file")
        assert isinstance(text, str)
        try:
            [line] = until(self.hooks, "a startup")
            self.assertEqual(line.split()[:2], ["startup", text])
            self.assertNotEqual(int(text), launcher.process.pid)
        finally:
            os.kill(int(text), signal.SIGTERM)
        until(lambda: self.hooks()[1:] == ["shutdown"], "a shutdown")

    def test_an_application_stops_the_server_after_its_answer(self) -> None:
        for server in self.both():
            self.assertEqual(self.get(server, "/shutdown").status, 200)
            self.assertEqual(server.wait(), 0, server.output)
            self.assertEqual(self.hooks()[-1], "shutdown")

    def test_a_shutdown_that_hangs_does_not_keep_the_process(self) -> None:
        self.write("hang", "")
        server = self.python(self.app, "--graceful-timeout", "0.2")
        self.get(server, "/")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.hooks()[-1], "shutdown")

    def test_reloaded(self) -> None:
        server = self.python(self.app)
        self.get(server, "/")
        self.write("app.py", APPLICATION.replace("version 1", "version 2"))
        until(lambda: self.get(server, "/").body.startswith(b"version 2"), "the new version")
        self.assertEqual(self.hooks()[1:], ["reload"])

    def test_status(self) -> None:
        server = self.python(self.app)
        page = self.get(server, "/status").body.decode()
        for text in (str(server.process.pid), "started_by", "max_queued"):
            self.assertIn(text, page)

    def test_a_log_of_its_own(self) -> None:
        server = self.python(self.app, "--logpath", "log")
        self.get(server, "/log")
        self.assertTrue(self.read("log", "login.log").endswith("[info] noted\n"))
        os.rename(os.path.join(self.directory, "log", "login.log"), os.path.join(self.directory, "moved.log"))
        server.signal(signal.SIGUSR1)
        until(lambda: "log files reopened" in self.read("log", "server.log"), "the log is reopened")
        self.get(server, "/log")
        self.assertTrue(self.read("log", "login.log").endswith("[info] noted\n"))
