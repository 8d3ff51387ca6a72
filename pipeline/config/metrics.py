"""A metric as a policy or the catalogue writes it, checked and turned into a ``Metric``.

What is written is laid over what the catalogue or the kind gives; then come the rules that hold
between the keys of one metric. The keys are in ``metric_keys``, the rules between metrics in
``between_metrics``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from analyzers.policy import (
    DEFAULT_SEGMENTS,
    WEIGHTS,
    Criticality,
    Kind,
    Margin,
    Measure,
    Metric,
)
from pipeline.config.fields import Key, Section
from pipeline.config.metric_keys import (
    ANSWERED_BY,
    CAP,
    CRITICALITY,
    DEADLINE,
    EXPOSURE,
    KIND,
    MARGIN,
    MEASURE,
    METRIC_KEYS,
    NAME,
    OVER,
    QUANTUM,
    REASON,
    SEGMENTS,
    SERVICE,
    SYNTHETIC,
    TYPE,
    UNIT,
    VALUE_MAX,
    WEIGHT,
    WHERE,
    WORSE,
    in_order,
)

T = TypeVar("T")

# Silence is noticed, and exposure counted, by type; published totals are by type and outcome.
FLOW_SEGMENTS: Final = (("type",), ("type", "outcome"))
_MEASURES: Final = {
    Kind.COUNT: (Measure.EVENTS, Measure.FLOW, Measure.ASSIGNMENT),
    Kind.PROPORTION: (Measure.OUTCOME, Measure.ANSWER, Measure.VALIDITY),
    Kind.DURATION: (Measure.VALUE,),
    Kind.AMOUNT: (Measure.VALUE,),
    Kind.GAUGE: (Measure.VALUE,),
    Kind.RATIO: (Measure.VALUE, Measure.EVENTS),
}
_MAY_BE_BLANK: Final = (UNIT, REASON, NAME)
_NEEDED: Final = "is not in the catalogue, so it needs `kind:` and the `type:` of its events"
_NO_TYPE: Final = "is missing: say which events feed it, or `type: []` for all of them"
# What any event feeds, so that no type has to be named.
_OF_ANYTHING: Final = frozenset({Measure.VALIDITY, Measure.FLOW})
# Of any event at all these would say nothing: what was asked, or who was put on a side.
_OF_AN_ANSWER: Final = "belongs to a proportion with `measure: answer`"
_OF_SOME_TYPE: Final = (Measure.ANSWER, Measure.ASSIGNMENT)


@dataclass(frozen=True, slots=True)
class Habit:
    """What holds for a new metric of a kind where its definition says nothing."""

    measure: Measure
    worse: Literal["higher", "lower"] | None  # None: it must be said, a guess would harm
    margin: Margin
    unit: str
    quantum: float = 1e-6


HABITS: Final = {
    Kind.COUNT: Habit(Measure.EVENTS, "lower", Margin(0.1, relative=True), "events"),
    Kind.PROPORTION: Habit(Measure.OUTCOME, "lower", Margin(0.01, relative=False), "1"),
    Kind.DURATION: Habit(Measure.VALUE, "higher", Margin(0.1, relative=True), "s"),
    Kind.AMOUNT: Habit(Measure.VALUE, None, Margin(0.1, relative=True), "1", quantum=1e-4),
    Kind.GAUGE: Habit(Measure.VALUE, "higher", Margin(0.2, relative=True), "1"),
    Kind.RATIO: Habit(Measure.VALUE, None, Margin(0.1, relative=True), "1", quantum=1e-4),
}


def metric(
    name: str, here: Section, *, given: Metric | None, known: Collection[str], named: bool = True
) -> Metric | None:
    """The metric that a definition describes, laid over ``given`` where the catalogue has it.

    None, with the faults reported, if it cannot be told what is meant. ``known`` are names to
    suggest for a slip of the pen.
    """
    _check_blanks(here)
    said = KIND.of(here)
    kind = said or (given.kind if given and not here.has(KIND) else None)
    if kind is None:
        place = here.at(KIND)
        if place is None or (place.empty() and not place.blank()):
            hint = here.place.hint(name, known)
            here.place.fault(f"{_NEEDED}{hint}")
        judge_without_kind(here, given=given)
        return None
    ground = _ground(name, kind, given)
    measured = _measure(here, kind, ground)
    measure = measured or ground.measure
    answers = measure is Measure.ANSWER or measured is None
    follows = here.has(EXPOSURE) or here.has(OVER) or bool(ground.exposure or ground.over)
    margin = _margin(here, kind, ground)
    criticality = _criticality(here, measure, ground)
    built = Metric(
        name=name,
        kind=kind,
        measure=measure,
        worse=WORSE.of(here) or ground.worse,
        margin=margin,
        criticality=criticality,
        unit=UNIT.of(here) or ground.unit,
        types=_sorted(TYPE.of(here), ground.types),
        services=_sorted(SERVICE.of(here), ground.services),
        where=_or(WHERE.of(here), ground.where),
        segments=_segments(_or(SEGMENTS.of(here), ground.segments), measure),
        quantum=QUANTUM.of(here) or ground.quantum,
        answered_by=(ANSWERED_BY.of(here) or ground.answered_by) if answers else "",
        deadline_s=(DEADLINE.of(here) or ground.deadline_s) if answers or follows else 0,
        exposure=EXPOSURE.of(here) or ground.exposure,
        over=OVER.of(here) or ground.over,
        cap=_or(CAP.of(here), ground.cap),
        weight=_weight(here, criticality, ground),
        synthetic=_or(SYNTHETIC.of(here), ground.synthetic),
        named=named,
        reason=REASON.of(here) or ground.reason,
    )
    if measured is not None:
        _check_events(here, built, given)
        _check_answers(here, built)
    elif not _OF_ANYTHING.intersection(_MEASURES[kind]) and not _says_what_feeds_it(here, given):
        here.fault(TYPE, _NO_TYPE)  # whatever it is meant to measure
    _check_worse(here, built, given)
    _check_strangers(here, built)
    _check_margin(here, built)
    _check_cap(here, built)
    return built


def judge_without_kind(here: Section, *, given: Metric | None = None) -> None:
    """Reports what is wrong with a definition whose kind is not known, whatever that may be."""
    for key in METRIC_KEYS:
        if key not in (KIND, NAME):
            key.of(here)
    measure, criticality = MEASURE.of(here), CRITICALITY.of(here)
    if criticality is not None and measure is not Measure.ASSIGNMENT:
        _weight(here, criticality, None)
    if here.has(KIND) and not here.has(MEASURE) and not _says_what_feeds_it(here, given):
        here.fault(TYPE, _NO_TYPE)
    _check_asked(here, frozenset(TYPE.of(here) or ()), ANSWERED_BY.of(here) or "")


def _check_blanks(here: Section) -> None:
    """Faults of empty texts in quotes, which could be meant as a value and be taken as none."""
    for key in METRIC_KEYS:
        place = here.at(key)
        if place is not None and place.blank() and key not in _MAY_BE_BLANK:
            place.fault("is an empty text: write a value, or drop the key")


def _says_what_feeds_it(here: Section, given: Metric | None) -> bool:
    """Whether it is said which events feed a metric, even if it is said wrongly."""
    places = [here.at(key) for key in (TYPE, SERVICE, WHERE)]
    return given is not None or any(p and (not p.empty() or p.blank()) for p in places)


def _is_slip(here: Section, key: Key[Any]) -> bool:
    """Whether a key says something that it cannot say, so that what is meant is not known."""
    return here.has(key) and key.of(here) is None


def _or(found: T | None, ground: T) -> T:
    return ground if found is None else found


def _sorted(found: Iterable[str] | None, ground: tuple[str, ...]) -> tuple[str, ...]:
    return ground if found is None else tuple(sorted(set(found)))


def _ground(name: str, kind: Kind, given: Metric | None) -> Metric:
    """What holds where a definition says nothing.

    A metric of the catalogue that is turned into another kind keeps its events and segments
    only: the margin of a proportion means nothing for a duration.
    """
    if given is not None and given.kind is kind:
        return given
    habit = HABITS[kind]
    return Metric(
        name=name,
        kind=kind,
        measure=habit.measure,
        worse=habit.worse or "higher",
        margin=habit.margin,
        criticality=Criticality.STANDARD,
        unit=habit.unit,
        quantum=habit.quantum,
        types=given.types if given else (),
        services=given.services if given else (),
        where=given.where if given else (),
        segments=given.segments if given else DEFAULT_SEGMENTS,
        synthetic=given.synthetic if given else False,
    )


def _segments(sets: tuple[tuple[str, ...], ...], measure: Measure) -> tuple[tuple[str, ...], ...]:
    """The attribute sets that a measure needs, added to or taken from those written."""
    if measure is Measure.VALIDITY:
        return ()  # a reject has no attributes that could be trusted
    if measure is Measure.ASSIGNMENT:
        return ()  # a share is declared for the whole release
    if measure is Measure.FLOW:
        return in_order((*sets, *FLOW_SEGMENTS))
    return sets


def _measure(here: Section, kind: Kind, ground: Metric) -> Measure | None:
    """What an event contributes, None where what is written cannot be."""
    said = MEASURE.of(here)
    if said is None:
        if here.has(MEASURE):
            return None
        answers = here.has(ANSWERED_BY) and kind is Kind.PROPORTION
        return Measure.ANSWER if answers else ground.measure
    if said not in _MEASURES[kind]:
        fitting = " or ".join(measure.value for measure in _MEASURES[kind])
        here.fault(MEASURE, f"{said.value} does not make a {kind.value}: write {fitting}")
        return None
    return said


def _margin(here: Section, kind: Kind, ground: Metric) -> Margin:
    written = MARGIN.of(here)
    if written is None:
        return ground.margin
    relative = kind is not Kind.PROPORTION if written.relative is None else written.relative
    return Margin(written.size, relative)


def _criticality(here: Section, measure: Measure, ground: Metric) -> Criticality:
    said = CRITICALITY.of(here)
    if measure is not Measure.ASSIGNMENT:
        return said or ground.criticality
    if said not in (None, Criticality.WATCH):
        here.fault(
            CRITICALITY,
            f"must be watch, not {said.value}: assignments say whether a comparison is fair, and "
            "never that a release is bad",
        )
    return Criticality.WATCH


def _weight(here: Section, criticality: Criticality, ground: Metric | None) -> float | None:
    """The weight beside the criticality's; None for the same, so that digests are equal."""
    said = WEIGHT.of(here)
    if criticality is Criticality.WATCH:
        if said is not None:
            here.fault(WEIGHT, "belongs to metrics that gate, and `watch` never does: drop it")
        return None
    weight = ground.weight if said is None and ground else said
    return None if weight == WEIGHTS[criticality] else weight


