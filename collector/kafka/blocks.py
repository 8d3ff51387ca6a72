"""Kafka's record batches as blocks of messages: the bytes are walked once, nothing is made of a
message but its value.

kafka-python makes an object with thirteen fields of every record; that costs several times as much
as all we do with it. Its fetcher is therefore given a class of ours for what it has fetched, which
hands over whole batches. That is a private place of one version: ``hand_over`` says whether it is
there, and ``from_records`` makes the same blocks of what ``poll`` gives. What a batch holds that
cannot be read is said in its block and passed by, so one damaged batch stops nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords

from analyzers.facts import Ints
from collector.decoding.faults import Fault, Reason
from collector.kafka.codecs import BrokenError, TooLargeError, unpacked

_HEADER: Final = 61  # bytes of a record batch before its records
_LOG_APPEND: Final = 1
# A checksum that fails may be the network's doing, so the batch is fetched again before it is
# given up as damaged where it lies.
_TRIES: Final = 3
_DAMAGED_MAX: Final = 1_000
_VARINT_BYTES: Final = 10
_TAKES: Final = ("_unpack_records", "_consume_aborted_transactions_up_to", "_is_batch_aborted",
                 "_contains_abort_marker", "drain", "take", "_maybe_skip_record")  # fmt: skip
_ARGUMENTS: Final = ["self", "fetch_offset", "tp", "records"]

Headers = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Block:
    """Messages of one partition that lie one after the other; ``following`` is the offset to go on
    at, also behind what gave no message (an aborted transaction, a gap of compaction). ``values``
    holds None for a tombstone; ``headers`` is by index and only of messages that have some;
    ``times_ms`` is empty unless asked for. ``fault``: the batch could not be read, and why."""

    following: int
    values: Sequence[bytes | None] = ()
    offsets: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    headers: Mapping[int, Headers] = field(default_factory=dict)
    times_ms: Sequence[int] = ()
    fault: Fault | None = None


@dataclass(slots=True)
class Appetite:
    """How much may still be taken, counted down by what takes it; ``times`` asks for them too."""

    messages: int = 0
    size: int = 0
    batch_bytes: int = 64 << 20
    times: bool = False
    damaged: dict[tuple[str, int], int] = field(default_factory=dict)


def hand_over(consumer: Any, appetite: Appetite) -> bool:
    """Whether ``consumer.poll`` gives tuples of blocks from now on, one for a partition."""
    fetcher = getattr(consumer, "_fetcher", None)
    parent = getattr(Fetcher, "PartitionRecords", None)
    if (
        not isinstance(fetcher, Fetcher)
        or parent is None
        or not all(callable(getattr(parent, name, None)) for name in _TAKES)
        or list(inspect.signature(parent.__init__).parameters)[:4] != _ARGUMENTS
    ):
        return False
    fetcher.PartitionRecords = type("PartitionBlocks", (_Blocks, parent), {"appetite": appetite})
    return True


def from_records(records: Sequence[Any]) -> tuple[Block, ...]:
    """The block of what kafka-python's own ``poll`` gave for one partition."""
    headers = {
        index: {name: value for name, value in record.headers if value is not None}
        for index, record in enumerate(records)
        if record.headers
    }
    return (
        Block(
            following=records[-1].offset + 1,
            values=[record.value for record in records],
            offsets=np.array([record.offset for record in records], np.int64),
            headers=headers,
            times_ms=[record.timestamp for record in records],
        ),
    )


