"""Which payloads of a batch have which shape, and where the holes of the shape are in them.

Shapes are learnt as they come and kept from batch to batch. What a shape has had in a hole
everywhere, such as the name of a service, is soon taken for a part of it: one longer comparison
then does for two comparisons and a look into the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from analyzers.facts import Bools, Ints
from collector.decoding import numbers
from collector.decoding.attributes import ATTRIBUTES, NAME_BYTES
from collector.decoding.shapes import Hole, Shape, fixed, learn
from collector.decoding.spans import WORD_BYTES, Block, Texts

# Below so many payloads the fixed cost of array arithmetic for a shape is more than it saves.
ROWS_OF_SHAPE_MIN: Final = 192
# Every shape is tried on what no other one has taken. A producer that leaves out each of six
# fields at will has 64.
SHAPES_MAX: Final = 64
_LEARNT_AT_ONCE: Final = 16
_STRIDE: Final = 7919  # a prime, so that attempts meet payloads from all over the batch
# What stands in a hole of so many payloads may be taken for a part of the shape.
ROWS_TO_FIX_MIN: Final = 512
# If more than this share of a shape's payloads says something else, less is fixed.
_ODD_SHARE_MAX: Final = 1 / 8
# If more than this share of the texts in a hole is longer, all are read twice as far.
_LONG_SHARE_MAX: Final = 1 / 64


@dataclass(slots=True)
class Known:
    """A shape as it was learnt, ``words`` that its holes have had everywhere, by their place, and
    the shape with those fixed. ``widths`` is how far the end of a hole is looked for."""

    shape: Shape
    words: dict[int, bytes] | None = None
    narrow: Shape | None = None
    widths: dict[int, int] = field(default_factory=dict)

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
    """Payloads ``rows`` that fit ``shape``, with what stands in each hole of all of them.

    ``telling``: what stands in all of them is worth to be observed by ``known``.
    """

    known: Known
    shape: Shape
    rows: Ints
    texts: list[Texts]
    telling: bool = False


def fitting(block: Block, shapes: list[Known]) -> list[Fit]:
    """The payloads that fit a shape; new shapes are learnt, those in use come to the front."""
    found: list[Fit] = []
    free = block.clean.copy()  # not taken by any shape yet
    # Those first whose payloads end alike in many bytes: it is what leaves others out soonest.
    for known in sorted(shapes, key=lambda known: -len(known.shape.between[-1])):
        taken = _take(block, known, free)
        if taken:
            found += taken
            shapes.remove(known)
            shapes.insert(0, known)
    for attempt in range(_LEARNT_AT_ONCE):
        rows = np.flatnonzero(free)
        if len(rows) < ROWS_OF_SHAPE_MIN:
            break
        row = rows[attempt * _STRIDE % len(rows)]  # anywhere: frequent ones are met soon
        shape = learn(block.data[block.starts[row] : block.ends[row]])
        if shape is not None and _usable(shape):
            known = Known(shape)
            taken = _take(block, known, free)
            if taken:
                found += taken
                shapes.insert(0, known)
        free[row] = False
    del shapes[SHAPES_MAX:]
    return found


def _take(block: Block, known: Known, free: Bools) -> list[Fit]:
    """Takes the payloads that fit a known shape, those first that fit it with words fixed."""
    narrow = None if known.narrow is None else _fit(block, known, known.narrow, free)
    wide = _fit(block, known, known.shape, free)
    if wide is not None and known.words != {}:
        rows = len(wide.rows) + (0 if narrow is None else len(narrow.rows))
        telling = len(wide.rows) >= max(ROWS_TO_FIX_MIN, rows * _ODD_SHARE_MAX)
        wide = replace(wide, telling=telling)
    return [fit for fit in (narrow, wide) if fit is not None]


def _fit(block: Block, known: Known, shape: Shape, free: Bools) -> Fit | None:
    """The free payloads that have the bytes of the shape between holes; they are free no more."""
    rows = np.flatnonzero(free)
    if len(rows) < ROWS_OF_SHAPE_MIN:
        return None
    first, *between, last = shape.between
    fits = block.gathered(np.maximum(block.ends[rows] - len(last), 0), len(last)) == last
    fits &= block.gathered(block.starts[rows], len(first)) == first
    texts: list[Texts] = []
    rows = rows[fits]
    end = block.starts[rows] + len(first)  # of what was looked at so far
    for place, hole in enumerate(shape.holes):
        if len(rows) < ROWS_OF_SHAPE_MIN:
            return None
        found = _until(block, known, hole, end, shape.between[place + 1][0])
        fits = found.lengths >= 0
        texts.append(found)
        end = block.within(end + found.lengths)
        if between:
            after = between.pop(0)
            fits &= block.gathered(end, len(after)) == after
            end += len(after)
        else:
            fits &= end + len(last) == block.ends[rows]
        if not fits.all():
            rows, end = rows[fits], end[fits]
            texts = [one.take(fits) for one in texts]
    if len(rows) < ROWS_OF_SHAPE_MIN:
        return None
    free[rows] = False
    return Fit(known, shape, rows, texts)


def _until(block: Block, known: Known, hole: Hole, begins: Ints, mark: int) -> Texts:
    """What stands in a hole; where it is longer than nearly all of them, it is left alone."""
    if hole.kind == "number":
        return block.until(begins, mark, numbers.WIDTH // 8)
    width = known.widths.get(hole.place, 2)
    while True:
        found = block.until(begins, mark, width)
        odd = int(np.count_nonzero(found.lengths < 0))
        if width * 8 >= WORD_BYTES or odd <= len(begins) * _LONG_SHARE_MAX:
            return found
        width = known.widths[hole.place] = width * 2


def _usable(shape: Shape) -> bool:
    names = shape.attributes
    return len(names) <= ATTRIBUTES and all(0 < len(name) <= NAME_BYTES for name in names)