def _check_events(here: Section, built: Metric, given: Metric | None) -> None:
    """Faults of what feeds the metric."""
    anything = built.measure in _OF_ANYTHING
    if built.measure in _OF_SOME_TYPE:
        place = here.at(TYPE)
        if not built.types and (place is None or not (place.elements() or place.blank())):
            here.fault(TYPE, f"names none: `measure: {built.measure.value}` needs its events named")
    elif not anything and not _says_what_feeds_it(here, given):
        here.fault(TYPE, _NO_TYPE)
    if built.measure is Measure.VALIDITY:
        for place in (here.at(TYPE), here.at(WHERE), here.at(SEGMENTS)):
            if place is not None and place.elements():
                place.fault("cannot be asked of events that could not be read: drop it")


def _check_worse(here: Section, built: Metric, given: Metric | None) -> None:
    """Faults of the direction that is harm."""
    place = here.at(WORSE)
    unsaid = place is None or (place.empty() and not place.blank())
    if unsaid and HABITS[built.kind].worse is None and (not given or given.kind is not built.kind):
        kind = built.kind.value
        here.fault(WORSE, f"is missing: only you know whether a higher or a lower {kind} is harm")
    if built.kind is Kind.PROPORTION and built.worse == "higher":
        here.fault(
            WORSE,
            "must be lower: a proportion is the share of ok outcomes; name it for what goes right",
        )


