"""The one-sided t mixture: an e-process for "the mean of these scores is at most zero".

Lindon, Ham, Tingley, Bojinov 2022, "Anytime-valid linear models", arXiv 2210.08589 (two-sided
log Bayes factor with unknown variance); the one-sided form uses a half-normal prior on mean/sd.
Exact for Gaussian scores, asymptotic otherwise; scale free; variance learned from the scores.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import log_ndtr, stdtr

from analyzers.contrast.mixing import log_mean
from analyzers.contrast.student import scaled_tail
from analyzers.facts import Floats

# Prior precisions mixed with equal weight: the small one expects effects of a sd a batch, the large
# one of a third. Three (0.5, 4, 32) found half a sd of a gauge 5 % later.
PHIS: Final = (1.5, 8.0)
_PHIS: Final = np.array(PHIS)
_SHARE: Final = float(np.log(2.0 / len(PHIS)))
_TINY: Final = 1e-300


def log_e_one_sided(n: Floats, total: Floats, square: Floats, phi: float) -> Floats:
    """Log e-value against "mean <= 0" after ``n`` scores of sum ``total`` and sum of squares
    ``square`` (equal shapes, float64), for one prior precision ``phi``; 0 where n < 2.

    >>> import numpy as np
    >>> n, mean, ss = np.array([30.0]), 0.4, 29.0
    >>> round(float(log_e_one_sided(n, n * mean, ss + n * mean**2, 1.0)[0]), 12)
    1.175215683275
    """
    enough = n >= 2
    n = np.where(enough, n, 2.0)
    mean = total / n
    signal = n * mean**2
    rest = np.maximum(square - signal, 0.0)
    shrink = phi / (phi + n)
    top, bottom = rest + signal, rest + shrink * signal
    ratio = np.where(top > _TINY, top / np.maximum(bottom, _TINY), 1.0)
    two_sided = 0.5 * np.log(shrink) + 0.5 * n * np.log(ratio)  # (nu + 1) / 2 with nu = n - 1
    spread = bottom / (n * (n + phi))
    z = (n * mean / (n + phi)) / np.sqrt(np.maximum(spread, _TINY))
    z = np.where(bottom > _TINY, z, 0.0)
    side = np.log(2.0) + _log_t_cdf(n, z)
    return np.where(enough, two_sided + side, 0.0)


def _log_t_cdf(nu: Floats, z: Floats) -> Floats:
    """Log of Student's distribution function; far in the lower tail, where it underflows to
    zero, bounded below by the normal's, which is smaller: the e-value only shrinks."""
    p = stdtr(nu, z)
    return np.where(p > _TINY, np.log(np.maximum(p, _TINY)), log_ndtr(z))


def log_e(n: Floats, total: Floats, square: Floats) -> Floats:
    """Log e-value against "mean <= 0", the equal mixture over ``PHIS``; same shape as ``n``."""
    parts = [log_e_one_sided(n, total, square, phi) for phi in PHIS]
    return log_mean(np.array(parts), 0)


def both_sides(n: Floats, total: Floats, square: Floats) -> tuple[Floats, Floats]:
    """Log e-values against "mean <= 0" and against "mean >= 0", ``n`` (k,) whole numbers and the
    others (k,) or (C, k): ``log_e`` of the scores and of their negatives to ten digits, at a third
    of the cost. The e-values add up to a two-sided mixture: the lesser alone needs a tail."""
    enough = n >= 2
    n = np.maximum(n, 2.0)
    signal = total * total / n
    top = np.maximum(np.maximum(square, signal), _TINY)
    rest = top - signal
    signal /= top
    rest /= top
    phi = _PHIS.reshape(-1, *([1] * total.ndim))
    wide = n + phi
    shrink = phi / wide
    gain = rest + shrink * signal
    np.log(gain, out=gain)
    gain *= -0.5 * n
    tail = scaled_tail(n, np.sqrt((0.5 * n * n * signal) / wide))
    weight = np.sqrt(shrink, out=shrink)
    tail *= weight
    # The first is the largest: the smallest precision allows for the largest effects.
    most, less = gain[0], tail[0]
    more = weight[0]
    for one in range(1, len(PHIS)):
        less += tail[one]
        more = more + weight[one] * np.exp(gain[one] - most)
    more = more - less * np.exp(-most)
    low = np.log(less) + _SHARE
    high = np.log(more) + (most + _SHARE)
    positive = total > 0
    return (
        np.where(enough, np.where(positive, high, low), 0.0),
        np.where(enough, np.where(positive, low, high), 0.0),
    )
