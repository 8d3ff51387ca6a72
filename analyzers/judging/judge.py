"""From evidence to a verdict: what is said of a deployment as of an event time, and why."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from analyzers.comparing.arms import BASELINE, CANARY, Key
from analyzers.comparing.comparison import RELATIVE, Comparison
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S
from analyzers.judging.evidence import Evidence, patience
from analyzers.judging.fixed_rule import fixed_rule
from analyzers.judging.reasons import peak, reasons, worst
from analyzers.judging.verdict import Action, Design, Status, Suspect, Verdict
from analyzers.policy import Criticality, Kind
from analyzers.timeline import Deployment
from analyzers.times import rfc3339

_CARRIERS: Final = 3  # segments that are named in words
_LARGEST: Final = 1e300  # JSON has no infinity
_SCORES: Final[dict[Action, int]] = {"promote": 100, "rollback": 0, "wait": 50, "hold": 50}


def judge(evidence: Evidence, *, as_of_ns: int, complete: bool = False) -> Verdict:
    """The verdict on a deployment as of an event time, from all evidence sealed by then."""
    d, policy = evidence.deployment, evidence.policy
    at = min(as_of_ns, d.ended_ns or as_of_ns) // SLICE_NS
    service = policy.service(d.service)
    status, why, since = _status(evidence, at)
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
        since=since or _since(evidence, status) or rfc3339(min(as_of_ns, d.started_ns)),
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


class _Said(NamedTuple):
    """A status, the sentences that say why, and since when where evidence does not tell."""

    status: Status
    why: str
    since: str | None = None


def _status(evidence: Evidence, at: int) -> _Said:
    """What is said of a deployment as of a slice."""
    d = evidence.deployment
    if d.strategy == "ring":
        return _Said(
            "inconclusive",
            "A ring is compared with untouched peers, which is not built yet: judge it by hand.",
        )
    told = evidence.changes[-1].status if evidence.changes else "inconclusive"
    if told == "degraded":
        return _Said("degraded", _blame(evidence))
    missing = _missing(evidence, at)
    if missing is not None:
        return missing
    if evidence.mismatch is not None:
        return _Said("inconclusive", _mismatch(evidence))
    healthy = told == "healthy"
    # What falls silent once the watch has ended healthy takes nothing back.
    until = min(at, evidence.watch_end_s // SLICE_S - 1) if healthy else at
    silent = _silent(evidence, until, healthy=healthy) if d.ended_ns is None else None
    return silent or _progress(evidence, at, healthy=healthy)


def _silent(evidence: Evidence, at: int, *, healthy: bool) -> _Said | None:
    """What is said once an arm shows no more of what must be shown; None while both do."""
    before = " Until then it was healthy." if healthy else ""
    if evidence.last_at is not None and at - evidence.last_at > patience(evidence.gap_max):
        since = _slice_end(evidence.last_at)
        why = f"All traffic has stopped since {since}: silence is not health.{before}"
        return _Said("inconclusive", why, since)
    for key in evidence.gating(at):
        last = evidence.silent(key, at)
        if last:
            since = _slice_end(max(last.values()))
            return _Said("inconclusive", f"{_gone(evidence, key, set(last), since)}{before}", since)
    return None


def _gone(evidence: Evidence, key: Key, arms: set[int], since: str | None) -> str:
    if arms == {BASELINE}:
        name = evidence.replaces or "the old version"
        return (
            f"The baseline ({name}) has shown no {key[0]} since {since}: there is nothing to "
            "compare with."
        )
    if arms == {CANARY}:
        return f"The canary has shown no {key[0]} since {since}, while the baseline does."
    return f"Neither side has shown any {key[0]} since {since}: silence is not health."


def _progress(evidence: Evidence, at: int, *, healthy: bool) -> _Said:
    """What is said of gating metrics that are all safe, or not all yet."""
    gating, aside = evidence.gating(at), _indicated(evidence)
    if healthy:
        many = f"All {len(gating)} gating metrics are" if len(gating) > 1 else "Its metric is"
        return _Said("healthy", f"{many} shown to be no worse than the margin.{aside}")
    if not gating:
        return _Said(
            "inconclusive", f"No metric that may gate is shown by the baseline yet.{aside}"
        )
    left = [key[0] for key in gating if not evidence.safe(key)] + evidence.missing(at)
    return _Said("inconclusive", f"Not yet decided: {', '.join(left)}.{aside}")


def _indicated(evidence: Evidence) -> str:
    """What would be harm if it could be judged: nobody should have to find it in a table."""
    level = -math.log(evidence.policy.error_rate)
    found = [
        f"{key[0]} {_in_words(one, float(one.effects(level).effect[0]))}"
        for key, one in sorted(evidence.comparisons.items())
        if not key[1]
        and one.indicative
        and not one.silence
        and one.metric.criticality is not Criticality.WATCH
        and one.log_harm >= level
    ]
    return f" Only indicative, and not judged, but look at it: {', '.join(found)}." if found else ""


def _missing(evidence: Evidence, at: int) -> _Said | None:
    """What is said while an arm has not shown anything, or nothing counts yet; else None."""
    d = evidence.deployment
    baseline = any(c.seen[BASELINE] for c in evidence.comparisons.values())
    if not evidence.canary_seen:
        flows = baseline or evidence.last_at is not None
        other = "its baseline flows" if flows else "its baseline has not either"
        return _Said("no_data", f"No event of {d.service} {d.version} has come yet; {other}.")
    if at < evidence.judged_from:
        until = rfc3339(evidence.judged_from * SLICE_NS)
        return _Said("inconclusive", f"It is baking: nothing is judged before {until}.")
    if not baseline:
        name = evidence.replaces or "the old version"
        return _Said(
            "inconclusive",
            f"No event of the baseline ({name}) has come since the start: nothing to compare with.",
        )
    return None


def _mismatch(evidence: Evidence) -> str:
    comparison = evidence.comparisons[evidence.mismatch or ("", ())]
    baseline, canary = comparison.units
    shares = [f"{share * 100:g} %" for _, share in evidence.deployment.shares if share]
    return (
        f"The sides are not what they should be (sample-ratio mismatch): the canary got "
        f"{canary:.0f} of {baseline + canary:.0f} units, where "
        f"{', then '.join(shares) or 'another share'} is declared. Differences may come from who "
        "is compared, not from what was released."
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
        f"{_faded(evidence)}"
    )


def _faded(evidence: Evidence) -> str:
    """That the evidence was stronger than it is now: a finding is never taken back."""
    if evidence.e_value * evidence.policy.error_rate >= 1.0:
        return ""
    return (
        f" That was shown at {_slice_end(evidence.degraded_at)}; what has come since speaks "
        f"against it (evidence {evidence.e_value:.2g} of {1.0 / evidence.policy.error_rate:g} "
        "needed), but a finding is not taken back."
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
    return f"{effect:+.4g} {_unit(comparison)}".rstrip()


def _margin(comparison: Comparison) -> str:
    margin = comparison.metric.margin
    if margin.relative:
        return f"{margin.size * 100:g} %"
    if comparison.metric.kind is Kind.PROPORTION:
        size = margin.size * 100
        return f"{size:g} point" + ("" if size == 1 else "s")
    return f"{margin.size:g} {_unit(comparison)}".rstrip()


def _unit(comparison: Comparison) -> str:
    return "" if comparison.metric.unit == "1" else comparison.metric.unit


def _suspects(evidence: Evidence) -> list[Suspect]:
    """The arms differ by this release alone: its probability at even prior odds."""
    top = max((peak(evidence, key) for key in evidence.judged()), default=0.0)
    return [Suspect(evidence.deployment.name, round(1.0 / (1.0 + math.exp(-min(top, 20.0))), 4))]
