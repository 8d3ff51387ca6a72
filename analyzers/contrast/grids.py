"""Values of many strata laid out as columns: what is done to each value is one dense operation.

A column holds the values of both arms of one stratum, the first arm's on top, and below each arm's
places that count for nothing. Sums and products run down the columns in the order of values, so
what a stratum gives does not depend on how long others are, nor on how many there are. Values come
from buckets, with counts: a whole count is that many places, up to ``_REPEATED`` of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from analyzers.facts import Bools, Floats, Ints

# So many values of an arm have their places in the one column that each stratum has; longer strata
# have the rest in parts, in columns of their own, lest they make all others long.
_HEAD: Final = 32
# Places of an arm in a part. Both arms' factors are multiplied before a logarithm is taken: none is
# below 0.1 or, at the bets of ``amounts.py``, above 121, so twice as many stay within a float's
# range.
_PART: Final = 64
_REPEATED: Final = 8
_Numbers = TypeVar("_Numbers", Floats, Ints)


@dataclass(slots=True)
class Grid:
    """Some values of some strata, (W, K): both arms, one above the other."""

    values: Floats
    counts: Floats | None
    """(W, K) how often each value is there, 0 where none is; None where all are there once."""
    first: int
    """How many rows are the first arm's."""
    once: bool
    """Whether all counts are 0 or 1."""
    of: Ints | None
    """The stratum of each column (K,), ascending; None where each of them has its column."""

    def spread(self, column: Floats) -> Floats:
        """What each stratum has (..., k), for each column."""
        return column if self.of is None else column.take(self.of, axis=-1)

    def counted(self, column: Floats) -> Floats:
        """The given values (W, K), each times its count, in place."""
        if self.counts is not None:
            column *= self.counts
        return column

    def add_to(self, total: Floats, columns: Floats) -> None:
        """Adds what each column gives (..., K) to its stratum's total (..., k)."""
        if self.of is None:
            total += columns
        else:
            starts = np.flatnonzero(np.diff(self.of, prepend=-1))
            total[..., self.of[starts]] += np.add.reduceat(columns, starts, axis=-1)

    def logs(self, off: Floats, bets: Floats) -> Floats:
        """Logs (L, K) of the products of 1 + bet * off over each column, for bets (L, K). A
        logarithm costs ten times as much as a product: one is taken of many factors at once."""
        found, factors = np.empty(bets.shape), np.empty_like(off)
        for place, bet in enumerate(bets):
            # Bets that are as large as they may be are often the same as the one before.
            if place and (bet == bets[place - 1]).all():
                found[place] = found[place - 1]
                continue
            np.multiply(off, bet, out=factors)
            np.add(factors, 1.0, out=factors)
            if self.once:
                np.multiply.reduce(factors, axis=0, out=found[place])
            else:
                found[place] = down(self.counted(np.log(factors, out=factors)))
        return np.log(found, out=found) if self.once else found


def down(rows: Floats) -> Floats:
    """Sums of columns (W, K), from the top to the bottom, (K,)."""
    if rows.shape[1] == 1 and len(rows):  # numpy sums a single column pairwise
        return np.asarray(np.add.accumulate(rows)[-1])
    return np.asarray(np.add.reduce(rows, axis=0))


def laid(values: Floats, counts: Floats, edges: Ints) -> tuple[Floats, list[Grid]]:
    """How many values both arms of each stratum have, (2, k), and all of them in a few grids.
    Buckets' values (m,) and counts (m, 2); those of a stratum from its edge (k + 1,) to the
    next."""
    few = np.rint(counts) == counts
    if counts.max(initial=0.0) > _REPEATED:
        few &= counts <= _REPEATED
    more = [] if few.all() else _weighted(values, counts, ~few, edges)
    times = np.array((np.where(few, counts, 0.0) if more else counts).T, np.intp, order="C")
    lengths = summed(times, edges)
    units = summed(counts.T, edges) if more else lengths.astype(np.float64)
    arms = [
        _Arm(np.repeat(values, each), None, np.cumsum(length) - length, length)
        for each, length in zip(times, lengths, strict=True)
    ]
    return units, [_heads(arms), *_parts(arms, _HEAD), *_parts(more, 0)]


def summed(columns: _Numbers, edges: Ints) -> _Numbers:
    """Sums of columns (..., m) from each edge (k + 1,) to the next, (..., k)."""
    some = np.flatnonzero(edges[1:] > edges[:-1])
    if len(some) == len(edges) - 1:
        return np.add.reduceat(columns, edges[:-1], axis=-1)
    sums = np.zeros((*columns.shape[:-1], len(edges) - 1), columns.dtype)
    if len(some):
        sums[..., some] = np.add.reduceat(columns, edges[some], axis=-1)
    return sums


@dataclass(slots=True)
class _Arm:
    """Values of one arm in their order, each with a count or each there once."""

    values: Floats
    counts: Floats | None
    starts: Ints
    """(k,) where each stratum's begin."""
    lengths: Ints
    """(k,) how many they are."""


def _weighted(values: Floats, counts: Floats, which: Bools, edges: Ints) -> list[_Arm]:
    """Both arms' values whose counts are chosen, (m, 2), with their counts."""
    places, arms = np.flatnonzero(which), []
    for arm in (0, 1):
        there = places[places % 2 == arm] // 2
        at = np.searchsorted(there, edges)
        arms.append(_Arm(values[there], counts[there, arm], at[:-1], at[1:] - at[:-1]))
    return arms


def _heads(arms: list[_Arm]) -> Grid:
    """The first values of all strata."""
    return _grid([
        _Arm(arm.values, None, arm.starts, np.minimum(arm.lengths, _HEAD)) for arm in arms
    ], None)  # fmt: skip


def _parts(arms: list[_Arm], begin: int) -> list[Grid]:
    """What strata have from some place on, if anything, in parts."""
    if not arms:
        return []
    longest = np.maximum(arms[0].lengths, arms[1].lengths)
    if longest.max(initial=0) <= begin:
        return []
    parts = -((begin - longest) // _PART)
    parts = np.maximum(parts, 0)
    of = np.repeat(np.arange(len(parts)), parts)
    rank = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = begin + rank * _PART
    return [_grid([
        _Arm(
            arm.values, arm.counts, arm.starts[of] + begins,
            np.clip(arm.lengths[of] - begins, 0, _PART),
        )
        for arm in arms
    ], of)]  # fmt: skip


def _grid(arms: list[_Arm], of: Ints | None) -> Grid:
    """Columns with the values of both arms, of the given strata."""
    widths = [int(arm.lengths.max(initial=0)) for arm in arms]
    shape = (sum(widths), len(arms[0].lengths))
    full = all(
        arm.counts is None and bool((arm.lengths == width).all())
        for arm, width in zip(arms, widths, strict=True)
    )
    values, counts = np.empty(shape), None if full else np.empty(shape)
    sides = (slice(widths[0]), slice(widths[0], None))
    for arm, side, width in zip(arms, sides, widths, strict=True):
        rank = np.arange(width)[:, None]
        place = rank + arm.starts
        arm.values.take(place, mode="clip", out=values[side])
        if counts is not None:
            np.less(rank, arm.lengths, out=counts[side], casting="unsafe")
            if arm.counts is not None:
                counts[side] *= arm.counts.take(place, mode="clip")
    return Grid(values, counts, widths[0], arms[0].counts is None, of)
