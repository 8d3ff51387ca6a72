"""A request's body becomes payloads: read within limits, unpacked, cut up, nothing lost."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.posted.bodies import (
    BodyBrokenError,
    BodyTooLargeError,
    BodyTooManyError,
    Shape,
    Unpacker,
    discard,
    split,
)


def cut(body: bytes, *, shape: Shape = Shape.UNKNOWN, line_bytes: int = 99) -> list[bytes]:
    return split(body, shape=shape, line_bytes=line_bytes, most=1000)


def unpack(*chunks: bytes, limit: int = 1000, zipped: bool = True) -> bytes:
    unpacker = Unpacker(limit=limit, gzip=zipped)
    for chunk in chunks:
        unpacker.feed(chunk)
    return unpacker.finish()


@pytest.mark.parametrize(
    ("body", "payloads"),
    [
        (b"", []),
        (b" \r\n\t\n", []),
        (b"[]", []),
        (b'{"a":1}', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":1},\n {"b":\n2}]', [b'{"a":1}', b'{"b": 2}']),
        (b'{\n  "a": 1\n}\n', [b'{   "a": 1 }']),
        (b'\xef\xbb\xbf{"a":1}', [b'{"a":1}']),
        (b"nonsense\nmore", [b"nonsense", b"more"]),
        (b'{"a":\n{"b":2}\n', [b'{"a":', b'{"b":2}']),
    ],
)
def test_lines_arrays_and_single_objects_become_payloads(
    body: bytes, payloads: list[bytes]
) -> None:
    assert cut(body) == payloads


@pytest.mark.parametrize(
    ("body", "payloads"),
    [
        (b'[{"a":1},{"b":NaN},{"c":3}]', [b'{"a":1}', b'{"b":NaN}', b'{"c":3}']),
        (b'[{"a":1},{"b":2,},{"c":3}]', [b'{"a":1}', b'{"b":2,}', b'{"c":3}']),
        (b'[{"a":1},{"b":"x],}', [b'{"a":1}', b'{"b":"x],}']),
        (b'[{"a":1},{"b":[1,2', [b'{"a":1}', b'{"b":[1,2']),
        (b'[{"a":1}},{"b":2}]', [b'{"a":1}}', b'{"b":2}']),
        (b'[{"a":1}] left over', [b'{"a":1}', b"left over"]),
        (b"[,,]", []),
        (b"[" * 5000, [b"[" * 100]),
    ],
)
def test_a_broken_array_loses_only_its_broken_element(body: bytes, payloads: list[bytes]) -> None:
    assert cut(body) == payloads


def test_a_body_said_to_be_lines_is_never_read_as_an_array() -> None:
    assert cut(b'["a"]\n{"b":1}', shape=Shape.LINES) == [b'["a"]', b'{"b":1}']


def test_an_overlong_payload_keeps_one_byte_more_than_the_limit() -> None:
    assert cut(b"x" * 50 + b"\n" + b"y" * 10, line_bytes=10) == [b"x" * 11, b"y" * 10]


def test_more_payloads_than_can_ever_wait_are_refused() -> None:
    with pytest.raises(BodyTooManyError, match="more than 3 events; send smaller batches"):
        split(b"1\n2\n3\n4\n", shape=Shape.LINES, line_bytes=9, most=3)


@given(
    events=st.lists(
        st.dictionaries(
            st.text(max_size=5), st.text(max_size=9) | st.floats(allow_nan=False) | st.none()
        )
    ),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_and_its_lines_give_equal_events(
    events: list[dict[str, object]], indent: int | None
) -> None:
    array = json.dumps(events, indent=indent).encode()
    lines = "\n".join(json.dumps(event) for event in events).encode()
    whole = 1 << 20
    assert [json.loads(payload) for payload in cut(array, line_bytes=whole)] == [
        json.loads(payload) for payload in cut(lines, line_bytes=whole)
    ]


@given(st.binary(max_size=300), st.sampled_from(list(Shape)))
def test_any_bytes_become_payloads_without_line_breaks(body: bytes, shape: Shape) -> None:
    for payload in cut(body, shape=shape):
        assert payload
        assert b"\n" not in payload
        assert b"\r" not in payload


def test_a_gzip_body_may_come_in_pieces_and_in_several_members() -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    assert unpack(*(body[i : i + 3] for i in range(0, len(body), 3))) == b"one two"


def test_a_body_without_any_bytes_is_empty_even_if_called_gzip() -> None:
    assert unpack(b"") == b""


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused_early() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    unpacker = Unpacker(limit=1000, gzip=True)
    with pytest.raises(BodyTooLargeError, match="over 1000 bytes once unpacked"):
        unpacker.feed(bomb)
    assert unpacker.size == 1001


def test_a_plain_body_is_refused_at_the_chunk_that_passes_the_limit() -> None:
    with pytest.raises(BodyTooLargeError, match=r"over 5 bytes; .* raise limits\.body_bytes"):
        unpack(b"abc", b"def", limit=5, zipped=False)


def test_a_declared_size_over_the_limit_is_refused_before_reading() -> None:
    with pytest.raises(BodyTooLargeError, match="over 5 bytes"):
        Unpacker(limit=5, gzip=False).expect(6)


@pytest.mark.parametrize("body", [b"not gzip at all", gzip.compress(b"abc") + b"rubbish"])
def test_damaged_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(BodyBrokenError, match="not valid gzip"):
        unpack(body)


def test_gzip_that_is_cut_off_is_refused() -> None:
    with pytest.raises(BodyBrokenError, match="cut off after"):
        unpack(gzip.compress(b"abc" * 100)[:-4])


def test_discarding_reads_on_to_the_end_but_not_for_ever() -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 10

    asyncio.run(discard(chunks(), limit=95))
    assert read == 10
