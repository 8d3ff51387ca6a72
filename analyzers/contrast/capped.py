"""Values of a round of strata from their buckets, cut at a cap: sums, scores and bets by stratum.

Every sum runs over one stratum's own values in their order, whatever else is computed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.grids import down, laid, summed
from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.histogram import middles

_TINY: Final = 1e-300


class Capped:
    """The values of both arms of k strata, the middles of their buckets."""

    def __init__(self, strata_count: int, strata: Strata, quantum: Floats) -> None:
        """``quantum`` (k,): the unit of each stratum's bucket numbers."""
        self._strata = strata
        self._edges = np.searchsorted(strata.bin_of, np.arange(strata_count + 1))
        unit = float(quantum[0]) if strata_count and (quantum == quantum[0]).all() else None
        self._plain = middles(strata.bin, unit or 1.0)
        if unit is None:
            self._plain *= np.repeat(quantum, self._edges[1:] - self._edges[:-1])
        self._below = bool(strata.bin.min(initial=0) < 0)
        self._signed = self._below
        """Whether any value may be below 0."""
        self.units, self._grids = laid(self._plain, strata.bin_counts, self._edges)
        """(2, k) values of both arms."""
        self._near: tuple[Floats, Floats, list[Floats]] | None = None

    def less(self, absolute: Floats, divisor: Floats) -> None:
        """Takes a margin (k,) off the second arm's values: subtracted, then divided by."""
        some = bool(absolute.any())
        self._signed, self._near = self._signed or some, None
        for grid in self._grids:
            second = grid.values[grid.first :]
            if some:
                second -= grid.spread(absolute)
            second /= grid.spread(divisor)

    def negative(self) -> Bools:
        """Which strata have values below 0, (k,)."""
        if not self._below:
            return np.zeros(self.units.shape[1], np.bool_)
        return summed((self._strata.bin < 0).astype(np.float64), self._edges) > 0

    def high(self, share: float) -> Floats:
        """The quantile (k,) of sizes in the arm that has more values; of all values but 0 in both
        arms where that is 0; 0 where there are none."""
        of, count = self._strata.bin_of, self.units.shape[1]
        a, b = self._strata.bin_counts.T
        size = np.abs(self._plain)
        order = np.lexsort((size, of))
        more = self.units[1] > self.units[0]
        mine = np.where(more[of], b, a)[order]
        any_of = (np.where(size > 0, a + b, 0.0))[order]
        found = _quantile(of[order], size[order], mine, count, share)
        instead = _quantile(of[order], size[order], any_of, count, share)
        return np.where(found > 0, found, instead)

    def weight(self) -> Floats:
        """n_a n_b / n (k,): what a difference of one adds to the score."""
        na, nb = self.units
        return np.asarray(na * nb / np.maximum(na + nb, 1.0))

    def _cut(self, cap: Floats, near: Floats) -> list[Floats]:
        """How far each value of each grid (W, K), cut at the cap, is from something near (k,).
        What is asked for twice is computed once."""
        if self._near is not None and self._near[0] is cap and self._near[1] is near:
            return self._near[2]
        offs = []
        for grid in self._grids:
            bound = grid.spread(cap)
            off = np.minimum(grid.values, bound)
            if self._signed:
                np.maximum(off, -bound, out=off)
            off -= grid.spread(near)
            offs.append(off)
        self._near = cap, near, offs
        return offs

    def _sums(self, offs: list[Floats]) -> Floats:
        """Sums of the first arm's, of the second's, and of all squares, (3, k), of how far values
        are from something."""
        sums = np.zeros((3, self.units.shape[1]))
        for grid, off in zip(self._grids, offs, strict=True):
            counted = off if grid.counts is None else off * grid.counts
            told = [down(counted[: grid.first]), down(counted[grid.first :]), down(counted * off)]
            grid.add_to(sums, np.array(told))
        return sums

    def score(self, cap: Floats) -> tuple[Floats, Floats]:
        """The second arm's sum less what it is expected to be given both arms' values together,
        and its permutation variance, each (k,); 0 and 0 where one arm is empty."""
        # Sums are taken around a value of the stratum: exact where all are equal, and no square
        # is so many times the variance as there are values.
        bins = len(self._plain)
        least = self._plain[np.minimum(self._edges[:-1], bins - 1)] if bins else 0.0
        near = np.maximum(np.minimum(least, cap), -cap)
        sums = self._sums(self._cut(cap, near))
        n, mean, variance = self._moments(near, sums)
        na, nb = self.units
        told = (na > 0) & (nb > 0)
        score = sums[1] - nb * mean
        spread = na * nb / np.maximum(n - 1.0, 1.0) * variance
        return np.where(told, score, 0.0), np.where(told, spread, 0.0)

    def level(self, cap: Floats, near: Floats) -> tuple[Floats, Floats, Floats]:
        """Number, mean and variance of both arms' capped values together, each (k,); summed
        around something near their mean (k,)."""
        n, mean, variance = self._moments(near, self._sums(self._cut(cap, near)))
        return n, near + mean, variance

    def _moments(self, near: Floats, sums: Floats) -> tuple[Floats, Floats, Floats]:
        """Number of values, how far their mean is from something near, variance, each (k,)."""
        n = self.units[0] + self.units[1]
        some = np.maximum(n, 1.0)
        total = sums[0] + sums[1]
        # What weighs less than one value altogether is averaged with zero.
        mean = total / some + near * (n / some - 1.0)
        square = sums[2] - mean * (2.0 * total - n * mean)
        return n, mean, np.maximum(square / some, 0.0)

    def log_factors(
        self, floor: Floats, cap: Floats, level: Floats, wanted: Floats, stake: float
    ) -> tuple[Floats, Floats]:
        """Logs of the e-variables that the second arm has more, and less, (k, L) each, for bets of
        ``wanted`` (k, L) around a ``level`` (k,), values kept in [``floor``, ``cap``] (k,);
        smaller bets where a factor could fall below 1 - ``stake``."""
        na, nb = self.units
        n = np.maximum(na + nb, 1.0)
        part_a, part_b, above, below = na / n, nb / n, cap - level, level - floor
        most = stake / np.maximum(np.maximum(part_a * below, part_b * above), _TINY)
        least = stake / np.maximum(np.maximum(part_a * above, part_b * below), _TINY)
        bets = np.concatenate([np.minimum(wanted.T, most), -np.minimum(wanted.T, least)])
        # Bets that are as large as they may be are often the same as the one before.
        new = np.append(True, (bets[1:] != bets[:-1]).any(axis=1))
        bets = bets[new]
        logs = np.zeros(bets.shape)
        for grid, cut in zip(self._grids, self._cut(cap, level), strict=True):
            off = np.maximum(cut, grid.spread(-below))
            off[: grid.first] *= grid.spread(-part_b)
            off[grid.first :] *= grid.spread(part_a)
            if grid.once:
                grid.counted(off)
            grid.add_to(logs, grid.logs(off, grid.spread(bets)))
        up, down = np.split(logs[np.cumsum(new) - 1], 2)
        return up.T, down.T


def _quantile(of: Ints, size: Floats, counts: Floats, strata: int, share: float) -> Floats:
    """The quantile of sorted sizes in each stratum, (k,); 0 where it has no counts."""
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    edges = upto[np.searchsorted(of, np.arange(strata + 1))]
    total = np.diff(edges)
    at = np.searchsorted(upto[1:], edges[:-1] + np.maximum(share * total, 0.5))
    if not len(size):
        return np.zeros(strata)
    return np.where(total > 0, size[np.minimum(at, len(size) - 1)], 0.0)
