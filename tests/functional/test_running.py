"""Servers as users start and stop them: ``python app.py`` and ``twistd -n skitai``."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import sys
import time

from tests.functional.process import TWISTD, Server, ServerTestCase, refused, until
from tests.test_tls import CERTIFICATE, KEY, key_bytes, make_pair

FIRST_EXAMPLE = """\
#WSGI App

def app (env, start_response):
  start_response ("200 OK", [("Content-Type", "text/plain")])
  return ['Hello World']

app.use_reloader = True
app.debug = True

if __name__ == "__main__":

  import skitai

  skitai.mount ('/', app)
  skitai.run (
    address = "127.0.0.1",
    port = 5000
  )
"""

APPLICATION = """\
import os
import sys
import threading

never = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        never.wait()
    if path == "/spin":
        while not os.path.exists("release"):
            never.wait(0.005)
    if path == "/raise":
        raise KeyError("the application's own fault")
    if path == "/errors":
        environ["wsgi.errors"].write("written to wsgi.errors\\n")
    if path == "/warn":
        import logging
        logging.getLogger("shop").warning("low on tea")
    if path == "/print":
        print("printed")
        sys.stdout.flush()
    if path == "/thread":
        threading.Thread(target=never.wait).start()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.getcwd().encode()]

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""


class Running(ServerTestCase):
    """Both ways to run have the tests below."""

    def setUp(self) -> None:
        super().setUp()
        self.app = self.write("app.py", APPLICATION)

    def both(self, *options: str, app: str = "") -> list[Server]:
        """Start one server of each kind."""
        return [self.python(app or self.app, *options), self.twistd(app or self.app, *options)]

    def hang(self, server: Server, target: str = "/hang") -> Server:
        """Send a request that hangs, and wait until the application has it."""
        self.held = self.connect(server)
        self.held.send(target)
        # Another request is answered by the next thread: the first has its own by now.
        self.assertEqual(self.get(server, "/").status, 200)
        return server


class StartTests(Running):
    def test_the_first_example_serves(self) -> None:
        for server in self.both(app=self.write("first.py", FIRST_EXAMPLE)):
            response = self.get(server, "/")
            self.assertEqual((response.status, response.body), (200, b"Hello World"))
            self.assertEqual(server.stop(), 0)

    def test_the_console_shows_one_line_with_the_url(self) -> None:
        for server in self.both():
            port = server.port
            self.assertEqual(len(server.output.splitlines()), 1, server.output)
            self.assertTrue(
                re.fullmatch(
                    rf"\d{{4}}\.\d\d\.\d\d \d\d:\d\d:\d\d \[info\] Skitai \S+ serves at http://127\.0\.0\.1:{port}/\n",
                    server.output,
                ),
                server.output,
            )

    def test_the_working_directory_is_the_scripts(self) -> None:
        elsewhere = os.path.join(self.directory, "elsewhere")
        os.mkdir(elsewhere)
        servers = [
            self.python(os.path.join("..", "app.py"), directory=elsewhere),
            self.twistd(os.path.join("..", "app.py"), directory=elsewhere),
        ]
        for server in servers:
            self.assertEqual(self.get(server, "/").body.decode(), os.path.realpath(self.directory))

    def test_paths_are_relative_to_the_script(self) -> None:
        self.write("static/page.txt", "a page")
        app = self.write("site.py", "import skitai\nskitai.mount('/', 'static')\nskitai.run(logpath='log')\n")
        server = self.python(app, directory="/")
        self.assertEqual(self.get(server, "/page.txt").body, b"a page")
        self.assertEqual(server.stop(), 0)
        self.assertIn("GET /page.txt", self.read("log", "request.log"))

    def test_other_reactors_serve_and_stop(self) -> None:
        for name in ("asyncio", "select"):
            server = self.python(self.app, "--reactor", name)
            self.assertEqual(self.get(server, "/").status, 200)
            self.assertEqual(server.stop(), 0)
        server = self.start(*TWISTD, "--reactor", "asyncio", "skitai", "--app", self.app, "--port", "0")
        self.assertEqual(self.get(server, "/").status, 200)
        self.assertEqual(server.stop(), 0)

    def test_serves_without_threads(self) -> None:
        server = self.python(self.app, "--threads", "0")
        self.assertEqual(self.get(server, "/").status, 200)
        self.assertEqual(server.stop(), 0)

    def test_unix_socket(self) -> None:
        server = self.python(self.app, "--listen", "unix:s")
        server.wait_for(r"serves at unix:s\n")
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        # The path of a UNIX socket must be short; the working directory of the server is the script's.
        client.connect(os.path.relpath(os.path.join(self.directory, "s")))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := client.recv(65536):
            data += piece
        self.assertTrue(data.startswith(b"HTTP/1.1 200 OK\r\n"), data)
        self.assertEqual(server.stop(), 0)

    def test_serves_at_several_endpoints(self) -> None:
        server = self.python(self.app, *["--listen", "tcp:0:interface=127.0.0.1"] * 2)
        found = server.wait_for(r"serves at http://127\.0\.0\.1:(\d+)/ and http://127\.0\.0\.1:(\d+)/\n")
        self.assertNotEqual(found[1], found[2])
        for port in (found[1], found[2]):
            client = socket.create_connection(("127.0.0.1", int(port)))
            self.addCleanup(client.close)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))


