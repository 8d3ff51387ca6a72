"""What the intake answers, for the OpenAPI document: the routes that only this room sees whole.

The collector takes events and the dashboards describe answers; neither knows the other.
"""

from __future__ import annotations

from typing import Final

import msgspec

from collector.keeping.reject_list import RejectList, Replayed
from collector.posted.waiting import Answer
from dashboards.api.openapi import OPERATIONS, Answered, Operation, Parameter
from pipeline.mark import NewMarker


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One business event, as it is sent. Unknown fields are ignored."""

    id: str
    time: str | int
    type: str
    service: str
    environment: str | None = None
    version: str | None = None
    track: str | None = None
    outcome: str | None = None
    value: float | None = None
    subject: str | None = None
    ref: str | None = None
    synthetic: bool | None = None
    attributes: dict[str, str] = msgspec.field(default_factory=dict)


_TAKEN: Final = (
    Answered(202, "What became of each; it is on disk.", Answer),
    Answered(400, "The gzip is damaged, or the client left."),
    Answered(403, "A web page of another origin tried to write."),
    Answered(413, "The body, or the number of events in it, is over a limit."),
    Answered(415, "Content type, charset or content encoding is not read."),
    Answered(429, "Too much is waiting.", retry=True),
    Answered(503, "The daemon is loading its state, stopping, or cannot save.", retry=True),
)

# In the content type of the request: JSON is answered with JSON.
_PROTOBUF: Final = "application/x-protobuf"
_OTLP_TAKEN: Final = tuple(
    Answered(status, when, _PROTOBUF, retry=status in (429, 503))
    for status, when in (
        (200, "Committed; a partial success says what was refused."),
        (400, "No request of this signal."),
        (403, "A web page of another origin tried to write."),
        (413, "The body, unpacked, is over a limit."),
        (415, "Content type or content encoding is not read."),
        (429, "Too much is waiting."),
        (503, "The daemon is loading its state, stopping, or cannot save."),
    )
)

ALL_OPERATIONS: Final = (
    Operation("post", "/v1/events", "events", "Take business events.", _TAKEN, takes=Event),
    Operation(
        "post", "/v1/markers", "markers", "Take deployment markers.", _TAKEN, takes=NewMarker
    ),
    *(
        Operation("post", f"/v1/{signal}", signal, f"Take OpenTelemetry {signal}.", _OTLP_TAKEN)
        for signal in ("logs", "metrics", "traces")
    ),
    Operation(
        "get", "/v1/rejects", "rejects", "The newest rejects that are kept.",
        (
            Answered(200, "Always; the list may be empty.", RejectList),
            Answered(400, "The limit is no number up to 10000."),
            Answered(503, "The state cannot be read now.", retry=True),
        ),
        (
            Parameter("reason", "query", "Only those with this reason."),
            Parameter("source", "query", "Only those from this source, or from below it."),
            Parameter("service", "query", "Only those of this service."),
            Parameter("limit", "query", "At most so many, 100 without it."),
        ),
    ),
    Operation(
        "post", "/v1/rejects/replay", "replay_rejects",
        "Try rejects once more, at most 500: an object with any of reason, source, service, ids, "
        "after, until; go on with `after` at `next`.",
        (
            Answered(200, "What became of each; it is on disk.", Replayed),
            Answered(400, "The body is no such object."),
            Answered(415, "The content type is not application/json."),
            Answered(429, "Too much is waiting.", retry=True),
            Answered(503, "The daemon is loading its state, stopping, or cannot save.", retry=True),
        ),
    ),
    *OPERATIONS,
)  # fmt: skip
