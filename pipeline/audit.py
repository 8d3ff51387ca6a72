"""``plimsoll audit``: placebo deployments on one's own recorded events, service by service.

Reading is here and in ``audit_reading.py``; what a placebo is and what becomes of it are the
analyzers' (``placebo.py``, ``trial.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from analyzers.auditing.audit import (
    CONFIDENCE,
    SCHEMA,
    Audit,
    Left,
    ServiceAudit,
    Skipped,
    any_simple,
    finding,
    metric_audits,
    rate,
)
from analyzers.auditing.injury import HARM_MARGINS, can_injure
from analyzers.auditing.placebo import SUBJECT, LeftOut, Recorded, planned, recorded
from analyzers.auditing.trial import Trial, tried
from analyzers.facts import Facts, Marker, Reject
from analyzers.policy import Policy
from analyzers.timeline import timeline
from analyzers.times import rfc3339

# Fewer events say nothing of a rate; a service with so few is named and left out.
EVENTS_MIN: Final = 200
SERVICES_MAX: Final = 20
SHARES: Final = (0.5, 0.1)
LOOKS: Final = 40
# Harm is injected into each metric by itself, which costs a whole trial each time.
POWER_SPLITS: Final = 10

Told = Callable[[str, int, int], None]  # what is being done, how much of how much


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read: facts of all services, markers, rejects; ``bounded`` says what was not."""

    facts: Facts
    markers: tuple[Marker, ...]
    rejects: tuple[Reject, ...]
    bounded: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried: ``splits`` at each share, from ``seed``; ``by`` what goes to a side
    together; ``watch_s`` None leaves the watch to the policy; ``harmed`` is how many of the
    placebos at the largest share are tried again with each metric harmed."""

    splits: int = 20
    seed: int = 1
    by: str = SUBJECT
    watch_s: int | None = None
    shares: tuple[float, ...] = SHARES
    looks: int = LOOKS
    harmed: int = POWER_SPLITS


def audit(gathered: Gathered, policy: Policy, plan: Plan, told: Told) -> Audit:
    """What placebos on the recorded facts come to, for each service with enough events."""
    policy = replace(policy, watch_s=policy.watch_s if plan.watch_s is None else plan.watch_s)
    services: list[ServiceAudit] = []
    skipped: list[Skipped] = []
    for environment, service, events in _services(gathered.facts):
        if events < EVENTS_MIN:
            why = f"{events} events; at least {EVENTS_MIN} are needed"
        elif len(services) == SERVICES_MAX:
            why = f"the {SERVICES_MAX} services with most events are audited"
        else:
            stream, left = _stream(gathered, environment, service, policy, plan.by)
            found = _service(stream, left, policy, plan, told)
            if isinstance(found, ServiceAudit):
                services.append(found)
                continue
            why = found
        skipped.append(Skipped(environment, service, events, why))
    return Audit(
        schema=SCHEMA,
        policy=policy.digest(),
        error_rate=policy.error_rate,
        splits=plan.splits,
        shares=list(plan.shares),
        seed=plan.seed,
        looks=plan.looks,
        by=plan.by,
        harm_margins=HARM_MARGINS,
        confidence=CONFIDENCE,
        finding="above" if any(one.finding == "above" for one in services) else "fine",
        services=services,
        skipped=skipped[:1_000],
        bounded=gathered.bounded,
    )


def _services(facts: Facts) -> list[tuple[str, str, int]]:
    """Environment, service and number of events of each service, most events first."""
    words = len(facts.service.words)
    both = facts.environment.codes * words + facts.service.codes
    counts: dict[tuple[str, str], int] = {}
    for pair in both.tolist():
        place, service = divmod(pair, words)
        key = (facts.environment.words[place], facts.service.words[service])
        counts[key] = counts.get(key, 0) + 1
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    return [(*key, counts[key]) for key in ranked]


def _service(
    stream: Recorded, left: tuple[LeftOut, ...], policy: Policy, plan: Plan, told: Told
) -> ServiceAudit | str:
    """The audit of one service, or why there is none."""
    if len(stream) < EVENTS_MIN:
        return (
            f"{len(stream)} events are left without those of running canaries; at least "
            f"{EVENTS_MIN} are needed"
        )
    facts = stream.facts
    environment = facts.environment.words[int(facts.environment.codes[0])]
    service = facts.service.words[int(facts.service.codes[0])]
    times = stream.facts.time_ns
    first_ns, last_ns = int(times[0]), int(times[-1])
    placebos = planned(
        first_ns, last_ns, watch_s=policy.watch_s, splits=plan.splits, shares=plan.shares,
        seed=plan.seed,
    )  # fmt: skip
    nothing: list[Trial] = []
    for number, placebo in enumerate(placebos):
        told(f"{service}: placebos", number, len(placebos))
        nothing.append(tried(stream, placebo, policy, looks=plan.looks, simple=True))
    harmed = _harmed(stream, nothing, policy, plan, told)
    metrics = metric_audits(nothing, harmed, policy)
    verdict, advice = finding(nothing, metrics, policy, by=plan.by)
    return ServiceAudit(
        environment=environment,
        service=service,
        events=len(stream),
        left_out=[Left(one.version, one.events) for one in left],
        since=rfc3339(first_ns),
        until=rfc3339(last_ns),
        watch_seconds=policy.watch_s,
        finding=verdict,
        false_alarms=rate(sum(trial.rolled_back for trial in nothing), len(nothing)),
        promoted=rate(sum(trial.promoted for trial in nothing), len(nothing)),
        fixed_rule=any_simple(nothing, fixed=True),
        repeated_test=any_simple(nothing, fixed=False),
        metrics=metrics,
        advice=advice,
    )


def _stream(
    gathered: Gathered, environment: str, service: str, policy: Policy, by: str
) -> tuple[Recorded, tuple[LeftOut, ...]]:
    """The facts of one service as if nothing had been released."""
    facts = gathered.facts
    mine = facts.environment.equals(environment) & facts.service.equals(service)
    rejects = [
        one
        for one in gathered.rejects
        if one.service == service and (one.environment or "production") == environment
    ]
    deployments = [
        one
        for one in timeline(gathered.markers).deployments
        if (one.environment, one.service) == (environment, service)
    ]
    return recorded(facts.take(mine), rejects, deployments, watch_s=policy.watch_s, by=by)


def _harmed(
    stream: Recorded, nothing: Sequence[Trial], policy: Policy, plan: Plan, told: Told
) -> list[tuple[str, Trial]]:
    """The first placebos at the largest share again, with each metric harmed in turn."""
    seen = {one.metric for trial in nothing for one in trial.metrics}
    metrics = [one for one in policy.metrics if one.name in seen and can_injure(one)]
    most = max(plan.shares)
    placebos = [trial.placebo for trial in nothing if trial.placebo.share == most][: plan.harmed]
    found: list[tuple[str, Trial]] = []
    for metric in metrics:
        for placebo in placebos:
            told(f"harm to {metric.name}", len(found), len(metrics) * len(placebos))
            trial = tried(stream, placebo, policy, looks=plan.looks, harm=metric)
            found.append((metric.name, trial))
    return found
