"""Workloads about memory: what an idle connection costs, and that a very large body passes without being held."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.clients import Answer, Connection, idle_connections
from harness.plan import LARGE, Plan
from harness.processes import NotMeasured
from harness.results import Result, most_check
from harness.servers import OURS, Entrant, Site, alike, serving

IDLE_CONNECTIONS = 5000
IDLE_LIMIT_KB = 6.0
GROWTH_LIMIT_MB = 30.0
FORM_SIZE = 200_000_000
FORM_GROWTH_LIMIT_MB = 20.0
SETTLE = 1.0
PAUSE = 1.0


def skip(result: Result, server: str, reason: Exception, plan: Plan) -> None:
    """Note that a server could not be measured, and why: a time-out is one that did not answer."""
    result.rows.append((server, "not measured", *("" for _ in result.columns[2:])))
    result.notes.append(f"{server} was not measured: {str(reason) or type(reason).__name__}")
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
    """One transfer of a large body.

    Attributes:
        title: What passes.
        entrants: Who takes part, ours first.
        warm: The same with a small body, so that what is only done once has been done.
        run: The transfer.
        expected: What the answer must be.
        limit: How much the memory of ours may grow, in MB.
    """

    title: str
    entrants: tuple[Entrant, ...]
    warm: Callable[[Connection], Answer]
    run: Callable[[Connection], Answer]
    expected: Answer
    limit: float = GROWTH_LIMIT_MB


BODIES = Site("bodies", probe="/download")
FLASK = Site("flask_views", probe="/json", needs=("Flask",))

TRANSFERS = {
    "upload": Transfer(
        "1 GB posted to an application that reads it in blocks",
        alike(("skitai", "twisted.web", "gunicorn-gthread", "waitress"), BODIES),
        lambda connection: connection.post("/count", 100_000),
        lambda connection: connection.post("/count", LARGE),
        Answer(200, b"%d" % LARGE, len(str(LARGE))),
    ),
    "download": Transfer(
        f"1 GB from an application's iterable of blocks, to a client that stops reading for {PAUSE:.0f} s",
        alike(("skitai", "gunicorn-gthread", "waitress"), BODIES),
        lambda connection: connection.download("/download?100000", 0.0),
        lambda connection: connection.download(f"/download?{LARGE}", PAUSE),
        Answer(200, b"", LARGE),
    ),
    "download_file": Transfer(
        f"1 GB of a static file, to a client that stops reading for {PAUSE:.0f} s",
        alike(("skitai", "twisted.web", "nginx"), Site("files", probe="/1k.txt")),
        lambda connection: connection.download("/10m.bin", 0.0),
        lambda connection: connection.download("/1g.bin", PAUSE),
        Answer(200, b"", LARGE),
    ),
    "form_upload": Transfer(
        f"a form with a file of {FORM_SIZE // 1_000_000} MB, which a view saves",
        (
            Entrant("Saddle on skitai", "skitai", Site("saddle_views")),
            *(Entrant(f"Flask on {server}", server, FLASK) for server in ("waitress", "gunicorn-gthread", "skitai")),
        ),
        lambda connection: connection.post_form("/upload", 2_000_000),
        lambda connection: connection.post_form("/upload", FORM_SIZE),
        Answer(200, b"%d" % FORM_SIZE, len(str(FORM_SIZE))),
        FORM_GROWTH_LIMIT_MB,
    ),
}


def transfer(name: str, plan: Plan) -> Result:
    """Measure how much a server's memory grows while a large body passes."""
    workload = TRANSFERS[name]
    result = Result(name, workload.title, ("server", "growth MB", "seconds"))
    ours: float | None = None
    for entrant in workload.entrants:
        if entrant.server not in plan.servers:
            continue
        try:
            growth, seconds = _grow(entrant, workload, plan)
        except (NotMeasured, OSError, ValueError) as reason:
            skip(result, entrant.name, reason, plan)
            continue
        if entrant is workload.entrants[0]:
            ours = growth
        result.rows.append((entrant.name, f"{growth:.1f}", f"{seconds:.1f}"))
        result.notes.append(entrant.describe())
        plan.say(f"{name}  {entrant.name:18} {growth:.1f} MB more, {seconds:.1f} s")
    result.notes.append("growth is the peak of resident memory during the transfer over what it was before")
    if workload.entrants[0].server in plan.servers:
        result.checks.append(most_check(f"{name}: growth of memory", ours, workload.limit, "MB"))
    return result


def _grow(entrant: Entrant, workload: Transfer, plan: Plan) -> tuple[float, float]:
    site = dataclasses.replace(entrant.site, files=plan.files)
    with serving(entrant.server, site, plan.cores) as (process, port, _):
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
