"""Dispersion: one for independent units, more for clusters, never less, and never a bit lost."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.counts import Counts
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.spread import Spread
from analyzers.facts import Floats
from tests.reference.rounds import of_counts, of_failures

ROW = np.zeros(1, np.int64)


def of_proportions(bad: Floats, units: Floats) -> Floats:
    """Phi of a comparison of proportions after each of the strata (T, 2)."""
    family, found = Proportions(), []
    family.add(np.array([0.03]))
    for failed, all_of in zip(bad, units, strict=True):
        family.advance(ROW, of_failures(failed[None], all_of[None]))
        found.append(family._spread.factor(ROW)[0])
    return np.array(found)


def of_packs(counted: Floats, share: float) -> Floats:
    """Phi of a comparison of counts after each of the strata (T, 2)."""
    family, found = Counts(), []
    family.add(np.array([1.1]))
    for pair in counted:
        family.advance(ROW, of_counts(pair[None], np.array([share])))
        found.append(family._spread.factor(ROW)[0])
    return np.array(found)


def test_independent_failures_have_dispersion_one_and_clustered_ones_the_size_of_a_cluster() -> (
    None
):
    chance = np.random.default_rng(3)
    units = np.tile([20.0, 20.0], (1_500, 1))
    alone = of_proportions(chance.binomial(20, 0.1, (1_500, 2)).astype(np.float64), units)
    assert 1.0 <= alone[-1] < 1.1
    fives = chance.binomial(4, 0.1, (1_500, 2)).astype(np.float64) * 5.0
    clustered = of_proportions(fives, units)
    assert clustered[-1] == pytest.approx(5.0, rel=0.1)
    assert (clustered >= 1.0).all()


def test_counts_that_come_in_packs_have_the_size_of_a_pack() -> None:
    chance = np.random.default_rng(4)
    packs = np.column_stack([chance.poisson(14.0, 1_500), chance.poisson(6.0, 1_500)]).astype(float)
    assert of_packs(packs, 0.3)[-1] == pytest.approx(1.0, abs=0.1)
    assert of_packs(packs * 3.0, 0.3)[-1] == pytest.approx(3.0, rel=0.1)


def test_a_harm_is_no_dispersion() -> None:
    chance = np.random.default_rng(5)
    bad = chance.binomial(20, [0.05, 0.3], (1_000, 2)).astype(np.float64)
    assert of_proportions(bad, np.tile([20.0, 20.0], (1_000, 1)))[-1] < 1.25


def test_strata_without_any_or_with_only_failures_tell_nothing() -> None:
    family = Proportions()
    family.add(np.zeros(3))
    bad = np.array([[0.0, 0.0], [5.0, 5.0], [1.0, 0.0]])
    family.advance(np.arange(3), of_failures(bad, np.full((3, 2), 5.0)))
    assert family._spread.sums[:, 0].tolist() == [0.0, 0.0, 1.0]
    assert family._spread.factor(np.arange(3)).tolist() == [1.0, 1.0, 1.0]


def test_dispersion_is_known_before_its_stratum() -> None:
    spread, told = Spread(), np.ones(1, np.bool_)
    spread.add(1)
    found = []
    for score in (0.0, 50.0, 0.0):
        found.append(float(spread.factor(ROW)[0]))
        spread.advance(ROW, np.array([score]), told)
    assert found[:2] == [1.0, 1.0]
    assert found[2] > 1.0


def test_a_row_alone_and_among_others_has_the_same_dispersion_to_the_bit() -> None:
    chance = np.random.default_rng(4)
    scores, told = chance.standard_normal((90, 5)) * 2.0, chance.random((90, 5)) < 0.8

    def factors(columns: list[int]) -> tuple[list[float], list[list[float]]]:
        spread, rows = Spread(), np.arange(len(columns))
        spread.add(len(columns))
        for score, tells in zip(scores[:, columns], told[:, columns], strict=True):
            spread.advance(rows, score, tells)
        return spread.factor(rows).tolist(), spread.sums.tolist()

    everyone = factors(list(range(5)))
    for row in range(5):
        assert factors([row]) == ([everyone[0][row]], [everyone[1][row]])
    assert max(everyone[0]) > 2.0
