"""What becomes a cell, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.facts import Facts, Reject, concat, no_facts
from analyzers.folding.cells import Cells, Series, fold, merge, no_cells
from analyzers.folding.moments import QUANTA_LIMIT, floats, variance
from analyzers.folding.subjects import BESIDE_VALUES
from analyzers.policy import Kind, Measure, Metric
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
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


def folded(facts: Facts, *metrics: Metric, open_from: int = 0) -> Cells:
    return fold(facts, (), policy_of(*metrics), open_from=open_from)


def counts(cells: Cells) -> dict[tuple[str, ...], int]:
    """Counts by the values of the segment."""
    return {
        tuple(value for _, value in cells.series[of].segment): count
        for of, count in zip(cells.of.tolist(), cells.count.tolist(), strict=True)
    }


def test_nothing_folds_to_nothing() -> None:
    cells = folded(no_facts(), success(), duration(), flow(), validity())
    assert len(cells) == 0
    assert cells.digest() == no_cells().digest() == merge([]).digest()


def test_every_environment_service_version_and_track_has_its_own_cells() -> None:
    facts = concat(
        [
            facts_of([1.0], environment="staging"),
            facts_of([1.0], service="stock"),
            facts_of([1.0], version=NEW),
            facts_of([1.0], track="canary"),
            facts_of([1.0], version=NEW, track="canary"),
            facts_of([1.0, 2.0]),
        ]
    )
    cells = folded(facts, success())
    assert cells.count.tolist() == [2, 1, 1, 1, 1, 1]
    assert len(set(cells.series)) == 6


def test_a_slice_is_ten_seconds_from_its_start_on() -> None:
    cells = folded(facts_of([0.0, 9.999999, 10.0]), success())
    assert cells.slice.tolist() == [BEGIN_SLICE, BEGIN_SLICE + 1]
    assert cells.count.tolist() == [2, 1]


def test_a_segment_counts_only_events_that_have_all_its_attributes() -> None:
    facts = facts_of(
        [1.0] * 4,
        attributes={"partner": ["P1", "P1", "", "P2"], "document": ["850", "", "850", "810"]},
    )
    cells = folded(facts, success(segments=(("partner", "document"), ("partner",), ("tenant",))))
    assert counts(cells) == {
        (): 4,
        ("P1",): 2,
        ("P2",): 1,
        ("P1", "850"): 1,
        ("P2", "810"): 1,
    }


def test_synthetic_events_feed_synthetic_metrics_and_no_other() -> None:
    facts = facts_of([1.0] * 3, synthetic=[True, False, True])
    probed = metric_of("probed", Kind.PROPORTION, Measure.OUTCOME, types=(), synthetic=True)
    cells = folded(facts, success(), throughput(), flow(segments=()), validity(), probed)
    assert {cells.series[of].metric: n for of, n in zip(cells.of, cells.count, strict=True)} == {
        "success": 1,
        "throughput": 1,
        "flow": 1,
        "validity": 1,
        "probed": 2,
    }


def test_durations_and_throughput_count_ok_outcomes_only() -> None:
    facts = facts_of([1.0] * 3, outcome=["ok", "timeout", "ok"], value=[2.0, 9.0, np.nan])
    cells = folded(facts, throughput(), duration(types=()), flow(segments=()), success())
    told = {cells.series[of].metric: i for i, of in enumerate(cells.of.tolist())}
    assert cells.count[told["throughput"]] == 2
    assert cells.count[told["duration"]] == 1
    assert cells.sum.integers()[told["duration"]] == 2_000_000
    assert cells.count[told["flow"]] == 3
    assert (cells.count[told["success"]], cells.failures[told["success"]]) == (3, 1)


def test_conditions_on_attributes_and_services_choose_the_events() -> None:
    facts = facts_of([1.0] * 3, service=["a", "a", "b"], attributes={"country": ["DE", "FR", "DE"]})
    german = success(where=(("country", "DE"),))
    assert folded(facts, german).count.tolist() == [1, 1]
    assert folded(facts, success(services=("b",), where=(("country", "DE"),))).count.sum() == 1
    assert len(folded(facts, success(where=(("country", "XX"),)))) == 0
    assert len(folded(facts, success(where=(("tenant", "t1"),)))) == 0


def test_a_type_or_an_outcome_splits_like_an_attribute() -> None:
    facts = facts_of([1.0] * 3, types=["a", "a", "b"], outcome=["ok", "no", "ok"])
    assert counts(folded(facts, flow())) == {
        (): 3,
        ("a",): 2,
        ("b",): 1,
        ("a", "ok"): 1,
        ("a", "no"): 1,
        ("b", "ok"): 1,
    }


def test_answers_are_settled_elsewhere() -> None:
    assert len(folded(facts_of([1.0]), answered())) == 0


def test_values_round_half_to_even_and_stop_at_the_largest_exact_integer() -> None:
    values = [0.5, 1.5, 2.5, -0.5, -1.5]
    cells = folded(facts_of([1.0] * 5, value=values), duration(types=(), quantum=1.0))
    assert cells.sum.integers() == [0 + 2 + 2 + 0 - 2]
    huge = folded(facts_of([1.0, 1.0], value=[1e300, 1e300]), duration(types=()))
    assert huge.sum.integers() == [2 * (QUANTA_LIMIT - 1)]
    assert huge.square.integers() == [2 * (QUANTA_LIMIT - 1) ** 2]


def test_infinite_values_feed_no_duration() -> None:
    facts = facts_of([1.0] * 3, value=[np.inf, -np.inf, np.nan])
    assert len(folded(facts, duration(types=()))) == 0


def test_the_variance_of_a_cell_at_a_great_offset_is_exact() -> None:
    cells = folded(facts_of([1.0] * 3, value=[1e9 - 1, 1e9, 1e9 + 1]), duration(types=()))
    exact = variance(3, cells.sum.integers()[0], cells.square.integers()[0])
    assert exact == 1e12  # squared quanta of a millionth


def test_rejects_count_against_whoever_sent_them() -> None:
    placed = Reject(
        index=0, reason="bad_value", detail="", time_ns=at_ns(1.0), service="order-api",
        version=NEW,
    )  # fmt: skip
    nowhere = Reject(index=1, reason="not_json", detail="")
    cells = fold(
        facts_of([1.0], version=NEW), (placed, nowhere), policy_of(validity()), open_from=0
    )
    assert cells.series == (Series("production", "order-api", NEW, "", "validity", ()),)
    assert (cells.count.tolist(), cells.failures.tolist()) == ([2], [1])


def test_rejects_of_other_services_do_not_feed_the_validity_of_one() -> None:
    rejects = [
        Reject(index=i, reason="bad_value", detail="", time_ns=at_ns(1.0), service=service)
        for i, service in enumerate(("order-api", "stock"))
    ]
    only = policy_of(validity(services=("stock",)))
    cells = fold(facts_of([1.0]), rejects, only, open_from=0)
    assert [series.service for series in cells.series] == ["stock"]
    assert cells.count.tolist() == [1]


def test_equal_digests_need_equal_facts() -> None:
    facts = facts_of([1.0, 11.0], value=[1.0, 2.0])
    swapped = facts_of([1.0, 11.0], value=[2.0, 1.0])
    metric = duration(types=())
    assert folded(facts, metric).digest() != folded(swapped, metric).digest()
    assert folded(facts, metric).digest() != folded(facts_of([1.0]), metric).digest()


def test_series_that_no_cell_uses_any_more_are_dropped_when_merged() -> None:
    cells = folded(facts_of([1.0, 11.0], version=["1", "2"]), success())
    _, later = cells.split(BEGIN_SLICE + 1)
    assert len(later.series) == 2
    assert [series.version for series in merge([later]).series] == ["2"]


def test_a_batch_of_a_hundred_thousand_versions_and_partners_is_folded_right() -> None:
    n = 100_000
    words = [f"w{i}" for i in range(n)]
    facts = facts_of(
        np.zeros(n), version=words, track=words[::-1], service=words, attributes={"partner": words}
    )
    cells = folded(facts, success(segments=(("partner",),)))
    assert len(cells) == 2 * n
    assert cells.count.sum() == 2 * n
    assert cells.series[0].service == "w0"
    assert cells.series[0].track == f"w{n - 1}"


@pytest.mark.parametrize("late", [0, 3])
def test_what_happened_before_the_open_slice_is_shown_in_it(late: int) -> None:
    cells = folded(facts_of([5.0, 45.0]), success(), open_from=BEGIN_SLICE + late)
    assert cells.slice.tolist() == [BEGIN_SLICE, BEGIN_SLICE + 4]
    assert cells.shown.tolist() == [BEGIN_SLICE + late, BEGIN_SLICE + 4]


def subject_buckets(cells: Cells) -> dict[int, int]:
    """How many events each bucket of the total holds."""
    total = [i for i, series in enumerate(cells.series) if not series.segment]
    mine = np.isin(cells.bin_of, total)
    return dict(zip(cells.bin[mine].tolist(), cells.bin_count[mine].tolist(), strict=True))


def test_a_proportion_keeps_its_subjects_apart_and_those_that_failed_negative() -> None:
    facts = facts_of(
        [1.0] * 5,
        subjects=[70, 6, 6, 0, 2**64 - 1],
        outcome=["ok", "ok", "rejected", "ok", "timeout"],
        attributes={"country": ["DE", "DE", "", "FR", "FR"]},
    )
    cells = folded(facts, success(segments=(("country",),)))
    assert subject_buckets(cells) == {7: 2, -7: 1, -64: 1}
    german, french = (
        cells.bin[cells.bin_of == i].tolist()
        for i, series in enumerate(cells.series)
        if series.segment
    )
    assert (german, french) == ([7], [-64])
    assert cells.count.tolist() == [5, 2, 2]  # the one without a subject is a unit of its own
    assert cells.failures.tolist() == [2, 0, 1]


def test_two_proportions_of_one_batch_hold_only_the_subjects_that_feed_them() -> None:
    facts = facts_of(
        [1.0] * 3, types=["order.submitted", "order.confirmed", "x"], subjects=[1, 2, 3],
        outcome=["ok", "late", "ok"], service=["order-api", "order-api", "stock"],
    )  # fmt: skip
    every = metric_of("every", Kind.PROPORTION, Measure.OUTCOME, types=())
    own = metric_of("own", Kind.PROPORTION, Measure.OUTCOME, types=(), services=("stock",))
    both = folded(facts, success(), every)
    assert both.bin.tolist() == [-3, 2, 2, 4]  # order-api: every, success; stock: every
    assert subject_buckets(folded(facts, success())) == {2: 1}
    assert subject_buckets(folded(facts, own)) == {4: 1}


def test_counts_silence_and_what_cannot_be_read_have_no_subjects() -> None:
    facts = facts_of([1.0] * 2, subjects=[1, 2], value=[1.0, 2.0])
    assert not len(folded(facts, throughput(), flow(), validity()).bin)


def test_cells_of_values_hold_subjects_beside_the_buckets_of_the_values() -> None:
    facts = facts_of([1.0] * 3, subjects=[1, 65, 0], value=[1.0, 2.0, 4.0])
    cells = folded(facts, duration(types=()))
    assert cells.count.tolist() == [3]
    values = cells.bin < BESIDE_VALUES
    assert cells.bin_count[values].tolist() == [1, 1, 1]
    assert cells.bin[~values].tolist() == [BESIDE_VALUES + 2]
    assert cells.bin_count[~values].tolist() == [2]


def test_assignments_count_every_outcome_in_total_by_subject() -> None:
    facts = facts_of(
        [1.0] * 4,
        types="order.seen",
        subjects=[1, 4097, 4095, 0],
        outcome=["ok", "rejected", "timeout", "ok"],
        attributes={"country": "DE"},
    )
    cells = folded(facts, assigned(segments=(("country",),)))
    assert (cells.count.tolist(), cells.failures.tolist()) == ([4], [0])
    assert subject_buckets(cells) == {2: 2, 4096: 1}


def test_gauges_ratios_and_amounts_have_the_sums_of_their_values_as_they_are() -> None:
    facts = facts_of([1.0] * 4, value=[0.25, -2.0, 1e9, np.nan])
    for kind in (Kind.GAUGE, Kind.RATIO, Kind.AMOUNT):
        told = folded(facts, metric_of("told", kind, Measure.VALUE, cap=1.0))
        assert told.count.tolist() == [3]
        assert floats(told.sum).tolist() == [(0.25 - 2.0 + 1e9) * 1e6]
        assert told.bin_count.sum() == 3
    lines = metric_of("lines", Kind.RATIO, Measure.EVENTS, over="orders")
    counted = folded(facts_of([1.0] * 3, outcome=["ok", "no", "ok"], value=5.0), lines)
    assert (counted.count.tolist(), counted.sum.integers()) == ([2], [0])
