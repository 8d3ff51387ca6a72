"""What is still needed before a metric is decided, and what a harm has cost so far."""

from __future__ import annotations

import math
from dataclasses import replace

from analyzers.comparing.comparison import Comparison
from analyzers.judging.evidence import Evidence
from analyzers.judging.outlook import impact, needed
from analyzers.judging.verdict import Impact, Needed
from analyzers.policy import Kind, Margin, Measure, Metric
from analyzers.timeline import timeline
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    started,
    success,
    throughput,
)
from tests.order_facts import settled_cells

TOTAL = ("success", ())


def judged(
    slices: int, *, failing: tuple[int, int] = (1, 1), metric: Metric | None = None
) -> Evidence:
    """The evidence after slices of twenty events of each arm, so many of them failures."""
    policy = policy_of(metric or success(), throughput(), flow())
    times, versions, outcomes = [], [], []
    for number in range(slices):
        for version, bad in zip((OLD, NEW), failing, strict=True):
            times += [number * 10.0 + 1.0] * 20
            versions += [version] * 20
            outcomes += ["rejected"] * bad + ["ok"] * (20 - bad)
    evidence = Evidence(timeline([started(share=0.5)]).deployments[0], OLD, policy)
    facts = facts_of(times, version=versions, outcome=outcomes, value=[1.0] * len(times))
    evidence.advance(settled_cells(facts, policy, until_s=slices * 10.0))
    return evidence


def of(evidence: Evidence, slices: int) -> Needed:
    found = needed(evidence, TOTAL, BEGIN_SLICE + slices)
    assert found is not None
    return found


def test_the_more_has_come_the_less_is_needed_and_time_follows_from_the_rate() -> None:
    early, late = of(judged(5), 5), of(judged(20), 20)
    assert early.events > late.events
    for told in (early, late):  # forty events in ten seconds
        assert told.seconds == math.ceil(told.events / 4.0)


def test_what_is_said_to_be_needed_is_about_what_it_takes() -> None:
    told = of(judged(10), 10)
    slices = 10 + math.ceil(told.events / 40)
    after = judged(math.ceil(slices * 1.5))
    assert after.safe(TOTAL)
    assert not judged(max(10, slices // 4)).safe(TOTAL)


def test_a_tight_margin_needs_more() -> None:
    wide = of(judged(10, metric=success(margin=Margin(0.1, relative=False))), 10)
    tight = of(judged(10, metric=success(margin=Margin(0.01, relative=False))), 10)
    assert tight.events > 5 * wide.events


def test_beyond_the_margin_the_distance_to_harm_counts() -> None:
    slightly, clearly = of(judged(6, failing=(1, 2)), 6), of(judged(6, failing=(1, 5)), 6)
    assert clearly.events < slightly.events


def test_before_the_first_stratum_a_rough_number_is_told() -> None:
    evidence = judged(3)
    unknown = Evidence(evidence.deployment, OLD, evidence.policy)
    facts = facts_of([1.0], version=NEW)
    unknown.advance(settled_cells(facts, evidence.policy, until_s=10.0))
    told = of(unknown, 1)
    assert told.events >= 100
    assert told.seconds == 10 * told.events


def test_what_decides_nothing_needs_nothing() -> None:
    evidence = judged(5)
    assert evidence.comparisons["throughput", ()].indicative
    assert needed(evidence, ("throughput", ()), BEGIN_SLICE + 5) is None


def row(metric: Metric) -> Comparison:
    """A comparison that a hundred of the canary's events have shown."""
    evidence = judged(5)
    table = evidence.table
    return Comparison(metric, table, evidence.comparisons[TOTAL].row)


def test_the_cost_of_failures_is_counted_in_what_the_events_are() -> None:
    assert row(success()).seen.tolist() == [100.0, 100.0]
    # Six points fewer accepted, between two and ten.
    told = impact(row(success()), -0.06, -0.1, -0.02)
    assert told == Impact(6.0, 2.0, 10.0, "orders")
    documents = success(types=("edi.sent",))
    assert impact(row(documents), -0.06, -0.1, 0.01) == Impact(6.0, 0.0, 10.0, "documents")
    others = success(types=("parcel.sorted",), worse="higher")
    assert impact(row(others), 0.06, 0.02, 0.1) == Impact(6.0, 2.0, 10.0, "events")


def test_the_cost_of_values_is_a_sum_in_their_unit_and_of_rates_there_is_none() -> None:
    slower = duration(unit="s")
    assert impact(row(slower), 1.5, 0.5, 2.5) == Impact(150.0, 50.0, 250.0, "s")
    amount = metric_of("value", Kind.AMOUNT, Measure.VALUE, worse="lower", unit="EUR")
    assert impact(row(amount), -2.0, -3.0, -1.0) == Impact(200.0, 100.0, 300.0, "EUR")
    for kind in (Kind.GAUGE, Kind.COUNT):
        without = replace(success(), kind=kind)
        assert impact(row(without), -2.0, -3.0, -1.0) is None


def test_an_unknown_effect_has_no_cost_and_an_unknown_bound_is_the_effect() -> None:
    assert impact(row(success()), None, None, None) is None
    assert impact(row(success()), -0.06, None, -0.02) == Impact(6.0, 2.0, 6.0, "orders")