def _check_answers(here: Section, built: Metric) -> None:
    """Faults of questions and their answers."""
    if built.measure is not Measure.ANSWER:
        if here.has(ANSWERED_BY):
            here.fault(ANSWERED_BY, f"{_OF_AN_ANSWER}: drop it")
        if here.has(DEADLINE) and not (built.exposure or built.over):
            here.fault(
                DEADLINE, f"{_OF_AN_ANSWER}, to a count with `exposure` or to a ratio: drop it"
            )
        return
    for key, value in ((ANSWERED_BY, built.answered_by), (DEADLINE, built.deadline_s)):
        place = here.at(key)
        if not value and (place is None or (place.empty() and not place.blank())):
            here.fault(key, "is missing: `measure: answer` needs it")
    _check_asked(here, frozenset(built.types), built.answered_by)


def _check_asked(here: Section, types: frozenset[str], answered_by: str) -> None:
    if answered_by in types:
        here.fault(
            ANSWERED_BY,
            f"{answered_by} is what asks as well: every answer would wait for an answer",
        )


def _check_strangers(here: Section, built: Metric) -> None:
    """Faults of keys that belong to another kind or measure."""
    kind = built.kind.value
    if here.has(EXPOSURE) and built.kind is not Kind.COUNT:
        here.fault(EXPOSURE, f"belongs to counts, and this is a {kind}: drop it")
    if here.has(CAP) and built.kind is not Kind.AMOUNT:
        here.fault(CAP, f"belongs to amounts, and this is a {kind}: drop it")
    if built.kind is not Kind.RATIO and here.has(OVER):
        here.fault(OVER, f"belongs to ratios, and this is a {kind}: drop it, or say `kind: ratio`")
    over = here.at(OVER)
    if built.kind is Kind.RATIO and not built.over and (over is None or over.empty()):
        here.fault(OVER, "is missing: a ratio needs the metric that it is divided by")
    if built.measure is Measure.ASSIGNMENT:
        for key in (MARGIN, WORSE, EXPOSURE, SEGMENTS):
            place = here.at(key)
            if place is not None and place.elements():
                place.fault(
                    "means nothing for assignments, which are held against the declared share: "
                    "drop it"
                )


