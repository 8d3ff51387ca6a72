"""Record batches as blocks: equal to what kafka-python's own reading gives, whatever is in them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import kafka.codec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from collector.decoding.faults import Reason
from collector.kafka.blocks import Appetite, Block, _Blocks, from_records
from collector.kafka.codecs import BrokenError, TooLargeError, unpacked

WHERE = TopicPartition("orders", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CRC_AT, ATTRIBUTES_AT, HEADER = 17, 21, 61
PLENTY = 1 << 30

Record = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
binary = st.binary(max_size=300)
records_lists = st.lists(
    st.tuples(
        st.integers(0, 2**41),
        st.none() | binary,
        st.none() | binary,
        st.lists(st.tuples(st.text(max_size=20), st.none() | binary), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


def batch_of(records: Sequence[Record], *, codec: int = 0, offset: int = 0, **how: Any) -> bytes:
    """A record batch as a broker gives it: it knows its first offset, which no checksum covers."""
    builder = MemoryRecordsBuilder(2, codec, 1 << 30, **how)
    for time_ms, key, value, headers in records:
        assert builder.append(time_ms, key, value, headers) is not None
    builder.close()
    return struct.pack(">q", offset) + bytes(builder.buffer())[8:]


def values_of(*values: bytes | None) -> list[Record]:
    return [(1_000 + n, None, value, []) for n, value in enumerate(values)]


def signed(batch: bytes) -> bytes:
    """The batch with the checksum that it ought to have."""
    checksum = struct.pack(">I", calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))
    return batch[:CRC_AT] + checksum + batch[ATTRIBUTES_AT:]


def fetched(data: bytes, first: int, appetite: Appetite | None, **how: Any) -> Any:
    """What was fetched of a partition, read by kafka-python or by us."""
    parent: Any = Fetcher.PartitionRecords
    made = parent if appetite is None else type("Ours", (_Blocks, parent), {"appetite": appetite})
    how = {"isolation_level": IsolationLevel.READ_COMMITTED} | how
    return made(first, WHERE, MemoryRecords(data), **how)


def blocks(
    data: bytes, first: int = 0, appetite: Appetite | None = None, **how: Any
) -> list[Block]:
    appetite = appetite or Appetite(PLENTY, PLENTY, times=True)
    taken = fetched(data, first, appetite, **how).take()
    return list(taken[0]) if taken else []


def told(found: Sequence[Block]) -> list[tuple[int, bytes | None, dict[str, bytes], int]]:
    return [
        (int(block.offsets[at]), block.values[at], dict(block.headers.get(at, {})),
         block.times_ms[at])
        for block in found
        for at in range(len(block.values))
    ]  # fmt: skip


def told_by_kafka_python(data: bytes, first: int, **how: Any) -> tuple[list[Any], int]:
    part = fetched(data, first, None, **how)
    return [
        (record.offset, record.value, {n: v for n, v in record.headers if v is not None},
         record.timestamp)
        for record in part.take()
    ], part.next_fetch_offset  # fmt: skip


@given(st.lists(records_lists, min_size=1, max_size=4), st.sampled_from(sorted(CODECS)), st.data())
def test_blocks_hold_exactly_what_kafka_python_reads(
    lists: list[list[Record]], codec: str, data: st.DataObject
) -> None:
    offset, parts = 5, []
    for records in lists:
        parts.append(batch_of(records, codec=CODECS[codec], offset=offset))
        offset += len(records) + 2
    first = data.draw(st.integers(5, offset))
    expected, following = told_by_kafka_python(b"".join(parts), first)
    found = blocks(b"".join(parts), first)
    assert told(found) == expected
    assert found[-1].following == max(following, first)


@given(records_lists)
def test_records_of_an_ordinary_poll_become_the_same_block(records: list[Record]) -> None:
    data = batch_of(records, offset=7)
    ordinary = fetched(data, 7, None).take()
    assert told(from_records(ordinary)) == told(blocks(data, 7))
    assert from_records(ordinary)[0].following == 7 + len(records)


def test_an_aborted_transaction_and_its_marker_give_no_message_but_move_on() -> None:
    class Aborted:
        first_offset = 0
        producer_id = 9

    how = {"transactional": True, "producer_id": 9, "producer_epoch": 0, "base_sequence": 0}
    control = signed(bytearray_with_attributes(batch_of(
        [(1, struct.pack(">hh", 0, 0), b"\0" * 6, [])], offset=2, **how), 0x30))  # fmt: skip
    data = (
        batch_of(values_of(b"a", b"b"), offset=0, **how)
        + control
        + batch_of(values_of(b"c"), offset=3, **(how | {"base_sequence": 2}))
    )
    options: dict[str, Any] = {"aborted_transactions": [Aborted()]}
    expected, following = told_by_kafka_python(data, 0, **options)
    found = blocks(data, 0, **options)
    assert told(found) == expected
    assert [block.following for block in found] == [2, 3, 4]
    assert following == 4
    unread = blocks(data, 0, **options, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    assert [value for _, value, _, _ in told(unread)] == [b"a", b"b", b"c"]


def bytearray_with_attributes(batch: bytes, attributes: int) -> bytes:
    return batch[:ATTRIBUTES_AT] + struct.pack(">h", attributes) + batch[ATTRIBUTES_AT + 2 :]


def test_no_more_is_taken_than_there_is_appetite_for() -> None:
    data = b"".join(batch_of(values_of(*[b"x"] * 10), offset=10 * n) for n in range(5))
    appetite = Appetite(25, PLENTY)
    part = fetched(data, 0, appetite)
    assert [block.following for block in part.take()[0]] == [10, 20, 30]
    assert part.next_fetch_offset == 30
    appetite.messages = 5
    assert [block.following for block in part.take()[0]] == [40]
    appetite.messages, appetite.size = 1_000, 1
    assert [block.following for block in part.take()[0]] == [50]
    assert part.take() == []
    assert not part


def test_a_batch_with_a_wrong_checksum_is_fetched_again_and_then_passed_by() -> None:
    good = batch_of(values_of(b"a"), offset=0)
    bad = bytearray(batch_of(values_of(b"b", b"c"), offset=1))
    bad[-3] ^= 1
    data = good + bytes(bad) + batch_of(values_of(b"d"), offset=3)
    appetite = Appetite(PLENTY, PLENTY)
    for _ in range(2):
        found = blocks(data, 0, appetite)
        assert [block.following for block in found] == [1]
        assert [block.fault for block in found] == [None]
    found = blocks(data, 0, appetite)
    assert [block.following for block in found] == [1, 3, 4]
    assert found[1].fault is not None
    assert found[1].fault.reason is Reason.SOURCE_LOST
    assert found[1].fault.what == "offsets 1 to 2 of orders/3 are lost: its checksum is wrong"
    repaired = batch_of(values_of(b"b", b"c"), offset=1)
    assert [value for _, value, _, _ in told(blocks(repaired, 1))] == [b"b", b"c"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_unpacks_to_too_much_is_one_refused_line(codec: str) -> None:
    bomb = batch_of(values_of(bytes(1 << 20), bytes(1 << 20)), codec=CODECS[codec], offset=40)
    found = blocks(
        bomb + batch_of(values_of(b"a"), offset=42), 40, Appetite(99, PLENTY, batch_bytes=1 << 20)
    )
    assert [block.following for block in found] == [42, 43]
    fault = found[0].fault
    assert fault is not None
    assert fault.reason is Reason.TOO_LONG
    assert fault.what == "offsets 40 to 41 of orders/3: unpacks to more than 1048576 bytes"
    assert found[1].values == [b"a"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
       st.sampled_from(sorted(CODECS)), records_lists)  # fmt: skip
def test_damage_behind_a_right_checksum_raises_nothing_and_moves_on(
    damage: list[tuple[int, int]], codec: str, records: list[Record]
) -> None:
    batch = bytearray(batch_of(records, codec=CODECS[codec], offset=11))
    for at, byte in damage:
        batch[HEADER + at % (len(batch) - HEADER)] = byte
    found = blocks(signed(bytes(batch)), 11)
    assert [block.following for block in found] == [11 + len(records)]
    if found[0].fault is None:
        assert (np.diff(found[0].offsets) > 0).all()
    else:
        assert found[0].fault.reason is Reason.SOURCE_LOST


@given(st.binary(max_size=200), st.integers(-5, 2**31 - 1))
def test_any_bytes_with_any_count_of_records_raise_nothing(data: bytes, count: int) -> None:
    batch = bytearray(batch_of(values_of(b"a"), offset=11)[:HEADER] + data)
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">i", batch, 57, count)
    (found,) = blocks(signed(bytes(batch)), 11)
    assert found.following == 12


@given(st.binary(max_size=300), st.integers(1, 7))
def test_any_bytes_in_any_compression_are_data_or_broken(data: bytes, codec: int) -> None:
    try:
        assert len(unpacked(data, codec, most=1_000)) <= 1_000
    except (BrokenError, TooLargeError) as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_compression_is_undone_up_to_its_very_limit(codec: str) -> None:
    data = bytes(range(256)) * 40
    packed = bytes(getattr(kafka.codec, f"{codec}_encode")(data))
    assert unpacked(packed, CODECS[codec], most=len(data)) == data
    with pytest.raises(TooLargeError, match="unpacks to more than 10239 bytes"):
        unpacked(packed, CODECS[codec], most=len(data) - 1)
    if codec != "zstd":  # whose reader ends where its input does: the records are too few then
        with pytest.raises(BrokenError, match=codec):
            unpacked(packed[: len(packed) // 2], CODECS[codec], most=len(data))


def test_parts_that_follow_one_another_are_all_undone() -> None:
    assert unpacked(gzip.compress(b"ab") + gzip.compress(b"c"), 1, most=3) == b"abc"
    packed = zstandard.compress(b"ab") + zstandard.compress(b"c")
    assert unpacked(packed, 4, most=3) == b"abc"
    plain = kafka.codec.snappy_encode(b"abc", xerial_compatible=False)
    assert unpacked(plain, 2, most=3) == b"abc"
    with pytest.raises(BrokenError, match="unknown compression 7"):
        unpacked(b"abc", 7, most=3)
