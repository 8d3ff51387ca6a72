"""Values of a round of strata from their buckets, cut at a cap: sums, scores and bets by stratum.

Every sum runs over one stratum's own buckets in their order, whatever else is computed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints
from analyzers.histogram import middles

_TINY: Final = 1e-300


class Capped:
    """The values of both arms of k strata, the middles of their buckets."""

    def __init__(self, strata_count: int, strata: Strata, quantum: Floats) -> None:
        """``quantum`` (k,): the unit of each stratum's bucket numbers."""
        self._k, self._of = strata_count, strata.bin_of
        size = middles(strata.bin, 1.0) * quantum[self._of]
        self._a, self._b = np.ascontiguousarray(strata.bin_counts.T)
        self._in_a, self._in_b = np.flatnonzero(self._a), np.flatnonzero(self._b)
        self._first = self._second = size
        self.units = np.column_stack([self._sum(self._a), self._sum(self._b)])
        """(k, 2) values of both arms."""

    def _sum(self, column: Floats) -> Floats:
        return np.asarray(np.bincount(self._of, column, self._k)[: self._k])

    def less(self, absolute: Floats, divisor: Floats) -> None:
        """Takes a margin (k,) off the second arm's values: subtracted, then divided by."""
        self._second = (self._second - absolute[self._of]) / divisor[self._of]

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
        bound = cap[self._of]
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
        off = mean[self._of]
        square = self._sum(self._a * (a - off) ** 2 + self._b * (b - off) ** 2)
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
        a = np.maximum(a, floor[self._of])[self._in_a]
        b = np.maximum(b, floor[self._of])[self._in_b]
        na, nb = self.units.T
        n = np.maximum(na + nb, 1.0)
        part_a, part_b = (na / n)[:, None], (nb / n)[:, None]
        above, below = (cap - level)[:, None], (level - floor)[:, None]
        up = stake / np.maximum(np.maximum(part_a * below, part_b * above), _TINY)
        down = stake / np.maximum(np.maximum(part_a * above, part_b * below), _TINY)
        up, down = np.minimum(wanted, up), np.minimum(wanted, down)
        return (
            self._products(up * part_b, up * part_a, level, a, b),
            self._products(-down * part_b, -down * part_a, level, a, b),
        )

    def _products(
        self, bet_a: Floats, bet_b: Floats, level: Floats, a: Floats, b: Floats
    ) -> Floats:
        of_a, of_b = self._of[self._in_a], self._of[self._in_b]
        many_a, many_b = self._a[self._in_a], self._b[self._in_b]
        off_a, off_b = level[of_a] - a, b - level[of_b]  # of occupied buckets only
        logs = []
        for first, second in zip(bet_a.T.copy(), bet_b.T.copy(), strict=True):
            mine = np.bincount(of_a, many_a * np.log1p(first[of_a] * off_a), self._k)
            mine += np.bincount(of_b, many_b * np.log1p(second[of_b] * off_b), self._k)
            logs.append(mine)
        return np.column_stack(logs)


def _quantile(of: Ints, size: Floats, counts: Floats, strata: int, share: float) -> Floats:
    """The quantile of sorted sizes in each stratum, (k,); 0 where it has no counts."""
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    edges = upto[np.searchsorted(of, np.arange(strata + 1))]
    total = np.diff(edges)
    at = np.searchsorted(upto[1:], edges[:-1] + np.maximum(share * total, 0.5))
    if not len(size):
        return np.zeros(strata)
    return np.where(total > 0, size[np.minimum(at, len(size) - 1)], 0.0)
