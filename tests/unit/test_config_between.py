"""Metrics beside each other: ratios, assignments, weights and caps, and what of them is refused."""

from __future__ import annotations

import pytest

from analyzers.policy import Criticality, Kind, Margin, Measure
from pipeline.config.catalogue import catalogue
from tests.unit.configured import fault, loaded, metric_fault, metric_of, refused

RETURNS = "kind: ratio, type: order.returned, measure: events, worse: higher"
AMOUNT = "kind: amount, type: x, worse: higher"


def test_a_ratio_is_of_values_with_a_relative_margin_and_split_as_what_it_is_over() -> None:
    policy = loaded("""
metrics:
  lines: {kind: count, type: order.submitted, segments: [[type], [lane], [country]]}
  lines_per_order: {kind: ratio, type: order.lines, worse: lower, over: lines}
""").policy
    ratio = policy.metric("lines_per_order")
    assert (ratio.kind, ratio.measure, ratio.over) == (Kind.RATIO, Measure.VALUE, "lines")
    assert (ratio.margin, ratio.criticality) == (Margin(0.1, relative=True), Criticality.STANDARD)
    assert ratio.segments == (("country",), ("lane",))


@pytest.mark.parametrize(
    "over", ["order_throughput", "order_confirmation_time", "event_flow", "api_success"]
)
def test_a_ratio_may_be_over_a_sum_a_count_or_all_outcomes(over: str) -> None:
    ratio = metric_of(f"{RETURNS}, over: {over}, margin: {{absolute: 0.02}}")
    assert (ratio.measure, ratio.over) == (Measure.EVENTS, over)
    assert ratio.margin == Margin(0.02, relative=False)


def test_a_ratio_may_name_some_of_the_segments_of_what_it_is_over() -> None:
    ratio = metric_of(f"{RETURNS}, over: order_throughput, segments: [warehouse]")
    assert ratio.segments == (("warehouse",),)
    assert metric_of(f"{RETURNS}, over: order_throughput, segments: []").segments == ()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (RETURNS, ".over: is missing: a ratio needs the metric that it is divided by"),
        (f"{RETURNS}, over: mine", ".over: mine is the ratio itself"),
        (f"{RETURNS}, over: order_thruput", "is no metric of this policy; did you mean order_thr"),
        (f"{RETURNS}, over: zzz", "zzz is no metric of this policy: name one of it or of the cat"),
        (f"{RETURNS}, over: [a]", ".over: must be the name of a metric, not a list"),
        (f"{RETURNS}, over: a b", ".over: must be the name of a metric, not 'a b'"),
        (f"{RETURNS}, over: event_validity", "has the measure validity, and no sum or count"),
        (f"{RETURNS}, over: order_confirmation_rate", "measure answer, and no sum or count"),
        (f"{RETURNS}, over: assignment", "has the measure assignment, and no sum or count"),
        (f"{RETURNS}, over: synthetic_time", "is of probes, and this of real business"),
        (
            f"{RETURNS}, over: order_throughput, segments: [lane, country]",
            ".segments: [lane] is not among those of order_throughput, which are [country], ",
        ),
        (f"{RETURNS}, over: event_validity, margin: -1", "not '-1'"),
        (
            "kind: ratio, type: x, measure: outcome, worse: lower, over: event_flow",
            ".measure: outcome does not make a ratio: write value or events",
        ),
        ("kind: ratio, type: x, over: event_flow", ".worse: is missing: only you know whether a"),
        ("kind: ratoi, type: x", "duration, amount, gauge, ratio, not 'ratoi'; did you mean ratio"),
        ("kind: count, type: x, over: event_flow", ".over: belongs to ratios, and this is a count"),
        (f"{RETURNS.replace('higher', 'lower')}, over: event_flow, margin: 1", "1 must be below 1"),
    ],
)
def test_a_ratio_that_cannot_be_is_refused_with_what_would_be_right(body: str, told: str) -> None:
    assert told in "\n".join(map(str, refused(f"metrics: {{mine: {{{body}}}}}")))


def test_a_ratio_over_a_ratio_or_over_what_the_catalogue_leaves_out_is_refused() -> None:
    two = f"a: {{{RETURNS}, over: order_throughput}}, b: {{{RETURNS}, over: a}}"
    assert "metrics.b.over: a is a ratio itself: name" in fault(f"metrics: {{{two}}}")
    alone = f"{{catalogue: false, metrics: {{a: {{{RETURNS}, over: order_throughput}}}}}}"
    assert "order_throughput is no metric of this policy: name one" in fault(alone)
    kept = (
        f"{{catalogue: false, metrics: {{a: {{{RETURNS}, over: n}}, n: {{kind: count, type: x}}}}}}"
    )
    assert loaded(kept).policy.metric("a").over == "n"


def test_a_fault_in_what_a_ratio_is_over_brings_no_second_one() -> None:
    two = f"a: {{{RETURNS}, over: b}}, b: {{kind: cuont, type: x}}"
    assert fault(f"metrics: {{{two}}}").startswith("metrics.b.kind: must be one of count")


