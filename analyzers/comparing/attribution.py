"""Which cells speak in which comparisons: the cells of one release, side by side in two arms.

Late binding: cells know versions and tracks, the timeline knows which of them a release compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from analyzers.comparing.arms import NEITHER, Key, arm_of, share_over
from analyzers.facts import SLICE_NS, SLICE_S, Bools, Floats, Ints
from analyzers.folding.cells import Cells, Series
from analyzers.folding.moments import floats
from analyzers.policy import Kind, Measure, Metric, Policy
from analyzers.timeline import Deployment

_TYPE: Final = "type"


@dataclass(frozen=True, slots=True)
class Block:
    """What both arms of many comparisons showed: k rows in order of (of, shown), unique.

    ``of`` (k,) is the comparison's row, ``shown`` (k,) the slice. Of baseline and canary, (k, 2)
    each: ``units`` (of a ratio its denominator), ``failures``, ``total`` sums of values in the
    metric's unit, ``exposed`` exposure events (of a ratio the events of its denominator).
    ``share`` (k,) is what is declared of the canary's, 0 if nothing is. Buckets as rows, in order:
    place in [0, k), number, counts (m, 2).
    """

    of: Ints
    shown: Ints
    units: Floats
    failures: Floats
    total: Floats
    exposed: Floats
    share: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats

    def __len__(self) -> int:
        return len(self.of)

    def where(self, rows: Bools) -> Block:
        """Only the given rows and their buckets."""
        if rows.all():
            return self
        place = np.cumsum(rows) - 1
        bins = rows[self.bin_of]
        return Block(
            self.of[rows], self.shown[rows], self.units[rows], self.failures[rows],
            self.total[rows], self.exposed[rows], self.share[rows],
            place[self.bin_of[bins]], self.bin[bins], self.bin_counts[bins],
        )  # fmt: skip


class _Role(IntEnum):
    """What a cell is in a comparison: what is compared, what it is held against."""

    OWN = 0
    EXPOSURE = 1
    DENOMINATOR = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """A series that speaks in a comparison of one release."""

    key: Key
    role: _Role
    arm: int
    begins: int  # first slice that counts
    quantum: float  # of its values in the unit; 0 where its events are counted


@dataclass(frozen=True, slots=True)
class Shares:
    """Cells of one release as parts of its comparisons: c cells and m buckets, unsummed. ``of`` is
    the row of the comparison; ``numbers`` (c, 3) count, failures, sum of values in the unit (of
    events where they have none); ``share`` (c,) what is declared of the canary's."""

    of: Ints
    shown: Ints
    role: Ints
    arm: Ints
    numbers: Floats
    share: Floats
    bin_of: Ints
    bin_shown: Ints
    bin_arm: Ints
    bin: Ints
    bin_count: Ints


