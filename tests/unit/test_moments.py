"""Sums of 128 bits against Python's integers, which have no width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.facts import Ints
from analyzers.folding.moments import (
    QUANTA_LIMIT,
    Wide,
    added,
    concat,
    floats,
    group_sums,
    squares,
    variance,
    wide,
    zeros,
)

quanta = st.integers(-QUANTA_LIMIT + 1, QUANTA_LIMIT - 1)
EXTREMES = [0, 1, -1, 2**32 - 1, 2**32, -(2**32), QUANTA_LIMIT - 1, 1 - QUANTA_LIMIT]


def ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)


@given(st.lists(quanta, min_size=1, max_size=40))
def test_squares_are_exact(values: list[int]) -> None:
    assert squares(ints(values)).integers() == [value * value for value in values]


def test_squares_of_the_extremes_are_exact() -> None:
    assert squares(ints(EXTREMES)).integers() == [value * value for value in EXTREMES]


@given(st.lists(st.lists(quanta, min_size=1, max_size=12), min_size=1, max_size=8))
def test_sums_of_groups_are_exact(groups: list[list[int]]) -> None:
    flat = ints([value for group in groups for value in group])
    starts = np.cumsum([0, *map(len, groups[:-1])])
    assert group_sums(wide(flat), starts).integers() == [sum(group) for group in groups]
    expected = [sum(value * value for value in group) for group in groups]
    assert group_sums(squares(flat), starts).integers() == expected


def test_a_sum_beyond_64_bits_is_exact_in_both_directions() -> None:
    largest = QUANTA_LIMIT - 1
    for sign in (1, -1):
        total = group_sums(wide(np.full(5_000, sign * largest)), np.array([0]))
        assert total.integers() == [sign * 5_000 * largest]
        assert abs(total.integers()[0]) > 2**64


def test_sums_of_sums_are_exact_for_any_128_bit_number() -> None:
    numbers = [2**100 + 7, -(2**100) - 7, -(2**64), 2**64 - 1, -1]
    parts = Wide(
        np.array([number >> 64 for number in numbers], np.int64),
        np.array([number % 2**64 for number in numbers], np.uint64),
    )
    assert parts.integers() == numbers
    assert group_sums(parts, np.array([0])).integers() == [sum(numbers)]


def test_a_variance_at_a_great_offset_is_exact_where_floats_lose_it() -> None:
    quantum = 1e-6
    values = np.array([1e9 - 1.0, 1e9, 1e9 + 1.0])
    q = np.rint(values / quantum).astype(np.int64)
    start = np.array([0])
    total = group_sums(wide(q), start).integers()[0]
    square = group_sums(squares(q), start).integers()[0]
    exact = variance(3, total, square)
    assert exact is not None
    assert exact * quantum**2 == pytest.approx(1.0, rel=1e-15)
    in_floats = (np.sum(values**2) - np.sum(values) ** 2 / 3) / 2
    assert abs(in_floats - 1.0) > 0.5


@given(st.lists(quanta, min_size=2, max_size=30))
def test_the_variance_is_that_of_exact_arithmetic(values: list[int]) -> None:
    n, total = len(values), sum(values)
    spread = sum((n * value - total) ** 2 for value in values)  # n**2 times the sum of squares
    found = variance(n, total, sum(value * value for value in values))
    assert found == pytest.approx(spread / (n**2 * (n - 1)), rel=1e-15)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_values_have_no_variance(count: int) -> None:
    assert variance(count, 5 * count, 25 * count) is None


def test_nothing_sums_to_nothing() -> None:
    assert len(group_sums(zeros(0), np.empty(0, np.int64))) == 0
    assert concat([]).integers() == []
    assert concat([zeros(2), wide(ints([-3]))]).integers() == [0, 0, -3]


def test_rows_are_taken_by_place() -> None:
    assert wide(ints([5, -6, 7])).take(np.array([2, 1])).integers() == [7, -6]


def of_integers(numbers: list[int]) -> Wide:
    return Wide(
        np.array([number >> 64 for number in numbers], np.int64),
        np.array([number % 2**64 for number in numbers], np.uint64),
    )


EDGES = [
    sign * (2**power + step)
    for sign in (1, -1)
    for power in (0, 31, 52, 53, 54, 62, 63, 64, 65, 116, 117, 118, 126)
    for step in (-(2**11), -1, 0, 1, 2**11)
]
halves = st.builds(  # an odd mantissa and a half, and one more or less at the end
    lambda mantissa, power, step: (2 * mantissa + 1) * 2**power + step,
    st.integers(2**52, 2**53 - 1),
    st.integers(0, 73),
    st.integers(-1, 1),
)


@given(st.lists(st.one_of(st.integers(-(2**127), 2**127 - 1), halves, st.sampled_from(EDGES))))
def test_a_sum_becomes_the_nearest_float_as_in_python(numbers: list[int]) -> None:
    assert floats(of_integers(numbers)).tolist() == [float(number) for number in numbers]


def test_floats_at_the_edges_of_limbs_and_mantissas_are_the_nearest() -> None:
    numbers = [*EDGES, 0, 2**127 - 1, -(2**127), -(2**64), 2**64 - 2**10, 2**64 - 2**10 - 1]
    assert floats(of_integers(numbers)).tolist() == [float(number) for number in numbers]
    for number in numbers:  # a value alone, whichever way the others would have gone
        assert floats(of_integers([number])).tolist() == [float(number)]


@given(st.lists(st.tuples(st.integers(-(2**100), 2**100), st.integers(0, 3)), max_size=30))
def test_wide_sums_in_groups_of_any_order_are_exact(rows: list[tuple[int, int]]) -> None:
    found = added(of_integers([number for number, _ in rows]), ints([of for _, of in rows]), 4)
    assert found.integers() == [sum(n for n, of in rows if of == i) for i in range(4)]