# --- assignments -------------------------------------------------------------------------------


def test_every_exposure_counts_as_assignment_unless_its_types_are_written_down() -> None:
    body = "a: {kind: count, type: x, exposure: s}, b: {kind: count, type: y, exposure: c}"
    policy = loaded(f"metrics: {{{body}}}").policy
    assert policy.metric("assignment").types == ("assignment.made", "c", "s")
    assert not policy.metric("assignment").named
    named = loaded(f"metrics: {{{body}, assignment: }}").policy
    assert named.metric("assignment").types == ("assignment.made", "c", "s")
    written = loaded(f"metrics: {{{body}, assignment: {{type: c}}}}").policy
    assert written.metric("assignment").types == ("c",)
    assert loaded("").policy.metric("assignment").types == ("assignment.made",)


def test_assignments_of_your_own_are_watched_and_never_split() -> None:
    metric = metric_of("kind: count, measure: assignment, type: basket.opened")
    assert (metric.criticality, metric.segments) == (Criticality.WATCH, ())
    assert metric.types == ("basket.opened",)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("criticality: critical", ".criticality: must be watch, not critical: assignments say"),
        ("margin: 0.1", ".margin: means nothing for assignments, which are held against the"),
        ("worse: lower", ".worse: means nothing for assignments"),
        ("segments: [country]", ".segments: means nothing for assignments"),
        ("exposure: x", ".exposure: means nothing for assignments"),
        ("weight: 2", ".weight: belongs to metrics that gate, and `watch` never does: drop it"),
        ("type: []", ".type: names none: `measure: assignment` needs its events named"),
    ],
)
def test_what_means_nothing_for_assignments_is_refused(body: str, told: str) -> None:
    assert metric_fault(body, "assignment").startswith(told)


# --- weights and caps --------------------------------------------------------------------------


def test_a_weight_that_the_criticality_has_anyway_is_the_same_policy() -> None:
    assert metric_of("weight: 2", "edi_acceptance").weight is None
    assert metric_of("weight: 1", "api_success").weight is None
    assert metric_of("weight: 1", "edi_acceptance").weight == 1.0
    assert metric_of("weight: 2.5", "api_success").weight == 2.5
    assert metric_of("criticality: critical, weight: 2", "api_success").weight is None


def test_an_amount_takes_a_cap_in_its_unit() -> None:
    assert metric_of(f"{AMOUNT}, cap: 25e3").cap == 25_000.0
    assert metric_of(AMOUNT).cap is None
    assert metric_of("cap: 0.25", "price_deviation").cap == 0.25


@pytest.mark.parametrize("value", ["0", "-1", "101", ".nan", ".inf", "1e999", "true", "two", "[1]"])
def test_a_weight_that_is_none_is_refused(value: str) -> None:
    told = metric_fault(f"weight: {value}", "api_success")
    assert told.startswith(".weight: must be a number from 0.001 to 100, not ")


@pytest.mark.parametrize("value", ["0", "-5", "1e10", ".nan", "-.inf", "1e400", "false", "{a: b}"])
def test_a_cap_that_is_none_is_refused(value: str) -> None:
    told = metric_fault(f"{AMOUNT}, cap: {value}")
    assert told.startswith(".cap: must be a number from 1e-09 to 9e+09, not ")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("kind: duration, type: x, cap: 5", ".cap: belongs to amounts, and this is a duration"),
        ("kind: ratio, type: x, worse: lower, over: api_latency, cap: 5", ".cap: belongs to am"),
        (f"{AMOUNT}, cap: 0.00001", ".cap: 1e-05 is finer than the quantum 0.0001: raise it"),
        (f"{AMOUNT}, cap: 2, margin: {{absolute: 2}}", "is not above the margin 2: no harm could"),
        (f"{AMOUNT}, margin: {{absolute: 1e10}}", "1e+10 is more than any value: values are"),
        ("kind: count, type: x, criticality: watch, weight: 3", ".weight: belongs to metrics that"),
        ("kind: gauge, type: x, margin: 1e3", "1000 must be at most 100 times the baseline"),
        ("kind: proportion, type: x, margin: 1", ".margin: 1 must be below 1: one percent is"),
        ("kind: proportion, type: x, margin: {relative: 1}", ".margin: 1 must be below 1"),
    ],
)
def test_a_cap_weight_or_margin_that_could_never_matter_is_refused(body: str, told: str) -> None:
    assert told in metric_fault(body)


def test_a_question_that_its_own_kind_answers_is_refused() -> None:
    told = metric_fault("kind: proportion, type: [a, b], answered_by: b, deadline: 1h")
    assert told.startswith(".answered_by: b is what asks as well: every answer would wait")
    told = metric_fault("kind: proportion, answered_by: b, deadline: 1h, service: s")
    assert told.startswith(".type: names none: `measure: answer` needs its events named")


def test_the_catalogue_keeps_together_as_it_is() -> None:
    assert loaded("").policy.metrics == catalogue()
