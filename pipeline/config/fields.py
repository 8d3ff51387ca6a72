"""Typed reading of a configuration tree: what a place may hold, in code and in words.

A ``Reader`` turns one place into a value, or reports a fault with path, value and remedy and
gives back None; its ``form`` is the same demand in words, which fault messages and the generated
documentation share. A ``Key`` is one named place of a mapping. Nothing here knows what any
particular key means.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pipeline.config.document import Fields, Items, Node, Scalar, Unreadable
from pipeline.config.faults import Faults, guess, joined, shown

T = TypeVar("T")

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Place:
    """One node with the path that leads to it."""

    node: Node
    path: str
    faults: Faults

    def fault(self, message: str) -> None:
        """Reports what is wrong here."""
        self.faults.add(self.path, message, line=self.node.line)

    def found(self) -> str:
        """What stands here, as it was written, so that no value from the environment leaks."""
        match self.node:
            case Scalar(text, written) if text != written:
                return f"{shown(written)} as set in the environment"
            case Scalar(text):
                return shown(text) if text else "nothing"
            case Items():
                return "a list"
            case Fields():
                return "a mapping"
            case Unreadable():
                return "something unreadable"

    def empty(self) -> bool:
        """Whether nothing, ``~`` or ``null`` stands here: the default is meant."""
        return isinstance(self.node, Scalar) and self.node.empty

    def blank(self) -> bool:
        """Whether an empty text in quotes stands here, which may be meant as a value."""
        return self.empty() and isinstance(self.node, Scalar) and self.node.quoted

    def hint(self, word: str, known: Iterable[str]) -> str:
        """The known word that a word is near to; none where nobody would be shown it."""
        return "" if self.faults.full else guess(word, known)

    def elements(self) -> tuple[Place, ...]:
        """The places of a list; a single value is a list of one, an empty one of none."""
        if isinstance(self.node, Items):
            return tuple(
                Place(node, f"{self.path}[{index}]", self.faults)
                for index, node in enumerate(self.node.items)
            )
        return () if self.empty() else (self,)


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """``read`` gives the value of a place, or None after reporting why it cannot."""

    form: str
    read: Callable[[Place], T | None]


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping whose keys are known."""

    place: Place
    entries: Mapping[str, Node]

    def has(self, key: Key[Any]) -> bool:
        """Whether anything but nothing is written there."""
        found = self.at(key)
        return found is not None and not found.empty()

    def at(self, key: Key[Any]) -> Place | None:
        """The place of a key, None where it is not written."""
        for name in (key.name, *key.also):
            if name in self.entries:
                path = joined(self.place.path, name)
                return Place(self.entries[name], path, self.place.faults)
        return None

    def fault(self, key: Key[Any], message: str) -> None:
        """Reports a fault of a key, whether it is written or not."""
        here = Place(self.place.node, joined(self.place.path, key.name), self.place.faults)
        (self.at(key) or here).fault(message)


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key of a mapping: what it may hold, what holds without it, and what it is for."""

    name: str
    reader: Reader[T]
    default: str
    says: str
    also: tuple[str, ...] = ()

    def of(self, section: Section) -> T | None:
        """The value, None where it is absent, empty or faulty."""
        place = section.at(self)
        if place is None or place.empty() or isinstance(place.node, Unreadable):
            return None
        return self.reader.read(place)


def section(place: Place, keys: Iterable[Key[Any]]) -> Section | None:
    """The mapping at a place, its unknown keys reported; None if there is no mapping."""
    if place.empty():
        return Section(place, {})
    if not isinstance(place.node, Fields):
        if not isinstance(place.node, Unreadable):
            place.fault(f"must be a mapping (`key: value`), not {place.found()}")
        return None
    known = {spelling: key.name for key in keys for spelling in (key.name, *key.also)}
    given: dict[str, str] = {}
    for name, node in place.node.entries.items():
        here = Place(node, joined(place.path, name), place.faults)
        if name not in known:
            if place.faults.full:
                here.fault("")  # only counted
                continue
            hint = guess(name, known) or f"; known are {', '.join(dict.fromkeys(known.values()))}"
            here.fault(f"is no known key{hint}")
        elif (other := given.setdefault(known[name], name)) != name:
            here.fault(f"says the same as {other}: keep one of the two")
    return Section(place, place.node.entries)


def named_sections(
    place: Place, keys: Iterable[Key[Any]], *, most: int
) -> tuple[tuple[str, Section], ...]:
    """Mappings by name: written as a mapping of them, or as a list whose items have a ``name``.

    A list item that is a plain text is a name with nothing to say about it. One without a name, or
    with a name that was given before, is reported and has the empty name: what is in it can be
    judged all the same.
    """
    found: list[tuple[str, Section]] = []
    if isinstance(place.node, Fields):
        for name, node in place.node.entries.items():
            here = section(Place(node, joined(place.path, name), place.faults), keys)
            if here is not None and not name:
                here.place.fault("needs a name")
            if here is not None:
                _same_name(name, here)
                found.append((name, here))
    elif isinstance(place.node, Items):
        taken: set[str] = set()
        for item in place.elements():
            found.extend(_named_item(place, item, keys, taken))
    elif not place.empty() and not isinstance(place.node, Unreadable):
        place.fault(f"must be a mapping by name or a list, not {place.found()}")
    if len(found) > most:
        place.fault(f"has {len(found)} entries: at most {most} are kept apart")
    return tuple(found)


NAME_KEY: Final = "name"


def _same_name(name: str, here: Section) -> None:
    inner = here.entries.get(NAME_KEY)
    if inner is None or isinstance(inner, Unreadable):
        return
    if not isinstance(inner, Scalar) or inner.text != name:
        place = Place(inner, joined(here.place.path, NAME_KEY), here.place.faults)
        place.fault(
            f"is {place.found()}, but the key above says {shown(name)}: drop one of the two"
        )


def _named_item(
    place: Place, item: Place, keys: Iterable[Key[Any]], taken: set[str]
) -> tuple[tuple[str, Section], ...]:
    node = item.node
    inner = node.entries.get(NAME_KEY) if isinstance(node, Fields) else node
    if isinstance(node, Unreadable):
        return ()
    if not isinstance(inner, Scalar) or not inner.text or inner.empty:
        if not isinstance(inner, Unreadable):
            item.fault("needs a `name:`")
        return _nameless(item, keys)
    if inner.text in taken:
        item.fault(f"names {shown(inner.text)} a second time: keep one of the two")
        return _nameless(item, keys)
    taken.add(inner.text)
    path = joined(place.path, inner.text)
    if isinstance(node, Scalar):
        return ((inner.text, Section(Place(node, path, place.faults), {})),)
    here = section(Place(node, path, place.faults), keys)
    return () if here is None else ((inner.text, here),)


def _nameless(item: Place, keys: Iterable[Key[Any]]) -> tuple[tuple[str, Section], ...]:
    here = section(item, keys) if isinstance(item.node, Fields) else None
    return () if here is None else (("", here),)


def scalar(place: Place, form: str) -> str | None:
    """The text of a place that must hold a single value."""
    if isinstance(place.node, Scalar) and not place.node.empty:
        return place.node.text
    if not isinstance(place.node, Unreadable):
        place.fault(f"must be {form}, not {place.found()}")
    return None


def number(low: float, high: float, *, open_low: bool = False, form: str = "") -> Reader[float]:
    """Finite decimal numbers between two bounds, the lower one left out if it is open."""
    span = f"above {low:g} and at most {high:g}" if open_low else f"from {low:g} to {high:g}"
    beyond = f": write one {span}" if form else ""
    form = form or f"a number {span}"

    def read(place: Place) -> float | None:
        text = scalar(place, form)
        if text is None:
            return None
        value = float(text) if _NUMBER.fullmatch(text) and len(text) <= 40 else math.nan
        above = low < value if open_low else low <= value
        if above and value <= high:
            return value
        hint = _number_hint(text) or (beyond if value > 0 else "")
        place.fault(f"must be {form}, not {place.found()}{hint}")
        return None

    return Reader(form, read)


def _number_hint(text: str) -> str:
    if _NUMBER.fullmatch(text[:-1]) and text.endswith("%"):
        return f": write {float(text[:-1]) / 100:g}"
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        return f": write {text.replace(',', '.')}"
    return ""


def whole(low: int, high: int) -> Reader[int]:
    """Whole numbers between two bounds, both allowed."""
    form = f"a whole number from {low} to {high}"

    def read(place: Place) -> int | None:
        text = scalar(place, form)
        if text is None:
            return None
        if _WHOLE.fullmatch(text) and low <= int(text) <= high:
            return int(text)
        place.fault(f"must be {form}, not {place.found()}")
        return None

    return Reader(form, read)


def duration(low_s: int, high_s: int) -> Reader[int]:
    """Durations in whole seconds, written ``90s``, ``30m``, ``12h``, ``30d``, ``1h30m`` or 0."""
    form = f"a duration from {lasting(low_s)} to {lasting(high_s)}, such as 90s, 30m, 12h or 30d"

    def read(place: Place) -> int | None:
        text = scalar(place, form)
        if text is None:
            return None
        seconds = _seconds(text)
        if seconds is not None and low_s <= seconds <= high_s:
            return seconds
        unit = f": write {text}s, {text}m or {text}h" if _WHOLE.fullmatch(text) else ""
        place.fault(f"must be {form}, not {place.found()}{unit if seconds is None else ''}")
        return None

    return Reader(form, read)


def _seconds(text: str) -> int | None:
    if text == "0":
        return 0
    if len(text) > SHOWN_DURATION or not _DURATION.fullmatch(text):
        return None
    parts: list[tuple[str, str]] = re.findall(r"([0-9]+)([wdhms])", text)
    units = [unit for _, unit in parts]
    if units != sorted(set(units), key="wdhms".index):
        return None  # 30m1h or 1h1h: more likely a slip than meant
    return sum(int(count) * _SECONDS[unit] for count, unit in parts)


SHOWN_DURATION: Final = 40


def lasting(seconds: int) -> str:
    """A duration as it is written in a policy.

    >>> lasting(86_400), lasting(5_400), lasting(0)
    ('1d', '1h30m', '0')
    """
    parts = []
    for unit in "dhms":
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"


def flag() -> Reader[bool]:
    """True or false, and no other word for them."""
    return choice({"true": True, "false": False})


def choice(options: Mapping[str, T]) -> Reader[T]:
    """One of a few words."""
    form = "one of " + ", ".join(options) if len(options) > 2 else " or ".join(options)

    def read(place: Place) -> T | None:
        text = scalar(place, form)
        if text is None:
            return None
        if text in options:
            return options[text]
        place.fault(f"must be {form}, not {place.found()}{place.hint(text, options)}")
        return None

    return Reader(form, read)


def fits(value: str, longest: int, pattern: str = ".+", *, most_bytes: int | None = None) -> bool:
    """Whether a text is printable, not too long, without blanks at its ends, and of the pattern."""
    return (
        len(value) <= longest
        and (most_bytes is None or len(value.encode(errors="replace")) <= most_bytes)
        and value.isprintable()
        and value == value.strip()
        and re.fullmatch(pattern, value) is not None
    )


def text(
    longest: int, *, form: str = "", pattern: str = ".+", most_bytes: int | None = None
) -> Reader[str]:
    """A printable text of at most ``longest`` characters, matching a pattern as a whole.

    ``most_bytes``, where what it is compared with is limited in UTF-8.
    """
    form = form or f"a text of at most {longest} characters"

    def read(place: Place) -> str | None:
        value = scalar(place, form)
        if value is None or fits(value, longest, pattern, most_bytes=most_bytes):
            return value
        place.fault(f"must be {form}, not {place.found()}")
        return None

    return Reader(form, read)


def several(reader: Reader[T], *, most: int, form: str) -> Reader[tuple[T, ...]]:
    """One value or a list of them, None if any of them is faulty."""

    def read(place: Place) -> tuple[T, ...] | None:
        if isinstance(place.node, Fields):
            place.fault(f"must be {form}, not a mapping")
            return None
        places = place.elements()
        if len(places) > most:
            place.fault(f"has {len(places)} entries: at most {most} are allowed")
        values = [reader.read(here) for here in places]  # also of too many: each may be faulty
        whole_list = tuple(value for value in values if value is not None)
        return whole_list if len(whole_list) == len(places) <= most else None

    return Reader(form, read)
