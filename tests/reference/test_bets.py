"""Bets that start at every stratum: their sum by hand, their rate at the null."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.bets import FIRST, Held, Starts
from analyzers.facts import Floats


def by_hand(factors: Floats) -> list[float]:
    """The sum over starting points of weight times wealth since, the unstarted ones at 1."""
    found = []
    for t in range(1, len(factors) + 1):
        weights = [FIRST] + [(1 - FIRST) / (k * (k - 1)) for k in range(2, t + 1)]
        wealth = [np.exp(factors[k:t].sum()) for k in range(t)]
        found.append(sum(w * e for w, e in zip(weights, wealth, strict=True)) + (1 - sum(weights)))
    return found


def advanced(bets: Starts | Held, factors: Floats) -> Floats:
    """Log e-values (T, n) after each of the strata, by factors (T, n, K)."""
    rows = np.arange(factors.shape[1])
    bets.add(len(rows))
    return np.array([bets.advance(rows, each) for each in factors])


def test_the_mixture_is_the_sum_over_all_starting_points() -> None:
    factors = np.random.default_rng(1).normal(-0.05, 0.5, (60, 2, 3))
    found = np.exp(advanced(Starts(3), factors))
    for row in range(2):
        expected = np.mean([by_hand(factors[:, row, k]) for k in range(3)], axis=0)
        assert found[:, row] == pytest.approx(expected, rel=1e-9)


def test_bets_that_are_held_multiply_from_the_first_stratum_on() -> None:
    factors = np.random.default_rng(4).normal(-0.05, 0.5, (60, 2, 3))
    expected = np.log(np.exp(np.cumsum(factors, axis=0)).mean(axis=2))
    assert advanced(Held(3), factors) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("bets", [Starts, Held])
def test_a_row_alone_or_in_rounds_of_some_says_the_same_to_the_bit(
    bets: type[Starts | Held],
) -> None:
    factors = np.random.default_rng(2).normal(-0.3, 1.0, (200, 7, 2))
    whole = advanced(bets(2), factors)
    for row in range(7):
        alone = advanced(bets(2), factors[:, row : row + 1])
        assert alone[:, 0].tolist() == whole[:, row].tolist()
    parts = bets(2)
    parts.add(3)
    parts.add(4)  # rows come in later too
    for at in range(200):
        for rows in (np.array([6, 1]), np.array([0, 2, 3, 4, 5])):
            found = parts.advance(rows, factors[at, rows])
            assert found.tolist() == whole[at, rows].tolist()


def test_fair_bets_stay_below_a_bound_at_the_promised_rate() -> None:
    seed, runs = 3, 2_000
    chance = np.random.default_rng(seed)
    won = chance.random((300, runs, 1)) < 0.5
    fair: Floats = np.log(np.where(won, 1.4, 0.6))
    tops = advanced(Starts(1), fair).max(axis=0)
    for alpha in (0.1, 0.02):
        rate = float((tops >= -np.log(alpha)).mean())
        assert rate <= alpha + 2 * np.sqrt(alpha / runs), f"seed {seed}, alpha {alpha}: {rate}"


def test_losses_beyond_any_float_leave_new_bets_their_weight() -> None:
    factors = np.full((400, 1, 1), -50.0)
    factors[-10:] = 3.0
    found = advanced(Starts(1), factors)[:, 0]
    assert np.isfinite(found).all()
    assert found[-1] > 30 - np.log(2 * 391 * 390) - 0.1
