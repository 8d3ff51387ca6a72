"""Which cells speak in which comparisons: the cells of one release, side by side in two arms.

Late binding: cells know versions and tracks, the timeline knows which of them a release compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from analyzers.comparing.arms import CANARY, NEITHER, Key, arm_of, share_over
from analyzers.comparing.names import Heard, Known, Names
from analyzers.facts import SLICE_NS, SLICE_S, Bools, Floats, Ints
from analyzers.folding.cells import Cells, Series
from analyzers.folding.grouping import runs
from analyzers.folding.moments import floats
from analyzers.policy import Kind, Measure, Metric, Policy
from analyzers.timeline import Deployment

_TYPE: Final = "type"
_UNASKED: Final = -2


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
    once, and which row a comparison has is asked once."""

    def __init__(self, deployment: Deployment, replaces: str, policy: Policy) -> None:
        self._deployment, self._replaces, self._policy = deployment, replaces, policy
        self._metrics = {metric.name: metric for metric in policy.metrics}
        self._first = deployment.started_ns // SLICE_NS + policy.bake_s // SLICE_S
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
        self.canary_since: int | None = None  # first slice in which the canary showed anything
        self._begin_names(Known())

    def ask_again(self) -> None:
        """Forgets the rows of the comparisons, as when they have new ones."""
        self._row_of = np.full(len(self._keys), _UNASKED)

    def _begin_names(self, known: Known) -> None:
        self._known, self._looked = known, 0
        self._keys: dict[Key, int] = {}
        self._row_of = np.empty(0, np.int64)
        self._parts = np.empty((0, 4), np.int64)  # key, role, arm, first slice that counts
        self._quantum = np.empty(0)  # of its values in the unit; 0 where its events are counted
        self._silence = np.empty(0, np.bool_)  # whether it is about an arm that goes silent
        self._edges = np.zeros(1, np.int64)  # where the parts of each series begin
        self._flows = np.empty(0, np.int64)  # whose arm's flow each series is

    def _learn(self, known: Known) -> None:
        """What the series of this service are that have come since."""
        if known is not self._known:
            self._begin_names(known)
        fresh = known.series[self._looked :]
        if not fresh:
            return
        self._looked = len(known.series)
        found = [self._find(series) for series in fresh]
        parts = [part for some in found for part in some]
        told = [
            (self._keys.setdefault(one.key, len(self._keys)), one.role, one.arm, one.begins)
            for one in parts
        ]
        more = np.full(len(self._keys) - len(self._row_of), _UNASKED)
        self._row_of = np.concatenate([self._row_of, more])
        self._parts = np.concatenate([self._parts, np.array(told, np.int64).reshape(-1, 4)])
        self._quantum = np.append(self._quantum, [part.quantum for part in parts])
        silence = [self._metrics[part.key[0]].measure is Measure.FLOW for part in parts]
        self._silence = np.append(self._silence, np.array(silence, np.bool_))
        edges = self._edges[-1] + np.cumsum([len(some) for some in found])
        self._edges = np.concatenate([self._edges, edges])
        self._flows = np.append(self._flows, [self._flow_of(series) for series in fresh])

    def _flow_of(self, series: Series) -> int:
        """The arm whose flow a series is, whatever its events are; NEITHER of all others."""
        metric = self._metrics.get(series.metric)
        if metric is None or metric.measure is not Measure.FLOW or series.segment:
            return NEITHER
        return arm_of(series, self._deployment, self._replaces)

    def flowed(self, cells: Cells, heard: Heard) -> Ints:
        """The slices, ascending, in which either arm showed anything at all of this release."""
        self._learn(heard.known)
        return np.unique(cells.shown[self._flowing(cells, heard) != NEITHER])

    def _flowing(self, cells: Cells, heard: Heard) -> Ints:
        """Whose arm's flow each cell is while the release runs."""
        arm = np.full(len(cells.series), NEITHER)
        arm[heard.places] = self._flows[heard.numbers]
        inside = cells.slice >= self._deployment.started_ns // SLICE_NS
        return np.where(inside & (cells.slice <= self._until), arm[cells.of], NEITHER)

    def _note_canary(self, cells: Cells, heard: Heard) -> None:
        if self.canary_since is None:
            shown = cells.shown[self._flowing(cells, heard) == CANARY]
            self.canary_since = int(shown.min()) if len(shown) else None

    @property
    def _until(self) -> int:
        last = self._deployment.ended_ns
        return int(np.iinfo(np.int64).max) if last is None else last // SLICE_NS

    def shares(
        self, cells: Cells, heard: Heard, rows: Callable[[Sequence[Key]], Ints]
    ) -> Shares | None:
        """The parts of some cells, of which some are ``heard`` to be this service's. ``rows``
        gives the comparisons' rows for keys in order, making new ones; those beyond the limit of
        segments are asked for as well, and are -1."""
        self._learn(heard.known)
        self._note_canary(cells, heard)
        begin = self._edges[heard.numbers]
        many = self._edges[heard.numbers + 1] - begin
        place, part = np.repeat(heard.places, many), _spans(begin, many)
        at, joined = _join(cells.of, place)
        of_part = part[joined]
        kept = (cells.slice[at] >= self._parts[of_part, 3]) & (cells.slice[at] <= self._until)
        # Who has never been there has not gone silent: its traffic may begin late.
        since = np.iinfo(np.int64).max if self.canary_since is None else self.canary_since
        kept &= ~self._silence[of_part] | (cells.shown[at] >= since)
        at, of_part = at[kept], of_part[kept]
        if not len(at):
            return None
        key, role, arm, _ = self._parts[of_part].T
        shown = cells.shown[at]
        self._ask(key, shown, rows)
        of = self._row_of[key]
        taken = of >= 0
        if not taken.all():
            at, of_part, of, role, arm, shown = (
                column[taken] for column in (at, of_part, of, role, arm, shown)
            )
        count, quantum = cells.count[at].astype(np.float64), self._quantum[of_part]
        total = np.where(quantum > 0, floats(cells.sum.take(at)) * quantum, count)
        numbers = np.column_stack([count, cells.failures[at], total])
        share = share_over(self._deployment, shown)
        return Shares(of, shown, role, arm, numbers, share, *self._bins(cells, place, part))

    def _bins(self, cells: Cells, place: Ints, part: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """The buckets of what is compared itself."""
        own = self._parts[part, 1] == _Role.OWN
        at, joined = _join(cells.bin_of, place[own])
        of_part = part[own][joined]
        key, _, arm, begins = self._parts[of_part].T
        row = self._row_of[key]
        kept = (cells.bin_slice[at] >= begins) & (cells.bin_slice[at] <= self._until) & (row >= 0)
        at, row, arm = at[kept], row[kept], arm[kept]
        return row, cells.bin_shown[at], arm, cells.bin[at], cells.bin_count[at]

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

    def _ask(self, present: Ints, shown: Ints, rows: Callable[[Sequence[Key]], Ints]) -> None:
        """Finds the rows of the keys that are present for the first time, -1 for those beyond the
        limit: a sender who makes up attribute values or types must not make everything slow.
        First come, first served; types that the policy names always are."""
        unasked = self._row_of[present] == _UNASKED
        if not unasked.any():
            return
        present, shown = present[unasked], shown[unasked]
        since = np.full(len(self._keys), np.iinfo(np.int64).max)
        np.minimum.at(since, present, shown)
        keys = list(self._keys)
        come = sorted(np.unique(present).tolist(), key=lambda i: (since[i], keys[i]))
        self._row_of[come] = rows([keys[i] for i in come])

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
    ends = np.arange(int(max(of.max(initial=0), places.max(initial=0))) + 2)
    edges = np.searchsorted(places, ends)
    begin = edges[of]
    many = edges[of + 1] - begin
    return np.repeat(np.arange(len(of)), many), _spans(begin, many)


def _spans(begin: Ints, many: Ints) -> Ints:
    """The numbers from each beginning on, so many of them, one after the other.

    >>> _spans(np.array([7, 2]), np.array([1, 3])).tolist()
    [7, 2, 3, 4]
    """
    ends = np.cumsum(many)
    return np.asarray(
        np.repeat(begin - ends + many, many) + np.arange(ends[-1] if len(ends) else 0)
    )


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
    own, under = role == _Role.OWN, role == _Role.DENOMINATOR

    def sums(rows: Bools, number: int) -> Floats:
        return _by_arm(place[rows], arm[rows], numbers[rows, number], len(key))

    share = np.zeros(len(key))
    share[place] = np.concatenate([part.share for part in parts])
    comparison = key // span
    units, exposed = sums(own, 0), sums(~own, 0)
    units = np.where(ratios[comparison][:, None], sums(under, 2), units)
    bins = _bins(parts, key, low, span)
    return Block(
        comparison, key % span + low, units, sums(own, 1), sums(own, 2), exposed, share, *bins
    )


def _by_arm(place: Ints, arm: Ints, number: Floats, count: int) -> Floats:
    """Numbers summed by place, in [0, ``count``), and arm: (count, 2)."""
    return np.asarray(np.bincount(place * 2 + arm, number, 2 * count), np.float64).reshape(-1, 2)


def _bins(parts: Sequence[Shares], key: Ints, low: int, span: int) -> tuple[Ints, Ints, Floats]:
    """The buckets of a block whose rows have these keys."""
    of, shown, arm, number, count = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("bin_of", "bin_shown", "bin_arm", "bin", "bin_count")
    )
    room = 1 << 14
    at = np.searchsorted(key, of * span + (shown - low)) * room + number + room // 2
    order = np.argsort(at, kind="stable")
    at = at[order]
    starts = runs(at)
    place = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(at)))
    counts = _by_arm(place, arm[order], count[order].astype(np.float64), len(starts))
    return at[starts] // room, at[starts] % room - room // 2, counts


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

    names, parts = Names(), []
    for one in cells:
        heard = names.heard(one.series, [whose]).get(whose)
        shares = attribution.shares(one, heard.totals(), rows) if heard else None
        if shares is not None:
            parts.append(shares)
    return block(parts, np.array([metric.kind is Kind.RATIO for metric in metrics]))
