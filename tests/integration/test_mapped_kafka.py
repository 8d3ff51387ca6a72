"""A configured source against a real broker: foreign messages become events, check connects."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.kafka.settings import KafkaSettings
from collector.kafka.source import KafkaSource
from pipeline.config import parse
from pipeline.config.check import check
from tests.kafka_broker import PASSWORD, USER, Broker
from tests.kafka_taken import SWEPT

pytestmark = [pytest.mark.integration, *SWEPT]

MAP = """
    map:
      where: {art: AUFTRAG}
      time: {from: $timestamp, format: epoch_ms}
      type: {constant: order.submitted}
      service: {constant: erp}
      version: $header.release
      subject: $topic
"""
PATIENCE_S = 60.0
SASL = f"{{protocol: SASL_PLAINTEXT, mechanism: PLAIN, username: {USER}, password: "
WHO = f"{SASL}{PASSWORD}}}}}"
STRANGER = f"{SASL}wrong-one}}}}"


def source(text: str) -> KafkaSource:
    """The source that a configuration describes."""
    reads = parse(text.encode(), {}).sources[0].reads
    assert isinstance(reads, KafkaSettings)
    return KafkaSource(reads, line_bytes=1 << 20, clock=time.monotonic)


def test_foreign_orders_on_a_real_topic_become_events_with_their_headers_and_places(
    kafka_broker: Broker,
) -> None:
    topic = kafka_broker.create("mapped")
    with kafka_broker.producer() as producer:
        for number in range(30):
            kind = "AUFTRAG" if number % 3 else "STORNO"
            producer.send(
                topic,
                json.dumps({"art": kind}).encode(),
                headers=[("release", b"1.42.0")],
                timestamp_ms=1779357600000 + number,
            )
        producer.flush()
    reading = source(
        f"sources:\n  - kafka: {{brokers: '{kafka_broker.address}', topics: {topic}}}{MAP}"
    )
    lines: list[bytes] = []
    ignored = 0
    try:
        reading.open({})
        until = time.monotonic() + PATIENCE_S
        while len(lines) + ignored < 30 and time.monotonic() < until:
            batch = reading.poll(events=1_000, wait_s=0.5)
            ignored += sum(batch.ignored.values())
            lines += [line for part in batch.parts for line in part.payloads]
    finally:
        reading.close()
    assert (len(lines), ignored) == (20, 10)
    batch_of = decode(lines, attributes=frozenset(), limits=Limits())
    assert not batch_of.rejects
    said = [json.loads(line) for line in lines]
    assert said[0]["id"].startswith("mapped~")
    assert said[0]["id"].endswith("/0@1")
    assert said[0] | {"id": ""} == {
        "id": "", "time": 1779357600001, "type": "order.submitted", "service": "erp",
        "version": "1.42.0", "subject": topic,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kafka", "ok", "told"),
    [
        ("{brokers: 'PLAIN', topics: checked}", True, "answers with 1 topics in 2 partitions"),
        ("{brokers: 'PLAIN', patterns: check.*}", True, "answers"),
        ("{brokers: 'PLAIN', topics: [checked, chekced]}", False, "has no topic chekced"),
        ("{brokers: 'TLS', topics: checked, security: {ca: 'CA'}}", True, "answers with 1"),
        ("{brokers: 'SASL', topics: checked, security: " + WHO, True, "answers with 1"),
        ("{brokers: 'SASL', topics: checked, security: " + STRANGER, False, USER),
    ],
)  # fmt: skip
def test_check_connects_and_looks_for_the_topics(
    kafka_broker: Broker, tmp_path: Path, kafka: str, ok: bool, told: str
) -> None:
    with kafka_broker.admin() as admin:
        there = "checked" in admin.list_topics()
    if not there:
        kafka_broker.create("checked", 2)
    places = {
        "PLAIN": kafka_broker.address, "TLS": kafka_broker.tls_address,
        "SASL": kafka_broker.sasl_address, "CA": str(kafka_broker.ca),
    }  # fmt: skip
    for word, value in places.items():
        kafka = kafka.replace(f"'{word}'", f"'{value}'")
    file = tmp_path / "p.yml"
    file.write_text(f"state: {tmp_path}\nsources: [{{kafka: {kafka}}}]\n")
    found = check(file, {}).probes[-1]
    assert found.path == "sources[0].kafka"
    assert (found.ok, told in found.found) == (ok, True), found.found
    assert "wrong-one" not in found.found
