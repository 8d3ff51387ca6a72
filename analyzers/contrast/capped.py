"""Values of a round of strata from their buckets, cut at a cap: sums, scores and bets by stratum.

Every sum runs over one stratum's own buckets in their order, whatever else is computed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.histogram import middles

_TINY: Final = 1e-300
# Factors that are multiplied at once. None is below 0.1 or, at the bets of ``amounts.py``, above
# 121: so many stay within a float's range.
_TOGETHER: Final = 64


class Capped:
    """The values of both arms of k strata, the middles of their buckets."""

    def __init__(self, strata_count: int, strata: Strata, quantum: Floats) -> None:
        """``quantum`` (k,): the unit of each stratum's bucket numbers."""
        self._k, self._of = strata_count, strata.bin_of
        self._edges = np.searchsorted(self._of, np.arange(strata_count + 1))
        self._each = np.diff(self._edges)
        size = middles(strata.bin, 1.0) * self._spread(quantum)
        self._a, self._b = np.ascontiguousarray(strata.bin_counts.T)
        self._first = self._second = size
        self.units = np.column_stack([self._sum(self._a), self._sum(self._b)])
        """(k, 2) values of both arms."""

    def _sum(self, column: Floats) -> Floats:
        return _summed(column, self._edges)

    def _spread(self, column: Floats) -> Floats:
        """What each stratum has (k,), for each of its buckets."""
        return np.repeat(column, self._each)

    def less(self, absolute: Floats, divisor: Floats) -> None:
        """Takes a margin (k,) off the second arm's values: subtracted, then divided by."""
        self._second = (self._second - self._spread(absolute)) / self._spread(divisor)

    def negative(self) -> Bools:
        """Which strata have values below 0, (k,)."""
        return np.asarray(self._sum(np.where(self._first < 0, 1.0, 0.0)) > 0)

    def high(self, share: float) -> Floats:
        """The quantile (k,) of sizes in the arm that has more values; of all values but 0 in both
        arms where that is 0; 0 where there are none."""
        size = np.abs(self._first)
        order = np.lexsort((size, self._of))
        more = self.units[:, 1] > self.units[:, 0]
        mine = np.where(more[self._of], self._b, self._a)[order]
        any_of = (np.where(size > 0, self._a + self._b, 0.0))[order]
        found = _quantile(self._of[order], size[order], mine, self._k, share)
        instead = _quantile(self._of[order], size[order], any_of, self._k, share)
        return np.where(found > 0, found, instead)

    def _cut(self, cap: Floats) -> tuple[Floats, Floats]:
        bound = self._spread(cap)
        return (
            np.maximum(np.minimum(self._first, bound), -bound),
            np.maximum(np.minimum(self._second, bound), -bound),
        )

    def weight(self) -> Floats:
        """n_a n_b / n (k,): what a difference of one adds to the score."""
        na, nb = self.units.T
        return np.asarray(na * nb / np.maximum(na + nb, 1.0))

    def level(self, cap: Floats) -> tuple[Floats, Floats, Floats]:
        """Number, mean and variance of both arms' capped values together, each (k,)."""
        return self._level(*self._cut(cap))

    def _level(self, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        n = self.units.sum(axis=1)
        some = np.maximum(n, 1.0)
        mean = self._sum(self._a * a + self._b * b) / some
        off = self._spread(mean)
        far_a, far_b = a - off, b - off
        square = self._sum(self._a * (far_a * far_a) + self._b * (far_b * far_b))
        return n, mean, square / some

    def score(self, cap: Floats) -> tuple[Floats, Floats]:
        """The second arm's sum less what it is expected to be given both arms' values together,
        and its permutation variance, each (k,); 0 and 0 where one arm is empty."""
        a, b = self._cut(cap)
        n, mean, variance = self._level(a, b)
        na, nb = self.units.T
        told = (na > 0) & (nb > 0)
        score = self._sum(self._b * b) - nb * mean
        spread = na * nb / np.maximum(n - 1.0, 1.0) * variance
        return np.where(told, score, 0.0), np.where(told, spread, 0.0)

    def log_factors(
        self, floor: Floats, cap: Floats, level: Floats, wanted: Floats, stake: float
    ) -> tuple[Floats, Floats]:
        """Logs of the e-variables that the second arm has more, and less, (k, L) each, for bets of
        ``wanted`` (k, L) around a ``level`` (k,), values kept in [``floor``, ``cap``] (k,);
        smaller bets where a factor could fall below 1 - ``stake``."""
        a, b = self._cut(cap)
        least, middle = self._spread(floor), self._spread(level)
        first = _Bet(self._a, middle - np.maximum(a, least), self._edges)
        second = _Bet(self._b, np.maximum(b, least) - middle, self._edges)
        na, nb = self.units.T
        n = np.maximum(na + nb, 1.0)
        part_a, part_b = (na / n)[:, None], (nb / n)[:, None]
        above, below = (cap - level)[:, None], (level - floor)[:, None]
        up = stake / np.maximum(np.maximum(part_a * below, part_b * above), _TINY)
        down = stake / np.maximum(np.maximum(part_a * above, part_b * below), _TINY)
        up, down = np.minimum(wanted, up), np.minimum(wanted, down)
        return (
            _products(first, up * part_b, second, up * part_a),
            _products(first, -down * part_b, second, -down * part_a),
        )


class _Bet:
    """One arm's values, each ``off`` from the level, ready for bets of any size on them. Values
    alone in their bucket are multiplied, some dozens at a time, which a float holds: a logarithm
    costs ten times as much as a product."""

    def __init__(self, counts: Floats, off: Floats, edges: Ints) -> None:
        # Values of crowded subjects count for less than one.
        one, more = np.flatnonzero(counts == 1.0), np.flatnonzero((counts > 0) & (counts != 1.0))
        self._off = off[one]
        at = np.searchsorted(one, edges)
        self._each = np.diff(at)
        parts = -(-self._each // _TOGETHER)
        self._parts = np.concatenate([[0], np.cumsum(parts)])
        rank = np.arange(self._parts[-1]) - np.repeat(self._parts[:-1], parts)
        self._starts = np.repeat(at[:-1], parts) + rank * _TOGETHER
        self._more_off, self._more = off[more], counts[more]
        self._more_edges = np.searchsorted(more, edges)
        self._more_each = np.diff(self._more_edges)

    def logs(self, bet: Floats) -> Floats:
        """Log of the product over each stratum's values at bets (k,), (k,)."""
        found = np.zeros(len(bet))
        if len(self._off):
            factors = np.repeat(bet, self._each)
            factors *= self._off
            factors += 1.0
            products = np.multiply.reduceat(factors, self._starts)
            found += _summed(np.log(products), self._parts)
        if len(self._more):
            logs = np.log1p(np.repeat(bet, self._more_each) * self._more_off)
            found += _summed(self._more * logs, self._more_edges)
        return found


def _products(first: _Bet, bet_a: Floats, second: _Bet, bet_b: Floats) -> Floats:
    """Logs of the products over both arms for bets (k, L) on each, (k, L)."""
    sides = zip(bet_a.T.copy(), bet_b.T.copy(), strict=True)
    return np.array([first.logs(a) + second.logs(b) for a, b in sides]).T


def _summed(column: Floats, edges: Ints) -> Floats:
    """Sums of a column from each edge (k + 1,) to the next, (k,)."""
    sums, some = np.zeros(len(edges) - 1), np.flatnonzero(edges[1:] > edges[:-1])
    if len(some):
        sums[some] = np.add.reduceat(column, edges[some])
    return sums


def _quantile(of: Ints, size: Floats, counts: Floats, strata: int, share: float) -> Floats:
    """The quantile of sorted sizes in each stratum, (k,); 0 where it has no counts."""
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    edges = upto[np.searchsorted(of, np.arange(strata + 1))]
    total = np.diff(edges)
    at = np.searchsorted(upto[1:], edges[:-1] + np.maximum(share * total, 0.5))
    if not len(size):
        return np.zeros(strata)
    return np.where(total > 0, size[np.minimum(at, len(size) - 1)], 0.0)
