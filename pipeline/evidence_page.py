"""The evidence on one deployment over time, as the live page draws it.

Takes what the analyzers have found and puts it into the page's units and times. Nothing here is
evidence by itself: the numbers come from the paths of the comparisons and from the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.comparing.attribution import Block, totals
from analyzers.comparing.comparison import RELATIVE, Comparison
from analyzers.facts import SLICE_NS, SLICE_S, Floats, Ints
from analyzers.folding.histogram import quantile
from analyzers.folding.subjects import BESIDE_VALUES
from analyzers.judging import evidence as found
from analyzers.judging.verdict import Reason
from analyzers.policy import Kind, Metric, Policy
from analyzers.timeline import Deployment
from analyzers.times import epoch_ms
from analyzers.turn import State
from dashboards.api.page_data import Evidence, EvidenceMarker, EvidenceMetric, EvidenceSeries

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
        if comparison is not None and comparison.strata and not comparison.silence:
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
    metric, trace = comparison.metric, comparison.trace()
    told = comparison.effects_of(trace, known.safe_threshold())
    # Effects of some kinds are parts of the baseline.
    base = 1.0 if metric.kind not in RELATIVE else reason.baseline or math.nan
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
        at=((trace.at + 1) * _MS_PER_SLICE).tolist(),
        effect=_finite(told.effect * base),
        low=_finite(told.low * base),
        high=_finite(told.high * base),
        e_value=_finite(np.exp(np.minimum(trace.log_harm, _EXP_MAX))),
        e_safe=_finite(np.exp(np.minimum(trace.log_safe, _EXP_MAX))),
        harm_threshold=_threshold(known.harm_threshold(key)),
        safe_threshold=_threshold(known.safe_threshold()),
    )


def _margin(metric: Metric, reason: Reason) -> float | None:
    """The margin as a difference in the metric's unit, with the sign of harm."""
    if not metric.margin.relative:
        return reason.margin
    return None if reason.baseline is None else reason.margin * abs(reason.baseline)


def _threshold(log_e: float) -> float | None:
    return None if math.isinf(log_e) else math.exp(min(log_e, _EXP_MAX))


def _finite(values: Floats) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


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
    seen = [known.comparisons[name, ()] for name in metrics if (name, ()) in known.comparisons]
    drawn = [comparison.metric for comparison in seen]
    if not drawn:
        return []
    cells = (*state.sealed, state.unsealed)
    rows = totals(cells, early, known.replaces, replace(policy, bake_s=0), drawn)
    series = []
    for number, metric in enumerate(drawn):
        mine = rows.where(rows.of == number)
        baseline, canary = _LEVELS[metric.kind](metric, mine, bars)
        series.append(
            EvidenceSeries(
                metric=metric.name,
                unit=metric.unit,
                at=bars.at(),
                width_ms=bars.width * _MS_PER_SLICE,
                baseline=_finite(baseline),
                canary=_finite(canary),
            )
        )
    return series


def _bars(deployment: Deployment, state: State) -> _Bars:
    start = deployment.started_ns // SLICE_NS
    now = (state.stream_ns or deployment.started_ns) // SLICE_NS
    end = now if deployment.ended_ns is None else min(now, deployment.ended_ns // SLICE_NS)
    length = max(end - start, 30)
    first = start - round(length * LEAD_IN)
    width = next((w for w in _WIDTHS if (end - first) / w <= BARS), _WIDTHS[-1])
    first -= first % width
    return _Bars(first, width, min(max((end - first) // width + 1, 1), 4 * BARS))


def _summed(rows: Block, values: Floats, bars: _Bars) -> Floats:
    """Sums of a column (k, 2) in each interval and arm, (count, 2)."""
    sums, place = np.zeros((bars.count, 2)), bars.place(rows.shown)
    inside = (place >= 0) & (place < bars.count)
    np.add.at(sums, place[inside], values[inside])
    return sums


def _shares(_: Metric, rows: Block, bars: _Bars) -> tuple[Floats, Floats]:
    units, failures = (_summed(rows, one, bars) for one in (rows.units, rows.failures))
    with np.errstate(divide="ignore", invalid="ignore"):
        good = 1.0 - failures / units
    return good[:, 0], good[:, 1]


def _counts(_: Metric, rows: Block, bars: _Bars) -> tuple[Floats, Floats]:
    units = _summed(rows, rows.units, bars)
    return units[:, 0], units[:, 1]


def _means(_: Metric, rows: Block, bars: _Bars) -> tuple[Floats, Floats]:
    total, units = (_summed(rows, one, bars) for one in (rows.total, rows.units))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / units
    return mean[:, 0], mean[:, 1]


def _medians(metric: Metric, rows: Block, bars: _Bars) -> tuple[Floats, Floats]:
    place = bars.place(rows.shown[rows.bin_of])
    place[rows.bin >= BESIDE_VALUES] = -1  # units of independence, not values
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(bars.count + 1))
    medians = np.full((bars.count, 2), np.nan)
    for i in range(bars.count):
        chosen = order[edges[i] : edges[i + 1]]
        for arm in (0, 1):
            told = rows.bin_counts[chosen, arm].astype(np.int64)
            level = quantile(rows.bin[chosen][told > 0], told[told > 0], 0.5, metric.quantum)
            medians[i, arm] = math.nan if level is None else level
    return medians[:, 0], medians[:, 1]


_LEVELS: Final[dict[Kind, Callable[[Metric, Block, _Bars], tuple[Floats, Floats]]]] = {
    Kind.PROPORTION: _shares,
    Kind.COUNT: _counts,
    Kind.DURATION: _medians,
    Kind.AMOUNT: _means,
    Kind.GAUGE: _means,
    Kind.RATIO: _means,
}
