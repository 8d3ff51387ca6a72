"""How foreign messages become events, as a configuration writes it: ``map`` of a source."""

from __future__ import annotations

from typing import Any, Final

from analyzers.policy import Limits
from collector.mapping.terms import (
    ATTRIBUTES,
    EVENT_FIELDS,
    FIELDS,
    MAPPINGS,
    MARKER_FIELDS,
    REQUIRED,
    EventMapping,
    Expression,
    Kind,
    Mapped,
    MappingError,
    Path,
)
from pipeline.config.catalogue import catalogue
from pipeline.config.conditions import conditions
from pipeline.config.document import Fields, Items, Unreadable
from pipeline.config.document import Scalar as Text
from pipeline.config.expressions import PATH, expression
from pipeline.config.faults import joined
from pipeline.config.fields import Key, Place, Reader, Section, section, text

_EXPRESSION: Final = "a path, or an expression"
_IDS: Final = ("place", "content")
_MARKER_TYPE: Final = "deployment."


def _as_it_is(place: Place) -> Place | None:
    return place


NAME: Final = Key(
    "name",
    text(64, pattern=r"[A-Za-z0-9_.-]+", form="a name of letters, digits, _ . and -"),
    "its place",
    "What faults and ids call it; needed only to put mappings in another order later.",
)
WHERE: Final = Key(
    "where",
    Reader("a mapping of paths to values or conditions", _as_it_is),
    "any message",
    "Which messages are wanted: all of it must hold. The others are ignored, and counted.",
)
EACH: Final = Key(
    "each",
    PATH,
    "the message itself",
    "A list in the message (or `$message`, where that is one): every element is an event, and "
    "paths begin at it.",
)
_SAYS: Final = {
    "id": "What makes it one event: `place` (topic, partition and offset), `content` (a digest "
    "of the message; equal messages count once), or what stands in the message.",
    "time": "When it happened.",
    "type": "The event type; `{constant: order.submitted}` for a fixed one.",
    "service": "The service that it is about.",
    "environment": "The environment.",
    "version": "The version of the service.",
    "track": "`canary` or `baseline`.",
    "outcome": "`ok` or an error word.",
    "value": "A number in the unit of the metric.",
    "subject": "The unit of independence: a customer, an invoice.",
    "ref": "The id of the event that this one answers, made as that id is.",
    "synthetic": "Whether it is a probe.",
    "deployment": "Of a marker: the deployment.",
    "replaces": "Of a marker: the version that is replaced.",
    "strategy": "Of a marker: the strategy.",
    "share": "Of a marker: the share of the traffic, 0 to 1.",
    "owner": "Of a marker: who owns the release.",
    "runbook": "Of a marker: the address of the runbook.",
}
_DEFAULTS: Final = {"id": "place", "environment": "production", "outcome": "ok"}
FIELD_KEYS: Final[tuple[Key[Place], ...]] = tuple(
    Key(
        name,
        Reader("`place`, `content`, " + _EXPRESSION if name == "id" else _EXPRESSION, _as_it_is),
        _DEFAULTS.get(name, "" if name in REQUIRED else "none"),
        _SAYS[name],
    )
    for name in FIELDS
)
ATTRIBUTES_KEY: Final = Key(
    "attributes",
    Reader(f"a mapping of at most {ATTRIBUTES} names, each to {_EXPRESSION}", _as_it_is),
    "none",
    "The attributes of the event.",
)
COHORT: Final = Key(
    "cohort",
    Reader("a mapping of attributes to paths", _as_it_is),
    "none",
    "Of a marker: who gets it; a path leads to one text or a list of them.",
)
MAPPING_KEYS: Final[tuple[Key[Any], ...]] = (
    NAME, WHERE, EACH, *FIELD_KEYS, ATTRIBUTES_KEY, COHORT,
)  # fmt: skip


def mapped(place: Place, *, every: bool, name: str, limits: Limits) -> Mapped | None:
    """All mappings of a source: one, or a list of them."""
    if isinstance(place.node, Unreadable):
        return None
    places = place.elements()
    if not 0 < len(places) <= MAPPINGS:
        place.fault(f"has {len(places)} mappings: a source has 1 to {MAPPINGS}")
    listed = isinstance(place.node, Items)
    found = [
        made
        for index, here in enumerate(places)
        if (made := _mapping(here, f"map[{index}]" if listed else "map", name, limits)) is not None
    ]
    if len(found) < len(places) or not 0 < len(places) <= MAPPINGS:
        return None
    names = [made.name for made in found]
    if len(set(names)) < len(names):
        place.fault("gives two mappings the same name: ids are made of it")
        return None
    return Mapped(tuple(found), every)


