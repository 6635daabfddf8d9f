"""What came out: rows of a table and checks against the thresholds, as values and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# What nothing is divided by less than.
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold.

    Attributes:
        what: What is compared, in words.
        measured: The value, or why there is none.
        limit: The threshold, in words.
        passed: True, False, or None where a peer is missing and nothing can be said.
    """

    what: str
    measured: str
    limit: str
    passed: bool | None

    @property
    def verdict(self) -> str:
        """PASS, FAIL or SKIP."""
        return "SKIP" if self.passed is None else "PASS" if self.passed else "FAIL"


@dataclass(slots=True)
class Result:
    """What one workload gave."""

    name: str
    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Ours must be at least ``factor`` times the peer's."""

    peer: str
    factor: float

    def __str__(self) -> str:
        return f">= {self.factor:g}"

    def holds(self, ratio: float) -> bool:
        """Tell whether a ratio keeps it."""
        return ratio >= self.factor


@dataclass(frozen=True, slots=True)
class AtMost:
    """Ours must be at most ``factor`` times the peer's."""

    peer: str
    factor: float

    def __str__(self) -> str:
        return f"<= {self.factor:g}"

    def holds(self, ratio: float) -> bool:
        """Tell whether a ratio keeps it."""
        return ratio <= self.factor


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Give the median of the ratios of the same rounds, so that the machine's drift from round to round cancels out."""
    return statistics.median(mine / max(other, TINY) for mine, other in zip(ours, theirs, strict=True))


def ratio_checks(
    what: str, values: Mapping[str, Sequence[float]], ours: str, limits: Iterable[AtLeast | AtMost]
) -> list[Check]:
    """Judge thresholds over each server's values, one a round. Ours missing is a failure, a peer missing is not."""
    checks = []
    for limit in limits:
        label, text = f"{what}: {ours} / {limit.peer}", str(limit)
        if ours not in values:
            checks.append(Check(label, "ours was not measured", text, False))
        elif limit.peer not in values:
            checks.append(Check(label, "the peer was not measured", text, None))
        else:
            ratio = paired_ratio(values[ours], values[limit.peer])
            checks.append(Check(label, f"{ratio:.2f}", text, limit.holds(ratio)))
    return checks


def most_check(what: str, value: float | None, limit: float, unit: str) -> Check:
    """Judge one value that must not pass ``limit``; None is a value that could not be measured, which fails."""
    text = f"<= {limit:g} {unit}".rstrip()
    if value is None:
        return Check(what, "not measured", text, False)
    return Check(what, f"{value:.2f} {unit}".rstrip(), text, value <= limit)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table with its columns lined up: the first to the left, the others to the right."""
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 2) if not index else "-" * (width + 1) + ":" for index, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def render(result: Result) -> str:
    """Give a workload's section in Markdown."""
    parts = [f"## {result.name}: {result.title}", markdown(result.columns, result.rows)]
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts)


def render_checks(results: Iterable[Result]) -> str:
    """Give the table of all thresholds."""
    rows = [(check.what, check.measured, check.limit, check.verdict) for result in results for check in result.checks]
    return (
        markdown(("threshold", "measured", "limit", "verdict"), rows)
        if rows
        else "No threshold belongs to these workloads."
    )
