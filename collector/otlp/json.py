"""OTLP requests in JSON as records: hexadecimal ids, 64-bit integers as texts or numbers.

The JSON of OTLP is not that of protobuf, whose libraries read the ids as base64; so its own types
stand here. Unknown fields are ignored and null is a field's default, as the specification has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Final, TypeVar

import msgspec

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

_UNSIGNED_END: Final = 2**64
_NOTHING: Final = msgspec.Raw(b"null")
_ABSENT: Final = 1  # the flag of a point without a recorded value
_STATUS_ERROR: Final = 2

_Signed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Unsigned = Annotated[int, msgspec.Meta(ge=0)]  # its upper bound is beyond what Meta takes


class _Json(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Field names in lowerCamelCase, as OTLP writes them."""


class _Any(_Json, frozen=True):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Signed | None = None
    double_value: float | None = None
    bytes_value: str | None = None
    array_value: msgspec.Raw = _NOTHING
    kvlist_value: msgspec.Raw = _NOTHING


class _Pair(_Json, frozen=True):
    key: str | None = None
    value: _Any | None = None


class _Array(_Json, frozen=True):
    values: list[_Any] | None = None


class _Pairs(_Json, frozen=True):
    values: list[_Pair] | None = None


class _Resource(_Json, frozen=True):
    attributes: list[_Pair] | None = None


class _LogRecord(_Json, frozen=True):
    time_unix_nano: _Unsigned | None = None
    observed_time_unix_nano: _Unsigned | None = None
    severity_number: _Signed | None = None
    event_name: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    attributes: list[_Pair] | None = None
    body: _Any | None = None


class _ScopeLogs(_Json, frozen=True):
    log_records: list[_LogRecord] | None = None


class _ResourceLogs(_Json, frozen=True):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(_Json, frozen=True):
    resource_logs: list[_ResourceLogs] | None = None


class _Status(_Json, frozen=True):
    code: _Signed | None = None


class _Span(_Json, frozen=True):
    name: str | None = None
    start_time_unix_nano: _Unsigned | None = None
    end_time_unix_nano: _Unsigned | None = None
    trace_id: str | None = None
    span_id: str | None = None
    status: _Status | None = None
    attributes: list[_Pair] | None = None


class _ScopeSpans(_Json, frozen=True):
    spans: list[_Span] | None = None


class _ResourceSpans(_Json, frozen=True):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(_Json, frozen=True):
    resource_spans: list[_ResourceSpans] | None = None


class _Buckets(_Json, frozen=True):
    offset: _Signed | None = None
    bucket_counts: list[_Unsigned] | None = None


class _Point(_Json, frozen=True):
    """A data point of any shape: only its own fields are filled."""

    attributes: list[_Pair] | None = None
    start_time_unix_nano: _Unsigned | None = None
    time_unix_nano: _Unsigned | None = None
    flags: _Unsigned | None = None
    as_double: float | None = None
    as_int: _Signed | None = None
    count: _Unsigned | None = None
    bucket_counts: list[_Unsigned] | None = None
    explicit_bounds: list[float] | None = None
    scale: _Signed | None = None
    zero_count: _Unsigned | None = None
    positive: _Buckets | None = None
    negative: _Buckets | None = None


class _Data(_Json, frozen=True):
    data_points: list[_Point] | None = None
    aggregation_temporality: _Signed | None = None
    is_monotonic: bool | None = None


class _Metric(_Json, frozen=True):
    name: str | None = None
    unit: str | None = None
    gauge: _Data | None = None
    sum: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None
    summary: _Data | None = None


class _ScopeMetrics(_Json, frozen=True):
    metrics: list[_Metric] | None = None


class _ResourceMetrics(_Json, frozen=True):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _Metrics(_Json, frozen=True):
    resource_metrics: list[_ResourceMetrics] | None = None


_T = TypeVar("_T")
# Not strict: 64-bit integers come as texts, and floats as "NaN".
_read_logs: Final = msgspec.json.Decoder(_Logs, strict=False)
_read_traces: Final = msgspec.json.Decoder(_Traces, strict=False)
_read_metrics: Final = msgspec.json.Decoder(_Metrics, strict=False)
_read_array: Final = msgspec.json.Decoder(_Array | None, strict=False)
_read_pairs: Final = msgspec.json.Decoder(_Pairs | None, strict=False)


def logs(body: bytes, *, most: int) -> Request[LogRecord]:
    """The log records of a request; MalformedError if it is none, or during the walk;
    TooManyError if it has over ``most`` resources or scopes."""
    found = _decoded(_read_logs, body).resource_logs or ()
    lengths = (len(scope.log_records or ()) for one in found for scope in one.scope_logs or ())
    return Request(counted(len(found), lengths, most), groups_of(found, _resource, _log_records))


def traces(body: bytes, *, most: int) -> Request[Span]:
    """The spans of a request; MalformedError if it is none, or during the walk;
    TooManyError if it has over ``most`` resources or scopes."""
    found = _decoded(_read_traces, body).resource_spans or ()
    lengths = (len(scope.spans or ()) for one in found for scope in one.scope_spans or ())
    return Request(counted(len(found), lengths, most), groups_of(found, _resource, _spans))


