"""Exact e-processes for a difference of two proportions against a margin, n comparisons at once.

Block e-variable of Turner and Gruenwald 2022, "Exact anytime-valid confidence intervals for
contingency tables and beyond", arXiv 2203.09785: for the convex null p_b - p_a <= m, a stratum's
likelihood at any predictable point (q_a, q_b) over its likelihood at the point of the null nearest
in Kullback-Leibler divergence has expectation at most 1 under every point of the null, whatever
the base rate is, and it may be another one in every stratum. (Along the null's edge the log
expectation is concave with slope 0 at that nearest point, for any stratum sizes.) A mixture over
alternatives gives power; flawless arms give evidence of safety, 1 / (1 - m) per canary unit. Units
may be fractions of a failure: the factor is convex in them, so its expectation only shrinks.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.batched import Batches
from analyzers.contrast.bets import Held, Starts
from analyzers.contrast.mixing import log_average
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Strata, Told
from analyzers.facts import Floats, Ints

# Alternatives for harm, as parts of the way from the margin to certain failure. Below 0.5 % of
# the way no volume of one deployment would tell; nine points lose at most log(9) = 2.2.
HARM_STEPS: Final = np.array([0.9, 0.6, 0.35, 0.2, 0.12, 0.07, 0.04, 0.02, 0.007])
# Alternatives for safety: the true difference as parts of the margin below it.
SAFE_STEPS: Final = np.array([0.4, 0.7, 1.0, 1.5, 3.0])
SAFE_SCALE_MIN: Final = 0.005  # at margin 0 safety must still have somewhere to look
# Prior knowledge of the failure rate, in units: 2 % of five units. At a prior of one half the
# first strata would be wasted on learning that failures are rare.
PRIOR_FAILURES: Final = 0.1
PRIOR_UNITS: Final = 5.0
_EDGE: Final = 1e-12
_INSIDE: Final = 1.0 - 1e-6


class Proportions:
    """Share of failures, second arm minus first: exact block e-process and t mixture, averaged."""

    def __init__(self) -> None:
        self.margin = np.zeros(0)
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._past = np.zeros((0, 4))  # failures and units of both arms: fa, na, fb, nb
        self._shown = np.zeros((0, 3))  # score at no difference, weight, variance
        self._up = Starts(len(HARM_STEPS))
        self._down = Held(len(SAFE_STEPS))
        self._spread = Spread()
        self._batches = Batches(2)

    def __len__(self) -> int:
        return len(self.margin)

    def add(self, margins: Floats) -> None:
        """New comparisons, with margins in points (0.01 is one point), each in [0, 1)."""
        n = len(margins)
        self.margin = np.concatenate([self.margin, margins])
        self.log_harm = np.concatenate([self.log_harm, np.zeros(n)])
        self.log_safe = np.concatenate([self.log_safe, np.zeros(n)])
        self._past = np.concatenate([self._past, np.zeros((n, 4))])
        self._shown = np.concatenate([self._shown, np.zeros((n, 3))])
        for part in (self._up, self._down, self._spread, self._batches):
            part.add(n)

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``."""
        bad, units, margin, past = strata.bad, strata.units, self.margin[rows], self._past[rows]
        phi = self._spread.factor(rows)
        beyond, below = differences(margin)
        at = np.concatenate([beyond, below], axis=1)
        factors = log_factors(bad, units, past, at, margin) / phi[:, None]
        harm = self._up.advance(rows, factors[:, : len(HARM_STEPS)])
        safe = self._down.advance(rows, factors[:, len(HARM_STEPS) :])
        weight = units[:, 0] * units[:, 1] / np.maximum(units.sum(axis=1), 1.0)
        score, variance = scores(bad, units, past, margin)
        told = information(bad, units)
        both = np.column_stack([score, -score])
        wide = np.column_stack([variance, variance])
        learned = self._batches.advance(rows, both, wide, told, units)
        self.log_harm[rows] = log_average(harm, learned[:, 0])
        self.log_safe[rows] = log_average(safe, learned[:, 1])
        self._shown[rows] += np.column_stack([score + margin * weight, weight, variance * phi])
        standard = (score + margin * weight) / np.sqrt(np.where(told > 0, told, 1.0))
        self._spread.advance(rows, standard, told > 0)
        self._past[rows] += np.column_stack([bad[:, 0], units[:, 0], bad[:, 1], units[:, 1]])

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is a difference of failing shares."""
        return Told(*self._shown[rows].T)


def differences(margin: Floats) -> tuple[Floats, Floats]:
    """True differences to look for beyond, and below, each margin: (k, K) each for (k,)."""
    room = np.maximum(1.0 - margin, 0.0)[:, None]
    scale = np.maximum(np.abs(margin), SAFE_SCALE_MIN)[:, None]
    beyond = margin[:, None] + room * HARM_STEPS
    return beyond, np.maximum(margin[:, None] - scale * SAFE_STEPS, -1.0)


def nearest(xa: Floats, na: Floats, xb: Floats, nb: Floats, difference: Floats) -> Floats:
    """p_a that maximises the likelihood of xa of na and xb of nb failures given p_b = p_a + d.

    The root of Miettinen and Nurminen 1985 (closed form of the cubic); all arguments broadcast,
    counts may be fractional. Also the Kullback-Leibler projection of (xa/na, xb/nb).
    """
    n, x = na + nb, xa + xb
    l3 = np.maximum(n, _EDGE)
    l2 = (2 * na + nb) * difference - x - n
    l1 = x - 2 * difference * xa - na * difference * (1 - difference) - nb * difference
    l0 = xa * difference * (1 - difference)
    shift = l2 / (3 * l3)
    v = shift * shift * shift - l1 * l2 / (6 * l3**2) + l0 / (2 * l3)
    u = np.sqrt(np.maximum(shift**2 - l1 / (3 * l3), 0.0))
    u = np.where(v < 0, -u, u)
    cube = u * u * u  # a power of 3 costs twenty times as much
    ratio = np.where(np.abs(cube) > 0, v / np.where(cube == 0, 1.0, cube), 1.0)
    angle = (np.pi + np.arccos(np.clip(ratio, -1.0, 1.0))) / 3
    p = 2 * u * np.cos(angle) - shift
    low, high = np.maximum(0.0, -difference), np.minimum(1.0, 1.0 - difference)
    return np.asarray(np.clip(p, low + _EDGE, np.maximum(high - _EDGE, low + _EDGE)))


def log_factors(
    failures: Floats, units: Floats, past: Floats, difference: Floats, margin: Floats
) -> Floats:
    """Log e-factor of one stratum of k comparisons for each alternative difference, (k, K).

    ``failures`` and ``units`` (k, 2) of both arms; ``past`` (k, 4) failures and units of both
    before it (fa, na, fb, nb); ``difference`` (k, K) alternatives; ``margin`` (k,) edge of the
    null.
    """
    fa, fb, na, nb = (column[:, None] for column in (*failures.T, *units.T))
    pa, ma = past[:, :1], past[:, 1:2]
    d = np.clip(difference, -_INSIDE, _INSIDE)
    # The first arm's own past is as good as the rate most likely given both and the difference.
    qa = np.clip((pa + PRIOR_FAILURES) / (ma + PRIOR_UNITS), _EDGE, 1 - _EDGE)
    qb = np.clip(qa + d, _EDGE, 1 - _EDGE)
    edge = np.clip(margin, -_INSIDE, _INSIDE)[:, None]
    oa = nearest(na * qa, na, nb * qb, nb, edge)
    ob = np.clip(oa + edge, _EDGE, 1 - _EDGE)
    oa = np.clip(oa, _EDGE, 1 - _EDGE)
    factor = (
        fa * np.log(qa / oa)
        + (na - fa) * np.log1p((oa - qa) / (1 - oa))
        + fb * np.log(qb / ob)
        + (nb - fb) * np.log1p((ob - qb) / (1 - ob))
    )
    return np.where((na > 0) & (nb > 0), factor, 0.0)


def scores(failures: Floats, units: Floats, past: Floats, margin: Floats) -> tuple[Floats, Floats]:
    """Mantel-Haenszel score of a stratum against its margin, and its variance, (k,) each.

    S = (f_b n_a - f_a n_b) / n - m n_a n_b / n has mean 0 at a difference of m, whatever the base
    rate; V = n_a n_b / n times p (1 - p) with p from the past, so that it is predictable.
    Arguments as in ``log_factors``.
    """
    fa, fb, na, nb = *failures.T, *units.T
    n = np.maximum(na + nb, 1.0)
    weight = na * nb / n
    # One failure in a hundred as prior: without any, the first variance would be zero.
    rate = (past[:, 0] + past[:, 2] + 0.5) / (past[:, 1] + past[:, 3] + 50.0)
    return (fb * na - fa * nb) / n - weight * margin, weight * rate * (1 - rate)


def information(failures: Floats, units: Floats) -> Floats:
    """The hypergeometric variance of the second arm's failures given the stratum's, (k,): what the
    stratum can tell. Zero where all failed or none: such strata are alike whatever the truth is,
    and a test that learned their variance as zero would be sure of anything."""
    na, nb = units.T
    n, y = na + nb, failures.sum(axis=1)
    return np.asarray(na * nb * y * (n - y) / np.maximum(n * n * (n - 1), 1.0))
