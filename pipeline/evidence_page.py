"""The evidence on one deployment over time, as the live page draws it.

Takes what the analyzers have found and puts it into the page's units and times. Nothing here is
evidence by itself: the numbers come from the paths of the comparisons and from the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers import evidence as found
from analyzers.arms import Rows, attribute
from analyzers.comparison import Comparison
from analyzers.facts import SLICE_NS, SLICE_S, Floats, Ints
from analyzers.histogram import quantile
from analyzers.policy import Kind, Metric, Policy
from analyzers.timeline import Deployment
from analyzers.times import epoch_ms
from analyzers.turn import State
from analyzers.verdict import Reason
from dashboards.api.page_data import Evidence, EvidenceMarker, EvidenceMetric, EvidenceSeries

# A drawing a thousand pixels wide shows no more; four times as many double the answer's size.
POINTS: Final = 250
BARS: Final = 120
METRICS: Final = 40
MARKERS: Final = 500
# Part of the release's own length that is drawn before its start, so that the start is seen.
LEAD_IN: Final = 0.25
_MS_PER_SLICE: Final = SLICE_S * 1000
# 10 s, 30 s, 1 min, 5 min, 10 min, 30 min, 1 h, 3 h, 6 h, 12 h, 1 d, 1 week.
_WIDTHS: Final = (1, 3, 6, 30, 60, 180, 360, 1080, 2160, 4320, 8640, 60480)
_EXP_MAX: Final = 690.0


def evidence_of(state: State, name: str, policy: Policy) -> Evidence:
    """The evidence on a deployment; empty if it never started."""
    known = state.evidence_of(name, policy)
    if known is None:
        return Evidence(name)
    verdict = state.verdicts.get(name)
    reasons = verdict.reasons if verdict else []
    metrics = []
    for reason in reasons[:METRICS]:
        key = (reason.metric, tuple(reason.segment.items()))
        comparison = known.comparisons.get(key)
        if comparison is not None and comparison.path.at:
            metrics.append(_metric(known, comparison, reason))
    totals = [r.metric for r in reasons if not r.segment and r.state != "not_observed"]
    deployment = known.deployment
    return Evidence(
        name,
        [
            EvidenceMarker(epoch_ms(m.time_ns), m.type, m.share)
            for m in deployment.markers[:MARKERS]
        ],
        metrics,
        _all_series(state, known, list(dict.fromkeys(totals)), policy),
    )


def _metric(known: found.Evidence, comparison: Comparison, reason: Reason) -> EvidenceMetric:
    path, metric = comparison.path, comparison.metric
    rows = _spread(len(path.at))
    effect, low, high = _in_unit(metric, reason, path.effect, path.low, path.high)
    key = (reason.metric, tuple(reason.segment.items()))
    return EvidenceMetric(
        metric=reason.metric,
        segment=reason.segment,
        kind=metric.kind.value,
        unit=reason.unit,
        worse=reason.worse,
        margin=_margin(metric, reason),
        state=reason.state,
        gates=reason.gates,
        indicative=reason.indicative,
        at=[(path.at[i] + 1) * _MS_PER_SLICE for i in rows],
        effect=_chosen(effect, rows),
        low=_chosen(low, rows),
        high=_chosen(high, rows),
        e_value=_chosen(np.exp(np.minimum(path.log_harm, _EXP_MAX)), rows),
        e_safe=_chosen(np.exp(np.minimum(path.log_safe, _EXP_MAX)), rows),
        harm_threshold=_threshold(known.harm_threshold(key)),
        safe_threshold=_threshold(known.safe_threshold()),
    )


def _in_unit(
    metric: Metric,
    reason: Reason,
    effect: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
) -> tuple[Floats, Floats, Floats]:
    """A path in the metric's unit and direction, as the verdict's own numbers are."""
    paths = np.array(effect), np.array(low), np.array(high)
    if metric.kind is Kind.PROPORTION:
        if metric.worse == "higher":
            return paths
        return 0.0 - paths[0], 0.0 - paths[2], 0.0 - paths[1]  # not -x: it would draw -0
    base = math.nan if reason.baseline is None else reason.baseline
    return paths[0] * base, paths[1] * base, paths[2] * base


def _margin(metric: Metric, reason: Reason) -> float | None:
    """The margin as a difference in the metric's unit, with the sign of harm."""
    if not metric.margin.relative:
        return reason.margin
    return None if reason.baseline is None else reason.margin * abs(reason.baseline)


def _threshold(log_e: float) -> float | None:
    return None if math.isinf(log_e) else math.exp(min(log_e, _EXP_MAX))


