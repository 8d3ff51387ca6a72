"""Cells are a function of the set of facts: no order, no cut and no repetition changes a bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.facts import Batch, Facts, concat
from analyzers.folding.cells import Cells, Series, fold, merge, no_cells
from analyzers.folding.histogram import buckets
from analyzers.folding.moments import QUANTA_LIMIT, Wide
from analyzers.policy import Kind, Measure, Policy
from collector.novelty.novel import Seen, keep_new
from tests.facts_of import (
    BEGIN_SLICE,
    assigned,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    success,
)

SEGMENTS = (("country",), ("country", "warehouse"))
POLICY = policy_of(
    success(segments=SEGMENTS),
    duration(types=("order.submitted", "order.confirmed"), segments=SEGMENTS),
    metric_of("probed", Kind.PROPORTION, Measure.OUTCOME, types=(), synthetic=True),
    metric_of("german", Kind.COUNT, Measure.EVENTS, where=(("country", "DE"),)),
    flow(),
    assigned(types=("order.submitted",), segments=SEGMENTS),
)


class Event(NamedTuple):
    time_s: float
    type: str
    version: str
    outcome: str
    value: float
    country: str
    warehouse: str
    synthetic: bool
    environment: str
    subject: int


values = st.one_of(
    st.just(float("nan")),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, 1e9, -1e9, (QUANTA_LIMIT - 1) * 1e-6, 0.5e-6, 2.5e-6]),
)
events = st.builds(
    Event,
    time_s=st.integers(0, 60).map(float),
    type=st.sampled_from(["order.submitted", "order.confirmed", "other"]),
    version=st.sampled_from(["", "1", "2"]),
    outcome=st.sampled_from(["ok", "ok", "rejected"]),
    value=values,
    country=st.sampled_from(["", "DE", "FR"]),
    warehouse=st.sampled_from(["", "W1", "W2"]),
    synthetic=st.booleans(),
    environment=st.sampled_from(["production", "staging"]),
    subject=st.sampled_from([0, 0, 1, 65, 64, 4097, 2**64 - 1]),
)
streams = st.lists(events, max_size=60)


def told(stream: list[Event]) -> Facts:
    return facts_of(
        [event.time_s for event in stream],
        types=[event.type for event in stream],
        version=[event.version for event in stream],
        outcome=[event.outcome for event in stream],
        value=[event.value for event in stream],
        synthetic=[event.synthetic for event in stream],
        environment=[event.environment for event in stream],
        subjects=[event.subject for event in stream],
        attributes={
            "country": [event.country for event in stream],
            "warehouse": [event.warehouse for event in stream],
        },
    )


def folded(facts: Facts, *, open_from: int = 0, policy: Policy = POLICY) -> Cells:
    return fold(facts, (), policy, open_from=open_from)


def assert_same(one: Cells, other: Cells) -> None:
    """Equal in every array, not only in the digest."""
    assert one.digest() == other.digest()
    assert one.series == other.series
    for field in fields(Cells)[1:]:
        a, b = getattr(one, field.name), getattr(other, field.name)
        for x, y in [(a.hi, b.hi), (a.lo, b.lo)] if isinstance(a, Wide) else [(a, b)]:
            assert x.dtype == y.dtype
            assert x.tolist() == y.tolist(), field.name


@settings(max_examples=50)
@given(streams, st.randoms(use_true_random=False))
def test_shuffled_facts_give_the_same_cells(stream: list[Event], chance: Any) -> None:
    facts = told(stream)
    order = list(range(len(stream)))
    chance.shuffle(order)
    assert_same(folded(facts), folded(facts.take(np.array(order, np.int64))))


@settings(max_examples=50)
@given(streams, st.lists(st.integers(0, 5), max_size=60), st.integers(0, 5))
def test_facts_cut_into_any_batches_merge_to_the_same_cells(
    stream: list[Event], places: list[int], rest: int
) -> None:
    facts = told(stream)
    batch_of = np.array((places + [rest] * len(stream))[: len(stream)], np.int64)
    parts = [folded(facts.take(batch_of == i)) for i in range(6)]
    assert_same(folded(facts), merge(parts))
    assert_same(folded(facts), merge([merge(parts[:3]), merge([*parts[3:], no_cells()])]))


@settings(max_examples=50)
@given(streams, st.randoms(use_true_random=False))
def test_doubled_facts_without_their_duplicates_give_the_same_cells(
    stream: list[Event], chance: Any
) -> None:
    facts = told(stream)
    order = [*range(len(stream)), *range(len(stream))]
    chance.shuffle(order)
    doubled = facts.take(np.array(order, np.int64))
    seen, kept = Seen(), []
    for start in range(0, len(order), 7):
        part = doubled.take(np.arange(start, min(start + 7, len(order))))
        batch = Batch(part, rows=np.arange(len(part)))
        kept.append(keep_new(batch, seen).batch.facts)
    assert_same(folded(facts), folded(concat(kept)))


@settings(max_examples=50)
@given(streams, st.integers(0, 7))
def test_late_facts_differ_in_when_they_are_shown_and_in_nothing_else(
    stream: list[Event], late: int
) -> None:
    facts, frontier = told(stream), BEGIN_SLICE + late
    on_time, after = folded(facts), folded(facts, open_from=frontier)
    assert on_time.digest() == after.digest()
    assert (on_time.shown == on_time.slice).all()
    assert (after.shown == np.maximum(after.slice, frontier)).all()
    assert (after.bin_shown == np.maximum(after.bin_slice, frontier)).all()
    old, new = after.split(frontier)
    assert len(old) == 0
    assert_same(merge([new]), after)


@settings(max_examples=50)
@given(streams, st.integers(0, 7))
def test_a_split_by_shown_loses_nothing(stream: list[Event], at: int) -> None:
    cells = folded(told(stream))
    before, after = cells.split(BEGIN_SLICE + at)
    assert (before.shown < BEGIN_SLICE + at).all()
    assert (after.shown >= BEGIN_SLICE + at).all()
    assert_same(merge([before, after]), cells)


@settings(max_examples=50)
@given(streams)
def test_the_cells_are_those_of_a_plain_dictionary_of_integers(stream: list[Event]) -> None:
    cells = folded(told(stream))
    expected, bins = by_hand(stream)
    found = {
        (cells.series[of], slice_): (count, failures, total, square)
        for of, slice_, count, failures, total, square in zip(
            cells.of.tolist(), cells.slice.tolist(), cells.count.tolist(),
            cells.failures.tolist(), cells.sum.integers(), cells.square.integers(), strict=True,
        )
    }  # fmt: skip
    assert found == expected
    found_bins = {
        (cells.series[of], slice_, number): count
        for of, slice_, number, count in zip(
            cells.bin_of.tolist(), cells.bin_slice.tolist(), cells.bin.tolist(),
            cells.bin_count.tolist(), strict=True,
        )
    }  # fmt: skip
    assert found_bins == dict(bins)


Sums = tuple[int, int, int, int]


def by_hand(
    stream: list[Event],
) -> tuple[dict[tuple[Series, int], Sums], Counter[tuple[Series, int, int]]]:
    """The cells of a stream, one event at a time."""
    cells: dict[tuple[Series, int], Sums] = {}
    bins: Counter[tuple[Series, int, int]] = Counter()
    for event in stream:
        for metric in POLICY.metrics:
            if metric.synthetic != event.synthetic:
                continue
            if metric.types and event.type not in metric.types:
                continue
            if metric.where and event.country != "DE":
                continue
            ok, quantum = event.outcome == "ok", 0
            if metric.measure in (Measure.EVENTS, Measure.VALUE) and not ok:
                continue
            if metric.measure is Measure.VALUE:
                if np.isnan(event.value):
                    continue
                quantum = round(event.value / metric.quantum)  # Python rounds half to even
            failed = metric.measure is Measure.OUTCOME and not ok
            attributes = {
                "country": event.country, "warehouse": event.warehouse,
                "type": event.type, "outcome": event.outcome,
            }  # fmt: skip
            for names in ((),) if metric.name == "assigned" else ((), *metric.segments):
                segment = tuple((name, attributes[name]) for name in names)
                if not all(value for _, value in segment):
                    continue
                series = Series(
                    event.environment, "order-api", event.version, "", metric.name, segment
                )
                at = (series, BEGIN_SLICE + int(event.time_s) // 10)
                n, failures, total, square = cells.get(at, (0, 0, 0, 0))
                cells[at] = (
                    n + 1, failures + failed, total + quantum, square + quantum * quantum
                )  # fmt: skip
                for number in numbers(metric.measure, event, quantum):
                    bins[(*at, number)] += 1
    return cells, bins


def numbers(measure: Measure, event: Event, quantum: int) -> list[int]:
    """The buckets that one event counts in: of its value, of its subject."""
    value = [int(buckets(np.array([quantum]))[0])] if measure is Measure.VALUE else []
    if not event.subject:
        return value
    if measure is Measure.VALUE:
        return [*value, 4097 + event.subject % 64]
    if measure is Measure.ASSIGNMENT:
        return [1 + event.subject % 4096]
    if measure is Measure.OUTCOME:
        return [(1 + event.subject % 64) * (1 if event.outcome == "ok" else -1)]
    return []
