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

from harness.asking import backend
from harness.clients import Connection
from harness.load import Sample, Target, check_wrk, run_wrk
from harness.plan import Plan
from harness.processes import NotMeasured
from harness.results import TINY, AtLeast, AtMost, Check, Result, most_check, paired_ratio, ratio_checks
from harness.servers import Entrant, serving


@dataclass(frozen=True, slots=True)
class Throughput:
    """One workload for wrk.

    Attributes:
        title: What it does.
        paths: What is asked for, in turn.
        entrants: Who takes part, ours first.
        limits: Its thresholds, of requests a second.
        other_limits: Thresholds of other entrants than the first, each with the name of whose it is.
        cpu_limits: Its thresholds of the processor time of a request.
        post_size: Bytes of each request's body, 0 for GET.
        by_bytes: Whether servers are compared by bytes a second: of large answers few are whole at the end.
        delay: Seconds that the server takes which the entrants ask; 0: they ask none.
        spread_limit: At most so many times the median latency may the 99th percentile of ours be; 0 for no threshold.
    """

    title: str
    paths: tuple[str, ...]
    entrants: tuple[Entrant, ...]
    limits: tuple[AtLeast, ...] = ()
    other_limits: tuple[tuple[str, AtLeast], ...] = ()
    cpu_limits: tuple[AtMost, ...] = ()
    post_size: int = 0
    by_bytes: bool = False
    delay: float = 0.0
    spread_limit: float = 0.0


WARM_REQUESTS = 300
# Samples of each server, and why a server has none.
Outcome = tuple[dict[str, list[Sample]], dict[str, str]]
COLUMNS = ("server", "requests/s", "lowest", "highest", "{} / it", "MB/s", "p50 ms", "p99 ms", "CPU µs/request")


def measure(workload: Throughput, name: str, plan: Plan) -> Result:
    """Run a workload; servers that can not be measured stand in the table with the reason."""
    result = Result(name, workload.title, [column.format(workload.entrants[0].name) for column in COLUMNS])
    samples: dict[str, list[Sample]] = {}
    reasons: dict[str, str] = {}
    try:
        check_wrk()
    except NotMeasured as reason:
        result.notes.append(f"skipped: {reason}")
        result.checks = [Check(f"{name}: thresholds of this workload", f"skipped: {reason}", "", None)]
        return result
    taking_part = [entrant for entrant in workload.entrants if entrant.server in plan.servers]
    for turn in range(1, plan.rounds + 1):
        for entrant in taking_part:
            label = entrant.name
            if label in reasons:
                continue
            try:
                sample = _measure_once(entrant, workload, plan)
            except (NotMeasured, OSError, ValueError) as reason:
                reasons[label] = str(reason)
                samples.pop(label, None)
                plan.say(f"{name} {turn}/{plan.rounds}  {label:18} dropped: {reason}")
                continue
            samples.setdefault(label, []).append(sample)
            faults = f"  [{sample.faults}]" if sample.faults else ""
            plan.say(f"{name} {turn}/{plan.rounds}  {label:18} {sample.rate:>10,.0f} requests/s{faults}")
    _fill(result, workload, plan, (samples, reasons))
    return result


def _measure_once(entrant: Entrant, workload: Throughput, plan: Plan) -> Sample:
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(backend(plan.cores, workload.delay)) if workload.delay else 0
        site = dataclasses.replace(entrant.site, files=plan.files, backend=asked)
        process, port, _ = stack.enter_context(serving(entrant.server, site, plan.cores))
        with contextlib.closing(Connection(port)) as connection:
            for _ in range(WARM_REQUESTS):
                if workload.post_size:
                    connection.post(workload.paths[0], workload.post_size)
                else:
                    connection.get(site.probe)
        paths = (entrant.path,) if entrant.path else workload.paths
        sample = run_wrk(process, Target(port, paths, workload.post_size), plan.seconds, plan.cores)
        process.check_alive()
    return sample


def _fill(result: Result, workload: Throughput, plan: Plan, outcome: Outcome) -> None:
    samples, reasons = outcome
    ours = workload.entrants[0]
    rates = {
        label: [sample.bytes_rate if workload.by_bytes else sample.rate for sample in taken]
        for label, taken in samples.items()
    }
    for entrant in workload.entrants:
        label = entrant.name
        if label in samples:
            result.rows.append(_row(label, samples[label], rates, ours.name))
            result.notes.append(entrant.describe())
        elif label in reasons:
            result.rows.append((label, "not measured", *("" for _ in COLUMNS[2:])))
            result.notes.append(f"{label} was not measured: {reasons[label]}")
    result.checks = _checks(result.name, workload, plan, samples, rates)
    for label, taken in samples.items():
        faults = [sample.faults for sample in taken if sample.faults]
        if faults:
            result.notes.append(f"{label} had faults under load: {'; '.join(faults)}")
            if label == ours.name:
                result.checks.append(Check(f"{result.name}: faults under load", faults[0], "none", False))


def _checks(
    name: str,
    workload: Throughput,
    plan: Plan,
    samples: Mapping[str, Sequence[Sample]],
    rates: Mapping[str, Sequence[float]],
) -> list[Check]:
    ours = workload.entrants[0]
    if ours.server not in plan.servers:
        return []
    # A threshold against a server that was not asked for is left out.
    asked = {entrant.name for entrant in workload.entrants if entrant.server in plan.servers}
    checks = ratio_checks(name, rates, ours.name, [limit for limit in workload.limits if limit.peer in asked])
    for whose, limit in workload.other_limits:
        if limit.peer in asked:
            checks += ratio_checks(name, rates, whose, [limit])
    costs = {label: [sample.cpu for sample in taken] for label, taken in samples.items()}
    limits = [limit for limit in workload.cpu_limits if limit.peer in asked]
    checks += ratio_checks(f"{name}: CPU of a request", costs, ours.name, limits)
    if workload.spread_limit:
        taken = samples.get(ours.name)
        spread = statistics.median(sample.p99 / max(sample.p50, TINY) for sample in taken) if taken else None
        checks.append(most_check(f"{name}: p99 / p50", spread, workload.spread_limit, ""))
    return checks


def _row(label: str, taken: Sequence[Sample], rates: Mapping[str, Sequence[float]], ours: str) -> tuple[str, ...]:
    def median(attribute: str) -> float:
        return statistics.median(float(getattr(sample, attribute)) for sample in taken)

    each = [sample.rate for sample in taken]
    ratio = f"{paired_ratio(rates[ours], rates[label]):.2f}" if ours in rates and label != ours else ""
    return (
        label,
        f"{median('rate'):,.0f}",
        f"{min(each):,.0f}",
        f"{max(each):,.0f}",
        ratio,
        f"{median('bytes_rate') / 1e6:,.1f}",
        f"{median('p50') * 1e3:.2f}",
        f"{median('p99') * 1e3:.2f}",
        f"{median('cpu') * 1e6:,.1f}",
    )
