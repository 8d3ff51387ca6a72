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

from analyzers.contrast import proportion
from analyzers.contrast.kernels import Proportion, Strata
from analyzers.contrast.proportion import harm_differences, nearest, safe_differences
from analyzers.facts import Floats

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
    differences = (harm_differences if direction == "harm" else safe_differences)(MARGINS)
    logs = proportion.log_factors(
        told,
        np.tile(np.array(sizes, float), (len(told), 1)),
        np.tile(np.array(past, float), (len(told), 1)),
        differences,
        MARGINS,
    )
    for g, margin in enumerate(MARGINS.tolist()):
        for pa, pb in null_of(margin, direction):
            expected = chances(told, na, nb, pa, pb) @ np.exp(logs[:, g])
            assert expected.max() <= ALLOWED, (margin, pa, pb)


@pytest.mark.parametrize("margin", [0.0, 0.03, 0.25])
@pytest.mark.parametrize("sizes", [((2, 2), (1, 3), (2, 2)), ((3, 1), (3, 1), (1, 1))])
def test_the_whole_kernel_is_expected_at_most_one_over_every_sequence_of_strata(
    margin: float, sizes: tuple[tuple[int, int], ...]
) -> None:
    told = [outcomes(na, nb) for na, nb in sizes]
    units = np.array(sizes, float)
    none = np.empty(0, np.int64)
    paths = list(itertools.product(*(range(len(each)) for each in told)))
    harm, safe = [], []
    for path in paths:
        bad = np.array([told[j][i] for j, i in enumerate(path)])
        kernel = Proportion([margin])
        up, down = kernel.advance(
            Strata(units, bad, np.zeros(len(units)), none, none, np.empty((0, 2)))
        )
        at = int(np.searchsorted(kernel.grid, margin))
        harm.append(np.exp(up[:, at]))
        safe.append(np.exp(down[:, at]))
    for direction, e in (("harm", np.array(harm)), ("safe", np.array(safe))):
        for pa, pb in null_of(margin, "harm" if direction == "harm" else "safe")[::3]:
            chance = np.ones(len(paths))
            for j, (na, nb) in enumerate(sizes):
                each = chances(told[j], na, nb, pa, pb)
                chance *= each[[path[j] for path in paths]]
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
    assert loss(found) <= best.fun + 1e-9 * (na + nb)


def test_the_nearest_point_at_no_difference_is_the_pooled_rate() -> None:
    assert nearest_to(3.0, 40.0, 9.0, 20.0, 0.0) == pytest.approx(12 / 60, rel=1e-9)


def test_a_stratum_with_one_arm_only_says_nothing() -> None:
    units = np.array([[5.0, 0.0], [0.0, 5.0]])
    bad = np.array([[2.0, 0.0], [0.0, 5.0]])
    logs = proportion.log_factors(bad, units, np.zeros((2, 4)), harm_differences(MARGINS), MARGINS)
    assert (logs == 0.0).all()


def test_flawless_arms_are_evidence_of_safety_and_none_of_harm() -> None:
    kernel = Proportion([0.03])
    units = np.tile([4.0, 4.0], (60, 1))
    none = np.empty(0, np.int64)
    up, down = kernel.advance(
        Strata(units, np.zeros((60, 2)), np.zeros(60), none, none, np.empty((0, 2)))
    )
    at = int(np.searchsorted(kernel.grid, 0.03))
    assert down[-1, at] > np.log(20)
    assert (np.diff(down[:, at]) > 0).all()
    assert up[-1, at] < 0
