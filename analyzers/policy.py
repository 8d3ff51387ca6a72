"""What is demanded of a release: metrics, margins, error rates, services.

Frozen value types and the questions one asks of them. Reading YAML, the built-in catalogue and
reporting faults belongs to ``pipeline.config``; nothing here reads a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

import msgspec


class Kind(Enum):
    """How a metric's observations behave, and so which test compares them."""

    COUNT = "count"
    PROPORTION = "proportion"
    DURATION = "duration"
    AMOUNT = "amount"
    GAUGE = "gauge"
    RATIO = "ratio"


class Criticality(Enum):
    """What a metric may decide: critical and standard gate, watch never does."""

    CRITICAL = "critical"
    STANDARD = "standard"
    WATCH = "watch"


WEIGHTS: Final = {Criticality.CRITICAL: 2.0, Criticality.STANDARD: 1.0, Criticality.WATCH: 0.0}
"""What a metric of each criticality weighs in the false-alarm budget where it does not say."""


class Measure(Enum):
    """What one event contributes to a metric."""

    EVENTS = "events"  # its being there, ok outcomes only (count)
    OUTCOME = "outcome"  # ok or not (proportion)
    VALUE = "value"  # its value, ok outcomes only (duration, amount, gauge)
    ANSWER = "answer"  # whether it was answered within the deadline (proportion)
    VALIDITY = "validity"  # whether it could be read at all (proportion)
    FLOW = "flow"  # its being there, whatever the outcome (silence)
    ASSIGNMENT = "assignment"  # that a unit was put on its side (sample-ratio mismatch)


@dataclass(frozen=True, slots=True)
class Margin:
    """The largest harm still acceptable, a positive number: ``absolute`` in the metric's unit
    (a proportion's points as 0.03), or ``relative`` to the baseline (0.1 is 10 %)."""

    size: float
    relative: bool


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: which events feed it, how it is compared, and how much harm is acceptable.

    ``types`` and ``services`` empty mean any. ``where`` are attribute values that an event must
    have. ``quantum`` is the unit of the integer that a value becomes, ``deadline_s`` and
    ``answered_by`` belong to ANSWER metrics, ``exposure`` is the event type whose count per arm
    says how much traffic each arm had. ``over`` is the metric whose sums, or counts where it has no
    values, are the denominator of a RATIO. Values of an AMOUNT beyond ``cap`` count as ``cap``;
    None leaves it to the first values of the baseline. ``weight`` is the metric's part of the
    false-alarm budget beside the others'; None leaves it to the criticality.
    """

    name: str
    kind: Kind
    measure: Measure
    worse: Literal["higher", "lower"]
    margin: Margin
    criticality: Criticality
    unit: str
    types: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    segments: tuple[tuple[str, ...], ...] = ()
    quantum: float = 1e-6
    answered_by: str = ""
    deadline_s: int = 0
    exposure: str = ""
    over: str = ""
    cap: float | None = None
    weight: float | None = None
    synthetic: bool = False
    named: bool = False  # the user's policy names it, rather than only the catalogue
    reason: str = ""  # why the defaults are what they are


@dataclass(frozen=True, slots=True)
class Service:
    """Who owns a service and what is to be done when it suffers."""

    name: str
    tier: str = "standard"
    owner: str = ""
    escalation: str = ""
    runbook: str = ""
    rollback_criteria: str = ""
    recovery_objective_s: int | None = None
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on everything that can grow; each has a metric that shows how near it is."""

    line_bytes: int = 1 << 20
    body_bytes: int = 32 << 20
    batch_events: int = 100_000
    queued_events: int = 500_000
    open_deployments: int = 1_000
    segments: int = 200  # judged segments per metric and attribute set
    series: int = 200_000
    outbox: int = 10_000
    rejects: int = 10_000
    reject_payload_bytes: int = 4_096


@dataclass(frozen=True, slots=True)
class FixedRule:
    """The simple rule judged beside ours for comparison: once both arms have so many events of a
    metric, a point estimate beyond its margin is harm."""

    min_events: int = 100


DEFAULT_SEGMENTS: Final = (
    ("country",),
    ("region",),
    ("warehouse",),
    ("tenant",),
    ("partner",),
    ("document",),
    ("channel",),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a judgement depends on beside cells, timeline and time. Durations in seconds."""

    metrics: tuple[Metric, ...]
    services: Mapping[str, Service] = field(default_factory=dict)
    cohorts: tuple[str, ...] = ()
    error_rate: float = 0.01
    promotion_error_rate: float = 0.05
    assignment_error_rate: float = 0.001  # of a false sample-ratio mismatch
    bake_s: int = 0  # what happens so soon after the start is not judged: restarts, cold caches
    watch_s: int = 24 * 3600
    lateness_s: int = 30
    retention_s: int = 400 * 24 * 3600
    mode: Literal["enforce", "observe"] = "enforce"
    fixed_rule: FixedRule | None = None
    limits: Limits = field(default_factory=Limits)

    def attributes(self) -> frozenset[str]:
        """Names of the event attributes that folding needs."""
        names = set(self.cohorts)
        for metric in self.metrics:
            names.update(name for segment in metric.segments for name in segment)
            names.update(name for name, _ in metric.where)
        return frozenset(names)

    def metric(self, name: str) -> Metric:
        """The metric of that name; KeyError if there is none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def service(self, name: str) -> Service:
        """What is known of a service; the defaults if the policy does not name it."""
        return self.services.get(name) or Service(name)

    def digest(self) -> str:
        """``sha256:`` and the digest of everything the policy says, equal for equal policies."""
        body = msgspec.json.encode(self, order="deterministic", enc_hook=str)
        return "sha256:" + hashlib.sha256(body).hexdigest()
