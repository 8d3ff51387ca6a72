"""Where two histograms balance, and what a score is worth in buckets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.contrast.balance import SHIFTS, balance
from analyzers.contrast.durations import Durations
from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import PER_OCTAVE
from tests.reference.rounds import of_values


def histogram(values: Floats, first: int) -> tuple[Ints, Floats]:
    """Buckets of one row of values, whose first ones are the first arm's."""
    strata = of_values(values[None], first, 1e-6)
    return strata.bin, strata.bin_counts


@pytest.mark.parametrize("factor", [0.25, 0.8, 1.0, 1.1, 1.5, 4.0, 300.0])
def test_the_shift_is_the_factor_between_the_arms(factor: float) -> None:
    values = np.random.default_rng(1).lognormal(0, 0.6, 40_000)
    values[20_000:] *= factor
    found = balance(*histogram(values, 20_000))
    expected = PER_OCTAVE * math.log2(factor)
    assert found.shift == pytest.approx(expected, abs=0.7 + 0.01 * abs(expected))


def test_a_bound_of_a_score_becomes_a_bound_of_the_factor() -> None:
    chance = np.random.default_rng(2)
    family = Durations()
    family.add(np.array([0]), np.array([0]))
    rounds = [chance.lognormal(0, 0.5, (1, 2_000)) for _ in range(20)]
    for values in rounds:
        values[:, 1_000:] *= 1.2
        family.advance(np.array([0]), of_values(values, 1_000, 1e-6))
    told = family.told(np.array([0]))
    effect = float(told.score[0] / told.weight[0])
    everything = np.concatenate(
        [values[0, :1_000] for values in rounds] + [values[0, 1_000:] for values in rounds]
    )
    found = balance(*histogram(everything, 20_000))
    # No effect at all is a factor of one, told from the estimate by the scores' slope alone.
    assert found.shift_at(effect, 0.0) == pytest.approx(0.0, abs=0.1 * found.shift + 0.3)
    assert found.shift_at(effect, effect) == found.shift


def test_an_empty_arm_has_no_balance() -> None:
    found = balance(np.array([1, 2]), np.array([[1.0, 0.0], [3.0, 0.0]]))
    assert math.isnan(found.shift)
    assert math.isnan(found.per_score)


def test_values_that_no_shift_moves_past_each_other_are_at_the_last_one() -> None:
    found = balance(np.array([0, 5]), np.array([[9.0, 0.0], [0.0, 9.0]]))
    assert found.shift == SHIFTS[-1]
    assert math.isfinite(found.per_score)


def test_equal_values_balance_without_a_shift() -> None:
    assert balance(np.array([40]), np.array([[7.0, 3.0]])).shift == 0.0
