"""The catalogue: which servers are compared, how each is started, and what must be said of its settings.

It knows no workload: a workload names its ``Entrant``s.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.clients import get
from harness.processes import Cores, NotMeasured, Process, free_port

BENCHMARKS = Path(__file__).resolve().parent.parent
APPS = BENCHMARKS / "apps"
START_TIMEOUT = 20.0
THREADS = "4"
OURS = "skitai"


@dataclass(frozen=True, slots=True)
class Site:
    """What a server is to serve.

    Attributes:
        app: Module in ``apps/``: "hello", "bodies", or "files" for a directory.
        function: The application's name in that module.
        probe: Path of a small GET that answers 200 once the server is ready.
        files: The directory behind "files".
        keep_alive: Seconds that an idle connection may stay.
        needs: Python distributions that the application is made with.
        backend: Port of the server that the application asks, 0 for none.
    """

    app: str
    function: str = "app"
    probe: str = "/"
    files: Path | None = None
    keep_alive: int = 75
    needs: tuple[str, ...] = ()
    backend: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its port, and a directory of its own for logs and configuration."""

    port: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the catalogue.

    Attributes:
        name: Its name on the command line and in the tables.
        needs: Python distributions that must be installed; none: it is a program of that name.
        command: Gives its command line.
        note: What must be said of its settings to read its numbers rightly.
    """

    name: str
    needs: tuple[str, ...]
    command: Callable[[Site, Place], list[str]]
    note: str

    def version(self) -> str:
        """Give what would run, with versions; NotMeasured when it is not installed."""
        if not self.needs:
            return _program_version(self.name)
        if self.name == OURS:
            return "skitai of this checkout"
        return versions(self.needs)


def versions(names: Sequence[str]) -> str:
    """Give Python distributions with their versions; NotMeasured when one is not installed."""
    try:
        return " with ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    except importlib.metadata.PackageNotFoundError as missing:
        raise NotMeasured(f"{missing.name} is not installed") from None


def _program_version(program: str) -> str:
    if shutil.which(program) is None:
        raise NotMeasured(f"{program} is not installed")
    done = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False)
    return f"{program} " + (done.stdout + done.stderr).strip().splitlines()[0].rpartition("/")[2]


def _script(name: str, site: Site, place: Place) -> list[str]:
    return [sys.executable, str(APPS / f"{name}.py")]


def _gunicorn(worker: str, site: Site, place: Place) -> list[str]:
    options = ["--workers", "1", "--worker-class", worker, "--keep-alive", str(site.keep_alive), "--backlog", "1024"]
    options += ["--threads", THREADS] if worker == "gthread" else []
    options += ["--worker-connections", "10000", "--access-logfile", str(place.folder / "access.log")]
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "--bind",
        f"127.0.0.1:{place.port}",
        *options,
        f"{site.app}:{site.function}",
    ]


def _granian(access_log: str, site: Site, place: Place) -> list[str]:
    options = [
        "--interface",
        "wsgi",
        "--workers",
        "1",
        "--blocking-threads",
        THREADS,
        "--http",
        "1",
        "--no-ws",
        access_log,
    ]
    # By default it stops accepting at as many connections as its backlog has places.
    options += ["--backlog", "1024", "--backpressure", "12000"]
    bind = ["--host", "127.0.0.1", "--port", str(place.port)]
    return [sys.executable, "-m", "granian", *bind, *options, f"{site.app}:{site.function}"]


def _uvicorn(site: Site, place: Place) -> list[str]:
    options = ["--interface", "wsgi", "--log-level", "info", "--host", "127.0.0.1", "--port", str(place.port)]
    return [sys.executable, "-m", "uvicorn", *options, f"{site.app}:{site.function}"]


def _hypercorn(site: Site, place: Place) -> list[str]:
    options = ["--access-logfile", str(place.folder / "access.log"), "--bind", f"127.0.0.1:{place.port}"]
    return [sys.executable, "-m", "hypercorn", *options, f"wsgi:{site.app}:{site.function}"]


NGINX = """\
worker_processes 1;
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 12000; }}
http {{
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout {keep_alive};
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {files};
    }}
}}
"""


def _nginx(site: Site, place: Place) -> list[str]:
    configuration = place.folder / "nginx.conf"
    # Started by root, its worker would drop to a user that may not read the scratch directory.
    user = "user root;" if os.geteuid() == 0 else ""
    values = {
        "user": user,
        "folder": place.folder,
        "port": place.port,
        "files": site.files,
        "keep_alive": site.keep_alive,
    }
    configuration.write_text(NGINX.format(**values))
    return ["nginx", "-c", str(configuration), "-e", str(place.folder / "error.log")]


LOGGED = "access log to a file"
SERVERS = {
    server.name: server
    for server in (
        Server(OURS, ("Twisted",), functools.partial(_script, "skitai_server"), f"4 threads, {LOGGED}"),
        Server("twisted.web", ("Twisted",), functools.partial(_script, "twisted_web"), f"4 threads, {LOGGED}"),
        Server(
            "gunicorn-gthread", ("gunicorn",), functools.partial(_gunicorn, "gthread"), f"1 worker, 4 threads, {LOGGED}"
        ),
        Server(
            "gunicorn-gevent", ("gunicorn", "gevent"), functools.partial(_gunicorn, "gevent"), f"1 worker, {LOGGED}"
        ),
        Server(
            "waitress", ("waitress",), functools.partial(_script, "waitress_server"), "4 threads; it has no access log"
        ),
        Server(
            "granian",
            ("granian",),
            functools.partial(_granian, "--no-access-log"),
            "1 worker, 4 threads, no access log (its default)",
        ),
        Server(
            "granian+log", ("granian",), functools.partial(_granian, "--access-log"), f"1 worker, 4 threads, {LOGGED}"
        ),
        Server("uvicorn", ("uvicorn",), _uvicorn, f"its WSGI bridge, {LOGGED}"),
        Server("hypercorn", ("hypercorn",), _hypercorn, f"its WSGI bridge, {LOGGED}"),
        Server("nginx", (), _nginx, f"1 worker, sendfile, {LOGGED}"),
    )
}
OPTIONAL = ("uvicorn", "hypercorn")


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part in a workload.

    Attributes:
        name: Its name in the tables.
        server: Name of the server in the catalogue.
        site: What it serves.
        path: What is asked of it where that is not what is asked of all, "" otherwise.
    """

    name: str
    server: str
    site: Site
    path: str = ""

    def describe(self) -> str:
        """Give its name, the versions and what must be said of its settings."""
        server = SERVERS[self.server]
        parts = [server.version(), *([versions(self.site.needs)] if self.site.needs else [])]
        return f"{self.name} ({', '.join(parts)}): {server.note}"


