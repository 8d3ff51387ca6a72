"""Buckets against a slow reference in Python's integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.folding.histogram import PER_OCTAVE, buckets, middles, quantile, shift_of
from analyzers.folding.moments import QUANTA_LIMIT

sizes = st.integers(1, QUANTA_LIMIT - 1)


def bucket_of(size: int) -> int:
    """The bucket of a positive integer: the largest b with 2 ** ((b - 1) / 32) <= size, found
    by comparing 32nd powers of integers."""
    power: int = size**PER_OCTAVE
    number = power.bit_length()  # 2 ** (number - 1) <= size ** 32 < 2 ** number
    assert 2 ** (number - 1) <= power < 2**number
    return number


def first_in(bucket: int) -> int:
    """The smallest integer whose 32nd power is at least 2 ** (bucket - 1)."""
    low, high = 0, QUANTA_LIMIT
    while high - low > 1:
        middle = (low + high) // 2
        if middle**PER_OCTAVE >= 2 ** (bucket - 1):
            high = middle
        else:
            low = middle
    return high


@given(st.lists(sizes, min_size=1, max_size=50))
def test_buckets_are_those_of_the_integer_reference(values: list[int]) -> None:
    assert buckets(np.array(values)).tolist() == [bucket_of(value) for value in values]


@pytest.mark.parametrize("octave", [0, 1, 5, 10, 31, 32, 45, 51, 52])
def test_every_edge_is_exact_to_the_integer(octave: int) -> None:
    numbers = range(octave * PER_OCTAVE + 1, (octave + 1) * PER_OCTAVE + 1)
    edges = np.array([first_in(number) for number in numbers])
    assert buckets(edges).tolist() == [bucket_of(edge) for edge in edges.tolist()]
    below = edges[edges > 1] - 1
    assert buckets(below).tolist() == [bucket_of(value) for value in below.tolist()]


def test_buckets_never_fall_as_values_grow() -> None:
    small = np.arange(-100_000, 100_000)
    large = np.unique(np.geomspace(1, QUANTA_LIMIT - 1, 200_001).astype(np.int64))
    for values in (small, large, -large[::-1]):
        assert (np.diff(buckets(values)) >= 0).all()


@given(st.lists(sizes, min_size=1, max_size=50))
def test_a_negative_value_has_the_negated_bucket(values: list[int]) -> None:
    q = np.array(values)
    assert buckets(-q).tolist() == (-buckets(q)).tolist()


def test_zero_has_a_bucket_of_its_own() -> None:
    assert buckets(np.array([0, 1, -1])).tolist() == [0, 1, -1]


@given(st.integers(10_000, QUANTA_LIMIT // 2**6 - 1), st.integers(-160, 160))
def test_a_factor_shifts_by_its_number_of_buckets_within_one(size: int, shift: int) -> None:
    moved = round(size * 2 ** (shift / PER_OCTAVE))
    if moved < 10_000:  # below, integers are coarser than buckets
        return
    step = buckets(np.array([moved]))[0] - buckets(np.array([size]))[0]
    assert abs(step - shift) <= 1


@given(st.integers(1, 2**40), st.integers(0, 12))
def test_doubling_shifts_by_exactly_one_octave(size: int, times: int) -> None:
    step = buckets(np.array([size << times]))[0] - buckets(np.array([size]))[0]
    assert step == PER_OCTAVE * times


@given(st.lists(sizes, min_size=1, max_size=50))
def test_the_middle_of_a_bucket_is_within_half_a_bucket_of_every_value(values: list[int]) -> None:
    q = np.array(values, np.int64)
    ratio = middles(buckets(q), 0.001) / (q * 0.001)
    assert (np.abs(np.log2(ratio)) <= 0.5 / PER_OCTAVE + 1e-12).all()


def test_the_middles_keep_sign_and_zero() -> None:
    found = middles(np.array([-33, 0, 33]), 1.0)
    assert found[0] == -found[2]
    assert found[1] == 0.0


@given(
    st.lists(st.integers(1_000, 10**9), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.9, 0.95, 1.0]),
)
def test_a_quantile_is_that_of_the_sorted_values_within_half_a_bucket(
    values: list[int], q: float
) -> None:
    numbers, counts = np.unique(buckets(np.array(values)), return_counts=True)
    shuffled = np.random.default_rng(1).permutation(len(numbers))
    found = quantile(numbers[shuffled], counts[shuffled], q, 1e-6)
    ranked = sorted(values)
    exact = ranked[max(math.ceil(q * len(values) - 1e-9), 1) - 1] * 1e-6
    assert found is not None
    assert abs(math.log2(found / exact)) <= 0.5 / PER_OCTAVE + 1e-12


def test_an_empty_histogram_has_no_quantile() -> None:
    empty = np.empty(0, np.int64)
    assert quantile(empty, empty, 0.5, 1.0) is None


@pytest.mark.parametrize(
    ("factor", "up", "down"), [(1.0, 0, 0), (2.0, 32, 32), (1.1, 5, 4), (0.9, -4, -5), (1.01, 1, 0)]
)
def test_a_factor_becomes_whole_buckets_rounded_as_asked(factor: float, up: int, down: int) -> None:
    assert (shift_of(factor, up=True), shift_of(factor, up=False)) == (up, down)


@pytest.mark.parametrize("shift", range(-64, 65))
def test_a_factor_of_whole_buckets_is_not_rounded_away(shift: int) -> None:
    factor = 2 ** (shift / PER_OCTAVE)
    assert shift_of(factor, up=True) == shift_of(factor, up=False) == shift
