"""A small shop that tells what it does by the real OpenTelemetry SDK: logs, spans and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AnyValue

from collector.otlp.rules import MetricRule, OtlpRules, SpanRule

TIME_NS: Final = 1_779_357_600_000_000_000  # 2026-05-21T10:00:00Z
RULES: Final = OtlpRules(
    spans=(SpanRule("api.called", where=(("http.route", "/orders"),)),),
    metrics=(
        MetricRule("order.submitted", "shop.orders", counted=True),
        MetricRule("queue.sampled", "shop.queue"),
        MetricRule("queue.sampled", "shop.open"),
        MetricRule("query.executed", "shop.query.duration"),
        MetricRule("warehouse.task.completed", "shop.pick.duration"),
    ),
)
# As OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta sets it.
_DELTA: Final[dict[type, AggregationTemporality]] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
    UpDownCounter: AggregationTemporality.CUMULATIVE,
}
_RESOURCE: Final = Resource(
    {
        "service.name": "order-api",
        "service.version": "1.42.0",
        "deployment.environment.name": "production",
        "service.instance.id": "pod-1",
    }
)


@dataclass(frozen=True, slots=True)
class Shop:
    """The SDK's providers; what they are told is sent in the background, or by ``flush``. All but
    metrics, which the SDK times itself, happens from ``begin_ns`` on."""

    logs: LoggerProvider
    tracing: TracerProvider
    metering: MeterProvider
    begin_ns: int = TIME_NS

    def orders(self, first: int, n: int, *, without_name: int = 0) -> None:
        """Tells of orders as events, and of ``without_name`` other things as ordinary logs."""
        logger = self.logs.get_logger("shop")
        for number in range(first, first + n):
            record = LogRecord(
                timestamp=self.begin_ns + number,
                severity_number=SeverityNumber.INFO,
                event_name="order.submitted",
                attributes={"event.id": f"o-{number}", "value": 12.5, "warehouse": "W1"},
            )
            logger.emit(record)
        for number in range(without_name):
            logger.emit(LogRecord(timestamp=self.begin_ns + number, body="only words"))

    def deployed(self) -> None:
        """Tells of a deployment."""
        attributes: dict[str, AnyValue] = {
            "deployment": "d-1",
            "service": "order-api",
            "version": "1.43.0",
            "share": 0.1,
            "cohort.warehouse": ["W1"],
        }
        record = LogRecord(
            timestamp=self.begin_ns, event_name="deployment.started", attributes=attributes
        )
        self.logs.get_logger("deployer").emit(record)

    def served(self) -> None:
        """Serves one request well and another one not, and measures both."""
        tracer = self.tracing.get_tracer("shop")
        for status in (StatusCode.OK, StatusCode.ERROR):
            span = tracer.start_span(
                "POST /orders", attributes={"http.route": "/orders"}, start_time=self.begin_ns
            )
            span.set_status(Status(status))
            span.end(self.begin_ns + 250_000_000)
        tracer.start_span("GET /", start_time=self.begin_ns).end(self.begin_ns + 1)
        meter = self.metering.get_meter("shop")
        meter.create_counter("shop.orders").add(3)
        meter.create_up_down_counter("shop.open").add(7)
        meter.create_gauge("shop.queue", unit="{message}").set(41)
        for name in ("shop.query.duration", "shop.pick.duration"):
            histogram = meter.create_histogram(name, unit="ms")
            for duration in (3.0, 30.0, 30.5):
                histogram.record(duration)

    def flush(self) -> None:
        """Sends what is waiting; returns when it is answered."""
        assert self.logs.force_flush()
        assert self.tracing.force_flush()
        assert self.metering.force_flush()


@contextmanager
def shop(
    protocol: Literal["http", "grpc"], address: str, *, begin_ns: int = TIME_NS
) -> Iterator[Shop]:
    """A shop whose SDK sends over this protocol, packed with gzip over HTTP."""
    fine = View(
        instrument_name="shop.pick.duration", aggregation=ExponentialBucketHistogramAggregation()
    )
    if protocol == "http":
        logs = http_logs.OTLPLogExporter(f"{address}/v1/logs", compression=Compression.Gzip)
        spans = http_traces.OTLPSpanExporter(f"{address}/v1/traces", compression=Compression.Gzip)
        measures = http_metrics.OTLPMetricExporter(
            f"{address}/v1/metrics", preferred_temporality=_DELTA
        )
        reader = PeriodicExportingMetricReader(measures, export_interval_millis=3_600_000)
        made = _made(BatchLogRecordProcessor(logs), BatchSpanProcessor(spans), reader, fine)
    else:
        made = _made(
            BatchLogRecordProcessor(grpc_logs.OTLPLogExporter(address, insecure=True)),
            BatchSpanProcessor(grpc_traces.OTLPSpanExporter(address, insecure=True)),
            PeriodicExportingMetricReader(
                grpc_metrics.OTLPMetricExporter(
                    address, insecure=True, preferred_temporality=_DELTA
                ),
                export_interval_millis=3_600_000,
            ),
            fine,
        )
    try:
        yield replace(made, begin_ns=begin_ns)
    finally:
        made.logs.shutdown()
        made.tracing.shutdown()
        made.metering.shutdown()


def _made(
    logs: BatchLogRecordProcessor,
    spans: BatchSpanProcessor,
    reader: PeriodicExportingMetricReader,
    view: View,
) -> Shop:
    made = Shop(
        LoggerProvider(_RESOURCE),
        TracerProvider(resource=_RESOURCE),
        MeterProvider([reader], _RESOURCE, views=[view]),
    )
    made.logs.add_log_record_processor(logs)
    made.tracing.add_span_processor(spans)
    return made
