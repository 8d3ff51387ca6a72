"""What a configuration may say and hardly means: the notes of ``plimsoll check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from analyzers.policy import Criticality, Kind, Measure, Metric, Policy
from pipeline.config.catalogue import catalogue
from pipeline.config.faults import Fault, guess, joined
from pipeline.config.feeding import all_known, mapped, unfed, wrote
from pipeline.config.fields import lasting
from pipeline.config.settings import Settings

_GAUGE: Final = (
    "is a gauge: it gates only with enough history of its own; until then it is indicative"
)
_OUTCOMES: Final = (Measure.OUTCOME, Measure.EVENTS, Measure.ANSWER)


def notes(settings: Settings) -> tuple[Fault, ...]:
    """What is allowed and may still not be what is meant."""
    found: list[Fault] = []
    if settings.exposed:
        found.append(
            Fault("host", f"{settings.host} can be reached by others: serve wants --insecure")
        )
    policy = settings.policy
    for metric in policy.metrics:
        path = joined("metrics", metric.name)
        if metric.named:
            found.extend(_of_metric(metric, path, policy))
        if metric.measure is Measure.ANSWER and metric.deadline_s > policy.watch_s:
            found.append(
                Fault(
                    f"{path}.deadline",
                    f"{lasting(metric.deadline_s)} ends after the watch of "
                    f"{lasting(policy.watch_s)}: nothing will be late before it is over",
                )
            )
    return (
        *found,
        *_of_kinds(policy),
        *_of_gates(policy),
        *_of_own_types(settings),
        *_of_types(settings),
        *_of_feeding(settings),
    )


def _of_metric(metric: Metric, path: str, policy: Policy) -> Iterator[Fault]:
    for service in metric.services:
        near = "" if service in policy.services else guess(service, policy.services)
        if near:
            yield Fault(f"{path}.service", f"{service} is not in `services:`{near}")
    if metric.kind is Kind.GAUGE:
        yield Fault(path, _GAUGE)
    elif metric.kind is Kind.COUNT and metric.measure is Measure.EVENTS and not metric.exposure:
        yield Fault(path, "is a count without `exposure:`, and so only indicative")
    if metric.exposure:
        yield from _of_exposure(metric, path, policy)


def _of_exposure(metric: Metric, path: str, policy: Policy) -> Iterator[Fault]:
    """Exposure that a release can change: as assignments it would look like an unfair split."""
    name = metric.exposure
    assigned = any(m.measure is Measure.ASSIGNMENT and name in m.types for m in policy.metrics)
    judged = [
        other.name
        for other in policy.metrics
        if name in other.types
        and other.measure in _OUTCOMES
        and other.criticality is not Criticality.WATCH
    ]
    if assigned and judged:
        yield Fault(
            f"{path}.exposure",
            f"{name} counts as assignment and is judged by {judged[0]} too: if a release can "
            "change how many come, write down what is assigned, "
            "`assignment: {type: assignment.made}`",
        )


def _of_types(settings: Settings) -> Iterator[Fault]:
    """Event types that a mapping gives and no metric is fed by."""
    fed = {
        name
        for metric in settings.policy.metrics
        for name in (*metric.types, metric.answered_by, metric.exposure)
    }
    for source in settings.sources:
        for mapping in source.mapped.mappings if source.mapped is not None else ():
            for name in sorted(mapping.types() - fed):
                path = f"{source.place}.{mapping.name}.type"
                near = guess(name, fed)
                yield Fault(path, f"{name} feeds no metric but those of any type{near}")


def _of_feeding(settings: Settings) -> Iterator[Fault]:
    """Metrics of the catalogue that the file names as they are and no source can feed, where all
    input is known: what is posted may still feed them, so that this is no fault."""
    if all_known(settings):
        named = [one for one in settings.policy.metrics if one.named and not wrote(one)]
        for lack in unfed(named, mapped(settings)):
            yield Fault(lack.path, f"no source makes {lack.wants}: only what is posted can feed it")


def _of_own_types(settings: Settings) -> Iterator[Fault]:
    """Types that only one metric of the file names: nobody can tell whether they are sent."""
    if all_known(settings):
        return  # and what no source makes is told
    known = {event_type for metric in catalogue() for event_type in metric.types}
    made = {name for one in mapped(settings) for it in one.mappings for name in it.types()}
    rules = settings.otlp.rules
    made |= {one.type for one in rules.logs} | {one.type for one in rules.spans}
    made |= {one.type for one in rules.metrics}
    asked = [(metric, _asked(metric, settings.policy)) for metric in settings.policy.metrics]
    named = Counter(name for _, words in asked for name in {word for word, _ in words})
    for metric, words in asked:
        for name, key in words if metric.named else ():
            near = guess(name, known)
            usual = named[name] > 1 or key == "exposure"  # which is often one's own
            if name in known or name in made or (usual and not near):
                continue
            why = near or ", which no mapping and no other metric names: make sure that it is sent"
            path = f"{joined('metrics', metric.name)}.{key}"
            yield Fault(path, f"{name} is a type of your own{why}")


def _asked(metric: Metric, policy: Policy) -> list[tuple[str, str]]:
    """The event types that a metric itself asks for, each with the key that says so: exposure of
    others is an assignment too, and nobody wrote it there."""
    types = set(metric.types)
    if metric.measure is Measure.ASSIGNMENT:
        types -= {other.exposure for other in policy.metrics}
    own = [(metric.answered_by, "answered_by"), (metric.exposure, "exposure")]
    return [*((name, "type") for name in sorted(types)), *(one for one in own if one[0])]


def _of_gates(policy: Policy) -> Iterator[Fault]:
    """A policy by which nothing could be promoted, or nothing rolled back."""
    judged = [one for one in policy.metrics if one.criticality is not Criticality.WATCH]
    promotes = [one for one in judged if not _only_declared(one)]
    rolls_back = [one for one in judged if one in promotes or one.measure is Measure.FLOW]
    remedy = "name one with `criticality: standard` or `critical`"
    if not rolls_back:
        yield Fault("metrics", f"none of them gates: nothing is promoted or rolled back: {remedy}")
    elif not promotes:
        yield Fault("metrics", f"none of them gates a promotion: nothing is promoted: {remedy}")


def _only_declared(metric: Metric) -> bool:
    """Whether a metric is a count that only the declared share can be held against."""
    counts = metric.kind is Kind.COUNT and metric.measure is not Measure.ASSIGNMENT
    return counts and not metric.exposure


def _of_kinds(policy: Policy) -> Iterator[Fault]:
    """Metrics of the catalogue that were made something else, and what is lost by that."""
    for was in catalogue():
        now = next((one for one in policy.metrics if one.name == was.name), was)
        if (now.kind, now.measure) == (was.kind, was.measure):
            continue
        still = [
            one.name
            for one in policy.metrics
            if (one.kind, one.measure) == (was.kind, was.measure)
            and set(was.types) <= set(one.types or was.types)
            and not one.services
            and not one.where
        ]
        lost = (
            f"{still[0]} still watches what it did"
            if still
            else f"{_watched(was)} is not watched any more: give the new one a name of its own"
        )
        yield Fault(
            joined("metrics", now.name),
            f"is {_what(was)} in the catalogue and {_what(now)} here: {lost}",
        )


def _what(metric: Metric) -> str:
    article = "an" if metric.kind is Kind.AMOUNT else "a"
    return f"{article} {metric.kind.value} (measure {metric.measure.value})"


_WATCHED: Final = {
    Measure.EVENTS: "the number of {}",
    Measure.OUTCOME: "the share of {} that end ok",
    Measure.VALUE: "the value of {}",
    Measure.ANSWER: "the share of {} that are answered in time",
    Measure.VALIDITY: "the share of {} that can be read",
    Measure.FLOW: "the silence of {}",
    Measure.ASSIGNMENT: "the split of {} between the sides",
}


def _watched(metric: Metric) -> str:
    return _WATCHED[metric.measure].format(" and ".join(metric.types) or "all events")
