"""OpenTelemetry into the real daemon: over HTTP, gRPC and a Collector's topics, through kill -9."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests import otel_collector
from tests.integration.serving import Daemon, daemon
from tests.kafka_broker import Broker
from tests.otlp_shop import shop

pytestmark = pytest.mark.integration
OTLP = """
otlp:
  grpc: 0
  spans: {where: {http.route: /orders}, type: api.called}
  metrics:
    - {metric: shop.orders, type: order.submitted, counted: true}
    - {metric: shop.query.duration, type: query.executed}
"""
WAIT_S = 60


def written(folder: Path, text: str) -> Path:
    """A configuration."""
    file = folder / "plimsoll.yml"
    file.write_text(text, encoding="utf-8")
    return file


def grpc_address(running: Daemon) -> str:
    """Where the daemon says that it takes gRPC."""
    for line in running.lines:
        found = re.search(r"gRPC is taken on (\S+) port (\d+)", line)
        if found:
            return f"{found[1]}:{found[2]}"
    raise AssertionError(f"the daemon does not take gRPC: {running.lines}")


def events_come_to(running: Daemon, n: int) -> None:
    """Returns when so many events have been counted; never more."""
    end = time.monotonic() + WAIT_S
    while (seen := running.counts()["events"]) < n:
        assert time.monotonic() < end, f"{seen} events of {n}: {running.lines}"
        time.sleep(0.05)
    assert seen == n


def test_what_the_sdk_sends_is_kept_through_a_kill_and_counted_once(tmp_path: Path) -> None:
    config = written(tmp_path, OTLP)
    now = time.time_ns()  # the SDK's metrics are of now, and the stream has to be
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        with shop("http", running.url, begin_ns=now) as sender:
            sender.orders(0, 100, without_name=3)
            sender.served()
            sender.flush()
            assert running.counts()["events"] == 100 + 2 + 3 + 3
        running.kill()
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        before = running.counts()["events"]
        with shop("grpc", grpc_address(running), begin_ns=now) as sender:
            sender.orders(50, 100)  # the first half of them once more
            sender.deployed()
            sender.flush()
        counts = running.counts()
        assert counts["events"] - before == 50
        assert counts["markers"] == 1
        assert running.end() == 0


def test_a_daemon_reads_the_topics_of_a_collector(tmp_path: Path, kafka_broker: Broker) -> None:
    topic = kafka_broker.create("daemon_otlp_logs")
    config = written(
        tmp_path,
        f"sources:\n  - kafka: {{brokers: '{kafka_broker.address}', topics: {topic}}}\n"
        "    format: otlp_logs\n",
    )
    exporter = {
        "kafka": {
            "brokers": [kafka_broker.address],
            "logs": {"topic": topic, "encoding": "otlp_proto"},
            "sending_queue": {"enabled": False},
        }
    }
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        with (
            otel_collector.running(exporter, tmp_path) as collector,
            shop("http", collector.http) as sender,
        ):
            sender.orders(0, 200, without_name=3)
            sender.deployed()
            sender.flush()
        events_come_to(running, 200)
        running.kill()
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        assert running.counts()["events"] == 200
        assert running.counts()["markers"] == 1
