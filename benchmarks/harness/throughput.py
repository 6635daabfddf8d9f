"""Workloads that wrk can drive: rounds go through the servers in turn, so that noise hits them all alike.

Each turn is a new process of the server: nothing that a server keeps from an earlier load (twisted.web loses a thread
for each client that leaves while it is being answered) can colour a later round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.clients import Connection
from harness.load import Sample, check_wrk, run_wrk
from harness.plan import Plan
from harness.processes import NotMeasured
from harness.results import TINY, AtLeast, Check, Result, most_check, paired_ratio, ratio_checks
from harness.servers import OURS, SERVERS, Site, serving


@dataclass(frozen=True, slots=True)
class Throughput:
    """One workload for wrk.

    Attributes:
        title: What it does.
        site: What the servers serve.
        path: What is asked for.
        servers: Names of the servers, ours first.
        limits: Its thresholds.
        post_size: Bytes of each request's body, 0 for GET.
        by_bytes: Whether servers are compared by bytes a second: of large answers few are whole at the end.
        spread_limit: At most so many times the median latency may the 99th percentile of ours be; 0 for no threshold.
    """

    title: str
    site: Site
    path: str
    servers: tuple[str, ...]
    limits: tuple[AtLeast, ...] = ()
    post_size: int = 0
    by_bytes: bool = False
    spread_limit: float = 0.0


WARM_REQUESTS = 300
# Samples of each server, and why a server has none.
Outcome = tuple[dict[str, list[Sample]], dict[str, str]]
COLUMNS = ("server", "requests/s", "lowest", "highest", "skitai / it", "MB/s", "p50 ms", "p99 ms", "CPU µs/request")


def measure(workload: Throughput, name: str, plan: Plan) -> Result:
    """Run a workload; servers that can not be measured stand in the table with the reason."""
    result = Result(name, workload.title, COLUMNS)
    samples: dict[str, list[Sample]] = {}
    reasons: dict[str, str] = {}
    try:
        check_wrk()
    except NotMeasured as reason:
        result.notes.append(f"skipped: {reason}")
        result.checks = [Check(f"{name}: thresholds of this workload", f"skipped: {reason}", "", None)]
        return result
    taking_part = [server for server in workload.servers if server in plan.servers]
    for turn in range(1, plan.rounds + 1):
        for server in taking_part:
            if server in reasons:
                continue
            try:
                sample = _measure_once(server, workload, plan)
            except (NotMeasured, OSError, ValueError) as reason:
                reasons[server] = str(reason)
                samples.pop(server, None)
                plan.say(f"{name} {turn}/{plan.rounds}  {server:18} dropped: {reason}")
                continue
            samples.setdefault(server, []).append(sample)
            faults = f"  [{sample.faults}]" if sample.faults else ""
            plan.say(f"{name} {turn}/{plan.rounds}  {server:18} {sample.rate:>10,.0f} requests/s{faults}")
    _fill(result, workload, plan, (samples, reasons))
    return result


def _measure_once(server: str, workload: Throughput, plan: Plan) -> Sample:
    site = dataclasses.replace(workload.site, files=plan.files)
    with serving(server, site, plan.cores) as (process, port, _):
        with contextlib.closing(Connection(port)) as connection:
            for _ in range(WARM_REQUESTS):
                if workload.post_size:
                    connection.post(workload.path, workload.post_size)
                else:
                    connection.get(site.probe)
        url = f"http://127.0.0.1:{port}{workload.path}"
        sample = run_wrk(process, url, plan.seconds, workload.post_size, plan.cores)
        process.check_alive()
    return sample


def _fill(result: Result, workload: Throughput, plan: Plan, outcome: Outcome) -> None:
    samples, reasons = outcome
    rates = {
        server: [sample.bytes_rate if workload.by_bytes else sample.rate for sample in taken]
        for server, taken in samples.items()
    }
    for server in workload.servers:
        if server in samples:
            result.rows.append(_row(server, samples[server], rates))
            result.notes.append(f"{server} ({SERVERS[server].version()}): {SERVERS[server].note}")
        elif server in reasons:
            result.rows.append((server, "not measured", *("" for _ in COLUMNS[2:])))
            result.notes.append(f"{server} was not measured: {reasons[server]}")
    # A threshold against a server that was not asked for is left out.
    limits = [limit for limit in workload.limits if {OURS, limit.peer} <= set(plan.servers)]
    result.checks = ratio_checks(result.name, rates, OURS, limits)
    ours = samples.get(OURS)
    if workload.spread_limit and OURS in plan.servers:
        spread = statistics.median(sample.p99 / max(sample.p50, TINY) for sample in ours) if ours else None
        result.checks.append(most_check(f"{result.name}: p99 / p50", spread, workload.spread_limit, ""))
    for server, taken in samples.items():
        faults = [sample.faults for sample in taken if sample.faults]
        if faults:
            result.notes.append(f"{server} had faults under load: {'; '.join(faults)}")
            if server == OURS:
                result.checks.append(Check(f"{result.name}: faults under load", faults[0], "none", False))


def _row(server: str, taken: Sequence[Sample], rates: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    def median(attribute: str) -> float:
        return statistics.median(float(getattr(sample, attribute)) for sample in taken)

    each = [sample.rate for sample in taken]
    ratio = f"{paired_ratio(rates[OURS], rates[server]):.2f}" if OURS in rates and server != OURS else ""
    return (
        server,
        f"{median('rate'):,.0f}",
        f"{min(each):,.0f}",
        f"{max(each):,.0f}",
        ratio,
        f"{median('bytes_rate') / 1e6:,.1f}",
        f"{median('p50') * 1e3:.2f}",
        f"{median('p99') * 1e3:.2f}",
        f"{median('cpu') * 1e6:,.1f}",
    )
