"""The OTLP doors, their waiting room driven by hand: what senders are told, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette

from analyzers.policy import Limits
from collector.otlp import grpc as grpc_door
from collector.otlp.door import Counts, Door, Outcome
from collector.otlp.http import routes
from collector.otlp.rules import Encoding, MetricRule, OtlpRules, Signal, SpanRule
from collector.posted.waiting import WaitingRoom
from tests.otlp_doors import judged
from tests.otlp_requests import as_json, log, logs, metrics, traces

LIMITS = Limits(body_bytes=4_000, queued_events=5)
RULES = OtlpRules(spans=(SpanRule("api.called"),), metrics=(MetricRule("queue.sampled", "depth"),))
PROTO = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
ONE = logs(log(said={"id": "o-1"})).SerializeToString()
# The second has no time, so one of two is refused; the third is no event at all.
MIXED = logs(log(said={"id": "o-1"}), log(time_ns=0), log(""))


class Faces:
    """A door with both its faces, the room behind it, and clients in front."""

    def __init__(self, http: httpx.AsyncClient, channel: grpc.aio.Channel, door: Door) -> None:
        self.http, self.channel, self.door = http, channel, door
        self.room = door.room

    async def post(self, body: bytes, path: str = "/v1/logs", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, content=body, headers={**PROTO, **named})

    async def export(
        self, body: bytes, path: str = EXPORT, compression: grpc.Compression | None = None
    ) -> bytes:
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(path)
        return await export(body, compression=compression)

    async def refusal(self, body: bytes) -> tuple[grpc.StatusCode, str, Status]:
        """Code, words and details of the error that a gRPC request is answered with."""
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.export(body)
        told = Status()
        for name, value in error.value.trailing_metadata():
            if name == "grpc-status-details-bin":
                assert isinstance(value, bytes)
                told.ParseFromString(value)
        return error.value.code(), error.value.details() or "", told

    async def waiting(self, asked: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A request that has reached the room, or was answered without."""
        task = asyncio.create_task(asked)
        arrival = asyncio.create_task(self.room.wait(timeout_s=30))
        await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
        arrival.cancel()
        return task

    async def settled(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """The answer of one request, whose turn is taken as soon as it waits."""
        task = await self.waiting(asked)
        taken = self.room.take(events=100, size=1 << 20)
        for request in taken:
            request.settle(judged(request, LIMITS)[1])
        self.room.release(taken)
        return await task


def run(
    work: Callable[[Faces], Awaitable[None]], *, closed: str = "", grpc_too: bool = True
) -> None:
    async def around() -> None:
        room = WaitingRoom(events=5, size=20_000, closed=closed)
        door = Door(room, rules=RULES, limits=LIMITS, now_s=lambda: 0.0)
        server, port = await grpc_door.start(door, "127.0.0.1", 0) if grpc_too else (None, 1)
        transport = httpx.ASGITransport(Starlette(routes=routes(door)))
        try:
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
                grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            ):
                await work(Faces(http, channel, door))
        finally:
            if server is not None:
                await grpc_door.stop(server, grace_s=0)

    asyncio.run(around())


def test_a_request_is_answered_when_its_turn_is_over_and_not_before() -> None:
    async def work(faces: Faces) -> None:
        for asked in (faces.post(ONE), faces.export(ONE)):
            task = await faces.waiting(asked)
            assert not task.done()
            (request,) = faces.room.take(events=5, size=5_000)
            assert b'"o-1"' in request.payloads[0]
            request.settle(judged(request, LIMITS)[1])
            faces.room.release([request])
            await task

    run(work)


def test_nothing_is_said_of_a_request_that_was_used_whole() -> None:
    async def work(faces: Faces) -> None:
        proto = await faces.settled(faces.post(ONE))
        assert (proto.status_code, proto.content) == (200, b"")
        assert proto.headers["content-type"] == "application/x-protobuf"
        json = await faces.settled(faces.post(as_json(logs(log())), **JSON))
        assert (json.status_code, json.content) == (200, b"{}")
        assert json.headers["content-type"] == "application/json"
        assert await faces.settled(faces.export(ONE)) == b""
        nothing = await faces.post(ExportLogsServiceRequest().SerializeToString())
        assert nothing.status_code == 200

    run(work)


