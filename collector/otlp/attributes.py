"""What the attributes of a record say: which of them are fields of an event, and the rest as texts.

Whether what a field says is valid is not asked here, but for bare names: those only count where
their value fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from collector.decoding import texts
from collector.decoding.attributes import ATTRIBUTES, NAME_BYTES
from collector.otlp.records import Value
from collector.otlp.rules import Naming

_SURE_CHARACTERS: Final = texts.TEXT_BYTES // 4
_TRACKS: Final = frozenset({"canary", "baseline"})
# The words in which other conventions say that all is well (ECS: event.outcome).
_WELL: Final = frozenset({"ok", "success"})


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The attributes of one record, told apart: fields of the event, and the rest of them."""

    fields: dict[str, Value]
    attributes: dict[str, str]
    left_out: int


def reading(attributes: Mapping[str, Value], names: Naming, common: Mapping[str, str]) -> Reading:
    """The attributes as fields and as texts within the limits: the first 32 by name."""
    fields: dict[str, Value] = {}
    kept: dict[str, str] = dict(common)
    maybe: list[tuple[str, str]] = []
    left_out = 0
    for name, value in attributes.items():
        chosen = names.get(name)
        if chosen is None:
            said = value if type(value) is str else text(value)
            if fits(name, said):
                kept[name] = said
            else:
                left_out += 1
        elif not chosen.field:
            continue  # a field says it already
        elif chosen.strict:
            fields[chosen.field] = value
        else:
            maybe.append((name, chosen.field))
    for name, wanted in maybe:
        value = attributes[name]
        if wanted not in fields and _bare_fits(wanted, value):
            fields[wanted] = value
        elif fits(name, said := text(value)):
            kept[name] = said
        else:
            left_out += 1
    if len(kept) > ATTRIBUTES:
        left_out += len(kept) - ATTRIBUTES
        kept = {name: kept[name] for name in sorted(kept)[:ATTRIBUTES]}
    return Reading(fields, kept, left_out)


def _bare_fits(chosen: str, value: Value) -> bool:
    match chosen:
        case "track":
            return value in _TRACKS if isinstance(value, str) else False
        case "synthetic":
            return flag(value) is not None
        case "value":
            return number(value) is not None
    return bool(text(value))


def fits(name: str, said: str) -> bool:
    """Whether an attribute is within the limits of an event's; an empty one says nothing."""
    if not said or not _name_fits(name):
        return False
    if len(said) <= _SURE_CHARACTERS and said.isprintable():
        return True
    return texts.fault_of(name, said) is None


@lru_cache(maxsize=4096)
def _name_fits(name: str) -> bool:
    return bool(name) and texts.fault_of("attributes", name, most=NAME_BYTES) is None


def text(value: Value) -> str:
    """A scalar as text, the empty text for what is none.

    >>> text(True), text(850.0), text([1])
    ('true', '850', '')
    """
    if type(value) is str:
        return value
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case float():
            return repr(value)
    return ""


def flag(value: Value) -> bool | None:
    """A truth value, also as text; None for what is none."""
    match value:
        case bool():
            return value
        case "true":
            return True
        case "false":
            return False
    return None


def number(value: Value) -> float | None:
    """A number, also as plain decimal text; None for what is none. It may not be finite."""
    if isinstance(value, str):
        if len(value) > 40 or "_" in value or not value.isascii():
            return None
        try:
            return float(value)
        except ValueError:  # an ordinary text
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def outcome(fields: Mapping[str, Value], attributes: Mapping[str, Value], *, failed: bool) -> str:
    """The outcome of a record: what it says, else its ``error.type``, else what ``failed`` says.

    Empty means ok; so do ``ok`` and ``success``, in capitals too.
    """
    said = text(fields.get("outcome"))
    if said:
        return "" if said.lower() in _WELL else said
    return text(attributes.get("error.type")) or ("error" if failed else "")
