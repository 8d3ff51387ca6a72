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
from analyzers.contrast.strata import Rows, grow, read, write
from analyzers.facts import Floats, Ints

BEYOND: Final = (0.1, 0.01)
ODDS: Final = (2.0, 6.0)
_LOGS: Final = np.log(ODDS)[:, None]
_STAKES: Final = np.expm1(_LOGS)
_SHARES: Final = np.array(BEYOND)[:, None]
# Standard normal density at the two percentiles: where to move by how much, if values are about
# lognormal. Wrong ones only make the thresholds settle later.
_DENSITY: Final = np.array([[0.17550], [0.02665]])
# Units that a threshold remembers: it follows slow changes of the level.
_MEMORY: Final = 4_000.0
# As in ``durations.py``.
BELIEVED: Final = 1.2
BELIEF_STRATA: Final = 8.0
_SPREAD_MIN: Final = 4.0  # buckets: one eighth of an octave
_LEAST: Final = 1e-300  # what is divided by where nothing is known, and then not used


class Tails:
    """Thresholds and bets of n comparisons; harm may begin at any stratum."""

    def __init__(self) -> None:
        self.threshold = np.zeros((0, len(BEYOND)))  # in places of buckets
        self.known = np.zeros((0, 2))  # units that set them, standard deviation in buckets
        self._bets = Starts(len(BEYOND) * len(ODDS))
        self._spreads = [Spread() for _ in BEYOND]

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        grow(self, count)

    def advance(self, rows: Rows, shifted: Shifted, shift: Ints) -> Floats:
        """Log e-values (k,) of the given rows after their strata, at margins of ``shift`` (k,)
        buckets. The first stratum only sets the thresholds."""
        na, nb = shifted.units.T
        n = np.maximum(na + nb, 1.0)
        theta = nb / n
        beyond = shifted.beyond(read(self.threshold, rows), shift)
        new = np.flatnonzero(self.known[rows, 0] <= 0)
        if len(new):
            beyond[:, new] = 0.0
        b = beyond[..., 1]
        k = beyond[..., 0] + b
        variance = theta * (1.0 - theta) / np.maximum(n - 1.0, 1.0) * (k * (n - k))
        told = variance > 0
        score = (b - k * theta) / np.sqrt(np.maximum(variance, _LEAST))
        # With one arm alone the denominator is what the numerator is, and nothing is staked.
        against = np.log1p(theta * _STAKES)
        factors = b[:, None] * _LOGS - k[:, None] * against
        for place, spread in enumerate(self._spreads):
            factors[place] /= spread.factor(rows, BELIEVED, BELIEF_STRATA)
            spread.advance(rows, score[place], told[place])
        self._follow(rows, n, k)
        if len(new):
            self._begin(rows, shifted, new)
        return self._bets.advance(rows, factors.reshape(-1, len(n)).T)

    def _follow(self, rows: Rows, n: Floats, beyond: Floats) -> None:
        """Moves the thresholds after a stratum of n (k,) units, so many of them ``beyond`` (T, k):
        stochastic approximation (Robbins, Monro 1951), weighted by units."""
        threshold, known = read(self.threshold, rows), read(self.known, rows)
        known[0] = units = np.minimum(known[0] + n, _MEMORY)
        step = known[1] / _DENSITY / np.maximum(units, 1.0)
        moved = threshold + step * (beyond - n * _SHARES)
        threshold[:] = _bounded(moved, np.sign(threshold))
        write(self.threshold, rows, threshold)
        write(self.known, rows, known)

    def _begin(self, rows: Rows, shifted: Shifted, new: Ints) -> None:
        """Sets the thresholds by the first stratum of some of the given rows."""
        places = new + rows.start if isinstance(rows, slice) else rows[new]
        found = shifted.quantiles(new, (0.5, 0.9, 0.99))
        first = found[:, 1:] - 0.5
        self.threshold[places] = _bounded(first, np.sign(first))
        self.known[places, 1] = np.maximum((found[:, 1] - found[:, 0]) / 1.2816, _SPREAD_MIN)


def _bounded(threshold: Floats, side: Floats) -> Floats:
    """Thresholds that stay on their side of zero, and among the places there are."""
    size = np.minimum(np.maximum(side * threshold, 1.0), 6_000.0)
    return np.asarray(side * size)
