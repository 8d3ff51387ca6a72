"""De-duplication against its obviously right counterpart, however a stream is cut and doubled."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from collector.novelty import Seen, keep_new
from tests.payloads import decoded, event


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(0, 2**64 - 1),
)
def test_any_stream_cut_anywhere_keeps_the_first_of_each_id(
    said: list[tuple[int, int]], cuts: list[int], salt: int
) -> None:
    seen, found, duplicates, conflicts = Seen(salt=salt), [], 0, 0
    blobs: list[bytes] = []
    edges = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    for begin, end in itertools.pairwise(edges):
        news = keep_new(decoded(*(event(id=str(i), value=v) for i, v in said[begin:end])), seen)
        rows = (news.batch.rows + begin).tolist()
        found += list(zip(news.batch.facts.value.tolist(), rows, strict=True))
        duplicates += news.duplicates
        conflicts += news.conflicts
        blobs.append(news.fresh)
    first: dict[int, tuple[int, int]] = {}
    expected_conflicts = 0
    for row, (i, value) in enumerate(said):
        first.setdefault(i, (value, row))
        expected_conflicts += first[i][0] != value
    assert found == [(value, row) for value, row in first.values()]
    assert (duplicates, conflicts) == (len(said) - len(first), expected_conflicts)
    restored = Seen(salt=salt ^ 2)
    restored.load(blobs)
    assert restored.rows(0) == seen.rows(0)
