"""Which metrics the sources of a configuration can feed, told from what is written in them.

A mapping often takes a type or an attribute from the message, and then anything may stand there;
where all of it is written down, it can be told that a metric will never see an event of it. Of a
metric that somebody wrote or changed that is a fault; the catalogue's own may wait for events that
this place does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from analyzers.facts import OK
from analyzers.policy import Measure, Metric
from collector.mapping.terms import Constant, EventMapping, Expression, Mapped
from pipeline.config.catalogue import catalogue
from pipeline.config.faults import FAULTS_MAX, Fault, blamed, joined
from pipeline.config.inputs import OtlpSettings
from pipeline.config.settings import Settings

_MARKER_TYPE: Final = "deployment."
_OF_ANYTHING: Final = (Measure.FLOW, Measure.VALIDITY)
_OK_ONLY: Final = (Measure.EVENTS, Measure.VALUE, Measure.ANSWER)


@dataclass(frozen=True, slots=True)
class Unfed:
    """A metric that no mapping can feed: the key that stands in the way, and what it wants."""

    metric: str
    key: str
    wants: str

    @property
    def path(self) -> str:
        """Where that key stands in the configuration."""
        return f"{joined('metrics', self.metric)}.{self.key}"


def starved(
    settings: Settings, faults: Sequence[Fault] = (), *, line: Callable[..., int] = lambda *_: 0
) -> tuple[Fault, ...]:
    """Faults of the metrics that somebody wrote and no source can feed, where all input is known.

    ``faults`` are those of the configuration: what has one is not judged by what stands in its
    place. ``line`` gives the line of what keys lead to.
    """
    if len(faults) > FAULTS_MAX:  # and what the rest of them blame is not known
        return ()
    if not all_known(settings) or blamed("sources", faults) or blamed("otlp", faults):
        return ()
    return tuple(
        Fault(
            lack.path,
            f"no source makes {lack.wants}: correct it here or in `map:`, or drop the metric",
            line("metrics", lack.metric, *lack.key.split(".", 1)),
        )
        for lack in unfed([m for m in settings.policy.metrics if wrote(m)], mapped(settings))
        if not blamed(joined("metrics", lack.metric), faults)
    )


def all_known(settings: Settings) -> bool:
    """Whether all that can come is written down: every source is mapped, and no OpenTelemetry
    record is asked for."""
    sources = settings.sources
    return bool(sources) and len(mapped(settings)) == len(sources) and not _posted(settings)


def mapped(settings: Settings) -> tuple[Mapped, ...]:
    """The mappings of every source that has some."""
    return tuple(source.mapped for source in settings.sources if source.mapped is not None)


def fed_elsewhere(metric: Metric, settings: Settings, source: str) -> bool:
    """Whether anything but one source may feed a metric, as far as the configuration tells."""
    others = [one.mapped for one in settings.sources if one.name != source]
    if _posted(settings) or None in others:
        return True
    known = [one for one in others if one is not None]
    return bool(known) and not unfed([metric], known)


def _posted(settings: Settings) -> bool:
    return settings.otlp != OtlpSettings()


def wrote(metric: Metric) -> bool:
    """Whether a metric is somebody's own, and not one of the catalogue as it is."""
    given = next((one for one in catalogue() if one.name == metric.name), None)
    if given is None or not metric.named:
        return metric.named
    if metric.measure is Measure.ASSIGNMENT and set(given.types) <= set(metric.types):
        given = replace(given, types=metric.types)  # exposure of other metrics counts there too
    return replace(metric, named=False) != given


def unfed(metrics: Sequence[Metric], mapped: Sequence[Mapped]) -> tuple[Unfed, ...]:
    """The metrics that no mapping of all these sources can feed, each with what is in the way."""
    mappings = [mapping for one in mapped for mapping in one.mappings]
    return tuple(lack for metric in metrics for lack in _lacks(metric, mappings))


def _lacks(metric: Metric, mappings: Sequence[EventMapping]) -> list[Unfed]:
    """What a metric lacks; of what feeds it the first key that leaves no mapping over."""
    if metric.measure in _OF_ANYTHING:
        return []
    found: list[Unfed] = []
    left = list(mappings)
    for key, wants, fits in _demands(metric):
        left = [mapping for mapping in left if fits(mapping)]
        if not left:
            found.append(Unfed(metric.name, key, wants))
            break
    for key, name in (("answered_by", metric.answered_by), ("exposure", metric.exposure)):
        if name and not any(_makes(mapping, "type", (name,)) for mapping in mappings):
            found.append(Unfed(metric.name, key, f"events of type {name}"))
    return found


def _demands(metric: Metric) -> list[tuple[str, str, Callable[[EventMapping], bool]]]:
    """What a mapping must fulfil to feed a metric: the key, the demand in words, the test."""
    types, services = metric.types, metric.services
    found: list[tuple[str, str, Callable[[EventMapping], bool]]] = [
        (
            "type",
            f"events of type {' or '.join(types) or 'any'}",
            lambda m: _makes(m, "type", types),
        ),
        ("service", f"them for {' or '.join(services)}", lambda m: _makes(m, "service", services)),
        ("synthetic", _world(metric), lambda m: _fits_world(m, synthetic=metric.synthetic)),
    ]
    for name, value in metric.where:
        has = partial(_has, attribute=name, value=value)
        found.append((f"where.{name}", f"them with {name} {value}", has))
    if metric.measure in _OK_ONLY:
        found.append(("measure", f"them with outcome {OK}", lambda m: _makes(m, "outcome", (OK,))))
    if metric.measure is Measure.VALUE:
        found.append(("measure", "them with a value", lambda m: "value" in dict(m.fields)))
    return found


def _makes(mapping: EventMapping, field: str, wanted: tuple[str, ...]) -> bool:
    """Whether a field of its events can have one of these words (any at all, if there are none);
    markers are no events."""
    made = dict(mapping.fields).get(field)
    words = frozenset({OK}) if made is None and field == "outcome" else _words(made)
    if words is None:
        return True
    if field == "type":
        words = frozenset(word for word in words if word and not word.startswith(_MARKER_TYPE))
        return bool(words.intersection(wanted) if wanted else words)
    return not wanted or bool(words.intersection(wanted))


def _has(mapping: EventMapping, *, attribute: str, value: str) -> bool:
    words = _words(dict(mapping.attributes).get(attribute))
    return words is None or value in words


def _fits_world(mapping: EventMapping, *, synthetic: bool) -> bool:
    made = dict(mapping.fields).get("synthetic")
    words = frozenset({"False"}) if made is None else _words(made)
    return words is None or str(synthetic) in words or (not synthetic and "" in words)


def _world(metric: Metric) -> str:
    return "probes among them" if metric.synthetic else "them of real business"


def _words(made: Expression | None) -> frozenset[str] | None:
    """Every text that an expression can give, empty for none at all; None where the message says
    it."""
    if made is None:
        return frozenset({""})
    if isinstance(made.source, Constant):
        return frozenset({str(made.source.value)})
    if not made.table:
        return None
    written = [made.otherwise, "" if made.default is None else made.default]
    written += [value for _, value in made.table]
    return frozenset(str(value) for value in written if value is not None)