def _check_margin(here: Section, built: Metric) -> None:
    """Faults of a margin that no harm could exceed, or that is finer than what is measured."""
    size, relative = built.margin.size, built.margin.relative
    if built.kind is Kind.PROPORTION and size >= 1:
        here.fault(MARGIN, f"{size:g} must be below 1: one percent is written 0.01")
    elif built.kind is Kind.COUNT and not relative:
        here.fault(MARGIN, "of a count must be relative: a number of events depends on the share")
    elif relative and built.worse == "lower" and size >= 1 and not _is_slip(here, WORSE):
        here.fault(MARGIN, f"{size:g} must be below 1: nothing falls by more than all of itself")
    elif relative and size > 100:
        here.fault(MARGIN, f"{size:g} must be at most 100 times the baseline: 0.1 is ten percent")
    elif not relative and built.measure is Measure.VALUE and built.kind is not Kind.RATIO:
        if size < built.quantum:
            here.fault(
                MARGIN, f"{size:g} is finer than the quantum {built.quantum:g}: lower `quantum`"
            )
        elif size > VALUE_MAX:
            here.fault(MARGIN, f"{size:g} is more than any value: values are below {VALUE_MAX:g}")


def _check_cap(here: Section, built: Metric) -> None:
    """Faults of a cap below which no value, or no harm, would be left."""
    if built.cap is None or built.kind is not Kind.AMOUNT:
        return
    if built.cap < built.quantum:
        here.fault(CAP, f"{built.cap:g} is finer than the quantum {built.quantum:g}: raise it")
    elif not built.margin.relative and built.cap <= built.margin.size:
        here.fault(
            CAP,
            f"{built.cap:g} is not above the margin {built.margin.size:g}: no harm could exceed it",
        )