class _Blocks:
    """What kafka-python's class for the fetched of one partition is given to give blocks."""

    appetite: Appetite
    record_iterator: Any
    next_fetch_offset: int
    fetch_offset: int
    bytes_read: int
    leader_epoch: int
    isolation_level: Any
    aborted_producer_ids: set[int]
    drain: Any
    _consume_aborted_transactions_up_to: Any
    _contains_abort_marker: Any
    _is_batch_aborted: Any

    def take(self, n: int | None = None) -> list[tuple[Block, ...]]:  # noqa: ARG002
        """The next blocks, as one item: ``poll`` counts items."""
        appetite = self.appetite
        found: list[Block] = []
        while self.record_iterator is not None:
            block = next(self.record_iterator, None)
            if block is None:
                break
            appetite.messages -= len(block.values)
            found.append(block)
            if appetite.messages <= 0 or appetite.size <= 0:
                break
        return [tuple(found)] if found else []

    def _maybe_skip_record(self, record: Block) -> bool:  # noqa: ARG002
        return False  # messages before the one asked for are left out of their block

    def _unpack_records(
        self, tp: Any, records: MemoryRecords, *_deserializers: Any
    ) -> Iterator[Block]:
        try:
            batch = records.next_batch()
            while batch is not None:
                whole = batch.validate_crc()
                if not whole and self._worth_fetching_again(tp, batch):
                    break
                block = self._block(f"{tp.topic}/{tp.partition}", batch, whole=whole)
                self.bytes_read += batch.size_in_bytes
                self.next_fetch_offset = block.following
                yield block
                batch = records.next_batch()
        except KafkaError:
            self.drain()  # kafka-python would ask an ended iterator for more, for ever
            raise
        self.drain()

    def _worth_fetching_again(self, tp: Any, batch: Any) -> bool:
        damaged = self.appetite.damaged
        where = (f"{tp.topic}/{tp.partition}", batch.base_offset)
        tries = damaged.pop(where, 0) + 1
        if tries < _TRIES:
            if len(damaged) >= _DAMAGED_MAX:
                damaged.clear()
            damaged[where] = tries
        return tries < _TRIES

    def _block(self, partition: str, batch: Any, *, whole: bool) -> Block:
        if batch.magic < 2:
            return _legacy(batch, partition, self.next_fetch_offset)
        following = max(batch.next_offset, self.next_fetch_offset)
        if not whole:  # even one that says it ends before it began must be passed by
            following = max(following, self.next_fetch_offset + 1)
            return Block(following, fault=_lost(batch, partition, "its checksum is wrong"))
        self.leader_epoch = batch.leader_epoch
        try:
            if self._is_dropped(batch) or batch.is_control_batch:
                return Block(following)
            return _walked(batch, self.fetch_offset, following, self.appetite)
        except TooLargeError as error:
            what = f"offsets {batch.base_offset} to {batch.last_offset} of {partition}: {error}"
            return Block(following, fault=Fault(Reason.TOO_LONG, what))
        except (BrokenError, CorruptRecordError) as error:
            return Block(following, fault=_lost(batch, partition, str(error)))

    def _is_dropped(self, batch: Any) -> bool:
        """Whether the batch belongs to a transaction that was aborted."""
        if self.isolation_level != IsolationLevel.READ_COMMITTED or not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))


def _lost(batch: Any, partition: str, why: str) -> Fault:
    what = f"offsets {batch.base_offset} to {batch.last_offset} of {partition} are lost: {why}"
    return Fault(Reason.SOURCE_LOST, what)


def _legacy(batch: Any, partition: str, first: int) -> Block:
    """The block of a batch in the format from before Kafka 0.11, read by kafka-python."""
    try:
        records = [record for record in batch if record.offset >= first]
    except Exception as error:  # noqa: BLE001  # of kafka-python or of the codec: it is damaged
        what = f"offset {first} of {partition} and those packed with it are lost: {error}"
        return Block(first + 1, fault=Fault(Reason.SOURCE_LOST, what))
    if not records:
        return Block(first)
    return Block(
        following=records[-1].offset + 1,
        values=[record.value for record in records],
        offsets=np.array([record.offset for record in records], np.int64),
        times_ms=[-1 if record.timestamp is None else record.timestamp for record in records],
    )


def _walked(batch: Any, first: int, following: int, appetite: Appetite) -> Block:
    """The messages of a batch from offset ``first`` on; BrokenError if it is not as it must be."""
    data = unpacked(
        bytes(memoryview(batch._buffer)[_HEADER:]),  # noqa: SLF001
        batch.compression_type,
        most=appetite.batch_bytes,
    )
    appetite.size -= len(data)
    try:
        values, places, headers = _walk(data, batch.records_count)
        times = _times(data, batch) if appetite.times else []
        zigzag = np.array(places, np.int64)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise BrokenError(f"a record is cut off or damaged: {error}") from error
    deltas = zigzag >> 1
    if len(deltas) and (
        (zigzag & 1).any() or deltas[-1] > batch.last_offset_delta or (np.diff(deltas) <= 0).any()
    ):
        raise BrokenError("its records do not stand in order")
    offsets = deltas + batch.base_offset
    if len(offsets) and offsets[0] < first:  # a fetch begins where a batch does, not where we asked
        begin = int(np.searchsorted(offsets, first))
        values, offsets, times = values[begin:], offsets[begin:], times[begin:]
        headers = {index - begin: each for index, each in headers.items() if index >= begin}
    return Block(following, values, offsets, headers, times)


