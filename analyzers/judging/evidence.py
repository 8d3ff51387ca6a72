"""The evidence for and against one deployment: all its comparisons, weighed together.

False rollbacks are bounded over all metrics and segments at once: the weighted average of their
e-values is an e-process whatever their dependence, and weights are fixed when a comparison first
appears (Wang and Ramdas 2022, JRSS-B, on averaging e-values). Promotion asks every gating metric
by itself (intersection-union), which needs no correction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np

from analyzers.comparing.arms import BASELINE, CANARY, Key
from analyzers.comparing.attribution import Attribution, Shares, block
from analyzers.comparing.budget import Budget
from analyzers.comparing.comparison import Comparison
from analyzers.comparing.comparisons import Closed, Comparisons
from analyzers.comparing.names import Heard
from analyzers.comparing.traits import only_declared
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S, Floats, Ints
from analyzers.folding.cells import Cells
from analyzers.folding.grouping import runs
from analyzers.judging.verdict import Status
from analyzers.policy import Criticality, Measure, Metric, Policy
from analyzers.timeline import Deployment
from analyzers.times import epoch_ns

# A metric that the baseline has shown in so many days before the start is waited for.
EXPECTED_DAYS: Final = 7
# What is quiet for twice its longest pause so far has stopped; not before ten minutes, because a
# few events do not tell what their longest pause is.
_QUIET_MIN_SLICES: Final = 60
_LOG_MAX: Final = 690.0  # exp of more overflows a float


@dataclass(frozen=True, slots=True)
class Change:
    """A change of status at the end of a slice."""

    slice: int
    status: Status


class Evidence:
    """Everything that speaks about one deployment. Advanced by sealed cells in order of shown.

    Its comparisons are rows of ``table``, which those of other deployments may share.
    """

    def __init__(
        self,
        deployment: Deployment,
        replaces: str,
        policy: Policy,
        expected: Mapping[str, int] = MappingProxyType({}),
        *,
        table: Comparisons | None = None,
        past: Mapping[Key, Floats] = MappingProxyType({}),
    ) -> None:
        self.deployment = deployment
        self.replaces = replaces
        self.policy = policy
        # Metrics that the baseline has shown before the start, with their longest pause in slices.
        self.expected = expected
        self.past = past  # coefficients of the baseline's gauges before the start
        self.table = table if table is not None else Comparisons()
        self.comparisons: dict[Key, Comparison] = {}
        self.weights: dict[Key, float] = {}
        self.changes: list[Change] = []
        self.degraded_at: int | None = None
        self.last_at: int | None = None  # last slice in which either arm showed anything
        self.gap_max = 0  # longest gap between such slices, in slices
        self._budget = Budget()
        self._attribution = Attribution(deployment, replaces, policy)
        self._metrics = {metric.name: metric for metric in policy.metrics}
        # Of each comparison, in the order of their rows in the table:
        self._row = np.empty(0, np.int64)
        self._weight = np.empty(0)
        self._e = np.empty(0)  # weighted e-values
        # Log e-values for harm and for safety, each now and the largest so far: of the slice that
        # is followed, when the table knows later ones already.
        self._logs = np.empty((4, 0))
        self._unspent = 1.0  # of the weights
        self._totals: list[Key] = []  # what may gate
        self._assigned: list[Key] = []  # what says who was put on which side
        # Metrics that gate even before anything of them has come since the start.
        self._awaited = frozenset(
            metric.name
            for metric in policy.metrics
            if may_gate(metric) and (metric.name in expected or self._named(metric))
        )
        self.watch_end_s = deployment.started_ns // NS_PER_S + policy.watch_s

    # --- moving ---------------------------------------------------------------------------

    def advance(self, cells: Cells) -> None:
        """Takes in sealed cells (all shown later than those before) and follows the status."""
        advance([self], self.table, cells)

    @property
    def whose(self) -> tuple[str, str]:
        """The service and environment that it is about."""
        return self.deployment.service, self.deployment.environment

    def shares(self, cells: Cells, heard: Heard) -> Shares | None:
        """What of some cells speaks here, of which some are ``heard`` to be this service's."""
        self._note_flow(self._attribution.flowed(cells, heard))
        return self._attribution.shares(cells, heard, self._rows)

    def _rows(self, keys: Sequence[Key]) -> Ints:
        fresh = [k for k in keys if k not in self.comparisons and self._attribution.admits(k)]
        if fresh:
            metrics = [self._metrics[name] for name, _ in fresh]
            rows = self.table.add(metrics)
            weights = [
                self._begin(key, metric, row)
                for key, metric, row in zip(fresh, metrics, rows.tolist(), strict=True)
            ]
            self._row = np.concatenate([self._row, rows])
            self._weight = np.concatenate([self._weight, weights])
            self._e = np.concatenate([self._e, weights])
            self._logs = np.concatenate([self._logs, np.zeros((4, len(rows)))], axis=1)
            self._unspent = 1.0 - math.fsum(self._weight.tolist())
        known = self.comparisons
        return np.array([known[key].row if key in known else -1 for key in keys], np.int64)

    def _begin(self, key: Key, metric: Metric, row: int) -> float:
        """Takes up a comparison; its weight."""
        comparison = self.comparisons[key] = Comparison(metric, self.table, row)
        if key in self.past:
            self.table.families.remember(row, self.past[key])
        if not key[1] and metric.criticality is not Criticality.WATCH:
            self._totals.append(key)
        if metric.measure is Measure.ASSIGNMENT:
            self._assigned.append(key)
        weighs = metric.criticality is not Criticality.WATCH and not comparison.indicative
        self.weights[key] = weight = self._budget.weight(metric, key[1]) if weighs else 0.0
        return weight

    def _note_flow(self, times: Ints) -> None:
        """Remembers when anything of either arm was last shown, and the longest pause so far."""
        if not len(times):
            return
        told = times if self.last_at is None else np.append(self.last_at, times)
        gaps = np.diff(told)
        self.gap_max = max(self.gap_max, int(gaps.max(initial=0)))
        self.last_at = int(times[-1])

    def follow(self, closed: Closed, appeared: Iterable[int]) -> None:
        """Takes in the evidence of strata that closed, in order of time, and what changed of what
        gates at other slices; follows the status slice by slice."""
        edges = np.append(runs(closed.at), len(closed.at))
        began = closed.at[edges[:-1]].tolist()
        spans = dict(zip(began, pairwise(edges.tolist()), strict=True))
        for at in sorted({*spans, *appeared}):
            if at in spans:
                self._take(closed.where(slice(*spans[at])))
            self._follow(at)  # once all that a slice says is in: never on a part of it

    def _take(self, closed: Closed) -> None:
        """Remembers the evidence of strata that closed, in order of time."""
        place, e = self._weighted(closed)
        self._e[place] = e  # the last one where a comparison stands there twice
        now, top = self._logs[::2], self._logs[1::2]
        for which, told in enumerate((closed.log_harm, closed.log_safe)):
            now[which, place] = told
            np.maximum.at(top[which], place, told)

    def _weighted(self, closed: Closed) -> tuple[Ints, Floats]:
        """The places of the comparisons that closed, and their weighted e-values."""
        place = np.searchsorted(self._row, closed.of)
        return place, self._weight[place] * np.exp(np.minimum(closed.log_harm, _LOG_MAX))

    def latch(self, first_degraded_at: str | None) -> None:
        """Keeps an earlier finding of harm: a past verdict is never revised."""
        if first_degraded_at is None or self.degraded_at is not None:
            return
        self.degraded_at = epoch_ns(first_degraded_at) // SLICE_NS - 1
        self._follow(self.degraded_at)

    def renumber(self, new: Ints) -> None:
        """Follows its comparisons to their new rows."""
        for key, one in self.comparisons.items():
            self.comparisons[key] = Comparison(one.metric, self.table, int(new[one.row]))
        self._row = new[self._row]
        self._attribution.ask_again()

    # --- what has come -----------------------------------------------------------------------

    @property
    def canary_seen(self) -> bool:
        """Whether the canary has shown anything since the start."""
        since = self._attribution.canary_since
        return since is not None or any(one.seen[CANARY] for one in self.comparisons.values())

    @property
    def judged_from(self) -> int:
        """The first slice that is judged: the release has baked."""
        return self.deployment.started_ns // SLICE_NS + self.policy.bake_s // SLICE_S

    def silent(self, key: Key, at: int) -> dict[int, int]:
        """The arms that a comparison has shown but shows no more as of a slice, for twice their
        longest pause so far, with the last slice of each. An arm may pause as long as the baseline
        did before the start."""
        one = self.comparisons[key]
        last, pauses = (
            column[one.row].tolist() for column in (self.table.last_seen, self.table.longest_pause)
        )
        usual = self.expected.get(key[0], 0)
        return {
            arm: last[arm]
            for arm in (BASELINE, CANARY)
            if last[arm] and at - last[arm] > patience(max(pauses[arm], usual))
        }

    # --- status ---------------------------------------------------------------------------

    @property
    def e_value(self) -> float:
        """The weighted average e-value over all metrics and segments, now."""
        return math.fsum([self._unspent, *self._e.tolist()])

    def _follow(self, at: int) -> None:
        status = self._status(at)
        if not self.changes or self.changes[-1].status != status:
            self.changes.append(Change(at, status))

    def _status(self, at: int) -> Status:
        if self.degraded_at is None and self.e_value * self.policy.error_rate >= 1.0:
            self.degraded_at = at
        if self.degraded_at is not None:
            return "degraded"
        if self.mismatch is not None:
            return "inconclusive"
        held = bool(self.changes) and self.changes[-1].status == "healthy"
        if held and (at + 1) * SLICE_S >= self.watch_end_s:
            return "healthy"  # latched: the watch ended healthy
        gating = self.gating(at)
        if gating and not self.missing(at) and all(self.safe(key) for key in gating):
            return "healthy"
        return "inconclusive"

    def gating(self, at: int) -> list[Key]:
        """The comparisons that must be safe for promotion, as of a slice."""
        return [key for key in self._totals if self.gates(key, at)]

    def gates(self, key: Key, at: int) -> bool:
        """Whether a comparison gates promotion as of a slice: a total, judged, and shown by the
        baseline since the start (or awaited, and seen)."""
        comparison = self.comparisons[key]
        if key[1] or not may_gate(comparison.metric) or comparison.indicative:
            return False
        awaited = key[0] in self._awaited
        return (comparison.first_seen if awaited else comparison.baseline_first) <= at

    def _named(self, metric: Metric) -> bool:
        return metric.named and self.deployment.service in metric.services

    def missing(self, at: int) -> list[str]:
        """The metrics that gate although nothing of them has come by a slice: the baseline has
        shown them before the start, or the policy names them for this service."""
        return [name for name in sorted(self._awaited) if not self._come(name, at)]

    def _come(self, name: str, at: int) -> bool:
        comparison = self.comparisons.get((name, ()))
        return comparison is not None and comparison.first_seen <= at

    def safe(self, key: Key) -> bool:
        """Whether harm beyond the margin was ruled out, and still looks ruled out."""
        harm, _, now, top = self._told(key)
        level = self.safe_threshold()
        # What looks like harm at the same level is not safe, whatever else says so: a tail may.
        return now >= 0.0 and top >= level > harm

    def _told(self, key: Key) -> tuple[float, float, float, float]:
        harm, harm_top, safe, safe_top = self._logs[
            :, np.searchsorted(self._row, self.comparisons[key].row)
        ].tolist()
        return harm, harm_top, safe, safe_top

    def safe_threshold(self) -> float:
        """Log of the e-value that a gating metric needs for promotion."""
        return -math.log(self.policy.promotion_error_rate)

    @property
    def mismatch(self) -> Key | None:
        """The assignment that shows that the sides are not what they should be; None if none."""
        level = -math.log(self.policy.assignment_error_rate)
        for key in self._assigned:
            if self._told(key)[1] >= level:
                return key
        return None

    def harm_threshold(self, key: Key) -> float:
        """Log of the e-value with which a comparison alone decides for rollback; infinite for
        those that never do."""
        weight = self.weights.get(key, 0.0)
        return -math.log(self.policy.error_rate * weight) if weight > 0 else math.inf

    def judged(self) -> list[Key]:
        """All comparisons and silences, totals first, then by name."""
        return sorted(self.comparisons, key=lambda key: (len(key[1]), key))


