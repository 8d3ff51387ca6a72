"""The exact kernel for proportions: every outcome enumerated, every projection optimised."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar

from analyzers.contrast.proportions import Proportions, differences, log_factors, nearest
from analyzers.facts import Floats, Ints
from tests.reference.rounds import of_failures

MARGINS = np.array([0.0, 0.01, 0.03, 0.2, 0.5, 0.9, -0.03, -0.5])
RATES = np.array([0.0, 1e-6, 0.004, 0.02, 0.05, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999, 1.0])
ALLOWED = 1.0 + 1e-9  # rounding of the projection
Direction = Literal["harm", "safe"]


def outcomes(na: int, nb: int) -> Floats:
    return np.array(list(itertools.product(range(na + 1), range(nb + 1))), float)


def chances(told: Floats, na: int, nb: int, pa: float, pb: float) -> Floats:
    """The probability of each outcome (xa, xb)."""
    chance = stats.binom.pmf(told[:, 0], na, pa) * stats.binom.pmf(told[:, 1], nb, pb)
    return np.asarray(chance)


def null_of(margin: float, direction: Direction) -> list[tuple[float, float]]:
    """Points (p_a, p_b) of the null, its edge and its corners among them."""
    edge = [(pa, pa + margin) for pa in (*RATES, max(0.0, -margin), min(1.0, 1.0 - margin))]
    inner = [
        (pa, pb)
        for pa, pb in itertools.product(RATES, RATES)
        if (pb - pa <= margin if direction == "harm" else pb - pa >= margin)
    ]
    return [(float(pa), float(pb)) for pa, pb in edge if 0 <= pb <= 1] + inner


@pytest.mark.parametrize("direction", ["harm", "safe"])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (4, 4), (7, 1), (1, 7), (30, 2)])
@pytest.mark.parametrize(
    "past", [(0, 0, 0, 0), (0, 200, 0, 30), (12, 200, 9, 60), (5, 5, 0, 5), (400, 400, 400, 400)]
)
def test_no_factor_is_expected_above_one_anywhere_in_the_null(
    direction: Direction, sizes: tuple[int, int], past: tuple[int, ...]
) -> None:
    na, nb = sizes
    told = outcomes(na, nb)
    k = len(told)
    units, before = np.tile(np.array(sizes, float), (k, 1)), np.tile(np.array(past, float), (k, 1))
    for margin in MARGINS.tolist():
        edge = np.full(k, margin)
        at = differences(edge)[0 if direction == "harm" else 1]
        e = np.exp(log_factors(told, units, before, at, edge))
        for pa, pb in null_of(margin, direction):
            expected = chances(told, na, nb, pa, pb) @ e
            assert expected.max() <= ALLOWED, (margin, pa, pb)


@pytest.mark.parametrize("margin", [0.0, 0.03, 0.25])
@pytest.mark.parametrize("sizes", [((2, 2), (1, 3), (2, 2)), ((3, 1), (3, 1), (1, 1))])
def test_the_whole_test_is_expected_at_most_one_over_every_sequence_of_strata(
    margin: float, sizes: tuple[tuple[int, int], ...]
) -> None:
    told = [outcomes(na, nb) for na, nb in sizes]
    paths = np.array(list(itertools.product(*(range(len(each)) for each in told))))
    family, rows = Proportions(), np.arange(len(paths))
    family.add(np.full(len(paths), margin))
    for j, size in enumerate(sizes):
        units = np.tile(np.array(size, float), (len(paths), 1))
        family.advance(rows, of_failures(told[j][paths[:, j]], units))
    directions: tuple[tuple[Direction, Floats], ...] = (
        ("harm", np.exp(family.log_harm)),
        ("safe", np.exp(family.log_safe)),
    )
    for direction, e in directions:
        for pa, pb in null_of(margin, direction)[::3]:
            chance = np.ones(len(paths))
            for j, (na, nb) in enumerate(sizes):
                chance *= chances(told[j], na, nb, pa, pb)[paths[:, j]]
            assert (chance @ e).max() <= ALLOWED, (direction, pa, pb)


def nearest_to(xa: float, na: float, xb: float, nb: float, difference: float) -> float:
    xs = [np.array([x]) for x in (xa, na, xb, nb, difference)]
    return float(nearest(xs[0], xs[1], xs[2], xs[3], xs[4])[0])


@settings(max_examples=300)
@given(
    na=st.integers(1, 10_000),
    nb=st.integers(1, 10_000),
    ra=st.floats(0, 1),
    rb=st.floats(0, 1),
    difference=st.floats(-0.99, 0.99),
)
def test_the_nearest_point_is_the_one_that_an_optimiser_finds(
    na: int, nb: int, ra: float, rb: float, difference: float
) -> None:
    xa, xb = ra * na, rb * nb

    def loss(pa: float) -> float:
        """Minus the log-likelihood without its constant; 0 log 0 is 0."""
        pb = pa + difference
        told = ((xa, pa), (na - xa, 1 - pa), (xb, pb), (nb - xb, 1 - pb))
        return -sum(x * math.log(max(p, 1e-300)) for x, p in told if x > 0)

    found = nearest_to(xa, na, xb, nb, difference)
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
    assert low <= found <= high
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    # Where two roots meet, the arc cosine leaves half of the digits.
    assert loss(found) <= best.fun + 2e-8 * (na + nb)


def test_the_nearest_point_at_no_difference_is_the_pooled_rate() -> None:
    assert nearest_to(3.0, 40.0, 9.0, 20.0, 0.0) == pytest.approx(12 / 60, rel=1e-9)


def test_a_stratum_with_one_arm_only_says_nothing() -> None:
    units = np.array([[5.0, 0.0], [0.0, 5.0]])
    bad = np.array([[2.0, 0.0], [0.0, 5.0]])
    for margin in MARGINS.tolist():
        edge = np.full(2, margin)
        for at in differences(edge):
            assert (log_factors(bad, units, np.zeros((2, 4)), at, edge) == 0.0).all()


def after(bad: Floats, units: Floats, margin: float) -> tuple[Floats, Floats]:
    """Log e-values for harm and safety of one comparison after each of some strata."""
    family, row = Proportions(), np.zeros(1, np.int64)
    family.add(np.array([margin]))
    path = []
    for one in range(len(bad)):
        family.advance(row, of_failures(bad[one : one + 1], units[one : one + 1]))
        path.append((family.log_harm[0], family.log_safe[0]))
    harm, safe = np.array(path).T
    return harm, safe


def test_flawless_arms_are_evidence_of_safety_and_none_of_harm() -> None:
    up, down = after(np.zeros((60, 2)), np.tile([4.0, 4.0], (60, 1)), 0.03)
    assert down[-1] > np.log(20)
    assert (np.diff(down) > 0).all()
    assert up[-1] < 0


@pytest.mark.parametrize("onset", [0, 100, 2_000])
def test_a_total_failure_is_found_within_thirty_orders_however_late_it_begins(onset: int) -> None:
    """Strata of five orders of each arm, flawless until the second rejects every one."""
    bad = np.zeros((onset + 20, 2))
    bad[onset:, 1] = 5.0
    up, _ = after(bad, np.full(bad.shape, 5.0), 0.03)
    found = int(np.argmax(up >= np.log(1_000 / 0.6)))
    assert onset <= found < onset + 6


def test_a_late_failure_is_no_longer_safe() -> None:
    bad = np.zeros((1_400, 2))
    bad[1_000:, 1] = 5.0
    _, down = after(bad, np.full(bad.shape, 5.0), 0.03)
    assert down[999] > np.log(20)
    assert down[-1] < 0


def test_a_row_alone_and_among_others_says_the_same_to_the_bit() -> None:
    chance = np.random.default_rng(7)
    units = chance.integers(1, 12, (25, 30, 2)).astype(float)
    bad = chance.binomial(units.astype(np.int64), 0.2).astype(float)

    def told(rows: Ints) -> list[list[float]]:
        family, places = Proportions(), np.arange(len(rows))
        family.add(np.linspace(0.0, 0.5, 30)[rows])
        for failed, all_of in zip(bad, units, strict=True):
            family.advance(places, of_failures(failed[rows], all_of[rows]))
        shown = family.told(places)
        columns = (family.log_harm, family.log_safe, shown.score, shown.weight, shown.variance)
        return [column.tolist() for column in columns]

    everyone = told(np.arange(30))
    for row in (0, 13, 29):
        assert told(np.array([row])) == [[column[row]] for column in everyone]
