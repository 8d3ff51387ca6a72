"""OTLP data points and spans as events, where a rule says so; what cannot be told is refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp.events import OtlpFormed
from collector.otlp.metrics import OBSERVATIONS, lines_of_metrics
from collector.otlp.records import MalformedError
from collector.otlp.rules import Encoding, MetricRule, Names, OtlpRules, SpanRule
from collector.otlp.spans import lines_of_traces
from tests.otlp_requests import TIME_NS, as_json, attributes, metrics, said, traces

LIMITS = Limits()
DELTA = pb.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = pb.AGGREGATION_TEMPORALITY_CUMULATIVE
RULES = OtlpRules(metrics=(MetricRule("queue.sampled", "depth"),))
COUNTED = OtlpRules(metrics=(MetricRule("order.submitted", "depth", counted=True),))


def formed(*given: pb.Metric, rules: OtlpRules = RULES, limits: Limits = LIMITS) -> OtlpFormed:
    """What the metrics become, which is the same from protobuf and from JSON."""
    request = metrics(*given)
    found = [
        lines_of_metrics(body, encoding, rules=rules, limits=limits)
        for body, encoding in (
            (request.SerializeToString(), Encoding.PROTO),
            (as_json(request), Encoding.JSON),
        )
    ]
    assert found[0] == found[1]
    return found[0]


def reject(*given: pb.Metric, rules: OtlpRules = RULES) -> tuple[str, str]:
    """Reason and detail of the reject that ``decode`` makes of the only line."""
    batch = decode(formed(*given, rules=rules).lines, attributes=frozenset(), limits=LIMITS)
    (found,) = batch.rejects
    assert not len(batch.facts)
    return found.reason, found.detail


def number(value: float, *, time_ns: int = TIME_NS, **more: Any) -> pb.NumberDataPoint:
    shown = {"as_int": value} if isinstance(value, int) else {"as_double": value}
    return pb.NumberDataPoint(time_unix_nano=time_ns, **shown, **more)


def gauge(*points: pb.NumberDataPoint, name: str = "depth", unit: str = "") -> pb.Metric:
    return pb.Metric(name=name, unit=unit, gauge=pb.Gauge(data_points=points))


def total(
    *points: pb.NumberDataPoint,
    monotonic: bool = True,
    kind: pb.AggregationTemporality.ValueType = DELTA,
) -> pb.Metric:
    data = pb.Sum(data_points=points, is_monotonic=monotonic, aggregation_temporality=kind)
    return pb.Metric(name="depth", sum=data)


def histogram(
    counts: list[int],
    bounds: list[float],
    *,
    kind: pb.AggregationTemporality.ValueType = DELTA,
    unit: str = "s",
    **more: Any,
) -> pb.Metric:
    point = pb.HistogramDataPoint(
        time_unix_nano=TIME_NS,
        bucket_counts=counts,
        explicit_bounds=bounds,
        **{"count": sum(counts), **more},
    )
    data = pb.Histogram(data_points=[point], aggregation_temporality=kind)
    return pb.Metric(name="depth", unit=unit, histogram=data)


def exponential(
    scale: int, *, kind: pb.AggregationTemporality.ValueType = DELTA, **more: Any
) -> pb.Metric:
    point = pb.ExponentialHistogramDataPoint(time_unix_nano=TIME_NS, scale=scale, **more)
    data = pb.ExponentialHistogram(data_points=[point], aggregation_temporality=kind)
    return pb.Metric(name="depth", unit="s", exponential_histogram=data)


def values(found: OtlpFormed) -> dict[float, int]:
    return dict(Counter(line["value"] for line in said(found.lines)))


def test_a_point_of_a_gauge_is_an_event_with_its_value() -> None:
    point = number(850, attributes=attributes({"warehouse": "W1"}))
    (line,) = said(formed(gauge(point)).lines)
    assert len(line.pop("id")) == 32
    assert line == {
        "time": "2026-05-21T10:00:00.123456789Z",
        "type": "queue.sampled",
        "service": "order-api",
        "environment": "staging",
        "version": "1.42.0",
        "value": 850.0,
        "attributes": {"warehouse": "W1"},
    }


def test_metrics_and_points_without_a_rule_are_ignored_and_counted() -> None:
    rules = OtlpRules(metrics=(MetricRule("queue.sampled", "depth", where=(("queue", "in"),)),))
    points = [number(1, attributes=attributes({"queue": name})) for name in ("in", "out")]
    found = formed(gauge(number(1), number(2), name="other"), gauge(*points), rules=rules)
    assert found.ignored == {"metric_without_rule": 3}
    assert (found.total, found.records) == (4, [2])


def test_a_point_that_says_nothing_was_recorded_is_ignored() -> None:
    assert formed(gauge(number(0, flags=1))).ignored == {"no_recorded_value": 1}


@pytest.mark.parametrize(
    ("unit", "factor", "value"),
    [("ms", None, 1.5), ("us", None, 0.0015), ("s", None, 1500), ("min", None, 90_000),
     ("{message}", None, 1500), ("ms", 1.0, 1500), ("%", 0.01, 15)],
)  # fmt: skip
def test_times_become_seconds_by_the_unit_of_the_metric(
    unit: str, factor: float | None, value: float
) -> None:
    rules = OtlpRules(metrics=(MetricRule("queue.sampled", "depth", factor=factor),))
    (line,) = said(formed(gauge(number(1500), unit=unit), rules=rules).lines)
    assert line["value"] == pytest.approx(value)


def test_a_delta_sum_gives_what_came_or_as_many_events() -> None:
    (line,) = said(formed(total(number(37))).lines)
    assert line["value"] == 37
    lines = said(formed(total(number(37)), rules=COUNTED).lines)
    assert len({line["id"] for line in lines}) == 37
    assert not any("value" in line for line in lines)


def test_a_sum_that_can_fall_is_a_level_if_it_is_cumulative() -> None:
    (line,) = said(formed(total(number(37), monotonic=False, kind=CUMULATIVE)).lines)
    assert line["value"] == 37


@pytest.mark.parametrize(
    ("metric", "rules", "words"),
    [
        (total(number(1), kind=CUMULATIVE), RULES, "cumulative sum.*TEMPORALITY_PREFERENCE=delta"),
        (total(number(1), kind=pb.AGGREGATION_TEMPORALITY_UNSPECIFIED), RULES, "unspecified sum"),
        (total(number(1), monotonic=False), RULES, "tells changes, not its level"),
        (total(number(1.5)), COUNTED, "is no number of events"),
        (total(number(-1)), COUNTED, "is no number of events"),
        (total(number(OBSERVATIONS + 1)), COUNTED, "10001 observations, more than 10000"),
        (histogram([1, 1], [1.0], kind=CUMULATIVE), RULES, "cumulative histogram"),
        (exponential(0, kind=CUMULATIVE, count=0), RULES, "cumulative exponential histogram"),
        (histogram([1, 1], []), RULES, "2 buckets do not go with 0 bounds"),
        (histogram([1, 1, 1], [2.0, 1.0]), RULES, "bounds of the buckets do not rise"),
        (histogram([1, 1], [math.nan]), RULES, "bounds of the buckets do not rise"),
        (histogram([5], []), RULES, "no buckets"),
        (histogram([], [], count=5), RULES, "no buckets"),
        (histogram([1, 1], [1.0], count=5), RULES, "as many observations as the count"),
        (histogram([2**64 - 1, 1], [1.0], count=0), RULES, "as many observations as the count"),
        (histogram([OBSERVATIONS, 1], [1.0]), RULES, "10001 observations"),
        (pb.Metric(name="depth", summary=pb.Summary(
            data_points=[pb.SummaryDataPoint(time_unix_nano=TIME_NS)])), RULES, "is a summary"),
    ],
)  # fmt: skip
def test_what_a_point_cannot_tell_is_refused_with_the_remedy(
    metric: pb.Metric, rules: OtlpRules, words: str
) -> None:
    reason, detail = reject(metric, rules=rules)
    assert reason == "mapping"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(detail)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (number(math.nan), "value_not_finite"),
        (number(-math.inf), "value_not_finite"),
        (number(1, time_ns=0), "missing_field"),
        (pb.NumberDataPoint(time_unix_nano=TIME_NS), "missing_field"),
        (number(1e300), "value_out_of_range"),
        (number(1, time_ns=2**64 - 1), "time_out_of_range"),
    ],
)
def test_a_point_without_a_usable_value_or_time_is_refused(
    point: pb.NumberDataPoint, reason: str
) -> None:
    assert reject(gauge(point))[0] == reason


def test_every_observation_of_a_histogram_is_an_event_in_the_middle_of_its_bucket() -> None:
    found = formed(histogram([2, 0, 3, 1], [100.0, 200.0, 400.0], unit="ms"))
    assert values(found) == {0.05: 2, 0.3: 3, 0.4: 1}
    assert found.total == 1
    assert set(found.records) == {0}
    assert len({line["id"] for line in said(found.lines)}) == 6


def test_a_first_bound_that_is_not_positive_stands_for_its_bucket() -> None:
    assert values(formed(histogram([1, 1, 0], [-4.0, 2.0]))) == {-4.0: 1, -1.0: 1}


def test_an_empty_histogram_gives_no_event() -> None:
    assert formed(histogram([0, 0], [1.0])).lines == []
    assert formed(histogram([], [])).lines == []


def test_an_exponential_histogram_gives_the_geometric_middle_of_its_buckets() -> None:
    buckets = pb.ExponentialHistogramDataPoint.Buckets
    metric = exponential(
        0,
        count=7,
        zero_count=1,
        positive=buckets(offset=-1, bucket_counts=[2, 0, 3]),
        negative=buckets(offset=1, bucket_counts=[1]),
    )
    found = {round(value, 9): count for value, count in values(formed(metric)).items()}
    assert found == {0.0: 1, 0.707106781: 2, 2.828427125: 3, -2.828427125: 1}


@given(st.integers(4, 20), st.integers(-100, 100), st.lists(st.integers(0, 5), max_size=40))
def test_finer_buckets_are_read_as_if_they_had_been_recorded_at_scale_3(
    scale: int, offset: int, counts: list[int]
) -> None:
    buckets = pb.ExponentialHistogramDataPoint.Buckets
    fine = exponential(
        scale, count=sum(counts), positive=buckets(offset=offset, bucket_counts=counts)
    )
    coarse: Counter[int] = Counter()
    for index, count in enumerate(counts, offset):
        coarse[math.floor(index / 2 ** (scale - 3))] += count
    first = min(coarse, default=0)
    merged = [coarse[first + place] for place in range(max(coarse, default=0) - first + 1)]
    same = exponential(3, count=sum(counts), positive=buckets(offset=first, bucket_counts=merged))
    assert values(formed(fine)) == values(formed(same))


@pytest.mark.parametrize(
    ("scale", "offset"), [(-(2**31), 1), (2**31 - 1, -(2**31)), (0, 99), (-9, 1)]
)
def test_hostile_scales_are_refused_or_read_without_an_error(scale: int, offset: int) -> None:
    bucket = pb.ExponentialHistogramDataPoint.Buckets(offset=offset, bucket_counts=[1])
    assert len(formed(exponential(scale, count=1, positive=bucket)).lines) == 1


def test_a_request_gives_no_more_events_than_may_wait() -> None:
    found = formed(
        total(number(60), number(60), number(39)), rules=COUNTED, limits=Limits(queued_events=100)
    )
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert len(batch.facts) + len(batch.rejects) == 100
    assert [found.records[one.index] for one in batch.rejects] == [1]


def spans_formed(*given: Span, rule: SpanRule) -> OtlpFormed:
    request = traces(*given)
    found = [
        lines_of_traces(body, encoding, rules=OtlpRules(spans=(rule,)), limits=LIMITS)
        for body, encoding in (
            (request.SerializeToString(), Encoding.PROTO),
            (as_json(request), Encoding.JSON),
        )
    ]
    assert found[0] == found[1]
    return found[0]


def span(name: str = "GET /orders", **more: Any) -> Span:
    return Span(
        **{
            "name": name,
            "trace_id": bytes(range(16)),
            "span_id": bytes(range(8)),
            "start_time_unix_nano": TIME_NS - 250_000_000,
            "end_time_unix_nano": TIME_NS,
            **more,
        }
    )


def test_a_span_is_an_event_with_its_duration_at_its_end() -> None:
    rule = SpanRule("api.called", where=(("http.route", "/orders"),))
    wanted = span(attributes=attributes({"http.route": "/orders", "tenant": "t1"}))
    found = spans_formed(span(), wanted, rule=rule)
    (line,) = said(found.lines)
    assert line["id"] == "000102030405060708090a0b0c0d0e0f-0001020304050607"
    assert (line["value"], line["time"]) == (0.25, "2026-05-21T10:00:00.123456789Z")
    assert line["attributes"] == {"http.route": "/orders", "tenant": "t1"}
    assert found.ignored == {"span_without_rule": 1}
    assert found.records == [1]


@pytest.mark.parametrize(
    ("code", "more", "outcome"),
    [
        (Status.STATUS_CODE_UNSET, {}, None),
        (Status.STATUS_CODE_OK, {"error.type": "retried"}, None),
        (Status.STATUS_CODE_ERROR, {}, "error"),
        (Status.STATUS_CODE_ERROR, {"error.type": "timeout"}, "timeout"),
        (Status.STATUS_CODE_ERROR, {"outcome": "ok"}, None),
    ],
)
def test_the_outcome_of_a_span_is_what_its_status_says(
    code: Status.StatusCode.ValueType, more: dict[str, object], outcome: str | None
) -> None:
    given = span(status=Status(code=code), attributes=attributes(more))
    (line,) = said(spans_formed(given, rule=SpanRule("api.called")).lines)
    assert line.get("outcome") == outcome


def test_a_rule_without_a_type_says_that_records_are_not_wanted() -> None:
    assert spans_formed(span(), rule=SpanRule("", "GET /orders")).ignored == {"not_wanted": 1}
    rules = OtlpRules(metrics=(MetricRule("", "depth"),))
    assert formed(gauge(number(1)), rules=rules).ignored == {"not_wanted": 1}


def test_a_rule_may_take_the_value_of_a_span_from_an_attribute() -> None:
    rule = SpanRule("api.called", "GET /orders", names=Names(value="cost"))
    (line,) = said(spans_formed(span(attributes=attributes({"cost": 3})), rule=rule).lines)
    assert line["value"] == 3


def test_spans_with_impossible_times_are_refused_and_without_ids_get_one() -> None:
    found = spans_formed(
        span(start_time_unix_nano=TIME_NS + 1),
        span(end_time_unix_nano=0),
        span(trace_id=b""),
        rule=SpanRule("api.called"),
    )
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert [one.reason for one in batch.rejects] == ["mapping", "missing_field"]
    assert len(said(found.lines)[2]["id"]) == 32


U64 = st.integers(0, 2**64 - 1) | st.integers(0, 20)
I32 = st.integers(-(2**31), 2**31 - 1) | st.integers(-8, 8)
FLOATS = st.floats() | st.integers(-5, 50).map(float)
COMMON = {
    "time_unix_nano": st.just(TIME_NS) | U64,
    "flags": st.sampled_from([0, 0, 0, 1]),
    "attributes": st.just(attributes({"error.type": "x", "value": 3, "id": "1"})) | st.just([]),
}
BUCKETS = st.builds(
    pb.ExponentialHistogramDataPoint.Buckets,
    offset=I32,
    bucket_counts=st.lists(U64, max_size=4),
)
NUMBERS = st.builds(pb.NumberDataPoint, as_double=FLOATS, **COMMON) | st.builds(
    pb.NumberDataPoint, as_int=st.integers(-(2**63), 2**63 - 1), **COMMON
)
HISTOGRAMS = st.builds(
    pb.HistogramDataPoint,
    count=U64,
    bucket_counts=st.lists(U64, max_size=4),
    explicit_bounds=st.lists(FLOATS, max_size=4) | st.just([1.0, 2.0]),
    **COMMON,
)
EXPONENTIALS = st.builds(
    pb.ExponentialHistogramDataPoint,
    count=U64, scale=I32, zero_count=U64, positive=BUCKETS, negative=BUCKETS, **COMMON,
)  # fmt: skip
TEMPORALITY = {"aggregation_temporality": st.sampled_from([0, 1, 1, 2])}
SHAPES: tuple[tuple[str, Any, Any, dict[str, Any]], ...] = (
    ("gauge", pb.Gauge, NUMBERS, {}),
    ("sum", pb.Sum, NUMBERS, {"is_monotonic": st.booleans(), **TEMPORALITY}),
    ("histogram", pb.Histogram, HISTOGRAMS, TEMPORALITY),
    ("exponential_histogram", pb.ExponentialHistogram, EXPONENTIALS, TEMPORALITY),
)
UNITS = st.sampled_from(["", "ms", "%"])
METRICS: st.SearchStrategy[pb.Metric] = st.one_of(
    [
        st.builds(
            pb.Metric,
            name=st.just("depth"),
            unit=UNITS,
            **{name: st.builds(kind, data_points=st.lists(points, max_size=3), **more)},
        )
        for name, kind, points, more in SHAPES
    ]
)


@given(st.lists(METRICS, max_size=3), st.sampled_from([RULES, COUNTED]))
def test_any_points_become_events_or_rejects_in_both_encodings_alike(
    given: list[pb.Metric], rules: OtlpRules
) -> None:
    found = formed(*given, rules=rules)
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert len(batch.facts) + len(batch.rejects) == len(found.lines)
    assert len(set(found.records)) + sum(found.ignored.values()) <= found.total


@given(st.data())
def test_a_damaged_request_is_read_or_malformed(data: st.DataObject) -> None:
    request = metrics(total(number(3)), histogram([2, 1], [1.0]), gauge(number(1.5)))
    encoding = data.draw(st.sampled_from(Encoding))
    body = bytearray(
        request.SerializeToString() if encoding is Encoding.PROTO else as_json(request)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = lines_of_metrics(bytes(body), encoding, rules=RULES, limits=LIMITS)
    except MalformedError:
        return
    batch = decode(found.lines, attributes=frozenset(), limits=LIMITS)
    assert len(batch.facts) + len(batch.rejects) == len(found.lines)
