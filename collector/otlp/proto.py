"""OTLP requests in protobuf as records: parsed by the library, walked here.

The library refuses what is no UTF-8 and what nests over a hundred levels; a walk goes down to
``DEPTH`` only.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status

from collector.otlp.records import (
    ATTRIBUTES_READ,
    DEPTH,
    VALUES_READ,
    LogRecord,
    MalformedError,
    Metric,
    Point,
    Request,
    Shape,
    Span,
    Temporality,
    Value,
    counted,
    groups_of,
)

_SHAPES: Final = {
    "gauge": Shape.GAUGE,
    "sum": Shape.SUM,
    "histogram": Shape.HISTOGRAM,
    "exponential_histogram": Shape.EXPONENTIAL,
    "summary": Shape.SUMMARY,
}
_ABSENT: Final = pb.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_Data = pb.Gauge | pb.Sum | pb.Histogram | pb.ExponentialHistogram | pb.Summary
_Request = TypeVar("_Request", bound=Message)


def logs(body: bytes, *, most: int) -> Request[LogRecord]:
    """The log records of a request; MalformedError if it is none, TooManyError if
    it has over ``most`` resources or scopes."""
    found = _parsed(ExportLogsServiceRequest, body).resource_logs
    lengths = (len(scope.log_records) for one in found for scope in one.scope_logs)
    return Request(counted(len(found), lengths, most), groups_of(found, _resource, _log_records))


def traces(body: bytes, *, most: int) -> Request[Span]:
    """The spans of a request; MalformedError if it is none, TooManyError if
    it has over ``most`` resources or scopes."""
    found = _parsed(ExportTraceServiceRequest, body).resource_spans
    lengths = (len(scope.spans) for one in found for scope in one.scope_spans)
    return Request(counted(len(found), lengths, most), groups_of(found, _resource, _spans))


def metrics(body: bytes, *, most: int) -> Request[Metric]:
    """The metrics of a request; MalformedError if it is none, TooManyError if
    it has over ``most`` resources or scopes."""
    found = _parsed(ExportMetricsServiceRequest, body).resource_metrics
    return Request(
        counted(len(found), _lengths(found), most), groups_of(found, _resource, _metrics)
    )


def _lengths(found: Iterable[pb.ResourceMetrics]) -> Iterator[int]:
    for one in found:
        for scope in one.scope_metrics:
            yield 0
            for metric in scope.metrics:
                data = _data(metric)
                yield 0 if data is None else len(data.data_points)


def _parsed(kind: type[_Request], body: bytes) -> _Request:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"the body is no {kind.DESCRIPTOR.name} in protobuf") from error


def _resource(one: ResourceLogs | ResourceSpans | pb.ResourceMetrics) -> dict[str, Value]:
    return _attributes(one.resource.attributes)


def _log_records(one: ResourceLogs) -> Iterator[LogRecord]:
    for scope in one.scope_logs:
        for record in scope.log_records:
            yield LogRecord(
                record.event_name,
                record.time_unix_nano or record.observed_time_unix_nano,
                record.severity_number,
                record.trace_id.hex(),
                record.span_id.hex(),
                _attributes(record.attributes),
                _value(record.body, DEPTH),
            )


def _spans(one: ResourceSpans) -> Iterator[Span]:
    for scope in one.scope_spans:
        for span in scope.spans:
            yield Span(
                span.name,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.status.code == Status.STATUS_CODE_ERROR,
                _attributes(span.attributes),
            )


def _data(metric: pb.Metric) -> _Data | None:
    which = metric.WhichOneof("data")
    return None if which is None else getattr(metric, which)


def _metrics(one: pb.ResourceMetrics) -> Iterator[Metric]:
    for scope in one.scope_metrics:
        for metric in scope.metrics:
            which = metric.WhichOneof("data")
            data = _data(metric)
            if which is None or data is None or not data.data_points:
                continue
            yield Metric(
                name=metric.name,
                unit=metric.unit,
                shape=_SHAPES[which],
                temporality=Temporality.of(getattr(data, "aggregation_temporality", 0)),
                monotonic=getattr(data, "is_monotonic", False),
                count=len(data.data_points),
                points=_points(data),
            )


def _points(data: _Data) -> Iterator[Point]:
    match data:
        case pb.Gauge() | pb.Sum():
            return map(_number_point, data.data_points)
        case pb.Histogram():
            return map(_histogram_point, data.data_points)
        case pb.ExponentialHistogram():
            return map(_exponential_point, data.data_points)
    return map(_summary_point, data.data_points)


def _number_point(point: pb.NumberDataPoint) -> Point:
    which = point.WhichOneof("value")
    return Point(
        attributes=_attributes(point.attributes),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        absent=bool(point.flags & _ABSENT),
        value=None if which is None else getattr(point, which),
    )


def _histogram_point(point: pb.HistogramDataPoint) -> Point:
    return Point(
        attributes=_attributes(point.attributes),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        absent=bool(point.flags & _ABSENT),
        total=point.count,
        counts=tuple(point.bucket_counts),
        bounds=tuple(point.explicit_bounds),
    )


def _exponential_point(point: pb.ExponentialHistogramDataPoint) -> Point:
    return Point(
        attributes=_attributes(point.attributes),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        absent=bool(point.flags & _ABSENT),
        total=point.count,
        scale=point.scale,
        zeros=point.zero_count,
        positive=(point.positive.offset, tuple(point.positive.bucket_counts)),
        negative=(point.negative.offset, tuple(point.negative.bucket_counts)),
    )


def _summary_point(point: pb.SummaryDataPoint) -> Point:
    return Point(
        attributes=_attributes(point.attributes),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        absent=bool(point.flags & _ABSENT),
        total=point.count,
    )


def _attributes(pairs: Iterable[KeyValue], depth: int = DEPTH) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in islice(pairs, ATTRIBUTES_READ):
        value = pair.value
        # Nearly all values are texts, and asking which one it is costs as much as reading it.
        found[pair.key] = value.string_value or _value(value, depth)
    return found


def _value(value: AnyValue, depth: int) -> Value:
    which = value.WhichOneof("value")
    match which:
        case None | "string_value_strindex":
            return None
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case "array_value":
            if depth <= 0:
                return None
            return [_value(one, depth - 1) for one in islice(value.array_value.values, VALUES_READ)]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values, depth - 1) if depth > 0 else None
    return getattr(value, which)
