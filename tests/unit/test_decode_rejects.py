"""What decode refuses: every reason code, and what of a refused payload is still known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzers.facts import Reject
from analyzers.policy import Limits
from collector.decoding import digests
from collector.decoding.faults import REMEDIES, Reason
from tests.payloads import decoded, event, marker


def refused(said: Any, **limits: int) -> Reject:
    """The reject of one payload, alone in its batch; the same as in the middle of valid ones."""
    batch = decoded(said, limits=Limits(**limits))
    assert (len(batch.facts), batch.markers, len(batch.rejects)) == (0, (), 1)
    crowd = decoded(event(id="before"), said, event(id="after"), limits=Limits(**limits))
    assert crowd.rows.tolist() == [0, 2]
    assert crowd.rejects[0].index == 1
    assert crowd.rejects[0].reason == batch.rejects[0].reason
    assert crowd.rejects[0].key == batch.rejects[0].key
    return batch.rejects[0]


def raw(**fields: str) -> bytes:
    """A valid event with some fields replaced by JSON as it stands."""
    said = {name: json.dumps(value) for name, value in event().items()} | fields
    return b"{" + ",".join(f'"{name}":{text}' for name, text in said.items()).encode() + b"}"


BAD_EVENTS: list[tuple[Reason, Any]] = [
    (Reason.ENCODING_INVALID, b'{"id":"\xff"}'),
    (Reason.ENCODING_INVALID, json.dumps(event()).encode("utf-16")),
    (Reason.ENCODING_INVALID, json.dumps(event()).encode("utf-16-le")),
    (Reason.ENCODING_INVALID, event(id="\ud800")),
    (Reason.NOT_JSON, b""),
    (Reason.NOT_JSON, b"order 7 was rejected"),
    (Reason.NOT_JSON, json.dumps(event()).encode()[:-1]),
    (Reason.NOT_JSON, json.dumps(event()).encode() + b","),
    (Reason.NOT_JSON, json.dumps(event()).encode() * 2),
    (Reason.NOT_JSON, b"[" * 100_000),
    (Reason.NOT_JSON, raw(unknown="NaN")),
    (Reason.NOT_JSON, raw(id='"a\tb"')),
    (Reason.NOT_AN_OBJECT, b"[]"),
    (Reason.NOT_AN_OBJECT, b"null"),
    (Reason.NOT_AN_OBJECT, b"3"),
    (Reason.NOT_AN_OBJECT, b'"text"'),
    (Reason.MISSING_FIELD, {}),
    (Reason.MISSING_FIELD, event(id=...)),
    (Reason.MISSING_FIELD, event(time=...)),
    (Reason.MISSING_FIELD, event(type=...)),
    (Reason.MISSING_FIELD, event(service=...)),
    (Reason.MISSING_FIELD, event(id=None)),
    (Reason.FIELD_TYPE, event(id=7)),
    (Reason.FIELD_TYPE, event(time=True)),
    (Reason.FIELD_TYPE, event(time={})),
    (Reason.FIELD_TYPE, event(type=7)),
    (Reason.FIELD_TYPE, event(service=[])),
    (Reason.FIELD_TYPE, event(environment=7)),
    (Reason.FIELD_TYPE, event(version=1.42)),
    (Reason.FIELD_TYPE, event(track=1)),
    (Reason.FIELD_TYPE, event(outcome=False)),
    (Reason.FIELD_TYPE, event(value="12.5")),
    (Reason.FIELD_TYPE, event(value=True)),
    (Reason.FIELD_TYPE, event(subject=9)),
    (Reason.FIELD_TYPE, event(ref=9)),
    (Reason.FIELD_TYPE, event(synthetic="yes")),
    (Reason.FIELD_TYPE, event(synthetic=1)),
    (Reason.FIELD_EMPTY, event(id="")),
    (Reason.FIELD_EMPTY, event(type="")),
    (Reason.FIELD_EMPTY, event(service="")),
    (Reason.FIELD_EMPTY, event(environment="")),
    (Reason.FIELD_EMPTY, event(outcome="")),
    (Reason.FIELD_TOO_LONG, event(id="x" * 257)),
    (Reason.FIELD_TOO_LONG, event(service="é" * 129)),
    (Reason.FIELD_TOO_LONG, event(ref="x" * 257)),
    (Reason.FIELD_TOO_LONG, event(subject="x" * 257)),
    (Reason.CONTROL_CHARACTER, event(id="a\x00b")),
    (Reason.CONTROL_CHARACTER, event(type="a\nb")),
    (Reason.CONTROL_CHARACTER, event(version="\x7f")),
    (Reason.CONTROL_CHARACTER, event(ref="\x85")),
    (Reason.TIME_WITHOUT_ZONE, event(time="2026-05-21T12:00:00")),
    (Reason.TIME_WITHOUT_ZONE, event(time="2026-05-21 12:00:00.123")),
    (Reason.TIME_INVALID, event(time="")),
    (Reason.TIME_INVALID, event(time="yesterday")),
    (Reason.TIME_INVALID, event(time="2026-05-21")),
    (Reason.TIME_INVALID, event(time="2026-02-31T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="2023-02-29T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="2026-13-01T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="2026-00-01T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="2026-05-00T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T24:00:00Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:60:00Z")),
    (Reason.TIME_INVALID, event(time="2016-12-31T23:59:60Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00.Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00.1234567890Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00.12345678901234Z")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00+0200")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00+24:00")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00+02:60")),
    (Reason.TIME_INVALID, event(time="2026-05-21T12:00:00Ü")),
    (Reason.TIME_INVALID, event(time="٢٠٢٦-05-21T12:00:00Z")),
    (Reason.TIME_INVALID, event(time="1779364800000")),
    (Reason.TIME_INVALID, event(time=1_779_364_800_000.5)),
    (Reason.TIME_INVALID, event(time="x" * 1000)),
    (Reason.TIME_OUT_OF_RANGE, event(time="1970-01-01T00:00:00Z")),
    (Reason.TIME_OUT_OF_RANGE, event(time="1999-12-31T23:59:59.999999999Z")),
    (Reason.TIME_OUT_OF_RANGE, event(time="2100-01-01T00:00:00Z")),
    (Reason.TIME_OUT_OF_RANGE, event(time="9999-12-31T23:59:59Z")),
    (Reason.TIME_OUT_OF_RANGE, event(time=0)),
    (Reason.TIME_OUT_OF_RANGE, event(time=-1)),
    (Reason.TIME_OUT_OF_RANGE, event(time=1_779_364_800)),
    (Reason.TIME_OUT_OF_RANGE, event(time=4_102_444_800_000)),
    (Reason.TIME_OUT_OF_RANGE, event(time=10**100)),
    (Reason.VALUE_NOT_FINITE, raw(value="NaN")),
    (Reason.VALUE_NOT_FINITE, raw(value="Infinity")),
    (Reason.VALUE_NOT_FINITE, raw(value="-Infinity")),
    (Reason.VALUE_NOT_FINITE, raw(value="1e400")),
    (Reason.VALUE_NOT_FINITE, raw(value="9" * 350)),
    (Reason.VALUE_NOT_FINITE, raw(value="-" + "9" * 5000)),
    (Reason.VALUE_OUT_OF_RANGE, event(value=9.1e9)),
    (Reason.VALUE_OUT_OF_RANGE, event(value=-9.1e9)),
    (Reason.VALUE_OUT_OF_RANGE, event(value=10**30)),
    (Reason.VALUE_OUT_OF_RANGE, event(value=2**53 * 1e-6)),
    (Reason.TRACK_INVALID, event(track="stable")),
    (Reason.TRACK_INVALID, event(track="Canary")),
    (Reason.ATTRIBUTES_INVALID, event(attributes=[])),
    (Reason.ATTRIBUTES_INVALID, event(attributes="region=eu")),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": 7})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": True})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": None})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": {"name": "eu"}})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": "x" * 257})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"r" * 65: "eu"})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"": "eu"})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": "e\nu"})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={"region": "\udfff"})),
    (Reason.ATTRIBUTES_INVALID, event(attributes={f"a{i}": "x" for i in range(33)})),
]

BAD_MARKERS: list[tuple[Reason, Any]] = [
    (Reason.MARKER_TYPE_UNKNOWN, marker(type="deployment.paused")),
    (Reason.MARKER_TYPE_UNKNOWN, marker(type="deployment.")),
    (Reason.MISSING_FIELD, marker(id=...)),
    (Reason.MISSING_FIELD, marker(service=...)),
    (Reason.MISSING_FIELD, marker(time=...)),
    (Reason.FIELD_EMPTY, marker(service="")),
    (Reason.FIELD_EMPTY, marker(environment="")),
    (Reason.FIELD_TYPE, marker(id=7)),
    (Reason.FIELD_TOO_LONG, marker(id="x" * 257)),
    (Reason.CONTROL_CHARACTER, marker(service="a\tb")),
    (Reason.TIME_WITHOUT_ZONE, marker(time="2026-05-21T12:00:00")),
    (Reason.TIME_OUT_OF_RANGE, marker(time=0)),
    (Reason.NOT_JSON, json.dumps(marker()).encode()[:-1] + b',"x":NaN}'),
    (Reason.MARKER_INVALID, marker(deployment=...)),
    (Reason.MARKER_INVALID, marker(deployment="")),
    (Reason.MARKER_INVALID, marker(deployment=42)),
    (Reason.MARKER_INVALID, marker(version=...)),
    (Reason.MARKER_INVALID, marker(version="")),
    (Reason.MARKER_INVALID, marker(version="x" * 257)),
    (Reason.MARKER_INVALID, marker(strategy="yolo")),
    (Reason.MARKER_INVALID, marker(strategy=1)),
    (Reason.MARKER_INVALID, marker(share=-0.1)),
    (Reason.MARKER_INVALID, marker(share=-0.1)),
    (Reason.MARKER_INVALID, marker(share=1.01)),
    (Reason.MARKER_INVALID, marker(share=10)),
    (Reason.MARKER_INVALID, marker(share="10%")),
    (Reason.MARKER_INVALID, marker(share=True)),
    (Reason.MARKER_INVALID, marker(cohort=["W1"])),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": "W1"})),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": []})),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": [1]})),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": [[[[]]]]})),
    (Reason.MARKER_INVALID, marker(cohort={"": ["W1"]})),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": ["x" * 257]})),
    (Reason.MARKER_INVALID, marker(cohort={"warehouse": ["\udfff"]})),
    (Reason.MARKER_INVALID, marker(cohort={f"a{i}": ["x"] for i in range(33)})),
    (Reason.MARKER_INVALID, marker(type="deployment.finished", outcome="maybe")),
    (Reason.MARKER_INVALID, marker(runbook="https://r.example/" + "x" * 2048)),
    (Reason.MARKER_INVALID, marker(owner=["team"])),
]


def names(cases: list[tuple[Reason, Any]]) -> list[str]:
    """A short name for each case, so that a failure can be found."""
    return [f"{reason.value}-{i}" for i, (reason, _) in enumerate(cases)]


@pytest.mark.parametrize(("reason", "said"), BAD_EVENTS, ids=names(BAD_EVENTS))
def test_a_bad_event_is_refused_with_its_reason(reason: Reason, said: Any) -> None:
    reject = refused(said)
    assert reject.reason == reason.value, reject.detail
    assert reject.detail.endswith(REMEDIES[reason])
    assert len(reject.detail) < 400


@pytest.mark.parametrize(("reason", "said"), BAD_MARKERS, ids=names(BAD_MARKERS))
def test_a_bad_marker_is_refused_with_its_reason(reason: Reason, said: Any) -> None:
    reject = refused(said)
    assert reject.reason == reason.value, reject.detail
    assert reject.detail.endswith(REMEDIES[reason])
    assert len(reject.detail) < 400


def test_a_payload_over_the_limit_is_not_read_at_all() -> None:
    reject = refused(event(unknown="x" * 2000), line_bytes=1000)
    assert reject.reason == "too_long"
    assert reject.service == "order-api"


def test_every_reason_has_one_remedy() -> None:
    assert set(REMEDIES) == set(Reason)
    assert len(set(REMEDIES.values())) == len(REMEDIES)


def test_every_reason_that_decode_can_give_is_tried_here() -> None:
    tried = {reason for reason, _ in BAD_EVENTS + BAD_MARKERS}
    of_files = {Reason.TOO_LONG, Reason.TRUNCATED, Reason.UNREADABLE}
    of_sources = {Reason.MAPPING, Reason.FORMAT_INVALID, Reason.SOURCE_LOST}
    assert set(Reason) - tried == of_files | of_sources | {Reason.SIGNATURE_INVALID}


def test_a_reject_keeps_the_payload_up_to_the_limit() -> None:
    payload = json.dumps(event(time="x", unknown="y" * 100)).encode()
    assert refused(payload).payload == payload
    assert refused(payload, reject_payload_bytes=10).payload == payload[:10]


@pytest.mark.parametrize(
    "damage",
    [
        event(value="12.5", version="1.42.0", track="canary", environment="staging"),
        event(outcome="", version="1.42.0", track="canary", environment="staging"),
        raw(value="NaN", version='"1.42.0"', track='"canary"', environment='"staging"'),
        json.dumps(event(version="1.42.0", track="canary", environment="staging")).encode()[:-1],
    ],
    ids=["wrong type", "wrong text", "no JSON number", "cut off"],
)
def test_whose_a_reject_is_stays_known(damage: Any) -> None:
    reject = refused(damage)
    assert reject.time_ns == 1_779_364_800_000_000_000
    assert (reject.environment, reject.service) == ("staging", "order-api")
    assert (reject.version, reject.track) == ("1.42.0", "canary")


def test_another_try_under_the_same_id_is_another_reject_and_the_same_one_is_not() -> None:
    first, other, again = decoded(event(value="x"), event(time="zz"), event(value="x")).rejects
    assert first.key == again.key
    assert first.key != other.key


def test_what_cannot_be_read_of_a_reject_is_left_empty() -> None:
    reject = refused(event(time="x", service=7, version=1.42, track="blue", id=None))
    assert reject.time_ns is None
    assert (reject.environment, reject.service, reject.version, reject.track) == ("", "", "", "")


def test_what_nests_too_deep_is_a_reject_and_nothing_around_it_is_lost() -> None:
    for depth in (100, 900, 990, 1_000, 5_000, 30_000):
        objects = b'{"a":' * depth + b"1" + b"}" * depth
        lists = b"[" * depth + b"]" * depth
        batch = decoded(event(id="o-1"), objects, lists, event(id="o-2"))
        assert len(batch.facts) == 2
        assert len(batch.rejects) == 2


def test_a_reject_without_an_id_is_known_by_its_bytes() -> None:
    one, again, other = decoded(b"garbage", b"garbage", b"Garbage").rejects
    assert one.key == again.key == digests.key_of_bytes(b"garbage")
    assert one.key != other.key


def test_a_word_is_refused_wherever_it_stands_and_nothing_else_is() -> None:
    said = [event(id=str(i), version="x" * 300 if i % 3 == 0 else "1") for i in range(30)]
    batch = decoded(*said)
    assert [reject.index for reject in batch.rejects] == list(range(0, 30, 3))
    assert len(batch.facts) == 20


def test_of_several_faults_the_time_is_named_first() -> None:
    assert refused(event(time="x", id="", track="blue")).reason == "time_invalid"


def test_the_last_of_two_equal_names_counts() -> None:
    batch = decoded(raw(version='7,"version":"1"', attributes='{"a":1,"a":"b"}'))
    assert batch.facts.version.strings() == ["1"]
