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
_RHOS: Final = np.array(RHOS)
_STEPS: Final = 10  # of Newton; after eight the last digits stand, from hundreds of them off
_ROOT_TWO_PI: Final = float(np.sqrt(2.0 * np.pi))


def log_e_one_sided(score: Floats, variance: Floats, rho: float) -> Floats:
    """Log e-value against "the score has mean <= 0", ``score`` the sum so far and ``variance`` the
    sum of its conditional variances (equal shapes), for one mixing precision ``rho``.

    >>> round(float(log_e_one_sided(np.array([-8.0]), np.array([50.0]), 20.0)[0]), 6) < 0
    True
    """
    return both_sides(score, variance, rho)[0]


def both_sides(score: Floats, variance: Floats, rho: float) -> tuple[Floats, Floats]:
    """Log e-values that the score is above, and below, zero: ``log_e_one_sided`` of it and of its
    negative."""
    wide = variance + rho
    z = score / np.sqrt(wide)
    both = 0.5 * (np.log(4.0 * rho / wide) + z * z)
    return both + log_ndtr(z), both + log_ndtr(-z)


def log_e(score: Floats, variance: Floats) -> Floats:
    """Log e-value against "mean <= 0", the equal mixture over ``RHOS``; same shape."""
    parts = [log_e_one_sided(score, variance, rho) for rho in RHOS]
    return log_mean(np.array(parts), 0)


def boundary(variance: Floats, level: float) -> Floats:
    """The score at which ``log_e`` reaches ``level`` at each variance, (p,): beyond it a score of
    mean zero comes, ever, with probability at most ``exp(-level)``.

    >>> round(float(log_e(boundary(np.array([50.0]), 3.0), np.array([50.0]))[0]), 9)
    3.0
    """
    wide = np.asarray(variance)[:, None] + _RHOS
    root = np.sqrt(wide)
    scale = 0.5 * np.log(4.0 * _RHOS / wide)
    far = wide[:, -1]
    score = np.sqrt(2.0 * far * (level + np.log(far) + 8.0))
    # Newton's steps from beyond: a mixture of exponentials is convex in logs, so that no step
    # leads below the root.
    for _ in range(_STEPS):
        z = score[:, None] / root
        below = log_ndtr(z)
        logs = scale + 0.5 * z * z + below
        slopes = (z + np.exp(-0.5 * z * z - below) / _ROOT_TWO_PI) / root
        top = logs.max(axis=1)
        parts = np.exp(logs - top[:, None])
        total = parts.sum(axis=1)
        over = top + np.log(total / len(RHOS)) - level
        score = np.maximum(score - over * total / (parts * slopes).sum(axis=1), 0.0)
    return np.asarray(score)
