"""A metric as a policy or the catalogue writes it, checked and turned into a ``Metric``.

The keys of a metric, with the words that the documentation shows for them, and the rules that
hold between them. What is written is laid over what the catalogue or the kind gives; lists are
put in one fixed order, so that equal policies have equal digests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from analyzers.policy import DEFAULT_SEGMENTS, Criticality, Kind, Margin, Measure, Metric
from pipeline.config.document import Fields, Unreadable
from pipeline.config.faults import guess, joined, shown
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    choice,
    duration,
    flag,
    number,
    section,
    several,
    text,
)

T = TypeVar("T")

METRIC_NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,63}"
# An order passes about ten stations; a metric fed by more types than this is no metric.
TYPES_MAX: Final = 50
SERVICES_MAX: Final = 200
WHERE_MAX: Final = 10
# One cell per set for every series: a set more costs as much memory as the total itself.
SEGMENTS_MAX: Final = 30
SEGMENT_WIDTH_MAX: Final = 4

# Fields of an event that are no attributes. `type` and `outcome` may split a metric, none of
# them can be a condition in `where`.
EVENT_FIELDS: Final = frozenset(
    {
        "id", "time", "type", "service", "environment", "version", "track", "outcome", "value",
        "subject", "ref", "synthetic", "attributes",
    }
)  # fmt: skip
SPLITTING_FIELDS: Final = ("type", "outcome")
# Silence is noticed, and exposure counted, by type; published totals are by type and outcome.
FLOW_SEGMENTS: Final = (("type",), ("type", "outcome"))
# From coarse to fine, so that [document, partner] and [partner, document] are the same set.
_RANK: Final = {
    name: rank
    for rank, name in enumerate((*(names[0] for names in DEFAULT_SEGMENTS), *SPLITTING_FIELDS))
}
_MEASURES: Final = {
    Kind.COUNT: (Measure.EVENTS, Measure.FLOW),
    Kind.PROPORTION: (Measure.OUTCOME, Measure.ANSWER, Measure.VALIDITY),
    Kind.DURATION: (Measure.VALUE,),
    Kind.AMOUNT: (Measure.VALUE,),
    Kind.GAUGE: (Measure.VALUE,),
}
_WORSE: Final[dict[str, Literal["higher", "lower"]]] = {"higher": "higher", "lower": "lower"}


@dataclass(frozen=True, slots=True)
class Habit:
    """What holds for a new metric of a kind where its definition says nothing."""

    measure: Measure
    worse: Literal["higher", "lower"] | None  # None: it must be said, a guess would harm
    margin: Margin
    unit: str
    criticality: Criticality = Criticality.STANDARD
    quantum: float = 1e-6


HABITS: Final = {
    Kind.COUNT: Habit(Measure.EVENTS, "lower", Margin(0.1, relative=True), "events"),
    Kind.PROPORTION: Habit(Measure.OUTCOME, "lower", Margin(0.01, relative=False), "1"),
    Kind.DURATION: Habit(Measure.VALUE, "higher", Margin(0.1, relative=True), "s"),
    Kind.AMOUNT: Habit(Measure.VALUE, None, Margin(0.1, relative=True), "1", quantum=1e-4),
    Kind.GAUGE: Habit(Measure.VALUE, "higher", Margin(0.2, relative=True), "1", Criticality.WATCH),
}


@dataclass(frozen=True, slots=True)
class WrittenMargin:
    """A margin as written; ``relative`` is None for a plain number, which the kind decides."""

    size: float
    relative: bool | None


def attribute_name() -> Reader[str]:
    """Names of event attributes."""
    return text(64, form="the name of an attribute, at most 64 characters", pattern=r"[^\s]+")


def event_type() -> Reader[str]:
    """Event types; markers are none."""
    name = text(128, form="an event type such as order.submitted", pattern=r"[^\s]+")

    def read(place: Place) -> str | None:
        found = name.read(place)
        if found is not None and found.startswith("deployment."):
            place.fault(f"{shown(found)} is a marker and feeds no metric: name an event type")
            return None
        return found

    return Reader(name.form, read)


def _read_margin(place: Place) -> WrittenMargin | None:
    if not isinstance(place.node, Fields):
        size = _SIZE.read(place)
        return None if size is None else WrittenMargin(size, None)
    here = section(place, (ABSOLUTE, RELATIVE))
    if here is None:
        return None
    if here.has(ABSOLUTE) == here.has(RELATIVE):
        place.fault("must say either `absolute:` or `relative:`")
        return None
    key = ABSOLUTE if here.has(ABSOLUTE) else RELATIVE
    size = key.of(here)
    return None if size is None else WrittenMargin(size, key is RELATIVE)


def _read_where(place: Place) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(place.node, Fields):
        place.fault(f"must be a mapping of attributes to values, not {place.found()}")
        return None
    if len(place.node.entries) > WHERE_MAX:
        place.fault(f"has {len(place.node.entries)} conditions: at most {WHERE_MAX} are allowed")
        return None
    value = text(256, form="one attribute value, at most 256 characters")
    found: list[tuple[str, str]] = []
    for name, node in place.node.entries.items():
        here = Place(node, joined(place.path, name), place.faults)
        if name in EVENT_FIELDS:
            beside = f": write `{name}:` beside `where:`" if name in ("type", "service") else ""
            here.fault(f"is a field of the event and no attribute{beside}")
        elif not name or name.split() != [name] or not name.isprintable():
            here.fault("is no name of an attribute")
        elif not isinstance(node, Unreadable) and (said := value.read(here)) is not None:
            found.append((name, said))
    return tuple(sorted(found)) if len(found) == len(place.node.entries) else None


def _read_segments(place: Place) -> tuple[tuple[str, ...], ...] | None:
    sets = _SEGMENT_SETS.read(place)
    if sets is None:
        return None
    strangers = EVENT_FIELDS.difference(SPLITTING_FIELDS)
    wrong = sorted({name for names in sets for name in names if name in strangers})
    if wrong:
        place.fault(f"{wrong[0]} is a field of the event: only attributes, type and outcome split")
        return None
    return _in_order(sets)


def _in_order(sets: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Attribute sets each once, coarse before fine, whatever order they were written in."""
    unique = {tuple(sorted(set(names), key=_fineness)) for names in sets if names}
    return tuple(
        sorted(unique, key=lambda names: (len(names), [_fineness(name) for name in names]))
    )


