"""The weighted average of e-values: an e-value again, whatever their dependence.

Vovk and Wang (2021), "E-values: calibration, combination and applications", Annals of Statistics
49: section 3, for weights that were fixed before the evidence.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from analyzers.facts import Floats

_SMALLEST: Final = 5e-324  # where everything is bet and lost: a log that is no infinity


def log_weighted_average(log_e: Floats, weights: Floats) -> float:
    """Log of the average of e-values, logs of shape ``(n,)``, under weights of sum 1 at most; what
    is left of the weights stands at e = 1.

    >>> round(math.exp(log_weighted_average(np.log([41.0, 1.0]), np.array([0.25, 0.25]))), 9)
    11.0
    """
    rest = max(0.0, 1.0 - math.fsum(weights.tolist()))
    top = max(0.0, float(log_e.max(initial=0.0)))
    parts = weights * np.exp(log_e - top)
    return top + math.log(math.fsum([*parts.tolist(), rest * math.exp(-top)]) or _SMALLEST)
