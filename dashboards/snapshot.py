"""What the committed state said last: the one thing that every face of the daemon reads.

A snapshot is made after each commit and never changes, so that the page, the API and the metrics
agree with each other and with the disk. Nothing here computes a verdict or reads a clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from analyzers.auditing.audit import Audit
from analyzers.facts import Marker
from analyzers.judging.verdict import Verdict

# From a tenth of a millisecond (an empty turn) to ten seconds (a turn that needs looking at).
SECONDS_BOUNDS: Final = (
    0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often a duration fell between bounds: ``counts[i]`` at most ``bounds[i]`` seconds and
    over the bound before; the last count is over them all."""

    counts: tuple[int, ...] = (0,) * (len(SECONDS_BOUNDS) + 1)
    total_s: float = 0.0

    def observe(self, seconds: float) -> Distribution:
        """The distribution with one more duration in it."""
        place = bisect_left(SECONDS_BOUNDS, seconds)
        counts = (*self.counts[:place], self.counts[place] + 1, *self.counts[place + 1 :])
        return replace(self, counts=counts, total_s=self.total_s + seconds)


@dataclass(frozen=True, slots=True)
class Tallies:
    """How many of each the committed state has counted, since the state was created."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    folded: int = 0
    rejected: int = 0
    markers: int = 0


@dataclass(frozen=True, slots=True)
class EventTally:
    """Distinct events of one kind, and the newest of their times."""

    environment: str
    service: str
    type: str
    outcome: str
    events: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class ReleaseTally:
    """How many deployments of a service have started, and how many were rolled back."""

    environment: str
    service: str
    deployments: int
    rollbacks: int


@dataclass(frozen=True, slots=True)
class Release:
    """A deployment as its markers tell it and as it was judged last. Times are event time."""

    verdict: Verdict
    started_ns: int
    ended_ns: int | None
    markers: tuple[Marker, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something that can grow, and the most that it may."""

    value: float = 0.0
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceVitals:
    """How one source that is read is doing. ``trouble`` is empty where there is none; ``behind``
    is the number of its partitions or files of which more waits than has been read."""

    label: str
    trouble: str = ""
    stopped: bool = False
    read: int = 0
    rejected: int = 0
    duplicates: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Vitals:
    """How this process is doing; starts anew with it. ``None`` is not known yet."""

    ready: bool = False
    turns: int = 0
    queue_events: Gauge = Gauge()
    queue_bytes: Gauge = Gauge()
    outbox: Gauge = Gauge()
    open_deployments: Gauge = Gauge()
    series: Gauge = Gauge()
    identities: Gauge = Gauge()
    identities_forgotten: int = 0
    ingest_lag_s: float = 0.0
    checkpoint_age_s: float | None = None
    judgement: Distribution = Distribution()
    commit: Distribution = Distribution()
    requests_refused: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[SourceVitals, ...] = ()


@dataclass(frozen=True, slots=True)
class Audited:
    """The newest self-audit, and when it was finished, in seconds since 1970 UTC."""

    finished_s: float
    audit: Audit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The committed state as of its last commit, and the vital signs as of now.

    ``releases`` go by deployment name, newest start first. ``versions`` are the newest versions
    seen of each (environment, service, type).
    """

    releases: Mapping[str, Release] = field(default_factory=dict)
    tallies: Tallies = Tallies()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    ignored_by_kind: Mapping[str, int] = field(default_factory=dict)
    events: tuple[EventTally, ...] = ()
    versions: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    deliveries: tuple[ReleaseTally, ...] = ()
    watermark_ns: int | None = None
    now_ns: int | None = None
    quiet_s: float | None = None
    vitals: Vitals = Vitals()
    audit: Audited | None = None


class Reader(Protocol):
    """Where the faces of the daemon get what they show."""

    def snapshot(self) -> Snapshot:
        """What the committed state said last."""
