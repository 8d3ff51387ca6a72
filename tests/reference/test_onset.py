"""Bets that start at every stratum: their sum by hand, their rate at the null, their speed."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.kernels import Proportion, Strata
from analyzers.contrast.onset import FIRST, Starts
from analyzers.facts import Floats


def by_hand(factors: Floats) -> list[float]:
    """The sum over starting points of weight times wealth since, the unstarted ones at 1."""
    found = []
    for t in range(1, len(factors) + 1):
        weights = [FIRST] + [(1 - FIRST) / (k * (k - 1)) for k in range(2, t + 1)]
        wealth = [np.exp(factors[k:t].sum()) for k in range(t)]
        found.append(sum(w * e for w, e in zip(weights, wealth, strict=True)) + (1 - sum(weights)))
    return found


def test_the_mixture_is_the_sum_over_all_starting_points() -> None:
    factors = np.random.default_rng(1).normal(-0.05, 0.5, (60, 2, 3))
    found = np.exp(Starts.none(2, 3).advance(factors))
    for g in range(2):
        for k in range(3):
            assert found[:, g, k] == pytest.approx(by_hand(factors[:, g, k]), rel=1e-9)


def test_strata_in_any_blocks_give_the_same_floats() -> None:
    factors = np.random.default_rng(2).normal(-0.3, 1.0, (200, 3, 2))
    whole = Starts.none(3, 2).advance(factors)
    for size in (1, 7, 64):
        starts = Starts.none(3, 2)
        parts = [starts.advance(factors[at : at + size]) for at in range(0, 200, size)]
        assert np.concatenate(parts).tolist() == whole.tolist()


def test_fair_bets_stay_below_a_bound_at_the_promised_rate() -> None:
    seed, runs = 3, 2_000
    chance = np.random.default_rng(seed)
    won = chance.random((300, runs, 1)) < 0.5
    fair: Floats = np.log(np.where(won, 1.4, 0.6))
    tops = Starts.none(runs, 1).advance(fair).max(axis=0)
    for alpha in (0.1, 0.02):
        rate = float((tops >= -np.log(alpha)).mean())
        assert rate <= alpha + 2 * np.sqrt(alpha / runs), f"seed {seed}, alpha {alpha}: {rate}"


def test_losses_beyond_any_float_leave_new_bets_their_weight() -> None:
    factors = np.full((400, 1, 1), -50.0)
    factors[-10:] = 3.0
    found = Starts.none(1, 1).advance(factors)[:, 0, 0]
    assert np.isfinite(found).all()
    assert found[-1] > 30 - np.log(2 * 391 * 390) - 0.1


def orders(onset: int, *, after: int = 400) -> Strata:
    """Strata of five orders of each arm, flawless until the canary rejects every one."""
    n = onset + after
    units = np.full((n, 2), 5.0)
    bad = np.zeros((n, 2))
    bad[onset:, 1] = 5.0
    none = np.empty(0, np.int64)
    return Strata(units, bad, np.zeros(n), none, none, np.empty((0, 2)))


@pytest.mark.parametrize("onset", [0, 100, 4_000])
def test_a_total_failure_is_found_within_thirty_orders_however_late_it_begins(onset: int) -> None:
    kernel = Proportion([0.03])
    up, _ = kernel.advance(orders(onset))
    at = int(np.searchsorted(kernel.grid, 0.03))
    found = int(np.argmax(up[:, at] >= np.log(1_000 / 0.6)))
    assert onset <= found < onset + 6


def test_a_late_failure_is_no_longer_safe() -> None:
    kernel = Proportion([0.03])
    _, down = kernel.advance(orders(1_000))
    at = int(np.searchsorted(kernel.grid, 0.03))
    assert down[999, at] > np.log(20)
    assert down[-1, at] < 0
