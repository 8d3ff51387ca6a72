"""What decode makes of valid payloads: facts and markers as they were said."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from analyzers.facts import concat
from collector.decoding import digests
from tests.payloads import decoded, event, marker

OPTIONAL = (
    "environment",
    "version",
    "track",
    "outcome",
    "value",
    "subject",
    "ref",
    "synthetic",
    "attributes",
)
NOON_NS = 1_779_364_800_000_000_000  # 2026-05-21T12:00:00Z


def test_a_full_event_comes_back_as_it_was_said() -> None:
    batch = decoded(
        event(
            time="2026-05-21T12:00:00.123456789Z",
            environment="staging",
            version="1.42.0",
            track="canary",
            outcome="rejected",
            value=12.5,
            subject="INV-9",
            ref="o-0",
            synthetic=True,
            attributes={"region": "eu", "warehouse": "W1"},
            unknown=[{"deep": None}],
        ),
        attributes=("region", "warehouse", "tenant"),
    )
    facts = batch.facts
    assert len(facts) == 1
    assert not batch.rejects
    assert facts.time_ns.tolist() == [NOON_NS + 123_456_789]
    assert facts.environment.strings() == ["staging"]
    assert facts.service.strings() == ["order-api"]
    assert facts.version.strings() == ["1.42.0"]
    assert facts.track.strings() == ["canary"]
    assert facts.type.strings() == ["order.submitted"]
    assert facts.outcome.strings() == ["rejected"]
    assert facts.value.tolist() == [12.5]
    assert facts.synthetic.tolist() == [True]
    assert {name: column.strings() for name, column in facts.attributes.items()} == {
        "region": ["eu"],
        "warehouse": ["W1"],
    }
    assert tuple(facts.key[0].tolist()) == digests.key("staging", "order-api", "o-1")
    assert tuple(facts.ref[0].tolist()) == digests.key("staging", "order-api", "o-0")
    assert facts.subject[0] != 0


def test_what_an_event_leaves_out_has_its_default() -> None:
    facts = decoded(event()).facts
    assert facts.environment.strings() == ["production"]
    assert facts.outcome.strings() == ["ok"]
    assert facts.version.strings() == facts.track.strings() == [""]
    assert np.isnan(facts.value).all()
    assert facts.ref.tolist() == [[0, 0]]
    assert facts.subject.tolist() == [0]
    assert facts.synthetic.tolist() == [False]
    assert facts.attributes == {}


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_says_the_same_as_leaving_an_optional_field_out(name: str) -> None:
    absent, null = decoded(event(), event(**{name: None})).facts.content.tolist()
    assert absent == null


def test_names_of_one_column_stay_unique_when_a_default_meets_the_same_word() -> None:
    facts = decoded(event(), event(environment="production", outcome="ok")).facts
    assert facts.environment.words == ("production",)
    assert facts.outcome.words == ("ok",)


def test_an_empty_attribute_is_an_absent_one() -> None:
    said = [event(attributes=a) for a in ({"region": ""}, {}, {"region": "eu"})]
    column = decoded(*said, attributes=("region",)).facts.attributes["region"]
    assert column.strings() == ["", "", "eu"]
    assert len(set(column.words)) == len(column.words)


def test_only_attributes_that_were_asked_for_become_columns() -> None:
    facts = decoded(event(attributes={"region": "eu", "shelf": "9"}), attributes=("region",)).facts
    assert list(facts.attributes) == ["region"]


def test_content_counts_attributes_that_nobody_asked_for() -> None:
    one, two, three = decoded(
        event(attributes={"a": "1", "b": "2"}),
        event(attributes={"b": "2", "a": "1"}),
        event(attributes={"a": "2", "b": "1"}),
    ).facts.content.tolist()
    assert one == two != three


def test_the_same_json_written_otherwise_has_the_same_content() -> None:
    said = event(value=5, attributes={"a": "1", "b": "é"})
    other = json.dumps(dict(reversed(said.items())), indent=1, ensure_ascii=False).encode()
    batch = decoded(said, other, event(value=5.0, attributes={"a": "1", "b": "é"}))
    assert len(set(batch.facts.content.tolist())) == 1
    assert len(np.unique(batch.facts.key, axis=0)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time", "2026-05-21T12:00:00.000000001Z"),
        ("type", "order.confirmed"),
        ("version", "1"),
        ("track", "canary"),
        ("outcome", "failed"),
        ("value", 0),
        ("subject", "INV-1"),
        ("ref", "o-0"),
        ("synthetic", True),
        ("attributes", {"a": "b"}),
    ],
)
def test_every_field_counts_in_the_content(name: str, value: object) -> None:
    plain, changed = decoded(event(), event(**{name: value})).facts.content.tolist()
    assert plain != changed


def test_minus_zero_is_zero() -> None:
    facts = decoded(event(value=0), b'{"id":"a","time":1779364800000,"type":"t","service":"s",'
                    b'"value":-0.0}').facts  # fmt: skip
    assert not np.signbit(facts.value).any()


def test_key_and_content_depend_on_nothing_but_the_event() -> None:
    others = [event(id=f"x{i}", service=f"s{i}", attributes={"a": str(i)}) for i in range(5)]
    alone = decoded(event(attributes={"z": "1"})).facts
    among = decoded(*others, event(attributes={"z": "1"}), attributes=("a",)).facts
    assert among.key[-1].tolist() == alone.key[0].tolist()
    assert among.content[-1] == alone.content[0]


def test_digests_never_change_because_checkpoints_hold_them() -> None:
    facts = decoded(event(subject="INV-9", value=1.5, attributes={"region": "eu"})).facts
    name = b"10:production9:order-apio-1"
    assert facts.key[0].tobytes() == hashlib.blake2b(name, digest_size=16).digest()
    assert facts.subject[0].tobytes() == hashlib.blake2b(b"INV-9", digest_size=8).digest()
    assert facts.content.tolist() == [15_939_817_284_031_997_210]


def test_environment_service_and_id_are_never_mixed_up() -> None:
    facts = decoded(
        event(environment="a", service="bc", id="d"),
        event(environment="ab", service="c", id="d"),
        event(environment="a", service="b", id="cd"),
    ).facts
    assert len(np.unique(facts.key, axis=0)) == 3


def test_an_answer_refers_to_the_key_of_its_question() -> None:
    facts = decoded(
        event(id="o-1"), event(id="c-1", ref="o-1"), event(id="c-2", ref="o-1", service="other")
    ).facts
    assert facts.ref[1].tolist() == facts.key[0].tolist()
    assert facts.ref[2].tolist() != facts.key[0].tolist()
    assert facts.ref[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "time",
    [
        "2026-05-21T12:00:00Z",
        "2026-05-21T12:00:00.000Z",
        "2026-05-21t12:00:00z",
        "2026-05-21 12:00:00+00:00",
        "2026-05-21T12:00:00-00:00",
        "2026-05-21T14:00:00+02:00",
        "2026-05-21T06:30:00.000000-05:30",
        "2026-05-22T00:00:00.0+12:00",
        1_779_364_800_000,
    ],
)
def test_a_time_may_be_written_in_any_way_of_rfc_3339(time: str | int) -> None:
    alone = decoded(event(time=time)).facts.time_ns.tolist()
    among = decoded(event(time=time), event(time=1), event(time="2026-05-21T12:00:00Z"))
    assert alone == [NOON_NS]
    assert among.facts.time_ns.tolist() == [NOON_NS, NOON_NS]


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("2000-01-01T00:00:00Z", 946_684_800 * 10**9),
        ("1999-12-31T23:30:00-00:30", 946_684_800 * 10**9),
        ("2099-12-31T23:59:59.999999999Z", 4_102_444_800 * 10**9 - 1),
        ("2100-01-01T00:29:59+00:30", 4_102_444_799 * 10**9),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * 10**9),
        (946_684_800_000, 946_684_800 * 10**9),
        (4_102_444_799_999, 4_102_444_799_999 * 10**6),
    ],
)
def test_times_at_the_edges_are_valid(time: str | int, ns: int) -> None:
    assert decoded(event(time=time)).facts.time_ns.tolist() == [ns]


def test_texts_may_use_all_of_unicode_up_to_256_bytes() -> None:
    text = "Ł\u00a0\U0001f69a" + "x" * 248
    assert len(text.encode()) == 256
    batch = decoded(event(id=text, subject=text, service=text, attributes={"a": text}))
    assert batch.facts.service.strings() == [text]


def test_a_byte_order_mark_and_white_space_around_an_event_do_no_harm() -> None:
    payload = json.dumps(event()).encode()
    assert len(decoded(b"\xef\xbb\xbf" + payload, b" \t" + payload + b"\r\n").facts) == 2


def test_an_empty_batch_holds_nothing() -> None:
    batch = decoded()
    assert (len(batch.facts), batch.markers, batch.rejects) == (0, (), ())


def test_the_rest_of_a_batch_is_used_and_every_row_keeps_its_place() -> None:
    batch = decoded(b"{", event(id="a"), marker(), event(id="b", time="x"), event(id="c"), b"7")
    assert batch.rows.tolist() == [1, 4]
    assert [reject.index for reject in batch.rejects] == [0, 3, 5]
    assert [m.deployment for m in batch.markers] == ["d-42"]


def test_no_word_of_a_refused_event_stays_in_a_column() -> None:
    batch = decoded(event(service="x" * 999, attributes={"region": "x" * 999}), event(),
                    attributes=("region",))  # fmt: skip
    assert batch.facts.service.words == ("order-api",)
    assert batch.facts.attributes == {}


def test_batches_join_to_the_same_facts_as_one_batch() -> None:
    said = [event(id=str(i), version=str(i % 3), attributes={"a": str(i % 2)}) for i in range(9)]
    whole = decoded(*said, attributes=("a",)).facts
    parts = concat([decoded(*said[:4], attributes=("a",)).facts, decoded(*said[4:]).facts])
    assert parts.key.tolist() == whole.key.tolist()
    assert parts.content.tolist() == whole.content.tolist()
    assert parts.version.strings() == whole.version.strings()


def test_a_full_marker_comes_back_as_it_was_said() -> None:
    said = marker(
        environment="staging",
        replaces="1.41.3",
        strategy="ring",
        share=0.1,
        cohort={"warehouse": ["W1", "W2"]},
        owner="team-orders",
        runbook="https://runbooks.example/orders?" + "x" * 300,
        unknown=1,
    )
    (found,) = decoded(said).markers
    assert (found.id, found.time_ns, found.type) == ("m-1", NOON_NS, "deployment.started")
    assert (found.deployment, found.service, found.version) == ("d-42", "order-api", "1.42.0")
    assert (found.environment, found.replaces, found.strategy) == ("staging", "1.41.3", "ring")
    assert (found.share, found.cohort) == (0.1, {"warehouse": ("W1", "W2")})
    assert (found.owner, found.runbook) == ("team-orders", said["runbook"])


@pytest.mark.parametrize("kind", ["shifted", "finished", "rolled_back"])
def test_later_markers_need_no_version(kind: str) -> None:
    (found,) = decoded(marker(type=f"deployment.{kind}", version=...)).markers
    assert found.environment == "production"
    assert found.strategy == "canary"
    assert found.outcome == ("ok" if kind == "finished" else "")


@pytest.mark.parametrize(
    "strategy", ["canary", "ring", "blue_green", "rolling", "flag", "migration", "emergency"]
)
def test_every_strategy_is_known(strategy: str) -> None:
    assert decoded(marker(strategy=strategy)).markers[0].strategy == strategy
