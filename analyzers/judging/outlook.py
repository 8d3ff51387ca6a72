"""What is still needed before a metric can be decided, and what a harm has cost so far."""

from __future__ import annotations

import math
from typing import Final

from analyzers.comparing.arms import CANARY, Key
from analyzers.comparing.comparison import Comparison
from analyzers.facts import SLICE_NS, SLICE_S
from analyzers.judging.evidence import Evidence
from analyzers.judging.verdict import Impact, Needed
from analyzers.policy import Kind

_UNITS: Final = {"order": "orders", "edi": "documents", "warehouse": "tasks", "partner": "calls"}
# Nothing is known before the first strata: so many events a metric of this kind needs at least.
_FIRST: Final = 400.0
_MOST: Final = 1e12


def needed(evidence: Evidence, key: Key, at: int) -> Needed | None:
    """How many more events until a metric can be decided at the present rate, and how long that
    takes: for safety until the bound on the side of harm is inside the margin, or, where the
    estimate is beyond it, for harm until the bound on the other side is outside.

    A bound is the estimate and a width that shrinks with the square root of the number of events.
    """
    comparison = evidence.comparisons[key]
    if comparison.indicative or math.isinf(evidence.harm_threshold(key)):
        return None
    n = max(float(comparison.seen.sum()), 1.0)
    effect, size = comparison.harm(evidence.safe_threshold())
    if math.isnan(effect) or size <= 0.0:
        margin = comparison.metric.margin.size
        exact = comparison.metric.kind is Kind.PROPORTION
        more = 10.0 / max(margin, 1e-3) if exact else max(_FIRST - n, _FIRST / 10.0)
    else:
        margin = comparison.margin()
        if effect > margin:
            size = comparison.harm(evidence.harm_threshold(key))[1]
        distance = max(abs(margin - effect), abs(margin) / 4.0, 1e-9)
        more = n * ((size / distance) ** 2 - 1.0)
    events = max(1, math.ceil(min(more, _MOST)))
    elapsed_s = max(at - evidence.deployment.started_ns // SLICE_NS, 1) * SLICE_S
    return Needed(events, math.ceil(events * elapsed_s / n))


def impact(
    comparison: Comparison, effect: float | None, low: float | None, high: float | None
) -> Impact | None:
    """What a harm has cost so far, with its interval: failed events, or what was lost in the
    metric's unit; None where that has no meaning."""
    metric = comparison.metric
    if effect is None:
        return None
    sign = 1.0 if metric.worse == "higher" else -1.0
    least, most = sorted(sign * (effect if bound is None else bound) for bound in (low, high))
    unit, n = metric.unit, float(comparison.seen[CANARY])
    if metric.kind is Kind.PROPORTION:
        family = (metric.types or ("",))[0].split(".")[0]
        unit = _UNITS.get(family, "events")
    elif metric.kind in (Kind.GAUGE, Kind.COUNT):
        return None
    harmed = sign * effect * n
    return Impact(round(harmed, 1), round(max(least, 0.0) * n, 1), round(most * n, 1), unit)
