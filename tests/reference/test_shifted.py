"""Scores of histograms that are shifted against each other; see test_durations.py for scipy's."""

from __future__ import annotations

import numpy as np

from analyzers.contrast.shifted import Shifted
from analyzers.facts import Floats, Ints


def scored(
    of: Ints, bucket: Ints, counts: Floats, strata: int, shift: list[int]
) -> tuple[list[float], list[float]]:
    """Scores and variances, at a shift for each stratum."""
    score, variance = Shifted(strata, of, bucket, counts).wilcoxon(np.array(shift))
    return score.tolist(), variance.tolist()


def test_a_slower_canary_scores_above_zero_until_the_margin_is_larger() -> None:
    of, bucket = np.zeros(6, np.int64), np.arange(1, 7)
    counts = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3)
    assert scored(of, bucket, counts, 1, [0])[0][0] > 0
    assert scored(of, bucket, counts, 1, [5])[0][0] < 0


def test_one_arm_or_nothing_at_all_scores_nothing() -> None:
    one = np.zeros(2, np.int64), np.array([1, 2]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert scored(*one, 3, [0, 0, 0]) == ([0.0] * 3, [0.0] * 3)
    empty = np.empty(0, np.int64)
    assert scored(empty, empty, np.empty((0, 2)), 2, [0, 7]) == ([0.0] * 2, [0.0] * 2)


def test_all_shifts_at_once_are_each_of_them_alone_to_the_last_bit() -> None:
    chance = np.random.default_rng(6)
    shifts = list(range(-30, 31))
    of = np.repeat(np.arange(61), 20)
    bucket = np.sort(chance.integers(-50, 50, (61, 20)), axis=1).ravel()
    counts = chance.integers(0, 3, (1_220, 2)).astype(np.float64)
    together = scored(of, bucket, counts, 61, shifts)
    for at, shift in enumerate(shifts):
        mine = of == at
        alone = scored(np.zeros(20, np.int64), bucket[mine], counts[mine], 1, [shift])
        assert alone == ([together[0][at]], [together[1][at]])
