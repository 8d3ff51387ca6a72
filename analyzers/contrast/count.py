"""E-processes for a rate ratio of two counts, given what share of the traffic each arm had.

Given a stratum's total, the canary's count is binomial with probability theta(r) = s r / (s r +
1 - s), s the canary's share of exposure and r the rate ratio (Lindon and Malek 2022,
"Anytime-Valid Inference for Multinomial Count Data", arXiv 2011.03567, section 4): the nuisance
rate cancels. The likelihood ratio is monotone in r, so one computed at the edge of a one-sided
null is valid for all of it; a mixture over alternatives is exact for Poisson counts, and works
with shares that change from stratum to stratum.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Bools, Floats

# Alternatives as factors on the rate ratio at the margin: from a hardly visible 2 % to nothing
# left. Below 2 % no volume of one deployment would tell.
DOWN: Final = np.array([0.98, 0.95, 0.9, 0.8, 0.65, 0.45, 0.2, 0.02])
UP: Final = 1.0 / np.array([0.98, 0.95, 0.9, 0.8, 0.65, 0.45, 0.2])


def share_at(share: Floats, ratio: Floats) -> Floats:
    """The canary's expected share of the counts at a rate ratio; arguments broadcast."""
    return np.asarray(share * ratio / (share * ratio + 1 - share))


def log_factors(counts: Floats, share: Floats, factors: Floats, edge: Floats) -> Floats:
    """Log likelihood ratio of each stratum: ratio ``edge * factor`` against ratio ``edge``.

    ``counts`` (J, 2) baseline and canary, ``share`` (J,) of the canary in exposure, ``factors``
    (K,), ``edge`` (G,) rate ratios at the margins. Shape (J, G, K).
    """
    s = share[:, None, None]
    null = share_at(s, edge[None, :, None])
    other = share_at(s, edge[None, :, None] * factors[None, None, :])
    a, b = counts[:, 0, None, None], counts[:, 1, None, None]
    return b * np.log(other / null) + a * np.log((1 - other) / (1 - null))


def scores(counts: Floats, share: Floats, edge: Floats) -> tuple[Floats, Floats]:
    """Canary's count beyond its expectation at each ratio, and its binomial variance, (J, G)."""
    n = counts.sum(axis=1)[:, None]
    theta = share_at(share[:, None], edge[None, :])
    return counts[:, 1, None] - n * theta, n * theta * (1 - theta)


def standardised(counts: Floats, share: Floats) -> tuple[Floats, Bools]:
    """The canary's count beyond its share of the stratum's, over the square root of its binomial
    variance, (J,); and where that variance is not zero."""
    n = counts.sum(axis=1)
    variance = n * share * (1 - share)
    told = variance > 0
    return (counts[:, 1] - n * share) / np.sqrt(np.where(told, variance, 1.0)), told