class RefusedTests(Running):
    """What keeps a server from starting is one line on stderr and status 2, and nothing has been started before."""

    def setUp(self) -> None:
        super().setUp()
        self.write("lazy.py", "open('imported', 'w').close()\ndef app(environ, start_response): pass\n")
        self.app = self.write(
            "app.py",
            "import skitai\nskitai.mount('/', 'lazy.py')\nif __name__ == '__main__':\n    skitai.run()\n",
        )

    def assert_refused(self, message: str, *options: str) -> None:
        commands = [[sys.executable, self.app, *options], [*TWISTD, "skitai", "--app", self.app, *options]]
        for command in commands:
            server = self.start(*command)
            self.assertEqual(server.wait(), 2, server.output)
            self.assertEqual(len(server.output.splitlines()), 1, server.output)
            self.assertIn(message, server.output)
            self.assertFalse(os.path.exists(os.path.join(self.directory, "imported")), "an application was loaded")

    def test_port_in_use(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        self.assert_refused(f"port in use: another program listens at 127.0.0.1:{port}", "--port", str(port))

    def test_address_of_another_machine(self) -> None:
        self.assert_refused("192.0.2.1", "--port", "0", "--address", "192.0.2.1")

    def test_endpoint_that_is_none(self) -> None:
        self.assert_refused("listen: 'nonsense:1' is not an endpoint", "--listen", "nonsense:1")

    def test_second_of_two_endpoints_in_use(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        ports = ["--listen", "tcp:0:interface=127.0.0.1", "--listen", f"tcp:{port}:interface=127.0.0.1"]
        self.assert_refused("port in use", *ports)

    def test_certificate_that_is_none(self) -> None:
        path = self.write("bad.pem", "no certificate")
        self.assert_refused("holds no valid PEM certificate", "--port", "0", "--certfile", path)

    def test_key_of_another_certificate(self) -> None:
        certificate, other = self.write("c.pem", CERTIFICATE), self.write("k.pem", key_bytes(make_pair()[1]))
        self.assert_refused("does not belong to", "--port", "0", "--certfile", certificate, "--keyfile", other)

    def test_encrypted_key_without_passphrase(self) -> None:
        path = self.write("both.pem", CERTIFICATE + key_bytes(KEY, b"sesame"))
        self.assert_refused("is encrypted", "--port", "0", "--certfile", path)

    def test_logpath_that_can_not_be_made(self) -> None:
        path = self.write("file", "")
        self.assert_refused("logpath: ", "--port", "0", "--logpath", os.path.join(path, "log"))


class StopTests(Running):
    def test_term_and_int_end_with_status_zero(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            for server in self.both():
                self.get(server, "/")
                server.signal(number)
                self.assertEqual(server.wait(), 0, server.output)
                self.assertIn("[info] stopped\n", server.output)

    def test_a_signal_before_it_serves_ends_it_quietly(self) -> None:
        loading = os.path.join(self.directory, "loading")
        self.write("slow.py", f"open({loading!r}, 'w').close()\nimport threading\nthreading.Event().wait()\n")
        app = self.write("site.py", "import skitai\nskitai.mount('/', 'slow.py')\nskitai.run()\n")
        server = self.python(app)
        until(lambda: os.path.exists(loading), "the application is being loaded")
        self.assertEqual(server.stop(), 0, server.output)
        self.assertNotIn("Traceback", server.output)

    def test_the_running_request_is_finished_and_new_ones_are_refused(self) -> None:
        for server in self.both():
            port = server.port
            idle = self.connect(server)
            idle.send("/")
            self.assertIsNone(idle.receive().field("Connection"))
            self.hang(server, "/spin")
            before = time.monotonic()
            server.signal(signal.SIGTERM)
            until(lambda port=port: refused(port), "new connections are refused")
            self.assertLess(time.monotonic() - before, 0.5)
            self.assertEqual(idle.rest(), b"")
            self.assertIsNone(server.process.poll())
            release = self.write("release", "")
            response = self.held.receive()
            self.assertEqual(response.status, 200)
            self.assertEqual(response.field("Connection"), "close")
            self.assertEqual(self.held.rest(), b"")
            self.assertEqual(server.wait(), 0, server.output)
            self.assertNotIn("aborted", server.output)
            self.assertEqual(len(re.findall("GET /spin", server.output)), 1)
            os.unlink(release)

    def test_a_hung_request_is_named_and_does_not_keep_the_process(self) -> None:
        for server in self.both("--graceful-timeout", "0.5"):
            self.hang(server, "/hang?who=me")
            before = time.monotonic()
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.output)
            self.assertTrue(0.5 <= time.monotonic() - before < 5.0)
            named = r"\[error\] .*aborted.*: GTID-\S+/1000 GET /hang\?who=me .*running for \d+\.\d s\n"
            lines = re.findall(named, server.output)
            self.assertEqual(len(lines), 1, server.output)
            self.assertEqual(self.held.rest(), b"")
            self.assertNotIn("Traceback", server.output)

    def test_a_request_that_hangs_although_its_client_has_gone_is_named_too(self) -> None:
        server = self.hang(self.python(self.app, "--graceful-timeout", "0.5"))
        self.held.close()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(len(re.findall(r"aborted.*GET /hang", server.output)), 1, server.output)

    def test_a_hung_reactor_does_not_keep_the_process(self) -> None:
        server = self.python(self.app, "--graceful-timeout", "0.2", "--threads", "0")
        self.connect(server).send("/hang")
        # The kernel accepts connections for a reactor that is stuck, but nobody answers: it is, once nothing comes.
        probe = self.connect(server)
        probe.send("/")
        probe.socket.settimeout(0.2)
        self.assertRaises(TimeoutError, probe.receive)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(len(re.findall(r"aborted.*GET /hang", server.output)), 1, server.output)

    def test_a_thread_of_the_applications_own_does_not_keep_the_process(self) -> None:
        server = self.python(self.app, "--graceful-timeout", "0.2")
        self.assertEqual(self.get(server, "/thread").status, 200)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output)

    def test_the_second_signal_ends_at_once(self) -> None:
        for server in self.both("--graceful-timeout", "60"):
            self.hang(server)
            server.signal(signal.SIGTERM)
            server.wait_for(r"stopping \(SIGTERM\)")
            server.signal(signal.SIGINT)
            self.assertEqual(server.wait(5.0), 130, server.output)
            self.assertIn("GET / HTTP/1.1 200", server.output)

    def test_a_client_that_does_not_read_is_cut_at_the_deadline(self) -> None:
        app = self.write(
            "large.py",
            "import skitai\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
            "    while True:\n        yield b'x' * 65536\nskitai.mount('/', app)\nskitai.run()\n",
        )
        server = self.python(app, "--graceful-timeout", "0.3", "--threads", "1")
        connection = self.connect(server)
        connection.send("/endless")
        self.assertTrue(connection.socket.recv(1))
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(len(re.findall(r"\[\w+\] .*GET /endless .*running for", server.output)), 1, server.output)


class LogTests(Running):
    def test_without_a_logpath_everything_is_on_the_console(self) -> None:
        for server in self.both():
            for target in ("/raise", "/errors", "/warn", "/print"):
                self.get(server, target)
            self.assertEqual(server.stop(), 0)
            for text in (
                " GET /raise (application app) failed\n",
                'KeyError: "the application\'s own fault"',
                "[error] written to wsgi.errors",
                "[warning] low on tea",
                "GET /raise HTTP/1.1 500",
                "printed\n",
            ):
                self.assertEqual(server.output.count(text), 1, (text, server.output))

    def test_each_log_has_its_file(self) -> None:
        for index, server in enumerate(self.both("--logpath", "log")):
            for target in ("/raise", "/errors", "/warn"):
                self.get(server, target)
            self.assertEqual(server.stop(), 0)
            app, request, own = (self.read("log", name + ".log") for name in ("app", "request", "server"))
            for text in ("own fault", "Traceback", "written to wsgi.errors", "low on tea"):
                self.assertIn(text, app)
                self.assertNotIn(text, own + request + server.output)
            self.assertEqual(len(request.splitlines()), 3 * (index + 1))
            self.assertIn("serves at", own)
            self.assertIn("stopped", own)
            # Where it serves is said to whoever has started it, too.
            self.assertEqual(len(server.output.splitlines()), 1, server.output)

    def test_verbose_shows_on_the_console_what_is_in_the_files(self) -> None:
        server = self.python(self.app, "--logpath", "log", "-v")
        self.get(server, "/raise")
        self.assertEqual(server.stop(), 0)
        files = "".join(self.read("log", name + ".log") for name in ("app", "request", "server"))
        self.assertEqual(sorted(files.splitlines()), sorted(server.output.splitlines()))

    def test_usr1_reopens_the_files(self) -> None:
        servers = [(self.python, "log"), (self.twistd, "log2")]
        for start, log in servers:
            server = start(self.app, "--logpath", log)
            self.get(server, "/before")
            request = os.path.join(self.directory, log, "request.log")
            until(lambda log=log: "/before" in self.read(log, "request.log"), "the request is logged")
            os.replace(request, request + ".moved")
            server.signal(signal.SIGUSR1)
            until(lambda path=request: os.path.exists(path), "the file is opened again")
            self.get(server, "/after")
            self.assertEqual(server.stop(), 0)
            self.assertIn("/after", self.read(log, "request.log"))
            self.assertNotIn("/after", self.read(log, "request.log.moved"))
            self.assertNotIn("/before", self.read(log, "request.log"))

    def test_files_are_rotated(self) -> None:
        server = self.python(self.app, "--logpath", "log", "--log-rotate-size", "300", "--log-rotate-keep", "2")
        log = os.path.join(self.directory, "log", "request.log")

        self.assertTrue(server.port)

        def logged() -> list[str]:
            names = sorted(name for name in os.listdir(os.path.dirname(log)) if "request" in name)
            try:
                return [self.read("log", name) for name in names]
            except FileNotFoundError:  # rotated between the two looks
                return logged()

        def rotated() -> bool:
            before = logged()
            self.get(server, "/")
            until(lambda: logged() != before, "the request is logged")
            return os.path.exists(log + ".2")

        until(rotated, "the log is rotated twice")
        for _ in range(6):
            rotated()
        self.assertEqual(server.stop(), 0)
        names = sorted(name for name in os.listdir(os.path.join(self.directory, "log")) if "request" in name)
        self.assertEqual(names, ["request.log", "request.log.1", "request.log.2"])

    def test_a_logfile_of_twistd_gets_everything(self) -> None:
        command = [*TWISTD, "--logfile", os.path.join(self.directory, "twistd.log")]
        server = self.start(*command, "skitai", "--app", self.app, "--port", "0")
        log = os.path.join(self.directory, "twistd.log")
        until(lambda: os.path.exists(log) and "serves at" in self.read("twistd.log"), "the log of twistd says so")
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.read("twistd.log"))
        assert found is not None
        client = socket.create_connection(("127.0.0.1", int(found[1])))
        self.addCleanup(client.close)
        client.sendall(b"GET /raise HTTP/1.0\r\n\r\n")
        self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 500"))
        self.assertEqual(server.stop(), 0)
        text = self.read("twistd.log")
        self.assertEqual(text.count("GET /raise HTTP/1.0 500"), 1)
        self.assertIn("own fault", text)


