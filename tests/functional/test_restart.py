"""``was.restart()`` in real servers: the program takes the place of itself, and nobody is refused meanwhile."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time

from tests.functional.process import Connection, Response, Server, ServerTestCase, refused, until

PLAIN = """\
import atexit, os, time

name = os.environ["NUMBER"] = str(int(os.environ.get("NUMBER", "0")) + 1)
held = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "held"), "a")

def app(environ, start_response):
    was = environ["skitai.was"]
    path = environ["PATH_INFO"]
    if path.startswith("/hang"):
        open("hanging", "w").close()
        while not os.path.exists("release"):
            time.sleep(0.005)
        os.unlink("release")
    if "restart" in path:
        was.restart()
        print("printed", name)
        print("held", name, file=held)
    if path == "/shutdown":
        was.shutdown()
        was.restart()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{name} {os.getpid()} {os.getcwd()}".encode()]

class Hooked:
    def __call__(self, environ, start_response):
        return app(environ, start_response)

    def skitai_shutdown(self, wasc):
        print("shutdown", name, file=held)
        if os.environ.get("HANG") == name:
            time.sleep(60)

if __name__ == "__main__":
    atexit.register(lambda: print("exit", name))
    import skitai
    skitai.mount("/", Hooked())
    skitai.run()
"""

FLASK = """\
import os
from flask import Flask
from skitai import was

name = os.environ["NUMBER"] = str(int(os.environ.get("NUMBER", "0")) + 1)
app = Flask(__name__)

@app.route("/")
def index():
    return f"{name} {os.getpid()} {os.getcwd()}"

@app.route("/restart")
def restart():
    was.restart()
    return index()

if __name__ == "__main__":
    import skitai
    skitai.mount("/", app)
    skitai.run()
