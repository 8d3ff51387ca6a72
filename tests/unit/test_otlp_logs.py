"""OTLP log records as events: what semantic conventions say, in protobuf and in JSON alike."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp.events import OtlpFormed
from collector.otlp.logs import lines_of_logs
from collector.otlp.metrics import lines_of_metrics
from collector.otlp.records import MalformedError, TooManyError
from collector.otlp.rules import Encoding, LogRule, Names, OtlpRules
from collector.otlp.spans import lines_of_traces
from tests.otlp_requests import SHOP, TIME_NS, any_value, as_json, log, logs, said

LIMITS = Limits()
NO_RULES = OtlpRules()


def formed(
    *records: LogRecord,
    rules: OtlpRules = NO_RULES,
    resource: Any = SHOP,
    place: str = "",
    limits: Limits = LIMITS,
) -> OtlpFormed:
    """What the records become, which is the same from protobuf and from JSON."""
    request = logs(*records, resource=resource)
    found = [
        lines_of_logs(body, encoding, rules=rules, limits=limits, place=place)
        for body, encoding in (
            (request.SerializeToString(), Encoding.PROTO),
            (as_json(request), Encoding.JSON),
        )
    ]
    assert found[0] == found[1]
    return found[0]


def one(record: LogRecord, **more: Any) -> dict[str, Any]:
    """What the only line says."""
    (line,) = said(formed(record, **more).lines)
    return line


def refusal(record: LogRecord, **more: Any) -> tuple[str, str]:
    """Reason and detail of the reject that ``decode`` makes of the only line."""
    found = formed(record, **more)
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    (reject,) = batch.rejects
    assert not len(batch.facts)
    return reject.reason, reject.detail


def test_a_log_record_with_an_event_name_is_an_event_of_its_service() -> None:
    record = log(
        said={
            "event.id": "o-1", "value": 12.5, "subject": "INV-9", "ref": "o-0", "track": "canary",
            "synthetic": True, "warehouse": "W1", "lines": 3, "gift": False, "weight": 1.5,
        }
    )  # fmt: skip
    assert one(record) == {
        "id": "o-1",
        "time": "2026-05-21T10:00:00.123456789Z",
        "type": "order.submitted",
        "service": "order-api",
        "environment": "staging",
        "version": "1.42.0",
        "track": "canary",
        "value": 12.5,
        "subject": "INV-9",
        "ref": "o-0",
        "synthetic": True,
        "attributes": {"warehouse": "W1", "lines": "3", "gift": "false", "weight": "1.5"},
    }


def test_decode_takes_what_becomes_of_a_log_record() -> None:
    found = formed(log(said={"id": "o-1"}), log(said={"id": "o-2", "error.type": "timeout"}))
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert batch.facts.time_ns.tolist() == [TIME_NS, TIME_NS]
    assert batch.facts.outcome.strings() == ["ok", "timeout"]
    assert not batch.rejects


def test_the_event_name_may_be_an_attribute_as_older_producers_have_it() -> None:
    assert one(log("", {"event.name": "order.submitted"}))["type"] == "order.submitted"


def test_log_records_without_an_event_name_are_ignored_and_counted() -> None:
    found = formed(log("", {"id": "1"}), log(), log(""))
    assert found.ignored == {"log_without_event_name": 2}
    assert found.total == 3
    assert found.records == [1]


def test_the_observed_time_serves_where_the_time_is_missing() -> None:
    assert one(log(time_ns=0, observed_time_unix_nano=1_779_357_600_000_000_000))["time"] == (
        1_779_357_600_000
    )


def test_a_record_without_any_time_is_refused() -> None:
    assert refusal(log(time_ns=0)) == (
        "missing_field",
        "the record has no time; fill id, time, type and service in every event",
    )


def test_a_resource_without_a_service_name_is_refused_with_what_it_said() -> None:
    found = formed(log(said={"id": "o-7"}), resource={"host.name": "h"})
    (reject,) = decode(found.lines, attributes=frozenset(), limits=LIMITS).rejects
    assert reject.reason == "missing_field"
    assert "service.name" in reject.detail
    assert b'"o-7"' in reject.payload


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (log(), None),
        (log(said={"outcome": "ok"}), None),
        (log(said={"event.outcome": "success"}), None),
        (log(said={"outcome": "declined", "error.type": "x"}), "declined"),
        (log(said={"error.type": "timeout"}), "timeout"),
        (log(severity_number=17), "error"),
        (log(severity_number=16), None),
        (log(said={"outcome": "ok"}, severity_number=17), None),
    ],
)
def test_the_outcome_is_what_the_record_says_else_its_error_else_its_severity(
    record: LogRecord, outcome: str | None
) -> None:
    assert one(record).get("outcome") == outcome


def test_a_bare_name_with_a_strange_value_stays_an_attribute() -> None:
    line = one(log(said={"track": "express", "value": "high", "synthetic": "perhaps"}))
    assert line["attributes"] == {"track": "express", "value": "high", "synthetic": "perhaps"}
    assert "track" not in line


def test_a_prefixed_name_has_to_fit_and_wins_over_the_bare_one() -> None:
    line = one(log(said={"track": "express", "plimsoll.track": "baseline"}))
    assert line["track"] == "baseline"
    assert line["attributes"] == {"track": "express"}
    assert refusal(log(said={"plimsoll.track": "express"}))[0] == "track_invalid"
    assert refusal(log(said={"plimsoll.value": "high"}))[0] == "field_type"
    assert refusal(log(said={"plimsoll.synthetic": "perhaps"}))[0] == "field_type"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-inf"])
def test_a_value_that_is_no_finite_number_is_refused(value: object) -> None:
    assert refusal(log(said={"value": value}))[0] == "value_not_finite"


def test_a_resource_speaks_for_all_its_events() -> None:
    resource = {**SHOP, "plimsoll.track": "canary", "warehouse": "W7", "plimsoll.customer": "C1"}
    line = one(log(said={"warehouse": "W8"}), resource=resource)
    assert line["track"] == "canary"
    assert line["attributes"] == {"warehouse": "W8", "customer": "C1"}


def test_the_first_32_attributes_by_name_are_kept_and_the_others_counted() -> None:
    found = formed(log(said={f"a{place:02}": "x" for place in reversed(range(40))}))
    (line,) = said(found.lines)
    assert sorted(line["attributes"]) == [f"a{place:02}" for place in range(32)]
    assert found.left_out == 8


@pytest.mark.parametrize(
    "odd", ["x" * 257, "two\nlines", ["a list"], {"a": "mapping"}, b"bytes", None, ""]
)
def test_an_attribute_that_does_not_fit_is_left_out_and_its_event_used(odd: object) -> None:
    if isinstance(odd, bytes):  # their base64 is a text that would fit, and no value of a segment
        odd = bytes(300)
    found = formed(log(said={"odd": odd, "fine": "x"}))
    assert said(found.lines)[0]["attributes"] == {"fine": "x"}
    assert found.left_out == 1


def test_a_request_that_is_sent_again_has_the_same_ids() -> None:
    records = [log(said={"n": number}) for number in range(3)]
    assert formed(*records).lines == formed(*records).lines
    assert len({line["id"] for line in said(formed(*records).lines)}) == 3


def test_records_that_differ_in_anything_have_different_ids() -> None:
    different = [
        log(),
        log(time_ns=TIME_NS + 1),
        log(trace_id=bytes(15) + b"1"),
        log(span_id=bytes(7) + b"1"),
        log(said={"long": "x" * 999}),
        log(said={"nested": {"deep": [1]}}),
        log(said={"nested": {"deep": [2]}}),
        log(severity_number=9),
    ]
    assert len({line["id"] for line in said(formed(*different).lines)}) == len(different)


def test_equal_records_of_one_request_are_different_events() -> None:
    first, second, third = (line["id"] for line in said(formed(log(), log(), log()).lines))
    assert (second, third) == (f"{first}~2", f"{first}~3")


def test_in_a_topic_the_place_is_the_identity() -> None:
    found = said(formed(log(), log(""), log(), place="otlp_logs/3@1201").lines)
    assert [line["id"] for line in found] == ["otlp_logs/3@1201#0", "otlp_logs/3@1201#2"]
    (long,) = said(formed(log(), place="x" * 250).lines)
    assert len(long["id"]) < 256


def test_a_rule_renames_foreign_events_and_says_where_their_fields_are() -> None:
    rules = OtlpRules(
        logs=(
            LogRule("order.submitted", "OrderPlaced", names=Names(value="total", id="order")),
            LogRule("", "noise"),
            LogRule(
                "order.confirmed",
                where=(("kind", "confirmation"), ("service.name", "order-api")),
            ),
        )
    )  # fmt: skip
    found = formed(
        log("OrderPlaced", {"total": 9, "order": 17}),
        log("noise"),
        log("", {"kind": "confirmation"}),
        log("", {"kind": "else"}),
        log("other.event"),
        rules=rules,
    )
    lines = said(found.lines)
    assert [line["type"] for line in lines] == ["order.submitted", "order.confirmed", "other.event"]
    assert (lines[0]["id"], lines[0]["value"]) == ("17", 9.0)
    assert found.ignored == {"not_wanted": 1, "log_without_event_name": 1}
    assert found.records == [0, 2, 4]


def test_a_deployment_event_is_a_marker() -> None:
    record = log(
        "deployment.started",
        {
            "deployment": "d-42", "service": "order-api", "version": "1.43.0",
            "replaces": "1.42.0", "strategy": "ring", "share": 0.1, "owner": "team-orders",
            "cohort": {"warehouse": ["W1", "W2"]}, "id": "m-1", "environment": "production",
        },
    )  # fmt: skip
    found = formed(record, resource={"service.name": "ci"})
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert not batch.rejects
    (marker,) = batch.markers
    assert (marker.deployment, marker.service, marker.version) == ("d-42", "order-api", "1.43.0")
    assert (marker.share, dict(marker.cohort)) == (0.1, {"warehouse": ("W1", "W2")})
    assert (marker.id, marker.environment, marker.owner) == ("m-1", "production", "team-orders")


def test_a_marker_about_its_own_service_needs_its_deployment_only() -> None:
    record = log("deployment.started", {"deployment.id": "d-1", "cohort.warehouse": ["W1"]})
    (marker,) = decode(formed(record).lines, attributes=frozenset(), limits=LIMITS).markers
    assert (marker.service, marker.version, marker.environment) == (
        "order-api", "1.42.0", "staging",
    )  # fmt: skip
    assert dict(marker.cohort) == {"warehouse": ("W1",)}


def test_a_marker_about_another_service_does_not_get_the_version_of_its_sender() -> None:
    record = log("deployment.started", {"deployment": "d-1", "service": "other"})
    assert refusal(record)[0] == "marker_invalid"


def test_a_line_that_is_too_long_is_refused_as_such() -> None:
    limits = Limits(line_bytes=500)
    found = formed(log("x" * 600), limits=limits)
    (reject,) = decode(found.lines, attributes=frozenset(), limits=limits).rejects
    assert reject.reason == "too_long"


def test_a_request_with_more_records_than_may_wait_is_refused_whole() -> None:
    with pytest.raises(TooManyError, match="3 log records, the limit is 2"):
        formed(log(), log(), log(), limits=Limits(queued_events=2))


@pytest.mark.parametrize("lines_of", [lines_of_logs, lines_of_metrics, lines_of_traces])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x0a\x00" * 9, "9 resources, the limit is 5"),
        (b"\x0a\x12" + b"\x12\x00" * 9, "over 5 scopes"),
    ],
)
def test_a_request_with_nothing_in_it_but_that_many_times_is_refused(
    lines_of: Callable[..., OtlpFormed], body: bytes, words: str
) -> None:
    with pytest.raises(TooManyError, match=words):
        lines_of(body, Encoding.PROTO, rules=NO_RULES, limits=Limits(queued_events=5))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"resourceLogs":[{},{},{}]}', "3 resources, the limit is 2"),
        (b'{"resourceLogs":[{"scopeLogs":[{},{},{}]}]}', "over 2 scopes"),
    ],
)
def test_so_is_one_in_json(body: bytes, words: str) -> None:
    with pytest.raises(TooManyError, match=words):
        lines_of_logs(body, Encoding.JSON, rules=NO_RULES, limits=Limits(queued_events=2))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("body", [b"\xff", b"{", b'{"resourceLogs":[null]}', b"[]", b"\x0a\x05a"])
def test_what_is_no_request_is_malformed(body: bytes, encoding: Encoding) -> None:
    with pytest.raises(MalformedError, match="the body is no"):
        lines_of_logs(body, encoding, rules=NO_RULES, limits=LIMITS)


@pytest.mark.parametrize(
    "value",
    [
        '{"intValue":"99999999999999999999"}',
        '{"intValue":' + "9" * 10_000 + "}",
        '{"kvlistValue":{"values":5}}',
        '{"arrayValue":' + '{"values":[{"arrayValue":' * 5_000 + "{}" + "}]}" * 5_000 + "}",
    ],
)
def test_hostile_values_in_json_are_malformed(value: str) -> None:
    body = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}'
    with pytest.raises(MalformedError, match=r"no OTLP request in JSON|nests too deeply"):
        lines_of_logs(body.encode(), Encoding.JSON, rules=NO_RULES, limits=LIMITS)


def test_json_reads_numbers_texts_nulls_and_unknown_fields_as_the_specification_has_it() -> None:
    body = msgspec.json.encode(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": [
                        {"key": "service.name", "value": {"stringValue": "a"}},
                    ]},
                    "scopeLogs": [{"scope": None, "logRecords": [
                        {
                            "timeUnixNano": 1_779_357_600_000_000_000,
                            "eventName": "a.b",
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "unknown": [{}],
                            "attributes": [
                                {"key": "value", "value": {"intValue": "7"}},
                                {"key": "data", "value": {
                                    "bytesValue": base64.b64encode(b"x").decode()}},
                                {"key": "none", "value": None},
                            ],
                        },
                    ]}],
                },
                {"resource": None, "scopeLogs": None},
            ],
        }
    )  # fmt: skip
    found = lines_of_logs(body, Encoding.JSON, rules=NO_RULES, limits=LIMITS)
    (line,) = said(found.lines)
    assert (line["value"], line["time"]) == (7.0, 1_779_357_600_000)


def test_of_endless_attributes_and_lists_only_the_beginning_is_read() -> None:
    endless = {f"a{number:05}": "x" for number in range(3_000)}
    found = formed(log(said={**endless, "z": "never seen"}))
    assert found.left_out == 1_024 - 32
    cohort = {"deployment": "d-1", "cohort": {"customer": [f"C{n}" for n in range(20_000)]}}
    assert refusal(log("deployment.started", cohort))[0] == "marker_invalid"
    cohort = {"deployment": "d-1", "cohort": {"customer": [f"C{n}" for n in range(10_000)]}}
    found = formed(log("deployment.started", cohort))
    (marker,) = decode(found.lines, attributes=frozenset(), limits=LIMITS).markers
    assert len(marker.cohort["customer"]) == 10_000


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=9)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
NAMES = st.text(max_size=6) | st.sampled_from(
    ["id", "event.id", "value", "subject", "plimsoll.value", "track", "synthetic", "outcome",
     "error.type", "cohort", "share", "deployment", "service.name", "plimsoll.service"]
)  # fmt: skip
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=5)
RECORDS = st.builds(
    log,
    st.sampled_from(["", "order.submitted", "deployment.started"]) | st.text(max_size=5),
    ATTRIBUTES,
    time_ns=st.integers(0, 2**64 - 1) | st.just(TIME_NS),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    severity_number=st.integers(0, 24),
    trace_id=st.binary(max_size=17),
    body=VALUES.map(any_value),
)


@given(st.lists(RECORDS, max_size=4), ATTRIBUTES | st.just(SHOP))
def test_any_request_gives_the_same_lines_in_both_encodings_and_none_is_lost(
    records: list[LogRecord], resource: dict[str, object]
) -> None:
    found = formed(*records, resource=resource)
    assert found.total == len(records) == len(found.lines) + sum(found.ignored.values())
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert len(batch.facts) + len(batch.markers) + len(batch.rejects) == len(found.lines)


@given(st.binary(max_size=200), st.sampled_from(Encoding))
def test_arbitrary_bytes_are_a_request_or_malformed(body: bytes, encoding: Encoding) -> None:
    for lines_of in (lines_of_logs, lines_of_metrics, lines_of_traces):
        try:
            found = lines_of(body, encoding, rules=NO_RULES, limits=LIMITS)
        except MalformedError:
            continue
        assert found.total >= len(found.lines)