class Attribution:
    """How the cells of one release find their comparisons. What a series is to it is found out
    once."""

    def __init__(self, deployment: Deployment, replaces: str, policy: Policy) -> None:
        self._deployment, self._replaces, self._policy = deployment, replaces, policy
        self._metrics = {metric.name: metric for metric in policy.metrics}
        self._first = deployment.started_ns // SLICE_NS + policy.bake_s // SLICE_S
        self._parts: dict[Series, tuple[_Part, ...]] = {}
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._exposures: dict[str, list[str]] = {}  # the counts that a type is the exposure of
        self._over: dict[str, list[Metric]] = {}  # the ratios that a metric is under
        for metric in policy.metrics:
            if metric.kind is Kind.RATIO:
                self._over.setdefault(metric.over, []).append(metric)
            elif metric.exposure:
                self._exposures.setdefault(metric.exposure, []).append(metric.name)
        self._named = {
            name for metric in policy.metrics for name in (*metric.types, metric.exposure)
        }

    def shares(
        self, cells: Cells, mine: Mapping[int, Series], rows: Callable[[Sequence[Key]], Ints]
    ) -> Shares | None:
        """The parts of some cells, of which ``mine`` are this service's series by place. ``rows``
        gives the comparisons' rows for keys in order, making new ones; those beyond the limit of
        segments are asked for as well, and are -1."""
        parts: list[tuple[int, _Part]] = []
        for place, series in mine.items():
            known = self._parts.get(series)
            if known is None:
                known = self._parts[series] = self._find(series)
            parts += [(place, part) for part in known]
        if not parts:
            return None
        keys = {key: place for place, key in enumerate(dict.fromkeys(p.key for _, p in parts))}
        parts.sort(key=lambda one: one[0])
        told = np.array([(at, keys[p.key], p.role, p.arm, p.begins) for at, p in parts], np.int64)
        quanta = np.array([p.quantum for _, p in parts])
        return self._joined(cells, told, quanta, list(keys), rows)

    def _find(self, series: Series) -> tuple[_Part, ...]:
        """The comparisons in which a series speaks."""
        arm = arm_of(series, self._deployment, self._replaces)
        metric = self._metrics.get(series.metric)
        if arm == NEITHER or metric is None:
            return ()
        begins = self._first + metric.deadline_s // SLICE_S
        quantum = metric.quantum if metric.measure is Measure.VALUE else 0.0
        segment, names = series.segment, tuple(name for name, _ in series.segment)
        found = []
        if metric.measure is Measure.FLOW:
            if names == (_TYPE,):
                found.append(_Part((metric.name, segment), _Role.OWN, arm, begins, quantum))
                found += [
                    _Part((count, ()), _Role.EXPOSURE, arm, begins, quantum)
                    for count in self._exposures.get(segment[0][1], ())
                ]
        elif metric.kind is not Kind.COUNT or not metric.exposure or not segment:
            # Exposure is known for the total only.
            found.append(_Part((metric.name, segment), _Role.OWN, arm, begins, quantum))
        found += [
            _Part((ratio.name, segment), _Role.DENOMINATOR, arm, begins, quantum)
            for ratio in self._over.get(series.metric, ())
            if not segment or names in ratio.segments
        ]
        return tuple(found)

    def _joined(
        self,
        cells: Cells,
        told: Ints,
        quanta: Floats,
        keys: list[Key],
        rows: Callable[[Sequence[Key]], Ints],
    ) -> Shares | None:
        last = self._deployment.ended_ns
        until = np.iinfo(np.int64).max if last is None else last // SLICE_NS
        at, part = _join(cells.of, told[:, 0])
        kept = (cells.slice[at] >= told[part, 4]) & (cells.slice[at] <= until)
        at, part = at[kept], part[kept]
        if not len(at):
            return None
        row_of = self._rows(keys, told[part, 1], cells.shown[at], rows)
        of = row_of[told[part, 1]]
        taken = of >= 0
        at, part, of = at[taken], part[taken], of[taken]
        own = told[told[:, 2] == _Role.OWN]
        bin_at, bin_part = _join(cells.bin_of, own[:, 0])
        bin_row = row_of[own[bin_part, 1]]
        kept = (cells.bin_slice[bin_at] >= own[bin_part, 4]) & (cells.bin_slice[bin_at] <= until)
        kept &= bin_row >= 0
        bin_at, bin_part, bin_row = bin_at[kept], bin_part[kept], bin_row[kept]
        count, quantum = cells.count[at].astype(np.float64), quanta[part]
        total = np.where(quantum > 0, floats(cells.sum.take(at)) * quantum, count)
        shown = cells.shown[at]
        return Shares(
            of, shown, told[part, 2], told[part, 3],
            np.column_stack([count, cells.failures[at], total]),
            share_over(self._deployment, shown),
            bin_row, cells.bin_shown[bin_at], own[bin_part, 3], cells.bin[bin_at],
            cells.bin_count[bin_at],
        )  # fmt: skip

    def _rows(
        self, keys: list[Key], present: Ints, shown: Ints, rows: Callable[[Sequence[Key]], Ints]
    ) -> Ints:
        """The row of each key that is present, -1 for the others and for those beyond the limit:
        a sender who makes up attribute values or types must not make everything slow. First come,
        first served; types that the policy names always are."""
        since = np.full(len(keys), np.iinfo(np.int64).max)
        np.minimum.at(since, present, shown)
        row_of = np.full(len(keys), -1)
        come = sorted(np.unique(present).tolist(), key=lambda i: (since[i], keys[i]))
        row_of[come] = rows([keys[i] for i in come])
        return row_of

    def admits(self, key: Key) -> bool:
        """Whether a comparison not known yet is taken; it counts from then on."""
        if not key[1]:
            return True
        if key[1][0][0] == _TYPE and key[1][0][1] in self._named:
            return True
        kind = (key[0], *(name for name, _ in key[1]))
        if self._taken[kind] >= self._policy.limits.segments:
            return False
        self._taken[kind] += 1
        return True


