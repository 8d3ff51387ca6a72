"""From evidence to a verdict: what is said of a deployment as of an event time, and why."""

from __future__ import annotations

import math
from typing import Final

from analyzers.comparing.arms import BASELINE, CANARY, Key
from analyzers.comparing.comparison import RELATIVE, Comparison
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S
from analyzers.judging.evidence import Evidence
from analyzers.judging.fixed_rule import fixed_rule
from analyzers.judging.reasons import peak, reasons, worst
from analyzers.judging.verdict import Action, Design, Status, Suspect, Verdict
from analyzers.policy import Kind
from analyzers.timeline import Deployment
from analyzers.times import rfc3339

# A stream that is quiet for twice its longest pause so far has stopped; half an hour at least,
# because one minute of silence means nothing at forty orders a day.
_QUIET_MIN_SLICES: Final = 180
_CARRIERS: Final = 3  # segments that are named in words
_LARGEST: Final = 1e300  # JSON has no infinity
_SCORES: Final[dict[Action, int]] = {"promote": 100, "rollback": 0, "wait": 50, "hold": 50}


def judge(evidence: Evidence, *, as_of_ns: int, complete: bool = False) -> Verdict:
    """The verdict on a deployment as of an event time, from all evidence sealed by then."""
    d, policy = evidence.deployment, evidence.policy
    at = min(as_of_ns, d.ended_ns or as_of_ns) // SLICE_NS
    service = policy.service(d.service)
    status, why = _status(evidence, at)
    open_watch = d.ended_ns is None and as_of_ns < d.started_ns + policy.watch_s * NS_PER_S
    indicative = _design(evidence) == "history"
    action = _action(status, open_watch=open_watch, gagged=indicative or policy.mode == "observe")
    told = reasons(evidence, at)
    first = _slice_end(evidence.degraded_at)
    decided = first if status == "degraded" else _since(evidence, status)
    return Verdict(
        deployment=d.name,
        service=d.service,
        environment=d.environment,
        version=d.version,
        replaces=evidence.replaces or None,
        strategy=d.strategy,
        design=_design(evidence),
        verdict=status,
        action=action,
        indicative=indicative,
        as_of=rfc3339(as_of_ns),
        since=_since(evidence, status) or rfc3339(min(as_of_ns, d.started_ns)),
        decided_at=decided if status in ("healthy", "degraded") else None,
        first_degraded_at=first,
        score=_SCORES[action],
        why=why,
        reasons=told,
        impact=next((reason.impact for reason in told if reason.impact), None),
        suspects=_suspects(evidence) if status == "degraded" else [],
        owner=d.owner or service.owner,
        runbook=d.runbook or service.runbook,
        policy=policy.digest(),
        complete=complete,
        mode=policy.mode,
        e_value=_e_value(evidence),
        ended_at=_ended_at(d, as_of_ns, complete=complete),
        fixed_rule=fixed_rule(told, policy),
    )


def _slice_end(at: int | None) -> str | None:
    return None if at is None else rfc3339((at + 1) * SLICE_NS)


def _since(evidence: Evidence, status: Status) -> str | None:
    """When the present status began, as far as the evidence itself tells."""
    if evidence.changes and evidence.changes[-1].status == status:
        return _slice_end(evidence.changes[-1].slice)
    return None


def _e_value(evidence: Evidence) -> float:
    """The weighted average e-value as of now; 1 for a ring, which is not judged yet."""
    if evidence.deployment.strategy == "ring":
        return 1.0
    return min(evidence.e_value, _LARGEST)


def _ended_at(d: Deployment, as_of_ns: int, *, complete: bool) -> str | None:
    """When a deployment ended, once its last slice is judged too."""
    if d.ended_ns is None or as_of_ns < d.ended_ns or (as_of_ns == d.ended_ns and not complete):
        return None
    return rfc3339(d.ended_ns)


def _design(evidence: Evidence) -> Design:
    if evidence.deployment.strategy == "ring":
        return "peers"
    concurrent = any(c.units.all() for c in evidence.comparisons.values() if not c.silence)
    if evidence.deployment.strategy in ("blue_green", "migration", "emergency") and not concurrent:
        return "history"
    return "concurrent"


def _action(status: Status, *, open_watch: bool, gagged: bool) -> Action:
    if status == "healthy" and not gagged:
        return "promote"
    if status == "degraded" and not gagged:
        return "rollback"
    return "wait" if open_watch or gagged else "hold"