"""

SADDLE = (
    FLASK.replace("from flask import Flask\nfrom skitai import was\n", "from skitai.saddle import Saddle\n")
    .replace("Flask(", "Saddle(")
    .replace("index()", "index(was)")
    .replace("restart()", "restart(was)", 1)
)


class RestartTests(ServerTestCase):
    """Started from elsewhere, with a relative path, as most programs are."""

    def setUp(self) -> None:
        super().setUp()
        self.inside = os.path.join(self.directory, "sub")
        self.write("sub/app.py", PLAIN)

    def serve(self, *options: str, **environment: str) -> Server:
        # What is written to a file is gathered, unless this says not to.
        return self.python("sub/app.py", *options, environment={"PYTHONUNBUFFERED": "", **environment})

    def said(self, response: Response) -> str:
        """Return which of the programs it was; check that it is the same process, in its own directory."""
        self.assertEqual(response.status, 200)
        number, process, directory = response.body.decode().split(" ", 2)
        self.assertEqual((int(process), directory), (self.process, self.inside))
        return number

    def serving(self, *options: str, **environment: str) -> Server:
        server = self.serve(*options, **environment)
        self.process = server.process.pid
        self.assertEqual(self.said(self.get(server, "/")), "1")
        return server

    def hang(self, server: Server, target: str = "/hang") -> Connection:
        """Send a request that goes on until it is released, and wait until the application has it."""
        connection = self.connect(server)
        connection.send(target)
        until(lambda: os.path.exists(os.path.join(self.inside, "hanging")), "the request hangs")
        os.unlink(os.path.join(self.inside, "hanging"))
        return connection

    def release(self) -> None:
        self.write("sub/release", "")

    def test_plain_wsgi_saddle_and_flask(self) -> None:
        for text in (PLAIN, SADDLE, FLASK):
            self.write("sub/app.py", text)
            server = self.serving()
            for number in ("1", "2", "3"):
                self.assertEqual(self.said(self.get(server, "/restart")), number)
                self.assertEqual(self.said(self.get(server, "/")), str(int(number) + 1))
            self.assertEqual(server.stop(), 0, server.output)
            self.assertNotIn("Traceback", server.output)

    def test_a_package_and_a_script_that_goes_elsewhere(self) -> None:
        self.write("sub/__main__.py", PLAIN)
        gone = self.write("sub/gone.py", "import os\nos.chdir('/')\n" + PLAIN)
        for command in (("-m", "sub"), ("sub",), (os.path.relpath(gone, self.directory),)):
            server = self.start(sys.executable, *command, "--port", "0")
            self.process = server.process.pid
            self.assertEqual(self.said(self.get(server, "/restart")), "1")
            self.assertEqual(self.said(self.get(server, "/")), "2")
            self.assertEqual(server.stop(), 0, server.output)

    def test_nothing_that_was_written_is_lost(self) -> None:
        server = self.serving()
        self.get(server, "/restart")
        self.assertEqual(self.said(self.get(server, "/")), "2")
        for text in ("printed 1\n", "exit 1\n"):
            self.assertIn(text, server.output)
        self.assertEqual(self.read("sub", "held"), "held 1\nshutdown 1\n")

    def test_who_comes_meanwhile_is_served_in_the_end(self) -> None:
        """Connections are neither refused nor reset, whoever takes them; and new code serves them."""
        server = self.serving()
        hanging = self.hang(server, "/hang-and-restart")
        idle = self.connect(server)
        self.get(server, "/restart")
        server.wait_for("restarting")
        self.assertEqual(idle.rest(), b"")
        waiting = [self.connect(server) for _ in range(20)]
        for connection in waiting:
            connection.send("/")
        self.release()
        self.assertEqual(self.said(hanging.receive()), "1")
        self.assertEqual([self.said(connection.receive()) for connection in waiting], ["2"] * 20)

    def test_unix_sockets_and_several(self) -> None:
        server = self.serve("--listen", "tcp:0:interface=127.0.0.1", "--listen", "unix:s")
        self.process = server.process.pid
        path = os.path.relpath(os.path.join(self.inside, "s"))

        def ask(target: str) -> str:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while piece := client.recv(65536):
                    data += piece
            return self.said(Response(data))

        server.wait_for("serves at")
        for number in range(1, 4):
            self.assertEqual(ask("/restart"), str(number))
        self.assertEqual(self.said(self.get(server, "/")), "4")
        self.assertEqual(server.stop(), 0)
        self.assertEqual([name for name in os.listdir(self.inside) if name.startswith("s")], [])

    def test_after_a_signal_there_is_no_restart(self) -> None:
        server = self.serving()
        hanging = self.hang(server, "/hang-and-restart")
        server.signal(signal.SIGTERM)
        until(lambda: refused(server.port), "no new connections")
        self.release()
        self.assertEqual(self.said(hanging.receive()), "1")
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(len(re.findall("serves at", server.output)), 1)

    def test_nor_after_a_shutdown(self) -> None:
        server = self.serving()
        self.assertEqual(self.said(self.get(server, "/shutdown")), "1")
        self.assertEqual(server.wait(), 0, server.output)
        self.assertEqual(len(re.findall("serves at", server.output)), 1)

    def test_a_signal_during_a_restart_makes_it_a_stop(self) -> None:
        """A graceful one: what runs is finished, and who has connected since is served."""
        for again in (False, True):
            server = self.serving("--graceful-timeout", "60")
            hanging = self.hang(server)
            self.get(server, "/restart")
            server.wait_for("restarting")
            waiting = self.connect(server)
            waiting.send("/")
            server.signal(signal.SIGTERM)
            until(lambda server=server: refused(server.port), "no new connections")  # type: ignore[misc]
            self.assertEqual(self.said(waiting.receive()), "1")
            if again:
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(5), 143, server.output)
                self.assertEqual(hanging.rest(), b"")
            else:
                self.release()
                self.assertEqual(self.said(hanging.receive()), "1")
                self.assertEqual(server.wait(), 0, server.output)
            self.assertEqual(len(re.findall("serves at", server.output)), 1)

    def test_what_hangs_does_not_keep_it_from_restarting(self) -> None:
        """A request, which is cut; and a hook, which only ends with the process."""
        server = self.serving("--graceful-timeout", "0.3", HANG="2")
        hanging = self.hang(server)
        self.get(server, "/restart")
        self.assertEqual(hanging.rest(), b"")
        self.assertEqual(self.said(self.get(server, "/restart")), "2")
        before = time.monotonic()
        self.assertEqual(self.said(self.get(server, "/")), "3")
        self.assertLess(time.monotonic() - before, 10)
        self.assertIn("did not end by itself", server.output)

    def test_a_program_that_is_gone(self) -> None:
        server = self.serving()
        hanging = self.hang(server, "/hang-and-restart")
        os.rename(os.path.join(self.inside, "app.py"), os.path.join(self.inside, "old.py"))
        self.release()
        self.assertEqual(self.said(hanging.receive()), "1")
        self.assertEqual(server.wait(), 2)
        self.assertTrue(refused(server.port))