def metrics(body: bytes, *, most: int) -> Request[Metric]:
    """The metrics of a request; MalformedError if it is none, or during the walk;
    TooManyError if it has over ``most`` resources or scopes."""
    found = _decoded(_read_metrics, body).resource_metrics or ()
    return Request(
        counted(len(found), _lengths(found), most), groups_of(found, _resource, _metrics)
    )


def _lengths(found: Iterable[_ResourceMetrics]) -> Iterator[int]:
    for one in found:
        for scope in one.scope_metrics or ():
            yield 0
            for metric in scope.metrics or ():
                yield len(_data(metric)[1].data_points or ())


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise MalformedError("the JSON nests too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"the body is no OTLP request in JSON: {str(error)[:200]}") from error


def _log_records(one: _ResourceLogs) -> Iterator[LogRecord]:
    for scope in one.scope_logs or ():
        for record in scope.log_records or ():
            yield LogRecord(
                record.event_name or "",
                _unsigned(record.time_unix_nano or record.observed_time_unix_nano),
                record.severity_number or 0,
                (record.trace_id or "").lower(),
                (record.span_id or "").lower(),
                _attributes(record.attributes or ()),
                None if record.body is None else _value(record.body, DEPTH),
            )


def _spans(one: _ResourceSpans) -> Iterator[Span]:
    for scope in one.scope_spans or ():
        for span in scope.spans or ():
            yield Span(
                span.name or "",
                _unsigned(span.start_time_unix_nano),
                _unsigned(span.end_time_unix_nano),
                (span.trace_id or "").lower(),
                (span.span_id or "").lower(),
                span.status is not None and span.status.code == _STATUS_ERROR,
                _attributes(span.attributes or ()),
            )


def _metrics(one: _ResourceMetrics) -> Iterator[Metric]:
    for scope in one.scope_metrics or ():
        for metric in scope.metrics or ():
            shape, data = _data(metric)
            if not data.data_points:
                continue
            yield Metric(
                name=metric.name or "",
                unit=metric.unit or "",
                shape=shape,
                temporality=Temporality.of(data.aggregation_temporality or 0),
                monotonic=bool(data.is_monotonic),
                count=len(data.data_points),
                points=map(_point, data.data_points),
            )


def _data(metric: _Metric) -> tuple[Shape, _Data]:
    for shape, data in (
        (Shape.GAUGE, metric.gauge),
        (Shape.SUM, metric.sum),
        (Shape.HISTOGRAM, metric.histogram),
        (Shape.EXPONENTIAL, metric.exponential_histogram),
        (Shape.SUMMARY, metric.summary),
    ):
        if data is not None:
            return shape, data
    return Shape.NONE, _Data()


def _point(point: _Point) -> Point:
    return Point(
        attributes=_attributes(point.attributes or ()),
        start_ns=_unsigned(point.start_time_unix_nano),
        time_ns=_unsigned(point.time_unix_nano),
        absent=bool((point.flags or 0) & _ABSENT),
        total=_unsigned(point.count),
        value=point.as_double if point.as_int is None else point.as_int,
        counts=_all_unsigned(point.bucket_counts),
        bounds=tuple(point.explicit_bounds or ()),
        scale=point.scale or 0,
        zeros=_unsigned(point.zero_count),
        positive=_buckets(point.positive),
        negative=_buckets(point.negative),
    )


def _buckets(buckets: _Buckets | None) -> tuple[int, tuple[int, ...]]:
    if buckets is None:
        return 0, ()
    return buckets.offset or 0, _all_unsigned(buckets.bucket_counts)


def _unsigned(number: int | None) -> int:
    if number is None:
        return 0
    if number >= _UNSIGNED_END:
        raise MalformedError("an integer is beyond 64 bits")
    return number


def _all_unsigned(numbers: list[int] | None) -> tuple[int, ...]:
    if numbers:
        _unsigned(max(numbers))
    return tuple(numbers or ())


def _resource(one: _ResourceLogs | _ResourceSpans | _ResourceMetrics) -> dict[str, Value]:
    return {} if one.resource is None else _attributes(one.resource.attributes or ())


def _attributes(pairs: Iterable[_Pair], depth: int = DEPTH) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in islice(pairs, ATTRIBUTES_READ):
        value = pair.value
        if value is None:
            found[pair.key or ""] = None
        else:
            found[pair.key or ""] = value.string_value or _value(value, depth)
    return found


def _value(value: _Any, depth: int) -> Value:
    for scalar in (value.string_value, value.bool_value, value.int_value, value.double_value):
        if scalar is not None:
            return scalar
    if value.bytes_value is not None:
        return value.bytes_value
    if value.array_value is not _NOTHING and depth > 0:
        array = _decoded(_read_array, value.array_value)
        if array is not None:
            return [_value(one, depth - 1) for one in islice(array.values or (), VALUES_READ)]
    if value.kvlist_value is not _NOTHING and depth > 0:
        pairs = _decoded(_read_pairs, value.kvlist_value)
        if pairs is not None:
            return _attributes(pairs.values or (), depth - 1)
    return None
