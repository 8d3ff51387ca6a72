"""All comparisons of one deployment, weighed together and followed over time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analyzers.facts import Facts, Marker, concat
from analyzers.folding.cells import Cells, fold, merge
from analyzers.judging.evidence import Evidence
from analyzers.policy import Criticality, Kind, Limits, Measure, Metric, Policy
from analyzers.timeline import Deployment, timeline
from analyzers.times import rfc3339
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    answered,
    at_ns,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    shifted,
    started,
    success,
    throughput,
)
from tests.order_facts import Orders, drawn, settled_cells

# Times to confirmation, taken for values of other kinds.
QUEUE = metric_of("queue", Kind.GAUGE, Measure.VALUE, types=("order.confirmed",))
RATIO = metric_of("ratio", Kind.RATIO, Measure.VALUE, types=("order.confirmed",), over="success")
AMOUNT = metric_of("amount", Kind.AMOUNT, Measure.VALUE, types=("order.confirmed",))

WIDE = policy_of(
    QUEUE,
    RATIO,
    AMOUNT,
    success(segments=(("country",),)),
    duration(segments=(("country",),)),
    answered(),
    throughput(exposure="page.viewed"),
    replace(throughput(), name="bare"),
    metric_of("watched", Kind.PROPORTION, Measure.OUTCOME, criticality=Criticality.WATCH),
    flow(),
)


def deployment_of(*markers: Marker) -> Deployment:
    return timeline(markers).deployments[0]


def evidence_of(
    cells: Cells, policy: Policy, *markers: Marker, ticks: list[int] | None = None
) -> Evidence:
    """The evidence on a deployment, the cells handed over in blocks that end before ``ticks``."""
    evidence = Evidence(deployment_of(*(markers or (started(share=0.5),))), OLD, policy)
    rest = cells
    for tick in ticks or []:
        block, rest = rest.split(tick)
        evidence.advance(block)
    evidence.advance(rest)
    return evidence


def said(evidence: Evidence) -> dict[str, object]:
    """Everything that a verdict may read, floats to the last bit."""
    return {
        "comparisons": {
            key: (
                repr(one.effects(3.0)), repr(one.trace()), one.seen.tolist(), one.log_harm,
                one.log_safe, one.log_harm_max, one.log_safe_top, one.first_seen,
            )
            for key, one in evidence.comparisons.items()
        },
        "weights": evidence.weights,
        "order": list(evidence.weights),
        "changes": evidence.changes,
        "degraded": evidence.degraded_at,
        "harm": repr(evidence.e_value),
        "last": (evidence.last_at, evidence.gap_max),
    }  # fmt: skip


@pytest.mark.parametrize(
    "orders",
    [
        Orders(slices=200),
        Orders(slices=200, share=0.1, failing=(0.02, 0.3)),
        Orders(slices=300, per_slice=0.1),
        Orders(slices=200, canary_until=90),
    ],
    ids=["untouched", "harmed", "sparse", "silent"],
)
def test_ticking_every_slice_and_jumping_give_the_same_evidence(orders: Orders) -> None:
    facts = drawn(orders, seed=1)
    cells = settled_cells(facts, WIDE, until_s=3_000.0)
    markers = (started(share=orders.share), shifted(500.0, orders.share * 0.9))
    whole = said(evidence_of(cells, WIDE, *markers))
    every = list(range(BEGIN_SLICE, BEGIN_SLICE + 310))
    for ticks in (every, every[::7], [BEGIN_SLICE + 100]):
        assert said(evidence_of(cells, WIDE, *markers, ticks=ticks)) == whole


def test_evidence_as_of_a_slice_is_that_of_the_stream_cut_there() -> None:
    cells = settled_cells(drawn(Orders(slices=200, failing=(0.02, 0.1)), 2), WIDE, until_s=2_500.0)
    whole = evidence_of(cells, WIDE)
    for cut in (30, 75, 140):
        evidence = evidence_of(cells.split(BEGIN_SLICE + cut)[0], WIDE)
        ticked = evidence_of(cells, WIDE, ticks=[BEGIN_SLICE + cut, BEGIN_SLICE + 10_000])
        assert said(ticked) == said(whole)
        known = [change for change in whole.changes if change.slice < BEGIN_SLICE + cut]
        assert evidence.changes == known
        assert all(evidence.weights[key] == whole.weights[key] for key in evidence.weights)


# --- weights -----------------------------------------------------------------------------------


def test_weights_never_sum_to_more_than_one_however_much_appears() -> None:
    metrics = [
        success(segments=(("country",),), types=("t",), criticality=criticality)
        for criticality in (Criticality.CRITICAL, Criticality.STANDARD)
    ]
    many = [
        replace(metrics[i % 2], name=f"m{i}", types=(f"t{i}",)) for i in range(30)
    ] + [flow()]  # fmt: skip
    countries = [f"c{i}" for i in range(60)]
    facts = concat(
        [
            facts_of([1.0] * 60, types=f"t{i}", version=NEW, attributes={"country": countries})
            for i in range(30)
        ]
    )
    policy = policy_of(*many)
    evidence = evidence_of(fold(facts, (), policy, open_from=0), policy)
    assert len(evidence.weights) > 30 * 60
    assert 0.9 < sum(evidence.weights.values()) <= 1.0
    assert all(weight >= 0 for weight in evidence.weights.values())


def test_a_weight_is_fixed_when_its_comparison_first_appears() -> None:
    cells = settled_cells(drawn(Orders(slices=100), 3), WIDE, until_s=1_500.0)
    early, late = (evidence_of(cells.split(BEGIN_SLICE + cut)[0], WIDE) for cut in (20, 100))
    assert early.weights.items() <= late.weights.items()


def test_what_cannot_decide_has_no_weight() -> None:
    evidence = evidence_of(settled_cells(drawn(Orders(), 4), WIDE, until_s=4_000.0), WIDE)
    assert evidence.weights["bare", ()] == 0.0
    assert evidence.weights["watched", ()] == 0.0
    assert evidence.harm_threshold(("bare", ())) == np.inf
    assert evidence.weights["success", ()] > 0


def test_segments_beyond_the_limit_are_not_compared() -> None:
    policy = replace(
        policy_of(success(segments=(("partner",), ("country",)))), limits=Limits(segments=5)
    )
    partners = [f"p{i:03}" for i in range(300)]
    facts = facts_of(
        [1.0] * 300, version=NEW, attributes={"partner": partners, "country": ["DE"] * 300}
    )
    evidence = evidence_of(fold(facts, (), policy, open_from=0), policy)
    assert len(evidence.comparisons) == 1 + 5 + 1


def test_made_up_event_types_are_watched_for_silence_up_to_the_limit_and_named_ones_always() -> (
    None
):
    policy = replace(policy_of(success(types=("z",)), flow()), limits=Limits(segments=20))
    made_up = facts_of([1.0] * 300, types=[f"a{i:03}" for i in range(300)], version=NEW)
    real = facts_of([15.0, 15.0], types="z", version=[OLD, NEW], ids=[901, 902])
    cells = fold(concat([made_up, real]), (), policy, open_from=0)
    evidence = evidence_of(cells, policy)
    assert sum(one.silence for one in evidence.comparisons.values()) == 21
    assert ("flow", (("type", "z"),)) in evidence.comparisons
    assert said(evidence_of(cells, policy, ticks=[BEGIN_SLICE + 1])) == said(evidence)


# --- status ------------------------------------------------------------------------------------


def paired(times_s: list[float], *, types: str = "order.submitted", first_id: int = 1) -> Facts:
    """A good event of both arms at each time."""
    n = len(times_s)
    return concat(
        [
            facts_of(times_s, types=types, version=version, ids=np.arange(n) + first_id + n * i)
            for i, version in enumerate((OLD, NEW))
        ]
    )


def folded(policy: Policy, *parts: Facts) -> Cells:
    return fold(concat(list(parts)), (), policy, open_from=0)


BUSY = paired([i * 0.5 for i in range(4_000)])  # 2,000 s, eighty orders a slice, all good
OTHER = metric_of("other", Kind.PROPORTION, Measure.OUTCOME, types=("other",))


def test_a_flawless_canary_becomes_healthy_and_stays_it() -> None:
    policy = policy_of(success())
    evidence = evidence_of(folded(policy, BUSY), policy)
    assert [change.status for change in evidence.changes] == ["inconclusive", "healthy"]
    assert evidence.gating(BEGIN_SLICE + 150) == [("success", ())]


def test_a_harm_degrades_at_the_slice_that_proves_it_and_for_good() -> None:
    policy = policy_of(success())
    bad = facts_of([300.0] * 200, version=NEW, outcome="rejected")
    later = facts_of([700.0 + i * 0.01 for i in range(9_000)], version=NEW)
    evidence = evidence_of(folded(policy, BUSY, bad, later), policy)
    assert evidence.degraded_at == BEGIN_SLICE + 30
    assert evidence.changes[-1].status == "degraded"
    assert evidence.e_value < 1.0 / policy.error_rate  # it would no longer be found today


def test_an_earlier_finding_of_harm_is_kept() -> None:
    policy = policy_of(success())
    evidence = evidence_of(folded(policy, BUSY), policy)
    evidence.latch(None)
    assert [change.status for change in evidence.changes] == ["inconclusive", "healthy"]
    evidence.latch(rfc3339(at_ns(310.0)))
    assert evidence.degraded_at == BEGIN_SLICE + 30
    assert evidence.changes[-1].status == "degraded"
    evidence.latch(rfc3339(at_ns(990.0)))
    assert evidence.degraded_at == BEGIN_SLICE + 30


def test_healthy_does_not_latch_before_the_watch_ends() -> None:
    """A second gating metric shows up after the first was proven: not healthy any more."""
    policy = policy_of(success(), OTHER)
    late = paired([1_500.0, 1_510.0], types="other", first_id=100_000)
    evidence = evidence_of(folded(policy, BUSY, late), policy)
    assert [change.status for change in evidence.changes] == [
        "inconclusive",
        "healthy",
        "inconclusive",
    ]


def test_healthy_latches_once_the_watch_has_ended() -> None:
    policy = replace(policy_of(success(), OTHER), watch_s=1_000)
    late = paired([1_500.0, 1_510.0], types="other", first_id=100_000)
    evidence = evidence_of(folded(policy, BUSY, late), policy)
    assert [change.status for change in evidence.changes] == ["inconclusive", "healthy"]


def test_healthy_ends_in_the_slice_in_which_the_baseline_first_shows_another_gating_metric() -> (
    None
):
    policy = policy_of(success(), OTHER)
    quiet = paired([i * 0.5 for i in range(2_000)])  # nothing after 1,000 s closes a stratum
    lonely = facts_of([1_400.0], types="other", version=OLD, ids=[10**6])
    evidence = evidence_of(folded(policy, quiet, lonely), policy)
    assert evidence.changes[-1].status == "inconclusive"
    assert evidence.changes[-1].slice == BEGIN_SLICE + 140


def test_a_metric_that_the_policy_names_for_the_service_gates_before_it_is_seen() -> None:
    named = replace(OTHER, named=True, services=("order-api",))
    policy = policy_of(success(), named)
    late = facts_of([1_500.0, 1_700.0], types="other", version=NEW, ids=[10**6, 10**6 + 1])
    cells = folded(policy, BUSY, late)
    whole = evidence_of(cells, policy)
    ticked = evidence_of(cells, policy, ticks=list(range(BEGIN_SLICE, BEGIN_SLICE + 201)))
    assert said(whole) == said(ticked)
    assert [change.status for change in whole.changes] == ["inconclusive"]
    assert whole.missing(BEGIN_SLICE) == ["other"]


def test_only_totals_that_the_baseline_has_shown_since_the_start_gate() -> None:
    policy = replace(policy_of(success(segments=(("country",),)), OTHER, flow()), watch_s=10**7)
    once = facts_of([0.0], types="other", version=OLD, ids=[10**6])
    canary_only = facts_of([0.0], types="third", version=NEW, ids=[10**6 + 1])
    evidence = evidence_of(folded(policy, BUSY, once, canary_only), policy)
    day = 8_640
    assert evidence.gating(BEGIN_SLICE - 1) == []
    assert evidence.gating(BEGIN_SLICE) == [("other", ()), ("success", ())]
    assert evidence.gating(BEGIN_SLICE + 30 * day) == [("other", ()), ("success", ())]


def test_what_the_baseline_showed_before_the_start_is_waited_for() -> None:
    policy = policy_of(success(), OTHER)
    cells = folded(policy, BUSY)
    assert evidence_of(cells, policy).changes[-1].status == "healthy"
    waiting = Evidence(deployment_of(started()), OLD, policy, {"other": 0})
    waiting.advance(cells)
    assert waiting.changes[-1].status == "inconclusive"
    assert waiting.missing(BEGIN_SLICE + 200) == ["other"]


def test_a_count_without_exposure_neither_gates_nor_rolls_back() -> None:
    policy = policy_of(throughput())
    starved = facts_of([i * 0.1 for i in range(9_000)], version=OLD)
    few = facts_of([i * 10.0 for i in range(90)], version=NEW, ids=np.arange(90) + 10**6)
    evidence = evidence_of(folded(policy, starved, few), policy, started(share=0.5))
    assert evidence.comparisons["throughput", ()].log_harm > 100
    assert evidence.changes == [] or evidence.changes[-1].status == "inconclusive"
    assert evidence.gating(BEGIN_SLICE + 90) == []


def test_views_without_orders_speak_against_a_canary_that_lost_its_orders() -> None:
    policy = policy_of(throughput(exposure="page.viewed"), flow(criticality=Criticality.WATCH))
    viewed = paired([i * 0.5 for i in range(3_000)], types="page.viewed")
    ordered = facts_of([i * 5.0 for i in range(300)], version=OLD, ids=np.arange(300) + 10**6)
    cells = folded(policy, viewed, ordered)
    evidence = evidence_of(cells, policy)
    assert evidence.changes[-1].status == "degraded"
    ticked = evidence_of(cells, policy, ticks=list(range(BEGIN_SLICE, BEGIN_SLICE + 151)))
    assert said(ticked) == said(evidence)


def test_silence_of_the_canary_while_the_baseline_flows_degrades() -> None:
    policy = policy_of(success(), flow())
    flowing = paired([i * 2.0 for i in range(500)])
    alone = facts_of([1_000.0 + i * 2.0 for i in range(900)], version=OLD,
                     ids=np.arange(900) + 10**6)  # fmt: skip
    evidence = evidence_of(folded(policy, flowing, alone), policy)
    assert evidence.degraded_at is not None
    assert evidence.degraded_at > BEGIN_SLICE + 100
    stop = evidence.comparisons["flow", (("type", "order.submitted"),)]
    assert stop.slices.tolist() == [280, 100]
    assert evidence.judged()[0] == ("success", ())


def test_silence_of_the_baseline_is_no_harm_of_the_canary() -> None:
    policy = policy_of(success(), flow())
    alone = facts_of([i * 2.0 for i in range(900)], version=NEW)
    evidence = evidence_of(folded(policy, alone), policy)
    assert evidence.degraded_at is None
    silences = [one for one in evidence.comparisons.values() if one.silence]
    assert max(one.log_harm_max for one in silences) <= 0.0


def test_cells_of_metrics_that_the_policy_no_longer_has_are_left_out() -> None:
    cells = folded(policy_of(success(), OTHER), BUSY)
    assert list(evidence_of(cells, policy_of(OTHER)).comparisons) == []


def test_nothing_is_said_without_cells() -> None:
    evidence = evidence_of(merge([]), policy_of(success()))
    assert evidence.changes == []
    assert evidence.judged() == []


def test_slices_of_the_flow_tell_how_long_its_longest_pause_was() -> None:
    policy = policy_of(flow())
    facts = facts_of([0.0, 10.0, 250.0, 260.0], version=OLD)
    evidence = evidence_of(folded(policy, facts), policy)
    assert (evidence.last_at, evidence.gap_max) == (BEGIN_SLICE + 26, 24)
    ticked = evidence_of(folded(policy, facts), policy, ticks=[BEGIN_SLICE + 1, BEGIN_SLICE + 9])
    assert (ticked.last_at, ticked.gap_max) == (BEGIN_SLICE + 26, 24)


METRICS: list[Metric] = [success(), duration()]


@pytest.mark.parametrize("metric", METRICS, ids=["success", "duration"])
def test_the_status_follows_the_slices_in_order(metric: Metric) -> None:
    policy = policy_of(metric, flow())
    cells = settled_cells(drawn(Orders(slices=300), 5), policy, until_s=4_000.0)
    changes = evidence_of(cells, policy).changes
    assert all(one.slice <= two.slice for one, two in pairwise(changes))
    assert all(one.status != two.status for one, two in pairwise(changes))
