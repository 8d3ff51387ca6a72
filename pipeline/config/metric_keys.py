"""The keys of a metric: what each may hold, in code and in the words of the documentation.

Lists are put in one fixed order, so that equal policies have equal digests. What keys mean beside
each other is in ``pipeline.config.metrics``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from analyzers.policy import DEFAULT_SEGMENTS, WEIGHTS, Criticality, Kind, Measure
from collector.mapping.terms import TEXT_BYTES
from pipeline.config.document import Fields, Unreadable
from pipeline.config.faults import joined, shown
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    choice,
    duration,
    flag,
    number,
    section,
    several,
    text,
)

METRIC_NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,63}"
# An order passes about ten stations; a metric fed by more types than this is no metric.
TYPES_MAX: Final = 50
SERVICES_MAX: Final = 200
WHERE_MAX: Final = 10
# One cell per set for every series: a set more costs as much memory as the total itself.
SEGMENTS_MAX: Final = 30
SEGMENT_WIDTH_MAX: Final = 4
# Below, the metric has less than a ten-thousandth of the budget: `criticality: watch` is meant.
WEIGHT_MIN: Final = 1e-3
WEIGHT_MAX: Final = 100.0
# Of the name of an attribute; an event with a longer one is refused (`collector.decoding`, which is
# too heavy to be imported for a number: a test holds the two together).
NAME_BYTES: Final = 64
# A value of an event is smaller than this; a margin or a cap beyond it could never matter.
VALUE_MAX: Final = 9e9

# Fields of an event that are no attributes. `type` and `outcome` may split a metric, none of
# them can be a condition in `where`.
EVENT_FIELDS: Final = frozenset(
    {
        "id", "time", "type", "service", "environment", "version", "track", "outcome", "value",
        "subject", "ref", "synthetic", "attributes",
    }
)  # fmt: skip
SPLITTING_FIELDS: Final = ("type", "outcome")
# From coarse to fine, so that [document, partner] and [partner, document] are the same set.
_RANK: Final = {
    name: rank
    for rank, name in enumerate((*(names[0] for names in DEFAULT_SEGMENTS), *SPLITTING_FIELDS))
}
_WORSE: Final[dict[str, Literal["higher", "lower"]]] = {"higher": "higher", "lower": "lower"}


@dataclass(frozen=True, slots=True)
class WrittenMargin:
    """A margin as written; ``relative`` is None for a plain number, which the kind decides."""

    size: float
    relative: bool | None


def attribute_name() -> Reader[str]:
    """Names of event attributes."""
    return text(
        NAME_BYTES,
        form=f"the name of an attribute, at most {NAME_BYTES} characters",
        pattern=r"[^\s]+",
        most_bytes=NAME_BYTES,
    )


def event_type() -> Reader[str]:
    """Event types; markers are none."""
    form = "an event type such as order.submitted"
    name = text(128, form=form, pattern=r"[^\s]+", most_bytes=TEXT_BYTES)

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
    absolute, relative = ABSOLUTE.of(here), RELATIVE.of(here)
    if here.has(ABSOLUTE) == here.has(RELATIVE):
        place.fault("must say either `absolute:` or `relative:`")
        return None
    if absolute is not None:
        return WrittenMargin(absolute, relative=False)
    return None if relative is None else WrittenMargin(relative, relative=True)


def _read_where(place: Place) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(place.node, Fields):
        place.fault(f"must be a mapping of attributes to values, not {place.found()}")
        return None
    entries = place.node.entries
    if len(entries) > WHERE_MAX:
        place.fault(f"has {len(entries)} conditions: at most {WHERE_MAX} are allowed")
    found: list[tuple[str, str]] = []
    for name, node in entries.items():
        here = Place(node, joined(place.path, name), place.faults)
        named = _is_attribute(name, here)
        said = None if isinstance(node, Unreadable) else _VALUE.read(here)
        if named and said is not None:
            found.append((name, said))
    return tuple(sorted(found)) if len(found) == len(entries) <= WHERE_MAX else None


def _is_attribute(name: str, here: Place) -> bool:
    """Whether a key of `where` names what an event may carry as an attribute."""
    if name in EVENT_FIELDS:
        beside = f": write `{name}:` beside `where:`" if name in ("type", "service") else ""
        here.fault(f"is a field of the event and no attribute{beside}")
    elif not name or name.split() != [name] or not name.isprintable():
        here.fault("is no name of an attribute")
    elif len(name.encode(errors="replace")) > NAME_BYTES:
        here.fault(
            f"is longer than the name of an attribute can be, {NAME_BYTES} bytes: no event feeds it"
        )
    else:
        return True
    return False


def _read_attribute(place: Place) -> str | None:
    """A name by which events may be split."""
    name = _NAME.read(place)
    if name is None or name not in EVENT_FIELDS or name in SPLITTING_FIELDS:
        return name
    place.fault(f"{name} is a field of the event: only attributes, type and outcome split")
    return None


def _read_set(place: Place) -> tuple[str, ...] | None:
    """Attributes that split together."""
    names = _ATTRIBUTES.read(place)
    if names == ():
        place.fault("names no attribute: write `segments: []` for the total only")
        return None
    for name in sorted({name for name in names or () if (names or ()).count(name) > 1}):
        place.fault(f"names {name} twice: keep one of the two")
        names = None
    return names


def _read_segments(place: Place) -> tuple[tuple[str, ...], ...] | None:
    sets = _SEGMENT_SETS.read(place)
    return None if sets is None else in_order(sets)


def in_order(sets: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Attribute sets each once, coarse before fine, whatever order they were written in."""
    unique = {tuple(sorted(set(names), key=_fineness)) for names in sets if names}
    return tuple(
        sorted(unique, key=lambda names: (len(names), [_fineness(name) for name in names]))
    )


