"""Equal mixtures of e-values in logs. ``scipy.special.logsumexp`` does the same in 0.25 ms of
checks a call, which was a third of a tick."""

from __future__ import annotations

import numpy as np

from analyzers.facts import Floats


def log_mean(logs: Floats, axis: int) -> Floats:
    """Log of the mean of ``exp(logs)`` along an axis; -inf where all of them are.

    >>> round(float(log_mean(np.array([0.0, -np.inf]), axis=0)), 12)
    -0.69314718056
    """
    top = logs.max(axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        told = np.log(np.exp(logs - safe).mean(axis=axis))
    return np.asarray(told + np.squeeze(safe, axis=axis))


def log_average(a: Floats, b: Floats) -> Floats:
    """Log of the mean of two e-values, fixed in advance."""
    return np.asarray(np.logaddexp(a, b) - np.log(2.0))
