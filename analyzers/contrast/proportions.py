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
from analyzers.contrast.normal import log_e_one_sided
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Strata, Told, blocks
from analyzers.facts import Floats, Ints

# Alternatives for harm, as parts of the way from the margin to certain failure. Below 0.5 % of
# the way no volume of one deployment would tell; finer ones cost more than they see.
HARM_STEPS: Final = np.array([0.6, 0.2, 0.08, 0.03, 0.01])
# Alternatives for safety: the true difference as parts of the margin below it.
SAFE_STEPS: Final = np.array([0.4, 0.7, 1.0, 1.5, 3.0])
SAFE_SCALE_MIN: Final = 0.005  # at margin 0 safety must still have somewhere to look
# Prior knowledge of the failure rate, in units: 2 % of twenty units. At a prior of one half the
# first strata would be wasted on learning that failures are rare.
PRIOR_FAILURES: Final = 0.4
PRIOR_UNITS: Final = 20.0
# Strata's worth of belief that failures hang together a little. With an intraclass correlation
# of 0.05, 6 % of untouched comparisons were called harmful at 5 % without it, 4 % with it.
BELIEVED: Final = 1.3
BELIEF_STRATA: Final = 4.0
# Where the normal mixture is sharpest: after about as many failures.
RHO: Final = 4.0
_EDGE: Final = 1e-12
# Alternatives stay so far from 0 and 1: as near to the edge as the nearest point is told there, the
# two could not be told apart (measured: a factor expected to be 1.14 where all had failed).
_ROOM: Final = 1e-5
_INSIDE: Final = 1.0 - 1e-6


class Proportions:
    """Share of failures, second arm minus first: exact block e-process, t mixture, and
    normal mixture with the variance that the strata's own totals give, averaged."""

    def __init__(self) -> None:
        self.margin = np.zeros(0)
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._past = np.zeros((0, 4))  # failures and units of both arms: fa, na, fb, nb
        self._shown = np.zeros((0, 3))  # score at no difference, weight, variance
        self._sums = np.zeros((0, 2))  # score at the margin, variance: of the normal mixture
        self._up = Starts(len(HARM_STEPS))
        self._down = Held(len(SAFE_STEPS))
        self._spread = Spread()
        self._batches = Batches(1)

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
        self._sums = np.concatenate([self._sums, np.zeros((n, 2))])
        for part in (self._up, self._down, self._spread, self._batches):
            part.add(n)

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``."""
        for some, part in blocks(rows, strata):
            self._advance(some, part)

    def _advance(self, rows: Ints, strata: Strata) -> None:
        bad, units, margin, past = strata.bad, strata.units, self.margin[rows], self._past[rows]
        phi = self._spread.factor(rows, BELIEVED, BELIEF_STRATA)
        beyond, below = differences(margin)
        at = np.concatenate([beyond.T, below.T]).T
        factors = log_factors(bad, units, past, at, margin).T / phi
        harm = self._up.advance(rows, factors[: len(HARM_STEPS)].T)
        safe = self._down.advance(rows, factors[len(HARM_STEPS) :].T)
        score, variance = scores(bad, units, past, margin)
        told = information(bad, units)
        # Beyond a margin the totals are told by the outcomes: batches close sooner when it fails
        # more often. Batches of twice the size close at nearly the same pace.
        enough = np.where(margin > 0, 0.5 * told, told)
        learned = self._batches.advance(rows, score[:, None], variance[:, None], enough, units)
        wide = np.where(margin > 0, np.maximum(told, at_margin(units, past, margin)), told)
        sums = np.empty((len(rows), 2))
        sums[:, 0], sums[:, 1] = score, wide * phi
        self._sums[rows] = sums = self._sums[rows] + sums
        more, less = sides(sums[:, 0], sums[:, 1])
        self.log_harm[rows] = _third(harm, learned[:, 0], more)
        self.log_safe[rows] = _third(safe, self._batches.less(rows)[:, 0], less)
        self._tell(rows, strata, score, told, phi)

    def _tell(self, rows: Ints, strata: Strata, score: Floats, told: Floats, phi: Floats) -> None:
        """What is learned from a stratum, and shown."""
        bad, units, past = strata.bad, strata.units, self._past[rows]
        past[:, ::2] += bad
        past[:, 1::2] += units
        self._past[rows] = past
        shown = np.empty((len(rows), 3))
        shown[:, 1] = weight = units[:, 0] * units[:, 1] / np.maximum(units.sum(axis=1), 1.0)
        shown[:, 0] = plain = score + self.margin[rows] * weight
        shown[:, 2] = weight * apart(units, past) * phi
        self._shown[rows] += shown
        self._spread.advance(rows, plain / np.sqrt(np.where(told > 0, told, 1.0)), told > 0)

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is a difference of failing shares."""
        return Told(*self._shown[rows].T)