def _segments(sets: tuple[tuple[str, ...], ...], measure: Measure) -> tuple[tuple[str, ...], ...]:
    """The attribute sets that a measure needs, added to or taken from those written."""
    if measure is Measure.VALIDITY:
        return ()  # a reject has no attributes that could be trusted
    if measure is Measure.FLOW:
        return _in_order((*sets, *FLOW_SEGMENTS))
    return sets


def _fineness(name: str) -> tuple[int, str]:
    return _RANK.get(name, len(_RANK)), name


# A millionth is below what any traffic can show; beyond 1e12 doubles lose the quantum.
_SIZE: Final = number(1e-6, 1e12, form="a positive number such as 0.01")
ABSOLUTE: Final = Key("absolute", _SIZE, "", "In the metric's unit; a proportion's points.")
RELATIVE: Final = Key("relative", _SIZE, "", "As a share of the baseline; 0.1 is ten percent.")
_SEGMENT_SETS: Final = several(
    several(attribute_name(), most=SEGMENT_WIDTH_MAX, form="one attribute or a list of them"),
    most=SEGMENTS_MAX,
    form="a list of attribute sets such as [[country], [partner, document]]",
)
_TYPE_LIST: Final = several(event_type(), most=TYPES_MAX, form="one event type or a list of them")
_SERVICE_LIST: Final = several(
    text(128), most=SERVICES_MAX, form="the name of one service or a list of them"
)

