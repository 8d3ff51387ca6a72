"""From one record to one line of our own event JSON: fields, attributes, times, identities.

What logs, spans and metrics have in common. A record that cannot become an event becomes the line
of a refused one. Whether the event is a valid one is for ``decode`` to say.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from analyzers.policy import DEFAULT_SEGMENTS, Limits
from collector.decoding import refused
from collector.decoding.faults import Fault, Reason, quote
from collector.otlp.attributes import Reading, fits, flag, number, outcome, text
from collector.otlp.records import LogRecord, Point, Span, TooManyError, Value
from collector.otlp.rules import PREFIX

NOT_WANTED: Final = "not_wanted"  # a rule says so

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_TEXT_TIME_END_NS: Final = 4_102_444_800 * _NS_PER_S  # 2100: beyond it ``decode`` refuses anyhow
_SEGMENTS: Final = frozenset(name for names in DEFAULT_SEGMENTS for name in names)
_ENVIRONMENTS: Final = (
    PREFIX + "environment",
    "deployment.environment.name",
    "deployment.environment",
)
# A line's place in a topic, with the record's number, has to fit into an id.
_PLACE_BYTES: Final = 200

_sorted: Final = msgspec.json.Encoder(order="deterministic").encode
_plain: Final = msgspec.json.Encoder().encode


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """One event as our own JSON has it."""

    id: str
    time: int | str
    type: str
    service: str
    environment: str = ""
    version: str = ""
    track: str = ""
    outcome: str = ""
    value: float | None = None
    subject: str = ""
    ref: str = ""
    synthetic: bool = False
    attributes: dict[str, str] = {}


@dataclass(slots=True)
class OtlpFormed:
    """What a request becomes, as it grows.

    ``records[i]`` is the number of the record that ``lines[i]`` came of; ``ignored`` counts
    records that are no events, by why; ``left_out`` attributes that did not fit into theirs.
    ``total`` is the number of records of the request.
    """

    total: int = 0
    lines: list[bytes] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """What a resource says of all its records."""

    resource: Mapping[str, Value]
    service: str
    version: str
    environment: str
    instance: str
    track: str
    synthetic: bool
    attributes: Mapping[str, str]  # segments that hold for all that the resource does


def origin(resource: Mapping[str, Value]) -> Origin:
    """Whose records these are, by the semantic conventions.

    ``plimsoll.<name>`` of a resource says a field or an attribute of all its events, and the names
    of the built-in segments (``warehouse``, ``region``, ...) are attributes of them too.
    """
    environments = (text(resource.get(name)) for name in _ENVIRONMENTS)
    attributes = {}
    for name, value in resource.items():
        short = name.removeprefix(PREFIX)
        if short in ("track", "synthetic", "version", "environment", "service"):
            continue
        said = text(value)
        if (short != name or short in _SEGMENTS) and fits(short, said):
            attributes[short] = said
    return Origin(
        resource=resource,
        service=text(resource.get(PREFIX + "service")) or text(resource.get("service.name")),
        version=text(resource.get(PREFIX + "version")) or text(resource.get("service.version")),
        environment=text(resource.get(PREFIX + "environment"))
        or next(filter(None, environments), ""),
        instance=text(resource.get("service.instance.id")),
        track=text(resource.get(PREFIX + "track")),
        synthetic=flag(resource.get(PREFIX + "synthetic")) or False,
        attributes=attributes,
    )


def known(ns: int) -> int:
    """The time; RefusedError for the zero that stands for none."""
    if ns <= 0:
        raise RefusedError(Reason.MISSING_FIELD, "the record has no time")
    return ns


def said_time(ns: int) -> int | str:
    """Nanoseconds as an event's time: whole milliseconds as a number, else RFC 3339.

    >>> said_time(1779357600123000000), said_time(1779357600123456789)
    (1779357600123, '2026-05-21T10:00:00.123456789Z')
    """
    if ns % _NS_PER_MS == 0 or ns >= _TEXT_TIME_END_NS:
        return ns // _NS_PER_MS
    seconds, rest = divmod(ns, _NS_PER_S)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Identities:
    """Ids for records that bring none.

    In a topic, the place of the message and the record's number in it: what is read again has the
    same id, and equal records in different places are different events. In a request, a digest of
    the record with its resource, trace, span and time: a request that is sent again has the same
    ids, and records of one request that are equal in everything are numbered.
    """

    def __init__(self, place: str = "") -> None:
        if len(place.encode("utf-8", "replace")) > _PLACE_BYTES or not place.isprintable():
            place = hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=16).hexdigest()
        self._place = place
        self._seen: Counter[bytes] = Counter()

    def of(self, number: int, origin: Origin, kind: str, record: LogRecord | Span | Point) -> str:
        """The id of the record with this number; ``kind`` is what it is a record of."""
        if self._place:
            return f"{self._place}#{number}"
        # The instance stands for the resource: the rest of it may be filled in on the way.
        content = _sorted(
            (kind, origin.service, origin.environment, origin.version, origin.instance, record)
        )
        digest = hashlib.blake2b(content, digest_size=16).digest()
        self._seen[digest] += 1
        times = self._seen[digest]
        return digest.hex() if times == 1 else f"{digest.hex()}~{times}"


@dataclass(slots=True)
class Work:
    """One request while it is being read: the number of the record at hand, and what came of those
    before it."""

    limits: Limits
    identities: Identities
    formed: OtlpFormed
    number: int = -1

    @classmethod
    def on(cls, count: int, what: str, *, limits: Limits, place: str) -> Work:
        """The work on a request of ``count`` records; TooManyError if that is over the limit."""
        if count > limits.queued_events:
            most = limits.queued_events
            raise TooManyError(f"the request has {count} {what}, the limit is {most}")
        return cls(limits, Identities(place), OtlpFormed(total=count))

    def add(self, line: bytes) -> None:
        """Takes a line of the record at hand; one that is too long is cut so that it shows."""
        if len(line) > self.limits.line_bytes:
            line = line[: self.limits.line_bytes + 1]
        self.formed.lines.append(line)
        self.formed.records.append(self.number)

    def ignore(self, why: str, count: int = 1) -> None:
        """Counts records that are no events."""
        self.formed.ignored[why] += count

    def identity(self, origin: Origin, kind: str, record: LogRecord | Span | Point) -> str:
        """An id for the record at hand, which brings none."""
        return self.identities.of(self.number, origin, kind, record)


class RefusedError(Exception):
    """A record that cannot become an event; it becomes the line of a refused one."""

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(what)
        self.fault = Fault(reason, what)


def event(
    given: Reading,
    origin: Origin,
    *,
    kind: str,
    time_ns: int,
    failed: bool,
    attributes: Mapping[str, Value],
) -> Event:
    """The event without its id, and with the value that an attribute gives; RefusedError if the
    record cannot be one."""
    found = Event(
        id="",
        time=said_time(known(time_ns)),
        type=kind,
        service=origin.service,
        environment=origin.environment,
        version=origin.version,
        track=origin.track,
        outcome=outcome(given.fields, attributes, failed=failed),
        synthetic=origin.synthetic,
        attributes=given.attributes,
    )
    for name, value in given.fields.items():
        if name == "value":
            found.value = _value(value)
        elif name == "synthetic":
            found.synthetic = _synthetic(value, found.synthetic)
        elif name != "outcome" and (said := text(value)):
            setattr(found, name, said)
    if not found.service:
        raise RefusedError(Reason.MISSING_FIELD, "the resource has no service.name")
    return found


def _synthetic(value: Value, usual: bool) -> bool:
    found = flag(value)
    if found is None and value is not None:
        what = f"synthetic is {quote(value)}, neither true nor false"
        raise RefusedError(Reason.FIELD_TYPE, what)
    return usual if found is None else found


def _value(value: Value) -> float | None:
    if value is None or value == "":
        return None
    found = number(value)
    if found is None:
        raise RefusedError(Reason.FIELD_TYPE, f"value is {quote(value)}, not a number")
    return finite(found)


def finite(value: float) -> float:
    """The value; RefusedError if it is no finite number."""
    if not math.isfinite(value):
        raise RefusedError(Reason.VALUE_NOT_FINITE, f"value is {value}, which is no number")
    return value


def refused_line(
    fault: Fault,
    origin: Origin,
    record: LogRecord | Span | Point,
    *,
    kind: str,
    time_ns: int,
    limits: Limits,
) -> bytes:
    """The line of a record that cannot become an event."""
    payload = _plain({"record": kind, "says": record, "resource": origin.resource})
    return refused.line(
        fault,
        payload,
        most=limits.reject_payload_bytes,
        environment=origin.environment,
        service=origin.service,
        version=origin.version,
        time=said_time(time_ns) if time_ns > 0 else "",
    )


def line(found: msgspec.Struct) -> bytes:
    """An event or a marker as a line."""
    return _plain(found)


def matches(
    where: tuple[tuple[str, str], ...], attributes: Mapping[str, Value], origin: Origin
) -> bool:
    """Whether the record, or else its resource, has all these attributes."""
    return all(
        text(attributes[name] if name in attributes else origin.resource.get(name)) == wanted
        for name, wanted in where
    )
