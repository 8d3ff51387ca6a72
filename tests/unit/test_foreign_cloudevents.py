"""CloudEvents: the envelope fills in what the data leave out; binary mode becomes one line."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.foreign import envelope as envelope_reader
from collector.foreign.cloudevents import binary_cloudevent
from tests.payloads import decoded, event, marker


def envelope(**changes: Any) -> dict[str, Any]:
    """A CloudEvent of an order, with some attributes changed; one set to ... is left out."""
    said = {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "https://shop.example/services/order-api",
        "type": "order.submitted",
        "time": "2026-05-21T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"value": 12.5, "attributes": {"region": "eu"}},
        **changes,
    }
    return {name: value for name, value in said.items() if value is not ...}


def facts(*said: Any) -> list[tuple[str, str, str, str, int, float]]:
    """Type, service, environment, version, time and value of the facts, nothing else being said."""
    batch = decoded(*said)
    assert (batch.rejects, batch.markers, batch.ignored) == ((), (), ())
    columns = batch.facts
    return list(
        zip(
            columns.type.strings(),
            columns.service.strings(),
            columns.environment.strings(),
            columns.version.strings(),
            columns.time_ns.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    )


NOON = 1_779_364_800_000_000_000
ORDER = ("order.submitted", "order-api", "production", "", NOON, 12.5)


def test_the_envelope_fills_in_what_the_data_leave_out() -> None:
    assert facts(envelope()) == [ORDER]


def test_an_event_in_an_envelope_is_the_same_event_as_outside() -> None:
    whole = event(value=12.5, version="7")
    inside = decoded(envelope(data=whole)).facts
    outside = decoded(whole).facts
    assert inside.key.tolist() == outside.key.tolist()
    assert inside.content.tolist() == outside.content.tolist()


def test_what_the_data_say_stands_above_the_envelope() -> None:
    data = {"type": "api.called", "time": "2026-05-21T12:00:01Z", "service": "erp", "value": 1.0}
    assert facts(envelope(data=data)) == [
        ("api.called", "erp", "production", "", NOON + 1_000_000_000, 1.0)
    ]


def test_attributes_of_the_envelope_name_environment_version_and_service() -> None:
    said = envelope(environment="staging", version="7", service="orders")
    assert facts(said) == [("order.submitted", "orders", "staging", "7", NOON, 12.5)]


def test_an_envelope_never_passes_for_a_native_event() -> None:
    """It has id, time, type and service at its top, and yet its value is inside."""
    batch = decoded(*(envelope(id=str(n), service="orders") for n in range(300)))
    assert batch.facts.value.tolist() == [12.5] * 300


@pytest.mark.parametrize(
    "data",
    [
        {"data": '{"value": 12.5}'},
        {"data": ..., "data_base64": b64encode(b'{"value": 12.5}').decode()},
    ],
)
def test_data_written_as_text_or_as_base64_are_read_too(data: dict[str, Any]) -> None:
    assert facts(envelope(**data)) == [ORDER]


@pytest.mark.parametrize("data", [{"data": ...}, {"data": None}, {"data": "sold"}, {"data": [1]}])
def test_an_envelope_whose_data_are_no_object_is_an_event_by_itself(data: dict[str, Any]) -> None:
    ((kind, service, *_, value),) = facts(envelope(**data))
    assert (kind, service) == ("order.submitted", "order-api")
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"specversion": "0.2"}, "specversion '0.2' is not read"),
        ({"specversion": 1}, "specversion 1 is not read"),
        ({"data": ..., "data_base64": "%"}, "data_base64 of the CloudEvent is no JSON text"),
        ({"data": ..., "data_base64": "/w=="}, "data_base64 of the CloudEvent is no JSON text"),
        ({"data": ..., "data_base64": "MQ=="}, "data_base64 of the CloudEvent is no JSON object"),
        ({"data": '{"a":'}, "data of the CloudEvent are no JSON"),
    ],
)
def test_a_broken_envelope_is_refused_with_its_reason(changes: dict[str, Any], what: str) -> None:
    (reject,) = decoded(envelope(**changes)).rejects
    assert reject.reason == "format_invalid"
    assert what in reject.detail


def test_an_envelope_without_an_id_is_refused_like_an_event_without_one() -> None:
    (reject,) = decoded(envelope(id=...)).rejects
    assert (reject.reason, reject.service) == ("missing_field", "order-api")


def test_a_marker_may_come_in_an_envelope() -> None:
    batch = decoded(envelope(type="deployment.started", data={"deployment": "d", "version": "2"}))
    (found,) = batch.markers
    assert (found.id, found.service, found.version) == ("ce-1", "order-api", "2")
    assert decoded(envelope(data=marker())).markers == decoded(marker()).markers


def test_another_tools_payload_in_an_envelope_is_understood_one_level_deep() -> None:
    push = {"object_kind": "push", "project_id": 1}
    assert [one.kind for one in decoded(envelope(data=push)).ignored] == ["gitlab_push"]
    twice = decoded(envelope(data=envelope(data=push)))
    assert (twice.ignored, len(twice.facts)) == ((), 1)


def test_a_foreign_marker_without_a_time_takes_that_of_the_envelope() -> None:
    said = {"app": "orders", "revision": "abc", "phase": "Running"}
    (found,) = decoded(envelope(data=said)).markers
    assert (found.time_ns, found.service) == (NOON, "orders")


def test_binary_mode_becomes_a_line_that_says_the_same() -> None:
    headers = {name: str(said) for name, said in envelope().items() if name != "data"}
    for data in (b'{"value": 12.5, "attributes": {"region": "eu"}}', b'{\n "value": 12.5\r\n}'):
        line = binary_cloudevent(headers, "application/json; charset=utf-8", data)
        assert b"\n" not in line
        assert facts(line) == [ORDER]


def test_binary_data_that_are_no_json_become_base64() -> None:
    line = binary_cloudevent(
        {"specversion": "1.0", "data": "x", "Bad-Name": "x"}, "text/xml", b"<a/>"
    )
    assert json.loads(line) == {
        "specversion": "1.0",
        "datacontenttype": "text/xml",
        "data_base64": b64encode(b"<a/>").decode(),
    }
    broken = binary_cloudevent({"specversion": "1.0"}, "application/json", b'{"a"')
    (reject,) = decode([broken], attributes=frozenset(), limits=Limits()).rejects
    assert reject.reason == "format_invalid"


def test_a_message_in_binary_mode_needs_no_data() -> None:
    headers = {name: str(said) for name, said in envelope(data=...).items()}
    assert len(decoded(binary_cloudevent(headers, "", b"")).facts) == 1


FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "", None, 7]),
        "time": st.sampled_from(["2026-05-21T12:00:00Z", 1_779_364_800_000, "x", None, 1.5, True]),
        "type": st.sampled_from(["x", "deployment.started", "deployment.x", "", None, 7]),
        "service": st.sampled_from(["a", "", None, 7]),
        "environment": st.sampled_from(["staging", "", None]),
        "version": st.sampled_from(["1", "", None, 1]),
        "track": st.sampled_from(["canary", "blue", None]),
        "outcome": st.sampled_from(["ok", "", None]),
        "value": st.sampled_from([1, 1.5, -0.0, None, "1", True, 10**400, math.nan]),
        "subject": st.sampled_from(["s", "", None]),
        "ref": st.sampled_from(["r", "", None]),
        "synthetic": st.sampled_from([True, False, None, 1]),
        "attributes": st.sampled_from([{}, {"a": "b"}, {"a": 1}, {"a": "\ud800"}, None, [], "x"]),
        "source": st.sampled_from(["/a/b", "", None, 7]),
    },
)


@settings(max_examples=300)
@given(FIELDS, FIELDS | st.none())
def test_what_is_read_at_speed_is_read_with_care_just_the_same(
    around: dict[str, Any], data: dict[str, Any] | None
) -> None:
    """The quick reader leaves every version but 1.0 to the other."""
    said = {"id": "1", "time": 1_779_364_800_000, "type": "t", "data": data} | around
    quick = json.dumps({"specversion": "1.0"} | said).encode()
    careful = json.dumps({"specversion": "1.0.2"} | said).encode()
    assert envelope_reader.event(careful) is None
    one, other = decoded(quick), decoded(careful)
    assert one.markers == other.markers
    assert len(one.rejects) == len(other.rejects)  # of several faults another may come first
    assert [r.version for r in one.rejects] == [r.version for r in other.rejects]
    for column in ("key", "content", "ref", "subject", "time_ns", "value"):
        left, right = getattr(one.facts, column), getattr(other.facts, column)
        assert left.tobytes() == right.tobytes(), column
    assert one.facts.environment.strings() == other.facts.environment.strings()
