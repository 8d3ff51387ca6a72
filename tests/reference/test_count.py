"""Counts given the share: the likelihood ratio is exact at the edge, and shrinks inside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyzers.contrast import count

EDGES = np.array([0.5, 0.9, 1.0, 1.1, 3.0])


@pytest.mark.parametrize("factors", [count.UP, count.DOWN], ids=["up", "down"])
@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_factor_is_expected_to_be_one_at_the_edge_and_no_more_inside_the_null(
    factors: np.ndarray[tuple[int], np.dtype[np.float64]], n: int, share: float
) -> None:
    canary = np.arange(n + 1.0)
    counts = np.column_stack([n - canary, canary])
    logs = count.log_factors(counts, np.full(n + 1, share), factors, EDGES)
    for g, edge in enumerate(EDGES.tolist()):
        for inward in (1.0, 0.8, 0.3):  # for "up" a smaller ratio is inside, for "down" a larger
            ratio = edge * inward if factors[0] > 1 else edge / inward
            theta = float(count.share_at(np.array(share), np.array(ratio)))
            expected = stats.binom.pmf(canary, n, theta) @ np.exp(logs[:, g])
            if inward == 1.0:
                assert expected == pytest.approx(np.ones(len(factors)), rel=1e-12)
            else:
                assert (expected <= 1.0 + 1e-12).all()


def test_the_expected_share_of_counts_follows_share_and_ratio() -> None:
    found = count.share_at(np.array([0.5, 0.1, 0.5]), np.array([1.0, 1.0, 3.0]))
    assert found.tolist() == pytest.approx([0.5, 0.1, 0.75])


def test_scores_have_mean_zero_and_binomial_variance() -> None:
    n, share = 12, 0.3
    canary = np.arange(n + 1.0)
    counts = np.column_stack([n - canary, canary])
    score, variance = count.scores(counts, np.full(n + 1, share), EDGES)
    for g, edge in enumerate(EDGES.tolist()):
        theta = float(count.share_at(np.array(share), np.array(edge)))
        chance = stats.binom.pmf(canary, n, theta)
        assert chance @ score[:, g] == pytest.approx(0.0, abs=1e-12)
        assert chance @ score[:, g] ** 2 == pytest.approx(variance[0, g], rel=1e-12)
