"""OTLP answers: what was accepted and what was not, and errors, in protobuf and in JSON."""

from __future__ import annotations

from typing import Final

import msgspec
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb

from collector.otlp.door import Outcome
from collector.otlp.rules import Encoding, Signal

# The answer of each signal, and what it calls its refused records in protobuf and in JSON.
_ANSWERS: Final = {
    Signal.LOGS: (logs_pb.ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    Signal.METRICS: (
        metrics_pb.ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"
    ),
    Signal.TRACES: (trace_pb.ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
}  # fmt: skip
# What a message may hold of words that came in with the request.
_MESSAGE_CHARACTERS: Final = 1_000


def accepted(signal: Signal, encoding: Encoding, outcome: Outcome) -> bytes:
    """The body of an answer to a request that was kept; empty of words if all of it was used."""
    message = outcome.message[:_MESSAGE_CHARACTERS]
    kind, rejected, in_json = _ANSWERS[signal]
    if encoding is Encoding.JSON:
        if not message:
            return b"{}"
        # A 64-bit integer, which the JSON of protobuf writes as text.
        partial = {in_json: str(outcome.rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial})
    answer = kind()
    if message:
        setattr(answer.partial_success, rejected, outcome.rejected)
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def status(code: int, message: str, encoding: Encoding, *, retry_after_s: int = 0) -> bytes:
    """An error as ``google.rpc.Status``; with a time after which trying again may help."""
    message = message[:_MESSAGE_CHARACTERS]
    if encoding is Encoding.JSON:
        return msgspec.json.encode({"code": code, "message": message})
    details = []
    if retry_after_s:
        packed = Any()
        packed.Pack(RetryInfo(retry_delay=Duration(seconds=retry_after_s)))
        details.append(packed)
    body: bytes = Status(code=code, message=message, details=details).SerializeToString()
    return body
