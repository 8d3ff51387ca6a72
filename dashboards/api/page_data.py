"""``GET /v1/page`` and ``GET /v1/evidence/{deployment}``: what the live page draws.

Times are epoch milliseconds of event time. The shapes are those of the page's own script.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.judging.verdict import State, Verdict
from analyzers.times import epoch_ms
from dashboards.api.answers import json
from dashboards.snapshot import Reader, Release, Snapshot

# The newest releases on the page, which asks every few seconds; /v1/verdicts has them all.
RELEASES: Final = 100


class PageCounts(msgspec.Struct, frozen=True):
    """How many of each have been counted, since the state was created."""

    events: int
    duplicates: int
    conflicts: int
    late: int
    rejected: int
    markers: int


class Arrival(msgspec.Struct, frozen=True):
    """What arrives: events of one type, when the last of them happened, in which versions."""

    environment: str
    service: str
    type: str
    events: int
    last: int
    versions: list[str]


class PageRelease(msgspec.Struct, frozen=True):
    """One release: its verdict, when it started and, once it has, when it ended."""

    verdict: Verdict
    started: int
    ended: int | None


class Page(msgspec.Struct, frozen=True):
    """Everything that the page shows at first sight."""

    version: str
    watermark: int | None
    now: int | None
    quiet_seconds: float | None
    counts: PageCounts
    rejected_by_reason: dict[str, int]
    arrivals: list[Arrival]
    releases: list[PageRelease]


class EvidenceMarker(msgspec.Struct, frozen=True):
    """One marker of the deployment."""

    at: int
    type: str
    share: float | None


class EvidenceMetric(msgspec.Struct, frozen=True):
    """How the evidence on one metric in one segment grew: arrays of equal length over ``at``.

    ``effect``, ``low`` and ``high`` are in the metric's unit, ``margin`` has the sign of harm; the
    thresholds are what ``e_value`` and ``e_safe`` must reach, None where they never decide.
    """

    metric: str
    segment: dict[str, str]
    kind: str
    unit: str
    worse: Literal["higher", "lower"]
    margin: float | None
    state: State
    gates: bool
    indicative: bool
    at: list[int]
    effect: list[float | None]
    low: list[float | None]
    high: list[float | None]
    e_value: list[float | None]
    e_safe: list[float | None]
    harm_threshold: float | None
    safe_threshold: float | None


class EvidenceSeries(msgspec.Struct, frozen=True):
    """A metric's own course in both arms; None where an arm had nothing in the interval."""

    metric: str
    unit: str
    at: list[int]
    width_ms: int
    baseline: list[float | None]
    canary: list[float | None]


class Evidence(msgspec.Struct, frozen=True):
    """The evidence on one deployment over time."""

    deployment: str
    markers: list[EvidenceMarker] = []
    metrics: list[EvidenceMetric] = []
    series: list[EvidenceSeries] = []


Evidencer = Callable[[str], Awaitable[Evidence]]


def routes(reader: Reader, evidence: Evidencer, *, version: str) -> list[Route]:
    """Both routes; ``evidence`` computes what it is asked for, empty for an unknown deployment."""

    async def page(_: Request) -> Response:
        return json(page_of(reader.snapshot(), version=version))

    async def evidence_of(request: Request) -> Response:
        return json(await evidence(request.path_params["deployment"]))

    return [
        Route("/v1/page", page, methods=["GET"], name="page"),
        Route("/v1/evidence/{deployment:path}", evidence_of, methods=["GET"], name="evidence"),
    ]


def page_of(snapshot: Snapshot, *, version: str) -> Page:
    """The page's data from a snapshot."""
    tallies = snapshot.tallies
    return Page(
        version=version,
        watermark=_ms(snapshot.watermark_ns),
        now=_ms(snapshot.now_ns),
        quiet_seconds=snapshot.quiet_s,
        counts=PageCounts(
            events=tallies.events,
            duplicates=tallies.duplicates,
            conflicts=tallies.conflicts,
            late=tallies.late,
            rejected=tallies.rejected,
            markers=tallies.markers,
        ),
        rejected_by_reason=dict(snapshot.rejected_by_reason),
        arrivals=_arrivals(snapshot),
        releases=[_release(one) for one in islice(snapshot.releases.values(), RELEASES)],
    )


def _arrivals(snapshot: Snapshot) -> list[Arrival]:
    events: dict[tuple[str, str, str], tuple[int, int]] = {}
    for tally in snapshot.events:
        key = (tally.environment, tally.service, tally.type)
        count, last = events.get(key, (0, 0))
        events[key] = (count + tally.events, max(last, tally.last_ns))
    return [
        Arrival(*key, count, epoch_ms(last), list(snapshot.versions.get(key, ())))
        for key, (count, last) in sorted(events.items())
    ]


def _release(release: Release) -> PageRelease:
    return PageRelease(release.verdict, epoch_ms(release.started_ns), _ms(release.ended_ns))


def _ms(time_ns: int | None) -> int | None:
    return None if time_ns is None else epoch_ms(time_ns)
