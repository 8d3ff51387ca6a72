"""The one-sided normal mixture: an e-process for a score whose variance is known.

Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021 ("Time-uniform, nonparametric, nonasymptotic
confidence sequences", one-sided conjugate normal mixture). Where a permutation gives a score's
variance it need not be learned from batches, which a small canary has few of.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import log_ndtr

from analyzers.contrast.mixing import log_mean
from analyzers.facts import Floats

# At which variances the mixture is sharpest: after about 8, 50 and 240 even-handed units.
RHOS: Final = (2.0, 12.0, 60.0)


def log_e_one_sided(score: Floats, variance: Floats, rho: float) -> Floats:
    """Log e-value against "the score has mean <= 0", ``score`` the sum so far and ``variance`` the
    sum of its conditional variances (equal shapes), for one mixing precision ``rho``.

    >>> round(float(log_e_one_sided(np.array([-8.0]), np.array([50.0]), 20.0)[0]), 6) < 0
    True
    """
    wide = variance + rho
    scale = 0.5 * (np.log(4.0 * rho) - np.log(wide))
    return np.asarray(scale + score**2 / (2.0 * wide) + log_ndtr(score / np.sqrt(wide)))


def log_e(score: Floats, variance: Floats) -> Floats:
    """Log e-value against "mean <= 0", the equal mixture over ``RHOS``; same shape."""
    parts = [log_e_one_sided(score, variance, rho) for rho in RHOS]
    return log_mean(np.array(parts), 0)
