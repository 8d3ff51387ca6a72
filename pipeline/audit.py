"""``plimsoll audit``: placebo deployments on one's own recorded events, service by service.

Reading is here and in ``audit_reading.py``; what a placebo is and what becomes of it are the
analyzers' (``placebo.py``, ``trial.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from analyzers.auditing.audit import (
    CONFIDENCE,
    SCHEMA,
    Audit,
    Counts,
    Left,
    ServiceAudit,
    Skipped,
    Unmeasured,
    any_simple,
    finding,
    metric_audits,
    rate,
)
from analyzers.auditing.injury import HARM_MARGINS, can_injure
from analyzers.auditing.measured import missing
from analyzers.auditing.placebo import (
    SUBJECT,
    LeftOut,
    Placebo,
    Recorded,
    planned,
    recorded,
)
from analyzers.auditing.trial import Case, Trial, tried
from analyzers.facts import Facts, Marker, Reject
from analyzers.folding.cells import fed_by
from analyzers.policy import Measure, Metric, Policy
from analyzers.timeline import timeline
from analyzers.times import rfc3339

# Fewer events say nothing of a rate; a service with so few is named and left out.
EVENTS_MIN: Final = 200
SERVICES_MAX: Final = 20
SHARES: Final = (0.5, 0.1)
LOOKS: Final = 40
# Harm is injected into each metric by itself, which costs a whole trial each time: so often where
# nobody asks for more.
POWER_SPLITS: Final = 10

Told = Callable[[str, int, int], None]  # what is being done, how much of how much


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read: facts of all services, markers, rejects; ``bounded`` says what was not, and
    ``counts`` what was of which use."""

    facts: Facts
    markers: tuple[Marker, ...]
    rejects: tuple[Reject, ...]
    bounded: str = ""
    counts: Counts = field(default_factory=Counts)


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


class OverdueError(Exception):
    """No time is left for a service."""


def audit(gathered: Gathered, policy: Policy, plan: Plan, told: Told) -> Audit:
    """What placebos on the recorded facts come to, for each service with enough events.

    Services with few events are audited first, so that a large one cannot take all the time; when
    ``told`` raises OverdueError, the one under way is left and named as not reached.
    """
    policy = replace(policy, watch_s=policy.watch_s if plan.watch_s is None else plan.watch_s)
    services: list[ServiceAudit] = []
    skipped: list[Skipped] = []
    ranked = _services(gathered.facts)
    for place, (environment, service, events) in reversed([*enumerate(ranked)]):
        reached = True
        if events < EVENTS_MIN:
            why = f"{events} events; at least {EVENTS_MIN} are needed"
        elif place >= SERVICES_MAX:
            why = f"the {SERVICES_MAX} services with most events are audited"
        else:
            try:
                told(f"{service}: placebos", 0, 1)
                stream, left = _stream(gathered, environment, service, policy, plan.by)
                found = _service(stream, left, policy, plan, told)
            except OverdueError:
                why, reached = "not reached in the time given", False
            else:
                if isinstance(found, ServiceAudit):
                    services.append(found)
                    continue
                why = found
        skipped.append(Skipped(environment, service, events, why, reached))
    services.reverse()
    skipped.reverse()
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
        counts=gathered.counts,
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
    measured, unmeasured = _metrics(stream, policy)
    cases = [Case(placebo, simple=True) for placebo in placebos]
    cases += _harms(placebos, measured, plan)
    trials: list[Trial] = []
    for trial in tried(stream, cases, policy, looks=plan.looks):
        trials.append(trial)
        told(f"{service}: placebos", len(trials), len(cases))
    nothing, others = trials[: len(placebos)], trials[len(placebos) :]
    harmed = [
        (case.harm.name, trial)
        for case, trial in zip(cases[len(placebos) :], others, strict=True)
        if case.harm is not None
    ]
    metrics = metric_audits(nothing, harmed, policy)
    seen = {one.metric for one in metrics}
    unmeasured += [
        _unmeasured(one, "nothing of it came while a placebo was watched", stream)
        for one in measured
        if one.name not in seen
    ]
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
        not_measured=sorted(unmeasured, key=lambda one: one.metric),
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


def _metrics(stream: Recorded, policy: Policy) -> tuple[list[Metric], list[Unmeasured]]:
    """The metrics that are compared in total and of which a recording says something, and those of
    which it says nothing."""
    measured: list[Metric] = []
    others: list[Unmeasured] = []
    for metric in policy.metrics:
        if metric.measure is Measure.FLOW:
            continue
        if why := missing(metric, stream.facts, policy):
            others.append(_unmeasured(metric, why, stream))
        else:
            measured.append(metric)
    return measured, others


def _unmeasured(metric: Metric, why: str, stream: Recorded) -> Unmeasured:
    return Unmeasured(metric.name, why, int(fed_by(metric, stream.facts).sum()))


def _harms(placebos: Sequence[Placebo], metrics: Sequence[Metric], plan: Plan) -> list[Case]:
    """The first placebos at the largest share again, with each metric harmed in turn."""
    most = max(plan.shares)
    chosen = [placebo for placebo in placebos if placebo.share == most][: plan.harmed]
    return [
        Case(placebo, harm=metric) for metric in metrics if can_injure(metric) for placebo in chosen
    ]
