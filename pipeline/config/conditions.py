"""Which messages a mapping wants, as a configuration writes it: ``where``."""

from __future__ import annotations

from typing import Any, Final, Literal

from collector.mapping.terms import CONDITIONS, Condition, MappingError, Path, path
from pipeline.config.document import Fields, Unreadable
from pipeline.config.faults import joined
from pipeline.config.fields import Key, Place, Reader, flag, section, several, text


def _as_it_is(place: Place) -> Place | None:
    return place


IS: Final = Key("in", Reader("a value or a list of them", _as_it_is), "", "It is one of these.")
NOT: Final = Key(
    "not", Reader("a value or a list of them", _as_it_is), "", "It is none of these, or absent."
)
EXISTS: Final = Key("exists", flag(), "", "Whether anything stands there.")
PREFIX: Final = Key("prefix", Reader("a text or a list of them", _as_it_is), "", "It begins so.")
CONDITION_KEYS: Final[tuple[Key[Any], ...]] = (IS, NOT, EXISTS, PREFIX)


def conditions(place: Place) -> tuple[Condition, ...]:
    """What must hold of a message: paths with a value, a list of values, or one test each."""
    if not isinstance(place.node, Fields):
        if not isinstance(place.node, Unreadable):
            place.fault(f"must be a mapping of paths to values, not {place.found()}")
        return ()
    found: list[Condition] = []
    for name, node in place.node.entries.items():
        here = Place(node, joined(place.path, name), place.faults)
        try:
            where = path(name)
        except MappingError as error:
            here.fault(f"is no path: {error}")
            continue
        found.extend(_tests(where, here))
    if len(found) > CONDITIONS:
        place.fault(f"has {len(found)} conditions: at most {CONDITIONS} are looked at")
    return tuple(found)


def _tests(where: Path, place: Place) -> list[Condition]:
    if not isinstance(place.node, Fields):
        words = _words(place)
        return [Condition(where, "in", words)] if words else []
    before = place.faults.reports
    here = section(place, CONDITION_KEYS)
    found: list[Condition] = []
    if here is None:
        return found
    tests: tuple[tuple[Key[Place], Literal["in", "not_in", "prefix"]], ...] = (
        (IS, "in"), (NOT, "not_in"), (PREFIX, "prefix"),
    )  # fmt: skip
    for key, test in tests:
        at = key.of(here)
        words = () if at is None else _words(at)
        if words:
            found.append(Condition(where, test, words))
    exists = EXISTS.of(here)
    if exists is not None:
        found.append(Condition(where, "exists" if exists else "absent"))
    if not found and place.faults.reports == before:
        place.fault("must be a value, a list of them, or one of `in`, `not`, `exists`, `prefix`")
    return found


_WORDS: Final = several(text(1_000), most=1_000, form="a value or a list of them")


def _words(place: Place) -> tuple[str, ...]:
    found = _WORDS.read(place)
    if found == ():
        place.fault("must name a value; for what is absent write {exists: false}")
    return found or ()
