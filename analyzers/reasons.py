"""What each metric says, in its own unit: the reasons of a verdict."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from msgspec.structs import replace

from analyzers.arms import CANARY, Key
from analyzers.cells import Segment
from analyzers.comparison import SHOWN, Comparison
from analyzers.evidence import Evidence, Stop
from analyzers.facts import SLICE_NS, SLICE_S
from analyzers.policy import Criticality, Kind, Measure, Metric
from analyzers.verdict import Needed, Reason, State

_LARGEST: Final = 1e300  # JSON has no infinity
_WORST_SEGMENTS: Final = 5
_METHODS: Final = {
    Kind.PROPORTION: "exact block e-process averaged with a t mixture on Mantel-Haenszel scores",
    Kind.COUNT: "exact binomial e-process averaged with a t mixture, given the share",
    Kind.DURATION: "t mixture averaged with a normal mixture on stratified rank scores",
    Kind.AMOUNT: "shown, not yet judged",
    Kind.GAUGE: "shown, not yet judged",
}
_SILENCE: Final = "silence e-process on occupied slices"


def reasons(evidence: Evidence, at: int) -> list[Reason]:
    """Every total, every degraded segment or silence, the worst other segments, and what was
    not observed; degraded ones first, by strength."""
    ranked = worst(evidence)
    top = ranked[0] if ranked and evidence.degraded_at is not None else None
    found: list[tuple[int, Reason]] = []
    spare = _WORST_SEGMENTS
    for key in ranked:
        state = _state(evidence, key, at, top)
        if key[1] and state != "degraded":
            if key in evidence.stops or spare == 0:
                continue
            spare -= 1
        order = 0 if state == "degraded" else 2 if key[1] else 1
        if key in evidence.stops:
            found.append((order, _silence(evidence, key, state)))
        else:
            found.append((order, _reason(evidence, key, at, state)))
    found.sort(key=lambda pair: pair[0])  # stable: by strength within
    seen = {key[0] for key in evidence.comparisons}
    missing = evidence.missing(at)
    rest = [m for m in evidence.policy.metrics if m.name not in seen and _concerns(evidence, m)]
    absent = [_awaited(m) if m.name in missing else _not_observed(m) for m in rest]
    return [reason for _, reason in found] + sorted(absent, key=lambda reason: not reason.gates)


def _concerns(evidence: Evidence, metric: Metric) -> bool:
    if metric.measure is Measure.FLOW or metric.criticality is Criticality.WATCH:
        return False
    return not metric.services or evidence.deployment.service in metric.services


def _state(evidence: Evidence, key: Key, at: int, top: Key | None) -> State:
    alone = peak(evidence, key) >= evidence.harm_threshold(key)
    if evidence.degraded_at is not None and (key == top or alone):
        return "degraded"
    if key in evidence.stops:
        return "undecided"
    comparison = evidence.comparisons[key]
    if comparison.first_seen is None:
        return "not_observed"
    if not comparison.seen.all():
        return "no_data"
    return "safe" if evidence.safe(key, at) else "undecided"


def signed_margin(metric: Metric) -> float:
    """The margin with the sign of harm, as the policy gives it."""
    return metric.margin.size if metric.worse == "higher" else -metric.margin.size


def _reason(evidence: Evidence, key: Key, at: int, state: State) -> Reason:
    comparison = evidence.comparisons[key]
    metric, path = comparison.metric, comparison.path
    effect, low, high = (_last(values) for values in (path.effect, path.low, path.high))
    relative: float | None = None
    base: float | None
    if metric.kind is Kind.PROPORTION:
        base = comparison.baseline_level()
        if metric.worse == "lower":
            effect, low, high = _minus(effect), _minus(high), _minus(low)
        canary = None if base is None or effect is None else min(max(base + effect, 0.0), 1.0)
        relative = effect / base if effect is not None and base else None
    else:
        base = _rate(evidence, comparison, at) if metric.kind is Kind.COUNT else None
        base = comparison.baseline_level() if base is None else base
        relative = effect
        effect, low, high = (_times(base, value) for value in (effect, low, high))
        canary = None if base is None or effect is None else base + effect
    if metric.kind in SHOWN:
        canary = comparison.median(CANARY)
        effect = None if base is None or canary is None else canary - base
        relative = effect / base if effect is not None and base else None
    return replace(
        _blank(metric, key[1], state),
        baseline=base,
        canary=canary,
        effect=effect,
        low=low,
        high=high,
        relative_effect=relative,
        e_value=_plain(comparison.log_harm),
        e_safe=_plain(comparison.log_safe),
        p_value=_p_value(comparison.log_harm_max),
        n_baseline=int(comparison.seen[0]),
        n_canary=int(comparison.seen[1]),
        gates=evidence.gates(key, comparison, at),
        indicative=comparison.indicative,
        needed=_needed(evidence, key, at) if state == "undecided" else None,
        detail=_detail(comparison, state),
    )


def _blank(metric: Metric, segment: Segment, state: State) -> Reason:
    """What can be said of a metric without any evidence."""
    return Reason(
        metric=metric.name,
        segment=dict(segment),
        state=state,
        worse=metric.worse,
        baseline=None,
        canary=None,
        effect=None,
        low=None,
        high=None,
        relative_effect=None,
        unit=metric.unit,
        e_value=1.0,
        e_safe=1.0,
        p_value=1.0,
        n_baseline=0,
        n_canary=0,
        margin=signed_margin(metric),
        method=_METHODS[metric.kind],
        gates=False,
        indicative=False,
        needed=None,
    )


def _detail(comparison: Comparison, state: State) -> str:
    if comparison.first_seen is None:
        return "no answer has ever come, to either side: are they sent to us?"
    if state == "no_data":
        arm = "baseline" if not comparison.seen[0] else "canary"
        return f"nothing from the {arm} yet"
    if comparison.metric.kind is Kind.COUNT and comparison.indicative:
        return "indicative: a count needs exposure events, a declared share alone is not enough"
    return ""


def _silence(evidence: Evidence, key: Key, state: State) -> Reason:
    stop: Stop = evidence.stops[key]
    return replace(
        _blank(evidence.policy.metric(key[0]), key[1], state),
        e_value=_plain(stop.log_e),
        p_value=_p_value(stop.log_e_max),
        n_baseline=stop.seen[0],
        n_canary=stop.seen[1],
        method=_SILENCE,
        detail=f"canary seen in {stop.seen[1]} slices, baseline in {stop.seen[0]}",
    )


def _awaited(metric: Metric) -> Reason:
    return replace(
        _blank(metric, (), "no_data"),
        gates=True,
        detail="nothing since the start, although the baseline showed it or the policy names it",
    )


def _not_observed(metric: Metric) -> Reason:
    return replace(
        _blank(metric, (), "not_observed"),
        detail="no event of this metric has come for this service",
    )


def worst(evidence: Evidence) -> list[Key]:
    """All comparisons and silences, the one with the most weighted evidence for harm first."""

    def strength(key: Key) -> float:
        weight = evidence.weights.get(key, 0.0)
        return math.log(weight) + peak(evidence, key) if weight > 0 else -math.inf

    return sorted(evidence.judged(), key=lambda key: (-strength(key), key))


def peak(evidence: Evidence, key: Key) -> float:
    """The largest log e-value for harm that a comparison has reached."""
    if key in evidence.stops:
        return evidence.stops[key].log_e_max
    return evidence.comparisons[key].log_harm_max


def _rate(evidence: Evidence, comparison: Comparison, at: int) -> float | None:
    """Baseline units an hour, scaled to the whole traffic where a share is declared."""
    hours = max(at - evidence.deployment.started_ns // SLICE_NS, 1) * SLICE_S / 3600
    shares = [share for _, share in evidence.deployment.shares if share]
    part = 1.0 - shares[-1] if shares and shares[-1] < 1.0 else 1.0
    return float(comparison.seen[0]) / hours / part


def _needed(evidence: Evidence, key: Key, at: int) -> Needed | None:
    """How many more events until a metric can be decided, and how long that takes.

    Safety: until the bound on the side of harm is inside the margin, as the interval's width
    shrinks with the square root of their number. Harm, where the effect is beyond the margin:
    until its log e-value, which grows with their number, reaches what the comparison needs.
    """
    comparison = evidence.comparisons[key]
    if comparison.indicative:
        return None
    n = float(comparison.seen.sum())
    path, size = comparison.path, comparison.metric.margin.size
    up = comparison.metric.worse == "higher" or comparison.metric.kind is Kind.PROPORTION
    effect, low, high = (_last(values) for values in (path.effect, path.low, path.high))
    bound = high if up else low
    if effect is None or bound is None:
        more = max(400.0 - n, 40.0) if comparison.metric.kind is not Kind.PROPORTION else 10 / size
    else:
        harm = effect if up else -effect
        if harm > size and comparison.log_harm > 0.5:
            threshold = evidence.harm_threshold(key)
            more = n * (threshold / comparison.log_harm - 1.0) if threshold < math.inf else n
        else:
            distance = max(abs(size - harm), size / 4)
            more = n * ((abs(bound - effect) / distance) ** 2 - 1.0)
    events = max(1, math.ceil(min(more, 1e12)))
    elapsed_s = max(at - evidence.deployment.started_ns // SLICE_NS, 1) * SLICE_S
    return Needed(events, math.ceil(events * elapsed_s / max(n, 1.0)))


def _last(values: list[float]) -> float | None:
    return None if not values or not np.isfinite(values[-1]) else values[-1]


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _times(base: float | None, value: float | None) -> float | None:
    return None if base is None or value is None else base * value


def _p_value(log_e_max: float) -> float:
    """The running p-value: one over the largest e-value so far (Ville)."""
    return math.exp(-max(0.0, min(log_e_max, 690.0)))


def _plain(log_e: float) -> float:
    return min(math.exp(min(log_e, 690.0)), _LARGEST)