def _mapping(place: Place, name: str, source: str, limits: Limits) -> EventMapping | None:
    here = section(place, MAPPING_KEYS)
    if here is None:
        return None
    before = place.faults.reports
    id_from, fields = _fields(here)
    made = EventMapping(
        name=NAME.of(here) or name,
        fields=fields,
        attributes=_named(ATTRIBUTES_KEY, here),
        cohort=_cohort(here),
        where=() if (where := WHERE.of(here)) is None else conditions(where),
        each=EACH.of(here),
        id_from=id_from,
    )
    if place.faults.reports > before:
        return None
    # Only now, and only where there is a mapping: reading messages needs what is slow to import.
    from collector.mapping.forms import mapped_form  # noqa: PLC0415

    try:
        mapped_form(Mapped((made,)), name=source, limits=limits)
    except MappingError as error:
        place.fault(f"cannot work: {error}")
        return None
    return made


def _fields(here: Section) -> tuple[Any, tuple[tuple[str, Expression], ...]]:
    id_from: Any = "place"
    found: list[tuple[str, Expression]] = []
    for key in FIELD_KEYS:
        name, place = key.name, key.of(here)
        if place is None:
            if name in REQUIRED and not isinstance(getattr(here.at(key), "node", None), Unreadable):
                here.fault(key, "is missing: every event has time, type and service")
            continue
        if name == "id":
            if isinstance(place.node, Text) and place.node.text in _IDS:
                id_from = place.node.text
                continue
            id_from = "field"
        if name == "type" and _is_a_type(place):
            continue
        made = expression(place, FIELDS[name], name)
        if made is not None:
            found.append((name, made))
    only_events = {name for name, _ in found} <= set(EVENT_FIELDS)
    if not only_events and _is_no_marker(found):
        for key in FIELD_KEYS:
            if key.name in MARKER_FIELDS and here.has(key):
                here.fault(key, "belongs to markers, whose type begins with deployment.")
    return id_from, tuple(found)


def _is_a_type(place: Place) -> bool:
    """Whether an event type stands where a path is meant; reported, as it is an easy slip."""
    known = {event_type for metric in catalogue() for event_type in metric.types}
    node = place.node
    if not isinstance(node, Text):
        return False
    if node.text in known or node.text.startswith(_MARKER_TYPE):
        place.fault(
            f"is read as a path: write {{constant: {node.text}}} for the type itself, "
            f"or {{from: {node.text}}} for the path"
        )
        return True
    return False


def _is_no_marker(fields: list[tuple[str, Expression]]) -> bool:
    """Whether the type is fixed, and none of a marker."""
    given = dict(fields).get("type")
    value = getattr(given.source, "value", None) if given is not None else None
    return isinstance(value, str) and not value.startswith(_MARKER_TYPE)


def _named(key: Key[Place], here: Section) -> tuple[tuple[str, Expression], ...]:
    place = key.of(here)
    if place is None:
        return ()
    if not isinstance(place.node, Fields):
        place.fault(f"must be {key.reader.form}, not {place.found()}")
        return ()
    if len(place.node.entries) > ATTRIBUTES:
        place.fault(f"has {len(place.node.entries)} entries: an event has at most {ATTRIBUTES}")
    found = []
    for name, node in place.node.entries.items():
        inner = Place(node, joined(place.path, name), place.faults)
        made = None if inner.empty() else expression(inner, Kind.TEXT)
        if made is not None:
            found.append((name, made))
    return tuple(found)


def _cohort(here: Section) -> tuple[tuple[str, Path], ...]:
    place = COHORT.of(here)
    if place is None:
        return ()
    if not isinstance(place.node, Fields):
        place.fault(f"must be {COHORT.reader.form}, not {place.found()}")
        return ()
    found = []
    for name, node in place.node.entries.items():
        where = PATH.read(Place(node, joined(place.path, name), place.faults))
        if where is not None:
            found.append((name, where))
    return tuple(found)
