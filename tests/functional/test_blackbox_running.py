"""Starting and stopping: what ``python app.py`` and twistd accept, refuse and say."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.functional.blackbox import Wire
from tests.functional.process import TWISTD, Server, ServerTestCase, refused, until
from tests.test_tls import key_bytes, make_pair

APPLICATION = """\
import os

def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        while not os.path.exists("release"):
            import time
            time.sleep(0.002)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.getcwd().encode(), b" ", environ["wsgi.url_scheme"].encode()]

def other(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"other"]
"""

RUN = """
if __name__ == "__main__":
    import skitai
    %s
"""


class RunningTestCase(ServerTestCase):
    """Writes programs and runs them."""

    def program(self, *lines: str, name: str = "app.py") -> str:
        return self.write(name, APPLICATION + RUN % "\n    ".join(lines))

    def serve(self, *lines: str, options: tuple[str, ...] = ("--port", "0")) -> Server:
        return self.start(sys.executable, self.program(*lines), *options)

    def wire(self, server: Server, context: ssl.SSLContext | None = None) -> Wire:
        wire = Wire(server.port, context)
        self.addCleanup(wire.close)
        return wire

    def assert_refused(self, server: Server, *words: str) -> None:
        """Assert that it ends with status 2 and one line on stderr with ``words``."""
        self.assertEqual(server.wait(), 2, server.output)
        lines = server.output.strip().splitlines()
        self.assertEqual(len(lines), 1, server.output)
        self.assertNotIn("usage", lines[0].lower())
        for word in words:
            self.assertIn(word, lines[0])


class RefusalTests(RunningTestCase):
    """One clear line and status 2."""

    MOUNT = 'skitai.mount("/", app)'

    def test_usage_errors(self) -> None:
        cases = [
            (("--prot", "1"), "--prot"), (("--port", "abc"), "port"), (("--port", "70000"), "port"),
            (("--port",), "port"),
            (("--threads", "-1"), "threads"), (("nonsense",), "nonsense"), (("--address", "no address"), "address"),
            (("--keep-alive-timeout", "x"), "keep"), (("--max-head-size", "64Q"), "head"), (("-z",), "-z"),
        ]  # fmt: skip
        path = self.program(self.MOUNT, "skitai.run()")
        servers = [(self.start(sys.executable, path, *options), word) for options, word in cases]
        for server, word in servers:
            self.assert_refused(server, word)

    def test_usage_errors_of_twistd(self) -> None:
        path = self.program(self.MOUNT, "skitai.run()")
        cases = [
            (("--app", path, "--prot", "1"), "prot"), (("--app", path, "--port", "abc"), "port"), ((), "app"),
            (("--app", "missing.py"), "missing.py"), (("--app", path + ":nothing"), "nothing"),
        ]  # fmt: skip
        for options, word, server in [(*case, self.start(*TWISTD, "skitai", *case[0])) for case in cases]:
            self.assertEqual(server.wait(), 2, (options, server.output))
            self.assertIn(word, server.output)
            self.assertNotIn("Traceback", server.output)
            self.assertLessEqual(len(server.output.strip().splitlines()), 2, server.output)

    def test_wrong_calls(self) -> None:
        cases = [
            (("skitai.run(port=0)",), ("mount",)),
            (('skitai.mount("/", "missing")', "skitai.run(port=0)"), ("missing",)),
            (('skitai.mount("/", "missing.py")', "skitai.run(port=0)"), ("missing.py",)),
            (('skitai.mount("/", __file__, "nothing")', "skitai.run(port=0)"), ("nothing",)),
            (('skitai.mount("noslash", app)', "skitai.run(port=0)"), ("noslash",)),
            (('skitai.mount("/", 1)', "skitai.run(port=0)"), ("mount",)),
            ((self.MOUNT, "skitai.run(port=0, prot=1)"), ("prot", "port")),
            ((self.MOUNT, "skitai.run(port='abc')"), ("port",)),
            ((self.MOUNT, "skitai.run(port=0, threads='many')"), ("threads",)),
            ((self.MOUNT, "skitai.set_keep_alive('x')", "skitai.run(port=0)"), ("keep",)),
            ((self.MOUNT, "skitai.enable_ssl('missing.pem')", "skitai.run(port=0)"), ("missing.pem",)),
            ((self.MOUNT, "skitai.run(port=0, certfile='app.py')"), ("app.py",)),
            ((self.MOUNT, "skitai.enable_proxy()", "skitai.run(port=0)"), ("enable_proxy", "available")),
            ((self.MOUNT, "skitai.cron('* * * * *', 'x')", "skitai.run(port=0)"), ("cron", "available")),
            ((self.MOUNT, "skitai.alias('@a', 'postgresql', ['b:1'])", "skitai.run(port=0)"), ("alias", "available")),
            ((self.MOUNT, "skitai.enable_gateway()", "skitai.run(port=0)"), ("gateway", "available")),
            ((self.MOUNT, "skitai.enable_cachefs(memmax='64M')", "skitai.run(port=0)"), ("cachefs", "available")),
            ((self.MOUNT, "skitai.enable_smtpda()", "skitai.run(port=0)"), ("smtpda", "available")),
            ((self.MOUNT, "skitai.run(port=0, clusters={'a': ('postgresql', ['b'])})"), ("available",)),
            ((self.MOUNT, "skitai.run(port=0, workers=2)"), ("workers",)),
        ]  # fmt: skip
        waiting = []
        for number, (lines, words) in enumerate(cases):
            path = self.program(*lines, name=f"app{number}.py")
            waiting.append((lines, words, self.start(sys.executable, path)))
            if len(waiting) == 4 or number == len(cases) - 1:
                for call, expected, server in waiting:
                    self.assertEqual(server.wait(), 2, (call, server.output))
                    self.assertEqual(len(server.output.strip().splitlines()), 1, (call, server.output))
                    for word in expected:
                        self.assertIn(word, server.output, (call, server.output))
                waiting.clear()

    def test_a_port_in_use(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assert_refused(self.serve(self.MOUNT, f"skitai.run(port={port})", options=()), str(port))

    def test_commands_of_the_daemon_are_not_there_or_work(self) -> None:
        path = self.program(self.MOUNT, "skitai.run(port=0)")
        for command in ("stop", "status", "restart", "start", "-d"):
            server = self.start(sys.executable, path, command)
            self.assert_refused(server, "available")


class PrecedenceTests(RunningTestCase):
    """Command line, keywords, functions, defaults."""

    def test_order(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server = self.serve('skitai.mount("/", app)', f"skitai.run(port={port}, address='0.0.0.0')")
            server.wait_for(r"serves at http://0\.0\.0\.0")
            self.assertEqual(self.wire(server).ask("/").status, 200)

    def test_keywords_win_over_functions(self) -> None:
        for function, keyword, options in (
            ("300", "port=0, keep_alive_timeout=0.2", ()),
            ("0.2", "port=0", ()),
            ("300", "port=0, keep_alive_timeout=300", ("--keep-alive-timeout", "0.2")),
        ):
            lines = ('skitai.mount("/", app)', f"skitai.set_keep_alive({function})", f"skitai.run({keyword})")
            wire = self.wire(self.serve(*lines, options=options))
            self.assertEqual(wire.ask("/").status, 200)
            self.assertTrue(wire.closed())

    def test_only_loopback_unless_asked(self) -> None:
        server = self.serve('skitai.mount("/", app)', "skitai.run()")
        server.wait_for(r"serves at http://127\.0\.0\.1:")

    def test_the_default_port_is_5000(self) -> None:
        server = self.serve('skitai.mount("/", app)', "skitai.run()", options=())
        until(lambda: server.process.poll() is not None or "5000" in server.output, "the port")
        self.assertIn("5000", server.output)


class PlaceTests(RunningTestCase):
    """The directory of the script is where everything is."""

    def test_working_directory(self) -> None:
        path = self.program(
            "print(skitai.getswd(), skitai.joinpath('package', 'monitor.py'), flush=True)",
            'skitai.mount("/", __file__, "app")',
            'skitai.mount("/s", "static")',
            "skitai.run()",
            name="deep/app.py",
        )
        self.write("deep/static/a.txt", "file")
        directory = os.path.dirname(path)
        os.symlink(path, os.path.join(self.directory, "link.py"))
        commands = [
            ([sys.executable, path], "/"),
            ([sys.executable, "deep/app.py"], self.directory),
            ([sys.executable, "app.py"], directory),
            ([*TWISTD, "skitai", "--app", path], "/"),
            ([*TWISTD, "skitai", "--app", "deep/app.py:app"], self.directory),
            ([*TWISTD, "skitai", "--app", "deep/app:other"], self.directory),
        ]
        servers = [(command, self.start(*command, "--port", "0", directory=where)) for command, where in commands]
        for command, server in servers:
            wire = self.wire(server)
            if command[-1].endswith(":other"):
                self.assertEqual(wire.ask("/").text, "other")
                continue
            self.assertEqual(wire.ask("/").text, f"{directory} http", command)
            if "skitai" in command:
                continue
            self.assertEqual(wire.ask("/s/a.txt").text, "file")
            self.assertIn(f"{directory} {directory}/package/monitor.py", server.output)

    def test_executable_with_a_module_beside(self) -> None:
        self.write("helper.py", "NAME = 'helped'")
        path = self.write(
            "app.py",
            "import helper, skitai\n"
            "def app(e, s):\n    s('200 OK', [])\n    return [helper.NAME]\n"
            "if __name__ == '__main__':\n    skitai.mount('/', app)\n    skitai.run()\n",
        )
        for server in (self.python(path, directory="/"), self.twistd(path, directory="/")):
            self.assertEqual(self.wire(server).ask("/").text, "helped")


class StopTests(RunningTestCase):
    """Graceful stop."""

    def test_running_requests_finish_and_connections_close(self) -> None:
        for number, command in ((signal.SIGTERM, "python"), (signal.SIGINT, "twistd")):
            path = self.program('skitai.mount("/", app)', "skitai.run()")
            server = self.python(path) if command == "python" else self.twistd(path)
            idle, busy = self.wire(server), self.wire(server)
            self.assertEqual(idle.ask("/").status, 200)
            busy.request("/wait")
            self.assertTrue(busy.silent(0.1))
            server.signal(number)
            self.assertTrue(idle.closed())
            port = server.port
            until(lambda port=port: refused(port), "refused connections", 0.5)  # type: ignore[misc]
            self.assertIsNone(server.process.poll())
            self.write("release", "")
            reply = busy.receive()
            self.assertEqual((reply.status, reply.get("connection")), (200, "close"))
            self.assertEqual(busy.rest(), b"")
            self.assertEqual(server.wait(5), 0, server.output)
            self.assertNotIn("Traceback", server.output)
            os.unlink(os.path.join(self.directory, "release"))

    def test_a_hung_request_ends_at_the_deadline(self) -> None:
        path = self.program('skitai.mount("/", app)', "skitai.run(graceful_timeout=0.3)")
        server = self.python(path)
        busy = self.wire(server)
        busy.request("/wait")
        self.assertTrue(busy.silent(0.1))
        server.signal(signal.SIGTERM)
        self.assertIn(server.wait(5), (0, 1))
        self.assertIn("/wait", server.output)

    def test_pipelined_requests_at_stop(self) -> None:
        server = self.python(self.program('skitai.mount("/", app)', "skitai.run()"))
        wire = self.wire(server)
        wire.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        self.assertTrue(wire.silent(0.1))
        server.signal(signal.SIGTERM)
        until(lambda: refused(server.port), "refused connections", 0.5)
        self.write("release", "")
        self.assertEqual(wire.receive().status, 200)
        self.assertEqual(server.wait(5), 0)


class SecureTests(RunningTestCase):
    """HTTPS."""

    def pair(self) -> tuple[str, str]:
        certificate, key = make_pair()
        return self.write("c.pem", certificate), self.write("k.pem", key_bytes(key))

    def test_serves(self) -> None:
        certificate, key = self.pair()
        context = ssl.create_default_context(cafile=certificate)
        for lines, options in (
            ((f"skitai.enable_ssl({certificate!r}, {key!r})", "skitai.run()"), ()),
            (("skitai.run()",), ("--certfile", certificate, "--keyfile", key)),
            ((f"skitai.run(certfile={certificate!r}, keyfile={key!r})",), ()),
        ):
            server = self.serve('skitai.mount("/", app)', *lines, options=("--port", "0", *options))
            server.wait_for("serves at https://")
            wire = self.wire(server, context)
            self.assertEqual([wire.ask("/").text.split()[1] for _ in range(3)], ["https"] * 3)
            wire.close()
            self.assertEqual(server.stop(), 0)

    def test_the_forms_of_the_manual(self) -> None:
        """One file for both; a key with a passphrase; paths relative to the script, wherever it is started."""
        certificate, key = make_pair()
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"your pass phrase"))
        self.write("server.pem", certificate)
        self.write("key.pem", locked)
        self.write("both.pem", key_bytes(key) + certificate)
        self.write("static/large.bin", b"large" * 200_000)
        context = ssl.create_default_context(cadata=certificate.decode())
        calls = (
            "skitai.enable_ssl ('server.pem', 'key.pem', 'your pass phrase')",
            "skitai.enable_ssl('both.pem')",
            "skitai.enable_ssl('server.pem', 'key.pem', 'wrong')",
        )
        servers = []
        for number, call in enumerate(calls):
            lines = ('skitai.mount ("/", app)', 'skitai.mount ("/", "static")', call, "skitai.run (port = 0)")
            path = self.program(*lines, name=f"app{number}.py")
            servers.append(self.start(sys.executable, path, directory="/"))
        for server in servers[:2]:
            with Wire(server.port, context) as wire:
                self.assertEqual(wire.ask("/").text.split()[1], "https")
                self.assertEqual(wire.ask("/large.bin").body, b"large" * 200_000)
                wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
                self.assertEqual([wire.receive().status for _ in range(3)], [200] * 3)
        self.assert_refused(servers[2], "passphrase")

    def test_plain_bytes_and_old_versions_are_refused(self) -> None:
        certificate, key = self.pair()
        server = self.serve('skitai.mount("/", app)', f"skitai.run(certfile={certificate!r}, keyfile={key!r})")
        plain = self.wire(server)
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertNotIn(b"200 OK", plain.rest())
        context = ssl.create_default_context(cafile=certificate)
        self.assertEqual(self.wire(server, context).ask("/").status, 200)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, OSError)):
            Wire(server.port, context)
        self.assertNotIn("Traceback", server.output)


class ImportTests(RunningTestCase):
    """An application that fails to import."""

    def test_others_serve_and_it_is_tried_again(self) -> None:
        self.write("broken.py", "import nothing_of_this_name\n")
        self.write("syntax.py", "def app(:\n")
        mounts = ('skitai.mount("/broken", "broken.py")', 'skitai.mount("/syntax", "syntax.py")')
        server = self.serve('skitai.mount("/", app)', *mounts, "skitai.run()")
        wire = self.wire(server)
        self.assertEqual(wire.ask("/").status, 200)
        for path in ("/broken/", "/syntax/"):
            reply = wire.ask(path)
            self.assertEqual(reply.status, 503)
            self.assertNotIn("nothing_of_this_name", reply.text)
        self.assertIn("nothing_of_this_name", server.output)
        self.assertIn("Traceback", server.output)
        self.assertIn("SyntaxError", server.output)
        self.write("broken.py", "def app(e, s):\n    s('200 OK', [])\n    return [b'mended']\n")
        until(lambda: wire.ask("/broken/").text == "mended", "the mended application")
