"""The tail of Student's distribution, scaled so that it neither underflows nor falls by much.

Beyond z, with n degrees of freedom, it is P(T > z) (1 + z^2 / n)^(n / 2), as a function of zeta =
z / sqrt(2 (1 + z^2 / n)): from a half at 0 to about 0.28 / zeta. For many degrees it is the normal
distribution's, exp(zeta^2) erfc(zeta) / 2. ``scipy.special.stdtr`` costs 300 ns a value;
polynomials through its values, made when this is first read, cost 30 and are right to 3e-12.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import poch, stdtr

from analyzers.facts import Floats

# One polynomial for each number of degrees of freedom up to so many, beyond which they are smooth
# in its inverse.
_FITTED: Final = 256.0
_DEGREE: Final = 13
_MIDDLE: Final = 3.0  # as many places below this zeta as above it


def scaled_tail(n: Floats, zeta: Floats) -> Floats:
    """The scaled tail for ``n`` (k,) whole degrees of freedom, 2 or more, at ``zeta`` (..., k) of
    0 to n / sqrt(2 n + 2).

    >>> round(float(scaled_tail(np.array([7.0]), np.array([0.0]))[0]), 11)
    0.5
    """
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
    """The largest zeta of n degrees of freedom that is asked for."""
    return np.asarray(np.sqrt(0.5 * n * n / (n + 1.0)))


def _through(n: Floats) -> Floats:
    """Coefficients by power and by n (p,) of polynomials in (m - zeta) / (m + zeta), m the middle,
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
