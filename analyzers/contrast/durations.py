"""Running tests of durations: is the second arm slower by more than a margin, in the middle or in
the tail? One row a comparison, one stratum a round, from buckets only.

The Wilcoxon score S of a stratum is bet on as if it were normal with the variance it has without
ties, V = n_a n_b (n + 1) / n^2: exp(l S - l^2 V / 2) is an e-variable exactly, for any common
distribution, share and number of units. Without ties the null distribution of Mann and Whitney's U
has log E exp(2 h (U - mean)) = sum_i f((n_a + i) h) - f(i h), f(x) = log(sinh(x) / x), i to n_b;
f(x) - x^2 / 6 falls in x, so the sum is at most what the variance alone gives. A score with ties is
the mean of the scores over all ways to break them, and Jensen's inequality does the rest.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.batched import Batches
from analyzers.contrast.bets import Held, Starts
from analyzers.contrast.shifted import SHIFT_MAX, Shifted
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Rows, Strata, Told, blocks, grow, run
from analyzers.contrast.tails import Tails
from analyzers.facts import Bools, Floats, Ints

# Effects bet on, in standard deviations of a value's rank.
EFFECTS: Final = (0.07, 0.14, 0.28, 0.6, 1.2)
_LAMBDAS: Final = np.array(EFFECTS)[:, None]
_PRICES: Final = 0.5 * _LAMBDAS * _LAMBDAS
# What part of the evidence of harm the bets on ranks are, and the t mixture, which learns the
# variance and finds a slowdown of half in 40 orders a day where they alone miss it; the rest are
# the tails.
RANKS: Final = 0.4
_RANKS: Final = float(np.log(RANKS))
_TAILS: Final = float(np.log(1.0 - 2.0 * RANKS))
# Values hang together more often than not: so many strata's worth of belief that scores vary a
# little more than independent ones. With clusters of five of intraclass correlation 0.2, 7.8 % of
# untouched durations were called harmful at 5 % without it. Safety, which pays for no late start,
# needs more of it.
HARM_BELIEVED: Final = 1.2
SAFE_BELIEVED: Final = 1.3
BELIEF_STRATA: Final = 8.0
_LEAST: Final = 1e-300  # what is divided by where nothing is known, and then not used


class Durations:
    """The running tests of n comparisons of durations; a ``Family``."""

    def __init__(self) -> None:
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self.shifts = np.zeros((0, 2), np.int64)
        # Without a margin.
        self._score, self._weight, self._variance = np.zeros(0), np.zeros(0), np.zeros(0)
        self._spread = Spread()
        self._harm = Starts(len(EFFECTS))
        self._safe = Held(len(EFFECTS))
        self._tails = Tails()
        self._batches = Batches(1)

    def __len__(self) -> int:
        return len(self.log_harm)

    def add(self, harm_shifts: Ints, safe_shifts: Ints) -> None:
        """New rows: whole buckets (r,) by which the second arm's values are shifted down, against
        "it is slower by at most that" and "by at least that"."""
        shifts = np.column_stack([harm_shifts, safe_shifts]).astype(np.int64)
        # Beyond a factor of 2^127 every value is smaller than every other: as at that factor.
        shifts = np.clip(shifts, -SHIFT_MAX, SHIFT_MAX)
        rows = grow(self, len(shifts))
        self.shifts[rows] = shifts

    def advance(self, rows: Ints, strata: Strata) -> None:
        """Takes in one stratum for each of the given rows (each row at most once)."""
        for some, part in blocks(rows, strata):
            shifted = Shifted(len(some), part.bin_of, part.bin, part.bin_counts, part.worth)
            self._advance(run(some), shifted, part.ripe)

    def _advance(self, rows: Rows, shifted: Shifted, ripe: Bools | None) -> None:
        shifts = self.shifts.T[:, rows]
        harm, safe = _scores(shifted, shifts)
        plain, plain_variance = shifted.wilcoxon()
        phi = self._spread.factor(rows, HARM_BELIEVED, BELIEF_STRATA)
        safe_phi = self._spread.factor(rows, SAFE_BELIEVED, BELIEF_STRATA)
        known = plain_variance > 0
        self._spread.advance(rows, plain / np.sqrt(np.maximum(plain_variance, _LEAST)), known)
        self._score[rows] += plain
        self._weight[rows] += plain_variance
        self._variance[rows] += plain_variance * phi
        untied = shifted.untied()
        bets = self._harm.advance(rows, _factors(harm, untied * phi).T)
        held = _factors(-safe, untied * safe_phi)
        if ripe is not None:
            held *= ripe
        self.log_safe[rows] = self._safe.advance(rows, held.T)
        tails = self._tails.advance(rows, shifted, shifts[0])
        # Where most values are equal few tell anything, and scores of few are skewed.
        learned = self._batches.advance(
            rows, harm[:, None], untied[:, None], plain_variance, shifted.units
        )
        ranks = np.logaddexp(bets, learned[:, 0])
        self.log_harm[rows] = np.logaddexp(ranks + _RANKS, tails + _TAILS)

    def told(self, rows: Ints) -> Told:
        """What the given rows show; ``score / weight`` is the shift in standard deviations of a
        rank, for ``balance.py`` to turn into a factor."""
        return Told(self._score[rows], self._weight[rows], self._variance[rows])


def _scores(shifted: Shifted, shifts: Ints) -> Floats:
    """Scores (2, k) at both of the shifts (2, k)."""
    if (shifts[0] == shifts[1]).all():
        score = shifted.score(shifts[0])
        return np.array([score, score])
    return shifted.score(shifts)


def _factors(score: Floats, price: Floats) -> Floats:
    """Log factors (K, k) of the bets on each effect."""
    return np.asarray(_LAMBDAS * score - _PRICES * price)
