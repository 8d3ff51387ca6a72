"""What each metric says, in its own unit: the reasons of a verdict."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Final

from msgspec.structs import replace

from analyzers.comparing.arms import BASELINE, CANARY, Key
from analyzers.comparing.comparison import RELATIVE, Comparison
from analyzers.facts import SLICE_NS, SLICE_S
from analyzers.folding.cells import Segment
from analyzers.judging.evidence import Evidence
from analyzers.judging.outlook import impact, needed
from analyzers.judging.verdict import Reason, State
from analyzers.policy import Criticality, Kind, Measure, Metric
from analyzers.times import rfc3339

_LARGEST: Final = 1e300  # JSON has no infinity
_WORST_SEGMENTS: Final = 5
_METHODS: Final = {
    Kind.PROPORTION: "exact block e-process averaged with a t mixture on Mantel-Haenszel scores",
    Kind.COUNT: "exact binomial e-process averaged with a t mixture, given the share",
    Kind.DURATION: "rank and tail e-processes averaged with a t mixture on stratified rank scores",
    Kind.AMOUNT: "e-process averaged with a t mixture on stratified differences of capped means",
    Kind.GAUGE: "t mixture on paired differences, freed of their memory",
    Kind.RATIO: "t mixture on stratified differences of ratios of sums",
}
_OF_MEASURE: Final = {
    Measure.FLOW: "silence e-process on occupied slices",
    Measure.ASSIGNMENT: "Dirichlet-multinomial e-process of units on each side",
}


def reasons(evidence: Evidence, at: int) -> list[Reason]:
    """Every total, every degraded segment or silence, the worst other segments, and what was
    not observed; degraded ones first, by strength."""
    ranked = worst(evidence)
    top = ranked[0] if ranked and evidence.degraded_at is not None else None
    found: list[tuple[int, Reason]] = []
    spare = _WORST_SEGMENTS
    for key in ranked:
        state = _state(evidence, key, top, at)
        comparison = evidence.comparisons[key]
        if comparison.metric.measure is Measure.ASSIGNMENT:
            if key == evidence.mismatch:
                found.append((1, _mismatch(evidence, key)))
            continue
        silence = comparison.silence
        if key[1] and state != "degraded":
            if silence or spare == 0:
                continue
            spare -= 1
        order = 0 if state == "degraded" else 2 if key[1] else 1
        say = _silence if silence else _reason
        found.append((order, say(evidence, key, at, state)))
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


def _state(evidence: Evidence, key: Key, top: Key | None, at: int) -> State:
    alone = peak(evidence, key) >= evidence.harm_threshold(key)
    if evidence.degraded_at is not None and (key == top or alone):
        return "degraded"
    comparison = evidence.comparisons[key]
    if comparison.silence:
        return "undecided"
    if not comparison.shown:
        return "not_observed"
    if not comparison.seen.all() or (not key[1] and evidence.silent(key, at)):
        return "no_data"
    return "safe" if evidence.safe(key) else "undecided"


def signed_margin(metric: Metric) -> float:
    """The margin with the sign of harm, as the policy gives it."""
    return metric.margin.size if metric.worse == "higher" else -metric.margin.size


def _reason(evidence: Evidence, key: Key, at: int, state: State) -> Reason:
    comparison = evidence.comparisons[key]
    metric = comparison.metric
    effect, low, high = (
        _known(float(values[0]))
        for values in astuple(comparison.effects(evidence.safe_threshold()))
    )
    base = _rate(evidence, comparison, at) if metric.kind is Kind.COUNT else comparison.level(0)
    relative = effect
    if metric.kind in RELATIVE:
        effect, low, high = (_times(base, value) for value in (effect, low, high))
    else:
        relative = effect / base if effect is not None and base else None
    canary = None if base is None or effect is None else base + effect
    if canary is not None and metric.kind is Kind.PROPORTION:
        canary = min(max(canary, 0.0), 1.0)
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
        n_baseline=int(comparison.seen[BASELINE]),
        n_canary=int(comparison.seen[CANARY]),
        gates=evidence.gates(key, at),
        indicative=comparison.indicative,
        needed=needed(evidence, key, at) if state == "undecided" else None,
        detectable=_detectable(evidence, key, base),
        impact=impact(comparison, effect, low, high) if state == "degraded" else None,
        weight=evidence.weights.get(key, 0.0),
        detail=_detail(evidence, key, state, at),
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
        method=_OF_MEASURE.get(metric.measure) or _METHODS[metric.kind],
        gates=False,
        indicative=False,
        needed=None,
    )


def _detail(evidence: Evidence, key: Key, state: State, at: int) -> str:
    comparison = evidence.comparisons[key]
    if not comparison.shown:
        return "no answer has ever come, to either side: are they sent to us?"
    if state == "no_data" and not comparison.seen.all():
        arm = "baseline" if not comparison.seen[BASELINE] else "canary"
        return f"nothing from the {arm} yet"
    if state == "no_data":
        last = evidence.silent(key, at)
        arm = "either side" if len(last) > 1 else "the canary" if CANARY in last else "the baseline"
        return f"nothing from {arm} since {rfc3339((max(last.values()) + 1) * SLICE_NS)}"
    if comparison.metric.kind is Kind.COUNT and comparison.indicative:
        return "indicative: a count needs exposure events, a declared share alone is not enough"
    if comparison.metric.kind is Kind.GAUGE and comparison.indicative:
        return "indicative: a gauge needs a thousand minutes of both tracks before the start"
    cap = comparison.cap()
    return "" if cap is None else f"amounts beyond {cap:.6g} {comparison.metric.unit} count as that"


def _silence(evidence: Evidence, key: Key, _: int, state: State) -> Reason:
    comparison = evidence.comparisons[key]
    baseline, canary = (int(n) for n in comparison.slices)
    return replace(
        _blank(comparison.metric, key[1], state),
        e_value=_plain(comparison.log_harm),
        p_value=_p_value(comparison.log_harm_max),
        n_baseline=baseline,
        n_canary=canary,
        weight=evidence.weights.get(key, 0.0),
        detail=f"canary seen in {canary} slices, baseline in {baseline}",
    )


def _mismatch(evidence: Evidence, key: Key) -> Reason:
    """That the sides got other units than they should have: nobody's harm, nothing is decided."""
    comparison = evidence.comparisons[key]
    baseline, canary = (int(n) for n in comparison.units)
    return replace(
        _blank(comparison.metric, key[1], "undecided"),
        e_value=_plain(comparison.log_harm),
        p_value=_p_value(comparison.log_harm_max),
        n_baseline=baseline,
        n_canary=canary,
        detail="the sides did not get the units that the declared share says",
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
    return evidence.comparisons[key].log_harm_max


def _rate(evidence: Evidence, comparison: Comparison, at: int) -> float | None:
    """Baseline units an hour, scaled to the whole traffic where a share is declared."""
    hours = max(at - evidence.deployment.started_ns // SLICE_NS, 1) * SLICE_S / 3600
    shares = [share for _, share in evidence.deployment.shares if share]
    part = 1.0 - shares[-1] if shares and shares[-1] < 1.0 else 1.0
    return float(comparison.seen[0]) / hours / part


def _detectable(evidence: Evidence, key: Key, base: float | None) -> float | None:
    """The smallest harm that would be found now, in the metric's unit, with the sign of harm."""
    comparison, threshold = evidence.comparisons[key], evidence.harm_threshold(key)
    size = None if math.isinf(threshold) else comparison.detectable(threshold)
    if size is None:
        return None
    metric = comparison.metric
    margin = metric.margin.size
    if metric.kind in RELATIVE:
        if base is None:
            return None
        size *= base
    if metric.margin.relative:
        margin *= abs(base or 0.0)
    return (margin + size) * (1.0 if metric.worse == "higher" else -1.0)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _times(base: float | None, value: float | None) -> float | None:
    return None if base is None or value is None else base * value


def _p_value(log_e_max: float) -> float:
    """The running p-value: one over the largest e-value so far (Ville)."""
    return math.exp(-max(0.0, min(log_e_max, 690.0)))


def _plain(log_e: float) -> float:
    return min(math.exp(min(log_e, 690.0)), _LARGEST)
