"""Folding agrees in every bit with its slow reference, whatever the facts and the policy."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analyzers.facts import Facts, Reject, concat
from analyzers.folding.cells import Cells, fold, merge, tally
from analyzers.folding.moments import QUANTA_LIMIT, Wide
from analyzers.policy import Kind, Measure, Metric, Policy
from pipeline import config
from pipeline.demo.orders import shipped_orders
from tests.facts_of import (
    BEGIN_SLICE,
    answered,
    assigned,
    at_ns,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    success,
    throughput,
    validity,
)
from tests.reference import slow_cells

TYPES = ("order.submitted", "order.confirmed", "other", "x")
WORDS = ("", "DE", "FR", "a\x00b", "é", "z" * 40)
SETS: tuple[tuple[str, ...], ...] = (
    ("country",), ("country", "warehouse"), ("warehouse",), ("warehouse", "country"),
    ("type",), ("type", "outcome"), ("country", "type"), ("tenant",), ("tenant", "country"),
)  # fmt: skip

segment_sets = st.lists(st.sampled_from(SETS), max_size=4, unique=True).map(tuple)
value = st.one_of(
    st.sampled_from([0.0, 1e9, -1e9, 0.5e-6, 2.5e-6, -1.5e-6, (QUANTA_LIMIT - 1) * 1e-6]),
    st.floats(-1e4, 1e4),
    st.sampled_from([float("nan"), float("inf"), 2147.483647, 2147.483648, -2147.483648, 1e300]),
)


subject = st.one_of(st.sampled_from([0, 1, 64, 65, 4096, 2**64 - 1]), st.integers(0, 2**64 - 1))


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Facts of any kind; their columns may hold words that no row has."""
    n = draw(st.integers(0, 40))

    def column(options: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(options, min_size=n, max_size=n))

    made = facts_of(
        column(st.sampled_from([0.0, 3.0, 10.0, 25.0, 40.0, 1e6])),
        types=column(st.sampled_from(TYPES)),
        service=column(st.sampled_from(["order-api", "stock"])),
        environment=column(st.sampled_from(["production", "staging"])),
        version=column(st.sampled_from(["", "1", "2"])),
        track=column(st.sampled_from(["", "canary", "baseline"])),
        outcome=column(st.sampled_from(["ok", "ok", "rejected", "timeout"])),
        value=column(value),
        synthetic=column(st.booleans()),
        subjects=column(subject) if draw(st.booleans()) else 0,
        attributes={
            name: column(st.sampled_from(WORDS))
            for name in draw(st.sets(st.sampled_from(["country", "warehouse", "tenant"])))
        },
    )
    kept = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return made.take(np.array(kept, np.bool_)) if draw(st.booleans()) else made


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Metrics of every measure, fed by some types, services and attribute values."""
    metrics: list[Metric] = []
    for number, measure in enumerate(draw(st.lists(st.sampled_from(Measure), max_size=6))):
        kind = Kind.DURATION if measure is Measure.VALUE else Kind.COUNT
        metrics.append(
            metric_of(
                f"m{number}", kind, measure,
                types=tuple(draw(st.sets(st.sampled_from(TYPES)))),
                services=tuple(draw(st.sets(st.sampled_from(["stock", "order-api", "none"])))),
                where=tuple(draw(st.sets(st.sampled_from([
                    ("country", "DE"), ("type", "other"), ("outcome", "ok"), ("missing", "DE"),
                ]), max_size=2))),
                segments=draw(segment_sets),
                quantum=draw(st.sampled_from([1e-6, 1e-4, 1.0, 7.0])),
                synthetic=draw(st.booleans()),
            )
        )  # fmt: skip
    return policy_of(*metrics)


rejects = st.lists(
    st.builds(
        lambda service, time_s, version: Reject(
            index=0, reason="bad_value", detail="", service=service, version=version,
            time_ns=None if time_s is None else at_ns(time_s),
        ),
        st.sampled_from(["", "order-api", "stock"]),
        st.sampled_from([None, 0.0, 12.0]),
        st.sampled_from(["", "1"]),
    ),
    max_size=6,
)  # fmt: skip


def assert_same(one: Cells, other: Cells) -> None:
    """Equal in every array and every series, not only in the digest."""
    assert tuple(one.series) == tuple(other.series)
    for field in fields(Cells)[1:]:
        a, b = getattr(one, field.name), getattr(other, field.name)
        for x, y in [(a.hi, b.hi), (a.lo, b.lo)] if isinstance(a, Wide) else [(a, b)]:
            assert x.dtype == y.dtype, field.name
            assert x.tolist() == y.tolist(), field.name


@settings(max_examples=200, deadline=None)
@given(facts(), policies(), rejects, st.integers(-1, 5))
@example(facts_of([]), policy_of(success(), validity(), flow()), [], 0)
def test_folding_agrees_with_its_reference_in_every_bit(
    told: Facts, policy: Policy, refused: list[Reject], late: int
) -> None:
    frontier = 0 if late < 0 else BEGIN_SLICE + late
    found = fold(told, refused, policy, open_from=frontier)
    assert_same(found, slow_cells.fold(told, refused, policy, open_from=frontier))


@settings(max_examples=100, deadline=None)
@given(st.lists(facts(), max_size=4), policies(), st.integers(0, 5))
def test_merging_agrees_with_its_reference_in_every_bit(
    batches: list[Facts], policy: Policy, late: int
) -> None:
    parts = [
        fold(told, (), policy, open_from=BEGIN_SLICE + late * place)
        for place, told in enumerate(batches)
    ]
    assert_same(merge(parts), slow_cells.merge(parts))
    for part in parts:  # after a split, series without a cell are left out
        for half in part.split(BEGIN_SLICE + 2):
            assert_same(merge([half]), slow_cells.merge([half]))


@settings(max_examples=100, deadline=None)
@given(facts(), segment_sets, st.lists(st.booleans(), max_size=40), st.integers(0, 5))
def test_tallies_of_answers_agree_with_their_reference_in_every_bit(
    told: Facts, segments: tuple[tuple[str, ...], ...], unanswered: list[bool], late: int
) -> None:
    failed = np.array((unanswered + [False] * len(told))[: len(told)], np.bool_)
    metric = answered(segments=segments)
    found = tally(metric, told, failed, open_from=BEGIN_SLICE + late)
    expected = slow_cells.tally(metric, told, failed, open_from=BEGIN_SLICE + late)
    assert_same(merge(found), slow_cells.merge(expected))


@pytest.mark.parametrize("values", [1, 30, 5_000])
def test_a_large_batch_agrees_with_the_reference(values: int) -> None:
    """Few groups are counted in tables, many by sorting."""
    chance, n = np.random.default_rng(values), 20_000
    words = [f"w{i}" for i in range(values)]
    told = concat(
        [
            facts_of(
                chance.uniform(0, 400, n),
                types=chance.choice(["order.submitted", "order.confirmed"], n).tolist(),
                version=chance.choice(["1", "2"], n).tolist(),
                outcome=chance.choice(["ok", "rejected"], n, p=[0.9, 0.1]).tolist(),
                value=chance.lognormal(2.0, 2.0, n) * chance.choice([-1.0, 1.0, 1e6], n),
                subjects=chance.integers(0, 9_000, n) * chance.integers(0, 2, n),
                attributes={
                    "country": chance.choice(words, n).tolist(),
                    "warehouse": chance.choice([*words, ""], n).tolist(),
                },
            ),
            facts_of([1.0], attributes={"country": ""}),
        ]
    )
    sets = (("country",), ("warehouse",), ("country", "warehouse"))
    policy = policy_of(
        success(segments=sets), duration(segments=sets), throughput(), flow(), validity(),
        assigned(types=(), segments=sets),
        metric_of("confirmed", Kind.PROPORTION, Measure.OUTCOME, types=("order.confirmed",)),
    )  # fmt: skip
    found = fold(told, (), policy, open_from=BEGIN_SLICE + 4)
    assert_same(found, slow_cells.fold(told, (), policy, open_from=BEGIN_SLICE + 4))


def test_the_real_orders_of_the_demo_agree_with_the_reference() -> None:
    orders = shipped_orders()
    begin_s = orders[0].time_s
    real = facts_of(
        [order.time_s - begin_s for order in orders],
        types=["order.confirmed" if order.lines % 2 else "order.submitted" for order in orders],
        version=["2" if order.invoice % 3 else "1" for order in orders],
        outcome=["ok" if order.pence % 50 else "rejected" for order in orders],
        value=[order.pence / 100 for order in orders],
        attributes={
            "country": [order.country for order in orders],
            "tenant": [str(order.customer or "") for order in orders],
        },
    )
    policy = config.load(None, {}).policy
    found = fold(real, (), policy, open_from=BEGIN_SLICE + 1_000)
    assert len(found) > len(orders)
    assert_same(found, slow_cells.fold(real, (), policy, open_from=BEGIN_SLICE + 1_000))


def test_words_by_the_ten_thousand_in_every_field_do_not_overflow_a_key() -> None:
    n = 30_000
    words = [f"w{i * 7919 % n}" for i in range(n)]
    told = facts_of(
        np.arange(n) * 1e3, version=words, track=words[::-1], service=words, environment=words,
        value=np.arange(n), attributes={"country": words, "warehouse": words[::-1]},
    )  # fmt: skip
    policy = policy_of(duration(types=(), segments=(("country", "warehouse"), ("country",))))
    found = fold(told, (), policy, open_from=0)
    assert len(found) == 3 * n
    assert_same(found, slow_cells.fold(told, (), policy, open_from=0))
    assert_same(merge([found, found]), slow_cells.merge([found, found]))
