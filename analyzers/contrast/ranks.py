"""Permutation score of a stratum's two histograms: is the canary slower by more than a margin?

Given a stratum's pooled values, which of them are the canary's is a random draw under the null:
the sum of the canary's midranks has an exact mean and variance for any common distribution,
another one in every stratum (sequential van Elteren). A margin of (1 + m) shifts the canary's
logarithmic buckets down by log(1 + m), a whole number of buckets.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints

# Rows sorted at once: beyond it a sort leaves the processor's cache, far below it the calls count.
_ROWS_AT_ONCE: Final = 20_000


def scores(
    stratum: Ints, bucket: Ints, counts: Floats, strata: int, shifts: Ints
) -> tuple[Floats, Floats]:
    """Wilcoxon score of the canary and its permutation variance, for each stratum and shift;
    shape (J, G).

    Rows are occupied buckets: ``stratum`` in [0, J), ``bucket`` numbers, ``counts`` (m, 2)
    baseline and canary. ``shifts`` (G,) buckets are taken off the canary's values (positive ones
    down, negative ones up; zero stays). Midranks are scaled to mean 0 and unit variance without
    ties, so V is about n_a n_b / n: positive S means the canary has the larger values.
    """
    step = max(1, _ROWS_AT_ONCE // max(2 * len(bucket), 1))
    parts = [
        _scores(stratum, bucket, counts, strata, shifts[begin : begin + step])
        for begin in range(0, len(shifts), step)
    ]
    return (
        np.concatenate([score for score, _ in parts], axis=1),
        np.concatenate([variance for _, variance in parts], axis=1),
    )


def _scores(
    stratum: Ints, bucket: Ints, counts: Floats, strata: int, shifts: Ints
) -> tuple[Floats, Floats]:
    g, m = len(shifts), len(bucket)
    shift = shifts[:, None]
    moved = np.where(bucket > 0, np.maximum(bucket - shift, 1), np.minimum(bucket + shift, -1))
    moved = np.where(bucket == 0, 0, moved)
    number = np.concatenate([np.tile(bucket, g), moved.ravel()])
    of = np.tile((stratum + strata * np.arange(g)[:, None]).ravel(), 2)
    a = np.concatenate([np.tile(counts[:, 0], g), np.zeros(m * g)])
    b = np.concatenate([np.zeros(m * g), np.tile(counts[:, 1], g)])
    order = np.lexsort((number, of))
    number, of, a, b = number[order], of[order], a[order], b[order]
    both = a + b
    start = np.ones(len(of), np.bool_)
    start[1:] = (of[1:] != of[:-1]) | (number[1:] != number[:-1])
    place = np.flatnonzero(start)
    if not len(place):
        return np.zeros((strata, g)), np.zeros((strata, g))
    tie_of, tie, tie_b = of[place], np.add.reduceat(both, place), np.add.reduceat(b, place)
    groups = strata * g
    n = np.bincount(tie_of, tie, groups)
    nb = np.bincount(tie_of, tie_b, groups)
    na = n - nb
    before = np.cumsum(tie) - tie
    first = np.concatenate([[0.0], np.cumsum(n)[:-1]])
    rank = (before - first[tie_of] + tie / 2) / np.maximum(n, 1.0)[tie_of] - 0.5
    rank *= np.sqrt(12.0)
    score = np.bincount(tie_of, rank * tie_b, groups)  # mean of rank is 0 in every stratum
    spread = np.bincount(tie_of, rank**2 * tie, groups) / np.maximum(n, 1.0)
    variance = na * nb / np.maximum(n - 1, 1.0) * spread
    told = (na > 0) & (nb > 0)
    return (
        np.where(told, score, 0.0).reshape(g, strata).T,
        np.where(told, variance, 0.0).reshape(g, strata).T,
    )
