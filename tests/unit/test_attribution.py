"""Which cells speak in which comparisons of a release, side by side in two arms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from analyzers.comparing.arms import Key
from analyzers.comparing.attribution import Attribution, Block, block, totals
from analyzers.comparing.names import Names
from analyzers.facts import Facts, Ints, Marker, concat
from analyzers.folding.cells import Cells, fold, merge
from analyzers.folding.subjects import BESIDE_VALUES
from analyzers.judging.evidence import Evidence
from analyzers.policy import Kind, Limits, Measure, Policy
from analyzers.timeline import Deployment, timeline
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    answered,
    assigned,
    duration,
    facts_of,
    finished,
    flow,
    metric_of,
    policy_of,
    shifted,
    started,
    success,
    throughput,
)

KINDS = ("order.submitted", "page.viewed")
WHOSE = ("order-api", "production")
POLICY = policy_of(success(segments=(("country",),)), flow())


def deployment_of(*markers: Marker) -> Deployment:
    return timeline(markers).deployments[0]


def folded(facts: Facts, policy: Policy = POLICY, *, open_from: int = 0) -> Cells:
    return fold(facts, (), policy, open_from=open_from)


def blocks(
    parts: Cells | Iterable[Cells], deployment: Deployment, policy: Policy = POLICY
) -> dict[Key, Block]:
    """What both arms of each comparison showed, of cells that are all of this service."""
    attribution, row_of, names = Attribution(deployment, OLD, policy), dict[Key, int](), Names()

    def rows(keys: Sequence[Key]) -> Ints:
        for key in keys:
            if key not in row_of and attribution.admits(key):
                row_of[key] = len(row_of)
        return np.array([row_of.get(key, -1) for key in keys], np.int64)

    shares = []
    for cells in [parts] if isinstance(parts, Cells) else parts:
        heard = names.heard(cells.series, [WHOSE])
        told = attribution.shares(cells, heard[WHOSE], rows) if heard else None
        if told is not None:
            shares.append(told)
    kinds = {metric.name: metric.kind for metric in policy.metrics}
    ratios = np.array([kinds[name] is Kind.RATIO for name, _ in row_of])
    whole = block(shares, ratios)
    return {key: whole.where(whole.of == row) for key, row in row_of.items()}


def slices(one: Block) -> list[int]:
    """The slices of a block, from the beginning of the tests' time."""
    told: list[int] = (one.shown - BEGIN_SLICE).tolist()
    return told


def test_cells_count_from_the_slice_of_the_start_to_the_slice_of_the_end() -> None:
    times = [9.0, 14.0, 16.0, 29.0, 30.0]
    facts = concat([facts_of(times, version=NEW), facts_of(times, version=OLD)])
    told = blocks(folded(facts), deployment_of(started(15.0), finished(25.0)))["success", ()]
    assert slices(told) == [1, 2]
    assert told.units.tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_what_comes_while_the_new_version_starts_up_is_not_judged() -> None:
    cells = folded(facts_of([5.0, 25.0, 45.0], version=NEW))
    baked = replace(POLICY, bake_s=30)
    assert slices(blocks(cells, deployment_of(started()), baked)["success", ()]) == [4]
    assert slices(blocks(cells, deployment_of(started()))["success", ()]) == [0, 2, 4]


def test_only_the_service_and_the_environment_of_the_release_are_compared() -> None:
    facts = concat(
        [
            facts_of([1.0], version=NEW, service="stock"),
            facts_of([1.0], version=NEW, environment="staging"),
            facts_of([1.0], version="7"),
        ]
    )
    deployment = deployment_of(started())
    evidence = Evidence(deployment, OLD, POLICY)
    evidence.advance(folded(facts))
    assert evidence.comparisons == {}
    assert len(totals([folded(facts)], deployment, OLD, POLICY, POLICY.metrics)) == 0


