"""The one-sided t mixture: an e-process for "the mean of these scores is at most zero".

Lindon, Ham, Tingley, Bojinov 2022, "Anytime-valid linear models", arXiv 2210.08589 (two-sided
log Bayes factor with unknown variance); the one-sided form uses a half-normal prior on mean/sd.
Exact for Gaussian scores, asymptotic otherwise; scale free; variance learned from the scores.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import log_ndtr, poch, stdtr

from analyzers.contrast.mixing import log_mean
from analyzers.facts import Floats

# Prior precisions mixed with equal weight: the small one expects effects of a sd a batch, the large
# one of a third. Three (0.5, 4, 32) found half a sd of a gauge 5 % later.
PHIS: Final = (1.5, 8.0)
_PHIS: Final = np.array(PHIS)
_SHARE: Final = float(np.log(2.0 / len(PHIS)))
_TINY: Final = 1e-300
# Student's distribution function costs 300 ns. Its polynomials are right to 2e-12 up to so many
# scores, of this degree, with as many places below this zeta as above it.
_FITTED: Final = 256.0
_DEGREE: Final = 13
_MIDDLE: Final = 3.0


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
    """Log e-values against "mean <= 0" and against "mean >= 0", ``n`` (k,) and the others (k,) or
    (C, k): ``log_e`` of the scores and of their negatives to eleven digits, at a third of the cost
    of one of them. Their e-values add up to a two-sided mixture: the lesser alone needs a tail."""
    enough = n >= 2
    n = np.maximum(n, 2.0)
    signal = total * total / n
    top = np.maximum(np.maximum(square, signal), _TINY)
    rest = top - signal
    signal /= top
    rest /= top
    wide = n + _PHIS.reshape(-1, *([1] * total.ndim))
    shrink = (wide - n) / wide
    gain = rest + shrink * signal
    np.log(gain, out=gain)
    gain *= -0.5 * n
    tail = _scaled_tail(n, np.sqrt((0.5 * n * n * signal) / wide))
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


def _scaled_tail(n: Floats, zeta: Floats) -> Floats:
    """Student's tail beyond z with n degrees of freedom, times (1 + z^2 / n)^(n / 2), where
    zeta = z / sqrt(2 (1 + z^2 / n)): it falls slowly from a half."""
    near = zeta + _MIDDLE
    place = 2.0 * _MIDDLE / near - 1.0
    told = _FEW.take(np.minimum(n, _FITTED).astype(np.int64), axis=1)
    many = n > _FITTED
    if many.any():
        part = np.where(many, _FITTED / n, 0.0)
        smooth = _MANY[-1, :, None] * part
        for order in _MANY[-2:0:-1]:
            smooth += order[:, None]
            smooth *= part
        smooth += _MANY[0, :, None]
        told = np.where(many, smooth, told)
    found = told[_DEGREE] * place
    for at in range(_DEGREE - 1, 0, -1):
        found += told[at]
        found *= place
    found += told[0]
    found /= near
    beyond = many & (zeta > _FAR)
    if beyond.any():
        # 16 standard deviations away: the tail's integral by parts, until it is below by 1e-10.
        far = np.maximum(zeta, _FAR)
        odds = 0.5 * n / (far * far) - 1.0
        bound = np.ones_like(far)
        for times in range(5, 0, -1):
            bound = 1.0 - (2.0 * times - 1.0) / (n + 2.0 * times) * odds * bound
        bound *= poch(0.5 * n, 0.5) / (np.sqrt(2.0 * np.pi * n) * far)
        found = np.where(beyond, bound, found)
    return np.asarray(found)


def _most(n: Floats) -> Floats:
    """The largest zeta that n scores can show."""
    return np.asarray(np.sqrt(0.5 * n * n / (n + min(PHIS))))


def _through(n: Floats) -> Floats:
    """Coefficients by power and by number of scores (p,) of polynomials in (m - zeta) / (m + zeta)
    for the scaled tail times m + zeta, through its values at Chebyshev's places."""
    n = n[:, None]
    most = _most(np.minimum(n, _FITTED))
    lowest = (_MIDDLE - most) / (_MIDDLE + most)
    node = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    place = lowest + (1.0 - lowest) * 0.5 * (node + 1.0)
    zeta = _MIDDLE * (1.0 - place) / (1.0 + place)
    part = 2.0 * zeta * zeta / n
    tail = stdtr(n, -zeta * np.sqrt(2.0 / (1.0 - part))) * np.exp(-0.5 * n * np.log1p(-part))
    powers = place[:, :, None] ** np.arange(_DEGREE + 1)
    found = np.linalg.solve(powers, (tail * (_MIDDLE + zeta))[:, :, None])
    return np.asarray(found[:, :, 0].T, np.float64)


_FEW: Final = _through(np.maximum(np.arange(_FITTED + 1.0), 2.0))
_FAR: Final = float(_most(np.array(_FITTED)))
_NODES = 0.5 + 0.5 * np.cos(np.pi * (np.arange(5) + 0.5) / 5)
# By order in 256 / n: the scaled tail is smooth in it down to the normal's.
_MANY: Final = np.linalg.solve(_NODES[:, None] ** np.arange(5), _through(_FITTED / _NODES).T)
