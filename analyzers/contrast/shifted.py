"""Two arms' buckets, stratum by stratum, compared at any margin without sorting or searching.

A margin shifts the second arm's logarithmic buckets towards zero by whole buckets before they are
compared. The first arm's buckets lie on one line of cells, stratum behind stratum, one cell a
bucket, with how many of its units lie below each cell; where a shifted bucket falls is its own cell
less the shift. All sums are of whole numbers, so they do not depend on what else is computed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints

# Room between zero and the smallest values of either sign: a shift never carries a value across
# zero. Bucket numbers end at 32 * 53 + 1.
SHIFT_MAX: Final = 4_095
_GAP: Final = SHIFT_MAX + 1
_ROW_BITS: Final = 15
_ROW: Final = 1 << _ROW_BITS  # places of one stratum
_ZERO: Final = _ROW // 2
_SCALE: Final = float(np.sqrt(12.0))


class Shifted:
    """The buckets of k strata, first arm at rest, second arm to be shifted."""

    def __init__(
        self, strata: int, of: Ints, number: Ints, counts: Floats, worth: Floats | None = None
    ) -> None:
        """``of`` (m,) in [0, k), ``number`` (m,) bucket numbers, ``counts`` (m, 2) whole numbers;
        in any order, though what is sorted by (of, number) already costs less. ``worth`` (k,) is
        what a unit of each stratum counts for, 1 if it is not given."""
        key = of << _ROW_BITS  # a multiplication takes four times as long
        key += number
        key += _ZERO + _GAP
        self._sign: Ints | None = None  # of the values; None if all are above zero, as usual
        a, b = counts[:, 0].astype(np.int64), counts[:, 1].astype(np.int64)
        if len(number) and number.min() <= 0:
            self._sign = np.sign(number)
            key += (self._sign - 1) * _GAP
        self._apart = key[1:] - key[:-1]
        if len(key) > 1 and self._apart.min() <= 0:
            key, back = np.unique(key, return_inverse=True)
            a, b = (np.bincount(back, arm, len(key)).astype(np.int64) for arm in (a, b))
            of = key // _ROW
            self._sign = np.sign(key - of * _ROW - _ZERO)
            self._apart = key[1:] - key[:-1]
        self.strata = strata
        self._key, self._a, self._b = key, a, b
        self._edges = np.searchsorted(of, np.arange(strata + 1))
        self._length = self._edges[1:] - self._edges[:-1]
        # Which strata have any bucket; None if all have, as usual.
        self._some = None if self._length.all() else np.flatnonzero(self._length)
        self._upto = _upto(a), _upto(b)
        self._start = self._upto[0][self._edges], self._upto[1][self._edges]
        self._units = np.empty((2, strata))
        for arm in (0, 1):
            np.subtract(self._start[arm][1:], self._start[arm][:-1], out=self._units[arm])
        self._most = np.maximum(self._units[0] + self._units[1], 2.0)
        self._worth = worth
        self._weighed = self._units if worth is None else self._units * worth
        self.units = self._weighed.T
        """(k, 2) units in the buckets of both arms, each for what it is worth."""
        self._reach: Ints | None = None

    def wilcoxon(self, shift: Ints | None = None) -> tuple[Floats, Floats]:
        """Wilcoxon score of the second arm less ``shift`` (k,) buckets, if any, and its permutation
        variance, tie-corrected: both (k,). Midranks are scaled to unit variance without ties, so
        the variance is about n_a n_b / n; 0 and 0 where one arm is empty."""
        cell = self._cells(shift)
        # (a + b)^3 of all buckets: a bucket of the second arm adds to what lies in its cell.
        if shift is None:
            cubes = _cube(self._a + self._b)
        else:
            first = np.zeros(len(self._below), np.int64)
            first[self._cell] = self._a
            tie = first[cell]
            cubes = _cube(tie + self._b) - _cube(tie) + _cube(self._a)
        most = self._most
        even = np.maximum(1.0 - self._summed(cubes) / (most * most * most), 0.0)
        na, nb = self._weighed
        n = most if self._worth is None else np.maximum(na + nb, 2.0)
        return self._score(cell), np.asarray(na * nb / (n - 1.0) * even)

    def score(self, shift: Ints) -> Floats:
        """The Wilcoxon score alone, (k,); or, of several shifts (s, k), (s, k)."""
        return self._score(self._cells(shift))

    def _cells(self, shift: Ints | None) -> Ints:
        """The cells (..., m) in which the second arm's buckets fall."""
        if shift is None:
            if self._reach is None:
                self._lay(np.zeros(self.strata, np.int64))
            return self._cell
        reach = np.abs(shift)
        self._lay(reach if shift.ndim == 1 else reach.max(axis=0))
        less = np.repeat(shift, self._length, axis=-1)
        if self._sign is not None:
            less *= self._sign
        return np.asarray(np.subtract(self._cell, less, out=less))

    def _score(self, cell: Ints) -> Floats:
        wins = self._below.take(cell)
        wins *= self._b
        score = 0.5 * _SCALE * self._summed(wins) / self._most
        return np.asarray(score if self._worth is None else score * self._worth)

    def _lay(self, reach: Ints) -> None:
        """Lays the first arm's buckets into cells for shifts of up to ``reach`` (k,) either way.

        Twice the units below a cell, and once those in it, less all of the stratum: what a unit of
        the second arm wins there. Between neighbouring buckets, and around each stratum, there is
        no more room than a shift can tell apart: one more than the largest. So values that span
        thirty octaves need few cells.
        """
        if self._reach is not None and (reach <= self._reach).all():
            return
        self._reach = reach
        if not len(self._key):
            self._cell, self._below = self._key, self._key
            return
        room = np.repeat(reach + 1, self._length)
        step = np.empty(len(self._key), np.int64)
        np.minimum(self._apart, room[1:], out=step[1:])
        begin, around, units = self._edges[:-1], reach + 1, self._start[0][1:] - self._start[0][:-1]
        if self._some is not None:
            begin, around, units = begin[self._some], around[self._some], units[self._some]
        step[begin] = around
        step[begin[1:]] += around[:-1]
        self._cell = np.cumsum(step)
        size = int(self._cell[-1] + around[-1])
        first = np.zeros(size, np.int64)
        first[self._cell] = self._a
        below = np.empty(size, np.int64)
        below[0] = 0
        np.add(first[1:], first[:-1], out=below[1:])
        # In the empty cell before each stratum the last one's units end and its own begin.
        units[1:] += units[:-1]
        below[self._cell[begin] - around] -= units
        self._below = np.cumsum(below, out=below)

    def _summed(self, values: Ints | Floats) -> Floats:
        """Sums (..., k) of the buckets' values (..., m) by stratum."""
        starts = self._edges[:-1]
        if self._some is None:
            return np.asarray(np.add.reduceat(values, starts, axis=-1))
        sums = np.zeros((*values.shape[:-1], self.strata))
        if len(self._some):
            sums[..., self._some] = np.add.reduceat(values, starts[self._some], axis=-1)
        return sums

    def untied(self) -> Floats:
        """Variance (k,) of the Wilcoxon score if no values were equal: n_a n_b (n + 1) / n^2."""
        na, nb = self._weighed
        n = np.maximum(na + nb, 1.0)
        return np.asarray(na * nb * (n + 1.0) / (n * n))

    def beyond(self, threshold: Floats, shift: Ints) -> Floats:
        """What the units of both arms (..., k, 2) are worth above thresholds (..., k) of places,
        at most 2 * SHIFT_MAX in size, the second arm's values less ``shift`` (k,) buckets."""
        place = np.empty((2, *threshold.shape), np.int64)
        place[0] = first = np.floor(threshold)
        place[1] = first + np.sign(first) * shift
        place += np.arange(self.strata) * _ROW + _ZERO
        upto = np.searchsorted(self._key, place, side="right")
        found = np.empty((*threshold.shape, 2))
        for arm in (0, 1):
            np.subtract(self._start[arm][1:], self._upto[arm][upto[arm]], out=found[..., arm])
        if self._worth is not None:
            found *= self._worth[:, None]
        return found

    def quantiles(self, rows: Ints, shares: tuple[float, ...]) -> Floats:
        """Places of quantiles (r, Q) of the given strata, in the arm that has more units; 0 where
        there are none."""
        found = []
        more = self.units[rows, 1] > self.units[rows, 0]
        for share in shares:
            first, second = (
                self._quantile(self._upto[arm], self._start[arm][rows], units[rows] * share, rows)
                for arm, units in enumerate(self._units)
            )
            found.append(np.where(more, second, first))
        return np.column_stack(found)

    def _quantile(self, upto: Ints, start: Ints, wanted: Floats, rows: Ints) -> Floats:
        if not len(self._key):
            return np.zeros(len(rows))
        at = np.searchsorted(upto[1:], start + np.maximum(wanted, 0.5))
        place = self._key[np.minimum(at, len(self._key) - 1)] - rows * _ROW - _ZERO
        return np.where(np.abs(place) < _ZERO, place, 0).astype(np.float64)


def _upto(counts: Ints) -> Ints:
    """How many there are before each place, and in all: (m + 1,)."""
    upto = np.empty(len(counts) + 1, np.int64)
    upto[0] = 0
    np.cumsum(counts, out=upto[1:])
    return upto


def _cube(counts: Ints) -> Floats:
    size = counts.astype(np.float64)
    cube = size * size
    cube *= size
    return cube
