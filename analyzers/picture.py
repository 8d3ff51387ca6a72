"""The evidence on a deployment as one would draw it: courses over time, thinned to what an eye
can tell apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.arms import Rows, attribute
from analyzers.cells import Cells
from analyzers.comparison import Comparison
from analyzers.evidence import Evidence
from analyzers.facts import SLICE_NS, SLICE_S, Ints
from analyzers.judge import peak, signed_margin
from analyzers.policy import Kind
from analyzers.verdict import State

POINTS_MAX: Final = 160
_SEGMENTS_MAX: Final = 12
# Widths of the intervals that business counts are drawn in, in seconds.
_WIDTHS_S: Final = (10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)


@dataclass(frozen=True, slots=True)
class Course:
    """How the evidence on one metric in one segment grew. Arrays of equal length; None unknown.

    ``effect``, ``low``, ``high`` and ``margin`` are differences of a proportion, or relative to
    the baseline (unit "relative"), with the sign that the metric has. ``log_harm`` and
    ``log_safe`` are natural logs of e-values, the thresholds too (infinite: never decides).
    """

    metric: str
    segment: dict[str, str]
    kind: str
    unit: str
    worse: str
    margin: float
    state: State
    gates: bool
    indicative: bool
    at_ns: list[int]
    effect: list[float | None]
    low: list[float | None]
    high: list[float | None]
    log_harm: list[float]
    log_safe: list[float]
    harm_threshold: float
    safe_threshold: float


@dataclass(frozen=True, slots=True)
class Counted:
    """How many units of a metric each arm had, in intervals of ``width_ns`` from ``at_ns`` on."""

    metric: str
    unit: str
    at_ns: list[int]
    width_ns: int
    baseline: list[int]
    canary: list[int]


def courses(evidence: Evidence, states: dict[tuple[str, str], State]) -> list[Course]:
    """The course of every total and of the segments with most evidence for harm.

    ``states`` are those of the verdict's reasons, by metric and ``segment_text``.
    """
    keys = sorted(evidence.comparisons, key=lambda key: (bool(key[1]), -peak(evidence, key), key))
    totals = [key for key in keys if not key[1]]
    segments = [key for key in keys if key[1]][:_SEGMENTS_MAX]
    found = []
    for key in [*totals, *segments]:
        comparison = evidence.comparisons[key]
        if not comparison.path.at:
            continue
        segment = dict(key[1])
        state = states.get((key[0], segment_text(segment)), "undecided")
        gates = evidence.gates(key, comparison, comparison.path.at[-1])
        found.append(_course(evidence, comparison, segment, state, gates, evidence.weights[key]))
    return found


def segment_text(segment: dict[str, str]) -> str:
    """A segment as text that names it, "" for the total."""
    return ",".join(f"{name}={value}" for name, value in segment.items())


def _course(
    evidence: Evidence,
    comparison: Comparison,
    segment: dict[str, str],
    state: State,
    gates: bool,
    weight: float,
) -> Course:
    metric, path = comparison.metric, comparison.path
    rows = _thinned(len(path.at))
    effect, low, high = (
        [_known(values[i]) for i in rows] for values in (path.effect, path.low, path.high)
    )
    if metric.kind is Kind.PROPORTION and metric.worse == "lower":
        effect, low, high = _negated(effect), _negated(high), _negated(low)
    rate = evidence.policy.error_rate
    return Course(
        metric=metric.name,
        segment=segment,
        kind=metric.kind.value,
        unit=metric.unit if metric.kind is Kind.PROPORTION else "relative",
        worse=metric.worse,
        margin=signed_margin(metric),
        state=state,
        gates=gates,
        indicative=comparison.indicative,
        at_ns=[(path.at[i] + 1) * SLICE_NS for i in rows],
        effect=effect,
        low=low,
        high=high,
        log_harm=[path.log_harm[i] for i in rows],
        log_safe=[path.log_safe[i] for i in rows],
        harm_threshold=-math.log(rate * weight) if weight > 0 else math.inf,
        safe_threshold=evidence.safe_threshold(),
    )


def _thinned(n: int) -> list[int]:
    """At most POINTS_MAX places of n, evenly spread, the last one among them."""
    if n <= POINTS_MAX:
        return list(range(n))
    return sorted({round(i * (n - 1) / (POINTS_MAX - 1)) for i in range(POINTS_MAX)})


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _negated(values: list[float | None]) -> list[float | None]:
    return [None if value is None else -value for value in values]


def counted(evidence: Evidence, cells: Cells) -> list[Counted]:
    """How many units of every metric both arms had over time, from all cells."""
    rows = attribute(cells, evidence.deployment, evidence.replaces, evidence.policy)
    metrics = {metric.name: metric for metric in evidence.policy.metrics}
    return [
        _counted(key[0], metrics[key[0]].unit, mine)
        for key, mine in sorted(rows.items())
        if not key[1] and key[0] in metrics and len(mine)
    ]


def _counted(metric: str, unit: str, rows: Rows) -> Counted:
    span = (int(rows.shown[-1]) - int(rows.shown[0]) + 1) * SLICE_S
    width_s = next((w for w in _WIDTHS_S if span / w <= POINTS_MAX), _WIDTHS_S[-1])
    place: Ints = rows.shown * SLICE_S // width_s
    places = np.arange(int(place[0]), int(place[-1]) + 1)
    units = np.zeros((len(places), 2), np.int64)
    np.add.at(units, place - places[0], rows.units.astype(np.int64))
    return Counted(
        metric=metric,
        unit=unit,
        at_ns=[int(p) * width_s * 1_000_000_000 for p in places],
        width_ns=width_s * 1_000_000_000,
        baseline=units[:, 0].tolist(),
        canary=units[:, 1].tolist(),
    )
