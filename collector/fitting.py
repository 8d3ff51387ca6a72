"""Which payloads of a batch have which shape, and where the holes of the shape are in them.

Shapes are learnt as they come and kept from batch to batch. What a shape has had in a hole
everywhere, such as the name of a service, is soon taken for a part of it: one longer comparison
then does for two comparisons and a look into the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.facts import Bools, Ints
from collector.attributes import ATTRIBUTES, NAME_BYTES
from collector.shapes import Shape, fixed, learn
from collector.spans import Block

# Below so many payloads the fixed cost of array arithmetic, some 0.1 ms for a shape, is more than
# it saves.
ROWS_OF_SHAPE_MIN: Final = 48
# Every shape is tried on what no other one has taken. A producer that leaves out each of six
# fields at will has 64.
SHAPES_MAX: Final = 64
_LEARNT_AT_ONCE: Final = 16
# What stands in a hole of so many payloads may be taken for a part of the shape.
ROWS_TO_FIX_MIN: Final = 512
# If more than this share of a shape's payloads says something else, less is fixed.
_ODD_SHARE_MAX: Final = 1 / 8


@dataclass(slots=True)
class Known:
    """A shape as it was learnt, ``words`` that its holes have had everywhere, by their place, and
    the shape with those fixed."""

    shape: Shape
    words: dict[int, bytes] | None = None
    narrow: Shape | None = None

    def observe(self, words: dict[int, bytes]) -> None:
        """Fixes only what holds still, now that payloads have come that have just ``words``."""
        self.words = (
            words
            if self.words is None
            else {place: word for place, word in self.words.items() if words.get(place) == word}
        )
        self.narrow = fixed(self.shape, self.words) if self.words else None


@dataclass(frozen=True, slots=True)
class Fit:
    """Payloads ``rows`` that fit ``shape``, with begin and length of each hole in each of them.

    ``telling``: what stands in all of them is worth to be observed by ``known``.
    """

    known: Known
    shape: Shape
    rows: Ints
    begins: list[Ints]
    lengths: list[Ints]
    telling: bool = False


def fitting(block: Block, shapes: list[Known]) -> list[Fit]:
    """The payloads that fit a shape; new shapes are learnt, those in use come to the front."""
    found: list[Fit] = []
    counts = np.where(block.clean, block.counts, -1)  # of those that no shape has taken yet
    for known in list(shapes):
        taken = _take(block, known, counts)
        if taken:
            found += taken
            shapes.remove(known)
            shapes.insert(0, known)
    for _ in range(_LEARNT_AT_ONCE):
        row = _frequent(counts)
        if row is None:
            break
        shape = learn(block.data[block.starts[row] : block.ends[row]])
        if shape is not None and _usable(shape):
            known = Known(shape)
            taken = _take(block, known, counts)
            if taken:
                found += taken
                shapes.insert(0, known)
        counts[row] = -1
    del shapes[SHAPES_MAX:]
    return found


def _take(block: Block, known: Known, counts: Ints) -> list[Fit]:
    """Takes the payloads that fit a known shape, the fixed one first; their counts become -1."""
    narrow = None if known.narrow is None else _fit(block, known, known.narrow, counts)
    wide = _fit(block, known, known.shape, counts)
    if wide is not None and known.words != {}:
        rows = len(wide.rows) + (0 if narrow is None else len(narrow.rows))
        telling = len(wide.rows) >= max(ROWS_TO_FIX_MIN, rows * _ODD_SHARE_MAX)
        wide = replace(wide, telling=telling)
    return [fit for fit in (narrow, wide) if fit is not None]


def _fit(block: Block, known: Known, shape: Shape, counts: Ints) -> Fit | None:
    rows = np.flatnonzero(counts == shape.quotes)
    if len(rows) < ROWS_OF_SHAPE_MIN:
        return None
    fits, begins, lengths = _match(block, shape, rows)
    if not fits.all():
        rows = rows[fits]
        if len(rows) < ROWS_OF_SHAPE_MIN:
            return None
        begins = [one[fits] for one in begins]
        lengths = [one[fits] for one in lengths]
    counts[rows] = -1
    return Fit(known, shape, rows, begins, lengths)


def _match(block: Block, shape: Shape, rows: Ints) -> tuple[Bools, list[Ints], list[Ints]]:
    """Which of the payloads have the bytes of the shape between its holes; then the holes."""
    first = block.first[rows]
    starts, ends = block.starts[rows], block.ends[rows]
    fits = np.ones(len(rows), np.bool_)
    begins: list[Ints] = []
    lengths: list[Ints] = []
    end = starts  # of what was looked at so far
    for place, between in enumerate(shape.between):
        size = len(between.said)
        begin = ends - size
        if between.quote >= 0:
            begin = block.quotes.take(first + between.quote)
        if between.before:
            begin -= between.before
        if place:
            begins.append(end)
            lengths.append(begin - end)
        else:
            fits &= begin == starts
        fits &= block.gathered(begin, size) == between.said
        end = begin + size
    fits &= end == ends
    return fits, begins, lengths


def _frequent(counts: Ints) -> int | None:
    """A payload with the number of marks that most of the open ones have."""
    open_rows = np.flatnonzero(counts >= 0)
    if len(open_rows) < ROWS_OF_SHAPE_MIN:
        return None
    most = int(np.bincount(counts[open_rows]).argmax())
    return int(open_rows[np.flatnonzero(counts[open_rows] == most)[0]])


def _usable(shape: Shape) -> bool:
    names = shape.attributes
    return len(names) <= ATTRIBUTES and all(0 < len(name) <= NAME_BYTES for name in names)
