"""Dispersion: one for independent units, more for clusters, never less, and never a bit lost."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast import count, proportion
from analyzers.contrast.dispersion import dispersion, nothing_carried
from analyzers.facts import Bools, Floats


def proportions(bad: Floats, units: Floats) -> tuple[Floats, Bools]:
    return proportion.standardised(bad, units)


def test_independent_failures_have_dispersion_one_and_clustered_ones_the_size_of_a_cluster() -> (
    None
):
    chance = np.random.default_rng(3)
    units = np.tile([20.0, 20.0], (4_000, 1))
    alone = chance.binomial(20, 0.1, (4_000, 2)).astype(np.float64)
    phi, _ = dispersion(*proportions(alone, units), nothing_carried())
    assert phi[0] == 1.0
    assert 1.0 <= phi[-1] < 1.1
    fives = chance.binomial(4, 0.1, (4_000, 2)).astype(np.float64) * 5.0
    clustered, _ = dispersion(*proportions(fives, units), nothing_carried())
    assert clustered[-1] == pytest.approx(5.0, rel=0.1)
    assert (clustered >= 1.0).all()


def test_counts_that_come_in_packs_have_the_size_of_a_pack() -> None:
    chance = np.random.default_rng(4)
    share = np.full(4_000, 0.3)
    packs = np.column_stack([chance.poisson(14.0, 4_000), chance.poisson(6.0, 4_000)]).astype(float)
    alone, _ = dispersion(*count.standardised(packs, share), nothing_carried())
    assert alone[-1] == pytest.approx(1.0, abs=0.1)
    threes, _ = dispersion(*count.standardised(packs * 3.0, share), nothing_carried())
    assert threes[-1] == pytest.approx(3.0, rel=0.1)


def test_a_harm_is_no_dispersion() -> None:
    chance = np.random.default_rng(5)
    units = np.tile([20.0, 20.0], (2_000, 1))
    bad = chance.binomial(20, [0.05, 0.3], (2_000, 2)).astype(np.float64)
    phi, _ = dispersion(*proportions(bad, units), nothing_carried())
    assert phi[-1] < 1.25


def test_strata_without_any_or_with_only_failures_tell_nothing() -> None:
    units = np.tile([5.0, 5.0], (3, 1))
    bad = np.array([[0.0, 0.0], [5.0, 5.0], [1.0, 0.0]])
    score, told = proportions(bad, units)
    assert told.tolist() == [False, False, True]
    phi, carried = dispersion(score, told, nothing_carried())
    assert phi.tolist() == [1.0, 1.0, 1.0]
    assert carried[0] == 1.0


def test_dispersion_is_known_before_its_stratum() -> None:
    score, told = np.array([0.0, 50.0, 0.0]), np.ones(3, np.bool_)
    phi, _ = dispersion(score, told, nothing_carried())
    assert phi[1] == 1.0
    assert phi[2] > 1.0


def test_dispersion_is_carried_from_block_to_block() -> None:
    chance = np.random.default_rng(4)
    units = np.tile([8.0, 3.0], (90, 1))
    score, told = proportions(chance.binomial([8, 3], 0.3, (90, 2)).astype(np.float64) * 1.0, units)
    whole, last = dispersion(score, told, nothing_carried())
    carried, parts = nothing_carried(), []
    for start in range(0, 90, 7):
        rows = slice(start, start + 7)
        part, carried = dispersion(score[rows], told[rows], carried)
        parts.append(part)
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert carried.tolist() == last.tolist()
