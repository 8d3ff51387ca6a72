"""OTLP requests for tests, built with the library's messages, and the same requests as JSON."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TIME_NS: Final = 1_779_357_600_123_456_789  # 2026-05-21T10:00:00.123456789Z
_SCALARS: Final = {
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    str: "string_value",
    bytes: "bytes_value",
}
SHOP: Final[Mapping[str, object]] = {
    "service.name": "order-api",
    "service.version": "1.42.0",
    "deployment.environment.name": "staging",
    "service.instance.id": "pod-1",
}


def any_value(value: object) -> AnyValue:
    """A value of an attribute or a body."""
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=attributes(value)))
    found = AnyValue()
    if value is not None:
        setattr(found, _SCALARS[type(value)], value)
    return found


def attributes(said: Mapping[str, object]) -> list[KeyValue]:
    """Attributes as a request has them."""
    return [KeyValue(key=name, value=any_value(value)) for name, value in said.items()]


def log(
    name: str = "order.submitted",
    said: Mapping[str, object] | None = None,
    *,
    time_ns: int = TIME_NS,
    **more: Any,
) -> LogRecord:
    """One log record with attributes."""
    return LogRecord(
        event_name=name, time_unix_nano=time_ns, attributes=attributes(said or {}), **more
    )


def logs(*records: LogRecord, resource: Mapping[str, object] = SHOP) -> ExportLogsServiceRequest:
    """A request with these records."""
    request = ExportLogsServiceRequest()
    one = request.resource_logs.add()
    one.resource.attributes.extend(attributes(resource))
    one.scope_logs.add().log_records.extend(records)
    return request


def traces(*spans: Span, resource: Mapping[str, object] = SHOP) -> ExportTraceServiceRequest:
    """A request with these spans."""
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add()
    one.resource.attributes.extend(attributes(resource))
    one.scope_spans.add().spans.extend(spans)
    return request


def metrics(*given: Metric, resource: Mapping[str, object] = SHOP) -> ExportMetricsServiceRequest:
    """A request with these metrics."""
    request = ExportMetricsServiceRequest()
    one = request.resource_metrics.add()
    one.resource.attributes.extend(attributes(resource))
    one.scope_metrics.add().metrics.extend(given)
    return request


def as_json(request: Message) -> bytes:
    """The same request in the JSON of OTLP, which has ids in hexadecimal and enums as numbers."""
    return msgspec.json.encode(_with_hex_ids(MessageToDict(request, use_integers_for_enums=True)))


def _with_hex_ids(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: b64decode(inner).hex()
                if name in ("traceId", "spanId", "parentSpanId") and isinstance(inner, str)
                else _with_hex_ids(inner)
                for name, inner in value.items()
            }
        case list():
            return [_with_hex_ids(inner) for inner in value]
    return value


def said(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """What lines say."""
    return [msgspec.json.decode(line) for line in lines]
