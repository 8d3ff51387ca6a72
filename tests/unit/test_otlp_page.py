"""The page on OpenTelemetry: its examples are what it says they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp import door, metrics
from collector.otlp.logs import lines_of_logs
from collector.otlp.rules import Encoding, MetricRule, OtlpRules, SpanRule
from pipeline.config import parse

PAGE = (Path(__file__).parents[2] / "docs" / "opentelemetry.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_log_record_of_the_page_is_the_event_of_the_page() -> None:
    request, event = (body for kind, body in BLOCKS if kind == "json")
    found = lines_of_logs(request.encode(), Encoding.JSON, rules=OtlpRules(), limits=Limits())
    (line,) = found.lines
    assert json.loads(line) == json.loads(event)
    assert len(decode(found.lines, attributes=frozenset(), limits=Limits()).facts) == 1


def test_the_rules_of_the_page_are_read() -> None:
    (body,) = (body for kind, body in BLOCKS if kind == "yaml" and body.startswith("otlp:"))
    rules = parse(body.encode(), {}).otlp.rules
    assert rules.spans == (SpanRule("api.called", "POST /orders"),)
    assert rules.metrics[1] == MetricRule("order.submitted", "shop.orders", counted=True)


def test_the_collector_of_the_page_sends_to_the_port_of_the_daemon() -> None:
    (body,) = (body for kind, body in BLOCKS if kind == "yaml" and body.startswith("exporters:"))
    exporters = yaml.safe_load(body)["exporters"]
    assert exporters["otlp_http"]["endpoint"].endswith(f":{parse(b'', {}).port}")
    assert exporters["kafka"]["logs"]["encoding"] == "otlp_proto"


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert f"{metrics.OBSERVATIONS:,} observations" in PAGE
    assert f"{door.BODY_BYTES_MAX >> 20} MiB" in PAGE