def test_failures_units_and_segments_are_told_apart() -> None:
    facts = facts_of(
        [1.0] * 5,
        version=[NEW, NEW, OLD, OLD, OLD],
        outcome=["ok", "no", "ok", "no", "no"],
        attributes={"country": ["DE", "DE", "DE", "FR", ""]},
    )
    told = blocks(folded(facts), deployment_of(started()))
    assert told["success", ()].units.tolist() == [[3.0, 2.0]]
    assert told["success", ()].failures.tolist() == [[2.0, 1.0]]
    assert told["success", (("country", "DE"),)].units.tolist() == [[1.0, 2.0]]
    assert told["success", (("country", "FR"),)].failures.tolist() == [[1.0, 0.0]]


def test_values_and_buckets_follow_the_rows_they_belong_to() -> None:
    policy = policy_of(duration(types=()))
    facts = facts_of(
        [11.0, 11.0, 21.0, 41.0], version=[NEW, OLD, NEW, OLD], value=[1.0, 2.5, 4.0, 8.0]
    )
    told = blocks(folded(facts, policy), deployment_of(started()), policy)["duration", ()]
    assert told.units.tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    assert told.total.tolist() == [[2.5, 1.0], [0.0, 4.0], [8.0, 0.0]]
    by_row = np.zeros((3, 2))
    np.add.at(by_row, told.bin_of, told.bin_counts)
    assert by_row.tolist() == told.units.tolist()
    late = told.where(told.shown > BEGIN_SLICE + 1)
    assert late.bin_of.tolist() == [0, 1]
    assert late.bin.tolist() == told.bin[told.bin_of > 0].tolist()


def test_a_late_cell_counts_by_when_it_happened_and_is_seen_when_it_was_shown() -> None:
    before = folded(facts_of([5.0], version=NEW), open_from=BEGIN_SLICE + 6)
    after = folded(facts_of([25.0], version=NEW), open_from=BEGIN_SLICE + 6)
    told = blocks(merge([before, after]), deployment_of(started(20.0)))["success", ()]
    assert told.units.tolist() == [[0.0, 1.0]]
    assert slices(told) == [6]


def test_answers_count_from_when_the_first_question_after_the_start_falls_due() -> None:
    policy = policy_of(answered(60))
    metric = policy.metrics[0].name
    cells = folded(facts_of([65.0, 75.0], version=NEW))  # as if due then
    series = tuple(s._replace(metric=metric) for s in cells.series)
    due = Cells(series, *(getattr(cells, name) for name in Cells.__slots__[1:]))
    assert slices(blocks(due, deployment_of(started(10.0)), policy)[metric, ()]) == [7]


def test_a_duration_counts_if_it_began_after_the_start_on_either_side() -> None:
    """Else a slow canary, which cannot have ended anything slow yet, would look fast."""
    policy = policy_of(duration(types=(), unit="min", quantum=0.1))
    facts = facts_of(
        [610.0, 650.0, 650.0, 660.0], version=[OLD, OLD, NEW, NEW], value=[12.0, 9.0, 9.0, 11.5],
        subjects=[1, 2, 3, 4],
    )  # fmt: skip
    told = blocks(folded(facts, policy), deployment_of(started(60.0)), policy)["duration", ()]
    shown = told.units.sum(axis=1) > 0
    assert slices(told.where(shown)) == [65]
    assert told.units.sum(axis=0).tolist() == [1.0, 1.0]
    values = told.bin < BESIDE_VALUES
    assert told.bin_counts[values].sum(axis=0).tolist() == [1.0, 1.0]
    assert told.bin_counts[~values].sum(axis=0).tolist() == [1.0, 1.0]


def test_after_a_change_of_the_share_only_what_began_since_counts() -> None:
    policy = policy_of(duration(types=(), quantum=0.1))
    facts = facts_of([290.0, 330.0, 390.0], version=NEW, value=[50.0, 50.0, 50.0])
    markers = (started(0.0, share=0.1), shifted(300.0, 0.5))
    told = blocks(folded(facts, policy), deployment_of(*markers), policy)["duration", ()]
    assert slices(told.where(told.units.sum(axis=1) > 0)) == [29, 39]


