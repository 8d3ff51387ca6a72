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


def won(strata: Shifted, pooled: list[tuple[list[int], list[int]]], shifts: Ints) -> list[float]:
    """Scores at shifts (k,), by comparing every value with every other."""
    scores = []
    for (a, b), shift in zip(pooled, shifts.tolist(), strict=True):
        moved = [y if y == 0 else int(np.sign(y)) * (10_000 + abs(y) - shift) for y in b]
        still = [x if x == 0 else int(np.sign(x)) * (10_000 + abs(x)) for x in a]
        wins = sum((y > x) + (y == x) / 2 for x in still for y in moved)
        scores.append(np.sqrt(12) * (wins - len(a) * len(b) / 2) / max(len(a) + len(b), 2))
    assert strata.score(shifts).tolist() == scores
    return scores


def test_values_that_span_thirty_octaves_are_compared_at_small_and_large_shifts_alike() -> None:
    chance = np.random.default_rng(7)
    pooled = [
        (chance.integers(low, 1_697, 9).tolist(), chance.integers(low, 1_697, 7).tolist())
        for low in (1, -1_697, 1_600, 1, -40)
    ]
    pooled[3] = ([], [])  # a stratum without any value, and one with a zero
    pooled[4][1][0] = 0
    rows = sorted(
        (of, bucket, 1.0 - arm, 1.0 * arm)
        for of, arms in enumerate(pooled) for arm in (0, 1) for bucket in arms[arm]
    )  # fmt: skip
    of, bucket, a, b = (np.array(column) for column in zip(*rows, strict=True))
    strata = Shifted(5, of, bucket, np.column_stack([a, b]))
    several = np.array(
        [
            [0, 0, 0, 0, 0], [5, 4, 5, 9, -1], [0, 900, -60, 0, 1],
            [-4_095, 4_095, 40, 0, 3], [1, 1, 1, 1, 0],
        ]
    )  # fmt: skip
    alone = [won(strata, pooled, shifts) for shifts in several]
    assert strata.score(several).tolist() == alone


def test_more_units_than_a_float_tells_apart_leave_the_strata_beside_them_as_they_were() -> None:
    of, bucket = np.array([0, 0, 1, 1]), np.array([3, 4, 3, 4])
    counts = np.array([[2e9, 1.0], [1.0, 2e9], [1.0, 0.0], [0.0, 1.0]])
    many = Shifted(2, of, bucket, counts)
    few = Shifted(1, of[2:] - 1, bucket[2:], counts[2:])
    for shift in (0, 1, 2):
        assert many.score(np.array([shift, shift]))[1] == few.score(np.array([shift]))[0]


def test_units_count_for_what_they_are_worth() -> None:
    chance = np.random.default_rng(8)
    of, bucket = np.repeat(np.arange(3), 30), np.tile(np.arange(1, 31), 3)
    counts = chance.integers(0, 4, (90, 2)).astype(np.float64)
    worth = np.array([1.0, 0.37, 0.02])
    plain, weighed = Shifted(3, of, bucket, counts), Shifted(3, of, bucket, counts, worth)
    shift = np.array([0, 2, 4])
    assert weighed.units.tolist() == (plain.units * worth[:, None]).tolist()
    assert weighed.score(shift).tolist() == (plain.score(shift) * worth).tolist()
    score, variance = weighed.wilcoxon(shift)
    na, nb = weighed.units[:2].T
    assert np.allclose(variance[:2] / (na * nb / (na + nb)), 1.0, atol=0.1)
    limit, still = np.full((1, 3), 15.0), np.zeros(3, np.int64)
    told = weighed.beyond(limit, still), plain.beyond(limit, still)
    assert told[0].tolist() == (told[1] * worth[:, None]).tolist()
    assert score.tolist() == weighed.score(shift).tolist()
