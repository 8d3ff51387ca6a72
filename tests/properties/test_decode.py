"""What holds for every batch that decode is given: nothing lost, nothing made up, no error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.facts import Marker
from analyzers.policy import Limits
from collector.decoding import digests, times
from collector.decoding.decode import VALUE_END, decode
from collector.decoding.faults import Fault, Reason
from collector.decoding.said import Said
from tests.payloads import decoded, event, marker

MARK = b"\xef\xbb\xbf"  # makes decode take its slow way to the same JSON

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=64)
named = words.filter(bool)
moments = st.datetimes(
    datetime(2000, 1, 2),  # noqa: DTZ001 - the zones are drawn below
    datetime(2099, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC)
    | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
events = st.fixed_dictionaries(
    {
        "id": named,
        "time": moments.map(datetime.isoformat)
        | st.integers(times.FIRST_NS // 10**6, times.END_NS // 10**6 - 1),
        "type": named.filter(lambda word: not word.startswith("deployment.")),
        "service": named,
    },
    optional={
        "environment": named,
        "version": words,
        "track": st.sampled_from(["", "canary", "baseline"]),
        "outcome": named,
        "value": st.floats(-VALUE_END, VALUE_END, exclude_min=True, exclude_max=True)
        | st.integers(-(10**9), 10**9),
        "subject": words,
        "ref": words,
        "synthetic": st.booleans(),
        "attributes": st.dictionaries(
            named.filter(lambda name: len(name.encode()) <= 64), words, max_size=8
        ),
        "unknown": st.recursive(st.none() | words, st.lists, max_leaves=5),
    },
)
loose_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
names = st.sampled_from([*Said.__struct_fields__, *Marker.__struct_fields__])
# One valid event or marker with some of its fields replaced by anything.
near_misses = st.builds(
    lambda whole, changes: json.dumps(whole | changes).encode(),
    st.just(event()) | st.just(marker()) | events,
    st.dictionaries(names, loose_json, max_size=2),
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A valid event or marker as bytes, with a few of them replaced, removed or added."""
    payload = json.dumps(draw(st.just(event()) | st.just(marker()) | events)).encode()
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(payload)))
        end = draw(st.integers(begin, min(begin + 4, len(payload))))
        payload = payload[:begin] + draw(st.binary(max_size=3)) + payload[end:]
    return payload


anything = st.binary(max_size=60) | near_misses | mutants()


@settings(max_examples=100)
@given(st.lists(anything, max_size=6))
def test_every_payload_is_exactly_one_fact_marker_or_reject(payloads: list[bytes]) -> None:
    batch = decode(payloads, attributes=frozenset({"region"}), limits=Limits())
    rejected = [reject.index for reject in batch.rejects]
    assert len(batch.facts) + len(batch.markers) + len(rejected) == len(payloads)
    assert rejected == sorted(set(rejected))
    assert batch.rows.tolist() == sorted(set(batch.rows.tolist()) - set(rejected))
    assert len(batch.rows) == len(batch.facts)
    assert {reject.reason for reject in batch.rejects} <= {reason.value for reason in Reason}
    for column in (batch.facts.service, batch.facts.outcome, *batch.facts.attributes.values()):
        assert len(set(column.words)) == len(column.words)
        assert len(column) == len(batch.facts)


@settings(max_examples=100)
@given(st.lists(anything, min_size=1, max_size=6))
def test_what_becomes_of_a_payload_does_not_depend_on_its_batch(payloads: list[bytes]) -> None:
    whole = decode(payloads, attributes=frozenset(), limits=Limits())
    alone = [decode([payload], attributes=frozenset(), limits=Limits()) for payload in payloads]
    assert whole.markers == tuple(found for batch in alone for found in batch.markers)
    assert [(r.reason, r.detail, r.key, r.time_ns) for r in whole.rejects] == [
        (r.reason, r.detail, r.key, r.time_ns) for batch in alone for r in batch.rejects
    ]
    assert whole.facts.key.tolist() == [key for b in alone for key in b.facts.key.tolist()]
    assert whole.facts.content.tolist() == [c for b in alone for c in b.facts.content.tolist()]


@settings(max_examples=80)
@given(st.lists(events, min_size=1, max_size=5))
def test_valid_events_come_back_as_they_were_said(said: list[dict[str, Any]]) -> None:
    asked = {name for one in said for name in one.get("attributes", {})}
    batch = decoded(*said, attributes=tuple(asked))
    assert not batch.rejects
    facts = batch.facts
    for row, one in enumerate(said):
        assert facts.time_ns[row] == reference_ns(one["time"])
        for name, default in (("type", ""), ("service", ""), ("environment", "production"),
                              ("version", ""), ("track", ""), ("outcome", "ok")):  # fmt: skip
            assert getattr(facts, name).strings()[row] == one.get(name, default)
        value = one.get("value", np.nan)
        assert facts.value[row] == value or (np.isnan(value) and np.isnan(facts.value[row]))
        where = (one.get("environment", "production"), one["service"])
        assert tuple(facts.key[row].tolist()) == digests.key(*where, one["id"])
        ref = digests.key(*where, one["ref"]) if one.get("ref") else (0, 0)
        assert tuple(facts.ref[row].tolist()) == ref
        assert (facts.subject[row] != 0) == bool(one.get("subject"))
        assert facts.synthetic[row] == one.get("synthetic", False)
        for name, column in facts.attributes.items():
            assert column.strings()[row] == one.get("attributes", {}).get(name, "")


@settings(max_examples=80)
@given(events | near_misses.map(json.loads))
def test_the_quick_and_the_slow_way_read_the_same(said: Any) -> None:
    payload = json.dumps(said).encode()
    quick, slow = decoded(payload), decoded(MARK + payload)
    assert quick.facts.content.tolist() == slow.facts.content.tolist()
    assert quick.facts.key.tolist() == slow.facts.key.tolist()
    assert quick.markers == slow.markers
    assert [r.reason for r in quick.rejects] == [r.reason for r in slow.rejects]


@settings(max_examples=100)
@given(
    st.from_regex(
        r"(1999|20[0-9]{2}|2100)-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
        r"(\.[0-9]{0,10})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?",
        fullmatch=True,
    )
)
def test_a_column_of_times_reads_what_one_time_reads(text: str) -> None:
    time_ns, odd = times.parse_column([text, "2026-05-21T12:00:00Z", text])
    assert odd[0] == odd[2]
    if not odd[0]:
        assert times.parse(text) == time_ns[0] == time_ns[2]
    alone = times.parse(text)
    assert isinstance(alone, Fault) or alone == reference_ns(text)


def reference_ns(time: str | int) -> int:
    """Nanoseconds since 1970 by the standard library, to a microsecond, the rest added by hand."""
    if isinstance(time, int):
        return time * 10**6
    moment = datetime.fromisoformat(time.upper())
    fraction = time.partition(".")[2].rstrip("Zz").partition("+")[0].partition("-")[0]
    whole = (moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        seconds=1
    )
    return whole * 10**9 + int(fraction.ljust(9, "0") or 0)
