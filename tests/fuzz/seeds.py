"""Where fuzzing begins: one or a few sound inputs of every target, made here and nowhere copied."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kafka.record.default_records import DefaultRecordBatchBuilder
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzers.folding import answers
from analyzers.folding.cells import fold
from collector.decoding import refused
from collector.decoding.decode import decode
from collector.decoding.faults import Fault, Reason
from collector.novelty.novel import Seen, keep_new
from pipeline import kept
from pipeline.config import parse
from pipeline.intake_log import RecordedTurn, encode_turn
from tests import otlp_requests as otlp
from tests.payloads import event, marker

_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_WHOLE = event(
    environment="staging", version="1.2", track="canary", outcome="price", value=12.5, subject="S",
    ref="o-0", synthetic=False, attributes={"region": "eu", "warehouse": "W1"},
)  # fmt: skip
_MARKER = marker(strategy="ring", share=0.1, cohort={"warehouse": ["W1"]}, replaces="1.41")
_CDEVENT = {
    "context": {"id": "c-1", "type": "dev.cdevents.service.deployed.0.2.0", "source": "/ci",
                "version": "0.5.0", "timestamp": "2026-05-21T10:00:00Z"},
    "subject": {"id": "order-api", "type": "service", "content": {
        "environment": {"id": "production"}, "artifactId": "pkg:oci/order-api@sha256%3Aab?tag=1"}},
}  # fmt: skip
_CLOUDEVENT = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.submitted",
               "time": "2026-05-21T10:00:00Z", "data": event()}  # fmt: skip
_GITHUB = {
    "action": "created",
    "deployment": {"id": 1, "sha": "ab" * 20, "ref": "v1.2", "task": "deploy", "payload": {},
                   "environment": "production", "created_at": "2026-05-21T10:00:00Z"},
    "deployment_status": {"id": 2, "state": "success", "created_at": "2026-05-21T10:05:00Z"},
    "repository": {"name": "order-api", "full_name": "acme/order-api"},
}  # fmt: skip
_GITLAB = {
    "object_kind": "deployment", "status": "success", "status_changed_at": "2026-05-21 10:00:00Z",
    "deployment_id": 15, "environment": "staging", "project": {"name": "Order API",
    "path_with_namespace": "acme/order-api"}, "short_sha": "279484c0", "ref": "v1",
}  # fmt: skip
_ARGO = {
    "app": {
        "metadata": {"name": "order-api"},
        "status": {
            "operationState": {
                "phase": "Succeeded",
                "finishedAt": "2026-05-21T10:00:00Z",
                "syncResult": {"revision": "ab"},
            }
        },
    }
}
_FLAGGER = {"name": "order-api", "namespace": "shop", "phase": "Progressing",
            "metadata": {"eventMessage": "New revision detected", "eventType": "Normal",
                         "timestamp": "1779364800000"}}  # fmt: skip
_ORDER = {
    "kind": "order", "at": "2026-05-21T10:00:00", "head": {"system": "erp", "amount": "12,50",
    "client": "C1", "region": "eu"}, "status": 10, "wh": ["W2"], "lines": [{"qty": 3}, {"qty": 5}],
}  # fmt: skip
_CONFIG = b"""\
metrics:
  - {name: orders, kind: proportion, type: order.submitted, worse: lower, margin: 0.01,
     segments: [[country], [partner, document]], criticality: critical}
