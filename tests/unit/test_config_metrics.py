"""Metrics in a policy: what is laid over the catalogue, what a new one needs, what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from analyzers.policy import DEFAULT_SEGMENTS, Criticality, Kind, Margin, Measure, Metric
from pipeline.config.catalogue import catalogue
from tests.unit.configured import fault, loaded, metric_fault, metric_of, refused


def given(name: str) -> Metric:
    """The metric of the catalogue."""
    return next(metric for metric in catalogue() if metric.name == name)


def test_naming_a_metric_of_the_catalogue_changes_nothing_but_that_it_is_named() -> None:
    named = dataclasses.replace(given("edi_acceptance"), named=True)
    for text in (
        "metrics: {edi_acceptance: }",
        "metrics: {edi_acceptance: {}}",
        "metrics: [edi_acceptance]",
        "metrics: [{name: edi_acceptance}]",
    ):
        policy = loaded(text).policy
        assert policy.metric("edi_acceptance") == named
        assert len(policy.metrics) == len(catalogue())


def test_a_metric_of_the_catalogue_is_changed_field_by_field() -> None:
    changed = metric_of("margin: 0.05, service: [b, a], criticality: watch", "edi_acceptance")
    assert changed == dataclasses.replace(
        given("edi_acceptance"),
        margin=Margin(0.05, relative=False),
        services=("a", "b"),
        criticality=Criticality.WATCH,
        named=True,
    )


def test_without_the_catalogue_only_the_named_metrics_are_left_and_keep_their_definition() -> None:
    policy = loaded("{catalogue: false, metrics: [query_time, edi_acceptance]}").policy
    assert [metric.name for metric in policy.metrics] == ["edi_acceptance", "query_time"]
    assert policy.metric("query_time").types == ("query.executed",)


def test_metrics_keep_the_order_of_the_catalogue_and_new_ones_follow_by_name() -> None:
    policy = loaded("""
metrics:
  zebra: {kind: count, type: z}
  query_time: {margin: 0.3}
  aardvark: {kind: count, type: a}
