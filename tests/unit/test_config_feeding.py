"""``plimsoll check`` on metrics that no event feeds: mappings, services, exposure."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.check import check
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


def noted(text: str) -> list[str]:
    """The notes on a configuration, a line each."""
    return [str(note) for note in notes(loaded(text))]


def test_a_fault_of_what_feeds_a_metric_stands_beside_all_others_with_its_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("""bake: -1m
sources: [{files: '-', map: {time: t, type: {constant: pick.done}, service: s}}]
metrics:
  mine: {kind: proportion, type: pick.lost}
  other:
    kind: proportion
    type: pick.done
    where:
      lane: A
  faulty: {kind: proportion, type: pick.lost, margin: -1}
  order_throughput: {margin: 0.2}
  query_time:
""")
    lines = check(file, {}).lines()
    remedy = "correct it here or in `map:`, or drop the metric"
    made = "no source makes events of type"
    assert lines[1:3] == (
        f"fault  metrics.mine.type: {made} pick.lost: {remedy} (line 4)",
        f"fault  metrics.other.where.lane: no source makes them with lane A: {remedy} (line 9)",
    )
    assert lines[4:] == (
        f"fault  metrics.order_throughput.type: {made} order.submitted: {remedy} (line 11)",
        f"{file}: 5 faults",
    )


def test_a_metric_of_the_catalogue_as_it_is_may_wait_for_what_is_posted() -> None:
    source = "sources: [{files: '-', map: {time: t, type: {constant: pick.done}, service: s}}]"
    text = f"{source}\nmetrics: [query_time, assignment, {{name: mine, kind: count, type: pick.done"
    kept = loaded(f"{text}, exposure: pick.done}}]")
    assert starved(kept) == ()
    told = [note.path for note in notes(kept) if "only what is posted" in note.message]
    assert told == ["metrics.query_time.type"]


def test_what_stands_in_the_place_of_a_faulty_source_feeds_nothing_and_starves_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("""
sources: [{files: '-', map: {time: t, type: {constant: a b c, table: x}, service: s}}]
metrics: {mine: {kind: count, type: pick.lost}}
""")
    assert not [line for line in check(file, {}).lines() if "no source makes" in line]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mine: {kind: count, type: own}", ".type: own is a type of your own, which no mapping"),
        ("mine: {kind: count, type: order.sumbitted}", "; did you mean order.submitted?"),
        (
            "order_throughput: {exposure: order.confirmd}",
            ".exposure: order.confirmd is a type of your own; did you mean order.confirmed?",
        ),
        (
            "order_confirmation_rate: {answered_by: order.confirmd}",
            ".answered_by: order.confirmd is a type of your own; did you mean order.confirmed?",
        ),
        (
            "order_confirmation_rate: {answered_by: invoice.seen}",
            ".answered_by: invoice.seen is a type of your own, which no mapping and no other",
        ),
    ],
)
def test_a_type_that_nothing_else_names_is_noted_where_events_are_posted(
    text: str, told: str
) -> None:
    (line,) = [line for line in noted(f"metrics: {{{text}}}") if "of your own" in line]
    assert told in line


MIXED = "sources: [{files: in}, {files: '-', map: {time: t, type: {constant: own}, service: s}}]"


@pytest.mark.parametrize(
    "text",
    [
        "metrics: {mine: {kind: proportion, type: order.submitted}}",
        "metrics: {mine: {kind: count, type: order.submitted, exposure: visit.began}}",
        "metrics: {a: {kind: proportion, type: own}, b: {kind: duration, type: own}}",
        "otlp: {spans: {span: x, type: own}}\nmetrics: {a: {kind: proportion, type: own}}",
        f"{MIXED}\nmetrics: {{a: {{kind: proportion, type: own}}}}",
    ],
)
def test_a_type_that_something_else_names_is_not_noted(text: str) -> None:
    assert not [line for line in noted(text) if "of your own" in line]


@pytest.mark.parametrize(
    ("text", "was", "now", "lost"),
    [
        (
            "order_submission_success: {kind: duration}",
            "a proportion (measure outcome)",
            "a duration (measure value)",
            "the share of order.submitted that end ok is not watched any more",
        ),
        (
            "order_confirmation_rate: {measure: outcome}",
            "a proportion (measure answer)",
            "a proportion (measure outcome)",
            "the share of order.submitted that are answered in time is not watched any more",
        ),
        (
            "api_success: {kind: duration}, mine: {kind: proportion, type: [api.called, x]}",
            "a proportion (measure outcome)",
            "a duration (measure value)",
            "mine still watches what it did",
        ),
    ],
)
def test_a_metric_of_the_catalogue_made_another_kind_is_noted_with_what_is_lost(
    text: str, was: str, now: str, lost: str
) -> None:
    name = text.split(":", maxsplit=1)[0]
    (line,) = [line for line in noted(f"metrics: {{{text}}}") if "in the catalogue" in line]
    assert line.startswith(f"metrics.{name}: is {was} in the catalogue and {now} here: {lost}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metrics: {api_success: {criticality: watch}}", "gates: nothing is promoted or rolled"),
        ("metrics: [assignment]", "none of them gates: nothing is promoted or rolled back"),
        ("metrics: [order_throughput]", "none of them gates: nothing is promoted or rolled back"),
        ("metrics: [event_flow]", "none of them gates a promotion: nothing is promoted: name one"),
    ],
)
def test_a_policy_by_which_nothing_can_be_decided_is_noted(text: str, told: str) -> None:
    (line,) = [line for line in noted(f"catalogue: false\n{text}") if line.startswith("metrics:")]
    assert told in line


@pytest.mark.parametrize("name", ["api_success", "queue_depth", "order_confirmation_rate"])
def test_a_policy_with_one_metric_that_gates_is_not_noted(name: str) -> None:
    text = f"catalogue: false\nmetrics: [{name}]"
    assert not [line for line in noted(text) if line.startswith("metrics:")]
