"""A snapshot of the state for the faces of the daemon, made after each commit.

Reads the state and changes nothing. What a face shows is bounded here, once for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from analyzers.judging.verdict import Verdict
from analyzers.policy import Policy
from analyzers.timeline import Deployment
from analyzers.times import rfc3339
from analyzers.turn import State
from dashboards.snapshot import EventTally, Gauge, Release, ReleaseTally, Snapshot, Tallies

# Types and error words come from outside and may be anything. Beyond so many outcomes of a type
# they are one; beyond so many types only the most frequent are shown (they all count).
OUTCOMES_SHOWN: Final = 20
VERSIONS_SHOWN: Final = 5
KINDS_SHOWN: Final = 500
OTHER: Final = "other"

_Kind = tuple[str, str, str]


def snapshot_of(state: State, policy: Policy) -> Snapshot:
    """What the faces show of a state."""
    counts = state.counts
    events, versions = _events(state)
    return Snapshot(
        releases=_releases(state, policy),
        tallies=Tallies(
            events=counts.events,
            duplicates=counts.duplicates,
            conflicts=counts.conflicts,
            late=counts.late,
            folded=counts.folded,
            rejected=counts.rejected,
            markers=counts.markers,
        ),
        rejected_by_reason=dict(counts.rejected_by_reason),
        ignored_by_kind=dict(counts.ignored),
        events=events,
        versions=versions,
        deliveries=_deliveries(state.timeline.deployments),
        watermark_ns=state.watermark_ns,
    )


def open_deployments(state: State, policy: Policy) -> Gauge:
    """How many releases are being watched, and how many may be."""
    return Gauge(len(state.evidence), policy.limits.open_deployments)


def kept_series(state: State, policy: Policy) -> Gauge:
    """How many series of cells are kept, and how many should be."""
    return Gauge(len(state.roster), policy.limits.series)


def _releases(state: State, policy: Policy) -> dict[str, Release]:
    newest = sorted(
        state.timeline.deployments, key=lambda one: (one.started_ns, one.name), reverse=True
    )[: policy.limits.open_deployments]
    return {
        one.name: Release(
            verdict=state.verdicts.get(one.name) or _unjudged(one, policy),
            started_ns=one.started_ns,
            ended_ns=one.ended_ns,
            markers=one.markers,
        )
        for one in newest
    }


def _unjudged(deployment: Deployment, policy: Policy) -> Verdict:
    """The verdict on a release that no tick has judged yet."""
    service = policy.service(deployment.service)
    started = rfc3339(deployment.started_ns)
    return Verdict(
        deployment=deployment.name,
        service=deployment.service,
        environment=deployment.environment,
        version=deployment.version,
        replaces=deployment.replaces or None,
        strategy=deployment.strategy,
        design="concurrent",
        verdict="no_data",
        action="wait",
        indicative=False,
        as_of=started,
        since=started,
        decided_at=None,
        first_degraded_at=None,
        score=50,
        why="the marker has arrived; nothing has been judged since",
        reasons=[],
        impact=None,
        suspects=[],
        owner=deployment.owner or service.owner,
        runbook=deployment.runbook or service.runbook,
        policy=policy.digest(),
        mode=policy.mode,
    )


def _events(state: State) -> tuple[tuple[EventTally, ...], dict[_Kind, tuple[str, ...]]]:
    """Distinct events by type and outcome, and the newest versions of each type."""
    sums: dict[_Kind, dict[str, tuple[int, int]]] = defaultdict(dict)
    seen: dict[_Kind, dict[str, int]] = defaultdict(dict)
    for series, total in state.totals.items():
        told = dict(series.segment)
        kind = (series.environment, series.service, told["type"])
        events, last_ns = sums[kind].get(told["outcome"], (0, 0))
        sums[kind][told["outcome"]] = (events + total.events, max(last_ns, total.last_ns))
        if series.version:
            before = seen[kind].get(series.version, 0)
            seen[kind][series.version] = max(before, total.last_ns)
    shown = sorted(sums, key=lambda kind: (-_total(sums[kind]), kind))[:KINDS_SHOWN]
    tallies = tuple(
        EventTally(*kind, outcome, events, last_ns)
        for kind, outcomes in ((kind, sums[kind]) for kind in sorted(shown))
        for outcome, (events, last_ns) in _capped(outcomes).items()
    )
    return tallies, {kind: _newest(seen[kind]) for kind in shown if kind in seen}


def _total(outcomes: dict[str, tuple[int, int]]) -> int:
    return sum(events for events, _ in outcomes.values())


def _capped(outcomes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if len(outcomes) <= OUTCOMES_SHOWN:
        return outcomes
    ranked = sorted(outcomes, key=lambda word: (-outcomes[word][0], word))
    kept = {word: outcomes[word] for word in ranked[:OUTCOMES_SHOWN]}
    rest = [outcomes[word] for word in ranked[OUTCOMES_SHOWN:]]
    if OTHER in kept:
        rest.append(kept[OTHER])
    kept[OTHER] = (sum(events for events, _ in rest), max(last_ns for _, last_ns in rest))
    return kept


def _newest(versions: dict[str, int]) -> tuple[str, ...]:
    ranked = sorted(versions, key=lambda version: (-versions[version], version))
    return tuple(ranked[:VERSIONS_SHOWN])


def _deliveries(deployments: tuple[Deployment, ...]) -> tuple[ReleaseTally, ...]:
    told: dict[tuple[str, str], list[Deployment]] = defaultdict(list)
    for one in deployments:
        told[one.environment, one.service].append(one)
    return tuple(
        ReleaseTally(*key, len(ones), sum(one.rolled_back for one in ones))
        for key, ones in sorted(told.items())
    )
