"""What a self-audit found: how often a release that changed nothing was blamed, and how often a
known harm was noticed, each with its interval.

Values and their summary only; trials are made in ``trial.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
from scipy.special import betaincinv

from analyzers.auditing.injury import HARM_MARGINS
from analyzers.auditing.trial import Trial
from analyzers.policy import Kind, Metric, Policy

Finding: TypeAlias = Literal["fine", "above"]

SCHEMA: Final = 1
CONFIDENCE: Final = 0.95
_WEAK: Final = 0.5  # a harm that is found less often than this would mostly be missed


class Rate(msgspec.Struct, frozen=True):
    """``found`` of ``tried``, as a share with its exact 95 % interval."""

    found: int
    tried: int
    share: float
    low: float
    high: float


class MetricAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. ``false_alarms``: how often its total alone reached 1 / error rate on nothing;
    ``fixed_rule`` and ``repeated_test`` what simpler rules did on the same placebos (None: they
    know no such kind). ``power``: how often a harm of ``harm`` was found within the watch, by its
    total alone, and ``rolled_back`` by the policy's own rule; the medians are those of the harms
    found, none of which can take longer than the watch."""

    metric: str
    indicative: bool
    false_alarms: Rate
    fixed_rule: Rate | None = None
    repeated_test: Rate | None = None
    harm: str = ""
    power: Rate | None = None
    rolled_back: Rate | None = None
    median_seconds: float | None = None
    median_events: float | None = None


class Unmeasured(msgspec.Struct, frozen=True):
    """A metric of which the recording says nothing, what it lacks, and how many ``events`` feed it
    all the same."""

    metric: str
    why: str
    events: int


class Left(msgspec.Struct, frozen=True):
    """Events of a version that were left out, because it was a canary itself."""

    version: str
    events: int


class ServiceAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One service in one environment: what was replayed and what came out. No placebo is watched
    for longer than ``watch_seconds``: what takes longer counts as not found. ``advice`` is what to
    do about it, a sentence each. Times are event times, RFC 3339."""

    environment: str
    service: str
    events: int
    left_out: list[Left]
    since: str
    until: str
    watch_seconds: int
    finding: Finding
    false_alarms: Rate
    promoted: Rate
    fixed_rule: Rate
    repeated_test: Rate
    metrics: list[MetricAudit]
    advice: list[str]
    not_measured: list[Unmeasured] = msgspec.field(default_factory=list)


class Skipped(msgspec.Struct, frozen=True):
    """A service that was not audited, and why; one that was not ``reached`` had no time left."""

    environment: str
    service: str
    events: int
    why: str
    reached: bool = True


class Counts(msgspec.Struct, frozen=True):
    """How many lines of the recording were what, in the words of ``plimsoll replay``. ``events``
    are distinct ones; ``rejected`` counts every line that is of no use, parts of files that were
    cut off among them; ``ignored`` are payloads of other tools that are no markers."""

    events: int = 0
    duplicates: int = 0
    rejected: int = 0
    markers: int = 0
    conflicts: int = 0
    rejected_by_reason: dict[str, int] = msgspec.field(default_factory=dict)
    ignored: int = 0
    ignored_by_kind: dict[str, int] = msgspec.field(default_factory=dict)


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What ``plimsoll audit --format json`` prints. ``error_rate`` is the promised rate of false
    rollbacks of a deployment; ``harm_margins`` the size of the injected harm in margins; ``by``
    what was put on a side together; ``bounded`` says what was not read, if anything; ``counts`` are
    of all that was."""

    schema: int
    policy: str
    error_rate: float
    splits: int
    shares: list[float]
    seed: int
    looks: int
    by: str
    harm_margins: float
    confidence: float
    finding: Finding
    services: list[ServiceAudit]
    skipped: list[Skipped]
    bounded: str = ""
    counts: Counts = msgspec.field(default_factory=Counts)


