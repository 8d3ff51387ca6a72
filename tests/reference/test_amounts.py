"""Amounts as rows: capped means by plain loops, bets over every outcome, caps, rows alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.contrast.amounts import CAP_TIMES, EFFECTS, STAKE, Amounts
from analyzers.contrast.capped import Capped
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import middles
from tests.reference.rounds import chosen, of_buckets, of_values

QUANTUM = 0.01
sides = st.lists(st.integers(-200, 400), min_size=1, max_size=20)


def family(count: int, *, cap: float = math.nan, margin: float = 0.0, relative: bool = True) -> (
    Amounts
):  # fmt: skip
    """That many rows of the same metric."""
    made = Amounts()
    made.add(
        np.full(count, cap), np.full(count, margin), np.full(count, relative),
        np.full(count, QUANTUM),
    )  # fmt: skip
    return made


@settings(max_examples=100, deadline=None)
@given(sides, sides, st.floats(0.1, 50), st.floats(0, 2), st.booleans())
def test_score_and_variance_are_those_of_the_capped_values(
    a: list[int], b: list[int], cap: float, margin: float, relative: bool
) -> None:
    strata = of_buckets(np.array([[*a, *b]]), len(a))
    values = Capped(1, strata, np.array([QUANTUM]))
    size, divisor = (0.0, 1 + margin) if relative else (margin, 1.0)
    values.less(np.array([size]), np.array([divisor]))
    score, variance = values.score(np.array([cap]))
    first = np.clip(middles(np.array(a), QUANTUM), -cap, cap)
    second = np.clip((middles(np.array(b), QUANTUM) - size) / divisor, -cap, cap)
    pooled = np.concatenate([first, second])
    na, nb, n = len(a), len(b), len(pooled)
    assert values.weight()[0] == na * nb / n
    difference = second.mean() - first.mean()
    assert score[0] == pytest.approx(na * nb / n * difference, rel=1e-9, abs=1e-9)
    assert variance[0] == pytest.approx(na * nb / (n - 1) * pooled.var(), rel=1e-9, abs=1e-9)


def factors(
    values: list[float], first: int, bounds: tuple[float, float], level: float, bet: float
) -> tuple[float, float]:
    """Both e-variables of one stratum, by a plain product over its values within bounds."""
    floor, cap = bounds
    n, second = len(values), len(values) - first
    logs = []
    for side in (1.0, -1.0):
        worst = [
            first / n * (level - floor if side > 0 else cap - level),
            second / n * (cap - level if side > 0 else level - floor),
        ]
        c = side * min(bet, STAKE / max(worst))
        logs.append(
            math.prod(
                1 + c * first / n * (min(max(y, floor), cap) - level)
                if at >= first
                else 1 - c * second / n * (min(max(y, floor), cap) - level)
                for at, y in enumerate(values)
            )
        )
    return logs[0], logs[1]


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.floats(1, 50), st.floats(0.01, 5), st.floats(0, 1))
def test_bets_are_products_over_single_values(
    a: list[int], b: list[int], cap: float, bet: float, part: float
) -> None:
    strata = of_buckets(np.array([[*a, *b]]), len(a))
    values = Capped(1, strata, np.array([QUANTUM]))
    level = cap * (2 * part - 1)
    up, down = values.log_factors(
        np.array([-cap]), np.array([cap]), np.array([level]), np.array([[bet]]), STAKE
    )
    plain = factors(
        middles(np.array([*a, *b]), QUANTUM).tolist(), len(a), (-cap, cap), level, bet
    )  # fmt: skip
    assert np.exp(up[0, 0]) == pytest.approx(plain[0], rel=1e-9)
    assert np.exp(down[0, 0]) == pytest.approx(plain[1], rel=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("bet", [0.05, 1.0, 30.0])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([(1.0, 1.0)], [(0.0, 0.9), (10.0, 0.1)]),  # the second arm has rare large values
        ([(0.0, 0.8), (5.0, 0.2)], [(1.0, 1.0)]),
        ([(0.0, 0.9), (10.0, 0.1)], [(0.0, 0.5), (2.0, 0.5)]),
    ],
)
def test_bets_are_worth_at_most_one_for_equal_means_whatever_the_distributions(
    first: list[tuple[float, float]],
    second: list[tuple[float, float]],
    level: float,
    bet: float,
) -> None:
    """Over every outcome of three values of one arm and two of the other."""
    expected = np.zeros(2)
    for outcome in itertools.product(first, first, first, second, second):
        chance = math.prod(p for _, p in outcome)
        expected += chance * np.array(factors([y for y, _ in outcome], 3, (0.0, 10.0), level, bet))
    assert (expected <= 1.0 + 1e-12).all()


def advanced(rounds: list[Strata], rows: Ints, caps: Floats) -> list[list[float]]:
    """Everything that the given rows show after rounds of all of them."""
    made = Amounts()
    k = len(rows)
    made.add(caps[rows], np.full(k, 0.1), rows % 2 == 0, np.full(k, QUANTUM))
    for strata in rounds:
        made.advance(np.arange(k), chosen(strata, rows))
    told = made.told(np.arange(k))
    columns = (made.log_harm, made.log_safe, made.cap(np.arange(k)), told.score, told.variance)
    return [column.tolist() for column in columns]


def test_a_row_alone_and_among_others_in_any_order_says_the_same_to_the_bit() -> None:
    chance = np.random.default_rng(4)
    k = 50
    caps = np.where(np.arange(k) % 3 == 0, 20.0, np.nan)
    rounds = [
        of_values(chance.lognormal(1, 1.5, (k, 30)) - 0.3, 19, QUANTUM) for _ in range(8)
    ]  # fmt: skip
    everyone = advanced(rounds, np.arange(k), caps)
    order = chance.permutation(k)
    shuffled = advanced(rounds, order, caps)
    for whole, some in zip(everyone, shuffled, strict=True):
        assert [whole[row] for row in order] == some
    for row in (0, 17, 49):
        alone = advanced(rounds, np.array([row]), caps)
        assert [whole[row] for whole in everyone] == [column[0] for column in alone]


def test_a_cap_that_nobody_declared_comes_from_the_first_values_and_stays() -> None:
    made = family(1)
    assert math.isnan(made.cap(np.array([0]))[0])
    made.advance(np.array([0]), of_values(np.arange(1.0, 41.0)[None], 30, QUANTUM))
    frozen = made.cap(np.array([0]))[0]
    assert frozen == pytest.approx(CAP_TIMES * 30.0, rel=0.02)  # of the arm that has more
    made.advance(np.array([0]), of_values(np.full((1, 40), 1e6), 30, QUANTUM))
    assert made.cap(np.array([0]))[0] == frozen
    told = made.told(np.array([0]))
    assert abs(told.score[0] / told.weight[0]) <= frozen


def test_nothing_but_zeros_leaves_the_cap_open_until_something_deviates() -> None:
    made = family(1, margin=0.002, relative=False)
    zeros = of_values(np.zeros((1, 40)), 20, QUANTUM)
    made.advance(np.array([0]), zeros)
    assert math.isnan(made.cap(np.array([0]))[0])
    assert made.log_harm[0] <= 0
    made.advance(np.array([0]), of_values(np.eye(40)[39:] * 0.5, 20, QUANTUM))
    assert made.cap(np.array([0]))[0] == pytest.approx(CAP_TIMES * 0.5, rel=0.02)


def test_a_declared_cap_is_kept() -> None:
    made = family(2, cap=5.0)
    made.advance(np.array([1]), of_values(np.full((1, 40), 80.0), 20, QUANTUM))
    assert made.cap(np.array([0, 1])).tolist() == [5.0, 5.0]
    assert len(made) == 2


def told_effect(values: Floats, *, rounds: int = 20) -> tuple[float, Amounts]:
    made = family(1, cap=100.0)
    for part in np.split(values, rounds):
        made.advance(np.array([0]), of_values(part[None], len(part) // 2, QUANTUM))
    told = made.told(np.array([0]))
    return float(told.score[0] / told.weight[0]), made


def test_the_effect_is_the_difference_of_means_and_crosses_in_the_right_direction() -> None:
    values = np.random.default_rng(7).normal(50, 10, 2_000)
    second = np.tile(np.arange(100) >= 50, 20)
    more, up = told_effect(values + 6.0 * second)
    less, down = told_effect(values - 6.0 * second)
    assert more == pytest.approx(6.0, abs=1.5)
    assert less == pytest.approx(-6.0, abs=1.5)
    assert up.log_harm[0] > math.log(1_000) > 0 > up.log_safe[0]
    assert down.log_safe[0] > math.log(1_000) > 0 > down.log_harm[0]


def test_one_arm_alone_says_nothing() -> None:
    made = family(1)
    for _ in range(4):
        made.advance(np.array([0]), of_values(np.full((1, 30), 3.0), 30, QUANTUM))
    assert made.log_harm[0] == pytest.approx(0.0, abs=1e-12)
    assert made.log_safe[0] == pytest.approx(0.0, abs=1e-12)
    assert made.told(np.array([0])).weight[0] == 0.0


def test_impossible_caps_margins_and_units_are_refused() -> None:
    one = np.ones(1)
    no = np.zeros(1, np.bool_)
    for caps, margins, quanta in ((-one, one, one), (one, -one, one), (one, one, 0 * one)):
        with pytest.raises(ValueError, match="swap the arms where less is worse"):
            Amounts().add(caps, margins, no, quanta)


def test_there_is_a_bet_for_small_and_for_large_effects() -> None:
    assert list(EFFECTS) == sorted(EFFECTS)
    assert EFFECTS[0] < 0.1
    assert EFFECTS[-1] > 1.0


def test_values_that_weigh_a_part_of_one_add_that_part_of_their_logarithm() -> None:
    """Lines of one invoice are worth fewer than they are."""
    strata = of_buckets(np.array([[5, 50, 120, 120, 7, 90, 300]]), 4)
    bets = np.array([[0.01, 0.2]])
    one, zero, cap = np.ones(1), np.zeros(1), np.full(1, 3.0)
    whole = Capped(1, strata, np.array([QUANTUM])).log_factors(zero, cap, one, bets, STAKE)
    for weight in (0.5, 0.25):
        counts = strata.bin_counts * weight
        part = Strata(
            strata.units, strata.bad, strata.total, strata.share, strata.bin_of, strata.bin, counts
        )
        told = Capped(1, part, np.array([QUANTUM])).log_factors(zero, cap, one, bets, STAKE)
        for here, there in zip(told, whole, strict=True):
            assert here == pytest.approx(there * weight, rel=1e-9)
            assert np.abs(there).max() > 0.01
