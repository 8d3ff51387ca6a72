"""From a real Kafka broker to cells: what reading costs, by which client.

Sketch, a message of 270 bytes on one core: kafka-python makes an object of thirteen fields of it,
9 us; walking its record batch and keeping the value alone 0.7 us; librdkafka hands over a message
object in 1 us, from threads of its own. Decoding and folding cost 2 us and more whoever has read.
Measured on 2 shared, noisy cores, without compression and with lz4: read by kafka-python 9.8 and
9.5 us, by us 3.0 and 2.4, by confluent-kafka 2.0 and 2.3; to cells 12.5 and 12.5, 5.6 and 5.1, 5.4
and 5.3. A second client would have to be twice as fast to be worth having; there is none.

One run: ``--rounds`` rounds in which every client reads the same topic of ``--partitions`` from its
beginning to its end, in processes' CPU time with all threads, medians over the rounds. Reading
alone ends at lines for ``decode``; the whole goes on to cells. The proof that a topic was not made
anew, one request for each batch, is part of ours.

Run: ``python -m benchmarks.bench_kafka`` (Java and Maven are needed; ``confluent-kafka`` is
measured where it is installed).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from analyzers.folding.cells import fold
from analyzers.policy import Limits
from benchmarks.tenant_orders import Load, job
from collector.decoding.decode import decode
from collector.kafka import client as kafka_client
from collector.kafka.blocks import Block
from collector.kafka.lines import Lines
from collector.kafka.settings import KafkaSettings
from collector.kafka.source import KafkaSource
from tests.kafka_broker import Broker

TOPIC: Final = "orders"
EVENTS: Final = 16_384  # what the engine asks a source for at once
POLICY: Final = job()
LIMITS: Final = Limits()

Batches = Callable[[Broker, argparse.Namespace], Iterator[list[bytes]]]


def ours(broker: Broker, asked: argparse.Namespace) -> Iterator[list[bytes]]:
    """Lines as our source gives them."""
    settings = KafkaSettings("bench", (broker.address,), (TOPIC,), group="")
    source = KafkaSource(settings, line_bytes=LIMITS.line_bytes, clock=time.monotonic)
    source.open({})
    try:
        seen = 0
        while seen < asked.events:
            batch = source.poll(events=EVENTS, wait_s=1)
            seen += len(batch)
            yield [line for part in batch.parts for line in part.payloads]
    finally:
        source.close()


def ours_without_blocks(broker: Broker, asked: argparse.Namespace) -> Iterator[list[bytes]]:
    """Lines of our source where kafka-python's private place is not there."""
    with mock.patch.object(kafka_client, "hand_over", return_value=False):
        yield from ours(broker, asked)


def kafka_python(broker: Broker, asked: argparse.Namespace) -> Iterator[list[bytes]]:
    """Values as kafka-python gives them, with nothing done to them."""
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest",
                             max_poll_records=EVENTS)  # fmt: skip
    consumer.assign([TopicPartition(TOPIC, number) for number in range(asked.partitions)])
    try:
        seen = 0
        while seen < asked.events:
            found = consumer.poll(timeout_ms=1_000)
            lines = [record.value for records in found.values() for record in records]
            seen += len(lines)
            yield lines
    finally:
        consumer.close()


def confluent(broker: Broker, asked: argparse.Namespace) -> Iterator[list[bytes]]:
    """Lines made by our own means of what confluent-kafka gives."""
    client: Any = importlib.import_module("confluent_kafka")
    consumer = client.Consumer({"bootstrap.servers": broker.address, "group.id": "bench",
                         "enable.auto.commit": False, "auto.offset.reset": "error"})  # fmt: skip
    consumer.assign([client.TopicPartition(TOPIC, number, 0) for number in range(asked.partitions)])
    try:
        seen = 0
        while seen < asked.events:
            messages = consumer.consume(EVENTS, timeout=0.1)
            by_partition: dict[Any, list[Any]] = defaultdict(list)
            for message in messages:
                assert message.error() is None
                by_partition[message.partition()].append(message)
            lines = Lines()
            for number, those in by_partition.items():
                headers = {at: dict(found) for at, each in enumerate(those)
                           if (found := each.headers())}  # fmt: skip
                offsets = np.array([each.offset() for each in those], np.int64)
                values = [each.value() for each in those]
                block = Block(int(offsets[-1]) + 1, values, offsets, headers)
                lines.add(block, place=f"{TOPIC}/{number}", form=None,
                          most_bytes=LIMITS.line_bytes)  # fmt: skip
            seen += len(lines.payloads)
            yield lines.payloads
    finally:
        consumer.close()


def to_cells(lines: list[bytes]) -> None:
    """Decodes and folds a batch."""
    batch = decode(lines, attributes=POLICY.attributes(), limits=LIMITS)
    assert len(batch.facts) == len(lines)
    fold(batch.facts, (), POLICY, open_from=0)


def spent(client: Batches, broker: Broker, asked: argparse.Namespace, *, whole: bool) -> Any:
    """CPU and wall microseconds an event."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    seen = 0
    for lines in client(broker, asked):
        seen += len(lines)
        if whole and lines:
            to_cells(lines)
    assert seen == asked.events, (client.__name__, seen)
    scale = 1e6 / seen
    return (time.process_time() - cpu) * scale, (time.perf_counter() - wall) * scale


def fill(broker: Broker, asked: argparse.Namespace) -> None:
    """Sends the events, evenly over the partitions."""
    broker.create(TOPIC, asked.partitions)
    load = Load(batch=1_000, keys=10_000, rate=5_000)
    batches = islice(load.batches(), asked.events // 1_000)
    with broker.producer(compression_type=asked.codec, linger_ms=20) as producer:
        for number, lines in enumerate(batches):
            for line in lines:
                producer.send(TOPIC, line, partition=number % asked.partitions)


def main() -> None:
    parser = argparse.ArgumentParser(description="From a Kafka broker to cells.")
    parser.add_argument("--events", type=int, default=300_000, help="a multiple of 1000")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--codec", choices=["gzip", "snappy", "lz4", "zstd"], default=None)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    clients: dict[str, Batches] = {
        "kafka-python poll()": kafka_python,
        "ours, without blocks": ours_without_blocks,
        "ours": ours,
    }
    if importlib.util.find_spec("confluent_kafka") is None:
        print("confluent-kafka is not installed: not measured")
    else:
        clients["confluent-kafka"] = confluent
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        try:
            broker.start()
            fill(broker, asked)
            for _ in range(asked.rounds):
                for name, client in clients.items():
                    for whole in (False, True):
                        label = f"{name}, to cells" if whole else f"{name}, read"
                        times[label].append(spent(client, broker, asked, whole=whole))
        finally:
            broker.kill()
    print(f"{platform.machine()}, Python {platform.python_version()}; {asked.events:,} events in "
          f"{asked.partitions} partitions, compression {asked.codec}, "
          f"median of {asked.rounds} rounds")  # fmt: skip
    print(f"{'':34}{'CPU us':>9}{'events/s':>13}{'of ours':>9}{'wall us':>9}")
    for suffix in ("read", "to cells"):
        against = statistics.median(cpu for cpu, _ in times[f"ours, {suffix}"])
        for name in clients:
            found = times[f"{name}, {suffix}"]
            cpu = statistics.median(each for each, _ in found)
            wall = statistics.median(each for _, each in found)
            print(f"{name + ', ' + suffix:34}{cpu:>9.2f}{1e6 / cpu:>13,.0f}{cpu / against:>9.2f}"
                  f"{wall:>9.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
