"""Kafka messages as lines: ordinary ones as they are, all others so that nothing breaks a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given

from collector.decoding import refused
from collector.decoding.faults import Fault, Reason
from collector.kafka.blocks import Block
from collector.kafka.lines import Lines
from collector.source import Form, Formed, Message

PLACE = "orders~0a1b2c3d/3"


def gathered(
    *values: bytes | None,
    headers: Mapping[int, Mapping[str, bytes]] | None = None,
    form: Form | None = None,
    most_bytes: int = 1_000,
    times_ms: Sequence[int] = (),
) -> Lines:
    lines = Lines()
    offsets = 100 + np.arange(len(values), dtype=np.int64)
    block = Block(100 + len(values), values, offsets, headers or {}, times_ms)
    lines.add(block, place=PLACE, form=form, most_bytes=most_bytes)
    return lines


def test_ordinary_messages_are_handed_on_as_they_are() -> None:
    lines = gathered(b'{"a":1}', b'{"b":2}', headers={1: {"traceparent": b"00-1"}})
    assert lines.payloads == [b'{"a":1}', b'{"b":2}']
    assert lines.places.tolist() == [100, 101]
    assert not lines.ignored


def test_tombstones_and_empty_messages_are_ignored_and_counted() -> None:
    lines = gathered(b'{"a":1}', None, b"", b" \n\t", b"\xef\xbb\xbf", b'{"b":2}')
    assert lines.payloads == [b'{"a":1}', b'{"b":2}']
    assert lines.places.tolist() == [100, 105]
    assert lines.ignored == {"tombstone": 1, "empty": 3}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{\n  "a": 1\r\n}', [b'{   "a": 1  }']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":1},\n {"b":\n2}]', [b'{"a":1}', b'{"b": 2}']),
        (b"no json\nat all", [b"no json at all"]),
        (b'{"a":1}\nrest', [b'{"a":1}', b"rest"]),
        (b"x" * 1_001, [b"x" * 1_001]),
        (b"x" * 5_000, [b"x" * 1_001]),
        (b'{"a":"' + b"x" * 5_000, [(b'{"a":"' + b"x" * 5_000)[:1_001]]),
    ],
)
def test_a_message_becomes_one_line_for_each_event_in_it(
    value: bytes, expected: list[bytes]
) -> None:
    lines = gathered(value)
    assert lines.payloads == expected
    assert lines.places.tolist() == [100] * len(expected)


def test_a_message_of_far_too_many_events_is_refused_as_one() -> None:
    (line,) = gathered(b"[" + b"1," * 10_000 + b"1]").payloads
    found = refused.read(line)
    assert found is not None
    assert found.fault == Fault(Reason.TOO_LONG, "one Kafka message has more than 10000 events")


def test_a_cloudevent_in_binary_mode_becomes_one_in_structured_mode() -> None:
    headers = {
        "ce_specversion": b"1.0",
        "ce_type": b"order.submitted",
        "ce_id": b"7",
        "ce_source": b"/shop/\xff",
        "content-type": b"application/json; charset=utf-8",
        "other": b"no",
    }
    lines = gathered(b'{"service":\n"shop"}', b'{"plain":1}', headers={0: headers})
    assert msgspec.json.decode(lines.payloads[0]) == {
        "specversion": "1.0",
        "type": "order.submitted",
        "id": "7",
        "source": "/shop/\ufffd",
        "datacontenttype": "application/json; charset=utf-8",
        "data": {"service": "shop"},
    }
    assert b"\n" not in lines.payloads[0]
    assert lines.payloads[1] == b'{"plain":1}'


def test_a_cloudevent_in_structured_mode_stays_as_it_is() -> None:
    value = b'{"specversion":"1.0","data":{}}'
    headers = {
        "content-type": b"application/cloudevents+json; charset=utf-8",
        "ce_specversion": b"1.0",
    }
    assert gathered(value, headers={0: headers}).payloads == [value]


def test_a_form_is_given_the_message_with_its_place_headers_and_time() -> None:
    seen: list[Message] = []

    def form(message: Message) -> Formed:
        seen.append(message)
        assert message.payload is not None
        if message.payload == b"no":
            return Formed(ignored="not_wanted")
        return Formed([message.payload + b"\n1", message.payload * 2_000])

    lines = gathered(b"ab", None, b"no", headers={0: {"h": b"1"}}, form=form, times_ms=[5, 6, -1])
    assert seen == [
        Message(b"ab", f"{PLACE}@100", {"h": b"1"}, 5),
        Message(b"no", f"{PLACE}@102", {}, None),
    ]
    assert lines.payloads == [b"ab 1", (b"ab" * 2_000)[:1_001]]
    assert lines.places.tolist() == [100, 100]
    assert lines.ignored == {"tombstone": 1, "not_wanted": 1}


def test_a_batch_that_could_not_be_read_is_a_line_that_says_so() -> None:
    lines = Lines()
    fault = Fault(Reason.SOURCE_LOST, "offsets 7 to 9 of orders/3 are lost: gzip: cut off")
    lines.add(Block(10, fault=fault), place=PLACE, form=None, most_bytes=99)
    found = refused.read(lines.payloads[0])
    assert found is not None
    assert found.fault == fault
    assert lines.places.tolist() == [9]


header_maps = st.dictionaries(
    st.sampled_from(["ce_specversion", "ce_id", "ce_", "ce_\n", "content-type", "x"])
    | st.text(max_size=9),
    st.binary(max_size=20) | st.sampled_from([b"1.0", b"application/json"]),
)
messages = st.lists(
    st.tuples(
        st.none()
        | st.binary(max_size=60)
        | st.sampled_from([b"[" * 50, b'{"a":1}\n{}', b"[1,2", b'[{"a":"', b"\n\r\n", b'"\xff"']),
        header_maps,
    ),
    max_size=8,
)


@given(messages, st.integers(1, 40))
def test_any_bytes_are_lines_within_the_limit_or_ignored(
    given_messages: list[tuple[bytes | None, dict[str, bytes]]], most_bytes: int
) -> None:
    values = [value for value, _ in given_messages]
    headers = {at: each for at, (_, each) in enumerate(given_messages) if each}
    lines = gathered(*values, headers=headers, most_bytes=most_bytes)
    assert len(lines.payloads) == len(lines.places)
    assert all(len(line) <= most_bytes + 1 for line in lines.payloads)
    assert not any(b"\n" in line or b"\r" in line for line in lines.payloads)
    assert lines.ignored["tombstone"] == values.count(None)
    known = set(lines.places.tolist())
    quiet = sum(100 + at not in known for at in range(len(values)))
    assert lines.ignored.total() == quiet
