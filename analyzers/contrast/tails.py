"""Bets on the tail: are more of the slowest values the second arm's than its share of all values?

Thresholds near the pooled 90th and 99th percentile are known before each stratum. Of K values
beyond one, how many are the second arm's is hypergeometric under the null for any common
distribution; its moment generating function is at most that of K draws with replacement
(Hoeffding 1963, theorem 4), which for few of many is nearly the same. So

    e = exp(l b) / (1 - theta + theta exp(l))^K,   theta = n_b / n,

is an e-variable whatever the distribution, without batches and without learning a variance.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.bets import Starts
from analyzers.contrast.shifted import Shifted
from analyzers.contrast.spread import Spread
from analyzers.facts import Bools, Floats, Ints

BEYOND: Final = (0.1, 0.01)
ODDS: Final = (2.0, 6.0)
_LOGS: Final = np.log(ODDS)
# Standard normal density at the two percentiles: where to move by how much, if values are about
# lognormal. Wrong ones only make the thresholds settle later.
_DENSITY: Final = np.array([0.17550, 0.02665])
# Units that a threshold remembers: it follows slow changes of the level.
_MEMORY: Final = 4_000.0
# As in ``durations.py``.
BELIEVED: Final = 1.2
BELIEF_STRATA: Final = 8.0
_SPREAD_MIN: Final = 4.0  # buckets: one eighth of an octave


class Tails:
    """Thresholds and bets of n comparisons; harm may begin at any stratum."""

    def __init__(self) -> None:
        self.threshold = np.zeros((0, len(BEYOND)))  # in places of buckets
        self.known = np.zeros((0, 2))  # units that set them, standard deviation in buckets
        self._bets = Starts(len(BEYOND) * len(ODDS))
        self._spreads = [Spread() for _ in BEYOND]

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        self.threshold = np.concatenate([self.threshold, np.zeros((count, len(BEYOND)))])
        self.known = np.concatenate([self.known, np.zeros((count, 2))])
        self._bets.add(count)
        for spread in self._spreads:
            spread.add(count)

    def advance(self, rows: Ints, shifted: Shifted, shift: Ints) -> Floats:
        """Log e-values (k,) of the given rows after their strata, at margins of ``shift`` (k,)
        buckets. The first stratum only sets the thresholds."""
        na, nb = shifted.units.T
        n = np.maximum(na + nb, 1.0)
        theta = nb / n
        begun = self.known[rows, 0] > 0
        factors, shares = [], []
        # With one arm alone the denominator is what the numerator is, and nothing is staked.
        against = np.log1p(theta[:, None] * np.expm1(_LOGS))
        for place, spread in enumerate(self._spreads):
            beyond = shifted.beyond(self.threshold[rows, place], shift)
            beyond = np.where(begun[:, None], beyond, 0.0)
            k, b = beyond.sum(axis=1), beyond[:, 1]
            phi = spread.factor(rows, BELIEVED, BELIEF_STRATA)
            factors.append((b[:, None] * _LOGS - k[:, None] * against) / phi[:, None])
            variance = theta * (1.0 - theta) * k * (n - k) / np.maximum(n - 1.0, 1.0)
            told = variance > 0
            score = (b - k * theta) / np.sqrt(np.where(told, variance, 1.0))
            spread.advance(rows, score, told)
            shares.append(k)
        self._follow(rows, shifted, n, np.column_stack(shares), begun)
        return self._bets.advance(rows, np.concatenate(factors, axis=1))

    def _follow(
        self, rows: Ints, shifted: Shifted, n: Floats, beyond: Floats, begun: Bools
    ) -> None:
        """Moves the thresholds after a stratum: stochastic approximation (Robbins, Monro 1951),
        weighted by units."""
        units, sd = self.known[rows].T
        units = np.minimum(units + n, _MEMORY)
        step = sd[:, None] / _DENSITY / np.maximum(units, 1.0)[:, None]
        moved = self.threshold[rows] + step * (beyond - n[:, None] * BEYOND)
        first = np.flatnonzero(~begun)
        if len(first):
            found = shifted.quantiles(first, (0.5, 0.9, 0.99))
            moved[first] = found[:, 1:] - 0.5
            sd = sd.copy()
            sd[first] = np.maximum((found[:, 1] - found[:, 0]) / 1.2816, _SPREAD_MIN)
        # Never across zero, nor out of the places there are.
        side = np.sign(np.where(begun[:, None], self.threshold[rows], moved))
        bound = side * np.clip(side * moved, 1.0, 6_000.0)
        self.threshold[rows] = np.where(side == 0, 0.0, bound)
        self.known[rows] = np.column_stack([units, sd])
