"""OpenTelemetry records as plain values, the same whether a request was protobuf or JSON.

Nothing here judges. Attributes are read up to a limited number, and nested values to a limited
depth; what lies deeper is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

# A scalar, a list of values or a mapping of texts to values; bytes are base64 text.
Value: TypeAlias = object
# A cohort needs two levels; the convention's own values stop at three.
DEPTH: Final = 6
# What is read of one set of attributes and of one list; SDKs send 128 attributes at most by
# themselves, and a cohort has up to 10,000 values. Beyond them a record costs seconds, and says no
# more than before.
ATTRIBUTES_READ: Final = 1_024
VALUES_READ: Final = 10_001  # one more than a cohort may have, so that it is seen to have too many


class MalformedError(ValueError):
    """A request that is not what its content type says; sending it again does not help."""


class TooManyError(ValueError):
    """A request with more records than could ever wait for a turn."""


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One log record; ids are lower-case hex, times nanoseconds or 0."""

    event_name: str
    time_ns: int
    severity: int
    trace: str
    span: str
    attributes: dict[str, Value]
    body: Value


class Span(msgspec.Struct, frozen=True, gc=False):
    """One span; ``failed``: its status is an error."""

    name: str
    start_ns: int
    end_ns: int
    trace: str
    span: str
    failed: bool
    attributes: dict[str, Value]


class Shape(Enum):
    """What a metric's data points are."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"
    EXPONENTIAL = "exponential histogram"
    SUMMARY = "summary"
    NONE = "metric without data"


class Temporality(Enum):
    """Whether a point tells what came since the last one, or since the beginning."""

    UNSPECIFIED = 0
    DELTA = 1
    CUMULATIVE = 2

    @classmethod
    def of(cls, number: int) -> Temporality:
        """That of this number; unknown ones are unspecified."""
        return cls(number) if number in (1, 2) else cls.UNSPECIFIED


class Point(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One data point. ``value`` belongs to gauges and sums, ``total`` (the number of observations)
    to the others; ``counts`` and ``bounds`` to histograms; ``scale``, ``zeros``, ``positive`` and
    ``negative`` (offset and counts) to exponential ones. ``absent``: its producer says that nothing
    was recorded."""

    attributes: dict[str, Value]
    start_ns: int
    time_ns: int
    absent: bool = False
    total: int = 0
    value: int | float | None = None
    counts: Sequence[int] = ()
    bounds: Sequence[float] = ()
    scale: int = 0
    zeros: int = 0
    positive: tuple[int, Sequence[int]] = (0, ())
    negative: tuple[int, Sequence[int]] = (0, ())


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; ``count`` says how many ``points`` there are before one is read."""

    name: str
    unit: str
    shape: Shape
    temporality: Temporality
    monotonic: bool
    count: int
    points: Iterator[Point]


Record = TypeVar("Record", LogRecord, Span, Metric)
Holder = TypeVar("Holder")


@dataclass(frozen=True, slots=True)
class Group(Generic[Record]):
    """The attributes of one resource and what it sent."""

    resource: Mapping[str, Value]
    records: Iterator[Record]


def counted(resources: int, lengths: Iterable[int], most: int) -> int:
    """How many records there are, of ``lengths`` for each scope or metric. TooManyError if there
    are more than ``most`` of these, or of resources: a request may hold millions that are empty,
    and walking them would take half a minute."""
    total = 0
    if resources > most:
        raise TooManyError(f"the request has {resources} resources, the limit is {most}")
    for place, length in enumerate(lengths):
        if place >= most:
            raise TooManyError(f"the request has over {most} scopes or metrics")
        total += length
    return total


def groups_of(
    found: Iterable[Holder],
    resource_of: Callable[[Holder], Mapping[str, Value]],
    records_of: Callable[[Holder], Iterator[Record]],
) -> Iterator[Group[Record]]:
    """A group for each of those found that holds a record: of nothing, a request may hold
    millions."""
    for one in found:
        records = records_of(one)
        first = next(records, None)
        if first is not None:
            yield Group(resource_of(one), chain((first,), records))


@dataclass(frozen=True, slots=True)
class Request(Generic[Record]):
    """One request: how many records (data points, for metrics), and the groups of them."""

    count: int
    groups: Iterator[Group[Record]]
