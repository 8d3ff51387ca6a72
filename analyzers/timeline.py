"""The deploy timeline: which release was live, where, when, in what share.

Markers may come in any order, late or twice; the timeline is a function of the set of markers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from analyzers.facts import Marker

STARTED = "deployment.started"
SHIFTED = "deployment.shifted"
FINISHED = "deployment.finished"
ROLLED_BACK = "deployment.rolled_back"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One release as its markers tell it. Times are event time in ns since 1970.

    ``replaces`` is what the marker says, "" if it says nothing. ``shares`` are the traffic shares
    of the new version from a time on (None: not said), sorted by time.
    """

    name: str
    environment: str
    service: str
    version: str
    replaces: str
    strategy: str
    started_ns: int
    ended_ns: int | None
    rolled_back: bool
    outcome: str
    shares: tuple[tuple[int, float | None], ...]
    cohort: tuple[tuple[str, tuple[str, ...]], ...]
    owner: str
    runbook: str
    markers: tuple[Marker, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All deployments that started, by start, and the markers that belong to none: their
    deployment never started, or its name is that of another service's or environment's."""

    deployments: tuple[Deployment, ...]
    orphans: tuple[Marker, ...]


def timeline(markers: Iterable[Marker]) -> Timeline:
    """The timeline of a set of markers; order and repetition do not matter."""
    by_name: dict[str, list[Marker]] = {}
    unique: dict[tuple[str, str, str], Marker] = {}
    for marker in sorted(markers, key=_order):
        unique.setdefault((marker.environment, marker.service, marker.id), marker)
    for marker in unique.values():
        by_name.setdefault(marker.deployment, []).append(marker)
    deployments: list[Deployment] = []
    orphans: list[Marker] = []
    for name, told in by_name.items():
        starts = [m for m in told if m.type == STARTED] or [m for m in told if m.opens]
        start = next(iter(starts), None)
        if start is None:
            orphans += told
            continue
        own = [m for m in told if _whose(m) == _whose(start)]
        orphans += [m for m in told if _whose(m) != _whose(start)]
        deployments.append(_deployment(name, start, own))
    deployments.sort(key=lambda d: (d.started_ns, d.name))
    return Timeline(tuple(deployments), tuple(orphans))


def _order(marker: Marker) -> tuple[int, str, str, bytes]:
    """By time; ties end at what the marker says, or else the order of arrival would show."""
    said = msgspec.json.encode(marker, order="deterministic")
    return (marker.time_ns, marker.id, marker.type, said)


def _whose(marker: Marker) -> tuple[str, str]:
    return (marker.environment, marker.service)


def _deployment(name: str, start: Marker, own: list[Marker]) -> Deployment:
    end = next((m for m in own if m.type in (FINISHED, ROLLED_BACK) and _after(m, start)), None)
    shares = [
        (m.time_ns, m.share)
        for m in own
        if m is start or (m.type == SHIFTED and m.share is not None and _after(m, start))
    ]
    cohorts = [m.cohort for m in own if m.type in (STARTED, SHIFTED) and m.cohort]
    cohort = cohorts[-1] if cohorts else {}
    return Deployment(
        name=name,
        environment=start.environment,
        service=start.service,
        version=start.version,
        replaces=start.replaces,
        strategy=start.strategy,
        started_ns=start.time_ns,
        ended_ns=end.time_ns if end else None,
        rolled_back=any(m.type == ROLLED_BACK and _after(m, start) for m in own),
        outcome=end.outcome if end else "",
        shares=tuple(shares),
        cohort=tuple(sorted(cohort.items())),
        owner=next((m.owner for m in own if m.owner), ""),
        runbook=next((m.runbook for m in own if m.runbook), ""),
        markers=tuple(own),
    )


def _after(marker: Marker, start: Marker) -> bool:
    return marker.time_ns >= start.time_ns