""").policy
    names = [metric.name for metric in policy.metrics]
    assert names == [*(metric.name for metric in catalogue()), "aardvark", "zebra"]


@pytest.mark.parametrize(
    ("kind", "measure", "worse", "margin", "unit"),
    [
        ("count", Measure.EVENTS, "lower", Margin(0.1, relative=True), "events"),
        ("proportion", Measure.OUTCOME, "lower", Margin(0.01, relative=False), "1"),
        ("duration", Measure.VALUE, "higher", Margin(0.1, relative=True), "s"),
        ("gauge", Measure.VALUE, "higher", Margin(0.2, relative=True), "1"),
    ],
)
def test_a_new_metric_needs_only_its_kind_and_its_events(
    kind: str, measure: Measure, worse: str, margin: Margin, unit: str
) -> None:
    metric = metric_of(f"kind: {kind}, type: dock.closed")
    assert (metric.kind, metric.measure, metric.worse) == (Kind(kind), measure, worse)
    assert (metric.margin, metric.unit, metric.quantum) == (margin, unit, 1e-6)
    assert metric.types == ("dock.closed",)
    assert metric.segments == DEFAULT_SEGMENTS
    assert metric.named
    assert (metric.criticality, metric.weight) == (Criticality.STANDARD, None)


def test_a_new_amount_must_say_which_direction_is_harm() -> None:
    assert "only you know whether" in metric_fault("kind: amount, type: invoice.sent")
    amount = metric_of("kind: amount, type: invoice.sent, worse: lower")
    assert (amount.worse, amount.quantum, amount.margin.relative) == ("lower", 1e-4, True)


@pytest.mark.parametrize(
    ("body", "margin"),
    [
        ("kind: proportion, type: x, margin: 0.03", Margin(0.03, relative=False)),
        ("kind: proportion, type: x, margin: {relative: 0.03}", Margin(0.03, relative=True)),
        ("kind: duration, type: x, margin: 0.25", Margin(0.25, relative=True)),
        ("kind: duration, type: x, margin: {absolute: 2.5}", Margin(2.5, relative=False)),
        ("kind: count, type: x, margin: 1e-1", Margin(0.1, relative=True)),
        ("kind: duration, type: x, margin: '3'", Margin(3.0, relative=True)),
    ],
)
def test_a_plain_margin_is_absolute_for_proportions_and_relative_for_the_rest(
    body: str, margin: Margin
) -> None:
    assert metric_of(body).margin == margin


def test_a_proportion_of_answers_needs_who_answers_and_by_when() -> None:
    metric = metric_of(
        "kind: proportion, type: label.asked, answered_by: label.made, deadline: 1h30m"
    )
    assert (metric.measure, metric.answered_by, metric.deadline_s) == (
        Measure.ANSWER,
        "label.made",
        5400,
    )
    told = [str(each) for each in refused("metrics: {a: {kind: proportion, measure: answer, "
                                          "type: x}}")]  # fmt: skip
    assert [line.split(":")[0] for line in told] == ["metrics.a.answered_by", "metrics.a.deadline"]
    assert all("`measure: answer` needs it" in line for line in told)


def test_a_metric_of_answers_turned_into_one_of_outcomes_forgets_its_deadline() -> None:
    metric = metric_of("measure: outcome", "order_confirmation_rate")
    assert (metric.measure, metric.answered_by, metric.deadline_s) == (Measure.OUTCOME, "", 0)


def test_a_metric_of_the_catalogue_made_another_kind_keeps_its_events_only() -> None:
    metric = metric_of("kind: proportion", "query_time")
    assert metric.types == ("query.executed",)
    assert (metric.measure, metric.unit) == (Measure.OUTCOME, "1")
    assert metric.margin == Margin(0.01, relative=False)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ("country", (("country",),)),
        ("[country, warehouse]", (("country",), ("warehouse",))),
        ("[[warehouse], [country]]", (("country",), ("warehouse",))),
        ("[[document, partner], lane]", (("lane",), ("partner", "document"))),
        ("[[type, outcome], country, country]", (("country",), ("type", "outcome"))),
        ("[]", ()),
    ],
)
def test_segments_are_attribute_sets_in_one_fixed_order(
    segments: str, expected: tuple[tuple[str, ...], ...]
) -> None:
    assert metric_of(f"kind: count, type: x, segments: {segments}").segments == expected


def test_the_flow_of_events_is_always_split_by_type_because_silence_is_seen_there() -> None:
    assert metric_of("segments: [region]", "event_flow").segments == (
        ("region",),
        ("type",),
        ("type", "outcome"),
    )


def test_words_that_other_yaml_takes_for_numbers_or_truth_stay_words() -> None:
    metric = metric_of("kind: count, type: x, where: {country: no, carrier: 010, wave: 1e3, on: y}")
    assert metric.where == (("carrier", "010"), ("country", "no"), ("on", "y"), ("wave", "1e3"))


def test_any_event_may_feed_a_metric_if_that_is_said() -> None:
    assert metric_of("kind: count, type: []").types == ()
    assert metric_of("kind: count, service: order-api").services == ("order-api",)
    assert metric_of("kind: proportion, measure: validity").segments == ()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("margin: 0.1", ": is not in the catalogue, so it needs `kind:` and the `type:`"),
        ("kind: counter, type: x", ".kind: must be one of count, proportion, duration"),
        ("kind: count", ".type: is missing: say which events feed it, or `type: []` for all"),
        ("kind: count, typ: x, type: y", ".typ: is no known key; did you mean type?"),
        ("kind: count, type: x, types: y", ".types: says the same as type: keep one"),
        ("kind: count, type: a b", ".type: must be an event type such as order.submitted"),
        ("kind: count, type: deployment.started", "is a marker and feeds no metric"),
        ("kind: count, type: {a: b}", ".type: must be one event type or a list of them"),
        ("kind: count, type: [a, [b]]", ".type[1]: must be an event type"),
        ("kind: count, type: [a, ~]", ".type[1]: must be an event type"),
        ("kind: count, type: x, measure: value", "does not make a count: write events or flow"),
        ("kind: duration, type: x, measure: outcome", "does not make a duration: write value"),
        ("kind: count, type: x, margin: 0", ".margin: must be a positive number such as 0.01"),
        ("kind: count, type: x, margin: -0.1", "not '-0.1'"),
        ("kind: count, type: x, margin: .nan", "not '.nan'"),
        ("kind: count, type: x, margin: -.inf", "not '-.inf'"),
        ("kind: count, type: x, margin: 1e308", "not '1e308'"),
        ("kind: count, type: x, margin: 1e999", "not '1e999'"),
        ("kind: count, type: x, margin: true", "not 'true'"),
        ("kind: count, type: x, margin: 0x10", "not '0x10'"),
        ("kind: count, type: x, margin: 3%", "not '3%': write 0.03"),
        ("kind: count, type: x, margin: [0.1]", "not a list"),
        ("kind: count, type: x, margin: {}", ".margin: must say either `absolute:` or"),
        ("kind: count, type: x, margin: {absolute: 1, relative: 1}", "must say either"),
        ("kind: count, type: x, margin: {absolut: 1, relative: 0.1}", "did you mean absolute?"),
        ("kind: count, type: x, margin: {absolute: 5}", "of a count must be relative"),
        ("kind: count, type: x, margin: 1", "nothing falls by more than all of itself"),
        ("kind: count, type: x, worse: higher, margin: 200", "must be at most 100 times"),
        ("kind: proportion, type: x, margin: 3", "must be below 1: one percent is written 0.01"),
        ("kind: duration, type: x, quantum: 2, margin: {absolute: 1}", "than the quantum 2: lower"),
        ("kind: duration, type: x, quantum: 0", ".quantum: must be a number from 1e-09 to 1e+06"),
        ("kind: proportion, type: x, worse: higher", "a proportion is the share of ok outcomes"),
        ("kind: count, type: x, worse: lowe", ".worse: must be higher or lower, not 'lowe'; did"),
        ("kind: count, type: x, criticality: high", "must be one of critical, standard, watch"),
        ("kind: count, type: x, where: [a]", ".where: must be a mapping of attributes to values"),
        ("kind: count, type: x, where: {type: y}", "write `type:` beside `where:`"),
        ("kind: count, type: x, where: {track: y}", ".where.track: is a field of the event"),
        ("kind: count, type: x, where: {a: [b]}", ".where.a: must be one attribute value"),
        ("kind: count, type: x, where: {a: }", ".where.a: must be one attribute value"),
        ("kind: count, type: x, where: {'a b': c}", "is no name of an attribute"),
        ("kind: count, type: x, segments: [version]", ".segments[0]: version is a field of the"),
        ("kind: count, type: x, segments: {a: b}", ".segments: must be a list of attribute sets"),
        ("kind: count, type: x, segments: [[[a]]]", ".segments[0][0]: must be the name of an"),
        ("kind: count, type: x, segments: [[a, b, c, d, e]]", "has 5 entries: at most 4"),
        ("kind: count, type: x, deadline: 1h", ".deadline: belongs to a proportion with"),
        ("kind: duration, type: x, answered_by: y", ".answered_by: belongs to a proportion"),
        ("kind: duration, type: x, exposure: y", ".exposure: belongs to counts, and this is a"),
        ("kind: proportion, measure: validity, type: x", "of events that could not be read"),
        ("kind: count, type: x, synthetic: yes", ".synthetic: must be true or false, not 'yes'"),
        ("kind: count, type: x, unit: [s]", ".unit: must be a text of at most 32 characters"),
    ],
)  # fmt: skip
def test_a_faulty_metric_is_refused_with_what_would_be_right(body: str, told: str) -> None:
    assert told in metric_fault(body)


@pytest.mark.parametrize("name", ["a b", "1st", "ü", "a" * 65, "a/b", ".a"])
def test_a_metric_with_a_name_that_labels_cannot_carry_is_refused(name: str) -> None:
    assert "is no name of a metric" in fault(f"metrics: {{'{name}': {{kind: count, type: x}}}}")


def test_a_count_with_exposure_and_a_ratio_say_how_long_their_events_may_take() -> None:
    later = metric_of("kind: count, type: x, exposure: session.started, deadline: 1h")
    assert later.deadline_s == 3_600
    ratio = "kind: ratio, type: x, over: order_throughput, worse: higher, deadline: 2d"
    assert metric_of(ratio).deadline_s == 172_800
    assert "to a ratio: drop it" in metric_fault("kind: count, type: x, deadline: 1h")


def test_a_count_against_exposure_needs_the_metric_that_counts_it() -> None:
    body = "metrics: {orders: {kind: count, type: x, exposure: session.started}}"
    assert loaded(body).policy.metric("orders").exposure == "session.started"
    assert "is counted by event_flow" in fault(f"{{catalogue: false, {body}}}")
    kept = loaded(body[:-1] + ", event_flow: }\ncatalogue: false").policy
    assert [metric.name for metric in kept.metrics] == ["event_flow", "orders"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metrics: [{margin: 0.1}]", "metrics[0]: needs a `name:`"),
        ("metrics: [{name: [a]}]", "metrics[0]: needs a `name:`"),
        ("metrics: [query_time, {name: query_time}]", "metrics[1]: names 'query_time' a second"),
        ("metrics: {query_time: 5}", "metrics.query_time: must be a mapping (`key: value`)"),
        ("metrics: query_time", "metrics: must be a mapping by name or a list, not 'query_time'"),
        ("metrics: [querytime]", "did you mean query_time?"),
    ],
)
def test_metrics_without_a_name_or_with_a_double_one_are_refused(text: str, told: str) -> None:
    assert told in fault(text)


def test_more_metrics_than_the_limit_are_refused() -> None:
    body = "\n".join(f"  m{n}: {{kind: count, type: x}}" for n in range(201))
    assert "metrics: has 201 entries: at most 200" in fault(f"metrics:\n{body}\n")


def test_more_conditions_than_the_limit_are_refused() -> None:
    where = ", ".join(f"a{n}: b" for n in range(11))
    assert "has 11 conditions: at most 10" in metric_fault(
        f"kind: count, type: x, where: {{{where}}}"
    )


def test_a_fault_in_one_key_brings_no_second_one_about_its_absence() -> None:
    assert metric_fault("kind: count, type: [[]]").startswith(".type[0]: must be an event type")
    assert metric_fault("kind: amount, type: x, worse: up").startswith(".worse: must be higher")