def _join(of: Ints, places: Ints) -> tuple[Ints, Ints]:
    """All pairs of a row of ``of`` and a place in the sorted ``places`` with equal value."""
    begin = np.searchsorted(places, of)
    many = np.searchsorted(places, of, side="right") - begin
    at = np.repeat(np.arange(len(of)), many)
    part = np.repeat(begin - np.cumsum(many) + many, many) + np.arange(len(at))
    return at, part


def block(parts: Sequence[Shares], ratios: Bools) -> Block:
    """The cells of some releases summed by comparison and slice; ``ratios`` (n,) says which of the
    comparisons are of a ratio, by row."""
    if not any(len(part.of) for part in parts):
        none, two = np.empty(0, np.int64), np.empty((0, 2))
        return Block(none, none, two, two, two, two, np.empty(0), none, none, two)
    of, shown, arm, role = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("of", "shown", "arm", "role")
    )
    numbers = np.concatenate([part.numbers for part in parts])
    low = int(shown.min())
    span = int(shown.max()) - low + 1
    key, place = np.unique(of * span + (shown - low), return_inverse=True)
    units, failures, total, exposed, under = (np.zeros((len(key), 2)) for _ in range(5))
    own = role == _Role.OWN
    for column, rows, number in (
        (units, own, 0), (failures, own, 1), (total, own, 2),
        (exposed, ~own, 0), (under, role == _Role.DENOMINATOR, 2),
    ):  # fmt: skip
        np.add.at(column, (place[rows], arm[rows]), numbers[rows, number])
    share = np.zeros(len(key))
    share[place] = np.concatenate([part.share for part in parts])
    comparison = key // span
    units = np.where(ratios[comparison][:, None], under, units)
    bins = _bins(parts, key, low, span)
    return Block(comparison, key % span + low, units, failures, total, exposed, share, *bins)


def _bins(parts: Sequence[Shares], key: Ints, low: int, span: int) -> tuple[Ints, Ints, Floats]:
    """The buckets of a block whose rows have these keys."""
    of, shown, arm, number, count = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("bin_of", "bin_shown", "bin_arm", "bin", "bin_count")
    )
    at = np.searchsorted(key, of * span + (shown - low))
    room = 1 << 14
    both, place = np.unique(at * room + number + room // 2, return_inverse=True)
    counts = np.zeros((len(both), 2))
    np.add.at(counts, (place, arm), count)
    return both // room, both % room - room // 2, counts


def totals(
    cells: Iterable[Cells],
    deployment: Deployment,
    replaces: str,
    policy: Policy,
    metrics: Sequence[Metric],
) -> Block:
    """What both arms of a release showed in some cells of some metrics' totals; rows are numbered
    like the metrics."""
    whose = (deployment.service, deployment.environment)
    row_of: dict[Key, int] = {(metric.name, ()): row for row, metric in enumerate(metrics)}
    attribution = Attribution(deployment, replaces, policy)

    def rows(keys: Sequence[Key]) -> Ints:
        return np.array([row_of.get(key, -1) for key in keys], np.int64)

    parts = []
    for one in cells:
        mine = {
            place: series
            for place, series in enumerate(one.series)
            if not series.segment and (series.service, series.environment) == whose
        }
        shares = attribution.shares(one, mine, rows)
        if shares is not None:
            parts.append(shares)
    return block(parts, np.array([metric.kind is Kind.RATIO for metric in metrics]))
