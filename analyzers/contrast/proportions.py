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
from analyzers.contrast.normal import both_sides
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Rows, Strata, Told, added, blocks, grow, read, run
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
_NOTHING: Final = 1e-30
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
        self._differences = np.zeros((0, len(HARM_STEPS) + len(SAFE_STEPS)))  # bet on
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
        rows = grow(self, len(margins))
        self.margin[rows] = margins
        self._differences[rows] = np.concatenate(differences(margins), axis=1)

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``."""
        for some, part in blocks(rows, strata, wide=True):
            self._advance(run(some), part)

    def _advance(self, rows: Rows, strata: Strata) -> None:
        bad, units = np.asfortranarray(strata.bad), np.asfortranarray(strata.units)
        margin, past = self.margin[rows], read(self._past, rows).T
        phi = self._spread.factor(rows, BELIEVED, BELIEF_STRATA)
        factors = log_factors(bad, units, past, read(self._differences, rows).T, margin).T
        factors /= phi
        harm = self._up.advance(rows, factors[: len(HARM_STEPS)].T)
        safe = self._down.advance(rows, factors[len(HARM_STEPS) :].T)
        score, variance = scores(bad, units, past, margin)
        told = information(bad, units)
        # Beyond a margin the totals are told by the outcomes: batches close sooner when it fails
        # more often. Batches of twice the size close at nearly the same pace.
        beyond = margin > 0
        enough = np.where(beyond, 0.5 * told, told)
        learned = self._batches.advance(rows, score[:, None], variance[:, None], enough, units)
        wide = np.where(beyond, np.maximum(told, at_margin(units, past, margin)), told)
        sums = added(self._sums, rows, score, wide * phi)
        more, less = both_sides(sums[0], sums[1], RHO)
        self.log_harm[rows] = _third(harm, learned[:, 0], more)
        self.log_safe[rows] = _third(safe, self._batches.less(rows)[:, 0], less)
        # What is learned from the stratum, and shown.
        past = added(self._past, rows, bad[:, 0], units[:, 0], bad[:, 1], units[:, 1]).T
        weight = units[:, 0] * units[:, 1] / np.maximum(units[:, 0] + units[:, 1], 1.0)
        plain = score + margin * weight
        added(self._shown, rows, plain, weight, weight * apart(units, past) * phi)
        some = told > 0
        self._spread.advance(rows, plain / np.sqrt(np.where(some, told, 1.0)), some)

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is a difference of failing shares."""
        return Told(*self._shown[rows].T)


def _third(a: Floats, b: Floats, c: Floats) -> Floats:
    """Log of the mean of three e-values, fixed in advance."""
    top = np.maximum(np.maximum(a, b), c)
    return np.asarray(top + np.log((np.exp(a - top) + np.exp(b - top) + np.exp(c - top)) / 3.0))


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
    # Of p^3 + l2 p^2 + l1 p + l0, what does not depend on the failures of both first.
    n, past = np.maximum(na + nb, _EDGE), difference * (1.0 - difference)
    fixed = ((2.0 * na + nb) * difference - na - nb) / n
    l0 = xa * past / n
    l1 = -(2.0 * difference * xa + na * past + nb * difference) / n
    shift = (xb + xa) / n
    l1 = l1 + shift
    shift = (fixed - shift) / 3.0
    square = shift * shift
    v = shift * (square - 0.5 * l1) + 0.5 * l0
    l1 /= -3.0
    l1 += square
    u = np.sqrt(np.maximum(l1, _NOTHING, out=l1), out=l1)
    v /= u * u * u  # a power of 3 costs twenty times as much
    np.clip(v, -1.0, 1.0, out=v)
    # The cosine of (pi + arccos) / 3 is the sine of arcsin / 3.
    np.arcsin(v, out=v)
    v /= 3.0
    np.sin(v, out=v)
    v *= 2.0 * u
    v -= shift
    low, high = np.maximum(0.0, -difference) + _EDGE, np.minimum(1.0, 1.0 - difference) - _EDGE
    return np.asarray(np.clip(v, low, np.maximum(high, low), out=v))


def log_factors(
    failures: Floats, units: Floats, past: Floats, difference: Floats, margin: Floats
) -> Floats:
    """Log e-factor of one stratum of k comparisons for each alternative difference, (k, K).

    ``failures`` and ``units`` (k, 2) of both arms; ``past`` (k, 4) failures and units of both
    before it (fa, na, fb, nb); ``difference`` (k, K) alternatives; ``margin`` (k,) edge of the
    null.
    """
    fa, fb, na, nb = (np.ascontiguousarray(column) for column in (*failures.T, *units.T))
    # The first arm's own past is as good as the rate most likely given both and the difference.
    qa = (past[:, 0] + PRIOR_FAILURES) / (past[:, 1] + PRIOR_UNITS)
    qa = np.clip(qa, _EDGE, 1 - _EDGE)
    qb = difference.T + qa
    np.clip(qb, _ROOM, 1 - _ROOM, out=qb)
    edge = np.clip(margin, -_INSIDE, _INSIDE)
    # Cut off at no failures, an alternative to a margin below zero may lie within the null.
    outside = (qb - (qa + edge)) * (difference.T - edge) > 0
    outside &= (na > 0) & (nb > 0)
    oa = nearest(na * qa, na, nb * qb, nb, edge)
    ob = oa + edge
    factor = np.log(qb / ob)
    factor *= fb
    qb -= 1.0
    ob -= 1.0
    qb /= ob
    factor += (nb - fb) * np.log(qb, out=qb)
    factor += fa * np.log(qa) + (na - fa) * np.log1p(-qa)
    factor -= fa * np.log(oa, out=ob)
    factor -= (na - fa) * np.log(1.0 - oa, out=ob)
    factor *= outside
    return np.asarray(factor.T)


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


def at_margin(units: Floats, past: Floats, margin: Floats) -> Floats:
    """The variance (k,) of a stratum's score if the arms differ by the margin, at the first arm's
    past rate: without a failure a stratum's own totals give none, though there could have been."""
    first, second = units.T
    n = np.maximum(first + second, 1.0)
    qa = (past[:, 0] + PRIOR_FAILURES) / (past[:, 1] + PRIOR_UNITS)
    qb = np.minimum(qa + margin, 0.5)
    wide = (second * qa * (1.0 - qa) + first * qb * (1.0 - qb)) / n
    return np.asarray(first * second / n * wide)


def apart(units: Floats, past: Floats) -> Floats:
    """The variance of a stratum's score over its weight where the arms differ, (k,): each arm's own
    rate counts as much as the other arm is large."""
    first, second = units.T
    qa, qb = ((past[:, at] + 0.5) / (past[:, at + 1] + 5.0) for at in (0, 2))
    wide = second * qa * (1.0 - qa) + first * qb * (1.0 - qb)
    return np.asarray(wide / np.maximum(first + second, 1.0))


def information(failures: Floats, units: Floats) -> Floats:
    """The hypergeometric variance of the second arm's failures given the stratum's, (k,): what the
    stratum can tell. Zero where all failed or none: such strata are alike whatever the truth is,
    and a test that learned their variance as zero would be sure of anything."""
    na, nb = units.T
    n, y = na + nb, failures[:, 0] + failures[:, 1]
    return np.asarray(na * nb * y * (n - y) / np.maximum(n * n * (n - 1), 1.0))