def test_refused_records_are_a_partial_success_with_the_first_reasons() -> None:
    words = (
        "1 of 3 records were refused (record 1: missing_field: the record has no time; "
        "fill id, time, type and service in every event)"
    )

    async def work(faces: Faces) -> None:
        response = await faces.settled(faces.post(MIXED.SerializeToString()))
        told = ExportLogsServiceResponse.FromString(response.content).partial_success
        assert (told.rejected_log_records, told.error_message) == (1, words)
        response = await faces.settled(faces.post(as_json(MIXED), **JSON))
        assert response.json() == {
            "partialSuccess": {"rejectedLogRecords": "1", "errorMessage": words}
        }
        answer = await faces.settled(faces.export(MIXED.SerializeToString()))
        assert ExportLogsServiceResponse.FromString(answer).partial_success == told
        assert faces.door.counts()[Signal.LOGS] == Counts(
            requests=3, records=9, events=6, rejected=3, ignored={"log_without_event_name": 3}
        )

    run(work)


def test_metrics_and_spans_have_their_own_paths_and_answers() -> None:
    point = pb.NumberDataPoint(as_double=1.0)
    depth = metrics(pb.Metric(name="depth", gauge=pb.Gauge(data_points=[point])))
    spans = traces(Span(name="x"))

    async def work(faces: Faces) -> None:
        response = await faces.settled(faces.post(depth.SerializeToString(), "/v1/metrics"))
        points = ExportMetricsServiceResponse.FromString(response.content).partial_success
        assert (points.rejected_data_points, points.error_message[:15]) == (1, "1 of 1 records ")
        response = await faces.settled(faces.post(spans.SerializeToString(), "/v1/traces"))
        told = ExportTraceServiceResponse.FromString(response.content).partial_success
        assert told.rejected_spans == 1
        path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        answer = await faces.settled(faces.export(spans.SerializeToString(), path))
        assert ExportTraceServiceResponse.FromString(answer).partial_success == told

    run(work)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(ONE), "gzip"),
        (gzip.compress(ONE[:9]) + gzip.compress(ONE[9:]), "x-gzip"),
        (zlib.compress(ONE), "deflate"),
        (ONE, "identity"),
    ],
)
def test_packed_bodies_are_unpacked(body: bytes, encoding: str) -> None:
    async def work(faces: Faces) -> None:
        response = await faces.settled(faces.post(body, content_encoding=encoding))
        assert response.status_code == 200
        assert faces.door.counts()[Signal.LOGS].events == 1

    run(work)


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"\xff", {}, 400, "malformed"),
        (b"{", JSON, 400, "malformed"),
        (b"x" * 4_001, {}, 413, "body_too_large"),
        (gzip.compress(bytes(1 << 20)), {"content_encoding": "gzip"}, 413, "body_too_large"),
        (zlib.compress(bytes(1 << 20)), {"content_encoding": "deflate"}, 413, "body_too_large"),
        (gzip.compress(ONE)[:-1], {"content_encoding": "gzip"}, 400, "bad_compression"),
        (zlib.compress(ONE)[:-1], {"content_encoding": "deflate"}, 400, "bad_compression"),
        (b"no deflate", {"content_encoding": "deflate"}, 400, "bad_compression"),
        (ONE, {"content_encoding": "br"}, 415, "unsupported_encoding"),
        (ONE, {"content_type": "text/plain"}, 415, "unsupported_content_type"),
        (ONE, {"origin": "http://elsewhere.example"}, 403, "cross_origin"),
        (logs(*[log()] * 6).SerializeToString(), {}, 413, "too_many_records"),
    ],
)
def test_what_is_of_no_use_is_refused_for_good_as_a_status_in_the_encoding_of_the_request(
    body: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    async def work(faces: Faces) -> None:
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        response = await faces.post(body, **named)
        assert response.status_code == status
        assert "retry-after" not in response.headers
        assert faces.door.refused == {word: 1}
        if response.headers["content-type"] == "application/json":
            told = response.json()["message"], response.json()["code"]
        else:
            found = Status.FromString(response.content)
            told = found.message, found.code
        assert told[0]
        assert told[1] in (3, 7, 8)

    run(work)


def test_a_full_room_says_when_to_come_back() -> None:
    async def work(faces: Faces) -> None:
        three = logs(log(), log(), log()).SerializeToString()
        first = await faces.waiting(faces.post(three))
        response = await faces.post(three)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert "3 events are waiting" in Status.FromString(response.content).message
        code, words, told = await faces.refusal(three)
        assert (code, words[:20]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "3 events are waiting")
        delay = RetryInfo()
        assert told.details[0].Unpack(delay)
        assert (told.code, delay.retry_delay.seconds) == (8, 1)
        assert faces.door.refused == {"busy": 2}
        first.cancel()

    run(work)


def test_a_closed_room_is_unavailable_for_now() -> None:
    async def work(faces: Faces) -> None:
        response = await faces.post(ONE)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert Status.FromString(response.content).message == "still loading"
        code, words, _ = await faces.refusal(ONE)
        assert (code, words) == (grpc.StatusCode.UNAVAILABLE, "still loading")

    run(work, closed="still loading")


def test_grpc_refuses_for_good_what_it_cannot_read_and_what_is_too_large() -> None:
    async def work(faces: Faces) -> None:
        code, words, told = await faces.refusal(b"\xff")
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "no ExportLogsServiceRequest in protobuf" in words
        assert (told.code, len(told.details)) == (3, 0)
        code, words, told = await faces.refusal(logs(*[log()] * 6).SerializeToString())
        assert (code, len(told.details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0)
        assert "6 log records, the limit is 5" in words
        code, _, told = await faces.refusal(bytes(4_001))
        assert (code, len(told.details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0)
        code, words, _ = await faces.refusal(gzip.compress(bytes(1 << 20)))
        assert (code, words[:40]) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED, "body is over 4000 bytes once unpacked; s"
        )  # fmt: skip
        code, words, _ = await faces.refusal(gzip.compress(ONE)[:-1])
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "cut off" in words

    run(work)


def test_grpc_unpacks_gzip_and_nothing_else() -> None:
    async def work(faces: Faces) -> None:
        gzipped = faces.export(ONE, compression=grpc.Compression.Gzip)
        assert await faces.settled(gzipped) == b""
        assert faces.door.counts()[Signal.LOGS].events == 1
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await faces.export(ONE, compression=grpc.Compression.Deflate)

    run(work)


def test_a_large_request_is_read_beside_the_loop_and_answered_alike() -> None:
    limits = Limits(queued_events=5_000)
    request = logs(*(log(said={"id": f"o-{n}", "pad": "x" * 60}) for n in range(3_000)))

    async def work() -> Counts:
        room = WaitingRoom(events=5_000, size=1 << 24)
        door = Door(room, rules=OtlpRules(), limits=limits, now_s=lambda: 0.0)
        with room.reading() as reading:
            taking = door.take(request.SerializeToString(), Signal.LOGS, Encoding.PROTO, reading)
            task = asyncio.create_task(taking)
            await room.wait(timeout_s=30)
            (waiting,) = room.take(events=5_000, size=1 << 24)
            waiting.settle(judged(waiting, limits)[1])
            assert await task == Outcome()
        return door.counts()[Signal.LOGS]

    assert asyncio.run(work()) == Counts(requests=1, records=3_000, events=3_000)


RECORDS = {
    "used": log(),
    "without a time": log(time_ns=0),
    "with a strange track": log(said={"plimsoll.track": "express"}),
    "no event": log(""),
}


@given(st.lists(st.sampled_from(sorted(RECORDS)), max_size=5), st.sampled_from([PROTO, JSON]))
def test_what_is_used_refused_and_ignored_adds_up(
    kinds: list[str], headers: dict[str, str]
) -> None:
    request = logs(*(RECORDS[kind] for kind in kinds))
    body = request.SerializeToString() if headers is PROTO else as_json(request)
    refused = sum(kind.startswith("with") for kind in kinds)

    async def work(faces: Faces) -> None:
        response = await faces.settled(faces.post(body, content_type=headers["content-type"]))
        counts = faces.door.counts()[Signal.LOGS]
        assert counts.records == len(kinds) == counts.events + sum(counts.ignored.values())
        assert counts.rejected == refused
        if headers is PROTO:
            told = ExportLogsServiceResponse.FromString(response.content).partial_success
            assert (told.rejected_log_records, bool(told.error_message)) == (refused, refused > 0)
        else:
            said = response.json().get("partialSuccess", {})
            assert int(said.get("rejectedLogRecords", 0)) == refused

    run(work, grpc_too=False)


def test_grpc_says_that_its_port_is_taken() -> None:
    async def work(faces: Faces) -> None:
        server, port = await grpc_door.start(faces.door, "127.0.0.1", 0)
        with pytest.raises(grpc_door.GrpcError, match=r"cannot listen on 127\.0\.0\.1:"):
            await grpc_door.start(faces.door, "127.0.0.1", port)
        await grpc_door.stop(server, grace_s=0)

    run(work)
