"""Shapes: what the payloads of one producer have in common, learnt from one of them.

A producer writes the same object over and over; only its texts and numbers differ. A shape is
such a payload with holes where they stand. What lies between the holes is compared byte for byte,
so a payload that fits a shape says the same, field for field, as the one that it was learnt from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import msgspec

from collector.decoding.said import UNREADABLE, Said, read

Kind: TypeAlias = Literal["text", "number"]

WORDS: Final = ("type", "service", "environment", "version", "track", "outcome", "subject")
NAMES: Final = ("id", "ref")
_FIELDS: Final = frozenset(Said.__struct_fields__)
# What holds for a shape is looked up for every payload of a batch, so one of many holes costs more
# than reading its payloads one by one.
_HOLES_MAX: Final = 80
_DEPTH_MAX: Final = 16
# No more than so many bytes in a row are the same in every payload.
BETWEEN_BYTES: Final = 512
_TOKEN: Final = re.compile(
    rb'(?P<space> +)|(?P<text>"[^"]*+")|(?P<number>-?[0-9][0-9.eE+-]*+)'
    rb"|(?P<word>true|false|null)|(?P<mark>[][{}:,])"
)


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a text or a number stands: ``field`` is its name, or "" if nobody asks for it;
    ``attribute`` says that it is one of the attributes. ``place`` tells it from others."""

    kind: Kind
    field: str
    attribute: bool
    place: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A payload with holes: in ``between``, one more than ``holes``, is what stands before, between
    and after them. ``words`` are the holes that have been filled, with what stands in them."""

    between: tuple[bytes, ...]
    holes: tuple[Hole, ...]
    synthetic: bool
    words: tuple[tuple[Hole, bytes], ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of the attributes."""
        return tuple(hole.field for hole in self.holes if hole.attribute)


def learn(payload: bytes) -> Shape | None:
    """The shape of a payload of printable ASCII without a backslash.

    None if it is no ordinary event, or one whose fields depend on more than their bytes: then it
    has to be read by itself.
    """
    try:
        said = read(payload)
    except UNREADABLE:
        return None
    holes = _holes(payload)
    if holes is None or not _ordinary(holes, said):
        return None
    edges = [0, *(edge for hole in holes for edge in (hole.begin, hole.end)), len(payload)]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    between = tuple(payload[begin:end] for begin, end in pairs)
    if max(map(len, between)) > BETWEEN_BYTES:
        return None
    return Shape(between, tuple(hole.hole for hole in holes), said.synthetic is True)


def fixed(shape: Shape, words: Mapping[int, bytes]) -> Shape:
    """The shape with some of its texts fixed, by the place of their hole: fewer payloads fit it."""
    between = [shape.between[0]]
    holes: list[Hole] = []
    said: list[tuple[Hole, bytes]] = []
    for hole, after in zip(shape.holes, shape.between[1:], strict=True):
        whole = between[-1] + words.get(hole.place, b"") + after
        if hole.place in words and len(whole) <= BETWEEN_BYTES:
            between[-1] = whole
            said.append((hole, words[hole.place]))
        else:
            holes.append(hole)
            between.append(after)
    return replace(shape, between=tuple(between), holes=tuple(holes), words=tuple(said))


@dataclass(frozen=True, slots=True)
class _Found:
    hole: Hole
    begin: int
    end: int


def _holes(payload: bytes) -> list[_Found] | None:
    """The texts and numbers that are values, with their fields; None if a name stands twice."""
    found: list[_Found] = []
    named: set[tuple[bytes | None, ...]] = set()
    path: list[bytes | None] = []  # the names of the objects around; None for an array
    name, wants_name = b"", False
    for token in _TOKEN.finditer(payload):
        kind, said = token.lastgroup, token.group()
        if kind == "mark":
            if said in b"{[":
                path.append(None if said == b"[" else name)
                if len(path) > _DEPTH_MAX:
                    return None
            elif said in b"}]":
                path.pop()
            wants_name = said in b"{," and path[-1] is not None
        elif kind == "text" and wants_name:
            name, wants_name = said[1:-1], False
            where = (*path, name)
            if where in named:
                return None
            named.add(where)
        elif kind in {"text", "number"}:
            inside = 1 if kind == "text" else 0
            hole = _hole("text" if inside else "number", path, name, len(found))
            found.append(_Found(hole, token.start() + inside, token.end() - inside))
        if len(found) > _HOLES_MAX:
            return None
    return found


def _hole(kind: Kind, path: list[bytes | None], name: bytes, place: int) -> Hole:
    if len(path) == 1 and name.decode() in _FIELDS:
        return Hole(kind, name.decode(), attribute=False, place=place)
    if len(path) == 2 and path[1] == b"attributes":
        return Hole(kind, name.decode(), attribute=True, place=place)
    return Hole(kind, "", attribute=False, place=place)


def _ordinary(holes: list[_Found], said: Said) -> bool:
    """Whether all that the event says stands in holes of the right kind."""
    fields = {found.hole.field: found.hole.kind for found in holes if not found.hole.attribute}
    texts = {name for name in (*WORDS, *NAMES) if getattr(said, name) is not None}
    if isinstance(said.time, str):
        texts.add("time")
    return (
        all(fields.get(name) == "text" for name in texts)
        and fields.get("time") == ("text" if isinstance(said.time, str) else "number")
        and fields.get("value") == (None if said.value is None else "number")
        and _attributes(said) == [found.hole.field for found in holes if found.hole.attribute]
    )


def _attributes(said: Said) -> list[str] | None:
    try:
        return list(msgspec.json.decode(said.attributes, type=dict[str, str] | None) or ())
    except UNREADABLE:
        return None
