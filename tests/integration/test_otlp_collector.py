"""A real OpenTelemetry Collector between the SDK and us: over HTTP, over gRPC, through Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp.forms import otlp_form
from collector.otlp.rules import OtlpRules, Signal
from collector.source import Message
from tests import otel_collector
from tests.kafka_broker import Broker
from tests.otlp_doors import serving
from tests.otlp_requests import said
from tests.otlp_shop import RULES, shop

pytestmark = pytest.mark.integration
LIMITS = Limits()
FAST = {"sending_queue": {"enabled": False}, "retry_on_failure": {"initial_interval": "100ms"}}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_comes_through_a_collector_is_what_was_sent(protocol: str, tmp_path: Path) -> None:
    with serving(RULES) as doors:
        exporter: dict[str, dict[str, Any]] = (
            {"otlp_http": {"endpoint": doors.http, **FAST}}
            if protocol == "http"
            else {"otlp_grpc": {"endpoint": doors.grpc, "tls": {"insecure": True}, **FAST}}
        )
        with (
            otel_collector.running(exporter, tmp_path) as collector,
            shop("grpc", collector.grpc) as sender,
        ):
            sender.orders(0, 300, without_name=5)
            sender.served()
            sender.flush()
            batch = decode(doors.lines, attributes=frozenset(), limits=LIMITS)
            assert not batch.rejects
            assert len(batch.facts) == 300 + 2 + 3 + 1 + 1 + 3 + 3
            assert doors.door is not None
            counts = doors.door.counts()
            assert counts[Signal.LOGS].ignored == {"log_without_event_name": 5}
            assert "rror" not in collector.said()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_collector_hears_of_refused_records_and_tries_again_what_found_no_room(
    protocol: str, tmp_path: Path
) -> None:
    with serving(OtlpRules()) as doors:
        exporter: dict[str, dict[str, Any]] = (
            {"otlp_http": {"endpoint": doors.http, **FAST}}
            if protocol == "http"
            else {"otlp_grpc": {"endpoint": doors.grpc, "tls": {"insecure": True}, **FAST}}
        )
        with (
            otel_collector.running(exporter, tmp_path) as collector,
            shop("http", collector.http) as sender,
        ):
            assert doors.room is not None
            doors.room.close("loading")
            sender.orders(0, 2)
            sender.orders(-(10**18), 1)  # before the year 2000
            doors.after_refusals(1, doors.room.open)
            sender.flush()
            assert len({line["id"] for line in said(doors.lines)}) == 3
            assert doors.door is not None
            assert doors.door.counts()[Signal.LOGS].rejected == 1
            assert "1 of 3 records were refused" in collector.said()


def first_message(broker: Broker, topic: str) -> Message:
    """The first message of a topic with one partition; the SDK tells of metrics once more at its
    end, so there may be others."""
    partition = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=broker.address)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for record in consumer.poll(500).get(partition, []):
                place = f"{topic}/0@{record.offset}"
                return Message(record.value, place, dict(record.headers))
    pytest.fail(f"nothing came into {topic}")


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_the_topics_of_a_collector_are_read_as_they_are(
    encoding: str, tmp_path: Path, kafka_broker: Broker
) -> None:
    names = {"logs": Signal.LOGS, "metrics": Signal.METRICS, "traces": Signal.TRACES}
    topics = {name: kafka_broker.create(f"{encoding}_{name}") for name in names}
    exporter = {
        "kafka": {
            "brokers": [kafka_broker.address],
            **{name: {"topic": topic, "encoding": encoding} for name, topic in topics.items()},
            "sending_queue": {"enabled": False},
        }
    }
    with (
        otel_collector.running(exporter, tmp_path) as collector,
        shop("grpc", collector.grpc) as sender,
    ):
        sender.orders(0, 20, without_name=2)
        sender.served()
        sender.flush()
    lines: list[bytes] = []
    for name, signal in names.items():
        form = otlp_form(signal, rules=RULES, limits=LIMITS)
        message = first_message(kafka_broker, topics[name])
        formed = form(message)
        assert form(message) == formed  # an offset that is read again gives the same ids
        lines += formed.lines
    batch = decode(lines, attributes=frozenset(), limits=LIMITS)
    assert not batch.rejects
    assert len(batch.facts) == 20 + 2 + 3 + 1 + 1 + 3 + 3
    ids = [line["id"] for line in said(lines)]
    assert len(set(ids)) == len(ids)
    assert f"{topics['metrics']}/0@0#0.0" in ids
