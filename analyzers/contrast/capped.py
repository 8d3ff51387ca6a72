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
        self._a, self._b = strata.bin_counts.T
        self._in_a, self._in_b = np.flatnonzero(self._a), np.flatnonzero(self._b)
        self._value = np.column_stack([size, size])
        self.units = np.column_stack([self._sum(self._a), self._sum(self._b)])
        """(k, 2) values of both arms."""

    def _sum(self, column: Floats) -> Floats:
        return np.asarray(np.bincount(self._of, column, self._k)[: self._k])

    def less(self, absolute: Floats, divisor: Floats) -> None:
        """Takes a margin (k,) off the second arm's values: subtracted, then divided by."""
        self._value[:, 1] = (self._value[:, 1] - absolute[self._of]) / divisor[self._of]

    def negative(self) -> Bools:
        """Which strata have values below 0, (k,)."""
        return np.asarray(self._sum(np.where(self._value[:, 0] < 0, 1.0, 0.0)) > 0)

    def high(self, share: float) -> Floats:
        """The quantile (k,) of sizes in the arm that has more values; of all values but 0 in both
        arms where that is 0; 0 where there are none."""
        size = np.abs(self._value[:, 0])
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
            np.clip(self._value[:, 0], -bound, bound),
            np.clip(self._value[:, 1], -bound, bound),
        )

    def weight(self) -> Floats:
        """n_a n_b / n (k,): what a difference of one adds to the score."""
        na, nb = self.units.T
        return np.asarray(na * nb / np.maximum(na + nb, 1.0))

    def level(self, cap: Floats) -> tuple[Floats, Floats, Floats]:
        """Number, mean and variance of both arms' capped values together, each (k,)."""
        a, b = self._cut(cap)
        n = np.maximum(self.units.sum(axis=1), 1.0)
        mean = (self._sum(self._a * a) + self._sum(self._b * b)) / n
        off = mean[self._of]
        square = self._sum(self._a * (a - off) ** 2) + self._sum(self._b * (b - off) ** 2)
        return self.units.sum(axis=1), mean, square / n

    def score(self, cap: Floats) -> tuple[Floats, Floats]:
        """The second arm's sum less what it is expected to be given both arms' values together,
        and its permutation variance, each (k,); 0 and 0 where one arm is empty."""
        _, b = self._cut(cap)
        n, mean, variance = self.level(cap)
        na, nb = self.units.T
        told = (na > 0) & (nb > 0)
        score = self._sum(self._b * (b - mean[self._of]))
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
        logs = []
        of_a, of_b = self._of[self._in_a], self._of[self._in_b]
        off_a, off_b = a - level[of_a], b - level[of_b]  # of occupied buckets only
        for place in range(bet_a.shape[1]):
            first = self._a[self._in_a] * np.log1p(-bet_a[of_a, place] * off_a)
            second = self._b[self._in_b] * np.log1p(bet_b[of_b, place] * off_b)
            logs.append(np.bincount(of_a, first, self._k) + np.bincount(of_b, second, self._k))
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
