"""What a configuration may say and hardly means: the notes of ``plimsoll check``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzers.policy import Criticality, Kind, Measure, Metric, Policy
from pipeline.config.catalogue import catalogue
from pipeline.config.faults import Fault, guess, joined
from pipeline.config.feeding import unfed
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
    known = {event_type for metric in catalogue() for event_type in metric.types}
    for metric in policy.metrics:
        path = joined("metrics", metric.name)
        if metric.named:
            found.extend(_of_metric(metric, path, known, policy))
        if metric.measure is Measure.ANSWER and metric.deadline_s > policy.watch_s:
            found.append(
                Fault(
                    f"{path}.deadline",
                    f"{lasting(metric.deadline_s)} ends after the watch of "
                    f"{lasting(policy.watch_s)}: nothing will be late before it is over",
                )
            )
    return (*found, *_of_types(settings), *_of_feeding(settings))


def _of_metric(metric: Metric, path: str, known: set[str], policy: Policy) -> Iterator[Fault]:
    for event_type in (*metric.types, metric.answered_by, metric.exposure):
        near = "" if event_type in known else guess(event_type, known)
        if near:
            yield Fault(f"{path}.type", f"{event_type} is a type of your own{near}")
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
    for index, source in enumerate(settings.sources):
        for mapping in source.mapped.mappings if source.mapped is not None else ():
            for name in sorted(mapping.types() - fed):
                path = f"sources[{index}].{mapping.name}.type"
                near = guess(name, fed)
                yield Fault(path, f"{name} feeds no metric but those of any type{near}")


def _of_feeding(settings: Settings) -> Iterator[Fault]:
    """Metrics of the file that no source can feed, where every source is mapped. What is posted
    may still feed them, so that this is no fault."""
    mapped = [source.mapped for source in settings.sources if source.mapped is not None]
    if not mapped or len(mapped) < len(settings.sources):
        return
    named = [metric for metric in settings.policy.metrics if metric.named]
    for lack in unfed(named, mapped):
        path = f"{joined('metrics', lack.metric)}.{lack.key}"
        yield Fault(path, f"no source makes {lack.wants}: only what is posted can feed it")
