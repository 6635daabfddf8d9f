"""Workloads about memory: what an idle connection costs, and that a very large body passes without being held."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.clients import Answer, Connection, idle_connections
from harness.plan import LARGE, Plan
from harness.processes import NotMeasured
from harness.results import Result, most_check
from harness.servers import OURS, SERVERS, Site, serving

IDLE_CONNECTIONS = 5000
IDLE_LIMIT_KB = 6.0
GROWTH_LIMIT_MB = 30.0
SETTLE = 1.0
PAUSE = 1.0


def skip(result: Result, server: str, reason: Exception, plan: Plan) -> None:
    """Note that a server could not be measured, and why: a time-out is one that did not answer."""
    result.rows.append((server, "not measured", *("" for _ in result.columns[2:])))
    result.notes.append(f"{server} ({SERVERS[server].version()}) was not measured: {reason or type(reason).__name__}")
    plan.say(f"{result.name}  {server} not measured: {reason}")


def idle(name: str, plan: Plan) -> Result:
    """Measure a server's private memory before and after it holds 5,000 connections that have each had an answer."""
    columns = ("server", "before MB", "after MB", "KB a connection")
    result = Result(name, f"{IDLE_CONNECTIONS:,} idle keep-alive connections", columns)
    ours: float | None = None
    for server in ("skitai", "twisted.web", "granian", "nginx"):
        if server not in plan.servers:
            continue
        try:
            before, after = _idle_sizes(server, plan)
        except (NotMeasured, OSError, ValueError) as reason:
            skip(result, server, reason, plan)
            continue
        each = (after - before) / IDLE_CONNECTIONS / 1024
        ours = each if server == OURS else ours
        result.rows.append((server, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}", f"{each:.2f}"))
        plan.say(f"{name}  {server:18} {each:.2f} KB a connection")
    result.notes.append(
        "private memory (Private_* of smaps_rollup) of the server and its children; 1 KB is 1,024 bytes here"
    )
    if OURS in plan.servers:
        result.checks.append(most_check(f"{name}: memory of a connection", ours, IDLE_LIMIT_KB, "KB"))
    return result


def _idle_sizes(server: str, plan: Plan) -> tuple[int, int]:
    site = Site("hello", keep_alive=600)
    if server == "nginx":
        site = Site("files", probe="/1k.txt", files=plan.files, keep_alive=600)
    with serving(server, site, plan.cores) as (process, port, _):
        for _ in range(200):
            # One after the other: everything is warm, but two connections have never been held at once.
            with contextlib.closing(Connection(port)) as connection:
                connection.get(site.probe)
        time.sleep(SETTLE)
        before = process.resident_size()
        with idle_connections(port, IDLE_CONNECTIONS, site.probe) as held:
            time.sleep(SETTLE)
            after = process.resident_size()
            for connection in held[::100]:
                # It must have kept them open, or the figure says nothing.
                connection.get(site.probe)
    return before, after


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of 1 GB.

    Attributes:
        title: What passes.
        app: What is served.
        probe: A small path that is there.
        servers: Names of the servers, ours first.
        warm: The same with a small body, so that what is only done once has been done.
        run: The transfer.
        expected: What the answer must be.
    """

    title: str
    app: str
    probe: str
    servers: tuple[str, ...]
    warm: Callable[[Connection], Answer]
    run: Callable[[Connection], Answer]
    expected: Answer


TRANSFERS = {
    "upload": Transfer(
        "1 GB posted to an application that reads it in blocks",
        "bodies",
        "/download",
        ("skitai", "twisted.web", "gunicorn-gthread", "waitress"),
        lambda connection: connection.post("/count", 100_000),
        lambda connection: connection.post("/count", LARGE),
        Answer(200, b"%d" % LARGE, len(str(LARGE))),
    ),
    "download": Transfer(
        f"1 GB from an application's iterable of blocks, to a client that stops reading for {PAUSE:.0f} s",
        "bodies",
        "/download",
        ("skitai", "gunicorn-gthread", "waitress"),
        lambda connection: connection.download("/download?100000", 0.0),
        lambda connection: connection.download(f"/download?{LARGE}", PAUSE),
        Answer(200, b"", LARGE),
    ),
    "download_file": Transfer(
        f"1 GB of a static file, to a client that stops reading for {PAUSE:.0f} s",
        "files",
        "/1k.txt",
        ("skitai", "twisted.web", "nginx"),
        lambda connection: connection.download("/10m.bin", 0.0),
        lambda connection: connection.download("/1g.bin", PAUSE),
        Answer(200, b"", LARGE),
    ),
}


def transfer(name: str, plan: Plan) -> Result:
    """Measure how much a server's memory grows while 1 GB passes."""
    workload = TRANSFERS[name]
    result = Result(name, workload.title, ("server", "growth MB", "seconds"))
    growths: list[float] = []
    for server in workload.servers:
        if server not in plan.servers:
            continue
        try:
            growth, seconds = _grow(server, workload, plan)
        except (NotMeasured, OSError, ValueError) as reason:
            skip(result, server, reason, plan)
            continue
        if server == OURS:
            growths.append(growth)
        result.rows.append((server, f"{growth:.1f}", f"{seconds:.1f}"))
        result.notes.append(f"{server} ({SERVERS[server].version()}): {SERVERS[server].note}")
        plan.say(f"{name}  {server:18} {growth:.1f} MB more, {seconds:.1f} s")
    result.notes.append("growth is the peak of resident memory during the transfer over what it was before")
    if OURS in plan.servers:
        measured = statistics.median(growths) if growths else None
        result.checks.append(most_check(f"{name}: growth of memory", measured, GROWTH_LIMIT_MB, "MB"))
    return result


def _grow(server: str, workload: Transfer, plan: Plan) -> tuple[float, float]:
    site = Site(workload.app, probe=workload.probe, files=plan.files)
    with serving(server, site, plan.cores) as (process, port, _):
        for _ in range(20):
            with contextlib.closing(Connection(port)) as connection:
                workload.warm(connection)
        before = process.reset_peak()
        start = time.perf_counter()
        with contextlib.closing(Connection(port)) as connection:
            answer = workload.run(connection)
        seconds = time.perf_counter() - start
        if answer != workload.expected:
            raise ValueError(f"it answered {answer.status} with {answer.size:,} bytes {answer.body[:40]!r}")
        process.check_alive()
        return (process.peak_size() - before) / 1e6, seconds