KIND: Final = Key(
    "kind",
    choice({kind.value: kind for kind in Kind}),
    "required for a name that the catalogue does not have",
    "How its observations behave, and so which test compares them.",
)
TYPE: Final = Key(
    "type", _TYPE_LIST, "any", "The types of the events that feed it.", also=("types",)
)
SERVICE: Final = Key(
    "service", _SERVICE_LIST, "any", "Only events of these services feed it.", also=("services",)
)
WHERE: Final = Key(
    "where",
    Reader("a mapping of attributes to one value each", _read_where),
    "none",
    "Only events with these attribute values feed it.",
)
MEASURE: Final = Key(
    "measure",
    choice({measure.value: measure for measure in Measure}),
    "by the kind",
    "What one event contributes: `events` its being there (ok ones), `outcome` ok or not, `value` "
    "its value (ok ones), `answer` whether it was answered in time, `validity` whether it could "
    "be read, `flow` its being there whatever the outcome.",
)
WORSE: Final = Key(
    "worse", choice(_WORSE), "by the kind; required for `amount`", "Which direction is harm."
)
MARGIN: Final = Key(
    "margin",
    Reader("a positive number, `{absolute: x}` or `{relative: x}`", _read_margin),
    "proportion 0.01 absolute, gauge 0.2 relative, all others 0.1 relative",
    "The largest harm still acceptable. A plain number is absolute for proportions and relative "
    "to the baseline for all others.",
)
CRITICALITY: Final = Key(
    "criticality",
    choice({word.value: word for word in Criticality}),
    "standard; a gauge: watch",
    "`critical` and `standard` gate a release, `watch` is shown and never gates.",
)
UNIT: Final = Key("unit", text(32), "by the kind", "The unit of the value, as it is shown.")
SEGMENTS: Final = Key(
    "segments",
    Reader(_SEGMENT_SETS.form, _read_segments),
    "each of " + ", ".join(names[0] for names in DEFAULT_SEGMENTS),
    "What it is looked at by, beside the total: a text is one attribute, a list a combination. "
    "`type` and `outcome` may be used like attributes. `[]`: the total only.",
)
QUANTUM: Final = Key(
    "quantum",
    number(1e-9, 1e6),
    "0.000001; an amount: 0.0001",
    "What the value is rounded to once, before it is added up exactly.",
)
ANSWERED_BY: Final = Key(
    "answered_by",
    event_type(),
    "none",
    "For `measure: answer`: the type of the event whose `ref` answers.",
)
DEADLINE: Final = Key(
    "deadline",
    duration(1, 30 * 86_400),
    "none",
    "For `measure: answer`: what is not answered by then has failed; before, it is nothing.",
)
EXPOSURE: Final = Key(
    "exposure",
    event_type(),
    "none",
    "For counts: the event type that says how much traffic each side had. Without it a count is "
    "indicative.",
)
SYNTHETIC: Final = Key(
    "synthetic", flag(), "false", "Fed by probes only; every other metric never sees them."
)
REASON: Final = Key(
    "reason", text(1_000), "none", "Why margin and criticality are what they are, for the reader."
)
NAME: Final = Key("name", text(64), "the key above", "Its name, where metrics are a list.")
METRIC_KEYS: Final[tuple[Key[Any], ...]] = (
    NAME, KIND, TYPE, SERVICE, WHERE, MEASURE, WORSE, MARGIN, CRITICALITY, UNIT, SEGMENTS,
    ANSWERED_BY, DEADLINE, EXPOSURE, SYNTHETIC, QUANTUM, REASON,
)  # fmt: skip


def metric(
    name: str, here: Section, *, given: Metric | None, known: Collection[str], named: bool = True
) -> Metric | None:
    """The metric that a definition describes, laid over ``given`` where the catalogue has it.

    None, with the faults reported, if it cannot be told what is meant. ``known`` are names to
    suggest for a slip of the pen.
    """
    kind = KIND.of(here) or (given.kind if given else None)
    if kind is None:
        if here.at(KIND) is None:
            here.place.fault(
                "is not in the catalogue, so it needs `kind:` and the `type:` of its events"
                + guess(name, known)
            )
        return None
    ground = _ground(name, kind, given)
    measure = _measure(here, kind, ground)
    answers = measure is Measure.ANSWER
    built = Metric(
        name=name,
        kind=kind,
        measure=measure,
        worse=WORSE.of(here) or ground.worse,
        margin=_margin(here, kind, ground),
        criticality=CRITICALITY.of(here) or ground.criticality,
        unit=UNIT.of(here) or ground.unit,
        types=_sorted(TYPE.of(here), ground.types),
        services=_sorted(SERVICE.of(here), ground.services),
        where=_or(WHERE.of(here), ground.where),
        segments=_segments(_or(SEGMENTS.of(here), ground.segments), measure),
        quantum=QUANTUM.of(here) or ground.quantum,
        answered_by=(ANSWERED_BY.of(here) or ground.answered_by) if answers else "",
        deadline_s=(DEADLINE.of(here) or ground.deadline_s) if answers else 0,
        exposure=EXPOSURE.of(here) or ground.exposure,
        synthetic=_or(SYNTHETIC.of(here), ground.synthetic),
        named=named,
        reason=REASON.of(here) or ground.reason,
    )
    _check_events(here, built, given)
    _check_sense(here, built)
    _check_margin(here, built)
    return built


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
        criticality=habit.criticality,
        unit=habit.unit,
        quantum=habit.quantum,
        types=given.types if given else (),
        services=given.services if given else (),
        where=given.where if given else (),
        segments=given.segments if given else DEFAULT_SEGMENTS,
        synthetic=given.synthetic if given else False,
    )


