"""Sample-ratio mismatch: whether units come to both arms as the declared share says.

Lindon and Malek 2022, "Anytime-valid inference for multinomial count data", arXiv 2011.03567, for
two arms: the Dirichlet-multinomial mixture against the declared share, with concentration k. In its
predictive form each stratum's counts are beta-binomial under what all earlier ones said, and
binomial with the declared share under the null; the product is the closed form as long as the
share stays the same. Where it changes, the odds ratio against the declared odds, and the weight of
what was learned, carry over: a prior may be anything that is known before, so the product stays an
e-process, exactly.

The log of a factor is convex in the second arm's count. Where it is not known for some units which
arm they came to, their expectation under the null only makes the factor smaller (Jensen 1906); and
where such an expectation rests on one of two assumptions, the smaller of the two factors is an
e-variable under either.

What counts are assignments (exposures, or subjects seen for the first time), never outcomes: a
canary that loses its orders must look harmful, not wrongly assigned.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import gammaln

from analyzers.facts import Bools, Floats, Ints

# Concentration of the mixture: deviations of about 1.6 points around a share of a half.
CONCENTRATION: Final = 1_000.0
# Strata that only tell how clustered units are, before any of them is judged, and how many
# strata's worth of belief in independence their scores must outweigh.
LEARNING: Final = 12.0
PRIOR: Final = 2.0
# Clustered counts add up until their variance, were they independent, is so much times
# (1 - 2 share)^2: the few clusters of a small arm are skewed.
MERGED: Final = 25.0


class Assignments:
    """The running tests of n pairs of arms, one row each. ``log_e`` (n,): log e-values, now,
    against "the second arm gets its share"."""

    def __init__(self, concentration: float = CONCENTRATION) -> None:
        self.log_e = np.zeros(0)
        self._concentration = concentration
        self._clustered = np.zeros(0, np.bool_)
        self._belief = np.zeros((0, 2))  # parameters of the beta distribution, by arm
        self._share = np.zeros(0)  # last declared, 0 before any
        self._open = np.zeros((0, 3))  # counts by arm, what the second should have had
        self._scores = np.zeros((0, 3))  # standardised: number, sum, sum of squares

    def __len__(self) -> int:
        return len(self.log_e)

    def add(self, clustered: Bools) -> None:
        """New rows. Where units come in clusters (``clustered``, (n,): page views of one session)
        counts are taken as so many fewer as strata vary more than independent units would; where
        not (subjects, each once) the test is exact."""
        count = len(clustered)
        self.log_e = np.concatenate([self.log_e, np.zeros(count)])
        self._clustered = np.concatenate([self._clustered, clustered])
        self._belief = np.concatenate([self._belief, np.zeros((count, 2))])
        self._share = np.concatenate([self._share, np.zeros(count)])
        self._open = np.concatenate([self._open, np.zeros((count, 3))])
        self._scores = np.concatenate([self._scores, np.zeros((count, 3))])

    def advance(
        self, rows: Ints, counts: Floats, share: Floats, other: Floats | None = None
    ) -> Floats:
        """Log e-values (k,) after one stratum for each of the given rows (each at most once):
        ``counts`` (k, 2) of units by arm, ``share`` (k,) what the second arm should have had of
        them. Strata without units, or whose share is not within (0, 1), say nothing. ``other``
        (k, 2) is a second account of the same units: where they are not clustered, the one that
        says less is believed."""
        units = counts[:, 0] + counts[:, 1]
        usable = (share > 0) & (share < 1) & (counts >= 0).all(axis=1)
        usable &= np.isfinite(units) & (units > 0)
        told, due = rows[usable], (units * share)[usable]
        self._open[told] += np.column_stack([counts[usable], due])
        enough = self._enough(told)
        full = told[enough]
        if len(full):
            first, second, due = self._open[full].T
            units, whole = first + second, np.column_stack([first, second])
            if other is None:
                other = counts
            # What is not clustered is never merged: this stratum is all there is.
            apart = self._clustered[full][:, None]
            rival = np.where(apart, whole, other[usable][enough])
            # Shares that differ within what was merged only make a binomial of their mean wider
            # than the truth (Hoeffding 1956), and the factor is convex: it stays an e-variable.
            self._judge(full, whole, rival, due / units)
            self._open[full] = 0.0
        return self.log_e[rows]

    def told(self, rows: Ints) -> Floats:
        """The second arm's share (k,) as the judged counts tell it, with the last declared share
        weighing as much as the mixture's concentration; 0 before any."""
        first, second = self._belief[rows].T
        return np.asarray(second / np.maximum(first + second, 1e-300))

    def _enough(self, rows: Ints) -> Bools:
        first, second, due = self._open[rows].T
        units = first + second
        share = due / units
        merged = units * share * (1.0 - share) >= MERGED * (1.0 - 2.0 * share) ** 2
        return np.asarray(merged | ~self._clustered[rows])

    def _judge(self, rows: Ints, counts: Floats, rival: Floats, share: Floats) -> None:
        belief = self._carried(rows, share)
        divisor = np.where(self._clustered[rows], self._dispersion(rows), 1.0)
        # Where the divisor is infinite nothing is counted, and the factor is one.
        first, second = counts / divisor[:, None], rival / divisor[:, None]
        one, two = log_factor(belief, first, share), log_factor(belief, second, share)
        counted = np.where((one <= two)[:, None], first, second)
        self.log_e[rows] += np.minimum(one, two)
        self._belief[rows] = belief + counted
        self._share[rows] = share
        units = counts[:, 0] + counts[:, 1]
        score = (counts[:, 1] - units * share) / np.sqrt(units * share * (1.0 - share))
        self._scores[rows] += np.column_stack([np.ones(len(rows)), score, score * score])

    def _carried(self, rows: Ints, share: Floats) -> Floats:
        """Beliefs (k, 2) under the share declared now, with the odds ratio learned so far."""
        belief, before = self._belief[rows], self._share[rows]
        fresh = np.column_stack([1.0 - share, share]) * self._concentration
        begun = before > 0
        weight = belief[:, 0] + belief[:, 1]
        before = np.where(begun, before, 0.5)
        first = np.where(begun, belief[:, 0], 1.0) * (1.0 - share) / (1.0 - before)
        second = np.where(begun, belief[:, 1], 1.0) * share / before
        part = second / (first + second)
        moved = np.column_stack([weight * (1.0 - part), weight * part])
        same = begun & (share == before)
        return np.where(same[:, None], belief, np.where(begun[:, None], moved, fresh))

    def _dispersion(self, rows: Ints) -> Floats:
        """How much more the strata so far vary than independent units would, (k,), at least 1;
        infinite while too few have told."""
        number, total, square = self._scores[rows].T
        spread = square - total * total / np.maximum(number, 1.0)
        phi = (PRIOR + spread) / (PRIOR + np.maximum(number - 1.0, 0.0))
        # One standard error of a variance more, so that learning from few strata costs nothing.
        phi = phi * (1.0 + np.sqrt(2.0 / np.maximum(number, 1.0)))
        return np.where(number >= LEARNING, np.maximum(phi, 1.0), np.inf)


def log_factor(belief: Floats, counts: Floats, share: Floats) -> Floats:
    """Log (k,) of the beta-binomial over the binomial probability of counts (k, 2), ``belief``
    (k, 2) the beta distribution's parameters by arm (Lindon and Malek 2022, section 3).

    >>> before, counts = np.array([[50.0, 50.0]]), np.array([[40.0, 70.0]])
    >>> round(float(log_factor(before, counts, np.array([0.5]))[0]), 9)
    1.788270483
    """
    first, second = belief[:, 0].copy(), belief[:, 1].copy()
    a, b = counts[:, 0].copy(), counts[:, 1].copy()
    risen = gammaln(first + a) - gammaln(first) + gammaln(second + b) - gammaln(second)
    total = gammaln(first + second + a + b) - gammaln(first + second)
    null = a * np.log1p(-share) + b * np.log(share)
    return np.asarray(risen - total - null)
