"""``plimsoll check`` on metrics that no event feeds: mappings, services, exposure."""

from __future__ import annotations

import pytest

from pipeline.config.feeding import starved
from pipeline.config.notes import notes
from tests.unit.configured import fault, loaded

MAPPED = """
sources:
  - name: wms
    kafka: {{brokers: b:9092, topics: picks}}
    map:
      time: t
      type: {{from: art, table: {{P: pick.done, D: deployment.started}}}}
      service: {{constant: wms}}
      outcome: {{from: rc, table: {{'0': ok}}, otherwise: failed}}
      attributes: {{site: {{from: werk, table: {{1: W1, 2: W2}}}}, lane: bahn}}
{more}
metrics: {{mine: {{{metric}}}}}
"""
NATIVE = "  - {name: own, files: in}"


def lacking(metric: str, more: str = "") -> list[str]:
    """The faults of a metric beside the mapping above that are about what feeds it."""
    settings = loaded(MAPPED.format(metric=metric, more=more))
    assert not [note for note in notes(settings) if "no source makes" in note.message]
    return [str(fault).removeprefix("metrics.mine") for fault in starved(settings)]


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("kind: proportion, type: pick.lost", ".type: no source makes events of type pick.lost"),
        ("kind: proportion, type: [a, b]", ".type: no source makes events of type a or b"),
        ("kind: proportion, type: pick.done, service: erp", ".service: no source makes them for"),
        ("kind: proportion, type: pick.done, synthetic: true", ".synthetic: no source makes pro"),
        ("kind: proportion, type: pick.done, where: {site: W3}", ".where.site: no source makes t"),
        ("kind: proportion, type: pick.done, where: {zone: A}", ".where.zone: no source makes th"),
        ("kind: duration, type: pick.done", ".measure: no source makes them with a value"),
        (
            "kind: proportion, type: pick.done, answered_by: pick.seen, deadline: 1h",
            ".answered_by: no source makes events of type pick.seen",
        ),
        ("kind: count, type: pick.done, exposure: shift.begun", ".exposure: no source makes eve"),
    ],
)
def test_a_metric_that_no_mapping_can_feed_is_refused_with_what_is_in_the_way(
    metric: str, told: str
) -> None:
    (line,) = lacking(metric)
    assert line.startswith(told)
    assert line.endswith(": correct it here or in `map:`, or drop the metric")


@pytest.mark.parametrize(
    "metric",
    [
        "kind: proportion, type: pick.done, service: [erp, wms]",
        "kind: proportion, type: [pick.lost, pick.done], where: {site: W2, lane: any}",
        "kind: count, type: pick.done",
        "kind: count, type: []",
        "kind: count, measure: flow",
        "kind: proportion, measure: validity",
    ],
)
def test_a_metric_that_a_mapping_may_feed_is_not_refused(metric: str) -> None:
    assert lacking(metric) == []


def test_where_a_source_is_not_mapped_anything_may_come() -> None:
    assert lacking("kind: duration, type: pick.lost", NATIVE) == []
    assert lacking("kind: duration, type: pick.lost", "otlp: {spans: {span: x, type: y}}") == []
    assert lacking("kind: duration, type: pick.lost") != []


def test_a_type_that_the_message_says_may_be_any() -> None:
    settings = loaded("""
sources: [{files: '-', map: {time: t, type: art, service: s, synthetic: probe, value: v}}]
metrics: {mine: {kind: duration, type: x, synthetic: true}}
""")
    assert starved(settings) == ()


def test_a_mapping_of_markers_only_feeds_nothing() -> None:
    settings = loaded("""
sources:
  - files: '-'
    map: {time: t, type: {constant: deployment.started}, service: s, version: v, share: {from: p}}
metrics: {mine: {kind: count, type: []}}
""")
    assert [fault.path for fault in starved(settings)] == ["metrics.mine.type"]


@pytest.mark.parametrize(
    "share", ["{constant: 10}", "{from: p, table: {a: 1.5}}", "{constant: -1}"]
)
def test_a_share_written_in_a_mapping_is_between_0_and_1(share: str) -> None:
    told = fault(
        "sources: [{files: '-', map: {time: t, type: {constant: deployment.started}, "
        f"service: s, share: {share}}}}}]"
    )
    assert "must be a number from 0 to 1, not" in told


def test_a_service_that_is_a_slip_of_the_pen_is_noted() -> None:
    settings = loaded("services: [order-api]\nmetrics: {api_success: {service: [orderapi, erp]}}")
    assert [str(note) for note in notes(settings)] == [
        "metrics.api_success.service: orderapi is not in `services:`; did you mean order-api?"
    ]


def test_exposure_that_a_release_can_change_is_noted_until_assignments_are_written_down() -> None:
    body = "order_throughput: {exposure: api.called}"
    (note,) = notes(loaded(f"metrics: {{{body}}}"))
    assert note.path == "metrics.order_throughput.exposure"
    assert "api.called counts as assignment and is judged by api_success too" in note.message
    written = f"metrics: {{{body}, assignment: {{type: assignment.made}}}}"
    assert notes(loaded(written)) == ()
    assert notes(loaded("metrics: {order_throughput: {exposure: session.started}}")) == ()