def _measure(here: Section, kind: Kind, ground: Metric) -> Measure:
    said = MEASURE.of(here)
    if said is None:
        answers = here.has(ANSWERED_BY) and kind is Kind.PROPORTION and not here.has(MEASURE)
        return Measure.ANSWER if answers else ground.measure
    if said not in _MEASURES[kind]:
        fitting = " or ".join(measure.value for measure in _MEASURES[kind])
        here.fault(MEASURE, f"{said.value} does not make a {kind.value}: write {fitting}")
        return ground.measure
    return said


def _margin(here: Section, kind: Kind, ground: Metric) -> Margin:
    written = MARGIN.of(here)
    if written is None:
        return ground.margin
    relative = kind is not Kind.PROPORTION if written.relative is None else written.relative
    return Margin(written.size, relative)


def _check_events(here: Section, built: Metric, given: Metric | None) -> None:
    """Faults of what feeds the metric."""
    anything = built.measure in (Measure.VALIDITY, Measure.FLOW)
    said = here.at(TYPE) or here.at(SERVICE) or here.at(WHERE)
    if given is None and said is None and not anything:
        here.fault(TYPE, "is missing: say which events feed it, or `type: []` for all of them")
    habit = HABITS[built.kind]
    unsaid = here.at(WORSE) is None and (given is None or given.kind is not built.kind)
    if unsaid and habit.worse is None:
        here.fault(WORSE, "is missing: only you know whether a higher or a lower amount is harm")


def _check_sense(here: Section, built: Metric) -> None:
    """Faults of keys that belong to one measure or kind only."""
    if built.measure is Measure.ANSWER:
        for key, value in ((ANSWERED_BY, built.answered_by), (DEADLINE, built.deadline_s)):
            if not value and here.at(key) is None:
                here.fault(key, "is missing: `measure: answer` needs it")
    else:
        for key in (ANSWERED_BY, DEADLINE):
            if here.has(key):
                here.fault(key, "belongs to a proportion with `measure: answer`: drop it")
    if built.measure is Measure.VALIDITY:
        for place in (here.at(TYPE), here.at(WHERE), here.at(SEGMENTS)):
            if place is not None and place.elements():
                place.fault("cannot be asked of events that could not be read: drop it")
    if built.kind is Kind.PROPORTION and built.worse == "higher":
        here.fault(
            WORSE,
            "must be lower: a proportion is the share of ok outcomes; name it for what goes right",
        )
    if here.has(EXPOSURE) and built.kind is not Kind.COUNT:
        here.fault(EXPOSURE, f"belongs to counts, and this is a {built.kind.value}: drop it")


def _check_margin(here: Section, built: Metric) -> None:
    """Faults of a margin that no harm could exceed, or that is finer than what is measured."""
    size, relative = built.margin.size, built.margin.relative
    if built.kind is Kind.PROPORTION and size >= 1:
        here.fault(MARGIN, f"{size:g} must be below 1: one percent is written 0.01")
    elif built.kind is Kind.COUNT and not relative:
        here.fault(MARGIN, "of a count must be relative: a number of events depends on the share")
    elif relative and built.worse == "lower" and size >= 1:
        here.fault(MARGIN, f"{size:g} must be below 1: nothing falls by more than all of itself")
    elif relative and size > 100:
        here.fault(MARGIN, f"{size:g} must be at most 100 times the baseline: 0.1 is ten percent")
    elif not relative and built.measure is Measure.VALUE and size < built.quantum:
        here.fault(MARGIN, f"{size:g} is finer than the quantum {built.quantum:g}: lower `quantum`")
