"""The evidence for and against one deployment: all its comparisons, weighed together.

False rollbacks are bounded over all metrics and segments at once: the weighted average of their
e-values is an e-process whatever their dependence, and weights are fixed when a comparison first
appears (Wang and Ramdas 2022, JRSS-B, on averaging e-values). Promotion asks every gating metric
by itself (intersection-union), which needs no correction.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import groupby, repeat
from typing import Final

import numpy as np

from analyzers.arms import Key, Rows, attribute, no_rows, share_over, with_exposure
from analyzers.cells import Cells, Segment
from analyzers.comparison import Comparison, only_indicative
from analyzers.contrast.silence import Quiet, watch
from analyzers.contrast.weighted import log_weighted_average
from analyzers.facts import SLICE_NS, SLICE_S
from analyzers.policy import Criticality, Measure, Metric, Policy
from analyzers.timeline import Deployment
from analyzers.times import epoch_ns
from analyzers.verdict import Status

# How much of the false-alarm budget a metric gets when it first appears: five critical and five
# standard ones share 90 %, later ones what is left. Equal shares of a catalogue of twenty metrics
# would leave those that a service really has with a quarter of it.
_SLOTS: Final = {Criticality.CRITICAL: (5, 0.12), Criticality.STANDARD: (5, 0.06)}
_REST: Final = 0.1
# The first twenty segments of a metric share four fifths of its segments' part equally. With
# 6 / (pi^2 k^2) for the k-th from the start, the fifth country had half, the tenth a seventh.
_SEGMENT_SLOTS: Final = (20, 0.04)
# A metric that the baseline has shown in so many days before the start is waited for.
EXPECTED_DAYS: Final = 7
_LOG_MAX: Final = 690.0  # exp of more overflows a float


@dataclass(slots=True)
class Stop:
    """The running evidence that one event type has gone silent in the canary."""

    quiet: Quiet = field(default_factory=Quiet)
    log_e: float = 0.0
    log_e_max: float = 0.0
    seen: list[int] = field(default_factory=lambda: [0, 0])  # occupied slices of both arms
    last: list[int | None] = field(default_factory=lambda: [None, None])


@dataclass(frozen=True, slots=True)
class Change:
    """A change of status at the end of a slice."""

    slice: int
    status: Status


@dataclass(frozen=True, slots=True)
class _Known:
    """How far a comparison had come before a block: strata closed, whether the baseline had shown
    it, whether any side had."""

    strata: int = 0
    baseline: bool = False
    seen: bool = False

    @classmethod
    def of(cls, comparison: Comparison) -> _Known:
        """How far it has come now."""
        return cls(
            len(comparison.path.at),
            comparison.baseline_first is not None,
            comparison.first_seen is not None,
        )


class Evidence:
    """Everything that speaks about one deployment. Advanced by sealed cells in order of shown."""

    def __init__(
        self,
        deployment: Deployment,
        replaces: str,
        policy: Policy,
        expected: frozenset[str] = frozenset(),
    ) -> None:
        self.deployment = deployment
        self.replaces = replaces
        self.policy = policy
        self.expected = expected  # metrics that the baseline has shown before the start
        self.comparisons: dict[Key, Comparison] = {}
        self.stops: dict[Key, Stop] = {}
        self.weights: dict[Key, float] = {}
        self.changes: list[Change] = []
        self.degraded_at: int | None = None
        self.last_at: int | None = None  # last slice in which either arm showed anything
        self.gap_max = 0  # longest gap between such slices, in slices
        self._e: dict[Key, float] = {}  # weighted e-values; their sum, with what is unspent:
        self._harm = 1.0  # the weighted average e-value over all metrics and segments
        self._totals: list[Key] = []  # what may gate
        self._slots: dict[Criticality, int] = {}
        self._mass: dict[str, float] = {}
        self._late = 0
        self._ranks: dict[str, int] = {}
        self._metrics = {metric.name: metric for metric in policy.metrics}
        # Metrics that gate even before anything of them has come since the start.
        self._awaited = frozenset(
            metric.name
            for metric in policy.metrics
            if may_gate(metric) and (metric.name in expected or self._named(metric))
        )
        self.watch_end_s = deployment.started_ns // 1_000_000_000 + policy.watch_s

    # --- moving ---------------------------------------------------------------------------

    def advance(self, cells: Cells) -> None:
        """Takes in sealed cells (all shown later than those before) and follows the status."""
        known = self.weights.keys()
        rows = self._exposed(attribute(cells, self.deployment, self.replaces, self.policy, known))
        before = {key: _Known.of(comparison) for key, comparison in self.comparisons.items()}
        stopped: dict[Key, list[tuple[int, float]]] = {}
        for key in sorted(rows, key=lambda key: (int(rows[key].shown[0]), key)):
            metric = self._metrics.get(key[0])
            if metric is None:
                continue
            if metric.measure is Measure.FLOW:
                self._flow(key, rows[key], stopped)
            else:
                self._compare(key, metric, rows[key])
        for at, news in groupby(self._news(before, stopped), key=lambda one: one[0]):
            for _, key, log_e in news:
                if log_e is not None:
                    e = self.weights[key] * math.exp(min(log_e, _LOG_MAX))
                    self._harm += e - self._e.get(key, self.weights[key])
                    self._e[key] = e
            self._follow(at)  # once all that a slice says is in: never on a part of it

    def _exposed(self, rows: dict[Key, Rows]) -> dict[Key, Rows]:
        """The rows with counts that have an exposure joined to it: sessions without any order
        speak too. Exposure is known for the total only."""
        flows = [name for name, m in self._metrics.items() if m.measure is Measure.FLOW]
        for name, metric in self._metrics.items():
            if not metric.exposure:
                continue
            for key in [key for key in rows if key[0] == name and key[1]]:
                del rows[key]
            segment: Segment = (("type", metric.exposure),)
            exposure = next(
                (rows[flow, segment] for flow in flows if (flow, segment) in rows), None
            )
            if exposure is not None or (name, ()) in rows:
                rows[name, ()] = with_exposure(
                    rows.get((name, ()), no_rows()), exposure or no_rows()
                )
        return rows

    def _compare(self, key: Key, metric: Metric, mine: Rows) -> None:
        comparison = self.comparisons.get(key)
        if comparison is None:
            comparison = Comparison(metric, promotion_error_rate=self.policy.promotion_error_rate)
            self.comparisons[key] = comparison
            if not key[1] and metric.criticality is not Criticality.WATCH:
                self._totals.append(key)
            self._weigh(key, metric, comparison)
        comparison.advance(mine, share_over(self.deployment, mine.shown))

    def _flow(self, key: Key, rows: Rows, stopped: dict[Key, list[tuple[int, float]]]) -> None:
        self._note_flow(key, rows)
        if [name for name, _ in key[1]] != ["type"]:
            return
        stop = self.stops.get(key)
        if stop is None:
            stop = self.stops[key] = Stop()
            self._weigh(key, self._metrics[key[0]], None)
        seen = rows.units[:, 1] > 0
        share = share_over(self.deployment, rows.shown)
        stop.quiet, path = watch(stop.quiet, seen, share)
        for arm in (0, 1):
            there = rows.shown[rows.units[:, arm] > 0]
            stop.seen[arm] += len(there)
            stop.last[arm] = int(there[-1]) if len(there) else stop.last[arm]
        stop.log_e = float(path[-1])
        stop.log_e_max = max(stop.log_e_max, float(path.max()))
        stopped[key] = list(zip(rows.shown.tolist(), path.tolist(), strict=True))

    def _note_flow(self, key: Key, rows: Rows) -> None:
        if key[1]:
            return
        times = rows.shown.tolist()
        if self.last_at is not None:
            times = [self.last_at, *times]
        gaps = np.diff(np.array(times))
        self.gap_max = max(self.gap_max, int(gaps.max()) if len(gaps) else 0)
        self.last_at = times[-1]

    def _weigh(self, key: Key, metric: Metric, comparison: Comparison | None) -> None:
        """Fixes a newcomer's weight: half of a metric's for its total, the k-th segment gets
        6 / (pi^2 k^2) of the other half (of all, where the total is not tested)."""
        if metric.criticality is Criticality.WATCH or (comparison and comparison.indicative):
            self.weights[key] = 0.0
            return
        mass = self._mass.get(metric.name)
        if mass is None:
            mass = self._mass[metric.name] = self._slot(metric.criticality)
        if not key[1]:
            self.weights[key] = mass / 2
            return
        self._ranks[metric.name] = rank = self._ranks.get(metric.name, 0) + 1
        whole = mass if metric.measure is Measure.FLOW else mass / 2
        slots, size = _SEGMENT_SLOTS
        late = (1.0 - slots * size) * _basel(rank - slots) if rank > slots else 0.0
        self.weights[key] = whole * (size if rank <= slots else late)

    def _slot(self, criticality: Criticality) -> float:
        slots, size = _SLOTS[criticality]
        used = self._slots.get(criticality, 0)
        self._slots[criticality] = used + 1
        if used < slots:
            return size
        self._late += 1
        return _REST * _basel(self._late)

    def _news(
        self, before: dict[Key, _Known], stopped: dict[Key, list[tuple[int, float]]]
    ) -> list[tuple[int, Key, float | None]]:
        """Every change of a weighted e-value in this block, in order of time; None where only
        what gates has changed."""
        news: list[tuple[int, Key, float | None]] = []
        for key, comparison in self.comparisons.items():
            known, path = before.get(key, _Known()), comparison.path
            news += zip(path.at[known.strata :], repeat(key), path.log_harm[known.strata :])
            if not key[1]:
                news += [(at, key, None) for at in _appearances(comparison, known)]
        for key, points in stopped.items():
            news += [(at, key, log_e) for at, log_e in points]
        return sorted(news, key=lambda one: one[:2])

    @property
    def log_harm(self) -> float:
        """Log of the weighted average e-value over all metrics and segments, as of now.

        Summed anew: a running sum that has held 1e290 once knows nothing of a 1 any more.
        """
        bets = [(self.weights[key], e) for key, e in self._e.items() if self.weights[key] > 0.0]
        weights, told = np.array(bets, np.float64).reshape(-1, 2).T
        with np.errstate(divide="ignore"):
            return log_weighted_average(np.log(told / weights), weights)

    def latch(self, first_degraded_at: str | None) -> None:
        """Keeps an earlier finding of harm: a past verdict is never revised."""
        if first_degraded_at is None or self.degraded_at is not None:
            return
        self.degraded_at = epoch_ns(first_degraded_at) // SLICE_NS - 1
        self._follow(self.degraded_at)

    # --- status ---------------------------------------------------------------------------

    def _follow(self, at: int) -> None:
        status = self._status(at)
        if not self.changes or self.changes[-1].status != status:
            self.changes.append(Change(at, status))

    def _status(self, at: int) -> Status:
        if self.degraded_at is None and self._harm * self.policy.error_rate >= 1.0:
            self.degraded_at = at
        if self.degraded_at is not None:
            return "degraded"
        held = bool(self.changes) and self.changes[-1].status == "healthy"
        if held and (at + 1) * SLICE_S >= self.watch_end_s:
            return "healthy"  # latched: the watch ended healthy
        gating = self.gating(at)
        if gating and not self.missing(at) and all(self.safe(key, at) for key in gating):
            return "healthy"
        return "inconclusive"

    def gating(self, at: int) -> list[Key]:
        """The comparisons that must be safe for promotion, as of a slice."""
        return [key for key in self._totals if self.gates(key, self.comparisons[key], at)]

    def gates(self, key: Key, comparison: Comparison, at: int) -> bool:
        """Whether a comparison gates promotion as of a slice: a total, judged, and shown by the
        baseline since the start (or awaited, and seen)."""
        if key[1] or not may_gate(comparison.metric):
            return False
        awaited = key[0] in self._awaited
        first = comparison.first_seen if awaited else comparison.baseline_first
        return first is not None and first <= at

    def _named(self, metric: Metric) -> bool:
        return metric.named and self.deployment.service in metric.services

    def missing(self, at: int) -> list[str]:
        """The metrics that gate although nothing of them has come by a slice: the baseline has
        shown them before the start, or the policy names them for this service."""
        return [name for name in sorted(self._awaited) if not self._come(name, at)]

    def _come(self, name: str, at: int) -> bool:
        comparison = self.comparisons.get((name, ()))
        first = comparison.first_seen if comparison else None
        return first is not None and first <= at

    def safe(self, key: Key, at: int) -> bool:
        """Whether harm beyond the margin was ruled out by a slice, and still looks ruled out."""
        path = self.comparisons[key].path
        place = bisect_right(path.at, at)
        if not place or path.log_safe[place - 1] < 0.0:
            return False
        return path.log_safe_top[place - 1] >= self.safe_threshold()

    def safe_threshold(self) -> float:
        """Log of the e-value that a gating metric needs for promotion."""
        return -math.log(self.policy.promotion_error_rate)

    def harm_threshold(self, key: Key) -> float:
        """Log of the e-value with which a comparison alone decides for rollback; infinite for
        those that never do."""
        weight = self.weights.get(key, 0.0)
        return -math.log(self.policy.error_rate * weight) if weight > 0 else math.inf

    def judged(self) -> list[Key]:
        """All comparisons and silences, totals first, then by name."""
        return sorted({*self.comparisons, *self.stops}, key=lambda key: (len(key[1]), key))


def _appearances(comparison: Comparison, known: _Known) -> list[int]:
    """The slices in which a metric may begin to gate, beyond those known: seen at all, shown by
    the baseline."""
    news = [
        None if known.seen else comparison.first_seen,
        None if known.baseline else comparison.baseline_first,
    ]
    return [at for at in news if at is not None]


def may_gate(metric: Metric) -> bool:
    """Whether a metric can gate promotion at all."""
    return metric.criticality is not Criticality.WATCH and not only_indicative(metric)


def _basel(k: int) -> float:
    """6 / (pi^2 k^2), k = 1, 2, ...: sums to 1."""
    return 6.0 / (math.pi**2 * k * k)