def _status(evidence: Evidence, at: int) -> tuple[Status, str]:
    """The status and the sentence that says why."""
    d = evidence.deployment
    if d.strategy == "ring":
        return "inconclusive", (
            "A ring is compared with untouched peers, which is not built yet: judge it by hand."
        )
    told = evidence.changes[-1].status if evidence.changes else "inconclusive"
    if told == "degraded":
        return "degraded", _blame(evidence)
    missing = _missing(evidence)
    if missing is not None:
        return missing
    if evidence.mismatch is not None:
        return "inconclusive", _mismatch(evidence)
    held = told == "healthy" and (at + 1) * SLICE_S >= evidence.watch_end_s
    if d.ended_ns is None and not held and _stopped(evidence, at):
        since = _slice_end(evidence.last_at)
        return "inconclusive", f"All traffic has stopped since {since}: silence is not health."
    return _progress(evidence, at, healthy=told == "healthy")


def _progress(evidence: Evidence, at: int, *, healthy: bool) -> tuple[Status, str]:
    """What is said of gating metrics that are all safe, or not all yet."""
    gating = evidence.gating(at)
    if healthy:
        many = f"All {len(gating)} gating metrics are" if len(gating) > 1 else "Its metric is"
        return "healthy", f"{many} shown to be no worse than the margin."
    if not gating:
        return "inconclusive", "No metric that may gate is shown by the baseline yet."
    left = [key[0] for key in gating if not evidence.safe(key)] + evidence.missing(at)
    return "inconclusive", f"Not yet decided: {', '.join(left)}."


def _missing(evidence: Evidence) -> tuple[Status, str] | None:
    """What is said while an arm has not shown anything; None when both have."""
    d = evidence.deployment
    baseline, canary = (
        any(c.seen[arm] for c in evidence.comparisons.values()) for arm in (BASELINE, CANARY)
    )
    if not canary:
        other = "its baseline flows" if baseline else "its baseline has not either"
        return "no_data", f"No event of {d.service} {d.version} has come yet; {other}."
    if not baseline:
        name = evidence.replaces or "the old version"
        return "inconclusive", (
            f"No event of the baseline ({name}) has come since the start: nothing to compare with."
        )
    return None


def _stopped(evidence: Evidence, at: int) -> bool:
    if evidence.last_at is None:
        return False
    return at - evidence.last_at > max(_QUIET_MIN_SLICES, 2 * evidence.gap_max)


def _mismatch(evidence: Evidence) -> str:
    comparison = evidence.comparisons[evidence.mismatch or ("", ())]
    baseline, canary = comparison.units
    return (
        f"The sides are not what they should be: the canary got {canary:.0f} of "
        f"{baseline + canary:.0f} units, which its declared share does not explain "
        f"(sample-ratio mismatch): who is compared decides here, not what was released."
    )


def _blame(evidence: Evidence) -> str:
    judged = [key for key in worst(evidence) if evidence.comparisons[key].strata]
    if not judged:
        return "It was found worse than a margin, before a marker changed what is compared."
    key = judged[0]
    where = " (" + ", ".join(f"{name} {value}" for name, value in key[1]) + ")" if key[1] else ""
    comparison = evidence.comparisons[key]
    if comparison.silence:
        return f"The canary has gone silent{where} while the baseline flows."
    effect = float(comparison.effects(evidence.safe_threshold()).effect[0])
    return (
        f"{key[0]}{where}: {_in_words(comparison, effect)} against the "
        f"baseline, worse than its margin of {_margin(comparison)}{_carriers(evidence, key)}."
    )


def _carriers(evidence: Evidence, top: Key) -> str:
    """Where else the harm is shown by itself: the strongest segments, in words."""
    others = [key for key in worst(evidence) if key[0] == top[0] and key[1] and key != top]
    found = [
        " ".join(f"{name} {value}" for name, value in key[1])
        for key in others
        if peak(evidence, key) >= evidence.harm_threshold(key)
    ]
    more = f" and {len(found) - _CARRIERS} more" if len(found) > _CARRIERS else ""
    also = "also " if top[1] else ""
    return f"; {also}shown in {', '.join(found[:_CARRIERS])}{more}" if found else ""


def _in_words(comparison: Comparison, effect: float) -> str:
    """An effect with its sign, as points, percent or in the metric's unit."""
    if comparison.metric.kind is Kind.PROPORTION:
        return f"{effect * 100:+.1f} points"
    if comparison.metric.kind in RELATIVE:
        return f"{effect * 100:+.0f} %"
    return f"{effect:+.4g} {comparison.metric.unit}"


def _margin(comparison: Comparison) -> str:
    margin = comparison.metric.margin
    if margin.relative:
        return f"{margin.size * 100:g} %"
    if comparison.metric.kind is Kind.PROPORTION:
        size = margin.size * 100
        return f"{size:g} point" + ("" if size == 1 else "s")
    return f"{margin.size:g} {comparison.metric.unit}"


def _suspects(evidence: Evidence) -> list[Suspect]:
    """The arms differ by this release alone: its probability at even prior odds."""
    top = max((peak(evidence, key) for key in evidence.judged()), default=0.0)
    return [Suspect(evidence.deployment.name, round(1.0 / (1.0 + math.exp(-min(top, 20.0))), 4))]