def alike(servers: Sequence[str], site: Site) -> tuple[Entrant, ...]:
    """Give several servers that serve the same, by their own names."""
    return tuple(Entrant(server, server, site) for server in servers)


def import_path() -> dict[str, str]:
    """Give the variable by which processes find the applications, and Skitai."""
    folders = [str(APPS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders))}


def spawn(server: Server, site: Site, place: Place, cores: Cores, through: Sequence[str]) -> Process:
    """Start a server without waiting for it; NotMeasured when it is not installed.

    Args:
        server: Which one.
        site: What it serves.
        place: Where it runs.
        cores: It is pinned to the server core.
        through: A Python script with its arguments that is run in its place, with its own command line appended.
    """
    server.version()
    versions(site.needs)
    environment = {
        **import_path(),
        "BENCH_APP": site.app,
        "BENCH_CALLABLE": site.function,
        "BENCH_PORT": str(place.port),
        "BENCH_LOGS": str(place.folder),
        "BENCH_KEEP_ALIVE": str(site.keep_alive),
        "BENCH_THREADS": THREADS,
        "BENCH_FILES": str(site.files),
        "BENCH_BACKEND": str(site.backend),
    }
    python, *rest = server.command(site, place)
    return Process(cores.pin(cores.server, [python, *through, *rest]), environment, place.folder, APPS)


def wait_ready(process: Process, port: int, path: str) -> float:
    """Wait for the first answer; give the seconds from the start of the process to it."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            if get(port, path).status == 200:
                return time.perf_counter() - process.started
        process.check_alive()
        time.sleep(0.002)
    raise NotMeasured(f"no answer within {START_TIMEOUT:.0f} s: {process.last_line()}")


@contextlib.contextmanager
def serving(name: str, site: Site, cores: Cores, through: Sequence[str] = ()) -> Iterator[tuple[Process, int, float]]:
    """Run a server of the catalogue; give its process, its port and the seconds that it took to the first answer."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Place(free_port(), Path(folder))
        process = spawn(SERVERS[name], site, place, cores, through)
        try:
            yield process, place.port, wait_ready(process, place.port, site.probe)
        finally:
            process.stop()
