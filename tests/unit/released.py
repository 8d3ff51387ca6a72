"""Verdicts and snapshots as the faces of the daemon meet them, for their tests."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzers.facts import Marker
from analyzers.judging.verdict import Needed, Reason, Verdict
from dashboards.snapshot import (
    EventTally,
    Release,
    ReleaseTally,
    Snapshot,
    Tallies,
    Vitals,
)

MAY_21_NS = 1_779_357_600_000_000_000  # 2026-05-21T10:00:00Z


def reason(metric: str = "order_submission_success", **said: Any) -> Reason:
    """A reason that something is worse, with whatever is said otherwise."""
    plain = Reason(
        metric=metric,
        segment={},
        state="degraded",
        worse="lower",
        baseline=0.991,
        canary=0.954,
        effect=-0.037,
        low=-0.049,
        high=-0.025,
        relative_effect=-0.0373,
        unit="1",
        e_value=1840.0,
        e_safe=0.01,
        p_value=0.0005,
        n_baseline=9120,
        n_canary=1013,
        margin=-0.005,
        method="a test",
        gates=True,
        indicative=False,
        needed=None,
    )
    return msgspec.structs.replace(plain, **said)


def verdict(deployment: str = "d-42", **said: Any) -> Verdict:
    """A degraded verdict, with whatever is said otherwise."""
    plain = Verdict(
        deployment=deployment,
        service="order-api",
        environment="production",
        version="1.42.0",
        replaces="1.41.3",
        strategy="canary",
        design="concurrent",
        verdict="degraded",
        action="rollback",
        indicative=False,
        as_of="2026-05-21T12:00:00.000Z",
        since="2026-05-21T11:00:00.000Z",
        decided_at="2026-05-21T11:00:00.000Z",
        first_degraded_at="2026-05-21T11:00:00.000Z",
        score=0,
        why="orders are rejected",
        reasons=[reason()],
        impact=None,
        suspects=[],
        owner="team-orders",
        runbook="https://runbooks.example/orders",
        policy="sha256:0",
    )
    return msgspec.structs.replace(plain, **said)


def undecided(deployment: str = "d-43", **said: Any) -> Verdict:
    """A verdict that must wait for more."""
    more = reason(state="undecided", e_value=3.0, needed=Needed(140, 2100))
    plain = verdict(deployment, verdict="inconclusive", action="wait", score=50, reasons=[more])
    return msgspec.structs.replace(plain, **said)


def release(told: Verdict, *, started_ns: int = MAY_21_NS, markers: int = 1) -> Release:
    """A release with its verdict and a start marker, repeated with later times."""
    return Release(
        told,
        started_ns,
        None,
        tuple(
            Marker(
                id=f"m-{number}",
                time_ns=started_ns + number * 1_000_000_000,
                type="deployment.started",
                deployment=told.deployment,
                service=told.service,
            )
            for number in range(markers)
        ),
    )


def snapshot(*verdicts: Verdict, ready: bool = True) -> Snapshot:
    """A snapshot with a release for each verdict, and some of everything else."""
    return Snapshot(
        releases={told.deployment: release(told) for told in verdicts},
        tallies=Tallies(events=7, duplicates=2, conflicts=1, late=1, rejected=3, markers=1),
        rejected_by_reason={"not_json": 2, "too_long": 1},
        events=(
            EventTally("production", "order-api", "order.submitted", "ok", 5, MAY_21_NS),
            EventTally("production", "order-api", "order.submitted", "price", 2, MAY_21_NS + 1),
        ),
        versions={("production", "order-api", "order.submitted"): ("1.42.0", "1.41.3")},
        deliveries=(ReleaseTally("production", "order-api", 3, 1),),
        watermark_ns=MAY_21_NS,
        now_ns=MAY_21_NS + 30_000_000_000,
        quiet_s=2.5,
        vitals=Vitals(ready=ready),
    )


class Fixed:
    """A reader whose snapshot is given."""

    def __init__(self, given: Snapshot) -> None:
        self.given = given

    def snapshot(self) -> Snapshot:
        """The one that was given."""
        return self.given
