"""Workloads about asking other servers: our client beside others, and what a call costs in a thread.

The one who asks runs on the server core, and who is asked on the load core. Each turn is a new process of both.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.clients import Connection
from harness.plan import Plan
from harness.processes import Cores, NotMeasured, Process, free_port
from harness.results import AtLeast, Check, Result, most_check, paired_ratio, ratio_checks
from harness.servers import APPS, OURS, Site, import_path, serving, versions, wait_ready

OURS_ASKS = "was in skitai"
CLIENT_LIMITS = (AtLeast("aiohttp", 2.0), AtLeast("Agent with a pool", 5.0), AtLeast("Agent", 5.0))
CALL_LIMIT = 150.0
"""Microseconds that a call may take beyond the network."""
PATIENCE = 60.0
COLUMNS = ("client", "requests/s", "lowest", "highest", "was / it", "CPU µs/request")


@dataclass(frozen=True, slots=True)
class Peer:
    """A client in a process of its own.

    Attributes:
        script: In ``apps/``, with its arguments.
        needs: Python distributions that it is made with.
        note: What must be said of it.
    """

    script: tuple[str, ...]
    needs: tuple[str, ...]
    note: str


PEERS = {
    "aiohttp": Peer(("aiohttp_client.py",), ("aiohttp",), "on asyncio's own event loop"),
    "Agent with a pool": Peer(("agent_client.py",), ("Twisted",), "twisted.web's, all connections kept"),
    "Agent": Peer(("agent_client.py", "alone"), ("Twisted",), "twisted.web's as it is made by default: none kept"),
}


@contextlib.contextmanager
def backend(cores: Cores, delay: float = 0.0) -> Iterator[int]:
    """Run a server to be asked, on the load core; give its port.

    Args:
        cores: Where.
        delay: Seconds that it takes to answer.
    """
    port = free_port()
    environment = {"BENCH_PORT": str(port), "BENCH_DELAY": str(delay)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = cores.pin(cores.load, [sys.executable, str(APPS / "backend.py")])
        process = Process(command, environment, Path(folder), APPS)
        try:
            wait_ready(process, port, "/")
            yield port
            process.check_alive()
        finally:
            process.stop()


def client(name: str, plan: Plan) -> Result:
    """Compare clients by the requests that each can make, 64 at a time."""
    result = Result(name, "64 requests at a time to a fast server, from a coroutine", COLUMNS)
    asks: dict[str, Callable[[Plan, int], dict[str, float]]] = {OURS_ASKS: _ask_ours} if OURS in plan.servers else {}
    asks.update({label: _asking(peer) for label, peer in PEERS.items()})
    reports: dict[str, list[dict[str, float]]] = {}
    for turn in range(1, plan.rounds + 1):
        for label in list(asks):
            try:
                with backend(plan.cores) as port:
                    report = asks[label](plan, port)
            except (NotMeasured, OSError, ValueError) as reason:
                plan.say(f"{name} {turn}/{plan.rounds}  {label:18} dropped: {reason}")
                result.notes.append(f"{label} was not measured: {reason}")
                del asks[label]
                reports.pop(label, None)
                continue
            reports.setdefault(label, []).append(report)
            plan.say(f"{name} {turn}/{plan.rounds}  {label:18} {_rate(report):>10,.0f} requests/s")
    rates = {label: [_rate(report) for report in taken] for label, taken in reports.items()}
    for label, taken in reports.items():
        cpu = statistics.median(report["cpu"] / report["requests"] for report in taken) * 1e6
        each = rates[label]
        ratio = f"{paired_ratio(rates[OURS_ASKS], each):.2f}" if label != OURS_ASKS and OURS_ASKS in rates else ""
        figures = [f"{rate:,.0f}" for rate in (statistics.median(each), min(each), max(each))]
        result.rows.append((label, *figures, ratio, f"{cpu:,.1f}"))
        if label in PEERS:
            result.notes.append(f"{label} ({versions(PEERS[label].needs)}): {PEERS[label].note}")
    if OURS in plan.servers:
        result.checks = ratio_checks(name, rates, OURS_ASKS, CLIENT_LIMITS)
    return result


def _rate(report: dict[str, float]) -> float:
    return report["requests"] / report["seconds"]


def _ask_ours(plan: Plan, port: int) -> dict[str, float]:
    report: dict[str, float] = _view(plan, port, f"/load?seconds={plan.seconds}")
    return report


def _asking(peer: Peer) -> Callable[[Plan, int], dict[str, float]]:
    def ask(plan: Plan, port: int) -> dict[str, float]:
        versions(peer.needs)
        cores = plan.cores
        script, *arguments = peer.script
        command = cores.pin(cores.server, [sys.executable, "-W", "ignore", str(APPS / script), *arguments])
        environment = {**import_path(), "BENCH_BACKEND": str(port), "BENCH_SECONDS": str(plan.seconds)}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            process = Process(command, environment, Path(folder), APPS)
            try:
                process.wait(PATIENCE)
                report: dict[str, float] = json.loads(process.last_line())
            finally:
                process.stop()
        return report

    return ask


def _view(plan: Plan, port: int, path: str) -> Any:
    """Give what a view of ours answers, in a server of its own."""
    with (
        serving(OURS, Site("asking_views", backend=port), plan.cores) as (process, own, _),
        contextlib.closing(Connection(own)) as connection,
    ):
        connection.socket.settimeout(PATIENCE)
        answer = connection.get(path)
        process.check_alive()
    if answer.status != 200:
        raise NotMeasured(f"{path} answered {answer.status}")
    return json.loads(answer.body)


def call(name: str, plan: Plan) -> Result:
    """Measure what a call that a thread waits for takes beyond a bare round trip over a connection that is kept."""
    columns = ("round", "call µs", "network µs", "beyond it µs", "90 % of calls below µs")
    result = Result(name, "was.get(url).getwait() in a thread, and the network alone", columns)
    beyond: list[float] = []
    if OURS not in plan.servers:
        return result
    for turn in range(1, plan.rounds + 1):
        try:
            with backend(plan.cores) as port:
                timed: dict[str, list[float]] = _view(plan, port, "/calls")
        except (NotMeasured, OSError, ValueError) as reason:
            result.notes.append(f"not measured: {reason}")
            result.checks = [Check(f"{name}: beyond the network", "ours was not measured", f"<= {CALL_LIMIT:g}", False)]
            return result
        asked, network = (statistics.median(timed[what]) * 1e6 for what in ("call", "network"))
        high = statistics.quantiles(timed["call"], n=10)[-1] * 1e6
        beyond.append(asked - network)
        result.rows.append((str(turn), f"{asked:.0f}", f"{network:.0f}", f"{asked - network:.0f}", f"{high:.0f}"))
        plan.say(f"{name} {turn}/{plan.rounds}  {asked:.0f} µs, {asked - network:.0f} beyond the network")
    result.notes.append(f"medians of {len(timed['call']):,} calls and as many round trips, in turn in one thread")
    result.checks = [most_check(f"{name}: beyond the network", statistics.median(beyond), CALL_LIMIT, "µs")]
    return result
