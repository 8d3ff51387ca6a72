"""Counts given the share: the likelihood ratio is exact at the edge, and shrinks inside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyzers.contrast import counts
from analyzers.contrast.counts import LESS, MORE, Counts
from analyzers.facts import Floats, Ints
from tests.reference.rounds import of_counts

EDGES = np.array([0.5, 0.9, 1.0, 1.1, 3.0])


@pytest.mark.parametrize("factors", [MORE, LESS], ids=["more", "less"])
@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_factor_is_expected_to_be_one_at_the_edge_and_no_more_inside_the_null(
    factors: Floats, n: int, share: float
) -> None:
    second = np.arange(n + 1.0)
    told = np.column_stack([n - second, second])
    for edge in EDGES.tolist():
        logs = counts.log_factors(told, np.full(n + 1, share), factors, np.full(n + 1, edge))
        for inward in (1.0, 0.8, 0.3):  # for more a smaller ratio is inside, for less a larger
            ratio = edge * inward if factors[0] > 1 else edge / inward
            theta = float(counts.share_at(np.array(share), np.array(ratio)))
            expected = stats.binom.pmf(second, n, theta) @ np.exp(logs)
            if inward == 1.0:
                assert expected == pytest.approx(np.ones(len(factors)), rel=1e-12)
            else:
                assert (expected <= 1.0 + 1e-12).all()


def test_the_expected_share_of_counts_follows_share_and_ratio() -> None:
    found = counts.share_at(np.array([0.5, 0.1, 0.5]), np.array([1.0, 1.0, 3.0]))
    assert found.tolist() == pytest.approx([0.5, 0.1, 0.75])


def test_scores_have_mean_zero_and_binomial_variance() -> None:
    n, share = 12, 0.3
    second = np.arange(n + 1.0)
    told = np.column_stack([n - second, second])
    for edge in EDGES.tolist():
        score, variance = counts.scores(told, np.full(n + 1, share), np.full(n + 1, edge))
        theta = float(counts.share_at(np.array(share), np.array(edge)))
        chance = stats.binom.pmf(second, n, theta)
        assert chance @ score == pytest.approx(0.0, abs=1e-12)
        assert chance @ score**2 == pytest.approx(variance[0], rel=1e-12)


@pytest.mark.parametrize("edge", [1.0, 1.1])
def test_the_whole_test_is_expected_at_most_one_over_every_sequence_of_strata(edge: float) -> None:
    """Four strata of three units, at shares that change, at the edge and inside of both nulls."""
    shares, n = (0.5, 0.2, 0.5, 0.7), 3
    path = np.array(np.meshgrid(*[np.arange(n + 1)] * len(shares))).reshape(len(shares), -1)
    family, rows = Counts(), np.arange(path.shape[1])
    family.add(np.full(len(rows), edge))
    for second, share in zip(path.astype(float), shares, strict=True):
        told = np.column_stack([n - second, second])
        family.advance(rows, of_counts(told, np.full(len(rows), share)))
    for ratio in (0.3, 0.9, 1.0, 1.1, 1.3, 4.0):
        chance = np.ones(len(rows))
        for second, share in zip(path, shares, strict=True):
            theta = float(counts.share_at(np.array(share), np.array(ratio)))
            chance = chance * stats.binom.pmf(second, n, theta)
        if ratio <= edge:
            assert chance @ np.exp(family.log_harm) <= 1.0 + 1e-9
        if ratio >= edge:
            assert chance @ np.exp(family.log_safe) <= 1.0 + 1e-9


def test_a_row_alone_and_among_others_says_the_same_to_the_bit() -> None:
    chance = np.random.default_rng(3)
    rounds = [chance.poisson(8.0, (30, 2)).astype(float) for _ in range(25)]
    shares = chance.uniform(0.1, 0.9, (25, 30))

    def told(rows: Ints) -> list[list[float]]:
        family = Counts()
        family.add(np.linspace(0.5, 2.0, 30)[rows])
        for pairs, share in zip(rounds, shares, strict=True):
            family.advance(np.arange(len(rows)), of_counts(pairs[rows], share[rows]))
        shown = family.told(np.arange(len(rows)))
        columns = (family.log_harm, family.log_safe, shown.score, shown.weight, shown.variance)
        return [column.tolist() for column in columns]

    everyone = told(np.arange(30))
    for row in (0, 13, 29):
        assert told(np.array([row])) == [[column[row]] for column in everyone]


def test_the_ratio_of_an_effect_is_that_of_the_rates() -> None:
    family, row = Counts(), np.zeros(1, np.int64)
    family.add(np.ones(1))
    for _ in range(10):  # a fifth of the exposure, and twice the rate
        family.advance(row, of_counts(np.array([[80.0, 40.0]]), np.array([0.2])))
    shown = family.told(row)
    assert family.ratio(row, shown.score / shown.weight)[0] == pytest.approx(2.0, rel=1e-9)
