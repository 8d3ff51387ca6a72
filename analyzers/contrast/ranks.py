"""Permutation score of a stratum's two histograms: is the canary slower by more than a margin?

Given a stratum's pooled values, which of them are the canary's is a random draw under the null:
the sum of the canary's midranks has an exact mean and variance for any common distribution,
another one in every stratum (sequential van Elteren). A margin of (1 + m) shifts the canary's
logarithmic buckets down by log(1 + m), a whole number of buckets.
"""

from __future__ import annotations

import numpy as np

from analyzers.facts import Floats, Ints


def scores(
    stratum: Ints, bucket: Ints, counts: Floats, strata: int, shift: int
) -> tuple[Floats, Floats]:
    """Wilcoxon score of the canary and its permutation variance, for each stratum; shape (J,).

    Rows are occupied buckets: ``stratum`` in [0, J), ``bucket`` numbers, ``counts`` (m, 2)
    baseline and canary. ``shift`` buckets are taken off the canary's values (positive ones down,
    negative ones up; zero stays). Midranks are scaled to mean 0 and unit variance without ties,
    so V is about n_a n_b / n: positive S means the canary has the larger values.
    """
    moved = np.where(bucket > 0, np.maximum(bucket - shift, 1), bucket)
    moved = np.where(bucket < 0, np.minimum(bucket + shift, -1), moved)
    number = np.concatenate([bucket, moved])
    of = np.concatenate([stratum, stratum])
    a = np.concatenate([counts[:, 0], np.zeros(len(bucket))])
    b = np.concatenate([np.zeros(len(bucket)), counts[:, 1]])
    order = np.lexsort((number, of))
    number, of, a, b = number[order], of[order], a[order], b[order]
    both = a + b
    start = np.ones(len(of), np.bool_)
    start[1:] = (of[1:] != of[:-1]) | (number[1:] != number[:-1])
    place = np.flatnonzero(start)
    if not len(place):
        return np.zeros(strata), np.zeros(strata)
    tie_of, tie, tie_b = of[place], np.add.reduceat(both, place), np.add.reduceat(b, place)
    n = np.bincount(tie_of, tie, strata)
    nb = np.bincount(tie_of, tie_b, strata)
    na = n - nb
    before = np.cumsum(tie) - tie
    first = np.concatenate([[0.0], np.cumsum(n)[:-1]])
    rank = (before - first[tie_of] + tie / 2) / np.maximum(n, 1.0)[tie_of] - 0.5
    rank *= np.sqrt(12.0)
    score = np.bincount(tie_of, rank * tie_b, strata)  # mean of rank is 0 in every stratum
    spread = np.bincount(tie_of, rank**2 * tie, strata) / np.maximum(n, 1.0)
    variance = na * nb / np.maximum(n - 1, 1.0) * spread
    informative = (na > 0) & (nb > 0)
    return np.where(informative, score, 0.0), np.where(informative, variance, 0.0)