def advance(judged: Sequence[Evidence], table: Comparisons, cells: Cells) -> None:
    """Takes sealed cells into all that is known of some deployments, whose comparisons are rows of
    one table, at once."""
    heard = table.names.heard(cells.series, {evidence.whose for evidence in judged})
    parts: list[tuple[Evidence, Shares]] = []
    for evidence in judged:
        mine = heard.get(evidence.whose)
        shares = None if mine is None else evidence.shares(cells, mine)
        if shares is not None and len(shares.of):
            parts.append((evidence, shares))
    if not parts:
        return
    told = block([shares for _, shares in parts], table.ratios)
    before = table.appearances(told.of)
    closed = table.advance(told)
    appeared = table.appeared(before)
    owner = np.empty(len(table), np.int64)
    for number, (_, shares) in enumerate(parts):
        owner[shares.of] = number
    whose = owner[closed.of]
    order = np.argsort(whose, kind="stable")
    edges = np.searchsorted(whose[order], np.arange(len(parts) + 1)).tolist()
    appeared_of: dict[int, list[int]] = {}
    for row, at in appeared:
        appeared_of.setdefault(int(owner[row]), []).append(at)
    for number, (evidence, _) in enumerate(parts):
        chosen = order[edges[number] : edges[number + 1]]
        if len(chosen) or number in appeared_of:
            evidence.follow(closed.where(chosen), appeared_of.get(number, ()))


def patience(pause: int) -> int:
    """How many slices of silence say that something has stopped which so far paused so long."""
    return max(_QUIET_MIN_SLICES, 2 * pause)


def may_gate(metric: Metric) -> bool:
    """Whether a metric can gate promotion at all."""
    return metric.criticality is not Criticality.WATCH and not only_declared(metric)