def _fineness(name: str) -> tuple[int, str]:
    return _RANK.get(name, len(_RANK)), name


# A millionth is below what any traffic can show; beyond 1e12 doubles lose the quantum.
_SIZE: Final = number(1e-6, 1e12, form="a positive number such as 0.01")
ABSOLUTE: Final = Key("absolute", _SIZE, "", "In the metric's unit; a proportion's points.")
RELATIVE: Final = Key("relative", _SIZE, "", "As a share of the baseline; 0.1 is ten percent.")
_NAME: Final = attribute_name()
_VALUE: Final = text(
    TEXT_BYTES,
    form=f"one attribute value, at most {TEXT_BYTES} bytes long as every text of an event",
    most_bytes=TEXT_BYTES,
)
_ATTRIBUTES: Final = several(
    Reader(_NAME.form, _read_attribute),
    most=SEGMENT_WIDTH_MAX,
    form="one attribute or a list of them",
)
_SEGMENT_SETS: Final = several(
    Reader(_ATTRIBUTES.form, _read_set),
    most=SEGMENTS_MAX,
    form="a list of attribute sets such as [[country], [partner, document]]",
)
_TYPE_LIST: Final = several(event_type(), most=TYPES_MAX, form="one event type or a list of them")
_SERVICE_LIST: Final = several(
    text(128, most_bytes=TEXT_BYTES),
    most=SERVICES_MAX,
    form="the name of one service or a list of them",
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
    "be read, `flow` its being there whatever the outcome, `assignment` that a unit was put on "
    "its side: one event for each unit; repeated ones of one `subject` count once.",
)
WORSE: Final = Key(
    "worse",
    choice(_WORSE),
    "by the kind; required for `amount` and `ratio`",
    "Which direction is harm.",
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
    "standard; assignments: watch",
    "`critical` and `standard` gate a release, `watch` is shown and never gates.",
)
WEIGHT: Final = Key(
    "weight",
    number(WEIGHT_MIN, WEIGHT_MAX),
    f"critical {WEIGHTS[Criticality.CRITICAL]:g}, standard {WEIGHTS[Criticality.STANDARD]:g}",
    "Its part of the false-alarm budget. When a metric first appears in a release it gets 6 % of "
    "`error_rate` per weight, until 90 % are spent; the k-th one after that gets 6 / (pi^2 k^2) "
    "of the last 10 %. More weight shows the same harm sooner, and leaves less for what appears "
    "later.",
)
UNIT: Final = Key("unit", text(32), "by the kind", "The unit of the value, as it is shown.")
SEGMENTS: Final = Key(
    "segments",
    Reader(_SEGMENT_SETS.form, _read_segments),
    "each of " + ", ".join(names[0] for names in DEFAULT_SEGMENTS) + "; a ratio: those of `over`",
    "What it is looked at by, beside the total: a text is one attribute, a list a combination. "
    "`type` and `outcome` may be used like attributes. `[]`: the total only.",
)
OVER: Final = Key(
    "over",
    text(64, form="the name of a metric", pattern=METRIC_NAME),
    "required for `ratio`",
    "For ratios: the metric below the line, by its sum, or by its count where its measure is "
    "`events`, `flow` or `outcome`. `{kind: ratio, type: order.returned, measure: events, worse: "
    "higher, over: order_throughput}` is returns per order.",
)
CAP: Final = Key(
    "cap",
    number(1e-9, VALUE_MAX),
    "from the first values of the baseline",
    "For amounts: values beyond it count as it, in the unit. One order of a million says little "
    "about a release; the verdict is about the capped mean.",
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
    "For `measure: answer`: what is not answered by then has failed; before, it is nothing. For "
    "counts with `exposure` and ratios: how long after what they are held against an event may "
    "come, 15m if it is not said; they are compared only so long after the start and after each "
    "change of the share.",
)
EXPOSURE: Final = Key(
    "exposure",
    event_type(),
    "none",
    "For counts: the event type that says how much traffic each side had. Without it a count is "
    "indicative. These events are assignments too: `assignment` counts them on each side.",
)
SYNTHETIC: Final = Key(
    "synthetic", flag(), "false", "Fed by probes only; every other metric never sees them."
)
REASON: Final = Key(
    "reason", text(1_000), "none", "Why margin and criticality are what they are, for the reader."
)
NAME: Final = Key("name", text(64), "the key above", "Its name, where metrics are a list.")
METRIC_KEYS: Final[tuple[Key[Any], ...]] = (
    NAME, KIND, TYPE, SERVICE, WHERE, MEASURE, WORSE, MARGIN, CRITICALITY, WEIGHT, UNIT, SEGMENTS,
    ANSWERED_BY, DEADLINE, EXPOSURE, OVER, CAP, SYNTHETIC, QUANTUM, REASON,
)  # fmt: skip
