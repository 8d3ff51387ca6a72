"""The ordinary CloudEvent of an event of ours, read at speed.

Only what surely is one is read here: version 1.0, data that are an object of our own fields, or no
data. Everything else is left to ``cloudevents``; what both read comes out the same.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from collector.decoding.markers import is_marker
from collector.decoding.said import NO_ATTRIBUTES, UNREADABLE, Said
from collector.foreign.values import last_segment

_HINT: Final = b'"specversion"'


class _Data(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The fields of an event, none of which need be there. A field that we do not know may be one
    of another tool's."""

    id: str | None = None
    time: str | int | None = None
    type: str | None = None
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    track: str | None = None
    outcome: str | None = None
    value: float | None = None
    subject: str | None = None
    ref: str | None = None
    synthetic: bool | None = None
    attributes: msgspec.Raw = NO_ATTRIBUTES


class _Envelope(msgspec.Struct, gc=False):
    """The attributes and extensions that fill in what the data leave out."""

    specversion: Literal["1.0"]
    source: str = ""
    id: str | None = None
    time: str | int | None = None
    type: str | None = None
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    track: str | None = None
    outcome: str | None = None
    ref: str | None = None
    data: _Data | None = None
    data_base64: None = None


_read: Final = msgspec.json.Decoder(_Envelope).decode
_NOTHING: Final = _Data()


def event(payload: bytes) -> Said | None:
    """The event in an envelope; None if it has to be read with more care, or is none."""
    if _HINT not in payload:
        return None
    try:
        around = _read(payload)
    except UNREADABLE:
        return None
    data = around.data or _NOTHING
    said_id = around.id if data.id is None else data.id
    time = around.time if data.time is None else data.time
    kind = around.type if data.type is None else data.type
    service = around.service if data.service is None else data.service
    if service is None:
        service = last_segment(around.source) or None
    if said_id is None or time is None or kind is None or service is None or is_marker(kind):
        return None
    return Said(
        id=said_id,
        time=time,
        type=kind,
        service=service,
        environment=around.environment if data.environment is None else data.environment,
        version=around.version if data.version is None else data.version,
        track=around.track if data.track is None else data.track,
        outcome=around.outcome if data.outcome is None else data.outcome,
        value=data.value,
        subject=data.subject,
        ref=around.ref if data.ref is None else data.ref,
        synthetic=data.synthetic,
        attributes=data.attributes,
    )
