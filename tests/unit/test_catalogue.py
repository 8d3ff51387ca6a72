"""The built-in catalogue: what a user may rely on without writing a policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzers.policy import DEFAULT_SEGMENTS, Criticality, Kind, Measure, Metric
from docs.build_reference import EXAMPLE, pages
from pipeline.config import load
from pipeline.config.catalogue import catalogue

# The table of the public interface: metric, event type, kind, worse direction.
PUBLIC = [
    ("order_throughput", "order.submitted", "count", "lower"),
    ("order_submission_success", "order.submitted", "proportion", "lower"),
    ("order_confirmation_time", "order.confirmed", "duration", "higher"),
    ("order_confirmation_rate", "order.submitted", "proportion", "lower"),
    ("inventory_sync_delay", "inventory.synced", "duration", "higher"),
    ("inventory_update_success", "inventory.updated", "proportion", "lower"),
    ("edi_acceptance", "edi.acknowledged", "proportion", "lower"),
    ("edi_acknowledgement_delay", "edi.acknowledged", "duration", "higher"),
    ("queue_depth", "queue.sampled", "gauge", "higher"),
    ("warehouse_task_success", "warehouse.task.completed", "proportion", "lower"),
    ("warehouse_task_time", "warehouse.task.completed", "duration", "higher"),
    ("warehouse_throughput", "warehouse.task.completed", "count", "lower"),
    ("api_success", "api.called", "proportion", "lower"),
    ("api_latency", "api.called", "duration", "higher"),
    ("query_time", "query.executed", "duration", "higher"),
    ("partner_call_success", "partner.called", "proportion", "lower"),
    ("partner_call_time", "partner.called", "duration", "higher"),
    ("access_granted", "access.checked", "proportion", "lower"),
    ("price_deviation", "price.computed", "amount", "higher"),
    ("synthetic_success", "synthetic.run", "proportion", "lower"),
    ("synthetic_time", "synthetic.run", "duration", "higher"),
    ("event_validity", "", "proportion", "lower"),
    ("event_flow", "", "count", "lower"),
    ("assignment", "assignment.made", "count", "lower"),
]


def named(name: str) -> Metric:
    """The metric of the catalogue that has the name."""
    return next(metric for metric in catalogue() if metric.name == name)


def test_the_catalogue_holds_the_public_metrics_and_no_others() -> None:
    found = [
        (metric.name, "".join(metric.types), metric.kind.value, metric.worse)
        for metric in catalogue()
    ]
    assert sorted(found) == sorted(PUBLIC)


@pytest.mark.parametrize("metric", catalogue(), ids=lambda metric: metric.name)
def test_every_metric_gives_one_sentence_of_reason(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z].{60,260}\.", metric.reason)


@pytest.mark.parametrize("metric", catalogue(), ids=lambda metric: metric.name)
def test_margins_are_absolute_for_proportions_and_relative_for_what_flows(metric: Metric) -> None:
    relative = metric.kind in (Kind.COUNT, Kind.DURATION, Kind.GAUGE)
    assert metric.margin.relative is relative
    assert 0 < metric.margin.size <= (0.5 if relative else 0.05)


@pytest.mark.parametrize("metric", catalogue(), ids=lambda metric: metric.name)
def test_values_are_rounded_to_a_millionth_and_amounts_to_a_ten_thousandth(metric: Metric) -> None:
    assert metric.quantum == (1e-4 if metric.kind is Kind.AMOUNT else 1e-6)


@pytest.mark.parametrize("metric", catalogue(), ids=lambda metric: metric.name)
def test_a_metric_is_split_by_the_default_attributes_unless_it_is_about_the_stream(
    metric: Metric,
) -> None:
    about_the_stream = {
        "event_validity": (),
        "event_flow": (("type",), ("type", "outcome")),
        "assignment": (),
    }
    assert metric.segments == about_the_stream.get(metric.name, DEFAULT_SEGMENTS)


def test_only_probes_feed_synthetic_metrics() -> None:
    assert [metric.name for metric in catalogue() if metric.synthetic] == [
        "synthetic_success",
        "synthetic_time",
    ]


def test_an_order_counts_as_unconfirmed_after_an_hour() -> None:
    rate = named("order_confirmation_rate")
    assert (rate.measure, rate.answered_by, rate.deadline_s) == (
        Measure.ANSWER,
        "order.confirmed",
        3600,
    )
    assert rate.criticality is Criticality.CRITICAL


def test_the_queue_gates_and_says_on_what_condition() -> None:
    depth = named("queue_depth")
    assert depth.criticality is Criticality.STANDARD
    assert "only with enough history of its own" in depth.reason


def test_the_cap_of_a_price_leaves_room_for_harm_beyond_its_margin() -> None:
    price = named("price_deviation")
    assert price.cap is not None
    assert price.cap > 100 * price.margin.size


def test_assignments_question_a_comparison_and_never_decide() -> None:
    assignment = named("assignment")
    assert (assignment.measure, assignment.criticality) == (Measure.ASSIGNMENT, Criticality.WATCH)


def test_no_metric_of_the_catalogue_weighs_otherwise_than_its_criticality() -> None:
    assert {metric.weight for metric in catalogue()} == {None}


def test_the_catalogue_alone_names_no_metric_in_the_name_of_the_user() -> None:
    assert not any(metric.named for metric in catalogue())


@pytest.mark.parametrize(("path", "page"), pages().items(), ids=lambda value: str(value)[-16:])
def test_the_generated_pages_say_what_the_code_says(path: Path, page: str) -> None:
    assert path.read_text(encoding="utf-8") == page, "run: python -m docs.build_reference"


def test_the_example_in_the_documentation_loads() -> None:
    settings = load(EXAMPLE, {"CHAT_TOKEN": "t", "HOME": "/home"})
    assert settings.policy.metric("order_submission_success").margin.size == 0.03
    assert settings.policy.metric("label_creation_success").where == (("call", "label"),)
    assert settings.policy.metric("label_creation_success").weight == 3.0
    assert settings.policy.metric("order_value").cap == 25_000.0
    assert settings.policy.metric("returns_per_order").segments == (("country",), ("warehouse",))
    assert settings.policy.bake_s == 120
    assert settings.policy.service("order-api").depends_on == ("inventory", "pricing")
    assert [channel.label for channel in settings.alerts] == [
        "alertmanager http://alertmanager.example.com:9093",
        "webhook https://chat.example.com",
    ]
