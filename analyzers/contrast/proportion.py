"""Exact e-processes for a difference of two proportions against a margin.

Block e-variable of Turner and Gruenwald 2022, "Exact anytime-valid confidence intervals for
contingency tables and beyond", arXiv 2203.09785: for the convex null p_b - p_a <= m, a stratum's
likelihood at any predictable point (q_a, q_b) over its likelihood at the point of the null nearest
in Kullback-Leibler divergence has expectation at most 1 under every point of the null, whatever
the base rate is, and it may be another one in every stratum. (Along the null's edge the log
expectation is concave with slope 0 at that nearest point, for any stratum sizes.) A mixture over
alternatives gives power; flawless arms give evidence of safety, 1 / (1 - m) per canary unit.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Bools, Floats

# Alternatives for harm, as parts of the way from the margin to certain failure. Below 0.5 % of
# the way no volume of one deployment would tell; eleven points lose at most log(11) = 2.4.
HARM_STEPS: Final = np.array([0.9, 0.6, 0.35, 0.2, 0.12, 0.07, 0.04, 0.02, 0.007])
# Alternatives for safety: the true difference as parts of the margin below it.
SAFE_STEPS: Final = np.array([0.4, 0.7, 1.0, 1.5, 3.0])
SAFE_SCALE_MIN: Final = 0.005  # at margin 0 safety must still have somewhere to look
# Prior knowledge of the failure rate, in units: 2 % of five units. At a prior of one half the
# first strata would be wasted on learning that failures are rare.
PRIOR_FAILURES: Final = 0.1
PRIOR_UNITS: Final = 5.0
_EDGE: Final = 1e-12


def harm_differences(margin: Floats) -> Floats:
    """True differences to look for beyond each margin: shape (G, K) for margins (G,)."""
    room = np.maximum(1.0 - margin, 0.0)
    return np.asarray(margin[:, None] + room[:, None] * HARM_STEPS[None, :])


def safe_differences(margin: Floats) -> Floats:
    """True differences to look for below each margin: shape (G, K) for margins (G,)."""
    scale = np.maximum(np.abs(margin), SAFE_SCALE_MIN)
    return np.asarray(np.maximum(margin[:, None] - scale[:, None] * SAFE_STEPS[None, :], -1.0))


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
    """Log e-factor of each stratum for each alternative difference against each margin.

    ``failures`` and ``units`` (J, 2) baseline and canary of J strata; ``past`` (J, 4) failures
    and units of both arms before each stratum (fa, na, fb, nb); ``difference`` (G, K) alternatives
    and ``margin`` (G,) edges of the null. Shape (J, G, K).
    """
    fa, fb = (failures[:, arm, None, None] for arm in (0, 1))
    na, nb = (units[:, arm, None, None] for arm in (0, 1))
    pa, ma, pb, mb = (past[:, column, None, None] for column in range(4))
    d = np.clip(difference[None], -1.0 + 1e-6, 1.0 - 1e-6)
    qa = nearest(pa + PRIOR_FAILURES, ma + PRIOR_UNITS, pb + PRIOR_FAILURES, mb + PRIOR_UNITS, d)
    qb = np.clip(qa + d, _EDGE, 1 - _EDGE)
    edge = np.clip(margin, -1.0 + 1e-6, 1.0 - 1e-6)[None, :, None]
    oa = nearest(na * qa, na, nb * qb, nb, edge)
    ob = np.clip(oa + edge, _EDGE, 1 - _EDGE)
    oa = np.clip(oa, _EDGE, 1 - _EDGE)
    both = (na > 0) & (nb > 0)
    factor = (
        fa * np.log(qa / oa)
        + (na - fa) * np.log1p((oa - qa) / (1 - oa))
        + fb * np.log(qb / ob)
        + (nb - fb) * np.log1p((ob - qb) / (1 - ob))
    )
    return np.where(both, factor, 0.0)


def scores(failures: Floats, units: Floats, past: Floats, margin: Floats) -> tuple[Floats, Floats]:
    """Mantel-Haenszel score of each stratum against each margin, and its variance.

    S_j = (f_b n_a - f_a n_b) / n - m n_a n_b / n has mean 0 at a difference of m, whatever the
    base rate; V_j = n_a n_b / n times p (1 - p) with p from the past, so that it is predictable.
    Arguments as in ``log_factors``; shapes (J, G) and (J,).
    """
    fa, fb, na, nb = failures[:, 0], failures[:, 1], units[:, 0], units[:, 1]
    n = np.maximum(na + nb, 1.0)
    weight = na * nb / n
    score = ((fb * na - fa * nb) / n)[:, None] - weight[:, None] * margin[None, :]
    # One failure in a hundred as prior: without any, the first variance would be zero.
    rate = (past[:, 0] + past[:, 2] + 0.5) / (past[:, 1] + past[:, 3] + 50.0)
    return score, weight * rate * (1 - rate)


def standardised(failures: Floats, units: Floats) -> tuple[Floats, Bools]:
    """The canary's failures beyond their expectation given the stratum's, over the square root of
    their hypergeometric variance (Cochran), (J,); and where that variance is not zero."""
    variance = information(failures, units)
    told = variance > 0
    n = np.maximum(units.sum(axis=1), 1.0)
    score = failures[:, 1] - units[:, 1] * failures.sum(axis=1) / n
    return score / np.sqrt(np.where(told, variance, 1.0)), told


def information(failures: Floats, units: Floats) -> Floats:
    """The hypergeometric variance of the canary's failures given the stratum's, (J,): what the
    stratum can tell. Zero where all failed or none: such strata are alike whatever the truth is,
    and a test that learned their variance as zero would be sure of anything."""
    na, nb = units[:, 0], units[:, 1]
    n, y = na + nb, failures.sum(axis=1)
    return np.asarray(na * nb * y * (n - y) / np.maximum(n * n * (n - 1), 1.0))
