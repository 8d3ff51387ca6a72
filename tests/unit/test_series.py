"""Series as columns say what series as tuples say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.folding.series import Series, SeriesTable, beyond, coded, no_series, union

segments = st.sampled_from([
    (), (("country", "DE"),), (("country", "FR"),), (("country", "DE"), ("tenant", "t1")),
    (("type", "a"), ("outcome", "ok")), (("type", "b"), ("outcome", "ok")), (("type", "a"),),
])  # fmt: skip
words = st.sampled_from(["", "a", "b", "é", "a\x00"])
series = st.builds(Series, words, words, words, words, st.sampled_from(["flow", "time"]), segments)
lists = st.lists(series, max_size=12, unique=True)


def table(of: list[Series]) -> SeriesTable:
    return coded(sorted(of))


@given(lists)
def test_a_table_gives_back_the_series_it_was_made_of(given_: list[Series]) -> None:
    made = coded(given_)
    assert list(made) == given_
    assert [made[place] for place in range(len(made))] == given_
    assert made[1:3] == tuple(given_[1:3])
    assert made == tuple(given_)
    assert coded(made) is made


@given(st.lists(lists, min_size=1, max_size=4))
def test_a_union_holds_every_series_once_in_order(given_: list[list[Series]]) -> None:
    tables = [table(one) for one in given_]
    whole, places = union(tables)
    assert list(whole) == sorted({series for one in given_ for series in one})
    for one, place in zip(tables, places, strict=True):
        assert [whole[i] for i in place.tolist()] == list(one)


@given(lists)
def test_what_is_picked_keeps_no_word_of_what_is_not(given_: list[Series]) -> None:
    made = table(given_)
    rows = np.arange(len(made)) % 2 == 0
    half = made.picked(rows)
    assert list(half) == list(made)[::2]
    assert all(
        len(known) == len({*column}) for known, column in zip(half.words, half.codes, strict=True)
    )


@given(lists, lists)
def test_what_lies_beyond_the_known_is_found_as_sets_find_it(
    ours: list[Series], known: list[Series]
) -> None:
    fresh = beyond(table(ours), table(known))
    assert fresh.tolist() == [series not in set(known) for series in sorted(ours)]


@given(lists)
def test_series_are_found_by_metric_and_attribute_names(given_: list[Series]) -> None:
    made = table(given_)
    for names in ((), ("country",), ("type", "outcome")):
        expected = [
            place
            for place, one in enumerate(made)
            if one.metric == "flow" and tuple(name for name, _ in one.segment) == names
        ]
        assert made.about({"flow"}, names).tolist() == expected


def test_an_empty_table_knows_nothing() -> None:
    assert len(no_series()) == 0
    assert no_series() == ()
    assert union([no_series()])[0] == ()
    assert no_series().about({"flow"}, ()).tolist() == []


def test_a_table_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(no_series())
