"""De-duplication against its obviously right counterpart, however a stream is cut and doubled."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from analyzers.facts import NS_PER_S
from collector.decoding import times
from collector.novelty.blobs import packed, unpacked
from collector.novelty.novel import Seen, keep_new, merged
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
    assert len(restored) == len(seen) == len(first)
    ids = decoded(*(event(id=str(i), value=v) for i, (v, _) in first.items()))
    again = keep_new(ids, restored)
    assert (again.duplicates, again.conflicts) == (len(first), 0)


class SeenAsADict(RuleBasedStateMachine):
    """``Seen`` against a dict of what each identity said and when, and a set of stale seconds."""

    SLICE_S = 10  # of a horizon of 640 s

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen(salt=7, horizon_s=self.SLICE_S * 64)
        self.model: dict[int, tuple[int, int]] = {}
        self.fresh: list[int] = []
        self.now_s = 0
        self.blobs: list[bytes] = []

    def key(self, i: int) -> list[int]:
        # Many that differ in one of the two words only, and many that share a bucket.
        return [i // 3, (i % 3) << 32]

    @rule(
        said=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2)), min_size=1, max_size=60),
        ago_s=st.integers(0, 300),
        more_s=st.integers(0, 40),
    )
    def enter(self, said: list[tuple[int, int]], ago_s: int, more_s: int) -> None:
        self.now_s += more_s
        at_s = max(self.now_s - ago_s, self.floor_s())
        keys = np.array([self.key(i) for i, _ in said], np.uint64)
        content = np.array([value for _, value in said], np.uint64)
        at_ns = times.FIRST_NS + (1_000 + at_s) * NS_PER_S
        self.seen.begin()
        new, conflicting = self.seen.add(keys, content, np.full(len(said), at_ns))
        self.fresh = []
        for row, (i, value) in enumerate(said):
            assert new[row] == (i not in self.model)
            if i not in self.model:
                self.model[i] = (value, at_s)
                self.fresh.append(i)
            assert conflicting[row] == (self.model[i][0] != value)
        blob = packed(*self.seen.fresh())
        assert len(unpacked(blob)[1]) == len(self.fresh)
        self.blobs.append(blob)

    def floor_s(self) -> int:
        floor_ns = self.seen.floor_ns
        return (floor_ns - times.FIRST_NS) // NS_PER_S - 1_000 if floor_ns else 0

    @rule()
    def rewind(self) -> None:
        self.seen.rewind()
        for i in self.fresh:
            self.model.pop(i, None)
        if self.blobs and self.fresh:
            self.blobs.pop()
        self.fresh = []

    @rule(ago_s=st.integers(0, 700))
    def forget(self, ago_s: int) -> None:
        before_s = self.now_s - ago_s
        if before_s <= self.floor_s():
            return
        assert self.seen.forget(times.FIRST_NS + (1_000 + before_s) * NS_PER_S) == 0
        end_s = (1_000 + before_s) // self.SLICE_S * self.SLICE_S - 1_000
        self.model = {i: said for i, said in self.model.items() if said[1] >= end_s}

    @rule()
    def restart(self) -> None:
        floor_ns = self.seen.floor_ns
        self.seen = Seen(salt=9, horizon_s=self.SLICE_S * 64)
        self.seen.load([merged(self.blobs)])
        self.seen.forget(floor_ns or None)
        self.fresh = []

    @invariant()
    def as_many(self) -> None:
        assert len(self.seen) == len(self.model)


SeenAsADict.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSeenAsADict = SeenAsADict.TestCase