def test_units_are_assigned_by_the_share_of_a_whole_slice() -> None:
    policy = policy_of(assigned(types=("order.submitted",)))
    facts = facts_of([3.0, 7.0, 15.0, 303.0, 315.0], version=OLD)
    markers = (started(5.0, share=0.1), shifted(305.0, 0.5))
    told = blocks(folded(facts, policy), deployment_of(*markers), policy)["assigned", ()]
    assert slices(told) == [1, 31]


def test_what_follows_an_exposure_later_counts_once_it_can_have_come() -> None:
    policy = policy_of(throughput(exposure="page.viewed", deadline_s=60), flow())
    times = [5.0, 65.0, 305.0, 365.0]
    facts = concat([facts_of(times, types=kind, version=NEW) for kind in KINDS])
    markers = (started(0.0, share=0.1), shifted(300.0, 0.5))
    told = blocks(folded(facts, policy), deployment_of(*markers), policy)["throughput", ()]
    assert slices(told) == [6, 36]
    assert told.exposed.tolist() == [[0.0, 1.0]] * 2


def test_exposure_is_laid_beside_the_counts_slice_by_slice() -> None:
    policy = policy_of(throughput(exposure="page.viewed", deadline_s=1), flow())
    facts = concat(
        [
            facts_of([1.0, 21.0], version=NEW),
            facts_of([1.0, 1.0, 11.0], types="page.viewed", version=[NEW, OLD, OLD]),
        ]
    )
    told = blocks(folded(facts, policy), deployment_of(started()), policy)["throughput", ()]
    assert slices(told) == [0, 1, 2]
    assert told.units.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
    assert told.exposed.tolist() == [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]


def test_exposure_is_known_of_the_total_alone() -> None:
    policy = policy_of(
        throughput(exposure="page.viewed", segments=(("country",),), deadline_s=1),
        replace(throughput(segments=(("country",),)), name="bare"),
        flow(),
    )
    facts = facts_of([1.0], version=NEW, attributes={"country": "DE"})
    told = blocks(folded(facts, policy), deployment_of(started()), policy)
    assert ("throughput", ()) in told
    assert ("throughput", (("country", "DE"),)) not in told
    assert ("bare", (("country", "DE"),)) in told


def test_a_ratio_has_the_sums_of_its_denominator_beside_its_own() -> None:
    """Minutes a line where lines have values; euros an order where orders are counted."""
    lines = metric_of("lines", Kind.AMOUNT, Measure.VALUE, types=("order.packed",), quantum=1.0)
    minutes = metric_of(
        "minutes", Kind.RATIO, Measure.VALUE, over="lines", types=("order.picked",),
        quantum=0.5, segments=(("country",),), deadline_s=1,
    )  # fmt: skip
    each = metric_of(
        "each", Kind.RATIO, Measure.VALUE, over="throughput", types=("order.picked",),
        quantum=0.5, deadline_s=1,
    )  # fmt: skip
    policy = policy_of(lines, minutes, each, throughput(types=("order.packed",)), flow())
    facts = concat(
        [
            facts_of([1.0, 2.0], types="order.picked", version=[OLD, NEW], value=[3.5, 4.0]),
            facts_of([1.0, 2.0, 3.0, 12.0], types="order.packed", version=[OLD, OLD, NEW, NEW],
                     value=[7.0, 5.0, 9.0, 2.0], attributes={"country": ["DE"] * 4}),
        ]
    )  # fmt: skip
    told = blocks(folded(facts, policy), deployment_of(started()), policy)
    by_line, by_order = told["minutes", ()], told["each", ()]
    assert by_line.total.tolist() == by_order.total.tolist() == [[3.5, 4.0], [0.0, 0.0]]
    assert by_line.units.tolist() == [[12.0, 9.0], [0.0, 2.0]]
    assert by_order.units.tolist() == by_line.exposed.tolist() == [[2.0, 1.0], [0.0, 1.0]]