class HTTPSTests(Running):
    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=CERTIFICATE.decode())
        return context

    def test_serves_and_stops(self) -> None:
        path = self.write("both.pem", CERTIFICATE + key_bytes(KEY))
        for server in self.both("--certfile", path):
            self.assertIn("https://", server.wait_for("serves at .*")[0])
            connection = self.connect(server, self.context())
            connection.send("/")
            self.assertEqual(connection.receive().status, 200)
            connection.send("/")
            self.assertEqual(connection.receive().status, 200)
            self.assertEqual(server.stop(), 0, server.output)
            self.assertEqual(connection.rest(), b"")

    def test_takes_what_enable_ssl_says(self) -> None:
        self.write("certificate.pem", CERTIFICATE)
        self.write("key.pem", key_bytes(KEY, b"sesame"))
        app = self.write(
            "site.py",
            "import skitai\nfrom app import app\nskitai.mount('/', app)\n"
            "skitai.enable_ssl('certificate.pem', 'key.pem', 'sesame')\nskitai.run()\n",
        )
        server = self.python(app, directory="/")
        connection = self.connect(server, self.context())
        connection.send("/")
        self.assertEqual(connection.receive().status, 200)

    def test_a_client_that_hangs_in_the_handshake_does_not_keep_the_process(self) -> None:
        path = self.write("both.pem", CERTIFICATE + key_bytes(KEY))
        server = self.python(self.app, "--certfile", path, "--graceful-timeout", "2")
        silent = self.connect(server)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(silent.rest(), b"")
