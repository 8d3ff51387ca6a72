"""Permutation scores of histograms against Mann-Whitney on the values themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analyzers.contrast import ranks
from analyzers.contrast.kernels import Ranks, Strata
from analyzers.facts import Floats, Ints

numbers = st.integers(-40, 40)
sides = st.lists(numbers, min_size=1, max_size=25)


def histogram(stratum: int, a: list[int], b: list[int]) -> tuple[Ints, Ints, Floats]:
    """Rows (stratum, bucket, counts) of two lists of bucket numbers."""
    found = sorted({*a, *b})
    counts = np.array([[a.count(k), b.count(k)] for k in found], float)
    return np.full(len(found), stratum), np.array(found, np.int64), counts


def scored(
    stratum: Ints, bucket: Ints, counts: Floats, strata: int, shift: int
) -> tuple[Floats, Floats]:
    """Scores and variances at one shift."""
    score, variance = ranks.scores(stratum, bucket, counts, strata, np.array([shift]))
    return score[:, 0], variance[:, 0]


def moved(bucket: int, shift: int) -> int:
    """A canary's bucket without the margin: towards zero for a positive shift, never across."""
    if bucket == 0:
        return 0
    return max(bucket - shift, 1) if bucket > 0 else min(bucket + shift, -1)


def tie_corrected_z(a: list[int], b: list[int]) -> float | None:
    """The signed z of Mann-Whitney, from scipy's two-sided p and its U."""
    if len({*a, *b}) == 1:
        return None
    u = stats.mannwhitneyu(b, a, use_continuity=False, method="asymptotic")
    sign = np.sign(u.statistic - len(a) * len(b) / 2)
    return float(sign * stats.norm.isf(u.pvalue / 2))


@settings(max_examples=200)
@given(sides, sides, st.integers(-6, 6))
def test_the_score_is_mann_whitneys_z_on_the_shifted_values(
    a: list[int], b: list[int], shift: int
) -> None:
    of, bucket, counts = histogram(0, a, b)
    score, variance = scored(of, bucket, counts, 1, shift)
    expected = tie_corrected_z(a, [moved(k, shift) for k in b])
    if expected is None:
        assert score[0] == pytest.approx(0.0, abs=1e-9)
        assert variance[0] == pytest.approx(0.0, abs=1e-9)
    else:
        # The p-value near 1 leaves only so many digits of a z near 0.
        assert score[0] / np.sqrt(variance[0]) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@settings(max_examples=60)
@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=5), st.integers(-3, 3))
def test_strata_are_scored_apart(pairs: list[tuple[list[int], list[int]]], shift: int) -> None:
    rows = [histogram(j, a, b) for j, (a, b) in enumerate(pairs)]
    of, bucket, counts = (np.concatenate(column) for column in zip(*rows, strict=True))
    together = scored(of, bucket, counts, len(pairs), shift)
    for j, (a, b) in enumerate(pairs):
        alone = scored(*histogram(0, a, b), 1, shift)
        for one, all_of in zip(alone, together, strict=True):
            assert all_of[j] == pytest.approx(one[0], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("pooled", "canary"),
    [([1, 1, 2, 3, 5, 8], 2), ([4, 4, 4, 4, 9], 3), ([0, -3, 7, 7, 1, 2, 2], 1)],
)
def test_mean_and_variance_are_those_over_every_way_to_deal_the_values(
    pooled: list[int], canary: int
) -> None:
    found, told = [], []
    for chosen in itertools.combinations(range(len(pooled)), canary):
        b = [pooled[i] for i in chosen]
        a = [pooled[i] for i in range(len(pooled)) if i not in chosen]
        score, variance = scored(*histogram(0, a, b), 1, 0)
        found.append(score[0])
        told.append(float(variance[0]))
    assert np.mean(found) == pytest.approx(0.0, abs=1e-12)
    assert told == pytest.approx([float(np.var(found))] * len(told), rel=1e-9)


def test_a_slower_canary_scores_above_zero() -> None:
    score, _ = scored(*histogram(0, [1, 2, 3], [4, 5, 6]), 1, 0)
    assert score[0] > 0
    against_margin, _ = scored(*histogram(0, [1, 2, 3], [4, 5, 6]), 1, 5)
    assert against_margin[0] < 0


def test_one_arm_or_nothing_at_all_scores_nothing() -> None:
    score, variance = scored(*histogram(0, [1, 2], []), 3, 0)
    assert score.tolist() == variance.tolist() == [0.0, 0.0, 0.0]
    empty = np.empty(0, np.int64)
    score, variance = scored(empty, empty, np.empty((0, 2)), 2, 0)
    assert score.tolist() == variance.tolist() == [0.0, 0.0]


def closed(values: list[int], strata: int) -> int:
    """How many batches of scores close over strata of these values in both arms, one in ten the
    canary's."""
    canary = values[: len(values) // 10]
    rows = [histogram(j, values[len(canary) :], canary) for j in range(strata)]
    of, bucket, counts = (np.concatenate(column) for column in zip(*rows, strict=True))
    units = np.tile([float(len(values) - len(canary)), float(len(canary))], (strata, 1))
    kernel = Ranks([5.0])
    kernel.advance(Strata(units, np.zeros_like(units), np.zeros(strata), of, bucket, counts))
    return kernel._batches.closed


def test_where_most_values_are_equal_a_batch_waits_for_those_that_differ() -> None:
    """Scores of a few timeouts among equal durations are skewed: five times as many strata."""
    different = closed(list(range(1, 41)), 120)
    equal = closed([1] * 38 + [200] * 2, 120)
    assert different > 4 * equal > 0


def test_all_shifts_at_once_are_each_of_them_alone_to_the_last_bit() -> None:
    chance = np.random.default_rng(6)
    of = np.repeat(np.arange(60), 20)
    bucket = chance.integers(-50, 50, 1_200)
    counts = chance.integers(0, 3, (1_200, 2)).astype(np.float64)
    shifts = np.arange(-30, 31)  # more rows than are sorted at once
    score, variance = ranks.scores(of, bucket, counts, 60, shifts)
    assert score.shape == variance.shape == (60, 61)
    for g, shift in enumerate(shifts.tolist()):
        alone = scored(of, bucket, counts, 60, shift)
        assert score[:, g].tolist() == alone[0].tolist()
        assert variance[:, g].tolist() == alone[1].tolist()
