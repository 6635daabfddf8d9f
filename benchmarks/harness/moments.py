"""Workloads about single moments: the first answer after the start, an answer beside 2,000 silent connections."""

from __future__ import annotations

import contextlib
import statistics
import time

from harness.clients import Connection, silent_connections
from harness.memory import skip
from harness.plan import Plan
from harness.processes import NotMeasured
from harness.results import Check, Result, most_check
from harness.servers import OURS, SERVERS, Site, serving

START_LIMIT = 1.5
START_ROUNDS = 5
SILENT_CONNECTIONS = 2000
SILENT_LIMIT = 1.0
SILENT_REQUESTS = 50


def startup(name: str, plan: Plan) -> Result:
    """Measure the time from the start of a server's process to its first answer, servers in turn."""
    result = Result(name, "from exec to the first answer", ("server", "seconds", "fastest", "slowest", "skitai / it"))
    times: dict[str, list[float]] = {}
    names = [
        server
        for server in ("skitai", "twisted.web", "gunicorn-gthread", "waitress", "granian")
        if server in plan.servers
    ]
    for turn in range(max(plan.rounds, START_ROUNDS) + 1):
        for server in list(names):
            try:
                with serving(server, Site("hello"), plan.cores) as (_, _, seconds):
                    pass
            except NotMeasured as reason:
                skip(result, server, reason, plan)
                names.remove(server)
                times.pop(server, None)
                continue
            if turn:
                # The round before the first fills the disk cache and writes the .pyc files.
                times.setdefault(server, []).append(seconds)
    ours = times.get(OURS)
    for server, taken in times.items():
        ratio = "" if ours is None or ours is taken else f"{statistics.median(ours) / statistics.median(taken):.2f}"
        median = statistics.median(taken)
        result.rows.append((server, f"{median:.3f}", f"{min(taken):.3f}", f"{max(taken):.3f}", ratio))
        result.notes.append(f"{server} ({SERVERS[server].version()}): {SERVERS[server].note}")
        plan.say(f"{name}  {server:18} {median:.3f} s")
    if OURS in plan.servers and "twisted.web" in plan.servers:
        label = f"{name}: skitai / twisted.web"
        if ours and "twisted.web" not in times:
            result.checks.append(Check(label, "the peer was not measured", f"<= {START_LIMIT:g}", None))
        else:
            ratio_value = statistics.median(ours) / statistics.median(times["twisted.web"]) if ours else None
            result.checks.append(most_check(label, ratio_value, START_LIMIT, ""))
    return result


def silent(name: str, plan: Plan) -> Result:
    """Measure how long new clients wait for an answer while 2,000 connections are open that have sent nothing."""
    title = f"an answer beside {SILENT_CONNECTIONS:,} connections that send nothing"
    result = Result(name, title, ("server", "median ms", "slowest ms"))
    ours: float | None = None
    for server in ("skitai", "twisted.web", "gunicorn-gthread", "waitress", "granian"):
        if server not in plan.servers:
            continue
        try:
            waits = _waits(server, plan)
        except (NotMeasured, OSError, ValueError) as reason:
            skip(result, server, reason, plan)
            continue
        ours = max(waits) if server == OURS else ours
        result.rows.append((server, f"{statistics.median(waits) * 1e3:.2f}", f"{max(waits) * 1e3:.2f}"))
        plan.say(f"{name}  {server:18} slowest of {SILENT_REQUESTS} answers {max(waits) * 1e3:.1f} ms")
    if OURS in plan.servers:
        result.checks.append(most_check(f"{name}: slowest answer", ours, SILENT_LIMIT, "s"))
    return result


def _waits(server: str, plan: Plan) -> list[float]:
    waits = []
    with serving(server, Site("hello"), plan.cores) as (_, port, _), silent_connections(port, SILENT_CONNECTIONS):
        for _ in range(SILENT_REQUESTS):
            start = time.perf_counter()
            with contextlib.closing(Connection(port)) as connection:
                if connection.get("/").status != 200:
                    raise ValueError("an answer other than 200")
            waits.append(time.perf_counter() - start)
    return waits
