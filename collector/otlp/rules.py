"""Which OpenTelemetry records are events, and of which type: values that configuration fills.

Log records with an event name need no rule: semantic conventions say what they are. Spans and
metrics mean nothing to a business until a rule says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias


class Signal(Enum):
    """The three kinds of request."""

    LOGS = "logs"
    METRICS = "metrics"
    TRACES = "traces"


class Encoding(Enum):
    """How a request is written."""

    PROTO = "proto"
    JSON = "json"


PREFIX: Final = "plimsoll."
# What an attribute of the record can say. A bare name counts only where its value fits, so that a
# carrier's ``track`` or a text in ``value`` stays an attribute; with the prefix it has to fit.
FIELDS: Final = (
    "id", "subject", "ref", "value", "outcome", "track", "synthetic", "version", "environment",
    "service",
)  # fmt: skip
_BARE: Final = MappingProxyType(
    {
        "event.id": "id",
        "id": "id",
        "subject": "subject",
        "ref": "ref",
        "value": "value",
        "outcome": "outcome",
        "event.outcome": "outcome",
        "track": "track",
        "synthetic": "synthetic",
    }
)


_SAID: Final = ("event.name", "event.domain", "error.type")


@dataclass(frozen=True, slots=True)
class Names:
    """Which attribute fills which field of the event, instead of the usual ones; empty: those."""

    id: str = ""
    subject: str = ""
    ref: str = ""
    value: str = ""
    outcome: str = ""
    track: str = ""
    synthetic: str = ""
    version: str = ""
    environment: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class LogRule:
    """Log records with this event name (empty: with any or none) and with all of ``where`` are
    events of ``type``; with an empty ``type`` they are none.

    ``where`` are attributes of the record, or else of its resource, as texts. With an empty
    ``event_name`` something must stand in ``where``. The first rule that fits decides.
    """

    type: str
    event_name: str = ""
    where: tuple[tuple[str, str], ...] = ()
    names: Names = Names()


@dataclass(frozen=True, slots=True)
class SpanRule:
    """Spans with this name (empty: any) and all of ``where`` are events of ``type``: the value is
    the duration in seconds, the time is the end, the outcome what the status says. With an empty
    ``type`` they are none."""

    type: str
    span_name: str = ""
    where: tuple[tuple[str, str], ...] = ()
    names: Names = Names()


@dataclass(frozen=True, slots=True)
class MetricRule:
    """Data points of a metric, with all of ``where``, are events of ``type``; none if it is empty.

    The value is the point's, times ``factor``; without one, times become seconds by the metric's
    unit and everything else stays as it is. ``counted``: each unit of a delta sum is an event of
    its own without a value (37 orders since the last export are 37 events).
    """

    type: str
    metric: str
    where: tuple[tuple[str, str], ...] = ()
    names: Names = Names()
    factor: float | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class OtlpRules:
    """What the configuration says of OpenTelemetry records; nothing, without one."""

    logs: tuple[LogRule, ...] = ()
    spans: tuple[SpanRule, ...] = ()
    metrics: tuple[MetricRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The field that an attribute says, and whether its value has to fit there; an empty field:
    it says what a field says already, and so takes no attribute's place."""

    field: str
    strict: bool = True


# What attributes mean, by their names.
Naming: TypeAlias = Mapping[str, Wanted]


@lru_cache(maxsize=1024)
def naming(names: Names) -> Naming:
    """How the attributes of a record are understood under these names.

    >>> naming(Names(value="order.total"))["order.total"]
    Wanted(field='value', strict=True)
    """
    said = {name: Wanted("") for name in _SAID}
    usual = {name: Wanted(field, strict=False) for name, field in _BARE.items()}
    usual |= {PREFIX + name: Wanted(name) for name in FIELDS}
    chosen = {name: getattr(names, name) for name in FIELDS if getattr(names, name)}
    kept = {name: wanted for name, wanted in usual.items() if wanted.field not in chosen}
    return {**said, **kept, **{name: Wanted(field) for field, name in chosen.items()}}
