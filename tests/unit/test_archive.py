"""What is put into the archive comes out bit for bit, in order, and takes little room."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.folding import archive
from analyzers.folding.archive import DAY, HOUR, Archive
from analyzers.folding.cells import Cells, fold, merge, no_cells
from analyzers.folding.moments import Wide
from tests.facts_of import BEGIN_SLICE, duration, facts_of, flow, policy_of, success

POLICY = policy_of(success(segments=(("country",),)), duration(types=()), flow())


def cells_of(slice_: int, values: list[float]) -> Cells:
    """The cells of some orders within one slice."""
    n = len(values)
    facts = facts_of(
        np.full(n, slice_ * 10.0),
        value=values,
        outcome=["rejected" if value < 0 else "ok" for value in values],
        attributes={"country": ["DE" if value > 1 else "FR" for value in values]},
    )
    return fold(facts, (), POLICY, open_from=0)


def assert_same(one: Cells, other: Cells) -> None:
    assert tuple(one.series) == tuple(other.series)
    for field in fields(Cells)[1:]:
        a, b = getattr(one, field.name), getattr(other, field.name)
        for x, y in [(a.hi, b.hi), (a.lo, b.lo)] if isinstance(a, Wide) else [(a, b)]:
            assert x.dtype == y.dtype, field.name
            assert x.tolist() == y.tolist(), field.name


values = st.lists(
    st.one_of(st.floats(-10, 10), st.sampled_from([9e9, -9e9, 0.0])), min_size=1, max_size=8
)


@settings(max_examples=25)
@given(st.lists(values, max_size=12))
def test_what_is_archived_is_given_back_bit_for_bit_and_in_order(slices: list[list[float]]) -> None:
    parts = [cells_of(place, one) for place, one in enumerate(slices)]
    kept = Archive(parts)
    assert_same(merge(list(kept)), merge(parts))
    assert kept.rows == sum(len(part) + len(part.bin) for part in kept)
    last = 0
    for part in kept:
        assert part.shown.min() >= last
        last = int(part.shown.max()) + 1


@settings(max_examples=25)
@given(st.lists(values, max_size=8), st.integers(-1, 9))
def test_what_was_shown_before_a_slice_is_forgotten_and_nothing_else(
    slices: list[list[float]], before: int
) -> None:
    parts = [cells_of(place, one) for place, one in enumerate(slices)]
    kept = Archive(parts)
    kept.forget(BEGIN_SLICE + before)
    assert_same(merge(list(kept)), merge([merge(parts).split(BEGIN_SLICE + before)[1]]))


def test_nothing_is_archived_as_nothing() -> None:
    kept = Archive([no_cells()])
    kept.forget(5)
    assert (len(kept), kept.rows, kept.nbytes, list(kept)) == (0, 0, 0, [])


def test_parts_are_few_and_none_grows_beyond_its_limit() -> None:
    kept = Archive(cells_of(place, [1.0, 2.0, 3.0]) for place in range(200))
    assert len(kept) <= 9  # doubling sizes: 2**8 > 200
    assert max(part.rows for part in kept._parts) <= archive.ROWS_MAX


def test_archived_cells_take_a_fifth_of_the_room() -> None:
    chance = np.random.default_rng(1)
    parts = [cells_of(place, chance.lognormal(1, 0.5, 500).tolist()) for place in range(20)]
    kept = Archive(parts)
    plain = sum(len(part) * 72 + len(part.bin) * 40 + len(part.series) * 48 for part in parts)
    assert kept.nbytes < plain / 4


def hours(count: int) -> Archive:
    """An hour a part, with an order in every slice."""
    kept = Archive()
    for hour in range(count):
        kept.add(merge([cells_of(hour * HOUR + place, [2.0, -1.0]) for place in range(HOUR)]))
    return kept


def totals(kept: Archive) -> dict[tuple[object, ...], tuple[int, int, int]]:
    """Count, failures and sum of every series."""
    cells = merge(list(kept))
    sums = np.array(cells.sum.integers(), object)
    found: dict[tuple[object, ...], tuple[int, int, int]] = {}
    for place, series in enumerate(cells.series):
        mine = cells.of == place
        counts = int(cells.count[mine].sum()), int(cells.failures[mine].sum())
        found[tuple(series)] = (*counts, int(sums[mine].sum()))
    return found


def test_beyond_its_rows_the_oldest_is_kept_by_the_hour_and_nothing_is_lost() -> None:
    kept, before = hours(6), totals(hours(6))
    fine = kept.rows
    kept.keep(since=0, rows=fine // 2)
    assert kept.rows <= fine // 2
    assert totals(kept) == before
    shown = np.concatenate([part.shown for part in kept])
    assert (np.diff(shown[np.argsort(shown)]) >= 0).all()
    oldest = next(iter(kept)).shown
    assert (oldest % HOUR == 0).all()
    assert len(np.unique(oldest)) < HOUR


def test_the_newest_part_is_kept_slice_by_slice_whatever_the_limit() -> None:
    kept = hours(3)
    kept.keep(since=0, rows=0)
    newest = list(kept)[-1]
    assert len(np.unique(newest.shown)) == HOUR


def test_what_becomes_coarser_still_takes_new_cells() -> None:
    kept = hours(2)
    kept.keep(since=0, rows=1)
    for hour in range(2, 5):
        kept.add(merge([cells_of(hour * HOUR + place, [2.0, -1.0]) for place in range(HOUR)]))
        kept.keep(since=0, rows=1)
    assert totals(kept) == totals(hours(5))
    last = 0
    for part in kept:
        assert part.shown.min() >= last // DAY * DAY
        last = int(part.shown.max())