cohorts: [warehouse]
watch: 12h
services: {order-api: {tier: critical, owner: team, depends_on: [erp]}}
limits: {line_bytes: 1000}
"""


def seeds(target: str) -> list[bytes]:
    """Sound inputs of a target."""
    if target.startswith("otlp"):
        return _otlp(target)
    return _SEEDS[target]()


def _of_json() -> list[bytes]:
    refusal = refused.line(Fault(Reason.UNREADABLE, "x"), b"payload", most=9)
    whole, mark = _said(_WHOLE), _said(_MARKER)
    return [_said(event()), whole, mark, refusal, whole + b"\n" + mark]


def _of_shapes() -> list[bytes]:
    return [_said(_WHOLE) + b"\n" + bytes(range(64)), _said(event()) + b"\n\0\1\2\3"]


def _of_bodies() -> list[bytes]:
    body, line = _said([_WHOLE, event()]), _said(_WHOLE)
    return [b"\2" + body, b"\0" + line + b"\n" + line, b"\3" + gzip.compress(body)]


def _of_foreign() -> list[bytes]:
    told = (_CDEVENT, _CLOUDEVENT, _GITHUB, _GITLAB, _ARGO, _FLAGGER)
    form = b"payload=%7B%22zen%22%3A%22x%22%7D"
    return [*map(_said, told), _said(_CLOUDEVENT | {"data": _CDEVENT}), form]


def _of_headers() -> list[bytes]:
    head = b"specversion:1.0\nid:1\nsource:/s\ntype:a\ncontent-type:text/json\n\n"
    return [head + _said(_WHOLE)]


def _of_files() -> list[bytes]:
    text = _said(_WHOLE) + b"\n" + _said(event())
    array = b"\0[" + _said(_WHOLE) + b"]"
    return [b"\0" + text, b"\0" + gzip.compress(text), array, _parquet()]


def _said(value: Any) -> bytes:
    return json.dumps(value).encode()


def _of_records() -> list[bytes]:
    found = []
    for codec in range(5):
        made = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 100_000)
        for offset, value in enumerate((_said(event()), None, _said(_WHOLE))):
            headers = [("tenant", b"t1"), ("ce_id", b"7")] if offset else []
            made.append(offset, otlp.TIME_NS // 10**6, b"key", value, headers)
        found.append(bytes(made.build()))
    return found


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_WHOLE, event(id="o-2")]), file)
    return b"\1" + file.getvalue()


def _state(target: str) -> list[bytes]:
    policy = parse(b"", {}).policy
    said = [_said(event(id=f"o-{n}", value=n / 3)) for n in range(4)]
    said.append(_said(event(id="c-1", type="order.confirmed", ref="o-1", value=2.0)))
    batch = decode(said, attributes=policy.attributes(), limits=policy.limits)
    if target == "cells":
        cells = fold(batch.facts, (), policy, open_from=0)
        return [kept.encode(cells, answers.heard(batch.facts, policy))]
    if target == "seen":
        return [keep_new(batch, Seen()).fresh]
    place = b'{"at":9,"inode":"1:2","begin":"ab","sample":9,"last":"cd"}'
    return [encode_turn(RecordedTurn(7, tuple(said), 5)), place]


def _otlp(target: str) -> list[bytes]:
    point = NumberDataPoint(time_unix_nano=otlp.TIME_NS, as_int=3)
    requests = {
        "logs": otlp.logs(otlp.log()),
        "traces": otlp.traces(
            Span(name="POST /orders", trace_id=bytes(16), span_id=bytes(8),
                 start_time_unix_nano=otlp.TIME_NS, end_time_unix_nano=otlp.TIME_NS + 9)
        ),
        "metrics": otlp.metrics(
            Metric(name="queue.size", unit="ms", gauge=Gauge(data_points=[point])),
            Metric(name="n", sum=Sum(data_points=[point], aggregation_temporality=_DELTA)),
        ),
    }  # fmt: skip
    _, signal, encoding = target.split("_")
    request = requests[signal]
    return [otlp.as_json(request) if encoding == "json" else request.SerializeToString()]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "decode": _of_json,
    "scan": _of_shapes,
    "bodies": _of_bodies,
    "foreign": _of_foreign,
    "cloudevent": _of_headers,
    "mapping": lambda: [_said(_ORDER)],
    "files": _of_files,
    "kafka": _of_records,
    "cells": lambda: [*_state("cells"), b"\xff\0\0\0"],
    "seen": lambda: [*_state("seen"), b"\xff\0\0\0"],
    "log": lambda: _state("log"),
    "config": lambda: [_CONFIG],
}
