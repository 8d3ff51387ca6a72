"""Data points as lines, where a rule says of which type.

What becomes of a point depends on its metric, and is decided once, here:

- **Gauge**: one event with the value.
- **Sum that can fall** (an up-down counter), cumulative: its level, so as a gauge. As a delta it is
  a change of a level that nobody here knows, and is refused.
- **Sum that only rises**, delta: one event with what came, or with ``counted`` as many events as
  it says. Cumulative, it is refused: the difference to the point before would have to be kept
  somewhere for every series, and would be wrong after every restart and every point that is lost.
- **Histogram**, delta: one event for each observation, with the middle of its bucket as value; in
  the last bucket, which has no upper bound, the lower one; in the first, the middle of 0 and its
  bound, or a bound that is not positive itself. Every observation counts, since a mean per point
  would turn the tail of a distribution into noise. Sum, minimum and maximum are not used although
  they would sometimes give a value exactly: a point with few observations, which is the canary's,
  would be read otherwise than the baseline's, and the difference would look like an effect. So
  values are as fine as the buckets, and equal for both sides as long as their bounds are.
- **Exponential histogram**, delta: the same, with the geometric middle. Buckets finer than scale 3
  are merged to it first (within 4.4 %), which is exact: how fine a producer made them depends on
  how widely its values spread, and so differs between the sides.
- **Summary**, and whatever is cumulative: refused. Quantiles cannot be counted.

A point may become ``OBSERVATIONS`` events at most, and a request ``limits.queued_events``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from analyzers.policy import Limits
from collector.decoding.faults import Reason, quote
from collector.otlp import events, json, proto
from collector.otlp.attributes import reading, text
from collector.otlp.events import NOT_WANTED, Event, Origin, OtlpFormed, RefusedError, Work
from collector.otlp.records import Metric, Point, Shape, Temporality
from collector.otlp.rules import Encoding, MetricRule, OtlpRules, naming

WITHOUT_RULE: Final = "metric_without_rule"
NOT_RECORDED: Final = "no_recorded_value"
# An export interval of a minute with 160 observations a second. At half, busy services have to
# export more often; at double, one small request fills a turn with a single point.
OBSERVATIONS: Final = 10_000

_SCALE: Final = 3
# Beyond this exponent of two no bucket holds a number that a cell could.
_EXPONENT_MAX: Final = 60.0
_SECONDS: Final = MappingProxyType(
    {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
)
_DELTA_REMEDY: Final = (
    "set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta in its SDK, or put the "
    "cumulativetodelta processor into the Collector"
)


def lines_of_metrics(
    body: bytes, encoding: Encoding, *, rules: OtlpRules, limits: Limits, place: str = ""
) -> OtlpFormed:
    """The lines of a metrics request; its records are data points. Arguments and errors as in
    ``lines_of_logs``."""
    read = proto.metrics if encoding is Encoding.PROTO else json.metrics
    request = read(body, most=limits.queued_events)
    work = Work.on(request.count, "data points", limits=limits, place=place)
    wanted: dict[str, tuple[MetricRule, ...]] = {}
    for rule in rules.metrics:
        wanted[rule.metric] = (*wanted.get(rule.metric, ()), rule)
    for group in request.groups:
        origin = events.origin(group.resource)
        for metric in group.records:
            if metric.name not in wanted:
                work.ignore(WITHOUT_RULE, metric.count)
                work.number += metric.count
                continue
            for point in metric.points:
                work.number += 1
                _take(work, point, metric, origin, wanted[metric.name])
    return work.formed


def _take(
    work: Work, point: Point, metric: Metric, origin: Origin, rules: tuple[MetricRule, ...]
) -> None:
    if point.absent:
        work.ignore(NOT_RECORDED)
        return
    fitting = (one for one in rules if events.matches(one.where, point.attributes, origin))
    rule = next(fitting, None)
    if rule is None or not rule.type:
        work.ignore(WITHOUT_RULE if rule is None else NOT_WANTED)
        return
    try:
        lines = list(_lines(work, point, metric, origin, rule))
    except RefusedError as error:
        line = events.refused_line(
            error.fault,
            origin,
            point,
            kind=f"{metric.name} as {rule.type}",
            time_ns=point.time_ns,
            limits=work.limits,
        )
        lines = [line]
    for line in lines:
        work.add(line)


def _lines(
    work: Work, point: Point, metric: Metric, origin: Origin, rule: MetricRule
) -> Iterator[bytes]:
    """The lines of one point; RefusedError before the first of them if it cannot be used."""
    observed = _observed(point, metric, rule)
    after = work.formed.total - work.number - 1  # points that take at least a line each
    room = work.limits.queued_events - len(work.formed.lines) - after
    total = sum(count for _, count in observed)
    if total > min(OBSERVATIONS, room):
        what = (
            f"the point of {quote(metric.name)} holds {total} observations, more than "
            f"{min(OBSERVATIONS, room)}; export more often"
        )
        raise RefusedError(Reason.MAPPING, what)
    given = reading(point.attributes, naming(rule.names), origin.attributes)
    found = events.event(
        given,
        origin,
        kind=rule.type,
        time_ns=point.time_ns,
        failed=False,
        attributes=point.attributes,
    )
    values = [(_converted(value, metric, rule), count) for value, count in observed]
    work.formed.left_out += given.left_out
    name = text(given.fields.get("id")) or work.identity(origin, metric.name, point)
    one = metric.shape in (Shape.GAUGE, Shape.SUM) and not rule.counted
    return _repeated(found, name, values, one=one)


def _repeated(
    found: Event, name: str, values: list[tuple[float | None, int]], *, one: bool
) -> Iterator[bytes]:
    place = 0
    for value, count in values:
        if value is not None:  # else what an attribute says stays
            found.value = value
        for _ in range(count):
            found.id = name if one else f"{name}.{place}"
            place += 1
            yield events.line(found)


_Observed = list[tuple[float | None, int]]  # a value, and how often it was observed


def _observed(point: Point, metric: Metric, rule: MetricRule) -> _Observed:
    match metric.shape:
        case Shape.GAUGE:
            return [(_single(point), 1)]
        case Shape.SUM:
            return _of_sum(point, metric, rule)
        case Shape.HISTOGRAM | Shape.EXPONENTIAL:
            if metric.temporality is not Temporality.DELTA:
                raise _cumulative(metric)
            found = _of_histogram if metric.shape is Shape.HISTOGRAM else _of_exponential
            observed = found(point)
            if sum(count for _, count in observed) != point.total:
                raise RefusedError(
                    Reason.MAPPING, "the buckets do not hold as many observations as the count says"
                )
            return observed
    raise RefusedError(
        Reason.MAPPING, f"{quote(metric.name)} is a {metric.shape.value}, which gives no events"
    )


def _of_sum(point: Point, metric: Metric, rule: MetricRule) -> _Observed:
    value = _single(point)
    if not metric.monotonic:
        if metric.temporality is Temporality.CUMULATIVE:
            return [(value, 1)]
        raise RefusedError(
            Reason.MAPPING,
            f"{quote(metric.name)} can fall and tells changes, not its level; export it "
            "cumulative (temporality preference delta does so for up-down counters)",
        )
    if metric.temporality is not Temporality.DELTA:
        raise _cumulative(metric)
    if not rule.counted:
        return [(value, 1)]
    if value < 0 or not float(value).is_integer():
        raise RefusedError(Reason.MAPPING, f"{quote(value)} is no number of events")
    return [(None, int(value))]


def _cumulative(metric: Metric) -> RefusedError:
    told = metric.temporality.name.lower()
    return RefusedError(
        Reason.MAPPING,
        f"{quote(metric.name)} is a {told} {metric.shape.value}, whose points tell only with those "
        f"before what is new; {_DELTA_REMEDY}",
    )


def _single(point: Point) -> float:
    if point.value is None:
        raise RefusedError(Reason.MISSING_FIELD, "the data point has no value")
    return events.finite(point.value)


def _of_histogram(point: Point) -> _Observed:
    counts, bounds = point.counts, point.bounds
    if not counts:
        return [] if not point.total else _without_buckets()
    if len(counts) == 1 and not bounds:
        return _without_buckets() if point.total else []
    if len(counts) != len(bounds) + 1:
        what = f"{len(counts)} buckets do not go with {len(bounds)} bounds"
        raise RefusedError(Reason.MAPPING, what)
    if not all(map(math.isfinite, bounds)) or any(low >= high for low, high in pairwise(bounds)):
        raise RefusedError(Reason.MAPPING, "the bounds of the buckets do not rise")
    first = bounds[0] / 2 if bounds[0] > 0 else bounds[0]
    middles = (low / 2 + high / 2 for low, high in pairwise(bounds))
    values = (first, *middles, bounds[-1])
    return [(value, count) for value, count in zip(values, counts, strict=True) if count]


def _without_buckets() -> _Observed:
    raise RefusedError(
        Reason.MAPPING, "the histogram has no buckets, and its mean is no observation"
    )


def _of_exponential(point: Point) -> _Observed:
    observed: _Observed = [(0.0, point.zeros)] if point.zeros else []
    for sign, (offset, counts) in ((1.0, point.positive), (-1.0, point.negative)):
        merged: dict[int, int] = {}
        scale = min(point.scale, _SCALE)
        for index, count in enumerate(counts, offset):
            if count:
                # Halving an index merges two neighbours; shifting rounds down, also below zero.
                bucket = index >> min(point.scale - scale, 64)
                merged[bucket] = merged.get(bucket, 0) + count
        for bucket, count in merged.items():
            exponent = math.ldexp(bucket + 0.5, -scale) if scale > -40 else math.inf
            if abs(exponent) > _EXPONENT_MAX:
                raise RefusedError(
                    Reason.VALUE_OUT_OF_RANGE, f"bucket {bucket} of scale {scale} is out of range"
                )
            observed.append((sign * math.exp2(exponent), count))
    return observed


def _converted(value: float | None, metric: Metric, rule: MetricRule) -> float | None:
    if value is None:
        return None
    factor = _SECONDS.get(metric.unit, 1.0) if rule.factor is None else rule.factor
    return events.finite(value * factor)
