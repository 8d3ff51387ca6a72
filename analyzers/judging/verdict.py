"""Verdicts and their parts, in the public names and units of the JSON interface.

Only value types live here; how evidence becomes a verdict is in ``judge.py``.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal["healthy", "degraded", "inconclusive", "no_data"]
Action: TypeAlias = Literal["promote", "rollback", "wait", "hold"]
Design: TypeAlias = Literal["concurrent", "peers", "history"]
Mode: TypeAlias = Literal["enforce", "observe"]
State: TypeAlias = Literal["degraded", "safe", "undecided", "no_data", "not_observed"]

STATUSES: tuple[Status, ...] = ("healthy", "degraded", "inconclusive", "no_data")
ACTIONS: tuple[Action, ...] = ("promote", "rollback", "wait", "hold")


class Needed(msgspec.Struct, frozen=True):
    """How much more is required before a metric can be decided, at the present rate."""

    events: int
    seconds: int


class Impact(msgspec.Struct, frozen=True):
    """How much business the worst harm has touched so far."""

    events: float
    low: float
    high: float
    unit: str


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What one metric in one segment says. Numbers are in the metric's unit; None is unknown.

    ``detectable`` is the smallest harm that would be found now; ``impact`` what a harm has cost;
    ``weight`` its part of the budget of false alarms, 0 where it can roll nothing back.
    """

    metric: str
    segment: dict[str, str]
    state: State
    worse: Literal["higher", "lower"]
    baseline: float | None
    canary: float | None
    effect: float | None
    low: float | None
    high: float | None
    relative_effect: float | None
    unit: str
    e_value: float
    e_safe: float
    p_value: float
    n_baseline: int
    n_canary: int
    margin: float
    method: str
    gates: bool
    indicative: bool
    needed: Needed | None
    detectable: float | None = None
    impact: Impact | None = None
    weight: float = 0.0
    detail: str = ""


class Suspect(msgspec.Struct, frozen=True):
    """A deployment and the probability that it explains the harm."""

    deployment: str
    probability: float


class FixedRuleVerdict(msgspec.Struct, frozen=True):
    """What a threshold gate would say at this look, and the metrics that crossed their margin."""

    verdict: Literal["healthy", "degraded", "inconclusive"]
    metrics: list[str]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one deployment as of an event time. Times are RFC 3339, UTC.

    ``e_value`` is the weighted average e-value over all metrics and segments as of ``as_of``.
    ``ended_at`` is given once everything up to the deployment's end has been judged. In the mode
    ``observe`` the action is always ``wait``. ``fixed_rule`` is there if the policy asks for it,
    and influences nothing.
    """

    deployment: str
    service: str
    environment: str
    version: str
    replaces: str | None
    strategy: str
    design: Design
    verdict: Status
    action: Action
    indicative: bool
    as_of: str
    since: str
    decided_at: str | None
    first_degraded_at: str | None
    score: int
    why: str
    reasons: list[Reason]
    impact: Impact | None
    suspects: list[Suspect]
    owner: str
    runbook: str
    policy: str
    complete: bool = False
    mode: Mode = "enforce"
    e_value: float = 1.0
    ended_at: str | None = None
    fixed_rule: FixedRuleVerdict | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change of verdict that somebody must hear of."""

    deployment: str
    status: Literal["firing", "resolved"]
    at: str
    summary: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
