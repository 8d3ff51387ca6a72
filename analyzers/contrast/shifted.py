"""Two arms' buckets, stratum by stratum, compared at any margin without sorting them again.

A margin shifts the second arm's logarithmic buckets towards zero by whole buckets before they are
compared. The first arm's buckets are sorted once; where a shifted bucket falls among them is a
binary search. All sums are of whole numbers, so they do not depend on what else is computed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints

# Room between zero and the smallest values of either sign: a shift never carries a value across
# zero. Bucket numbers end at 32 * 53 + 1.
SHIFT_MAX: Final = 4_095
_GAP: Final = SHIFT_MAX + 1
_ROW: Final = 1 << 15  # places of one stratum
_ZERO: Final = _ROW // 2
_SCALE: Final = float(np.sqrt(12.0))
_LAST: Final = np.iinfo(np.int64).max


class Shifted:
    """The buckets of k strata, first arm at rest, second arm to be shifted."""

    def __init__(self, strata: int, of: Ints, number: Ints, counts: Floats) -> None:
        """``of`` (m,) in [0, k), ``number`` (m,) bucket numbers, ``counts`` (m, 2) whole numbers;
        in any order, though what is sorted by (of, number) already costs less."""
        key = of * _ROW
        key += _ZERO
        if not len(number) or number.min() > 0:  # the usual case, at a third of the cost
            key += number
            key += _GAP
        else:
            key += number + np.sign(number) * _GAP
        a, b = np.ascontiguousarray(counts[:, 0]), np.ascontiguousarray(counts[:, 1])
        if len(key) > 1 and not (key[1:] > key[:-1]).all():
            key, back = np.unique(key, return_inverse=True)
            a, b = (np.bincount(back, arm, len(key)).astype(np.float64) for arm in (a, b))
            of = key // _ROW
        self.strata = strata
        in_a, in_b = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
        # One place behind the last, so that a search that finds nothing has where to look.
        self._key_a, self._a = np.append(key[in_a], _LAST), np.append(a[in_a], 0.0)
        self._key_b, self._b, self._of_b = key[in_b], b[in_b], of[in_b]
        self._sign_b = np.sign(self._key_b - self._of_b * _ROW - _ZERO)
        self._upto_a, self._upto_b = _upto(self._a[:-1]), _upto(self._b)
        edges = np.arange(strata + 1) * _ROW
        self._start_a = self._upto_a[np.searchsorted(self._key_a[:-1], edges)]
        self._start_b = self._upto_b[np.searchsorted(self._key_b, edges)]
        self.units = np.column_stack([np.diff(self._start_a), np.diff(self._start_b)])
        """(k, 2) units in the buckets of both arms."""
        self._cubes = np.bincount(of, a * a * a + b * b * b, strata)

    def wilcoxon(self, shift: Ints) -> tuple[Floats, Floats]:
        """Wilcoxon score of the second arm less ``shift`` (k,) buckets, and its permutation
        variance, tie-corrected: both (k,). Midranks are scaled to unit variance without ties, so
        the variance is about n_a n_b / n; 0 and 0 where one arm is empty."""
        at, tie = self._places(shift)
        na, nb = self.units.T
        most = np.maximum(na + nb, 2.0)
        # Of a bucket with a and b units: (a + b)^3 = a^3 + b^3 + 3 a b (a + b).
        tied = 3.0 * np.bincount(self._of_b, tie * self._b * (tie + self._b), self.strata)
        even = np.maximum(1.0 - (self._cubes + tied) / (most * most * most), 0.0)
        return self._score(at, tie), np.asarray(na * nb / (most - 1.0) * even)

    def score(self, shift: Ints) -> Floats:
        """The Wilcoxon score (k,) alone."""
        return self._score(*self._places(shift))

    def _places(self, shift: Ints) -> tuple[Ints, Floats]:
        """Where each of the second arm's buckets falls, and how many of the first are in it."""
        key = self._key_b - self._sign_b * shift[self._of_b]
        at = np.searchsorted(self._key_a, key)
        return at, self._a[at] * (self._key_a[at] == key)

    def _score(self, at: Ints, tie: Floats) -> Floats:
        wins = np.bincount(self._of_b, self._b * (self._upto_a[at] + 0.5 * tie), self.strata)
        na, nb = self.units.T
        wins = wins - self._start_a[:-1] * nb - na * nb / 2.0
        return np.asarray(_SCALE * wins / np.maximum(na + nb, 2.0))

    def untied(self) -> Floats:
        """Variance (k,) of the Wilcoxon score if no values were equal: n_a n_b (n + 1) / n^2."""
        na, nb = self.units.T
        n = np.maximum(na + nb, 1.0)
        return np.asarray(na * nb * (n + 1.0) / n**2)

    def beyond(self, threshold: Floats, shift: Ints) -> Floats:
        """Units (k, 2) of both arms above a ``threshold`` (k,) of places, the second arm's values
        less ``shift`` buckets."""
        row = np.arange(self.strata) * _ROW + _ZERO
        first = np.floor(threshold).astype(np.int64)
        second = np.clip(first + np.sign(first) * shift, -_ZERO, _ZERO - 1)
        rest_a = self._upto_a[np.searchsorted(self._key_a[:-1], row + first, side="right")]
        rest_b = self._upto_b[np.searchsorted(self._key_b, row + second, side="right")]
        return np.column_stack([self._start_a[1:] - rest_a, self._start_b[1:] - rest_b])

    def quantiles(self, rows: Ints, shares: tuple[float, ...]) -> Floats:
        """Places of quantiles (r, Q) of the given strata, in the arm that has more units; 0 where
        there are none."""
        found = []
        more = self.units[rows, 1] > self.units[rows, 0]
        for share in shares:
            sides = [
                _quantile(upto, start[rows], units[rows] * share, key, rows)
                for upto, start, units, key in (
                    (self._upto_a, self._start_a, self.units[:, 0], self._key_a[:-1]),
                    (self._upto_b, self._start_b, self.units[:, 1], self._key_b),
                )
            ]
            found.append(np.where(more, sides[1], sides[0]))
        return np.column_stack(found)


def _upto(counts: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(counts)])


def _quantile(upto: Floats, start: Floats, wanted: Floats, key: Ints, rows: Ints) -> Floats:
    if not len(key):
        return np.zeros(len(rows))
    at = np.searchsorted(upto[1:], start + np.maximum(wanted, 0.5))
    place = key[np.minimum(at, len(key) - 1)] - rows * _ROW - _ZERO
    return np.where(np.abs(place) < _ZERO, place, 0).astype(np.float64)