def rate(found: int, tried: int) -> Rate:
    """The share with its interval (Clopper and Pearson 1934, Biometrika 26: exact, at least 95 %).

    >>> round(rate(0, 40).high, 4)
    0.0881
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(betaincinv(found, tried - found + 1, tail)) if found else 0.0
    high = float(betaincinv(found + 1, tried - found, 1.0 - tail)) if found < tried else 1.0
    return Rate(found, tried, found / tried if tried else 0.0, low, high)


def percent(share: float, digits: int = 2) -> str:
    """A share in percent as people write it, without the sign: never with an exponent, and 100
    only where it is all.

    >>> [percent(share) for share in (0.0, 0.00123, 0.37, 0.9993, 1.0)]
    ['0', '0.12', '37', '99.9', '100']
    """
    value = 100.0 * share
    written = float(f"{value:.{digits}g}")
    if written >= 100.0 > value:
        written = min(float(f"{value:.3g}"), 99.9)
    return f"{written:.10f}".rstrip("0").rstrip(".")


def verdict_line(told: ServiceAudit, error_rate: float) -> str:
    """One sentence on the false alarms of a service."""
    r = told.false_alarms
    measured = (
        f"measured false alarms {r.found} of {r.tried} ({percent(r.low)} to {percent(r.high)} %)"
    )
    if told.finding == "fine":
        return f"{measured}: no sign that it is above the promised {percent(error_rate)} %"
    if r.low > error_rate:
        return f"{measured}: above the promised {percent(error_rate)} %"
    names = ", ".join(m.metric for m in told.metrics if m.false_alarms.low > error_rate)
    return f"{measured}; above the promised {percent(error_rate)} % by themselves: {names}"


def harm_text(metric: Metric) -> str:
    """The injected harm in words, with its sign."""
    size = HARM_MARGINS * metric.margin.size * (1.0 if metric.worse == "higher" else -1.0)
    if metric.margin.relative:
        return f"{size * 100:+.4g} %"
    if metric.kind is Kind.PROPORTION:
        return f"{size * 100:+.4g} points"
    return f"{size:+.4g} {metric.unit}".removesuffix(" 1")  # the unit of what has none


def metric_audits(
    nothing: Sequence[Trial], harmed: Sequence[tuple[str, Trial]], policy: Policy
) -> list[MetricAudit]:
    """What the trials say of each metric: ``nothing`` changed, or one ``harmed`` (by its name)."""
    names = sorted({one.metric for trial in nothing for one in trial.metrics})
    return [_metric(policy.metric(name), nothing, harmed) for name in names]


def _metric(
    metric: Metric, nothing: Sequence[Trial], harmed: Sequence[tuple[str, Trial]]
) -> MetricAudit:
    told = [one for trial in nothing for one in trial.metrics if one.metric == metric.name]
    simple = [one for trial in nothing for one in trial.simple if one.metric == metric.name]
    mine = [trial for name, trial in harmed if name == metric.name]
    hits = [
        one for trial in mine for one in trial.metrics if one.metric == metric.name and one.found
    ]
    return MetricAudit(
        metric=metric.name,
        indicative=any(one.indicative for one in told),
        false_alarms=rate(sum(one.found for one in told), len(told)),
        fixed_rule=rate(sum(one.fixed for one in simple), len(nothing)) if simple else None,
        repeated_test=rate(sum(one.peeked for one in simple), len(nothing)) if simple else None,
        harm=harm_text(metric) if mine else "",
        power=rate(len(hits), len(mine)) if mine else None,
        rolled_back=rate(sum(trial.rolled_back for trial in mine), len(mine)) if mine else None,
        median_seconds=float(np.median([one.seconds for one in hits])) if hits else None,
        median_events=float(np.median([one.events for one in hits])) if hits else None,
    )


def finding(
    nothing: Sequence[Trial], metrics: Sequence[MetricAudit], policy: Policy, *, by: str
) -> tuple[Finding, list[str]]:
    """Whether false alarms are measurably above what the policy promises, and what to do."""
    overall = rate(sum(trial.rolled_back for trial in nothing), len(nothing))
    loud = [m.metric for m in metrics if m.false_alarms.low > policy.error_rate]
    advice = []
    if loud or overall.low > policy.error_rate:
        whose = f" of {', '.join(loud)}" if loud else ""
        together = (
            f"Declare a `subject` on the events{whose}: those of one customer, invoice or session "
            "succeed and fail together, and count as one only if they say whose they are."
        )
        advice = [
            together,
            f"Raise the margin{whose}: it is smaller than what the sides differ by on their own.",
            "Until then set `mode: observe`, so that no rollout tool acts on it.",
        ]
        if by == "event":
            advice = advice[1:]
    weak = [
        m.metric
        for m in metrics
        if m.power is not None and not m.indicative and m.power.share < _WEAK
    ]
    if weak:
        advice.append(
            f"A harm of {HARM_MARGINS:g} margins would mostly be missed in {', '.join(weak)}: "
            "watch for longer, give the canary a larger share, or accept a larger margin."
        )
    return ("above" if loud or overall.low > policy.error_rate else "fine"), advice


def any_simple(nothing: Sequence[Trial], *, fixed: bool) -> Rate:
    """How often a simpler rule blamed a placebo for any of its metrics."""
    hits = sum(any(one.fixed if fixed else one.peeked for one in trial.simple) for trial in nothing)
    return rate(hits, len(nothing))
