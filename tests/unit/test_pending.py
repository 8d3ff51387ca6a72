"""Histograms of many comparisons in one table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzers.comparing.pending import Buckets, ranks_within, summed

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-1_700, 1_700), st.integers(0, 1)), max_size=60
)


def filled(rows: list[tuple[int, int, int]], size: int = 7) -> Buckets:
    """The buckets of rows (comparison, bucket, arm), added so many at a time."""
    buckets = Buckets()
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        counts = np.array([[1.0 - arm, float(arm)] for _, _, arm in part])
        buckets.add(np.array([of for of, _, _ in part]), np.array([b for _, b, _ in part]), counts)
    return buckets


def held(buckets: Buckets, comparison: int) -> list[tuple[int, float, float]]:
    number, counts = buckets.of(comparison)
    return [(k, a, b) for k, (a, b) in zip(number.tolist(), counts.tolist(), strict=True)]


def expected(rows: list[tuple[int, int, int]], comparison: int) -> list[tuple[int, float, float]]:
    mine = [(bucket, arm) for of, bucket, arm in rows if of == comparison]
    found = sorted({bucket for bucket, _ in mine})
    return [(k, float(mine.count((k, 0))), float(mine.count((k, 1)))) for k in found]


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 20))
def test_what_is_added_in_any_order_and_in_any_parts_is_held_the_same(
    rows: list[tuple[int, int, int]], chance: st.DataObject, size: int
) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    buckets = filled(shuffled, size)
    for comparison in range(6):
        assert held(buckets, comparison) == expected(rows, comparison)


@given(ROWS, st.lists(st.booleans(), min_size=5, max_size=5))
def test_what_is_taken_is_gone_and_the_rest_stays(
    rows: list[tuple[int, int, int]], leaving: list[bool]
) -> None:
    buckets = filled(rows)
    of, bucket, counts = buckets.take(np.array(leaving))
    taken = [
        (row, k, a, b)
        for row, k, (a, b) in zip(of.tolist(), bucket.tolist(), counts.tolist(), strict=True)
    ]
    assert taken == [(row, *one) for row in range(5) if leaving[row] for one in expected(rows, row)]
    for row in range(5):
        assert held(buckets, row) == ([] if leaving[row] else expected(rows, row))


@given(ROWS, st.sets(st.integers(0, 4)))
def test_renumbered_comparisons_keep_their_buckets(
    rows: list[tuple[int, int, int]], kept: set[int]
) -> None:
    buckets = filled(rows)
    new = np.full(5, -1)
    new[sorted(kept)] = np.arange(len(kept))
    buckets.renumber(new)
    for place, row in enumerate(sorted(kept)):
        assert held(buckets, place) == expected(rows, row)
    for gone in range(len(kept), 5):
        assert held(buckets, gone) == []


def test_counts_of_equal_keys_are_summed() -> None:
    key, counts = summed(np.array([7, 3, 7]), np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 5.0]]))
    assert key.tolist() == [3, 7]
    assert counts.tolist() == [[2.0, 2.0], [1.0, 5.0]]
    none = np.empty(0, np.int64)
    assert len(summed(none, np.empty((0, 2)))[0]) == len(ranks_within(none)) == 0
