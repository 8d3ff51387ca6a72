"""Whether the mean of a growing number of scores lies above zero or below it, for n comparisons.

Evidence that holds since the first score is the one-sided t mixture (``tmixture.py``), both ways.
Harm that begins late is bet on anew at every score: the next score over the root mean square of
those before it has Student's t distribution if they are Gaussian with mean zero, whatever their
variance. Such a bet multiplies by that density shifted by an effect, over the density itself, with
at most five degrees of freedom: then it is bounded, and heavy tails cannot win it (``TAILS``).
``bets.Starts`` mixes over all starting points.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.bets import Starts
from analyzers.contrast.mixing import log_average
from analyzers.contrast.strata import Rows, grow, run
from analyzers.contrast.tmixture import both_sides
from analyzers.facts import Floats

# Effects that late harm is bet on, in standard deviations of a score.
EFFECTS: Final = (0.5, 1.5, 4.0)
_EFFECTS: Final = np.array(EFFECTS)[:, None]
# Degrees of freedom at most. With 30 a bet on 4 sd expects 14 from Laplace's scores of mean zero,
# and 87 from differences of lognormal ones. With 5 none expects more than .99 from Gaussian,
# Laplace's, Student's t (3), lognormal (sigma 1, 1.5) or gamma (4, 12) scores; it grows by a fifth
# less.
TAILS: Final = 5.0
# Scores before a bet is held: one quotient of two scores is Cauchy's and says nothing.
BEFORE: Final = 3.0
_TINY: Final = 1e-300


class Means:
    """Number, sum and sum of squares of the scores of n comparisons, (n,) each, and what they
    show: ``log_harm`` that the mean is above zero, ``log_safe`` that it is below."""

    def __init__(self) -> None:
        self.count = np.zeros(0)
        self.total = np.zeros(0)
        self.square = np.zeros(0)
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._starts = Starts(len(EFFECTS))

    def __len__(self) -> int:
        return len(self.count)

    def add(self, count: int) -> None:
        """As many new rows, without any score."""
        grow(self, count)

    def advance(self, rows: Rows, score: Floats) -> None:
        """Takes in one finite score (k,) for each of the given rows (each row at most once)."""
        rows = run(rows)
        late = self._starts.advance(rows, _factors(self.count[rows], self.square[rows], score))
        self.count[rows] += 1.0
        self.total[rows] += score
        self.square[rows] += score * score
        above, below = both_sides(self.count[rows], self.total[rows], self.square[rows])
        self.log_harm[rows] = log_average(above, late)
        self.log_safe[rows] = below


def _factors(n: Floats, square: Floats, score: Floats) -> Floats:
    """Log factors (k, K) of bets on the next score, after ``n`` scores of mean zero."""
    held = (n >= BEFORE) & (square > _TINY)
    n = np.where(held, n, 1.0)
    x = score / np.sqrt(np.where(held, square, 1.0) / n)
    # Far out both densities fall alike; the limit only keeps squares finite.
    x = np.clip(x, -1e9, 1e9)
    n = np.minimum(n, TAILS)
    off = x - _EFFECTS
    off *= off
    off /= n
    factors = np.log1p(x * x / n) - np.log1p(off, out=off)
    factors *= np.where(held, 0.5 * (n + 1.0), 0.0)
    return np.asarray(factors.T)
