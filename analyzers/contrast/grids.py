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
_ALIKE: Final = 1e-12  # relative: as near to a multiple as rounding leaves it
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
    weights: Floats | None
    """(K,) what each value of a column is worth; None where all are worth one."""
    of: Ints | None
    """The stratum of each column (K,), ascending; None where each of them has its column."""
    starts: Ints | None
    """The first columns of the strata that have any."""

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
        if self.weights is not None:
            columns = columns * self.weights
        if self.of is None or self.starts is None:
            total += columns
        else:
            total[..., self.of[self.starts]] += np.add.reduceat(columns, self.starts, axis=-1)

    def logs(self, off: Floats, bets: Floats) -> Floats:
        """Logs (L, K) of the products of 1 + bet * off over each column, for bets (L, K). A
        logarithm costs ten times as much as a product: one is taken of many factors at once."""
        found, factors = np.empty(bets.shape), np.empty_like(off)
        for bet, at in zip(bets, found, strict=True):
            np.multiply(off, bet, out=factors)
            np.add(factors, 1.0, out=factors)
            if self.once:
                np.multiply.reduce(factors, axis=0, out=at)
            else:
                at[:] = down(self.counted(np.log(factors, out=factors)))
        return np.log(found, out=found) if self.once else found


def down(rows: Floats) -> Floats:
    """Sums of columns (W, K), from the top to the bottom, (K,)."""
    if len(rows) == 1:
        return np.asarray(rows[0])
    if rows.shape[1] == 1 and len(rows):  # numpy sums a single column pairwise
        return np.asarray(np.add.accumulate(rows)[-1])
    return np.asarray(np.add.reduce(rows, axis=0))


def laid(values: Floats, counts: Floats, edges: Ints) -> tuple[Floats, list[Grid]]:
    """How many values both arms of each stratum have, (2, k), and all of them in a few grids.
    Buckets' values (m,) and counts (m, 2); those of a stratum from its edge (k + 1,) to the
    next."""
    weights, alike = None, np.rint(counts) == counts
    times = counts
    if not alike.all():
        weights, times, alike = _alike(counts, alike, edges)
    some = alike & (times <= _REPEATED) if times.max(initial=0.0) > _REPEATED else alike
    every = bool(some.all())
    repeats = np.array((times if every else np.where(some, times, 0.0)).T, np.intp, order="C")
    lengths = summed(repeats, edges)
    arms = [
        _Arm(np.repeat(values, each), np.cumsum(length) - length, length)
        for each, length in zip(repeats, lengths, strict=True)
    ]
    grids = [_heads(arms, weights), *_parts(arms, weights)]
    if weights is None and every:
        return lengths.astype(np.float64), grids
    return summed(counts.T, edges), [*grids, *_single(values, counts, ~some, edges)]


def summed(columns: _Numbers, edges: Ints) -> _Numbers:
    """Sums of columns (..., m) from each edge (k + 1,) to the next, (..., k)."""
    some = np.flatnonzero(edges[1:] > edges[:-1])
    if len(some) == len(edges) - 1:
        return np.add.reduceat(columns, edges[:-1], axis=-1)
    sums = np.zeros((*columns.shape[:-1], len(edges) - 1), columns.dtype)
    if len(some):
        sums[..., some] = np.add.reduceat(columns, edges[some], axis=-1)
    return sums


def _alike(counts: Floats, whole: Bools, edges: Ints) -> tuple[Floats, Floats, Bools]:
    """What each value of a stratum is worth, (k,), counts as multiples of it, (m, 2), and which of
    them are whole. Lines of one invoice are worth fewer than they are, all by the same factor."""
    each = edges[1:] - edges[:-1]
    crowded, some = _any_not(whole, edges), each > 0
    least = np.where(counts > 0.0, counts, np.inf)
    least = np.minimum.reduceat(np.minimum(least[:, 0], least[:, 1]), edges[:-1][some])
    weights = np.ones(len(each))
    weights[crowded] = least[crowded[some]]
    times, whole = _multiples(counts, np.repeat(weights, each))
    odd = _any_not(whole, edges)
    if odd.any():
        weights[odd] = 1.0
        times, whole = _multiples(counts, np.repeat(weights, each))
    return weights, times, whole


def _any_not(whole: Bools, edges: Ints) -> Bools:
    """Which strata have any count that is not whole, (k,)."""
    each = whole[:, 0] & whole[:, 1]
    return summed((~each).astype(np.intp), edges) > 0


def _multiples(counts: Floats, weights: Floats) -> tuple[Floats, Bools]:
    """Counts (m, 2) as multiples of weights (m,), rounded, and which of them are."""
    times = counts / weights[:, None]
    nearest = np.rint(times)
    return nearest, np.abs(times - nearest) <= _ALIKE * times


@dataclass(slots=True)
class _Arm:
    """Values of one arm in their order."""

    values: Floats
    starts: Ints
    """(K,) where each column's begin."""
    lengths: Ints
    """(K,) how many they are."""


def _heads(arms: list[_Arm], weights: Floats | None) -> Grid:
    """The first values of all strata."""
    heads = [_Arm(arm.values, arm.starts, np.minimum(arm.lengths, _HEAD)) for arm in arms]
    return Grid(*_filled(heads), True, weights, None, None)


def _parts(arms: list[_Arm], weights: Floats | None) -> list[Grid]:
    """What strata have beyond those, if anything, in parts."""
    longest = np.maximum(arms[0].lengths, arms[1].lengths)
    if longest.max(initial=0) <= _HEAD:
        return []
    own = np.flatnonzero(longest > _HEAD)
    parts = -((_HEAD - longest[own]) // _PART)
    of, starts = np.repeat(own, parts), np.cumsum(parts) - parts
    begin = _HEAD + (np.arange(len(of)) - np.repeat(starts, parts)) * _PART
    tails = [
        _Arm(arm.values, arm.starts[of] + begin, np.clip(arm.lengths[of] - begin, 0, _PART))
        for arm in arms
    ]
    weights = None if weights is None else weights[of]
    return [Grid(*_filled(tails), True, weights, of, starts)]


def _filled(arms: list[_Arm]) -> tuple[Floats, Floats | None, int]:
    """The values of both arms in columns, which of them are there, how many rows the first has."""
    widths = [int(arm.lengths.max(initial=0)) for arm in arms]
    shape = (sum(widths), len(arms[0].lengths))
    full = all((arm.lengths == width).all() for arm, width in zip(arms, widths, strict=True))
    values, there = np.empty(shape), None if full else np.empty(shape)
    sides = (slice(widths[0]), slice(widths[0], None))
    for arm, side, width in zip(arms, sides, widths, strict=True):
        rank = np.arange(width)[:, None]
        arm.values.take(rank + arm.starts, mode="clip", out=values[side])
        if there is not None:
            np.less(rank, arm.lengths, out=there[side], casting="unsafe")
    return values, there, widths[0]


def _single(values: Floats, counts: Floats, which: Bools, edges: Ints) -> list[Grid]:
    """Values that are there too often for as many places, or by parts: a column for each, the
    first arm's and the second's."""
    places, grids = np.flatnonzero(which), []
    for arm in (0, 1):
        there = places[(places & 1) == arm] >> 1
        if len(there):
            of = np.searchsorted(edges, there, side="right") - 1
            starts = np.flatnonzero(np.diff(of, prepend=-1))
            count = counts[there, arm][None]
            grids.append(Grid(values[there][None], count, 1 - arm, False, None, of, starts))
    return grids