def _third(a: Floats, b: Floats, c: Floats) -> Floats:
    """Log of the mean of three e-values, fixed in advance."""
    top = np.maximum(np.maximum(a, b), c)
    return np.asarray(top + np.log((np.exp(a - top) + np.exp(b - top) + np.exp(c - top)) / 3.0))


def sides(score: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Log e-values (k,) of the normal mixture that a summed score is above, and below, zero."""
    return log_e_one_sided(score, variance, RHO), log_e_one_sided(-score, variance, RHO)


def at_margin(units: Floats, past: Floats, margin: Floats) -> Floats:
    """The variance (k,) of a stratum's score if the arms differ by the margin, at the first arm's
    past rate: without a failure a stratum's own totals give none, though there could have been."""
    first, second = units.T
    n = np.maximum(first + second, 1.0)
    qa = (past[:, 0] + PRIOR_FAILURES) / (past[:, 1] + PRIOR_UNITS)
    qb = np.minimum(qa + margin, 0.5)
    wide = (second * qa * (1.0 - qa) + first * qb * (1.0 - qb)) / n
    return np.asarray(first * second / n * wide)


def differences(margin: Floats) -> tuple[Floats, Floats]:
    """True differences to look for beyond, and below, each margin: (k, K) each for (k,)."""
    room = np.maximum(1.0 - margin, 0.0)
    scale = np.maximum(np.abs(margin), SAFE_SCALE_MIN)
    beyond = margin + room * HARM_STEPS[:, None]
    return beyond.T, np.maximum(margin - scale * SAFE_STEPS[:, None], -1.0).T


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
    fa, fb, na, nb = (np.ascontiguousarray(column) for column in (*failures.T, *units.T))
    d = np.clip(difference.T, -_INSIDE, _INSIDE)
    # The first arm's own past is as good as the rate most likely given both and the difference.
    qa = (past[:, 0] + PRIOR_FAILURES) / (past[:, 1] + PRIOR_UNITS)
    qa = np.clip(qa, _EDGE, 1 - _EDGE)
    qb = np.clip(qa + d, _ROOM, 1 - _ROOM)
    edge = np.clip(margin, -_INSIDE, _INSIDE)
    oa = nearest(na * qa, na, nb * qb, nb, edge)
    ob = np.clip(oa + edge, _EDGE, 1 - _EDGE)
    oa = np.clip(oa, _EDGE, 1 - _EDGE)
    factor = fa * np.log(qa / oa)
    factor += (na - fa) * np.log1p((oa - qa) / (1 - oa))
    factor += fb * np.log(qb / ob)
    factor += (nb - fb) * np.log1p((ob - qb) / (1 - ob))
    # Cut off at no failures, an alternative to a margin below zero may lie within the null.
    outside = (qb - qa - edge) * (d - edge) > 0
    return np.where((na > 0) & (nb > 0) & outside, factor, 0.0).T


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


def apart(units: Floats, past: Floats) -> Floats:
    """The variance of a stratum's score over its weight where the arms differ, (k,): each arm's own
    rate counts as much as the other arm is large."""
    rate = (past[:, ::2] + 0.5) / (past[:, 1::2] + 5.0)
    n = np.maximum(units.sum(axis=1), 1.0)
    return np.asarray((units[:, ::-1] * rate * (1.0 - rate)).sum(axis=1) / n)


def information(failures: Floats, units: Floats) -> Floats:
    """The hypergeometric variance of the second arm's failures given the stratum's, (k,): what the
    stratum can tell. Zero where all failed or none: such strata are alike whatever the truth is,
    and a test that learned their variance as zero would be sure of anything."""
    na, nb = units.T
    n, y = na + nb, failures.sum(axis=1)
    return np.asarray(na * nb * y * (n - y) / np.maximum(n * n * (n - 1), 1.0))