def _walk(  # noqa: C901, PLR0912, PLR0915  # calls would double the cost
    data: bytes, count: int
) -> tuple[list[bytes | None], list[int], dict[int, dict[str, bytes]]]:
    """Values, offsets behind the first (in zigzag), and headers by index, of ``count`` records.

    A record is: length, attributes, time delta, offset delta, key, value, headers; numbers are
    zigzag varints of one to ten bytes, nearly always of one or two.
    """
    values: list[bytes | None] = []
    deltas: list[int] = []
    headers: dict[int, dict[str, bytes]] = {}
    keep, keep_delta = values.append, deltas.append
    at = 0
    for index in range(count):
        length = data[at]
        at += 1
        if length > 0x7F:
            if (byte := data[at]) < 0x80:
                length, at = (length & 0x7F) | byte << 7, at + 1
            else:
                length, at = _long(data, at, length)
        end = at + (length >> 1)
        at += 1  # attributes, unused
        while data[at] > 0x7F:  # time delta
            at += 1
        at += 1
        delta = data[at]
        at += 1
        if delta > 0x7F:
            if (byte := data[at]) < 0x80:
                delta, at = (delta & 0x7F) | byte << 7, at + 1
            else:
                delta, at = _long(data, at, delta)
        keep_delta(delta)
        size = data[at]
        at += 1
        if size != 1:  # a key: passed by
            if size > 0x7F:
                size, at = _long(data, at, size)
            at += 0 if size & 1 else size >> 1
        size = data[at]
        at += 1
        if size > 0x7F:
            if (byte := data[at]) < 0x80:
                size, at = (size & 0x7F) | byte << 7, at + 1
            else:
                size, at = _long(data, at, size)
        if size & 1:  # a negative length: no value
            keep(None)
        else:
            begin = at
            at += size >> 1
            keep(data[begin:at])
        if data[at]:
            headers[index], at = _headers(data, at, end)
        else:
            at += 1
        if at != end or length & 1:
            raise BrokenError(f"record {index} of {count} ends at byte {at} instead of {end}")
    if at != len(data):
        raise BrokenError(f"{len(data) - at} bytes follow the last of {count} records")
    return values, deltas, headers


def _long(data: bytes, at: int, first: int) -> tuple[int, int]:
    """A varint of several bytes, still in zigzag, and where it ends; ``first`` is its first."""
    byte = data[at]
    if byte < 0x80:
        return (first & 0x7F) | byte << 7, at + 1
    number, shift = first & 0x7F, 7
    for place in range(at, at + _VARINT_BYTES):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7
    raise BrokenError(f"a number at byte {at} does not end")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    first = data[at]
    number, at = (first, at + 1) if first < 0x80 else _long(data, at + 1, first)
    return (number >> 1) ^ -(number & 1), at


def _headers(data: bytes, at: int, end: int) -> tuple[dict[str, bytes], int]:
    """Headers by name, the last of a name; one without a value is left out."""
    found: dict[str, bytes] = {}
    count, at = _number(data, at)
    if not 0 <= count <= end - at:
        raise BrokenError(f"a record has {count} headers")
    for _ in range(count):
        size, at = _number(data, at)
        if size < 0:
            raise BrokenError("a header has no name")
        name, at = data[at : at + size].decode(), at + size
        size, at = _number(data, at)
        if size >= 0:
            found[name] = data[at : at + size]
            at += size
        if at > end:
            raise BrokenError("a header is longer than its record")
    return found, at


def _times(data: bytes, batch: Any) -> list[int]:
    """When each record was made, in epoch milliseconds, of data that has been walked."""
    if batch.timestamp_type == _LOG_APPEND:
        return [batch.max_timestamp] * max(batch.records_count, 0)
    times = []
    at = 0
    for _ in range(batch.records_count):
        length, at = _number(data, at)
        delta, _ = _number(data, at + 1)
        times.append(batch.first_timestamp + delta)
        at += length
    return times