def test_a_ratio_has_segments_only_where_it_asks_for_them_itself() -> None:
    lines = metric_of("lines", Kind.AMOUNT, Measure.VALUE, segments=(("country",), ("region",)))
    minutes = metric_of(
        "minutes", Kind.RATIO, Measure.VALUE, over="lines", segments=(("country",),)
    )
    policy = policy_of(lines, minutes)
    facts = facts_of([1.0], version=NEW, value=1.0, attributes={"country": "DE", "region": "N"})
    told = blocks(folded(facts, policy), deployment_of(started()), policy)
    assert {segment for name, segment in told if name == "minutes"} == {(), (("country", "DE"),)}


def test_segments_beyond_the_limit_are_not_compared_first_come_first_served() -> None:
    policy = replace(POLICY, limits=Limits(segments=2))
    countries = ["FR", "DE", "AT", "DE"]
    facts = facts_of([1.0, 11.0, 21.0, 31.0], version=NEW, attributes={"country": countries})
    told = blocks(folded(facts, policy), deployment_of(started()), policy)
    kept = {segment for name, segment in told if name == "success"}
    assert kept == {(), (("country", "FR"),), (("country", "DE"),)}
    assert told["success", ()].units.sum() == 4.0
    assert slices(told["success", (("country", "DE"),)]) == [1, 3]


def test_types_that_the_policy_names_are_compared_however_many_others_come() -> None:
    policy = replace(POLICY, limits=Limits(segments=1))
    types = ["made.up", "more.made", "order.submitted"]
    facts = facts_of([1.0, 2.0, 30.0], types=types, version=NEW)
    told = blocks(folded(facts, policy), deployment_of(started()), policy)
    kept = {segment for name, segment in told if name == "flow" and len(segment) == 1}
    assert kept == {(("type", "made.up"),), (("type", "order.submitted"),)}


def test_cells_in_parts_are_the_same_block_as_whole() -> None:
    policy = policy_of(duration(types=()))
    facts = facts_of([1.0, 11.0, 12.0, 21.0], version=[NEW, OLD, NEW, NEW], value=[1.0, 2, 4, 4])
    whole = folded(facts, policy)
    deployment = deployment_of(started())
    one = blocks(whole, deployment, policy)["duration", ()]
    cut = blocks(whole.split(BEGIN_SLICE + 1), deployment, policy)["duration", ()]
    for name in Block.__slots__:
        assert getattr(one, name).tolist() == getattr(cut, name).tolist(), name


def test_each_row_has_the_share_that_was_declared_for_its_slice() -> None:
    cells = folded(facts_of([1.0, 11.0, 31.0], version=NEW))
    deployment = deployment_of(started(5.0, share=0.1), shifted(30.0, 0.5))
    assert blocks(cells, deployment)["success", ()].share.tolist() == [0.1, 0.1, 0.5]
    assert blocks(cells, deployment_of(started()))["success", ()].share.tolist() == [0.0] * 3


def test_no_cells_are_an_empty_block() -> None:
    deployment = deployment_of(started())
    assert blocks([], deployment) == {}
    assert len(block([], np.zeros(0, np.bool_))) == 0
    elsewhere = folded(facts_of([1.0], version="7"))
    heard = Names().heard(elsewhere.series, [WHOSE])[WHOSE]
    told = Attribution(deployment, OLD, POLICY).shares(elsewhere, heard, lambda _: np.array([]))
    assert told is None


def test_totals_are_numbered_like_the_metrics_that_are_asked_for() -> None:
    policy = policy_of(success(segments=(("country",),)), duration(types=()), flow())
    facts = facts_of([1.0, 2.0], version=[OLD, NEW], value=[2.0, 4.0], attributes={"country": "DE"})
    cells = folded(facts, policy)
    wanted = (policy.metrics[1], policy.metrics[0])
    told = totals(cells.split(BEGIN_SLICE + 1), deployment_of(started()), OLD, policy, wanted)
    assert told.of.tolist() == [0, 1]
    assert told.total[0].tolist() == [2.0, 4.0]
    assert told.units[1].tolist() == [1.0, 1.0]