def _spread(n: int) -> list[int]:
    """At most ``POINTS`` places among n, evenly, always with the last."""
    if n <= POINTS:
        return list(range(n))
    return sorted({round(i * (n - 1) / (POINTS - 1)) for i in range(POINTS)})


def _chosen(values: Floats, rows: list[int]) -> list[float | None]:
    return [float(values[i]) if np.isfinite(values[i]) else None for i in rows]


# --- series ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bars:
    """Equal intervals from slice ``first`` on, each ``width`` slices, ``count`` of them."""

    first: int
    width: int
    count: int

    def place(self, slices: Ints) -> Ints:
        """The interval of each slice; outside of [0, count) it is not drawn."""
        return (slices - self.first) // self.width

    def at(self) -> list[int]:
        """When each interval begins, in epoch milliseconds."""
        return [(self.first + i * self.width) * _MS_PER_SLICE for i in range(self.count)]


def _all_series(
    state: State, known: found.Evidence, metrics: list[str], policy: Policy
) -> list[EvidenceSeries]:
    bars = _bars(known.deployment, state)
    # As if it had started earlier: both versions are drawn, and where the canary begins is seen.
    early = replace(known.deployment, started_ns=bars.first * SLICE_NS)
    parts = [
        attribute(cells, early, known.replaces, policy)
        for cells in (*state.sealed, state.unsealed)
        if len(cells)
    ]
    drawn = []
    for name in metrics:
        rows = [part[name, ()] for part in parts if (name, ()) in part]
        metric = known.comparisons[name, ()].metric if (name, ()) in known.comparisons else None
        if metric is None or not rows or metric.kind is Kind.GAUGE:
            continue
        levels = _LEVELS[metric.kind](metric, rows, bars)
        baseline, canary = (_chosen(side, list(range(bars.count))) for side in levels)
        drawn.append(
            EvidenceSeries(
                metric=name,
                unit=metric.unit,
                at=bars.at(),
                width_ms=bars.width * _MS_PER_SLICE,
                baseline=baseline,
                canary=canary,
            )
        )
    return drawn


def _bars(deployment: Deployment, state: State) -> _Bars:
    start = deployment.started_ns // SLICE_NS
    now = (state.stream_ns or deployment.started_ns) // SLICE_NS
    end = now if deployment.ended_ns is None else min(now, deployment.ended_ns // SLICE_NS)
    length = max(end - start, 30)
    first = start - round(length * LEAD_IN)
    width = next((w for w in _WIDTHS if (end - first) / w <= BARS), _WIDTHS[-1])
    first -= first % width
    return _Bars(first, width, min(max((end - first) // width + 1, 1), 4 * BARS))


def _counted(rows: list[Rows], bars: _Bars) -> tuple[Floats, Floats]:
    """Units and failures of each interval and arm, both (count, 2)."""
    units, failures = np.zeros((bars.count, 2)), np.zeros((bars.count, 2))
    for part in rows:
        place = bars.place(part.shown)
        inside = (place >= 0) & (place < bars.count)
        np.add.at(units, place[inside], part.units[inside])
        np.add.at(failures, place[inside], part.failures[inside])
    return units, failures


def _shares(_: Metric, rows: list[Rows], bars: _Bars) -> tuple[Floats, Floats]:
    units, failures = _counted(rows, bars)
    with np.errstate(divide="ignore", invalid="ignore"):
        good = 1.0 - failures / units
    return good[:, 0], good[:, 1]


def _counts(_: Metric, rows: list[Rows], bars: _Bars) -> tuple[Floats, Floats]:
    units, _failures = _counted(rows, bars)
    return units[:, 0], units[:, 1]


def _medians(metric: Metric, rows: list[Rows], bars: _Bars) -> tuple[Floats, Floats]:
    place = np.concatenate([bars.place(part.shown[part.bin_of]) for part in rows])
    number = np.concatenate([part.bin for part in rows])
    counts = np.concatenate([part.bin_counts for part in rows])
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(bars.count + 1))
    medians = np.full((bars.count, 2), np.nan)
    for i in range(bars.count):
        chosen = order[edges[i] : edges[i + 1]]
        for arm in (0, 1):
            told = counts[chosen, arm].astype(np.int64)
            level = quantile(number[chosen][told > 0], told[told > 0], 0.5, metric.quantum)
            medians[i, arm] = math.nan if level is None else level
    return medians[:, 0], medians[:, 1]


_LEVELS: Final[dict[Kind, Callable[[Metric, list[Rows], _Bars], tuple[Floats, Floats]]]] = {
    Kind.PROPORTION: _shares,
    Kind.COUNT: _counts,
    Kind.DURATION: _medians,
    Kind.AMOUNT: _medians,
}
