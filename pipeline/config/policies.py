"""The policy part of a configuration: metrics, services, error rates, times and limits.

Turns checked YAML into ``analyzers.policy.Policy``. What the daemon needs beside it (addresses,
alerts, folders) is in ``pipeline.config.settings``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from analyzers.policy import FixedRule, Limits, Metric, Policy, Service
from pipeline.config.between_metrics import together
from pipeline.config.catalogue import catalogue
from pipeline.config.faults import nearest
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    choice,
    duration,
    fits,
    flag,
    lasting,
    named_sections,
    number,
    section,
    several,
    text,
    whole,
)
from pipeline.config.metric_keys import (
    EVENT_FIELDS,
    KIND,
    METRIC_KEYS,
    METRIC_NAME,
    attribute_name,
)
from pipeline.config.metrics import judge_without_kind, metric

# A tick compares every metric in every segment; more metrics than this share the error rate so
# thinly that nothing small is ever seen.
METRICS_MAX: Final = 200
SERVICES_MAX: Final = 1_000
COHORTS_MAX: Final = 30
DAY_S: Final = 86_400
# One in a billion: smaller ones would need more evidence than a watch can hold.
RATE_MIN: Final = 1e-9
# Schemes that a browser would run when somebody clicks a runbook on the page.
RUNNING_SCHEMES: Final = ("javascript:", "data:", "vbscript:", "file:")

_DEFAULTS: Final = Policy(metrics=())
_LIMITS: Final = Limits()
_RULE: Final = FixedRule()
_MODES: Final[dict[str, Literal["enforce", "observe"]]] = {
    "enforce": "enforce",
    "observe": "observe",
}


def _read_runbook(place: Place) -> str | None:
    found = _RUNBOOK_TEXT.read(place)
    if found is not None and found.lower().startswith(RUNNING_SCHEMES):
        place.fault(f"must be a page or a note, not {place.found()}: write its https address")
        return None
    return found


def _as_it_is(place: Place) -> Place | None:
    return place


_RUNBOOK_TEXT: Final = text(2_000)

SERVICE_NAME: Final = Key(
    "name", text(128), "the key above", "Its name, where services are a list."
)
TIER: Final = Key("tier", text(64), "standard", "How much hangs on it, in your own words.")
OWNER: Final = Key("owner", text(200), "none", "The team that owns it.")
ESCALATION: Final = Key("escalation", text(1_000), "none", "Whom to call next, and how.")
RUNBOOK: Final = Key(
    "runbook",
    Reader(_RUNBOOK_TEXT.form, _read_runbook),
    "none",
    "What to do: an address or a note.",
)
CRITERIA: Final = Key("rollback_criteria", text(1_000), "none", "When people roll it back.")
RECOVERY: Final = Key(
    "recovery_objective", duration(1, 30 * DAY_S), "none", "How soon it has to be well again."
)
DEPENDS_ON: Final = Key(
    "depends_on",
    several(text(128), most=100, form="one service or a list of them"),
    "none",
    "The services that it calls: a change there shows here.",
)
SERVICE_KEYS: Final[tuple[Key[Any], ...]] = (
    SERVICE_NAME, TIER, OWNER, ESCALATION, RUNBOOK, CRITERIA, RECOVERY, DEPENDS_ON,
)  # fmt: skip

LINE_BYTES: Final = Key(
    "line_bytes", whole(1_024, 1 << 28), f"{_LIMITS.line_bytes}", "The longest event, in bytes."
)
BODY_BYTES: Final = Key(
    "body_bytes", whole(1_024, 1 << 30), f"{_LIMITS.body_bytes}", "The largest request, unpacked."
)
BATCH_EVENTS: Final = Key(
    "batch_events", whole(1, 10_000_000), f"{_LIMITS.batch_events}", "Events taken at once."
)
QUEUED_EVENTS: Final = Key(
    "queued_events",
    whole(1, 100_000_000),
    f"{_LIMITS.queued_events}",
    "Events that may wait for their turn; beyond them requests are told to come back later.",
)
OPEN_DEPLOYMENTS: Final = Key(
    "open_deployments",
    whole(1, 100_000),
    f"{_LIMITS.open_deployments}",
    "Deployments under watch at the same time.",
)
SEGMENT_LIMIT: Final = Key(
    "segments",
    whole(1, 100_000),
    f"{_LIMITS.segments}",
    "Judged segments for each metric and attribute set.",
)
SERIES: Final = Key(
    "series", whole(1, 100_000_000), f"{_LIMITS.series}", "Series of cells kept altogether."
)
OUTBOX: Final = Key("outbox", whole(1, 10_000_000), f"{_LIMITS.outbox}", "Alerts that may wait.")
REJECTS: Final = Key("rejects", whole(0, 10_000_000), f"{_LIMITS.rejects}", "Bad events kept.")
REJECT_PAYLOAD: Final = Key(
    "reject_payload_bytes",
    whole(0, 1 << 20),
    f"{_LIMITS.reject_payload_bytes}",
    "How much is kept of each bad event.",
)
LIMIT_KEYS: Final = (
    LINE_BYTES, BODY_BYTES, BATCH_EVENTS, QUEUED_EVENTS, OPEN_DEPLOYMENTS, SEGMENT_LIMIT, SERIES,
    OUTBOX, REJECTS, REJECT_PAYLOAD,
)  # fmt: skip

MIN_EVENTS: Final = Key(
    "min_events",
    whole(1, 1_000_000_000),
    f"{_RULE.min_events}",
    "So many events of a metric must both sides have before the rule speaks.",
)
RULE_KEYS: Final = (MIN_EVENTS,)

METRICS: Final = Key(
    "metrics",
    Reader("metrics by name, or a list of names and of metrics with a `name:`", _as_it_is),
    "the catalogue",
    "What is judged. A name of the catalogue is changed key by key; a new name needs its kind and "
    "its events. The rest of the catalogue stays.",
)
CATALOGUE: Final = Key(
    "catalogue", flag(), "true", "With `false`, only the metrics named in this file are judged."
)
SERVICES: Final = Key(
    "services",
    Reader("services by name, or a list of names and of services with a `name:`", _as_it_is),
    "none",
    "Who owns what, and what is to be done; it travels with every alert.",
)
COHORTS: Final = Key(
    "cohorts",
    several(attribute_name(), most=COHORTS_MAX, form="one attribute or a list of them"),
    "none",
    "Attributes that a ring may be named by; they are always kept apart.",
)
_RATE: Final = number(RATE_MIN, 0.5)
ERROR_RATE: Final = Key(
    "error_rate",
    _RATE,
    f"{_DEFAULTS.error_rate:g}",
    "The probability of a false rollback, per deployment, over all its metrics and looks.",
)
PROMOTION_ERROR_RATE: Final = Key(
    "promotion_error_rate",
    _RATE,
    f"{_DEFAULTS.promotion_error_rate:g}",
    "The probability of promoting a release that is worse than its margin.",
)
ASSIGNMENT_ERROR_RATE: Final = Key(
    "assignment_error_rate",
    _RATE,
    f"{_DEFAULTS.assignment_error_rate:g}",
    "The probability of finding a fair split unfair: that the units on both sides do not fit the "
    "declared share, over all looks. A release with such a split is inconclusive.",
)
BAKE: Final = Key(
    "bake",
    duration(0, 7 * DAY_S),
    lasting(_DEFAULTS.bake_s),
    "What happens so soon after the start is not judged: restarts, cold caches. Shorter than the "
    "watch.",
)
WATCH: Final = Key(
    "watch",
    duration(10, 3_660 * DAY_S),
    lasting(_DEFAULTS.watch_s),
    "How long a release is waited for. What is undecided then says `hold` instead of `wait`, and "
    "what is healthy then stays so; it is judged until it ends.",
)
LATENESS: Final = Key(
    "lateness",
    duration(0, 7 * DAY_S),
    lasting(_DEFAULTS.lateness_s),
    "How long a slice stays open for late events.",
)
RETENTION: Final = Key(
    "retention",
    duration(3_600, 3_660 * DAY_S),
    f"{lasting(_DEFAULTS.retention_s)}, or the watch if that is longer",
    "How long cells and verdicts are kept.",
)
MODE: Final = Key(
    "mode",
    choice(_MODES),
    _DEFAULTS.mode,
    "With `observe`, verdicts and alerts are shown but every gate answers as for wait.",
)
FIXED_RULE: Final = Key(
    "fixed_rule",
    Reader("a mapping such as `{min_events: 100}`", _as_it_is),
    "none: not judged",
    "Shows beside each verdict what the simple rule would have said: harm as soon as both sides "
    "have enough events and a difference is beyond its margin. It decides nothing.",
)
LIMITS: Final = Key(
    "limits",
    Reader("a mapping of limits", _as_it_is),
    "as below",
    "Bounds on everything that grows.",
)
POLICY_KEYS: Final[tuple[Key[Any], ...]] = (
    METRICS, CATALOGUE, SERVICES, COHORTS, ERROR_RATE, PROMOTION_ERROR_RATE,
    ASSIGNMENT_ERROR_RATE, BAKE, WATCH, LATENESS, RETENTION, MODE, FIXED_RULE, LIMITS,
)  # fmt: skip


def policy(top: Section) -> Policy:
    """The policy that a configuration describes; faults are reported, defaults fill their place."""
    watch_s = WATCH.of(top) or _DEFAULTS.watch_s
    # Nobody who only asks for a long watch should have to know that cells must outlive it.
    kept_s = RETENTION.of(top) or max(_DEFAULTS.retention_s, watch_s)
    found = Policy(
        metrics=_metrics(top),
        services=_services(top),
        cohorts=_cohorts(top),
        error_rate=ERROR_RATE.of(top) or _DEFAULTS.error_rate,
        promotion_error_rate=PROMOTION_ERROR_RATE.of(top) or _DEFAULTS.promotion_error_rate,
        assignment_error_rate=ASSIGNMENT_ERROR_RATE.of(top) or _DEFAULTS.assignment_error_rate,
        bake_s=_DEFAULTS.bake_s if (bake := BAKE.of(top)) is None else bake,
        watch_s=watch_s,
        lateness_s=_DEFAULTS.lateness_s if (late := LATENESS.of(top)) is None else late,
        retention_s=kept_s,
        mode=MODE.of(top) or _DEFAULTS.mode,
        fixed_rule=_fixed_rule(top),
        limits=_limits(top),
    )
    if found.retention_s < found.watch_s:
        top.fault(
            RETENTION,
            f"{lasting(found.retention_s)} is shorter than the watch of {lasting(found.watch_s)}: "
            "a release would be judged on cells that are gone",
        )
    if found.bake_s >= found.watch_s:
        top.fault(
            BAKE,
            f"{lasting(found.bake_s)} is not shorter than the watch of {lasting(found.watch_s)}: "
            "nothing would be judged",
        )
    return found


def _metrics(top: Section) -> tuple[Metric, ...]:
    known = {metric.name: metric for metric in catalogue()}
    place = METRICS.of(top)
    sections = named_sections(place, METRIC_KEYS, most=METRICS_MAX) if place else ()
    named: dict[str, Metric] = {}
    for name, here in sections:
        if not fits(name, 64, METRIC_NAME):
            _judge_misnamed(name, here, known)
            continue
        built = metric(name, here, given=known.get(name), known=known)
        if built is not None:
            named[name] = built
    rest = CATALOGUE.of(top) is not False
    if not rest and not sections:
        top.fault(CATALOGUE, "is false and `metrics:` names none: nothing would be judged")
    kept = [named.get(name, given) for name, given in known.items() if rest or name in named]
    new = [named[name] for name in sorted(named) if name not in known]
    return together((*kept, *new), dict(sections), given=known)


def _judge_misnamed(name: str, here: Section, known: Mapping[str, Metric]) -> None:
    """Reports what is wrong with a metric whose name is none; an empty one is reported already."""
    near = "" if here.place.faults.full else nearest(name.strip(), known)
    if name:
        meant = f"; did you mean {near}?" if near else ""
        here.place.fault(f"is no name of a metric: a letter, then letters, digits, _ - or .{meant}")
    if near or here.has(KIND):
        metric(name, here, given=known.get(near), known=())
    else:
        judge_without_kind(here)


def _fixed_rule(top: Section) -> FixedRule | None:
    place = FIXED_RULE.of(top)
    here = section(place, RULE_KEYS) if place else None
    return None if here is None else FixedRule(MIN_EVENTS.of(here) or _RULE.min_events)


def _services(top: Section) -> dict[str, Service]:
    place = SERVICES.of(top)
    sections = named_sections(place, SERVICE_KEYS, most=SERVICES_MAX) if place else ()
    found: dict[str, Service] = {}
    for name, here in sections:
        if name and not fits(name, 128):  # an empty one is reported already
            here.place.fault("is no name of a service: at most 128 printable characters")
        depends_on = tuple(sorted(set(DEPENDS_ON.of(here) or ())))
        if name and name in depends_on:
            here.fault(DEPENDS_ON, "names the service itself: drop it")
        found[name] = Service(
            name=name,
            tier=TIER.of(here) or "standard",
            owner=OWNER.of(here) or "",
            escalation=ESCALATION.of(here) or "",
            runbook=RUNBOOK.of(here) or "",
            rollback_criteria=CRITERIA.of(here) or "",
            recovery_objective_s=RECOVERY.of(here),
            depends_on=depends_on,
        )
    return {name: found[name] for name in sorted(found)}


def _cohorts(top: Section) -> tuple[str, ...]:
    names = tuple(sorted(set(COHORTS.of(top) or ())))
    for name in names:
        if name in EVENT_FIELDS:
            top.fault(COHORTS, f"{name} is a field of the event and no attribute: drop it")
    return names


def _limits(top: Section) -> Limits:
    place = LIMITS.of(top)
    here = section(place, LIMIT_KEYS) if place else None
    if here is None:
        return _LIMITS
    written = {key.name: value for key in LIMIT_KEYS if (value := key.of(here)) is not None}
    found = dataclasses.replace(_LIMITS, **written)
    if found.body_bytes < found.line_bytes:
        here.fault(
            BODY_BYTES, f"{found.body_bytes} is less than line_bytes, {found.line_bytes}: raise it"
        )
    if found.queued_events < found.batch_events:
        here.fault(
            QUEUED_EVENTS,
            f"{found.queued_events} is less than batch_events, {found.batch_events}: raise it",
        )
    return found
